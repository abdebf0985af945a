"""Plans that begin with tokens held: against a plain count, brute force, the closed form and the ledger."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from math import ceil
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tokenflex as tf
from plan_cases import MONEY, ZONES, check_replay, offer_of_packs, offers_of_term, sparse_paths, summed_up, units, whole
from plan_reference import Buys, Story, Tank, a_year_later, live, live_by_reorder, live_of_packs
from tokenflex import tables

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

ONE_DAY = timedelta(days=1)
FIRST = date(2024, 2, 1)
START = date(2025, 6, 1)
ORDERS = st.sampled_from(["annual_first", "contract_first", "earliest_end"])
TOP_UPS = [tf.PriceTier(from_tokens=10, unit_price="3.5")]


def charges_on(days: Iterable[tuple[date, int]]) -> pl.DataFrame:
    rows = sorted(days)
    at = [datetime(day.year, day.month, day.day, 12, tzinfo=UTC) for day, _ in rows]
    schema: dict[str, Any] = {"charged_at": tables.TIME, "product": pl.String, "tokens": tables.TOKENS}
    return pl.DataFrame({"charged_at": at, "product": "ACD", "tokens": [tokens for _, tokens in rows]}, schema=schema)


def term(*, carry: bool = False, tokens: int = 40, **terms: Any) -> tf.Contract:
    """Three years, the first longer and the second shorter than a year."""
    ends = [date(2025, 2, 28), date(2025, 12, 31), date(2026, 12, 31)]
    begins = [FIRST, *(end + ONE_DAY for end in ends)]
    years = [
        tf.ContractYear(year=year + 1, start=begins[year], end=ends[year], tokens=tokens, carry_over=carry and year < 2)
        for year in range(3)
    ]
    given_terms: dict[str, Any] = {"number": "7", "years": years, "contract_tokens": 30}
    given_terms |= {"prices": [tf.PriceTier(from_tokens=0, unit_price=2)], "overage_price": 5} | terms
    return tf.Contract(**given_terms)


def tanks_of(ledger: tf.Ledger, start: date) -> list[tuple[str, Tank]]:
    """What is in the pools of a ledger when a day begins, in the order of drawing; heirs are told at their close."""
    left = dict(ledger.balances().select("pool", "balance").iter_rows())
    found: dict[str, Tank] = {}
    for pool in ledger.contract.pools:
        opens = pl.Series([pool.opens]).dt.convert_time_zone(ledger.contract.zone).dt.date()[0]
        tokens = units(left[pool.id] if opens < start else pool.tokens)
        found[pool.id] = Tank(tokens, max(opens, start), pool.end + ONE_DAY)
    for pool in ledger.contract.pools:
        found[pool.id].heir = None if pool.carries_to is None else found[pool.carries_to]
    for tank in found.values():
        if tank.ends == start and tank.heir is not None:
            tank.heir.tokens += tank.tokens
    return [(name, tank) for name, tank in found.items() if tank.ends > start]


def story_of_term(path: list[int], ledger: tf.Ledger, start: date, row: dict[str, Any], lots_to: str) -> Story:
    """A path drawn from what is held and from what is bought, which stands in tanks of its own."""
    held, tanks = tanks_of(ledger, start), []
    own = [name for name, _ in held if name.startswith("annual") or name == "contract"]
    for name, tank in held:
        kind = "annual" if name.startswith("annual") else "contract"
        tank.takes_lots = name in own and kind == lots_to
        tanks.append(tank)
        if name in own:
            tanks.append(Tank(units(row[kind]), tank.opens, tank.ends, tank.heir))
    return live(path, start, tanks, lot=units(row["top_up"] or 0))


# Token Flex


def check_a_plan_in_mid_term_is_that_of_brute_force(data: Any, order: Any, zone: str) -> None:
    contract = term(
        carry=data.draw(st.booleans()),
        order=order,
        zone=zone,
        top_ups=data.draw(
            st.sampled_from(
                [
                    [],
                    [tf.TopUp(day="2024-05-01", tokens=9, unit_price=3)],
                    [tf.TopUp(day="2025-09-01", tokens=9, pool="CY"), tf.TopUp(day="2025-03-01", tokens=5)],
                ]
            )
        ),
        products=data.draw(st.sampled_from([None, ["ACD"]])),
        on_empty=data.draw(st.sampled_from(["overage", "refuse"])),
    )
    start = data.draw(st.sampled_from([START, date(2025, 3, 1), FIRST, date(2026, 1, 1), date(2026, 12, 30)]))
    used = st.tuples(st.dates(FIRST, max(start - ONE_DAY, FIRST)), st.integers(1, 30))
    past = data.draw(st.lists(used, max_size=6)) if start > FIRST else []
    before = contract.first_instant(start) - timedelta(seconds=1)
    charges = charges_on(past).filter(pl.col("charged_at") < before)
    ledger = contract.settle(charges, as_of=before, problems=tf.Problems())
    days = (contract.end - start).days + 1
    paths = data.draw(sparse_paths(days))
    lots_to = data.draw(st.sampled_from(["annual", "contract"]))
    offer = offers_of_term(
        years=3, order=order, zone=zone, overage_price=40, top_up_prices=TOP_UPS, top_up_pool=lots_to
    )
    held = data.draw(st.sampled_from([contract, ledger])) if not past else ledger
    plan = tf.plan_purchase(paths, offer=offer, held=held, start=start, quantities=[0, data.draw(st.integers(1, 60))])
    count = sum(year.end >= start for year in contract.years)
    for row in plan.tried.iter_rows(named=True):
        stories = [story_of_term(whole(path), ledger, start, row, lots_to) for path in paths]
        assert row["tokens"] == row["annual"] * count + row["contract"]
        size = row["top_up"]
        for story in stories:
            story.spent = int(offer.cost(row["tokens"]) * MONEY)
            story.spent += len(story.lots) * int(offer.cost_of_top_up(size) * MONEY) if size else 0
        expected = summed_up(stories, offer.overage_price)
        assert {name: row[name] for name in expected} == expected
    assert plan.expected_cost == plan.tried["expected_cost"].min()
    for scenario, path in enumerate(paths):
        check_replay(plan, path, scenario, held=[pool.id for pool in contract.pools])


@given(data=st.data(), order=ORDERS, zone=ZONES)
@settings(max_examples=6)
def test_a_plan_in_mid_term_is_that_of_brute_force(data: Any, order: Any, zone: str) -> None:
    check_a_plan_in_mid_term_is_that_of_brute_force(data, order, zone)


@pytest.mark.heavy
@given(data=st.data(), order=ORDERS, zone=ZONES)
@settings(max_examples=300)
def test_a_plan_in_mid_term_is_that_of_brute_force_in_many_more_cases(data: Any, order: Any, zone: str) -> None:
    check_a_plan_in_mid_term_is_that_of_brute_force(data, order, zone)


def second_year(**arguments: Any) -> tf.PurchasePlan:
    """A plan from the second year on: of its 40 tokens 5 are left, of the contract's 30 all, and 40 are to come."""
    contract = term(currency="EUR")
    ledger = contract.settle(charges_on([(date(2025, 4, 1), 35)]))
    offer = offers_of_term(years=3, currency="EUR", prices=[tf.PriceTier(from_tokens=0, unit_price=3)])
    paths = np.zeros((1, (contract.end - START).days + 1))
    paths[0, [10, 300]] = 45, 50
    call: dict[str, Any] = {"offer": offer, "held": ledger, "start": START}
    return tf.plan_purchase(paths, **(call | arguments))


