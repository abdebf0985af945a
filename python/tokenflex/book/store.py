"""The file of a book: its tables, their versions, and who may write to it when."""

from __future__ import annotations

import os
import threading
import time
import zlib
from collections import defaultdict
from contextlib import contextmanager, suppress
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

import polars as pl
import polars.selectors as cs

from tokenflex import _core, tables
from tokenflex.book.texts import HEAD, keep_block
from tokenflex.errors import ArgumentError, BusyError, SourceError, SourceNotFoundError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

VERSION: Final = 3
"""The version of the tables."""

POLL: Final = 0.05
"""Seconds between two tries to open a book that another process has open."""

LEDGER_AND_STATEMENTS: Final = """
CREATE TABLE statement_files (
    statement BIGINT NOT NULL, file VARCHAR NOT NULL, digest VARCHAR NOT NULL, added_at TIMESTAMPTZ NOT NULL
);
CREATE TABLE kept_statement (
    statement BIGINT NOT NULL, "row" BIGINT NOT NULL, is_current BOOLEAN NOT NULL, "day" DATE,
    kind VARCHAR NOT NULL, usage_date DATE, usage_month DATE, contract_year USMALLINT, product VARCHAR,
    product_name VARCHAR, offering VARCHAR, version VARCHAR, feature VARCHAR, "user" VARCHAR, user_id VARCHAR,
    hashed_id VARCHAR, user_name VARCHAR, email VARCHAR, host VARCHAR, server VARCHAR, start TIMESTAMPTZ,
    "end" TIMESTAMPTZ, utc_offset SMALLINT, charged_item VARCHAR, category VARCHAR, usage_type VARCHAR,
    usage_category VARCHAR, access VARCHAR, token_pool VARCHAR, tokens DECIMAL(38, 4), usage_minutes DECIMAL(38, 4),
    team VARCHAR, transaction_date DATE, reason_type VARCHAR, reason_comment VARCHAR,
    custom STRUCT(field_1 VARCHAR, field_2 VARCHAR, field_3 VARCHAR, field_4 VARCHAR, field_5 VARCHAR, field_6 VARCHAR,
        field_7 VARCHAR, field_8 VARCHAR, field_9 VARCHAR, field_10 VARCHAR),
    is_masked BOOLEAN, is_swapped BOOLEAN, file VARCHAR, line UINTEGER
);
CREATE TABLE kept_problems (
    verb VARCHAR NOT NULL, source VARCHAR, location BIGINT, code VARCHAR NOT NULL, message VARCHAR NOT NULL
);
CREATE TABLE ledger_state (
    contract VARCHAR NOT NULL, as_of TIMESTAMPTZ NOT NULL, closed DATE, withdrawn BIGINT NOT NULL
);
CREATE TABLE kept_entries (
    entry BIGINT NOT NULL, "at" TIMESTAMPTZ NOT NULL, kind VARCHAR NOT NULL, pool VARCHAR,
    tokens DECIMAL(38, 4) NOT NULL, balance_before DECIMAL(38, 4), balance_after DECIMAL(38, 4),
    charge BIGINT, booking BIGINT, corrects VARCHAR,
    "user" VARCHAR, product VARCHAR, server VARCHAR
);
CREATE TABLE kept_bookings (
    n BIGINT NOT NULL, source VARCHAR NOT NULL, location BIGINT, "day" DATE NOT NULL, kind VARCHAR NOT NULL,
    pool VARCHAR, tokens DECIMAL(38, 4) NOT NULL, reason VARCHAR, team VARCHAR, is_current BOOLEAN NOT NULL
);
CREATE TABLE closed_charges (
    charge BIGINT NOT NULL, "user" VARCHAR, product VARCHAR, server VARCHAR, charged_at TIMESTAMPTZ NOT NULL,
    window_end TIMESTAMPTZ, usage_date DATE, category VARCHAR, "trigger" VARCHAR, tokens DECIMAL(38, 4), rule_id VARCHAR
);
"""
CUTS: Final = """
CREATE TABLE cuts (server VARCHAR NOT NULL, text BIGINT NOT NULL, byte BIGINT NOT NULL, line BIGINT NOT NULL);
"""
BLOCKS: Final = """
CREATE TABLE blocks (
    text BIGINT NOT NULL, start BIGINT NOT NULL, bytes BIGINT NOT NULL, packed BIGINT NOT NULL, digest VARCHAR NOT NULL,
    shelf BIGINT NOT NULL
);
"""
SCHEMA: Final = f"""
{BLOCKS}CREATE TABLE book (version INTEGER NOT NULL, written_by VARCHAR NOT NULL);
CREATE TABLE terms (since BIGINT NOT NULL, terms VARCHAR NOT NULL);
CREATE TABLE updates (
    "update" BIGINT NOT NULL, ended_at TIMESTAMPTZ NOT NULL, seconds DOUBLE NOT NULL, as_of TIMESTAMPTZ,
    "full" BOOLEAN NOT NULL, sessions_new BIGINT NOT NULL, sessions_changed BIGINT NOT NULL,
    sessions_removed BIGINT NOT NULL, charges_new BIGINT NOT NULL, charges_removed BIGINT NOT NULL,
    corrections BIGINT NOT NULL
);
CREATE TABLE texts (
    text BIGINT NOT NULL, name VARCHAR NOT NULL, origin VARCHAR NOT NULL, folder VARCHAR NOT NULL,
    bytes BIGINT NOT NULL, head BLOB, is_plain BOOLEAN NOT NULL,
    packed BIGINT, modified BIGINT,
    servers VARCHAR[] NOT NULL, hosts VARCHAR[] NOT NULL, first TIMESTAMPTZ, last TIMESTAMPTZ,
    first_update BIGINT NOT NULL, last_update BIGINT NOT NULL
);
CREATE TABLE file_changes ("update" BIGINT NOT NULL, file VARCHAR NOT NULL, text BIGINT, what VARCHAR NOT NULL,
    bytes BIGINT NOT NULL);
CREATE TABLE servers (
    server VARCHAR NOT NULL, last_event TIMESTAMPTZ, certain_until TIMESTAMPTZ, has_forks BOOLEAN NOT NULL,
    cut_at TIMESTAMPTZ, last_seen TIMESTAMPTZ, tail BIGINT[] NOT NULL
);
{CUTS}CREATE TABLE carried (
    server VARCHAR NOT NULL, time TIMESTAMPTZ NOT NULL, kind VARCHAR NOT NULL, feature VARCHAR, "user" VARCHAR,
    host VARCHAR, daemon VARCHAR, text BIGINT NOT NULL, line BIGINT NOT NULL, licenses BIGINT NOT NULL,
    peak BIGINT NOT NULL, checkouts BIGINT NOT NULL, set_aside BIGINT NOT NULL, closing_until TIMESTAMPTZ
);
CREATE TABLE packages (server VARCHAR, daemon VARCHAR, package VARCHAR, component VARCHAR);
CREATE TABLE log_problems (
    server VARCHAR, text BIGINT, verb VARCHAR NOT NULL, location BIGINT, code VARCHAR NOT NULL,
    message VARCHAR NOT NULL, is_settled BOOLEAN NOT NULL
);
CREATE TABLE kept_sessions (
    id BIGINT NOT NULL, server VARCHAR NOT NULL, "user" VARCHAR NOT NULL, host VARCHAR NOT NULL,
    feature VARCHAR NOT NULL, product VARCHAR, version VARCHAR, start TIMESTAMPTZ NOT NULL, "end" TIMESTAMPTZ,
    licenses BIGINT NOT NULL, checkouts BIGINT NOT NULL, end_reason VARCHAR NOT NULL, text BIGINT NOT NULL,
    line BIGINT, payer VARCHAR, unit VARCHAR, is_settled BOOLEAN NOT NULL
);
CREATE TABLE kept_charges (
    session_id BIGINT NOT NULL, "user" VARCHAR, product VARCHAR, server VARCHAR, charged_at TIMESTAMPTZ NOT NULL,
    window_end TIMESTAMPTZ, usage_date DATE, category VARCHAR NOT NULL, "trigger" VARCHAR NOT NULL,
    tokens DECIMAL(38, 4), rule_id VARCHAR NOT NULL, payer VARCHAR, unit VARCHAR, is_final BOOLEAN NOT NULL,
    since BIGINT NOT NULL
);
CREATE TABLE corrections (
    "update" BIGINT NOT NULL, why VARCHAR NOT NULL, what VARCHAR NOT NULL, "user" VARCHAR, product VARCHAR,
    server VARCHAR, charged_at TIMESTAMPTZ NOT NULL, usage_date DATE, tokens_before DECIMAL(38, 4),
    tokens_after DECIMAL(38, 4), trigger_before VARCHAR, trigger_after VARCHAR
);
CREATE SEQUENCE session_ids;
{LEDGER_AND_STATEMENTS}"""

