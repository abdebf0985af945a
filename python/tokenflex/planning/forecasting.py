"""The work behind `forecast`: models fitted, tried on the past, chosen, and drawn from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import polars as pl

from tokenflex import tables
from tokenflex.planning import candidates
from tokenflex.planning.rolling import Rolling, roll
from tokenflex.planning.week_paths import bounds, draw, simulate
from tokenflex.planning.weekday_model import WEEK, WeekdayModel, fit

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from tokenflex.planning.history import History

PATHS: Final = 1_000
"""Paths of which the intervals are read."""
PATHS_OF_PAST: Final = 400
JUDGED: Final = 16
"""Forecasts of the past whose intervals are held against what came, evenly spread."""
SUM_DAYS: Final = 13 * WEEK
"""Days whose sums are held against their intervals, too."""


@dataclass(frozen=True, eq=False)
class Engine:
    """Everything from which paths are drawn; arrays are cells by days to come.

    Attributes:
        model: The default model, whose paths they are.
        start: The place of the first day, counted from that of the history.
        mean: What the chosen models forecast.
        narrow: How large the errors of the chosen models were by those of the default, at most 1; by cell.
        is_holiday: Which days are holidays.
        factor: By what head counts multiply it.
        added: What projects add.
        groups: The group of each cell, as a place in `names`.
        names: The groups, those with most tokens first.
    """

    model: WeekdayModel
    start: int
    mean: NDArray[np.float64]
    narrow: NDArray[np.float64]
    is_holiday: NDArray[np.bool_]
    factor: NDArray[np.float64]
    added: NDArray[np.float64]
    groups: NDArray[np.int64]
    names: list[str | None]

    @property
    def forecast(self) -> NDArray[np.float64]:
        """With head counts and projects."""
        forecast: NDArray[np.float64] = self.mean * self.factor + self.added
        return forecast

    def by_group(self, count: int, seed: int | list[int]) -> Iterator[NDArray[np.float64]]:
        """The paths of one group after the other, each paths by days. In all of them path i repeats the same weeks."""
        days = self.mean.shape[1]
        draws = draw(self.model, days, count, np.random.default_rng(seed))
        for place in range(len(self.names)):
            cells = np.nonzero(self.groups == place)[0]
            paths = np.zeros((count, days))
            parts = simulate(self.model, self.start, self.is_holiday, draws, cells)
            for cell, part in zip(cells, parts, strict=True):
                of_cell = self.mean[cell] * (1 + self.narrow[cell] * (part - 1))
                paths += of_cell * self.factor[cell] + self.added[cell]
            yield paths


@dataclass(frozen=True, eq=False)
class Fitted:
    """The chosen models of all cells, and how they did in the past."""

    model: WeekdayModel
    mean: NDArray[np.float64]
    narrow: NDArray[np.float64]
    tested_days: int
    chosen: list[str]
    """The model of each group."""
    backtest: pl.DataFrame

    def wanders(self, tokens: NDArray[np.float64]) -> float:
        """How likely it is that levels wander, each cell by its tokens."""
        whole = tokens.sum(axis=1)
        return float(self.model.levels.wanders @ whole / whole.sum()) if whole.sum() > 0 else 0.0


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
                candidates.forecast_cell(chosen[place], tokens[c], is_holiday[c], model.weekdays, c) for c in cells
            ]
    everything = list(range(len(tokens)))
    if _mae(came, best.forecast, everything) > _mae(came, rolling.forecast, everything):
        # Each part is better by itself, and their sum is not: the total comes first.
        best, best_mean, chosen = rolling, mean, [candidates.DEFAULT] * len(names)
    narrow = _narrow(rolling, best, groups)
    covered = _coverage(history, is_holiday, best, groups=groups, names=names, narrow=narrow, level=level, seed=seed)
    table = _table(came, scored, others, best=best, chosen=chosen, groups=groups, names=names, covered=covered)
    return Fitted(model, best_mean, narrow, rolling.leads, chosen, table)


def _narrow(rolling: Rolling, best: Rolling, groups: NDArray[np.int64]) -> NDArray[np.float64]:
    """How large the errors of the chosen models were by those of the default, at most 1; by cell, alike in a group."""
    narrow = np.ones(len(groups))
    for place in np.unique(groups):
        cells = groups == place
        ours, default = ((each.error[:, cells].sum(axis=1) ** 2).sum() for each in (best, rolling))
        narrow[cells] = min(1.0, np.sqrt(ours / default)) if default > 0 else 1.0
    return narrow


def _mae(came: NDArray[np.float64], forecast: NDArray[np.float64], cells: list[int]) -> float:
    return _mean_error(came[:, cells], forecast[:, cells])


def _mean_error(came: NDArray[np.float64], said: NDArray[np.float64]) -> float:
    """Mean absolute error of the sum of cells, tokens a day."""
    return float(np.abs(came.sum(axis=1) - said.sum(axis=1)).mean())


@dataclass(frozen=True, eq=False)
class _Covered:
    """What part of days, and of sums of `SUM_DAYS` days, lay in their intervals; None where there were none."""

    days: float | None
    sums: float | None

    @property
    def columns(self) -> dict[str, float | None]:
        """As the backtest has them."""
        return {"coverage": self.days, "sum_coverage": self.sums}


def _coverage(
    history: History,
    is_holiday: NDArray[np.bool_],
    best: Rolling,
    *,
    groups: NDArray[np.int64],
    names: list[str | None],
    narrow: NDArray[np.float64],
    level: float,
    seed: int,
) -> tuple[list[_Covered], _Covered]:
    """What fell into the intervals that were made of what was known then, by group and of the total.

    Days on which nothing was expected and nothing came say nothing.
    """
    days, sums = np.zeros((2, len(names) + 1)), np.zeros((2, len(names) + 1))
    count, leads = len(best.origins), best.leads
    for place in np.unique(np.linspace(0, count - 1, min(JUDGED, count)).round().astype(int)):
        origin = int(best.origins[place])
        model = fit(history.tokens[:, :origin], is_holiday[:, :origin])
        said, came = best.forecast[place], best.forecast[place] + best.error[place]
        free, ones = is_holiday[:, origin : origin + leads], np.ones_like(said)
        engine = Engine(model, origin, said, narrow, free, ones, 0 * ones, groups, names)
        total = np.zeros((PATHS_OF_PAST, leads))
        for part, paths in enumerate(engine.by_group(PATHS_OF_PAST, [seed, int(place)])):
            total += paths
            _judge(paths, came[groups == part].sum(axis=0), level, days[:, part], sums[:, part])
        _judge(total, came.sum(axis=0), level, days[:, -1], sums[:, -1])
    found = [_Covered(_share(days[:, part]), _share(sums[:, part])) for part in range(len(names) + 1)]
    return found[:-1], found[-1]


def _judge(
    paths: NDArray[np.float64],
    came: NDArray[np.float64],
    level: float,
    days: NDArray[np.float64],
    sums: NDArray[np.float64],
) -> None:
    """Adds to days, and to sums, how many were inside and how many there were."""
    days += _inside(paths, came, level)
    if len(came) >= SUM_DAYS:
        sums += _inside(paths[:, :SUM_DAYS].sum(axis=1)[:, None], came[:SUM_DAYS].sum(keepdims=True), level)


def _inside(paths: NDArray[np.float64], came: NDArray[np.float64], level: float) -> NDArray[np.int64]:
    """How many of what came lay between the bounds, and of how many."""
    low, high = bounds(paths, level)
    is_inside = (came >= low) & (came <= high)
    told = (high > low) | ~is_inside
    return np.array([(told & is_inside).sum(), told.sum()])


def _share(counted: NDArray[np.float64]) -> float | None:
    return float(counted[0] / counted[1]) if counted[1] else None


def _table(
    came: NDArray[np.float64],
    scored: dict[str, NDArray[np.float64]],
    others: dict[tuple[int, str], NDArray[np.float64]],
    *,
    best: Rolling,
    chosen: list[str],
    groups: NDArray[np.int64],
    names: list[str | None],
    covered: tuple[list[_Covered], _Covered],
) -> pl.DataFrame:
    """See `tables.FORECAST_BACKTEST`."""
    rows: list[dict[str, Any]] = []

    def add(group: str | None, model: str, said: NDArray[np.float64], cells: list[int], **more: Any) -> None:  # noqa: ANN401 - columns
        never = {"coverage": None, "sum_coverage": None}
        rows.append({"group": group, "model": model, "mae": _mean_error(came[:, cells], said), **never, **more})

    everything = list(range(came.shape[1]))
    names_chosen = set(chosen)
    of_total = chosen[0] if len(names_chosen) == 1 else "mixed"
    total = {"is_total": True}
    for model, forecast in scored.items():
        is_it = model == of_total
        add(None, model, forecast, everything, **total, is_chosen=is_it, **(covered[1].columns if is_it else {}))
    for (_, model), said in others.items() if len(names) == 1 else ():
        is_it = model == of_total
        add(None, model, said, everything, **total, is_chosen=is_it, **(covered[1].columns if is_it else {}))
    if len(names) > 1 and of_total != candidates.DEFAULT:
        add(None, of_total, best.forecast, everything, **total, is_chosen=True, **covered[1].columns)
    for place, name in enumerate(names if len(names) > 1 or names[0] is not None else []):
        cells = [int(cell) for cell in np.nonzero(groups == place)[0]]
        every = {model: forecast[:, cells] for model, forecast in scored.items()}
        every |= {model: said for (of, model), said in others.items() if of == place}
        for model, said in every.items():
            is_it = model == chosen[place]
            add(
                name,
                model,
                said,
                cells,
                is_total=False,
                is_chosen=is_it,
                **(covered[0][place].columns if is_it else {}),
            )
    table = pl.DataFrame(rows, infer_schema_length=None).with_columns(
        mae=pl.col("mae").round(4).cast(tables.TOKENS),
        origins=pl.lit(len(best.origins), pl.UInt32),
        days=pl.lit(len(best.origins) * best.leads, pl.UInt32),
    )
    return tables.finish(
        table.with_columns(pl.col("coverage", "sum_coverage").cast(pl.Float64)), tables.FORECAST_BACKTEST
    )


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
