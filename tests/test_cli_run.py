"""`tokenflex run`, `report`, `demo --report`, completion, help, and the answers for machines."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest
from typer.testing import CliRunner, Result

import tokenflex as tf
from tokenflex import cli
from tokenflex.commands import demo
from tokenflex.commands.config import NAME, SAID, Config
from tokenflex.commands.month import last_whole_month
from tokenflex.commands.options import BAD_INPUT, LOOK_AT

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tokenflex.demo import DemoFirm

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "command-line.md"


def run(*arguments: object, **environment: str) -> Result:
    words = [str(argument) for argument in arguments]
    return CliRunner().invoke(cli.app, words, prog_name="tokenflex", env=environment or None)


def fails(result: Result, *parts: str) -> None:
    assert result.exit_code == BAD_INPUT, result
    assert "Traceback" not in result.stderr
    for part in parts:
        assert part in result.stderr


@pytest.fixture(scope="module")
def home(demo_firm: DemoFirm, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder of a user who went the road: files, `init`, blanks filled in."""
    folder = tmp_path_factory.mktemp("user") / "the firm"
    shutil.copytree(demo_firm.folder, folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert run("init", "--quiet").exit_code == 0
        text = (folder / NAME).read_text()
        for server, zone in demo_firm.servers.items():
            text = text.replace(f'"{server}" = ""', f'"{server}" = "{zone}"')
        (folder / NAME).write_text(text)
        yield folder


@pytest.fixture(scope="module")
def october(home: Path) -> tuple[Path, dict[str, Any], Result]:
    """The month that is done unless another is asked for."""
    result = run("run", "--json", "--dispute")
    return home, json.loads(result.stdout), result


@pytest.fixture(scope="module")
def charges(home: Path, demo_firm: DemoFirm) -> pl.DataFrame:
    log = tf.read_flexlm(home / "logs", timezone=demo_firm.servers)
    sessions = tf.pair(log.events, packages=log.packages, problems=tf.Problems())
    rule, rates = tf.Rule.read(home / "rule.toml"), tf.Rates.read(home / "rates.csv")
    return tf.charge(sessions, rule=rule, rates=rates, servers=demo_firm.servers, problems=tf.Problems())


def test_the_last_whole_month_is_done(october: tuple[Path, dict[str, Any], Result], charges: pl.DataFrame) -> None:
    """The logs end on the 28th of November."""
    home, done, result = october
    assert result.stderr == ""
    of_month = charges.filter(pl.col("usage_date").is_between(date(2025, 10, 1), date(2025, 10, 31)))
    assert (done["start"], done["end"]) == ("2025-10-01", "2025-10-31")
    assert (done["charges"], Decimal(done["tokens"])) == (of_month.height, of_month["tokens"].sum())
    written = pl.read_parquet(home / "months" / "2025-10" / "charges.parquet")
    assert written["tokens"].equals(of_month["tokens"])
    (used,) = [row for row in done["answers"] if row["key"] == "tokens"]
    assert Decimal(used["value"]) == of_month["tokens"].sum()


@pytest.mark.parametrize(
    ("days", "seen", "first"),
    [
        (["2026-01-30"], "2026-01-31", "2026-01-01"),
        (["2026-01-05", "2026-02-03"], "2026-02-03", "2026-01-01"),
        (["2026-01-05", "2026-02-28"], "2026-02-28", "2026-02-01"),
        (["2026-01-05", "2026-02-20"], "2026-03-01", "2026-02-01"),
        (["2025-11-05", "2026-02-03"], "2026-02-03", "2025-11-01"),
        (["2026-02-03"], "2026-02-03", "2026-02-01"),
    ],
)
def test_the_last_month_is_the_one_whose_last_day_is_seen(days: list[str], seen: str, first: str) -> None:
    found = last_whole_month(pl.Series(days).str.to_date(), date.fromisoformat(seen))
    assert found is not None
    assert found[0] == date.fromisoformat(first)
    assert (found[1] + timedelta(days=1)).day == 1
    assert last_whole_month(pl.Series([None], dtype=pl.Date), date.fromisoformat(seen)) is None


def test_all_files_of_the_month_are_there(october: tuple[Path, dict[str, Any], Result]) -> None:
    home, done, _ = october
    folder = home / "months" / "2025-10"
    assert {name: Path(path).name for name, path in done["files"].items()} == {
        "page": "report.html", "workbook": "report.xlsx", "tables": "parquet", "charges": "charges.parquet",
        "audit": "audit.parquet", "dispute": "dispute.zip",
    }  # fmt: skip
    assert "<html" in (folder / "report.html").read_text(encoding="utf-8")[:200]
    assert {path.stem for path in (folder / "parquet").glob("*.parquet")} >= set(done["tables"])
    # Nothing is left of files that were being written.
    assert not [path for path in folder.iterdir() if path.name.startswith(".")]
    assert run("rerun", folder / "dispute.zip").exit_code == 0


def test_the_audit_of_the_month_is_that_of_tokenflex_audit(october: tuple[Path, dict[str, Any], Result]) -> None:
    home, done, _ = october
    assert run("audit", "--out", "whole.parquet", "--quiet").exit_code == 0
    whole = pl.read_parquet(home / "whole.parquet")
    expected = whole.filter(pl.col("usage_date").is_between(date(2025, 10, 1), date(2025, 10, 31)))
    written = pl.read_parquet(done["files"]["audit"])
    assert 0 < written.height < whole.height
    assert written["difference"].sum() == expected["difference"].sum()
    assert written["cause"].cast(pl.String).to_list() == expected["cause"].cast(pl.String).to_list()


def test_what_somebody_has_to_look_at_ends_with_1(october: tuple[Path, dict[str, Any], Result]) -> None:
    _, done, result = october
    assert result.exit_code == LOOK_AT
    (look_at,) = done["look_at"]
    assert re.fullmatch(r"charge: \d+ charges of unknown tokens: no rate for INHSMP", look_at)


def test_what_lacks_an_input_is_skipped_and_told_with_its_option(october: tuple[Path, dict[str, Any], Result]) -> None:
    _, done, _ = october
    steps = {step["name"]: step for step in done["steps"]}
    assert [steps[name]["state"] for name in ("charge", "audit", "ledger")] == ["done"] * 3
    assert steps["rates"]["state"] == "skipped"
    assert "--new-rates" in steps["rates"]["said"]


@pytest.fixture
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two sessions, rates, and nothing else."""
    (tmp_path / "debug.log").write_text(
        "12:00:00 (lmgrd) FlexNet Licensing (v11.18.0.0) started on mad-lic-01 (IBM PC) (7/13/2026)\n"
        '12:00:05 (adskflex) OUT: "87545ACD_2022_0F" ana@pc1  \n'
        '12:30:00 (adskflex) OUT: "87561RVT_2022_0F" bob@pc2  \n'
        '12:31:00 (adskflex) IN: "87545ACD_2022_0F" ana@pc1  \n'
        "18:00:00 (lmgrd) TIMESTAMP 7/13/2026\n"
        ' 0:30:00 (adskflex) IN: "87561RVT_2022_0F" bob@pc2  \n'
        " 6:00:00 (lmgrd) TIMESTAMP 7/14/2026\n"
    )
    (tmp_path / "rates.csv").write_text("product,tokens\nACD,7\nRVT,10\n")
    (tmp_path / NAME).write_text('logs = "debug.log"\nrates = "rates.csv"\n[servers]\nmad-lic-01 = "Europe/Madrid"\n')
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def fast(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Pages take seconds: those of tests about something else are not drawn, but noted."""
    written: list[str] = []

    def write(_: tf.Report, path: Path, **__: object) -> None:
        written.append(path.name)
        path.write_text("") if path.suffix else path.mkdir()

    monkeypatch.setattr(tf.Report, "write", write)
    return written


def test_with_logs_and_rates_alone_all_is_well(small: Path, fast: list[str]) -> None:
    result = run("run")
    assert result.exit_code == 0, result.stderr
    assert "27 tokens in 3 charges, 2026-07-01 to 2026-07-31" in result.stdout
    for words in ("--statement", "--contract", "--users", "skipped", "Written:"):
        assert words in result.stdout
    # Arguments of Python are options here.
    assert not re.search(r"\b(?:users|statement|contract)=", result.stdout)
    assert "To look at" not in result.stdout
    assert fast == ["report.html", "report.xlsx", "parquet"]
    assert max(len(line) for line in result.stdout.splitlines()) <= 100
    assert (small / "months" / "2026-07" / "charges.parquet").exists()


@pytest.mark.usefixtures("fast")
def test_which_month_and_where(small: Path) -> None:
    assert run("run", "--month", "2026-07", "--out", "a b", "--format", "csv", "-q").exit_code == 0
    assert sorted(path.name for path in (small / "a b" / "2026-07").iterdir()) == [
        "charges.csv", "csv", "report.html", "report.xlsx",
    ]  # fmt: skip
    (small / NAME).write_text('out = "of the file"\n' + (small / NAME).read_text())
    assert run("run", "--all", "-q").exit_code == 0
    assert (small / "of the file" / "all").is_dir()
    fails(run("run", "--month", "2026-06"), "nothing was charged in 2026-06", "2026-07-13 to 2026-07-14")
    fails(run("run", "--month", "June"), "--month June: write a month as 2026-01")
    fails(run("run", "--month", "2026-07", "--all"), "exclude each other")
    fails(run("run", "--format", "xml"), "--format xml: it has to be parquet or csv")


@pytest.mark.usefixtures("fast")
def test_a_month_is_done_again_in_place(small: Path) -> None:
    for _ in range(2):
        assert run("run", "-q").exit_code == 0
    (small / "months" / "2026-07" / "parquet" / "old.parquet").write_text("")
    assert run("run", "-q").exit_code == 0
    assert list((small / "months" / "2026-07" / "parquet").iterdir()) == []


@pytest.mark.usefixtures("fast")
def test_tokens_that_are_owed_and_lines_without_cause_are_to_look_at(small: Path) -> None:
    contract = tf.Contract(number="team 7", packs=[tf.Pack(id="a", tokens=20, purchased="2026-07-01")])
    contract.write(small / "contract.toml")
    (small / "statement.csv").write_text(
        "usageDate,productLineCode,userName,machineName,serverName,sessionStartDate,sessionEndDate,usageCategory,"
        "tokensConsumed\n"
        "2026-07-13,ACD,ana,pc1,mad-lic-01,2026-07-13T12:00:05,2026-07-13T12:31:00,DESKTOP_PRODUCT,99\n"
        "2026-07-13,RVT,bob,pc2,mad-lic-01,2026-07-13T12:30:00,2026-07-14T00:30:00,DESKTOP_PRODUCT,20\n"
    )
    result = run("run", "--contract", "contract.toml", "--statement", "statement.csv", "--json", "--dispute")
    assert result.exit_code == LOOK_AT, result.stderr
    done = json.loads(result.stdout)
    assert "ledger: 7 tokens that no pool could give are owed" in done["look_at"]
    assert any(each.startswith("audit: 1 line of 92 tokens that no cause explains") for each in done["look_at"])
    assert Path(done["files"]["dispute"]).exists()


@pytest.mark.usefixtures("fast")
def test_a_part_that_fails_is_told_and_the_others_are_done(small: Path) -> None:
    """A statement of another firm has nothing in common with the logs."""
    (small / "statement.csv").write_text(
        "usageDate,productLineCode,userName,sessionStartDate,sessionEndDate,usageCategory,tokensConsumed\n"
        "2019-01-01,ACD,zoe,2019-01-01T12:00:05,2019-01-01T12:31:00,DESKTOP_PRODUCT,7\n"
    )
    result = run("run", "--statement", "statement.csv", "--json")
    assert result.exit_code == LOOK_AT
    done = json.loads(result.stdout)
    assert done["look_at"][0].startswith("audit: ")
    assert {step["name"]: step["state"] for step in done["steps"]}["audit"] == "failed"
    assert done["charges"] == 3


def test_a_page_that_cannot_be_drawn_is_skipped_with_what_it_takes(
    small: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "altair", None)
    monkeypatch.setitem(sys.modules, "xlsxwriter", None)
    result = run("run", "--json")
    assert result.exit_code == 0, result.stderr
    done = json.loads(result.stdout)
    skipped = {step["name"]: step["said"] for step in done["steps"] if step["name"] in ("page", "workbook")}
    assert set(skipped) == {"page", "workbook"}
    assert all("pip install 'tokenflex[report]'" in said for said in skipped.values())
    assert set(done["files"]) == {"tables", "charges"}
    assert (small / "months" / "2026-07" / "parquet").is_dir()


def test_report_writes_what_its_name_says(small: Path) -> None:
    result = run("report", "--out", "july.xlsx", "--period", "2026-07")
    assert result.exit_code == 0, result.stderr
    assert "27 tokens in 3 charges" in result.stdout
    assert "The report was written to july.xlsx" in result.stdout
    assert (small / "july.xlsx").read_bytes().startswith(b"PK")
    done = json.loads(run("report", "--out", "a folder", "--format", "csv", "--json").stdout)
    assert done["files"] == {"report": "a folder"}
    assert {path.stem for path in (small / "a folder").glob("*.csv")} >= set(done["tables"])
    part = json.loads(run("report", "--out", "part", "--period", "2026-07-14:2026-07-20", "--json").stdout)
    assert (part["start"], part["tokens"]) == ("2026-07-14", "10.0000")
    fails(run("report", "--out", "part"), "part is there already")
    fails(run("report"), "--out is missing")
    fails(run("report", "--out", "july.pdf"), "ends in .html or .xlsx")
    fails(run("report", "--out", "x/july.xlsx"), "there is no folder x")
    fails(run("report", "--out", "july.xlsx", "--period", "July"), "write a month as 2026-01")


@pytest.fixture
def written_firm(demo_firm: DemoFirm, monkeypatch: pytest.MonkeyPatch) -> None:
    """The demo finds its firm written."""
    monkeypatch.setattr(demo, "write_logs", lambda *_, **__: demo_firm)


@pytest.mark.usefixtures("written_firm")
def test_the_demo_writes_its_report(tmp_path: Path, fast: list[str]) -> None:
    result = run("demo", "--report", tmp_path / "out.html")
    assert result.exit_code == 0, result.stderr
    assert fast == ["out.html"]
    for words in ("made up by this program", "Vendor agreement", "What to do this week", "The report was written to"):
        assert words in result.stdout
    fails(run("demo", "--report", tmp_path / "out.pdf"), "ends in .html or .xlsx")


KEYS = re.compile(r"^\| `([a-z-]+)`[^|]*\| ((?:`\w+`(?:, )?)+) \|", re.MULTILINE)


def documented() -> dict[str, set[str]]:
    return {name: set(re.findall(r"`(\w+)`", keys)) for name, keys in KEYS.findall(PAGE.read_text(encoding="utf-8"))}


@pytest.mark.usefixtures("written_firm")
def test_answers_for_machines_have_the_keys_of_the_page(
    small: Path, october: tuple[Path, dict[str, Any], Result], fast: list[str]
) -> None:
    home, month, _ = october
    days = [f"0,{date(2026, 1, 1) + timedelta(days=day)},1" for day in range(3 * 365 + 1)]
    (small / "paths.csv").write_text("scenario,day,tokens\n" + "\n".join(days) + "\n")
    (small / "offer.toml").write_text('overage_price = "4"\nyears = 3\n[[prices]]\nfrom_tokens = 0\nunit_price = "3"\n')
    tf.Contract(number="7", packs=[tf.Pack(id="a", tokens=90, purchased="2026-07-01")]).write(small / "contract.toml")
    (small / "users.csv").write_text("user,zone\nana,Europe/Madrid\nbob,Europe/Madrid\n")
    (small / "price-list.toml").write_text('[[subscriptions]]\nname = "Revit"\nproducts = ["RVT"]\nprice = 2985\n')
    (small / "statement.csv").write_text(
        "usageDate,productLineCode,userName,machineName,serverName,sessionStartDate,sessionEndDate,usageCategory,"
        "tokensConsumed\n"
        "2026-07-13,ACD,ana,pc1,mad-lic-01,2026-07-13T12:00:05,2026-07-13T12:31:00,DESKTOP_PRODUCT,7\n"
        "2026-07-13,RVT,bob,pc2,mad-lic-01,2026-07-13T12:30:00,2026-07-14T00:30:00,DESKTOP_PRODUCT,20\n"
    )
    first = date(2026, 1, 1)
    rows = [(first + timedelta(days=day), 10 + day % 7) for day in range(120)]
    (small / "past.csv").write_text(
        "charged_at,usage_date,tokens\n" + "".join(f"{day}T08:00:00Z,{day},{tokens}\n" for day, tokens in rows)
    )
    given: dict[str, tuple[object, ...]] = {
        "audit": ("--statement", "statement.csv"),
        "balance": ("--contract", "contract.toml"),
        "sessions": ("--out", "sessions.parquet"),
        "chargeback": ("--contract", "contract.toml", "--by", "user"),
        "compare": ("--price-list", "price-list.toml", "--token-price", 3),
        "doubles": ("--users", "users.csv"),
        "forecast": ("past.csv", "--incomplete", "keep"),
        "idle": ("--users", "users.csv"),
        "infer-rule": ("statement.csv",),
        "init": ("--folder", small / "new", "debug.log"),
        "inspect": ("rates.csv",),
        "ledger": ("--contract", "contract.toml"),
        "plan": ("--paths", "paths.csv", "--offer", "offer.toml"),
        "report": ("--out", "r.html"),
        "sensitivity": ("--token-price", 3),
        "rerun": (home / month["files"]["dispute"],),
        "update": ("--book", "tokens.book"),
    }
    (small / "new").mkdir()
    said = documented()
    assert set(said) == {name for name, *_ in cli._COMMANDS} - {"completion"}
    for name, keys in said.items():
        result = run(name, *given.get(name, ()), "--json")
        assert result.exit_code == 0, (name, result.stderr)
        answer = json.loads(result.stdout)
        assert set(answer[0] if isinstance(answer, list) else answer) == keys, name
        assert result.stderr == "", name
    assert set(month) == said["run"]
    assert fast


def test_every_command_has_a_line_on_the_page_and_json() -> None:
    page = PAGE.read_text(encoding="utf-8")
    for name, *_ in cli._COMMANDS:
        assert f"`tokenflex {name}" in page, name
        assert name == "completion" or "--json" in run(name, "--help").stdout, name


def test_the_page_shows_the_whole_file() -> None:
    """The configuration on the page is that which `init` writes, with everything in it."""
    page = PAGE.read_text(encoding="utf-8")
    (shown,) = re.findall(r"```toml\n(.*?)```", page, re.DOTALL)[:1]
    assert Config.from_toml(shown)
    for name in SAID:
        assert re.search(rf"^(?:\[{name}\]|{name} = )", shown, re.MULTILINE) or name == "timezone", name


def test_help_is_in_groups_and_fits_80_columns() -> None:
    result = run("--help", COLUMNS="80")
    lines = result.stdout.splitlines()
    assert max(len(line) for line in lines) <= 80
    headings = [line for line in lines if line.endswith(":") and not line.startswith(" ")]
    groups = ["Start here:", "Every night:", "The month:", "Before a contract:", "The rule:", "For machines:"]
    assert headings == ["Options:", *groups]
    for name, _, _, _, short, _ in cli._COMMANDS:
        assert any(line.split() == [name, *short.split()] for line in lines), name
    for code in ("0 ", "1 ", "2 ", "75 ", "130"):
        assert any(line.strip().startswith(code) for line in lines)
    for name, *_ in cli._COMMANDS:
        assert max(len(line) for line in run(name, "--help", COLUMNS="80").stdout.splitlines()) <= 80, name


def test_a_command_that_is_misspelled_is_guessed() -> None:
    result = run("chrage")
    assert result.exit_code == BAD_INPUT
    assert "Did you mean 'charge'" in result.stderr


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish", "powershell"])
def test_each_shell_has_a_script(shell: str) -> None:
    result = run("completion", shell)
    assert result.exit_code == 0
    assert "_TOKENFLEX_COMPLETE" in result.stdout
    fails(run("completion", "tcsh"), "it has to be bash")


@pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash")
def test_bash_completes_commands_and_options(tmp_path: Path) -> None:
    program = tmp_path / "tokenflex"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m tokenflex "$@"\n')
    program.chmod(0o755)
    (tmp_path / "script").write_text(run("completion", "bash").stdout)
    lines = [
        f'source "{tmp_path}/script"; export PATH="{tmp_path}:$PATH"',
        'COMP_WORDS=(tokenflex chargeb); COMP_CWORD=1; _tokenflex_completion tokenflex; echo "${COMPREPLY[@]}"',
        'COMP_WORDS=(tokenflex charge --rat); COMP_CWORD=2; _tokenflex_completion tokenflex; echo "${COMPREPLY[@]}"',
    ]
    done = subprocess.run(["bash", "-c", "\n".join(lines)], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["chargeback", "--rates"]
