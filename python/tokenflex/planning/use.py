"""Sessions charged once as they are, and charged again under other terms: what `sensitivity` stands on."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final, Self

import polars as pl

from tokenflex.contract.money import units
from tokenflex.metering.charge import charge, prepare
from tokenflex.planning.past import last_instant
from tokenflex.problems import Problems
from tokenflex.reading.periods import instants_of

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from tokenflex.arrow import AnyTable
    from tokenflex.metering.at_once import Prepared
    from tokenflex.metering.rates import Rates
    from tokenflex.metering.rule import Rule
    from tokenflex.planning.token_price import TokenPrice

READS: Final = ("user", "product", "server", "host", "start", "end", "licenses", "end_reason", "is_open")
"""The columns of sessions that charging, idle time and comparing read."""


@dataclass(frozen=True)
class Terms:
    """What does not change but where it says so."""

    rule: Rule
    rates: Rates
    servers: Mapping[str, str] | None
    users: Mapping[str, str] | None
    activity: AnyTable | None
    as_of: datetime | None


@dataclass(frozen=True)
class Case:
    """The same use under other terms, as `compare_models` takes it."""

    sessions: pl.DataFrame
    rates: Rates
    servers: Mapping[str, str] | None
    users: Mapping[str, str] | None
    price: TokenPrice
    units: int
    """What all costs, which an offer's price hangs on."""


@dataclass(frozen=True)
class Sums:
    """Tokens by product, in units of 1/10,000, and how many charges of each have no rate."""

    units: Mapping[str, int]
    unrated: Mapping[str, int]

    @property
    def total(self) -> int:
        """Of all products."""
        return sum(self.units.values())

    @property
    def all_unrated(self) -> int:
        """Charges of all products."""
        return sum(self.unrated.values())

    def with_product(self, product: str, other: Sums) -> tuple[int, int]:
        """Tokens and charges without a rate of all, if one product's were those of another run."""
        return (
            self.total - self.units.get(product, 0) + other.units.get(product, 0),
            self.all_unrated - self.unrated.get(product, 0) + other.unrated.get(product, 0),
        )

    @classmethod
    def of(cls, charges: pl.DataFrame) -> Sums:
        """The sums of charges."""
        found = charges.group_by("product").agg(
            units=units(pl.col("tokens").sum()), unrated=pl.col("tokens").null_count()
        )
        rows = found.with_columns(pl.col("product").cast(pl.String)).sort("product").rows()
        return cls({product: paid for product, paid, _ in rows}, {product: lost for product, _, lost in rows})


@dataclass
class Use:
    """Sessions, charged once as they are; every change is charged against them."""

    sessions: pl.DataFrame
    terms: Terms
    price: TokenPrice
    charges: pl.DataFrame
    held: Prepared
    base: Sums
    problems: Problems = field(default_factory=Problems)

    @classmethod
    def of(cls, table: pl.DataFrame, terms: Terms, price: TokenPrice, problems: Problems) -> Self:
        """Charges the sessions; `problems` collects what could not be charged or priced."""
        times = {name: instants_of(table, name) for name in ("start", "end")}
        frame = table.select(name for name in READS if name in table.columns).with_columns(**times)
        as_of = terms.as_of if terms.as_of is not None else last_instant(times)
        terms = replace(terms, as_of=as_of)
        held = prepare(frame, as_of=as_of)
        charges = charge(
            held,
            rule=terms.rule,
            rates=terms.rates,
            servers=terms.servers,
            users=terms.users,
            activity=terms.activity,
            problems=problems,
        )
        return cls(frame, terms, price, charges, held, Sums.of(charges), problems)

    def again(
        self,
        sessions: pl.DataFrame | Prepared | None = None,
        *,
        rates: Rates | None = None,
        servers: Mapping[str, str] | None = None,
    ) -> pl.DataFrame:
        """Charges under other terms; what cannot be charged has been told of."""
        terms = self.terms
        return charge(
            self.held if sessions is None else sessions,
            rule=terms.rule,
            rates=terms.rates if rates is None else rates,
            servers=terms.servers if servers is None else servers,
            users=terms.users,
            activity=terms.activity,
            as_of=terms.as_of,
            problems=Problems(),
        )

    def case(self, units: int, **other: Any) -> Case:  # noqa: ANN401 - fields of `Case`
        """The use as it is, but for what is given."""
        whole = Case(self.sessions, self.terms.rates, self.terms.servers, self.terms.users, self.price, units)
        return replace(whole, **other)
