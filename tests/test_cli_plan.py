"""`tokenflex plan`: from charges, logs and scenarios, on the demo's firm."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
import pytest
from typer.testing import CliRunner, Result

import tokenflex as tf
from tokenflex import cli, tables
from tokenflex.commands import options
from tokenflex.planning.weeks import weeks_of

if TYPE_CHECKING:
    from pathlib import Path

    from tokenflex.demo import DemoFirm

MONDAY = date(2026, 1, 5)
ONE_DAY = timedelta(days=1)
TERM = """years = 2
zone = "Europe/Madrid"
step = 1000
overage_price = "3.5"
[[prices]]
from_tokens = 0
unit_price = 3
[[prices]]
from_tokens = 40000
unit_price = "2.8"
"""
PACKS = """overage_price = "3.5"
[[packs]]
tokens = 500
unit_price = 3
[[packs]]
tokens = 5000
unit_price = "2.8"
"""


def run(*arguments: object) -> Result:
    return CliRunner().invoke(cli.app, ["plan", *map(str, arguments)], prog_name="tokenflex")


def shown(*arguments: object) -> str:
    result = run(*arguments)
    assert result.exit_code == 0, result.stderr
    assert max(len(line) for line in result.stdout.splitlines() if " written to " not in line) <= 100
    return result.stdout


def fails(result: Result, *words: str) -> None:
    assert result.exit_code == options.BAD_INPUT, result
    assert result.stderr.startswith("tokenflex: ")
    assert "Traceback" not in result.stderr
    for word in words:
        assert word in result.stderr


def charges_of(daily: list[float], first: date = MONDAY) -> pl.DataFrame:
    at = [
        datetime(day.year, day.month, day.day, 9, tzinfo=UTC)
        for day in (first + place * ONE_DAY for place in range(len(daily)))
    ]
    rows = {"charged_at": at, "tokens": [Decimal(str(tokens)) for tokens in daily]}
    return pl.DataFrame(rows, schema={"charged_at": tables.TIME, "tokens": tables.TOKENS})


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """Charges of ten weeks, offers and scenarios."""
    week = [70, 80, 90, 80, 60, 5, 0]
    charges_of([tokens + place % 3 for place in range(10) for tokens in week]).write_csv(tmp_path / "charges.csv")
    (tmp_path / "term.toml").write_text(TERM, encoding="utf-8")
    (tmp_path / "packs.toml").write_text(PACKS, encoding="utf-8")
    return tmp_path


def test_a_term_is_planned_from_charges(files: Path) -> None:
    contract, out = files / "contract.toml", files / "tried.csv"
    text = shown(files / "charges.csv", "--offer", files / "term.toml", "--save-contract", contract, "--out", out)
    for words in (
        "buy annual ",
        "from 2026-03-16 to 2028-03-15",
        "drawn from 8 whole weeks",
        "What to buy",
        "When to top",
    ):
        assert words in text
    answer = json.loads(run(files / "charges.csv", "--offer", files / "term.toml", "--json").stdout)
    assert answer["plan"]["purchase"] in text
    made = tf.Contract.read(contract)
    total = made.contract_tokens + sum(year.tokens for year in made.years)
    assert total == Decimal(answer["plan"]["tokens"])
    assert made == tf.Contract.from_dict(answer["contract"])
    tried = pl.read_csv(out)
    assert tried.filter(pl.col("is_chosen"))["expected_cost"][0] == pytest.approx(
        float(answer["plan"]["expected_cost"])
    )
    assert len(answer["curve"]) == tried["tokens"].n_unique()


def test_packs_are_planned_for_a_year_or_for_some_days(files: Path) -> None:
    source = [files / "charges.csv", "--offer", files / "packs.toml", "--scenarios", 50]
    year = json.loads(run(*source, "--json").stdout)
    assert (year["start"], year["end"]) == ("2026-03-16", "2027-03-15")
    more = json.loads(run(*source, "--growth", "50%", "--json").stdout)
    assert Decimal(more["plan"]["expected_cost"]) > Decimal(year["plan"]["expected_cost"])
    days = ["--start", "2026-06-01", "--days", 100, "--buy-on", "2026-06-01", "--buy-on", "2026-07-15"]
    some = json.loads(run(*source, *days, "--json").stdout)
    assert (some["start"], some["end"]) == ("2026-06-01", "2026-09-08")
    assert {row["day"] for row in some["purchases"]} <= {"2026-06-01", "2026-07-15"}
    assert "reorder" in {row["policy"] for row in year["curve"]}
    assert {row["policy"] for row in some["curve"]} == {"dates"}


def test_the_same_seed_says_the_same(files: Path) -> None:
    source = [files / "charges.csv", "--offer", files / "packs.toml", "--scenarios", 20, "--json"]
    assert run(*source).stdout == run(*source).stdout
    assert run(*source).stdout != run(*source, "--seed", 1).stdout


def test_scenarios_of_a_file_are_those_of_the_library(files: Path) -> None:
    paths = np.random.default_rng(1).integers(0, 50, (5, 90))
    table = pl.DataFrame(
        {
            "scenario": np.repeat(np.arange(5), 90),
            "day": [MONDAY + day * ONE_DAY for _ in range(5) for day in range(90)],
            "tokens": paths.ravel(),
        }
    )
    table.write_csv(files / "paths.csv")
    table.write_parquet(files / "paths.parquet")
    plan = tf.plan_purchase(paths, offer=tf.Offer.read(files / "packs.toml"), start=MONDAY)
    for name in ("paths.csv", "paths.parquet"):
        answer = json.loads(run("--paths", files / name, "--offer", files / "packs.toml", "--json").stdout)
        assert Decimal(answer["plan"]["expected_cost"]) == plan.expected_cost
    careful = json.loads(
        run("--paths", files / name, "--offer", files / "packs.toml", "--run-out-limit", "0%", "--json").stdout
    )
    assert careful["plan"]["run_out_chance"] == 0


def test_logs_are_planned_from_like_the_charges_of_them(demo_firm: DemoFirm, files: Path) -> None:
    zones = [f"--timezone={server}={zone}" for server, zone in demo_firm.servers.items()]
    terms = [*zones, "--rates", demo_firm.rates_path, "--rule", demo_firm.rule_path]
    plan = ["--offer", files / "packs.toml", "--scenarios", 20, "--json"]
    of_logs = json.loads(run(demo_firm.folder / "logs", *terms, *plan).stdout)
    charged = ["charge", str(demo_firm.folder / "logs"), *map(str, terms), "--out", str(files / "c.parquet"), "--quiet"]
    assert CliRunner().invoke(cli.app, charged).exit_code == 0
    of_charges = json.loads(run(files / "c.parquet", *plan).stdout)
    assert of_logs["problems"]
    assert {**of_logs, "problems": []} == {**of_charges, "problems": []}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["{charges}"], ["--offer is missing", "docs/plan-purchase.md"]),
        (["--offer", "{packs}"], ["one of the two"]),
        (["{charges}", "--paths", "{charges}", "--offer", "{packs}"], ["one of the two"]),
        (["{charges}", "--offer", "{term}", "--days", "9"], ["--days goes with packs"]),
        (["{charges}", "--offer", "{packs}", "--growth", "5"], ["--growth 5: give percent"]),
        (["{charges}", "--offer", "{packs}", "--growth", "x%"], ["--growth x%: give percent"]),
        (["{charges}", "--offer", "{packs}", "--growth", "-101%"], ["give percent"]),
        (["{charges}", "--offer", "{packs}", "--growth", "nan%"], ["give percent"]),
        (["{charges}", "--offer", "{packs}", "--start", "soon"], ["--start soon: give a date"]),
        (["{charges}", "--offer", "{packs}", "--buy-on", "1"], ["--buy-on 1: give a date"]),
        (["{charges}", "--offer", "{packs}", "--run-out-limit", "-1%"], ["--run-out-limit -1%"]),
        (["{charges}", "--offer", "{packs}", "--rates", "r.csv"], ["--rates goes with logs"]),
        (["{charges}", "--offer", "{packs}", "--save-contract", "c.txt"], ["ends in .toml or .json"]),
        (["{charges}", "--offer", "none.toml"], ["there is no offer none.toml"]),
        (["--paths", "{charges}", "--offer", "{packs}", "--growth", "5%"], ["--growth goes with logs or charges"]),
        (["--paths", "{charges}", "--offer", "{packs}"], ["'scenario' is missing"]),
        (["--paths", "{term}", "--offer", "{packs}"], [".parquet or .csv"]),
        (["--paths", "none.csv", "--offer", "{packs}"], ["none.csv"]),
    ],
)
def test_calls_that_make_no_sense_are_refused(files: Path, arguments: list[str], words: list[str]) -> None:
    names = {"charges": files / "charges.csv", "packs": files / "packs.toml", "term": files / "term.toml"}
    fails(run(*(each.format(**names) for each in arguments)), *words)


# Weeks of the past


def test_weeks_are_whole_and_begin_on_the_weekday_of_the_plan() -> None:
    daily = [float(place) for place in range(40)]
    weeks = weeks_of(charges_of(daily), zone="UTC", start=date(2026, 3, 4))
    assert (weeks.first, weeks.first.weekday()) == (date(2026, 1, 7), 2)
    # From the second day on, without the last: days 1 to 38.
    assert weeks.tokens.ravel().tolist() == [float(place) for place in range(2, 37)]
    assert weeks.last == weeks.first + 34 * ONE_DAY


def test_days_without_charges_are_days_without_use() -> None:
    charges = charges_of([1.0] * 40).filter(pl.col("charged_at").dt.date() != date(2026, 1, 20))
    weeks = weeks_of(charges, zone="UTC", start=MONDAY)
    assert weeks.tokens.sum() == weeks.tokens.size - 1


def test_scenarios_are_whole_weeks_that_grow_from_their_own_day() -> None:
    daily = [float(7 ** (place % 7)) for place in range(60)]
    start = date(2026, 4, 6)
    weeks = weeks_of(charges_of(daily), zone="UTC", start=start)
    plain = weeks.paths(20, start=start, days=18, growth=0, seed=1)
    assert plain.shape == (20, 18)
    assert (plain == plain[0]).all()
    assert plain[0].tolist() == [float(7 ** (place % 7)) for place in range(18)]
    grown = weeks.paths(200, start=start, days=7, growth=1.0, seed=1) / plain[0, :7]
    ages = np.unique(np.round(np.log2(grown) * 365.25, 6))
    possible = [(start - weeks.first).days - 7 * place for place in range(len(weeks.tokens))]
    assert set(ages.tolist()) == {float(age) for age in possible}


def test_too_little_of_the_past_is_refused() -> None:
    with pytest.raises(tf.ArgumentError, match=r"hold 3 whole weeks from Monday on, .* about 35 days"):
        weeks_of(charges_of([1.0] * 30), zone="UTC", start=MONDAY)
