"""The command line: its entry point, its help, and the commands that it has."""

from __future__ import annotations

import io
import sys
from typing import Annotated

import polars as pl
import typer

import tokenflex as tf
from tokenflex.commands import (
    audit,
    balance,
    capacity,
    charge,
    chargeback,
    compare,
    demo,
    doubles,
    estimate,
    forecast,
    harvest,
    idle,
    infer_rule,
    inspect,
    ledger,
    plan,
    rerun,
    sensitivity,
    whatif,
)

# In this text \b keeps the lines of a paragraph as they are.
_HELP = """Compute what Autodesk's token licensing (Flex, Token Flex) charges, from the license servers' own logs.

\b
See it work on an invented firm:
  tokenflex demo

\b
What is this file, and what can I do with it?
  tokenflex inspect FILE

\b
Your own logs, in three steps:
  tokenflex charge logs/ --timezone Europe/Madrid > rates.csv
    no rates yet: this writes the list of your products
  fill in rates.csv: the daily tokens of each product, from your contract
  tokenflex charge logs/ --timezone Europe/Madrid --rates rates.csv

\b
Keep the charges, one row each, for a spreadsheet or a database:
  … --out charges.csv   or   … --out charges.parquet

\b
Does the vendor's statement agree, and where it does not, why:
  tokenflex audit logs/ --timezone Europe/Madrid --rates rates.csv \\
    --statement statement.csv

\b
Who holds licenses idle, and which to take back before they are charged again:
  tokenflex idle logs/ --timezone Europe/Madrid --users users.csv
  tokenflex harvest logs/ --timezone Europe/Madrid --rates rates.csv \\
    --users users.csv

\b
How many licenses are in use, when, and who was refused:
  tokenflex capacity logs/ --timezone Europe/Madrid

\b
What that takes from your contract, what is left of it, and who pays:
  tokenflex ledger charges.csv --contract contract.toml
  tokenflex balance charges.csv --contract contract.toml
  tokenflex chargeback charges.csv --contract contract.toml --by user

\b
What the days to come will take:
  tokenflex forecast charges.csv --horizon 365

\b
How many tokens to buy next, and when:
  tokenflex plan charges.csv --offer offer.toml --growth 5%

\b
Before a contract: what would tokens have cost, or subscriptions:
  tokenflex estimate logs/ --timezone Europe/Madrid --rates rates.csv
  tokenflex compare logs/ --timezone Europe/Madrid --rates rates.csv \\
    --price-list price-list.toml --token-price 3

\b
Which change would move that most:
  tokenflex sensitivity logs/ --timezone Europe/Madrid --rates rates.csv \\
    --token-price 3
"""
app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def main() -> None:
    """The entry point."""
    for stream in (sys.stdout, sys.stderr):
        # A name that the terminal's encoding lacks is shown with a question mark, and the rest is shown all the same.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    app(prog_name="tokenflex")


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"tokenflex {tf.__version__} (zone database {tf.zone_database_version}, polars {pl.__version__})")
        raise typer.Exit


@app.callback(help=_HELP)
def root(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_version, is_eager=True, help="Versions of this program and its zones."),
    ] = False,
) -> None:
    """What stands before any command."""


app.command()(demo.demo)
app.command(help=inspect.HELP)(inspect.inspect)
app.command(help=charge.HELP)(charge.charge)
app.command(help=doubles.HELP)(doubles.doubles)
app.command(help=audit.HELP)(audit.audit)
app.command(help=rerun.HELP)(rerun.rerun)
app.command(help=whatif.HELP)(whatif.whatif)
app.command(help=infer_rule.HELP)(infer_rule.infer_rule)
app.command(help=idle.HELP)(idle.idle)
app.command(help=harvest.HELP)(harvest.harvest)
app.command(help=capacity.HELP)(capacity.capacity)
app.command(help=ledger.HELP)(ledger.ledger)
app.command(help=balance.HELP)(balance.balance)
app.command(help=chargeback.HELP)(chargeback.chargeback)
app.command(help=forecast.HELP)(forecast.forecast)
app.command(help=plan.HELP)(plan.plan)
app.command(help=estimate.HELP)(estimate.estimate)
app.command(help=compare.HELP)(compare.compare)
app.command(help=sensitivity.HELP)(sensitivity.sensitivity)
