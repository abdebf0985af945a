"""The pools that a contract makes: when they open and close, what their tokens cost, and who is drawn from first."""

from __future__ import annotations

from itertools import zip_longest
from typing import TYPE_CHECKING

from tokenflex.contract.days import ONE_DAY, first_instants
from tokenflex.contract.fields import total
from tokenflex.contract.terms import MULTI_YEAR, Pool
from tokenflex.contract.whole import CONTRACT_POOL, CURRENT_YEAR, annual_pool, top_up_pool, topped_up

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from datetime import date, datetime
    from decimal import Decimal
    from typing import Any

    from tokenflex.contract.contract import Contract


def pools_of(contract: Contract) -> tuple[Pool, ...]:
    """The pools in the order in which they are drawn from."""
    lives = [(year.start, year.end) for year in contract.years] + [(pack.start, pack.end) for pack in contract.packs]
    lives += [(top_up.day, top_up.day) for top_up in contract.top_ups]
    instants = first_instants([day for start, end in lives for day in (start, end + ONE_DAY)], contract.zone)
    pools = [*_token_flex(contract, instants), *_topped_up(contract, instants), *_flex(contract, instants)]
    return tuple(sorted(pools, key=_ORDERS[contract.order]))


def _annual_first(pool: Pool) -> tuple[Any, ...]:
    return pool.kind != "annual", pool.closes


def _contract_first(pool: Pool) -> tuple[Any, ...]:
    return pool.kind == "annual", pool.closes


def _earliest_end(pool: Pool) -> tuple[Any, ...]:
    return pool.closes, pool.tokens, pool.id


_ORDERS: dict[str, Callable[[Pool], tuple[Any, ...]]] = {
    "annual_first": _annual_first,
    "contract_first": _contract_first,
    "earliest_end": _earliest_end,
}


def _token_flex(contract: Contract, instants: Mapping[date, datetime]) -> Iterator[Pool]:
    if not contract.years:
        return
    price = price_of(contract, total([contract.contract_tokens, *(year.tokens for year in contract.years)]))
    followers = [annual_pool(year) for year in contract.years[1:]]
    for year, follower in zip_longest(contract.years, followers):
        yield Pool(
            id=annual_pool(year),
            kind="annual",
            tokens=year.tokens,
            opens=instants[year.start],
            closes=instants[year.end + ONE_DAY],
            end=year.end,
            unit_price=price,
            carries_to=follower if year.carry_over else None,
        )
    if has_contract_pool(contract):
        yield Pool(
            id=CONTRACT_POOL,
            kind="contract",
            tokens=contract.contract_tokens,
            opens=instants[contract.start],
            closes=instants[contract.end + ONE_DAY],
            end=contract.end,
            unit_price=price,
            carries_to=None,
        )


def _topped_up(contract: Contract, instants: Mapping[date, datetime]) -> Iterator[Pool]:
    years = {annual_pool(year): year for year in contract.years}
    followers = dict(zip(years, [*years, None][1:], strict=True))
    for place, top_up in enumerate(contract.top_ups):
        name = topped_up(top_up, contract.years)
        year = years.get(name)
        first, last = (contract.start, contract.end) if year is None else (year.start, year.end)
        yield Pool(
            id=top_up_pool(place),
            kind="contract" if year is None else "annual",
            tokens=top_up.tokens,
            opens=instants[max(first, top_up.day)],
            closes=instants[last + ONE_DAY],
            end=last,
            unit_price=price_of(contract, top_up.tokens) if top_up.unit_price is None else top_up.unit_price,
            carries_to=followers[name] if year is not None and year.carry_over else None,
        )


def _flex(contract: Contract, instants: Mapping[date, datetime]) -> Iterator[Pool]:
    for pack in contract.packs:
        yield Pool(
            id=pack.id,
            kind="pack",
            tokens=pack.tokens,
            opens=instants[pack.start],
            closes=instants[pack.end + ONE_DAY],
            end=pack.end,
            unit_price=price_of(contract, pack.tokens) if pack.unit_price is None else pack.unit_price,
            carries_to=None,
        )


def has_contract_pool(contract: Contract) -> bool:
    """Whether there is a pool for the whole term: it was bought, or a booking names it."""
    named = any(booking.pool in (CONTRACT_POOL, MULTI_YEAR) for booking in contract.bookings)
    return bool(contract.years) and (contract.contract_tokens > 0 or named)


def price_of(contract: Contract, tokens: Decimal) -> Decimal | None:
    """The unit price of a purchase of so many tokens: the last tier that begins at or below it."""
    tiers = [tier.unit_price for tier in contract.prices if tier.from_tokens <= tokens]
    return tiers[-1] if tiers else None


def id_of(contract: Contract, name: str, day: date) -> str:
    """The id of a pool under any of its names: the vendor's `CY` is the annual pool of the day, `MY` the contract's."""
    if contract.years and name == CURRENT_YEAR:
        return next((annual_pool(year) for year in contract.years if year.start <= day <= year.end), name)
    return CONTRACT_POOL if contract.years and name == MULTI_YEAR else name
