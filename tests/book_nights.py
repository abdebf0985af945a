"""Logs of license servers as dirty as real ones, what a month of nights does to their files, and one run over all."""

from __future__ import annotations

import gzip
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import polars as pl

import tokenflex as tf
from tokenflex import _core, tables
from tokenflex.book.texts import Kept

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from random import Random

USERS = ["ana@pc1", "Ana@pc1", "josé@pc2", "root@node7"]
FEATURES = ["87545ACD_2022_0F", "64300ACD_F", "87688RVT_2023_0F", "85950RVT_F", "oddity"]
PRODUCTS = ["ACD", "RVT", "oddity"]
STARTUP = """{at} (lmgrd) (@lmgrd-SLOG@) Start-Date: {long} CET
{at} (lmgrd) server started on {host} (license files: x)
{at} (lmgrd) Started adskflex (internal tcp_port 5000 pid {pid})
{at} (adskflex) Server started on {host} for:\t64300ACD_F (consisting of: 87545ACD_2022_0F)
{at} (adskflex) 87545ACD_2022_0F
"""
GARBAGE = [b"\x00\x00\n", b'8:61:00 (adskflex) OUT: "x" a@b\n', b"\n", b'(adskflex) OUT: "torn', b"no line\r\n"]


@dataclass
class Writer:
    """A server that writes its log."""

    random: Random
    host: str
    at: datetime
    has_banner: bool = True
    has_two_logs: bool = False
    """One of the license manager, and one of the vendor daemon."""
    data: bytes = b""
    out: list[tuple[str, str]] = field(default_factory=list)

    def line(self, text: str, daemon: str = "adskflex") -> None:
        end = "\r\n" if self.random.random() < 0.02 else "\n"
        if self.random.random() < 0.01:
            end = ""
        self.data += f"{self.clock} ({daemon}) {text}{end}".encode("cp1252")

    @property
    def clock(self) -> str:
        return f"{self.at.hour}:{self.at:%M:%S}"

    def start(self) -> None:
        self.out = []
        text = STARTUP.format(
            at=self.clock,
            long=self.at.strftime("%a %b %d %Y %H:%M:%S"),
            host=self.host,
            pid=self.random.randrange(9999),
        )
        if not self.has_banner:
            text = "".join(line for line in text.splitlines(keepends=True) if self.host not in line)
        self.data += text.encode()

    def date(self) -> None:
        self.line(f"TIMESTAMP {self.at.month}/{self.at.day}/{self.at.year}", self.random.choice(["lmgrd", "adskflex"]))

    def step(self) -> None:
        """Writes what comes next."""
        self.at += timedelta(seconds=self.random.choice([0, 0, 1, 2, 3, 30, 300, 3600, 4 * 3600]))
        deeds, weights = zip(*self.deeds().items(), strict=True)
        self.random.choices(deeds, weights)[0]()

    def deeds(self) -> dict[Callable[[], object], float]:
        """What can come next, and how often it does."""
        random = self.random
        return {
            self.check_out: 40,
            self.check_in: 30,
            self.date: 18,
            lambda: self.line('DENIED: "64300ACD_F" ana@pc1  (Licensed number of users already reached. (-4,342))'): 2,
            lambda: self.line("EXITING DUE TO SIGNAL 15 Exit reason 5"): 1,
            lambda: self.line("adskflex exited with status 58 ()", "lmgrd"): 1,
            self.start: 2,
            lambda: self.line("Rereading license file..."): 1,
            lambda: self.line('IN: "87545ACD_2022_0F" nobody@pc9'): 1,
            self.garbage: 1,
            lambda: self.shift(-random.choice([5, 200, 4000, 9000, 86_400 * 3])): 0.5,
            lambda: self.shift(86_400 * random.choice([1, 2, 30])): 0.5,
            lambda: self.line('UPGRADE: "87545ACD_2022_0F" ana@pc1  (1->2 licenses)'): 0.5,
            lambda: self.line('OUT: "87688RVT_2023_0F" ana@pc1', random.choice(["adskflex_2", "other"])): 0.5,
        }

    def check_out(self) -> None:
        feature, user = self.random.choice(FEATURES), self.random.choice(USERS)
        self.line(f'OUT: "{feature}" {user}')
        self.out.append((feature, user))
        if self.random.random() < 0.4:
            self.line(f'OUT: "{self.random.choice(FEATURES)}" {user}')

    def check_in(self) -> None:
        if self.out:
            feature, user = self.out.pop(self.random.randrange(len(self.out)))
            reason = self.random.choice(["", "", "", " (INACTIVE)", "  (2 licenses)"])
            self.line(f'IN: "{feature}" {user}{reason}')

    def garbage(self) -> None:
        self.data += self.random.choice(GARBAGE)

    def shift(self, seconds: float) -> None:
        """The clock is set, or nobody works for some days."""
        self.at += timedelta(seconds=seconds)


