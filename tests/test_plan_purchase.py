"""`plan_purchase` against a plain count day by day, the closed form, and the ledger; and what it refuses."""

from __future__ import annotations

import subprocess
import sys
from datetime import date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise, product
from math import ceil
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

import tokenflex as tf
from plan_cases import (
    MONEY,
    START,
    TIERS,
    ZONES,
    begins_of,
    check_replay,
    days_of,
    offer_of_packs,
    offers_of_term,
    sparse_paths,
    summed_up,
    units,
    whole,
)
from plan_reference import ONE_DAY, Story, a_year_later, live_by_reorder, live_of_packs, live_of_term
from tokenflex import tables
from tokenflex.contract.days import months_later
from tokenflex.planning.situation import Plan
from tokenflex.planning.try_ways import try_all
from tokenflex.planning.ways import DatedWay, Order, ReorderWay

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray


def plan_of(paths: Any, **arguments: Any) -> tf.PurchasePlan:
    return tf.plan_purchase(paths, **arguments)


# Against a plain count


def check_each_purchase_of_a_term_costs_what_a_count_day_by_day_says(data: Any, order: Any) -> None:
    years, carry = data.draw(st.sampled_from([2, 3])), data.draw(st.booleans())
    paths = data.draw(sparse_paths(days_of(years)))
    offer = offers_of_term(years=years, order=order, carry_over=carry, marginal=data.draw(st.booleans()))
    quantities = data.draw(st.lists(st.integers(0, 120), min_size=1, max_size=4))
    plan = tf.plan_purchase(paths, offer=offer, start=START, quantities=quantities)
    expected = []
    for row in plan.tried.iter_rows(named=True):
        stories = [
            live_of_term(
                whole(path), begins_of(years), units(row["annual"]), units(row["contract"]), order=order, carry=carry
            )
            for path in paths
        ]
        cost = int(offer.cost(row["annual"] * years + row["contract"]) * MONEY)
        for story in stories:
            story.spent = cost
        expected.append(summed_up(stories, offer.overage_price))
        assert {name: row[name] for name in expected[-1]} == expected[-1]
    cheapest = min(row["expected_cost"] for row in expected)
    assert plan.expected_cost == cheapest
    fewest = min(row["tokens"] for row in plan.tried.iter_rows(named=True) if row["expected_cost"] == cheapest)
    assert plan.tokens == fewest
    assert set(plan.tried["tokens"]) == {Decimal(each) for each in quantities}


@given(data=st.data(), order=st.sampled_from(["annual_first", "contract_first", "earliest_end"]))
@settings(max_examples=8)
def test_each_purchase_of_a_term_costs_what_a_count_day_by_day_says(data: Any, order: Any) -> None:
    check_each_purchase_of_a_term_costs_what_a_count_day_by_day_says(data, order)


@pytest.mark.heavy
@given(data=st.data(), order=st.sampled_from(["annual_first", "contract_first", "earliest_end"]))
@settings(max_examples=160)
def test_each_purchase_of_a_term_costs_what_a_count_day_by_day_says_in_many_more_cases(data: Any, order: Any) -> None:
    check_each_purchase_of_a_term_costs_what_a_count_day_by_day_says(data, order)


def test_each_quantity_is_tried_with_every_split() -> None:
    paths = np.ones((1, days_of(2)))
    offer = offers_of_term(step=5)
    plan = tf.plan_purchase(paths, offer=offer, start=START, quantities=[100])
    assert set(plan.tried.select("annual", "contract").iter_rows()) == {
        (Decimal(annual), Decimal(100 - 2 * annual)) for annual in range(0, 55, 5)
    }
    annual = tf.plan_purchase(paths, offer=offers_of_term(pools=["annual"]), start=START, quantities=[100])
    assert annual.tried.select("annual", "contract").rows() == [(Decimal(50), Decimal(0))]
    contract = tf.plan_purchase(paths, offer=offers_of_term(pools=["contract"]), start=START, quantities=[100])
    assert contract.tried.select("annual", "contract").rows() == [(Decimal(0), Decimal(100))]


def check_packs(paths: NDArray[np.float64], offer: tf.Offer, start: date, ways: list[DatedWay | ReorderWay]) -> None:
    plan = Plan(offer, start, np.rint(paths * 10_000).astype(np.int64))
    prices = [int(offer.cost_of_pack(pack) * MONEY) for pack in offer.packs]
    for way, tried in zip(ways, try_all(plan, ways), strict=True):
        stories = [story_of(whole(path), plan, way, prices) for path in paths]
        costs = [story.spent + story.overage * units(offer.overage_price) for story in stories]
        assert tried.way == way
        assert tried.cost == sum(costs)
        assert tried.spent == sum(story.spent for story in stories)
        assert tried.overage == sum(story.overage for story in stories)
        assert tried.expired == sum(story.expired for story in stories)
        assert tried.left == sum(story.left for story in stories)
        assert tried.ran_out == sum(bool(story.short) for story in stories)
        assert tried.bought == sum(story.left + story.expired - story.overage for story in stories) + plan.paths.sum()