def test_a_plan_of_the_second_year_buys_what_lacks_beside_what_is_held() -> None:
    plan = second_year()
    assert plan.held.rows() == [
        ("annual 2", "annual", Decimal(5), START, date(2025, 12, 31)),
        ("annual 3", "annual", Decimal(40), date(2026, 1, 1), date(2026, 12, 31)),
        ("contract", "contract", Decimal(30), START, date(2026, 12, 31)),
    ]
    # 45 less 5 and 30 lack in the second year, 50 less 40 in the third.
    assert plan.tokens == 20
    assert plan.expected_cost == 60
    assert plan.newsvendor.select("pool", "tokens").rows() == [("annual", Decimal(20)), ("contract", Decimal(20))]
    assert plan.purchases.select("day", "pool", "tokens").rows() == [
        (START, "top-up 1", Decimal(10)),
        (START, "top-up 2", Decimal(10)),
    ]
    assert plan.contract.top_ups == tuple(
        tf.TopUp(day=START, tokens=10, pool=pool, unit_price=3) for pool in ("annual 2", "annual 3")
    )
    assert plan.contract.years == term().years
    assert plan.end == date(2026, 12, 31)


def test_the_ledger_of_a_plan_goes_on_from_what_was_settled() -> None:
    plan = second_year()
    path = [0.0] * plan.days
    path[10], path[300] = 45, 55
    ledger = plan.replay(path)
    assert ledger.cost()["tokens_consumed"][-1] == 35 + 45 + 50
    assert plan.cost_of(ledger) == 60 + 5 * 4
    early = plan.contract.settle(charges_on([(date(2025, 4, 1), 35)]))
    with pytest.raises(tf.ArgumentError, match="after the end of the ledger"):
        plan.cost_of(early)


