"""The verbs `charge` and `categorize` on Spark."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import polars as pl
import pyarrow as pa
from pyspark.sql import functions as fn

from tokenflex import tables
from tokenflex.metering.at_once import charged, is_read
from tokenflex.metering.charge import categorized, refuse_taken
from tokenflex.metering.meter import ACTIVITY, READS, Meter
from tokenflex.metering.terms import schema_of, together
from tokenflex.spark import frames, tasks
from tokenflex.spark.problems import Problems, checked
from tokenflex.spark.tasks import NUMBER, PART
from tokenflex.spark.types import batches_of, polars_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from datetime import datetime

    from pyspark.sql import DataFrame

    from tokenflex.metering.rates import Rates
    from tokenflex.metering.rule import Rule
    from tokenflex.reading.user_zones import Users
    from tokenflex.tables import Schema

_END: Final = "__tokenflex_end"
_AT: Final = "__tokenflex_at"
_BY: Final = "__tokenflex_by"
_KNOWN: Final = "__tokenflex_known_"
"""How columns of activity begin where they lie beside those of sessions."""


def charge(
    sessions: DataFrame,
    *,
    rule: Rule,
    rates: Rates,
    servers: Mapping[str, str] | None = None,
    users: Users | None = None,
    activity: DataFrame | None = None,
    as_of: datetime | None = None,
    row: str | None = None,
    problems: Problems | None = None,
) -> DataFrame:
    """Charges sessions by a rule, as `tokenflex.charge` does: one row for each window that is paid.

    Sessions that can share a charge are brought into one partition, in order of time, and a `tokenflex.Meter` charges
    them batch by batch. A task holds a batch, what the meter waits for, and eight bytes for each of its sessions; with
    `activity` it holds all sessions of a user and a product.

    Args:
        sessions: A DataFrame with the columns that `tokenflex.charge` reads.
        rule: As for `tokenflex.charge`.
        rates: As for `tokenflex.charge`.
        servers: As for `tokenflex.charge`.
        users: As for `tokenflex.charge`.
        activity: As for `tokenflex.charge`, as a DataFrame.
        as_of: As for `tokenflex.charge`. Unless given, a job looks for the last instant, when this is called.
        row: The column that numbers the sessions, whole numbers, each once: `session` of the charges is this number,
            and of sessions that start at one instant the one with the least comes first. Unless given, a session's
            number is its place, as it is in a table on one machine: then the sessions are counted first, and have to
            come in the same order each time, as from files.
        problems: Collects what could not be charged or priced. Has to be given.

    Returns:
        The charges, see `tables.CHARGES`, in no order; `orderBy("charged_at", "session")` gives that of
        `tokenflex.charge`. Names are text, whole numbers are `bigint`.

    Raises:
        ArgumentTypeError: `sessions` are no DataFrame of Spark, or `problems` is missing.
        ArgumentError: The sessions come out of a shuffle and `row` is missing; or they are a stream.
        ZoneError, MissingColumnError, ColumnTypeError: As for `tokenflex.charge`, when it is called.

    Example:
        >>> import tokenflex as tf, tokenflex.spark as tfs
        >>> sessions = spark.sql('''
        ...     select 'ana' user, 'ACD' product,
        ...            timestamp'2026-07-13T08:00:00Z' start, timestamp'2026-07-13T17:00:00Z' end
        ... ''')
        >>> problems = tfs.Problems()
        >>> charges = tfs.charge(sessions, rule=tf.FLEX, rates=tf.Rates({"ACD": 7}), problems=problems)
        >>> charges.select("user", "trigger", "tokens").collect()
        [Row(user='ana', trigger='launch', tokens=Decimal('7.0000'))]
        >>> problems.frame.count()
        0
    """
    found = checked(problems, "charge")
    terms: dict[str, Any] = {"rule": rule, "rates": rates, "servers": servers, "users": users}
    known = _checked(sessions, terms, activity)
    looked = frames.look(sessions, row=row, as_of=as_of)
    taken = _taken(sessions, row, looked)
    charges = _charges(taken, terms, known)
    _tell(taken, charges, terms, found)
    return charges


def categorize(
    sessions: DataFrame,
    *,
    rule: Rule,
    rates: Rates,
    servers: Mapping[str, str] | None = None,
    users: Users | None = None,
    activity: DataFrame | None = None,
    as_of: datetime | None = None,
    row: str | None = None,
    problems: Problems | None = None,
) -> DataFrame:
    """Says of each session what became of it under a rule, as `tokenflex.categorize` does.

    What became of a session is known when all that can share its charges has been seen: a task holds all sessions of a
    user and a product, or of a family of products, though not of more. To number the charges these are charged as well;
    the sessions are read three times.

    Args:
        sessions: As for `charge`. All its columns are kept.
        rule: As for `charge`.
        rates: As for `charge`.
        servers: As for `charge`.
        users: As for `charge`.
        activity: As for `charge`.
        as_of: As for `charge`.
        row: As for `charge`. Take one: without it rows cannot be told apart in the result, since they have no order.
        problems: As for `charge`.

    Returns:
        The sessions with the columns of `tables.OUTCOMES`. `charge` is the place of the charge among what `charge`
        returns for the same arguments, in order of `charged_at`, then `session`.

    Raises:
        ArgumentError: The sessions have a column of one of these names already; or as for `charge`.
        ArgumentTypeError, ZoneError, MissingColumnError, ColumnTypeError: As for `charge`.

    Example:
        >>> import tokenflex as tf, tokenflex.spark as tfs
        >>> sessions = spark.sql('''
        ...     select 'ana' user, 'ACD' product,
        ...            timestamp'2026-07-13T08:00:00Z' start, timestamp'2026-07-13T09:00:00Z' end
        ...     union all select 'ana', 'ACD', timestamp'2026-07-13T10:00:00Z', timestamp'2026-07-13T11:00:00Z'
        ... ''')
        >>> outcomes = tfs.categorize(sessions, rule=tf.FLEX, rates=tf.Rates({"ACD": 7}), problems=tfs.Problems())
        >>> [(outcome.category, outcome.charge) for outcome in outcomes.orderBy("start").collect()]
        [('CHARGED', 0), ('FREE', 0)]
    """
    found = checked(problems, "categorize")
    terms: dict[str, Any] = {"rule": rule, "rates": rates, "servers": servers, "users": users}
    known = _checked(sessions, terms, activity)
    refuse_taken(sessions.columns)
    looked = frames.look(sessions, row=row, as_of=as_of)
    taken = _taken(sessions, row, looked)
    charges = _charges(taken, terms, known)
    _tell(taken, charges, terms, found)
    kept = sessions.select("*", frames.number_of(sessions, row, looked), frames.closed(sessions, looked).alias(_END))
    schema = frames.with_columns(sessions.schema, _outcome_schema(rule))
    outcomes = frames.mapped(
        _in_parts(kept, terms, known), schema, _outcomes, terms, sessions.columns, known is not None
    )
    ordered = frames.numbered(charges.select("charged_at", "session"), ("charged_at", "session"), "charge")
    ordered = ordered.withColumnsRenamed({"charged_at": _AT, "session": _BY})
    whole = outcomes.join(ordered, [_AT, _BY], "left")
    return whole.select(*(frames.column(name) for name in sessions.columns), *tables.OUTCOMES)


def _checked(sessions: DataFrame, terms: dict[str, Any], activity: DataFrame | None) -> DataFrame | None:
    """Refuses at once what tasks would refuse, and gives the activity where it counts."""
    frames.checked_frame(sessions, "sessions")
    sample = frames.sample_of(sessions, frames.present(sessions, READS))
    Meter(**terms).pushed(sample)
    if not is_read(activity, terms["rule"]):
        return None
    known = frames.checked_frame(activity, "activity")
    known = known.select([frames.column(name) for name in frames.present(known, ACTIVITY)])
    charged(sample, activity=frames.sample_of(known), as_of=None, **terms)
    return known


def _taken(sessions: DataFrame, row: str | None, looked: frames.Looked) -> DataFrame:
    """The columns that metering reads, with the number of each session; none is open any more."""
    reads = [name for name in frames.present(sessions, READS) if name != "end"]
    return sessions.select(
        *(frames.column(name) for name in reads),
        frames.closed(sessions, looked).alias("end"),
        frames.number_of(sessions, row, looked),
    )


def _charges(taken: DataFrame, terms: dict[str, Any], activity: DataFrame | None) -> DataFrame:
    schema = schema_of(terms["rule"])
    if activity is not None:
        return frames.mapped(_in_parts(taken, terms, activity), schema, _charged, terms)
    by = together(terms["rule"], terms["rates"], taken.columns)
    parted = taken.withColumn(PART, frames.key_of(by))
    return frames.mapped(frames.together(parted, "start", NUMBER).drop(PART), schema, tasks.metered, terms)


def _tell(taken: DataFrame, charges: DataFrame, terms: dict[str, Any], found: Problems) -> None:
    """Problems of sessions, which each says by itself, and of products, counted over all charges."""
    found.add(frames.mapped(taken, tables.PROBLEMS, tasks.uncharged, terms))
    missing = charges.where(fn.col("tokens").isNull()).groupBy("product").agg(fn.count("*").alias("charges"))
    found.add(frames.mapped(missing, tables.PROBLEMS, tasks.unpriced))


def _in_parts(sessions: DataFrame, terms: dict[str, Any], activity: DataFrame | None) -> DataFrame:
    """Sessions part by part; before those of a part all activity of their users."""
    by = together(terms["rule"], terms["rates"], sessions.columns)
    parted = sessions.withColumn(PART, frames.key_of(by))
    if activity is None:
        return frames.together(parted, PART, "start", NUMBER)
    users = parted.select(frames.column("user").alias(f"{_KNOWN}user"), PART).distinct()
    known = activity.withColumnsRenamed({name: f"{_KNOWN}{name}" for name in activity.columns})
    both = parted.unionByName(known.join(users, f"{_KNOWN}user"), allowMissingColumns=True)
    return frames.together(both, PART, "start", NUMBER)


def _divided(table: Any) -> tuple[Any, pl.DataFrame | None]:  # noqa: ANN401 - a table of pyarrow's
    """The sessions of a piece, and its activity."""
    names = [name for name in table.column_names if name.startswith(_KNOWN)]
    if not names:
        return table, None
    is_known = pa.compute.is_valid(table.column(f"{_KNOWN}user"))
    known = polars_of(table.select(names).filter(is_known))
    sessions = table.drop_columns(names).filter(pa.compute.invert(is_known))
    return sessions, known.rename(lambda name: name.removeprefix(_KNOWN))


def _charged(batches: Iterator[Any], terms: dict[str, Any]) -> Iterator[Any]:
    """The charges of each piece."""
    for table in tasks.pieces(batches):
        sessions, known = _divided(table)
        frame = polars_of(sessions)
        charges = charged(frame, activity=known, as_of=None, **terms).charges
        yield from batches_of(tasks.charges_of(charges, tasks.numbers_of(frame)), schema_of(terms["rule"]))


def _outcome_schema(rule: Rule) -> Schema:
    """What is added to sessions in tasks: a charge by its instant and session, since no task knows its number."""
    added = {name: dtype for name, dtype in tables.OUTCOMES.items() if name not in ("charge", "rule_id")}
    return added | {"rule_id": pl.Enum([rule.rule_id]), _AT: tables.TIME, _BY: pl.Int64()}


def _outcomes(
    batches: Iterator[Any],
    terms: dict[str, Any],
    columns: list[str],
    has_activity: bool,  # noqa: FBT001 - sent by place
) -> Iterator[Any]:
    """The sessions of each piece with what became of them."""
    schema = _outcome_schema(terms["rule"])
    for table in tasks.pieces(batches):
        sessions, known = _divided(table)
        reads = [name for name in READS if name in columns and name != "end"]
        frame = polars_of(sessions.select([*reads, _END, NUMBER])).rename({_END: "end"})
        added, found = categorized(frame, activity=known if has_activity else None, as_of=None, **terms)
        charges = tasks.charges_of(found.charges, tasks.numbers_of(frame))
        places = added["charge"]
        added = added.with_columns(
            charges["charged_at"].gather(places).alias(_AT), charges["session"].gather(places).alias(_BY)
        )
        kept = sessions.select(columns)
        for name, values in zip(schema, _columns(added, schema), strict=True):
            kept = kept.append_column(name, values)
        yield from kept.combine_chunks().to_batches()


def _columns(frame: pl.DataFrame, schema: Schema) -> list[Any]:
    return pa.Table.from_batches(batches_of(frame, schema)).columns if frame.height else []
