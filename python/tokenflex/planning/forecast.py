"""The verb `forecast`: tokens of each day to come, with intervals, and the paths that a purchase is planned on."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any, Final, Literal

import polars as pl

from tokenflex import tables
from tokenflex.arrow import AnyTable, frame_of, refuses_clearly
from tokenflex.errors import ArgumentError, ArgumentTypeError
from tokenflex.metering.rates import Rates
from tokenflex.notebook import Shown
from tokenflex.planning.extras import needed
from tokenflex.planning.history import DAY, Cell, checked_day, history_of
from tokenflex.planning.scenarios import HeadCount, Project, checked_scenarios
from tokenflex.problems import Problems, report

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import numpy as np
    from numpy.typing import NDArray

    from tokenflex.planning.forecasting import Engine
    from tokenflex.planning.history import History
    from tokenflex.reading.groups import Groups

MOST_AHEAD: Final = 1_830
"""Days: a contract has at most five years."""
MOST_PATHS: Final = 100_000
_INCOMPLETE: Final = ("refuse", "cut", "keep")
MISSING: Final = "That is missing data until something shows otherwise"
_ADVICE: Final = (
    f'{MISSING}: add the missing logs; or incomplete="cut" to go by what is '
    'before; or coverage= of read_flexlm, which shows that the logs are whole; or incomplete="keep" if use collapsed.'
)


@dataclass(frozen=True, kw_only=True, eq=False)
class Forecast(Shown):
    """Tokens of the days to come. Made by `forecast`.

    Attributes:
        start: The first day that is forecast, the one behind the history.
        horizon: How many days.
        by: What it is split by, or None.
        level: What part of the days is meant to lie between low and high.
        model: The model of the total; `mixed` if the groups have several.
        history: What was used on each day and by each group, exactly: see `tables.FORECAST_HISTORY`.
        days: Mean, low and high of each day, see `tables.FORECAST_DAYS`.
        groups: The same for each product, server or site, see `tables.FORECAST_GROUPS`; the largest first. No rows if
            it is not split.
        backtest: How each model did on the past, see `tables.FORECAST_BACKTEST`.
        tested_days: How many days ahead the models were tried. Days further off have the errors of the later half of
            these, which is too few if the level of use wanders.
        cut: What was left out of the end of the history as not whole, in words; empty if nothing was.
    """

    start: date
    horizon: int
    by: str | None
    level: float
    model: str
    history: pl.DataFrame
    days: pl.DataFrame
    groups: pl.DataFrame
    backtest: pl.DataFrame
    tested_days: int
    cut: tuple[str, ...]
    _engine: Engine = field(repr=False)

    def paths(self, n: int = 1_000, *, seed: int = 0) -> NDArray[np.float64]:
        """Draws paths: what each day may take, with weeks that hang together as they did.

        A path is the mean of the forecast plus the errors that the forecasts of the past made, whole weeks of them in a
        row, the same weeks for all groups; it never falls below zero. Projects and head counts are in every path.

        Args:
            n: How many paths.
            seed: The same seed gives the same paths.

        Returns:
            Tokens as float64, paths by days.

        Raises:
            ArgumentError: `n` is not 1 to 100,000.
        """
        self._check(n)
        total: Any = sum(self._engine.by_group(n, _seed(seed)))
        paths: NDArray[np.float64] = total
        return paths

    def group_paths(self, n: int = 1_000, *, seed: int = 0) -> dict[str | None, NDArray[np.float64]]:
        """The same for each group; path i of all groups together is path i of `paths`, in the order of the groups.

        Args:
            n: How many paths.
            seed: The same seed gives the same paths.

        Returns:
            By group, the largest first; None is what has no name, and all if the forecast is not split.

        Raises:
            ArgumentError: `n` is not 1 to 100,000.
        """
        self._check(n)
        return dict(zip(self._engine.names, self._engine.by_group(n, _seed(seed)), strict=True))

    @property
    def coverage(self) -> float | None:
        """What part of the days of the past lay between low and high; None where the history is too short to say."""
        chosen = self.backtest.filter("is_total", "is_chosen")
        share: float | None = chosen["coverage"][0]
        return share

    def _check(self, n: int) -> None:
        if isinstance(n, bool) or not isinstance(n, int) or not 1 <= n <= MOST_PATHS:
            raise ArgumentError(f"n is {n!r}, but has to lie in 1 to {MOST_PATHS:,}", location="n")

    def _tables_shown(self) -> dict[str, pl.DataFrame]:
        return {"days": self.days, "backtest": self.backtest}

    def __repr__(self) -> str:
        total = self.days["mean"].sum()
        return f"<Forecast of {self.horizon} days from {self.start}: {total} tokens, by {self.model}>"


@refuses_clearly
def forecast(
    charges: AnyTable,
    *,
    horizon: int,
    by: Literal["product", "server", "site"] | None = None,
    sites: Mapping[str, str] | Groups | None = None,
    countries: str | Mapping[str, str] | None = None,
    holidays: Iterable[date | str] | Mapping[str, Iterable[date | str]] | None = None,
    scenarios: Iterable[Project | HeadCount] = (),
    rates: Rates | None = None,
    level: float = 0.8,
    model: Literal["auto", "weekday"] = "auto",
    until: date | str | None = None,
    coverage: AnyTable | None = None,
    incomplete: Literal["refuse", "cut", "keep"] = "refuse",
    seed: int = 0,
    problems: Problems | None = None,
) -> Forecast:
    """Forecasts the tokens of each day to come, from the charges of the past.

    The default model is the mean of each day of the week, with the level of the last weeks as far as such levels used
    to last, a trend where it is clear, and holidays apart; SEMANTICS.md defines it. Its intervals are the errors that
    forecasts made at the end of each week of the past would have had. See `docs/forecast.md`.

    Args:
        charges: What `charge` returns: `tokens` (decimals or whole numbers) and `usage_date`, or else `charged_at`, the
            UTC date of which counts; `product` and `server` where they are asked for. At least 91 days of them; of more
            than three years the last three.
        horizon: How many days to forecast, 1 to 1,830.
        by: Splits the forecast by product, server or site.
        sites: The site of each server: a mapping, or `Groups` whose persons are servers (dimension `site`, or the one
            without a name), with dates where servers moved.
        countries: Whose public holidays count: one ISO code for all (`"ES"`, with its part `"ES-MD"`), or by name of
            the server or site. Needs the `holidays` package, which comes with `tokenflex[planning]`.
        holidays: The firm's own free days, past and to come, besides those: for all, or by country.
        scenarios: Projects and head counts that are known to come.
        rates: Daily tokens of products that projects use.
        level: What part of the days should lie between low and high, above 0 and below 1.
        model: `"auto"` tries AutoETS and MSTL of statsforecast, where it is installed, on the past, for each group with
            a tenth of all tokens or more; it takes what was better there, and else the default. That takes seconds for
            each group. `"weekday"` is the default alone.
        until: The last day of which the charges are whole. Unless given the last one with a charge.
        coverage: The coverage of `read_flexlm`. It shows that an end with few charges is no end with few logs.
        incomplete: What to do with a history whose end collapses: `"refuse"`, `"cut"` that end, or `"keep"` it.
        seed: Of the paths that low and high are read of.
        problems: Collects charges without tokens (`no_rate`) or date (`no_date`), servers without a country
            (`no_country`) or site (`no_group`); without it, a `TokenflexWarning` tells of them.

    Returns:
        The forecast. Its means and bounds are computed in floating point and rounded to four places.

    Raises:
        ArgumentError: The history is too short, or its end is not whole; an argument makes no sense, or a package is
            not installed. The message says what would be enough.
        ArgumentTypeError: An argument is of a wrong type.
        MissingColumnError, ColumnTypeError, ColumnValueError: The table is wrong; `column` says where.

    Example:
        >>> import tokenflex as tf, polars as pl
        >>> from datetime import date
        >>> days = pl.date_range(date(2026, 1, 5), date(2026, 6, 28), eager=True)
        >>> charges = pl.DataFrame({"usage_date": days}).filter(pl.col("usage_date").dt.weekday() <= 5)
        >>> charges = charges.with_columns(tokens=pl.lit(70), product=pl.lit("RVT"))
        >>> found = tf.forecast(charges, horizon=7, until="2026-06-28", model="weekday")
        >>> found.days.select("date", "mean").rows()[4:6]
        [(datetime.date(2026, 7, 3), Decimal('70.0000')), (datetime.date(2026, 7, 4), Decimal('0.0000'))]
    """
    _check(horizon, level, model, incomplete, seed)
    changes = checked_scenarios(scenarios)
    if rates is not None and not isinstance(rates, Rates):
        raise ArgumentTypeError(f"rates have to be a tokenflex.Rates, not {type(rates).__name__}", location="rates")
    if any(isinstance(change, Project) for change in changes) and rates is None:
        raise ArgumentError("projects need rates=: what is a day of each product worth?", location="rates")
    needed("numpy", "a forecast")
    mine = Problems()
    history = history_of(
        frame_of(charges), by=by, sites=sites, countries=countries, until=checked_day(until, "until"), problems=mine
    )
    known = None if coverage is None else frame_of(coverage)
    found = _forecast(
        history,
        changes,
        horizon=horizon,
        by=by,
        holidays=holidays,
        rates=rates,
        level=level,
        model=model,
        coverage=known,
        incomplete=incomplete,
        seed=seed,
    )
    report(mine.frame, problems, "forecast")
    return found


def _check(horizon: object, level: object, model: object, incomplete: object, seed: object) -> None:
    if isinstance(horizon, bool) or not isinstance(horizon, int):
        raise ArgumentTypeError(f"horizon has to be a number of days, not {type(horizon).__name__}", location="horizon")
    if not 1 <= horizon <= MOST_AHEAD:
        raise ArgumentError(f"horizon is {horizon} days, but has to lie in 1 to {MOST_AHEAD:,}", location="horizon")
    if isinstance(level, bool) or not isinstance(level, float) or not 0 < level < 1:
        raise ArgumentError(f"level is {level!r}, but has to lie between 0 and 1, such as 0.8", location="level")
    if model not in ("auto", "weekday"):
        raise ArgumentError(f'model is {model!r}, but has to be "auto" or "weekday"', location="model")
    if incomplete not in _INCOMPLETE:
        raise ArgumentError(
            f"incomplete is {incomplete!r}, but has to be one of {', '.join(_INCOMPLETE)}", location="incomplete"
        )
    _seed(seed)


def _seed(seed: object) -> int:
    if isinstance(seed, bool) or not isinstance(seed, int) or seed < 0:
        raise ArgumentError(f"seed is {seed!r}, but has to be a whole number from 0", location="seed")
    return seed


def _forecast(
    history: History,
    changes: list[Project | HeadCount],
    *,
    horizon: int,
    by: str | None,
    holidays: Any,  # noqa: ANN401 - `FreeDays` checks it
    rates: Rates | None,
    level: float,
    model: str,
    coverage: pl.DataFrame | None,
    incomplete: str,
    seed: int,
) -> Forecast:
    # They need numpy, which is an extra.
    from tokenflex.planning import candidates, forecasting  # noqa: PLC0415
    from tokenflex.planning.completeness import collapses  # noqa: PLC0415
    from tokenflex.planning.free_days import FreeDays  # noqa: PLC0415
    from tokenflex.planning.rolling import weeks_tested  # noqa: PLC0415
    from tokenflex.planning.scenarios_applied import applied, with_new_cells  # noqa: PLC0415

    free = FreeDays(holidays, first=history.first, last=history.last + horizon * DAY)
    weeks_tested(history.days)
    cut: list[str] = []
    while incomplete != "keep":
        by_server = free.mask([country for _, country in history.servers], history.first, history.days)
        found = collapses(history, by_server, coverage)
        if not found:
            break
        told = "; ".join(str(collapse) for collapse in found)
        if incomplete == "refuse":
            raise ArgumentError(f"the history ends with too little: {told}. {_ADVICE}", location="charges")
        cut.append(told)
        history = history.until(min(collapse.first for collapse in found) - timedelta(days=1))
        weeks_tested(history.days)
    cells = with_new_cells(history.cells, changes, by)
    history = _with_cells(history, cells)
    is_holiday = free.mask([cell.country for cell in cells], history.first, history.days + horizon)
    names, places = _groups(history)
    tried = candidates.available() if model == "auto" else ()
    chosen = forecasting.fitted(history, is_holiday, groups=places, names=names, level=level, tried=tried, seed=seed)
    start = history.last + DAY
    factor, added = applied(changes, cells, start=start, horizon=horizon, rates=rates, free=free, by=by)
    weekdays = (history.days + pl.int_range(horizon, eager=True).to_numpy()) % 7
    engine = forecasting.Engine(
        chosen.mean,
        chosen.model.holiday[:, weekdays],
        is_holiday[:, history.days :],
        chosen.model.level,
        chosen.rolling,
        factor,
        added,
        places,
        names,
    )
    days = pl.date_range(start, start + (horizon - 1) * DAY, eager=True).alias("date")
    total, parts = forecasting.days_table(engine, level, seed, days)
    models = set(chosen.chosen)
    return Forecast(
        start=start,
        horizon=horizon,
        by=by,
        level=level,
        model=models.pop() if len(models) == 1 else "mixed",
        history=tables.finish(history.exact, tables.FORECAST_HISTORY),
        days=tables.finish(total, tables.FORECAST_DAYS),
        groups=tables.finish(parts if by is not None else parts.clear(), tables.FORECAST_GROUPS),
        backtest=chosen.backtest,
        tested_days=chosen.rolling.leads,
        cut=tuple(cut),
        _engine=engine,
    )


def _groups(history: History) -> tuple[list[str | None], NDArray[np.int64]]:
    """The groups, those with most tokens first, and the place of each cell's."""
    import numpy as np  # noqa: PLC0415 - an extra

    whole: dict[str | None, float] = {}
    for cell, tokens in zip(history.cells, history.tokens.sum(axis=1), strict=True):
        whole[cell.group] = whole.get(cell.group, 0.0) + float(tokens)
    names = sorted(whole, key=lambda name: (-whole[name], name is None, name or ""))
    return names, np.array([names.index(cell.group) for cell in history.cells])


def _with_cells(history: History, cells: list[Cell]) -> History:
    """The history with cells of which nothing was used yet behind its own."""
    import numpy as np  # noqa: PLC0415 - an extra

    new = np.zeros((len(cells) - len(history.cells), history.days))
    return history.with_cells(cells, np.vstack([history.tokens, new]))