def test_a_closed_ledger_and_bookings_of_a_statement_count_like_any() -> None:
    statement = pl.DataFrame(
        {
            "usage_category": ["MANUAL_CONSUMPTION"],
            "tokens": [3],
            "token_pool": ["CY"],
            "usage_date": [date(2025, 4, 7)],
        }
    )
    charges = charges_on([(date(2025, 4, 1), 32)])
    as_of = datetime(2025, 5, 20, tzinfo=UTC)
    ledger = term(currency="EUR").settle(charges, statement=statement, as_of=as_of)
    late = ledger.close(date(2025, 4, 30)).update(charges_on([(date(2025, 4, 1), 32), (date(2025, 4, 2), 1)]))
    for held, left in ((ledger, 5), (late, 4), (late.update(charges), 5)):
        plan = second_year(held=held)
        assert plan.held["tokens"][0] == left
        check_replay(
            plan, np.eye(1, plan.days)[0], 0, held=[pool.id for pool in held.contract.pools]
        ) if left < 0 else None
        path = np.zeros(plan.days)
        path[[10, 300]] = 45, 50
        check_replay(plan, path, 0, held=[pool.id for pool in held.contract.pools])


# Flex


def held_tanks(packs: list[tf.Pack], left: dict[str, Decimal], start: date) -> list[Tank]:
    return [
        Tank(units(left[pack.id] if pack.start < start else pack.tokens), max(pack.start, start), pack.end + ONE_DAY)
        for pack in packs
        if pack.end >= start
    ]


@st.composite
def packs_held(draw: st.DrawFn, start: date) -> list[tf.Pack]:
    """Packs that were bought within the last year, that came from another team, and that are ordered."""
    found = []
    for place in range(draw(st.integers(1, 3))):
        bought = start - draw(st.integers(1, 364)) * ONE_DAY
        kind = draw(st.sampled_from(["old", "cut", "received", "ordered"]))
        more: dict[str, Any] = {}
        if kind == "cut":
            more["end"] = start + draw(st.integers(0, 20)) * ONE_DAY
        if kind == "received":
            more["received"] = min(start + draw(st.integers(-5, 15)) * ONE_DAY, a_year_later(bought) - ONE_DAY)
            more["received"] = max(more["received"], bought)
        if kind == "ordered":
            bought = start + draw(st.integers(0, 25)) * ONE_DAY
        tokens = draw(st.integers(1, 30))
        found.append(tf.Pack(id=f"order {place + 1}", tokens=tokens, purchased=bought, unit_price="2.7", **more))
    return found


def check_a_plan_with_packs_held_is_that_of_brute_force(data: Any, zone: str, start: date) -> None:
    packs = data.draw(packs_held(start))
    contract = tf.Contract(number="team", packs=packs, zone=zone)
    before = contract.first_instant(start) - timedelta(seconds=1)
    used = st.tuples(st.dates(start - 300 * ONE_DAY, start - ONE_DAY), st.integers(1, 9))
    charges = charges_on(data.draw(st.lists(used, max_size=4))).filter(pl.col("charged_at") < before)
    ledger = contract.settle(charges, as_of=before, problems=tf.Problems())
    left = dict(ledger.balances().select("pool", "balance").iter_rows())
    held = held_tanks(packs, left, start)
    paths = data.draw(sparse_paths(data.draw(st.sampled_from([20, 60])), most=30))
    offer = offer_of_packs((10, 3), (25, "2.5"), zone=zone)
    dates = [start + day * ONE_DAY for day in (0, 7)] if data.draw(st.booleans()) else None
    plan = tf.plan_purchase(paths, offer=offer, held=ledger, start=start, dates=dates, quantities=2)
    sizes = {10: 30, 25: Decimal("62.5")}
    for row in plan.tried.iter_rows(named=True):
        stories = [story_of_packs(row, whole(path), start, held, sizes) for path in paths]
        expected = summed_up(stories, offer.overage_price)
        assert {name: row[name] for name in expected} == expected, row["purchase"]
    assert plan.expected_cost == plan.tried["expected_cost"].min()
    for scenario, path in enumerate(paths):
        check_replay(plan, path, scenario, held=[pool.id for pool in contract.pools])


