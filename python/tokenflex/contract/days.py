"""Days of a contract: the instants at which they begin, and the dates of months and years later."""

from __future__ import annotations

from calendar import monthrange
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Final

import polars as pl

from tokenflex.reading.zones import instants

if TYPE_CHECKING:
    from collections.abc import Iterable

ONE_DAY: Final = timedelta(days=1)
_DECEMBER: Final = 12
FIRST_DAY: Final = date(1970, 1, 2)
LAST_DAY: Final = date(2199, 12, 30)
"""Days whose midnights lie, in every zone, in the years that data may have."""


def first_instants(days: Iterable[date], zone: str) -> dict[date, datetime]:
    """The first instant of each day, in UTC.

    A midnight that the clock skips is moved forward by the gap: since 1970 every such gap begins at 00:00, so that is
    where the day begins. Of a midnight shown twice the first counts. A day that the zone left out begins with the next.
    """
    distinct = sorted(set(days))
    local = pl.Series(distinct, dtype=pl.Date).cast(pl.Datetime("us"))
    times = instants(local, zone).times.dt.replace_time_zone(None)
    return {day: time.replace(tzinfo=UTC) for day, time in zip(distinct, times, strict=True)}


def years_later(day: date, years: int) -> date:
    """The same date some years later; 1 March where it was 29 February and the year has none."""
    try:
        return day.replace(year=day.year + years)
    except ValueError:
        return date(day.year + years, 3, 1)


def months_later(day: date, months: int) -> date:
    """The same day some months later, or the month's last where it has no such day."""
    year, month = divmod(day.year * _DECEMBER + day.month - 1 + months, _DECEMBER)
    return date(year, month + 1, min(day.day, monthrange(year, month + 1)[1]))
