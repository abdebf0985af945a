"""`scan_sessions` is `pair` over `read_flexlm`, row for row and problem for problem, in parts of a few events."""

from __future__ import annotations

import gzip
import io
import os
import random
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tokenflex as tf
from book_nights import Nights, assert_same, plain
from tokenflex.usage import scan_sessions as module

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tokenflex.demo import DemoFirm

LOGS = Path(os.environ.get("TOKENFLEX_LOGS", Path(__file__).parents[2] / "shared" / "logs"))


@pytest.fixture(autouse=True, scope="module")
def small_parts() -> Iterator[None]:
    """Parts of a few events, so that every log has many."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "CHUNK", 5)
        patch.setattr(module, "EVENTS", 7)
        patch.setattr(module, "LATE", 9)
        yield


def assert_is_pair(source: Any, **options: Any) -> pl.DataFrame:
    """What is scanned is what is read at once; gives it."""
    as_of = options.pop("as_of", None)
    log = tf.read_flexlm(source, **options)
    expected_problems = tf.Problems()
    expected_problems.add(log.problems)
    expected = tf.pair(log.events, packages=log.packages, as_of=as_of, problems=expected_problems)
    problems = tf.Problems()
    found = tf.scan_sessions(source, **options, as_of=as_of, problems=problems).collect()
    assert found.schema == expected.schema
    assert_same(plain(found), plain(expected))
    assert problems.frame.drop("verb", strict=False).rows() == expected_problems.frame.drop("verb", strict=False).rows()
    return found


def check_nights(seed: int, folder: Path, nights: int) -> None:
    chance = random.Random(seed)
    firm = Nights(chance, folder, servers=chance.choice([1, 1, 2, 3]))
    files = [file for _ in range(nights) for file in firm.night()]
    if files:
        server = "lic" if chance.random() < 0.1 else None
        assert_is_pair(sorted(set(files)), timezone="Europe/Madrid", server=server, threads=chance.choice([1, 3]))


@settings(max_examples=12)
@given(st.integers(0, 10**6))
def test_dirty_logs(tmp_path_factory: pytest.TempPathFactory, seed: int) -> None:
    check_nights(seed, tmp_path_factory.mktemp("logs"), 4)


@pytest.mark.heavy
@settings(max_examples=1500)
@given(st.integers(0, 10**9))
def test_many_more_dirty_logs(tmp_path_factory: pytest.TempPathFactory, seed: int) -> None:
    check_nights(seed, tmp_path_factory.mktemp("logs"), 12)


@pytest.fixture
def larger_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Still dozens of parts, of logs of so many events that a few in each would take long."""
    monkeypatch.setattr(module, "CHUNK", 900)
    monkeypatch.setattr(module, "EVENTS", 1500)


@pytest.mark.usefixtures("larger_parts")
@pytest.mark.parametrize("name", ["adskflex.log", "ansyslmd.log"])
def test_real_logs(tmp_path: Path, name: str) -> None:
    if not (LOGS / name).is_file():
        pytest.skip("real logs are not here")
    packed = tmp_path / f"{name}.gz"
    packed.write_bytes(gzip.compress((LOGS / name).read_bytes(), 1))
    sessions = assert_is_pair(LOGS / name, timezone="Europe/Madrid")
    again = assert_is_pair(packed, timezone="Europe/Madrid")
    assert sessions.height > 10
    assert_same(plain(again.drop("file", "server")), plain(sessions.drop("file", "server")))


@pytest.mark.usefixtures("larger_parts")
def test_the_demo(demo_firm: DemoFirm) -> None:
    sessions = assert_is_pair(demo_firm.logs, timezone=dict(demo_firm.servers))
    assert sessions["server"].n_unique() == len(demo_firm.servers)


def lines(day: int, user: str) -> bytes:
    return (
        f"12:00:00 (lmgrd) TIMESTAMP 7/{day}/2026\n"
        f'12:00:05 (adskflex) OUT: "87545ACD_2022_0F" {user}@pc1\n'
        f'17:00:00 (adskflex) IN: "87545ACD_2022_0F" {user}@pc1\n'
        f"17:30:00 (lmgrd) TIMESTAMP 7/{day}/2026\n"
    ).encode()


