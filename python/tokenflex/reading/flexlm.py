"""The verb `read_flexlm`: FlexNet debug logs of license servers into events."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Final, TypeAlias

from tokenflex import _core, tables
from tokenflex.errors import ArgumentTypeError, SourceNotFoundError
from tokenflex.progress import Progress, watched

if TYPE_CHECKING:
    from datetime import date

    import polars as pl

    from tokenflex._core import Source

LogSource: TypeAlias = str | os.PathLike[str] | bytes | BinaryIO
"""One place that a log comes from."""

PACKED: Final = (".gz", ".zst")
"""Endings of packed files."""


@dataclass(frozen=True)
class FlexlmLog:
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
        SourceError: A file cannot be read.
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
    sources = _sources(source)
    sizes = [Path(part["path"]).stat().st_size if part["path"] is not None else 0 for part in sources]
    zones = {}
    if isinstance(timezone, Mapping):
        zones = {str(name): zone for name, zone in timezone.items()}
    elif timezone is not None and not isinstance(timezone, str):
        raise ArgumentTypeError(
            f"timezone has to be an IANA name or a mapping from server to name, not {type(timezone).__name__}",
            location="timezone",
        )
    with watched(progress, "reading logs", sum(sizes) or None) as report:
        parts = _core.read_flexlm(
            {
                "sources": sources,
                "timezone": timezone if isinstance(timezone, str) else None,
                "timezones": zones,
                "server": server,
                "encoding": encoding,
                "first_date": None if first_date is None else first_date.toordinal() - UNIX_EPOCH,
                "threads": threads,
            },
            progress=report,
        )
    schemas = (tables.EVENTS, tables.PROBLEMS, tables.PACKAGES, tables.FILES, tables.COVERAGE)
    return FlexlmLog(*(tables.finish(part, schema) for part, schema in zip(parts, schemas, strict=True)))


UNIX_EPOCH: Final = 719_163
"""The ordinal of 1970-01-01."""


def _sources(source: object) -> list[Source]:
    if isinstance(source, bytes | bytearray | memoryview):
        return [_part("<bytes>", data=bytes(source))]
    if hasattr(source, "read"):
        name = getattr(source, "name", None)
        return [_part(name if isinstance(name, str) else "<stream>", file=source)]
    if isinstance(source, str | os.PathLike):
        return [_part(str(path), path=path) for path in _paths(os.fspath(source))]
    if isinstance(source, Iterable):
        parts = [part for each in source for part in _sources(each)]
        if not parts:
            raise SourceNotFoundError("no logs were given", location="source")
        return parts
    raise ArgumentTypeError(
        f"source has to be a path, bytes, a binary file or several of these, not {type(source).__name__}",
        location="source",
    )


def _part(name: str, *, path: Path | None = None, data: bytes | None = None, file: Any = None) -> Source:  # noqa: ANN401
    folder = "" if path is None else str(path.parent)
    return {"name": name, "folder": folder, "path": None if path is None else str(path), "bytes": data, "file": file}


def _paths(source: str | bytes) -> list[Path]:
    text = os.fsdecode(source)
    path = Path(text)
    if path.is_dir():
        logs = sorted(each for each in path.rglob("*") if each.is_file() and _looks_like_log(each))
        if not logs:
            raise SourceNotFoundError(
                f"the folder {text} holds no logs: looked for files with `log` in their names, .txt and .dl; "
                "give the files themselves, or a pattern such as 'folder/*.dbg'",
                location=text,
            )
        return logs
    if path.exists():
        return [path]
    if glob.has_magic(text):
        logs = sorted(Path(match) for match in glob.iglob(text, recursive=True) if Path(match).is_file())  # noqa: PTH207 - Path.glob takes no absolute pattern
        if not logs:
            raise SourceNotFoundError(f"no file matches the pattern {text}", location=text)
        return logs
    raise SourceNotFoundError(f"there is no file or folder {text}", location=text)


def _looks_like_log(path: Path) -> bool:
    name = path.name.lower()
    for ending in PACKED:
        name = name.removesuffix(ending)
    return not name.startswith(".") and ("log" in name or name.endswith((".txt", ".dl")))
