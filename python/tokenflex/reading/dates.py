"""Times and durations as foreign tables write them, into exact ones; what the data cannot decide is asked for."""

from __future__ import annotations

from typing import Final, NamedTuple

import polars as pl

from tokenflex.errors import ArgumentError, ArgumentTypeError, ColumnTypeError
from tokenflex.reading.mapping import unit_of

LOCAL: Final = pl.Datetime("us")
INSTANT: Final = pl.Datetime("us", "UTC")
EPOCHS: Final = {"epoch_s": 1_000_000, "epoch_ms": 1_000}
SAMPLE: Final = 2_000
FOUR_DIGITS: Final = 1_000
LONGEST: Final = 10**16
"""Microseconds: more than 300 years."""
EXCEL_EPOCH: Final = -25_569
"""Day 0 of Excel's serial numbers, 1899-12-30, in days since 1970."""

_DAYS: Final = {
    "year first": ("%Y-%m-%d", "%Y/%m/%d", "%Y.%m.%d"),
    "day first": ("%d/%m/%Y", "%d-%m-%Y", "%d.%m.%Y"),
    "month first": ("%m/%d/%Y", "%m-%d-%Y"),
    "day first, short year": ("%d/%m/%y", "%d-%m-%y", "%d.%m.%y"),
    "month first, short year": ("%m/%d/%y", "%m-%d-%y"),
    "short year first": ("%y/%m/%d", "%y-%m-%d"),
    "month by name": ("%d-%b-%Y", "%d %b %Y", "%b %d, %Y", "%b %d %Y", "%d-%b-%y"),
}
_CLOCKS: Final = (" %H:%M:%S", " %H:%M", " %H:%M:%S%.f", " %I:%M:%S %p", " %I:%M %p", "")
_ISO: Final = tuple(
    f"%Y-%m-%d{between}{clock}{zone}"
    for between in ("T", " ")
    for clock in ("%H:%M:%S", "%H:%M:%S%.f", "%H:%M")
    for zone in ("", "%#z", " %#z")
)
FAMILIES: Final = {
    family: (_ISO if family == "year first" else ())
    + tuple(day + clock for day in days for clock in _CLOCKS)
    + tuple(day + "," + clock for day in days for clock in _CLOCKS if clock and family != "year first")
    for family, days in _DAYS.items()
}
"""The formats that are tried, in families that order day, month and year alike."""

UNITS: Final = {"ms": 1_000, "s": 1_000_000, "min": 60_000_000, "h": 3_600_000_000}
TEXT_UNITS: Final = ("h:mm", "m:ss", "h:mm:ss")


class Times(NamedTuple):
    """A column of times.

    Attributes:
        local: Times that do not say their zone; null where `instant` is not.
        instant: Times that do.
        bad: Whether there is something that is no time.
    """

    local: pl.Series
    instant: pl.Series
    bad: pl.Series


def times_of(columns: list[pl.Series], date_format: str | None, *, serial: bool) -> list[Times]:
    """Columns of times as times; all text columns have one format.

    Args:
        columns: The columns of one table.
        date_format: How text is written, as polars takes it; or `epoch_s`, `epoch_ms`, `excel`.
        serial: Whether numbers are Excel's.

    Raises:
        ArgumentError: The format cannot be told from the data.
        ColumnTypeError: A column is of a type that is no time.
    """
    if date_format is not None and not isinstance(date_format, str):
        raise ArgumentTypeError(f"date_format has to be text, not {type(date_format).__name__}", location="date_format")
    texts = [column for column in columns if column.dtype == pl.String]
    formats: tuple[str, ...] = ()
    if texts and date_format not in (*EPOCHS, "excel"):
        formats = (date_format,) if date_format is not None else _formats_of(texts)
    found = [_times(column, date_format, formats, serial=serial) for column in columns]
    if date_format is not None:
        _refuse_if_none(columns, found, date_format)
    return found


