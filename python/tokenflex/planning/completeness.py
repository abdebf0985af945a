"""Is the end of a history whole? A month that collapses is missing data until something shows otherwise."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from typing import TYPE_CHECKING, Final

import numpy as np
import polars as pl

from tokenflex.errors import ColumnTypeError, MissingColumnError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tokenflex.planning.history import History

LONGEST: Final = 63
"""Days: what lasts longer has become the rule."""
PART: Final = 0.5
"""Collapsed is what is less than this part of the least that there was before."""
FEWEST_CHARGES: Final = 20
"""Charges that have to be expected; fewer can fail to come by chance."""
SMALL: Final = 0.05
"""Servers with less than this part of all tokens are not looked at by themselves."""
WINDOW: Final = 52 * 7
LIKE: Final = 0.5
"""Days in a row are like those at the end if at least this part of what was expected there is expected of them."""
STRETCHES: Final = 3
"""The history has to be so many times as long as what is tested."""


@dataclass(frozen=True)
class Collapse:
    """The end of a history that has too little.

    Attributes:
        server: Whose; None is all of them together.
        first: Its first day.
        last: The last day of the history.
        share: What part of the expected tokens it has.
        least: The least part that as many days in a row had before.
    """

    server: str | None
    first: date
    last: date
    share: float
    least: float

    def __str__(self) -> str:
        whose = "" if self.server is None else f" of {self.server}"
        return (
            f"{self.first} to {self.last} have {self.share:.0%} of the tokens{whose} that such days have; "
            f"as many days in a row never had less than {self.least:.0%} before"
        )


def collapses(history: History, is_holiday: NDArray[np.bool_], coverage: pl.DataFrame | None) -> list[Collapse]:
    """The collapses of the total and of each server that matters, save what `coverage` shows to be whole.

    Args:
        history: The tokens of each day.
        is_holiday: Servers by days.
        coverage: As `read_flexlm` gives it, or None.
    """
    series: list[tuple[str | None, NDArray[np.float64], NDArray[np.bool_]]] = [
        (None, history.by_server, is_holiday),
    ]
    whole = history.by_server.sum()
    if len(history.servers) > 1:
        series += [
            (name, history.by_server[[row]], is_holiday[[row]])
            for row, (name, _) in enumerate(history.servers)
            if name is not None and history.by_server[row].sum() >= SMALL * whole
        ]
    tokens_a_charge = whole / history.charges
    found = []
    for name, tokens, free in series:
        found_here = collapse(tokens, free, tokens_a_charge)
        if found_here is None:
            continue
        days, share, least = found_here
        first = history.last - timedelta(days=days - 1)
        names: list[str | None] = [server for server, _ in history.servers] if name is None else [name]
        if not _is_covered(names, first, history.last, coverage):
            found.append(Collapse(name, first, history.last, share, least))
    return found


def collapse(
    tokens: NDArray[np.float64], is_holiday: NDArray[np.bool_], tokens_a_charge: float
) -> tuple[int, float, float] | None:
    """Days, share and least share before, of the stretch at the end that stands out most; None if none collapsed."""
    count = tokens.shape[1]
    found: list[tuple[float, int, float, float]] = []
    for days in range(1, min(LONGEST, count // STRETCHES) + 1):
        expected = _expected(tokens[:, : count - days], is_holiday).sum(axis=0)
        used = tokens.sum(axis=0)
        at_end = expected[count - days :].sum()
        if at_end < FEWEST_CHARGES * tokens_a_charge or at_end <= 0:
            continue
        share = used[count - days :].sum() / at_end
        before = slice(_first_used(used), count - days)
        least = _least(used[before], expected[before], days, LIKE * at_end)
        if least is not None and share < PART * least:
            # Days of nothing change nothing: the shortest of such stretches is told, whatever the rounding.
            found.append((round(share / least, 9), days, share, least))
    if not found:
        return None
    _, days, share, least = min(found)
    return days, float(share), float(least)


def _first_used(used: NDArray[np.float64]) -> int:
    return int((used != 0).argmax())


def _expected(before: NDArray[np.float64], is_holiday: NDArray[np.bool_]) -> NDArray[np.float64]:
    """What each day of the whole history has by the means of the days before the stretch, series by days."""
    count = is_holiday.shape[1]
    since = max(0, before.shape[1] - WINDOW)
    weekday = np.arange(count) % 7
    of_day = (weekday[:, None] == np.arange(7)).astype(float)
    known, free = before[:, since:], is_holiday[:, since : before.shape[1]]
    rows = of_day[since : before.shape[1]]
    days = (~free).astype(float) @ rows
    mean = (known * ~free) @ rows / np.maximum(days, 1)
    ordinary = (mean @ rows.T * free).sum(axis=1)
    seen = np.where(ordinary > 0, (known * free).sum(axis=1) / np.where(ordinary > 0, ordinary, 1), 0)
    part = np.where(is_holiday, seen[:, None], 1.0)
    expected: NDArray[np.float64] = mean[:, weekday] * part
    return expected


def _least(used: NDArray[np.float64], expected: NDArray[np.float64], days: int, enough: float) -> float | None:
    """The least share that as many days in a row had, of those of which enough was expected to be like the end."""
    if len(used) < days:
        return None
    sums = [np.lib.stride_tricks.sliding_window_view(values, days).sum(axis=1) for values in (used, expected)]
    counts = sums[1] >= enough
    return float((sums[0][counts] / sums[1][counts]).min()) if counts.any() else None


def _is_covered(servers: list[str | None], first: date, last: date, coverage: pl.DataFrame | None) -> bool:
    """Whether logs of all the servers reach to the end, with lines on each day."""
    if coverage is None:
        return False
    for name in ("server", "last", "days_without_lines"):
        if name not in coverage.columns:
            raise MissingColumnError(f"the coverage lacks the column {name!r}", column=name)
    if not isinstance(coverage.schema["last"], pl.Datetime):
        raise ColumnTypeError("column 'last' of the coverage has to be instants", column="last")
    if not isinstance(coverage.schema["days_without_lines"], pl.List):
        raise ColumnTypeError(
            "column 'days_without_lines' of the coverage has to be lists", column="days_without_lines"
        )
    rows = {str(row["server"]): row for row in coverage.iter_rows(named=True)}
    wanted = [name for name in servers if name is not None] or list(rows)
    if not wanted or not set(wanted) <= set(rows):
        return False
    return all(
        rows[name]["last"] is not None
        and rows[name]["last"].date() >= last
        and not any(first <= day <= last for day in rows[name]["days_without_lines"] or [])
        for name in wanted
    )
