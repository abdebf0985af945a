"""`tokenflex audit` and `tokenflex rerun`, on the demo."""

from __future__ import annotations

import json
import re
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest
from typer.testing import CliRunner, Result

import tokenflex as tf
from tokenflex import cli

if TYPE_CHECKING:
    from tokenflex.demo import DemoFirm

PAGE = Path(__file__).parents[1] / "docs" / "monthly-audit.md"
RENAMED = {"missing_increment": "family", "below_minimum": "minimum_duration", "manual_duplicate": "manual_entry"}


def run(*arguments: object) -> Result:
    return CliRunner().invoke(cli.app, [str(argument) for argument in arguments], prog_name="tokenflex")


def of_demo(made: DemoFirm, *more: object) -> list[object]:
    zones = [f"--timezone={server}={zone}" for server, zone in made.servers.items()]
    terms = ["--rates", made.rates_path, "--rule", made.rule_path, "--statement", made.statement_path]
    return ["audit", made.folder / "logs", *zones, *terms, *more]


def test_the_demo_shows_each_planted_cause_and_the_pack_runs_again(demo_firm: DemoFirm, tmp_path: Path) -> None:
    out, pack = tmp_path / "audit.parquet", tmp_path / "dispute.zip"
    result = run(*of_demo(demo_firm, "--out", out, "--dispute", pack, "--price", "1.85", "--json"))
    assert result.exit_code == 0, result.stderr
    answer = json.loads(result.stdout)
    rows = pl.read_parquet(out)
    counts = dict(rows.drop_nulls("cause").group_by(pl.col("cause").cast(pl.String)).len().iter_rows())
    for cause, count in demo_firm.facts.vendor_mistakes.items():
        # Whoever is logged in two spellings is charged twice by the vendor's own rule, too.
        assert counts[RENAMED.get(cause, cause)] == count or (cause == "identity" and counts[cause] > count)
    planted = {RENAMED.get(cause, cause) for cause in demo_firm.facts.vendor_mistakes}
    assert set(counts) == planted | {"no_row", "no_rate", "server_not_reporting"}
    told = {row["cause"]: row for row in answer["causes"] if row["cause"]}
    assert {cause: row["rows"] for cause, row in told.items()} == counts
    for row in answer["causes"]:
        assert Decimal(row["cost"]) == Decimal(row["difference"]) * Decimal("1.85")
    for side in ("ours", "vendors"):
        assert sum(Decimal(part[side]) for part in answer["outcomes"].values()) == rows[side].sum()
    assert answer["outcomes"]["unexplained"]["lines"] == 0
    assert answer["dispute"]["fingerprint"] == tf.read_dispute(pack).fingerprint
    again = run("rerun", pack)
    assert again.exit_code == 0, again.stdout
    assert "the same to the byte" in again.stdout


def test_the_page_shows_what_the_commands_print(demo_firm: DemoFirm, tmp_path: Path) -> None:
    blocks = re.findall(r"```text\n(.*?)```", PAGE.read_text(encoding="utf-8"), flags=re.DOTALL)
    pack = tmp_path / "dispute.zip"
    shown = run(*of_demo(demo_firm, "--price", "1.85", "--show", 1, "--dispute", pack))
    assert shown.exit_code == 0, shown.stderr
    printed = [line.rstrip() for line in shown.stdout.splitlines()]
    printed += [line.rstrip() for line in run("rerun", pack).stdout.splitlines()]
    listed = [line.split()[0] for line in blocks.pop(2).splitlines()[1:]]
    names = {name.partition("/")[0] + "/" if "/" in name else name for name in tf.read_dispute(pack).files}
    assert set(listed) == names
    assert len(blocks) == 3
    for block in blocks:
        for line in block.splitlines():
            assert line.rstrip() in printed, line


def test_a_file_of_csv_has_all_lines(demo_firm: DemoFirm, tmp_path: Path) -> None:
    out = tmp_path / "audit.csv"
    result = run(*of_demo(demo_firm, "--out", out, "--show", 0))
    assert result.exit_code == 0, result.stderr
    rows = pl.read_csv(out)
    assert f"{rows.height:,} lines written to {out}" in result.stdout
    assert rows["causes"].dtype == pl.String


@pytest.mark.parametrize("level", ["day", "month"])
def test_other_levels(demo_firm: DemoFirm, level: str) -> None:
    result = run(*of_demo(demo_firm, "--level", level, "--json"))
    assert result.exit_code == 0, result.stderr
    answer = json.loads(result.stdout)
    stated = tf.read_statement(demo_firm.statement_path)["tokens"].sum()
    assert answer["level"] == level
    assert sum(Decimal(part["vendors"]) for part in answer["outcomes"].values()) == stated


