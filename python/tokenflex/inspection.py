"""What a file is, what is in it, and what to do with it next: the first look at anything an administrator has."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeAlias

import polars as pl

from tokenflex import _core, tables
from tokenflex.contract.contract import Contract
from tokenflex.errors import MissingColumnError, SourceError, SourceNotFoundError, TokenflexError, ZoneError
from tokenflex.metering.rates import Rates
from tokenflex.metering.rule import Rule
from tokenflex.planning.offer import Offer
from tokenflex.planning.price_list import PriceList
from tokenflex.problems import Problems
from tokenflex.reading.catalog import Catalog
from tokenflex.reading.charges import read_charges
from tokenflex.reading.contract import read_contract
from tokenflex.reading.flexlm import read_flexlm
from tokenflex.reading.groups import Groups
from tokenflex.reading.identity import Identity
from tokenflex.reading.kinds import Kind, kind_of
from tokenflex.reading.lmstat import read_lmstat
from tokenflex.reading.rlm import read_rlm
from tokenflex.reading.statement.read import read_statement
from tokenflex.reading.statement.source import places, text_of
from tokenflex.reading.table import guess_columns, read_table
from tokenflex.usage.sessions import pair
from tokenflex.words import many

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Mapping, Sequence
    from datetime import date, datetime

HEAD_BYTES: Final = 1 << 16
"""How much of a file, unpacked, decides what it is."""

ANY_ZONE: Final = "UTC"
"""Stands for a zone that nobody has told."""

CHARGED: Final = 'charges = tf.charge(sessions, rule=tf.FLEX, rates=tf.Rates.read("rates.csv"))'
"""What to do with sessions, as a line of Python."""

KNOWN: Final = (
    "it is none of: FlexNet debug log, lmstat output, RLM report log, usage export or contract of the vendor, token "
    "rates, rule, contract, offer, price list, charges, table of use (CSV, Parquet, XLSX), aliases of users, groups, "
    "zones of users, licenses, sites, lines of products, feature codes"
)

AS_WRITTEN: Final = "no zone was given: times are shown as they are written"

Zones: TypeAlias = "str | Mapping[str, str] | None"
Look: TypeAlias = "Callable[[Path, Zones], Inspection]"


@dataclass(frozen=True)
class Inspection:
    """What a file is and what is in it.

    Attributes:
        name: The file.
        kind: What it is, in a few words.
        content: How many rows of what.
        first: The first instant in it, or the first date; None where there is none.
        last: The last one.
        servers: License servers.
        users: How many users.
        products: Product lines; names of products where there are no lines.
        problems: What could not be taken as it is, see `tables.PROBLEMS`.
        notes: What to know before using it.
        next: The command to run next, or lines of Python.
        verb: The function that reads it; empty where it is nothing known.
    """

    name: str
    kind: str
    content: str = ""
    first: datetime | date | None = None
    last: datetime | date | None = None
    servers: tuple[str, ...] = ()
    users: int = 0
    products: tuple[str, ...] = ()
    problems: pl.DataFrame = field(default_factory=lambda: tables.empty(tables.PROBLEMS))
    notes: tuple[str, ...] = ()
    next: str = ""
    verb: str = ""

    def to_dict(self) -> dict[str, object]:
        """Plain values for JSON; problems by code, with how many."""
        plain: dict[str, object] = vars(self) | {
            "first": self.first and self.first.isoformat(),
            "last": self.last and self.last.isoformat(),
            "problems": dict(self.problems["code"].value_counts(sort=True).rows()),
        }
        return plain


def inspect(path: str | os.PathLike[str], *, timezone: Zones = None) -> Inspection:
    r"""Says what a file is, what is in it, and what to run next.

    Told by the content and never by the name: debug logs of FlexNet servers, outputs of `lmstat`, report logs of RLM,
    the vendor's usage exports and contracts, rates, rules, contracts, offers, price lists, charges, aliases of users,
    groups, feature codes, and any other table of use.

    Args:
        path: A file, packed with gzip or zstd or not.
        timezone: IANA name of the zone of its local times, or a mapping from server to zone. Without it times are shown
            as they are written.

    Returns:
        What was found. A file that is nothing known is told as such, and is no error.

    Raises:
        SourceNotFoundError: There is no such file.
        SourceError: It cannot be read.
        ZoneError: No zone of that name, or none for a server.

    Example:
        >>> import tokenflex as tf, tempfile, pathlib
        >>> file = pathlib.Path(tempfile.mkdtemp(), "list.csv")
        >>> _ = file.write_text("product,tokens\nACD,7\n")
        >>> tf.inspect(file).kind
        'token rates'
    """
    file = Path(path)
    look = _LOOKS[kind_of_file(file)]
    if timezone is not None:
        return look(file, timezone)
    try:
        # Many files state their offsets from UTC.
        return look(file, None)
    except ZoneError:
        found = look(file, ANY_ZONE)
        return replace(found, notes=(*found.notes, AS_WRITTEN))


def kind_of_file(file: Path) -> Kind:
    """The kind of a file by its first bytes; nothing else of it is read.

    Raises:
        SourceNotFoundError: There is no such file.
        SourceError: It cannot be read.
    """
    if not file.is_file():
        raise SourceNotFoundError(f"there is no file {file}", location=str(file))
    try:
        with file.open("rb") as opened:
            head = opened.read(HEAD_BYTES)
    except OSError as error:
        raise SourceError(f"{file} cannot be read: {error}", location=str(file)) from error
    return kind_of(head, _core.text_head(str(file), HEAD_BYTES))


def _flexlm(file: Path, zones: Zones) -> Inspection:
    log = read_flexlm(file, timezone=zones)
    problems = Problems()
    sessions = pair(log.events, packages=log.packages, problems=problems)
    notes = ["the command writes a template: put the tokens into rates.csv, then run it with --rates rates.csv"]
    for row in log.coverage.iter_rows(named=True):
        if row["days_without_lines"]:
            notes.append(f"{row['server']}: {len(row['days_without_lines'])} days have no line at all")
        if not row["checkins_logged"]:
            notes.append(f"{row['server']}: logs no check-ins, so the end of use is not known (NOLOG IN?)")
    daemons = sorted({daemon for row in log.coverage["daemons"] for daemon in row})
    found = Inspection(
        str(file),
        f"debug log of a FlexNet license server ({', '.join(daemons)})",
        f"{many(log.events.height, 'event')}, {many(sessions.height, 'session')}",
        log.coverage["first"].min(),  # type: ignore[arg-type]
        log.coverage["last"].max(),  # type: ignore[arg-type]
        problems=pl.concat([log.problems, problems.frame]),
        notes=tuple(notes),
        next=f"tokenflex charge {_quoted(file)} --timezone {_shown(zones)} > rates.csv",
        verb="read_flexlm",
    )
    return _with_names(found, sessions, servers=log.coverage["server"])


def _lmstat(file: Path, zones: Zones) -> Inspection:
    read = read_lmstat(file, timezone=zones)
    gap: object = read.coverage["max_gap"].max()
    found = Inspection(
        str(file),
        "output of lmstat" if read.snapshots.height < 2 else "series of lmstat outputs",  # noqa: PLR2004 - one or more
        f"{many(read.snapshots.height, 'snapshot')}, {many(read.sessions.height, 'session')}",
        read.coverage["first"].min(),  # type: ignore[arg-type]
        read.coverage["last"].max(),  # type: ignore[arg-type]
        problems=read.problems,
        notes=() if gap is None else (f"use between two snapshots is not seen: they are up to {gap!s} apart",),
        next=_python(f"sessions = tf.read_lmstat({str(file)!r}, timezone={_shown(zones)!r}).sessions", CHARGED),
        verb="read_lmstat",
    )
    return _with_names(found, read.sessions, servers=read.coverage["server"])


def _rlm(file: Path, zones: Zones) -> Inspection:
    log = read_rlm(file, timezone=zones)
    found = Inspection(
        str(file),
        "report log of an RLM license server",
        f"{many(log.events.height, 'event')}, {many(log.sessions.height, 'session')}",
        log.files["first"].min(),  # type: ignore[arg-type]
        log.files["last"].max(),  # type: ignore[arg-type]
        problems=log.problems,
        next=_python(f"sessions = tf.read_rlm({str(file)!r}{_told(zones)}).sessions", CHARGED),
        verb="read_rlm",
    )
    return _with_names(found, log.sessions, servers=log.sessions["server"])


def _json(file: Path, zones: Zones) -> Inspection:
    """The vendor's export, a contract of ours or of the vendor, or a rule: the first that takes it."""
    found, refusals = _first((_statement, _contract, _contract_of_vendor, _rule), file, zones)
    return found or Inspection(str(file), "JSON that tokenflex does not know", notes=refusals)


