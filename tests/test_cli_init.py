"""`tokenflex init`: what it finds, what it writes, what it leaves to fill in, and what it never writes over."""

from __future__ import annotations

import csv
import io
import json
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from typer.testing import CliRunner, Result

import tokenflex as tf
from tokenflex import cli
from tokenflex.commands.config import NAME, Config
from tokenflex.commands.logs import rates_to_fill_in
from tokenflex.commands.options import BAD_INPUT

if TYPE_CHECKING:
    from tokenflex.demo import DemoFirm

REAL = Path(os.environ.get("TOKENFLEX_LOGS", Path(__file__).parents[2] / "shared" / "logs")) / "adskflex.log"
LOG = (
    "12:00:00 (lmgrd) FlexNet Licensing (v11.18.0.0) started on mad-lic-01 (IBM PC) (7/13/2026)\n"
    '12:00:05 (adskflex) OUT: "87545ACD_2022_0F" ana@pc1  \n'
    '12:31:00 (adskflex) IN: "87545ACD_2022_0F" ana@pc1  \n'
    "18:00:00 (lmgrd) TIMESTAMP 7/13/2026\n"
)


def run(*arguments: object) -> Result:
    return CliRunner().invoke(cli.app, [str(argument) for argument in arguments], prog_name="tokenflex")


def fails(result: Result, *parts: str) -> None:
    assert result.exit_code == BAD_INPUT, result
    assert "Traceback" not in result.stderr
    for part in parts:
        assert part in result.stderr


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "my month"
    (folder / "logs" / "madrid").mkdir(parents=True)
    (folder / "logs" / "madrid" / "debug.log").write_text(LOG)
    monkeypatch.chdir(folder)
    return folder