VIEWS: Final = """
CREATE OR REPLACE VIEW sessions AS
    SELECT id, server, "user", host, feature, product, version, start,
        coalesce("end", greatest(start, (SELECT max(last_event) FROM servers))) AS "end", licenses, checkouts,
        end_reason, "end" IS NULL AS is_open, (SELECT name FROM texts WHERE texts.text = kept_sessions.text) AS file,
        line
    FROM kept_sessions;
CREATE OR REPLACE VIEW charges AS
    SELECT "user", product, server, charged_at, window_end, usage_date, category, "trigger", tokens,
        session_id AS session, rule_id, is_final, since AS "update"
    FROM kept_charges;
CREATE OR REPLACE VIEW sources AS
    SELECT text, name AS file, servers, bytes, first, last, first_update, last_update FROM texts;
CREATE OR REPLACE VIEW ledger AS
    SELECT entry, "at", kind, pool, tokens, balance_before, balance_after, corrects, "user", product, server
    FROM kept_entries;
CREATE OR REPLACE VIEW statement AS SELECT * EXCLUDE (is_current, "day") FROM kept_statement WHERE is_current;
CREATE OR REPLACE VIEW statements AS
    SELECT statement, any_value(added_at) AS added_at, k.file,
        list_sort(list(DISTINCT kind)) AS kinds, min("day") AS first, max("day") AS last, count(*) AS "rows",
        count(*) FILTER (is_current) AS rows_current, sum(tokens) FILTER (is_current) AS tokens
    FROM kept_statement k JOIN (SELECT statement, any_value(added_at) AS added_at FROM statement_files GROUP BY ALL)
        USING (statement)
    GROUP BY statement, k.file;
"""
"""What stands open to SQL beside the tables."""


