"""What each way to buy costs in each scenario, exactly, and which is the cheapest on average."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from itertools import groupby, pairwise
from math import ceil
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from tokenflex import tables
from tokenflex.errors import ArgumentError, CapacityError
from tokenflex.planning.draw import PoolSteps, draw_packs, draw_pools, draw_reordered, steps_of
from tokenflex.planning.ways import DatedWay, Plan, ReorderWay, TermWay, Way

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tokenflex.planning.draw import Drawn, Units
    from tokenflex.planning.offer import Offer

_CELLS: Final = 2_000_000
"""Ways times scenarios that are drawn at once."""
_HISTORY: Final = 20_000_000
"""The same times days, where what was bought until each day has to be kept."""
_LOW: Final = Fraction(1, 10)
_HIGH: Final = Fraction(9, 10)
_HALF: Final = 31
MOST: Final = 2**62


class Tried(NamedTuple):
    """What a way came to. Sums over all scenarios, in ten-thousandths of tokens and hundred-millionths of money."""

    way: Way
    bought: int
    spent: int
    cost: int
    low: int
    high: int
    ran_out: int
    """In how many scenarios."""
    overage: int
    expired: int
    left: int


@dataclass(frozen=True)
class Outcome:
    """The chosen way day by day, one value for each scenario."""

    drawn: Drawn
    spent: Units
    cost: Units
    orders: Units | None
    """Of a reorder point: the tokens bought on each day, n x days."""


def try_all(plan: Plan, ways: Sequence[Way]) -> list[Tried]:
    """What each way comes to, in their order."""
    _check_sizes(plan, ways)
    found: dict[Way, Tried] = {}
    for _, group in groupby(sorted(ways, key=_drawn_alike), key=_drawn_alike):
        alike = list(group)
        at_once = max((_HISTORY // plan.days if isinstance(alike[0], ReorderWay) else _CELLS) // len(plan.paths), 1)
        for first in range(0, len(alike), at_once):
            part = alike[first : first + at_once]
            found |= dict(zip(part, _tried(plan, part), strict=True))
    return [found[way] for way in ways]


def chosen_of(tried: Sequence[Tried], scenarios: int, run_out_limit: float | None) -> int:
    """The place of the cheapest; of equals that with the fewest tokens, then the first."""
    fit = [
        place for place, each in enumerate(tried) if run_out_limit is None or each.ran_out <= run_out_limit * scenarios
    ]
    if not fit:
        least = min(each.ran_out for each in tried) / scenarios
        raise ArgumentError(
            f"run_out_limit is {run_out_limit}, but with every purchase that was tried tokens run out in {least:.1%} "
            "of the scenarios or more: allow more, or try larger quantities",
            location="run_out_limit",
        )
    return min(fit, key=lambda place: (tried[place].cost, tried[place].bought, place))


def outcome_of(plan: Plan, way: Way) -> Outcome:
    """The way drawn day by day, for what happens when."""
    days = list(range(plan.days + 1))
    drawn, supply = _drawn(plan, [way], days)
    spent = _spent(plan, [way], drawn)[0]
    cost = spent + drawn.overage[0] * tables.units(plan.offer.overage_price)
    orders = None if supply is None else np.diff(supply[:, 0, :], axis=0).T
    return Outcome(drawn, np.broadcast_to(spent, cost.shape), cost, orders)


def _check_sizes(plan: Plan, ways: Sequence[Way]) -> None:
    """Refuses what would not fit into 64 bits: what is bought and what is owed, each at its price."""
    owed = int(plan.paths.sum(axis=1).max()) * tables.units(plan.offer.overage_price)
    most = max(_most_spent(plan, way) for way in ways)
    if owed + most >= MOST:
        raise CapacityError("tokens times price are too large for an exact sum: is a price or a path too large?")


def _most_spent(plan: Plan, way: Way) -> int:
    if isinstance(way, ReorderWay):
        return plan.days * cost_of(plan.offer, way)
    return cost_of(plan.offer, way)


def cost_of(offer: Offer, way: Way) -> int:
    """What a way spends, in hundred-millionths; of a reorder point each time."""
    if isinstance(way, TermWay):
        return money_units(offer.cost(tables.decimal(way.annual * offer.years + way.contract)))
    prices = [money_units(offer.cost_of_pack(pack)) for pack in offer.packs]
    if isinstance(way, DatedWay):
        return sum(order.packs * prices[order.pack] for order in way.orders)
    return way.packs * prices[way.pack]


def _drawn_alike(way: Way) -> tuple[int, tuple[int, ...]]:
    """Ways whose pools open and close on the same days are drawn together."""
    if isinstance(way, DatedWay):
        return 1, tuple(order.day for order in way.orders)
    return (0 if isinstance(way, TermWay) else 2), ()


def _tried(plan: Plan, ways: Sequence[Way]) -> Iterator[Tried]:
    drawn, _ = _drawn(plan, ways, _bounds(plan, ways[0]))
    spent = _spent(plan, ways, drawn)
    cost = spent + drawn.overage * tables.units(plan.offer.overage_price)
    scenarios = len(plan.paths)
    ordered = np.partition(cost, sorted({place_of(share, scenarios) for share in (_LOW, _HIGH)}), axis=1)
    low, high = (ordered[:, place_of(share, scenarios)] for share in (_LOW, _HIGH))
    wide = [_sums(np.broadcast_to(each, cost.shape)) for each in (drawn.bought, spent)]
    sums = [_sums(each) for each in (cost, drawn.overage, drawn.expired, drawn.left)]
    ran_out = (drawn.overage > 0).sum(axis=1)
    for place, way in enumerate(ways):
        yield Tried(
            way=way,
            bought=wide[0][place],
            spent=wide[1][place],
            cost=sums[0][place],
            low=int(low[place]),
            high=int(high[place]),
            ran_out=int(ran_out[place]),
            overage=sums[1][place],
            expired=sums[2][place],
            left=sums[3][place],
        )


def place_of(share: Fraction, count: int) -> int:
    """The place, from 0, of the least of so many values in order that so large a part does not exceed."""
    return max(ceil(share * count) - 1, 0)


def _sums(values: Units) -> list[int]:
    """Sums over scenarios that 64 bits need not hold."""
    high = (values >> _HALF).sum(axis=1)
    low = (values & ((1 << _HALF) - 1)).sum(axis=1)
    return [(int(above) << _HALF) + int(below) for above, below in zip(high, low, strict=True)]


def _spent(plan: Plan, ways: Sequence[Way], drawn: Drawn) -> Units:
    once = np.array([[cost_of(plan.offer, way)] for way in ways], np.int64)
    return once * drawn.orders if isinstance(ways[0], ReorderWay) else once


def _bounds(plan: Plan, way: Way) -> list[int]:
    """Where time is cut for ways that are drawn alike."""
    if isinstance(way, TermWay):
        return plan.years
    if isinstance(way, ReorderWay):
        return list(range(plan.days + 1))
    days = [order.day for order in way.orders]
    ends = [day for day in map(plan.lapses, days) if day < plan.days]
    return sorted({0, plan.days, *days, *ends})


def _drawn(plan: Plan, ways: Sequence[Way], bounds: list[int]) -> tuple[Drawn, Units | None]:
    first = ways[0]
    if isinstance(first, TermWay):
        return _drawn_of_term(plan, ways, bounds), None
    use = plan.paths if len(bounds) == plan.days + 1 else steps_of(plan.paths, bounds)
    lapsed = _lapsed(plan, bounds)
    if isinstance(first, DatedWay):
        orders = np.zeros((len(ways), len(bounds) - 1), np.int64)
        step = {day: place for place, day in enumerate(bounds)}
        for place, way in enumerate(ways):
            assert isinstance(way, DatedWay)  # noqa: S101 - they are drawn alike
            for order in way.orders:
                orders[place, step[order.day]] += order.packs * plan.size[order.pack]
        return draw_packs(use, orders, lapsed), None
    points = [way for way in ways if isinstance(way, ReorderWay)]
    below = np.array([way.below for way in points], np.int64)
    order_size = np.array([way.packs * plan.size[way.pack] for way in points], np.int64)
    return draw_reordered(use, below, order_size, lapsed)


def _lapsed(plan: Plan, bounds: list[int]) -> list[int]:
    """For each bound, how many steps there are whose purchases have ended by then."""
    ends = [plan.lapses(day) for day in bounds[:-1]]
    return [bisect_right(ends, bound) for bound in bounds]


def _drawn_of_term(plan: Plan, ways: Sequence[Way], bounds: list[int]) -> Drawn:
    offer, step = plan.offer, {day: place for place, day in enumerate(bounds)}
    years = [step[day] for day in plan.years]
    annual = [
        PoolSteps(opens, closes, place + 1 if offer.carry_over and place + 1 < offer.years else None)
        for place, (opens, closes) in enumerate(pairwise(years))
    ]
    tokens = np.array(
        [[*[way.annual] * offer.years, way.contract] for way in ways if isinstance(way, TermWay)], np.int64
    )
    whole = PoolSteps(0, years[-1])
    use = steps_of(plan.paths, bounds)
    if offer.order == "contract_first":
        moved = [each._replace(carries_to=None if each.carries_to is None else each.carries_to + 1) for each in annual]
        return draw_pools(use, [whole, *moved], np.roll(tokens, 1, axis=1))
    # By the earliest end the smaller of the last year's pool and the contract's comes first. They end together, so that
    # changes what is left of each, and no sum.
    return draw_pools(use, [*annual, whole], tokens)


def money_units(money: Decimal) -> int:
    """In hundred-millionths."""
    return int(money.scaleb(8))


def money_of(units: Fraction | int) -> Decimal:
    """Money of eight places, rounded half to even."""
    return Decimal(round(units)).scaleb(-8)


def tokens_of(units: Fraction | int) -> Decimal:
    """Tokens of four places, rounded half to even."""
    return tables.decimal(round(units))
