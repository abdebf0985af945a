"""`tokenflex estimate`: what the past would have cost in tokens, and how far that is uncertain."""

from __future__ import annotations

import json
from pathlib import Path  # noqa: TC003 - typer reads the annotations when it runs
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

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
    instant_of,
    readable_errors,
    rule_of,
    takes,
    writer_of,
)
from tokenflex.summary import plain, problem_groups
from tokenflex.words import many

if TYPE_CHECKING:
    from decimal import Decimal

    from rich.console import Console

ROWS_SHOWN: Final = 20
TITLES: Final[dict[str, str]] = {
    "rule": "another rule",
    "identity": "one person?",
    "open_sessions": "not ended",
    "ended_by_server": "ended by the server",
    "missing_days": "days without lines",
    "unknown_products": "product without rate",
}

HELP = """Say what the use in the logs would have cost in tokens: low, base and high, and what makes the difference.

\b
  tokenflex estimate logs/ --timezone Europe/Madrid --rates rates.csv
  tokenflex estimate logs/ --timezone Europe/Madrid --rates rates.csv \\
    --token-price 3 --scale-missing-days --out uncertain.csv

The base is what `tokenflex charge` charges, of persons in place of names. Other rules, likely aliases, sessions
without an end, days without lines and products without a rate are then each read otherwise and charged anew.
"""


@takes(LogOptions)
def estimate(
    logs: LogsArgument,
    *,
    asked: LogOptions,
    token_price: Annotated[
        str | None, typer.Option(metavar="MONEY", help="What a token costs; the estimate then is in money, too.")
    ] = None,
    aliases: Annotated[
        Path | None, typer.Option(help="Who is who, as CSV: spelling, person. What is in doubt may be written there.")
    ] = None,
    other_rule: Annotated[
        list[str] | None,
        typer.Option(
            metavar="token-flex|flex|FILE.toml",
            help="A rule that may hold too, once for each. Default: windows of 24 hours, or days; no least duration.",
        ),
    ] = None,
    open_sessions: Annotated[
        Literal["as_of", "day", "launch"],
        typer.Option(
            help="How long the base takes sessions that have not ended: to the last line, their day's end, or no time."
        ),
    ] = "as_of",
    scale_missing_days: Annotated[
        bool, typer.Option("--scale-missing-days", help="The base has the weekday's mean for days without lines.")
    ] = False,
    out: Annotated[Path | None, typer.Option(help="Write all that is uncertain here: .parquet or .csv.")] = None,
    as_of: AsOfOption = None,
    as_json: JsonOption = False,
) -> None:
    """Estimates the past; see `HELP`."""
    with readable_errors():
        write = writer_of(out)
        identity = tf.Identity() if aliases is None else tf.Identity.read(aliases)
        others = None if other_rule is None else [rule_of(text) for text in other_rule]
        run = paired(logs, asked, as_of=instant_of(as_of))
        problems = tf.Problems()
        found = tf.estimate(
            run.sessions,
            rule=asked.terms,
            rates=run.rates,
            servers=run.servers,
            rules=others,
            identity=identity,
            open_sessions=open_sessions,
            coverage=run.coverage,
            scale_missing_days=scale_missing_days,
            token_price=token_price,
            as_of=instant_of(as_of),
            problems=problems,
        )
        write(found.contributions)
        groups = problem_groups(pl.concat([run.problems, problems.frame]))
        if as_json:
            typer.echo(json.dumps(_plain(found, groups), indent=2))
        elif not asked.quiet:
            to = screen.console()
            show_estimate(found, to)
            screen.show_problems(groups, to)
            if out is not None:
                to.print(f"{found.contributions.height:,} rows written to {out}", soft_wrap=True)


def show_estimate(found: tf.Estimate, to: Console) -> None:
    """Prints the three sums, and what makes the difference."""
    to.print()
    headline = f"{screen.tokens(found.base)} tokens, between {screen.tokens(found.low)} and {screen.tokens(found.high)}"
    to.print(headline, style="bold")
    if found.cost is not None:
        low, base, high = (money(cost) for cost in found.cost)
        to.print(f"at {found.token_price} a token {base}, between {low} and {high}")
    if found.first is not None:
        to.print(f"of {found.first} to {found.last}; {_coverage(found)}")
    to.print()
    if found.contributions.is_empty():
        to.print("Nothing is uncertain.\n")
        return
    table = screen.new_table("uncertain", "what", ">low", ">high", ">about")
    for row in found.contributions.head(ROWS_SHOWN).iter_rows(named=True):
        table.add_row(
            TITLES[row["source"]],
            row["item"] or row["how"],
            _change(row["low"] - found.base),
            _change(row["high"] - found.base),
            f"{row['count']:,} {row['of']}",
        )
    note = (
        "Tokens more or less than the base, if this alone were otherwise. The least and the most of the whole are "
        "charged with all of them at once, so they are no sums of these."
    )
    if found.contributions.height > ROWS_SHOWN:
        note += f" {many(found.contributions.height - ROWS_SHOWN, 'row')} more: see --out."
    screen.print_table(to, "What is uncertain", table, note)


def _coverage(found: tf.Estimate) -> str:
    if not found.missing_days:
        return "every day has lines"
    days = f"{many(found.missing_days, 'day')} of a server without lines"
    if found.filled:
        return f"for {days} the base has {screen.tokens(found.filled)} tokens"
    return f"{days}, for which the base has nothing (--scale-missing-days)"


def _change(tokens: Decimal) -> str:
    return "" if tokens == 0 else f"{'+' if tokens > 0 else '-'}{screen.tokens(abs(tokens))}"


def _plain(found: tf.Estimate, problems: pl.DataFrame) -> dict[str, Any]:
    cost = found.cost
    return {
        "low": str(found.low),
        "base": str(found.base),
        "high": str(found.high),
        "token_price": None if found.token_price is None else str(found.token_price),
        "cost": None if cost is None else dict(zip(("low", "base", "high"), map(str, cost), strict=True)),
        "first": None if found.first is None else found.first.isoformat(),
        "last": None if found.last is None else found.last.isoformat(),
        "missing_days": found.missing_days,
        "filled": str(found.filled),
        "contributions": plain(found.contributions).to_dicts(),
        "products": plain(found.products).to_dicts(),
        "problems": plain(problems).to_dicts(),
    }
