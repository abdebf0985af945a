"""A session-level export of Token Flex, made up: a year of a firm's use in the vendor's columns, in order of time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
import polars as pl

if TYPE_CHECKING:
    from pathlib import Path

USERS: Final = 20_000
SERVERS: Final = 12
YEAR: Final = 365 * 86_400
FIRST: Final = np.datetime64("2025-01-01T00:00:00", "us")
PRODUCTS: Final = (
    ("AutoCAD", "ACD", "7"),
    ("Revit", "RVT", "10"),
    ("Civil 3D", "CIV3D", "8.5"),
    ("Inventor Professional", "INVPROSA", "6"),
    ("Navisworks Manage", "NAVMAN", "9"),
    ("Maya", "MAYA", "6"),
)
SHARE_CHARGED: Final = 0.4
ROWS_AT_ONCE: Final = 500_000


def write_statement(path: Path, rows: int, seed: int = 20_260_713) -> None:
    """Writes an export of so many rows."""
    rng = np.random.default_rng(seed)
    seconds = np.sort(rng.integers(0, YEAR, rows))
    with path.open("wb") as file:
        for first in range(0, rows, ROWS_AT_ONCE):
            part = _rows(rng, first, seconds[first : first + ROWS_AT_ONCE])
            part.write_csv(file, include_header=first == 0)


def _rows(rng: np.random.Generator, first: int, seconds: np.ndarray) -> pl.DataFrame:
    rows = len(seconds)
    start = FIRST + seconds.astype("timedelta64[s]")
    lasted = rng.integers(60, 36_000, rows)
    person = rng.integers(0, USERS, rows)
    product = rng.integers(0, len(PRODUCTS), rows)
    names, lines, tokens = (pl.Series(each).gather(product) for each in zip(*PRODUCTS, strict=True))
    frame = pl.DataFrame(
        {
            "start": start,
            "end": start + lasted.astype("timedelta64[s]"),
            "minutes": lasted // 60,
            "person": person,
            "name": names,
            "line": lines,
            "tokens": tokens,
            "is_charged": rng.random(rows) < SHARE_CHARGED,
            "number": np.arange(first, first + rows),
        }
    )
    day, moment = "%Y-%m-%d", "%Y-%m-%dT%H:%M:%S"
    person_text = pl.col("person").cast(pl.String)
    return frame.select(
        usageMonth=pl.col("start").dt.strftime("%Y-%m-01"),
        usageDate=pl.col("start").dt.strftime(day),
        contractYear=pl.lit("1"),
        productName="name",
        productLineCode="line",
        productVersion=pl.lit("2025"),
        productFeatureCode=pl.format("87500{}_2025_0F", "line"),
        userName=pl.format("user{}", person_text.str.zfill(5)),
        machineName=pl.format("PC-{}", person_text.str.zfill(6)),
        sessionStartDate=pl.col("start").dt.strftime(moment),
        sessionEndDate=pl.col("end").dt.strftime(moment),
        licenseServerTimeZoneOffset=pl.lit("-8:00"),
        chargedItemID=pl.format("RX{}", pl.col("number").cast(pl.String).str.zfill(10)),
        chargeCategory=pl.when("is_charged").then(pl.lit("CHARGED")).otherwise(pl.lit("FREE")),
        licenseServerName=pl.format("lic-{}", pl.col("person") % SERVERS),
        usageType=pl.lit("Normal"),
        usageCategory=pl.lit("DESKTOP_PRODUCT"),
        customField1=pl.format("department-{}", pl.col("person") % 40),
        **{f"customField{number}": pl.lit(None, pl.String) for number in range(2, 11)},
        tokensConsumed=pl.when("is_charged").then("tokens").otherwise(pl.lit("0")),
        usageMinutes=pl.col("minutes").cast(pl.String),
        usageHours=(pl.col("minutes") / 60).round(2).cast(pl.String),
    )
