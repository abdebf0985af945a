"""Avoidable charges: each habit by hand, the law of what cutting saves, and planted habits found one by one."""

from __future__ import annotations

import random
from dataclasses import replace
from datetime import UTC, datetime, time, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st

import tokenflex as tf
from avoidable_reference import GRAZED, IDLE, LEFT, MISTAKE, Audit, Limits
from reference import DAY, HOUR, Rate, Report, Session, Terms
from strategies import MINUTE, Case, charge, frame, instants, reports_frame, reports_of, whole_cases

if TYPE_CHECKING:
    from collections.abc import Sequence

RATES = [Rate("ACD", Decimal(7)), Rate("RVT", Decimal(10))]
UTC_DAYS = Terms("day", zone="utc")
ROLLING = Terms("rolling")
LIMITS = Limits()


def at(clock: str, day: int = 13) -> datetime:
    """July 2026: the 13th is a Monday."""
    return datetime.fromisoformat(f"2026-07-{day}T{clock}").replace(tzinfo=UTC)


def found_in(case: Case, limits: Limits = LIMITS, problems: tf.Problems | None = None) -> pl.DataFrame:
    """What the verb finds in a case."""
    arguments: dict[str, Any] = case.for_verb() | {"problems": tf.Problems() if problems is None else problems}
    if case.reports is not None:
        arguments["activity"] = reports_frame(case.reports)
    return tf.avoidable_charges(frame(case.sessions), **arguments, **vars(limits))


def told(
    sessions: Sequence[Session],
    terms: Terms = UTC_DAYS,
    reports: list[Report] | None = None,
    users: dict[str, str] | None = None,
    **limits: Any,
) -> list[tuple[Any, ...]]:
    """Leading habit, instant and tokens of what is found; it is what the definition finds too."""
    homes = {"ana": "UTC", "ben": "UTC"} if users is None else users
    servers = {"mad-lic-01": "Europe/Madrid", "sin-lic-01": "Asia/Singapore"}
    case = Case(list(sessions), terms, RATES, None, servers, homes, reports)
    found = found_in(case, Limits(**limits))
    assert rows_of(found) == Audit(case, Limits(**limits)).rows()
    return found.select("habit", "charged_at", "tokens").rows()


def rows_of(found: pl.DataFrame) -> list[dict[str, Any]]:
    """The columns that the definition tells as well."""
    minutes = found["minutes_used"].to_list()
    told = found.select("charge", "habit", "habits", "cut_at", "is_inferred").to_dicts()
    spans = [timedelta(microseconds=round(each * 60_000_000)) for each in minutes]
    return [row | {"minutes": span} for row, span in zip(told, spans, strict=True)]


def use(start: datetime, end: datetime | None, user: str = "ana", product: str = "ACD", **names: str) -> Session:
    return Session(user, product, start, end, names.get("server", "mad-lic-01"), names.get("host", "pc1"))


# The law, and the definition.


@st.composite
def audits(draw: st.DrawFn) -> tuple[Case, Limits]:
    case: Case = draw(whole_cases())
    is_active, has_more = draw(st.tuples(st.booleans(), st.booleans()))
    if case.sessions and is_active:
        case = replace(case, reports=draw(reports_of(case.sessions[0].start, case.terms)))
    if case.sessions and has_more:
        # What runs across a midnight of its server for some minutes only.
        first = case.sessions[0]
        ends = instants(first.start, case.terms.length)
        case.sessions.append(replace(first, end=max(first.start, draw(ends))))
    limits = Limits(
        graze=draw(st.sampled_from([15 * MINUTE, timedelta(0), 2 * HOUR, 30 * HOUR])),
        mistake=draw(st.sampled_from([5 * MINUTE, timedelta(0), 3 * HOUR, 30 * HOUR])),
        idle=draw(st.sampled_from([15 * MINUTE, timedelta(0), HOUR])),
        night=draw(st.sampled_from([(time(20), time(6)), (time(0), time(7)), (time(12), time(11, 59))])),
        free_days=draw(st.sampled_from([(6, 7), (), (5,), (1, 2, 3, 4, 5, 6)])),
    )
    return case, limits


