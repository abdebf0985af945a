"""A firm's sessions, made up: 20,000 users, 60 products, 12 license servers in 6 zones, in order of time."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

import numpy as np
import polars as pl

USERS: Final = 20_000
PRODUCTS: Final = 60
MOST_PRODUCTS_OF_A_USER: Final = 6
ZONES: Final = (
    "America/Los_Angeles",
    "America/Chicago",
    "Europe/Madrid",
    "Asia/Kolkata",
    "Asia/Singapore",
    "Australia/Sydney",
)
SITES: Final = ("lax", "chi", "mad", "pnq", "sin", "syd")

FIRST_DAY: Final = date(2019, 1, 7)
SESSIONS_A_DAY: Final = 13_700
"""So that 10 million sessions take two years."""
SESSIONS_A_PRODUCT_DAY: Final = 2.5
WEIGHT_OF_WEEKEND: Final = 20
"""A working day has this many times the sessions of a Saturday or Sunday."""
ON_SECOND_SERVER: Final = 0.05
ON_SERVER_ABROAD: Final = 0.01
"""On a server of another site, mostly in another zone."""
LEFT_OPEN_OVERNIGHT: Final = 0.015
LEFT_OPEN_OVER_WEEKEND: Final = 0.002

HOUR: Final = 3600
SECOND: Final = 1_000_000

SERVERS: Final = {f"{site}-lic-{n}": zone for n in (1, 2) for site, zone in zip(SITES, ZONES, strict=True)}
"""The zone of each license server. Each site has two, in one zone."""
PRODUCT_NAMES: Final = tuple(f"PROD{n:02}" for n in range(PRODUCTS))


@dataclass(frozen=True)
class Firm:
    """Who sits where and uses what."""

    site: np.ndarray
    """Of each user."""
    products: np.ndarray
    """A row for each user, of which the first `product_count` places count."""
    product_count: np.ndarray
    names: list[str]


def make_firm(rng: np.random.Generator, users: int = USERS) -> Firm:
    site = rng.integers(0, len(SITES), users)
    # Names of both sides of 12 bytes, up to which polars keeps a string inside its view.
    names = [f"{SITES[s]}{n}" if n % 2 else f"{SITES[s]}.engineer.{n:05}" for n, s in enumerate(site.tolist())]
    return Firm(
        site=site,
        # Few products have most of the users.
        products=(PRODUCTS * rng.random((users, MOST_PRODUCTS_OF_A_USER)) ** 2).astype(np.uint32),
        product_count=rng.integers(1, MOST_PRODUCTS_OF_A_USER + 1, users),
        names=names,
    )


def make_sessions(rows: int, seed: int = 20_260_713, *, users: int = USERS) -> pl.DataFrame:
    """Sessions in order of their start; names are Categorical. The more rows, the longer the time that they take."""
    rng = np.random.default_rng(seed)
    firm = make_firm(rng, users)
    user, product, start = _launches(rng, firm, rows)
    order = np.argsort(start, kind="stable")
    user, product, start = user[order], product[order], start[order]
    del order
    end = start + _durations(rng, rows) * SECOND
    choice = rng.random(rows, dtype=np.float32)
    site = np.where(choice > 1 - ON_SERVER_ABROAD, firm.site[(user + 1) % users], firm.site[user])
    server = (site + len(SITES) * (choice < ON_SECOND_SERVER)).astype(np.uint32)
    return pl.DataFrame(
        [
            _names("server", list(SERVERS), server),
            _names("user", firm.names, user),
            _names("product", list(PRODUCT_NAMES), product),
            pl.Series("start", start).cast(pl.Datetime("us", "UTC")),
            pl.Series("end", end).cast(pl.Datetime("us", "UTC")),
        ]
    )


def with_plain_strings(sessions: pl.DataFrame) -> pl.DataFrame:
    """The same sessions, names as strings."""
    return sessions.with_columns(pl.col("server", "user", "product").cast(pl.String))


def _launches(rng: np.random.Generator, firm: Firm, rows: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """User, product and start: some launches of one product on one day, for many such days."""
    product_days = int(rows / SESSIONS_A_PRODUCT_DAY * 1.01) + 1_000
    user = (len(firm.names) * rng.random(product_days) ** 1.3).astype(np.uint32)
    place = (rng.random(product_days, dtype=np.float32) * firm.product_count[user]).astype(np.uint8)
    product = firm.products[user, place]
    midnight = _midnights(rows)[firm.site[user], _days(rng, rows, product_days)]
    launches = rng.geometric(1 / SESSIONS_A_PRODUCT_DAY, product_days)
    if launches.sum() < rows:
        raise AssertionError("too few product days for the rows")
    of_launch = np.repeat(np.arange(product_days, dtype=np.uint32), launches)[:rows]
    second_of_day = rng.integers(int(7.5 * HOUR), 18 * HOUR, rows, dtype=np.int32)
    return user[of_launch], product[of_launch], (midnight[of_launch] + second_of_day) * SECOND


def _period(rows: int) -> int:
    return max(7, rows // SESSIONS_A_DAY)


def _days(rng: np.random.Generator, rows: int, product_days: int) -> np.ndarray:
    days = np.arange(_period(rows))
    weight = np.where((FIRST_DAY.weekday() + days) % 7 < 5, WEIGHT_OF_WEEKEND, 1)
    return rng.choice(np.repeat(days, weight), product_days)


def _midnights(rows: int) -> np.ndarray:
    """The instant at which each day begins at each site, in seconds."""
    first = datetime.combine(FIRST_DAY, datetime.min.time())
    days = [first + timedelta(days=n) for n in range(_period(rows))]
    return np.array([[int(day.replace(tzinfo=ZoneInfo(zone)).timestamp()) for day in days] for zone in ZONES])


def _durations(rng: np.random.Generator, rows: int) -> np.ndarray:
    """In seconds: half of them above 40 minutes, one in 25 below 5 minutes, some overnight."""
    seconds = np.exp(rng.standard_normal(rows, dtype=np.float32) * np.float32(1.2)) * np.float32(40 * 60)
    kind = rng.random(rows, dtype=np.float32)
    overnight, weekend = kind < LEFT_OPEN_OVERNIGHT, kind > 1 - LEFT_OPEN_OVER_WEEKEND
    return seconds.astype(np.int64) + 1 + overnight * (14 * HOUR) + weekend * (62 * HOUR)


def _names(column: str, names: list[str], codes: np.ndarray) -> pl.Series:
    return pl.Series(column, names, dtype=pl.Categorical()).gather(codes)
