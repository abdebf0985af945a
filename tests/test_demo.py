"""The demo's logs: everything planted in them is found by the reader, by pairing and by charging."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import polars as pl
import pytest

import tokenflex as tf
from tokenflex import summary
from tokenflex.demo import DemoFacts, DemoFirm, firm, write_logs

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True)
class Run:
    """The demo, read, paired and charged."""

    firm: DemoFirm
    log: tf.FlexlmLog
    sessions: pl.DataFrame
    charges: pl.DataFrame
    problems: pl.DataFrame
    summary: summary.Summary

    @property
    def facts(self) -> DemoFacts:
        return self.firm.facts

    def count(self, **where: str) -> int:
        """Events with these values."""
        return self.log.events.filter(*(pl.col(name).cast(pl.String) == value for name, value in where.items())).height

    def problem(self, code: str) -> pl.DataFrame:
        return self.problems.filter(pl.col("code") == code)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    made = write_logs(tmp_path_factory.mktemp("demo"))
    log = tf.read_flexlm(made.folder / "logs", timezone=made.servers)
    problems = tf.Problems()
    sessions = tf.pair(log.events, packages=log.packages, problems=problems)
    rates = tf.Rates.read(made.rates_path)
    charges = tf.charge(sessions, rule=tf.TOKEN_FLEX, rates=rates, servers=made.servers, problems=problems)
    found = pl.concat([log.problems, problems.frame])
    answers = summary.summarize(log, sessions, charges, found, rule=tf.TOKEN_FLEX)
    return Run(made, log, sessions, charges, found, answers)


def digest(made: DemoFirm) -> dict[str, str]:
    paths = [*made.logs, *(getattr(made, name) for name in vars(made) if name.endswith("_path"))]
    assert len(paths) == len(made.logs) + 9
    return {str(path.relative_to(made.folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}


def test_same_seed_same_bytes(tmp_path: Path) -> None:
    first, second, other = (
        write_logs(tmp_path / name, months=3, seed=seed) for name, seed in (("a", 1), ("b", 1), ("c", 2))
    )
    assert digest(first) == digest(second)
    assert first.facts == second.facts
    assert digest(first) != digest(other)


@pytest.mark.parametrize("months", [2, 13, 0, -1])
def test_months_out_of_range(tmp_path: Path, months: int) -> None:
    with pytest.raises(ValueError, match="3 to 12 months"):
        write_logs(tmp_path, months=months)


@pytest.mark.parametrize("zone", [firm.MADRID, firm.CHICAGO, firm.SINGAPORE, firm.SEOUL], ids=lambda zone: zone.name)
def test_offsets_of_the_demo_are_those_of_the_zone_database(zone: firm.Zone) -> None:
    known = ZoneInfo(zone.name)
    first = firm.instant(2025, 9, 1)
    for at in range(first, first + 366 * firm.DAY, 1800):
        offset = datetime.fromtimestamp(at, tz=known).utcoffset()
        assert offset == timedelta(seconds=zone.offset(at)), at


def test_rates_file_says_which_rates_are_invented(run: Run) -> None:
    frame = tf.Rates.read(run.firm.rates_path).frame
    assert frame.height == len(run.firm.rates)
    invented = {rate.product for rate in run.firm.rates if rate.is_invented}
    assert invented == {"CIV3D", "INVPROSA", "INVNTOR", "3DSMAX", "ARCHDESK", "VRDPRO"}
    sourced = {rate.product: rate.tokens for rate in run.firm.rates if not rate.is_invented}
    assert sourced == {"ACD": 7, "RVT": 10, "NAVMAN": 9}


def test_every_server_is_named_by_its_banner_or_its_folder(run: Run) -> None:
    assert set(run.log.files["server"].cast(pl.String)) == set(run.firm.servers)
    assert run.log.files.height == len(run.firm.logs)


@pytest.mark.parametrize(
    ("fact", "where"),
    [
        ("checkouts", {"kind": "OUT"}),
        ("checkins", {"kind": "IN"}),
        ("denied", {"kind": "DENIED"}),
        ("unsupported", {"kind": "UNSUPPORTED"}),
        ("inactive_checkins", {"kind": "IN", "reason": "INACTIVE"}),
        ("shutdown_checkins", {"kind": "IN", "reason": "SHUTDOWN"}),
        ("rereads", {"kind": "REREAD", "daemon": "adskflex"}),
        ("crashes", {"kind": "CRASH", "daemon": "adskflex"}),
        ("stops", {"kind": "STOP", "daemon": "adskflex"}),
    ],
)
def test_events_counted_once(run: Run, fact: str, where: dict[str, str]) -> None:
    planted = getattr(run.facts, fact)
    assert planted > 0
    assert run.count(**where) == planted


def test_component_checkouts(run: Run) -> None:
    components = run.log.events.filter(
        pl.col("kind").cast(pl.String) == "OUT", pl.col("feature").cast(pl.String).str.ends_with("_0F")
    )
    assert components.height == run.facts.component_checkouts
    assert run.sessions["checkouts"].sum() == run.facts.component_checkouts


def test_names_as_spelled(run: Run) -> None:
    names = run.sessions["user"].cast(pl.String).unique()
    assert names.len() == run.facts.users
    assert names.len() - names.str.to_lowercase().n_unique() == run.facts.two_spellings > 0
    assert firm.ACCENTED.name in names


def test_package_contents(run: Run) -> None:
    expected = {
        (server, product.package, feature)
        for server in run.firm.servers
        for product in firm.PRODUCTS.values()
        for feature in product.features
        if product.package is not None
    }
    columns = ("server", "package", "component")
    assert set(run.log.packages.select(pl.col(*columns).cast(pl.String)).iter_rows()) == expected


def test_files_add_up(run: Run) -> None:
    files = run.log.files
    assert (files["bytes"] > 0).all()
    parts = ("event_lines", "other_lines", "problem_lines", "repeated_lines")
    assert files.select((pl.col("lines") + pl.col("glued") == pl.sum_horizontal(*parts)).all()).item()
    assert files["event_lines"].sum() == run.log.events.height
    assert files["glued"].sum() == run.facts.glued
    assert files["problem_lines"].sum() == run.facts.unreadable


def test_repeated_lines(run: Run) -> None:
    """Of two copies of a stretch one counts; beside license lines the stretches hold rereads and starts."""
    repeated = run.log.files["repeated_lines"].sum()
    assert run.facts.repeated <= repeated <= run.facts.repeated + 40


def test_unreadable_lines_are_told_with_their_place(run: Run) -> None:
    unreadable = run.problems.filter(pl.col("code").str.starts_with("unreadable"))
    assert unreadable.height == run.facts.unreadable
    assert unreadable["location"].null_count() == 0
    assert unreadable["source"].str.contains("adskflex.log", literal=True).all()


def test_check_ins_of_nothing(run: Run) -> None:
    nothing = run.problem("checkin_without_checkout")
    assert nothing.height == run.facts.unpaired_checkins == 2


def _end() -> pl.Expr:
    return pl.when(~pl.col("is_open")).then("end").alias("end")


def test_sessions_are_those_that_truly_were(run: Run) -> None:
    """To the second, over rotated, repeated, damaged and re-encoded files, crashes, stops and clock changes."""
    names = ("server", "user", "host", "feature")
    found = set(run.sessions.select(pl.col(*names).cast(pl.String), "start", _end()).iter_rows())
    assert found == {tuple(session) for session in run.firm.sessions}
    assert run.sessions.height == run.facts.sessions == len(run.firm.sessions)


def test_open_sessions(run: Run) -> None:
    assert run.sessions["is_open"].sum() == run.facts.open_sessions > 0


@pytest.mark.parametrize(("reason", "fact"), [("crash", "crashed_sessions"), ("stop", "shutdown_sessions")])
def test_sessions_that_the_server_ended(run: Run, reason: str, fact: str) -> None:
    ended = run.sessions.filter(pl.col("end_reason").cast(pl.String) == reason)
    assert ended.height == getattr(run.facts, fact) > 0


@pytest.mark.parametrize(
    ("user", "start", "end"),
    [
        ("owl.mad", datetime(2025, 10, 26, 0, 50, tzinfo=UTC), datetime(2025, 10, 26, 1, 10, tzinfo=UTC)),
        ("curlew.sgp", datetime(2025, 11, 2, 6, 40, tzinfo=UTC), datetime(2025, 11, 2, 7, 15, tzinfo=UTC)),
        # Over the weekend.
        ("grebe.mad", datetime(2025, 9, 19, 16, 20, tzinfo=UTC), datetime(2025, 9, 22, 5, 55, tzinfo=UTC)),
        # Written late, behind lines of the next day.
        ("osprey.mad", datetime(2025, 9, 15, 19, 0, tzinfo=UTC), datetime(2025, 9, 15, 21, 59, 58, tzinfo=UTC)),
    ],
)
def test_planted_sessions(run: Run, user: str, start: datetime, end: datetime) -> None:
    found = run.sessions.filter(pl.col("user").cast(pl.String) == user, pl.col("start") == start)
    assert found["end"].to_list() == [end]


def test_days_without_lines(run: Run) -> None:
    missing = run.log.coverage.select(pl.col("server").cast(pl.String), "days_without_lines")
    by_server = dict(missing.iter_rows())
    assert by_server == {"mad-lic-01": [date(2025, 11, 1), date(2025, 11, 2)], "chi-lic-01": [], "sin-lic-01": []}
    assert sum(len(days) for days in by_server.values()) == run.facts.days_without_lines


def test_which_servers_report_to_the_vendor(run: Run) -> None:
    reporting = dict(run.log.coverage.select(pl.col("server").cast(pl.String), "reporting").iter_rows())
    assert reporting == {server.name: server.reports for server in firm.SERVERS}


def test_a_product_without_rate_is_charged_with_null(run: Run) -> None:
    unknown = run.charges.filter(pl.col("tokens").is_null())
    assert unknown["product"].cast(pl.String).unique().to_list() == [firm.WITHOUT_RATE]
    assert run.problem("no_rate").height > 0
    of_product = run.sessions.filter(pl.col("product").cast(pl.String) == firm.WITHOUT_RATE)
    assert of_product.height == run.facts.sessions_without_rate > 0


def test_rate_changes_in_november(run: Run) -> None:
    civil = run.charges.filter(pl.col("product").cast(pl.String) == "CIV3D")
    before = civil.filter(pl.col("charged_at") < datetime(2025, 11, 1, tzinfo=UTC))
    after = civil.filter(pl.col("charged_at") >= datetime(2025, 11, 1, tzinfo=UTC))
    assert before["tokens"].unique().to_list() == [Decimal(9)]
    assert after["tokens"].unique().to_list() == [Decimal("9.5")]


def test_singapore_is_charged_twice_by_chicago(run: Run) -> None:
    """The firm's pain: the midnight of Chicago falls into the working day of Singapore and Seoul."""
    twice = run.summary.twice.filter(pl.col("server") == "chi-lic-01", pl.col("trigger").cast(pl.String) == "renewal")
    offices = twice.group_by(pl.col("user").str.to_lowercase().str.split(".").list.last().alias("office")).len()
    count = dict(offices.iter_rows())
    assert count["sgp"] + count["sel"] > 100
    assert count["sgp"] + count["sel"] > 0.9 * twice.height
    no_twice_in_rolling = tf.charge(
        run.sessions, rule=tf.FLEX, rates=tf.Rates.read(run.firm.rates_path), problems=tf.Problems()
    )
    assert summary.charged_twice(no_twice_in_rolling).is_empty()


