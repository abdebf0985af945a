"""Coverage by day and server: of which days the logs tell, and how many sessions began on each."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from tokenflex import tables

if TYPE_CHECKING:
    from collections.abc import Mapping


def coverage_by_day(coverage: pl.DataFrame, sessions: pl.DataFrame, zones: Mapping[str, str]) -> pl.DataFrame:
    """Each day of each server from its first line to its last, see `tables.COVERAGE_DAYS`."""
    parts = [tables.empty(tables.COVERAGE_DAYS)]
    for server, first, last, silent in coverage.select("server", "first", "last", "days_without_lines").iter_rows():
        if first is None or last is None:
            continue
        zone = zones.get(server, "UTC")
        ends = pl.Series([first, last], dtype=tables.TIME).dt.convert_time_zone(zone).dt.date()
        days = pl.DataFrame({"date": pl.date_range(ends[0], ends[1], eager=True)})
        days = days.with_columns(server=pl.lit(server, pl.String), has_lines=~pl.col("date").is_in(silent or []))
        counted = days.join(_begun(sessions, server, zone), on="date", how="left")
        counted = counted.with_columns(pl.col("sessions").fill_null(0)).sort("date")
        parts.append(tables.finish(counted, tables.COVERAGE_DAYS))
    return pl.concat(parts)


def _begun(sessions: pl.DataFrame, server: str, zone: str) -> pl.DataFrame:
    """How many sessions began on each date of a server."""
    if "server" not in sessions.columns:
        return pl.DataFrame(schema={"date": pl.Date, "sessions": pl.UInt32})
    own = sessions.lazy().filter(pl.col("server").cast(pl.String) == server)
    day = pl.col("start").dt.convert_time_zone(zone).dt.date()
    return own.group_by(day.alias("date")).agg(sessions=pl.len()).collect()
