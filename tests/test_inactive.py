"""`tf.inactive`: against a plain look at each user's sessions."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tokenflex as tf

ORIGIN = datetime(2026, 7, 13, 8, tzinfo=UTC)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
SHORT = timedelta(minutes=90)

Session = tuple[str, str, int, int | None]
ONE = st.tuples(
    st.sampled_from(["ana", "ben", "eva"]),
    st.sampled_from(["ACD", "RVT"]),
    st.integers(0, 120),
    st.sampled_from([0, 1, 2, 30, None]),
)


def frame_of(rows: list[Session]) -> pl.DataFrame:
    schema: dict[str, Any] = {
        "user": pl.String,
        "product": pl.String,
        "start": tf.tables.TIME,
        "end": tf.tables.TIME,
    }
    times = [
        (user, product, ORIGIN + start * HOUR, None if length is None else ORIGIN + (start + length) * HOUR)
        for user, product, start, length in rows
    ]
    return pl.DataFrame(times, schema=schema, orient="row")


def looked_at(rows: list[Session], as_of: int) -> dict[tuple[str, str], tuple[Any, ...]]:
    """For each user and product: last use, days, first use, short only, sessions, short ones, use, in use."""
    found: dict[tuple[str, str], tuple[Any, ...]] = {}
    seen = [row for row in rows if row[2] <= as_of]
    for key in {row[:2] for row in seen}:
        own = [
            (start, as_of + 1 if length is None else start + length)
            for *who, start, length in seen
            if tuple(who) == key
        ]
        last = max(min(end, as_of) for _, end in own)
        brief = [end <= as_of and (end - start) * HOUR < SHORT for start, end in own]
        found[key] = (
            ORIGIN + last * HOUR,
            (as_of - last) // 24,
            ORIGIN + min(start for start, _ in own) * HOUR,
            all(brief),
            len(own),
            sum(brief),
            sum(min(end, as_of) - start for start, end in own) * HOUR,
            any(end > as_of for _, end in own),
        )
    return found


@settings(max_examples=80)
@given(st.lists(ONE, max_size=12), st.integers(0, 200))
def test_each_row_is_what_a_look_at_the_sessions_says(rows: list[Session], as_of: int) -> None:
    found = tf.inactive(frame_of(rows), as_of=ORIGIN + as_of * HOUR, short=SHORT)
    assert {(row[0], row[1]): row[2:] for row in found.iter_rows()} == looked_at(rows, as_of)
    days = found["days_since"].to_list()
    assert days == sorted(days, reverse=True)


ROWS: list[Session] = [("ana", "ACD", 0, 2), ("ben", "ACD", 30, 1), ("ana", "RVT", 40, None)]


def test_those_who_were_never_seen_are_rows() -> None:
    found = tf.inactive(
        frame_of(ROWS), by="user", as_of=ORIGIN + 10 * DAY, users=["ben", "eva", "zoe", "eva"], short=SHORT
    )
    assert found.select("user", "days_since", "sessions", "is_short_only", "is_in_use").rows() == [
        ("eva", None, 0, None, False),
        ("zoe", None, 0, None, False),
        ("ben", 8, 1, True, False),
        ("ana", 0, 2, False, True),
    ]
    both = tf.inactive(frame_of(ROWS), users=["eva"], products=["LT", "ACD"])
    assert both.select("user", "product", "sessions").head(2).rows() == [("eva", None, 0), (None, "LT", 0)]
    assert tf.inactive(frame_of([]), by="product", products=["ACD"])["product"].to_list() == ["ACD"]


def test_what_pair_left_open_is_in_use() -> None:
    log = tf.read_flexlm(
        b"""8:00:00 (lmgrd) TIMESTAMP 7/13/2026
8:00:05 (adskflex) OUT: "87545ACD_2022_0F" ana@pc1
8:00:05 (adskflex) OUT: "87545ACD_2022_0F" ben@pc2
9:00:00 (adskflex) IN: "87545ACD_2022_0F" ben@pc2
""",
        timezone="UTC",
        server="lic-01",
    )
    found = tf.inactive(tf.pair(log.events), by="user")
    assert dict(found.select("user", "is_in_use").iter_rows()) == {"ana": True, "ben": False}


def test_rows_that_say_nothing_are_problems() -> None:
    frame = frame_of(ROWS)
    bad = [
        frame.head(1).with_columns(start=pl.lit(None, tf.tables.TIME)),
        frame.head(1).with_columns(end=datetime(2300, 1, 1, tzinfo=UTC)),
        frame.head(1).with_columns(end=pl.col("start") - HOUR),
    ]
    problems = tf.Problems()
    found = tf.inactive(pl.concat([*bad, frame]), problems=problems)
    assert found.equals(tf.inactive(frame))
    codes = ["missing_start", "time_out_of_range", "end_before_start"]
    assert problems.frame.select("location", "code").rows() == list(enumerate(codes))


def test_calls_that_make_no_sense_say_what_to_do() -> None:
    frame = frame_of(ROWS)
    nonsense: Any
    with pytest.raises(tf.ArgumentError, match="by is empty"):
        tf.inactive(frame, by=())
    with pytest.raises(tf.ArgumentError, match="needs 'user' in by="):
        tf.inactive(frame, by="product", users=["ana"])
    for nonsense in ("ana", 3, [3]):
        with pytest.raises(tf.ArgumentTypeError, match="users has to"):
            tf.inactive(frame, users=nonsense)
    with pytest.raises(tf.ColumnTypeError, match="'product'"):
        tf.inactive(frame.with_columns(product=1))
    many = pl.concat([frame.head(1).with_columns(end=datetime(2199, 1, 1, tzinfo=UTC))] * 2_000)
    with pytest.raises(tf.CapacityError, match="thousand years"):
        tf.inactive(many, as_of=datetime(2199, 1, 1, tzinfo=UTC))
