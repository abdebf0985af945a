"""Firms whose use follows a known process: shape of the week, trend, holidays, levels of weeks that hang together.

`firm` makes the charges of one; `many` the tokens of each day of many at once, for coverage is seen on many only.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from typing import TYPE_CHECKING, TypeAlias

import holidays
import numpy as np
import polars as pl

if TYPE_CHECKING:
    from numpy.typing import NDArray

Levels: TypeAlias = "NDArray[np.float64]"
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


def _hanging(generator: np.random.Generator, firms: int, weeks: int, lasting: float, new: float) -> Levels:
    """Levels as exp of what lasts from week to week by a part, and what is new in each."""
    shocks = generator.normal(0, new, (firms, weeks))
    shocks[:, 0] /= np.sqrt(1 - lasting**2) if lasting < 1 else 1
    for week in range(1, weeks):
        shocks[:, week] += lasting * shocks[:, week - 1]
    levels: Levels = np.exp(shocks)
    return levels


def _of_levels(generator: np.random.Generator, levels: Levels) -> Levels:
    firms, weeks = levels.shape
    noise = np.exp(generator.normal(0, 0.12, (firms, weeks * 7)))
    tokens: Levels = np.round(1_000 * np.repeat(levels, 7, axis=1) * np.tile(SHAPE, weeks) * noise)
    return tokens


def _shifted(generator: np.random.Generator, firms: int, weeks: int) -> Levels:
    """A fourth less or a third more from some week of the first half on."""
    since = generator.integers(4, weeks // 2, firms)[:, None]
    factor = generator.choice([0.75, 1.33], firms)[:, None]
    levels: Levels = np.where(np.arange(weeks) >= since, factor, 1.0)
    return levels


def _seasonal(generator: np.random.Generator, firms: int, weeks: int) -> Levels:
    """Three weeks of half the use, and five in all with less, each year."""
    from_dip = (np.arange(weeks) - generator.integers(0, 52, firms)[:, None]) % 52
    away = np.minimum(from_dip, 52 - from_dip)
    levels: Levels = 1 - 0.5 * (away <= 1) - 0.25 * (away == 2) + 0.08 * np.cos(2 * np.pi * from_dip / 52)
    return levels


def _hired(generator: np.random.Generator, firms: int, weeks: int) -> Levels:
    """Four times a year heads come or go."""
    steps = (generator.random((firms, weeks)) < 4 / 52) * generator.normal(0.02, 0.05, (firms, weeks))
    levels: Levels = np.exp(np.cumsum(steps, axis=1))
    return levels


def _few(generator: np.random.Generator, firms: int, weeks: int) -> Levels:
    """Three users of a product who need it for some weeks and then do not, 7 tokens a day."""
    works = np.tile(np.arange(7) < 5, weeks)
    tokens = np.zeros((firms, weeks * 7))
    for _ in range(3):
        needs = generator.random((firms, weeks)) < 0.5
        changes = generator.random((firms, weeks)) < 0.25
        last = np.maximum.accumulate(np.where(changes, np.arange(weeks), 0), axis=1)
        needed = np.take_along_axis(needs, last, axis=1)
        tokens += 7 * np.repeat(needed, 7, axis=1) * works * (generator.random((firms, weeks * 7)) < 0.6)
    return tokens


def many(name: str, firms: int, weeks: int, seed: int) -> Levels:
    """Tokens of each day of many firms of a kind, firms by days."""
    generator = np.random.default_rng(seed)
    year = np.arange(weeks) / 52
    if name == "few users":
        return _few(generator, firms, weeks)
    if name.startswith("weeks last "):
        levels = _hanging(generator, firms, weeks, float(name.rsplit(maxsplit=1)[-1]), 0.08)
    elif name == "wanders slowly":
        levels = _hanging(generator, firms, weeks, 0.98, 0.04)
    elif name == "random walk":
        levels = _hanging(generator, firms, weeks, 1.0, 0.03)
    elif name == "days alone":
        levels = np.ones((firms, weeks))
    else:
        shapes = {"shifted": _shifted, "season": _seasonal, "heads": _hired}
        lines = {"grows": 1 + 0.2 * year, "shrinks": 1 - 0.4 * year / year[-1]}
        shape = shapes[name](generator, firms, weeks) if name in shapes else lines[name]
        levels = shape * _hanging(generator, firms, weeks, 0.3, 0.06)
    return _of_levels(generator, levels)


MANY = (
    "days alone", "weeks last 0.0", "weeks last 0.3", "weeks last 0.6", "weeks last 0.9", "grows", "shrinks", "shifted",
    "season", "heads", "few users", "wanders slowly", "random walk",
)  # fmt: skip
