"""What a user would write instead of `concurrency`: sums of events, in polars, in DuckDB, and with staircase."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import polars as pl

if TYPE_CHECKING:
    import duckdb
    import pandas as pd

CHANGES = 'select product, start as time, 1 as moved from sessions union all select product, "end", -1 from sessions'


def sums_in_polars(sessions: pl.DataFrame) -> pl.DataFrame:
    """What comes in and goes out at each instant, and the running sum of it."""
    moved = [("start", 1), ("end", -1)]
    events = pl.concat([sessions.lazy().select("product", time=name, moved=pl.lit(by, pl.Int32)) for name, by in moved])
    sums = events.group_by("product", "time").agg(pl.col("moved").sum()).filter(pl.col("moved") != 0)
    return (
        sums.sort("product", "time")
        .select("product", "time", in_use=pl.col("moved").cum_sum().over("product"))
        .collect()
    )


def steps_by_group_in_polars(sessions: pl.DataFrame) -> pl.DataFrame:
    """One product after another, each sorted by time alone: what one arrives at who measures."""
    parts = []
    for part in sessions.select("product", "start", "end").partition_by("product"):
        moved = [("start", 1), ("end", -1)]
        events = pl.concat([part.select(time=name, moved=pl.lit(by, pl.Int32)) for name, by in moved]).sort("time")
        is_last = (pl.col("time") != pl.col("time").shift(-1)).fill_null(value=True)
        steps = events.select("time", in_use=pl.col("moved").cum_sum()).filter(is_last)
        is_step = pl.col("in_use") != pl.col("in_use").shift(1, fill_value=0)
        parts.append(steps.filter(is_step).select(product=pl.lit(part["product"][0]), time="time", in_use="in_use"))
    return pl.concat(parts)


def steps_in_duckdb(connection: duckdb.DuckDBPyConnection) -> Any:
    """Sums by instant, and their running sum; of the table `sessions`."""
    return connection.sql(
        f"""with changes as ({CHANGES}),
        sums as (select product, time, sum(moved) as moved from changes group by all having sum(moved) <> 0)
        select product, time, sum(moved) over (partition by product order by time rows unbounded preceding) as in_use
        from sums order by product, time"""  # noqa: S608 - no text of anybody's
    ).to_arrow_table()


def steps_in_staircase(sessions: pd.DataFrame) -> dict[str, pd.Series]:
    """The step function of each product."""
    import staircase  # noqa: PLC0415 - brings matplotlib, which no other bench needs

    return {
        str(product): staircase.Stairs(frame=rows, start="start", end="end").step_values
        for product, rows in sessions.groupby("product", observed=True)
    }
