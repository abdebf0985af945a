"""How many are in use, counted plainly: at every instant, minute by minute, level by level."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import polars as pl
from hypothesis import strategies as st

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

MINUTE = timedelta(minutes=1)


@dataclass(frozen=True)
class Held:
    """A session in whole minutes after some instant."""

    group: str | None
    start: int
    end: int
    licenses: int | None
    user: str
    server: str = "mad"

    @property
    def weight(self) -> int:
        return 1 if self.licenses is None else self.licenses


def helds(last: int = 40, most: int = 14) -> st.SearchStrategy[list[Held]]:
    """Few minutes, so that sessions meet at their ends."""

    one = st.builds(
        Held,
        group=st.sampled_from(["ACD", "RVT", None]),
        start=st.integers(0, last),
        # Its length, to begin with.
        end=st.sampled_from([0, 1, 2, 3, 5, 8, 20]),
        licenses=st.sampled_from([None, 1, 1, 2, 5, 0]),
        user=st.sampled_from(["ana", "ben", "eva"]),
        server=st.sampled_from(["mad", "chi"]),
    )
    one = one.map(lambda each: replace(each, end=min(each.start + each.end, last)))
    return st.lists(one, max_size=most)


def frame_of(held: Sequence[Held], origin: datetime) -> pl.DataFrame:
    schema: dict[str, Any] = {
        "product": pl.String,
        "user": pl.String,
        "server": pl.String,
        "licenses": pl.Int64,
        "start": pl.Datetime("us", "UTC"),
        "end": pl.Datetime("us", "UTC"),
    }
    rows = [
        (each.group, each.user, each.server, each.licenses, origin + each.start * MINUTE, origin + each.end * MINUTE)
        for each in held
    ]
    return pl.DataFrame(rows, schema=schema, orient="row")


def in_use_at(held: Iterable[Held], minute: int, count: str) -> int:
    """How many are in use from this minute on, until the next."""
    running = [each for each in held if each.start <= minute < each.end]
    return len({each.user for each in running}) if count == "users" else sum(each.weight for each in running)


def met_at(held: Iterable[Held], minute: int, count: str) -> int:
    """How many a check-out at the beginning of this minute meets: those in use before it and after it."""
    held = list(held)
    if count == "users":
        before, after = ({each.user for each in held if each.start <= at < each.end} for at in (minute - 1, minute))
        return len(before & after)
    return sum(each.weight for each in held if each.start < minute < each.end)


def groups_of(held: Iterable[Held]) -> dict[str | None, list[Held]]:
    """By name, those without one last."""
    groups: dict[str | None, list[Held]] = {}
    for each in held:
        groups.setdefault(each.group, []).append(each)
    return dict(sorted(groups.items(), key=lambda item: (item[0] is None, item[0] or "")))


def steps(held: Sequence[Held], origin: datetime, count: str) -> list[tuple[str | None, datetime, int]]:
    """Every minute looked at; those are told that change something."""
    found = []
    for group, rows in groups_of(held).items():
        told = 0
        for minute in range(min(row.start for row in rows), max(row.end for row in rows) + 1):
            now = in_use_at(rows, minute, count)
            if now != told:
                found.append((group, origin + minute * MINUTE, now))
                told = now
    return found


def percentile(values: Sequence[int], percent: int) -> int | None:
    """The least value that as many as `percent` of a hundred values do not exceed."""
    ordered = sorted(values)
    return next((value for place, value in enumerate(ordered, 1) if place * 100 >= len(ordered) * percent), None)


@dataclass(frozen=True)
class Capacity:
    """What `tf.capacity` says of one group."""

    time: int
    requests: int
    used: int
    peak: int | None
    peak_at: datetime | None
    time_at_peak: int
    percentiles: tuple[int | None, ...]
    asked: tuple[int | None, ...]
    at_limit: int
    above_limit: int


def capacity(
    held: Sequence[Held], origin: datetime, count: str, minutes: Iterable[int], *, asked_at: Iterable[int], limit: int
) -> Capacity:
    """Of the sessions of one group, over the minutes that count."""
    counted = list(minutes)
    levels = [in_use_at(held, minute, count) for minute in counted]
    requests = set(asked_at)
    met = [met_at(held, each.start, count) for each in held if each.start in requests]
    peak = max(levels, default=None)
    first = next((minute for minute, level in zip(counted, levels, strict=True) if level == peak), None)
    return Capacity(
        time=len(counted),
        requests=len(met),
        used=sum(levels),
        peak=peak,
        peak_at=origin + first * MINUTE if first is not None and peak else None,
        time_at_peak=levels.count(peak) if peak is not None else 0,
        percentiles=tuple(percentile(levels, percent) for percent in (50, 90, 95, 99)),
        asked=tuple(percentile(met, percent) for percent in (50, 90, 95, 99)),
        at_limit=sum(level >= limit for level in levels),
        above_limit=sum(level > limit for level in levels),
    )


def is_open(origin: datetime, minute: int, zone: str, works: Callable[[datetime], bool]) -> bool:
    """Whether the clock of a zone shows business hours at the beginning of a minute."""
    return works((origin + minute * MINUTE).astimezone(ZoneInfo(zone)))


def heat(
    held: Sequence[Held], origin: datetime, zone: str, minutes: range
) -> dict[tuple[int, int], tuple[int, int, int]]:
    """For each weekday and hour its minutes, the minutes used, and the peak."""
    cells: dict[tuple[int, int], tuple[int, int, int]] = {}
    for minute in minutes:
        local = (origin + minute * MINUTE).astimezone(ZoneInfo(zone))
        level = in_use_at(held, minute, "licenses")
        time, used, peak = cells.get((local.isoweekday(), local.hour), (0, 0, 0))
        cells[local.isoweekday(), local.hour] = time + 1, used + level, max(peak, level)
    return cells


def split(held: Sequence[Held], at: int) -> list[Held]:
    """Every session that runs at the minute as two that follow each other."""
    whole = [each for each in held if not each.start < at < each.end]
    cut = [each for each in held if each.start < at < each.end]
    return [*whole, *(replace(each, end=at) for each in cut), *(replace(each, start=at) for each in cut)]


ORIGINS = {
    "Europe/Madrid": datetime(2026, 10, 24, 23, 30, tzinfo=UTC),
    "America/Chicago": datetime(2026, 3, 8, 7, 40, tzinfo=UTC),
    "Australia/Lord_Howe": datetime(2026, 4, 4, 14, 20, tzinfo=UTC),
    "Pacific/Apia": datetime(2011, 12, 30, 9, 30, tzinfo=UTC),
    "America/St_Johns": datetime(2010, 11, 7, 2, 5, tzinfo=UTC),
    "Asia/Kathmandu": datetime(2026, 7, 12, 17, 40, tzinfo=UTC),
}
"""Zones with an instant shortly before their clock is changed."""
