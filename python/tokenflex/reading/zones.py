"""Local times to instants, with one stated policy where a clock was changed.

A time that the clock skipped is moved forward by the gap, as if the clock had not been set; of a time that the clock
showed twice the first is taken. Both are marked, so that a reader can tell of each row.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

import polars as pl

from tokenflex import _core
from tokenflex.errors import ArgumentTypeError, ZoneError

DAY: Final = pl.duration(days=1)
"""No clock was ever set forward by more, so a day before a skipped time is no skipped time."""


class Instants(NamedTuple):
    """Local times as instants.

    Attributes:
        times: Instants in UTC; null where the local time is.
        in_gap: Whether the clock skipped the local time.
        in_fold: Whether the clock showed it twice.
    """

    times: pl.Series
    in_gap: pl.Series
    in_fold: pl.Series


def check_zones(timezone: object) -> None:
    """Refuses what is neither an IANA name nor a mapping from server to one.

    Raises:
        ArgumentTypeError: It is something else.
        ZoneError: There is no zone of that name.
    """
    zones = timezone.values() if isinstance(timezone, Mapping) else [timezone]
    for zone in zones:
        if not isinstance(zone, str):
            raise ArgumentTypeError(
                f"timezone has to be an IANA name or a mapping from server to name, not {type(zone).__name__}",
                location="timezone",
            )
        _core.check_zone(zone)


def instants(local: pl.Series, zone: str) -> Instants:
    """Instants of the local times (Datetime without a zone) of one zone."""
    name = _core.check_zone(zone)
    times = _at(local, name, "null")
    odd = (local.is_not_null() & times.is_null()).arg_true()
    nothing = pl.repeat(value=False, n=local.len(), eager=True)
    if odd.len() == 0:
        return Instants(times, nothing, nothing)
    clock = local.gather(odd)
    first = _at(clock, name, "earliest")
    moved = _at(pl.select(clock - DAY).to_series(), name, "latest")
    frame = pl.DataFrame({"first": first, "moved": moved}).select(
        times=pl.coalesce("first", pl.col("moved") + DAY), is_gap=pl.col("first").is_null()
    )
    return Instants(
        times.scatter(odd, frame["times"]),
        nothing.clone().scatter(odd, frame["is_gap"]),
        nothing.clone().scatter(odd, ~frame["is_gap"]),
    )


def _at(local: pl.Series, zone: str, ambiguous: str) -> pl.Series:
    try:
        times = local.dt.replace_time_zone(zone, ambiguous=ambiguous, non_existent="null")  # type: ignore[arg-type]
    except pl.exceptions.PolarsError as error:
        raise ZoneError(f"the time zone {zone!r} is not known to polars: {error}", location=zone) from error
    return times.dt.convert_time_zone("UTC")
