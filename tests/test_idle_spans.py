"""`idle`: spans without use equal their definition, by activity and by inference, and planted ones are found."""

from __future__ import annotations

import random
from datetime import UTC, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import harvest_reference
import tokenflex as tf
from reference import DAY, HOUR, TICK, Session
from strategies import HOMES, MINUTE, TIMES, Case, frame, instants, reports_frame, whole_cases, whole_terms

ZONES = ["Europe/Madrid", "America/Chicago", "Asia/Kathmandu", "Australia/Lord_Howe", "America/St_Johns"]


def at(day: int, hour: int = 0, minute: int = 0) -> datetime:
    return datetime(2026, 7, day, hour, minute, tzinfo=UTC)


def spans(found: pl.DataFrame) -> list[tuple[Any, ...]]:
    return found.select("session", "start", "end").rows()


# By activity.


@given(whole_cases(whole_terms(idle=True), reports=True, faults=False), st.sampled_from([TICK, 15 * MINUTE, DAY]))
@settings(max_examples=40)
def test_idle_by_activity_equals_the_definition(case: Case, least: timedelta) -> None:
    check_activity(case, least)


@pytest.mark.heavy
@given(whole_cases(whole_terms(idle=True), reports=True, faults=False), st.sampled_from([TICK, 15 * MINUTE, DAY]))
def test_idle_by_activity_equals_the_definition_at_length(case: Case, least: timedelta) -> None:
    check_activity(case, least)


def check_activity(case: Case, least: timedelta) -> None:
    reports = case.reports or []
    found = tf.idle(
        frame(case.sessions),
        activity=reports_frame(reports),
        idle_after=least,
        as_of=case.as_of,
        problems=tf.Problems(),
    )
    assert sorted(spans(found)) == sorted(
        harvest_reference.spans_by_activity(case.sessions, reports, case.as_of, least)
    )
    assert set(found["confidence"]) <= {1.0}
    assert (found["end"] - found["start"]).equals(found["duration"], check_names=False)


def test_idle_begins_at_the_last_sign_and_the_launch_is_one() -> None:
    session = frame([Session("ana", "ACD", at(13, 8), at(13, 17))])
    activity = pl.DataFrame(
        {"user": ["eva", "ana", "ana", "eva"], "time": [at(13, 7), at(13, 9), at(13, 9, 10), at(13, 23)]}
    )
    assert spans(tf.idle(session, activity=activity)) == [(0, at(13, 8), at(13, 9)), (0, at(13, 9, 10), at(13, 17))]


def test_after_the_record_ends_nothing_is_known() -> None:
    session = frame([Session("ana", "ACD", at(13, 8), at(13, 17))])
    activity = pl.DataFrame({"user": ["ana"] * 2, "time": [at(13, 8, 5), at(13, 9)]})
    assert spans(tf.idle(session, activity=activity)) == [(0, at(13, 8, 5), at(13, 9))]
    found = tf.idle(session, activity=activity, recorded_until=at(13, 12))
    assert spans(found)[1:] == [(0, at(13, 9), at(13, 12))]


def test_rows_that_say_nothing_are_told() -> None:
    session = frame([Session("ana", "ACD", at(13, 8), at(13, 17)), Session("ana", "ACD", at(13, 8), at(13, 7))])
    activity = pl.DataFrame({"user": ["ana", None, "ana"], "time": [at(13, 8), at(13, 9), None]})
    problems = tf.Problems()
    tf.idle(session, activity=activity, problems=problems)
    assert problems.frame.select("source", "location", "code").rows() == [
        ("sessions", 1, "end_before_start"),
        ("activity", 1, "missing_user"),
        ("activity", 2, "missing_start"),
    ]


# The server's own timeout.


def test_the_server_took_it_back_after_the_timeout() -> None:
    sessions = frame([Session("ana", product, at(13, 8), at(13, 17)) for product in ("ACD", "RVT", "ACD")])
    sessions = sessions.with_columns(end_reason=pl.Series(["inactive", "inactive", "checkin"]))
    found = tf.idle(sessions, timeout=HOUR)
    assert spans(found) == [(0, at(13, 16), at(13, 17)), (1, at(13, 16), at(13, 17))]
    assert found["source"].to_list() == ["timeout"] * 2
    assert spans(tf.idle(sessions, timeout={"RVT": 10 * HOUR})) == [(1, at(13, 8), at(13, 17))]
    assert spans(tf.idle(sessions, timeout={"XYZ": HOUR})) == []


