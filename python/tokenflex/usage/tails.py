"""Logs read from a line on: the lines from which that can be done, and pairing that goes on from there.

A *text* is the content of a log, told by a number. A *cut* is an instant of a server, and in each text that reaches
over it the first line since that can be read without those before it, as it dates itself. What stands before can change
only if another text of the server says so. What follows, the *tail*, is read and paired with what was going on at the
cut: with what had ended there that is what one run over everything gives.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from itertools import islice
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol
from zoneinfo import ZoneInfo

import polars as pl

from tokenflex import _core, tables
from tokenflex.arrow import columns_of
from tokenflex.errors import ZoneError
from tokenflex.reading.sources import UNIX_EPOCH
from tokenflex.times import EPOCH, MICROSECOND, microseconds
from tokenflex.usage.sessions import READS, unpaired_rows

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from datetime import date

    from tokenflex._core import Source

BESIDE: Final = timedelta(seconds=4)
"""The lines of one start of a product lie less than this apart."""

CALM: Final = timedelta(hours=27)
"""So far from a change of the clock a local time is one instant, and nothing before it matters."""

CANDIDATES: Final = 24
"""How many lines are tried as the next cut, the last first."""

_STAMP: Final = re.compile(rb"^(\xef\xbb\xbf)?\s*\d{1,2}:\d\d:\d\d \(")
FORKED: Final = r"_\d+$"
"""How the name of a forked daemon ends."""

_GROUPED: Final = ("OUT", "IN", "DENIED", "UNSUPPORTED")
_NUMBERS: Final = ("licenses", "peak", "checkouts", "set_aside")


class Part(NamedTuple):
    """A text from a byte on, with the lines before it."""

    text: int
    byte: int
    line: int


class Cut(NamedTuple):
    """An instant, and the parts of the texts that reach over it from which on they can be read alone."""

    at: datetime
    parts: tuple[Part, ...]

    @property
    def texts(self) -> set[int]:
        """The texts that reach over it."""
        return {part.text for part in self.parts}


class Anchor(NamedTuple):
    """A line that dates itself."""

    text: int
    line: int
    at: datetime


@dataclass(frozen=True)
class Read:
    """What parts of texts say; `file` is a text's number everywhere."""

    events: pl.DataFrame
    problems: pl.DataFrame
    packages: pl.DataFrame
    spans: dict[int, tuple[datetime | None, datetime | None]]
    """The first and the last instant of each text's lines."""
    servers: dict[int, set[str]]
    """Whose lines a text has."""
    hosts: dict[int, list[str]]
    anchors: list[tuple[int, int, int, int | None]]
    """Text, line, local time and offset in seconds."""
    main: dict[int, str]
    """The server that a text begins with."""
    repeated: set[int]
    """Texts with lines that stand in another, too."""

    def of_server(self, server: str) -> Read:
        """What it says of one server."""
        texts = {text for text, servers in self.servers.items() if server in servers}
        told = pl.col("source").cast(pl.Int64).is_in([text for text in texts if self.main[text] == server])
        return Read(
            events=self.events.filter(pl.col("server") == server),
            problems=self.problems.filter(told),
            packages=self.packages,
            spans={text: span for text, span in self.spans.items() if text in texts},
            servers=self.servers,
            hosts=self.hosts,
            anchors=[anchor for anchor in self.anchors if anchor[0] in texts],
            main=self.main,
            repeated=self.repeated & texts,
        )


class Texts(Protocol):
    """Where the content of texts is."""

    def source(self, part: Part) -> Source:
        """A part of a text for the reader; it is called by the text's number, a slash and the file's name."""

    def is_plain(self, text: int) -> bool:
        """Whether the bytes of the text are those of its lines: neither packed, nor of two bytes for each letter."""

    def byte_of(self, line: int, *, text: int, known: tuple[int, int]) -> int | None:
        """At which byte a line begins, counted from 1; `known` are a byte and the lines before it."""

    def at(self, byte: int, count: int, *, text: int) -> bytes:
        """So many bytes of a text from one on."""


