"""What `Identity.apply` is in doubt about: masks without a hash, rows without a time, one login in two domains."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import polars as pl

from tokenflex import tables

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tokenflex.reading.spelling import Spelling

SOURCE: Final = "identity"


@dataclass(frozen=True)
class Rows:
    """The rows of a table that no alias was found for.

    Attributes:
        names: The distinct names.
        codes: For each row the place of its name, null where there is none or an alias was found.
        times: For each row its time, where aliases have dates.
    """

    names: Sequence[str]
    codes: pl.Series
    times: pl.Series | None

    def masked(self, is_nobody: Sequence[bool]) -> pl.DataFrame:
        """A problem for each masked name, whose rows lose their user."""
        nobody = [nobody and name.strip() != "" for name, nobody in zip(self.names, is_nobody, strict=True)]
        where = at_rows(pl.Series(nobody, dtype=pl.Boolean), self.codes)
        return self._told(where, "masked_user", "is masked and has no hash: {} rows have no user")

    def without_time(self, is_dated: Sequence[bool]) -> pl.DataFrame:
        """A problem for each name with aliases that hold for a time only, and rows without a time."""
        if self.times is None or self.times.null_count() == 0:
            return tables.empty(tables.PROBLEMS)
        where = at_rows(pl.Series(is_dated, dtype=pl.Boolean), self.codes) & self.times.is_null()
        return self._told(where, "missing_time", "has aliases with dates, and {} of its rows no time: none was used")

    def _told(self, where: pl.Series, code: str, message: str) -> pl.DataFrame:
        rows = pl.DataFrame({"name": self.codes}).with_row_index("place").filter(where)
        counted = rows.group_by("name", maintain_order=True).agg(pl.col("place").first(), count=pl.len())
        told = [
            (SOURCE, place, code, f"{self.names[name]!r} {message.format(count)}")
            for name, place, count in counted.iter_rows()
        ]
        return pl.DataFrame(told, schema=dict(tables.PROBLEMS), orient="row")


def at_rows(values: pl.Series, codes: pl.Series) -> pl.Series:
    """For each row whether it is true of its name; false where there is no name."""
    if len(values) == 0:
        return pl.Series([False], dtype=pl.Boolean).new_from_index(0, len(codes))
    return values.gather(codes).fill_null(value=False)


def two_domains(ruled: Mapping[str, str], spelling: Spelling) -> pl.DataFrame:
    r"""A problem for each person made of `FIRM\ana` and `OTHER\ana`, where these domains were not listed.

    Args:
        ruled: What the rules made of each name that no alias settles.
        spelling: The rules.
    """
    found: dict[tuple[str, str], dict[str, str]] = {}
    for name, person in ruled.items():
        for rule, domain in spelling.unasked(name):
            found.setdefault((person, rule), {}).setdefault(domain, name)
    told = []
    for (person, _), names in found.items():
        if len(names) > 1:
            spelled = " and ".join(map(repr, names.values()))
            message = f"{spelled} became one person, {person!r}: list their domains if they are, or write aliases"
            told.append((SOURCE, None, "two_domains", message))
    return pl.DataFrame(told, schema=dict(tables.PROBLEMS), orient="row")
