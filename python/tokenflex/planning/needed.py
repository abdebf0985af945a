"""How many licenses of each product were in use: at the most, and for 95 % of the time."""

from __future__ import annotations

from typing import Final

import polars as pl

PERCENT: Final = 95


def needed(used: pl.DataFrame) -> pl.DataFrame:
    """Peak and 95th percentile of time, for each product.

    A session holds its licenses from `start` until before `end`. All products are looked at over the same time, from
    the first start to the last end of the table, hours without use included. The percentile is the least number of
    licenses that was enough for 95 % of that time.

    Args:
        used: Sessions with `product` (text), `start` and `end` (microseconds), and `licenses` (how many).

    Returns:
        A row for each product: `product`, `peak`, `p95`.
    """
    changes = pl.concat(
        [
            used.select("product", time="start", change=pl.col("licenses").cast(pl.Int64)),
            used.select("product", time="end", change=-pl.col("licenses").cast(pl.Int64)),
        ]
    )
    steps = (
        changes.group_by("product", "time")
        .agg(pl.col("change").sum())
        .sort("product", "time")
        .with_columns(
            in_use=pl.col("change").cum_sum().over("product"),
            lasts=pl.col("time").shift(-1).over("product") - pl.col("time"),
        )
    )
    whole = pl.lit(used.select(pl.col("end").max() - pl.col("start").min()).item(), pl.Int64) if used.height else 0
    levels = steps.filter(pl.col("in_use") > 0).group_by("product", "in_use").agg(pl.col("lasts").sum())
    busy = levels.group_by("product").agg(pl.col("lasts").sum())
    none = used.select("product").unique().join(busy, on="product", how="left")
    none = none.select(
        "product", in_use=pl.lit(0, pl.Int64), lasts=(whole - pl.col("lasts").fill_null(0)).cast(pl.Int64)
    )
    is_enough = pl.col("lasts").cum_sum() * 100 >= pl.col("lasts").sum() * PERCENT
    return (
        pl.concat([none, levels])
        .sort("product", "in_use")
        .group_by("product", maintain_order=True)
        .agg(peak=pl.col("in_use").last(), p95=pl.col("in_use").filter(is_enough).first().fill_null(0))
        .with_columns(pl.col("peak", "p95").cast(pl.UInt32))
    )