def _to_2(connection: Connection) -> None:
    """Version 1 had no views; they are made anew behind every migration."""


def _to_3(connection: Connection) -> None:
    """Version 2 knew a text again by pieces of it, had all content in one table, and no ledger."""
    for column in ("print", "head"):
        connection.run(f"ALTER TABLE texts DROP COLUMN {column}")
    connection.run("ALTER TABLE texts ADD COLUMN head BLOB")
    connection.run("ALTER TABLE blocks RENAME TO blocks_2")
    connection.run(BLOCKS)
    for text, start in connection.rows("SELECT text, start FROM blocks_2 ORDER BY text, start"):
        row = connection.row("SELECT content FROM blocks_2 WHERE text = ? AND start = ?", [text, start])
        content = zlib.decompress(row[0])
        keep_block(connection, text, start, content)
        known = connection.row("SELECT head FROM texts WHERE text = ?", [text])[0] or b""
        connection.run("UPDATE texts SET head = ? WHERE text = ?", [(known + content)[:HEAD], text])
    connection.run("DROP TABLE blocks_2")
    connection.run(CUTS)
    connection.run(
        "INSERT INTO cuts SELECT server, cut_text, cut_byte, cut_line - 1 FROM servers WHERE cut_text IS NOT NULL"
    )
    for column in ("cut_text", "cut_byte", "cut_line"):
        connection.run(f"ALTER TABLE servers DROP COLUMN {column}")
    connection.run(LEDGER_AND_STATEMENTS)


