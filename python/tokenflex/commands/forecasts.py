"""What the commands that look ahead share: the past forecast, from logs or from a file of charges."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from datetime import date
from decimal import Decimal, InvalidOperation
from pathlib import Path  # noqa: TC003 - typer reads the annotations when it runs
from typing import TYPE_CHECKING, Annotated, Any, Final, cast

import polars as pl
import typer

import tokenflex as tf
from tokenflex.commands.options import LogOptions, fail, one_or_each
from tokenflex.contract.days import ONE_DAY, months_later
from tokenflex.planning.forecast import MISSING
from tokenflex.reading.periods import read_rows

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from tokenflex.commands.contracts import Charged

SCENARIOS: Final = 1_000
_BY: Final = ("product", "server", "site")
_INCOMPLETE: Final = ("refuse", "cut", "keep")
_MODELS: Final = ("auto", "weekday")
_NONE: Final = "0%"
_HUNDRED: Final = 100
_MONTHS: Final = 12
_HALF: Final = Decimal("0.5")
_PLACES: Final = Decimal("0.00000001")

ModelOption = Annotated[
    str, typer.Option(metavar="auto|weekday", help="Try other models on the past, or the weekday's mean alone.")
]


@dataclass(frozen=True, kw_only=True)
class FutureOptions(LogOptions):
    """The options that say what is known of the past and of what comes; those of logs are for logs only."""

    by: Annotated[str | None, typer.Option(metavar="product|server|site", help="Forecast each of these apart.")] = None
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
    growth: Annotated[
        str, typer.Option(metavar="PERCENT", help="By how much the head count grows in a year: 5%, -10%.")
    ] = _NONE
    model: ModelOption = "auto"
    until: Annotated[str | None, typer.Option(metavar="DATE", help="The last day that is whole.")] = None
    incomplete: Annotated[
        str, typer.Option(metavar="refuse|cut|keep", help="What to do if the end of the past collapses.")
    ] = "refuse"
    number: Annotated[int, typer.Option(min=1, max=100_000, help="How many paths to draw.")] = SCENARIOS
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same intervals and paths.")] = 0


def forecast_of(
    charged: Charged,
    asked: FutureOptions,
    problems: tf.Problems,
    *,
    horizon: int,
    **more: Any,  # noqa: ANN401 - of each its own
) -> tf.Forecast:
    """The forecast of charges as the options ask for it."""
    charges = charged.charges
    options = _options(asked)
    options["scenarios"] = [
        *options["scenarios"],
        *_growing(asked.growth, day_after(charged, asked), horizon),
    ]
    coverage = None if charged.run is None else charged.run.coverage
    try:
        return tf.forecast(
            charges, horizon=horizon, rates=asked.prices, coverage=coverage, problems=problems, **options, **more
        )
    except tf.ArgumentError as error:
        told, is_collapse, _ = str(error).partition(f". {MISSING}")
        if not is_collapse:
            raise
        fail(
            f"{told}. {MISSING}",
            "Add the missing logs; or give --incomplete cut to go by what is before, or --incomplete keep if use "
            "collapsed. Logs that are whole to the end show it themselves, a file of charges does not.",
        )


def _options(asked: FutureOptions) -> dict[str, Any]:
    """The arguments of `tf.forecast` that stand on the command line."""
    _check("--by", asked.by, _BY)
    _check("--model", asked.model, _MODELS)
    _check("--incomplete", asked.incomplete, _INCOMPLETE)
    return {
        "by": asked.by,
        "sites": None if asked.sites is None else _mapping(asked.sites, "--sites", "server", "site"),
        "countries": countries_of(asked.country),
        "holidays": None if asked.holidays is None else holidays_of(asked.holidays),
        "scenarios": [] if asked.scenarios is None else scenarios_of(asked.scenarios),
        "model": asked.model,
        "until": None if asked.until is None else day_of(asked.until, "--until"),
        "incomplete": asked.incomplete,
        "seed": asked.seed,
    }


def day_after(charged: Charged, asked: FutureOptions) -> date | None:
    """The first day that nothing is known of, or None where nothing is known at all."""
    if asked.until is not None:
        return day_of(asked.until, "--until") + ONE_DAY
    charges = charged.charges
    days = charges.get_column("usage_date", default=None)
    if days is None and isinstance(charges.schema.get("charged_at"), pl.Datetime):
        days = charges["charged_at"].dt.date()
    last: Any = None if days is None else days.max()
    return None if last is None else last + ONE_DAY


def _growing(text: str, first: date | None, horizon: int) -> Iterator[tf.HeadCount]:
    """A head count for each month to come, by which use grows evenly: in its middle it has what is due by then."""
    growth = part_of(text, "--growth", least=-1)
    if not growth or first is None:
        return
    for month in range(horizon // 28 + 1):
        factor = (1 + growth) ** ((month + _HALF) / _MONTHS)
        start, after = months_later(first, month), months_later(first, month + 1)
        yield tf.HeadCount(start=start, end=after - ONE_DAY, factor=factor.quantize(_PLACES))


def part_of(text: str, option: str, *, least: int = 0) -> Decimal:
    """`5%` as 0.05."""
    try:
        part = Decimal(text.removesuffix("%")) / _HUNDRED
    except InvalidOperation:
        fail(f"{option} {text}: give percent, such as 5%")
    if not text.endswith("%") or not part.is_finite() or not least <= part <= _HUNDRED:
        fail(f"{option} {text}: give percent, such as 5%")
    return part


def day_of(text: str, option: str) -> date:
    """A date as one writes it."""
    try:
        return date.fromisoformat(text)
    except ValueError:
        fail(f"{option} {text}: give a date such as 2026-01-31")


def _check(option: str, given: str | None, known: Iterable[str]) -> None:
    names = list(known)
    if given is not None and given not in names:
        fail(f"{option} {given}: it has to be {' or '.join(names)}")


def countries_of(given: list[str] | None) -> str | dict[str, str] | None:
    """One country for all, or that of each server or site."""
    return one_or_each(given, "--country: give one country for all, or SERVER=CODE once for each server or site")


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
