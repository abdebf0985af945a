"""The ways to buy among which a plan chooses: quantities and splits of Token Flex, dates and reorder points of Flex."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from fractions import Fraction
from itertools import pairwise, product
from math import ceil
from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias

import numpy as np

from tokenflex import tables
from tokenflex.contract.days import months_later, years_later
from tokenflex.contract.fields import Checks
from tokenflex.errors import ArgumentError, ArgumentTypeError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from tokenflex.planning.draw import Units
    from tokenflex.planning.offer import Offer

SHARES: Final = 10
"""The part of contract tokens is tried in so many steps."""
MONTHS: Final = (1, 2, 3, 4, 6, 12)
COVER_DAYS: Final = (1, 3, 7, 14, 30, 60)
"""Reorder points that are tried: so many days of mean use, besides the greatest day."""
MOST_COMBINATIONS: Final = 20_000
_ONE_DAY: Final = timedelta(days=1)
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


@dataclass(frozen=True)
class Plan:
    """What all ways have in common."""

    offer: Offer
    start: date
    paths: Units

    @property
    def days(self) -> int:
        """How many days the paths have."""
        return int(self.paths.shape[1])

    def day(self, number: int) -> date:
        """A day by its number, from 0."""
        return self.start + number * _ONE_DAY

    def number(self, day: date) -> int:
        """The reverse."""
        return (day - self.start) // _ONE_DAY

    def lapses(self, number: int) -> int:
        """The day at whose beginning a pack of a day has ended, one year later."""
        return self.number(years_later(self.day(number), 1))

    @property
    def size(self) -> list[int]:
        """The tokens of each pack on offer, in ten-thousandths."""
        return [tables.units(pack.tokens) for pack in self.offer.packs]

    @property
    def years(self) -> list[int]:
        """The day on which each contract year begins, and the day after the term."""
        return [self.number(years_later(self.start, year)) for year in range(self.offer.years + 1)]

    def use_by_year(self) -> Units:
        """What each path uses in each contract year."""
        return np.add.reduceat(self.paths, self.years[:-1], axis=1)


def quantile_of(values: Units, share: Fraction) -> int:
    """The least value that so large a part of the values does not exceed; 0 for none of them."""
    ordered = np.sort(values, axis=None)
    place = ceil(share * ordered.size)
    return int(ordered[place - 1]) if place > 0 else 0


def critical_ratio(unit_price: Fraction, overage_price: Fraction) -> Fraction:
    """The part of all futures in which a token is worth having: `(overage price - price) / overage price`."""
    return max(Fraction(0), 1 - unit_price / overage_price) if overage_price else Fraction(0)


def newsvendor(plan: Plan, unit_price: Fraction) -> dict[str, int]:
    """The closed form for each kind of pool if there were only that one, at one price: tokens in all."""
    ratio = critical_ratio(unit_price, Fraction(plan.offer.overage_price))
    whole = quantile_of(plan.paths.sum(axis=1), ratio)
    if not plan.offer.years:
        return {"pack": whole}
    found = {"annual": plan.offer.years * quantile_of(plan.use_by_year(), ratio), "contract": whole}
    return {pool: tokens for pool, tokens in found.items() if pool in plan.offer.pools}


# Token Flex


def term_ways(plan: Plan, quantities: int | Sequence[object]) -> list[TermWay]:
    """Each quantity, with each split between annual and contract tokens."""
    step = tables.units(plan.offer.step)
    totals = _totals(plan, quantities) if isinstance(quantities, int) else _given(plan, quantities)
    ways = {way: None for total in totals for way in _splits(plan.offer, total, step)}
    return list(ways)


def _splits(offer: Offer, total: int, step: int) -> Iterator[TermWay]:
    shares = range(SHARES if "annual" in offer.pools else 0, -1 if "contract" in offer.pools else SHARES - 1, -1)
    for share in shares:
        annual = total * share // (SHARES * offer.years * step) * step
        yield TermWay(annual, total - offer.years * annual)


def _multiple(plan: Plan) -> int:
    """What a quantity in all is a multiple of."""
    step = tables.units(plan.offer.step)
    return step * plan.offer.years if plan.offer.pools == ("annual",) else step


def _totals(plan: Plan, count: int) -> list[int]:
    """Quantities from the least to the greatest use, and those where a price or the closed form has a corner."""
    offer, multiple = plan.offer, _multiple(plan)
    top = int(plan.paths.sum(axis=1).max())
    if "annual" in offer.pools:
        top = max(top, offer.years * int(plan.use_by_year().max()))
    least, spacing = tables.units(offer.least), _round_number(max(top // max(count - 1, 1), 1), multiple)
    corners = [tables.units(tier.from_tokens) for tier in offer.prices]
    for tier in offer.prices:
        corners += newsvendor(plan, Fraction(tier.unit_price)).values()
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
    return [*_regular(plan, quantities), *_reordering(plan, quantities)]


def _regular(plan: Plan, quantities: int) -> Iterator[DatedWay]:
    top = int(plan.paths.sum(axis=1).max())
    seen = set()
    for months in MONTHS:
        days: list[int] = []
        while (day := plan.number(months_later(plan.start, months * len(days)))) < plan.days:
            days.append(day)
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
    if days[0] != 0:
        raise ArgumentError(
            f"dates begin on {plan.day(days[0])}, and the paths on {plan.start}: without any pack nothing can be "
            "launched, so the first purchase is on the first day",
            location="dates",
        )
    top = int(plan.paths.sum(axis=1).max())
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
    for first, chosen in product(choices, product([None, *choices], repeat=len(days) - 1)):
        later = [Order(day, *choice) for day, choice in zip(days[1:], chosen, strict=True) if choice is not None]
        if _lasts(plan, [0, *(order.day for order in later)]):
            yield DatedWay((Order(0, *first), *later), None)


def _lasts(plan: Plan, days: Sequence[int]) -> bool:
    """Whether on each day some pack has not ended, be it empty."""
    return all(until <= plan.lapses(day) for day, until in pairwise([*days, plan.days]))
