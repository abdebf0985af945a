"""The same sessions in every form that users hold them in give the same charges."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import duckdb
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

import tokenflex as tf
from reference import DAY, HOUR, Session
from strategies import frame

SERVERS = {"chi-lic-01": "America/Chicago", "sin-lic-01": "Asia/Singapore"}
RATES = tf.Rates({"ACD": 7, "RVT": "10.5"})
RULES = [tf.FLEX, tf.TOKEN_FLEX]
NAMES = ["user", "product", "server"]
TIMES = ["start", "end"]

# Whole seconds, so that they survive the coarsest unit.
SESSIONS = [
    Session(
        ["ana", "bo", "Zoë Ñandú"][row % 3],
        ["ACD", "RVT"][row % 2],
        datetime(2026, 7, 10, tzinfo=UTC) + row * 5 * HOUR,
        None if row == 20 else datetime(2026, 7, 10, tzinfo=UTC) + row * 5 * HOUR + (row % 5) * 4 * HOUR,
        ["chi-lic-01", "sin-lic-01"][row // 4 % 2],
    )
    for row in range(24)
]

Form = Callable[[pl.DataFrame], Any]


class OnlyStream:
    """A table of a library that nobody has heard of."""

    def __init__(self, table: pl.DataFrame) -> None:
        self._table = table

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        return self._table.__arrow_c_stream__(requested_schema)


def lazy(table: pl.DataFrame) -> Any:
    return table.lazy().filter(pl.col("user").ne_missing("nobody"))


def chunked(table: pl.DataFrame) -> Any:
    return pl.concat([table[:1], table[1:1], table[1:9], table[9:]], rechunk=False)


def sliced(table: pl.DataFrame) -> Any:
    """A slice: its buffers begin before its first row and end after its last."""
    return pl.concat([table[-5:], table, table[:3]], rechunk=True)[5:-3]


def pyarrow_table(table: pl.DataFrame) -> Any:
    return table.to_arrow()


def pyarrow_slice(table: pl.DataFrame) -> Any:
    rows = pa.concat_tables([table[-5:].to_arrow(), table.to_arrow(), table[:3].to_arrow()]).combine_chunks()
    return rows.slice(5, table.height)


def pyarrow_chunks(table: pl.DataFrame) -> Any:
    return pa.Table.from_batches(table.to_arrow().to_batches(max_chunksize=7))


def pyarrow_batch(table: pl.DataFrame) -> Any:
    return table.to_arrow().combine_chunks().to_batches()[0]


def pyarrow_reader(table: pl.DataFrame) -> Any:
    return table.to_arrow().to_reader(max_chunksize=5)


def pandas_frame(table: pl.DataFrame) -> Any:
    return pd.DataFrame(
        {
            **{name: table[name].to_list() for name in NAMES},
            **{name: pd.to_datetime(table[name].to_list(), utc=True) for name in TIMES},
        }
    )


def pandas_categories(table: pl.DataFrame) -> Any:
    return pandas_frame(table).astype(dict.fromkeys(NAMES, "category"))


def pandas_with_another_index(table: pl.DataFrame) -> Any:
    whole = pandas_frame(table)
    return whole.set_index(pd.Index(range(100, 100 + len(whole)), name="ticket"))


def duckdb_relation(table: pl.DataFrame) -> Any:
    connection = duckdb.connect()
    connection.register("sessions", table.to_arrow())
    return connection.sql("select * from sessions")


def categorical(table: pl.DataFrame) -> Any:
    """Codes that begin far from 0: others have used the categories before."""
    pl.Series([f"somebody {row}" for row in range(5_000)], dtype=pl.Categorical)
    return table.with_columns(pl.col(NAMES).cast(pl.Categorical))


def categorical_in_chunks(table: pl.DataFrame) -> Any:
    return chunked(categorical(table))


def categorical_slice(table: pl.DataFrame) -> Any:
    return categorical(pl.concat([table[::-1], table]))[table.height :]


def lazy_categorical(table: pl.DataFrame) -> Any:
    return categorical(table).lazy().filter(pl.col("user").ne_missing("nobody"))


def categories_of_one_byte(table: pl.DataFrame) -> Any:
    kinds = [pl.Categorical(pl.Categories(name, namespace="test", physical=pl.UInt8)) for name in NAMES]
    return table.with_columns(pl.col(name).cast(kind) for name, kind in zip(NAMES, kinds, strict=True))


def enum_of_one_byte(table: pl.DataFrame) -> Any:
    return table.with_columns(
        pl.col(name).cast(pl.Enum([*table[name].drop_nulls().unique(), "nobody"])) for name in NAMES
    )


def enum_of_two_bytes(table: pl.DataFrame) -> Any:
    others = [f"somebody {row}" for row in range(300)]
    return table.with_columns(
        pl.col(name).cast(pl.Enum([*others, *table[name].drop_nulls().unique()])) for name in NAMES
    )


def names_as(kind: pa.DataType) -> Form:
    def cast(table: pl.DataFrame) -> Any:
        result = table.to_arrow()
        for name in NAMES:
            column = pa.array(table[name].to_list(), pa.string())
            result = result.set_column(result.schema.get_field_index(name), name, column.cast(kind))
        return result

    return cast


def dictionary_with(index: pa.DataType, values: pa.DataType) -> Form:
    def cast(table: pl.DataFrame) -> Any:
        result = table.to_arrow()
        for name in NAMES:
            encoded = pa.array(table[name].to_list(), pa.string()).dictionary_encode()
            column = pa.DictionaryArray.from_arrays(encoded.indices.cast(index), encoded.dictionary.cast(values))
            result = result.set_column(result.schema.get_field_index(name), name, column)
        return result

    return cast


def times_as(unit: str, zone: str) -> Form:
    def cast(table: pl.DataFrame) -> Any:
        result = table.to_arrow()
        for name in TIMES:
            column = result[name].cast(pa.timestamp(unit, zone))
            result = result.set_column(result.schema.get_field_index(name), name, column)
        return result

    return cast


FORMS: dict[str, Form] = {
    function.__name__: function
    for function in (
        OnlyStream,
        lazy,
        chunked,
        sliced,
        pyarrow_table,
        pyarrow_slice,
        pyarrow_chunks,
        pyarrow_batch,
        pyarrow_reader,
        pandas_frame,
        pandas_categories,
        pandas_with_another_index,
        duckdb_relation,
        categorical,
        categorical_in_chunks,
        categorical_slice,
        lazy_categorical,
        categories_of_one_byte,
        enum_of_one_byte,
        enum_of_two_bytes,
    )
}
FORMS |= {f"names as {kind}": names_as(kind) for kind in (pa.string(), pa.large_string(), pa.string_view())}
FORMS |= {
    f"dictionary of {values} with {index}": dictionary_with(index, values)
    for index in (
        pa.int8(),
        pa.uint8(),
        pa.int16(),
        pa.uint16(),
        pa.int32(),
        pa.uint32(),
        pa.int64(),
        pa.uint64(),
    )
    for values in (pa.string(), pa.large_string(), pa.string_view())
    if values == pa.large_string() or index in (pa.int8(), pa.int32())
}
FORMS |= {
    f"times in {unit} of {zone}": times_as(unit, zone)
    for unit, zone in itertools.product(("s", "ms", "us", "ns"), ("UTC", "Europe/Madrid", "+05:45"))
}


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.rule_id)
@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_a_table_gives_the_same_charges(form: str, rule: tf.Rule) -> None:
    expected = tf.charge(frame(SESSIONS), rule=rule, rates=RATES, servers=SERVERS)
    assert expected.height > 15
    charges = tf.charge(FORMS[form](frame(SESSIONS)), rule=rule, rates=RATES, servers=SERVERS)
    assert isinstance(charges, pl.DataFrame)
    assert charges.schema == expected.schema
    assert charges.rows() == expected.rows()


@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_a_table_has_the_same_nulls(form: str) -> None:
    """A name that is missing is a problem of its row; a name that no row has is no problem at all."""
    with_nulls = frame(SESSIONS).with_columns(
        pl.when(pl.int_range(pl.len()) % 7 == place).then(None).otherwise(pl.col(name)).alias(name)
        for place, name in enumerate([*NAMES, "start"])
    )
    found = []
    for sessions in (with_nulls, FORMS[form](with_nulls)):
        problems = tf.Problems()
        charges = tf.charge(sessions, rule=tf.TOKEN_FLEX, rates=RATES, servers=SERVERS, problems=problems)
        found.append((charges.rows(), problems.frame.rows()))
    assert found[0] == found[1]
    assert len(found[0][1]) > 10


def test_nanoseconds_count_from_the_microsecond_they_lie_in() -> None:
    start = pa.array([1_783_900_800_000_000_999, 1_783_900_800_000_001_000], pa.timestamp("ns", "UTC"))
    sessions = pa.table({"user": ["ana", "bo"], "product": ["ACD", "ACD"], "start": start, "end": start})
    charges = tf.charge(sessions, rule=tf.Rule(window="rolling"), rates=RATES)
    first = datetime(2026, 7, 13, tzinfo=UTC)
    assert [charged_at - first for charged_at in charges["charged_at"].to_list()] == [
        0 * DAY,
        DAY / 86_400_000_000,
    ]


@pytest.mark.parametrize("unit", ["ms", "us", "ns"])
@pytest.mark.parametrize("column", TIMES)
def test_times_without_a_zone_are_refused(column: str, unit: Any) -> None:
    naive = frame(SESSIONS).with_columns(pl.col(column).dt.replace_time_zone(None).dt.cast_time_unit(unit))
    with pytest.raises(tf.TokenflexError, match="zone") as caught:
        tf.charge(naive, rule=tf.FLEX, rates=RATES)
    assert isinstance(caught.value, (TypeError, ValueError))
    assert caught.value.column == column
    assert column in str(caught.value)


def test_a_reader_is_read_once_and_its_batches_may_differ_in_size() -> None:
    table = frame(SESSIONS)
    batches = [*table[:3].to_arrow().to_batches(), *table[3:].to_arrow().to_batches()]
    schema = batches[0].schema
    reader = pa.RecordBatchReader.from_batches(schema, iter(batches))
    charges = tf.charge(reader, rule=tf.FLEX, rates=RATES)
    assert charges.rows() == tf.charge(table, rule=tf.FLEX, rates=RATES).rows()


def test_an_error_within_a_stream_reaches_the_caller() -> None:
    table = frame(SESSIONS).to_arrow()

    def batches() -> Any:
        yield from table.to_batches(max_chunksize=5)
        raise OSError("the disk is gone")

    reader = pa.RecordBatchReader.from_batches(table.schema, batches())
    with pytest.raises(Exception, match="the disk is gone"):
        tf.charge(reader, rule=tf.FLEX, rates=RATES)


def test_a_lazy_frame_with_an_error_of_its_own_raises_it() -> None:
    with pytest.raises(pl.exceptions.ColumnNotFoundError):
        tf.charge(frame(SESSIONS).lazy().select("nowhere"), rule=tf.FLEX, rates=RATES)
