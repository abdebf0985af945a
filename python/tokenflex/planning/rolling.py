"""Forecasts made at many days of the past and held against what came: errors, and the paths that are drawn of them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import numpy as np

from tokenflex.errors import ArgumentError
from tokenflex.planning.weekday_model import WEEK, WeekdayModel, fit

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

FEWEST_WEEKS: Final = 13
"""Whole weeks below which nothing is forecast."""
FEWEST_TRAINED: Final = 4
FEWEST_ORIGINS: Final = 8
MOST_ORIGINS: Final = 60
MOST_WEEKS: Final = 26
"""Weeks ahead that are tested at most."""
MOST_SCALE: Final = 4.0
"""An error of a time when a cell had another level is scaled by at most this."""


@dataclass(frozen=True, eq=False)
class Rolling:
    """Forecasts of the past and their errors; leads are days ahead, from 0.

    Attributes:
        origins: How many days of the history each forecast knew.
        leads: How many days ahead each looked.
        forecast: Origins by cells by leads.
        error: What came, less the forecast; the same shape.
        is_holiday: The same shape.
        level: Each cell's mean day as each origin knew it, origins by cells.
        models: The default model as each origin fitted it.
    """

    origins: NDArray[np.int64]
    leads: int
    forecast: NDArray[np.float64]
    error: NDArray[np.float64]
    is_holiday: NDArray[np.bool_]
    level: NDArray[np.float64]
    models: list[WeekdayModel]
    total_error: NDArray[np.float64]
    """Of all cells together, as a part of the forecast, origins by leads; for cells that are new."""

    def with_forecast(self, cells: list[int], forecast: NDArray[np.float64]) -> Rolling:
        """With another model's forecast of some cells, origins by those cells by leads."""
        came = self.forecast + self.error
        whole = self.forecast.copy()
        whole[:, cells] = forecast
        error = came - whole
        return replace(self, forecast=whole, error=error, total_error=_of_total(whole, error))

    def of(self, places: NDArray[np.int64]) -> Rolling:
        """Those origins alone."""
        return replace(
            self,
            origins=self.origins[places],
            forecast=self.forecast[places],
            error=self.error[places],
            is_holiday=self.is_holiday[places],
            level=self.level[places],
            models=[self.models[place] for place in places],
            total_error=self.total_error[places],
        )

    def of_cells(self, cells: NDArray[np.int64]) -> Rolling:
        """Those cells alone; the error of the total stays that of all."""
        return replace(
            self,
            forecast=self.forecast[:, cells],
            error=self.error[:, cells],
            is_holiday=self.is_holiday[:, cells],
            level=self.level[:, cells],
        )


