"""What a purchase costs on one path by its definition: day by day, all pools each time, in whole ten-thousandths."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from itertools import pairwise
from typing import TypeAlias

ONE_DAY = timedelta(days=1)


@dataclass
class Tank:
    """A pool: until it ends it can be drawn from."""

    tokens: int
    opens: date
    ends: date
    """The first day on which it cannot be drawn from any more."""
    heir: Tank | None = None
    takes_lots: bool = False
    """Whether top-ups go to it: to a tank of their own behind it, with its end and its heir."""


@dataclass
class Story:
    """What became of a path."""

    overage: int = 0
    expired: int = 0
    spent: int = 0
    short: list[date] = field(default_factory=list)
    left: int = 0
    lots: list[date] = field(default_factory=list)
    """The days on which a lot of a top-up was bought, as often as there were lots."""


Buys: TypeAlias = "dict[date, tuple[int, int]]"
"""Tokens and cost of what is bought on a day."""


def a_year_later(day: date) -> date:
    return date(day.year + 1, 3, 1) if (day.month, day.day) == (2, 29) else date(day.year + 1, day.month, day.day)


def live(path: list[int], start: date, tanks: list[Tank], *, spent: int = 0, lot: int = 0) -> Story:
    """Draws a path from pools in their order; where nothing is left, lots are bought, if there are any."""
    story = Story(spent=spent)
    for place in range(len(path) + 1):
        day = start + place * ONE_DAY
        for tank in tanks:
            if tank.ends == day:
                if tank.heir is None:
                    story.expired += tank.tokens
                else:
                    tank.heir.tokens += tank.tokens
                tank.tokens = 0
        if place == len(path):
            break
        rest = drawn(path[place], day, tanks)
        while rest and lot:
            target = next(n for n, tank in enumerate(tanks) if tank.takes_lots and tank.opens <= day < tank.ends)
            tanks.insert(target + 1, Tank(lot, day, tanks[target].ends, tanks[target].heir))
            story.lots.append(day)
            rest = drawn(rest, day, tanks)
        if rest:
            story.overage += rest
            story.short.append(day)
    # What comes behind the path is no part of it.
    story.left = sum(tank.tokens for tank in tanks if tank.opens < start + len(path) * ONE_DAY)
    return story


def drawn(rest: int, day: date, tanks: list[Tank]) -> int:
    """What the tanks cannot give on a day."""
    for tank in tanks:
        if tank.opens <= day < tank.ends:
            taken = min(rest, tank.tokens)
            tank.tokens -= taken
            rest -= taken
    return rest


def live_of_term(
    path: list[int],
    begins: list[date],
    annual: int,
    whole: int,
    *,
    order: str,
    carry: bool,
    lot: int = 0,
    lots_to: str = "contract",
) -> Story:
    """Token Flex."""
    years = [Tank(annual, since, until, takes_lots=lots_to == "annual") for since, until in pairwise(begins)]
    if carry:
        for tank, heir in pairwise(years):
            tank.heir = heir
    for_all = Tank(whole, begins[0], begins[-1], takes_lots=lots_to == "contract")
    tanks = [for_all, *years] if order == "contract_first" else [*years, for_all]
    if order == "earliest_end" and whole < annual:
        tanks = [*years[:-1], for_all, years[-1]]
    return live(path, begins[0], tanks, lot=lot)


def packs_of(buys: Buys, held: list[Tank]) -> list[Tank]:
    """Packs that are bought and packs that are held, those that end first in front."""
    bought = [Tank(tokens, day, a_year_later(day)) for day, (tokens, _) in sorted(buys.items())]
    return sorted([*bought, *(replace(tank) for tank in held)], key=lambda tank: (tank.ends, tank.tokens))


def live_of_packs(path: list[int], start: date, buys: Buys, held: list[Tank] | None = None) -> Story:
    """Flex, on fixed dates."""
    return live(path, start, packs_of(buys, held or []), spent=sum(cost for _, cost in buys.values()))


def live_by_reorder(
    path: list[int], start: date, below: int, tokens: int, cost: int, *, held: list[Tank] | None = None
) -> Story:
    """Flex, on each day that begins with less than a point."""
    buys: Buys = {}
    for place in range(len(path)):
        day = start + place * ONE_DAY
        # What is there when the day begins is what is left of all before, less what ends today.
        tanks = packs_of(buys, held or [])
        live(path[:place], start, tanks)
        if sum(tank.tokens for tank in tanks if tank.opens <= day < tank.ends) < below:
            buys[day] = tokens, cost
    return live_of_packs(path, start, buys, held)
