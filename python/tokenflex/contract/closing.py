"""A past that stays as it was closed: what late data changes in it becomes correction entries of the open time."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, Final

import polars as pl

from tokenflex import tables
from tokenflex.errors import ArgumentError, ArgumentTypeError
from tokenflex.times import microseconds

if TYPE_CHECKING:
    from tokenflex.contract.ledger import Ledger

_ONE_DAY: Final = timedelta(days=1)
_CHARGE: Final = ("user", "product", "server", "charged_at")
"""What tells one charge from another, whatever row it stands in."""
_NAMES: Final = ("user", "product", "server")
_BOOKING: Final = ("source", "day", "kind", "pool", "tokens", "reason", "team")
_EFFECT: Final = ("what", "pool", "charge", "booking")
_ENDS: Final = ("expiry", "carry_over")
WHAT: Final = pl.coalesce("corrects", "kind").cast(pl.String)
"""What an entry changes: a correction changes what it corrects."""


def closed(ledger: Ledger, day: date) -> Ledger:
    """What `Ledger.close` does."""
    _check_day(ledger, day)
    if ledger.closed is not None and day < ledger.closed:
        raise ArgumentError(f"it is closed until {ledger.closed} already: reopen(day) first", location="day")
    end = ledger.contract.first_instant(day + _ONE_DAY)
    if end > ledger.as_of:
        raise ArgumentError(
            f"{day} has not ended where the ledger ends, at {ledger.as_of.isoformat()}: settle with a later as_of=",
            location="day",
        )
    return replace(ledger, closed=day)


def reopened(ledger: Ledger, day: date | None) -> Ledger:
    """The ledger with less of it closed; its entries are those of before, until it is settled."""
    if day is not None:
        _check_day(ledger, day)
        if ledger.closed is None or day > ledger.closed:
            raise ArgumentError(
                f"it is closed until {ledger.closed or 'no day'} only: nothing to reopen", location="day"
            )
    return replace(ledger, closed=day)


def _check_day(ledger: Ledger, day: date) -> None:
    if not isinstance(day, date) or isinstance(day, datetime):
        raise ArgumentTypeError(f"day has to be a date, not {type(day).__name__}", location="day")
    if not ledger.contract.start <= day <= ledger.contract.end:
        raise ArgumentError(
            f"day is {day}, but the contract runs from {ledger.contract.start} to {ledger.contract.end}", location="day"
        )


def carried_on(before: Ledger, fresh: Ledger) -> Ledger:
    """The ledger of new data that keeps the closed entries, and corrects what they would be now.

    Corrections are booked at the first instant that is open. There every pool then has what it has in `fresh`, so from
    there on the entries are those of `fresh`.
    """
    cut = open_from(before)
    if cut is None:
        return fresh
    charges, charge_rows = _united(before.charges, fresh.charges, _CHARGE)
    bookings, booking_rows = _united(before.bookings, fresh.bookings, _BOOKING)
    bookings = bookings.with_columns(is_current=pl.int_range(pl.len()) < fresh.bookings.height)
    fixed = _plain(before.entries.filter(is_before(cut)))
    fixed = fixed.with_columns(
        charge_rows.gather(fixed["charge"]).alias("charge"),
        booking_rows.gather(fixed["booking"]).cast(pl.UInt32).alias("booking"),
    )
    new = _plain(fresh.entries)
    corrections = _corrections(fixed, new.filter(is_before(cut)), cut)
    entries = pl.concat([fixed, corrections.select(fixed.columns), new.filter(~is_before(cut))])
    entries = entries.with_columns(entry=pl.int_range(1, pl.len() + 1, dtype=pl.UInt64))
    return replace(
        fresh,
        entries=tables.finish(entries, tables.LEDGER),
        charges=charges,
        withdrawn=charges.height - fresh.charges.height,
        bookings=bookings,
        closed=before.closed,
    )


def is_before(cut: datetime) -> pl.Expr:
    """Which entries are closed where the open time begins at an instant."""
    # What ends with a pool's last day ends at the first instant after it.
    at, end = pl.col("at").to_physical(), microseconds(cut, "at")
    return (at < end) | ((at == end) & pl.col("kind").is_in(_ENDS))


def open_from(ledger: Ledger) -> datetime | None:
    """The first instant that is open; None where nothing is closed."""
    return None if ledger.closed is None else ledger.contract.first_instant(ledger.closed + _ONE_DAY)


def _plain(entries: pl.DataFrame) -> pl.DataFrame:
    """Names as text: each table has categories of its own."""
    return entries.with_columns(pl.col("pool", "kind", "corrects").cast(pl.String))


def _united(old: pl.DataFrame, new: pl.DataFrame, keys: tuple[str, ...]) -> tuple[pl.DataFrame, pl.Series]:
    """The new rows and behind them the old ones that are no more; and for each old row where it stands now.

    Of several rows that are alike the first is the first, and so on.
    """
    known = [name for name in keys if name in old.columns and name in new.columns]
    each = [_numbered(frame, known) for frame in (old, new)]
    found = each[0].join(each[1], on=[*known, "n"], how="left", nulls_equal=True, maintain_order="left")["row_right"]
    gone = old.filter(found.is_null())
    if "session" in gone.columns:
        # The sessions that it counts are no more.
        gone = gone.with_columns(pl.lit(None).cast(gone.schema["session"]).alias("session"))
    later = found.is_null().cum_sum().cast(pl.Int64) + (new.height - 1)
    place = found.cast(pl.Int64).zip_with(found.is_not_null(), later).cast(pl.UInt64)
    return (_stacked(new, gone) if gone.height else new), place


def _numbered(frame: pl.DataFrame, keys: list[str]) -> pl.DataFrame:
    """The keys in one form, whatever library they come from, and which of several alike a row is."""
    kept = [name for name in keys if name not in _NAMES and name != "charged_at"]
    texts = [pl.col(name).cast(pl.String) for name in keys if name in _NAMES]
    times = [instants_of(frame[name]) for name in keys if name == "charged_at"]
    rows = frame.select(*texts, *kept).with_columns(times).with_row_index("row")
    return rows.with_columns(n=pl.int_range(pl.len()).over(keys))


def instants_of(times: pl.Series) -> pl.Series:
    """Instants of any zone and unit as those of our tables."""
    if times.dtype == pl.Null:
        return times.cast(tables.TIME)
    return times.dt.convert_time_zone("UTC").dt.cast_time_unit("us")


def _stacked(new: pl.DataFrame, gone: pl.DataFrame) -> pl.DataFrame:
    """Both as one table; categories that are not the same become text, and instants those of UTC."""
    both = []
    for frame, other in ((new, gone), (gone, new)):
        columns = []
        for name, dtype in frame.schema.items():
            differs = name in other.columns and other.schema[name] != dtype
            if differs and isinstance(dtype, pl.Enum | pl.Categorical):
                columns.append(pl.col(name).cast(pl.String))
            elif differs and isinstance(dtype, pl.Datetime) and dtype.time_zone is not None:
                columns.append(pl.col(name).dt.convert_time_zone("UTC").dt.cast_time_unit("us"))
        both.append(frame.with_columns(columns))
    return pl.concat(both, how="diagonal_relaxed")


def _corrections(fixed: pl.DataFrame, new: pl.DataFrame, at: datetime) -> pl.DataFrame:
    """What is missing from the closed entries to come to what they would be now; in each pool what it gains first."""
    was, now = (
        entries.group_by(WHAT.alias("what"), "pool", "charge", "booking").agg(pl.col("tokens").sum())
        for entries in (fixed, new)
    )
    both = was.join(now, on=_EFFECT, how="full", coalesce=True, nulls_equal=True, suffix="_now")
    nothing = pl.lit(0).cast(tables.TOKENS)
    change = pl.col("tokens_now").fill_null(nothing) - pl.col("tokens").fill_null(nothing)
    changes = both.with_columns(tokens=change).filter(pl.col("tokens") != 0)
    changes = changes.sort("pool", "tokens", "charge", "what", descending=[False, True, False, False])
    last = fixed.group_by("pool").agg(left=pl.col("balance_after").last())
    changes = changes.join(last, on="pool", how="left", nulls_equal=True, maintain_order="left")
    after = pl.col("left").fill_null(nothing) + pl.col("tokens").cum_sum().over("pool")
    return changes.with_columns(
        entry=pl.lit(0, pl.UInt64),
        at=pl.lit(at, tables.TIME),
        kind=pl.lit("correction"),
        corrects="what",
        balance_after=after,
        balance_before=after - pl.col("tokens"),
    )


def corrections_of(ledger: Ledger) -> pl.DataFrame:
    """The correction entries with what they are about and why, see `tables.CORRECTIONS`."""
    is_one = pl.col("kind") == "correction"
    found, others = ledger.entries.filter(is_one), ledger.entries.filter(~is_one)
    rows = found["charge"]
    known = [name for name in _CHARGE if name in ledger.charges.columns]
    about = ledger.charges.select(pl.col(name).gather(rows) for name in known)
    lacking = [pl.lit(None, tables.CORRECTIONS[name]).alias(name) for name in _CHARGE if name not in known]
    first = others.group_by("charge").agg(first=pl.col("at").min())
    whole = found.hstack(about).with_columns(lacking).join(first, on="charge", how="left", maintain_order="left")
    current = ledger.charges.height - ledger.withdrawn
    reason = (
        pl.when(pl.col("booking").is_not_null())
        .then(pl.lit("booking"))
        .when(pl.col("corrects").cast(pl.String) == "provision")
        .then(pl.lit("contract"))
        .when(pl.col("charge").is_null())
        .then(pl.lit("follows"))
        .when(pl.col("charge") >= current)
        .then(pl.lit("withdrawn"))
        .when(pl.col("first").is_null())
        .then(pl.lit("late"))
        .otherwise(pl.lit("changed"))
    )
    return tables.finish(whole.with_columns(reason=reason), tables.CORRECTIONS)