def exact(tokens: pl.Series) -> Decimal:
    return sum((value for value in tokens.to_list() if value is not None), Decimal(0))


def test_summary_adds_up_to_the_charges(run: Run) -> None:
    answers, total = run.summary, run.summary.totals.row(0, named=True)
    assert total["tokens"] == exact(run.charges["tokens"]) == exact(answers.by_month["tokens"])
    assert total["charges"] == run.charges.height == answers.by_month["charges"].sum()
    assert total["sessions"] == run.sessions.height
    everyone = summary.top_users(run.charges, count=10_000)
    assert exact(everyone["tokens"]) == total["tokens"]
    assert everyone["charges"].sum() == total["charges"]
    assert everyone.head(10).equals(answers.users)
    reasons = dict(answers.uncharged.select("reason", "rows").iter_rows())
    assert (
        reasons["free"] + reasons["casual"] + reasons["invalid"] + run.charges["session"].n_unique()
        == total["sessions"]
    )
    assert reasons["no_rate"] == total["charges_without_rate"]
    assert reasons["package"] == run.facts.checkouts - run.facts.component_checkouts
    assert reasons["unpaired"] == run.facts.unpaired_checkins
    assert answers.problems["rows"].sum() == run.problems.height


def test_casual_sessions_are_counted_by_the_rule(run: Run) -> None:
    problems = tf.Problems()
    charges = tf.charge(run.sessions, rule=tf.FLEX, rates=tf.Rates.read(run.firm.rates_path), problems=problems)
    answers = summary.summarize(run.log, run.sessions, charges, run.problems, rule=tf.FLEX)
    reasons = dict(answers.uncharged.select("reason", "rows").iter_rows())
    short = run.sessions.filter(pl.col("end") - pl.col("start") < timedelta(minutes=5)).height
    assert reasons["casual"] == short > 0


