"""The verb `read_lmstat`: outputs of `lmstat -a` into snapshots, and a series of them into sessions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import polars as pl

from tokenflex import _core, tables
from tokenflex.notebook import Shown
from tokenflex.progress import Progress, watched
from tokenflex.reading.sources import Folders, LogSource, read_options, size_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

FOLDERS: Final = Folders("outputs of lmstat", ("lmstat", "log"), (".txt", ".out"))


@dataclass(frozen=True)
class LmstatSnapshots(Shown):
    """What outputs of `lmstat` say.

    Attributes:
        snapshots: One row for each server in each output, see `tables.LMSTAT_SNAPSHOTS`.
        features: One row for each feature of each snapshot, see `tables.LMSTAT_FEATURES`.
        checkouts: One row for each line of a user, see `tables.LMSTAT_CHECKOUTS`.
        reservations: One row for each reservation, see `tables.LMSTAT_RESERVATIONS`.
        sessions: What a series of snapshots says of use, see `tables.LMSTAT_SESSIONS`; in order of `start`.
        coverage: One row for each server: period and gaps, see `tables.LMSTAT_COVERAGE`.
        problems: One row for each line that could not be read or does not agree, see `tables.PROBLEMS`.
        files: One row for each file: what became of its lines, see `tables.FILES`. An event line is one that became a
            row of features, check-outs or reservations; `segments` are the snapshots.
    """

    snapshots: pl.DataFrame
    features: pl.DataFrame
    checkouts: pl.DataFrame
    reservations: pl.DataFrame
    sessions: pl.DataFrame
    coverage: pl.DataFrame
    problems: pl.DataFrame
    files: pl.DataFrame

    def _tables_shown(self) -> dict[str, pl.DataFrame]:
        return {"coverage": self.coverage, "problems": self.problems}

    def __repr__(self) -> str:
        return (
            f"<LmstatSnapshots {self.snapshots.height:,} snapshots of {self.coverage.height} servers, "
            f"{self.sessions.height:,} sessions, {self.problems.height:,} problems>"
        )


def read_lmstat(
    source: LogSource | Iterable[LogSource],
    *,
    timezone: str | Mapping[str, str] | None = None,
    server: str | None = None,
    encoding: str = "cp1252",
    progress: Progress = None,
) -> LmstatSnapshots:
    """Reads outputs of `lmstat -a` (`lmutil lmstat -a`): one snapshot, or a series of them.

    A series is a file with several outputs after one another, many files, or both, in any order. A use is told by
    server, feature, user, host, display, handle and start; its start is known to the minute, its end lies between
    `end`, the last snapshot that shows it, and `end_latest`, the first one without it. A use that begins and ends
    between two snapshots is never seen: `coverage` has the gaps. Snapshots that say nothing of a feature, since the
    server did not answer or lines are missing, end nothing. Lines of a package beside the line of the component in use
    are set aside from the sessions, as `pair` does; `checkouts` has them.

    Args:
        source: A file, a folder (files whose names hold `lmstat` or `log` or end in `.txt` or `.out`, subfolders too),
            a glob pattern, bytes, a binary file object, or several of these. gzip and zstd are unpacked.
        timezone: IANA name of the zone of the machine that ran `lmstat`, whose local time the outputs have, or a
            mapping from license server to it.
        server: Name of the license server. Unless given, the first host in `License server status:`, else the server
            of the output before it in the file, else the file's name.
        encoding: Code page of names that are not UTF-8. UTF-16 and byte order marks are recognised.
        progress: `True` shows a bar on the terminal; a function is called with the bytes read and the bytes in all.

    Returns:
        Snapshots, features, check-outs, reservations, sessions, coverage, problems and files. `sessions` can be charged
        as they are; `end` is then the earliest possible end, so the charges are a lower bound.

    Raises:
        SourceNotFoundError: A file is not there, a pattern matches nothing, a folder has no such files.
        SourceError: A file cannot be read, or was cut off or written anew meanwhile, or none is an output of `lmstat`.
        ZoneError: No zone, or no zone of that name.

    Example:
        >>> import tokenflex as tf
        >>> read = tf.read_lmstat(
        ...     b'''Flexible License Manager status on Mon 7/13/2026 10:30
        ... License server status: 27000@mad-lic-01
        ... Users of 87545ACD_2022_0F:  (Total of 16 licenses issued;  Total of 1 license in use)
        ...     ana PC1 PC1 (v1.0) (mad-lic-01/27000 1403), start Mon 7/13 8:50
        ... ''', timezone="Europe/Madrid")
        >>> session = read.sessions.row(0, named=True)
        >>> session["product"], session["start"].isoformat(), session["is_open"]
        ('ACD', '2026-07-13T06:50:00+00:00', True)
    """
    options = read_options(source, FOLDERS, timezone=timezone, server=server, encoding=encoding)
    with watched(progress, "reading snapshots", size_of(options)) as report:
        parts = _core.read_lmstat(options, progress=report)
    schemas = (
        tables.LMSTAT_SNAPSHOTS,
        tables.LMSTAT_FEATURES,
        tables.LMSTAT_CHECKOUTS,
        tables.LMSTAT_RESERVATIONS,
        tables.LMSTAT_SESSIONS,
        tables.PROBLEMS,
        tables.FILES,
    )
    snapshots, features, checkouts, reservations, sessions, problems, files = (
        tables.finish(part, schema) for part, schema in zip(parts, schemas, strict=True)
    )
    return LmstatSnapshots(
        snapshots, features, checkouts, reservations, sessions, _coverage(snapshots), problems, files
    )


def _coverage(snapshots: pl.DataFrame) -> pl.DataFrame:
    """Periods and gaps. Only a snapshot with features is an answer that shows who has a license."""
    has_answer = (pl.col("features") > 0) & pl.col("time").is_not_null()
    gaps = pl.col("time").filter(has_answer).unique().sort().diff().drop_nulls()
    found = (
        snapshots.group_by("server", maintain_order=True)
        .agg(
            first=pl.col("time").min(),
            last=pl.col("time").max(),
            snapshots=pl.len(),
            failed=(~has_answer).sum(),
            median_gap=gaps.median(),
            max_gap=gaps.max(),
        )
        .select(pl.col(name).cast(dtype) for name, dtype in tables.LMSTAT_COVERAGE.items())
    )
    return tables.finish(found, tables.LMSTAT_COVERAGE)
