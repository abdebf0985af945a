"""`charge` beside what a user would write instead, on the same sessions, with the same answer."""

from __future__ import annotations

import mmap
from datetime import timedelta
from typing import TYPE_CHECKING, Final

import duckdb
import numpy as np
import polars as pl
import pytest

import peers_charge as peers
import scoreboard
import tokenflex as tf
from make_sessions import PRODUCT_NAMES, SERVERS, make_sessions, with_plain_strings

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.bench

RATES: Final = tf.Rates(dict.fromkeys(PRODUCT_NAMES, 7))
MICROSECOND: Final = timedelta(microseconds=1)
LENGTH: Final = tf.FLEX.length // MICROSECOND
MIN_DURATION: Final = tf.FLEX.min_duration // MICROSECOND

OWN_ROUNDS: Final = 5
PEER_ROUNDS: Final = 3
FLOOR_ROUNDS: Final = 15


def _sizes(*millions: int) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("millions", millions, ids=lambda size: f"{size}M", indirect=True, scope="module")


@pytest.fixture(scope="module")
def millions(request: pytest.FixtureRequest) -> int:
    return request.param


@pytest.fixture(scope="module")
def sessions(millions: int, scale: float) -> pl.DataFrame:
    return make_sessions(int(millions * 1_000_000 * scale))


@pytest.fixture(scope="module")
def strings(sessions: pl.DataFrame) -> pl.DataFrame:
    return with_plain_strings(sessions)


@pytest.fixture(scope="module")
def duck() -> duckdb.DuckDBPyConnection:
    return duckdb.connect()


def _rolling(sessions: pl.DataFrame) -> pl.DataFrame:
    return tf.charge(sessions, rule=tf.FLEX, rates=RATES)


def _by_day(sessions: pl.DataFrame) -> pl.DataFrame:
    return tf.charge(sessions, rule=tf.TOKEN_FLEX, rates=RATES, servers=SERVERS)


def _assert_same(answer: pl.DataFrame, charges: pl.DataFrame, *columns: str) -> None:
    assert charges.height > 0
    assert charges["tokens"].null_count() == 0
    wanted = _as_numbers(charges.rename({"usage_date": "date"}).select(columns))
    assert _as_numbers(answer.select(columns)).equals(wanted)


def _as_numbers(frame: pl.DataFrame) -> pl.DataFrame:
    """In one order; names by the codes that polars gives them wherever they occur."""
    names = [name for name, dtype in frame.schema.items() if dtype in (pl.String, pl.Categorical)]
    codes = frame.with_columns(pl.col(names).cast(pl.Categorical())).select(pl.all().to_physical())
    return codes.sort(pl.all())


# ------------------------------------------------------------------------------------------------------- rolling rule


@_sizes(1, 10, 30)
def test_rolling_tokenflex(measure: Callable[..., None], sessions: pl.DataFrame, millions: int) -> None:
    race = scoreboard.ROLLING.format(millions)
    assert sessions["start"].is_sorted()
    measure(race, scoreboard.TOKENFLEX, lambda: _rolling(sessions), OWN_ROUNDS)


@_sizes(1, 10)
@pytest.mark.parametrize(
    ("runner", "peer"),
    [
        (scoreboard.NUMBA, peers.rolling_by_sort_and_scan),
        (scoreboard.STABLE_NUMBA, peers.rolling_by_stable_sort_and_scan),
    ],
    ids=["sort", "stable-sort"],
)
def test_rolling_numba(
    measure: Callable[..., None], sessions: pl.DataFrame, millions: int, runner: str, peer: Callable[..., pl.DataFrame]
) -> None:
    _assert_same(peer(sessions, LENGTH, MIN_DURATION), _rolling(sessions), "user", "product", "charged_at")
    race = scoreboard.ROLLING.format(millions)
    measure(race, runner, lambda: peer(sessions, LENGTH, MIN_DURATION), PEER_ROUNDS)


@_sizes(1)
def test_rolling_duckdb(
    measure: Callable[..., None], sessions: pl.DataFrame, millions: int, duck: duckdb.DuckDBPyConnection
) -> None:
    answer = peers.rolling_in_duckdb(duck, sessions, LENGTH, MIN_DURATION)
    _assert_same(answer, _rolling(sessions), "user", "product", "charged_at")
    race = scoreboard.ROLLING.format(millions)
    measure(race, scoreboard.DUCKDB, lambda: peers.rolling_in_duckdb(duck, sessions, LENGTH, MIN_DURATION), 1)


