"""Random sessions that meet where charging is delicate: at ends of windows, at midnights, at changes of the clock."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import polars as pl
from hypothesis import strategies as st

import tokenflex as tf
from reference import DAY, HOUR, TICK, Rate, Report, Row, Session, Terms, date_changes

if TYPE_CHECKING:
    from collections.abc import Sequence

MINUTE = timedelta(minutes=1)
ZERO = timedelta(0)

SERVERS = {
    "mad-lic-01": "Europe/Madrid",
    "chi-lic-01": "America/Chicago",
    "sin-lic-01": "Asia/Singapore",
    "apw-lic-01": "Pacific/Apia",
    "bey-lic-01": "Asia/Beirut",
    "yyt-lic-01": "America/St_Johns",
    "ldh-lic-01": "Australia/Lord_Howe",
    "ktm-lic-01": "Asia/Kathmandu",
    "utc-lic-01": "UTC",
}

# Around one of these the sessions of an example lie, and this server is among theirs.
TIMES = {
    datetime(2026, 7, 13, tzinfo=UTC): "sin-lic-01",  # nothing happens
    datetime(2011, 12, 30, 10, tzinfo=UTC): "apw-lic-01",  # Apia has no 30 December 2011
    datetime(2022, 3, 26, 22, tzinfo=UTC): "bey-lic-01",  # Beirut's day begins at 01:00
    datetime(2010, 11, 7, 2, 31, tzinfo=UTC): "yyt-lic-01",  # St. John's clock goes back at 00:01: two dates are split
    datetime(2026, 4, 4, 15, tzinfo=UTC): "ldh-lic-01",  # Lord Howe's clock goes back by half an hour
    datetime(2026, 3, 8, 8, tzinfo=UTC): "chi-lic-01",  # Chicago's day of 23 h
    datetime(2026, 11, 1, 7, tzinfo=UTC): "chi-lic-01",  # Chicago's day of 25 h
    datetime(2026, 10, 25, 1, tzinfo=UTC): "mad-lic-01",  # Madrid's day of 25 h
    datetime(1970, 1, 9, tzinfo=UTC): "ktm-lic-01",  # near the first instant that data may have
    datetime(2199, 11, 20, tzinfo=UTC): "utc-lic-01",  # and near the last
}

LENGTHS = [DAY, HOUR, 7 * DAY, timedelta(hours=23, minutes=59, seconds=59, microseconds=999_999)]
MIN_DURATIONS = [ZERO, 5 * MINUTE, timedelta(minutes=7, microseconds=1)]
PRODUCTS = ["ACD", "RVT", "INVPROSA"]
USERS = ["ana", "Ana", "josé ruiz"]
SOMEBODY = st.sampled_from([USERS[0]] * 4 + [USERS[1]])
HOSTS = ["pc1", "pc2"]
FAMILIES = ["drafting", "building"]
IDLE_AFTER = [15 * MINUTE, HOUR, TICK]
DAY_STARTS = [ZERO, 4 * HOUR, timedelta(hours=1, minutes=30), DAY - TICK]
HOMES = {"ana": "Asia/Singapore", "Ana": "America/St_Johns", "josé ruiz": "Europe/Madrid"}


@dataclass(frozen=True)
class Case:
    """Everything that one call of `charge` depends on."""

    sessions: list[Session]
    terms: Terms
    rates: list[Rate]
    as_of: datetime | None
    servers: dict[str, str] = field(default_factory=lambda: dict(SERVERS))
    users: dict[str, str] = field(default_factory=lambda: dict(HOMES))
    reports: list[Report] | None = None

    def for_reference(self) -> dict[str, Any]:
        """The arguments of the verbs of `reference`."""
        return {
            "sessions": self.sessions,
            "terms": self.terms,
            "rates": self.rates,
            "servers": self.servers,
            "as_of": self.as_of,
            "users": self.users,
            "reports": self.reports,
        }

    def for_meter(self) -> dict[str, Any]:
        """The arguments of `tf.Meter`."""
        return {
            "rule": rule_of(self.terms),
            "rates": tf.Rates(rates_frame(self.rates)),
            "servers": self.servers,
            "users": self.users,
        }

    def for_verb(self) -> dict[str, Any]:
        """The arguments of `tf.charge` and `tf.categorize` besides the sessions; problems go nowhere."""
        reports = None if self.reports is None else reports_frame(self.reports)
        return {**self.for_meter(), "as_of": self.as_of, "activity": reports, "problems": tf.Problems()}

    def last(self) -> datetime | None:
        """The last instant among the sessions."""
        return max((i for s in self.sessions for i in (s.start, s.end) if i is not None), default=None)


def rule_of(terms: Terms) -> tf.Rule:
    """The library's rule of these terms."""
    window: dict[str, Any] = (
        {"length": terms.length} if terms.window == "rolling" else {"zone": terms.zone, "day_start": terms.day_start}
    )
    return tf.Rule(
        window=terms.window,
        renew=terms.renew,
        min_duration=terms.min_duration,
        idle_after=terms.idle_after,
        incremental=terms.incremental,
        scope=terms.scope,
        machine_metered=terms.machine_metered,
        **window,
    )


