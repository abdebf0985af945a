"""The cheapest mix for one user: which subscriptions to have, while the rest of the use is charged by tokens.

All costs are whole numbers: 1/100,000,000 of the currency in a year, times the days that the data are of.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Final, TypeAlias

from tokenflex.errors import ArgumentError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

MOST: Final = 16
"""Subscriptions of several products that are tried together for one user; each doubles the work."""

Rest: TypeAlias = Callable[[str, frozenset[str]], int]
"""What the tokens of these products of a family cost."""


@dataclass(frozen=True)
class Priced:
    """A subscription, and what it costs."""

    name: str
    products: frozenset[str]
    cost: int


@dataclass(frozen=True)
class Use:
    """What one user uses.

    Attributes:
        alone: What the tokens of each product cost that shares its windows with no other.
        families: The products used of each family.
        rest: What the tokens of some products of a family cost, by themselves.
    """

    alone: Mapping[str, int]
    families: Mapping[str, frozenset[str]]
    rest: Rest

    @property
    def products(self) -> frozenset[str]:
        """All that is used."""
        return frozenset(self.alone).union(*self.families.values())

    def tokens(self, covered: frozenset[str]) -> int:
        """What the tokens cost for all that is not covered."""
        alone = sum(cost for product, cost in self.alone.items() if product not in covered)
        return alone + sum(
            self.rest(family, products - covered) for family, products in self.families.items() if products - covered
        )

    def cost(self, subscriptions: Sequence[Priced]) -> int:
        """What the subscriptions and the tokens of the rest cost."""
        covered = frozenset[str]().union(*(each.products for each in subscriptions))
        return sum(each.cost for each in subscriptions) + self.tokens(covered)


@dataclass(frozen=True)
class Mix:
    """Subscriptions to have, and what they cost with the tokens of the rest."""

    names: tuple[str, ...]
    cost: int

    @property
    def order(self) -> tuple[int, int, tuple[str, ...]]:
        """By cost; of equals the fewer subscriptions, then by name."""
        return self.cost, len(self.names), self.names


def relevant(subscriptions: Sequence[Priced], products: frozenset[str]) -> list[Priced]:
    """The subscriptions that cover something, cut to what is used, without those that another covers for no more."""
    cut = [Priced(each.name, each.products & products, each.cost) for each in subscriptions]
    ordered = sorted(
        (each for each in cut if each.products),
        key=lambda each: (each.cost, each.name),
    )
    kept: list[Priced] = []
    for each in ordered:
        if not any(each.products <= other.products for other in kept):
            # A dearer one can cover more than a cheaper one, never the other way round.
            kept.append(each)
    return kept


def cheapest(use: Use, subscriptions: Sequence[Priced]) -> Mix:
    """The cheapest set of subscriptions with tokens for the rest. Each set that could be the cheapest is looked at."""
    together, alone = _parted(relevant(subscriptions, use.products), use)
    best: Mix | None = None
    for chosen, covered in _sets(together):
        names = [each.name for each in chosen]
        cost = sum(each.cost for each in chosen)
        for family, products in use.families.items():
            left = products - covered
            cost += use.rest(family, left) if left else 0
        for product, tokens in use.alone.items():
            if product in covered:
                continue
            each = alone.get(product)
            if each is not None and each.cost < tokens:
                names.append(each.name)
                cost += each.cost
            else:
                cost += tokens
        mix = Mix(tuple(sorted(names)), cost)
        if best is None or mix.order < best.order:
            best = mix
    return best if best is not None else Mix((), use.tokens(frozenset()))


def cheapest_cover(products: frozenset[str], subscriptions: Sequence[Priced]) -> Mix:
    """The cheapest set of subscriptions that covers all products that any subscription covers, without any token."""
    used = relevant(subscriptions, products)
    wanted = frozenset[str]().union(*(each.products for each in used))
    whole = Use(alone=dict.fromkeys(wanted, 0), families={}, rest=lambda _family, _products: 0)
    together, alone = _parted(used, whole)
    best: Mix | None = None
    for chosen, covered in _sets(together):
        left = wanted - covered
        if not left <= alone.keys():
            continue
        taken = [*chosen, *(alone[product] for product in left)]
        mix = Mix(tuple(sorted(each.name for each in taken)), sum(each.cost for each in taken))
        if best is None or mix.order < best.order:
            best = mix
    return best if best is not None else Mix((), 0)


def reachable(products: frozenset[str], subscriptions: Sequence[Priced]) -> set[frozenset[str]]:
    """What of these products can be left to tokens, by any set of subscriptions; not the empty set."""
    left = {products}
    for each in subscriptions:
        left |= {rest - each.products for rest in left}
    return {rest for rest in left if rest}


def _parted(subscriptions: Sequence[Priced], use: Use) -> tuple[list[Priced], dict[str, Priced]]:
    """Subscriptions that have to be tried together, and those of one product that no other choice touches."""
    alone = {next(iter(each.products)): each for each in subscriptions if len(each.products) == 1}
    alone = {product: each for product, each in alone.items() if product in use.alone}
    together = [each for each in subscriptions if each not in alone.values()]
    if len(together) > MOST:
        names = ", ".join(sorted(each.name for each in together))
        raise ArgumentError(
            f"{len(together)} subscriptions meet in the use of one user, and at most {MOST} are tried together: leave "
            f"out those that nobody would take of {names}",
            location="price_list",
        )
    return together, alone


def _sets(subscriptions: Sequence[Priced]) -> Iterator[tuple[tuple[Priced, ...], frozenset[str]]]:
    for count in range(len(subscriptions) + 1):
        for chosen in combinations(subscriptions, count):
            yield chosen, frozenset[str]().union(*(each.products for each in chosen))
