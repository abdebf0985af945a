"""The charging rule as a value: no public text settles how tokens are charged, so nobody should hide a guess.

The two presets state their sources field by field.
"""

from __future__ import annotations

import hashlib
import json
import tomllib
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

from tokenflex import _core
from tokenflex.errors import ArgumentError, ArgumentTypeError
from tokenflex.times import MICROSECOND

if TYPE_CHECKING:
    from collections.abc import Mapping

DAY: Final = timedelta(hours=24)
SHORTEST: Final = timedelta(minutes=1)
LONGEST: Final = timedelta(days=366)


@dataclass(frozen=True, kw_only=True)
class Rule:
    """What is charged and when.

    Attributes:
        window: `"rolling"`: a charge pays for `length` from its instant on. `"day"`: it pays for a local calendar day.
        length: How long a rolling window lasts, in elapsed time: a change of the clock does not change it. From one
            minute to 366 days. Has no meaning for days and keeps its default there.
        zone: Whose midnight divides the days: `"server"` (the license server's, given to the verb by `servers=`),
            `"utc"`, or an IANA name that holds for all. Has no meaning for rolling windows and keeps its default there.
        min_duration: A session shorter than this never opens or renews a window.

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
    min_duration: timedelta = timedelta(0)

    def __post_init__(self) -> None:
        if self.window not in ("rolling", "day"):
            raise ArgumentError(f'window is {self.window!r}, but has to be "rolling" or "day"', location="window")
        for field in ("length", "min_duration"):
            if not isinstance(getattr(self, field), timedelta):
                raise ArgumentTypeError(
                    f"{field} has to be a timedelta, not {type(getattr(self, field)).__name__}", location=field
                )
        if not SHORTEST <= self.length <= LONGEST:
            raise ArgumentError(f"length is {self.length}, but has to lie in 1 minute to 366 days", location="length")
        if not timedelta(0) <= self.min_duration <= LONGEST:
            raise ArgumentError(
                f"min_duration is {self.min_duration}, but has to lie in 0 to 366 days", location="min_duration"
            )
        if not isinstance(self.zone, str):
            raise ArgumentTypeError(f"zone has to be a string, not {type(self.zone).__name__}", location="zone")
        if self.window == "day" and self.length != DAY:
            raise ArgumentError("length has no meaning for day windows: leave it out", location="length")
        if self.window == "rolling" and self.zone != "server":
            raise ArgumentError("zone has no meaning for rolling windows: leave it out", location="zone")
        if self.zone not in ("server", "utc"):
            # In the database's spelling, so that one rule has one id.
            object.__setattr__(self, "zone", _core.check_zone(self.zone))

    @property
    def needs_servers(self) -> bool:
        """Whether days are those of the license server, so that each server needs a zone."""
        return self.window == "day" and self.zone == "server"

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
        """The rule as plain values, durations in seconds."""
        return {
            "window": self.window,
            "length_seconds": _seconds(self.length),
            "zone": self.zone,
            "min_duration_seconds": _seconds(self.min_duration),
        }

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> Rule:
        """The rule of `to_dict`. A field that is left out has its default, an unknown one is an `ArgumentError`."""
        known = {"window", "length_seconds", "zone", "min_duration_seconds"}
        if unknown := sorted(set(fields) - known):
            raise ArgumentError(
                f"a rule has no field {', '.join(unknown)}; it has {', '.join(sorted(known))}", location=unknown[0]
            )
        if "window" not in fields:
            raise ArgumentError('a rule needs the field window: "rolling" or "day"', location="window")
        arguments: dict[str, Any] = {}
        for name, value in fields.items():
            if name.endswith("_seconds"):
                arguments[name.removesuffix("_seconds")] = _duration(value, name)
            else:
                arguments[name] = value
        return cls(**arguments)

    def to_toml(self) -> str:
        """The rule as a TOML document; `Rule.from_toml` reads it back."""
        return "".join(f"{name} = {json.dumps(value)}\n" for name, value in self.to_dict().items())

    @classmethod
    def from_toml(cls, text: str) -> Rule:
        """The rule of a TOML document."""
        try:
            return cls.from_dict(tomllib.loads(text))
        except tomllib.TOMLDecodeError as error:
            raise ArgumentError(f"the rule is no TOML: {error}") from error

    def to_json(self) -> str:
        """The rule as a JSON object; `Rule.from_json` reads it back."""
        return json.dumps(self.to_dict())

    @classmethod
    def from_json(cls, text: str) -> Rule:
        """The rule of a JSON object."""
        try:
            fields = json.loads(text)
        except json.JSONDecodeError as error:
            raise ArgumentError(f"the rule is no JSON: {error}") from error
        if not isinstance(fields, dict):
            raise ArgumentError("the rule has to be a JSON object")
        return cls.from_dict(fields)

    @classmethod
    def read(cls, path: str | Path) -> Rule:
        """The rule in a `.toml` or `.json` file."""
        text = Path(path).read_text(encoding="utf-8")
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


_DEFAULTS: Final = {"length_seconds": _seconds(DAY), "zone": "server", "min_duration_seconds": 0}

FLEX: Final = Rule(window="rolling", min_duration=timedelta(minutes=5))
"""Flex, named users since 2021.

- `window="rolling"`, `length` 24 h from the user's first use of the product; still in use at the window's end, it is
  charged again at that end: stated by the vendor.
- `min_duration` 5 min: use of under 5 minutes costs no tokens, stated by the vendor.

In doubt: the vendor delays the next charge of a product that idles for 15 minutes; without activity data that cannot
be seen, and open means in use.
"""

TOKEN_FLEX: Final = Rule(window="day", zone="server")
"""Token Flex, enterprise agreements with license servers.

- `window="day"`, `zone="server"`: at 00:00 server time a running session starts a new interval (OpenLM); vendor exports
  call a session FREE "after charging has already occurred for that day" (older vendor text). The founding article
  speaks of 24 hours linked to the license server's location, which could also be read as a rolling window. No contract
  text is public.
- `min_duration` 0: exports know CASUAL use below the contract's minimum duration (older vendor text), but the minutes
  are a term of each contract: give yours.
"""
