"""Tables as bytes, and the hash of bytes: what is kept in folders and packs."""

from __future__ import annotations

import hashlib
import io
import os
import shutil
from contextlib import contextmanager
from typing import TYPE_CHECKING, BinaryIO, Final

import polars as pl

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_FORMULA: Final = r"^\s*[=+\-@]|^[\t\r]"
"""How a cell begins that a spreadsheet may run."""


def digest(content: bytes) -> str:
    """The SHA-256 of bytes, in hexadecimal digits."""
    return hashlib.sha256(content).hexdigest()


def parquet_of(table: pl.DataFrame) -> bytes:
    """A table as Parquet."""
    out = io.BytesIO()
    table.write_parquet(out)
    return out.getvalue()


def csv_of(frame: pl.DataFrame, *, is_guarded: bool = False) -> bytes:
    """A table as CSV whose bytes hang on its values alone: instants in UTC, exact decimals, lists with blanks.

    Args:
        frame: The table.
        is_guarded: For people, who open it in a spreadsheet: text that it might take for a formula gets an apostrophe
            before it. What a program reads again has to stay as it is.
    """
    columns = []
    for name, dtype in frame.schema.items():
        column = pl.col(name)
        if isinstance(dtype, pl.List):
            column = column.cast(pl.List(pl.String)).list.join(" ")
        elif isinstance(dtype, pl.Datetime):
            column = column.dt.to_string("%Y-%m-%dT%H:%M:%S%.f" + ("Z" if dtype.time_zone else ""))
        elif isinstance(dtype, pl.Duration):
            column = column.dt.to_string("iso")
        column = column.cast(pl.String)
        if is_guarded and not dtype.is_numeric():
            column = pl.when(column.str.contains(_FORMULA)).then("'" + column).otherwise(column).alias(name)
        columns.append(column)
    return frame.select(columns).write_csv().encode()


@contextmanager
def whole_file(path: Path) -> Iterator[BinaryIO]:
    """A file that takes the place of `path` once it is whole."""
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with part.open("xb") as file:
            yield file
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


@contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """A folder that takes the place of `path`, which is empty or not there, once all is in it."""
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        part.mkdir()
        yield part
        if path.is_dir():
            path.rmdir()
        part.rename(path)
    finally:
        shutil.rmtree(part, ignore_errors=True)
