"""The verb `place_servers`: which server zone each site should use to pay least, exactly."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import polars as pl

from tokenflex import tables
from tokenflex.arrow import AnyTable, frame_of, refuses_clearly
from tokenflex.errors import ArgumentError, ArgumentTypeError
from tokenflex.metering.at_once import Prepared
from tokenflex.metering.whatif import TODAY, Run, Sites, check_days, numbered, places_of, sites_of
from tokenflex.problems import Problems, report
from tokenflex.reading.names import coded
from tokenflex.reading.periods import column_of

if TYPE_CHECKING:
    from datetime import datetime
    from decimal import Decimal

    from tokenflex.metering.rates import Rates
    from tokenflex.metering.rule import Rule

MOST_CHOICES: Final = 1_000_000
"""So many ways to choose the zones are searched; more are refused."""


@refuses_clearly
def place_servers(
    sessions: AnyTable | Prepared,
    *,
    rates: Rates,
    rule: Rule,
    servers: int | Iterable[str] | Mapping[str, str],
    candidates: Iterable[str] | None = None,
    sites: str | Mapping[str, str] | None = None,
    today: Mapping[str, str] | None = None,
    as_of: datetime | None = None,
    problems: Problems | None = None,
) -> pl.DataFrame:
    """Says which server zone each site should use to pay least, and what that saves against today.

    Each person belongs to one site, with all that they use, and all of it moves to one zone. So what a site pays
    depends on its own zone only, and the answer is exact: each site's cheapest among the zones given, or for a number
    of servers the cheapest of all choices of so many zones, each looked at or ruled out by a bound. Tokens that have
    no rate do not count. What is metered by machine is exact as long as each machine is used from one site.

    Args:
        sessions: As for `charge`, or sessions that `prepare` encoded.
        rates: As for `charge`.
        rule: A rule of days.
        servers: The firm's servers with their zones; or zones; or a number: so many servers are placed anew, anywhere
            among the candidates.
        candidates: Where a server can be placed, for a number of servers; as `zones` of `zone_whatif`.
        sites: As for `zone_whatif`. Persons with sessions in several sites belong to the one where most are; at equal
            numbers, the first by name.
        today: The zone of each license server as it is. Unless given, `servers` where that is a mapping.
        as_of: As for `charge`.
        problems: Collects what could not be charged or priced, and persons of several sites (`several_sites`).

    Returns:
        A row for each site, see `tables.PLACEMENT`, in order of name. The sums over its columns are the firm's. Where
        zones cost the same the one that a site uses today is kept, else the first by order of the candidates.

    Raises:
        ArgumentError: The rule is not one of days, or of the users' days; no server; more than a million choices of
            zones.
        ZoneError: There is no such zone.
        MissingColumnError, ColumnTypeError: As for `zone_whatif`.

    Example:
        >>> import tokenflex as tf, polars as pl
        >>> from datetime import datetime, timezone
        >>> def at(hour): return datetime(2026, 7, 13, hour, tzinfo=timezone.utc)
        >>> sessions = pl.DataFrame({
        ...     "user": ["mei", "bob"], "product": ["ACD", "ACD"], "server": ["nyc-lic-01", "nyc-lic-01"],
        ...     "start": [at(1), at(13)], "end": [at(10), at(21)],
        ... })
        >>> placed = tf.place_servers(
        ...     sessions, rates=tf.Rates({"ACD": 7}), rule=tf.TOKEN_FLEX,
        ...     servers={"nyc-lic-01": "America/New_York", "sin-lic-01": "Asia/Singapore"},
        ...     sites={"mei": "Singapore", "bob": "New York"},
        ... )
        >>> for row in placed.select("site", "server", "tokens", "saving").iter_rows():
        ...     print(*row)
        New York nyc-lic-01 7.0000 0.0000
        Singapore sin-lic-01 7.0000 7.0000
    """
    check_days(rule)
    if rule.zone == "user":
        raise ArgumentError(
            'the days of this rule are the users\': where a server stands changes nothing. Take zone="server"',
            location="rule",
        )
    choice = Choice.of(servers, candidates)
    if today is None and isinstance(servers, Mapping):
        today = choice.by_server
    held = sessions if isinstance(sessions, Prepared) else frame_of(sessions)
    homes, several = _homes(held, sites)
    run = Run(held, homes, rates, as_of)
    costs = run.in_zones(rule, choice.places)
    before = None
    if today is not None or rule.needs_zones_of is None:
        before = run.under(rule, TODAY, servers=today)[0]
    report(pl.concat([run.problems(), several]), problems, "place_servers")
    used = _used_today(held, homes, today)
    matrix = _matrix(costs, len(homes.names), len(choice.places))
    kept = [choice.kept(used[site], today) for site in range(len(homes.names))]
    picked = cheapest(matrix, kept, choice.count)
    return _table(homes, choice, (costs, before), picked, used)


@dataclass(frozen=True)
class Choice:
    """Among which zones there is a choice, and of how many.

    Attributes:
        places: The zones, as `places_of` gives them.
        by_server: The firm's servers with their zones; empty where zones are new.
        count: How many zones may be taken; all of them where servers are given.
    """

    places: dict[str, str]
    by_server: dict[str, str]
    count: int

    @classmethod
    def of(cls, servers: object, candidates: Iterable[str] | None) -> Choice:
        """What the caller says, checked."""
        if isinstance(servers, bool) or not isinstance(servers, int | Mapping | Iterable) or isinstance(servers, str):
            raise ArgumentTypeError(
                "servers has to be a number, a list of zones, or to map servers to zones", location="servers"
            )
        if not isinstance(servers, int):
            if candidates is not None:
                raise ArgumentError("candidates are for a number of servers: leave them out", location="candidates")
            by_server = dict(servers) if isinstance(servers, Mapping) else {}
            places = places_of(list(by_server.values()) if by_server else [*servers])
            return cls(places, by_server, len(places))
        places = places_of(candidates)
        if servers < 1:
            raise ArgumentError(f"servers is {servers}: at least one is needed", location="servers")
        count = min(servers, len(places))
        choices = math.comb(len(places), count)
        if choices > MOST_CHOICES:
            raise ArgumentError(
                f"{count} of {len(places)} zones can be chosen in {choices:,} ways, more than {MOST_CHOICES:,}: "
                "name fewer candidates",
                location="candidates",
            )
        return cls(places, {}, count)

    def kept(self, server: str | None, today: Mapping[str, str] | None) -> int | None:
        """The place of the zone of a server of today, if it is among these."""
        zone = None if server is None or today is None else today.get(server)
        if zone is None:
            return None
        (name,) = places_of([zone])
        return [*self.places].index(name) if name in self.places else None

    def server_in(self, zone: str, used: str | None) -> str | None:
        """The firm's server in a zone: the one in use there, else the first by name."""
        there = sorted(server for server, of in self.by_server.items() if [*places_of([of])] == [zone])
        return used if used in there else next(iter(there), None)


