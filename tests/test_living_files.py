"""Files that change while they are read: logs may grow, as living servers append to them; exports may not change."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import polars as pl
import pytest

import tokenflex as tf

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

SNAPSHOT: Final = """lmstat - Copyright (c) 1989-2023 Flexera.
Flexible License Manager status on Mon 7/13/2026 {hour:02}:{minute:02}

License server status: 27000@srv1
    License file(s) on srv1: /opt/adsk.lic:

      srv1: license server UP (MASTER) v11.19.4

Vendor daemon status (on srv1):

  adskflex: UP v11.19.4

Feature usage info:

Users of 87545ACD_2022_0F:  (Total of 10 licenses issued;  Total of 1 license in use)

  "87545ACD_2022_0F" v1.000, vendor: adskflex, expiry: permanent(no expiration date)
  floating license

    ana pc1 pc1 (v1.000) (srv1/27000 201), start Mon 7/13 8:00

"""
RLM_HEAD: Final = "RLM Report Log Format 2, version 12.3, authenticated\nSTART srv1 07/13/2026 08:00:04\n"


@dataclass(frozen=True)
class Kind:
    """A reader of logs, a log of many lines for it, and how many rows a log has."""

    read: Callable[..., Any]
    text: str
    rows: Callable[[Any], int]
    more: str


def _flexlm() -> Kind:
    lines = [
        f'{8 + number // 60_000}:{number // 1000 % 60:02}:{number % 60:02} (adskflex) OUT: "87545ACD_2022_0F" '
        f"user{number:06}@pc{number:06}"
        for number in range(60_000)
    ]
    text = "\n".join(["8:00:00 (lmgrd) TIMESTAMP 7/13/2026", *lines]) + "\n"
    return Kind(tf.read_flexlm, text, lambda log: log.events.height, lines[-1] + "\n")


def _lmstat() -> Kind:
    snapshots = [SNAPSHOT.format(hour=8 + number // 60, minute=number % 60) for number in range(900)]
    text = "".join(snapshots)
    return Kind(tf.read_lmstat, text, lambda series: series.snapshots.height, SNAPSHOT.format(hour=23, minute=30))


def _rlm() -> Kind:
    lines = [
        f'OUT cad 2.0 1 ana pc1 "" 1 1 0 {number:x} {number:x} 4d1 "" "cad" "2.0" '
        f"07/13 {9 + number // 3600:02}:{number // 60 % 60:02}:{number % 60:02}"
        for number in range(20_000)
    ]
    text = RLM_HEAD + "\n".join(lines) + "\n"
    return Kind(tf.read_rlm, text, lambda log: log.events.height, lines[-1].replace("4e1f", "4e20") + "\n")


KINDS: Final = {"flexlm": _flexlm, "lmstat": _lmstat, "rlm": _rlm}


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> Kind:
    return KINDS[request.param]()


def read_while(path: Path, kind: Kind, happens: Callable[[], object]) -> Any:
    """Reads a file to which something happens when a part of it is read."""
    calls: list[int] = []

    def progress(done: int, _: int | None) -> None:
        if not calls:
            assert 0 < done < path.stat().st_size
            happens()
        calls.append(done)

    options = {"threads": 1} if kind.read is tf.read_flexlm else {}
    return kind.read(path, timezone="Europe/Madrid", progress=progress, **options)


def test_a_log_that_grows_is_read_up_to_its_length_at_opening(tmp_path: Path, kind: Kind) -> None:
    path = tmp_path / "server.log"
    path.write_text(kind.text)
    plain = kind.read(path, timezone="Europe/Madrid")

    def grow() -> None:
        with path.open("a") as file:
            file.write(kind.more)

    found = read_while(path, kind, grow)
    assert path.stat().st_size > len(kind.text)
    assert kind.rows(found) == kind.rows(plain) > 0
    assert found.files["bytes"].to_list() == [len(kind.text)]
    assert found.problems.equals(plain.problems)
    # What was appended is read the next time.
    assert kind.rows(kind.read(path, timezone="Europe/Madrid")) == kind.rows(plain) + 1


def test_a_log_that_is_cut_off_is_an_error(tmp_path: Path, kind: Kind) -> None:
    path = tmp_path / "server.log"
    path.write_text(kind.text)
    with pytest.raises(tf.SourceError, match=r"server\.log changed while it was read: \d+ of its \d+ bytes are left"):
        read_while(path, kind, lambda: os.truncate(path, 100))


def test_a_log_that_is_written_anew_in_place_is_an_error(tmp_path: Path, kind: Kind) -> None:
    path = tmp_path / "server.log"
    path.write_text(kind.text)
    os.utime(path, (1_000_000_000, 1_000_000_000))

    def write_anew() -> None:
        with path.open("r+") as file:
            file.write("x")

    with pytest.raises(tf.SourceError, match="changed while it was read: it was written to, and not at its end"):
        read_while(path, kind, write_anew)


@pytest.mark.skipif(sys.platform == "win32", reason="an open file has no other put in its place there")
def test_a_log_that_is_rotated_away_is_read_as_it_was(tmp_path: Path, kind: Kind) -> None:
    path = tmp_path / "server.log"
    path.write_text(kind.text)
    plain = kind.read(path, timezone="Europe/Madrid")

    def rotate() -> None:
        path.rename(tmp_path / "server.1")
        path.write_text("")

    assert kind.rows(read_while(path, kind, rotate)) == kind.rows(plain)


def test_thousands_of_logs_are_not_open_at_once(tmp_path: Path) -> None:
    resource = pytest.importorskip("resource", reason="the limit is set by the system's own means")
    for number in range(150):
        text = SNAPSHOT.format(hour=8 + number // 60, minute=number % 60)
        (tmp_path / f"{number:03}.txt").write_text(text)
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (100, limits[1]))
    try:
        series = tf.read_lmstat(tmp_path, timezone="Europe/Madrid")
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    assert series.snapshots.height == 150
    assert isinstance(series.sessions, pl.DataFrame)
