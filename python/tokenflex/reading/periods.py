"""Rows that hold from one instant to another: read, checked, and found by key and time. Aliases and groups are such."""

from __future__ import annotations

import io
import itertools
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import polars as pl

from tokenflex import tables
from tokenflex.errors import (
    ArgumentError,
    ArgumentTypeError,
    ColumnTypeError,
    ColumnValueError,
    MissingColumnError,
    SourceError,
    SourceNotFoundError,
)
from tokenflex.reading.names import is_text
from tokenflex.times import EPOCH, instant_or_date, microseconds

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

EVER: Final = 2**62
"""Later than any time in microseconds, and its negative earlier."""

TIME_COLUMNS: Final = ("start", "charged_at", "time", "usage_date")
"""Where sessions, charges, events and daily exports have their time."""


def read_rows(path: str | Path, what: str) -> pl.DataFrame:
    """The rows of a `.csv` or `.parquet` file; CSV as text, in the encodings and separators that spreadsheets write."""
    path = Path(path)
    try:
        if path.suffix.lower() == ".parquet":
            return pl.read_parquet(path)
        text = _text(path.read_bytes())
        header = text.partition("\n")[0]
        separator = max(",;\t", key=header.count)
        frame = pl.read_csv(io.BytesIO(text.encode()), infer_schema=False, separator=separator)
        return frame.rename(lambda name: _header(name, frame.columns))
    except FileNotFoundError as error:
        raise SourceNotFoundError(f"there is no file {path} of {what}", location=str(path)) from error
    except (OSError, UnicodeError) as error:
        raise SourceError(f"{path} cannot be read: {error}", location=str(path)) from error
    except pl.exceptions.PolarsError as error:
        raise SourceError(f"{path} is no table of {what}: {error}", location=str(path)) from error


def _text(data: bytes) -> str:
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return data.decode("utf-16")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("cp1252")


def _header(name: str, taken: Sequence[str]) -> str:
    """`Cost Center` is `cost_centre`."""
    plain = "_".join(name.lower().split()).replace("cost_center", "cost_centre")
    return name if plain in taken else plain


def dated_rows(frame: pl.DataFrame, schema: tables.Schema, needed: Sequence[str], what: str) -> pl.DataFrame:
    """The rows with the columns and types of `schema`: text without outer blanks, and a period that is one."""
    for column in needed:
        if column not in frame.columns:
            raise MissingColumnError(
                f"column {column!r} is missing; the {what} have: {', '.join(frame.columns)}", column=column
            )
    for column in frame.columns:
        if column.lower().startswith("valid") and column not in schema:
            raise ArgumentError(
                f"column {column!r} of the {what} is not known: periods are in valid_from and valid_to", location=what
            )
    columns = []
    for name, dtype in schema.items():
        if name not in frame.columns:
            columns.append(pl.Series(name, [None] * frame.height, dtype=dtype))
        elif dtype == tables.TIME:
            values = [_instant(value, name, row, what) for row, value in enumerate(frame[name])]
            columns.append(pl.Series(name, values, dtype=dtype))
        else:
            columns.append(_text_column(frame[name], dtype, what, is_needed=name in needed))
    rows = pl.DataFrame(columns)
    _refuse_backward(rows, what)
    return rows


def _text_column(column: pl.Series, dtype: pl.DataType, what: str, *, is_needed: bool) -> pl.Series:
    if not is_text(column.dtype):
        raise ColumnTypeError(
            f"column {column.name!r} of the {what} is {column.dtype}, but has to be text", column=column.name
        )
    text = column.cast(pl.String).str.strip_chars().replace("", None)
    if is_needed and text.null_count() > 0:
        row = int(text.is_null().arg_max() or 0)
        raise ColumnValueError(f"{what}, row {row}: {column.name} is empty", column=column.name, row=row)
    return text.cast(dtype)


