"""What an agent on the demo's machines recorded: when nobody touched a product that was open."""

from __future__ import annotations

import csv
import random
from datetime import UTC, datetime
from typing import TYPE_CHECKING, NamedTuple

from tokenflex.demo.firm import DAY, HOUR, people
from tokenflex.demo.use import MINUTE

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from tokenflex.demo.use import Use

LONG = 2 * HOUR
"""No lunch is that long."""


class Stretch(NamedTuple):
    """A product that was open and not used."""

    user: str
    host: str
    product: str
    start: int
    end: int


def stretches(used: Iterable[Use], last: int, seed: int) -> list[Stretch]:
    """From when the person left to the end, and over lunch. Nothing here is drawn from the dice of the logs."""
    zones = {person.name.casefold(): person.zone for person in people(random.Random(seed))}
    found = set()
    for use in used:
        spans = [] if use.left is None else [(use.left, use.end)]
        zone = zones[use.user.casefold()]
        noon = zone.midnight(datetime.fromtimestamp(use.start, tz=UTC).date()) + 12 * HOUR
        dice = random.Random(f"{seed} {use.user} {noon // DAY}")
        lunch = noon + dice.randint(20, 70) * MINUTE
        spans.append((lunch, lunch + dice.randint(25, 65) * MINUTE))
        for since, until in spans:
            begin, end = max(since, use.start), min(until, use.end, last)
            if end - begin >= 10 * MINUTE:
                found.add(Stretch(use.user, use.host, use.product.code, begin, end))
    return sorted(found, key=lambda stretch: (stretch.start, *stretch))


def write_activity(path: Path, found: Iterable[Stretch]) -> None:
    """The stretches as an agent exports them, in UTC. Nobody shall take them for sessions, so the columns say idle."""
    with path.open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(["user", "host", "product", "idle_start", "idle_end"])
        rows.writerows([user, host, product, _time(start), _time(end)] for user, host, product, start, end in found)


def _time(at: int) -> str:
    return datetime.fromtimestamp(at, tz=UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
