"""Zones inferred from use: measured on invented users, equal to a plain reference, and unknown where nobody can say."""

from __future__ import annotations

import functools
import math
from collections import Counter, defaultdict
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tokenflex as tf
from life_of_users import ZONES, Person, days_of, odd_ones, person, table, workers
from tokenflex import tables
from tokenflex.usage import infer_zones as model
from tokenflex.usage.candidates import CANDIDATES, FRIDAY_WEEKENDS

HOUR = timedelta(hours=1)
MONDAY = datetime(2026, 1, 5, tzinfo=UTC)
COLUMNS: dict[str, Any] = {"user": pl.String, "start": tables.TIME, "end": tables.TIME}
SITES = (
    "America/Los_Angeles",
    "America/New_York",
    "Europe/Madrid",
    "Asia/Kolkata",
    "Asia/Singapore",
    "Australia/Sydney",
)
"""Sites of a firm, two hours and more from each other."""


def infer(sessions: pl.DataFrame, **options: Any) -> pl.DataFrame:
    return tf.infer_zones(sessions, **options).with_columns(pl.col("user").cast(pl.String))


def measured(found: pl.DataFrame, homes: dict[str, str]) -> dict[str, float]:
    """Part unknown; and of those known the parts with the offsets of both halves right, right to an hour, and so on."""

    def offset(zone: str, month: int) -> timedelta:
        known = datetime(2025, month, 15, tzinfo=ZoneInfo(zone)).utcoffset()
        assert known is not None
        return known

    count: Counter[str] = Counter()
    for row in found.iter_rows(named=True):
        count["unknown"] += row["zone"] is None
        if row["zone"] is None:
            continue
        home = [offset(homes[row["user"]], month) for month in (7, 1)]
        said = [row["offset_summer"] or row["offset"], row["offset_winter"] or row["offset"]]
        off = max(abs(a - b) for a, b in zip(home, said, strict=True))
        count["exact"] += off == timedelta(0)
        count["near"] += off <= HOUR
        count["clock"] += row["is_dst_aware"] == (home[0] != home[1])
        count["zone"] += row["zone"] == homes[row["user"]]
        if row["confidence"] >= 0.9:
            count["sure"] += 1
            count["sure and near"] += off <= HOUR
            count["sure and right"] += row["zone"] == homes[row["user"]]
    known = found.height - count["unknown"]
    return {
        "unknown": count["unknown"] / found.height,
        "sure": count["sure"] / found.height,
        "sure and near": count["sure and near"] / max(count["sure"], 1),
        "sure and right": count["sure and right"] / max(count["sure"], 1),
        **{name: count[name] / known for name in ("exact", "near", "clock", "zone")},
    }


# Accuracy. The bounds are what 1,000 users measured (docs/user-zones.md), with room for another sample.


def test_accuracy_with_no_zones_named() -> None:
    sessions, homes = workers(12, seed=11)
    found = measured(infer(sessions), homes)
    assert found["unknown"] <= 0.05
    assert found["exact"] >= 0.55
    assert found["near"] >= 0.90
    assert found["clock"] >= 0.98
    assert found["sure"] >= 0.65
    assert found["sure and near"] >= 0.96


def test_accuracy_with_twenty_zones_named() -> None:
    sessions, homes = workers(12, seed=12)
    found = measured(infer(sessions, zones=ZONES), homes)
    assert found["unknown"] <= 0.35
    assert found["zone"] >= 0.70
    assert found["near"] >= 0.90
    assert found["clock"] >= 0.98


def test_accuracy_with_the_six_sites_of_a_firm_named() -> None:
    sessions, homes = workers(25, seed=13, zones=SITES)
    found = measured(infer(sessions, zones=SITES), homes)
    assert found["unknown"] <= 0.04
    assert found["zone"] >= 0.93
    assert found["sure"] >= 0.85
    assert found["sure and right"] >= 0.97


def test_a_firm_that_starts_an_hour_earlier_is_taken_for_its_neighbours_unless_its_zones_are_named() -> None:
    """What the model cannot know: the whole firm's habit. The confidence does not tell of it."""
    sessions, homes = workers(12, seed=14, zones=SITES, usual=7.4)
    assert measured(infer(sessions), homes)["near"] >= 0.70
    assert measured(infer(sessions, zones=SITES), homes)["zone"] >= 0.75


