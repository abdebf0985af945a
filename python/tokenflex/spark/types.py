"""Tables of tokenflex as Arrow and as Spark know them, on the driver and in tasks alike."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import polars as pl
import pyarrow as pa

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tokenflex.tables import Schema

_KNOWN: Final[dict[type[pl.DataType], tuple[Any, str]]] = {
    pl.Boolean: (pa.bool_(), "boolean"),
    pl.Date: (pa.date32(), "date"),
    pl.Datetime: (pa.timestamp("us", "UTC"), "timestamp"),
    pl.Duration: (pa.duration("us"), "interval day to second"),
    pl.Float64: (pa.float64(), "double"),
}
_NAMES: Final = (pl.String, pl.Categorical, pl.Enum)


def _types(dtype: pl.DataType) -> tuple[Any, str]:
    """A type as Arrow and as Spark have it. Spark has neither categories nor whole numbers without a sign."""
    if isinstance(dtype, pl.Decimal):
        return pa.decimal128(dtype.precision, dtype.scale), f"decimal({dtype.precision},{dtype.scale})"
    if isinstance(dtype, pl.List):
        inner, name = _types(dtype.inner if isinstance(dtype.inner, pl.DataType) else dtype.inner())
        return pa.list_(inner), f"array<{name}>"
    if isinstance(dtype, _NAMES):
        return pa.string(), "string"
    if dtype.is_integer():
        return pa.int64(), "bigint"
    return _KNOWN[type(dtype)]


def spark_schema(schema: Schema) -> str:
    """The columns of a table as Spark declares them."""
    return ", ".join(f"`{name}` {_types(dtype)[1]}" for name, dtype in schema.items())


def arrow_schema(schema: Schema) -> Any:  # noqa: ANN401 - a schema of pyarrow's, which has no types
    """The same as Arrow declares them."""
    return pa.schema([(name, _types(dtype)[0]) for name, dtype in schema.items()])


def batches_of(frame: pl.DataFrame, schema: Schema) -> Iterator[Any]:
    """A frame as batches that Spark takes for this table."""
    names = [name for name, dtype in schema.items() if isinstance(dtype, _NAMES)]
    lists = [name for name, dtype in schema.items() if isinstance(dtype, pl.List)]
    plain = frame.select(list(schema)).with_columns(
        pl.col(names).cast(pl.String), pl.col(lists).cast(pl.List(pl.String))
    )
    yield from plain.to_arrow().cast(arrow_schema(schema)).combine_chunks().to_batches()


def in_utc(table: Any) -> Any:  # noqa: ANN401 - a table or a batch of pyarrow's
    """The same table; instants, which Spark hands over in the zone of the session, are in UTC, whatever that is."""
    fields = [
        field.with_type(pa.timestamp(field.type.unit, "UTC"))
        if pa.types.is_timestamp(field.type) and field.type.tz is not None
        else field
        for field in table.schema
    ]
    return table.cast(pa.schema(fields))


def polars_of(table: Any) -> pl.DataFrame:  # noqa: ANN401 - see `in_utc`
    """A table or batch of pyarrow's as a frame."""
    frame = pl.from_arrow(in_utc(table))
    assert isinstance(frame, pl.DataFrame)  # noqa: S101 - for the type checker: it is a table
    return frame
