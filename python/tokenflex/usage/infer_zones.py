"""The verb `infer_zones`: each user's zone from the hours and weekdays of their use, or that it cannot be said.

The model, which `docs/user-zones.md` explains: a person's week of use is a model week (working days in `PRESENCE`),
moved by the person's offset and by a habit of their own, that is how much earlier or later than others they work. The
week is seen in UTC; where clocks change, each time of the year is moved by the offset that a zone had then. How likely
a zone is sums over the habits, so a habit cannot pass for a change of the clock.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import polars as pl

from tokenflex import _core, tables
from tokenflex.arrow import AnyTable, frame_of, refuses_clearly
from tokenflex.errors import ArgumentError, ArgumentTypeError, MissingColumnError
from tokenflex.problems import Problems, report
from tokenflex.reading.names import coded, decoded
from tokenflex.reading.periods import instants_of
from tokenflex.reading.zones import instants
from tokenflex.times import TOO_LATE, microseconds
from tokenflex.usage.candidates import CANDIDATES, FRIDAY_WEEKENDS

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

READS: Final = ("user", "start", "end")
"""The columns of sessions that are read."""

MINUTES_OF_DAY: Final = 24 * 60
STEP: Final = 15
"""Minutes between two offsets that are compared: all that are in use today are whole quarters of an hour."""

SLOTS: Final = 7 * 24
"""Hours of a week. The first is Monday 00:00 UTC."""

HOUR_US: Final = 3_600_000_000
HOURS_IN_DATA: Final = 1 << 22
"""More hours than lie between 1970 and 2200."""

MONDAY: Final = 72
"""Hours from the Monday before it to 1970-01-01, a Thursday."""

LONG: Final = 12
"""Hours after which a session was left open, [I]: nobody knows when its user went."""

WORKING_DAY: Final = 9
"""Hours after the first start of a day at which use that was left open is taken to end, [I]."""

SHORT: Final = 0.1
"""Hours that a session counts for at least: a launch is a use, however short."""

REST: Final = 5
"""Hours without use after which use begins a new day, [I]: longer than lunch, shorter than a night."""

START: Final = 8.5, 1.0
"""When the model day starts by the clock on the wall, mean and spread in hours; and so it ends and has lunch, [I]."""

END: Final = 17.5, 1.25
LUNCH: Final = 12.6, 0.6

HABIT: Final = 0.8
"""Spread of the habit in hours, [I]: two of three persons start within this of the model day."""

HABITS: Final = range(-180, 181, STEP)
DAY_WEIGHT: Final = 20.0
"""How much one day says: half the inverse of (spread of one day, about an hour)² times the bend of the fit's peak."""

FULL_DAY: Final = 5
"""Hours of use that make a day count as one; days of less say less."""

MOST_DAYS: Final = 40
"""Days after which more of them say no more, since the model day is not the person's own."""

ODD: Final = 0.03
"""Part of the users who work at any hours at all: shifts, machines. [I]."""

LEAST_FIT: Final = 0.88
"""Below it a week has no shape of a working week; weeks of people who work by day come out near 1."""

LEAST_CONFIDENCE: Final = 0.5
HALF_DAYS: Final = 10
"""Days that a half of the year needs before it says anything of a change of the clock."""

_PROPOSALS: Final = {
    "offset": pl.Int64(),
    "offset_summer": pl.Int64(),
    "offset_winter": pl.Int64(),
    "zone": pl.String(),
    "is_dst_aware": pl.Boolean(),
    "confidence": pl.Float64(),
    "why": pl.String(),
}

CROWD: Final = 2_000
"""Users that are worked on at one time, so that memory does not grow with their number."""

QUIET: Final = 4
"""Hours of a day with next to no use that a person has at least, and a machine has not."""

NO_USE: Final = "no use that counts"

FAULTS: Final = {
    "missing_user": "no user: says nothing of a zone",
    "missing_start": "no start: says nothing of a zone",
    "end_before_start": "its end comes before its start: says nothing of a zone",
    "time_out_of_range": "a time before 1970 or from 2200 on: says nothing of a zone",
}


