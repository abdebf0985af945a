"""Fields of the values that make up a contract: read, checked, and every wrong one named, not only the first."""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Iterable, Mapping
from datetime import date, datetime
from decimal import Context, Decimal, InvalidOperation, localcontext
from functools import cache
from typing import Any, Final, TypeAlias, TypeVar

from tokenflex import _core
from tokenflex.contract.days import FIRST_DAY, LAST_DAY
from tokenflex.errors import FieldsError, ZoneError
from tokenflex.words import near

Exact: TypeAlias = Decimal | int | str
"""A number as a caller gives it: no float, which cannot hold a tenth."""

Day: TypeAlias = date | str
"""A day as a caller gives it: a date, or ISO text such as `2026-01-31`."""

MISSING: Final = object()
"""In place of a field that a file lacks."""

SCALE: Final = Decimal("0.0001")
LARGEST: Final = Decimal(10) ** 10
"""Tokens of one pool lie below it, so that ten thousand pools add up in 64 bits of ten-thousandths."""

_CONTEXT: Final = Context(prec=40, traps=[])
_SHOWN: Final = 20
_LONG: Final = 60
_MOST: Final = 2**31

_Kind = TypeVar("_Kind")


class Checks:
    """Reads fields and collects what is wrong. What a reader gives for a wrong field is None, until `refuse` raises."""

    def __init__(self) -> None:
        self._faults: dict[str, str] = {}

    def fault(self, field: str, problem: str) -> None:
        """Notes that a field is wrong. The first fault of each field counts."""
        self._faults.setdefault(field, problem)

    def take(self, path: str, error: FieldsError) -> None:
        """Notes the faults of a part."""
        for field, problem in error.fields.items():
            self.fault(f"{path}.{field}" if field else path, problem)

    def fails(self, *paths: str) -> bool:
        """Whether one of these fields, or of their parts, is wrong."""
        return any(field.startswith(paths) for field in self._faults)

    def refuse(self, what: str) -> None:
        """Raises one error for all faults, if there are any."""
        if not self._faults:
            return
        lines = [f"{field} {problem}" for field, problem in self._faults.items()]
        message = lines[0]
        if len(lines) > 1:
            more = [f"and {len(lines) - _SHOWN:,} more"] if len(lines) > _SHOWN else []
            message = "\n  ".join([f"{len(lines):,} fields of the {what} are wrong:", *lines[:_SHOWN], *more])
        raise FieldsError(message, location=next(iter(self._faults)), fields=self._faults)

    def _wrong(self, field: str, value: object, expected: str) -> None:
        self.fault(field, "is missing" if value is MISSING else f"is {_shown(value)}, but has to be {expected}")

    def text(self, field: str, value: object, *, or_empty: bool = False) -> str | None:
        """Text that a file can hold."""
        if isinstance(value, str) and (value or or_empty):
            # Half of a surrogate pair is no text in any file.
            if not any("\ud800" <= letter <= "\udfff" for letter in value):
                return value
            self._wrong(field, value, "text without surrogates")
        else:
            self._wrong(field, value, "text" if or_empty else "text that is not empty")
        return None

    def choice(self, field: str, value: object, choices: tuple[str, ...]) -> str | None:
        """One of a few words."""
        if isinstance(value, str) and value in choices:
            return value
        self._wrong(field, value, " or ".join(f'"{choice}"' for choice in choices))
        return None

    def flag(self, field: str, value: object) -> bool | None:
        """True or False."""
        if isinstance(value, bool):
            return value
        self._wrong(field, value, "true or false")
        return None

    def count(self, field: str, value: object) -> int | None:
        """A whole number from 1 on."""
        if isinstance(value, int) and not isinstance(value, bool) and 1 <= value < _MOST:
            return value
        self._wrong(field, value, f"a whole number from 1 to {_MOST - 1:,}")
        return None

    def zone(self, field: str, value: object) -> str | None:
        """A zone in the spelling of the database."""
        if not isinstance(value, str):
            self._wrong(field, value, "an IANA zone such as Europe/Madrid")
            return None
        try:
            return _core.check_zone(value)
        except ZoneError as error:
            self.fault(field, f"is wrong: {error}")
            return None

    def day(self, field: str, value: object) -> date | None:
        """A date, or ISO text of one."""
        day = value
        if isinstance(value, str):
            with contextlib.suppress(ValueError):
                day = date.fromisoformat(value)
        if not isinstance(day, date) or isinstance(day, datetime):
            self._wrong(field, value, "a date such as 2026-01-31")
            return None
        if not FIRST_DAY <= day <= LAST_DAY:
            self._wrong(field, value, f"a day from {FIRST_DAY} to {LAST_DAY}")
            return None
        return day

    def tokens(self, field: str, value: object, *, or_none: bool = True) -> Decimal | None:
        """Tokens, exactly, 0 or more; or else more than 0."""
        tokens = self.exact(field, value)
        if tokens is not None and (tokens < 0 or (tokens == 0 and not or_none)):
            self._wrong(field, value, "0 or more" if or_none else "more than 0")
            return None
        return tokens

    def price(self, field: str, value: object) -> Decimal | None:
        """Money for a token. Of at most four decimals, so that what tokens cost is exact with eight."""
        price = self.tokens(field, value)
        return None if price is None else Decimal(_without_zeros(price))

    def exact(self, field: str, value: object) -> Decimal | None:
        """A number of at most four decimals, exactly."""
        if isinstance(value, float):
            self.fault(
                field, f"is the float {value!r}, and floats are not exact: give a whole number, a Decimal or text"
            )
            return None
        number = None
        if isinstance(value, Decimal | int | str) and not isinstance(value, bool):
            with contextlib.suppress(InvalidOperation):
                number = Decimal(value)
        if number is None or not number.is_finite():
            self._wrong(field, value, "a number")
        elif not -LARGEST < number < LARGEST:
            self._wrong(field, value, f"of an amount below {LARGEST:,}")
        elif number.quantize(SCALE, context=_CONTEXT) != number:
            self._wrong(field, value, "of at most four decimals")
        else:
            # Nothing is no less than nothing: a sign would be shown.
            return number.quantize(SCALE, context=_CONTEXT) if number else Decimal("0.0000")
        return None


