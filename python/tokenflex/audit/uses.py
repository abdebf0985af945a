"""The sessions that were charged, on the footing of the lines: looked up for the few lines that ask for them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import polars as pl

from tokenflex import tables
from tokenflex.audit.evidence import TAKEN_BACK

if TYPE_CHECKING:
    from tokenflex.audit.sides import Footing
    from tokenflex.problems import Problems

_NAMES: Final = ("user", "product", "host", "server")


@dataclass(frozen=True)
class Uses:
    """Sessions may be several times as many as charges, so only those in question are put on the footing."""

    sessions: pl.DataFrame
    footing: Footing
    found: Problems

    def at(self, seconds: pl.Series) -> pl.DataFrame:
        """The sessions that began in one of these seconds."""
        return self._put(self.sessions.filter(pl.col("start").dt.truncate("1s").is_in(seconds.unique().implode())))

    def taken_back(self) -> pl.DataFrame:
        """The sessions that the server ended."""
        if "end_reason" not in self.sessions.columns:
            return self._put(self.sessions.clear())
        return self._put(self.sessions.filter(pl.col("end_reason").cast(pl.String).is_in(TAKEN_BACK)))

    def _put(self, sessions: pl.DataFrame) -> pl.DataFrame:
        """With `payer` and `line`."""
        names = [pl.col(name).cast(tables.NAME) for name in _NAMES if name in sessions.columns]
        frame = sessions.select(*names, pl.col("start", "end").cast(tables.TIME)).with_columns(
            usage_date=pl.col("start").dt.date(), charged_at="start"
        )
        # Logs of one's own have users and machines in their columns; and a few rows could not show that they had not.
        (done,) = self.footing.put(frame, found=self.found, may_be_swapped=False)
        return done