@dataclass
class Tail:
    """What stands behind a server's cut, read; without a cut all of it."""

    server: str
    cut: Cut | None
    read: Read
    zone: str | None
    carried: pl.DataFrame
    last_seen: datetime | None
    changed: set[int]
    """The texts in which something is new: the server may go on writing them."""

    @cached_property
    def anchors(self) -> list[Anchor]:
        """The lines that date themselves, with their instants."""
        found = []
        for text, line, local, offset in self.read.anchors:
            at = EPOCH + timedelta(seconds=local)
            if offset is not None:
                found.append(Anchor(text, line, at - timedelta(seconds=offset)))
            elif self.zone is not None:
                there = at.replace(tzinfo=ZoneInfo(self.zone))
                found.append(Anchor(text, line, there.astimezone(UTC)))
        return found


def paired(tail: Tail, texts: Texts, packages: pl.DataFrame) -> Paired:
    """Pairs a tail, and cuts it at the last line where that can be done."""
    for cut in _cuts(tail, texts):
        found = _pair(tail, cut, packages)
        if found.is_whole:
            return found
    return _pair(tail, None, packages)


@dataclass
class Paired:
    """What pairing a tail gave, and what the next one starts from."""

    sessions: pl.DataFrame
    unpaired: pl.DataFrame
    cut: Cut | None
    is_moved: bool
    is_whole: bool
    """Whether one can go on from the cut."""
    carried: pl.DataFrame
    last_seen: datetime | None
    tail: list[int]


def _pair(tail: Tail, cut: Cut | None, packages: pl.DataFrame) -> Paired:
    """Pairs a tail, and says what is going on at a line of it."""
    carried = tail.carried.select(
        time="time", kind="kind", feature="feature", user="user", host="host", daemon="daemon",
        file=pl.col("text").cast(pl.String), line="line",
    )  # fmt: skip
    events = tail.read.events.with_columns(
        pl.col("kind", "feature", "user", "host", "reason", "daemon").cast(pl.String)
    )
    joint = pl.concat([carried, events], how="diagonal_relaxed").with_columns(server=pl.lit(tail.server))
    joint = joint.with_columns(pl.col("licenses").fill_null(1), line=pl.col("line").cast(pl.UInt32))
    numbers = tail.carried.select(*(pl.col(name).cast(pl.UInt32) for name in _NUMBERS), "closing_until")
    table, rows, unpaired, kept, last_seen, is_whole = _core.pair_on(
        columns_of(joint, [name for name in READS if name in joint.columns]),
        packages=columns_of(packages, None),
        as_of=None,
        carried=columns_of(numbers, None),
        last_seen=None if tail.last_seen is None else microseconds(tail.last_seen, "last_seen"),
        keep_at=None if cut is None else microseconds(cut.at, "cut"),
    )
    # Without a new cut the old one stays, and with it what was going on there.
    at = cut or tail.cut
    going_on = pl.DataFrame(kept)
    sessions = tables.finish(table, tables.SESSIONS).with_columns(
        pl.DataFrame(rows)["row"], text=pl.col("file").cast(pl.String).cast(pl.Int64)
    )
    goes_on = going_on.filter(pl.col("licenses") > 0)["row"].implode()
    is_settled = pl.lit(False)  # noqa: FBT003 - a value
    if cut is not None:
        is_settled = (pl.col("start") < cut.at) & ~pl.col("row").is_in(goes_on)
    sessions = sessions.with_columns(is_settled=is_settled, end=pl.when(~pl.col("is_open")).then("end")).drop(
        "row", "file", "is_open"
    )
    found = pl.DataFrame(unpaired)
    told = tables.empty(tables.PROBLEMS).with_columns(time=pl.lit(None, tables.TIME))
    if found.height:
        told = unpaired_rows(found, joint).with_columns(time=joint["time"].gather(found["location"]))
    return Paired(
        sessions=sessions,
        unpaired=told,
        cut=at,
        is_moved=cut is not None,
        is_whole=is_whole,
        carried=_carried(joint, going_on) if cut is not None else tail.carried,
        last_seen=_instant(last_seen) if cut is not None else tail.last_seen,
        tail=_behind(tail, at),
    )


