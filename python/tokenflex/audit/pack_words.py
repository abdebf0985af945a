"""The README of an evidence pack: what is in it, what was found, and how to have the same again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import polars as pl

from tokenflex.audit.causes import WORDS
from tokenflex.words import many

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tokenflex.audit.inputs import Inputs
    from tokenflex.audit.reconcile import Reconciliation

_FILES = {
    "cases.csv": "the cases, one a row, numbered: what is due, what was stated, the cause and how it was tested",
    "sessions.csv": "the sessions of the person and product near each case, as the license servers logged them",
    "statement.csv": "the rows of the statement near each case",
    "lines.csv": "the lines of the logs behind these sessions: file, line number and text",
    "sources.csv": "the files that all this was read from, with size and SHA-256",
    "summary.csv": "all lines of both sides, added up by outcome, status and cause",
    "manifest.json": "version, settings, checks, and the SHA-256 of every file here",
    "inputs/": "what the reconciliation was made of: charges, statement, sessions, rule, rates, names, zones",
    "evidence/": "lines and sources as they were found; a re-run takes them as they are",
}

_TOGETHER = (
    "A case, its sessions, its rows and their lines go together by their numbers: `case` in `cases.csv`, "
    "`sessions.csv` and `statement.csv`, `session` in `sessions.csv` and `lines.csv`. Times are UTC; `local_time` "
    "is the clock of the license server."
)
_RERUN = (
    "It reads `inputs/`, charges the sessions by rule and rates anew, reconciles them with the statement, makes every "
    "file of this pack again, and compares: the result has to be the same to the byte."
)


def readme_of(
    found: Reconciliation, inputs: Inputs, cases: pl.DataFrame, about: Mapping[str, Any], checks: Mapping[str, str]
) -> str:
    """The whole text; the same for the same evidence."""
    parts = [
        "# Evidence: tokens charged, and tokens due",
        _what(inputs, cases),
        "## What agrees and what does not",
        _table(
            ("outcome", "status", "cause", "lines", "due", "stated", "difference"),
            found.summary.select(pl.all().cast(pl.String).fill_null("")).iter_rows(),
        ),
        "## The cases, by cause",
        _by_cause(cases),
        "## The terms",
        _terms(inputs, about),
        "## Checks",
        "\n".join(f"- {what}: {answer}" for what, answer in checks.items()),
        "## What is here",
        "\n".join(f"- `{name}`: {text}" for name, text in _FILES.items()),
        _TOGETHER,
        "## The same again",
        "With Python 3.11 or later, in the folder of this file (or with the name of the zip in place of the dot):",
        f"```sh\npip install tokenflex=={about['tokenflex']}\ntokenflex rerun .\n```",
        _RERUN,
    ]
    return "\n\n".join(parts) + "\n"


def _what(inputs: Inputs, cases: pl.DataFrame) -> str:
    first, last = (str(cases["usage_date"].min()), str(cases["usage_date"].max()))
    period = f" from {first} to {last}" if cases["usage_date"].count() else ""
    differences = cases["difference"]
    over, under = differences.filter(differences > 0).sum(), differences.filter(differences < 0).sum()
    return (
        f"{many(cases.height, 'case')}{period}, by {inputs.level}: {over} tokens were stated beyond what is due, and "
        f"{-under} less. Due is what the license servers' sessions cost by the rule and the rates below. Each cause "
        "was tested: with the one change that it names, the difference is gone. What no change explains is "
        "`unexplained`."
    )


def _by_cause(cases: pl.DataFrame) -> str:
    counted = cases.group_by("cause").agg(pl.len().alias("cases"), pl.col("difference").sum()).sort("cause")
    rows = [(cause, str(count), str(difference), WORDS[cause]) for cause, count, difference in counted.iter_rows()]
    return _table(("cause", "cases", "difference", "what it says"), rows) if rows else "There is none."


def _terms(inputs: Inputs, about: Mapping[str, Any]) -> str:
    lines = [f"- computed with tokenflex {about['tokenflex']} and the zone database {about['zone_database']}"]
    if inputs.rule is not None:
        lines.append(f"- the rule is `{inputs.rule.rule_id}`, in `inputs/rule.toml`")
    if inputs.rates is not None:
        lines.append(f"- {many(len(inputs.rates), 'rate')} in `inputs/rates.csv`, each from the instant that it states")
    lines += [
        f"- the days of server `{name}` are those of {zone}" for name, zone in sorted((inputs.servers or {}).items())
    ]
    if inputs.tolerance:
        lines.append(f"- amounts that differ by {inputs.tolerance} or less count as equal")
    return "\n".join(lines)


def _table(header: tuple[str, ...], rows: Any) -> str:  # noqa: ANN401 - whatever gives tuples of text
    lines = [header, tuple("---" for _ in header), *rows]
    return "\n".join("| " + " | ".join(_cell(cell) for cell in line) + " |" for line in lines)


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
