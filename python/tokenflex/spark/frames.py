"""DataFrames of Spark on their way into tasks: rows numbered, open sessions closed, what belongs together in one part.

What has to be known of all rows before any can be charged, how many rows each partition has and which instant is the
last, is looked up at once, in one job over the times; all else is done when the result is read.
"""

from __future__ import annotations

import contextlib
import io
import json
import re
from dataclasses import dataclass
from itertools import accumulate
from typing import TYPE_CHECKING, Any, Final

import polars as pl
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as fn
from pyspark.sql import types as st

from tokenflex.errors import ArgumentError, ArgumentTypeError, ColumnTypeError, MissingColumnError
from tokenflex.spark.tasks import NUMBER, PART, on_one_thread
from tokenflex.spark.types import polars_of, spark_schema
from tokenflex.times import EPOCH, MICROSECOND, TOO_LATE, instant_in_data

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from datetime import datetime

    from tokenflex.metering.terms import Together
    from tokenflex.tables import Schema

PARTS: Final = 1 << 20
"""How many parts there are where rows are brought together by a hash of what they share."""
DAY: Final = 86_400_000_000
_WITHIN: Final = (1 << 33) - 1
"""What of `monotonically_increasing_id` counts the rows of a partition."""
_SHUFFLED: Final = re.compile(r"^[\s:+\-*()\d]*Exchange\b", re.MULTILINE)
_MOVED: Final = (
    "tokenflex: the rows are not divided as they were when they were counted, so their numbers would be others. "
    "Number them yourself, and name the column by row="
)


def checked_frame(table: object, argument: str) -> DataFrame:
    """A DataFrame of Spark, or an error that says what to do."""
    if not isinstance(table, DataFrame):
        raise ArgumentTypeError(
            f"{argument} has to be a DataFrame of Spark, not {type(table).__name__}: for other tables take the verb of "
            "tokenflex, or make one by spark.createDataFrame",
            location=argument,
        )
    if table.isStreaming:
        raise ArgumentError(
            f"{argument} is a stream: a verb needs all rows. Take it in foreachBatch, or feed a tokenflex.Meter",
            location=argument,
        )
    return table


def column(name: str) -> Column:
    """The column of this very name, whatever is in it."""
    return fn.col("`" + name.replace("`", "``") + "`")


def sample_of(table: DataFrame, columns: Iterable[str] | None = None) -> pl.DataFrame:
    """A row made up with its columns, of which a verb refuses the same types as of many rows, before a job has run.

    A column without a value would not do: of nulls nobody asks of which type they are.
    """
    chosen = table if columns is None else table.select([column(name) for name in columns])
    schema = polars_of(chosen.limit(0).toArrow()).schema
    return pl.DataFrame([_one_of(dtype).alias(name) for name, dtype in schema.items()])


def _one_of(dtype: pl.DataType) -> pl.Series:
    """Any value of this type, if there is one that is plain."""
    try:
        return pl.Series([1]).cast(dtype)
    except pl.exceptions.PolarsError:
        return pl.Series([None], dtype=dtype)


def present(table: DataFrame, reads: Sequence[str]) -> list[str]:
    """Those of the columns that the table has."""
    return [name for name in reads if name in table.columns]


@dataclass(frozen=True)
class Looked:
    """What one job says of all rows.

    Attributes:
        counts: How many rows each partition has; none where rows are numbered by the caller.
        last: The last instant, in microseconds, until when open sessions are in use.
    """

    counts: list[int] | None
    last: int | None


def look(table: DataFrame, *, row: str | None, as_of: datetime | None) -> Looked:
    """Looks at partitions and times, as far as the caller does not say what they are."""
    until = None if as_of is None else instant_in_data(as_of, "as_of")
    if row is None:
        _refuse_shuffled(table)
    elif until is not None:
        return Looked(None, until)
    last = fn.max(fn.greatest(_valid(table, "start"), _valid(table, "end")))
    found = table.groupBy(fn.spark_partition_id().alias("place")).agg(fn.count("*").alias("rows"), last.alias("last"))
    rows = found.collect()
    counts = [0] * (1 + max((each["place"] for each in rows), default=-1))
    for each in rows:
        counts[each["place"]] = each["rows"]
    latest = max((each["last"] for each in rows if each["last"] is not None), default=None)
    return Looked(counts if row is None else None, until if until is not None else latest)


