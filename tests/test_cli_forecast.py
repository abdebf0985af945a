"""`tokenflex forecast`, on charges of a firm and on the logs of the demo."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest
from polars.testing import assert_frame_equal
from typer.testing import CliRunner, Result

import tokenflex as tf
from firms_to_forecast import PROCESSES, SITES, firm
from tokenflex import cli, tables
from tokenflex.commands import options

if TYPE_CHECKING:
    from pathlib import Path

    from tokenflex.demo import DemoFirm


def run(*arguments: object) -> Result:
    return CliRunner().invoke(cli.app, ["forecast", *(str(each) for each in arguments)], prog_name="tokenflex")


def text_of(*arguments: object) -> str:
    result = run(*arguments, "--model", "weekday")
    assert result.exit_code == 0, result.stderr
    assert max(len(line) for line in result.stdout.splitlines() if "written to" not in line) <= 100
    return result.stdout


def answer_of(*arguments: object) -> dict[str, Any]:
    result = run(*arguments, "--json", "--model", "weekday")
    assert result.exit_code == 0, result.stderr
    answer: dict[str, Any] = json.loads(result.stdout)
    return answer


def fails(result: Result, *words: str) -> None:
    assert result.exit_code == options.BAD_INPUT, result
    assert result.stderr.startswith("tokenflex: ")
    assert "Traceback" not in result.stderr
    for word in words:
        assert word in result.stderr


@pytest.fixture(scope="module")
def charges(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Charges of two sites in CSV, as `charge --out` writes them."""
    path = tmp_path_factory.mktemp("forecast") / "charges.csv"
    rows = firm(PROCESSES["weeks hang together"], 8, weeks=40, servers=tuple(SITES))
    noon = pl.col("usage_date").cast(pl.Datetime("us", "UTC")).dt.offset_by("12h")
    rows.with_columns(charged_at=noon).write_csv(path)
    return path


def expected(charges: Path, **more: Any) -> tf.Forecast:
    rows = pl.read_csv(charges, try_parse_dates=True)
    return tf.forecast(rows, **{"horizon": 90, "model": "weekday", "problems": tf.Problems(), **more})


def test_the_forecast_is_shown_with_its_months_and_its_past(charges: Path) -> None:
    shown = text_of(charges, "--by", "product", "--country", "ES")
    found = expected(charges, by="product", countries="ES")
    assert f"{round(found.days['mean'].sum()):,} tokens from 2025-10-13 to 2026-01-10" in shown
    for words in ("By month", "2025-11", "By product", "RVT", "How it would have done in the past", "seasonal_naive"):
        assert words in shown
    assert "Tried on the past for 70 days ahead" in shown


def test_what_makes_sums_unsure_is_shown(charges: Path) -> None:
    shown = text_of(charges, "--horizon", 365, "--country", "ES")
    assert "It looks 365 days ahead and knows 280" in shown
    assert "sums of 13 weeks" not in shown
    answer = answer_of(charges, "--horizon", 365)
    (doubt,) = answer["doubts"]
    assert "knows 280" in doubt
    assert answer["sum_coverage"] is None


def test_files_and_json_are_the_forecast(charges: Path, tmp_path: Path) -> None:
    out, paths = tmp_path / "days.csv", tmp_path / "paths.parquet"
    countries = ["--country", "mad-lic-01=ES", "--country", "chi-lic-01=US"]
    answer = answer_of(charges, "--by", "server", *countries, "--out", out, "--paths", paths, "--number", 20)
    found = expected(charges, by="server", countries={"mad-lic-01": "ES", "chi-lic-01": "US"})
    assert [row["mean"] for row in answer["days"]] == [str(mean) for mean in found.days["mean"]]
    assert answer["coverage"] == found.coverage
    written = pl.read_csv(out, try_parse_dates=True, schema_overrides=dict.fromkeys(found.days.columns[1:], pl.String))
    typed = written.with_columns(pl.col(found.days.columns[1:]).cast(tables.TOKENS))
    assert_frame_equal(typed, found.groups.rename({"group": "server"}))
    drawn = pl.read_parquet(paths)
    assert drawn.columns == ["scenario", "day", "tokens"]
    assert drawn["tokens"].cast(pl.Float64).to_numpy() == pytest.approx(found.paths(20).ravel(), abs=1e-4)
    assert float(answer["total"]["low"]) < float(answer["total"]["mean"]) < float(answer["total"]["high"])


