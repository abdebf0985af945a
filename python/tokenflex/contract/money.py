"""Exact sums: tokens as whole numbers of 1/10,000, money of 1/100,000,000, and how they are divided without a rest."""

from __future__ import annotations

from decimal import Decimal, localcontext
from typing import TYPE_CHECKING, Final

import polars as pl

from tokenflex import tables

if TYPE_CHECKING:
    from fractions import Fraction

    from tokenflex.contract.contract import Contract

_DIGITS: Final = 80
"""More than any sum has, so that nothing is rounded."""

_WIDE: Final = pl.Int128
"""A charge's cost times the microseconds of its window does not fit into 64 bits."""
_TOKEN: Final = pl.lit("0.0001").cast(pl.Decimal(38, 4))
_MONEY: Final = pl.lit("0.00000001").cast(pl.Decimal(38, 8))


def units(value: pl.Expr) -> pl.Expr:
    """Tokens or unit prices as whole numbers of 1/10,000."""
    return (value.cast(pl.Decimal(38, 4)) * 10_000).cast(_WIDE)


def tokens(name: str) -> pl.Expr:
    """Whole numbers of 1/10,000 as tokens."""
    return (pl.col(name).cast(pl.Decimal(38, 0)) * _TOKEN).cast(tables.TOKENS)


def money(name: str) -> pl.Expr:
    """Whole numbers of 1/100,000,000 as money."""
    return (pl.col(name).cast(pl.Decimal(38, 0)) * _MONEY).cast(tables.MONEY)


def priced(taken: pl.DataFrame, contract: Contract) -> pl.DataFrame:
    """Entries that take tokens, with how many (`amount`) and what they cost (`cost`), as whole numbers.

    Null cost where the pool has no price, or the overage none.
    """
    prices = {pool.id: pool.unit_price for pool in contract.pools}
    known = pl.DataFrame(
        {"pool": [*prices, None], "price": [*prices.values(), contract.overage_price]},
        schema={"pool": pl.String, "price": pl.Decimal(38, 4)},
    )
    whole = taken.join(known, on="pool", how="left", nulls_equal=True, maintain_order="left")
    return whole.with_columns(amount=units(-pl.col("tokens"))).with_columns(
        cost=pl.col("amount") * units(pl.col("price"))
    )


def apportioned(name: str, weight: str, whole: str) -> pl.Expr:
    """Whole numbers, each of which stands in all rows of its `whole`, divided among these in proportion to a weight.

    What is left after rounding down goes, one by one, to the rows with the largest remainders, of equals to the first.
    """
    given, share = pl.col(name).cast(_WIDE), pl.col(weight).cast(_WIDE)
    sign = pl.when(given < 0).then(-1).otherwise(1).cast(_WIDE)
    each = given * sign
    product, total = each * share, share.sum().over(whole)
    least, remainder = product // total, product % total
    left = each - least.sum().over(whole)
    place = remainder.rank("ordinal", descending=True).over(whole).cast(_WIDE)
    return (sign * (least + (place <= left).cast(_WIDE))).alias(name)


def rounded(value: Fraction, places: int) -> Decimal:
    """A number of units of the last place, as an exact decimal of so many places; half a unit goes to the even one."""
    with localcontext(prec=_DIGITS):
        return Decimal(round(value)).scaleb(-places)
