"""Text of one column to dates, times, exact decimals and the vendor's words; what cannot be read stays null."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

import polars as pl

from tokenflex import tables

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_LOCAL: Final = pl.Datetime("us")
_ISO_DATE: Final = "%Y-%m-%d"
_ISO_TIME: Final = "%Y-%m-%dT%H:%M:%S"
_CLOCKS: Final = ("%H:%M:%S%.f", "%H:%M", "%I:%M:%S %p", "%I:%M %p")
_MIDNIGHT: Final = r"[T ]0?0:00(?::00(?:\.0+)?)?(?:Z|[+-]00:?00)?$"
_OWN_OFFSET: Final = r"(?i)(:\d{2}(?:\.\d+)?)\s*(Z|UTC|GMT|[+-]\d{1,2}(?::?\d{2})?)$"
_EXACT: Final = r"^[+-]?(?:\d{1,30}(?:\.\d{0,4}0*)?|\.\d{1,4}0*)$"
"""A number that a decimal of scale 4 holds without rounding. Casting alone would round."""
_OFFSET: Final = re.compile(r"(?:UTC|GMT)?\s*([+-]?)(\d{1,2})(?::?(\d{2}))?(?::00)?")
_FURTHEST: Final = 18 * 60
"""No clock is further from UTC than this, in minutes."""


def _again(text: pl.Series, first: pl.Series, other: Callable[[pl.Series], pl.Series]) -> pl.Series:
    """The first reading, and where it has none though there is text, the other one."""
    rows = (first.is_null() & text.is_not_null()).arg_true()
    return first.scatter(rows, other(text.gather(rows))) if len(rows) > 0 else first


def dates(text: pl.Series, date_format: str | None) -> pl.Series:
    """Dates written `2018-03-01`, with a midnight behind or not, or in the caller's format."""

    def otherwise(text: pl.Series) -> pl.Series:
        text = text.str.strip_chars()
        read = text.str.replace(_MIDNIGHT, "").str.to_date(_ISO_DATE, strict=False)
        if date_format is None:
            return read
        return read.zip_with(read.is_not_null(), text.str.to_date(date_format, strict=False))

    return _again(text, text.str.to_date(_ISO_DATE, strict=False), otherwise)


def local_times(text: pl.Series, date_format: str | None) -> tuple[pl.Series, pl.Series]:
    """Times on the clock, and how many minutes that clock is ahead of UTC where the text says so itself."""
    # Times hardly repeat: looking each up costs more than reading it.
    read = text.str.to_datetime(_ISO_TIME, time_unit="us", strict=False, cache=False)
    rows = (read.is_null() & text.is_not_null()).arg_true()
    own = pl.repeat(None, len(text), dtype=pl.Int16, eager=True)
    if len(rows) == 0:
        return read, own
    odd = text.gather(rows).str.strip_chars()
    offset = offsets(odd.str.extract(_OWN_OFFSET, 2))
    clock = odd.str.replace(_OWN_OFFSET, "$1").str.replace(r"^(\d{4}-\d{2}-\d{2})T", "$1 ")
    formats = [f"{day} {time}" for day in filter(None, (_ISO_DATE, date_format)) for time in _CLOCKS]
    if date_format is not None:
        formats.append(date_format)
    times = clock.to_frame("clock").select(
        pl.coalesce(pl.col("clock").str.to_datetime(form, time_unit="us", strict=False) for form in formats)
    )
    return read.scatter(rows, times.to_series().cast(_LOCAL)), own.scatter(rows, offset)


def offsets(text: pl.Series) -> pl.Series:
    """Minutes ahead of UTC, from `-8:00`, `+05:30`, `Z` and their like."""
    spelled = text.unique().drop_nulls()
    minutes = pl.Series([_minutes(each) for each in spelled], dtype=pl.Int16)
    return _mapped(text, spelled, minutes)


def _minutes(text: str) -> int | None:
    text = text.strip().upper()
    if text in {"Z", "UTC", "GMT"}:
        return 0
    match = _OFFSET.fullmatch(text)
    if match is None:
        return None
    sign, hours, minutes = match.groups(default="0")
    ahead = 60 * int(hours) + int(minutes)
    if int(minutes) >= 60 or ahead > _FURTHEST:  # noqa: PLR2004 - minutes of an hour
        return None
    return -ahead if sign == "-" else ahead


def decimals(text: pl.Series) -> pl.Series:
    """Numbers of at most four decimals, exactly."""

    def exact(text: pl.Series) -> pl.Series:
        # The blanks that a spreadsheet leaves around numbers are no part of them.
        text = text.str.strip_chars()
        number = text.cast(tables.TOKENS, strict=False)
        return number.set(~text.str.contains(_EXACT).fill_null(value=True), None)

    # Most are whole, and whole numbers are read at a third of the cost.
    return _again(text, text.cast(pl.Int64, strict=False).cast(tables.TOKENS), exact)


def whole_numbers(text: pl.Series) -> pl.Series:
    """Whole numbers from 0 to 65,535."""

    def otherwise(text: pl.Series) -> pl.Series:
        return text.str.strip_chars().str.replace(r"\.0+$", "").cast(pl.UInt16, strict=False)

    return _again(text, text.cast(pl.UInt16, strict=False), otherwise)


def words(text: pl.Series, known: Sequence[str]) -> pl.Series:
    """The vendor's words, in any case and with any separators."""
    dtype = pl.Enum(known)

    def otherwise(text: pl.Series) -> pl.Series:
        spelled = text.unique().drop_nulls()
        by_key = {_key(word): word for word in known}
        return _mapped(text, spelled, pl.Series([by_key.get(_key(each)) for each in spelled], dtype=dtype))

    return _again(text, text.cast(dtype, strict=False), otherwise)


def _key(word: str) -> str:
    return "".join(letter for letter in word.casefold() if letter.isalnum())


def _mapped(text: pl.Series, spelled: pl.Series, values: pl.Series) -> pl.Series:
    if len(spelled) == 1 and text.null_count() == 0:
        return values.new_from_index(0, len(text))
    return text.replace_strict(spelled, values, default=None, return_dtype=values.dtype)
