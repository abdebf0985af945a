"""The command line: `demo` to see it work, `inspect` to see what a file is, `charge` for one's own logs."""

from __future__ import annotations

import io
import json
import os
import shlex
import sys
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path  # noqa: TC003 - typer reads the annotations when it runs
from typing import TYPE_CHECKING, Annotated, NoReturn

import polars as pl
import typer
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

import tokenflex as tf
from tokenflex import screen
from tokenflex.demo import FEWEST_MONTHS, MOST_MONTHS, DemoFirm, write_logs
from tokenflex.inspection import together
from tokenflex.summary import Summary, summarize

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

BAD_INPUT = 2
INTERRUPTED = 130
_PRESETS = {"token-flex": tf.TOKEN_FLEX, "flex": tf.FLEX}

# In these texts \b keeps the lines of a paragraph as they are.
_HELP = """Compute what Autodesk's token licensing (Flex, Token Flex) charges, from the license servers' own logs.

\b
See it work on an invented firm:
  tokenflex demo

\b
What is this file, and what can I do with it?
  tokenflex inspect FILE

\b
Your own logs, in three steps:
  tokenflex charge logs/ --timezone Europe/Madrid > rates.csv
    no rates yet: this writes the list of your products
  fill in rates.csv: the daily tokens of each product, from your contract
  tokenflex charge logs/ --timezone Europe/Madrid --rates rates.csv

\b
Keep the charges, one row each, for a spreadsheet or a database:
  … --out charges.csv   or   … --out charges.parquet
"""
_CHARGE_HELP = """Charge the use in license server logs and summarise it.

\b
One server:
  tokenflex charge debug.log --timezone Europe/Madrid --rates rates.csv
\b
Several servers, charges into a file:
  tokenflex charge logs/ --timezone mad-lic-01=Europe/Madrid \\
    --timezone chi-lic-01=America/Chicago --rates rates.csv --out charges.csv
"""

_INSPECT_HELP = """Say what files are, what is in them, and what to run next.

\b
  tokenflex inspect debug.log export.csv contract.json
  tokenflex inspect everything-i-was-sent/ --timezone Europe/Madrid

Told by the content, never by the name: license server logs (FlexNet, RLM), lmstat outputs, the vendor's usage exports
and contracts, rates, rules, and any table with user, product, start and end.
"""

app = typer.Typer(
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
    app(prog_name="tokenflex")


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"tokenflex {tf.__version__} (zone database {tf.zone_database_version}, polars {pl.__version__})")
        raise typer.Exit


@app.callback(help=_HELP)
def root(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_version, is_eager=True, help="Versions of this program and its zones."),
    ] = False,
) -> None:
    """What stands before any command."""


@app.command()
def demo(
    folder: Annotated[
        Path | None, typer.Option(help="Where to write the demo's files. A new temporary folder if not given.")
    ] = None,
    months: Annotated[
        int, typer.Option(min=FEWEST_MONTHS, max=MOST_MONTHS, help="How many months of logs, from September 2025.")
    ] = 5,
) -> None:
    """Write the logs of an invented firm, charge them, and show what an administrator wants to know first.

    Three license servers in Madrid, Chicago and Singapore, with everything real logs hold: crashes, lost check-ins,
    rotated and repeated files, clock changes, damaged lines.
    """
    with _readable_errors():
        firm = write_logs(folder or tempfile.mkdtemp(prefix="tokenflex-demo-"), months=months)
        run = _charge(
            [str(firm.folder / "logs")],
            timezone=firm.servers,
            server=None,
            rule=tf.TOKEN_FLEX,
            rates=tf.Rates.read(firm.rates_path),
            as_of=None,
            quiet=False,
        )
        to = screen.console()
        to.print("An invented firm: its servers, people and use are made up by this program.", style="dim")
        screen.show(run.summary, to, zones=firm.servers)
        for line in _about_demo(firm):
            to.print(line, soft_wrap=True)


def _about_demo(firm: DemoFirm) -> Iterator[str]:
    public = [rate for rate in firm.rates if not rate.is_invented]
    rates = ", ".join(f"{rate.product} {rate.tokens} ({rate.source})" for rate in public)
    yield f"Rates: {rates}; all others are demo values, not prices of the vendor."
    yield f"The logs are in {firm.folder / 'logs'}"
    zones = [f"--timezone {server}={zone}" for server, zone in firm.servers.items()]
    logs, prices = shlex.quote(str(firm.folder / "logs")), shlex.quote(str(firm.rates_path))
    yield "\nNext, the same by hand, with the charges in a file:\n"
    yield " \\\n    ".join([f"  tokenflex charge {logs}", *zones, f"--rates {prices} --out charges.csv"])


