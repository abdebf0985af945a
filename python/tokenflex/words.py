"""Counts in words, for people."""

from __future__ import annotations

from datetime import timedelta
from difflib import get_close_matches
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable
    from decimal import Decimal

NAMES_SHOWN = 3


def some(names: list[str]) -> str:
    """`ACD, LT, RVT and 4 more`."""
    more = len(names) - NAMES_SHOWN
    return ", ".join(names[:NAMES_SHOWN]) + (f" and {more:,} more" if more > 0 else "")


def many(count: int, noun: str) -> str:
    """`1 session`, `2,000 sessions`."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def near(name: str, known: Iterable[str]) -> str:
    """` (did you mean rates?)` where one of the known names is near, else nothing."""
    found = get_close_matches(name, list(known), n=1)
    return f" (did you mean {found[0]}?)" if found else ""


def tokens(value: Decimal | None) -> str:
    """Exact tokens for the eye: thousands parted, no empty decimals; a dash where no rate is known."""
    if value is None:
        return "-"
    text = f"{value:,.4f}".rstrip("0")
    return text.removesuffix(".")


def share(part: float) -> str:
    """`12.5%`."""
    return f"{part:.1%}"


def spoken(duration: timedelta) -> str:
    """A duration as one writes it, to the minute."""
    minutes = duration // timedelta(minutes=1)
    days, hours = divmod(minutes // 60, 24)
    parts = [f"{days} d" if days else "", f"{hours} h" if hours else "", f"{minutes % 60} min" if minutes % 60 else ""]
    return " ".join(part for part in parts if part) or "0 min"
