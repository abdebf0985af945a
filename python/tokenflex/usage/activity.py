"""What agents recorded of use, as stretches in which nobody touched a product, and which sessions they lie in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import polars as pl

from tokenflex import tables
from tokenflex.arrow import AnyTable, frame_of
from tokenflex.errors import MissingColumnError
from tokenflex.reading.periods import column_of, instants_of
from tokenflex.times import EPOCH, TOO_LATE

if TYPE_CHECKING:
    from datetime import datetime, timedelta

NAMES: Final = ("user", "host", "product")

FAULTS: Final = {
    "missing_user": "no user: says nothing of idle time",
    "missing_start": "no time: says nothing of idle time",
    "time_out_of_range": "a time before 1970 or from 2200 on: says nothing of idle time",
    "end_before_start": "its end comes before its start: says nothing of idle time",
}


@dataclass(frozen=True)
class Activity:
    """Activity, checked.

    Attributes:
        rows: `user`, `host` and `product` as text, and `start` and `end`; of instants both are the instant.
        are_instants: Whether they are instants of activity; else they are idle stretches.
        first: When recording began; None for idle stretches, which say it each for itself.
        last: When it ended.
        problems: Rows that say nothing.
    """

    rows: pl.DataFrame
    are_instants: bool
    first: datetime | None
    last: datetime | None
    problems: pl.DataFrame

    @classmethod
    def of(cls, table: AnyTable, recorded_until: datetime | None) -> Activity:
        """From what `charge` takes as activity."""
        frame = frame_of(table)
        are_instants = "time" in frame.columns
        if not are_instants and not {"start", "end"} <= set(frame.columns):
            raise MissingColumnError(
                "activity needs the column 'time' (instants of activity), or 'start' and 'end' (idle stretches); "
                f"the table has: {', '.join(frame.columns)}",
                column="time",
            )
        column_of(frame, "user")
        times = ("time", "time") if are_instants else ("start", "end")
        start, end = (instants_of(frame, name).alias(to) for name, to in zip(times, ("start", "end"), strict=True))
        rows = pl.DataFrame([*(text_of(frame, name) for name in NAMES), start, end])
        rows, bad = without_faults(rows, "activity", FAULTS)
        rows = rows.drop("row")
        if not are_instants or rows.is_empty():
            return cls(rows, are_instants, None, None, bad)
        first, last = rows.select(first=pl.col("start").min(), last=pl.col("start").max()).row(0)
        return cls(rows, are_instants, first, max(last, recorded_until or last), bad)


def text_of(frame: pl.DataFrame, name: str) -> pl.Series:
    """A column of names as text; nulls where the table has none."""
    if name not in frame.columns:
        return pl.Series(name, [None], dtype=pl.String).new_from_index(0, frame.height)
    return frame[name].cast(pl.String)


def without_faults(rows: pl.DataFrame, source: str, faults: dict[str, str]) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Numbers rows with `user`, `start` and `end` by `row`, and parts those that cannot be used, as problems."""
    rows = rows.with_row_index("row").with_columns(pl.col("row").cast(pl.UInt64))
    early, late = pl.lit(EPOCH, tables.TIME), pl.lit(TOO_LATE, tables.TIME)
    outside = pl.any_horizontal((pl.col(name) < early) | (pl.col(name) >= late) for name in ("start", "end"))
    code = (
        pl.when(pl.col("user").is_null())
        .then(pl.lit("missing_user"))
        .when(pl.col("start").is_null())
        .then(pl.lit("missing_start"))
        .when(outside)
        .then(pl.lit("time_out_of_range"))
        .when(pl.col("end") < pl.col("start"))
        .then(pl.lit("end_before_start"))
    )
    rows = rows.with_columns(code=code)
    bad = rows.filter(pl.col("code").is_not_null()).select(
        source=pl.lit(source),
        location="row",
        code="code",
        message=pl.col("code").replace_strict(faults, return_dtype=pl.String),
    )
    return rows.filter(pl.col("code").is_null()).drop("code"), bad


