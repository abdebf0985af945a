"""Signs of life: when a user was seen at work in a session, and when it is night or a free day where she is."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import time, timedelta
from typing import TYPE_CHECKING

import polars as pl

from tokenflex import tables
from tokenflex.arrow import AnyTable, columns_of
from tokenflex.errors import ArgumentError, ArgumentTypeError
from tokenflex.metering.charge import charge
from tokenflex.metering.meter import ACTIVITY, READS
from tokenflex.metering.rates import Rates
from tokenflex.metering.rule import Rule

if TYPE_CHECKING:
    from collections.abc import Iterable

WEEK = 7


def with_signs(touches: pl.DataFrame, activity: pl.DataFrame | None, rule: Rule) -> pl.DataFrame:
    """Adds to each touch what activity tells of its session.

    Returns:
        The touches with `is_known` (activity of this user, host and product was recorded, then too), `is_quiet` (none
        in the touch), `seen` (the last sign before the touch; the session's start is one), and `again` (from when on
        the session is in use after the window, null if it is not).
    """
    goes_on = pl.when("runs_on").then("until")
    if activity is None or activity.is_empty():
        never = pl.lit(value=False)
        return touches.with_columns(is_known=never, is_quiet=never, seen=pl.col("start"), again=goes_on)
    who = touches.select("user", "host", "product").unique().with_row_index("who")
    of_whom = touches.join(who, on=["user", "host", "product"], how="left", nulls_equal=True, maintain_order="left")
    known = (
        activity.join(who, on="user", how="inner", suffix="_of")
        .filter(
            pl.col("host").is_null() | (pl.col("host") == pl.col("host_of")),
            pl.col("product").is_null() | (pl.col("product") == pl.col("product_of")),
        )
        .drop("user", "host", "product", "host_of", "product_of")
    )
    signed = _by_instants(of_whom, known) if "time" in known.columns else _by_stretches(of_whom, known, rule)
    has_rows = pl.col("who").is_in(known["who"].unique().implode())
    waits = has_rows & pl.lit(rule.idle_after is not None)
    is_known = has_rows
    if "time" in activity.columns:
        # Where nobody's activity was recorded, none says nothing.
        first, last = activity["time"].min(), activity["time"].max()
        is_known &= (pl.col("from") >= first) & (pl.col("to") <= last)
        signed = signed.with_columns(pl.max_horizontal("seen", pl.lit(first)).alias("seen"))
    return (
        signed.with_columns(
            is_known=is_known,
            is_quiet=is_known & pl.col("is_quiet"),
            seen=pl.when(is_known).then(pl.max_horizontal("start", "seen")).otherwise("start"),
            # Idle use is not charged, so what is left begins where use resumes.
            again=pl.when(waits).then(pl.when(pl.col("resumes") < pl.col("end")).then("resumes")).otherwise("until"),
        )
        .with_columns(again=pl.when("runs_on").then("again"))
        .drop("who", "resumes")
    )


def activity_of(activity: AnyTable | None) -> pl.DataFrame | None:
    """Activity as text and instants, without rows that say nothing; refused if it is none that `charge` would take."""
    if activity is None:
        return None
    nothing = tables.empty(tables.SESSIONS).select(READS)
    rule = Rule(window="rolling", idle_after=timedelta(minutes=1))
    charge(nothing, rule=rule, rates=Rates({}), activity=activity)
    frame = pl.DataFrame(columns_of(activity, ACTIVITY))
    times = ["time"] if "time" in frame.columns else ["start", "end"]
    names = {
        name: pl.col(name).cast(pl.String) if name in frame.columns else pl.lit(None, pl.String)
        for name in ("user", "host", "product")
    }
    return frame.select(*[pl.col(name).cast(tables.TIME) for name in times], **names).drop_nulls(["user", *times])


def _by_instants(touches: pl.DataFrame, known: pl.DataFrame) -> pl.DataFrame:
    seen = known.select("who", "time").unique().sort("time")
    for name, left, strategy, exact in (
        ("seen", "from", "backward", False),
        ("next", "from", "forward", True),
        ("resumes", "until", "forward", True),
    ):
        touches = touches.sort(left).join_asof(
            seen.select("who", pl.col("time").alias(name)),
            left_on=left,
            right_on=name,
            by="who",
            strategy=strategy,  # type: ignore[arg-type] # one of the three above
            allow_exact_matches=exact,
            check_sortedness=False,
            coalesce=False,
        )
    is_quiet = pl.col("next").is_null() | (pl.col("next") >= pl.col("to"))
    return touches.with_columns(is_quiet=is_quiet).drop("next")


def _by_stretches(touches: pl.DataFrame, known: pl.DataFrame, rule: Rule) -> pl.DataFrame:
    idle = _islands(known)
    idle_after = rule.idle_after or timedelta(0)
    waiting = _islands(known.with_columns(pl.col("start") + idle_after))
    touches = _in_island(_in_island(touches, idle, "from", "before", exact=False), idle, "from", "at", exact=True)
    touches = _in_island(touches, waiting, "until", "wait", exact=True)
    return touches.with_columns(
        seen=pl.when(pl.col("before_end") >= pl.col("from")).then("before_start").otherwise("from"),
        is_quiet=(pl.col("at_end") >= pl.col("to")).fill_null(value=False),
        resumes=pl.when(pl.col("wait_end") > pl.col("until")).then("wait_end").otherwise("until"),
    ).drop("before_start", "before_end", "at_start", "at_end", "wait_start", "wait_end")


def _islands(known: pl.DataFrame) -> pl.DataFrame:
    """Stretches that overlap or touch, as one."""
    known = known.filter(pl.col("start") < pl.col("end")).sort("who", "start")
    reach = pl.col("end").cum_max().shift(1).over("who")
    begins = (pl.col("start") > reach).fill_null(value=True)
    return (
        known.with_columns(island=begins.cum_sum())
        .group_by("who", "island", maintain_order=True)
        .agg(pl.col("start").min(), pl.col("end").max())
    )


def _in_island(touches: pl.DataFrame, islands: pl.DataFrame, at: str, name: str, *, exact: bool) -> pl.DataFrame:
    """Adds the last island that begins at an instant or, unless `exact`, before it."""
    starts = islands.select("who", pl.col("start").alias(f"{name}_start"), pl.col("end").alias(f"{name}_end"))
    return touches.sort(at).join_asof(
        starts.sort(f"{name}_start"),
        left_on=at,
        right_on=f"{name}_start",
        by="who",
        allow_exact_matches=exact,
        check_sortedness=False,
        coalesce=False,
    )


@dataclass(frozen=True)
class Rest:
    """When nobody is expected at work: nights, by the clock on the wall, and whole days of the week."""

    begins: time
    ends: time
    free_days: frozenset[int]

    @classmethod
    def of(cls, night: object, free_days: Iterable[int]) -> Rest:
        """From what the caller says, or an error that says what is wrong with it."""
        if not (isinstance(night, tuple) and [type(each) for each in night] == [time, time]):
            raise ArgumentTypeError("night has to be two times, such as (time(20), time(6))", location="night")
        begins, ends = night
        if begins.tzinfo is not None or ends.tzinfo is not None:
            raise ArgumentError("night is by each user's own clock: leave the time zone out", location="night")
        if not (ends < begins or begins == time(0) < ends):
            raise ArgumentError(
                f"night is {begins} to {ends}, but has to pass midnight or begin there", location="night"
            )
        try:
            days = frozenset(free_days)
        except TypeError as error:
            raise ArgumentTypeError("free_days has to hold days of the week, 1 to 7", location="free_days") from error
        if not days <= set(range(1, WEEK + 1)) or len(days) == WEEK:
            raise ArgumentError(
                "free_days has to hold days of the week, 1 (Monday) to 7 (Sunday), and not all", location="free_days"
            )
        return cls(begins, ends, days)

    def columns(self, local: str) -> dict[str, pl.Expr]:
        """What a rest is to a local time.

        `rests` says whether the time lies in one, and `rest_end` when that ends. `evening` is the last start of a night
        that is not after the time, `next_night` the first that is not before it.
        """
        clock, date = pl.col(local).dt.time(), pl.col(local).dt.truncate("1d")
        begins, ends = (self._since_midnight(each) for each in (self.begins, self.ends))
        by_day = self.begins > time(0)
        is_late = (clock >= self.begins) if by_day else pl.lit(value=False)
        morning = date + pl.duration(days=is_late.cast(pl.Int64))
        weekday = pl.col(local).dt.weekday()
        rests = is_late | (clock < self.ends) | weekday.is_in(sorted(self.free_days))
        # In the day of a free day the rest goes on into the next.
        in_free_day = ~is_late & (clock >= self.ends)
        morning += pl.duration(days=in_free_day.cast(pl.Int64))
        days_off = morning.dt.weekday().replace_strict(self._days_off(), return_dtype=pl.Int64)
        today = date + begins
        return {
            "rests": rests,
            "rest_end": morning + pl.duration(days=days_off) + ends,
            "evening": pl.when(clock >= self.begins).then(today).otherwise(today - timedelta(days=1)),
            "next_night": pl.when(clock <= self.begins).then(today).otherwise(today + timedelta(days=1)),
        }

    def _days_off(self) -> dict[int, int]:
        """For each day of the week, how many days from it on are free."""
        off = {}
        for day in range(1, WEEK + 1):
            count = 0
            while (day - 1 + count) % WEEK + 1 in self.free_days:
                count += 1
            off[day] = count
        return off

    @staticmethod
    def _since_midnight(clock: time) -> timedelta:
        return timedelta(hours=clock.hour, minutes=clock.minute, seconds=clock.second, microseconds=clock.microsecond)
