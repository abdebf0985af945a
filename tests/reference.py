"""The charging rules in plain Python, written from their definition: slow, short, and independent of the library.

A key is who pays for what: the user or the host, of all servers or of one, and the product or its family. Under a
rolling rule the next charge of a key falls at the earliest instant, not before the end of its last window, at which the
product is launched or in use. Under a day rule a key pays once for each local date that its sessions touch. Where
products share a window, or idle ones wait, everything that can cause a charge is an occasion, and occasions are taken
in order of time. Nothing here is clever; the library has to agree with it row by row.
"""

from __future__ import annotations

import zoneinfo
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from functools import cache
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

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
    host: str | None = None


@dataclass(frozen=True)
class Report:
    """An instant of activity of a user, or with `until` an idle stretch; no host or product means any."""

    user: str
    at: datetime
    until: datetime | None = None
    host: str | None = None
    product: str | None = None


@dataclass(frozen=True)
class Terms:
    """What the library calls a rule, with its zone "server", "user", "utc" or an IANA name."""

    window: Literal["rolling", "day"]
    length: timedelta = DAY
    zone: str = "server"
    min_duration: timedelta = timedelta(0)
    day_start: timedelta = timedelta(0)
    renew: bool = True
    idle_after: timedelta | None = None
    incremental: bool = False
    scope: Literal["contract", "server"] = "contract"
    machine_metered: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Rate:
    """The price of a product from an instant on; None means since ever."""

    product: str
    tokens: Decimal
    effective_from: datetime | None = None
    family: str | None = None


@dataclass(frozen=True)
class Use:
    """A session that can be charged, with its row in the table and its end known."""

    row: int
    session: Session
    end: datetime

    @property
    def start(self) -> datetime:
        return self.session.start


def charge(  # noqa: PLR0917 - the arguments of the verb
    sessions: Sequence[Session],
    terms: Terms,
    rates: Iterable[Rate] = (),
    servers: Mapping[str, str] | None = None,
    as_of: datetime | None = None,
    users: Mapping[str, str] | None = None,
    reports: Sequence[Report] | None = None,
) -> list[Row]:
    """The charges of sessions, as rows of the charges table without `rule_id`. Rows with a fault are left out."""
    rates = list(rates)
    zones = Zones(terms, servers or {}, users or {})
    families = families_of(rates) if terms.incremental else {}
    keys: dict[tuple[str | None, ...], list[Use]] = {}
    for use in uses_of(sessions, as_of):
        if fault(use.session, zones) is None and use.end - use.start >= terms.min_duration:
            keys.setdefault(key_of(use.session, terms, families), []).append(use)
    waits_when_idle = terms.idle_after is not None and reports is not None
    rows = []
    for key_uses in keys.values():
        if waits_when_idle or terms.incremental:
            idle = (reports or [], terms.idle_after or DAY) if waits_when_idle else ([], DAY)
            stretches = [(use, spans(use, *idle)) for use in key_uses]
            charges = (
                rolling_occasions(stretches, terms, rates)
                if terms.window == "rolling"
                else day_occasions(stretches, zones, rates)
            )
        else:
            charges = rolling(key_uses, terms) if terms.window == "rolling" else by_day(key_uses, zones)
            charges = (replace(due, tokens=rate_at(rates, due.use.session.product, due.at)) for due in charges)
        rows += [row_of(due) for due in charges]
    return sorted(rows, key=lambda row: (row["charged_at"], row["session"]))


@dataclass(frozen=True)
class Due:
    """A charge: what is in use, when, the window, and what it costs."""

    use: Use
    at: datetime
    window_end: datetime
    usage_date: date
    trigger: str
    category: str = "CHARGED"
    tokens: Decimal | None = None


def row_of(due: Due) -> Row:
    session = due.use.session
    return {
        "user": session.user,
        "product": session.product,
        "server": session.server,
        "charged_at": due.at,
        "window_end": due.window_end,
        "usage_date": due.usage_date,
        "category": due.category,
        "trigger": due.trigger,
        "tokens": due.tokens,
        "session": due.use.row,
    }


