"""Idle time that is inferred: a product stays open through its user's night, or a day on which nobody sees the user.

A week is divided into nights, free days and working days by the user's own clock: the pieces. A sign of the user is a
launch or a check-in of any product. `confidence` is counted from the user's other pieces, see `docs/idle.md`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import polars as pl

from tokenflex import tables
from tokenflex.reading.zones import instants

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import timedelta

    from tokenflex.usage.rest import Rest

SIGNS_OF_A_DAY: Final = 3
"""A first launch and a last check-in say nothing of the time between them; a third sign does."""


def spans_of_quiet(
    rows: pl.DataFrame, judged: pl.DataFrame, *, homes: Mapping[str, str], rest: Rest, least: timedelta
) -> pl.DataFrame:
    """Where sessions are likely to have been idle.

    Args:
        rows: All sessions, for what they show of their users: `row`, `user`, `start`, `end`, `is_by_hand`.
        judged: Those of them that are judged.
        homes: The zone of each user.
        rest: When nobody is expected at work.
        least: How long a rest has to pass without a sign.

    Returns:
        `row`, `start`, `end`, `source`, `confidence`.
    """
    found = [tables.empty(_SPANS)]
    zone = pl.col("user").replace_strict(dict(homes), default=None, return_dtype=pl.String)
    long = judged.filter(pl.col("end") - pl.col("start") >= least).with_columns(zone=zone).drop_nulls("zone")
    crowd = rows.filter(pl.col("user").is_in(long["user"].unique().implode())).with_columns(zone=zone)
    for (place,), some in long.partition_by("zone", as_dict=True).items():
        of_zone = crowd.filter(pl.col("zone") == place)
        pieces = _pieces(of_zone, rest, str(place))
        signs = _signs(of_zone, pieces)
        found.append(_weighed(_quiet(some, pieces, signs, least), _habits(signs, pieces)))
    return _joined(pl.concat(found))


_SPANS: Final = {
    "row": pl.UInt64(),
    "piece": pl.UInt32(),
    "start": tables.TIME,
    "end": tables.TIME,
    "source": pl.String(),
    "confidence": pl.Float64(),
}


def _pieces(rows: pl.DataFrame, rest: Rest, zone: str) -> pl.DataFrame:
    """The pieces of a zone's calendar around these sessions: `piece`, `begin`, `until`, `kind`."""
    first, last = rows.select(first=pl.col("start").min().dt.date(), last=pl.col("end").max().dt.date()).row(0)
    local = rest.pieces(first, last)
    begin = instants(local["local"], zone).times.alias("begin")
    # A piece that the clock skips as a whole has no length, and none of its own.
    pieces = pl.DataFrame([begin, local["kind"]]).sort("begin", maintain_order=True)
    pieces = pieces.with_columns(until=pl.col("begin").shift(-1)).drop_nulls()
    return pieces.filter(pl.col("begin") < pl.col("until")).with_row_index("piece")


def _signs(rows: pl.DataFrame, pieces: pl.DataFrame) -> pl.DataFrame:
    """When each user launched or gave back anything, and in which piece: `user`, `at`, `piece`."""
    launches, returns = rows.select("user", at="start"), rows.filter("is_by_hand").select("user", at="end")
    signs = pl.concat([launches, returns]).unique().sort("at")
    return signs.with_columns(piece=_piece_at(signs["at"], pieces, "right"))


def _piece_at(times: pl.Series, pieces: pl.DataFrame, side: str) -> pl.Series:
    """The piece that an instant lies in; with `left` the one that ends there rather than the one that begins."""
    places = pieces["begin"].search_sorted(times, side="right" if side == "right" else "left")
    return (places.cast(pl.Int64) - 1).clip(lower_bound=0).cast(pl.UInt32)


