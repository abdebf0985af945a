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
MONEY: Final = pl.Decimal(38, 8)

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

STATEMENT_KINDS: Final = ("token_flex_sessions", "token_flex_daily", "flex_account", "flex_api")
"""Which of the vendor's exports a row of a statement comes from."""

USAGE_TYPES: Final = ("Normal", "Borrowed")
"""How a license was held, in the vendor's spelling."""

USAGE_CATEGORIES: Final = (
    "DESKTOP_PRODUCT",
    "CLOUD_PRODUCT",
    "CLOUD_SERVICE",
    "MANUAL_ADJUSTMENT",
    "MANUAL_CONSUMPTION",
    "PRODUCT_CONSUMPTION",
    "CLOUD_CONSUMPTION",
    "CLOUD_PRODUCT_CONSUMPTION",
)
"""What tokens were used for, in the vendor's words; the last three are those of the summaries."""

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

STATUSES: Final = ("UP", "DOWN", "ERROR", "UNKNOWN")
"""What a snapshot says of its server: it answered, it or a daemon is down, it could not be asked, nothing."""

LMSTAT_SNAPSHOTS: Final = _table(
    "lmstat_snapshots",
    "One row for each license server in each output of `lmstat`.",
    {
        "server": (NAME, "license server"),
        "time": (TIME, "instant in the header; null where there is none that can be read"),
        "status": (
            pl.Enum(STATUSES),
            "what it says of its server: it answered, it or a daemon is down, it could not be asked, nothing",
        ),
        "message": (pl.String(), "what was said in place of an answer"),
        "version": (pl.String(), "version of the license manager"),
        "daemons": (pl.List(pl.String()), "vendor daemons, each with its status"),
        "features": (pl.UInt32(), "how many it lists"),
        "checkouts": (pl.UInt32(), "how many lines of users it lists"),
        "file": (NAME, "file it stands in"),
        "line": (pl.UInt32(), "of the header, from 1"),
    },
)

LMSTAT_FEATURES: Final = _table(
    "lmstat_features",
    "One row for each feature of each snapshot.",
    {
        "server": (NAME, "license server"),
        "time": (TIME, "instant of the snapshot"),
        "feature": (NAME, "as `lmstat` writes it"),
        "issued": (pl.UInt32(), "licenses in all; null where they are not counted"),
        "in_use": (pl.UInt32(), "of them"),
        "is_uncounted": (pl.Boolean(), "without limit"),
        "is_complete": (pl.Boolean(), "all its users are listed, so that who is not listed has no license"),
        "version": (NAME, "of its first license"),
        "vendor": (NAME, "vendor daemon"),
        "expiry": (NAME, "of its first license, as written"),
        "message": (NAME, "what the server says in place of counts"),
        "file": (NAME, "file it stands in"),
        "line": (pl.UInt32(), "from 1"),
    },
)

LMSTAT_CHECKOUTS: Final = _table(
    "lmstat_checkouts",
    "One row for each line of a user in each snapshot.",
    {
        "server": (NAME, "license server"),
        "time": (TIME, "instant of the snapshot"),
        "feature": (NAME, "package lines are kept here"),
        "user": (NAME, "as `lmstat` spells it"),
        "host": (NAME, "the user's machine"),
        "display": (NAME, "the user's screen"),
        "version": (NAME, "version asked for"),
        "server_host": (NAME, "machine of the license server, in the line's parentheses"),
        "port": (pl.UInt32(), "of the license server"),
        "handle": (pl.UInt64(), "license handle"),
        "start": (TIME, "check-out, to the minute; null for those who wait"),
        "licenses": (pl.UInt32(), "how many"),
        "linger": (pl.UInt64(), "seconds that the license stays out after its use"),
        "pid": (pl.UInt64(), "process of the user's program"),
        "is_queued": (pl.Boolean(), "waits for a license"),
        "file": (NAME, "file it stands in"),
        "line": (pl.UInt32(), "from 1"),
    },
)

LMSTAT_RESERVATIONS: Final = _table(
    "lmstat_reservations",
    "One row for each reservation in each snapshot.",
    {
        "server": (NAME, "license server"),
        "time": (TIME, "instant of the snapshot"),
        "feature": (NAME, "what is reserved"),
        "licenses": (pl.UInt32(), "how many"),
        "kind": (NAME, "GROUP, USER, HOST, …"),
        "name": (NAME, "for whom"),
        "server_host": (NAME, "machine of the license server"),
        "port": (pl.UInt32(), "of the license server"),
        "file": (NAME, "file it stands in"),
        "line": (pl.UInt32(), "from 1"),
    },
)

LMSTAT_SESSIONS: Final = _table(
    "lmstat_sessions",
    "One row for each use that a series of snapshots shows; it ended between `end` and `end_latest`.",
    {
        "server": (NAME, "license server"),
        "user": (NAME, "as `lmstat` spells it"),
        "host": (NAME, "the user's machine"),
        "feature": (NAME, "feature that was checked out"),
        "product": (NAME, "product line of the feature"),
        "version": (NAME, "four digits, or null"),
        "start": (TIME, "check-out, to the minute"),
        "end": (TIME, "instant of the last snapshot that shows it: the earliest possible end"),
        "end_latest": (TIME, "first later snapshot that lists the feature without it; null if there is none"),
        "start_error": (pl.Duration("us"), "how far the true start may lie from `start`; null if not known"),
        "seen": (pl.UInt32(), "how many snapshots show it"),
        "licenses": (pl.UInt32(), "most at once"),
        "is_open": (pl.Boolean(), "the last snapshot that lists its feature shows it"),
        "display": (NAME, "the user's screen"),
        "handle": (pl.UInt64(), "license handle"),
        "file": (NAME, "where it was seen first"),
        "line": (pl.UInt32(), "line there, from 1"),
    },
)

LMSTAT_COVERAGE: Final = _table(
    "lmstat_coverage",
    "One row for each license server: what a series of snapshots can have seen.",
    {
        "server": (NAME, "license server"),
        "first": (TIME, "first snapshot"),
        "last": (TIME, "last snapshot"),
        "snapshots": (pl.UInt32(), "how many"),
        "failed": (pl.UInt32(), "how many of them have no answer of the server"),
        "median_gap": (pl.Duration("us"), "between two answers"),
        "max_gap": (pl.Duration("us"), "a use that is shorter may be missing"),
    },
)

RLM_SESSIONS: Final = _table(
    "rlm_sessions",
    "One row for each check-out of a report log of RLM: `sessions` with the handle they were paired by.",
    {name: (SESSIONS[name], MEANINGS["sessions"][name]) for name in SESSIONS}
    | {
        "product": (NAME, "as the log writes it, the same as `feature`"),
        "version": (NAME, "as the log writes it"),
        "isv": (NAME, "vendor, whose server counts the handles"),
        "handle": (pl.UInt64(), "license handle"),
        "why": (pl.Int32(), "number of the check-in's reason; null where there was no check-in"),
    },
)

