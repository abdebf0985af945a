"""Idle time and harvesting in plain Python, from their definitions: one session, one span, one cut after the other."""

from __future__ import annotations

import zoneinfo
from collections import defaultdict
from dataclasses import dataclass, replace
from datetime import UTC, datetime, time, timedelta
from decimal import Decimal
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import reference
from reference import DAY, Report, Session

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from strategies import Case

Span = tuple[int, datetime, datetime]
"""Row of a session, and from when to when."""

NIGHT, MORNING = time(20), time(6)
FREE_DAYS = (6, 7)
QUIET = timedelta(hours=4)


def ends_of(sessions: Sequence[Session], as_of: datetime | None) -> list[datetime]:
    return [use.end for use in reference.uses_of(sessions, as_of)]


def spans_by_activity(
    sessions: Sequence[Session], reports: Sequence[Report], as_of: datetime | None, least: timedelta
) -> list[Span]:
    """Idle from a sign of use to the next one; the launch is a sign, and the end of the record tells no more."""
    ends = ends_of(sessions, as_of)
    found = []
    for row, session in enumerate(sessions):
        mine = [
            report
            for report in reports
            if report.user == session.user
            and report.host in (None, session.host)
            and report.product in (None, session.product)
        ]
        if not mine:
            continue
        if mine[0].until is None:
            first, last = min(report.at for report in reports), max(report.at for report in reports)
            begin, end = max(session.start, first), min(ends[row], last)
            signs = [begin, *sorted(report.at for report in mine if begin < report.at < end), end]
            quiet = list(pairwise(signs))
        else:
            quiet = []
            for report in sorted(mine, key=lambda report: report.at):
                since, until = max(report.at, session.start), min(report.until or report.at, ends[row])
                if since >= until:
                    continue
                if quiet and since <= quiet[-1][1]:
                    quiet[-1] = quiet[-1][0], max(until, quiet[-1][1])
                else:
                    quiet.append((since, until))
        found += [(row, since, until) for since, until in quiet if until > since and until - since >= least]
    return found


@dataclass(frozen=True)
class Piece:
    """A night, a free day or a working day of a zone."""

    begin: datetime
    until: datetime
    kind: str


def pieces_of(zone: str, first: datetime, last: datetime) -> list[Piece]:
    """The pieces around some time, by the clock on the wall."""
    local = zoneinfo.ZoneInfo(zone)
    day = first.date() - 3 * DAY
    borders = []
    while day <= last.date() + 3 * DAY:
        borders.append((datetime.combine(day, MORNING, local), "free" if day.isoweekday() in FREE_DAYS else "work"))
        borders.append((datetime.combine(day, NIGHT, local), "night"))
        day += DAY
    instants = [(border.astimezone(UTC), kind) for border, kind in borders]
    return [Piece(begin, until, kind) for (begin, kind), (until, _) in pairwise(instants)]


def spans_of_quiet(
    sessions: Sequence[Session], homes: dict[str, str], as_of: datetime | None, by_hand: Sequence[bool]
) -> list[tuple[int, datetime, datetime, str, float]]:
    """What is inferred: pieces that a session runs into without a sign of its user, each with its confidence."""
    ends = ends_of(sessions, as_of)
    found = []
    for row, session in enumerate(sessions):
        zone = homes.get(session.user)
        if zone is None:
            continue
        own = [other for other, each in enumerate(sessions) if each.user == session.user]
        signs = sorted({sessions[other].start for other in own} | {ends[other] for other in own if by_hand[other]})
        pieces = pieces_of(zone, signs[0], max(signs[-1], ends[row]))
        for piece in pieces:
            if not session.start < piece.begin < ends[row]:
                continue
            signs_ahead = [sign for sign in signs if sign >= piece.begin]
            end = min([ends[row], piece.until, *signs_ahead[:1]])
            enough = end == piece.until if piece.kind == "work" else end - piece.begin >= QUIET
            if enough and end > piece.begin:
                source = "gap" if piece.kind == "work" else "rest"
                found.append((row, piece.begin, end, source, confidence(piece, pieces, signs)))
    return joined(found)


def confidence(piece: Piece, pieces: Sequence[Piece], signs: Sequence[datetime]) -> float:
    """How often what is said of a piece held in the user's other pieces of its kind."""

    def within(other: Piece) -> int:
        return sum(other.begin <= sign < other.until for sign in signs)

    if piece.kind == "work":
        worked = [within(other) for other in pieces if other.kind == "work" and within(other)]
        return sum(count >= 3 for count in worked) / (len(worked) + 1)
    others = [
        other
        for other in pieces
        if other.kind == piece.kind and other != piece and other.until > signs[0] and other.begin <= signs[-1]
    ]
    return sum(within(other) == 0 for other in others) / (len(others) + 1)


def joined(
    spans: Iterable[tuple[int, datetime, datetime, str, float]],
) -> list[tuple[int, datetime, datetime, str, float]]:
    """Spans of one session that touch, as one; a working day among them makes a gap of it."""
    whole: list[tuple[int, datetime, datetime, str, float]] = []
    for row, since, until, source, sure in spans:
        if whole and (row, since) == (whole[-1][0], whole[-1][2]):
            whole[-1] = row, whole[-1][1], until, min(source, whole[-1][3]), min(sure, whole[-1][4])
        else:
            whole.append((row, since, until, source, sure))
    return whole


@dataclass(frozen=True)
class Cut:
    """A license taken back, and when it would have been launched again."""

    row: int
    at: datetime
    until: datetime
    goes_on: bool


