"""Projects and head counts laid on the cells of a forecast."""

from __future__ import annotations

from datetime import date, timedelta
from typing import TYPE_CHECKING

import numpy as np

from tokenflex.errors import ArgumentError
from tokenflex.planning.history import Cell
from tokenflex.planning.scenarios import HeadCount, Project

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tokenflex.metering.rates import Rates
    from tokenflex.planning.free_days import FreeDays


def with_new_cells(cells: list[Cell], changes: list[Project | HeadCount], by: str | None) -> list[Cell]:
    """The cells, and behind them those that only projects have."""
    found = dict.fromkeys(cells)
    for change in changes:
        if isinstance(change, Project):
            groups = list(change.staffing) if by == "product" else [change.site if by is not None else None]
            found |= dict.fromkeys(Cell(group, change.country) for group in groups)
    return list(found)


def applied(
    changes: list[Project | HeadCount],
    cells: list[Cell],
    *,
    start: date,
    horizon: int,
    rates: Rates | None,
    free: FreeDays,
    by: str | None,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """By what each cell is multiplied on each day, and what is added to it, cells by days."""
    factor, added = np.ones((len(cells), horizon)), np.zeros((len(cells), horizon))
    days = [start + timedelta(days=place) for place in range(horizon)]
    rows = {cell: row for row, cell in enumerate(cells)}
    for change in changes:
        if isinstance(change, HeadCount):
            concerned = [row for cell, row in rows.items() if change.group is None or cell.group == change.group]
            if not concerned or (change.group is not None and by is None):
                known = ", ".join(sorted({repr(cell.group) for cell in cells}))
                raise ArgumentError(
                    f"a head count is about {change.group!r}, and the forecast by {by!r} has {known}",
                    location="scenarios",
                )
            holds = [place for place, day in enumerate(days) if change.holds_on(day)]
            factor[np.ix_(concerned, holds)] *= float(change.factor)
        elif rates is not None:
            holidays = free.of(change.country)
            for place, day in enumerate(days):
                for product, tokens in change.tokens_on(day, rates, is_holiday=day in holidays).items():
                    group = product if by == "product" else change.site if by is not None else None
                    added[rows[Cell(group, change.country)], place] += float(tokens)
    return factor, added
