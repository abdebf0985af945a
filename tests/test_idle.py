"""Idle time: a product that nobody touches is not charged again until it is used."""

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
from reference import DAY, HOUR, TICK, Rate, Report, Session, Terms
from strategies import MINUTE, Case, charge, frame, reports_frame, whole_cases, whole_terms, with_rule_id

RATES = [Rate("ACD", Decimal(7)), Rate("RVT", Decimal(10))]
ROLLING = Terms("rolling", idle_after=15 * MINUTE)
DAY_UTC = Terms("day", zone="utc", idle_after=15 * MINUTE)


def at(clock: str, day: int = 13) -> datetime:
    return datetime.fromisoformat(f"2026-07-{day}T{clock}").replace(tzinfo=UTC)


def bill(sessions: list[Session], reports: list[Report] | None, terms: Terms = ROLLING) -> list[tuple[Any, ...]]:
    """The charges as session, instant and trigger; they are those of the definition too."""
    case = Case(sessions, terms, RATES, None, reports=reports)
    charges = charge(case)
    assert charges.to_dicts() == with_rule_id(reference.charge(**case.for_reference()), terms)
    return charges.select("session", "charged_at", "trigger").rows()


def active(*instants: datetime, user: str = "ana", **names: str) -> list[Report]:
    return [Report(user, instant, None, names.get("host"), names.get("product")) for instant in instants]


TWO_DAYS = Session("ana", "ACD", at("08:00"), at("17:00", 14), "lic-01", "pc1")


def test_idle_at_the_windows_end_waits_until_use_resumes() -> None:
    assert bill([TWO_DAYS], active(at("16:00"), at("09:30", 14))) == [
        (0, at("08:00"), "launch"),
        (0, at("09:30", 14), "resume"),
    ]


def test_idle_at_midnight_waits_until_use_resumes() -> None:
    assert bill([TWO_DAYS], active(at("16:00"), at("09:30", 14)), DAY_UTC) == [
        (0, at("08:00"), "launch"),
        (0, at("09:30", 14), "resume"),
    ]


def test_active_at_the_windows_end_is_charged_right_there() -> None:
    assert bill([TWO_DAYS], active(at("07:50", 14))) == [(0, at("08:00"), "launch"), (0, at("08:00", 14), "renewal")]


def test_use_that_ends_idle_at_the_windows_end_is_not_charged_again() -> None:
    """Use is half-open: 15 minutes after 07:45 it has ended."""
    assert bill([TWO_DAYS], active(at("07:45", 14))) == [(0, at("08:00"), "launch")]
    assert bill([TWO_DAYS], active(at("07:45", 14) + TICK))[1:] == [(0, at("08:00", 14), "renewal")]


def test_use_that_resumes_at_the_windows_end_is_charged_there_as_resumed() -> None:
    assert bill([TWO_DAYS], active(at("08:00", 14)))[1:] == [(0, at("08:00", 14), "resume")]


def test_never_active_again_is_never_charged_again() -> None:
    assert bill([TWO_DAYS], active(at("08:00"))) == [(0, at("08:00"), "launch")]


def test_activity_before_and_after_a_session_says_that_it_was_idle() -> None:
    assert bill([TWO_DAYS], active(at("07:00"), at("18:00", 14))) == [(0, at("08:00"), "launch")]


@pytest.mark.parametrize("reports", [None, [], active(at("16:00"), user="Ana"), active(at("16:00"), product="RVT")])
def test_where_nothing_is_known_open_means_in_use(reports: list[Report] | None) -> None:
    assert bill([TWO_DAYS], reports) == [(0, at("08:00"), "launch"), (0, at("08:00", 14), "renewal")]


def test_what_was_charged_stays_charged() -> None:
    """The idle time inside of a paid window changes nothing."""
    assert bill([TWO_DAYS], active(at("16:00"), at("17:00"), at("18:00"))) == [(0, at("08:00"), "launch")]


