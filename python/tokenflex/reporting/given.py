"""What a report is given, checked once, and what every chapter of it starts from: the charges, and the period."""

from __future__ import annotations

from calendar import monthrange
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import polars as pl

from tokenflex import tables
from tokenflex.arrow import frame_of
from tokenflex.contract.uses import check_rows
from tokenflex.errors import ArgumentError, ArgumentTypeError, ColumnTypeError, MissingColumnError
from tokenflex.metering.charge import charge
from tokenflex.problems import Problems

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from decimal import Decimal

    from tokenflex.arrow import AnyTable
    from tokenflex.audit.reconcile import Reconciliation
    from tokenflex.contract.contract import Contract
    from tokenflex.contract.ledger import Ledger
    from tokenflex.metering.rates import Rates
    from tokenflex.metering.rule import Rule
    from tokenflex.planning.forecast import Forecast
    from tokenflex.planning.offer import Offer
    from tokenflex.planning.price_list import PriceList
    from tokenflex.planning.purchase_plan import PurchasePlan
    from tokenflex.reading.catalog import Catalog
    from tokenflex.reading.contract import ContractSnapshot
    from tokenflex.reading.groups import Groups
    from tokenflex.reading.identity import Identity
    from tokenflex.reading.user_zones import Users
    from tokenflex.usage.hours import BusinessHours

Period: TypeAlias = str | tuple[date | str, date | str] | None
"""A month (`"2026-01"`), a year (`"2026"`), a day, or the first and the last day; all there is unless given."""
SITE: Final = "site"
"""The dimension of groups that says where people sit."""
_MONTH: Final = 7
_YEAR: Final = 4
_SINCE_EVER: Final = datetime(1, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, kw_only=True)
class Given:
    """The arguments of `report`, as its chapters take them.

    `problems` collects what the report's own verbs meet, after what the caller's have met.
    """

    sessions: pl.DataFrame
    rule: Rule
    rates: Rates
    servers: Mapping[str, str] | None
    users: Users | None
    charges: pl.DataFrame
    """Of all sessions."""
    period: Period
    """As given."""
    start: date | None
    """First day of the period, None where there is no charge and none was given."""
    end: date | None
    """Last day."""
    as_of: datetime | None
    identity: Identity | None
    variants: Mapping[str, str] | None
    groups: Groups | None
    sites: Mapping[str, str] | None
    catalog: Catalog
    activity: pl.DataFrame | None
    limits: Mapping[str, int] | None
    business_hours: BusinessHours | None
    coverage: pl.DataFrame | None
    events: pl.DataFrame | None
    packages: pl.DataFrame | None
    denials: pl.DataFrame | None
    files: pl.DataFrame | None
    contract: Contract | Ledger | None
    statement: pl.DataFrame | ContractSnapshot | None
    reconciliation: Reconciliation | None
    token_price: Decimal | None
    price_list: PriceList | None
    current: Mapping[str, Iterable[str]] | None
    offer: Offer | None
    forecast: Forecast | None
    plan: PurchasePlan | None
    horizon: int
    rules: tuple[Rule, ...] | None
    new_rates: Rates | None
    chapters: frozenset[str]
    """Keys of those that are made."""
    problems: Problems = field(default_factory=Problems)

    @property
    def is_everything(self) -> bool:
        """Whether no period was asked for."""
        return self.period is None

    @cached_property
    def terms(self) -> dict[str, Any]:
        """What every verb needs that charges."""
        return {"rule": self.rule, "rates": self.rates, "servers": self.servers}

    def within(self, table: pl.DataFrame, column: str) -> pl.DataFrame:
        """The rows of a table whose date, or instant's UTC date, lies in the period; those without one too."""
        if self.is_everything or self.start is None or self.end is None or table.is_empty():
            return table
        day = pl.col(column) if table.schema[column] == pl.Date else pl.col(column).dt.date()
        return table.filter(day.is_between(self.start, self.end).fill_null(value=True))

    @cached_property
    def charged(self) -> pl.DataFrame:
        """The charges of the period with all that a report lays them by, see `tables.CHARGE_LEDGER`."""
        return tables.finish(
            self._placed(self._described(self.within(self.charges, "usage_date"))), tables.CHARGE_LEDGER
        )

    def _described(self, charges: pl.DataFrame) -> pl.DataFrame:
        """Charges with what their sessions and rates say."""
        session = charges["session"].cast(pl.UInt64)
        of_session = [
            self.sessions[name].gather(session).alias(name)
            if name in self.sessions.columns
            else pl.Series(name, [None] * charges.height, dtype=pl.String)
            for name in ("host", "version", "start", "end")
        ]
        known = charges.with_columns(pl.lit(None).alias(name) for name in tables.CHARGES if name not in charges.columns)
        rated = rate_of(known, self.rates)
        return known.with_columns(
            *(
                column.alias({"start": "session_start", "end": "session_end"}.get(column.name, column.name))
                for column in of_session
            ),
            rate=rated,
        )

    def _placed(self, charges: pl.DataFrame) -> pl.DataFrame:
        """Charges with group, cost centre and site."""
        none = pl.lit(None, pl.String)
        person = charges.select(user=pl.col("user").cast(pl.String), charged_at="charged_at")
        if self.identity is not None:
            person = self.identity.apply(person, at="charged_at", problems=self.problems).select(person.columns)
        placed = charges.with_columns(person["user"].alias("person"), group=none, cost_centre=none, site=none)
        if self.sites is not None:
            site = (
                pl.col("server").cast(pl.String).replace_strict(dict(self.sites), default=None, return_dtype=pl.String)
            )
            placed = placed.with_columns(site=site)
        if self.groups is None:
            return placed
        joined = {
            dimension: self.groups.join(person, at="charged_at", dimension=dimension, problems=self.problems)
            for dimension in self.dimensions
        }
        for dimension, table in joined.items():
            names = ("site", None) if dimension == SITE else ("group", "cost_centre")
            own = table.select(pl.exclude("user", "charged_at").cast(pl.String))
            given = [own.to_series(place).alias(name) for place, name in enumerate(names) if name is not None]
            placed = placed.with_columns(given)
        return placed

    @cached_property
    def dimensions(self) -> list[str | None]:
        """The ways of grouping that a report shows: the groups' first one, and sites."""
        if self.groups is None:
            return []
        known = self.groups.dimensions
        teams = [each for each in known if each != SITE]
        return [*teams[:1], *([SITE] if SITE in known else [])]


