"""The pages of the reference: every public name, by the stage that it belongs to, read from the code and not by hand.

Only the source is read, nothing is imported: so the site is built without the compiled part, and the tests can hold
these pages against `tokenflex.__all__`.
"""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Final, NamedTuple

PACKAGE: Final = Path(__file__).parents[2] / "python" / "tokenflex"
STAGES: Final = {
    "reading": "From files and tables to events, sessions and statements; who is who.",
    "usage": "From events to sessions; how many licenses are in use, who holds them idle.",
    "metering": "From sessions to charges, under a rule that is a value.",
    "contract": "From charges to balances, cost, and who pays.",
    "audit": "Our number against the vendor's; double and avoidable charges; evidence.",
    "saving": "Which sessions to close before they are charged again, and what that saves.",
    "planning": "The days to come, how many tokens to buy, and what else there is to buy.",
    "reporting": "All of it, to look at.",
    "problems": "What could not be used, calls that cannot be answered, and which version this is.",
}
"""Stage -> what it does. Names of modules outside of these stages are on the page of problems."""
STAGE_OF: Final = {"inspection": "reading"}
"""Modules outside of the stages that belong to one."""


class PublicName(NamedTuple):
    """A name that `import tokenflex as tf` gives, and what its first line says."""

    name: str
    stage: str
    summary: str

    @property
    def is_verb(self) -> bool:
        """Whether it does something: a function and no type or value."""
        return self.name.islower()


def public_names() -> list[PublicName]:
    """All names of `tokenflex.__all__`, verbs before values, in order of the alphabet."""
    package = ast.parse((PACKAGE / "__init__.py").read_text(encoding="utf-8"))
    homes = {
        each.asname or each.name: f"{node.module}.{each.name}"
        for node in package.body
        if isinstance(node, ast.ImportFrom) and node.module
        for each in node.names
    }
    (listed,) = (
        node.value
        for node in package.body
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and node.targets[0].id == "__all__"
    )
    names = [PublicName(name, _stage(homes[name]), _summary(homes[name])) for name in ast.literal_eval(listed)]
    return sorted(names, key=lambda name: (not name.is_verb, name.name.lower()))


def _stage(home: str) -> str:
    module = home.split(".")[1]
    return STAGE_OF.get(module, module if module in STAGES else "problems")


def _summary(home: str) -> str:
    """The first line of what a name's docstring says, from its source."""
    _, *parts, name = home.split(".")
    place = PACKAGE.joinpath(*parts)
    files = [place.with_suffix(".py"), place.with_suffix(".pyi"), place / f"{name}.py", place / "__init__.py"]
    tree = ast.parse(next(file for file in files if file.exists()).read_text(encoding="utf-8"))
    text = ast.get_docstring(tree) if (place / f"{name}.py").exists() or home == f"tokenflex.{name}" else None
    for node, after in zip(tree.body, [*tree.body[1:], None], strict=True):
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and node.name == name:
            text = ast.get_docstring(node)
        target = node.target if isinstance(node, ast.AnnAssign) else getattr(node, "targets", [None])[0]
        if isinstance(target, ast.Name) and target.id == name and isinstance(after, ast.Expr):
            text = str(ast.literal_eval(after.value))
    return (text or "").strip().split("\n\n")[0].replace("\n", " ")


def reference_pages() -> dict[str, str]:
    """Page below `reference/` -> its text as Markdown: an index, and a page for each stage that has names."""
    names = public_names()
    pages = {"index.md": _index(names)}
    for stage, what in STAGES.items():
        own = [name for name in names if name.stage == stage]
        if own:
            blocks = [f"::: tokenflex.{name.name}" for name in own if name.name != "tables"]
            tables = (
                ["[tables.md](../tables.md) has every column of `tokenflex.tables`."] if len(own) > len(blocks) else []
            )
            pages[f"{stage}.md"] = "\n\n".join([f"# {title(stage)}", what, *tables, *blocks]) + "\n"
    return pages


def title(stage: str) -> str:
    """The name of a stage's page."""
    return "Problems, errors, versions" if stage == "problems" else stage.capitalize()


def _index(names: list[PublicName]) -> str:
    lines = [
        "# Reference",
        "",
        "Every public name, by stage. `import tokenflex as tf` gives them all; a verb takes its table first and all",
        "else by name.",
    ]
    for stage, what in STAGES.items():
        own = [name for name in names if name.stage == stage]
        if own:
            lines += ["", f"## {title(stage)}", "", what, "", "| name | what it is |", "|---|---|"]
            lines += [f"| {_link(name)} | {name.summary.replace('|', chr(92) + '|')} |" for name in own]
    return "\n".join(lines) + "\n"


def _link(name: PublicName) -> str:
    where = "../tables.md" if name.name == "tables" else f"{name.stage}.md#tokenflex.{name.name}"
    return f"[`tf.{name.name}`]({where})"
