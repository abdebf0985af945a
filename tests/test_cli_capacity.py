"""`tokenflex capacity` on the demo's logs."""

from __future__ import annotations

import json
from datetime import time, timedelta
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest
from typer.testing import CliRunner, Result

import tokenflex as tf
from tokenflex import cli
from tokenflex.commands import options
from tokenflex.commands.capacity import in_seconds

if TYPE_CHECKING:
    from pathlib import Path

    from tokenflex.demo import DemoFirm


def run(demo_firm: DemoFirm, *more: object) -> Result:
    zones = [f"--timezone={server}={zone}" for server, zone in demo_firm.servers.items()]
    given = ["capacity", demo_firm.folder / "logs", *zones, *more]
    return CliRunner().invoke(cli.app, [str(argument) for argument in given], prog_name="tokenflex")


@pytest.fixture(scope="module")
def log(demo_firm: DemoFirm) -> tf.FlexlmLog:
    return tf.read_flexlm(demo_firm.folder / "logs", timezone=demo_firm.servers)


@pytest.fixture(scope="module")
def sessions(log: tf.FlexlmLog) -> pl.DataFrame:
    return tf.held(log.events, packages=log.packages, problems=tf.Problems())


def test_peak_percentiles_heat_and_refusals_are_on_one_screen(demo_firm: DemoFirm, sessions: pl.DataFrame) -> None:
    result = run(demo_firm)
    assert result.exit_code == 0, result.stderr
    lines = result.stdout.splitlines()
    assert max(len(line) for line in lines) <= 100
    row = tf.capacity(sessions).sort("peak", "used", descending=True).row(0, named=True)
    shown = next(line for line in lines if line.startswith(f"{row['product']} "))
    figures = [f"{row['peak']:,}", f"{row['peak_at']:%Y-%m-%d}", f"{row['peak_at']:%H:%M}Z", f"{row['mean']:,.2f}"]
    assert shown.split()[1:] == [*figures, *(f"{row[name]:,}" for name in ("p95", "p99", "asked_p95"))]
    for zone in demo_firm.servers.values():
        heat = next(place for place, line in enumerate(lines) if "by the clock of" in line and zone in line)
        assert [line[:3] for line in lines[heat + 2 : heat + 9]] == ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"]
        assert all(len(line.split()) == 25 for line in lines[heat + 2 : heat + 9])
    assert "refused" in result.stdout.lower()


def test_the_json_is_what_the_verbs_say(demo_firm: DemoFirm, log: tf.FlexlmLog, sessions: pl.DataFrame) -> None:
    result = run(demo_firm, "--json", "--count", "users", "--within", 3)
    assert result.exit_code == 0, result.stderr
    answer = json.loads(result.stdout)
    expected = tf.capacity(sessions, count="users")
    assert [row["product"] for row in answer["capacity"]] == expected["product"].to_list()
    assert [row["p95"] for row in answer["capacity"]] == expected["p95"].to_list()
    assert [row["used_seconds"] for row in answer["capacity"]] == in_seconds(expected)["used_seconds"].cast(
        pl.String
    ).to_list()
    heat = tf.heat_map(sessions, by=(), count="users", servers=demo_firm.servers)
    assert [row["peak"] for row in answer["heat_map"]] == heat["peak"].to_list()
    judged = tf.judge_denials(
        tf.denials(log.events, packages=log.packages), sessions, within=timedelta(minutes=3), problems=tf.Problems()
    )
    assert sum(row["denials"] for row in answer["denials"]) == judged.height