def charge(case: Case) -> pl.DataFrame:
    """The library's charges of a case, with every field of its rule."""
    return tf.charge(frame(case.sessions), **case.for_verb())


def with_rule_id(rows: list[Row], terms: Terms) -> list[Row]:
    """Rows of the reference, with the column that it leaves out."""
    return [row | {"rule_id": rule_of(terms).rule_id} for row in rows]


def frame(sessions: Sequence[Session]) -> pl.DataFrame:
    """Sessions as the table that `charge` takes."""
    return pl.DataFrame(
        [[s.user, s.product, s.server, s.start, s.end, s.host] for s in sessions],
        schema={
            "user": pl.String,
            "product": pl.String,
            "server": pl.String,
            "start": pl.Datetime("us", "UTC"),
            "end": pl.Datetime("us", "UTC"),
            "host": pl.String,
        },
        orient="row",
    )


def reports_frame(reports: Sequence[Report]) -> pl.DataFrame:
    """Activity, or idle time, as a table, with `host` and `product` only where some row has them."""
    time = pl.Datetime("us", "UTC")
    is_idle = any(report.until is not None for report in reports)
    columns: dict[str, tuple[list[Any], Any]] = {"user": ([report.user for report in reports], pl.String)}
    columns["start" if is_idle else "time"] = [report.at for report in reports], time
    if is_idle:
        columns["end"] = [report.until for report in reports], time
    for name in ("host", "product"):
        values = [getattr(report, name) for report in reports]
        if any(value is not None for value in values):
            columns[name] = values, pl.String
    return pl.DataFrame({name: pl.Series(values, dtype=dtype) for name, (values, dtype) in columns.items()})


def rates_frame(rates: Sequence[Rate]) -> pl.DataFrame:
    """Rates as the table that `Rates` takes."""
    return pl.DataFrame(
        [[r.product, r.tokens, r.effective_from, r.family] for r in rates],
        schema={
            "product": pl.String,
            "tokens": pl.Decimal(38, 4),
            "effective_from": pl.Datetime("us", "UTC"),
            "family": pl.String,
        },
        orient="row",
    )


