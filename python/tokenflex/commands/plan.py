"""`tokenflex plan`: how many tokens to buy, of which kind and when, at the least expected cost."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path  # noqa: TC003 - typer reads the annotations when it runs
from typing import TYPE_CHECKING, Annotated, Any, Final, NamedTuple, cast

import polars as pl
import typer

import tokenflex as tf
from tokenflex import screen, tables
from tokenflex.commands.contracts import Charged, ContractOptions, charges_of, money, sum_of
from tokenflex.commands.forecasts import FutureOptions, ModelOption, day_after, day_of, forecast_of, part_of
from tokenflex.commands.options import (
    JsonOption,
    fail,
    is_from_file,
    may_be_written,
    readable_errors,
    takes,
    writer_of,
)
from tokenflex.contract.days import ONE_DAY, years_later
from tokenflex.planning.forecast import MOST_AHEAD
from tokenflex.summary import plain, problem_groups
from tokenflex.times import MICROSECOND
from tokenflex.words import many

if TYPE_CHECKING:
    from datetime import date

    from rich.console import Console

_SHOWN: Final = 12
_YEAR: Final = 365

HELP = """Say how many tokens to buy, of which kind and when, so that the expected cost is least.

\b
From what was charged, by a forecast, for the terms in offer.toml:
  tokenflex plan charges.csv --offer offer.toml --country ES --growth 5%
\b
From logs, for a term that begins on a day; the contract is kept:
  tokenflex plan logs/ --timezone Europe/Madrid --rates rates.csv \\
    --offer offer.toml --start 2027-01-01 --save-contract contract.toml
\b
From scenarios that `tokenflex forecast --paths` wrote, or from your own:
  tokenflex plan --paths scenarios.parquet --offer offer.toml
\b
With tokens left, of a contract that runs or of a team's packs:
  tokenflex plan charges.csv --offer offer.toml --contract contract.toml

