"""The verbs `judge_denials` and `summarize_denials`: which refusals kept somebody from working."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final

import polars as pl

from tokenflex import tables
from tokenflex.arrow import AnyTable, frame_of, refuses_clearly
from tokenflex.errors import ColumnTypeError, MissingColumnError
from tokenflex.problems import Problems, report
from tokenflex.reading.catalog import product_line
from tokenflex.reading.names import is_text
from tokenflex.reading.periods import column_of, instants_of
from tokenflex.times import EPOCH, TOO_LATE, checked_duration
from tokenflex.usage.concurrency import concurrency
from tokenflex.usage.limits import owned_of

if TYPE_CHECKING:
    from collections.abc import Mapping

WITHIN: Final = timedelta(minutes=10)
"""[I]: after that the person did something else."""

_NAMES: Final = ("server", "user", "product", "feature", "host", "reason", "version", "file")
_NOBODY: Final = ""
"""Joins do not match null with null."""

_SAID: Final = {
    "missing_user": "no user: nobody can have been served later",
    "missing_product": "neither product nor feature: left out",
    "missing_time": "no time: left out",
    "time_out_of_range": "a time before 1970 or from 2200 on: left out",
}


@refuses_clearly
def judge_denials(
    denials: AnyTable,
    sessions: AnyTable,
    *,
    within: timedelta = WITHIN,
    limits: Mapping[str, int] | None = None,
    problems: Problems | None = None,
) -> pl.DataFrame:
    """Says of each refusal what became of it: whether the user had the product all the same, or within minutes.

    A license server refuses for many reasons that nobody notices: the program asks for the newest version first, the
    next server has a license, a colleague closes the product a minute later. Real is a refusal after which the user
    did not get the product, in any version and on any server, within `within`.

    Args:
        denials: A table of `tables.DENIALS`, such as `denials` or `read_rlm` gives. Needed are `time`, `user`, and one
            of `product` and `feature`.
        sessions: The sessions of the same logs, of `pair` or `held`: `user`, `product`, `start`, `end`, and `server`
            where there is one.
            Users have to be spelled as in the denials, see `Identity.apply`.
        within: How soon after the refusal a session of the product has to start for it not to be real. A refusal that
            soon after another one of the same user and product is a repetition of it.
        limits: How many licenses are owned, by product; shown beside what was in use.
        problems: Collects rows that cannot be judged, and what `concurrency` tells of the sessions; without it, a
            `TokenflexWarning` tells of them.

    Returns:
        The refusals in their order, see `tables.JUDGED_DENIALS`.

    Raises:
        MissingColumnError, ColumnTypeError, ColumnValueError: A table lacks a column, or has it in a type that cannot
            be taken.
        ArgumentError, ArgumentTypeError: `within` is negative or no duration; a limit is no whole number from 0 on.

    Example:
        >>> import tokenflex as tf, polars as pl
        >>> from datetime import datetime, timezone
        >>> def at(minute): return datetime(2026, 7, 13, 8, minute, tzinfo=timezone.utc)
        >>> denials = pl.DataFrame({
        ...     "time": [at(0), at(1), at(30)], "user": ["ana", "ana", "ben"], "product": ["ACD"] * 3,
        ...     "reason": ["Licensed number of users already reached. (-4,342)"] * 3,
        ... })
        >>> sessions = pl.DataFrame({
        ...     "user": ["eva", "ana"], "product": ["ACD"] * 2, "start": [at(0), at(5)], "end": [at(50), at(40)],
        ... })
        >>> judged = tf.judge_denials(denials, sessions)
        >>> judged.select("user", "outcome", "is_repeat", "reason_code", "in_use").rows()
        [('ana', 'served', False, -4, 1), ('ana', 'served', True, -4, 1), ('ben', 'refused', False, -4, 2)]
    """
    soon = checked_duration(within, "within")
    owned = owned_of(limits)
    refused, bad = _refused(frame_of(denials))
    report(bad, problems, "judge_denials")
    uses = frame_of(sessions)
    by = ("server", "product") if "server" in uses.columns else ("product",)
    steps = concurrency(uses, by=by, problems=problems)
    judged = _before(_after(refused, _used(uses)), soon)
    judged = _beside(judged, steps, by)
    outcome = (
        pl.when(pl.col("had_until") > pl.col("time"))
        .then(pl.lit("in_use"))
        .when(pl.col("served_at") - pl.col("time") <= soon)
        .then(pl.lit("served"))
        .when(pl.col("is_last_attempt").not_())
        .then(pl.lit("retried"))
        .otherwise(pl.lit("refused"))
    )
    judged = judged.with_columns(
        outcome=outcome.cast(pl.Enum(tables.DENIAL_OUTCOMES)),
        wait=pl.col("served_at") - pl.col("time"),
        is_real=outcome == "refused",
        limit=pl.col("product").replace_strict(owned, default=None, return_dtype=pl.UInt32),
    )
    return tables.finish(judged.sort("row"), tables.JUDGED_DENIALS)


@refuses_clearly
def summarize_denials(judged: AnyTable) -> pl.DataFrame:
    """Adds up what `judge_denials` said, by product and reason.

    Args:
        judged: A table of `tables.JUDGED_DENIALS`.

    Returns:
        A row for each product, kind and reason, see `tables.DENIAL_SUMMARY`; those with most real cases first.

    Raises:
        MissingColumnError: The table is not one of `judge_denials`.

    Example:
        >>> import tokenflex as tf, polars as pl
        >>> from datetime import datetime, timezone
        >>> at = datetime(2026, 7, 13, 8, tzinfo=timezone.utc)
        >>> denials = pl.DataFrame({"time": [at] * 2, "user": ["ana", "ben"], "product": ["ACD"] * 2})
        >>> sessions = pl.DataFrame({"user": ["ben"], "product": ["ACD"], "start": [at], "end": [at]})
        >>> judged = tf.judge_denials(denials, sessions)
        >>> tf.summarize_denials(judged).select("product", "denials", "cases", "real").rows()
        [('ACD', 2, 2, 1)]
    """
    frame = frame_of(judged)
    for name in tables.JUDGED_DENIALS:
        column_of(frame, name)
    for name in ("is_real", "is_repeat"):
        if frame.schema[name] != pl.Boolean:
            raise ColumnTypeError(f"column {name!r} is {frame.schema[name]}, but has to be Boolean", column=name)
    frame = frame.select(list(tables.JUDGED_DENIALS)).with_columns(
        pl.col("product", "reason", "user").cast(pl.String), pl.col("kind", "outcome").cast(pl.String)
    )
    is_case = ~pl.col("is_repeat")
    found = frame.group_by("product", "kind", "reason_code", maintain_order=True).agg(
        reason=pl.col("reason").drop_nulls().sort().first(),
        denials=pl.len(),
        cases=is_case.sum(),
        real=(is_case & pl.col("is_real")).sum(),
        users=pl.col("user").n_unique(),
        users_refused=pl.col("user").filter(is_case & pl.col("is_real")).n_unique(),
        first=pl.col("time").min(),
        last=pl.col("time").max(),
        longest_wait=pl.col("wait").filter(pl.col("outcome") == "served").max(),
    )
    ordered = found.sort(
        "real",
        "denials",
        "product",
        "kind",
        "reason_code",
        descending=[True, True, False, False, False],
        nulls_last=True,
    )
    return tables.finish(ordered, tables.DENIAL_SUMMARY)


def _refused(frame: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The refusals with names as text, and the rows that cannot be judged."""
    for name in _NAMES:
        if name in frame.columns and not is_text(frame.schema[name]):
            raise ColumnTypeError(f"column {name!r} is {frame.schema[name]}, but has to be text", column=name)
    column_of(frame, "user")
    if not {"product", "feature"} & set(frame.columns):
        raise MissingColumnError("one of the columns product and feature is needed", column="product")
    time = instants_of(frame, "time")
    rows = pl.DataFrame({"time": time}).with_row_index("row")
    text = [_text(frame, name) for name in _NAMES]
    rows = pl.DataFrame([*rows, *text, *(_other(frame, name) for name in ("kind", "licenses", "why", "line"))])
    last = frame["is_last_attempt"] if frame.schema.get("is_last_attempt") == pl.Boolean else [None] * frame.height
    rows = rows.with_columns(pl.Series("is_last_attempt", last, dtype=pl.Boolean).fill_null(value=True))
    told = pl.col("reason").str.extract(r"\((-?\d{1,9})\b[^()]*\)\s*$", 1).cast(pl.Int32)
    rows = rows.with_columns(
        product=pl.coalesce("product", product_line("feature"), "feature"), reason_code=pl.coalesce("why", told)
    )
    code = (
        pl.when(pl.col("time").is_null())
        .then(pl.lit("missing_time"))
        .when(~pl.col("time").is_between(pl.lit(EPOCH), pl.lit(TOO_LATE), closed="left"))
        .then(pl.lit("time_out_of_range"))
        .when(pl.col("user").is_null())
        .then(pl.lit("missing_user"))
        .when(pl.col("product").is_null())
        .then(pl.lit("missing_product"))
    )
    rows = rows.with_columns(code=code)
    bad = rows.filter(pl.col("code").is_not_null()).select(
        source=pl.lit("denials"),
        location=pl.col("row").cast(pl.UInt64),
        code="code",
        message=pl.col("code").replace_strict(_SAID, return_dtype=pl.String),
    )
    return rows.filter(pl.col("code").is_null()).drop("code").sort("time", "row"), bad


