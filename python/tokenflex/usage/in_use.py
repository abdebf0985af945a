"""What `concurrency`, `capacity` and `heat_map` share: sessions and their groups on the way into the compiled part."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Literal, TypeAlias, get_args

import polars as pl

from tokenflex import _core, tables
from tokenflex.arrow import AnyTable, columns_of, frame_of
from tokenflex.errors import ArgumentError, ArgumentTypeError, ZoneError
from tokenflex.problems import Problems, report
from tokenflex.reading.names import coded, decoded
from tokenflex.reading.periods import column_of
from tokenflex.times import instant_in_data

if TYPE_CHECKING:
    from datetime import datetime

Count: TypeAlias = Literal["licenses", "users", "hosts"]
"""What is counted: licenses, or distinct users or hosts that have any."""

By: TypeAlias = str | Iterable[str]
"""Columns of names to group by."""

MEMBERS: Final = {"users": "user", "hosts": "host"}
ZONE: Final = "zone"

_SAID: Final = {
    "missing_start": "no start",
    "time_out_of_range": "a time before 1970 or from 2200 on",
    "end_before_start": "its end comes before its start",
    "missing_user": "no user, and users are counted",
    "missing_host": "no host, and hosts are counted",
    "missing_server": "no server, and its clock is asked for",
}


@dataclass(frozen=True)
class Clocks:
    """By which clock each session is looked at: one for all, or that of its server."""

    zone: str | None = None
    servers: Mapping[str, str] | None = None

    @classmethod
    def of(cls, zone: object, servers: object) -> Clocks:
        """Of what a caller gave, who has to give one of the two."""
        if (zone is None) == (servers is None):
            raise ZoneError(
                "hours need a clock: give zone=, one IANA zone for all, or servers=, the zone of each license server"
            )
        if servers is not None and not isinstance(servers, Mapping):
            raise ArgumentTypeError(
                f"servers has to be a mapping from server to IANA zone, not {type(servers).__name__}",
                location="servers",
            )
        names = [zone] if servers is None else list(servers.values())
        for name in names:
            if not isinstance(name, str):
                raise ArgumentTypeError(
                    f"a zone has to be an IANA name, not {type(name).__name__}",
                    location=ZONE if servers is None else "servers",
                )
        if servers is None:
            return cls(zone=_core.check_zone(str(zone)))
        return cls(servers={server: _core.check_zone(name) for server, name in servers.items()})


@dataclass(frozen=True)
class InUse:
    """Sessions as the compiled part takes them, and the names behind their groups.

    Attributes:
        asked: For the compiled part.
        by: The columns to group by.
        names: For each of them, and then for the zones if sessions are divided by them, the names in order.
        rows: Rows of the caller's table, where some were left out before.
        found: Problems that were found before.
    """

    asked: _core.Asked
    by: list[str]
    names: list[list[str]]
    rows: pl.Series | None = None
    found: list[pl.DataFrame] = field(default_factory=list)

    def columns(self, groups: pl.DataFrame, codes: pl.Series) -> list[pl.Series]:
        """The columns of names of rows of these groups."""
        return [
            decoded(name, [*names, None], groups[f"rank{place}"].gather(codes))
            for place, (name, names) in enumerate(zip([*self.by, ZONE], self.names, strict=False))
        ]

    def report(self, faults: _core.Table, problems: Problems | None, verb: str) -> None:
        """Tells of the rows that do not count."""
        bad = pl.DataFrame(faults)
        location = bad["location"] if self.rows is None else self.rows.gather(bad["location"]).alias("location")
        told = _problems(location, bad["code"].cast(pl.String))
        report(pl.concat([*self.found, told]), problems, verb)


def in_use(
    sessions: AnyTable,
    *,
    by: By,
    count: str,
    as_of: datetime | None,
    taken: Iterable[str],
    clocks: Clocks | None = None,
) -> InUse:
    """Takes sessions in.

    Args:
        sessions: As the verbs take them.
        by: Columns to group by.
        count: What is counted.
        as_of: When open sessions end.
        taken: Names that the result has itself.
        clocks: By which clock; groups are divided by the zones of their servers.
    """
    wanted = checked_by(by, taken)
    if count not in get_args(Count):
        raise ArgumentError(f"count is {count!r}, but has to be one of {', '.join(get_args(Count))}", location="count")
    until = None if as_of is None else instant_in_data(as_of, "as_of")
    member = MEMBERS.get(count)
    by_server = clocks is not None and clocks.servers is not None
    needed = (
        {*wanted, "start", "end"}
        | ({member} if member else {"licenses"})
        | {"checkouts"}
        | ({"server"} if by_server else set())
    )
    frame = _frame(sessions, needed)
    keys = [coded(column_of(frame, name)) for name in wanted]
    rows: pl.Series | None = None
    found: list[pl.DataFrame] = []
    times = frame.select(column_of(frame, "start"), column_of(frame, "end"))
    if member is not None:
        times = times.with_columns(coded(column_of(frame, member))[0].alias("member"))
    elif "licenses" in frame.columns:
        times = times.with_columns(frame["licenses"])
    if "checkouts" in frame.columns and frame.schema["checkouts"].is_integer():
        times = times.with_columns(frame["checkouts"])
    if by_server and clocks is not None and clocks.servers is not None:
        zone, bad = _zones(column_of(frame, "server"), clocks.servers)
        keys.append(zone)
        found = [bad]
        if bad.height > 0:
            known = zone[0].is_not_null()
            rows = known.arg_true().cast(pl.UInt64)
            times = times.filter(known)
            keys = [(codes.filter(known), names) for codes, names in keys]
    ordered = [sorted(names) for _, names in keys]
    asked: _core.Asked = {
        "sessions": times.cast({pl.Null: pl.String}),
        "keys": [(codes.alias("code").to_frame(), _ranks(names)) for codes, names in keys],
        "count": count,
        "as_of": until,
    }
    return InUse(asked, wanted, ordered, rows, found)


def checked_by(by: object, taken: Iterable[str]) -> list[str]:
    """The columns to group by, each once; none of them is called as a column of the result."""
    given = [by] if isinstance(by, str) else list(by) if isinstance(by, Iterable) else [None]
    names = [name for name in given if isinstance(name, str)]
    if len(set(names)) < len(given):
        raise ArgumentError(
            f"by is {by!r}, but has to be names of columns, each once, or empty for all together", location="by"
        )
    for name in names:
        if name in set(taken):
            raise ArgumentError(
                f"by names the column {name!r}, which the result has itself: rename yours first", location="by"
            )
    return names


def window(
    given: InUse,
    clocks: Clocks | None,
    *,
    since: datetime | None = None,
    until: datetime | None = None,
    hours: tuple[list[bool], int, int, list[int]] | None = None,
) -> _core.Window:
    """The period and the clocks as the compiled part takes them."""
    by_server = clocks is not None and clocks.servers is not None
    zone = [] if clocks is None or clocks.zone is None else [clocks.zone]
    return {
        "since": None if since is None else instant_in_data(since, "since"),
        "until": None if until is None else instant_in_data(until, "until"),
        "clock_key": len(given.by) if by_server else None,
        "zones": given.names[len(given.by)] if by_server else zone,
        "hours": hours,
    }


def _frame(sessions: AnyTable, needed: set[str]) -> pl.DataFrame:
    """The table as a frame, with no more columns than are needed where they would cost."""
    if isinstance(sessions, pl.DataFrame):
        return sessions
    if isinstance(sessions, pl.LazyFrame):
        return sessions.select(name for name in sessions.collect_schema().names() if name in needed).collect()
    return frame_of(columns_of(sessions, sorted(needed)))


def _ranks(names: list[str]) -> list[int]:
    """For each name its place among all in order."""
    ranks = [0] * len(names)
    for rank, place in enumerate(sorted(range(len(names)), key=names.__getitem__)):
        ranks[place] = rank
    return ranks


def _zones(server: pl.Series, servers: Mapping[str, str]) -> tuple[tuple[pl.Series, list[str]], pl.DataFrame]:
    """The zone of each row as a code, null where none is known, and these rows as problems."""
    codes, names = coded(server)
    zones = sorted({servers[name] for name in names if name in servers})
    place = {zone: code for code, zone in enumerate(zones)}
    of_server = pl.Series([place.get(servers.get(name, "")) for name in names] or [None], dtype=pl.UInt32)
    zone = of_server.gather(codes) if names else pl.Series([None] * len(codes), dtype=pl.UInt32)
    bad = zone.is_null().arg_true()
    unknown = [names[code] if code is not None else None for code in codes.gather(bad).to_list()]
    told = pl.DataFrame(
        {
            "source": ["sessions"] * len(bad),
            "location": bad.cast(pl.UInt64),
            "code": ["missing_server" if name is None else "unknown_server" for name in unknown],
            "message": [
                f"{_SAID['missing_server']}: not counted"
                if name is None
                else f"server {name!r} has no zone in servers=: not counted"
                for name in unknown
            ],
        },
        schema=dict(tables.PROBLEMS),
    )
    return (zone, zones), told


def _problems(location: pl.Series, code: pl.Series) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "source": pl.Series(["sessions"], dtype=pl.String).new_from_index(0, len(code)),
            "location": location.cast(pl.UInt64),
            "code": code,
            "message": code.replace_strict(_SAID, return_dtype=pl.String) + ": not counted",
        },
        schema=dict(tables.PROBLEMS),
    )
