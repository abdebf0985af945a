"""`Book`: a file that keeps what logs say and what it costs, and takes only what is new at each update."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, Self, get_args

import polars as pl

from tokenflex import _core, tables
from tokenflex.book import statements
from tokenflex.book.charging import (
    Changes,
    Recharged,
    keep_sessions,
    mark_final,
    recharge,
    still_open,
    with_keys,
)
from tokenflex.book.contents import (
    SERVERS,
    ProblemsOf,
    charges_of,
    charging_terms,
    end_of,
    problems_of,
    sessions_of,
    statement_of,
    terms_of,
)
from tokenflex.book.ledger import keep, ledger_of, settle
from tokenflex.book.reading import find
from tokenflex.book.store import Store
from tokenflex.book.terms import Terms
from tokenflex.book.texts import Kept, Taken, take
from tokenflex.contract.closing import reopened
from tokenflex.contract.ledger import Ledger
from tokenflex.errors import ArgumentError, SourceError, SourceNotFoundError
from tokenflex.problems import Problems, report
from tokenflex.progress import watched
from tokenflex.reading.flexlm import FOLDERS, FlexlmLog
from tokenflex.reading.sources import UNIX_EPOCH, sources_of
from tokenflex.reading.statement.read import MACHINE_METERED

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping
    from datetime import date
    from types import TracebackType

    from polars._typing import PolarsDataType

    from tokenflex._core import Source
    from tokenflex.book.store import Connection
    from tokenflex.contract.contract import Contract
    from tokenflex.metering.rates import Rates
    from tokenflex.metering.rule import Rule
    from tokenflex.progress import Progress
    from tokenflex.reading.sources import LogSource
    from tokenflex.reading.statement.source import StatementSource
    from tokenflex.reading.user_zones import Users

PATIENCE: Final = 60.0
"""Seconds that a book waits for another process to let go of its file."""

EXPORTED: Final = (
    "sessions", "charges", "corrections", "sources", "updates", "problems", "statement", "statements", "ledger",
)  # fmt: skip


@dataclass(frozen=True)
class Update:
    """What an update of a book found and changed.

    Attributes:
        number: Its number, from 1.
        files: What each file was, see `tables.BOOK_FILES`.
        is_full: Whether all texts of the book were read, as what was new said something of the past.
        sessions: How many sessions are new, changed and removed.
        charges: How many charges were written and removed; one that changed counts in both.
        corrections: How many of these were final already, and are told in `Book.corrections`.
        as_of: The last instant in the logs of the book; None where there is none.
        seconds: How long it took.
    """

    number: int
    files: pl.DataFrame
    is_full: bool
    sessions: Changes
    charges: tuple[int, int]
    corrections: int
    as_of: datetime | None
    seconds: float

    def __repr__(self) -> str:
        counts = self.files.group_by("what", maintain_order=True).len()
        files = ", ".join(f"{count} {what}" for what, count in counts.iter_rows()) or "no files"
        return (
            f"<Update {self.number}: {files}; {self.sessions.new:,} new sessions, {self.charges[0]:,} charges written, "
            f"{self.corrections:,} corrections, {self.seconds:.1f} s>"
        )


class Book:
    r"""Logs, sessions and charges in one DuckDB file, for pipelines that run night after night.

    After any sequence of updates the book says what one run over all its logs would say, row for row. An update takes
    only what is new, and it is one transaction: a process that dies in it leaves the book as it was. The file is open
    only while something is done with it.

    Args:
        path: The file. The first update makes it.
        rule: What is charged and when. The book keeps it, as all that follows: give it the first time, and later only
            to change it. Without a rule the book keeps sessions only.
        rates: Tokens for each window of each product.
        users: As for `charge`.
        timezone: As for `read_flexlm`, as are the next three.
        server: As for `read_flexlm`.
        encoding: As for `read_flexlm`.
        first_date: As for `read_flexlm`.
        contract: What the charges are drawn from, for `ledger`.
        patience: How many seconds to wait while another process has the file open.

    Raises:
        ArgumentError: DuckDB is not installed, `rule` and `rates` do not go together, or a contract is given without
            them.
        ArgumentTypeError, ZoneError: As for `charge`.

    Example:
        >>> import tempfile, tokenflex as tf
        >>> from pathlib import Path
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     log = Path(folder) / "debug.log"
        ...     _ = log.write_text('''12:00:00 (lmgrd) TIMESTAMP 7/13/2026
        ... 12:00:05 (adskflex) OUT: "87545ACD_2022_0F" ana@pc1
        ... ''')
        ...     book = tf.Book(Path(folder) / "tokens.book", rule=tf.TOKEN_FLEX, rates=tf.Rates({"ACD": 7}),
        ...                    timezone="Europe/Madrid", server="mad-lic-01")
        ...     first = book.update(log)
        ...     with log.open("a") as file:
        ...         _ = file.write('12:30:00 (adskflex) IN: "87545ACD_2022_0F" ana@pc1\n')
        ...     second = book.update(log)
        ...     first.files["what"][0], second.files["what"][0], second.sessions, book.charges().height
        ('new', 'grown', Changes(new=0, changed=1, removed=0), 1)
    """

    def __init__(
        self,
        path: str | Path,
        *,
        rule: Rule | None = None,
        rates: Rates | None = None,
        users: Users | None = None,
        timezone: str | Mapping[str, str] | None = None,
        server: str | None = None,
        encoding: str | None = None,
        first_date: date | None = None,
        contract: Contract | None = None,
        patience: float = PATIENCE,
    ) -> None:
        self._store = Store(Path(path), patience)
        self._given: dict[str, Any] = {
            "rule": rule,
            "rates": rates,
            "users": users,
            "timezone": timezone,
            "server": server,
            "encoding": encoding,
            "first_date": first_date,
            "contract": contract,
        }
        if not self.path.exists():
            Terms().with_given(**self._given)

    @property
    def path(self) -> Path:
        """The file."""
        return self._store.path

    def __repr__(self) -> str:
        return f"<Book {self.path}>"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Nothing is left open between two verbs; for `with` all the same."""

    def update(self, source: LogSource | Iterable[LogSource] | None = None, *, progress: Progress = None) -> Update:
        """Takes what is new in logs, and brings sessions and charges up to it.

        Args:
            source: As for `read_flexlm`: all logs again, or only those of the night. What the book has is not read
                again. Without it only new terms are applied.
            progress: As for `read_flexlm`; shown where all logs of the book are read.

        Returns:
            What was new, and what it changed.

        Raises:
            SourceNotFoundError, SourceError: A log cannot be read, or the book cannot be written. It is as before.
            BusyError: Another process has the book open. Nothing was done.
            ZoneError: As for `read_flexlm`.

        Example:
            >>> import tempfile, tokenflex as tf
            >>> log = b'''12:00:00 (lmgrd) TIMESTAMP 7/13/2026
            ... 12:00:05 (adskflex) OUT: "87545ACD_2022_0F" ana@pc1
            ... '''
            >>> with tempfile.TemporaryDirectory() as folder:
            ...     book = tf.Book(f"{folder}/tokens.book", timezone="Europe/Madrid", server="mad-lic-01")
            ...     [book.update(log).files["what"][0] for night in range(2)]
            ['new', 'known']
        """
        begun = time.perf_counter()
        sources = [] if source is None else sources_of(source, FOLDERS)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self._store.writing() as connection:
            return self._update(connection, sources, progress, begun)

    def _update(self, connection: Connection, sources: list[Source], progress: Progress, begun: float) -> Update:
        number = int(connection.row('SELECT coalesce(max("update"), 0) + 1 FROM updates')[0])
        before = terms_of(connection)
        terms = (before or Terms()).with_given(**self._given)
        if terms != before and (before is None or terms.to_json() != before.to_json()):
            connection.run("INSERT INTO terms VALUES (?, ?)", [number, terms.to_json()])
        taken = take(connection, sources, number)
        as_of_before = end_of(connection)
        is_other_charge = before is not None and _charges_as(terms) != _charges_as(before)
        is_other_log = before is not None and not terms.reads_as(before)
        sessions, charged, is_full = Changes(0, 0, 0), Recharged(0, 0, 0), False
        if taken.new or taken.grown or is_other_log or is_other_charge:
            settled = _settled(connection)
            touched: pl.DataFrame | None = None
            if taken.new or taken.grown or is_other_log:
                with watched(progress, "reading logs", None) as told:
                    found = find(connection, terms, taken, told, full=is_other_log)
                sessions, touched = keep_sessions(connection, terms, found)
                is_full = found.full
                _never_earlier(connection, settled)
                if end_of(connection) != as_of_before:
                    touched = pl.concat([touched, still_open(connection)])
            if is_other_charge:
                _key_anew(connection, terms)
                touched = None
            why = _why(taken, is_other=is_other_charge or is_other_log)
            charged = recharge(connection, terms, touched, update=number, settled=settled, why=why)
            mark_final(connection)
        as_of = end_of(connection)
        is_other_contract = before is None or terms.contract != before.contract
        if is_other_contract or is_other_charge or as_of != as_of_before or charged.new or charged.removed:
            settle(connection, terms)
        files = _files(connection, taken, number)
        seconds = time.perf_counter() - begun
        connection.run(
            "INSERT INTO updates VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            [
                number,
                datetime.now(UTC),
                seconds,
                as_of,
                is_full,
                *sessions,
                charged.new,
                charged.removed,
                charged.corrections,
            ],
        )
        return Update(
            number, files, is_full, sessions, (charged.new, charged.removed), charged.corrections, as_of, seconds
        )

    def sessions(self) -> pl.DataFrame:
        """The sessions of all logs, as `pair` makes them; open ones last until the last event of the book.

        Returns:
            See `tables.SESSIONS`, in order of `start`, then of server, file and line.

        Raises:
            SourceNotFoundError: There is no book yet.

        Example:
            >>> import tempfile, tokenflex as tf
            >>> log = b'''12:00:00 (lmgrd) TIMESTAMP 7/13/2026
            ... 12:00:05 (adskflex) OUT: "87545ACD_2022_0F" ana@pc1
            ... '''
            >>> with tempfile.TemporaryDirectory() as folder:
            ...     book = tf.Book(f"{folder}/tokens.book", timezone="Europe/Madrid", server="mad-lic-01")
            ...     update = book.update(log)
            ...     book.sessions().select("user", "product", "is_open").rows()
            [('ana', 'ACD', True)]
        """
        with self._store.reading() as connection:
            return sessions_of(connection)

    def charges(self, *, final: bool = False) -> pl.DataFrame:
        """The charges of all sessions, as `charge` makes them.

        Args:
            final: Only those that nothing but late logs can change: before the last line of their server that names
                its date.

        Returns:
            See `tables.CHARGES`, in order of `charged_at`, then of `session`, a row of `sessions()`.

        Raises:
            SourceNotFoundError: There is no book yet.
            ArgumentError: The book has no rule.

        Example:
            >>> import tempfile, tokenflex as tf
            >>> log = b'''12:00:00 (lmgrd) TIMESTAMP 7/13/2026
            ... 12:00:05 (adskflex) OUT: "87545ACD_2022_0F" ana@pc1
            ... '''
            >>> with tempfile.TemporaryDirectory() as folder:
            ...     book = tf.Book(f"{folder}/tokens.book", rule=tf.TOKEN_FLEX, rates=tf.Rates({"ACD": 7}),
            ...                    timezone="Europe/Madrid", server="mad-lic-01")
            ...     update = book.update(log)
            ...     book.charges()["tokens"].to_list(), book.charges(final=True).height
            ([Decimal('7.0000')], 0)
        """
        with self._store.reading() as connection:
            rule = charging_terms(connection, self.path).rule
            assert rule is not None  # noqa: S101 - `charging_terms` has looked
            return charges_of(connection, rule.rule_id, final=final)

    def corrections(self) -> pl.DataFrame:
        """What was final and is otherwise by now: what was, what is, and which update says so.

        Returns:
            See `tables.BOOK_CORRECTIONS`, in the order of the updates.

        Raises:
            SourceNotFoundError: There is no book yet.

        Example:
            >>> import tempfile, tokenflex as tf
            >>> with tempfile.TemporaryDirectory() as folder:
            ...     book = tf.Book(f"{folder}/tokens.book", timezone="UTC")
            ...     update = book.update()
            ...     book.corrections().height
            0
        """
        return self._table("corrections", tables.BOOK_CORRECTIONS, 'ORDER BY "update", charged_at, "user", product')

    def add_statement(
        self,
        source: StatementSource | Iterable[StatementSource],
        *,
        timezone: str | Mapping[str, str] | None = None,
        machine_metered: Collection[str] = MACHINE_METERED,
        date_format: str | None = None,
        encoding: str = "cp1252",
        beside: bool = False,
        problems: Problems | None = None,
    ) -> pl.DataFrame:
        """Adds the vendor's usage exports: what is given in one call is one statement.

        An export that the book has is passed over. A later statement replaces what earlier ones say of its days, from
        its first to its last, of the same kind and team: the vendor's exports say all that there is of their days, and
        a new one of the same month says it again. A book with a contract books the manual rows in its ledger.

        Args:
            source: As for `read_statement`, as are the next four.
            timezone: Unless given, that of the book.
            machine_metered: Products that are metered by machine.
            date_format: How dates are written.
            encoding: Code page of text that is neither UTF-8 nor UTF-16.
            beside: Replace nothing: for an export of a part of the use, such as of one product.
            problems: Collects what could not be taken as it is; without it, a `TokenflexWarning` tells of it.

        Returns:
            The rows of `statements()` for what is new; empty where nothing is.

        Raises:
            SourceNotFoundError, SourceError, ZoneError, ArgumentError: As for `read_statement`. The book is as before.
            BusyError: Another process has the book open. Nothing was done.

        Example:
            >>> import tempfile, tokenflex as tf
            >>> export = b'''usageDate,productLineCode,userName,tokensConsumed
            ... 2026-07-13,ACD,ana,7
            ... '''
            >>> with tempfile.TemporaryDirectory() as folder:
            ...     book = tf.Book(f"{folder}/tokens.book", timezone="Europe/Madrid")
            ...     added = [book.add_statement(export).height for night in range(2)]
            ...     added, book.statement()["tokens"].to_list()
            ([1, 0], [Decimal('7.0000')])
        """
        told = Problems()
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self._store.writing() as connection:
            terms = terms_of(connection)
            options = {
                "timezone": (terms or Terms().with_given(**self._given)).timezone if timezone is None else timezone,
                "machine_metered": machine_metered,
                "date_format": date_format,
                "encoding": encoding,
            }
            number = statements.add(connection, source, options, beside=beside, problems=told)
            if number is not None and terms is not None:
                settle(connection, terms)
            added = connection.frame("SELECT * FROM statements WHERE statement = ? ORDER BY file", [number])
        report(told.frame, problems, "add_statement")
        return tables.finish(added, tables.BOOK_STATEMENTS)

    def statement(self) -> pl.DataFrame:
        r"""The rows of the vendor's exports that count, for `reconcile`.

        Returns:
            See `tables.STATEMENT`, in the order in which statements were added.

        Raises:
            SourceNotFoundError: There is no book yet.

        Example:
            >>> import tempfile, tokenflex as tf
            >>> july, again = (b"usageDate,productLineCode,userName,tokensConsumed\n2026-07-13,ACD,ana,%d\n" % tokens
            ...                for tokens in (7, 8))
            >>> with tempfile.TemporaryDirectory() as folder:
            ...     book = tf.Book(f"{folder}/tokens.book", timezone="Europe/Madrid")
            ...     added = [book.add_statement(export) for export in (july, again)]
            ...     book.statement()["tokens"].to_list()
            [Decimal('8.0000')]
        """
        with self._store.reading() as connection:
            return statement_of(connection)

    def statements(self) -> pl.DataFrame:
        r"""Which exports the book has, and how many of their rows count.

        Returns:
            See `tables.BOOK_STATEMENTS`, the first one first.

        Raises:
            SourceNotFoundError: There is no book yet.

        Example:
            >>> import tempfile, tokenflex as tf
            >>> july, again = (b"usageDate,productLineCode,userName,tokensConsumed\n2026-07-13,ACD,ana,%d\n" % tokens
            ...                for tokens in (7, 8))
            >>> with tempfile.TemporaryDirectory() as folder:
            ...     book = tf.Book(f"{folder}/tokens.book", timezone="Europe/Madrid")
            ...     added = [book.add_statement(export) for export in (july, again)]
            ...     book.statements().select("statement", "rows", "rows_current").rows()
            [(1, 1, 0), (2, 1, 1)]
        """
        return self._table("statements", tables.BOOK_STATEMENTS, "ORDER BY statement, file")

    def ledger(self) -> Ledger:
        """The charges drawn from the contract, as `Contract.settle` does it, up to the last event of the book.

        Every update that changes charges settles them. What was closed stays, and what changes in it is booked behind
        it, see `Ledger.update`.

        Returns:
            The ledger of `charges()` and `statement()`.

        Raises:
            SourceNotFoundError: There is no book yet.
            ArgumentError: The book has no contract, or none with which it was updated.

        Example:
            >>> import tempfile, tokenflex as tf
            >>> log = b'''12:00:00 (lmgrd) TIMESTAMP 7/13/2026
            ... 12:00:05 (adskflex) OUT: "87545ACD_2022_0F" ana@pc1
            ... '''
            >>> contract = tf.Contract(number="team 7", packs=[tf.Pack(id="a", tokens=100, purchased="2026-07-01")])
            >>> with tempfile.TemporaryDirectory() as folder:
            ...     book = tf.Book(f"{folder}/tokens.book", rule=tf.TOKEN_FLEX, rates=tf.Rates({"ACD": 7}),
            ...                    timezone="Europe/Madrid", server="mad-lic-01", contract=contract)
            ...     update = book.update(log)
            ...     book.ledger().balances()["balance"][0]
            Decimal('93.0000')
        """
        with self._store.reading() as connection:
            return self._ledger(connection)

    def close(self, day: date) -> Ledger:
        """Fixes the ledger up to the end of a day, as for a month that has been charged back: `Ledger.close`.

        Args:
            day: The last day that is closed, in the contract's zone.

        Returns:
            The ledger. No update will change the entries of its closed time any more.

        Raises:
            SourceNotFoundError, BusyError: As for `update`.
            ArgumentError: The book has no contract; or as for `Ledger.close`, such as where the day has not ended by
                the last event of the book.
            ArgumentTypeError: It is no date.

        Example:
            >>> import tempfile, tokenflex as tf
            >>> from datetime import date
            >>> log = b'''12:00:00 (lmgrd) TIMESTAMP 7/13/2026
            ... 12:00:05 (adskflex) OUT: "87545ACD_2022_0F" ana@pc1
            ... 9:00:00 (lmgrd) TIMESTAMP 7/14/2026
            ... 9:00:05 (adskflex) IN: "87545ACD_2022_0F" ana@pc1
            ... '''
            >>> contract = tf.Contract(number="team 7", packs=[tf.Pack(id="a", tokens=100, purchased="2026-07-01")])
            >>> with tempfile.TemporaryDirectory() as folder:
            ...     book = tf.Book(f"{folder}/tokens.book", rule=tf.TOKEN_FLEX, rates=tf.Rates({"ACD": 7}),
            ...                    timezone="Europe/Madrid", server="mad-lic-01", contract=contract)
            ...     update = book.update(log)
            ...     book.close(date(2026, 7, 13)).closed.isoformat()
            '2026-07-13'
        """
        with self._store.changing() as connection:
            closed = self._ledger(connection).close(day)
            keep(connection, closed)
            return closed

    def reopen(self, day: date | None = None) -> Ledger:
        """Opens again what was closed after a day, or all: `Ledger.reopen`.

        Args:
            day: The last day that stays closed; None for none.

        Raises:
            SourceNotFoundError, BusyError: As for `update`.
            ArgumentError: The book has no contract, or it was not closed until then.
            ArgumentTypeError: It is no date.
        """
        with self._store.changing() as connection:
            keep(connection, reopened(self._ledger(connection), day))
            settle(connection, terms_of(connection) or Terms())
            return self._ledger(connection)

    def _ledger(self, connection: Connection) -> Ledger:
        found = ledger_of(connection, terms_of(connection) or Terms())
        if found is None:
            raise ArgumentError(
                f"{self.path} has no ledger: give contract= to tf.Book, with rule= and rates=, and update it",
                location="contract",
            )
        return found

    def sources(self) -> pl.DataFrame:
        r"""The texts that the book has: each once, under the name that its file has now.

        Returns:
            See `tables.BOOK_SOURCES`.

        Raises:
            SourceNotFoundError: There is no book yet.

        Example:
            >>> import tempfile, tokenflex as tf
            >>> with tempfile.TemporaryDirectory() as folder:
            ...     book = tf.Book(f"{folder}/tokens.book", timezone="UTC")
            ...     update = book.update(b"12:00:00 (lmgrd) TIMESTAMP 7/13/2026\n")
            ...     book.sources().select("file", "bytes").rows()
            [('<bytes>', 37)]
        """
        return self._table("sources", tables.BOOK_SOURCES, "ORDER BY text")

    def servers(self) -> pl.DataFrame:
        """What the book has of each license server; no log is read for it.

        Returns:
            See `tables.BOOK_SERVERS`, in order of name. Days without lines and counts of events are in
            `log().coverage`, for which the logs are read again.

        Raises:
            SourceNotFoundError: There is no book yet.

        Example:
            >>> import tempfile, tokenflex as tf
            >>> log = b'''12:00:00 (lmgrd) TIMESTAMP 7/13/2026
            ... 12:00:05 (adskflex) OUT: "87545ACD_2022_0F" ana@pc1
            ... '''
            >>> with tempfile.TemporaryDirectory() as folder:
            ...     book = tf.Book(f"{folder}/tokens.book", timezone="Europe/Madrid", server="mad-lic-01")
            ...     update = book.update(log)
            ...     book.servers().select("server", "texts", "open_sessions").rows()
            [('mad-lic-01', 1, 1)]
        """
        with self._store.reading() as connection:
            return tables.finish(connection.frame(SERVERS), tables.BOOK_SERVERS)

    def updates(self) -> pl.DataFrame:
        """What each update took and changed: what to look at when a night was wrong.

        Returns:
            See `tables.BOOK_UPDATES`, the first one first.

        Raises:
            SourceNotFoundError: There is no book yet.

        Example:
            >>> import tempfile, tokenflex as tf
            >>> with tempfile.TemporaryDirectory() as folder:
            ...     book = tf.Book(f"{folder}/tokens.book", timezone="UTC")
            ...     update = book.update()
            ...     book.updates().select("update", "charges_new").rows()
            [(1, 0)]
        """
        return self._table("updates", tables.BOOK_UPDATES, 'ORDER BY "update"')

    def problems(self, *, of: ProblemsOf | None = None) -> pl.DataFrame:
        r"""What could not be taken as it is, as one run over all would tell it.

        Args:
            of: Only those of reading and pairing `logs`, those of `charges`, for which all sessions are charged again,
                or those of statements and the ledger (`contract`); all of them, in this order, unless given.

        Returns:
            See `tables.PROBLEMS`. Rows of sessions are those of `sessions()`.

        Raises:
            SourceNotFoundError: There is no book yet.
            ArgumentError: `of` is none of these.

        Example:
            >>> import tempfile, tokenflex as tf
            >>> with tempfile.TemporaryDirectory() as folder:
            ...     book = tf.Book(f"{folder}/tokens.book", timezone="UTC")
            ...     update = book.update(b'12:00:00 (adskflex) IN: "87545ACD_2022_0F" ana@pc1\n')
            ...     book.problems()["code"].to_list()
            ['undated']
        """
        if of not in (None, *get_args(ProblemsOf)):
            raise ArgumentError(f"of is {of!r}, but has to be {', '.join(get_args(ProblemsOf))} or None", location="of")
        with self._store.reading() as connection:
            return problems_of(connection, of)

    def log(self, *, progress: Progress = None) -> FlexlmLog:
        """All logs of the book, read again from what it keeps of them, though their files be gone.

        Zones, server, encoding and first date that were given to `Book` are taken, also before an update with them.

        Args:
            progress: As for `read_flexlm`.

        Returns:
            What `read_flexlm` makes of them.

        Raises:
            SourceNotFoundError: There is no book yet, or it has no logs.

        Example:
            >>> import tempfile, tokenflex as tf
            >>> log = b'''12:00:00 (lmgrd) TIMESTAMP 7/13/2026
            ... 12:00:05 (adskflex) OUT: "87545ACD_2022_0F" ana@pc1
            ... '''
            >>> with tempfile.TemporaryDirectory() as folder:
            ...     book = tf.Book(f"{folder}/tokens.book", timezone="Europe/Madrid", server="mad-lic-01")
            ...     update = book.update(log)
            ...     book.log().events["user"].to_list()
            ['ana']
        """
        with self._store.reading() as connection:
            terms = (terms_of(connection) or Terms()).with_given(**self._given)
            rows = connection.rows("SELECT text, origin, folder FROM texts ORDER BY text")
            if not rows:
                raise SourceNotFoundError(f"{self.path} has no logs yet", location=str(self.path))
            sources: list[Source] = [
                {"name": name, "folder": folder, "path": None, "bytes": None, "file": Kept(connection, text)}
                for text, name, folder in rows
            ]
            zones = terms.timezone
            with watched(progress, "reading logs", None) as told:
                parts = _core.read_flexlm(
                    {
                        "sources": sources,
                        "timezone": zones if isinstance(zones, str) else None,
                        "timezones": zones if isinstance(zones, dict) else {},
                        "server": terms.server,
                        "encoding": terms.encoding,
                        "first_date": None if terms.first_date is None else terms.first_date.toordinal() - UNIX_EPOCH,
                        "threads": None,
                    },
                    progress=told,
                )
        schemas = (tables.EVENTS, tables.PROBLEMS, tables.PACKAGES, tables.FILES, tables.COVERAGE)
        return FlexlmLog(*(tables.finish(part, schema) for part, schema in zip(parts, schemas, strict=True)))

    def export(self, folder: str | Path, *, format: Literal["parquet", "delta"] = "parquet") -> list[Path]:  # noqa: A002 - the field's word
        """Writes the tables of the book into a folder: sessions, charges, statement, entries of the ledger, and others.

        Args:
            folder: Where to; made where it is not there. What an earlier export wrote is replaced.
            format: `parquet`, a file for each table; `delta`, a Delta table for each, a new version of it each time.

        Returns:
            The paths that were written.

        Raises:
            SourceNotFoundError: There is no book yet.
            SourceError: The folder cannot be written to.
            ArgumentError: No such format, or `delta` without the package `deltalake`.

        Example:
            >>> import tempfile, tokenflex as tf
            >>> with tempfile.TemporaryDirectory() as folder:
            ...     book = tf.Book(f"{folder}/tokens.book", timezone="UTC")
            ...     update = book.update()
            ...     [path.name for path in book.export(f"{folder}/out")][:3]
            ['sessions.parquet', 'corrections.parquet', 'sources.parquet']
        """
        if format not in ("parquet", "delta"):
            raise ArgumentError(f"format is {format!r}, but has to be parquet or delta", location="format")
        folder = Path(folder)
        terms = self.terms
        paths = []
        for name in EXPORTED:
            if (name == "charges" and terms.rule is None) or (name == "ledger" and terms.contract is None):
                continue
            found = getattr(self, name)()
            table: pl.DataFrame = found.entries if isinstance(found, Ledger) else found
            path = folder / (f"{name}.parquet" if format == "parquet" else name)
            try:
                folder.mkdir(parents=True, exist_ok=True)
                _write_table(table, path, format)
            except OSError as error:
                raise SourceError(f"{path} cannot be written: {error}", location=str(path)) from error
            paths.append(path)
        return paths

    @property
    def terms(self) -> Terms:
        """How its logs are read and charged.

        Raises:
            SourceNotFoundError: There is no book yet.
        """
        with self._store.reading() as connection:
            return terms_of(connection) or Terms()

    def _table(self, name: str, schema: tables.Schema, order: str) -> pl.DataFrame:
        with self._store.reading() as connection:
            return tables.finish(connection.frame(f"SELECT * FROM {name} {order}"), schema)  # noqa: S608 - our text


