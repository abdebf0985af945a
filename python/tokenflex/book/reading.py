"""What the texts of a book say: read from where that is certain, paired with what was going on there.

Each server has a *cut*: a line of a text that dates itself, before which nothing can change unless another text says
so. What follows it, the *tail*, is read again at each update and takes the place of what was found there before. Where
a text says something of the time before the cut, or anything that reaches over it, all texts are read.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, NamedTuple
from zoneinfo import ZoneInfo

import polars as pl

from tokenflex import _core, tables
from tokenflex.arrow import columns_of
from tokenflex.book.texts import Kept
from tokenflex.errors import ZoneError
from tokenflex.reading.sources import UNIX_EPOCH
from tokenflex.times import EPOCH, MICROSECOND, microseconds
from tokenflex.usage.sessions import READS, unpaired_rows

if TYPE_CHECKING:
    from collections.abc import Callable

    from tokenflex._core import Source
    from tokenflex.book.store import Connection
    from tokenflex.book.terms import Terms
    from tokenflex.book.texts import Taken

BESIDE: Final = timedelta(seconds=4)
"""The lines of one start of a product lie less than this apart."""

CALM: Final = timedelta(hours=27)
"""So far from a change of the clock a local time is one instant, and nothing before it matters."""

CANDIDATES: Final = 24
"""How many lines are tried as the next cut, the last first."""

_STAMP: Final = re.compile(rb"^(\xef\xbb\xbf)?\s*\d{1,2}:\d\d:\d\d \(")
_FORKED: Final = r"_\d+$"
_GROUPED: Final = ("OUT", "IN", "DENIED", "UNSUPPORTED")
_NUMBERS: Final = ("licenses", "peak", "checkouts", "set_aside")


class Cut(NamedTuple):
    """A line from which on a text can be read without what stands before it."""

    text: int
    byte: int
    line: int
    at: datetime


class Part(NamedTuple):
    """A text from a byte on, with the lines before it."""

    text: int
    byte: int
    line: int


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
        )


@dataclass
class Found:
    """What an update found of servers.

    Attributes:
        full: Whether all texts were read.
        servers: The servers whose sessions were found anew; of others nothing has changed.
        sessions: Their sessions, without those that had ended before the cut that the tail began at; open ones have no
            end.
    """

    full: bool
    servers: list[str] = field(default_factory=list)
    sessions: list[pl.DataFrame] = field(default_factory=list)


def find(
    connection: Connection,
    terms: Terms,
    taken: Taken,
    progress: Callable[[int], object] | None,
    *,
    full: bool,
) -> Found:
    """Reads what is new: the tails of the servers that it is about, or all where that is not enough."""
    if not full:
        tails = _tails(connection, terms, taken)
        if tails is not None:
            found = Found(full=False)
            for tail in tails:
                sessions = _go_on(connection, tail)
                found.servers.append(tail.server)
                found.sessions.append(sessions)
            return found
    return _all_anew(connection, terms, progress)


def _all_anew(connection: Connection, terms: Terms, progress: Callable[[int], object] | None) -> Found:
    """Reads all texts."""
    rows = connection.rows("SELECT text FROM texts ORDER BY text")
    parts = [Part(row[0], 0, 0) for row in rows]
    for table in ("servers", "carried", "packages", "log_problems"):
        connection.run(f"DELETE FROM {table}")  # noqa: S608 - our names
    found = Found(full=True)
    if not parts:
        return found
    read = read_parts(connection, parts, terms, server=terms.server, timezone=terms.timezone, progress=progress)
    connection.add("packages", read.packages)
    for text, span in read.spans.items():
        connection.run(
            "UPDATE texts SET first = ?, last = ?, servers = ?, hosts = ? WHERE text = ?",
            [*span, sorted(read.servers[text]), read.hosts[text], text],
        )
    every = sorted(set().union(*read.servers.values()))
    for server in every:
        whole = read.of_server(server) if len(every) > 1 else read
        tail = _Tail(server, None, whole, _zone(terms, server), carried=_nothing_carried(), last_seen=None)
        found.sessions.append(_go_on(connection, tail))
        found.servers.append(server)
    return found


@dataclass
class _Tail:
    """What stands behind a server's cut, read; without a cut all of it."""

    server: str
    cut: Cut | None
    read: Read
    zone: str | None
    carried: pl.DataFrame
    last_seen: datetime | None