def story_of(path: list[int], plan: Plan, way: DatedWay | ReorderWay, prices: list[int]) -> Story:
    if isinstance(way, ReorderWay):
        size, cost = plan.size[way.pack] * way.packs, prices[way.pack] * way.packs
        return live_by_reorder(path, plan.start, way.below, size, cost)
    buys = {
        plan.day(order.day): (plan.size[order.pack] * order.packs, prices[order.pack] * order.packs)
        for order in way.orders
    }
    return live_of_packs(path, plan.start, buys)


def check_packs_on_dates_cost_what_a_count_day_by_day_says(data: Any, start: date) -> None:
    paths = data.draw(sparse_paths(data.draw(st.sampled_from([1, 30, 400, 800]))))
    order = st.builds(Order, st.integers(0, paths.shape[1] - 1), st.integers(0, 1), st.integers(1, 4))
    orders = st.lists(order, min_size=1, max_size=5, unique_by=lambda each: each.day)
    ways = data.draw(
        st.lists(orders.map(lambda each: DatedWay(tuple(sorted(each)), None)), min_size=1, max_size=4, unique=True)
    )
    check_packs(paths, offer_of_packs((10, 3), (25, "2.5")), start, list(ways))


@given(data=st.data(), start=st.dates(date(2023, 1, 1), date(2025, 1, 1)))
@settings(max_examples=60)
def test_packs_on_dates_cost_what_a_count_day_by_day_says(data: Any, start: date) -> None:
    check_packs_on_dates_cost_what_a_count_day_by_day_says(data, start)


@pytest.mark.heavy
@given(data=st.data(), start=st.dates(date(2023, 1, 1), date(2025, 1, 1)))
@settings(max_examples=1200)
def test_packs_on_dates_cost_what_a_count_day_by_day_says_in_many_more_cases(data: Any, start: date) -> None:
    check_packs_on_dates_cost_what_a_count_day_by_day_says(data, start)


@given(data=st.data(), start=st.dates(date(2023, 1, 1), date(2025, 1, 1)))
@settings(max_examples=25)
def test_packs_by_the_balance_cost_what_a_count_day_by_day_says(data: Any, start: date) -> None:
    # Each day looks at all days before, so paths beyond a year are left to the ledger's test.
    paths = data.draw(sparse_paths(data.draw(st.sampled_from([1, 30, 90]))))
    way = st.builds(ReorderWay, st.integers(1, 600_000), st.integers(0, 1), st.integers(1, 4))
    check_packs(paths, offer_of_packs((10, 3), (25, "2.5")), start, data.draw(st.lists(way, min_size=1, max_size=4)))


def test_packs_that_end_with_tokens_are_bought_anew() -> None:
    """A reorder point over more than a year, where the first packs end."""
    paths = np.zeros((2, 420))
    paths[0, [10, 380, 410]] = 7, 7, 30
    paths[1, [5, 366, 367]] = 10, 3, 3
    ways: list[DatedWay | ReorderWay] = [ReorderWay(50_000, 0, 1), ReorderWay(150_000, 1, 1), ReorderWay(300_000, 0, 2)]
    check_packs(paths, offer_of_packs((10, 3), (25, "2.5")), date(2024, 2, 29), ways)


