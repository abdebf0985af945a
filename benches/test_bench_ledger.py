"""`Contract.settle` against sixty packs, beside sorting the same charges in polars, and its peak memory."""

from __future__ import annotations

import subprocess
import sys
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final

import polars as pl
import pytest

import scoreboard
import tokenflex as tf
from make_sessions import FIRST_DAY, PRODUCT_NAMES, SERVERS, make_sessions

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.bench

CHARGES: Final = 10_000_000
SESSIONS_A_CHARGE: Final = 2.6
PACKS: Final = 60
RATES: Final = tf.Rates({name: 1 + place % 12 for place, name in enumerate(PRODUCT_NAMES)})
ROUNDS: Final = 5


def make_charges(count: int) -> pl.DataFrame:
    """Charges of the made-up firm, in order of time."""
    sessions = make_sessions(int(count * SESSIONS_A_CHARGE))
    return tf.charge(sessions, rule=tf.TOKEN_FLEX, rates=RATES, servers=SERVERS).head(count)


def make_contract(charges: pl.DataFrame) -> tf.Contract:
    """A team that buys a pack every few weeks, in all a little less than it uses."""
    last: date = charges["usage_date"].max()  # type: ignore[assignment] # of dates the greatest is a date
    every = (last - FIRST_DAY) // PACKS
    used = int(charges["tokens"].sum())
    packs = [
        tf.Pack(
            id=f"pack {place}", tokens=max(used // (PACKS + 1), 1), purchased=FIRST_DAY + place * every - timedelta(7)
        )
        for place in range(PACKS)
    ]
    return tf.Contract(number="bench", packs=packs)


@pytest.fixture(scope="module")
def ordered(scale: float) -> pl.DataFrame:
    """Ten million charges in order of time."""
    return make_charges(int(CHARGES * scale))


@pytest.fixture(scope="module")
def shuffled(ordered: pl.DataFrame) -> pl.DataFrame:
    """The same in no order."""
    return ordered.sample(fraction=1, shuffle=True, seed=7)


@pytest.fixture(scope="module")
def contract(ordered: pl.DataFrame) -> tf.Contract:
    return make_contract(ordered)


def check(contract: tf.Contract, charges: pl.DataFrame) -> None:
    """Every charge is paid whole, in order of time."""
    problems = tf.Problems()
    ledger = contract.settle(charges, problems=problems)
    assert len(problems) == 0
    paid = ledger.entries.lazy().filter(pl.col("charge").is_not_null())
    by_row = paid.group_by("charge").agg(-pl.sum("tokens"), pl.first("at")).sort("charge").collect()
    assert by_row["tokens"].equals(charges["tokens"], check_names=False)
    assert by_row["at"].equals(charges["charged_at"], check_names=False)
    assert ledger.entries["at"].is_sorted()


def test_settle_shuffled(measure: Callable[..., None], contract: tf.Contract, shuffled: pl.DataFrame) -> None:
    check(contract, shuffled)
    measure(scoreboard.LEDGER, scoreboard.TOKENFLEX, lambda: contract.settle(shuffled), ROUNDS)


def test_sort_shuffled(measure: Callable[..., None], shuffled: pl.DataFrame) -> None:
    assert shuffled.sort("charged_at")["charged_at"].is_sorted()
    measure(scoreboard.LEDGER, scoreboard.SORT, lambda: shuffled.sort("charged_at"), ROUNDS)


def test_settle_ordered(measure: Callable[..., None], contract: tf.Contract, ordered: pl.DataFrame) -> None:
    check(contract, ordered)
    measure(scoreboard.LEDGER_IN_ORDER, scoreboard.TOKENFLEX, lambda: contract.settle(ordered), ROUNDS)


def test_sort_ordered(measure: Callable[..., None], ordered: pl.DataFrame) -> None:
    """Polars finds out as well that there is nothing to do, and copies."""
    assert ordered.sort("charged_at").height == ordered.height
    measure(scoreboard.LEDGER_IN_ORDER, scoreboard.SORT, lambda: ordered.sort("charged_at"), ROUNDS)


_PEAK: Final = """
import sys
sys.path.insert(0, sys.argv[1])
import polars as pl
from test_bench_ledger import make_contract

def memory(of):
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) * 1024 for line in status if line.startswith(of))

charges = pl.read_parquet(sys.argv[2])
contract = make_contract(charges)
# The peak begins anew.
open("/proc/self/clear_refs", "w").write("5")
before = memory("VmRSS")
ledger = contract.settle(charges)
print(memory("VmHWM") - before, charges.estimated_size())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="asks Linux for the peak")
@pytest.mark.parametrize("order", ["shuffled", "ordered"])
def test_peak_memory(board: scoreboard.Scoreboard, request: pytest.FixtureRequest, tmp_path: Path, order: str) -> None:
    """Of a process that only reads the charges, so that no memory lies ready from making them."""
    file = tmp_path / "charges.parquet"
    request.getfixturevalue(order).write_parquet(file)
    program = [sys.executable, "-c", _PEAK, str(Path(__file__).parent), str(file)]
    run = subprocess.run(program, check=True, capture_output=True, text=True)
    peak, charges = map(int, run.stdout.split())
    board.ledger_memory.append((order, peak, charges))
    file.unlink()
