"""What each user's tokens cost, product by product, and for any part of the products of a family."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final

import polars as pl

from tokenflex import tables
from tokenflex.contract.money import units
from tokenflex.metering.charge import charge
from tokenflex.planning.past import last_instant
from tokenflex.problems import Problems
from tokenflex.reading.periods import column_of, instants_of
from tokenflex.reading.user_zones import zones_in
from tokenflex.times import EPOCH, TOO_LATE

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime

    from tokenflex.metering.rates import Rates
    from tokenflex.metering.rule import Rule
    from tokenflex.reading.user_zones import Users

DAY: Final = 86_400_000_000

Part = tuple[str, str, frozenset[str]]
"""A user, a family, and some of its products."""


@dataclass(frozen=True)
class Terms:
    """How tokens are charged."""

    rule: Rule
    rates: Rates
    servers: Mapping[str, str] | None
    users: Users | None
    as_of: datetime | None


@dataclass(frozen=True)
class Charged:
    """The use that counts, and what its tokens cost.

    Attributes:
        used: Sessions that are long enough to be charged, with `user`, `product` (text), `start` and `end`
            (microseconds), `licenses`.
        units: Tokens of each user and product, in units of 1/10,000.
        days: How many charges each user has of each product.
        unrated: Products of which some charge has no rate.
    """

    used: pl.DataFrame
    units: dict[tuple[str, str], int]
    days: dict[tuple[str, str], int]
    unrated: list[str]


class Charging:
    """Charges sessions, as a whole and in parts."""

    def __init__(self, sessions: pl.DataFrame, terms: Terms) -> None:
        self._terms = terms
        times = {name: instants_of(sessions, name) for name in ("start", "end")}
        self._as_of = terms.as_of if terms.as_of is not None else last_instant(times)
        kept = [name for name in ("user", "product", "server", "host", "licenses") if name in sessions.columns]
        self._frame = sessions.select(kept).with_columns(**times)
        self._zones = zones_in(terms.users, "users")

    def whole(self, problems: Problems) -> Charged:
        """Charges everything."""
        terms = self._terms
        charges = charge(
            self._frame,
            as_of=self._as_of,
            rule=terms.rule,
            rates=terms.rates,
            servers=terms.servers,
            users=self._zones,
            problems=problems,
        )
        sums = charges.group_by("user", "product").agg(
            units=units(pl.col("tokens").sum()), days=pl.len(), unrated=pl.col("tokens").null_count()
        )
        sums = sums.with_columns(pl.col("user", "product").cast(pl.String)).sort("user", "product")
        keys = list(sums.select("user", "product").iter_rows())
        return Charged(
            used=self.used(),
            units=dict(zip(keys, sums["units"].to_list(), strict=True)),
            days=dict(zip(keys, sums["days"].to_list(), strict=True)),
            unrated=sorted(set(sums.filter(pl.col("unrated") > 0)["product"])),
        )

    def used(self) -> pl.DataFrame:
        """Sessions of somebody, of some product, that are sound and not too short to be charged."""
        frame = self._frame
        open_until = pl.max_horizontal(pl.lit(self._as_of, tables.TIME), "start")
        frame = frame.with_columns(end=pl.col("end").fill_null(open_until))
        licenses = (
            pl.col("licenses").cast(pl.Int64).fill_null(1) if "licenses" in frame.columns else pl.lit(1, pl.Int64)
        )
        in_data = [pl.col(name).is_between(EPOCH, TOO_LATE, closed="left") for name in ("start", "end")]
        shortest = max(self._terms.rule.min_duration, timedelta(0))
        sound = frame.drop_nulls(["user", "product", "start"]).filter(
            *in_data, pl.col("end") - pl.col("start") >= pl.lit(shortest)
        )
        return sound.select(
            pl.col("user", "product").cast(pl.String),
            pl.col("start", "end").dt.epoch("us"),
            licenses=licenses.clip(0, 2**32 - 1),
        )

    def parts(self, parts: Iterable[Part]) -> dict[Part, int]:
        """Tokens, in units, of each user's use of some products of a family, as if there were no other use.

        All in one call: each part is charged under a name of its own.
        """
        asked = list(parts)
        if not asked:
            return {}
        members = pl.DataFrame(
            [(str(place), user, product) for place, (user, _, some) in enumerate(asked) for product in sorted(some)],
            schema={"part": pl.String, "user": pl.String, "product": pl.String},
            orient="row",
        )
        frame = self._frame.with_columns(pl.col("user", "product").cast(pl.String))
        frame = frame.join(members, on=["user", "product"], maintain_order="left").drop("user")
        terms = self._terms
        zones = None
        if self._zones is not None:
            zones = {str(place): self._zones[user] for place, (user, *_) in enumerate(asked) if user in self._zones}
        charges = charge(
            frame.rename({"part": "user"}),
            as_of=self._as_of,
            rule=terms.rule,
            rates=terms.rates,
            servers=terms.servers,
            users=zones,
            # They were told of when everything was charged.
            problems=Problems(),
        )
        sums = charges.group_by(pl.col("user").cast(pl.String)).agg(units(pl.col("tokens").sum()))
        found: defaultdict[str, int] = defaultdict(int, sums.rows())
        return {part: found[str(place)] for place, part in enumerate(asked)}


def column_names(sessions: pl.DataFrame) -> None:
    """Refuses a table without users or products."""
    for name in ("user", "product"):
        column_of(sessions, name)


def days_of(used: pl.DataFrame) -> int:
    """How many days the use is of, from the first start to the last end, rounded up."""
    span: int = used.select(pl.col("end").max() - pl.col("start").min()).item()
    return max(1, -(-span // DAY))
