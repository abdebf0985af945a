"""The default model of a forecast: what each day of the week takes on average, with level, trend and holidays.

All cells are fitted at once; arrays are cells by days. SEMANTICS.md defines each step.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

WEEK: Final = 7
WINDOW: Final = 52 * WEEK
"""Days that are fitted; what is older no longer counts."""
NEW: Final = 4 * WEEK
"""A cell counts from its first charge on, and at least so many days."""
RECENT: Final = 4
"""Weeks whose level is the present one."""
FEWEST_FOR_TREND: Final = 39
"""Weeks below which a trend cannot be told from the rest."""
CLEAR: Final = 4.0
"""The square of the t value up to which a trend is none."""
PRIOR: Final = 0.5
"""How much of a deviation of the last weeks is thought to last where nothing is known of it."""
PRIOR_BLOCKS: Final = 2.0
"""As many blocks of weeks the prior weighs."""
MEMORIES: Final = (0.2, 0.5, 0.9)
"""What part of the level of the last weeks the last one is."""
LEAST_LINE: Final = 0.1
MOST_RHO: Final = 0.95


@dataclass(frozen=True, eq=False)
class WeekdayModel:
    """The model, fitted to all cells.

    Attributes:
        expected: Tokens of each day of the week (by `day % 7`) at the present level, cells by 7.
        holiday: What part of it a holiday takes, cells by 7.
        slope: What the trend adds each day, as a part of the present level, by cell.
        days: For how many days the trend was seen; it goes on for as many.
    """

    expected: NDArray[np.float64]
    holiday: NDArray[np.float64]
    slope: NDArray[np.float64]
    days: int

    def forecast(self, start: int, is_holiday: NDArray[np.bool_]) -> NDArray[np.float64]:
        """Tokens of the days from `start` on, the first behind the history, cells by days."""
        count = is_holiday.shape[1]
        weekday = (start + np.arange(count)) % WEEK
        ahead = np.minimum(np.arange(1, count + 1), self.days)
        line = np.maximum(1 + self.slope[:, None] * ahead, 0)
        part = np.where(is_holiday, self.holiday[:, weekday], 1.0)
        forecast: NDArray[np.float64] = self.expected[:, weekday] * line * part
        return forecast

    @property
    def level(self) -> NDArray[np.float64]:
        """The mean day of a week without holidays, by cell."""
        level: NDArray[np.float64] = self.expected.mean(axis=1)
        return level


def fit(tokens: NDArray[np.float64], is_holiday: NDArray[np.bool_]) -> WeekdayModel:
    """Fits the model to a history of whole weeks or more, cells by days."""
    whole = tokens.shape[1]
    since = max(0, whole - WINDOW)
    tokens, is_holiday = tokens[:, since:], is_holiday[:, since:]
    count = whole - since
    weekday = (since + np.arange(count)) % WEEK
    work = ~is_holiday & _seen(tokens)
    mean = _weekday_means(tokens, work, weekday)
    slope, line = _trend(_weekly(tokens, mean[:, weekday], work))
    flat = tokens / line
    mean = _weekday_means(flat, work, weekday)
    level = _present_level(_weekly(flat, mean[:, weekday], work))
    part = _holiday_part(flat, mean, weekday, is_holiday & _seen(tokens))
    return WeekdayModel(mean * level[:, None], part, slope, count)


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


@dataclass(frozen=True, eq=False)
class _Weeks:
    """The last whole weeks: what was used and what was expected on days that are no holidays, cells by weeks."""

    used: NDArray[np.float64]
    expected: NDArray[np.float64]
    days: int
    """Of the whole history, so that weeks have their place in it."""

    @property
    def known(self) -> NDArray[np.bool_]:
        """The weeks that have a level."""
        known: NDArray[np.bool_] = self.expected > 0
        return known

    @property
    def level(self) -> NDArray[np.float64]:
        """Used by expected; 1 where nothing was expected."""
        level: NDArray[np.float64] = np.where(self.known, self.used / np.where(self.known, self.expected, 1), 1.0)
        return level


def _weekly(tokens: NDArray[np.float64], expected: NDArray[np.float64], work: NDArray[np.bool_]) -> _Weeks:
    cells, days = tokens.shape
    weeks = days // WEEK

    def summed(values: NDArray[np.float64]) -> NDArray[np.float64]:
        sums: NDArray[np.float64] = (values * work)[:, days - weeks * WEEK :].reshape(cells, weeks, WEEK).sum(axis=2)
        return sums

    return _Weeks(summed(tokens), summed(expected), days)


def _trend(weeks: _Weeks) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The daily slope, in parts of the last day's level, and the line itself, 1 on the last day.

    A line through the levels of the weeks. Its slope is drawn towards none by the factor 1 - 4/t², and is none where
    |t| is below 2; t knows how much neighbouring weeks have in common.
    """
    count = weeks.level.shape[1]
    if count < FEWEST_FOR_TREND:
        return np.zeros(len(weeks.level)), np.ones((len(weeks.level), weeks.days))
    known = weeks.known.astype(float)
    many = np.maximum(known.sum(axis=1), 1)
    place = np.arange(count) - (known * np.arange(count)).sum(axis=1)[:, None] / many[:, None]
    level = weeks.level - ((known * weeks.level).sum(axis=1) / many)[:, None]
    spread = np.maximum((known * place**2).sum(axis=1), 1)
    slope = (known * place * level).sum(axis=1) / spread
    rest = (level - slope[:, None] * place) * known
    squares = (rest**2).sum(axis=1)
    rho = np.clip((rest[:, 1:] * rest[:, :-1]).sum(axis=1) / np.where(squares > 0, squares, 1), 0, MOST_RHO)
    error = squares / np.maximum(many - 2, 1) / spread * (1 + rho) / (1 - rho)
    clear = np.where(slope**2 > 0, CLEAR * error / np.where(slope**2 > 0, slope**2, 1), 1.0)
    slope = slope * np.maximum(0, 1 - clear) * (many >= FEWEST_FOR_TREND)
    mean = (known * weeks.level).sum(axis=1) / many
    # Days from the last one, which lies three days behind the middle of the last week.
    behind = np.arange(weeks.days) - (weeks.days - 1)
    end = mean + slope * (place[:, -1] + 3 / WEEK)
    end = np.maximum(end, LEAST_LINE)
    daily = slope / WEEK / end
    line = np.maximum(1 + daily[:, None] * behind, LEAST_LINE)
    return daily, line


