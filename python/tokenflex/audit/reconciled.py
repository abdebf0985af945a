"""Two reconciliations as tables, from whatever library or file they come, in one form and of one level."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import polars as pl

from tokenflex import tables
from tokenflex.arrow import AnyTable, frame_of
from tokenflex.audit.reconcile import Reconciliation
from tokenflex.audit.sides import in_range
from tokenflex.errors import ArgumentError, ColumnTypeError, ColumnValueError, MissingColumnError
from tokenflex.reading.names import is_text

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tokenflex.problems import Problems

CORRECTING: Final = ("adjustment", "manual_entry")
"""Causes of lines by which the vendor gives tokens back, or adds what was missing."""

_LONGEST_SHIFT: Final = pl.duration(days=366)
_READ: Final[dict[str, pl.DataType]] = {
    "status": pl.String(),
    "cause": pl.String(),
    "user": pl.String(),
    "product": pl.String(),
    "server": pl.String(),
    "usage_date": pl.Date(),
    "charged_at": tables.TIME,
    "shift": pl.Duration("us"),
    "ours": tables.TOKENS,
    "vendors": tables.TOKENS,
    "charge": pl.UInt64(),
    "statement": pl.UInt64(),
}
_ORDER: Final = ("usage_date", "charged_at", "user", "product", "server", "status", "ours", "vendors", "cause", "shift")


def both_of(
    earlier: Reconciliation | AnyTable, later: Reconciliation | AnyTable, found: Problems
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The two in one form.

    Raises:
        ArgumentError: They are of different levels, or have nothing in common.
        MissingColumnError, ColumnTypeError, ColumnValueError: One is no reconciliation.
    """
    given = {"earlier": earlier, "later": later}
    then, now = (_in_form(table, name, found) for name, table in given.items())
    levels = [
        {table.level} if isinstance(table, Reconciliation) else _possible_levels(frame)
        for table, frame in zip(given.values(), (then, now), strict=True)
    ]
    if not levels[0] & levels[1]:
        told = [" or ".join(name for name in tables.RECONCILIATION_LEVELS if name in each) for each in levels]
        raise ArgumentError(
            f"the earlier reconciliation is by {told[0]}, the later by {told[1]}: reconcile both at one level",
            location="later",
        )
    _check_common(then, now)
    return _with_codes(then, now)


def _in_form(table: Reconciliation | AnyTable, name: str, found: Problems) -> pl.DataFrame:
    """The columns that are read, in an order that is the rows' own, with each side's instant and date.

    `row` is the row of the table given, `i` that of the order.
    """
    frame = frame_of(table.rows if isinstance(table, Reconciliation) else table)
    lacking = [column for column in _READ if column not in frame.columns]
    if lacking:
        raise MissingColumnError(
            f"column {lacking[0]!r} is missing from the {name} table: give what reconcile returns, or its `rows`",
            column=lacking[0],
            location=name,
        )
    for column, dtype in _READ.items():
        _check_type(name, column, frame.schema[column], dtype)
    causes = pl.col("cause").cast(pl.String).is_in(CORRECTING)
    # Of several causes the leading one may be another, such as that a manual row repeats another manual row.
    if "causes" in frame.columns and isinstance(frame.schema["causes"], pl.List):
        names = pl.col("causes").cast(pl.List(pl.String))
        causes |= names.list.contains("manual_entry")
    read = in_range(frame.select(list(_READ)).with_columns(pl.col("usage_date").cast(pl.Date)))
    read = read.select(pl.col(column).cast(dtype) for column, dtype in _READ.items())
    _check_values(read, name)
    found.add(_out_of_range(frame, read, name))
    rows = read.with_columns(frame.select(is_correcting=causes.fill_null(value=False)).to_series()).with_row_index(
        "row"
    )
    rows = rows.sort(*_ORDER, "charge", "statement", nulls_last=True, maintain_order=True).with_row_index("i")
    return _with_sides(rows)


def _check_type(name: str, column: str, is_: pl.DataType, wanted: pl.DataType) -> None:
    if wanted == pl.String():
        is_fine, told = is_text(is_), "text"
    elif wanted == tables.TOKENS:
        is_fine = is_.is_integer() or (isinstance(is_, pl.Decimal) and is_.scale <= 4)  # noqa: PLR2004 - scale of `tables.TOKENS`
        told = "exact: cast it to pl.Decimal(38, 4)"
    elif wanted == pl.UInt64():
        is_fine, told = is_.is_numeric() and not is_.is_decimal(), "whole numbers"
    elif wanted == tables.TIME:
        is_fine, told = isinstance(is_, pl.Datetime) and is_.time_zone is not None, "instants with a time zone"
    elif wanted == pl.Date():
        is_fine = is_ == pl.Date or (isinstance(is_, pl.Datetime) and is_.time_zone is None)
        told = "dates"
    else:
        is_fine, told = isinstance(is_, pl.Duration), "durations"
    if not is_fine and is_ != pl.Null:
        raise ColumnTypeError(
            f"column {column!r} of the {name} table is {is_}, but has to be {told}", column=column, location=name
        )