def _text(frame: pl.DataFrame, name: str) -> pl.Series:
    column = frame[name] if name in frame.columns else pl.Series([None] * frame.height, dtype=pl.String)
    return column.cast(pl.String).alias(name)


def _other(frame: pl.DataFrame, name: str) -> pl.Series:
    """A column that is carried along, null where it is of no fitting type."""
    dtype = pl.Int32() if name == "why" else tables.JUDGED_DENIALS[name]
    if name not in frame.columns:
        return pl.Series(name, [None] * frame.height, dtype=dtype)
    column = frame[name]
    return (column.cast(pl.String) if name == "kind" else column).cast(dtype, strict=False).alias(name)


def _used(sessions: pl.DataFrame) -> pl.DataFrame:
    """Who used which product when; rows that do not say it left out, of which `concurrency` tells."""
    for name in ("user", "product"):
        if not is_text(column_of(sessions, name).dtype):
            raise ColumnTypeError(f"column {name!r} is {sessions.schema[name]}, but has to be text", column=name)
    start, end = instants_of(sessions, "start"), instants_of(sessions, "end")
    used = pl.DataFrame([_text(sessions, "user"), _text(sessions, "product"), start, end.fill_null(TOO_LATE)])
    is_asked = (
        sessions["checkouts"] > 0 if _counts_checkouts(sessions) else pl.Series([True]).new_from_index(0, start.len())
    )
    used = used.with_columns(is_asked.alias("is_asked").fill_null(value=True))
    return used.drop_nulls().filter(pl.col("start") <= pl.col("end")).sort("start")


