"""Forecasts made at the ends of many weeks of the past, and how far what came was from them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import numpy as np

from tokenflex.errors import ArgumentError
from tokenflex.planning.weekday_model import WEEK, Weekdays, fit

if TYPE_CHECKING:
    from numpy.typing import NDArray

FEWEST_WEEKS: Final = 13
"""Whole weeks below which nothing is forecast."""
FEWEST_TRAINED: Final = 4
FEWEST_ORIGINS: Final = 8
MOST_ORIGINS: Final = 60
MOST_WEEKS: Final = 26
"""Weeks ahead that are tested at most."""


@dataclass(frozen=True, eq=False)
class Rolling:
    """Forecasts of the past and their errors; leads are days ahead, from 0.

    Attributes:
        origins: How many days of the history each forecast knew.
        leads: How many days ahead each looked.
        forecast: Origins by cells by leads.
        error: What came, less the forecast; the same shape.
        weekdays: What each origin knew of the days of the week.
    """

    origins: NDArray[np.int64]
    leads: int
    forecast: NDArray[np.float64]
    error: NDArray[np.float64]
    weekdays: list[Weekdays]

    def with_forecast(self, cells: list[int], forecast: NDArray[np.float64]) -> Rolling:
        """With another model's forecast of some cells, origins by those cells by leads."""
        came = self.forecast + self.error
        whole = self.forecast.copy()
        whole[:, cells] = forecast
        return replace(self, forecast=whole, error=came - whole)


def weeks_tested(days: int) -> tuple[int, int]:
    """How many weeks the first origin knows, and how many weeks ahead each looks, for a history of so many days.

    As far ahead as there are as many origins as weeks ahead, and eight.
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
        if each == 1 or weeks - trained - each + 1 >= max(FEWEST_ORIGINS, each)
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
    weekdays, forecasts = [], []
    for origin in origins:
        model = fit(tokens[:, :origin], is_holiday[:, :origin])
        weekdays.append(model.weekdays)
        forecasts.append(model.forecast(int(origin), is_holiday[:, origin : origin + leads]))
    forecast = np.stack(forecasts)
    came = np.stack([tokens[:, origin : origin + leads] for origin in origins])
    return Rolling(origins, leads, forecast, came - forecast, weekdays)
