"""What `follow_up` does, in plain Python: slow, row by row, and without a join."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

Row = dict[str, Any]
SIDES = ("ours", "vendors")
ORDER = ("usage_date", "charged_at", "user", "product", "server", "status", "ours", "vendors", "cause", "shift")


@dataclass
class Line:
    """One side of a row."""

    row: int
    who: tuple[str | None, str | None]
    is_adjustment: bool
    at: Any
    date: date | None
    server: str | None
    tokens: Decimal | None
    beside: tuple[Any, ...]

    @property
    def when(self) -> tuple[Any, ...]:
        return (self.who, self.is_adjustment, self.at, self.date if self.at is None else None)


KEYS: list[list[Any]] = [
    [
        lambda line: (*line.when, line.server, line.tokens, line.beside),
        lambda line: (*line.when, line.server, line.tokens),
        lambda line: (*line.when, line.tokens),
        lambda line: (*line.when, line.server),
        lambda line: line.when,
    ],
    [
        lambda line: (line.who, line.is_adjustment, line.date, line.tokens),
        lambda line: (line.who, line.is_adjustment, line.date),
    ],
]


def last(value: Any) -> tuple[bool, Any]:
    """Sorts nothing behind everything."""
    return (value is None, 0 if value is None else value)


def first(value: Any) -> tuple[bool, Any]:
    return (value is not None, 0 if value is None else value)


def has(row: Row, side: str) -> bool:
    if side == "ours":
        nothing = row["statement"] is None and row["vendors"] == 0
        return row["charge"] is not None or row["ours"] != 0 or nothing
    return row["statement"] is not None or row["vendors"] != 0


def line_of(row: Row, number: int, side: str) -> Line | None:
    if not has(row, side):
        return None
    at, day, shift = row["charged_at"], row["usage_date"], row["shift"]
    if side == "vendors" and has(row, "ours"):
        later = None if at is None or shift is None else at + shift
        if later is not None:
            day = day and day + (later.date() - at.date())
        elif shift is not None:
            day = day and day + timedelta(days=shift.days)
        at = later
    other = SIDES[1 - SIDES.index(side)]
    return Line(
        number, (row["user"], row["product"]), row["cause"] == "adjustment", at, day, row["server"], row[side],
        (row["status"], shift, row[other]),
    )  # fmt: skip


class Table:
    """A reconciliation in an order of its own."""

    def __init__(self, rows: list[Row]) -> None:
        numbered = [{**row, "row": number} for number, row in enumerate(rows)]
        self.rows = sorted(numbered, key=lambda row: [last(row[name]) for name in (*ORDER, "charge", "statement")])
        self.lines = {side: [line_of(row, i, side) for i, row in enumerate(self.rows)] for side in SIDES}

    def range(self, side: str) -> tuple[date, date] | None:
        days = [
            line.date
            for line, row in zip(self.lines[side], self.rows, strict=True)
            if line is not None and line.date is not None and not row["is_correcting"]
        ]
        return (min(days), max(days)) if days else None


def order_of(line: Line) -> list[Any]:
    who = [first(name) for name in line.who]
    return [*who, line.is_adjustment, *(first(x) for x in (line.date, line.at, line.server, line.tokens)), line.row]


def known_again(then: Table, now: Table) -> dict[str, dict[int, int]]:
    """By side, the row of the later table in which the line of a row of the earlier one stands."""
    known: dict[str, dict[int, int]] = {side: {} for side in SIDES}
    for tried in KEYS:
        for side in SIDES:
            for key in tried:
                for old in in_order(then, side):
                    same = [new.row for new in in_order(now, side) if key(new) == key(old)]
                    free = [row for row in same if row not in known[side].values()]
                    if old.row not in known[side] and free:
                        known[side][old.row] = free[0]
        for side, other in (SIDES[::-1], SIDES):
            for old_row, row in known[other].items():
                is_free = old_row not in known[side] and row not in known[side].values()
                if is_free and then.lines[side][old_row] and now.lines[side][row]:
                    known[side][old_row] = row
    return known


def in_order(table: Table, side: str) -> list[Line]:
    return sorted((line for line in table.lines[side] if line), key=order_of)


def linked(then: Table, now: Table, known: dict[str, dict[int, int]]) -> list[tuple[int | None, int | None]]:
    """Each row of both, alone or with one of the other."""
    ours, vendors = (known[side] for side in SIDES)
    links = ours | {a: b for a, b in vendors.items() if a not in ours and b not in ours.values()}
    back = {b: a for a, b in links.items()}
    for start in range(len(then.rows)):
        place = start if start not in back.values() else -1
        while place in vendors:
            row = vendors[place]
            if row not in back:
                links[start] = row
            place = back.get(row, -1)
    found: list[tuple[int | None, int | None]] = [(a, links.get(a)) for a in range(len(then.rows))]
    return found + [(None, b) for b in range(len(now.rows)) if b not in links.values()]


def outside(day: date | None, range_: tuple[date, date] | None) -> bool:
    return range_ is None or (day is not None and not range_[0] <= day <= range_[1])


def state(row: Row | None) -> str | None:
    if row is None:
        return None
    return {"matched": "agreed", "not_comparable": "aside"}.get(row["status"], "open")


def difference(row: Row | None) -> Decimal:
    return Decimal(0) if row is None else row["vendors"] - (row["ours"] or 0)


def followed(earlier: list[Row], later: list[Row]) -> tuple[list[Row], list[Row]]:
    """The changes and the corrections. `is_correcting` of the rows says which of them may be one."""
    then, now = Table(earlier), Table(later)
    known = known_again(then, now)
    made = []
    for a, b in linked(then, now, known):
        was, is_ = None if a is None else then.rows[a], None if b is None else now.rows[b]
        lost, fresh, gone, came, moved = False, False, False, False, set()
        for side in SIDES:
            back = {new: old for old, new in known[side].items()}
            old = None if a is None else then.lines[side][a]
            new = None if b is None else now.lines[side][b]
            for line, others, ends in ((old, known[side], now), (new, back, then)):
                if line is None:
                    continue
                if line.row not in others:
                    moved.add(side)
                    is_outside = outside(line.date, ends.range(side))
                    gone, came = gone or line is old, came or line is new
                    lost, fresh = lost or (is_outside and line is old), fresh or (is_outside and line is new)
                elif ends.rows[others[line.row]][side] != line.tokens:
                    moved.add(side)
        by = {"": "", "ours": "us", "vendors": "vendor", "oursvendors": "both"}["".join(sorted(moved))]
        change = changed(was, is_, by, lost=lost, fresh=fresh, gone=gone, came=came)
        shown = {name: (is_ or {}).get(name) for name in ("user", "product", "server", "usage_date", "charged_at")}
        shown = {name: (was or {}).get(name) if value is None else value for name, value in shown.items()}
        figures: Row = {}
        for prefix, row in (("was_", was), ("", is_)):
            for name in ("status", "cause"):
                figures[prefix + name] = None if row is None else row[name]
            for name in SIDES:
                figures[prefix + name] = Decimal(0) if row is None else row[name]
            figures[f"{prefix}difference"] = difference(row)
        made.append(
            {
                "change": change, "was_settled": state(was) == "agreed", **shown, **figures, "correction": None,
                "earlier": None if was is None else was["row"], "later": None if is_ is None else is_["row"],
                "places": (last(b), last(a)), "statement": None if is_ is None else is_["statement"],
            }
        )  # fmt: skip
    names = ("usage_date", "charged_at", "user", "product", "server")
    made.sort(key=lambda row: [*(last(row[name]) for name in names), *row.pop("places")])
    return made, matched(made)


def changed(was: Row | None, is_: Row | None, by: str, *, lost: bool, fresh: bool, gone: bool, came: bool) -> str:
    """What became of a line."""
    names = named(was, is_, by, lost=lost, fresh=fresh, gone=gone, came=came)
    return next(name for name, holds in names if holds)


def named(
    was: Row | None, is_: Row | None, by: str, *, lost: bool, fresh: bool, gone: bool, came: bool
) -> list[tuple[str, bool]]:
    """All changes in order of precedence."""
    then, now = state(was), state(is_)
    is_alone = is_ is not None and is_["is_correcting"] and not has(is_, "ours")
    is_still = not by and was is not None and then == now and difference(was) == difference(is_)
    is_gone = is_ is None and gone
    is_corrected = (then == "open" and (now == "agreed" or is_gone)) or (then == "aside" and now == "agreed")
    return [
        ("correction", was is None and is_alone and came),
        ("not_covered", lost),
        ("new", fresh),
        ("late", was is None and came),
        ("settled", is_still and then == "agreed"),
        ("still_open", is_still and then == "open"),
        ("not_comparable", is_still),
        ("reassessed", not by),
        (f"corrected_by_{by}", is_corrected),
        ("withdrawn", is_gone),
        (f"changed_by_{by}", True),
    ]


GROUPS: dict[str, Any] = {
    "difference": None,
    "user_and_product": lambda row: (row["user"], row["product"]),
    "product": lambda row: row["product"],
    "month": lambda row: row["usage_date"] and (row["usage_date"].year, row["usage_date"].month),
    "cause": lambda row: row["was_cause"],
    "everything": lambda _: None,
}
NAMED = [(True, True), (True, False), (False, True), (False, False)]


def matched(rows: list[Row]) -> list[Row]:
    """Tries every whole anew for every correction; puts numbers and changes into the rows."""
    own = [row for row in rows if row["change"] == "correction"]
    own.sort(
        key=lambda row: [
            *(last(row[name]) for name in ("usage_date", "user", "product", "vendors")), row["cause"] != "adjustment",
            row["later"],
        ]
    )  # fmt: skip
    for number, row in enumerate(own):
        row["correction"] = number
    free = [row for row in rows if row["was_status"] in OPEN and row["change"] in ("still_open", "not_covered")]
    done: dict[int, Row] = {}
    for stage, group in GROUPS.items():
        for names in NAMED:
            for number, row in enumerate(own):
                is_named = (row["user"] is not None, row["product"] is not None) == names
                if number in done or not is_named or row["vendors"] == 0:
                    continue
                wholes = [[one] for one in free if of(one) == of(row)] if group is None else parted(free, row, group)
                wholes = [whole for whole in wholes if sum(one["was_difference"] for one in whole) == -row["vendors"]]
                if wholes:
                    best = min(wholes, key=lambda whole, row=row: distance(whole, row, free))  # type: ignore[misc]
                    free = [one for one in free if not any(one is other for other in best)]
                    days = [one["usage_date"] for one in best if one["usage_date"] is not None]
                    done[number] = {
                        "matched_by": stage, "choices": len(wholes), "differences": len(best),
                        "first_date": min(days, default=None), "last_date": max(days, default=None),
                    }  # fmt: skip
                    for one in best:
                        one["change"], one["correction"] = "corrected_by_adjustment", number
    nothing = {"matched_by": "unmatched", "choices": 0, "differences": 0, "first_date": None, "last_date": None}
    return [
        {
            "correction": number, **done.get(number, nothing),
            "cause": "adjustment" if row["cause"] == "adjustment" else "manual_entry",
            "user": row["user"], "product": row["product"], "date": row["usage_date"], "tokens": row["vendors"],
            "statement": row["statement"], "later": row["later"],
        }
        for number, row in enumerate(own)
    ]  # fmt: skip


OPEN = ("amount_differs", "missing_at_vendor", "extra_at_vendor")


def of(row: Row) -> tuple[Any, Any]:
    return (row["user"], row["product"])


def parted(free: list[Row], row: Row, group: Any) -> list[list[Row]]:
    """All that is open of something, within what the correction names."""
    inside = [one for one in free if all(row[name] in (None, one[name]) for name in ("user", "product"))]
    parts: dict[Any, list[Row]] = {}
    for one in inside:
        parts.setdefault(group(one), []).append(one)
    return list(parts.values())


def distance(whole: list[Row], row: Row, free: list[Row]) -> tuple[Any, ...]:
    """Nearest of those that are not later, else the nearest of the later ones; those without a date last."""
    far = date.max
    latest = max(one["usage_date"] or far for one in whole)
    of_row = row["usage_date"] or far
    place = min(place for place, one in enumerate(free) if one is whole[0])
    return (latest > of_row, abs((of_row - latest).days), place)
