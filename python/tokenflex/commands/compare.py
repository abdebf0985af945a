"""`tokenflex compare`: licenses, subscriptions, tokens, or a mix, for the use in the logs."""

from __future__ import annotations

import json
from pathlib import Path  # noqa: TC003 - typer reads the annotations when it runs
from typing import TYPE_CHECKING, Annotated, Any, Final

import polars as pl
import typer

import tokenflex as tf
from tokenflex import screen
from tokenflex.commands.contracts import money
from tokenflex.commands.logs import paired
from tokenflex.commands.options import (
    AsOfOption,
    JsonOption,
    LogOptions,
    LogsArgument,
    fail,
    instant_of,
    readable_errors,
    rows_in,
    takes,
    writer_of,
)
from tokenflex.summary import plain, problem_groups
from tokenflex.words import many, some

if TYPE_CHECKING:
    from rich.console import Console

USERS_SHOWN: Final = 10
TITLES: Final[dict[str, str]] = {
    "licenses_peak": "licenses, for the peak",
    "licenses_p95": "licenses, for 95 % of the time",
    "subscriptions": "subscriptions for all",
    "tokens": "tokens for all",
    "mix": "the cheapest mix",
}

HELP = """Say what the use in the logs costs in a year by licenses, by subscriptions, by tokens, and by a mix of these.

\b
  tokenflex compare logs/ --timezone Europe/Madrid --rates rates.csv \\
    --price-list price-list.toml --token-price 3 --out users.csv

\b
price-list.toml has your prices, for a user or a license and a year:
  currency = "USD"
  [[subscriptions]]
  name = "Revit"
  products = ["RVT"]          # several for a collection
  price = 2985
  [[maintenance]]
  product = "ACD"
  price = 600
  owned = 25                  # if you know
"""


@takes(LogOptions)
def compare(
    logs: LogsArgument,
    *,
    asked: LogOptions,
    price_list: Annotated[Path | None, typer.Option(help="What subscriptions and maintenance cost, as TOML.")] = None,
    token_price: Annotated[str | None, typer.Option(metavar="MONEY", help="What a token costs.")] = None,
    current: Annotated[
        Path | None, typer.Option(help="Which subscriptions users have, as CSV: user, subscription. Default: none.")
    ] = None,
    hysteresis: Annotated[
        str, typer.Option(metavar="PART", help="Nobody changes for less than this part of the present cost.")
    ] = "0.1",
    aliases: Annotated[Path | None, typer.Option(help="Who is who, as CSV: spelling, person.")] = None,
    out: Annotated[Path | None, typer.Option(help="Write what each user should have here: .parquet or .csv.")] = None,
    as_of: AsOfOption = None,
    as_json: JsonOption = False,
) -> None:
    """Compares models; see `HELP`."""
    with readable_errors():
        write = writer_of(out)
        if price_list is None:
            fail(
                "--price-list is missing: what do subscriptions and maintenance cost?", "See tokenflex compare --help."
            )
        if token_price is None:
            fail("--token-price is missing: what does a token cost?")
        known = tf.PriceList.read(price_list)
        identity = tf.Identity() if aliases is None else tf.Identity.read(aliases)
        run = paired(logs, asked, as_of=instant_of(as_of), identity=identity)
        problems = tf.Problems()
        found = tf.compare_models(
            run.sessions,
            rule=asked.terms,
            rates=run.rates,
            token_price=token_price,
            price_list=known,
            servers=run.servers,
            current=None if current is None else _current_of(current),
            hysteresis=hysteresis,
            as_of=instant_of(as_of),
            problems=problems,
        )
        names = pl.col("products", "current", "cheapest", "best").list.join("; ")
        write(found.users.with_columns(names) if out is not None and out.suffix == ".csv" else found.users)
        groups = problem_groups(pl.concat([run.problems, problems.frame]))
        if as_json:
            typer.echo(json.dumps(_plain(found, groups), indent=2))
        elif not asked.quiet:
            to = screen.console()
            show_comparison(found, to)
            screen.show_problems(groups, to)
            if out is not None:
                to.print(f"{found.users.height:,} users written to {out}", soft_wrap=True)


