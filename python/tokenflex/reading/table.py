"""The verb `read_table`: sessions from any table, whatever its columns, times and zone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import polars as pl

from tokenflex import tables
from tokenflex.arrow import refuses_clearly
from tokenflex.errors import ArgumentError, ArgumentTypeError, ColumnTypeError, MissingColumnError, ZoneError
from tokenflex.problems import Problems, report
from tokenflex.reading.catalog import Catalog, unknown
from tokenflex.reading.dates import INSTANT, Times, bare, durations_of, times_of
from tokenflex.reading.files import Reading, Sheet, TableSource, queried, sheets_of
from tokenflex.reading.mapping import ColumnGuess, guess, mapped
from tokenflex.reading.zones import check_zones, instants

if TYPE_CHECKING:
    from collections.abc import Iterable

NAMES: Final = ("server", "user", "host", "feature", "product", "version")
ORDER: Final = (*NAMES, "start", "end", "licenses")


@dataclass
class _Rows:
    """The rows of all sheets of a source, with the problems found in them."""

    frame: pl.DataFrame
    sheets: list[Sheet]
    problems: list[pl.DataFrame] = field(default_factory=list)

    @property
    def is_excel(self) -> bool:
        return any(sheet.is_excel for sheet in self.sheets)

    def tell(self, rows: pl.Series, code: pl.Expr, message: pl.Expr, values: pl.Series | None = None) -> None:
        """Adds a problem for each row that is marked; `message` may use the row's value as `value`."""
        if not rows.any():
            return
        at = rows.arg_true()
        names = pl.concat([pl.repeat(sheet.name, sheet.frame.height, eager=True) for sheet in self.sheets])
        places = pl.concat([sheet.place().alias("place") for sheet in self.sheets])
        value = (pl.repeat(None, rows.len(), eager=True) if values is None else values).gather(at).cast(pl.String)
        frame = pl.DataFrame({"source": names.gather(at), "location": places.gather(at), "value": value})
        self.problems.append(frame.select("source", "location", code=code, message=message))


@refuses_clearly
def read_table(
    source: TableSource | Iterable[TableSource] | Any,  # noqa: ANN401 - or a connection of any database
    *,
    columns: Mapping[str, str | None] | None = None,
    timezone: str | Mapping[str, str] | None = None,
    date_format: str | None = None,
    duration_unit: str | None = None,
    catalog: Catalog | None = None,
    query: str | None = None,
    separator: str | None = None,
    encoding: str = "cp1252",
    sheet: str | None = None,
    problems: Problems | None = None,
) -> pl.DataFrame:
    """Reads sessions from any table that says who used what, from when to when: CSV, Excel, Parquet, SQL, any frame.

    Args:
        source: A file (CSV with any usual separator, gzip of one, Parquet, Excel), a folder of them, a glob pattern,
            bytes, a binary file object, a frame (polars, pyarrow, pandas, DuckDB, …), or several of these with the same
            columns. With `query` a connection of a database, or its URI.
        columns: Which column is which, a mapping from our names (`user`, `product`, `start`, `end`, `duration`,
            `server`, `host`, `feature`, `version`, `licenses`) to yours; `None` for one that is not to be taken. What
            it does not say is guessed as by `guess_columns`.
        timezone: IANA name of the zone that the times are local in, or a mapping from server to zone. Needed unless
            the times say their offset from UTC.
        date_format: How text says times, with strftime's signs as polars takes them. Unless given, ISO 8601 and other
            formats that the data decides are found. Numbers are times only where it is `epoch_s`, `epoch_ms`, or
            `excel` (which Excel files need not say).
        duration_unit: Unit of a duration where its header does not say it: `ms`, `s`, `min`, `h`; `h:mm` or `m:ss` for
            text of two numbers.
        catalog: What feature codes stand for, where there is no product; the shipped catalog unless given.
        query: SQL that selects the table.
        separator: Of a CSV; found in the header unless given.
        encoding: Code page of text that is not UTF-8. UTF-16 and byte order marks are recognised.
        sheet: Name of the sheet of an Excel file; the first unless given.
        problems: Collects rows and times that could not be taken as they are; without it, a `TokenflexWarning` tells
            of them.

    Returns:
        Sessions for `charge`: `user`, `product` and, where the table has them, `server`, `host`, `feature`, `version`
        (Categorical); `start`, `end` (Datetime in UTC, microseconds), a null `end` is a session that is still open;
        `licenses` (UInt32). All other columns follow unchanged, from a CSV as text; one that has a name of ours is
        called `…_original`. Rows whose times or durations cannot be read are left out and named in `problems`.

    Raises:
        SourceNotFoundError, SourceError: A file is not there, is no table, or changed while it was read.
        MissingColumnError: A column is missing or was not found; the message has the `columns=` to write.
        ArgumentError: Two columns could be one of ours; the data does not say how dates or durations are meant.
        ArgumentTypeError, ColumnTypeError: An argument or a column is of a type that cannot be taken.
        ZoneError: No zone, though the times are local; or no zone of that name.

    Example:
        >>> import tokenflex as tf
        >>> sessions = tf.read_table(
        ...     b'''Username;Workstation;Product line;Start time;End time;Project
        ... ana;pc1;ACD;13.07.2026 09:00;13.07.2026 17:30;P-7
        ... ''', timezone="Europe/Madrid")
        >>> row = sessions.row(0, named=True)
        >>> row["user"], row["start"].isoformat(), row["Project"]
        ('ana', '2026-07-13T07:00:00+00:00', 'P-7')
        >>> tf.charge(sessions, rule=tf.FLEX, rates=tf.Rates({"ACD": 7}))["tokens"].to_list()
        [Decimal('7.0000')]
    """
    if timezone is not None:
        check_zones(timezone)
    if catalog is not None and not isinstance(catalog, Catalog):
        raise ArgumentTypeError(
            f"catalog has to be a tokenflex.Catalog, not {type(catalog).__name__}", location="catalog"
        )
    rows = _rows(source, query, Reading(separator, encoding, sheet))
    chosen = mapped(columns, rows.frame)
    if isinstance(timezone, Mapping) and "server" not in chosen:
        raise MissingColumnError(
            "timezone is a mapping from server to zone, but no column was taken for 'server': say which, as in "
            "columns={'server': '…'}",
            column="server",
        )
    start, end, bad = _periods(rows, chosen, timezone, date_format, duration_unit)
    named = _named(rows, chosen, catalog)
    taken = pl.DataFrame([column for column in (*named, start, end, *_licenses(rows, chosen)) if column is not None])
    result = pl.concat(
        [taken.select([name for name in ORDER if name in taken.columns]), _others(rows, chosen)], how="horizontal"
    )
    report(pl.concat([tables.empty(tables.PROBLEMS), *rows.problems]), problems, "read_table")
    return result.filter(~bad) if bad.any() else result


