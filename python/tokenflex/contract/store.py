"""A ledger in a folder, so that what was closed stays closed from one run to the next."""

from __future__ import annotations

import io
import json
import os
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import polars as pl

from tokenflex.content import digest, parquet_of
from tokenflex.errors import SourceError, SourceNotFoundError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tokenflex.contract.ledger import Ledger

INDEX: Final = "ledger.json"
"""What of the folder's files is the ledger. It is replaced last, in one step: a run that dies leaves the old ledger."""
FORMAT: Final = 1
_TABLES: Final = ("entries", "charges", "bookings")


def write_ledger(ledger: Ledger, folder: str | Path) -> None:
    """What `Ledger.write` does."""
    folder = Path(folder)
    contents = {name: (parquet_of(getattr(ledger, name)), "parquet") for name in _TABLES}
    contents["contract"] = (ledger.contract.to_toml().encode(), "toml")
    files = {name: _named(name, content, ending) for name, (content, ending) in contents.items()}
    index = {
        "format": FORMAT,
        "as_of": ledger.as_of.isoformat(),
        "closed": None if ledger.closed is None else ledger.closed.isoformat(),
        "withdrawn": ledger.withdrawn,
        "files": {name: {"name": file, "sha256": digest(contents[name][0])} for name, file in files.items()},
    }
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, file in files.items():
            _replace(folder / file, contents[name][0])
        _replace(folder / INDEX, json.dumps(index, indent=2).encode() + b"\n")
        for stale in folder.iterdir():
            if stale.name not in {INDEX, *files.values()} and stale.name.partition("-")[0] in contents:
                stale.unlink(missing_ok=True)
    except OSError as error:
        raise SourceError(f"the ledger cannot be written to {folder}: {error}", location=str(folder)) from error


class Stored(NamedTuple):
    """What a folder holds of a ledger."""

    tables: dict[str, pl.DataFrame]
    contract: str
    """As TOML."""
    as_of: datetime
    closed: date | None
    withdrawn: int


def stored_in(folder: Path) -> Stored:
    """Reads the folder of a ledger.

    Raises:
        SourceNotFoundError: There is no ledger in it.
        SourceError: It cannot be read, or its files are not those that were written.
    """
    index = _index(folder)
    try:
        return Stored(
            tables={name: pl.read_parquet(io.BytesIO(_content(folder, index, name))) for name in _TABLES},
            contract=_content(folder, index, "contract").decode(),
            as_of=datetime.fromisoformat(index["as_of"]),
            closed=None if index["closed"] is None else date.fromisoformat(index["closed"]),
            withdrawn=int(index["withdrawn"]),
        )
    except SourceError:
        raise
    except (KeyError, TypeError, ValueError, pl.exceptions.PolarsError) as error:
        raise SourceError(f"{folder} holds no ledger of this version: {error}", location=str(folder)) from error


def _index(folder: Path) -> dict[str, Any]:
    path = folder / INDEX
    try:
        index = json.loads(path.read_bytes())
    except FileNotFoundError as error:
        raise SourceNotFoundError(f"there is no ledger in {folder}", location=str(folder)) from error
    except (OSError, ValueError) as error:
        raise SourceError(f"{path} cannot be read: {error}", location=str(path)) from error
    if not isinstance(index, dict) or index.get("format") != FORMAT:
        raise SourceError(f"{path} is no ledger of this version (format {FORMAT})", location=str(path))
    return index


def _content(folder: Path, index: Mapping[str, Any], name: str) -> bytes:
    """A file of the ledger, which has to be the one that was written."""
    said = index["files"][name]
    path = folder / Path(said["name"]).name
    try:
        content = path.read_bytes()
    except OSError as error:
        raise SourceError(f"{path} of the ledger cannot be read: {error}", location=str(path)) from error
    if digest(content) != said["sha256"]:
        raise SourceError(f"{path} was changed since the ledger was written", location=str(path))
    return content


def _named(name: str, content: bytes, ending: str) -> str:
    return f"{name}-{digest(content)[:12]}.{ending}"


def _replace(path: Path, content: bytes) -> None:
    """Writes a file whole or not at all."""
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with part.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