The options of the forecast are those of `tokenflex forecast`. It takes 91 days of charges, better a year.
docs/plan-purchase.md says how offer.toml is written.
"""

SourceArgument = Annotated[
    list[str] | None,
    typer.Argument(help="Logs, or one file of charges that `charge --out` wrote.", metavar="LOGS|CHARGES"),
]


@dataclass(frozen=True, kw_only=True)
class PlanOptions(FutureOptions, ContractOptions):
    """The options of a plan, besides those of the forecast that it goes by and of the contract that is held."""

    offer: Annotated[Path | None, typer.Option(help="What can be bought, at what price, as .toml.")] = None
    paths: Annotated[Path | None, typer.Option(help="Scenarios as .parquet or .csv: scenario, day, tokens.")] = None
    start: Annotated[
        str | None, typer.Option(metavar="DATE", help="The first day. Default: the first that is forecast.")
    ] = None
    days: Annotated[
        int | None, typer.Option(min=1, help="Of packs: how many days to plan. Default: 365. A term has its own.")
    ] = None
    model: ModelOption = "weekday"


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
        limit = None if run_out_limit is None else float(part_of(run_out_limit, "--run-out-limit"))
        dates = None if buy_on is None else [day_of(each, "--buy-on") for each in buy_on]
        given = _given(source or [], asked, offer, problems)
        found = tf.plan_purchase(
            given.paths,
            offer=offer,
            held=given.held,
            start=given.start,
            dates=dates,
            run_out_limit=limit,
            n=asked.number,
            seed=asked.seed,
        )
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
    """Paths as `plan_purchase` takes them, their first day, what they are in words, and what is held on that day."""

    paths: Any
    start: date | None
    said: str
    held: tf.Ledger | None


_OF_FORECASTS: Final = {
    "by": "--by",
    "sites": "--sites",
    "country": "--country",
    "holidays": "--holidays",
    "scenarios": "--scenarios",
    "growth": "--growth",
    "model": "--model",
    "until": "--until",
    "incomplete": "--incomplete",
    "number": "--number",
    "days": "--days",
}
"""Fields that say how scenarios come about, and their options."""


def _given(source: list[str], asked: PlanOptions, offer: tf.Offer, problems: tf.Problems) -> Scenarios:
    if asked.paths is not None and is_from_file("source"):
        source = []
    if asked.paths is not None and is_from_file("book"):
        asked = replace(asked, book=None)
    has_source = bool(source) or asked.book is not None
    _check(asked, offer, has_source=has_source)
    start = None if asked.start is None else day_of(asked.start, "--start")
    held = asked.agreed if asked.contract is not None or asked.is_of_book else None
    if held is not None and (asked.is_of_book or is_from_file("contract")) and bool(held.years) != bool(offer.years):
        held = None
    # With a file of charges, rates are for projects only.
    charged = charges_of(source, asked, problems, also=("--rates", *asked.local)) if has_source else None
    if asked.paths is not None:
        paths = _paths_in(asked.paths)
        first = start or cast("date | None", paths["day"].min() if "day" in paths.columns else None)
        ledger = _settled(held, charged, asked, first, problems)
        return Scenarios(paths, first, f"the scenarios of {asked.paths.name}", ledger)
    assert charged is not None  # noqa: S101 - one of the two was given
    return forecasted(charged, offer=offer, asked=asked, start=start, held=held, problems=problems)


def _check(asked: PlanOptions, offer: tf.Offer, *, has_source: bool) -> None:
    if asked.paths is None and not has_source:
        fail("give logs or charges to forecast from, or scenarios of your own with --paths, one of the two")
    if asked.paths is not None and has_source and asked.contract is None and not asked.is_of_book:
        fail(
            "give logs or charges, or --paths, one of the two; both only where --contract says what they are drawn from"
        )
    has_contract = asked.contract is not None or asked.is_of_book
    if asked.statement is not None and not has_contract and not is_from_file("statement"):
        fail("--statement goes with --contract: what is booked by hand is taken from its tokens")
    if offer.years and asked.days is not None:
        fail("--days goes with packs: the term of the offer says how long the plan lasts")
    if asked.paths is not None:
        for field, option in _OF_FORECASTS.items():
            if getattr(asked, field) != getattr(PlanOptions, field) and not is_from_file(field):
                fail(f"{option} goes with logs or charges: the scenarios in {asked.paths} are as they are")


def forecasted(
    charged: Charged,
    *,
    offer: tf.Offer,
    asked: PlanOptions,
    start: date | None = None,
    held: tf.Contract | None = None,
    problems: tf.Problems,
) -> Scenarios:
    """Scenarios of a forecast that reaches from the day after the past to the end of the plan."""
    begins = day_after(charged, asked)
    if begins is None:
        fail("there are no charges with a date to forecast from")
    found, first, told = None, begins, tf.Problems()
    # A past whose end is cut off ends earlier than its last charge says.
    while found is None or found.start != begins:
        begins = begins if found is None else found.start
        first = start or begins
        if first < begins:
            fail(f"--start {first}: the forecast begins on {begins}, the day after what is known; give that or a later")
        if first > begins and held is not None and is_from_file("contract"):
            held = None
        if first > begins and held is not None:
            fail(f"--start {first}: what is used from {begins} on is not known, and so is not what is left by then")
        horizon = (_end(first, offer, asked, held) - begins) // ONE_DAY
        if horizon > MOST_AHEAD:
            last = begins + (MOST_AHEAD - horizon + (first - begins).days) * ONE_DAY
            fail(f"--start {first}: a forecast reaches {MOST_AHEAD:,} days, so begin the plan on {last} or before")
        told = tf.Problems()
        found = forecast_of(charged, asked, told, horizon=max(horizon, 1))
    problems.add(told.frame)
    since, used = found.history["date"][0], sum_of(found.history["tokens"])
    said = (
        f"{many(asked.number, 'path')} of a forecast by {screen.tokens(used)} tokens in the "
        f"{many((found.start - since).days, 'day')} since {since}, model {found.model}."
    )
    said = " ".join([said, *(f"{doubt}." for doubt in found.doubts)])
    return Scenarios(found, first, said, _settled(held, charged, asked, first, problems))


def _end(first: date, offer: tf.Offer, asked: PlanOptions, held: tf.Contract | None) -> date:
    """The first day behind the plan."""
    if offer.years:
        return years_later(first, offer.years) if held is None else held.end + ONE_DAY
    return first + (asked.days or _YEAR) * ONE_DAY


def _settled(
    held: tf.Contract | None, charged: Charged | None, asked: PlanOptions, first: date | None, problems: tf.Problems
) -> tf.Ledger | None:
    """What is held when a plan begins: the contract with all that was drawn from it before."""
    if held is None or first is None:
        return None
    charges = pl.DataFrame(schema=dict(tables.CHARGES)) if charged is None else charged.charges
    as_of = held.first_instant(first) - MICROSECOND
    return held.settle(charges, statement=asked.stated(problems), as_of=as_of, problems=problems)


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


def _plain(found: tf.PurchasePlan, said: str, problems: pl.DataFrame) -> dict[str, Any]:
    chosen = plain(found.tried.filter("is_chosen")).to_dicts()[0]
    return {
        "start": found.start.isoformat(),
        "end": found.end.isoformat(),
        "scenarios": said,
        "currency": found.offer.currency,
        "plan": {name: value for name, value in chosen.items() if name != "is_chosen"},
        "held": plain(found.held).to_dicts(),
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
    if not found.held.is_empty():
        pools, left = many(found.held.height, "pool"), screen.tokens(sum_of(found.held["tokens"]))
        to.print(f"held already: {left} tokens in {pools}, the first of which ends on {found.held['end'].sort()[0]}")
    to.print()
    _show_purchases(found, to)
    if not brief:
        _show_curve(found, to)
        _show_top_ups(found, to)
        _show_newsvendor(found, to)


def _show_purchases(found: tf.PurchasePlan, to: Console) -> None:
    is_open = found.below is not None or found.top_up is not None
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
        when = "that begins with less than is said above" if found.top_up is None else "on which tokens would run out"
        note += (
            f"What is not bought at once falls on the day {when}; shown are the median days, and between which days "
        )
        note += "four of five of those scenarios buy."
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
    has_top_ups = found.top_up is not None
    more = [">top-ups bring, at most"] if has_top_ups else []
    by = "top up by" if has_top_ups else "have run out by"
    table = screen.new_table(">scenarios", by, ">tokens that lack, at most", *more)
    for chance, day, tokens, bought in found.top_ups.iter_rows():
        cells = [f"{bought:,.0f}"] if has_top_ups else []
        table.add_row(f"{chance:.0%}", "-" if day is None else str(day), f"{tokens:,.0f}", *cells)
    price, currency = money(found.offer.overage_price, places=4), found.offer.currency
    note = f"In {found.run_out_chance:.0%} of the scenarios tokens run out; what lacks costs {price} {currency} each."
    if found.top_up is not None:
        size, cost = screen.tokens(found.top_up), money(found.offer.cost_of_top_up(found.top_up))
        note = f"A top-up of {size} tokens for {cost} {currency} is bought on the day on which they would run out."
    screen.print_table(to, "When to top up", table, note)


def _show_newsvendor(found: tf.PurchasePlan, to: Console) -> None:
    kinds = ", ".join(f"{row['pool']} {row['tokens']:,.0f}" for row in found.newsvendor.iter_rows(named=True))
    ratio = found.newsvendor["critical_ratio"][0]
    to.print(
        f"Cross-check: at the plan's mean price a token is worth having if it is used in {1 - ratio:.1%} of all "
        f"futures or more. One kind of pool alone would hold, in tokens: {kinds}.\n",
        style="dim",
    )
