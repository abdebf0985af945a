"""The ledger of a book: its charges drawn from the contract, with what was closed as it was closed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import polars as pl

from tokenflex import tables
from tokenflex.book.contents import charges_of, end_of, statement_of
from tokenflex.contract.closing import is_before, open_from
from tokenflex.contract.contract import Contract
from tokenflex.contract.ledger import Ledger
from tokenflex.problems import Problems

if TYPE_CHECKING:
    from tokenflex.book.store import Connection
    from tokenflex.book.terms import Terms

_ABOUT: Final = ("user", "product", "server")
"""What an entry in the book says of its charge, so that SQL needs no more."""
_CHARGE: Final = [name for name in tables.CHARGES if name != "session"]


def settle(connection: Connection, terms: Terms) -> None:
    """Settles all charges of a book that has a contract. What is closed stays."""
    if terms.contract is None or terms.rule is None:
        return
    problems = Problems()
    before = _closed_part(connection)
    as_of = end_of(connection)
    settled = connection.row("SELECT as_of FROM ledger_state")
    if settled is not None:
        as_of = settled[0] if as_of is None else max(as_of, settled[0])
    ledger = terms.contract.settle(
        charges_of(connection, terms.rule.rule_id),
        statement=statement_of(connection),
        as_of=as_of,
        after=before,
        problems=problems,
    )
    keep(connection, ledger)
    connection.run("DELETE FROM kept_problems WHERE verb = 'settle'")
    connection.add("kept_problems", problems.frame.with_columns(verb=pl.lit("settle")))


def ledger_of(connection: Connection, terms: Terms) -> Ledger | None:
    """The ledger as it is kept; None before charges were settled."""
    row = connection.row("SELECT contract, as_of, closed, withdrawn FROM ledger_state")
    if row is None or terms.rule is None:
        return None
    charges = charges_of(connection, terms.rule.rule_id)
    if row[3]:
        gone = _closed_charges(connection).filter(pl.col("charge") >= charges.height).drop("charge")
        # The rule may have been another then.
        charges = pl.concat([charges.with_columns(pl.col("rule_id").cast(pl.String)), gone], how="diagonal_relaxed")
    return _made(connection, charges, _entries(connection))


def _made(connection: Connection, charges: pl.DataFrame, entries: pl.DataFrame) -> Ledger:
    contract, as_of, closed, withdrawn = connection.row("SELECT contract, as_of, closed, withdrawn FROM ledger_state")
    bookings = connection.frame("SELECT * EXCLUDE (n) FROM kept_bookings ORDER BY n")
    return Ledger(
        contract=Contract.from_toml(contract),
        entries=tables.finish(entries, tables.LEDGER),
        charges=charges,
        bookings=tables.finish(bookings, tables.BOOKINGS),
        as_of=as_of,
        closed=closed,
        withdrawn=withdrawn,
    )


def _closed_part(connection: Connection) -> Ledger | None:
    """The ledger as far as it is closed, with the charges of its entries as they were then."""
    row = connection.row("SELECT closed FROM ledger_state")
    if row is None or row[0] is None:
        return None
    charges = _closed_charges(connection)
    entries = _entries(connection)
    rows = charges.select("charge").with_row_index("row")
    entries = entries.join(rows, on="charge", how="left", maintain_order="left").with_columns(charge="row").drop("row")
    return _made(connection, charges.drop("charge"), entries)


def _entries(connection: Connection) -> pl.DataFrame:
    return connection.frame("SELECT * FROM kept_entries ORDER BY entry")


def _closed_charges(connection: Connection) -> pl.DataFrame:
    """The charges of closed entries; `charge` is their row in the ledger's charges."""
    return connection.frame("SELECT * FROM closed_charges ORDER BY charge")


def keep(connection: Connection, ledger: Ledger) -> None:
    """Keeps a ledger. Only what differs is written."""
    about = ledger.charges.select(pl.col(name).cast(pl.String).gather(ledger.entries["charge"]) for name in _ABOUT)
    entries = ledger.entries.with_columns(pl.col("entry", "charge", "booking").cast(pl.Int64))
    _write_rest(connection, "kept_entries", "entry", entries.hstack(about))
    bookings = ledger.bookings.with_columns(pl.col("location").cast(pl.Int64), n=pl.int_range(pl.len()))
    _write_rest(connection, "kept_bookings", "n", bookings)
    cut, charges = open_from(ledger), pl.Series("charge", [], pl.UInt64)
    if cut is not None:
        charges = ledger.entries.filter(is_before(cut))["charge"].drop_nulls().unique().sort()
    closed = ledger.charges.select(pl.col(_CHARGE).gather(charges)).with_columns(charge=charges.cast(pl.Int64))
    _write_rest(connection, "closed_charges", "charge", closed)
    connection.run("DELETE FROM ledger_state")
    connection.run(
        "INSERT INTO ledger_state VALUES (?, ?, ?, ?)",
        [ledger.contract.to_toml(), ledger.as_of, ledger.closed, ledger.withdrawn],
    )


def _write_rest(connection: Connection, table: str, key: str, rows: pl.DataFrame) -> None:
    """Writes rows, in order of a key, from the first one on that is not there already."""
    was = connection.frame(f"SELECT * FROM {table} ORDER BY {key}")  # noqa: S608 - our names
    now = rows.with_columns(pl.col(pl.Categorical, pl.Enum).cast(pl.String)).select(was.columns)
    both = min(was.height, now.height)
    differs = pl.any_horizontal(pl.col(name).ne_missing(pl.col(f"{name}_was")) for name in was.columns)
    pairs = now.head(both).hstack(was.head(both).rename(lambda name: f"{name}_was"))
    same = next(iter(pairs.select(differs.arg_true()).to_series()), both)
    if same < was.height:
        connection.run(f"DELETE FROM {table} WHERE {key} >= ?", [was[key][same]])  # noqa: S608 - our names
    connection.add(table, now.slice(same))
