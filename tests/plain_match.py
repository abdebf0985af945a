"""The match of two sides, written plainly: the reference of `tokenflex.audit.match`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import polars as pl

from tokenflex.times import MICROSECOND

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import timedelta

PAIRS: Final[dict[str, pl.DataType]] = {"o": pl.UInt32(), "v": pl.UInt32()}
_WHO: Final = ("payer", "line")


def nth_to_nth(ours: pl.DataFrame, vendors: pl.DataFrame, keys: Sequence[str]) -> pl.DataFrame:
    """Pairs of lines that are alike in all keys: of several the n-th to the n-th."""
    if ours.is_empty() or vendors.is_empty():
        return pl.DataFrame(schema=PAIRS)
    count = pl.int_range(pl.len()).over(keys)
    numbered = ours.select("o", *keys, n=count)
    against = vendors.select("v", *keys, n=count)
    return numbered.join(against, on=[*keys, "n"]).select("o", "v")


def nearest(ours: pl.DataFrame, vendors: pl.DataFrame, within: timedelta) -> pl.DataFrame:
    """Pairs of the lines of one payer and product that lie no further than a window apart.

    As many pairs as there can be, and of all such choices one with the least sum of distances.
    """
    reach = within // MICROSECOND
    both = ours.select(_WHO).unique().join(vendors.select(_WHO).unique(), on=_WHO)
    sides = [_by_who(ours, both, "o"), _by_who(vendors, both, "v")]
    pairs = [
        (first[i][1], second[j][1])
        for who in sides[0]
        for first, second in _clusters(sides[0][who], sides[1].get(who, []), reach)
        for i, j in assigned([at for at, _ in first], [at for at, _ in second], reach)
    ]
    return pl.DataFrame(pairs, schema=PAIRS, orient="row")


def _by_who(frame: pl.DataFrame, both: pl.DataFrame, place: str) -> dict[tuple[str, str], list[tuple[int, int]]]:
    rows = frame.drop_nulls(["charged_at"]).join(both, on=_WHO, how="semi", maintain_order="left")
    times = rows.select(*_WHO, at=pl.col("charged_at").dt.timestamp("us"), place=place).sort("at", maintain_order=True)
    found: dict[tuple[str, str], list[tuple[int, int]]] = {}
    for payer, line, at, row in times.iter_rows():
        found.setdefault((payer, line), []).append((at, row))
    return found


Times = list[tuple[int, int]]


def _clusters(ours: Times, vendors: Times, reach: int) -> Iterator[tuple[Times, Times]]:
    """Stretches between which there is more than a window, so that no pair lies across."""
    merged = sorted([(at, 0, row) for at, row in ours] + [(at, 1, row) for at, row in vendors], key=lambda one: one[:2])
    part: tuple[Times, Times] = ([], [])
    last = None
    for at, side, row in merged:
        if last is not None and at - last > reach:
            yield part
            part = ([], [])
        part[side].append((at, row))
        last = at
    yield part


def assigned(first: Sequence[int], second: Sequence[int], reach: int) -> list[tuple[int, int]]:
    """Places in two sorted lists, paired: the most pairs no further apart than `reach`, then the least distance.

    On a line two pairs that cross are never nearer than the same four uncrossed, so that pairs in order suffice.
    """
    # best[i][j]: pairs left out and distance, of the first i and the first j.
    best = [[(0, 0)] * (len(second) + 1) for _ in range(len(first) + 1)]
    for i, a in enumerate(first):
        for j, b in enumerate(second):
            skipped = min(best[i][j + 1], best[i + 1][j])
            pairs, distance = best[i][j]
            taken = (pairs - 1, distance + abs(a - b))
            best[i + 1][j + 1] = min(skipped, taken) if abs(a - b) <= reach else skipped
    found = []
    i, j = len(first), len(second)
    while i and j:
        if best[i][j] == best[i - 1][j]:
            i -= 1
        elif best[i][j] == best[i][j - 1]:
            j -= 1
        else:
            i, j = i - 1, j - 1
            found.append((i, j))
    return found[::-1]


def matched(ours: pl.DataFrame, vendors: pl.DataFrame, *, by_days: bool, within: timedelta) -> pl.DataFrame:
    """All pairs: first of the same second, then of the same date, then the nearest; manual rows take what is left."""
    second = pl.col("charged_at").dt.truncate("1s").dt.timestamp("ms").alias("second")
    ours = ours.with_row_index("o").with_columns(second)
    vendors = vendors.with_row_index("v").filter(pl.col("aside").is_null()).with_columns(second)
    codes = pl.Enum(pl.concat([frame[name] for frame in (ours, vendors) for name in _WHO]).unique().drop_nulls().sort())
    ours, vendors = (frame.with_columns(pl.col(_WHO).cast(codes).to_physical()) for frame in (ours, vendors))
    manual = vendors.filter(pl.col("is_manual").fill_null(value=False))
    vendors = vendors.filter(~pl.col("is_manual").fill_null(value=False))
    found = nth_to_nth(ours, vendors, [*_WHO, "second"])
    ours, vendors = _left(ours, vendors, found)
    parts = [found]
    if by_days:
        parts.append(nth_to_nth(ours, vendors, [*_WHO, "usage_date"]))
        ours, vendors = _left(ours, vendors, parts[-1])
    parts.append(nearest(ours, vendors, within))
    ours, _ = _left(ours, vendors, parts[-1])
    parts.append(nth_to_nth(ours, manual, [*_WHO, "usage_date"]))
    return pl.concat(parts)


def _left(ours: pl.DataFrame, vendors: pl.DataFrame, pairs: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    return (
        ours.join(pairs, on="o", how="anti", maintain_order="left"),
        vendors.join(pairs, on="v", how="anti", maintain_order="left"),
    )
