"""`zone_whatif`, `place_servers`: one pass gives what `charge` does zone by zone, the search what brute force does."""

from __future__ import annotations

import itertools
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import tokenflex as tf
from strategies import HOMES, SERVERS, Case, frame, whole_cases
from tokenflex.metering.place_servers import cheapest

if TYPE_CHECKING:
    from collections.abc import Mapping

RATES = tf.Rates({"ACD": 7})
OFFSETS = {f"UTC{hours:+}" if hours else "UTC": f"Etc/GMT{-hours:+}" if hours else "UTC" for hours in range(-12, 15)}
SITES = {"ana": "Madrid", "Ana": "Chicago"}


def work(*spans: tuple[str, str], server: str = "lic-01") -> pl.DataFrame:
    times = [[datetime.fromisoformat(text).replace(tzinfo=UTC) for text in span] for span in spans]
    return pl.DataFrame(
        {
            "user": ["mei"] * len(spans),
            "product": ["ACD"] * len(spans),
            "server": [server] * len(spans),
            "start": [start for start, _ in times],
            "end": [end for _, end in times],
        }
    )


def zone_by_zone(case: Case, sessions: pl.DataFrame, rule: tf.Rule, sites: Mapping[str, str] | None) -> dict[Any, Any]:
    """The definition: charge, and count by the site of the session that caused each charge."""
    site_of = sessions["server"] if sites is None else [sites.get(user) for user in sessions["user"]]
    arguments = case.for_verb() | {"rule": rule}
    charges = tf.charge(sessions, **arguments)
    found: dict[Any, Any] = dict.fromkeys(site_of, (0, 0, 0))
    for session, tokens in charges.select("session", "tokens").iter_rows():
        count, total, missing = found[site_of[session]]
        found[site_of[session]] = (count + 1, total + (tokens or 0), missing + (tokens is None))
    return found


@given(
    whole_cases(reports=False),
    st.lists(st.sampled_from([*OFFSETS, *SERVERS.values(), "Asia/Kolkata"]), min_size=1, max_size=4, unique=True),
    st.sampled_from([None, SITES]),
    st.sampled_from(["table", "prepared"]),
)
@settings(max_examples=200)
def test_every_zone_is_what_charge_gives(case: Case, zones: list[str], sites: dict[str, str] | None, form: str) -> None:
    arguments = case.for_verb()
    rule = arguments["rule"]
    assume(rule.window == "day")
    table = frame(case.sessions)
    given_sessions = tf.prepare(table, as_of=case.as_of) if form == "prepared" else table
    found = tf.zone_whatif(
        given_sessions,
        rates=arguments["rates"],
        rule=rule,
        zones=zones,
        servers=case.servers,
        users=HOMES,
        sites=sites,
        as_of=case.as_of,
        problems=tf.Problems(),
    )
    rules = {zone: replace(rule, zone=OFFSETS.get(zone, zone)) for zone in zones}
    rules |= {"user": replace(rule, zone="user"), "today": rule}
    for zone, of_zone in rules.items():
        of_case = replace(case, users=HOMES)
        rows = found.filter(pl.col("zone") == zone).select("site", "charges", "tokens", "charges_without_rate")
        assert {site: tuple(rest) for site, *rest in rows.iter_rows()} == zone_by_zone(of_case, table, of_zone, sites)


def test_the_offsets_in_one_pass_are_those_of_charge() -> None:
    table = work(("2026-07-13T01:00", "2026-07-17T10:30"), ("2026-07-19T23:59", "2026-07-20T00:00:00.000001"))
    dated = tf.Rates(
        pl.DataFrame({"product": ["ACD"] * 2, "tokens": ["7", "9"], "effective_from": [None, "2026-07-15"]})
    )
    for day_start in (timedelta(0), timedelta(hours=4, minutes=20)):
        rule = tf.Rule(window="day", day_start=day_start)
        found = tf.zone_whatif(table, rates=dated, rule=rule)
        assert found["zone"].to_list() == list(OFFSETS)
        expected = [
            tf.charge(table, rates=dated, rule=replace(rule, zone=zone))["tokens"].sum() for zone in OFFSETS.values()
        ]
        assert found["tokens"].to_list() == expected


def tokens(table: pl.DataFrame, zone: str, user: str) -> dict[str | None, object]:
    found = tf.zone_whatif(
        table, rates=RATES, rule=tf.TOKEN_FLEX, zones=[user], servers={"lic-01": zone}, users={"mei": user}
    )
    return dict(found.select("zone", "tokens").iter_rows())


