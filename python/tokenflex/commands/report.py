"""`tokenflex report`: everything of a time in one page, workbook or folder of tables."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path  # noqa: TC003 - typer reads the annotations when it runs
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

import tokenflex as tf
from tokenflex import screen
from tokenflex.commands.month import Month, MonthOptions, as_options, last_day, month_of
from tokenflex.commands.options import JsonOption, LogsArgument, fail, may_be_written, readable_errors, takes
from tokenflex.summary import plain, problem_groups
from tokenflex.words import many

if TYPE_CHECKING:
    import polars as pl
    from rich.console import Console

FORMATS: Final = ("parquet", "csv")
FILES: Final = (".html", ".xlsx")
ACTIONS_SHOWN: Final = 5

HELP = """Write everything of a time as one page, one workbook, or a folder of tables.

\b
  tokenflex report logs/ --timezone Europe/Madrid --rates rates.csv \\
    --out report.html
  tokenflex report logs/ --timezone Europe/Madrid --rates rates.csv \\
    --contract contract.toml --statement statement.csv --groups groups.csv \\
    --period 2026-01 --out january.xlsx
  … --out january/ --format csv

The page needs nothing but a browser. What a chapter lacks is said in it, with the option that gives it. tokenflex run
writes all three for a month, with tokenflex.toml in place of the options.
"""


@takes(MonthOptions)
def report(
    logs: LogsArgument,
    *,
    asked: MonthOptions,
    out: Annotated[
        Path | None, typer.Option(help="Where to write: a name that ends in .html or .xlsx, or that of a folder.")
    ] = None,
    as_format: Annotated[
        str, typer.Option("--format", metavar="parquet|csv", help="Of the tables in a folder.")
    ] = "parquet",
    period: Annotated[
        str | None, typer.Option(metavar="2026-01|DATE:DATE", help="Which month, or days. Default: all there is.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Writes the report; see `HELP`."""
    with readable_errors():
        if out is None:
            fail("--out is missing: where shall the report be written?", "Such as --out report.html, or report.xlsx.")
        form = format_of(as_format)
        if out.suffix:
            may_be_written(out, "--out", FILES)
        days = None if period is None else _days_of(period)
        month = month_of(logs, asked, lambda _: days)
        write_report(month.report, out, form)
        if as_json:
            typer.echo(json.dumps(plain_of(month) | {"files": {"report": str(out)}}, indent=2))
        elif not asked.quiet:
            to = screen.console()
            show_answers(month, to)
            to.print(f"The report was written to {out}", style="bold green", soft_wrap=True)


def format_of(text: str) -> Any:  # noqa: ANN401 - one of the two words that `Report.write` takes
    """What `--format` says."""
    if text not in FORMATS:
        fail(f"--format {text}: it has to be {' or '.join(FORMATS)}")
    return text


def write_report(report: tf.Report, out: Path, form: Any = None) -> None:  # noqa: ANN401 - as above
    """Writes it, as the name says."""
    report.write(out, **({} if out.suffix in FILES else {"format": form}))


def _days_of(text: str) -> tuple[date, date]:
    first, _, last = text.partition(":")
    try:
        if last:
            return date.fromisoformat(first), date.fromisoformat(last)
    except ValueError:
        fail(f"--period {text}: write a month as 2026-01, or days as 2026-01-01:2026-03-31")
    return days_of_month(text, "--period")


def days_of_month(text: str, option: str) -> tuple[date, date]:
    """First and last day of a month that is written as 2026-01."""
    try:
        first = date.fromisoformat(f"{text}-01")
    except ValueError:
        fail(f"{option} {text}: write a month as 2026-01")
    return first, last_day(first)


def plain_of(month: Month) -> dict[str, Any]:
    """What is known of a month as plain values."""
    report = month.report
    return {
        "title": report.title,
        "start": None if report.start is None else report.start.isoformat(),
        "end": None if report.end is None else report.end.isoformat(),
        "charges": month.charges.height,
        "tokens": str(month.tokens),
        "answers": plain(report.answers).to_dicts(),
        "actions": plain(report.actions).to_dicts(),
        "steps": [vars(step) for step in month.steps],
        "look_at": month.look_at(),
        "chapters": [{"key": each.key, "headline": each.headline, "missing": each.missing} for each in report.chapters],
        "tables": sorted(report.tables),
        "problems": plain(problem_groups(month.problems)).to_dicts(),
    }


def show_answers(month: Month, to: Console) -> None:
    """Prints the first screen of the report: the answers, and what to do."""
    report = month.report
    to.print()
    headline = f"{screen.tokens(month.tokens)} tokens in {many(month.charges.height, 'charge')}"
    to.print(f"{headline}, {report.start} to {report.end}" if report.start else headline, style="bold green")
    to.print()
    if not report.answers.is_empty():
        table = screen.new_table("what", "answer", "what stands behind it")
        for row in report.answers.iter_rows(named=True):
            table.add_row(
                row["label"], row["answer"], as_options(row["detail"] or ""), style=_STYLES.get(row["tone"], "")
            )
        screen.print_table(to, "Answers", table)
    _show_actions(report.actions, to)


_STYLES: Final = {"act": "bold", "none": "dim"}


def _show_actions(actions: pl.DataFrame, to: Console) -> None:
    if actions.is_empty():
        return
    table = screen.new_table(">no.", "what to do", "why", ">tokens")
    for row in actions.head(ACTIONS_SHOWN).iter_rows(named=True):
        table.add_row(str(row["rank"]), row["action"], row["why"] or "", screen.tokens(row["tokens"]))
    more = actions.height - ACTIONS_SHOWN
    screen.print_table(to, "What to do this week", table, f"and {more:,} more in the report" if more > 0 else "")
