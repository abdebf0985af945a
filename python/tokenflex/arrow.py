"""Any Arrow table in: the caller's object, cut down to the columns that a verb reads, never copied or changed."""

from __future__ import annotations

from functools import wraps
from typing import TYPE_CHECKING, Any, Final, ParamSpec, Protocol, TypeAlias, TypeVar, runtime_checkable

import polars as pl

from tokenflex import _core
from tokenflex.errors import TableTypeError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence


P = ParamSpec("P")
R = TypeVar("R")


@runtime_checkable
class ArrowTable(Protocol):
    """A table of any library that speaks Arrow's PyCapsule interface: polars, pyarrow, pandas, DuckDB."""

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        """The table as a stream of Arrow batches."""


AnyTable: TypeAlias = ArrowTable | pl.LazyFrame
"""What every verb takes for a table."""


def columns_of(table: AnyTable, columns: Sequence[str] | None) -> ArrowTable:
    """The table with those of the columns that it has, or all, where its library can say so without a copy.

    What is missing or no table at all is left for the compiled part to refuse: its errors name column and type.
    """
    if columns is None:
        if not isinstance(table, ArrowTable):
            raise TableTypeError(
                "expected a table (polars, pyarrow, pandas, DuckDB or any object with __arrow_c_stream__), "
                f"not {type(table).__name__}"
            )
        return table
    if isinstance(table, pl.LazyFrame):
        present = set(table.collect_schema().names())
        table = table.select([name for name in columns if name in present]).collect()
    if isinstance(table, pl.DataFrame):
        frame = table.select([name for name in columns if name in table.columns])
        # Polars exports its Null type with a buffer that Arrow does not allow there; nulls of any type will do.
        return frame.cast({pl.Null: pl.String})
    library = type(table).__module__.partition(".")[0]
    foreign: Any = table
    selected: ArrowTable = table
    if library == "pandas":
        selected = foreign[[name for name in columns if name in foreign.columns]]
    elif library == "pyarrow" and hasattr(foreign, "column_names") and hasattr(foreign, "select"):
        selected = foreign.select([name for name in columns if name in foreign.column_names])
    return selected


def coded_columns_of(table: AnyTable, columns: Sequence[str]) -> tuple[ArrowTable, dict[str, tuple[object, object]]]:
    """The same, with categorical columns of polars apart, as dense codes and the names behind them.

    Exporting them as Arrow dictionaries would re-encode every row at several times the cost.
    """
    selected = columns_of(table, columns)
    if not isinstance(selected, pl.DataFrame):
        return selected, {}
    named = [column for column in selected.iter_columns() if column.dtype == pl.Categorical]
    if not named:
        return selected, {}
    physical = pl.DataFrame([column.to_physical() for column in named])
    coded: dict[str, tuple[object, object]] = {}
    for column, (codes, first_rows) in zip(named, _core.dense_codes(physical), strict=True):
        names = column.gather(pl.DataFrame(first_rows)["row"]).cast(pl.String)
        coded[column.name] = codes, names.alias("name").to_frame()
    return selected.drop(coded), coded


BATCH: Final = 1 << 20
"""How many rows a batch of a stream has."""


def is_stream(table: object) -> bool:
    """Whether a table comes batch by batch."""
    return isinstance(table, pl.LazyFrame) or _is_reader(table)


def _is_reader(table: object) -> bool:
    return type(table).__module__.partition(".")[0] == "pyarrow" and hasattr(table, "read_next_batch")


def stream_of(table: Any, columns: Sequence[str]) -> Iterator[AnyTable]:  # noqa: ANN401 - see `is_stream`
    """The batches of a stream."""
    if isinstance(table, pl.LazyFrame):
        present = set(table.collect_schema().names())
        selected = table.select([name for name in columns if name in present])
        batch = None
        for batch in selected.collect_batches(chunk_size=BATCH, maintain_order=True):
            yield batch
        if batch is None:
            yield selected.clear().collect()
    else:
        # A batch that is empty tells of missing columns as well.
        yield table.schema.empty_table()
        yield from table


def frame_of(table: AnyTable) -> pl.DataFrame:
    """The whole table as a polars frame; the caller's own is shared, and nobody writes into it."""
    if isinstance(table, pl.LazyFrame):
        return table.collect()
    return table if isinstance(table, pl.DataFrame) else pl.DataFrame(columns_of(table, None))


def refuses_clearly(verb: Callable[P, R]) -> Callable[P, R]:
    """A verb that works on tables in polars: what polars refuses is an error of ours, and so is a panic of polars."""

    @wraps(verb)
    def clear(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return verb(*args, **kwargs)
        except (pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
            raise TableTypeError(f"the table cannot be taken: {error}") from error

    return clear
