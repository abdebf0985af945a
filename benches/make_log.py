"""A debug log of one busy license server, made up: 5,000 users, packages and components, in order of time.

Nearly all lines are check-outs and check-ins, so that no reader gains from skipping the server's own chatter.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from typing import TYPE_CHECKING, Final
from zoneinfo import ZoneInfo

import numpy as np
import polars as pl

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SERVER: Final = "mad-lic-1"
ZONE: Final = "Europe/Madrid"
USERS: Final = 5_000
FIRST_DAY: Final = date(2024, 1, 8)
SESSIONS_A_DAY: Final = 6_000
BYTES_A_SESSION: Final = 261
"""Four lines, and the session's share of all others."""

HOUR: Final = 3600
SHARE_DENIED: Final = 0.01
SHARE_UNSUPPORTED: Final = 0.003
SHARE_INACTIVE: Final = 0.01
SHARE_WITH_BLANK: Final = 0.01

PACKAGES: Final = (
    ("64300ACD_F", "87545ACD_2022_0F"),
    ("64301ACDLT_F", "87546ACDLT_2022_0F"),
    ("64900CIV3D_F", "87556CIV3D_2022_0F"),
    ("64801INVPROSA_F", "87537INVPROSA_2022_0F"),
    ("64500RVT_F", "87563RVT_2022_0F"),
    ("64600NAVMAN_F", "87572NAVMAN_2022_0F"),
    ("64700MAYA_F", "87580MAYA_2022_0F"),
    ("64101ARCHDESK_F", "87548ARCHDESK_2022_0F"),
)
"""Invented numbers in the vendor's form."""

_OUT, _IN, _INACTIVE, _DENIED, _UNSUPPORTED = range(5)
_KINDS: Final = ("OUT", "IN", "IN", "DENIED", "UNSUPPORTED")
_TAILS: Final = (
    "  ",
    "  ",
    "  (INACTIVE)",
    "  (Licensed number of users already reached. (-4,342))",
    "  (No such feature exists. (-5,346))",
)


