"""`BusinessHours`: when a site works, as a value."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import date, datetime, time
from typing import Any, Final

from tokenflex.errors import ArgumentError, ArgumentTypeError

EPOCH: Final = date(1970, 1, 1)
DAYS: Final = range(1, 8)
"""ISO 8601: Monday is 1."""
MIDNIGHT: Final = time()
DAY_US: Final = 86_400_000_000


@dataclass(frozen=True, kw_only=True)
class BusinessHours:
    """When a site works, by the clock on its wall.

    An hour that a change of the clock skips has no time, and one that it shows twice counts twice.

    Attributes:
        start: From when on.
        end: Until when, exclusive; `time(0)` is the end of the day. Hours over midnight are two values: look at them
            one after the other.
        days: Weekdays from 1, Monday, to 7, Sunday.
        holidays: Dates on which nobody works.

    Example:
        >>> import tokenflex as tf
        >>> from datetime import date, time
        >>> tf.BusinessHours(start=time(7, 30), end=time(17), holidays=[date(2026, 12, 25)]).days
        (1, 2, 3, 4, 5)
    """

    start: time = time(8)
    end: time = time(18)
    days: Collection[int] = (1, 2, 3, 4, 5)
    holidays: Collection[date] = ()

    def __post_init__(self) -> None:
        for name in ("start", "end"):
            at = getattr(self, name)
            if not isinstance(at, time) or at.tzinfo is not None:
                raise ArgumentTypeError(
                    f"{name} has to be a time of the day without a zone, such as time(8, 30)", location=name
                )
        if self.end != MIDNIGHT and self.end <= self.start:
            raise ArgumentError(
                f"hours end at {self.end} and start at {self.start}: give an end after the start, time(0) for midnight",
                location="end",
            )
        days = tuple(sorted(set(_each(self.days, "days"))))
        if not days or not all(isinstance(day, int) and day in DAYS for day in days):
            raise ArgumentError("days has to hold numbers from 1, Monday, to 7, Sunday", location="days")
        holidays = tuple(sorted(set(_each(self.holidays, "holidays"))))
        if not all(isinstance(day, date) and not isinstance(day, datetime) for day in holidays):
            raise ArgumentTypeError("holidays has to hold dates", location="holidays")
        object.__setattr__(self, "days", days)
        object.__setattr__(self, "holidays", holidays)

    def parts(self) -> tuple[list[bool], int, int, list[int]]:
        """For the compiled part: weekdays, microseconds after midnight from and to, holidays as days since 1970."""
        until = DAY_US if self.end == MIDNIGHT else _microseconds(self.end)
        holidays = [(day - EPOCH).days for day in self.holidays]
        return [day in self.days for day in DAYS], _microseconds(self.start), until, holidays


def _each(values: object, name: str) -> Iterable[Any]:
    if isinstance(values, str) or not isinstance(values, Iterable):
        raise ArgumentTypeError(f"{name} has to be several values, not {type(values).__name__}", location=name)
    return values


def _microseconds(at: time) -> int:
    return ((at.hour * 60 + at.minute) * 60 + at.second) * 1_000_000 + at.microsecond
