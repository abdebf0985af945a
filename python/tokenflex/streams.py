"""Tables that come in parts: a LazyFrame of them, and several that are in order as one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl
from polars.io.plugins import register_io_source

from tokenflex.errors import ArgumentError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from typing import Any

    from tokenflex.tables import Schema


def lazy(parts: Callable[[], Iterator[pl.DataFrame]], schema: Schema, verb: str) -> pl.LazyFrame:
    """A LazyFrame of the parts of a table, which are computed anew whenever it is read."""

    def read(
        columns: list[str] | None, predicate: pl.Expr | None, rows: int | None, _size: int | None
    ) -> Iterator[pl.DataFrame]:
        for part in parts():
            found = part if predicate is None else part.filter(predicate)
            found = found if columns is None else found.select(columns)
            if rows is not None:
                found, rows = found.head(rows), rows - min(rows, found.height)
            yield found
            if rows == 0:
                return

    return register_io_source(read, schema=dict(schema), explain_name=f"tokenflex.{verb}")


def folder_of(scratch: str | Path | None) -> Path | None:
    """The folder for what does not fit into memory; None for the system's.

    Raises:
        ArgumentError: There is none of that name.
    """
    where = None if scratch is None else Path(scratch)
    if where is not None and not where.is_dir():
        raise ArgumentError(f"scratch is {where}, which is no folder", location="scratch")
    return where


class _Run:
    """A table in order, a part at a time."""

    def __init__(self, parts: Iterator[pl.DataFrame], by: str) -> None:
        self._parts = parts
        self._by = by
        self.held: pl.DataFrame | None = None
        self.has_more = True
        self.read()

    def read(self) -> None:
        """Reads the next rows behind those that are held."""
        for part in self._parts:
            if not part.is_empty():
                self.held = part if self.held is None else pl.concat([self.held, part])
                return
        self.has_more = False

    @property
    def end(self) -> Any:  # noqa: ANN401 - whatever they are in order of
        """The last value that is held; what is not read yet comes no earlier."""
        return None if self.held is None else self.held[self._by][-1]

    def before(self, end: Any) -> pl.DataFrame | None:  # noqa: ANN401 - as `end`
        """Gives up what comes before a value."""
        if self.held is None:
            return None
        count = int(self.held[self._by].search_sorted(end, side="left"))
        given, self.held = self.held.head(count), self.held.slice(count)
        return given


def merged(tables: Sequence[Iterator[pl.DataFrame]], order: Sequence[str]) -> Iterator[pl.DataFrame]:
    """Tables that come part by part, each in order, as one; of each a part is held, and rows of one first value."""
    runs = [_Run(parts, order[0]) for parts in tables]
    while unread := [run for run in runs if run.has_more]:
        until = min(run.end for run in unread)
        parts = [part for run in runs if (part := run.before(until)) is not None]
        yield pl.concat(parts).sort(order)
        for run in unread:
            if run.end == until:
                run.read()
    rest = [run.held for run in runs if run.held is not None]
    if rest:
        yield pl.concat(rest).sort(order)
