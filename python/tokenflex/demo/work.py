"""A working life for the demo's people: who uses which product on which machine, from when to when."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from typing import TYPE_CHECKING

from tokenflex.demo.firm import (
    ACCENTED,
    CHI,
    DAY,
    FIRST_DAY,
    HOUR,
    MAD,
    PRODUCTS,
    SATURDAY,
    SIN,
    WITHOUT_RATE,
    Person,
    Server,
    instant,
    people,
)
from tokenflex.demo.mistakes import mistakes
from tokenflex.demo.use import MINUTE, Outage, Use

if TYPE_CHECKING:
    import random
    from collections.abc import Iterator


def uses(rng: random.Random, last: int, outages: tuple[Outage, ...]) -> list[Use]:
    """All use of the firm, with the outages already taken out, in no particular order."""
    staff = people(rng)
    first = instant(FIRST_DAY.year, FIRST_DAY.month, FIRST_DAY.day)
    days = [FIRST_DAY + timedelta(days=number) for number in range((last - first) // DAY + 1)]
    planned = [use for person in staff for use in _life(rng, person, days)]
    planned += _planted(staff)
    planned += [use for mistake in mistakes() for use in mistake.uses]
    found = [part for use in planned for part in _around_outages(rng, use, outages)]
    return [use for use in found if use.server.first_instant + MINUTE < use.start < last - 10 * MINUTE]


def chance(rng: random.Random, percent: float) -> bool:
    """Whether something of this chance happens."""
    return rng.random() * 100 < percent


def _life(rng: random.Random, person: Person, days: list[date]) -> Iterator[Use]:
    busy_until = 0
    for day in days:
        if person is ACCENTED and day < date(2025, 11, 3):
            continue
        weekend = day.weekday() >= SATURDAY
        if not chance(rng, 1.5 if weekend else 88):
            continue
        morning = person.zone.midnight(day) + 8 * HOUR + 30 * MINUTE + round(rng.gauss(0, 35) * MINUTE)
        morning = max(morning, busy_until + 7 * MINUTE)
        evening = max(person.zone.midnight(day) + 17 * HOUR + round(rng.gauss(30, 40) * MINUTE), morning + 2 * HOUR)
        for use in _day(rng, person, morning, evening):
            busy_until = max(busy_until, use.end)
            yield use


def _day(rng: random.Random, person: Person, morning: int, evening: int) -> Iterator[Use]:
    """One person's day: the main product in a few stretches, now and then another one beside it."""
    server = person.server
    if person.other_server is not None and chance(rng, 20):
        server = person.other_server
    user = person.spelling if person.spelling is not None and chance(rng, 25) else person.name
    host = person.second_host if person.second_host is not None and chance(rng, 20) else person.host

    def use(code: str, start: int, end: int, reason: str = "", *, at: str = host, left: int | None = None) -> Use:
        product = PRODUCTS[code]
        feature = product.features[min(person.feature, len(product.features) - 1)]
        return Use(server, user, at, product, feature, start, end, reason, left)

    at = morning
    while at < evening - 20 * MINUTE:
        end = min(evening, at + round(rng.uniform(0.4, 6.5) * HOUR))
        left = None
        if end > evening - HOUR and chance(rng, 5):
            end, left = evening + round(rng.uniform(9, 13) * HOUR), evening  # forgotten open until early next morning
        yield use(person.main, at, end, "INACTIVE" if chance(rng, 1) else "", left=left)
        if chance(rng, 5):
            yield use(person.main, at + 3 * MINUTE, max(at + 5 * MINUTE, end - 11 * MINUTE))  # a second instance
        if person.second_host is not None and chance(rng, 6):
            other = person.second_host if host == person.host else person.host
            yield use(person.main, at + 9 * MINUTE, at + 70 * MINUTE, at=other)
        at = end + round(rng.uniform(2, 70) * MINUTE)
    if chance(rng, 35):
        start = morning + round(rng.uniform(0.2, 5) * HOUR)
        code = rng.choice(person.others)
        yield use(code, start, start + round(rng.uniform(12, 200) * MINUTE))
    if chance(rng, 6):
        start = morning + round(rng.uniform(0.2, 7) * HOUR)
        yield use(person.others[0], start, start + rng.randint(15, 280))  # opened by mistake, closed at once