@app.command(help=_CHARGE_HELP)
def charge(
    logs: Annotated[
        list[str], typer.Argument(help="Log files, folders or patterns; .gz and .zst too.", metavar="LOGS...")
    ],
    *,
    timezone: Annotated[
        list[str] | None,
        typer.Option(
            metavar="[SERVER=]ZONE",
            help="The servers' IANA time zone (Europe/Madrid); or one for each server: mad-lic-01=Europe/Madrid.",
        ),
    ] = None,
    server: Annotated[str | None, typer.Option(help="The server's name, where the log does not say it.")] = None,
    rule: Annotated[
        str,
        typer.Option(
            metavar="token-flex|flex|FILE.toml", help="How tokens are charged: a preset or a rule of your own."
        ),
    ] = "token-flex",
    rates: Annotated[
        Path | None, typer.Option(help="Daily token rates as CSV: product, tokens, effective_from.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Write the charges here: .parquet or .csv.")] = None,
    as_of: Annotated[
        str | None,
        typer.Option(
            metavar="TIME", help="Open sessions are in use until then (2026-01-31T16:00Z). Default: the last line."
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary as JSON.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print no summary and no progress.")] = False,
) -> None:
    """Charges the use in logs; see `_CHARGE_HELP`."""
    with _readable_errors():
        write = _writer(out)
        zones = _zones(timezone or [])
        run = _charge(
            logs,
            timezone=zones,
            server=server,
            rule=_rule(rule),
            rates=None if rates is None else _rates(rates),
            as_of=_instant(as_of),
            quiet=quiet,
        )
        write(run.charges)
        if as_json:
            typer.echo(json.dumps(run.summary.to_dict(), indent=2))
        elif not quiet:
            to = screen.console()
            screen.show(run.summary, to, zones=run.servers)
            if out is not None:
                to.print(f"{run.charges.height:,} charges written to {out}", soft_wrap=True)


@app.command(help=_INSPECT_HELP)
def inspect(
    files: Annotated[list[Path], typer.Argument(help="Files or folders.", metavar="FILE...")],
    *,
    timezone: Annotated[
        list[str] | None,
        typer.Option(
            metavar="[SERVER=]ZONE", help="Zone of local times, as for `charge`; without it they are shown as written."
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print what was found as JSON.")] = False,
) -> None:
    """Says what files are; see `_INSPECT_HELP`."""
    with _readable_errors():
        found = _inspected(_files(files), _zones(timezone or []))
        if as_json:
            typer.echo(json.dumps([each.to_dict() for each in found], indent=2))
        else:
            for each in found:
                screen.show_inspection(each, screen.console())
            screen.show_together(together(found), screen.console())


def _inspected(files: list[Path], timezone: str | dict[str, str] | None) -> list[tf.Inspection]:
    """What each file is. Of several files, one that cannot be read does not hide the others."""
    found = []
    for file in files:
        try:
            found.append(tf.inspect(file, timezone=timezone))
        except tf.SourceError as error:
            if len(files) == 1:
                raise
            found.append(tf.Inspection(str(file), "file that cannot be read", notes=(str(error),)))
    return found


def _files(given: list[Path]) -> list[Path]:
    """The files, and those in the folders."""
    found: list[Path] = []
    for path in given:
        inside = sorted(each for each in path.rglob("*") if each.is_file() and not each.name.startswith("."))
        if path.is_dir() and not inside:
            _fail(f"the folder {path} is empty")
        found.extend(inside if path.is_dir() else [path])
    return found


@dataclass(frozen=True)
class _Run:
    """What one run over logs computed."""

    servers: dict[str, str]
    charges: pl.DataFrame
    summary: Summary


def _charge(
    logs: list[str],
    *,
    timezone: str | dict[str, str] | None,
    server: str | None,
    rule: tf.Rule,
    rates: tf.Rates | None,
    as_of: datetime | None,
    quiet: bool,
) -> _Run:
    problems = tf.Problems()
    with _progress(quiet=quiet) as progress:
        log = tf.read_flexlm(logs, timezone=timezone, server=server, progress=progress)
    sessions = tf.pair(log.events, as_of=as_of, packages=log.packages, problems=problems)
    if sessions.is_empty():
        _fail(f"no checkouts in {log.files.height} files: are these debug logs of a FlexNet license server?")
    if rates is None:
        _rates_template(sessions)
    servers = _servers(log, timezone)
    charges = tf.charge(sessions, rule=rule, rates=rates, servers=servers, as_of=as_of, problems=problems)
    found = pl.concat([log.problems, problems.frame])
    return _Run(servers, charges, summarize(log, sessions, charges, found, rule=rule))


def _servers(log: tf.FlexlmLog, timezone: str | dict[str, str] | None) -> dict[str, str]:
    if isinstance(timezone, str):
        return dict.fromkeys(log.coverage["server"].cast(pl.String), timezone)
    return timezone or {}


def _zones(given: list[str]) -> str | dict[str, str] | None:
    """One zone for all servers, or server -> zone; None where none is given (logs with full date stamps)."""
    named = dict(value.split("=", 1) for value in given if "=" in value)
    plain = [value for value in given if "=" not in value]
    if (named and plain) or len(plain) > 1:
        _fail("--timezone: give one zone for all servers, or SERVER=ZONE once for each server")
    return plain[0] if plain else named or None


def _rule(text: str) -> tf.Rule:
    if text in _PRESETS:
        return _PRESETS[text]
    if not text.endswith(".toml"):
        _fail(f"--rule {text}: not a preset ({', '.join(_PRESETS)}) and not a .toml file")
    try:
        return tf.Rule.read(text)
    except tf.TokenflexError as error:
        _fail(f"--rule {text}: {error}")


def _rates(path: Path) -> tf.Rates:
    try:
        return tf.Rates.read(path)
    except tf.SourceError:
        raise
    except tf.TokenflexError as error:
        _fail(f"--rates {path}: {error}")


def _instant(text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        _fail(f"--as-of {text}: write it as 2026-01-31T16:00Z")
    return at.replace(tzinfo=UTC) if at.tzinfo is None else at


def _rates_template(sessions: pl.DataFrame) -> NoReturn:
    """Says that rates are missing; the template goes to stdout, so that `> rates.csv` makes the file."""
    typer.echo("product,tokens,effective_from")
    for product in sessions["product"].cast(pl.String).unique().drop_nulls().sort():
        typer.echo(f"{product},,")
    _fail(
        "--rates is missing: what is a day of each product worth?",
        "Fill in the template above (your contract has the tokens), save it, and give it by --rates rates.csv.",
    )


def _writer(out: Path | None) -> Callable[[pl.DataFrame], None]:
    """Checks the file before the long work, and writes it whole or not at all."""
    if out is None:
        return lambda _: None
    if out.suffix not in (".parquet", ".csv"):
        _fail(f"--out {out}: give a name that ends in .parquet or .csv")
    if not out.parent.is_dir():
        _fail(f"--out {out}: there is no folder {out.parent}")

    def write(charges: pl.DataFrame) -> None:
        part = out.with_name(f".{out.name}.{os.getpid()}.part")
        try:
            with part.open("xb") as file:
                charges.write_parquet(file) if out.suffix == ".parquet" else charges.write_csv(file)
            part.replace(out)
        finally:
            part.unlink(missing_ok=True)

    return write


@contextmanager
def _progress(*, quiet: bool) -> Iterator[Callable[[int, int | None], None] | None]:
    """A bar on stderr while the logs are read; none where nobody would see it."""
    to = screen.console(stderr=True)
    if quiet or not to.is_terminal:
        yield None
        return
    columns = (TextColumn("reading"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with Progress(*columns, console=to, transient=True) as bar:
        task = bar.add_task("reading", total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


@contextmanager
def _readable_errors() -> Iterator[None]:
    """Turns what the user can mend into a line or two on stderr. Anything else is a bug and keeps its traceback."""
    try:
        yield
    except (tf.InternalError, BrokenPipeError):
        # The one is a bug; the other is how `… | head` ends, which typer knows.
        raise
    except tf.TokenflexError as error:
        is_zone = isinstance(error, tf.ZoneError) or error.location == "timezone"
        hint = "Give --timezone ZONE for all servers, or --timezone SERVER=ZONE once for each."
        _fail(str(error), hint if is_zone else "")
    except OSError as error:
        _fail(f"{error.filename or 'file'}: {error.strerror or error}")
    except KeyboardInterrupt:
        typer.echo("interrupted", err=True)
        raise typer.Exit(INTERRUPTED) from None


def _fail(what: str, hint: str = "") -> NoReturn:
    typer.echo(f"tokenflex: {what}", err=True)
    if hint:
        typer.echo(hint, err=True)
    raise typer.Exit(BAD_INPUT)