def _write_table(table: pl.DataFrame, path: Path, kind: str) -> None:
    if kind == "parquet":
        part = path.with_name(f".{path.name}.part")
        table.write_parquet(part)
        part.replace(path)
        return
    plain = table.cast({name: _as_in_delta(dtype) for name, dtype in table.schema.items()})
    try:
        plain.write_delta(str(path), mode="overwrite", delta_write_options={"schema_mode": "overwrite"})
    except ModuleNotFoundError as error:
        raise ArgumentError("Delta needs one more package: pip install deltalake", location="format") from error


def _as_in_delta(dtype: PolarsDataType) -> PolarsDataType:
    """A type that Delta knows: it has neither categories nor enumerations, nor whole numbers without a sign."""
    if isinstance(dtype, pl.Struct):
        return pl.Struct({field.name: _as_in_delta(field.dtype) for field in dtype.fields})
    if dtype.is_unsigned_integer():
        return pl.Int64
    return pl.String if isinstance(dtype, pl.Categorical | pl.Enum) else dtype


def _charges_as(terms: Terms) -> tuple[object, ...]:
    rates = None if terms.rates is None else terms.rates.rows
    return (terms.rule, rates, terms.users)


def _settled(connection: Connection) -> dict[str, datetime]:
    rows = connection.rows("SELECT server, certain_until FROM servers WHERE certain_until IS NOT NULL")
    return dict(rows)


