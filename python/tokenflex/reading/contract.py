"""The verb `read_contract`: what the vendor's API says of an agreement, its years and their tokens."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import date
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any, Final

from tokenflex.errors import ArgumentError, SourceError
from tokenflex.reading.statement.aliases import key_of
from tokenflex.reading.statement.source import StatementSource, places, text_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_SCALE: Final = 4


@dataclass(frozen=True)
class YearSnapshot:
    """One year of a contract. Tokens are exact; what the vendor does not say is None.

    Attributes:
        year: Its number, from 1.
        start: Its first day.
        end: Its last day.
        provisioned: Tokens of the year's own pool, which end with it.
        consumed: Tokens that were taken from it, as the vendor says.
        remaining: Tokens that are left in it, as the vendor says.
        multiyear_at_start: Tokens of the multi-year pool when the year began.
        multiyear_consumed: Tokens that the year took from that pool.
    """

    year: int
    start: date | None = None
    end: date | None = None
    provisioned: Decimal | None = None
    consumed: Decimal | None = None
    remaining: Decimal | None = None
    multiyear_at_start: Decimal | None = None
    multiyear_consumed: Decimal | None = None


@dataclass(frozen=True)
class ContractSnapshot:
    """A Token Flex agreement as the vendor's API states it.

    Consumed and remaining tokens are snapshots, which need not agree with the usage that the vendor reports elsewhere.

    Attributes:
        number: The contract's number.
        start: Its first day.
        end: Its last day.
        multiyear_provisioned: Tokens of the pool that lasts until the contract's end.
        years: Its years, in order.
    """

    number: str
    start: date | None
    end: date | None
    multiyear_provisioned: Decimal | None
    years: tuple[YearSnapshot, ...]


def read_contract(source: StatementSource, *, number: str | None = None) -> ContractSnapshot:
    """Reads a contract from the JSON of the vendor's API.

    Args:
        source: A file, the bytes of one, or a binary file object.
        number: Which contract, where the JSON holds several.

    Returns:
        The contract with its years.

    Raises:
        SourceNotFoundError: There is no such file.
        SourceError: It is no JSON of a contract; the message names the field that is wrong.
        ArgumentError: There are several contracts and `number` is of none of them, or is not given.

    Example:
        >>> import tokenflex as tf
        >>> contract = tf.read_contract(b'''{"contractNumber": "110001", "contractStartDate": "2024-02-01",
        ...     "contractEndDate": "2027-01-31", "multiyearProvisionedTokens": 25000,
        ...     "years": [{"contractYear": 1, "provisionedTokens": 344000, "consumedTokens": 146226.5}]}''')
        >>> contract.years[0].consumed
        Decimal('146226.5000')
    """
    (place, *more) = places(source)
    if more:
        raise ArgumentError("give one file: read_contract reads one contract", location="source")
    text, _ = text_of(place.bytes(), place.name, "cp1252")
    try:
        document = json.loads(text.removeprefix("\ufeff"), parse_float=Decimal, parse_constant=str)
    except json.JSONDecodeError as error:
        raise SourceError(f"{place.name} is no JSON: line {error.lineno}: {error.msg}", location=place.name) from error
    except (ValueError, RecursionError) as error:
        raise SourceError(f"{place.name} is no JSON of a contract: {error}", location=place.name) from error
    contracts = [_contract(_Fields(each, place.name, "contract")) for each in _objects(document, place.name)]
    chosen = contracts if number is None else [each for each in contracts if each.number == number]
    if len(chosen) != 1:
        raise ArgumentError(
            f"{place.name} holds the contracts {', '.join(each.number for each in contracts)}: give the one by number=",
            location="number",
        )
    return chosen[0]


def _objects(document: Any, name: str) -> list[dict[str, Any]]:  # noqa: ANN401 - whatever the JSON holds
    while isinstance(document, dict):
        inner = next((document[key] for key in ("result", "data", "contracts") if key in document), None)
        if inner is None:
            return [document]
        document = inner
    if isinstance(document, list) and document and all(isinstance(each, dict) for each in document):
        return list(document)
    raise SourceError(f"{name} holds no contract: expected an object with contractNumber and years", location=name)


class _Fields:
    """The fields of an object, under any of their names."""

    def __init__(self, fields: dict[str, Any], file: str, what: str) -> None:
        self._by_key = {key_of(name): (name, value) for name, value in fields.items()}
        self.file = file
        self._what = what

    def refuse(self, name: str, problem: str) -> SourceError:
        return SourceError(f"{self.file}: {name} of the {self._what} {problem}", location=self.file)

    def take(self, aliases: tuple[str, ...], read: Callable[[Any], Any], expected: str) -> Any:  # noqa: ANN401 - what `read` gives
        """The first of the names that has a value, or None."""
        for alias in aliases:
            name, value = self._by_key.get(key_of(alias), (alias, None))
            if value is None or value == "":
                continue
            try:
                return read(value)
            except (ValueError, TypeError, InvalidOperation) as error:
                raise self.refuse(name, f"is {value!r}, but has to be {expected}") from error
        return None

    def text(self, *aliases: str) -> str | None:
        """Text, or a number as text."""
        text: str | None = self.take(aliases, _text, "text or a number")
        return text

    def day(self, *aliases: str) -> date | None:
        """A date, with a time behind it or not."""
        day: date | None = self.take(aliases, _day, "a date such as 2026-01-31")
        return day

    def tokens(self, *aliases: str) -> Decimal | None:
        """Tokens, exactly."""
        tokens: Decimal | None = self.take(aliases, _tokens, "a number of at most four decimals")
        return tokens

    def objects(self, *aliases: str) -> Iterator[dict[str, Any]]:
        """The objects of a list."""
        yield from self.take(aliases, _list_of_objects, "a list of objects") or ()


def _text(value: object) -> str:
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise TypeError
    return str(value).strip()


def _day(value: object) -> date:
    if not isinstance(value, str):
        raise TypeError
    return date.fromisoformat(value.strip()[:10])


def _tokens(value: object) -> Decimal:
    if isinstance(value, bool) or not isinstance(value, str | int | Decimal):
        raise TypeError
    tokens = Decimal(value)
    if not tokens.is_finite() or round(tokens, _SCALE) != tokens:
        raise ValueError
    return round(tokens, _SCALE)


def _list_of_objects(value: object) -> list[dict[str, Any]]:
    if not isinstance(value, list) or not all(isinstance(each, dict) for each in value):
        raise TypeError
    return value


def _contract(fields: _Fields) -> ContractSnapshot:
    number = fields.text("contractNumber", "number", "contract")
    if number is None:
        raise fields.refuse("contractNumber", "is missing")
    listed = list(fields.objects("years", "contractYears"))
    years = [
        _year(_Fields(each, fields.file, f"year {place} of contract {number}")) for place, each in enumerate(listed, 1)
    ]
    numbers = [year.year for year in years]
    if not years or len(set(numbers)) < len(numbers):
        raise fields.refuse("years", f"are {numbers}, but have to be one or more, each once")
    contract = ContractSnapshot(
        number=number,
        start=fields.day("contractStartDate", "startDate"),
        end=fields.day("contractEndDate", "endDate"),
        multiyear_provisioned=fields.tokens("multiyearProvisionedTokens", "multiYearTokens", "multiyearTokens"),
        years=tuple(sorted(years, key=lambda year: year.year)),
    )
    _check_order(fields, "contractEndDate", contract.start, contract.end)
    return contract


def _year(fields: _Fields) -> YearSnapshot:
    number = fields.text("contractYear", "year", "yearNumber")
    if number is None or not number.isdecimal() or int(number) == 0:
        raise fields.refuse("contractYear", f"is {number!r}, but has to be a number from 1 on")
    year = YearSnapshot(
        year=int(number),
        start=fields.day("startDate", "contractYearStartDate", "yearStartDate"),
        end=fields.day("endDate", "contractYearEndDate", "yearEndDate"),
        provisioned=fields.tokens("provisionedTokens", "tokensProvisioned", "annualTokens"),
        consumed=fields.tokens("consumedTokens", "tokensConsumed"),
        remaining=fields.tokens("remainingTokens", "tokensRemaining"),
        multiyear_at_start=fields.tokens("multiyearTokensAtStart", "multiyearTokens"),
        multiyear_consumed=fields.tokens("multiyearConsumedTokens", "multiyearTokensConsumed"),
    )
    _check_order(fields, "endDate", year.start, year.end)
    return year


def _check_order(fields: _Fields, name: str, start: date | None, end: date | None) -> None:
    if start is not None and end is not None and end < start:
        raise fields.refuse(name, f"is {end}, before the start {start}")
