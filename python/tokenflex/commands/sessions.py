"""`tokenflex sessions`: from logs of any size to sessions in files."""

from __future__ import annotations

import json
from pathlib import Path  # noqa: TC003 - typer reads the annotations when it runs
from typing import Annotated

import polars as pl
import typer

from tokenflex import screen
from tokenflex.commands.options import (
    AsOfOption,
    JsonOption,
    LogsArgument,
    ReadOptions,
    fail,
    folder_may_be_written,
    instant_of,
    is_folder,
    readable_errors,
    takes,
    writer_of,
)
from tokenflex.commands.streams import OUT_HELP, ROWS, Parts, session_files, sessions_in_parts, write_parts
from tokenflex.content import whole_folder
from tokenflex.summary import plain, problem_groups
from tokenflex.words import many

HELP = """Write the sessions in license server logs, of any size: who used what from when to when.

\b
Into one file:
  tokenflex sessions debug.log --timezone Europe/Madrid --out sessions.parquet
\b
Into a folder of many files, which charge takes for logs:
  tokenflex sessions logs/ --timezone Europe/Madrid --out sessions/
"""


@takes(ReadOptions)
def sessions(
    logs: LogsArgument,
    *,
    asked: ReadOptions,
    out: Annotated[Path | None, typer.Option(help=OUT_HELP.format("the sessions"))] = None,
    as_of: AsOfOption = None,
    as_json: JsonOption = False,
) -> None:
    """Writes the sessions in logs; see `HELP`."""
    with readable_errors():
        if out is None:
            fail("--out is missing: where are the sessions to be written?", "Such as --out sessions.parquet.")
        if session_files(logs):
            fail(f"{logs[0]}: these are Parquet files already, and no logs")
        if is_folder(out):
            folder_may_be_written(out)
        write = None if is_folder(out) else writer_of(out)
        with sessions_in_parts(logs, asked, out, as_of=instant_of(as_of)) as parts:
            if write is not None:
                write(parts.sessions)
            else:
                with whole_folder(out) as folder:
                    batches = parts.sessions.collect_batches(chunk_size=ROWS, maintain_order=True)
                    write_parts(batches, folder, "sessions")
            _tell(parts, out, quiet=asked.quiet, as_json=as_json)


def _tell(parts: Parts, out: Path, *, quiet: bool, as_json: bool) -> None:
    totals = parts.sessions.select(
        sessions=pl.len(), open_sessions=pl.col("is_open").sum(), first=pl.col("start").min(), last=pl.col("end").max(),
        users=pl.col("user").cast(pl.String).n_unique(), products=pl.col("product").cast(pl.String).n_unique(),
    ).collect(engine="streaming")  # fmt: skip
    problems = problem_groups(parts.problems)
    if as_json:
        tables = {"problems": problems, "servers": parts.coverage, "files": parts.files}
        rows = {name: plain(table).to_dicts() for name, table in tables.items()}
        typer.echo(json.dumps({**plain(totals).row(0, named=True), **rows, "out": str(out)}, indent=2))
    elif not quiet:
        total = totals.row(0, named=True)
        to = screen.console()
        to.print(
            f"\n{many(total['sessions'], 'session')} ({total['open_sessions']:,} still open) of "
            f"{many(total['users'], 'user name')} and {many(total['products'], 'product')} on "
            f"{many(parts.coverage.height, 'server')}, from {total['first']:%Y-%m-%d %H:%M}Z to "
            f"{total['last']:%Y-%m-%d %H:%M}Z\n"
        )
        screen.show_problems(problems, to)
        to.print(f"{many(total['sessions'], 'session')} written to {out}", soft_wrap=True)
