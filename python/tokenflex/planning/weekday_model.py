"""The default model of a forecast: what each day of the week takes on average, with level, trend and holidays.

All cells are fitted at once; arrays are cells by days. SEMANTICS.md defines each step.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from tokenflex.planning.week_levels import WeekLevels, fit_levels

if TYPE_CHECKING:
    from numpy.typing import NDArray

WEEK: Final = 7
WINDOW: Final = 52 * WEEK
"""Days that are fitted; what is older no longer counts."""
NEW: Final = 4 * WEEK
"""A cell counts from its first charge on, and at least so many days."""
LEAST_LEVEL: Final = 0.25
"""Days of a week with a lower level are scaled as if it had this one."""


@dataclass(frozen=True, eq=False)
class Weekdays:
    """Tokens of each day of the week (by `day % 7`) at level 1, and what part of it a holiday takes; cells by 7."""

    expected: NDArray[np.float64]
    holiday: NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class WeekdayModel:
    """The model, fitted to all cells.

    Attributes:
        weekdays: What each day of the week takes.
        levels: Of the weeks of the past, and what they say of those to come.
        tokens: What it is fitted to, cells by days.
        seen: The days on which a cell is there.
        is_holiday: Those of them that are holidays.
    """

    weekdays: Weekdays
    levels: WeekLevels
    tokens: NDArray[np.float64]
    seen: NDArray[np.bool_]
    is_holiday: NDArray[np.bool_]

    def forecast(self, start: int, is_holiday: NDArray[np.bool_]) -> NDArray[np.float64]:
        """Tokens of the days from `start` on, the first behind the history, cells by days."""
        day = np.arange(is_holiday.shape[1])
        weekday = (start + day) % WEEK
        level = self.levels.expected(-(-len(day) // WEEK))[:, day // WEEK]
        part = np.where(is_holiday, self.weekdays.holiday[:, weekday], 1.0)
        forecast: NDArray[np.float64] = self.weekdays.expected[:, weekday] * level * part
        return forecast

    @cached_property
    def shapes(self) -> NDArray[np.float64]:
        """The days of each week of the past at level 1, with the mean of each day of the week; cells by weeks by 7.

        Weeks begin on the day on which the days to come do. For a holiday there is the day of a week without one.
        """
        count = self.tokens.shape[1]
        used, counts = (_in_weeks(values) for values in (self.tokens, self.seen & ~self.is_holiday))
        mean = self.weekdays.expected[:, None, (count + np.arange(WEEK)) % WEEK]
        level = self.levels.level[..., None]
        rest = (used - level * mean) / np.maximum(level, LEAST_LEVEL)
        # Means are of so many days, and so are a little too near to them.
        many = np.maximum(counts.sum(axis=1, keepdims=True), 2)
        shapes = np.maximum(mean + _filled(rest, counts) * np.sqrt((many + 1) / (many - 1)), 0)
        known = counts.any(axis=2, keepdims=True)
        whole = (shapes * known).sum(axis=1, keepdims=True) / np.maximum(known.sum(axis=1, keepdims=True), 1)
        kept: NDArray[np.float64] = shapes * np.where(whole > 0, mean / np.where(whole > 0, whole, 1), 1)
        return kept

    @cached_property
    def holidays_seen(self) -> list[NDArray[np.float64]]:
        """What holidays took by what was expected, and the one more of `_holiday_part`, with mean 1; by cell."""
        cells, count = self.tokens.shape
        weekday = np.arange(count) % WEEK
        level = np.repeat(self.levels.level, WEEK, axis=1)
        level = np.concatenate([np.ones((cells, count - level.shape[1])), level], axis=1)
        expected = self.weekdays.expected[:, weekday] * self.weekdays.holiday[:, weekday] * level
        quiet = _quiet(self.weekdays.expected) / np.where(self.weekdays.holiday > 0, self.weekdays.holiday, 1)
        found = []
        for cell, counts in enumerate(self.is_holiday & (expected > 0)):
            took = np.append(self.tokens[cell, counts] / expected[cell, counts], quiet[cell].mean())
            found.append(took / took.mean() if took.mean() > 0 else np.ones(1))
        return found


def fit(tokens: NDArray[np.float64], is_holiday: NDArray[np.bool_]) -> WeekdayModel:
    """Fits the model to a history of whole weeks or more, cells by days."""
    count = tokens.shape[1]
    weekday = np.arange(count) % WEEK
    seen = _seen(tokens)
    work, free = ~is_holiday & seen, is_holiday & seen
    recent = slice(max(0, count - WINDOW), count)
    mean = _weekday_means(tokens[:, recent], work[:, recent], weekday[recent])
    used, ordinary = (_in_weeks(values * work).sum(axis=2) for values in (tokens, mean[:, weekday]))
    known = ordinary > 0
    level = np.where(known, used / np.where(known, ordinary, 1), 1.0)
    part = _holiday_part(tokens, mean, weekday, free)
    return WeekdayModel(Weekdays(mean, part), fit_levels(level, known), tokens, seen, free)


def _in_weeks(values: NDArray[Any]) -> NDArray[Any]:
    """Whole weeks, counted from the end, cells by weeks by 7."""
    cells, count = values.shape
    return values[:, count % WEEK :].reshape(cells, count // WEEK, WEEK)


def _filled(rest: NDArray[np.float64], counts: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Rests; days that do not count have that of the same weekday in the nearest week in which it does, if any."""
    filled, missing = np.where(counts, rest, 0.0), ~counts
    for shift in range(1, rest.shape[1]):
        for to, of in ((slice(shift, None), slice(None, -shift)), (slice(None, -shift), slice(shift, None))):
            take = missing[:, to] & counts[:, of]
            filled[:, to] = np.where(take, rest[:, of], filled[:, to])
            missing[:, to] &= ~take
        if not missing.any():
            break
    return filled


