"""`tokenflex run`: the month, from logs to the report, with all that `tokenflex.toml` says."""

from __future__ import annotations

import json
import shutil
from pathlib import Path  # noqa: TC003 - typer reads the annotations when it runs
from typing import TYPE_CHECKING, Annotated, Final

import typer

import tokenflex as tf
from tokenflex import screen
from tokenflex.commands.audit import flat
from tokenflex.commands.month import MONTH, OUT, Month, MonthOptions, Step, last_whole_month, month_of
from tokenflex.commands.options import (
    LOOK_AT,
    JsonOption,
    LogsArgument,
    fail,
    readable_errors,
    takes,
    writer_of,
)
from tokenflex.commands.report import days_of_month, format_of, plain_of, show_answers, write_report

if TYPE_CHECKING:
    from datetime import date, datetime

    from rich.console import Console

    from tokenflex.commands.logs import Metered

HELP = """Do the month: read, charge, audit, settle, and write the report.

\b
With tokenflex.toml in the folder (tokenflex init writes it):
  tokenflex run
  tokenflex run --month 2026-01
\b
Without it:
  tokenflex run logs/ --timezone Europe/Madrid --rates rates.csv

The last whole month in the logs is done, unless --month or --all says another. Into a folder of the month under --out
go report.html, report.xlsx, the tables, the charges, and with --dispute the evidence for the vendor. What lacks an
input is skipped, and told with the option that gives it.

The program ends with 0 where all is well, and with 1 where somebody has to look: a part failed, lines of the statement
that nothing explains, products without a rate, tokens that no pool could give.
"""


@takes(MonthOptions)
def run(
    logs: LogsArgument,
    *,
    asked: MonthOptions,
    month: Annotated[str | None, typer.Option(metavar="2026-01", help="Which month.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="All there is, and no month.")] = False,
    out: Annotated[Path, typer.Option(help="Under which folder to write that of the month.")] = OUT,
    as_format: Annotated[str, typer.Option("--format", metavar="parquet|csv", help="Of tables.")] = "parquet",
    dispute: Annotated[
        bool, typer.Option("--dispute", help="Write the evidence for the vendor too, where the audit differs.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Does the month; see `HELP`."""
    with readable_errors():
        form = format_of(as_format)
        if month is not None and everything:
            fail("--month and --all exclude each other")
        if month is not None:
            days_of_month(month, "--month")
        done = month_of(logs, asked, lambda read: _period(read, month, everything=everything))
        folder = out / ("all" if done.start is None else f"{done.start:{MONTH}}")
        files = _write(done, folder, form, dispute=dispute)
        look_at = done.look_at()
        if as_json:
            written = {name: str(path) for name, path in files.items()}
            typer.echo(json.dumps(plain_of(done) | {"files": written}, indent=2))
        elif not asked.quiet:
            _show(done, look_at, files, screen.console())
        if look_at:
            raise typer.Exit(LOOK_AT)


def _period(read: Metered, month: str | None, *, everything: bool) -> tuple[date, date] | None:
    """Which days are done; None is all. It ends the program where nothing was charged in them."""
    dates = read.charges["usage_date"].drop_nulls().sort()
    if dates.is_empty():
        fail("nothing was charged in these logs")
    if everything:
        return None
    if month is None:
        seen: datetime = read.coverage["last"].max()  # type: ignore[assignment]  # of instants
        return last_whole_month(dates, seen.date())
    days = days_of_month(month, "--month")
    if not dates.is_between(*days).any():
        fail(f"nothing was charged in {month}", f"Charges are of {dates[0]} to {dates[-1]}.")
    return days


def _write(done: Month, folder: Path, form: str, *, dispute: bool) -> dict[str, Path]:
    """Writes the files of the month in place of those of an earlier run; what cannot be written is told as a step."""
    folder.mkdir(parents=True, exist_ok=True)
    files: dict[str, Path] = {}
    forms = {"page": folder / "report.html", "workbook": folder / "report.xlsx", "tables": folder / form}
    for name, path in forms.items():
        try:
            if path.is_dir():
                shutil.rmtree(path)
            write_report(done.report, path, form)
        except tf.ArgumentError as error:
            # A library is not installed; the message says which.
            done.steps.append(Step(name, "skipped", str(error)))
        else:
            files[name] = path
    files["charges"] = folder / f"charges.{form}"
    writer_of(files["charges"])(done.charges)
    if done.audit is not None:
        files["audit"] = folder / f"audit.{form}"
        writer_of(files["audit"])(done.audit.rows if form == "parquet" else flat(done.audit.rows))
    if dispute:
        _write_dispute(done, folder / "dispute.zip", files)
    return files


def _write_dispute(done: Month, path: Path, files: dict[str, Path]) -> None:
    if done.audit is None:
        done.steps.append(Step("dispute", "skipped", "there is no audit: --statement statement.csv"))
        return
    problems = tf.Problems()
    pack = tf.dispute(done.audit, events=done.run.log.events, problems=problems)
    if pack.cases.is_empty():
        done.steps.append(Step("dispute", "skipped", "the vendor's statement has nothing to ask about"))
        return
    # A pack takes no other's place by itself.
    path.unlink(missing_ok=True)
    pack.write(path)
    files["dispute"] = path


_STYLES: Final[dict[str, str]] = {"done": "", "skipped": "dim", "failed": "bold red"}


def _show(done: Month, look_at: list[str], files: dict[str, Path], to: Console) -> None:
    show_answers(done, to)
    table = screen.new_table("step", "", "what came of it, or what it takes")
    for step in done.steps:
        table.add_row(step.name, step.state, step.said, style=_STYLES[step.state])
    screen.print_table(to, "Steps", table)
    if look_at:
        to.print("To look at:", style="bold red")
        for each in look_at:
            to.print(f"  {each}")
        to.print()
    to.print("Written:", style="bold")
    for name, path in files.items():
        to.print(f"  {name:<9} {path}", soft_wrap=True)