@dataclass
class Nights:
    """Files of servers from night to night, and every content that the book was given."""

    random: Random
    folder: Path
    servers: int = 1
    writers: list[Writer] = field(default_factory=list)
    given: set[bytes] = field(default_factory=set)
    late: list[tuple[Path, bytes]] = field(default_factory=list)
    number: int = 0
    is_one_folder: bool = False

    def __post_init__(self) -> None:
        self.is_one_folder = self.random.random() < 0.3
        for server in range(self.servers):
            starts = [datetime(2026, 7, 13, 20), datetime(2026, 10, 24, 22), datetime(2026, 3, 28, 21)]  # noqa: DTZ001 - local
            writer = Writer(self.random, f"lic-{server:02}", self.random.choice(starts[: self.random.choice([1, 3])]))
            writer.has_banner = self.random.random() < 0.8
            writer.has_two_logs = self.random.random() < 0.25
            if self.random.random() < 0.8:
                writer.start()
            self.writers.append(writer)

    def night(self) -> list[Path]:
        """Lets a night pass; the files that are given to the book."""
        for writer in self.writers:
            self.number += 1
            folder = self.folder / ("all" if self.is_one_folder else writer.host)
            folder.mkdir(exist_ok=True)
            for _ in range(self.random.choice([0, 3, 20, 60])):
                writer.step()
            new = self.new_of(writer)
            if writer.has_two_logs:
                lines = new.splitlines(keepends=True)
                self.deliver(
                    folder / f"{writer.host}-lmgrd.log", b"".join(line for line in lines if b"(lmgrd)" in line)
                )
                new = b"".join(line for line in lines if b"(lmgrd)" not in line)
            self.deliver(folder / f"{writer.host}-debug.log", new)
            if self.late and self.random.random() < 0.4:
                path, data = self.late.pop()
                path.write_bytes(data)
        files = sorted(path for path in self.folder.rglob("*") if path.is_file())
        for path in files:
            data = path.read_bytes()
            self.given.add(gzip.decompress(data) if path.suffix == ".gz" else data)
        if self.random.random() < 0.2:
            self.random.shuffle(files)
        return files

    def new_of(self, writer: Writer) -> bytes:
        """What a server has written; with some the rest of the last line comes the next night."""
        new, writer.data = writer.data, b""
        if new and self.random.random() < 0.3:
            cut = self.random.randrange(max(len(new) - 60, 0), len(new))
            new, writer.data = new[:cut], new[cut:]
        return new

    def deliver(self, main: Path, new: bytes) -> None:
        """Writes what is new behind what there is, or does first what happens to files."""
        fate = self.random.choices(["", "late", "rotate", "pack", "copy", "empty", "part"], [64, 10, 10, 5, 5, 3, 3])[0]
        beside = main.with_name(f"{main.name}.{self.number}")
        if fate == "late":
            self.late.append((beside, new))
            return
        if main.exists():
            old = main.read_bytes()
            if fate == "rotate":
                main.rename(beside)
            elif fate == "pack":
                beside.with_name(f"{beside.name}.gz").write_bytes(gzip.compress(old))
                main.unlink()
            elif fate in ("copy", "part"):
                beside.write_bytes(old[self.random.randrange(len(old) + 1) if fate == "part" else 0 :])
            elif fate == "empty":
                main.write_bytes(b"")
        with main.open("ab") as file:
            file.write(new)

    def texts(self) -> set[bytes]:
        """All that was given, but what is the beginning of something else."""
        return {data for data in self.given if data and not any(o != data and o.startswith(data) for o in self.given)}


