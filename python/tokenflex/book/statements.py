"""The vendor's statements in a book: each export once, and for each day the newest that says something of it."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import polars as pl

from tokenflex import tables
from tokenflex.content import digest
from tokenflex.errors import SourceError
from tokenflex.reading.statement.read import read_statement
from tokenflex.reading.statement.source import Place, places

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tokenflex.book.store import Connection
    from tokenflex.problems import Problems
    from tokenflex.reading.statement.source import StatementSource

DAY = pl.coalesce("usage_date", "transaction_date", "usage_month")
"""The day that a row is about; null where it says none."""


def add(
    connection: Connection,
    source: StatementSource | Iterable[StatementSource],
    options: dict[str, Any],
    *,
    beside: bool,
    problems: Problems,
) -> int | None:
    """Adds the exports that are new as one statement, and gives its number; None where none of them is.

    Args:
        connection: The book.
        source: As for `read_statement`.
        options: Of `read_statement`.
        beside: Whether what earlier statements say of the same days stays.
        problems: Collects those of `read_statement`.
    """
    known = {row[0] for row in connection.rows("SELECT digest FROM statement_files")}
    fresh: dict[str, Place] = {}
    before = {}
    for place in places(source):
        before[place.name] = place.stamp()
        fresh.setdefault(_digest(place), place)
    fresh = {of: place for of, place in fresh.items() if of not in known}
    if not fresh:
        return None
    number = int(connection.row("SELECT coalesce(max(statement), 0) + 1 FROM statement_files")[0])
    rows = read_statement([each.path or each.opened() for each in fresh.values()], problems=problems, **options)
    for place in fresh.values():
        if place.stamp() != before[place.name]:
            raise SourceError(f"{place.name} was written to while it was read: add it again", location=place.name)
    added = datetime.now(UTC)
    files = [(number, place.name, of, added) for of, place in fresh.items()]
    columns: dict[str, pl.DataType | type[pl.DataType]] = {
        "statement": pl.Int64,
        "file": pl.String,
        "digest": pl.String,
        "added_at": tables.TIME,
    }
    connection.add("statement_files", pl.DataFrame(files, schema=columns, orient="row"))
    plain = rows.with_columns(
        pl.col(pl.Categorical, pl.Enum).cast(pl.String), pl.col("custom").cast(_CUSTOM), day=DAY
    ).with_row_index("row")
    connection.add("kept_statement", plain.with_columns(statement=pl.lit(number), is_current=pl.lit(True)))  # noqa: FBT003 - a value
    if not beside:
        connection.run(_REPLACE, [number, number])
    told = problems.frame.with_columns(verb=pl.lit("read_statement"))
    connection.add("kept_problems", told)
    return number


_CUSTOM = pl.Struct({f"field_{number}": pl.String for number in range(1, 11)})

_REPLACE = """
UPDATE kept_statement SET is_current = false FROM (
    SELECT kind, team, min("day") AS first, max("day") AS last FROM kept_statement
    WHERE statement = ? AND "day" IS NOT NULL GROUP BY ALL
) newer
WHERE is_current AND statement < ? AND kept_statement.kind = newer.kind
    AND kept_statement.team IS NOT DISTINCT FROM newer.team AND "day" BETWEEN newer.first AND newer.last
"""
"""A statement says all that there is to say of its days, from the first to the last: of its kind, of its team."""


def _digest(place: Place) -> str:
    """The hash of an export, packed or not; a large one is not held in memory."""
    if place.path is None:
        return digest(place.data)
    try:
        with place.path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise SourceError(f"{place.name} cannot be read: {error}", location=place.name) from error
