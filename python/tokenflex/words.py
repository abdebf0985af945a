"""Counts and durations in words, for people."""

from datetime import timedelta

NAMES_SHOWN = 3


def some(names: list[str]) -> str:
    """`ACD, LT, RVT and 4 more`."""
    more = len(names) - NAMES_SHOWN
    return ", ".join(names[:NAMES_SHOWN]) + (f" and {more:,} more" if more > 0 else "")


def many(count: int, noun: str) -> str:
    """`1 session`, `2,000 sessions`."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def spoken(duration: timedelta) -> str:
    """A duration as one writes it, to the minute."""
    minutes = duration // timedelta(minutes=1)
    days, hours = divmod(minutes // 60, 24)
    parts = [f"{days} d" if days else "", f"{hours} h" if hours else "", f"{minutes % 60} min" if minutes % 60 else ""]
    return " ".join(part for part in parts if part) or "0 min"
