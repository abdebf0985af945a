"""Families: products that share a window, where a dearer one pays the difference."""

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
from reference import HOUR, Rate, Session, Terms
from strategies import Case, charge, frame, whole_cases, whole_terms, with_rule_id

ROLLING = Terms("rolling", incremental=True)
DAY_UTC = Terms("day", zone="utc", incremental=True)


def at(clock: str, day: int = 13) -> datetime:
    return datetime.fromisoformat(f"2026-07-{day}T{clock}").replace(tzinfo=UTC)


def session(product: str, start: datetime, hours: float = 1, **names: str) -> Session:
    return Session(
        names.get("user", "ana"), product, start, start + hours * HOUR, names.get("server"), names.get("host")
    )


def rate(product: str, tokens: Any, since: datetime | None = None) -> Rate:
    return Rate(product, Decimal(tokens), since, "drafting")


RATES = [rate("LT", 6), rate("PRO", 8), rate("MAX", "10.5"), Rate("RVT", Decimal(9))]


def bill(sessions: list[Session], terms: Terms = ROLLING, rates: list[Rate] = RATES) -> list[tuple[Any, ...]]:
    """The charges as session, instant, category, trigger and tokens; they are those of the definition too."""
    case = Case(sessions, terms, rates, None)
    charges = charge(case)
    assert charges.to_dicts() == with_rule_id(reference.charge(**case.for_reference()), terms)
    return charges.select("session", "charged_at", "category", "trigger", "tokens").rows()


def test_tv12_the_dearer_product_pays_the_difference_and_renews_the_window() -> None:
    work = [session("LT", at("08:00"), 28), session("PRO", at("20:00"), 16)]
    assert bill(work) == [
        (0, at("08:00"), "CHARGED", "launch", 6),
        (1, at("20:00"), "INCREMENTAL", "launch", 2),
        (1, at("08:00", 14), "CHARGED", "renewal", 8),
    ]
    charges = charge(Case(work, ROLLING, RATES, None))
    assert charges["window_end"].to_list() == [at("08:00", 14), at("08:00", 14), at("08:00", 15)]


def test_tv12_by_days_the_dearer_product_pays_midnight() -> None:
    work = [session("LT", at("08:00"), 28), session("PRO", at("20:00"), 16)]
    assert bill(work, DAY_UTC) == [
        (0, at("08:00"), "CHARGED", "launch", 6),
        (1, at("20:00"), "INCREMENTAL", "launch", 2),
        (1, at("00:00", 14), "CHARGED", "renewal", 8),
    ]


@pytest.mark.parametrize("terms", [ROLLING, DAY_UTC], ids=lambda terms: terms.window)
def test_three_products_pay_up_to_the_dearest(terms: Terms) -> None:
    steps = [session(product, at(f"0{8 + place}:00"[-5:])) for place, product in enumerate(["LT", "PRO"])]
    steps += [session("MAX", at("10:00")), session("LT", at("12:00")), session("MAX", at("13:00"))]
    assert [(row, tokens) for row, *_, tokens in bill(steps, terms)] == [(0, 6), (1, 2), (2, Decimal("2.5"))]


@pytest.mark.parametrize("terms", [ROLLING, DAY_UTC], ids=lambda terms: terms.window)
def test_a_lesser_product_is_free_after_a_dearer_one(terms: Terms) -> None:
    assert bill([session("MAX", at("08:00")), session("LT", at("09:00")), session("PRO", at("10:00"))], terms) == [
        (0, at("08:00"), "CHARGED", "launch", Decimal("10.5"))
    ]


@pytest.mark.parametrize("terms", [ROLLING, DAY_UTC], ids=lambda terms: terms.window)
def test_of_launches_at_one_instant_the_dearest_comes_first(terms: Terms) -> None:
    together = [session(product, at("08:00")) for product in ("LT", "MAX", "PRO")]
    assert bill(together, terms) == [(1, at("08:00"), "CHARGED", "launch", Decimal("10.5"))]


@pytest.mark.parametrize("terms", [ROLLING, DAY_UTC], ids=lambda terms: terms.window)
def test_of_equally_dear_launches_at_one_instant_the_first_row_comes_first(terms: Terms) -> None:
    twins = [rate("LT", 6), rate("PRO", 6)]
    assert [row for row, *_ in bill([session("PRO", at("08:00")), session("LT", at("08:00"))], terms, twins)] == [0]


