"""What a user would write instead of `double_charges`: windows over users and products, in polars."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

if TYPE_CHECKING:
    from collections.abc import Mapping


def doubles_in_polars(charges: pl.DataFrame, users: Mapping[str, str]) -> pl.DataFrame:
    """Every charge of a working day, from 04:00 on, that is not the first, and whether its date had been paid.

    One zone after another, since polars converts a column to one zone at a time; then the charge before in each day.
    """
    zones = pl.DataFrame({"user": list(users), "zone": list(users.values())}).with_columns(
        user=pl.col("user").cast(pl.Categorical())
    )
    at = pl.col("charged_at")
    parts = []
    for (zone,), part in (
        charges.join(zones, on="user", maintain_order="left").partition_by("zone", as_dict=True).items()
    ):
        local = at.dt.convert_time_zone(str(zone)).dt.replace_time_zone(None)
        parts.append(part.with_columns(day=local.dt.offset_by("-4h").dt.date()))
    before = pl.col("charged_at", "usage_date").shift(1).over("user", "product", "day").name.prefix("first_")
    found = pl.concat(parts).sort("charged_at").with_columns(before).filter(pl.col("first_charged_at").is_not_null())
    is_claimable = pl.col("usage_date") == pl.col("first_usage_date")
    return found.select("user", "product", "day", "charged_at", "tokens", is_claimable.alias("is_claimable"))
