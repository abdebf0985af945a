"""`charge` against the definition in plain Python: every row, every column, for random sessions."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import polars as pl
import pytest
from hypothesis import example, given, settings

import reference
import tokenflex as tf
from reference import DAY, HOUR, TICK, Rate, Session, Terms
from strategies import MINUTE, SERVERS, Case, all_terms, cases, frame, rates_frame

COLUMNS = [
    "user",
    "product",
    "server",
    "charged_at",
    "window_end",
    "usage_date",
    "category",
    "trigger",
    "tokens",
    "session",
    "rule_id",
]


def rule_of(terms: Terms) -> tf.Rule:
    if terms.window == "rolling":
        return tf.Rule(window="rolling", length=terms.length, min_duration=terms.min_duration)
    return tf.Rule(window="day", zone=terms.zone, min_duration=terms.min_duration)


def charge(case: Case, sessions: Any = None) -> pl.DataFrame:
    """The library's charges of a case."""
    return tf.charge(
        frame(case.sessions) if sessions is None else sessions,
        rule=rule_of(case.terms),
        rates=tf.Rates(rates_frame(case.rates)),
        servers=case.servers,
        as_of=case.as_of,
        problems=tf.Problems(),
    )


def assert_equals_reference(case: Case) -> None:
    charges = charge(case)
    assert charges.columns == COLUMNS
    rule_id = rule_of(case.terms).rule_id
    expected = reference.charge(case.sessions, case.terms, case.rates, case.servers, case.as_of)
    assert charges.to_dicts() == [row | {"rule_id": rule_id} for row in expected]


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


ONE_RATE = [Rate("ACD", Decimal(7))]

