"""Which use of which sessions lies in which paid window: what an audit of charges stands on.

Everything that the compiled part decides is asked of it. So the days that a session touches are the charges of a
session that pays for itself: no second calendar has to agree with the first.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final

import polars as pl

from tokenflex import tables
from tokenflex.metering.charge import charge
from tokenflex.metering.rates import Rates
from tokenflex.metering.rule import Rule
from tokenflex.problems import Problems
from tokenflex.times import EPOCH, TOO_LATE

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

NAMES: Final = ("user", "product", "server", "host")
PAYER: Final = ("is_machine", "payer", "has_family", "unit", "of_server")


def uses_of(
    frame: pl.DataFrame, found: pl.DataFrame, *, rule: Rule, rates: Rates, as_of: datetime | None
) -> pl.DataFrame:
    """The sessions that can be charged: `row`, names as text, `start`, `end`, and the number of who pays for what.

    Args:
        frame: Sessions as `charge` takes them.
        found: The problems that charging them met.
        rule: The rule.
        rates: The rates, for the families.
        as_of: Until when open sessions are in use.
    """
    named = {name: pl.col(name).cast(pl.String) for name in NAMES if name in frame.columns}
    missing = {name: pl.lit(None, pl.String) for name in NAMES if name not in frame.columns}
    times = [pl.col(name).cast(tables.TIME) for name in ("start", "end")]
    rows = frame.select(*times, **named, **missing).with_row_index("row")
    last = pl.lit(as_of, tables.TIME) if as_of is not None else _last_instant(rows)
    faulty = found.filter(pl.col("source") == "sessions").select(row=pl.col("location").cast(pl.UInt32))
    rows = rows.join(faulty, on="row", how="anti", maintain_order="left")
    # A launch after `as_of` has been seen all the same.
    rows = rows.with_columns(
        end=pl.coalesce("end", pl.max_horizontal("start", last)), is_open=pl.col("end").is_null()
    ).filter(pl.col("end") - pl.col("start") >= rule.min_duration)
    return _keyed(rows, rule, rates)


def _last_instant(rows: pl.DataFrame) -> pl.Expr:
    """The last valid instant of a table, as `charge` takes it."""
    instants = pl.concat([rows["start"], rows["end"].rename("start")])
    return pl.lit(instants.filter((instants >= EPOCH) & (instants < TOO_LATE)).max(), tables.TIME)


def _keyed(rows: pl.DataFrame, rule: Rule, rates: Rates) -> pl.DataFrame:
    families = dict(rates.families()) if rule.incremental else {}
    is_machine = pl.col("product").is_in(sorted(rule.machine_metered))
    rows = rows.with_columns(
        is_machine=is_machine,
        payer=pl.when(is_machine).then("host").otherwise("user"),
        has_family=pl.col("product").is_in(sorted(families)),
        unit=pl.col("product").replace(families),
        of_server=pl.col("server") if rule.scope == "server" else pl.lit("", pl.String),
    )
    keys = rows.select(PAYER).unique(maintain_order=True).with_row_index("key")
    return rows.join(keys, on=PAYER, how="left", maintain_order="left").drop("payer", "has_family", "unit", "of_server")


def windows_of(charges: pl.DataFrame, uses: pl.DataFrame, rule: Rule) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The charges, each with its window, and the windows with what opened them, numbered by key and time.

    Products of one family share a window, so several charges can fall into one.
    """
    mark = pl.col("usage_date" if rule.window == "day" else "window_end").alias("mark")
    own = uses.select("key", "is_machine")[uses["row"].search_sorted(charges["session"])]
    charges = charges.with_row_index("charge").with_columns(mark).hstack(own)
    # Charges are in order of time, and so are those of equal keys.
    number = (pl.col("key").rank("ordinal") - 1).cast(pl.UInt32).alias("window")
    opening = charges.filter(pl.col("category") == "CHARGED").with_columns(number)
    windows = opening.select(
        "window", "key", "mark", "is_machine", "user", "charged_at", "window_end", "trigger", "session"
    )
    if opening.height == charges.height:
        return opening, windows
    numbers = windows.select("window", "key", "mark")
    return charges.join(numbers, on=["key", "mark"], how="left", maintain_order="left"), windows


