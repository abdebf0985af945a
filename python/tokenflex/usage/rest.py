"""When it is night or a free day where a user is: nobody is expected at work then."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, time, timedelta
from typing import TYPE_CHECKING, Final

import polars as pl

from tokenflex.errors import ArgumentError, ArgumentTypeError

if TYPE_CHECKING:
    from collections.abc import Iterable

WEEK: Final = 7


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

    def pieces(self, first: date, last: date) -> pl.DataFrame:
        """Nights and the days between them by the clock on the wall, from before `first` to after `last`.

        Returns:
            `local`, when each piece begins (it ends where the next one does), and `kind`: `night`, `free` or `work`.
        """
        begins, ends = (self._since_midnight(each) for each in (self.begins, self.ends))
        dates = pl.date_range(first - timedelta(days=2), last + timedelta(days=2), eager=True).alias("date")
        evening = dates.to_frame().with_columns(pl.col("date").cast(pl.Datetime("us")).alias("midnight"))
        morning = pl.col("midnight") + (ends + (timedelta(days=1) if self.begins > time(0) else timedelta(0)))
        nights = evening.select(local=pl.col("midnight") + begins, kind=pl.lit("night"))
        is_free = pl.col("local").dt.weekday().is_in(sorted(self.free_days))
        days = evening.select(local=morning).with_columns(
            kind=pl.when(is_free).then(pl.lit("free")).otherwise(pl.lit("work"))
        )
        return pl.concat([nights, days]).sort("local")