def charges_of(*rows: tuple[str, str, datetime, str | None]) -> pl.DataFrame:
    """Charges with the columns that the summary reads."""
    return pl.DataFrame(
        [
            (user, product, "s1", at, at.date(), "launch", None if tokens is None else Decimal(tokens))
            for user, product, at, tokens in rows
        ],
        schema={
            "user": pl.String,
            "product": pl.String,
            "server": pl.String,
            "charged_at": pl.Datetime("us", "UTC"),
            "usage_date": pl.Date,
            "trigger": pl.String,
            "tokens": pl.Decimal(38, 4),
        },
        orient="row",
    )


def at(day: int, hour: int = 0, minute: int = 0) -> datetime:
    return datetime(2026, 3, day, hour, minute, tzinfo=UTC)


def test_charged_twice_needs_less_than_twelve_hours() -> None:
    charges = charges_of(
        ("ann", "ACD", at(2, 20), "7"),
        ("ann", "ACD", at(2, 8), "7"),
        ("ann", "ACD", at(3, 7, 59), "7"),
        ("ann", "RVT", at(3, 8), "10"),
        ("bob", "ACD", at(3, 8, 1), "7"),
    )
    twice = summary.charged_twice(charges)
    assert twice.select("user", "first_at", "charged_at").rows() == [("ann", at(2, 20), at(3, 7, 59))]