def spans_by_activity(rows: pl.DataFrame, activity: Activity, least: timedelta) -> tuple[pl.DataFrame, pl.Series]:
    """Where sessions were idle by activity: from the last sign of use to the next, or to the session's end.

    Args:
        rows: Sessions with `row`, names, `start` and `end`.
        activity: What was recorded.
        least: Shorter spans are not looked for.

    Returns:
        `row`, `start` and `end` of the spans, and the rows of which activity tells anything.
    """
    if activity.rows.is_empty():
        return rows.clear().select("row", "start", "end"), rows["row"].clear()
    who = rows.select(NAMES).unique().with_row_index("who")
    known = pl.concat(_of_whom(activity.rows, who, on) for on in (NAMES, NAMES[:2], NAMES[::2], NAMES[:1]))
    quiet = _between(known, activity) if activity.are_instants else joined(known)
    # What is long enough within a session is so by itself.
    quiet = quiet.filter(pl.col("end") - pl.col("start") >= least)
    judged = rows.join(who, on=NAMES, how="inner", nulls_equal=True).filter(
        pl.col("who").is_in(known["who"].unique().implode())
    )
    if activity.are_instants:
        judged = judged.filter(pl.col("end") > activity.first, pl.col("start") < activity.last)
    return _overlaps(judged, quiet), judged["row"]


def _of_whom(rows: pl.DataFrame, who: pl.DataFrame, on: tuple[str, ...]) -> pl.DataFrame:
    """The rows that name exactly these, with everyone whom they are about."""
    named = pl.all_horizontal(pl.col(name).is_not_null() == (name in on) for name in NAMES)
    return rows.filter(named).join(who, on=on, how="inner").select("who", "start", "end")


def _between(seen: pl.DataFrame, activity: Activity) -> pl.DataFrame:
    """What lies between two signs, before the first one and after the last one, as far as was recorded."""
    seen = seen.select("who", "start").sort("who", "start")
    last = pl.lit(activity.last, tables.TIME)
    is_last = pl.col("who") != pl.col("who").shift(-1)
    between = seen.with_columns(
        end=pl.when(is_last.fill_null(value=True)).then(last).otherwise(pl.col("start").shift(-1))
    )
    before = seen.group_by("who").agg(end=pl.col("start").min())
    before = before.select("who", pl.lit(activity.first, tables.TIME).alias("start"), "end")
    return pl.concat([before, between]).filter(pl.col("start") < pl.col("end"))


def joined(stretches: pl.DataFrame) -> pl.DataFrame:
    """Stretches that overlap or touch, as one."""
    stretches = stretches.filter(pl.col("start") < pl.col("end")).sort("who", "start")
    reach = pl.col("end").cum_max().shift(1).over("who")
    begins = (pl.col("start") > reach).fill_null(value=True)
    return (
        stretches.with_columns(island=begins.cum_sum())
        .group_by("who", "island", maintain_order=True)
        .agg(pl.col("start").min(), pl.col("end").max())
        .drop("island")
    )


def _overlaps(sessions: pl.DataFrame, quiet: pl.DataFrame) -> pl.DataFrame:
    """What each session shares with the quiet stretches of its user, host and product, which follow one another."""
    quiet = quiet.sort("who", "start").with_row_index("place")
    spans = sessions.sort("start").join_asof(
        quiet.select("who", first="place", until="end").sort("until"),
        left_on="start",
        right_on="until",
        by="who",
        strategy="forward",
        allow_exact_matches=False,
        check_sortedness=False,
    )
    spans = (
        spans.drop("until", strict=False)
        .sort("end")
        .join_asof(
            quiet.select("who", last="place", since="start").sort("since"),
            left_on="end",
            right_on="since",
            by="who",
            allow_exact_matches=False,
            check_sortedness=False,
        )
        .filter(pl.col("first") <= pl.col("last"))
        .with_columns(place=pl.int_ranges("first", pl.col("last") + 1, dtype=pl.UInt32))
        .select("row", "start", "end", "place")
        .explode("place", empty_as_null=False)
        .join(quiet.select("place", since="start", until="end"), on="place", how="inner")
    )
    return spans.select("row", start=pl.max_horizontal("start", "since"), end=pl.min_horizontal("end", "until")).filter(
        pl.col("start") < pl.col("end")
    )
