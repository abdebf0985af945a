"""`tokenflex infer-rule`, on statements written from the demo's logs by a known rule, and on small ones."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from datetime import timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest
from typer.testing import CliRunner, Result

import tokenflex as tf
import vendor_exports as vendor
from tokenflex import cli
from tokenflex.commands import options

if TYPE_CHECKING:
    from pathlib import Path

    from tokenflex.demo import DemoFirm

RULE = tf.Rule(window="day", zone="server", min_duration=timedelta(minutes=5))


def run(*arguments: object) -> Result:
    given = ["infer-rule", *arguments]
    return CliRunner().invoke(cli.app, [str(argument) for argument in given], prog_name="tokenflex")


def answer_of(*arguments: object) -> dict[str, Any]:
    result = run(*arguments, "--json")
    assert result.exit_code == 0, result.stderr
    answer: dict[str, Any] = json.loads(result.stdout)
    return answer


def fails(result: Result, *words: str) -> None:
    assert result.exit_code == options.BAD_INPUT, result
    assert result.stderr.startswith("tokenflex: ")
    assert "Traceback" not in result.stderr
    for word in words:
        assert word in result.stderr


@dataclass(frozen=True)
class Case:
    """The demo's logs, and what the vendor would state of them."""

    demo: DemoFirm
    sessions: pl.DataFrame
    folder: Path

    @property
    def zones(self) -> list[str]:
        return [f"--timezone={server}={zone}" for server, zone in self.demo.servers.items()]

    @property
    def rates(self) -> list[object]:
        return ["--rates", self.demo.rates_path]

    @property
    def users(self) -> Path:
        return self.demo.folder / "users.csv"

    @property
    def logs(self) -> list[object]:
        return ["--logs", self.demo.folder / "logs"]

    def charges(self, rule: tf.Rule, users: tf.UserZones | None = None) -> pl.DataFrame:
        return tf.charge(
            self.sessions,
            rule=rule,
            rates=tf.Rates.read(self.demo.rates_path),
            servers=self.demo.servers,
            users=users,
            problems=tf.Problems(),
        )

    def by_session(self, name: str, rule: tf.Rule, users: tf.UserZones | None = None) -> Path:
        """A statement of sessions, in a file."""
        due = self.charges(rule, users).group_by("session").agg(pl.col("tokens").sum())
        written = sessions_csv(self.sessions, dict(due.iter_rows()), self.demo.servers)
        return self._write(name, written)

    def by_day(self, name: str, rule: tf.Rule) -> Path:
        """A statement of products' tokens by day, in a file."""
        days = self.charges(rule).group_by("product", "usage_date", maintain_order=True).agg(pl.col("tokens").sum())
        rows = [
            {
                **vendor.DAILY,
                "usageDate": f"{row['usage_date']} 00:00:00",
                "productLineCode": row["product"],
                "productName": "",
                "tokensConsumed": str(row["tokens"]),
            }
            for row in days.iter_rows(named=True)
        ]
        return self._write(name, vendor.table(vendor.DAILY_COLUMNS, rows).encode())

    def _write(self, name: str, content: bytes) -> Path:
        path = self.folder / name
        path.write_bytes(content)
        return path


def sessions_csv(sessions: pl.DataFrame, due: dict[int, Decimal], servers: dict[str, str]) -> bytes:
    rows = []
    for number, row in enumerate(sessions.iter_rows(named=True)):
        start, offset, ahead = vendor.local(row["start"], servers[row["server"]])
        rows.append(
            {
                "usageDate": start[:10],
                "productLineCode": row["product"],
                "userName": row["user"],
                "sessionStartDate": start,
                "sessionEndDate": f"{(row['end'] + ahead):%Y-%m-%dT%H:%M:%S}",
                "licenseServerTimeZoneOffset": offset,
                "licenseServerName": row["server"],
                "usageCategory": "DESKTOP_PRODUCT",
                "tokensConsumed": str(due.get(number) or 0),
            }
        )
    return vendor.sessions_csv(*rows)


@pytest.fixture(scope="module")
def case(demo_firm: DemoFirm, tmp_path_factory: pytest.TempPathFactory) -> Case:
    log = tf.read_flexlm(demo_firm.folder / "logs", timezone=demo_firm.servers)
    sessions = tf.pair(log.events, packages=log.packages, problems=tf.Problems())
    last = sessions["start"].max()
    ended = sessions.with_columns(pl.col("end").fill_null(last))
    return Case(demo_firm, ended, tmp_path_factory.mktemp("statements"))


def rules_of(answer: dict[str, Any]) -> list[tf.Rule]:
    return [tf.Rule.from_dict(said) for said in (answer["rule"], *(one["rule"] for one in answer["not_told_apart"]))]