@refuses_clearly
def guess_columns(
    source: TableSource | Iterable[TableSource] | Any,  # noqa: ANN401 - or a connection of any database
    *,
    query: str | None = None,
    separator: str | None = None,
    encoding: str = "cp1252",
    sheet: str | None = None,
) -> ColumnGuess:
    r"""Guesses which column of a table is which of ours, by names that license tools give them, and shows it.

    Case, accents, separators and units in brackets do not count. A column of our own name is taken before any other.

    Args:
        source: As for `read_table`.
        query: As for `read_table`.
        separator: As for `read_table`.
        encoding: As for `read_table`.
        sheet: As for `read_table`.

    Returns:
        The guess, to look at (`frame`) and to give to `read_table` as `columns=`.

    Raises:
        SourceNotFoundError, SourceError: As for `read_table`.

    Example:
        >>> import tokenflex as tf
        >>> tf.guess_columns(b"Login,Product,Start time,End time,Team\nana,ACD,2026-07-13 09:00,2026-07-13 17:30,A")
        <ColumnGuess of 5 columns>
          user     'Login'
          product  'Product'
          start    'Start time'
          end      'End time'
    """
    return guess(_rows(source, query, Reading(separator, encoding, sheet)).frame)


def _rows(source: Any, query: str | None, reading: Reading) -> _Rows:  # noqa: ANN401 - see `sheets_of`
    sheets = [queried(source, query)] if query is not None else sheets_of(source, reading)
    first = sheets[0]
    for other in sheets[1:]:
        if set(other.frame.columns) != set(first.frame.columns):
            differ = sorted(set(other.frame.columns) ^ set(first.frame.columns))
            raise ArgumentError(
                f"{other.name} has not the columns of {first.name}: they differ in {', '.join(map(repr, differ))}. "
                "Read them one by one, each with its columns=",
                location=other.name,
            )
    frames = [sheet.frame.select(first.frame.columns) for sheet in sheets]
    frame = frames[0] if len(frames) == 1 else pl.concat(frames, how="vertical_relaxed")
    return _Rows(frame, sheets, [sheet.problems for sheet in sheets if sheet.problems is not None])


def _periods(
    rows: _Rows,
    chosen: Mapping[str, str],
    timezone: str | Mapping[str, str] | None,
    date_format: str | None,
    duration_unit: str | None,
) -> tuple[pl.Series, pl.Series, pl.Series]:
    """Start and end of each row, and which rows have no readable ones."""
    names = [name for name in ("start", "end") if name in chosen]
    found = times_of([rows.frame[chosen[name]] for name in names], date_format, serial=rows.is_excel)
    bad = pl.repeat(value=False, n=rows.frame.height, eager=True)
    read = {}
    for name, times in zip(names, found, strict=True):
        column = rows.frame[chosen[name]]
        message = pl.format(f"{name} is {{}}, which is no time as the others are: left out", "value")
        rows.tell(times.bad, pl.lit("unreadable_time"), message, column)
        read[name] = _instants(rows, chosen, times, name, timezone)
        bad |= times.bad
        if isinstance(timezone, Mapping):
            bad |= times.local.is_not_null() & read[name].is_null()
    if "end" not in read:
        column = rows.frame[chosen["duration"]]
        lasting, wrong = durations_of(column, duration_unit)
        message = pl.format("the duration is {}, which is none: left out", "value")
        rows.tell(wrong, pl.lit("unreadable_duration"), message, column)
        bad |= wrong
        read["end"] = (read["start"] + lasting.cast(pl.Duration("us"))).cast(INSTANT)
    return read["start"].alias("start"), read["end"].alias("end"), bad


