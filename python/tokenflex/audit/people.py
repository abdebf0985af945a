"""Who is who, and by which zone each person lives: what the audit has to know of people before it looks at charges."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Final

import polars as pl

from tokenflex.errors import ArgumentError, ArgumentTypeError, ZoneError
from tokenflex.problems import Problems
from tokenflex.reading.identity import Identity
from tokenflex.reading.user_zones import UserZones, zones_in
from tokenflex.times import EPOCH, MICROSECOND, TOO_LATE

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime

    from tokenflex.reading.user_zones import Users

Stay = tuple[str, int, int, str]
"""A person, from when to when in microseconds, and the zone that the person lives by."""

FOREVER: Final = (TOO_LATE - EPOCH) // MICROSECOND


def identity_of(identity: Identity | None) -> Identity:
    """The caller's, or the one of the rules alone: case and domains."""
    if identity is not None and not isinstance(identity, Identity):
        raise ArgumentTypeError(
            f"identity has to be a tokenflex.Identity, not {type(identity).__name__}", location="identity"
        )
    return identity or Identity()


def is_dated(identity: Identity) -> bool:
    """Whether who someone is depends on the time."""
    return identity.frame.select(pl.any_horizontal(pl.col("valid_from", "valid_to").is_not_null()).any()).item() is True


def persons_by_name(names: Iterable[str], identity: Identity) -> dict[str, str]:
    """The person of each spelling that has one; with dates in the aliases, who that is at the end of all data."""
    spellings = list(dict.fromkeys(names))
    frame = pl.DataFrame({"user": spellings}, schema={"user": pl.String})
    # Doubtful spellings are told of where the rows are looked at, not for each name again.
    applied = identity.apply(frame, at=TOO_LATE - MICROSECOND, problems=Problems())
    persons = applied["user"].cast(pl.String).to_list()
    return {name: person for name, person in zip(spellings, persons, strict=True) if person is not None}


def given_stays(users: Users) -> list[Stay]:
    """When each user lives by which zone, of a mapping from users to zones or of `UserZones`."""
    if not users:
        raise ZoneError(
            'users is empty: say by which zone each user lives, users={"<user>": "<IANA zone>", …}', location="users"
        )
    if isinstance(users, UserZones):
        return [
            (user, 0 if since is None else _time(since), FOREVER if until is None else _time(until), zone)
            for user, zone, since, until, _ in users.frame.iter_rows()
        ]
    return [(user, 0, FOREVER, zone) for user, zone in (zones_in(users, "users") or {}).items()]


def _time(at: datetime) -> int:
    return (at - EPOCH) // MICROSECOND


def stays_of_persons(stays: list[Stay], persons: Mapping[str, str]) -> list[Stay]:
    """The same of persons; two zones for one person at one time are refused."""
    found: dict[str, list[tuple[int, int, str, str]]] = {}
    for user, since, until, zone in stays:
        person = persons.get(user)
        if person is None:
            raise ArgumentError(f"users: {user!r} is a masked name and nobody's", location="users")
        found.setdefault(person, []).append((since, until, zone, user))
    for person, rows in found.items():
        rows.sort()
        for (_, until, zone, user), (since, _, other_zone, other) in pairwise(rows):
            if since < until and zone != other_zone:
                raise ArgumentError(
                    f"users: {user!r} and {other!r} are one person ({person!r}), but live by {zone} "
                    f"and by {other_zone} at one time",
                    location="users",
                )
    return [(person, since, until, zone) for person, rows in found.items() for since, until, zone, _ in rows]
