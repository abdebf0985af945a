"""The demo: an invented firm whose license servers' logs hold every oddity that the reader promises to cope with."""

from __future__ import annotations

import csv
import gzip
import random
from collections import Counter, defaultdict
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from tokenflex.demo import log
from tokenflex.demo.activity import LONG, Stretch, stretches, write_activity
from tokenflex.demo.contract import write_contract, write_groups, write_offer
from tokenflex.demo.firm import (
    ACCENTED,
    CHI,
    MAD,
    PRODUCTS,
    RATES,
    SERVERS,
    SIN,
    UNLICENSED,
    WITHOUT_RATE,
    DemoRate,
    Person,
    Server,
    last_instant,
    people,
)
from tokenflex.demo.mistakes import Mistake, mistakes
from tokenflex.demo.price_list import write_price_list
from tokenflex.demo.statement import RULE, Stated, write_statement
from tokenflex.demo.use import Outage, Use
from tokenflex.demo.work import uses
from tokenflex.metering.rates import Rates

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["DemoFacts", "DemoFirm", "DemoRate", "DemoSession", "write_logs"]

FEWEST_MONTHS = 3
"""Everything planted lies in the first three months."""
MOST_MONTHS = 12


class DemoSession(NamedTuple):
    """A session as it truly was, whatever the logs say of it: the union of use of one license."""

    server: str
    user: str
    host: str
    feature: str
    start: datetime
    end: datetime | None
    """None while open."""


@dataclass(frozen=True)
class DemoFacts:
    """What was planted, counted over distinct lines: a line that stands in two files, or twice in one, counts once."""

    users: int
    """Names as spelled: two spellings of one person are two."""
    two_spellings: int
    """People who log on under two spellings of their name."""
    checkouts: int
    component_checkouts: int
    checkins: int
    denied: int
    unsupported: int
    inactive_checkins: int
    shutdown_checkins: int
    unpaired_checkins: int
    rereads: int
    crashes: int
    stops: int
    glued: int
    unreadable: int
    repeated: int
    """License lines that stand in the files a second time."""
    sessions: int
    """Unions of use per server, user, host and feature; packages are not counted."""
    open_sessions: int
    crashed_sessions: int
    shutdown_sessions: int
    """Sessions whose check-in the log no longer holds, since it ends in the midst of a shutdown."""
    sessions_without_rate: int
    days_without_lines: int
    left_open: int
    """Idle stretches of more than two hours: people who went and left a product open."""
    vendor_mistakes: dict[str, int]
    """What the statement charges twice, by cause as of `double_charges`, beside what the rule itself doubles."""


@dataclass(frozen=True)
class DemoFirm:
    """Where the demo's files are and what is in them.

    Attributes:
        folder: what was written, as a whole
        logs: the log files
        servers: license server -> IANA time zone
        rates: the daily rates; each says whether it is public or a value of the demo
        rates_path: the same as a CSV file
        users_path: CSV of the zone by which each user lives; one user is left out
        rule_path: the charging rule of the firm's contract as TOML
        statement_path: what the vendor states, session by session, of the servers that report
        contract_path: the firm's contract as TOML, with invented numbers
        offer_path: what the firm is offered for the years to come, as TOML, with invented numbers
        price_list_path: what subscriptions and maintenance cost, as TOML, with invented prices
        groups_path: CSV of everyone's group, cost centre and site; one user is left out
        activity_path: CSV of an agent, with the stretches in which a product was open and nobody used it
        sessions: what truly happened, in order of start
        facts: counts of what was planted
    """

    folder: Path
    logs: tuple[Path, ...]
    servers: dict[str, str]
    rates: tuple[DemoRate, ...]
    rates_path: Path
    users_path: Path
    rule_path: Path
    statement_path: Path
    contract_path: Path
    offer_path: Path
    price_list_path: Path
    groups_path: Path
    activity_path: Path
    sessions: tuple[DemoSession, ...]
    facts: DemoFacts


@dataclass(frozen=True)
class _File:
    """A file of a server: its lines, and how they are written."""

    path: str
    lines: list[log.Line]
    encoding: str = "utf-8"
    newline: str = "\n"
    iso: bool = False
    glued: frozenset[int] = frozenset()
    """Places in `lines` after which the line's end is missing."""
    inserted: tuple[tuple[int, str], ...] = ()
    """Raw text of unreadable lines, each with the place before which it stands."""


