"""Every block of code in the documents runs: Python as a doctest or here, commands here, data is read.

A page's commands run in a folder that is laid out as the pages say (`firm_to_read_about`), on few logs; the heavy run
takes the demo whole, as the pages do, and holds what the commands print against what the pages show.
"""

from __future__ import annotations

import configparser
import csv
import io
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

import duckdb
import polars as pl
import pytest
from typer.testing import CliRunner

import tokenflex as tf
from tokenflex.cli import app
from tokenflex.demo import write_logs

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tokenflex.demo import DemoFirm

ROOT: Final = Path(__file__).parents[1]
PAGES: Final = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md")), ROOT / "benches" / "README.md"]
BLOCK: Final = re.compile(r"^```(?P<language>[^\n]*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
DOCTESTED: Final = {"README.md", "SEMANTICS.md", "DESIGN.md", "COMPARE.md"}
"""Pages beside those in docs/ whose examples `.ci/run` runs with `pytest --doctest-glob`."""
PLAIN: Final = {"README.md", "docs/pipeline.md"}
"""Pages with Python without prompts: run in `test_the_python_of_the_readme_runs`, or as a job in `test_spark.py`."""
ELSEWHERE: Final = {"pip", "python", "maturin", "mkdocs", ".", "pytest"}
"""Commands of the build and the gate, which `.ci/run` and the benches run."""
ZONES: Final = ["mad-lic-01=Europe/Madrid", "chi-lic-01=America/Chicago", "sin-lic-01=Asia/Singapore"]


class Block(NamedTuple):
    page: str
    line: int
    language: str
    text: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def blocks(*languages: str) -> list[Block]:
    found = [
        Block(str(page.relative_to(ROOT)), text[: block.start()].count("\n") + 1, block["language"], block["text"])
        for page in PAGES
        for text in [page.read_text(encoding="utf-8")]
        for block in BLOCK.finditer(text)
    ]
    return [block for block in found if not languages or block.language in languages]


def test_every_block_says_what_it_is() -> None:
    kinds = {"python", "pycon", "sh", "text", "csv", "toml", "json", "bash", "sql", "ini", "crontab"}
    assert len(blocks()) > 140
    assert [str(block) for block in blocks() if block.language not in kinds] == []


def test_every_block_of_python_runs_as_a_doctest_or_here() -> None:
    for block in blocks("python", "pycon"):
        if ">>> " in block.text:
            assert block.page.startswith("docs/") or block.page in DOCTESTED, f"{block}: no run takes this page"
            assert "doctest: +SKIP" not in block.text, block
        else:
            assert block.page in PLAIN, f"{block}: write it with >>> and its output, so that it runs"


def test_the_gate_runs_the_pages_that_are_doctested() -> None:
    gate = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    (line,) = re.findall(r"^pytest --doctest-glob=.*$", gate, re.MULTILINE)
    assert set(line.split()) >= {*DOCTESTED, "docs"}


def test_every_block_of_data_is_read() -> None:
    for block in blocks("csv", "toml", "json"):
        if block.language == "csv":
            lengths = {len(row) for row in csv.reader(io.StringIO(block.text), strict=True)}
            assert len(lengths) == 1, block
        elif block.language == "toml":
            assert tomllib.loads(block.text), block
        else:
            json.loads(block.text)


def commands(text: str) -> Iterator[list[str]]:
    """The commands of a block as lists of words, without comments."""
    for line in text.replace("\\\n", " ").splitlines():
        for command in line.split(" && "):
            if words := shlex.split(command, comments=True):
                yield words


def told(words: list[str]) -> str:
    """Runs one command of tokenflex in the present folder, and returns what it prints."""
    out = None
    if ">" in words:
        words, out = words[: words.index(">")], Path(words[-1])
    done = CliRunner().invoke(app, words[1:], prog_name="tokenflex", env={"COLUMNS": "100"})
    fine = {0, 1} if words[1] == "run" else {0}  # `run` says by 1 that somebody has to look
    assert done.exit_code in fine, f"{shlex.join(words)}: {done.output[-800:]} {done.exception!r}"
    if out is not None:
        out.write_text(done.stdout, encoding="utf-8")
    return done.stdout


PIPELINE: Final = "docs/pipeline.md"
"""The page that says one file, one script and queries, in this order; it has a run of its own."""
MONTHS: Final = {"docs/ledger.md": 5, "docs/monthly-audit.md": 3, "docs/tutorial.md": 3}
"""Pages that show what their commands print, or run long -> months of the demo that they are about."""
NOT_ON_FEW_LOGS: Final = {"demo", "run"}
"""Commands that take long: `demo` has tests of its own, `run` has them too and runs here with the whole demo."""
NOT_PRINTED: Final = ("lmutil lmremove", "dispute.zip")
"""How blocks of text begin that no command here prints."""
LIMITS: Final = "product,licenses\nACD,40\nRVT,30\n"


def lay_out(place: Path, firm: DemoFirm, *, whole: bool) -> None:
    """The files that the pages speak of, in one folder: those of the demo, and the few that it has not."""
    servers = ["mad-lic-01", "chi-lic-01", "sin-lic-01"]
    for home in ("", "firm", "demo"):
        for server in servers if whole or home == "firm" else servers[:1]:
            shutil.copytree(firm.folder / "logs" / server, place / home / "logs" / server)
        for path in firm.folder.glob("*.*"):
            shutil.copy(path, place / home / path.name)
    shutil.copytree(firm.folder / "logs" / "mad-lic-01", place / "old-logs")
    (place / "everything-i-was-sent").mkdir()
    for path in (firm.statement_path, firm.contract_path, firm.folder / "logs" / "mad-lic-01" / "debug-2.log"):
        shutil.copy(path, place / "everything-i-was-sent" / path.name)
    for name, source in {"debug.log": "debug-2.log", "debug.log.1.gz": "debug-1.log.gz"}.items():
        shutil.copy(firm.folder / "logs" / "mad-lic-01" / source, place / name)
    shutil.copy(firm.statement_path, place / "export.csv")
    shutil.copy(firm.rates_path, place / "rates-2027.csv")
    (place / "limits.csv").write_text(LIMITS, encoding="utf-8")
    if not whole:  # what the vendor states of the one server there is
        stated = pl.read_csv(firm.statement_path, infer_schema=False)
        stated.filter(pl.col("licenseServerName") == servers[0]).write_csv(place / "statement.csv")
    days = pl.select(day=pl.date_range(date(2027, 1, 1), date(2029, 12, 31)))
    scenarios = pl.DataFrame({"scenario": ["few", "many"], "tokens": [90.0, 130.0]})
    scenarios.join(days, how="cross").write_parquet(place / "scenarios.parquet")


def charges_first(place: Path) -> None:
    """The charges in files, for the pages that begin with them."""
    zones = [word for zone in ZONES for word in ("--timezone", zone)]
    for name in ("charges.csv", "charges.parquet"):
        told(
            [
                "tokenflex",
                "charge",
                str(place / "logs"),
                *zones,
                "--rates",
                str(place / "rates.csv"),
                "--rule",
                str(place / "rule.toml"),
                "--out",
                str(place / name),
                "--quiet",
            ]
        )


@pytest.fixture(scope="module")
def firm_to_read_about(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four months of one server of the demo, under all the names that the pages use."""
    place = tmp_path_factory.mktemp("pages")
    lay_out(place, write_logs(tmp_path_factory.mktemp("firm"), months=4), whole=False)
    charges_first(place)
    return place


def pages_with_commands() -> list[str]:
    pages = {block.page for block in blocks("sh") if any(w[0] == "tokenflex" for w in commands(block.text))}
    return sorted(pages - {PIPELINE})


@pytest.mark.parametrize("page", pages_with_commands())
def test_the_commands_of_a_page_run(page: str, firm_to_read_about: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(firm_to_read_about)
    for block in blocks("sh"):
        if block.page == page:
            for words in commands(block.text):
                if words[0] not in ELSEWHERE and words[1] not in NOT_ON_FEW_LOGS:
                    assert words[0] == "tokenflex", f"{block}: say where this is run"
                    told(words)


def run_in_place(block: Block, place: Path) -> None:
    """Does what a block of the pipeline's page says, in the folder that is the firm's and the present one."""
    if block.language == "toml":
        (place / "tokenflex.toml").write_text(block.text, encoding="utf-8")
    elif block.language == "sh":
        for words in commands(block.text):
            if words[0] not in ELSEWHERE:
                told(words)
    elif block.language == "bash":
        script = place.parent / "nightly.sh"
        script.write_text(block.text, encoding="utf-8")
        script.chmod(0o755)
        # Twice: what was done is not done again.
        for _ in range(2):
            done = subprocess.run([script, place], cwd=place.parent, capture_output=True, text=True, check=False)
            assert (done.returncode, done.stdout) == (0, ""), done.stderr
    elif block.language == "sql":
        with duckdb.connect("tokens.book", read_only=True) as connection:
            connection.execute(block.text).fetchall()


def test_the_page_of_the_pipeline_runs_as_written(
    firm_to_read_about: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the order of the page: its configuration, commands, script and queries."""
    place = tmp_path / "tokens"
    shutil.copytree(firm_to_read_about / "logs", place / "logs")
    for name in ("rates.csv", "rule.toml", "contract.toml"):
        shutil.copy(firm_to_read_about / name, place / name)
    programs = tmp_path / "programs"
    programs.mkdir()
    (programs / "tokenflex").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m tokenflex "$@"\n', encoding="utf-8")
    (programs / "tokenflex").chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.chdir(place)
    of_page = [block for block in blocks() if block.page == PIPELINE]
    for block in of_page:
        run_in_place(block, place)
    assert [block.language for block in of_page].count("sql") >= 5
    update = json.loads((place / "update.json").read_text(encoding="utf-8"))
    assert (update["update"], update["sessions"]) == (3, {"new": 0, "changed": 0, "removed": 0})
    months = pl.read_parquet(place / "lake_by_month" / "**" / "*.parquet")
    final = tf.Book("tokens.book").charges(final=True)
    assert (months.height, months["tokens"].sum()) == (final.height, final["tokens"].sum())
    assert pl.read_parquet(place / "charges.parquet").height == tf.Book("new.book").charges().height
    assert tf.Book("tokens.book.copy").charges().equals(tf.Book("tokens.book").charges())
    assert json.loads((place / "balance.json").read_text(encoding="utf-8"))["contract"]


def test_units_and_crontabs_are_well_formed() -> None:
    for block in blocks("ini"):
        unit = configparser.ConfigParser(strict=True, interpolation=None)
        unit.read_string(block.text)
        assert set(unit) <= {"DEFAULT", "Unit", "Service", "Timer", "Install"}, block
    for block in blocks("crontab"):
        assert re.fullmatch(r"(?:[\d*/,-]+ ){5}/srv/tokens/nightly\.sh /srv/tokens\n", block.text), block
    assert {block.page for block in blocks("bash", "sql", "ini", "crontab")} == {PIPELINE}, "say where these are run"


@pytest.mark.heavy
@pytest.mark.parametrize("page", MONTHS)
def test_a_page_shows_what_its_commands_print(page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs the commands on the whole demo. A block of text after commands is what they print, or some lines of it."""
    lay_out(tmp_path, write_logs(tmp_path / "made", months=MONTHS[page]), whole=True)
    charges_first(tmp_path)
    monkeypatch.chdir(tmp_path)
    printed = ""
    for block in (block for block in blocks("sh", "text") if block.page == page):
        if block.language == "sh":
            printed = "".join(told(words) for words in commands(block.text) if words[:2] != ["tokenflex", "demo"])
        elif not block.text.startswith(NOT_PRINTED):
            shown = {line.rstrip() for line in block.text.splitlines()} - {"…"}
            assert shown - {line.rstrip() for line in printed.splitlines()} == set(), block


def test_every_page_that_shows_output_is_compared() -> None:
    shown = {block.page for block in blocks("text") if not block.text.startswith(NOT_PRINTED)}
    assert {page for page in shown if page.startswith("docs/")} <= set(MONTHS)


def test_commands_of_other_programs_are_few() -> None:
    others = {words[0] for block in blocks("sh") for words in commands(block.text)} - {"tokenflex"}
    assert others <= ELSEWHERE