def _valid(table: DataFrame, name: str) -> Column:
    """The microseconds of instants that data may have."""
    if name not in table.columns or not isinstance(table.schema[name].dataType, st.TimestampType):
        return fn.lit(None).cast("bigint")
    time = fn.unix_micros(column(name))
    return fn.when((time >= 0) & (time < (TOO_LATE - EPOCH) // MICROSECOND), time)


def _refuse_shuffled(table: DataFrame) -> None:
    """Refuses rows that come in another order each time they are computed: their places are no numbers."""
    told = io.StringIO()
    with contextlib.redirect_stdout(told):
        table.explain()
    if _SHUFFLED.search(told.getvalue()):
        raise ArgumentError(
            "the rows come out of a shuffle, in an order that may differ each time they are computed, so that none has "
            "a number. Name a column that numbers them, by row=, or write them to files first and read these",
            location="row",
        )


def number_of(table: DataFrame, row: str | None, looked: Looked) -> Column:
    """The number of each row: the caller's, or its place in all. A column of `table`, before anything else is done."""
    if row is not None:
        return column(_checked_row(table, row)).cast("bigint").alias(NUMBER)
    counts = looked.counts or []
    offsets = list(accumulate(counts[:-1], initial=0))
    place = fn.spark_partition_id()
    within = fn.monotonically_increasing_id().bitwiseAND(fn.lit(_WITHIN))
    is_counted = within < fn.get(_array(counts), place)
    number = fn.get(_array(offsets), place) + within
    return fn.when(is_counted, number).otherwise(fn.raise_error(fn.lit(_MOVED)).cast("bigint")).alias(NUMBER)


def _array(values: list[int]) -> Column:
    """Numbers as one constant: an array of literals would make a plan as long as itself."""
    return fn.from_json(fn.lit(json.dumps(values)), "array<bigint>")


def _checked_row(table: DataFrame, row: object) -> str:
    if not isinstance(row, str):
        raise ArgumentTypeError(f"row has to be the name of a column, not {type(row).__name__}", location="row")
    if row not in table.columns:
        raise MissingColumnError(f"column {row!r} is missing, which row= names", column=row)
    dtype = table.schema[row].dataType
    is_whole = isinstance(dtype, st.IntegralType) or (isinstance(dtype, st.DecimalType) and dtype.scale == 0)
    if not is_whole:
        raise ColumnTypeError(
            f"column {row!r} is {dtype.simpleString()}, but has to hold whole numbers: it numbers the rows", column=row
        )
    return row


def closed(table: DataFrame, looked: Looked) -> Column:
    """The end of each session; of one that is still open until when it is in use. A launch after that has been seen."""
    end, start = column("end"), column("start")
    if looked.last is None or not isinstance(table.schema["start"].dataType, st.TimestampType):
        return end
    return fn.coalesce(end, fn.greatest(start, fn.timestamp_micros(fn.lit(looked.last))))


def key_of(by: Together) -> Column:
    """Which part a session is in, by who pays and for what."""
    payer, unit = column("user"), column("product")
    if by.by_host:
        payer = fn.when(unit.isin(by.by_host), column("host")).otherwise(payer)
    if by.families:
        families = fn.from_json(fn.lit(json.dumps(by.families)), "map<string,string>")
        unit = fn.coalesce(fn.try_element_at(families, unit), unit)
    return part_of(payer, unit)


def part_of(*columns: Column) -> Column:
    """The part of rows that have these in common."""
    return fn.pmod(fn.xxhash64(*columns), fn.lit(PARTS)).cast("int").alias(PART)


def together(table: DataFrame, *order: str) -> DataFrame:
    """Rows of one part in one partition, which is in this order."""
    return table.repartition(column(PART)).sortWithinPartitions(*(column(name) for name in order))


def with_columns(schema: st.StructType, added: Schema) -> st.StructType:
    """The columns of a DataFrame, whatever they are, and some of ours."""
    ours = st.StructType.fromDDL(spark_schema(added))
    assert isinstance(ours, st.StructType)  # noqa: S101 - for the type checker: several columns are a struct
    return st.StructType([*schema.fields, *ours.fields])


def mapped(
    table: DataFrame, schema: Schema | st.StructType, work: Callable[..., Iterator[Any]], *args: object
) -> DataFrame:
    """What a task makes of each partition."""
    declared = schema if isinstance(schema, st.StructType) else spark_schema(schema)
    return table.mapInArrow(on_one_thread(work, *args), declared)


def numbered(table: DataFrame, order: Sequence[str], name: str) -> DataFrame:
    """Rows with their number in an order that begins with an instant, from 0.

    A window over all rows would run in one task. So the rows of each UTC day are numbered by themselves, and begin with
    how many there are on all days before, of which there are few.
    """
    day = fn.expr(f"unix_micros(`{order[0]}`) div {DAY}L")
    counts = table.groupBy(day.alias("__day")).agg(fn.count("*").alias("__rows"))
    first = fn.coalesce(
        fn.expr("sum(__rows) over (order by __day rows between unbounded preceding and 1 preceding)"), fn.lit(0)
    )
    offsets = counts.select("__day", first.alias("__first"))
    of_day = fn.expr(f"row_number() over (partition by __day order by {', '.join(f'`{each}`' for each in order)})")
    ranked = table.withColumn("__day", day).withColumn("__of_day", of_day)
    number = fn.col("__first") + fn.col("__of_day") - 1
    joined = ranked.join(fn.broadcast(offsets), "__day")
    return joined.withColumn(name, number).drop("__day", "__of_day", "__first")
