"""`tokenflex inspect`: what files are, what is in them, and what to run next."""

from __future__ import annotations

import json
from pathlib import Path  # noqa: TC003 - typer reads the annotations when it runs
from typing import Annotated

import typer

import tokenflex as tf
from tokenflex import screen
from tokenflex.commands.options import JsonOption, fail, readable_errors, zones_of
from tokenflex.inspection import together

HELP = """Say what files are, what is in them, and what to run next.

\b
  tokenflex inspect debug.log export.csv contract.json
  tokenflex inspect everything-i-was-sent/ --timezone Europe/Madrid

Told by the content, never by the name: license server logs (FlexNet, RLM), lmstat outputs, the vendor's usage exports
and contracts, rates, rules, and any table with user, product, start and end.
"""


def inspect(
    files: Annotated[list[Path], typer.Argument(help="Files or folders.", metavar="FILE...")],
    *,
    timezone: Annotated[
        list[str] | None,
        typer.Option(
            metavar="[SERVER=]ZONE", help="Zone of local times, as for `charge`; without it they are shown as written."
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Says what files are; see `HELP`."""
    with readable_errors():
        found = inspected(files_in(files), zones_of(timezone))
        if as_json:
            typer.echo(json.dumps([each.to_dict() for each in found], indent=2))
        else:
            for each in found:
                screen.show_inspection(each, screen.console())
            screen.show_together(together(found), screen.console())


def inspected(files: list[Path], timezone: str | dict[str, str] | None) -> list[tf.Inspection]:
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


def files_in(given: list[Path]) -> list[Path]:
    """The files, and those in the folders."""
    found: list[Path] = []
    for path in given:
        inside = sorted(each for each in path.rglob("*") if each.is_file() and not each.name.startswith("."))
        if path.is_dir() and not inside:
            fail(f"the folder {path} is empty")
        found.extend(inside if path.is_dir() else [path])
    return found