# Each of these is a sentence of the semantics where two readings are possible.
ENDS_AT_WINDOW_END = Case(
    [Session("ana", "ACD", at("2026-07-13 08:00"), at("2026-07-14 08:00"))], Terms("rolling"), ONE_RATE, None
)
STARTS_AT_WINDOW_END = Case(
    [
        Session("ana", "ACD", at("2026-07-13 08:00"), at("2026-07-13 08:00")),
        Session("ana", "ACD", at("2026-07-14 08:00"), at("2026-07-14 08:00")),
    ],
    Terms("rolling"),
    ONE_RATE,
    None,
)
IN_USE_BEFORE_LAUNCH_AT_ONE_INSTANT = Case(
    [
        Session("ana", "ACD", at("2026-07-14 08:00"), at("2026-07-14 09:00")),
        Session("ana", "ACD", at("2026-07-13 08:00"), at("2026-07-14 10:00")),
    ],
    Terms("rolling"),
    ONE_RATE,
    None,
)
GAP_BETWEEN_WINDOWS_WHILE_SHORT_SESSION_PASSES = Case(
    [
        Session("ana", "ACD", at("2026-07-13 08:00"), at("2026-07-14 07:00")),
        Session("ana", "ACD", at("2026-07-14 07:58"), at("2026-07-14 08:02")),
        Session("ana", "ACD", at("2026-07-14 08:03"), at("2026-07-14 08:08")),
    ],
    Terms("rolling", min_duration=5 * MINUTE),
    ONE_RATE,
    None,
)
SPLIT_DATES = Case(
    [Session("ana", "ACD", at("2010-11-07 02:30:30"), at("2010-11-07 02:31:30"), "yyt-lic-01")],
    Terms("day"),
    ONE_RATE,
    None,
)
SPLIT_DATES_AND_BOTH_SECOND_STRETCHES = Case(
    [
        Session("ana", "ACD", at("2010-11-07 02:00"), at("2010-11-07 04:00"), "yyt-lic-01"),
        Session("bo", "ACD", at("2010-11-07 02:30:30"), at("2010-11-07 04:00"), "yyt-lic-01"),
    ],
    Terms("day"),
    ONE_RATE,
    None,
)
SECOND_STRETCH_OF_A_DATE_BEFORE_ITS_FIRST_IS_TOUCHED = Case(
    [
        Session("ana", "ACD", at("2010-11-07 03:00"), at("2010-11-07 04:00"), "yyt-lic-01"),
        Session("ana", "ACD", at("2010-11-07 02:30:30"), at("2010-11-07 02:30:40"), "yyt-lic-01"),
    ],
    Terms("day"),
    ONE_RATE,
    None,
)
MISSING_DATE = Case(
    [Session("ana", "ACD", at("2011-12-30 09:00"), at("2011-12-31 10:00:00.000001"), "apw-lic-01")],
    Terms("day"),
    ONE_RATE,
    None,
)
LATER_SERVER_TOUCHES_A_DATE_FIRST = Case(
    [
        Session("ana", "ACD", at("2026-07-13 23:00"), at("2026-07-14 06:00"), "chi-lic-01"),
        Session("ana", "ACD", at("2026-07-14 00:00"), at("2026-07-14 01:00"), "sin-lic-01"),
        Session("ana", "ACD", at("2026-07-13 15:00"), at("2026-07-13 15:30"), "sin-lic-01"),
    ],
    Terms("day"),
    ONE_RATE,
    None,
)
TWO_DATES_AT_ONE_INSTANT = Case(
    [
        Session("ana", "ACD", at("2026-07-13 20:00"), at("2026-07-13 21:00"), "sin-lic-01"),
        Session("ana", "ACD", at("2026-07-13 20:00"), at("2026-07-13 21:00"), "chi-lic-01"),
        Session("ana", "ACD", at("2026-07-13 20:00"), at("2026-07-13 21:00"), "chi-lic-01"),
    ],
    Terms("day"),
    ONE_RATE,
    None,
)
LONG_SESSION_OVER_A_MISSING_DATE = Case(
    [
        Session("ana", "ACD", at("2011-11-01 12:00"), at("2012-03-01 12:00"), "apw-lic-01"),
        Session("ana", "ACD", at("2011-11-05 12:00"), at("2011-11-05 13:00"), "mad-lic-01"),
        Session("ana", "ACD", at("2011-12-30 12:00"), at("2011-12-30 13:00"), "mad-lic-01"),
    ],
    Terms("day"),
    ONE_RATE,
    None,
)
OPEN_LONG_AFTER_THE_LAST_ROW = Case(
    [Session("ana", "ACD", at("2026-07-13 08:00"), None, "mad-lic-01")],
    Terms("day"),
    ONE_RATE,
    at("2026-08-13 08:00"),
)


@given(cases())
@example(LONG_SESSION_OVER_A_MISSING_DATE)
@example(OPEN_LONG_AFTER_THE_LAST_ROW)
@example(ENDS_AT_WINDOW_END)
@example(STARTS_AT_WINDOW_END)
@example(IN_USE_BEFORE_LAUNCH_AT_ONE_INSTANT)
@example(GAP_BETWEEN_WINDOWS_WHILE_SHORT_SESSION_PASSES)
@example(SPLIT_DATES)
@example(SPLIT_DATES_AND_BOTH_SECOND_STRETCHES)
@example(SECOND_STRETCH_OF_A_DATE_BEFORE_ITS_FIRST_IS_TOUCHED)
@example(MISSING_DATE)
@example(LATER_SERVER_TOUCHES_A_DATE_FIRST)
@example(TWO_DATES_AT_ONE_INSTANT)
@settings(max_examples=1_000)
def test_charges_equal_the_definition(case: Case) -> None:
    assert_equals_reference(case)


@pytest.mark.heavy
@given(cases(max_size=40))
@settings(settings.get_profile("heavy"))
def test_charges_equal_the_definition_at_length(case: Case) -> None:
    assert_equals_reference(case)


