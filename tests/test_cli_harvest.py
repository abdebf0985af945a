"""`tokenflex idle` and `tokenflex harvest` on the demo's logs, and what the demo's own record says of them."""

from __future__ import annotations

import json
from datetime import timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import polars as pl
import pytest
from typer.testing import CliRunner, Result

import tokenflex as tf
from reference import HOUR
from tokenflex import cli
from tokenflex.commands import options
from tokenflex.saving.replay import AFTER

if TYPE_CHECKING:
    from pathlib import Path

    from tokenflex.demo import DemoFirm


def run(command: str, demo_firm: DemoFirm, *more: object) -> Result:
    zones = [f"--timezone={server}={zone}" for server, zone in demo_firm.servers.items()]
    rates = ["--rates", demo_firm.rates_path, "--rule", demo_firm.rule_path] if command == "harvest" else []
    given = [command, demo_firm.folder / "logs", *zones, *rates, *more]
    return CliRunner().invoke(cli.app, [str(argument) for argument in given], prog_name="tokenflex")


def good(result: Result) -> str:
    assert result.exit_code == 0, result.stderr
    return result.stdout


@pytest.fixture(scope="module")
def sessions(demo_firm: DemoFirm) -> pl.DataFrame:
    log = tf.read_flexlm(demo_firm.folder / "logs", timezone=demo_firm.servers)
    return tf.pair(log.events, packages=log.packages, problems=tf.Problems())


@pytest.fixture(scope="module")
def activity(demo_firm: DemoFirm) -> pl.DataFrame:
    return tf.read_table(demo_firm.activity_path, columns={"start": "idle_start", "end": "idle_end"})


# The demo.


def test_all_that_was_left_open_is_seen_in_the_record(
    demo_firm: DemoFirm, sessions: pl.DataFrame, activity: pl.DataFrame
) -> None:
    found = tf.idle(sessions, activity=activity, idle_after=2 * HOUR)
    assert found.height == demo_firm.facts.left_open > 100


def test_inference_finds_what_was_left_open_and_next_to_nothing_else(
    demo_firm: DemoFirm, sessions: pl.DataFrame, activity: pl.DataFrame
) -> None:
    seen = set(tf.idle(sessions, activity=activity, idle_after=2 * HOUR)["session"])
    users = tf.UserZones.read(demo_firm.users_path)
    told = set(tf.idle(sessions, users=users, problems=tf.Problems())["session"])
    with_zone = sessions.with_row_index("row").filter(pl.col("user").cast(pl.String).is_in(list(users.zones)))["row"]
    assert len(told & seen) / len(told) > 0.95
    assert len(told & seen) / len(seen & set(with_zone)) > 0.95


def test_the_curve_of_the_demo_shows_where_the_saving_ends(
    demo_firm: DemoFirm, sessions: pl.DataFrame, activity: pl.DataFrame
) -> None:
    rule, rates = tf.Rule.read(demo_firm.rule_path), tf.Rates.read(demo_firm.rates_path)
    saved = tf.harvest_replay(
        sessions, rule=rule, rates=rates, servers=demo_firm.servers, activity=activity, problems=tf.Problems()
    )
    assert saved["after"].to_list() == list(AFTER)
    curve = dict(saved.select("after", "tokens_saved").iter_rows())
    assert saved["tokens_saved"].is_sorted(descending=True)
    assert curve[4 * HOUR] > 10 * curve[8 * HOUR] > 0
    assert curve[24 * HOUR] > 0
    assert curve[72 * HOUR] == 0
    # Lunch is no reason to close anything: hundreds of cuts, and of each hundred next to none saves a token.
    lunch = saved.row(0, named=True)
    assert lunch["reopens"] > 1_000
    assert lunch["cuts_saving_nothing"] > 0.95 * lunch["cuts"]
    assert lunch["tokens_saved"] < curve[4 * HOUR] * Decimal("1.2")


# idle


