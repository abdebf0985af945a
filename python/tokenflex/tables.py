"""The tables of tokenflex: each column's name, type, unit and meaning. This is their only home.

Times are `Datetime("us", "UTC")`, intervals are half-open, tokens are decimals of scale 4. Names that repeat (users,
hosts, products, …) are `Categorical`: compare them with strings as you would a string column, and cast with
`.cast(pl.String)` to join with one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import polars as pl

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tokenflex._core import Table

TIME: Final = pl.Datetime("us", "UTC")
NAME: Final = pl.Categorical()
TOKENS: Final = pl.Decimal(38, 4)

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

EVENTS: Final[Mapping[str, pl.DataType]] = {
    "server": NAME,  # license server
    "time": TIME,  # instant of the line
    "kind": pl.Enum(EVENT_KINDS),
    "feature": NAME,  # as the log writes it; null for the server's own events, as are user and host
    "user": NAME,  # as the log spells it
    "host": NAME,  # the user's machine
    "licenses": pl.UInt32(),  # how many the line moves; after the change for UPGRADE
    "data": NAME,  # text in brackets
    "reason": NAME,  # text in parentheses: INACTIVE, SHUTDOWN, a refusal's words, `5->6` of an upgrade
    "version": NAME,  # version asked for, where the line has it
    "handle": pl.UInt64(),  # license handle, where the line has it
    "daemon": NAME,  # vendor daemon, or the license manager
    "file": NAME,
    "line": pl.UInt32(),  # from 1
}
"""One row for each event of a log."""

SESSIONS: Final[Mapping[str, pl.DataType]] = {
    "server": NAME,
    "user": NAME,
    "host": NAME,
    "feature": NAME,
    "product": NAME,  # product line of the feature
    "version": NAME,  # four digits, or null
    "start": TIME,  # first check-out
    "end": TIME,  # last check-in, exclusive
    "licenses": pl.UInt32(),  # most at once
    "checkouts": pl.UInt32(),  # how many check-outs the session unites
    "end_reason": pl.Enum(END_REASONS),
    "is_open": pl.Boolean(),  # not ended yet; `end` is the `as_of` of the pairing
    "file": NAME,  # where the check-out that opened it stands
    "line": pl.UInt32(),
}
"""One row for each unbroken use of one feature by one user on one host."""

CHARGES: Final[Mapping[str, pl.DataType]] = {
    "user": NAME,  # who pays
    "product": NAME,
    "server": NAME,  # of the session; null if the sessions have none
    "charged_at": TIME,
    "window_end": TIME,  # exclusive
    "usage_date": pl.Date(),  # local date under a day rule, UTC date of `charged_at` under a rolling one
    "category": pl.Enum(CATEGORIES),
    "trigger": pl.Enum(TRIGGERS),
    "tokens": TOKENS,  # null where the product has no rate
    "session": pl.UInt64(),  # row, from 0, of the session that caused it
    "rule_id": pl.Enum([]),  # the rule's id is its only category
}
"""One row for each window that is paid, in order of `charged_at`, then of `session`."""

PROBLEMS: Final[Mapping[str, pl.DataType]] = {
    "source": pl.String(),  # file, or table of a verb
    "location": pl.UInt64(),  # line from 1, or row from 0; null if it is about the whole
    "code": pl.String(),  # stable, for programs
    "message": pl.String(),  # for people
}
"""One row for each piece of data that could not be taken as it is."""

DENIALS: Final[Mapping[str, pl.DataType]] = {
    name: EVENTS[name]
    for name in ("server", "time", "kind", "feature", "user", "host", "licenses", "reason", "version", "file", "line")
}
"""One row for each refusal (DENIED, UNSUPPORTED), counted once where the log writes it for package and component."""

PACKAGES: Final[Mapping[str, pl.DataType]] = {
    "server": pl.String(),
    "daemon": pl.String(),
    "package": pl.String(),  # feature code of the package
    "component": pl.String(),  # feature code of a version that it holds
}
"""One row for each component of each package, from the start-up blocks of the logs."""

FILES: Final[Mapping[str, pl.DataType]] = {
    "server": pl.String(),
    "file": pl.String(),
    "bytes": pl.UInt64(),  # after unpacking
    "lines": pl.UInt64(),
    "glued": pl.UInt64(),  # more lines found inside of lines
    "event_lines": pl.UInt64(),
    "other_lines": pl.UInt64(),  # understood, but no event
    "problem_lines": pl.UInt64(),
    "repeated_lines": pl.UInt64(),  # stand in another file, or earlier in this one, and are counted there
    "first": TIME,  # of stamped lines
    "last": TIME,
    "segments": pl.UInt32(),  # stretches with an unbroken clock
}
"""One row for each file; `lines + glued = event_lines + other_lines + problem_lines + repeated_lines`."""

COVERAGE: Final[Mapping[str, pl.DataType]] = {
    "server": pl.String(),
    "first": TIME,
    "last": TIME,
    "days": pl.UInt32(),  # local dates from first to last
    "days_without_lines": pl.List(pl.Date()),
    "checkouts": pl.UInt64(),
    "checkins": pl.UInt64(),
    "checkins_logged": pl.Boolean(),  # false if there are check-outs and no check-in at all
    "reporting": pl.Boolean(),  # whether the server reports its use to the vendor; null if the logs do not say
    "daemons": pl.List(pl.String()),
}
"""One row for each license server."""

RATES: Final[Mapping[str, pl.DataType]] = {
    "product": pl.String(),
    "tokens": TOKENS,  # per window
    "effective_from": TIME,  # null: since ever
    "family": pl.String(),  # products that share a window, or null
    "source": pl.String(),  # where the rate was found
}
"""One row for each rate of each product."""


def empty(schema: Mapping[str, pl.DataType]) -> pl.DataFrame:
    """A table of no rows."""
    return pl.DataFrame(schema=dict(schema))


def finish(table: Table | pl.DataFrame, schema: Mapping[str, pl.DataType]) -> pl.DataFrame:
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