@_sizes(10)
def test_rolling_strings_tokenflex(measure: Callable[..., None], strings: pl.DataFrame, millions: int) -> None:
    race = scoreboard.ROLLING_STRINGS.format(millions)
    measure(race, scoreboard.TOKENFLEX, lambda: _rolling(strings), OWN_ROUNDS)


@_sizes(10)
def test_rolling_strings_numba(measure: Callable[..., None], strings: pl.DataFrame, millions: int) -> None:
    answer = peers.rolling_by_sort_and_scan(strings, LENGTH, MIN_DURATION)
    _assert_same(answer, _rolling(strings), "user", "product", "charged_at")
    race = scoreboard.ROLLING_STRINGS.format(millions)
    peer = peers.rolling_by_sort_and_scan
    measure(race, scoreboard.NUMBA, lambda: peer(strings, LENGTH, MIN_DURATION), PEER_ROUNDS)


# ----------------------------------------------------------------------------------------------------------- day rule


@_sizes(1, 10, 30)
def test_day_tokenflex(measure: Callable[..., None], sessions: pl.DataFrame, millions: int) -> None:
    measure(scoreboard.DAY.format(millions), scoreboard.TOKENFLEX, lambda: _by_day(sessions), OWN_ROUNDS)


@_sizes(1, 10)
@pytest.mark.parametrize(
    ("runner", "peer", "columns"),
    [
        (scoreboard.POLARS_DAYS, peers.days_by_explode, ("user", "product", "date")),
        (scoreboard.POLARS_SPLIT_DAYS, peers.days_by_split, ("user", "product", "date")),
        (
            scoreboard.POLARS_CHARGED_DAYS,
            peers.charged_days_by_split,
            ("user", "product", "date", "charged_at"),
        ),
    ],
    ids=["explode", "split", "split-with-instants"],
)
def test_day_polars(
    *,
    measure: Callable[..., None],
    sessions: pl.DataFrame,
    millions: int,
    runner: str,
    peer: Callable[..., pl.DataFrame],
    columns: tuple[str, ...],
) -> None:
    _assert_same(peer(sessions, SERVERS), _by_day(sessions), *columns)
    measure(scoreboard.DAY.format(millions), runner, lambda: peer(sessions, SERVERS), PEER_ROUNDS)


@_sizes(1, 10)
def test_day_duckdb(
    measure: Callable[..., None], sessions: pl.DataFrame, millions: int, duck: duckdb.DuckDBPyConnection
) -> None:
    _assert_same(peers.days_in_duckdb(duck, sessions, SERVERS), _by_day(sessions), "user", "product", "date")
    race = scoreboard.DAY.format(millions)
    measure(race, scoreboard.DUCKDB, lambda: peers.days_in_duckdb(duck, sessions, SERVERS), PEER_ROUNDS)


# ---------------------------------------------------------------------------------------------------------- the floor


@_sizes(1, 10, 30)
def test_copy_of_the_columns(
    measure: Callable[..., None], board: scoreboard.Scoreboard, sessions: pl.DataFrame, millions: int
) -> None:
    """No answer comes cheaper than a copy of what it is made of, into memory that was not in use before."""
    columns = [sessions[column].to_physical().to_numpy(allow_copy=False) for column in sessions.columns]
    race = scoreboard.ROLLING.format(millions)
    measure(race, scoreboard.COPY, lambda: [_fresh_copy(column) for column in columns], FLOOR_ROUNDS)
    board.record(scoreboard.DAY.format(millions), scoreboard.COPY, board.seconds[race][scoreboard.COPY])


def _fresh_copy(column: np.ndarray) -> np.ndarray:
    """`np.copy`, except that it never gets pages that an earlier copy has left behind."""
    memory = mmap.mmap(-1, column.nbytes, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    memory.madvise(mmap.MADV_HUGEPAGE)  # numpy asks for large pages, too
    copy = np.frombuffer(memory, column.dtype)
    np.copyto(copy, column)
    return copy
