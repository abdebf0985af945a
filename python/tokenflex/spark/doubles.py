"""The verb `double_charges` on Spark."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import polars as pl
import pyarrow as pa
from pyspark.sql import functions as fn

import tokenflex as tf
from tokenflex import tables
from tokenflex.audit.doubles import MORNING, QUARTER, Asked, second_charges
from tokenflex.audit.evidence import check_period
from tokenflex.audit.lines import CHARGED, OPTIONAL, Basis
from tokenflex.audit.people import identity_of, is_dated, persons_by_name
from tokenflex.errors import ArgumentError, ArgumentTypeError, ColumnValueError, MissingColumnError
from tokenflex.metering.rates import Rates
from tokenflex.metering.rule import DAY, Rule
from tokenflex.spark import frames, tasks
from tokenflex.spark.charging import charge
from tokenflex.spark.problems import Problems, checked
from tokenflex.spark.tasks import NUMBER, PART
from tokenflex.spark.types import batches_of, polars_of, spark_schema
from tokenflex.times import checked_duration

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from datetime import timedelta

    from pyspark.sql import DataFrame

    from tokenflex.reading.identity import Identity
    from tokenflex.reading.user_zones import Users

EVIDENCE: Final = ("user", "product", "start", "end", "host", "end_reason")
"""The columns of sessions that are evidence."""
_PERSON: Final = "__tokenflex_person"
_SHOWN: Final = "__tokenflex_shown_"
"""How columns of sessions begin where they lie beside those of charges."""


def double_charges(
    charges: DataFrame,
    *,
    users: Users,
    day_start: timedelta = MORNING,
    sessions: DataFrame | None = None,
    rule: Rule | None = None,
    rates: Rates | None = None,
    servers: Mapping[str, str] | None = None,
    identity: Identity | None = None,
    variants: Mapping[str, str] | None = None,
    reconnect_within: timedelta = QUARTER,
    row: str | None = None,
    problems: Problems | None = None,
) -> DataFrame:
    """Every second charge to one person for one product within one working day, as `tokenflex.double_charges` finds it.

    All charges of a person, and with `sessions` all sessions of a person, are in one task, though not those of more
    persons than fill a batch.

    Args:
        charges: Charges of `charge` (`tables.CHARGES`); or sessions, which are charged first, by `rule`, `rates` and
            `servers`. A statement of the vendor is for one machine: take `tokenflex.double_charges`.
        users: As for `tokenflex.double_charges`.
        day_start: As for `tokenflex.double_charges`.
        sessions: As for `tokenflex.double_charges`: the sessions that were charged, by the same `row`.
        rule: The rule of the charges. Has to be given, and without products that are metered by machine.
        rates: As for `tokenflex.double_charges`.
        servers: As for `tokenflex.double_charges`.
        identity: As for `tokenflex.double_charges`, without dates.
        variants: As for `tokenflex.double_charges`.
        reconnect_within: As for `tokenflex.double_charges`.
        row: The column that numbers the sessions, as for `charge`, where there are sessions.
        problems: Collects what cannot be judged. Has to be given.

    Returns:
        The charges that are not the first of their working day, see `tables.DOUBLE_CHARGES`, in no order. `charge` and
        `first_charge` are places among the charges in order of `charged_at`, then `session`.

    Raises:
        ArgumentTypeError: `charges` or `sessions` are no DataFrame of Spark, or `problems` is missing.
        ArgumentError: What Spark cannot do: a statement, machine-metered products, an identity with dates; charges
            without `rule`; or as for `tokenflex.double_charges`.
        ZoneError, MissingColumnError, ColumnTypeError: As for `tokenflex.double_charges`, when it is called.

    Example:
        >>> import tokenflex as tf, tokenflex.spark as tfs
        >>> sessions = spark.sql('''
        ...     select 'mei' user, 'ACD' product, 'nyc' server,
        ...            timestamp'2026-07-13T01:00:00Z' start, timestamp'2026-07-13T10:00:00Z' end
        ... ''')
        >>> found = tfs.double_charges(
        ...     sessions, users={"mei": "Asia/Singapore"}, problems=tfs.Problems(),
        ...     rule=tf.TOKEN_FLEX, rates=tf.Rates({"ACD": 7}), servers={"nyc": "America/New_York"})
        >>> found.select("user", "cause", "tokens", "is_claimable").collect()
        [Row(user='mei', cause='server_midnight', tokens=Decimal('7.0000'), is_claimable=False)]
    """
    found = checked(problems, "double_charges")
    frames.checked_frame(charges, "charges")
    asked = Asked(
        users=users,
        day_start=checked_duration(day_start, "day_start", below=DAY),
        basis=Basis(rule, rates, servers),
        identity=identity_of(identity),
        variants=variants,
        within=checked_duration(reconnect_within, "reconnect_within"),
    )
    _refuse_unknown(charges, asked)
    if "charged_at" not in charges.columns:
        if rule is None or rates is None:
            raise ArgumentError("sessions have to be charged first: pass rule= and rates=, or charges", location="rule")
        if sessions is not None:
            raise ArgumentError(
                "sessions= goes with charges; the first argument are sessions themselves", location="sessions"
            )
        evidence: DataFrame | None = _numbered_sessions(charges, row)
        charges = charge(charges, rule=rule, rates=rates, servers=servers, row=row, problems=found)
    else:
        evidence = None if sessions is None else _numbered_sessions(frames.checked_frame(sessions, "sessions"), row)
        if evidence is not None:
            _check_period(charges, evidence, found)
    lines = _numbered_charges(charges)
    second_charges(
        # Without what only some values are good for.
        frames.sample_of(lines).drop(NUMBER, "session", "category", "trigger", strict=False),
        None if evidence is None else frames.sample_of(evidence).drop(NUMBER),
        asked,
        tf.Problems(),
        is_whole=False,
    )
    both = _together(lines, evidence, asked.identity)
    found.add(frames.mapped(both, tables.PROBLEMS, _unjudged, asked))
    return frames.mapped(both, tables.DOUBLE_CHARGES, _judged, asked)


def _refuse_unknown(charges: DataFrame, asked: Asked) -> None:
    """Says what there is on one machine only."""
    rule, rates = asked.basis.rule, asked.basis.rates
    if {"usage_category", "tokens", "start"} <= set(charges.columns):
        raise ArgumentError(
            "statements are judged on one machine: tokenflex.double_charges(statement.toArrow(), …)", location="charges"
        )
    if rule is None:
        raise ArgumentError("pass rule=, the rule that the charges were made by", location="rule")
    if not isinstance(rule, Rule):
        raise ArgumentTypeError(f"rule has to be a tokenflex.Rule, not {type(rule).__name__}", location="rule")
    if rates is not None and not isinstance(rates, Rates):
        raise ArgumentTypeError(f"rates have to be a tokenflex.Rates, not {type(rates).__name__}", location="rates")
    if rule.machine_metered:
        raise ArgumentError(
            "products that are metered by machine are judged on one machine, since a machine can be of many persons: "
            "tokenflex.double_charges(charges.toArrow(), …)",
            location="rule",
        )
    if is_dated(asked.identity):
        raise ArgumentError(
            "an identity with dates is not taken on Spark: put the users right first, by tokenflex.Identity.apply",
            location="identity",
        )


def _numbered_sessions(sessions: DataFrame, row: str | None) -> DataFrame:
    """The columns that are evidence, with the numbers by which charges speak of sessions."""
    for name in ("user", "start"):
        if name not in sessions.columns:
            raise MissingColumnError(f"column {name!r} is missing in sessions", column=name)
    looked = frames.look(sessions, row=row, as_of=None)
    reads = [frames.column(name) for name in frames.present(sessions, EVIDENCE)]
    return sessions.select(*reads, frames.number_of(sessions, row, looked))


def _numbered_charges(charges: DataFrame) -> DataFrame:
    """The columns that are judged, with their place in the order of `charge`."""
    needed = (*CHARGED, "session")
    lacking = [name for name in needed if name not in charges.columns]
    if lacking:
        raise MissingColumnError(
            f"column {lacking[0]!r} is missing; charges have {', '.join(needed)}", column=lacking[0]
        )
    names = dict.fromkeys([*needed, *OPTIONAL])
    lines = charges.select([frames.column(name) for name in names if name in charges.columns])
    return frames.numbered(lines, ("charged_at", "session"), NUMBER)


def _check_period(charges: DataFrame, evidence: DataFrame, found: Problems) -> None:
    """Refuses sessions of other days than the charges, which takes a look at both."""
    spans = [
        table.agg(fn.min(fn.unix_micros(name)).alias("a"), fn.max(fn.unix_micros(name)).alias("b")).collect()[0]
        for table, name in ((charges, "charged_at"), (evidence, "start"))
    ]
    charged, used = (pl.Series([span["a"], span["b"]], dtype=pl.Int64).cast(tables.TIME) for span in spans)
    told = tf.Problems()
    check_period(charged.to_frame("charged_at"), used.to_frame("start"), told)
    if len(told) > 0:
        spark = charges.sparkSession
        found.add(spark.createDataFrame(told.frame.rows(), spark_schema(tables.PROBLEMS)))


def _together(lines: DataFrame, evidence: DataFrame | None, identity: Identity) -> DataFrame:
    """Charges part by part, by persons; before those of a part the sessions of its persons."""
    parted = _parted(lines, identity)
    if evidence is not None:
        shown = _parted(evidence, identity)
        shown = shown.withColumnsRenamed({name: _SHOWN + name for name in shown.columns if name != PART})
        parted = parted.unionByName(shown, allowMissingColumns=True)
    order = [NUMBER] if evidence is None else [NUMBER, _SHOWN + NUMBER]
    return frames.together(parted, PART, *order)


def _parted(table: DataFrame, identity: Identity) -> DataFrame:
    """The rows with their part: by the person whose spelling the user is."""
    named = frames.mapped(table, frames.with_columns(table.schema, {_PERSON: pl.String()}), _named, identity)
    return named.withColumn(PART, frames.part_of(frames.column(_PERSON))).drop(_PERSON)


def _named(batches: Iterator[Any], identity: Identity) -> Iterator[Any]:
    """The rows with the person; with the user where that is nobody."""
    for batch in batches:
        user = polars_of(pa.Table.from_batches([batch]).select(["user"]))["user"]
        known = persons_by_name(user.drop_nulls().unique().to_list(), identity)
        person = user.replace(list(known), list(known.values())).alias(_PERSON).to_frame()
        column = person.to_arrow().column(_PERSON).combine_chunks().cast(pa.string())
        yield pa.Table.from_batches([batch]).append_column(_PERSON, column).combine_chunks().to_batches()[0]


def _second(table: Any, asked: Asked) -> tuple[pl.DataFrame, pl.DataFrame, pl.Series]:  # noqa: ANN401 - of pyarrow
    """What is found in a piece: second charges, problems, and the numbers of the charges."""
    names = [name for name in table.column_names if name.startswith(_SHOWN)]
    evidence = None
    if names:
        is_shown = pa.compute.is_valid(table.column(_SHOWN + NUMBER))
        evidence = polars_of(table.select(names).filter(is_shown)).rename(lambda name: name.removeprefix(_SHOWN))
        table = table.drop_columns(names).filter(pa.compute.invert(is_shown))
    lines = polars_of(table).drop(PART)
    numbers = tasks.numbers_of(lines)
    lines = lines.drop(NUMBER)
    if evidence is not None:
        places = evidence.select(session=NUMBER).with_row_index("place")
        placed = lines.select("session").join(places, on="session", how="left", maintain_order="left")["place"]
        if placed.null_count() > 0:
            raise ColumnValueError(
                "a charge is of a session that sessions= does not have under its user: give the sessions that were "
                "charged, numbered by the same row=",
                column="session",
            )
        lines = lines.with_columns(placed.alias("session"))
        evidence = evidence.drop(NUMBER)
    problems = tf.Problems()
    second = second_charges(lines, evidence, asked, problems, is_whole=False)
    return second, problems.frame, numbers


def _judged(batches: Iterator[Any], asked: Asked) -> Iterator[Any]:
    """The second charges of each piece."""
    for table in tasks.pieces(batches):
        second, _, numbers = _second(table, asked)
        places = [numbers.gather(second[name]).alias(name) for name in ("first_charge", "charge")]
        yield from batches_of(second.with_columns(places), tables.DOUBLE_CHARGES)


def _unjudged(batches: Iterator[Any], asked: Asked) -> Iterator[Any]:
    """The problems of each piece. Those of a user without a zone are all in one."""
    for table in tasks.pieces(batches):
        _, problems, numbers = _second(table, asked)
        yield from tasks.problems_of(problems, numbers)