def _workbook_or_text(file: Path, zones: Zones) -> Inspection:
    """Charges, the vendor's export, rates, a table of ours, or any other table: the first that takes it."""
    looks = (_charges, _activity, _statement, _rates, _identity, _groups, _list, _table, _catalog)
    return _told_table(looks, file, zones)


def _parquet(file: Path, zones: Zones) -> Inspection:
    return _told_table((_charges, _activity, _identity, _groups, _table), file, zones)


def _told_table(looks: Sequence[Look], file: Path, zones: Zones) -> Inspection:
    """The first that takes the table; else the lines to fill in, and why its columns could not be guessed."""
    found, refusals = _first(looks, file, zones)
    if found is not None:
        return found
    refused = refusals[looks.index(_table)]
    columns = '{"user": "…", "product": "…", "start": "…", "end": "…"}'
    return Inspection(
        str(file),
        "table under names that tokenflex does not know",
        notes=(refused,),
        next=_python(f"sessions = tf.read_table({str(file)!r}, columns={columns}, timezone='ZONE')", CHARGED),
        verb="read_table",
    )


def _first(looks: Sequence[Look], file: Path, zones: Zones) -> tuple[Inspection | None, tuple[str, ...]]:
    """What the first look finds that takes the file, and why those before it did not."""
    refusals: list[str] = []
    for look in looks:
        try:
            return look(file, zones), tuple(refusals)
        except ZoneError:
            raise
        except TokenflexError as error:
            refusals.append(str(error))
    return None, tuple(refusals)


