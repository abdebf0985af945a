"""`tokenflex init`: a first `tokenflex.toml`, written from a look at the files that there are."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

import tokenflex as tf
from tokenflex import screen
from tokenflex.commands.config import NAME, Config
from tokenflex.commands.inspect import files_in, inspected
from tokenflex.commands.logs import products_of, rates_to_fill_in
from tokenflex.commands.month import OUT
from tokenflex.commands.options import (
    JsonOption,
    QuietOption,
    ServerOption,
    TimezoneOption,
    fail,
    readable_errors,
    reading_bar,
    zones_of,
)
from tokenflex.content import whole_file
from tokenflex.inspection import ANY_ZONE, kind_of_file
from tokenflex.reading.flexlm import FOLDERS
from tokenflex.words import many, near, some

if TYPE_CHECKING:
    from collections.abc import Iterable

    import polars as pl

RATES: Final = "rates.csv"
FIELD_OF: Final = {
    "Contract.read": "contract",
    "Groups.read": "groups",
    "Identity.read": "aliases",
    "Offer.read": "offer",
    "PriceList.read": "price_list",
    "Rates.read": "rates",
    "Rule.read": "rule",
    "UserZones.read": "users",
    "capacity": "limits",
    "forecast": "sites",
    "idle": "activity",
    "read_contract": "contract",
    "read_statement": "statement",
    "reconcile": "variants",
}
"""Which field takes a file, by the function that reads it."""
PASSED_SHOWN: Final = 8

HELP = """Write tokenflex.toml and rates.csv from a look at your files.

\b
  tokenflex init logs/
  tokenflex init everything-i-was-sent/ --timezone Europe/Madrid
  tokenflex init --timezone mad-lic-01=Europe/Madrid \\
    --timezone chi-lic-01=America/Chicago

Files are told by their content: logs, rates, the contract, a statement of the vendor, groups, and what else the
commands take. What nobody can know from them is left blank for you: the time zone of each license server, and what a
day of each product is worth. Without files it looks at the folder in which it runs. Then: tokenflex run
"""


def init(
    files: Annotated[list[Path] | None, typer.Argument(help="Files or folders.", metavar="FILE")] = None,
    *,
    timezone: TimezoneOption = None,
    server: ServerOption = None,
    folder: Annotated[Path, typer.Option(help="Where to write.")] = Path(),
    force: Annotated[bool, typer.Option("--force", help=f"Write {NAME} anew, though it is there.")] = False,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Writes the configuration; see `HELP`."""
    with readable_errors():
        target = folder / NAME
        if not folder.is_dir():
            fail(f"--folder {folder}: there is no such folder")
        if target.exists() and not force:
            fail(f"{target} is there already", "Change it by hand, or give --force to write it anew.")
        found = _looked_at(files or [Path()], zones_of(timezone), server, folder, quiet=quiet)
        written = _write(found, folder)
        if as_json:
            typer.echo(json.dumps(found.to_dict() | {"written": [str(path) for path in written]}, indent=2))
        elif not quiet:
            _show(found, written, folder)


@dataclass(frozen=True)
class Found:
    """What the files say, and what they do not."""

    log: tf.FlexlmLog
    sessions: pl.DataFrame
    config: Config
    notes: dict[str, str]
    """Further comments by field."""
    passed: list[tuple[str, str]]
    """Files that no field takes, and what they are."""
    unrated: list[str]
    """Products without a rate."""
    has_rates: bool
    """Whether there is a file of rates."""

    def to_dict(self) -> dict[str, Any]:
        """The same as plain values."""
        first, last = self.log.coverage["first"].min(), self.log.coverage["last"].max()
        return {
            "fields": {name: self.config.to_dict()[name] for name in self.config.to_dict() if name != "servers"},
            "servers": dict(self.config.servers),
            "first": str(first),
            "last": str(last),
            "users": int(self.sessions["user"].n_unique()),
            "products": products_of(self.sessions),
            "to_fill_in": {"servers": list(self.config.blanks), "rates": self.unrated},
            "passed_over": [{"file": name, "kind": kind} for name, kind in self.passed],
            "next": "tokenflex run",
        }


