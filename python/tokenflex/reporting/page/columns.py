"""Which columns of a wide table the page shows. The workbook and the folders have all of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import polars as pl

MOST: Final = 9
"""More columns than this do not stand side by side on a page."""

SHOWN: Final[dict[str, tuple[str, ...]]] = {
    "charges": ("user", "product", "server", "charged_at", "window_end", "category", "trigger", "tokens", "rule_id"),
}


def columns_of(name: str, table: pl.DataFrame) -> list[str]:
    """The columns of a table that are shown, in order."""
    wanted = [column for column in SHOWN.get(name, ()) if column in table.columns]
    return wanted or table.columns[:MOST]
