"""Scenarios from the past alone: whole weeks of it, drawn again and again. A forecast knows more."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from typing import TYPE_CHECKING, Final

import numpy as np
import polars as pl

from tokenflex.errors import ArgumentError

if TYPE_CHECKING:
    from numpy.typing import NDArray

WEEK: Final = 7
FEWEST_WEEKS: Final = 4
_DAYS_OF_YEAR: Final = 365.25
_ONE_DAY: Final = timedelta(days=1)


@dataclass(frozen=True)
class Weeks:
    """Whole weeks of the past, each from the same weekday on."""

    first: date
    tokens: NDArray[np.float64]
    """A row for each week."""

    @property
    def last(self) -> date:
        """The last day of the last week."""
        return self.first + (self.tokens.size - 1) * _ONE_DAY

    def paths(self, n: int, *, start: date, days: int, growth: float, seed: int) -> NDArray[np.float64]:
        """Scenarios of weeks that are drawn one by one, with replacement.

        A day that has been drawn grows (`growth` is 0.05 for 5 % a year) from its own date to its new one.
        """
        rng = np.random.default_rng(seed)
        drawn = rng.integers(0, len(self.tokens), (n, -(-days // WEEK)))
        since = np.arange(self.tokens.size).reshape(self.tokens.shape) + (self.first - start) // _ONE_DAY
        ages = np.arange(days) - since[drawn].reshape(n, -1)[:, :days]
        tokens = self.tokens[drawn].reshape(n, -1)[:, :days]
        return np.asarray(tokens * (1 + growth) ** (ages / _DAYS_OF_YEAR))


def weeks_of(charges: pl.DataFrame, *, zone: str, start: date) -> Weeks:
    """The whole weeks of charges, from the weekday of `start` on.

    The first and the last day with charges are left out, since a log may begin and end in mid-day. A day between them
    without charges counts as one without use.
    """
    known = charges.select("charged_at", "tokens").drop_nulls()
    day = pl.col("charged_at").dt.convert_time_zone(zone).dt.date()
    daily = known.group_by(day=day).agg(pl.col("tokens").cast(pl.Float64).sum()).sort("day")
    every: list[date] = []
    if not daily.is_empty():
        first, last = daily["day"][0] + _ONE_DAY, daily["day"][-1]
        first += (start.weekday() - first.weekday()) % WEEK * _ONE_DAY
        every = [first + place * _ONE_DAY for place in range(max((last - first) // _ONE_DAY, 0) // WEEK * WEEK)]
    if len(every) < FEWEST_WEEKS * WEEK:
        weekday = f"{start:%A}"
        raise ArgumentError(
            f"the charges hold {len(every) // WEEK} whole weeks from {weekday} on, between their first and last day: "
            f"at least {FEWEST_WEEKS} are needed to draw scenarios from, so about {(FEWEST_WEEKS + 1) * WEEK} days",
            location="charges",
        )
    filled = pl.DataFrame({"day": every}).join(daily, on="day", how="left", maintain_order="left")
    return Weeks(every[0], filled["tokens"].fill_null(0).to_numpy().reshape(-1, WEEK))