def test_recorded_activity_goes_before_the_timeout_and_that_before_inference() -> None:
    days = [Session("ana", "ACD", at(day, 8), at(day, 17)) for day in (1, 2, 3, 6, 7, 8, 9, 10)]
    sessions = frame([Session("ana", "ACD", at(13, 8), at(14, 5)), *days]).with_columns(
        end_reason=pl.Series(["inactive"] + ["checkin"] * 8)
    )
    inferred = tf.idle(sessions, users={"ana": "UTC"})
    assert spans(inferred) == [(0, at(13, 20), at(14, 5))]
    both = tf.idle(sessions, users={"ana": "UTC"}, timeout=2 * HOUR)
    assert spans(both) == [(0, at(13, 20), at(14, 3)), (0, at(14, 3), at(14, 5))]
    assert both["source"].to_list() == ["rest", "timeout"]
    activity = pl.DataFrame({"user": ["ana"] * 2, "time": [at(13, 20), at(15)]})
    seen = tf.idle(sessions, users={"ana": "UTC"}, timeout=2 * HOUR, activity=activity)
    assert spans(seen) == [(0, at(13, 20), at(14, 5))]
    assert seen["source"].to_list() == ["activity"]


# By the shape of use.


@st.composite
def weeks(draw: st.DrawFn) -> tuple[list[Session], list[bool], dict[str, str], datetime | None]:
    """Some users' sessions, many of them over nights, and which of them ended by hand."""
    around = draw(st.sampled_from([instant for instant in TIMES if 1971 < instant.year < 2199]))
    zone = draw(st.sampled_from(ZONES))
    starts, lengths = instants(around, DAY), st.sampled_from([MINUTE, HOUR, 9 * HOUR, 14 * HOUR, DAY, 3 * DAY])
    local = st.builds(
        lambda day, hour: datetime.combine(around.date() + day * DAY, time(hour), ZoneInfo(zone)).astimezone(UTC),
        st.integers(-9, 9),
        st.sampled_from([6, 8, 9, 17, 20, 22]),
    )
    sessions = [
        Session(draw(st.sampled_from(["ana", "Ana"])), "ACD", start, start + draw(lengths))
        for start in draw(st.lists(st.one_of(local, starts), min_size=1, max_size=12))
    ]
    by_hand = [draw(st.integers(0, 3)) > 0 for _ in sessions]
    homes = {"ana": zone} | ({"Ana": draw(st.sampled_from(ZONES))} if draw(st.booleans()) else {})
    return sessions, by_hand, homes, None


def check_weeks(drawn: tuple[list[Session], list[bool], dict[str, str], datetime | None]) -> None:
    sessions, by_hand, homes, as_of = drawn
    reasons = pl.Series("end_reason", ["checkin" if hand else "crash" for hand in by_hand])
    table = frame(sessions).with_columns(reasons)
    problems = tf.Problems()
    found = tf.idle(table, users=homes, min_confidence=0, idle_after=timedelta(0), problems=problems)
    expected = harvest_reference.spans_of_quiet(sessions, homes, as_of, by_hand)
    assert spans(found) == [(row, start, end) for row, start, end, _, _ in expected]
    assert found["source"].to_list() == [source for *_, source, _ in expected]
    assert found["confidence"].to_list() == pytest.approx([sure for *_, sure in expected])
    if not {session.user for session in sessions if (session.end or at(1)) - session.start >= 4 * HOUR} <= set(homes):
        assert problems.frame["code"].to_list() == ["user_without_zone"]


@given(weeks())
@settings(max_examples=25)
def test_inferred_idle_time_equals_the_definition(
    drawn: tuple[list[Session], list[bool], dict[str, str], datetime | None],
) -> None:
    check_weeks(drawn)


