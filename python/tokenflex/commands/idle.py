"""`tokenflex idle`: who held licenses that nobody used, when, and for how long."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path  # noqa: TC003 - typer reads the annotations when it runs
from typing import TYPE_CHECKING, Annotated

import polars as pl
import typer

import tokenflex as tf
from tokenflex import screen
from tokenflex.commands.activity import ActivityOption, activity_of, durations_of
from tokenflex.commands.logs import sessions_of_logs
from tokenflex.commands.options import (
    JsonOption,
    LogsArgument,
    ReadOptions,
    UsersOption,
    fail,
    readable_errors,
    takes,
    users_of,
    writer_of,
)
from tokenflex.summary import problem_groups
from tokenflex.words import many, spoken

if TYPE_CHECKING:
    from rich.console import Console

SHOWN = 10
MINUTE = timedelta(minutes=1)

HELP = """Find when licenses were held and not used: who, which product, how long, and how that is known.

\b
By an agent's record (exact):
  tokenflex idle logs/ --timezone Europe/Madrid --activity activity.csv
\b
Without one: products left open through the night, a free day or a working day
(inferred, each with its confidence):
  tokenflex idle logs/ --timezone Europe/Madrid --users users.csv
\b
By the server's own timeout, where the log says INACTIVE:
  tokenflex idle logs/ --timezone Europe/Madrid --timeout 60m

activity.csv has user and time, or user, idle_start and idle_end; host and product where they are known.
users.csv has user and zone; the file of --out has every span. Idle licenses cost tokens only when a new window begins:
tokenflex harvest says which do.
"""


@takes(ReadOptions)
def idle(
    logs: LogsArgument,
    *,
    activity: ActivityOption = None,
    users: UsersOption = None,
    timeout: Annotated[
        str | None, typer.Option(metavar="60m", help="After how long the server takes an idle license back.")
    ] = None,
    after: Annotated[str, typer.Option(metavar="15m", help="Shorter idle time is not told.")] = "15m",
    asked: ReadOptions,
    show: Annotated[int, typer.Option(min=0, help="How many users and spans are shown.")] = SHOWN,
    out: Annotated[Path | None, typer.Option(help="Write all spans here: .parquet or .csv.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Finds idle time; see `HELP`."""
    with readable_errors():
        write = writer_of(out)
        if activity is None and users is None and timeout is None:
            fail(
                "nothing tells of idle time: give --activity (an agent's record), --users (to infer it) or --timeout",
                "tokenflex idle --help says what goes into each.",
            )
        least, taken_back = durations_of(after, "--after")[0], None
        if timeout is not None:
            taken_back = durations_of(timeout, "--timeout")[0]
        lives = None if users is None else users_of(users)
        problems = tf.Problems()
        known = activity_of(activity, asked.zones, problems)
        sessions = sessions_of_logs(logs, asked, problems)
        found = tf.idle(sessions, activity=known, timeout=taken_back, users=lives, idle_after=least, problems=problems)
        write(flat(found))
        if as_json:
            typer.echo(json.dumps(_as_dict(found, sessions), indent=2))
        elif not asked.quiet:
            to = screen.console()
            _show(found, sessions, show, to)
            screen.show_problems(problem_groups(problems.frame), to)
            if out is not None:
                to.print(f"{many(found.height, 'span')} written to {out}", soft_wrap=True)


def flat(found: pl.DataFrame) -> pl.DataFrame:
    """Spans with their duration in minutes, which CSV has a number for."""
    minutes = pl.col("duration").dt.total_microseconds() / 60_000_000
    return found.with_columns(minutes.alias("duration")).rename({"duration": "minutes"})


def _by_source(found: pl.DataFrame) -> pl.DataFrame:
    return (
        found.group_by("source")
        .agg(spans=pl.len(), sessions=pl.col("session").n_unique(), idle=pl.col("duration").sum())
        .sort("source")
    )


def _as_dict(found: pl.DataFrame, sessions: pl.DataFrame) -> dict[str, object]:
    hours = pl.col("idle").dt.total_microseconds() / 3_600_000_000
    by_source = _by_source(found).with_columns(hours.alias("idle")).rename({"idle": "hours"})
    spans = flat(found).with_columns(pl.col("start", "end").dt.strftime("%Y-%m-%dT%H:%M:%SZ"))
    return {
        "sessions": sessions.height,
        "by_source": by_source.with_columns(pl.col("source").cast(pl.String)).to_dicts(),
        "spans": spans.with_columns(pl.col(pl.Categorical, pl.Enum).cast(pl.String)).to_dicts(),
    }


def _hours(lengths: pl.Series) -> float:
    return int(lengths.dt.total_microseconds().sum()) / 3_600_000_000


def _show(found: pl.DataFrame, sessions: pl.DataFrame, shown: int, to: Console) -> None:
    held, idle_hours = _hours(sessions["end"] - sessions["start"]), _hours(found["duration"])
    share = f", {idle_hours / held:.1%} of the time that they were held" if held else ""
    to.print()
    to.print(f"{idle_hours:,.0f} hours of licenses were held and not used{share}", style="bold")
    to.print(f"{many(found.height, 'span')} in {many(found['session'].n_unique(), 'session')} of {sessions.height:,}")
    to.print()
    if found.is_empty():
        return
    table = screen.new_table("known by", ">spans", ">sessions", ">hours")
    for source, spans, count, lasting in _by_source(found).iter_rows():
        table.add_row(source, f"{spans:,}", f"{count:,}", f"{lasting / timedelta(hours=1):,.0f}")
    note = "activity and timeout are seen; rest (nights, free days) and gap (working days) are inferred."
    screen.print_table(to, "How it is known", table, note)
    users = (
        found.group_by("user", "product")
        .agg(spans=pl.len(), longest=pl.col("duration").max(), idle=pl.col("duration").sum())
        .sort("idle", "user", descending=[True, False])
    )
    table = screen.new_table("user", "product", ">spans", ">hours", ">longest")
    for user, product, spans, longest, lasting in users.head(shown).iter_rows():
        table.add_row(user, product, f"{spans:,}", f"{lasting / timedelta(hours=1):,.0f}", spoken(longest))
    if users.height > shown:
        table.add_row(f"and {users.height - shown:,} more")
    screen.print_table(to, "Who held what", table)
    table = screen.new_table("from", "to", ">idle", "user", "product", "known by", ">sure")
    for row in found.sort("duration", descending=True, maintain_order=True).head(shown).iter_rows(named=True):
        table.add_row(
            f"{row['start']:%Y-%m-%d %H:%M}Z",
            f"{row['end']:%m-%d %H:%M}Z",
            spoken(row["duration"]),
            row["user"],
            row["product"],
            row["source"],
            f"{row['confidence']:.0%}",
        )
    screen.print_table(to, "The longest", table, "Idle time costs tokens only at a new window: see tokenflex harvest.")
