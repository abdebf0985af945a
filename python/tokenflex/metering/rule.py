"""The charging rule as a value: no public text settles how tokens are charged, so nobody should hide a guess.

The two presets state their sources field by field.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

from tokenflex import _core
from tokenflex.errors import ArgumentError, ArgumentTypeError, SourceError, SourceNotFoundError
from tokenflex.times import MICROSECOND

if TYPE_CHECKING:
    from collections.abc import Mapping

DAY: Final = timedelta(hours=24)
SHORTEST: Final = timedelta(minutes=1)
LONGEST: Final = timedelta(days=366)
OWNERS: Final = ("server", "user", "utc")
"""What a rule's zone can be besides a name."""


@dataclass(frozen=True, kw_only=True)
class Rule:
    """What is charged and when.

    Attributes:
        window: `"rolling"`: a charge pays for `length` from its instant on. `"day"`: it pays for a local calendar day.
        length: How long a rolling window lasts, in elapsed time: a change of the clock does not change it. From one
            minute to 366 days. Has no meaning for days and keeps its default there.
        zone: Whose midnight divides the days: `"server"` (the license server's, given to the verb by `servers=`),
            `"user"` (the user's, by `users=`), `"utc"`, or an IANA name that holds for all. Has no meaning for rolling
            windows and keeps its default there.
        day_start: How long after midnight, by the clock on the wall, a day begins. For day windows; below 24 hours.
        renew: Whether a window that ends while the product is in use is charged again. If not, only a launch pays.
        min_duration: A session shorter than this never opens or renews a window.
        idle_after: With activity data, a product counts as in use until this long after its last activity, and a
            window that ends while it idles is charged when it is used again. Without activity data open means in use.
        incremental: Products of one family of the rates share a window: a dearer one pays the difference.
        scope: `"contract"`: a window holds on all servers. `"server"`: each server charges by itself.
        machine_metered: Products that the host pays for and not the user.

    Raises:
        ArgumentError: A field has a value that makes no sense; `location` names the field.
        ArgumentTypeError: A field is of a wrong type.
        ZoneError: There is no zone of that name.

    Example:
        >>> import tokenflex as tf
        >>> from datetime import timedelta
        >>> rule = tf.Rule(window="day", zone="Europe/Madrid", min_duration=timedelta(minutes=5))
        >>> rule.rule_id
        'day-Europe/Madrid-794be4d9'
    """

    window: Literal["rolling", "day"]
    length: timedelta = DAY
    zone: str = "server"
    day_start: timedelta = timedelta(0)
    renew: bool = True
    min_duration: timedelta = timedelta(0)
    idle_after: timedelta | None = None
    incremental: bool = False
    scope: Literal["contract", "server"] = "contract"
    machine_metered: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        self._check_types()
        if self.window not in ("rolling", "day"):
            raise ArgumentError(f'window is {self.window!r}, but has to be "rolling" or "day"', location="window")
        if self.scope not in ("contract", "server"):
            raise ArgumentError(f'scope is {self.scope!r}, but has to be "contract" or "server"', location="scope")
        for field, least, most in (
            ("length", SHORTEST, LONGEST),
            ("min_duration", timedelta(0), LONGEST),
            ("day_start", timedelta(0), DAY - MICROSECOND),
            ("idle_after", MICROSECOND, LONGEST),
        ):
            value = getattr(self, field)
            if value is not None and not least <= value <= most:
                raise ArgumentError(f"{field} is {value}, but has to lie in {least} to {most}", location=field)
        if self.window == "day" and self.length != DAY:
            raise ArgumentError("length has no meaning for day windows: leave it out", location="length")
        if self.window == "rolling" and self.zone != "server":
            raise ArgumentError("zone has no meaning for rolling windows: leave it out", location="zone")
        if self.window == "rolling" and self.day_start:
            raise ArgumentError("day_start has no meaning for rolling windows: leave it out", location="day_start")
        if self.zone not in OWNERS:
            # In the database's spelling, so that one rule has one id.
            object.__setattr__(self, "zone", _core.check_zone(self.zone))

    def _check_types(self) -> None:
        for field in ("length", "min_duration", "day_start", "idle_after"):
            value = getattr(self, field)
            if not isinstance(value, timedelta) and not (field == "idle_after" and value is None):
                raise ArgumentTypeError(f"{field} has to be a timedelta, not {type(value).__name__}", location=field)
        for field in ("renew", "incremental"):
            if not isinstance(getattr(self, field), bool):
                raise ArgumentTypeError(f"{field} has to be True or False", location=field)
        if not isinstance(self.zone, str):
            raise ArgumentTypeError(f"zone has to be a string, not {type(self.zone).__name__}", location="zone")
        products: object = self.machine_metered
        if isinstance(products, str) or not isinstance(products, Iterable):
            raise ArgumentTypeError("machine_metered has to be a set of product names", location="machine_metered")
        if not all(isinstance(product, str) and product for product in products):
            raise ArgumentTypeError("machine_metered has to hold product names", location="machine_metered")
        object.__setattr__(self, "machine_metered", frozenset(products))

    @property
    def needs_zones_of(self) -> Literal["server", "user"] | None:
        """Whose zones the days need to know: each server's, each user's, or nobody's."""
        if self.window == "day" and self.zone in ("server", "user"):
            return "server" if self.zone == "server" else "user"
        return None

    @property
    def rule_id(self) -> str:
        """A name that two rules share exactly when they charge alike; the same on every machine and in every version.

        It is made of the fields that differ from their defaults, so fields that later versions add do not change it.
        """
        fields = {name: value for name, value in self.to_dict().items() if value != _DEFAULTS.get(name)}
        digest = hashlib.sha256(json.dumps(fields, sort_keys=True).encode()).hexdigest()[:8]
        what = f"day-{self.zone}" if self.window == "day" else "rolling"
        return f"{what}-{digest}"

    def to_dict(self) -> dict[str, Any]:
        """The rule as plain values, durations in seconds. A field that is None is left out."""
        fields: dict[str, Any] = {}
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if isinstance(value, timedelta):
                fields[f"{field.name}_seconds"] = _seconds(value)
            elif isinstance(value, frozenset):
                fields[field.name] = sorted(value)
            elif value is not None:
                fields[field.name] = value
        return fields

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> Rule:
        """The rule of `to_dict`. A field that is left out has its default, an unknown one is an `ArgumentError`."""
        if unknown := sorted(set(fields) - set(_FIELDS)):
            raise ArgumentError(
                f"a rule has no field {', '.join(unknown)}; it has {', '.join(sorted(_FIELDS))}", location=unknown[0]
            )
        if "window" not in fields:
            raise ArgumentError('a rule needs the field window: "rolling" or "day"', location="window")
        arguments: dict[str, Any] = {}
        for name, value in fields.items():
            arguments[_FIELDS[name]] = _duration(value, name) if name.endswith("_seconds") else value
        return cls(**arguments)

    def to_toml(self) -> str:
        """The rule as a TOML document; `Rule.from_toml` reads it back."""
        # JSON's literals are TOML's, except that TOML has no surrogate pairs and escapes DEL.
        lines = (f"{name} = {json.dumps(value, ensure_ascii=False)}\n" for name, value in self.to_dict().items())
        return "".join(lines).replace("\x7f", "\\u007f")

    @classmethod
    def from_toml(cls, text: str) -> Rule:
        """The rule of a TOML document."""
        try:
            return cls.from_dict(tomllib.loads(text))
        except (ValueError, RecursionError) as error:
            raise ArgumentError(f"the rule is no TOML: {error}") from error

    def to_json(self) -> str:
        """The rule as a JSON object; `Rule.from_json` reads it back."""
        return json.dumps(self.to_dict())

    @classmethod
    def from_json(cls, text: str) -> Rule:
        """The rule of a JSON object."""
        try:
            fields = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise ArgumentError(f"the rule is no JSON: {error}") from error
        if not isinstance(fields, dict):
            raise ArgumentError("the rule has to be a JSON object")
        return cls.from_dict(fields)

    @classmethod
    def read(cls, path: str | Path) -> Rule:
        """The rule in a `.toml` or `.json` file.

        Raises:
            SourceNotFoundError: There is no such file.
            SourceError: It cannot be read as text.
            ArgumentError: It is no rule; the message names the field.
        """
        try:
            text = Path(path).read_text(encoding="utf-8")
        except FileNotFoundError as error:
            raise SourceNotFoundError(f"there is no rule {path}", location=str(path)) from error
        except (OSError, UnicodeDecodeError) as error:
            raise SourceError(f"{path} cannot be read: {error}", location=str(path)) from error
        return cls.from_json(text) if Path(path).suffix.lower() == ".json" else cls.from_toml(text)


