"""Invented users of many zones over a year, whose zones are known: what `infer_zones` is measured on.

Nothing here is the model that infers: people come between 7 and 10, stay 7 to 10 hours, take lunch or not, use the
product in stretches, leave it open overnight, work on some weekends, and go on vacation.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

import numpy as np
import polars as pl

ZONES = (
    "America/Los_Angeles",
    "America/Phoenix",
    "America/Denver",
    "America/Chicago",
    "America/Mexico_City",
    "America/New_York",
    "America/Bogota",
    "America/Santiago",
    "America/Sao_Paulo",
    "Europe/London",
    "Europe/Madrid",
    "Europe/Athens",
    "Africa/Johannesburg",
    "Asia/Riyadh",
    "Asia/Dubai",
    "Asia/Kolkata",
    "Asia/Singapore",
    "Asia/Tokyo",
    "Australia/Sydney",
    "Pacific/Auckland",
)
"""Clocks that change in the north, in the south, and not at all; one of half an hour; one with Fridays off."""

FIRST, DAYS = date(2025, 1, 1), 365


@dataclass(frozen=True)
class Person:
    """Somebody who works.

    Attributes:
        comes: Usual hour of the first use, by the clock on the wall.
        stays: Usual hours until the last.
        rests: Weekdays off, Monday is 0.
    """

    comes: float
    stays: float
    rests: frozenset[int]


def person(rng: np.random.Generator, zone: str, usual: float = 8.4) -> Person:
    """Somebody of a zone; `usual` is when most come."""
    rests = frozenset({4, 5} if zone == "Asia/Riyadh" else {5, 6})
    return Person(float(np.clip(rng.normal(usual, 0.7), usual - 1.4, usual + 1.6)), float(rng.uniform(8, 10)), rests)


def days_of(rng: np.random.Generator, who: Person, days: int = DAYS) -> list[tuple[float, float]]:
    """Starts and ends of a person's sessions, in hours of the clock on the wall since the first day."""
    free = {day + past for day in rng.integers(0, DAYS, 2) for past in range(12)}
    weekend_worker = rng.random() < 0.15
    uses: list[tuple[float, float]] = []
    for day in range(days):
        is_rest = (FIRST.weekday() + day) % 7 in who.rests
        chance = (0.12 if weekend_worker else 0.015) if is_rest else 0.85
        if day in free or rng.random() > chance:
            continue
        late = 2.5 if rng.random() < 0.06 else 0.0
        at = 24 * day + who.comes + late + rng.normal(0, 0.5)
        until = 24 * day + who.comes + who.stays + rng.normal(0, 0.7)
        while at < until - 0.3:
            end = min(until, at + rng.uniform(0.3, 5.5))
            if end > until - 1 and rng.random() < 0.12:
                end = at + rng.uniform(13, 22)  # left open overnight
            uses.append((at, end))
            at = min(end, until) + rng.uniform(0.02, 1.1)
    return uses


def table(uses: dict[tuple[str, str], list[tuple[float, float]]]) -> pl.DataFrame:
    """Sessions of users, keys are (user, zone); local times that a clock skipped are left out."""
    parts = []
    for (user, zone), hours in uses.items():
        local = pl.DataFrame(hours, schema={"start": pl.Float64, "end": pl.Float64}, orient="row").select(
            (pl.lit(FIRST).cast(pl.Datetime("us")) + pl.duration(seconds=(pl.col(name) * 3600).round()))
            .dt.replace_time_zone(zone, ambiguous="earliest", non_existent="null")
            .dt.convert_time_zone("UTC")
            .alias(name)
            for name in ("start", "end")
        )
        parts.append(
            local.drop_nulls()
            .filter(pl.col("end") > pl.col("start"))
            .select(pl.lit(user).alias("user"), "start", "end")
        )
    return pl.concat(parts)


def workers(
    each: int, *, seed: int = 1, zones: tuple[str, ...] = ZONES, usual: float = 8.4
) -> tuple[pl.DataFrame, dict[str, str]]:
    """Sessions of `each` people in each zone over a year, and the zone of each."""
    rng = np.random.default_rng(seed)
    homes = {f"{zone.rpartition('/')[2].lower()}.{place}": zone for zone in zones for place in range(each)}
    return table({(user, zone): days_of(rng, person(rng, zone, usual)) for user, zone in homes.items()}), homes


def odd_ones(each: int, *, seed: int = 2) -> dict[str, pl.DataFrame]:
    """Users whose zone nobody can tell: by kind, their sessions."""
    rng = np.random.default_rng(seed)
    kinds: dict[str, dict[tuple[str, str], list[tuple[float, float]]]] = {
        "robot": {},
        "night": {},
        "rotating": {},
        "seldom": {},
    }
    for place in range(each):
        zone = ZONES[place % len(ZONES)]
        rests = frozenset({5, 6})
        starts = np.sort(rng.uniform(0, 24 * DAYS, 900))
        kinds["robot"][f"robot.{place}", zone] = [(at, at + rng.uniform(0.1, 8)) for at in starts]
        night = Person(22, 8, rests)
        kinds["night"][f"night.{place}", zone] = days_of(rng, night)
        shifts = [days_of(rng, Person(comes, 8, rests)) for comes in (6, 14, 22)]
        kinds["rotating"][f"rotating.{place}", zone] = sorted(
            use for turn, shift in enumerate(shifts) for use in shift if int(use[0] // 168) % 3 == turn
        )
        kinds["seldom"][f"seldom.{place}", zone] = days_of(rng, person(rng, zone), 8)
    return {kind: table(uses) for kind, uses in kinds.items()}