def rate_of(charges: pl.DataFrame, rates: Rates) -> pl.Series:
    """The rate in force at the instant of each charge; null without one."""
    dated = rates.frame.select(
        pl.col("product"), pl.col("effective_from").fill_null(_SINCE_EVER).alias("since"), rate="tokens"
    )
    asked = charges.select(pl.col("product").cast(pl.String), since=pl.col("charged_at")).with_row_index("row")
    found = asked.sort("since").join_asof(
        dated.sort("since"), on="since", by="product", strategy="backward", check_sortedness=False
    )
    return found.sort("row")["rate"]


COVERAGE: Final[tables.Schema] = {
    name: tables.COVERAGE[name] for name in ("server", "first", "last", "days_without_lines")
}
FILES: Final[tables.Schema] = {"file": tables.FILES["file"]}
EVENTS: Final[tables.Schema] = {
    name: tables.EVENTS[name] for name in ("server", "time", "kind", "feature", "user", "host")
}
DENIALS: Final[tables.Schema] = {name: tables.DENIALS[name] for name in ("time", "kind", "user")}
STATED: Final[tables.Schema] = {name: tables.STATEMENT[name] for name in ("usage_date", "start")}
CHARGED: Final[tables.Schema] = {
    name: tables.CHARGES[name]
    for name in ("user", "product", "charged_at", "usage_date", "trigger", "category", "tokens")
}
"""What a report itself reads of a table that it is given; the verbs look at the rest."""


def table_of(table: AnyTable | None, what: str, read: tables.Schema) -> pl.DataFrame | None:
    """A table that was given, with what a report reads of it in the types that it reads.

    Raises:
        TableTypeError, MissingColumnError, ColumnTypeError: It is none, or lacks such a column.
    """
    if table is None:
        return None
    frame = frame_of(table)
    for name, dtype in read.items():
        if name not in frame.columns:
            raise MissingColumnError(f"column {name!r} is missing from {what}", column=name, location=what)
        if frame.schema[name] == dtype:
            continue
        try:
            frame = frame.with_columns(pl.col(name).cast(dtype))
        except pl.exceptions.PolarsError as error:
            raise ColumnTypeError(
                f"column {name!r} of {what} is {frame.schema[name]}, but has to be {dtype}", column=name, location=what
            ) from error
    return frame


def charges_of(
    sessions: pl.DataFrame,
    charges: AnyTable | None,
    *,
    activity: pl.DataFrame | None,
    as_of: datetime | None,
    **terms: Any,  # noqa: ANN401 - what `charge` takes
) -> pl.DataFrame:
    """The charges given, or else those of the sessions."""
    given = table_of(charges, "charges", CHARGED)
    if given is None:
        return charge(sessions, activity=activity, as_of=as_of, **terms)
    check_rows(given, sessions)
    return given


def period_of(period: Period, charges: pl.DataFrame) -> tuple[date | None, date | None]:
    """First and last day.

    Raises:
        ArgumentError, ArgumentTypeError: It is no period.
    """
    if period is None:
        days = charges["usage_date"]
        return days.min(), days.max()  # type: ignore[return-value]  # of dates
    if isinstance(period, str):
        return _named(period)
    try:
        first, last = (_day(each) for each in period)
    except (TypeError, ValueError) as error:
        raise ArgumentTypeError(f"period={period!r}: {_HOW}", location="period") from error
    if last < first:
        raise ArgumentError(f"period ends on {last}, before it starts on {first}", location="period")
    return first, last


_HOW: Final = 'give a month ("2026-01"), a year, a day, or the first and the last day'


def _named(text: str) -> tuple[date, date]:
    try:
        if len(text) == _YEAR:
            return date(int(text), 1, 1), date(int(text), 12, 31)
        if len(text) == _MONTH:
            first = date.fromisoformat(f"{text}-01")
            return first, first.replace(day=monthrange(first.year, first.month)[1])
        day = date.fromisoformat(text)
    except ValueError as error:
        raise ArgumentError(f"period={text!r}: {_HOW}", location="period") from error
    return day, day


def _day(value: object) -> date:
    if isinstance(value, datetime) or not isinstance(value, date | str):
        raise TypeError(value)
    return value if isinstance(value, date) else date.fromisoformat(value)