@pytest.mark.parametrize("zones", [None, SITES], ids=["any", "sites"])
def test_those_whom_nobody_can_place_are_unknown_or_not_sure(zones: tuple[str, ...] | None) -> None:
    kinds = {kind: infer(sessions, zones=zones) for kind, sessions in odd_ones(20).items()}
    assert kinds["robot"]["why"].unique().to_list() == ["use around the clock"]
    for kind in ("robot", "rotating", "seldom"):
        assert kinds[kind].height >= 19
        assert kinds[kind]["confidence"].to_list() == [0.0] * kinds[kind].height
        assert kinds[kind]["zone"].null_count() == kinds[kind].height
    assert all(why.startswith("too few days: ") for why in kinds["seldom"]["why"])
    # Who works every night looks like a day worker half a world away: only the sites of a firm help against it.
    night = kinds["night"].filter(pl.col("confidence") >= 0.8, pl.col("zone").is_not_null())
    assert night.height <= (9 if zones is None else 4)


def test_use_left_open_overnight_counts_to_the_end_of_a_working_day() -> None:
    """Each session ends on the next morning; the starts still tell."""
    starts = [MONDAY + timedelta(days=7 * week + day, hours=8) for week in range(10) for day in range(5)]
    sessions = pl.DataFrame({"user": ["ana"] * 50, "start": starts, "end": [start + 23 * HOUR for start in starts]})
    (found,) = infer(sessions, zones=SITES).iter_rows(named=True)
    assert (found["zone"], found["days"]) == ("Europe/Madrid", 50)


def test_a_friday_weekend_is_known_where_it_is_usual() -> None:
    rng = np.random.default_rng(4)
    sunday_to_thursday = days_of(rng, Person(8.3, 9, frozenset({4, 5})))
    sessions = table({("ana", "Asia/Riyadh"): sunday_to_thursday})
    assert infer(sessions)["offset"].to_list() == [3 * HOUR]
    assert infer(sessions, zones=["Asia/Riyadh", "Asia/Tokyo"])["zone"].to_list() == ["Asia/Riyadh"]
    assert infer(sessions, zones=["Europe/Istanbul", "Asia/Tokyo"])["zone"].to_list() == [None]


# Changes of the clock.


def half(sessions: pl.DataFrame, *months: int) -> pl.DataFrame:
    return sessions.filter(pl.col("start").dt.month().is_in(months))


def test_a_change_of_the_clock_is_proposed_only_where_both_halves_of_the_year_have_days() -> None:
    rng = np.random.default_rng(5)
    sessions = table({("ana", "Europe/Madrid"): days_of(rng, Person(8.4, 9, frozenset({5, 6})))})
    (whole,) = infer(sessions).iter_rows(named=True)
    assert (whole["zone"], whole["is_dst_aware"]) == ("Europe/Madrid", True)
    assert (whole["offset_summer"], whole["offset_winter"]) == (2 * HOUR, HOUR)
    (summer,) = infer(half(sessions, 5, 6, 7, 8)).iter_rows(named=True)
    assert (summer["zone"], summer["is_dst_aware"], summer["offset_winter"]) == ("Etc/GMT-2", False, None)
    assert summer["offset"] == 2 * HOUR
    (winter,) = infer(half(sessions, 1, 2, 11, 12)).iter_rows(named=True)
    assert (winter["zone"], winter["offset"]) == ("Etc/GMT-1", HOUR)
    (site,) = infer(half(sessions, 5, 6, 7, 8), zones=SITES).iter_rows(named=True)
    assert (site["zone"], site["is_dst_aware"]) == ("Europe/Madrid", False)


def test_clocks_of_the_south_and_clocks_that_stay_are_told_apart() -> None:
    rng = np.random.default_rng(6)
    homes = ("Australia/Sydney", "Australia/Brisbane", "America/New_York", "America/Bogota")
    sessions = table({(zone, zone): days_of(rng, Person(8.4, 9, frozenset({5, 6}))) for zone in homes})
    found = infer(sessions, zones=homes)
    assert found["zone"].to_list() == list(homes)
    assert found["is_dst_aware"].to_list() == [True, False, True, False]
    assert found["offset_summer"].to_list() == [10 * HOUR, None, -4 * HOUR, None]
    assert found["offset_winter"].to_list() == [11 * HOUR, None, -5 * HOUR, None]


