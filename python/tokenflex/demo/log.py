"""A license server's debug log, written as lmgrd and adskflex write it: local time of day, and a date now and then."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from typing import TYPE_CHECKING, NamedTuple

from tokenflex.demo.firm import DAY, HOUR, PRODUCTS, UNLICENSED
from tokenflex.demo.work import chance

if TYPE_CHECKING:
    import random
    from collections.abc import Iterator

    from tokenflex.demo.firm import Server
    from tokenflex.demo.use import Outage, Use

_EPOCH = date(1970, 1, 1)
_WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_BUILD = "v11.18.0.0 build 275847 x64_n6"

EVENTS = ("OUT", "IN", "DENIED", "UNSUPPORTED")


class Line(NamedTuple):
    """A line to be written. Lines of one second keep the order of `rank`, then of their making."""

    at: int
    rank: int
    daemon: str
    """Empty for a line without a time stamp."""
    message: str
    event: str = ""
    """The kind, for a line about a license."""


@dataclass(frozen=True)
class Refusal:
    """A checkout that was refused: no license left, or none in the license file."""

    at: int
    user: str
    host: str
    feature: str
    package: str | None
    unsupported: bool


def write(
    rng: random.Random,
    server: Server,
    *,
    first: int,
    last: int,
    uses: list[Use],
    outages: tuple[Outage, ...],
    refusals: list[Refusal],
    lost: set[int],
) -> list[Line]:
    """All lines of a server in the order of their time. `lost` are places in `uses` whose check-in was not written."""
    lines = [*_start(server, first, first), *_daemon_start(server, first + 2, "Started")]
    for outage in outages:
        lines += _down(server, outage)
        if outage.is_crash:
            lines += _daemon_start(server, outage.up, "REStarted")
        else:
            lines += [*_start(server, outage.up, outage.up), *_daemon_start(server, outage.up + 2, "Started")]
    running = [
        (begin, end)
        for begin, end in zip(
            [first, *(outage.up for outage in outages)], [*(outage.down for outage in outages), last], strict=True
        )
    ]
    for begin, end in running:
        lines += _clockwork(server, begin, end)
    users = [use for use in uses if use.server is server]
    for begin, end in running:
        lines += _statistics(rng, server, begin, end, users)
    for place, use in enumerate(uses):
        if use.server is server:
            lines += _checkout(use)
            if use.end < last and use.end_reason != "CRASH" and place not in lost:
                lines += _checkin(rng, use)
    for refusal in refusals:
        lines += _refusal(refusal)
    lines.sort(key=lambda line: line[:2])
    return [line for line in lines if line.at <= last]


def stamped(line: Line, server: Server, *, iso: bool = False) -> str:
    """The line as it stands in the file, without its end."""
    if not line.daemon:
        return line.message
    offset = server.zone.offset(line.at)
    day, second = divmod(line.at + offset, DAY)
    hour, minute, second = second // HOUR, second // 60 % 60, second % 60
    if iso:
        written = _EPOCH + timedelta(days=day)
        zone = f"{'-' if offset < 0 else '+'}{abs(offset) // HOUR:02d}:{abs(offset) // 60 % 60:02d}"
        return f"{written}T{hour:02d}:{minute:02d}:{second:02d}{zone} ({line.daemon}) {line.message}"
    # The plug-in pads with a zero where the daemons pad with a blank.
    pad = "02" if line.daemon == "adskflex_pluggin" else "2"
    return f"{hour:{pad}d}:{minute:02d}:{second:02d} ({line.daemon}) {line.message}"


def local_date(server: Server, at: int) -> date:
    """The date of an instant at a server."""
    return _EPOCH + timedelta(days=(at + server.zone.offset(at)) // DAY)


def _short_date(server: Server, at: int) -> str:
    day = local_date(server, at)
    return f"{day.month}/{day.day}/{day.year}"


def _long_date(server: Server, at: int) -> str:
    """As in `Thu May 05 2022 08:42:20 Hora de verano romance`."""
    day = local_date(server, at)
    second = (at + server.zone.offset(at)) % DAY
    clock = f"{second // HOUR:02d}:{second // 60 % 60:02d}:{second % 60:02d}"
    month = _MONTHS[day.month - 1]
    return f"{_WEEKDAYS[day.weekday()]} {month} {day.day:02d} {day.year} {clock} {server.zone.label(at)}"


def _start(server: Server, at: int, pid: int) -> Iterator[Line]:
    rule = "-" * 47
    slog = "(@lmgrd-SLOG@)"
    for message in (
        rule,
        "  Please Note:",
        "",
        "  This log is intended for debug purposes only.",
        "  It is part of a demo: servers, people and machines in it are invented.",
        "",
        rule,
        "",
        f"Server's System Date and Time: {_long_date(server, at)}",
        f"pid {1000 + pid % 8000}",
        "SLOG: Summary LOG statistics is enabled.",
        "Detecting other license server manager (lmgrd) processes...",
        "Done rereading",
        f"FlexNet Licensing ({_BUILD}) started on {server.name} (IBM PC) ({_short_date(server, at)})",
        "lmdown/lmreread only allowed on this machine",
        "License file(s): C:\\Autodesk\\Network License Manager\\demo.lic",
        "lmgrd tcp-port 27000",
        f"{slog} ===============================================",
        f"{slog} === LMGRD ===",
        f"{slog} Start-Date: {_long_date(server, at)}",
        f"{slog} LMGRD Version: {_BUILD}",
        f"{slog} ===============================================",
        "Starting vendor daemons ... ",
    ):
        yield Line(at, -2, "lmgrd", message)


def _daemon_start(server: Server, at: int, verb: str) -> Iterator[Line]:
    yield Line(at, -2, "lmgrd", f"{verb} adskflex (pid {2000 + at % 7000})")
    yield Line(at, -2, "adskflex", f"FlexNet Licensing version {_BUILD}")
    yield from _license_file(server, at)
    yield Line(at, -2, "adskflex", "EXTERNAL FILTERS are OFF")
    yield Line(at, -2, "lmgrd", "adskflex using TCP-port 2080")
    plugin = "Plugin loaded, NLM Server is running in Reporting mode."
    if not server.reports:
        plugin = "Plugin not loaded, NLM Server is running in Non Reporting mode."
    yield Line(at, -2, "adskflex_pluggin", f"INFO: {plugin}")
    yield Line(at, -2, "adskflex", "SLOG: Statistics Log Frequency is 240 minute(s).")
    yield Line(at, -2, "adskflex", f"(@adskflex-SLOG@) Start-Date: {_long_date(server, at)}")


def _license_file(server: Server, at: int, rank: int = -2) -> Iterator[Line]:
    """What the license file holds, wrapped as the daemon wraps it. Comes at the start and again at each reread."""
    yield Line(at, rank, "adskflex", f"Server started on {server.name} for:\t")
    lines: list[str] = []
    for product in PRODUCTS.values():
        if product.package is None:
            lines[-1] += " ".join(product.features) + " "
            continue
        first, *others = product.features
        lines += [f"{product.package} (consisting of:\t\t{first} "]
        lines += [" ".join(others[place : place + 2]) + " " for place in range(0, len(others), 2)]
        lines[-1] = lines[-1].rstrip() + ") "
    for line in lines:
        yield Line(at, rank, "adskflex", line)


def _down(server: Server, outage: Outage) -> Iterator[Line]:
    at = outage.down
    if outage.how == "heartbeat":
        yield Line(at, 0, "adskflex", "Lost connection to lmgrd, heartbeat timeout expired, exiting.")
    elif outage.how == "crash":
        yield Line(at, 0, "lmgrd", "adskflex exited with status 58 ()")
        yield Line(at, 0, "lmgrd", "Since this is an unknown status, license server manager ")
        yield Line(at, 0, "lmgrd", "(lmgrd) will attempt to re-start the vendor daemon.")
        yield Line(at, 0, "", "")
        yield Line(at, 0, "", "Stack trace of the demo: 0x00007ff6 0x00007ff8")
    else:
        yield Line(at, 0, "lmgrd", f"SHUTDOWN request from demoadmin at node {server.name}.")
        yield Line(at, 0, "lmgrd", "Shutting down adskflex pid=4440 because of signal 15")
        yield Line(at, 0, "adskflex", "daemon shutdown requested - shutting down")
    if outage.how == "stop":
        yield Line(at, 3, "adskflex", "EXITING DUE TO SIGNAL 15 Exit reason 5")
        yield Line(at, 3, "lmgrd", "EXITING DUE TO SIGNAL 15 Exit reason 5")


def _clockwork(server: Server, begin: int, end: int) -> Iterator[Line]:
    """Date stamps of both daemons and the rereads at midnight."""
    for daemon, first, step in (
        ("lmgrd", begin + 6 * HOUR + 3, 6 * HOUR + 3),
        ("adskflex", begin + 365 * 60, 365 * 60),
    ):
        for at in range(first, end, step):
            yield Line(at, 0, daemon, f"TIMESTAMP {_short_date(server, at)}")
    day = local_date(server, begin)
    while (at := server.zone.midnight(day := day + timedelta(days=1)) + 2) < end:
        yield Line(at, 0, "lmgrd", f"Rereading license file... Requested from SYSTEM@{server.name}")
        yield Line(at, 0, "adskflex", "Rereading license file...")
        yield Line(at, 0, "lmgrd", "...Finished rereading")
        yield from _license_file(server, at, rank=0)
        yield Line(at, 0, "adskflex", f"(@adskflex-SLOG@) Reread time: {_long_date(server, at)}")
        yield Line(at, 0, "adskflex", "...Finished rereading")


def _statistics(rng: random.Random, server: Server, begin: int, end: int, uses: list[Use]) -> Iterator[Line]:
    """The summary every four hours. Its `ms at` lines tell of past moments: no reader may take their dates."""
    for at in range(begin + 4 * HOUR, end, 4 * HOUR):
        earlier = _long_date(server, max(begin, at - rng.randint(2, 40) * HOUR))
        client = rng.choice(uses)
        for message in (
            "===============================================",
            "=== Last 10 Client Requests Processing Time (in ms) ===",
            f"Time: {_long_date(server, at)}",
            f"00000000 ms at {_long_date(server, at - 5)},#9,(5224K),({client.user},{client.host},1216)",
            f"00000016 ms at {earlier},#4,(5104K),({client.user},{client.host},1088)",
            "=== Active Connections Info ===",
            f"Peak active connections #10 attempted at {earlier}",
            "===============================================",
        ):
            yield Line(at, 0, "adskflex", f"(@adskflex-SLOG@) {message}")


def _checkout(use: Use) -> Iterator[Line]:
    for feature in (use.product.package, use.feature):
        if feature is not None:
            yield Line(use.start, 2, "adskflex", f'OUT: "{feature}" {use.user}@{use.host}  ', "OUT")


def _checkin(rng: random.Random, use: Use) -> Iterator[Line]:
    features = [use.feature, use.product.package]
    if chance(rng, 30):
        features.reverse()
    reason = f"({use.end_reason})" if use.end_reason else ""
    for feature in features:
        if feature is not None:
            yield Line(use.end, 1, "adskflex", f'IN: "{feature}" {use.user}@{use.host}  {reason}', "IN")


def _refusal(refusal: Refusal) -> Iterator[Line]:
    at, who = refusal.at, f"{refusal.user}@{refusal.host}  "
    if refusal.unsupported:
        message = f'UNSUPPORTED: "{UNLICENSED}" (00B0 EF6E AFC6 B280 ) {who}(No such feature exists. (-5,346))'
        yield Line(at, 2, "adskflex", message, "UNSUPPORTED")
        return
    for feature in (refusal.package, refusal.feature):
        if feature is not None:
            message = f'DENIED: "{feature}" {who}(Licensed number of users already reached. (-4,342))'
            yield Line(at, 2, "adskflex", message, "DENIED")
