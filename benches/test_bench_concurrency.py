"""`concurrency` beside sums of events in polars and DuckDB, and beside staircase."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import duckdb
import polars as pl
import pytest

import scoreboard
import tokenflex as tf
from make_sessions import PRODUCT_NAMES, make_sessions
from peers_concurrency import (
    steps_by_group_in_polars,
    steps_in_duckdb,
    steps_in_staircase,
    sums_in_polars,
)

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.bench

NAMES = pl.Enum(sorted(PRODUCT_NAMES))


@pytest.fixture(scope="module")
def sessions(scale: float) -> pl.DataFrame:
    return make_sessions(int(10_000_000 * scale)).select("product", "start", "end")


@pytest.fixture(scope="module")
def answer(sessions: pl.DataFrame) -> pl.DataFrame:
    return comparable(tf.concurrency(sessions))


def comparable(steps: pl.DataFrame) -> pl.DataFrame:
    return steps.select(
        pl.col("product").cast(pl.String).cast(NAMES),
        pl.col("time").dt.convert_time_zone("UTC"),
        pl.col("in_use").cast(pl.UInt32),
    ).sort("product", "time")


def test_concurrency_tokenflex(measure: Callable[..., None], sessions: pl.DataFrame) -> None:
    measure(scoreboard.CONCURRENCY, scoreboard.TOKENFLEX, lambda: tf.concurrency(sessions), 5)


@pytest.mark.parametrize(
    ("runner", "query"),
    [
        (scoreboard.POLARS_SUMS, sums_in_polars),
        (scoreboard.POLARS_BY_GROUP, steps_by_group_in_polars),
    ],
)
def test_concurrency_polars(
    measure: Callable[..., None],
    sessions: pl.DataFrame,
    answer: pl.DataFrame,
    runner: str,
    query: Callable[[pl.DataFrame], pl.DataFrame],
) -> None:
    assert comparable(query(sessions)).equals(answer)
    measure(scoreboard.CONCURRENCY, runner, lambda: query(sessions), 3)


def test_concurrency_duckdb(measure: Callable[..., None], sessions: pl.DataFrame, answer: pl.DataFrame) -> None:
    with duckdb.connect() as connection:
        connection.register("sessions", sessions.with_columns(pl.col("product").cast(pl.String).cast(NAMES)).to_arrow())
        assert comparable(pl.DataFrame(steps_in_duckdb(connection))).equals(answer)
        measure(scoreboard.CONCURRENCY, scoreboard.DUCKDB, lambda: steps_in_duckdb(connection), 1)


def test_concurrency_staircase(measure: Callable[..., None], sessions: pl.DataFrame, answer: pl.DataFrame) -> None:
    frame = sessions.with_columns(pl.col("product").cast(pl.String).cast(NAMES)).to_pandas()
    found: Any = steps_in_staircase(frame)
    for product, values in found.items():
        ours = answer.filter(pl.col("product") == product)
        assert (values.index.tz_convert(None).to_numpy() == ours["time"].dt.replace_time_zone(None).to_numpy()).all()
        assert (values.to_numpy() == ours["in_use"].to_numpy()).all()
    assert sum(len(values) for values in found.values()) == answer.height
    measure(scoreboard.CONCURRENCY, scoreboard.STAIRCASE, lambda: steps_in_staircase(frame), 3)