def test_a_look_at_the_demo_finds_everything(
    demo_firm: DemoFirm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "the firm"
    shutil.copytree(demo_firm.folder, folder)
    monkeypatch.chdir(folder)
    result = run("init", "--json")
    assert result.exit_code == 0, result.stderr
    found = json.loads(result.stdout)
    config = Config.read(folder / NAME)
    assert config.logs == ("logs/",)
    assert dict(config.servers) == dict.fromkeys(sorted(demo_firm.servers), "")
    assert config.blanks == tuple(sorted(demo_firm.servers))
    names = ("rates", "rule", "users", "groups", "contract", "statement", "price_list", "offer", "activity")
    assert {name: getattr(config, name) for name in names} == {
        name: f"{name.replace('_', '-')}.{'toml' if name in ('rule', 'contract', 'price_list', 'offer') else 'csv'}"
        for name in names
    }
    # A rate for INHSMP is what the demo lacks.
    assert found["to_fill_in"] == {"servers": sorted(demo_firm.servers), "rates": ["INHSMP"]}
    assert "# It has no rate yet for INHSMP." in (folder / NAME).read_text()
    assert found["users"] == demo_firm.facts.users
    assert found["written"] == [NAME]
    assert (folder / "rates.csv").read_text() == demo_firm.rates_path.read_text()


def test_what_is_written_is_told_with_what_to_do_next(home: Path) -> None:
    result = run("init")
    assert result.exit_code == 0, result.stderr
    for words in ("1 log of 1 license server", "tokenflex.toml written", "rates.csv written", "mad-lic-01", "ACD"):
        assert words in result.stdout
    assert result.stdout.rstrip().endswith("3. tokenflex run")
    assert (home / "rates.csv").read_text() == "product,tokens,effective_from\nACD,,\n"
    fails(run("charge"), "the time zone of mad-lic-01 is not filled in")
    (home / NAME).write_text((home / NAME).read_text().replace('"mad-lic-01" = ""', '"mad-lic-01" = "Europe/Madrid"'))
    fails(run("charge"), "rates.csv: rates, row 0 (ACD): tokens is empty", "Your contract has them")
    (home / "rates.csv").write_text("product,tokens,effective_from\nACD,7,\n")
    assert "7 tokens in 1 charge" in run("charge").stdout


def test_zones_that_are_known_are_written(home: Path) -> None:
    assert run("init", "logs", "--timezone", "mad-lic-01=Europe/Madrid").exit_code == 0
    assert dict(Config.read(home / NAME).servers) == {"mad-lic-01": "Europe/Madrid"}
    assert run("init", "--timezone", "europe/madrid", "--force", "--quiet").stdout == ""
    assert dict(Config.read(home / NAME).servers) == {"mad-lic-01": "Europe/Madrid"}
    fails(run("init", "--force", "--timezone", "mad-lic01=UTC"), "no log is of that server (did you mean mad-lic-01?)")
    fails(run("init", "--force", "--timezone", "Europe/Madird"), "Europe/Madird")


def test_nothing_is_written_over(home: Path) -> None:
    (home / NAME).write_text('server = "mine"\n')
    (home / "rates.csv").write_text("product,tokens\nACD,\nRVT,10\n")
    fails(run("init"), "tokenflex.toml is there already", "--force")
    assert (home / NAME).read_text() == 'server = "mine"\n'
    assert run("init", "--force").exit_code == 0
    assert Config.read(home / NAME).blanks == ("mad-lic-01",)
    # It may be filled in by half.
    assert (home / "rates.csv").read_text() == "product,tokens\nACD,\nRVT,10\n"


def test_a_new_log_beside_the_others_is_read_without_a_new_configuration(home: Path) -> None:
    assert run("init", "--timezone", "UTC", "--quiet").exit_code == 0
    (home / "rates.csv").write_text("product,tokens\nACD,7\n")
    (home / "logs" / "madrid" / "debug-2.log").write_text(LOG.replace("7/13/2026", "7/14/2026"))
    assert "14 tokens in 2 charges" in run("charge").stdout


def test_files_beside_the_logs_are_no_logs(home: Path) -> None:
    """A folder is written as a folder where the reader takes exactly its logs, else they stand one by one."""
    (home / "debug one.log").write_text(LOG)
    (home / "changelog.txt").write_text("version 2\n")
    assert run("init", "--quiet").exit_code == 0
    assert Config.read(home / NAME).logs == ("debug one.log", "logs/")


def test_of_two_files_for_one_field_the_other_is_told(home: Path) -> None:
    for name in ("a.toml", "b.toml"):
        (home / name).write_text(tf.FLEX.to_toml())
    assert run("init", "--quiet").exit_code == 0
    text = (home / NAME).read_text()
    assert 'rule = "a.toml"' in text
    assert "# Another one is there: b.toml" in text


def test_what_a_run_wrote_is_not_looked_at(home: Path) -> None:
    (home / "months" / "2026-07").mkdir(parents=True)
    (home / "months" / "2026-07" / "users.csv").write_text("user,zone\nana,UTC\n")
    assert run("init", "--quiet").exit_code == 0
    assert Config.read(home / NAME).users is None


def test_written_elsewhere_paths_lead_back(home: Path) -> None:
    (home / "new").mkdir()
    assert run("init", "logs", "--folder", "new", "--timezone", "UTC", "--quiet").exit_code == 0
    config = Config.read(home / "new" / NAME)
    assert config.logs == ("../logs/",)
    (home / "new" / "rates.csv").write_text("product,tokens\nACD,7\n")
    assert "7 tokens" in run("charge", "--config", "new/tokenflex.toml").stdout


@pytest.mark.parametrize("name", ['a "b" \\c', "ünïcode €", "a\nb = 1", "[servers]", "# x", "a\x01b", "'", "=cmd"])
def test_names_of_files_and_servers_are_text(home: Path, name: str) -> None:
    logs = home / name
    logs.mkdir()
    (logs / "debug.log").write_text(LOG.replace("mad-lic-01", "mad_lic"))
    for which in ("", "2"):
        (home / f"{name}{which}.toml").write_text(tf.FLEX.to_toml())
    result = run("init", "--quiet")
    assert result.exit_code == 0, result
    config = Config.read(home / NAME)
    assert set(config.logs) == {"logs/", f"{name}/"}
    assert config.rule in (f"{name}.toml", f"{name}2.toml")
    assert set(config.servers) == {"mad-lic-01", "mad_lic"}


def test_a_server_is_named_where_the_log_does_not(home: Path) -> None:
    (home / "logs" / "madrid" / "debug.log").write_text(LOG.partition("\n")[2])
    assert run("init", "--server", "own", "--timezone", "UTC", "--quiet").exit_code == 0
    config = Config.read(home / NAME)
    assert (config.server, dict(config.servers)) == ("own", {"own": "UTC"})


def test_rates_to_fill_in_are_csv() -> None:
    products = ["ACD", 'a "b"', "c,d", "=1+1", "é"]
    rows = list(csv.reader(io.StringIO(rates_to_fill_in(products))))
    assert rows == [["product", "tokens", "effective_from"], *([product, "", ""] for product in products)]


def test_what_cannot_be_looked_at_is_told(home: Path) -> None:
    fails(run("init", "nowhere"), "there is no file or folder nowhere")
    fails(run("init", "--folder", "nowhere"), "--folder nowhere: there is no such folder")
    shutil.rmtree(home / "logs")
    fails(run("init"), "is empty")
    (home / "notes.txt").write_text("hello\n")
    fails(run("init"), "no debug log of a FlexNet license server among 1 file")
    (home / "empty.log").write_text("12:00:00 (lmgrd) TIMESTAMP 7/13/2026\n")
    fails(run("init"), "no checkouts in 1 log")
    assert sorted(path.name for path in home.iterdir()) == ["empty.log", "notes.txt"]


@pytest.mark.skipif(not REAL.exists(), reason="the real logs are not here")
def test_the_road_on_a_real_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copy(REAL, tmp_path / "adskflex.log")
    monkeypatch.chdir(tmp_path)
    found = json.loads(run("init", "--json").stdout)
    (server,) = found["to_fill_in"]["servers"]
    config = tmp_path / NAME
    config.write_text(config.read_text().replace(f'"{server}" = ""', f'"{server}" = "Europe/Madrid"'))
    rows = "".join(f"{product},1,\n" for product in found["to_fill_in"]["rates"])
    (tmp_path / "rates.csv").write_text(f"product,tokens,effective_from\n{rows}")
    summary = json.loads(run("charge", "--json").stdout)
    assert summary["totals"]["sessions"] == 3886
    assert float(summary["totals"]["tokens"]) == summary["totals"]["charges"] > 300