def story_of_packs(
    row: dict[str, Any], path: list[int], start: date, held: list[Tank], prices: dict[int, Any]
) -> Story:
    """A path under a purchase that is told in words."""

    def bought(text: str) -> tuple[int, int]:
        count, _, size = text.partition(" x ")
        return int(count) * int(size) * 10_000, int(int(count) * Decimal(prices[int(size)]) * MONEY)

    words = row["purchase"]
    if row["policy"] == "reorder":
        tokens, cost = bought(words.partition(" when")[0])
        return live_by_reorder(path, start, units(row["below"]), tokens, cost, held=held)
    buys: Buys = {}
    if ": " in words:
        for part in words.split(", "):
            day, _, what = part.partition(": ")
            buys[date.fromisoformat(day)] = bought(what)
    elif words != "nothing":
        day, number = start, len(path)
        what, _, when = words.partition(" on " if " on 20" in words and "from" not in words else " once")
        if when:
            day = date.fromisoformat(when)
        if " every " in words:
            what, _, rest = words.partition(" every ")
            months = int(rest.split()[0])
            day = date.fromisoformat(rest.split()[3]) if "from" in rest else start
            step = 0
            while (due := add_months(day, months * step)) < start + number * ONE_DAY:
                buys[due] = bought(what)
                step += 1
        else:
            buys[day] = bought(what)
    return live_of_packs(path, start, buys, held)


def add_months(day: date, months: int) -> date:
    year, month = divmod(day.year * 12 + day.month - 1 + months, 12)
    for last in range(day.day, 27, -1):
        try:
            return date(year, month + 1, last)
        except ValueError:
            continue
    return date(year, month + 1, day.day)


@given(data=st.data(), zone=ZONES, start=st.dates(date(2024, 1, 1), date(2026, 1, 1)))
@settings(max_examples=9)
def test_a_plan_with_packs_held_is_that_of_brute_force(data: Any, zone: str, start: date) -> None:
    check_a_plan_with_packs_held_is_that_of_brute_force(data, zone, start)


@pytest.mark.heavy
@given(data=st.data(), zone=ZONES, start=st.dates(date(2024, 1, 1), date(2026, 1, 1)))
@settings(max_examples=300)
def test_a_plan_with_packs_held_is_that_of_brute_force_in_many_more_cases(data: Any, zone: str, start: date) -> None:
    check_a_plan_with_packs_held_is_that_of_brute_force(data, zone, start)


def team(*packs: tuple[int, date]) -> tf.Contract:
    return tf.Contract(
        number="team",
        packs=[
            tf.Pack(id=f"old {place}", tokens=tokens, purchased=day, unit_price=3)
            for place, (tokens, day) in enumerate(packs, 1)
        ],
    )


def test_what_is_held_need_not_be_bought() -> None:
    paths = np.full((3, 100), 1.0)
    offer = offer_of_packs((10, 3))
    plan = tf.plan_purchase(paths, offer=offer, held=team((100, date(2025, 4, 1))), start=START)
    assert plan.tried.filter("is_chosen")["purchase"][0] == "nothing"
    assert [plan.tokens, plan.expected_cost] == [Decimal(0), Decimal(0)]
    assert plan.purchases.is_empty()
    assert plan.contract.packs == team((100, date(2025, 4, 1))).packs
    # Of the fifteen that lack five cost less as overage than another pack.
    less = tf.plan_purchase(paths, offer=offer, held=team((85, date(2025, 4, 1))), start=START, quantities=20)
    assert [less.tokens, less.expected_cost] == [Decimal(10), Decimal(50)]
    assert [pack.id for pack in less.contract.packs] == ["old 1", *less.purchases["pool"].drop_nulls()]


