"""What is charged twice in the demo: all that is planted, by cause, and besides it what a plain count finds."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import polars as pl
import pytest
from typer.testing import CliRunner

import tokenflex as tf
from tokenflex.cli import app
from tokenflex.demo import DemoFirm, DemoSession, firm, write_logs
from tokenflex.demo.firm import PRODUCTS

if TYPE_CHECKING:
    from collections.abc import Iterable

SHORTEST = timedelta(minutes=5)
MORNING = timedelta(hours=4)
BY_MACHINE = "VRDPRO"
LINES = {feature: product.code for product in PRODUCTS.values() for feature in product.features}
FAMILY = {"INVNTOR": "Inventor", "INVPROSA": "Inventor"}


@pytest.fixture(scope="module")
def found(demo_firm: DemoFirm) -> pl.DataFrame:
    """Of the vendor's statement, with the logs as evidence."""
    return of_statement(demo_firm)


def terms(made: DemoFirm) -> dict[str, object]:
    return {
        "users": tf.UserZones.read(made.users_path),
        "rule": tf.Rule.read(made.rule_path),
        "rates": tf.Rates.read(made.rates_path),
        "servers": made.servers,
        "problems": tf.Problems(),
    }


def of_statement(made: DemoFirm) -> pl.DataFrame:
    statement = tf.read_statement(made.statement_path)
    return tf.double_charges(statement, sessions=paired(made), **terms(made))  # type: ignore[arg-type]  # terms of all


def paired(made: DemoFirm) -> pl.DataFrame:
    log = tf.read_flexlm(made.folder / "logs", timezone=made.servers)
    return tf.pair(log.events, packages=log.packages, problems=tf.Problems())


def counted(cases: pl.DataFrame) -> dict[str, int]:
    return dict(cases.group_by(pl.col("cause").cast(pl.String)).len().iter_rows())


# A plain count of what the rule itself doubles, from what truly happened


@dataclass(frozen=True)
class Paid:
    """A day that was paid."""

    at: datetime
    day: object
    payer: str
    zone: str


def doubled(sessions: Iterable[DemoSession], made: DemoFirm) -> dict[str, int]:
    """Charges beyond the first of each person's working day, by what a person with a calendar would say of them."""
    homes = dict(pl.read_csv(made.users_path).iter_rows())
    days: dict[tuple[str, str, object], Paid] = {}
    for session in sessions:
        end = session.end or datetime.max.replace(tzinfo=UTC)
        if end - session.start < SHORTEST:
            continue
        line = LINES[session.feature]
        payer = session.host if line == BY_MACHINE else session.user
        zone = made.servers[session.server]
        for at, day in touched(session.start, end, zone):
            key = (payer, FAMILY.get(line, line), day)
            if key not in days or at < days[key].at:
                days[key] = Paid(at, day, payer, zone)
    of_person: defaultdict[tuple[str, str, object], list[Paid]] = defaultdict(list)
    for (payer, line, _), paid in days.items():
        home = homes.get(payer.lower())
        if home is not None:
            working = (paid.at.astimezone(ZoneInfo(home)).replace(tzinfo=None) - MORNING).date()
            of_person[payer.lower(), line, working].append(paid)
    causes: Counter[str] = Counter()
    for (person, _, _), charges in of_person.items():
        first, *more = sorted(charges, key=lambda paid: paid.at)
        causes.update(cause_of(first, again, homes[person]) for again in more)
    return dict(causes)


def touched(start: datetime, end: datetime, zone: str) -> Iterable[tuple[datetime, object]]:
    """The dates of a session at its server, each with its first instant of it."""
    at = start
    while True:
        local = at.astimezone(ZoneInfo(zone))
        yield at, local.date()
        at = datetime.combine(local.date() + timedelta(days=1), time(), ZoneInfo(zone)).astimezone(UTC)
        if at >= min(end, firm_end()):
            return


def firm_end() -> datetime:
    return datetime.fromtimestamp(firm.last_instant(3), tz=UTC)


def cause_of(first: Paid, again: Paid, home: str) -> str:
    if again.zone != first.zone:
        return "two_servers"
    # On another date the one name would have been charged again, too.
    if again.payer != first.payer and again.day == first.day:
        return "identity"
    return "own_midnight" if again.zone == home else "server_midnight"


