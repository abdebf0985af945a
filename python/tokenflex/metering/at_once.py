"""Sessions that memory holds, charged at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tokenflex import _core
from tokenflex.arrow import AnyTable, coded_columns_of, columns_of
from tokenflex.metering.meter import ACTIVITY, READS
from tokenflex.metering.rule import Rule
from tokenflex.metering.terms import found_of, terms_of
from tokenflex.times import instant_in_data

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from tokenflex.metering.rates import Rates
    from tokenflex.metering.terms import Found
    from tokenflex.reading.user_zones import Users


class Prepared:
    """Sessions encoded once, for verbs to run over again and again. Made by `prepare`.

    Attributes:
        table: The sessions as they were given.
    """

    def __init__(self, table: AnyTable, inner: _core.Prepared) -> None:
        self.table = table
        self._inner = inner

    @property
    def inner(self) -> _core.Prepared:
        """The encoded copy, for the compiled part."""
        return self._inner

    def __len__(self) -> int:
        return len(self._inner)

    def __repr__(self) -> str:
        return f"<Prepared {len(self):,} sessions>"


def charged(
    sessions: AnyTable | Prepared,
    *,
    rule: Rule,
    rates: Rates,
    servers: Mapping[str, str] | None,
    users: Users | None,
    as_of: datetime | None,
    activity: AnyTable | None = None,
) -> Found:
    """`charge` for other verbs, which tell of problems themselves."""
    with_activity = is_read(activity, rule)
    terms = terms_of(rule, rates, servers=servers, users=users, with_activity=with_activity)
    until = None if as_of is None else instant_in_data(as_of, "as_of")
    known = known_activity(activity) if with_activity else None
    return found_of(_core.charge(*encoded(sessions), terms=terms, as_of=until, activity=known), rule)


def encoded(sessions: AnyTable | Prepared) -> tuple[Any, dict[str, tuple[object, object]]]:
    """Sessions as the compiled part takes them."""
    if isinstance(sessions, Prepared):
        return sessions.inner, {}
    return coded_columns_of(sessions, READS)


def is_read(activity: AnyTable | None, rule: Rule) -> bool:
    """Whether activity counts: only where the rule says how long idle is idle."""
    return activity is not None and isinstance(rule, Rule) and rule.idle_after is not None


def known_activity(activity: AnyTable | None) -> object:
    """Activity as the compiled part takes it."""
    return None if activity is None else columns_of(activity, ACTIVITY)
