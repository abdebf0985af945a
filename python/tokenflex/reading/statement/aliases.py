"""The columns of the vendor's exports, by all names that they go under, and how a header tells which export it is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

CUSTOM: Final = tuple(f"custom_{number}" for number in range(1, 11))

_COMMON: Final[Mapping[str, tuple[str, ...]]] = {
    "usage_date": ("usage date", "day used", "usage day", "date used"),
    "usage_month": ("usage month", "month used"),
    "contract_year": ("contract year",),
    "product": ("product line code", "product line", "product code", "plc"),
    "version": ("version", "product version"),
    "user_id": ("user id", "autodesk id", "o2 id"),
    "hashed_id": ("hashed user id", "hashed autodesk id", "hashed id", "masked user id"),
    "email": ("email", "email address", "user email", "e-mail address"),
    "full_name": ("full name",),
    "first_name": ("first name",),
    "last_name": ("last name",),
    "usage_category": ("usage category",),
    "token_pool": ("token pool", "token pool code"),
    "tokens": ("tokens consumed", "tokens used", "tokens charged", "tokens", "token consumption"),
    "usage_minutes": ("usage minutes", "minutes"),
    "usage_hours": ("usage hours", "hours"),
    "team": ("team", "team name", "team alias"),
    **{custom: (custom.replace("custom", "custom field"), custom) for custom in CUSTOM},
}

_TOKEN_FLEX: Final[Mapping[str, tuple[str, ...]]] = {
    "product_name": ("product name",),
    "feature": ("product feature code", "feature code", "feature"),
    "user": ("user name", "user"),
    "host": ("machine name", "machine", "host", "host name"),
    "server": ("license server name", "license server", "server name", "server"),
    "start": ("session start date", "session start", "start date", "start time"),
    "end": ("session end date", "session end", "end date", "end time"),
    "utc_offset": ("license server time zone offset", "license server timezone offset", "time zone offset"),
    "charged_item": ("charged item id", "charged item"),
    "category": ("charge category",),
    "usage_type": ("usage type",),
    "transaction_date": ("transaction date",),
    "reason_type": ("reason type",),
    "reason_comment": ("reason comment",),
}

_FLEX: Final[Mapping[str, tuple[str, ...]]] = {
    "product_name": ("product name", "product"),
    "offering": ("offering name", "offering", "child product name", "feature", "feature name"),
    "user_name": ("user name", "user"),
    "usage_type": ("usage type",),
    "access_option": ("access option",),
}


def key_of(name: str) -> str:
    """A column's name without case and separators."""
    return "".join(letter for letter in name.casefold() if letter.isalnum())


def _by_key(*tables: Mapping[str, tuple[str, ...]]) -> dict[str, str]:
    return {key_of(alias): column for table in tables for column, aliases in table.items() for alias in aliases}


TOKEN_FLEX: Final = _by_key(_COMMON, _TOKEN_FLEX)
"""The column of each key of a Token Flex export."""
FLEX: Final = _by_key(_COMMON, _FLEX)
"""The column of each key of a Flex export."""

ONLY_SESSIONS: Final = frozenset(_TOKEN_FLEX) - {"product_name"}
"""Columns that an aggregate of Token Flex does not have."""


@dataclass(frozen=True)
class Header:
    """A header that was understood.

    Attributes:
        kind: One of `tables.STATEMENT_KINDS`.
        columns: The place in the file of each column that is read.
        titles: How the file spells each of them.
        unknown: Titles that say nothing to us.
        doubled: Titles of columns that stand there for the second time.
        unnamed: Places without a title.
        width: How many places the header has.
    """

    kind: str
    columns: Mapping[str, int]
    titles: Mapping[str, str]
    unknown: tuple[str, ...]
    doubled: tuple[str, ...]
    unnamed: tuple[int, ...]
    width: int


def understood(titles: Sequence[str]) -> Header | None:
    """What the titles are, or None if they are of no export of the vendor's."""
    kind = _kind([key_of(title) for title in titles])
    if kind is None:
        return None
    names = TOKEN_FLEX if kind.startswith("token_flex") else FLEX
    columns: dict[str, int] = {}
    unknown, doubled, unnamed = [], [], []
    for place, title in enumerate(titles):
        column = names.get(key_of(title))
        if not title.strip():
            unnamed.append(place)
        elif column is None:
            unknown.append(title)
        elif column in columns:
            doubled.append(title)
        else:
            columns[column] = place
    spelled = {column: titles[place] for column, place in columns.items()}
    return Header(kind, columns, spelled, tuple(unknown), tuple(doubled), tuple(unnamed), len(titles))


def _kind(keys: Sequence[str]) -> str | None:
    present = set(keys)
    token_flex = {TOKEN_FLEX[key] for key in present & TOKEN_FLEX.keys()}
    flex = {FLEX[key] for key in present & FLEX.keys()}
    if "tokensconsumed" in present:
        if not token_flex & {"usage_date", "usage_month", "contract_year", "usage_category", "start"}:
            return None
        return "token_flex_sessions" if token_flex & ONLY_SESSIONS else "token_flex_daily"
    if not {"tokens", "product_name"} <= flex or not flex & {"usage_date", "usage_month"}:
        return None
    return "flex_api" if "tokens" in present else "flex_account"
