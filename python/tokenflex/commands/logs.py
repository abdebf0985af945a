"""What the commands that start from logs share: logs read, paired and charged."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NoReturn

import polars as pl
import typer

import tokenflex as tf
from tokenflex.commands.options import fail, reading_bar

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from tokenflex.commands.options import LogOptions


@dataclass(frozen=True)
class Metered:
    """What one run over logs computed."""

    log: tf.FlexlmLog
    servers: dict[str, str]
    rates: tf.Rates
    sessions: pl.DataFrame
    charges: pl.DataFrame
    problems: pl.DataFrame
    """Of reading, pairing and charging."""


def metered(
    logs: list[str],
    asked: LogOptions,
    *,
    as_of: datetime | None = None,
    identity: tf.Identity | None = None,
    variants: Mapping[str, str] | None = None,
) -> Metered:
    """Reads, pairs and charges; without rates it prints a template to fill in, and ends the program.

    Who is who and which product is which, where that is given, is put right before anything is charged.
    """
    problems = tf.Problems()
    zones, rule, rates = asked.zones, asked.terms, asked.prices
    with reading_bar(quiet=asked.quiet) as progress:
        log = tf.read_flexlm(logs, timezone=zones, server=asked.server, progress=progress)
    sessions = tf.pair(log.events, as_of=as_of, packages=log.packages, problems=problems)
    if sessions.is_empty():
        fail(f"no checkouts in {log.files.height} files: are these debug logs of a FlexNet license server?")
    if identity is not None:
        sessions = identity.apply(sessions, problems=problems)
    if variants:
        sessions = sessions.with_columns(pl.col("product").cast(pl.String).replace(variants))
    if rates is None:
        rates_template(sessions)
    servers = servers_of(log, zones)
    charges = tf.charge(sessions, rule=rule, rates=rates, servers=servers, as_of=as_of, problems=problems)
    return Metered(log, servers, rates, sessions, charges, pl.concat([log.problems, problems.frame]))


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
    typer.echo("product,tokens,effective_from")
    for product in sessions["product"].cast(pl.String).unique().drop_nulls().sort():
        typer.echo(f"{product},,")
    fail(
        "--rates is missing: what is a day of each product worth?",
        "Fill in the template above (your contract has the tokens), save it, and give it by --rates rates.csv.",
    )


def servers_of(log: tf.FlexlmLog, timezone: str | dict[str, str] | None) -> dict[str, str]:
    """The zone of each server in the logs, as far as it is said."""
    if isinstance(timezone, str):
        return dict.fromkeys(log.coverage["server"].cast(pl.String), timezone)
    return timezone or {}
