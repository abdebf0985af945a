"""What the commands about idle time share: activity read from a file, and durations as one writes them."""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Final

import polars as pl
import typer

import tokenflex as tf
from tokenflex.commands.options import fail

ActivityOption = Annotated[
    Path | None,
    typer.Option(
        help="An agent's record as CSV or Parquet: user, time of activity; or user, idle_start, idle_end; host and "
        "product where known."
    ),
]

DURATION: Final = re.compile(r"(\d{1,6})(m|h|d)")
UNITS: Final = {"m": timedelta(minutes=1), "h": timedelta(hours=1), "d": timedelta(days=1)}
ANYTHING: Final = "(any)"
"""Stands for a product that a record does not have while it is read."""


def durations_of(text: str, option: str) -> list[timedelta]:
    """Durations as one writes them: 15m,1h,2d."""
    found = []
    for part in text.split(","):
        written = DURATION.fullmatch(part.strip())
        if written is None or int(written[1]) == 0:
            fail(f"{option} {text}: write minutes, hours or days: 15m,30m,1h,2d")
        found.append(int(written[1]) * UNITS[written[2]])
    return found


def activity_of(path: Path | None, zones: str | dict[str, str] | None, problems: tf.Problems) -> pl.DataFrame | None:
    """The activity in a file, with its times as instants."""
    if path is None:
        return None
    if not path.is_file():
        fail(f"--activity {path}: there is no such file")
    # A table of idle stretches with start and end could be one of sessions; so exports say idle.
    frame = _text_of(path).rename({"idle_start": "start", "idle_end": "end"}, strict=False)
    are_instants = "time" in frame.columns
    if "user" not in frame.columns or not (are_instants or {"start", "end"} <= set(frame.columns)):
        fail(
            f"--activity {path}: it has the columns {', '.join(frame.columns)}",
            "Needed are user and time (of activity), or user, idle_start and idle_end.",
        )
    has_product = "product" in frame.columns
    if not has_product:
        frame = frame.with_columns(product=pl.lit(ANYTHING))
    named: dict[str, str] = {name: name for name in ("user", "host", "product") if name in frame.columns}
    times = {"start": "time", "end": "time"} if are_instants else {"start": "start", "end": "end"}
    try:
        read = tf.read_table(
            frame, columns=named | times, timezone=zones if isinstance(zones, str) else None, problems=problems
        )
    except tf.TokenflexError as error:
        fail(f"--activity {path}: {error}")
    kept = read.select(name for name in named if has_product or name != "product")
    if are_instants:
        return kept.with_columns(time=read["start"])
    return kept.with_columns(start=read["start"], end=read["end"])


def _text_of(path: Path) -> pl.DataFrame:
    """The table of a file; a CSV as text, so that no date is guessed twice. Names of columns in lower case."""
    try:
        frame = pl.read_parquet(path) if path.suffix == ".parquet" else pl.read_csv(path, infer_schema=False)
    except (pl.exceptions.PolarsError, OSError) as error:
        fail(f"--activity {path}: cannot be read as {path.suffix.removeprefix('.') or 'CSV'}: {error}")
    return frame.rename({name: name.strip().casefold() for name in frame.columns})
