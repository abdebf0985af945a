"""Pairing in plain Python, from its definition: the union of use per (server, user, host, feature).

Licenses are counted: a session lasts from the check-out that makes the first license of a key busy to the check-in
that frees its last one. Lines of packages, stops and crashes are not known here.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

Key = tuple[str, str, str, str]


class Line(NamedTuple):
    """A check-out (`OUT`) or check-in (`IN`)."""

    time: datetime
    kind: str
    server: str
    user: str
    host: str
    feature: str
    licenses: int = 1

    @property
    def key(self) -> Key:
        return self.server, self.user, self.host, self.feature


class Session(NamedTuple):
    """An unbroken use of one key."""

    key: Key
    start: datetime
    end: datetime
    licenses: int
    checkouts: int
    is_open: bool


@dataclass
class Held:
    """The check-outs of one key since it was last idle."""

    start: datetime
    counts: list[int] = field(default_factory=list)
    checkouts: int = 0


def pair(lines: Iterable[Line], as_of: datetime) -> tuple[list[Session], int]:
    """The sessions in order of start, and how many check-ins have no check-out before them."""
    held: dict[Key, Held] = {}
    sessions = []
    unpaired = 0
    for line in lines:
        use = held.get(line.key)
        if line.kind == "OUT":
            use = held.setdefault(line.key, Held(line.time, [0]))
            use.checkouts += 1
            use.counts.append(use.counts[-1] + line.licenses)
        elif use is None:
            unpaired += 1
        else:
            use.counts.append(max(use.counts[-1] - line.licenses, 0))
            if use.counts[-1] == 0:
                sessions.append(Session(line.key, use.start, line.time, max(use.counts), use.checkouts, is_open=False))
                del held[line.key]
    for key, use in held.items():
        sessions.append(Session(key, use.start, as_of, max(use.counts), use.checkouts, is_open=True))
    return sorted(sessions, key=lambda session: session.start), unpaired
