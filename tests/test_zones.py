"""Every zone against `zoneinfo`: the local date of an instant and the end of that date, where zones are difficult."""

from __future__ import annotations

import struct
import zoneinfo
from datetime import UTC, datetime, timedelta
from functools import cache
from importlib.metadata import version
from importlib.resources import files
from typing import TYPE_CHECKING, NamedTuple

import polars as pl
import pytest

import tokenflex as tf
from reference import DAY, TICK, date_changes, end_of_date, local_date, offset_change

if TYPE_CHECKING:
    from collections.abc import Iterator

RATES = tf.Rates({"ACD": 7})
FIRST = datetime(1970, 1, 1, tzinfo=UTC)
LAST = datetime(2037, 12, 31, tzinfo=UTC)
# Beyond the tables of the database a rule continues them.
LATE_YEARS = [datetime(year, 1, 1, tzinfo=UTC) for year in (2038, 2100, 2199)]


class Probe(NamedTuple):
    """One launch at a license server in a zone."""

    zone: str
    instant: datetime


@cache
def zone_names() -> tuple[str, ...]:
    return tuple(sorted(zoneinfo.available_timezones()))


@cache
def known_zones() -> tuple[str, ...]:
    return tuple(zone for zone in zone_names() if is_known(zone))


def is_known(zone: str) -> bool:
    try:
        charges_of([Probe(zone, LAST)])
    except tf.TokenflexError:
        return False
    return True


def charges_of(probes: list[Probe]) -> pl.DataFrame:
    """A charge for each probe, in their order: everyone is somebody else."""
    instants = pl.Series([probe.instant for probe in probes], dtype=pl.Datetime("us", "UTC"))
    sessions = pl.DataFrame(
        {
            "user": [f"user{row}" for row in range(len(probes))],
            "product": ["ACD"] * len(probes),
            "server": [probe.zone for probe in probes],
            "start": instants,
            "end": instants,
        }
    )
    servers = {zone: zone for zone in {probe.zone for probe in probes}}
    return tf.charge(sessions, rule=tf.TOKEN_FLEX, rates=RATES, servers=servers).sort("session")


def changes_of_the_clock(zone: str) -> list[datetime]:
    """The instants at which the offset of the zone changes, from 1970 to 2037 and in some later years."""
    tabled = tabled_changes(zone)
    changes = set(tabled)
    # From the end of the table on a rule tells the changes: twice a year at the most, so weeks do not hide any.
    tz = zoneinfo.ZoneInfo(zone)
    week = timedelta(weeks=1)
    spans = [(max([FIRST, *tabled]), LAST), *((year, year + 364 * DAY) for year in LATE_YEARS)]
    for start, end in spans:
        weeks = (end - start) // week
        changes |= {change for n in range(weeks) for change in offset_change(tz, start + n * week, week)}
    return sorted(changes)


def tabled_changes(zone: str) -> list[datetime]:
    """The instants in the zone's file of the tz database (TZif, its second block with 64-bit times)."""
    data = (files("tzdata") / "zoneinfo" / zone).read_bytes()
    header = struct.Struct(">4s c 15x 6l")
    isutcnt, isstdcnt, leapcnt, timecnt, typecnt, charcnt = header.unpack_from(data)[2:]
    second = header.size + 5 * timecnt + 6 * typecnt + charcnt + 8 * leapcnt + isstdcnt + isutcnt
    count = header.unpack_from(data, second)[5]
    seconds = struct.unpack_from(f">{count}q", data, second + header.size)
    return [FIRST + timedelta(seconds=at) for at in seconds if 0 <= at < (LAST - FIRST).total_seconds()]


def near(instant: datetime) -> Iterator[datetime]:
    yield instant - TICK
    yield instant
    yield instant + TICK


def probes_of(zone: str) -> Iterator[Probe]:
    """Launches around each change of the clock and around the changes of date near it."""
    instants = {FIRST, FIRST + TICK, LAST}
    for change in changes_of_the_clock(zone):
        instants.update(near(change))
        for days in (-1, 0, 1):
            for midnight in date_changes(zone, (change + days * DAY).date()):
                instants.update(near(midnight))
    return (Probe(zone, instant) for instant in sorted(instants) if instant >= FIRST)


def test_the_oracle_reads_the_whole_database() -> None:
    madrid = changes_of_the_clock("Europe/Madrid")
    assert datetime(1974, 4, 13, 22, tzinfo=UTC) == madrid[0]
    assert datetime(2037, 10, 25, 1, tzinfo=UTC) in madrid
    assert [change.year for change in madrid[-6:]] == [2038, 2038, 2100, 2100, 2199, 2199]
    assert len(madrid) == 2 * (2037 - 1974 + 1) + 6
    assert len(zone_names()) > 590


def test_every_zone_is_known() -> None:
    refused = set(zone_names()) - set(known_zones())
    # Names that stand for no place on earth.
    assert refused <= {"Factory", "localtime", "posixrules"}


@pytest.mark.parametrize("part", range(8))
def test_local_dates_and_their_ends_in_every_zone(part: int) -> None:
    probes = [probe for zone in known_zones()[part::8] for probe in probes_of(zone)]
    charges = charges_of(probes)
    assert charges.height == len(probes)
    assert charges["charged_at"].to_list() == [probe.instant for probe in probes]
    end_of = cache(end_of_date)
    wrong = [
        (probe, usage_date, window_end)
        for probe, usage_date, window_end in zip(
            probes, charges["usage_date"].to_list(), charges["window_end"].to_list(), strict=True
        )
        if usage_date != local_date(probe.zone, probe.instant) or window_end != end_of(probe.zone, usage_date)
    ]
    zones = sorted({probe.zone for probe, _, _ in wrong})
    databases = f"the library has {tf.zone_database_version}, tzdata has {version('tzdata')}"
    assert not wrong, f"{len(wrong)} of {len(probes)}, in {zones} ({databases}): {wrong[:5]}"


def test_a_session_over_a_change_of_the_clock_is_charged_at_each_midnight() -> None:
    """A week in use around recent changes of each zone: one charge for each date, at its first instant."""
    spans = [
        (zone, max(change - 3 * DAY, FIRST), change + 4 * DAY)
        for zone in known_zones()
        for change in tabled_changes(zone)[-12:]
    ]
    sessions = pl.DataFrame(
        [[f"user{row}", "ACD", zone, start, end] for row, (zone, start, end) in enumerate(spans)],
        schema={
            "user": pl.String,
            "product": pl.String,
            "server": pl.String,
            "start": pl.Datetime("us", "UTC"),
            "end": pl.Datetime("us", "UTC"),
        },
        orient="row",
    )
    charges = tf.charge(sessions, rule=tf.TOKEN_FLEX, rates=RATES, servers={zone: zone for zone in known_zones()})
    found: dict[int, list[datetime]] = {}
    for row, charged_at in charges.select("session", "charged_at").rows():
        found.setdefault(row, []).append(charged_at)
    for row, (zone, start, end) in enumerate(spans):
        days = (start.date() + days * DAY for days in range(9))
        midnights = [change for day in days for change in date_changes(zone, day) if start < change < end]
        expected = {local_date(zone, instant): instant for instant in reversed([start, *midnights])}
        assert found[row] == sorted(expected.values()), zone