def test_the_dearest_in_use_renews_the_window_though_it_was_free_before() -> None:
    work = [session("MAX", at("08:00")), session("LT", at("09:00"), 30), session("PRO", at("10:00"), 30)]
    assert bill(work)[1:] == [(2, at("08:00", 14), "CHARGED", "renewal", 8)]


def test_a_launch_at_the_windows_end_comes_before_lesser_products_in_use() -> None:
    work = [session("LT", at("08:00"), 30), session("PRO", at("08:00", 14))]
    assert bill(work)[1:] == [(1, at("08:00", 14), "CHARGED", "launch", 8)]


def test_a_use_that_was_paid_in_one_window_pays_its_difference_in_the_next() -> None:
    """LT opens the second window while PRO is closed; PRO comes back and has to pay again."""
    work = [
        session("PRO", at("08:00")),
        session("LT", at("09:00", 14)),
        session("PRO", at("10:00", 14)),
        session("PRO", at("12:00", 14)),
    ]
    assert [(row, category, tokens) for row, _, category, _, tokens in bill(work)] == [
        (0, "CHARGED", 8),
        (1, "CHARGED", 6),
        (2, "INCREMENTAL", 2),
    ]


@pytest.mark.parametrize("terms", [ROLLING, DAY_UTC], ids=lambda terms: terms.window)
def test_a_change_of_rate_counts_at_the_instant_of_first_use(terms: Terms) -> None:
    rates = [rate("LT", 6), rate("PRO", 8), rate("PRO", 9, at("10:00")), rate("LT", 20, at("11:00"))]
    work = [session("LT", at("08:00")), session("PRO", at("10:00")), session("LT", at("12:00"))]
    # LT was used in this window: that it has become dearer counts in the next.
    assert [tokens for *_, tokens in bill(work, terms, rates)] == [6, 3]


@pytest.mark.parametrize("terms", [ROLLING, DAY_UTC], ids=lambda terms: terms.window)
def test_a_member_without_a_rate_is_never_silently_free(terms: Terms) -> None:
    rates = [rate("LT", 6), rate("PRO", 8, at("00:00", 20))]
    problems = tf.Problems()
    case = Case(
        [session("LT", at("08:00")), session("PRO", at("09:00")), session("PRO", at("10:00"))], terms, rates, None
    )
    assert [(row, category, tokens) for row, _, category, _, tokens in bill(case.sessions, terms, rates)] == [
        (0, "CHARGED", 6),
        (1, "INCREMENTAL", None),
    ]
    tf.charge(frame(case.sessions), **{**case.for_verb(), "problems": problems})
    assert problems.frame["code"].to_list() == ["no_rate"]


@pytest.mark.parametrize("terms", [ROLLING, DAY_UTC], ids=lambda terms: terms.window)
def test_after_a_member_without_a_rate_the_next_pays_in_full(terms: Terms) -> None:
    rates = [rate("LT", 6), rate("PRO", 8, at("00:00", 20))]
    assert [
        (category, tokens)
        for _, _, category, _, tokens in bill([session("PRO", at("08:00")), session("LT", at("09:00"))], terms, rates)
    ] == [("CHARGED", None), ("INCREMENTAL", 6)]


def test_products_of_no_family_and_users_keep_to_themselves() -> None:
    work = [session("LT", at("08:00")), session("RVT", at("08:30")), session("PRO", at("09:00"), user="bo")]
    assert [(row, category, tokens) for row, _, category, _, tokens in bill(work)] == [
        (0, "CHARGED", 6),
        (1, "CHARGED", 9),
        (2, "CHARGED", 8),
    ]


def test_without_incremental_families_have_no_effect() -> None:
    work = [session("LT", at("08:00")), session("PRO", at("09:00"))]
    assert [tokens for *_, tokens in bill(work, Terms("rolling"))] == [6, 8]


def test_each_server_has_windows_of_its_own_where_the_scope_is_the_server() -> None:
    work = [
        session("LT", at("08:00"), server="lic-01"),
        session("PRO", at("09:00"), server="lic-02"),
        session("MAX", at("10:00"), server="lic-01"),
    ]
    amounts = [(row, category, tokens) for row, _, category, _, tokens in bill(work, replace(ROLLING, scope="server"))]
    assert amounts == [(0, "CHARGED", 6), (1, "CHARGED", 8), (2, "INCREMENTAL", Decimal("4.5"))]