def uses_of(sessions: Sequence[Session], as_of: datetime | None) -> list[Use]:
    """Sessions with their ends; what is open ends at `as_of`, but not before it starts."""
    last = as_of or max([s.start for s in sessions] + [s.end for s in sessions if s.end], default=BEGINNING)
    return [Use(row, s, max(last, s.start) if s.end is None else s.end) for row, s in enumerate(sessions)]


@dataclass(frozen=True)
class Zones:
    """Whose days count for a session."""

    terms: Terms
    servers: Mapping[str, str]
    users: Mapping[str, str]

    def of(self, session: Session) -> str | None:
        """The zone, or None where the rule needs one and nobody gave it."""
        if self.terms.zone == "server":
            return self.servers.get(session.server or "")
        if self.terms.zone == "user":
            return self.users.get(session.user)
        return "UTC" if self.terms.zone == "utc" else self.terms.zone

    def date_at(self, session: Session, instant: datetime) -> date:
        """The session's local date at an instant."""
        return local_date(self.of(session) or "", instant, self.terms.day_start)


def fault(session: Session, zones: Zones) -> str | None:
    """Why a session cannot be charged."""
    terms = zones.terms
    if session.product in terms.machine_metered and session.host is None:
        return "missing_host"
    needs_server = terms.scope == "server" or (terms.window == "day" and terms.zone == "server")
    if needs_server and session.server is None:
        return "missing_server"
    if terms.window == "day" and zones.of(session) is None:
        return f"unknown_{terms.zone}"
    return None


def families_of(rates: Iterable[Rate]) -> dict[str, str]:
    """The family of each product that has one."""
    return {rate.product: rate.family for rate in rates if rate.family is not None}


def key_of(session: Session, terms: Terms, families: Mapping[str, str]) -> tuple[str | None, ...]:
    """Who pays for what."""
    payer = ("host", session.host) if session.product in terms.machine_metered else ("user", session.user)
    family = families.get(session.product)
    unit = ("product", session.product) if family is None else ("family", family)
    return (*payer, *unit, session.server if terms.scope == "server" else None)


def rolling(uses: Sequence[Use], terms: Terms) -> Iterator[Due]:
    """The windows of one key: each begins at the earliest launch or use not before the end of the last."""
    window_end = BEGINNING
    while True:
        due = [
            (max(use.start, window_end), use.start, use.row, use)
            for use in uses
            if use.start >= window_end or (terms.renew and use.end > window_end)
        ]
        if not due:
            return
        at, _, _, use = min(due, key=lambda item: item[:3])
        window_end = at + terms.length
        yield Due(use, at, window_end, at.date(), "launch" if at == use.start else "renewal")


def by_day(uses: Sequence[Use], zones: Zones) -> Iterator[Due]:
    """One charge for each local date that the key touches, at its first touch."""
    terms = zones.terms
    touches: dict[date, list[tuple[datetime, datetime, int, Use, str]]] = {}
    for use in uses:
        zone = zones.of(use.session) or ""
        end = use.end if terms.renew else use.start
        for day, instant in touched_dates(zone, use.start, end, terms.day_start).items():
            touches.setdefault(day, []).append((instant, use.start, use.row, use, zone))
    for day, touch in touches.items():
        at, _, _, use, zone = min(touch, key=lambda item: item[:3])
        yield Due(use, at, end_of_date(zone, day, terms.day_start), day, "launch" if at == use.start else "renewal")


Span = tuple[datetime, datetime]
Stretch = tuple[Use, list[Span]]


def spans(use: Use, reports: Iterable[Report], idle_after: timedelta) -> list[Span]:
    """When a session is in use: always, if nothing is known of it. The first span begins at its start."""
    session = use.session
    mine = [
        report
        for report in reports
        if report.user == session.user
        and report.host in (None, session.host)
        and report.product in (None, session.product)
    ]
    if not mine:
        return [(use.start, use.end)]
    in_use: list[Span] = []
    if mine[0].until is None:
        active = {use.start} | {report.at for report in mine if use.start <= report.at < use.end}
        for at in sorted(active):
            until = min(at + idle_after, use.end)
            if in_use and at <= in_use[-1][1]:
                in_use[-1] = in_use[-1][0], until
            else:
                in_use.append((at, until))
        return in_use
    in_use = [(use.start, use.end)]
    for report in mine:
        idle_from, idle_until = report.at + idle_after, report.until or report.at
        if idle_from < idle_until:
            in_use = [piece for span in in_use for piece in without(span, (idle_from, idle_until))]
    return in_use if in_use and in_use[0][0] == use.start else [(use.start, use.start), *in_use]


