"""Settling: charges and bookings drawn from the pools of a contract, in order of time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import polars as pl

from tokenflex import _core, tables
from tokenflex.arrow import AnyTable, coded_columns_of, frame_of, refuses_clearly
from tokenflex.contract.bookings import Booked, Place, Problem, of_contract, of_ledger, of_statement
from tokenflex.contract.closing import carried_on
from tokenflex.contract.days import first_instants
from tokenflex.contract.ledger import Ledger
from tokenflex.errors import ArgumentError, ArgumentTypeError
from tokenflex.problems import Problems, report
from tokenflex.times import EPOCH, MICROSECOND, instant_in_data, microseconds

if TYPE_CHECKING:
    from datetime import datetime

    from tokenflex.contract.contract import Contract

_READS: Final = ("charged_at", "tokens")
_MESSAGES: Final = {
    "missing_time": "no instant: not drawn",
    "no_tokens": "no tokens, as of a product without a rate: not drawn",
    "negative_tokens": "less than no tokens: not drawn; what is given back is a booking of the contract",
    "outside_term": "before the first pool of the contract opens, or when all have closed: not drawn",
    "not_covered": "a product that the contract does not cover, or none: not drawn",
}


@refuses_clearly
def settle(
    contract: Contract,
    charges: AnyTable,
    *,
    statement: AnyTable | None = None,
    as_of: datetime | None = None,
    after: Ledger | None = None,
    problems: Problems | None = None,
) -> Ledger:
    """What `Contract.settle` does."""
    _check_after(contract, as_of, after)
    until = None if as_of is None else instant_in_data(as_of, "as_of")
    found = Problems()
    booked, told = list(of_contract(contract)), []
    places = [Place("bookings", each.location) for each in booked]
    if statement is not None:
        stated = of_statement(contract, statement)
        booked += stated.bookings
        places += stated.places
        told += stated.problems
    elif after is not None:
        kept = list(of_ledger(after))
        booked += kept
        places += [Place("statement", each.location) for each in kept]
    reads = _READS if contract.products is None else (*_READS, "product")
    given = frame_of(charges)
    table, faults, refused, last = _core.settle(
        *coded_columns_of(given, reads), terms=_terms(contract, booked, until, after)
    )
    found.add(_bad_rows(pl.DataFrame(faults)))
    told += [_refusal(booked[number], places[number]) for number in refused]
    found.add(pl.DataFrame(told, schema=dict(tables.PROBLEMS), orient="row"))
    report(found.frame, problems, "settle")
    entries = pl.DataFrame(table)
    numbers = pl.int_range(1, entries.height + 1, dtype=pl.UInt64, eager=True)
    entries = tables.finish(entries.with_columns(entry=numbers, corrects=pl.lit(None, pl.UInt8)), tables.LEDGER)
    bookings = pl.DataFrame([(*each, True) for each in booked], schema=dict(tables.BOOKINGS), orient="row")
    fresh = Ledger(
        contract=contract, entries=entries, charges=given, bookings=bookings, as_of=EPOCH + last * MICROSECOND
    )
    return fresh if after is None else carried_on(after, fresh)


def _check_after(contract: Contract, as_of: datetime | None, after: object) -> None:
    if after is None:
        return
    if not isinstance(after, Ledger):
        raise ArgumentTypeError(f"after has to be a tokenflex.Ledger, not {type(after).__name__}", location="after")
    if after.contract.zone != contract.zone:
        raise ArgumentError(
            f"after is of a contract in {after.contract.zone}, and this one is in {contract.zone}: its days are others",
            location="after",
        )
    if as_of is not None and microseconds(as_of, "as_of") < microseconds(after.as_of, "as_of"):
        raise ArgumentError(
            f"as_of={as_of} lies before the end of the ledger, {after.as_of.isoformat()}: a ledger only goes on",
            location="as_of",
        )


def _refusal(booked: Booked, place: Place) -> Problem:
    return place.problem(code="beyond_balance", message=f"{booked} is more than there is: refused")


def _terms(contract: Contract, booked: list[Booked], as_of: int | None, after: Ledger | None) -> _core.LedgerTerms:
    places = {pool.id: place for place, pool in enumerate(contract.pools)}
    opens = [microseconds(pool.opens, "opens") for pool in contract.pools]
    pools = [
        (
            pool.id,
            opened,
            microseconds(pool.closes, "closes"),
            tables.units(pool.tokens),
            None if pool.carries_to is None else places[pool.carries_to],
        )
        for pool, opened in zip(contract.pools, opens, strict=True)
    ]
    days = {
        day: microseconds(instant, "day")
        for day, instant in first_instants((each.day for each in booked), contract.zone).items()
    }
    bookings = [
        (days[each.day], each.kind, tables.units(each.tokens), None if each.pool is None else places[each.pool])
        for each in booked
    ]
    # A pack is a fact once it is bought; later years are a plan.
    known = opens if contract.packs else [min(opens)]
    if after is not None:
        known = [*known, microseconds(after.as_of, "as_of")]
    return {
        "pools": pools,
        "bookings": bookings,
        "on_empty": contract.on_empty,
        "products": None if contract.products is None else sorted(contract.products),
        "as_of": as_of,
        "at_least": max([*known, *days.values()]),
    }


def _bad_rows(faults: pl.DataFrame) -> pl.DataFrame:
    code = pl.col("code").cast(pl.String)
    return faults.select(
        source=pl.lit("charges"),
        location="location",
        code=code,
        message=code.replace_strict(_MESSAGES, return_dtype=pl.String),
    )
