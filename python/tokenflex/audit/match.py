"""Which line of ours stands against which line of the vendor: one to one, and where windows shifted the best of all."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from tokenflex import _core, tables
from tokenflex.times import MICROSECOND

if TYPE_CHECKING:
    from datetime import timedelta


def matched(ours: pl.DataFrame, vendors: pl.DataFrame, *, by_days: bool, within: timedelta) -> pl.DataFrame:
    """All pairs: first of the same second, then of the same date, then the nearest; manual rows take what is left.

    Lines are `payer`, `line`, `charged_at` and `usage_date`; the vendor's may have `aside`, and then match nothing, and
    `is_manual`. Of several alike the n-th is paired with the n-th, in the order in which the lines come.
    """
    pairs = _core.matched_lines(_keys(ours), _keys(vendors), by_days=by_days, reach=within // MICROSECOND)
    return pl.DataFrame(pairs)


def _keys(lines: pl.DataFrame) -> pl.DataFrame:
    payer = pl.col("payer").cast(tables.NAME).to_physical()
    if "aside" in lines.columns:
        payer = pl.when(pl.col("aside").is_null()).then(payer)
    is_manual = pl.col("is_manual").fill_null(value=False) if "is_manual" in lines.columns else pl.lit(value=False)
    return lines.select(
        payer.cast(pl.UInt32),
        pl.col("line").cast(tables.NAME).to_physical().cast(pl.UInt32),
        "charged_at",
        date=pl.col("usage_date").cast(pl.Int32),
        is_manual=is_manual.cast(pl.UInt8),
    )
