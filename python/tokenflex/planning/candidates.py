"""Other models than the default, of statsforecast where it is installed: each has to earn its place by the past."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from tokenflex.planning.extras import is_there, needed
from tokenflex.planning.weekday_model import WEEK

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tokenflex.planning.rolling import Rolling
    from tokenflex.planning.weekday_model import Weekdays

NAMES: Final = ("AutoETS", "MSTL")
DEFAULT: Final = "weekday"
NAIVE: Final = "seasonal_naive"
"""Last week again: what the others are held against, never chosen."""
WINDOW: Final = 104 * WEEK
LARGE: Final = 0.1
"""Groups with a smaller part of all tokens keep the default model."""


def available() -> tuple[str, ...]:
    """The models that can be tried."""
    return NAMES if is_there("statsforecast.models") else ()


def forecast_cell(
    name: str, tokens: NDArray[np.float64], is_holiday: NDArray[np.bool_], weekdays: Weekdays, cell: int
) -> NDArray[np.float64]:
    """What a model of statsforecast says of one cell.

    Holidays are taken out before and put in after as the default model has them: these models know none.

    Args:
        name: One of `NAMES`.
        tokens: The cell's history.
        is_holiday: Of the history and of the days to come, together.
        weekdays: What the default model knows of the days of the week from the same history.
        cell: The cell's row in it.
    """
    models: Any = needed("statsforecast.models", name)
    count = len(tokens)
    weekday = np.arange(len(is_holiday)) % WEEK
    ordinary = np.where(is_holiday[:count], weekdays.expected[cell, weekday[:count]], tokens)
    method = getattr(models, name)(season_length=WEEK)
    ahead = len(is_holiday) - count
    said = np.asarray(method.forecast(ordinary[-WINDOW:].astype(np.float64), h=ahead)["mean"], dtype=np.float64)
    part = np.where(is_holiday[count:], weekdays.holiday[cell, weekday[count:]], 1.0)
    forecast: NDArray[np.float64] = np.maximum(np.nan_to_num(said), 0) * part
    return forecast


def rolled(
    name: str, tokens: NDArray[np.float64], is_holiday: NDArray[np.bool_], rolling: Rolling, cell: int
) -> NDArray[np.float64]:
    """Its forecasts of the same cell at the same origins, origins by leads."""
    rows = [
        forecast_cell(name, tokens[:origin], is_holiday[: origin + rolling.leads], weekdays, cell)
        for origin, weekdays in zip(rolling.origins, rolling.weekdays, strict=True)
    ]
    return np.stack(rows)


def naive(tokens: NDArray[np.float64], rolling: Rolling) -> NDArray[np.float64]:
    """Last week again, origins by cells by leads."""
    lead = np.arange(rolling.leads) % WEEK
    return np.stack([tokens[:, origin - WEEK : origin][:, lead] for origin in rolling.origins])
