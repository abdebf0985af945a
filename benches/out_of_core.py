"""A hundred million sessions from Parquet to Parquet by `scan_charges`: peak memory, and the rate beside `charge`.

    python benches/out_of_core.py               # all, five minutes and 5 GB of disk
    python benches/out_of_core.py --millions 10 # a tenth

It is a script of its own, since each way runs in a process whose whole memory is measured. The sessions are those of
`stream_meter.py`, a million to a file. `in memory` reads all files, charges and writes; `in order` scans the files as
they are; `in no order` scans them last file first, so that they have to be scattered. All three write the same charges.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import polars as pl

import tokenflex as tf
from stream_meter import BASE_BATCHES, PRODUCTS, SERVERS, base_batches, later

WAYS = ("in memory", "in order", "in no order")


def write(folder: Path, millions: int) -> None:
    """The sessions, a file for each million, in order of time."""
    base = base_batches(np.random.default_rng(7))
    for number in range(millions):
        later(base[number % BASE_BATCHES], number // BASE_BATCHES).write_parquet(folder / f"{number:05}.parquet")


def run(way: str, folder: Path, out: Path) -> dict[str, float]:
    """Charges in this process: seconds, and the greatest memory that it took."""
    files = sorted(folder.glob("*.parquet"))
    options = {
        "rule": tf.TOKEN_FLEX,
        "rates": tf.Rates({f"PROD{n:02}": 7 for n in range(PRODUCTS)}),
        "servers": SERVERS,
    }
    began = time.perf_counter()
    if way == "in memory":
        tf.charge(pl.read_parquet(files), **options).write_parquet(out)
    else:
        scan = pl.scan_parquet(files if way == "in order" else files[::-1])
        tf.scan_charges(scan, **options, scratch=out.parent).sink_parquet(out)
    return {"seconds": time.perf_counter() - began, "gigabytes": memory() / 1e6}


def memory() -> int:
    """The greatest memory of this process so far, in kB. `getrusage` would tell that of the process that started it."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(status.partition("VmHWM:")[2].split()[0])


def same(one: Path, other: Path) -> bool:
    """Whether two files hold the same charges but for the numbers of the sessions, a stretch at a time."""
    columns = [name for name in tf.tables.CHARGES if name != "session"]
    key = ["charged_at", "user", "product"]
    batches = [pl.scan_parquet(path).select(columns).collect_batches(maintain_order=True) for path in (one, other)]
    rests = [pl.DataFrame(), pl.DataFrame()]
    streams = [iter(each) for each in batches]
    while True:
        for place, stream in enumerate(streams):
            while rests[place].height < 1_000_000 and (batch := next(stream, None)) is not None:
                rests[place] = pl.concat([rests[place], batch]) if rests[place].width else batch
        ends = [rest["charged_at"][-1] for rest in rests if rest.height]
        if not ends:
            return True
        until = min(ends)
        due = [rest.filter(pl.col("charged_at") <= until).sort(key) for rest in rests]
        is_last = all(rest.height < 1_000_000 for rest in rests)
        if not is_last:
            due = [rest.filter(pl.col("charged_at") < until).sort(key) for rest in rests]
        if not due[0].equals(due[1]):
            return False
        rests = [rest.slice(part.height) for rest, part in zip(rests, due, strict=True)]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--millions", type=int, default=100)
    parser.add_argument("--way", choices=WAYS, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.way:
        out = options.folder.parent / f"{options.way.replace(' ', '-')}.parquet"
        print(json.dumps(run(options.way, options.folder, out)))
        return 0
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "sessions"
        folder.mkdir()
        write(folder, options.millions)
        found = {}
        for way in WAYS:
            command = [sys.executable, __file__, "--way", way, "--folder", str(folder)]
            found[way] = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        paths = [Path(scratch) / f"{way.replace(' ', '-')}.parquet" for way in WAYS]
        for path in paths[1:]:
            assert same(paths[0], path), f"{path.name} has other charges"
        rows = pl.scan_parquet(paths[0]).select(pl.len()).collect().item()
    print(f"{options.millions} million sessions, {rows:,} charges, the same each way")
    base = found["in memory"]["seconds"]
    for way, figures in found.items():
        seconds, peak = figures["seconds"], figures["gigabytes"]
        print(f"{way:12} {seconds:6.1f} s, {base / seconds:4.0%} of the rate in memory, peak {peak:.2f} GB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
