"""The verb `report` and what it returns: answers, chapters and all tables behind them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

from tokenflex.arrow import AnyTable, frame_of, refuses_clearly
from tokenflex.errors import ArgumentError, ArgumentTypeError
from tokenflex.notebook import Shown
from tokenflex.planning.estimate import price_of
from tokenflex.planning.offer import Offer
from tokenflex.planning.price_list import PriceList
from tokenflex.problems import Problems
from tokenflex.progress import Progress, watched
from tokenflex.reading.catalog import Catalog
from tokenflex.reading.contract import ContractSnapshot
from tokenflex.reading.groups import Groups
from tokenflex.reading.identity import Identity
from tokenflex.reporting import billing, consumption, planning_chapters, saving_chapters, trust, use_chapters
from tokenflex.reporting.answers import actions_of, answers_of
from tokenflex.reporting.folder import write_folder
from tokenflex.reporting.given import (
    COVERAGE,
    DENIALS,
    EVENTS,
    FILES,
    STATED,
    Period,
    charges_of,
    period_of,
    table_of,
)
from tokenflex.reporting.page import write_page
from tokenflex.reporting.shelf import Shelf
from tokenflex.reporting.work import Work
from tokenflex.reporting.workbook import write_workbook

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from datetime import date, datetime

    import polars as pl

    from tokenflex.audit.reconcile import Reconciliation
    from tokenflex.contract.contract import Contract
    from tokenflex.contract.fields import Exact
    from tokenflex.contract.ledger import Ledger
    from tokenflex.metering.rates import Rates
    from tokenflex.metering.rule import Rule
    from tokenflex.planning.forecast import Forecast
    from tokenflex.planning.purchase_plan import PurchasePlan
    from tokenflex.reading.user_zones import Users
    from tokenflex.reporting.chapter import Chapter
    from tokenflex.usage.hours import BusinessHours


Format: TypeAlias = Literal["parquet", "csv"]
CHAPTERS: Final[Mapping[str, Callable[[Work, Shelf], Chapter]]] = {
    "consumption": consumption.consumption,
    "charges": billing.charging,
    "contract": billing.pools,
    "vendor": billing.vendor,
    "doubles": billing.doubled,
    "avoidable": saving_chapters.avoided,
    "places": saving_chapters.placed,
    "rules": saving_chapters.ruled,
    "rates": saving_chapters.repriced,
    "capacity": use_chapters.needed,
    "models": planning_chapters.compared,
    "estimate": planning_chapters.estimated,
    "forecast": planning_chapters.forecasted,
    "plan": planning_chapters.planned,
    "quality": trust.trusted,
    "provenance": trust.founded,
}
"""The chapters by key, in their order. Data quality comes behind all that meet problems."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Report(Shown):
    """What an administrator reports of a time: answers, chapters, and every table behind them. Made by `report`.

    Attributes:
        title: Its title.
        start: First day of the period; None where nothing was charged and no period was given.
        end: Last day of the period.
        answers: The first screen, see `tables.REPORT_ANSWERS`.
        actions: What to do this week, what matters most first, see `tables.REPORT_ACTIONS`.
        chapters: The questions, each with its sections.
        tables: Every table that a section shows, by name, whole.
        cube: Tokens by month, product, group and site, for filters, see `tables.REPORT_CUBE`.
        provenance: What the report rests on, see `tables.REPORT_PROVENANCE`.
    """

    title: str
    start: date | None
    end: date | None
    answers: pl.DataFrame
    actions: pl.DataFrame
    chapters: tuple[Chapter, ...]
    tables: Mapping[str, pl.DataFrame]
    cube: pl.DataFrame
    provenance: pl.DataFrame

    def write(self, path: str | Path, *, format: Format | None = None) -> None:  # noqa: A002 - what others call it
        """Writes the report, whole or not at all.

        Args:
            path: A name that ends in `.html` for a page, one that ends in `.xlsx` for a workbook, which both need
                `tokenflex[report]` and take the place of a file of that name; a name without ending for a new folder,
                with a file for each table.
            format: How the tables in a folder are written: `"parquet"` (unless given), which is exact, or `"csv"`, for
                people: text that a spreadsheet might run as a formula has an apostrophe before it.

        Raises:
            ArgumentError: The name has another ending, the folder is there already, `format` is of no folder or
                unknown, or a package is not installed.
            SourceError: It cannot be written.
        """
        to = Path(path)
        if format not in (None, "parquet", "csv"):
            raise ArgumentError(f'format is {format!r}, but has to be "parquet" or "csv"', location="format")
        if to.suffix.lower() in (".parquet", ".csv") or (to.suffix and format is not None):
            raise ArgumentError(
                f"{to}: a report is many tables; give the name of a folder, without ending", location="path"
            )
        if not to.suffix:
            write_folder(self, to, format or "parquet")
        elif to.suffix.lower() == ".xlsx":
            write_workbook(self, to)
        elif to.suffix.lower() in (".html", ".htm"):
            write_page(self, to)
        else:
            raise ArgumentError(
                f"{to}: give a name that ends in .html or .xlsx, or one without ending for a folder", location="path"
            )

    def _tables_shown(self) -> dict[str, pl.DataFrame]:
        return {"answers": self.answers.drop("key", "chapter"), "what to do": self.actions.drop("chapter", "table")}

    def __repr__(self) -> str:
        return f"<Report {self.title!r}: {len(self.chapters)} chapters, {len(self.tables)} tables>"


