"""`tokenflex doubles`: what was charged twice within a working day, why, and what helps."""

from __future__ import annotations

import json
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path  # noqa: TC003 - typer reads the annotations when it runs
from typing import TYPE_CHECKING, Annotated

import polars as pl
import typer
from rich.padding import Padding

import tokenflex as tf
from tokenflex import screen
from tokenflex.audit.words import REMEDIES
from tokenflex.commands.logs import metered, sessions_of_logs
from tokenflex.commands.options import (
    AliasesOption,
    AsOfOption,
    JsonOption,
    LogOptions,
    UsersOption,
    VariantsOption,
    fail,
    instant_of,
    is_from_file,
    is_statement,
    readable_errors,
    takes,
    users_of,
    variants_of,
    writer_of,
)
from tokenflex.summary import doubles_by_cause
from tokenflex.words import many

if TYPE_CHECKING:
    from datetime import datetime

    from rich.console import Console

INDENT = 2
SHOWN = 3
"""Cases told of each cause unless asked for more."""

HELP = """Find what was charged twice to one person for one product within one working day, and say why.

\b
In your own logs: what the contract's rule doubles
  tokenflex doubles logs/ --timezone Europe/Madrid --rates rates.csv \\
    --users users.csv
\b
In the vendor's statement, with your logs as evidence: what the vendor charged
twice
  tokenflex doubles statement.csv --logs logs/ --timezone Europe/Madrid \\
    --rates rates.csv --rule rule.toml --users users.csv --out doubles.csv

users.csv has the columns user and zone: by which zone each user lives. The file of --out has every case, in words that
can be sent to the vendor.
"""


@takes(LogOptions)
def doubles(
    source: Annotated[
        list[str], typer.Argument(help="Logs, or one statement of the vendor.", metavar="LOGS|STATEMENT")
    ],
    *,
    users: UsersOption = None,
    logs: Annotated[
        list[str] | None, typer.Option(help="With a statement: your logs, as evidence. Repeat for several.")
    ] = None,
    asked: LogOptions,
    aliases: AliasesOption = None,
    variants: VariantsOption = None,
    show: Annotated[int, typer.Option(min=0, help="How many cases of each cause are told.")] = SHOWN,
    out: Annotated[Path | None, typer.Option(help="Write all cases here: .parquet or .csv.")] = None,
    as_of: AsOfOption = None,
    as_json: JsonOption = False,
) -> None:
    """Finds double charges; see `HELP`."""
    with readable_errors():
        write = writer_of(out)
        rule, prices, until = asked.terms, asked.prices, instant_of(as_of)
        lives = users_of(users)
        identity = None if aliases is None else tf.Identity.read(aliases)
        same = None if variants is None else variants_of(variants)
        if is_statement(source):
            charged = _of_statement(source[0], logs or [], asked)
        elif logs and not is_from_file("logs"):
            fail("--logs goes with a statement: give the logs as they are, without --logs")
        else:
            charged = _of_logs(source, asked, until)
        found = tf.double_charges(
            charged.charges,
            users=lives,
            sessions=charged.sessions,
            rule=rule,
            rates=prices,
            servers=charged.servers,
            identity=identity,
            variants=same,
            problems=charged.problems,
        )
        total = charged.charges["tokens"].sum()
        answer = Doubles(tf.explain_double_charges(found), Decimal(total), charged.problems.frame)
        write(_flat(answer.cases))
        if as_json:
            typer.echo(json.dumps(answer.to_dict(), indent=2))
        elif not asked.quiet:
            to = screen.console()
            _show(answer, show, to)
            if out is not None:
                to.print(f"{many(answer.cases.height, 'case')} written to {out}", soft_wrap=True)


@dataclass(frozen=True)
class _Charged:
    """What was charged, by the vendor or by the rule, and what is known besides."""

    charges: pl.DataFrame
    sessions: pl.DataFrame | None
    servers: dict[str, str] | None
    problems: tf.Problems