def _instant(value: object, column: str, row: int, what: str) -> datetime | None:
    try:
        return instant_or_date(value.strip() if isinstance(value, str) else value, column)
    except (ArgumentError, ArgumentTypeError) as error:
        raise ColumnValueError(f"{what}, row {row}: {error}", column=column, row=row) from error


def _refuse_backward(rows: pl.DataFrame, what: str) -> None:
    for row, (since, until) in enumerate(rows.select("valid_from", "valid_to").iter_rows()):
        if since is not None and until is not None and until <= since:
            raise ColumnValueError(
                f"{what}, row {row}: valid_to {until} does not lie after valid_from {since}; "
                "valid_to is the first instant that is out",
                column="valid_to",
                row=row,
            )


class Periods:
    """Which row holds for a key at a time. At most one does: rows of one key that overlap are refused.

    Args:
        keys: The key of each row.
        rows: The rows, with `valid_from` and `valid_to`.
        words: What a row says, for messages.
        what: What the rows are, for messages.
        numbers: The row of each in the table that the caller gave, if it was another.
    """

    def __init__(
        self,
        keys: Sequence[object],
        rows: pl.DataFrame,
        *,
        words: Sequence[str],
        what: str,
        numbers: Sequence[int] | None = None,
    ) -> None:
        self._ids = {key: place for place, key in enumerate(dict.fromkeys(keys))}
        self._frame = pl.DataFrame(
            {
                "id": [self._ids[key] for key in keys],
                "since": [_clock(value, -EVER) for value in rows["valid_from"]],
                "until": [_clock(value, EVER) for value in rows["valid_to"]],
            },
            schema={"id": pl.UInt32, "since": pl.Int64, "until": pl.Int64},
        ).with_row_index("row")
        self._frame = self._frame.sort("id", "since", maintain_order=True)
        self._refuse_overlaps(words, what, range(rows.height) if numbers is None else numbers)
        always = self._frame.filter(since=-EVER, until=EVER)
        self._always: list[int | None] = [None] * len(self._ids)
        for row, place in always.select("row", "id").iter_rows():
            self._always[place] = row

    def _refuse_overlaps(self, words: Sequence[str], what: str, numbers: Sequence[int]) -> None:
        rows = list(self._frame.select("id", "since", "until", "row").iter_rows())
        for (place, _, until, row), (next_place, since, _, next_row) in itertools.pairwise(rows):
            if place == next_place and since < until:
                first, second = sorted((row, next_row))
                raise ArgumentError(
                    f"{what}, rows {numbers[first]} and {numbers[second]} hold at one time: "
                    f"{words[first]} and {words[second]}; "
                    "let the one end (valid_to) where the other begins (valid_from)",
                    location=what,
                )

    @property
    def is_dated(self) -> bool:
        """Whether any row holds for a time only."""
        return None in self._always

    def holds_together(self, key: object, since: datetime | None, until: datetime | None) -> list[int]:
        """The rows of a key whose periods share an instant with the one given."""
        if key not in self._ids:
            return []
        shared = (pl.col("since") < _clock(until, EVER)) & (pl.col("until") > _clock(since, -EVER))
        return self._frame.filter(shared, id=self._ids[key])["row"].to_list()

    def is_dated_key(self, key: object) -> bool:
        """Whether the rows of a key hold for a time only."""
        return key in self._ids and self._always[self._ids[key]] is None

    def find(self, keys: Iterable[object], codes: pl.Series, times: pl.Series | None) -> pl.Series:
        """The row that holds for each key at each time, or null.

        Args:
            keys: The distinct keys.
            codes: For each place its key's place among the distinct ones.
            times: For each place its time. Without one only rows that hold always are found.
        """
        ids = pl.Series("id", [self._ids.get(key) for key in keys], dtype=pl.UInt32)
        always = pl.Series("row", self._always, dtype=pl.UInt32)
        if ids.null_count() == len(ids):
            return pl.Series("row", [None], dtype=pl.UInt32).new_from_index(0, len(codes))
        by_key = always.gather(ids)
        found = by_key.gather(codes)
        if times is None or not (ids.is_not_null() & by_key.is_null()).any():
            return found
        asked = pl.DataFrame({"id": ids.gather(codes), "found": found, "time": times.to_physical()})
        asked = asked.with_row_index("place").filter(pl.col("found").is_null(), pl.col("time").is_not_null())
        dated = asked.drop_nulls("id").sort("time")
        ends = self._frame.sort("since")
        hits = dated.join_asof(ends, left_on="time", right_on="since", by="id", check_sortedness=False)
        hits = hits.filter(pl.col("time") < pl.col("until"))
        return found.scatter(hits["place"], hits["row"]) if hits.height > 0 else found