def _looked_at(
    given: list[Path], zones: str | dict[str, str] | None, server: str | None, folder: Path, *, quiet: bool
) -> Found:
    for path in given:
        if not path.exists():
            fail(f"there is no file or folder {path}")
    home = folder.resolve()
    # What tokenflex wrote there itself tells nothing.
    own = {home / NAME, home / OUT}
    files = [file for file in files_in(given) if own.isdisjoint({file.resolve(), *file.resolve().parents})]
    logs = [file for file in files if _is_log(file)]
    if not logs:
        fail(
            f"there is no debug log of a FlexNet license server among {many(len(files), 'file')}",
            "tokenflex inspect says what they are. The log is the file of lmgrd's option -l, or of REPORTLOG's sibling "
            "debug log; ask whoever runs the license server.",
        )
    with reading_bar(quiet=quiet) as progress:
        # Names and products are the same in any zone; the real ones are asked for below.
        log = tf.read_flexlm(logs, timezone=ANY_ZONE, server=server, progress=progress)
    sessions = tf.pair(log.events, packages=log.packages, problems=tf.Problems())
    if sessions.is_empty():
        fail(f"no checkouts in {many(len(logs), 'log')}: are these debug logs of a FlexNet license server?")
    fields: dict[str, Any] = {"logs": [_written(path, folder) for path in together(logs, given, folder)]}
    fields |= {} if server is None else {"server": server}
    fields["servers"] = _servers(log, zones)
    passed: list[tuple[str, str]] = []
    notes: dict[str, str] = {}
    for each in inspected([file for file in files if file not in logs], None):
        _take(each, folder, fields, notes, passed)
    unrated = _unrated(products_of(sessions), fields, folder)
    has_rates = "rates" in fields
    fields.setdefault("rates", RATES)
    if fields["servers"] and not all(fields["servers"].values()):
        notes["servers"] = 'Fill in where they stand: IANA names such as "Europe/Madrid", "America/Chicago".'
    if unrated and has_rates:
        notes["rates"] = f"It has no rate yet for {', '.join(unrated)}."
    return Found(log, sessions, Config(fields, folder / NAME), notes, passed, unrated, has_rates)


def _is_log(file: Path) -> bool:
    try:
        return kind_of_file(file) == "flexlm"
    except tf.SourceError:
        # It is told of among the files that are no logs.
        return False


def _servers(log: tf.FlexlmLog, zones: str | dict[str, str] | None) -> dict[str, str]:
    """The zone of each server, empty where nobody said it."""
    known = sorted(log.coverage["server"].cast(str).unique())
    if isinstance(zones, str):
        return dict.fromkeys(known, zones)
    for name in zones or {}:
        if name not in known:
            fail(f"--timezone {name}=…: no log is of that server{near(name, known)}", f"There are {', '.join(known)}.")
    return {name: (zones or {}).get(name, "") for name in known}


def _take(
    each: tf.Inspection, folder: Path, fields: dict[str, Any], notes: dict[str, str], passed: list[tuple[str, str]]
) -> None:
    """Makes a file that was looked at the value of its field; of several that fit the first."""
    name = FIELD_OF.get(each.verb)
    path = _written(Path(each.name), folder)
    if name is None:
        passed.append((path, each.kind))
    elif name in fields:
        notes[name] = "\n".join(filter(None, [notes.get(name), f"Another one is there: {path}"]))
    else:
        fields[name] = path