def test_sites_holidays_and_scenarios_are_read_from_files(charges: Path, tmp_path: Path) -> None:
    files = {
        "sites.csv": "server,site\nmad-lic-01,Madrid\nchi-lic-01,Chicago\n",
        "holidays.csv": "date,country\n2025-11-12,ES\n",
        "scenarios.toml": '[[projects]]\nname = "bridge"\nstart = 2025-11-03\nend = "2025-11-28"\nsite = "Madrid"\n'
        'country = "ES"\nstaffing = { RVT = 10 }\n[[head_counts]]\nstart = 2025-12-01\nfactor = "1.5"\n',
        "rates.csv": "product,tokens\nRVT,10\n",
    }
    for name, text in files.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    arguments = [charges, "--by", "site", "--sites", tmp_path / "sites.csv", "--country", "Madrid=ES"]
    arguments += ["--country", "Chicago=US", "--holidays", tmp_path / "holidays.csv"]
    arguments += ["--scenarios", tmp_path / "scenarios.toml", "--rates", tmp_path / "rates.csv"]
    days = {row["date"]: float(row["scenario"]) for row in answer_of(*arguments)["days"]}
    assert days["2025-11-11"] == 100
    assert days["2025-11-12"] == 0
    assert days["2025-12-02"] > 300
    assert "of it scenarios" in text_of(*arguments)


def test_logs_are_charged_first(demo_firm: DemoFirm) -> None:
    zones = [f"--timezone={server}={zone}" for server, zone in demo_firm.servers.items()]
    logs = [demo_firm.folder / "logs", *zones, "--rates", demo_firm.rates_path, "--rule", demo_firm.rule_path]
    answer = answer_of(*logs, "--horizon", 7, "--until", "2025-11-30", "--incomplete", "keep")
    assert answer["start"] == "2025-12-01"
    assert len(answer["days"]) == 7
    assert "no_rate" in {row["code"] for row in answer["problems"]}


def test_an_end_that_collapses_is_told_with_what_to_do(charges: Path, tmp_path: Path) -> None:
    broken = tmp_path / "charges.csv"
    rows = pl.read_csv(charges)
    late = pl.col("usage_date") > "2025-09-20"
    rows.with_columns(tokens=pl.when(late).then(pl.col("tokens") // 8).otherwise("tokens")).write_csv(broken)
    fails(run(broken), "missing data until something shows otherwise", "2025-10-12", "--incomplete cut")
    shown = text_of(broken, "--incomplete", "cut")
    assert "Cut off as not whole: 2025-09-2" in shown


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--horizon", "0"], "1 to 2,192"),
        (["--by", "user"], "product or server or site"),
        (["--model", "best"], "auto or weekday"),
        (["--incomplete", "no"], "refuse or cut or keep"),
        (["--country", "ES", "--country", "mad-lic-01=US"], "one country for all"),
        (["--country", "Atlantis"], "ISO code"),
        (["--scenarios", "{0}"], "no TOML"),
        (["--scenarios", "nowhere.toml"], "nowhere.toml"),
        (["--sites", "{0}", "--by", "site"], "'site' is missing"),
        (["--holidays", "{0}"], "'date' is missing"),
        (["--paths", "paths.txt"], ".parquet or .csv"),
        (["--rule", "flex"], "goes with logs"),
        (["--until", "soon"], "2026-01-31"),
    ],
)
def test_a_bad_option_ends_with_a_line(charges: Path, arguments: list[str], words: str) -> None:
    fails(run(charges, *(each.format(charges) for each in arguments)), words)


def test_unknown_fields_of_scenarios_are_named(charges: Path, tmp_path: Path) -> None:
    path = tmp_path / "scenarios.toml"
    for text, words in (
        ('[[projects]]\nname = "a"\nstart = 2026-01-01\npeople = 3\n', "people"),
        ("[[plans]]\nstart = 2026-01-01\n", "plans is unknown"),
        ("[[head_counts]]\nstart = 2026-01-01\nfactor = 1.5\n", "factor has to be"),
    ):
        path.write_text(text, encoding="utf-8")
        fails(run(charges, "--scenarios", path), words)