def test_tv8_one_working_day_in_singapore_by_zone() -> None:
    found = tokens(work(("2026-07-13T01:00", "2026-07-13T10:00")), "America/New_York", "Asia/Singapore")
    assert found == {"Asia/Singapore": 7, "user": 7, "today": 14}


def test_tv9_five_working_days_in_singapore_by_zone() -> None:
    week = work(*((f"2026-07-{day}T01:00", f"2026-07-{day}T10:00") for day in range(13, 18)))
    assert tokens(week, "America/New_York", "Asia/Singapore") == {"Asia/Singapore": 35, "user": 35, "today": 42}


@pytest.mark.parametrize("day", ["2026-01-15", "2026-07-15"])
def test_tv10_one_working_day_in_seoul_by_zone(day: str) -> None:
    found = tokens(work((f"{day}T00:00", f"{day}T09:00")), "America/Chicago", "Asia/Seoul")
    assert found == {"Asia/Seoul": 7, "user": 7, "today": 14}


def test_users_without_a_zone_and_sessions_without_a_site_are_named() -> None:
    table = work(("2026-07-13T01:00", "2026-07-13T10:00")).with_columns(server=pl.lit(None, pl.String))
    problems = tf.Problems()
    found = tf.zone_whatif(table, rates=RATES, rule=tf.TOKEN_FLEX, zones=["UTC"], users={}, problems=problems)
    rows = found.select("site", "zone", "sessions", "tokens", "saving").rows()
    assert rows == [(None, "UTC", 1, 7, None), (None, "user", 0, 0, None), (None, None, 1, None, None)]
    assert [problem["code"] for problem in problems] == ["unknown_user"]


def test_bad_calls_say_what_to_do() -> None:
    table = work(("2026-07-13T01:00", "2026-07-13T10:00"))
    with pytest.raises(tf.ArgumentError, match="rolling windows have no zone"):
        tf.zone_whatif(table, rates=RATES, rule=tf.FLEX)
    with pytest.raises(tf.ZoneError):
        tf.zone_whatif(table, rates=RATES, rule=tf.TOKEN_FLEX, zones=["Europe/Madird"])
    with pytest.raises(tf.ArgumentError, match="name fewer candidates"):
        tf.place_servers(table, rates=RATES, rule=tf.TOKEN_FLEX, servers=13)


@given(st.data(), st.integers(1, 6), st.integers(1, 4))
def test_the_choice_of_zones_is_that_of_brute_force(data: st.DataObject, zones: int, sites: int) -> None:
    row = st.lists(st.integers(0, 4), min_size=zones, max_size=zones)
    matrix = data.draw(st.lists(row, min_size=sites, max_size=sites))
    kept = data.draw(st.lists(st.none() | st.integers(0, zones - 1), min_size=sites, max_size=sites))
    count = data.draw(st.integers(1, zones))

    def worth(picked: tuple[int, ...]) -> tuple[int, int]:
        return (
            sum(costs[place] for costs, place in zip(matrix, picked, strict=True)),
            sum(place != now for place, now in zip(picked, kept, strict=True)),
        )

    every = [picked for picked in itertools.product(range(zones), repeat=sites) if len(set(picked)) <= count]
    found = tuple(cheapest(matrix, kept, count))
    assert len(set(found)) <= count
    assert worth(found) == min(map(worth, every))


@given(whole_cases(reports=False), st.integers(1, 2))
@settings(max_examples=60)
def test_sites_placed_together_cost_what_charge_says(case: Case, count: int) -> None:
    rule = case.for_verb()["rule"]
    assume(rule.window == "day" and rule.zone != "user" and not rule.machine_metered)
    table, rates = frame(case.sessions), case.for_verb()["rates"]
    candidates = ["UTC-5", "Asia/Kolkata", "UTC+8"]
    placed = tf.place_servers(
        table, rates=rates, rule=rule, servers=count, candidates=candidates, sites=SITES, as_of=case.as_of,
        problems=tf.Problems(),
    )  # fmt: skip
    zone_of = dict(placed.select("site", "zone").iter_rows())
    places = {user: str(zone_of[SITES.get(user)]) for user in table["user"] if user}
    users = {user: OFFSETS.get(zone, zone) for user, zone in places.items()}
    if rule.scope == "server" and table["server"].null_count():
        return
    charged = tf.charge(
        table, rates=rates, rule=replace(rule, zone="user"), users=users, as_of=case.as_of, problems=tf.Problems()
    )
    assert placed["tokens"].sum() == (charged["tokens"].sum() or 0)
