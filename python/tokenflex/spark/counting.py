"""The verb `concurrency` on Spark."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pyspark.sql import functions as fn

import tokenflex as tf
from tokenflex import tables
from tokenflex.spark import frames, tasks
from tokenflex.spark.problems import Problems, checked
from tokenflex.spark.tasks import NUMBER, PART
from tokenflex.spark.types import batches_of, polars_of
from tokenflex.usage.in_use import MEMBERS, checked_by

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    import polars as pl
    from pyspark.sql import DataFrame

    from tokenflex.usage.in_use import By, Count


def concurrency(
    sessions: DataFrame,
    *,
    by: By = ("product",),
    count: Count = "licenses",
    as_of: datetime | None = None,
    row: str | None = None,
    problems: Problems | None = None,
) -> DataFrame:
    """How many licenses are in use from each instant on, as `tokenflex.concurrency` tells it: steps for each group.

    A task holds all sessions of a group, though not of more groups than one. Without groups, `by=()`, that is one task
    which holds all sessions.

    Args:
        sessions: A DataFrame with the columns that `tokenflex.concurrency` reads.
        by: As for `tokenflex.concurrency`.
        count: As for `tokenflex.concurrency`.
        as_of: As for `tokenflex.concurrency`. Unless given, a job looks for the last instant, when this is called.
        row: The column that numbers the sessions, for the problems, as for `charge`.
        problems: Collects rows that cannot be counted. Has to be given.

    Returns:
        The columns of `by` and those of `tables.CONCURRENCY`, in no order; `orderBy(*by, "time")` gives that of
        `tokenflex.concurrency`, but for a group without a name, which comes last there.

    Raises:
        ArgumentTypeError, ArgumentError: As for `charge`; or `by` or `count` is nothing that can be counted by.
        MissingColumnError, ColumnTypeError: As for `tokenflex.concurrency`, when it is called.

    Example:
        >>> import tokenflex.spark as tfs
        >>> sessions = spark.sql('''
        ...     select 'ana' user, 'ACD' product,
        ...            timestamp'2026-07-13T08:00:00Z' start, timestamp'2026-07-13T12:00:00Z' end
        ...     union all select 'ben', 'ACD', timestamp'2026-07-13T09:00:00Z', timestamp'2026-07-13T12:00:00Z'
        ... ''')
        >>> steps = tfs.concurrency(sessions, problems=tfs.Problems())
        >>> [step.in_use for step in steps.orderBy("time").collect()]
        [1, 2, 0]
    """
    found = checked(problems, "concurrency")
    frames.checked_frame(sessions, "sessions")
    names = checked_by(by, tables.CONCURRENCY)
    asked: dict[str, Any] = {"by": names, "count": count}
    member = MEMBERS.get(count)
    optional = [member] if member else ["licenses"]
    reads = frames.present(sessions, list(dict.fromkeys([*names, "start", "end", *optional, "checkouts"])))
    _steps(frames.sample_of(sessions, reads), asked)
    looked = frames.look(sessions, row=row, as_of=as_of)
    taken = sessions.select(
        *(frames.column(name) for name in reads if name != "end"),
        frames.closed(sessions, looked).alias("end"),
        frames.number_of(sessions, row, looked),
    )
    found.add(frames.mapped(taken, tables.PROBLEMS, _uncounted, asked))
    keys = [frames.column(name) for name in names] or [fn.lit(0)]
    parted = frames.together(taken.withColumn(PART, frames.part_of(*keys)), PART, "start", NUMBER)
    schema = dict.fromkeys(names, tables.NAME) | dict(tables.CONCURRENCY)
    return frames.mapped(parted, schema, _counted, asked)


def _steps(frame: pl.DataFrame, asked: dict[str, Any]) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The steps of some sessions, and the problems with them."""
    problems = tf.Problems()
    steps = tf.concurrency(frame, problems=problems, **asked)
    return steps, problems.frame


def _counted(batches: Iterator[Any], asked: dict[str, Any]) -> Iterator[Any]:
    """The steps of each piece."""
    schema = dict.fromkeys(asked["by"], tables.NAME) | dict(tables.CONCURRENCY)
    for table in tasks.pieces(batches):
        steps, _ = _steps(polars_of(table).drop(NUMBER, PART), asked)
        yield from batches_of(steps, schema)


def _uncounted(batches: Iterator[Any], asked: dict[str, Any]) -> Iterator[Any]:
    """The problems of sessions that cannot be counted, which each row says by itself."""
    for table in tasks.joined(batches):
        frame = polars_of(table)
        _, problems = _steps(frame.drop(NUMBER), asked)
        yield from tasks.problems_of(problems, tasks.numbers_of(frame))
