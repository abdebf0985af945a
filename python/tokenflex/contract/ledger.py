"""`Ledger`: every change of a contract's balances, and what can be asked of it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Final

import polars as pl

from tokenflex import tables
from tokenflex.contract.closing import WHAT, closed, corrections_of, reopened
from tokenflex.contract.forecast import Burn, outlook
from tokenflex.contract.store import write_ledger
from tokenflex.contract.teams import merged_into
from tokenflex.errors import ArgumentError
from tokenflex.notebook import Shown
from tokenflex.problems import Problems
from tokenflex.times import EPOCH, MICROSECOND, checked_duration, instant_in_data, microseconds

if TYPE_CHECKING:
    from datetime import date, datetime
    from pathlib import Path

    from tokenflex.arrow import AnyTable
    from tokenflex.contract.contract import Contract

_USED: Final = ("charge", "manual_consumption", "overage")
_SUMS: Final = {
    "provisioned": ("provision",),
    "consumed": ("charge", "manual_consumption"),
    "expired": ("expiry",),
    "adjusted": ("adjustment", "move"),
    "carried": ("carry_over",),
}
"""The columns of `tables.BALANCES` and the kinds of entries that they add up."""
_TAKEN: Final = ("consumed", "expired")
"""Of these what the balance loses counts."""
_ZERO: Final = tables.decimal(0)
_EIGHT: Final = Decimal("1E-8")


@dataclass(frozen=True, kw_only=True, eq=False)
class Ledger(Shown):
    """Every change of a contract's balances, in order of time. Made by `Contract.settle`.

    Attributes:
        contract: The contract that was settled.
        entries: The changes, see `tables.LEDGER`.
        charges: The charges that were settled, as they were given; `entries` count their rows.
        bookings: What was booked by hand, see `tables.BOOKINGS`.
        as_of: The last instant that it knows of, in UTC.
        closed: The last day of the closed time, whose entries stay as they are; None where nothing is closed.
        withdrawn: How many rows at the end of `charges` are no more, and stand there for entries that were closed.

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
    charges: pl.DataFrame
    bookings: pl.DataFrame
    as_of: datetime
    closed: date | None = None
    withdrawn: int = 0

    def __len__(self) -> int:
        return self.entries.height

    def _tables_shown(self) -> dict[str, pl.DataFrame]:
        return {"balances": self.balances(), "entries": self.entries}

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
        used = -_sum(entries.filter(WHAT.is_in(_USED))["tokens"])
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
        overage = -_sum(entries.filter(WHAT == "overage")["tokens"])
        rows.append(_cost_of_all(rows, overage, self.contract.overage_price))
        return pl.DataFrame(rows, schema=dict(tables.COST), orient="row")

    def close(self, day: date) -> Ledger:
        """Fixes all that was booked up to the end of a day, as for a month that has been charged back.

        Args:
            day: The last day that is closed, in the contract's zone.

        Returns:
            A ledger with the same entries. `update` will not change those of the closed time any more.

        Raises:
            ArgumentError: The day has not ended by `as_of`, lies outside of the contract, or before what is closed.
            ArgumentTypeError: It is no date.

        Example:
            >>> import tokenflex as tf, polars as pl
            >>> from datetime import date, datetime, timezone
            >>> def charges(*days):
            ...     at = [datetime(2026, 7, day, 8, tzinfo=timezone.utc) for day in days]
            ...     return pl.DataFrame({"user": "ana", "product": "ACD", "charged_at": at, "tokens": 7})
            >>> contract = tf.Contract(number="team 7", packs=[tf.Pack(id="a", tokens=100, purchased="2026-07-01")])
            >>> ledger = contract.settle(charges(13, 20)).close(date(2026, 7, 15))
            >>> ledger = ledger.update(charges(13, 14, 20))
            >>> for at, *row in ledger.entries.select("at", "kind", "balance_after").iter_rows():
            ...     print(at.date(), *row)
            2026-07-01 provision 100.0000
            2026-07-13 charge 93.0000
            2026-07-16 correction 86.0000
            2026-07-20 charge 79.0000
            >>> ledger.corrections.select("reason", pl.col("charged_at").dt.date(), "tokens").row(0)
            ('late', datetime.date(2026, 7, 14), Decimal('-7.0000'))
        """
        return closed(self, day)

    def update(
        self,
        charges: AnyTable,
        *,
        statement: AnyTable | None = None,
        as_of: datetime | None = None,
        problems: Problems | None = None,
    ) -> Ledger:
        """Settles what is known now. What was closed stays; what it would be now is booked as corrections.

        Corrections come at the first instant after the closed time. From there on each pool has what it would have if
        nothing had been closed.

        Args:
            charges: All charges as they are now, the old ones too. Charges are the same where user, product, server
                and instant are.
            statement: As for `Contract.settle`; the bookings of the statement before unless given.
            as_of: As for `Contract.settle`; the ledger never ends before it did.
            problems: As for `Contract.settle`.

        Returns:
            The ledger with its corrections.

        Raises:
            TokenflexError: The same errors as of `Contract.settle`, which settles all anew.
        """
        return self.contract.settle(charges, statement=statement, as_of=as_of, after=self, problems=problems)

    def reopen(self, day: date | None = None) -> Ledger:
        """Opens again what was closed after a day, or all: its corrections go, since its entries come right.

        Args:
            day: The last day that stays closed; None for none.

        Raises:
            ArgumentError: It was not closed until then.
            ArgumentTypeError: It is no date.
        """
        current = self.charges.head(self.charges.height - self.withdrawn)
        return self.contract.settle(current, after=reopened(self, day), problems=Problems())

    @property
    def corrections(self) -> pl.DataFrame:
        """What changed in the closed time, see `tables.CORRECTIONS`."""
        return corrections_of(self)

    def merged_into(self, other: Contract, *, day: date) -> tuple[Contract, Contract]:
        """What becomes of two Flex teams when this one is merged into the other.

        Args:
            other: The contract of the team that goes on.
            day: The first day on which it has the packs, in the contracts' zone.

        Returns:
            The other team's contract with this team's packs and what was left in each when the day began, at the price
            that they had; and this team's contract, from which they have moved. A pack whose id the other team has
            already gets this team's number before it.

        Raises:
            ArgumentError: One of them is no Flex, they count days in different zones, or the ledger ends before that
                day.

        Example:
            >>> import tokenflex as tf, polars as pl
            >>> from datetime import date, datetime, timezone
            >>> team = tf.Contract(number="7", packs=[tf.Pack(id="a", tokens=100, purchased="2026-07-01")])
            >>> other = tf.Contract(number="8", packs=[tf.Pack(id="b", tokens=50, purchased="2026-07-01")])
            >>> charges = pl.DataFrame({"charged_at": [datetime(2026, 7, 13, tzinfo=timezone.utc)], "tokens": [30]})
            >>> merged, left = team.settle(charges, as_of=datetime(2026, 8, 1, tzinfo=timezone.utc)).merged_into(
            ...     other, day=date(2026, 8, 1))
            >>> [(pack.id, int(pack.tokens)) for pack in merged.packs], left.bookings[0].kind
            ([('b', 50), ('a', 70)], 'move')
        """
        return merged_into(self, other, day)

    def write(self, folder: str | Path) -> None:
        """Writes the ledger into a folder, from which `read_ledger` takes it: Parquet tables, and the contract as TOML.

        A ledger that is there is replaced in one step, so that a run that dies leaves the one or the other.

        Args:
            folder: The folder; it is made if need be.

        Raises:
            SourceError: It cannot be written.
        """
        write_ledger(self, folder)

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
        found = entries.group_by("pool", "kind", "corrects").agg(pl.sum("tokens"), pl.max("entry"))
        by_kind: dict[tuple[str, str], Decimal] = {}
        last: dict[str, int] = {}
        for pool, kind, tokens, entry in found.select(
            pl.col("pool").cast(pl.String), WHAT, "tokens", "entry"
        ).iter_rows():
            by_kind[pool, kind] = by_kind.get((pool, kind), _ZERO) + tokens
            last[pool] = max(last.get(pool, 0), entry)
        # Entries are numbered from 1, in order.
        after = self.entries["balance_after"]
        balance: dict[str, Decimal] = {pool: after[entry - 1] for pool, entry in last.items()}
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
