"""The cheapest mix for one user: which offers to have, while the rest of the use is charged by tokens.

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
"""Offers of several products that are tried together for one user; each doubles the work."""

Rest: TypeAlias = Callable[[str, frozenset[str]], int]
"""What the tokens of these products of a family cost."""


@dataclass(frozen=True)
class Offer:
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

    def cost(self, offers: Sequence[Offer]) -> int:
        """What the offers and the tokens of the rest cost."""
        covered = frozenset[str]().union(*(offer.products for offer in offers))
        return sum(offer.cost for offer in offers) + self.tokens(covered)


@dataclass(frozen=True)
class Mix:
    """Offers to have, and what they cost with the tokens of the rest."""

    names: tuple[str, ...]
    cost: int

    @property
    def order(self) -> tuple[int, int, tuple[str, ...]]:
        """By cost; of equals the fewer offers, then by name."""
        return self.cost, len(self.names), self.names


def relevant(offers: Sequence[Offer], products: frozenset[str]) -> list[Offer]:
    """The offers that cover something, cut to what is used, without those that another covers for no more money."""
    cut = [Offer(offer.name, offer.products & products, offer.cost) for offer in offers]
    ordered = sorted((offer for offer in cut if offer.products), key=lambda offer: (offer.cost, offer.name))
    kept: list[Offer] = []
    for offer in ordered:
        if not any(offer.products <= other.products for other in kept):
            # A dearer one can cover more than a cheaper one, never the other way round.
            kept.append(offer)
    return kept


def cheapest(use: Use, offers: Sequence[Offer]) -> Mix:
    """The cheapest set of offers with tokens for the rest. Each set that could be the cheapest is looked at."""
    together, alone = _parted(relevant(offers, use.products), use)
    best: Mix | None = None
    for chosen, covered in _sets(together):
        names = [offer.name for offer in chosen]
        cost = sum(offer.cost for offer in chosen)
        for family, products in use.families.items():
            left = products - covered
            cost += use.rest(family, left) if left else 0
        for product, tokens in use.alone.items():
            if product in covered:
                continue
            offer = alone.get(product)
            if offer is not None and offer.cost < tokens:
                names.append(offer.name)
                cost += offer.cost
            else:
                cost += tokens
        mix = Mix(tuple(sorted(names)), cost)
        if best is None or mix.order < best.order:
            best = mix
    return best if best is not None else Mix((), use.tokens(frozenset()))


def cheapest_cover(products: frozenset[str], offers: Sequence[Offer]) -> Mix:
    """The cheapest set of offers that covers all products that any offer covers, without any token."""
    used = relevant(offers, products)
    wanted = frozenset[str]().union(*(offer.products for offer in used))
    whole = Use(alone=dict.fromkeys(wanted, 0), families={}, rest=lambda _family, _products: 0)
    together, alone = _parted(used, whole)
    best: Mix | None = None
    for chosen, covered in _sets(together):
        left = wanted - covered
        if not left <= alone.keys():
            continue
        taken = [*chosen, *(alone[product] for product in left)]
        mix = Mix(tuple(sorted(offer.name for offer in taken)), sum(offer.cost for offer in taken))
        if best is None or mix.order < best.order:
            best = mix
    return best if best is not None else Mix((), 0)


def reachable(products: frozenset[str], offers: Sequence[Offer]) -> set[frozenset[str]]:
    """What of these products can be left to tokens, by any set of offers; not the empty set."""
    left = {products}
    for offer in offers:
        left |= {rest - offer.products for rest in left}
    return {rest for rest in left if rest}


def _parted(offers: Sequence[Offer], use: Use) -> tuple[list[Offer], dict[str, Offer]]:
    """Offers that have to be tried together, and those of one product that no other choice touches."""
    alone = {next(iter(offer.products)): offer for offer in offers if len(offer.products) == 1}
    alone = {product: offer for product, offer in alone.items() if product in use.alone}
    together = [offer for offer in offers if offer not in alone.values()]
    if len(together) > MOST:
        names = ", ".join(sorted(offer.name for offer in together))
        raise ArgumentError(
            f"{len(together)} offers meet in the use of one user, and at most {MOST} are tried together: leave out "
            f"those that nobody would take of {names}",
            location="offers",
        )
    return together, alone


def _sets(offers: Sequence[Offer]) -> Iterator[tuple[tuple[Offer, ...], frozenset[str]]]:
    for count in range(len(offers) + 1):
        for chosen in combinations(offers, count):
            yield chosen, frozenset[str]().union(*(offer.products for offer in chosen))
