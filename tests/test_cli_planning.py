"""`tokenflex estimate`, `tokenflex compare` and `tokenflex sensitivity` on the demo's logs."""

from __future__ import annotations

import importlib
import json
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

import polars as pl
import pytest
from typer.testing import CliRunner, Result

import tokenflex as tf
from tokenflex import cli
from tokenflex.commands import options

if TYPE_CHECKING:
    from tokenflex.demo import DemoFirm


def run(demo_firm: DemoFirm, command: str, *more: object, rates: bool = True) -> Result:
    zones = [f"--timezone={server}={zone}" for server, zone in demo_firm.servers.items()]
    terms = ["--rule", demo_firm.rule_path, *(["--rates", demo_firm.rates_path] if rates else [])]
    given = [command, demo_firm.folder / "logs", *zones, *terms, *more]
    return CliRunner().invoke(cli.app, [str(argument) for argument in given], prog_name="tokenflex")


@pytest.fixture(scope="module")
def charged(demo_firm: DemoFirm) -> tuple[tf.FlexlmLog, pl.DataFrame, pl.DataFrame]:
    """The demo's log, its persons' sessions, and what `charge` charges for them."""
    log = tf.read_flexlm(demo_firm.folder / "logs", timezone=demo_firm.servers)
    problems = tf.Problems()
    sessions = tf.Identity().apply(tf.pair(log.events, packages=log.packages, problems=problems), problems=problems)
    rates = tf.Rates.read(demo_firm.rates_path)
    rule = tf.Rule.read(demo_firm.rule_path)
    charges = tf.charge(sessions, rule=rule, rates=rates, servers=demo_firm.servers, problems=problems)
    return log, sessions, charges


def test_the_estimate_shows_its_range_and_what_makes_it(
    demo_firm: DemoFirm, charged: tuple[tf.FlexlmLog, pl.DataFrame, pl.DataFrame], tmp_path: Path
) -> None:
    out = tmp_path / "uncertain.csv"
    result = run(demo_firm, "estimate", "--token-price", "2.85", "--out", out)
    assert result.exit_code == 0, result.stderr
    for words in ("What is uncertain", "another rule", "not ended", "ended by the server", "INHSMP", "mad-lic-01"):
        assert words in result.stdout
    assert "2 days of a server without lines, for which the base has nothing" in " ".join(result.stdout.split())
    assert max(len(line) for line in result.stdout.splitlines() if str(out) not in line) <= 100
    written = pl.read_csv(out)
    assert set(written["source"]) == {"rule", "open_sessions", "ended_by_server", "missing_days", "unknown_products"}
    charges = charged[2]
    # The median of the demo's last rates stands for the product without one.
    unrated = charges["tokens"].null_count()
    assert unrated > 0
    base = charges["tokens"].sum() + 8 * unrated
    assert f"{base:,.4f}".rstrip("0").rstrip(".") + " tokens, between" in result.stdout


def test_the_estimate_as_json_is_that_of_the_verb(
    demo_firm: DemoFirm, charged: tuple[tf.FlexlmLog, pl.DataFrame, pl.DataFrame]
) -> None:
    log, sessions, _ = charged
    rolling = tf.Rule(window="rolling")
    rule_path = demo_firm.folder / "rolling.toml"
    rule_path.write_text(rolling.to_toml(), encoding="utf-8")
    options_given = ("--scale-missing-days", "--open-sessions", "launch", "--other-rule", rule_path, "--json")
    result = run(demo_firm, "estimate", *options_given)
    rule_path.unlink()
    assert result.exit_code == 0, result.stderr
    told = json.loads(result.stdout)
    found = tf.estimate(
        sessions,
        rule=tf.Rule.read(demo_firm.rule_path),
        rates=tf.Rates.read(demo_firm.rates_path),
        servers=demo_firm.servers,
        rules=[rolling],
        identity=tf.Identity(),
        open_sessions="launch",
        coverage=log.coverage,
        scale_missing_days=True,
        problems=tf.Problems(),
    )
    assert [Decimal(told[name]) for name in ("low", "base", "high")] == [found.low, found.base, found.high]
    assert Decimal(told["filled"]) == found.filled > 0
    assert len(told["contributions"]) == found.contributions.height
    assert told["cost"] is None


