"""`tokenflex plan`: how many tokens to buy, of which kind and when, at the least expected cost."""

from __future__ import annotations

import json
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal, InvalidOperation
from pathlib import Path  # noqa: TC003 - typer reads the annotations when it runs
from typing import TYPE_CHECKING, Annotated, Any, Final, NamedTuple

import polars as pl
import typer

import tokenflex as tf
from tokenflex import screen
from tokenflex.commands.contracts import charges_of, money
from tokenflex.commands.options import (
    JsonOption,
    LogOptions,
    fail,
    is_from_file,
    may_be_written,
    readable_errors,
    takes,
    writer_of,
)
from tokenflex.contract.days import years_later
from tokenflex.summary import plain, problem_groups
from tokenflex.words import many

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import Console

_SHOWN: Final = 12
_YEAR: Final = 365
_HUNDRED: Final = 100
_NONE: Final = "0%"
_ONE_DAY: Final = timedelta(days=1)

HELP = """Say how many tokens to buy, of which kind and when, so that the expected cost is least.

\b
From what was charged, grown by 5 % a year, for the terms in offer.toml:
  tokenflex plan charges.csv --offer offer.toml --growth 5%
\b
From logs, for a term that begins on a day; the contract is kept:
  tokenflex plan logs/ --timezone Europe/Madrid --rates rates.csv \\
    --offer offer.toml --start 2027-01-01 --save-contract contract.toml
\b
From scenarios of your own (columns scenario, day, tokens):
  tokenflex plan --paths scenarios.parquet --offer offer.toml

Without --paths the scenarios are whole weeks of the past, drawn again and again: they know of no holidays and no
projects. docs/plan-purchase.md says how offer.toml is written.
"""

SourceArgument = Annotated[
    list[str] | None,
    typer.Argument(help="Logs, or one file of charges that `charge --out` wrote.", metavar="LOGS|CHARGES"),
]


@dataclass(frozen=True, kw_only=True)
class PlanOptions(LogOptions):
    """The options of a plan, besides those of logs, which are for logs only."""

    offer: Annotated[Path | None, typer.Option(help="What can be bought, at what price, as .toml.")] = None
    paths: Annotated[Path | None, typer.Option(help="Scenarios as .parquet or .csv: scenario, day, tokens.")] = None
    start: Annotated[
        str | None, typer.Option(metavar="DATE", help="The first day. Default: the day after the last charge.")
    ] = None
    days: Annotated[
        int | None, typer.Option(min=1, help="Of packs: how many days to plan. Default: 365. A term has its own.")
    ] = None
    growth: Annotated[str, typer.Option(metavar="PERCENT", help="How much use grows in a year: 5%, -10%.")] = _NONE
    scenarios: Annotated[int, typer.Option(min=1, max=100_000, help="How many to draw.")] = 1000
    seed: Annotated[int, typer.Option(min=0, help="Draws the same scenarios again.")] = 0


