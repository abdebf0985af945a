"""Reads a file of two gigabytes with every reader, each in a process of its own: time, memory, and that all rows come.

Run: `python benches/two_gigabytes.py` (or with the names of some kinds, and `--megabytes`). It takes some minutes and
up to 16 GB of memory; the figures stand in benches/README.md.
"""

from __future__ import annotations

import argparse
import csv
import io
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

import polars as pl

import tokenflex as tf

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

BLOCK: Final = 20_000
"""Rows that are written at a time."""


def clock(number: int) -> str:
    """A time of day that goes on with the number, a second for every second row."""
    second = number // 2 % 86_400
    return f"{second // 3600:02}:{second // 60 % 60:02}:{second % 60:02}"


def flexlm(number: int) -> str:
    """A check-out or a check-in; a date for each day."""
    what = "OUT" if number % 2 == 0 else "IN"
    stamp = ""
    if number % 172_800 == 0:
        day = number // 172_800
        stamp = f" 0:00:00 (lmgrd) TIMESTAMP {day // 28 % 12 + 1}/{day % 28 + 1}/{2020 + day // 336}\n"
    second = number // 2 % 86_400
    at = f"{second // 3600:2}:{second // 60 % 60:02}:{second % 60:02}"
    who = number // 2 % 5000
    return f'{stamp}{at} (adskflex) {what}: "87545ACD_2022_0F" u{who}@pc{who}  \n'


def rlm(number: int) -> str:
    """A check-out or a check-in; a date for each day."""
    handle, who = number // 2, f"u{number // 2 % 5000} pc{number // 2 % 5000}"
    day = number // 172_800
    date = f"{day // 28 % 12 + 1:02}/{day % 28 + 1:02}"
    stamp = f"{date}/{2020 + day // 336} 00:00\n" if number % 172_800 == 0 else ""
    if number % 2 == 0:
        return f'{stamp}OUT acd 1.0 1 {who} "" 1 1 0 {handle:x} {handle:x} 1 "" "" "" {date} {clock(number)}\n'
    return f'IN 1 acd 1.0 {who} "" 1 0 0 {handle:x} {date} {clock(number)}\n'


def lmstat(number: int) -> str:
    """A line of a user; every 2,000 a snapshot of its own."""
    head = ""
    if number % 2_000 == 0:
        minute = number // 2_000 * 5
        day = minute // 1440
        at = f"{day // 28 % 12 + 1}/{day % 28 + 1}/{2020 + day // 336} {minute // 60 % 24}:{minute % 60:02}"
        head = (
            f"\nlmstat - Copyright (c) 1989-2020 Flexera.\nFlexible License Manager status on Mon {at}\n\n"
            "Users of 87545ACD_2022_0F:  (Total of 5000 licenses issued;  Total of 2000 licenses in use)\n\n"
        )
    user = number % 2_000
    return f"{head}    u{user} pc{user} pc{user} (v1.0) (srv/27000 {user}), start Wed 1/1 0:00\n"


SESSION: Final = (
    "usageMonth,usageDate,contractYear,productName,productLineCode,productVersion,productFeatureCode,userName,"
    "machineName,sessionStartDate,sessionEndDate,licenseServerTimeZoneOffset,chargedItemID,chargeCategory,"
    "licenseServerName,usageType,usageCategory,tokensConsumed,usageMinutes,usageHours"
)


def session(number: int) -> str:
    """A row of a session-level export."""
    day, user = f"2018-03-{number // 50_000 % 28 + 1:02}", f"u{number % 5000}"
    return (
        f"2018-03-01,{day},1,AutoCAD,ACD,2018,85730ACD_2018_0F,{user},pc-{user},{day}T{clock(number)},{day}T23:59:59,"
        f"-8:00,RX{number:010},{'CHARGED' if number % 3 == 0 else 'FREE'},lax-lic-01,Normal,DESKTOP_PRODUCT,"
        f"{7 if number % 3 == 0 else 0},60,1\n"
    )


DAILY: Final = "contractYear,tokenPool,usageCategory,usageDate,productLineCode,productName,tokensConsumed"


def daily(number: int) -> str:
    """A row of a daily aggregate, with the comma at its end."""
    return f"1,CY,DESKTOP_PRODUCT,2011-01-{number % 28 + 1:02} 00:00:00,ACD,AutoCAD,{number % 3 * 7},\n"


def query(number: int) -> str:
    """A row of a JSON query result."""
    row = next(csv.reader(io.StringIO(session(number))))
    return ("" if number == 0 else ",\n") + json.dumps(row)


def foreign(number: int) -> str:
    """A row of another tool's table."""
    day, user = f"2018-03-{number // 50_000 % 28 + 1:02}", f"u{number % 5000}"
    return f"{user},pc-{user},AutoCAD,lax-lic-01,{day} {clock(number)},{day} 23:59:59,{number % 900}\n"


