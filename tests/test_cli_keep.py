"""`tokenflex ledger --keep --close`: a ledger that is kept from run to run, and months that stay closed."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from typer.testing import CliRunner, Result

import tokenflex as tf
from tokenflex import cli

if TYPE_CHECKING:
    from pathlib import Path

CONTRACT = """
number = "7"

[[packs]]
id = "old"
tokens = 20
purchased = 2026-03-01
end = 2026-03-31

[[packs]]
id = "new"
tokens = 100
purchased = 2026-03-01
"""
HEAD = "user,product,server,charged_at,window_end,tokens\n"
ROWS = (
    "ana,ACD,s1,2026-03-05T08:00:00+00:00,2026-03-06T08:00:00+00:00,7\n",
    "bo,ACD,s1,2026-03-09T08:00:00+00:00,2026-03-10T08:00:00+00:00,7.5\n",
    "ana,ACD,s1,2026-04-02T08:00:00+00:00,2026-04-03T08:00:00+00:00,7\n",
)
LATE = "ci,RVT,s2,2026-03-20T08:00:00+00:00,2026-03-21T08:00:00+00:00,4\n"


class Case:
    """A contract, a file of charges, and a folder for the ledger."""

    def __init__(self, folder: Path) -> None:
        self.contract = folder / "contract.toml"
        self.contract.write_text(CONTRACT)
        self.charges = folder / "charges.csv"
        self.kept = folder / "kept"

    def run(self, rows: tuple[str, ...], *more: object) -> Result:
        self.charges.write_text(HEAD + "".join(rows))
        given = ["ledger", self.charges, "--contract", self.contract, *more]
        return CliRunner(env={"COLUMNS": "100"}).invoke(cli.app, [str(word) for word in given])

    def answer(self, rows: tuple[str, ...], *more: object) -> dict[str, Any]:
        result = self.run(rows, *more, "--json")
        assert result.exit_code == 0, result.stderr
        answer: dict[str, Any] = json.loads(result.stdout)
        return answer


@pytest.fixture
def case(tmp_path: Path) -> Case:
    return Case(tmp_path)


@pytest.mark.parametrize("day", ["2026-03", "2026-03-31"])
def test_late_data_are_told_as_corrections_of_what_was_closed(case: Case, day: str) -> None:
    first = case.answer(ROWS, "--keep", case.kept, "--close", day)
    assert first["closed"] == "2026-03-31"
    assert first["corrections"] == []
    rows = (ROWS[0], ROWS[1].replace("7.5", "7"), LATE, ROWS[2])
    second = case.answer(rows, "--keep", case.kept)
    assert second["closed"] == "2026-03-31"
    said = [(row["reason"], row["corrects"], row["pool"], row["tokens"], row["user"]) for row in second["corrections"]]
    assert said == [
        ("follows", "expiry", "old", "3.5000", None),
        ("changed", "charge", "old", "0.5000", "bo"),
        ("late", "charge", "old", "-4.0000", "ci"),
    ]
    assert [row["month"] for row in second["by_month"]] == ["2026-03-01", "2026-04-01"]
    assert first["by_month"][0] == second["by_month"][0]
    ledger = tf.read_ledger(case.kept)
    assert ledger.corrections.height == 3
    told = case.run(rows, "--keep", case.kept)
    words = " ".join(told.stdout.split())
    assert "closed until 2026-03-31" in words
    assert "Corrections of what was closed (3)" in words
    assert "late: charge" in words
    assert "correction of what was" in words
    assert "ci, RVT" in words
    assert max(len(line) for line in told.stdout.splitlines()) <= 100


def test_without_keep_nothing_is_kept(case: Case) -> None:
    assert case.answer(ROWS)["closed"] is None
    assert not case.kept.exists()


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["--close", "2026-03"], ["--close goes with --keep FOLDER"]),
        (["--keep", "KEPT", "--close", "March"], ["write a day as 2026-03-31 or a month as 2026-03"]),
        (["--keep", "KEPT", "--close", "2026-13"], ["write a day as 2026-03-31"]),
        (["--keep", "KEPT", "--close", "2026-04"], ["2026-04-30 has not ended where the ledger ends", "--as-of"]),
        (["--keep", "KEPT", "--close", "2025-04"], ["the contract runs from 2026-03-01"]),
    ],
)
def test_what_cannot_be_closed_is_said_and_nothing_is_kept(case: Case, more: list[str], words: list[str]) -> None:
    result = case.run(ROWS, *(case.kept if word == "KEPT" else word for word in more))
    assert result.exit_code == 2
    for word in words:
        assert word in result.stderr
    assert not case.kept.exists()


def test_a_ledger_of_another_contract_is_not_gone_on_with(case: Case) -> None:
    case.answer(ROWS, "--keep", case.kept)
    case.contract.write_text(CONTRACT.replace('"7"', '"8"'))
    result = case.run(ROWS, "--keep", case.kept)
    assert result.exit_code == 2
    assert "--keep holds a ledger of the contract 7, and --contract is 8" in result.stderr
    (case.kept / "ledger.json").write_text("{")
    damaged = case.run(ROWS, "--keep", case.kept)
    assert damaged.exit_code == 2
    assert "cannot be read" in damaged.stderr
