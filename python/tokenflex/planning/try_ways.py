"""What each way to buy costs in each scenario, exactly, and which is the cheapest on average."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from itertools import groupby
from math import ceil
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from tokenflex import tables
from tokenflex.errors import ArgumentError, CapacityError
from tokenflex.planning.draw import TopUps, draw_packs, draw_pools, draw_reordered, steps_of
from tokenflex.planning.situation import Plan, lapsed_of
from tokenflex.planning.ways import DatedWay, ReorderWay, TermWay, Way

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
    """Without top-ups."""
    spent: int
    """For that."""
    cost: int
    low: int
    high: int
    ran_out: int
    """In how many scenarios."""
    overage: int
    topped_up: int
    expired: int
    left: int


@dataclass(frozen=True)
class Outcome:
    """The chosen way day by day, one value for each scenario."""

    drawn: Drawn
    spent: Units
    cost: Units
    lacked: Units
    """The tokens that lack if there are no top-ups."""
    topped_up: Units
    """The tokens that top-ups bring."""
    is_topped_up: bool
    """Whether the way has top-ups."""
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
    days, size = list(range(plan.days + 1)), way.top_up if isinstance(way, TermWay) else 0
    by_day = np.zeros((plan.days, 1, len(plan.paths)), np.int64) if size else None
    drawn, supply = _drawn(plan, [way], days, by_day)
    spent = _spent(plan, [way], drawn)[0]
    cost = spent + drawn.overage[0] * tables.units(plan.offer.overage_price)
    lacked, orders = drawn.overage[0], None
    if supply is not None:
        orders = (np.diff(supply[:, 0, :], axis=0) - plan.due[:, None]).T
    if by_day is not None and isinstance(way, TermWay):
        orders = -(-by_day[:, 0].T // size) * size
        lacked = _drawn(plan, [way._replace(top_up=0)], plan.bounds)[0].overage[0]
    wide = [np.broadcast_to(each, cost.shape) for each in (spent, drawn.lots[0] * size)]
    return Outcome(drawn, wide[0], cost, lacked, wide[1], bool(size), orders)


def _check_sizes(plan: Plan, ways: Sequence[Way]) -> None:
    """Refuses what would not fit into 64 bits: what is bought and what is owed, each at its price."""
    owed = int(plan.paths.sum(axis=1).max()) * tables.units(plan.offer.overage_price)
    most = max(_most_spent(plan, way) for way in ways)
    if owed + most >= MOST:
        raise CapacityError("tokens times price are too large for an exact sum: is a price or a path too large?")


def _most_spent(plan: Plan, way: Way) -> int:
    once = cost_of(plan, way)
    if isinstance(way, ReorderWay):
        return plan.days * once
    if isinstance(way, TermWay) and way.top_up:
        return once + (int(plan.paths.sum(axis=1).max()) // way.top_up + plan.days) * cost_of_lot(plan.offer, way)
    return once


def cost_of_lot(offer: Offer, way: TermWay) -> int:
    """What each top-up of a way costs, in hundred-millionths."""
    return money_units(offer.cost_of_top_up(tables.decimal(way.top_up)))


def cost_of(plan: Plan, way: Way) -> int:
    """What a way spends beforehand, in hundred-millionths; of a reorder point each time."""
    offer = plan.offer
    if isinstance(way, TermWay):
        return money_units(offer.cost(tables.decimal(way.annual * plan.count + way.contract)))
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
    once, lots = _once(plan, ways), _lots(ways)
    wide = [_sums(np.broadcast_to(each, cost.shape)) for each in (drawn.bought, once * drawn.orders, lots * drawn.lots)]
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
            topped_up=wide[2][place],
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
    spent = _once(plan, ways) * drawn.orders
    if not drawn.lots.any():
        return spent
    lots = [[cost_of_lot(plan.offer, way) if isinstance(way, TermWay) and way.top_up else 0] for way in ways]
    return spent + np.array(lots, np.int64) * drawn.lots


def _once(plan: Plan, ways: Sequence[Way]) -> Units:
    """What each order costs; of dates all together."""
    return np.array([[cost_of(plan, way)] for way in ways], np.int64)


def _lots(ways: Sequence[Way]) -> Units:
    """The size of top-ups."""
    return np.array([[way.top_up if isinstance(way, TermWay) else 0] for way in ways], np.int64)


def _bounds(plan: Plan, way: Way) -> list[int]:
    """Where time is cut for ways that are drawn alike."""
    if isinstance(way, TermWay):
        return plan.bounds
    if isinstance(way, ReorderWay):
        return list(range(plan.days + 1))
    days = [order.day for order in way.orders]
    ends = [day for day in map(plan.lapses, days) if day < plan.days]
    # Packs that come in any case open and close as well.
    due = [day for day in range(plan.days) if plan.due[day]]
    ends += [day for day in map(plan.lapses, due) if day < plan.days]
    return sorted({0, plan.days, *days, *due, *ends})


def _drawn(
    plan: Plan, ways: Sequence[Way], bounds: list[int], lacked: Units | None = None
) -> tuple[Drawn, Units | None]:
    """What became of ways that are drawn alike; of a reorder point also what had been bought when each day began."""
    first = ways[0]
    if isinstance(first, TermWay):
        return _drawn_of_term(plan, ways, bounds, lacked), None
    before = plan.first
    use = before.rest if len(bounds) == plan.days + 1 else steps_of(before.rest, bounds)
    lapsed = lapsed_of(plan, bounds)
    if isinstance(first, DatedWay):
        drawn, supply = _drawn_of_dates(plan, ways, bounds, use), None
    else:
        points = [way for way in ways if isinstance(way, ReorderWay)]
        below = np.array([way.below for way in points], np.int64)
        order_size = np.array([way.packs * plan.size[way.pack] for way in points], np.int64)
        drawn, supply = draw_reordered(use, below, order_size, lapsed, held=before.before, due=plan.due)
    return drawn._replace(expired=drawn.expired + before.expired, left=drawn.left + before.left), supply


def _drawn_of_dates(plan: Plan, ways: Sequence[Way], bounds: list[int], use: Units) -> Drawn:
    orders = np.zeros((len(ways), len(bounds) - 1), np.int64)
    step = {day: place for place, day in enumerate(bounds)}
    for place, way in enumerate(ways):
        assert isinstance(way, DatedWay)  # noqa: S101 - they are drawn alike
        for order in way.orders:
            orders[place, step[order.day]] += order.packs * plan.size[order.pack]
    due = plan.due[bounds[:-1]]
    drawn = draw_packs(use, orders + due, lapsed_of(plan, bounds))
    # All dates together are one price.
    return drawn._replace(bought=drawn.bought - due.sum(), orders=np.ones_like(drawn.orders))


def _drawn_of_term(plan: Plan, ways: Sequence[Way], bounds: list[int], lacked: Units | None) -> Drawn:
    pools, terms = plan.pools, [way for way in ways if isinstance(way, TermWay)]
    bought = np.array(
        [[getattr(way, pool.kind) if pool.is_bought else 0 for pool in pools] for way in terms],
        np.int64,
    )
    held = np.array([pool.held for pool in pools], np.int64)
    sizes = np.array([way.top_up for way in terms], np.int64)
    top_ups = TopUps(sizes, plan.topped_up(bounds) if sizes.any() else [])
    use = plan.paths if len(bounds) == plan.days + 1 else steps_of(plan.paths, bounds)
    drawn = draw_pools(use, plan.in_steps(bounds), bought + held, top_ups, by_step=lacked)
    return drawn._replace(bought=drawn.bought - held.sum())


def money_units(money: Decimal) -> int:
    """In hundred-millionths."""
    return int(money.scaleb(8))


def money_of(units: Fraction | int) -> Decimal:
    """Money of eight places, rounded half to even."""
    return Decimal(round(units)).scaleb(-8)


def tokens_of(units: Fraction | int) -> Decimal:
    """Tokens of four places, rounded half to even."""
    return tables.decimal(round(units))
