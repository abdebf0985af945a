"""What is booked by hand: the contract's own bookings, and the manual rows of a statement of the vendor."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import polars as pl

from tokenflex import tables
from tokenflex.arrow import AnyTable, columns_of, frame_of
from tokenflex.errors import ColumnTypeError, ColumnValueError, MissingColumnError
from tokenflex.reading.names import is_text

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import date

    from tokenflex.contract.contract import Contract
    from tokenflex.contract.ledger import Ledger
    from tokenflex.contract.terms import Booking

MANUAL: Final = {"MANUAL_CONSUMPTION": "manual_consumption", "MANUAL_ADJUSTMENT": "adjustment"}
"""The vendor's word for a manual row, and the kind of booking that it makes."""
SCALE: Final = 4
MOST: Final = tables.decimal(2**63 - 1)
"""Tokens of one row lie below it."""
_DATES: Final = ("transaction_date", "usage_date")
"""Where the day is looked for, in this order."""
_TEXTS: Final = ("usage_category", "token_pool", "reason_type", "reason_comment")
_PLACE: Final = ("file", "line")
"""Where a row of a statement comes from, if it says so."""
_READS: Final = ("tokens", *_DATES, *_TEXTS, *_PLACE)


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

    def __str__(self) -> str:
        return f"{self.kind} of {abs(self.tokens)} tokens on {self.day}"


class Problem(NamedTuple):
    """A row of `tables.PROBLEMS`."""

    source: str
    location: int
    code: str
    message: str


class Place(NamedTuple):
    """Where something stands that can be wrong."""

    source: str
    location: int

    def problem(self, *, code: str, message: str) -> Problem:
        """What is wrong there."""
        return Problem(*self, code, message)


class FromStatement(NamedTuple):
    """The manual rows of a statement that can be booked, where each stands, and what is wrong with the others."""

    bookings: list[Booked]
    places: list[Place]
    problems: list[Problem]


def of_contract(contract: Contract) -> Iterator[Booked]:
    """The contract's own bookings. It has been checked that their pools are open on their days."""
    for place, booking in enumerate(contract.bookings):
        pool = None if booking.pool is None else contract.pool(booking.pool, day=booking.day)
        name = None if pool is None else pool.id
        change = _change(booking)
        yield Booked("contract", place, booking.day, booking.kind, name, change, booking.reason, booking.team)


def _change(booking: Booking) -> Decimal:
    return booking.tokens if booking.kind == "adjustment" else -booking.tokens


def of_ledger(ledger: Ledger) -> Iterator[Booked]:
    """The bookings that a ledger took from a statement."""
    current = ledger.bookings.filter(pl.col("is_current") & (pl.col("source") == "statement")).drop("is_current")
    yield from (Booked(*row) for row in current.iter_rows())


def of_statement(contract: Contract, statement: AnyTable) -> FromStatement:
    """The manual rows of a statement."""
    own = {(each.day, each.kind, each.pool, each.tokens) for each in of_contract(contract)}
    found = FromStatement([], [], [])
    for row in _manual_rows(statement).iter_rows(named=True):
        place = Place(row["source"], row["location"])
        tokens = None if row["tokens"] is None else _exact(row["tokens"], row["row"])
        problem = _problem_of_row(row, tokens, place) or _problem_of_day(contract, row, place)
        if problem is not None:
            found.problems.append(problem)
        elif tokens is not None:
            booked = _booked(contract, row, tokens)
            found.bookings.append(booked)
            found.places.append(place)
            if (booked.day, booked.kind, booked.pool, booked.tokens) in own:
                said = f"{booked} is among the contract's bookings, too: both are booked"
                found.problems.append(place.problem(code="booked_twice", message=said))
    return found


def _manual_rows(statement: AnyTable) -> pl.DataFrame:
    frame = frame_of(columns_of(statement, _READS))
    for name in ("usage_category", "tokens"):
        if name not in frame.columns:
            raise MissingColumnError(
                f"column {name!r} is missing; a statement of tf.read_statement has it", column=name
            )
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
    missing = [pl.lit(None, pl.String).alias(name) for name in _TEXTS if name not in frame.columns]
    days = [pl.col(name).cast(pl.Date) for name in _DATES if name in frame.columns]
    rows = frame.with_row_index("row").with_columns(*text, *missing, *_places(frame), day=pl.coalesce(days))
    return rows.filter(pl.col("usage_category").is_in(list(MANUAL)))


def _places(frame: pl.DataFrame) -> list[pl.Expr]:
    if set(_PLACE) <= set(frame.columns) and frame.schema["line"].is_integer() and is_text(frame.schema["file"]):
        source, location = pl.col("file").cast(pl.String), pl.col("line").cast(pl.UInt64, strict=False)
        return [source.fill_null("statement").alias("source"), location.fill_null(pl.col("row")).alias("location")]
    return [pl.lit("statement").alias("source"), pl.col("row").alias("location")]


def _problem_of_row(row: dict[str, Any], tokens: Decimal | None, place: Place) -> Problem | None:
    if tokens is None:
        return place.problem(code="no_tokens", message="a manual row without tokens: not booked")
    if row["day"] is None:
        return place.problem(code="missing_time", message="a manual row without a date: not booked")
    if row["usage_category"] == "MANUAL_CONSUMPTION" and tokens < 0:
        said = f"manual consumption of {tokens} tokens: not booked"
        return place.problem(code="negative_tokens", message=said)
    return None


def _problem_of_day(contract: Contract, row: dict[str, Any], place: Place) -> Problem | None:
    day, name = row["day"], row["token_pool"]
    if not contract.start <= day <= contract.end:
        said = f"{day} lies outside of {contract.start} to {contract.end}: not booked"
        return place.problem(code="outside_term", message=said)
    pool = None if name is None else contract.pool(name, day=day)
    if name is not None and pool is None:
        said = f"the contract has no pool {name!r} on {day}: not booked"
        return place.problem(code="unknown_pool", message=said)
    at = contract.first_instant(day)
    if not any(each.opens <= at < each.closes for each in (contract.pools if pool is None else [pool])):
        said = f"{'no pool' if name is None else f'not the pool {name!r}'} is open on {day}: not booked"
        return place.problem(code="pool_not_open", message=said)
    return None


def _booked(contract: Contract, row: dict[str, Any], tokens: Decimal) -> Booked:
    pool = None if row["token_pool"] is None else contract.pool(row["token_pool"], day=row["day"])
    reason = ": ".join(row[name] for name in ("reason_type", "reason_comment") if row[name])
    name, kind = None if pool is None else pool.id, MANUAL[row["usage_category"]]
    # The vendor counts what is taken, the balance what is gained.
    return Booked("statement", row["row"], row["day"], kind, name, -tokens, reason, None)


def _exact(tokens: int | Decimal, row: int) -> Decimal:
    exact = Decimal(tokens)
    if abs(exact) >= MOST or exact != round(exact, SCALE):
        raise ColumnValueError(
            f"column 'tokens' holds {exact} in row {row} of the statement: tokens have at most four decimals, and are "
            "less than 922 million million",
            column="tokens",
            row=row,
        )
    return round(exact, SCALE)
