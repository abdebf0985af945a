"""What kind of file something is, told by its first lines and never by its name."""

from __future__ import annotations

import re
from typing import Final, Literal, TypeAlias

Kind: TypeAlias = Literal[
    "flexlm",
    "lmstat",
    "rlm",
    "json",
    "table",
    "rule",
    "contract",
    "offer",
    "price_list",
    "workbook",
    "parquet",
    "sqlite",
    "duckdb",
    "empty",
    "unknown",
]
"""The kinds. A table of text, JSON and a workbook are told apart further by their columns."""

LINES_LOOKED_AT: Final = 400

_MAGIC: Final[tuple[tuple[bytes, Kind], ...]] = (
    (b"PK\x03\x04", "workbook"),
    (b"PAR1", "parquet"),
    (b"SQLite format 3\0", "sqlite"),
)
"""First bytes of files that are no text."""

_LOGS: Final[dict[Kind, re.Pattern[str]]] = {
    # The envelope of a line: time and daemon.
    "flexlm": re.compile(r"^ *(?:\d{1,2}:\d\d:\d\d|\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d\S*) \([^)]+\) ", re.MULTILINE),
    "rlm": re.compile(
        r"^(?:RLM Report Log Format|START \S+ \d\d/\d\d/\d{4} |TIMEZONE -?\d+ "
        r'|(?:OUT|IN|DENY|INUSE|PRODUCT) \S+ \S+ \S+ .*")',
        re.MULTILINE,
    ),
    "lmstat": re.compile(
        r"^Flexible License Manager status on |^lmstat - Copyright|^Users of \S+: +\((?:Total of|Error|Uncounted)",
        re.MULTILINE,
    ),
}
"""Lines that only one kind of log has."""

_MARKS: Final[dict[Kind, re.Pattern[str]]] = {
    "rule": re.compile(r"""^window *= *["'](?:rolling|day)["']""", re.MULTILINE),
    "offer": re.compile(r"^ *overage_price *=", re.MULTILINE),
    "contract": re.compile(r"^ *\[\[ *(?:years|packs) *\]\]", re.MULTILINE),
    "price_list": re.compile(r"^ *\[\[ *(?:subscriptions|maintenance) *\]\]", re.MULTILINE),
}
"""A line that only one kind of TOML has, the first that is found; but contracts may have an overage price, too."""
_BOUGHT: Final = re.compile(r"^ *(?:start|purchased) *=", re.MULTILINE)
"""What each contract has, and no offer."""

_SEPARATORS: Final = ",;\t|"


def kind_of(head: bytes, text: str) -> Kind:
    """The kind of a file of which these are the first bytes, and the same as text."""
    # A checksum stands before it.
    if head[8:12] == b"DUCK":
        return "duckdb"
    for magic, kind in _MAGIC:
        if head.startswith(magic):
            return kind
    start = "\n".join(text.lstrip("\ufeff").splitlines()[:LINES_LOOKED_AT]).strip()
    return _kind_of_text(start) if start else "empty"


def _kind_of_text(start: str) -> Kind:
    if "\0" in start:
        return "unknown"
    if start[0] in "{[":
        return "json"
    # A log can hold words of another, in the reason of a refusal for instance: the most lines decide.
    found = {kind: len(line.findall(start)) for kind, line in _LOGS.items()}
    likely = max(found, key=lambda kind: found[kind])
    if found[likely] > 0:
        return likely
    for kind, mark in _MARKS.items():
        if mark.search(start) and not (kind == "offer" and _BOUGHT.search(start)):
            return kind
    return "table" if set(_SEPARATORS) & set(start.splitlines()[0]) else "unknown"
