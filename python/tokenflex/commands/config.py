"""`tokenflex.toml`: what the commands ask for, said once: logs, servers, rule, rates, contract and the rest."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from decimal import Decimal
from pathlib import Path, PureWindowsPath
from types import MappingProxyType
from typing import Any, Final

import tokenflex as tf
from tokenflex.commands.hours import WEEKDAYS, hours_in
from tokenflex.contract.fields import MISSING, Checks, Exact, fill, no_field, plain_value
from tokenflex.contract.files import parsed_toml, text_in, told_of_file, toml_literal, toml_of

NAME: Final = "tokenflex.toml"
WHAT: Final = "configuration"
PRESETS: Final = ("token-flex", "flex")

FILES: Final = (
    "book",
    "rates",
    "new_rates",
    "users",
    "aliases",
    "variants",
    "groups",
    "sites",
    "contract",
    "statement",
    "price_list",
    "offer",
    "activity",
    "limits",
    "holidays",
    "scenarios",
)
"""Fields that are the path of one file."""

SAID: Final[Mapping[str, tuple[str, str]]] = {
    "logs": ("The debug logs of the license servers: files, folders or patterns.", '["logs/"]'),
    "book": ("The book that `tokenflex update` keeps of them; it stands in their place.", '"tokens.book"'),
    "server": ("The name of the license server, where the logs do not say it.", '"mad-lic-01"'),
    "timezone": ("One time zone for all license servers; or each server's under [servers].", '"Europe/Madrid"'),
    "rule": (
        'How tokens are charged: "token-flex", "flex" or a file; or a rule under [rule].',
        '"token-flex"',
    ),
    "rates": ("What a day of each product is worth: product, tokens, effective_from.", '"rates.csv"'),
    "new_rates": ("Rates that are to come, to see what they would mean.", '"new-rates.csv"'),
    "users": ("By which time zone each user lives: user, zone.", '"users.csv"'),
    "aliases": ("Who is who: spelling, person. Case and domains are known without.", '"aliases.csv"'),
    "variants": ("Which codes are one product: product, line. Feature codes are known.", '"variants.csv"'),
    "groups": ("Who belongs where: person, group, cost_centre.", '"groups.csv"'),
    "sites": ("The site of each license server: server, site.", '"sites.csv"'),
    "contract": ("What was bought, and until when it lasts; see docs/contract.md.", '"contract.toml"'),
    "statement": ("The vendor's usage export, to hold the logs against.", '"statement.csv"'),
    "price_list": ("What subscriptions and maintenance cost; see docs/compare-models.md.", '"price-list.toml"'),
    "token_price": ("What a token costs.", '"3.00"'),
    "offer": ("What the vendor would sell, at what price; see docs/plan-purchase.md.", '"offer.toml"'),
    "activity": ("An agent's record of when nobody used what was open.", '"activity.csv"'),
    "limits": ("How many licenses you own: product, licenses.", '"licenses.csv"'),
    "country": ("Whose public holidays count; or for each server under [country].", '"ES"'),
    "holidays": ("The firm's own free days: date.", '"holidays.csv"'),
    "scenarios": ("Projects and head counts to come; see docs/forecast.md.", '"scenarios.toml"'),
    "out": ("Where `tokenflex run` writes the month.", '"months/"'),
    "servers": ("The time zone of each license server, by its name in the logs.", ""),
    "business_hours": ("When people work, by the clock of each server.", ""),
}
"""For each field what it says, as a comment of the file, and an example."""

_TABLES: Final = ("servers", "business_hours")
_HOURS: Final = ("hours", "days", "holidays")
_EMPTY: Final[Mapping[str, str]] = MappingProxyType({})


@dataclass(frozen=True, kw_only=True, init=False)
class Config:
    """What `tokenflex.toml` says. Files stand as they are written there, `at` says where they are.

    Attributes:
        logs: Files, folders and patterns of logs.
        server: The server of logs that do not say it.
        timezone: One zone for all servers.
        servers: The zone of each server; empty text where it is still to be filled in.
        rule: A preset, the path of a rule, or a rule.
        token_price: What a token costs.
        country: Whose public holidays count: for all, or for each server or site.
        business_hours: When people work: `hours`, and if anything `days` and `holidays`.
        out: The folder of `tokenflex run`.
        path: The file, unless it is text only.

    The other fields are paths. Raises `FieldsError`, which names each field that is wrong.
    """

    logs: tuple[str, ...]
    book: str | None
    server: str | None
    timezone: str | None
    servers: Mapping[str, str] = field(hash=False)
    rule: str | tf.Rule | None
    rates: str | None
    new_rates: str | None
    users: str | None
    aliases: str | None
    variants: str | None
    groups: str | None
    sites: str | None
    contract: str | None
    statement: str | None
    price_list: str | None
    token_price: Decimal | None
    offer: str | None
    activity: str | None
    limits: str | None
    country: str | Mapping[str, str] | None
    holidays: str | None
    scenarios: str | None
    business_hours: Mapping[str, Any] | None
    out: str | None
    path: Path | None = field(compare=False)

    def __init__(self, given: Mapping[str, Any], path: Path | None = None) -> None:
        checks = Checks()
        known = [each.name for each in fields(Config) if each.name != "path"]
        for name in given:
            if name not in known:
                checks.fault(name, no_field(name, known, f"of {NAME}"))
        found: dict[str, Any] = {name: _text(name, given.get(name), checks) for name in (*FILES, "server", "out")}
        zone = given.get("timezone")
        price: Exact | None = given.get("token_price")
        found |= {
            "logs": _logs(given.get("logs"), checks),
            "timezone": None if zone is None else checks.zone("timezone", zone),
            "servers": _servers(given.get("servers"), checks),
            "rule": _rule(given.get("rule"), checks),
            "token_price": None if price is None else checks.price("token_price", price),
            "country": _country(given.get("country"), checks),
            "business_hours": _business_hours(given.get("business_hours"), checks),
            "path": path,
        }
        if zone is not None and found["servers"]:
            checks.fault("timezone", "stands beside servers: one zone for all, or each server's, one of the two")
        checks.refuse(WHAT)
        fill(self, found)

    @classmethod
    def read(cls, path: Path) -> Config:
        """What a file says.

        Raises:
            SourceNotFoundError: There is no such file.
            SourceError: It cannot be read as text, or is no TOML.
            FieldsError: Fields are wrong; the message names each.
        """
        with told_of_file(path):
            try:
                given = parsed_toml(text_in(path, WHAT), f"the {WHAT}")
            except tf.SourceError:
                raise
            except tf.ArgumentError as error:
                raise tf.ArgumentError(f"{error}{_hint(path)}") from error
            return cls(given, path)

    @classmethod
    def from_toml(cls, text: str) -> Config:
        """What the text of such a file says."""
        return cls(parsed_toml(text, f"the {WHAT}"))

    @property
    def blanks(self) -> tuple[str, ...]:
        """The servers whose zone is to be filled in."""
        return tuple(server for server, zone in self.servers.items() if not zone)

    def at(self, given: str) -> str:
        """Where a file is: relative to this file, unless its path is whole."""
        if self.path is None or PureWindowsPath(given).drive:
            return given
        # A slash at the end says that it is a folder, and is lost by `Path`.
        return str(self.path.parent / Path(given).expanduser())

    def options(self, command: str) -> dict[str, Any]:
        """The options and arguments of a command that the file gives, by their names in the code."""
        logs = [self.at(each) for each in self.logs]
        found: dict[str, Any] = {
            "logs": logs,
            "source": logs,
            "server": self.server,
            "timezone": _values(self.timezone or self.servers),
            "rule": self._rule_option(),
            "token_price": None if self.token_price is None else f"{self.token_price:f}",
            "country": _values(self.country),
            **{name: self.at(path) for name in FILES if (path := getattr(self, name)) is not None},
        }
        found["price"] = found["token_price"]
        hours = self.business_hours or {}
        if command in ("capacity", "report", "run"):
            found |= {"hours": hours.get("hours"), "days": hours.get("days"), "holiday": hours.get("holidays")}
        if command == "plan":
            # Its scenarios are a number.
            found.pop("scenarios", None)
        if command == "update" and "statement" in found:
            found["statement"] = [found["statement"]]
        if command == "run":
            found["out"] = None if self.out is None else self.at(self.out)
        return {name: value for name, value in found.items() if value not in (None, [], ())}

    def _rule_option(self) -> str | None:
        if isinstance(self.rule, tf.Rule):
            # It is read from this file, see `options.rule_of`.
            return str(self.path)
        return self.rule if self.rule is None or self.rule in PRESETS else self.at(self.rule)

    def to_dict(self) -> dict[str, Any]:
        """The fields that say something, as plain values."""
        found: dict[str, Any] = {}
        for name in SAID:
            value = getattr(self, name)
            if isinstance(value, tf.Rule):
                found[name] = value.to_dict()
            elif value is not None and value not in ((), _EMPTY):
                found[name] = list(value) if isinstance(value, tuple) else plain_value(value)
        return found

    def to_toml(self, notes: Mapping[str, str] = _EMPTY) -> str:
        """The file, with a comment that explains each field; those that say nothing stand as examples behind `#`.

        `notes` are further comments by field.
        """
        given = self.to_dict()
        lines = [
            "# What the commands of tokenflex ask for, said once. It is found in the folder where they run, or by",
            "# --config. Paths are relative to this file; an option of the command line goes before what is here.",
        ]
        for name, (says, example) in SAID.items():
            value = given.get(name)
            if name in _TABLES or isinstance(value, dict):
                continue
            written = f"# {name} = {example}" if value is None else f"{name} = {toml_literal(value)}"
            lines += ["", f"# {says}", *_comments(notes.get(name)), written]
        for name, value in given.items():
            if isinstance(value, dict):
                says = SAID[name][0] if name in _TABLES else SAID[name][0].partition(";")[0]
                lines += ["", f"# {says}", *_comments(notes.get(name)), *toml_of({name: value}).strip("\n").split("\n")]
        if "business_hours" not in given:
            lines += ["", f"# {SAID['business_hours'][0]}", "# [business_hours]", '# hours = "08:00-18:00"']
            lines += [f'# days = "{WEEKDAYS}"']
        return "\n".join([*lines, ""])


def _values(given: str | Mapping[str, str] | None) -> list[str]:
    """One value for all, or NAME=VALUE for each, as the options take them."""
    return [given] if isinstance(given, str) else [f"{name}={value}" for name, value in (given or {}).items()]


def _comments(note: str | None) -> list[str]:
    """Lines that say it. TOML allows no control characters in them, and names of files and products may have any."""
    lines = [] if note is None else note.splitlines()
    return ["# " + "".join(letter if letter.isprintable() else "?" for letter in line) for line in lines]


def _hint(path: Path) -> str:
    """What is most often wrong with a file written on Windows."""
    if "\\" not in text_in(path, WHAT):
        return ""
    return ". A backslash in double quotes begins an escape: write C:/logs, or 'C:\\logs' in single quotes"


def _text(name: str, value: object, checks: Checks) -> str | None:
    return None if value is None else checks.text(name, value)


def _logs(value: object, checks: Checks) -> tuple[str, ...]:
    if value is None:
        return ()
    given = [value] if isinstance(value, str) else value
    if not isinstance(given, list | tuple) or not given:
        checks.fault("logs", f'is {value!r}, but has to be a list of files, folders or patterns such as ["logs/"]')
        return ()
    found = [checks.text(f"logs[{place}]", each) for place, each in enumerate(given)]
    return tuple(each for each in found if each is not None)


def _servers(value: object, checks: Checks) -> Mapping[str, str]:
    if value is None:
        return _EMPTY
    if not isinstance(value, Mapping):
        checks.fault(
            "servers", 'has to be a table: [servers] and below it mad-lic-01 = "Europe/Madrid" for each server'
        )
        return _EMPTY
    found: dict[str, str] = {}
    for server, zone in value.items():
        where = f'servers["{server}"]'
        name = checks.text(where, server)
        if name is not None and "=" in name:
            checks.fault(where, "has an equals sign, which no license server's name has")
        found[server] = "" if zone == "" else checks.zone(where, zone) or ""
    return MappingProxyType(found)


def _rule(value: object, checks: Checks) -> str | tf.Rule | None:
    if value is None or isinstance(value, tf.Rule):
        return value
    if isinstance(value, Mapping):
        try:
            # Numbers in a rule are seconds, and the file was read digit by digit.
            return tf.Rule.from_dict({name: _seconds(each) for name, each in value.items()})
        except (tf.ArgumentError, tf.ArgumentTypeError, tf.ZoneError) as error:
            checks.fault(f"rule.{error.location}" if error.location else "rule", f"is wrong: {error}")
            return None
    if not isinstance(value, str) or not (value in PRESETS or value.lower().endswith(".toml")):
        checks.fault(
            "rule", f'is {value!r}, but has to be "token-flex", "flex", the path of a .toml file, or a table [rule]'
        )
        return None
    return checks.text("rule", value)


def _seconds(value: object) -> object:
    return float(value) if isinstance(value, Decimal) else value


def _country(value: object, checks: Checks) -> str | Mapping[str, str] | None:
    if isinstance(value, Mapping):
        found = {name: checks.text(f'country["{name}"]', code) or "" for name, code in value.items()}
        return MappingProxyType(found) if found else None
    return _text("country", value, checks)


def _business_hours(value: object, checks: Checks) -> Mapping[str, Any] | None:
    if value is None:
        return None
    if not isinstance(value, Mapping):
        checks.fault("business_hours", 'has to be a table: [business_hours] and below it hours = "08:00-18:00"')
        return None
    for name in value:
        if name not in _HOURS:
            checks.fault(f"business_hours.{name}", no_field(name, _HOURS))
    hours = checks.text("business_hours.hours", value.get("hours", MISSING))
    days = _text("business_hours.days", value.get("days"), checks)
    free = value.get("holidays", [])
    if not isinstance(free, list | tuple):
        checks.fault("business_hours.holidays", "has to be a list of dates such as [2026-12-25]")
        return None
    dates = [checks.day(f"business_hours.holidays[{place}]", day) for place, day in enumerate(free)]
    if hours is None or None in dates:
        return None
    try:
        hours_in(hours, days=days, holidays=[day for day in dates if day is not None])
    except tf.ArgumentError as error:
        checks.fault(f"business_hours.{error.location}", f"is wrong: {error}")
    found = {"hours": hours, "days": days, "holidays": [str(day) for day in dates]}
    return MappingProxyType({name: each for name, each in found.items() if each})
