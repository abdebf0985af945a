"""`tokenflex chargeback`: who pays how much of what a contract's ledger took."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path  # noqa: TC003 - typer reads the annotations when it runs
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

import polars as pl
import typer

import tokenflex as tf
from tokenflex import screen
from tokenflex.commands.contracts import ContractOptions, SourceArgument, money, settled, sum_of
from tokenflex.commands.options import JsonOption, fail, instant_of, readable_errors, takes, writer_of
from tokenflex.summary import plain, problem_groups
from tokenflex.words import many

if TYPE_CHECKING:
    from datetime import date

    from rich.console import Console

    from tokenflex.commands.contracts import Settled

SHOWN: Final = 30
NAMES_SHOWN: Final = 3
NOBODY: Final = "(unassigned)"
_SPLITS: Final[dict[str, Literal["window_start", "minutes"]]] = {"window-start": "window_start", "minutes": "minutes"}
_OF_BOOKINGS: Final = ("month", "pool")
"""What a booking by hand has, too."""
_SUMS: Final = ("tokens", "cost", "tokens_without_price")

HELP = """Lay all tokens that a contract's ledger took, and what they cost, to those who used them.

\b
  tokenflex chargeback charges.csv --contract contract.toml \\
    --by group,product --groups groups.csv
\b
Split by how long each session was in use, which takes logs:
  tokenflex chargeback logs/ --timezone Europe/Madrid --rates rates.csv \\
    --contract contract.toml --by group --groups groups.csv --split minutes

--by takes user, product, server, month, pool; group, cost_centre and any dimension of --groups; and the columns of the
sessions or charges. Spellings of one name are one person by case and domain; --aliases says more.
"""


@takes(ContractOptions)
def chargeback(
    source: SourceArgument,
    *,
    by: Annotated[list[str] | None, typer.Option(metavar="NAME[,NAME]", help="By what; repeat for several.")] = None,
    groups: Annotated[
        Path | None, typer.Option(help="Who belongs where, as CSV: person, group; cost_centre, dimension, periods.")
    ] = None,
    aliases: Annotated[Path | None, typer.Option(help="Who is who, as CSV: spelling, person.")] = None,
    split: Annotated[
        str,
        typer.Option(
            metavar="window-start|minutes",
            help="To whom a charge goes: who opened the window, or all by their minutes.",
        ),
    ] = "window-start",
    asked: ContractOptions,
    show: Annotated[int, typer.Option(min=0, help="How many lines are shown.")] = SHOWN,
    out: Annotated[Path | None, typer.Option(help="Write all lines here: .parquet or .csv.")] = None,
    as_of: Annotated[
        str | None, typer.Option(metavar="TIME", help="The ledger ends then. Default: the last charge or booking.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Shows who pays; see `HELP`."""
    with readable_errors():
        write = writer_of(out)
        names = _names(by)
        if split not in _SPLITS:
            fail(f"--split {split}: it has to be {' or '.join(_SPLITS)}")
        members = None if groups is None else tf.Groups.read(groups)
        identity = tf.Identity() if aliases is None else tf.Identity.read(aliases)
        run = settled(source, asked, as_of=instant_of(as_of), identity=identity)
        if run.sessions is None and split == "minutes":
            fail("--split minutes takes logs: charges do not say how long anything was in use")
        problems = tf.Problems()
        lines = _lines(run, asked, names, members, split=_SPLITS[split], problems=problems)
        write(lines)
        answer = Chargeback(run, names, lines, problems.frame)
        if as_json:
            typer.echo(json.dumps(answer.to_dict(), indent=2))
        elif not asked.quiet:
            to = screen.console()
            answer.show(show, to)
            if out is not None:
                to.print(f"{many(lines.height, 'line')} written to {out}", soft_wrap=True)


def _names(by: list[str] | None) -> list[str]:
    """What to lay by, each once."""
    if not by:
        fail("--by is missing: by what shall the tokens be laid?", "Such as --by group --groups groups.csv, --by user.")
    names = [name.strip() for given in by for name in given.split(",")]
    if "" in names:
        fail(f"--by {','.join(by)}: a name is empty")
    return list(dict.fromkeys(names))


def _lines(
    run: Settled,
    asked: ContractOptions,
    by: list[str],
    groups: tf.Groups | None,
    *,
    split: Literal["window_start", "minutes"],
    problems: tf.Problems,
) -> pl.DataFrame:
    rule = None if run.sessions is None else asked.terms
    try:
        return tf.chargeback(
            run.ledger, by=by, sessions=run.sessions, groups=groups, rule=rule, split=split, problems=problems
        )
    except tf.ArgumentError as error:
        if error.location != "by":
            raise
        hint = "--groups gives group, cost_centre and the dimensions of the file; " if groups is None else ""
        # What follows is about arguments of Python.
        what = "; ".join(str(error).split("; ")[:2])
        fail(f"--{what}", f"{hint}columns of text of the sessions or charges will do, too.")


