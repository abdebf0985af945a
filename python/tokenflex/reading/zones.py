"""Local times to instants, with one stated policy where a clock was changed.

A time that the clock skipped is moved forward by the gap, as if the clock had not been set; of a time that the clock
showed twice the first is taken. Both are marked, so that a reader can tell of each row.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

import polars as pl

from tokenflex import _core, tables
from tokenflex.errors import ArgumentTypeError


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

    def doubts(self, what: str, zone: str) -> tuple[tuple[pl.Series, str, str], ...]:
        """What to tell of the times: for each kind of doubt the rows, the code and the message."""
        return (
            (self.in_gap, "time_in_gap", f"{what} was skipped by the clock of {zone}: moved forward by the gap"),
            (self.in_fold, "time_in_fold", f"{what} was shown twice by the clock of {zone}: taken as the first"),
        )


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
    """Instants of the local times (Datetime without a zone) of one zone, by the bundled zone database."""
    marked = local.cast(pl.Datetime("us")).dt.replace_time_zone("UTC").alias("local")
    found = tables.finish(_core.instants(marked.to_frame(), zone), _INSTANTS)
    return Instants(found["time"].alias(local.name), found["in_gap"], found["in_fold"])


def local_times(times: pl.Series, zones: pl.Series) -> pl.Series:
    """What the clock in each row's zone shows at each instant, marked as if it were UTC; null without a zone."""
    rows = pl.DataFrame([times.cast(tables.TIME).alias("time"), zones.cast(pl.String).alias("zone")])
    rows = rows.with_row_index("row")
    shown = [tables.empty({"row": pl.UInt32(), "local": tables.TIME})]
    for (zone,), part in rows.drop_nulls(["time", "zone"]).partition_by("zone", as_dict=True).items():
        local = pl.DataFrame(_core.local_times(part.select("time"), str(zone)))
        shown.append(part.select("row").hstack(local))
    return rows.join(pl.concat(shown), on="row", how="left", maintain_order="left")["local"]


_INSTANTS: Final = {"time": tables.TIME, "in_gap": pl.Boolean(), "in_fold": pl.Boolean()}
