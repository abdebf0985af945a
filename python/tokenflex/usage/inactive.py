"""The verb `inactive`: who has not used what for how long, and what was only ever opened for minutes."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from typing import TYPE_CHECKING, Final

import polars as pl

from tokenflex import tables
from tokenflex.arrow import AnyTable, frame_of, refuses_clearly
from tokenflex.errors import ArgumentError, ArgumentTypeError, CapacityError, ColumnTypeError
from tokenflex.problems import Problems, report
from tokenflex.reading.names import is_text
from tokenflex.reading.periods import column_of, instants_of
from tokenflex.times import EPOCH, TOO_LATE, checked_duration, instant_in_data
from tokenflex.usage.in_use import checked_by

if TYPE_CHECKING:
    from datetime import datetime

    from tokenflex.usage.in_use import By

SHORT: Final = timedelta(minutes=15)
_MOST_US: Final = 2**63 - 1

_SAID: Final = {
    "missing_start": "no start: says nothing of use",
    "time_out_of_range": "a time before 1970 or from 2200 on: says nothing of use",
    "end_before_start": "its end comes before its start: says nothing of use",
}


@refuses_clearly
def inactive(
    sessions: AnyTable,
    *,
    by: By = ("user", "product"),
    as_of: datetime | None = None,
    short: timedelta = SHORT,
    users: Iterable[str] | None = None,
    products: Iterable[str] | None = None,
    problems: Problems | None = None,
) -> pl.DataFrame:
    """Says of each user and product when it was used last, how often, and whether ever for more than minutes.

    Args:
        sessions: Any Arrow table with `start`, `end` (instants) and the columns of `by`. A null `end`, and `is_open`
            where there is such a column, say that a session has not ended.
        by: Columns of text: `("user", "product")`, `"user"`, `"product"`, or others.
        as_of: The instant to count days back from; the last one in the table unless given. Sessions that start later
            are left out.
        short: Sessions shorter than this are launches, not work.
        users: Everybody who is assigned; those without any session are rows, too. It needs `"user"` in `by`.
        products: The same of products.
        problems: Collects rows that say nothing; without it, a `TokenflexWarning` tells of them.

    Returns:
        The columns of `by` and those of `tables.INACTIVE`; those never used first, then those not used for longest.

    Raises:
        ArgumentError: `by` is nothing to group by; `users` or `products` are given and are not grouped by.
        MissingColumnError, ColumnTypeError: The table lacks a column, or has it in a type that cannot be taken.
        CapacityError: The use adds up to more than 292 thousand years.

    Example:
        >>> import tokenflex as tf, polars as pl
        >>> from datetime import datetime, timezone
        >>> def at(day, hour, minute=0): return datetime(2026, 7, day, hour, minute, tzinfo=timezone.utc)
        >>> sessions = pl.DataFrame({
        ...     "user": ["ana", "ben"], "product": ["ACD", "ACD"],
        ...     "start": [at(1, 8), at(20, 9)], "end": [at(1, 17), at(20, 9, 5)],
        ... })
        >>> found = tf.inactive(sessions, by="user", as_of=at(31, 18), users=["ana", "ben", "eva"])
        >>> found.select("user", "days_since", "sessions", "is_short_only").rows()
        [('eva', None, 0, None), ('ana', 30, 1, False), ('ben', 11, 1, True)]
    """
    wanted = checked_by(by, tables.INACTIVE)
    if not wanted:
        raise ArgumentError("by is empty: name the columns to tell apart, such as user and product", location="by")
    brief = checked_duration(short, "short")
    known = {"user": _names(users, "users"), "product": _names(products, "products")}
    for name, names in known.items():
        if names is not None and name not in wanted:
            raise ArgumentError(f"{name}s= needs {name!r} in by=", location=f"{name}s")
    frame = frame_of(sessions)
    rows, bad = _rows(frame, wanted)
    report(bad, problems, "inactive")
    at = _as_of(rows, as_of)
    found = _summed(rows.filter(pl.col("start") <= at), wanted, at, brief)
    for name, names in known.items():
        seen = set(found[name].to_list()) if name in wanted else set()
        never = [each for each in names or [] if each not in seen]
        found = pl.concat([found, pl.DataFrame({name: never}, schema={name: pl.String})], how="diagonal")
    found = found.with_columns(
        pl.col("sessions", "short_sessions").fill_null(0),
        pl.col("used").fill_null(timedelta(0)),
        pl.col("is_in_use").fill_null(value=False),
    ).sort("days_since", *wanted, descending=[True] + [False] * len(wanted), nulls_last=[False] + [True] * len(wanted))
    return tables.finish(found, dict.fromkeys(wanted, tables.NAME) | dict(tables.INACTIVE))


def _names(names: object, argument: str) -> list[str] | None:
    if names is None:
        return None
    if isinstance(names, str) or not isinstance(names, Iterable):
        raise ArgumentTypeError(f"{argument} has to be several names, not {type(names).__name__}", location=argument)
    found = list(dict.fromkeys(names))
    if not all(isinstance(name, str) for name in found):
        raise ArgumentTypeError(f"{argument} has to hold names as text", location=argument)
    return found


def _rows(frame: pl.DataFrame, wanted: list[str]) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Uses, and the rows that say nothing of any."""
    for name in wanted:
        if not is_text(column_of(frame, name).dtype):
            raise ColumnTypeError(f"column {name!r} is {frame.schema[name]}, but has to be text", column=name)
    start, end = instants_of(frame, "start"), instants_of(frame, "end")
    is_open = end.is_null()
    if frame.schema.get("is_open") == pl.Boolean:
        is_open |= frame["is_open"].fill_null(value=False)
    names = [frame[name].cast(pl.String) for name in wanted]
    rows = pl.DataFrame([*names, start, end, is_open.alias("still_open")]).with_row_index("row")
    first, late = pl.lit(EPOCH), pl.lit(TOO_LATE)
    start_is_in, end_is_in = (pl.col(name).is_between(first, late, closed="left") for name in ("start", "end"))
    code = (
        pl.when(pl.col("start").is_null())
        .then(pl.lit("missing_start"))
        .when(~start_is_in | ~end_is_in)
        .then(pl.lit("time_out_of_range"))
        .when(pl.col("end") < pl.col("start"))
        .then(pl.lit("end_before_start"))
    )
    rows = rows.with_columns(code=code)
    bad = rows.filter(pl.col("code").is_not_null()).select(
        source=pl.lit("sessions"),
        location=pl.col("row").cast(pl.UInt64),
        code="code",
        message=pl.col("code").replace_strict(_SAID, return_dtype=pl.String),
    )
    return rows.filter(pl.col("code").is_null()).drop("code", "row"), bad