class Chargeback:
    """What is shown: the lines, and the ledger that they are of."""

    def __init__(self, run: Settled, by: list[str], lines: pl.DataFrame, problems: pl.DataFrame) -> None:
        self._ledger = run.ledger
        self._by = by
        self._lines = lines
        self._problems = run.problems
        self._without_group = problems

    @property
    def _from_pools(self) -> Decimal:
        consumed: Decimal = self._ledger.balances()["consumed"][-1]
        return consumed

    @property
    def _overage(self) -> Decimal:
        owed: Decimal = self._ledger.cost()["overage"][-1]
        return owed

    def to_dict(self) -> dict[str, object]:
        """The same as plain values."""
        return {
            "contract": self._ledger.contract.number,
            "currency": self._ledger.contract.currency,
            "by": self._by,
            **{name: None if value is None else f"{value:f}" for name, value in _summed(self._lines).items()},
            "ledger": {"from_pools": str(self._from_pools), "overage": str(self._overage)},
            "lines": plain(self._lines).to_dicts(),
            "without_group": self._without_group["message"].to_list(),
            "problems": plain(problem_groups(self._problems)).to_dicts(),
        }

    def show(self, shown: int, to: Console) -> None:
        """Prints the table and what it adds up to."""
        contract = self._ledger.contract
        total = Decimal(self._lines["tokens"].sum())
        to.print()
        to.print(f"{screen.tokens(total)} tokens by {', '.join(self._by)}", style="bold")
        owed = f" and {screen.tokens(self._overage)} that no pool could give" if self._overage else ""
        to.print(
            f"The ledger of contract {contract.number} took as many: {screen.tokens(self._from_pools)} from the pools"
            f"{owed}."
        )
        to.print()
        self._show_lines(shown, total, to)
        self._show_without_group(to)
        screen.show_problems(problem_groups(self._problems), to)

    def _show_lines(self, shown: int, total: Decimal, to: Console) -> None:
        has_minutes = self._lines["minutes"].count() > 0
        lacks_price = bool(self._lines["tokens_without_price"].sum())
        table = screen.new_table(
            *self._by,
            ">charges",
            *([">minutes"] if has_minutes else []),
            ">tokens",
            ">share",
            f">cost ({self._ledger.contract.currency})",
            *([">without a price"] if lacks_price else []),
        )

        def numbers(charges: str, minutes: int | None, sums: dict[str, Any]) -> list[str]:
            cells = [charges]
            cells += ["" if minutes is None else f"{minutes:,}"] if has_minutes else []
            share = f"{sums['tokens'] / total:.1%}" if total else ""
            cells += [screen.tokens(sums["tokens"]), share, money(sums["cost"])]
            return cells + ([screen.tokens(sums["tokens_without_price"])] if lacks_price else [])

        for row in self._lines.head(shown).iter_rows(named=True):
            names = [_name(row[name]) for name in self._by]
            table.add_row(*names, *numbers(f"{row['charges']:,}", row["minutes"], row))
        blank = [""] * (len(self._by) - 1)
        rest = self._lines.slice(shown)
        if not rest.is_empty():
            table.add_row(f"{rest.height:,} more", *blank, *numbers("", int(rest["minutes"].sum()), _summed(rest)))
        table.add_section()
        everything = numbers("", int(self._lines["minutes"].sum()), _summed(self._lines))
        table.add_row("all", *blank, *everything, style="bold")
        screen.print_table(to, "Who pays", table, self._note())

    def _note(self) -> str:
        entries = self._ledger.entries.filter(pl.col("booking").is_not_null())
        kinds = entries["kind"].cast(pl.String)
        by_hand = -Decimal(entries.filter(kinds.is_in(["manual_consumption", "overage"]))["tokens"].sum())
        if by_hand and not set(self._by) <= set(_OF_BOOKINGS):
            return f"{NOBODY}: {screen.tokens(by_hand)} tokens of it were booked by hand, for nobody by name."
        return ""

    def _show_without_group(self, to: Console) -> None:
        without = self._without_group
        if without.is_empty():
            return
        to.print(f"People without a group ({without.height:,}), so they are {NOBODY}:", style="bold")
        for message in without["message"].head(NAMES_SHOWN):
            to.print(f"  {message}")
        if without.height > NAMES_SHOWN:
            to.print(f"  and {without.height - NAMES_SHOWN:,} more")
        to.print()


def _summed(lines: pl.DataFrame) -> dict[str, Decimal | None]:
    return {name: sum_of(lines[name]) for name in _SUMS}


def _name(value: str | date | None) -> str:
    return NOBODY if value is None else value if isinstance(value, str) else f"{value:%Y-%m}"
