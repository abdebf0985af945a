"""`read_statement` of a session-level export beside a bare `polars.read_csv` of the same file, and its peak memory."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING, Final

import polars as pl
import pytest

import scoreboard
import tokenflex as tf
from make_statement import write_statement

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

pytestmark = pytest.mark.bench

ROWS: Final = 5_000_000
ROUNDS: Final = 3


@pytest.fixture(scope="module")
def export(tmp_path_factory: pytest.TempPathFactory, board: scoreboard.Scoreboard, scale: float) -> Iterator[Path]:
    path = tmp_path_factory.mktemp("statement") / "export.csv"
    write_statement(path, int(ROWS * scale))
    board.sizes[scoreboard.STATEMENT] = f"of {ROWS * scale / 1e6:g} M rows, {path.stat().st_size / 1e6:.0f} MB"
    yield path
    path.unlink()


def test_tokenflex(measure: Callable[..., None], export: Path) -> None:
    statement = tf.read_statement(export)
    plain = pl.scan_csv(export, infer_schema=False).select(
        rows=pl.len(), tokens=pl.col("tokensConsumed").cast(pl.Decimal(38, 4)).sum()
    )
    assert statement.select(rows=pl.len(), tokens=pl.col("tokens").sum()).equals(plain.collect())
    assert statement["start"].null_count() == 0
    del statement
    measure(scoreboard.STATEMENT, scoreboard.TOKENFLEX, lambda: tf.read_statement(export), ROUNDS)


def test_read_csv(measure: Callable[..., None], export: Path) -> None:
    """The floor: text and numbers as they stand, no dates, no instants, no decimals, no words checked."""
    assert pl.read_csv(export).height > 0
    measure(scoreboard.STATEMENT, scoreboard.READ_CSV, lambda: pl.read_csv(export), ROUNDS)


_PEAK: Final = """
import sys
import tokenflex as tf

def memory(of):
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) * 1024 for line in status if line.startswith(of))

before = memory("VmRSS")
statement = tf.read_statement(sys.argv[1])
print(memory("VmHWM") - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="asks Linux for the peak")
def test_peak_memory(board: scoreboard.Scoreboard, export: Path) -> None:
    run = subprocess.run([sys.executable, "-c", _PEAK, str(export)], check=True, capture_output=True, text=True)
    board.statement_memory = (int(run.stdout), export.stat().st_size)