def test_the_statement_shows_every_mistake_of_the_vendor_and_nothing_else(
    demo_firm: DemoFirm, found: pl.DataFrame
) -> None:
    reporting = {server.name for server in firm.SERVERS if server.reports}
    known = [each for each in demo_firm.sessions if each.end is not None and each.server in reporting]
    # Without its rate nothing says how many windows the vendor's tokens for a session paid.
    priced = [each for each in known if LINES[each.feature] != firm.WITHOUT_RATE]
    natural = doubled(priced, demo_firm)
    assert natural["server_midnight"] > 100
    assert natural["own_midnight"] > 10
    mistakes = Counter(demo_firm.facts.vendor_mistakes)
    assert set(mistakes) == {
        "two_servers", "reconnect", "identity", "variant", "missing_increment", "below_minimum", "swapped_machine",
        "manual_duplicate",
    }  # fmt: skip
    # Two spellings are charged twice by the rule itself, so the plain count has them all.
    del mistakes["identity"]
    assert natural["identity"] >= demo_firm.facts.vendor_mistakes["identity"]
    assert counted(found) == {**natural, **mistakes}


def test_what_was_a_mistake_is_to_be_given_back(found: pl.DataFrame) -> None:
    claimable = counted(found.filter("is_claimable"))
    assert set(claimable) == set(counted(found)) - {"server_midnight", "own_midnight"}
    only = found.filter(pl.col("cause").cast(pl.String) != "server_midnight")["causes"].list.len()
    assert only.unique().to_list() == [1]


def test_the_logs_alone_show_what_the_rule_doubles(demo_firm: DemoFirm) -> None:
    cases = tf.double_charges(paired(demo_firm), **terms(demo_firm))  # type: ignore[arg-type]  # terms of all
    natural = doubled(demo_firm.sessions, demo_firm)
    assert natural["two_servers"] == 2
    assert counted(cases) == natural


@pytest.mark.parametrize("seed", [1, 2])
def test_other_dice_hide_no_mistake(tmp_path_factory: pytest.TempPathFactory, seed: int) -> None:
    made = write_logs(tmp_path_factory.mktemp("demo"), months=3, seed=seed)
    cases = counted(of_statement(made))
    for cause, count in made.facts.vendor_mistakes.items():
        assert cases[cause] >= count if cause == "identity" else cases[cause] == count
    assert "unexplained" not in cases


def test_the_command_tells_each_cause_in_words(demo_firm: DemoFirm) -> None:
    zones = [f"--timezone={server}={zone}" for server, zone in demo_firm.servers.items()]
    given = ["--rates", demo_firm.rates_path, "--rule", demo_firm.rule_path, "--users", demo_firm.users_path]
    given = ["doubles", demo_firm.statement_path, "--logs", demo_firm.folder / "logs", *zones, *given]
    result = CliRunner(env={"COLUMNS": "100"}).invoke(app, [str(word) for word in given])
    assert result.exit_code == 0, result.stderr
    for cause, count in demo_firm.facts.vendor_mistakes.items():
        if cause != "identity":
            assert f"\n{cause} ({count} cases)\n" in result.stdout
    told = " ".join(result.stdout.split())
    assert (
        "dipper.mad, ARCHDESK, 2025-10-06 (Europe/Madrid): charged at 09:30 on mad-lic-01 and at 16:12 on chi-lic-01. "
        "By the contract's rule nothing was due: 7.5 tokens to be given back."
    ) in told
    assert f"{firm.ACCENTED.name} has no zone" in told
    assert "unexplained" not in told
    as_json = CliRunner().invoke(app, [str(word) for word in [*given, "--json"]])
    counts = {cause["cause"]: cause["cases"] for cause in json.loads(as_json.stdout)["causes"]}
    assert counts == counted(of_statement(demo_firm))


def test_the_statement_has_a_row_for_each_session_that_the_vendor_knows(demo_firm: DemoFirm) -> None:
    statement = tf.read_statement(demo_firm.statement_path)
    reporting = {server.name for server in firm.SERVERS if server.reports}
    names = ("server", "user", "host", "feature", "start", "end")
    known = {tuple(each) for each in demo_firm.sessions if each.end is not None and each.server in reporting}
    texts = [pl.col(name).cast(pl.String) for name in names[:4]]
    rows = statement.filter(pl.col("start").is_not_null()).select(*texts, "start", "end")
    assert set(rows.iter_rows()) == known
    assert rows.height == len(known)
    assert statement.height == len(known) + demo_firm.facts.vendor_mistakes["manual_duplicate"]