def _shown(value: object) -> str:
    """A value in a message: numbers and dates bare, what is long cut."""
    if isinstance(value, int) and value.bit_length() > _LONG:
        return "a number of many digits"
    text = str(value) if isinstance(value, Decimal | date) else repr(value)
    return text if len(text) <= _LONG else f"{text[:_LONG]}…"


def total(tokens: Iterable[Decimal]) -> Decimal:
    """The sum, exactly, whatever the caller's decimal context rounds to."""
    with localcontext(_CONTEXT):
        return sum(tokens, Decimal(0))


def fill(target: object, fields: Mapping[str, object]) -> None:
    """Sets the fields of a frozen value, once."""
    for name, value in fields.items():
        object.__setattr__(target, name, value)


def no_field(name: object, known: Iterable[str], of: str = "here") -> str:
    """What is said of a field that is unknown: which was meant, and which there are."""
    names = list(known)
    return f"is no field {of}{near(str(name), names)}; there are {', '.join(names)}"


def built(kind: type[_Kind], fields: object, path: str, checks: Checks) -> _Kind | None:
    """A value of the fields that a file has for it. What is wrong goes to `checks`, under its path."""
    if not isinstance(fields, Mapping):
        checks.fault(path, f"is {_shown(fields)}, but has to be a table of fields")
        return None
    known = defaults_of(kind)
    for name in fields:
        if name not in known:
            checks.fault(f"{path}.{name}", no_field(name, sorted(known)))
    given = {name: value for name, value in fields.items() if name in known}
    try:
        return kind(**(known | given))
    except FieldsError as error:
        checks.take(path, error)
        return None


@cache
def _signature(kind: type) -> tuple[inspect.Parameter, ...]:
    return tuple(inspect.signature(kind).parameters.values())


def built_parts(given: Mapping[str, Any], kinds: Mapping[str, type], checks: Checks) -> dict[str, Any]:
    """The fields with their lists of tables made into lists of values. A part that is wrong is `MISSING` there."""
    found = dict(given)
    for name, kind in kinds.items():
        if isinstance(given.get(name), list | tuple):
            made = (built(kind, fields, f"{name}[{place}]", checks) for place, fields in enumerate(given[name]))
            found[name] = [MISSING if part is None else part for part in made]
    return found


def parts(name: str, kind: type, given: object, checks: Checks) -> tuple[Any, ...]:
    """The values of a list, or none where one of them is wrong: what is held against them would be wrong too."""
    if isinstance(given, str | Mapping) or not isinstance(given, Iterable):
        checks.fault(name, f"is {type(given).__name__}, but has to be a list")
        return ()
    found = tuple(given)
    for place, part in enumerate(found):
        if not isinstance(part, kind) and part is not MISSING:
            checks.fault(f"{name}[{place}]", f"is {type(part).__name__}, but has to be tokenflex.{kind.__name__}")
    return () if checks.fails(f"{name}[") else found


def defaults_of(kind: type) -> dict[str, Any]:
    """The fields that can be given for a value, and what they are unless given; `MISSING` where they have to be."""
    return {
        each.name: MISSING if each.default is inspect.Parameter.empty else each.default for each in _signature(kind)
    }


def plain(value: Any) -> dict[str, Any]:  # noqa: ANN401 - any of the values
    """The fields of a value as numbers, text, dates, lists and dictionaries, without those that say nothing.

    A price of 0 does say something, since unless given there is none.
    """
    found = {}
    for name, default in defaults_of(type(value)).items():
        each = getattr(value, name)
        if each or (each is not None and default in (MISSING, None)):
            found[name] = plain_value(each)
    return found


def days_as_text(value: object) -> object:
    """The same with days as ISO text, as JSON has them."""
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, dict):
        return {name: days_as_text(each) for name, each in value.items()}
    return [days_as_text(each) for each in value] if isinstance(value, list) else value


def plain_value(value: object) -> object:
    """A value of a field as a number, text, a date, a list or a dictionary."""
    if isinstance(value, Decimal):
        text = _without_zeros(value)
        return text if "." in text else int(text)
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, frozenset):
        return sorted(value)
    if isinstance(value, tuple):
        return [plain(each) for each in value]
    return value


def _without_zeros(value: Decimal) -> str:
    """Without an exponent and without zeros at the end."""
    text = f"{value:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
