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

if TYPE_CHECKING:
    from collections.abc import Sequence
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


def charges_of(daily: Sequence[float], first: date = MONDAY) -> pl.DataFrame:
    at = [
        datetime(day.year, day.month, day.day, 9, tzinfo=UTC)
        for day in (first + place * ONE_DAY for place in range(len(daily)))
    ]
    rows = {"charged_at": at, "tokens": [Decimal(str(tokens)) for tokens in daily]}
    return pl.DataFrame(rows, schema={"charged_at": tables.TIME, "tokens": tables.TOKENS})


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """Charges of fifteen weeks, and offers."""
    week = [70, 80, 90, 80, 60, 5, 0]
    charges_of([tokens + place % 3 for place in range(15) for tokens in week]).write_csv(tmp_path / "charges.csv")
    (tmp_path / "term.toml").write_text(TERM, encoding="utf-8")
    (tmp_path / "packs.toml").write_text(PACKS, encoding="utf-8")
    return tmp_path


def test_a_term_is_planned_from_charges(files: Path) -> None:
    contract, out = files / "contract.toml", files / "tried.csv"
    text = shown(files / "charges.csv", "--offer", files / "term.toml", "--save-contract", contract, "--out", out)
    for words in (
        "buy annual ",
        "from 2026-04-20 to 2028-04-19",
        "1,000 paths of a forecast by 5,880 tokens in the 105 days since 2026-01-05, model weekday",
        "What to buy",
        "When to top",
    ):
        assert words in " ".join(text.split())
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
    source = [files / "charges.csv", "--offer", files / "packs.toml", "--number", 50]
    year = json.loads(run(*source, "--json").stdout)
    assert (year["start"], year["end"]) == ("2026-04-20", "2027-04-19")
    more = json.loads(run(*source, "--growth", "50%", "--json").stdout)
    assert Decimal(more["plan"]["expected_cost"]) > Decimal(year["plan"]["expected_cost"])
    days = ["--start", "2026-06-01", "--days", 100, "--buy-on", "2026-06-01", "--buy-on", "2026-07-15"]
    some = json.loads(run(*source, *days, "--json").stdout)
    assert (some["start"], some["end"]) == ("2026-06-01", "2026-09-08")
    assert {row["day"] for row in some["purchases"]} <= {"2026-06-01", "2026-07-15"}
    assert "reorder" in {row["policy"] for row in year["curve"]}
    assert {row["policy"] for row in some["curve"]} == {"dates"}


def test_the_same_seed_says_the_same(files: Path) -> None:
    source = [files / "charges.csv", "--offer", files / "packs.toml", "--number", 20, "--json"]
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
    whole = ["--until", "2025-11-30", "--incomplete", "keep"]
    plan = [*whole, "--offer", files / "packs.toml", "--number", 20, "--json"]
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
        (["{charges}", "--offer", "{packs}", "--rule", "flex"], ["--rule goes with logs"]),
        (["{charges}", "--offer", "{packs}", "--save-contract", "c.txt"], ["ends in .toml or .json"]),
        (["{charges}", "--offer", "none.toml"], ["there is no offer none.toml"]),
        (["--paths", "{charges}", "--offer", "{packs}", "--growth", "5%"], ["--growth goes with logs or charges"]),
        (["--paths", "{charges}", "--offer", "{packs}", "--country", "ES"], ["--country goes with logs or charges"]),
        (["{charges}", "--offer", "{packs}", "--model", "best"], ["auto or weekday"]),
        (["{charges}", "--offer", "{packs}", "--start", "2026-04-19"], ["the forecast begins on 2026-04-20"]),
        (["{charges}", "--offer", "{term}", "--start", "2030-04-22"], ["2,192 days", "begin the plan on 2030-04-20"]),
        (["{charges}", "--offer", "{packs}", "--days", "2193"], ["2,192 days"]),
        (["{charges}", "--offer", "{packs}", "--until", "2026-03-01"], ["56 days", "91 would be enough"]),
        (["--paths", "{charges}", "--offer", "{packs}"], ["'scenario' is missing"]),
        (["--paths", "{term}", "--offer", "{packs}"], [".parquet or .csv"]),
        (["--paths", "none.csv", "--offer", "{packs}"], ["none.csv"]),
    ],
)
def test_calls_that_make_no_sense_are_refused(files: Path, arguments: list[str], words: list[str]) -> None:
    names = {"charges": files / "charges.csv", "packs": files / "packs.toml", "term": files / "term.toml"}
    fails(run(*(each.format(**names) for each in arguments)), *words)


# With tokens held and top-ups

