"""The verb `read_rlm`: report logs of RLM license servers into events, and sessions by exact handles."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from tokenflex import _core, tables
from tokenflex.notebook import Shown
from tokenflex.progress import Progress, watched
from tokenflex.reading.sources import Folders, LogSource, read_options, size_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import polars as pl

FOLDERS: Final = Folders("report logs", ("log", "report", "rlm"), (".txt", ".rl"))


@dataclass(frozen=True)
class RlmLog(Shown):
    """What the report logs of RLM servers say.

    Attributes:
        events: One row for each check-out, check-in, refusal, …, see `tables.EVENTS`; log by log. `daemon` is the ISV,
            `data` the ISV's own field. `pair` takes them, if you want unions of use in place of check-outs.
        sessions: One row for each check-out, paired by its handle, see `tables.RLM_SESSIONS`; in order of `start`.
        denials: One row for each refusal, see `tables.RLM_DENIALS`.
        problems: One row for each line that could not be read, and each handle that does not pair, see
            `tables.PROBLEMS`.
        files: One row for each file: what became of its lines, see `tables.FILES`.
    """

    events: pl.DataFrame
    sessions: pl.DataFrame
    denials: pl.DataFrame
    problems: pl.DataFrame
    files: pl.DataFrame

    def _tables_shown(self) -> dict[str, pl.DataFrame]:
        return {"files": self.files, "problems": self.problems}

    def __repr__(self) -> str:
        return (
            f"<RlmLog {self.events.height:,} events in {self.files.height} files, "
            f"{self.sessions.height:,} sessions, {self.problems.height:,} problems>"
        )


def read_rlm(
    source: LogSource | Iterable[LogSource],
    *,
    timezone: str | Mapping[str, str] | None = None,
    server: str | None = None,
    encoding: str = "cp1252",
    progress: Progress = None,
) -> RlmLog:
    """Reads report logs of RLM license servers, in the formats std, small and detailed.

    Check-outs and check-ins are paired by their handle, so sessions are exact. A shutdown ends what is open (`stop`);
    so does a start without a shutdown before it, at the last line before it (`restart`). A log that ended in good order
    (`END`, `SWITCH`) goes on in the next one. What is open at the end of the logs lasts until their last instant and is
    marked. Years come from the full dates that the server writes; a copy taken while a log grew counts once.

    Args:
        source: A file, a folder (files whose names hold `log`, `report` or `rlm` or end in `.txt` or `.rl`, subfolders
            too), a glob pattern, bytes, a binary file object, or several of these. gzip and zstd are unpacked.
        timezone: IANA name of the server's zone, or a mapping from server to zone. It goes before the `TIMEZONE` line
            of the log, which states minutes west of UTC and not when summer time is in force. Needed for logs of RLM
            before 12.3, which have no such line.
        server: Name of the license server. Unless given, the host in the log's `START` line, else the file's name.
        encoding: Code page of names that are not UTF-8. UTF-16 and byte order marks are recognised.
        progress: `True` shows a bar on the terminal; a function is called with the bytes read and the bytes in all.

    Returns:
        Events, sessions, denials, problems and files.

    Raises:
        SourceNotFoundError: A file is not there, a pattern matches nothing, a folder has no such files.
        SourceError: A file cannot be read, or was cut off or written anew meanwhile, or no file is a report log of RLM.
        ZoneError: No zone, and the log does not state its offset; or no zone of that name.

    Example:
        >>> import tokenflex as tf
        >>> log = tf.read_rlm(
        ...     b'''START lic1 09/04/2025 08:00:00
        ... TIMEZONE 420 0
        ... OUT cad 2.0 1 ana pc1 "" 1 1 0 1a2 1a2 4d1 "" "cad" "2.0" 09/04 08:15:30
        ... IN 1 cad 2.0 ana pc1 "" 1 0 0 1a2 09/04 09:00:00
        ... ''')
        >>> session = log.sessions.row(0, named=True)
        >>> session["start"].isoformat(), session["end"] - session["start"], session["why"]
        ('2025-09-04T15:15:30+00:00', datetime.timedelta(seconds=2670), 1)
    """
    options = read_options(source, FOLDERS, timezone=timezone, server=server, encoding=encoding)
    with watched(progress, "reading report logs", size_of(options)) as report:
        parts = _core.read_rlm(options, progress=report)
    schemas = (tables.EVENTS, tables.RLM_SESSIONS, tables.RLM_DENIALS, tables.PROBLEMS, tables.FILES)
    return RlmLog(*(tables.finish(part, schema) for part, schema in zip(parts, schemas, strict=True)))