def _check_values(read: pl.DataFrame, name: str) -> None:
    known: dict[str, Iterable[str | None]] = {
        "status": tables.RECONCILIATION_STATUSES,
        "cause": (None, *tables.RECONCILIATION_CAUSES),
    }
    for column, values in known.items():
        strange = [value for value in read[column].unique().to_list() if value not in values]
        if strange:
            value = min(strange, key=str)
            row = read[column].eq_missing(pl.Series([value], dtype=pl.String)).arg_max()
            raise ColumnValueError(
                f"column {column!r} of the {name} table holds {value!r}, which reconcile never writes",
                column=column,
                row=row,
                location=name,
            )
    if read["vendors"].null_count():
        row = read["vendors"].is_null().arg_max()
        raise ColumnValueError(
            f"column 'vendors' of the {name} table is null in row {row}, where reconcile has 0",
            column="vendors",
            row=row,
            location=name,
        )


def _out_of_range(frame: pl.DataFrame, read: pl.DataFrame, name: str) -> pl.DataFrame:
    lost = pl.any_horizontal(
        frame[column].is_not_null() & read[column].is_null() for column in ("usage_date", "charged_at")
    )
    rows = pl.select(lost.alias("lost")).with_row_index("row").filter("lost")
    return rows.select(
        source=pl.lit(name),
        location=pl.col("row").cast(pl.UInt64),
        code=pl.lit("time_out_of_range"),
        message=pl.lit("a time before 1970 or from 2200 on: taken as unknown"),
    )


def _with_sides(rows: pl.DataFrame) -> pl.DataFrame:
    """Which sides a row has a line of, and when each of them fell due."""
    shift = pl.when(pl.col("shift").is_between(-_LONGEST_SHIFT, _LONGEST_SHIFT)).then("shift")
    rows = rows.with_columns(
        shift, has_ours=pl.col("charge").is_not_null(), has_vendors=pl.col("statement").is_not_null()
    )
    # A total of nothing has no row of charges, and still counts.
    rows = rows.with_columns(
        has_ours=pl.col("has_ours") | (pl.col("ours").ne_missing(0)),
        has_vendors=pl.col("has_vendors") | (pl.col("vendors") != 0),
    )
    at, date = pl.col("charged_at"), pl.col("usage_date")
    theirs = pl.when(pl.col("has_ours")).then(at + pl.col("shift")).otherwise(at)
    days = pl.coalesce((at + pl.col("shift")).dt.date() - at.dt.date(), pl.col("shift")).dt.total_days().fill_null(0)
    rows = rows.with_columns(
        is_adjustment=pl.col("cause").eq_missing("adjustment"),
        difference=pl.col("vendors") - pl.col("ours").fill_null(0),
        ours_at=at,
        ours_date=date,
        vendors_at=theirs,
        vendors_date=pl.when("has_ours").then(date + pl.duration(days=days)).otherwise(date),
    )
    # In no line stands what neither side has: the row is kept as one of ours.
    return rows.with_columns(has_ours=pl.col("has_ours") | ~pl.col("has_vendors"))


def _possible_levels(rows: pl.DataFrame) -> set[str]:
    """At which levels such a table can have been made, as far as it shows."""
    if rows["charged_at"].null_count() < rows.height:
        return {"session"}
    ours = rows.filter(pl.col("charge").is_not_null())
    if ours.is_empty():
        return set(tables.RECONCILIATION_LEVELS)
    # A contract year has no product, and a total of a month stands at its first day.
    if ours["product"].null_count():
        return {"month"}
    is_total = ours["user"].null_count() == ours.height and (ours["usage_date"].dt.day() == 1).all()
    return {"day", "month"} if is_total else {"day"}


def _check_common(then: pl.DataFrame, now: pl.DataFrame) -> None:
    for column, told in (("user", "nobody"), ("product", "no product")):
        first, second = (frame[column].drop_nulls().unique() for frame in (then, now))
        if not first.len() or not second.len():
            continue
        if not first.is_in(second.implode()).any():
            raise ArgumentError(
                f"{told} is in both reconciliations: the earlier has {first.sort()[0]!r}, …, the later "
                f"{second.sort()[0]!r}, …. Are they of one contract, and of one identity=?",
                location="later",
            )


def _with_codes(then: pl.DataFrame, now: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """A number for each person's product, the same in both."""
    names = ("user", "product")
    known = pl.concat([frame.select(names) for frame in (then, now)]).unique(maintain_order=True).with_row_index("who")
    first, second = (
        frame.join(known, on=names, how="left", nulls_equal=True, maintain_order="left") for frame in (then, now)
    )
    return first, second