def _quiet(judged: pl.DataFrame, pieces: pl.DataFrame, signs: pl.DataFrame, least: timedelta) -> pl.DataFrame:
    """What sessions share with each piece that they run into, up to the first sign of their user in it."""
    first = _piece_at(judged["start"], pieces, "right").alias("first") + 1
    last = _piece_at(judged["end"], pieces, "left").alias("last")
    runs = judged.select("row", "user", session_end="end").with_columns(first, last)
    runs = (
        runs.filter(pl.col("first") <= pl.col("last"))
        .with_columns(piece=pl.int_ranges("first", pl.col("last") + 1, dtype=pl.UInt32))
        .drop("first", "last")
        .explode("piece", empty_as_null=False)
        .join(pieces, on="piece", how="inner")
    )
    # `at` is in order in `signs`, and so it stays for each user.
    runs = runs.sort("begin").join_asof(
        signs.select("user", sign="at"),
        left_on="begin",
        right_on="sign",
        by="user",
        strategy="forward",
        check_sortedness=False,
        coalesce=False,
    )
    end = pl.min_horizontal("session_end", "until", "sign")
    is_whole = (pl.col("kind") == "work") & (end == pl.col("until"))
    is_rest = (pl.col("kind") != "work") & (end - pl.col("begin") >= least)
    return runs.filter(is_whole | is_rest).select(
        "row",
        "user",
        "piece",
        "kind",
        start="begin",
        end=end,
        is_broken=(pl.col("sign") < pl.col("until")).fill_null(value=False),
        source=pl.when(pl.col("kind") == "work").then(pl.lit("gap")).otherwise(pl.lit("rest")),
    )


def _habits(signs: pl.DataFrame, pieces: pl.DataFrame) -> pl.DataFrame:
    """For each user and kind of piece: how many there were from first to last sign, and in how many were signs."""
    kinds = pieces.select("piece", "kind")
    seen = signs.group_by("user", "piece").agg(signs=pl.len()).join(kinds, on="piece", how="inner")
    counted = seen.group_by("user", "kind").agg(
        seen=pl.len(), busy=(pl.col("signs") >= SIGNS_OF_A_DAY).sum().cast(pl.UInt32)
    )
    # How many pieces of a kind lie up to each piece: so a difference counts those between two.
    upto = pieces.select("piece", *(_upto(kind) for kind in ("night", "free", "work")))
    whole = signs.group_by("user").agg(first=pl.col("piece").min(), last=pl.col("piece").max())
    whole = whole.join(upto, left_on="first", right_on="piece", how="left")
    whole = whole.join(upto, left_on="last", right_on="piece", how="left", suffix="_last")
    of_first = whole.join(kinds.rename({"kind": "kind_first"}), left_on="first", right_on="piece", how="left")
    spans = pl.concat(
        of_first.select(
            "user",
            "first",
            "last",
            kind=pl.lit(kind),
            pieces=pl.col(f"{kind}_last") - pl.col(kind) + (pl.col("kind_first") == kind).cast(pl.UInt32),
        )
        for kind in ("night", "free", "work")
    )
    return spans.join(counted, on=["user", "kind"], how="left").with_columns(pl.col("seen", "busy").fill_null(0))


def _upto(kind: str) -> pl.Expr:
    return (pl.col("kind") == kind).cum_sum().cast(pl.UInt32).alias(kind)


def _weighed(spans: pl.DataFrame, habits: pl.DataFrame) -> pl.DataFrame:
    """Adds the confidence: how often what is said of this piece held in the user's other ones."""
    spans = spans.join(habits, on=["user", "kind"], how="left")
    is_own = pl.col("piece").is_between("first", "last").cast(pl.Int64)
    others = pl.col("pieces").cast(pl.Int64) - is_own
    # A rest that a sign broke off is one of those that were seen.
    seen = pl.col("seen").cast(pl.Int64) - pl.col("is_broken").cast(pl.Int64)
    rest = (others - seen) / (others + 1)
    gap = pl.col("busy") / (pl.col("seen") + 1)
    confidence = pl.when(pl.col("kind") == "work").then(gap).otherwise(rest)
    return spans.with_columns(confidence=confidence).select(*_SPANS)


def _joined(spans: pl.DataFrame) -> pl.DataFrame:
    """Spans of one session that touch, as one, with the least of their confidences; a working day makes a gap of it."""
    spans = spans.sort("row", "start")
    follows = (pl.col("row") == pl.col("row").shift(1)) & (pl.col("start") == pl.col("end").shift(1))
    is_gap = (pl.col("source") == "gap").any()
    return (
        spans.with_columns(run=(~follows).fill_null(value=True).cum_sum())
        .group_by("run", maintain_order=True)
        .agg(
            pl.col("row", "start").first(),
            pl.col("end").last(),
            source=pl.when(is_gap).then(pl.lit("gap")).otherwise(pl.lit("rest")),
            confidence=pl.col("confidence").min(),
        )
        .drop("run")
    )
