"""The verb `concurrency`: how many licenses are in use from each instant on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import polars as pl

from tokenflex import _core, tables
from tokenflex.arrow import AnyTable, refuses_clearly
from tokenflex.usage.in_use import in_use

if TYPE_CHECKING:
    from datetime import datetime

    from tokenflex.problems import Problems
    from tokenflex.usage.in_use import By, Count


@refuses_clearly
def concurrency(
    sessions: AnyTable,
    *,
    by: By = ("product",),
    count: Count = "licenses",
    as_of: datetime | None = None,
    problems: Problems | None = None,
) -> pl.DataFrame:
    """How many licenses are in use from each instant on, until the next: a step function for each group.

    A session holds its licenses from `start` until before `end`, so one that ends at an instant and one that starts
    there are not in use together, and a session of zero length is never in use.

    Args:
        sessions: Any Arrow table with `start`, `end` (instants in any unit and zone) and the columns of `by`.
            `licenses` (whole numbers) says how many a session holds; one where it is null or not there. A null `end`
            is a session that is still open. In any order; in order of `start` it is fastest. For licenses give what
            `held` makes of events, since a session of `pair` has the most that it ever held.
        by: Columns of text to group by, such as `"product"`, `"feature"`, `"server"`, `"version"`, `"host"`, `"user"`,
            or your own; empty for all together. Rows without a name are a group of their own, whose name is null.
        count: `"licenses"`; or `"users"` or `"hosts"`: how many different ones have any license of the group, however
            many sessions each has, as tokens are charged.
        as_of: When open sessions end; the last instant in the table unless given.
        problems: Collects rows that cannot be counted; without it, a `TokenflexWarning` tells of them.

    Returns:
        The columns of `by` and those of `tables.CONCURRENCY`, in order of the groups' names, then of `time`. There is
        a row only where the number changes; before a group's first row, and from its last on, it is 0.

    Raises:
        ArgumentError: `by` or `count` is nothing that can be counted by.
        MissingColumnError, ColumnTypeError, ColumnValueError: The table lacks a column, or has it in a type or with
            values that cannot be taken.
        CapacityError: More than 2³² licenses are in use at once.

    Example:
        >>> import tokenflex as tf, polars as pl
        >>> from datetime import datetime, timezone
        >>> def at(hour): return datetime(2026, 7, 13, hour, tzinfo=timezone.utc)
        >>> sessions = pl.DataFrame({
        ...     "user": ["ana", "ana", "ben"], "product": ["ACD"] * 3,
        ...     "start": [at(8), at(9), at(10)], "end": [at(12), at(11), at(12)],
        ... })
        >>> steps = tf.concurrency(sessions)
        >>> [(time.hour, in_use) for time, in_use in steps.select("time", "in_use").rows()]
        [(8, 1), (9, 2), (10, 3), (11, 2), (12, 0)]
        >>> users = tf.concurrency(sessions, count="users")
        >>> [(time.hour, in_use) for time, in_use in users.select("time", "in_use").rows()]
        [(8, 1), (10, 2), (12, 0)]
    """
    given = in_use(sessions, by=by, count=count, as_of=as_of, taken=tables.CONCURRENCY)
    parts, groups, faults = _core.concurrency(given.asked)
    given.report(faults, problems, "concurrency")
    names = pl.DataFrame(groups)
    frames = [
        pl.DataFrame([*_repeated(given.columns(names, lengths["group"]), lengths["rows"]), *steps])
        for lengths, steps in ((pl.DataFrame(runs), tables.finish(steps, tables.CONCURRENCY)) for runs, steps in parts)
    ]
    schema = dict.fromkeys(given.by, tables.NAME) | dict(tables.CONCURRENCY)
    # In parts as they come: nothing is copied.
    return pl.concat(frames, rechunk=False) if frames else tables.empty(schema)


FEW: Final = 10_000
"""Up to so many groups each is a run of its own to be filled."""


def _repeated(columns: list[pl.Series], rows: pl.Series) -> list[pl.Series]:
    """Each value as many times as its group has rows."""
    is_there = rows > 0
    columns, rows = [column.filter(is_there) for column in columns], rows.filter(is_there)
    if rows.is_empty():
        return columns
    if len(rows) > FEW:
        return [column.to_frame().select(pl.all().repeat_by(rows).explode()).to_series() for column in columns]
    return [
        pl.concat([column.new_from_index(place, count) for place, count in enumerate(rows)], rechunk=True)
        for column in columns
    ]
