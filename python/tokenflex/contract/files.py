"""Contracts, offers and price lists as TOML and JSON, every number as it is written."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from contextlib import contextmanager
from datetime import date
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

from tokenflex.errors import ArgumentError, FieldsError, SourceError, SourceNotFoundError
from tokenflex.reading.statement.aliases import key_of
from tokenflex.reading.statement.source import text_of
from tokenflex.words import many

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_VENDORS: Final = {
    key_of(name)
    for name in ("contractNumber", "contractStartDate", "multiyearProvisionedTokens", "result", "data", "contracts")
}
"""Names that the vendor's JSON of a contract has, and a contract of ours has not."""

ENDINGS: Final = (".toml", ".json")


def is_json(ending: str, text: str) -> bool:
    """Whether a file is JSON and not TOML: by its ending, under another name by how it begins."""
    if ending.lower() in ENDINGS:
        return ending.lower() == ".json"
    return text.lstrip().startswith(("{", "[{"))


def toml_of(fields: Mapping[str, Any]) -> str:
    """The fields as TOML: what is one value first, then a table each for the servers and each part."""
    lines = [f"{name} = {toml_literal(value)}" for name, value in fields.items() if not _is_table(value)]
    for name, value in fields.items():
        if isinstance(value, Mapping):
            lines += ["", f"[{name}]", *(f"{_text(key)} = {toml_literal(each)}" for key, each in value.items())]
        elif _is_table(value):
            for part in value:
                lines += ["", f"[[{name}]]", *(f"{key} = {toml_literal(each)}" for key, each in part.items())]
    return "\n".join([*lines, ""])


def _is_table(value: object) -> bool:
    return isinstance(value, Mapping) or (isinstance(value, list) and isinstance(value[0], Mapping))


def toml_literal(value: object) -> str:
    """A value that is no table, as TOML."""
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, list):
        return f"[{', '.join(toml_literal(each) for each in value)}]"
    return _text(value)


def _text(value: object) -> str:
    # JSON's literals are TOML's, except that TOML has no surrogate pairs and escapes DEL.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def parsed_toml(text: str, what: str = "the contract") -> dict[str, Any]:
    """The fields of a TOML document."""
    try:
        return tomllib.loads(text, parse_float=Decimal)
    except (ValueError, RecursionError) as error:
        raise ArgumentError(f"{what} is no TOML: {error}") from error


def text_in(path: Path, what: str) -> str:
    """The text of a file, in UTF-8, UTF-16 or Windows-1252.

    Raises:
        SourceNotFoundError: There is no such file.
        SourceError: It cannot be read, or has letters that no reader knows.
    """
    try:
        text, lost = text_of(path.read_bytes(), str(path), "cp1252")
    except FileNotFoundError as error:
        raise SourceNotFoundError(f"there is no {what} {path}", location=str(path)) from error
    except OSError as error:
        raise SourceError(f"{path} cannot be read: {error}", location=str(path)) from error
    if lost:
        raise SourceError(
            f"{path} has {many(lost, 'letter')} that no reader knows: save it as UTF-8", location=str(path)
        )
    return text


@contextmanager
def told_of_file(path: str | Path) -> Iterator[None]:
    """What is wrong with the content of a file is told with its name."""
    try:
        yield
    except FieldsError as error:
        raise FieldsError(f"{path}: {error}", location=error.location, fields=error.fields) from error
    except ArgumentError as error:
        raise SourceError(f"{path}: {error}", location=str(path)) from error


def json_of(fields: Mapping[str, Any]) -> str:
    """The fields as a JSON object."""
    return json.dumps(fields, indent=2, ensure_ascii=False) + "\n"


def parsed_json(text: str) -> Any:  # noqa: ANN401 - whatever the JSON holds
    """What a JSON document holds."""
    try:
        return json.loads(text, parse_float=Decimal, parse_constant=str, object_pairs_hook=_once)
    except (ValueError, RecursionError) as error:
        raise ArgumentError(f"the contract is no JSON: {error}") from error


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object, unless a name stands in it twice: one of the two values would be lost."""
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"{twice!r} stands twice in one object")
    return found


def is_vendors(document: object) -> bool:
    """Whether JSON is of the vendor's contract endpoint and not of a contract of ours."""
    if isinstance(document, list):
        return True
    return isinstance(document, Mapping) and any(key_of(name) in _VENDORS for name in document)
