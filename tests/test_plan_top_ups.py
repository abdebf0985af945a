"""Top-ups in mid-term: in contracts, in offers, and in plans against a plain count, the closed form and the ledger."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal
from fractions import Fraction
from itertools import product
from math import ceil
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tokenflex as tf
from plan_cases import (
    MONEY,
    START,
    ZONES,
    begins_of,
    check_replay,
    days_of,
    offers_of_term,
    sparse_paths,
    summed_up,
    units,
    whole,
)
from plan_reference import Story, live_of_term

ONE_DAY = timedelta(days=1)
ORDERS = st.sampled_from(["annual_first", "contract_first", "earliest_end"])
POOLS = st.sampled_from(["contract", "annual"])
TOP_UPS = [tf.PriceTier(from_tokens=10, unit_price="3.5"), tf.PriceTier(from_tokens=25, unit_price="3.1")]


def contract(*top_ups: tf.TopUp, **terms: Any) -> tf.Contract:
    years = [
        tf.ContractYear(year=1, start="2024-02-01", end="2025-01-31", tokens=10, carry_over=terms.pop("carry", False)),
        tf.ContractYear(year=2, start="2025-02-01", end="2026-01-31", tokens=10),
    ]
    prices = [tf.PriceTier(from_tokens=0, unit_price=3), tf.PriceTier(from_tokens=50, unit_price=2)]
    return tf.Contract(**({"number": "1", "years": years, "prices": prices, "top_ups": top_ups} | terms))


# In a contract


def test_a_top_up_is_a_pool_that_ends_with_the_one_it_tops_up() -> None:
    made = contract(
        tf.TopUp(day="2024-07-01", tokens=5, unit_price="3.3"),
        tf.TopUp(day="2024-08-01", tokens=6, pool="CY"),
        tf.TopUp(day="2024-09-01", tokens=60, pool="annual 2"),
        carry=True,
    )
    rows = {p.id: (p.kind, p.opens.date(), p.end, p.unit_price, p.carries_to) for p in made.pools}
    assert rows["top-up 1"] == ("contract", date(2024, 7, 1), date(2026, 1, 31), Decimal("3.3"), None)
    assert rows["top-up 2"] == ("annual", date(2024, 8, 1), date(2025, 1, 31), Decimal(3), "annual 2")
    assert rows["top-up 3"] == ("annual", date(2025, 2, 1), date(2026, 1, 31), Decimal(2), None)
    # The price of the contract's own purchase is not that of more tokens.
    assert rows["annual 1"][3] == 3
    assert [pool.id for pool in made.pools] == ["annual 1", "top-up 2", "annual 2", "top-up 3", "top-up 1"]
    for text, read in ((made.to_toml(), tf.Contract.from_toml), (made.to_json(), tf.Contract.from_json)):
        assert read(text) == made


def test_a_top_up_is_drawn_from_when_it_is_there() -> None:
    made = contract(tf.TopUp(day="2024-07-01", tokens=5, unit_price="3.3"), overage_price=4)
    at = [made.first_instant(date(2024, month, 15)) for month in (3, 6, 8)]
    ledger = made.settle(pl.DataFrame({"charged_at": at, "tokens": [9, 3, 3]}), as_of=made.closes)
    found = dict(ledger.balances().select("pool", "consumed").iter_rows())
    assert (found["annual 1"], found["top-up 1"]) == (12 - 2, 3)
    cost = ledger.cost().row(-1, named=True)
    assert (cost["overage"], cost["value_bought"]) == (2, 20 * 3 + 5 * Decimal("3.3"))


@pytest.mark.parametrize(
    ("top_up", "field"),
    [
        ({"day": "2024-01-31", "tokens": 5}, "top_ups[0].day"),
        ({"day": "2026-02-01", "tokens": 5}, "top_ups[0].day"),
        ({"day": "2026-02-01", "tokens": 5, "pool": "CY"}, "top_ups[0].pool"),
        ({"day": "2025-02-01", "tokens": 5, "pool": "annual 1"}, "top_ups[0].day"),
        ({"day": "2025-02-01", "tokens": 5, "pool": "annual 3"}, "top_ups[0].pool"),
        ({"day": "2025-02-01", "tokens": 0}, "top_ups[0].tokens"),
        ({"day": "2025-02-01", "tokens": 5, "unit_price": -1}, "top_ups[0].unit_price"),
        ({"day": "2025-02-01", "tokens": 5, "price": 1}, "top_ups[0].price"),
    ],
)
def test_a_top_up_that_makes_no_sense_is_named(top_up: dict[str, Any], field: str) -> None:
    with pytest.raises(tf.FieldsError) as caught:
        tf.Contract.from_dict(contract().to_dict() | {"top_ups": [top_up]})
    assert set(caught.value.fields) == {field}


def test_a_team_of_flex_has_no_top_ups() -> None:
    pack = tf.Pack(id="a", tokens=5, purchased="2024-02-01", unit_price=3)
    with pytest.raises(tf.FieldsError, match="what a Flex team buys are packs"):
        tf.Contract(number="1", packs=[pack], top_ups=[tf.TopUp(day="2024-07-01", tokens=5)])


# In an offer


def test_an_offer_has_prices_of_top_ups() -> None:
    offer = offers_of_term(top_up_prices=TOP_UPS, top_up_pool="annual")
    assert tf.Offer.from_toml(offer.to_toml()) == offer
    assert [offer.cost_of_top_up(tokens) for tokens in (10, 30)] == [Decimal(35), Decimal(93)]
    marginal = offers_of_term(top_up_prices=TOP_UPS, marginal=True)
    assert marginal.cost_of_top_up(30) == Decimal("3.5") * 25 + 5 * Decimal("3.1")
    with pytest.raises(tf.ArgumentError, match="no tier"):
        offer.cost_of_top_up(9)
    with pytest.raises(tf.FieldsError) as caught:
        offers_of_term(top_up_prices=TOP_UPS[::-1], top_up_pool="pack")
    assert set(caught.value.fields) == {"top_up_prices[1].from_tokens", "top_up_pool"}
    with pytest.raises(tf.FieldsError, match="belongs to Token Flex"):
        tf.Offer(overage_price=4, packs=[tf.PackOffer(tokens=10, unit_price=3)], top_up_prices=TOP_UPS)


# In a plan


def stories_of(row: dict[str, Any], paths: Any, offer: tf.Offer, *, size: int) -> list[Story]:
    """What becomes of the scenarios under an initial purchase and top-ups of a size, counted day by day."""
    cost = int(offer.cost(row["annual"] * offer.years + row["contract"]) * MONEY)
    stories = [
        live_of_term(
            whole(path),
            begins_of(offer.years),
            units(row["annual"]),
            units(row["contract"]),
            order=offer.order,
            carry=offer.carry_over,
            lot=size * 10_000,
            lots_to=offer.top_up_pool,
        )
        for path in paths
    ]
    for story in stories:
        story.spent = cost + (len(story.lots) * int(offer.cost_of_top_up(size) * MONEY) if size else 0)
    return stories


def check_plans_with_top_ups_are_those_of_brute_force(data: Any, order: Any, pool: Any) -> None:
    years = data.draw(st.sampled_from([2, 3]))
    paths = data.draw(sparse_paths(days_of(years)))
    step, carry = data.draw(st.sampled_from([1, 5])), data.draw(st.booleans())
    offer = offers_of_term(
        years=years,
        order=order,
        step=step,
        carry_over=carry,
        top_up_prices=TOP_UPS,
        top_up_pool=pool,
        overage_price=data.draw(st.sampled_from(["3.2", "4", "9"])),
    )
    totals = sorted(data.draw(st.sets(st.integers(0, 20), min_size=1, max_size=3)))
    plan = tf.plan_purchase(paths, offer=offer, start=START, quantities=[total * step for total in totals])
    seen = set()
    for row in plan.tried.iter_rows(named=True):
        size = int(row["top_up"] or 0)
        stories = stories_of(row, paths, offer, size=size)
        expected = summed_up(stories, offer.overage_price)
        assert {name: row[name] for name in expected} == expected
        lots = sum(len(story.lots) for story in stories)
        assert row["expected_top_up"] == round(Decimal(lots * size) / len(paths), 4)
        seen.add((row["annual"], row["contract"], size))
    splits, sizes = {each[:2] for each in seen}, {each[2] for each in seen}
    assert sizes >= {0, 10}
    assert seen == {(*split, size) for split, size in product(splits, sizes)}
    assert plan.expected_cost == plan.tried["expected_cost"].min()


@given(data=st.data(), order=ORDERS, pool=POOLS)
@settings(max_examples=5)
def test_plans_with_top_ups_are_those_of_brute_force(data: Any, order: Any, pool: Any) -> None:
    check_plans_with_top_ups_are_those_of_brute_force(data, order, pool)


@pytest.mark.heavy
@given(data=st.data(), order=ORDERS, pool=POOLS)
@settings(max_examples=200)
def test_plans_with_top_ups_are_those_of_brute_force_in_many_more_cases(data: Any, order: Any, pool: Any) -> None:
    check_plans_with_top_ups_are_those_of_brute_force(data, order, pool)


def test_the_sizes_of_top_ups_that_are_tried() -> None:
    paths = np.zeros((2, days_of(2)))
    paths[0, 5], paths[1, 5] = 60, 30
    plan = tf.plan_purchase(paths, offer=offers_of_term(top_up_prices=TOP_UPS), start=START, quantities=[0])
    assert plan.tried["top_up"].to_list() == [None, 10, 20, 25, 50]
    assert plan.tried["purchase"].to_list()[:2] == ["nothing", "top-ups of 10"]
    coarse = tf.plan_purchase(paths, offer=offers_of_term(top_up_prices=TOP_UPS, step=40), start=START, quantities=[0])
    assert coarse.tried["top_up"].to_list() == [None, 40]
    none = tf.plan_purchase(paths * 0, offer=offers_of_term(top_up_prices=TOP_UPS), start=START, quantities=[0])
    assert none.tried["top_up"].to_list() == [None, 10]
    assert none.top_up is None


def check_the_cost_of_top_ups_is_that_of_the_ledger(data: Any, order: Any, pool: Any, zone: str) -> None:
    paths = data.draw(sparse_paths(days_of(2))) * data.draw(st.sampled_from([1, 0.25, 1 / 3]))
    offer = offers_of_term(
        order=order,
        zone=zone,
        carry_over=data.draw(st.booleans()),
        overage_price=40,
        top_up_prices=TOP_UPS,
        top_up_pool=pool,
        pools=data.draw(st.sampled_from([["annual"], ["contract"], ["annual", "contract"]])),
    )
    quantities = [data.draw(st.integers(0, 10)) * 2]
    plan = tf.plan_purchase(paths, offer=offer, start=START, quantities=quantities)
    for scenario, path in enumerate(paths):
        check_replay(plan, path, scenario)


@given(data=st.data(), order=ORDERS, pool=POOLS, zone=ZONES)
@settings(max_examples=10)
def test_the_cost_of_top_ups_is_that_of_the_ledger(data: Any, order: Any, pool: Any, zone: str) -> None:
    check_the_cost_of_top_ups_is_that_of_the_ledger(data, order, pool, zone)


@pytest.mark.heavy
@given(data=st.data(), order=ORDERS, pool=POOLS, zone=ZONES)
@settings(max_examples=300)
def test_the_cost_of_top_ups_is_that_of_the_ledger_in_many_more_cases(
    data: Any, order: Any, pool: Any, zone: str
) -> None:
    check_the_cost_of_top_ups_is_that_of_the_ledger(data, order, pool, zone)


@given(data=st.data(), price=st.integers(1, 34).map(lambda tenths: Decimal(tenths) / 10))
@settings(max_examples=10)
def test_single_tokens_as_top_ups_are_the_newsvendor_at_their_price(data: Any, price: Decimal) -> None:
    """Whoever can buy what lacks token by token need not mind overage: the late price is that of a top-up."""
    paths = data.draw(sparse_paths(days_of(2), most=9))
    late = Decimal("3.5")
    offer = offers_of_term(
        pools=["contract"],
        overage_price=5,
        prices=[tf.PriceTier(from_tokens=0, unit_price=price)],
        top_up_prices=[tf.PriceTier(from_tokens=1, unit_price=late)],
    )
    totals = sorted(int(total) for total in paths.sum(axis=1))
    place = ceil((Fraction(late) - Fraction(price)) / Fraction(late) * len(totals))
    best = totals[place - 1] if place > 0 else 0
    plan = tf.plan_purchase(paths, offer=offer, start=START, quantities=list(range(max(totals) + 2)))
    assert plan.tokens == best
    coarse = tf.plan_purchase(paths, offer=offer, start=START, quantities=2)
    assert coarse.expected_cost == plan.expected_cost
    if plan.top_up is not None and best:
        assert plan.newsvendor.row(0)[2:] == (late, pytest.approx(float(1 - price / late)), best)


def test_when_top_ups_are_bought_and_how_many() -> None:
    paths = np.zeros((10, days_of(2)))
    for scenario in range(10):
        paths[scenario, [100, 200 + scenario, 300]] = 10, scenario, scenario
    offer = offers_of_term(
        pools=["contract"], top_up_prices=[tf.PriceTier(from_tokens=4, unit_price="3.1")], overage_price=9
    )
    plan = tf.plan_purchase(paths, offer=offer, start=START, quantities=[14])
    assert plan.top_up == 4
    assert plan.run_out_chance == 0
    # Scenario s uses 10 + 2 s, so it lacks 2 s - 4, in lots of four.
    assert plan.scenarios["topped_up"].to_list() == [4 * max(-(-(2 * each - 4) // 4), 0) for each in range(10)]
    assert plan.scenarios["overage"].sum() == 0
    assert plan.scenarios["run_out"].null_count() == 10
    first = plan.scenarios["first_top_up"].to_list()
    assert first[:5] == [None, None, None, START + 300 * ONE_DAY, START + 300 * ONE_DAY]
    assert first[5:] == [START + (200 + each) * ONE_DAY for each in range(5, 10)]
    assert plan.top_ups.rows()[2:] == [
        (0.5, START + 209 * ONE_DAY, Decimal(4), Decimal(4)),
        (0.75, None, Decimal(10), Decimal(12)),
        (0.9, None, Decimal(12), Decimal(12)),
    ]
    bought = plan.purchases.filter(pl.col("day") > START)
    assert bought["chance"].to_list() == [0.7, 0.5]
    assert bought["pool"].to_list() == ["top-up 1", "top-up 2"]
    assert [(each.day, each.tokens) for each in plan.contract.top_ups] == bought.select("day", "tokens").rows()


def test_top_ups_are_not_bought_where_overage_is_cheaper() -> None:
    paths = np.zeros((2, days_of(2)))
    paths[:, 3] = 12
    for price, top_up in (("3.2", None), ("40", 10)):
        offer = offers_of_term(pools=["contract"], overage_price=price, top_up_prices=TOP_UPS[:1])
        plan = tf.plan_purchase(paths, offer=offer, start=START, quantities=[11])
        assert plan.top_up == top_up


def test_with_top_ups_tokens_do_not_run_out() -> None:
    rng = np.random.default_rng(1)
    paths = rng.random((30, days_of(2))) * rng.random((30, 1))
    offer = offers_of_term(top_up_prices=TOP_UPS)
    plan = tf.plan_purchase(paths, offer=offer, start=START, run_out_limit=0)
    assert plan.top_up is not None
    bare = tf.plan_purchase(paths, offer=offers_of_term(), start=START, run_out_limit=0)
    assert plan.expected_cost < bare.expected_cost
