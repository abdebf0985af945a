"""What the commands share that take logs of any size: sessions and charges in files, a part of them in memory."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import polars as pl
import typer

import tokenflex as tf
from tokenflex import tables
from tokenflex.commands.logs import opened, rates_template, sessions_in
from tokenflex.commands.options import fail, folder_may_be_written, is_folder, reading_bar, writer_of
from tokenflex.content import whole_folder
from tokenflex.reading.flexlm import FOLDERS
from tokenflex.reading.sources import PACKED, files_of, read_options
from tokenflex.summary import Use, lines_of
from tokenflex.usage.scan_sessions import Scanned, scratch_folder

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from datetime import datetime

    from tokenflex.commands.options import LogOptions, ReadOptions

LARGE: Final = 1 << 30
"""Logs of so many bytes are taken in parts: memory would have to hold about as much."""
PACKED_TIMES: Final = 10
"""About how many bytes a packed one stands for."""
ROWS: Final = 1 << 20
"""How many rows a file of a folder has."""

StreamOption = Annotated[
    bool | None,
    typer.Option(
        "--stream/--no-stream",
        help="Take the logs in parts, with files in between. Default: from 1 GB of logs on.",
        show_default=False,
    ),
]
OUT_HELP = "Write {} here: .parquet, .csv, or a folder for many Parquet files."


@dataclass(frozen=True)
class Parts:
    """Sessions in files, and what is known of the logs that they come from.

    Attributes:
        sessions: See `tables.SESSIONS`.
        problems: Of reading and pairing.
        coverage: See `tables.COVERAGE`; empty where there were no logs, as are the files.
        files: See `tables.FILES`.
        checkouts: How many lines of check-outs there are.
        refused: How many refusals there are of each kind.
    """

    sessions: pl.LazyFrame
    problems: pl.DataFrame
    coverage: pl.DataFrame
    files: pl.DataFrame
    checkouts: int
    refused: dict[str, int]


@dataclass(frozen=True)
class Streamed:
    """Charges in files, and all that a summary needs.

    Attributes:
        use: See `Use`.
        problems: Of all steps.
        servers: The zone of each server.
        rows: How many charges there are.
    """

    use: Use
    problems: pl.DataFrame
    servers: dict[str, str]
    rows: int


def is_streamed(logs: list[str], out: Path | None, *, stream: bool | None) -> bool:
    """Whether logs are taken in parts."""
    has_to_be = is_folder(out) or bool(session_files(logs))
    if stream is False and has_to_be:
        fail("--no-stream: files of sessions, and files into a folder, are always taken in parts")
    return has_to_be or (_size(logs) >= LARGE if stream is None else stream)


def _size(logs: list[str]) -> int:
    """About how many bytes logs have, unpacked."""
    files = [file for text in logs for file in files_of(text, FOLDERS)]
    return sum(file.stat().st_size * (PACKED_TIMES if file.suffix in PACKED else 1) for file in files)


def session_files(logs: list[str]) -> list[Path]:
    """The Parquet files of sessions where such were given for logs."""
    found = [(text, _parquet_of(text)) for text in logs]
    given = [files for _, files in found if files]
    if given and len(given) < len(found):
        other = next(text for text, files in found if not files)
        fail(f"{other}: logs, and Parquet files of sessions, are given one or the other")
    return [file for files in given for file in files]


def _parquet_of(text: str) -> list[Path]:
    folder = Path(text)
    if folder.is_dir():
        # Where logs are, a Parquet file beside them is something else.
        has_logs = any(FOLDERS.takes(file) for file in folder.rglob("*") if file.is_file())
        return [] if has_logs else sorted(folder.glob("*.parquet"))
    return files_of(text, FOLDERS) if text.endswith(".parquet") else []


@contextmanager
def sessions_in_parts(
    logs: list[str],
    asked: ReadOptions,
    out: Path | None,
    *,
    as_of: datetime | None,
) -> Iterator[Parts]:
    """The sessions of logs, of a book or in files, as long as it lasts. What it writes stands beside `out`."""
    if files := session_files(logs):
        nothing = tables.empty(tables.COVERAGE), tables.empty(tables.FILES)
        yield Parts(_whole(files), tables.empty(tables.PROBLEMS), *nothing, 0, {"DENIED": 0, "UNSUPPORTED": 0})
        return
    if asked.book is not None:
        yield _of_book(logs, asked, as_of)
        return
    with scratch_folder(None if out is None else out.absolute().parent) as scratch:
        folder = Path(scratch)
        options = read_options(logs, FOLDERS, timezone=asked.zones, server=asked.server, encoding="cp1252")
        with reading_bar(quiet=asked.quiet) as progress:
            scanned = Scanned.of(options, folder, progress)
        (folder / "sessions").mkdir()
        written = write_parts(scanned.sessions(as_of), folder / "sessions", "sessions")
        if not written:
            fail(f"no checkouts in {scanned.files.height} files: are these debug logs of a FlexNet license server?")
        problems = pl.concat([scanned.read_problems, scanned.pair_problems()])
        checkouts = scanned.coverage["checkouts"].sum()
        sessions = pl.scan_parquet(folder / "sessions" / "*.parquet")
        yield Parts(sessions, problems, scanned.coverage, scanned.files, int(checkouts), scanned.refused)


def _of_book(logs: list[str], asked: ReadOptions, as_of: datetime | None) -> Parts:
    """A book has its sessions in one table, which memory holds."""
    problems = tf.Problems()
    read = opened(logs, asked)
    sessions = sessions_in(read, as_of, problems)
    counts = lines_of(read.log.events, tf.denials(read.log.events))
    return Parts(sessions.lazy(), problems.frame, read.coverage, read.log.files, *counts)


def _whole(files: list[Path]) -> pl.LazyFrame:
    """Sessions in files, with the columns that a summary counts by."""
    sessions = pl.scan_parquet(files)
    known = sessions.collect_schema()
    lacking = {
        "server": pl.lit(None, tables.NAME),
        "is_open": pl.col("end").is_null() if "end" in known else pl.lit(value=True),
        "checkouts": pl.lit(None, pl.UInt32),
    }
    return sessions.with_columns(**{name: value for name, value in lacking.items() if name not in known})


def write_parts(frames: Iterable[pl.DataFrame], folder: Path, name: str) -> int:
    """Writes a table as files of so many rows each, in order of their names; gives how many rows there are."""
    held: list[pl.DataFrame] = []
    rows, number = 0, 0

    def write(table: pl.DataFrame) -> None:
        nonlocal number
        table.write_parquet(folder / f"{name}-{number:05}.parquet")
        number += 1

    for frame in frames:
        held.append(frame)
        rows += frame.height
        while (count := sum(each.height for each in held)) >= ROWS:
            table = pl.concat(held)
            write(table.head(ROWS))
            held = [table.tail(count - ROWS)]
    if held and (number == 0 or sum(each.height for each in held)):
        write(pl.concat(held))
    return rows


@contextmanager
def streamed(logs: list[str], asked: LogOptions, out: Path | None, *, as_of: datetime | None) -> Iterator[Streamed]:
    """Reads, pairs and charges in parts, and writes the charges to `out`."""
    rates = asked.prices
    write = None if out is None or is_folder(out) else writer_of(out)
    if out is not None and write is None:
        folder_may_be_written(out)
    with sessions_in_parts(logs, asked, out, as_of=as_of) as parts:
        if rates is None:
            rates_template(parts.sessions.select("product").unique().collect())
        problems = tf.Problems()
        servers = _zones(parts, asked.zones)
        beside = None if out is None else out.absolute().parent
        with scratch_folder(beside) as scratch:
            charges = tf.scan_charges(
                parts.sessions, rule=asked.terms, rates=rates, servers=servers, users=asked.kept.users,
                as_of=as_of, scratch=scratch, problems=problems,
            )  # fmt: skip
            folder = Path(scratch) / "charges"
            folder.mkdir()
            batches = charges.collect_batches(chunk_size=ROWS, maintain_order=True)
            rows = write_parts(batches, folder, "charges")
            written = pl.scan_parquet(folder / "*.parquet") if rows else charges.clear()
            found = pl.concat([parts.problems, problems.frame])
            use = Use(parts.coverage, parts.files, parts.checkouts, parts.refused, parts.sessions, written)
            if write is not None:
                write(written)
            yield Streamed(use, found, servers, rows)
            if out is not None and write is None:
                with whole_folder(out) as whole:
                    for file in sorted(folder.iterdir()):
                        file.rename(whole / file.name)


def _zones(parts: Parts, zones: str | dict[str, str] | None) -> dict[str, str]:
    """The zone of each server, as far as it is said."""
    if not isinstance(zones, str):
        return zones or {}
    names = parts.sessions.select(pl.col("server").cast(pl.String)).unique().collect(engine="streaming")
    known = parts.coverage["server"].cast(pl.String).to_list() or names["server"].drop_nulls().sort().to_list()
    return dict.fromkeys(known, zones)
