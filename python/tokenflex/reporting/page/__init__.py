"""The report as one HTML page that needs no network, no other file, and no script to be read."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tokenflex.content import whole_file
from tokenflex.errors import SourceError
from tokenflex.planning.extras import needed

if TYPE_CHECKING:
    from pathlib import Path

    from tokenflex.reporting.report import Report


def write_page(report: Report, path: Path) -> None:
    """Writes the page of a report, whole or not at all.

    Raises:
        ArgumentError: A package of `tokenflex[report]` is not installed.
        SourceError: It cannot be written.
    """
    for module in ("altair", "great_tables", "jinja2", "vl_convert"):
        needed(module, "a page", extra="report")
    from tokenflex.reporting.page.html import page_of  # noqa: PLC0415 - it imports these, which are an extra

    content = page_of(report).encode()
    try:
        with whole_file(path) as file:
            file.write(content)
    except OSError as error:
        raise SourceError(f"{path} cannot be written: {error}", location=str(path)) from error