def _planted(staff: list[Person]) -> Iterator[Use]:
    """Use that must occur whatever the dice say."""
    by_name = {person.name: person for person in staff}

    def use(
        name: str, server: Server, code: str, start: int, end: int, *, reason: str = "", left: int | None = None
    ) -> Use:
        product = PRODUCTS[code]
        return Use(server, name, by_name[name].host + "-N", product, product.features[0], start, end, reason, left)

    madrid, chicago = MAD.zone, CHI.zone
    # Over the repeated hour at the end of summer time: out at 02:50 summer time, in at 02:10 winter time.
    changed = madrid.changes[0]
    yield use("owl.mad", MAD, "RVT", changed - 10 * MINUTE, changed + 10 * MINUTE)
    changed = chicago.changes[0]
    yield use("curlew.sgp", CHI, "ACD", changed - 20 * MINUTE, changed + 15 * MINUTE)
    # Left open from Friday evening to Monday morning.
    friday = madrid.utc(2025, 9, 19, 18, 20)
    yield use("grebe.mad", MAD, "ACD", friday, madrid.utc(2025, 9, 22, 7, 55), left=friday + 25 * MINUTE)
    friday = chicago.utc(2025, 11, 14, 17, 5)
    yield use("egret.chi", CHI, "RVT", friday, chicago.utc(2025, 11, 17, 8, 20), left=friday + 40 * MINUTE)
    # A check-in that is written two seconds late, behind lines of the new day.
    midnight = madrid.midnight(date(2025, 9, 16))
    yield use("osprey.mad", MAD, "NAVMAN", midnight - 3 * HOUR, midnight - 2)
    # Products that nobody may happen to open in a short run.
    noon = chicago.utc(2025, 9, 10, 12, 4)
    yield use("dunlin.chi", CHI, WITHOUT_RATE, noon, noon + 50 * MINUTE)
    yield use("dunlin.chi", CHI, "3DSMAX", noon + 2 * HOUR, noon + 3 * HOUR, reason="INACTIVE")
    # Open through the crash and through the stop in Madrid.
    yield use("petrel.mad", MAD, "INVPROSA", madrid.utc(2025, 9, 24, 10, 2, 9), madrid.utc(2025, 9, 24, 13, 31))
    for bird, code in (("dipper", "ACD"), ("gannet", "RVT"), ("linnet", "CIV3D"), ("plover", "ACD")):
        yield use(f"{bird}.mad", MAD, code, madrid.utc(2025, 10, 31, 9, len(bird) * 5), madrid.utc(2025, 10, 31, 15))
    # A Monday's work in Singapore on two servers: in Chicago it is Sunday still, so both dates are paid.
    for bird, day in (("gannet", 15), ("egret", 22)):
        morning = SIN.zone.utc(2025, 9, day, 9, len(bird))
        yield use(f"{bird}.sin", SIN, "ARCHDESK", morning, morning + HOUR)
        yield use(f"{bird}.sin", CHI, "ARCHDESK", morning + 2 * HOUR, morning + 3 * HOUR)


def _around_outages(rng: random.Random, use: Use, outages: tuple[Outage, ...]) -> Iterator[Use]:
    """The parts of a use that its server saw: it ends with the daemon and begins again when the daemon is back."""
    for outage in outages:
        if outage.server is not use.server or use.end < outage.down or use.start >= outage.up:
            continue
        if use.start < outage.down:
            yield replace(use, end=outage.down, end_reason="CRASH" if outage.is_crash else "SHUTDOWN")
            back = outage.up + rng.randint(25, 170)
        else:
            back = outage.up + rng.randint(4, 40) * MINUTE
        if back + 5 * MINUTE > use.end:
            return
        use = replace(use, start=back)
    yield use
