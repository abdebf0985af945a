"""`Groups`: who belongs to which group and cost centre from when to when, joined when it is reported."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import polars as pl

from tokenflex import tables
from tokenflex.arrow import AnyTable, frame_of, refuses_clearly
from tokenflex.errors import ArgumentError
from tokenflex.problems import Problems, report
from tokenflex.reading.names import coded, decoded
from tokenflex.reading.periods import Periods, column_of, dated_rows, needed_times, read_rows, write_rows

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

WHAT: Final = "groups"


class Groups:
    """Who belongs to which group and cost centre, from when to when.

    Groups are joined to charges or sessions by the time of each row. So they work backwards: correct the table, join
    again, and last year's report is right.

    Args:
        memberships: A table with the columns of `tables.GROUPS`; `person` and `group` are enough. `valid_from` and
            `valid_to` are dates (from 00:00 UTC on) or instants, half-open; null is always. Where a person is in
            several groups at one time (a team, a site, a project), `dimension` says which of them a row is about.

    Raises:
        ArgumentError: Two memberships of one person in one dimension hold at one time; the message names both.
        MissingColumnError, ColumnTypeError, ColumnValueError: The table is wrong; `column` and `row` say where.

    Example:
        >>> import tokenflex as tf, polars as pl
        >>> from datetime import datetime, timezone
        >>> groups = tf.Groups(pl.DataFrame({
        ...     "person": ["ana", "ana"], "group": ["bridges", "roads"], "cost_centre": ["4100", "4200"],
        ...     "valid_from": [None, "2026-07-01"], "valid_to": ["2026-07-01", None],
        ... }))
        >>> charges = pl.DataFrame({
        ...     "user": ["ana", "ana"],
        ...     "charged_at": [datetime(2026, month, 15, tzinfo=timezone.utc) for month in (6, 7)],
        ... })
        >>> groups.join(charges).select("group", "cost_centre").rows()
        [('bridges', '4100'), ('roads', '4200')]
    """

    @refuses_clearly
    def __init__(self, memberships: AnyTable) -> None:
        self._rows = dated_rows(frame_of(memberships), tables.GROUPS, ("person", "group"), WHAT)
        keys = list(self._rows.select("dimension", "person").iter_rows())
        words = [f"{person!r} is in {group!r}" for person, group, *_ in self._rows.iter_rows()]
        self._periods = Periods(keys, self._rows, words=words, what=WHAT)

    @classmethod
    def read(cls, path: str | Path) -> Groups:
        """The groups of a `.csv` or `.parquet` file.

        Args:
            path: A file with the columns `person` and `group`, and if there are any `cost_centre`, `dimension`,
                `valid_from` and `valid_to` (ISO 8601). CSV may have commas, semicolons or tabs, and be UTF-8, UTF-16
                or Windows-1252.

        Raises:
            SourceNotFoundError: There is no such file.
            SourceError: The file cannot be read as a table.
        """
        return cls(read_rows(path, WHAT))

    def write(self, path: str | Path) -> None:
        """Writes the groups as CSV that `read` takes, a row each, fit for version control.

        Args:
            path: The file; it is replaced.

        Raises:
            SourceError: The file cannot be written.
        """
        write_rows(self._rows, path)

    @property
    def frame(self) -> pl.DataFrame:
        """The memberships as a table, see `tables.GROUPS`, in the order in which they were given."""
        return self._rows

    @property
    def dimensions(self) -> list[str | None]:
        """The ways of grouping, in order of first row; `None` is the one without a name."""
        return self._rows["dimension"].unique(maintain_order=True).to_list()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Groups) and self._rows.rows() == other._rows.rows()

    def __hash__(self) -> int:
        return hash(tuple(self._rows.rows()))

    def __repr__(self) -> str:
        persons, groups = (self._rows[name].n_unique() for name in ("person", "group"))
        return f"<Groups of {persons} persons in {groups} groups>"

    @refuses_clearly
    def join(
        self,
        table: AnyTable,
        *,
        column: str = "user",
        at: str | datetime | None = None,
        dimension: str | None = None,
        problems: Problems | None = None,
    ) -> pl.DataFrame:
        """Adds to each row the group and the cost centre that its person had at its time.

        Args:
            table: Any Arrow table: charges, sessions, events or your own. It is not changed. A LazyFrame is collected.
            column: Where the persons are; they have to be spelled as in the groups, see `Identity.apply`.
            at: The column whose time counts (an instant, or a date which begins at 00:00 UTC), or one instant for all
                rows, such as today's. Unless given the first that a row has of `start`, `charged_at`, `time` and
                `usage_date`.
            dimension: Which way of grouping, where the groups have several.
            problems: Collects, once for each person, how many rows have no group (`no_group`); without it, a
                `TokenflexWarning` tells of it.

        Returns:
            All rows and columns in their order, and at the end `group` and `cost_centre` (Categorical); under a
            dimension they are called `dimension` and `dimension_cost_centre` with its own name, so that several can be
            joined one after the other. Null where there is no group.

        Raises:
            ArgumentError: The table has these columns already; the dimension is not there, or not said.
            MissingColumnError: There is no such column, or no time though a membership has dates.
            ColumnTypeError: Names are no text, or times no instants.
        """
        self._refuse_dimension(dimension)
        frame = frame_of(table)
        added = ("group", "cost_centre") if dimension is None else (dimension, f"{dimension}_cost_centre")
        taken = [name for name in added if name in frame.columns]
        if taken:
            raise ArgumentError(f"the table has columns named {', '.join(taken)} already: rename them first")
        codes, names = coded(column_of(frame, column))
        times = needed_times(frame, at, WHAT) if self._periods.is_dated else None
        rows = self._periods.find([(dimension, name) for name in names], codes, times)
        report(_without_group(codes, names, rows), problems, "groups")
        columns = [
            decoded(name, self._rows[source].to_list(), rows)
            for name, source in zip(added, ("group", "cost_centre"), strict=True)
        ]
        return frame.with_columns(columns)

    def _refuse_dimension(self, dimension: str | None) -> None:
        known = self.dimensions
        if known and dimension not in known:
            named = ", ".join(repr(each) for each in known)
            raise ArgumentError(f"dimension={dimension!r} is none of the groups': {named}", location="dimension")


def _without_group(codes: pl.Series, names: list[str], rows: pl.Series) -> pl.DataFrame:
    """A problem for each person who has rows without a group."""
    lost = pl.DataFrame({"code": codes, "row": rows}).with_row_index("place")
    lost = lost.filter(pl.col("code").is_not_null(), pl.col("row").is_null())
    counted = lost.group_by("code", maintain_order=True).agg(pl.col("place").first(), count=pl.len())
    told = [
        ("groups", place, "no_group", f"{names[code]!r} has no group in {count} rows, the first of which is {place}")
        for code, place, count in counted.iter_rows()
    ]
    return pl.DataFrame(told, schema=dict(tables.PROBLEMS), orient="row")