def test_idle_by_the_record(demo_firm: DemoFirm, tmp_path: Path) -> None:
    out = tmp_path / "idle.csv"
    told = good(run("idle", demo_firm, "--activity", demo_firm.activity_path, "--after", "2h", "--out", out))
    assert max(len(line) for line in told.splitlines()) <= 100
    for words in ("hours of licenses were held and not used", "Who held what", "The longest", "2 d 14 h 35 min"):
        assert words in told
    spans = pl.read_csv(out)
    assert spans.height == demo_firm.facts.left_open
    assert spans.filter(pl.col("minutes") <= 120).is_empty()


def test_idle_as_json_is_what_the_verb_gives(demo_firm: DemoFirm, sessions: pl.DataFrame) -> None:
    told = json.loads(good(run("idle", demo_firm, "--users", demo_firm.users_path, "--timeout", "1h", "--json")))
    found = tf.idle(sessions, users=tf.UserZones.read(demo_firm.users_path), timeout=HOUR, problems=tf.Problems())
    assert [span["session"] for span in told["spans"]] == found["session"].to_list()
    assert sum(row["spans"] for row in told["by_source"]) == found.height
    assert {row["source"] for row in told["by_source"]} == {"timeout", "rest"}
    assert told["sessions"] == sessions.height


def test_idle_of_instants_and_of_local_times(demo_firm: DemoFirm, sessions: pl.DataFrame, tmp_path: Path) -> None:
    session = sessions.filter(pl.col("end") - pl.col("start") > pl.duration(hours=5)).row(0, named=True)
    seen = [session["start"] + timedelta(minutes=5), session["start"] + timedelta(hours=4)]
    text = "User,Time\n" + "".join(f"{session['user']},{at:%Y-%m-%d %H:%M:%S}Z\n" for at in seen)
    (tmp_path / "seen.csv").write_text(text)
    told = json.loads(good(run("idle", demo_firm, "--activity", tmp_path / "seen.csv", "--json")))
    instants = pl.DataFrame({"user": [session["user"]] * 2, "time": seen})
    assert [span["session"] for span in told["spans"]] == tf.idle(sessions, activity=instants)["session"].to_list()
    assert [round(span["minutes"]) for span in told["spans"] if span["end"][:19] == f"{seen[1]:%Y-%m-%dT%H:%M:%S}"] == [
        235
    ]
    (tmp_path / "local.csv").write_text(text.replace("Z\n", "\n"))
    result = run("idle", demo_firm, "--activity", tmp_path / "local.csv")
    assert result.exit_code == options.BAD_INPUT
    assert "zone" in result.stderr


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ([], "nothing tells of idle time"),
        (["--timeout", "soon"], "write minutes, hours or days"),
        (["--timeout", "0m"], "write minutes, hours or days"),
        (["--activity", "nowhere.csv"], "there is no such file"),
    ],
)
def test_idle_says_what_is_wrong(demo_firm: DemoFirm, more: list[str], says: str) -> None:
    result = run("idle", demo_firm, *more)
    assert result.exit_code == options.BAD_INPUT
    assert says in result.stderr
    assert "Traceback" not in result.stderr


def test_a_record_without_its_columns_is_refused(demo_firm: DemoFirm, tmp_path: Path) -> None:
    (tmp_path / "other.csv").write_text("who,when\nana,2026-01-01\n")
    result = run("idle", demo_firm, "--activity", tmp_path / "other.csv")
    assert result.exit_code == options.BAD_INPUT
    assert "Needed are user and time" in result.stderr


# harvest


def test_harvest_lists_what_is_open_and_writes_commands(demo_firm: DemoFirm, tmp_path: Path) -> None:
    out, night = tmp_path / "open.parquet", "2025-09-20T02:00Z"
    more = ["--as-of", night, "--activity", demo_firm.activity_path, "--server-address", "27000@lic", "--out", out]
    told = good(run("harvest", demo_firm, *more))
    found = pl.read_parquet(out)
    assert "open at 2025-09-20 02:00Z" in told
    left = found.filter(pl.col("user") == "grebe.mad").row(0, named=True)
    assert left["is_worth_it"]
    assert left["minutes_to_charge"] == 20 * 60
    command = "lmutil lmremove -c 27000@lic 87676ACD_2023_0F grebe.mad MAD-WS-010-N MAD-WS-010-N"
    assert left["command"] == command
    assert f"  {command}\n" in told
    rows = json.loads(good(run("harvest", demo_firm, *more[:-2], "--json")))
    assert [row["command"] for row in rows["sessions"]] == found["command"].to_list()
    assert rows["as_of"] == "2025-09-20T02:00:00Z"