def test_a_statement_of_sessions_is_enough(case: Case, tmp_path: Path) -> None:
    statement = case.by_session("sessions.csv", RULE)
    saved, out = tmp_path / "rule.toml", tmp_path / "deciding.csv"
    given = [statement, *case.zones, *case.rates]
    result = run(*given, "--save-rule", saved, "--out", out)
    assert result.exit_code == 0, result.stderr
    for words in (
        "The rule that fits best: day of the server, renewed, from 5 min, whole contract",
        "off by 0 of",
        "compared session by session",
        "cannot be told apart from it on these data",
        "Runners-up",
        "min_duration_seconds = 300",
        "speak for the best, 0 for the runner-up, 0 for neither",
        "users' days were not tried",
        "no_rate",
        f"rule written to {saved}",
    ):
        assert words in result.stdout
    # Paths are not wrapped, so that they can be copied.
    assert max(len(line) for line in result.stdout.splitlines() if " written to " not in line) <= 100
    assert tf.Rule.read(saved) == RULE
    # The figures and the deciding units are those of the verb.
    answer = answer_of(*given)
    stated = tf.read_statement(statement, timezone=case.demo.servers)
    found = tf.infer_rule(
        None,
        stated,
        rates=tf.Rates.read(case.demo.rates_path),
        servers=case.demo.servers,
        problems=tf.Problems(),
    )
    best = found.fits.row(0, named=True)
    for name in ("matched", "missing", "extra", "differing"):
        assert answer[name] == best[name]
    assert answer["fits"]
    assert Decimal(answer["tokens_stated"]) == best["tokens_stated"]
    assert rules_of(answer) == found.equals
    written = pl.read_csv(out)
    assert written.height == found.deciding.height == len(answer["deciding"]) == sum(answer["speaks_for"].values())
    assert written["session"].to_list() == found.deciding["session"].to_list()


def test_runners_up_are_distinct_and_say_something_else(case: Case) -> None:
    answer = answer_of(case.by_session("distinct.csv", RULE), *case.zones, *case.rates)
    names = ("matched", "missing", "extra", "differing", "token_error", "tokens_computed")
    figures = [tuple(row[name] for name in names) for row in answer["runners_up"]]
    assert len(set(figures)) == len(figures) == 5
    errors = [Decimal(row["token_error"]) for row in answer["runners_up"]]
    assert errors == sorted(errors)
    assert {row["rule_id"] for row in answer["runners_up"]}.isdisjoint(rule.rule_id for rule in rules_of(answer))
    # The first of them is the one that the deciding units are about.
    gap = sum(abs(Decimal(row["stated"]) - Decimal(row["runner_up"])) for row in answer["deciding"])
    assert gap == errors[0]


def test_a_statement_by_day_with_logs(case: Case) -> None:
    given = [case.by_day("daily.csv", RULE), *case.logs, *case.zones, *case.rates]
    answer = answer_of(*given, "--users", case.users)
    assert answer["level"] == "day"
    assert RULE in rules_of(answer)
    assert Decimal(answer["token_error"]) == 0
    assert "unreadable_line" in {problem["code"] for problem in answer["problems"]}
    shown = run(*given).stdout
    assert "compared by product and date" in shown
    assert "unreadable_line" in shown


def test_the_statement_of_sessions_with_logs(case: Case) -> None:
    answer = answer_of(case.by_session("both.csv", RULE), *case.logs, *case.zones, *case.rates)
    assert answer["level"] == "session"
    assert RULE in rules_of(answer)


def test_the_days_of_users(case: Case) -> None:
    rule = tf.Rule(window="day", zone="user")
    users = tf.UserZones.read(case.users)
    answer = answer_of(case.by_session("users.csv", rule, users), *case.zones, *case.rates, "--users", case.users)
    assert rule in rules_of(answer)
    lacking = sorted(set(case.sessions["user"].cast(pl.String)) - set(users.zones))
    [note] = answer["not_tried"]
    assert note.startswith(f"{len(lacking)} of ")
    assert lacking[0] in note


def test_servers_without_a_name_have_the_one_zone(tmp_path: Path) -> None:
    statement, rates = tmp_path / "export.csv", tmp_path / "rates.csv"
    rates.write_text("product,tokens,effective_from\nACD,7,\n")
    # From 20:00 to 02:00 in Los Angeles: two days there, and one in UTC.
    rows = [
        {
            **vendor.SESSION,
            "licenseServerName": "",
            "usageDate": f"2018-03-{day:02}",
            "sessionStartDate": f"2018-03-{day:02}T20:00:00",
            "sessionEndDate": f"2018-03-{day + 1:02}T02:00:00",
            "tokensConsumed": "14",
        }
        for day in (1, 3, 5)
    ]
    statement.write_bytes(vendor.sessions_csv(*rows))
    answer = answer_of(statement, "--timezone", "America/Los_Angeles", "--rates", rates)
    assert tf.Rule(window="day", zone="America/Los_Angeles") in rules_of(answer)
    assert Decimal(answer["token_error"]) == 0
    assert Decimal(answer["runners_up"][0]["token_error"]) == 21


