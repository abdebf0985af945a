"""The vendor's late corrections, each matched to the differences that it evens out to the last decimal."""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import polars as pl

_GROUPS: Final[dict[str, tuple[str, ...]]] = {
    "user_and_product": ("user", "product"),
    "product": ("product",),
    "month": ("month",),
    "cause": ("cause",),
    "everything": (),
}
"""What is open of these, as a whole."""
_NAMED: Final = (("user", "product"), ("user",), ("product",), ())
"""Whom and what a correction names. It is matched to nothing else."""
_NEVER: Final = 1 << 40
"""Further than any two dates lie apart."""


@dataclass(frozen=True)
class Match:
    """What a correction was matched to: rows of the open differences."""

    matched_by: str
    choices: int
    rows: tuple[int, ...]


def matched_corrections(corrections: pl.DataFrame, open_: pl.DataFrame) -> list[Match]:
    """For each correction what it evens out.

    Args:
        corrections: `user`, `product`, `day` (days since 1970, or null), `tokens`; in the order in which they choose.
        open_: The same of differences, and `month` and `cause`, in an order that is their own.

    Returns:
        A match for each correction, in their order. A difference is in one at most.
    """
    free = dict(enumerate(open_.iter_rows(named=True)))
    wanted = [(number, row) for number, row in enumerate(corrections.iter_rows(named=True)) if row["tokens"] != 0]
    done = dict(_singles(wanted, free))
    for grouping, columns in _GROUPS.items():
        for named in _NAMED:
            asked = [(number, row) for number, row in wanted if number not in done and _names(row) == named]
            if asked:
                done.update(_wholes(asked, free, grouping, named, columns))
    return [done.get(number, Match("unmatched", 0, ())) for number in range(corrections.height)]


Row = dict[str, Any]


def _names(row: Row) -> tuple[str, ...]:
    return tuple(name for name in ("user", "product") if row[name] is not None)


def _singles(wanted: list[tuple[int, Row]], free: dict[int, Row]) -> Iterator[tuple[int, Match]]:
    """One difference of the same person and product, of the opposite amount."""
    places: dict[tuple[Any, ...], list[tuple[int, int]]] = defaultdict(list)
    for place, row in free.items():
        places[row["user"], row["product"], -row["tokens"]].append((_day(row), place))
    for found in places.values():
        found.sort()
    for number, row in wanted:
        found = places.get((row["user"], row["product"], row["tokens"]), [])
        if found:
            choices = len(found)
            _, place = found.pop(_nearest([day for day, _ in found], _day(row)))
            del free[place]
            yield number, Match("difference", choices, (place,))


def _wholes(
    asked: Iterable[tuple[int, Row]],
    free: dict[int, Row],
    grouping: str,
    named: tuple[str, ...],
    columns: tuple[str, ...],
) -> Iterator[tuple[int, Match]]:
    """All that is open of something, within what the correction names."""
    groups: dict[tuple[Any, ...], list[int]] = defaultdict(list)
    for place, row in free.items():
        groups[tuple(row[name] for name in (*named, *columns))].append(place)
    sums: dict[tuple[Any, ...], list[tuple[int, list[int]]]] = defaultdict(list)
    for key, members in groups.items():
        total = sum(free[place]["tokens"] for place in members)
        sums[(*key[: len(named)], -total)].append((max(_day(free[place]) for place in members), members))
    for found in sums.values():
        found.sort()
    for number, row in asked:
        found = sums.get((*(row[name] for name in named), row["tokens"]), [])
        if found:
            choices = len(found)
            _, members = found.pop(_nearest([day for day, _ in found], _day(row)))
            for place in members:
                del free[place]
            yield number, Match(grouping, choices, tuple(members))


def _day(row: Row) -> int:
    """Without a date after all others."""
    return _NEVER if row["day"] is None else row["day"]


def _nearest(days: list[int], day: int) -> int:
    """The last that is not later, or else the first, of days in order; of several of one day the first."""
    after = bisect_right(days, day)
    return days.index(days[after - 1]) if after else 0
