"""`reconcile` of five million charges and a statement, beside one polars join of the two, and its peak memory."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

import polars as pl
import pytest

import scoreboard
import tokenflex as tf
from make_reconciliation import RATES, Sides, make_sides
from make_sessions import SERVERS

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.bench

ROWS: Final = 5_000_000
FEW_ODD: Final = 0.02
ROWS_OF_MANY_ODD: Final = 1_000_000
MANY_ODD: Final = 0.3
ROUNDS: Final = 3


@pytest.fixture(scope="module")
def sides(scale: float) -> Sides:
    """Two rows of a hundred are odd."""
    return make_sides(int(ROWS * scale), FEW_ODD)


@pytest.fixture(scope="module")
def at_odds(scale: float) -> Sides:
    """Nearly every third row is odd."""
    return make_sides(int(ROWS_OF_MANY_ODD * scale), MANY_ODD)


@pytest.fixture(scope="module")
def by_other_days(at_odds: Sides) -> Sides:
    """The vendor charges by days of UTC: what differs has one cause, and most people and products have it."""
    return make_other_days(at_odds)


def make_other_days(sides: Sides) -> Sides:
    """The same charges against a statement of their sessions by another rule."""
    rows = sides.statement.with_row_index("row")
    sessions = tf.sessions_from(rows, problems=tf.Problems())
    charges = tf.charge(sessions, rule=tf.Rule(window="day", zone="utc"), rates=RATES)
    due = charges.group_by(pl.col("session").cast(pl.UInt32).alias("row")).agg(pl.col("tokens").sum())
    stated = rows.drop("tokens").join(due, on="row", how="left", maintain_order="left")
    statement = stated.with_columns(pl.col("tokens").fill_null(0)).select(sides.statement.columns)
    own = tf.charge(sessions, rule=tf.TOKEN_FLEX, rates=RATES, servers=SERVERS)
    return Sides(sessions, own, statement)


def reconciled(sides: Sides) -> tf.Reconciliation:
    return tf.reconcile(
        sides.charges,
        sides.statement,
        rule=tf.TOKEN_FLEX,
        rates=RATES,
        servers=SERVERS,
        sessions=sides.sessions,
        problems=tf.Problems(),
    )


def joined(sides: Sides) -> pl.DataFrame:
    """What one would write first: by person, product and second."""
    charges = sides.charges.with_columns(second=pl.col("charged_at").dt.truncate("1s"))
    statement = sides.statement.with_columns(second=pl.col("start").dt.truncate("1s"))
    return charges.join(statement, on=["user", "product", "second"], how="full")


def check(sides: Sides) -> tf.Reconciliation:
    """Every token of both sides is in one row, every charge too, and what differs has a cause."""
    found = reconciled(sides)
    rows = found.rows
    sums = (sides.charges["tokens"].sum(), sides.statement["tokens"].sum())
    assert rows.select(pl.col("ours", "vendors").sum()).row(0) == sums
    assert rows["charge"].drop_nulls().sort().equals(
        pl.int_range(sides.charges.height, dtype=pl.UInt64, eager=True), check_names=False
    )  # fmt: skip
    is_matched = rows["status"] == "matched"
    assert rows.filter(is_matched & (pl.col("difference") != 0)).is_empty()
    assert rows.filter(~is_matched)["cause"].null_count() == 0
    return found


def test_reconcile(measure: Callable[..., None], sides: Sides) -> None:
    causes = check(sides).rows.group_by("cause").len()
    assert causes.height > 3
    measure(scoreboard.RECONCILE, scoreboard.TOKENFLEX, lambda: reconciled(sides), ROUNDS)


def test_join(measure: Callable[..., None], sides: Sides) -> None:
    assert joined(sides).height >= sides.charges.height
    measure(scoreboard.RECONCILE, scoreboard.JOIN, lambda: joined(sides), ROUNDS)


def test_reconcile_at_odds(measure: Callable[..., None], at_odds: Sides) -> None:
    check(at_odds)
    measure(scoreboard.RECONCILE_AT_ODDS, scoreboard.TOKENFLEX, lambda: reconciled(at_odds), ROUNDS)


def test_join_at_odds(measure: Callable[..., None], at_odds: Sides) -> None:
    measure(scoreboard.RECONCILE_AT_ODDS, scoreboard.JOIN, lambda: joined(at_odds), ROUNDS)


def test_reconcile_other_days(measure: Callable[..., None], by_other_days: Sides) -> None:
    rows = check(by_other_days).rows
    odd = rows.filter(pl.col("cause").is_not_null())
    assert odd.filter(pl.col("cause") == "other_rule").height > odd.height / 2
    measure(scoreboard.RECONCILE_OTHER_DAYS, scoreboard.TOKENFLEX, lambda: reconciled(by_other_days), ROUNDS)


def test_join_other_days(measure: Callable[..., None], by_other_days: Sides) -> None:
    measure(scoreboard.RECONCILE_OTHER_DAYS, scoreboard.JOIN, lambda: joined(by_other_days), ROUNDS)


_PEAK: Final = """
import sys
sys.path.insert(0, sys.argv[1])
from pathlib import Path
import polars as pl
from make_reconciliation import Sides
from test_bench_reconcile import reconciled

def memory(of):
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) * 1024 for line in status if line.startswith(of))

names = ("sessions", "charges", "statement")
sides = Sides(*(pl.read_parquet(Path(sys.argv[2]) / f"{name}.parquet") for name in names))
# The peak begins anew.
open("/proc/self/clear_refs", "w").write("5")
before = memory("VmRSS")
found = reconciled(sides)
print(memory("VmHWM") - before, int(sys.argv[3]))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="asks Linux for the peak")
def test_peak_memory(board: scoreboard.Scoreboard, sides: Sides, tmp_path: Path) -> None:
    """Of a process that only reads the tables, so that no memory lies ready from making them."""
    for name in ("sessions", "charges", "statement"):
        getattr(sides, name).write_parquet(tmp_path / f"{name}.parquet")
    program = [sys.executable, "-c", _PEAK, str(Path(__file__).parent), str(tmp_path), str(sides.size)]
    run = subprocess.run(program, check=True, capture_output=True, text=True)
    peak, inputs = map(int, run.stdout.split())
    board.reconcile_memory = (peak, inputs)
    for file in tmp_path.iterdir():
        file.unlink()
