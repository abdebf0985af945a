"""From rows of two sides and what holds of each to the table of `reconcile`: status, leading cause, words, order."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import polars as pl

from tokenflex import tables
from tokenflex.audit.causes import WORDS

if TYPE_CHECKING:
    from decimal import Decimal

FEATURES: Final = tuple(name for name in tables.RECONCILIATION_CAUSES if name != "unexplained")
"""The causes of which rows have a column that says whether they hold."""
_SAID: Final = ("rate", "other_rule", "minimum_duration")
"""Causes of which rows say more in `said`."""
_ORDER: Final = (
    "usage_date", "charged_at", "user", "product", "server", "status", "ours", "vendors", "charge", "statement",
)  # fmt: skip


def table_of(rows: pl.DataFrame, allowed: Decimal, *, agreed: pl.DataFrame | None = None) -> pl.DataFrame:
    """The table of the verb: rows with the causes that hold of them, and those of which it is known that they agree."""
    parts = [_judged(rows, allowed)]
    if agreed is not None:
        parts.append(_in_schema(agreed))
    whole = pl.concat(parts)
    order = whole.select(pl.arg_sort_by(_ORDER, nulls_last=True)).to_series()
    # Column by column, so that the table is never there twice.
    names = whole.columns
    return pl.DataFrame([whole.drop_in_place(name).gather(order) for name in names])


def _judged(rows: pl.DataFrame, allowed: Decimal) -> pl.DataFrame:
    """Causes, status and words of each row."""
    difference = pl.col("vendors") - pl.col("ours").fill_null(0)
    is_small = pl.col("ours").is_not_null() & (difference.abs() <= allowed) & (difference != 0)
    has_both = pl.col("o").is_not_null() & pl.col("v").is_not_null()
    rows = rows.with_columns(difference=difference, rounding=is_small & has_both)
    causes = pl.concat_list(
        pl.when(pl.col(name).fill_null(value=False)).then(pl.lit(name)) for name in FEATURES if name in rows.columns
    )
    rows = rows.with_columns(causes=causes.list.drop_nulls())
    is_odd = (pl.col("difference") != 0) | pl.col("ours").is_null()
    has_cause = pl.col("causes").list.len() > 0
    # A day beside is a cause even where the amounts are equal.
    is_shifted = pl.col("causes").list.contains("day_border")
    unexplained = pl.lit(["unexplained"], pl.List(pl.String))
    found = pl.when(has_cause & (is_odd | is_shifted)).then("causes").when(is_odd).then(unexplained)
    rows = rows.with_columns(causes=found.otherwise(pl.lit([], pl.List(pl.String))))
    rows = rows.with_columns(cause=pl.col("causes").list.first())
    return _in_schema(rows.with_columns(status=_status(allowed), explained=_words(rows.columns)))


def _status(allowed: Decimal) -> pl.Expr:
    is_small = (pl.col("difference").abs() <= allowed) & pl.col("ours").is_not_null()
    return (
        pl.when(pl.col("cause").is_in(tables.NOT_COMPARABLE_CAUSES).fill_null(value=False))
        .then(pl.lit("not_comparable"))
        .when(is_small)
        .then(pl.lit("matched"))
        .when(pl.col("o").is_not_null() & pl.col("v").is_not_null())
        .then(pl.lit("amount_differs"))
        .when(pl.col("o").is_not_null())
        .then(pl.lit("missing_at_vendor"))
        .otherwise(pl.lit("extra_at_vendor"))
    )


def _words(columns: list[str]) -> pl.Expr:
    words = pl.col("cause").replace_strict(WORDS, default=None, return_dtype=pl.String)
    if "said" in columns:
        words = pl.when(pl.col("cause").is_in(_SAID)).then(pl.coalesce("said", words)).otherwise(words)
    if "caveat" in columns:
        words = pl.concat_str(words, "caveat", separator="; ", ignore_nulls=True)
    return words


_NAMED: Final = {"user": "payer", "product": "line", "charge": "o_row", "statement": "v_row"}
_OF_AGREED: Final = {
    "status": pl.lit("matched"),
    "cause": pl.lit(None, pl.String),
    "causes": pl.lit([], pl.List(pl.String)),
    "difference": pl.lit(0),
    "explained": pl.lit(None, pl.String),
}


def _in_schema(rows: pl.DataFrame) -> pl.DataFrame:
    return rows.select(
        (pl.col(_NAMED.get(name, name)) if _NAMED.get(name, name) in rows.columns else _OF_AGREED[name])
        .cast(dtype)
        .alias(name)
        for name, dtype in tables.RECONCILIATION.items()
    )
