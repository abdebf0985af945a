"""What becomes of pools if tokens go on being used at one rate: exact arithmetic, rounded only in what is told."""

from __future__ import annotations

from bisect import bisect_left, insort
from dataclasses import dataclass
from datetime import UTC, timedelta
from fractions import Fraction
from typing import TYPE_CHECKING

import polars as pl

from tokenflex import tables
from tokenflex.notebook import Shown
from tokenflex.times import EPOCH, MICROSECOND, microseconds
from tokenflex.words import tokens

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime
    from decimal import Decimal

    from tokenflex.contract.terms import Pool

_DAY = timedelta(days=1) // MICROSECOND


@dataclass(frozen=True, kw_only=True, eq=False)
class Burn(Shown):
    """How fast tokens were used, and the outlook at that rate. Made by `Ledger.burn`.

    Attributes:
        since: From when on use counts, in UTC.
        at: Until when, included; the outlook begins here.
        tokens: What was used in that time, overage included.
        tokens_per_day: The rate, for 24 hours, to four places; None where no time has passed.
        balance: What all open pools have at `at`.
        exhausted_at: The first instant at which no open pool has what is needed; None if tokens last to the end.
        expected_overage: What will be needed until the last pool closes and no pool will have.
        expected_expiry: What will expire until then.
        pools: The outlook of each pool, see `tables.BURN`.
    """

    since: datetime
    at: datetime
    tokens: Decimal
    tokens_per_day: Decimal | None
    balance: Decimal
    exhausted_at: datetime | None
    expected_overage: Decimal
    expected_expiry: Decimal
    pools: pl.DataFrame

    def _tables_shown(self) -> dict[str, pl.DataFrame]:
        return {"pools": self.pools}

    def __repr__(self) -> str:
        pace = "no pace yet" if self.tokens_per_day is None else f"{tokens(self.tokens_per_day)} tokens a day"
        lasts = "lasts to the end" if self.exhausted_at is None else f"empty on {self.exhausted_at:%Y-%m-%d}"
        return f"<Burn of {pace}: {tokens(self.balance)} tokens on {self.at:%Y-%m-%d}, {lasts}>"


def outlook(
    pools: Sequence[Pool], left: Mapping[str, Decimal], *, used: Decimal, since: datetime, at: datetime
) -> Burn:
    """The outlook from an instant on, of pools with so many tokens left, if so many were used since."""
    passed = max((at - since) // MICROSECOND, 1)
    course = _Course(pools, left, rate=tables.units(used) if at > since else 0, passed=passed, at=at)
    course.run()
    return Burn(
        since=since,
        at=at,
        tokens=used,
        tokens_per_day=_tokens(Fraction(tables.units(used) * _DAY, passed)) if at > since else None,
        balance=sum((left[pool.id] for pool in pools if pool.opens <= at < pool.closes), tables.decimal(0)),
        exhausted_at=course.instant(course.exhausted),
        expected_overage=course.tokens(course.overage),
        expected_expiry=course.tokens(sum(course.expiry)),
        pools=course.table(),
    )


class _Course:
    """The pools on their way. Amounts are whole: units of tokens times the time in which `rate` units were used.

    In such amounts `rate` is what is used in each microsecond.
    """

    def __init__(
        self, pools: Sequence[Pool], left: Mapping[str, Decimal], *, rate: int, passed: int, at: datetime
    ) -> None:
        self._pools = pools
        self._rate = rate
        self._passed = passed
        self._at = microseconds(at, "at")
        self._opens = [microseconds(pool.opens, "opens") for pool in pools]
        self._closes = [microseconds(pool.closes, "closes") for pool in pools]
        self._places = {pool.id: place for place, pool in enumerate(pools)}
        is_open = [opens <= self._at < closes for opens, closes in zip(self._opens, self._closes, strict=True)]
        tokens = [left[pool.id] if is_open[place] else pool.tokens for place, pool in enumerate(pools)]
        self._tokens = tokens
        self._left = [tables.units(tokens[place]) * passed if is_open[place] else 0 for place in range(len(pools))]
        self._full = [place for place, amount in enumerate(self._left) if amount > 0]
        self.dry: list[int | None] = [None] * len(pools)
        self.expiry = [0] * len(pools)
        self.overage = 0
        self.exhausted: int | None = None

    def run(self) -> None:
        """From the first instant to the close of the last pool."""
        # At one instant pools close before others open.
        steps = [(closes, 0, place) for place, closes in enumerate(self._closes) if closes > self._at]
        steps += [(opens, 1, place) for place, opens in enumerate(self._opens) if opens > self._at]
        now = self._at
        for until, is_opening, place in sorted(steps):
            self._use(now, until)
            now = until
            if is_opening:
                self._left[place] += tables.units(self._pools[place].tokens) * self._passed
                self._fill(place)
            else:
                self._close(place)

    def _use(self, now: int, until: int) -> None:
        """Draws what is used from one instant to another, in the order of the pools."""
        needed = self._rate * (until - now)
        drawn = 0
        while needed > drawn and self._full:
            place = self._full[0]
            part = min(self._left[place], needed - drawn)
            self._left[place] -= part
            drawn += part
            if self._left[place] == 0:
                self._full.pop(0)
                self.dry[place] = now + drawn // self._rate
        if needed > drawn:
            self.overage += needed - drawn
            if self.exhausted is None:
                self.exhausted = now + drawn // self._rate

    def _close(self, place: int) -> None:
        left, self._left[place] = self._left[place], 0
        if left == 0:
            return
        self._full.pop(bisect_left(self._full, place))
        follower = self._pools[place].carries_to
        if follower is None:
            self.expiry[place] = left
        else:
            # It opens now, or is open.
            self._left[self._places[follower]] += left
            self._fill(self._places[follower])

    def _fill(self, place: int) -> None:
        if self._left[place] > 0 and place not in self._full:
            insort(self._full, place)
            self.dry[place] = None

    def tokens(self, amount: int) -> Decimal:
        """An amount as tokens."""
        return _tokens(Fraction(amount, self._passed))

    def instant(self, time: int | None) -> datetime | None:
        """A time as an instant in UTC."""
        return None if time is None else (EPOCH + time * MICROSECOND).astimezone(UTC)

    def table(self) -> pl.DataFrame:
        """The outlook of each pool that has not closed."""
        rows = [
            (
                pool.id,
                pool.opens,
                pool.closes,
                self._tokens[place],
                self.instant(self.dry[place]),
                self.tokens(self.expiry[place]),
            )
            for place, pool in enumerate(self._pools)
            if self._closes[place] > self._at
        ]
        return pl.DataFrame(rows, schema=dict(tables.BURN), orient="row")


def _tokens(units: Fraction) -> Decimal:
    """Rounded to four places, half to even."""
    return tables.decimal(round(units))