def _as_of(rows: pl.DataFrame, as_of: datetime | None) -> datetime:
    if as_of is not None:
        instant_in_data(as_of, "as_of")
        return as_of
    last = rows.select(pl.max_horizontal(pl.col("start").max(), pl.col("end").max())).item() if rows.height else None
    return last if last is not None else EPOCH


def _summed(rows: pl.DataFrame, wanted: list[str], at: datetime, short: timedelta) -> pl.DataFrame:
    """A row for each group that has a session."""
    now = pl.lit(at).cast(tables.TIME)
    # What is still open has been in use until now; what ends later is in use.
    in_use = (pl.col("end") > now) | (pl.col("still_open") & (pl.col("end").fill_null(at) >= now))
    used = rows.with_columns(in_use=in_use, last=pl.min_horizontal(pl.col("end").fill_null(at), now))
    length = pl.col("last") - pl.col("start")
    is_short = (length < short) & ~pl.col("in_use")
    found = used.group_by(wanted).agg(
        first_use=pl.col("start").min(),
        last_use=pl.col("last").max(),
        sessions=pl.len(),
        short_sessions=is_short.sum(),
        is_short_only=is_short.all(),
        is_in_use=pl.col("in_use").any(),
        used=length.to_physical().cast(pl.Int128).sum(),
    )
    if found.height > 0 and found.select(pl.col("used").max() > _MOST_US).item():
        raise CapacityError("the use of one row adds up to more than 292 thousand years: give fewer sessions at a time")
    return found.with_columns(
        pl.col("used").cast(pl.Int64).cast(pl.Duration("us")),
        days_since=(now - pl.col("last_use")).dt.total_days().cast(pl.Int32),
    )