def test_a_machine_pays_the_difference_for_whoever_sits_at_it() -> None:
    work = [
        session("LT", at("08:00"), user="ana", host="pc1"),
        session("PRO", at("09:00"), user="bo", host="pc1"),
        session("PRO", at("10:00"), user="bo", host="pc2"),
        session("MAX", at("11:00"), user="bo", host="pc1"),
    ]
    terms = replace(ROLLING, machine_metered=frozenset({"LT", "PRO"}))
    # MAX is of the same family, but the user pays for it.
    amounts = [(row, category, tokens) for row, _, category, _, tokens in bill(work, terms)]
    assert amounts == [(0, "CHARGED", 6), (1, "INCREMENTAL", 2), (2, "CHARGED", 8), (3, "CHARGED", Decimal("10.5"))]


def test_a_date_is_shared_by_servers_in_several_zones() -> None:
    work = [
        session("LT", at("20:00"), server="sin-lic-01"),
        session("PRO", at("04:00", 14), server="chi-lic-01"),
        session("PRO", at("06:00", 14), server="chi-lic-01"),
    ]
    amounts = [(row, category, tokens) for row, _, category, _, tokens in bill(work, Terms("day", incremental=True))]
    # 20:00Z is 14 July in Singapore, 04:00Z is still 13 July in Chicago, 06:00Z is 14 July there.
    assert amounts == [(0, "CHARGED", 6), (1, "CHARGED", 8), (2, "INCREMENTAL", 2)]


def test_a_family_of_more_than_64_products_is_refused() -> None:
    rates = tf.Rates([tf.Rate(f"P{place}", Decimal(1), None, "drafting") for place in range(65)])
    table = pl.DataFrame({"user": ["ana"], "product": ["P1"], "start": [at("08:00")], "end": [at("09:00")]})
    with pytest.raises(tf.ArgumentError, match="64"):
        tf.charge(table, rule=tf.Rule(window="rolling", incremental=True), rates=rates)
    assert tf.charge(table, rule=tf.Rule(window="rolling"), rates=rates).height == 1


def test_64_products_of_a_family_are_told_apart() -> None:
    rates = [rate(f"P{place}", place + 1) for place in range(64)]
    work = [session(f"P{place}", at("08:00") + timedelta(minutes=place)) for place in range(64)] * 2
    assert [tokens for *_, tokens in bill(work, ROLLING, rates)] == [1] * 64


@given(whole_cases(whole_terms(incremental=True, idle=False)))
@settings(max_examples=600)
def test_charges_of_families_equal_the_definition(case: Case) -> None:
    assert charge(case).to_dicts() == with_rule_id(reference.charge(**case.for_reference()), case.terms)


@given(whole_cases(whole_terms(incremental=True, window="day")))
def test_a_family_never_costs_more_in_a_day_than_its_members_would(case: Case) -> None:
    tokens = [
        charge(replace(case, terms=replace(case.terms, incremental=incremental)))["tokens"].sum()
        for incremental in (True, False)
    ]
    if all(rate.effective_from is None for rate in case.rates):
        assert tokens[0] <= tokens[1]


@given(whole_cases(whole_terms(incremental=True, window="rolling")))
def test_the_tokens_of_a_window_are_the_dearest_rate_used_in_it(case: Case) -> None:
    charges = charge(case).filter(pl.col("tokens").is_not_null())
    families = reference.families_of(case.rates)
    rates = [rate for rate in case.rates if rate.effective_from is None]
    if rates != case.rates:
        return
    dearest: dict[Any, Decimal] = {}
    totals: dict[Any, Decimal] = {}
    for row in charges.to_dicts():
        session = case.sessions[row["session"]]
        key = reference.key_of(session, case.terms, families), row["window_end"]
        tokens = reference.rate_at(rates, session.product, row["charged_at"]) or Decimal(0)
        dearest[key] = max(dearest.get(key, Decimal(0)), tokens)
        totals[key] = totals.get(key, Decimal(0)) + row["tokens"]
    assert totals == dearest