def test_the_comparison_shows_five_ways_and_who_should_change(demo_firm: DemoFirm, tmp_path: Path) -> None:
    out = tmp_path / "users.csv"
    given = ("--price-list", demo_firm.price_list_path, "--token-price", 3, "--out", out)
    result = run(demo_firm, "compare", *given)
    assert result.exit_code == 0, result.stderr
    for words in (
        "licenses, for the peak",
        "the cheapest mix costs least",
        "99.5 days",
        "should change",
        "25 licenses of",
    ):
        assert words in " ".join(result.stdout.split())
    assert max(len(line) for line in result.stdout.splitlines() if str(out) not in line) <= 100
    users = pl.read_csv(out)
    assert users["best"].str.contains("building collection").any()
    # Who has what was advised keeps it.
    current = tmp_path / "current.csv"
    has = users.select("user", subscription=pl.col("best").str.split("; ")).explode("subscription").drop_nulls()
    has.filter(pl.col("subscription") != "").write_csv(current)
    again = run(demo_firm, "compare", *given[:4], "--current", current)
    assert again.exit_code == 0, again.stderr
    assert "Nobody should change what they have." in again.stdout


def test_the_comparison_as_json_is_that_of_the_verb(
    demo_firm: DemoFirm, charged: tuple[tf.FlexlmLog, pl.DataFrame, pl.DataFrame]
) -> None:
    given = ("--price-list", demo_firm.price_list_path, "--token-price", "2.85", "--hysteresis", "0.5", "--json")
    result = run(demo_firm, "compare", *given)
    assert result.exit_code == 0, result.stderr
    told = json.loads(result.stdout)
    found = tf.compare_models(
        charged[1],
        rule=tf.Rule.read(demo_firm.rule_path),
        rates=tf.Rates.read(demo_firm.rates_path),
        servers=demo_firm.servers,
        token_price="2.85",  # noqa: S106 - money
        price_list=tf.PriceList.read(demo_firm.price_list_path),
        hysteresis="0.5",
        problems=tf.Problems(),
    )
    assert told["cheapest"] == found.cheapest == "mix"
    costs = {row["model"]: row["cost"] for row in told["models"]}
    assert {model: Decimal(cost) for model, cost in costs.items() if cost is not None} == {
        model: cost for model, cost in found.models.select("model", "cost").iter_rows() if cost is not None
    }
    assert len(told["users"]) == found.users.height