def together(logs: list[Path], given: Iterable[Path], home: Path) -> list[Path]:
    """The logs as few paths: a folder where the reader takes all of them and nothing else from it, else each file."""
    found: list[Path] = []
    left = set(logs)
    folders = sorted({parent for log in logs for parent in log.parents}, key=lambda folder: len(folder.parts))
    for folder in folders:
        inside = {log for log in left if folder in log.parents}
        is_within = any(folder == root or root in folder.parents for root in given)
        # In the folder of the configuration other files come and go, unless the logs themselves lie there.
        is_in_the_way = folder.resolve() == home.resolve() and not any(log.parent == folder for log in inside)
        if (
            inside
            and is_within
            and not is_in_the_way
            and inside == {each for each in files_in([folder]) if FOLDERS.takes(each)}
        ):
            found.append(folder)
            left -= inside
    return sorted([*found, *left])


def _unrated(products: list[str], fields: dict[str, Any], folder: Path) -> list[str]:
    if "rates" not in fields:
        return products
    known = {rate.product for rate in tf.Rates.read(folder / fields["rates"]).rows}
    return [product for product in products if product not in known]


def _written(path: Path, folder: Path) -> str:
    """A path as the file has it: from its folder on where it is in there, with slashes on every system."""
    whole, base = path.resolve(), folder.resolve()
    if whole.is_relative_to(base):
        relative = whole.relative_to(base)
    elif whole.is_relative_to(base.parent) and len(base.parts) > 1:
        relative = Path(os.path.relpath(whole, base))
    else:
        relative = whole
    return f"{relative.as_posix()}/" if path.is_dir() else relative.as_posix()


def _write(found: Found, folder: Path) -> list[Path]:
    written = [folder / NAME]
    rates = folder / RATES
    # One that is there may be filled in by half: it is left as it is, even with --force.
    if not found.has_rates and not rates.exists():
        with whole_file(rates) as file:
            file.write(rates_to_fill_in(found.unrated).encode())
        written.append(rates)
    with whole_file(folder / NAME) as file:
        file.write(found.config.to_toml(found.notes).encode())
    return written


def _show(found: Found, written: list[Path], folder: Path) -> None:
    to = screen.console()
    catalog = tf.Catalog.default()
    log, sessions = found.log, found.sessions
    servers = sorted(found.config.servers)
    first, last = log.coverage["first"].min(), log.coverage["last"].max()
    to.print()
    to.print(f"{many(log.files.height, 'log')} of {many(len(servers), 'license server')}", style="bold")
    to.print(
        f"{many(sessions.height, 'session')} of {many(sessions['user'].n_unique(), 'user name')} and "
        f"{many(len(products_of(sessions)), 'product')}, {str(first)[:10]} to {str(last)[:10]}"
    )
    to.print()
    for path in written:
        to.print(f"{path} written", style="bold green", soft_wrap=True)
    said = [name for name in found.config.to_dict() if name not in ("logs", "servers")]
    to.print(f"  it has logs, servers, {', '.join(said)}")
    if found.passed:
        to.print("  not taken:")
        for name, kind in found.passed[:PASSED_SHOWN]:
            to.print(f"    {name}: {kind}", soft_wrap=True)
        if len(found.passed) > PASSED_SHOWN:
            to.print(f"    and {len(found.passed) - PASSED_SHOWN:,} more")
    to.print()
    number = 1
    if found.config.blanks:
        to.print(f"{number}. In {folder / NAME}, under [servers], fill in the time zone of", soft_wrap=True)
        to.print(f"   {some(list(found.config.blanks))}", soft_wrap=True)
        number += 1
    if found.unrated:
        path = folder / found.config.rates if found.config.rates else folder / RATES
        to.print(f"{number}. In {path}, fill in the tokens of a day (your contract has them) of", soft_wrap=True)
        for product in found.unrated:
            known = catalog.name(product)
            to.print(f"   {product}" + ("" if known is None else f"  {known}"))
        to.print("   Write 0 where it is free. Delete the line of a product whose tokens you do")
        to.print("   not know: its charges are told all the same, as of unknown tokens.")
        number += 1
    to.print(f"{number}. tokenflex run" if number > 1 else "Next: tokenflex run", style="bold green")
