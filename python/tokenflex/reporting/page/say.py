"""Values as they stand in cells: parted thousands, days, spans of time, yes and no; never more than was known."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Final

import polars as pl

from tokenflex.reporting.page.plain import NAME, plain
from tokenflex.words import tokens

if TYPE_CHECKING:
    from collections.abc import Callable

NOTHING: Final = "-"
TEXT: Final = 400
"""Characters of a cell: an explanation in words fits."""
_CENTS: Final = 8
"""Money has this scale; see `tables.MONEY`."""
_NAMED: Final = 12
_PLAIN: Final = {"line", "location", "session", "charge", "entry", "statement", "handle", "year", "case", "booking"}
"""Numbers of rows and lines: they name a place, so they are written as they are there."""
_SHARES: Final = ("share", "chance", "confidence", "coverage", "ratio")


def cells(values: pl.Series) -> list[str]:
    """The values of a column as text."""
    write = _writer(values)
    return [NOTHING if value is None else write(value) for value in values.to_list()]


def is_number(values: pl.Series) -> bool:
    """Whether the column belongs to the right, digit below digit."""
    dtype = values.dtype
    return dtype.is_numeric() or dtype == pl.Duration


def heading(values: pl.Series) -> str:
    """What stands over a column: its name with spaces, and the zone of its instants."""
    words = plain(values.name, NAME).replace("_", " ")
    return f"{words} (UTC)" if values.dtype == pl.Datetime("us", "UTC") else words


def span(length: timedelta) -> str:
    """`3 h 20 min`, `45 s`, `12 d 4 h`; with a sign where it is negative."""
    if length < timedelta(0):
        return f"-{span(-length)}"
    minutes, seconds = divmod(round(length.total_seconds()), 60)
    hours, minutes = divmod(minutes, 60)
    days, rest = divmod(hours, 24)
    if days:
        return f"{days:,} d {rest} h" if rest else f"{days:,} d"
    if hours:
        return f"{hours} h {minutes} min" if minutes else f"{hours} h"
    return f"{minutes} min" if minutes else f"{seconds} s"


def _writer(values: pl.Series) -> Callable[..., str]:
    dtype = values.dtype
    if isinstance(dtype, pl.Decimal):
        return _money if dtype.scale == _CENTS else tokens
    if dtype.is_integer():
        return str if values.name in _PLAIN else _whole
    if dtype.is_float():
        return _share if values.name.endswith(_SHARES) or values.name.startswith(_SHARES) else _fraction
    if isinstance(dtype, pl.Enum) and dtype.categories.str.contains("^[a-z_]+$").all():
        return word
    if isinstance(dtype, pl.List):
        return _list
    return _any


def word(value: str) -> str:
    """One of our own words, which a table writes as `left_open_overnight`."""
    return value.replace("_", " ")


def _money(value: Decimal) -> str:
    return f"{value:,.2f}"


def _whole(value: int) -> str:
    return f"{value:,}"


def _fraction(value: float) -> str:
    return f"{value:,.2f}"


def _share(value: float) -> str:
    return f"{value:.1%}"


def _list(value: list[object]) -> str:
    more = len(value) - _NAMED
    shown = ", ".join(_any(each) for each in value[:_NAMED])
    return f"{shown} and {more:,} more" if more > 0 else shown


def _any(value: object) -> str:
    for kind, write in _KINDS:
        if isinstance(value, kind):
            return write(value)
    return NOTHING if value is None else plain(str(value), TEXT)


def _instant(value: datetime) -> str:
    return f"{value:%Y-%m-%d\u00a0%H:%M:%S}" if value.second else f"{value:%Y-%m-%d\u00a0%H:%M}"


_KINDS: Final[tuple[tuple[type, Callable[..., str]], ...]] = (
    (bool, lambda value: "yes" if value else "no"),
    (datetime, _instant),
    (date, date.isoformat),
    (timedelta, span),
    (Decimal, tokens),
)