def without(span: Span, cut: Span) -> list[Span]:
    """What is left of a span."""
    pieces = [(span[0], min(span[1], cut[0])), (max(span[0], cut[1]), span[1])]
    return [(start, end) for start, end in pieces if start < end]


def dearest_first(use: Use, rate: Decimal | None) -> tuple[Decimal, datetime, int]:
    """The order at one instant; no rate counts as less than 0."""
    return (Decimal(1) if rate is None else -rate, use.start, use.row)


class Paid:
    """What has been paid for one window of a key, and by which products it was used."""

    def __init__(self) -> None:
        self.paid: Decimal | None = None
        self.used: set[str] = set()

    def price(self, product: str, rate: Decimal | None) -> tuple[str, Decimal | None] | None:
        """Category and tokens of a use in this window, or None if it costs nothing."""
        is_used = product in self.used
        self.used.add(product)
        if self.paid is None:
            self.paid = rate or Decimal(0)
            return "CHARGED", rate
        if is_used:
            return None
        if rate is None:
            return "INCREMENTAL", None
        if rate > self.paid:
            difference, self.paid = rate - self.paid, rate
            return "INCREMENTAL", difference
        return None


def span_starts(stretches: Iterable[Stretch], *, renew: bool) -> list[tuple[datetime, Use, str]]:
    """Launches and resumptions."""
    return [
        (start, use, "resume" if place else "launch")
        for use, in_use in stretches
        for place, (start, _) in enumerate(in_use)
        if renew or place == 0
    ]


def rolling_occasions(stretches: Sequence[Stretch], terms: Terms, rates: Sequence[Rate]) -> Iterator[Due]:
    """The windows that the products of one key share, one instant after the other."""
    starts = span_starts(stretches, renew=terms.renew)
    window_end, window = BEGINNING, Paid()
    while True:
        end = window_end
        running = [use for use, in_use in stretches if terms.renew and any(s < end < e for s, e in in_use)]
        at = min([start for start, _, _ in starts] + ([end] if running else []), default=None)
        if at is None:
            return
        met = [(use, trigger) for start, use, trigger in starts if start == at]
        met += [(use, "renewal") for use in running if at == end]
        starts = [start for start in starts if start[0] != at]
        prices = [(use, trigger, rate_at(rates, use.session.product, at)) for use, trigger in met]
        for use, trigger, rate in sorted(prices, key=lambda item: dearest_first(item[0], item[2])):
            if at >= window_end:
                window_end, window = at + terms.length, Paid()
            price = window.price(use.session.product, rate)
            if price is not None:
                yield Due(use, at, window_end, at.date(), trigger, *price)


def day_occasions(stretches: Sequence[Stretch], zones: Zones, rates: Sequence[Rate]) -> Iterator[Due]:
    """The dates that the products of one key share."""
    terms = zones.terms
    occasions = span_starts(stretches, renew=terms.renew)
    for use, in_use in stretches if terms.renew else ():
        for start, end in in_use:
            changes = changes_between(zones.of(use.session) or "", start, end, terms.day_start)
            occasions += [(change, use, "renewal") for change in changes]
    prices = [(at, use, trigger, rate_at(rates, use.session.product, at)) for at, use, trigger in occasions]
    dates: dict[date, Paid] = {}
    for at, use, trigger, rate in sorted(prices, key=lambda item: (item[0], dearest_first(item[1], item[3]))):
        day = zones.date_at(use.session, at)
        price = dates.setdefault(day, Paid()).price(use.session.product, rate)
        if price is not None:
            window_end = end_of_date(zones.of(use.session) or "", day, terms.day_start)
            yield Due(use, at, window_end, day, trigger, *price)


