"""What a report computes, each by the verb that computes it, once, whoever of the chapters asks for it first."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime, time, timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

import polars as pl

from tokenflex import tables
from tokenflex.audit.avoidable import avoidable_charges
from tokenflex.audit.doubles import double_charges
from tokenflex.audit.infer_rule import InferredRule, infer_rule
from tokenflex.audit.reconcile import Reconciliation, finest_level, reconcile
from tokenflex.audit.words import explain_double_charges
from tokenflex.contract.contract import Contract
from tokenflex.contract.days import years_later
from tokenflex.contract.ledger import Ledger
from tokenflex.errors import ArgumentError, ArgumentTypeError, ZoneError
from tokenflex.metering.place_servers import place_servers
from tokenflex.planning.compare_models import ModelComparison, compare_models
from tokenflex.planning.estimate import Estimate, estimate
from tokenflex.planning.forecast import Forecast, forecast
from tokenflex.planning.plan_purchase import plan_purchase
from tokenflex.reading.contract import ContractSnapshot
from tokenflex.reporting.coverage import coverage_by_day
from tokenflex.reporting.given import SITE, Given
from tokenflex.saving.harvest import harvest
from tokenflex.saving.replay import harvest_replay
from tokenflex.usage.capacity import capacity
from tokenflex.usage.judge_denials import judge_denials
from tokenflex.usage.sessions import denials

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import date
    from decimal import Decimal

    from tokenflex.contract.forecast import Burn
    from tokenflex.planning.purchase_plan import PurchasePlan

T = TypeVar("T")
R = TypeVar("R")

_MICROSECOND: Final = timedelta(microseconds=1)
NEED_USERS: Final = "users= (the zone of each user) shows it: tokenflex.infer_zones(sessions) proposes zones"
NEED_CONTRACT: Final = "contract= (a tokenflex.Contract) shows balances, expiries and how long tokens last"
NEED_STATEMENT: Final = (
    "statement= (what tokenflex.read_statement gives) shows where the vendor's number differs, and why"
)


@dataclass(frozen=True)
class Attempt(Generic[T]):
    """A result, or what has to be given for it."""

    value: T | None
    missing: str = ""

    def then(self, make: Callable[[T], R]) -> Attempt[R]:
        """What is made of the result, if there is one."""
        value = self.value
        return Attempt(None, self.missing) if value is None else attempt(lambda: make(value))


def attempt(make: Callable[[], T]) -> Attempt[T]:
    """The result of a verb, or why what was given does not do for it: too short a history, no day in common, ….

    What is of a wrong type, or no table at all, is no lack and raises.
    """
    try:
        return Attempt(make())
    except (ArgumentError, ZoneError) as error:
        return Attempt(None, str(error))


class Work(Given):
    """The arguments with what is computed of them."""

    @cached_property
    def last(self) -> datetime | None:
        """The last instant that is known of."""
        if self.as_of is not None:
            return self.as_of
        ends = [self.sessions[name].max() for name in ("start", "end") if name in self.sessions.columns]
        known = [each for each in ends if isinstance(each, datetime)]
        return max(known, default=None)

    @cached_property
    def touching(self) -> pl.DataFrame:
        """The sessions that touch the period, whole: what is asked of a time is asked of these."""
        if self.is_everything or not {"start", "end"} <= set(self.sessions.columns):
            return self.sessions
        first, after = self.bounds
        is_in = (pl.col("start") < after) & (pl.col("end").is_null() | (pl.col("end") >= first))
        # A day of a server far away begins before, or ends after, that of UTC.
        is_charged = pl.int_range(pl.len(), dtype=pl.UInt64).is_in(self.charged["session"].implode())
        return self.sessions.filter(is_in | is_charged)

    @property
    def bounds(self) -> tuple[datetime, datetime]:
        """The first instant of the period in UTC, and the first after it."""
        if self.start is None or self.end is None:
            raise ArgumentError("there is no period, since nothing was charged: give period=", location="period")
        first = datetime.combine(self.start, time(), UTC)
        return first, datetime.combine(self.end, time(), UTC) + timedelta(days=1)

    @cached_property
    def ledger(self) -> Attempt[Ledger]:
        """The ledger of the contract, over all charges."""
        given = self.contract
        if given is None:
            return Attempt(None, NEED_CONTRACT)
        if isinstance(given, Ledger):
            return Attempt(given)
        if not isinstance(given, Contract):
            raise ArgumentTypeError(
                f"contract has to be a tokenflex.Contract or Ledger, not {type(given).__name__}", location="contract"
            )
        rows = None if isinstance(self.statement, ContractSnapshot) else self.statement
        return attempt(lambda: given.settle(self.charges, statement=rows, problems=self.problems))

    @cached_property
    def balance_at(self) -> datetime | None:
        """The instant of which balances are told: the end of the period, or of the ledger if that is earlier."""
        ledger = self.ledger.value
        if ledger is None:
            return None
        if self.end is None:
            return ledger.as_of
        return min(ledger.as_of, ledger.contract.first_instant(self.end + timedelta(days=1)) - _MICROSECOND)

    @cached_property
    def burn(self) -> Attempt[Burn]:
        """How fast tokens go, and until when they last."""
        return self.ledger.then(lambda ledger: ledger.burn(at=self.balance_at))

    @cached_property
    def price(self) -> Decimal | None:
        """What a token costs: as given, or the mean of those that the contract has bought."""
        if self.token_price is not None:
            return self.token_price
        ledger = self.ledger.value
        if ledger is None:
            return None
        price: Decimal | None = ledger.cost(at=self.balance_at)["unit_price"][-1]
        return price

    @cached_property
    def currency(self) -> str:
        """Of all money; empty where nothing says it."""
        ledger = self.ledger.value
        known = (None if ledger is None else ledger.contract, self.price_list, self.offer)
        return next((each.currency for each in known if each is not None), "")

    def worth(self, tokens: Decimal | None) -> Decimal | None:
        """Tokens in money, where a price is known."""
        return None if tokens is None or self.price is None else tokens * self.price

    def money(self, amount: Decimal) -> str:
        """Money for the eye."""
        return f"{amount:,.0f} {self.currency}".rstrip()

    @cached_property
    def reconciled(self) -> Attempt[Reconciliation]:
        """The charges of the period against the vendor's statement."""
        if self.reconciliation is not None:
            return Attempt(self._in_period(self.reconciliation))
        statement = self.statement
        if statement is None:
            return Attempt(None, NEED_STATEMENT)
        return attempt(
            lambda: reconcile(
                self.charges,
                statement,
                level=finest_level(statement),
                sessions=self.sessions,
                users=self.users,
                identity=self.identity,
                variants=self.variants,
                coverage=self.coverage,
                problems=self.problems,
                **self.terms,
            )
        ).then(self._in_period)

    def _in_period(self, found: Reconciliation) -> Reconciliation:
        return found if self.is_everything else replace(found, rows=self.within(found.rows, "usage_date"))

    @cached_property
    def inferred(self) -> Attempt[InferredRule]:
        """By which rule the vendor charged."""
        statement = self.statement
        if statement is None or isinstance(statement, ContractSnapshot):
            return Attempt(None, "statement= (what tokenflex.read_statement gives) shows which rule the vendor went by")
        return attempt(
            lambda: infer_rule(
                self.sessions,
                statement,
                rates=self.rates,
                servers=self.servers,
                users=self.users,
                rules=self.rules,
                problems=self.problems,
            )
        )

    @cached_property
    def doubles(self) -> Attempt[pl.DataFrame]:
        """What our own account charges twice, as the rule will have it, in words."""
        return self._doubles(self.charges)

    @cached_property
    def vendors_doubles(self) -> Attempt[pl.DataFrame]:
        """What the vendor charged twice by its statement, in words."""
        if self.statement is None or isinstance(self.statement, ContractSnapshot):
            return Attempt(None, NEED_STATEMENT)
        if self.statement["start"].count() == 0:
            return Attempt(None, "a statement session by session shows it: this one has no times")
        return self._doubles(self.statement)

    def _doubles(self, charges: pl.DataFrame) -> Attempt[pl.DataFrame]:
        users = self.users
        if users is None:
            return Attempt(None, NEED_USERS)
        found = attempt(
            lambda: double_charges(
                charges,
                users=users,
                sessions=self.sessions,
                identity=self.identity,
                variants=self.variants,
                problems=self.problems,
                **self.terms,
            )
        )
        return found.then(lambda cases: explain_double_charges(self.within(cases, "working_date")))

    @cached_property
    def avoidable(self) -> Attempt[pl.DataFrame]:
        """Charges of the period that another habit would have saved."""
        if self.users is None and self.activity is None:
            return Attempt(None, NEED_USERS)
        return attempt(lambda: avoidable_charges(self.sessions, activity=self.activity, **self._charging)).then(
            self._charged_in_period
        )

    def _charged_in_period(self, found: pl.DataFrame) -> pl.DataFrame:
        """By the charge of the same instant, since charges that were given may stand in other rows."""
        if self.is_everything:
            return found
        keys = [name for name in ("user", "product", "server", "charged_at") if name in self.charges.columns]
        text = [pl.col(name).cast(pl.String) for name in keys[:-1]]
        days = self.charges.select(*text, keys[-1], day="usage_date").unique(keys)
        dated = found.select(*text, keys[-1]).join(days, on=keys, how="left", nulls_equal=True, maintain_order="left")
        return self.within(found.with_columns(dated["day"]), "day").drop("day")

    @cached_property
    def _charging(self) -> dict[str, Any]:
        """What verbs take that charge anew."""
        return {**self.terms, "users": self.users, "as_of": self.as_of, "problems": self.problems}

    @cached_property
    def open_now(self) -> Attempt[pl.DataFrame]:
        """What is open at the end of the sessions, and when each is charged next."""
        last = self.last
        if last is None:
            return Attempt(None, "there is no session: nothing is open")
        terms = self._charging | {"as_of": last}
        return attempt(lambda: harvest(self.sessions, activity=self.activity, handles=self.events, **terms))

    @cached_property
    def replayed(self) -> Attempt[pl.DataFrame]:
        """What taking idle licenses back would have saved."""
        if self.users is None and self.activity is None:
            return Attempt(None, f"activity= (what agents recorded) shows it, or {NEED_USERS}")
        return attempt(lambda: harvest_replay(self.touching, activity=self.activity, **self._charging))

    @cached_property
    def needed(self) -> Attempt[pl.DataFrame]:
        """How many of each product are in use at once."""
        return attempt(
            lambda: capacity(
                self.sessions,
                limits=self.limits,
                hours=self.business_hours,
                servers=self.servers if self.business_hours is not None else None,
                since=self._since,
                until=self._until,
                as_of=self.as_of,
                problems=self.problems,
            )
        )

    @property
    def _since(self) -> datetime | None:
        return None if self.is_everything else self.bounds[0]

    @property
    def _until(self) -> datetime | None:
        return None if self.is_everything else self.bounds[1]

    @cached_property
    def judged(self) -> Attempt[pl.DataFrame]:
        """Refusals, and which of them kept somebody from working."""
        refused = self.refused
        if refused is None:
            return Attempt(None, "events= (of the reader) or denials= shows who was refused a license")
        return attempt(
            lambda: judge_denials(
                self.within(refused, "time"), self.sessions, limits=self.limits, problems=self.problems
            )
        )

    @cached_property
    def refused(self) -> pl.DataFrame | None:
        """The refusals."""
        if self.denials is not None or self.events is None:
            return self.denials
        return denials(self.events, packages=self.packages)

    @cached_property
    def models(self) -> Attempt[ModelComparison]:
        """What licenses and subscriptions would cost for the same use."""
        price, prices = self.price, self.price_list
        if prices is None:
            return Attempt(
                None, "price_list= (a tokenflex.PriceList) and token_price= show what subscriptions would cost"
            )
        if price is None:
            return Attempt(None, "token_price= shows what the tokens cost beside subscriptions")
        return attempt(
            lambda: compare_models(
                self.sessions, token_price=price, price_list=prices, current=self.current, **self._charging
            )
        )

    @cached_property
    def estimated(self) -> Attempt[Estimate]:
        """What the time would have cost, as far as that is certain."""
        return attempt(
            lambda: estimate(
                self.sessions,
                identity=self.identity,
                coverage=self.coverage,
                token_price=self.price,
                rules=self.rules,
                **self._charging,
            )
        )

    @cached_property
    def forecasted(self) -> Attempt[Forecast]:
        """What will be used."""
        given = self.forecast
        if given is not None:
            return Attempt(given)
        if self.horizon == 0:
            return Attempt(None, "horizon= (days to come) shows what will be used")
        return attempt(
            lambda: forecast(
                self.charges,
                horizon=self.horizon,
                coverage=self.coverage,
                incomplete="cut",
                model="weekday",
                problems=self.problems,
            )
        )

    @cached_property
    def planned(self) -> Attempt[PurchasePlan]:
        """What to buy."""
        offer = self.offer
        if self.plan is not None:
            return Attempt(self.plan)
        if offer is None:
            return Attempt(None, "offer= (a tokenflex.Offer: what can be bought, at what price) shows how much to buy")
        given = self.forecast
        if given is not None:
            return attempt(lambda: plan_purchase(given, offer=offer))
        days = self._days_to_plan(offer.years)
        longer = attempt(
            lambda: forecast(
                self.charges,
                horizon=days,
                coverage=self.coverage,
                incomplete="cut",
                model="weekday",
                problems=self.problems,
            )
        )
        return longer.then(lambda found: plan_purchase(found, offer=offer))

    def _days_to_plan(self, years: int) -> int:
        """A term from the day after the last charge, or the horizon if packs are bought."""
        last: date | None = self.charges["usage_date"].max()  # type: ignore[assignment]  # of dates
        if years == 0 or last is None:
            return max(self.horizon, 365)
        start = last + timedelta(days=1)
        return (years_later(start, years) - start).days

    @cached_property
    def placement(self) -> Attempt[pl.DataFrame]:
        """From which of the firm's servers each site should draw."""
        servers = self.servers
        if servers is None:
            return Attempt(None, "servers= (the zone of each server) shows which server each site should draw from")
        frame, sites = self.placed
        return attempt(
            lambda: place_servers(
                frame,
                rates=self.rates,
                rule=self.rule,
                servers=servers,
                sites=sites,
                as_of=self.as_of,
                problems=self.problems,
            )
        )

    @cached_property
    def placed(self) -> tuple[pl.DataFrame, str | None]:
        """The sessions of the period with a column `site`, where groups say it, and its name."""
        frame = self.touching
        if self.groups is None or SITE not in self.dimensions:
            return frame, None
        persons = frame
        if self.identity is not None:
            persons = self.identity.apply(frame, at="start", problems=self.problems)
        joined = self.groups.join(persons.select("user", "start"), at="start", dimension=SITE, problems=self.problems)
        return frame.with_columns(joined[SITE]), SITE

    @cached_property
    def without_rate(self) -> pl.DataFrame:
        """The products of the period that have charges without a rate, see `tables.PRODUCTS_WITHOUT_RATE`."""
        lacking = self.charged.filter(pl.col("tokens").is_null()).group_by(pl.col("product").cast(pl.String))
        found = lacking.agg(
            users=pl.col("person").n_unique(),
            charges=pl.len(),
            first=pl.col("charged_at").min(),
            last=pl.col("charged_at").max(),
        )
        return tables.finish(found.sort("charges", "product", descending=[True, False]), tables.PRODUCTS_WITHOUT_RATE)

    @cached_property
    def coverage_days(self) -> pl.DataFrame | None:
        """Each day of each server that the logs span, see `tables.COVERAGE_DAYS`."""
        if self.coverage is None:
            return None
        return self.within(coverage_by_day(self.coverage, self.sessions, self.servers or {}), "date")
