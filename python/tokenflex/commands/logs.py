"""What the commands that start from logs share: logs read, paired and charged."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NoReturn

import polars as pl
import typer

import tokenflex as tf
from tokenflex.commands.options import fail, reading_bar

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime

    from tokenflex.commands.options import LogOptions


@dataclass(frozen=True)
class Paired:
    """What logs say of use, and what is needed to charge it."""

    log: tf.FlexlmLog
    servers: dict[str, str]
    rates: tf.Rates
    sessions: pl.DataFrame
    problems: pl.DataFrame
    """Of reading and pairing, and where there are charges of charging."""


@dataclass(frozen=True)
class Metered(Paired):
    """The same with its charges."""

    charges: pl.DataFrame


def paired(
    logs: list[str],
    asked: LogOptions,
    *,
    as_of: datetime | None = None,
    identity: tf.Identity | None = None,
    variants: Mapping[str, str] | None = None,
) -> Paired:
    """Reads and pairs; without rates it prints a template to fill in, and ends the program.

    Who is who and which product is which, where that is given, is put right.
    """
    problems = tf.Problems()
    zones, rates = asked.zones, asked.prices
    with reading_bar(quiet=asked.quiet) as progress:
        log = tf.read_flexlm(logs, timezone=zones, server=asked.server, progress=progress)
    sessions = tf.pair(log.events, as_of=as_of, packages=log.packages, problems=problems)
    if sessions.is_empty():
        fail(f"no checkouts in {log.files.height} files: are these debug logs of a FlexNet license server?")
    if rates is None:
        rates_template(sessions)
    run = Paired(log, servers_of(log, zones), rates, sessions, pl.concat([log.problems, problems.frame]))
    return put_right(run, identity, variants)


def put_right(run: Paired, identity: tf.Identity | None, variants: Mapping[str, str] | None) -> Paired:
    """The same with persons in place of their spellings, and product lines in place of their variants."""
    problems, sessions = tf.Problems(), run.sessions
    if identity is not None:
        sessions = identity.apply(sessions, problems=problems)
    if variants:
        sessions = sessions.with_columns(pl.col("product").cast(pl.String).replace(variants))
    return replace(run, sessions=sessions, problems=pl.concat([run.problems, problems.frame]))


def metered(
    logs: list[str],
    asked: LogOptions,
    *,
    as_of: datetime | None = None,
    identity: tf.Identity | None = None,
    variants: Mapping[str, str] | None = None,
) -> Metered:
    """Reads, pairs and charges, as `paired` does."""
    return charged(paired(logs, asked, as_of=as_of, identity=identity, variants=variants), asked.terms, as_of=as_of)


def charged(run: Paired, rule: tf.Rule, *, as_of: datetime | None = None) -> Metered:
    """What was read and paired, with its charges."""
    problems = tf.Problems()
    charges = tf.charge(run.sessions, rule=rule, rates=run.rates, servers=run.servers, as_of=as_of, problems=problems)
    found = pl.concat([run.problems, problems.frame])
    return Metered(run.log, run.servers, run.rates, run.sessions, found, charges)


def sessions_of_logs(
    logs: list[str],
    *,
    timezone: str | dict[str, str] | None,
    server: str | None,
    quiet: bool,
    problems: tf.Problems | None = None,
) -> pl.DataFrame:
    """Reads and pairs; `problems` collects those of both."""
    problems = tf.Problems() if problems is None else problems
    with reading_bar(quiet=quiet) as progress:
        log = tf.read_flexlm(logs, timezone=timezone, server=server, progress=progress)
    problems.add(log.problems)
    return tf.pair(log.events, packages=log.packages, problems=problems)


def rates_template(sessions: pl.DataFrame) -> NoReturn:
    """Says that rates are missing; the template goes to stdout, so that `> rates.csv` makes the file."""
    typer.echo(rates_to_fill_in(products_of(sessions)), nl=False)
    fail(
        "--rates is missing: what is a day of each product worth?",
        "Fill in the template above (your contract has the tokens), save it, and give it by --rates rates.csv.",
    )


def products_of(sessions: pl.DataFrame) -> list[str]:
    """The products that were used, by name."""
    return sessions["product"].cast(pl.String).unique().drop_nulls().sort().to_list()


def rates_to_fill_in(products: Iterable[str]) -> str:
    """A file of rates without tokens."""
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(("product", "tokens", "effective_from"))
    rows.writerows((product, "", "") for product in products)
    return text.getvalue()


def servers_of(log: tf.FlexlmLog, timezone: str | dict[str, str] | None) -> dict[str, str]:
    """The zone of each server in the logs, as far as it is said."""
    if isinstance(timezone, str):
        return dict.fromkeys(log.coverage["server"].cast(pl.String), timezone)
    return timezone or {}