@settings(max_examples=400)
@given(audits())
def test_avoidable_charges_equal_the_definition(drawn: tuple[Case, Limits]) -> None:
    case, limits = drawn
    audit = Audit(case, limits)
    found = found_in(case, limits)
    event(f"found {min(found.height, 3)}")
    for habit in found["habit"].unique():
        event(habit)
    assert rows_of(found) == audit.rows()


@settings(max_examples=200)
@given(audits())
def test_cutting_what_is_avoidable_saves_exactly_that(drawn: tuple[Case, Limits]) -> None:
    """The cuts are made here from the charges that are told, and everything is charged anew by the library."""
    case, limits = drawn
    told = set(found_in(case, limits)["charge"])
    audit = Audit(case, limits)
    cut = [window for window in audit.windows if told & set(window.rows)]
    assert {row for window in cut for row in window.rows} == told
    left = replace(case, sessions=audit.sessions_without(cut), as_of=None)
    before = [row for place, row in enumerate(charge_of(case)) if place not in told]
    assert sorted(map(repr, charge_of(left))) == sorted(map(repr, before))


def charge_of(case: Case) -> list[tuple[Any, ...]]:
    arguments = case.for_verb()
    if case.reports is not None:
        arguments["activity"] = reports_frame(case.reports)
    charges = tf.charge(frame(case.sessions), **arguments)
    by_host = [row["session"] for row in charges.to_dicts() if row["product"] in case.terms.machine_metered]
    payers = [
        case.sessions[session].host if session in by_host else case.sessions[session].user
        for session in charges["session"]
    ]
    return [
        (payer, *row)
        for payer, row in zip(payers, charges.select("product", "charged_at", "tokens").rows(), strict=True)
    ]


# Each habit by hand. Days are those of UTC, and so is ana's clock, unless said otherwise.


def test_a_few_minutes_across_the_boundary_graze_it() -> None:
    """7 tokens for Monday, and 7 more for six minutes of Tuesday."""
    assert told([use(at("15:00"), at("00:06", 14))]) == [(GRAZED, at("00:00", 14), Decimal(7))]
    assert told([use(at("15:00"), at("00:15", 14))], users={}) == []
    assert told([use(at("15:00"), at("00:15", 14))], users={}, graze=16 * MINUTE)[0][0] == GRAZED


def test_a_boundary_that_other_use_pays_for_is_not_grazed() -> None:
    """She comes back at eight: Tuesday would be charged then."""
    assert told([use(at("15:00"), at("00:06", 14)), use(at("08:00", 14), at("17:00", 14))]) == []


def test_two_sessions_that_run_across_are_measured_together() -> None:
    """From midnight to 00:06 and to 00:14 are 14 minutes, not 20; and to 00:15 are too many."""
    first = use(at("15:00"), at("00:06", 14))
    second = use(at("16:00"), at("00:14", 14), host="pc2")
    assert told([first, second], users={}) == [(GRAZED, at("00:00", 14), Decimal(7))]
    assert told([first, replace(second, end=at("00:15", 14))], users={}) == []


def test_the_end_of_a_rolling_window_is_grazed_in_full_day() -> None:
    """Under 24 hours from Monday 08:50, Tuesday's renewal is at 08:50: three minutes."""
    monday, tuesday = use(at("08:50"), at("17:00")), use(at("08:00", 14), at("08:53", 14))
    assert told([monday, tuesday], ROLLING) == [(GRAZED, at("08:50", 14), Decimal(7))]


def test_use_of_days_in_two_zones_is_cut_at_each_midnight() -> None:
    """Tuesday of Singapore begins at 16:00 UTC on Monday, Tuesday of Madrid at 22:00; both run on for minutes only."""
    days = Terms("day")
    madrid = use(at("20:00"), at("22:05"))
    singapore = use(at("12:00"), at("16:07"), server="sin-lic-01")
    assert told([madrid, singapore], days) == [(GRAZED, at("16:00"), Decimal(7))]
    assert told([replace(madrid, end=at("22:09")), singapore], days) == []


