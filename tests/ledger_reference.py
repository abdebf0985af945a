"""The ledger of a contract by its definition: whole numbers, one instant after the other, all pools each time.

Amounts are in 1/10,000 token, times in microseconds. Slow, and without a thought of speed.
"""

from __future__ import annotations

from typing import NamedTuple, TypeAlias


class Pool(NamedTuple):
    """A pool, in the place in which it is drawn from."""

    id: str
    tokens: int
    opens: int
    closes: int
    carries_to: str | None


class Charge(NamedTuple):
    """A charge that can be drawn, and its row."""

    at: int
    tokens: int
    row: int


class Booking(NamedTuple):
    """What is booked by hand, and its place; no pool is all in order."""

    at: int
    kind: str
    change: int
    pool: str | None
    place: int


class Entry(NamedTuple):
    """A row of the ledger."""

    at: int
    kind: str
    pool: str | None
    tokens: int
    before: int
    after: int
    charge: int | None
    booking: int | None


Cause: TypeAlias = tuple[int | None, int | None]
"""Row of the charge, or place of the booking, of an entry."""


class OutOfTokensError(Exception):
    """A charge that cannot be paid, where that is to be an error."""


class Reference:
    """Settles charges and bookings until an instant. `refused` are the places of bookings that were refused."""

    def __init__(self, pools: list[Pool], on_empty: str) -> None:
        self.pools = pools
        self.on_empty = on_empty
        self.balance = {pool.id: 0 for pool in pools}
        self.overage = 0
        self.entries: list[Entry] = []
        self.refused: list[int] = []

    def settle(self, charges: list[Charge], bookings: list[Booking], until: int) -> list[Entry]:
        instants = {pool.opens for pool in self.pools} | {pool.closes for pool in self.pools}
        instants |= {charge.at for charge in charges} | {booking.at for booking in bookings}
        for at in sorted(instants):
            if at > until:
                break
            self.change_pools(at)
            here = [booking for booking in bookings if booking.at == at]
            for booking in [each for each in here if each.change >= 0] + [each for each in here if each.change < 0]:
                self.book(booking)
            for charge in sorted(charges, key=lambda charge: charge.row):
                if charge.at == at:
                    self.take(at, "charge", charge.tokens, self.open_pools(at), (charge.row, None))
        return self.entries

    def change_pools(self, at: int) -> None:
        closing = [pool for pool in self.pools if pool.closes == at and self.balance[pool.id] != 0]
        for pool in [each for each in closing if each.carries_to is None]:
            self.write(at, "expiry", pool.id, -self.balance[pool.id])
        for pool in closing:
            if pool.carries_to is not None:
                left = self.balance[pool.id]
                self.write(at, "carry_over", pool.id, -left)
                self.write(at, "carry_over", pool.carries_to, left)
        for pool in self.pools:
            if pool.opens == at:
                self.write(at, "provision", pool.id, pool.tokens)

    def open_pools(self, at: int) -> list[str]:
        return [pool.id for pool in self.pools if pool.opens <= at < pool.closes]

    def write(self, at: int, kind: str, pool: str, tokens: int, cause: Cause = (None, None)) -> None:
        before = self.balance[pool]
        self.balance[pool] = before + tokens
        self.entries.append(Entry(at, kind, pool, tokens, before, before + tokens, *cause))

    def book(self, booking: Booking) -> None:
        at, kind, change, pool, place = booking
        pools = self.open_pools(at) if pool is None else [pool]
        if change >= 0:
            self.write(at, kind, pools[0], change, (None, place))
        elif kind != "manual_consumption" and sum(self.balance[each] for each in pools) < -change:
            self.refuse(at, (None, place))
        else:
            self.take(at, kind, -change, pools, (None, place))

    def refuse(self, at: int, cause: Cause) -> None:
        have = sum(self.balance[pool] for pool in self.open_pools(at))
        self.entries.append(Entry(at, "refusal", None, 0, have, have, *cause))
        if cause[1] is not None:
            self.refused.append(cause[1])

    def take(self, at: int, kind: str, tokens: int, pools: list[str], cause: Cause) -> None:
        if sum(self.balance[pool] for pool in pools) < tokens:
            if self.on_empty == "refuse":
                self.refuse(at, cause)
                return
            if self.on_empty == "error":
                raise OutOfTokensError
        full = [pool for pool in pools if self.balance[pool] > 0]
        if tokens == 0 and pools:
            self.write(at, kind, (full or pools)[0], 0, cause)
            return
        rest = tokens
        for pool in full:
            part = min(rest, self.balance[pool])
            if part > 0:
                self.write(at, kind, pool, -part, cause)
                rest -= part
        if rest > 0 or not pools:
            self.entries.append(Entry(at, "overage", None, -rest, self.overage, self.overage - rest, *cause))
            self.overage -= rest