def test_harvest_without_knowing_who_is_idle_says_so(demo_firm: DemoFirm) -> None:
    told = good(run("harvest", demo_firm, "--shell", "powershell"))
    assert "Give --activity" in told
    assert "not known" in told
    assert "lmutil" not in told


def test_harvest_takes_handles_of_lmstat(demo_firm: DemoFirm, sessions: pl.DataFrame, tmp_path: Path) -> None:
    row = sessions.filter(pl.col("is_open") & (pl.col("server") == "mad-lic-01")).row(0, named=True)
    start = row["start"].astimezone(ZoneInfo("Europe/Madrid"))
    text = (
        f"Flexible License Manager status on {start:%a %m/%d/%Y} 16:30\n\n"
        f"License server status: 2080@mad-lic-01\n\n"
        f"Users of {row['feature']}:  (Total of 16 licenses issued;  Total of 1 license in use)\n\n"
        f"    {row['user']} {row['host']} {row['host']}:1 (v1.0) (mad-lic-01/2080 1403), "
        f"start {start:%a} {start.month}/{start.day} {start:%H:%M}\n"
    )
    (tmp_path / "lmstat.txt").write_text(text)
    out = tmp_path / "open.parquet"
    good(run("harvest", demo_firm, "--lmstat", tmp_path / "lmstat.txt", "--server", "mad-lic-01", "--out", out))
    found = pl.read_parquet(out).filter(pl.col("handle").is_not_null())
    assert found.select("user", "handle").rows() == [(row["user"], 1403)]
    assert found["command"][0] == f"lmutil lmremove -c 2080@mad-lic-01 -h {row['feature']} mad-lic-01 2080 1403"


def test_harvest_replays(demo_firm: DemoFirm, tmp_path: Path) -> None:
    out = tmp_path / "saved.csv"
    more = ["--activity", demo_firm.activity_path, "--replay", "30m,4h,3d"]
    told = good(run("harvest", demo_firm, *more, "--out", out))
    assert "From 3 d on it saves nothing." in told
    assert max(len(line) for line in told.splitlines()) <= 100
    saved = pl.read_csv(out)
    assert saved["after_minutes"].to_list() == [30, 240, 3 * 24 * 60]
    rows: list[dict[str, Any]] = json.loads(good(run("harvest", demo_firm, *more, "--json")))
    assert [float(row["tokens_saved"]) for row in rows] == saved["tokens_saved"].to_list()


def test_a_replay_without_idle_time_says_so(demo_firm: DemoFirm, tmp_path: Path) -> None:
    (tmp_path / "seen.csv").write_text("user,time\nnobody,2025-10-01T08:00Z\n")
    told = good(run("harvest", demo_firm, "--activity", tmp_path / "seen.csv", "--replay", "1h"))
    assert "No session is known to have been idle for so long" in told


@pytest.mark.parametrize(
    ("more", "says"),
    [
        (["--replay", "1h"], "--replay needs to know who was idle"),
        (["--shell", "fish"], "posix, cmd or powershell"),
        (["--server-address", "lic"], "PORT@HOST"),
        (["--server-address", "1@a", "--server-address", "b=1@c"], "give one PORT@HOST"),
        (["--as-of", "yesterday"], "--as-of yesterday"),
    ],
)
def test_harvest_says_what_is_wrong(demo_firm: DemoFirm, more: list[str], says: str) -> None:
    result = run("harvest", demo_firm, *more)
    assert result.exit_code == options.BAD_INPUT
    assert says in result.stderr
    assert "Traceback" not in result.stderr