def _tails(connection: Connection, terms: Terms, taken: Taken) -> list[_Tail] | None:
    """The tails that what is new belongs to; None where it says something of the time before them."""
    changed = set(taken.new) | set(taken.grown)
    places = {row[0]: _Place(*row) for row in connection.rows("SELECT text, folder, servers, hosts FROM texts")}
    by_server: dict[str, list[int]] = {}
    for text in sorted(changed):
        is_new = text in taken.new
        server = _server_of(connection, text, places, terms) if is_new else _only(places[text].servers)
        if server is None:
            return None
        by_server.setdefault(server, []).append(text)
    tails = []
    for server, texts in by_server.items():
        grown = {text for text in texts if text in taken.grown and text not in taken.new}
        tail = _tail(connection, terms, server, _Fresh(texts, grown, places))
        if tail is None:
            return None
        tails.append(tail)
    return tails


class _Place(NamedTuple):
    """What is known of a text before it is read again."""

    text: int
    folder: str
    servers: list[str]
    hosts: list[str]


class _Fresh(NamedTuple):
    """The texts of a server that are new, and those of them that grew."""

    texts: list[int]
    grown: set[int]
    places: dict[int, _Place]


def _only(servers: list[str]) -> str | None:
    return servers[0] if len(servers) == 1 else None


def _server_of(connection: Connection, text: int, places: dict[int, _Place], terms: Terms) -> str | None:
    """The server that a new text belongs to, as `read_flexlm` tells it; None where it changes that of others."""
    if terms.server is not None:
        return terms.server
    # Only the banners count here, so any zone will do.
    whole = [Part(text, 0, 0)]
    own = read_parts(connection, whole, terms, server="?", timezone="UTC", progress=None).hosts[text]
    beside = [place for place in places.values() if place.text != text and place.folder == places[text].folder]
    hosts = {host for place in beside for host in place.hosts}
    if own and (set(own) <= hosts or all(place.hosts for place in beside)):
        return _only(own)
    return next(iter(hosts)) if not own and len(hosts) == 1 else None


def _tail(connection: Connection, terms: Terms, server: str, fresh: _Fresh) -> _Tail | None:
    """What stands behind the cut of a server; None where it has none, or what is new reaches over it."""
    row = connection.row(
        "SELECT cut_text, cut_byte, cut_line, cut_at, last_seen, tail, has_forks FROM servers WHERE server = ?",
        [server],
    )
    if row is None or row[0] is None or row[6] or not fresh.grown <= {row[0], *row[5]}:
        return None
    cut, last_seen, known = Cut(*row[:4]), row[4], list(row[5])
    whole = sorted({*known, *fresh.texts} - {cut.text})
    parts = sorted([Part(cut.text, cut.byte, cut.line - 1), *(Part(text, 0, 0) for text in whole)])
    if any(len(fresh.places[part.text].hosts) > 1 for part in parts):
        return None
    zone = _zone(terms, server)
    read = read_parts(connection, parts, terms, server=server, timezone=zone, progress=None)
    known_packages = set(connection.rows("SELECT package, component FROM packages"))
    if not set(read.packages.select("package", "component").iter_rows()) <= known_packages:
        # A package more would be one in the past, too.
        return None
    names_no_other = _names_no_other(read, cut, fresh, None if terms.server is not None else server)
    if not names_no_other or not _stays_behind(read, cut):
        return None
    carried = connection.frame("SELECT * EXCLUDE (server) FROM carried WHERE server = ?", [server])
    return _Tail(server, cut, read, zone, carried, last_seen)