def check_the_choice_among_dates_is_that_of_brute_force(data: Any) -> None:
    paths = data.draw(sparse_paths(data.draw(st.sampled_from([20, 450])), most=5))
    days = sorted({0, paths.shape[1] * 3 // 4} | data.draw(st.sets(st.integers(1, paths.shape[1] - 1), max_size=1)))
    offer = offer_of_packs((10, 3), (25, data.draw(st.sampled_from(["2.5", "1.1", "3.5"]))))
    dates = [START + day * ONE_DAY for day in days]
    plan = tf.plan_purchase(paths, offer=offer, start=START, dates=dates)
    top = int(paths.sum(axis=1).max())
    sizes = [(10, 30), (25, 25 * int(Decimal(offer.packs[1].unit_price or 0) * 100))]
    choices: list[tuple[int, int] | None] = [
        (count * size * 10_000, count * int(offer.cost_of_pack(pack) * MONEY))
        for (size, _), pack in zip(sizes, offer.packs, strict=True)
        for count in range(1, max(-(-top // size), 1) + 1)
    ]
    costs = []
    for chosen in product(choices, *[[None, *choices]] * (len(dates) - 1)):
        buys = {day: choice for day, choice in zip(dates, chosen, strict=True) if choice is not None}
        if any(until > a_year_later(day) for day, until in pairwise([*buys, START + len(paths[0]) * ONE_DAY])):
            continue
        stories = [live_of_packs(whole(path), START, buys) for path in paths]
        costs.append(summed_up(stories, offer.overage_price)["expected_cost"])
    assert plan.tried.height == len(costs)
    assert plan.expected_cost == min(costs)


@given(data=st.data())
@settings(max_examples=12)
def test_the_choice_among_dates_is_that_of_brute_force(data: Any) -> None:
    check_the_choice_among_dates_is_that_of_brute_force(data)


@pytest.mark.heavy
@given(data=st.data())
@settings(max_examples=240)
def test_the_choice_among_dates_is_that_of_brute_force_in_many_more_cases(data: Any) -> None:
    check_the_choice_among_dates_is_that_of_brute_force(data)


def test_regular_purchases_and_reorder_points_are_all_tried() -> None:
    paths = np.full((3, 365), 2.0)
    plan = tf.plan_purchase(paths, offer=offer_of_packs((500, 3), (100, 3)), start=START, quantities=10)
    words = plan.tried["purchase"].to_list()
    for expected in ("1 x 100 every 1 month", "2 x 500 once", "2 x 100 every 3 months", "1 x 100 when below 6"):
        assert expected in words
    dated = plan.tried.filter(policy="dates")
    assert dated.filter(purchase="2 x 100 every 3 months")["tokens"][0] == 800
    assert plan.tried["expected_cost"].min() == plan.expected_cost


@pytest.mark.parametrize(
    ("day", "months", "later"),
    [
        (date(2026, 1, 31), 1, date(2026, 2, 28)),
        (date(2026, 1, 31), 11, date(2026, 12, 31)),
        (date(2024, 2, 29), 12, date(2025, 2, 28)),
        (date(2026, 12, 15), 1, date(2027, 1, 15)),
        (date(2026, 12, 15), 0, date(2026, 12, 15)),
    ],
)
def test_months_later_is_the_same_day_or_the_last(day: date, months: int, later: date) -> None:
    assert months_later(day, months) == later


# Against the closed form


def quantile(values: list[int], price: Decimal, overage_price: Decimal) -> int:
    """The least value that is not exceeded in (overage price - price) / overage price of the cases."""
    ratio = (Fraction(overage_price) - Fraction(price)) / Fraction(overage_price)
    place = ceil(ratio * len(values))
    return sorted(values)[place - 1] if place > 0 else 0


PRICES = st.integers(0, 50).map(lambda tenths: Decimal(tenths) / 10)


@given(data=st.data(), price=PRICES, overage_price=st.sampled_from(["0.1", "3.5", "4", "5"]).map(Decimal))
@settings(max_examples=20)
def test_one_pool_at_one_price_is_the_newsvendor(data: Any, price: Decimal, overage_price: Decimal) -> None:
    paths = data.draw(sparse_paths(days_of(2), most=9))
    offer = offers_of_term(
        pools=["contract"], overage_price=overage_price, prices=[tf.PriceTier(from_tokens=0, unit_price=price)]
    )
    totals = [int(total) for total in paths.sum(axis=1)]
    plan = tf.plan_purchase(paths, offer=offer, start=START, quantities=list(range(max(totals) + 2)))
    best = 0 if price >= overage_price else quantile(totals, price, overage_price)
    assert plan.tokens == best
    coarse = tf.plan_purchase(paths, offer=offer, start=START, quantities=3)
    assert coarse.expected_cost == plan.expected_cost
    if best:
        assert plan.newsvendor["tokens"].to_list() == [best]


@given(data=st.data(), price=PRICES)
@settings(max_examples=15)
def test_annual_tokens_alone_are_the_newsvendor_of_all_years(data: Any, price: Decimal) -> None:
    paths = data.draw(sparse_paths(days_of(2), most=9))
    offer = offers_of_term(pools=["annual"], prices=[tf.PriceTier(from_tokens=0, unit_price=price)])
    border = days_of(1)
    years = [int(each) for each in [*paths[:, :border].sum(axis=1), *paths[:, border:].sum(axis=1)]]
    plan = tf.plan_purchase(paths, offer=offer, start=START, quantities=list(range(0, 2 * max(years) + 3, 2)))
    best = 0 if price >= 4 else quantile(years, price, Decimal(4))
    assert plan.tokens == 2 * best
    assert tf.plan_purchase(paths, offer=offer, start=START, quantities=2).expected_cost == plan.expected_cost


@given(totals=st.lists(st.integers(1, 30), min_size=1, max_size=8), price=st.integers(1, 39))
@settings(max_examples=40)
def test_packs_of_one_token_bought_once_are_the_newsvendor(totals: list[int], price: int) -> None:
    offer = offer_of_packs((1, Decimal(price) / 10))
    plan = tf.plan_purchase([[total] for total in totals], offer=offer, start=START, dates=[START])
    assert plan.tokens == max(quantile(totals, Decimal(price) / 10, Decimal(4)), 1)


# Against the ledger


def check_the_cost_of_a_term_is_that_of_the_ledger(data: Any, order: Any, zone: str) -> None:
    years = data.draw(st.sampled_from([2, 3]))
    paths = data.draw(sparse_paths(days_of(years))) * data.draw(st.sampled_from([1, 0.25, 1 / 3]))
    offer = offers_of_term(
        years=years, order=order, zone=zone, carry_over=data.draw(st.booleans()), overage_price="3.1415"
    )
    plan = tf.plan_purchase(paths, offer=offer, start=START, quantities=5)
    for scenario, path in enumerate(paths):
        check_replay(plan, path, scenario)
        settled = plan.contract.settle(plan.charges(path), as_of=plan.contract.closes)
        assert settled.cost().equals(plan.replay(path).cost())


@given(data=st.data(), order=st.sampled_from(["annual_first", "contract_first", "earliest_end"]), zone=ZONES)
@settings(max_examples=15)
def test_the_cost_of_a_term_is_that_of_the_ledger(data: Any, order: Any, zone: str) -> None:
    check_the_cost_of_a_term_is_that_of_the_ledger(data, order, zone)


@pytest.mark.heavy
@given(data=st.data(), order=st.sampled_from(["annual_first", "contract_first", "earliest_end"]), zone=ZONES)
@settings(max_examples=300)
def test_the_cost_of_a_term_is_that_of_the_ledger_in_many_more_cases(data: Any, order: Any, zone: str) -> None:
    check_the_cost_of_a_term_is_that_of_the_ledger(data, order, zone)


def check_the_cost_of_packs_is_that_of_the_ledger(data: Any, zone: str, start: date) -> None:
    paths = data.draw(sparse_paths(data.draw(st.sampled_from([20, 380])), most=60))
    offer = offer_of_packs((10, 3), (25, data.draw(st.sampled_from(["2.5", "3.9"]))), zone=zone)
    dates = None
    if data.draw(st.booleans()):
        dates = [start + day * ONE_DAY for day in {0, 19} | data.draw(st.sets(st.integers(0, 19), max_size=1))]
    plan = tf.plan_purchase(paths, offer=offer, start=start, dates=dates, quantities=2)
    for scenario, path in enumerate(paths):
        check_replay(plan, path, scenario)


@given(data=st.data(), zone=ZONES, start=st.dates(date(2023, 6, 1), date(2025, 3, 1)))
@settings(max_examples=12)
def test_the_cost_of_packs_is_that_of_the_ledger(data: Any, zone: str, start: date) -> None:
    check_the_cost_of_packs_is_that_of_the_ledger(data, zone, start)


@pytest.mark.heavy
@given(data=st.data(), zone=ZONES, start=st.dates(date(2023, 6, 1), date(2025, 3, 1)))
@settings(max_examples=240)
def test_the_cost_of_packs_is_that_of_the_ledger_in_many_more_cases(data: Any, zone: str, start: date) -> None:
    check_the_cost_of_packs_is_that_of_the_ledger(data, zone, start)


def test_a_reorder_point_is_replayed_on_each_path_by_itself() -> None:
    rng = np.random.default_rng(3)
    paths = rng.integers(0, 12, (6, 500)).astype(float)
    plan = tf.plan_purchase(paths, offer=offer_of_packs((100, 3), (500, "2.9")), start=START)
    assert plan.below is not None
    for scenario, path in enumerate(paths):
        check_replay(plan, path, scenario)
    first = plan.purchases.row(0, named=True)
    assert (first["day"], first["chance"]) == (START, 1)
    usual = plan.purchases.filter(pl.col("chance") >= 0.5)
    assert usual["pool"].null_count() == 0
    assert [pack.id for pack in plan.contract.packs] == usual["pool"].to_list()
    assert (plan.purchases["earliest"] <= plan.purchases["day"]).all()
    assert (plan.purchases["day"] <= plan.purchases["latest"]).all()
    assert plan.purchases["chance"].is_sorted(descending=True)


def test_marginal_prices_are_exact_in_the_plan_and_a_mean_in_the_contract() -> None:
    offer = offers_of_term(marginal=True, pools=["contract"])
    paths = np.zeros((1, days_of(2)))
    paths[0, 3] = 70
    plan = tf.plan_purchase(paths, offer=offer, start=START, quantities=[70])
    assert plan.expected_cost == 60 * 3 + Decimal("2.5") * 10
    cost = plan.replay(paths[0]).cost().row(-1, named=True)
    assert abs(cost["value_bought"] - plan.expected_cost) <= 70 * Decimal("0.00005")


# What it says


def test_the_best_quantity_can_be_a_tier_that_is_not_needed() -> None:
    """55 tokens at 3 cost more than 60 at 2.5."""
    paths = np.zeros((1, days_of(2)))
    paths[0, 3] = 55
    plan = tf.plan_purchase(paths, offer=offers_of_term(), start=START, quantities=5)
    assert (plan.tokens, plan.expected_cost) == (Decimal(60), Decimal(150))
    assert plan.newsvendor["tokens"].to_list() == [0, 55]


def test_when_tokens_run_out_and_how_many_lack() -> None:
    paths = np.zeros((10, days_of(2)))
    for scenario in range(10):
        paths[scenario, [100, 200 + scenario]] = 10, scenario
    offer = offers_of_term(pools=["contract"])
    plan = tf.plan_purchase(paths, offer=offer, start=START, quantities=[14])
    assert plan.run_out_chance == 0.5
    assert plan.top_ups.select("day", "tokens").rows() == [
        (START + timedelta(days=205), Decimal(0)),
        (START + timedelta(days=207), Decimal(0)),
        (START + timedelta(days=209), Decimal(0)),
        (None, Decimal(3)),
        (None, Decimal(4)),
    ]
    assert plan.scenarios["run_out"].drop_nulls().to_list() == [
        START + timedelta(days=200 + late) for late in range(5, 10)
    ]


def test_the_curve_has_the_cheapest_way_of_each_quantity() -> None:
    rng = np.random.default_rng(1)
    plan = tf.plan_purchase(rng.random((20, days_of(2))), offer=offers_of_term(step=10), start=START, quantities=20)
    curve = plan.curve
    assert curve["tokens"].is_sorted()
    assert curve["tokens"].n_unique() == curve.height == plan.tried["tokens"].n_unique()
    cheapest = plan.tried.group_by("tokens").agg(pl.min("expected_cost")).sort("tokens")
    assert_frame_equal(curve.select("tokens", "expected_cost"), cheapest)
    assert curve["is_chosen"].sum() == 1
    contract_only = plan.tried.filter(pl.col("annual") == 0).sort("tokens")
    assert contract_only["expected_overage"].is_sorted(descending=True)
    assert contract_only["expected_expiry"].is_sorted()


def test_a_limit_to_running_out_costs_more_and_is_kept() -> None:
    rng = np.random.default_rng(1)
    paths = rng.random((50, days_of(2))) * rng.random((50, 1))
    free = tf.plan_purchase(paths, offer=offers_of_term(), start=START)
    careful = tf.plan_purchase(paths, offer=offers_of_term(), start=START, run_out_limit=0.1)
    assert free.run_out_chance > 0.1 >= careful.run_out_chance
    assert careful.expected_cost > free.expected_cost
    kept = careful.tried.filter(pl.col("run_out_chance") <= 0.1)
    assert careful.expected_cost == kept["expected_cost"].min()
    with pytest.raises(tf.ArgumentError, match=r"tokens run out in 100\.0% of the scenarios"):
        tf.plan_purchase(paths, offer=offers_of_term(), start=START, quantities=[1], run_out_limit=0)


def test_the_tables_are_as_they_are_described() -> None:
    for offer in (offers_of_term(), offer_of_packs((10, 3))):
        plan = tf.plan_purchase(np.ones((3, days_of(2))), offer=offer, start=START)
        for name, schema in {
            "tried": tables.PURCHASE_TRIED,
            "purchases": tables.PLANNED_PURCHASES,
            "scenarios": tables.PLAN_SCENARIOS,
            "top_ups": tables.TOP_UPS,
            "newsvendor": tables.NEWSVENDOR,
        }.items():
            assert dict(getattr(plan, name).schema) == dict(schema), name


# What it takes


def same(first: tf.PurchasePlan, second: tf.PurchasePlan) -> bool:
    return first.tried.equals(second.tried) and first.scenarios.equals(second.scenarios)


def long_table(paths: NDArray[np.float64]) -> pl.DataFrame:
    count, days = paths.shape
    return pl.DataFrame(
        {
            "scenario": np.repeat(np.arange(count), days),
            "day": [START + day * ONE_DAY for _ in range(count) for day in range(days)],
            "tokens": paths.ravel(),
        }
    )


PATHS = np.random.default_rng(7).integers(0, 9, (5, 60)).astype(float)


@pytest.mark.parametrize(
    "given_as",
    [
        lambda paths: paths.astype(np.int64),
        lambda paths: paths.astype(np.float32),
        lambda paths: paths.tolist(),
        lambda paths: [[Decimal(int(each)) for each in path] for path in paths],
        long_table,
        lambda paths: long_table(paths).lazy(),
        lambda paths: long_table(paths).with_columns(pl.col("tokens").cast(pl.Decimal(10, 4))).to_arrow(),
        lambda paths: long_table(paths).with_columns(pl.col("scenario").cast(pl.String)).sort("day"),
        lambda paths: long_table(paths).to_pandas(),
    ],
)
def test_paths_are_the_same_in_any_form(given_as: Callable[[NDArray[np.float64]], Any]) -> None:
    offer = offer_of_packs((10, 3), (50, "2.8"))
    kept = PATHS.copy()
    plan = tf.plan_purchase(PATHS, offer=offer, start=START)
    found = given_as(PATHS)
    if not isinstance(found, np.ndarray | list):
        assert same(tf.plan_purchase(found, offer=offer), plan)
    assert same(tf.plan_purchase(found, offer=offer, start=START), plan)
    assert (kept == PATHS).all()


class Forecast:
    """What a forecast looks like."""

    start = START

    def paths(self, n: int, /, *, seed: int) -> NDArray[np.float64]:
        return np.random.default_rng(seed).integers(0, 9, (n, 60)).astype(float)


def test_a_forecast_is_asked_for_its_paths() -> None:
    offer = offer_of_packs((10, 3))
    plan = tf.plan_purchase(Forecast(), offer=offer, n=7, seed=5)
    assert same(plan, tf.plan_purchase(Forecast().paths(7, seed=5), offer=offer, start=START))
    assert not same(plan, tf.plan_purchase(Forecast(), offer=offer, n=7, seed=6))


def test_the_order_of_scenarios_changes_no_choice() -> None:
    offer = offers_of_term()
    paths = np.random.default_rng(2).random((30, days_of(2)))
    plan = tf.plan_purchase(paths, offer=offer, start=START)
    assert tf.plan_purchase(paths[::-1], offer=offer, start=START).tried.equals(plan.tried)


# What it refuses

GOOD = np.ones((2, 30))
PACKS = offer_of_packs((10, 3))


@pytest.mark.parametrize(
    ("paths", "words"),
    [
        (np.empty((0, 30)), "0 x 30, but need a row for each scenario"),
        (np.empty((3, 0)), "3 x 0"),
        (np.ones(30), "a column for each day"),
        (np.array([[1.0, np.nan]]), r"paths\[0, 1\] is nan, which is no number"),
        (np.array([[1.0], [np.inf]]), r"paths\[1, 0\] is inf"),
        (np.array([[1.0, -2.0]]), "is negative"),
        ([[1, 2], [3]], "paths"),
        ([["a"]], "numbers"),
        ([[None]], "numbers|no number"),
        ("text", "have to be an array"),
        (None, "have to be an array"),
        (np.array([[True]]), "numbers"),
        (np.full((1, 30), 1e9), "more than a pool can have"),
    ],
)
def test_paths_that_are_none_are_refused(paths: Any, words: str) -> None:
    with pytest.raises(tf.TokenflexError, match=words):
        tf.plan_purchase(paths, offer=PACKS, start=START)


@pytest.mark.parametrize(
    ("days", "words"),
    [
        (730, "730 days, short of the term: 2 years from 2027-03-01 on are 731 days; forecast 731 days"),
        (751, "751 days, beyond the term: .* are 731 days; leave out the last 20"),
    ],
)
def test_paths_that_are_not_as_long_as_the_term_are_refused(days: int, words: str) -> None:
    start = date(2027, 3, 1)
    assert days_of(2, start) == 731
    with pytest.raises(tf.ArgumentError, match=words):
        tf.plan_purchase(np.ones((2, days)), offer=offers_of_term(), start=start)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"start": None}, "start is missing"),
        ({"start": "2026-01-01"}, "start has to be a date"),
        ({"start": datetime(2026, 1, 1)}, "start has to be a date"),  # noqa: DTZ001 - no date either
        ({"start": date(2199, 6, 1)}, "beyond 2199-12-30"),
        ({"offer": None}, "offer has to be a tokenflex.Offer"),
        ({"quantities": 1}, "quantities is 1"),
        ({"quantities": 2.5}, "quantities is 2.5"),
        ({"quantities": "50"}, "quantities are text"),
        ({"quantities": [10]}, "goes with Token Flex"),
        ({"n": 0}, "n is 0"),
        ({"run_out_limit": 2}, "has to lie in 0 to 1"),
        ({"run_out_limit": "0.5"}, "has to lie in 0 to 1"),
        ({"dates": []}, "one or more days"),
        ({"dates": [START, START]}, "each once"),
        ({"dates": [START - ONE_DAY]}, "dates hold 2026-02-28, but the paths last from 2026-03-01 to 2026-03-30"),
        ({"dates": [START + ONE_DAY]}, "so the first purchase is on the first day"),
        ({"dates": [START], "paths": np.ones((1, 366))}, "more than a year apart"),
        ({"dates": ["2026-03-01"]}, "dates have to be dates"),
        ({"dates": [START + day * ONE_DAY for day in range(15)]}, "more than 20,000 combinations"),
        ({"offer": offer_of_packs((10**9, 10**9), overage_price=1)}, "too large for an exact sum"),
    ],
)
def test_calls_that_make_no_sense_are_refused(arguments: dict[str, Any], words: str) -> None:
    with pytest.raises(tf.TokenflexError, match=words):
        plan_of(**({"paths": GOOD, "offer": PACKS, "start": START} | arguments))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"quantities": []}, "at least one is needed"),
        ({"quantities": [15]}, "multiples of 10.0000 tokens, from 20.0000 on"),
        ({"quantities": [10]}, "multiples of 10.0000 tokens, from 20.0000 on"),
        ({"quantities": [-20]}, "0 or more"),
        ({"quantities": [20.0]}, "floats are not exact"),
        ({"dates": [START]}, "dates go with packs"),
    ],
)
def test_quantities_that_are_not_on_offer_are_refused(arguments: dict[str, Any], words: str) -> None:
    offer = offers_of_term(minimum=20, step=10)
    with pytest.raises(tf.TokenflexError, match=words):
        tf.plan_purchase(np.ones((1, days_of(2))), offer=offer, start=START, **arguments)


