"""The ways to buy among which a plan chooses: quantities and top-ups of Token Flex, dates or points of Flex."""

from __future__ import annotations

from datetime import date
from fractions import Fraction
from itertools import product
from math import ceil
from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias

import numpy as np

from tokenflex import tables
from tokenflex.contract.days import months_later
from tokenflex.contract.fields import Checks
from tokenflex.errors import ArgumentError, ArgumentTypeError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from tokenflex.planning.draw import Units
    from tokenflex.planning.offer import Offer
    from tokenflex.planning.situation import Plan

SHARES: Final = 10
"""The part of contract tokens is tried in so many steps."""
MONTHS: Final = (1, 2, 3, 4, 6, 12)
TOP_UP_LOTS: Final = (1, 2, 5, 10)
"""Top-ups are tried of so many times the least."""
COVER_DAYS: Final = (1, 3, 7, 14, 30, 60)
"""Reorder points that are tried: so many days of mean use, besides the greatest day."""
MOST_COMBINATIONS: Final = 20_000
_YEAR: Final = 365
_LEAST_ORDERS: Final = 5


class Order(NamedTuple):
    """A purchase of packs of one kind."""

    day: int
    """Of the plan, from 0."""
    pack: int
    """Place in the offer."""
    packs: int


class TermWay(NamedTuple):
    """Token Flex: bought for the whole term when it begins, in ten-thousandths."""

    annual: int
    contract: int
    top_up: int = 0
    """How much is bought where tokens run out; 0: what lacks is overage."""


class DatedWay(NamedTuple):
    """Flex: packs on days that are fixed beforehand."""

    orders: tuple[Order, ...]
    every: int | None
    """All alike, every so many months; None where they are not."""


class ReorderWay(NamedTuple):
    """Flex: packs on each day that begins with a balance below a point, in ten-thousandths."""

    below: int
    pack: int
    packs: int


Way: TypeAlias = TermWay | DatedWay | ReorderWay


def quantile_of(values: Units, share: Fraction) -> int:
    """The least value that so large a part of the values does not exceed; 0 for none of them."""
    ordered = np.sort(values, axis=None)
    place = ceil(share * ordered.size)
    return int(ordered[place - 1]) if place > 0 else 0


def critical_ratio(unit_price: Fraction, late_price: Fraction) -> Fraction:
    """The part of all futures in which a token is worth having: `(late price - price) / late price`."""
    return max(Fraction(0), 1 - unit_price / late_price) if late_price else Fraction(0)


def late_price_of(offer: Offer, top_up: int) -> Fraction:
    """What a token costs that was not bought when the plan begins: that of a top-up of a size, or of overage if 0."""
    if not top_up:
        return Fraction(offer.overage_price)
    tokens = tables.decimal(top_up)
    return Fraction(offer.cost_of_top_up(tokens)) / Fraction(tokens)


def newsvendor(plan: Plan, unit_price: Fraction, late_price: Fraction) -> dict[str, int]:
    """The closed form for each kind of pool if there were only that one, at one price: tokens in all."""
    ratio = critical_ratio(unit_price, late_price)
    whole = quantile_of(plan.needs.sum(axis=1), ratio)
    if not plan.offer.years:
        return {"pack": whole}
    found = {"annual": plan.count * quantile_of(plan.needs, ratio), "contract": whole}
    return {pool: tokens for pool, tokens in found.items() if pool in plan.offer.pools}


# Token Flex


def term_ways(plan: Plan, quantities: int | Sequence[object]) -> list[TermWay]:
    """Each quantity with each split between annual and contract tokens, and each size of top-ups or none."""
    sizes = top_up_sizes(plan)
    totals = _totals(plan, quantities, sizes) if isinstance(quantities, int) else _given(plan, quantities)
    ways = {way._replace(top_up=size): None for total in totals for way in _splits(plan, total) for size in sizes}
    return list(ways)