def _never_earlier(connection: Connection, settled: dict[str, datetime]) -> None:
    """What was final stays so, though its logs be read anew."""
    for server, until in settled.items():
        connection.run(
            "UPDATE servers SET certain_until = greatest(certain_until, ?) WHERE server = ?", [until, server]
        )


def _key_anew(connection: Connection, terms: Terms) -> None:
    """Other terms, other keys."""
    sessions = connection.frame('SELECT id, server, "user", host, product FROM kept_sessions')
    keys = with_keys(sessions, terms).select("id", "payer", "unit")
    with connection.given(new_keys=keys):
        connection.run(
            "UPDATE kept_sessions SET payer = new_keys.payer, unit = new_keys.unit FROM new_keys "
            "WHERE kept_sessions.id = new_keys.id"
        )


def _why(taken: Taken, *, is_other: bool) -> str:
    """What made charges change, in words."""
    files = [f"{file} ({what})" for file, _, what, fresh in taken.files if fresh]
    shown = files[:3] + ([f"and {len(files) - 3} more"] if len(files) > 3 else [])  # noqa: PLR2004 - a few
    return ", ".join([*(["other terms"] if is_other else []), *shown])


def _files(connection: Connection, taken: Taken, number: int) -> pl.DataFrame:
    files = pl.DataFrame(
        [(file, what, text, fresh) for file, text, what, fresh in taken.files],
        schema=dict(tables.BOOK_FILES),
        orient="row",
    )
    # What was known before is told once more to the caller, but kept it would fill the book.
    connection.add("file_changes", files.filter(pl.col("bytes") > 0).with_columns(update=pl.lit(number)))
    return files
