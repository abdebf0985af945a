"""`tokenflex update`: takes what is new in logs into a book, night after night."""

from __future__ import annotations

import json
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path  # noqa: TC003 - typer reads the annotations when it runs
from typing import TYPE_CHECKING, Annotated, Any, Final

import polars as pl
import typer
from rich.text import Text

import tokenflex as tf
from tokenflex import screen
from tokenflex.book.book import PATIENCE
from tokenflex.commands.audit import states_a_contract
from tokenflex.commands.contracts import contract_of
from tokenflex.commands.forecasts import day_of
from tokenflex.commands.options import (
    LOOK_AT,
    JsonOption,
    LogOptions,
    UsersOption,
    fail,
    is_from_file,
    rates_of,
    readable_errors,
    reading_bar,
    rule_of,
    takes,
    users_of,
    zones_of,
)
from tokenflex.summary import plain, problem_groups
from tokenflex.words import many

if TYPE_CHECKING:
    from rich.console import Console

    from tokenflex.book.terms import Terms

FILES_SHOWN: Final = 15
CORRECTIONS_SHOWN: Final = 5
NOTHING_NEW: Final = ("known", "older copy", "rotated", "empty")

HELP = """Take what is new in logs into a book: a file that keeps logs, sessions and charges.

\b
The first time, with all that has to be known:
  tokenflex update --book tokens.book logs/ --timezone Europe/Madrid \\
    --rates rates.csv --rule rule.toml
\b
Every night: the whole folder again, or only the new files
  tokenflex update --book tokens.book logs/ --quiet
\b
The contract and the vendor's exports, for ledger and audit
  tokenflex update --book tokens.book --contract contract.toml \\
    --statement exports/
\b
New rates, zones or rule; what was final and changes is told as a correction
  tokenflex update --book tokens.book --rates rates-2027.csv

An update is done whole or not at all, and may be run again at any time. The other commands take --book in place of
logs. Zones, rates and rule are kept in the book; without rates it has sessions only. See docs/book.md.

The program ends with 0 where the book is up to date, with 2 where something was given wrongly, and with 75 where
another process has the book open for longer than --patience: nothing was done then, try later.
"""


@dataclass(frozen=True, kw_only=True)
class UpdateOptions(LogOptions):
    """The options of logs, of which the book keeps what is given."""

    book: Annotated[Path | None, typer.Option(metavar="BOOK", help="The book; it is made where there is none.")] = None
    users: UsersOption = None
    encoding: Annotated[
        str | None, typer.Option(metavar="NAME", help="Code page of names that are not UTF-8. Default: cp1252.")
    ] = None
    first_date: Annotated[
        str | None, typer.Option(metavar="DATE", help="The day of the first line, for logs without any date.")
    ] = None
    contract: Annotated[
        Path | None, typer.Option(help="What was bought, as .toml or .json: the book keeps its ledger.")
    ] = None
    statement: Annotated[
        list[Path] | None,
        typer.Option(help="The vendor's usage exports: the newest says what its days are. Repeat for several."),
    ] = None


