"""Charges and a statement of the same use, made up: a vendor that agrees but for a known share of its rows."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Final

import numpy as np
import polars as pl

import tokenflex as tf
from make_sessions import PRODUCT_NAMES, SERVERS, make_sessions
from tokenflex import tables

RATES: Final = tf.Rates({name: 3 + place % 9 for place, name in enumerate(PRODUCT_NAMES)})
SESSIONS_A_CHARGE: Final = 2.53
KINDS: Final = ("lost", "extra", "dearer", "cheaper", "later")
SESSION_COLUMNS: Final = (
    "kind", "usage_date", "usage_month", "contract_year", "product", "version", "feature", "user", "host", "server",
    "start", "end", "utc_offset", "charged_item", "category", "usage_type", "usage_category", "tokens",
    "usage_minutes", "is_masked", "is_swapped", "file", "line",
)  # fmt: skip
"""What session-level exports have of `tables.STATEMENT`; the other columns are null."""


@dataclass(frozen=True)
class Sides:
    """What is held against each other, and the sessions behind it."""

    sessions: pl.DataFrame
    charges: pl.DataFrame
    statement: pl.DataFrame

    @property
    def size(self) -> int:
        """Bytes of all three."""
        return int(sum(frame.estimated_size() for frame in (self.sessions, self.charges, self.statement)))


def make_sides(rows: int, odd: float, seed: int = 20_261_124) -> Sides:
    """So many charges, and about as many rows of the vendor: one for each session that was charged.

    The share `odd` of them is lost, is there that nobody used, has other tokens, or begins later.
    """
    sessions = make_sessions(int(rows * SESSIONS_A_CHARGE))
    charges = tf.charge(sessions, rule=tf.TOKEN_FLEX, rates=RATES, servers=SERVERS).head(rows)
    return Sides(sessions, charges, _statement(sessions, charges, odd, np.random.default_rng(seed)))


def _statement(sessions: pl.DataFrame, charges: pl.DataFrame, odd: float, rng: np.random.Generator) -> pl.DataFrame:
    due = charges.group_by("session").agg(pl.col("tokens").sum(), pl.col("usage_date").first()).sort("session")
    rows = sessions.select(pl.all().gather(due["session"])).hstack(due.select("tokens", "usage_date"))
    kind = rng.integers(0, len(KINDS), rows.height)
    kind = np.where(rng.random(rows.height) < odd, kind, len(KINDS))
    hours = pl.Series("hours", rng.integers(1, 20, rows.height))
    what = pl.Series("what", np.array([*KINDS, ""])[kind])
    rows = rows.with_columns(what, hours)
    # Another's use, in the place of one's own, is lost to the one and unknown to the other.
    rows = rows.filter(pl.col("what") != "lost").with_columns(
        user=pl.when(pl.col("what") == "extra").then(pl.col("user").shift(1)).otherwise("user"),
        tokens=pl.when(pl.col("what") == "dearer")
        .then(pl.col("tokens") + Decimal("1.5"))
        .when(pl.col("what") == "cheaper")
        .then(pl.col("tokens") - 1)
        .otherwise("tokens"),
        start=pl.when(pl.col("what") == "later")
        .then(pl.min_horizontal(pl.col("start") + pl.duration(hours="hours"), "end"))
        .otherwise("start"),
    )
    return _in_vendors_columns(rows)


def _in_vendors_columns(rows: pl.DataFrame) -> pl.DataFrame:
    number = pl.int_range(pl.len()).cast(pl.String)
    given = rows.select(
        "user", "product", "server", "start", "end", "tokens", "usage_date",
        kind=pl.lit("token_flex_sessions"),
        usage_month=pl.col("usage_date").dt.truncate("1mo"),
        contract_year=pl.lit(1),
        version=pl.lit("2025"),
        feature=pl.format("87500{}_2025_0F", pl.col("product").cast(pl.String)).cast(tables.NAME),
        host=pl.format("PC-{}", pl.col("user").cast(pl.String)).cast(tables.NAME),
        utc_offset=pl.lit(-480),
        charged_item=pl.format("RX{}", number.str.zfill(10)),
        category=pl.lit("CHARGED"),
        usage_type=pl.lit("Normal"),
        usage_category=pl.lit("DESKTOP_PRODUCT"),
        usage_minutes=(pl.col("end") - pl.col("start")).dt.total_minutes(),
        is_masked=pl.lit(value=False),
        is_swapped=pl.lit(value=False),
        file=pl.lit("usage.csv"),
        line=pl.int_range(pl.len()) + 2,
    )  # fmt: skip
    return given.select(
        (pl.col(name) if name in SESSION_COLUMNS else pl.lit(None)).cast(dtype).alias(name)
        for name, dtype in tables.STATEMENT.items()
    )
