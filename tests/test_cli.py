"""The command line as a user meets it: what it prints, where, with which exit code, and what is left on disk."""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import shlex
import signal
import subprocess
import sys
from decimal import Decimal
from typing import TYPE_CHECKING

import polars as pl
import pytest
from rich.console import Console
from typer.testing import CliRunner, Result

import tokenflex as tf
from tokenflex import cli, screen
from tokenflex.commands import logs, options
from tokenflex.demo import DemoFirm, write_logs
from tokenflex.summary import summarize

if TYPE_CHECKING:
    from pathlib import Path
    from typing import BinaryIO

MADRID = "--timezone=Europe/Madrid"


@pytest.fixture(scope="module")
def firm(tmp_path_factory: pytest.TempPathFactory) -> DemoFirm:
    return write_logs(tmp_path_factory.mktemp("demo"), months=3)


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """A log of two sessions, one of them over midnight."""
    path = tmp_path / "debug.log"
    path.write_text(
        "12:00:00 (lmgrd) FlexNet Licensing (v11.18.0.0) started on mad-lic-01 (IBM PC) (7/13/2026)\n"
        '12:00:05 (adskflex) OUT: "87545ACD_2022_0F" ana@pc1  \n'
        '12:30:00 (adskflex) OUT: "87561RVT_2022_0F" bob@pc2  \n'
        '12:31:00 (adskflex) IN: "87545ACD_2022_0F" ana@pc1  \n'
        "18:00:00 (lmgrd) TIMESTAMP 7/13/2026\n"
        ' 0:30:00 (adskflex) IN: "87561RVT_2022_0F" bob@pc2  \n'
        " 6:00:00 (lmgrd) TIMESTAMP 7/14/2026\n"
    )
    return path


@pytest.fixture
def rates(tmp_path: Path) -> Path:
    path = tmp_path / "rates.csv"
    path.write_text("product,tokens,effective_from\nACD,7,\nRVT,10,\n")
    return path


def run(*arguments: object) -> Result:
    return CliRunner().invoke(cli.app, [str(argument) for argument in arguments], prog_name="tokenflex")


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-c", "from tokenflex.cli import main; main()", *(str(argument) for argument in arguments)]


