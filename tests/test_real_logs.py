"""The real logs, where they are present: the figures found by others, and every charge against the reference.

They lie outside of the repository, in `../shared/logs` or where `TOKENFLEX_LOGS` says.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import polars as pl
import pytest
from typer.testing import CliRunner

import reference
import tokenflex as tf
from tokenflex import cli

LOGS = Path(os.environ.get("TOKENFLEX_LOGS", Path(__file__).parents[2] / "shared" / "logs"))
ADSKFLEX = LOGS / "adskflex.log"
ANSYSLMD = LOGS / "ansyslmd.log"
HOUR = timedelta(hours=1)

pytestmark = pytest.mark.skipif(not ADSKFLEX.exists(), reason="the real logs are not here")


@pytest.fixture(scope="module")
def adskflex() -> tf.FlexlmLog:
    return tf.read_flexlm(ADSKFLEX, timezone="Europe/Madrid", server="madrid")


@pytest.fixture(scope="module")
def ansyslmd() -> tf.FlexlmLog:
    return tf.read_flexlm(ANSYSLMD, timezone="America/Detroit", server="detroit")


def test_events_of_adskflex(adskflex: tf.FlexlmLog) -> None:
    kinds = dict(adskflex.events.group_by("kind").len().iter_rows())
    assert (kinds["OUT"], kinds["IN"], kinds["UNSUPPORTED"]) == (8402, 8400, 2)
    components = adskflex.events.filter(
        (pl.col("kind") == "OUT") & pl.col("feature").cast(pl.String).str.ends_with("_0F")
    )
    assert components.height == 4556
    assert adskflex.problems.height == 0


def test_days_of_adskflex(adskflex: tf.FlexlmLog) -> None:
    row = adskflex.coverage.row(0, named=True)
    assert row["days"] == 64, "63 changes of day"
    assert row["days_without_lines"] == []
    assert row["last"] == datetime.fromisoformat("2022-07-07T11:49:02+02:00")
    assert (row["checkins_logged"], row["reporting"]) == (True, False)


def test_every_date_of_adskflex(adskflex: tf.FlexlmLog) -> None:
    """Dates worked out here anew, from the steps of the clock and the stamps alone."""
    local = adskflex.events.select(
        "line", pl.col("time").dt.convert_time_zone("Europe/Madrid").dt.replace_time_zone(None)
    )
    dates = {}
    day, clock = date(2022, 5, 5), timedelta()
    for number, line in enumerate(ADSKFLEX.read_text().splitlines(), 1):
        found = re.match(r"([ \d]\d):(\d\d):(\d\d) ", line)
        if not found:
            continue
        now = timedelta(hours=int(found[1]), minutes=int(found[2]), seconds=int(found[3]))
        if clock - now > 12 * HOUR:
            day += timedelta(days=1)
        clock = now
        stamp = re.search(r"TIMESTAMP (\d+)/(\d+)/(\d+)", line)
        if stamp:
            assert day == date(int(stamp[3]), int(stamp[1]), int(stamp[2])), f"line {number}"
        dates[number] = datetime.combine(day, datetime.min.time()) + now
    assert local.height == 16_807
    assert all(dates[line] == time for line, time in local.iter_rows())


def test_sessions_of_adskflex(adskflex: tf.FlexlmLog) -> None:
    problems = tf.Problems()
    sessions = tf.pair(adskflex.events, packages=adskflex.packages, problems=problems)
    assert len(problems) == 0, "no check-in without a check-out"
    closed = sessions.filter(~pl.col("is_open"))
    assert (closed.height, sessions.height - closed.height) == (3885, 1)
    used = sum((closed["end"] - closed["start"]).to_list(), timedelta())
    assert round(used / HOUR, 3) == 5381.964
    assert sessions.equals(tf.pair(adskflex.events)), "the shape of the codes tells the packages as well"


def test_capacity_of_adskflex_in_one_command(adskflex: tf.FlexlmLog) -> None:
    given = ["capacity", str(ADSKFLEX), "--timezone", "Europe/Madrid", "--server", "madrid", "--count", "users"]
    result = CliRunner().invoke(cli.app, given, prog_name="tokenflex")
    assert result.exit_code == 0, result.stderr
    rows = [line.split() for line in result.stdout.splitlines()]
    # Counted by a plain look at all sessions at every start.
    sessions = tf.pair(adskflex.events)
    acd = sessions.filter(pl.col("product") == "ACD").select("user", "start", "end").rows()
    most = max(
        (len({user for user, start, end in acd if start <= at < end}), -at.timestamp())
        for at in {start for _, start, _ in acd}
    )
    (shown,) = (row for row in rows if row[:1] == ["ACD"])
    first = datetime.fromtimestamp(-most[1], tz=UTC)
    assert shown[1:4] == [str(most[0]), f"{first:%Y-%m-%d}", f"{first:%H:%M}Z"]
    used = sum((end - start for start, end in unions(sessions)), timedelta())
    heat = tf.heat_map(sessions, by=(), count="users", zone="Europe/Madrid")
    assert heat["used"].sum() == used
    assert [row[0] for row in rows if row[:1] and row[0] in ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")] == [
        "Mon",
        "Tue",
        "Wed",
        "Thu",
        "Fri",
        "Sat",
        "Sun",
    ]
    assert ["INVPROSA", "2", "2", "0", "0"] in [row[:5] for row in rows]


def test_licenses_in_use_are_a_plain_count_of_the_lines(adskflex: tf.FlexlmLog) -> None:
    counts: Counter[str] = Counter()
    most: Counter[str] = Counter()
    for line in ADSKFLEX.read_text().splitlines():
        found = re.search(r'\) (OUT|IN): "\d{5}([A-Z0-9]+)_\d{4}_0F"', line)
        if found:
            counts[found[2]] += 1 if found[1] == "OUT" else -1
            most[found[2]] = max(most[found[2]], counts[found[2]])
    held = tf.held(adskflex.events, packages=adskflex.packages)
    found_peaks = tf.capacity(held).select(pl.col("product").cast(pl.String), "peak").rows()
    # Within one second lines come in any order, and what ends in it is not in use with what begins.
    assert {name for name, _ in found_peaks} == set(most)
    assert all(most[name] - peak in (0, 1) for name, peak in found_peaks)


def unions(sessions: pl.DataFrame) -> list[tuple[datetime, datetime]]:
    """The stretches in which each user uses anything."""
    found: list[tuple[datetime, datetime]] = []
    for rows in sessions.sort("start").partition_by("user"):
        own: list[tuple[datetime, datetime]] = []
        for start, end in rows.select("start", "end").iter_rows():
            if own and start <= own[-1][1]:
                own[-1] = own[-1][0], max(own[-1][1], end)
            else:
                own.append((start, end))
        found += own
    return found


def test_ansyslmd_pairs_with_its_counts(ansyslmd: tf.FlexlmLog) -> None:
    kinds = dict(ansyslmd.events.group_by("kind").len().iter_rows())
    assert (kinds["OUT"], kinds["IN"]) == (2455, 2445)
    problems = tf.Problems()
    sessions = tf.pair(ansyslmd.events, problems=problems)
    assert len(problems) == 0
    counts: Counter[tuple[str, str, str]] = Counter()
    most = 0
    for line in ANSYSLMD.read_text().splitlines():
        found = re.search(r'\) (OUT|IN): "([^"]+)" (\S+)@(\S+)(?:  \((\d+) licenses\))?', line)
        if found:
            licenses = int(found[5] or 1)
            counts[found[2], found[3], found[4]] += licenses if found[1] == "OUT" else -licenses
            most = max(most, counts[found[2], found[3], found[4]])
    still_out = {key for key, count in counts.items() if count > 0}
    assert min(counts.values()) == 0
    is_open = sessions.filter("is_open").select("feature", "user", "host")
    assert set(is_open.iter_rows()) == still_out
    assert sessions["checkouts"].sum() == 2455
    assert sessions["licenses"].max() == most


@pytest.mark.parametrize("rule", [tf.FLEX, tf.TOKEN_FLEX], ids=["rolling", "day"])
@pytest.mark.parametrize(("name", "zone"), [("adskflex", "Europe/Madrid"), ("ansyslmd", "America/Detroit")])
def test_charges_equal_the_reference(name: str, zone: str, rule: tf.Rule, request: pytest.FixtureRequest) -> None:
    log: tf.FlexlmLog = request.getfixturevalue(name)
    sessions = tf.pair(log.events, problems=tf.Problems())
    products = sessions["product"].cast(pl.String).unique(maintain_order=True).to_list()
    prices = {product: Decimal(place + 1) / 4 for place, product in enumerate(products)}
    servers = {log.coverage["server"].item(): zone}
    charges = tf.charge(sessions, rule=rule, rates=tf.Rates(prices), servers=servers)
    plain = [
        reference.Session(row["user"], row["product"], row["start"], row["end"], row["server"])
        for row in sessions.iter_rows(named=True)
    ]
    terms = reference.Terms(rule.window, min_duration=rule.min_duration)
    rates = [reference.Rate(product, tokens) for product, tokens in prices.items()]
    expected = reference.charge(plain, terms, rates, servers)
    assert charges.drop("rule_id").to_dicts() == expected
    assert charges.height > 100
