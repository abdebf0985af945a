"""`tokenflex harvest`: which idle licenses to take back now, how, and what taking them back would have saved."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path  # noqa: TC003 - typer reads the annotations when it runs
from typing import TYPE_CHECKING, Annotated, Any

import polars as pl
import typer

import tokenflex as tf
from tokenflex import screen
from tokenflex.commands.activity import ActivityOption, activity_of, durations_of
from tokenflex.commands.logs import paired
from tokenflex.commands.options import (
    JsonOption,
    LogOptions,
    LogsArgument,
    UsersOption,
    counting_bar,
    fail,
    instant_of,
    one_or_each,
    readable_errors,
    takes,
    users_of,
    writer_of,
)
from tokenflex.summary import problem_groups
from tokenflex.words import many, spoken

if TYPE_CHECKING:
    from rich.console import Console

    from tokenflex.commands.logs import Paired

SHOWN = 15

HELP = """Say which open sessions to close before they are charged again, and write the commands that do it.

\b
Who holds what at this time, the next to be charged first:
  tokenflex harvest logs/ --timezone Europe/Madrid --rates rates.csv \\
    --activity activity.csv --as-of 2026-01-30T16:00Z \\
    --server-address 27000@mad-lic-01
\b
After how long should idle licenses be taken back? What each time would have
saved:
  tokenflex harvest logs/ --timezone Europe/Madrid --rates rates.csv \\
    --activity activity.csv --replay 15m,1h,4h,8h

Closing a session inside of a window that is paid saves nothing before it ends. Without --activity, idle time is
inferred by --users (nights, free days). The commands are printed and never run. A product that is used on takes a
license again, and lmadmin does not allow lmremove unless it was started with -allowLicenseReclaim.
"""


@takes(LogOptions)
def harvest(
    logs: LogsArgument,
    *,
    asked: LogOptions,
    as_of: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="Who was open then (2026-01-31T16:00Z). Default: the last line."),
    ] = None,
    activity: ActivityOption = None,
    users: UsersOption = None,
    replay: Annotated[
        str | None,
        typer.Option(metavar="15m,30m,1h,…", help="What taking them back so late would have saved."),
    ] = None,
    server_address: Annotated[
        list[str] | None,
        typer.Option(metavar="[SERVER=]PORT@HOST", help="Where lmremove finds the server. Default: @ and its name."),
    ] = None,
    lmstat: Annotated[
        Path | None, typer.Option(help="Output of lmstat -a: it has the handles and displays that lmremove takes.")
    ] = None,
    shell: Annotated[
        str, typer.Option(metavar="posix|cmd|powershell", help="For whom the commands are quoted.")
    ] = "posix",
    show: Annotated[int, typer.Option(min=0, help="How many open sessions are shown.")] = SHOWN,
    out: Annotated[
        Path | None, typer.Option(help="Write all open sessions (with --replay: all times) here: .parquet or .csv.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Lists what to take back; see `HELP`."""
    with readable_errors():
        write = writer_of(out)
        lives = None if users is None else users_of(users)
        times = None if replay is None else durations_of(replay, "--replay")
        if times is not None and activity is None and lives is None:
            fail("--replay needs to know who was idle: give --activity, or --users to infer it")
        at, addresses = instant_of(as_of), _addresses(server_address)
        problems = tf.Problems()
        known = activity_of(activity, asked.zones, problems)
        handles = _handles(lmstat, asked, problems)
        run = paired(logs, asked)
        problems.add(run.problems)
        terms: dict[str, Any] = {
            "rule": asked.terms, "rates": run.rates, "servers": run.servers, "users": lives, "activity": known,
        }  # fmt: skip
        if times is not None:
            with counting_bar("replaying", quiet=asked.quiet) as progress:
                saved = tf.harvest_replay(run.sessions, after=times, progress=progress, problems=problems, **terms)
            write(saved.with_columns(pl.col("after").dt.total_minutes()).rename({"after": "after_minutes"}))
            _tell_replay(saved, problems, out, as_json=as_json, quiet=asked.quiet)
            return
        instant = at or _last_line(run)
        found = tf.harvest(
            run.sessions,
            as_of=instant,
            addresses=addresses,
            handles=handles if handles is not None else run.log.events,
            shell=shell,  # type: ignore[arg-type]  # what is no shell is refused by name
            problems=problems,
            **terms,
        )
        write(found)
        if as_json:
            typer.echo(json.dumps({"as_of": f"{instant:%Y-%m-%dT%H:%M:%SZ}", "sessions": _rows(found)}, indent=2))
        elif not asked.quiet:
            to = screen.console()
            _show(found, instant, show, to)
            _show_commands(found, to)
            screen.show_problems(problem_groups(problems.frame), to)
            if out is not None:
                to.print(f"{many(found.height, 'session')} written to {out}", soft_wrap=True)


def _handles(lmstat: Path | None, asked: LogOptions, problems: tf.Problems) -> pl.DataFrame | None:
    if lmstat is None:
        return None
    snapshots = tf.read_lmstat(lmstat, timezone=asked.zones, server=asked.server)
    problems.add(snapshots.problems)
    return snapshots.checkouts


def _last_line(run: Paired) -> datetime:
    last = run.log.events["time"].max()
    if not isinstance(last, datetime):
        fail("the logs have no line with a time: give --as-of")
    return last


def _addresses(given: list[str] | None) -> str | dict[str, str] | None:
    """One address for all servers, or one for each."""
    return one_or_each(
        given, "--server-address: give one PORT@HOST for all servers, or SERVER=PORT@HOST once for each server"
    )


