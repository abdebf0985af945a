"""The charging rules in plain Python, written from their definition: slow, short, and independent of the library.

A key is (user, product). Under a rolling rule the next charge of a key falls at the earliest instant, not before the
end of its last window, at which the product is launched or in use. Under a day rule a key pays once for each local
date that its sessions touch. Nothing here is clever; the library has to agree with it row by row.
"""

from __future__ import annotations

import zoneinfo
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import cache
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from decimal import Decimal

# The tzdata package alone: the system's database may be older, and a bill must not depend on it.
zoneinfo.reset_tzpath(to=())
zoneinfo.ZoneInfo.clear_cache()

TICK = timedelta(microseconds=1)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
BEGINNING = datetime(1, 1, 1, tzinfo=UTC)

Row = dict[str, Any]


@dataclass(frozen=True)
class Session:
    """One stretch of use, `[start, end)`; an end of None means that it is still open."""

    user: str
    product: str
    start: datetime
    end: datetime | None
    server: str | None = None


@dataclass(frozen=True)
class Terms:
    """What the library calls a rule, with its zone "server", "utc" or an IANA name."""

    window: Literal["rolling", "day"]
    length: timedelta = DAY
    zone: str = "server"
    min_duration: timedelta = timedelta(0)


@dataclass(frozen=True)
class Rate:
    """The price of a product from an instant on; None means since ever."""

    product: str
    tokens: Decimal
    effective_from: datetime | None = None


@dataclass(frozen=True)
class Use:
    """A session that can be charged, with its row in the table and its end known."""

    row: int
    session: Session
    end: datetime

    @property
    def start(self) -> datetime:
        return self.session.start


def charge(
    sessions: Sequence[Session],
    terms: Terms,
    rates: Iterable[Rate] = (),
    servers: Mapping[str, str] | None = None,
    as_of: datetime | None = None,
) -> list[Row]:
    """The charges of valid sessions, as rows of the charges table without `rule_id`."""
    last = as_of or max([s.start for s in sessions] + [s.end for s in sessions if s.end], default=BEGINNING)
    uses = [Use(row, s, last if s.end is None else s.end) for row, s in enumerate(sessions)]
    keys: dict[tuple[str, str], list[Use]] = {}
    for use in uses:
        if use.end - use.start >= terms.min_duration:
            keys.setdefault((use.session.user, use.session.product), []).append(use)
    rates = list(rates)
    rows = []
    for key_uses in keys.values():
        charges = (
            rolling(key_uses, terms.length) if terms.window == "rolling" else by_day(key_uses, terms, servers or {})
        )
        for use, charged_at, window_end, usage_date in charges:
            rows.append(
                {
                    "user": use.session.user,
                    "product": use.session.product,
                    "server": use.session.server,
                    "charged_at": charged_at,
                    "window_end": window_end,
                    "usage_date": usage_date,
                    "category": "CHARGED",
                    "trigger": "launch" if charged_at == use.start else "renewal",
                    "tokens": rate_at(rates, use.session.product, charged_at),
                    "session": use.row,
                }
            )
    return sorted(rows, key=lambda row: (row["charged_at"], row["session"]))


Charge = tuple[Use, datetime, datetime, date]


def rolling(uses: Sequence[Use], length: timedelta) -> Iterator[Charge]:
    """The windows of one key: each begins at the earliest launch or use not before the end of the last."""
    window_end = BEGINNING
    while True:
        due = [
            (max(use.start, window_end), use.start, use.row, use)
            for use in uses
            if use.start >= window_end or use.end > window_end
        ]
        if not due:
            return
        charged_at, _, _, use = min(due, key=lambda item: item[:3])
        window_end = charged_at + length
        yield use, charged_at, window_end, charged_at.date()


def by_day(uses: Sequence[Use], terms: Terms, servers: Mapping[str, str]) -> Iterator[Charge]:
    """One charge for each local date that the key touches, at its first touch."""
    touches: dict[date, list[tuple[datetime, datetime, int, Use, str]]] = {}
    for use in uses:
        zone = {"server": servers.get(use.session.server or "", ""), "utc": "UTC"}.get(terms.zone, terms.zone)
        for day, instant in touched_dates(zone, use.start, use.end).items():
            touches.setdefault(day, []).append((instant, use.start, use.row, use, zone))
    for day, touch in touches.items():
        charged_at, _, _, use, zone = min(touch, key=lambda item: item[:3])
        yield use, charged_at, end_of_date(zone, day), day


def touched_dates(zone: str, start: datetime, end: datetime) -> dict[date, datetime]:
    """The local dates of `[start, end)`, each with its first instant there. A session of zero length touches one."""
    touched = {local_date(zone, start): start}
    day = start.date()
    while day <= end.date():
        for instant in date_changes(zone, day):
            if start < instant < end:
                touched.setdefault(local_date(zone, instant), instant)
        day += DAY
    return touched


def end_of_date(zone: str, day: date) -> datetime:
    """The first instant after the last one that has this local date."""
    changes = [change for days in (-1, 0, 1, 2) for change in date_changes(zone, day + days * DAY)]
    return max(change for change in changes if local_date(zone, change - TICK) == day)


def local_date(zone: str, instant: datetime) -> date:
    """What the calendar on the wall shows at an instant."""
    return instant.astimezone(zoneinfo.ZoneInfo(zone)).date()


@cache
def date_changes(zone: str, utc_day: date) -> tuple[datetime, ...]:
    """The instants within one UTC day at which the local date becomes another one.

    That can only be at a local midnight or where the clock is changed: these are tried, and kept if the date differs
    from the one a microsecond before.
    """
    tz = zoneinfo.ZoneInfo(zone)
    first = datetime.combine(utc_day, time(), UTC)
    midnights = {
        datetime.combine(utc_day + days * DAY, time(), tz).replace(fold=fold).astimezone(UTC)
        for days in (-1, 0, 1, 2)
        for fold in (0, 1)
    }
    changes = {change for hours in range(-6, 24, 6) for change in offset_change(tz, first + hours * HOUR, 6 * HOUR)}
    return tuple(
        instant
        for instant in sorted(midnights | changes)
        if first <= instant < first + DAY and local_date(zone, instant - TICK) != local_date(zone, instant)
    )


def offset_change(tz: zoneinfo.ZoneInfo, before: datetime, span: timedelta) -> list[datetime]:
    """The instant in `(before, before + span]` at which the offset of the zone changes, if it does.

    No zone ever changed its clock twice within the spans asked for.
    """
    after = before + span
    old = before.astimezone(tz).utcoffset()
    if after.astimezone(tz).utcoffset() == old:
        return []
    while after - before > TICK:
        middle = before + (after - before) / 2
        if middle.astimezone(tz).utcoffset() == old:
            before = middle
        else:
            after = middle
    return [after]


def rate_at(rates: Iterable[Rate], product: str, instant: datetime) -> Decimal | None:
    """The rate in force at an instant: the latest that took effect by then; None where there is none."""
    known = [
        (rate.effective_from or BEGINNING, rate.tokens)
        for rate in rates
        if rate.product == product and (rate.effective_from or BEGINNING) <= instant
    ]
    return max(known)[1] if known else None
