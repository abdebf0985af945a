"""The files of an evidence pack: what goes in as bytes and comes out again, in a folder or a zip."""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import tempfile
import zipfile
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import polars as pl

from tokenflex import tables
from tokenflex.audit.inputs import Inputs
from tokenflex.content import csv_of, digest, parquet_of
from tokenflex.errors import ArgumentError, SourceError, SourceNotFoundError, TokenflexError
from tokenflex.metering.rates import Rates
from tokenflex.metering.rule import Rule
from tokenflex.reading.identity import Identity
from tokenflex.reading.user_zones import UserZones

if TYPE_CHECKING:
    from collections.abc import Mapping


MANIFEST: Final = "manifest.json"
FORMAT: Final = 1
ASKED: Final = "inputs/asked.json"
_TABLES: Final = {
    "charges": tables.CHARGES,
    "statement": tables.STATEMENT,
    "sessions": tables.SESSIONS,
    "coverage": tables.COVERAGE,
}
_NO_INPUTS: Final = (
    KeyError,
    TypeError,
    ValueError,
    AttributeError,
    ArithmeticError,
    RecursionError,
    pl.exceptions.PolarsError,
    TokenflexError,
)
"""What reading the inputs of a pack can raise that somebody made by hand."""
_LARGEST: Final = 1 << 34
"""No file of a pack that somebody sends may claim to be larger."""


def parquet_in(content: bytes, schema: tables.Schema) -> pl.DataFrame:
    """The table that `parquet_of` wrote.

    Raises:
        SourceError: It is none.
    """
    try:
        return tables.finish(pl.read_parquet(io.BytesIO(content)), schema)
    except pl.exceptions.PolarsError as error:
        raise SourceError(f"the pack's evidence cannot be read: {error}", location="evidence") from error


def files_of_inputs(inputs: Inputs, causes: list[str] | None) -> dict[str, bytes]:
    """What a reconciliation was made of, as files."""
    files = {}
    for name, schema in _TABLES.items():
        table = getattr(inputs, name)
        if table is not None:
            # The columns that an audit reads, and no other of the caller's.
            kept = table.select(column for column in schema if column in table.columns)
            files[f"inputs/{name}.parquet"] = parquet_of(kept)
    asked: dict[str, Any] = {
        "level": inputs.level,
        "tolerance": str(inputs.tolerance),
        "causes": causes,
        "servers": None if inputs.servers is None else dict(sorted(inputs.servers.items())),
        "variants": None if inputs.variants is None else dict(sorted(inputs.variants.items())),
        "users": None,
        "identity": None,
    }
    if inputs.rule is not None:
        files["inputs/rule.toml"] = inputs.rule.to_toml().encode()
    if inputs.rates is not None:
        files["inputs/rates.csv"] = csv_of(inputs.rates.frame)
    if isinstance(inputs.users, UserZones):
        files["inputs/users.csv"] = _written(inputs.users)
    elif inputs.users is not None:
        asked["users"] = dict(sorted(inputs.users.items()))
    if inputs.identity is not None:
        files["inputs/aliases.csv"] = _written(inputs.identity)
        asked["identity"] = inputs.identity.options
    files[ASKED] = json_of(asked)
    return files


def inputs_of_files(files: Mapping[str, bytes]) -> tuple[Inputs, list[str] | None]:
    """The arguments of `reconcile` that `files_of_inputs` wrote, and the causes that were asked for.

    Raises:
        SourceError: They are none.
    """
    try:
        asked = json.loads(files[ASKED])
        frames = {
            name: pl.read_parquet(io.BytesIO(files[file])) if (file := f"inputs/{name}.parquet") in files else None
            for name in _TABLES
        }
        charges, statement = frames["charges"], frames["statement"]
        if charges is None or statement is None:
            raise SourceError("it holds no charges, or no statement")
        inputs = Inputs(
            charges=charges,
            statement=statement,
            level=asked["level"],
            tolerance=Decimal(asked["tolerance"]),
            rule=Rule.from_toml(files["inputs/rule.toml"].decode()) if "inputs/rule.toml" in files else None,
            rates=Rates(_text_of(files["inputs/rates.csv"])) if "inputs/rates.csv" in files else None,
            servers=_mapping(asked, "servers"),
            sessions=frames["sessions"],
            users=UserZones(_text_of(files["inputs/users.csv"]))
            if "inputs/users.csv" in files
            else _mapping(asked, "users"),
            identity=None
            if asked["identity"] is None
            else Identity(_text_of(files["inputs/aliases.csv"]), **asked["identity"]),
            variants=_mapping(asked, "variants"),
            coverage=frames["coverage"],
        )
        causes = asked["causes"]
        if causes is not None and not (isinstance(causes, list) and set(causes) <= set(tables.RECONCILIATION_CAUSES)):
            raise SourceError("its causes are no list of causes")
    except _NO_INPUTS as error:
        raise SourceError(f"the pack's inputs cannot be read: {error}", location="inputs") from error
    return inputs, causes


