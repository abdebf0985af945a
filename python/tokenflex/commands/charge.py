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
    LogsArgument,
    QuietOption,
    RatesOption,
    RuleOption,
    ServerOption,
    TimezoneOption,
    instant_of,
    rates_of,
    readable_errors,
    rule_of,
    writer_of,
    zones_of,
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


def charge(
    logs: LogsArgument,
    *,
    timezone: TimezoneOption = None,
    server: ServerOption = None,
    rule: RuleOption = "token-flex",
    rates: RatesOption = None,
    out: Annotated[Path | None, typer.Option(help="Write the charges here: .parquet or .csv.")] = None,
    as_of: AsOfOption = None,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Charges the use in logs; see `HELP`."""
    with readable_errors():
        write = writer_of(out)
        terms = rule_of(rule)
        run = metered(
            logs,
            timezone=zones_of(timezone),
            server=server,
            rule=terms,
            rates=rates_of(rates),
            as_of=instant_of(as_of),
            quiet=quiet,
        )
        write(run.charges)
        summary = summarize(run.log, run.sessions, run.charges, run.problems, rule=terms)
        if as_json:
            typer.echo(json.dumps(summary.to_dict(), indent=2))
        elif not quiet:
            to = screen.console()
            screen.show(summary, to, zones=run.servers)
            if out is not None:
                to.print(f"{run.charges.height:,} charges written to {out}", soft_wrap=True)