RLM_DENIALS: Final = _table(
    "rlm_denials",
    "One row for each refusal in a report log of RLM: `denials` with the log's own numbers.",
    {name: (DENIALS[name], MEANINGS["denials"][name]) for name in DENIALS}
    | {
        "why": (pl.Int32(), "RLM's error number"),
        "is_last_attempt": (pl.Boolean(), "false: the program went on asking, so this alone refused nothing"),
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

STATEMENT: Final = _table(
    "statement",
    "One row for each row of the vendor's usage exports.",
    {
        "kind": (pl.Enum(STATEMENT_KINDS), "which of the vendor's exports the row stands in"),
        "usage_date": (pl.Date(), "day of the use as the vendor states it: the server's day, for Flex the UTC day"),
        "usage_month": (pl.Date(), "first day of the month; of `usage_date` where the file does not say"),
        "contract_year": (pl.UInt16(), "from 1"),
        "product": (NAME, "product line; null where the file has names only"),
        "product_name": (NAME, "as given"),
        "offering": (NAME, "what of the product was used: offering, feature or child product of Flex"),
        "version": (NAME, "as given"),
        "feature": (NAME, "feature code"),
        "user": (NAME, "who used it: login of Token Flex, e-mail of Flex; the hashed id where the name is masked"),
        "user_id": (NAME, "the vendor's id of the user, as given"),
        "hashed_id": (NAME, "the vendor's hashed id of the user, as given"),
        "user_name": (NAME, "name for display, of Flex"),
        "email": (NAME, "as given"),
        "host": (NAME, "the user's machine"),
        "server": (NAME, "license server"),
        "start": (TIME, "of the session"),
        "end": (TIME, "of the session, exclusive"),
        "utc_offset": (pl.Int16(), "minutes that the clock of `start` was ahead of UTC"),
        "charged_item": (pl.String(), "the vendor's id of the session or transaction"),
        "category": (pl.Enum(CATEGORIES), "the vendor's word for what became of the session"),
        "usage_type": (pl.Enum(USAGE_TYPES), "how the license was held"),
        "usage_category": (pl.Enum(USAGE_CATEGORIES), "what the tokens were used for"),
        "access": (NAME, "usage type and access option of Flex account exports, as given"),
        "token_pool": (NAME, "CY: the contract year's, MY: the multi-year pool"),
        "tokens": (TOKENS, "what the vendor says was consumed; negative where an adjustment gives back"),
        "usage_minutes": (TOKENS, "as given; sixty times the hours where the file has hours only"),
        "team": (NAME, "team of a Flex account"),
        "transaction_date": (pl.Date(), "of a manual row"),
        "reason_type": (NAME, "of a manual row"),
        "reason_comment": (pl.String(), "of a manual row"),
        "custom": (pl.Struct({f"field_{number}": NAME for number in range(1, 11)}), "the firm's own ten fields"),
        "is_masked": (pl.Boolean(), "the user's name is hidden, and `user` is the hashed id, or null without one"),
        "is_swapped": (pl.Boolean(), "user and machine stood in each other's column, and have been put right"),
        "file": (NAME, "file the row stands in, with its sheet in brackets"),
        "line": (pl.UInt32(), "line of the file or row of the sheet, from 1; in JSON the number of the record"),
    },
)

STATEMENT_SESSIONS: Final = _table(
    "statement_sessions",
    "One row for each row of a statement that has times, as `charge` takes it.",
    {name: (SESSIONS[name], MEANINGS["sessions"][name]) for name in ("server", "user", "host", "feature")}
    | {
        "product": (NAME, "product line; of the feature code, or the product's name, where the statement has none"),
        "version": (NAME, "as given"),
        "start": (TIME, MEANINGS["statement"]["start"]),
        "end": (TIME, MEANINGS["statement"]["end"]),
        "usage_type": (STATEMENT["usage_type"], MEANINGS["statement"]["usage_type"]),
        "charged_item": (pl.String(), MEANINGS["statement"]["charged_item"]),
        "vendor_category": (pl.Enum(CATEGORIES), "`category` of the statement"),
        "vendor_tokens": (TOKENS, "`tokens` of the statement"),
        "file": (NAME, "file the row of the statement stands in"),
        "line": (pl.UInt32(), "its line"),
    },
)

ALIASES: Final = _table(
    "aliases",
    "One row for each spelling of a person's name that the rules of `Identity` do not find.",
    {
        "spelling": (pl.String(), "as it is logged, or as the rules leave it"),
        "person": (pl.String(), "who that is"),
        "valid_from": (TIME, "null: since ever; a date begins at 00:00 UTC"),
        "valid_to": (TIME, "exclusive; null: for ever"),
    },
)

PERSONS: Final = _table(
    "persons",
    "One row for each spelling of each person.",
    {
        "person": (NAME, "null where the name is masked and has no hash"),
        "spelling": (NAME, "as it is logged"),
        "rows": (pl.UInt64(), "how many"),
        "first": (TIME, "first seen; null where the table has no times"),
        "last": (TIME, "last seen"),
        "rules": (pl.List(pl.String()), "which rules made the person of the spelling; empty if none had to"),
    },
)

SUGGESTIONS: Final = _table(
    "suggestions",
    "One row for each two names that may be one person, the likeliest first.",
    {
        "spelling_a": (pl.String(), "the one that sorts first"),
        "spelling_b": (pl.String(), "the other"),
        "score": (pl.Float64(), "0 to 1: half the similarity of names, half that of places, less the contradiction"),
        "name_similarity": (pl.Float64(), "0 to 1"),
        "place_similarity": (pl.Float64(), "0 to 1: sessions on the same hosts, each divided among the host's users"),
        "contradiction": (pl.Float64(), "0 to 1: part of the lesser use that was on two hosts at one time"),
        "shared_hosts": (pl.UInt32(), "hosts that both used"),
        "users_of_hosts": (pl.UInt32(), "users of the least crowded of them; null if there is none"),
        "sessions_a": (pl.UInt32(), "of the first, in all"),
        "sessions_b": (pl.UInt32(), "of the second, in all"),
        "shared_sessions": (pl.UInt32(), "of both, on shared hosts"),
        "overlap_hours": (pl.Float64(), "both in use on one host"),
        "conflict_hours": (pl.Float64(), "both in use, on two hosts"),
        "handovers": (pl.UInt32(), "how often one began on a host within half an hour after the other had ended"),
    },
)

GROUPS: Final = _table(
    "groups",
    "One row for each membership of a person in a group.",
    {
        "person": (pl.String(), "as the table to be joined names them"),
        "group": (pl.String(), "team, site, project, …"),
        "cost_centre": (pl.String(), "who pays, or null"),
        "dimension": (pl.String(), "which way of grouping, where there are several; or null"),
        "valid_from": (TIME, "null: since ever; a date begins at 00:00 UTC"),
        "valid_to": (TIME, "exclusive; null: for ever"),
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

DOUBLE_CHARGE_CAUSES: Final = (
    "manual_duplicate",
    "swapped_machine",
    "identity",
    "variant",
    "missing_increment",
    "below_minimum",
    "reconnect",
    "two_servers",
    "server_midnight",
    "own_midnight",
    "window_drift",
    "unexplained",
)
"""Why a charge is the second of a working day. Where a case has several causes, the first in this order leads."""

DOUBLE_CHARGES: Final = _table(
    "double_charges",
    "One row for each charge that is not the first to a person for a product in a working day of that person.",
    {
        "user": (NAME, "the person; the host, where the product is metered by machine"),
        "product": (NAME, "product line"),
        "cause": (pl.Enum(DOUBLE_CHARGE_CAUSES), "the leading cause"),
        "causes": (pl.List(pl.Enum(DOUBLE_CHARGE_CAUSES)), "all that the data show, the leading one first"),
        "tokens": (TOKENS, "at stake: of the charge, or the part of it that was not due; null without a rate"),
        "is_claimable": (pl.Boolean(), "nothing was due by the rule: the vendor could be asked for them back"),
        "working_date": (pl.Date(), "date of the working day, in the person's zone"),
        "zone": (NAME, "the person's zone at that time"),
        "gap": (pl.Duration("us"), "from the end of the first window to this charge; negative where it still ran"),
        "first_charged_at": (TIME, "instant of the charge that this one repeats; null for a manual entry"),
        "first_window_end": (TIME, "end of the window that it paid, exclusive"),
        "charged_at": (TIME, "instant of this charge; null for a manual entry"),
        "window_end": (TIME, "end of the window that it paid, exclusive"),
        "first_spelling": (NAME, "user of the first charge as spelled"),
        "spelling": (NAME, "user of this charge as spelled"),
        "first_code": (NAME, "product of the first charge as spelled"),
        "code": (NAME, "product of this charge as spelled"),
        "first_server": (NAME, "server of the first charge"),
        "server": (NAME, "server of this charge"),
        "first_charge": (pl.UInt64(), "row, from 0, of the first charge in the charges, or in the statement"),
        "charge": (pl.UInt64(), "row, from 0, of this charge there"),
    },
)

USER_ZONES: Final = _table(
    "user_zones",
    "One row for each zone of a user, as `UserZones` holds it.",
    {
        "user": (pl.String(), "as the sessions name them"),
        "zone": (pl.String(), "IANA name"),
        "valid_from": (TIME, "null: since ever; a date begins at 00:00 UTC"),
        "valid_to": (TIME, "exclusive; null: for ever"),
        "source": (pl.String(), "where it is known from: table, hosts, inferred, or what the table says"),
    },
)

INFERRED_ZONES: Final = _table(
    "inferred_zones",
    "One row for each user, as `infer_zones` finds them.",
    {
        "user": (NAME, "as the sessions name them"),
        "offset": (pl.Duration("us"), "local time less UTC in the time of the year with most use; null if unknown"),
        "offset_summer": (pl.Duration("us"), "from the last Sunday of March to that of October, if the halves differ"),
        "offset_winter": (pl.Duration("us"), "in the rest of the year, if the halves differ"),
        "zone": (pl.String(), "IANA name of a zone that fits; null if unknown"),
        "is_dst_aware": (pl.Boolean(), "the zone changes its clock, and the user's use moves with it"),
        "confidence": (
            pl.Float64(),
            "0 to 1: that the offset is right to an hour, or the zone where zones were given; 0 without a shape",
        ),
        "days": (pl.UInt32(), "days of use; a new one begins after five hours without any"),
        "sessions": (pl.UInt32(), "sessions that count"),
        "why": (pl.String(), "what the zone rests on, or why there is none"),
    },
)

HABITS: Final = ("left_open_overnight", "idle_at_expiry", "boundary_grazed", "opened_by_mistake")
"""What a charge could have been saved by doing otherwise; of several that apply the first leads."""

CONFIDENCES: Final = ("high", "medium", "low")
"""How sure a habit is: it was seen in the times or the activity, or inferred from the shape of use."""

AVOIDABLE_CHARGES: Final = _table(
    "avoidable_charges",
    "One row for each charge that another habit would have saved, in order of `charged_at`, then of `session`.",
    {
        "user": (NAME, "who pays"),
        "product": (NAME, "product line"),
        "server": (NAME, "of the session; null if the sessions have none"),
        "habit": (pl.Enum(HABITS), "the habit that leads, where several apply"),
        "habits": (pl.List(pl.Enum(HABITS)), "all that apply"),
        "charged_at": (TIME, "instant of the charge"),
        "window_end": (TIME, "of the charge, exclusive"),
        "tokens": (TOKENS, "null where the product has no rate"),
        "trigger": (pl.Enum(TRIGGERS), "what made the charge fall due"),
        "minutes_used": (pl.Float64(), "how long any session was open in the window"),
        "cut_at": (
            TIME,
            "all closed by then, or nothing opened, would have saved this charge and those before it in one run",
        ),
        "last_sign_at": (
            TIME,
            "before `cut_at`: activity where known, else any start or end of the user's; null for a mistake",
        ),
        "advice": (pl.String(), "the habit that would have saved it, with times of the user's zone where it is known"),
        "is_inferred": (pl.Boolean(), "the habit is read from the shape of use, not seen"),
        "confidence": (
            pl.Enum(CONFIDENCES),
            "high: seen; medium: inferred, open until the window's end or still; low: inferred, closed in the night",
        ),
        "charge": (pl.UInt64(), "row, from 0, of the charge in what `charge` returns for the same arguments"),
        "session": (pl.UInt64(), "row, from 0, of the session that caused the charge"),
    },
)

AVOIDABLE_SUMMARY: Final = _table(
    "avoidable_summary",
    "One row for each habit; their sums are those of the charges, since each charge has one leading habit.",
    {
        "habit": (pl.Enum(HABITS), "the habit that leads"),
        "charges": (pl.UInt64(), "how many"),
        "tokens": (TOKENS, "in all, without those that have no rate"),
        "charges_without_rate": (pl.UInt64(), "how many of the charges have none"),
    },
)

ZONE_WHATIF: Final = _table(
    "zone_whatif",
    "One row for each site and zone: what the site would pay if all days were those of the zone.",
    {
        "site": (pl.String(), "the site; null if none is known"),
        "zone": (
            pl.String(),
            'IANA name or "UTC-12" to "UTC+14"; "user": each one\'s own; "today": as it is; null: users without a zone',
        ),
        "sessions": (pl.UInt64(), "how many could be charged, or of zone null could not"),
        "charges": (pl.UInt64(), "how many; null where the zone is"),
        "tokens": (TOKENS, "in all, without those that have no rate; null where the zone is"),
        "charges_without_rate": (pl.UInt64(), "how many of the charges have none; null where the zone is"),
        "saving": (TOKENS, "tokens today less these; null where today is not known for the same sessions"),
    },
)

PLACEMENT: Final = _table(
    "placement",
    "One row for each site: the zone in which it pays least, of those that there are.",
    {
        "site": (pl.String(), "the site; null if none is known"),
        "server": (pl.String(), "the firm's server there; null for a new one"),
        "zone": (pl.String(), "its zone"),
        "tokens": (TOKENS, "what the site pays there, without charges that have no rate"),
        "today": (TOKENS, "what it pays today; null where that is not known for the same sessions"),
        "saving": (TOKENS, "the difference"),
    },
)

RULE_COMPARISON: Final = _table(
    "rule_comparison",
    "One row for each rule that `compare_rules` ran; with `by` for each rule and value.",
    {
        "user": (NAME, 'with `by="user"`'),
        "product": (NAME, 'with `by="product"`'),
        "server": (NAME, 'with `by="server"`: where the charges\' sessions ran'),
        "usage_date": (pl.Date(), 'with `by="day"`: the date that each rule books its charges on'),
        "rule_id": (pl.String(), "the rule"),
        "description": (pl.String(), "the rule in words"),
        "differs": (pl.String(), "fields that the rule has otherwise than the first rule; empty for the first"),
        "charges": (pl.UInt64(), "how many"),
        "tokens": (TOKENS, "in all, without those that have no rate"),
        "charges_without_rate": (pl.UInt64(), "how many of the charges have none"),
        "difference": (TOKENS, "`tokens` less those of the first rule"),
    },
)

RULE_FITS: Final = _table(
    "rule_fits",
    "One row for each rule that `infer_rule` ran, the best first. A unit is a session, a user's product on a date, or a"
    " product on a date.",
    {
        "rank": (pl.UInt32(), "from 1; by `token_error`, then by units that do not match, then the plainer rule first"),
        "rule_id": (pl.String(), "the rule"),
        "description": (pl.String(), "the rule in words"),
        "matched": (pl.UInt64(), "units with tokens for which statement and rule say the same"),
        "missing": (pl.UInt64(), "units that the statement has tokens for and the rule none"),
        "extra": (pl.UInt64(), "units that the rule has tokens for and the statement none"),
        "differing": (pl.UInt64(), "units that both have tokens for, but not the same"),
        "token_error": (TOKENS, "sum of the amounts of all differences"),
        "tokens_stated": (TOKENS, "by the statement, of all units that are compared"),
        "tokens_computed": (TOKENS, "by the rule, of all units that are compared"),
        "is_same_as_best": (pl.Boolean(), "the rule says the same as the best in every unit: these data cannot decide"),
    },
)

RULE_DECIDING: Final = _table(
    "rule_deciding",
    "One row for each unit in which the best rule and the runner-up of `infer_rule` say different things.",
    {
        "session": (pl.UInt64(), "row in the sessions; null for statements by day"),
        "user": (NAME, "null for statements by product and day"),
        "product": (NAME, "product line"),
        "usage_date": (pl.Date(), "date of the charges; of a session the UTC date of its start"),
        "start": (TIME, "of the session; null for statements by day"),
        "stated": (TOKENS, "by the vendor"),
        "best": (TOKENS, "by the best rule"),
        "runner_up": (TOKENS, "by the best rule of those that do not say the same"),
        "speaks_for": (pl.Enum(["best", "runner_up", "neither"]), "which of the two says what the vendor says"),
    },
)

LEDGER_KINDS: Final = (
    "provision",
    "charge",
    "overage",
    "refusal",
    "manual_consumption",
    "adjustment",
    "move",
    "carry_over",
    "expiry",
    "correction",
)
"""What an entry of a ledger books. The compiled part counts them in this order."""

LEDGER: Final = _table(
    "ledger",
    "One row for each change of a balance, in order of time. At one instant pools close first, then others open, then"
    " come bookings, then charges.",
    {
        "entry": (pl.UInt64(), "its number, from 1"),
        "at": (TIME, "when"),
        "kind": (pl.Enum(LEDGER_KINDS), "what it books"),
        "pool": (NAME, "id of the pool; null for overage and refusals"),
        "tokens": (TOKENS, "what the balance gains; negative where it loses; 0 for a refusal"),
        "balance_before": (
            TOKENS,
            "of the pool; overage has an account of its own, from 0 down; for a refusal what all open pools have",
        ),
        "balance_after": (TOKENS, "the same, after the entry"),
        "charge": (pl.UInt64(), "row, from 0, of the charge in `Ledger.charges`; null if it is of none"),
        "booking": (pl.UInt32(), "row, from 0, of the booking in `Ledger.bookings`; null if it is of none"),
        "corrects": (pl.Enum(LEDGER_KINDS), "of a correction: which kind of entry it sets right; null for others"),
    },
)

CORRECTIONS: Final = _table(
    "corrections",
    "One row for each correction of a closed time: what late data changed in it.",
    {
        "entry": (pl.UInt64(), "number of the entry"),
        "at": (TIME, "where it is booked: the first instant after the closed time"),
        "corrects": (pl.Enum(LEDGER_KINDS), "which kind of entry it sets right"),
        "reason": (
            pl.Enum(["late", "withdrawn", "changed", "booking", "contract", "follows"]),
            "the charge came late, is no more, or is drawn otherwise; a booking or a pool did so; or it follows",
        ),
        "pool": (NAME, "id of the pool; null for overage"),
        "tokens": (TOKENS, "what the balance gains; negative where it loses"),
        "user": (NAME, "of the charge"),
        "product": (NAME, "of the charge"),
        "server": (NAME, "of the charge"),
        "charged_at": (TIME, "of the charge"),
        "charge": (pl.UInt64(), "row, from 0, of the charge in `Ledger.charges`; null if it is of none"),
        "booking": (pl.UInt32(), "row, from 0, of the booking in `Ledger.bookings`; null if it is of none"),
    },
)

BOOKINGS: Final = _table(
    "bookings",
    "One row for each booking of a ledger: those of the contract, then those of the statement.",
    {
        "source": (pl.Enum(["contract", "statement"]), "where it stands"),
        "location": (pl.UInt64(), "place in the contract's bookings, or row of the statement, from 0"),
        "day": (pl.Date(), "its day; it counts from that day's first instant in the contract's zone"),
        "kind": (pl.Enum(LEDGER_KINDS), "manual_consumption, adjustment or move"),
        "pool": (pl.String(), "id of the pool; null: the pools in the contract's order"),
        "tokens": (TOKENS, "what the balance gains; negative where it loses"),
        "reason": (pl.String(), "why, in words"),
        "team": (pl.String(), "of a move the team that got the tokens"),
        "is_current": (pl.Boolean(), "false if it is no more and stands here for entries that were closed"),
    },
)

BALANCES: Final = _table(
    "balances",
    "One row for each pool, in the order in which they are drawn, and a last one for all together."
    " `provisioned + adjusted + carried = consumed + expired + balance` in each.",
    {
        "pool": (pl.String(), "id of the pool; null for all"),
        "kind": (pl.String(), "annual, contract or pack; null for all"),
        "provisioned": (TOKENS, "what it opened with; 0 until it opens"),
        "consumed": (TOKENS, "by charges and manual consumption, without overage"),
        "expired": (TOKENS, "what was left at its close"),
        "adjusted": (TOKENS, "by adjustments and moves; negative where it lost"),
        "carried": (TOKENS, "what came from the pool before, less what went into the next"),
        "balance": (TOKENS, "what is left"),
    },
)

CHARGEBACK: Final = _table(
    "chargeback",
    "One row for each user, product, group or whatever `chargeback` was asked to lay by; those columns come first.",
    {
        "charges": (pl.UInt64(), "how many have a part here"),
        "minutes": (pl.UInt64(), "of use in the paid windows, rounded down; null unless it was split by minutes"),
        "tokens": (TOKENS, "used, with overage and manual consumption"),
        "cost": (MONEY, "of those whose pool has a price; null where none has"),
        "tokens_without_price": (TOKENS, "those that are not in `cost`"),
    },
)

EXPIRING: Final = _table(
    "expiring",
    "One row for each pool that has tokens and ends soon, the next first.",
    {
        "pool": (pl.String(), "id of the pool"),
        "closes": (TIME, "first instant at which its tokens are gone"),
        "end": (pl.Date(), "its last day in the contract's zone"),
        "tokens": (TOKENS, "what is left in it"),
        "value": (MONEY, "what they have cost; null where no price is known"),
    },
)

BURN: Final = _table(
    "burn",
    "One row for each pool that is open or still to come: what becomes of it if tokens go on being used as lately.",
    {
        "pool": (pl.String(), "id of the pool"),
        "opens": (TIME, "first instant"),
        "closes": (TIME, "first instant after the last"),
        "tokens": (TOKENS, "what is left in it, or what it will open with"),
        "exhausted_at": (TIME, "when it will run dry; null if it will not"),
        "expected_expiry": (TOKENS, "what will be left at its close and expire"),
    },
)

COST: Final = _table(
    "cost",
    "One row for each pool, in the order in which they are drawn, and a last one for all together, with the overage."
    " Money is in the contract's currency, and null where a price is missing.",
    {
        "pool": (pl.String(), "id of the pool; null for all"),
        "unit_price": (MONEY, "of one token; for all the mean of the tokens bought"),
        "tokens_bought": (TOKENS, "what pools opened with"),
        "tokens_consumed": (TOKENS, "of them, without overage"),
        "tokens_expired": (TOKENS, "of them"),
        "overage": (TOKENS, "tokens that no pool could give; 0 for each pool"),
        "value_bought": (MONEY, "tokens bought times unit price"),
        "value_consumed": (MONEY, "tokens consumed times unit price"),
        "value_expired": (MONEY, "tokens expired times unit price"),
        "overage_cost": (MONEY, "overage times its price"),
        "effective_price": (
            MONEY,
            "value consumed, value expired and overage cost for each token used, to eight places; null if none was",
        ),
    },
)

RECONCILIATION_LEVELS: Final = ("session", "day", "month")
"""How fine two sides are compared: charge by charge, by days, by totals of months or of contract years."""

RECONCILIATION_STATUSES: Final = (
    "matched",
    "amount_differs",
    "missing_at_vendor",
    "extra_at_vendor",
    "not_comparable",
)
"""What became of a line of either side."""

NOT_COMPARABLE_CAUSES: Final = (
    "no_log",
    "no_statement",
    "server_not_reporting",
    "masked",
    "not_of_servers",
    "adjustment",
    "not_charged",
    "no_rate",
)
"""Why a line cannot be compared at all. They come before all others."""

RECONCILIATION_CAUSES: Final = (
    *NOT_COMPARABLE_CAUSES,
    "rounding",
    "day_border",
    "duplicate_row",
    "manual_entry",
    "borrowed",
    "swapped_machine",
    "identity",
    "variant",
    "family",
    "minimum_duration",
    "reconnect",
    "two_servers",
    "rate",
    "other_rule",
    "no_row",
    "no_session",
    "unexplained",
)
"""Why two sides differ. Where a row has several causes, the first in this order leads."""

OUTCOMES_OF_AUDIT: Final = ("agreed", "explained", "not_comparable", "unexplained")
"""The sum of it."""

RECONCILIATION: Final = _table(
    "reconciliation",
    "One row for each line of ours with what stands against it at the vendor, and for each line that has nothing.",
    {
        "status": (pl.Enum(RECONCILIATION_STATUSES), "what became of the line"),
        "cause": (pl.Enum(RECONCILIATION_CAUSES), "the leading cause of the difference; null where there is none"),
        "causes": (pl.List(pl.Enum(RECONCILIATION_CAUSES)), "all that hold, the leading one first"),
        "user": (
            NAME,
            "the person, or the host where the product is metered by machine; null for totals, and where masked",
        ),
        "product": (NAME, "product line; null for a contract year"),
        "server": (NAME, "of our line, or of the vendor's where we have none; null for days and totals"),
        "usage_date": (pl.Date(), "date of our line, else of the vendor's; first day of a month or contract year"),
        "charged_at": (TIME, "instant of our charge, else of the vendor's; null for days and totals"),
        "window_end": (TIME, "end of that window, exclusive"),
        "shift": (pl.Duration("us"), "from our instant or day to the vendor's; null where one side has none"),
        "ours": (TOKENS, "0 where we have no line, null where it has no rate"),
        "vendors": (TOKENS, "0 where the vendor has no line"),
        "difference": (TOKENS, "the vendor's less ours, without a rate the vendor's alone"),
        "charge": (pl.UInt64(), "row, from 0, of the charges; null where there is none, for days the first of several"),
        "statement": (pl.UInt64(), "row, from 0, of the statement, likewise"),
        "explained": (pl.String(), "how the cause was tested, in words; null where nothing differs"),
    },
)

RECONCILIATION_SUMMARY: Final = _table(
    "reconciliation_summary",
    "One row for each outcome, status and cause.",
    {
        "outcome": (pl.Enum(OUTCOMES_OF_AUDIT), "the sum of it"),
        "status": (RECONCILIATION["status"], "of the rows"),
        "cause": (RECONCILIATION["cause"], "of the rows; null where nothing differs"),
        "rows": (pl.UInt32(), "how many"),
        "ours": (TOKENS, "in all, without those that have no rate"),
        "vendors": (TOKENS, "in all"),
        "difference": (TOKENS, "the vendor's less ours"),
    },
)

DISPUTE_CASES: Final = _table(
    "dispute_cases",
    "One row for each difference of a reconciliation that is in the evidence pack.",
    {
        "case": (pl.UInt32(), "number, from 1, in order of time"),
        "status": (RECONCILIATION["status"], "as reconciled"),
        "cause": (RECONCILIATION["cause"], "the leading one"),
        "causes": (RECONCILIATION["causes"], "all that hold"),
        "user": (RECONCILIATION["user"], "the person, or the host that pays"),
        "product": (RECONCILIATION["product"], "product line"),
        "server": (RECONCILIATION["server"], "license server"),
        "usage_date": (pl.Date(), "as reconciled"),
        "charged_at": (TIME, "as reconciled"),
        "local_time": (pl.Datetime("us"), "the same on the clock of the server; null where its zone is not known"),
        "window_end": (TIME, "end of that window, exclusive"),
        "ours": (TOKENS, "due by our account"),
        "vendors": (TOKENS, "stated by the vendor"),
        "difference": (TOKENS, "the vendor's less ours"),
        "charge": (pl.UInt64(), "row, from 0, of the charges"),
        "statement": (pl.UInt64(), "row, from 0, of the statement"),
        "file": (NAME, "file in which that row stands"),
        "line": (pl.UInt32(), "line of it, from 1"),
        "explained": (pl.String(), "the cause in words, as tested"),
    },
)

DISPUTE_SESSIONS: Final = _table(
    "dispute_sessions",
    "One row for each case and session behind it: of the same person and product, near its window.",
    {
        "case": (pl.UInt32(), "number of the case"),
        "session": (pl.UInt64(), "row, from 0, of the sessions"),
        "is_charged": (pl.Boolean(), "our charge of the case is of this session"),
        **{
            name: (SESSIONS[name], f"`{name}` of the session; null where the sessions have none")
            for name in ("server", "user", "host", "feature", "product", "version", "start", "end", "end_reason")
        },
        "file": (NAME, "where the check-out that opened it stands"),
        "line": (pl.UInt32(), "line of that check-out, from 1"),
    },
)

DISPUTE_ROWS: Final = _table(
    "dispute_rows",
    "One row for each case and row of the statement behind it: of the same person and product, near its window.",
    {
        "case": (pl.UInt32(), "number of the case"),
        "statement": (pl.UInt64(), "row, from 0, of the statement"),
        "is_disputed": (pl.Boolean(), "the case is about this row"),
        **{
            name: (STATEMENT[name], f"`{name}` of the statement")
            for name in (
                "usage_date", "product", "feature", "user", "host", "server", "start", "end", "category", "usage_type",
                "usage_category", "tokens",
            )
        },
        "file": (NAME, "file it stands in"),
        "line": (pl.UInt32(), "line of it, from 1"),
    },
)  # fmt: skip

DISPUTE_LINES: Final = _table(
    "dispute_lines",
    "One row for each line of the logs behind a session of a case.",
    {
        "session": (pl.UInt64(), "row, from 0, of the sessions"),
        "file": (NAME, "file of the log"),
        "line": (pl.UInt32(), "line of it, from 1"),
        "text": (pl.String(), "the line itself; null where the file could not be read again"),
    },
)

DISPUTE_SOURCES: Final = _table(
    "dispute_sources",
    "One row for each file that sessions, charges or statement come from.",
    {
        "file": (NAME, "as it was given to the reader"),
        "kind": (pl.Enum(["log", "statement"]), "what it holds"),
        "bytes": (pl.UInt64(), "its size; null where it could not be read again"),
        "sha256": (pl.String(), "of its bytes, in hexadecimal digits; null likewise"),
    },
)

CHANGES: Final = (
    "settled",
    "still_open",
    "not_comparable",
    "corrected_by_vendor",
    "corrected_by_us",
    "corrected_by_both",
    "corrected_by_adjustment",
    "changed_by_vendor",
    "changed_by_us",
    "changed_by_both",
    "reassessed",
    "new",
    "late",
    "withdrawn",
    "not_covered",
    "correction",
)
"""What became of a line from one reconciliation to a later one."""

MATCHED_BY: Final = (
    "difference",
    "user_and_product",
    "product",
    "month",
    "cause",
    "everything",
    "unmatched",
)
"""What the amount of a vendor's correction is opposite to: one difference, or all that is open of something."""

RECONCILIATION_CHANGES: Final = _table(
    "reconciliation_changes",
    "One row for each line of an earlier reconciliation and what it is in a later one, and for each line that only the "
    "later one has.",
    {
        "change": (pl.Enum(CHANGES), "what became of the line since then"),
        "was_settled": (pl.Boolean(), "it was there then, and matched"),
        "user": (NAME, MEANINGS["reconciliation"]["user"]),
        "product": (NAME, MEANINGS["reconciliation"]["product"]),
        "server": (NAME, "as the later one says, else the earlier"),
        "usage_date": (pl.Date(), "likewise"),
        "charged_at": (TIME, "likewise; null for days and totals"),
        "was_status": (pl.Enum(RECONCILIATION_STATUSES), "what became of the line then; null where it was not there"),
        "was_cause": (pl.Enum(RECONCILIATION_CAUSES), "leading cause of the difference then"),
        "was_ours": (TOKENS, "then; 0 where it was not there or we had no line, null where it had no rate"),
        "was_vendors": (TOKENS, "then; 0 where it was not there or the vendor had no line"),
        "was_difference": (TOKENS, "then, the vendor's less ours, without a rate the vendor's alone"),
        "status": (pl.Enum(RECONCILIATION_STATUSES), "now; null where it is not there any more"),
        "cause": (pl.Enum(RECONCILIATION_CAUSES), "now"),
        "ours": (TOKENS, "now; 0 where it is not there or we have no line, null where it has no rate"),
        "vendors": (TOKENS, "now; 0 where it is not there or the vendor has no line"),
        "difference": (TOKENS, "now, the vendor's less ours, without a rate the vendor's alone"),
        "correction": (
            pl.UInt32(),
            "number of the correction that evens it out, or that it is; null where there is none",
        ),
        "earlier": (pl.UInt64(), "row, from 0, of the earlier reconciliation; null where it was not there"),
        "later": (pl.UInt64(), "row, from 0, of the later one; null where it is not there"),
    },
)

RECONCILIATION_CHANGES_SUMMARY: Final = _table(
    "reconciliation_changes_summary",
    "One row for each change, of lines that were settled and of the others.",
    {
        "change": (RECONCILIATION_CHANGES["change"], "of the rows"),
        "was_settled": (pl.Boolean(), "whether they were matched then"),
        "rows": (pl.UInt32(), "how many"),
        "was_ours": (TOKENS, "then, in all, without those that had no rate"),
        "was_vendors": (TOKENS, "then, in all"),
        "was_difference": (TOKENS, "then, in all"),
        "ours": (TOKENS, "now, in all, without those that have no rate"),
        "vendors": (TOKENS, "now, in all"),
        "difference": (TOKENS, "now, in all"),
    },
)

VENDOR_CORRECTIONS: Final = _table(
    "vendor_corrections",
    "One row for each adjustment and manual entry of the vendor that the earlier reconciliation did not have.",
    {
        "correction": (pl.UInt32(), "its number, from 0, in order of date"),
        "matched_by": (
            pl.Enum(MATCHED_BY),
            "what its tokens are opposite to: one difference, or the whole of what is open of one of these",
        ),
        "choices": (
            pl.UInt32(),
            "how many differences or wholes it would have fitted; above 1 another one may be meant; 0 if unmatched",
        ),
        "differences": (pl.UInt32(), "how many rows of the changes it evens out"),
        "first_date": (pl.Date(), "of these"),
        "last_date": (pl.Date(), "of these"),
        "cause": (RECONCILIATION["cause"], "adjustment or manual_entry"),
        "user": (NAME, "whom it names; null if nobody"),
        "product": (NAME, "what it names; null if nothing"),
        "date": (pl.Date(), "date of the transaction, where the statement says it, else of the use"),
        "tokens": (TOKENS, "negative where tokens are given back"),
        "token_pool": (NAME, "of the statement; null without it"),
        "reason_type": (NAME, "of the statement, likewise"),
        "reason_comment": (pl.String(), "of the statement, likewise; shown and not interpreted"),
        "statement": (pl.UInt64(), "row, from 0, of the later statement"),
        "later": (pl.UInt64(), "row, from 0, of the later reconciliation"),
    },
)

IDLE_SOURCES: Final = ("activity", "timeout", "rest", "gap")
"""Whence it is known that nobody used a session. The last two are inferred."""

IDLE: Final = _table(
    "idle",
    "One row for each span in which a session held a license without use. Where two of one session touch, a sign of use"
    " lies between them; they do not overlap.",
    {
        "session": (pl.UInt64(), "row of the session, from 0"),
        "user": (NAME, "of the session, as are host, product and server"),
        "host": (NAME, "null if the sessions have none"),
        "product": (NAME, "product line"),
        "server": (NAME, "null if the sessions have none"),
        "start": (TIME, "last sign of use; where it is inferred, when the night, free day or working day begins"),
        "end": (TIME, "next sign of use, or the session's end; as far as it is known, exclusive"),
        "duration": (pl.Duration("us"), "`end` less `start`"),
        "source": (
            pl.Enum(IDLE_SOURCES),
            "recorded activity; the server's timeout; a rest (night, free day) or gap (working day) without a sign",
        ),
        "confidence": (pl.Float64(), "0 to 1; 1 where it was recorded, else the share of the user's like times"),
    },
)

HARVEST: Final = _table(
    "harvest",
    "One row for each session that is open, the one that is charged next first.",
    {
        "session": (pl.UInt64(), "row of the session, from 0"),
        "user": (NAME, "as the log spells it"),
        "host": (NAME, "the user's machine; null if the sessions have none"),
        "product": (NAME, "product line"),
        "feature": (NAME, "what the server calls it; null if the sessions have none"),
        "server": (NAME, "license server; null if the sessions have none"),
        "start": (TIME, "of the session"),
        "idle_since": (TIME, "null where it is in use, or nothing is known"),
        "idle_minutes": (pl.Float64(), "from `idle_since` to `as_of`; 0 where activity shows that it is in use"),
        "idle_source": (pl.Enum(IDLE_SOURCES), "whence that is known"),
        "idle_confidence": (pl.Float64(), "0 to 1, see idle"),
        "next_charge_at": (TIME, "when it is charged next if all that is open stays open; null if it will not be"),
        "minutes_to_charge": (pl.Float64(), "from `as_of` to `next_charge_at`"),
        "tokens": (TOKENS, "that charge; null where there is none, or the product has no rate"),
        "open_with": (pl.UInt32(), "open sessions that this charge is for, this one counted: all have to be closed"),
        "is_worth_it": (
            pl.Boolean(),
            "true: it is idle and tokens will be charged; false: it is in use, or none will; null: nobody knows",
        ),
        "handle": (pl.UInt64(), "license handle; null if it is not known, or there are several"),
        "command": (pl.String(), "the line that takes the license back; null if none can be written"),
    },
)

HARVEST_REPLAY: Final = _table(
    "harvest_replay",
    "One row for each time after which idle licenses would have been taken back.",
    {
        "after": (pl.Duration("us"), "of idle time"),
        "sessions_cut": (pl.UInt64(), "how many lost their license at least once"),
        "cuts": (pl.UInt64(), "how often a license would have been taken back"),
        "cuts_saving_nothing": (
            pl.UInt64(),
            "of them; a cut saves what its user and product pay less until their next cut",
        ),
        "reopens": (pl.UInt64(), "how often it would have been launched again, since use went on"),
        "hours_freed": (pl.Float64(), "hours of licenses, from the cuts to the re-opens or ends"),
        "charges_before": (pl.UInt64(), "as it was"),
        "charges_after": (pl.UInt64(), "with the cuts"),
        "charges_avoided": (pl.Int64(), "the difference; re-opens count against it"),
        "tokens_before": (TOKENS, "as it was, without charges that have no rate"),
        "tokens_after": (TOKENS, "with the cuts, likewise"),
        "tokens_saved": (TOKENS, "the difference; negative where re-opens cost more"),
        "charges_without_rate": (pl.UInt64(), "of those with the cuts"),
    },
)

HELD: Final = _table(
    "held",
    "One row for each stretch in which a session holds the same number of licenses.",
    {name: (SESSIONS[name], MEANINGS["sessions"][name]) for name in SESSIONS}
    | {
        "start": (TIME, "from when on"),
        "end": (TIME, "until when, exclusive"),
        "licenses": (pl.UInt32(), "held all that time"),
        "checkouts": (pl.UInt32(), "check-outs at `start`: 1, or 0 where it begins with a check-in or an upgrade"),
        "end_reason": (pl.Enum(END_REASONS), "why the session ended"),
        "is_open": (pl.Boolean(), "the session has not ended yet"),
        "session": (pl.UInt64(), "row of the session, from 0, in what `pair` gives"),
    },
)

CONCURRENCY: Final = _table(
    "concurrency",
    "One row for each instant at which the number in use changes, for each group of `concurrency`, whose columns come "
    "first.",
    {
        "time": (TIME, "from when on"),
        "in_use": (pl.UInt32(), "licenses, users or hosts in use from then on, until the next row"),
    },
)

CAPACITY: Final = _table(
    "capacity",
    "One row for each group of `capacity`, whose columns come first: how much was needed in the time that counts.",
    {
        "zone": (NAME, "by whose clock business hours are; null where all hours count and no zone is said"),
        "since": (TIME, "first instant of the period; null where there is no session and none is given"),
        "until": (TIME, "its end, exclusive; null as `since`"),
        "time": (pl.Duration("us"), "how much of the period counts"),
        "requests": (pl.UInt64(), "sessions that started in that time, those of zero length too"),
        "used": (pl.Duration("us"), "licenses times time"),
        "peak": (pl.UInt32(), "most in use at once; null where no time counts"),
        "peak_at": (TIME, "when that many were in use first; null where none ever was"),
        "time_at_peak": (pl.Duration("us"), "for how long in all"),
        "mean": (pl.Float64(), "`used` by `time`"),
        **{
            f"p{part}": (pl.UInt32(), f"least number that was enough for {part} % of the time")
            for part in (50, 90, 95, 99)
        },
        **{
            f"asked_p{part}": (
                pl.UInt32(),
                f"least number such that {part} % of the requests found no more in use; null where there are none",
            )
            for part in (50, 90, 95, 99)
        },
        "limit": (pl.UInt32(), "how many are owned; null where that is not said, as are the columns after it"),
        "time_at_limit": (pl.Duration("us"), "time in which none was free: `limit` or more in use"),
        "time_above_limit": (pl.Duration("us"), "time in which more than `limit` were in use"),
        "share_at_limit": (pl.Float64(), "`time_at_limit` by `time`"),
        "share_above_limit": (pl.Float64(), "`time_above_limit` by `time`"),
    },
)

HEAT_MAP: Final = _table(
    "heat_map",
    "One row for each hour of the week of each group of `heat_map`, whose columns come first: 168 a group.",
    {
        "zone": (NAME, "by whose clock"),
        "weekday": (pl.UInt8(), "1 is Monday, 7 is Sunday"),
        "hour": (pl.UInt8(), "0 to 23, by the clock on the wall"),
        "time": (pl.Duration("us"), "how long the clock showed this hour within the period"),
        "used": (pl.Duration("us"), "licenses times time"),
        "mean": (pl.Float64(), "`used` by `time`; null where the period has no such hour"),
        "peak": (pl.UInt32(), "most in use at once"),
    },
)

DENIAL_OUTCOMES: Final = ("in_use", "served", "retried", "refused")
"""What became of a refusal: the user had the product, got it soon, the program went on asking, or none of these."""

JUDGED_DENIALS: Final = _table(
    "judged_denials",
    "One row for each refusal, as `judge_denials` judges it.",
    {
        "server": (NAME, "license server"),
        "time": (TIME, "instant of the refusal"),
        "kind": (EVENTS["kind"], "DENIED, or UNSUPPORTED where the server has no such feature"),
        "product": (NAME, "product line"),
        "feature": (NAME, "as the log writes it"),
        "user": (NAME, "as the log spells it"),
        "host": (NAME, "the user's machine"),
        "licenses": (pl.UInt32(), "how many were asked for"),
        "version": (NAME, "version asked for, where the line has it"),
        "reason": (NAME, "in words, as the log writes it"),
        "reason_code": (
            pl.Int32(),
            "number of the reason: -4 all in use, -5 no such feature, …; null where there is none",
        ),
        "outcome": (
            pl.Enum(DENIAL_OUTCOMES),
            "the user had the product already, got it soon, the program went on asking, or none of these",
        ),
        "is_real": (pl.Boolean(), "the outcome is `refused`: it kept the user from working with the product"),
        "is_repeat": (pl.Boolean(), "the user was refused the same product shortly before: one case with that"),
        "served_at": (TIME, "start of the user's next session of the product, however late; null if there is none"),
        "wait": (pl.Duration("us"), "until then"),
        "in_use": (pl.UInt32(), "licenses of the product in use at that instant, on that server where it is known"),
        "limit": (pl.UInt32(), "how many are owned; null where that is not said"),
        "file": (NAME, "file the refusal stands in"),
        "line": (pl.UInt32(), "from 1"),
    },
)

DENIAL_SUMMARY: Final = _table(
    "denial_summary",
    "One row for each product, kind and reason of `summarize_denials`.",
    {
        "product": (NAME, "product line"),
        "kind": (EVENTS["kind"], "DENIED or UNSUPPORTED; null where that is not known"),
        "reason_code": (pl.Int32(), "number of the reason"),
        "reason": (NAME, "in words; the first in order where there are several"),
        "denials": (pl.UInt64(), "how many refusals"),
        "cases": (pl.UInt64(), "how many of them repeat none that came shortly before"),
        "real": (pl.UInt64(), "how many of the cases are real"),
        "users": (pl.UInt64(), "how many users were refused"),
        "users_refused": (pl.UInt64(), "how many of them have a real case"),
        "first": (TIME, "the first refusal"),
        "last": (TIME, "the last one"),
        "longest_wait": (pl.Duration("us"), "of those who were served soon"),
    },
)

INACTIVE: Final = _table(
    "inactive",
    "One row for each user and product, or whatever `inactive` was asked to tell apart; those columns come first.",
    {
        "last_use": (TIME, "end of the last session, at most `as_of`; null where there is none, as in the next three"),
        "days_since": (pl.Int32(), "whole days of 24 hours since then"),
        "first_use": (TIME, "start of the first session"),
        "is_short_only": (pl.Boolean(), "all sessions are shorter than `short`: opened and never worked with"),
        "sessions": (pl.UInt64(), "how many"),
        "short_sessions": (pl.UInt64(), "how many of them are shorter than `short`"),
        "used": (pl.Duration("us"), "how long they last together"),
        "is_in_use": (pl.Boolean(), "in use at `as_of`"),
    },
)

FORECAST_HISTORY: Final = _table(
    "forecast_history",
    "One row for each day and group of which tokens were used.",
    {
        "date": (pl.Date(), "day"),
        "group": (pl.String(), "product, server or site, by which the forecast is split; null if it is not"),
        "tokens": (TOKENS, "used on it"),
    },
)

FORECAST_DAYS: Final = _table(
    "forecast_days",
    "One row for each day to come.",
    {
        "date": (pl.Date(), "day"),
        "mean": (TOKENS, "what is expected, scenarios included"),
        "low": (TOKENS, "lower end of the interval"),
        "high": (TOKENS, "upper end of the interval"),
        "scenario": (TOKENS, "what of the mean projects and head counts add"),
    },
)

FORECAST_GROUPS: Final = _table(
    "forecast_groups",
    "One row for each day to come and each group; groups with most tokens first, in order of days.",
    {
        "group": (pl.String(), "product, server or site, by which the forecast is split; null for what has none"),
        **{name: (FORECAST_DAYS[name], MEANINGS["forecast_days"][name]) for name in FORECAST_DAYS},
    },
)

FORECAST_BACKTEST: Final = _table(
    "forecast_backtest",
    "One row for each model that was tried on the past: of the total, then of each group.",
    {
        "is_total": (pl.Boolean(), "of all groups together"),
        "group": (pl.String(), "null for the total, and for what has none"),
        "model": (
            pl.String(),
            "weekday (the default), AutoETS, MSTL; seasonal_naive is last week again; mixed is what each group chose",
        ),
        "is_chosen": (pl.Boolean(), "the forecast is of this model"),
        "mae": (TOKENS, "mean absolute error of a day, tokens"),
        "coverage": (
            pl.Float64(),
            "part of the days that lay between low and high; null unless chosen, or if nothing ever varied",
        ),
        "sum_coverage": (
            pl.Float64(),
            "part of the sums of 13 weeks that lay between theirs; null unless chosen, or if fewer weeks were tested",
        ),
        "origins": (pl.UInt32(), "how many forecasts of the past were made"),
        "days": (pl.UInt32(), "how many days they looked at in all"),
    },
)

SCENARIO_PATHS: Final = _table(
    "scenario_paths",
    "One row for each scenario and day: what `plan_purchase` takes as a table. Each scenario has all days.",
    {
        "scenario": (pl.String(), "its name or number"),
        "day": (pl.Date(), "day in the zone of the contract"),
        "tokens": (pl.Float64(), "what is used on it, 0 or more; any numbers will do, rounded to four decimals"),
    },
)

PURCHASE_POLICIES: Final = ("term", "dates", "reorder")
"""How tokens are bought: for a term when it begins, packs on fixed dates, or packs when few are left."""

PURCHASE_TRIED: Final = _table(
    "purchase_tried",
    "One row for each way to buy that was tried, and what it came to over the scenarios. Costs are what is bought and"
    " what is owed, in the offer's currency.",
    {
        "policy": (pl.Enum(PURCHASE_POLICIES), "how tokens are bought"),
        "purchase": (pl.String(), "the same in words, with numbers"),
        "tokens": (TOKENS, "bought in all, without top-ups; for a reorder point the mean over scenarios"),
        "annual": (TOKENS, "annual tokens of each contract year; null for packs"),
        "contract": (TOKENS, "contract tokens; null for packs"),
        "below": (TOKENS, "the balance below which packs are bought; null where there is no such point"),
        "top_up": (TOKENS, "how many are bought each time that tokens run out; null where none are"),
        "unit_price": (MONEY, "mean price of the tokens bought, without top-ups; null where none are"),
        "expected_cost": (MONEY, "mean over scenarios"),
        "low_cost": (MONEY, "a tenth of the scenarios cost no more"),
        "high_cost": (MONEY, "nine tenths of the scenarios cost no more"),
        "run_out_chance": (pl.Float64(), "part of the scenarios in which tokens run out and none are bought, 0 to 1"),
        "expected_overage": (TOKENS, "tokens that were not bought and had to be paid as overage, mean"),
        "expected_top_up": (TOKENS, "tokens bought as top-ups, mean"),
        "expected_expiry": (TOKENS, "tokens that expire, mean"),
        "expected_left": (TOKENS, "tokens in packs that outlast the scenarios, mean; they have been paid"),
        "is_chosen": (pl.Boolean(), "the plan's choice"),
    },
)

PLANNED_PURCHASES: Final = _table(
    "planned_purchases",
    "One row for each purchase of a plan, in order of time.",
    {
        "number": (pl.UInt32(), "from 1"),
        "day": (pl.Date(), "when; for a reorder point and top-ups the median of the scenarios that buy"),
        "pool": (pl.String(), "id of the pool in `PurchasePlan.contract`; null where most scenarios do not buy"),
        "tokens": (TOKENS, "how many; of top-ups the median of the scenarios that buy"),
        "unit_price": (MONEY, "mean price of each"),
        "cost": (MONEY, "of the purchase"),
        "earliest": (pl.Date(), "a tenth of the scenarios that buy have done so by then"),
        "latest": (pl.Date(), "nine tenths have"),
        "chance": (pl.Float64(), "part of the scenarios that buy, 0 to 1"),
    },
)

PLAN_SCENARIOS: Final = _table(
    "plan_scenarios",
    "One row for each scenario under the plan that was chosen.",
    {
        "scenario": (pl.UInt32(), "row, from 0, of the paths"),
        "used": (TOKENS, "in all"),
        "bought": (TOKENS, "in all, top-ups included; what was held is no part of it"),
        "topped_up": (TOKENS, "bought as top-ups"),
        "overage": (TOKENS, "that no pool could give"),
        "expired": (TOKENS, "at the close of pools"),
        "left": (TOKENS, "in packs that outlast the scenario"),
        "spent": (MONEY, "for what was bought"),
        "cost": (MONEY, "that and the overage"),
        "run_out": (pl.Date(), "the first day that the pools could not pay; null if there is none"),
        "first_top_up": (pl.Date(), "the day of the first top-up; null if there is none"),
    },
)

TOP_UPS: Final = _table(
    "top_ups",
    "One row for each of some parts of the scenarios, under the plan: when tokens run out, and how many lack.",
    {
        "chance": (pl.Float64(), "part of the scenarios, 0 to 1"),
        "day": (pl.Date(), "by which tokens have run out or the first top-up is bought; null where fewer do"),
        "tokens": (TOKENS, "that lack in it at most: so large a top-up would do"),
        "bought": (TOKENS, "that the top-ups of the plan bring in it at most"),
    },
)

NEWSVENDOR: Final = _table(
    "newsvendor",
    "One row for each kind of pool on offer: the closed form as if there were only that one, at the plan's mean price.",
    {
        "pool": (pl.Enum(["annual", "contract", "pack"]), "kind of pool"),
        "unit_price": (MONEY, "of one token"),
        "late_price": (
            MONEY,
            "of a token that was not bought in time: the overage price, or that of top-ups",
        ),
        "critical_ratio": (pl.Float64(), "(late price - unit price) / late price, 0 at least"),
        "tokens": (TOKENS, "the least that suffices in so large a part of the scenarios; of annual tokens all years"),
    },
)

ESTIMATE_SOURCES: Final = ("rule", "identity", "open_sessions", "ended_by_server", "missing_days", "unknown_products")
"""What makes an estimate uncertain: which rule holds; whether two names are one person; sessions that have not ended;
sessions that a stop, crash or restart of the server ended; days of which no log tells; products without a rate."""

ESTIMATE: Final = _table(
    "estimate",
    "One row for each thing that is uncertain: what all would cost if it alone were otherwise.",
    {
        "source": (pl.Enum(ESTIMATE_SOURCES), "what is uncertain"),
        "item": (pl.String(), "which of its kind: a rule in words, two names, a server, a product; null if it is one"),
        "low": (TOKENS, "the whole estimate under the cheapest reading of this row, all else as in the base"),
        "base": (TOKENS, "the whole estimate as it is; the same in all rows"),
        "high": (TOKENS, "the whole estimate under the dearest reading of this row, all else as in the base"),
        "how": (pl.String(), "how it was computed, in words"),
        "count": (pl.UInt64(), "how many sessions, days or charges it is about"),
        "of": (pl.Enum(("sessions", "days", "charges")), "what was counted"),
    },
)

ESTIMATE_PRODUCTS: Final = _table(
    "estimate_products",
    "One row for each product; the columns add up to the whole estimate.",
    {
        "product": (pl.String(), "product line"),
        "low": (TOKENS, "in the low case of the whole, which may be more than this product's base"),
        "base": (TOKENS, "in the base case"),
        "high": (TOKENS, "in the high case of the whole"),
    },
)

LICENSE_MODELS: Final = ("licenses_peak", "licenses_p95", "subscriptions", "tokens", "mix")
"""How the same use can be paid: licenses of one's own with maintenance, as many as were ever, or for 95 % of the time,
in use; named-user subscriptions for all; tokens for all; for each user the cheaper of the two, product by product."""

MODEL_COSTS: Final = _table(
    "model_costs",
    "One row for each way to pay for the same use in a year.",
    {
        "model": (pl.Enum(LICENSE_MODELS), "the way to pay"),
        "cost": (MONEY, "money for a year, without what has no price; null where nothing has one"),
        "licenses": (pl.UInt64(), "licenses that are kept up; null where the model has none, as the next two"),
        "subscriptions": (pl.UInt64(), "named-user subscriptions and collections"),
        "tokens": (TOKENS, "tokens in a year"),
        "frozen": (
            pl.UInt64(),
            "licenses of one's own that are frozen meanwhile; after the contract they are back",
        ),
        "unpriced": (pl.List(pl.String()), "products that were used and have no price in this model"),
    },
)

MODEL_PRODUCTS: Final = _table(
    "model_products",
    "One row for each product that was used.",
    {
        "product": (pl.String(), "product line"),
        "users": (pl.UInt32(), "how many used it"),
        "days_used": (TOKENS, "charges in a year, of all users"),
        "tokens": (TOKENS, "tokens in a year"),
        "rate": (TOKENS, "tokens for a day at the end of the time; null without a rate"),
        "subscription": (pl.String(), "the cheapest offer of this product alone; null if there is none"),
        "subscription_price": (MONEY, "of one user and year"),
        "break_even_days": (TOKENS, "days a year from which on the subscription is cheaper; null without it or a rate"),
        "users_above": (pl.UInt32(), "users who use it on more days than that"),
        "peak": (pl.UInt32(), "licenses in use at once, at the most"),
        "p95": (pl.UInt32(), "licenses that were enough for 95 % of the time"),
        "owned": (pl.UInt32(), "licenses that one has; null where that is not known"),
        "maintenance_price": (MONEY, "of one license and year; null without an offer"),
        "cost_peak": (MONEY, "maintenance of the peak for a year"),
        "cost_p95": (MONEY, "maintenance of the 95th percentile for a year"),
    },
)

MODEL_USERS: Final = _table(
    "model_users",
    "One row for each user: what to have, with tokens for the rest.",
    {
        "user": (pl.String(), "as in the sessions"),
        "products": (pl.List(pl.String()), "what was used"),
        "cost_tokens": (MONEY, "everything by tokens, for a year; without products metered by machine, as all here"),
        "current": (pl.List(pl.String()), "the subscriptions that the user has; empty: everything by tokens"),
        "cost_current": (MONEY, "these, and tokens for the rest"),
        "cheapest": (pl.List(pl.String()), "the subscriptions of the cheapest mix"),
        "cost_cheapest": (MONEY, "these, and tokens for the rest"),
        "best": (pl.List(pl.String()), "the cheapest, if it is cheaper by more than the hysteresis; else the current"),
        "cost": (MONEY, "these, and tokens for the rest"),
        "tokens": (TOKENS, "tokens of the rest in a year"),
        "changes": (pl.Boolean(), "whether `best` is another than `current`"),
    },
)

BREAK_EVEN: Final = _table(
    "break_even",
    "One row for each user and product: how far from the days at which a subscription pays.",
    {
        "user": (pl.String(), "as in the sessions"),
        "product": (pl.String(), "product line"),
        "days_used": (TOKENS, "charges in a year"),
        "break_even_days": (TOKENS, "days a year from which on a subscription of this product alone is cheaper"),
        "distance": (TOKENS, "days used less break-even days: above 0 the subscription is cheaper"),
    },
)

SENSITIVITY_CHANGES: Final = ("rate", "new_rates", "price", "head_count", "harvest", "server_zone")
"""What `sensitivity` changes: all rates by percent; the rates that the vendor announced; the price of a token; how many
persons there are; after how long idle licenses are taken back; the zone in which a license server stands."""

SENSITIVITY: Final = _table(
    "sensitivity",
    "One row for each change: what all would cost under it alone, or why that cannot be said.",
    {
        "change": (pl.Enum(SENSITIVITY_CHANGES), "what is changed"),
        "item": (pl.String(), "which of its kind: a product, a server, a time of idleness; null if it is about all"),
        "value": (pl.String(), "what it is changed to, in words; null where there is nothing to change"),
        "side": (
            pl.Enum(("low", "same", "high")),
            "whether all then costs less than the base, the same, or more; null in a row that was not computed",
        ),
        "tokens": (TOKENS, "in all, without charges that have no rate; of a head count the mean; null as above"),
        "cost": (MONEY, "what these tokens cost"),
        "difference_tokens": (TOKENS, "tokens less those of the base"),
        "difference_cost": (MONEY, "the cost less that of the base"),
        "swing": (MONEY, "between the least and the greatest cost of all rows of this change and item, and the base"),
        "tokens_p10": (TOKENS, "a tenth of the draws has these or fewer; null but for a head count, as the next three"),
        "tokens_p90": (TOKENS, "nine tenths of the draws have these or fewer"),
        "cost_p10": (MONEY, "what the tokens of `tokens_p10` cost"),
        "cost_p90": (MONEY, "what the tokens of `tokens_p90` cost"),
        "charges_without_rate": (pl.UInt64(), "charges that no token is known of; null where they are not counted"),
        "cheapest": (pl.Enum(LICENSE_MODELS), "the cheapest way to pay then; null without a price list"),
        "turns": (pl.Boolean(), "whether that is another one than in the base; null without a price list"),
        "how": (pl.String(), "how it was computed, in words; null in a row that was not computed"),
        "reason": (pl.String(), "why it was not computed; null where it was"),
    },
)

TURNING_POINTS: Final = _table(
    "turning_points",
    "One row for each way to pay without tokens: where it costs what tokens for the same products cost.",
    {
        "model": (pl.Enum(LICENSE_MODELS), "the way to pay"),
        "cost": (MONEY, "money for a year, of the products that it has a price for"),
        "tokens": (TOKENS, "tokens of these products in a year"),
        "token_price": (MONEY, "the price of a token at which both cost the same: above it tokens are dearer"),
        "rate_change": (
            pl.Decimal(38, 4),
            "by how many percent all rates, or the price, would have to change for that; null at a price of 0",
        ),
        "unpriced": (pl.List(pl.String()), "products that were used and are in neither sum"),
    },
)

HELD_TOKENS: Final = _table(
    "held_tokens",
    "One row for each pool that has tokens when a plan begins or will have them, in the order in which they are drawn.",
    {
        "pool": (pl.String(), "id of the pool in the contract that is held"),
        "kind": (pl.Enum(["annual", "contract", "pack"]), "kind of pool"),
        "tokens": (TOKENS, "what is left when the plan begins, or what the pool will open with"),
        "start": (pl.Date(), "the first day of the plan on which it can be drawn from"),
        "end": (pl.Date(), "its last day"),
    },
)

CHARGE_LEDGER: Final = _table(
    "charge_ledger",
    "One row for each window that is paid in the time of a report: when, why, at which rate, and who it is laid to.",
    {name: (CHARGES[name], MEANINGS["charges"][name]) for name in CHARGES}
    | {
        "rule_id": (NAME, "the rule"),
        "rate": (TOKENS, "of the product at that instant; more than `tokens` where only a difference was due"),
        "person": (NAME, "who the user is by `identity`; the user without it"),
        "host": (NAME, "of the session that caused it; null if the sessions have none"),
        "version": (NAME, "of that session, likewise"),
        "session_start": (TIME, "of that session"),
        "session_end": (TIME, "of that session, exclusive"),
        "group": (NAME, "of the user at that time; null without groups"),
        "cost_centre": (NAME, "likewise"),
        "site": (NAME, "where the user sat at that time, else of the server; null if neither is known"),
    },
)

CONSUMPTION: Final = _table(
    "consumption",
    "One row for each day, product, server or whatever the report lays charges by; those columns come first.",
    {
        "users": (pl.UInt32(), "how many have a charge here"),
        "charges": (pl.UInt64(), "how many"),
        "tokens": (TOKENS, "in all; null where no charge has a rate"),
        "share": (pl.Float64(), "of the tokens of the report, 0 to 1; null likewise"),
        "charges_without_rate": (pl.UInt64(), "how many of the charges have none"),
    },
)

DAILY_PEAKS: Final = _table(
    "daily_peaks",
    "One row for each product and day on which it was in use.",
    {
        "product": (pl.String(), "product line"),
        "date": (pl.Date(), "day, by UTC"),
        "peak": (pl.UInt32(), "most licenses in use at once on it; what was in use at its midnight counts"),
    },
)

COVERAGE_DAYS: Final = _table(
    "coverage_days",
    "One row for each day of each server, from the first line of its logs to the last.",
    {
        "server": (pl.String(), "license server"),
        "date": (pl.Date(), "by the server's clock; by UTC where its zone is not known"),
        "has_lines": (pl.Boolean(), "false: the logs have no line of that day, so what was used is not known"),
        "sessions": (pl.UInt64(), "how many began on it"),
    },
)

PRODUCTS_WITHOUT_RATE: Final = _table(
    "products_without_rate",
    "One row for each product with charges that have no rate; they are in no sum of tokens.",
    {
        "product": (pl.String(), "product line"),
        "users": (pl.UInt32(), "how many have such a charge"),
        "charges": (pl.UInt64(), "how many"),
        "first": (TIME, "the first of them"),
        "last": (TIME, "the last"),
    },
)

RATE_CHANGES: Final = _table(
    "rate_changes",
    "One row for each product: the same use at the rates of today and at others.",
    {
        "product": (pl.String(), "product line"),
        "charges": (pl.UInt64(), "at the rates of the report"),
        "tokens": (TOKENS, "likewise, without charges that have no rate"),
        "new_charges": (pl.UInt64(), "at the other rates; families may make them fewer or more"),
        "new_tokens": (TOKENS, "likewise"),
        "difference": (TOKENS, "the new tokens less the others"),
    },
)

REPORT_ANSWER_TONES: Final = ("good", "watch", "act", "none")
"""What an answer asks for: nothing, an eye on it, something to be done; or it is not known, or just a fact."""

REPORT_ANSWERS: Final = _table(
    "report_answers",
    "One row for each answer on the first screen of a report.",
    {
        "key": (pl.String(), "its name, fixed"),
        "label": (pl.String(), "what it answers, in a word or two"),
        "answer": (pl.String(), "the answer for the eye, with its unit"),
        "value": (MONEY, "the number in it; null where there is none"),
        "unit": (pl.String(), "of the number: tokens, share, days, charges, or a currency"),
        "detail": (pl.String(), "what stands behind it, or what has to be given to know it"),
        "tone": (pl.Enum(REPORT_ANSWER_TONES), "whether something is to be done"),
        "chapter": (pl.String(), "key of the chapter that tells more"),
    },
)

REPORT_ACTIONS: Final = _table(
    "report_actions",
    "One row for each thing to do this week, what is worth most first.",
    {
        "rank": (pl.UInt32(), "from 1"),
        "action": (pl.String(), "what to do, in words"),
        "why": (pl.String(), "what it rests on"),
        "tokens": (TOKENS, "what is at stake; null where that is not known"),
        "money": (MONEY, "the same in money; null without a token price"),
        "chapter": (pl.String(), "key of the chapter that tells more"),
        "table": (pl.String(), "name of the table with the cases"),
    },
)

REPORT_CUBE: Final = _table(
    "report_cube",
    "One row for each month, product, group, site and server of which something was charged, for filters; sums of rows"
    " are the sums of the charges.",
    {
        "month": (pl.Date(), "its first day, by `usage_date`"),
        "product": (pl.String(), "product line"),
        "group": (pl.String(), "null where it is not known; `(other groups)` where there would be too many rows"),
        "site": (pl.String(), "null where it is not known"),
        "server": (pl.String(), "null where it is not known; `(all servers)` where there would be too many rows"),
        "charges": (pl.UInt64(), "how many"),
        "tokens": (TOKENS, "in all, without those that have no rate"),
        "charges_without_rate": (pl.UInt64(), "how many of the charges have none"),
    },
)

REPORT_CONTENTS: Final = _table(
    "report_contents",
    "One row for each section of a report, and for each chapter that has none.",
    {
        "chapter": (pl.String(), "its key"),
        "question": (pl.String(), "what the chapter answers"),
        "headline": (pl.String(), "the answer in a sentence; empty where it is not known"),
        "section": (pl.String(), "its key; null where the whole chapter is missing"),
        "title": (pl.String(), "what the section shows"),
        "table": (pl.String(), "name of its table; null where it is missing"),
        "rows": (pl.UInt64(), "of the table"),
        "note": (pl.String(), "what one has to know to read it"),
        "missing": (pl.String(), "what has to be given to have it; null where it is there"),
    },
)

REPORT_PROVENANCE: Final = _table(
    "report_provenance",
    "One row for each thing that a report rests on.",
    {
        "what": (pl.String(), "the rule, the rates, an input, a version, …"),
        "name": (pl.String(), "which, where there are several"),
        "value": (pl.String(), "what it is, in words"),
        "rows": (pl.UInt64(), "how many rows it has, where it is a table"),
        "sha256": (pl.String(), "of its content, in hexadecimal digits, where it has one"),
    },
)

BOOK_FILES: Final = _table(
    "book_files",
    "One row for each file that an update of a book was given.",
    {
        "file": (pl.String(), "as given, or found in the folder given"),
        "what": (
            pl.String(),
            (
                "`new`; `grown`: the book had its beginning; `known`: nothing new; `older copy`: the beginning of what "
                "the book has; `rotated`: known under another name, with `and grown` if there is more; `replaced` or "
                "`truncated`: another log of the same name; `empty`"
            ),
        ),
        "text": (pl.Int64(), "the text of the book that it is now; null if empty"),
        "bytes": (pl.Int64(), "how many were new"),
    },
)

BOOK_SOURCES: Final = _table(
    "book_sources",
    "One row for each text that a book has: the content of a log as far as it was read.",
    {
        "text": (pl.Int64(), "its number, in the order in which texts came"),
        "file": (pl.String(), "the name that its file had last"),
        "servers": (pl.List(pl.String()), "license servers whose lines it has"),
        "bytes": (pl.Int64(), "how long it is, unpacked"),
        "first": (TIME, "instant of its first line; null if nothing dates it"),
        "last": (TIME, "instant of its last line"),
        "first_update": (pl.Int64(), "the update that brought it"),
        "last_update": (pl.Int64(), "the last one that found it changed or moved"),
    },
)

BOOK_UPDATES: Final = _table(
    "book_updates",
    "One row for each update of a book that came to its end.",
    {
        "update": (pl.Int64(), "its number, from 1"),
        "ended_at": (TIME, "when it ended"),
        "seconds": (pl.Float64(), "how long it took"),
        "as_of": (TIME, "the last event of the book: until then open sessions last"),
        "full": (pl.Boolean(), "whether all texts were read"),
        "sessions_new": (pl.Int64(), "sessions that it found"),
        "sessions_changed": (pl.Int64(), "sessions that were there and changed, such as by their check-in"),
        "sessions_removed": (pl.Int64(), "sessions that are no more"),
        "charges_new": (pl.Int64(), "charges that it wrote"),
        "charges_removed": (pl.Int64(), "charges that it took away; one that changed is in both"),
        "corrections": (pl.Int64(), "rows that it added to the corrections"),
    },
)

BOOK_CORRECTIONS: Final = _table(
    "book_corrections",
    "One row for each charge of a book that was final and is otherwise, or that came after its time was final.",
    {
        "update": (pl.Int64(), "the update that made the change"),
        "why": (pl.String(), "what was new in it: files, or other terms"),
        "what": (pl.String(), "`late`: it was not there; `withdrawn`: it is no more; `changed`"),
        "user": (pl.String(), "who pays"),
        "product": (pl.String(), "product line"),
        "server": (pl.String(), "license server"),
        "charged_at": (TIME, "instant of the charge"),
        "usage_date": (pl.Date(), "as in the charges"),
        "tokens_before": (TOKENS, "what it was; null if it was not there, or had no rate"),
        "tokens_after": (TOKENS, "what it is; null if it is no more, or has no rate"),
        "trigger_before": (pl.String(), "what had made it fall due; null if it was not there"),
        "trigger_after": (pl.String(), "what makes it fall due; null if it is no more"),
    },
)

BOOK_STATEMENTS: Final = _table(
    "book_statements",
    "One row for each of the vendor's exports that a book has.",
    {
        "statement": (pl.Int64(), "its number; exports that came in one call have one"),
        "added_at": (TIME, "when it was added"),
        "file": (pl.String(), "as given, or found in the folder given, with its sheet in brackets"),
        "kinds": (pl.List(pl.String()), "which of the vendor's exports its rows stand in"),
        "first": (pl.Date(), "first day that it says something of; null if its rows name no day"),
        "last": (pl.Date(), "last day"),
        "rows": (pl.Int64(), "how many it has"),
        "rows_current": (pl.Int64(), "how many of them count: for the others a later statement says what there is"),
        "tokens": (TOKENS, "in all, of those that count"),
    },
)

BOOK_SERVERS: Final = _table(
    "book_servers",
    "One row for each license server of a book.",
    {
        "server": (pl.String(), "license server"),
        "texts": (pl.Int64(), "how many texts have lines of it"),
        "bytes": (pl.Int64(), "of these texts, unpacked"),
        "first": (TIME, "instant of their first line; null if nothing dates them"),
        "last": (TIME, "instant of their last line: a server that has gone silent stays behind the others"),
        "last_event": (TIME, "its last event"),
        "final_until": (TIME, "charges before it are final; null if nothing is certain yet"),
        "sessions": (pl.Int64(), "how many it has"),
        "open_sessions": (pl.Int64(), "how many of them have not ended"),
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
    "statement": STATEMENT,
    "statement_sessions": STATEMENT_SESSIONS,
    "lmstat_snapshots": LMSTAT_SNAPSHOTS,
    "lmstat_features": LMSTAT_FEATURES,
    "lmstat_checkouts": LMSTAT_CHECKOUTS,
    "lmstat_reservations": LMSTAT_RESERVATIONS,
    "lmstat_sessions": LMSTAT_SESSIONS,
    "lmstat_coverage": LMSTAT_COVERAGE,
    "rlm_sessions": RLM_SESSIONS,
    "rlm_denials": RLM_DENIALS,
    "aliases": ALIASES,
    "persons": PERSONS,
    "suggestions": SUGGESTIONS,
    "groups": GROUPS,
    "catalog": CATALOG,
    "column_guess": COLUMN_GUESS,
    "double_charges": DOUBLE_CHARGES,
    "user_zones": USER_ZONES,
    "inferred_zones": INFERRED_ZONES,
    "avoidable_charges": AVOIDABLE_CHARGES,
    "avoidable_summary": AVOIDABLE_SUMMARY,
    "zone_whatif": ZONE_WHATIF,
    "placement": PLACEMENT,
    "rule_comparison": RULE_COMPARISON,
    "rule_fits": RULE_FITS,
    "rule_deciding": RULE_DECIDING,
    "ledger": LEDGER,
    "corrections": CORRECTIONS,
    "bookings": BOOKINGS,
    "balances": BALANCES,
    "expiring": EXPIRING,
    "burn": BURN,
    "cost": COST,
    "chargeback": CHARGEBACK,
    "reconciliation": RECONCILIATION,
    "reconciliation_summary": RECONCILIATION_SUMMARY,
    "dispute_cases": DISPUTE_CASES,
    "dispute_sessions": DISPUTE_SESSIONS,
    "dispute_rows": DISPUTE_ROWS,
    "dispute_lines": DISPUTE_LINES,
    "dispute_sources": DISPUTE_SOURCES,
    "reconciliation_changes": RECONCILIATION_CHANGES,
    "reconciliation_changes_summary": RECONCILIATION_CHANGES_SUMMARY,
    "vendor_corrections": VENDOR_CORRECTIONS,
    "idle": IDLE,
    "harvest": HARVEST,
    "harvest_replay": HARVEST_REPLAY,
    "held": HELD,
    "concurrency": CONCURRENCY,
    "capacity": CAPACITY,
    "heat_map": HEAT_MAP,
    "judged_denials": JUDGED_DENIALS,
    "denial_summary": DENIAL_SUMMARY,
    "inactive": INACTIVE,
    "forecast_history": FORECAST_HISTORY,
    "forecast_days": FORECAST_DAYS,
    "forecast_groups": FORECAST_GROUPS,
    "forecast_backtest": FORECAST_BACKTEST,
    "scenario_paths": SCENARIO_PATHS,
    "purchase_tried": PURCHASE_TRIED,
    "planned_purchases": PLANNED_PURCHASES,
    "plan_scenarios": PLAN_SCENARIOS,
    "top_ups": TOP_UPS,
    "newsvendor": NEWSVENDOR,
    "estimate": ESTIMATE,
    "estimate_products": ESTIMATE_PRODUCTS,
    "model_costs": MODEL_COSTS,
    "model_products": MODEL_PRODUCTS,
    "model_users": MODEL_USERS,
    "break_even": BREAK_EVEN,
    "sensitivity": SENSITIVITY,
    "turning_points": TURNING_POINTS,
    "held_tokens": HELD_TOKENS,
    "charge_ledger": CHARGE_LEDGER,
    "consumption": CONSUMPTION,
    "daily_peaks": DAILY_PEAKS,
    "coverage_days": COVERAGE_DAYS,
    "products_without_rate": PRODUCTS_WITHOUT_RATE,
    "rate_changes": RATE_CHANGES,
    "report_answers": REPORT_ANSWERS,
    "report_actions": REPORT_ACTIONS,
    "report_cube": REPORT_CUBE,
    "report_contents": REPORT_CONTENTS,
    "report_provenance": REPORT_PROVENANCE,
    "book_files": BOOK_FILES,
    "book_sources": BOOK_SOURCES,
    "book_updates": BOOK_UPDATES,
    "book_corrections": BOOK_CORRECTIONS,
    "book_statements": BOOK_STATEMENTS,
    "book_servers": BOOK_SERVERS,
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


def units(tokens: Decimal) -> int:
    """Tokens in units of 1/10,000."""
    return int(tokens.scaleb(4))


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
