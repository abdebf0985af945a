"""The tables of tokenflex: each column's name, type, unit and meaning. This is their only home.

Times are `Datetime("us", "UTC")`, intervals are half-open, tokens are decimals of scale 4. Names that repeat (users,
hosts, products, …) are `Categorical`: compare them with strings as you would a string column, and cast with
`.cast(pl.String)` to join with one.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import TYPE_CHECKING, Final, TypeAlias

import polars as pl

if TYPE_CHECKING:
    from tokenflex._core import Table

TIME: Final = pl.Datetime("us", "UTC")
NAME: Final = pl.Categorical()
TOKENS: Final = pl.Decimal(38, 4)

Schema: TypeAlias = Mapping[str, pl.DataType]
"""The columns of a table and their types, in order."""

MEANINGS: Final[dict[str, dict[str, str]]] = {}
"""For each table the meaning of each column; under `""` what a row is. `describe` shows them."""


def _table(name: str, row: str, columns: Mapping[str, tuple[pl.DataType, str]]) -> Schema:
    MEANINGS[name] = {"": row} | {column: meaning for column, (_, meaning) in columns.items()}
    return {column: dtype for column, (dtype, _) in columns.items()}


EVENT_KINDS: Final = (
    "OUT",
    "IN",
    "DENIED",
    "UNSUPPORTED",
    "UPGRADE",
    "QUEUED",
    "DEQUEUED",
    "START",
    "STOP",
    "CRASH",
    "REREAD",
)
"""What a line of a log says: a check-out, a check-in, a refusal, …; the last four are the server's own life."""

END_REASONS: Final = ("checkin", "inactive", "shutdown", "other", "stop", "crash", "restart", "open")
"""Why a session ended. The first four are kinds of check-in, `stop`, `crash` and `restart` are closed without one."""

CATEGORIES: Final = ("CHARGED", "INCREMENTAL", "FREE", "CASUAL")
"""The vendor's words for what became of a session."""

TRIGGERS: Final = ("launch", "renewal", "resume")
"""What made a charge fall due."""

EVENTS: Final = _table(
    "events",
    "One row for each event of a log.",
    {
        "server": (NAME, "license server"),
        "time": (TIME, "instant of the line"),
        "kind": (
            pl.Enum(EVENT_KINDS),
            "what the line says: a check-out, a check-in, a refusal, …; the last four are the server's own life",
        ),
        "feature": (NAME, "as the log writes it; null for the server's own events, as are user and host"),
        "user": (NAME, "as the log spells it"),
        "host": (NAME, "the user's machine"),
        "licenses": (pl.UInt32(), "how many the line moves; after the change for UPGRADE"),
        "data": (NAME, "text in brackets"),
        "reason": (NAME, "text in parentheses: INACTIVE, SHUTDOWN, a refusal's words, `5->6` of an upgrade"),
        "version": (NAME, "version asked for, where the line has it"),
        "handle": (pl.UInt64(), "license handle, where the line has it"),
        "daemon": (NAME, "vendor daemon, or the license manager"),
        "file": (NAME, "file the line stands in"),
        "line": (pl.UInt32(), "from 1"),
    },
)

SESSIONS: Final = _table(
    "sessions",
    "One row for each unbroken use of one feature by one user on one host.",
    {
        "server": (NAME, "license server"),
        "user": (NAME, "as the log spells it"),
        "host": (NAME, "the user's machine"),
        "feature": (NAME, "feature that was checked out"),
        "product": (NAME, "product line of the feature"),
        "version": (NAME, "four digits, or null"),
        "start": (TIME, "first check-out"),
        "end": (TIME, "last check-in, exclusive"),
        "licenses": (pl.UInt32(), "most at once"),
        "checkouts": (pl.UInt32(), "how many check-outs the session unites"),
        "end_reason": (
            pl.Enum(END_REASONS),
            "the first four are kinds of check-in; stop, crash and restart of the server close without one",
        ),
        "is_open": (pl.Boolean(), "not ended yet; `end` is the `as_of` of the pairing"),
        "file": (NAME, "where the check-out that opened it stands"),
        "line": (pl.UInt32(), "line of that check-out, from 1"),
    },
)