def _current_of(path: Path) -> dict[str, list[str]]:
    """The subscriptions of each user in a file."""
    found: dict[str, list[str]] = {}
    for user, name in rows_in(path, "--current", ("user", "subscription")):
        found.setdefault(user, []).append(name)
    return found


def show_comparison(found: tf.ModelComparison, to: Console) -> None:
    """Prints what each model costs, the break-even of each product, and whom a subscription serves best."""
    to.print()
    best = found.cheapest
    if best is not None:
        row = found.models.row(by_predicate=pl.col("model") == best, named=True)
        lacks = f", without {some(row['unpriced'])}, which has no price in any model" if row["unpriced"] else ""
        to.print(f"{TITLES[best]} costs least: {money(row['cost'])} {found.currency} a year{lacks}", style="bold")
    to.print(f"{many(found.users.height, 'user')}; {many(found.days, 'day')} of use, scaled to a year of 365")
    to.print()
    _show_models(found, to)
    _show_products(found, to)
    _show_users(found, to)


def _show_models(found: tf.ModelComparison, to: Console) -> None:
    columns = ("model", f">{found.currency} a year", ">licenses", ">subscriptions", ">tokens", "not in it")
    table = screen.new_table(*columns)
    for row in found.models.iter_rows(named=True):
        table.add_row(
            TITLES[row["model"]],
            "-" if row["cost"] is None else money(row["cost"]),
            _count(row["licenses"]),
            _count(row["subscriptions"]),
            "" if row["tokens"] is None else screen.tokens(round(row["tokens"])),
            some(row["unpriced"]),
        )
    frozen = int(found.models["frozen"].max() or 0)  # type: ignore[arg-type]  # of counts
    note = "`not in it`: products without a price in that model, so its cost is less than it would be."
    if frozen:
        note += f" While tokens are bought, {many(frozen, 'license')} of your own are frozen; after it they are back."
    screen.print_table(to, "The same use in five ways", table, note)


def _count(value: int | None) -> str:
    return "" if value is None else f"{value:,}"


def _show_products(found: tf.ModelComparison, to: Console) -> None:
    table = screen.new_table("product", ">users", ">break-even", ">users above", ">peak", ">for 95 %", ">owned")
    for row in found.products.iter_rows(named=True):
        even = row["break_even_days"]
        table.add_row(
            row["product"],
            f"{row['users']:,}",
            "" if even is None else f"{even:,.1f} days",
            _count(row["users_above"]),
            f"{row['peak']:,}",
            f"{row['p95']:,}",
            _count(row["owned"]),
        )
    note = "`break-even`: on so many days a year a subscription of this product alone costs what its tokens cost."
    screen.print_table(to, "Products", table, note)


def _show_users(found: tf.ModelComparison, to: Console) -> None:
    changes = found.users.filter("changes").with_columns(saving=pl.col("cost_current") - pl.col("cost"))
    if changes.is_empty():
        to.print("Nobody should change what they have.\n")
        return
    table = screen.new_table("user", "has", "should have", f">{found.currency} now", ">then", ">saving")
    for row in changes.sort("saving", "user", descending=[True, False]).head(USERS_SHOWN).iter_rows(named=True):
        table.add_row(
            row["user"],
            _names(row["current"]),
            _names(row["best"]),
            *(money(row[name]) for name in ("cost_current", "cost", "saving")),
        )
    more = changes.height - USERS_SHOWN
    note = "All else of their use stays with tokens." + (f" {many(more, 'user')} more: see --out." if more > 0 else "")
    screen.print_table(to, f"{many(changes.height, 'user')} should change", table, note)


def _names(subscriptions: list[str]) -> str:
    return ", ".join(subscriptions) or "tokens only"


def _plain(found: tf.ModelComparison, problems: pl.DataFrame) -> dict[str, Any]:
    return {
        "cheapest": found.cheapest,
        "currency": found.currency,
        "days": found.days,
        "models": plain(found.models).to_dicts(),
        "products": plain(found.products).to_dicts(),
        "users": plain(found.users).to_dicts(),
        "problems": plain(problems).to_dicts(),
    }
