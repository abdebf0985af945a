"""Any Arrow table in: the caller's object, cut down to the columns that a verb reads, never copied or changed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, runtime_checkable

import polars as pl

from tokenflex import _core

if TYPE_CHECKING:
    from collections.abc import Sequence


@runtime_checkable
class ArrowTable(Protocol):
    """A table of any library that speaks Arrow's PyCapsule interface: polars, pyarrow, pandas, DuckDB."""

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        """The table as a stream of Arrow batches."""


AnyTable: TypeAlias = ArrowTable | pl.LazyFrame
"""What every verb takes for a table."""


def columns_of(table: AnyTable, columns: Sequence[str]) -> ArrowTable:
    """The table with those of the columns that it has, where its library can say so without a copy.

    What is missing or no table at all is left for the compiled part to refuse: its errors name column and type.
    """
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
    coded: dict[str, tuple[object, object]] = {}
    for column in selected.iter_columns():
        if column.dtype == pl.Categorical:
            codes, first_rows = _core.dense_codes(column.to_physical().alias("physical").to_frame())
            names = column.gather(pl.DataFrame(first_rows)["row"]).cast(pl.String)
            coded[column.name] = codes, names.alias("name").to_frame()
    return selected.drop(coded), coded
