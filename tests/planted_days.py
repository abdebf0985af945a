"""Charges and a statement by day that agree, and each cause of a difference planted a known number of times."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

import polars as pl

from tokenflex import tables

MONDAYS = [date(2026, 3, 2) + timedelta(weeks=number) for number in range(4)]
LOG_ENDS = date(2026, 3, 28)
TOLERANCE = Decimal("0.001")
CHARGES: dict[str, Any] = {
    "user": pl.String, "product": pl.String, "server": pl.String, "charged_at": tables.TIME, "window_end": tables.TIME,
    "usage_date": pl.Date, "tokens": tables.TOKENS,
}  # fmt: skip
STATEMENT: dict[str, Any] = {
    "user": pl.String, "product": pl.String, "usage_date": pl.Date, "tokens": tables.TOKENS,
    "usage_category": pl.String, "transaction_date": pl.Date, "is_masked": pl.Boolean,
}  # fmt: skip


@dataclass
class Days:
    """Rows of both sides, and how many of each cause were planted."""

    ours: list[tuple[Any, ...]] = field(default_factory=list)
    theirs: list[tuple[Any, ...]] = field(default_factory=list)
    lost: list[date] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)

    def charged(self, user: str, product: str, day: date, tokens: int | None = 7, server: str = "mad") -> None:
        at = datetime.combine(day, time(9), UTC)
        amount = None if tokens is None else Decimal(tokens)
        self.ours.append((user, product, server, at, at + timedelta(days=1), day, amount))

    def stated(self, user: str, product: str, day: date | None, tokens: Any = 7, **more: Any) -> None:
        row = {"usage_category": "PRODUCT_CONSUMPTION", "transaction_date": None, "is_masked": False, **more}
        self.theirs.append((user, product, day, Decimal(tokens), *row.values()))

    def charges(self) -> pl.DataFrame:
        return pl.DataFrame(self.ours, schema=CHARGES, orient="row")

    def statement(self) -> pl.DataFrame:
        return pl.DataFrame(self.theirs, schema=STATEMENT, orient="row")

    def coverage(self) -> pl.DataFrame:
        first, last = (datetime.combine(day, time(18), UTC) for day in (MONDAYS[0], LOG_ENDS))
        schema: dict[str, Any] = {"server": pl.String, "first": tables.TIME, "last": tables.TIME}
        return pl.DataFrame(
            [("mad", first, last, self.lost, True), ("osl", first, last, [], False)],
            schema={**schema, "days_without_lines": pl.List(pl.Date), "reporting": pl.Boolean},
            orient="row",
        )


def plant(seed: int, each: int, level: str) -> Days:
    """Clean use of six people over four weeks; each cause of the level planted with a person and product of its own."""
    rng = random.Random(seed)
    made = Days()
    for name in (f"clean{number}" for number in range(6)):
        for day in (monday + timedelta(days=number) for monday in MONDAYS for number in range(5)):
            for product in ("ACD", "RVT"):
                if rng.random() < 0.8:
                    made.charged(name, product, day)
                    made.stated(name, product, day)
    for what, planter in {**PLANTERS, **(OF_DAYS if level == "day" else {})}.items():
        for number in range(each):
            day = rng.choice(MONDAYS) + timedelta(days=rng.randint(0, 3))
            planter(made, f"{what}-{number}", f"{what}-{number}".upper(), day)
            made.counts[what.partition(":")[0]] += ROWS.get(what, 1)
    return made


def agreed(made: Days, name: str, product: str, day: date) -> None:
    made.charged(name, product, day)
    made.stated(name, product, day)


def no_log(made: Days, name: str, product: str, day: date) -> None:
    made.stated(name, product, day - timedelta(days=31))


def no_statement(made: Days, name: str, product: str, day: date) -> None:
    made.charged(name, product, day + timedelta(days=31))


def not_reporting(made: Days, name: str, product: str, day: date) -> None:
    made.charged(name, product, day, server="osl")


def no_rate(made: Days, name: str, product: str, day: date) -> None:
    made.charged(name, product, day, None)
    made.stated(name, product, day, 4)


def rounding(made: Days, name: str, product: str, day: date) -> None:
    made.charged(name, product, day)
    made.stated(name, product, day, "7.0005")


def duplicate_row(made: Days, name: str, product: str, day: date) -> None:
    agreed(made, name, product, day)
    made.stated(name, product, day)


def manual_entry(made: Days, name: str, product: str, day: date) -> None:
    agreed(made, name, product, day)
    made.stated(name, product, day, 7, usage_category="MANUAL_CONSUMPTION", transaction_date=day)


def unexplained(made: Days, name: str, product: str, day: date) -> None:
    made.charged(name, product, day)
    made.stated(name, product, day, 10)


def gap(made: Days, name: str, product: str, day: date) -> None:
    saturday = day + timedelta(days=5 - day.weekday())
    made.lost.append(saturday)
    made.stated(name, product, saturday)


def late(made: Days, name: str, product: str, day: date) -> None:
    made.stated(name, product, LOG_ENDS + timedelta(days=1 + day.weekday() % 3))


def masked(made: Days, name: str, product: str, day: date) -> None:
    made.charged(name, product, day)
    made.stated(f"*{name}", product, day, is_masked=True)


def border(made: Days, name: str, product: str, day: date) -> None:
    made.charged(name, product, day)
    made.stated(name, product, day + timedelta(days=1))


def opposite(made: Days, name: str, product: str, day: date) -> None:
    tomorrow = day + timedelta(days=1)
    for at in (day, day, tomorrow):
        made.charged(name, product, at)
    for at, tokens in ((day, 7), (tomorrow, 14)):
        made.stated(name, product, at, tokens)


PLANTERS: dict[str, Any] = {
    "no_log": no_log,
    "no_statement": no_statement,
    "server_not_reporting": not_reporting,
    "not_of_servers": lambda made, name, product, day: made.stated(
        name, product, day, 3, usage_category="CLOUD_PRODUCT"
    ),
    "adjustment": lambda made, name, product, day: made.stated(
        name, product, day, -50, usage_category="MANUAL_ADJUSTMENT", transaction_date=day
    ),
    "no_rate": no_rate,
    "rounding": rounding,
    "duplicate_row": duplicate_row,
    "manual_entry": manual_entry,
    "not_charged": lambda made, name, product, _: made.stated(name, product, None),
    "unexplained": unexplained,
}
OF_DAYS: dict[str, Any] = {
    "no_log: gap": gap, "no_log: late": late, "masked": masked, "day_border": border, "day_border: opposite": opposite,
}  # fmt: skip
"""What totals of a month do not show."""
ROWS = {"masked": 2, "day_border: opposite": 2}