def test_a_product_opened_for_some_minutes_in_all_was_a_mistake() -> None:
    once, twice = use(at("09:00"), at("09:02")), use(at("11:00"), at("11:02"))
    assert told([once, twice]) == [(MISTAKE, at("09:00"), Decimal(7))]
    assert told([once, replace(twice, end=at("11:03"))]) == []
    assert told([use(at("09:00"), at("09:00"))]) == [(MISTAKE, at("09:00"), Decimal(7))]


def test_a_launch_before_work_that_runs_on_is_no_mistake() -> None:
    """Three minutes of Monday, and then she works: she should have waited, but that is no mistake of the product."""
    assert told([use(at("23:57"), at("03:00", 14))], users={}) == []


def test_what_is_too_short_to_be_charged_is_not_avoidable() -> None:
    minimum = Terms("day", zone="utc", min_duration=5 * MINUTE)
    assert told([use(at("09:00"), at("09:04"))], minimum) == []
    assert told([use(at("09:00"), at("09:05"))], minimum) == []
    assert told([use(at("09:00"), at("09:05"))], minimum, mistake=6 * MINUTE) == [(MISTAKE, at("09:00"), Decimal(7))]


def test_a_cut_that_would_leave_a_piece_too_short_to_be_charged_is_not_made() -> None:
    """Closed at midnight, the four minutes of Monday would not be charged either: more than this charge is saved."""
    minimum = Terms("day", zone="utc", min_duration=5 * MINUTE)
    assert told([use(at("23:56"), at("00:06", 14))], minimum, users={}) == []
    assert told([use(at("23:55"), at("00:06", 14))], minimum, users={}) == [(GRAZED, at("00:00", 14), Decimal(7))]


LATE = use(at("15:00"), at("05:00", 14))


def test_open_over_night_until_the_morning_was_left_open() -> None:
    assert told([LATE]) == [(LEFT, at("00:00", 14), Decimal(7))]
    found = found_in(Case([LATE], UTC_DAYS, RATES, None, users={"ana": "UTC"}))
    assert found.select("is_inferred", "confidence", "last_sign_at", "minutes_used").rows() == [
        (True, "low", at("15:00"), 300.0)
    ]


@pytest.mark.parametrize(
    "sessions",
    [
        [replace(LATE, end=at("06:01", 14))],  # the morning: she may be at work again
        [replace(LATE, start=at("20:00"))],  # since the evening: she may be at work still
        [LATE, use(at("02:00", 14), at("02:30", 14), product="RVT")],  # she is at work in another product
        [LATE, use(at("04:00", 14), at("04:30", 14))],  # a new launch pays for the day
    ],
    ids=["until the morning", "since the evening", "another product", "a new launch"],
)
def test_whoever_may_have_been_at_work_did_not_leave_it_open(sessions: list[Session]) -> None:
    assert LEFT not in [row[0] for row in told(sessions)]


def test_a_free_weekend_is_one_long_night() -> None:
    """Friday the 17th, 15:00, to Monday 05:00: three charges, all saved by closing on Friday."""
    weekend = use(at("15:00", 17), at("05:00", 20))
    assert told([weekend]) == [(LEFT, at("00:00", day), Decimal(7)) for day in (18, 19, 20)]
    found = found_in(Case([weekend], UTC_DAYS, RATES, None, users={"ana": "UTC"}))
    assert found["cut_at"].to_list() == [at("00:00", 18)] * 3
    assert found["confidence"].to_list() == ["medium", "medium", "low"]
    # Where the weekend is worked, she may have been there on Saturday and Sunday.
    assert told([weekend], free_days=()) == [(LEFT, at("00:00", 20), Decimal(7))]


def test_the_night_is_that_of_the_user() -> None:
    """Midnight of UTC is 08:00 in Singapore: who works across it left nothing open."""
    assert told([LATE], users={"ana": "Asia/Singapore"}) == []
    morning = use(at("06:00"), at("20:00"))
    days = Terms("day", zone="Asia/Singapore")  # midnight at 16:00 UTC
    assert told([morning], days, users={"ana": "Asia/Singapore"}) == [(LEFT, at("16:00"), Decimal(7))]