def wanted_of(chapters: Iterable[str] | None) -> frozenset[str]:
    """The keys of the chapters asked for; all unless given.

    Raises:
        ArgumentError: There is none of that name, or none at all.
    """
    wanted = frozenset(CHAPTERS if chapters is None else [chapters] if isinstance(chapters, str) else chapters)
    unknown = sorted(wanted - set(CHAPTERS))
    if unknown or not wanted:
        which = f"there is none called {unknown[0]!r}" if unknown else "none is named"
        raise ArgumentError(f"chapters: {which}; there are {', '.join(CHAPTERS)}", location="chapters")
    return wanted


_TYPES: Final[dict[str, type]] = {
    "groups": Groups,
    "identity": Identity,
    "catalog": Catalog,
    "offer": Offer,
    "price_list": PriceList,
}


def _check_types(**given: object) -> None:
    """Raises for what would else be taken for something missing."""
    for name, value in given.items():
        if value is not None and not isinstance(value, _TYPES[name]):
            raise ArgumentTypeError(
                f"{name} has to be a tokenflex.{_TYPES[name].__name__}, not {type(value).__name__}", location=name
            )


@refuses_clearly
def report(
    sessions: AnyTable,
    *,
    rule: Rule,
    rates: Rates,
    servers: Mapping[str, str] | None = None,
    users: Users | None = None,
    path: str | Path | None = None,
    charges: AnyTable | None = None,
    title: str | None = None,
    period: Period = None,
    as_of: datetime | None = None,
    identity: Identity | None = None,
    variants: Mapping[str, str] | None = None,
    groups: Groups | None = None,
    sites: Mapping[str, str] | None = None,
    catalog: Catalog | None = None,
    activity: AnyTable | None = None,
    limits: Mapping[str, int] | None = None,
    business_hours: BusinessHours | None = None,
    coverage: AnyTable | None = None,
    events: AnyTable | None = None,
    packages: AnyTable | None = None,
    denials: AnyTable | None = None,
    files: AnyTable | None = None,
    contract: Contract | Ledger | None = None,
    statement: AnyTable | ContractSnapshot | None = None,
    reconciliation: Reconciliation | None = None,
    token_price: Exact | None = None,
    price_list: PriceList | None = None,
    current: Mapping[str, Iterable[str]] | None = None,
    offer: Offer | None = None,
    forecast: Forecast | None = None,
    plan: PurchasePlan | None = None,
    horizon: int = 91,
    rules: Iterable[Rule] | None = None,
    new_rates: Rates | None = None,
    chapters: Iterable[str] | None = None,
    progress: Progress = None,
    problems: Problems | None = None,
) -> Report:
    """Everything that an administrator reports of a time: answers, chapters, and all tables behind them.

    Each table is computed by the verb of its name, once; the charges are computed once for all. What cannot be computed
    with what is given is a chapter or section that says which argument would give it. See `docs/report.md`.

    Args:
        sessions: As for `charge`, as a whole table; best those of `pair`.
        rule: As for `charge`.
        rates: As for `charge`.
        servers: As for `charge`.
        users: The zone of each user: for double charges, habits, and rules of the users' days.
        path: Where to write it at once, see `Report.write`.
        charges: What `charge` returned for these sessions with these arguments, if that was done already.
        title: Its title.
        period: A month (`"2026-01"`), a year, a day, or the first and the last day, by `usage_date`; everything unless
            given. Windows, balances, forecasts and estimates rest on all sessions all the same; what-ifs, on those that
            touch the period.
        as_of: As for `charge`; it is the now of what is open and idle.
        identity: Who is who. Charges stay as they are; users are counted, grouped and judged as persons.
        variants: Product line of products that are spelled otherwise.
        groups: Who belongs to which group and cost centre; a dimension `site` says where people sit.
        sites: The site of each server, for people of whom groups do not say it.
        catalog: Names of products; the shipped one unless given.
        activity: As for `charge`.
        limits: How many licenses are owned, by product, see `capacity`.
        business_hours: The hours that count for capacity; all unless given.
        coverage: `coverage` of what the reader returned.
        events: `events` of what the reader returned, for refusals and what was not charged.
        packages: `packages` of what the reader returned.
        denials: Refusals as a table of `tables.DENIALS`, where there are no events.
        files: `files` of what the reader returned; their bytes are hashed where they are still there.
        contract: The contract, or its ledger settled already.
        statement: The vendor's, as `read_statement` or `read_contract` gives it.
        reconciliation: What `reconcile` returned, if that was done already.
        token_price: What a token costs; the contract's mean price unless given.
        price_list: What subscriptions and maintenance cost, for `compare_models`.
        current: The subscriptions that each user has, likewise.
        offer: What can be bought, for `plan_purchase`.
        forecast: What `forecast` returned, with scenarios of your own; the weekday model unless given.
        plan: What `plan_purchase` returned, if that was done already.
        horizon: How many days to forecast; 0 for none.
        rules: Other rules for `compare_rules`, `infer_rule` and `estimate`; a few of each verb's own unless given.
        new_rates: Rates that are to come, to see what they would mean.
        chapters: Keys of the chapters to make: consumption, charges, contract, vendor, doubles, avoidable, places,
            rules, rates, capacity, models, estimate, forecast, plan, quality, provenance. All unless given.
        progress: `True` shows a bar on the terminal; a function is called with the chapters done and those in all.
        problems: Collects what the verbs met. Give the one that the readers had, and data quality tells of all; unless
            given it tells of the report's own.

    Returns:
        The report, see `Report`.

    Raises:
        ArgumentError: The period is none, there is no such chapter, charges are others than those of the sessions, or
            `path` cannot be taken. What a single verb lacks is said in its section and raises nothing.
        ArgumentTypeError, FieldsError: An argument is of a wrong type, or a price is none.
        ZoneError, MissingColumnError, ColumnTypeError: As for `charge`, and as for the verbs that take a table.

    Example:
        >>> import tokenflex as tf, polars as pl
        >>> from datetime import datetime, timezone
        >>> def at(day, hour): return datetime(2026, 7, day, hour, tzinfo=timezone.utc)
        >>> sessions = pl.DataFrame({
        ...     "user": ["ana", "ana", "ben"], "product": ["ACD", "ACD", "RVT"],
        ...     "start": [at(13, 8), at(14, 9), at(13, 9)], "end": [at(13, 17), at(14, 17), at(13, 10)],
        ... })
        >>> found = tf.report(
        ...     sessions, rule=tf.FLEX, rates=tf.Rates({"ACD": 7, "RVT": 10}), chapters=["consumption", "contract"])
        >>> found.answers.filter(key="tokens").select("answer", "detail").row(0)
        ('24 tokens', '3 charges of 2 users')
        >>> found.tables["tokens_by_product"].select("product", "tokens").rows()
        [('ACD', Decimal('14.0000')), ('RVT', Decimal('10.0000'))]
        >>> found.chapters[1].missing
        'contract= (a tokenflex.Contract) shows balances, expiries and how long tokens last'
    """
    wanted = wanted_of(chapters)
    _check_types(groups=groups, identity=identity, catalog=catalog, offer=offer, price_list=price_list)
    if isinstance(horizon, bool) or not isinstance(horizon, int) or horizon < 0:
        raise ArgumentError(f"horizon is {horizon!r}, but has to be a number of days, 0 for none", location="horizon")
    used = frame_of(sessions)
    found = Problems() if problems is None else problems
    terms: dict[str, Any] = {"rule": rule, "rates": rates, "servers": servers, "users": users, "problems": found}
    moves = None if activity is None else frame_of(activity)
    charged = charges_of(used, charges, activity=moves, as_of=as_of, **terms)
    start, end = period_of(period, charged)
    given = Work(
        sessions=used,
        rule=rule,
        rates=rates,
        servers=servers,
        users=users,
        charges=charged,
        period=period,
        start=start,
        end=end,
        as_of=as_of,
        identity=identity,
        variants=variants,
        groups=groups,
        sites=sites,
        catalog=Catalog.default() if catalog is None else catalog,
        activity=moves,
        limits=limits,
        business_hours=business_hours,
        coverage=table_of(coverage, "coverage", COVERAGE),
        events=table_of(events, "events", EVENTS),
        packages=None if packages is None else frame_of(packages),
        denials=table_of(denials, "denials", DENIALS),
        files=table_of(files, "files", FILES),
        contract=contract,
        statement=statement if isinstance(statement, ContractSnapshot) else table_of(statement, "statement", STATED),
        reconciliation=reconciliation,
        token_price=price_of(token_price, "report"),
        price_list=price_list,
        current=current,
        offer=offer,
        forecast=forecast,
        plan=plan,
        horizon=horizon,
        rules=None if rules is None else tuple(rules),
        new_rates=new_rates,
        chapters=wanted,
        problems=found,
    )
    shelf = Shelf()
    keys = [key for key in CHAPTERS if key in given.chapters]
    made = []
    with watched(progress, "reporting", len(keys), counts_bytes=False) as told:
        for place, key in enumerate(keys, 1):
            made.append(CHAPTERS[key](given, shelf))
            if told is not None:
                told(place)
    actions = actions_of(given)
    whole = Report(
        title=title or "Token use",
        start=start,
        end=end,
        answers=answers_of(given, actions),
        actions=actions,
        chapters=tuple(made),
        tables=shelf.tables,
        cube=consumption.cube_of(given.charged),
        provenance=trust.provenance_of(given),
    )
    if path is not None:
        whole.write(path)
    return whole