@takes(UpdateOptions)
def update(
    logs: Annotated[
        list[str] | None,
        typer.Argument(
            help="Log files, folders or patterns: all again, or the new ones. Without any, new terms are applied.",
            metavar="LOGS",
        ),
    ] = None,
    *,
    asked: UpdateOptions,
    patience: Annotated[
        float, typer.Option(metavar="SECONDS", min=0, help="How long to wait while another process has the book open.")
    ] = PATIENCE,
    fail_on_corrections: Annotated[
        bool, typer.Option("--fail-on-corrections", help="End with 1 where charges changed that were final.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Updates a book; see `HELP`."""
    with readable_errors():
        if asked.book is None:
            fail(
                "--book is missing: which file is the book?",
                "Such as --book tokens.book; it is made where there is none.",
            )
        kept = _kept(asked.book, patience)
        if not logs and kept is None:
            fail(f"no logs given, and there is no book {asked.book} yet", "Give the logs of your license servers.")
        book = _book_of(asked.book, kept, asked, patience)
        with reading_bar(quiet=asked.quiet or as_json) as progress:
            done = book.update(logs or None, progress=progress)
        problems = tf.Problems()
        exports = asked.statement or []
        if is_from_file("statement"):
            exports = [path for path in exports if not states_a_contract(path)]
        stated = book.add_statement(exports, problems=problems) if exports else book.statements().clear()
        answer = Answer(book, done, stated, problems.frame)
        if as_json:
            typer.echo(json.dumps(answer.to_dict(), indent=2))
        elif not asked.quiet:
            answer.show(screen.console())
        if fail_on_corrections and done.corrections:
            raise typer.Exit(LOOK_AT)


def _kept(path: Path, patience: float) -> Terms | None:
    """The terms of the book; None where there is none, or its first update was killed."""
    try:
        return tf.Book(path, patience=patience).terms
    except tf.SourceNotFoundError:
        return None


def _book_of(path: Path, kept: Terms | None, asked: UpdateOptions, patience: float) -> tf.Book:
    """The book with what is given to it; rates without a rule are charged by the rule that all commands take."""
    rates = rates_of(asked.rates)
    rule = None if asked.rule is None else rule_of(asked.rule)
    has_rates = rates is not None or (kept is not None and kept.rates is not None)
    if rule is not None and not has_rates:
        if not is_from_file("rule"):
            fail("--rule goes with --rates: what is a day of each product worth?")
        rule = None
    if rule is None and rates is not None and (kept is None or kept.rule is None):
        rule = tf.TOKEN_FLEX
    charged_by = rule or (None if kept is None else kept.rule)
    is_by_user = charged_by is not None and charged_by.zone == "user"
    if asked.users is not None and not is_by_user and not is_from_file("users"):
        fail("--users goes with a rule whose days are those of the user")
    return tf.Book(
        path,
        rule=rule,
        rates=rates,
        users=users_of(asked.users) if asked.users is not None and is_by_user else None,
        timezone=zones_of(asked.timezone),
        server=asked.server,
        encoding=asked.encoding,
        first_date=None if asked.first_date is None else day_of(asked.first_date, "--first-date"),
        contract=_contract_of(asked, is_charged=charged_by is not None),
        patience=patience,
    )


def _contract_of(asked: UpdateOptions, *, is_charged: bool) -> tf.Contract | None:
    if asked.contract is not None and not is_charged:
        if is_from_file("contract"):
            return None
        fail("--contract goes with --rates: charges are drawn from it, and without rates there are none")
    return None if asked.contract is None else contract_of(asked.contract)


@dataclass(frozen=True)
class Answer:
    """What is shown of an update."""

    book: tf.Book
    done: tf.Update
    statements: pl.DataFrame
    """The exports that were new."""
    problems: pl.DataFrame
    """Of these exports."""

    @property
    def corrections(self) -> pl.DataFrame:
        """Those of this update."""
        if not self.done.corrections:
            return self.book.corrections().clear()
        return self.book.corrections().filter(pl.col("update") == self.done.number)

    @property
    def difference(self) -> Decimal:
        """Tokens that the corrections add up to."""
        return _difference(self.corrections)

    def to_dict(self) -> dict[str, Any]:
        """The same as plain values."""
        done = self.done
        written, removed = done.charges
        return {
            "book": str(self.book.path),
            "update": done.number,
            "as_of": None if done.as_of is None else done.as_of.isoformat(),
            "files": plain(done.files).to_dicts(),
            "is_full": done.is_full,
            "sessions": done.sessions._asdict(),
            "charges": {"written": written, "removed": removed},
            "corrections": done.corrections,
            "difference": str(self.difference),
            "statements": plain(self.statements).to_dicts(),
            "problems": plain(problem_groups(self.problems)).to_dicts(),
            "seconds": round(done.seconds, 3),
        }

    def show(self, to: Console) -> None:
        """Prints it."""
        done = self.done
        to.print(f"{self.book.path}: update {done.number:,} is done", style="bold green", soft_wrap=True)
        to.print()
        _show_files(done.files, to)
        if any((*done.sessions, *done.charges)):
            table = screen.new_table("of", ">new", ">changed", ">removed")
            table.add_row("sessions", *(f"{count:,}" for count in done.sessions))
            table.add_row("charges", f"{done.charges[0]:,}", "-", f"{done.charges[1]:,}")
            screen.print_table(to, "What changed", table, "A charge that changed counts as new and as removed.")
        else:
            to.print("Nothing changed.\n")
        if self.book.terms.rates is None:
            to.print("Nothing is charged, as the book has no rates yet: --rates rates.csv\n")
        _show_corrections(self.corrections, to)
        _show_statements(self.statements, to)
        if not self.problems.is_empty():
            screen.show_problems(problem_groups(self.problems), to)
        if done.is_full and done.number > 1:
            to.print("All logs of the book were read, and not only what is new.")
        last = "has no lines yet" if done.as_of is None else f"goes to {done.as_of:%Y-%m-%d %H:%M:%S} UTC"
        to.print(f"The book {last}. The update took {done.seconds:.1f} s.")


def _difference(corrections: pl.DataFrame) -> Decimal:
    after, before = (corrections[name].fill_null(Decimal(0)).sum() for name in ("tokens_after", "tokens_before"))
    return Decimal(after) - Decimal(before)


def _show_files(files: pl.DataFrame, to: Console) -> None:
    """The files that say something new; the others are counted."""
    is_new = ~pl.col("what").is_in(NOTHING_NEW)
    fresh, others = files.filter(is_new), files.filter(~is_new)["what"].value_counts(sort=True)
    if not fresh.is_empty():
        table = screen.new_table("file", "what it was", ">new bytes")
        for file, what, taken in fresh.head(FILES_SHOWN).select("file", "what", "bytes").iter_rows():
            table.add_row(Text(file), what, f"{taken:,}")
        more = fresh.height - FILES_SHOWN
        screen.print_table(to, "Files", table, f"and {many(more, 'more file')}" if more > 0 else "")
    told = ", ".join(f"{count:,} {what}" for what, count in others.iter_rows())
    if told:
        to.print(f"{'Other files' if not fresh.is_empty() else 'Files'} without anything new: {told}\n")


def _show_statements(statements: pl.DataFrame, to: Console) -> None:
    if statements.is_empty():
        return
    table = screen.new_table("file", ">rows", ">tokens")
    for row in statements.iter_rows(named=True):
        table.add_row(Text(row["file"]), f"{row['rows']:,}", screen.tokens(row["tokens"]))
    screen.print_table(to, "Statements of the vendor that are new", table)


def _show_corrections(rows: pl.DataFrame, to: Console) -> None:
    if rows.is_empty():
        return
    table = screen.new_table("what", "user", "product", "day", ">was", ">is")
    change = pl.col("tokens_after").fill_null(0) - pl.col("tokens_before").fill_null(0)
    for row in (
        rows.sort(change.abs(), descending=True, maintain_order=True).head(CORRECTIONS_SHOWN).iter_rows(named=True)
    ):
        table.add_row(
            row["what"],
            Text(row["user"] or "-"),
            row["product"] or "-",
            str(row["usage_date"]),
            screen.tokens(row["tokens_before"]),
            screen.tokens(row["tokens_after"]),
        )
    difference = _difference(rows)
    more = rows.height - CORRECTIONS_SHOWN
    sign = "+" if difference > 0 else ""
    note = f"{many(rows.height, 'correction')}, {sign}{screen.tokens(difference)} tokens in all: {rows['why'][0]}."
    note += f" The {CORRECTIONS_SHOWN} greatest are shown." if more > 0 else ""
    screen.print_table(to, "Charges that were final and changed", table, note)