def test_working_hours_limits_and_files(demo_firm: DemoFirm, sessions: pl.DataFrame, tmp_path: Path) -> None:
    limits = tmp_path / "limits.csv"
    limits.write_text("product;licenses\nACD;3\nNOTHING;5\n")
    out = tmp_path / "capacity.csv"
    given = ["--hours", "07:30-24:00", "--days", "1-3,5", "--holiday", "2025-01-01", "--limits", limits, "--out", out]
    result = run(demo_firm, "--by", "product", "--by", "server", *given)
    assert result.exit_code == 0, result.stderr
    for words in ("owned", "full", "07:30 to 00:00 on Mon, Tue, Wed, Fri, 1 holiday left out", "written to"):
        assert words in " ".join(result.stdout.split())
    hours = tf.BusinessHours(start=time(7, 30), end=time(0), days=[1, 2, 3, 5])
    expected = tf.capacity(
        sessions, by=("product", "server"), hours=hours, servers=demo_firm.servers, limits={"ACD": 3, "NOTHING": 5}
    )
    written = pl.read_csv(out)
    assert written["peak"].to_list() == expected["peak"].to_list()
    assert written["share_at_limit"].to_list() == expected["share_at_limit"].to_list()
    steps = tf.concurrency(sessions, by=("product", "server"))
    assert pl.read_csv(tmp_path / "capacity.steps.csv")["in_use"].to_list() == steps["in_use"].to_list()
    assert pl.read_csv(tmp_path / "capacity.heat-map.csv").height % 168 == 0
    assert (tmp_path / "capacity.denials.csv").exists()
    parquet = tmp_path / "capacity.parquet"
    result = run(demo_firm, "--quiet", "--zone", "Asia/Tokyo", "--out", parquet)
    assert (result.exit_code, result.stdout) == (0, "")
    assert pl.read_parquet(parquet).schema["used"] == pl.Duration("us")
    assert pl.read_parquet(tmp_path / "capacity.heat-map.parquet")["zone"].cast(pl.String).unique().to_list() == [
        "Asia/Tokyo"
    ]


def test_a_narrow_terminal_shows_parts_of_the_greatest(demo_firm: DemoFirm, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "64")
    result = run(demo_firm)
    assert "in % of the greatest" in " ".join(result.stdout.split())


LIMITS = {
    "no column": ("name,licenses\nACD,3\n", "column 'product' is missing"),
    "no number": ("product,licenses\nACD,many\n", "give a whole number"),
    "twice": ("product,licenses\nACD,3\nACD,4\n", "there twice"),
}
WRONG: dict[str, tuple[list[Any], str]] = {
    "hours": (["--hours", "8-18"], "write it as 08:00-18:00"),
    "no time of the day": (["--hours", "08:00-25:00"], "--hours 08:00-25:00"),
    "backwards": (["--hours", "18:00-08:00"], "give an end after the start"),
    "days": (["--hours", "08:00-18:00", "--days", "mon"], "1 is Monday"),
    "no such day": (["--hours", "08:00-18:00", "--days", "0-9"], "7, Sunday"),
    "holiday": (["--hours", "08:00-18:00", "--holiday", "Christmas"], "--holiday Christmas: write it as 2026-12-25"),
    "days alone": (["--days", "1-5"], "go with --hours"),
    "count": (["--count", "heads"], "licenses, users, hosts"),
    "by": (["--by", "site"], "'site' is missing"),
    "zone": (["--zone", "Mars/Base"], "Mars/Base"),
    "out": (["--out", "capacity.xlsx"], "ends in .parquet or .csv"),
    "since": (["--since", "yesterday"], "--since yesterday"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_is_wrong_is_said(demo_firm: DemoFirm, case: str) -> None:
    given, words = WRONG[case]
    result = run(demo_firm, *given)
    assert result.exit_code == options.BAD_INPUT
    assert words in result.stderr


@pytest.mark.parametrize("case", LIMITS)
def test_limits_that_cannot_be_read_are_told(demo_firm: DemoFirm, tmp_path: Path, case: str) -> None:
    text, words = LIMITS[case]
    path = tmp_path / "limits.csv"
    path.write_text(text)
    result = run(demo_firm, "--limits", path)
    assert result.exit_code == options.BAD_INPUT
    assert words in result.stderr
