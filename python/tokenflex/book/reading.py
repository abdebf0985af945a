"""What the texts of a book say: read from where that is certain, paired with what was going on there.

Each server has a *cut*: an instant before which nothing can change unless another text says so, with a line of each
text that reaches over it. What follows, the *tail*, is read again at each update and takes the place of what was found
there before. Where a text says something of the time before the cut, all texts of the server are read; where it says
something of other servers too, all of the book.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, NamedTuple

import polars as pl

from tokenflex.book.texts import KeptTexts
from tokenflex.usage.tails import FORKED, Cut, Part, Read, Tail, nothing_carried, paired, read_parts, zone_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from tokenflex.book.store import Connection
    from tokenflex.book.terms import Terms
    from tokenflex.book.texts import Taken
    from tokenflex.usage.tails import Paired


@dataclass
class Found:
    """What an update found of servers.

    Attributes:
        full: Whether all texts were read.
        servers: The servers whose sessions were found anew; of others nothing has changed.
        whole: Those of them whose texts were all read.
        sessions: Their sessions, without those that had ended before the cut that the tail began at; open ones have no
            end.
    """

    full: bool
    servers: list[str] = field(default_factory=list)
    whole: list[str] = field(default_factory=list)
    sessions: list[pl.DataFrame] = field(default_factory=list)


def find(
    connection: Connection,
    terms: Terms,
    taken: Taken,
    progress: Callable[[int], object] | None,
    *,
    full: bool,
) -> Found:
    """Reads what is new: the tails of the servers that it is about, all of a server or of all where it has to be."""
    if not full:
        tails = _tails(connection, terms, taken)
        if tails is not None:
            found = Found(full=False)
            for tail in tails:
                if tail.cut is None:
                    _forget(connection, tail.server)
                    found.whole.append(tail.server)
                sessions = _go_on(connection, tail)
                found.servers.append(tail.server)
                found.sessions.append(sessions)
            return found
    return _all_anew(connection, terms, progress)


def _all_anew(connection: Connection, terms: Terms, progress: Callable[[int], object] | None) -> Found:
    """Reads all texts."""
    rows = connection.rows("SELECT text FROM texts ORDER BY text")
    parts = [Part(row[0], 0, 0) for row in rows]
    for table in ("servers", "cuts", "carried", "packages", "log_problems"):
        connection.run(f"DELETE FROM {table}")  # noqa: S608 - our names
    found = Found(full=True)
    if not parts:
        return found
    read = _read(connection, parts, terms, server=terms.server, timezone=terms.timezone, progress=progress)
    connection.add("packages", read.packages)
    _note(connection, read)
    every = sorted(set().union(*read.servers.values()))
    for server in every:
        whole = read.of_server(server) if len(every) > 1 else read
        tail = _from_the_start(server, whole, terms)
        found.sessions.append(_go_on(connection, tail))
        found.servers.append(server)
    return found


def _from_the_start(server: str, read: Read, terms: Terms) -> Tail:
    """All texts of a server as a tail."""
    return Tail(
        server, None, read, zone_of(terms.timezone, server), carried=nothing_carried(), last_seen=None,
        changed=set(read.spans),
    )  # fmt: skip


def _note(connection: Connection, read: Read) -> None:
    """Notes what whole texts say of themselves."""
    for text, span in read.spans.items():
        connection.run(
            "UPDATE texts SET first = ?, last = ?, servers = ?, hosts = ? WHERE text = ?",
            [*span, sorted(read.servers[text]), read.hosts[text], text],
        )


def _forget(connection: Connection, server: str) -> None:
    """Takes away what was kept of a server to go on from."""
    for table in ("servers", "cuts", "carried", "log_problems"):
        connection.run(f"DELETE FROM {table} WHERE server = ?", [server])  # noqa: S608 - our names


def _tails(connection: Connection, terms: Terms, taken: Taken) -> list[Tail] | None:
    """The tails that what is new belongs to; None where it may say something of other servers."""
    if connection.row("SELECT 1 FROM servers") is None:
        return None
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
        fresh = _Fresh(texts, grown, places)
        tail = _tail(connection, terms, server, fresh) or _whole(connection, terms, server, fresh)
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
    own = _read(connection, whole, terms, server="?", timezone="UTC", progress=None).hosts[text]
    beside = [place for place in places.values() if place.text != text and place.folder == places[text].folder]
    hosts = {host for place in beside for host in place.hosts}
    if own and (set(own) <= hosts or all(place.hosts for place in beside)):
        return _only(own)
    return next(iter(hosts)) if not own and len(hosts) == 1 else None


def _tail(connection: Connection, terms: Terms, server: str, fresh: _Fresh) -> Tail | None:
    """What stands behind the cut of a server; None where it has none, or what is new reaches over it."""
    row = connection.row("SELECT cut_at, last_seen, tail, has_forks FROM servers WHERE server = ?", [server])
    if row is None or row[0] is None or row[3]:
        return None
    parts = connection.rows("SELECT text, byte, line FROM cuts WHERE server = ? ORDER BY text", [server])
    cut = Cut(row[0], tuple(Part(*part) for part in parts))
    if not fresh.grown <= {*cut.texts, *row[2]}:
        return None
    read = _read_of(
        connection, terms, server, fresh,
        [*cut.parts, *(Part(text, 0, 0) for text in {*row[2], *fresh.texts} - cut.texts)],
    )  # fmt: skip
    if read is None or not _names_no_other(read, cut, fresh, None if terms.server is not None else server):
        return None
    if not _stays_behind(read, cut) or (len(cut.parts) > 1 and _has_ties(read)):
        return None
    carried = connection.frame("SELECT * EXCLUDE (server) FROM carried WHERE server = ?", [server])
    return Tail(server, cut, read, zone_of(terms.timezone, server), carried, row[1], set(fresh.texts))


def _whole(connection: Connection, terms: Terms, server: str, fresh: _Fresh) -> Tail | None:
    """All texts of a server; None where others have lines of it, or what is new says something of other servers."""
    mine = {place.text for place in fresh.places.values() if server in place.servers} | set(fresh.texts)
    if len(mine) == len(fresh.places) or any(len(fresh.places[text].servers) > 1 for text in mine):
        return None
    read = _read_of(connection, terms, server, fresh, [Part(text, 0, 0) for text in mine])
    if read is None or not _names_no_other(read, None, fresh, None if terms.server is not None else server):
        return None
    _note(connection, read)
    return _from_the_start(server, read, terms)


def _read_of(connection: Connection, terms: Terms, server: str, fresh: _Fresh, parts: list[Part]) -> Read | None:
    """Parts of a server's texts; None where they say something of other servers, or may do so."""
    if any(len(fresh.places[part.text].hosts) > 1 for part in parts):
        return None
    if terms.server is None and not all(_is_named(fresh.places, part.text, server) for part in parts):
        return None
    zone = zone_of(terms.timezone, server)
    read = _read(connection, sorted(parts), terms, server=server, timezone=zone, progress=None)
    known = set(connection.rows("SELECT package, component FROM packages"))
    # A package more would be one in the past, and of other servers, too.
    return read if set(read.packages.select("package", "component").iter_rows()) <= known else None