def test_zones_that_always_agree_are_one_choice_and_the_first_is_named() -> None:
    rng = np.random.default_rng(7)
    sessions = table({("ana", "Europe/Madrid"): days_of(rng, Person(8.4, 9, frozenset({5, 6})))})
    both = infer(sessions, zones=["Europe/Rome", "Asia/Tokyo", "Europe/Madrid"])
    assert both["zone"].to_list() == ["Europe/Rome"]
    assert both["confidence"][0] >= infer(sessions, zones=["Europe/Rome", "Asia/Tokyo"])["confidence"][0]


# A plain reference.


def reference(uses: list[tuple[datetime, datetime | None]], zones: list[str]) -> tuple[int, str, float]:
    """Days, likeliest zone and confidence of one user, hour by hour and habit by habit, by Python's own zones."""
    parts: dict[int, float] = defaultdict(float)
    for start, end in uses:
        at = start.timestamp() / 3600
        if end is None or end - start > 12 * HOUR:
            first = min(one for one, _ in uses if start - 9 * HOUR <= one <= start)
            until = max(first.timestamp() / 3600 + 9, at + 1)
        else:
            until = max(end.timestamp() / 3600, at + 0.1)
        for hour in range(int(at), math.ceil(until)):
            parts[hour] += min(until, hour + 1) - max(at, hour)
    parts = {hour: min(part, 1.0) for hour, part in sorted(parts.items())}
    days = sum(not any(hour - back in parts for back in range(1, 6)) for hour in parts)
    slots: dict[int, list[float]] = defaultdict(list)
    for hour, part in parts.items():
        slots[(hour + 72) % 168].append(part)
    whole, chance = (sum(value(each) for each in slots.values()) for value in (squared, squares))
    length = math.sqrt(max(whole - chance, whole / 4))

    def fit(zone: str | None, minutes: int) -> float:
        total = 0.0
        for hour, part in parts.items():
            east = 0 if zone is None else offset_in_week(zone, hour)
            total += part * presence(hour + 72 + (east + minutes) / 60) / model_length((east + minutes) % 60)
        return total / length

    weight = 20 * min(days, sum(parts.values()) / 5, 40)
    masses = {}
    for zone in zones:
        leads = (0, 1440) if zone in FRIDAY_WEEKENDS else (0,)
        habits = [math.exp(-((habit / 48) ** 2) / 2) for habit in range(-180, 181, 15)]
        masses[zone] = sum(
            0.97 / len(zones) * share / sum(habits) / len(leads) * math.exp(weight * fit(zone, lead + habit))
            for lead in leads
            for habit, share in zip(range(-180, 181, 15), habits, strict=True)
        )
    anywhere = [math.exp(weight * fit(None, minutes)) for minutes in range(-720, 720, 15)]
    total = sum(masses.values()) + 0.03 * sum(anywhere) / len(anywhere)
    best = max(masses, key=lambda zone: masses[zone])
    return days, best, masses[best] / total


@functools.cache
def model_length(minutes: int) -> float:
    """Of the model week as a vector of hours, which depends on where in the hours it is cut."""
    return math.sqrt(sum(presence(slot + minutes / 60) ** 2 for slot in range(168)))


def squared(each: list[float]) -> float:
    return sum(each) ** 2


def squares(each: list[float]) -> float:
    return sum(part**2 for part in each)


def offset_in_week(zone: str, hour: int) -> int:
    """Minutes east of UTC on the Wednesday of the week."""
    wednesday = (hour + 72) // 168 * 168 - 72 + 60
    known = datetime.fromtimestamp(wednesday * 3600, ZoneInfo(zone)).utcoffset()
    assert known is not None
    return round(known / timedelta(minutes=1))


def presence(hour: float) -> float:
    return sum(at_work(hour + quarter / 4 + 1 / 8) for quarter in range(4)) / 4


def at_work(hour: float) -> float:
    day, clock = divmod(hour % 168, 24)

    def before(mean: float, spread: float) -> float:
        return (1 + math.erf((clock - mean) / spread / math.sqrt(2))) / 2

    lunch = 1 - 0.3 * math.exp(-(((clock - 12.6) / 0.6) ** 2) / 2)
    return 0.0 if day >= 5 else before(8.5, 1.0) * (1 - before(17.5, 1.25)) * lunch