def _statement(file: Path, zones: Zones) -> Inspection:
    problems = Problems()
    statement = read_statement(file, timezone=zones, problems=problems)
    kinds = statement["kind"].cast(pl.String).unique(maintain_order=True)
    sessions = statement["start"].count()
    dates = statement["usage_date"]
    variable = f"statement = tf.read_statement({str(file)!r}{_told(zones)})"
    found = Inspection(
        str(file),
        f"usage export of the vendor ({', '.join(_STATEMENTS[kind] for kind in kinds) or 'no rows'})",
        f"{many(statement.height, 'row')}, {sessions:,} with session times, {statement['tokens'].sum()} tokens",
        dates.min(),  # type: ignore[arg-type]
        dates.max(),  # type: ignore[arg-type]
        problems=problems.frame,
        next=_python(variable, *(["sessions = tf.sessions_from(statement)", _charged(statement)] if sessions else [])),
        verb="read_statement",
    )
    names = statement.select(
        "user", product=pl.coalesce(pl.col("product", "product_name").cast(pl.String)), server="server"
    )
    return _with_names(found, names, servers=statement["server"])


def _charged(statement: pl.DataFrame) -> str:
    """How to charge a statement with times: only Token Flex has them, and its days are the servers'."""
    servers = statement["server"].cast(pl.String)
    if servers.null_count() > 0:
        rule = "tf.Rule(window='day', zone='ZONE'), rates=tf.Rates.read(\"rates.csv\")"
    else:
        zones = ", ".join(f"{server!r}: 'ZONE'" for server in servers.unique().sort())
        rule = f'tf.TOKEN_FLEX, rates=tf.Rates.read("rates.csv"), servers={{{zones}}}'
    return f"charges = tf.charge(sessions, rule={rule})"