def test_what_is_open_lasts_until_the_last_event_of_any_server_or_as_of(tmp_path: Path) -> None:
    for place, days in enumerate(((13, 14), (13, 20))):
        folder = tmp_path / f"server{place}"
        folder.mkdir()
        last = b'18:00:00 (adskflex) OUT: "87545ACD_2022_0F" eve@pc1\n'
        (folder / f"lic{place}.log").write_bytes(b"".join(lines(day, f"ana{place}") for day in days) + last)
    sessions = assert_is_pair(tmp_path, timezone="Europe/Madrid")
    assert sessions.filter("is_open")["end"].unique().to_list() == [datetime(2026, 7, 20, 16, tzinfo=UTC)]
    late = datetime(2026, 8, 1, tzinfo=UTC)
    assert assert_is_pair(tmp_path, timezone="Europe/Madrid", as_of=late).filter("is_open")["end"].max() == late
    early = tf.scan_sessions(tmp_path, timezone="Europe/Madrid", as_of=late - timedelta(days=30))
    with pytest.raises(tf.ArgumentError, match="before the last event of the logs"):
        early.collect()


def test_sessions_end_in_any_later_part(tmp_path: Path) -> None:
    log = tmp_path / "lic.log"
    open_all_along = b"".join(b'12:00:01 (adskflex) OUT: "87545ACD_2022_0F" user%d@pc1\n' % user for user in range(30))
    ends = b"".join(b'18:00:0%d (adskflex) IN: "87545ACD_2022_0F" user%d@pc1\n' % (n % 10, n) for n in range(30))
    days = b"".join(lines(day, "ana") for day in range(14, 29))
    log.write_bytes(b"12:00:00 (lmgrd) TIMESTAMP 7/13/2026\n" + open_all_along + days + ends)
    sessions = assert_is_pair(log, timezone="Europe/Madrid")
    assert sessions.height == 45


def test_no_checkins_are_told_of_each_server(tmp_path: Path) -> None:
    for place in range(2):
        folder = tmp_path / f"s{place}"
        folder.mkdir()
        lonely = b"".join(line for line in lines(15 - place, "ana").splitlines(keepends=True) if b" IN: " not in line)
        (folder / f"lic{place}.log").write_bytes(lonely)
        with (folder / f"lic{place}.log").open("ab") as file:
            for user in range(12):
                file.write(b'17:40:00 (adskflex) OUT: "87545ACD_2022_0F" user%d@pc1\n' % user)
    assert_is_pair(tmp_path, timezone="Europe/Madrid")
    problems = tf.Problems()
    tf.scan_sessions(tmp_path, timezone="Europe/Madrid", problems=problems).collect()
    assert problems.frame["code"].to_list() == ["no_checkins"] * 2


def test_nothing_is_left_in_the_scratch_folder_and_only_what_is_asked_for_is_given(tmp_path: Path) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    log = b"".join(lines(day, "ana") for day in range(13, 19))
    sessions = tf.scan_sessions(log, timezone="Europe/Madrid", server="lic", scratch=scratch, problems=tf.Problems())
    assert sessions.select(pl.len()).collect().item() == 6
    assert sessions.filter(pl.col("start") > datetime(2026, 7, 15, tzinfo=UTC)).select("user").collect().height == 4
    assert sessions.head(2).collect().height == 2
    sessions.sink_parquet(tmp_path / "sessions.parquet")
    assert_same(plain(pl.read_parquet(tmp_path / "sessions.parquet")), plain(sessions.collect()))
    assert not list(scratch.iterdir())


def test_what_cannot_be_scanned_is_refused(tmp_path: Path) -> None:
    with pytest.raises(tf.ArgumentTypeError, match="file object can be read once only"):
        tf.scan_sessions(io.BytesIO(lines(13, "ana")), timezone="Europe/Madrid")
    with pytest.raises(tf.SourceNotFoundError):
        tf.scan_sessions(tmp_path / "none.log")
    with pytest.raises(tf.ArgumentError, match="no folder"):
        tf.scan_sessions(lines(13, "ana"), scratch=tmp_path / "none")
    with pytest.raises(tf.ZoneError):
        tf.scan_sessions(lines(13, "ana")).collect()
    assert tf.scan_sessions(b"no log at all\n", timezone="UTC").collect().schema == pl.Schema(tf.tables.SESSIONS)
