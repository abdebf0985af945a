"""Names that repeat, as codes and the distinct names behind them, so that work is done once for each name."""

from __future__ import annotations

import polars as pl

from tokenflex import _core, tables
from tokenflex.errors import ColumnTypeError


def is_text(dtype: pl.DataType) -> bool:
    """Whether a column of this type holds names: text, or a dictionary of it of any kind; or nothing but nulls."""
    return isinstance(dtype, pl.String | pl.Categorical | pl.Enum | pl.Null)


def coded(column: pl.Series) -> tuple[pl.Series, list[str]]:
    """The code of each row, null where there is no name, and the distinct names in order of first row."""
    if not is_text(column.dtype):
        raise ColumnTypeError(
            f"column {column.name!r} is {column.dtype}, but has to be text: cast it to pl.String", column=column.name
        )
    # Polars casts neither nulls nor categories of another home into ours.
    names = (column if column.dtype == tables.NAME else column.cast(pl.String)).cast(tables.NAME)
    ((codes, first_rows),) = _core.dense_codes(names.to_physical().to_frame())
    distinct = names.gather(pl.DataFrame(first_rows)["row"]).cast(pl.String).to_list()
    code = pl.DataFrame(codes)["code"]
    if names.null_count() > 0:
        code = code.set(names.is_null(), None)
    return code, distinct


def decoded(name: str, names: list[str | None], codes: pl.Series) -> pl.Series:
    """A column of names from codes."""
    if not names:
        return pl.Series(name, [None], dtype=tables.NAME).new_from_index(0, len(codes))
    return pl.Series(name, names, dtype=tables.NAME).gather(codes)