_STATEMENTS: Final = {
    "token_flex_sessions": "Token Flex by session",
    "token_flex_daily": "Token Flex by day",
    "flex_account": "Flex, Autodesk Account",
    "flex_api": "Flex reporting API",
}


def _charges(file: Path, _: Zones) -> Inspection:
    if not set(tables.CHARGES) <= _header(file):
        raise MissingColumnError(f"{file} is no file of charges")
    charges = read_charges(file)
    found = Inspection(
        str(file),
        "charges of tokenflex",
        f"{many(charges.height, 'charge')}, {charges['tokens'].sum()} tokens",
        charges["charged_at"].min(),  # type: ignore[arg-type]
        charges["charged_at"].max(),  # type: ignore[arg-type]
        next=f"tokenflex ledger {_quoted(file)} --contract contract.toml",
        verb="Contract.settle",
    )
    return _with_names(found, charges, servers=charges["server"])


def _header(file: Path) -> set[str]:
    """The names of the columns; the rest of the file is not read for that."""
    if kind_of_file(file) == "parquet":
        return set(pl.read_parquet_schema(file))
    header = _core.text_head(str(file), HEAD_BYTES).lstrip("\ufeff").partition("\n")[0]
    return set(re.split(r"[,;\t]", header.strip()))


def _activity(file: Path, _: Zones) -> Inspection:
    if not {"user", "idle_start", "idle_end"} <= _header(file):
        raise MissingColumnError(f"{file} has no idle_start and idle_end")
    return Inspection(
        str(file),
        "idle stretches that an agent recorded",
        next=f"tokenflex idle LOGS --timezone ZONE --activity {_quoted(file)}",
        verb="idle",
    )


def _contract(file: Path, _: Zones) -> Inspection:
    (place,) = places(str(file))
    text, _codes = text_of(place.bytes(), str(file), "cp1252")
    contract = Contract.from_json(text) if text.lstrip().startswith("{") else Contract.from_toml(text)
    model = "Token Flex" if contract.model == "token_flex" else "Flex"
    return Inspection(
        str(file),
        f"contract ({model})",
        f"contract {contract.number}, {many(len(contract.pools), 'pool')} of tokens",
        contract.opens,
        contract.closes,
        next=_python(f"contract = tf.Contract.read({str(file)!r})"),
        verb="Contract.read",
    )


def _offer(file: Path, _: Zones) -> Inspection:
    (place,) = places(str(file))
    text, _codes = text_of(place.bytes(), str(file), "cp1252")
    offer = Offer.from_toml(text)
    model = "Token Flex" if offer.years else "Flex"
    content = f"{many(offer.years, 'year')} of tokens" if offer.years else many(len(offer.packs), "pack")
    command = f"tokenflex plan charges.csv --offer {_quoted(file)}"
    return Inspection(str(file), f"offer of tokens ({model})", content, next=command, verb="Offer.read")


def _price_list(file: Path, _: Zones) -> Inspection:
    (place,) = places(str(file))
    text, _codes = text_of(place.bytes(), str(file), "cp1252")
    known = PriceList.from_toml(text)
    products = {product for each in known.subscriptions for product in each.products}
    counts = (many(len(known.subscriptions), "subscription"), many(len(known.maintenance), "product"))
    command = "tokenflex compare LOGS --timezone ZONE --rates rates.csv --token-price PRICE --price-list"
    return Inspection(
        str(file),
        "price list of subscriptions and maintenance",
        f"{counts[0]}, maintenance of {counts[1]}",
        products=tuple(sorted(products | {each.product for each in known.maintenance})),
        next=f"{command} {_quoted(file)}",
        verb="PriceList.read",
    )


