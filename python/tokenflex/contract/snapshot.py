"""From what the vendor's API states of a contract to the contract."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tokenflex.contract.days import ONE_DAY, years_later
from tokenflex.contract.fields import MISSING, built
from tokenflex.contract.terms import ContractYear

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date
    from decimal import Decimal

    from tokenflex.contract.fields import Checks
    from tokenflex.reading.contract import ContractSnapshot


def years_of(snapshot: ContractSnapshot, checks: Checks) -> list[object]:
    """The years. What the snapshot lacks for one goes to `checks`, and `MISSING` stands in its place."""
    years: list[object] = []
    lives = _lives(snapshot)
    for place, (year, (start, end)) in enumerate(zip(snapshot.years, lives, strict=True)):
        known = {"year": year.year, "start": start, "end": end, "tokens": year.provisioned}
        for name, value in known.items():
            if value is None:
                checks.fault(f"years[{place}].{name}", "is not in the snapshot, nor does it follow: give years=")
        given = {name: value for name, value in known.items() if value is not None}
        years.append(built(ContractYear, given, f"years[{place}]", checks) or MISSING)
    last = len(lives) - 1
    for place, what, stated, used in (
        (0, "start", snapshot.start, lives[0][0]),
        (last, "end", snapshot.end, lives[last][1]),
    ):
        if stated is not None and used is not None and stated != used:
            checks.fault(f"years[{place}].{what}", f"is {used}, but the {what} of the contract is {stated}")
    return years


def contract_tokens_of(snapshot: ContractSnapshot) -> Decimal | int:
    """Tokens of the multi-year pool as provisioned, else as they were when the first year began."""
    stated = (snapshot.multiyear_provisioned, snapshot.years[0].multiyear_at_start)
    return next((tokens for tokens in stated if tokens is not None), 0)


def _lives(snapshot: ContractSnapshot) -> Sequence[tuple[date | None, date | None]]:
    """The first and the last day of each year: as stated, else next to its neighbours', else by anniversaries."""
    years, first, last = snapshot.years, snapshot.start, snapshot.end
    has_no_day = all(year.start is None and year.end is None for year in years)
    if has_no_day and first is not None and last == years_later(first, len(years)) - ONE_DAY:
        starts = [years_later(first, place) for place in range(len(years) + 1)]
        return [(starts[place], starts[place + 1] - ONE_DAY) for place in range(len(years))]
    before = [first, *(None if year.end is None else year.end + ONE_DAY for year in years[:-1])]
    after = [*(None if year.start is None else year.start - ONE_DAY for year in years[1:]), last]
    return [(year.start or start, year.end or end) for year, start, end in zip(years, before, after, strict=True)]
