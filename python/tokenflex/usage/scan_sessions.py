"""The verb `scan_sessions`: sessions of more logs than memory holds, computed when they are read."""

from __future__ import annotations

import os
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

import polars as pl

from tokenflex import _core, tables
from tokenflex.errors import ArgumentError, ArgumentTypeError
from tokenflex.problems import Problems, report
from tokenflex.progress import Progress, watched
from tokenflex.reading.flexlm import FOLDERS
from tokenflex.reading.sources import LogSource, read_options, size_of
from tokenflex.streams import folder_of, lazy, merged
from tokenflex.times import EPOCH, MICROSECOND, instant_in_data
from tokenflex.usage.sessions import no_checkins, unpaired_rows

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from datetime import date, datetime

    from tokenflex._core import ReadOptions, Spooled

CHUNK: Final = 1 << 16
"""How many events stand together on disk."""
EVENTS: Final = 1 << 19
"""About how many events are paired at a time, and their sessions merged, of all servers together."""
LEAST: Final = 1 << 13
"""But of each server at least about so many."""
LATE: Final = 1 << 19
"""How many sessions that ended in a later part than they began in wait in memory to be written there."""
AT_ONCE: Final = 8
"""At most so many servers are paired at a time, since each takes memory."""
_ORDER: Final = ("start", "place", "number")


def scan_sessions(
    source: LogSource | Iterable[LogSource],
    *,
    timezone: str | Mapping[str, str] | None = None,
    server: str | None = None,
    encoding: str = "cp1252",
    first_date: date | None = None,
    as_of: datetime | None = None,
    scratch: str | Path | None = None,
    progress: Progress = None,
    threads: int | None = None,
    problems: Problems | None = None,
) -> pl.LazyFrame:
    """The sessions of logs of any size: those of `pair` over `read_flexlm`, row for row; computed when they are read.

    The logs are read once, forward, packed ones too. Their events go to disk, with a fifth of the bytes of their lines,
    and are dated there when all has been read, since a later line can date an earlier one. Then each server is paired
    in order of time, several at once, cut where nothing that follows touches what was before.

    In memory are about half a million events and sessions, divided among the servers, what is in use on each, a part of
    each file whose times overlap with those of others, and all problems. Where no cut can be found, more is read until
    there is one.

    Args:
        source: As for `read_flexlm`, but no file objects: what is computed anew has to be read anew.
        timezone: As for `read_flexlm`.
        server: As for `read_flexlm`.
        encoding: As for `read_flexlm`.
        first_date: As for `read_flexlm`.
        as_of: As for `pair`.
        scratch: The folder for events and sessions; the system's for temporary files unless given. It takes about a
            third of what the logs take unpacked, and is left empty.
        progress: As for `read_flexlm`.
        threads: How many threads parse, and how many servers are paired at a time (eight at most); all processors
            unless given. The result is the same.
        problems: Collects what could not be read or paired, filled when the sessions have been read to their end.

    Returns:
        A LazyFrame of `tables.SESSIONS`, in order of `start`: write it with `sink_parquet`, then scan what was written.
        Each time it is read all logs are.

    Raises:
        ArgumentTypeError: The source is none, or a file object.
        SourceNotFoundError: As for `read_flexlm`. What else it raises, and `pair` of `as_of`, is raised when it is
            read.

    Example:
        >>> import tokenflex as tf
        >>> sessions = tf.scan_sessions(
        ...     b'''12:00:00 (lmgrd) TIMESTAMP 7/13/2026
        ... 12:00:05 (adskflex) OUT: "87545ACD_2022_0F" ana@pc1
        ... 12:30:00 (adskflex) IN: "87545ACD_2022_0F" ana@pc1
        ... ''', timezone="Europe/Madrid", server="mad-lic-01")
        >>> sessions.select("product", "end_reason").collect().rows()
        [('ACD', 'checkin')]
    """
    options = read_options(
        source, FOLDERS, timezone=timezone, server=server, encoding=encoding, first_date=first_date, threads=threads
    )  # fmt: skip
    if any(part["file"] is not None for part in options["sources"]):
        raise ArgumentTypeError(
            "scan_sessions takes paths, folders, patterns and bytes: a file object can be read once only",
            location="source",
        )
    if as_of is not None:
        instant_in_data(as_of, "as_of")
    where = folder_of(scratch)

    def sessions() -> Iterator[pl.DataFrame]:
        with scratch_folder(where) as folder:
            scanned = Scanned.of(options, Path(folder), progress)
            yield from scanned.sessions(as_of)
            report(pl.concat([scanned.read_problems, scanned.pair_problems()]), problems, "scan_sessions")

    return lazy(sessions, tables.SESSIONS, "scan_sessions")


def scratch_folder(where: Path | None) -> tempfile.TemporaryDirectory[str]:
    """A folder that is gone when it has been used."""
    return tempfile.TemporaryDirectory(prefix="tokenflex-", dir=where, ignore_cleanup_errors=True)


