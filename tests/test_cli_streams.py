"""`tokenflex charge` and `sessions` in parts: the same tables, summary and JSON as at once."""

from __future__ import annotations

import json
import random
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner, Result

import tokenflex as tf
from book_nights import Nights, assert_same, plain
from tokenflex import cli, summary
from tokenflex.commands import streams
from tokenflex.usage import scan_sessions as module

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tokenflex.demo import DemoFirm

RATES = "product,tokens,effective_from\nACD,7,\nRVT,10,\n"


@pytest.fixture(autouse=True)
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Parts and files of few rows."""
    monkeypatch.setattr(module, "CHUNK", 900)
    monkeypatch.setattr(module, "EVENTS", 1500)
    monkeypatch.setattr(streams, "ROWS", 1000)
    monkeypatch.setattr(summary, "PART", 1000)


def run(*arguments: object) -> Result:
    return CliRunner().invoke(cli.app, [str(argument) for argument in arguments], prog_name="tokenflex")


def answer(*arguments: object) -> dict[str, Any]:
    result = run(*arguments, "--json", "--no-config")
    assert result.exit_code == 0, result.stderr
    found: dict[str, Any] = json.loads(result.stdout)
    return found


@pytest.fixture
def demo(demo_firm: DemoFirm) -> list[object]:
    """The demo's logs, zones and rates."""
    zones = [f"--timezone={server}={zone}" for server, zone in demo_firm.servers.items()]
    return [demo_firm.folder / "logs", *zones, "--rates", demo_firm.rates_path]


