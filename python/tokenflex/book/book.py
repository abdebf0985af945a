"""`Book`: a file that keeps what logs say and what it costs, and takes only what is new at each update."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, Self

import polars as pl

from tokenflex import _core, tables
from tokenflex.book.charging import (
    ORDER,
    Changes,
    Recharged,
    keep_sessions,
    mark_final,
    recharge,
    still_open,
    with_keys,
)
from tokenflex.book.reading import find
from tokenflex.book.store import Store
from tokenflex.book.terms import Terms
from tokenflex.book.texts import Kept, Taken, take
from tokenflex.errors import ArgumentError, SourceError, SourceNotFoundError
from tokenflex.metering.charge import charge
from tokenflex.problems import Problems
from tokenflex.progress import watched
from tokenflex.reading.flexlm import FOLDERS, FlexlmLog
from tokenflex.reading.sources import UNIX_EPOCH, sources_of
from tokenflex.usage.sessions import no_checkins

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import date
    from types import TracebackType

    from tokenflex._core import Source
    from tokenflex.book.store import Connection
    from tokenflex.metering.rates import Rates
    from tokenflex.metering.rule import Rule
    from tokenflex.progress import Progress
    from tokenflex.reading.sources import LogSource
    from tokenflex.reading.user_zones import Users

PATIENCE: Final = 60.0
"""Seconds that a book waits for another process to let go of its file."""

EXPORTED: Final = ("sessions", "charges", "corrections", "sources", "updates", "problems")


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
        patience: How many seconds to wait while another process has the file open.

    Raises:
        ArgumentError: DuckDB is not installed, or `rule` and `rates` do not go together.
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
        before = _terms(connection)
        terms = (before or Terms()).with_given(**self._given)
        if terms != before and (before is None or terms.to_json() != before.to_json()):
            connection.run("INSERT INTO terms VALUES (?, ?)", [number, terms.to_json()])
        taken = take(connection, sources, number)
        is_other_charge = before is not None and _charges_as(terms) != _charges_as(before)
        is_other_log = before is not None and not terms.reads_as(before)
        sessions, charged, is_full = Changes(0, 0, 0), Recharged(0, 0, 0), False
        if taken.new or taken.grown or is_other_log or is_other_charge:
            settled = _settled(connection)
            as_of = _as_of(connection)
            touched: pl.DataFrame | None = None
            if taken.new or taken.grown or is_other_log:
                with watched(progress, "reading logs", None) as told:
                    found = find(connection, terms, taken, told, full=is_other_log)
                sessions, touched = keep_sessions(connection, terms, found)
                is_full = found.full
                _never_earlier(connection, settled)
                if _as_of(connection) != as_of:
                    touched = pl.concat([touched, still_open(connection)])
            if is_other_charge:
                _key_anew(connection, terms)
                touched = None
            why = _why(taken, is_other=is_other_charge or is_other_log)
            charged = recharge(connection, terms, touched, update=number, settled=settled, why=why)
            mark_final(connection)
        as_of = _as_of(connection)
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
            return _sessions(connection)

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
            rule = _charging_terms(connection, self.path).rule
            assert rule is not None  # noqa: S101 - `_charging_terms` has looked
            where = "WHERE is_final" if final else ""
            found = connection.frame(
                "WITH numbered AS (SELECT id, row_number() OVER (ORDER BY "  # noqa: S608 - our text
                f"{ORDER}) - 1 AS session FROM kept_sessions) "
                "SELECT c.*, session FROM kept_charges c JOIN numbered ON id = session_id "
                f"{where} ORDER BY charged_at, session"
            )
        rule_id = pl.Enum([rule.rule_id])
        return tables.finish(found, {**tables.CHARGES, "rule_id": rule_id})

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

    def problems(self, *, of: Literal["logs", "charges"] | None = None) -> pl.DataFrame:
        r"""What could not be taken as it is: of reading, of pairing and of charging, as one run over all would tell it.

        Args:
            of: `logs`, those of reading and pairing alone; `charges`, those of charging, for which all sessions are
                charged again. Unless given, all.

        Returns:
            See `tables.PROBLEMS`. Rows of sessions are those of `sessions()`.

        Raises:
            SourceNotFoundError: There is no book yet.
            ArgumentError: `of` is something else.

        Example:
            >>> import tempfile, tokenflex as tf
            >>> with tempfile.TemporaryDirectory() as folder:
            ...     book = tf.Book(f"{folder}/tokens.book", timezone="UTC")
            ...     update = book.update(b'12:00:00 (adskflex) IN: "87545ACD_2022_0F" ana@pc1\n')
            ...     book.problems()["code"].to_list()
            ['undated']
        """
        if of not in (None, "logs", "charges"):
            raise ArgumentError(f"of is {of!r}, but has to be logs or charges", location="of")
        with self._store.reading() as connection:
            return _problems(connection, of)

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
            terms = (_terms(connection) or Terms()).with_given(**self._given)
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
        """Writes the tables of the book into a folder: sessions, charges, corrections, sources, updates, problems.

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
        with self._store.reading() as connection:
            terms = _terms(connection)
        paths = []
        for name in EXPORTED:
            if name == "charges" and (terms is None or terms.rule is None):
                continue
            table: pl.DataFrame = getattr(self, name)()
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
            return _terms(connection) or Terms()

    def _table(self, name: str, schema: tables.Schema, order: str) -> pl.DataFrame:
        with self._store.reading() as connection:
            return tables.finish(connection.frame(f"SELECT * FROM {name} {order}"), schema)  # noqa: S608 - our text


