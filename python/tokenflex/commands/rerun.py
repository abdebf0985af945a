"""`tokenflex rerun`: an evidence pack made again from its own inputs, and compared to the byte."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path  # noqa: TC003 - typer reads the annotations when it runs
from typing import Annotated, Final

import typer

import tokenflex as tf
from tokenflex import screen
from tokenflex.commands.options import JsonOption, QuietOption, fail, readable_errors
from tokenflex.words import many

NOT_THE_SAME: Final = 1
"""How the program ends where a file of the pack does not follow from its inputs."""

HELP = """Check an evidence pack: make it again from its own inputs, and compare every file to the byte.

\b
  tokenflex rerun dispute.zip

The charges are computed anew from the sessions by the rule and the rates, and held against the statement, all of it in
the pack. The program ends with 0 where all files are the same, and with 1 where one is not.
"""


def rerun(
    pack: Annotated[Path, typer.Argument(help="The folder or zip that `audit --dispute` wrote.")],
    *,
    out: Annotated[
        Path | None, typer.Option(help="Keep the new pack here: a new folder, or a name that ends in .zip.")
    ] = None,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Makes a pack again; see `HELP`."""
    with readable_errors():
        if out is not None and out.exists():
            fail(f"--out {out}: it is there already, choose another name")
        given = tf.read_dispute(pack)
        again = given.rerun()
        changed = given.changed_files(again)
        if out is not None:
            again.write(out)
        if as_json:
            typer.echo(json.dumps(_plain(given, changed), indent=2))
        elif not quiet:
            _show(given, changed)
        if changed:
            raise typer.Exit(NOT_THE_SAME)


def _plain(given: tf.Dispute, changed: list[str]) -> dict[str, object]:
    return {
        "made_by": given.version,
        "this_is": tf.__version__,
        "fingerprint": given.fingerprint,
        "cases": given.cases.height,
        "difference": str(given.cases["difference"].sum()),
        "files": len(given.files),
        "is_same": not changed,
        "not_the_same": changed,
    }


def _show(given: tf.Dispute, changed: list[str]) -> None:
    to = screen.console()
    difference = screen.tokens(Decimal(given.cases["difference"].sum()))
    to.print(f"{many(given.cases.height, 'case')}, {difference} tokens in all")
    to.print(f"fingerprint {given.fingerprint}", soft_wrap=True)
    if not changed:
        to.print(f"the same to the byte: {many(len(given.files), 'file')}", style="bold green")
        return
    to.print(f"not the same: {many(len(changed), 'file')} of {len(given.files)}", style="bold red")
    for name in changed:
        to.print(f"  {name}")
    if given.version != tf.__version__:
        to.print(f"The pack was made by tokenflex {given.version}, and this is {tf.__version__}: install that version.")
