"""Tokens that are held when a plan begins: what is left in each pool of a contract, from when and until when."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, NamedTuple

import polars as pl

from tokenflex import tables
from tokenflex.contract.closing import instants_of
from tokenflex.contract.contract import Contract
from tokenflex.contract.days import ONE_DAY, years_later
from tokenflex.contract.ledger import Ledger
from tokenflex.errors import ArgumentError, ArgumentTypeError
from tokenflex.problems import Problems
from tokenflex.times import MICROSECOND

if TYPE_CHECKING:
    from datetime import date, datetime

    from tokenflex.contract.terms import Pool
    from tokenflex.planning.offer import Offer

_DRAWN: Final = ("charge", "overage")


class HeldPool(NamedTuple):
    """What is left in a pool, in ten-thousandths, and the days on which it opens and closes, from 0."""

    pool: Pool
    tokens: int
    opens: int
    closes: int


@dataclass(frozen=True, eq=False)
class Held:
    """A contract as it stands when a plan begins."""

    ledger: Ledger
    """To the last instant before, with nothing closed."""
    past: pl.DataFrame
    """The charges that it has drawn."""
    pools: tuple[HeldPool, ...]
    """Those that have not ended, in the order in which they are drawn from."""

    @property
    def contract(self) -> Contract:
        """What was agreed."""
        return self.ledger.contract

    def table(self, start: date) -> pl.DataFrame:
        """The pools that have tokens, see `tables.HELD_TOKENS`."""
        rows = [
            (each.pool.id, each.pool.kind, tables.decimal(each.tokens), start + each.opens * ONE_DAY, each.pool.end)
            for each in self.pools
            if each.tokens
        ]
        return pl.DataFrame(rows, schema=dict(tables.HELD_TOKENS), orient="row")


def held_of(held: object, *, offer: Offer, start: date) -> Held:
    """What is left of a contract or of its ledger at the beginning of a day."""
    if not isinstance(held, Contract | Ledger):
        raise ArgumentTypeError(
            f"held has to be a tokenflex.Ledger or a tokenflex.Contract, not {type(held).__name__}", location="held"
        )
    contract = held if isinstance(held, Contract) else held.contract
    _check(contract, offer, start)
    ledger, past = _standing(held, contract, start)
    return Held(ledger, past, tuple(_pools(ledger, start)))


def _check(contract: Contract, offer: Offer, start: date) -> None:
    if contract.model != offer.model:
        raise ArgumentError(
            f"held is {_MODELS[contract.model]}, and the offer is {_MODELS[offer.model]}: no contract has both",
            location="held",
        )
    for name in ("zone", "currency", "order"):
        ours, theirs = getattr(contract, name), getattr(offer, name)
        if ours != theirs:
            raise ArgumentError(
                f"the {name} of what is held is {ours}, and that of the offer {theirs}: they have to be one",
                location="held",
            )
    if start > contract.end or (contract.years and start < contract.start):
        raise ArgumentError(
            f"what is held lasts from {contract.start} to {contract.end}, and the plan begins on {start}: there is "
            "nothing of it then, so leave held= out",
            location="held",
        )
    if contract.years and len(contract.years) != offer.years:
        raise ArgumentError(
            f"what is held is a term of {len(contract.years)} years, and the offer one of {offer.years}: what is "
            f"bought adds to what is held, so give the offer years={len(contract.years)}",
            location="held",
        )


_MODELS: Final = {"flex": "Flex", "token_flex": "Token Flex"}


def _standing(held: Contract | Ledger, contract: Contract, start: date) -> tuple[Ledger, pl.DataFrame]:
    """The ledger to the last instant before a day, and the charges that it drew."""
    first = contract.first_instant(start)
    charges = pl.DataFrame(schema={name: tables.CHARGES[name] for name in ("charged_at", "tokens", "product")})
    after = None
    if isinstance(held, Ledger):
        if held.as_of >= first:
            raise ArgumentError(
                f"the ledger that is held goes to {held.as_of.isoformat()}, and the plan begins on {start}, at "
                f"{first.isoformat()}: begin the plan later, or settle with as_of= before it",
                location="held",
            )
        charges = held.charges.head(held.charges.height - held.withdrawn)
        charges = charges.filter(instants_of(charges["charged_at"]) < first)
        after = replace(held, closed=None)
    _check_bookings(contract, after, start)
    ledger = contract.settle(charges, after=after, as_of=first - MICROSECOND, problems=Problems())
    drawn = ledger.entries.filter(pl.col("kind").cast(pl.String).is_in(_DRAWN))["charge"].drop_nulls().unique().sort()
    past = charges.select(instants_of(charges["charged_at"]), pl.col("tokens").cast(tables.TOKENS))
    return ledger, past[drawn.cast(pl.Int64)]


def _check_bookings(contract: Contract, ledger: Ledger | None, start: date) -> None:
    days = [booking.day for booking in contract.bookings]
    days += [] if ledger is None else ledger.bookings.filter("is_current")["day"].to_list()
    late = [day for day in days if day >= start]
    if late:
        raise ArgumentError(
            f"something is booked on {min(late)}, when the plan has begun on {start}: leave it out of what is held, or "
            "begin the plan after it",
            location="held",
        )


def _pools(ledger: Ledger, start: date) -> list[HeldPool]:
    contract = ledger.contract
    left = {pool: tables.units(tokens) for pool, tokens in ledger.balances().select("pool", "balance").iter_rows()}
    found = []
    carried: dict[str, int] = {}
    for pool in contract.pools:
        opens, closes = (_day_of(pool.opens, contract) - start).days, (pool.end + ONE_DAY - start).days
        tokens = left[pool.id] if opens < 0 else tables.units(pool.tokens)
        if closes == 0 and pool.carries_to is not None:
            carried[pool.carries_to] = carried.get(pool.carries_to, 0) + tokens
        if closes > 0:
            found.append(HeldPool(pool, tokens, max(opens, 0), closes))
    return [each._replace(tokens=each.tokens + carried.get(each.pool.id, 0)) for each in found]


def _day_of(instant: datetime, contract: Contract) -> date:
    day: date = pl.Series([instant], dtype=tables.TIME).dt.convert_time_zone(contract.zone).dt.date()[0]
    return day


def line_of_packs(held: Held | None, start: date, days: int) -> tuple[list[HeldPool], list[HeldPool]]:
    """Packs that are drawn before any that can be bought, and those that will be bought in any case.

    All packs live one year from their purchase, so what is bought earlier ends earlier. A pack of another life, which
    would have to be drawn in the midst of those that are bought, is refused.
    """
    first, bought = [], []
    ends = (years_later(start, 1) - start).days
    for each in () if held is None else held.pools:
        if not each.tokens or each.opens >= days:
            continue
        if each.closes <= ends:
            first.append(each)
        elif each.closes == (years_later(start + each.opens * ONE_DAY, 1) - start).days:
            bought.append(each)
        else:
            raise ArgumentError(
                f"the pack {each.pool.id!r} is held until {each.pool.end}, longer than one that is bought on {start}, "
                "and has not the life of a year: such a pack is not planned with; begin the plan later",
                location="held",
            )
    return first, bought
