"""Files that change while they are read: a log may grow, and nothing else may happen to any file."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest

import tokenflex as tf
import vendor_exports as vendor

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

MANY = 60_000


def flexlm_log(number: int) -> str:
    clock = f"{8 + number // 7200:2}:{number // 120 % 60:02}:{number // 2 % 60:02}"
    what = "OUT" if number % 2 == 0 else "IN"
    return f'{clock} (adskflex) {what}: "87545ACD_2022_0F" ana@pc1\n'


def rlm_log(number: int) -> str:
    clock = f"{8 + number // 7200:02}:{number // 120 % 60:02}:{number // 2 % 60:02}"
    if number % 2 == 0:
        return f'OUT acd 1.0 1 ana pc1 "" 1 1 0 {number:x} {number:x} 1 "" "" "" 07/13 {clock}\n'
    return f'IN 1 acd 1.0 ana pc1 "" 1 0 0 {number - 1:x} 07/13 {clock}\n'


def lmstat_log(number: int) -> str:
    return f"    u{number} pc{number} pc{number} (v1.0) (srv/27000 {number}), start Mon 7/13 8:50\n"


HEADS = {
    "flexlm": " 7:00:00 (lmgrd) TIMESTAMP 7/13/2026\n",
    "rlm": "START srv 07/13/2026 07:00:00\n",
    "lmstat": (
        "lmstat - Copyright (c) 1989-2020 Flexera.\nFlexible License Manager status on Mon 7/13/2026 17:02\n\n"
        "Users of 87545ACD_2022_0F:  (Total of 99999 licenses issued;  Total of 60000 licenses in use)\n\n"
    ),
}
LINES = {"flexlm": flexlm_log, "rlm": rlm_log, "lmstat": lmstat_log}
READERS: dict[str, Callable[..., Any]] = {"flexlm": tf.read_flexlm, "rlm": tf.read_rlm, "lmstat": tf.read_lmstat}
ROWS: dict[str, Callable[[Any], int]] = {
    "flexlm": lambda log: int(log.events.height),
    "rlm": lambda log: int(log.sessions.height),
    "lmstat": lambda series: int(series.checkouts.height),
}


def written(folder: Path, kind: str) -> Path:
    path = folder / f"{kind}.log"
    path.write_text(HEADS[kind] + "".join(LINES[kind](number) for number in range(MANY)))
    return path


def read_while(path: Path, kind: str, change: Callable[[Path], object]) -> int:
    """Reads, and changes the file when the reading has begun."""
    done: list[int] = []

    def begun(read: int, _: int | None) -> None:
        if not done:
            change(path)
        done.append(read)

    result = READERS[kind](path, timezone="Europe/Madrid", server="srv", progress=begun)
    assert done
    return ROWS[kind](result)


@pytest.mark.parametrize("kind", READERS)
def test_a_log_that_grows_is_read_as_it_was(kind: str, tmp_path: Path) -> None:
    def grow(path: Path) -> None:
        with path.open("a") as file:
            file.write("".join(LINES[kind](number) for number in range(MANY)))

    path = written(tmp_path, kind)
    quiet = READERS[kind](path, timezone="Europe/Madrid", server="srv")
    assert read_while(path, kind, grow) == ROWS[kind](quiet) > MANY // 3


@pytest.mark.parametrize("kind", READERS)
def test_a_log_that_is_cut_off_or_written_anew_is_refused(kind: str, tmp_path: Path) -> None:
    def cut(path: Path) -> None:
        os.truncate(path, 100_000)

    def rewrite(path: Path) -> None:
        with path.open("r+") as file:
            file.write(HEADS[kind])

    path = written(tmp_path, kind)
    with pytest.raises(tf.SourceError, match=f"{kind}.log.* changed while it was read: .*bytes are left"):
        read_while(path, kind, cut)
    path = written(tmp_path, kind)
    with pytest.raises(tf.SourceError, match="changed while it was read: it was written anew"):
        read_while(path, kind, rewrite)


@pytest.mark.parametrize("kind", READERS)
def test_a_log_that_is_rotated_away_is_read_to_its_end(kind: str, tmp_path: Path) -> None:
    path = written(tmp_path, kind)
    quiet = READERS[kind](path, timezone="Europe/Madrid", server="srv")
    assert read_while(path, kind, lambda path: path.rename(tmp_path / "old.log")) == ROWS[kind](quiet)


@pytest.mark.skipif(os.name == "nt", reason="limits of this kind are POSIX")
def test_more_logs_than_a_process_may_have_open(tmp_path: Path) -> None:
    import resource  # noqa: PLC0415 - POSIX only

    for number in range(120):
        (tmp_path / f"{number}.log").write_text(HEADS["flexlm"] + flexlm_log(2 * number))
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (90, hard))
    try:
        log = tf.read_flexlm(tmp_path, timezone="Europe/Madrid", server="srv")
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert log.events.height >= 120


def test_an_export_that_changes_in_any_way_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "export.csv"
    path.write_bytes(vendor.sessions_csv(*[vendor.SESSION] * 3))
    kind = type(path)
    plain = kind.read_bytes

    def written_meanwhile(self: Path) -> bytes:
        data = plain(self)
        with self.open("ab") as file:
            file.write(b"2018-03-01,")
        return data

    monkeypatch.setattr(kind, "read_bytes", written_meanwhile)
    with pytest.raises(tf.SourceError, match="changed while it was read"):
        tf.read_table(path)
