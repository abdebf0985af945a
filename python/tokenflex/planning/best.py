"""The choice of a purchase and its tables: all ways tried, the cheapest taken, and told what becomes of it."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import polars as pl

from tokenflex import tables
from tokenflex.contract.days import LAST_DAY, years_later
from tokenflex.contract.whole import top_up_pool
from tokenflex.errors import ArgumentError
from tokenflex.planning.held import held_of
from tokenflex.planning.paths import units_of
from tokenflex.planning.purchase_plan import Bought, PurchasePlan, contract_of, order_ids
from tokenflex.planning.situation import Plan
from tokenflex.planning.try_ways import (
    Outcome,
    Tried,
    chosen_of,
    cost_of,
    cost_of_lot,
    money_of,
    outcome_of,
    place_of,
    tokens_of,
    try_all,
)
from tokenflex.planning.ways import DatedWay, ReorderWay, TermWay, Way, flex_ways, late_price_of, newsvendor, term_ways
from tokenflex.planning.ways import critical_ratio as ratio_of
from tokenflex.words import many

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from datetime import date
    from decimal import Decimal

    from tokenflex.contract.contract import Contract
    from tokenflex.planning.draw import Units
    from tokenflex.planning.offer import Offer

_CHANCES: Final = (Fraction(1, 10), Fraction(1, 4), Fraction(1, 2), Fraction(3, 4), Fraction(9, 10))
_HALF: Final = Fraction(1, 2)
_LIFE: Final = 1


def best_purchase(
    paths: object,
    *,
    offer: Offer,
    start: date | None,
    quantities: int | Sequence[object],
    dates: Iterable[date] | None,
    run_out_limit: float | None,
    n: int,
    seed: int,
    held: object,
) -> PurchasePlan:
    """What `plan_purchase` does."""
    units, first, cut = units_of(paths, start=start, n=n, seed=seed)
    plan = Plan(offer, first, units, None if held is None else held_of(held, offer=offer, start=first))
    _check_term(plan, cut)
    ways: list[Way] = []
    if offer.years:
        ways += term_ways(plan, quantities)
    else:
        assert isinstance(quantities, int)  # noqa: S101 - the verb has refused a list
        ways += flex_ways(plan, quantities, dates)
    tried = try_all(plan, ways)
    place = chosen_of(tried, len(units), run_out_limit)
    outcome = outcome_of(plan, tried[place].way)
    way = tried[place].way
    purchases, at_first, usual = _purchases(plan, way, outcome)
    return PurchasePlan(
        offer=offer,
        start=first,
        days=plan.days,
        tried=_tried_table(plan, tried, place),
        purchases=purchases,
        scenarios=_scenarios(plan, outcome),
        top_ups=_top_ups(plan, outcome),
        newsvendor=_newsvendor(plan, tried[place]),
        contract=contract_of(plan, at_first, usual),
        below=_below(way),
        top_up=_top_up(way),
        held=pl.DataFrame(schema=dict(tables.HELD_TOKENS)) if plan.held is None else plan.held.table(first),
        _plan=replace(plan, paths=units[:0]),
        _way=way,
    )


def _check_term(plan: Plan, cut: int) -> None:
    last = years_later(plan.start, max(plan.offer.years, _LIFE))
    if max(last, plan.day(plan.days)) > LAST_DAY:
        raise ArgumentError(f"the plan would last beyond {LAST_DAY}: begin it earlier", location="start")
    needed = plan.years[-1]
    if plan.offer.years and plan.days != needed:
        which = "beyond" if plan.days > needed else "short of"
        do = f"leave out the last {plan.days - needed:,}" if plan.days > needed else f"forecast {cut + needed:,} days"
        term = f"{many(plan.offer.years, 'year')} from {plan.start} on are {needed:,} days"
        if plan.held is not None:
            term = f"from {plan.start} to the end of what is held, {plan.held.contract.end}, are {needed:,} days"
        raise ArgumentError(
            f"the paths have {plan.days:,} days, {which} the term: {term}; {do}",
            location="paths",
        )


def _tried_table(plan: Plan, tried: Sequence[Tried], chosen: int) -> pl.DataFrame:
    count = len(plan.paths)
    rows = [
        {
            "policy": {TermWay: "term", DatedWay: "dates", ReorderWay: "reorder"}[type(each.way)],
            "purchase": words_of(plan, each.way),
            "tokens": tokens_of(Fraction(each.bought, count)),
            "annual": tokens_of(each.way.annual) if isinstance(each.way, TermWay) else None,
            "contract": tokens_of(each.way.contract) if isinstance(each.way, TermWay) else None,
            "below": _below(each.way),
            "top_up": _top_up(each.way),
            "unit_price": money_of(_unit_price(each) * 10**8) if each.bought else None,
            "expected_cost": money_of(Fraction(each.cost, count)),
            "low_cost": money_of(each.low),
            "high_cost": money_of(each.high),
            "run_out_chance": each.ran_out / count,
            "expected_overage": tokens_of(Fraction(each.overage, count)),
            "expected_top_up": tokens_of(Fraction(each.topped_up, count)),
            "expected_expiry": tokens_of(Fraction(each.expired, count)),
            "expected_left": tokens_of(Fraction(each.left, count)),
            "is_chosen": place == chosen,
        }
        for place, each in enumerate(tried)
    ]
    return pl.DataFrame(rows, schema=dict(tables.PURCHASE_TRIED))


def _unit_price(tried: Tried) -> Fraction:
    """Of a token, in money; 0 where none is bought."""
    return Fraction(tried.spent, tried.bought * 10_000) if tried.bought else Fraction(0)


def _below(way: Way) -> Decimal | None:
    return tokens_of(way.below) if isinstance(way, ReorderWay) else None


def _top_up(way: Way) -> Decimal | None:
    return tokens_of(way.top_up) if isinstance(way, TermWay) and way.top_up else None


def words_of(plan: Plan, way: Way) -> str:
    """A way to buy in words."""
    if isinstance(way, TermWay):
        parts = {
            f"annual {_short(way.annual)} x {plan.count}": way.annual,
            f"contract {_short(way.contract)}": way.contract,
            f"top-ups of {_short(way.top_up)}": way.top_up,
        }
        return " + ".join(part for part, tokens in parts.items() if tokens) or "nothing"
    if isinstance(way, ReorderWay):
        return f"{_packs(plan, way.pack, way.packs)} when below {_short(way.below)}"
    if way.every is None:
        dates = [f"{plan.day(order.day)}: {_packs(plan, order.pack, order.packs)}" for order in way.orders]
        return ", ".join(dates) or "nothing"
    first = way.orders[0]
    bought, since = _packs(plan, first.pack, first.packs), f" from {plan.day(first.day)} on" if first.day else ""
    if len(way.orders) > 1:
        return f"{bought} every {many(way.every, 'month')}{since}"
    return f"{bought} on {plan.day(first.day)}" if first.day else f"{bought} once"


def _packs(plan: Plan, pack: int, count: int) -> str:
    return f"{count:,} x {_short(plan.size[pack])}"


def _short(units: int) -> str:
    """Tokens without decimals that say nothing."""
    text = f"{tables.decimal(units):,.4f}".rstrip("0")
    return text.removesuffix(".")


def _at_first(plan: Plan, way: Way) -> list[Bought]:
    """What is bought on days that are fixed beforehand."""
    if isinstance(way, TermWay):
        total = way.annual * plan.count + way.contract
        price = Fraction(cost_of(plan, way), total) if total else Fraction(0)
        pools = [(pool.id, way.annual if pool.kind == "annual" else way.contract) for pool in plan.bought_pools]
        return [Bought(plan.start, pool, tokens_of(units), money_of(units * price)) for pool, units in pools if units]
    if isinstance(way, DatedWay):
        costs = [(order, cost_of(plan, DatedWay((order,), None))) for order in way.orders]
        return [
            Bought(plan.day(order.day), "", tokens_of(order.packs * plan.size[order.pack]), money_of(cost))
            for order, cost in costs
        ]
    return []


def _later(plan: Plan, way: Way, day: int, units: int) -> Bought:
    """So many tokens bought on a day because few or none were left."""
    if isinstance(way, TermWay):
        pool = plan.pools[plan.topped_up([day, day + 1])[0]].id
        return Bought(
            plan.day(day), pool, tokens_of(units), money_of(units // way.top_up * cost_of_lot(plan.offer, way))
        )
    return Bought(plan.day(day), "", tokens_of(units), money_of(cost_of(plan, way)))


def contract_on(plan: Plan, way: Way, used: Sequence[int]) -> Contract:
    """The contract of the purchases that a way makes on one path."""
    on_path = replace(plan, paths=np.array([used], np.int64))
    orders = outcome_of(on_path, way).orders
    bought = [] if orders is None else [(int(day), int(orders[0, day])) for day in np.flatnonzero(orders[0])]
    return contract_of(on_path, _at_first(plan, way), [_later(on_path, way, *each) for each in bought])


def _purchases(plan: Plan, way: Way, outcome: Outcome) -> tuple[pl.DataFrame, list[Bought], list[Bought]]:
    """The table of what is bought; and of it what is bought in any case, and what most scenarios buy."""
    at_first, later = _at_first(plan, way), []
    rows = [_purchase(each) for each in at_first]
    if outcome.orders is not None:
        later = list(_events(plan, way, outcome.orders))
        rows += [_purchase(each) | spread for each, spread in later]
    usual = [each for each, spread in later if 2 * spread["chance"] >= 1]
    ids = _ids(plan, at_first, len(usual))
    numbered = [{"number": number} | row | {"pool": ids.get(number)} for number, row in enumerate(rows, 1)]
    return pl.DataFrame(numbered, schema=dict(tables.PLANNED_PURCHASES)), at_first, usual


def _ids(plan: Plan, at_first: Sequence[Bought], usual: int) -> dict[int, str]:
    """The ids of the pools that purchases make in the contract, by their numbers."""
    numbers = range(1, len(at_first) + usual + 1)
    if plan.offer.packs:
        return dict(zip(numbers, order_ids(plan.held), strict=False))
    if plan.held is not None:
        known = len(plan.held.contract.top_ups)
        return {number: top_up_pool(known + number - 1) for number in numbers}
    names = [*(each.pool for each in at_first), *(top_up_pool(place) for place in range(usual))]
    return dict(zip(numbers, names, strict=True))


def _purchase(bought: Bought) -> dict[str, Any]:
    return {
        "day": bought.day,
        "tokens": bought.tokens,
        "unit_price": money_of(Fraction(bought.cost) / Fraction(bought.tokens) * 10**8),
        "cost": bought.cost,
        "earliest": bought.day,
        "latest": bought.day,
        "chance": 1.0,
    }


def _events(plan: Plan, way: Way, orders: Units) -> Iterator[tuple[Bought, dict[str, Any]]]:
    """The first, second, … purchase because of a low balance: on which days the scenarios make it, if they do."""
    numbers = np.cumsum(orders > 0, axis=1)
    for number in range(1, int(numbers[:, -1].max()) + 1):
        who = np.flatnonzero(numbers[:, -1] >= number)
        on = np.argmax(numbers[who] >= number, axis=1)
        days, units = np.sort(on), np.sort(orders[who, on])
        early, median, late = (int(days[place_of(share, days.size)]) for share in (_CHANCES[0], _HALF, _CHANCES[-1]))
        bought = _later(plan, way, median, int(units[place_of(_HALF, units.size)]))
        yield bought, {"earliest": plan.day(early), "latest": plan.day(late), "chance": days.size / len(orders)}


def _scenarios(plan: Plan, outcome: Outcome) -> pl.DataFrame:
    drawn, count = outcome.drawn, len(plan.paths)

    def tokens(values: Units) -> list[Decimal]:
        return [tables.decimal(int(each)) for each in np.broadcast_to(values, count)]

    topped_up = outcome.topped_up
    short = [None if day == plan.days else plan.day(int(day)) for day in drawn.first_short[0]]
    never = [None] * count
    rows = {
        "scenario": list(range(count)),
        "used": tokens(plan.paths.sum(axis=1)),
        "bought": tokens(drawn.bought[0] + topped_up),
        "topped_up": tokens(topped_up),
        "overage": tokens(drawn.overage[0]),
        "expired": tokens(drawn.expired[0]),
        "left": tokens(drawn.left[0]),
        "spent": [money_of(int(each)) for each in outcome.spent],
        "cost": [money_of(int(each)) for each in outcome.cost],
        "run_out": never if outcome.is_topped_up else short,
        "first_top_up": short if outcome.is_topped_up else never,
    }
    return pl.DataFrame(rows, schema=dict(tables.PLAN_SCENARIOS))


def _top_ups(plan: Plan, outcome: Outcome) -> pl.DataFrame:
    days, lacked = np.sort(outcome.drawn.first_short[0]), np.sort(outcome.lacked)
    bought = np.sort(outcome.topped_up)
    rows = []
    for chance in _CHANCES:
        place = place_of(chance, days.size)
        day = None if days[place] == plan.days else plan.day(int(days[place]))
        rows.append((float(chance), day, tokens_of(int(lacked[place])), tokens_of(int(bought[place]))))
    return pl.DataFrame(rows, schema=dict(tables.TOP_UPS), orient="row")


def _newsvendor(plan: Plan, chosen: Tried) -> pl.DataFrame:
    price = _unit_price(chosen)
    late = late_price_of(plan.offer, chosen.way.top_up if isinstance(chosen.way, TermWay) else 0)
    ratio = ratio_of(price, late)
    rows = [
        (pool, money_of(price * 10**8), money_of(late * 10**8), float(ratio), tokens_of(tokens))
        for pool, tokens in newsvendor(plan, price, late).items()
    ]
    return pl.DataFrame(rows, schema=dict(tables.NEWSVENDOR), orient="row")