@pytest.mark.heavy
@given(weeks())
def test_inferred_idle_time_equals_the_definition_at_length(
    drawn: tuple[list[Session], list[bool], dict[str, str], datetime | None],
) -> None:
    check_weeks(drawn)


def test_a_night_without_a_sign_and_a_whole_free_day() -> None:
    """From Friday to Monday: nights, free days, up to the morning on which nobody is surprised to see her."""
    days = [Session("ana", "ACD", at(day, 8), at(day, 17)) for day in (6, 7, 8, 9, 10)]
    found = tf.idle(frame([*days, Session("ana", "RVT", at(17, 16), at(20, 9))]), users={"ana": "UTC"})
    assert spans(found) == [(5, at(17, 20), at(20, 6))]
    assert found["source"].to_list() == ["rest"]
    # Four free days and fourteen nights lie from first to last sign, two and three of them in this span.
    assert found["confidence"][0] == pytest.approx(3 / 4)


def test_a_working_day_without_a_sign_is_a_gap() -> None:
    days = [
        Session("ana", product, at(day, hour), at(day, hour + 2))
        for day in (1, 2, 3, 6, 7, 8, 9)
        for hour, product in ((8, "ACD"), (11, "RVT"))
    ]
    away = Session("ana", "ACD", at(13, 16), at(16, 9))  # Monday to Thursday
    found = tf.idle(frame([*days, away]), users={"ana": "UTC"})
    assert spans(found) == [(14, at(13, 20), at(16, 6))]
    assert found["source"].to_list() == ["gap"]
    # On seven of her working days there were four signs; on two of them only one: nine, and one more.
    assert found["confidence"][0] == pytest.approx(7 / 10)


def test_a_launch_or_check_in_of_any_product_is_a_sign() -> None:
    days = [Session("ana", "ACD", at(day, 8), at(day, 17)) for day in (6, 7, 8, 9, 10)]
    night = Session("ana", "ACD", at(13, 16), at(14, 9))
    for sign in (Session("ana", "RVT", at(13, 21), at(15)), Session("ana", "RVT", at(13, 9), at(13, 21))):
        found = tf.idle(frame([*days, night, sign]), users={"ana": "UTC"})
        assert 5 not in found["session"]
    of_another = Session("eva", "RVT", at(13, 21), at(13, 22))
    assert 5 in tf.idle(frame([*days, night, of_another]), users={"ana": "UTC", "eva": "UTC"})["session"]


def test_who_works_at_night_is_not_said_to_be_idle() -> None:
    nights = [Session("ana", "ACD", at(day, 21), at(day + 1, 3)) for day in (6, 7, 8, 9, 10)]
    sessions = frame([*nights, Session("ana", "ACD", at(13, 18), at(14, 3))])
    assert tf.idle(sessions, users={"ana": "UTC"}).is_empty()
    assert tf.idle(sessions, users={"ana": "UTC"}, min_confidence=0)["confidence"][0] < 0.5


def firm(seed: int) -> tuple[list[Session], set[int], dict[str, str]]:
    """Half a year of people in three zones: by day, late, in shifts; now and then one leaves a product open."""
    rng = random.Random(seed)
    sessions: list[Session] = []
    forgotten: set[int] = set()
    homes = {}
    for number in range(40):
        user, zone = f"user{number}", ZONES[number % len(ZONES)]
        homes[user] = zone
        kind = "shift" if number % 10 == 9 else "late" if number % 10 == 8 else "day"
        for day in range(120):
            date = datetime(2026, 1, 5) + timedelta(days=day)  # noqa: DTZ001 - on the wall
            if date.isoweekday() > 5 or rng.random() < 0.1:
                continue
            begin = {"day": 8.5, "late": 11.0, "shift": 21.0}[kind] + rng.gauss(0, 0.5)
            worked = {"day": 8.5, "late": 10.5, "shift": 8.0}[kind] + rng.gauss(0, 0.7)
            noon = begin + worked / 2
            pieces = [(begin, noon), (noon + 0.6, begin + worked)]
            for place, (start, end) in enumerate(pieces):
                is_forgotten = place == 1 and kind == "day" and rng.random() < 0.03
                if is_forgotten:
                    forgotten.add(len(sessions))
                until = end + rng.uniform(9, 60) if is_forgotten else end
                first = (date + timedelta(hours=start)).replace(tzinfo=ZoneInfo(zone)).astimezone(UTC)
                last = (date + timedelta(hours=until)).replace(tzinfo=ZoneInfo(zone)).astimezone(UTC)
                sessions.append(Session(user, "ACD", first, last))
    return sessions, forgotten, homes