def test_another_session_in_use_is_charged_meanwhile() -> None:
    other = replace(TWO_DAYS, start=at("08:30", 14), host="pc2")
    assert bill([TWO_DAYS, other], active(at("09:30", 14))) == [
        (0, at("08:00"), "launch"),
        (1, at("08:30", 14), "launch"),
    ]


def test_host_and_product_of_a_report_narrow_it_down() -> None:
    here, there = TWO_DAYS, replace(TWO_DAYS, host="pc2")
    work = [here, there, replace(here, product="RVT")]
    reports = [*active(at("08:00"), host="pc1"), *active(at("08:00"), host="pc2"), *active(at("09:00", 14), host="pc2")]
    assert bill(work, reports) == [
        (0, at("08:00"), "launch"),
        (2, at("08:00"), "launch"),
        (1, at("09:00", 14), "resume"),
    ]
    reports = [*active(at("08:00")), *active(at("07:55", 14), product="RVT")]
    assert bill(work, reports)[2:] == [(2, at("08:00", 14), "renewal")]


def test_rows_that_name_no_host_are_about_every_host() -> None:
    reports = [*active(at("08:00"), host="pc1"), *active(at("09:00", 14))]
    assert bill([TWO_DAYS], reports)[1:] == [(0, at("09:00", 14), "resume")]


def idle(start: datetime, end: datetime, user: str = "ana", **names: str) -> Report:
    return Report(user, start, end, names.get("host"), names.get("product"))


def test_idle_stretches_count_from_some_minutes_after_they_begin() -> None:
    assert bill([TWO_DAYS], [idle(at("16:00"), at("09:30", 14))])[1:] == [(0, at("09:30", 14), "resume")]
    assert bill([TWO_DAYS], [idle(at("07:44", 14), at("07:59", 14))])[1:] == [(0, at("08:00", 14), "renewal")]
    # Not longer than 15 minutes: no idle time.
    assert bill([TWO_DAYS], [idle(at("07:50", 14), at("08:05", 14))])[1:] == [(0, at("08:00", 14), "renewal")]
    assert bill([TWO_DAYS], [idle(at("07:45", 14), at("08:05", 14))])[1:] == [(0, at("08:05", 14), "resume")]


def test_a_launch_within_an_idle_stretch_is_charged() -> None:
    later = replace(TWO_DAYS, start=at("12:00"))
    assert bill([later], [idle(at("10:00"), at("13:00"))]) == [
        (0, at("12:00"), "launch"),
        (0, at("12:00", 14), "renewal"),
    ]
    all_idle = [idle(at("10:00"), at("20:00", 14))]
    assert bill([later], all_idle) == [(0, at("12:00"), "launch")]


def test_an_idle_stretch_at_another_time_says_that_a_session_was_in_use() -> None:
    assert bill([TWO_DAYS], [idle(at("10:00", 20), at("13:00", 20))])[1:] == [(0, at("08:00", 14), "renewal")]


def test_without_renewal_nothing_is_charged_when_use_resumes() -> None:
    for terms in (ROLLING, DAY_UTC):
        assert bill([TWO_DAYS], active(at("09:30", 14)), replace(terms, renew=False)) == [(0, at("08:00"), "launch")]


def test_a_rule_without_idle_takes_no_notice_of_activity() -> None:
    case = Case([TWO_DAYS], replace(ROLLING, idle_after=None), RATES, None, reports=active(at("16:00")))
    assert charge(case)["charged_at"].to_list() == [at("08:00"), at("08:00", 14)]


def test_flex_waits_a_quarter_of_an_hour() -> None:
    arguments: dict[str, Any] = {"rule": tf.FLEX, "rates": tf.Rates({"ACD": 7})}
    sessions = frame([TWO_DAYS])
    activity = reports_frame(active(at("16:00"), at("09:30", 14)))
    assert tf.charge(sessions, **arguments)["trigger"].to_list() == ["launch", "renewal"]
    assert tf.charge(sessions, **arguments, activity=activity)["trigger"].to_list() == ["launch", "resume"]