def _clock(instant: datetime | None, otherwise: int) -> int:
    return otherwise if instant is None else microseconds(instant, "instant")


def times_of(frame: pl.DataFrame, at: str | datetime | None) -> pl.Series | None:
    """The time of each row: a column's, one instant for all, or the first that the row has where tables have it."""
    if isinstance(at, str):
        return instants_of(frame, at)
    if at is not None:
        microseconds(at, "at")
        return pl.Series("at", [at], dtype=tables.TIME).new_from_index(0, frame.height)
    times: pl.Series | None = None
    for name in TIME_COLUMNS:
        if name in frame.columns and (times is None or times.null_count() > 0):
            found = instants_of(frame, name)
            times = found if times is None else times.zip_with(times.is_not_null(), found)
    return times


def instants_of(frame: pl.DataFrame, at: str) -> pl.Series:
    """A column as instants in UTC; dates begin at 00:00 UTC. What is beyond all instants in microseconds is null."""
    column = column_of(frame, at)
    if column.dtype == pl.Null:
        return column.cast(tables.TIME)
    if column.dtype == pl.Date:
        return column.cast(pl.Datetime("us")).dt.replace_time_zone("UTC")
    if not isinstance(column.dtype, pl.Datetime):
        raise ColumnTypeError(f"column {at!r} is {column.dtype}, but has to be instants or dates", column=at)
    if column.dtype.time_zone is None:
        raise ColumnTypeError(
            f'column {at!r} has no time zone: say which zone its times are in, in polars by .dt.replace_time_zone("…")',
            column=at,
        )
    return column.dt.convert_time_zone("UTC").cast(tables.TIME, strict=False)


def column_of(frame: pl.DataFrame, name: str) -> pl.Series:
    """A column that has to be there."""
    if name not in frame.columns:
        raise MissingColumnError(f"column {name!r} is missing; the table has: {', '.join(frame.columns)}", column=name)
    return frame[name]


def needed_times(frame: pl.DataFrame, at: str | datetime | None, what: str) -> pl.Series:
    """The time of each row, which rows that hold for a time only cannot do without."""
    times = times_of(frame, at)
    if times is None:
        raise MissingColumnError(
            f"the {what} hold for a time only, and the table has none of the columns {', '.join(TIME_COLUMNS)}: "
            'name the column of its times by at="…", or give one instant for all',
            column=TIME_COLUMNS[0],
        )
    return times


def write_rows(rows: pl.DataFrame, path: str | Path) -> None:
    """Writes rows as CSV that reads back equal; columns that are empty are left out, dates stay short."""
    full = [name for name in rows.columns if rows[name].null_count() < rows.height or name in rows.columns[:2]]
    text = rows.select(full).with_columns(
        pl.col(name).map_elements(_spelled, return_dtype=pl.String)
        for name in ("valid_from", "valid_to")
        if name in full
    )
    try:
        text.write_csv(Path(path))
    except OSError as error:
        raise SourceError(f"{path} cannot be written: {error}", location=str(path)) from error


def _spelled(instant: Any) -> str:  # noqa: ANN401 - polars hands over a datetime
    is_midnight = (instant - EPOCH).seconds == 0 and instant.microsecond == 0
    return f"{instant:%Y-%m-%d}" if is_midnight else instant.isoformat()
