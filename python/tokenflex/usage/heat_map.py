"""The verb `heat_map`: use by weekday and hour of the clock on the wall."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from tokenflex import _core, tables
from tokenflex.arrow import AnyTable, refuses_clearly
from tokenflex.usage.in_use import ZONE, Clocks, in_use, window

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from tokenflex.problems import Problems
    from tokenflex.usage.in_use import By, Count


@refuses_clearly
def heat_map(
    sessions: AnyTable,
    *,
    by: By = ("product",),
    count: Count = "licenses",
    servers: Mapping[str, str] | None = None,
    zone: str | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
    as_of: datetime | None = None,
    problems: Problems | None = None,
) -> pl.DataFrame:
    """Use by weekday and hour: how long, how many on average, and how many at the most.

    The hours of a group add up exactly to its use within the period. An hour that a change of the clock skipped has no
    time, and one that it showed twice has it twice.

    Args:
        sessions: As for `concurrency`, with `server` where `servers` is given.
        by: As for `concurrency`.
        count: As for `concurrency`.
        servers: The IANA zone of each license server, whose clock counts. A group whose servers stand in several zones
            has 168 rows for each.
        zone: One IANA zone for all.
        since: As for `capacity`.
        until: As for `capacity`.
        as_of: As for `concurrency`.
        problems: As for `capacity`.

    Returns:
        The columns of `by` and those of `tables.HEAT_MAP`, in order of the groups' names, of weekday and hour. Every
        hour of the week is there, also those without use.

    Raises:
        ZoneError: Neither `servers` nor `zone` is given, or there is no such zone.
        ArgumentError, MissingColumnError, ColumnTypeError, ColumnValueError, CapacityError: As for `capacity`.

    Example:
        >>> import tokenflex as tf, polars as pl
        >>> from datetime import datetime, timezone
        >>> def at(hour, minute): return datetime(2026, 7, 13, hour, minute, tzinfo=timezone.utc)
        >>> sessions = pl.DataFrame({"product": ["ACD"], "start": [at(8, 30)], "end": [at(9, 45)]})
        >>> found = tf.heat_map(sessions, zone="Europe/Madrid")
        >>> [(weekday, hour, str(used)) for weekday, hour, used in
        ...     found.filter(pl.col("peak") > 0).select("weekday", "hour", "used").rows()]
        [(1, 10, '0:30:00'), (1, 11, '0:45:00')]
    """
    clocks = Clocks.of(zone, servers)
    given = in_use(sessions, by=by, count=count, as_of=as_of, taken=tables.HEAT_MAP, clocks=clocks)
    cells, groups, faults = _core.heat_cells(given.asked, window(given, clocks, since=since, until=until))
    given.report(faults, problems, "heat_map")
    found = pl.DataFrame(cells)
    columns = given.columns(pl.DataFrame(groups), found["group"])
    found = pl.DataFrame([*columns, *found.get_columns()])
    if ZONE not in found.columns:
        found = found.with_columns(pl.lit(clocks.zone).cast(tables.NAME).alias(ZONE))
    found = found.with_columns(
        weekday=pl.col("cell") // 24 + 1,
        hour=pl.col("cell") % 24,
        mean=pl.when(pl.col("time") > 0).then(pl.col("used") / pl.col("time")),
    )
    return tables.finish(found, dict.fromkeys(given.by, tables.NAME) | dict(tables.HEAT_MAP))
