"""`tf.concurrency`: against a count at every instant, and against other libraries."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import staircase
from hypothesis import given, settings
from hypothesis import strategies as st

import concurrency_reference as reference
import tokenflex as tf
from concurrency_reference import Held, helds

if TYPE_CHECKING:
    import random
    from collections.abc import Sequence

ORIGIN = datetime(2026, 7, 13, 8, tzinfo=UTC)
COUNTS = st.sampled_from(["licenses", "users"])


def counted(sessions: pl.DataFrame, **options: Any) -> list[tuple[Any, ...]]:
    return tf.concurrency(sessions, **options).rows()


def agrees_with_the_count(held: Sequence[Held], count: Any) -> None:
    found = counted(reference.frame_of(held, ORIGIN), count=count)
    assert found == reference.steps(held, ORIGIN, count)


@given(helds(), COUNTS)
def test_the_steps_are_the_count_at_every_instant(held: list[Held], count: str) -> None:
    agrees_with_the_count(held, count)


@pytest.mark.heavy
@settings(max_examples=3_000)
@given(helds(last=60, most=40), COUNTS)
def test_the_steps_are_the_count_at_every_instant_at_length(held: list[Held], count: str) -> None:
    agrees_with_the_count(held, count)


@settings(max_examples=40)
@given(helds(), COUNTS, st.randoms(use_true_random=False))
def test_the_order_of_rows_changes_nothing(held: list[Held], count: Any, shuffle: random.Random) -> None:
    expected = counted(reference.frame_of(held, ORIGIN), count=count)
    shuffle.shuffle(held)
    assert counted(reference.frame_of(held, ORIGIN), count=count) == expected


@settings(max_examples=40)
@given(helds(), COUNTS, st.integers(0, 40))
def test_a_session_in_two_that_follow_each_other_is_one(held: list[Held], count: Any, at: int) -> None:
    expected = counted(reference.frame_of(held, ORIGIN), count=count)
    assert counted(reference.frame_of(reference.split(held, at), ORIGIN), count=count) == expected


@settings(max_examples=20)
@given(helds())
def test_staircase_says_the_same(held: list[Held]) -> None:
    frame = reference.frame_of(held, ORIGIN).with_columns(
        pl.col("licenses").fill_null(1), pl.col("product").fill_null("")
    )
    assert_equals_staircase(frame)


def assert_equals_staircase(frame: pl.DataFrame) -> None:
    found = tf.concurrency(frame)
    # A session that holds nothing makes `staircase` put zeros into its answer.
    used = frame.filter(pl.col("start") < pl.col("end"), pl.col("licenses") > 0)
    groups = used["product"].unique().sort().to_list()
    assert found["product"].unique().cast(pl.String).sort().to_list() == groups
    for group in groups:
        rows = used.filter(pl.col("product") == group).to_pandas()
        values = staircase.Stairs(frame=rows, start="start", end="end", value="licenses").step_values
        ours = found.filter(pl.col("product") == group)
        assert list(values.index) == [pd.Timestamp(time) for time in ours["time"].to_list()]
        assert values.tolist() == ours["in_use"].to_list()


@cache
def many(rows: int) -> pl.DataFrame:
    """Enough for several buckets of time and for two threads; times in seconds, so that many meet."""
    rng = np.random.default_rng(rows)
    start = int(ORIGIN.timestamp()) + rng.integers(0, 200_000, rows)
    return pl.DataFrame(
        {
            "product": pl.Series(["ACD", "RVT", "LT", "CIV3D"]).gather(rng.integers(0, 4, rows)),
            "user": pl.Series([f"user{place}" for place in range(500)]).gather(rng.integers(0, 500, rows)),
            "licenses": rng.choice([1, 1, 1, 2, 7], rows),
            "start": start,
            "end": start + rng.exponential(4_000, rows).astype(np.int64),
        }
    ).with_columns((pl.col("start", "end") * 1_000_000).cast(pl.Datetime("us", "UTC")))


def event_sums(sessions: pl.DataFrame, by: list[str]) -> pl.DataFrame:
    """The same answer in polars: all changes by instant, and their running sum."""
    licenses = pl.col("licenses").cast(pl.Int64)
    events = pl.concat(
        [sessions.select(*by, time="start", moved=licenses), sessions.select(*by, time="end", moved=-licenses)]
    )
    sums = events.group_by(*by, "time").agg(pl.col("moved").sum()).filter(pl.col("moved") != 0).sort(*by, "time")
    running = pl.col("moved").cum_sum()
    return sums.select(*by, "time", in_use=(running.over(by) if by else running).cast(pl.UInt32))


@pytest.mark.parametrize(
    ("by", "is_ordered"),
    [([], True), ([], False), (["product"], True), (["product", "user"], False)],
    ids=["all ordered", "all shuffled", "product ordered", "both shuffled"],
)
def test_many_rows_are_the_sums_of_their_events(by: list[str], is_ordered: bool) -> None:  # noqa: FBT001 - a case
    sessions = many(110_000).with_columns(pl.col(by).cast(pl.Categorical))
    if is_ordered:
        sessions = sessions.sort("start")
    for each in (sessions, sessions.with_columns(licenses=1)):
        found = tf.concurrency(each, by=by).with_columns(pl.col(by).cast(pl.String))
        assert found.equals(event_sums(each.with_columns(pl.col(by).cast(pl.String)), by))


def test_many_users_are_the_union_of_their_sessions() -> None:
    sessions = many(110_000)
    united = (
        sessions.filter(pl.col("start") < pl.col("end"))
        .sort("start")
        .with_columns(before=pl.col("end").cum_max().shift(1).over("product", "user"))
        .with_columns(
            stretch=(pl.col("start") > pl.col("before")).fill_null(value=True).cum_sum().over("product", "user")
        )
        .group_by("product", "user", "stretch")
        .agg(pl.col("start").min(), pl.col("end").max(), licenses=pl.lit(1))
    )
    found = tf.concurrency(sessions, count="users").with_columns(pl.col("product").cast(pl.String))
    assert found.equals(event_sums(united, ["product"]))


def test_many_rows_and_staircase() -> None:
    assert_equals_staircase(many(20_000))


def test_many_groups_are_those_that_have_steps() -> None:
    row = pl.int_range(15_000, eager=True)
    start = pl.Series([ORIGIN]).new_from_index(0, len(row)) + pl.Series([timedelta(minutes=1)]).gather(row * 0) * row
    sessions = pl.DataFrame({"user": row.cast(pl.String), "start": start, "licenses": 1 + row % 2})
    # Every seventh is a launch of zero length, and has none.
    sessions = sessions.with_columns(
        end=pl.col("start") + pl.when(row % 7 > 0).then(timedelta(hours=1)).otherwise(timedelta(0))
    )
    for count in (1, 2):
        some = pl.concat([sessions] * count)
        found = tf.concurrency(some, by="user").with_columns(pl.col("user").cast(pl.String))
        assert found.equals(event_sums(some, ["user"]))


def test_one_outlier_in_time_changes_nothing_else() -> None:
    sessions = many(30_000).with_columns(licenses=1)
    early = sessions.head(1).with_columns(start=datetime(1970, 1, 1, tzinfo=UTC), end=datetime(1970, 1, 2, tzinfo=UTC))
    late = sessions.head(1).with_columns(
        start=datetime(2199, 12, 31, tzinfo=UTC), end=datetime(2199, 12, 31, 1, tzinfo=UTC)
    )
    found = tf.concurrency(pl.concat([sessions, early, late]), by=())
    assert found[2:-2].equals(tf.concurrency(sessions, by=()))


SESSIONS = reference.frame_of(
    [Held("ACD", 0, 10, 1, "ana"), Held("ACD", 5, 20, 3, "ben"), Held("RVT", 3, 3, 1, "ana")], ORIGIN
)


def test_open_sessions_last_until_as_of_or_the_last_instant() -> None:
    opened = SESSIONS.with_columns(end=pl.when(pl.col("user") != "ana").then("end"), licenses=1)
    last = tf.concurrency(opened, by=())["time"].max()
    assert last == ORIGIN + timedelta(minutes=20)
    later = tf.concurrency(opened, by=(), as_of=ORIGIN + timedelta(hours=1))
    assert later["time"].max() == ORIGIN + timedelta(hours=1)
    assert later["in_use"].to_list() == [1, 2, 3, 2, 0]


def test_rows_that_cannot_be_counted_are_problems() -> None:
    bad = pl.concat(
        [
            SESSIONS,
            SESSIONS.head(1).with_columns(start=pl.lit(None, pl.Datetime("us", "UTC"))),
            SESSIONS.head(1).with_columns(end=pl.col("start") - timedelta(minutes=1)),
            SESSIONS.head(1).with_columns(end=datetime(2200, 1, 1, tzinfo=UTC)),
            SESSIONS.head(1).with_columns(user=pl.lit(None, pl.String)),
        ]
    )
    problems = tf.Problems()
    found = tf.concurrency(bad, count="users", problems=problems)
    assert found.equals(tf.concurrency(SESSIONS, count="users"))
    assert problems.frame.select("source", "location", "code").rows() == [
        ("sessions", 3, "missing_start"),
        ("sessions", 4, "end_before_start"),
        ("sessions", 5, "time_out_of_range"),
        ("sessions", 6, "missing_user"),
    ]
    assert tf.concurrency(bad.drop("licenses"), problems=tf.Problems()).height > 0
    with pytest.warns(tf.TokenflexWarning, match="concurrency: 3 problems"):
        tf.concurrency(bad)
    hosts = tf.Problems()
    tf.concurrency(bad.rename({"user": "host"}), count="hosts", problems=hosts)
    assert hosts.frame["code"].to_list()[-1] == "missing_host"


def test_calls_that_make_no_sense_say_what_to_do() -> None:
    with pytest.raises(tf.MissingColumnError, match="'site' is missing"):
        tf.concurrency(SESSIONS, by="site")
    with pytest.raises(tf.ArgumentError, match="rename yours first"):
        tf.concurrency(SESSIONS.rename({"user": "time"}), by="time")
    wrong: Any = "sessions"
    with pytest.raises(tf.ArgumentError, match="licenses, users, hosts"):
        tf.concurrency(SESSIONS, count=wrong)
    for by in (("product", "product"), 3, [3]):
        nonsense: Any = by
        with pytest.raises(tf.ArgumentError, match="each once"):
            tf.concurrency(SESSIONS, by=nonsense)
    with pytest.raises(tf.ColumnTypeError, match="licenses"):
        tf.concurrency(SESSIONS.with_columns(licenses=1.5))
    with pytest.raises(tf.ColumnValueError, match="licenses"):
        tf.concurrency(SESSIONS.with_columns(licenses=-1))
    with pytest.raises(tf.ColumnTypeError, match="start"):
        tf.concurrency(SESSIONS.with_columns(pl.col("start").dt.replace_time_zone(None)))
    with pytest.raises(tf.ColumnTypeError, match="product"):
        tf.concurrency(SESSIONS.with_columns(product=1))
    with pytest.raises(tf.CapacityError, match="licenses at once"):
        tf.concurrency(SESSIONS.with_columns(licenses=2**32 - 1))


def test_any_table_will_do_and_stays_as_it_is() -> None:
    expected = counted(SESSIONS, by=("product", "user"))
    before = SESSIONS.clone()
    shapes: list[Any] = [
        SESSIONS.lazy(),
        SESSIONS.to_arrow(),
        SESSIONS.to_pandas(),
        SESSIONS.with_columns(pl.col("start", "end").dt.convert_time_zone("Asia/Tokyo").dt.cast_time_unit("ns")),
        SESSIONS.with_columns(pl.col("product", "user").cast(pl.Categorical)),
        pa.Table.from_batches(SESSIONS[:2].to_arrow().to_batches() + SESSIONS[2:].to_arrow().to_batches()),
    ]
    for shape in shapes:
        assert counted(shape, by=("product", "user")) == expected
    assert SESSIONS.equals(before)
    assert tf.concurrency(SESSIONS.clear()).schema == tf.concurrency(SESSIONS).schema