def write_logs(folder: str | Path, *, months: int = 5, seed: int = 7) -> DemoFirm:
    """Writes the demo's logs into `folder/logs`, and beside them what an administrator has besides.

    That is `rates.csv`, `users.csv` (where people live), `groups.csv` (who pays for them), `activity.csv` (when nobody
    used what was open, by an agent), `contract.toml`, `offer.toml` (what could be bought next), `price-list.toml`
    (prices of subscriptions), `rule.toml` (how the contract charges) and `statement.csv` (the vendor's, with mistakes).

    The same `months` (3 to 12, from September 2025) and `seed` give the same bytes.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     firm = write_logs(folder, months=3)
    >>> firm.servers["chi-lic-01"]
    'America/Chicago'
    """
    if not FEWEST_MONTHS <= months <= MOST_MONTHS:
        raise ValueError(f"the demo covers {FEWEST_MONTHS} to {MOST_MONTHS} months, not {months}")
    rng = random.Random(seed)
    last = last_instant(months)
    outages = _outages()
    used = uses(rng, last, outages)
    cut = [
        place
        for place, use in enumerate(used)
        for outage in outages
        if outage.how == "cut" and use.server is outage.server and use.end == outage.down and use.end_reason
    ]
    lost = set(cut[len(cut) // 2 :])
    refusals = _refusals(rng)
    written: dict[str, list[log.Line]] = {}
    for server in SERVERS:
        own = [outage for outage in outages if outage.server is server]
        written[server.name] = log.write(
            rng,
            server,
            first=server.first_instant,
            last=last,
            uses=used,
            outages=tuple(own),
            refusals=refusals.get(server.name, []),
            lost=lost,
        )
    unpaired = _disorder(written[MAD.name])
    files = [*_madrid(written[MAD.name]), *_chicago(written[CHI.name]), *_singapore(written[SIN.name])]
    folder = Path(folder)
    for file in files:
        _write(folder / "logs" / file.path, file)
    _write_rates(folder / "rates.csv")
    staff = people(random.Random(seed))
    _write_users(folder / "users.csv", staff)
    write_groups(folder / "groups.csv", staff)
    write_contract(folder / "contract.toml")
    write_offer(folder / "offer.toml")
    write_price_list(folder / "price-list.toml")
    (folder / "rule.toml").write_text(RULE.to_toml(), encoding="utf-8")
    idle = stretches(used, last, seed)
    write_activity(folder / "activity.csv", idle)
    sessions = _sessions(used, last)
    wrong = mistakes()
    write_statement(folder / "statement.csv", _stated(sessions), wrong, Rates.read(folder / "rates.csv"))
    return DemoFirm(
        folder=folder,
        logs=tuple(folder / "logs" / file.path for file in files),
        servers={server.name: server.zone.name for server in SERVERS},
        rates=RATES,
        rates_path=folder / "rates.csv",
        users_path=folder / "users.csv",
        rule_path=folder / "rule.toml",
        statement_path=folder / "statement.csv",
        contract_path=folder / "contract.toml",
        offer_path=folder / "offer.toml",
        price_list_path=folder / "price-list.toml",
        groups_path=folder / "groups.csv",
        activity_path=folder / "activity.csv",
        sessions=tuple(sessions),
        facts=_facts(
            written,
            files,
            used=used,
            sessions=sessions,
            outages=outages,
            lost=lost,
            unpaired=unpaired,
            wrong=wrong,
            idle=idle,
        ),
    )


def _outages() -> tuple[Outage, ...]:
    madrid, chicago, singapore = MAD.zone, CHI.zone, SIN.zone
    return (
        Outage(MAD, madrid.utc(2025, 9, 24, 11, 17, 40), madrid.utc(2025, 9, 24, 11, 17, 42), "crash"),
        Outage(MAD, madrid.utc(2025, 10, 31, 13, 40), madrid.utc(2025, 11, 3, 6, 30), "cut"),
        Outage(CHI, chicago.utc(2025, 11, 5, 14, 2, 11), chicago.utc(2025, 11, 5, 14, 3, 30), "heartbeat"),
        Outage(CHI, chicago.utc(2025, 11, 11, 10, 0), chicago.utc(2025, 11, 11, 10, 20), "stop"),
        Outage(SIN, singapore.utc(2025, 11, 1, 3, 0), singapore.utc(2025, 11, 1, 3, 5), "stop"),
    )


def _refusals(rng: random.Random) -> dict[str, list[log.Refusal]]:
    """Denials (one line each for the package and the component) and requests for what no license file holds."""
    revit = PRODUCTS["RVT"]
    refusals: dict[str, list[log.Refusal]] = {CHI.name: [], MAD.name: []}
    for number in range(9):
        at = CHI.zone.utc(2025, 9, 8 + number, 10, 5 * number)
        refusals[CHI.name].append(
            log.Refusal(at, "kite.chi", "CHI-WS-013", rng.choice(revit.features), revit.package, unsupported=False)
        )
    for number in range(4):
        at = MAD.zone.utc(2025, 9, 2 + number, 9, 12)
        refusals[MAD.name].append(log.Refusal(at, "puffin.mad", "MAD-WS-021", UNLICENSED, None, unsupported=True))
    return refusals


def _disorder(lines: list[log.Line]) -> int:
    """Puts small disorder into Madrid's log, in place. Returns how many check-ins of nothing were added."""
    # A check-in of 23:59:58 behind lines of the next day.
    midnight = MAD.zone.midnight(date(2025, 9, 16))
    late = [line for line in lines if line.at == midnight - 2 and line.event == "IN"]
    lines[:] = [line for line in lines if line not in late]
    place = _place(lines, midnight + 3)
    lines[place:place] = late
    # lmgrd's clock runs 16 s ahead of the daemon's for one line.
    place = _place(lines, MAD.zone.utc(2025, 9, 17, 10))
    lines.insert(place, log.Line(lines[place].at + 16, 0, "lmgrd", "adskflex using TCP-port 2080"))
    # Check-ins whose checkout was never logged.
    for hour in (9, 15):
        place = _place(lines, MAD.zone.utc(2025, 9, 11, hour))
        message = f'IN: "{PRODUCTS["ACD"].features[1]}" heron.mad@MAD-WS-000  '
        lines.insert(place, log.Line(lines[place].at, 1, "adskflex", message, "IN"))
    return 2


def _place(lines: list[log.Line], at: int) -> int:
    """The place of the first line at or after an instant."""
    return next((place for place, line in enumerate(lines) if line.at >= at), len(lines))


def _madrid(lines: list[log.Line]) -> list[_File]:
    """Rotated files: the first packed, the second overlapping it by a day and a half, the third in a code page."""
    overlap, packed = _place(lines, MAD.zone.utc(2025, 10, 8, 10, 30)), _place(lines, MAD.zone.utc(2025, 10, 9, 12))
    stopped = _place(lines, MAD.zone.utc(2025, 11, 3))
    return [
        _File("mad-lic-01/debug-1.log.gz", lines[:packed]),
        _File("mad-lic-01/debug-2.log", lines[overlap:stopped]),
        _File("mad-lic-01/debug.log", lines[stopped:], encoding="cp1252"),
    ]


def _chicago(lines: list[log.Line]) -> list[_File]:
    """A log that was appended to its own older copy, and one with damaged lines and lost line ends."""
    copied, rotated = _place(lines, CHI.zone.utc(2025, 9, 12, 18)), _place(lines, CHI.zone.utc(2025, 10, 17, 13, 10))
    older, newer = lines[:copied] + lines[:rotated], lines[rotated:]
    glued = []
    for day in (20, 21, 22):
        place = _place(newer, CHI.zone.utc(2025, 10, day, 11))
        while not (newer[place].event and newer[place + 1].event):
            place += 1
        glued.append(place)
    damaged = [_place(newer, CHI.zone.utc(2025, 10, day, 14)) for day in (27, 28, 29)]
    acd = PRODUCTS["ACD"].features[0]
    hour = "14:00:01"
    return [
        _File("chi-lic-01/adskflex-old.log", older, encoding="utf-8-sig"),
        _File(
            "chi-lic-01/adskflex.log",
            newer,
            glued=frozenset(glued),
            inserted=(
                (damaged[0], f'25:61:61 (adskflex) OUT: "{acd}" kite.chi@CHI-WS-013  '),
                (damaged[1], f'{hour} (adskflex) OUT: "{acd} kite.chi'),
                (damaged[2], f'\x00\x17\x00 (adskflex) IN: "{acd}" kite'),
            ),
        ),
    ]


def _singapore(lines: list[log.Line]) -> list[_File]:
    """A log that PowerShell wrote anew, and one with full date stamps since the restart with `-datestamp`."""
    restarted = _place(lines, SIN.zone.utc(2025, 11, 1, 3, 4))
    return [
        _File("sin-lic-01/adskflex-2025.log", lines[:restarted], encoding="utf-16-le", newline="\r\n"),
        _File("sin-lic-01/adskflex-iso.log", lines[restarted:], newline="\r\n", iso=True),
    ]


def _write(path: Path, file: _File) -> None:
    server = next(server for server in SERVERS if file.path.startswith(server.name))
    inserted = dict(file.inserted)
    parts = []
    for place, line in enumerate(file.lines):
        if place in inserted:
            parts += [inserted[place], file.newline]
        parts.append(log.stamped(line, server, iso=file.iso))
        if place not in file.glued:
            parts.append(file.newline)
    text = "".join(parts)
    mark = b"\xff\xfe" if file.encoding == "utf-16-le" else b""
    content = mark + text.encode(file.encoding)
    if path.suffix == ".gz":
        content = gzip.compress(content, compresslevel=6, mtime=0)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def _write_rates(path: Path) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(["product", "tokens", "effective_from", "family", "source"])
        for rate in RATES:
            rows.writerow([rate.product, rate.tokens, rate.effective_from or "", rate.family, rate.source])


def _write_users(path: Path, staff: list[Person]) -> None:
    """Where everyone lives, but for the one who came last: nobody told the administrator."""
    with path.open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(["user", "zone"])
        rows.writerows([person.name, person.zone.name] for person in staff if person is not ACCENTED)


def _facts(
    written: dict[str, list[log.Line]],
    files: Iterable[_File],
    *,
    used: list[Use],
    sessions: list[DemoSession],
    outages: tuple[Outage, ...],
    lost: set[int],
    unpaired: int,
    wrong: tuple[Mistake, ...],
    idle: list[Stretch],
) -> DemoFacts:
    lines = [line for server_lines in written.values() for line in server_lines]
    events = Counter(line.event for line in lines)
    packages = tuple(f'OUT: "{product.package}"' for product in PRODUCTS.values() if product.package)
    crashes = {(outage.server.name, _time(outage.down)) for outage in outages if outage.is_crash}
    names = {use.user for use in used}
    in_files = sum(1 for file in files for line in file.lines if line.event)
    return DemoFacts(
        users=len(names),
        two_spellings=len(names) - len({name.casefold() for name in names}),
        checkouts=events["OUT"],
        component_checkouts=sum(line.event == "OUT" and not line.message.startswith(packages) for line in lines),
        checkins=events["IN"],
        denied=events["DENIED"],
        unsupported=events["UNSUPPORTED"],
        inactive_checkins=sum(line.event == "IN" and line.message.endswith("(INACTIVE)") for line in lines),
        shutdown_checkins=sum(line.event == "IN" and line.message.endswith("(SHUTDOWN)") for line in lines),
        unpaired_checkins=unpaired,
        rereads=sum(line.daemon == "adskflex" and line.message == "Rereading license file..." for line in lines),
        crashes=len(crashes),
        stops=len(outages) - len(crashes),
        glued=sum(len(file.glued) for file in files),
        unreadable=sum(len(file.inserted) for file in files),
        repeated=in_files - sum(events[kind] for kind in log.EVENTS),
        sessions=len(sessions),
        open_sessions=sum(session.end is None for session in sessions),
        crashed_sessions=sum((session.server, session.end) in crashes for session in sessions),
        shutdown_sessions=len({_key(used[place]) for place in lost}),
        sessions_without_rate=sum(session.feature in PRODUCTS[WITHOUT_RATE].features for session in sessions),
        days_without_lines=2,
        left_open=sum(stretch.end - stretch.start > LONG for stretch in idle),
        vendor_mistakes=dict(Counter(mistake.cause for mistake in wrong)),
    )


def _key(use: Use) -> tuple[Server, str, str, str]:
    return use.server, use.user, use.host, use.feature


def _sessions(used: Iterable[Use], last: int) -> list[DemoSession]:
    """The union of use per server, user, host and feature: one license is held however many instances run."""
    by_key: defaultdict[tuple[Server, str, str, str], list[tuple[int, int]]] = defaultdict(list)
    for use in used:
        by_key[_key(use)].append((use.start, use.end))
    sessions = []
    for (server, *names), uses_of_key in by_key.items():
        spans: list[tuple[int, int]] = []
        for start, end in sorted(uses_of_key):
            if spans and start < spans[-1][1]:
                spans[-1] = (spans[-1][0], max(end, spans[-1][1]))
            else:
                spans.append((start, end))
        user, host, feature = names
        for start, end in spans:
            ended = _time(end) if end < last else None
            sessions.append(DemoSession(server.name, user, host, feature, _time(start), ended))
    return sorted(sessions, key=lambda session: session.start)


def _stated(sessions: Iterable[DemoSession]) -> list[Stated]:
    """The sessions that the vendor knows of: ended, and of servers that report."""
    reporting = {server.name: server for server in SERVERS if server.reports}
    return [
        Stated(
            reporting[session.server],
            session.user,
            session.host,
            session.feature,
            round(session.start.timestamp()),
            round(session.end.timestamp()),
        )
        for session in sessions
        if session.end is not None and session.server in reporting
    ]


def _time(at: int) -> datetime:
    return datetime.fromtimestamp(at, tz=UTC)