@pytest.mark.parametrize(
    ("table", "words"),
    [
        (long_table(PATHS).drop("day"), "'day' is missing"),
        (long_table(PATHS).head(0), "no rows"),
        (long_table(PATHS).head(-1), "'4' has 59 rows, but each needs one for each of the 60 days"),
        (pl.concat([long_table(PATHS), long_table(PATHS).head(1)]), "'0' has 61 rows"),
        (long_table(PATHS).with_columns(tokens=pl.col("tokens") - 1), "is negative"),
        (long_table(PATHS).with_columns(tokens=pl.lit("x")), "has to be numbers"),
        (long_table(PATHS).with_columns(day=pl.lit(None, pl.Date)), "'day' is null in row 0"),
        (long_table(PATHS).with_columns(pl.col("day").cast(pl.String)), "has to be dates"),
        (long_table(PATHS).with_columns(scenario=pl.lit(1.5)), "has to be numbers or names"),
    ],
)
def test_tables_that_are_no_paths_are_refused(table: pl.DataFrame, words: str) -> None:
    with pytest.raises(tf.TokenflexError, match=words):
        tf.plan_purchase(table, offer=PACKS)


@pytest.mark.parametrize("given_as", [lambda _: Forecast(), long_table])
def test_scenarios_that_begin_before_the_plan_are_cut(given_as: Callable[[NDArray[np.float64]], Any]) -> None:
    found = given_as(Forecast().paths(5, seed=1))
    paths = Forecast().paths(5, seed=1)
    plan = tf.plan_purchase(found, offer=PACKS, start=START + 11 * ONE_DAY, n=5, seed=1)
    assert (plan.start, plan.days) == (START + 11 * ONE_DAY, 49)
    assert same(plan, tf.plan_purchase(paths[:, 11:], offer=PACKS, start=plan.start))
    for day in (START - ONE_DAY, START + 60 * ONE_DAY):
        with pytest.raises(tf.ArgumentError, match=f"start is {day}, but the .* lasts from 2026-03-01 to 2026-04-29"):
            tf.plan_purchase(found, offer=PACKS, start=day, n=5)


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ([1.0] * 29, "path has 29 days, but the plan has 30"),
        ([1.0] * 29 + [-1.0], r"path\[29\] is negative"),
        ([1.0] * 29 + [float("nan")], "numbers"),
        (["a"] * 30, "numbers"),
        ("a", "has to be the tokens of each day"),
        (5, "has to be the tokens of each day"),
    ],
)
def test_a_path_of_another_length_is_not_replayed(path: Any, words: str) -> None:
    plan = tf.plan_purchase(GOOD, offer=PACKS, start=START)
    with pytest.raises(tf.TokenflexError, match=words):
        plan.replay(path)