def touches_of(
    uses: pl.DataFrame,
    windows: pl.DataFrame,
    *,
    rule: Rule,
    servers: Mapping[str, str] | None,
    users: Mapping[str, str] | None,
) -> pl.DataFrame:
    """The use of each session in each of these windows that it touches.

    Returns:
        `window`, `row`, `key`, names, `start` and `end` of the session, `from` and `to` of its use in the window, and
        `until`, where the window ends for it. Days of servers in several zones end at several instants.
    """
    if rule.window == "rolling":
        found = _rolling_touches(uses, windows)
    else:
        found = _day_touches(uses, windows, rule, servers, users)
    return found.with_columns(
        begins=pl.col("from") == pl.col("start"),
        runs_on=pl.col("end") > pl.col("until"),
        to=pl.min_horizontal("end", "until"),
    )


def _rolling_touches(uses: pl.DataFrame, windows: pl.DataFrame) -> pl.DataFrame:
    """Windows of one key follow one another, so a session touches those from its start's to its end's."""
    windows = windows.sort("key", "charged_at").with_row_index("place")
    ends = windows.select("key", first="place", begin="charged_at", at="window_end").sort("at")
    begun = uses.sort("start").join_asof(
        ends,
        left_on="start",
        right_on="at",
        by="key",
        strategy="forward",
        allow_exact_matches=False,
        check_sortedness=False,
    )
    both = (
        begun.filter(pl.col("begin") <= pl.col("end"))
        .drop("begin", "at")
        .sort("end")
        .join_asof(
            windows.select("key", last="place", at="charged_at").sort("at"),
            left_on="end",
            right_on="at",
            by="key",
            allow_exact_matches=False,
            check_sortedness=False,
        )
    )
    until = pl.max_horizontal("first", "last") + 1
    pairs = both.with_columns(place=pl.int_ranges("first", until, dtype=pl.UInt32)).drop("first", "last", "at")
    spans = windows.select("place", "window", begin="charged_at", until="window_end")
    return (
        pairs.explode("place", empty_as_null=False)
        .join(spans, on="place", how="inner")
        .filter((pl.col("begin") < pl.col("end")) | (pl.col("begin") <= pl.col("start")))
        .with_columns(pl.max_horizontal("start", "begin").alias("from"))
        .drop("begin", "place")
    )


def _day_touches(
    uses: pl.DataFrame,
    windows: pl.DataFrame,
    rule: Rule,
    servers: Mapping[str, str] | None,
    users: Mapping[str, str] | None,
) -> pl.DataFrame:
    """What each session would pay if it paid for itself alone: once for each date, at its first touch."""
    uses = _near(uses, windows)
    by_user = rule.needs_zones_of == "user"
    alone = Rule(window="day", zone="server" if by_user else rule.zone, day_start=rule.day_start)
    each = uses.select(
        "start", "end", user=pl.col("row").cast(pl.String), product=pl.lit("x"), server="user" if by_user else "server"
    )
    days = charge(
        each, rule=alone, rates=Rates({"x": 0}), servers=users if by_user else servers, problems=Problems()
    ).select("usage_date", pl.col("charged_at").alias("from"), until="window_end", place=pl.col("session"))
    numbers = windows.select("window", "key", usage_date="mark")
    return (
        days.join(uses.with_row_index("place").with_columns(pl.col("place").cast(pl.UInt64)), on="place", how="inner")
        .join(numbers, on=["key", "usage_date"], how="inner")
        .drop("place", "usage_date")
    )


def _near(uses: pl.DataFrame, windows: pl.DataFrame) -> pl.DataFrame:
    """The sessions that can touch a window by day at all: a local date is not far from the date in UTC."""
    far = timedelta(days=3)
    dates = windows.select("key", at=pl.col("mark").cast(tables.TIME)).sort("at")
    shifted = uses.with_columns(early=pl.col("start") - far).sort("early")
    near = shifted.join_asof(
        dates, left_on="early", right_on="at", by="key", strategy="forward", check_sortedness=False, coalesce=False
    )
    return near.filter(pl.col("at") <= pl.col("end") + far).drop("early", "at")
