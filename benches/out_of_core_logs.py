"""Gigabytes of logs to sessions and charges in files by `scan_sessions` and `scan_charges`: peak memory, and the rate.

    python benches/out_of_core_logs.py                # all, some minutes and 8 GB of disk
    python benches/out_of_core_logs.py --megabytes 50 # a tenth

It is a script of its own, since each way runs in a process whose whole memory is measured. Each server has one log of
half a gigabyte. `in memory` reads those of two servers, pairs, charges and writes; `in parts` does the same of the same
logs; `in parts, more` of eight servers, which shows what grows with the logs. The first two write the same charges.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import polars as pl

import tokenflex as tf
from make_log import SERVER, ZONE, write_log
from out_of_core import memory, same

WAYS = {"in memory": 2, "in parts": 2, "in parts, more": 8}
"""How many servers each way takes."""
BLOCK = 1 << 24


def write(folder: Path, megabytes: int) -> None:
    """A log of each server: the same use under another name."""
    base = folder / "base"
    write_log(base, megabytes << 20)
    for place in range(max(WAYS.values())):
        (folder / f"server-{place}").mkdir()
        # No line of the log has the name elsewhere, and none is cut: the banner stands at the beginning.
        with base.open("rb") as read, (folder / f"server-{place}" / "adskflex.log").open("wb") as file:
            file.write(read.read(BLOCK).replace(SERVER.encode(), f"lic-{place:05}".encode()))
            while block := read.read(BLOCK):
                file.write(block)
    base.unlink()


def run(way: str, folder: Path, out: Path) -> dict[str, float]:
    """From logs to files in this process: seconds, and the greatest memory that it took."""
    logs = [folder / f"server-{place}" for place in range(WAYS[way])]
    rates = tf.Rates({"ACD": 7, "RVT": 10})
    options = {"rule": tf.TOKEN_FLEX, "rates": rates, "problems": tf.Problems()}
    servers = {f"lic-{place:05}": ZONE for place in range(WAYS[way])}
    began = time.perf_counter()
    if way == "in memory":
        log = tf.read_flexlm(logs, timezone=ZONE)
        sessions = tf.pair(log.events, packages=log.packages, problems=tf.Problems())
        sessions.write_parquet(out / "sessions.parquet")
        tf.charge(sessions, **options, servers=servers).write_parquet(out / "charges.parquet")
    else:
        scanned = tf.scan_sessions(logs, timezone=ZONE, scratch=out, problems=tf.Problems())
        scanned.sink_parquet(out / "sessions.parquet")
        sessions = pl.scan_parquet(out / "sessions.parquet")
        tf.scan_charges(sessions, **options, servers=servers, scratch=out).sink_parquet(out / "charges.parquet")
    size = sum((log / "adskflex.log").stat().st_size for log in logs)
    return {"seconds": time.perf_counter() - began, "gigabytes": memory() / 1e6, "size": size / 1e9}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--megabytes", type=int, default=500, help="the log of each server")
    parser.add_argument("--way", choices=WAYS, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.way:
        out = options.folder / options.way
        out.mkdir()
        print(json.dumps(run(options.way, options.folder, out)))
        return 0
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        write(folder, options.megabytes)
        for way in WAYS:
            command = [sys.executable, __file__, "--way", way, "--folder", str(folder)]
            found = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
            size, seconds, peak = found["size"], found["seconds"], found["gigabytes"]
            rows = pl.scan_parquet(folder / way / "sessions.parquet").select(pl.len()).collect().item()
            rate = 1000 * size / seconds
            print(
                f"{way:14} {size:5.2f} GB of logs, {rows:11,} sessions: {seconds:6.1f} s, {rate:4.0f} MB/s, "
                f"peak {peak:.2f} GB",
                flush=True,
            )
        paths = [folder / way / "charges.parquet" for way in ("in memory", "in parts")]
        assert same(*paths), "in parts there are other charges"
        sessions = [pl.scan_parquet(path.with_name("sessions.parquet")).select(pl.len()) for path in paths]
        assert sessions[0].collect().equals(sessions[1].collect())
    print("the same charges in memory and in parts")
    return 0


if __name__ == "__main__":
    sys.exit(main())