# Bad input, of forecasts and of plans


def days_used(count: int) -> pl.DataFrame:
    days = [START + day * ONE_DAY for day in range(count)]
    return pl.DataFrame({"usage_date": days, "tokens": [5] * count, "product": "ACD"})


def test_a_history_shorter_than_a_forecast_needs_is_refused() -> None:
    with pytest.raises(tf.ArgumentError, match="90 days of history are too few for a forecast: 91 would be enough"):
        tf.forecast(days_used(90), horizon=30, model="weekday")
    assert tf.forecast(days_used(91), horizon=30, model="weekday").horizon == 30


def test_products_that_are_none_are_refused() -> None:
    with pytest.raises(tf.ArgumentError, match="no charges with tokens and a date: nothing to go by"):
        tf.forecast(days_used(0), horizon=30)
    with pytest.raises(tf.ArgumentError, match="how many people use each product"):
        tf.Project(name="bridge", start=START, staffing={})
    with pytest.raises(tf.ArgumentError, match="at least one of each"):
        tf.plan_purchase(np.empty((0, 0)), offer=PACKS, start=START)


@pytest.mark.parametrize("field", ["prices", "top_up_prices", "overage_price", "packs"])
def test_negative_prices_are_refused(field: str) -> None:
    price = {"unit_price": -1}
    wrong = {
        "prices": [{"from_tokens": 0} | price],
        "top_up_prices": [{"from_tokens": 10} | price],
        "overage_price": -1,
        "packs": [{"tokens": 10} | price],
    }[field]
    with pytest.raises(tf.FieldsError, match=r"is -1, but has to be 0 or more"):
        tf.Offer.from_dict({"years": 2, "overage_price": 4, "prices": [], field: wrong})