QUERY_HEAD: Final = '{"status": "DONE", "result": {"columns": ' + json.dumps(SESSION.split(",")) + ', "rows": [\n'
FOREIGN: Final = "Username,Workstation,Product name,Server,Start time,End time,Idle time"
KINDS: Final[dict[str, tuple[str, Callable[[int], str], str, str]]] = {
    "flexlm": ("", flexlm, "", "read_flexlm"),
    "rlm": ("START srv 01/01/2020 00:00:00\n", rlm, "", "read_rlm"),
    "lmstat": ("", lmstat, "", "read_lmstat"),
    "sessions.csv": (SESSION + "\n", session, "", "read_statement"),
    "daily.csv": (DAILY + "\n", daily, "", "read_statement"),
    "query.json": (QUERY_HEAD, query, "\n]}}", "read_statement"),
    "table.csv": (FOREIGN + "\n", foreign, "", "read_table"),
    "table.parquet": (FOREIGN + "\n", foreign, "", "read_table"),
}
"""Of each kind what stands before the rows, a row, what stands behind them, and the reader."""


def write(path: Path, kind: str, size: int) -> int:
    """Writes a file of about `size` bytes. Returns its rows."""
    head, row, foot, _ = KINDS[kind]
    rows = 0
    with path.open("w", encoding="utf-8", newline="") as file:
        file.write(head)
        while file.tell() < size:
            file.write("".join(row(number) for number in range(rows, rows + BLOCK)))
            rows += BLOCK
        file.write(foot)
    return rows


def write_parquet(path: Path, size: int) -> int:
    """The same as Parquet; some ten million rows stand for two gigabytes, which Parquet packs into less."""
    rows = size // 100
    number = pl.int_range(rows, eager=True)
    user = "u" + (number % 5000).cast(pl.String)
    start = pl.Series("Start time", number // 2 * 1_000_000 + 1_520_000_000_000_000).cast(pl.Datetime("us", "UTC"))
    pl.DataFrame(
        {
            "Username": user,
            "Workstation": "pc-" + user,
            "Product name": pl.repeat("AutoCAD", rows, eager=True),
            "Start time": start,
            "End time": start.dt.offset_by("1h"),
        }
    ).write_parquet(path, compression="uncompressed", use_pyarrow=False)
    return rows


def read(path: str, kind: str) -> int:
    """Reads the file. Returns how many rows came."""
    problems = tf.Problems()
    verb = KINDS[kind][3]
    if verb == "read_flexlm":
        return tf.read_flexlm(path, timezone="UTC", server="srv").events.height
    if verb == "read_rlm":
        return 2 * tf.read_rlm(path, timezone="UTC", server="srv").sessions.height
    if verb == "read_lmstat":
        return tf.read_lmstat(path, timezone="UTC", server="srv").checkouts.height
    if verb == "read_statement":
        return tf.read_statement(path, problems=problems).height
    return tf.read_table(path, timezone="America/Los_Angeles", problems=problems).height


def measured(folder: Path, kind: str, size: int) -> Iterator[str]:
    """A line of the table."""
    path = folder / kind.replace("flexlm", "flexlm.log").replace("rlm", "rlm.log").replace("lmstat", "lmstat.txt")
    rows = write_parquet(path, size) if kind.endswith(".parquet") else write(path, kind, size)
    bytes_ = path.stat().st_size
    started = time.perf_counter()
    run = subprocess.run(
        [sys.executable, __file__, "--read", str(path), kind], capture_output=True, text=True, check=False
    )
    seconds = time.perf_counter() - started
    path.unlink()
    if run.returncode != 0:
        yield f"| {kind} | {bytes_ / 1e9:.2f} GB | - | - | {run.stderr.strip().splitlines()[-1:]} |"
        return
    found, peak = map(int, run.stdout.split())
    came = "all rows" if found == rows else f"{found:,} of {rows:,} rows"
    yield f"| {kind} | {bytes_ / 1e9:.2f} GB | {seconds:.0f} s | {peak * 1024 / bytes_:.1f} x the file | {came} |"


def main() -> None:
    """Writes, reads and tells."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kinds", nargs="*", metavar="KIND", help=f"of {', '.join(KINDS)}; all unless given")
    parser.add_argument("--megabytes", type=int, default=2_000)
    parser.add_argument("--read", nargs=2, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.read:
        print(read(*given.read), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
        return
    print("| file | size | time | peak memory | |\n|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        for kind in given.kinds or KINDS:
            for line in measured(Path(folder), kind, given.megabytes * 1_000_000):
                print(line, flush=True)


if __name__ == "__main__":
    main()
