"""`tf.capacity` and `tf.heat_map`: against a count of every minute by the clock on the wall."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import concurrency_reference as reference
import tokenflex as tf
from concurrency_reference import MINUTE, ORIGINS, Held, helds

if TYPE_CHECKING:
    from collections.abc import Sequence

ORIGIN = datetime(2026, 7, 13, 8, tzinfo=UTC)
COUNTS = st.sampled_from(["licenses", "users"])
LIMIT = 2
ZONES = st.sampled_from(sorted(ORIGINS))
DAYS = {"mad": "Europe/Madrid", "chi": "America/Chicago"}


def told(row: dict[str, Any]) -> reference.Capacity:
    """A row of `tf.capacity` in whole minutes."""
    return reference.Capacity(
        time=row["time"] // MINUTE,
        requests=row["requests"],
        used=row["used"] // MINUTE,
        peak=row["peak"],
        peak_at=row["peak_at"],
        time_at_peak=row["time_at_peak"] // MINUTE,
        percentiles=tuple(row[f"p{percent}"] for percent in (50, 90, 95, 99)),
        asked=tuple(row[f"asked_p{percent}"] for percent in (50, 90, 95, 99)),
        at_limit=row["time_at_limit"] // MINUTE,
        above_limit=row["time_above_limit"] // MINUTE,
    )


def agrees_with_the_minutes(held: Sequence[Held], count: Any) -> None:
    limits = {"ACD": LIMIT, "RVT": LIMIT}
    found = tf.capacity(reference.frame_of(held, ORIGIN), count=count, limits=limits).filter(
        pl.col("product").is_not_null()
    )
    assert found["product"].to_list() == ["ACD", "RVT"], "a product with a limit is there without any session"
    first, last = min((each.start for each in held), default=0), max((each.end for each in held), default=0)
    for row in found.iter_rows(named=True):
        rows = [each for each in held if each.group == row["product"]]
        asked_at = range(first, last + 1)
        expected = reference.capacity(rows, ORIGIN, count, range(first, last), asked_at=asked_at, limit=LIMIT)
        assert told(row) == expected
        if held:
            assert (row["since"], row["until"]) == (ORIGIN + first * MINUTE, ORIGIN + last * MINUTE)


@settings(max_examples=80)
@given(helds(), COUNTS)
def test_every_figure_is_that_of_the_minutes(held: list[Held], count: str) -> None:
    agrees_with_the_minutes(held, count)


@pytest.mark.heavy
@settings(max_examples=2_000)
@given(helds(last=60, most=40), COUNTS)
def test_every_figure_is_that_of_the_minutes_at_length(held: list[Held], count: str) -> None:
    agrees_with_the_minutes(held, count)


def agrees_in_business_hours(held: Sequence[Held], zone: str, bounds: tuple[int, int], count: Any) -> None:
    origin = ORIGINS[zone]
    hours = tf.BusinessHours(start=time(0, 15), end=time(3), days=[1, 3, 5, 6, 7], holidays=[date(2026, 4, 5)])

    def works(local: datetime) -> bool:
        is_day = local.isoweekday() in (1, 3, 5, 6, 7) and local.date() != date(2026, 4, 5)
        return is_day and time(0, 15) <= local.time() < time(3)

    since, until = bounds
    minutes = [minute for minute in range(since, until) if reference.is_open(origin, minute, zone, works)]
    found = tf.capacity(
        reference.frame_of(held, origin),
        count=count,
        hours=hours,
        zone=zone,
        since=origin + since * MINUTE,
        until=origin + until * MINUTE,
        limits={"ACD": LIMIT},
    )
    row = found.row(by_predicate=pl.col("product").cast(pl.String) == "ACD", named=True)
    rows = [each for each in held if each.group == "ACD"]
    expected = reference.capacity(rows, origin, count, minutes, asked_at=minutes, limit=LIMIT)
    assert told(row) == expected
    assert row["zone"] == zone


@settings(max_examples=60)
@given(helds(last=200), ZONES, st.sampled_from([(0, 200), (30, 170), (-50, 300)]), COUNTS)
def test_business_hours_are_those_of_the_clock_on_the_wall(
    held: list[Held], zone: str, bounds: tuple[int, int], count: str
) -> None:
    agrees_in_business_hours(held, zone, bounds, count)


@pytest.mark.heavy
@settings(max_examples=1_500)
@given(helds(last=300, most=30), ZONES, st.tuples(st.integers(-100, 150), st.integers(150, 400)), COUNTS)
def test_business_hours_are_those_of_the_clock_on_the_wall_at_length(
    held: list[Held], zone: str, bounds: tuple[int, int], count: str
) -> None:
    agrees_in_business_hours(held, zone, bounds, count)


def test_each_site_has_its_own_hours() -> None:
    held = [
        Held("ACD", 0, 600, 1, "ana", "mad"),
        Held("ACD", 0, 600, 2, "ben", "chi"),
        Held("ACD", 0, 9, 1, "eva", "?"),
    ]
    frame = reference.frame_of(held, ORIGIN).with_columns(server=pl.when(pl.col("user") != "eva").then("server"))
    frame = pl.concat([frame, frame.tail(1).with_columns(server=pl.lit("tokyo"))])
    problems = tf.Problems()
    found = tf.capacity(frame, hours=tf.BusinessHours(), servers=DAYS, problems=problems)
    # Work in Madrid ends at 16:00 UTC, and begins in Chicago at 13:00.
    assert found.select("product", "zone", "used", "p50").rows() == [
        ("ACD", "America/Chicago", timedelta(hours=10), 2),
        ("ACD", "Europe/Madrid", timedelta(hours=8), 1),
    ]
    assert problems.frame.select("location", "code").rows() == [(2, "missing_server"), (3, "unknown_server")]
    bad = pl.concat([frame.tail(1), frame.with_columns(end=pl.col("start") - MINUTE)])
    problems = tf.Problems()
    tf.heat_map(bad, servers=DAYS, problems=problems)
    assert sorted(problems.frame.select("location", "code").rows()) == [
        (0, "unknown_server"),
        (1, "end_before_start"),
        (2, "end_before_start"),
        (3, "missing_server"),
        (4, "unknown_server"),
    ]


def agrees_by_hour(held: Sequence[Held], zone: str, bounds: tuple[int, int]) -> None:
    origin = ORIGINS[zone]
    since, until = bounds
    found = tf.heat_map(
        reference.frame_of(held, origin), by=(), zone=zone, since=origin + since * MINUTE, until=origin + until * MINUTE
    )
    if not held:
        assert found.is_empty()
        return
    assert found.height == 168
    expected = reference.heat(held, origin, zone, range(since, until))
    for row in found.iter_rows(named=True):
        counted, used, peak = expected.get((row["weekday"], row["hour"]), (0, 0, 0))
        assert (row["time"], row["used"], row["peak"]) == (counted * MINUTE, used * MINUTE, peak)
        assert row["mean"] == (used / counted if counted else None)


@settings(max_examples=40)
@given(helds(last=200), ZONES, st.sampled_from([(0, 200), (45, 130), (-100, 350)]))
def test_the_hours_of_the_week_are_a_count_of_minutes(held: list[Held], zone: str, bounds: tuple[int, int]) -> None:
    agrees_by_hour(held, zone, bounds)


@pytest.mark.heavy
@settings(max_examples=600)
@given(helds(last=300, most=30), ZONES, st.tuples(st.integers(-100, 150), st.integers(150, 400)))
def test_the_hours_of_the_week_are_a_count_of_minutes_at_length(
    held: list[Held], zone: str, bounds: tuple[int, int]
) -> None:
    agrees_by_hour(held, zone, bounds)


def year(rows: int) -> pl.DataFrame:
    """Sessions all over a year, at odd microseconds."""
    row = pl.int_range(rows, eager=True)
    start = pl.Series([ORIGIN]).dt.epoch("us")[0] + (row * 7_368_787_123_457) % (365 * 86_400_000_000)
    return pl.DataFrame(
        {
            "product": pl.Series(["ACD", "RVT", "LT"]).gather(row % 3),
            "server": pl.Series(sorted(DAYS)).gather(row % 2),
            "licenses": row % 4,
            "start": start,
            "end": start + (row * 48_271_777_777) % 172_800_000_000,
        }
    ).with_columns(pl.col("start", "end").cast(pl.Datetime("us", "UTC")))


def test_the_hours_of_the_week_add_up_to_all_use() -> None:
    sessions = year(3_000)
    licenses = (pl.col("end") - pl.col("start")) * pl.col("licenses")
    expected = sessions.group_by("product").agg(used=licenses.sum()).sort("product")
    for clock in ({"zone": "America/St_Johns"}, {"servers": DAYS}):
        given_clock: Any = clock
        found = tf.heat_map(sessions, **given_clock)
        used = found.group_by(pl.col("product").cast(pl.String)).agg(pl.col("used").sum()).sort("product")
        assert used.equals(expected)
        whole = tf.capacity(
            sessions, hours=tf.BusinessHours(start=time(0), end=time(0), days=range(1, 8)), **given_clock
        )
        used = whole.group_by(pl.col("product").cast(pl.String)).agg(pl.col("used").sum()).sort("product")
        assert used.equals(expected)


def test_working_time_and_the_rest_are_all_time() -> None:
    sessions = year(2_000)
    parts = [
        tf.capacity(sessions, zone="Europe/Madrid", hours=hours)
        for hours in (
            tf.BusinessHours(),
            tf.BusinessHours(start=time(0), end=time(8)),
            tf.BusinessHours(start=time(18), end=time(0)),
            tf.BusinessHours(start=time(0), end=time(0), days=[6, 7]),
        )
    ]
    whole = tf.capacity(sessions)
    for column in ("time", "used", "requests"):
        total = sum(part[column].cast(pl.Int64) for part in parts)
        assert isinstance(total, pl.Series)
        assert total.to_list() == whole[column].cast(pl.Int64).to_list()
    assert whole["peak"].to_list() == [max(peaks) for peaks in zip(*(part["peak"] for part in parts), strict=True)]


def test_the_order_of_rows_changes_no_figure() -> None:
    sessions = year(2_000)
    shuffled = sessions.sample(fraction=1, shuffle=True, seed=3)
    assert tf.capacity(shuffled).equals(tf.capacity(sessions))
    heat = [tf.heat_map(each, by=("server", "product"), servers=DAYS) for each in (sessions, shuffled)]
    assert heat[0].equals(heat[1])


def test_a_launch_at_the_very_end_is_a_request() -> None:
    frame = reference.frame_of([Held("ACD", 0, 10, 1, "ana"), Held("ACD", 10, 10, 1, "ben")], ORIGIN)
    assert tf.capacity(frame)["requests"].to_list() == [2]
    assert tf.capacity(frame, until=ORIGIN + 10 * MINUTE)["requests"].to_list() == [1]


def test_no_time_has_no_figures() -> None:
    frame = reference.frame_of([Held("ACD", 0, 0, 1, "ana")], ORIGIN)
    row = tf.capacity(frame, limits={"ACD": 1}).row(0, named=True)
    assert (row["peak"], row["mean"], row["p95"], row["share_at_limit"]) == (None, None, None, None)
    assert (row["requests"], row["asked_p95"], row["time"]) == (1, 0, timedelta(0))


def test_without_sessions_there_is_no_period() -> None:
    row = tf.capacity(reference.frame_of([], ORIGIN), limits={"ACD": 1}).row(0, named=True)
    assert (row["since"], row["until"], row["time"], row["peak"], row["limit"]) == (None, None, timedelta(0), None, 1)


def test_calls_that_make_no_sense_say_what_to_do() -> None:
    frame = reference.frame_of([Held("ACD", 0, 10, 1, "ana")], ORIGIN)
    nonsense: Any
    with pytest.raises(tf.ZoneError, match="give zone="):
        tf.heat_map(frame)
    with pytest.raises(tf.ZoneError, match="give zone="):
        tf.capacity(frame, hours=tf.BusinessHours())
    with pytest.raises(tf.ZoneError, match="Atlantis"):
        tf.heat_map(frame, zone="Europe/Atlantis")
    with pytest.raises(tf.ArgumentError, match="leave them out"):
        tf.capacity(frame, zone="Europe/Madrid")
    with pytest.raises(tf.ArgumentError, match="ends before it begins"):
        tf.capacity(frame, since=ORIGIN, until=ORIGIN - MINUTE)
    for nonsense in (3, {"ACD": 1.5}, {1: 2}, {"ACD": True}):
        with pytest.raises(tf.ArgumentTypeError, match="limits"):
            tf.capacity(frame, limits=nonsense)
    with pytest.raises(tf.ArgumentError, match="cannot be"):
        tf.capacity(frame, limits={"ACD": -1})
    with pytest.raises(tf.ArgumentError, match="by has none"):
        tf.capacity(frame, by=(), limits={"ACD": 1})
    nonsense = "8-18"
    with pytest.raises(tf.ArgumentTypeError, match="BusinessHours"):
        tf.capacity(frame, hours=nonsense, zone="UTC")
    nonsense = 3
    with pytest.raises(tf.ArgumentTypeError, match="IANA name"):
        tf.heat_map(frame, zone=nonsense)
    nonsense = ["UTC"]
    with pytest.raises(tf.ArgumentTypeError, match="mapping"):
        tf.heat_map(frame, servers=nonsense)
    long = frame.with_columns(start=datetime(1971, 1, 1, tzinfo=UTC), licenses=2**32 - 1)
    with pytest.raises(tf.CapacityError, match="thousand years"):
        tf.capacity(long)


def test_business_hours_are_checked() -> None:
    nonsense: Any
    with pytest.raises(tf.ArgumentError, match="midnight"):
        tf.BusinessHours(start=time(18), end=time(8))
    for nonsense in ([0], [8], [], ["mon"]):
        with pytest.raises(tf.ArgumentError, match="Monday"):
            tf.BusinessHours(days=nonsense)
    for nonsense in (8, time(8, tzinfo=ZoneInfo("UTC"))):
        with pytest.raises(tf.ArgumentTypeError, match="time of the day"):
            tf.BusinessHours(start=nonsense)
    for nonsense in (3, "2026-12-25", [datetime(2026, 12, 25, tzinfo=UTC)]):
        with pytest.raises(tf.ArgumentTypeError, match="holidays"):
            tf.BusinessHours(holidays=nonsense)
    assert tf.BusinessHours(days={5, 1}) == tf.BusinessHours(days=[1, 5, 5])
