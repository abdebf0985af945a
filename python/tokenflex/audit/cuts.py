"""Taking use away: what is left of sessions when all of their use in some windows is cut out, and what that saves."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from tokenflex.metering.charge import charge
from tokenflex.problems import Problems

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import timedelta

    from tokenflex.arrow import AnyTable
    from tokenflex.metering.rates import Rates
    from tokenflex.metering.rule import Rule


def pieces_of(touches: pl.DataFrame) -> pl.DataFrame:
    """What is left of sessions whose use in these windows is cut out.

    Args:
        touches: As of `touches_of`, and `again`: where use goes on after the window, null if it does not.

    Returns:
        `row`, `start` and `end` of each piece, and the windows `before` and `after` it that were cut; either is null
        at an end of the session.
    """
    cuts = touches.sort("row", "from")
    before = cuts.select(
        "row",
        start=pl.when(pl.col("row").is_first_distinct()).then("start").otherwise(pl.col("again").shift(1)),
        end="from",
        before=pl.col("window").shift(1).over("row"),
        after="window",
    )
    last = cuts.filter(pl.col("row").is_last_distinct()).select(
        "row", start="again", end="end", before="window", after=pl.lit(None, pl.UInt32)
    )
    return pl.concat([before, last]).filter(pl.col("start") < pl.col("end")).sort("row", "start")


def whole_cuts(touches: pl.DataFrame, least: timedelta) -> pl.DataFrame:
    """The cuts without those beside a piece that is too short to be charged: they would save more than their window."""
    while True:
        pieces = pieces_of(touches).filter(pl.col("end") - pl.col("start") < least)
        beside = pl.concat([pieces["before"], pieces["after"].rename("before")]).drop_nulls().unique()
        if beside.is_empty():
            return touches
        touches = touches.filter(~pl.col("window").is_in(beside.implode()))


def keys_that_differ(
    touches: pl.DataFrame,
    uses: pl.DataFrame,
    charges: pl.DataFrame,
    *,
    rule: Rule,
    rates: Rates,
    servers: Mapping[str, str] | None,
    users: Mapping[str, str] | None,
    activity: AnyTable | None,
) -> pl.Series:
    """The keys whose charges, after these cuts, are not exactly the ones before less those of the windows cut."""
    keys = touches["key"].unique().implode()
    names = ("key", "user", "product", "server", "host")
    same = uses.filter(pl.col("key").is_in(keys)).select("row", "start", "end", *names, first="start")
    cut = pieces_of(touches).select("row", "start", "end").join(same.drop("start", "end"), on="row", how="inner")
    left = pl.concat([cut, same.join(touches, on="row", how="anti")])
    shares = rule.incremental and len(rates.families()) > 0
    if shares:
        # In the order of the sessions, which decides between products that fall due at one instant.
        left = left.sort("first", "row", "start")
    again = charge(left, rule=rule, rates=rates, servers=servers, users=users, activity=activity, problems=Problems())
    # Outside of families key and instant say which product it is, and at which rate.
    facts = ["charged_at", *(["product", "tokens"] if shares else [])]
    after = again.select(*facts, key=left["key"].gather(again["session"]), count=-1)
    is_cut = pl.col("window").is_in(touches["window"].unique().implode())
    expected = charges.filter(pl.col("key").is_in(keys), ~is_cut).select(*facts, key="key", count=1)
    counted = pl.concat([after, expected]).group_by("key", *facts).agg(pl.col("count").sum())
    return counted.filter(pl.col("count") != 0)["key"].unique()
