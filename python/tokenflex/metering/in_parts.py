"""Sessions in any order and of any number, charged in parts: as they come, or scattered to disk and merged again."""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import polars as pl

from tokenflex.arrow import BATCH, frame_of, stream_of
from tokenflex.metering.at_once import charged
from tokenflex.metering.batches import ORDER, Tally, in_order
from tokenflex.metering.meter import READS, Meter
from tokenflex.metering.terms import together
from tokenflex.streams import merged
from tokenflex.times import EPOCH, MICROSECOND, TOO_LATE, microseconds

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

PART: Final = 4 << 20
"""About how many sessions are charged at a time where they have to be scattered."""
STRETCH: Final = 1 << 17
"""How many charges of each part are read at a time to merge them."""
_END: Final = (TOO_LATE - EPOCH) // MICROSECOND
_ROW: Final = "__row"
_PART: Final = "__part"


def fits(sessions: pl.LazyFrame) -> bool:
    """Whether sessions are one part, which memory holds."""
    rows: int = sessions.select(pl.len()).collect().item()
    return rows <= PART


def charges_in_parts(
    sessions: pl.LazyFrame, terms: dict[str, Any], as_of: datetime | None, scratch: Path | None, tally: Tally
) -> Iterator[pl.DataFrame]:
    """The charges of sessions, in order; what is wrong is counted in the tally."""
    # Of no rows the compiled part refuses the same columns as of many, before they are scattered.
    Meter(**terms).pushed(next(iter(stream_of(sessions.clear(), READS))))
    found = _look(sessions)
    is_late = as_of is None or found.latest_start is None or found.latest_start <= microseconds(as_of, "as_of")
    if found.is_in_order and is_late:
        yield from in_order(stream_of(sessions, READS), Meter(**terms), as_of, tally)
        return
    with tempfile.TemporaryDirectory(prefix="tokenflex-", dir=scratch, ignore_cleanup_errors=True) as folder:
        parts = _scattered(sessions, terms, found, Path(folder))
        charged_parts = [_charged(part, terms, as_of or found.until, tally) for part in parts]
        yield from merged([_stretches(path) for path in charged_parts], ORDER)


@dataclass
class _Seen:
    """What a first look at the times of sessions says. Times are microseconds, since data may hold any.

    Attributes:
        rows: How many sessions there are.
        is_in_order: Whether no start comes before an earlier row's.
        latest_start: The latest start.
        last: The latest instant that counts as one, until when open sessions are in use.
    """

    rows: int = 0
    is_in_order: bool = True
    latest_start: int | None = None
    last: int | None = None

    @property
    def until(self) -> datetime | None:
        """`last` as a time."""
        return None if self.last is None else EPOCH + self.last * MICROSECOND


def _look(sessions: pl.LazyFrame) -> _Seen:
    """Reads the times alone. What is no instant is left for the compiled part to refuse."""
    seen = _Seen()
    columns = sessions.collect_schema().items()
    units = {name: unit for name, dtype in columns if name in ("start", "end") and (unit := _unit(dtype))}
    if "start" not in units:
        return seen
    for batch in sessions.select(list(units)).collect_batches(chunk_size=BATCH, maintain_order=True):
        seen.rows += batch.height
        times = {name: batch[name].to_physical().drop_nulls() for name in units}
        start = times["start"]
        if start.is_empty():
            continue
        first, latest = (_whole(each) * units["start"] // 1000 for each in (start.min(), start.max()))
        is_behind = seen.latest_start is None or first >= seen.latest_start
        seen.is_in_order = seen.is_in_order and is_behind and start.is_sorted()
        seen.latest_start = latest if seen.latest_start is None else max(latest, seen.latest_start)
        for name, instants in times.items():
            valid = instants.filter(instants.is_between(0, _END * 1000 // units[name], closed="left"))
            if not valid.is_empty():
                last = _whole(valid.max()) * units[name] // 1000
                seen.last = last if seen.last is None else max(last, seen.last)
    return seen


def _unit(dtype: pl.DataType) -> int:
    """How many nanoseconds an instant's unit has; 0 if it is no instant."""
    if not isinstance(dtype, pl.Datetime) or dtype.time_zone is None:
        return 0
    return {"ns": 1, "us": 1000, "ms": 1_000_000}[dtype.time_unit]


def _whole(value: object) -> int:
    """What polars gives for the least or greatest of whole numbers."""
    assert isinstance(value, int)  # noqa: S101 - for the type checker
    return value


def _scattered(sessions: pl.LazyFrame, terms: dict[str, Any], seen: _Seen, folder: Path) -> list[Path]:
    """The sessions in folders of files, with their row; all that can share a charge are in one folder."""
    part = _part_of(sessions.collect_schema(), terms, parts=-(-seen.rows // PART))
    found: dict[int, Path] = {}
    rows = 0
    for number, batch in enumerate(stream_of(sessions, READS)):
        numbered = (
            frame_of(batch).with_row_index(_ROW).with_columns(pl.col(_ROW).cast(pl.UInt64) + rows, part.alias(_PART))
        )
        rows += numbered.height
        for (place,), piece in numbered.partition_by(_PART, as_dict=True, include_key=False).items():
            if place not in found:
                found[place] = folder / str(place)
                found[place].mkdir()
            piece.write_parquet(found[place] / f"{number:09}.parquet", compression="lz4", statistics=False)
    return [found[place] for place in sorted(found)]


def _part_of(schema: pl.Schema, terms: dict[str, Any], *, parts: int) -> pl.Expr:
    """Which part a session is in, by who pays and for what; where each server charges by itself that is finer still."""
    by_host, families = together(terms["rule"], terms["rates"], schema)
    payer, unit = pl.col("user").cast(pl.String), pl.col("product").cast(pl.String)
    if by_host:
        is_metered = unit.is_in(by_host).fill_null(value=False)
        payer = pl.when(is_metered).then(pl.col("host").cast(pl.String)).otherwise(payer)
    if families:
        unit = unit.replace(list(families), list(families.values()))
    return ((payer.hash(seed=1) ^ unit.hash(seed=2)) % parts).cast(pl.UInt32)


def _charged(part: Path, terms: dict[str, Any], as_of: datetime | None, tally: Tally) -> Path:
    """Charges one part, and keeps its charges in a file."""
    sessions = pl.read_parquet(part / "*.parquet")
    rows = sessions[_ROW]
    found = charged(sessions.drop(_ROW), as_of=as_of, **terms)
    faults = found.faults.with_columns(rows.gather(found.faults["location"]).alias("location"))
    charges = tally.add(found._replace(faults=faults)).with_columns(
        rows.gather(found.charges["session"]).alias("session")
    )
    path = part.with_suffix(".parquet")
    shutil.rmtree(part)
    charges.write_parquet(path, compression="lz4", row_group_size=STRETCH)
    return path


def _stretches(path: Path) -> Iterator[pl.DataFrame]:
    """The charges of one part, a stretch at a time."""
    scan = pl.scan_parquet(path)
    for offset in range(0, scan.select(pl.len()).collect().item(), STRETCH):
        yield scan.slice(offset, STRETCH).collect()
