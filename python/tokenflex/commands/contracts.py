"""What the commands about a contract share: charges from logs or from a file, settled; and the balances shown."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import polars as pl
import typer
from rich.text import Text

import tokenflex as tf
from tokenflex import screen, tables
from tokenflex.commands.logs import Metered, metered
from tokenflex.commands.options import LogOptions, fail, is_from_file
from tokenflex.inspection import kind_of_file
from tokenflex.reading.charges import read_charges
from tokenflex.words import many

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from rich.console import Console

POOLS_SHOWN: Final = 24
_BALANCE_COLUMNS: Final = ("provisioned", "adjusted", "carried", "consumed", "expired", "balance")

SourceArgument = Annotated[
    list[str],
    typer.Argument(help="Logs, or one file of charges that `charge --out` wrote.", metavar="LOGS|CHARGES"),
]


@dataclass(frozen=True, kw_only=True)
class ContractOptions(LogOptions):
    """The options by which charges are settled; those of logs are for logs only."""

    contract: Annotated[
        Path | None, typer.Option(help="What was agreed, as .toml or .json; the vendor's JSON of it will do.")
    ] = None
    statement: Annotated[
        Path | None, typer.Option(help="A statement of the vendor: what was booked by hand is taken from it.")
    ] = None

    @property
    def local(self) -> tuple[str, ...]:
        """The options of logs that a file of charges takes as well: a statement has local times."""
        return () if self.statement is None else ("--timezone",)

    @property
    def is_of_book(self) -> bool:
        """Whether the contract is that of `--book`."""
        return self.contract is None and self.kept.contract is not None

    @cached_property
    def agreed(self) -> tf.Contract:
        """What `--contract` says, or else the book; without both the program ends."""
        kept = self.kept.contract
        return contract_of(self.contract) if kept is None or self.contract is not None else kept

    def stated(self, problems: tf.Problems) -> pl.DataFrame | None:
        """What `--statement` holds, or else the book."""
        if self.statement is None:
            return self.kept_statement
        return tf.read_statement(self.statement, timezone=self.zones, problems=problems)


@dataclass(frozen=True)
class Settled:
    """A ledger, and what else is known of its charges."""

    ledger: tf.Ledger
    sessions: pl.DataFrame | None
    """Where the charges come from logs."""
    problems: pl.DataFrame
    """Of all steps."""


def settled(
    source: list[str],
    asked: ContractOptions,
    *,
    as_of: datetime | None,
    identity: tf.Identity | None = None,
    after: tf.Ledger | None = None,
) -> Settled:
    """Charges what is in logs, or reads charges, and settles them with the contract, behind what was closed before."""
    contract = asked.agreed
    if after is None and identity is None and asked.is_of_book and asked.book is not None:
        after = closed_in(asked.book)
    if after is not None and after.contract.number != contract.number:
        fail(f"--keep holds a ledger of the contract {after.contract.number}, and --contract is {contract.number}")
    problems = tf.Problems()
    charged = charges_of(source, asked, problems, also=asked.local)
    charges, sessions = charged.charges, None if charged.run is None else charged.run.sessions
    statement = asked.stated(problems)
    if identity is not None:
        charges = _persons(identity, charges, problems)
        sessions = None if sessions is None else _persons(identity, sessions, problems)
    ledger = contract.settle(charges, statement=statement, as_of=as_of, after=after, problems=problems)
    return Settled(ledger, sessions, problems.frame)


def closed_in(path: Path) -> tf.Ledger | None:
    """The ledger of a book where some of it is closed."""
    ledger = tf.Book(path).ledger()
    return None if ledger.closed is None else ledger


@dataclass(frozen=True)
class Charged:
    """Charges, and the run over logs that made them; a file of charges has none."""

    charges: pl.DataFrame
    run: Metered | None


def charges_of(source: list[str], asked: LogOptions, problems: tf.Problems, *, also: tuple[str, ...] = ()) -> Charged:
    """Charges what is in logs, or reads charges; with these no option of logs is taken but those `also` allowed."""
    path = _file_of_charges(source)
    if path is not None:
        _refuse_options_of_logs(path, asked, also)
        return Charged(_charges_in(path), None)
    run = metered(source, asked)
    problems.add(run.problems)
    return Charged(run.charges, run)


def contract_of(path: Path | None) -> tf.Contract:
    """The contract in a file; without one the program ends, and says how to write it."""
    if path is None:
        fail(
            "--contract is missing: how many tokens were bought, and until when do they last?",
            "Write contract.toml as docs/contract.md shows: number, zone, and [[years]] with year, start, end, tokens "
            "(Token Flex), or [[packs]] with id, tokens, purchased (Flex).",
        )
    return tf.Contract.read(path)


def _file_of_charges(source: list[str]) -> Path | None:
    """The one file of charges that was given, or None where logs were."""
    files = [Path(name) for name in source if Path(name).is_file()]
    charges = [path for path in files if kind_of_file(path) in ("table", "parquet", "workbook", "json")]
    if charges and len(source) > 1:
        fail(f"{charges[0]} is a table and no log: give logs, or one file of charges and nothing else")
    return charges[0] if charges else None


def _refuse_options_of_logs(path: Path, asked: LogOptions, also: tuple[str, ...]) -> None:
    given = {
        "rates": asked.rates is not None,
        "server": asked.server is not None,
        "rule": asked.rule is not None,
        "timezone": bool(asked.timezone),
        "book": asked.book is not None,
    }
    for name, is_given in given.items():
        option = f"--{name}"
        if is_given and option not in also and not is_from_file(name):
            fail(f"{option} goes with logs: what is in {path} has been charged already")


def _persons(identity: tf.Identity, table: pl.DataFrame, problems: tf.Problems) -> pl.DataFrame:
    return identity.apply(table, problems=problems) if "user" in table.columns else table


def _charges_in(path: Path) -> pl.DataFrame:
    try:
        return read_charges(path)
    except tf.MissingColumnError as error:
        fail(
            str(error),
            "Give logs, or what `tokenflex charge --out charges.csv` wrote. A statement of the vendor goes with "
            "--statement.",
        )


def local(at: datetime, zone: str) -> str:
    """An instant as the clocks of a zone show it, `2026-01-31 17:00:00`."""
    return str(pl.Series([at], dtype=tables.TIME).dt.convert_time_zone(zone).dt.to_string("%Y-%m-%d %H:%M:%S")[0])


def sum_of(values: pl.Series) -> Decimal | None:
    """The exact sum of decimals, None where there is none but nulls."""
    return Decimal(values.sum()) if values.count() > 0 or values.is_empty() else None


def money(value: Decimal | None, *, places: int = 2) -> str:
    """Money for the eye, rounded; a dash where no price is known."""
    return "-" if value is None else f"{value:,.{places}f}"


def show_balances(ledger: tf.Ledger, to: Console) -> None:
    """Prints what each pool had, gave and has."""
    rows = ledger.balances()
    pools, total = rows.head(-1), rows.tail(1)
    zone = ledger.contract.zone
    life = {pool.id: f"{local(pool.opens, zone)[:10]} to {pool.end}" for pool in ledger.contract.pools}
    table = screen.new_table("pool", *(f">{name}" for name in _BALANCE_COLUMNS))
    for row in pools.head(POOLS_SHOWN).iter_rows(named=True):
        table.add_row(Text(f"{row['pool']}\n").append(life[row["pool"]], style="dim"), *_cells(row))
    rest = pools.slice(POOLS_SHOWN)
    if not rest.is_empty():
        summed = rest.select(pl.col(*_BALANCE_COLUMNS).sum()).row(0, named=True)
        table.add_row(many(rest.height, "other pool"), *_cells(summed))
    table.add_section()
    table.add_row("all", *_cells(total.row(0, named=True)), style="bold")
    note = "provisioned + adjusted + carried - consumed - expired = balance; 0 until a pool opens"
    screen.print_table(to, "Balance by pool", table, note)


def _cells(row: dict[str, Decimal]) -> Sequence[str]:
    return [screen.tokens(row[name]) for name in _BALANCE_COLUMNS]
