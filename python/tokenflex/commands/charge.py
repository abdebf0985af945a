"""`tokenflex charge`: from logs to charges and their summary."""

from __future__ import annotations

import json
from pathlib import Path  # noqa: TC003 - typer reads the annotations when it runs
from typing import Annotated

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
from tokenflex.summary import summarize

# In these texts \b keeps the lines of a paragraph as they are.
HELP = """Charge the use in license server logs and summarise it.

\b
One server:
  tokenflex charge debug.log --timezone Europe/Madrid --rates rates.csv
\b
Several servers, charges into a file:
  tokenflex charge logs/ --timezone mad-lic-01=Europe/Madrid \\
    --timezone chi-lic-01=America/Chicago --rates rates.csv --out charges.csv
"""


@takes(LogOptions)
def charge(
    logs: LogsArgument,
    *,
    asked: LogOptions,
    out: Annotated[Path | None, typer.Option(help="Write the charges here: .parquet or .csv.")] = None,
    as_of: AsOfOption = None,
    as_json: JsonOption = False,
) -> None:
    """Charges the use in logs; see `HELP`."""
    with readable_errors():
        write = writer_of(out)
        run = metered(logs, asked, as_of=instant_of(as_of))
        write(run.charges)
        if asked.quiet and not as_json:
            return
        summary = summarize(run.log, run.sessions, run.charges, run.problems, rule=asked.terms)
        if as_json:
            typer.echo(json.dumps(summary.to_dict(), indent=2))
        else:
            to = screen.console()
            screen.show(summary, to, zones=run.servers)
            if out is not None:
                to.print(f"{run.charges.height:,} charges written to {out}", soft_wrap=True)