def cheapest(matrix: list[list[int]], kept: list[int | None], count: int) -> list[int]:
    """For each site the place of its zone, where so many zones may be used in all: the least in sum, exactly.

    Among equal sums the fewest changes, then the zones that come first.

    Args:
        matrix: For each site what it pays in each zone.
        kept: For each site the place of the zone that it uses today.
        count: How many zones may be used.
    """
    # Cost and changes in one number, so that one comparison settles both.
    wide = len(matrix) + 1
    cells = [
        [cost * wide + int(place != kept[site]) for place, cost in enumerate(row)] for site, row in enumerate(matrix)
    ]
    zones = len(matrix[0]) if matrix else 0
    # The least that a site can pay in the zones from some place on.
    rest = [[min(row[place:], default=math.inf) for row in cells] for place in range(zones + 1)]
    best: tuple[float, list[int]] = (math.inf, [])

    def search(first: int, chosen: list[int], least: list[float]) -> None:
        nonlocal best
        if len(chosen) == count:
            if sum(least) < best[0]:
                best = (sum(least), list(chosen))
            return
        for place in range(first, zones - (count - len(chosen)) + 1):
            # No choice from here on can come below this.
            if sum(map(min, least, rest[place])) >= best[0]:
                return
            with_it = [min(old, row[place]) for old, row in zip(least, cells, strict=True)]
            search(place + 1, [*chosen, place], with_it)

    search(0, [], [math.inf] * len(cells))
    return [min((row[place], place) for place in best[1])[1] for row in cells]