def test_users_without_a_zone_are_told_and_not_judged() -> None:
    problems = tf.Problems()
    case = Case([LATE, replace(LATE, user="ben")], UTC_DAYS, RATES, None, users={"ben": "UTC"})
    assert found_in(case, problems=problems)["user"].to_list() == ["ben"]
    assert [(row["source"], row["code"], row["message"]) for row in problems] == [
        ("users", "user_without_zone", "ana has no zone in users=: not judged for left_open_overnight, windows: 1")
    ]
    work = [use(at("08:00", day), at("17:00", day)) for day in (13, 14)]
    assert found_in(Case(work, UTC_DAYS, RATES, None, users={}), problems=problems).is_empty()
    assert len(problems) == 1


RECORDED = [Report("somebody", at("00:00", 10)), Report("somebody", at("00:00", 31))]
"""Activity was recorded from the 10th to the 31st."""


def active(*instants: datetime, user: str = "ana", **names: str) -> list[Report]:
    return [Report(user, instant, None, names.get("host"), names.get("product")) for instant in instants]


def test_with_activity_left_open_is_seen() -> None:
    """Open all Tuesday, and nobody touches it: no inference would have dared to say so."""
    long = use(at("15:00"), at("17:00", 14))
    assert told([long]) == []
    assert told([long], reports=[*RECORDED, *active(at("17:50"))]) == [(LEFT, at("00:00", 14), Decimal(7))]
    case = Case([long], UTC_DAYS, RATES, None, users={"ana": "UTC"}, reports=[*RECORDED, *active(at("17:50"))])
    assert found_in(case).select("habits", "is_inferred", "confidence", "last_sign_at").rows() == [
        ([LEFT, IDLE], False, "high", at("17:50"))
    ]


def test_activity_in_the_window_makes_it_work() -> None:
    long = use(at("15:00"), at("17:00", 14))
    assert told([long], reports=[*RECORDED, *active(at("17:50"), at("09:00", 14))]) == []
    assert told([LATE], reports=[*RECORDED, *active(at("17:50"), at("00:00", 14))]) == []
    other = RECORDED + active(at("17:50")) + active(at("09:00", 14), product="RVT")
    assert told([long], reports=other) == [(LEFT, at("00:00", 14), Decimal(7))]


def test_where_nobodys_activity_was_recorded_none_says_nothing() -> None:
    """The record ends at six, so that nobody was seen on Tuesday is no wonder; what is inferred is not touched."""
    long, until_six = use(at("15:00"), at("17:00", 14)), active(at("17:50"), at("18:00"))
    assert told([long], reports=until_six) == []
    assert told([long], reports=[*until_six, Report("somebody", at("17:00", 14))])[0][0] == LEFT
    case = Case([LATE], UTC_DAYS, RATES, None, users={"ana": "UTC"}, reports=until_six)
    assert found_in(case).select("habit", "is_inferred").rows() == [(LEFT, True)]
    # Nor is she said to have been idle before the record began.
    night = [Report("somebody", at("23:50")), Report("ana", at("23:00", 15))]
    case = Case([long], UTC_DAYS, RATES, None, users={"ana": "UTC"}, reports=night)
    assert found_in(case)["habits"].to_list() == [[LEFT]]


def test_a_key_whose_other_charges_would_move_is_given_up() -> None:
    """In St. John's 7 November 2010 came for a minute, went, and came again; cutting the 6th would move its charge."""

    def then(clock: str, day: int) -> datetime:
        return datetime.fromisoformat(f"2010-11-0{day}T{clock}").replace(tzinfo=UTC)

    session = use(then("17:30", 5), then("20:00", 7))
    reports = [Report("somebody", then("00:00", 5)), *active(then("17:30", 5), then("12:00", 7), then("21:00", 7))]
    days = replace(UTC_DAYS, zone="America/St_Johns")
    assert charge(Case([session], days, RATES, None))["charged_at"].to_list() == [
        then("17:30", 5),
        then("02:30", 6),
        then("02:30", 7),
    ]
    assert told([session], days, reports) == []
    assert told([replace(session, end=then("23:00", 6))], days, reports) == [(LEFT, then("02:30", 6), Decimal(7))]