CHARGES: Final = _table(
    "charges",
    "One row for each window that is paid, in order of `charged_at`, then of `session`.",
    {
        "user": (NAME, "who pays"),
        "product": (NAME, "product line"),
        "server": (NAME, "of the session; null if the sessions have none"),
        "charged_at": (TIME, "instant of the charge"),
        "window_end": (TIME, "exclusive"),
        "usage_date": (pl.Date(), "local date under a day rule, UTC date of `charged_at` under a rolling one"),
        "category": (pl.Enum(CATEGORIES), "the vendor's word; here CHARGED or INCREMENTAL"),
        "trigger": (pl.Enum(TRIGGERS), "what made the charge fall due"),
        "tokens": (TOKENS, "null where the product has no rate"),
        "session": (pl.UInt64(), "row, from 0, of the session that caused it"),
        "rule_id": (pl.Enum([]), "the rule's id is its only category"),
    },
)

OUTCOMES: Final = _table(
    "outcomes",
    "What `categorize` adds to each session.",
    {
        "category": (pl.Enum(CATEGORIES), "the vendor's word; null if the session could not be charged"),
        "charge": (
            pl.UInt64(),
            "row, from 0, in the charges: its own first one, or the one it fell under; null if none",
        ),
        "window_start": (TIME, "when the window of that charge was opened"),
        "window_end": (TIME, "when it ends, exclusive"),
        "rule_id": (pl.Enum([]), "the rule's id is its only category"),
    },
)

TOTALS: Final = _table(
    "totals",
    "One row for each rule that `replay` ran.",
    {
        "rule_id": (pl.String(), "the rule"),
        "charges": (pl.UInt64(), "how many"),
        "tokens": (TOKENS, "in all, without those that have no rate"),
        "charges_without_rate": (pl.UInt64(), "how many of the charges have none"),
    },
)

PROBLEMS: Final = _table(
    "problems",
    "One row for each piece of data that could not be taken as it is.",
    {
        "source": (pl.String(), "file, or table of a verb"),
        "location": (pl.UInt64(), "line from 1, or row from 0; null if it is about the whole"),
        "code": (pl.String(), "stable, for programs"),
        "message": (pl.String(), "for people"),
    },
)

DENIALS: Final = _table(
    "denials",
    "One row for each refusal (DENIED, UNSUPPORTED); a refusal of package and component is one.",
    {
        name: (EVENTS[name], MEANINGS["events"][name])
        for name in (
            "server",
            "time",
            "kind",
            "feature",
            "user",
            "host",
            "licenses",
            "reason",
            "version",
            "file",
            "line",
        )
    },
)

PACKAGES: Final = _table(
    "packages",
    "One row for each component of each package, from the start-up blocks of the logs.",
    {
        "server": (pl.String(), "license server"),
        "daemon": (pl.String(), "vendor daemon"),
        "package": (pl.String(), "feature code of the package"),
        "component": (pl.String(), "feature code of a version that it holds"),
    },
)

FILES: Final = _table(
    "files",
    "One row for each file; `lines + glued = event_lines + other_lines + problem_lines + repeated_lines`.",
    {
        "server": (pl.String(), "license server"),
        "file": (pl.String(), "as given, or found in the folder given"),
        "bytes": (pl.UInt64(), "after unpacking"),
        "lines": (pl.UInt64(), "as `wc -l` counts, and one for a last line without its end"),
        "glued": (pl.UInt64(), "more lines found inside of lines"),
        "event_lines": (pl.UInt64(), "became an event"),
        "other_lines": (pl.UInt64(), "understood, but no event"),
        "problem_lines": (pl.UInt64(), "became a problem"),
        "repeated_lines": (pl.UInt64(), "stand in another file, or earlier in this one, and are counted there"),
        "first": (TIME, "of stamped lines"),
        "last": (TIME, "of stamped lines"),
        "segments": (pl.UInt32(), "stretches with an unbroken clock"),
    },
)