@pytest.mark.parametrize("field", ["prices", "top_up_prices"])
def test_tiers_out_of_order_are_refused(field: str) -> None:
    with pytest.raises(tf.FieldsError, match=rf"{field}\[1\].from_tokens is 0.0000, but has to exceed 60.0000"):
        offers_of_term(**{field: TIERS[::-1]})


def test_a_horizon_beyond_the_term_is_refused() -> None:
    """And one that falls short of it; the message says which would be enough, from the forecast's own first day."""
    start = START + 91 * ONE_DAY
    for horizon, words in ((730, "730 days, short of the term"), (732, "732 days, beyond the term")):
        found = tf.forecast(days_used(91), horizon=horizon + 3, model="weekday")
        later = start + 3 * ONE_DAY
        with pytest.raises(tf.ArgumentError, match=rf"{words}: 2 years from {later} on are 731 days"):
            tf.plan_purchase(found, offer=offers_of_term(), start=later, n=3)
    with pytest.raises(tf.ArgumentError, match="; forecast 734 days"):
        tf.plan_purchase(tf.forecast(days_used(91), horizon=733, model="weekday"), offer=offers_of_term(), start=later)
    enough = tf.forecast(days_used(91), horizon=734, model="weekday")
    assert tf.plan_purchase(enough, offer=offers_of_term(), start=later, n=3).days == 731
    with pytest.raises(tf.ArgumentError, match="has to lie in 1 to 2,192"):
        tf.forecast(days_used(91), horizon=2_193)


