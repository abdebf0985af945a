"""Bad data is data: where verbs put what they could not use."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import polars as pl

from tokenflex import tables
from tokenflex.errors import ArgumentTypeError, TokenflexWarning
from tokenflex.notebook import Shown

if TYPE_CHECKING:
    from collections.abc import Iterator


class Problems(Shown):
    """Collects the problems that verbs meet, as rows of `tables.PROBLEMS`.

    Give one to each verb of a pipeline by `problems=` and look at `frame` at the end. A verb that meets problems and
    has nowhere to put them warns with a `TokenflexWarning`, so nothing is lost silently.

    Example:
        >>> import tokenflex as tf
        >>> problems = tf.Problems()
        >>> len(problems)
        0
        >>> problems.frame.columns
        ['source', 'location', 'code', 'message']
    """

    def __init__(self) -> None:
        self._parts: list[pl.DataFrame] = []

    @property
    def frame(self) -> pl.DataFrame:
        """All problems so far, in the order in which they were met."""
        return pl.concat([tables.empty(tables.PROBLEMS), *self._parts])

    def add(self, frame: pl.DataFrame) -> None:
        """Adds rows of `tables.PROBLEMS`."""
        if frame.height > 0:
            self._parts.append(frame.select(list(tables.PROBLEMS)))

    def __len__(self) -> int:
        return sum(part.height for part in self._parts)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return self.frame.iter_rows(named=True)

    def _tables_shown(self) -> dict[str, pl.DataFrame]:
        return {"problems": self.frame}

    def __repr__(self) -> str:
        counts = self.frame.group_by("code", maintain_order=True).len()
        inside = ", ".join(f"{code}: {count}" for code, count in counts.iter_rows())
        return f"<Problems {inside or 'none'}>"


def report(frame: pl.DataFrame, problems: Problems | None, verb: str) -> None:
    """Hands problems to the caller's collector, or warns of them where there is none."""
    if problems is not None:
        if not isinstance(problems, Problems):
            raise ArgumentTypeError(
                f"problems has to be a tokenflex.Problems(), not {type(problems).__name__}", location="problems"
            )
        problems.add(frame)
    elif frame.height > 0:
        counts = frame.group_by("code", maintain_order=True).len()
        named = ", ".join(f"{code} ({count})" for code, count in counts.iter_rows())
        warnings.warn(
            f"{verb}: {frame.height} problems in the data: {named}. "
            "Pass problems=tokenflex.Problems() to collect them and see each.",
            TokenflexWarning,
            stacklevel=3,
        )