def _is_named(places: dict[int, _Place], text: int, server: str) -> bool:
    """Whether a text without a banner has the name that the others of its folder give it, if they give one.

    Where a line broke off in the middle of a banner, they may have given another one before it was whole.
    """
    if places[text].hosts:
        return True
    hosts = {host for place in places.values() if place.folder == places[text].folder for host in place.hosts}
    return len(hosts) != 1 or hosts == {server}


def _names_no_other(read: Read, cut: Cut | None, fresh: _Fresh, server: str | None) -> bool:
    """Whether no banner names another host than is known; `server` is None where a name was given."""
    begun = set() if cut is None else cut.texts
    for text, hosts in read.hosts.items():
        known = set(fresh.places[text].hosts)
        if text in begun or text not in fresh.texts or text in fresh.grown:
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
    return not daemons.str.contains(FORKED).any()


def _has_ties(read: Read) -> bool:
    """Whether two texts tell of one instant: which is first follows from where each text begins."""
    texts = read.events.group_by("time").agg(pl.col("file").n_unique())["file"]
    return bool(read.repeated) or bool((texts > 1).any())


def _go_on(connection: Connection, tail: Tail) -> pl.DataFrame:
    """Pairs a tail, keeps what is to be kept of it, and gives its sessions with `is_settled`."""
    server, read = tail.server, tail.read
    events = read.events
    last_event = events["time"].max()
    packages = pl.DataFrame(
        connection.rows("SELECT DISTINCT package, component FROM packages"),
        schema={"package": pl.String, "component": pl.String},
        orient="row",
    )
    found = paired(tail, KeptTexts(connection), packages)
    cut = found.cut
    row = connection.row("SELECT last_event, certain_until FROM servers WHERE server = ?", [server])
    before = row or (None, None)
    forks = bool(events["daemon"].cast(pl.String).unique().str.contains(FORKED).any())
    # A start without a stop ends what is open where the log last said anything, so what follows that can still change.
    dated = _dated(tail)
    certain = None if dated is None else events.filter(pl.col("time") <= dated)["time"].max()
    connection.run("DELETE FROM servers WHERE server = ?", [server])
    connection.run(
        "INSERT INTO servers VALUES (?, ?, ?, ?, ?, ?, ?)",
        [
            server,
            _latest(before[0], last_event),
            _latest(before[1], certain),
            forks,
            None if cut is None else cut.at,
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
    if found.is_moved and cut is not None:
        connection.run("DELETE FROM cuts WHERE server = ?", [server])
        for part in cut.parts:
            connection.run("INSERT INTO cuts VALUES (?, ?, ?, ?)", [server, *part])
        connection.run("DELETE FROM carried WHERE server = ?", [server])
        connection.add("carried", found.carried.with_columns(server=pl.lit(server)))
    _keep_problems(connection, tail, found)
    return found.sessions


def _dated(tail: Tail) -> datetime | None:
    """The last line of the server that names its date; of texts that tell of the same time the one that does first."""
    last: dict[int, datetime] = {}
    for anchor in tail.anchors:
        last[anchor.text] = max(anchor.at, last.get(anchor.text, anchor.at))
    spans = {
        text: (first, end) for text, (first, end) in tail.read.spans.items() if first is not None and end is not None
    }
    bounds = [
        last.get(text, first)
        for text, (first, end) in spans.items()
        if any(text != other and begin <= end and first <= until for other, (begin, until) in spans.items())
    ]
    return min([max(last.values()), *bounds]) if last else None


def _latest(a: datetime | None, b: object) -> datetime | None:
    if not isinstance(b, datetime):
        return a
    return b if a is None else max(a, b)


def _keep_problems(connection: Connection, tail: Tail, found: Paired) -> None:
    """Puts what is wrong in a tail in the place of what was wrong there before."""
    if tail.cut is not None:
        connection.run("DELETE FROM log_problems WHERE server = ? AND NOT is_settled", [tail.server])
    cut = found.cut
    read = tail.read.problems.select(
        pl.col("source").cast(pl.Int64).alias("text"), "location", "code", "message", verb=pl.lit("read_flexlm")
    )
    done = pl.lit(False)  # noqa: FBT003 - a value
    if cut is not None and found.is_moved:
        done = pl.col("text").is_in([*cut.texts, *found.tail]).not_()
        for part in cut.parts:
            before = pl.col("location").is_not_null() & (pl.col("location") <= part.line)
            done |= (pl.col("text") == part.text) & before
    read = read.with_columns(is_settled=done)
    unpaired = found.unpaired.select(
        pl.col("source").cast(pl.Int64, strict=False).alias("text"), "location", "code", "message",
        verb=pl.lit("pair"),
        is_settled=(pl.col("time") < cut.at) if cut is not None and found.is_moved else pl.lit(False),  # noqa: FBT003
    )  # fmt: skip
    whole = pl.col("text", "location").cast(pl.Int64)
    both = pl.concat([read.with_columns(whole), unpaired.with_columns(whole)], how="diagonal")
    connection.add("log_problems", both.with_columns(server=pl.lit(tail.server)))


def _read(
    connection: Connection,
    parts: list[Part],
    terms: Terms,
    *,
    server: str | None,
    timezone: str | dict[str, str] | None,
    progress: Callable[[int], object] | None,
) -> Read:
    """Reads parts of texts as the terms say."""
    return read_parts(
        parts, KeptTexts(connection), server=server, timezone=timezone, encoding=terms.encoding,
        first_date=terms.first_date, progress=progress,
    )  # fmt: skip