COVERAGE: Final = _table(
    "coverage",
    "One row for each license server.",
    {
        "server": (pl.String(), "license server"),
        "first": (TIME, "instant of the first line"),
        "last": (TIME, "instant of the last line"),
        "days": (pl.UInt32(), "local dates from first to last"),
        "days_without_lines": (pl.List(pl.Date()), "local dates between them that have no line at all"),
        "checkouts": (pl.UInt64(), "how many OUT"),
        "checkins": (pl.UInt64(), "how many IN"),
        "checkins_logged": (pl.Boolean(), "false if there are check-outs and no check-in at all"),
        "reporting": (pl.Boolean(), "whether the server reports its use to the vendor; null if the logs do not say"),
        "daemons": (pl.List(pl.String()), "vendor daemons"),
    },
)

RATES: Final = _table(
    "rates",
    "One row for each rate of each product.",
    {
        "product": (pl.String(), "product line"),
        "tokens": (TOKENS, "per window"),
        "effective_from": (TIME, "null: since ever"),
        "family": (pl.String(), "products that share a window, or null"),
        "source": (pl.String(), "where the rate was found"),
    },
)

CATALOG: Final = _table(
    "catalog",
    "One row for each feature code that the catalog knows.",
    {
        "feature": (pl.String(), "the code, as license files and logs write it"),
        "product": (pl.String(), "product line"),
        "name": (pl.String(), "name of the product, without its version"),
        "version": (pl.String(), "four digits; null for a package"),
        "package": (pl.String(), "code of the package that the version belongs to, where it is known"),
        "source": (pl.String(), "where the fact was found"),
    },
)

COLUMN_GUESS: Final = _table(
    "column_guess",
    "One row for each column of a foreign table, as `guess_columns` takes it.",
    {
        "column": (pl.String(), "name in the foreign table"),
        "field": (pl.String(), "our name for it; null if it is carried along as it is"),
        "why": (pl.String(), "what the guess rests on"),
        "samples": (pl.String(), "some of its values"),
    },
)

TABLES: Final[Mapping[str, Schema]] = {
    "events": EVENTS,
    "sessions": SESSIONS,
    "charges": CHARGES,
    "outcomes": OUTCOMES,
    "totals": TOTALS,
    "problems": PROBLEMS,
    "denials": DENIALS,
    "packages": PACKAGES,
    "files": FILES,
    "coverage": COVERAGE,
    "rates": RATES,
    "catalog": CATALOG,
    "column_guess": COLUMN_GUESS,
}
"""All tables by name."""


def describe(name: str) -> pl.DataFrame:
    """The columns of a table: name, type and meaning.

    Args:
        name: A key of `TABLES`.

    Returns:
        A table with the columns `column`, `type` and `meaning`, all text.

    Raises:
        KeyError: There is no such table.

    Example:
        >>> from tokenflex import tables
        >>> tables.describe("packages")["column"].to_list()
        ['server', 'daemon', 'package', 'component']
    """
    schema = TABLES[name]
    return pl.DataFrame(
        {
            "column": list(schema),
            "type": [_spelled(dtype) for dtype in schema.values()],
            "meaning": [MEANINGS[name][column] for column in schema],
        }
    )


def _spelled(dtype: pl.DataType) -> str:
    if isinstance(dtype, pl.Enum):
        return f"Enum: {', '.join(dtype.categories)}" if len(dtype.categories) > 0 else "Enum"
    return str(dtype)


def empty(schema: Schema) -> pl.DataFrame:
    """A table of no rows."""
    return pl.DataFrame(schema=dict(schema))


def decimal(units: int) -> Decimal:
    """Tokens from units of 1/10,000."""
    return Decimal(units).scaleb(-4)


def finish(table: Table | pl.DataFrame, schema: Schema) -> pl.DataFrame:
    """A table from the compiled part, with the columns and types of `schema`.

    Codes of an `Enum` come as whole numbers and names as dictionaries; no column is copied for nothing.
    """
    frame = table if isinstance(table, pl.DataFrame) else pl.DataFrame(table)
    columns = []
    for name, dtype in schema.items():
        column = frame[name]
        if isinstance(dtype, pl.Enum) and column.dtype == pl.UInt8:
            column = pl.Series(name, dtype.categories, dtype=dtype).gather(column)
        elif column.dtype != dtype:
            column = column.cast(dtype)
        columns.append(column)
    return pl.DataFrame(columns)