@dataclass(frozen=True)
class _Zones:
    """The zones to choose from, and their offsets in the weeks of the data.

    Attributes:
        names: Each zone.
        priors: How likely each is before any data; they add up to one.
        offsets: For each zone its minutes east of UTC in each time of the year.
        leads: Zones in whose week Friday is free too: minutes by which their week goes before the model week.
        weeks: The time of the year that each week is in. Times of the year differ where any zone's offset does.
    """

    names: list[str]
    priors: list[float]
    offsets: list[tuple[int, ...]]
    leads: list[tuple[int, ...]]
    weeks: pl.DataFrame


class _Proposal(NamedTuple):
    """What is told of one user: minutes east of UTC, the zone, and why."""

    offset: int | None = None
    offset_summer: int | None = None
    offset_winter: int | None = None
    zone: str | None = None
    is_dst_aware: bool = False
    confidence: float = 0.0
    why: str = ""


@refuses_clearly
def infer_zones(
    sessions: AnyTable,
    *,
    zones: Iterable[str] | None = None,
    min_days: int = 10,
    problems: Problems | None = None,
) -> pl.DataFrame:
    """Infers each user's zone from the hours and weekdays of their use.

    It is a guess with a stated confidence, and no more: an early riser in one zone and a late riser in the next work
    at the same hours. Name the zones of the firm's sites where you can; a choice among few is much surer.

    Args:
        sessions: Any Arrow table with the columns `user`, `start` and `end` (instants). Null ends are open sessions.
        zones: IANA names to choose from, such as those of the firm's sites. Unless given, a list of one zone for each
            offset and way of changing the clock, weighed by how many people who use such software live there.
        min_days: Days of use that a user needs; with fewer they are unknown.
        problems: Collects the rows that say nothing; without it, a `TokenflexWarning` tells of them.

    Returns:
        A row for each user in order of first row, see `tables.INFERRED_ZONES`. Zone and offset are null where the data
        cannot say, and `why` has the reason. `UserZones.from_inferred` makes zones for `charge` of it.

    Raises:
        ZoneError: There is no zone of a name in `zones`.
        ArgumentError: `zones` is empty, or `min_days` is below 1.
        MissingColumnError, ColumnTypeError: The table lacks a column, or has it in a type that cannot be taken.

    Example:
        >>> import tokenflex as tf, polars as pl
        >>> from datetime import datetime, timedelta, timezone
        >>> monday = datetime(2026, 1, 5, tzinfo=timezone.utc)
        >>> days = [monday + timedelta(days=7 * week + day) for week in range(6) for day in range(5)]
        >>> sessions = pl.DataFrame({
        ...     "user": ["ana"] * 30,
        ...     "start": [day + timedelta(hours=1) for day in days], "end": [day + timedelta(hours=10) for day in days],
        ... })
        >>> found = tf.infer_zones(sessions, zones=["Europe/Madrid", "Asia/Singapore"])
        >>> found.select("user", "zone", "days").rows()
        [('ana', 'Asia/Singapore', 30)]
    """
    if isinstance(min_days, bool) or not isinstance(min_days, int):
        raise ArgumentTypeError("min_days has to be a whole number", location="min_days")
    if min_days < 1:
        raise ArgumentError(f"min_days is {min_days}, but has to be 1 or more", location="min_days")
    names = None if zones is None else _checked(zones)
    if isinstance(sessions, pl.LazyFrame):
        present = sessions.collect_schema().names()
        sessions = sessions.select(name for name in READS if name in present)
    used, users, bad = _used(frame_of(sessions))
    report(bad, problems, "infer_zones")
    people = pl.DataFrame({"user": range(len(users))}, schema={"user": pl.UInt32})
    if used.is_empty():
        told = [_Proposal(why=NO_USE)] * len(users)
        return _told(people.with_columns(days=0, sessions=0), users, told)
    week = (used["start"].floor().cast(pl.Int32) + MONDAY) // SLOTS
    choice = _zones(pl.concat([week, week + 1]).unique().sort(), names)
    found = [
        _weighed(_hours(some).join(choice.weeks, on="week"), choice, is_closed=names is not None)
        for _, some in used.group_by(pl.col("user") // CROWD)
    ]
    counts = used.group_by("user").agg(sessions=pl.len())
    people = people.join(counts, on="user", how="left")
    people = people.join(pl.concat(found), on="user", how="left", maintain_order="left")
    people = people.with_columns(pl.col("sessions", "days").fill_null(0))
    rows = people.iter_rows(named=True)
    told = [_refusal(row, min_days) or _proposed(row, choice, is_closed=names is not None) for row in rows]
    return _told(people, users, told)


def _checked(zones: Iterable[str]) -> list[str]:
    if isinstance(zones, str):
        raise ArgumentTypeError("zones has to be a list of IANA names, not one name", location="zones")
    names = list(zones)
    for name in names:
        if not isinstance(name, str):
            raise ArgumentTypeError(f"zones has to hold IANA names, not {type(name).__name__}", location="zones")
    if not names:
        raise ArgumentError("zones is empty: leave it out to choose among all", location="zones")
    return list(dict.fromkeys(_core.check_zone(name) for name in names))


def _used(frame: pl.DataFrame) -> tuple[pl.DataFrame, list[str], pl.DataFrame]:
    """The stretches of use that count, in hours since 1970; the users' names; what had to be left out."""
    for name in READS:
        if name not in frame.columns:
            raise MissingColumnError(
                f"column {name!r} is missing; the table has: {', '.join(frame.columns)}", column=name
            )
    codes, users = coded(frame["user"])
    times = [instants_of(frame, name).to_physical().alias(name) for name in ("start", "end")]
    rows = pl.DataFrame([codes.cast(pl.UInt32).alias("user"), *times]).with_row_index("location")
    late = microseconds(TOO_LATE, "end")
    outside = ~pl.col("start").is_between(0, late - 1) | ~pl.col("end").is_between(0, late - 1)
    rows = rows.with_columns(
        code=pl.when(pl.col("user").is_null())
        .then(pl.lit("missing_user"))
        .when(pl.col("start").is_null())
        .then(pl.lit("missing_start"))
        .when(outside)
        .then(pl.lit("time_out_of_range"))
        .when(pl.col("end") < pl.col("start"))
        .then(pl.lit("end_before_start"))
    )
    bad = rows.filter(pl.col("code").is_not_null()).select(
        source=pl.lit("sessions"),
        location=pl.col("location").cast(pl.UInt64),
        code="code",
        message=pl.col("code").replace_strict(FAULTS, return_dtype=pl.String),
    )
    start, end = pl.col("start") / HOUR_US, pl.col("end") / HOUR_US
    used = rows.filter(pl.col("code").is_null()).select("user", start=start, end=end)
    return _closed(used), users, bad


def _closed(used: pl.DataFrame) -> pl.DataFrame:
    """The same with ends for sessions that were left open: when a day that began with their user's first start ends."""
    is_left_open = pl.col("end").is_null() | (pl.col("end") - pl.col("start") > LONG)
    starts = used.sort("start").select("user", first="start")
    left_open = used.filter(is_left_open).with_columns(since=pl.col("start") - WORKING_DAY).sort("since")
    left_open = left_open.join_asof(
        starts, left_on="since", right_on="first", by="user", strategy="forward", check_sortedness=False
    )
    until = pl.max_horizontal(pl.col("first") + WORKING_DAY, pl.col("start") + 1)
    ended = used.filter(~is_left_open).with_columns(end=pl.max_horizontal("end", pl.col("start") + SHORT))
    return pl.concat([ended, left_open.select("user", "start", end=until)])


def _hours(used: pl.DataFrame) -> pl.DataFrame:
    """For each user and hour in which they used anything: the part of it, its week, its place there, if a day began."""
    first, last = pl.col("start").floor().cast(pl.Int32), pl.col("end").ceil().cast(pl.Int32)
    each = used.with_columns(hour=pl.int_ranges(first, pl.max_horizontal(first + 1, last))).explode("hour")
    part = pl.min_horizontal("end", pl.col("hour") + 1) - pl.max_horizontal("start", pl.col("hour"))
    # One key is grouped and sorted at half the cost of two.
    keyed = each.select(key=pl.col("user").cast(pl.Int64) * HOURS_IN_DATA + pl.col("hour"), part=part)
    hours = keyed.group_by("key").agg(pl.col("part").sum().clip(0, 1)).sort("key")
    hours = hours.select(
        "part",
        user=(pl.col("key") // HOURS_IN_DATA).cast(pl.UInt32),
        hour=(pl.col("key") % HOURS_IN_DATA).cast(pl.Int32),
    )
    begins = (pl.col("user") != pl.col("user").shift()) | (pl.col("hour").diff() > REST)
    return hours.with_columns(
        begins=begins.fill_null(value=True),
        week=(pl.col("hour") + MONDAY) // SLOTS,
        slot=((pl.col("hour") + MONDAY) % SLOTS).cast(pl.UInt8),
    )


def _zones(weeks: pl.Series, names: list[str] | None) -> _Zones:
    """The zones with their offsets in the weeks that are there; zones that always agreed count as one."""
    weights = dict.fromkeys(names, 1.0) if names is not None else CANDIDATES
    # Wednesdays at noon by the zone's own clock: no clock changes then.
    noons = (weeks.cast(pl.Int64) * SLOTS - MONDAY + 60) * HOUR_US
    local = noons.cast(pl.Datetime("us"))
    table = pl.DataFrame(
        {name: noons - instants(local, name).times.to_physical() for name in weights},
    ).select(pl.all().cast(pl.Float64) / (60_000_000 * STEP))
    rows = table.select(pl.all().round().cast(pl.Int32) * STEP)
    times_of_year = {row: place for place, row in enumerate(dict.fromkeys(rows.iter_rows()))}
    kept: dict[tuple[tuple[int, ...], bool], tuple[str, float]] = {}
    for name, offsets in zip(weights, zip(*times_of_year, strict=True), strict=True):
        key = offsets, name in FRIDAY_WEEKENDS
        first, weight = kept.get(key, (name, 0.0))
        kept[key] = first, weight + (weights[name] if names is None else 1.0 - weight)
    total = sum(weight for _, weight in kept.values())
    # The last Sundays of March and October lie before a Wednesday that is the 28th or later.
    is_summer = (local.dt.month().cast(pl.Int32) * 100 + local.dt.day()).is_between(328, 1027)
    return _Zones(
        names=[name for name, _ in kept.values()],
        priors=[weight / total for _, weight in kept.values()],
        offsets=[offsets for offsets, _ in kept],
        leads=[(0, MINUTES_OF_DAY) if is_friday else (0,) for _, is_friday in kept],
        weeks=pl.DataFrame(
            {
                "week": weeks,
                "time_of_year": pl.Series([times_of_year[row] for row in rows.iter_rows()], dtype=pl.UInt16),
                "is_summer": is_summer,
            }
        ),
    )


def _weighed(hours: pl.DataFrame, choice: _Zones, *, is_closed: bool) -> pl.DataFrame:
    """For each user the likeliest zone, how sure it is, and what speaks for and against it."""
    days = hours.group_by("user").agg(
        days=pl.col("begins").sum(),
        days_summer=(pl.col("begins") & pl.col("is_summer")).sum(),
        main=_most("time_of_year"),
        summer=_most("time_of_year", pl.col("is_summer")),
        winter=_most("time_of_year", ~pl.col("is_summer")),
    )
    by_day = hours.group_by("user", hour=pl.col("slot") % 24).agg(pl.col("part").sum())
    busy = by_day.group_by("user").agg(quiet=24 - (pl.col("part") > pl.col("part").sum() / 24 / 4).sum().cast(pl.Int32))
    fits, columns = _fits(hours, choice)
    fits = fits.join(days, on="user").join(busy, on="user")
    best = pl.max_horizontal(columns.values())
    weight = DAY_WEIGHT * pl.min_horizontal("days", pl.col("used") / FULL_DAY, pl.lit(MOST_DAYS))
    fits = fits.with_columns(fit=best, weight=weight).with_columns(
        ((pl.col(name) - pl.col("fit")) * pl.col("weight")).exp() for name in columns.values()
    )
    return _posterior(fits, columns, choice, is_closed=is_closed)


def _most(column: str, where: pl.Expr | None = None) -> pl.Expr:
    """The commonest value, the least of them where several are."""
    chosen = pl.col(column) if where is None else pl.col(column).filter(where)
    return chosen.mode().min()


def _fits(hours: pl.DataFrame, choice: _Zones) -> tuple[pl.DataFrame, dict[tuple[tuple[int, ...], int], str]]:
    """How well the model week fits each user's, moved by each offset and way of changing the clock.

    Returns:
        A row for each user, and for each way of changing the clock (minutes against the first time of the year) and
        each offset in the first time of the year the name of the column with the fit, 0 to 1.
    """
    changes = list(dict.fromkeys(_changes(offsets) for offsets in choice.offsets))
    needed = {
        change: sorted(
            {
                lead + offsets[0] + habit
                for offsets, leads in zip(choice.offsets, choice.leads, strict=True)
                if _changes(offsets) == change
                for lead in leads
                for habit in HABITS
            }
            | set(range(-MINUTES_OF_DAY // 2, MINUTES_OF_DAY // 2, STEP))
        )
        for change in changes
    }
    moved = sorted({base + by for change, bases in needed.items() for base in bases for by in set(change)})
    weeks = hours.group_by("user", "time_of_year", "slot").agg(pl.col("part").sum()).sort("user")
    wide = weeks.pivot(on="slot", on_columns=list(range(SLOTS)), index=["user", "time_of_year"], values="part")
    slots = [str(slot) for slot in range(SLOTS)]
    wide = wide.with_columns(pl.col(slots).fill_null(0.0))
    likeness = wide.select("user", "time_of_year", *(_likeness(by).alias(f"at {by}") for by in moved))
    columns = {(change, base): f"{place} {base}" for place, change in enumerate(changes) for base in needed[change]}
    parts = []
    for (time_of_year,), rows in likeness.group_by("time_of_year", maintain_order=True):
        by_change = [
            pl.col(f"at {base + change[int(str(time_of_year))]}").alias(name)
            for (change, base), name in columns.items()
        ]
        parts.append(rows.select("user", *by_change))
    summed = pl.concat(parts).group_by("user").agg(pl.all().sum()).join(_lengths(hours), on="user").sort("user")
    return summed.with_columns(pl.col(name) / pl.col("length") for name in columns.values()), columns


def _lengths(hours: pl.DataFrame) -> pl.DataFrame:
    """The hours that each user used anything, and the length of their week as a vector.

    Only what two weeks share counts for the length: the squares of single hours are chance, and would make the weeks of
    those who use little look unlike any week.
    """
    slots = hours.group_by("user", "slot").agg(all=pl.col("part").sum(), chance=(pl.col("part") ** 2).sum())
    whole = (pl.col("all") ** 2).sum()
    length = pl.max_horizontal(whole - pl.col("chance").sum(), whole / 4).sqrt()
    return slots.group_by("user").agg(used=pl.col("all").sum(), length=length)


def _changes(offsets: Sequence[int]) -> tuple[int, ...]:
    return tuple(offset - offsets[0] for offset in offsets)


def _likeness(minutes: int) -> pl.Expr:
    """How alike a user's week is to the model week of a zone so many minutes east of UTC, not yet by its length."""
    quarters = [
        MODEL_WEEK[(4 * slot + minutes // STEP + place) % len(MODEL_WEEK)]
        for slot in range(SLOTS)
        for place in range(4)
    ]
    model = [sum(quarters[4 * slot : 4 * slot + 4]) / 4 for slot in range(SLOTS)]
    length = math.sqrt(sum(value**2 for value in model))
    terms = [pl.col(str(slot)) * (value / length) for slot, value in enumerate(model) if value > 0.01]  # noqa: PLR2004 - what adds nothing
    return pl.sum_horizontal(terms)


def _at_work(hour: float) -> float:
    """How likely a person is at work, hours since Monday 00:00 by the clock on the wall."""
    if hour >= 5 * 24:
        return 0.0
    clock = hour % 24
    came, left = (_before(clock, *times) for times in (START, END))
    return came * (1 - left) * (1 - 0.3 * math.exp(-(((clock - LUNCH[0]) / LUNCH[1]) ** 2) / 2))


def _before(clock: float, mean: float, spread: float) -> float:
    return (1 + math.erf((clock - mean) / spread / math.sqrt(2))) / 2


MODEL_WEEK: Final = [_at_work((quarter + 0.5) / 4) for quarter in range(4 * SLOTS)]
"""How likely a person is at work, in each quarter of an hour of the week."""


def _posterior(
    fits: pl.DataFrame, columns: dict[tuple[tuple[int, ...], int], str], choice: _Zones, *, is_closed: bool
) -> pl.DataFrame:
    """For each user the likeliest zone and how likely it is, where `columns` hold likelihoods."""
    shares = [math.exp(-((habit / 60 / HABIT) ** 2) / 2) for habit in HABITS]
    masses = []
    for place, (prior, offsets, leads) in enumerate(zip(choice.priors, choice.offsets, choice.leads, strict=True)):
        terms = [
            pl.col(columns[_changes(offsets), lead + offsets[0] + habit])
            * (prior * share / sum(shares) / len(leads) * (1 - ODD))
            for lead in leads
            for habit, share in zip(HABITS, shares, strict=True)
        ]
        masses.append(pl.sum_horizontal(terms).alias(f"zone {place}"))
    anywhere = [name for (_, base), name in columns.items() if -720 <= base < 720]  # noqa: PLR2004 - one day
    odd = pl.sum_horizontal(anywhere) * (ODD / len(anywhere))
    facts = ("user", "days", "days_summer", "main", "summer", "winter", "quiet", "fit")
    weighed = fits.select(*facts, *masses, odd=odd)
    names = [f"zone {place}" for place in range(len(masses))]
    weighed = weighed.with_columns(total=pl.sum_horizontal(*names, "odd"), best=pl.concat_list(names).list.arg_max())
    near = [
        pl.sum_horizontal(names[other] for other in _near(choice.offsets, place, is_closed=is_closed))
        for place in range(len(masses))
    ]
    confidence = pl.concat_list(near).list.get(pl.col("best")) / pl.col("total")
    return weighed.select(*facts, "best", confidence=confidence)


def _near(offsets: list[tuple[int, ...]], place: int, *, is_closed: bool) -> list[int]:
    """The zones that count for the same: within an hour where the choice is open, alone where it is the caller's."""
    if is_closed:
        return [other for other in range(len(offsets)) if offsets[other] == offsets[place]]
    return [
        other
        for other in range(len(offsets))
        if all(abs(a - b) <= 60 for a, b in zip(offsets[other], offsets[place], strict=True))  # noqa: PLR2004 - minutes
    ]


def _told(people: pl.DataFrame, users: list[str], told: list[_Proposal]) -> pl.DataFrame:
    """The table of the result."""
    proposals = pl.DataFrame(told, schema=_PROPOSALS, orient="row")
    return tables.finish(
        people.select("days", "sessions").with_columns(
            decoded("user", list(users), people["user"]),
            *proposals.with_columns(pl.duration(minutes=pl.selectors.integer()).name.keep()).get_columns(),
        ),
        tables.INFERRED_ZONES,
    )


def _refusal(row: dict[str, Any], min_days: int) -> _Proposal | None:
    """That a user stays unknown, and why, if so."""
    if row["fit"] is None:
        return _Proposal(why=NO_USE)
    if row["quiet"] < QUIET:
        return _Proposal(why="use around the clock")
    if row["days"] < min_days:
        return _Proposal(why=f"too few days: {row['days']}")
    if row["fit"] < LEAST_FIT:
        return _Proposal(why="no shape of a working week")
    if row["confidence"] < LEAST_CONFIDENCE:
        return _Proposal(confidence=round(row["confidence"], 3), why="working hours that fit no zone well")
    return None


def _proposed(row: dict[str, Any], choice: _Zones, *, is_closed: bool) -> _Proposal:
    """What is proposed for a user whose likeliest zone is likely enough."""
    name, offsets = choice.names[row["best"]], choice.offsets[row["best"]]
    found = _Proposal(offsets[row["main"]], zone=name, confidence=round(row["confidence"], 3))
    if min(row["days_summer"], row["days"] - row["days_summer"]) < HALF_DAYS:
        zone = name if is_closed else _fixed(name, offsets[row["main"]], offsets)
        return found._replace(zone=zone, why="too few days in one half of the year to see a change of the clock")
    summer, winter = offsets[row["summer"]], offsets[row["winter"]]
    if summer == winter:
        return found._replace(why="halves of the year are alike")
    why = f"halves of the year differ as in {name}"
    return found._replace(offset_summer=summer, offset_winter=winter, is_dst_aware=True, why=why)


def _fixed(name: str, offset: int, offsets: tuple[int, ...]) -> str | None:
    """A zone that has the offset all year, without saying anything of the other half."""
    if offset % 60 == 0:
        # The database counts these west of Greenwich.
        return f"Etc/GMT{-offset // 60:+d}" if offset else "Etc/GMT"
    return name if set(offsets) == {offset} else None