@pytest.mark.parametrize("form", ["lazy", "pyarrow", "pandas", "categorical", "sessions lazy"])
def test_activity_comes_in_any_table(form: str) -> None:
    activity: Any = reports_frame(active(at("16:00"), at("09:30", 14), host="pc1", product="ACD"))
    sessions: Any = frame([TWO_DAYS])
    arguments: dict[str, Any] = {"rule": tf.FLEX, "rates": tf.Rates({"ACD": 7})}
    expected = tf.charge(sessions, **arguments, activity=activity)
    if form == "lazy":
        activity = activity.lazy()
    elif form == "pyarrow":
        activity = activity.to_arrow()
    elif form == "pandas":
        activity = activity.to_pandas()
    elif form == "categorical":
        activity = activity.with_columns(pl.col(pl.String).cast(pl.Categorical))
    else:
        sessions = sessions.lazy()
    assert expected["trigger"].to_list() == ["launch", "resume"]
    assert tf.charge(sessions, **arguments, activity=activity).equals(expected)


@pytest.mark.parametrize(
    ("activity", "column"),
    [
        (pl.DataFrame({"time": [at("08:00")]}), "user"),
        (pl.DataFrame({"user": ["ana"]}), "start"),
        (pl.DataFrame({"user": ["ana"], "start": [at("08:00")]}), "end"),
        (pl.DataFrame({"user": ["ana"], "time": ["08:00"]}), "time"),
        (pl.DataFrame({"user": [1], "time": [at("08:00")]}), "user"),
        (pl.DataFrame({"user": ["ana"], "time": [at("08:00").replace(tzinfo=None)]}), "time"),
        (pl.DataFrame({"user": ["ana"], "time": [at("08:00")], "host": [1]}), "host"),
    ],
    ids=["no user", "no time", "no end", "text for time", "number for user", "no zone", "number for host"],
)
def test_an_activity_table_that_is_none_is_refused(activity: pl.DataFrame, column: str) -> None:
    with pytest.raises(tf.TokenflexError, match=column) as caught:
        tf.charge(frame([TWO_DAYS]), rule=tf.FLEX, rates=tf.Rates({"ACD": 7}), activity=activity)
    assert caught.value.column == column


def test_reports_without_a_user_or_a_time_say_nothing() -> None:
    activity = pl.DataFrame(
        {"user": ["ana", None], "time": [None, at("16:00")]}, schema_overrides={"time": pl.Datetime("us", "UTC")}
    )
    charges = tf.charge(frame([TWO_DAYS]), rule=tf.FLEX, rates=tf.Rates({"ACD": 7}), activity=activity)
    assert charges["trigger"].to_list() == ["launch", "renewal"]


@given(whole_cases(whole_terms(idle=True), reports=True))
@settings(max_examples=600)
def test_charges_of_idle_products_equal_the_definition(case: Case) -> None:
    assert charge(case).to_dicts() == with_rule_id(reference.charge(**case.for_reference()), case.terms)


@given(whole_cases(whole_terms(idle=True, incremental=False), reports=True, open_sessions=False))
def test_activity_in_every_instant_is_as_good_as_none(case: Case) -> None:
    reports = [
        Report(session.user, session.start + place * HOUR)
        for session in case.sessions
        for place in range(int(((session.end or session.start) - session.start) / HOUR) + 1)
    ]
    always = replace(case, terms=replace(case.terms, idle_after=HOUR), reports=reports)
    assert charge(always).rows() == charge(replace(always, reports=None)).rows()


@given(whole_cases(whole_terms(idle=True), reports=True))
def test_idle_time_never_adds_a_charge_to_a_key(case: Case) -> None:
    idle_charges, whole = charge(case), charge(replace(case, reports=None))
    if not case.terms.incremental:
        assert idle_charges.height <= whole.height
    assert set(idle_charges["session"]) <= set(range(len(case.sessions)))


def test_the_longest_idle_time_changes_nothing_within_a_day() -> None:
    assert bill([TWO_DAYS], active(at("08:00")), replace(ROLLING, idle_after=366 * DAY))[1:] == [
        (0, at("08:00", 14), "renewal")
    ]
    assert timedelta(0) < DAY