@dataclass
class Scanned:
    """Logs with their events and sessions on disk.

    Attributes:
        read_problems: As of `FlexlmLog`.
        packages: As of `FlexlmLog`.
        files: As of `FlexlmLog`.
        coverage: As of `FlexlmLog`.
        refused: How many refusals there are of each kind, each counted once.
    """

    folder: Path
    threads: int
    read_problems: pl.DataFrame
    packages: pl.DataFrame
    files: pl.DataFrame
    coverage: pl.DataFrame
    servers: list[_Server]
    refused: dict[str, int] = field(default_factory=dict)

    @classmethod
    def of(cls, options: ReadOptions, folder: Path, progress: Progress) -> Scanned:
        """Reads logs into a folder, and pairs them there."""
        with watched(progress, "reading logs", size_of(options)) as told:
            log = _core.Spooled(options, folder=str(folder), chunk_rows=CHUNK, progress=told)
        schemas = (tables.PROBLEMS, tables.PACKAGES, tables.FILES, tables.COVERAGE)
        finished = [tables.finish(part, schema) for part, schema in zip(log.tables(), schemas, strict=True)]
        count = len(log.servers())
        servers = [_Server(place, folder / str(place), of=count) for place in range(count)]
        threads = options["threads"] or os.cpu_count() or 1
        problems, packages, files, coverage = finished
        scanned = cls(folder, min(threads, AT_ONCE), problems, packages, files, coverage, servers)
        scanned._pair(log)
        return scanned

    def _pair(self, log: Spooled) -> None:
        """Pairs the events of each server."""
        with ThreadPoolExecutor(self.threads) as pool:
            for _ in pool.map(lambda server: server.pair(log), self.servers):
                pass
        for name in ("events", "instants"):
            (self.folder / name).unlink()
        for kind in ("DENIED", "UNSUPPORTED"):
            self.refused[kind] = sum(server.refused[kind] for server in self.servers)

    def sessions(self, as_of: datetime | None) -> Iterator[pl.DataFrame]:
        """The sessions of all servers, in order."""
        last = max((server.last for server in self.servers if server.last is not None), default=None)
        until = None if last is None else EPOCH + last * MICROSECOND
        if as_of is not None and until is not None and as_of < until:
            raise ArgumentError("as_of lies before the last event of the logs: leave it out, or give a later one",
                                location="as_of")  # fmt: skip
        end = pl.when("is_open").then(pl.lit(as_of or until, dtype=tables.TIME)).otherwise("end")
        for part in merged([server.sessions() for server in self.servers], _ORDER):
            yield part.with_columns(end=end).select(*tables.SESSIONS)

    def pair_problems(self) -> pl.DataFrame:
        """What `pair` would tell."""
        unpaired = [frame for server in self.servers for frame in server.unpaired]
        # In the order of the sessions.
        in_order = sorted(self.servers, key=lambda server: (server.first, server.place))
        told = [server.never_ends for server in in_order]
        return pl.concat([tables.empty(tables.PROBLEMS), *unpaired, *told])


class _Server:
    """The sessions of one server on disk: for each stretch of its events those that began there, in two parts.

    What ended there, too, is written when it did. What ended later is written some time after that, or waits.
    """

    def __init__(self, place: int, folder: Path, *, of: int) -> None:
        self.place = place
        self._events = max(EVENTS // of, min(EVENTS, LEAST))
        self._late = LATE // of
        self.unpaired: list[pl.DataFrame] = []
        self.never_ends = tables.empty(tables.PROBLEMS)
        self.first = 0
        self.last: int | None = None
        self.refused = {"DENIED": 0, "UNSUPPORTED": 0}
        self._folder = folder
        self._steps = 0
        self._waiting: list[pl.DataFrame] = []
        self._written = 0

    def pair(self, log: Spooled) -> None:
        """Pairs the events."""
        self._folder.mkdir()
        going = _core.ServerSessions(log, self.place)
        totals = []
        while (found := going.next(self._events)) is not None:
            table, events, why, (denied, unsupported), self.last = found
            sessions = pl.DataFrame(table)
            extra = sessions.select("number", "step", place=pl.lit(self.place, dtype=pl.UInt32))
            self._keep(tables.finish(sessions, tables.SESSIONS).hstack(extra))
            self.refused["DENIED"] += denied
            self.refused["UNSUPPORTED"] += unsupported
            totals.append(sessions.select("server", "start", "checkouts", "is_open").group_by("server").agg(
                pl.col("start").min(), pl.col("checkouts").cast(pl.UInt64).sum(), pl.col("is_open").all()
            ))  # fmt: skip
            if len(reasons := pl.DataFrame(why)):
                kinds = tables.finish(events, {"kind": pl.Enum(tables.EVENT_KINDS)})
                self.unpaired.append(unpaired_rows(reasons, pl.DataFrame(events).with_columns(kinds["kind"])))
        whole = pl.concat(totals)
        if not whole.is_empty():
            self.first = whole["start"].to_physical().min()  # type: ignore[assignment] # of whole numbers
            self.never_ends = no_checkins(whole)

    def _keep(self, sessions: pl.DataFrame) -> None:
        """Writes what began in the last stretch, and lets wait what began before."""
        step = self._steps
        self._steps += 1
        sessions.filter(pl.col("step") == step).write_parquet(
            self._folder / f"{step:09}.parquet", compression="lz4", statistics=False
        )
        # What `filter` gives keeps the memory of all rows; what is gathered is as large as it looks.
        late = sessions[(sessions["step"] < step).arg_true()]
        if late.height:
            self._waiting.append(late)
        if sum(frame.height for frame in self._waiting) > self._late:
            self._write_late()

    def _write_late(self) -> None:
        self._written += 1
        for (step,), part in pl.concat(self._waiting).partition_by("step", as_dict=True).items():
            part.write_parquet(self._folder / f"{step:09}-{self._written}.parquet", compression="lz4", statistics=False)
        self._waiting = []

    def sessions(self) -> Iterator[pl.DataFrame]:
        """The sessions in order, those of one stretch at a time."""
        waiting = dict(pl.concat(self._waiting).partition_by("step", as_dict=True)) if self._waiting else {}
        for step in range(self._steps):
            parts = [pl.read_parquet(path) for path in sorted(self._folder.glob(f"{step:09}*.parquet"))]
            if (step,) in waiting:
                parts.append(waiting.pop((step,)))
            yield pl.concat(parts).sort(_ORDER)
