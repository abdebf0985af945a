"""A night of a `Book` beside the rebuild of its year: one log that grows, and a file a day of each of three servers."""

from __future__ import annotations

import statistics
import time
from typing import TYPE_CHECKING, Final

import polars as pl
import pytest

import scoreboard
import tokenflex as tf
from make_log import SERVER, ZONE, write_log

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

pytestmark = pytest.mark.bench

SIZE: Final = 360_000_000
"""Bytes that all logs of the year have."""
DAYS: Final = 365
NIGHTS: Final = 5
"""The last ones of the year, which are timed."""
SERVERS: Final = (SERVER, "par-lic-1", "ber-lic-1")
RATES: Final = tf.Rates({name: 1 + place for place, name in enumerate(("ACD", "CIV3D", "RVT", "MAYA"))})


def cuts_of(data: bytes, days: int) -> list[int]:
    """Where the days of a log end: at the line's end nearest after its share."""
    return [data.index(b"\n", len(data) * day // days - 1) + 1 for day in range(1, days + 1)]


def one_log(folder: Path, size: int, days: int) -> Iterator[list[Path]]:
    """The files of each night: one log, which grows."""
    whole, log = folder / "whole.log", folder / "debug.log"
    write_log(whole, size, days=days)
    data = whole.read_bytes()
    whole.unlink()
    start = 0
    for end in cuts_of(data, days):
        with log.open("ab") as file:
            file.write(data[start:end])
        start = end
        yield [log]


def daily_logs(folder: Path, size: int, days: int) -> Iterator[list[Path]]:
    """The files of each night: all that lie in the folder, a new one for each server."""
    logs = []
    for number, server in enumerate(SERVERS):
        whole = folder / f"{server}.log"
        write_log(whole, size // len(SERVERS), seed=number, days=days)
        logs.append((server, whole.read_bytes().replace(SERVER.encode(), server.encode())))
        whole.unlink()
    ends = [[0, *cuts_of(data, days)] for _, data in logs]
    files = []
    for day in range(days):
        for (server, data), cuts in zip(logs, ends, strict=True):
            files.append(folder / server / f"{day:03}.log")
            files[-1].parent.mkdir(exist_ok=True)
            files[-1].write_bytes(data[cuts[day] : cuts[day + 1]])
        yield list(files)


def new_book(path: Path) -> tf.Book:
    return tf.Book(path, rule=tf.TOKEN_FLEX, rates=RATES, timezone=ZONE)


def timed(book: tf.Book, files: list[Path]) -> float:
    begun = time.perf_counter()
    book.update(files)
    return time.perf_counter() - begun


def plain(table: pl.DataFrame) -> pl.DataFrame:
    """Names as text: the categories of two books are not the same."""
    return table.with_columns(pl.col(pl.Categorical, pl.Enum).cast(pl.String))


@pytest.mark.parametrize(
    ("race", "written"), [(scoreboard.NIGHT, one_log), (scoreboard.NIGHT_OF_FILES, daily_logs)], ids=["log", "files"]
)
def test_a_night_of_a_year(
    board: scoreboard.Scoreboard,
    scale: float,
    tmp_path: Path,
    race: str,
    written: Callable[[Path, int, int], Iterator[list[Path]]],
) -> None:
    (tmp_path / "logs").mkdir()
    book, nights, files = new_book(tmp_path / "nights.book"), [], []
    for day, files in enumerate(written(tmp_path / "logs", int(SIZE * scale), DAYS), 1):
        if day == DAYS - NIGHTS:
            book.update(files)
        elif day > DAYS - NIGHTS:
            nights.append(timed(book, files))
    assert not book.updates()["full"][1:].any()
    rebuilt = new_book(tmp_path / "rebuilt.book")
    rebuild = timed(rebuilt, files)
    for of in ("sessions", "charges"):
        mine, anew = (plain(getattr(each, of)()) for each in (book, rebuilt))
        assert mine.equals(anew), f"{of} of the nights are not those of the rebuild"
    board.sizes[race] = (
        f"({sum(file.stat().st_size for file in files) / 1e6:.0f} MB, {book.sessions().height:,} sessions)"
    )
    board.record(race, scoreboard.TOKENFLEX, statistics.median(nights))
    board.record(race, scoreboard.REBUILD, rebuild)
