"""The verb `capacity`: how many licenses were needed, at the most and nearly always, and whether there were enough."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import polars as pl

from tokenflex import _core, tables
from tokenflex.arrow import AnyTable, refuses_clearly
from tokenflex.errors import ArgumentError, ArgumentTypeError
from tokenflex.usage.hours import BusinessHours
from tokenflex.usage.in_use import ZONE, Clocks, in_use, window
from tokenflex.usage.limits import owned_of

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from tokenflex.problems import Problems
    from tokenflex.usage.in_use import By, Count, InUse

PERCENTS: Final = (50, 90, 95, 99)


@refuses_clearly
def capacity(
    sessions: AnyTable,
    *,
    by: By = ("product",),
    count: Count = "licenses",
    limits: Mapping[str, int] | None = None,
    hours: BusinessHours | None = None,
    servers: Mapping[str, str] | None = None,
    zone: str | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
    as_of: datetime | None = None,
    problems: Problems | None = None,
) -> pl.DataFrame:
    """How many licenses were needed: peak and when, mean, percentiles of time and of requests, time at the limit.

    All groups are looked at over the same time: the whole period, hours without any use included. The percentile p of
    time is the least number that was enough for p % of the time; that of requests is the least number such that p %
    of the sessions found no more in use when they started, themselves not counted.

    Args:
        sessions: As for `concurrency`. Each row is a request, except where `checkouts` is 0.
        by: As for `concurrency`.
        count: As for `concurrency`.
        limits: How many are owned, by name in the first column of `by`. A name without any session is a row, too,
            where `by` is that one column and there is one clock.
        hours: Look at business hours only, by the clock that `servers` or `zone` says.
        servers: The IANA zone of each license server. A group whose servers stand in several zones is one row for
            each, since their business hours are not the same time.
        zone: One IANA zone for all.
        since: The period's first instant; the first start in the table unless given.
        until: The first instant after the period; the last end in the table unless given.
        as_of: As for `concurrency`.
        problems: As for `concurrency`; sessions on servers without a zone are told, too.

    Returns:
        A row for each group, in order of their names: the columns of `by` and those of `tables.CAPACITY`.

    Raises:
        ZoneError: `hours` without a clock, or there is no such zone.
        ArgumentError: As for `concurrency`; the period ends before it begins; a limit is no whole number from 0 on.
        MissingColumnError, ColumnTypeError, ColumnValueError, CapacityError: As for `concurrency`.

    Example:
        >>> import tokenflex as tf, polars as pl
        >>> from datetime import datetime, timezone
        >>> def at(hour): return datetime(2026, 7, 13, hour, tzinfo=timezone.utc)
        >>> sessions = pl.DataFrame({
        ...     "product": ["ACD"] * 3, "start": [at(8), at(9), at(10)], "end": [at(18), at(11), at(12)],
        ... })
        >>> found = tf.capacity(sessions, limits={"ACD": 2})
        >>> found.select("peak", "mean", "p50", "p95", "asked_p95", "share_at_limit").rows()
        [(3, 1.4, 1, 3, 2, 0.3)]
        >>> found["peak_at"].item().hour
        10
    """
    if hours is not None and not isinstance(hours, BusinessHours):
        raise ArgumentTypeError(f"hours has to be tf.BusinessHours(…), not {type(hours).__name__}", location="hours")
    if hours is None and (servers is not None or zone is not None):
        raise ArgumentError(
            "servers and zone say by which clock business hours are: give hours=tf.BusinessHours(…), or leave them out",
            location="hours",
        )
    clocks = None if hours is None else Clocks.of(zone, servers)
    owned = owned_of(limits)
    given = in_use(sessions, by=by, count=count, as_of=as_of, taken=tables.CAPACITY, clocks=clocks)
    if owned and not given.by:
        raise ArgumentError("limits are by name in the first column of by, and by has none", location="limits")
    parts = None if hours is None else hours.parts()
    asked = window(given, clocks, since=since, until=until, hours=parts)
    (levels, sums, period, lengths), groups, faults = _core.capacity_levels(given.asked, asked)
    given.report(faults, problems, "capacity")
    known = _groups(given, pl.DataFrame(groups), pl.DataFrame(sums), clocks)
    rows = pl.DataFrame(levels).with_columns(pl.col("requests").cast(pl.Int64))
    if len(given.by) == 1 and len(lengths) == 1 and owned:
        unused = _unused(known, given.by[0], owned, asked["zones"])
        known = pl.concat([known, unused], how="diagonal")
        level = pl.DataFrame({"level": 0, "time": lengths[0], "requests": 0}, schema_overrides={"level": pl.UInt32})
        rows = pl.concat([rows, unused.select("group").join(level, how="cross")])
    if given.by:
        limit = pl.col(given.by[0]).cast(pl.String).replace_strict(owned, default=None, return_dtype=pl.UInt32)
    else:
        limit = pl.lit(None, pl.UInt32)
    known = known.with_columns(limit=limit)
    rows = rows.join(known.select("group", "limit"), on="group", maintain_order="left")
    found = known.join(_statistics(rows), on="group", maintain_order="left")
    found = found.sort([pl.col(name).cast(pl.String) for name in (*given.by, ZONE)], nulls_last=True)
    # Without any session and without bounds there is no period.
    first, last = (None, None) if period == (0, 0) else period
    found = found.with_columns(
        since=pl.lit(first, pl.Int64).cast(tables.TIME),
        until=pl.lit(last, pl.Int64).cast(tables.TIME),
        mean=_share("used", "time"),
    ).with_columns(share_at_limit=_share("time_at_limit", "time"), share_above_limit=_share("time_above_limit", "time"))
    return tables.finish(found, dict.fromkeys(given.by, tables.NAME) | dict(tables.CAPACITY))


def _groups(given: InUse, groups: pl.DataFrame, sums: pl.DataFrame, clocks: Clocks | None) -> pl.DataFrame:
    """A row for each group: its names, its zone, its sums."""
    known = pl.DataFrame([*given.columns(groups, groups["group"]), groups["group"], *sums])
    if ZONE in known.columns:
        return known
    return known.with_columns(pl.lit(None if clocks is None else clocks.zone).cast(tables.NAME).alias(ZONE))


def _unused(known: pl.DataFrame, name: str, owned: Mapping[str, int], zones: list[str]) -> pl.DataFrame:
    """The groups of names with a limit that have no session."""
    seen = set(known[name].cast(pl.String).to_list())
    missing = [each for each in owned if each not in seen]
    return pl.DataFrame(
        {
            name: pl.Series(missing, dtype=tables.NAME),
            "group": pl.Series(range(known.height, known.height + len(missing)), dtype=pl.UInt32),
            "used": pl.Series([0] * len(missing), dtype=pl.Int64),
            ZONE: pl.Series(zones[:1] or [None], dtype=tables.NAME).new_from_index(0, len(missing)),
        }
    )


def _statistics(levels: pl.DataFrame) -> pl.DataFrame:
    """What the levels of each group come to, in whole microseconds and requests."""
    level, time, requests = pl.col("level"), pl.col("time"), pl.col("requests")

    def enough(weight: pl.Expr, percent: int) -> pl.Expr:
        """The least level at or below which this part of the weight lies."""
        is_enough = weight.cum_sum() * 100 >= weight.sum() * percent
        return level.filter(is_enough & (weight.sum() > 0)).first()

    at_limit, above_limit = (
        pl.when(pl.col("limit").first().is_not_null()).then(time.filter(part).sum())
        for part in (level >= pl.col("limit"), level > pl.col("limit"))
    )
    return levels.group_by("group", maintain_order=True).agg(
        time=time.sum(),
        requests=requests.sum(),
        peak=level.filter(time > 0).last(),
        time_at_peak=time.filter(time > 0).last().fill_null(0),
        **{f"p{percent}": enough(time, percent) for percent in PERCENTS},
        **{f"asked_p{percent}": enough(requests, percent) for percent in PERCENTS},
        time_at_limit=at_limit,
        time_above_limit=above_limit,
    )


def _share(part: str, whole: str) -> pl.Expr:
    return pl.when(pl.col(whole) > 0).then(pl.col(part) / pl.col(whole))