def test_idle_at_expiry_needs_no_night() -> None:
    """A rolling window that ends at 13:00 while she is at lunch, and the product is closed at two without a touch."""
    monday, tuesday = use(at("13:00"), at("17:00")), use(at("08:00", 14), at("14:00", 14))
    lunch = RECORDED + active(at("13:00"), at("16:00"), at("08:00", 14), at("12:30", 14))
    assert told([monday, tuesday], ROLLING, lunch) == [(IDLE, at("13:00", 14), Decimal(7))]
    assert told([monday, tuesday], ROLLING, [*lunch, *active(at("12:46", 14))]) == []
    assert told([monday, tuesday], ROLLING, [*lunch, *active(at("13:50", 14))]) == []


def test_idle_stretches_tell_the_same_as_activity() -> None:
    long = use(at("15:00"), at("17:00", 14))
    assert told([long], reports=[Report("ana", at("17:50"), at("18:00", 14))]) == [(LEFT, at("00:00", 14), Decimal(7))]
    assert told([long], reports=[Report("ana", at("17:50"), at("16:00", 14))]) == []
    two = [Report("ana", at("17:50"), at("03:00", 14)), Report("ana", at("02:00", 14), at("17:00", 14))]
    assert told([long], reports=two) == [(LEFT, at("00:00", 14), Decimal(7))]


def test_under_an_idle_rule_use_that_resumes_is_charged_as_before() -> None:
    """Active at 16:55 on Friday, renewed at 17:00 and left: Monday's charge comes at 08:00 with or without the cut."""
    idle = Terms("rolling", idle_after=15 * MINUTE)
    friday = use(at("17:00", 16), at("17:00", 20))
    seen = RECORDED + active(at("17:00", 16), at("16:55", 17), at("08:00", 20))
    assert told([friday], idle, seen) == [(LEFT, at("17:00", 17), Decimal(7))]


def test_an_open_session_is_in_use_until_as_of() -> None:
    case = Case([use(at("15:00"), None)], UTC_DAYS, RATES, at("04:00", 14), users={"ana": "UTC"})
    assert found_in(case).select("habit", "minutes_used", "confidence").rows() == [(LEFT, 240.0, "medium")]


def test_what_the_host_pays_for_may_run_at_night() -> None:
    machine = Terms("day", zone="utc", machine_metered=frozenset({"ACD"}))
    assert told([LATE], machine) == []
    assert told([use(at("15:00"), at("00:06", 14))], machine) == [(GRAZED, at("00:00", 14), Decimal(7))]
    # Another user's session of the same host and product is the same window's use.
    assert told([use(at("15:00"), at("00:06", 14)), use(at("09:00", 14), at("10:00", 14), user="ben")], machine) == []


def test_each_server_is_judged_by_itself_where_the_scope_is_the_server() -> None:
    grazed, work = use(at("15:00"), at("00:06", 14)), use(at("08:00", 14), at("17:00", 14), server="sin-lic-01")
    assert told([grazed, work]) == []
    assert told([grazed, work], replace(UTC_DAYS, scope="server")) == [(GRAZED, at("00:00", 14), Decimal(7))]


def test_products_of_one_family_are_saved_together_or_not_at_all() -> None:
    """LT 6 and PRO 8 share a window: six and two more for some minutes of each, unless one of them is used."""
    rates = [Rate("LT", Decimal(6), None, "drafting"), Rate("PRO", Decimal(8), None, "drafting")]
    terms = Terms("day", zone="utc", incremental=True)
    lesser, dearer = use(at("09:00"), at("09:02"), product="LT"), use(at("11:00"), at("11:02"), product="PRO")
    found = found_in(Case([lesser, dearer], terms, rates, None))
    assert found.select("habit", "product", "tokens", "charge").rows() == [
        (MISTAKE, "LT", Decimal(6), 0),
        (MISTAKE, "PRO", Decimal(2), 1),
    ]
    work = replace(dearer, end=at("17:00"))
    assert found_in(Case([lesser, work], terms, rates, None)).is_empty()


