"""Public holidays of each country, and the days on which the firm itself does not work."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np

from tokenflex.errors import ArgumentError, ArgumentTypeError
from tokenflex.planning.extras import needed
from tokenflex.planning.history import checked_day

if TYPE_CHECKING:
    from numpy.typing import NDArray


class FreeDays:
    """Which days are holidays, by country.

    Args:
        own: The firm's own days, for all or by country, besides the public holidays.
        first: The first day that is asked for.
        last: The last one.
    """

    def __init__(
        self, own: Iterable[date | str] | Mapping[str, Iterable[date | str]] | None, *, first: date, last: date
    ) -> None:
        self._first, self._last = first, last
        self._everywhere: set[date] = set()
        self._own: dict[str, set[date]] = {}
        if isinstance(own, Mapping):
            self._own = {country: _dates(days) for country, days in own.items()}
        elif own is not None:
            self._everywhere = _dates(own)
        self._known: dict[str | None, set[date]] = {None: self._everywhere}

    def of(self, country: str | None) -> set[date]:
        """The holidays of a country."""
        if country not in self._known:
            public = _public(str(country), self._first, self._last)
            self._known[country] = public | self._everywhere | self._own.get(str(country), set())
        return self._known[country]

    def mask(self, countries: list[str | None], first: date, days: int) -> NDArray[np.bool_]:
        """Whether each day is a holiday, a row for each country given."""
        mask = np.zeros((len(countries), days), dtype=bool)
        for row, country in enumerate(countries):
            places = [(day - first).days for day in self.of(country)]
            mask[row, [place for place in places if 0 <= place < days]] = True
        return mask


def _dates(days: object) -> set[date]:
    if isinstance(days, str) or not isinstance(days, Iterable):
        raise ArgumentTypeError(
            "holidays have to be dates, or by country: {'ES': [date(2026, 8, 14)]}", location="holidays"
        )
    found = {checked_day(day, "holidays") for day in days}
    return {day for day in found if day is not None}


def _public(country: str, first: date, last: date) -> set[date]:
    """Of the `holidays` package; `DE-BY` is Bavaria."""
    package: Any = needed("holidays", f"countries={country!r}")
    code, _, part = country.partition("-")
    years = range(first.year, last.year + 1)
    try:
        found = package.country_holidays(code.upper(), subdiv=part.upper() or None, years=years)
    except (NotImplementedError, KeyError, ValueError) as error:
        raise ArgumentError(
            f"countries: {country!r} is no country that holidays are known of: give an ISO code such as ES, or with "
            f"its part, ES-MD ({error})",
            location="countries",
        ) from error
    return {day for day in found if first <= day <= last + timedelta(days=1)}
