"""`tf.judge_denials` and `tf.summarize_denials`: against what a person would look up in the log."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tokenflex as tf

if TYPE_CHECKING:
    from collections.abc import Sequence

ORIGIN = datetime(2026, 7, 13, 8, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
WITHIN = 5
SERVERS = st.sampled_from(["mad", "chi"])
USERS = st.sampled_from(["ana", "ben"])
PRODUCTS = st.sampled_from(["ACD", "RVT"])
MINUTES = st.integers(0, 40)
DENIALS = st.lists(st.tuples(SERVERS, USERS, PRODUCTS, MINUTES), max_size=8)
SESSIONS = st.lists(st.tuples(SERVERS, USERS, PRODUCTS, MINUTES, st.integers(0, 15)), max_size=8)

Denial = tuple[str, str, str, int]
Session = tuple[str, str, str, int, int]


def denials_of(rows: Sequence[Denial]) -> pl.DataFrame:
    schema: dict[str, Any] = {"server": pl.String, "user": pl.String, "product": pl.String, "time": tf.tables.TIME}
    return pl.DataFrame([(*row[:3], ORIGIN + row[3] * MINUTE) for row in rows], schema=schema, orient="row")


def sessions_of(rows: Sequence[Session]) -> pl.DataFrame:
    schema: dict[str, Any] = {
        "server": pl.String,
        "user": pl.String,
        "product": pl.String,
        "start": tf.tables.TIME,
        "end": tf.tables.TIME,
    }
    times = [(*row[:3], ORIGIN + row[3] * MINUTE, ORIGIN + (row[3] + row[4]) * MINUTE) for row in rows]
    return pl.DataFrame(times, schema=schema, orient="row")


def looked_up(denial: Denial, denials: Sequence[Denial], sessions: Sequence[Session], place: int) -> tuple[Any, ...]:
    """Outcome, whether it repeats, minutes of wait, how many in use."""
    server, user, product, at = denial
    own = [(start, start + length) for _, who, what, start, length in sessions if (who, what) == (user, product)]
    later = [start for start, _ in own if start >= at]
    wait = min(later) - at if later else None
    if any(start < at < end for start, end in own):
        outcome = "in_use"
    else:
        outcome = "served" if wait is not None and wait <= WITHIN else "refused"
    before = [
        row[3] for other, row in enumerate(denials) if row[1:3] == (user, product) and (row[3], other) < (at, place)
    ]
    in_use = sum(
        start <= at < start + length for where, _, what, start, length in sessions if (where, what) == (server, product)
    )
    return outcome, bool(before) and at - max(before) <= WITHIN, wait, in_use


@settings(max_examples=80)
@given(DENIALS, SESSIONS)
def test_each_refusal_is_what_one_would_look_up(denials: list[Denial], sessions: list[Session]) -> None:
    judged = tf.judge_denials(denials_of(denials), sessions_of(sessions), within=WITHIN * MINUTE, limits={"ACD": 9})
    found = [
        (row["outcome"], row["is_repeat"], None if row["wait"] is None else row["wait"] // MINUTE, row["in_use"])
        for row in judged.iter_rows(named=True)
    ]
    assert found == [looked_up(row, denials, sessions, place) for place, row in enumerate(denials)]
    assert judged["is_real"].to_list() == [outcome == "refused" for outcome, *_ in found]
    assert judged["limit"].to_list() == [9 if row[2] == "ACD" else None for row in denials]
    summary = tf.summarize_denials(judged)
    assert summary["denials"].sum() == len(denials)
    assert summary["cases"].sum() == sum(not is_repeat for _, is_repeat, *_ in found)
    assert summary["real"].sum() == sum(outcome == "refused" and not is_repeat for outcome, is_repeat, *_ in found)


LOG = b"""8:00:00 (lmgrd) TIMESTAMP 7/13/2026
8:00:05 (adskflex) DENIED: "64300ACD_F" ana@pc1  (Licensed number of users already reached. (-4,342))
8:00:05 (adskflex) DENIED: "87545ACD_2022_0F" ana@pc1  (Licensed number of users already reached. (-4,342))
8:00:06 (adskflex) OUT: "87333ACD_2021_0F" ana@pc1
8:01:00 (adskflex) UNSUPPORTED: "87537INVPROSA_2022_0F" (00B0 EF6E ) ben@pc2  (No such feature exists. (-5,346))
9:00:00 (adskflex) IN: "87333ACD_2021_0F" ana@pc1
"""


def test_another_version_of_the_product_serves_as_well() -> None:
    log = tf.read_flexlm(LOG, timezone="UTC", server="lic-01")
    judged = tf.judge_denials(tf.denials(log.events), tf.pair(log.events))
    assert judged.select("product", "kind", "reason_code", "outcome", "is_real").rows() == [
        ("ACD", "DENIED", -4, "served", False),
        ("INVPROSA", "UNSUPPORTED", -5, "refused", True),
    ]
    assert judged["wait"].to_list() == [timedelta(seconds=1), None]
    summary = tf.summarize_denials(judged)
    assert summary.select("product", "real", "users", "users_refused", "longest_wait").rows() == [
        ("INVPROSA", 1, 1, 1, None),
        ("ACD", 0, 1, 0, timedelta(seconds=1)),
    ]


def test_a_program_that_goes_on_asking_was_not_refused() -> None:
    denials = denials_of([("mad", "ana", "ACD", 0)]).with_columns(is_last_attempt=False, why=pl.lit(-22, pl.Int32))
    judged = tf.judge_denials(denials, sessions_of([]))
    assert judged.select("outcome", "is_real", "reason_code").row(0) == ("retried", False, -22)


def test_rows_that_cannot_be_judged_are_problems() -> None:
    good = denials_of([("mad", "ana", "ACD", 0)])
    bad = [
        good.with_columns(pl.lit(None, good.schema[name]).alias(name)) for name in ("time", "user", "product", "server")
    ]
    late = good.with_columns(time=datetime(2200, 1, 1, tzinfo=UTC))
    problems = tf.Problems()
    sessions = sessions_of([("mad", "ana", "ACD", 1, 1)])
    wrong = sessions.with_columns(end=pl.col("start") - MINUTE)
    judged = tf.judge_denials(pl.concat([*bad, late, good]), pl.concat([sessions, wrong]), problems=problems)
    assert judged.select("server", "outcome").rows() == [(None, "served"), ("mad", "served")]
    assert problems.frame.select("source", "location", "code").rows() == [
        ("denials", 0, "missing_time"),
        ("denials", 1, "missing_user"),
        ("denials", 2, "missing_product"),
        ("denials", 4, "time_out_of_range"),
        ("sessions", 1, "end_before_start"),
    ]


def test_calls_that_make_no_sense_say_what_to_do() -> None:
    denials, sessions = denials_of([("mad", "ana", "ACD", 0)]), sessions_of([("mad", "ana", "ACD", 1, 1)])
    with pytest.raises(tf.MissingColumnError, match="product and feature"):
        tf.judge_denials(denials.drop("product"), sessions)
    with pytest.raises(tf.MissingColumnError, match="'user'"):
        tf.judge_denials(denials, sessions.drop("user"))
    with pytest.raises(tf.ColumnTypeError, match="'reason'"):
        tf.judge_denials(denials.with_columns(reason=1), sessions)
    with pytest.raises(tf.ColumnTypeError, match="'user'"):
        tf.judge_denials(denials, sessions.with_columns(user=1))
    with pytest.raises(tf.ArgumentError, match="negative"):
        tf.judge_denials(denials, sessions, within=-MINUTE)
    with pytest.raises(tf.MissingColumnError, match="'server'"):
        tf.summarize_denials(sessions.drop("server"))
    with pytest.raises(tf.ColumnTypeError, match="is_real"):
        tf.summarize_denials(tf.judge_denials(denials, sessions).with_columns(is_real=1))