def write_log(path: Path, size: int, seed: int = 20_260_713, *, days: int | None = None) -> None:
    """Writes a log of about `size` bytes, a little more rather than less; the busier the fewer the days are."""
    rng = np.random.default_rng(seed)
    sessions = int(size / BYTES_A_SESSION * 1.02)
    days = days or max(3, sessions // SESSIONS_A_DAY)
    midnights = np.array([_instant(n * 24) for n in range(days + 1)])
    lines = pl.concat([*_events(rng, sessions, midnights), _chatter(days)])
    lines = lines.filter(pl.col("second").is_between(midnights[0], midnights[-1], closed="left"))
    lines = lines.sort("second", maintain_order=True)
    local = pl.from_epoch(lines["second"]).dt.replace_time_zone("UTC").dt.convert_time_zone(ZONE)
    second_of_day = local.dt.hour().cast(pl.UInt32) * HOUR + local.dt.minute().cast(pl.UInt32) * 60 + local.dt.second()
    clock = pl.Series([f"{at // HOUR:2}:{at // 60 % 60:02}:{at % 60:02}" for at in range(24 * HOUR)])
    text = lines.select(pl.concat_str(clock.gather(second_of_day), "head", "name", "tail"))
    with path.open("wb") as file:
        file.write("".join(f" 0:00:00{line}\n" for line in _start_up()).encode())
        text.write_csv(file, include_header=False, quote_style="never")


def _instant(hours: float) -> int:
    """The second at which so many hours have passed on the wall clock since the first midnight."""
    local = datetime.combine(FIRST_DAY, time(), ZoneInfo(ZONE)) + timedelta(hours=hours)
    return int(local.timestamp())


def _events(rng: np.random.Generator, sessions: int, midnights: np.ndarray) -> Iterator[pl.DataFrame]:
    day = rng.integers(0, len(midnights) - 1, sessions)
    start = midnights[day] + rng.integers(6 * HOUR, 20 * HOUR, sessions)
    end = start + 1 + (np.exp(rng.standard_normal(sessions) * 1.2) * 40 * 60).astype(np.int64)
    product = (len(PACKAGES) * rng.random(sessions) ** 1.5).astype(np.uint32)
    # A user has two machines and most often sits at the first.
    name = 2 * rng.integers(0, USERS, sessions, dtype=np.uint32) + (rng.random(sessions) < 0.15)
    fate = rng.random(sessions)
    denied, unsupported = fate < SHARE_DENIED, fate > 1 - SHARE_UNSUPPORTED
    kind = np.where(denied, _DENIED, np.where(unsupported, _UNSUPPORTED, _OUT))
    yield _doubled(start, kind, product, name)
    held = ~(denied | unsupported)
    kind = np.where(rng.random(sessions) < SHARE_INACTIVE, _INACTIVE, _IN)
    yield _doubled(end[held], kind[held], product[held], name[held])


def _doubled(second: np.ndarray, kind: np.ndarray, product: np.ndarray, name: np.ndarray) -> pl.DataFrame:
    """Each line twice, for the package and then for the component."""
    features = [feature for pair in PACKAGES for feature in pair]
    heads = [
        f' (adskflex) {word}: "{feature}" ' + ("(00B0 EF6E AFC6 B280 ) " if word == "UNSUPPORTED" else "")
        for word in _KINDS
        for feature in features
    ]
    head = np.repeat(kind * len(features) + product * 2, 2)
    head[1::2] += 1
    return pl.DataFrame(
        {
            "second": np.repeat(second, 2),
            "head": pl.Series(heads).gather(head),
            "name": pl.Series(_names()).gather(np.repeat(name, 2)),
            "tail": pl.Series(_TAILS).gather(np.repeat(kind, 2)),
        }
    )


def _names() -> list[str]:
    """Two machines of each user."""
    names = []
    for number in range(USERS):
        user = f"eng{number:04}" if number % 3 else f"ENGINEER{number}"
        if number % int(1 / SHARE_WITH_BLANK) == 0:
            user = f"drawing office {number}"
        names += [f"{user}@pc{number:05}", f"{user}@{'WORKSTATION' if number % 5 else 'ws.site.example-'}{number}"]
    return names


def _chatter(days: int) -> pl.DataFrame:
    """What the server says of itself: date stamps, a daily reread, statistics."""
    lines = [(hours, f" (lmgrd) TIMESTAMP {_date(hours)}") for hours in range(0, 24 * days, 6)]
    lines += [
        (minutes / 60, f" (adskflex) TIMESTAMP {_date(minutes / 60)}") for minutes in range(365, 24 * 60 * days, 365)
    ]
    for day in range(1, days):
        lines += [(24 * day, f" (lmgrd) {line}") for line in ("Rereading license file...", "Done rereading")]
    for hours in range(4, 24 * days, 4):
        lines += [(hours + 0.7, f" (adskflex) (@adskflex-SLOG@) {line}") for line in _statistics(hours + 0.7)]
    return pl.DataFrame(
        {
            "second": [_instant(hours) for hours, _ in lines],
            "head": [line for _, line in lines],
            "name": "",
            "tail": "",
        }
    )


def _date(hours: float) -> str:
    day = FIRST_DAY + timedelta(days=hours // 24)
    return f"{day.month}/{day.day}/{day.year}"


def _statistics(hours: float) -> Iterator[str]:
    now = datetime.combine(FIRST_DAY, time(), UTC) + timedelta(hours=hours)
    yield "==============================================="
    yield "=== Last 10 Client Requests Processing Time (in ms) ==="
    yield f"Time: {now:%a %b %d %Y %H:%M:%S} Central European Time"
    for number in range(30):
        # Requests of the past: dates that a reader must not take for today's.
        then = now - timedelta(hours=number // 10 * 40, seconds=7 * number)
        stamp = f"{then:%a %b %d %Y %H:%M:%S} Central European Time"
        yield f"{number % 17:08} ms at {stamp},#{900 + number},(5224K),(eng{number:04},pc{number:05},{1216 + number})"
    yield ""


def _start_up() -> Iterator[str]:
    first = datetime.combine(FIRST_DAY, time(), UTC)
    yield f" (lmgrd) Server's System Date and Time: {first:%a %b %d %Y %H:%M:%S} Central European Time"
    yield " (lmgrd) SLOG: Summary LOG statistics is enabled."
    yield f" (lmgrd) FlexNet Licensing (v11.18.0.0 build 275847 x64_n6) started on {SERVER} (IBM PC) ({_date(0)})"
    yield " (lmgrd) lmgrd tcp-port 27000"
    yield " (lmgrd) Starting vendor daemons ... "
    yield " (lmgrd) Started adskflex (pid 5424)"
    yield f" (adskflex) Server started on {SERVER} for:"