def _contract_of_vendor(file: Path, _: Zones) -> Inspection:
    contract = read_contract(file)
    return Inspection(
        str(file),
        "contract of the vendor",
        f"contract {contract.number}, {many(len(contract.years), 'year')}",
        contract.start,
        contract.end,
        next=_python(f"contract = tf.read_contract({str(file)!r})"),
        verb="read_contract",
    )


def _rates(file: Path, _: Zones) -> Inspection:
    rates = Rates.read(file)
    products = tuple(dict.fromkeys(rate.product for rate in rates.rows))
    return Inspection(
        str(file),
        "token rates",
        many(len(rates.rows), "rate"),
        products=products,
        next=f"tokenflex charge LOGS --timezone ZONE --rates {_quoted(file)}",
        verb="Rates.read",
    )


def _identity(file: Path, _: Zones) -> Inspection:
    note = "identity.apply(sessions) puts persons in place of spellings, before charging"
    return _value(file, "aliases of users", f"{Identity.read(file)!r}", "identity = tf.Identity", note)


def _groups(file: Path, _: Zones) -> Inspection:
    note = "groups.join(charges) says who belonged where when it was charged"
    return _value(file, "groups of persons", f"{Groups.read(file)!r}", "groups = tf.Groups", note)


def _catalog(file: Path, _: Zones) -> Inspection:
    note = "catalog=catalog of read_table takes it; catalog.lookup(features) shows it"
    content = f"{Catalog.read(file)!r} with the shipped ones"
    return _value(file, "feature codes and their products", content, "catalog = tf.Catalog", note)


def _value(file: Path, kind: str, content: str, named: str, note: str) -> Inspection:
    """A file of which a value object of ours is made."""
    verb = f"{named.rpartition('.')[2]}.read"
    return Inspection(str(file), kind, content, notes=(note,), next=_python(f"{named}.read({str(file)!r})"), verb=verb)


def _list(file: Path, _: Zones) -> Inspection:
    """A list that goes with an option, told by its columns."""
    header = _header(file)
    for verb, (columns, kind, command) in _LISTS.items():
        if columns <= header:
            return Inspection(str(file), kind, next=f"tokenflex {command} {_quoted(file)}", verb=verb)
    raise MissingColumnError(f"{file} is no list for an option")


_LISTS: Final[dict[str, tuple[frozenset[str], str, str]]] = {
    "UserZones.read": (
        frozenset({"user", "zone"}),
        "time zones of users",
        "doubles LOGS --timezone ZONE --rates rates.csv --users",
    ),
    "capacity": (
        frozenset({"product", "licenses"}),
        "licenses that are owned",
        "capacity LOGS --timezone ZONE --limits",
    ),
    "forecast": (
        frozenset({"server", "site"}),
        "sites of license servers",
        "forecast LOGS --timezone ZONE --rates rates.csv --by site --sites",
    ),
    "reconcile": (
        frozenset({"product", "line"}),
        "products and their lines",
        "audit LOGS --statement STATEMENT --timezone ZONE --rates rates.csv --variants",
    ),
}
"""Lists for an option of a command, by the function that reads them: columns, what they are, and the command."""


def _rule(file: Path, _: Zones) -> Inspection:
    text = _core.text_head(str(file), HEAD_BYTES).removeprefix("\ufeff")
    rule = Rule.from_json(text) if text.lstrip().startswith("{") else Rule.from_toml(text)
    command = f"tokenflex charge LOGS --timezone ZONE --rates rates.csv --rule {_quoted(file)}"
    return Inspection(str(file), "charging rule", rule.rule_id, next=command, verb="Rule.read")


def _table(file: Path, zones: Zones) -> Inspection:
    guessed = guess_columns(file)
    problems = Problems()
    sessions = read_table(file, columns=guessed, timezone=zones, problems=problems)
    mapping = ", ".join(f"{ours} = {theirs!r}" for ours, theirs in guessed.items())
    found = Inspection(
        str(file),
        "table of use",
        many(sessions.height, "session"),
        sessions["start"].min(),  # type: ignore[arg-type]
        sessions["end"].max(),  # type: ignore[arg-type]
        problems=problems.frame,
        notes=(f"columns as guessed: {mapping}",),
        next=_python(f"sessions = tf.read_table({str(file)!r}{_told(zones)})", CHARGED),
        verb="read_table",
    )
    servers = sessions["server"] if "server" in sessions.columns else pl.Series(dtype=pl.String)
    return _with_names(found, sessions, servers=servers)