def _mapping(asked: Mapping[str, Any], name: str) -> dict[str, str] | None:
    value = asked[name]
    if value is None or (isinstance(value, dict) and all(isinstance(each, str) for each in value.values())):
        return value
    raise SourceError(f"its {name} are no names with their values")


def _text_of(content: bytes) -> pl.DataFrame:
    return pl.read_csv(io.BytesIO(content), infer_schema=False)


def _written(what: Identity | UserZones) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rows.csv"
        what.write(path)
        return path.read_bytes()


def json_of(value: object) -> bytes:
    """JSON for the eye, the same for the same value."""
    return json.dumps(value, indent=2, ensure_ascii=False).encode() + b"\n"


def manifest_of(files: Mapping[str, bytes], about: Mapping[str, object]) -> bytes:
    """What the pack is, and the hash of each of its files."""
    hashes = {name: {"bytes": len(files[name]), "sha256": digest(files[name])} for name in sorted(files)}
    return json_of({"format": FORMAT, **about, "files": hashes})


def manifest_in(files: Mapping[str, bytes], where: str) -> dict[str, Any]:
    """What the manifest says.

    Raises:
        SourceError: It is no manifest of this version.
    """
    try:
        about: dict[str, Any] = json.loads(files[MANIFEST])
        named = all(isinstance(said["sha256"], str) for said in about["files"].values())
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
        raise SourceError(f"{where} is no evidence pack: {MANIFEST} says nothing", location=where) from error
    if not named or about.get("format") != FORMAT:
        raise SourceError(f"{where} is no evidence pack of this version (format {FORMAT})", location=where)
    return about


def check_given(files: Mapping[str, bytes], where: str) -> None:
    """Inputs and evidence have to be those that the manifest was written with, and no file may be missing.

    Raises:
        SourceError: It is no manifest of this version, or a file was changed or is missing.
    """
    for name, said in manifest_in(files, where)["files"].items():
        if name not in files:
            raise SourceError(f"{where}: {name} is missing", location=name)
        if name.startswith(("inputs/", "evidence/")) and digest(files[name]) != said["sha256"]:
            raise SourceError(f"{where}: {name} was changed since the pack was made", location=name)


def write_pack(files: Mapping[str, bytes], path: Path) -> None:
    """Writes a new folder, or a zip where the name ends so, whole or not at all.

    Raises:
        ArgumentError: There is something at that place already.
        SourceError: It cannot be written.
    """
    if path.exists():
        raise ArgumentError(f"{path} is there already: choose another name, or take it away first", location="path")
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        if path.suffix.lower() == ".zip":
            _write_zip(files, part)
        else:
            for name, content in files.items():
                (part / name).parent.mkdir(parents=True, exist_ok=True)
                (part / name).write_bytes(content)
        part.rename(path)
    except OSError as error:
        raise SourceError(f"{path} cannot be written: {error}", location=str(path)) from error
    finally:
        if part.is_dir():
            shutil.rmtree(part, ignore_errors=True)
        else:
            part.unlink(missing_ok=True)


def _write_zip(files: Mapping[str, bytes], path: Path) -> None:
    """Stored and not deflated, without times: the same bytes whatever library packs them."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for name, content in files.items():
            archive.writestr(zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0)), content)


def read_pack(path: Path) -> dict[str, bytes]:
    """The files of a pack by their names in it.

    Raises:
        SourceNotFoundError: There is no such folder or zip.
        SourceError: It cannot be read.
    """
    if not path.exists():
        raise SourceNotFoundError(f"there is no evidence pack {path}", location=str(path))
    try:
        if path.is_dir():
            found = sorted(each for each in path.rglob("*") if each.is_file())
            return {each.relative_to(path).as_posix(): each.read_bytes() for each in found}
        with zipfile.ZipFile(path) as archive:
            if sum(member.file_size for member in archive.infolist()) > _LARGEST:
                raise SourceError(f"{path} would unpack to more than 16 GiB: no evidence pack", location=str(path))
            return {name: archive.read(name) for name in archive.namelist() if not name.endswith("/")}
    except (OSError, zipfile.BadZipFile, NotImplementedError, RuntimeError) as error:
        raise SourceError(f"{path} cannot be read as an evidence pack: {error}", location=str(path)) from error


def sources_of(files: Mapping[str, str]) -> pl.DataFrame:
    """Size and hash of each file that data came from, by its kind, see `tables.DISPUTE_SOURCES`."""
    rows = []
    for name, kind in sorted(files.items()):
        size = sha = None
        path = Path(name)
        if path.is_file():
            with path.open("rb") as file:
                sha = hashlib.file_digest(file, "sha256").hexdigest()
                size = file.tell()
        rows.append((name, kind, size, sha))
    return tables.finish(
        pl.DataFrame(rows, schema=["file", "kind", "bytes", "sha256"], orient="row")
        if rows
        else tables.empty(tables.DISPUTE_SOURCES),
        tables.DISPUTE_SOURCES,
    )
