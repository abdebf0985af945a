"""The verb `report` and what it returns: answers, chapters and all tables behind them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

from tokenflex.arrow import AnyTable, frame_of, refuses_clearly
from tokenflex.content import whole_file
from tokenflex.errors import ArgumentError, SourceError
from tokenflex.planning.extras import needed
from tokenflex.problems import Problems
from tokenflex.progress import Progress, watched
from tokenflex.reading.catalog import Catalog
from tokenflex.reporting import billing, consumption, planning_chapters, saving_chapters, trust, use_chapters
from tokenflex.reporting.answers import actions_of, answers_of
from tokenflex.reporting.folder import write_folder
from tokenflex.reporting.given import Period, charges_of, period_of
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
    from tokenflex.planning.offer import Offer
    from tokenflex.planning.price_list import PriceList
    from tokenflex.planning.purchase_plan import PurchasePlan
    from tokenflex.reading.contract import ContractSnapshot
    from tokenflex.reading.groups import Groups
    from tokenflex.reading.identity import Identity
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
class Report:
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
            path: A name that ends in `.html` for a page or in `.xlsx` for a workbook, which need `tokenflex[report]`
                and take the place of a file of that name; a name without ending for a new folder, with a file for each
                table.
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
        elif to.suffix.lower() == ".html":
            _write_page(self, to)
        else:
            raise ArgumentError(
                f"{to}: give a name that ends in .html or .xlsx, or one without ending for a folder", location="path"
            )

    def __repr__(self) -> str:
        return f"<Report {self.title!r}: {len(self.chapters)} chapters, {len(self.tables)} tables>"


def _write_page(report: Report, path: Path) -> None:
    """Writes the page, whole or not at all."""
    for package in ("jinja2", "altair", "vl_convert"):
        needed(package, "a page", extra="report")
    from tokenflex.reporting.page.write import page_of  # noqa: PLC0415 - these packages may be missing

    try:
        with whole_file(path) as file:
            file.write(page_of(report).encode())
    except OSError as error:
        raise SourceError(f"{path} cannot be written: {error}", location=str(path)) from error


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
    """Everything of a time in one report."""
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
        coverage=None if coverage is None else frame_of(coverage),
        events=None if events is None else frame_of(events),
        packages=None if packages is None else frame_of(packages),
        denials=None if denials is None else frame_of(denials),
        files=None if files is None else frame_of(files),
        contract=contract,
        statement=statement,
        reconciliation=reconciliation,
        token_price=token_price,
        price_list=price_list,
        current=current,
        offer=offer,
        forecast=forecast,
        plan=plan,
        horizon=horizon,
        rules=None if rules is None else tuple(rules),
        new_rates=new_rates,
        chapters=wanted_of(chapters),
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