def _refuse_if_none(columns: list[pl.Series], found: list[Times], date_format: str) -> None:
    """A format that reads not one time of a table is a bad call, not bad data."""
    if any(times.bad.any() for times in found) and all(
        times.local.null_count() + times.instant.null_count() == 2 * times.bad.len() for times in found
    ):
        column, row = next(
            (column, times.bad.arg_max() or 0) for column, times in zip(columns, found, strict=True) if times.bad.any()
        )
        raise ArgumentError(
            f"date_format={date_format!r} reads none of the times, such as {column[row]!r} in column {column.name!r}",
            location="date_format",
        )


def bare(column: pl.Series) -> pl.Series:
    """Texts without spaces around them; an empty one is null."""
    text = column.str.strip_chars()
    return pl.select(pl.when(text != "").then(text)).to_series()


def durations_of(column: pl.Series, unit: str | None) -> tuple[pl.Series, pl.Series]:
    """A column of durations as whole microseconds, and where there is something that is none.

    Raises:
        ArgumentError: The unit is not stated, or is none.
        ColumnTypeError: The column is of a type that is no duration.
    """
    if unit is not None and unit not in UNITS and unit not in TEXT_UNITS:
        raise ArgumentError(
            f"duration_unit is {unit!r}, but has to be one of {', '.join([*UNITS, *TEXT_UNITS])}",
            location="duration_unit",
        )
    if isinstance(column.dtype, pl.Duration):
        found = column.dt.total_microseconds()
    elif column.dtype == pl.Time:
        found = column.cast(pl.Int64) // 1_000
    elif column.dtype == pl.String:
        found = _text_durations(column.str.strip_chars(), unit)
    elif column.dtype.is_numeric() or column.dtype == pl.Null:
        size = _size_of(column, unit)
        if column.dtype.is_float():
            found = (column * size).round().cast(pl.Int64, strict=False)
        else:
            found = (
                (_within(column.cast(pl.Decimal(38, 9), strict=False), LONGEST) * size)
                .round()
                .cast(pl.Int64, strict=False)
            )
    else:
        raise ColumnTypeError(
            f"column {column.name!r} is {column.dtype}, but has to be durations: numbers, h:mm:ss or Duration",
            column=column.name,
        )
    found = _within(found, LONGEST)
    good = found.is_not_null() & (found >= 0)
    given = column.is_not_null() & (column.str.strip_chars() != "" if column.dtype == pl.String else True)
    return pl.select(pl.when(good).then(found)).to_series(), given & ~good.fill_null(value=False)


def _within(values: pl.Series, limit: int) -> pl.Series:
    """The values whose size is within a limit, so that what is made of them does not run over; null elsewhere."""
    return pl.select(pl.when(values.is_between(-limit, limit)).then(values)).to_series()


def _size_of(column: pl.Series, unit: str | None) -> int:
    unit = unit or unit_of(column.name)
    if unit not in UNITS:
        raise ArgumentError(
            f"column {column.name!r} has numbers and does not say their unit: give duration_unit='s', 'min', 'h' or "
            "'ms'",
            location="duration_unit",
        )
    return UNITS[unit]


