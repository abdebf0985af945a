"""Random sessions that meet where charging is delicate: at ends of windows, at midnights, at changes of the clock."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING

import polars as pl
from hypothesis import strategies as st

from reference import DAY, HOUR, TICK, Rate, Session, Terms, date_changes

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


@dataclass(frozen=True)
class Case:
    """Everything that one call of `charge` depends on."""

    sessions: list[Session]
    terms: Terms
    rates: list[Rate]
    as_of: datetime | None
    servers: dict[str, str] = field(default_factory=lambda: dict(SERVERS))


def frame(sessions: Sequence[Session]) -> pl.DataFrame:
    """Sessions as the table that `charge` takes."""
    return pl.DataFrame(
        [[s.user, s.product, s.server, s.start, s.end] for s in sessions],
        schema={
            "user": pl.String,
            "product": pl.String,
            "server": pl.String,
            "start": pl.Datetime("us", "UTC"),
            "end": pl.Datetime("us", "UTC"),
        },
        orient="row",
    )


def rates_frame(rates: Sequence[Rate]) -> pl.DataFrame:
    """Rates as the table that `Rates` takes."""
    return pl.DataFrame(
        [[r.product, r.tokens, r.effective_from] for r in rates],
        schema={
            "product": pl.String,
            "tokens": pl.Decimal(38, 4),
            "effective_from": pl.Datetime("us", "UTC"),
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