def _seen(tokens: NDArray[np.float64]) -> NDArray[np.bool_]:
    """The days on which a cell is there: from its first charge on."""
    count = tokens.shape[1]
    used = tokens != 0
    first = np.where(used.any(axis=1), used.argmax(axis=1), count)
    first = np.minimum(first, max(0, count - NEW))
    seen: NDArray[np.bool_] = np.arange(count) >= first[:, None]
    return seen


def _weekday_means(
    tokens: NDArray[np.float64], work: NDArray[np.bool_], weekday: NDArray[np.int64]
) -> NDArray[np.float64]:
    """The mean of each day of the week over days that are no holidays; where all were, over all days."""
    of_day = (weekday[:, None] == np.arange(WEEK)).astype(float)
    count = work.astype(float) @ of_day
    every = of_day.sum(axis=0)
    mean: NDArray[np.float64] = np.where(
        count > 0, (tokens * work) @ of_day / np.maximum(count, 1), tokens @ of_day / np.maximum(every, 1)
    )
    return mean


def _holiday_part(
    tokens: NDArray[np.float64],
    mean: NDArray[np.float64],
    weekday: NDArray[np.int64],
    is_holiday: NDArray[np.bool_],
) -> NDArray[np.float64]:
    """What part of an ordinary day a holiday takes: as the holidays seen did, with one more like the quietest day."""
    used = (tokens * is_holiday).sum(axis=1)
    expected = (mean[:, weekday] * is_holiday).sum(axis=1)
    count = np.where(expected > 0, is_holiday.sum(axis=1), 0)
    seen = used / np.where(expected > 0, expected, 1)
    part: NDArray[np.float64] = ((count * seen)[:, None] + _quiet(mean)) / (count + 1)[:, None]
    return part


def _quiet(mean: NDArray[np.float64]) -> NDArray[np.float64]:
    """What part of each day of the week the quietest one takes, cells by 7."""
    quiet = mean.min(axis=1)[:, None] / np.where(mean > 0, mean, 1)
    part: NDArray[np.float64] = np.where(mean > 0, np.clip(quiet, 0, 1), 1.0)
    return part