def _text_durations(column: pl.Series, unit: str | None) -> pl.Series:
    whole = column.str.extract_groups(r"^(?:(\d{1,5})[. ])?(\d{1,6}):([0-5]?\d):([0-5]?\d)(?:\.(\d{1,6}))?$").struct
    days, hours, minutes, seconds, fraction = (whole.field(str(part)) for part in range(1, 6))
    parts = [days, hours, minutes, seconds]
    sizes = [24 * UNITS["h"], UNITS["h"], UNITS["min"], UNITS["s"]]
    total = pl.select(
        pl.when(hours.is_not_null()).then(
            pl.sum_horizontal(part.cast(pl.Int64) * size for part, size in zip(parts, sizes, strict=True))
            + pl.coalesce(fraction.str.pad_end(6, "0").cast(pl.Int64), 0)
        )
    ).to_series()
    two = column.str.extract_groups(r"^(\d{1,6}):([0-5]?\d)$").struct
    if two.field("1").is_not_null().any():
        if unit not in ("h:mm", "m:ss"):
            row = two.field("1").is_not_null().arg_max() or 0
            raise ArgumentError(
                f"column {column.name!r} has {column[row]!r}, which may be hours or minutes: give "
                "duration_unit='h:mm' or 'm:ss'",
                location="duration_unit",
            )
        size = UNITS["min"] if unit == "h:mm" else UNITS["s"]
        total = pl.select(
            pl.coalesce(total, (two.field("1").cast(pl.Int64) * 60 + two.field("2").cast(pl.Int64)) * size)
        ).to_series()
    numbers = column.str.contains(r"^\d{1,15}(\.\d{1,9}0*)?$")
    if numbers.any():
        size = _size_of(column, unit)
        exact = pl.select(pl.when(numbers).then(column)).to_series().cast(pl.Decimal(38, 9), strict=False)
        total = pl.select(pl.coalesce(total, (exact * size).round().cast(pl.Int64, strict=False))).to_series()
    return total


def _times(column: pl.Series, date_format: str | None, formats: tuple[str, ...], *, serial: bool) -> Times:
    dtype = column.dtype
    if isinstance(dtype, pl.Datetime):
        if dtype.time_zone is None:
            return _of(local=column.cast(LOCAL))
        return _of(instant=column.dt.convert_time_zone("UTC").cast(INSTANT))
    if dtype == pl.Date:
        return _of(local=column.cast(LOCAL))
    if dtype == pl.Null:
        return _of(local=column.cast(LOCAL))
    if dtype == pl.String and date_format not in (*EPOCHS, "excel"):
        return _text_times(column, formats)
    if dtype == pl.String or dtype.is_numeric():
        return _number_times(column, date_format or ("excel" if serial else None))
    raise ColumnTypeError(f"column {column.name!r} is {dtype}, but has to be times", column=column.name)


def _of(*, local: pl.Series | None = None, instant: pl.Series | None = None, bad: pl.Series | None = None) -> Times:
    one = local if local is not None else instant
    length = one.len() if one is not None else 0
    return Times(
        pl.Series([None], dtype=LOCAL).new_from_index(0, length) if local is None else local,
        pl.Series([None], dtype=INSTANT).new_from_index(0, length) if instant is None else instant,
        pl.repeat(value=False, n=length, eager=True) if bad is None else bad,
    )