def test_data_that_decide_nothing(tmp_path: Path) -> None:
    statement, rates = tmp_path / "export.csv", tmp_path / "rates.csv"
    rates.write_text("product,tokens,effective_from\nACD,7,\n")
    statement.write_bytes(vendor.sessions_csv(vendor.SESSION))
    result = run(statement, "--rates", rates)
    assert result.exit_code == 0, result.stderr
    assert "these data decide nothing" in result.stdout
    assert "and 18 more" in result.stdout
    assert "servers' days were not tried" in result.stdout
    assert "Deciding units" not in result.stdout


def test_no_rule_fits(case: Case, tmp_path: Path) -> None:
    other = replace(tf.Rule(window="rolling"), length=timedelta(hours=3))
    given = [case.by_session("other.csv", other), *case.zones, *case.rates]
    saved = tmp_path / "rule.toml"
    result = run(*given)
    assert result.exit_code == 0, result.stderr
    assert "No rule fits. The best: " in result.stdout
    assert "a greater --tolerance" in result.stdout
    assert "As a file for --rule" not in result.stdout
    assert not answer_of(*given)["fits"]
    fails(run(*given, "--save-rule", saved), "not written, since no rule fits within --tolerance 0.1")
    assert not saved.exists()
    wide = run(*given, "--save-rule", saved, "--tolerance", "1", "--quiet")
    assert (wide.exit_code, wide.stdout) == (0, "")
    assert tf.Rule.read(saved).to_dict() == answer_of(*given)["rule"]


def test_rates_of_another_contract_are_told_of(case: Case, tmp_path: Path) -> None:
    rates = tmp_path / "rates.csv"
    tf.Rates.read(case.demo.rates_path).frame.with_columns(pl.col("tokens") * 2).write_csv(rates)
    result = run(case.by_session("rates.csv", RULE), *case.zones, "--rates", rates, "--show", 0)
    assert "No rule fits" in result.stdout
    assert "constant_factor" in result.stdout
    assert "0.5 times the tokens" in result.stdout
    assert "Deciding units" not in result.stdout


def test_only_so_many_of_each_side_are_shown(case: Case) -> None:
    given = [case.by_session("some.csv", RULE), *case.zones, *case.rates]
    deciding = answer_of(*given)["deciding"]
    assert len(deciding) > 1
    shown = run(*given, "--show", 1).stdout
    assert f"and {len(deciding) - 1:,} more: --show shows more" in shown
    assert sum(row["start"][:19] in shown for row in deciding) == 1


def test_rates_that_are_missing_come_as_a_template(case: Case) -> None:
    result = run(case.by_session("template.csv", RULE), *case.zones)
    fails(result, "--rates is missing")
    products = case.sessions["product"].cast(pl.String).unique().sort().to_list()
    assert result.stdout.splitlines() == ["product,tokens,effective_from", *(f"{product},," for product in products)]


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["--server", "mad"], ["--server goes with --logs"]),
        (["--save-rule", "rule.json"], ["--save-rule rule.json", ".toml"]),
        (["--save-rule", "nowhere/rule.toml"], ["there is no folder nowhere"]),
        (["--out", "deciding.txt"], [".parquet or .csv"]),
        (["--tolerance", "much"], ["tolerance is 'much'", "no number"]),
        (["--tolerance", "1.5"], ["lie in 0 to 1"]),
        (["--users", "nowhere.csv"], ["nowhere.csv"]),
        (["--rates", "nowhere.csv"], ["nowhere.csv"]),
    ],
)
def test_what_is_wrong_is_said(case: Case, more: list[str], words: list[str]) -> None:
    fails(run(case.by_session("wrong.csv", RULE), *case.zones, *case.rates, *more), *words)


def test_files_that_do_not_belong_together_are_told(case: Case, tmp_path: Path) -> None:
    daily = case.by_day("alone.csv", RULE)
    fails(run(daily, *case.zones, *case.rates), "tokens by day without any times", "--logs")
    fails(run(daily, *case.logs, *case.rates), "local times without a zone", "Give --timezone")
    earlier = tmp_path / "earlier.csv"
    earlier.write_bytes(vendor.sessions_csv(vendor.SESSION))
    fails(run(earlier, *case.logs, *case.zones, *case.rates), "no day in common", "2018-03-02")
    fails(run(tmp_path / "nowhere.csv", *case.rates), "there is no file")
    fails(run(case.demo.logs[0], *case.rates), "none of the vendor's usage exports")
    empty = tmp_path / "empty.log"
    empty.write_text("6:00:00 (lmgrd) TIMESTAMP 7/14/2026\n")
    given = [daily, "--logs", empty, "--server", "mad", "--timezone", "Europe/Madrid", *case.rates]
    fails(run(*given), "no checkouts in the files of --logs")


def test_users_who_moved_take_two_statements(case: Case, tmp_path: Path) -> None:
    users = tmp_path / "users.csv"
    users.write_text("user,zone,valid_from,valid_to\nana,Europe/Madrid,,2026-01-01\nana,Asia/Seoul,2026-01-01,\n")
    result = run(case.by_session("moved.csv", RULE), *case.zones, *case.rates, "--users", users)
    fails(result, "users.csv: 'ana' has a zone for a time only", "without valid_from and valid_to")
