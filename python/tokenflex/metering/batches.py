"""Sessions that come batch after batch in order of time, charged in little memory: charges come out in order, too."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import polars as pl

from tokenflex import tables
from tokenflex.metering.terms import without_rate

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from datetime import datetime

    from tokenflex.arrow import AnyTable
    from tokenflex.metering.meter import Meter
    from tokenflex.metering.terms import Found

ORDER = ("charged_at", "session")
"""The order of charges."""


class Tally:
    """What could not be charged or priced, of all batches together."""

    def __init__(self) -> None:
        self._faults: list[pl.DataFrame] = []
        self._missing: Counter[str] = Counter()

    def add(self, found: Found) -> pl.DataFrame:
        """Takes what was wrong, and hands on the charges."""
        self._faults.append(found.faults)
        self._missing.update(dict(found.without_rate))
        return found.charges

    @property
    def frame(self) -> pl.DataFrame:
        """Rows of `tables.PROBLEMS`: the sessions, row by row, then each product without a rate once."""
        faults = pl.concat([tables.empty(tables.PROBLEMS), *self._faults])
        return pl.concat([faults.sort("location", maintain_order=True), without_rate(self._missing.items())])


def in_order(batches: Iterable[AnyTable], meter: Meter, as_of: datetime | None, tally: Tally) -> Iterator[pl.DataFrame]:
    """Charges batches that are in order of `start`, a table of charges for each, all together in order of `ORDER`.

    Where it is known how long a session lasts, its renewals are charged at once, though they fall due later. They wait
    here for the charges of later batches that come before them. So does all that begins with a session of which nobody
    knows yet whether it lasts as long as the rule asks for: an open one is charged at its start once it has.
    """
    waiting = None
    for batch in batches:
        charges = tally.add(meter.pushed(batch))
        if waiting is not None:
            charges = pl.concat([waiting, charges]).sort(ORDER, maintain_order=True)
        due = charges["charged_at"] < meter.latest_start - meter.rule.min_duration
        waiting = charges.filter(~due)
        yield charges.filter(due)
    rest = tally.add(meter.finished(as_of))
    yield rest if waiting is None else pl.concat([waiting, rest]).sort(ORDER, maintain_order=True)
