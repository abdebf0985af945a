"""What a book says: its sessions, charges, statement and problems, in the order of one run over all it was given."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal

import polars as pl

from tokenflex import tables
from tokenflex.book.charging import ORDER
from tokenflex.book.terms import Terms
from tokenflex.errors import ArgumentError
from tokenflex.metering.charge import charge
from tokenflex.problems import Problems
from tokenflex.usage.sessions import no_checkins

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

    from tokenflex.book.store import Connection

ProblemsOf = Literal["logs", "charges", "contract"]
"""What problems can be of."""


def terms_of(connection: Connection) -> Terms | None:
    """The terms that hold now; None before the first update."""
    row = connection.row("SELECT terms FROM terms ORDER BY since DESC, rowid DESC LIMIT 1")
    return None if row is None else Terms.from_json(row[0])


def charging_terms(connection: Connection, path: Path) -> Terms:
    """The terms, which have to have a rule."""
    terms = terms_of(connection)
    if terms is None or terms.rule is None:
        raise ArgumentError(
            f"{path} has no rule, so nothing is charged: give rule= and rates= to tf.Book and update it",
            location="rule",
        )
    return terms


def end_of(connection: Connection) -> datetime | None:
    """The last event of the book."""
    found: datetime | None = connection.row("SELECT max(last_event) FROM servers")[0]
    return found


def sessions_of(connection: Connection) -> pl.DataFrame:
    """All sessions, see `Book.sessions`."""
    found = connection.frame(
        'SELECT * REPLACE (coalesce("end", greatest(start, (SELECT max(last_event) FROM servers))) AS "end"), '  # noqa: S608 - our text
        f'"end" IS NULL AS is_open, name AS file FROM kept_sessions JOIN texts USING (text) ORDER BY {ORDER}'
    )
    return tables.finish(found, tables.SESSIONS)


def charges_of(connection: Connection, rule_id: str, *, final: bool = False) -> pl.DataFrame:
    """All charges, see `Book.charges`."""
    where = "WHERE is_final" if final else ""
    found = connection.frame(
        "WITH numbered AS (SELECT id, row_number() OVER (ORDER BY "  # noqa: S608 - our text
        f"{ORDER}) - 1 AS session FROM kept_sessions) "
        "SELECT c.*, session FROM kept_charges c JOIN numbered ON id = session_id "
        f"{where} ORDER BY charged_at, session"
    )
    return tables.finish(found, {**tables.CHARGES, "rule_id": pl.Enum([rule_id])})


SERVERS: Final = """
SELECT server, texts, bytes, first, last, last_event, certain_until AS final_until,
    coalesce(sessions, 0) AS sessions, coalesce(open_sessions, 0) AS open_sessions
FROM servers
LEFT JOIN (
    SELECT server, count(*) AS texts, sum(bytes) AS bytes, min(first) AS first, max(last) AS last
    FROM (SELECT unnest(servers) AS server, bytes, first, last FROM texts) GROUP BY server
) USING (server)
LEFT JOIN (
    SELECT server, count(*) AS sessions, count(*) FILTER ("end" IS NULL) AS open_sessions FROM kept_sessions
    GROUP BY server
) USING (server)
ORDER BY server
"""
"""What there is of each server, of what is kept: no log is read."""


def statement_of(connection: Connection) -> pl.DataFrame:
    """The rows of all statements that count, see `Book.statement`."""
    found = connection.frame('SELECT * FROM kept_statement WHERE is_current ORDER BY statement, "row"')
    return tables.finish(found, tables.STATEMENT)


def problems_of(connection: Connection, of: ProblemsOf | None) -> pl.DataFrame:
    """See `Book.problems`."""
    parts = [tables.empty(tables.PROBLEMS)]
    if of in (None, "logs"):
        found = connection.frame(
            "SELECT name AS source, location, code, message FROM log_problems LEFT JOIN texts USING (text) "
            "ORDER BY verb DESC, log_problems.text, location, code, message"
        )
        parts += [tables.finish(found, tables.PROBLEMS), no_checkins(sessions_of(connection))]
    terms = terms_of(connection)
    if of in (None, "charges") and terms is not None and terms.rule is not None and terms.rates is not None:
        sessions = sessions_of(connection)
        servers = terms.servers(sessions["server"].cast(pl.String).unique().to_list())
        told = Problems()
        charge(sessions, rule=terms.rule, rates=terms.rates, servers=servers, users=terms.users, problems=told)
        parts.append(told.frame)
    if of in (None, "contract"):
        kept = connection.frame("SELECT source, location, code, message FROM kept_problems ORDER BY verb, rowid")
        parts.append(tables.finish(kept, tables.PROBLEMS))
    return pl.concat(parts)