def test_the_demo_in_parts_is_the_demo_at_once(demo: list[object], tmp_path: Path) -> None:
    at_once = answer("charge", *demo, "--out", tmp_path / "at-once.parquet")
    assert answer("charge", *demo, "--stream", "--out", tmp_path / "parts.parquet") == at_once
    assert answer("charge", *demo, "--out", tmp_path / "folder") == at_once
    assert answer("charge", *demo, "--stream", "--out", tmp_path / "parts.csv") == at_once
    answer("charge", *demo, "--out", tmp_path / "at-once.csv")
    charges = plain(pl.read_parquet(tmp_path / "at-once.parquet"))
    assert_same(plain(pl.read_parquet(tmp_path / "parts.parquet")), charges)
    assert_same(plain(pl.read_parquet(tmp_path / "folder" / "*.parquet")), charges)
    assert (tmp_path / "parts.csv").read_bytes() == (tmp_path / "at-once.csv").read_bytes()
    files = sorted((tmp_path / "folder").iterdir())
    assert len(files) == -(-charges.height // 1000)
    assert {pl.read_parquet(file).height for file in files[:-1]} == {1000}
    assert {path.name for path in tmp_path.iterdir()} == {
        "at-once.parquet", "parts.parquet", "folder", "parts.csv", "at-once.csv",
    }  # fmt: skip


def test_sessions_in_files_are_charged_like_the_logs(demo: list[object], demo_firm: DemoFirm, tmp_path: Path) -> None:
    log = tf.read_flexlm(demo_firm.folder / "logs", timezone=demo_firm.servers)
    sessions = tf.pair(log.events, packages=log.packages, problems=tf.Problems())
    zones = [option for option in demo if str(option).startswith("--timezone")]
    told = answer("sessions", demo_firm.folder / "logs", *zones, "--out", tmp_path / "sessions")
    assert told["sessions"] == sessions.height
    assert told["open_sessions"] == sessions["is_open"].sum()
    assert [file["lines"] for file in told["files"]] == log.files["lines"].to_list()
    answer("sessions", demo_firm.folder / "logs", *zones, "--out", tmp_path / "sessions.parquet")
    assert len(list((tmp_path / "sessions").iterdir())) > 5
    for path in (tmp_path / "sessions" / "*.parquet", tmp_path / "sessions.parquet"):
        found = plain(pl.read_parquet(path))
        assert_same(found.drop("file"), plain(sessions).drop("file"))
    by_log = answer("charge", *demo)
    # Without logs nothing is known of lines, and refusals are none.
    for given_files in (tmp_path / "sessions", tmp_path / "sessions.parquet", tmp_path / "sessions" / "*.parquet"):
        by_sessions = answer("charge", given_files, *demo[1:])
        for part in ("rule_id", "by_month", "users", "twice", "spellings"):
            assert by_sessions[part] == by_log[part]
        of_logs = ("first", "last")
        assert {name: value for name, value in by_sessions["totals"].items() if name not in of_logs} == {
            name: value for name, value in by_log["totals"].items() if name not in of_logs
        }
    shown = run("charge", tmp_path / "sessions", *demo[1:])
    assert "sessions from" in shown.stdout
    assert "Files read" not in shown.stdout


@settings(max_examples=6)
@given(seed=st.integers(0, 10**6))
def test_dirty_logs_in_parts_have_the_same_answer(tmp_path_factory: pytest.TempPathFactory, seed: int) -> None:
    check_dirty(tmp_path_factory.mktemp("logs"), seed)


@pytest.mark.heavy
@settings(max_examples=150)
@given(seed=st.integers(0, 10**9))
def test_many_more_dirty_logs_have_the_same_answer(tmp_path_factory: pytest.TempPathFactory, seed: int) -> None:
    check_dirty(tmp_path_factory.mktemp("logs"), seed)


@pytest.fixture(autouse=True, scope="module")
def smallest_parts() -> Iterator[None]:
    """For tests whose examples share their fixtures."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(summary, "PART", 7)
        yield


def check_dirty(folder: Path, seed: int) -> None:
    logs = folder / "logs"
    logs.mkdir()
    chance = random.Random(seed)
    firm = Nights(chance, logs, servers=chance.choice([1, 2, 3]))
    for _ in range(5):
        firm.night()
    (folder / "rates.csv").write_text(RATES)
    options = [logs, "--timezone", "Europe/Madrid", "--rates", folder / "rates.csv", "--json", "--no-config"]
    if not any(logs.rglob("*log*")):
        return
    at_once, parts = run("charge", *options), run("charge", *options, "--stream")
    assert (parts.exit_code, parts.stderr) == (at_once.exit_code, at_once.stderr)
    assert parts.stdout == at_once.stdout


def fails(result: Result, *parts: str) -> None:
    assert result.exit_code == 2
    for part in parts:
        assert part in result.stderr


def test_what_does_not_go_is_said(demo: list[object], demo_firm: DemoFirm, tmp_path: Path) -> None:
    full = tmp_path / "full"
    full.mkdir()
    (full / "other.txt").write_text("mine")
    fails(run("charge", *demo, "--out", full), "there is something already")
    fails(run("sessions", *demo[:-2], "--out", full), "there is something already")
    fails(run("sessions", *demo[:-2]), "--out is missing")
    fails(run("charge", *demo, "--out", tmp_path / "a", "--no-stream"), "always taken in parts")
    answer("sessions", *demo[:-2], "--out", tmp_path / "sessions.parquet")
    fails(run("sessions", tmp_path / "sessions.parquet", "--out", tmp_path / "b"), "Parquet files already")
    fails(run("charge", demo_firm.logs[0], tmp_path / "sessions.parquet", *demo[1:]), "one or the other")
    fails(run("charge", *demo[:-2], "--stream"), "--rates is missing")
    empty = tmp_path / "empty.log"
    empty.write_text("nothing\n")
    fails(run("charge", empty, *demo[1:], "--stream"), "no checkouts in 1 files")
    assert list(full.iterdir()) == [full / "other.txt"]


def test_large_logs_are_taken_in_parts(demo: list[object], monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[bool] = []
    given_stream = streams.streamed

    def noted(*arguments: Any, **options: Any) -> Any:
        taken.append(True)
        return given_stream(*arguments, **options)

    monkeypatch.setattr("tokenflex.commands.charge.streamed", noted)
    at_once = answer("charge", *demo)
    assert not taken
    monkeypatch.setattr(streams, "LARGE", 100_000)
    assert answer("charge", *demo) == at_once
    assert taken
    taken.clear()
    assert answer("charge", *demo, "--no-stream") == at_once
    assert not taken