def _names_no_other(read: Read, cut: Cut, fresh: _Fresh, server: str | None) -> bool:
    """Whether no banner names another host than is known; `server` is None where a name was given."""
    for text, hosts in read.hosts.items():
        known = set(fresh.places[text].hosts)
        if text == cut.text or text not in fresh.texts or text in fresh.grown:
            if not set(hosts) <= known:
                return False
        elif len(hosts) > 1 or (server is not None and not set(hosts) <= {server}):
            return False
    return True


def _stays_behind(read: Read, cut: Cut) -> bool:
    """Whether nothing in the tail says anything of the time before it."""
    first = min((span[0] for span in read.spans.values() if span[0] is not None), default=cut.at)
    if first < cut.at or not read.events.filter(pl.col("time") < cut.at).is_empty():
        return False
    daemons = read.events["daemon"].cast(pl.String).unique()
    return not daemons.str.contains(_FORKED).any()


def _go_on(connection: Connection, tail: _Tail) -> pl.DataFrame:
    """Pairs a tail, keeps what is to be kept of it, and gives its sessions with `is_settled`."""
    server, read = tail.server, tail.read
    events = read.events
    anchors = _instants(read, tail.zone)
    last_event = events["time"].max()
    found = _paired(connection, tail, anchors)
    cut = found.cut
    row = connection.row("SELECT last_event, certain_until FROM servers WHERE server = ?", [server])
    before = row or (None, None)
    forks = bool(events["daemon"].cast(pl.String).unique().str.contains(_FORKED).any())
    # A start without a stop ends what is open where the log last said anything, so what follows that can still change.
    dated = max((anchor.at for anchor in anchors), default=None)
    certain = None if dated is None else events.filter(pl.col("time") <= dated)["time"].max()
    connection.run("DELETE FROM servers WHERE server = ?", [server])
    connection.run(
        "INSERT INTO servers VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        [
            server,
            _latest(before[0], last_event),
            _latest(before[1], certain),
            forks,
            *((None, None, None, None) if cut is None else cut),
            found.last_seen,
            found.tail,
        ],
    )
    if tail.cut is not None:
        for text, span in read.spans.items():
            connection.run(
                "UPDATE texts SET first = least(first, ?), last = greatest(last, ?), servers = [?], "
                "hosts = list_sort(list_distinct(list_concat(hosts, ?))) WHERE text = ?",
                [*span, server, read.hosts[text], text],
            )
    if found.is_moved:
        connection.run("DELETE FROM carried WHERE server = ?", [server])
        connection.add("carried", found.carried.with_columns(server=pl.lit(server)))
    _keep_problems(connection, tail, found)
    return found.sessions


def _latest(a: datetime | None, b: object) -> datetime | None:
    if not isinstance(b, datetime):
        return a
    return b if a is None else max(a, b)


def _paired(connection: Connection, tail: _Tail, anchors: list[Anchor]) -> _Paired:
    """Pairs a tail, and cuts it at the last line where that can be done."""
    for cut in _cuts(connection, tail, anchors):
        found = _pair(connection, tail, cut)
        if found.is_whole:
            return found
    return _pair(connection, tail, None)


@dataclass
class _Paired:
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