HELD = """number = "7"
zone = "Europe/Madrid"
contract_tokens = 2000
overage_price = "3.5"
[[years]]
year = 1
start = 2025-09-01
end = 2026-08-31
tokens = 20000
[[years]]
year = 2
start = 2026-09-01
end = 2027-08-31
tokens = 15000
[[prices]]
from_tokens = 0
unit_price = 3
"""
TOP_UPS = """[[top_up_prices]]
from_tokens = 1000
unit_price = "2.9"
"""


@pytest.fixture
def held(files: Path) -> Path:
    """A contract in its first year, and an offer of top-ups."""
    (files / "contract.toml").write_text(HELD, encoding="utf-8")
    (files / "more.toml").write_text(TERM.replace("3.5", "9") + TOP_UPS, encoding="utf-8")
    return files


def test_what_is_left_of_a_contract_is_planned_with(held: Path) -> None:
    source = [held / "charges.csv", "--offer", held / "more.toml", "--contract", held / "contract.toml"]
    answer = json.loads(run(*source, "--number", 50, "--json").stdout)
    assert (answer["start"], answer["end"]) == ("2026-04-20", "2027-08-31")
    charges = pl.read_csv(held / "charges.csv", try_parse_dates=True, schema_overrides={"tokens": tables.TOKENS})
    found = tf.forecast(charges, horizon=499, model="weekday")
    ledger = tf.Contract.read(held / "contract.toml").settle(charges)
    plan = tf.plan_purchase(found, offer=tf.Offer.read(held / "more.toml"), held=ledger, n=50)
    assert answer["plan"]["expected_cost"] == str(plan.expected_cost)
    assert [row["tokens"] for row in answer["held"]] == ["14120.0000", "15000.0000", "2000.0000"]
    text = shown(*source, "--number", 50, "--save-contract", held / "next.toml")
    assert "held already: 31,120 tokens in 3 pools, the first of which ends on 2026-08-31" in text
    assert "A top-up of 1,000 tokens for 2,900.00 USD is bought on the day" in text
    assert tf.Contract.read(held / "next.toml").years == ledger.contract.years


def test_scenarios_of_a_file_begin_with_what_charges_left(held: Path) -> None:
    words = ["forecast", held / "charges.csv", "--model", "weekday", "--horizon", 499, "--number", 50, "--quiet"]
    assert CliRunner().invoke(cli.app, [*map(str, words), "--paths", str(held / "paths.parquet")]).exit_code == 0
    terms = ["--offer", held / "more.toml", "--contract", held / "contract.toml"]
    one = json.loads(run(held / "charges.csv", *terms, "--number", 50, "--json").stdout)
    two = json.loads(run(held / "charges.csv", "--paths", held / "paths.parquet", *terms, "--json").stdout)
    assert {**two, "scenarios": ""} == {**one, "scenarios": ""}
    whole = json.loads(run("--paths", held / "paths.parquet", *terms, "--json").stdout)
    assert [row["tokens"] for row in whole["held"]] == ["20000.0000", "15000.0000", "2000.0000"]


def test_packs_that_a_team_has_left_are_planned_with(files: Path) -> None:
    (files / "team.toml").write_text(
        'number = "t"\nzone = "UTC"\n[[packs]]\nid = "old"\ntokens = 6000\npurchased = 2026-01-01\n', encoding="utf-8"
    )
    source = [files / "charges.csv", "--offer", files / "packs.toml", "--number", 20, "--json"]
    bare, with_packs = (
        json.loads(run(*source).stdout),
        json.loads(run(*source, "--contract", files / "team.toml").stdout),
    )
    assert with_packs["held"] == [
        {"pool": "old", "kind": "pack", "tokens": "120.0000", "start": "2026-04-20", "end": "2026-12-31"}
    ]
    assert Decimal(with_packs["plan"]["expected_cost"]) < Decimal(bare["plan"]["expected_cost"])


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["{charges}", "--statement", "{charges}"], ["--statement goes with --contract"]),
        (
            ["{charges}", "--contract", "{held}", "--start", "2026-05-01"],
            ["from 2026-04-20 on is not known"],
        ),
        (["{charges}", "--contract", "none.toml"], ["none.toml"]),
        (["{charges}", "--contract", "{held}", "--offer", "{packs}"], ["held is Token Flex, and the offer is Flex"]),
    ],
)
def test_what_is_held_has_to_fit(held: Path, arguments: list[str], words: list[str]) -> None:
    names = {"charges": "charges.csv", "packs": "packs.toml", "held": "contract.toml"}
    places = {name: held / file for name, file in names.items()}
    offer = [] if "--offer" in arguments else ["--offer", str(held / "more.toml")]
    fails(run(*(each.format(**places) for each in arguments), *offer), *words)