def test_second_spellings_cost_what_the_same_date_cost_twice() -> None:
    charges = charges_of(
        ("ann", "ACD", at(2, 8), "7"),
        ("ANN", "ACD", at(2, 9), "7"),
        ("Ann", "RVT", at(2, 9), "10"),
        ("ann", "ACD", at(3, 9), "7"),
        ("bob", "ACD", at(3, 9), "7"),
    )
    assert summary.second_spellings(charges).rows() == [("ANN = Ann = ann", 4, 1, Decimal(7))]


def test_unknown_tokens_are_null_and_not_nothing() -> None:
    charges = charges_of(("ann", "ACD", at(2), None), ("ann", "RVT", at(2), None), ("bob", "RVT", at(2), "10"))
    months = summary.tokens_by_month(charges).select("product", "charges", "tokens").rows()
    assert months == [("RVT", 2, Decimal(10)), ("ACD", 1, None)]
    users = summary.top_users(charges).select("user", "products", "charges", "tokens").rows()
    assert users == [("bob", "RVT", 1, Decimal(10)), ("ann", "ACD RVT", 2, None)]


def test_no_charges_no_rows() -> None:
    charges = charges_of()
    assert summary.tokens_by_month(charges).is_empty()
    assert summary.top_users(charges).is_empty()
    assert summary.charged_twice(charges).is_empty()
    assert summary.second_spellings(charges).is_empty()