def _rows(found: pl.DataFrame) -> list[dict[str, object]]:
    plain = found.with_columns(
        pl.col(pl.Datetime).dt.strftime("%Y-%m-%dT%H:%M:%SZ"),
        pl.col(pl.Categorical, pl.Enum, pl.Decimal).cast(pl.String),
    )
    return plain.to_dicts()


def _show(found: pl.DataFrame, as_of: datetime, shown: int, to: Console) -> None:
    to.print()
    to.print(f"{many(found.height, 'session')} open at {as_of:%Y-%m-%d %H:%M}Z", style="bold")
    worth = found.filter("is_worth_it")
    doubtful = found["is_worth_it"].null_count()
    told = [f"{many(worth.height, 'session')} to take back", f"{worth_tokens(worth)} tokens at risk"]
    if doubtful:
        told.append(f"of {doubtful:,} nobody knows whether they are idle")
    to.print("; ".join(told), soft_wrap=True)
    if doubtful == found.height > 0:
        to.print("Give --activity (an agent's record) or --users (zones, to infer nights and free days).")
    to.print()
    if shown == 0 or found.is_empty():
        return
    table = screen.new_table("user", "host", "product", ">idle", ">next charge in", ">tokens", ">with", "take back?")
    words = {True: "yes", False: "no", None: "not known"}
    for row in found.head(shown).iter_rows(named=True):
        table.add_row(
            row["user"],
            row["host"] or "",
            row["product"],
            "-" if row["idle_minutes"] is None else spoken(timedelta(minutes=row["idle_minutes"])),
            "-" if row["minutes_to_charge"] is None else spoken(timedelta(minutes=row["minutes_to_charge"])),
            "-" if row["next_charge_at"] is None else screen.tokens(row["tokens"]),
            f"{row['open_with'] - 1:,}" if row["open_with"] and row["open_with"] > 1 else "",
            words[row["is_worth_it"]],
        )
    if found.height > shown:
        table.add_row(f"and {found.height - shown:,} more")
    note = "`with`: other open sessions that the same charge is for; it is saved only if they are closed too."
    screen.print_table(to, "The next to be charged", table, note)


def worth_tokens(worth: pl.DataFrame) -> str:
    """Tokens of the next charges, each once: sessions of one user, product and instant share one."""
    charges = worth.select("user", "product", "next_charge_at", "tokens").unique()
    return screen.tokens(Decimal(charges["tokens"].sum()))


def _show_commands(found: pl.DataFrame, to: Console) -> None:
    """Prints the commands unwrapped, so that they can be copied."""
    commands = found.filter("is_worth_it")["command"].drop_nulls()
    if commands.is_empty():
        return
    to.print("To take them back (nothing was run; an open product with unsaved work may need its user first):")
    for command in commands:
        to.print(f"  {command}", style="bold green", soft_wrap=True)
    to.print()


def _tell_replay(saved: pl.DataFrame, problems: tf.Problems, out: Path | None, *, as_json: bool, quiet: bool) -> None:
    if as_json:
        minutes = pl.col("after").dt.total_minutes()
        rows = saved.with_columns(minutes, pl.col(pl.Decimal).cast(pl.String)).rename({"after": "after_minutes"})
        typer.echo(json.dumps(rows.to_dicts(), indent=2))
    elif not quiet:
        to = screen.console()
        _show_replay(saved, to)
        screen.show_problems(problem_groups(problems.frame), to)
        if out is not None:
            to.print(f"{many(saved.height, 'time')} written to {out}", soft_wrap=True)


def _show_replay(saved: pl.DataFrame, to: Console) -> None:
    before, most = Decimal(saved["tokens_before"][0]), Decimal(saved["tokens_saved"].max())  # type: ignore[arg-type]  # tokens
    to.print()
    to.print(f"{screen.tokens(before)} tokens as it was, in {saved['charges_before'][0]:,} charges", style="bold")
    if most > 0:
        best = saved.filter(pl.col("tokens_saved") == most)["after"].to_list()[-1]
        to.print(
            f"Taking idle licenses back saves {screen.tokens(most)} of them at most ({most / before:.1%}), "
            f"if that is done after {spoken(best)}.",
            soft_wrap=True,
        )
        ends = saved.filter((pl.col("tokens_saved") <= 0).reverse().cum_min().reverse())["after"].to_list()
        if ends:
            to.print(f"From {spoken(ends[0])} on it saves nothing.")
    elif saved["cuts"].sum() == 0:
        to.print("No session is known to have been idle for so long: there is nothing to take back.")
    else:
        to.print("Taking idle licenses back would have saved nothing: all idle time lies in windows paid anyway.")
    to.print()
    table = screen.new_table(
        "taken back after", ">tokens saved", ">charges avoided", ">cuts", ">for nothing", ">re-opens", ">hours freed"
    )
    for row in saved.iter_rows(named=True):
        table.add_row(
            spoken(row["after"]),
            screen.tokens(row["tokens_saved"]),
            f"{row['charges_avoided']:,}",
            f"{row['cuts']:,}",
            f"{row['cuts_saving_nothing']:,}",
            f"{row['reopens']:,}",
            f"{row['hours_freed']:,.0f}",
        )
    note = "All is charged anew for each time. `for nothing`: cuts in windows that are paid in any case."
    screen.print_table(to, "What taking idle licenses back would have saved", table, note)
