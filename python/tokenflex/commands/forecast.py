"""`tokenflex forecast`: the tokens of the days to come, with intervals, from logs or charges."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path  # noqa: TC003 - typer reads the annotations when it runs
from typing import TYPE_CHECKING, Annotated, Any, Final

import polars as pl
import typer

import tokenflex as tf
from tokenflex import screen, tables
from tokenflex.commands.contracts import SourceArgument, charges_of
from tokenflex.commands.forecasts import SCENARIOS, FutureOptions, forecast_of
from tokenflex.commands.options import JsonOption, may_be_written, readable_errors, takes, writer_of
from tokenflex.summary import plain, problem_groups
from tokenflex.words import many

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import date

    from rich.console import Console

HORIZON: Final = 90
_GROUPS_SHOWN: Final = 12
_MONTHS_SHOWN: Final = 24

HELP = """Forecast the tokens of the days to come, from logs or from charges, with intervals.

\b
  tokenflex forecast logs/ --timezone Europe/Madrid --rates rates.csv \\
    --country ES
  tokenflex forecast charges.csv --horizon 365 --by product --out days.csv
\b
What you know of the future goes into scenarios.toml:
  [[projects]]
  name = "bridge"
  start = 2027-02-01
  end = 2027-09-30
  staffing = { RVT = 12, ACD = 4 }
  [[head_counts]]
  start = 2027-01-01
  factor = "1.1"

Paths for `tokenflex plan` are written by --paths. It takes 91 days of charges, better a year.
"""


@dataclass(frozen=True, kw_only=True)
class ForecastOptions(FutureOptions):
    """The options of a forecast."""

    horizon: Annotated[int, typer.Option(metavar="DAYS", help="How many days.")] = HORIZON
    level: Annotated[float, typer.Option(help="What part of the days should lie between low and high.")] = 0.8


@takes(ForecastOptions)
def forecast(
    source: SourceArgument,
    *,
    asked: ForecastOptions,
    out: Annotated[
        Path | None, typer.Option(help="Write every day here, of each group if split: .parquet or .csv.")
    ] = None,
    paths: Annotated[
        Path | None, typer.Option(help="Write paths here, as `plan --paths` takes them: .parquet or .csv.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Shows the forecast; see `HELP`."""
    with readable_errors():
        write, write_paths = writer_of(out), _paths_writer(paths)
        problems = tf.Problems()
        # With a file of charges, rates are for projects only.
        charged = charges_of(source, asked, problems, also=("--rates",))
        found = forecast_of(charged, asked, problems, horizon=asked.horizon, level=asked.level)
        write(found.days if found.by is None else found.groups.rename({"group": found.by}))
        write_paths(found, asked.number, asked.seed)
        if as_json:
            typer.echo(json.dumps(_plain(found, problems.frame), indent=2))
        elif not asked.quiet:
            to = screen.console()
            _show(found, to)
            screen.show_problems(problem_groups(problems.frame), to)
            for path in (out, paths):
                if path is not None:
                    to.print(f"written to {path}", soft_wrap=True)


def _paths_writer(path: Path | None) -> Callable[[tf.Forecast, int, int], None]:
    """Checks the file before the long work."""
    if path is None:
        return lambda _found, _number, _seed: None
    may_be_written(path, "--paths", (".parquet", ".csv"))
    write = writer_of(path)

    def write_paths(found: tf.Forecast, number: int, seed: int) -> None:
        paths = found.paths(number, seed=seed)
        days = found.days["date"]
        scenario = pl.Series("scenario", range(number), dtype=pl.UInt32)
        rows = pl.DataFrame({"scenario": scenario}).join(days.alias("day").to_frame(), how="cross")
        write(rows.with_columns(tokens=pl.Series(paths.ravel()).round(4).cast(tables.TOKENS)))

    return write_paths


def _plain(found: tf.Forecast, problems: pl.DataFrame) -> dict[str, object]:
    return {
        "start": found.start.isoformat(),
        "horizon": found.horizon,
        "by": found.by,
        "level": found.level,
        "model": found.model,
        "tested_days": found.tested_days,
        "coverage": found.coverage,
        "sum_coverage": found.sum_coverage,
        "doubts": list(found.doubts),
        "cut": list(found.cut),
        "total": {name: f"{value:f}" for name, value in zip(("low", "mean", "high"), _total(found), strict=True)},
        "days": plain(found.days).to_dicts(),
        "groups": plain(found.groups).to_dicts(),
        "backtest": plain(found.backtest).to_dicts(),
        "problems": plain(problem_groups(problems)).to_dicts(),
    }