def start(*arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
    """The command line in a process of its own, its output piped."""
    environment = {**os.environ, "PYTHONIOENCODING": "utf-8", **environment}
    return subprocess.run(
        command(*arguments), capture_output=True, text=True, encoding="utf-8", env=environment, check=False
    )


def fails(result: Result | subprocess.CompletedProcess[str], *parts: str) -> None:
    """Exit code 2, a line or two on stderr that say what is meant, and no traceback."""
    code = result.exit_code if isinstance(result, Result) else result.returncode
    assert code == options.BAD_INPUT, result
    assert result.stderr.startswith("tokenflex: ")
    assert len(result.stderr.strip().splitlines()) <= 3
    assert "Traceback" not in result.stderr
    for part in parts:
        assert part in result.stderr


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> str:
    """What the demo prints into a pipe."""
    result = start("demo", "--folder", tmp_path_factory.mktemp("shown"), "--months", "3")
    assert result.returncode == 0, result.stderr
    assert result.stderr == ""
    return result.stdout


def test_demo_shows_what_an_administrator_wants(shown: str) -> None:
    for heading in (
        "tokens in ",
        "Tokens by product and month",
        "Who drew most",
        "Charged twice for one product within 12 hours",
        "One person, two spellings?",
        "Not charged, and why",
        "Problems in the data",
        "Servers",
        "Files read",
        "Balance by pool",
        "Line by line",
        "closes: what is left expires",
        "How many tokens to buy for the three years to come",
        "expected cost",
        "What to buy",
        "demo values, not prices of the vendor",
        "tokenflex charge ",
    ):
        assert heading in shown
    assert "\x1b" not in shown
    tables = shown[: shown.index("Rates: ")]
    assert max(len(line) for line in tables.splitlines()) <= 100


def test_the_commands_that_the_demo_names_work(shown: str, tmp_path: Path) -> None:
    total = re.search(r"^([\d,.]+) tokens in ([\d,]+) charges$", shown, re.MULTILINE)
    assert total is not None
    named = [shlex.split(line) for line in shown.replace("\\\n", " ").splitlines() if line.startswith("  tokenflex ")]
    assert [words[1] for words in named] == [
        "charge", "audit", "rerun", "doubles", "infer-rule", "ledger", "balance", "chargeback", "chargeback", "idle",
        "harvest", "harvest", "plan", "estimate", "compare", "sensitivity", "doubles", "whatif",
    ]  # fmt: skip
    out = tmp_path / "charges.csv"
    files = ("charges.csv", "ledger.csv", "dispute.zip")
    for words in named:
        result = run(*(tmp_path / word if word in files else word for word in words[1:]))
        assert result.exit_code == 0, result.stderr
        if words[1] == "charge":
            assert total.group() in result.stdout
    assert pl.read_csv(out).height == int(total[2].replace(",", ""))


def test_the_demo_shows_an_estimate_with_its_range_and_a_comparison(shown: str) -> None:
    base, low, high = re.findall(r"^([\d,.]+) tokens, between ([\d,.]+) and ([\d,.]+)$", shown, re.MULTILINE)[0]
    assert float(low.replace(",", "")) < float(base.replace(",", "")) < float(high.replace(",", ""))
    for words in ("What is uncertain", "The same use in five ways", "the cheapest mix costs least", "99.5 days"):
        assert words in shown
    assert re.search(r"^all rates ±10 % +-[\d,]+ █+ █+ +\+[\d,]+$", shown, re.MULTILINE)


def test_demo_without_folder_writes_into_a_new_one(tmp_path: Path) -> None:
    result = start("demo", "--months", "3", TMPDIR=str(tmp_path), TEMP=str(tmp_path), TMP=str(tmp_path))
    assert result.returncode == 0, result.stderr
    assert [path.name.startswith("tokenflex-demo-") for path in tmp_path.iterdir()] == [True]


@pytest.mark.parametrize("width", [60, 80, 100, 140])
def test_tables_fit_the_width_and_lose_nothing(firm: DemoFirm, width: int) -> None:
    zones = [f"{server}={zone}" for server, zone in firm.servers.items()]
    asked = options.LogOptions(timezone=zones, rates=firm.rates_path, quiet=True)
    metered = logs.metered([str(firm.folder / "logs")], asked)
    answers = summarize(metered.log, metered.sessions, metered.charges, metered.problems, rule=tf.TOKEN_FLEX)
    to = Console(file=io.StringIO(), width=width, markup=False, highlight=False)
    screen.show(answers, to, zones=firm.servers)
    assert isinstance(to.file, io.StringIO)
    lines = to.file.getvalue().splitlines()
    assert max(len(line) for line in lines) <= width
    assert "…" not in to.file.getvalue()
    without_folds = "".join(line.replace(" ", "") for line in lines)
    assert "".join(screen.tokens(answers.totals["tokens"][0]).split()) in without_folds


def test_names_are_not_taken_for_markup(log: Path, rates: Path) -> None:
    log.write_text(log.read_text().replace("ana@", "[red]ana :smile:@"))
    assert "[red]ana :smile: " in run("charge", log, MADRID, "--rates", rates).stdout


def test_charge_prints_the_summary(log: Path, rates: Path) -> None:
    result = run("charge", log, MADRID, "--rates", rates)
    assert result.exit_code == 0, result.stderr
    assert "27 tokens in 3 charges" in result.stdout
    assert result.stderr == ""
    assert sorted(path.name for path in log.parent.iterdir()) == ["debug.log", "rates.csv"]


def test_rule_by_name_and_by_file(log: Path, rates: Path, tmp_path: Path) -> None:
    rule = tmp_path / "own.toml"
    rule.write_text(tf.Rule(window="day", zone="America/Chicago").to_toml())
    assert "27 tokens in 3 charges" in run("charge", log, MADRID, "--rates", rates, "--rule", "token-flex").stdout
    assert "17 tokens in 2 charges" in run("charge", log, MADRID, "--rates", rates, "--rule", "flex").stdout
    assert "17 tokens in 2 charges" in run("charge", log, MADRID, "--rates", rates, "--rule", rule).stdout


@pytest.mark.parametrize("ending", ["parquet", "csv"])
def test_out_holds_the_charges(firm: DemoFirm, tmp_path: Path, ending: str) -> None:
    out = tmp_path / f"charges.{ending}"
    zones = [f"--timezone={server}={zone}" for server, zone in firm.servers.items()]
    result = run("charge", firm.folder / "logs", *zones, "--rates", firm.rates_path, "--out", out, "--quiet")
    assert result.exit_code == 0, result.stderr
    assert result.stdout == result.stderr == ""
    log = tf.read_flexlm(firm.folder / "logs", timezone=firm.servers)
    problems = tf.Problems()
    sessions = tf.pair(log.events, packages=log.packages, problems=problems)
    expected = tf.charge(
        sessions,
        rule=tf.TOKEN_FLEX,
        rates=tf.Rates.read(firm.rates_path),
        servers=firm.servers,
        problems=problems,
    )
    if ending == "parquet":
        written = pl.read_parquet(out)
        assert written["tokens"].dtype == pl.Decimal(38, 4)
        assert written.with_columns(pl.selectors.categorical().cast(pl.String)).equals(
            expected.with_columns(pl.selectors.categorical().cast(pl.String))
        )
    else:
        written = pl.read_csv(out, schema_overrides={"tokens": pl.Decimal(38, 4)})
        assert written.columns == expected.columns
        assert written["tokens"].equals(expected["tokens"])
    assert list(tmp_path.iterdir()) == [out]


def test_json(log: Path, rates: Path) -> None:
    result = run("charge", log, MADRID, "--rates", rates, "--json")
    answers = json.loads(result.stdout)
    assert answers["rule_id"] == tf.TOKEN_FLEX.rule_id
    assert answers["totals"]["tokens"] == "27.0000"
    assert sum(Decimal(month["tokens"]) for month in answers["by_month"]) == 27
    assert answers["by_month"][0] == {"product": "RVT", "month": "2026-07-01", "charges": 2, "tokens": "20.0000"}
    assert answers["files"][0]["lines"] == 7
    assert answers["servers"][0]["server"] == "mad-lic-01"


def test_json_of_everything(firm: DemoFirm) -> None:
    zones = [f"--timezone={server}={zone}" for server, zone in firm.servers.items()]
    result = run("charge", firm.folder / "logs", *zones, "--rates", firm.rates_path, "--json")
    answers = json.loads(result.stdout)
    silent = {server["server"]: server["days_without_lines"] for server in answers["servers"]}
    assert silent == {"mad-lic-01": ["2025-11-01", "2025-11-02"], "chi-lic-01": [], "sin-lic-01": []}
    assert {"tokens": None, "product": "INHSMP"}.items() <= answers["by_month"][-1].items()


def test_as_of_ends_open_sessions(log: Path, rates: Path) -> None:
    with log.open("a") as file:
        file.write(' 7:00:00 (adskflex) OUT: "87545ACD_2022_0F" ana@pc1  \n')
    assert "34 tokens in 4 charges" in run("charge", log, MADRID, "--rates", rates).stdout
    for as_of in ("2026-07-15T12:00", "2026-07-15T12:00Z", "2026-07-15T14:00+02:00"):
        shown = run("charge", log, MADRID, "--rates", rates, "--as-of", as_of).stdout
        assert "41 tokens in 5 charges" in shown
        assert "(1 still open)" in shown


def test_missing_rates_give_a_template_on_stdout(log: Path, tmp_path: Path) -> None:
    result = run("charge", log, MADRID)
    fails(result, "--rates is missing", "--rates rates.csv")
    assert result.stdout == "product,tokens,effective_from\nACD,,\nRVT,,\n"
    template = tmp_path / "rates.csv"
    template.write_text(result.stdout.replace("ACD,,", "ACD,7,").replace("RVT,,", "RVT,10,"))
    assert "27 tokens" in run("charge", log, MADRID, "--rates", template).stdout


def test_template_as_it_is_has_no_tokens(log: Path, tmp_path: Path) -> None:
    template = tmp_path / "rates.csv"
    template.write_text(run("charge", log, MADRID).stdout)
    fails(run("charge", log, MADRID, "--rates", template), str(template), "tokens")


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (["--timezone=Europe/Atlantis"], ["Europe/Atlantis"]),
        ([], ["--timezone"]),
        (["--timezone=other=Europe/Madrid"], ["mad-lic-01", "--timezone"]),
        (["--timezone=Europe/Madrid", "--timezone=Asia/Tokyo"], ["SERVER=ZONE"]),
        (["--timezone=Europe/Madrid", "--timezone=a=Asia/Tokyo"], ["SERVER=ZONE"]),
        ([MADRID, "--rule=tokenflex"], ["token-flex", ".toml"]),
        ([MADRID, "--rule=nowhere.toml"], ["nowhere.toml"]),
        ([MADRID, "--out=charges.xlsx"], [".parquet", ".csv"]),
        ([MADRID, "--out=nowhere/charges.csv"], ["nowhere"]),
        ([MADRID, "--as-of=yesterday"], ["2026-01-31T16:00Z"]),
        ([MADRID, "--as-of=2020-01-01T00:00Z"], ["as_of"]),
        ([MADRID, "--rates=nowhere.csv"], ["nowhere.csv"]),
    ],
)
def test_bad_arguments_say_what_is_meant(log: Path, rates: Path, arguments: list[str], parts: list[str]) -> None:
    given = arguments if any(part.startswith("--rates") for part in arguments) else [*arguments, "--rates", str(rates)]
    fails(run("charge", log, *given), *parts)