MIGRATIONS: Final[dict[int, Callable[[Connection], None]]] = {1: _to_2, 2: _to_3}
"""What makes the tables of a version those of the next."""

_MAGIC: Final = slice(8, 12)
"""Where a database of DuckDB says that it is one."""

_LOCKS: Final[defaultdict[str, threading.RLock]] = defaultdict(threading.RLock)
"""Threads of one process share the file's lock, so they need one of their own."""


def duckdb() -> Any:  # noqa: ANN401 - a module that may be missing
    """DuckDB, and what hands tables to it.

    Raises:
        ArgumentError: It is not installed.
    """
    try:
        found = import_module("duckdb")
        import_module("pyarrow")
    except ImportError as error:
        raise ArgumentError("a book needs two more packages: pip install 'tokenflex[book]'", location="path") from error
    return found


class Connection:
    """A connection to the file. Every answer is taken whole, so that nothing is left open behind it."""

    def __init__(self, inner: Any) -> None:  # noqa: ANN401 - of DuckDB, which has no stubs
        self._inner = inner

    def run(self, query: str, values: Sequence[object] | None = None) -> None:
        """Does what a query says."""
        self.rows(query, values)

    def rows(self, query: str, values: Sequence[object] | None = None) -> list[Any]:
        """The rows of an answer."""
        found: list[Any] = self._inner.execute(query, values).fetchall()
        return found

    def row(self, query: str, values: Sequence[object] | None = None) -> Any:  # noqa: ANN401 - of any types
        """The first row of an answer; None where there is none."""
        return next(iter(self.rows(query, values)), None)

    def frame(self, query: str, values: Sequence[object] | None = None) -> pl.DataFrame:
        """An answer as a frame, its instants in UTC."""
        found = pl.DataFrame(self._inner.sql(query, params=values or []).to_arrow_table())
        return found.with_columns(cs.datetime().cast(tables.TIME))

    @contextmanager
    def given(self, **frames: pl.DataFrame) -> Iterator[None]:
        """Makes frames known to the queries inside by the names of the arguments."""
        for name, frame in frames.items():
            self._inner.register(name, frame.to_arrow())
        try:
            yield
        finally:
            for name in frames:
                self._inner.unregister(name)

    def add(self, table: str, frame: pl.DataFrame) -> None:
        """Adds rows whose columns have the names of the table's."""
        if frame.is_empty():
            return
        names = ", ".join(f'"{name}"' for name in frame.columns)
        with self.given(rows_to_add=frame):
            self.run(f"INSERT INTO {table} ({names}) SELECT {names} FROM rows_to_add")  # noqa: S608 - our names