def categorize(  # noqa: PLR0917 - the arguments of the verb
    sessions: Sequence[Session],
    terms: Terms,
    rates: Iterable[Rate] = (),
    servers: Mapping[str, str] | None = None,
    as_of: datetime | None = None,
    users: Mapping[str, str] | None = None,
    reports: Sequence[Report] | None = None,
) -> list[Row]:
    """What became of each session: category, charge, window. All are None for a session with a fault."""
    rates = list(rates)
    charges = charge(sessions, terms, rates, servers, as_of, users, reports)
    zones = Zones(terms, servers or {}, users or {})
    families = families_of(rates) if terms.incremental else {}
    keys = [key_of(session, terms, families) for session in sessions]

    def opening(place: int) -> int:
        """The charge that opened the window of a charge."""
        mine = [
            other
            for other, row in enumerate(charges)
            if keys[row["session"]] == keys[charges[place]["session"]]
            and row["charged_at"] <= charges[place]["charged_at"]
            and row["category"] == "CHARGED"
            and (terms.window == "rolling" or row["usage_date"] == charges[place]["usage_date"])
        ]
        return mine[-1]

    outcomes = []
    for use in uses_of(sessions, as_of):
        own = [place for place, row in enumerate(charges) if row["session"] == use.row]
        is_faulty = fault(use.session, zones) is not None
        under = [
            place
            for place, row in enumerate(charges)
            if not is_faulty
            and keys[row["session"]] == keys[use.row]
            and row["charged_at"] <= use.start
            and (
                row["window_end"] > use.start
                if terms.window == "rolling"
                else row["usage_date"] == zones.date_at(use.session, use.start)
            )
        ]
        place = own[0] if own else (under[-1] if under else None)
        if is_faulty:
            category = None
        elif own:
            category = min(charges[place]["category"] for place in own)
        else:
            category = "FREE" if under else "CASUAL"
        outcomes.append(
            {
                "category": category,
                "charge": place,
                "window_start": None if place is None else charges[opening(place)]["charged_at"],
                "window_end": None if place is None else charges[place]["window_end"],
            }
        )
    return outcomes


def touched_dates(zone: str, start: datetime, end: datetime, day_start: timedelta) -> dict[date, datetime]:
    """The local dates of `[start, end)`, each with its first instant there. A session of zero length touches one."""
    touched = {local_date(zone, start, day_start): start}
    for instant in changes_between(zone, start, end, day_start):
        touched.setdefault(local_date(zone, instant, day_start), instant)
    return touched


def changes_between(zone: str, start: datetime, end: datetime, day_start: timedelta) -> list[datetime]:
    """The instants between two others at which the local date becomes another one."""
    days = range((end.date() - start.date()).days + 1)
    changes = [change for day in days for change in date_changes(zone, start.date() + day * DAY, day_start)]
    return [change for change in changes if start < change < end]


def end_of_date(zone: str, day: date, day_start: timedelta = timedelta(0)) -> datetime:
    """The first instant after the last one that has this local date."""
    changes = [change for days in (-1, 0, 1, 2, 3) for change in date_changes(zone, day + days * DAY, day_start)]
    return max(change for change in changes if local_date(zone, change - TICK, day_start) == day)


def local_date(zone: str, instant: datetime, day_start: timedelta = timedelta(0)) -> date:
    """What a calendar on the wall shows at an instant, whose days begin some time after midnight by the clock."""
    return (instant.astimezone(zoneinfo.ZoneInfo(zone)).replace(tzinfo=None) - day_start).date()


@cache
def date_changes(zone: str, utc_day: date, day_start: timedelta = timedelta(0)) -> tuple[datetime, ...]:
    """The instants within one UTC day at which the local date becomes another one.

    That can only be where a local day begins or where the clock is changed: these are tried, and kept if the date
    differs from the one a microsecond before.
    """
    tz = zoneinfo.ZoneInfo(zone)
    first = datetime.combine(utc_day, time(), UTC)
    midnights = {
        (datetime.combine(utc_day + days * DAY, time(), tz) + day_start).replace(fold=fold).astimezone(UTC)
        for days in (-2, -1, 0, 1, 2)
        for fold in (0, 1)
    }
    changes = {change for hours in range(-6, 24, 6) for change in offset_change(tz, first + hours * HOUR, 6 * HOUR)}
    return tuple(
        instant
        for instant in sorted(midnights | changes)
        if first <= instant < first + DAY
        and local_date(zone, instant - TICK, day_start) != local_date(zone, instant, day_start)
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
