"""Scenario paths as whole ten-thousandths of tokens: read from an array, a table or a forecast, and checked."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np
import polars as pl

from tokenflex.arrow import AnyTable, ArrowTable, columns_of, frame_of
from tokenflex.errors import (
    ArgumentError,
    ArgumentTypeError,
    CapacityError,
    ColumnTypeError,
    ColumnValueError,
    MissingColumnError,
)
from tokenflex.reading.names import is_text

if TYPE_CHECKING:
    from numpy.typing import NDArray

SCALE: Final = 10_000
MOST: Final = 10**10
"""The tokens of one path lie below it, as those of one pool do."""
_COLUMNS: Final = ("scenario", "day", "tokens")
_DATES: Final = (pl.Date, pl.Datetime("ms"), pl.Datetime("us"), pl.Datetime("ns"))
_ONE_DAY: Final = timedelta(days=1)
_DIMENSIONS: Final = 2


class Given(NamedTuple):
    """The paths in ten-thousandths, a row for each scenario and a column for each day."""

    units: NDArray[np.int64]
    start: date
    """Their first day."""
    cut: int
    """How many days were left out before it."""


def units_of(paths: object, *, start: date | None, n: int, seed: int) -> Given:
    """The paths from a day on.

    A forecast or a table that begins before `start` is cut there.
    """
    if callable(getattr(paths, "paths", None)):
        forecast: Any = paths
        begins = getattr(paths, "start", None)
        array = np.asarray(forecast.paths(n, seed=seed))
        return _from(array, begins=_first_day(start) if begins is None else begins, start=start, what="forecast")
    if isinstance(paths, ArrowTable | pl.LazyFrame):
        array, begins = _of_table(paths)
        return _from(array, begins=begins, start=start, what="table")
    if not isinstance(paths, np.ndarray | Sequence) or isinstance(paths, str | bytes):
        raise ArgumentTypeError(
            "paths have to be an array of scenarios and days, a table with scenario, day and tokens, or a forecast, "
            f"not {type(paths).__name__}",
            location="paths",
        )
    return Given(_whole(_array_of(paths)), _first_day(start), 0)


def _from(array: NDArray[Any], *, begins: date, start: date | None, what: str) -> Given:
    """The paths from a day on, since their own first day is known."""
    paths = _whole(array)
    first = begins if start is None else _first_day(start)
    cut, last = (first - begins) // _ONE_DAY, begins + (paths.shape[1] - 1) * _ONE_DAY
    if not 0 <= cut < paths.shape[1]:
        raise ArgumentError(
            f"start is {first}, but the {what} lasts from {begins} to {last}: give a day of it", location="start"
        )
    return Given(paths[:, cut:], first, cut)


def _array_of(paths: object) -> NDArray[Any]:
    try:
        return np.asarray(paths)
    except ValueError as error:
        raise ArgumentError(
            f"paths have to be of one length, as many days in each: {error}", location="paths"
        ) from error


def _first_day(start: object) -> date:
    if start is None:
        raise ArgumentError("start is missing: on which day do the paths begin?", location="start")
    if not isinstance(start, date) or isinstance(start, datetime):
        raise ArgumentTypeError(f"start has to be a date, not {type(start).__name__}", location="start")
    return start


def _whole(paths: NDArray[Any]) -> NDArray[np.int64]:
    if paths.dtype == object:
        try:
            paths = paths.astype(np.float64)
        except (TypeError, ValueError) as error:
            raise ArgumentTypeError(f"paths have to hold numbers: {error}", location="paths") from error
    if not np.issubdtype(paths.dtype, np.integer) and not np.issubdtype(paths.dtype, np.floating):
        raise ArgumentTypeError(f"paths have to hold numbers, not {paths.dtype}", location="paths")
    if paths.ndim != _DIMENSIONS or 0 in paths.shape:
        shape = " x ".join(map(str, paths.shape))
        raise ArgumentError(
            f"paths are of the shape {shape or 'of one number'}, but need a row for each scenario and a column for "
            "each day, at least one of each",
            location="paths",
        )
    tokens = paths.astype(np.float64)
    for is_wrong, what in ((~np.isfinite(tokens), "is no number"), (tokens < 0, "is negative")):
        if is_wrong.any():
            scenario, day = np.argwhere(is_wrong)[0]
            said = f"paths[{scenario}, {day}] is {tokens[scenario, day]}, which {what}: tokens of a day are 0 or more"
            raise ArgumentError(said, location="paths")
    if tokens.sum(axis=1).max() >= MOST:
        raise CapacityError(f"a path has {MOST:,} tokens or more, which is more than a pool can have", location="paths")
    return np.rint(tokens * SCALE).astype(np.int64)


def _of_table(table: AnyTable) -> tuple[NDArray[Any], date]:
    frame = frame_of(columns_of(table, _COLUMNS))
    _check_columns(frame)
    frame = frame.select(
        pl.col("scenario").cast(pl.String), pl.col("day").cast(pl.Date), pl.col("tokens").cast(pl.Float64)
    )
    for name in _COLUMNS:
        if frame[name].has_nulls():
            row = int(frame[name].is_null().arg_max() or 0)
            raise ColumnValueError(f"column {name!r} is null in row {row}: every path needs it", column=name, row=row)
    if frame.is_empty():
        raise ArgumentError("the paths have no rows: at least one scenario of one day is needed", location="paths")
    first, last = frame["day"].min(), frame["day"].max()
    assert isinstance(first, date)  # noqa: S101 - of dates the least is one
    assert isinstance(last, date)  # noqa: S101 - likewise
    days = (last - first) // _ONE_DAY + 1
    counts = frame.group_by("scenario", maintain_order=True).agg(pl.len(), pl.n_unique("day"))
    odd = counts.filter((pl.col("len") != days) | (pl.col("day") != days))
    if not odd.is_empty():
        name, rows, _ = odd.row(0)
        raise ColumnValueError(
            f"the scenario {name!r} has {rows:,} rows, but each needs one for each of the {days:,} days from {first} "
            f"to {last}",
            column="day",
        )
    # Scenarios stay in the order in which they come.
    place = frame["scenario"].rle_id() if counts.height == 1 else _places(frame, counts)
    ordered = frame.with_columns(place=place).sort("place", "day")
    return ordered["tokens"].to_numpy().reshape(counts.height, days), first


def _places(frame: pl.DataFrame, counts: pl.DataFrame) -> pl.Series:
    numbered = counts.select("scenario").with_row_index("place")
    return frame.join(numbered, on="scenario", how="left", maintain_order="left")["place"]


def _check_columns(frame: pl.DataFrame) -> None:
    for name in _COLUMNS:
        if name not in frame.columns:
            raise MissingColumnError(f"column {name!r} is missing; paths need {', '.join(_COLUMNS)}", column=name)
    schema = frame.schema
    wanted = {
        "scenario": (is_text(schema["scenario"]) or schema["scenario"].is_integer(), "numbers or names"),
        # Pandas has instants for dates.
        "day": (schema["day"] in _DATES, "dates"),
        "tokens": (schema["tokens"].is_numeric(), "numbers"),
    }
    for name, (is_right, what) in wanted.items():
        if not is_right and schema[name] != pl.Null:
            raise ColumnTypeError(f"column {name!r} is {schema[name]}, but has to be {what}", column=name)