def test_without_renewal_nothing_is_renewed() -> None:
    assert told([LATE, use(at("09:00", 15), at("09:01", 15))], replace(UTC_DAYS, renew=False)) == [
        (MISTAKE, at("09:00", 15), Decimal(7))
    ]


# What is told.


def test_advice_is_by_the_users_clock_or_says_that_it_is_not() -> None:
    def advice(sessions: list[Session], reports: list[Report] | None = None, zone: str | None = "Europe/Madrid") -> str:
        users = {} if zone is None else {"ana": zone}
        found = found_in(Case(sessions, UTC_DAYS, RATES, None, users=users, reports=reports))
        return str(found["advice"][0])

    grazed = [use(at("15:00"), at("00:06", 14))]
    assert advice(grazed) == (
        "Close ACD before 2026-07-14 02:00 (Europe/Madrid): 6 minutes more were charged as a new window."
    )
    assert advice(grazed, zone=None) == (
        "Close ACD before 2026-07-14 00:00 (UTC, the user's zone is not known): 6 minutes more were charged as a new "
        "window."
    )
    assert advice([replace(LATE, end=at("03:00", 14))]) == (
        "Close ACD in the evening: left open by 2026-07-14 02:00 (Europe/Madrid), it was charged again at 2026-07-14 "
        "02:00 (Europe/Madrid)."
    )
    assert advice([use(at("09:00"), at("09:01"))]) == (
        "Look before opening ACD: 1 minute from 2026-07-13 11:00 (Europe/Madrid) on were charged as a whole window."
    )


def test_a_product_without_a_rate_is_told_without_tokens_and_counted() -> None:
    case = Case([use(at("09:00"), at("09:02"), product="XYZ"), use(at("09:00"), at("09:02"))], UTC_DAYS, RATES, None)
    problems = tf.Problems()
    found = found_in(case, problems=problems)
    assert found["tokens"].to_list() == [None, Decimal(7)]
    assert [row["code"] for row in problems] == ["no_rate"]
    summary = tf.summarize_avoidable(found)
    assert summary.filter(pl.col("habit") == MISTAKE).rows() == [(MISTAKE, 2, Decimal(7), 1)]


def test_the_summary_adds_up_to_the_charges() -> None:
    found = found_in(Planted(5, 40).case)
    summary = tf.summarize_avoidable(found)
    assert summary["habit"].to_list() == list(tf.tables.HABITS)
    assert summary["charges"].sum() == found.height > 40
    assert summary["tokens"].sum() == found["tokens"].sum()
    assert found["charge"].n_unique() == found.height
    assert summary.schema == dict(tf.tables.AVOIDABLE_SUMMARY)
    with pytest.raises(tf.MissingColumnError, match="habit"):
        tf.summarize_avoidable(found.drop("habit"))


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"graze": -MINUTE}, tf.ArgumentError),
        ({"mistake": 5}, tf.ArgumentTypeError),
        ({"idle": None}, tf.ArgumentTypeError),
        ({"night": "20-6"}, tf.ArgumentTypeError),
        ({"night": (time(6), time(20))}, tf.ArgumentError),
        ({"night": (time(20, tzinfo=UTC), time(6))}, tf.ArgumentError),
        ({"free_days": (0,)}, tf.ArgumentError),
        ({"free_days": range(1, 8)}, tf.ArgumentError),
        ({"free_days": 6}, tf.ArgumentTypeError),
    ],
    ids=repr,
)
def test_limits_that_make_no_sense_are_refused(arguments: dict[str, Any], error: type[tf.TokenflexError]) -> None:
    with pytest.raises(error) as caught:
        tf.avoidable_charges(frame([LATE]), rule=tf.Rule(window="rolling"), rates=tf.Rates({"ACD": 7}), **arguments)
    assert caught.value.location in arguments


@pytest.mark.parametrize("rule", [tf.Rule(window="rolling"), tf.FLEX], ids=["any rule", "idle rule"])
def test_activity_that_is_none_is_refused_under_any_rule(rule: tf.Rule) -> None:
    with pytest.raises(tf.MissingColumnError):
        tf.avoidable_charges(
            frame([LATE]), rule=rule, rates=tf.Rates({"ACD": 7}), activity=pl.DataFrame({"user": ["ana"]})
        )


