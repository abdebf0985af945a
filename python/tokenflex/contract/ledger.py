"""`Ledger`: every change of a contract's balances, and what can be asked of it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Final

import polars as pl

from tokenflex import tables
from tokenflex.contract.forecast import Burn, outlook
from tokenflex.errors import ArgumentError
from tokenflex.times import EPOCH, MICROSECOND, checked_duration, instant_in_data, microseconds

if TYPE_CHECKING:
    from datetime import datetime

    from tokenflex.contract.contract import Contract

_USED: Final = ("charge", "manual_consumption", "overage")
_SUMS: Final = {
    "provisioned": ("provision",),
    "consumed": ("charge", "manual_consumption"),
    "expired": ("expiry",),
    "adjusted": ("adjustment", "move", "correction"),
    "carried": ("carry_over",),
}
"""The columns of `tables.BALANCES` and the kinds of entries that they add up."""
_TAKEN: Final = ("consumed", "expired")
"""Of these what the balance loses counts."""
_ZERO: Final = tables.decimal(0)
_EIGHT: Final = Decimal("1E-8")


@dataclass(frozen=True, kw_only=True, eq=False)
class Ledger:
    """Every change of a contract's balances, in order of time. Made by `Contract.settle`.

    Attributes:
        contract: The contract that was settled.
        entries: The changes, see `tables.LEDGER`.
        bookings: What was booked by hand, see `tables.BOOKINGS`.
        as_of: The last instant that it knows of, in UTC.

    Example:
        >>> import tokenflex as tf, polars as pl
        >>> from datetime import datetime, timezone
        >>> contract = tf.Contract(number="team 7", packs=[
        ...     tf.Pack(id="small", tokens=10, purchased="2026-07-01", unit_price=3),
        ...     tf.Pack(id="large", tokens=100, purchased="2026-07-01", unit_price=3)])
        >>> charges = pl.DataFrame({
        ...     "charged_at": [datetime(2026, 7, day, 8, tzinfo=timezone.utc) for day in (13, 14)], "tokens": [7, 7]})
        >>> ledger = contract.settle(charges)
        >>> for at, *row in ledger.entries.select("at", "kind", "pool", "tokens", "balance_after").iter_rows():
        ...     print(at.date(), *row)
        2026-07-01 provision small 10.0000 10.0000
        2026-07-01 provision large 100.0000 100.0000
        2026-07-13 charge small -7.0000 3.0000
        2026-07-14 charge small -3.0000 0.0000
        2026-07-14 charge large -4.0000 96.0000
    """

    contract: Contract
    entries: pl.DataFrame
    bookings: pl.DataFrame
    as_of: datetime

    def __len__(self) -> int:
        return self.entries.height

    def __repr__(self) -> str:
        return f"<Ledger of {self.contract.number}: {len(self):,} entries until {self.as_of.isoformat()}>"

    def balances(self, *, at: datetime | None = None) -> pl.DataFrame:
        """What each pool had, gave and has.

        Args:
            at: At which instant, what falls on it included; the end of the ledger unless given.

        Returns:
            A row for each pool of the contract and one for all, see `tables.BALANCES`. Overage is no part of it.

        Raises:
            ArgumentError: `at` lies after the end of the ledger, or outside of the years that data may have.

        Example:
            >>> import tokenflex as tf, polars as pl
            >>> from datetime import datetime, timezone
            >>> contract = tf.Contract(number="team 7", packs=[tf.Pack(id="a", tokens=10, purchased="2026-07-01")])
            >>> charges = pl.DataFrame({"charged_at": [datetime(2026, 7, 13, tzinfo=timezone.utc)], "tokens": [7]})
            >>> contract.settle(charges).balances().select("pool", "consumed", "balance").rows()
            [('a', Decimal('7.0000'), Decimal('3.0000')), (None, Decimal('7.0000'), Decimal('3.0000'))]
        """
        rows = self._balances(self._until(at))
        total = {name: sum((row[name] for row in rows), _ZERO) for name in (*_SUMS, "balance")}
        rows.append({"pool": None, "kind": None, **total})
        return pl.DataFrame(rows, schema=dict(tables.BALANCES), orient="row")

    def expiring(self, *, within: timedelta, at: datetime | None = None) -> pl.DataFrame:
        """What will expire soon if nobody uses it.

        Args:
            within: How soon: pools that close later than `at` and not later than this after it.
            at: From when on; the end of the ledger unless given.

        Returns:
            A row for each such pool that has tokens, the next first, see `tables.EXPIRING`. What is carried over to
            another pool does not expire.

        Raises:
            ArgumentError: `within` is negative, or `at` lies after the end of the ledger.
            ArgumentTypeError: `within` is no timedelta.

        Example:
            >>> import tokenflex as tf, polars as pl
            >>> from datetime import datetime, timedelta, timezone
            >>> contract = tf.Contract(number="team 7", packs=[
            ...     tf.Pack(id="a", tokens=10, purchased="2026-07-01", unit_price=3)])
            >>> charges = pl.DataFrame({"charged_at": [datetime(2027, 6, 20, tzinfo=timezone.utc)], "tokens": [7]})
            >>> contract.settle(charges).expiring(within=timedelta(days=30)).select("pool", "tokens", "value").rows()
            [('a', Decimal('3.0000'), Decimal('9.00000000'))]
        """
        checked_duration(within, "within")
        until = self._until(at)
        left = {row["pool"]: row["balance"] for row in self._balances(until)}
        soon = [
            (pool.id, pool.closes, pool.end, left[pool.id], _value(left[pool.id], pool.unit_price))
            for pool in self.contract.pools
            if pool.carries_to is None and left[pool.id] > 0 and until < pool.closes and pool.closes - until <= within
        ]
        soon.sort(key=lambda row: (row[1], row[0]))
        return pl.DataFrame(soon, schema=dict(tables.EXPIRING), orient="row")

    def burn(self, *, window: timedelta = timedelta(days=28), at: datetime | None = None) -> Burn:
        """How fast tokens were used of late, and what becomes of the pools if that goes on.

        Args:
            window: How much of the past counts: what was used after `at - window`, up to `at`. What lies before the
                first pool opened does not count as time without use.
            at: From when on; the end of the ledger unless given.

        Returns:
            The rate and the outlook. It is arithmetic at one rate, no forecast: it knows of no holidays, no new users
            and no purchase that is not in the contract.

        Raises:
            ArgumentError: `window` is not positive, or `at` lies after the end of the ledger.
            ArgumentTypeError: `window` is no timedelta.

        Example:
            >>> import tokenflex as tf, polars as pl
            >>> from datetime import datetime, timezone
            >>> contract = tf.Contract(number="team 7", packs=[tf.Pack(id="a", tokens=100, purchased="2026-07-01")])
            >>> charges = pl.DataFrame({"charged_at": [datetime(2026, 7, 11, tzinfo=timezone.utc)], "tokens": [20]})
            >>> burn = contract.settle(charges).burn()
            >>> burn.tokens_per_day, burn.exhausted_at.date().isoformat()
            (Decimal('2.0000'), '2026-08-20')
        """
        if checked_duration(window, "window") == timedelta(0):
            raise ArgumentError("window is 0, but has to be longer", location="window")
        until = self._until(at)
        opened = min(pool.opens for pool in self.contract.pools)
        since = max(until - window, opened) if until - EPOCH >= window else opened
        entries = self.entries.slice(self._before(since), max(self._before(until) - self._before(since), 0))
        if since == opened:
            # What is used at the first instant counts, too.
            entries = self.entries.head(self._before(until))
        used = -_sum(entries.filter(pl.col("kind").is_in(_USED))["tokens"])
        left = {row["pool"]: row["balance"] for row in self._balances(until)}
        return outlook(self.contract.pools, left, used=used, since=min(since, until), at=until)

    def cost(self, *, at: datetime | None = None) -> pl.DataFrame:
        """What tokens have cost: bought, used, expired, and what a token that was used has come to.

        Args:
            at: At which instant, what falls on it included; the end of the ledger unless given.

        Returns:
            A row for each pool of the contract and one for all, with the overage, see `tables.COST`. All exact, but
            for the mean price and the effective one, which are rounded to eight places.

        Raises:
            ArgumentError: `at` lies after the end of the ledger, or outside of the years that data may have.

        Example:
            >>> import tokenflex as tf, polars as pl
            >>> from datetime import datetime, timezone
            >>> contract = tf.Contract(number="team 7", packs=[
            ...     tf.Pack(id="a", tokens=10, purchased="2026-07-01", unit_price=3)])
            >>> charges = pl.DataFrame({"charged_at": [datetime(2026, 7, 13, tzinfo=timezone.utc)], "tokens": [8]})
            >>> ledger = contract.settle(charges, as_of=datetime(2027, 7, 1, tzinfo=timezone.utc))
            >>> ledger.cost().select("value_consumed", "value_expired", "effective_price").row(0)
            (Decimal('24.00000000'), Decimal('6.00000000'), Decimal('3.75000000'))
        """
        until = self._until(at)
        price = {pool.id: pool.unit_price for pool in self.contract.pools}
        rows = [_cost(row, price[row["pool"]]) for row in self._balances(until)]
        entries = self.entries.head(self._before(until))
        overage = -_sum(entries.filter(pl.col("kind") == "overage")["tokens"])
        rows.append(_cost_of_all(rows, overage, self.contract.overage_price))
        return pl.DataFrame(rows, schema=dict(tables.COST), orient="row")

    def _until(self, at: datetime | None) -> datetime:
        if at is None:
            return self.as_of
        until = EPOCH + instant_in_data(at, "at") * MICROSECOND
        if until > self.as_of:
            raise ArgumentError(
                f"at={at} lies after the end of the ledger, {self.as_of.isoformat()}: settle with as_of=", location="at"
            )
        return until

    def _before(self, until: datetime) -> int:
        """How many entries there are up to an instant, those at it included."""
        times = self.entries["at"].to_physical()
        return int(times.search_sorted(microseconds(until, "at"), side="right"))

    def _balances(self, until: datetime) -> list[dict[str, Any]]:
        """A row of `tables.BALANCES` for each pool."""
        entries = self.entries.head(self._before(until))
        found = entries.group_by("pool", "kind").agg(pl.sum("tokens"), pl.max("entry"))
        sums = found.with_columns(pl.col("pool", "kind").cast(pl.String)).rows()
        by_kind = {(pool, kind): tokens for pool, kind, tokens, _ in sums}
        # Entries are numbered from 1, in order.
        last = {pool: entry - 1 for pool, _, _, entry in sorted(sums, key=lambda row: row[3])}
        after = self.entries["balance_after"]
        balance: dict[str, Decimal] = {pool: after[place] for pool, place in last.items()}
        rows = []
        for pool in self.contract.pools:
            row: dict[str, Any] = {"pool": pool.id, "kind": pool.kind}
            for name, kinds in _SUMS.items():
                total = sum((by_kind.get((pool.id, kind), _ZERO) for kind in kinds), _ZERO)
                row[name] = -total if name in _TAKEN else total
            rows.append(row | {"balance": balance.get(pool.id, _ZERO)})
        return rows


def _sum(tokens: pl.Series) -> Decimal:
    return sum([Decimal(tokens.sum())], _ZERO)


def _value(tokens: Decimal, price: Decimal | None) -> Decimal | None:
    """Exact: both have at most four decimals."""
    return None if price is None else _money(Fraction(tokens) * Fraction(price))


def _money(amount: Fraction) -> Decimal:
    """With eight places, half to even."""
    return Decimal(round(amount * 10**8)).scaleb(-8)


def _cost(row: dict[str, Any], price: Decimal | None) -> dict[str, Any]:
    values = {name: _value(row[column], price) for name, column in _VALUES.items()}
    return {
        "pool": row["pool"],
        "unit_price": price,
        "tokens_bought": row["provisioned"],
        "tokens_consumed": row["consumed"],
        "tokens_expired": row["expired"],
        "overage": _ZERO,
        **values,
        "overage_cost": _money(Fraction(0)),
        "effective_price": _each(row["consumed"], values["value_consumed"], values["value_expired"]),
    }


_VALUES: Final = {"value_bought": "provisioned", "value_consumed": "consumed", "value_expired": "expired"}


def _cost_of_all(rows: list[dict[str, Any]], overage: Decimal, price: Decimal | None) -> dict[str, Any]:
    tokens = {name: sum((row[name] for row in rows), _ZERO) for name in _TOKENS}
    values = {
        value: _added(row[value] if row[count] else _money(Fraction(0)) for row in rows)
        for value, count in zip(_VALUES, _TOKENS, strict=True)
    }
    owed = _value(overage, price) if overage else _money(Fraction(0))
    used = tokens["tokens_consumed"] + overage
    return {
        "pool": None,
        "unit_price": _each(tokens["tokens_bought"], values["value_bought"]),
        **tokens,
        "overage": overage,
        **values,
        "overage_cost": owed,
        "effective_price": _each(used, values["value_consumed"], values["value_expired"], owed),
    }


_TOKENS: Final = ("tokens_bought", "tokens_consumed", "tokens_expired")


def _added(values: Any) -> Decimal | None:  # noqa: ANN401 - an iterator of money
    total = Decimal(0)
    for value in values:
        if value is None:
            return None
        total += value
    return total


def _each(tokens: Decimal, *values: Decimal | None) -> Decimal | None:
    """What values come to for each token; None where a value is not known or there is no token."""
    total = _added(values)
    return None if total is None or not tokens else _money(Fraction(total) / Fraction(tokens))
