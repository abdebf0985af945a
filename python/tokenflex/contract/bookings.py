"""What is booked by hand: the contract's own bookings, and the manual rows of a statement of the vendor."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import polars as pl

from tokenflex import tables
from tokenflex.arrow import AnyTable, columns_of, frame_of
from tokenflex.errors import ColumnTypeError, ColumnValueError, MissingColumnError
from tokenflex.reading.names import is_text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tokenflex.contract.contract import Contract
    from tokenflex.contract.terms import Booking, Pool

MANUAL: Final = {"MANUAL_CONSUMPTION": "manual_consumption", "MANUAL_ADJUSTMENT": "adjustment"}
"""The vendor's word for a manual row, and the kind of booking that it makes."""
_DATES: Final = ("transaction_date", "usage_date")
"""Where the day is looked for, in this order."""
_TEXTS: Final = ("usage_category", "token_pool", "reason_type", "reason_comment")
_READS: Final = ("usage_category", "tokens", *_DATES, *_TEXTS[1:])


class Booked(NamedTuple):
    """A row of `tables.BOOKINGS`."""

    source: str
    location: int
    day: date
    kind: str
    pool: str | None
    tokens: Decimal
    reason: str
    team: str | None


Tell = "Callable[[int | None, str, str], None]"


def of_contract(contract: Contract) -> Iterator[Booked]:
    """The contract's own bookings. It has been checked that their pools are open on their days."""
    for place, booking in enumerate(contract.bookings):
        pool = None if booking.pool is None else contract.pool(booking.pool, day=booking.day)
        name = None if pool is None else pool.id
        change = _change(booking)
        yield Booked("contract", place, booking.day, booking.kind, name, change, booking.reason, booking.team)


def _change(booking: Booking) -> Decimal:
    return booking.tokens if booking.kind == "adjustment" else -booking.tokens


def of_statement(contract: Contract, statement: AnyTable, tell: Callable[..., None]) -> Iterator[Booked]:
    """The manual rows of a statement; those that cannot be booked are told of."""
    rows = _manual_rows(statement)
    own = {(booked.day, booked.kind, booked.pool, booked.tokens) for booked in of_contract(contract)}
    for row in rows.iter_rows(named=True):
        booked = _booked(contract, row, tell)
        if booked is None:
            continue
        if (booked.day, booked.kind, booked.pool, booked.tokens) in own:
            tell(
                booked.location,
                code="booked_twice",
                message=f"the contract has a booking of {booked.tokens} tokens on {booked.day} already: both are booked",
            )
        yield booked


def _manual_rows(statement: AnyTable) -> pl.DataFrame:
    frame = frame_of(columns_of(statement, _READS))
    for name in ("usage_category", "tokens"):
        if name not in frame.columns:
            raise MissingColumnError(f"column {name!r} is missing; a statement of tf.read_statement has it", column=name)
    if not any(name in frame.columns for name in _DATES):
        raise MissingColumnError("one of the columns transaction_date and usage_date is needed", column=_DATES[0])
    for name in _TEXTS:
        if name in frame.columns and not is_text(frame.schema[name]):
            raise ColumnTypeError(f"column {name!r} is {frame.schema[name]}, but has to be text", column=name)
    for name in _DATES:
        if name in frame.columns and frame.schema[name] not in (pl.Date, pl.Null):
            raise ColumnTypeError(f"column {name!r} is {frame.schema[name]}, but has to be dates", column=name)
    tokens = frame.schema["tokens"]
    if not (tokens.is_integer() or tokens.is_decimal() or tokens == pl.Null):
        raise ColumnTypeError(
            f"column 'tokens' is {tokens}, but has to be exact: cast it to pl.Decimal(38, 4)", column="tokens"
        )
    text = [pl.col(name).cast(pl.String) for name in _TEXTS if name in frame.columns]
    rows = frame.with_row_index("row").with_columns(text)
    missing = [pl.lit(None, pl.String).alias(name) for name in _TEXTS if name not in frame.columns]
    days = [pl.col(name).cast(pl.Date) for name in _DATES if name in frame.columns]
    return rows.filter(pl.col("usage_category").is_in(list(MANUAL))).with_columns(*missing, day=pl.coalesce(days))


def _booked(contract: Contract, row: dict[str, Any], tell: Callable[..., None]) -> Booked | None:
    place, day, kind = row["row"], row["day"], MANUAL[row["usage_category"]]
    if row["tokens"] is None:
        return tell(place, code="no_tokens", message="a manual row without tokens: not booked")
    if day is None:
        return tell(place, code="missing_time", message="a manual row without a date: not booked")
    tokens = _exact(row["tokens"], place)
    if kind == "manual_consumption" and tokens < 0:
        return tell(place, code="negative_tokens", message=f"manual consumption of {tokens} tokens: not booked")
    if not contract.start <= day <= contract.end:
        return tell(
            place, code="outside_term", message=f"{day} lies outside of {contract.start} to {contract.end}: not booked"
        )
    name = row["token_pool"]
    pool = None if name is None else contract.pool(name, day=day)
    if name is not None and pool is None:
        return tell(place, code="unknown_pool", message=f"the contract has no pool {name!r} on {day}: not booked")
    if not _is_open(contract, pool, day):
        which = "no pool" if pool is None else f"the pool {pool.id!r} not"
        return tell(place, code="pool_not_open", message=f"on {day} {which} is open: not booked")
    # The vendor counts what is taken, the balance what is gained.
    name = None if pool is None else pool.id
    return Booked("statement", place, day, kind, name, -tokens, _reason(row), None)


def _exact(tokens: int | Decimal, row: int) -> Decimal:
    exact = Decimal(tokens)
    if exact != round(exact, tables.TOKENS.scale) or abs(exact) >= MOST:
        raise ColumnValueError(
            f"column 'tokens' holds {exact} in row {row} of the statement: tokens have at most four decimals, and are "
            "less than 922 million million",
            column="tokens",
            row=row,
        )
    return round(exact, tables.TOKENS.scale)


MOST: Final = tables.decimal(2**63 - 1)


def _is_open(contract: Contract, pool: Pool | None, day: date) -> bool:
    at = contract.first_instant(day)
    return any(each.opens <= at < each.closes for each in (contract.pools if pool is None else [pool]))


def _reason(row: dict[str, Any]) -> str:
    return ": ".join(row[name] for name in ("reason_type", "reason_comment") if row[name])
