"""What a user would write instead of `double_charges`: windows over users and products, in polars."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

if TYPE_CHECKING:
    from collections.abc import Mapping


def doubles_in_polars(charges: pl.DataFrame, users: Mapping[str, str]) -> pl.DataFrame:
    """The second charges of each working day from 04:00 on, what they cost, and whether a midnight or a server did it.

    One zone after another, since polars converts a column to one zone at a time; then the charge before in each day.
    """
    zones = pl.DataFrame({"user": list(users), "zone": list(users.values())}).with_columns(
        user=pl.col("user").cast(pl.Categorical())
    )
    local = pl.col("charged_at")
    parts = [
        part.with_columns(day=local.dt.convert_time_zone(zone).dt.replace_time_zone(None).dt.offset_by("-4h").dt.date())
        for (zone,), part in charges.join(zones, on="user", maintain_order="left")
        .partition_by("zone", as_dict=True)
        .items()
    ]
    key = ["user", "product", "day"]
    before = pl.col("charged_at", "window_end", "server", "usage_date").shift(1).over(key).name.prefix("first_")
    second = pl.concat(parts).sort("charged_at").with_columns(before).filter(pl.col("first_charged_at").is_not_null())
    is_paid = pl.col("usage_date") == pl.col("first_usage_date")
    cause = (
        pl.when(pl.col("server") != pl.col("first_server"))
        .then(pl.lit("two_servers"))
        .when(is_paid)
        .then(pl.lit("unexplained"))
        .otherwise(pl.lit("server_midnight"))
    )
    return second.select(
        "user", "product", "day", "charged_at", "tokens", cause.alias("cause"), gap=local - pl.col("first_window_end")
    )