def test_the_offer_is_marked_as_made_up(run: Run) -> None:
    assert "demo value" in run.firm.offer_path.read_text().splitlines()[0]
    assert tf.Offer.read(run.firm.offer_path).years == 3


def test_the_contract_is_marked_as_made_up_and_its_years_are_those_of_the_statement(run: Run) -> None:
    assert "demo value" in run.firm.contract_path.read_text().splitlines()[0]
    contract = tf.Contract.read(run.firm.contract_path)
    assert (contract.number, contract.zone, dict(contract.servers)) == ("DEMO-1", "Europe/Madrid", run.firm.servers)
    assert [(str(year.start), str(year.end)) for year in contract.years] == [
        ("2024-10-01", "2025-09-30"),
        ("2025-10-01", "2026-09-30"),
        ("2026-10-01", "2027-09-30"),
    ]
    assert contract.perpetual
    assert contract.overage_price is not None
    assert len({pool.unit_price for pool in contract.pools} - {None}) == 1
    stated = tf.read_statement(run.firm.statement_path)
    lives = [(year.year, year.start, year.end) for year in contract.years]
    assert stated["contract_year"].n_unique() == 2
    for day, year in stated.select("usage_date", "contract_year").unique().iter_rows():
        assert [number for number, first, last in lives if first <= day <= last] == [year]


@pytest.mark.parametrize("with_statement", [False, True])
def test_of_the_contract_some_tokens_expire_and_one_charge_is_split(run: Run, *, with_statement: bool) -> None:
    contract = tf.Contract.read(run.firm.contract_path)
    statement = tf.read_statement(run.firm.statement_path) if with_statement else None
    ledger = contract.settle(run.charges, statement=statement, problems=tf.Problems())
    entries = ledger.entries.with_columns(pl.col("pool", "kind").cast(pl.String))
    (expiry,) = entries.filter(pl.col("kind") == "expiry").iter_rows(named=True)
    assert expiry["pool"] == "annual 1"
    assert expiry["at"] == datetime(2025, 9, 30, 22, tzinfo=UTC)
    assert 0 < -expiry["tokens"] < 5_000
    split = entries.filter(pl.col("charge").is_not_null(), pl.col("charge").is_duplicated())
    assert split["pool"].to_list() == ["annual 2", "contract"]
    assert {(at.year, at.month) for at in split["at"]} == {(2026, 1)}
    assert split["balance_after"][0] == 0
    booked = entries.filter(pl.col("booking").is_not_null())["kind"].to_list()
    assert booked == ["adjustment", *["manual_consumption"] * (2 if with_statement else 0)]


def test_everyone_but_one_has_a_group_a_cost_centre_and_a_site(run: Run) -> None:
    groups = tf.Groups.read(run.firm.groups_path)
    assert groups.dimensions == [None, "site"]
    people = tf.Identity().apply(run.sessions, problems=tf.Problems())
    told = tf.Problems()
    placed = groups.join(groups.join(people, problems=told), dimension="site", problems=told)
    without = placed.filter(pl.col("group").is_null())["user"].cast(pl.String).unique().to_list()
    assert without == [firm.ACCENTED.name.lower()]
    assert placed.filter(pl.col("site").is_null() | pl.col("cost_centre").is_null())["user"].n_unique() == 1