@st.composite
def a_few_weeks(draw: st.DrawFn) -> list[tuple[datetime, datetime | None]]:
    uses: list[tuple[datetime, datetime | None]] = []
    for day in draw(st.lists(st.integers(0, 27), min_size=6, max_size=14)):
        start = MONDAY + timedelta(days=day, minutes=draw(st.integers(0, 1439)) // draw(st.sampled_from([1, 4, 4])))
        length = draw(st.one_of(st.none(), st.just(0), st.integers(1, 900)))
        uses.append((start, None if length is None else start + timedelta(minutes=length)))
    return uses


@settings(max_examples=10, deadline=None)
@given(a_few_weeks(), st.sampled_from([["Europe/Madrid", "Asia/Kolkata"], ["Asia/Riyadh", "America/Chicago", "UTC"]]))
def test_days_zone_and_confidence_equal_the_plain_reference(
    uses: list[tuple[datetime, datetime | None]], zones: list[str]
) -> None:
    days, zone, confidence = reference(uses, zones)
    sessions = pl.DataFrame([("ana", *use) for use in uses], schema=COLUMNS, orient="row")
    with pytest.MonkeyPatch.context() as patch:
        # What is refused for its shape would not be compared.
        patch.setattr(model, "LEAST_FIT", 0.0)
        patch.setattr(model, "QUIET", 0)
        (found,) = infer(sessions, zones=zones, min_days=1).iter_rows(named=True)
    assert found["days"] == days
    assert found["confidence"] == pytest.approx(confidence, abs=0.002)
    assert found["zone"] in (zone, None)
    assert (found["offset"] is None) == (found["zone"] is None)


# Laws.

SMALL, HOMES = workers(2, seed=21, zones=SITES)


def assert_alike(found: pl.DataFrame, expected: pl.DataFrame) -> None:
    """The same but for the last digit of the confidence, since sums of floats depend on their order."""
    assert found.drop("confidence").rows() == expected.drop("confidence").rows()
    for one, other in zip(found["confidence"], expected["confidence"], strict=True):
        assert one == pytest.approx(other, abs=0.002)


@settings(max_examples=5, deadline=None)
@given(st.integers(0, 2**32), st.sampled_from([None, SITES]))
def test_the_order_of_rows_changes_nothing(seed: int, zones: tuple[str, ...] | None) -> None:
    mixed = SMALL.sample(fraction=1, shuffle=True, seed=seed)
    assert_alike(infer(mixed, zones=zones).sort("user"), infer(SMALL, zones=zones).sort("user"))


@settings(max_examples=5, deadline=None)
@given(st.sets(st.sampled_from(sorted(HOMES)), min_size=1), st.sampled_from([None, SITES]))
def test_users_do_not_influence_each_other(some: set[str], zones: tuple[str, ...] | None) -> None:
    apart = infer(SMALL.filter(pl.col("user").is_in(some)), zones=zones)
    together = infer(SMALL, zones=zones).filter(pl.col("user").is_in(some))
    assert_alike(apart, together)


def test_crowds_are_worked_on_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    expected = infer(SMALL)
    monkeypatch.setattr(model, "CROWD", 5)
    assert_alike(infer(SMALL), expected)


@settings(max_examples=6, deadline=None)
@given(st.integers(-5, 5))
def test_moving_all_times_by_whole_hours_moves_the_offset(hours: int) -> None:
    def fixed(east: int) -> str:
        return f"Etc/GMT{-east:+d}"

    def inferred(by: int) -> pl.DataFrame:
        moved = SMALL.with_columns(pl.col("start", "end") - timedelta(hours=by))
        return infer(moved, zones=[fixed(east + by) for east in (-6, -3, 0, 3, 6)])

    plain = inferred(0)
    assert plain["zone"].null_count() < plain.height
    moved = inferred(hours).with_columns(pl.col("offset") - timedelta(hours=hours))
    for before, after in zip(plain.iter_rows(named=True), moved.iter_rows(named=True), strict=True):
        assert (before["days"], before["sessions"]) == (after["days"], after["sessions"])
        if min(before["confidence"], after["confidence"]) > 0.6:
            assert before["offset"] == after["offset"]


# Calls and data.


def test_the_table_and_every_library(tmp_path: Any) -> None:
    found = tf.infer_zones(SMALL, zones=SITES)
    assert found.schema == tables.INFERRED_ZONES
    assert found["user"].cast(pl.String).to_list() == list(HOMES)
    assert found["sessions"].sum() == SMALL.height
    SMALL.write_parquet(tmp_path / "sessions.parquet")
    for other in (SMALL.to_arrow(), SMALL.to_pandas(), pl.scan_parquet(tmp_path / "sessions.parquet")):
        assert_alike(tf.infer_zones(other, zones=SITES), found)
    assert tf.infer_zones(SMALL.clear()).schema == tables.INFERRED_ZONES


def test_rows_that_say_nothing_are_told_and_the_others_count() -> None:
    day = [MONDAY, MONDAY + 9 * HOUR]
    rows = [
        ("ana", *day), (None, *day), ("ana", None, MONDAY), ("ana", *day[::-1]), ("bob", None, None),
        ("ana", datetime(1969, 1, 1, tzinfo=UTC), MONDAY), ("ana", MONDAY, None),
    ]  # fmt: skip
    problems = tf.Problems()
    found = infer(pl.DataFrame(rows, schema=COLUMNS, orient="row"), problems=problems)
    assert problems.frame.select("location", "code").rows() == [
        (1, "missing_user"), (2, "missing_start"), (3, "end_before_start"), (4, "missing_start"),
        (5, "time_out_of_range"),
    ]  # fmt: skip
    assert found.select("user", "zone", "days", "sessions", "why").rows() == [
        ("ana", None, 1, 2, "too few days: 1"),
        ("bob", None, 0, 0, "no use that counts"),
    ]


def test_users_without_any_use_that_counts_are_rows_too() -> None:
    rows = [("ana", MONDAY, MONDAY - HOUR), ("bob", None, None)]
    found = infer(pl.DataFrame(rows, schema=COLUMNS, orient="row"), problems=tf.Problems())
    assert found.select("user", "zone", "days", "why").rows() == [
        ("ana", None, 0, "no use that counts"),
        ("bob", None, 0, "no use that counts"),
    ]
    assert tf.infer_zones(pl.DataFrame(rows[:0], schema=COLUMNS, orient="row")).schema == tables.INFERRED_ZONES


def test_wrong_calls_are_refused() -> None:
    for wrong, error, words in (
        ({"zones": []}, tf.ArgumentError, "zones is empty"),
        ({"zones": "Europe/Madrid"}, tf.ArgumentTypeError, "not one name"),
        ({"zones": [7]}, tf.ArgumentTypeError, "not int"),
        ({"zones": ["Mars/Olympus"]}, tf.ZoneError, "Mars"),
        ({"min_days": 0}, tf.ArgumentError, "1 or more"),
        ({"min_days": 2.5}, tf.ArgumentTypeError, "whole number"),
    ):
        with pytest.raises(error, match=words):
            tf.infer_zones(SMALL, **wrong)
    with pytest.raises(tf.MissingColumnError, match="'end' is missing"):
        tf.infer_zones(SMALL.drop("end"))
    with pytest.raises(tf.ColumnTypeError, match="no time zone"):
        tf.infer_zones(SMALL.with_columns(pl.col("start").dt.replace_time_zone(None)))


def test_every_candidate_is_a_zone_and_there_is_one_for_each_offset_of_today() -> None:
    offsets = {datetime(2026, month, 15, tzinfo=ZoneInfo(zone)).utcoffset() for zone in CANDIDATES for month in (1, 7)}
    for quarters in (-48, -38, 14, 18, 22, 23, 26, 38, 42, 51, *range(-44, 57, 4)):
        assert timedelta(minutes=15 * quarters) in offsets, quarters / 4


def test_confident_zones_charge_by_the_users_own_days() -> None:
    """The whole road: what was inferred goes into `charge`, and what is unknown is told there."""
    sessions = SMALL.with_columns(product=pl.lit("ACD"))
    problems = tf.Problems()
    zones = tf.UserZones.from_inferred(tf.infer_zones(sessions, zones=SITES), at_least=0.9, problems=problems)
    assert set(zones.zones) | {row["message"].split("'")[1] for row in problems} == set(HOMES)
    assert all(HOMES[user] == zone for user, zone in zones.zones.items())
    rule = tf.Rule(window="day", zone="user")
    charges = tf.charge(sessions, rule=rule, rates=tf.Rates({"ACD": 7}), users=zones, problems=problems)
    assert set(charges["user"].cast(pl.String).unique()) == set(zones.zones)


def test_the_generator_is_not_the_model() -> None:
    rng = np.random.default_rng(8)
    people = [person(rng, "Europe/Madrid") for _ in range(200)]
    assert min(each.comes for each in people) < 7.5
    assert max(each.comes for each in people) > 9.5
