"""The worked examples of charging, each named by its id. Where they come from is told in SEMANTICS.md."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import polars as pl

import tokenflex as tf

if TYPE_CHECKING:
    from collections.abc import Sequence

RATES = tf.Rates({"ACD": 7, "RVT": 10})

# Monday.
DAY_ONE = date(2026, 7, 13)


def at(clock: str, *, day: int = 0, zone: str = "UTC") -> datetime:
    """A clock time on the n-th day after Monday, 13 July 2026."""
    local = datetime.fromisoformat(f"{DAY_ONE + timedelta(days=day)}T{clock}")
    return local.replace(tzinfo=ZoneInfo(zone)).astimezone(UTC)


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def sessions(
    *spans: tuple[datetime, datetime], user: str = "ana", product: str = "ACD", server: str = "lic-01"
) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "user": [user] * len(spans),
            "product": [product] * len(spans),
            "server": [server] * len(spans),
            "start": [start for start, _ in spans],
            "end": [end for _, end in spans],
        },
        schema_overrides={"start": pl.Datetime("us", "UTC"), "end": pl.Datetime("us", "UTC")},
    )


def flex(*tables: pl.DataFrame) -> pl.DataFrame:
    return tf.charge(pl.concat(tables), rule=tf.FLEX, rates=RATES)


def token_flex(table: pl.DataFrame, zone: str) -> pl.DataFrame:
    return tf.charge(table, rule=tf.TOKEN_FLEX, rates=RATES, servers={"lic-01": zone})


def log_of(lines: Sequence[str], *, day: str = "7/13/2026") -> bytes:
    """A debug log of one day."""
    return "\n".join([f" 0:00:01 (adskflex) TIMESTAMP {day}", *lines, ""]).encode()


def charges_of_log(log: bytes, **arguments: Any) -> pl.DataFrame:
    """The road from a log to its charges."""
    events = tf.read_flexlm(log, timezone="America/New_York", server="lic-01").events
    return tf.charge(tf.pair(events), rates=RATES, **arguments)


def test_tv1_a_window_runs_24_hours_from_the_first_use_and_is_charged_again_at_its_end() -> None:
    work = sessions((at("08:00"), at("17:00")), (at("07:00", day=1), at("17:00", day=1)))
    charges = flex(work)
    assert charges["charged_at"].to_list() == [at("08:00"), at("08:00", day=1)]
    assert charges["tokens"].to_list() == [7, 7]
    assert charges["trigger"].to_list() == ["launch", "renewal"]
    assert charges["session"].to_list() == [0, 1]
    assert charges["tokens"].sum() == 14


def test_tv2_one_window_over_midnight_is_dated_by_its_start() -> None:
    one_run = sessions((at("19:00"), at("17:00", day=1)))
    launches = sessions(
        *((at("19:00") + timedelta(hours=hour), at("19:40") + timedelta(hours=hour)) for hour in range(22))
    )
    for work in (one_run, launches):
        charges = flex(work)
        assert charges["charged_at"].to_list() == [at("19:00")]
        assert charges["usage_date"].to_list() == [DAY_ONE]
        assert charges["window_end"].to_list() == [at("19:00", day=1)]


def test_tv3_products_add_up() -> None:
    charges = flex(
        sessions((at("08:00"), at("10:00"))), sessions((at("15:00"), at("16:00", day=1)), product="RVT")
    ).filter(pl.col("charged_at") < at("08:00", day=1))
    tokens = charges["tokens"].sum()
    assert tokens == Decimal(17)
    assert tokens * 3 == Decimal(51)


def test_tv4_a_launch_closed_within_five_minutes_is_free() -> None:
    minutes = timedelta(minutes=5)
    shorter = sessions((at("08:00"), at("08:00") + minutes - timedelta(microseconds=1)))
    assert flex(shorter).is_empty()
    assert flex(sessions((at("08:00"), at("08:00") + minutes)))["tokens"].to_list() == [7]


def test_tv5_two_versions_of_one_product_share_a_window() -> None:
    log = log_of(
        [
            ' 8:00:00 (adskflex) OUT: "64300ACD_F" ana@pc00243  ',
            ' 8:00:00 (adskflex) OUT: "87545ACD_2022_0F" ana@pc00243  ',
            ' 9:30:00 (adskflex) IN: "87545ACD_2022_0F" ana@pc00243  ',
            ' 9:30:00 (adskflex) IN: "64300ACD_F" ana@pc00243  ',
            '14:00:00 (adskflex) OUT: "64300ACD_F" ana@pc00243  ',
            '14:00:00 (adskflex) OUT: "87676ACD_2023_0F" ana@pc00243  ',
            '17:00:00 (adskflex) IN: "87676ACD_2023_0F" ana@pc00243  ',
            '17:00:00 (adskflex) IN: "64300ACD_F" ana@pc00243  ',
        ]
    )
    charges = charges_of_log(log, rule=tf.FLEX)
    assert charges.select("user", "product", "charged_at", "tokens").rows() == [
        ("ana", "ACD", utc("2026-07-13 12:00"), Decimal(7))
    ]


def test_tv6_three_users_on_three_days() -> None:
    work = [
        sessions((at("09:00", day=day), at("17:00", day=day)), user=user, product="RVT")
        for user in ("ana", "bo", "cyd")
        for day in range(3)
    ]
    charges = flex(*work)
    assert charges.height == 9
    assert charges["tokens"].sum() == Decimal(90)


def test_tv7_work_past_the_midnight_of_the_server_is_charged_twice() -> None:
    start, end = at("11:29", zone="Asia/Singapore"), at("15:00", zone="Asia/Singapore")
    charges = token_flex(sessions((start, end)), "America/New_York")
    assert start == utc("2026-07-13 03:29")
    assert charges["charged_at"].to_list() == [start, utc("2026-07-13 04:00")]
    assert charges["trigger"].to_list() == ["launch", "renewal"]
    assert charges["usage_date"].to_list() == [date(2026, 7, 12), date(2026, 7, 13)]
    assert charges["window_end"].to_list() == [utc("2026-07-13 04:00"), utc("2026-07-14 04:00")]


def test_tv8_one_working_day_in_singapore_is_two_days_in_new_york() -> None:
    work = sessions((at("09:00", zone="Asia/Singapore"), at("18:00", zone="Asia/Singapore")))
    charges = token_flex(work, "America/New_York")
    assert charges["charged_at"].to_list() == [utc("2026-07-13 01:00"), utc("2026-07-13 04:00")]
    # The day of the user's own zone.
    own_day = tf.charge(work, rule=tf.Rule(window="day", zone="Asia/Singapore"), rates=RATES)
    assert own_day["charged_at"].to_list() == [utc("2026-07-13 01:00")]


def test_tv9_a_working_week_in_singapore_is_six_days_in_new_york() -> None:
    week = sessions(
        *(
            (at("09:00", day=day, zone="Asia/Singapore"), at("18:00", day=day, zone="Asia/Singapore"))
            for day in range(5)
        )
    )
    charges = token_flex(week, "America/New_York")
    sunday = date(2026, 7, 12)
    assert sorted(charges["usage_date"].to_list()) == [sunday + timedelta(days=day) for day in range(6)]
    own_days = tf.charge(week, rule=tf.Rule(window="day", zone="Asia/Singapore"), rates=RATES)
    assert own_days.height == 5


def test_tv10_summer_time_moves_the_midnight_of_the_server() -> None:
    for day, midnight in (("2026-01-15", "06:00"), ("2026-07-15", "05:00")):
        seoul = ZoneInfo("Asia/Seoul")
        start = datetime.fromisoformat(f"{day}T09:00").replace(tzinfo=seoul)
        work = sessions((start.astimezone(UTC), (start + timedelta(hours=9)).astimezone(UTC)))
        charges = token_flex(work, "America/Chicago")
        assert charges["charged_at"].to_list() == [utc(f"{day} 00:00"), utc(f"{day} {midnight}")]


def test_tv11_instances_on_several_machines_cost_one_daily_price() -> None:
    log = log_of(
        [
            f'{hour}:{minute}:00 (adskflex) {kind}: "87545ACD_2022_0F" ana@{host}  '
            for hour, minute, kind, host in [
                (10, "00", "OUT", "pc1"),
                (10, "01", "OUT", "pc1"),
                (10, "30", "OUT", "pc2"),
                (11, "00", "OUT", "pc3"),
                (12, "00", "IN", "pc1"),
                (13, "00", "IN", "pc1"),
                (13, "30", "IN", "pc3"),
                (14, "00", "IN", "pc2"),
                (15, "00", "OUT", "pc4"),
                (16, "00", "IN", "pc4"),
            ]
        ]
    )
    for rule in (tf.FLEX, tf.TOKEN_FLEX):
        charges = charges_of_log(log, rule=rule, servers={"lic-01": "America/New_York"})
        assert charges.select("user", "product", "charged_at", "tokens").rows() == [
            ("ana", "ACD", utc("2026-07-13 14:00"), Decimal(7))
        ]
