"""Paths of days: each week of a path is a week of the past, brought to the level that the path has then."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from tokenflex.planning.weekday_model import WEEK, WeekdayModel

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

LOGISTIC: Final = 1.702
"""The logistic curve that is this much steeper is nearly that of the normal distribution."""
LEAST_CUBE: Final = 0.2
NARROWEST: Final = 1e-9
"""Of a spread, as a part of the mean: so nothing overflows."""


@dataclass(frozen=True, eq=False)
class Draws:
    """What all cells of a path share, so that they err together as they did.

    Attributes:
        week: Which week of the past each week is, paths by weeks.
        way: 0 to 1, how lasting levels are in each path.
        size: Standard normal, by how much they vary.
        past: Standard normal, 2 by paths by weeks of the past: how chance in these misleads about mean and slope.
        holiday: 0 to 1, paths by days.
    """

    week: NDArray[np.int64]
    way: NDArray[np.float64]
    size: NDArray[np.float64]
    past: NDArray[np.float64]
    holiday: NDArray[np.float64]

    def stretch(self, degrees: float) -> NDArray[np.float64]:
        """By what a variance estimated with so many degrees of freedom may really be larger, by path."""
        part = 2 / (9 * degrees)
        # Wilson and Hilferty: the cube root of a chi-squared variable is nearly normal.
        stretch: NDArray[np.float64] = np.maximum(1 - part + np.sqrt(part) * self.size, LEAST_CUBE) ** -3
        return stretch

    def weeks_of(self, known: NDArray[np.bool_]) -> NDArray[np.int64]:
        """The weeks that a cell repeats, paths by weeks: those of all, or another one where it does not know that."""
        places = np.nonzero(known)[0]
        weeks: NDArray[np.int64] = np.where(known[self.week], self.week, places[self.week % len(places)])
        return weeks

    def alike(self, place: int, shocks: NDArray[np.float64]) -> NDArray[np.float64]:
        """Standard normal, by path; those of two cells are as alike as the cells' shocks were."""
        size = np.sqrt((shocks**2).sum())
        alike: NDArray[np.float64] = self.past[place] @ shocks / (size if size > 0 else 1)
        return alike


def draw(model: WeekdayModel, days: int, paths: int, generator: np.random.Generator) -> Draws:
    """Draws for so many days to come."""
    weeks = model.levels.known.shape[1]
    return Draws(
        generator.integers(0, weeks, (paths, -(-days // WEEK))),
        generator.random(paths),
        generator.normal(size=paths),
        generator.normal(size=(2, paths, weeks)),
        generator.random((paths, days)),
    )


def simulate(
    model: WeekdayModel, start: int, is_holiday: NDArray[np.bool_], draws: Draws, cells: NDArray[np.int64]
) -> Iterator[NDArray[np.float64]]:
    """Paths of one cell after the other, as parts of what the model expects, paths by days; none is below zero.

    Args:
        model: Fitted to the past.
        start: The place of the first day to come, counted from that of the history.
        is_holiday: Of the days to come, cells by days.
        draws: What all cells share.
        cells: Which ones.
    """
    day = np.arange(is_holiday.shape[1])
    weekday = (start + day) % WEEK
    expected = model.levels.expected(draws.week.shape[1])
    spread = model.levels.spread_of(expected)
    for cell in cells:
        known = model.levels.known[cell]
        if not known.any():
            yield np.ones((len(draws.week), len(day)))
            continue
        levels = _of_mean(model.levels.paths(cell, expected, draws), expected[cell], spread[cell])
        mean = model.weekdays.expected[cell, weekday]
        shapes = np.where(mean > 0, model.shapes[cell][:, day % WEEK] / np.where(mean > 0, mean, 1), 1)
        paths = shapes[draws.weeks_of(known)[:, day // WEEK], day]
        free = np.nonzero(is_holiday[cell])[0]
        seen = model.holidays_seen[cell]
        paths[:, free] = seen[(draws.holiday[:, free] * len(seen)).astype(np.int64)]
        yield paths * levels[:, day // WEEK]


def _of_mean(
    levels: NDArray[np.float64], mean: NDArray[np.float64], spread: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Levels as parts of their mean: cut off at zero, and then less of them, so that the mean stays."""
    width = np.maximum(spread, NARROWEST * mean) / LOGISTIC
    above = width * np.logaddexp(0, mean / np.where(width > 0, width, 1))
    part: NDArray[np.float64] = np.where(mean > 0, np.maximum(levels, 0) / np.where(mean > 0, above, 1), 0.0)
    return part


def bounds(paths: NDArray[np.float64], level: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Low and high of each day, paths by days."""
    low, high = np.quantile(paths, [(1 - level) / 2, (1 + level) / 2], axis=0)
    return low, high