@pytest.mark.parametrize("seed", [1, 2])
def test_sessions_that_were_left_open_are_found_and_few_others(seed: int) -> None:
    sessions, forgotten, homes = firm(seed)
    told = set(tf.idle(frame(sessions), users=homes)["session"])
    assert len(forgotten) > 50
    right = len(told & forgotten)
    assert right / len(told) > 0.9
    assert right / len(forgotten) > 0.9


@pytest.mark.parametrize("seed", [1])
def test_by_activity_every_session_that_was_left_open_is_found_and_no_other(seed: int) -> None:
    """The agent saw everyone every ten minutes until they left."""
    sessions, forgotten, _ = firm(seed)
    left = {row: sessions[row].start + 3 * HOUR for row in forgotten}
    seen = [
        (session.user, session.start + step * 10 * MINUTE)
        for row, session in enumerate(sessions)
        for step in range(200)
        if session.start + step * 10 * MINUTE < left.get(row, session.end or session.start)
    ]
    activity = pl.DataFrame(seen, schema={"user": pl.String, "time": pl.Datetime("us", "UTC")}, orient="row")
    found = tf.idle(frame(sessions), activity=activity)
    ended = found.filter(pl.col("session").is_in(forgotten))
    assert set(ended["session"]) == forgotten
    assert set(found["session"]) == forgotten
    begins = ended.group_by("session").agg(pl.col("start").min()).rows()
    assert all(timedelta(0) <= left[row] - start <= 10 * MINUTE for row, start in begins)


@given(weeks(), st.sampled_from([0.0, 0.5]))
@settings(max_examples=15)
def test_spans_of_one_session_do_not_overlap(
    drawn: tuple[list[Session], list[bool], dict[str, str], datetime | None], least: float
) -> None:
    sessions, by_hand, homes, _ = drawn
    reasons = pl.Series("end_reason", ["inactive" if hand else "crash" for hand in by_hand])
    found = tf.idle(
        frame(sessions).with_columns(reasons),
        users=homes,
        timeout=5 * HOUR,
        min_confidence=least,
        problems=tf.Problems(),
    )
    before = pl.col("end").shift(1).over("session")
    assert found.filter(pl.col("start") < before).is_empty()
    within = found.with_columns(
        since=frame(sessions)["start"].gather(found["session"]), until=frame(sessions)["end"].gather(found["session"])
    )
    assert within.filter((pl.col("start") < pl.col("since")) | (pl.col("end") > pl.col("until"))).is_empty()


@pytest.mark.parametrize(
    ("arguments", "error", "says"),
    [
        ({}, tf.ArgumentError, "nothing tells of idle time"),
        ({"users": HOMES, "quiet": -HOUR}, tf.ArgumentError, "negative"),
        ({"users": HOMES, "min_confidence": 2}, tf.ArgumentError, "0 to 1"),
        ({"users": HOMES, "min_confidence": "high"}, tf.ArgumentTypeError, "number"),
        ({"timeout": 3}, tf.ArgumentTypeError, "timeout"),
        ({"users": {"ana": "Nowhere/City"}}, tf.ZoneError, "Nowhere/City"),
        ({"users": HOMES, "night": (time(6), time(20))}, tf.ArgumentError, "midnight"),
        ({"activity": pl.DataFrame({"user": ["ana"]})}, tf.MissingColumnError, "'time'"),
        ({"activity": pl.DataFrame({"time": [at(1)]})}, tf.MissingColumnError, "'user'"),
        ({"activity": pl.DataFrame({"user": ["ana"], "time": ["now"]})}, tf.ColumnTypeError, "'time'"),
    ],
)
def test_arguments_that_make_no_sense(arguments: dict[str, Any], error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says):
        tf.idle(frame([Session("ana", "ACD", at(13, 8), at(13, 17))]), **arguments)