def test_a_contract_is_held_against_totals(demo_firm: DemoFirm, tmp_path: Path) -> None:
    snapshot: dict[str, Any] = {
        "contractNumber": "1",
        "contractYears": [
            {"contractYear": 1, "startDate": "2025-09-01", "endDate": "2026-08-31", "consumedTokens": 50000}
        ],
    }
    path = tmp_path / "contract.json"
    path.write_text(json.dumps(snapshot))
    if tf.inspect(path).verb != "read_contract":
        pytest.fail("the test's contract is none")
    given = of_demo(demo_firm, "--json")
    given[given.index(demo_firm.statement_path)] = path
    result = run(*given)
    assert result.exit_code == 0, result.stderr
    assert json.loads(result.stdout)["level"] == "month"


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["--price", "much"], "--price much"),
        (["--price", "-1"], "--price -1"),
        (["--price", "NaN"], "--price NaN"),
        (["--cause", "rate"], "--cause goes with --dispute"),
        (["--cause", "theft", "--dispute", "p.zip"], "--cause theft"),
        (["--dispute", "no/folder/p.zip"], "there is no folder"),
        (["--level", "year"], "--level year"),
        (["--tolerance", "some"], "tolerance"),
        (["--out", "audit.xls"], "--out audit.xls"),
        (["--aliases", "nowhere.csv"], "nowhere.csv"),
    ],
)
def test_what_is_wrong_is_said_in_a_line(demo_firm: DemoFirm, more: list[str], words: str) -> None:
    result = run(*of_demo(demo_firm, *more))
    assert result.exit_code == 2
    assert words in result.stderr
    assert "Traceback" not in result.stderr


def test_a_statement_is_asked_for_and_no_pack_is_overwritten(demo_firm: DemoFirm, tmp_path: Path) -> None:
    given = of_demo(demo_firm)
    place = given.index("--statement")
    result = run(*given[:place], *given[place + 2 :])
    assert result.exit_code == 2
    assert "--statement is missing" in result.stderr
    kept = tmp_path / "p.zip"
    kept.write_bytes(b"mine")
    result = run(*of_demo(demo_firm, "--dispute", kept))
    assert result.exit_code == 2
    assert kept.read_bytes() == b"mine"
    result = run("rerun", kept)
    assert result.exit_code == 2
    assert "cannot be read as an evidence pack" in result.stderr
    result = run("rerun", tmp_path / "none.zip", "--out", kept)
    assert result.exit_code == 2
    assert "there already" in result.stderr


def test_a_month_later(demo_firm: DemoFirm, tmp_path: Path) -> None:
    """One case is restated, another one given back by an adjustment, and the rest stands as it was."""
    kept, changes = tmp_path / "audit.parquet", tmp_path / "changes.csv"
    assert run(*of_demo(demo_firm, "--out", kept)).exit_code == 0
    rows = pl.read_parquet(kept)
    lines = demo_firm.statement_path.read_text(encoding="utf-8").splitlines()
    cases = rows.filter(pl.col("cause") == "two_servers").select("user", "product", "usage_date", "statement")
    restated, returned = (cases.row(place, named=True) for place in (0, 1))
    del lines[tf.read_statement(demo_firm.statement_path)["line"][restated["statement"]] - 1]
    given_back = {
        "usageDate": "2025-12-03", "transactionDate": "2025-12-03", "usageCategory": "MANUAL_ADJUSTMENT",
        "tokensConsumed": "-7.5", "userName": returned["user"], "productLineCode": returned["product"],
    }  # fmt: skip
    lines.append(",".join(given_back.get(name, "") for name in lines[0].split(",")))
    later = tmp_path / "statement.csv"
    later.write_text("\n".join(lines) + "\n", encoding="utf-8")
    given = of_demo(demo_firm, "--since", kept, "--changes", changes)
    given[given.index(demo_firm.statement_path)] = later
    result = run(*given)
    assert result.exit_code == 0, result.stderr
    assert "1 correction of the vendor since then, 1 of which match" in result.stdout
    found = pl.read_csv(changes)
    counts = dict(found["change"].value_counts().iter_rows())
    still = rows.filter(~pl.col("status").is_in(["matched", "not_comparable"])).height - 2
    assert counts == {
        "settled": rows.filter(pl.col("status") == "matched").height,
        "not_comparable": rows.filter(pl.col("status") == "not_comparable").height,
        "still_open": still, "corrected_by_vendor": 1, "corrected_by_adjustment": 1, "correction": 1,
    }  # fmt: skip
    corrected = found.filter(pl.col("change") == "corrected_by_adjustment")
    assert corrected["user"].to_list() == [returned["user"]]
    told = json.loads(run(*given, "--json").stdout)["since"]
    assert {row["change"]: row["rows"] for row in told} == counts


def test_what_is_wrong_with_since_is_said(demo_firm: DemoFirm, tmp_path: Path) -> None:
    (tmp_path / "no.parquet").write_bytes(b"PAR1")
    for more, words in (
        (["--since", tmp_path / "none.parquet"], "there is no such file"),
        (["--since", tmp_path / "no.parquet"], "what --out wrote"),
        (["--changes", tmp_path / "c.csv"], "--changes goes with --since"),
    ):
        result = run(*of_demo(demo_firm, *more))
        assert result.exit_code == 2
        assert words in result.stderr