def _counts_checkouts(sessions: pl.DataFrame) -> bool:
    """Whether rows tell how many check-outs they stand for, as those of `held` do: one without any served nobody."""
    return "checkouts" in sessions.columns and sessions.schema["checkouts"].is_integer()


def _after(refused: pl.DataFrame, used: pl.DataFrame) -> pl.DataFrame:
    """When each user got the product next, and until when they had it already."""
    key = ["user", "product"]
    starts = used.filter("is_asked").select(*key, served_at="start")
    served = refused.join_asof(
        starts, left_on="time", right_on="served_at", by=key, strategy="forward", check_sortedness=False
    )
    until = used.select(*key, "start", had_until=pl.col("end").cum_max().over(key))
    return served.join_asof(
        until,
        left_on="time",
        right_on="start",
        by=key,
        strategy="backward",
        allow_exact_matches=False,
        check_sortedness=False,
    )


def _before(refused: pl.DataFrame, soon: timedelta) -> pl.DataFrame:
    """Whether each follows another one of the same user and product."""
    last = pl.col("time").shift(1).over("user", "product")
    return refused.with_columns(is_repeat=(pl.col("time") - last <= soon).fill_null(value=False))


def _beside(refused: pl.DataFrame, steps: pl.DataFrame, by: tuple[str, ...]) -> pl.DataFrame:
    """How many were in use."""
    key = [f"of_{name}" for name in by]
    named = [pl.col(name).cast(pl.String).fill_null(_NOBODY).alias(of) for name, of in zip(by, key, strict=True)]
    right = steps.select(*named, "in_use", since="time").sort("since")
    found = refused.with_columns(named).join_asof(
        right, left_on="time", right_on="since", by=key, strategy="backward", check_sortedness=False
    )
    return found.with_columns(pl.col("in_use").fill_null(0))
