"""Instants and durations of Python as the whole microseconds of the compiled part."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Final

from tokenflex.errors import ArgumentError, ArgumentTypeError

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND: Final = timedelta(microseconds=1)
TOO_LATE: Final = datetime(2200, 1, 1, tzinfo=UTC)
"""The first instant that is too late for a time in data; the first that is not too early is `EPOCH`."""


def microseconds(instant: object, argument: str) -> int:
    """Microseconds since 1970-01-01T00:00Z of an aware datetime."""
    if not isinstance(instant, datetime):
        raise ArgumentTypeError(
            f"{argument} has to be a datetime with a time zone, not {type(instant).__name__}", location=argument
        )
    if instant.tzinfo is None:
        raise ArgumentError(
            f"{argument}={instant} has no time zone: write datetime(…, tzinfo=timezone.utc) or another zone",
            location=argument,
        )
    return (instant - EPOCH) // MICROSECOND


def instant_in_data(instant: object, argument: str) -> int:
    """The same, of an instant that data may have."""
    time = microseconds(instant, argument)
    if not 0 <= time < microseconds(TOO_LATE, argument):
        raise ArgumentError(
            f"{argument}={instant} lies outside of 1970 to 2199, the years that data may have", location=argument
        )
    return time


def instant_or_date(value: object, where: str) -> datetime | None:
    """An instant of an aware datetime or of a date, which begins at 00:00 UTC; both also as text, empty is none."""
    if value is None or value == "":
        return None
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value) if "T" in value or " " in value else date.fromisoformat(value)
        except ValueError as error:
            raise ArgumentError(
                f"{where} is {value!r}, but has to be a date such as 2026-01-31, or a time with its zone",
                location=where,
            ) from error
    if isinstance(value, date) and not isinstance(value, datetime):
        return datetime(value.year, value.month, value.day, tzinfo=UTC)
    microseconds(value, where)
    return value.astimezone(UTC) if isinstance(value, datetime) else None


def checked_duration(value: object, argument: str, *, below: timedelta | None = None) -> timedelta:
    """A duration that is not negative, and shorter than another where one is given."""
    if not isinstance(value, timedelta):
        raise ArgumentTypeError(f"{argument} has to be a timedelta, not {type(value).__name__}", location=argument)
    if value < timedelta(0):
        raise ArgumentError(f"{argument} is {value}, but must not be negative", location=argument)
    if below is not None and value >= below:
        raise ArgumentError(f"{argument} is {value}, but has to lie below {below}", location=argument)
    return value