# Planted habits.


class Planted:
    """Clean use of four weeks by many users, with a habit planted here and there."""

    def __init__(self, seed: int, users: int) -> None:
        self.chance = random.Random(seed)
        self.sessions: list[Session] = []
        self.reports = [Report("somebody", datetime(2026, month, 1, tzinfo=UTC)) for month in (6, 7)]
        self.expected: dict[tuple[str, str, datetime], str] = {}
        self.zones: dict[str, str] = {}
        for number in range(users):
            self._user(f"user{number}", has_activity=number % 2 == 0, is_far=number % 4 == 0)
        self.chance.shuffle(self.sessions)
        self.case = Case(self.sessions, UTC_DAYS, RATES, None, users=self.zones, reports=self.reports)

    def _user(self, user: str, *, has_activity: bool, is_far: bool) -> None:
        # Midnight of UTC is noon in Auckland: no night there.
        self.zones[user] = "Pacific/Auckland" if is_far else "UTC"
        habits = [GRAZED, MISTAKE, IDLE if is_far else LEFT]
        day = datetime(2026, 6, 1, tzinfo=UTC)
        while day < datetime(2026, 6, 29, tzinfo=UTC):
            habit = self.chance.choice(habits) if self.chance.random() < 0.15 else None
            if day.isoweekday() not in LIMITS.free_days:
                self._day(user, day, habit, has_activity=has_activity)
                # Whoever comes the next day pays for it anyway.
                day += DAY if habit in (LEFT, GRAZED, IDLE) else timedelta(0)
            day += DAY

    def _day(self, user: str, day: datetime, habit: str | None, *, has_activity: bool) -> None:
        start = day + 8 * HOUR + self.chance.randrange(60) * MINUTE
        last = end = day + 16 * HOUR + self.chance.randrange(120) * MINUTE
        midnight = day + DAY
        if habit in (LEFT, IDLE):
            end = midnight + self.chance.randrange(1, 6) * HOUR
            # Noon of a free day is a rest as well.
            self.expected[user, "ACD", midnight] = LEFT if midnight.isoweekday() in LIMITS.free_days else habit
        elif habit == GRAZED:
            last = end = midnight + self.chance.randrange(2, 15) * MINUTE
            self.expected[user, "ACD", midnight] = GRAZED
        elif habit == MISTAKE:
            opened = day + self.chance.randrange(9, 15) * HOUR
            self.expected[user, "RVT", opened] = MISTAKE
            for after, minutes in ((timedelta(0), 1), (HOUR, 3)):
                self.sessions.append(use(opened + after, opened + after + minutes * MINUTE, user, "RVT"))
        self.sessions.append(use(start, end, user))
        if has_activity:
            steps = range((last - start) // (10 * MINUTE) + 1)
            self.reports += active(*(start + step * 10 * MINUTE for step in steps), last - MINUTE, user=user)


def test_all_planted_habits_are_found_and_nothing_else() -> None:
    planted = Planted(26, 60)
    found = found_in(planted.case)
    assert set(planted.expected.values()) == {LEFT, GRAZED, MISTAKE, IDLE}
    rows = found.select("user", "product", "charged_at", "habit").rows()
    assert {tuple(row[:3]): row[3] for row in rows} == planted.expected
    assert len(rows) == len(planted.expected) > 100


def test_zones_of_users_come_as_a_table_or_as_a_mapping() -> None:
    start = datetime(2026, 3, 4, 21, tzinfo=UTC)
    sessions = pl.DataFrame(
        {"user": ["ana"], "product": ["ACD"], "start": [start], "end": [start + timedelta(hours=2, minutes=4)]}
    )
    terms: Any = {"rule": tf.Rule(window="day", zone="user"), "rates": tf.Rates({"ACD": 7}), "problems": tf.Problems()}
    zones = {"ana": "Europe/Madrid"}
    by_mapping, by_table = (
        tf.avoidable_charges(sessions, users=users, **terms) for users in (zones, tf.UserZones(zones))
    )
    assert by_mapping.equals(by_table)
    assert not by_mapping.is_empty()
