"""The shelf of a report: its tables by name, and the sections that show them, laid down by chapters as they go."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tokenflex.reporting.chapter import Section

if TYPE_CHECKING:
    import polars as pl

_USE: Final = ("charges", "tokens", "charges_without_rate")
SUMS: Final = {
    **{
        f"tokens_by_{name}": _USE
        for name in ("month", "day", "product", "user", "group", "cost_centre", "site", "server", "version")
    },
    "charge_ledger": ("tokens",),
    "charge_triggers": _USE,
    "expiring": ("tokens", "value"),
    "ledger": ("tokens",),
    "chargeback_by_group": ("tokens", "cost", "tokens_without_price"),
    "chargeback_by_product": ("tokens", "cost", "tokens_without_price"),
    "reconciliation_summary": ("rows", "ours", "vendors", "difference"),
    "differences": ("ours", "vendors", "difference"),
    "reconciliation": ("ours", "vendors", "difference"),
    "vendor_double_charges_by_cause": ("cases", "tokens", "claimable"),
    "vendor_double_charges": ("tokens",),
    "double_charges_by_cause": ("cases", "tokens", "claimable"),
    "double_charges": ("tokens",),
    "avoidable_summary": _USE,
    "avoidable_charges": ("tokens",),
    "placement": ("tokens", "today", "saving"),
    "rate_changes": ("charges", "tokens", "new_charges", "new_tokens", "difference"),
    "denial_summary": ("denials", "cases", "real"),
    "estimate_products": ("low", "base", "high"),
    "forecast_days": ("mean", "scenario"),
    "forecast_history": ("tokens",),
    "planned_purchases": ("tokens", "cost"),
    "coverage_days": ("sessions",),
    "products_without_rate": ("charges",),
    "problem_groups": ("rows",),
}
"""By section the columns whose rows are parts of a whole. Rows that are choices, or that end in a total, have none."""


class Shelf:
    """Collects tables and the sections of the chapter at work.

    >>> import polars as pl
    >>> shelf = Shelf()
    >>> shelf.put("users", pl.DataFrame({"user": ["ana"]}), "One user")
    >>> shelf.lack("groups", "By group", "groups= shows who pays")
    >>> [section.table for section in shelf.sections()], shelf.sections()
    (['users', None], ())
    """

    def __init__(self) -> None:
        self.tables: dict[str, pl.DataFrame] = {}
        self._sections: list[Section] = []

    def put(self, key: str, table: pl.DataFrame, title: str, note: str = "") -> None:
        """A table and the section that shows it."""
        self.tables[key] = table
        sums = tuple(name for name in SUMS.get(key, ()) if name in table.columns)
        self._sections.append(Section(key, title, key, note, sums=sums))

    def lack(self, key: str, title: str, missing: str) -> None:
        """A section that could not be made, and what it takes."""
        self._sections.append(Section(key, title, None, "", missing))

    def sections(self) -> tuple[Section, ...]:
        """The sections since this was asked last."""
        sections, self._sections = tuple(self._sections), []
        return sections