def _empty(file: Path, _: Zones) -> Inspection:
    return Inspection(str(file), "empty file", notes=("there is nothing in it: export or copy it again",))


def _sqlite(file: Path, _: Zones) -> Inspection:
    return _database(file, "SQLite database", "sqlite3", f"connection = sqlite3.connect({str(file)!r})")


def _duckdb(file: Path, _: Zones) -> Inspection:
    return _database(file, "DuckDB database", "duckdb", f"connection = duckdb.connect({str(file)!r}, read_only=True)")


def _database(file: Path, kind: str, module: str, connected: str) -> Inspection:
    query = "sessions = tf.read_table(connection, query=\"select … from …\", timezone='ZONE')"
    return Inspection(
        str(file),
        kind,
        notes=("put the query for who used what from when to when for the dots",),
        next="\n".join([f"import {module}", _python(connected, query, CHARGED)]),
        verb="read_table",
    )


def _unknown(file: Path, _: Zones) -> Inspection:
    return Inspection(str(file), "no file that tokenflex knows", notes=(KNOWN,))


_LOOKS: Final[Mapping[str, Look]] = {
    "flexlm": _flexlm,
    "lmstat": _lmstat,
    "rlm": _rlm,
    "json": _json,
    "table": _workbook_or_text,
    "workbook": _workbook_or_text,
    "parquet": _parquet,
    "sqlite": _sqlite,
    "duckdb": _duckdb,
    "rule": _rule,
    "contract": _contract,
    "offer": _offer,
    "price_list": _price_list,
    "empty": _empty,
    "unknown": _unknown,
}


def _with_names(found: Inspection, uses: pl.DataFrame, *, servers: pl.Series) -> Inspection:
    def names(column: pl.Series) -> tuple[str, ...]:
        return tuple(column.cast(pl.String).drop_nulls().unique().sort())

    return replace(
        found,
        servers=names(servers),
        users=uses["user"].drop_nulls().n_unique(),
        products=names(uses["product"]),
    )


def _quoted(file: Path) -> str:
    return shlex.quote(str(file))


def _shown(zones: Zones) -> str:
    """The zone as a command shows it."""
    return zones if isinstance(zones, str) and zones != ANY_ZONE else "ZONE"


def _told(zones: Zones) -> str:
    """The argument for a zone, where one is needed."""
    return "" if zones is None else f", timezone={_shown(zones)!r}"


def _python(*lines: str) -> str:
    return "\n".join(["import tokenflex as tf", *lines])


def together(found: Sequence[Inspection]) -> list[str]:
    """How to read at once the files of each folder that holds several of one kind and no others.

    Such are rotated logs, a series of outputs, an export for each month.
    """
    folders: dict[Path, list[str]] = {}
    for each in found:
        folders.setdefault(Path(each.name).parent, []).append(each.verb)
    lines = []
    for folder, verbs in folders.items():
        if len(verbs) > 1 and len(set(verbs)) == 1 and verbs[0] in _AT_ONCE:
            pattern = str(folder / "*")
            shown = f"{_quoted(folder)}/*" if verbs[0] == "read_flexlm" else repr(pattern)
            lines.append(_AT_ONCE[verbs[0]].format(shown))
    return lines


_AT_ONCE: Final = {
    "read_flexlm": "tokenflex charge {} --timezone ZONE > rates.csv",
    "read_lmstat": "sessions = tf.read_lmstat({}, timezone='ZONE').sessions",
    "read_rlm": "sessions = tf.read_rlm({}).sessions",
    "read_statement": "statement = tf.read_statement({})",
}
"""The readers that join files of one kind, with what to run."""
