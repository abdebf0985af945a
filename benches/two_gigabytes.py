"""A file of two gigabytes through every reader, one after another: time, peak memory, and that no row is missing.

    python benches/two_gigabytes.py                        # all, about ten minutes and 13 GB of memory
    python benches/two_gigabytes.py --only read_rlm lmstat # those whose name holds one of these words
    python benches/two_gigabytes.py --megabytes 50         # small ones, to try it

It is a script of its own, since it measures the memory of whole processes: each reader has one.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
import polars as pl
import pyarrow.parquet

from make_log import write_log
from make_statement import write_statement

if TYPE_CHECKING:
    from collections.abc import Callable

MEGA: Final = 1_000_000
FIRST: Final = datetime(2020, 1, 6, tzinfo=UTC)
DATED: Final = "%Y-%m-%d %H:%M:%S"
COLUMNS: Final = "Server,Feature,Product name,Version,Username,Workstation,Start time,End time,License type,Department"
JSON_SHARE: Final = 8
"""JSON is read in memory as a whole, so it is tried with a part of the size."""

_READ: Final = """
import sys, time
import tokenflex as tf

def memory(of):
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) * 1024 for line in status if line.startswith(of))

path, problems = sys.argv[1], tf.Problems()
before, since = memory("VmRSS"), time.perf_counter()
found = {call}
seconds, peak = time.perf_counter() - since, memory("VmHWM") - before
print({{"rows": {rows}, "problems": {problems}, "seconds": seconds, "peak": peak}})
"""


@dataclass(frozen=True)
class Case:
    """One reader and its file: how the file is made, which gives the rows that are to be found; and how it is read."""

    name: str
    ending: str
    make: Callable[[Path, int], int]
    call: str
    rows: str = "found.height"
    problems: str = "problems.frame.height"
    share: int = 1


def log(path: Path, size: int) -> int:
    """A debug log of FlexNet; what its daemon moved and refused is counted by its words."""
    write_log(path, size)
    word = re.compile(rb"\(adskflex\) (?:OUT|IN|DENIED|UNSUPPORTED): ")
    with path.open("rb") as file:
        return sum(len(word.findall(b"".join(lines))) for lines in iter(lambda: file.readlines(1 << 24), []))


def lmstat(path: Path, size: int) -> int:
    """Snapshots of three hundred users, five minutes apart."""
    users = "".join(
        f"    eng{number:04} pc{number:05} pc{number:05} (v1.000) (lic-01/27000 {100 + number}), "
        f"start Mon 1/6 8:{number % 60:02}\n"
        for number in range(300)
    )
    body = (
        "License server status: 27000@lic-01\n    License file(s) on lic-01: /opt/adsk.lic:\n\n"
        "  lic-01: license server UP (MASTER) v11.19.4\n\nVendor daemon status (on lic-01):\n\n"
        "  adskflex: UP v11.19.4\nFeature usage info:\n\n"
        "Users of 87545ACD_2022_0F:  (Total of 500 licenses issued;  Total of 300 licenses in use)\n\n"
        '  "87545ACD_2022_0F" v1.000, vendor: adskflex, expiry: permanent(no expiration date)\n'
        f"  floating license\n\n{users}\n"
    )
    snapshots = size // (len(body) + 60)
    with path.open("w") as file:
        for number in range(snapshots):
            at = FIRST + timedelta(hours=9, minutes=5 * number)
            date = f"{at:%a} {at.month}/{at.day}/{at.year} {at:%H:%M}"
            file.write(f"Flexible License Manager status on {date}\n{body}")
    return 300 * snapshots


def rlm(path: Path, size: int) -> int:
    """A detailed report log: each check-out with its check-in behind it."""
    with path.open("w") as file:
        file.write(f"RLM Report Log Format 2, version 12.3, authenticated\nSTART lic-01 {FIRST:%m/%d/%Y %H:%M:%S}\n")
        number = 0
        while file.tell() < size:
            lines = []
            for handle in range(number, number + 10_000):
                at = FIRST + timedelta(seconds=2 * handle)
                if handle % 43_200 == 0:
                    lines.append(f"{at:%m/%d/%Y %H:%M:%S}")
                who = f"eng{handle % 5_000:04} pc{handle % 5_000:05}"
                name, later = f"{handle + 1:x}", at + timedelta(seconds=1)
                lines += [
                    f'OUT cad 2.0 1 {who} "" 1 1 0 {name} {name} 4d1 "" "cad" "2.0" {at:%m/%d %H:%M:%S}',
                    f'IN 1 cad 2.0 {who} "" 1 0 0 {name} {later:%m/%d %H:%M:%S}',
                ]
            file.write("\n".join(lines) + "\n")
            number += 10_000
    return number


def sessions(path: Path, size: int) -> int:
    """A session-level export of Token Flex."""
    rows = size // 213
    write_statement(path, rows)
    return rows


def daily(path: Path, size: int) -> int:
    """A daily export of Token Flex: products by day, over and over."""
    part = daily_rows(100_000)
    text = part.write_csv()
    head, _, body = text.partition("\n")
    times = size // len(body)
    with path.open("w") as file:
        file.write(head + "\n")
        for _ in range(times):
            file.write(body)
    return part.height * times


def daily_rows(rows: int) -> pl.DataFrame:
    """Rows of a daily export."""
    number = pl.int_range(rows, eager=True)
    return pl.select(
        contractYear=pl.lit("1"),
        tokenPool=pl.lit("CY"),
        usageCategory=pl.lit("DESKTOP_PRODUCT"),
        usageDate=(pl.lit(FIRST.date()) + pl.duration(days=number // 60 % 1_500)).dt.strftime("%Y-%m-%d 00:00:00"),
        productLineCode=pl.format("PROD{}", number % 60),
        productName=pl.format("Product number {}", number % 60),
        tokensConsumed=pl.format("{}.5", number % 900),
    )


def query_result(path: Path, size: int) -> int:
    """The result of a query of the usage API."""
    part = daily_rows(10_000)
    rows = ",".join(json.dumps(list(row)) for row in part.iter_rows())
    times = size // len(rows)
    with path.open("w") as file:
        file.write(f'{{"status": "DONE", "result": {{"columns": {json.dumps(part.columns)}, "rows": [')
        file.write(",".join([rows] * times))
        file.write("]}}")
    return part.height * times


def table_rows(first: int, rows: int) -> pl.DataFrame:
    """Sessions as another tool has them, in order of time."""
    rng = np.random.default_rng(first)
    start = (
        np.datetime64(FIRST.replace(tzinfo=None), "us") + np.arange(first, first + rows).astype("timedelta64[s]") * 10
    )
    end = start + rng.integers(60, 36_000, rows).astype("timedelta64[s]")
    person = pl.Series(rng.integers(0, 20_000, rows)).cast(pl.String)
    product = pl.Series(rng.integers(0, 60, rows)).cast(pl.String)
    frame = pl.DataFrame({"person": person, "product": product, "start": start, "end": end})
    values = (
        pl.lit("lic-01"),
        pl.format("875{}ACD_2025_0F", pl.col("product").str.zfill(2)),
        pl.format("Product number {}", "product"),
        pl.lit("1.000"),
        pl.format("user{}", pl.col("person").str.zfill(5)),
        pl.format("PC-{}", pl.col("person").str.zfill(6)),
        pl.col("start").dt.strftime(DATED),
        pl.col("end").dt.strftime(DATED),
        pl.lit("Network"),
        pl.format("department-{}", pl.col("product")),
    )
    return frame.select(value.alias(name) for name, value in zip(COLUMNS.split(","), values, strict=True))


def table(path: Path, size: int) -> int:
    """A table with columns of other names, as CSV."""
    rows = 0
    with path.open("wb") as file:
        while file.tell() < size:
            table_rows(rows, 500_000).write_csv(file, include_header=rows == 0)
            rows += 500_000
    return rows


def parquet(path: Path, size: int) -> int:
    """The same as Parquet, neither packed nor in dictionaries, so that the file is as large as its content."""
    rows = 0
    schema = table_rows(0, 1).to_arrow().schema
    with (
        path.open("wb") as file,
        pyarrow.parquet.ParquetWriter(file, schema, compression="none", use_dictionary=False) as writer,
    ):
        while file.tell() < size:
            writer.write_table(table_rows(rows, 500_000).to_arrow())
            rows += 500_000
    return rows


FOUND: Final = "found.problems.height"
STATEMENT: Final = "tf.read_statement(path, problems=problems)"
TABLE: Final = 'tf.read_table(path, timezone="UTC", problems=problems)'
CASES: Final = (
    Case(
        "read_flexlm",
        "log",
        log,
        'tf.read_flexlm(path, timezone="Europe/Madrid")',
        'found.events["kind"].is_in(["OUT", "IN", "DENIED", "UNSUPPORTED"]).sum()',
        FOUND,
    ),
    Case("read_lmstat", "txt", lmstat, 'tf.read_lmstat(path, timezone="UTC")', "found.checkouts.height", FOUND),
    Case("read_rlm", "log", rlm, 'tf.read_rlm(path, timezone="UTC")', "found.sessions.height", FOUND),
    Case("read_statement, sessions", "csv", sessions, STATEMENT),
    Case("read_statement, days", "csv", daily, STATEMENT),
    Case("read_statement, JSON", "json", query_result, STATEMENT, share=JSON_SHARE),
    Case("read_table, CSV", "csv", table, TABLE),
    Case("read_table, Parquet", "parquet", parquet, TABLE),
)


def run(case: Case, size: int) -> None:
    """Makes a case's file, reads it in a process of its own, and prints what it took."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"large.{case.ending}"
        expected = case.make(path, size // case.share)
        bytes_made = path.stat().st_size
        program = _READ.format(call=case.call, rows=case.rows, problems=case.problems)
        done = subprocess.run([sys.executable, "-c", program, str(path)], check=False, capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"{case.name}: {done.stderr[-2_000:]}")
    found = json.loads(done.stdout.replace("'", '"'))
    if found["rows"] != expected:
        sys.exit(f"{case.name}: {found['rows']:,} rows instead of {expected:,}")
    print(
        f"| {case.name} | {bytes_made / MEGA:,.0f} MB | {found['rows']:,} | {found['problems']:,} | "
        f"{found['seconds']:.1f} s | {found['peak'] / MEGA:,.0f} MB | {found['peak'] / bytes_made:.2f} |",
        flush=True,
    )


def main() -> None:
    """Runs the cases that are asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--megabytes", type=int, default=2_000)
    parser.add_argument("--only", nargs="*", default=[""], metavar="WORD")
    arguments = parser.parse_args()
    print("| reader | file | rows | problems | time | peak memory | beside the file |\n|---|--:|--:|--:|--:|--:|--:|")
    for case in CASES:
        if any(word in case.name for word in arguments.only):
            run(case, arguments.megabytes * MEGA)


if __name__ == "__main__":
    main()
