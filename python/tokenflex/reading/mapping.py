"""Which column of a foreign table is which of ours: guessed from the names in use, or as the caller says."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Mapping
from typing import Any, Final

import polars as pl

from tokenflex import tables
from tokenflex.errors import ArgumentError, ArgumentTypeError, MissingColumnError

_NAMES: Final = {
    "user": (
        "username user_id userid user_login login login_name loginname account account_name logon logon_name "
        "member licensee employee usuario nombre_de_usuario benutzer benutzername anwender nutzer utilisateur "
        "nom_d_utilisateur identifiant"
    ),
    "product": (
        "product_line product_line_code productlinecode product_code productkey product_key application_code "
        "producto codigo_de_producto produkt produktcode produit code_produit"
    ),
    "start": (
        "start_time starttime start_date startdate start_datetime started started_at session_start "
        "session_start_date sessionstartdate begin begin_time begins began from time_from checkout checkout_time "
        "check_out check_out_time checked_out checked_out_at date_out time_out login_time opened start_timestamp "
        "inicio hora_de_inicio fecha_de_inicio beginn startzeit startzeitpunkt von debut heure_de_debut "
        "date_de_debut"
    ),
    "end": (
        "end_time endtime end_date enddate end_datetime ended ended_at session_end session_end_date sessionenddate "
        "finish finish_time finished stop stop_time to time_to checkin checkin_time check_in check_in_time "
        "checked_in checked_in_at date_in time_in logout_time closed end_timestamp fin hora_de_fin fecha_de_fin "
        "ende endzeit endzeitpunkt bis heure_de_fin date_de_fin"
    ),
    "duration": (
        "session_duration elapsed elapsed_time usage_time usage_duration usage_minutes usageminutes usage_hours "
        "usage_seconds time_used used_time total_time session_length duracion dauer nutzungsdauer duree"
    ),
    "server": (
        "license_server licence_server licenseserver server_name servername server_host license_server_name "
        "lic_server license_manager servidor servidor_de_licencias lizenzserver serveur serveur_de_licences"
    ),
    "host": (
        "hostname host_name workstation machine machine_name computer computer_name computername client "
        "client_host clienthost device device_name pc station equipo ordenador estacion rechner computer_id "
        "arbeitsplatz poste machine_id ordinateur"
    ),
    "feature": (
        "feature_name feature_code featurecode product_feature_code productfeaturecode license_feature "
        "license_name feature_id caracteristica funktion merkmal fonctionnalite"
    ),
    "version": "product_version productversion feature_version release versionsnummer",
    "licenses": (
        "license_count licenses_used licensecount licence_count licences quantity qty seats num_licenses "
        "number_of_licenses licencias anzahl lizenzen nombre_de_licences"
    ),
}

ALIASES: Final[Mapping[str, tuple[str, ...]]] = {field: tuple(names.split()) for field, names in _NAMES.items()}
"""Names that tables of license tools give to our columns, in English, Spanish, German and French."""

WEAK_PRODUCT: Final = (
    "product_name",
    "application",
    "application_name",
    "app",
    "software",
    "program",
    "title",
)
"""Names of a product that are no product line: taken only where there is nothing better."""

FIELDS: Final = tuple(ALIASES)
REQUIRED: Final = ("user", "product", "start", "end")
SAMPLES: Final = 3

_UNIT: Final = re.compile(r"\(.*?\)|\[.*?\]|\{.*?\}")
_UNIT_OF: Final = {
    "s": "s", "sec": "s", "secs": "s", "second": "s", "seconds": "s", "segundos": "s", "sekunden": "s", "secondes": "s",
    "m": "min", "min": "min", "mins": "min", "minute": "min", "minutes": "min", "minutos": "min", "minuten": "min",
    "h": "h", "hr": "h", "hrs": "h", "hour": "h", "hours": "h", "horas": "h", "std": "h", "stunden": "h", "heures": "h",
    "ms": "ms", "millis": "ms", "milliseconds": "ms",
}  # fmt: skip


class ColumnGuess(Mapping[str, str]):
    """A guess of which column is which: a mapping from our names to those of the table. Made by `guess_columns`.

    Give it to `read_table` as `columns=`, or write your own dict from what it shows.

    Attributes:
        frame: One row for each candidate, see `tables.COLUMN_GUESS`.
    """

    def __init__(self, frame: pl.DataFrame, columns: list[str]) -> None:
        self.frame = frame
        self._columns = columns
        self._candidates: dict[str, list[str]] = {}
        for field, column in frame.drop_nulls("field").select("field", "column").iter_rows():
            self._candidates.setdefault(field, []).append(column)
        self._chosen = {field: found[0] for field, found in self._candidates.items() if len(found) == 1}

    def __getitem__(self, field: str) -> str:
        return self._chosen[field]

    def __iter__(self) -> Iterator[str]:
        return iter(self._chosen)

    def __len__(self) -> int:
        return len(self._chosen)

    def __repr__(self) -> str:
        width = max((len(field) for field in self._candidates), default=0)
        lines = [
            f"  {field:<{width}}  {' or '.join(map(repr, found))}" + ("  (which?)" if len(found) > 1 else "")
            for field, found in self._candidates.items()
        ]
        missing = [field for field in _missing(self._candidates) if field not in self._candidates]
        head = f"<ColumnGuess of {len(self._columns)} columns" + (f", missing: {', '.join(missing)}" if missing else "")
        return "\n".join([head + ">", *lines])

    def check(self) -> None:
        """Refuses a guess that leaves something open.

        Raises:
            ArgumentError: Two columns could be one of ours.
            MissingColumnError: A column that is needed was not found.
        """
        if several := {field: found for field, found in self._candidates.items() if len(found) > 1}:
            named = "; ".join(
                f"{len(found)} columns could be {field!r}: {', '.join(map(repr, found))}"
                for field, found in several.items()
            )
            firsts = {field: found[0] for field, found in several.items()}
            dots = dict.fromkeys(_missing(self._candidates), "…")
            raise ArgumentError(f"{named}. Say which, as in columns={self.to_write(dots | firsts)}", location="columns")
        if missing := _missing(self._chosen):
            raise MissingColumnError(
                f"no column was taken for {', '.join(map(repr, missing))}; the table has: "
                f"{', '.join(map(repr, self._columns))}. Say which they are, and put the names of your columns for "
                f"the dots: columns={self.to_write(dict.fromkeys(missing, '…'))}",
                column=missing[0],
            )

    def to_write(self, others: Mapping[str, str]) -> str:
        """The dict to write as `columns=`, with some fields set."""
        chosen = self._chosen | dict(others)
        return repr({field: chosen[field] for field in FIELDS if field in chosen})


def normal(header: str) -> str:
    """A header without case, accents, separators and unit."""
    bare = _UNIT.sub("", header)
    text = unicodedata.normalize("NFKD", bare if bare.strip() else header).casefold()
    return "".join(letter for letter in text if letter.isalnum() and not unicodedata.combining(letter))


def unit_of(header: str) -> str | None:
    """The unit that a header states, as in `Duration (min)` or `elapsed_seconds`: ms, s, min, h, or none."""
    words = re.findall(r"[a-z]+", re.sub(r"(?<=[a-z])(?=[A-Z])", " ", header).casefold())
    found = {_UNIT_OF[word] for word in words if word in _UNIT_OF}
    return found.pop() if len(found) == 1 else None


def guess(frame: pl.DataFrame) -> ColumnGuess:
    """Which column of a table is which of ours, by the names of its columns."""
    found = _by_name(frame.columns)
    by_column = {column: (field, why) for field, columns in found.items() for column, why in columns}
    rows = [
        (column, *by_column.get(column, (None, "carried along as it is")), _samples(frame[column]))
        for column in frame.columns
    ]
    return ColumnGuess(pl.DataFrame(rows, schema=dict(tables.COLUMN_GUESS), orient="row"), frame.columns)


def mapped(columns: object, frame: pl.DataFrame) -> dict[str, str]:
    """What the caller says of the columns, or the guess, checked against the table.

    Raises:
        ArgumentError, ArgumentTypeError, MissingColumnError: It cannot be.
    """
    guessed = guess(frame)
    if columns is None:
        guessed.check()
        return dict(guessed)
    if isinstance(columns, ColumnGuess):
        columns.check()
    if not isinstance(columns, Mapping):
        raise ArgumentTypeError(
            f"columns has to be a mapping from our names to yours, not {type(columns).__name__}", location="columns"
        )
    chosen = {ours: theirs for ours, theirs in columns.items() if theirs is not None}
    for ours, theirs in columns.items():
        if ours not in FIELDS:
            raise ArgumentError(
                f"columns has {ours!r}, but our names are {', '.join(FIELDS)}; write {{ours: theirs}}",
                location="columns",
            )
        if theirs is not None and theirs not in frame.columns:
            raise MissingColumnError(
                f"columns says that {ours!r} is {theirs!r}, but the table has: {', '.join(map(repr, frame.columns))}",
                column=str(theirs),
            )
    return _filled(chosen, set(columns), guessed, frame.columns)


def _filled(chosen: dict[str, Any], said: set[str], guessed: ColumnGuess, columns: list[str]) -> dict[str, str]:
    """The caller's choice, with the guess where the caller said nothing: `None` says that there is no such column."""
    taken = set(chosen.values())
    # Who says which column is the duration does not want the end guessed.
    settled = said | ({"end", "duration"} if said & {"end", "duration"} else set())
    guesses = {field: column for field, column in guessed.items() if field not in settled and column not in taken}
    chosen = guesses | chosen
    if missing := _missing(chosen):
        raise MissingColumnError(
            f"columns does not say which column is {', '.join(map(repr, missing))}; the table has: "
            f"{', '.join(map(repr, columns))}. Write columns="
            f"{ {field: chosen.get(field, '…') for field in FIELDS if field in chosen or field in missing} }",
            column=missing[0],
        )
    return {field: chosen[field] for field in FIELDS if field in chosen}


