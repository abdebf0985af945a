"""Which columns of a wide table the page shows. The workbook and the folders have all of them."""

from __future__ import annotations

from typing import Final

import polars as pl

ROWS: Final = 15
MONTHS: Final = 13
MOST: Final = 9
"""More columns than this do not stand side by side on a page."""

SHOWN: Final[dict[str, tuple[str, ...]]] = {
    "charges": ("user", "product", "server", "charged_at", "window_end", "category", "trigger", "tokens", "rule_id"),
}


def shown(name: str, table: pl.DataFrame) -> tuple[pl.DataFrame, str]:
    """A table as the page shows it, and what of it is left out, in words: nothing where they are empty."""
    view = _months(table) if name == "tokens_by_month" else table
    wanted = [column for column in SHOWN.get(name, ()) if column in view.columns]
    columns = wanted or view.columns[:MOST]
    if name == "tokens_by_month":
        columns = view.columns
    left_out = []
    if view.height > ROWS:
        left_out.append(f"{ROWS} of {view.height:,} rows")
    if len(columns) < view.width:
        left_out.append(f"{len(columns)} of {view.width} columns")
    return view.select(columns).head(ROWS), " and ".join(left_out)


def _months(table: pl.DataFrame) -> pl.DataFrame:
    """Products down, months across, and their sums."""
    months = table["month"].unique().sort().tail(MONTHS)
    wide = table.group_by("product", maintain_order=True).agg(
        *(_sum(pl.col("tokens").filter(pl.col("month") == month)).alias(f"{month:%b %Y}") for month in months),
        _sum(pl.col("tokens")).alias("all months"),
    )
    sums = wide.select(pl.lit("all").alias("product"), *(_sum(pl.col(name)).alias(name) for name in wide.columns[1:]))
    return pl.concat([wide, sums], how="vertical_relaxed")


def _sum(values: pl.Expr) -> pl.Expr:
    """Null where nothing is known: a sum of nothing is not 0."""
    return pl.when(values.is_not_null().any()).then(values.sum())