def top_up_sizes(plan: Plan) -> list[int]:
    """The sizes of top-ups that are tried, first 0 for none: some times the least, and where a price begins."""
    if not plan.offer.top_up_prices:
        return [0]
    step = tables.units(plan.offer.step)
    tiers = [tables.units(tier.from_tokens) for tier in plan.offer.top_up_prices]
    least = max(-(-tiers[0] // step), 1) * step
    most = int(plan.needs.sum(axis=1).max())
    sizes = {-(-tier // step) * step for tier in tiers if tier} | {least * lots for lots in TOP_UP_LOTS}
    return [0, *sorted(size for size in sizes if size == least or size <= most)]


def _splits(plan: Plan, total: int) -> Iterator[TermWay]:
    offer, step = plan.offer, tables.units(plan.offer.step)
    shares = range(SHARES if "annual" in offer.pools else 0, -1 if "contract" in offer.pools else SHARES - 1, -1)
    for share in shares:
        annual = total * share // (SHARES * plan.count * step) * step
        yield TermWay(annual, total - plan.count * annual)


def _multiple(plan: Plan) -> int:
    """What a quantity in all is a multiple of."""
    step = tables.units(plan.offer.step)
    return step * plan.count if plan.offer.pools == ("annual",) else step


def _totals(plan: Plan, count: int, top_ups: Sequence[int]) -> list[int]:
    """Quantities from the least to the greatest use, and those where a price or the closed form has a corner."""
    offer, multiple = plan.offer, _multiple(plan)
    top = int(plan.needs.sum(axis=1).max())
    if "annual" in offer.pools:
        top = max(top, plan.count * int(plan.needs.max()))
    least, spacing = tables.units(offer.least), _round_number(max(top // max(count - 1, 1), 1), multiple)
    corners = [tables.units(tier.from_tokens) for tier in offer.prices]
    for tier, late in product(offer.prices, {late_price_of(offer, size) for size in top_ups}):
        corners += newsvendor(plan, Fraction(tier.unit_price), late).values()
    totals = {*range(0, top + spacing, spacing), least, *corners}
    return sorted({-(-max(total, least) // multiple) * multiple for total in totals})


def _round_number(most: int, multiple: int) -> int:
    """A distance that is easy to read, no larger: 1, 2 or 5 with zeros; but a multiple of the step."""
    power = 10 ** (len(str(most)) - 1)
    nice: int = max(each * power for each in (1, 2, 5) if each * power <= most)
    return -(-nice // multiple) * multiple


def _given(plan: Plan, quantities: Sequence[object]) -> list[int]:
    if not quantities:
        raise ArgumentError("quantities are empty: at least one is needed", location="quantities")
    multiple, found = _multiple(plan), set()
    for quantity in quantities:
        units = _exact(quantity)
        if units < tables.units(plan.offer.least) or units % multiple:
            raise ArgumentError(
                f"quantities hold {quantity}, but the offer sells multiples of {tables.decimal(multiple):f} tokens, "
                f"from {plan.offer.least:f} on",
                location="quantities",
            )
        found.add(units)
    return sorted(found)


def _exact(quantity: object) -> int:
    checks = Checks()
    tokens = checks.tokens("quantities", int(quantity) if isinstance(quantity, np.integer) else quantity)
    checks.refuse("call")
    assert tokens is not None  # noqa: S101 - else it was refused
    return tables.units(tokens)


# Flex


def flex_ways(plan: Plan, quantities: int, dates: Iterable[date] | None) -> list[DatedWay | ReorderWay]:
    """Equal purchases every so many months, and reorder points; or all combinations on the dates that are given."""
    if dates is not None:
        return list(_combinations(plan, _days_of(plan, dates)))
    nothing = [DatedWay((), None)] if _lasts(plan, []) else []
    return [*nothing, *_regular(plan, quantities), *_reordering(plan, quantities)]


def _regular(plan: Plan, quantities: int) -> Iterator[DatedWay]:
    top = int(plan.needs.max())
    seen = set()
    for first, months in product(sorted({0, _reach(plan.lives)}), MONTHS):
        days: list[int] = []
        while (day := plan.number(months_later(plan.day(first), months * len(days)))) < plan.days:
            days.append(day)
        if not days:
            continue
        if tuple(days) in seen:
            continue
        seen.add(tuple(days))
        for pack, size in enumerate(plan.size):
            for count in _counts(-(-top // (size * len(days))), quantities):
                yield DatedWay(tuple(Order(day, pack, count) for day in days), months)


def _reordering(plan: Plan, quantities: int) -> Iterator[ReorderWay]:
    mean = Fraction(sum(map(int, plan.paths.sum(axis=1))), plan.paths.size)
    whole = tables.units(tables.decimal(10_000))
    points = {ceil(mean * days / whole) * whole for days in COVER_DAYS} | {-(-int(plan.paths.max()) // whole) * whole}
    for pack, size in enumerate(plan.size):
        for count in _counts(ceil(mean * _YEAR / size), max(quantities // 5, _LEAST_ORDERS)):
            yield from (ReorderWay(below, pack, count) for below in sorted(points) if below > 0)


def _counts(most: int, values: int) -> list[int]:
    """Numbers of packs from 1 on, evenly laid where there are too many."""
    most = max(most, 1)
    if most <= values:
        return list(range(1, most + 1))
    return sorted({1 + (most - 1) * place // max(values - 1, 1) for place in range(values)})


def _days_of(plan: Plan, dates: Iterable[date]) -> list[int]:
    days = []
    for day in dates:
        if type(day) is not date:
            raise ArgumentTypeError(f"dates have to be dates, not {type(day).__name__}", location="dates")
        if not 0 <= plan.number(day) < plan.days:
            raise ArgumentError(
                f"dates hold {day}, but the paths last from {plan.start} to {plan.day(plan.days - 1)}", location="dates"
            )
        days.append(plan.number(day))
    if not days or len(set(days)) < len(days):
        raise ArgumentError("dates have to be one or more days, each once", location="dates")
    return sorted(days)


def _combinations(plan: Plan, days: list[int]) -> Iterator[DatedWay]:
    """What can be bought on each day, so that there always is a pack: without any nothing can be launched."""
    if days[0] > _reach(plan.lives):
        raise ArgumentError(
            f"dates begin on {plan.day(days[0])}, and the paths on {plan.start}: without any pack nothing can be "
            "launched, so the first purchase is on the first day, or while packs that are held last",
            location="dates",
        )
    top = int(plan.needs.max())
    most = int(MOST_COMBINATIONS ** (1 / len(days)) + 1e-9)
    values = (most - 1) // len(plan.size)
    if values < 1:
        raise ArgumentError(
            f"{len(days)} dates and {len(plan.size)} packs make more than {MOST_COMBINATIONS:,} combinations: give "
            "fewer dates, or an offer with fewer packs",
            location="dates",
        )
    if not _lasts(plan, days):
        raise ArgumentError(
            "dates lie more than a year apart, or end more than a year before the paths: a pack lasts one year, and "
            "without any nothing can be launched",
            location="dates",
        )
    choices = [(pack, n) for pack, size in enumerate(plan.size) for n in _counts(-(-top // size), values)]
    for chosen in product([None, *choices], repeat=len(days)):
        orders = [Order(day, *choice) for day, choice in zip(days, chosen, strict=True) if choice is not None]
        if _lasts(plan, [order.day for order in orders]):
            yield DatedWay(tuple(orders), None)


def _lasts(plan: Plan, days: Sequence[int]) -> bool:
    """Whether on each day some pack has not ended, be it empty."""
    return _reach([*plan.lives, *((day, plan.lapses(day)) for day in days)]) >= plan.days


def _reach(lives: Sequence[tuple[int, int]]) -> int:
    """The first day on which no pack is alive."""
    reach = 0
    for comes, ends in sorted(lives):
        if comes <= reach:
            reach = max(reach, ends)
    return reach