def _missing(chosen: Mapping[str, object]) -> list[str]:
    """What is needed and not there: an end can be a duration, a product can come from a feature."""
    instead = {"end": "duration", "product": "feature"}
    return [field for field in REQUIRED if field not in chosen and instead.get(field) not in chosen]


def _by_name(columns: list[str]) -> dict[str, list[tuple[str, str]]]:
    """The candidates for each field. A column of our own name is the one."""
    known = {normal(alias): field for field, aliases in ALIASES.items() for alias in aliases}
    found: dict[str, list[tuple[str, str]]] = {}
    for column in columns:
        if (field := known.get(normal(column))) is not None:
            found.setdefault(field, []).append((column, f"is a name for {field}"))
    for field in FIELDS:
        if own := [column for column in columns if normal(column) == field]:
            exact = [column for column in own if column == field] or own
            found[field] = [(column, "has our name") for column in exact]
    if "product" not in found and "feature" not in found:
        weak = {normal(alias) for alias in WEAK_PRODUCT}
        names = [(column, "names the product; no line or feature code") for column in columns if normal(column) in weak]
        if names:
            found["product"] = names
    if "end" in found:
        found.pop("duration", None)
    return {field: found[field] for field in FIELDS if field in found}


def _samples(column: pl.Series) -> str:
    return ", ".join(str(value) for value in column.drop_nulls().head(100).unique(maintain_order=True).head(SAMPLES))
