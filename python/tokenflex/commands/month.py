"""What `run`, `report` and `demo --report` share: all that is known of a time, put together into its report."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

import polars as pl
import typer

import tokenflex as tf
from tokenflex.commands.activity import ActivityOption, activity_of
from tokenflex.commands.audit import held_against, statement_of
from tokenflex.commands.capacity import hours_of, limits_of
from tokenflex.commands.contracts import contract_of
from tokenflex.commands.forecasts import countries_of, holidays_of, scenarios_of
from tokenflex.commands.logs import Metered, charged, paired, put_right
from tokenflex.commands.options import (
    AliasesOption,
    LogOptions,
    UsersOption,
    VariantsOption,
    counting_bar,
    rows_in,
    users_of,
    variants_of,
)
from tokenflex.words import many, some
from tokenflex.words import tokens as shown

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


HORIZON: Final = 91
MONTH: Final = "%Y-%m"
OUT: Final = Path("months")
"""Under which months are written, unless it is said where."""
_ONE_DAY: Final = timedelta(days=1)
State = Literal["done", "skipped", "failed"]


@dataclass(frozen=True, kw_only=True)
class MonthOptions(LogOptions):
    """All that can be known of a month, besides its logs."""

    statement: Annotated[Path | None, typer.Option(help="The vendor's usage export, to hold the logs against.")] = None
    contract: Annotated[Path | None, typer.Option(help="What was bought, as .toml or .json; see docs/contract.md.")] = (
        None
    )
    users: UsersOption = None
    groups: Annotated[
        Path | None, typer.Option(help="Who belongs where, as CSV: person, group; cost_centre, dimension, periods.")
    ] = None
    sites: Annotated[Path | None, typer.Option(help="The site of each server, as CSV: server, site.")] = None
    aliases: AliasesOption = None
    variants: VariantsOption = None
    activity: ActivityOption = None
    new_rates: Annotated[
        Path | None, typer.Option(help="Rates that are to come, as --rates: what they would mean.")
    ] = None
    limits: Annotated[Path | None, typer.Option(help="Licenses you own, as CSV: product, licenses.")] = None
    hours: Annotated[
        str | None, typer.Option(metavar="08:00-18:00", help="When people work, by the clock of each server.")
    ] = None
    days: Annotated[str | None, typer.Option(metavar="1-5", help="With --hours: weekdays, 1 is Monday.")] = None
    holiday: Annotated[
        list[str] | None, typer.Option(metavar="DATE", help="With --hours: a date to leave out; repeat.")
    ] = None
    token_price: Annotated[str | None, typer.Option(metavar="MONEY", help="What a token costs.")] = None
    price_list: Annotated[Path | None, typer.Option(help="What subscriptions and maintenance cost, as TOML.")] = None
    offer: Annotated[Path | None, typer.Option(help="What can be bought, at what price, as .toml.")] = None
    country: Annotated[
        list[str] | None, typer.Option(metavar="[SERVER=]CODE", help="Whose public holidays count: ES, ES-MD.")
    ] = None
    holidays: Annotated[Path | None, typer.Option(help="The firm's own free days, as CSV: date.")] = None
    scenarios: Annotated[Path | None, typer.Option(help="Projects and head counts to come, as .toml.")] = None


@dataclass(frozen=True)
class Step:
    """A part of the work: what came of it, or what it takes."""

    name: str
    state: State
    said: str


@dataclass(frozen=True)
class Month:
    """All that is known of a time."""

    run: Metered
    start: date | None
    """First day of the period; None where all is asked for."""
    end: date | None
    steps: list[Step]
    audit: tf.Reconciliation | None
    """Its lines of the period."""
    ledger: tf.Ledger | None
    """Of all charges."""
    report: tf.Report
    problems: pl.DataFrame

    @property
    def charges(self) -> pl.DataFrame:
        """The charges of the period."""
        return within(self.run.charges, self.start, self.end)

    @property
    def tokens(self) -> Decimal:
        """What they come to."""
        return Decimal(self.charges["tokens"].sum())

    def look_at(self) -> list[str]:
        """What somebody has to see to: with any of it a run does not end well."""
        found = [f"{step.name}: {step.said}" for step in self.steps if step.state == "failed"]
        if self.audit is not None:
            rows = self.audit.rows.filter(pl.col("cause") == "unexplained")
            if not rows.is_empty():
                amount = shown(Decimal(rows["difference"].sum()))
                found.append(f"audit: {many(rows.height, 'line')} of {amount} tokens that no cause explains")
        unrated = self.charges.filter(pl.col("tokens").is_null())
        if not unrated.is_empty():
            products = sorted(unrated["product"].cast(pl.String).unique().drop_nulls())
            found.append(f"charge: {many(unrated.height, 'charge')} of unknown tokens: no rate for {some(products)}")
        if self.ledger is not None and (owed := Decimal(self.ledger.cost()["overage"][-1])):
            found.append(f"ledger: {shown(owed)} tokens that no pool could give are owed")
        return found


def month_of(logs: list[str], asked: MonthOptions, choose: Callable[[Metered], tuple[date, date] | None]) -> Month:
    """Reads, pairs, charges, audits, settles and reports; a part that lacks what it takes is skipped, and told.

    `choose` says which period, once the charges are known; None is all.
    """
    given = _Given.of(asked)
    run = charged(paired(logs, asked), asked.terms)
    period = choose(run)
    start, end = period or (None, None)
    problems = tf.Problems()
    problems.add(run.problems)
    tokens = Decimal(within(run.charges, start, end)["tokens"].sum())
    steps = [Step("charge", "done", f"{shown(tokens)} tokens")]
    stated, audit = _audited(run, asked, given, problems, steps)
    if audit is not None and start is not None:
        audit = replace(audit, rows=within(audit.rows, start, end))
    ledger = _settled(run, given, stated, problems, steps)
    activity = activity_of(asked.activity, asked.zones, problems)
    forecast = _forecast(run, given, problems, steps)
    with counting_bar("putting the report together", quiet=asked.quiet) as progress:
        report = tf.report(
            run.sessions,
            rule=asked.terms,
            rates=run.rates,
            servers=run.servers,
            charges=run.charges,
            period=period,
            activity=activity,
            coverage=run.coverage,
            events=run.log.events,
            packages=run.log.packages,
            denials=tf.denials(run.log.events, packages=run.log.packages),
            files=run.log.files,
            contract=ledger if ledger is not None else given.contract,
            statement=stated,
            reconciliation=audit,
            forecast=forecast,
            token_price=asked.token_price,
            progress=progress,
            problems=problems,
            **given.of_report,
        )
    steps += _lacking(report, steps)
    return Month(run, start, end, steps, audit, ledger, report, problems.frame)


@dataclass(frozen=True)
class _Given:
    """The files of the options, read before the long work."""

    identity: tf.Identity
    variants: dict[str, str] | None
    users: tf.UserZones | None
    contract: tf.Contract | None
    horizon: dict[str, Any]
    """Of the forecast: holidays and what is to come."""
    of_report: dict[str, Any]

    @classmethod
    def of(cls, asked: MonthOptions) -> _Given:
        """Reads them; what is wrong with one ends the program."""
        identity = tf.Identity() if asked.aliases is None else tf.Identity.read(asked.aliases)
        variants = None if asked.variants is None else variants_of(asked.variants)
        users = None if asked.users is None else users_of(asked.users)
        return cls(
            identity,
            variants,
            users,
            asked.kept.contract if asked.contract is None else contract_of(asked.contract),
            {
                "countries": countries_of(asked.country),
                "holidays": None if asked.holidays is None else holidays_of(asked.holidays),
                "scenarios": [] if asked.scenarios is None else scenarios_of(asked.scenarios),
            },
            {
                "users": users,
                "identity": identity,
                "variants": variants,
                "groups": None if asked.groups is None else tf.Groups.read(asked.groups),
                "sites": None if asked.sites is None else dict(rows_in(asked.sites, "--sites", ("server", "site"))),
                "limits": None if asked.limits is None else limits_of(asked.limits, "product"),
                "business_hours": hours_of(asked.hours, asked.days, asked.holiday),
                "price_list": None if asked.price_list is None else tf.PriceList.read(asked.price_list),
                "new_rates": None if asked.new_rates is None else tf.Rates.read(asked.new_rates),
                "offer": None if asked.offer is None else tf.Offer.read(asked.offer),
            },
        )


def within(table: pl.DataFrame, start: date | None, end: date | None) -> pl.DataFrame:
    """The rows whose `usage_date` lies in a period."""
    if start is None or end is None:
        return table
    return table.filter(pl.col("usage_date").is_between(start, end))


def _audited(
    run: Metered, asked: MonthOptions, given: _Given, problems: tf.Problems, steps: list[Step]
) -> tuple[pl.DataFrame | tf.ContractSnapshot | None, tf.Reconciliation | None]:
    stated = asked.kept_statement if asked.statement is None else statement_of(asked.statement, asked.zones, problems)
    if stated is None:
        steps.append(Step("audit", "skipped", "no statement of the vendor: --statement statement.csv"))
        return None, None
    name = "the statements of the book" if asked.statement is None else asked.statement.name
    # As `tokenflex audit` does it: of persons, since one of two spellings is no matter of the vendor's number.
    persons = charged(put_right(run, given.identity, given.variants), asked.terms)
    try:
        found = held_against(
            persons,
            stated,
            rule=asked.terms,
            users=given.users,
            identity=given.identity,
            variants=given.variants,
            problems=problems,
        )
    except tf.ArgumentError as error:
        steps.append(Step("audit", "failed", str(error)))
        return stated, None
    steps.append(Step("audit", "done", f"{many(found.rows.height, 'line')} held against {name}"))
    return stated, found


def _settled(
    run: Metered,
    given: _Given,
    stated: pl.DataFrame | tf.ContractSnapshot | None,
    problems: tf.Problems,
    steps: list[Step],
) -> tf.Ledger | None:
    if given.contract is None:
        steps.append(Step("ledger", "skipped", "no contract: --contract contract.toml"))
        return None
    booked = stated if isinstance(stated, pl.DataFrame) else None
    try:
        ledger = given.contract.settle(run.charges, statement=booked, problems=problems)
    except (tf.BalanceError, tf.ArgumentError) as error:
        steps.append(Step("ledger", "failed", str(error)))
        return None
    steps.append(Step("ledger", "done", f"{len(ledger):,} entries of contract {ledger.contract.number}"))
    return ledger


def _forecast(run: Metered, given: _Given, problems: tf.Problems, steps: list[Step]) -> tf.Forecast | None:
    """The forecast with what is known of the days to come; the report makes one without that by itself."""
    if not any(given.horizon.values()):
        return None
    try:
        return tf.forecast(
            run.charges, horizon=HORIZON, rates=run.rates, coverage=run.coverage, problems=problems, **given.horizon
        )
    except tf.TokenflexError as error:
        steps.append(Step("forecast", "skipped", str(error)))
        return None


def _lacking(report: tf.Report, told: list[Step]) -> Iterator[Step]:
    """The chapters that the report could not make, and the options that give them."""
    for chapter in report.chapters:
        if chapter.missing is not None and not any(step.said == chapter.missing for step in told):
            yield Step(chapter.key, "skipped", as_options(chapter.missing))


def as_options(text: str) -> str:
    """Arguments of `tf.report` as options of the command line, which have the same names; and nothing of Python."""
    text = re.sub(r" \([^()]*\btokenflex\.[^()]*\)|: tokenflex\.\w+\([^()]*\) [^.;]*", "", text)
    return re.sub(r"\b([a-z_]+)=(?![=\w])", lambda found: "--" + found[1].replace("_", "-"), text)


def last_whole_month(dates: pl.Series, seen: date) -> tuple[date, date] | None:
    """First and last day of the last month with charges that is over; of the last with charges if none is.

    Args:
        dates: Of the charges.
        seen: The last day of the logs.

    Returns:
        The days, or None where there is no charge.
    """
    known: list[date] = dates.drop_nulls().unique().sort().to_list()
    if not known:
        return None
    first = known[-1].replace(day=1)
    earlier = [day for day in known if day < first]
    if max(seen, known[-1]) < last_day(first) and earlier:
        first = earlier[-1].replace(day=1)
    return first, last_day(first)


def last_day(first: date) -> date:
    """Of the month that begins on a day."""
    return (first + timedelta(days=31)).replace(day=1) - _ONE_DAY
