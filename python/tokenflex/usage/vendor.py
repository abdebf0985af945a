"""The verb `sessions_from`: the sessions that a statement of the vendor tells of."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import polars as pl

from tokenflex import tables
from tokenflex.arrow import AnyTable, columns_of, refuses_clearly
from tokenflex.errors import ColumnTypeError, MissingColumnError
from tokenflex.problems import Problems, report
from tokenflex.reading.catalog import product_line
from tokenflex.reading.names import is_text

if TYPE_CHECKING:
    from collections.abc import Collection

_NEEDED: Final = ("user", "start", "end")
_PRODUCT: Final = ("product", "feature", "product_name")
"""Where the product line is looked for, in this order."""
_TEXT: Final = ("user", "host", "server", *_PRODUCT)
"""Columns that have to be text."""
_CARRIED: Final = {"vendor_category": "category", "vendor_tokens": "tokens"}
_READS: Final = (
    "kind",
    "usage_category",
    *_PRODUCT,
    *_CARRIED.values(),
    *(name for name in tables.STATEMENT_SESSIONS if name not in {*_CARRIED, *_PRODUCT}),
)
_ROW: Final = "row"


@refuses_clearly
def sessions_from(statement: AnyTable, *, problems: Problems | None = None) -> pl.DataFrame:
    """The sessions of a statement, so that its charges can be computed anew without any log of a server.

    Rows without times are no sessions: daily aggregates, Flex exports, manual rows and most use of the cloud. They are
    told of in `problems`, one row for each kind of them.

    Args:
        statement: A table of `tables.STATEMENT`, such as `read_statement` gives; any Arrow table with `user`, `start`,
            `end` (instants) and one of `product`, `feature` and `product_name` will do.
        problems: Collects which rows are no sessions, and why; without it, a `TokenflexWarning` tells of it.

    Returns:
        The sessions, see `tables.STATEMENT_SESSIONS`, in the order of the statement. What the vendor says of each is
        kept as `vendor_category` and `vendor_tokens`. A row without an end is kept: it is in use until the `as_of` of
        `charge`.

    Raises:
        MissingColumnError: A column that is needed is not there.
        ColumnTypeError: `start` or `end` are no instants, or names no text.
        TableTypeError: The object is no table.

    Example:
        >>> import tokenflex as tf
        >>> statement = tf.read_statement(
        ...     b'''usageDate,productLineCode,userName,sessionStartDate,sessionEndDate,tokensConsumed
        ... 2018-03-01,ACD,ana,2018-03-01T16:24:53,2018-03-01T17:00:00,7
        ... ''', timezone="America/Los_Angeles")
        >>> sessions = tf.sessions_from(statement)
        >>> tf.charge(sessions, rule=tf.FLEX, rates=tf.Rates({"ACD": 7}))["tokens"].sum()
        Decimal('7.0000')
    """
    table = columns_of(statement, _READS)
    frame = table if isinstance(table, pl.DataFrame) else pl.DataFrame(columns_of(table, None))
    _check(frame)
    # Columns of nothing may be of any type.
    frame = frame.with_columns(
        pl.lit(None, tables.TIME).alias(name) for name in ("start", "end") if frame[name].null_count() == frame.height
    ).with_row_index(_ROW)
    where = _sources(frame)
    has_times = frame["start"].is_not_null()
    without = frame.filter(~has_times)
    frame = frame.filter(has_times)
    backwards = frame.filter(pl.col("end") < pl.col("start"))
    endless = frame.filter(pl.col("end").is_null())
    found = [
        _without_times(without),
        _each(backwards, where, code="end_before_start", message="the end comes before the start: no session"),
        _each(endless, where, code="missing_end", message="a start without an end: in use until `as_of`"),
    ]
    report(pl.concat(found), problems, "sessions_from")
    return _sessions(frame.filter((pl.col("end") >= pl.col("start")).fill_null(value=True)))


def _check(frame: pl.DataFrame) -> None:
    for name in _NEEDED:
        if name not in frame.columns:
            raise MissingColumnError(
                f"column {name!r} is missing; a statement with sessions has user, start, end and a product", column=name
            )
    if not any(name in frame.columns for name in _PRODUCT):
        raise MissingColumnError(f"one of the columns {', '.join(_PRODUCT)} is needed", column="product")
    for name in _TEXT:
        if name in frame.columns and not is_text(frame.schema[name]):
            raise ColumnTypeError(f"column {name!r} is {frame.schema[name]}, but has to be text", column=name)
    for name in ("start", "end"):
        dtype = frame.schema[name]
        is_empty = frame[name].null_count() == frame.height
        if not is_empty and not (isinstance(dtype, pl.Datetime) and dtype.time_zone is not None):
            raise ColumnTypeError(
                f"column {name!r} is {dtype}, but has to be instants: say which zone its times are in, in polars by "
                '.dt.replace_time_zone("…")',
                column=name,
            )


def _sources(frame: pl.DataFrame) -> list[pl.Expr]:
    """Where a row stands: its file and line, or the table and its row."""
    if {"file", "line"} <= set(frame.columns):
        return [pl.col("file").cast(pl.String).alias("source"), pl.col("line").cast(pl.UInt64).alias("location")]
    return [pl.lit("statement").alias("source"), pl.col(_ROW).cast(pl.UInt64).alias("location")]


def _without_times(frame: pl.DataFrame) -> pl.DataFrame:
    if frame.is_empty():
        return tables.empty(tables.PROBLEMS)
    parts = [
        pl.col(name).cast(pl.String) if name in frame.columns else pl.lit(None, pl.String).alias(name)
        for name in ("kind", "usage_category")
    ]
    counted = frame.select(*parts).group_by("kind", "usage_category", maintain_order=True).len()
    what = pl.concat_str(pl.col("kind").fill_null("rows"), pl.col("usage_category"), separator=" ", ignore_nulls=True)
    return counted.select(
        source=pl.lit("statement"),
        location=pl.lit(None, pl.UInt64),
        code=pl.lit("no_times"),
        message=pl.format("{} rows of {} have no times and are no sessions", "len", what),
    )


def _each(frame: pl.DataFrame, where: list[pl.Expr], *, code: str, message: str) -> pl.DataFrame:
    return frame.select(*where, code=pl.lit(code), message=pl.lit(message))


def product_of(columns: Collection[str]) -> pl.Expr:
    """The product line of a row of a statement, of what the statement has: line, feature code or name."""
    lines = {
        "product": pl.col("product").cast(pl.String),
        "feature": product_line("feature"),
        "product_name": pl.col("product_name").cast(pl.String),
    }
    return pl.coalesce(lines[name] for name in _PRODUCT if name in columns)


def _sessions(frame: pl.DataFrame) -> pl.DataFrame:
    texts = [name for name in _TEXT if name in frame.columns and frame.schema[name] != tables.NAME]
    frame = frame.with_columns(pl.col(name).cast(pl.String) for name in texts)
    columns = {}
    for name, dtype in tables.STATEMENT_SESSIONS.items():
        given = _CARRIED.get(name, name)
        if name == "product":
            is_known = "product" in frame.columns and frame["product"].null_count() == 0
            columns[name] = (pl.col("product") if is_known else product_of(frame.columns)).cast(dtype)
        elif given in frame.columns:
            columns[name] = pl.col(given).cast(dtype)
        else:
            columns[name] = pl.lit(None, dtype)
    return frame.select(**columns)