def _of_statement(path: str, logs: list[str], asked: LogOptions) -> _Charged:
    if asked.prices is None:
        fail("--rates is missing: without rates nothing says which windows a statement's tokens paid for")
    problems = tf.Problems()
    servers = asked.zones
    statement = tf.read_statement(path, timezone=servers, problems=problems)
    sessions = None
    if logs or asked.book is not None:
        sessions = sessions_of_logs(logs, asked, problems)
    if isinstance(servers, str):
        servers = dict.fromkeys(statement["server"].cast(pl.String).drop_nulls().unique(), servers)
    return _Charged(statement, sessions, servers, problems)


def _of_logs(logs: list[str], asked: LogOptions, as_of: datetime | None) -> _Charged:
    run = metered(logs, asked, as_of=as_of)
    problems = tf.Problems()
    problems.add(run.problems)
    return _Charged(run.charges, run.sessions, run.servers, problems)


@dataclass(frozen=True)
class Doubles:
    """What is shown: the cases in words, the tokens of all charges, and what could not be judged."""

    cases: pl.DataFrame
    charged: Decimal
    problems: pl.DataFrame

    @property
    def by_cause(self) -> pl.DataFrame:
        """Cases and tokens of each leading cause, the costliest first."""
        return doubles_by_cause(self.cases)

    def to_dict(self) -> dict[str, object]:
        """The same as plain values."""
        return {
            "tokens_charged": str(self.charged),
            "causes": [
                {"cause": cause, "cases": cases, "tokens": str(tokens), "claimable": str(claimable)}
                for cause, cases, tokens, claimable in self.by_cause.iter_rows()
            ],
            "cases": _flat(self.cases).select(pl.all().cast(pl.String)).to_dicts(),
            "not_judged": self.problems.filter(pl.col("code") == "user_without_zone")["message"].to_list(),
        }


def _flat(cases: pl.DataFrame) -> pl.DataFrame:
    """Without lists, which CSV does not know."""
    return cases.with_columns(
        pl.col("causes").cast(pl.List(pl.String)).list.join(" "), gap=pl.col("gap").dt.total_minutes()
    ).rename({"gap": "gap_minutes"})


def _show(answer: Doubles, shown: int, to: Console) -> None:
    total = Decimal(answer.cases["tokens"].sum())
    claimable = Decimal(answer.cases.filter(pl.col("is_claimable"))["tokens"].sum())
    to.print()
    charged = screen.tokens(answer.charged)
    to.print(
        f"{screen.tokens(total)} of {charged} tokens were charged a second time within a working day", style="bold"
    )
    to.print(
        f"{many(answer.cases.height, 'case')}; by the rule {screen.tokens(claimable)} tokens of them were not due",
        soft_wrap=True,
    )
    to.print()
    table = screen.new_table("cause", ">cases", ">tokens", ">not due", "what helps")
    for cause, cases, tokens, not_due in answer.by_cause.iter_rows():
        table.add_row(cause, f"{cases:,}", screen.tokens(tokens), screen.tokens(not_due), REMEDIES[cause])
    screen.print_table(to, "Why", table)
    for cause in answer.by_cause["cause"]:
        cases = answer.cases.filter(pl.col("cause") == cause)
        if shown == 0:
            break
        to.print(f"{cause} ({many(cases.height, 'case')})", style="bold cyan")
        for text in cases["explanation"].head(shown):
            to.print(Padding(text, (0, 0, 0, INDENT)))
        to.print()
    _not_judged(answer.problems, to)


def _not_judged(problems: pl.DataFrame, to: Console) -> None:
    without = problems.filter(pl.col("code") == "user_without_zone")
    if not without.is_empty():
        to.print(f"Users without a zone ({without.height:,}), not judged:", style="bold")
        for message in without["message"].head(SHOWN):
            to.print(f"  {message}")
        if without.height > SHOWN:
            to.print(f"  … and {without.height - SHOWN:,} more")
    others = problems.filter(pl.col("code") != "user_without_zone")["code"].value_counts(sort=True)
    if not others.is_empty():
        told = ", ".join(f"{code} ({count:,})" for code, count in others.iter_rows())
        to.print(f"Problems in the data: {told}", style="dim")