def _homes(sessions: pl.DataFrame | Prepared, sites: str | Mapping[str, str] | None) -> tuple[Sites, pl.DataFrame]:
    """The one site of each person, for each session; and persons who have several."""
    of_rows = sites_of(sessions, sites)
    frame = sessions if isinstance(sessions, pl.DataFrame) else frame_of(sessions.table)
    codes, names = coded(column_of(frame, "user"))
    # Sites are in order of name, and none comes last: the first of those with most sessions.
    met = pl.DataFrame({"user": codes, "site": of_rows.codes}).drop_nulls("user")
    counted = met.group_by("user", "site").len().sort("user", "len", "site", descending=[False, True, False])
    by_user = counted.group_by("user", maintain_order=True).agg(pl.col("site").first(), places=pl.len())
    homes: list[str | None] = [None] * len(names)
    for user, site, _ in by_user.iter_rows():
        homes[user] = of_rows.names[site]
    told = [
        ("sessions", None, f"{names[user]!r} has sessions in {places} sites: all count for {homes[user]}")
        for user, _, places in by_user.filter(pl.col("places") > 1).iter_rows()
    ]
    found = pl.DataFrame(told, schema=["source", "location", "message"], orient="row")
    return numbered(codes, homes), found.select(
        pl.col("source").cast(pl.String),
        pl.col("location").cast(pl.UInt64),
        code=pl.lit("several_sites"),
        message=pl.col("message").cast(pl.String),
    )


def _used_today(sessions: pl.DataFrame | Prepared, homes: Sites, today: Mapping[str, str] | None) -> list[str | None]:
    """For each site the server that most of its sessions use, of those whose zone is known."""
    used: list[str | None] = [None] * len(homes.names)
    frame = sessions if isinstance(sessions, pl.DataFrame) else frame_of(sessions.table)
    if today is None or "server" not in frame.columns:
        return used
    codes, names = coded(column_of(frame, "server"))
    known = [code for code, name in enumerate(names) if name in today]
    met = pl.DataFrame({"server": codes, "site": homes.codes}).filter(pl.col("server").is_in(known))
    counts = sorted(
        (site, -count, names[server]) for server, site, count in met.group_by("server", "site").len().rows()
    )
    for site, _, server in reversed(counts):
        used[site] = server
    return used


def _matrix(costs: pl.DataFrame, sites: int, zones: int) -> list[list[int]]:
    """Tokens in 1/10,000, for each site in each zone; the table goes zone by zone."""
    tokens = [int(value.scaleb(4)) for value in costs["tokens"]]
    return [[tokens[zone * sites + site] for zone in range(zones)] for site in range(sites)]


def _table(
    homes: Sites,
    choice: Choice,
    costs: tuple[pl.DataFrame, pl.DataFrame | None],
    picked: list[int],
    used: list[str | None],
) -> pl.DataFrame:
    """The answer, from the totals of all zones and of today."""
    (costs_of_zones, before), sites, zones = costs, len(homes.names), [*choice.places]
    rows = []
    for site, place in enumerate(picked):
        tokens, sessions = costs_of_zones.select("tokens", "sessions").row(place * sites + site)
        paid: Decimal | None = None
        if before is not None and before["sessions"][site] == sessions:
            paid = before["tokens"][site]
        zone = zones[place]
        saving = None if paid is None else paid - tokens
        rows.append((homes.names[site], choice.server_in(zone, used[site]), zone, tokens, paid, saving))
    return pl.DataFrame(rows, schema=dict(tables.PLACEMENT), orient="row")