# The offer


@pytest.mark.parametrize(
    "offer",
    [
        offers_of_term(zone="Europe/Madrid", currency="EUR", step=1000, minimum="50000.5", order="contract_first"),
        offers_of_term(pools=["contract"], marginal=True, carry_over=True, number="110001", years=5),
        offer_of_packs((500, 3), (5000, "2.85")),
        tf.Offer(overage_price=0, packs=[tf.PackOffer(tokens=100)], prices=TIERS),
    ],
)
def test_an_offer_reads_back_as_it_was_written(offer: tf.Offer, tmp_path: Any) -> None:
    file = tmp_path / "offer.toml"
    file.write_text(offer.to_toml(), encoding="utf-8")
    assert tf.Offer.read(file) == offer
    assert tf.Offer.from_dict(offer.to_dict()) == offer


@pytest.mark.parametrize(
    ("terms", "faults"),
    [
        ({}, {"overage_price", "years"}),
        ({"overage_price": -1, "years": 2, "prices": TIERS}, {"overage_price"}),
        ({"overage_price": 4, "years": 2, "prices": TIERS[::-1]}, {"prices[1].from_tokens"}),
        ({"overage_price": 4, "years": 2}, {"prices"}),
        ({"overage_price": 4, "years": 1, "prices": TIERS}, {"years"}),
        ({"overage_price": 4, "years": 6, "prices": TIERS}, {"years"}),
        ({"overage_price": 4, "years": 2, "prices": TIERS, "packs": [{"tokens": 10}]}, {"packs"}),
        ({"overage_price": 4, "packs": [{"tokens": 10}]}, {"packs[0].unit_price"}),
        ({"overage_price": 4, "packs": [{"tokens": 0, "unit_price": -3}]}, {"packs[0].tokens", "packs[0].unit_price"}),
        ({"overage_price": 4, "packs": [{"tokens": 1, "unit_price": 3}], "step": 10}, {"step"}),
        ({"overage_price": 4, "years": 2, "prices": TIERS, "pools": []}, {"pools"}),
        ({"overage_price": 4, "years": 2, "prices": TIERS, "pools": "annual"}, {"pools"}),
        (
            {"overage_price": 4, "years": 2, "prices": TIERS, "step": 0, "zone": "x", "order": "y"},
            {"step", "zone", "order"},
        ),
        ({"overage_price": 4, "years": 2, "prices": TIERS, "discount": 1}, {"discount"}),
        ({"overage_price": 3.5, "years": 2, "prices": TIERS, "currency": "euro"}, {"overage_price", "currency"}),
    ],
)
def test_an_offer_names_all_that_is_wrong(terms: dict[str, Any], faults: set[str]) -> None:
    plain = terms | {
        "prices": [{"from_tokens": t.from_tokens, "unit_price": t.unit_price} for t in terms.get("prices", [])]
    }
    with pytest.raises(tf.FieldsError) as caught:
        tf.Offer.from_dict(plain)
    assert set(caught.value.fields) == faults


