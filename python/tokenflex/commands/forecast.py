"""`tokenflex forecast`: the tokens of the days to come, with intervals, from logs or charges."""

from __future__ import annotations

import json
import tomllib
from dataclasses import dataclass
from pathlib import Path  # noqa: TC003 - typer reads the annotations when it runs
from typing import TYPE_CHECKING, Annotated, Any, Final, cast

import polars as pl
import typer

import tokenflex as tf
from tokenflex import screen, tables
from tokenflex.commands.contracts import SourceArgument, charges_of
from tokenflex.commands.options import JsonOption, LogOptions, fail, may_be_written, readable_errors, takes, writer_of
from tokenflex.planning.forecast import MISSING
from tokenflex.reading.periods import read_rows
from tokenflex.summary import plain, problem_groups
from tokenflex.words import many

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from datetime import date

    from rich.console import Console

HORIZON: Final = 90
SCENARIOS: Final = 1_000
_GROUPS_SHOWN: Final = 12
_MONTHS_SHOWN: Final = 24
_BY: Final = ("product", "server", "site")
_INCOMPLETE: Final = ("refuse", "cut", "keep")
_MODELS: Final = ("auto", "weekday")

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
class ForecastOptions(LogOptions):
    """The options that say what is forecast; those of logs are for logs only."""

    horizon: Annotated[int, typer.Option(metavar="DAYS", help="How many days.")] = HORIZON
    by: Annotated[str | None, typer.Option(metavar="product|server|site", help="Split by this.")] = None
    sites: Annotated[Path | None, typer.Option(help="The site of each server, as CSV: server, site.")] = None
    country: Annotated[
        list[str] | None,
        typer.Option(
            metavar="[SERVER=]CODE", help="Whose public holidays count: ES, ES-MD; or one for each server or site."
        ),
    ] = None
    holidays: Annotated[
        Path | None, typer.Option(help="The firm's own free days, as CSV: date; country where it is not for all.")
    ] = None
    scenarios: Annotated[Path | None, typer.Option(help="Projects and head counts to come, as .toml.")] = None
    level: Annotated[float, typer.Option(help="What part of the days should lie between low and high.")] = 0.8
    model: Annotated[str, typer.Option(metavar="auto|weekday", help="Try other models on the past, or do not.")] = (
        "auto"
    )
    until: Annotated[str | None, typer.Option(metavar="DATE", help="The last day that is whole.")] = None
    incomplete: Annotated[
        str, typer.Option(metavar="refuse|cut|keep", help="What to do if the end of the past collapses.")
    ] = "refuse"
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same intervals and paths.")] = 0


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
    number: Annotated[int, typer.Option(min=1, help="How many paths.")] = SCENARIOS,
    as_json: JsonOption = False,
) -> None:
    """Shows the forecast; see `HELP`."""
    with readable_errors():
        write, write_paths = writer_of(out), _paths_writer(paths)
        problems = tf.Problems()
        options = _options(asked)
        # With a file of charges, rates are for projects only.
        charged = charges_of(source, asked, problems, also=("--rates",))
        coverage = None if charged.run is None else charged.run.log.coverage
        options |= {"rates": asked.prices, "coverage": coverage, "problems": problems}
        found = _forecast(_dated(charged.charges), options)
        write(found.days if found.by is None else found.groups.rename({"group": found.by}))
        write_paths(found, number, asked.seed)
        if as_json:
            typer.echo(json.dumps(_plain(found, problems.frame), indent=2))
        elif not asked.quiet:
            to = screen.console()
            _show(found, to)
            screen.show_problems(problem_groups(problems.frame), to)
            for path in (out, paths):
                if path is not None:
                    to.print(f"written to {path}", soft_wrap=True)


def _forecast(charges: pl.DataFrame, options: dict[str, Any]) -> tf.Forecast:
    try:
        return tf.forecast(charges, **options)
    except tf.ArgumentError as error:
        told, is_collapse, _ = str(error).partition(f". {MISSING}")
        if not is_collapse:
            raise
        fail(
            f"{told}. {MISSING}",
            "Add the missing logs; or give --incomplete cut to go by what is before, or --incomplete keep if use "
            "collapsed. Logs that are whole to the end show it themselves, a file of charges does not.",
        )


