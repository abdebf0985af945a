"""A Flex team that is merged into another one: its packs go there with what is left in them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from tokenflex.contract.terms import Booking, Pack
from tokenflex.errors import ArgumentError
from tokenflex.times import MICROSECOND

if TYPE_CHECKING:
    from datetime import date

    from tokenflex.contract.contract import Contract
    from tokenflex.contract.ledger import Ledger


def merged_into(ledger: Ledger, other: Contract, day: date) -> tuple[Contract, Contract]:
    """What `Ledger.merged_into` does."""
    team = ledger.contract
    for contract in (team, other):
        if contract.model != "flex":
            raise ArgumentError(f"{contract.number} is Token Flex: only teams of Flex are merged", location="other")
    if team.zone != other.zone:
        raise ArgumentError(
            f"{team.number} counts its days in {team.zone}, {other.number} in {other.zone}: packs would end otherwise",
            location="other",
        )
    before = team.first_instant(day) - MICROSECOND
    left = dict(ledger.balances(at=before).select("pool", "balance").iter_rows())
    taken = {pack.id for pack in other.packs}
    prices = {pool.id: pool.unit_price for pool in team.pools}
    packs, moves = [], []
    for pack in team.packs:
        tokens = left.get(pack.id)
        if not tokens or not pack.start < day <= pack.end:
            continue
        packs.append(
            Pack(
                id=f"{team.number} {pack.id}" if pack.id in taken else pack.id,
                tokens=tokens,
                purchased=pack.purchased,
                end=pack.end,
                unit_price=prices[pack.id],
                received=day,
            )
        )
        moves.append(Booking(day=day, tokens=tokens, kind="move", pool=pack.id, team=other.number))
    return (
        replace(other, packs=(*other.packs, *packs)),
        replace(team, bookings=(*team.bookings, *moves)),
    )
