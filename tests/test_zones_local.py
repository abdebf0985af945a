"""Local times to instants: every zone and every change of its clock against Python's own zones."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo, available_timezones

import polars as pl
import pytest

import reference  # noqa: F401 - lets zoneinfo take the zones of the tzdata package
import tokenflex as tf
from tokenflex.reading.zones import check_zones, instants

ZONES = sorted(zone for zone in available_timezones() if "/" in zone and not zone.startswith(("posix", "right", "Etc")))
SOME = [
    *ZONES[::12],
    "Pacific/Apia",
    "Pacific/Kwajalein",
    "Australia/Lord_Howe",
    "Africa/Casablanca",
    "America/Caracas",
]


def changes(zone: ZoneInfo) -> list[datetime]:
    """The instants, to the second, at which a zone's offset changes from 1975 to 2030."""
    found = []
    step = timedelta(days=7)
    low = datetime(1975, 1, 1, tzinfo=UTC)
    while low.year < 2030:
        high = low + step
        if low.astimezone(zone).utcoffset() != high.astimezone(zone).utcoffset():
            left, right = low, high
            while right - left > timedelta(seconds=1):
                middle = left + (right - left) // 2
                if middle.astimezone(zone).utcoffset() == left.astimezone(zone).utcoffset():
                    left = middle
                else:
                    right = middle
            found.append(right.replace(microsecond=0))
        low = high
    return found


@pytest.mark.parametrize("name", SOME)
def test_local_times_around_every_change_are_those_of_python(name: str) -> None:
    zone = ZoneInfo(name)
    local = []
    for change in changes(zone):
        before = (change - timedelta(seconds=5)).astimezone(zone).utcoffset() or timedelta()
        after = (change + timedelta(seconds=5)).astimezone(zone).utcoffset() or timedelta()
        wall = change.replace(tzinfo=None)
        middle = wall + (before + after) / 2
        for clock in (wall + before, wall + after, middle):
            local += [clock + timedelta(microseconds=tick) for tick in (-60_000_000, -1, 0, 1, 60_000_000)]
    found = instants(pl.Series(local, dtype=pl.Datetime("us")), name)
    for clock, time, in_gap, in_fold in zip(local, found.times, found.in_gap, found.in_fold, strict=True):
        first = clock.replace(tzinfo=zone)
        second = first.replace(fold=1)
        # Python takes the offset before a gap for fold 0, which moves the time forward by the gap.
        assert time == first.astimezone(UTC), (name, clock)
        exists = first.astimezone(UTC).astimezone(zone).replace(tzinfo=None) == clock
        assert in_gap == (not exists), (name, clock)
        assert in_fold == (exists and first.utcoffset() != second.utcoffset()), (name, clock)


def test_a_time_in_the_gap_moves_forward_and_one_in_the_fold_is_the_first() -> None:
    clock = [datetime(2026, 3, 29, 2, 30), datetime(2026, 10, 25, 2, 30), None, datetime(2026, 7, 13, 9)]  # noqa: DTZ001
    found = instants(pl.Series(clock, dtype=pl.Datetime("us")), "Europe/Madrid")
    assert found.times.to_list() == [
        datetime(2026, 3, 29, 1, 30, tzinfo=UTC),
        datetime(2026, 10, 25, 0, 30, tzinfo=UTC),
        None,
        datetime(2026, 7, 13, 7, tzinfo=UTC),
    ]
    assert found.in_gap.to_list() == [True, False, False, False]
    assert found.in_fold.to_list() == [False, True, False, False]


def test_no_times_are_no_instants() -> None:
    found = instants(pl.Series([], dtype=pl.Datetime("us")), "Europe/Madrid")
    assert [part.len() for part in found] == [0, 0, 0]


def test_a_zone_has_to_exist() -> None:
    check_zones("Europe/Madrid")
    check_zones({"mad-lic-01": "Europe/Madrid"})
    with pytest.raises(tf.ZoneError, match="Mars/Base"):
        check_zones({"mad-lic-01": "Mars/Base"})
    with pytest.raises(tf.ArgumentTypeError, match="IANA name"):
        check_zones(2)
