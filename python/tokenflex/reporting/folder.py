"""A report as a folder: each table in a file of its own, as Parquet for programs or as CSV for people."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tokenflex.content import csv_of, parquet_of, whole_folder
from tokenflex.errors import ArgumentError, SourceError
from tokenflex.reporting.contents import whole_of

if TYPE_CHECKING:
    from pathlib import Path

    from tokenflex.reporting.report import Format, Report


def write_folder(report: Report, path: Path, written_as: Format) -> None:
    """Writes a new folder, whole or not at all.

    Raises:
        ArgumentError: There is something at that place already.
        SourceError: It cannot be written.
    """
    if path.exists():
        raise ArgumentError(f"{path} is there already: choose another name, or take it away first", location="path")
    try:
        with whole_folder(path) as part:
            for name, table in whole_of(report).items():
                content = parquet_of(table) if written_as == "parquet" else csv_of(table, is_guarded=True)
                (part / f"{name}.{written_as}").write_bytes(content)
    except OSError as error:
        raise SourceError(f"{path} cannot be written: {error}", location=str(path)) from error