def _seconds(duration: timedelta) -> int | float:
    seconds = duration / timedelta(seconds=1)
    return int(seconds) if seconds.is_integer() else seconds


def _duration(value: object, field: str) -> timedelta:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ArgumentTypeError(f"{field} has to be a number of seconds, not {value!r}", location=field)
    try:
        duration = timedelta(seconds=value)
    except (OverflowError, ValueError) as error:
        raise ArgumentError(f"{field} is {value}, which is no duration", location=field) from error
    return duration // MICROSECOND * MICROSECOND


_FIELDS: Final = {
    f"{field.name}_seconds" if "timedelta" in str(field.type) else field.name: field.name
    for field in dataclasses.fields(Rule)
}
"""Names of fields as they are written, and as they are."""

_DEFAULTS: Final = {name: value for name, value in Rule(window="day").to_dict().items() if name != "window"}

FLEX: Final = Rule(window="rolling", min_duration=timedelta(minutes=5), idle_after=timedelta(minutes=15))
"""Flex, named users since 2021.

- `window="rolling"`, `length` 24 h from the user's first use of the product; still in use at the window's end, it is
  charged again at that end: stated by the vendor.
- `min_duration` 5 min: use of under 5 minutes costs no tokens, stated by the vendor.
- `idle_after` 15 min: after 15 minutes without meaningful use the next charge waits until use resumes, stated by the
  vendor. What is meaningful is not.
- `incremental` off: similar products add up (third party).
- `renew` on, `scope` the whole team: stated by the vendor. `machine_metered`: nothing known.

In doubt: without activity data idleness cannot be seen, and open means in use.
"""

TOKEN_FLEX: Final = Rule(window="day", zone="server", incremental=True)
"""Token Flex, enterprise agreements with license servers.

- `window="day"`, `zone="server"`: at 00:00 server time a running session starts a new interval (OpenLM); vendor exports
  call a session FREE "after charging has already occurred for that day" (older vendor text). The founding article
  speaks of 24 hours linked to the license server's location, which could also be read as a rolling window. No contract
  text is public.
- `day_start` midnight, `renew` on: as above; nobody speaks of another hour.
- `min_duration` 0: exports know CASUAL use below the contract's minimum duration (older vendor text), but the minutes
  are a term of each contract: give yours.
- `idle_after` none: some products hand the license back by themselves after 15 to 480 minutes (vendor), which shows
  in the logs.
- `incremental` on: the category INCREMENTAL is the difference to a similar or lesser product charged already (older
  vendor text). Which products are similar is a term of the contract: families of the rates; without any it has no
  effect.
- `scope` the contract: every server uploads, and the vendor charges centrally (vendor); that a second server is free
  under the same user name is our reading.
- `machine_metered` empty: since 2021-12-01 Arnold, RenderNode and VRED are metered by machine (vendor). Name the
  product lines that you have of them.
"""
