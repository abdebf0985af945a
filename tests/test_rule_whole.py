"""`charge` under rules with any fields, against the definition in plain Python; and each field by hand."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings

import reference
import tokenflex as tf
from reference import DAY, HOUR, Rate, Session, Terms
from strategies import Case, charge, frame, whole_cases, whole_terms, with_rule_id

RATES = [Rate("ACD", Decimal(7)), Rate("RVT", Decimal(10))]


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def charged(sessions: list[Session], terms: Terms, **arguments: Any) -> list[tuple[Any, ...]]:
    """Session, instant, window end and date of each charge, which are those of the definition too."""
    case = Case(sessions, terms, RATES, None, **arguments)
    assert_equals_definition(case)
    return charge(case).select("session", "charged_at", "window_end", "usage_date").rows()


def assert_equals_definition(case: Case) -> None:
    expected = reference.charge(**case.for_reference())
    assert charge(case).to_dicts() == with_rule_id(expected, case.terms)


@given(whole_cases())
@settings(max_examples=700)
def test_charges_of_any_rule_equal_the_definition(case: Case) -> None:
    assert_equals_definition(case)


@pytest.mark.heavy
@given(whole_cases(max_size=30))
@settings(settings.get_profile("heavy"))
def test_charges_of_any_rule_equal_the_definition_at_length(case: Case) -> None:
    assert_equals_definition(case)


@given(whole_cases())
@settings(max_examples=200)
def test_the_problems_are_the_faults_of_the_definition(case: Case) -> None:
    zones = reference.Zones(case.terms, case.servers, case.users)
    faults = [(row, reference.fault(session, zones)) for row, session in enumerate(case.sessions)]
    arguments = case.for_verb()
    tf.charge(frame(case.sessions), **arguments)
    found = arguments["problems"].frame.filter(pl.col("location").is_not_null())
    assert found.select("location", "code").rows() == [(row, code) for row, code in faults if code is not None]


@given(whole_cases(whole_terms(idle=False, incremental=False)))
@settings(max_examples=200)
def test_without_families_and_idle_time_occasions_say_the_same_as_windows(case: Case) -> None:
    """The definition says the plain rules twice: by windows, and by occasions."""
    plain = reference.charge(**case.for_reference())
    by_occasions = reference.charge(
        **replace(
            case, terms=replace(case.terms, incremental=True), rates=[replace(rate, family=None) for rate in case.rates]
        ).for_reference()
    )
    assert by_occasions == plain


def test_a_day_begins_some_hours_after_midnight_by_the_clock() -> None:
    night = Session("ana", "ACD", at("2026-07-13 20:00"), at("2026-07-14 06:30"))
    terms = Terms("day", zone="Europe/Madrid", day_start=4 * HOUR)
    assert charged([night], terms) == [
        (0, at("2026-07-13 20:00"), at("2026-07-14 02:00"), datetime(2026, 7, 13).date()),  # noqa: DTZ001
        (0, at("2026-07-14 02:00"), at("2026-07-15 02:00"), datetime(2026, 7, 14).date()),  # noqa: DTZ001
    ]


def test_where_the_clock_skips_the_start_of_the_day_it_begins_at_the_change() -> None:
    """Madrid, 29 March 2026: 02:00 is followed by 03:00."""
    night = Session("ana", "ACD", at("2026-03-28 20:00"), at("2026-03-29 05:00"))
    charges = charged([night], Terms("day", zone="Europe/Madrid", day_start=timedelta(hours=2, minutes=30)))
    assert [instant for _, instant, _, _ in charges] == [at("2026-03-28 20:00"), at("2026-03-29 01:00")]


def test_a_day_of_the_user_is_that_of_her_zone() -> None:
    work = Session("ana", "ACD", at("2026-07-13 01:00"), at("2026-07-13 10:00"), "new-york")
    of_server = charged([work], Terms("day"), servers={"new-york": "America/New_York"})
    of_user = charged([work], Terms("day", zone="user"), users={"ana": "Asia/Singapore"})
    assert [instant for _, instant, _, _ in of_server] == [at("2026-07-13 01:00"), at("2026-07-13 04:00")]
    assert of_user == [(0, at("2026-07-13 01:00"), at("2026-07-13 16:00"), datetime(2026, 7, 13).date())]  # noqa: DTZ001


def test_a_user_without_a_zone_is_a_problem() -> None:
    sessions = [Session(user, "ACD", at("2026-07-13 01:00"), at("2026-07-13 10:00")) for user in ("ana", "bo")]
    problems = tf.Problems()
    rule = tf.Rule(window="day", zone="user")
    charges = tf.charge(frame(sessions), rule=rule, rates=tf.Rates({"ACD": 7}), users={"bo": "UTC"}, problems=problems)
    assert charges["user"].to_list() == ["bo"]
    assert problems.frame.select("location", "code").rows() == [(0, "unknown_user")]


def test_a_rule_of_the_users_days_asks_for_their_zones() -> None:
    with pytest.raises(tf.ZoneError, match="users="):
        tf.charge(frame([]), rule=tf.Rule(window="day", zone="user"), rates=tf.Rates({"ACD": 7}))


@pytest.mark.parametrize("window", ["rolling", "day"])
def test_without_renewal_only_launches_are_charged(window: Any) -> None:
    days = [
        Session("ana", "ACD", at("2026-07-13 08:00"), at("2026-07-16 09:00")),
        Session("ana", "ACD", at("2026-07-15 10:00"), at("2026-07-15 11:00")),
    ]
    zone = "UTC" if window == "day" else ""
    charges = charged(days, Terms(window, zone=zone, renew=False))
    assert [(session, instant) for session, instant, _, _ in charges] == [
        (0, at("2026-07-13 08:00")),
        (1, at("2026-07-15 10:00")),
    ]


@pytest.mark.parametrize("incremental", [False, True])
def test_each_server_charges_by_itself_where_the_scope_is_the_server(*, incremental: bool) -> None:
    start = at("2026-07-13 08:00")
    sessions = [Session("ana", "ACD", start + hour * HOUR, start + 9 * HOUR, f"lic-0{hour % 2}") for hour in range(4)]
    terms = Terms("rolling", incremental=incremental)
    assert [session for session, *_ in charged(sessions, terms)] == [0]
    assert [session for session, *_ in charged(sessions, replace(terms, scope="server"))] == [0, 1]


def test_without_a_server_nothing_can_be_charged_where_the_scope_is_the_server() -> None:
    start = at("2026-07-13 08:00")
    sessions = [Session("ana", "ACD", start, start + HOUR, server) for server in (None, "lic-01")]
    problems = tf.Problems()
    rule = tf.Rule(window="rolling", scope="server")
    charges = tf.charge(frame(sessions), rule=rule, rates=tf.Rates({"ACD": 7}), problems=problems)
    assert charges["session"].to_list() == [1]
    assert problems.frame.select("location", "code").rows() == [(0, "missing_server")]
    with pytest.raises(tf.MissingColumnError, match="server"):
        tf.charge(frame(sessions).drop("server"), rule=rule, rates=tf.Rates({"ACD": 7}))


def test_the_host_pays_for_what_is_metered_by_machine_and_the_user_stands_in_the_charge() -> None:
    start = at("2026-07-13 08:00")
    who = [("ana", "pc1"), ("bo", "pc1"), ("bo", "pc2"), ("pc1", "pc3")]
    sessions = [
        Session(user, product, start + place * HOUR, start + 9 * HOUR, "lic-01", host)
        for product in ("ARNOLD", "ACD")
        for place, (user, host) in enumerate(who)
    ]
    case = Case(sessions, Terms("rolling", machine_metered=frozenset({"ARNOLD"})), RATES, None)
    assert_equals_definition(case)
    charges = charge(case)
    assert charges.filter(product="ARNOLD").select("user", "session").rows() == [("ana", 0), ("bo", 2), ("pc1", 3)]
    assert charges.filter(product="ACD")["user"].to_list() == ["ana", "bo", "pc1"]


def test_without_a_host_only_what_is_metered_by_machine_cannot_be_charged() -> None:
    start = at("2026-07-13 08:00")
    sessions = [Session("ana", product, start, start + HOUR) for product in ("ARNOLD", "ACD")]
    problems = tf.Problems()
    rule = tf.Rule(window="rolling", machine_metered=frozenset({"ARNOLD"}))
    rates = tf.Rates({"ACD": 7, "ARNOLD": 1})
    charges = tf.charge(frame(sessions), rule=rule, rates=rates, problems=problems)
    assert charges["product"].to_list() == ["ACD"]
    assert problems.frame.select("location", "code").rows() == [(0, "missing_host")]
    with pytest.raises(tf.MissingColumnError, match="host"):
        tf.charge(frame(sessions).drop("host"), rule=rule, rates=rates)


def test_a_session_is_measured_as_a_whole_against_the_minimum() -> None:
    """Its idle parts count: it was open that long."""
    start = at("2026-07-13 08:00")
    rule = tf.Rule(window="rolling", min_duration=HOUR, idle_after=timedelta(minutes=15))
    activity = pl.DataFrame({"user": ["ana"], "time": [start]})
    sessions = frame([Session("ana", "ACD", start, start + HOUR)])
    assert tf.charge(sessions, rule=rule, rates=tf.Rates({"ACD": 7}), activity=activity).height == 1


def test_a_window_longer_than_a_day_is_counted_in_elapsed_time() -> None:
    start = at("2026-07-13 08:00")
    charges = charged([Session("ana", "ACD", start, start + 15 * DAY)], Terms("rolling", length=7 * DAY))
    assert [instant - start for _, instant, _, _ in charges] == [0 * DAY, 7 * DAY, 14 * DAY]
