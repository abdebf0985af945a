"""`harvest_replay`: what taking idle licenses back would have saved equals charging the cut sessions one by one."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import harvest_reference
import tokenflex as tf
from reference import DAY, HOUR, TICK, Rate, Session, Terms
from strategies import MINUTE, Case, frame, whole_cases

if TYPE_CHECKING:
    from harvest_reference import Span

AFTER = [TICK, 15 * MINUTE, HOUR, 9 * HOUR, DAY]
RATES = tf.Rates({"ACD": 7})


def at(day: int, hour: int = 0, minute: int = 0) -> datetime:
    return datetime(2026, 7, day, hour, minute, tzinfo=UTC)


def spans_frame(spans: list[Span]) -> pl.DataFrame:
    time = pl.Datetime("us", "UTC")
    return pl.DataFrame(spans, schema={"session": pl.Int64, "start": time, "end": time}, orient="row")


@st.composite
def cases_with_spans(draw: st.DrawFn) -> tuple[Case, list[Span]]:
    """Sessions of all kinds, and idle spans in some of them, and some where no session is."""
    case = draw(whole_cases())
    lengths = st.sampled_from([TICK, 15 * MINUTE, 16 * MINUTE, HOUR, 10 * HOUR, DAY, 2 * DAY])
    offsets = st.sampled_from([-HOUR, timedelta(0), TICK, HOUR, 9 * HOUR, DAY])
    spans = []
    for row in draw(st.lists(st.integers(0, len(case.sessions)), max_size=6)):
        start = case.sessions[min(row, len(case.sessions) - 1)].start if case.sessions else at(1)
        since = start + draw(offsets)
        spans.append((row, since, since + draw(lengths)))
    return case, spans


def replayed(case: Case, spans: list[Span], after: list[timedelta] | None = None) -> pl.DataFrame:
    return tf.harvest_replay(frame(case.sessions), idle=spans_frame(spans), after=after or AFTER, **case.for_verb())


@given(cases_with_spans())
@settings(max_examples=25)
def test_savings_equal_a_recharge_of_the_cut_sessions(drawn: tuple[Case, list[Span]]) -> None:
    check(*drawn)


@pytest.mark.heavy
@given(cases_with_spans())
def test_savings_equal_a_recharge_of_the_cut_sessions_at_length(drawn: tuple[Case, list[Span]]) -> None:
    check(*drawn)


def check(case: Case, spans: list[Span]) -> None:
    assert replayed(case, spans).to_dicts() == [harvest_reference.replayed(case, spans, after) for after in AFTER]


@given(cases_with_spans())
@settings(max_examples=25)
def test_a_longer_time_never_cuts_more(drawn: tuple[Case, list[Span]]) -> None:
    found = replayed(*drawn)
    for name in ("sessions_cut", "cuts", "reopens", "hours_freed"):
        assert found[name].is_sorted(descending=True), name


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 1_200), st.integers(1, 200)), min_size=1, max_size=6))
@settings(max_examples=25)
def test_cuts_inside_of_a_paid_day_save_nothing(drawn: list[tuple[int, int, int]]) -> None:
    """All is used before and after the span on its own day, so each day is paid in any case."""
    start, end = at(13), at(18)
    case = Case([Session("ana", "ACD", start, end)], Terms("day", zone="utc"), [Rate("ACD", Decimal(7))], None)
    spans = []
    for day, minute, length in drawn:
        since = start + day * DAY + minute * MINUTE + MINUTE
        spans.append((0, since, min(since + length * MINUTE, start + (day + 1) * DAY - MINUTE)))
    found = replayed(case, spans, [TICK, MINUTE, HOUR])
    assert found["tokens_saved"].to_list() == [0, 0, 0]
    assert found["cuts"][0] > 0
    assert found["cuts_saving_nothing"].to_list() == found["cuts"].to_list()


@given(st.integers(1, 20), st.integers(0, 1_300), st.integers(2, 130))
@settings(max_examples=25)
def test_a_cut_inside_of_a_paid_window_saves_nothing(days: int, minute: int, length: int) -> None:
    """In use again before the window ends, the session is in use at its end as it was."""
    start = at(1, 7)
    case = Case(
        [Session("ana", "ACD", start, start + days * DAY)],
        Terms("rolling", min_duration=5 * MINUTE),
        [Rate("ACD", Decimal(7))],
        None,
    )
    since = start + (days - 1) * DAY + minute * MINUTE
    until = min(since + length * MINUTE, start + days * DAY - 5 * MINUTE)
    found = replayed(case, [(0, since, until)], [MINUTE])
    assert found.select("cuts", "reopens").row(0) == (1, 1)
    assert found["charges_avoided"][0] == 0
    assert found["cuts_saving_nothing"][0] == 1
    assert found["tokens_saved"][0] == 0


def test_a_reopen_that_is_charged_counts_against_the_saving() -> None:
    """Idle over midnight, in use again on the next day: the charge only moves from midnight to the morning."""
    sessions = frame([Session("ana", "ACD", at(13, 8), at(14, 17))])
    found = tf.harvest_replay(
        sessions,
        rule=tf.Rule(window="day", zone="utc"),
        rates=RATES,
        idle=spans_frame([(0, at(13, 18), at(14, 8))]),
        after=[HOUR],
    )
    assert found.select("cuts", "reopens", "charges_avoided", "tokens_saved", "cuts_saving_nothing").row(0) == (
        *(1, 1, 0, Decimal(0), 1),
    )


def test_a_short_reopen_can_be_free_and_two_sessions_have_to_be_cut_both() -> None:
    """Under a rule with a minimum, three minutes after midnight are casual; another session still pays the day."""
    rule = tf.Rule(window="day", zone="utc", min_duration=5 * MINUTE)
    one, other = Session("ana", "ACD", at(13, 8), at(14, 8, 3)), Session("ana", "ACD", at(13, 9), at(14, 9))
    spans = [(0, at(13, 18), at(14, 8)), (1, at(13, 18), at(14, 9))]

    def saved(sessions: list[Session], idle: list[Span]) -> tuple[Any, ...]:
        found = tf.harvest_replay(frame(sessions), rule=rule, rates=RATES, idle=spans_frame(idle), after=[HOUR])
        return found.select("tokens_saved", "cuts", "cuts_saving_nothing").row(0)

    assert saved([one], spans[:1]) == (7, 1, 0)
    assert saved([one, other], spans[:1]) == (0, 1, 1)
    assert saved([one, other], spans) == (7, 2, 0)


def test_without_spans_it_looks_for_idle_time_itself() -> None:
    sessions = frame([Session("ana", "ACD", at(17, 8), at(20, 9))])
    activity = pl.DataFrame({"user": ["ana"] * 3, "time": [at(17, 16), at(20, 8), at(21)]})
    rule = tf.Rule(window="day", zone="utc")
    terms: dict[str, Any] = {"rule": rule, "rates": RATES, "after": [HOUR]}
    seen = tf.harvest_replay(sessions, **terms, activity=activity)
    assert seen.select("tokens_saved", "reopens").row(0) == (14, 1)
    others = [Session("ana", "ACD", at(day, 8), at(day, 17)) for day in range(1, 11)]
    inferred = tf.harvest_replay(
        frame([Session("ana", "ACD", at(17, 8), at(20, 9)), *others]), **terms, users={"ana": "UTC"}
    )
    assert inferred["tokens_saved"][0] == 14
    with pytest.raises(tf.ArgumentError, match="nothing tells of idle time"):
        tf.harvest_replay(sessions, **terms)


def test_spans_of_no_session_are_told() -> None:
    sessions = frame([Session("ana", "ACD", at(17, 8), at(17, 9))])
    spans = spans_frame([(0, at(18), at(19)), (5, at(17), at(18)), (0, at(17, 8), at(17, 9))])
    problems = tf.Problems()
    found = tf.harvest_replay(sessions, rule=tf.FLEX, rates=RATES, idle=spans, after=[MINUTE], problems=problems)
    assert found["cuts"][0] == 1
    assert problems.frame.select("source", "location", "code").rows() == [
        ("idle", 0, "idle_without_session"),
        ("idle", 1, "idle_without_session"),
    ]


def test_bad_sessions_are_told_once() -> None:
    sessions = frame([Session("ana", "ACD", at(17, 8), at(17, 7)), Session("ana", "XYZ", at(17, 8), at(17, 9))])
    problems = tf.Problems()
    activity = pl.DataFrame({"user": ["ana"], "time": [at(17, 8)]})
    tf.harvest_replay(sessions, rule=tf.FLEX, rates=RATES, activity=activity, problems=problems)
    assert problems.frame["code"].to_list() == ["end_before_start", "no_rate"]


@pytest.mark.parametrize(
    ("after", "error", "says"),
    [
        ([], tf.ArgumentError, "empty"),
        ([timedelta(0)], tf.ArgumentError, "at once"),
        ([-HOUR], tf.ArgumentError, "negative"),
        ([60], tf.ArgumentTypeError, "timedelta"),
        (HOUR, tf.ArgumentTypeError, "list of timedeltas"),
    ],
)
def test_times_that_make_no_sense(after: Any, error: type[Exception], says: str) -> None:
    sessions = frame([Session("ana", "ACD", at(17, 8), at(17, 9))])
    with pytest.raises(error, match=says):
        tf.harvest_replay(sessions, rule=tf.FLEX, rates=RATES, idle=spans_frame([]), after=after)


def test_progress_is_told() -> None:
    sessions, told = frame([Session("ana", "ACD", at(17, 8), at(17, 9))]), []
    tf.harvest_replay(
        sessions,
        rule=tf.FLEX,
        rates=RATES,
        idle=spans_frame([]),
        after=[HOUR, HOUR, DAY],
        progress=lambda done, total: told.append((done, total)),
    )
    assert told == [(1, 2), (2, 2)]