# From a forecast


def test_what_forecast_writes_is_what_plan_takes(files: Path) -> None:
    """Forecasting and planning in two steps is planning in one."""
    paths, source = files / "paths.parquet", files / "charges.csv"
    terms = ["--growth", "20%", "--holidays", files / "free.csv", "--number", 30, "--seed", 3]
    (files / "free.csv").write_text("date\n2026-05-01\n2026-12-25\n", encoding="utf-8")
    words = ["forecast", source, *terms, "--model", "weekday", "--horizon", 731, "--paths", paths, "--quiet"]
    assert CliRunner().invoke(cli.app, list(map(str, words))).exit_code == 0
    two = json.loads(run("--paths", paths, "--offer", files / "term.toml", "--json").stdout)
    one = json.loads(run(source, *terms, "--offer", files / "term.toml", "--json").stdout)
    assert {**two, "scenarios": ""} == {**one, "scenarios": ""}
    assert len(one["curve"]) > 10
    later = run("--paths", paths, "--offer", files / "packs.toml", "--start", "2027-04-20", "--json")
    assert json.loads(later.stdout)["start"] == "2027-04-20"
    fails(run("--paths", paths, "--offer", files / "packs.toml", "--start", "2026-04-19"), "from 2026-04-20 to ")
    fails(run("--paths", paths, "--offer", files / "term.toml", "--start", "2026-04-21"), "forecast 732 days")


def test_a_plan_of_the_command_line_is_that_of_the_library(files: Path) -> None:
    charges = pl.read_csv(files / "charges.csv", try_parse_dates=True, schema_overrides={"tokens": tables.TOKENS})
    found = tf.forecast(charges, horizon=407, model="weekday")
    offer = tf.Offer.read(files / "packs.toml")
    plan = tf.plan_purchase(found, offer=offer, start=date(2026, 6, 1), n=20)
    answer = json.loads(
        run(
            files / "charges.csv", "--offer", files / "packs.toml", "--start", "2026-06-01", "--number", 20, "--json"
        ).stdout
    )
    assert answer["plan"]["expected_cost"] == str(plan.expected_cost)
    assert (answer["start"], answer["end"]) == ("2026-06-01", "2027-05-31")


def test_a_past_whose_end_is_cut_off_is_forecast_from_there(files: Path) -> None:
    week = [70, 80, 90, 80, 60, 5, 2]
    daily = [tokens + place % 3 for place in range(16) for tokens in week]
    daily[-10:] = [1] * 10
    # A collapse is one of charges: twenty a day.
    rows = charges_of(daily)
    pl.concat([rows.with_columns(pl.col("tokens") / 20).cast({"tokens": tables.TOKENS})] * 20).write_csv(
        files / "c.csv"
    )
    fails(run(files / "c.csv", "--offer", files / "packs.toml"), "missing data until something shows otherwise")
    cut = run(files / "c.csv", "--offer", files / "packs.toml", "--incomplete", "cut", "--number", 20, "--json")
    answer = json.loads(cut.stdout)
    assert answer["start"] < "2026-04-27"
    first = date.fromisoformat(answer["start"])
    assert answer["end"] == (first + 364 * ONE_DAY).isoformat()


def test_growth_is_a_head_count_that_grows_evenly(files: Path) -> None:
    source = [files / "charges.csv", "--horizon", 365, "--model", "weekday", "--json"]

    def means(*more: object) -> list[float]:
        words = ["forecast", *map(str, [*source, *more])]
        return [float(row["mean"]) for row in json.loads(CliRunner().invoke(cli.app, words).stdout)["days"]]

    flat, grown = means(), means("--growth", "20%")
    for day, month in ((0, 0), (29, 0), (30, 1), (364, 11)):
        assert grown[day] / flat[day] == pytest.approx(1.2 ** ((month + 0.5) / 12), rel=1e-4)
    assert sum(grown) / sum(flat) == pytest.approx(1.2**0.5, rel=0.01)


def test_too_little_of_the_past_is_refused_with_what_would_be_enough(files: Path) -> None:
    charges_of([1.0] * 90).write_csv(files / "short.csv")
    fails(run(files / "short.csv", "--offer", files / "packs.toml"), "90 days of history", "91 would be enough")
    charges_of([1.0] * 91).write_csv(files / "enough.csv")
    assert run(files / "enough.csv", "--offer", files / "packs.toml", "--number", 5).exit_code == 0
    charges_of([]).write_csv(files / "none.csv")
    fails(run(files / "none.csv", "--offer", files / "packs.toml"), "no charges with a date")
