"""The command line: its entry point, its help, and the commands that it has."""

from __future__ import annotations

import io
import os
import sys
from typing import TYPE_CHECKING, Annotated, Any, Final

import polars as pl
import typer
import typer.core

import tokenflex as tf
from tokenflex.commands import (
    audit,
    balance,
    capacity,
    charge,
    chargeback,
    compare,
    completion,
    demo,
    doubles,
    estimate,
    forecast,
    harvest,
    idle,
    infer_rule,
    init,
    inspect,
    ledger,
    plan,
    report,
    rerun,
    run,
    sensitivity,
    sessions,
    update,
    whatif,
)
from tokenflex.commands.options import configured

if TYPE_CHECKING:
    from collections.abc import Callable

# In these texts \b keeps the lines of a paragraph as they are.
_HELP = """Compute what Autodesk's token licensing (Flex, Token Flex) charges, from the
license servers' own logs: what, when, why, and whether the vendor agrees.

\b
See it work on an invented firm, with a report to look at:
  tokenflex demo --report demo.html

\b
Your own logs, in three steps:
  tokenflex init logs/
    looks at them, and writes tokenflex.toml and rates.csv
  fill in what is blank there: time zones, and the tokens of a day
  tokenflex run
    reads, charges, audits, and writes the report of the month

\b
One question at a time; what tokenflex.toml says need not be given:
  tokenflex charge logs/ --timezone Europe/Madrid --rates rates.csv
  tokenflex COMMAND --help
"""
_EPILOG = """\b
The program ends with
  0    all is well
  1    somebody has to look (run), or a pack is not the same (rerun)
  2    something was given wrongly; a line on stderr says what to do
  75   another process has the book open; nothing was done, try later
  130  it was interrupted

--json prints an answer for machines, --quiet none. docs/command-line.md has
the keys of each, and all that tokenflex.toml can say.
"""


class _Grouped(typer.core.TyperGroup):
    """Lists the commands under headings."""

    def format_commands(self, ctx: typer.Context, formatter: Any) -> None:  # type: ignore[override]  # noqa: ANN401 - typer's own click has no public name
        """Writes a section for each heading, in the order of the commands."""
        sections: dict[str, list[tuple[str, str]]] = {}
        commands = [(name, command) for name in self.list_commands(ctx) if (command := self.get_command(ctx, name))]
        widest = max(len(name) for name, _ in commands)
        for name, command in commands:
            heading = getattr(command, "rich_help_panel", None)
            row = (name.ljust(widest), command.get_short_help_str(formatter.width))
            sections.setdefault(heading if isinstance(heading, str) else "Commands", []).append(row)
        for heading, rows in sections.items():
            with formatter.section(heading):
                formatter.write_dl(rows)


app = typer.Typer(
    cls=_Grouped,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def main() -> None:
    """The entry point."""
    for stream in (sys.stdout, sys.stderr):
        # A name that the terminal's encoding lacks is shown with a question mark, and the rest is shown all the same.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    if completion.VARIABLE in os.environ:
        completion.prepare()
    app(prog_name=completion.PROGRAM)


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"tokenflex {tf.__version__} (zone database {tf.zone_database_version}, polars {pl.__version__})")
        raise typer.Exit


@app.callback(help=_HELP, epilog=_EPILOG)
def root(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_version, is_eager=True, help="Versions of this program and its zones."),
    ] = False,
) -> None:
    """What stands before any command."""


START, NIGHT, MONTH, BEFORE = "Start here", "Every night", "The month", "Before a contract"
RULE, MACHINE = "The rule", "For machines"
_COMMANDS: Final[tuple[tuple[str, str, Callable[..., None], str, str, bool], ...]] = (
    ("init", START, init.init, init.HELP, "write tokenflex.toml from a look at your files", False),
    ("run", START, run.run, run.HELP, "do the month: charge, audit, ledger, report", True),
    ("report", START, report.report, report.HELP, "one file to look at: .html, .xlsx, or a folder", True),
    ("demo", START, demo.demo, demo.HELP, "see it all on an invented firm", False),
    ("inspect", START, inspect.inspect, inspect.HELP, "what is this file, and what can I do with it", False),
    ("update", NIGHT, update.update, update.HELP, "take what is new in logs into a book", True),
    ("charge", MONTH, charge.charge, charge.HELP, "what was charged, of what, to whom", True),
    ("sessions", MONTH, sessions.sessions, sessions.HELP, "who used what from when to when, into files", True),
    ("audit", MONTH, audit.audit, audit.HELP, "does the vendor's statement agree, and why not", True),
    ("doubles", MONTH, doubles.doubles, doubles.HELP, "what was charged twice in a working day, and why", True),
    ("idle", MONTH, idle.idle, idle.HELP, "who held licenses that nobody used", True),
    ("harvest", MONTH, harvest.harvest, harvest.HELP, "which to take back before they are charged again", True),
    ("capacity", MONTH, capacity.capacity, capacity.HELP, "licenses in use, when, and who was refused", True),
    ("ledger", MONTH, ledger.ledger, ledger.HELP, "what became of the contract's tokens, line by line", True),
    ("balance", MONTH, balance.balance, balance.HELP, "what is left of them, and how long it lasts", True),
    ("chargeback", MONTH, chargeback.chargeback, chargeback.HELP, "who pays how much of it", True),
    ("estimate", BEFORE, estimate.estimate, estimate.HELP, "what the use so far would have cost in tokens", True),
    ("compare", BEFORE, compare.compare, compare.HELP, "tokens, subscriptions, licenses, or a mix", True),
    ("sensitivity", BEFORE, sensitivity.sensitivity, sensitivity.HELP, "which change would move that most", True),
    ("forecast", BEFORE, forecast.forecast, forecast.HELP, "the tokens of the days to come", True),
    ("plan", BEFORE, plan.plan, plan.HELP, "how many tokens to buy, of which kind and when", True),
    ("infer-rule", RULE, infer_rule.infer_rule, infer_rule.HELP, "which rule the vendor charges by", True),
    ("whatif", RULE, whatif.whatif, whatif.HELP, "what servers in other time zones would cost", True),
    ("rerun", MACHINE, rerun.rerun, rerun.HELP, "check an evidence pack of `audit --dispute`", False),
    (
        "completion",
        MACHINE,
        completion.completion,
        completion.HELP,
        "complete commands and options in a shell",
        False,
    ),
)
"""Name, heading, code, help, the same in a few words, and whether `tokenflex.toml` is asked."""

for _name, _heading, _command, _help, _short, _is_configured in _COMMANDS:
    app.command(_name, help=_help, short_help=_short, rich_help_panel=_heading)(
        configured(_command) if _is_configured else _command
    )
