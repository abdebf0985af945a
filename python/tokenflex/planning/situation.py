"""What all ways to buy have in common: the scenarios, and what is there or will come without any purchase."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from tokenflex import tables
from tokenflex.contract.days import ONE_DAY, years_later
from tokenflex.contract.whole import CONTRACT_POOL, annual_pool
from tokenflex.planning.draw import PoolSteps, TopUps, draw_first, draw_packs, draw_pools, steps_of
from tokenflex.planning.held import line_of_packs

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date

    from tokenflex.contract.terms import PoolKind
    from tokenflex.planning.draw import Units
    from tokenflex.planning.held import Held, HeldPool
    from tokenflex.planning.offer import Offer


class TermPool(NamedTuple):
    """A pool of Token Flex over a plan; days are counted from 0."""

    id: str
    kind: PoolKind
    opens: int
    closes: int
    held: int
    """What is in it, or will be, without any purchase."""
    is_bought: bool
    """Whether tokens of its kind that are bought go to it."""
    carries_to: int | None = None
    """The place of the pool that gets what it leaves."""


class First(NamedTuple):
    """What becomes of packs that are drawn from before any that is bought."""

    rest: Units
    """What they do not give, n x T."""
    before: Units | None
    """What is in them when each day has begun, n x T; None where there are none."""
    expired: Units
    left: Units


@dataclass(frozen=True, eq=False)
class Plan:
    """What all ways have in common."""

    offer: Offer
    start: date
    paths: Units
    held: Held | None = None

    @property
    def days(self) -> int:
        """How many days the paths have."""
        return int(self.paths.shape[1])

    def day(self, number: int) -> date:
        """A day by its number, from 0."""
        return self.start + number * ONE_DAY

    def number(self, day: date) -> int:
        """The reverse."""
        return (day - self.start) // ONE_DAY

    def lapses(self, number: int) -> int:
        """The day at whose beginning a pack of a day has ended, one year later."""
        return self.number(years_later(self.day(number), 1))

    @property
    def size(self) -> list[int]:
        """The tokens of each pack on offer, in ten-thousandths."""
        return [tables.units(pack.tokens) for pack in self.offer.packs]

    @cached_property
    def years(self) -> list[int]:
        """The day on which each contract year begins that has not ended, and the day after the term."""
        if self.held is None:
            return [self.number(years_later(self.start, year)) for year in range(self.offer.years + 1)]
        ends = [self.number(year.end) + 1 for year in self.held.contract.years]
        return [0, *(end for end in ends if end > 0)]

    @property
    def count(self) -> int:
        """How many contract years there are."""
        return len(self.years) - 1

    @cached_property
    def pools(self) -> list[TermPool]:
        """The pools of Token Flex in the order in which they are drawn from."""
        return _pools_of_held(self, self.held) if self.held is not None else _pools_of_offer(self)

    @property
    def bought_pools(self) -> list[TermPool]:
        """The pools of Token Flex that get what is bought, the annual ones first."""
        return sorted((pool for pool in self.pools if pool.is_bought), key=lambda pool: (pool.kind, pool.opens))

    @cached_property
    def bounds(self) -> list[int]:
        """The days on which a pool of Token Flex opens or closes."""
        return sorted({day for pool in self.pools for day in (pool.opens, pool.closes)} | {0, self.days})

    @cached_property
    def first(self) -> First:
        """What becomes of the packs that are drawn from before any that is bought."""
        packs, _ = self._held_packs
        if not packs:
            nothing = np.zeros(len(self.paths), np.int64)
            return First(self.paths, None, nothing, nothing)
        return First(*draw_first(self.paths, [(each.tokens, each.opens, each.closes) for each in packs]))

    @cached_property
    def due(self) -> Units:
        """The tokens of packs that come on each day without being bought by the plan."""
        found = np.zeros(self.days, np.int64)
        for each in self._held_packs[1]:
            found[each.opens] += each.tokens
        return found

    @property
    def lives(self) -> list[tuple[int, int]]:
        """The days on which each pack that is held comes and ends."""
        return [(each.opens, each.closes) for packs in self._held_packs for each in packs]

    @cached_property
    def _held_packs(self) -> tuple[list[HeldPool], list[HeldPool]]:
        return line_of_packs(self.held, self.start, self.days)

    @cached_property
    def needs(self) -> Units:
        """What each path lacks in each contract year, or in all, if nothing is bought."""
        if not self.offer.years:
            if not self.due.any():
                return np.asarray(self.first.rest.sum(axis=1)[:, None])
            lapsed = lapsed_of(self, list(range(self.days + 1)))
            return draw_packs(self.first.rest, self.due[None, :], lapsed).overage.T
        tokens = np.array([[pool.held for pool in self.pools]], np.int64)
        lacked = np.zeros((len(self.bounds) - 1, 1, len(self.paths)), np.int64)
        use, nothing = steps_of(self.paths, self.bounds), TopUps(np.zeros(1, np.int64), [])
        draw_pools(use, self.in_steps(self.bounds), tokens, nothing, by_step=lacked)
        places = [self.bounds.index(year) for year in self.years[:-1]]
        by_year: Units = np.add.reduceat(lacked[:, 0].T, places, axis=1)
        return by_year

    def in_steps(self, bounds: Sequence[int]) -> list[PoolSteps]:
        """The pools of Token Flex in steps between some bounds."""
        step = {day: place for place, day in enumerate(bounds)}
        return [PoolSteps(step[pool.opens], step[pool.closes], pool.carries_to) for pool in self.pools]

    def topped_up(self, bounds: Sequence[int]) -> list[int]:
        """The place of the pool that a top-up goes to, in each step between some bounds."""
        kind = self.offer.top_up_pool
        pools = [(place, pool) for place, pool in enumerate(self.pools) if pool.kind == kind and pool.is_bought]
        return [next(place for place, pool in pools if pool.opens <= day < pool.closes) for day in bounds[:-1]]


def lapsed_of(plan: Plan, bounds: Sequence[int]) -> list[int]:
    """For each bound, how many steps there are whose purchases have ended by then."""
    ends = [plan.lapses(day) for day in bounds[:-1]]
    return [bisect_right(ends, bound) for bound in bounds]


def _pools_of_offer(plan: Plan) -> list[TermPool]:
    offer, last = plan.offer, plan.count - 1
    whole = TermPool(CONTRACT_POOL, "contract", 0, plan.days, 0, is_bought=True)
    before = 1 if offer.order == "contract_first" else 0
    annual = [
        TermPool(
            f"annual {year + 1}",
            "annual",
            opens,
            closes,
            0,
            is_bought=True,
            carries_to=before + year + 1 if offer.carry_over and year < last else None,
        )
        for year, (opens, closes) in enumerate(pairwise(plan.years))
    ]
    # By the earliest end the smaller of the last year's pool and the contract's comes first. They end together, so that
    # changes what is left of each, and no sum.
    return [whole, *annual] if before else [*annual, whole]


def _pools_of_held(plan: Plan, held: Held) -> list[TermPool]:
    """What is bought goes to the pools of the contract, and to its whole term, where there is none, to a new one."""
    own = {annual_pool(year) for year in held.contract.years} | {CONTRACT_POOL}
    places = {each.pool.id: place for place, each in enumerate(held.pools)}
    pools = [
        TermPool(
            each.pool.id,
            each.pool.kind,
            each.opens,
            each.closes,
            each.tokens,
            each.pool.id in own,
            None if each.pool.carries_to is None else places[each.pool.carries_to],
        )
        for each in held.pools
    ]
    if CONTRACT_POOL in places:
        return pools
    whole = TermPool(CONTRACT_POOL, "contract", 0, plan.years[-1], 0, is_bought=True)
    if held.contract.order != "contract_first":
        return [*pools, whole]
    return [
        whole,
        *(pool._replace(carries_to=None if pool.carries_to is None else pool.carries_to + 1) for pool in pools),
    ]
