"""Which lines of an earlier reconciliation stand in a later one: each side's by itself, whatever stands against it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import polars as pl

if TYPE_CHECKING:
    from collections.abc import Sequence

SIDES: Final = ("ours", "vendors")
LINKS: Final[dict[str, pl.DataType]] = {"e": pl.UInt32(), "l": pl.UInt32()}
"""A row of the earlier and one of the later reconciliation."""

_OF_ONE: Final = ("who", "is_adjustment")
_INSTANT: Final = (*_OF_ONE, "at", "day")
_EXACT: Final = (
    (*_INSTANT, "server", "tokens", "status", "shift", "against"),
    (*_INSTANT, "server", "tokens"),
    (*_INSTANT, "tokens"),
    (*_INSTANT, "server"),
    _INSTANT,
)
"""The same instant, or date where there is no instant; first where nothing changed, not even what it stands against."""
_DATED: Final = ((*_OF_ONE, "date", "tokens"), (*_OF_ONE, "date"))
"""What shifted within its date."""


@dataclass(frozen=True)
class KnownAgain:
    """The lines of each side that both reconciliations have, as pairs of the rows that they stand in."""

    pairs: dict[str, pl.DataFrame]

    def rows(self, then: pl.DataFrame, now: pl.DataFrame) -> pl.DataFrame:
        """Each row of both, in exactly one link: `e`, `l`, or both.

        Rows of one line of ours belong together, else those of one line of the vendor. Where lines were only paired
        otherwise, what is left at the two ends of such a chain belongs together.
        """
        ours, vendors = (self.pairs[side] for side in SIDES)
        links = _with_more(ours, vendors)
        links = pl.concat([links, _ends(links, vendors)])
        lone = [
            pl.int_range(frame.height, dtype=pl.UInt32, eager=True)
            .alias(name)
            .to_frame()
            .join(links, on=name, how="anti")
            for name, frame in (("e", then), ("l", now))
        ]
        return pl.concat([links, *lone], how="diagonal")

    def marked(self, then: pl.DataFrame, now: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
        """Both with `{side}_known` and `{side}_moved`: the other one has that line, and at another amount."""
        for side in SIDES:
            pairs = self.pairs[side]
            changed = then[side].gather(pairs["e"]).ne_missing(now[side].gather(pairs["l"]))
            moved = pairs.with_columns(pl.lit(value=True).alias(f"{side}_known"), changed.alias(f"{side}_moved"))
            then, now = (
                frame.join(
                    moved.drop(other), left_on="i", right_on=place, how="left", maintain_order="left"
                ).with_columns(pl.col(f"{side}_known", f"{side}_moved").fill_null(value=False))
                for frame, place, other in ((then, "e", "l"), (now, "l", "e"))
            )
        return then, now


def known_again(then: pl.DataFrame, now: pl.DataFrame) -> KnownAgain:
    """Finds the lines of each side.

    A line is the same where person, product and instant are, or the date where there is no instant; n-th to n-th where
    there are several, equal amounts first. Else where it stands against the same line of the other side; else where the
    date is the same.
    """
    lines = {side: (_lines(then, side, "e"), _lines(now, side, "l")) for side in SIDES}
    pairs = {side: pl.DataFrame(schema=LINKS) for side in SIDES}
    for tried in (_EXACT, _DATED):
        for side in SIDES:
            for keys in tried:
                first, second = (
                    frame.join(pairs[side], on=place, how="anti", maintain_order="left")
                    for frame, place in zip(lines[side], LINKS, strict=True)
                )
                pairs[side] = pl.concat([pairs[side], _nth_to_nth(first, second, keys)])
        for side, other in (SIDES[::-1], SIDES):
            pairs[side] = pl.concat([pairs[side], _of_partners(pairs, lines, side, other)])
    return KnownAgain(pairs)


def _lines(rows: pl.DataFrame, side: str, place: str) -> pl.DataFrame:
    """One side's lines, each with the number of its row as `place`."""
    at, date = (pl.col(f"{side}_{name}") for name in ("at", "date"))
    (other,) = (name for name in SIDES if name != side)
    found = rows.filter(f"has_{side}").select(
        pl.col("i").alias(place), *_OF_ONE, "server", "status", "shift",
        at=at, date=date, day=pl.when(at.is_null()).then(date), tokens=side, against=other,
    )  # fmt: skip
    return found.sort(*_OF_ONE, "date", "at", "server", "tokens", place)


def _nth_to_nth(first: pl.DataFrame, second: pl.DataFrame, keys: Sequence[str]) -> pl.DataFrame:
    if first.is_empty() or second.is_empty():
        return pl.DataFrame(schema=LINKS)
    numbered = [
        _numbered(frame.select(place, *keys), keys) for frame, place in zip((first, second), LINKS, strict=True)
    ]
    return numbered[0].join(numbered[1], on=[*keys, "n"], nulls_equal=True).select(list(LINKS))


def _numbered(lines: pl.DataFrame, keys: Sequence[str]) -> pl.DataFrame:
    """With `n`, which of those that are alike each line is. Most are alone; a window of each would cost far more."""
    is_one_of_many = pl.struct(keys).is_duplicated()
    alone = lines.filter(~is_one_of_many).with_columns(n=pl.lit(0, pl.Int64))
    many = lines.filter(is_one_of_many).with_columns(n=pl.int_range(pl.len()).over(keys))
    return pl.concat([alone, many])


def _of_partners(
    pairs: dict[str, pl.DataFrame], lines: dict[str, tuple[pl.DataFrame, pl.DataFrame]], side: str, other: str
) -> pl.DataFrame:
    """Lines of a side that stand against one line of the other side, then and now, and are not known yet."""
    found = pairs[other]
    for place, frame in zip(LINKS, lines[side], strict=True):
        found = found.join(frame.select(place), on=place, how="semi").join(
            pairs[side].select(place), on=place, how="anti"
        )
    return found


def _with_more(links: pl.DataFrame, pairs: pl.DataFrame) -> pl.DataFrame:
    """The links, and those pairs neither of whose rows has one."""
    rest = pairs
    for place in LINKS:
        rest = rest.join(links.select(place), on=place, how="anti")
    return pl.concat([links, rest])


def _ends(links: pl.DataFrame, vendors: pl.DataFrame) -> pl.DataFrame:
    """What is left at both ends of a chain of rows, in which each row shares a line with the next."""
    found = [pl.DataFrame(schema=LINKS)]
    # From a row of the earlier to the one with its line of the vendor, over to the row linked with that, and so on.
    steps = vendors.join(links, on="e", how="anti")
    while steps.height:
        is_end = ~steps["l"].is_in(links["l"].implode())
        found.append(steps.filter(is_end))
        across = steps.filter(~is_end).rename({"e": "first"}).join(links, on="l").select("first", "e")
        steps = across.join(vendors, on="e").select(pl.col("first").alias("e"), "l")
    return pl.concat(found)
