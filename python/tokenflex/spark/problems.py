"""The collector of problems on Spark: bad data is a DataFrame beside the result, computed when it is looked at."""

from __future__ import annotations

from functools import reduce
from typing import TYPE_CHECKING

from tokenflex.errors import ArgumentError, ArgumentTypeError

if TYPE_CHECKING:
    from pyspark.sql import DataFrame


class Problems:
    """Collects the problems that verbs of `tokenflex.spark` meet, as rows of `tables.PROBLEMS`.

    As `tokenflex.Problems` does on one machine; but a DataFrame of Spark is computed when it is read, and so are these.
    They are computed from the same sessions as the result and not counted on the way, so that a task that Spark runs
    again, or twice, tells of nothing twice.

    Attributes:
        frame: All problems so far, as a DataFrame of Spark.

    Example:
        >>> import tokenflex.spark as tfs
        >>> problems = tfs.Problems()
        >>> problems
        <Problems of 0 verbs>
    """

    def __init__(self) -> None:
        self._parts: list[DataFrame] = []

    @property
    def frame(self) -> DataFrame:
        """All problems so far, computed when they are read."""
        if not self._parts:
            raise ArgumentError("no verb has met this collector yet: pass it by problems=", location="problems")
        return reduce(lambda one, other: one.unionByName(other), self._parts)

    def add(self, frame: DataFrame) -> None:
        """Adds rows of `tables.PROBLEMS`."""
        self._parts.append(frame)

    def __repr__(self) -> str:
        return f"<Problems of {len(self._parts)} verbs>"


def checked(problems: object, verb: str) -> Problems:
    """The collector that a caller gave, who has to: from inside of a job nobody can be warned."""
    if not isinstance(problems, Problems):
        given = "is missing" if problems is None else f"is a {type(problems).__name__}"
        raise ArgumentTypeError(
            f"problems= {given}: {verb} on Spark has no other way to tell of bad data. Pass a "
            "tokenflex.spark.Problems(), and look at its frame after the result",
            location="problems",
        )
    return problems
