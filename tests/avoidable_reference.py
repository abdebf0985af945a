"""Avoidable charges in plain Python, from their definition: one window after the other, and every cut charged anew.

A window is what one charge pays for. Its use is what the sessions of its key have in it. A habit applies by what that
use is like; then all of it is taken away. What is left has to be charged as before, less this window.
"""

from __future__ import annotations

import zoneinfo
from collections import Counter, defaultdict
from dataclasses import dataclass, field, replace
from datetime import date, datetime, time, timedelta
from typing import TYPE_CHECKING, Any

import reference
from reference import DAY, Report, Session, Use, Zones

if TYPE_CHECKING:
    from collections.abc import Sequence

    from strategies import Case

LEFT, IDLE, GRAZED, MISTAKE = "left_open_overnight", "idle_at_expiry", "boundary_grazed", "opened_by_mistake"
NO_TIME = timedelta(0)


@dataclass(frozen=True)
class Limits:
    """The arguments of the verb that have defaults."""

    graze: timedelta = timedelta(minutes=15)
    mistake: timedelta = timedelta(minutes=5)
    idle: timedelta = timedelta(minutes=15)
    night: tuple[time, time] = (time(20), time(6))
    free_days: tuple[int, ...] = (6, 7)

    def rests(self, local: datetime) -> bool:
        """Whether nobody is expected at work at a local time."""
        begins, ends = self.night
        clock = local.time()
        in_night = (clock >= begins or clock < ends) if begins > time(0) else clock < ends
        return in_night or local.isoweekday() in self.free_days

    def rest_end(self, local: datetime) -> datetime:
        """The first local time from this one on at which somebody is."""
        while self.rests(local):
            edges = [datetime.combine(local.date(), edge) for edge in (*self.night, time(0))]
            edges += [edge + DAY for edge in edges]
            local = min(edge for edge in edges if edge > local)
        return local

    def evening(self, local: datetime) -> datetime:
        """The last beginning of a night not after a local time."""
        today = datetime.combine(local.date(), self.night[0])
        return today if today <= local else today - DAY

    def next_night(self, local: datetime) -> datetime:
        """The first beginning of a night not before it."""
        today = datetime.combine(local.date(), self.night[0])
        return today if today >= local else today + DAY


@dataclass(frozen=True)
class Touch:
    """The use of one session in one window: `[begin, end)`, and where the window ends for it."""

    use: Use
    begin: datetime
    end: datetime
    until: datetime


@dataclass
class Window:
    """A window that was paid, with all use in it."""

    key: tuple[Any, ...]
    rows: list[int]
    lead: dict[str, Any]
    touches: list[Touch] = field(default_factory=list)
    habits: list[str] = field(default_factory=list)
    is_known: bool = False

    @property
    def runs_on(self) -> bool:
        return any(touch.use.end > touch.until for touch in self.touches)

    @property
    def used(self) -> timedelta:
        """How long any session was open."""
        total, reach = NO_TIME, reference.BEGINNING
        for touch in sorted(self.touches, key=lambda touch: touch.begin):
            total += max(NO_TIME, touch.end - max(touch.begin, reach))
            reach = max(reach, touch.end)
        return total


