"""How the level of use goes from week to week: a mean, what hangs together, what is of each week alone, and a line.

Nobody tells how long levels last, so many ways are fitted, and each counts as much as it would have foretold of the
weeks that came. All cells are fitted at once; arrays are ways by cells, or cells by weeks. SEMANTICS.md defines it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tokenflex.planning.week_paths import Draws

YEAR: Final = 52.0
"""Weeks."""
LASTING: Final = (0.0, 0.3, 0.5, 0.7, 0.8, 0.9, 0.95, 0.98, 0.999)
"""What part of a deviation the next week has."""
LIKELY: Final = (2.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 2.0, 4.0)
"""How likely each is beforehand, as against the others: firms are steady, or wander, or lie between."""
OWN: Final = (0.0, 1.0, 4.0, 16.0)
"""The variance of what is of each week alone, by that of what is new in each week and lasts."""
GROWTH: Final = 0.2
"""The standard deviation of the growth of firms that grow or shrink, as a part of the mean level a year."""
GROWING: Final = 0.25
"""What part of firms grow or shrink, as thought beforehand."""
WANDERS: Final = 0.98
"""A level that lasts this much or more from week to week wanders: in a year little of it has come back."""
MOST_SCALE: Final = 2.0
"""Levels vary in proportion to the level, up to so many times as much and as little as they did."""
LEAST_SQUARES: Final = 1e-20
"""Of a week; weeks that are all alike have it."""


def _ways() -> NDArray[np.float64]:
    """The lasting part, what part of the variance is of each week alone, and how likely that is beforehand."""
    ways = []
    for lasting, likely in zip(LASTING, LIKELY, strict=True):
        parts = [own * (1 - lasting**2) for own in OWN] if lasting > 0 else [0.0]
        ways += [(lasting, part / (1 + part), likely / len(parts)) for part in parts]
    return np.array(ways)


WAYS: Final = _ways()
BOTH: Final = np.tile(WAYS, (2, 1))
"""Those without a line, and those with one."""


@dataclass(frozen=True, eq=False)
class WeekLevels:
    """The levels of weeks, fitted in the ways of `BOTH`; arrays are ways by cells unless said otherwise.

    Attributes:
        weight: How much each way counts; adds up to 1 over the ways.
        mean: The mean level.
        slope: What the line adds a year.
        middle: Where the line crosses the mean, in years from the last week.
        state: By how much the next week's level deviates.
        unsure: The variance of that deviation, as a part of `variance`.
        variance: Of levels about mean and line.
        spread: The variance of mean and of slope, as parts of `variance`; 2 by ways by cells.
        loads: What part of an error of mean and of slope the next week's deviation takes away; likewise.
        degrees: Of freedom of the variance, by cell.
        level: What it is fitted to, cells by weeks.
        known: Which weeks have a level; the others do not count.
    """

    weight: NDArray[np.float64]
    mean: NDArray[np.float64]
    slope: NDArray[np.float64]
    middle: NDArray[np.float64]
    state: NDArray[np.float64]
    unsure: NDArray[np.float64]
    variance: NDArray[np.float64]
    spread: NDArray[np.float64]
    loads: NDArray[np.float64]
    degrees: NDArray[np.float64]
    level: NDArray[np.float64]
    known: NDArray[np.bool_]

    @property
    def wanders(self) -> NDArray[np.float64]:
        """How likely it is that levels wander, by cell."""
        wanders: NDArray[np.float64] = self.weight[BOTH[:, 0] >= WANDERS].sum(axis=0)
        return wanders

    def expected(self, weeks: int) -> NDArray[np.float64]:
        """The level of each week to come, cells by weeks, never below zero."""
        levels = np.empty((self.weight.shape[1], weeks))
        fade = np.ones((len(BOTH), 1))
        for week in range(weeks):
            level = self.mean + self.slope * (self._ahead(week) - self.middle) + fade * self.state
            levels[:, week] = (self.weight * level).sum(axis=0)
            fade = fade * BOTH[:, :1]
        return np.maximum(levels, 0)

    def spread_of(self, expected: NDArray[np.float64]) -> NDArray[np.float64]:
        """The standard deviation of the levels that `paths` draws about those expected, cells by weeks."""
        lasting, own = BOTH[:, :1], BOTH[:, 1:2]
        # The mean of what a variance may be, for as many degrees of freedom.
        variance = self.variance * self.degrees / np.maximum(self.degrees - 2, 1)
        spread = np.empty_like(expected)
        scale = self._scale(expected)
        drift, fade, unsure = np.zeros_like(self.mean), np.ones((len(BOTH), 1)), self.unsure
        for week in range(expected.shape[1]):
            ahead = self._ahead(week) - self.middle
            whole = unsure + own
            wrong = (
                self.spread[0] * (1 - fade * self.loads[0]) ** 2 + self.spread[1] * (ahead - fade * self.loads[1]) ** 2
            )
            off = self.mean + self.slope * ahead + fade * self.state - expected[:, week]
            squares = variance * (wrong + drift + whole) * scale[:, week] ** 2 + off**2
            spread[:, week] = np.sqrt((self.weight * squares).sum(axis=0))
            drift = lasting**2 * (drift + unsure**2 / whole)
            unsure = lasting**2 * unsure * own / whole + (1 - lasting**2) * (1 - own)
            fade = fade * lasting
        return spread

    def _scale(self, expected: NDArray[np.float64]) -> NDArray[np.float64]:
        """By what levels vary more than they did, cells by weeks: in proportion to the level."""
        scale: NDArray[np.float64] = np.clip(expected / self.usual[:, None], 1 / MOST_SCALE, MOST_SCALE)
        return scale

    def _ahead(self, week: int) -> float:
        """Years from the last week; a line goes on for as long as there is history."""
        seen: int = self.known.shape[1]
        return min(week + 1, seen) / YEAR

    @cached_property
    def usual(self) -> NDArray[np.float64]:
        """The mean of the known levels, by cell; 1 if that is 0."""
        mean = (self.level * self.known).sum(axis=1) / np.maximum(self.known.sum(axis=1), 1)
        usual: NDArray[np.float64] = np.where(mean > 0, mean, 1)
        return usual

    @cached_property
    def shocks(self) -> NDArray[np.float64]:
        """What the way that counts most did not foretell of each week, with mean 0 and variance 1, cells by weeks."""
        best = self.weight.argmax(axis=0)
        mean, slope, middle = (
            each[best, np.arange(len(best))][:, None] for each in (self.mean, self.slope, self.middle)
        )
        errors = np.stack(_filter(self.level, self.known, BOTH[best][None], keep=True).errors, axis=-1)[:, 0]
        shocks = errors[0] - (mean - slope * middle) * errors[1] - slope * errors[2]
        count = np.maximum(self.known.sum(axis=1), 1)[:, None]
        shocks = (shocks - shocks.sum(axis=1)[:, None] / count) * self.known
        size = np.sqrt((shocks**2).sum(axis=1)[:, None] / count)
        standard: NDArray[np.float64] = shocks / np.where(size > 0, size, 1)
        return standard

    def paths(self, cell: int, expected: NDArray[np.float64], draws: Draws) -> NDArray[np.float64]:
        """Levels of one cell that may come, paths by weeks.

        Args:
            cell: Which one; it has a known week.
            expected: What `expected` gives.
            draws: What all cells share.
        """
        way = np.searchsorted(np.cumsum(self.weight[:-1, cell]), draws.way)
        lasting, own = BOTH[way, 0], BOTH[way, 1]
        mean, slope, middle = (each[way, cell] for each in (self.mean, self.slope, self.middle))
        state, unsure = self.state[way, cell], self.unsure[way, cell]
        size = np.sqrt(self.variance[way, cell] * draws.stretch(float(self.degrees[cell])))
        shocks, loads = self.shocks[cell], self.loads[:, way, cell]
        of_mean, of_slope = (
            size * np.sqrt(self.spread[place, way, cell]) * draws.alike(place, shocks) for place in range(2)
        )
        repeated = shocks[draws.weeks_of(self.known[cell])]
        scale = self._scale(expected)[cell]
        drift, fade = np.zeros_like(size), np.ones_like(size)
        levels = np.empty(repeated.shape)
        for week in range(len(scale)):
            ahead = self._ahead(week) - middle
            whole = np.sqrt(unsure + own)
            shock = size * repeated[:, week]
            wrong = of_mean * (1 - fade * loads[0]) + of_slope * (ahead - fade * loads[1])
            levels[:, week] = mean + slope * ahead + fade * state + scale[week] * (wrong + drift + whole * shock)
            # The filter goes on as if it had seen the path's week.
            drift = lasting * (drift + unsure / whole * shock)
            unsure = lasting**2 * unsure * own / whole**2 + (1 - lasting**2) * (1 - own)
            fade = fade * lasting
        return levels


def fit_levels(level: NDArray[np.float64], known: NDArray[np.bool_]) -> WeekLevels:
    """Fits the levels of weeks, cells by weeks; those that are not known do not count."""
    filtered = _filter(level, known, WAYS[:, None])
    products, seen = filtered.products, filtered.state
    count = np.maximum(known.sum(axis=1), 2).astype(float)
    least = LEAST_SQUARES * count
    ones = np.where(products[1, 1] > 0, products[1, 1], 1)
    mean, middle = products[0, 1] / ones, products[1, 2] / ones
    rest = np.maximum(products[0, 0] - mean * products[0, 1], least)
    # The line turns about its middle, so it leaves the mean alone; it is drawn towards none.
    along = products[0, 2] - middle * products[0, 1]
    years = np.maximum(products[2, 2] - middle * products[1, 2], 0)
    free = np.maximum(rest - along**2 / np.where(years > 0, years, 1), least)
    prior = free / np.maximum(count - 2, 1) / GROWTH**2
    slope = along / (years + prior)
    with_line = np.maximum(rest - along * slope, least)
    weight = _weights(filtered.logs + np.log(ones), rest, with_line, years / prior, count)
    nothing = np.zeros_like(slope)
    loads = np.stack([seen[1], seen[2] - middle * seen[1]])
    state = seen[0] - mean * loads[0]

    def both(without: NDArray[np.float64], with_it: NDArray[np.float64] | None = None) -> NDArray[np.float64]:
        return np.concatenate([without, without if with_it is None else with_it], axis=-2)

    means, slopes, middles = both(mean), both(nothing, slope), both(middle)
    return WeekLevels(
        weight=weight,
        mean=means,
        slope=slopes,
        middle=middles,
        state=both(state, state - slope * loads[1]),
        unsure=both(np.broadcast_to(filtered.unsure, mean.shape)),
        variance=both(rest, with_line) / (count - 1),
        spread=np.stack([both(1 / ones), both(nothing, 1 / (years + prior))]),
        loads=both(loads),
        degrees=count - 1,
        level=level,
        known=known,
    )


def _weights(
    logs: NDArray[np.float64],
    rest: NDArray[np.float64],
    with_line: NDArray[np.float64],
    years: NDArray[np.float64],
    count: NDArray[np.float64],
) -> NDArray[np.float64]:
    """What each way would have foretold, mean and variance unknown, times what was thought of it beforehand."""
    without = np.log(WAYS[:, 2:]) - 0.5 * (logs + (count - 1) * np.log(rest))
    with_it = without - 0.5 * (np.log1p(years) + (count - 1) * np.log(with_line / rest))
    told = np.concatenate([without + np.log(1 - GROWING), with_it + np.log(GROWING)])
    weight = np.exp(told - told.max(axis=0))
    whole: NDArray[np.float64] = weight / weight.sum(axis=0)
    return whole


@dataclass(frozen=True, eq=False)
class _Filtered:
    """What a Kalman filter leaves of levels, ones and years, so that a regression of one on the others is plain.

    `products` are sums of products of what it did not foretell, standardised, 3 by 3 by ways by cells; `logs` those of
    the logarithms of its variances; `state` the deviations it foretells of the next week, 3 by ways by cells, and
    `unsure` their variance; `errors` what it did not foretell, 3 by ways by cells by weeks, if asked for.
    """

    products: NDArray[np.float64]
    logs: NDArray[np.float64]
    state: NDArray[np.float64]
    unsure: NDArray[np.float64]
    errors: list[NDArray[np.float64]]


def _filter(
    level: NDArray[np.float64], known: NDArray[np.bool_], ways: NDArray[np.float64], *, keep: bool = False
) -> _Filtered:
    """Ways are ways by cells by columns, or ways by 1 by columns where all cells have the same."""
    weeks = level.shape[1]
    years = (np.arange(weeks) - (weeks - 1)) / YEAR
    lasting, own = ways[..., 0], ways[..., 1]
    # Cells that know the same weeks have all in common but the levels.
    patterns, of_cell = np.unique(known, axis=0, return_inverse=True)
    if ways.shape[1] > 1:
        patterns, of_cell = known, np.arange(len(known))
    of_all = len(patterns) == 1
    state = np.zeros((len(ways), len(level)))
    regressors = np.zeros((2, len(ways), len(patterns)))
    unsure = np.broadcast_to(1 - own, regressors.shape[1:])
    logs, products, errors = np.zeros(unsure.shape), np.zeros((3, 3, *state.shape)), []
    for week in range(weeks):
        whole = unsure + own
        counts = patterns[:, week] / np.sqrt(whole)
        gain = unsure / np.sqrt(whole)
        logs = logs + np.log(whole) * patterns[:, week]
        given = (np.array([1.0, years[week]])[:, None, None] - regressors) * counts
        spread = [each if of_all else each[..., of_cell] for each in (counts, gain, *given)]
        error = [(level[:, week] - state) * spread[0], *spread[2:]]
        for one in range(3):
            for other in range(one, 3):
                products[one, other] += error[one] * error[other]
        if keep:
            errors.append(np.stack(np.broadcast_arrays(*error)))
        state = lasting * (state + spread[1] * error[0])
        regressors = lasting * (regressors + gain * given)
        left = np.where(patterns[:, week], unsure * own / whole, unsure)
        unsure = lasting**2 * left + (1 - lasting**2) * (1 - own)
    ends = [each if of_all else each[..., of_cell] for each in (logs, unsure, *regressors)]
    return _Filtered(products, ends[0], np.stack(np.broadcast_arrays(state, *ends[2:])), ends[1], errors)