def _options(asked: ForecastOptions) -> dict[str, Any]:
    """The arguments of `tf.forecast` that stand on the command line."""
    _check("--by", asked.by, _BY)
    _check("--model", asked.model, _MODELS)
    _check("--incomplete", asked.incomplete, _INCOMPLETE)
    return {
        "horizon": asked.horizon,
        "by": asked.by,
        "sites": None if asked.sites is None else _mapping(asked.sites, "--sites", "server", "site"),
        "countries": countries_of(asked.country),
        "holidays": None if asked.holidays is None else holidays_of(asked.holidays),
        "scenarios": [] if asked.scenarios is None else scenarios_of(asked.scenarios),
        "level": asked.level,
        "model": asked.model,
        "until": asked.until,
        "incomplete": asked.incomplete,
        "seed": asked.seed,
    }


def _check(option: str, given: str | None, known: Iterable[str]) -> None:
    names = list(known)
    if given is not None and given not in names:
        fail(f"{option} {given}: it has to be {' or '.join(names)}")


def _dated(charges: pl.DataFrame) -> pl.DataFrame:
    """Dates of a CSV file are text."""
    if "usage_date" not in charges.columns or charges.schema["usage_date"] != pl.String:
        return charges
    text = charges["usage_date"]
    dates = text.str.to_date("%Y-%m-%d", strict=False)
    wrong = dates.is_null() & text.is_not_null()
    if wrong.any():
        fail(f"usage_date is {text.filter(wrong)[0]!r}, but has to be a date such as 2026-01-31")
    return charges.with_columns(dates)


def countries_of(given: list[str] | None) -> str | dict[str, str] | None:
    """One country for all, or that of each server or site."""
    given = given or []
    named = dict(value.split("=", 1) for value in given if "=" in value)
    plain_codes = [value for value in given if "=" not in value]
    if (named and plain_codes) or len(plain_codes) > 1:
        fail("--country: give one country for all, or SERVER=CODE once for each server or site")
    return plain_codes[0] if plain_codes else named or None


def _mapping(path: Path, option: str, key: str, value: str) -> dict[str, str]:
    table = read_rows(path, option)
    if lacking := {key, value} - set(table.columns):
        fail(f"{option} {path}: column {min(lacking)!r} is missing: it has to have {key} and {value}")
    return dict(table.select(pl.col(key, value).cast(pl.String)).drop_nulls().iter_rows())


def holidays_of(path: Path) -> list[str] | dict[str, list[str]]:
    """The firm's own free days: for all, or by country."""
    table = read_rows(path, "--holidays")
    if "date" not in table.columns:
        fail(f"--holidays {path}: column 'date' is missing")
    days = table["date"].cast(pl.String).drop_nulls().to_list()
    if "country" not in table.columns:
        return days
    found: dict[str, list[str]] = {}
    for day, country in table.select(pl.col("date", "country").cast(pl.String)).iter_rows():
        if country is None or day is None:
            fail(f"--holidays {path}: each row needs date and country; leave the column out where it is for all")
        found.setdefault(country, []).append(day)
    return found


def scenarios_of(path: Path) -> list[tf.Project | tf.HeadCount]:
    """Projects and head counts to come."""
    try:
        read = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeError) as error:
        fail(f"--scenarios {path}: no TOML: {error}")
    kinds: dict[str, type[tf.Project | tf.HeadCount]] = {"projects": tf.Project, "head_counts": tf.HeadCount}
    found = []
    for name, rows in read.items():
        if name not in kinds or not isinstance(rows, list):
            fail(f"--scenarios {path}: {name} is unknown: it has to have [[projects]] and [[head_counts]]")
        for row in cast("list[dict[str, Any]]", rows):
            try:
                found.append(kinds[name](**row))
            except TypeError as error:
                fail(f"--scenarios {path}: [[{name}]]: {error}")
            except tf.TokenflexError as error:
                fail(f"--scenarios {path}: [[{name}]]: {error}")
    return found


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
        note += f" Tried on the past for {found.tested_days} days ahead: what lies behind them is less sure than shown."
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
    table = screen.new_table("model", ">error a day", ">days in the interval", "")
    for row in found.backtest.filter("is_total").iter_rows(named=True):
        covered = "" if row["coverage"] is None else f"{row['coverage']:.0%}"
        table.add_row(row["model"], f"{row['mae']:,.1f}", covered, "chosen" if row["is_chosen"] else "")
    first = found.backtest.row(0, named=True)
    note = (
        f"Mean absolute error in tokens, of {first['origins']} forecasts made in the past for {found.tested_days} days "
        f"each. {found.level:.0%} of the days should lie in the interval."
    )
    screen.print_table(to, "How it would have done in the past", table, note)