@pytest.mark.parametrize(
    ("content", "parts"),
    [
        ("window = \n", ["TOML"]),
        ('window = "month"\n', ["window"]),
        ('window = "day"\ncolour = 1\n', ["colour"]),
    ],
)
def test_bad_rule_files(log: Path, rates: Path, tmp_path: Path, content: str, parts: list[str]) -> None:
    rule = tmp_path / "own.toml"
    rule.write_text(content)
    fails(run("charge", log, MADRID, "--rates", rates, "--rule", rule), *parts)


def test_bad_rates_file(log: Path, tmp_path: Path) -> None:
    bad = tmp_path / "bad.csv"
    bad.write_text("product,price\nACD,7\n")
    fails(run("charge", log, MADRID, "--rates", bad), str(bad), "tokens")


def test_no_such_log(tmp_path: Path, rates: Path) -> None:
    missing = tmp_path / "missing.log"
    fails(run("charge", missing, MADRID, "--rates", rates), str(missing))


def test_folder_without_logs(tmp_path: Path, rates: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    fails(run("charge", empty, MADRID, "--rates", rates), str(empty))


def test_files_that_are_no_logs(tmp_path: Path, rates: Path) -> None:
    other = tmp_path / "catalog.txt"
    other.write_text("nothing of this kind\n" * 10)
    fails(run("charge", other, MADRID, "--rates", rates), "no checkouts")


def test_errors_in_a_process(tmp_path: Path) -> None:
    result = start("charge", tmp_path / "missing.log", MADRID)
    fails(result, "missing.log")
    assert result.stdout == ""


def test_unexpected_errors_keep_their_traceback(log: Path, rates: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(tf, "charge", broken)
    result = run("charge", log, MADRID, "--rates", rates)
    assert isinstance(result.exception, ZeroDivisionError)


def interrupted(*_: object, **__: object) -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize("verb", ["read_flexlm", "pair", "charge"])
def test_interrupted_while_computing(log: Path, rates: Path, monkeypatch: pytest.MonkeyPatch, verb: str) -> None:
    monkeypatch.setattr(tf, verb, interrupted)
    out = log.with_name("charges.csv")
    result = run("charge", log, MADRID, "--rates", rates, "--out", out)
    assert result.exit_code == options.INTERRUPTED
    assert result.stderr == "interrupted\n"
    assert not out.exists()


@pytest.mark.parametrize(("method", "ending"), [("write_csv", "csv"), ("write_parquet", "parquet")])
def test_interrupted_while_writing_leaves_the_old_file(
    log: Path, rates: Path, monkeypatch: pytest.MonkeyPatch, method: str, ending: str
) -> None:
    out = log.with_name(f"charges.{ending}")
    out.write_text("last month's\n")
    before = sorted(log.parent.iterdir())

    def half(_: pl.DataFrame, file: BinaryIO) -> None:
        file.write(b"half a fi")
        raise KeyboardInterrupt

    monkeypatch.setattr(pl.DataFrame, method, half)
    result = run("charge", log, MADRID, "--rates", rates, "--out", out)
    assert result.exit_code == options.INTERRUPTED
    assert out.read_text() == "last month's\n"
    assert sorted(log.parent.iterdir()) == before


@pytest.mark.skipif(os.name == "nt", reason="signals of this kind are POSIX")
def test_interrupt_key_in_a_process(firm: DemoFirm, tmp_path: Path) -> None:
    """The log is a pipe: when it opens, the process is reading for certain, and it cannot finish before the signal."""
    pipe, out = tmp_path / "endless.log", tmp_path / "charges.csv"
    os.mkfifo(pipe)
    lines = next(path for path in firm.logs if path.name == "adskflex-old.log").read_bytes()
    process = subprocess.Popen(
        command("charge", pipe, "--timezone=America/Chicago", "--rates", firm.rates_path, "--out", out),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with contextlib.suppress(BrokenPipeError), pipe.open("wb", buffering=0) as writer:
        writer.write(lines)
        process.send_signal(signal.SIGINT)
        for _ in range(200):
            writer.write(lines)
    stdout, stderr = process.communicate(timeout=60)
    assert process.returncode == options.INTERRUPTED, stderr
    assert stdout == ""
    assert stderr == "interrupted\n"
    assert list(tmp_path.iterdir()) == [pipe]


@pytest.mark.skipif(os.name == "nt", reason="a shell's pipe")
@pytest.mark.parametrize("form", ["", " --json"])
def test_output_that_nobody_reads_to_the_end(log: Path, rates: Path, form: str) -> None:
    line = shlex.join(command("charge", log, MADRID, "--rates", rates)) + form
    result = subprocess.run(["sh", "-c", f"{line} | head -1"], capture_output=True, text=True, check=False)
    assert "Traceback" not in result.stderr
    assert "tokenflex:" not in result.stderr


def test_a_new_file_has_ordinary_permissions(log: Path, rates: Path) -> None:
    out = log.with_name("charges.csv")
    run("charge", log, MADRID, "--rates", rates, "--out", out)
    assert out.stat().st_mode == rates.stat().st_mode


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="needs a user whom permissions bind")
def test_folder_that_cannot_be_written(log: Path, rates: Path, tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o500)
    fails(run("charge", log, MADRID, "--rates", rates, "--out", closed / "charges.csv"), "charges.csv")


def test_version() -> None:
    result = start("--version")
    assert result.returncode == 0
    assert f"tokenflex {tf.__version__}" in result.stdout
    assert tf.zone_database_version in result.stdout


@pytest.mark.parametrize(
    "arguments", [["--help"], ["-h"], ["charge", "--help"], ["demo", "--help"], ["idle", "-h"], ["harvest", "-h"]]
)
def test_help_teaches(arguments: list[str]) -> None:
    result = start(*arguments, COLUMNS="80")
    assert result.returncode == 0
    assert result.stdout.startswith("Usage: tokenflex")
    assert max(len(line) for line in result.stdout.splitlines()) <= 80
    assert "\x1b" not in result.stdout
    if arguments[0] != "demo":
        assert "--timezone Europe/Madrid" in result.stdout


def test_an_accent_on_a_plain_terminal(log: Path, rates: Path) -> None:
    log.write_bytes(log.read_bytes().replace(b"ana@", "aná@".encode("cp1252")))
    result = start("charge", log, MADRID, "--rates", rates, PYTHONIOENCODING="ascii")
    assert result.returncode == 0, result.stderr
    assert "27 tokens" in result.stdout