def _pair(connection: Connection, tail: _Tail, cut: Cut | None) -> _Paired:
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
    packages = pl.DataFrame(
        connection.rows("SELECT DISTINCT package, component FROM packages"),
        schema={"package": pl.String, "component": pl.String},
        orient="row",
    )
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
    return _Paired(
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


def _nothing_carried() -> pl.DataFrame:
    texts = ("kind", "feature", "user", "host", "daemon")
    schema: dict[str, Any] = {"time": tables.TIME, **dict.fromkeys(texts, pl.String())}
    schema |= dict.fromkeys(("text", "line", *_NUMBERS), pl.Int64())
    return pl.DataFrame(schema={**schema, "closing_until": tables.TIME})


def _behind(tail: _Tail, cut: Cut | None) -> list[int]:
    """The texts that lie behind a cut as a whole."""
    if cut is None:
        return []
    spans = tail.read.spans.items()
    return [text for text, (first, _) in spans if text != cut.text and first is not None and first >= cut.at]


def _cuts(connection: Connection, tail: _Tail, anchors: list[Anchor]) -> list[Cut]:
    """The lines that the tail may be cut at, the last first."""
    plain = {row[0] for row in connection.rows("SELECT text FROM texts WHERE is_plain")}
    events = tail.read.events.select(
        "time", "line", text=pl.col("file").cast(pl.Int64), kind=pl.col("kind").cast(pl.String),
        user=pl.col("user").cast(pl.String), host=pl.col("host").cast(pl.String),
    )  # fmt: skip
    cuts = []
    tried = 0
    for anchor in sorted(anchors, key=lambda each: (each.at, each.text, each.line), reverse=True):
        if anchor.text not in plain or not _is_calm(anchor.at, tail.zone):
            continue
        if len(tail.read.hosts[anchor.text]) > 1 or len(tail.read.servers[anchor.text]) > 1:
            continue
        tried += 1
        if tried > CANDIDATES:
            break
        if _is_between(tail, events, anchor):
            cut = _cut_at(connection, tail, anchor)
            if cut is not None:
                cuts.append(cut)
    return cuts


def _is_between(tail: _Tail, events: pl.DataFrame, anchor: Anchor) -> bool:
    """Whether what lies before a line was logged before its instant, and what follows not."""
    for text, (first, last) in tail.read.spans.items():
        if text == anchor.text or first is None or last is None:
            continue
        if first < anchor.at <= last:
            return False
    told = (pl.col("source") == str(anchor.text)) & (pl.col("location") == anchor.line)
    if not tail.read.problems.filter(told).is_empty():
        # What the line says of those before it, it would not say if they were left out.
        return False
    is_after = pl.col("time") >= anchor.at
    wrong = (pl.col("text") == anchor.text) & (is_after != (pl.col("line") >= anchor.line))
    near = events.filter((pl.col("time") - anchor.at).abs() <= BESIDE, pl.col("kind").is_in(_GROUPED))
    sides = near.group_by("user", "host", "kind").agg(both=is_after.n_unique() > 1)
    return events.filter(wrong).is_empty() and not sides["both"].any()


def _cut_at(connection: Connection, tail: _Tail, anchor: Anchor) -> Cut | None:
    """The cut at a line, if the text has it where it says."""
    text = Kept(connection, anchor.text)
    known = (0, 0)
    if tail.cut is not None and tail.cut.text == anchor.text:
        known = (tail.cut.byte, tail.cut.line - 1)
    byte = text.line(anchor.line, known=known)
    if byte is None or not _STAMP.match(text.at(byte, 64)):
        return None
    return Cut(anchor.text, byte, anchor.line, anchor.at)


def _instants(read: Read, zone: str | None) -> list[Anchor]:
    """The lines that date themselves, with their instants."""
    found = []
    for text, line, local, offset in read.anchors:
        at = EPOCH + timedelta(seconds=local)
        if offset is not None:
            found.append(Anchor(text, line, at - timedelta(seconds=offset)))
        elif zone is not None:
            there = at.replace(tzinfo=ZoneInfo(zone))
            found.append(Anchor(text, line, there.astimezone(UTC)))
    return found


def _is_calm(at: datetime, zone: str | None) -> bool:
    if zone is None:
        return True
    there = ZoneInfo(zone)
    offsets = {(at + step * CALM).astimezone(there).utcoffset() for step in (-1, 0, 1)}
    return len(offsets) == 1


def _zone(terms: Terms, server: str) -> str | None:
    """The zone of a server."""
    if not isinstance(terms.timezone, dict):
        return terms.timezone
    found = terms.timezone.get(server)
    if found is None:
        found = next((zone for name, zone in terms.timezone.items() if name.lower() == server.lower()), None)
    if found is None:
        raise ZoneError(f"timezone has no zone for the server {server!r}", location="timezone")
    return found


def _keep_problems(connection: Connection, tail: _Tail, found: _Paired) -> None:
    """Puts what is wrong in a tail in the place of what was wrong there before."""
    if tail.cut is not None:
        connection.run("DELETE FROM log_problems WHERE server = ? AND NOT is_settled", [tail.server])
    cut = found.cut
    read = tail.read.problems.select(
        pl.col("source").cast(pl.Int64).alias("text"), "location", "code", "message", verb=pl.lit("read_flexlm")
    )
    done = pl.lit(False)  # noqa: FBT003 - a value
    if cut is not None and found.is_moved:
        is_whole = pl.col("text").is_in([cut.text, *found.tail]).not_()
        done = is_whole | (
            (pl.col("text") == cut.text) & pl.col("location").is_not_null() & (pl.col("location") < cut.line)
        )
    read = read.with_columns(is_settled=done)
    unpaired = found.unpaired.select(
        pl.col("source").cast(pl.Int64, strict=False).alias("text"), "location", "code", "message",
        verb=pl.lit("pair"),
        is_settled=(pl.col("time") < cut.at) if cut is not None and found.is_moved else pl.lit(False),  # noqa: FBT003
    )  # fmt: skip
    whole = pl.col("text", "location").cast(pl.Int64)
    both = pl.concat([read.with_columns(whole), unpaired.with_columns(whole)], how="diagonal")
    connection.add("log_problems", both.with_columns(server=pl.lit(tail.server)))


def read_parts(
    connection: Connection,
    parts: list[Part],
    terms: Terms,
    *,
    server: str | None,
    timezone: str | dict[str, str] | None,
    progress: Callable[[int], object] | None,
) -> Read:
    """Reads parts of texts, each under the name of its file with the text's number before it."""
    names = {row[0]: row[1:] for row in connection.rows("SELECT text, origin, folder FROM texts")}
    sources: list[Source] = []
    for part in parts:
        name, folder = names[part.text]
        kept = Kept(connection, part.text, part.byte)
        sources.append({"name": f"{part.text}/{name}", "folder": folder, "path": None, "bytes": None, "file": kept})
    logs, anchors, hosts = _core.read_flexlm_on(
        {
            "sources": sources,
            "timezone": timezone if isinstance(timezone, str) else None,
            "timezones": timezone if isinstance(timezone, dict) else {},
            "server": server,
            "encoding": terms.encoding,
            "first_date": None if terms.first_date is None else terms.first_date.toordinal() - UNIX_EPOCH,
            "threads": None,
        },
        [part.line for part in parts],
        progress=progress,
    )
    schemas = (tables.EVENTS, tables.PROBLEMS, tables.PACKAGES, tables.FILES)
    found = [tables.finish(table, schema) for table, schema in zip(logs[:4], schemas, strict=True)]
    events, problems, packages, files = found
    number = pl.col("file").cast(pl.String).str.split("/").list.first()
    events = events.with_columns(file=number)
    texts = [part.text for part in parts]
    servers = {text: {name} for text, name in zip(texts, files["server"], strict=True)}
    for text, name in (
        events.select(pl.col("file").cast(pl.Int64), pl.col("server").cast(pl.String)).unique().iter_rows()
    ):
        servers[text].add(name)
    return Read(
        events=events,
        problems=problems.with_columns(source=pl.col("source").str.split("/").list.first()),
        packages=packages,
        spans={text: tuple(row) for text, row in zip(texts, files.select("first", "last").iter_rows(), strict=True)},
        servers=servers,
        hosts=dict(zip(texts, hosts, strict=True)),
        main=dict(zip(texts, files["server"], strict=True)),
        anchors=[(texts[file], line, local, offset) for file, line, local, offset in pl.DataFrame(anchors).iter_rows()],
    )
