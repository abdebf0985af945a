"""What the commands that start from logs share: logs, or the book that has them, read, paired and charged."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, NoReturn, TypeVar

import polars as pl
import typer

import tokenflex as tf
from tokenflex.commands.options import fail, reading_bar

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime

    from tokenflex.book.terms import Terms
    from tokenflex.commands.options import LogOptions, ReadOptions

    Zones = str | dict[str, str] | None
    Value = TypeVar("Value")


@dataclass(frozen=True)
class LogFiles:
    """Logs that were read."""

    log: tf.FlexlmLog

    @property
    def coverage(self) -> pl.DataFrame:
        """The period of each server, see `tables.COVERAGE`."""
        return self.log.coverage

    @property
    def servers(self) -> list[str]:
        """The license servers whose logs they are."""
        return self.log.coverage["server"].cast(pl.String).to_list()

    @property
    def lives(self) -> None:
        """The zones of users, which logs do not say."""

    def __str__(self) -> str:
        return f"{self.log.files.height} files"

    def sessions(self, as_of: datetime | None, problems: tf.Problems) -> pl.DataFrame:
        """The sessions, paired; `problems` collects those of reading and of pairing."""
        problems.add(self.log.problems)
        return tf.pair(self.log.events, as_of=as_of, packages=self.log.packages, problems=problems)

    def charges(self, run: Paired, rule: tf.Rule, problems: tf.Problems) -> None:
        """Charges that are there already: none."""


@dataclass(frozen=True)
class BookOfLogs:
    """The same of a book: what it has is taken from it, and its logs are read again only for what it has not."""

    book: tf.Book
    terms: Terms
    update: int
    """The last one when it was opened; after another one, what was taken before goes with nothing that comes."""
    servers: list[str]
    is_as_given: bool
    """Whether its logs have been read with the zones that are given."""
    quiet: bool

    @classmethod
    def opened(cls, asked: ReadOptions) -> BookOfLogs:
        """The book of `--book`, and its logs by the zones and the server that are given beside it."""
        assert asked.book is not None  # noqa: S101 - who calls has looked
        terms, zones = asked.kept, asked.zones
        book = tf.Book(asked.book, timezone=zones, server=asked.server)
        update = _last_update(book)
        servers = sorted(set(book.sources()["servers"].explode().drop_nulls()))
        is_as_given = asked.server in (None, terms.server) and all(
            _zone(zones, each) == _zone(terms.timezone, each) for each in servers
        )
        return cls(book, terms, update, servers, is_as_given, asked.quiet)

    @cached_property
    def log(self) -> tf.FlexlmLog:
        """What its logs say, read again."""
        with reading_bar(quiet=self.quiet) as progress:
            return self._of_one_update(self.book.log(progress=progress))

    @property
    def coverage(self) -> pl.DataFrame:
        """The period of each server, see `tables.COVERAGE`."""
        return self.log.coverage

    @property
    def lives(self) -> dict[str, str] | None:
        """The zones of users."""
        return self.terms.users

    def __str__(self) -> str:
        return str(self.book.path)

    def sessions(self, as_of: datetime | None, problems: tf.Problems) -> pl.DataFrame:
        """Those of the book; paired anew where its logs are to be read otherwise, or open sessions to end elsewhere."""
        if as_of is not None or not self.is_as_given:
            return LogFiles(self.log).sessions(as_of, problems)
        problems.add(self.book.problems(of="logs"))
        return self._sessions

    @cached_property
    def _sessions(self) -> pl.DataFrame:
        return self._of_one_update(self.book.sessions())

    def charges(self, run: Paired, rule: tf.Rule, problems: tf.Problems) -> pl.DataFrame | None:
        """Those of the book, if sessions, rule and rates are its own; else none."""
        if (
            self.is_as_given
            and run.sessions is self._sessions
            and (rule, run.rates)
            == (
                self.terms.rule,
                self.terms.rates,
            )
        ):
            problems.add(self.book.problems(of="charges"))
            return self._of_one_update(self.book.charges())
        return None

    def _of_one_update(self, found: Value) -> Value:
        if _last_update(self.book) != self.update:
            raise tf.BusyError(f"{self.book.path} was updated while it was read: run this again")
        return found


def _last_update(book: tf.Book) -> int:
    found: int = book.updates()["update"].max()  # type: ignore[assignment]  # a book has at least one
    return found


def _zone(zones: Zones, server: str) -> str | None:
    return zones.get(server) if isinstance(zones, dict) else zones


def opened(logs: list[str], asked: ReadOptions) -> LogFiles | BookOfLogs:
    """The logs that are given, read; or the book in their place."""
    if asked.book is None:
        zones = asked.zones
        with reading_bar(quiet=asked.quiet) as progress:
            return LogFiles(tf.read_flexlm(logs, timezone=zones, server=asked.server, progress=progress))
    if logs:
        fail("--book stands in place of logs: give one of the two")
    return BookOfLogs.opened(asked)


@dataclass(frozen=True)
class Paired:
    """What logs say of use, and what is needed to charge it."""

    read: LogFiles | BookOfLogs
    servers: dict[str, str]
    rates: tf.Rates
    sessions: pl.DataFrame
    problems: pl.DataFrame
    """Of reading and pairing, and where there are charges of charging."""

    @property
    def log(self) -> tf.FlexlmLog:
        """What the logs say; of a book they are read again for this."""
        return self.read.log

    @property
    def coverage(self) -> pl.DataFrame:
        """The period of each server, see `tables.COVERAGE`."""
        return self.read.coverage


@dataclass(frozen=True)
class Metered(Paired):
    """The same with its charges."""

    charges: pl.DataFrame


def paired(
    logs: list[str],
    asked: LogOptions,
    *,
    as_of: datetime | None = None,
    identity: tf.Identity | None = None,
    variants: Mapping[str, str] | None = None,
) -> Paired:
    """Reads and pairs; without rates it prints a template to fill in, and ends the program.

    Who is who and which product is which, where that is given, is put right.
    """
    problems = tf.Problems()
    zones, rates = asked.zones, asked.prices
    read = opened(logs, asked)
    sessions = sessions_in(read, as_of, problems)
    if rates is None:
        rates_template(sessions)
    return put_right(Paired(read, servers_of(read, zones), rates, sessions, problems.frame), identity, variants)


def sessions_in(read: LogFiles | BookOfLogs, as_of: datetime | None, problems: tf.Problems) -> pl.DataFrame:
    """The sessions; without any the program ends."""
    sessions = read.sessions(as_of, problems)
    if sessions.is_empty():
        fail(f"no checkouts in {read}: are these debug logs of a FlexNet license server?")
    return sessions


def put_right(run: Paired, identity: tf.Identity | None, variants: Mapping[str, str] | None) -> Paired:
    """The same with persons in place of their spellings, and product lines in place of their variants."""
    problems, sessions = tf.Problems(), run.sessions
    if identity is not None:
        sessions = identity.apply(sessions, problems=problems)
    if variants:
        sessions = sessions.with_columns(pl.col("product").cast(pl.String).replace(variants))
    return replace(run, sessions=sessions, problems=pl.concat([run.problems, problems.frame]))


def metered(
    logs: list[str],
    asked: LogOptions,
    *,
    as_of: datetime | None = None,
    identity: tf.Identity | None = None,
    variants: Mapping[str, str] | None = None,
) -> Metered:
    """Reads, pairs and charges, as `paired` does."""
    return charged(paired(logs, asked, as_of=as_of, identity=identity, variants=variants), asked.terms, as_of=as_of)


def charged(run: Paired, rule: tf.Rule, *, as_of: datetime | None = None) -> Metered:
    """What was read and paired, with its charges."""
    problems = tf.Problems()
    charges = run.read.charges(run, rule, problems)
    if charges is None:
        charges = tf.charge(
            run.sessions,
            rule=rule,
            rates=run.rates,
            servers=run.servers,
            users=run.read.lives,
            as_of=as_of,
            problems=problems,
        )
    found = pl.concat([run.problems, problems.frame])
    return Metered(run.read, run.servers, run.rates, run.sessions, found, charges)


def sessions_of_logs(logs: list[str], asked: ReadOptions, problems: tf.Problems) -> pl.DataFrame:
    """Reads and pairs; `problems` collects those of both."""
    return opened(logs, asked).sessions(None, problems)


def rates_template(sessions: pl.DataFrame) -> NoReturn:
    """Says that rates are missing; the template goes to stdout, so that `> rates.csv` makes the file."""
    typer.echo(rates_to_fill_in(products_of(sessions)), nl=False)
    fail(
        "--rates is missing: what is a day of each product worth?",
        "Fill in the template above (your contract has the tokens), save it, and give it by --rates rates.csv.",
    )


def products_of(sessions: pl.DataFrame) -> list[str]:
    """The products that were used, by name."""
    return sessions["product"].cast(pl.String).unique().drop_nulls().sort().to_list()


def rates_to_fill_in(products: Iterable[str]) -> str:
    """A file of rates without tokens."""
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(("product", "tokens", "effective_from"))
    rows.writerows((product, "", "") for product in products)
    return text.getvalue()


def servers_of(read: LogFiles | BookOfLogs, timezone: Zones) -> dict[str, str]:
    """The zone of each server in the logs, as far as it is said."""
    return dict.fromkeys(read.servers, timezone) if isinstance(timezone, str) else timezone or {}