def cuts_of(sessions: Sequence[Session], spans: Sequence[Span], as_of: datetime | None, after: timedelta) -> list[Cut]:
    """Where sessions lose their license: idle spans of one session that overlap are one."""
    ends = ends_of(sessions, as_of)
    found = []
    for row, session in enumerate(sessions):
        whole: list[tuple[datetime, datetime]] = []
        for _, since, until in sorted(span for span in spans if span[0] == row):
            begin, end = max(since, session.start), min(until, ends[row])
            if begin >= end:
                continue
            if whole and begin < whole[-1][1]:
                whole[-1] = whole[-1][0], max(end, whole[-1][1])
            else:
                whole.append((begin, end))
        found += [Cut(row, begin + after, end, end < ends[row]) for begin, end in whole if end - begin > after]
    return found


def cut_sessions(sessions: Sequence[Session], cuts: Sequence[Cut], as_of: datetime | None) -> list[tuple[int, Session]]:
    """What is left of each session, with its row."""
    ends = ends_of(sessions, as_of)
    left = []
    for row, session in enumerate(sessions):
        begin, is_in_use = session.start, True
        for cut in [cut for cut in cuts if cut.row == row]:
            left.append((row, replace(session, start=begin, end=cut.at)))
            begin, is_in_use = cut.until, cut.goes_on
        if is_in_use:
            left.append((row, replace(session, start=begin, end=ends[row])))
    return left


def replayed(case: Case, spans: Sequence[Span], after: timedelta) -> dict[str, Any]:
    """What a time would have saved."""
    given = case.for_reference()
    before = reference.charge(**given)
    cuts = cuts_of(case.sessions, spans, case.as_of, after)
    left = cut_sessions(case.sessions, cuts, case.as_of)
    again = reference.charge(**given | {"sessions": [session for _, session in left], "as_of": None})
    freed = sum((cut.until - cut.at for cut in cuts), timedelta(0))
    return {
        "after": after,
        "sessions_cut": len({cut.row for cut in cuts}),
        "cuts": len(cuts),
        "cuts_saving_nothing": len(cuts) - saving(case, cuts, before, again, [row for row, _ in left]),
        "reopens": sum(cut.goes_on for cut in cuts),
        "hours_freed": freed / timedelta(hours=1),
        "charges_before": len(before),
        "charges_after": len(again),
        "charges_avoided": len(before) - len(again),
        "tokens_before": total(before),
        "tokens_after": total(again),
        "tokens_saved": total(before) - total(again),
        "charges_without_rate": sum(row["tokens"] is None for row in again),
    }


def saving(
    case: Case, cuts: Sequence[Cut], before: Sequence[dict[str, Any]], again: Sequence[dict[str, Any]], rows: list[int]
) -> int:
    """How many cuts save anything: what their key pays less from their instant to the key's next cut."""
    families = reference.families_of(case.rates) if case.terms.incremental else {}
    key_of = {row: reference.key_of(session, case.terms, families) for row, session in enumerate(case.sessions)}
    instants = defaultdict(set)
    for cut in cuts:
        instants[key_of[cut.row]].add(cut.at)
    signed = [(key_of[row["session"]], row["charged_at"], row["tokens"] or Decimal(0)) for row in before]
    signed += [(key_of[rows[row["session"]]], row["charged_at"], -(row["tokens"] or Decimal(0))) for row in again]
    saved: defaultdict[tuple[Any, datetime], Decimal] = defaultdict(Decimal)
    for key, at, tokens in signed:
        earlier = [instant for instant in instants[key] if instant <= at]
        if earlier:
            saved[key, max(earlier)] += tokens
    return sum(saved[key_of[cut.row], cut.at] > 0 for cut in cuts)


def total(charges: Iterable[dict[str, Any]]) -> Decimal:
    return sum((row["tokens"] for row in charges if row["tokens"] is not None), Decimal(0))


def next_charges(case: Case, as_of: datetime) -> dict[int, tuple[datetime, Decimal | None] | None]:
    """For each open session, when its key is charged next if all that is open stays open, and what.

    Only for rules without a minimum: a launch is charged at once.
    """
    families = reference.families_of(case.rates) if case.terms.incremental else {}
    given = case.for_reference() | {"as_of": None}
    zones = reference.Zones(case.terms, case.servers, case.users)
    far = as_of + max(case.terms.length, DAY) + 4 * DAY
    ends = [session.end for session in case.sessions]
    rows = [row for row, session in enumerate(case.sessions) if session.start <= as_of]
    stay = []
    for row in rows:
        end = ends[row]
        stay.append(replace(case.sessions[row], end=far if end is None or end > as_of else end))
    due: dict[tuple[str | None, ...], list[dict[str, Any]]] = defaultdict(list)
    for charge in reference.charge(**given | {"sessions": stay}):
        if charge["charged_at"] > as_of:
            due[reference.key_of(stay[charge["session"]], case.terms, families)].append(charge)
    found: dict[int, tuple[datetime, Decimal | None] | None] = {}
    for row, session in zip(rows, stay, strict=True):
        if session.end == far:
            charges = due.get(reference.key_of(session, case.terms, families), [])
            if reference.fault(session, zones) is not None or not charges:
                found[row] = None
                continue
            at = min(charge["charged_at"] for charge in charges)
            tokens = [charge["tokens"] for charge in charges if charge["charged_at"] == at]
            found[row] = at, None if None in tokens else sum(tokens, Decimal(0))
    return found
