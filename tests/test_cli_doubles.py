"""`tokenflex doubles`, on the demo's logs and on a statement with planted causes."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import TYPE_CHECKING

import polars as pl
import pytest
from typer.testing import CliRunner, Result

import planted_doubles as planted
import tokenflex as tf
from tokenflex import cli
from tokenflex.commands import options

if TYPE_CHECKING:
    from pathlib import Path

    from tokenflex.demo import DemoFirm


def run(*arguments: object) -> Result:
    return CliRunner().invoke(cli.app, [str(argument) for argument in arguments], prog_name="tokenflex")


def of_logs(demo_firm: DemoFirm, *more: object) -> list[object]:
    zones = [f"--timezone={server}={zone}" for server, zone in demo_firm.servers.items()]
    return ["doubles", demo_firm.folder / "logs", *zones, "--rates", demo_firm.rates_path, *more]


def test_the_logs_of_the_demo(demo_firm: DemoFirm, tmp_path: Path) -> None:
    out = tmp_path / "doubles.csv"
    result = run(*of_logs(demo_firm, "--users", demo_firm.users_path, "--out", out))
    assert result.exit_code == 0, result.stderr
    for words in (
        "were charged a second time",
        "server_midnight",
        "own_midnight",
        "identity",
        "(Asia/Seoul)",
        "not judged",
    ):
        assert words in result.stdout
    assert max(len(line) for line in result.stdout.splitlines()) <= 100
    told = run(*of_logs(demo_firm, "--users", demo_firm.users_path, "--json"))
    answer = json.loads(told.stdout)
    cases = pl.read_csv(out)
    assert sum(cause["cases"] for cause in answer["causes"]) == cases.height == len(answer["cases"])
    assert sum(Decimal(cause["tokens"]) for cause in answer["causes"]) == Decimal(str(round(cases["tokens"].sum(), 4)))
    assert cases["explanation"].null_count() == cases["remedy"].null_count() == 0
    log = tf.read_flexlm(demo_firm.folder / "logs", timezone=demo_firm.servers)
    sessions = tf.pair(log.events, packages=log.packages, problems=tf.Problems())
    found = tf.double_charges(
        sessions,
        users=tf.UserZones.read(demo_firm.users_path),
        rule=tf.TOKEN_FLEX,
        rates=tf.Rates.read(demo_firm.rates_path),
        servers=demo_firm.servers,
        problems=tf.Problems(),
    )
    assert found["cause"].cast(pl.String).to_list() == cases["cause"].to_list()


def test_a_statement_with_planted_causes(tmp_path: Path) -> None:
    made = planted.plant(3, 2)
    statement, users, rates, rule = (tmp_path / name for name in ("export.csv", "users.csv", "rates.csv", "rule.toml"))
    statement.write_bytes(made.statement())
    tf.UserZones(made.users).write(users)
    planted.RATES.frame.write_csv(rates)
    rule.write_text(planted.RULE.to_toml())
    zones = [f"--timezone={server}={zone}" for server, zone in planted.SERVERS.items()]
    result = run("doubles", statement, *zones, "--rates", rates, "--rule", rule, "--users", users, "--json")
    assert result.exit_code == 0, result.stderr
    counts = {cause["cause"]: cause["cases"] for cause in json.loads(result.stdout)["causes"]}
    # What takes logs, or the firm's word that two codes are one product, is not shown by a statement alone.
    wanted = {**made.counts, "unexplained": made.counts["reconnect"]}
    assert counts == {cause: count for cause, count in wanted.items() if cause not in ("reconnect", "variant")}
    same = tmp_path / "variants.csv"
    same.write_text("product,line\nACDX,ACD\n")
    given = ["doubles", statement, *zones, "--rates", rates, "--rule", rule, "--users", users, "--variants", same]
    told = run(*given, "--json")
    counts = {cause["cause"]: cause["cases"] for cause in json.loads(told.stdout)["causes"]}
    assert counts == {cause: count for cause, count in wanted.items() if cause != "reconnect"}
    same.write_text("from,to\nACDX,ACD\n")
    refused = run(*given)
    assert refused.exit_code == 2
    assert "column 'line' is missing" in refused.stderr


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ([], ["--users is missing", "infer_zones"]),
        (["--users", "nowhere.csv"], ["nowhere.csv"]),
        (["--users", "USERS", "--logs", "x"], ["--logs goes with a statement"]),
    ],
)
def test_what_is_missing_is_said(demo_firm: DemoFirm, more: list[str], words: list[str]) -> None:
    given = [str(demo_firm.users_path) if word == "USERS" else word for word in more]
    result = run(*of_logs(demo_firm, *given))
    assert result.exit_code == options.BAD_INPUT
    for word in words:
        assert word in result.stderr


def test_a_wrong_zone_is_told_with_its_file(demo_firm: DemoFirm, tmp_path: Path) -> None:
    users = tmp_path / "users.csv"
    users.write_text("user,zone\nana,Mars/Base\n")
    result = run(*of_logs(demo_firm, "--users", users))
    assert result.exit_code == options.BAD_INPUT
    assert "users.csv" in result.stderr
    assert "Mars/Base" in result.stderr
