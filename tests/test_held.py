"""`tf.held`: the licenses that each session holds, and from when on."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

import pairing_reference as reference
import tokenflex as tf
from test_pair import at, event, events
from tokenflex import tables

MOVES = st.tuples(
    st.integers(0, 30), st.sampled_from(["OUT", "IN"]), st.sampled_from(["ana", "ben"]), st.sampled_from([1, 1, 2, 3])
)


def test_each_row_holds_the_same_number_all_the_time() -> None:
    rows = [event(0, "OUT"), event(10, "OUT"), event(20, "IN"), event(30, "OUT"), event(40, "IN"), event(50, "IN")]
    held = tf.held(events(*rows))
    assert dict(held.schema) == dict(tables.HELD)
    assert held.select("start", "end", "licenses", "checkouts", "session").rows() == [
        (at(0), at(10), 1, 1, 0),
        (at(10), at(20), 2, 1, 0),
        (at(20), at(30), 1, 0, 0),
        (at(30), at(40), 2, 1, 0),
        (at(40), at(50), 1, 0, 0),
    ]


def test_an_upgrade_is_no_request_and_a_stop_cuts_off() -> None:
    rows = [
        event(0, "OUT", "flow", licenses=5),
        event(10, "UPGRADE", "flow", licenses=6, reason="5->6"),
        event(20, "STOP"),
        event(25, "IN", "flow", licenses=2),
        event(400, "START"),
    ]
    held = tf.held(events(*rows), problems=tf.Problems())
    assert held.select("start", "end", "licenses", "checkouts", "end_reason").rows() == [
        (at(0), at(10), 5, 1, "stop"),
        (at(10), at(20), 6, 0, "stop"),
    ]


def test_check_outs_at_one_instant_are_all_requests() -> None:
    held = tf.held(events(event(0, "OUT"), event(0, "OUT"), event(5, "IN"), event(5, "IN")))
    assert held.select("start", "end", "licenses", "checkouts").rows() == [(at(0), at(0), 1, 1), (at(0), at(5), 2, 1)]
    capacity = tf.capacity(held)
    assert capacity.select("requests", "peak", "mean", "asked_p99").row(0) == (2, 2, 2.0, 0)


@settings(max_examples=80)
@given(st.lists(MOVES, max_size=25))
def test_what_is_held_is_the_running_count(moves: list[tuple[int, str, str, int]]) -> None:
    moves = sorted(moves, key=lambda move: move[0])
    log = [event(second, kind, user=user, licenses=licenses) for second, kind, user, licenses in moves]
    if not log:
        return
    held = tf.held(events(*log), as_of=at(40), problems=tf.Problems())
    sessions = tf.pair(events(*log), as_of=at(40), problems=tf.Problems())
    united = held.group_by("session", maintain_order=True).agg(
        pl.col("start").min(), pl.col("end").max(), pl.col("licenses").max(), pl.col("checkouts").sum()
    )
    assert united.drop("session").rows() == sessions.select("start", "end", "licenses", "checkouts").rows()
    found = tf.concurrency(held, by="user")
    for user in {user for _, _, user, _ in moves}:
        expected: list[tuple[Any, int]] = []
        count = 0
        for second in range(41):
            for at_second, kind, who, licenses in moves:
                if (at_second, who) == (second, user):
                    count = count + licenses if kind == "OUT" else max(count - licenses, 0)
            # What is still out ends with `as_of`.
            now = count if second < 40 else 0
            if now != (expected[-1][1] if expected else 0):
                expected.append((at(second), now))
        ours = found.filter(pl.col("user") == user).select("time", "in_use").rows()
        assert ours == expected
    # The same sessions as a plain pairing has.
    lines = [
        reference.Line(at(second), kind, "mad-lic-01", user, "pc1", "87545ACD_2022_0F", licenses)
        for second, kind, user, licenses in moves
    ]
    plain, _ = reference.pair(lines, at(40))
    assert sum((each.end - each.start for each in plain), timedelta()) == (held["end"] - held["start"]).sum()


def test_refusals_are_judged_by_check_outs() -> None:
    """A check-in makes a row of `held` begin, and serves nobody."""
    log = events(
        event(0, "OUT", user="ben", host="pc2"),
        event(0, "OUT", user="ben", host="pc2"),
        event(10, "DENIED", reason="Licensed number of users already reached. (-4,342)"),
        event(20, "IN", user="ben", host="pc2"),
        event(30, "OUT"),
    )
    judged = tf.judge_denials(tf.denials(log), tf.held(log, problems=tf.Problems()))
    assert judged.select("outcome", "wait", "in_use").row(0) == ("served", timedelta(seconds=20), 2)
    refused = events(
        event(0, "OUT"),
        event(0, "OUT"),
        event(30, "IN"),
        event(40, "DENIED", user="ben"),
        event(50, "IN"),
    )
    judged = tf.judge_denials(tf.denials(refused), tf.held(refused).with_columns(user=pl.lit("ben")))
    assert judged["outcome"].to_list() == ["in_use"]
