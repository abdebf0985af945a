"""What is known of the licenses of open sessions: handle, display, machine and port of the license server."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import polars as pl

from tokenflex import tables
from tokenflex.arrow import AnyTable, frame_of
from tokenflex.reading.periods import column_of, instants_of
from tokenflex.usage.activity import text_of

if TYPE_CHECKING:
    from datetime import datetime

KEY: Final = ("user", "host", "feature")
FACTS: Final = ("handle", "display", "server_host", "port")
MINUTE: Final = pl.duration(minutes=1)
"""`lmstat` tells of check-outs to the minute."""


def licenses_of(rows: pl.DataFrame, handles: AnyTable | None, as_of: datetime) -> pl.DataFrame:
    """For each session (`row`) what is known of its license; null where it is not known, or has several values.

    Args:
        rows: `row`, `server`, `user`, `host`, `feature`, `start`.
        handles: A table of `tables.EVENTS` or `tables.LMSTAT_CHECKOUTS`.
        as_of: What was later is not looked at.
    """
    nothing = rows.select(
        "row",
        handle=pl.lit(None, pl.UInt64),
        display=pl.lit(None, pl.String),
        server_host=pl.lit(None, pl.String),
        port=pl.lit(None, pl.UInt32),
    )
    if handles is None:
        return nothing
    frame = frame_of(handles)
    for name in (*KEY, "handle", "time"):
        column_of(frame, name)
    held = _held(frame, as_of)
    by = ["server", *KEY] if "server" in frame.columns and rows["server"].null_count() < rows.height else [*KEY]
    matched = rows.select("row", "start", *by).join(held, on=by, how="inner", suffix="_held")
    matched = matched.filter(pl.col("since") >= pl.col("start") - MINUTE)
    one = matched.group_by("row").agg(
        pl.when(pl.col(name).n_unique() == 1).then(pl.col(name).first()).alias(name) for name in FACTS
    )
    return rows.select("row").join(one.select("row", *FACTS), on="row", how="left", maintain_order="left")


def _held(frame: pl.DataFrame, as_of: datetime) -> pl.DataFrame:
    """The licenses that were out, with `since` when."""
    is_log = "kind" in frame.columns
    since = instants_of(frame, "start" if "start" in frame.columns and not is_log else "time").alias("since")
    facts = [
        frame["handle"].cast(pl.UInt64),
        text_of(frame, "display"),
        text_of(frame, "server_host"),
        frame["port"].cast(pl.UInt32) if "port" in frame.columns else pl.Series("port", [None], dtype=pl.UInt32),
    ]
    facts[-1] = facts[-1] if len(facts[-1]) == frame.height else facts[-1].new_from_index(0, frame.height)
    names = [text_of(frame, name) for name in ("server", *KEY)]
    kind = text_of(frame, "kind")
    is_queued = frame["is_queued"].cast(pl.Boolean) if "is_queued" in frame.columns else None
    time = instants_of(frame, "time").alias("time")
    rows = pl.DataFrame([*names, *facts, kind, since, time])
    rows = rows if is_queued is None else rows.filter(~is_queued.fill_null(value=False))
    rows = rows.filter(pl.col("time") <= pl.lit(as_of, tables.TIME)).drop_nulls("handle")
    if not is_log:
        latest = pl.col("time") == pl.col("time").max().over("server")
        return rows.filter(latest).drop("kind", "time")
    # The last that a log says of a handle is that it is out.
    last = rows.filter(pl.col("kind").is_in(["OUT", "IN"])).sort("time", maintain_order=True)
    last = last.group_by("server", *KEY, "handle", maintain_order=True).last()
    return last.filter(pl.col("kind") == "OUT").drop("kind", "time")