def _instants(
    rows: _Rows, chosen: Mapping[str, str], times: Times, name: str, timezone: str | Mapping[str, str] | None
) -> pl.Series:
    """The instants of a column, with a problem for each time at a change of the clock."""
    if times.local.null_count() == times.local.len():
        return times.instant
    if timezone is None:
        row = times.local.is_not_null().arg_max() or 0
        raise ZoneError(
            f"column {chosen[name]!r} has local times, such as {times.local[row]}, and no zone: give "
            "timezone= with an IANA name such as 'Europe/Madrid', or 'UTC'",
            column=chosen[name],
            location="timezone",
        )
    if isinstance(timezone, str):
        zones = {timezone: times.local}
    else:
        zones = _by_zone(rows, rows.frame[chosen["server"]], times.local, timezone)
    result = times.instant
    for zone, local in zones.items():
        found = instants(local, zone)
        result = (
            found.times
            if result.null_count() == result.len()
            else pl.select(pl.coalesce(result, found.times)).to_series()
        )
        for where, code, message in found.doubts(f"{name} {{}}", zone):
            rows.tell(where, pl.lit(code), pl.format(message, "value"), local)
    return result


def _by_zone(rows: _Rows, column: pl.Series, local: pl.Series, timezone: Mapping[str, str]) -> dict[str, pl.Series]:
    """For each zone the local times of its servers, null elsewhere."""
    servers = _name(column, "server").cast(pl.String)
    present = servers.drop_nulls().unique(maintain_order=True)
    without = [server for server in present if server not in timezone]
    if without:
        raise ZoneError(
            f"timezone has no zone for the servers {', '.join(map(repr, without))}: add them, as in "
            f"timezone={{{without[0]!r}: 'Europe/Madrid'}}",
            location="timezone",
        )
    rows.tell(
        servers.is_null() & local.is_not_null(),
        pl.lit("missing_server"),
        pl.lit("no server, so the zone of its times is not known: left out"),
    )
    zone = servers.replace_strict(dict(timezone), default=None, return_dtype=pl.String)
    return {
        name: pl.select(pl.when(zone == name).then(local)).to_series()
        for name in zone.drop_nulls().unique(maintain_order=True)
    }


def _named(rows: _Rows, chosen: Mapping[str, str], catalog: Catalog | None) -> list[pl.Series]:
    """The columns of names; a product that is not there comes from the feature."""
    named = {name: _name(rows.frame[chosen[name]], name) for name in NAMES if name in chosen}
    if "product" not in named:
        codes = named["feature"].cast(pl.String)
        found = (catalog or Catalog.default()).complete(codes.unique(maintain_order=True).drop_nulls())
        rows.problems.append(unknown(found))
        for name in ("product", "version"):
            if name not in named:
                known = codes.replace_strict(found["feature"], found[name], default=None, return_dtype=pl.String)
                named[name] = known.cast(tables.NAME).alias(name)
    return list(named.values())


def _name(column: pl.Series, name: str) -> pl.Series:
    """A column of names, without spaces around them; an empty one is null, which `charge` tells of."""
    if column.dtype.is_nested() or column.dtype in (pl.Object, pl.Binary):
        raise ColumnTypeError(
            f"column {column.name!r} is {column.dtype}, but has to be names for {name!r}", column=column.name
        )
    names = column.cast(tables.NAME) if column.dtype == pl.String else column
    distinct = names.unique().cast(pl.String)
    if not distinct.equals(bare(distinct), null_equal=True):
        names = bare(names.cast(pl.String))
    elif names.dtype not in (pl.Categorical, pl.Enum):
        names = names.cast(pl.String)
    return names.cast(tables.NAME).alias(name)


def _licenses(rows: _Rows, chosen: Mapping[str, str]) -> list[pl.Series]:
    if "licenses" not in chosen:
        return []
    column = rows.frame[chosen["licenses"]]
    text = bare(column) if column.dtype == pl.String else column
    count = text.cast(pl.UInt32, strict=False)
    message = pl.format("licenses is {}, which is no whole number: taken as unknown", "value")
    rows.tell(text.is_not_null() & count.is_null(), pl.lit("unreadable_number"), message, column)
    return [count.alias("licenses")]


def _others(rows: _Rows, chosen: Mapping[str, str]) -> pl.DataFrame:
    """The caller's other columns; one that has a name of ours is called otherwise."""
    taken = set(chosen.values())
    others = rows.frame.select([name for name in rows.frame.columns if name not in taken])
    names = {}
    for name in others.columns:
        if name in ORDER:
            other = f"{name}_original"
            while other in rows.frame.columns:
                other += "_"
            names[name] = other
    return others.rename(names)
