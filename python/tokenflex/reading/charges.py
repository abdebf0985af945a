"""Charges from a file, as `tokenflex charge --out` writes it: Parquet as it is, CSV digit by digit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import polars as pl

from tokenflex import tables
from tokenflex.errors import ColumnValueError, MissingColumnError, SourceError, SourceNotFoundError
from tokenflex.reading.periods import read_rows

if TYPE_CHECKING:
    from pathlib import Path

NEEDED: Final = ("charged_at", "tokens")
_INSTANTS: Final = ("charged_at", "window_end")
_TOKENS: Final = r"^[+-]?\d{1,15}(?:\.\d{0,4}0*)?$"
_EXPECTED: Final = {
    "tokens": "a number of at most four decimals",
    "session": "a row, counted from 0",
    "usage_date": "a date such as 2026-01-31",
}
_TIME: Final = "a time with its zone, such as 2026-01-31T16:00:00Z"
_PARQUET: Final = b"PAR1"


def read_charges(path: Path) -> pl.DataFrame:
    """The charges of a `.csv` or `.parquet` file, with all of its columns.

    Returns:
        The table. Of CSV `charged_at` and `window_end` are instants, `usage_date` dates, `tokens` exact, `session`
        whole numbers, and all else is text.

    Raises:
        SourceNotFoundError: There is no such file.
        SourceError: It cannot be read as a table.
        MissingColumnError: It has no `charged_at` or no `tokens`, so it holds no charges.
        ColumnValueError: A value of CSV is not what its column holds; `row` says where, from 0.
    """
    try:
        with path.open("rb") as file:
            is_parquet = file.read(len(_PARQUET)) == _PARQUET
        table = pl.read_parquet(path) if is_parquet else read_rows(path, "charges")
    except FileNotFoundError as error:
        raise SourceNotFoundError(f"there is no file {path} of charges", location=str(path)) from error
    except (OSError, pl.exceptions.PolarsError) as error:
        raise error if isinstance(error, SourceError) else _unread(path, error) from error
    for name in NEEDED:
        if name not in table.columns:
            raise MissingColumnError(
                f"{path} is no file of charges: column {name!r} is missing", column=name, location=str(path)
            )
    return table if is_parquet else _typed(table, path)


def _unread(path: Path, error: Exception) -> SourceError:
    return SourceError(f"{path} cannot be read: {error}", location=str(path))


def _typed(table: pl.DataFrame, path: Path) -> pl.DataFrame:
    text = table.with_columns(pl.all().str.strip_chars().replace("", None))
    tokens = pl.when(pl.col("tokens").str.contains(_TOKENS)).then(pl.col("tokens"))
    typed = {"tokens": tokens.cast(tables.TOKENS, strict=False)}
    typed |= {name: _instant(name) for name in _INSTANTS if name in text.columns}
    if "session" in text.columns:
        typed["session"] = pl.col("session").cast(pl.UInt64, strict=False)
    if "usage_date" in text.columns:
        typed["usage_date"] = pl.col("usage_date").str.to_date("%Y-%m-%d", strict=False)
    read = text.with_columns(**typed)
    for name in typed:
        wrong = read[name].is_null() & text[name].is_not_null()
        if wrong.any():
            row = int(wrong.arg_max() or 0)
            raise ColumnValueError(
                f"{path}, row {row}: {name} is {text[name][row]!r}, but has to be {_EXPECTED.get(name, _TIME)}",
                column=name,
                row=row,
                location=str(path),
            )
    return read


def _instant(name: str) -> pl.Expr:
    text = pl.col(name).str.replace(" ", "T", literal=True).str.replace(r"[Zz]$", "+0000")
    return text.str.to_datetime("%Y-%m-%dT%H:%M:%S%.f%z", time_unit="us", time_zone="UTC", strict=False)