def weeks_tested(days: int) -> tuple[int, int]:
    """How many weeks the first origin knows, and how many weeks ahead each looks, for a history of so many days.

    As far ahead as there are twice as many origins as weeks ahead.
    """
    weeks = days // WEEK
    if weeks < FEWEST_WEEKS:
        raise ArgumentError(
            f"{days} days of history are too few for a forecast: {FEWEST_WEEKS * WEEK} would be enough, "
            "and a year shows holidays and trend as well",
            location="charges",
        )
    trained = max(FEWEST_TRAINED, weeks // 2)
    ahead = max(
        each
        for each in range(1, MOST_WEEKS + 1)
        if each == 1 or weeks - trained - each + 1 >= max(FEWEST_ORIGINS, 2 * each)
    )
    return trained, ahead


def roll(tokens: NDArray[np.float64], is_holiday: NDArray[np.bool_]) -> Rolling:
    """Forecasts of the default model from the end of each week of the past, cells by days."""
    days = tokens.shape[1]
    trained, ahead = weeks_tested(days)
    leads = ahead * WEEK
    last = days - leads
    first = last - ((last - trained * WEEK) // WEEK) * WEEK
    origins = np.arange(first, last + 1, WEEK)[-MOST_ORIGINS:]
    models = [fit(tokens[:, :origin], is_holiday[:, :origin]) for origin in origins]
    free = np.stack([is_holiday[:, origin : origin + leads] for origin in origins])
    forecast = np.stack([m.forecast(int(o), f) for m, o, f in zip(models, origins, free, strict=True)])
    came = np.stack([tokens[:, origin : origin + leads] for origin in origins])
    error = came - forecast
    level = np.stack([m.level for m in models])
    return Rolling(origins, leads, forecast, error, free, level, models, _of_total(forecast, error))


@dataclass(frozen=True, eq=False)
class Draws:
    """What all cells of a path share: the weeks whose errors it repeats, and the holidays."""

    picks: NDArray[np.int64]
    """Which origin, paths by blocks."""
    block: NDArray[np.int64]
    """Of each day."""
    lead: NDArray[np.int64]
    """Of each day."""
    sign: NDArray[np.float64]
    """1 or -1, paths by blocks."""
    stretch: NDArray[np.float64]
    """By what the level part of an error is stretched, paths by blocks."""
    holiday: NDArray[np.float64]
    """0 to 1, paths by days."""


def draw(rolling: Rolling, days: int, paths: int, generator: np.random.Generator) -> Draws:
    """Draws the origins whose errors each path repeats.

    The errors of one origin are repeated as they followed each other, for as many days as are tested. Behind them come
    the later half of those of another origin, and so on. Half of the paths have them with the other sign: forecasts
    that look at the same weeks err alike, and would give their error for the truth.
    """
    day = np.arange(days)
    origins, leads = len(rolling.origins), rolling.leads
    half = leads // WEEK // 2 * WEEK
    length = leads - half
    block = np.where(day < leads, 0, 1 + (day - leads) // length)
    lead = np.where(day < leads, day, half + (day - leads) % length)
    picks = generator.integers(0, origins, (paths, int(block[-1]) + 1))
    sign = generator.choice([-1.0, 1.0], picks.shape)
    seen = (origins - 1) * WEEK / leads + 2
    stretch = np.minimum(np.sqrt(seen / generator.chisquare(seen, picks.shape)), MOST_SCALE)
    return Draws(picks, block, lead, sign, stretch, generator.random((paths, days)))


def simulate(
    mean: NDArray[np.float64],
    rolling: Rolling,
    draws: Draws,
    *,
    part: NDArray[np.float64],
    is_holiday: NDArray[np.bool_],
    level: NDArray[np.float64],
) -> Iterator[NDArray[np.float64]]:
    """Paths of one cell after the other, each paths by days: the mean and errors of the past, never below zero.

    Args:
        mean: The forecast, cells by days.
        rolling: The errors of the past.
        draws: Which of them.
        part: What part of an ordinary day a holiday takes, cells by days.
        is_holiday: Cells by days.
        level: The mean day of each cell now.
    """
    ordinary = _ordinary(rolling.error, rolling.is_holiday)
    sign = draws.sign[:, draws.block]
    more = (draws.stretch - 1)[:, draws.block]
    for cell in range(len(mean)):
        known = np.nonzero(rolling.level[:, cell] > 0)[0]
        if len(known) == 0 or level[cell] <= 0:
            # It is new: it errs as the total did, by as much of its own mean.
            errors = rolling.total_error[draws.picks[:, draws.block], draws.lead] * mean[cell]
            yield np.maximum(mean[cell] + errors * sign, 0)
            continue
        scale = np.clip(level[cell] / rolling.level[known, cell], 1 / MOST_SCALE, MOST_SCALE)
        place = np.searchsorted(known, draws.picks)
        place = np.where(known[np.minimum(place, len(known) - 1)] == draws.picks, place, draws.picks % len(known))
        errors = (ordinary[known, cell] * scale[:, None])[place[:, draws.block], draws.lead]
        drift = _drift(ordinary[known, cell], rolling.forecast[known, cell], draws)
        errors += more * drift[place[:, draws.block], draws.block] * mean[cell]
        kept = _kept(mean[cell], (ordinary[known, cell] * scale[:, None])[:, draws.lead])
        free = np.nonzero(is_holiday[cell])[0]
        if len(free) > 0:
            seen = rolling.is_holiday[known, cell]
            pool = (rolling.error[known, cell] * scale[:, None])[seen]
            if len(pool) > 0:
                errors[:, free] = pool[(draws.holiday[:, free] * len(pool)).astype(np.int64)]
                kept[free] = _kept(mean[cell, free], pool[:, None])
            else:
                errors[:, free] *= part[cell, free]
                kept[free] = 1.0
        yield np.maximum(mean[cell] + errors * sign, 0) * kept


def _ordinary(error: NDArray[np.float64], is_holiday: NDArray[np.bool_]) -> NDArray[np.float64]:
    """The errors, with those of a holiday replaced by that of the same weekday in the nearest week without one."""
    origins, cells, leads = error.shape
    weeks = leads // WEEK
    source, free = error.reshape(origins, cells, weeks, WEEK), is_holiday.reshape(origins, cells, weeks, WEEK)
    filled, missing = np.where(free, 0.0, source), free.copy()
    for shift in range(1, weeks):
        for to, of in ((slice(shift, None), slice(None, -shift)), (slice(None, -shift), slice(shift, None))):
            take = missing[:, :, to] & ~free[:, :, of]
            filled[:, :, to] = np.where(take, source[:, :, of], filled[:, :, to])
            missing[:, :, to] &= ~take
    ordinary: NDArray[np.float64] = filled.reshape(origins, cells, leads)
    return ordinary


def _of_total(forecast: NDArray[np.float64], error: NDArray[np.float64]) -> NDArray[np.float64]:
    whole, came = forecast.sum(axis=1), error.sum(axis=1)
    relative: NDArray[np.float64] = np.where(whole > 0, came / np.where(whole > 0, whole, 1), 0.0)
    return np.clip(relative, -1, MOST_SCALE)


def _kept(mean: NDArray[np.float64], errors: NDArray[np.float64]) -> NDArray[np.float64]:
    """By what days are multiplied so that cutting them off at zero leaves their mean, errors by days."""
    cut = (np.maximum(mean + errors, 0) + np.maximum(mean - errors, 0)).mean(axis=0) / 2
    kept: NDArray[np.float64] = np.where(cut > 0, mean / np.where(cut > 0, cut, 1), 1.0)
    return kept


def _drift(error: NDArray[np.float64], forecast: NDArray[np.float64], draws: Draws) -> NDArray[np.float64]:
    """By what part of the forecast each origin erred over all days of a block, origins by blocks."""
    parts = []
    for block in range(int(draws.block[-1]) + 1):
        leads = np.unique(draws.lead[draws.block == block])
        whole, off = forecast[:, leads].sum(axis=1), error[:, leads].sum(axis=1)
        parts.append(np.where(whole > 0, off / np.where(whole > 0, whole, 1), 0.0))
    drift: NDArray[np.float64] = np.clip(np.stack(parts, axis=1), -1, MOST_SCALE)
    return drift


def bounds(paths: NDArray[np.float64], level: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Low and high of each day, paths by days."""
    low, high = np.quantile(paths, [(1 - level) / 2, (1 + level) / 2], axis=0)
    return low, high
