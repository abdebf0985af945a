"""Business hours as one writes them: `08:00-18:00` on `1-5`."""

from __future__ import annotations

import re
from datetime import date, time
from typing import TYPE_CHECKING

import tokenflex as tf

if TYPE_CHECKING:
    from collections.abc import Iterable

WEEKDAYS = "1-5"
"""Monday to Friday, where nothing else is said."""


def hours_in(hours: str, *, days: str | None, holidays: Iterable[str | date]) -> tf.BusinessHours:
    """The business hours.

    Raises:
        ArgumentError: One of them is wrong; `location` is `hours`, `days` or `holiday`.
    """
    parts = re.fullmatch(r"(\d\d?:\d\d)-(\d\d?:\d\d)", hours)
    if parts is None:
        raise tf.ArgumentError(f"{hours}: write it as 08:00-18:00", location="hours")
    weekdays, free = _days(WEEKDAYS if days is None else days), [_date(day) for day in holidays]
    try:
        return tf.BusinessHours(start=_time(parts[1]), end=_time(parts[2]), days=weekdays, holidays=free)
    except ValueError as error:
        location = "days" if isinstance(error, tf.ArgumentError) and error.location == "days" else "hours"
        text = hours if location == "hours" else days
        raise tf.ArgumentError(f"{text}: {error}", location=location) from error


def _time(text: str) -> time:
    hour, minute = text.split(":")
    return time(0) if (hour, minute) == ("24", "00") else time(int(hour), int(minute))


def _days(text: str) -> list[int]:
    days: list[int] = []
    for part in text.split(","):
        written = re.fullmatch(r"([0-9])(?:-([0-9]))?", part.strip())
        if written is None:
            raise tf.ArgumentError(f"{text}: write it as 1-5 or 1,2,6; 1 is Monday", location="days")
        days += range(int(written[1]), int(written[2] or written[1]) + 1)
    return days


def _date(day: str | date) -> date:
    if isinstance(day, date):
        return day
    try:
        return date.fromisoformat(day)
    except ValueError as error:
        raise tf.ArgumentError(f"{day}: write it as 2026-12-25", location="holiday") from error