class Audit:
    """Everything that the verb finds in one case."""

    def __init__(self, case: Case, limits: Limits) -> None:
        self.case, self.limits, self.terms = case, limits, case.terms
        self.zones = Zones(case.terms, case.servers, case.users)
        self.families = reference.families_of(case.rates) if case.terms.incremental else {}
        self.charges = reference.charge(**case.for_reference())
        self.uses = [
            use
            for use in reference.uses_of(case.sessions, case.as_of)
            if reference.fault(use.session, self.zones) is None and use.end - use.start >= case.terms.min_duration
        ]
        self.windows = self._windows()
        for window in self.windows:
            self._judge(window)
        self.found = self._proven([window for window in self.windows if window.habits])

    def key(self, use: Use) -> tuple[Any, ...]:
        return reference.key_of(use.session, self.terms, self.families)

    def _windows(self) -> list[Window]:
        by_row = {use.row: use for use in self.uses}
        windows: dict[tuple[Any, ...], Window] = {}
        for place, row in enumerate(self.charges):
            key = self.key(by_row[row["session"]])
            mark = row["usage_date"] if self.terms.window == "day" else row["window_end"]
            window = windows.setdefault((key, mark), Window(key, [], row))
            window.rows.append(place)
            if row["category"] == "CHARGED":
                window.lead = row
        for (key, mark), window in windows.items():
            mine = [use for use in self.uses if self.key(use) == key]
            window.touches = [touch for use in mine for touch in self._touches(use, window, mark)]
        return sorted(windows.values(), key=lambda window: (window.lead["charged_at"], window.lead["session"]))

    def _touches(self, use: Use, window: Window, mark: date | datetime) -> list[Touch]:
        if self.terms.window == "day":
            zone, day_start = self.zones.of(use.session) or "", self.terms.day_start
            begin = reference.touched_dates(zone, use.start, use.end, day_start).get(mark)
            if begin is None:
                return []
            until = reference.end_of_date(zone, mark, day_start)
            return [Touch(use, begin, min(use.end, until), until)]
        first, until = window.lead["charged_at"], window.lead["window_end"]
        if first <= use.start < until or use.start < first < use.end:
            return [Touch(use, max(use.start, first), min(use.end, until), until)]
        return []

    def _reports(self, use: Use) -> list[Report]:
        session = use.session
        return [
            report
            for report in self.case.reports or ()
            if report.user == session.user
            and report.host in (None, session.host)
            and report.product in (None, session.product)
        ]

    def _active(self, use: Use, begin: datetime, end: datetime) -> list[tuple[datetime, datetime]]:
        """When the user was active in `[begin, end)`, by what is known."""
        reports = self._reports(use)
        if reports[0].until is None:
            return sorted((report.at, report.at) for report in reports if begin <= report.at < end)
        active = [(begin, end)] if begin < end else []
        for report in reports:
            until = report.until or report.at
            if report.at < until:
                active = [piece for span in active for piece in reference.without(span, (report.at, until))]
        return active

    def _is_known(self, touch: Touch) -> bool:
        """Whether activity of the session was recorded, and anybody's then."""
        times = [report.at for report in self.case.reports or () if report.until is None]
        is_recorded = not times or min(times) <= touch.begin <= touch.end <= max(times)
        return bool(self._reports(touch.use)) and is_recorded

    def _seen(self, touch: Touch) -> datetime:
        """The last sign of life before a touch that is known; what was before the first record of all is not."""
        first = min((report.at for report in self.case.reports or () if report.until is None), default=touch.use.start)
        active = self._active(touch.use, touch.use.start, touch.begin)
        return max([touch.use.start, first, *(end for _, end in active)])

    def _judge(self, window: Window) -> None:
        limits, lead, touches = self.limits, window.lead, window.touches
        known = [touch for touch in touches if self._is_known(touch)]
        none_active = not any(self._active(touch.use, touch.begin, touch.end) for touch in known)
        window.is_known = len(known) == len(touches)
        none_begins = all(touch.begin > touch.use.start for touch in touches)
        carried = lead["trigger"] == "renewal" and none_begins
        is_left = self._is_overnight(window) if window.is_known else self._looks_left(window)
        if carried and none_active and is_left:
            window.habits.append(LEFT)
        if window.is_known and all(touch.begin - self._seen(touch) >= limits.idle for touch in touches):
            was_idle = carried and none_active
        else:
            was_idle = False
        if was_idle:
            window.habits.append(IDLE)
        if carried and not window.runs_on and window.used < limits.graze:
            window.habits.append(GRAZED)
        all_begin = all(touch.begin == touch.use.start for touch in touches)
        if lead["trigger"] == "launch" and all_begin and not window.runs_on and window.used < limits.mistake:
            window.habits.append(MISTAKE)

    def local(self, user: str, instant: datetime) -> datetime | None:
        zone = self.case.users.get(user)
        return None if zone is None else instant.astimezone(zoneinfo.ZoneInfo(zone)).replace(tzinfo=None)

    def _is_overnight(self, window: Window) -> bool:
        """The use in the window reaches into a rest of the user."""
        user = window.lead["user"]
        begin, end = (self.local(user, at) for at in (window.lead["charged_at"], self.end_of_use(window)))
        if begin is None or end is None:
            return False
        return self.limits.rests(begin) or end > self.limits.next_night(begin)

    def _looks_left(self, window: Window) -> bool:
        """Open since before the evening, until some time in the same rest, and nothing else of the user begins."""
        limits, lead = self.limits, window.lead
        at, end = lead["charged_at"], self.end_of_use(window)
        begin, local_end = self.local(lead["user"], at), self.local(lead["user"], end)
        start = self.local(lead["user"], max(touch.use.start for touch in window.touches))
        if begin is None or local_end is None or start is None or window.key[0] == "host":
            return False
        came = any(use.session.user == lead["user"] and at <= use.start < end for use in self.uses)
        return (
            not came
            and end - at >= limits.graze
            and limits.rests(begin)
            and local_end <= limits.rest_end(begin)
            and start < limits.evening(begin)
        )

    @staticmethod
    def end_of_use(window: Window) -> datetime:
        return max(touch.end for touch in window.touches)

    # The cuts.

    def pieces(self, use: Use, windows: Sequence[Window]) -> list[tuple[datetime, datetime, set[int]]]:
        """What is left of a session, each piece with the places of the windows cut beside it."""
        cuts = sorted(
            (touch.begin, self._again(touch), place)
            for place, window in enumerate(windows)
            for touch in window.touches
            if touch.use == use
        )
        pieces, start, before = [], use.start, set[int]()
        for begin, again, place in cuts:
            if start < begin:
                pieces.append((start, begin, before | {place}))
            start, before = again, {place}
        if start < use.end:
            pieces.append((start, use.end, before))
        return pieces

    def _again(self, touch: Touch) -> datetime:
        """From when on a session is in use after a window; its end if it is not."""
        if self.terms.idle_after is None or self.case.reports is None:
            return touch.until
        spans = reference.spans(touch.use, self.case.reports, self.terms.idle_after)
        return min((max(start, touch.until) for start, end in spans if end > touch.until), default=touch.use.end)

    def _proven(self, windows: list[Window]) -> list[Window]:
        while True:
            touched = {touch.use.row: touch.use for window in windows for touch in window.touches}
            short = {
                place
                for use in touched.values()
                for start, end, beside in self.pieces(use, windows)
                if end - start < self.terms.min_duration
                for place in beside
            }
            if not short:
                break
            windows = [window for place, window in enumerate(windows) if place not in short]
        before = self._bill(self.case)
        after = self._bill(replace(self.case, sessions=self.sessions_without(windows), as_of=None))
        for window in windows:
            for place in window.rows:
                row = self.charges[place]
                before[window.key][row["charged_at"], row["product"], row["tokens"]] -= 1
        moved = {key for key in {*before, *after} if +before[key] != +after[key]}
        return [window for window in windows if window.key not in moved]

    def sessions_without(self, windows: Sequence[Window]) -> list[Session]:
        """All sessions that can be charged, in order of start, less their use in windows."""
        left: list[Session] = []
        for use in sorted(self.uses, key=lambda use: (use.start, use.row)):
            is_cut = any(touch.use == use for window in windows for touch in window.touches)
            whole = [(use.start, use.end)]
            for start, end in [piece[:2] for piece in self.pieces(use, windows)] if is_cut else whole:
                left.append(replace(use.session, start=start, end=end))
        return left

    def _bill(self, case: Case) -> dict[tuple[Any, ...], Counter[Any]]:
        """Instants, products and tokens of the charges of each key, with how many there are of each."""
        bill: dict[tuple[Any, ...], Counter[Any]] = defaultdict(Counter)
        for row in reference.charge(**case.for_reference()):
            key = reference.key_of(case.sessions[row["session"]], self.terms, self.families)
            bill[key][row["charged_at"], row["product"], row["tokens"]] += 1
        return bill

    # What is told.

    def rows(self) -> list[dict[str, Any]]:
        order = [LEFT, IDLE, GRAZED, MISTAKE]
        told = []
        for window in self.found:
            is_inferred = window.habits[0] == LEFT and not window.is_known
            told += [
                {
                    "charge": place,
                    "habit": min(window.habits, key=order.index),
                    "habits": window.habits,
                    "cut_at": self._cut_at(window),
                    "minutes": window.used,
                    "is_inferred": is_inferred,
                }
                for place in window.rows
            ]
        return sorted(told, key=lambda row: row["charge"])

    def _cut_at(self, window: Window) -> datetime:
        """The first charge of a run of windows found that use passed through without a break."""
        mine = [other for other in self.windows if other.key == window.key]
        place = mine.index(window)
        while place > 0 and mine[place].lead["trigger"] == "renewal" and self._passes(mine[place - 1]):
            place -= 1
        cut: datetime = mine[place].lead["charged_at"]
        return cut

    def _passes(self, window: Window) -> bool:
        return window.runs_on and any(other is window for other in self.found)