def one_run(book: tf.Book, texts: set[bytes] | None = None) -> tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame]:
    """Sessions, charges and problems of one run over all that a book was given, in the order that a book has."""
    terms = book.terms
    with book._store.reading() as connection:
        rows = connection.rows("SELECT text, origin, folder, name FROM texts ORDER BY text")
        contents = {text: Kept(connection, text).read() for text, *_ in rows}
    if texts is not None:
        assert sorted(contents.values()) == sorted(texts)
    names = {f"{text}/{origin}": name for text, origin, _, name in rows}
    parts = _core.read_flexlm(
        {
            "sources": [
                {"name": f"{text}/{origin}", "folder": folder, "path": None, "bytes": contents[text], "file": None}
                for text, origin, folder, _ in rows
            ],
            "timezone": terms.timezone if isinstance(terms.timezone, str) else None,
            "timezones": terms.timezone if isinstance(terms.timezone, dict) else {},
            "server": terms.server,
            "encoding": terms.encoding,
            "first_date": None,
            "threads": 1,
        },
        progress=None,
    )
    events, read, packages = (
        tables.finish(part, schema)
        for part, schema in zip(parts[:3], (tables.EVENTS, tables.PROBLEMS, tables.PACKAGES), strict=True)
    )
    problems = tf.Problems()
    problems.add(read)
    sessions = tf.pair(events, packages=packages, problems=problems)
    order = sessions.select(
        "start",
        pl.col("server").cast(pl.String),
        pl.col("file").cast(pl.String).str.split("/").list.first().cast(pl.Int64),
        "line",
        pl.col("user", "host", "feature").cast(pl.String),
        end=pl.when(~pl.col("is_open")).then("end"),
        licenses="licenses",
        checkouts="checkouts",
    )
    sessions = sessions[order.with_row_index("row").sort(*order.columns, nulls_last=True)["row"]]
    servers = terms.servers(sessions["server"].cast(pl.String).unique().to_list())
    assert terms.rule is not None
    assert terms.rates is not None
    charges = tf.charge(
        sessions, rule=terms.rule, rates=terms.rates, servers=servers, users=terms.users, problems=problems
    )
    sessions = plain(sessions).with_columns(pl.col("file").replace_strict(names, default=None, return_dtype=pl.String))
    told = problems.frame.with_columns(pl.col("source").replace(names))
    return sessions, plain(charges), told


def plain(table: pl.DataFrame) -> pl.DataFrame:
    """Names as text, so that tables can be compared."""
    return table.with_columns(pl.col(pl.Categorical, pl.Enum).cast(pl.String))


def assert_is_one_run(book: tf.Book, texts: set[bytes] | None = None) -> None:
    """The law: the book is one run over all that it was given."""
    sessions, charges, problems = one_run(book, texts)
    assert_same(plain(book.sessions()), sessions)
    assert_same(plain(book.charges()), charges)
    columns = list(tables.PROBLEMS)
    assert_same(book.problems().sort(columns), problems.sort(columns))


def assert_same(found: pl.DataFrame, expected: pl.DataFrame) -> None:
    if found.equals(expected):
        return
    on = expected.columns
    surplus = found.join(expected, on=on, how="anti", nulls_equal=True)
    missing = expected.join(found, on=on, how="anti", nulls_equal=True)
    with pl.Config(tbl_cols=20, tbl_width_chars=220):
        raise AssertionError(f"{found.height} and {expected.height} rows\nsurplus {surplus}\nmissing {missing}")


def local(zone: str, *parts: int) -> datetime:
    return datetime(*parts, tzinfo=ZoneInfo(zone))  # type: ignore[arg-type,misc] # year, month, day, …