@takes(PlanOptions)
def plan(
    source: SourceArgument = None,
    *,
    asked: PlanOptions,
    buy_on: Annotated[
        list[str] | None, typer.Option(metavar="DATE", help="Of packs: a day to buy on; give it for each day.")
    ] = None,
    run_out_limit: Annotated[
        str | None, typer.Option(metavar="PERCENT", help="Tokens may run out in so many scenarios at most.")
    ] = None,
    save_contract: Annotated[
        Path | None, typer.Option(help="Write the contract that the plan means: .toml or .json.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Write every purchase that was tried: .parquet or .csv.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Plans a purchase; see `HELP`."""
    with readable_errors():
        write = writer_of(out)
        if save_contract is not None:
            may_be_written(save_contract, "--save-contract", (".toml", ".json"))
        offer, problems = _offer_of(asked.offer), tf.Problems()
        limit = None if run_out_limit is None else _part(run_out_limit, "--run-out-limit")
        dates = None if buy_on is None else [_day(each, "--buy-on") for each in buy_on]
        given = _given(source or [], asked, offer, problems)
        found = tf.plan_purchase(given.paths, offer=offer, start=given.start, dates=dates, run_out_limit=limit)
        write(found.tried)
        if save_contract is not None:
            found.contract.write(save_contract)
        if as_json:
            typer.echo(json.dumps(_plain(found, given.said, problems.frame), indent=2))
        elif not asked.quiet:
            to = screen.console()
            show_plan(found, given.said, to)
            screen.show_problems(problem_groups(problems.frame), to)
            if save_contract is not None:
                to.print(f"The contract was written to {save_contract}", soft_wrap=True)


def _offer_of(path: Path | None) -> tf.Offer:
    if path is None:
        fail(
            "--offer is missing: what can be bought, and at what price?",
            "Write offer.toml as docs/plan-purchase.md shows: overage_price, and years with [[prices]] (Token Flex), "
            "or [[packs]] with tokens and unit_price (Flex).",
        )
    return tf.Offer.read(path)


class Scenarios(NamedTuple):
    """Paths as `plan_purchase` takes them, their first day, and what they are in words."""

    paths: Any
    start: date | None
    said: str


def _given(source: list[str], asked: PlanOptions, offer: tf.Offer, problems: tf.Problems) -> Scenarios:
    if asked.paths is not None and is_from_file("source"):
        source = []
    if (asked.paths is None) == (not source):
        fail("give logs or charges to draw scenarios from, or scenarios of your own with --paths, one of the two")
    if offer.years and asked.days is not None:
        fail("--days goes with packs: the term of the offer says how long the plan lasts")
    growth = _part(asked.growth, "--growth", least=-1)
    if asked.paths is not None:
        given = {"--start": asked.start is not None, "--days": asked.days is not None, "--growth": growth != 0}
        for option, is_given in given.items():
            if is_given:
                fail(f"{option} goes with logs or charges: the scenarios in {asked.paths} are as they are")
        return Scenarios(_paths_in(asked.paths), None, f"the scenarios of {asked.paths.name}")
    start = None if asked.start is None else _day(asked.start, "--start")
    charged = charges_of(source, asked, problems)
    return drawn_from(
        charged.charges, offer=offer, start=start, days=asked.days, growth=growth, n=asked.scenarios, seed=asked.seed
    )


def drawn_from(
    charges: pl.DataFrame,
    *,
    offer: tf.Offer,
    start: date | None = None,
    days: int | None = None,
    growth: float = 0,
    n: int = 1000,
    seed: int = 0,
) -> Scenarios:
    """Scenarios of whole weeks of the past."""
    with _numpy_needed():
        from tokenflex.planning.weeks import weeks_of  # noqa: PLC0415 - it needs numpy
    known = charges["charged_at"].drop_nulls().dt.convert_time_zone(offer.zone).dt.date()
    if known.is_empty():
        fail("there are no charges to draw scenarios from")
    first: date = known.sort()[-1] + _ONE_DAY if start is None else start
    weeks = weeks_of(charges, zone=offer.zone, start=first)
    length = (years_later(first, offer.years) - first) // _ONE_DAY if offer.years else days or _YEAR
    paths = weeks.paths(n, start=first, days=length, growth=growth, seed=seed)
    grown = f", grown by {growth:.1%} a year" if growth else ""
    drawn = f"{many(len(weeks.tokens), 'whole week')} from {weeks.first} to {weeks.last}"
    said = (
        f"{many(n, 'scenario')} drawn from {drawn}{grown}. Weeks are drawn one by one, so good and bad ones even out: "
        "over a whole term costs will differ more than is said here."
    )
    return Scenarios(paths, first, said)


@contextmanager
def _numpy_needed() -> Iterator[None]:
    try:
        yield
    except ImportError as error:
        raise tf.ArgumentError("plans need numpy: pip install 'tokenflex[planning]'") from error


def _paths_in(path: Path) -> pl.DataFrame:
    if path.suffix not in (".parquet", ".csv"):
        fail(f"--paths {path}: give a file that ends in .parquet or .csv")
    try:
        if path.suffix == ".parquet":
            return pl.read_parquet(path)
        table = pl.read_csv(path, infer_schema=False)
        typed = {"day": pl.col("day").str.to_date(strict=True), "tokens": pl.col("tokens").cast(pl.Float64)}
        return table.with_columns(**{name: typed[name] for name in typed if name in table.columns})
    except pl.exceptions.PolarsError as error:
        fail(f"--paths {path}: cannot be read as scenarios: {str(error).splitlines()[0]}")


def _day(text: str, option: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        fail(f"{option} {text}: give a date such as 2027-01-01")


def _part(text: str, option: str, *, least: int = 0) -> float:
    """`5%` as 0.05."""
    try:
        part = float(Decimal(text.removesuffix("%")) / _HUNDRED)
    except InvalidOperation:
        fail(f"{option} {text}: give percent, such as 5%")
    if not text.endswith("%") or not least <= part <= _HUNDRED:
        fail(f"{option} {text}: give percent, such as 5%")
    return part


def _plain(found: tf.PurchasePlan, said: str, problems: pl.DataFrame) -> dict[str, Any]:
    chosen = plain(found.tried.filter("is_chosen")).to_dicts()[0]
    return {
        "start": found.start.isoformat(),
        "end": found.end.isoformat(),
        "scenarios": said,
        "currency": found.offer.currency,
        "plan": {name: value for name, value in chosen.items() if name != "is_chosen"},
        "purchases": plain(found.purchases).to_dicts(),
        "top_ups": plain(found.top_ups).to_dicts(),
        "newsvendor": plain(found.newsvendor).to_dicts(),
        "curve": plain(found.curve).to_dicts(),
        "contract": json.loads(found.contract.to_json()),
        "problems": plain(problem_groups(problems)).to_dicts(),
    }


def show_plan(found: tf.PurchasePlan, said: str, to: Console, *, brief: bool = False) -> None:
    """Prints the plan: what to buy and what it may cost; unless brief, what else was tried and when tokens run out."""
    chosen = found.tried.row(by_predicate=pl.col("is_chosen"), named=True)
    currency = found.offer.currency
    to.print()
    to.print(f"buy {chosen['purchase']}", style="bold green")
    cost, low, high = (f"{chosen[name]:,.0f}" for name in ("expected_cost", "low_cost", "high_cost"))
    to.print(f"expected cost {cost} {currency}, in eight scenarios of ten between {low} and {high}", style="bold")
    to.print(f"from {found.start} to {found.end}; {said}")
    to.print()
    _show_purchases(found, to)
    if not brief:
        _show_curve(found, to)
        _show_top_ups(found, to)
        _show_newsvendor(found, to)


def _show_purchases(found: tf.PurchasePlan, to: Console) -> None:
    is_open = found.below is not None
    spread = ["earliest", "latest", ">chance"] if is_open else []
    table = screen.new_table(">no.", "day", "pool", ">tokens", ">price", f">cost ({found.offer.currency})", *spread)
    for row in found.purchases.head(_SHOWN).iter_rows(named=True):
        cells = [str(row["earliest"]), str(row["latest"]), f"{row['chance']:.0%}"] if is_open else []
        table.add_row(
            str(row["number"]),
            str(row["day"]),
            row["pool"] or "-",
            screen.tokens(row["tokens"]),
            money(row["unit_price"], places=4),
            money(row["cost"]),
            *cells,
        )
    more = found.purchases.height - _SHOWN
    note = f"{many(more, 'more purchase')} not shown: see --json. " if more > 0 else ""
    if is_open:
        note += "A purchase falls on the day that begins with less than is said above; shown are the median days, and "
        note += "between which days four of five scenarios buy."
    screen.print_table(to, "What to buy", table, note)


def _show_curve(found: tf.PurchasePlan, to: Console) -> None:
    """The chosen quantity and the cheapest way of some others, from the least to the greatest."""
    # Beyond twice the choice there is nothing to choose from.
    curve = found.curve.filter(pl.col("tokens") <= 2 * found.tokens).with_row_index("place")
    chosen = curve.row(by_predicate=pl.col("is_chosen"), named=True)["place"]
    last = curve.height - 1
    places = {round(part * last / (_SHOWN - 2)) for part in range(_SHOWN - 1)} | {chosen}
    table = screen.new_table(">tokens", "bought as", ">expected cost", ">low", ">high", ">runs out", ">expires")
    for row in curve.filter(pl.col("place").is_in(sorted(places))).iter_rows(named=True):
        table.add_row(
            f"{row['tokens']:,.0f}",
            row["purchase"],
            *(f"{row[name]:,.0f}" for name in ("expected_cost", "low_cost", "high_cost")),
            f"{row['run_out_chance']:.0%}",
            f"{row['expected_expiry']:,.0f}",
            style="bold green" if row["is_chosen"] else "",
        )
    note = (
        f"Of each quantity the cheapest of {found.tried.height:,} purchases that were tried. `low` and `high`: in a "
        "tenth and in nine tenths of the scenarios it costs no more. `runs out`: in so many scenarios. `expires`: "
        "tokens, on average."
    )
    screen.print_table(to, f"What other quantities would cost ({found.offer.currency})", table, note)


def _show_top_ups(found: tf.PurchasePlan, to: Console) -> None:
    table = screen.new_table(">scenarios", "have run out by", ">tokens that lack, at most")
    for chance, day, tokens in found.top_ups.iter_rows():
        table.add_row(f"{chance:.0%}", "-" if day is None else str(day), f"{tokens:,.0f}")
    note = (
        f"In {found.run_out_chance:.0%} of the scenarios tokens run out; what lacks costs "
        f"{money(found.offer.overage_price, places=4)} {found.offer.currency} each."
    )
    screen.print_table(to, "When to top up", table, note)


def _show_newsvendor(found: tf.PurchasePlan, to: Console) -> None:
    kinds = ", ".join(f"{row[0]} {row[3]:,.0f}" for row in found.newsvendor.iter_rows())
    ratio = found.newsvendor["critical_ratio"][0]
    to.print(
        f"Cross-check: at the plan's mean price a token is worth having if it is used in {1 - ratio:.1%} of all "
        f"futures or more. One kind of pool alone would hold, in tokens: {kinds}.\n",
        style="dim",
    )