@pytest.fixture(scope="module")
def announced(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("rates") / "rates-2027.csv"
    path.write_text("product,tokens,effective_from\nACD,8,2027-01-01\nRVT,11,2027-01-01\n", encoding="utf-8")
    return path


def test_changes_are_bars_that_fit_the_width(
    demo_firm: DemoFirm, announced: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    width = 80
    monkeypatch.setenv("COLUMNS", str(width))
    out = tmp_path / "changes.csv"
    given = ("--token-price", 3, "--new-rates", announced, "--harvest", "1h,4h", "--activity", demo_firm.activity_path)
    ways = ("--price-list", demo_firm.price_list_path)
    result = run(demo_firm, "sensitivity", *given, *ways, "--out", out)
    assert result.exit_code == 0, result.stderr
    lines = [line.rstrip() for line in result.stdout.splitlines()]
    assert max(len(line) for line in lines if str(demo_firm.folder) not in line and str(out) not in line) <= width
    first = lines.index("What changes the cost, the most first") + 2
    bars = lines[first : first + 15]
    assert bars[0].startswith("all rates ±10 %")
    assert bars[0].count("█") == max(bar.count("█") for bar in bars) > 10
    for words in ("persons ±10 %", "mad-lic-01 in UTC", "new rates", "idle licenses back after 4 h"):
        assert any(bar.startswith(words) for bar in bars), words
    for words in ("80 % of the draws cost", "the cheapest mix costs least, under each", "Where tokens cost the same"):
        assert words in " ".join(lines)
    written = pl.read_csv(out)
    assert set(written["change"]) == {"rate", "new_rates", "price", "head_count", "harvest", "server_zone"}
    assert written["reason"].null_count() == written.height


def test_changes_as_json_are_those_of_the_verb(
    demo_firm: DemoFirm, charged: tuple[tf.FlexlmLog, pl.DataFrame, pl.DataFrame], announced: Path
) -> None:
    changes = ("--rate-change=-5%,20%", "--price-change", "0%", "--head-count", "25%", "--seed", 7, "--harvest", "1h")
    zones = ("--zone", "Europe/Madrid", "--zone", "UTC+8")
    terms = ("--offer", demo_firm.offer_path, "--new-rates", announced)
    result = run(demo_firm, "sensitivity", *terms, *changes, *zones, "--json")
    assert result.exit_code == 0, result.stderr
    told = json.loads(result.stdout)
    found = tf.sensitivity(
        charged[1],
        rule=tf.Rule.read(demo_firm.rule_path),
        rates=tf.Rates.read(demo_firm.rates_path),
        servers=demo_firm.servers,
        token_price=tf.Offer.read(demo_firm.offer_path),
        new_rates=tf.Rates.read(announced),
        rate_change=[-5, 20],
        price_change=None,
        head_count=25,
        seed=7,
        harvest=[timedelta(hours=1)],
        zones=["Europe/Madrid", "UTC+8"],
        problems=tf.Problems(),
    )
    assert found.tokens == charged[2]["tokens"].sum() == Decimal(told["tokens"])
    assert Decimal(told["cost"]) == found.cost
    assert [row["cost"] for row in told["changes"]] == [
        None if cost is None else f"{cost:f}" for cost in found.changes["cost"]
    ]
    (harvest,) = [row for row in told["changes"] if row["change"] == "harvest"]
    assert harvest["tokens"] is None
    assert harvest["reason"].startswith("nothing tells when a license was idle")


def test_changing_nothing_makes_no_difference(demo_firm: DemoFirm) -> None:
    nothing = ("--rate-change", "0%", "--price-change", "0%", "--head-count", "0%", "--rule", "flex")
    result = run(demo_firm, "sensitivity", "--token-price", 3, *nothing)
    assert result.exit_code == 0, result.stderr
    assert "Nothing that was changed makes a difference." in result.stdout
    assert "Not computed: server zone: windows of 24 hours have no zone" in " ".join(result.stdout.split())


def test_what_is_missing_is_said(demo_firm: DemoFirm, tmp_path: Path) -> None:
    wrong = tmp_path / "current.csv"
    wrong.write_text("user\nana\n", encoding="utf-8")
    offers = ("--price-list", demo_firm.price_list_path)
    for command, more, words in [
        ("compare", (), "--price-list is missing"),
        ("compare", offers, "--token-price is missing"),
        ("compare", (*offers, "--token-price", "3", "--current", wrong), "column 'subscription' is missing"),
        ("compare", (*offers, "--token-price", "three"), "token_price is 'three', but has to be a number"),
        ("compare", ("--price-list", tmp_path / "none.toml", "--token-price", "3"), "there is no price list"),
        ("estimate", ("--token-price", "-3"), "token_price is '-3', but has to be 0 or more"),
        ("estimate", ("--other-rule", "mine"), "not a preset"),
        ("sensitivity", (), "give --token-price or --offer, one of the two"),
        ("sensitivity", ("--token-price", "3", "--offer", demo_firm.offer_path), "one of the two"),
        ("sensitivity", ("--token-price", "3", "--rate-change", "10"), "--rate-change 10: give percent"),
        ("sensitivity", ("--token-price", "3", "--rate-change", "ten%"), "rate_change is 'ten'"),
        ("sensitivity", ("--token-price", "3", "--head-count=-120%,10%"), "head_count is -120 %"),
        ("sensitivity", ("--token-price", "3", "--harvest", "soon"), "--harvest soon: write minutes"),
        ("sensitivity", ("--token-price", "3", "--new-rates", wrong), "--new-rates"),
        ("sensitivity", ("--token-price", "3", "--zone", "Europe/Atlantis"), "Europe/Atlantis"),
    ]:
        result = run(demo_firm, command, *more)
        assert result.exit_code == options.BAD_INPUT, result.stdout
        assert words in result.stderr
    assert "--rates is missing" in run(demo_firm, "estimate", rates=False).stderr


def test_the_pictures_are_those_of_the_demo(demo_firm: DemoFirm, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = Path(__file__).parents[1] / "docs" / "pictures"
    monkeypatch.syspath_prepend(folder)
    drawn = importlib.import_module("planning").of_demo(demo_firm)
    assert set(drawn) == {"estimate.svg", "sensitivity.svg", "break-even.svg"}
    for name, picture in drawn.items():
        assert (folder / name).read_text(encoding="utf-8") == picture, "renew it: python docs/pictures/make.py"
        assert ET.fromstring(picture).tag.endswith("svg")  # noqa: S314 - our own
