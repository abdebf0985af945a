"""The documents tell the truth: commands, tables, rules and problem codes are those of the code."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import typer

import tokenflex as tf
from reference_pages import public_names, reference_pages
from tokenflex import tables
from tokenflex.cli import app

if TYPE_CHECKING:
    from tokenflex.demo import DemoFirm

ROOT = Path(__file__).parents[1]
OF_TOKENFLEX = {"--help", "--version", "--write-readme", "--strict"}
"""Options of the program itself, of the benches and of mkdocs."""


def sources(*folders: str, ending: str) -> str:
    files = [path for folder in folders for path in sorted((ROOT / folder).rglob(f"*{ending}"))]
    return "\n".join(path.read_text(encoding="utf-8") for path in files)


def test_every_test_that_semantics_names_exists() -> None:
    text = (ROOT / "SEMANTICS.md").read_text(encoding="utf-8")
    rows = [line.rsplit("|", 2)[1] for line in text.splitlines() if line.startswith("| ")]
    named = {name for row in rows for name in re.findall(r"`(\w+)`", row)}
    tests = set(re.findall(r"def (test_\w+)\(", sources("tests", ending=".py")))
    rust = set(re.findall(r"#\[test\]\s+fn (\w+)\(", sources("rust/core", ending=".rs")))
    assert len(named) > 60
    assert named - tests - rust == set()


def test_tables_page_is_the_tables_themselves() -> None:
    page = (ROOT / "docs" / "tables.md").read_text(encoding="utf-8")
    assert page == tables_page(), "renew it: PYTHONPATH=docs/site python tests/test_documents.py"


def tables_page() -> str:
    lines = [
        "# Tables",
        "",
        "Every column of every table that a verb takes or returns. This page is made from `tokenflex.tables`, where",
        'they are at home; `tokenflex.tables.describe("events")` gives the same as a table.',
        "",
        "Times are instants in UTC, intervals are half-open, tokens are decimals of scale 4.",
    ]
    for name, schema in tables.TABLES.items():
        lines += ["", f"## {name}", "", tables.MEANINGS[name][""], "", "| column | type | meaning |", "|---|---|---|"]
        assert list(schema) == tables.describe(name)["column"].to_list()
        lines += [
            f"| `{column}` | {dtype.replace('|', ' ')} | {meaning} |"
            for column, dtype, meaning in tables.describe(name).iter_rows()
        ]
    return "\n".join(lines) + "\n"


def test_every_problem_code_is_explained() -> None:
    page = sources("docs", ending=".md")
    explained = set(re.findall(r"^\| `(\w+)` \|", page, flags=re.MULTILINE))
    reader = (
        re.findall(r'code: "(\w+)"', sources("rust/core/src/flexlm", ending=".rs"))
        + re.findall(r'^const \w+: &str = "([a-z_]+)";', sources("rust/core/src/flexlm", ending=".rs"), re.MULTILINE)
        + re.findall(r'=> "([a-z]+_[a-z_]+)"', sources("rust/core/src", ending=".rs"))
        + re.findall(r'code=(?:pl.lit\()?"(\w+)"', sources("python/tokenflex", ending=".py"))
    )
    assert len(reader) > 12
    assert set(reader) - explained == set()


def test_the_python_of_the_readme_runs(tmp_path: Path, demo_firm: DemoFirm) -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    ((code, shown),) = re.findall(r"```python\n(.*?)```\n\n```text\n(.*?)```", text, flags=re.DOTALL)
    shutil.copytree(demo_firm.folder, tmp_path / "firm")
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        cwd=tmp_path,
        env=os.environ | {"PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stderr == ""
    assert done.stdout == shown


def test_the_reference_has_every_public_name_once() -> None:
    pages = reference_pages()
    shown = [
        name for page in pages.values() for name in re.findall(r"^::: tokenflex\.(\w+)$", page, flags=re.MULTILINE)
    ]
    assert sorted([*shown, "tables"]) == sorted(tf.__all__)  # tables.md has the tables, column by column
    for name in public_names():
        assert name.summary, name
        assert f"[`tf.{name.name}`]" in pages["index.md"], name


def test_every_verb_is_on_a_page() -> None:
    pages = [path.read_text(encoding="utf-8") for path in (ROOT / "docs").glob("*.md") if path.name != "tables.md"]
    text = "\n".join(pages)
    verbs = [name for name in public_names() if name.is_verb and callable(getattr(tf, name.name))]
    assert len(verbs) > 40
    assert [name.name for name in verbs if f"tf.{name.name}" not in text] == []


def test_names_commands_and_options_in_the_documents_are_those_of_the_code() -> None:
    commands = typer.main.get_command(app).commands  # type: ignore[attr-defined] # a group, by its type a command
    options = {
        text for each in commands.values() for option in each.params for text in (*option.opts, *option.secondary_opts)
    }
    for path in [ROOT / "README.md", ROOT / "SEMANTICS.md", *(ROOT / "docs").glob("*.md")]:
        text = path.read_text(encoding="utf-8")
        assert {name for name in re.findall(r"\btf\.(\w+)", text) if not hasattr(tf, name)} == set(), path
        assert set(re.findall(r"`tokenflex ([a-z-]+)", text)) - set(commands) - OF_TOKENFLEX == set(), path
        assert set(re.findall(r"(?<![\w-])(--[a-z][\w-]+)", text)) - options - OF_TOKENFLEX == set(), path


def test_the_layout_has_every_module() -> None:
    text = (ROOT / "DESIGN.md").read_text(encoding="utf-8").partition("\n## Layout\n")[2]
    named = set(re.findall(r"\w+", text))
    package = ROOT / "python" / "tokenflex"
    modules = {path.stem: path for path in package.rglob("*.py") if path.parent.name not in {"commands", "demo"}}
    assert len(modules) > 100
    assert {path for name, path in modules.items() if name not in named | {"__main__"}} == set()
    assert {path.name for path in package.iterdir() if (path / "__init__.py").exists()} - named == set()


@pytest.mark.parametrize(
    "page", ["README.md", "SEMANTICS.md", "DESIGN.md", "COMPARE.md", "CONTRIBUTING.md", "docs", "benches/README.md"]
)
def test_links_lead_somewhere(page: str) -> None:
    place = ROOT / page
    pages = sorted(place.glob("*.md")) if place.is_dir() else [place]
    assert pages
    for each in pages:
        for link in re.findall(r"\]\(([^)#]+)", each.read_text(encoding="utf-8")):
            assert link.startswith("https://") or (each.parent / link).exists(), f"{each.name}: {link}"


if __name__ == "__main__":
    (ROOT / "docs" / "tables.md").write_text(tables_page(), encoding="utf-8")