@pytest.mark.parametrize("order", ["sorted", "nearly sorted", "shuffled"])
@pytest.mark.parametrize(
    "terms",
    [
        Terms("rolling"),
        Terms("rolling", min_duration=5 * MINUTE),
        Terms("day"),
        Terms("day", zone="utc", min_duration=5 * MINUTE),
    ],
    ids=lambda terms: f"{terms.window}-{terms.zone}-{terms.min_duration}",
)
def test_charges_of_many_sessions_equal_the_definition(terms: Terms, order: str) -> None:
    """In all orders, with tables of keys that are dense and that are sparse."""
    count = 25_000
    chance = random.Random(f"{terms} {order}")
    first = at("2026-02-20 00:00")
    starts = sorted(first + chance.randrange(30 * DAY // TICK) * TICK for _ in range(count))
    if order == "shuffled":
        chance.shuffle(starts)
    if order == "nearly sorted":
        starts = [start - chance.choice([0, 0, 0, 0, 40]) * MINUTE for start in starts]
    names = sorted(SERVERS)
    sessions = []
    for start in starts:
        hours = chance.choice([0, 0.05, 1, 9, 9, 30])
        end = start + hours * HOUR if chance.random() > 0.001 else None
        user = f"user{chance.randrange(1_500)}"
        # With many products, few of all possible keys occur.
        tail = chance.randrange(1_000) if order == "nearly sorted" and chance.random() < 0.2 else 0
        product = f"P{tail}" if tail else chance.choice(["ACD", "RVT"])
        sessions.append(Session(user, product, start, end, chance.choice(names)))
    assert_equals_reference(Case(sessions, terms, ONE_RATE, None))


@given(cases(open_sessions=True, min_size=1))
def test_without_as_of_open_sessions_last_until_the_last_instant_of_the_table(case: Case) -> None:
    last = max(instant for s in case.sessions for instant in (s.start, s.end) if instant is not None)
    open_ended = Case(case.sessions, case.terms, case.rates, None)
    told = Case(case.sessions, case.terms, case.rates, last)
    assert charge(open_ended).equals(charge(told))


@given(cases(all_terms().filter(lambda terms: terms.zone != "server" or terms.window == "rolling")))
def test_without_servers_where_no_rule_needs_them(case: Case) -> None:
    bare = frame(case.sessions).drop("server")
    charges = tf.charge(
        bare,
        rule=rule_of(case.terms),
        rates=tf.Rates(rates_frame(case.rates)),
        as_of=case.as_of,
        problems=tf.Problems(),
    )
    assert charges["server"].null_count() == charges.height
    assert charges.drop("server").equals(charge(case).drop("server"))


def test_schema_is_the_same_with_and_without_rows() -> None:
    full = charge(ENDS_AT_WINDOW_END)
    empty = charge(Case([], Terms("rolling"), ONE_RATE, None))
    assert full.height == 1
    assert empty.height == 0
    assert full.columns == empty.columns == COLUMNS
    for charges in (full, empty):
        assert charges.schema["charged_at"] == pl.Datetime("us", "UTC")
        assert charges.schema["window_end"] == pl.Datetime("us", "UTC")
        assert charges.schema["usage_date"] == pl.Date
        assert charges.schema["tokens"] == pl.Decimal(38, 4)
        assert charges.schema["session"] == pl.UInt64
        assert charges.schema["category"] == pl.Enum(["CHARGED", "INCREMENTAL", "FREE", "CASUAL"])
        assert charges.schema["trigger"] == pl.Enum(["launch", "renewal", "resume"])
        for name in ("user", "product", "server"):
            assert charges.schema[name] == pl.Categorical


def test_a_session_over_years_is_charged_for_each_day() -> None:
    start, end = at("1970-01-02 00:00"), at("2199-12-31 12:00")
    days = (end - start) // timedelta(days=1) + 1
    sessions = [Session("ana", "ACD", start, end, "utc-lic-01")]
    for terms in (Terms("rolling"), Terms("day")):
        charges = charge(Case(sessions, terms, ONE_RATE, None))
        assert charges.height == days
        assert charges["tokens"].sum() == 7 * days
        assert charges["charged_at"].diff().drop_nulls().unique().to_list() == [DAY]
