"""A thousand million sessions through `Meter`, batch by batch: peak memory, and the rate beside one large batch.

    python benches/stream_meter.py               # all, a minute and a half
    python benches/stream_meter.py --millions 50 # a twentieth

It is a script of its own, since it measures the memory of the whole process.
"""

from __future__ import annotations

import argparse
import resource
import sys
import time
from datetime import timedelta
from decimal import Decimal

import numpy as np
import polars as pl

import tokenflex as tf

USERS = 50_000
PRODUCTS = 60
BATCH = 1_000_000
BASE_BATCHES = 10
PERIOD = timedelta(days=63)
FIRST = 1_546_819_200_000_000
"""2019-01-07T00:00:00Z, a Monday, in microseconds."""
SERVERS = {"mad-lic-01": "Europe/Madrid", "chi-lic-01": "America/Chicago", "sin-lic-01": "Asia/Singapore"}


def base_batches(rng: np.random.Generator) -> list[pl.DataFrame]:
    """Ten million sessions of nine weeks in order of their start, in batches."""
    rows = BATCH * BASE_BATCHES
    microseconds = PERIOD // timedelta(microseconds=1)
    start = np.sort(rng.integers(0, microseconds, rows))
    user = rng.integers(0, USERS, rows, dtype=np.uint32)
    product = ((user * 7 + rng.integers(0, 3, rows, dtype=np.uint32) ** 2) % PRODUCTS).astype(np.uint32)
    length = np.exp(rng.standard_normal(rows, dtype=np.float32) * np.float32(1.2)) * np.float32(2400)
    end = start + length.astype(np.int64) * 1_000_000
    frame = pl.DataFrame(
        {
            "user": pl.Series([f"user{n}" for n in range(USERS)], dtype=pl.Categorical).gather(pl.Series(user)),
            "product": pl.Series([f"PROD{n:02}" for n in range(PRODUCTS)], dtype=pl.Categorical).gather(
                pl.Series(product)
            ),
            "server": pl.Series(list(SERVERS), dtype=pl.Categorical).gather(pl.Series(user % len(SERVERS))),
            "start": pl.Series(start + FIRST).cast(pl.Datetime("us", "UTC")),
            "end": pl.Series(end + FIRST).cast(pl.Datetime("us", "UTC")),
        }
    )
    return [frame.slice(batch * BATCH, BATCH).rechunk() for batch in range(BASE_BATCHES)]


def later(batch: pl.DataFrame, periods: int) -> pl.DataFrame:
    """The same sessions some whole periods later."""
    return batch.with_columns(pl.col("start", "end") + PERIOD * periods)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--millions", type=int, default=1000)
    parser.add_argument("--rule", choices=["flex", "token-flex"], default="token-flex")
    options = parser.parse_args()
    rule = tf.FLEX if options.rule == "flex" else tf.TOKEN_FLEX
    rates = tf.Rates({f"PROD{n:02}": 7 for n in range(PRODUCTS)})
    base = base_batches(np.random.default_rng(7))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    meter = tf.Meter(rule=rule, rates=rates, servers=SERVERS)
    spent, charges, tokens = 0.0, 0, Decimal(0)
    for number in range(options.millions):
        batch = later(base[number % BASE_BATCHES], number // BASE_BATCHES)
        began = time.perf_counter()
        settled = meter.push(batch)
        spent += time.perf_counter() - began
        charges += settled.height
        tokens += settled["tokens"].sum() or 0
        if (number + 1) % 100 == 0:
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            print(
                f"{number + 1:5} million: {(number + 1) / spent:6.1f} million/s, peak {peak / 1e6:.2f} GB", flush=True
            )
    settled = meter.finish()
    charges += settled.height
    tokens += settled["tokens"].sum() or 0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    whole = pl.concat(base).rechunk()
    rounds = []
    for _ in range(5):
        began = time.perf_counter()
        tf.charge(whole, rule=rule, rates=rates, servers=SERVERS)
        rounds.append(time.perf_counter() - began)
    one_batch = BASE_BATCHES / sorted(rounds)[2]
    rate = options.millions / spent
    print(f"rule {rule.rule_id}: {options.millions} million sessions, {charges:,} charges, {tokens:,} tokens")
    print(f"Meter {rate:.1f} million sessions/s, one batch of ten million {one_batch:.1f}: {rate / one_batch:.0%}")
    print(f"peak memory {peak / 1e6:.2f} GB, of which {before / 1e6:.2f} GB held before the first batch")
    return 0


if __name__ == "__main__":
    sys.exit(main())
