"""Debug logs of FlexNet license servers as a source of Spark: `spark.read.format("flexlm")`."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa
from pyspark.sql.datasource import DataSource, DataSourceReader, InputPartition

import tokenflex as tf
from tokenflex import tables
from tokenflex.errors import ArgumentError, SourceError
from tokenflex.reading.flexlm import FOLDERS
from tokenflex.reading.sources import files_of
from tokenflex.spark.tasks import BATCH
from tokenflex.spark.types import batches_of, spark_schema
from tokenflex.times import instant_or_date
from tokenflex.words import near

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from datetime import datetime
    from pathlib import Path

    import polars as pl

    from tokenflex.reading.flexlm import FlexlmLog

_PAIRED: Final = ("sessions", "denials", "problems")
"""Tables that are made of the events."""
_TABLES: Final = ("events", "sessions", "denials", "problems", "packages", "files", "coverage")
_OPTIONS: Final = ("path", "paths", "table", "timezone", "server", "encoding", "first_date", "as_of")
_BANNER: Final = re.compile(rb"(?<!Server) started on ([^\s(]+)")
_CHUNK: Final = 1 << 20


class FlexLM(DataSource):
    """Logs of license servers, read by `tokenflex.read_flexlm`: one partition for each server.

    Register it by `spark.dataSource.register(tfs.FlexLM)`; `load` takes the paths that `tokenflex.read_flexlm` takes.
    The files have to be where all executors see them. Options are text:

    - `table`: `events` (unless given), `sessions`, `denials`, `problems` (of reading and of pairing), `packages`,
      `files` or `coverage`, each as `tokenflex.tables` has it;
    - `timezone`: an IANA name, or a JSON object from server to name;
    - `server`, `encoding`: as for `tokenflex.read_flexlm`; `first_date` likewise, as `2026-01-31`;
    - `as_of`: when open sessions end, an instant or a date, for `table` `sessions`. It has to be given where there are
      several servers, since they are read apart.

    Raises:
        ArgumentError: An option is unknown or has a value that makes no sense.
        SourceNotFoundError: There are no logs.
    """

    def __init__(self, options: Mapping[str, str]) -> None:
        super().__init__(dict(options))
        self._asked = _asked(options)

    @classmethod
    def name(cls) -> str:
        """What `format` calls it."""
        return "flexlm"

    def schema(self) -> str:
        """The columns of the table that is asked for."""
        return spark_schema(tables.TABLES[self._asked.table])

    def reader(self, schema: object) -> DataSourceReader:
        """What reads them."""
        del schema  # There is but one for each table.
        return FlexLMReader(self._asked)


@dataclass(frozen=True)
class AskedLogs:
    """The options, read."""

    paths: tuple[str, ...]
    table: str
    timezone: str | dict[str, str] | None
    server: str | None
    encoding: str
    first_date: date | None
    as_of: datetime | None


@dataclass(frozen=True)
class LogPartition(InputPartition):
    """The files of one server, or of several that cannot be told apart before they are read.

    Attributes:
        files: Their paths.
        others: Servers whose files are in other partitions.
    """

    files: tuple[str, ...]
    others: frozenset[str]


class FlexLMReader(DataSourceReader):
    """Reads the files of each server on one thread, several servers side by side."""

    def __init__(self, asked: AskedLogs) -> None:
        self._asked = asked

    def partitions(self) -> Sequence[InputPartition]:
        """The files of each server."""
        files = list(dict.fromkeys(file for path in self._asked.paths for file in files_of(path, FOLDERS)))
        groups = [(files, frozenset[str]())] if self._asked.server is not None else by_server(files)
        if len(groups) > 1 and self._asked.table == "sessions" and self._asked.as_of is None:
            raise ArgumentError(
                f"there are logs of {len(groups)} servers, which are read apart: say by the option as_of when sessions "
                "end that are still open, such as as_of=2026-08-01",
                location="as_of",
            )
        return [
            LogPartition(
                tuple(str(file) for file in group),
                frozenset[str]().union(*(hosts for place, (_, hosts) in enumerate(groups) if place != own)),
            )
            for own, (group, _) in enumerate(groups)
        ]

    def read(self, partition: InputPartition) -> Iterator[Any]:
        """The table of one partition, in batches."""
        assert isinstance(partition, LogPartition)  # noqa: S101 - for the type checker: we made it
        asked = self._asked
        log = tf.read_flexlm(
            list(partition.files),
            timezone=asked.timezone,
            server=asked.server,
            encoding=asked.encoding,
            first_date=asked.first_date,
            threads=1,
        )
        if torn := sorted(set(log.coverage["server"]) & partition.others):
            raise SourceError(
                f"logs of {torn[0]} stand in several folders that seemed to be of different servers: load the folders "
                "of each server by themselves, with the option server",
                location=torn[0],
            )
        for part in _table_of(log, asked).iter_slices(BATCH):
            yield from batches_of(part, tables.TABLES[asked.table])


def _table_of(log: FlexlmLog, asked: AskedLogs) -> pl.DataFrame:
    """The table that is asked for."""
    if asked.table not in _PAIRED:
        table: pl.DataFrame = getattr(log, asked.table)
        return table
    if asked.table == "denials":
        return tf.denials(log.events, packages=log.packages)
    problems = tf.Problems()
    problems.add(log.problems)
    sessions = tf.pair(log.events, packages=log.packages, as_of=asked.as_of, problems=problems)
    return sessions if asked.table == "sessions" else problems.frame


def _asked(options: Mapping[str, str]) -> AskedLogs:
    """What the options say."""
    given = {name.lower(): value for name, value in options.items()}
    for name in given:
        if name not in _OPTIONS:
            raise ArgumentError(
                f"logs have no option {name}{near(name, _OPTIONS)}; there are {', '.join(_OPTIONS)}", location=name
            )
    table = given.get("table", "events")
    if table not in _TABLES:
        raise ArgumentError(f"table is {table!r}, but has to be one of {', '.join(_TABLES)}", location="table")
    return AskedLogs(
        paths=_paths(given),
        table=table,
        timezone=_zone(given.get("timezone")),
        server=given.get("server"),
        encoding=given.get("encoding", "cp1252"),
        first_date=_date(given.get("first_date")),
        as_of=instant_or_date(given.get("as_of"), "as_of"),
    )


def _paths(given: Mapping[str, str]) -> tuple[str, ...]:
    """The one path of `load(path)`, or those of a list, which Spark hands over as JSON."""
    paths = [given["path"]] if "path" in given else json.loads(given.get("paths", "[]"))
    if not paths:
        raise ArgumentError("say by load(…) where the logs are: files, folders or patterns", location="path")
    return tuple(paths)


def _zone(text: str | None) -> str | dict[str, str] | None:
    if text is None or not text.lstrip().startswith("{"):
        return text
    try:
        zones: dict[str, str] = json.loads(text)
    except ValueError as error:
        raise ArgumentError(f"timezone is no JSON object from server to zone: {error}", location="timezone") from error
    return zones


def _date(text: str | None) -> date | None:
    try:
        return None if text is None else date.fromisoformat(text)
    except ValueError as error:
        raise ArgumentError(
            f"first_date is {text!r}, but has to be a date such as 2026-01-31", location="first_date"
        ) from error


def by_server(files: Iterable[Path]) -> list[tuple[list[Path], frozenset[str]]]:
    """The files in groups that have no server in common, and the servers that each group is known to be of.

    A file is of the host that its start-up banner names; without one, of the host of its folder, or called as itself
    (`read_flexlm`). So files of one folder are together, and folders that name one host.
    """
    folders: dict[Path, list[Path]] = {}
    for file in files:
        folders.setdefault(file.parent, []).append(file)
    groups: list[tuple[list[Path], frozenset[str]]] = []
    for inside in folders.values():
        named = {file: _first_host(file) for file in inside}
        hosts = {host for host in named.values() if host is not None}
        if len(hosts) != 1:
            hosts |= {file.name.partition(".")[0] for file, host in named.items() if host is None}
        apart = [group for group in groups if not group[1] & hosts]
        shared = [group for group in groups if group[1] & hosts]
        whole = [*(file for group in shared for file in group[0]), *inside]
        groups = [*apart, (whole, frozenset(hosts).union(*(group[1] for group in shared)))]
    return groups


def _first_host(file: Path) -> str | None:
    """The host that the first banner in a file names."""
    try:
        with pa.input_stream(str(file), compression="detect") as stream:
            rest = b""
            while chunk := stream.read(_CHUNK):
                # Text of two bytes to a letter is read as well: banners are of letters that have one.
                text = rest + chunk.replace(b"\0", b"")
                if found := _BANNER.search(text):
                    return found[1].decode("utf-8", "replace")
                rest = text[-200:]
    except OSError as error:
        raise SourceError(f"{file} cannot be read: {error}", location=str(file)) from error
    return None