def _number_times(column: pl.Series, date_format: str | None) -> Times:
    text = bare(column) if column.dtype == pl.String else column
    if date_format in EPOCHS:
        ticks = _within(text.cast(pl.Int64, strict=False), LONGEST // EPOCHS[date_format]) * EPOCHS[date_format]
        times = ticks.cast(INSTANT)
        return _of(instant=times, bad=text.is_not_null() & times.is_null())
    if date_format == "excel":
        days = text.cast(pl.Float64, strict=False)
        # Excel keeps milliseconds; the day's fraction in a binary float has some more digits of noise.
        thousandths = ((days + EXCEL_EPOCH) * 86_400_000).round().cast(pl.Int64, strict=False)
        ticks = _within(thousandths, LONGEST // 1_000) * 1_000
        times = ticks.cast(LOCAL)
        return _of(local=times, bad=text.is_not_null() & times.is_null())
    raise ArgumentError(
        f"column {column.name!r} has numbers where times have to be: give date_format='epoch_s', 'epoch_ms' or 'excel'",
        location="date_format",
        column=column.name,
    )


def _text_times(column: pl.Series, formats: tuple[str, ...]) -> Times:
    text = bare(column)
    found = _parsed(text, formats)
    return Times(*found, text.is_not_null() & found[0].is_null() & found[1].is_null())


def _parsed(text: pl.Series, formats: tuple[str, ...]) -> tuple[pl.Series, pl.Series]:
    """Local times and instants of those texts that have one of some formats."""
    local = pl.Series([None], dtype=LOCAL).new_from_index(0, text.len())
    instant = pl.Series([None], dtype=INSTANT).new_from_index(0, text.len())
    for each in formats:
        rest = (text.is_not_null() & local.is_null() & instant.is_null()).arg_true()
        if rest.len() == 0:
            break
        found = _one(text if rest.len() == text.len() else text.gather(rest), each)
        if found.dtype == LOCAL:
            local = found if rest.len() == text.len() else local.scatter(rest, found)
        else:
            instant = found if rest.len() == text.len() else instant.scatter(rest, found)
    return local, instant


def _one(text: pl.Series, date_format: str) -> pl.Series:
    try:
        found = text.str.to_datetime(date_format, strict=False, time_unit="us")
    except pl.exceptions.PolarsError as error:
        raise ArgumentError(
            f"date_format={date_format!r} is no format of date and time, as in '%d/%m/%Y %H:%M': {error}",
            location="date_format",
        ) from error
    # `%Y` reads 26 as the year 26.
    first = found.dt.year().min() if "%Y" in date_format else None
    if isinstance(first, int) and first < FOUR_DIGITS:
        return pl.select(pl.when(found.dt.year() >= FOUR_DIGITS).then(found)).to_series()
    return found


def _formats_of(columns: list[pl.Series]) -> tuple[str, ...]:
    """The formats of the one family that the texts are written in."""
    text = pl.concat([column.rename("time") for column in columns])
    sample = bare(text.gather_every(max(1, text.len() // SAMPLE))).drop_nulls()
    if sample.len() == 0:
        sample = bare(text).drop_nulls()
    fits = {family: _fitting(sample, formats) for family, formats in FAMILIES.items()}
    fits = {family: formats for family, formats in fits.items() if formats}
    if not fits:
        if sample.len() == 0:
            return ()
        raise ArgumentError(
            f"the times in {', '.join(repr(column.name) for column in columns)} are in no format that is known, such "
            f"as {sample[0]!r}: give date_format= with strftime's signs, as in '%d/%m/%Y %H:%M:%S'",
            location="date_format",
        )
    first = next(iter(fits))
    if len(fits) > 1:
        first = _decided(bare(text).drop_nulls(), fits)
    return (*fits[first], *(each for each in FAMILIES[first] if each not in fits[first]))


def _fitting(sample: pl.Series, formats: tuple[str, ...]) -> tuple[str, ...]:
    """Those formats that some text has, the commonest first."""
    counts = []
    rest = sample
    for each in formats:
        if rest.len() == 0:
            break
        found = _one(rest, each)
        if (count := found.len() - found.null_count()) > 0:
            counts.append((-count, each))
            rest = rest.filter(found.is_null())
    return tuple(each for _, each in sorted(counts, key=lambda pair: pair[0]))


def _decided(text: pl.Series, fits: dict[str, tuple[str, ...]]) -> str:
    """The family that reads more than any other; a tie is for the caller to decide, unless both read the same."""
    distinct = text.unique(maintain_order=True)
    read = {family: _parsed(distinct, FAMILIES[family])[0] for family in fits}
    counts = {family: times.len() - times.null_count() for family, times in read.items()}
    best = max(counts, key=lambda family: counts[family])
    for other, times in read.items():
        if other == best or times.null_count() == times.len():
            continue
        only_other = (read[best].is_null() & times.is_not_null()).any()
        differs = ((read[best] != times) & times.is_not_null() & read[best].is_not_null()).arg_true()
        only_best = (read[best].is_not_null() & times.is_null()).any()
        if differs.len() > 0 and (only_other or not only_best):
            row = differs[0]
            raise ArgumentError(
                f"{distinct[row]!r} is {read[best][row]:%Y-%m-%d} with the {best.replace(' first', '')} first and "
                f"{times[row]:%Y-%m-%d} with the {other.replace(' first', '')} first, and the data does not decide: "
                f"give date_format={fits[best][0]!r} or date_format={fits[other][0]!r}",
                location="date_format",
            )
    return best
