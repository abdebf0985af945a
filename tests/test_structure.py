"""The house stands as it was drawn: layers, names, docstrings, and no stage that looks to its right."""

from __future__ import annotations

import ast
import inspect
from pathlib import Path
from typing import get_type_hints

import pytest

import tokenflex as tf
from tokenflex import _core

PACKAGE = Path(inspect.getfile(tf)).parent
STAGES = ["reading", "usage", "metering", "contract", "audit", "saving", "planning", "reporting", "book"]


def test_every_public_name_has_a_docstring_or_a_type_that_has() -> None:
    for name in tf.__all__:
        assert inspect.getdoc(getattr(tf, name)), name


def test_names_of_the_package_are_its_public_names() -> None:
    assert tf.__all__ == sorted(tf.__all__, key=lambda name: (not name.isupper(), not name[0].isupper(), name))
    for name in tf.__all__:
        assert hasattr(tf, name), name


CONTRACT = tf.Contract(number="team 7", packs=[tf.Pack(id="a", tokens=1, purchased="2026-01-01")])
BOOK = tf.Book("no.book", timezone="UTC")

VERBS = [
    BOOK.update,
    BOOK.add_statement,
    CONTRACT.settle,
    tf.avoidable_charges,
    tf.capacity,
    tf.charge,
    tf.chargeback,
    tf.compare_models,
    tf.compare_rules,
    tf.concurrency,
    tf.denials,
    tf.dispute,
    tf.double_charges,
    tf.estimate,
    tf.explain_double_charges,
    tf.follow_up,
    tf.forecast,
    tf.guess_columns,
    tf.harvest,
    tf.harvest_replay,
    tf.idle,
    tf.heat_map,
    tf.held,
    tf.inactive,
    tf.infer_rule,
    tf.infer_zones,
    tf.inspect,
    tf.judge_denials,
    tf.pair,
    tf.place_servers,
    tf.plan_purchase,
    tf.pseudonymize,
    tf.read_contract,
    tf.read_dispute,
    tf.read_flexlm,
    tf.read_ledger,
    tf.read_lmstat,
    tf.read_rlm,
    tf.read_statement,
    tf.read_table,
    tf.reconcile,
    tf.scan_charges,
    tf.scan_sessions,
    tf.sensitivity,
    tf.report,
    tf.sessions_from,
    tf.summarize_avoidable,
    tf.summarize_denials,
    tf.zone_whatif,
]
POSITIONAL: dict[object, tuple[str, ...]] = {
    tf.follow_up: ("earlier", "later"),
    tf.infer_rule: ("sessions", "statement"),
    tf.judge_denials: ("denials", "sessions"),
    tf.reconcile: ("charges", "statement"),
}
"""Verbs that take more than one. These hold two tables against each other, and neither is an option of the other; they
are called as `tf.infer_rule(sessions, statement)`."""


@pytest.mark.parametrize("verb", VERBS)
def test_a_verb_takes_one_positional_argument_and_tells_all(verb: object) -> None:
    assert callable(verb)
    signature = inspect.signature(verb)
    names = list(signature.parameters)
    kinds = [parameter.kind for parameter in signature.parameters.values()]
    positional = POSITIONAL.get(verb, (names[0],))
    assert names[: len(positional)] == list(positional)
    assert set(kinds[: len(positional)]) == {inspect.Parameter.POSITIONAL_OR_KEYWORD}
    assert set(kinds[len(positional) :]) <= {inspect.Parameter.KEYWORD_ONLY}
    text = inspect.getdoc(verb) or ""
    for part in ("Args:", "Returns:", "Raises:", "Example:"):
        assert part in text, part
    for name in signature.parameters:
        assert f"{name}: " in text, name


def test_everything_compiled_is_typed_and_used() -> None:
    stub = ast.parse((PACKAGE / "_core.pyi").read_text(encoding="utf-8"))
    typed = {node.name for node in stub.body if isinstance(node, ast.FunctionDef | ast.ClassDef)}
    typed |= {
        node.target.id for node in stub.body if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)
    }
    exported = {name for name in dir(_core) if not name.startswith("__") or name == "__version__"}
    assert exported - typed == set()
    code = "\n".join(path.read_text(encoding="utf-8") for path in PACKAGE.rglob("*.py"))
    for name in exported - {"Table", "__version__", "is_optimized"}:
        assert f"_core.{name}(" in code or name == "zone_database_version", name


def test_the_compiled_part_is_optimized() -> None:
    assert _core.is_optimized, "built without --release"


def test_no_stage_imports_from_its_right() -> None:
    for place, stage in enumerate(STAGES):
        later = STAGES[place + 1 :]
        for path in (PACKAGE / stage).glob("*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.ImportFrom) and node.module:
                    assert not any(node.module.startswith(f"tokenflex.{other}") for other in later), path


def test_every_module_says_what_it_is_for() -> None:
    for path in PACKAGE.rglob("*.py"):
        assert ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))), path


def test_every_exception_is_ours_and_a_built_in_one() -> None:
    for name in tf.__all__:
        kind = getattr(tf, name)
        if (
            inspect.isclass(kind)
            and issubclass(kind, Exception)
            and kind not in (tf.TokenflexError, tf.TokenflexWarning)
        ):
            assert issubclass(kind, tf.TokenflexError)
            assert any(base.__module__ == "builtins" for base in kind.__bases__ + kind.__mro__[2:4]), name


def test_the_hints_of_the_verbs_can_be_read() -> None:
    assert get_type_hints(tf.Problems.add)["return"] is type(None)