def _instant(time: int | None) -> datetime | None:
    return None if time is None else EPOCH + time * MICROSECOND


def _carried(joint: pl.DataFrame, kept: pl.DataFrame) -> pl.DataFrame:
    """What is going on, with the events that stand for it."""
    rows = joint.select(
        pl.col("time", "kind", "feature", "user", "host").gather(kept["row"]),
        text=pl.col("file").cast(pl.String).cast(pl.Int64).gather(kept["row"]),
        line=pl.col("line").cast(pl.Int64).gather(kept["row"]),
    )
    return rows.hstack(kept.select(pl.col("daemon").cast(pl.String), *_NUMBERS, "closing_until").get_columns())


def nothing_carried() -> pl.DataFrame:
    """What is going on before the first line."""
    names = ("kind", "feature", "user", "host", "daemon")
    schema: dict[str, Any] = {"time": tables.TIME, **dict.fromkeys(names, pl.String())}
    schema |= dict.fromkeys(("text", "line", *_NUMBERS), pl.Int64())
    return pl.DataFrame(schema={**schema, "closing_until": tables.TIME})


def _behind(tail: Tail, cut: Cut | None) -> list[int]:
    """The texts that lie behind a cut as a whole."""
    if cut is None:
        return []
    spans = tail.read.spans.items()
    return [text for text, (first, _) in spans if text not in cut.texts and first is not None and first >= cut.at]


def _cuts(tail: Tail, texts: Texts) -> Iterator[Cut]:
    """Where the tail may be cut, the last first; at first only where no text ends that may go on."""
    events = tail.read.events.select(
        "time", "line", text=pl.col("file").cast(pl.Int64), kind=pl.col("kind").cast(pl.String),
        user=pl.col("user").cast(pl.String), host=pl.col("host").cast(pl.String),
    )  # fmt: skip
    usable = [
        anchor
        for anchor in tail.anchors
        if len(tail.read.hosts[anchor.text]) <= 1
        and len(tail.read.servers[anchor.text]) <= 1
        and texts.is_plain(anchor.text)
    ]
    usable.sort(key=lambda each: (each.at, each.text, each.line), reverse=True)
    for may_end in (False, True):
        for anchor in islice((each for each in usable if _is_calm(each.at, tail.zone)), CANDIDATES):
            if _ends_before(tail, anchor) != may_end:
                continue
            cut = _cut_at(tail, texts, anchor, _beside(tail, events, anchor, usable))
            if cut is not None:
                yield cut


def _ends_before(tail: Tail, anchor: Anchor) -> bool:
    """Whether a text that may go on ends before a line, beside the text that has the line."""
    begin, end = tail.read.spans[anchor.text]
    if begin is None or end is None:
        return False
    for text in tail.changed - {anchor.text}:
        first, last = tail.read.spans.get(text, (None, None))
        if first is not None and last is not None and first <= end and begin <= last < anchor.at:
            return True
    return False


def _beside(tail: Tail, events: pl.DataFrame, anchor: Anchor, usable: list[Anchor]) -> list[Anchor] | None:
    """The lines that cut the texts at the instant of one; None if what goes on reaches over it, or one has no line."""
    lines = [anchor]
    for text, (first, last) in tail.read.spans.items():
        if text != anchor.text and first is not None and last is not None and first < anchor.at <= last:
            later = [each for each in usable if each.text == text and each.at >= anchor.at]
            if not later or not _is_calm(later[-1].at, tail.zone):
                return None
            lines.append(later[-1])
    is_after = pl.col("time") >= anchor.at
    for text, line, _ in lines:
        told = (pl.col("source") == str(text)) & (pl.col("location") == line)
        wrong = (pl.col("text") == text) & (is_after != (pl.col("line") >= line))
        # What the line says of those before it, it would not say if they were left out.
        if not tail.read.problems.filter(told).is_empty() or not events.filter(wrong).is_empty():
            return None
    near = events.filter((pl.col("time") - anchor.at).abs() <= BESIDE, pl.col("kind").is_in(_GROUPED))
    sides = near.group_by("user", "host", "kind").agg(both=is_after.n_unique() > 1)
    return None if sides["both"].any() else lines