def instants(around: datetime, length: timedelta) -> st.SearchStrategy[datetime]:
    """Instants near `around`, near whole windows after it, and near the local midnights of the servers."""
    changes = sorted(
        {
            change
            for zone in SERVERS.values()
            for days in range(-2, 4)
            for change in date_changes(zone, (around + days * DAY).date())
        }
    )
    anchors = [around + windows * length for windows in range(3)] + changes
    nudges = st.sampled_from([ZERO, TICK, -TICK, MINUTE, -MINUTE, 5 * MINUTE, 30 * MINUTE, HOUR])
    near = st.builds(lambda anchor, nudge: anchor + nudge, st.sampled_from(anchors), nudges)
    anywhere = st.integers(-2 * DAY // TICK, 4 * DAY // TICK).map(lambda ticks: around + ticks * TICK)
    return st.one_of(near, near, anywhere)


def durations(terms: Terms) -> st.SearchStrategy[timedelta]:
    """Lengths of sessions: at the minimum, at whole windows, and anything up to some days."""
    edges = {ZERO, TICK, 2 * MINUTE, HOUR, 9 * HOUR, DAY}
    edges |= {terms.min_duration + nudge for nudge in (-TICK, ZERO, TICK)}
    edges |= {terms.length + nudge for nudge in (-TICK, ZERO, TICK)} | {2 * terms.length}
    whole = st.integers(0, 5 * DAY // TICK).map(lambda ticks: ticks * TICK)
    return st.one_of(st.sampled_from(sorted(edge for edge in edges if edge >= ZERO)), whole)


def all_terms() -> st.SearchStrategy[Terms]:
    """Rules of both kinds."""
    rolling = st.builds(
        Terms, st.just("rolling"), length=st.sampled_from(LENGTHS), min_duration=st.sampled_from(MIN_DURATIONS)
    )
    day = st.builds(
        Terms,
        st.just("day"),
        zone=st.sampled_from(["server", "server", "server", "utc", "America/St_Johns", "Asia/Kathmandu"]),
        min_duration=st.sampled_from(MIN_DURATIONS),
    )
    return st.one_of(rolling, day)


def all_rates(around: datetime) -> st.SearchStrategy[list[Rate]]:
    """Rates with changes near `around`; a product can be without any."""
    since = st.sampled_from([None, around - DAY, around, around + TICK, around + DAY])
    tokens = st.decimals(min_value=0, max_value=1_000, places=4, allow_nan=False, allow_infinity=False)
    rate = st.builds(Rate, st.sampled_from(PRODUCTS), tokens.map(Decimal), since)
    return st.lists(rate, max_size=5, unique_by=lambda rate: (rate.product, rate.effective_from))


@st.composite
def cases(
    draw: st.DrawFn,
    terms: st.SearchStrategy[Terms] | None = None,
    *,
    open_sessions: bool = True,
    min_size: int = 0,
    max_size: int = 12,
) -> Case:
    """Sessions of few users and products, so that their windows collide, with a rule and rates."""
    drawn = draw(all_terms() if terms is None else terms)
    around = draw(st.sampled_from(list(TIMES)))
    starts = instants(around, drawn.length)
    servers = [TIMES[around], *draw(st.lists(st.sampled_from(sorted(SERVERS)), max_size=2))]
    ends_open = st.sampled_from([False, False, False, open_sessions])
    sessions = []
    for _ in range(draw(st.integers(min_size, max_size))):
        start = draw(starts)
        end = None if draw(ends_open) else start + draw(durations(drawn))
        user, product = draw(st.sampled_from(USERS[:2])), draw(st.sampled_from(PRODUCTS[:2]))
        sessions.append(Session(user, product, start, end, draw(st.sampled_from(servers))))
    if draw(st.booleans()):
        sessions.sort(key=lambda session: session.start)
    last_start = max((session.start for session in sessions), default=around)
    as_of = draw(st.one_of(st.none(), durations(drawn).map(lambda after: last_start + after)))
    return Case(sessions, drawn, draw(all_rates(around)), as_of)


def whole_terms(
    *, idle: bool | None = None, incremental: bool | None = None, window: str | None = None
) -> st.SearchStrategy[Terms]:
    """Rules with every field in every combination."""
    windows = [window] if window else ["rolling", "day"]

    @st.composite
    def drawn(draw: st.DrawFn) -> Terms:
        is_day = draw(st.sampled_from(windows)) == "day"
        waits = draw(st.booleans()) if idle is None else idle
        scope: Any = draw(st.sampled_from(["contract", "contract", "server"]))
        zones = ["server", "server", "user", "utc", "America/St_Johns", "Asia/Kathmandu"]
        machine_metered = draw(
            st.sets(st.sampled_from(PRODUCTS), max_size=2) if draw(st.booleans()) else st.just(set())
        )
        return Terms(
            "day" if is_day else "rolling",
            length=DAY if is_day else draw(st.sampled_from(LENGTHS)),
            zone=draw(st.sampled_from(zones)) if is_day else "",
            day_start=draw(st.sampled_from(DAY_STARTS)) if is_day else ZERO,
            renew=draw(st.sampled_from([True, True, True, False])),
            min_duration=draw(st.sampled_from(MIN_DURATIONS)),
            idle_after=draw(st.sampled_from(IDLE_AFTER)) if waits else None,
            incremental=draw(st.booleans()) if incremental is None else incremental,
            scope=scope,
            machine_metered=frozenset(machine_metered),
        )

    return drawn()


@st.composite
def family_rates(draw: st.DrawFn, around: datetime) -> list[Rate]:
    """Rates that meet: few different ones, in few families, some with a change, some products with none at all."""
    rates = []
    for product in PRODUCTS:
        family = draw(st.sampled_from([*FAMILIES[:1] * 4, *FAMILIES, None]))
        since = draw(st.sampled_from([None, None, around - DAY, around + TICK, around + 5 * HOUR, around + DAY]))
        for effective_from in {since, draw(st.sampled_from([since, around + HOUR]))}:
            tokens = Decimal(draw(st.sampled_from(["0", "0.5", "6", "7", "7", "8", "10.1234"])))
            rates.append(Rate(product, tokens, effective_from, family))
    return [rate for rate in rates if draw(st.integers(0, 9)) < 9]


@st.composite
def reports_of(
    draw: st.DrawFn, around: datetime, terms: Terms, *, names: tuple[bool, bool] | None = None
) -> list[Report]:
    """Activity, or idle time, some with host and product and some without."""
    is_idle = draw(st.booleans())
    lengths = {ZERO, TICK, 10 * MINUTE, HOUR, 9 * HOUR, DAY, 3 * DAY}
    lengths |= {(terms.idle_after or DAY) + nudge for nudge in (ZERO, TICK, HOUR)}
    has_host, has_product = draw(st.tuples(st.booleans(), st.booleans())) if names is None else names
    hosts = st.sampled_from([*HOSTS, *HOSTS, "pc9", None]) if has_host else st.none()
    products = st.sampled_from([*PRODUCTS, *PRODUCTS, "XYZ", None]) if has_product else st.none()
    reports = []
    for _ in range(draw(st.integers(0, 12))):
        at = draw(instants(around, terms.length))
        until = at + draw(st.sampled_from(sorted(lengths))) if is_idle else None
        reports.append(Report(draw(SOMEBODY), at, until, draw(hosts), draw(products)))
    return reports


@st.composite
def whole_cases(
    draw: st.DrawFn,
    terms: st.SearchStrategy[Terms] | None = None,
    *,
    open_sessions: bool = True,
    faults: bool = True,
    reports: bool | None = None,
    max_size: int = 10,
) -> Case:
    """Sessions of few users, hosts, servers and products under a rule of any fields, some of them without a name."""
    drawn = draw(whole_terms() if terms is None else terms)
    around = draw(st.sampled_from(list(TIMES)))
    starts = instants(around, drawn.length)
    if drawn.day_start:
        starts |= starts.map(lambda start: start + drawn.day_start)
    servers = [TIMES[around], *draw(st.lists(st.sampled_from(sorted(SERVERS)), max_size=2))]
    missing = [None] if faults and draw(st.integers(0, 4)) == 4 else []
    ends_open = st.sampled_from([False, False, False, open_sessions])
    sessions = []
    for _ in range(draw(st.integers(0, max_size))):
        start = draw(starts)
        end = None if draw(ends_open) else start + draw(durations(drawn))
        user, product = draw(SOMEBODY), draw(st.sampled_from(PRODUCTS))
        server, host = draw(st.sampled_from([*servers, *missing])), draw(st.sampled_from([*HOSTS, *missing]))
        sessions.append(Session(user, product, start, end, server, host))
    if draw(st.booleans()):
        sessions.sort(key=lambda session: session.start)
    last_start = max((session.start for session in sessions), default=around)
    as_of = draw(st.one_of(st.none(), durations(drawn).map(lambda after: last_start + after)))
    homes = dict(HOMES)
    if draw(st.booleans()) and missing:
        del homes["Ana"]
    has_reports = drawn.idle_after is not None and (draw(st.booleans()) if reports is None else reports)
    return Case(
        sessions,
        drawn,
        draw(family_rates(around)),
        as_of,
        users=homes,
        reports=draw(reports_of(around, drawn)) if has_reports else None,
    )


def in_batches(case: Case, cuts: Sequence[int]) -> tuple[Case, list[list[Session]]]:
    """The case in order of start, and the same cut into batches."""
    ordered = sorted(case.sessions, key=lambda session: session.start)
    borders = [0, *sorted(min(cut, len(ordered)) for cut in cuts), len(ordered)]
    batches = [ordered[start:end] for start, end in itertools.pairwise(borders)]
    return replace(case, sessions=ordered), batches
