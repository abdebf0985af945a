"""Which columns of a wide table the page shows. The workbook and the folders have all of them."""

from __future__ import annotations

from typing import Final

import polars as pl

ROWS: Final = 15
MONTHS: Final = 13
MOST: Final = 9
"""More columns than this do not stand side by side on a page."""

_RECONCILED: Final = ("user", "product", "server", "usage_date", "cause", "ours", "vendors", "difference")
_TWICE: Final = ("user", "product", "cause", "tokens", "is_claimable", "explanation")
_BOUGHT: Final = (
    "purchase", "tokens", "expected_cost", "low_cost", "high_cost", "run_out_chance", "expected_expiry", "is_chosen",
)  # fmt: skip
SHOWN: Final[dict[str, tuple[str, ...]]] = {
    "charge_ledger": ("user", "product", "server", "charged_at", "window_end", "trigger", "rate", "tokens", "group"),
    "cost": (
        "pool", "unit_price", "tokens_bought", "tokens_consumed", "tokens_expired", "overage", "value_consumed",
        "effective_price",
    ),
    "ledger": ("entry", "at", "kind", "pool", "tokens", "balance_before", "balance_after", "charge"),
    "differences": (*_RECONCILED, "explained"),
    "reconciliation": (*_RECONCILED, "status"),
    "double_charges": _TWICE,
    "vendor_double_charges": _TWICE,
    "avoidable_charges": ("user", "product", "habit", "charged_at", "tokens", "confidence", "advice"),
    "harvest": (
        "user", "host", "product", "server", "start", "idle_minutes", "next_charge_at", "tokens", "is_worth_it",
    ),
    "harvest_replay": (
        "after", "cuts", "cuts_saving_nothing", "reopens", "hours_freed", "charges_avoided", "tokens_saved",
    ),
    "rule_fits": ("rank", "description", "matched", "missing", "extra", "differing", "token_error", "is_same_as_best"),
    "rule_comparison": ("description", "differs", "charges", "tokens", "charges_without_rate", "difference"),
    "capacity": (
        "product", "requests", "peak", "peak_at", "mean", "p50", "p90", "p95", "p99", "limit",
        "share_at_limit",
    ),
    "denial_summary": ("product", "reason", "denials", "cases", "real", "users", "users_refused", "longest_wait"),
    "denials": ("time", "server", "product", "user", "host", "reason", "outcome", "is_real", "wait"),
    "inactive": ("user", "product", "last_use", "days_since", "sessions", "used", "is_short_only"),
    "model_products": (
        "product", "users", "days_used", "tokens", "rate", "subscription_price", "break_even_days", "users_above",
    ),
    "model_users": ("user", "products", "cost_tokens", "current", "cost_current", "best", "cost", "changes"),
    "estimate": ("source", "item", "low", "base", "high", "count", "of", "how"),
    "purchase_curve": _BOUGHT,
    "purchase_tried": _BOUGHT,
    "coverage": ("server", "first", "last", "days", "days_without_lines", "checkouts", "checkins"),
    "files": (
        "server", "file", "lines", "glued", "event_lines", "other_lines", "problem_lines", "repeated_lines",
    ),
}  # fmt: skip
"""By name of the table; of one that is not here the first columns are shown."""

ALL: Final = ("balances", "cost")
"""Tables whose row without a name is the sum of the others."""


def shown(name: str, table: pl.DataFrame) -> tuple[pl.DataFrame, str]:
    """A table as the page shows it, and what of it is left out, in words: nothing where they are empty."""
    view = _months(table) if name == "tokens_by_month" else table
    if name in ALL and "pool" in view.columns:
        view = view.with_columns(pl.col("pool").cast(pl.String).fill_null("all"))
    wanted = [column for column in SHOWN.get(name, ()) if column in view.columns]
    columns = wanted or view.columns[:MOST]
    if name == "tokens_by_month":
        columns = view.columns
    left_out = []
    if view.height > ROWS:
        left_out.append(f"{ROWS} of {view.height:,} rows")
    if len(columns) < view.width:
        left_out.append(f"{len(columns)} of {view.width} columns")
    return view.select(columns).head(ROWS), " and ".join(left_out)


def _months(table: pl.DataFrame) -> pl.DataFrame:
    """Products down, months across, and their sums."""
    months = table["month"].unique().sort().tail(MONTHS)
    wide = table.group_by("product", maintain_order=True).agg(
        *(_sum(pl.col("tokens").filter(pl.col("month") == month)).alias(f"{month:%b %Y}") for month in months),
        _sum(pl.col("tokens")).alias("all months"),
    )
    sums = wide.select(pl.lit("all").alias("product"), *(_sum(pl.col(name)).alias(name) for name in wide.columns[1:]))
    return pl.concat([wide, sums], how="vertical_relaxed")


def _sum(values: pl.Expr) -> pl.Expr:
    """Null where nothing is known: a sum of nothing is not 0."""
    return pl.when(values.is_not_null().any()).then(values.sum())