def _cut_at(tail: Tail, texts: Texts, anchor: Anchor, lines: list[Anchor] | None) -> Cut | None:
    """The cut at lines, if the texts have them where they say."""
    if lines is None:
        return None
    begun = {} if tail.cut is None else {part.text: (part.byte, part.line) for part in tail.cut.parts}
    parts = []
    for text, line, _ in lines:
        byte = texts.byte_of(line, text=text, known=begun.get(text, (0, 0)))
        if byte is None or not _STAMP.match(texts.at(byte, 64, text=text)):
            return None
        parts.append(Part(text, byte, line - 1))
    return Cut(anchor.at, tuple(parts))


def _is_calm(at: datetime, zone: str | None) -> bool:
    if zone is None:
        return True
    there = ZoneInfo(zone)
    offsets = {(at + step * CALM).astimezone(there).utcoffset() for step in (-1, 0, 1)}
    return len(offsets) == 1


def zone_of(timezone: str | Mapping[str, str] | None, server: str) -> str | None:
    """The zone of a server, of one for all or of one for each.

    Raises:
        ZoneError: There is one for each, and none for this.
    """
    if timezone is None or isinstance(timezone, str):
        return timezone
    found = timezone.get(server)
    if found is None:
        found = next((zone for name, zone in timezone.items() if name.lower() == server.lower()), None)
    if found is None:
        raise ZoneError(f"timezone has no zone for the server {server!r}", location="timezone")
    return found


def read_parts(
    parts: list[Part],
    texts: Texts,
    *,
    server: str | None,
    timezone: str | dict[str, str] | None,
    encoding: str,
    first_date: date | None,
    progress: Callable[[int], object] | None,
) -> Read:
    """Reads parts of texts as `read_flexlm` does."""
    logs, anchors, hosts = _core.read_flexlm_on(
        {
            "sources": [texts.source(part) for part in parts],
            "timezone": timezone if isinstance(timezone, str) else None,
            "timezones": timezone if isinstance(timezone, dict) else {},
            "server": server,
            "encoding": encoding,
            "first_date": None if first_date is None else first_date.toordinal() - UNIX_EPOCH,
            "threads": None,
        },
        [part.line for part in parts],
        progress=progress,
    )
    schemas = (tables.EVENTS, tables.PROBLEMS, tables.PACKAGES, tables.FILES)
    found = [tables.finish(table, schema) for table, schema in zip(logs[:4], schemas, strict=True)]
    events, problems, packages, files = found
    numbers = [part.text for part in parts]
    names = {name: str(text) for name, text in zip(files["file"], numbers, strict=True)}
    events = events.with_columns(pl.col("file").cast(pl.String).replace_strict(names, return_dtype=pl.String))
    servers = {text: {name} for text, name in zip(numbers, files["server"], strict=True)}
    for text, name in (
        events.select(pl.col("file").cast(pl.Int64), pl.col("server").cast(pl.String)).unique().iter_rows()
    ):
        servers[text].add(name)
    return Read(
        events=events,
        problems=problems.with_columns(source=pl.col("source").str.split("/").list.first()),
        packages=packages,
        spans={text: tuple(row) for text, row in zip(numbers, files.select("first", "last").iter_rows(), strict=True)},
        servers=servers,
        hosts=dict(zip(numbers, hosts, strict=True)),
        main=dict(zip(numbers, files["server"], strict=True)),
        repeated={text for text, lines in zip(numbers, files["repeated_lines"], strict=True) if lines},
        anchors=[
            (numbers[file], line, local, offset) for file, line, local, offset in pl.DataFrame(anchors).iter_rows()
        ],
    )