def test_an_offer_that_cannot_be_read_says_so(tmp_path: Any) -> None:
    with pytest.raises(tf.SourceNotFoundError):
        tf.Offer.read(tmp_path / "none.toml")
    file = tmp_path / "offer.toml"
    file.write_text("years = ", encoding="utf-8")
    with pytest.raises(tf.SourceError, match="no TOML"):
        tf.Offer.read(file)
    file.write_text("years = 2", encoding="utf-8")
    with pytest.raises(tf.FieldsError, match=r"offer\.toml: 2 fields"):
        tf.Offer.read(file)


@given(units_of=st.integers(0, 10**7), bounds=st.sets(st.integers(1, 10**7), max_size=4))
def test_a_purchase_costs_what_its_tiers_say(units_of: int, bounds: set[int]) -> None:
    starts = [0, *sorted(bounds)]
    prices = [Decimal(30 - place) / 10 for place in range(len(starts))]
    tiers = [
        tf.PriceTier(from_tokens=tables.decimal(start), unit_price=price)
        for start, price in zip(starts, prices, strict=True)
    ]
    tokens = tables.decimal(units_of)
    last = max(place for place, start in enumerate(starts) if start <= units_of)
    assert offers_of_term(prices=tiers).cost(tokens) == tokens * prices[last]
    ends = [*starts[1:], 10**9]
    marginal = sum(
        (
            tables.decimal(max(min(units_of, end) - start, 0)) * price
            for start, end, price in zip(starts, ends, prices, strict=True)
        ),
        Decimal(0),
    )
    assert offers_of_term(prices=tiers, marginal=True).cost(tokens) == marginal


def test_below_the_first_tier_nothing_has_a_price() -> None:
    offer = offers_of_term(prices=TIERS[1:])
    with pytest.raises(tf.ArgumentError, match="no tier"):
        offer.cost(10)
    assert offer.cost(0) == 0
    plan = tf.plan_purchase(np.zeros((1, days_of(2))), offer=offer, start=START)
    assert plan.tokens == 60


# Without numpy

_WITHOUT = """
import sys
import tokenflex as tf
assert "numpy" not in sys.modules
sys.modules["numpy"] = None
offer = tf.Offer(overage_price=4, packs=[tf.PackOffer(tokens=10, unit_price=3)])
try:
    tf.plan_purchase([[1.0]], offer=offer)
except tf.ArgumentError as error:
    print(error)
"""


def test_without_numpy_it_says_what_to_install() -> None:
    done = subprocess.run([sys.executable, "-c", _WITHOUT], capture_output=True, text=True, check=False)
    assert done.stdout == "plan_purchase needs numpy: pip install 'tokenflex[planning]'\n", done.stderr


def test_leap_days_end_a_pack_as_the_contract_says() -> None:
    assert a_year_later(date(2024, 2, 29)) == tf.Pack(id="a", tokens=1, purchased="2024-02-29").end + ONE_DAY
