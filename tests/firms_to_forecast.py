"""Firms whose use follows a known process: shape of the week, trend, holidays, levels of weeks that hang together."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta

import holidays
import numpy as np
import polars as pl

MONDAY = date(2025, 1, 6)
SHAPE = (1.0, 1.05, 1.05, 1.0, 0.85, 0.12, 0.08)
SHARES = {"RVT": 0.6, "ACD": 0.3, "NAV": 0.1}
SITES = {"mad-lic-01": "Madrid", "chi-lic-01": "Chicago"}
COUNTRIES = {"mad-lic-01": "ES", "chi-lic-01": "US"}


@dataclass(frozen=True)
class Process:
    """How the use of a firm comes about.

    `persistence` is what part of a week's deviation the next week has, `wander` how much is new in each, `noise` how
    much each product's day differs, `trend` the growth in a year.
    """

    persistence: float = 0.6
    wander: float = 0.08
    noise: float = 0.12
    trend: float = 0.0
    size: float = 1_000.0


PROCESSES = {
    "steady": Process(persistence=0.0),
    "weeks hang together": Process(),
    "weeks hang together for long": Process(persistence=0.85),
    "grows": Process(trend=0.2),
    "shrinks": Process(trend=-0.2),
}


def firm(process: Process, seed: int, *, weeks: int, servers: tuple[str, ...] = ("mad-lic-01",)) -> pl.DataFrame:
    """Charges of whole weeks: a row for each day, product and server, with whole tokens."""
    generator = np.random.default_rng(seed)
    free = {server: holidays.country_holidays(COUNTRIES[server], years=range(2025, 2031)) for server in servers}
    new = generator.normal(0, process.wander, weeks)
    level = np.zeros(weeks)
    for week in range(weeks):
        level[week] = new[week] + (process.persistence * level[week - 1] if week else 0)
    rows = []
    for place in range(weeks * 7):
        day = MONDAY + timedelta(days=place)
        mean = process.size * SHAPE[place % 7] * np.exp(level[place // 7]) * (1 + process.trend * place / 365)
        for server in servers:
            here = mean / len(servers) * (0.1 if day in free[server] else 1)
            for product, share in SHARES.items():
                tokens = round(here * share * float(np.exp(generator.normal(0, process.noise))))
                rows.append((day, product, server, tokens))
    schema = {"usage_date": pl.Date, "product": pl.String, "server": pl.String, "tokens": pl.Int64}
    return pl.DataFrame(rows, schema=schema, orient="row")


def last_day(weeks: int) -> date:
    """The last day of so many weeks."""
    return MONDAY + timedelta(days=weeks * 7 - 1)
