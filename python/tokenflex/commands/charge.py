"""`tokenflex charge`: from logs to charges and their summary."""

from __future__ import annotations

import json
from pathlib import Path  # noqa: TC003 - typer reads the annotations when it runs
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from tokenflex import screen
from tokenflex.commands.logs import metered
from tokenflex.commands.options import (
    AsOfOption,
    JsonOption,
    LogOptions,
    LogsArgument,
    instant_of,
    readable_errors,
    takes,
    writer_of,
)
from tokenflex.commands.streams import OUT_HELP, StreamOption, is_streamed, streamed
from tokenflex.summary import summarize, summary_of

if TYPE_CHECKING:
    from tokenflex.summary import Summary

# In these texts \b keeps the lines of a paragraph as they are.
HELP = """Charge the use in license server logs and summarise it.

\b
One server:
  tokenflex charge debug.log --timezone Europe/Madrid --rates rates.csv
\b
Several servers, charges into a file:
  tokenflex charge logs/ --timezone mad-lic-01=Europe/Madrid \\
    --timezone chi-lic-01=America/Chicago --rates rates.csv --out charges.csv
\b
More than memory holds, in parts, into many files:
  tokenflex charge logs/ --timezone Europe/Madrid --rates rates.csv \\
    --out charges/

LOGS can be Parquet files of sessions, such as tokenflex sessions writes.
"""


@takes(LogOptions)
def charge(
    logs: LogsArgument,
    *,
    asked: LogOptions,
    out: Annotated[Path | None, typer.Option(help=OUT_HELP.format("the charges"))] = None,
    stream: StreamOption = None,
    as_of: AsOfOption = None,
    as_json: JsonOption = False,
) -> None:
    """Charges the use in logs; see `HELP`."""
    with readable_errors():
        if is_streamed(logs, out, stream=stream):
            with streamed(logs, asked, out, as_of=instant_of(as_of)) as parts:
                summary = summary_of(parts.use, parts.problems, rule=asked.terms)
                told = _Told(summary, parts.servers, parts.rows)
        else:
            write = writer_of(out)
            run = metered(logs, asked, as_of=instant_of(as_of))
            write(run.charges)
            if asked.quiet and not as_json:
                # A summary asks for what logs say beside sessions; those of a book would be read again for it.
                return
            summary = summarize(run.log, run.sessions, run.charges, run.problems, rule=asked.terms)
            told = _Told(summary, run.servers, run.charges.height)
        _tell(told, out, quiet=asked.quiet, as_json=as_json)


class _Told(NamedTuple):
    """What is said of a run, and how many charges were written."""

    summary: Summary
    servers: dict[str, str]
    charges: int


def _tell(told: _Told, out: Path | None, *, quiet: bool, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(told.summary.to_dict(), indent=2))
    elif not quiet:
        to = screen.console()
        screen.show(told.summary, to, zones=told.servers)
        if out is not None:
            to.print(f"{told.charges:,} charges written to {out}", soft_wrap=True)
