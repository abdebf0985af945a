"""The verbs `charge`, `categorize`, `prepare` and `replay`: from sessions to exact token charges."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import polars as pl

from tokenflex import _core, tables
from tokenflex.arrow import AnyTable, coded_columns_of, frame_of, is_stream, stream_of
from tokenflex.errors import ArgumentError, ArgumentTypeError, ColumnValueError
from tokenflex.metering.at_once import Prepared, charged, encoded, is_read, known_activity
from tokenflex.metering.batches import Tally, in_order
from tokenflex.metering.in_parts import charges_in_parts, fits
from tokenflex.metering.meter import READS, Meter
from tokenflex.metering.terms import found_of, terms_of
from tokenflex.problems import Problems, report
from tokenflex.progress import Progress, watched
from tokenflex.times import instant_in_data

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime

    from tokenflex.metering.rates import Rates
    from tokenflex.metering.rule import Rule
    from tokenflex.metering.terms import Found
    from tokenflex.reading.user_zones import Users


def charge(
    sessions: AnyTable | Prepared,
    *,
    rule: Rule,
    rates: Rates,
    servers: Mapping[str, str] | None = None,
    users: Users | None = None,
    activity: AnyTable | None = None,
    as_of: datetime | None = None,
    problems: Problems | None = None,
) -> pl.DataFrame:
    """Charges sessions by a rule: one row for each window that is paid.

    A user pays a product once in each window, however many sessions, machines, versions and instances there are in it.
    A product in use at a window's end is charged again right there. See `SEMANTICS.md` for each rule with its source.

    Args:
        sessions: Any Arrow table with the columns `user`, `product` (text in any layout), `start`, `end` (instants in
            any unit and zone), and `server` where the rule's days are the server's. A null `end` is a session that is
            still open. `host` is read where the rule has machine-metered products. Other columns are ignored; join
            them to the charges by `session`, the row's number. In any order; in order of `start` it is fastest. Of a
            LazyFrame, such as `pl.scan_parquet` gives, a part at a time is read, and memory has to hold the charges
            only (`scan_charges` does not even hold those); of a pyarrow RecordBatchReader too, which has to be in order
            of `start`. `prepare`d sessions are taken as well.
        rule: What is charged and when: `tf.FLEX`, `tf.TOKEN_FLEX` or your own `tf.Rule`.
        rates: Tokens for each window of each product.
        servers: The IANA zone of each license server, for a rule whose days are the server's.
        users: The IANA zone of each user, for a rule whose days are the user's: a mapping or `tf.UserZones`.
        activity: When products were really used, for a rule with `idle_after`: a table with `user` and `time`, or with
            `user`, `start` and `end` of idle stretches, and with `host` and `product` where they are known. Where
            nothing is known of a user's product, open means in use.
        as_of: Until when open sessions are in use; the last instant in the table unless given.
        problems: Collects what could not be charged or priced; without it, a `TokenflexWarning` tells of it.

    Returns:
        The charges, see `tables.CHARGES`, in order of `charged_at`, then `session`. `tokens` is null where the product
        has no rate at `charged_at`, and a problem says so.

    Raises:
        ZoneError: The rule needs `servers` or `users`, or a zone in it does not exist.
        ArgumentError: `as_of` lies outside of the years that data may have.
        MissingColumnError, ColumnTypeError: The table lacks a column, or has it in a type that cannot be taken.
        ColumnValueError: A reader is not in order of `start`; `row` says where.

    Example:
        >>> import tokenflex as tf, polars as pl
        >>> from datetime import datetime, timezone
        >>> def at(day, hour): return datetime(2026, 7, day, hour, tzinfo=timezone.utc)
        >>> sessions = pl.DataFrame({
        ...     "user": ["ana", "ana"], "product": ["ACD", "ACD"],
        ...     "start": [at(13, 8), at(14, 7)], "end": [at(13, 17), at(14, 17)],
        ... })
        >>> charges = tf.charge(sessions, rule=tf.FLEX, rates=tf.Rates({"ACD": 7}))
        >>> for row in charges.select("charged_at", "trigger", "tokens").iter_rows():
        ...     print(row[0].isoformat(), row[1], row[2])
        2026-07-13T08:00:00+00:00 launch 7.0000
        2026-07-14T08:00:00+00:00 renewal 7.0000
    """
    if is_stream(sessions) and not is_read(activity, rule):
        meter = Meter(rule=rule, rates=rates, servers=servers, users=users)
        streamed = _charge_stream(sessions, meter, as_of)
        if streamed is not None:
            charges, told = streamed
            report(told, problems, "charge")
            return charges
        if isinstance(sessions, pl.LazyFrame) and not fits(sessions):
            tally = Tally()
            terms = {"rule": rule, "rates": rates, "servers": servers, "users": users}
            parts = list(charges_in_parts(sessions, terms, as_of, None, tally))
            report(tally.frame, problems, "charge")
            return pl.concat(parts)
    found = charged(sessions, rule=rule, rates=rates, servers=servers, users=users, activity=activity, as_of=as_of)
    report(found.problems, problems, "charge")
    return found.charges


def _charge_stream(
    sessions: Any,  # noqa: ANN401 - a LazyFrame, or a reader of pyarrow's
    meter: Meter,
    as_of: datetime | None,
) -> tuple[pl.DataFrame, pl.DataFrame] | None:
    """Charges batch by batch, or gives up on a LazyFrame that is not in order: then it has to be sorted as a whole."""
    tally = Tally()
    try:
        parts = list(in_order(stream_of(sessions, READS), meter, as_of, tally))
    except (ArgumentError, ColumnValueError) as error:
        is_disorder = isinstance(error, ColumnValueError) and error.column == "start"
        is_early = isinstance(error, ArgumentError) and error.location == "as_of"
        if isinstance(sessions, pl.LazyFrame) and (is_disorder or is_early):
            return None
        raise
    return pl.concat(parts), tally.frame


def categorize(
    sessions: AnyTable | Prepared,
    *,
    rule: Rule,
    rates: Rates,
    servers: Mapping[str, str] | None = None,
    users: Users | None = None,
    activity: AnyTable | None = None,
    as_of: datetime | None = None,
    problems: Problems | None = None,
) -> pl.DataFrame:
    """Says of each session what became of it under a rule.

    Args:
        sessions: As for `charge`. All its columns are kept.
        rule: As for `charge`.
        rates: As for `charge`.
        servers: As for `charge`.
        users: As for `charge`.
        activity: As for `charge`.
        as_of: As for `charge`.
        problems: As for `charge`.

    Returns:
        The sessions, row by row, with the columns of `tables.OUTCOMES`. The category is CHARGED if the session opened
        or renewed a window, INCREMENTAL if it paid a difference only, FREE if it fell inside a window that was paid,
        CASUAL if it was shorter than the minimum outside of one. `charge` is a row of what `charge` returns for the
        same arguments.

    Raises:
        ArgumentError: The sessions have a column of one of these names already.
        ZoneError, MissingColumnError, ColumnTypeError: As for `charge`.

    Example:
        >>> import tokenflex as tf, polars as pl
        >>> from datetime import datetime, timezone
        >>> def at(hour, minute=0): return datetime(2026, 7, 13, hour, minute, tzinfo=timezone.utc)
        >>> sessions = pl.DataFrame({
        ...     "user": ["ana"] * 3, "product": ["ACD"] * 3,
        ...     "start": [at(8), at(9), at(13)], "end": [at(8, 2), at(10), at(14)],
        ... })
        >>> tf.categorize(sessions, rule=tf.FLEX, rates=tf.Rates({"ACD": 7}))["category"].to_list()
        ['CASUAL', 'CHARGED', 'FREE']
    """
    whole = frame_of(sessions.table if isinstance(sessions, Prepared) else sessions)
    refuse_taken(whole.columns)
    added, found = categorized(
        sessions if isinstance(sessions, Prepared) else whole,
        rule=rule,
        rates=rates,
        servers=servers,
        users=users,
        activity=activity,
        as_of=as_of,
    )
    report(found.problems, problems, "categorize")
    return whole.hstack(added.get_columns())


def refuse_taken(columns: Iterable[str]) -> None:
    """Refuses sessions that have a column of those that `categorize` adds."""
    taken = [name for name in columns if name in tables.OUTCOMES]
    if taken:
        raise ArgumentError(
            f"the sessions have columns named {', '.join(taken)} already: rename them first", location="sessions"
        )


def categorized(
    sessions: AnyTable | Prepared,
    *,
    rule: Rule,
    rates: Rates,
    servers: Mapping[str, str] | None,
    users: Users | None,
    as_of: datetime | None,
    activity: AnyTable | None = None,
) -> tuple[pl.DataFrame, Found]:
    """What `categorize` adds to the sessions, and their charges; for other verbs, which tell of problems themselves."""
    with_activity = is_read(activity, rule)
    terms = terms_of(rule, rates, servers=servers, users=users, with_activity=with_activity)
    outcomes, charged = _core.categorize(
        *encoded(sessions),
        terms=terms,
        as_of=None if as_of is None else instant_in_data(as_of, "as_of"),
        activity=known_activity(activity) if with_activity else None,
    )
    rule_id = pl.Enum([rule.rule_id])
    added = pl.DataFrame(outcomes).with_columns(rule_id=pl.lit(rule.rule_id, dtype=rule_id))
    return tables.finish(added, {**tables.OUTCOMES, "rule_id": rule_id}), found_of(charged, rule)


def prepare(sessions: AnyTable, *, as_of: datetime | None = None) -> Prepared:
    """Encodes sessions once, so that many runs over them cost no more than the runs themselves.

    Args:
        sessions: As for `charge`; its columns `server` and `host` are taken in where it has them.
        as_of: Until when open sessions are in use; the last instant in the table unless given. For every run.

    Returns:
        What every verb takes in place of the sessions.

    Raises:
        MissingColumnError, ColumnTypeError: As for `charge`.

    Example:
        >>> import tokenflex as tf, polars as pl
        >>> from datetime import datetime, timezone
        >>> at = datetime(2026, 7, 13, 8, tzinfo=timezone.utc)
        >>> sessions = pl.DataFrame({"user": ["ana"], "product": ["ACD"], "start": [at], "end": [at]})
        >>> prepared = tf.prepare(sessions)
        >>> len(prepared), tf.charge(prepared, rule=tf.Rule(window="rolling"), rates=tf.Rates({"ACD": 7})).height
        (1, 1)
    """
    until = None if as_of is None else instant_in_data(as_of, "as_of")
    return Prepared(sessions, _core.Prepared(*coded_columns_of(sessions, READS), as_of=until))


def replay(
    prepared: Prepared,
    *,
    rules: Iterable[Rule],
    rates: Rates,
    servers: Mapping[str, str] | None = None,
    users: Users | None = None,
    progress: Progress = None,
) -> pl.DataFrame:
    """Runs many rules over the same sessions: what each would charge in all.

    Args:
        prepared: Sessions that `prepare` encoded.
        rules: The rules.
        rates: As for `charge`, for all rules.
        servers: As for `charge`.
        users: As for `charge`.
        progress: `True` shows a bar on the terminal; a function is called with the rules done and the rules in all.

    Returns:
        A row for each rule, in their order, see `tables.TOTALS`.

    Raises:
        ArgumentTypeError: The sessions are not prepared.
        ZoneError: As for `charge`.

    Example:
        >>> import tokenflex as tf, polars as pl
        >>> from datetime import datetime, timezone
        >>> def at(day, hour): return datetime(2026, 7, day, hour, tzinfo=timezone.utc)
        >>> sessions = pl.DataFrame({
        ...     "user": ["ana"], "product": ["ACD"], "start": [at(13, 20)], "end": [at(14, 2)],
        ... })
        >>> rules = [tf.Rule(window="day", zone=zone) for zone in ("utc", "Asia/Tokyo")]
        >>> tf.replay(tf.prepare(sessions), rules=rules, rates=tf.Rates({"ACD": 7}))["tokens"].to_list()
        [Decimal('14.0000'), Decimal('7.0000')]
    """
    if not isinstance(prepared, Prepared):
        raise ArgumentTypeError(
            f"replay takes sessions that tf.prepare encoded, not {type(prepared).__name__}", location="prepared"
        )
    rules = list(rules)
    terms = [terms_of(rule, rates, servers=servers, users=users, with_activity=False) for rule in rules]
    with watched(progress, "replaying rules", len(rules), counts_bytes=False) as told:
        totals = _core.replay(prepared.inner, terms, progress=told)
    return pl.DataFrame(
        [
            (rule.rule_id, charges, tables.decimal(tokens), missing)
            for rule, (charges, tokens, missing) in zip(rules, totals, strict=True)
        ],
        schema=dict(tables.TOTALS),
        orient="row",
    )
