"""Local times to instants, with one stated policy where the clock was changed.

A time that the clock skipped is moved forward by the gap, as if the clock had not been set; of a time that the clock
showed twice the first is taken. Both are told, so that each reader can name the rows.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import polars as pl

from tokenflex.errors import ZoneError

_LONGEST_GAP: Final = pl.duration(days=1)
"""No clock was ever set forward by more: a day before a skipped time is never skipped itself."""


class Instants(NamedTuple):
    """Local times as instants.

    Attributes:
        times: Instants in UTC, null where the local time is.
        in_gap: Whether the clock skipped the local time.
        in_fold: Whether the clock showed it twice.
    """

    times: pl.Series
    in_gap: pl.Series
    in_fold: pl.Series


def check_zone(zone: str) -> None:
    """Refuses a zone that does not exist.

    Raises:
        ZoneError: There is no zone of that name.
    """
    try:
        pl.Series([None], dtype=pl.Datetime("us")).dt.replace_time_zone(zone)
    except pl.exceptions.PolarsError as error:
        raise ZoneError(
            f"there is no time zone {zone!r}: give an IANA name such as 'Europe/Madrid'", location=zone
        ) from error


def instants(local: pl.Series, zone: str) -> Instants:
    """Instants of the local times of one zone."""
    time = pl.col("local")

    def at(moment: pl.Expr, ambiguous: str) -> pl.Expr:
        return moment.dt.replace_time_zone(zone, ambiguous=pl.lit(ambiguous), non_existent="null").dt.convert_time_zone(
            "UTC"
        )

    frame = local.alias("local").to_frame().with_columns(first=at(time, "earliest"), last=at(time, "latest"))
    in_gap = frame["local"].is_not_null() & frame["first"].is_null()
    if in_gap.any():
        moved = at(time - _LONGEST_GAP, "latest") + _LONGEST_GAP
        frame = frame.with_columns(first=pl.coalesce("first", moved))
    return Instants(frame["first"], in_gap, (frame["first"] != frame["last"]).fill_null(value=False))
