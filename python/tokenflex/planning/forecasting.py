"""The work behind `forecast`: models fitted, tried on the past, chosen, and drawn from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import polars as pl

from tokenflex import tables
from tokenflex.planning import candidates
from tokenflex.planning.rolling import Rolling, bounds, draw, roll, simulate
from tokenflex.planning.weekday_model import WEEK, WeekdayModel, fit

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from tokenflex.planning.history import History

PATHS: Final = 1_000
"""Paths of which the intervals are read."""
PATHS_OF_PAST: Final = 400
JUDGED: Final = 12
"""Forecasts of the past whose intervals are held against what came."""
FEWEST_BEFORE: Final = 6
"""Errors that have to be known by then."""


@dataclass(frozen=True, eq=False)
class Engine:
    """Everything from which paths are drawn; arrays are cells by days to come.

    Attributes:
        mean: The models' forecast.
        factor: By what head counts multiply it.
        added: What projects add.
        groups: The group of each cell, as a place in `names`.
        names: The groups, those with most tokens first.
    """

    mean: NDArray[np.float64]
    part: NDArray[np.float64]
    is_holiday: NDArray[np.bool_]
    level: NDArray[np.float64]
    rolling: Rolling
    factor: NDArray[np.float64]
    added: NDArray[np.float64]
    groups: NDArray[np.int64]
    names: list[str | None]

    @property
    def forecast(self) -> NDArray[np.float64]:
        """With head counts and projects."""
        forecast: NDArray[np.float64] = self.mean * self.factor + self.added
        return forecast

    def by_group(self, count: int, seed: int) -> Iterator[NDArray[np.float64]]:
        """The paths of one group after the other, each paths by days. In all of them path i repeats the same weeks."""
        days = self.mean.shape[1]
        generator = np.random.default_rng(seed)
        draws = draw(self.rolling, days, count, generator)
        for place in range(len(self.names)):
            cells = np.nonzero(self.groups == place)[0]
            paths = np.zeros((count, days))
            chosen = simulate(
                self.mean[cells],
                self.rolling.of_cells(cells),
                draws,
                part=self.part[cells],
                is_holiday=self.is_holiday[cells],
                level=self.level[cells],
            )
            for cell, of_cell in zip(cells, chosen, strict=True):
                paths += of_cell * self.factor[cell] + self.added[cell]
            yield paths


@dataclass(frozen=True, eq=False)
class Fitted:
    """The chosen models of all cells, and how they did in the past."""

    rolling: Rolling
    mean: NDArray[np.float64]
    model: WeekdayModel
    chosen: list[str]
    """The model of each group."""
    backtest: pl.DataFrame


def fitted(
    history: History,
    is_holiday: NDArray[np.bool_],
    *,
    groups: NDArray[np.int64],
    names: list[str | None],
    level: float,
    tried: tuple[str, ...],
    seed: int,
) -> Fitted:
    """Fits the default model, tries the others on the past, and takes what was best for each group.

    Args:
        history: What was used.
        is_holiday: Of the history and of the days to come, cells by days.
        groups: The group of each cell.
        names: The groups.
        level: Of the intervals whose coverage is told.
        tried: The other models.
        seed: Of the draws.
    """
    tokens = history.tokens
    known, coming = is_holiday[:, : history.days], is_holiday[:, history.days :]
    model = fit(tokens, known)
    rolling = roll(tokens, known)
    mean = model.forecast(history.days, coming)
    came = rolling.forecast + rolling.error
    scored = {candidates.DEFAULT: rolling.forecast, candidates.NAIVE: candidates.naive(tokens, rolling)}
    chosen = [candidates.DEFAULT] * len(names)
    best, best_mean = rolling, mean
    whole = tokens.sum()
    others: dict[tuple[int, str], NDArray[np.float64]] = {}
    for place in range(len(names)):
        cells = [int(cell) for cell in np.nonzero(groups == place)[0]]
        if not tried or tokens[cells].sum() < candidates.LARGE * whole:
            continue
        error = _mae(came, rolling.forecast, cells)
        for name in tried:
            said = np.stack([candidates.rolled(name, tokens[c], known[c], rolling, c) for c in cells], axis=1)
            others[place, name] = said
            if _mean_error(came[:, cells], said) < error:
                error = _mean_error(came[:, cells], said)
                chosen[place] = name
        if chosen[place] != candidates.DEFAULT:
            best = best.with_forecast(cells, others[place, chosen[place]])
            best_mean = best_mean.copy()
            best_mean[cells] = [
                candidates.forecast_cell(chosen[place], tokens[c], is_holiday[c], model, c) for c in cells
            ]
    everything = list(range(len(tokens)))
    if _mae(came, best.forecast, everything) > _mae(came, rolling.forecast, everything):
        # Each part is better by itself, and their sum is not: the total comes first.
        best, best_mean, chosen = rolling, mean, [candidates.DEFAULT] * len(names)
    covered = _coverage(best, groups, len(names), level, seed)
    table = _table(came, scored, others, best=best, chosen=chosen, groups=groups, names=names, covered=covered)
    return Fitted(best, best_mean, model, chosen, table)


def _mae(came: NDArray[np.float64], forecast: NDArray[np.float64], cells: list[int]) -> float:
    return _mean_error(came[:, cells], forecast[:, cells])


def _mean_error(came: NDArray[np.float64], said: NDArray[np.float64]) -> float:
    """Mean absolute error of the sum of cells, tokens a day."""
    return float(np.abs(came.sum(axis=1) - said.sum(axis=1)).mean())


def _coverage(
    rolling: Rolling, groups: NDArray[np.int64], count: int, level: float, seed: int
) -> tuple[list[float | None], float | None]:
    """What part of the days of the past fell into the interval, by group and of the total.

    The interval of a day of the past is made of errors that were known by then. Days on which nothing was expected and
    nothing came say nothing.
    """
    inside, days = np.zeros(count + 1), np.zeros(count + 1)
    for judged, place in enumerate(range(len(rolling.origins) - 1, -1, -1)):
        before = np.nonzero(rolling.origins + rolling.leads <= rolling.origins[place])[0]
        if len(before) < FEWEST_BEFORE or judged == JUDGED:
            break
        known = rolling.of(before)
        generator = np.random.default_rng([seed, place])
        draws = draw(known, rolling.leads, PATHS_OF_PAST, generator)
        model = rolling.models[place]
        weekday = (rolling.origins[place] + np.arange(rolling.leads)) % WEEK
        paths = np.zeros((count + 1, PATHS_OF_PAST, rolling.leads))
        came = np.zeros((count + 1, rolling.leads))
        of_cells = simulate(
            rolling.forecast[place],
            known,
            draws,
            part=model.holiday[:, weekday],
            is_holiday=rolling.is_holiday[place],
            level=rolling.level[place],
        )
        for cell, of_cell in enumerate(of_cells):
            for part in (groups[cell], count):
                paths[part] += of_cell
                came[part] += rolling.forecast[place, cell] + rolling.error[place, cell]
        for part in range(count + 1):
            low, high = bounds(paths[part], level)
            told = (high > low) | (came[part] > high) | (came[part] < low)
            days[part] += told.sum()
            inside[part] += (told & (came[part] >= low) & (came[part] <= high)).sum()
    shares = [float(inside[part] / days[part]) if days[part] else None for part in range(count + 1)]
    return shares[:-1], shares[-1]


def _table(
    came: NDArray[np.float64],
    scored: dict[str, NDArray[np.float64]],
    others: dict[tuple[int, str], NDArray[np.float64]],
    *,
    best: Rolling,
    chosen: list[str],
    groups: NDArray[np.int64],
    names: list[str | None],
    covered: tuple[list[float | None], float | None],
) -> pl.DataFrame:
    """See `tables.FORECAST_BACKTEST`."""
    rows: list[dict[str, Any]] = []

    def add(group: str | None, model: str, said: NDArray[np.float64], cells: list[int], **more: Any) -> None:  # noqa: ANN401 - columns
        rows.append({"group": group, "model": model, "mae": _mean_error(came[:, cells], said), **more})

    everything = list(range(came.shape[1]))
    names_chosen = set(chosen)
    of_total = chosen[0] if len(names_chosen) == 1 else "mixed"
    total = {"is_total": True}
    for model, forecast in scored.items():
        is_it = model == of_total
        add(None, model, forecast, everything, **total, is_chosen=is_it, coverage=covered[1] if is_it else None)
    for (_, model), said in others.items() if len(names) == 1 else ():
        is_it = model == of_total
        add(None, model, said, everything, **total, is_chosen=is_it, coverage=covered[1] if is_it else None)
    if len(names) > 1 and of_total != candidates.DEFAULT:
        add(None, of_total, best.forecast, everything, **total, is_chosen=True, coverage=covered[1])
    for place, name in enumerate(names if len(names) > 1 or names[0] is not None else []):
        cells = [int(cell) for cell in np.nonzero(groups == place)[0]]
        every = {model: forecast[:, cells] for model, forecast in scored.items()}
        every |= {model: said for (of, model), said in others.items() if of == place}
        for model, said in every.items():
            is_it = model == chosen[place]
            part = covered[0][place] if is_it else None
            add(name, model, said, cells, is_total=False, is_chosen=is_it, coverage=part)
    table = pl.DataFrame(rows, infer_schema_length=None).with_columns(
        mae=pl.col("mae").round(4).cast(tables.TOKENS),
        origins=pl.lit(len(best.origins), pl.UInt32),
        days=pl.lit(len(best.origins) * best.leads, pl.UInt32),
    )
    return tables.finish(table.with_columns(pl.col("coverage").cast(pl.Float64)), tables.FORECAST_BACKTEST)


def days_table(engine: Engine, level: float, seed: int, days: pl.Series) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Mean, low and high of each day: of the total, and of each group."""
    total = np.zeros((PATHS, len(days)))
    forecast = engine.forecast
    scenario = forecast - engine.mean
    parts = []
    for place, paths in enumerate(engine.by_group(PATHS, seed)):
        total += paths
        cells = engine.groups == place
        low, high = bounds(paths, level)
        parts.append(_days(days, forecast[cells], scenario[cells], low=low, high=high, group=engine.names[place]))
    low, high = bounds(total, level)
    return _days(days, forecast, scenario, low=low, high=high, group=None).drop("group"), pl.concat(parts)


def _days(
    days: pl.Series,
    forecast: NDArray[np.float64],
    scenario: NDArray[np.float64],
    *,
    low: NDArray[np.float64],
    high: NDArray[np.float64],
    group: str | None,
) -> pl.DataFrame:
    columns = {
        "mean": forecast.sum(axis=0),
        "low": low,
        "high": high,
        "scenario": scenario.sum(axis=0),
    }
    frame = pl.DataFrame({"date": days} | {name: pl.Series(values) for name, values in columns.items()})
    exact = frame.with_columns(pl.col(list(columns)).round(4).cast(tables.TOKENS), group=pl.lit(group, pl.String))
    return exact.select("group", *frame.columns)