def _total(found: tf.Forecast) -> tuple[Any, Any, Any]:
    """Low, mean and high of all days together, of paths; bounds of days do not add up."""
    sums = pl.Series(found.paths(SCENARIOS).sum(axis=1))
    low, high = (1 - found.level) / 2, (1 + found.level) / 2
    bounds = pl.Series([sums.quantile(part, "linear") for part in (low, high)]).round(4).cast(tables.TOKENS)
    return bounds[0], found.days["mean"].sum(), bounds[1]


def _show(found: tf.Forecast, to: Console) -> None:
    low, mean, high = _total(found)
    end: date = found.days["date"][-1]
    to.print()
    to.print(
        f"{screen.tokens(round(mean))} tokens from {found.start} to {end}, between {screen.tokens(round(low))} and "
        f"{screen.tokens(round(high))} in {found.level:.0%} of the cases",
        style="bold",
    )
    used = found.history
    tokens: Any = used["tokens"].sum()
    days: Any = (found.start - used["date"][0]).days
    to.print(
        f"by {screen.tokens(tokens)} tokens in the {many(days, 'day')} since {used['date'][0]}, model {found.model}"
    )
    for cut in found.cut:
        to.print(f"Cut off as not whole: {cut}.")
    for doubt in found.doubts:
        to.print(f"{doubt}.")
    to.print()
    _show_months(found, to)
    if found.by is not None:
        _show_groups(found, to)
    _show_backtest(found, to)


def _show_months(found: tf.Forecast, to: Console) -> None:
    """The months of the horizon, with bounds of the sums of paths."""
    month = found.days["date"].dt.month_start()
    paths = found.paths(SCENARIOS)
    table = screen.new_table("month", ">days", ">low", ">tokens", ">high", ">of it scenarios")
    for each in month.unique().sort().head(_MONTHS_SHOWN):
        is_in = (month == each).to_numpy()
        sums = pl.Series(paths[:, is_in].sum(axis=1))
        days = found.days.filter(pl.Series(is_in))
        low, high = (sums.quantile(part, "linear") or 0.0 for part in ((1 - found.level) / 2, (1 + found.level) / 2))
        added = days["scenario"].sum()
        table.add_row(
            f"{each:%Y-%m}",
            f"{days.height}",
            f"{low:,.0f}",
            f"{days['mean'].sum():,.0f}",
            f"{high:,.0f}",
            f"{added:,.0f}" if added else "",
        )
    note = f"low to high: {found.level:.0%} of {SCENARIOS:,} paths."
    if found.horizon > found.tested_days:
        note += f" Tried on the past for {found.tested_days} days ahead."
    screen.print_table(to, "By month", table, note)


def _show_groups(found: tf.Forecast, to: Console) -> None:
    whole: Any = found.days["mean"].sum()
    sums = found.groups.group_by("group", maintain_order=True).agg(pl.col("mean").sum())
    table = screen.new_table(str(found.by), ">tokens", ">share")
    for name, part in sums.head(_GROUPS_SHOWN).iter_rows():
        table.add_row(name or "(unassigned)", f"{part:,.0f}", f"{part / whole:.1%}" if whole else "")
    rest = sums.slice(_GROUPS_SHOWN)
    if not rest.is_empty():
        tokens: Any = rest["mean"].sum()
        table.add_row(f"{rest.height} more", f"{tokens:,.0f}", f"{tokens / whole:.1%}" if whole else "")
    screen.print_table(to, f"By {found.by}", table)


def _show_backtest(found: tf.Forecast, to: Console) -> None:
    covered = {"coverage": "days in the interval"}
    if found.sum_coverage is not None:
        covered["sum_coverage"] = "sums of 13 weeks"
    table = screen.new_table("model", ">error a day", *(f">{what}" for what in covered.values()), "")
    for row in found.backtest.filter("is_total").iter_rows(named=True):
        shares = ["" if row[name] is None else f"{row[name]:.0%}" for name in covered]
        table.add_row(row["model"], f"{row['mae']:,.1f}", *shares, "chosen" if row["is_chosen"] else "")
    first = found.backtest.row(0, named=True)
    note = (
        f"Mean absolute error in tokens, of {first['origins']} forecasts made in the past for {found.tested_days} days "
        f"each. {found.level:.0%} of days and sums should lie in their interval."
    )
    screen.print_table(to, "How it would have done in the past", table, note)
