"""The verb `read_flexlm`: FlexNet debug logs of license servers into events."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from tokenflex import _core, tables
from tokenflex.notebook import Shown
from tokenflex.progress import Progress, watched
from tokenflex.reading.sources import Folders, LogSource, read_options, size_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import date

    import polars as pl

FOLDERS: Final = Folders("logs", ("log",), (".txt", ".dl"))


@dataclass(frozen=True)
class FlexlmLog(Shown):
    """What the logs of license servers say.

    Attributes:
        events: One row for each check-out, check-in, refusal, …, see `tables.EVENTS`; by server, then in order of time.
        problems: One row for each line that could not be read, and for each date that had to be mended, see
            `tables.PROBLEMS`.
        packages: Which feature is a package of which components, see `tables.PACKAGES`.
        files: One row for each file: what became of its lines, see `tables.FILES`.
        coverage: One row for each server: period, days without lines, whether check-ins are logged, whether the server
            reports to the vendor, see `tables.COVERAGE`.
    """

    events: pl.DataFrame
    problems: pl.DataFrame
    packages: pl.DataFrame
    files: pl.DataFrame
    coverage: pl.DataFrame

    def _tables_shown(self) -> dict[str, pl.DataFrame]:
        return {"coverage": self.coverage, "files": self.files, "problems": self.problems}

    def __repr__(self) -> str:
        return (
            f"<FlexlmLog {self.events.height:,} events of {self.coverage.height} servers "
            f"in {self.files.height} files, {self.problems.height:,} problems>"
        )


def read_flexlm(
    source: LogSource | Iterable[LogSource],
    *,
    timezone: str | Mapping[str, str] | None = None,
    server: str | None = None,
    encoding: str = "cp1252",
    first_date: date | None = None,
    progress: Progress = None,
    threads: int | None = None,
) -> FlexlmLog:
    """Reads debug logs of FlexNet license servers (`lmgrd`, `lmadmin`, `adskflex` and other daemons).

    Dates are worked out from the stamps that the log has now and then, midnights from the clock's steps; rotated files
    of one server are joined in the order of their content, and stretches that stand in two files count once.

    Args:
        source: A file, a folder (all files in it whose names hold `log` or end in `.txt` or `.dl`, subfolders too), a
            glob pattern, the bytes of a log, a binary file object, or several of these. gzip and zstd are unpacked.
        timezone: IANA name of the license server's zone, or a mapping from server to zone where the logs are of several
            servers. Needed unless every line has a stamp with its offset (`lmgrd -datestamp`).
        server: Name of the license server. Unless given, the host in the start-up banner, else the server of the other
            files in the folder, else the file's name.
        encoding: Code page of names that are not UTF-8. UTF-16 and byte order marks are recognised.
        first_date: Local date of the first line, for logs without any date.
        progress: `True` shows a bar on the terminal; a function is called with the bytes read and the bytes in all.
        threads: How many threads parse; all processors unless given. The result is the same.

    Returns:
        Events, problems, packages, files and coverage.

    Raises:
        SourceNotFoundError: A file is not there, a pattern matches nothing, a folder has no logs.
        SourceError: A file cannot be read, or was cut off or written anew meanwhile; one that grows is read as it was.
        ZoneError: No zone, though the lines carry local times; or no zone of that name.

    Example:
        >>> import tokenflex as tf
        >>> log = tf.read_flexlm(
        ...     b'''12:00:00 (lmgrd) TIMESTAMP 7/13/2026
        ... 12:00:05 (adskflex) OUT: "87545ACD_2022_0F" ana@pc1
        ... ''', timezone="Europe/Madrid", server="mad-lic-01")
        >>> log.events["time"][0].isoformat(), log.events["user"][0]
        ('2026-07-13T10:00:05+00:00', 'ana')
    """
    options = read_options(
        source,
        FOLDERS,
        timezone=timezone,
        server=server,
        encoding=encoding,
        first_date=first_date,
        threads=threads,
    )
    with watched(progress, "reading logs", size_of(options)) as report:
        parts = _core.read_flexlm(options, progress=report)
    schemas = (tables.EVENTS, tables.PROBLEMS, tables.PACKAGES, tables.FILES, tables.COVERAGE)
    return FlexlmLog(*(tables.finish(part, schema) for part, schema in zip(parts, schemas, strict=True)))
