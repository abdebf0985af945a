"""The choice of a purchase and its tables: all ways tried, the cheapest taken, and told what becomes of it."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import polars as pl

from tokenflex import tables
from tokenflex.contract.days import LAST_DAY, years_later
from tokenflex.errors import ArgumentError
from tokenflex.planning.paths import units_of
from tokenflex.planning.purchase_plan import PurchasePlan, contract_of_packs, contract_of_term, mean_price, order_id
from tokenflex.planning.try_ways import (
    Outcome,
    Tried,
    chosen_of,
    cost_of,
    money_of,
    outcome_of,
    place_of,
    tokens_of,
    try_all,
)
from tokenflex.planning.ways import DatedWay, Plan, ReorderWay, TermWay, Way, flex_ways, newsvendor, term_ways
from tokenflex.planning.ways import critical_ratio as ratio_of
from tokenflex.words import many

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
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
) -> PurchasePlan:
    """What `plan_purchase` does."""
    units, first, cut = units_of(paths, start=start, n=n, seed=seed)
    plan = Plan(offer, first, units)
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
    purchases = _purchases(plan, tried[place].way, outcome)
    return PurchasePlan(
        offer=offer,
        start=first,
        days=plan.days,
        tried=_tried_table(plan, tried, place),
        purchases=purchases,
        scenarios=_scenarios(plan, outcome),
        top_ups=_top_ups(plan, outcome),
        newsvendor=_newsvendor(plan, tried[place]),
        contract=_contract(plan, tried[place].way, purchases),
        below=_below(tried[place].way),
    )


def _check_term(plan: Plan, cut: int) -> None:
    last = years_later(plan.start, max(plan.offer.years, _LIFE))
    if max(last, plan.day(plan.days)) > LAST_DAY:
        raise ArgumentError(f"the plan would last beyond {LAST_DAY}: begin it earlier", location="start")
    needed = plan.number(last)
    if plan.offer.years and plan.days != needed:
        which = "beyond" if plan.days > needed else "short of"
        do = f"leave out the last {plan.days - needed:,}" if plan.days > needed else f"forecast {cut + needed:,} days"
        raise ArgumentError(
            f"the paths have {plan.days:,} days, {which} the term: {many(plan.offer.years, 'year')} from {plan.start} "
            f"on are {needed:,} days; {do}",
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
            "unit_price": money_of(_unit_price(each) * 10**8) if each.bought else None,
            "expected_cost": money_of(Fraction(each.cost, count)),
            "low_cost": money_of(each.low),
            "high_cost": money_of(each.high),
            "run_out_chance": each.ran_out / count,
            "expected_overage": tokens_of(Fraction(each.overage, count)),
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


def words_of(plan: Plan, way: Way) -> str:
    """A way to buy in words."""
    if isinstance(way, TermWay):
        parts = {f"annual {_short(way.annual)} x {plan.offer.years}": way.annual, f"contract {_short(way.contract)}": 1}
        return " + ".join(part for part, is_there in parts.items() if is_there and not part.endswith(" 0")) or "nothing"
    if isinstance(way, ReorderWay):
        return f"{_packs(plan, way.pack, way.packs)} when below {_short(way.below)}"
    if way.every is None:
        return ", ".join(f"{plan.day(order.day)}: {_packs(plan, order.pack, order.packs)}" for order in way.orders)
    first = way.orders[0]
    bought = _packs(plan, first.pack, first.packs)
    return f"{bought} every {many(way.every, 'month')}" if len(way.orders) > 1 else f"{bought} once"


def _packs(plan: Plan, pack: int, count: int) -> str:
    return f"{count:,} x {_short(plan.size[pack])}"


def _short(units: int) -> str:
    """Tokens without decimals that say nothing."""
    text = f"{tables.decimal(units):,.4f}".rstrip("0")
    return text.removesuffix(".")


def _contract(plan: Plan, way: Way, purchases: pl.DataFrame) -> Contract:
    if isinstance(way, TermWay):
        annual, contract = tokens_of(way.annual), tokens_of(way.contract)
        return contract_of_term(plan.offer, plan.start, annual=annual, contract=contract)
    bought = purchases.filter(pl.col("pool").is_not_null())
    rows = bought.select("day", "tokens", "cost").iter_rows()
    return contract_of_packs(plan.offer, [(day, tokens, mean_price(cost, tokens)) for day, tokens, cost in rows])


def _purchases(plan: Plan, way: Way, outcome: Outcome) -> pl.DataFrame:
    rows: list[dict[str, Any]] = []
    if isinstance(way, TermWay):
        total = way.annual * plan.offer.years + way.contract
        price = Fraction(cost_of(plan.offer, way), total) if total else Fraction(0)
        pools = {f"annual {year + 1}": way.annual for year in range(plan.offer.years)} | {"contract": way.contract}
        rows = [_purchase(plan.start, pool, tokens, tokens * price) for pool, tokens in pools.items() if tokens]
    elif isinstance(way, DatedWay):
        for number, order in enumerate(way.orders, 1):
            cost = Fraction(cost_of(plan.offer, DatedWay((order,), None)))
            tokens = order.packs * plan.size[order.pack]
            rows.append(_purchase(plan.day(order.day), order_id(number), tokens, cost))
    else:
        assert outcome.orders is not None  # noqa: S101 - a reorder point has them
        rows = _reorders(plan, way, outcome.orders)
    numbered = [{"number": number} | row for number, row in enumerate(rows, 1)]
    return pl.DataFrame(numbered, schema=dict(tables.PLANNED_PURCHASES))


def _purchase(day: date, pool: str | None, tokens: int, cost: Fraction) -> dict[str, Any]:
    return {
        "day": day,
        "pool": pool,
        "tokens": tokens_of(tokens),
        "unit_price": money_of(cost / tokens * 10_000),
        "cost": money_of(cost),
        "earliest": day,
        "latest": day,
        "chance": 1.0,
    }


def _reorders(plan: Plan, way: ReorderWay, orders: Units) -> list[dict[str, Any]]:
    """The first, second, … purchase: on which days the scenarios make it, if they do."""
    bought = orders > 0
    numbers = np.cumsum(bought, axis=1)
    rows = []
    for number in range(1, int(numbers[:, -1].max()) + 1):
        days = np.sort(np.argmax(numbers[numbers[:, -1] >= number] >= number, axis=1))
        early, median, late = (int(days[place_of(share, days.size)]) for share in (_CHANCES[0], _HALF, _CHANCES[-1]))
        is_usual = 2 * days.size >= len(orders)
        row = _purchase(
            plan.day(median),
            order_id(number) if is_usual else None,
            way.packs * plan.size[way.pack],
            Fraction(cost_of(plan.offer, way)),
        )
        chance = days.size / len(orders)
        rows.append(row | {"earliest": plan.day(early), "latest": plan.day(late), "chance": chance})
    return rows


def _scenarios(plan: Plan, outcome: Outcome) -> pl.DataFrame:
    drawn, count = outcome.drawn, len(plan.paths)

    def tokens(values: Units) -> list[Decimal]:
        return [tables.decimal(int(each)) for each in np.broadcast_to(values, count)]

    short = [None if day == plan.days else plan.day(int(day)) for day in drawn.first_short[0]]
    rows = {
        "scenario": list(range(count)),
        "used": tokens(plan.paths.sum(axis=1)),
        "bought": tokens(drawn.bought[0]),
        "overage": tokens(drawn.overage[0]),
        "expired": tokens(drawn.expired[0]),
        "left": tokens(drawn.left[0]),
        "spent": [money_of(int(each)) for each in outcome.spent],
        "cost": [money_of(int(each)) for each in outcome.cost],
        "run_out": short,
    }
    return pl.DataFrame(rows, schema=dict(tables.PLAN_SCENARIOS))


def _top_ups(plan: Plan, outcome: Outcome) -> pl.DataFrame:
    days, overage = np.sort(outcome.drawn.first_short[0]), np.sort(outcome.drawn.overage[0])
    rows = []
    for chance in _CHANCES:
        place = place_of(chance, days.size)
        day = None if days[place] == plan.days else plan.day(int(days[place]))
        rows.append((float(chance), day, tokens_of(int(overage[place]))))
    return pl.DataFrame(rows, schema=dict(tables.TOP_UPS), orient="row")


def _newsvendor(plan: Plan, chosen: Tried) -> pl.DataFrame:
    price = _unit_price(chosen)
    ratio = ratio_of(price, Fraction(plan.offer.overage_price))
    rows = [
        (pool, money_of(price * 10**8), float(ratio), tokens_of(tokens))
        for pool, tokens in newsvendor(plan, price).items()
    ]
    return pl.DataFrame(rows, schema=dict(tables.NEWSVENDOR), orient="row")
