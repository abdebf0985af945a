"""What runs inside of Spark's tasks: batches of a partition in, batches of charges or of problems out.

Nothing here knows of Spark. A task is one process, and has one thread of its own: batches stay below the size from
which the compiled part takes a second one.
"""

from __future__ import annotations

import pickle
from typing import TYPE_CHECKING, Any, Final

import polars as pl
import pyarrow as pa

from tokenflex import tables
from tokenflex.errors import ColumnValueError
from tokenflex.metering.meter import Meter
from tokenflex.metering.terms import schema_of, without_rate
from tokenflex.spark.types import batches_of, polars_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

BATCH: Final = 1 << 17
"""About how many rows are handed over at a time."""
NUMBER: Final = "__tokenflex_row"
"""The number of a row in all."""
PART: Final = "__tokenflex_part"
"""Rows of one part can only be looked at together."""
NO_RATE: Final = {"product": pl.String(), "charges": pl.UInt64()}
"""Products that have charges without tokens."""


def on_one_thread(work: Callable[..., Iterator[Any]], *args: object) -> Callable[[Any], Any]:
    """A task as Spark takes it. In its process polars has one thread, as Spark has given it one core.

    polars reads how many threads it may have when it is imported. So the work travels as bytes, and what unpacks them
    is a function without a module, which Spark sends by its content: nothing of tokenflex is imported before it runs.
    """
    pickled = pickle.dumps((work, args))

    def task(batches: Any) -> Any:  # noqa: ANN401 - batches of pyarrow's
        import os  # noqa: PLC0415 - see above
        import pickle  # noqa: PLC0415

        os.environ.setdefault("POLARS_MAX_THREADS", "1")
        work, args = pickle.loads(pickled)  # noqa: S301 - our own bytes, from a few lines above
        return work(batches, *args)

    return task


def joined(batches: Iterator[Any]) -> Iterator[Any]:
    """The batches as tables of about `BATCH` rows."""
    held: list[Any] = []
    rows = 0
    for batch in (each.slice(at, BATCH) for each in batches for at in range(0, each.num_rows or 1, BATCH)):
        held.append(batch)
        rows += batch.num_rows
        if rows >= BATCH:
            yield pa.Table.from_batches(held)
            held, rows = [], 0
    if held:
        yield pa.Table.from_batches(held)


def pieces(batches: Iterator[Any]) -> Iterator[Any]:
    """The batches, which are in order of `PART`, as tables that have each part whole, and about `BATCH` rows."""
    held: list[Any] = []
    rows, before = 0, None
    for batch in batches:
        if batch.num_rows == 0:
            continue
        rows += batch.num_rows
        parts = pl.Series(batch.column(PART))
        begins = int(parts.search_sorted(parts[-1], side="left"))
        is_new = begins > 0 or before != parts[-1]
        if rows >= BATCH and is_new and (begins > 0 or held):
            yield pa.Table.from_batches([*held, batch.slice(0, begins)])
            held, rows = [], batch.num_rows - begins
        else:
            begins = 0
        held.append(batch.slice(begins))
        before = parts[-1]
    if held:
        yield pa.Table.from_batches(held)


def numbers_of(frame: pl.DataFrame) -> pl.Series:
    """The numbers of the rows."""
    numbers = frame[NUMBER].cast(pl.Int64)
    if numbers.null_count() > 0:
        raise ColumnValueError("the column that row= names has no number in some row", column="row")
    return numbers


def charges_of(frame: pl.DataFrame, numbers: pl.Series) -> pl.DataFrame:
    """Charges with the numbers of the sessions in place of their places."""
    return frame.with_columns(numbers.gather(frame["session"]).alias("session"))


def problems_of(faults: pl.DataFrame, numbers: pl.Series) -> Iterator[Any]:
    """Problems of rows with the numbers of the rows in place of their places."""
    return batches_of(faults.with_columns(numbers.gather(faults["location"]).alias("location")), tables.PROBLEMS)


def metered(batches: Iterator[Any], terms: dict[str, Any]) -> Iterator[Any]:
    """Charges of sessions that come in order of time: what is in memory is a batch, and what the meter waits for."""
    meter = Meter(**terms)
    schema = schema_of(terms["rule"])
    # Eight bytes for each session of the task: a window that is renewed speaks of a session of long ago.
    numbers = pl.Series(dtype=pl.Int64)
    for table in joined(batches):
        frame = polars_of(table)
        numbers.append(numbers_of(frame))
        yield from batches_of(charges_of(meter.pushed(frame.drop(NUMBER)).charges, numbers), schema)
    yield from batches_of(charges_of(meter.finished(None).charges, numbers), schema)


def uncharged(batches: Iterator[Any], terms: dict[str, Any]) -> Iterator[Any]:
    """The problems of sessions that cannot be charged, which each row says by itself."""
    for table in joined(batches):
        frame = polars_of(table)
        yield from problems_of(Meter(**terms).pushed(frame.drop(NUMBER)).faults, numbers_of(frame))


def unpriced(batches: Iterator[Any]) -> Iterator[Any]:
    """The problems of products without a rate; a row of `NO_RATE` for each."""
    for batch in batches:
        counted = polars_of(batch)
        yield from batches_of(without_rate(counted.select(list(NO_RATE)).iter_rows()), tables.PROBLEMS)
