"""Spark beside one machine: the same sessions from Parquet to Parquet by `tokenflex.spark` and by `tokenflex`.

    python benches/spark.py                       # 0.3, 1 and 3 million sessions, on two cores
    python benches/spark.py --millions 1 10       # sizes of your own
    python benches/spark.py --master 'local[8]'   # on what there is

It is a script of its own, since it starts Spark. Both ways write the same charges, row for row. Beside the whole it
takes the parts of Spark's way apart: how long Spark takes to start, to bring sessions together and in order (scan,
shuffle, sort), to hand them to Python and back as they are, and to charge them. Each is run once before it is measured.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
from pyspark.sql import SparkSession

import tokenflex as tf
import tokenflex.spark as tfs
from stream_meter import BASE_BATCHES, BATCH, PRODUCTS, SERVERS, base_batches, later

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

RULE = tf.TOKEN_FLEX
TERMS: dict[str, Any] = {
    "rule": RULE,
    "rates": tf.Rates({f"PROD{n:02}": 7 for n in range(PRODUCTS)}),
    "servers": SERVERS,
}


def write(folder: Path, rows: int) -> None:
    """So many sessions in order of time, numbered, a file for each million at most."""
    base = base_batches(np.random.default_rng(7))
    for number in range(-(-rows // BATCH)):
        batch = later(base[number % BASE_BATCHES], number // BASE_BATCHES).head(rows - number * BATCH)
        names = batch.with_columns(pl.col(pl.Categorical).cast(pl.String))
        numbers = pl.Series("n", range(number * BATCH, number * BATCH + batch.height), dtype=pl.Int64)
        names.with_columns(numbers).write_parquet(folder / f"{number:05}.parquet")


def seconds(work: Callable[[], object], *, rounds: int = 3) -> float:
    """The median of some runs after one that does not count."""
    taken = []
    for _ in range(rounds + 1):
        began = time.perf_counter()
        work()
        taken.append(time.perf_counter() - began)
    return float(np.median(taken[1:]))


def as_it_is(batches: Iterator[Any]) -> Iterator[Any]:
    yield from batches


def measure(spark: SparkSession, folder: Path, rows: int) -> dict[str, float]:
    sessions, out = folder / "sessions", folder / "out"
    shutil.rmtree(folder, ignore_errors=True)
    sessions.mkdir(parents=True)
    out.mkdir()
    write(sessions, rows)
    read = spark.read.parquet(str(sessions))

    def here() -> None:
        tf.charge(pl.read_parquet(sessions / "*.parquet"), **TERMS).write_parquet(out / "here.parquet")

    def there() -> None:
        charges = tfs.charge(read, **TERMS, row="n", problems=tfs.Problems())
        charges.write.mode("overwrite").parquet(str(out / "there"))

    ordered = read.repartition("user", "product").sortWithinPartitions("start", "n")
    figures = {
        "here": seconds(here),
        "there": seconds(there),
        "in order": seconds(lambda: ordered.write.format("noop").mode("overwrite").save()),
        "to Python and back": seconds(
            lambda: ordered.mapInArrow(as_it_is, read.schema).write.format("noop").mode("overwrite").save()
        ),
    }
    key = ["charged_at", "session"]
    one = pl.read_parquet(out / "here.parquet").with_columns(pl.col("session").cast(pl.Int64))
    other = pl.read_parquet(out / "there" / "*.parquet")
    plain = [frame.with_columns(pl.col(pl.Categorical, pl.Enum).cast(pl.String)).sort(key) for frame in (one, other)]
    assert plain[0].equals(plain[1].with_columns(pl.col("charged_at", "window_end").dt.convert_time_zone("UTC")))
    return figures


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--millions", type=float, nargs="+", default=[0.3, 1, 3])
    parser.add_argument("--master", default=f"local[{os.cpu_count()}]")
    options = parser.parse_args()
    began = time.perf_counter()
    builder = SparkSession.builder.master(options.master).config("spark.ui.enabled", "false")
    builder = builder.config("spark.driver.host", "127.0.0.1").config("spark.ui.showConsoleProgress", "false")
    spark = builder.config("spark.driver.memory", "3g").getOrCreate()
    spark.sparkContext.setLogLevel("OFF")
    started = time.perf_counter() - began
    began = time.perf_counter()
    spark.range(1).mapInArrow(as_it_is, "id bigint").collect()
    first = time.perf_counter() - began
    load = os.getloadavg()[0]
    print(
        f"{options.master}, load {load:.1f}: Spark starts in {started:.1f} s, its first task of Python in {first:.1f} s"
    )
    print("| million sessions | one machine | Spark | ratio | in order | to Python and back | charged and written |")
    print("|--:|--:|--:|--:|--:|--:|--:|")
    with tempfile.TemporaryDirectory() as scratch:
        for millions in options.millions:
            found = measure(spark, Path(scratch) / "run", int(millions * 1e6))
            moved = found["to Python and back"] - found["in order"]
            rest = found["there"] - found["to Python and back"]
            ratio = found["there"] / found["here"]
            print(
                f"| {millions:g} | {found['here']:.2f} s | {found['there']:.2f} s | {ratio:.1f} "
                f"| {found['in order']:.2f} s | {moved:+.2f} s | {rest:+.2f} s |",
                flush=True,
            )
    spark.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