def _write_table(table: pl.DataFrame, path: Path, kind: str) -> None:
    if kind == "parquet":
        part = path.with_name(f".{path.name}.part")
        table.write_parquet(part)
        part.replace(path)
        return
    # Delta knows neither categories nor enumerations.
    plain = table.with_columns(pl.col(pl.Categorical, pl.Enum).cast(pl.String))
    try:
        plain.write_delta(str(path), mode="overwrite", delta_write_options={"schema_mode": "overwrite"})
    except ModuleNotFoundError as error:
        raise ArgumentError("Delta needs one more package: pip install deltalake", location="format") from error


def _terms(connection: Connection) -> Terms | None:
    row = connection.row("SELECT terms FROM terms ORDER BY since DESC, rowid DESC LIMIT 1")
    return None if row is None else Terms.from_json(row[0])


def _charging_terms(connection: Connection, path: Path) -> Terms:
    terms = _terms(connection)
    if terms is None or terms.rule is None:
        raise ArgumentError(
            f"{path} has no rule, so nothing is charged: give rule= and rates= to tf.Book and update it",
            location="rule",
        )
    return terms


def _charges_as(terms: Terms) -> tuple[object, ...]:
    rates = None if terms.rates is None else terms.rates.rows
    return (terms.rule, rates, terms.users)


def _as_of(connection: Connection) -> datetime | None:
    found: datetime | None = connection.row("SELECT max(last_event) FROM servers")[0]
    return found


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


def _sessions(connection: Connection) -> pl.DataFrame:
    found = connection.frame(
        'SELECT * REPLACE (coalesce("end", greatest(start, (SELECT max(last_event) FROM servers))) AS "end"), '  # noqa: S608 - our text
        f'"end" IS NULL AS is_open, name AS file FROM kept_sessions JOIN texts USING (text) ORDER BY {ORDER}'
    )
    return tables.finish(found, tables.SESSIONS)


def _problems(connection: Connection, of: str | None) -> pl.DataFrame:
    found = connection.frame(
        "SELECT name AS source, location, code, message FROM log_problems LEFT JOIN texts USING (text) "
        "ORDER BY verb DESC, log_problems.text, location, code, message"
    )
    sessions = _sessions(connection)
    parts = [tables.finish(found, tables.PROBLEMS), no_checkins(sessions)]
    if of == "charges":
        parts = [tables.empty(tables.PROBLEMS)]
    terms = _terms(connection)
    if of != "logs" and terms is not None and terms.rule is not None and terms.rates is not None:
        servers = terms.servers(sessions["server"].cast(pl.String).unique().to_list())
        told = Problems()
        charge(sessions, rule=terms.rule, rates=terms.rates, servers=servers, users=terms.users, problems=told)
        parts.append(told.frame)
    return pl.concat(parts)