def _present_level(weeks: _Weeks) -> NDArray[np.float64]:
    """The level of the last weeks, as far as such levels used to last.

    The last weeks are an exponentially weighted mean of the levels of weeks. How fast it forgets, and what part of it
    lasts, is what would have told most about the four weeks behind each week of the past; the part has a prior of one
    half that weighs two blocks of four weeks, and is put right for the history being short.
    """
    cells, count = weeks.level.shape
    blocks = count // RECENT
    if blocks < 2:  # noqa: PLR2004 - one before and one after
        return np.ones(cells)
    deviation = weeks.level - 1
    used, expected = (_blocks(values) for values in (weeks.used, weeks.expected))
    later = np.where(expected > 0, used / np.where(expected > 0, expected, 1) - 1, 0.0)[:, 1:]
    typical = (deviation**2).mean(axis=1)
    best, lowest = np.ones(cells), np.full(cells, np.inf)
    for memory in MEMORIES:
        recent = _smoothed(deviation, memory)
        earlier = recent[:, : later.shape[1]]
        together = (earlier * later).sum(axis=1) / RECENT + PRIOR_BLOCKS * PRIOR * typical
        alone = (earlier**2).sum(axis=1) / RECENT + PRIOR_BLOCKS * typical
        lasting = together / np.where(alone > 0, alone, 1)
        lasting = np.clip(lasting + (1 + 3 * lasting) / blocks, 0, 1)
        error = ((later - lasting[:, None] * earlier) ** 2).sum(axis=1)
        better = error < lowest
        best = np.where(better, 1 + lasting * recent[:, -1], best)
        lowest = np.where(better, error, lowest)
    level: NDArray[np.float64] = np.maximum(best, 0)
    return level


def _smoothed(deviation: NDArray[np.float64], memory: float) -> NDArray[np.float64]:
    """The exponentially weighted mean up to each week, which begins at none."""
    smoothed = np.zeros_like(deviation)
    last = np.zeros(len(deviation))
    for week in range(deviation.shape[1]):
        last = last + memory * (deviation[:, week] - last)
        smoothed[:, week] = last
    return smoothed


def _blocks(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Sums over each four weeks in a row."""
    summed: NDArray[np.float64] = np.lib.stride_tricks.sliding_window_view(values, RECENT, axis=1).sum(axis=2)
    return summed


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
    quiet = mean.min(axis=1)[:, None] / np.where(mean > 0, mean, 1)
    quiet = np.where(mean > 0, np.clip(quiet, 0, 1), 1.0)
    part: NDArray[np.float64] = (count * seen)[:, None] / (count + 1)[:, None] + quiet / (count + 1)[:, None]
    return part
