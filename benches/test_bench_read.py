"""`read_flexlm` beside one regular expression in three engines, and beside `grep -c`."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING, Final

import duckdb
import polars as pl
import pytest

import peers_read as peers
import scoreboard
import tokenflex as tf
from make_log import SERVER, ZONE, write_log

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

pytestmark = pytest.mark.bench

LOG_SIZE: Final = 250_000_000
OWN_ROUNDS: Final = 5
PEER_ROUNDS: Final = 3
FLOOR_ROUNDS: Final = 15


@pytest.fixture(scope="module")
def log_path(tmp_path_factory: pytest.TempPathFactory, board: scoreboard.Scoreboard, scale: float) -> Iterator[Path]:
    path = tmp_path_factory.mktemp("log") / "debug.log"
    wanted = int(LOG_SIZE * scale)
    write_log(path, wanted)
    size = path.stat().st_size
    assert size >= wanted
    board.sizes[scoreboard.READING] = f"of {size / 1e6:.0f} MB"
    yield path
    path.unlink()


@pytest.fixture(scope="module")
def events(log_path: Path) -> pl.DataFrame:
    """What every peer has to find."""
    log = _read(log_path)
    assert log.problems.is_empty()
    events = log.events.filter(pl.col("user").is_not_null())
    return events.select(pl.col(peers.COLUMNS[1:]).cast(pl.String))


def _read(path: Path) -> tf.FlexlmLog:
    return tf.read_flexlm(path, timezone=ZONE, server=SERVER)


def test_tokenflex(measure: Callable[..., None], log_path: Path, events: pl.DataFrame) -> None:
    assert events.height > 0
    measure(scoreboard.READING, scoreboard.TOKENFLEX, lambda: _read(log_path), OWN_ROUNDS)


@pytest.mark.parametrize(
    ("runner", "pattern"),
    [(scoreboard.POLARS_REGEX, peers.PATTERN), (scoreboard.POLARS_NARROW_REGEX, peers.NARROW_PATTERN)],
    ids=["any-user", "users-without-at"],
)
def test_polars(measure: Callable[..., None], log_path: Path, events: pl.DataFrame, runner: str, pattern: str) -> None:
    assert peers.events_in_polars(log_path, pattern).drop("time").equals(events)
    measure(scoreboard.READING, runner, lambda: peers.events_in_polars(log_path, pattern), PEER_ROUNDS)


def test_duckdb(measure: Callable[..., None], log_path: Path, events: pl.DataFrame) -> None:
    connection = duckdb.connect()
    assert peers.events_in_duckdb(connection, log_path).drop("time").equals(events)
    measure(scoreboard.READING, scoreboard.DUCKDB, lambda: peers.events_in_duckdb(connection, log_path), PEER_ROUNDS)


def test_python(measure: Callable[..., None], log_path: Path, events: pl.DataFrame) -> None:
    answer = pl.DataFrame(peers.events_in_python(log_path), schema=list(peers.COLUMNS), orient="row")
    assert answer.drop("time").equals(events)
    measure(scoreboard.READING, scoreboard.PYTHON, lambda: peers.events_in_python(log_path), 1)


def test_grep(measure: Callable[..., None], log_path: Path, events: pl.DataFrame) -> None:
    """The floor."""
    assert peers.count_checkouts(log_path) == events["kind"].eq("OUT").sum()
    measure(scoreboard.READING, scoreboard.GREP, lambda: peers.count_checkouts(log_path), FLOOR_ROUNDS)


_PEAK: Final = """
import sys
import tokenflex as tf

def memory(of):
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) * 1024 for line in status if line.startswith(of))

path, zone, server = sys.argv[1:]
before = memory("VmRSS")
log = tf.read_flexlm(path, timezone=zone, server=server)
print(memory("VmHWM") - before, log.events.estimated_size())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="asks Linux for the peak")
def test_peak_memory(board: scoreboard.Scoreboard, log_path: Path) -> None:
    run = subprocess.run(
        [sys.executable, "-c", _PEAK, str(log_path), ZONE, SERVER], check=True, capture_output=True, text=True
    )
    peak, events = map(int, run.stdout.split())
    board.memory = (peak, log_path.stat().st_size, events)