class Store:
    """The file, opened for one thing at a time, so that nobody waits longer than for that.

    Args:
        path: The file.
        patience: How many seconds to wait while another process has it open.
    """

    def __init__(self, path: Path, patience: float) -> None:
        self.path = path
        self._patience = patience
        self._duckdb = duckdb()

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A connection that sees one state of the book.

        Raises:
            SourceNotFoundError: There is no book.
            BusyError: Another process does not let go of it.
        """
        self._look()
        with self._opened() as connection:
            version = _version(connection, self.path)
            if version is None:
                raise SourceNotFoundError(
                    f"{self.path} is empty: no update has come to its end", location=str(self.path)
                )
            if version != VERSION:
                with self._transaction(connection):
                    _migrate(connection, version)
            yield connection

    def _look(self) -> None:
        if not self.path.exists():
            raise SourceNotFoundError(f"there is no book {self.path}", location=str(self.path))

    @contextmanager
    def changing(self) -> Iterator[Connection]:
        """As `writing`, of a book that there is.

        Raises:
            SourceNotFoundError: There is no book.
            BusyError, SourceError: As for `writing`.
        """
        self._look()
        with self.writing() as connection:
            yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """A connection in a transaction: all that is done in it counts, or nothing.

        Raises:
            BusyError: Another process does not let go of the book.
            SourceError: It cannot be written, as on a full disk.
        """
        with self._opened() as connection, self._transaction(connection):
            version = _version(connection, self.path)
            if version is None:
                connection.run(SCHEMA)
                connection.run(VIEWS)
                connection.run("INSERT INTO book VALUES (?, ?)", [VERSION, _core.__version__])
            else:
                _migrate(connection, version)
            yield connection

    @contextmanager
    def _opened(self) -> Iterator[Connection]:
        lock = _LOCKS[os.path.realpath(self.path)]
        if not lock.acquire(timeout=self._patience):
            raise BusyError(
                f"{self.path} is in use by another thread of this process since more than {self._patience:g} s",
                location=str(self.path),
            )
        try:
            connection = self._connect()
            try:
                connection.execute("SET TimeZone = 'UTC'")
                yield Connection(connection)
            except self._duckdb.Error as error:
                raise SourceError(
                    f"{self.path} cannot be read or written; it is as it was before: {error}", location=str(self.path)
                ) from error
            finally:
                self._close(connection)
        finally:
            lock.release()

    def _connect(self) -> Any:  # noqa: ANN401 - of DuckDB, which has no stubs
        _refuse_other_files(self.path)
        until = time.monotonic() + self._patience
        while True:
            try:
                return self._duckdb.connect(str(self.path))
            except self._duckdb.Error as error:
                text = str(error)
                is_busy = "lock" in text.lower()
                if not is_busy:
                    raise SourceError(
                        f"{self.path} cannot be opened as a book: {text}", location=str(self.path)
                    ) from error
                if time.monotonic() >= until:
                    raise BusyError(
                        f"another process has {self.path} open since more than {self._patience:g} s, so nothing was "
                        f"done: {text}",
                        location=str(self.path),
                    ) from error
            time.sleep(POLL)

    def _close(self, connection: Any) -> None:  # noqa: ANN401 - of DuckDB, which has no stubs
        try:
            connection.close()
        except self._duckdb.Error as error:
            # What was committed stands in the log beside the file, and the next one to open it takes it from there.
            raise SourceError(f"{self.path} cannot be closed: {error}", location=str(self.path)) from error

    @contextmanager
    def _transaction(self, connection: Connection) -> Iterator[None]:
        connection.run("BEGIN")
        try:
            yield
            connection.run("COMMIT")
        except BaseException:
            # A transaction that failed to commit is rolled back already.
            with suppress(self._duckdb.Error):
                connection.run("ROLLBACK")
            raise


def _refuse_other_files(path: Path) -> None:
    """DuckDB opens tables such as CSV files too, in memory: what was written then would be lost."""
    try:
        with path.open("rb") as file:
            head = file.read(_MAGIC.stop)
    except OSError:
        # It is made yet, or DuckDB says what is wrong.
        return
    if head and head[_MAGIC] != b"DUCK":
        raise SourceError(f"{path} cannot be opened as a book: it is another kind of file", location=str(path))


def _version(connection: Connection, path: Path) -> int | None:
    """The version of the tables; None where there are none."""
    tables = {row[0] for row in connection.rows("SELECT table_name FROM duckdb_tables()")}
    if not tables:
        return None
    found = connection.row("SELECT version FROM book") if "book" in tables else None
    if found is None:
        raise SourceError(f"{path} is a database, but no book", location=str(path))
    version = int(found[0])
    if not 1 <= version <= VERSION:
        raise SourceError(
            f"{path} is a book of version {version}, and this version of tokenflex knows those up to {VERSION}: "
            "take a newer one",
            location=str(path),
        )
    return version


def _migrate(connection: Connection, version: int) -> None:
    """Makes the tables those of this version."""
    if version == VERSION:
        return
    for each in range(version, VERSION):
        MIGRATIONS[each](connection)
    connection.run(VIEWS)
    connection.run("UPDATE book SET version = ?, written_by = ?", [VERSION, _core.__version__])
