"""`tokenflex whatif`: what each site would pay if its license server stood in another zone."""

from __future__ import annotations

import json
from pathlib import Path  # noqa: TC003 - typer reads the annotations when it runs
from typing import TYPE_CHECKING, Annotated

import polars as pl
import typer

import tokenflex as tf
from tokenflex import screen
from tokenflex.commands.logs import paired
from tokenflex.commands.options import (
    AsOfOption,
    JsonOption,
    LogOptions,
    LogsArgument,
    UsersOption,
    fail,
    instant_of,
    readable_errors,
    takes,
    users_of,
    writer_of,
)
from tokenflex.summary import plain, problem_groups

if TYPE_CHECKING:
    from rich.console import Console

ZONES_SHOWN = 2

HELP = """Say what each site would pay if its license server stood in another time zone.

\b
By server:
  tokenflex whatif logs/ --timezone Europe/Madrid --rates rates.csv
\b
By where people live, and which two zones would be best for two servers:
  tokenflex whatif logs/ --timezone Europe/Madrid --rates rates.csv \\
    --users users.csv --servers 2

All whole hours from UTC-12 to UTC+14 are tried, and with --users each user's own day. The file of --out has them all.
"""


@takes(LogOptions)
def whatif(
    logs: LogsArgument,
    *,
    asked: LogOptions,
    users: UsersOption = None,
    servers: Annotated[int | None, typer.Option(min=1, help="Place so many servers anew, and say where.")] = None,
    out: Annotated[Path | None, typer.Option(help="Write every site and zone here: .parquet or .csv.")] = None,
    as_of: AsOfOption = None,
    as_json: JsonOption = False,
) -> None:
    """Says what other zones would cost; see `HELP`."""
    with readable_errors():
        write = writer_of(out)
        terms = asked.terms
        if terms.window != "day":
            fail("--rule: rolling windows have no zone, so where a server stands changes nothing")
        lives = None if users is None else users_of(users).zones
        run = paired(logs, asked, as_of=instant_of(as_of))
        problems = tf.Problems()
        found = tf.zone_whatif(
            run.sessions,
            rates=run.rates,
            rule=terms,
            servers=run.servers,
            users=lives,
            sites=lives,
            problems=problems,
        )
        write(found)
        placed = None
        if servers is not None:
            placed = tf.place_servers(
                run.sessions,
                rates=run.rates,
                rule=terms,
                servers=servers,
                sites=lives,
                today=run.servers,
                problems=problems,
            )
        groups = problem_groups(pl.concat([run.problems, problems.frame]))
        if as_json:
            tables = {"sites": found, "placement": placed, "problems": groups}
            answer = {name: None if rows is None else plain(rows).to_dicts() for name, rows in tables.items()}
            typer.echo(json.dumps(answer, indent=2))
            return
        if asked.quiet:
            return
        to = screen.console()
        _show(found, to)
        if placed is not None and servers is not None:
            _show_placement(placed, servers, to)
        screen.show_problems(groups, to)
        if out is not None:
            to.print(f"{found.height:,} rows written to {out}", soft_wrap=True)


def _show(found: pl.DataFrame, to: Console) -> None:
    """For each site what it pays today, by the user's own day, and in the best zone."""
    zones = found.filter(~pl.col("zone").is_in(["today", "user"]))
    table = screen.new_table("site", ">today", ">by the user's day", "best zones", ">tokens there", ">saving")
    for site in found["site"].unique(maintain_order=True):
        of_site = found.filter(pl.col("site").eq_missing(site))
        counted = of_site.filter(pl.col("zone").is_not_null() & (pl.col("sessions") > 0))
        known = dict(counted.select("zone", "tokens").iter_rows())
        tried = zones.filter(pl.col("site").eq_missing(site)).drop_nulls("tokens")
        least = tried["tokens"].min()
        best = tried.filter(pl.col("tokens") == least)["zone"].to_list()
        today = known.get("today")
        table.add_row(
            site or "(no site known)",
            screen.tokens(today),
            screen.tokens(known.get("user")),
            _some(best),
            screen.tokens(known.get(best[0])) if best else "-",
            screen.tokens(today - known[best[0]]) if best and today is not None and best[0] in known else "-",
        )
    note = "If all servers of a site stood in the zone; the sites of people are where they live."
    screen.print_table(to, "Tokens by site and zone", table, note)


def _some(zones: list[str]) -> str:
    more = len(zones) - ZONES_SHOWN
    return ", ".join(zones[:ZONES_SHOWN]) + (f" and {more} more" if more > 0 else "") if zones else "-"


def _show_placement(placed: pl.DataFrame, servers: int, to: Console) -> None:
    table = screen.new_table("site", "zone of its server", ">today", ">tokens", ">saving")
    for site, zone, today, tokens, saving in placed.select("site", "zone", "today", "tokens", "saving").iter_rows():
        table.add_row(
            site or "(no site known)", zone, screen.tokens(today), screen.tokens(tokens), screen.tokens(saving)
        )
    total = placed.select(pl.col("today", "tokens", "saving").sum()).row(0)
    table.add_row("all", "", *(screen.tokens(value) for value in total))
    screen.print_table(to, f"The best places of {servers} server{'s' if servers > 1 else ''}", table)
