"""Signs of life: when a user was seen at work in a session."""

from __future__ import annotations

from datetime import timedelta

import polars as pl

from tokenflex import tables
from tokenflex.arrow import AnyTable, columns_of
from tokenflex.metering.charge import charge
from tokenflex.metering.meter import ACTIVITY, READS
from tokenflex.metering.rates import Rates
from tokenflex.metering.rule import Rule
from tokenflex.usage.activity import joined


def with_signs(touches: pl.DataFrame, activity: pl.DataFrame | None, rule: Rule) -> pl.DataFrame:
    """Adds to each touch what activity tells of its session.

    Returns:
        The touches with `is_known` (activity of this user, host and product was recorded, then too), `is_quiet` (none
        in the touch), `seen` (the last sign before the touch; the session's start is one), and `again` (from when on
        the session is in use after the window, null if it is not).
    """
    goes_on = pl.when("runs_on").then("until")
    if activity is None or activity.is_empty():
        never = pl.lit(value=False)
        return touches.with_columns(is_known=never, is_quiet=never, seen=pl.col("start"), again=goes_on)
    who = touches.select("user", "host", "product").unique().with_row_index("who")
    of_whom = touches.join(who, on=["user", "host", "product"], how="left", nulls_equal=True, maintain_order="left")
    known = (
        activity.join(who, on="user", how="inner", suffix="_of")
        .filter(
            pl.col("host").is_null() | (pl.col("host") == pl.col("host_of")),
            pl.col("product").is_null() | (pl.col("product") == pl.col("product_of")),
        )
        .drop("user", "host", "product", "host_of", "product_of")
    )
    signed = _by_instants(of_whom, known) if "time" in known.columns else _by_stretches(of_whom, known, rule)
    has_rows = pl.col("who").is_in(known["who"].unique().implode())
    waits = has_rows & pl.lit(rule.idle_after is not None)
    is_known = has_rows
    if "time" in activity.columns:
        # Where nobody's activity was recorded, none says nothing.
        first, last = activity["time"].min(), activity["time"].max()
        is_known &= (pl.col("from") >= first) & (pl.col("to") <= last)
        signed = signed.with_columns(pl.max_horizontal("seen", pl.lit(first)).alias("seen"))
    return (
        signed.with_columns(
            is_known=is_known,
            is_quiet=is_known & pl.col("is_quiet"),
            seen=pl.when(is_known).then(pl.max_horizontal("start", "seen")).otherwise("start"),
            # Idle use is not charged, so what is left begins where use resumes.
            again=pl.when(waits).then(pl.when(pl.col("resumes") < pl.col("end")).then("resumes")).otherwise("until"),
        )
        .with_columns(again=pl.when("runs_on").then("again"))
        .drop("who", "resumes")
    )


def activity_of(activity: AnyTable | None) -> pl.DataFrame | None:
    """Activity as text and instants, without rows that say nothing; refused if it is none that `charge` would take."""
    if activity is None:
        return None
    nothing = tables.empty(tables.SESSIONS).select(READS)
    rule = Rule(window="rolling", idle_after=timedelta(minutes=1))
    charge(nothing, rule=rule, rates=Rates({}), activity=activity)
    frame = pl.DataFrame(columns_of(activity, ACTIVITY))
    times = ["time"] if "time" in frame.columns else ["start", "end"]
    names = {
        name: pl.col(name).cast(pl.String) if name in frame.columns else pl.lit(None, pl.String)
        for name in ("user", "host", "product")
    }
    return frame.select(*[pl.col(name).cast(tables.TIME) for name in times], **names).drop_nulls(["user", *times])


def _by_instants(touches: pl.DataFrame, known: pl.DataFrame) -> pl.DataFrame:
    seen = known.select("who", "time").unique().sort("time")
    for name, left, strategy, exact in (
        ("seen", "from", "backward", False),
        ("next", "from", "forward", True),
        ("resumes", "until", "forward", True),
    ):
        touches = touches.sort(left).join_asof(
            seen.select("who", pl.col("time").alias(name)),
            left_on=left,
            right_on=name,
            by="who",
            strategy=strategy,  # type: ignore[arg-type] # one of the three above
            allow_exact_matches=exact,
            check_sortedness=False,
            coalesce=False,
        )
    is_quiet = pl.col("next").is_null() | (pl.col("next") >= pl.col("to"))
    return touches.with_columns(is_quiet=is_quiet).drop("next")


def _by_stretches(touches: pl.DataFrame, known: pl.DataFrame, rule: Rule) -> pl.DataFrame:
    idle = joined(known)
    idle_after = rule.idle_after or timedelta(0)
    waiting = joined(known.with_columns(pl.col("start") + idle_after))
    touches = _in_island(_in_island(touches, idle, "from", "before", exact=False), idle, "from", "at", exact=True)
    touches = _in_island(touches, waiting, "until", "wait", exact=True)
    return touches.with_columns(
        seen=pl.when(pl.col("before_end") >= pl.col("from")).then("before_start").otherwise("from"),
        is_quiet=(pl.col("at_end") >= pl.col("to")).fill_null(value=False),
        resumes=pl.when(pl.col("wait_end") > pl.col("until")).then("wait_end").otherwise("until"),
    ).drop("before_start", "before_end", "at_start", "at_end", "wait_start", "wait_end")


def _in_island(touches: pl.DataFrame, islands: pl.DataFrame, at: str, name: str, *, exact: bool) -> pl.DataFrame:
    """Adds the last island that begins at an instant or, unless `exact`, before it."""
    starts = islands.select("who", pl.col("start").alias(f"{name}_start"), pl.col("end").alias(f"{name}_end"))
    return touches.sort(at).join_asof(
        starts.sort(f"{name}_start"),
        left_on=at,
        right_on=f"{name}_start",
        by="who",
        allow_exact_matches=exact,
        check_sortedness=False,
        coalesce=False,
    )
