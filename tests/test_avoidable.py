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

import reference
import tokenflex as tf
from avoidable_reference import GRAZED, IDLE, LEFT, MISTAKE, Audit, Limits
from reference import DAY, HOUR, TICK, Rate, Report, Session, Terms
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
    case = draw(whole_cases())
    if draw(st.booleans()) and case.sessions:
        case = replace(case, reports=draw(reports_of(case.sessions[0].start, case.terms)))
    if case.sessions and draw(st.booleans()):
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


@settings(max_examples=1_000)
@given(audits())
def test_avoidable_charges_equal_the_definition(drawn: tuple[Case, Limits]) -> None:
    case, limits = drawn
    audit = Audit(case, limits)
    found = found_in(case, limits)
    event(f"found {min(found.height, 3)}")
    for habit in found["habit"].unique():
        event(habit)
    assert rows_of(found) == audit.rows()


@settings(max_examples=500)
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
