"""The chapter of consumption: tokens by period, product, user, group, site, server and version, and the cube."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Final

import polars as pl

from tokenflex import tables
from tokenflex.reporting.chapter import Chapter
from tokenflex.summary import tokens_by_month, top_users
from tokenflex.words import many, share, tokens

if TYPE_CHECKING:
    from tokenflex.reporting.shelf import Shelf
    from tokenflex.reporting.work import Work

CUBE: Final = ("month", "product", "group", "site", "server")
MOST_CELLS: Final = 100_000
"""Rows of the cube, so that a page can hold it."""
ALL_SERVERS: Final = "(all servers)"
OTHER_GROUPS: Final = "(other groups)"
_KNOWN: Final = pl.col("tokens").is_not_null().any()
_GROUPS: Final = "groups= (who belongs to which group and cost centre, see tokenflex.Groups) shows tokens by {}"


def consumption(work: Work, shelf: Shelf) -> Chapter:
    """What was used, and of what."""
    charged = work.charged
    total = total_of(charged)
    by_product = consumed(charged, ["product"])
    named = by_product.with_columns(
        pl.col("product").map_elements(work.catalog.name, return_dtype=pl.String).alias("name")
    ).select("product", "name", pl.exclude("product", "name"))
    shelf.put("tokens_by_month", tokens_by_month(charged), "By month and product")
    shelf.put("tokens_by_day", consumed(charged, ["usage_date"]).sort("usage_date"), "By day")
    shelf.put("tokens_by_product", named, _leader(by_product, "product", "By product: "))
    users = top_users(charged.with_columns(user="person"), charged.height)
    shelf.put("tokens_by_user", users, f"By user: {many(users.height, 'user')}")
    for name in ("group", "cost_centre", "site"):
        found = consumed(charged, [name])
        if charged[name].null_count() == charged.height:
            shelf.lack(f"tokens_by_{name}", f"By {name.replace('_', ' ')}", _GROUPS.format(name.replace("_", " ")))
        else:
            shelf.put(f"tokens_by_{name}", found, _leader(found, name, f"By {name.replace('_', ' ')}: "))
    for name in ("server", "version"):
        by = ["product", "version"] if name == "version" else [name]
        found = consumed(charged, by)
        shelf.put(f"tokens_by_{name}", found, _leader(found, by[-1], f"By {name}: "))
    days = charged["usage_date"].n_unique()
    used = "No" if total is None else tokens(total)
    headline = (
        f"{used} tokens in {many(charged.height, 'charge')} of {many(charged['person'].n_unique(), 'user')} "
        f"and {many(charged['product'].n_unique(), 'product')} on {many(days, 'day')}."
    )
    return Chapter("consumption", "What was used, and of what?", headline, shelf.sections())


def total_of(charged: pl.DataFrame) -> Decimal | None:
    """Tokens of charges in all; None where none has a rate."""
    total: Decimal | None = charged.select(pl.when(_KNOWN).then(pl.col("tokens").sum())).item()
    return total


def sum_of(table: pl.DataFrame, column: str) -> Decimal:
    """The exact sum of a column of decimals; 0 without rows."""
    return Decimal(table[column].sum())


def consumed(charged: pl.DataFrame, by: list[str]) -> pl.DataFrame:
    """Charges laid by some of their columns, the dearest first, see `tables.CONSUMPTION`."""
    everything = charged["tokens"].sum()
    found = charged.group_by(pl.col(name).cast(pl.String) if name != "usage_date" else pl.col(name) for name in by).agg(
        users=pl.col("person").n_unique(),
        charges=pl.len(),
        tokens=pl.when(_KNOWN).then(pl.col("tokens").sum()),
        charges_without_rate=pl.col("tokens").null_count(),
    )
    # A part for the eye: the tokens beside it are exact.
    part = pl.col("tokens").cast(pl.Float64) / float(everything) if everything else pl.lit(None, pl.Float64)
    found = found.with_columns(share=part).sort("tokens", *by, descending=[True, *[False] * len(by)], nulls_last=True)
    schema = {name: found.schema[name] for name in by} | dict(tables.CONSUMPTION)
    return tables.finish(found, schema)


def cube_of(charged: pl.DataFrame) -> pl.DataFrame:
    """Charges by all that a page filters by, see `tables.REPORT_CUBE`.

    Where there would be too many rows, all servers are one; if that is not enough, so are the groups with the fewest
    tokens.
    """
    month = pl.col("usage_date").dt.truncate("1mo").alias("month")
    named = charged.select(month, *(pl.col(name).cast(pl.String) for name in CUBE[1:]), "tokens")
    found = _cells(named)
    if found.height > MOST_CELLS:
        named = named.with_columns(server=pl.lit(ALL_SERVERS))
        found = _cells(named)
    groups = named.group_by("group").agg(pl.col("tokens").sum()).sort("tokens", "group", descending=[True, False])
    kept = groups["group"].drop_nulls()
    while found.height > MOST_CELLS and len(kept) > 1:
        kept = kept.head(len(kept) // 2)
        is_kept = pl.col("group").is_null() | pl.col("group").is_in(kept.implode())
        found = _cells(named.with_columns(group=pl.when(is_kept).then("group").otherwise(pl.lit(OTHER_GROUPS))))
    return tables.finish(found.sort(CUBE, nulls_last=True), tables.REPORT_CUBE)


def _cells(named: pl.DataFrame) -> pl.DataFrame:
    return named.group_by(CUBE).agg(
        charges=pl.len(), tokens=pl.col("tokens").sum(), charges_without_rate=pl.col("tokens").null_count()
    )


def _leader(found: pl.DataFrame, name: str, before: str) -> str:
    """What draws most, in words."""
    if found.is_empty() or found["share"][0] is None:
        return before.rstrip(": ")
    what, part = found[name][0], share(found["share"][0])
    return f"{before}those without one lead with {part}" if what is None else f"{before}{what} leads with {part}"