def test_packs_are_bought_where_those_that_are_held_end() -> None:
    """Half of the hundred days are paid: the rest can be bought on the day on which the old pack ends."""
    paths = np.full((1, 100), 1.0)
    held = team((500, START - 315 * ONE_DAY))
    dates = [START + 50 * ONE_DAY]
    plan = tf.plan_purchase(paths, offer=offer_of_packs((50, 3)), held=held, start=START, dates=dates)
    assert [plan.tokens, plan.expected_cost] == [Decimal(50), Decimal(150)]
    with pytest.raises(tf.ArgumentError, match="or while packs that are held last"):
        tf.plan_purchase(paths, offer=offer_of_packs((50, 3)), held=held, start=START, dates=[dates[0] + ONE_DAY])
    free = tf.plan_purchase(paths, offer=offer_of_packs((50, 3)), held=held, start=START)
    assert f"1 x 50 on {dates[0]}" in free.tried["purchase"].to_list()
    assert free.expected_cost == 150


@given(totals=st.lists(st.integers(1, 30), min_size=1, max_size=8), price=st.integers(1, 39), left=st.integers(1, 20))
@settings(max_examples=30)
def test_packs_beside_what_is_held_are_the_newsvendor_of_what_lacks(totals: list[int], price: int, left: int) -> None:
    offer = offer_of_packs((1, Decimal(price) / 10))
    held = team((left, START - ONE_DAY))
    plan = tf.plan_purchase([[total] for total in totals], offer=offer, held=held, start=START, dates=[START])
    lacks = sorted(max(total - left, 0) for total in totals)
    place = ceil((1 - Fraction(price, 40)) * len(lacks))
    assert plan.tokens == lacks[place - 1]


# What is refused


def one(days: int = 579) -> NDArray[np.float64]:
    return np.ones((1, days))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"held": "contract"}, "has to be a tokenflex.Ledger or a tokenflex.Contract, not str"),
        ({"held": team((5, START - ONE_DAY))}, "held is Flex, and the offer is Token Flex"),
        ({"held": term(zone="Europe/Madrid")}, "the zone of what is held is Europe/Madrid, and that of the offer UTC"),
        ({"held": term(currency="EUR")}, "the currency of what is held is EUR"),
        ({"held": term(order="earliest_end")}, "the order of what is held is earliest_end"),
        ({"start": date(2027, 1, 1)}, "lasts from 2024-02-01 to 2026-12-31, and the plan begins on 2027-01-01"),
        ({"start": date(2024, 1, 31)}, "there is nothing of it then"),
        ({"offer": offers_of_term()}, "a term of 3 years, and the offer one of 2"),
        (
            {"paths": one(578)},
            "578 days, short of the term: from 2025-06-01 to .* 2026-12-31, are 579 days; forecast 579",
        ),
        ({"paths": one(600)}, "600 days, beyond the term: .* are 579 days; leave out the last 21"),
        (
            {"held": term().settle(charges_on([(START, 1)]))},
            "goes to 2025-06-01T12:00.*: begin the plan later, or settle",
        ),
        (
            {"held": term(bookings=[tf.Booking(day="2025-07-01", tokens=-5, kind="adjustment", pool="MY")])},
            "something is booked on 2025-07-01",
        ),
    ],
)
def test_what_is_held_has_to_fit_the_plan(arguments: dict[str, Any], words: str) -> None:
    whole_call: dict[str, Any] = {"paths": one(), "offer": offers_of_term(years=3), "held": term(), "start": START}
    with pytest.raises(tf.TokenflexError, match=words):
        tf.plan_purchase(**(whole_call | arguments))


def test_a_pack_of_another_life_than_a_year_is_refused() -> None:
    long = tf.Pack(id="long", tokens=5, purchased=START - ONE_DAY, end=START + 500 * ONE_DAY)
    held = tf.Contract(number="team", packs=[long])
    with pytest.raises(tf.ArgumentError, match="'long' is held until 2026-10-14, longer than one that is bought"):
        tf.plan_purchase(one(30), offer=offer_of_packs((10, 3)), held=held, start=START)
