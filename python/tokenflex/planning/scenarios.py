"""What is known of the future and not in the past: projects that come and go, and a firm that grows or shrinks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal, InvalidOperation
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Final

from tokenflex.errors import ArgumentError, ArgumentTypeError
from tokenflex.planning.history import checked_day

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tokenflex.metering.rates import Rates

WORKDAYS: Final = (1, 2, 3, 4, 5)
_MOST: Final = 10**6


@dataclass(frozen=True, init=False)
class Project:
    """People who come for a time and use products: a project, short-term contracts, a new team.

    Each of them takes the daily tokens of a product on every working day that is no holiday, for the part `use` of
    these days. That is added to every path of a forecast.

    Args:
        name: For people.
        start: The first day, a date or ISO text.
        end: The last day, included; none for what stays.
        staffing: How many people use each product.
        use: On what part of their working days they use it, 0 to 1.
        site: Where they are charged: the site or server by which a forecast is split, if it is.
        country: Whose holidays they have, as for `forecast`.
        workdays: Days of the week on which they work, 1 (Monday) to 7.

    Raises:
        ArgumentError: A value makes no sense; `location` names it.
        ArgumentTypeError: It is of a wrong type.

    Example:
        >>> import tokenflex as tf
        >>> project = tf.Project(
        ...     name="bridge", start="2026-09-01", end="2026-12-18", staffing={"RVT": 12, "ACD": 4}, use="0.8")
        >>> project.staffing["RVT"]
        Decimal('12')
    """

    name: str
    start: date
    end: date | None
    staffing: Mapping[str, Decimal]
    use: Decimal
    site: str | None
    country: str | None
    workdays: tuple[int, ...]

    def __init__(
        self,
        *,
        name: str,
        start: date | str,
        end: date | str | None = None,
        staffing: Mapping[str, int | Decimal | str],
        use: int | Decimal | str = 1,
        site: str | None = None,
        country: str | None = None,
        workdays: Iterable[int] = WORKDAYS,
    ) -> None:
        first, last = _period(start, end)
        if not isinstance(staffing, Mapping) or not staffing:
            raise ArgumentError(
                "staffing has to say how many people use each product: {'RVT': 12}", location="staffing"
            )
        people = {product: _number(count, f"staffing[{product!r}]", most=_MOST) for product, count in staffing.items()}
        days = tuple(sorted(set(workdays)))
        if not days or not set(days) <= set(range(1, 8)):
            raise ArgumentError(f"workdays are {days}, but have to be of 1 (Monday) to 7", location="workdays")
        values: dict[str, object] = {
            "name": name,
            "start": first,
            "end": last,
            "staffing": people,
            "use": _number(use, "use", most=1),
            "site": site,
            "country": country,
            "workdays": days,
        }
        for field, value in values.items():
            object.__setattr__(self, field, value)

    def tokens_on(self, day: date, rates: Rates, *, is_holiday: bool) -> dict[str, Fraction]:
        """What each product takes on a day, at the rate in force at its beginning in UTC."""
        if day < self.start or (self.end is not None and day > self.end):
            return {}
        if is_holiday or day.isoweekday() not in self.workdays:
            return {}
        return {
            product: Fraction(people) * Fraction(self.use) * Fraction(_rate(rates, product, day))
            for product, people in self.staffing.items()
        }


@dataclass(frozen=True, init=False)
class HeadCount:
    """A firm, or a part of it, that has more or fewer people from a day on.

    All tokens of it are multiplied: those of the mean, and those of every path.

    Args:
        start: The first day on which they are there.
        end: The last one, included; none for what stays.
        factor: By what use is multiplied: `"1.1"` for a tenth more people.
        group: The product, server or site that it is about, if a forecast is split; none for all.

    Raises:
        ArgumentError: A value makes no sense; `location` names it.
        ArgumentTypeError: It is of a wrong type.

    Example:
        >>> import tokenflex as tf
        >>> tf.HeadCount(start="2027-01-01", factor="1.1").factor
        Decimal('1.1')
    """

    start: date
    end: date | None
    factor: Decimal
    group: str | None

    def __init__(
        self,
        *,
        start: date | str,
        end: date | str | None = None,
        factor: int | Decimal | str,
        group: str | None = None,
    ) -> None:
        first, last = _period(start, end)
        values: dict[str, object] = {
            "start": first,
            "end": last,
            "factor": _number(factor, "factor", most=100),
            "group": group,
        }
        for field, value in values.items():
            object.__setattr__(self, field, value)

    def holds_on(self, day: date) -> bool:
        """Whether it holds on a day."""
        return self.start <= day and (self.end is None or day <= self.end)


def checked_scenarios(scenarios: object) -> list[Project | HeadCount]:
    """Projects and head counts, and nothing else."""
    if isinstance(scenarios, Project | HeadCount):
        return [scenarios]
    found: list[Any] = list(scenarios) if isinstance(scenarios, list | tuple) else [scenarios]
    for each in found:
        if not isinstance(each, Project | HeadCount):
            raise ArgumentTypeError(
                f"scenarios have to be tokenflex.Project and tokenflex.HeadCount, not {type(each).__name__}",
                location="scenarios",
            )
    return found


def _period(start: object, end: object) -> tuple[date, date | None]:
    first, last = checked_day(start, "start"), checked_day(end, "end")
    if first is None:
        raise ArgumentError("start is missing: from which day on?", location="start")
    if last is not None and last < first:
        raise ArgumentError(f"end is {last}, before the start on {first}", location="end")
    return first, last


def _number(value: object, where: str, *, most: int) -> Decimal:
    if isinstance(value, bool | float) or not isinstance(value, int | str | Decimal):
        raise ArgumentTypeError(
            f"{where} has to be an int, a Decimal or text, not {type(value).__name__}", location=where.partition("[")[0]
        )
    try:
        number = Decimal(value)
    except InvalidOperation as error:
        raise ArgumentError(f"{where} is {value!r}, which is no number", location=where.partition("[")[0]) from error
    if not number.is_finite() or not 0 <= number <= most:
        raise ArgumentError(f"{where} is {value}, but has to lie in 0 to {most:,}", location=where.partition("[")[0])
    return number


def _rate(rates: Rates, product: str, day: date) -> Decimal:
    at = datetime.combine(day, time(), UTC)
    since = datetime.min.replace(tzinfo=UTC) + timedelta(days=1)
    known = [
        (rate.effective_from or since, rate.tokens)
        for rate in rates.rows
        if rate.product == product and (rate.effective_from is None or rate.effective_from <= at)
    ]
    if not known:
        raise ArgumentError(
            f"a project uses {product!r} on {day}, and rates have none for it: add it to rates=", location="rates"
        )
    return max(known)[1]
