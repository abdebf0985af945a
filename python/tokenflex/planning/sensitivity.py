"""The verb `sensitivity`: which change would move the cost most, each charged anew."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal, localcontext
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import polars as pl

from tokenflex import tables
from tokenflex.arrow import AnyTable, frame_of, refuses_clearly
from tokenflex.contract.fields import Checks, Exact
from tokenflex.contract.money import rounded
from tokenflex.errors import ArgumentError, ArgumentTypeError
from tokenflex.metering.rates import Rates
from tokenflex.metering.rule import Rule
from tokenflex.metering.terms import terms_of
from tokenflex.metering.whatif import places_of
from tokenflex.planning.changes import DRAWS, MOST_DRAWS, Changed, Changes, plain_decimal
from tokenflex.planning.compare_models import ModelComparison, compare_models
from tokenflex.planning.offer import Offer
from tokenflex.planning.price_list import PriceList
from tokenflex.planning.rest import Charging, column_names, days_of
from tokenflex.planning.rest import Terms as ChargingTerms
from tokenflex.planning.token_price import MONEY_PLACES, WHOLE, TokenPrice, check_price, priced
from tokenflex.planning.use import Case, Terms, Use
from tokenflex.problems import Problems, report
from tokenflex.reading.user_zones import zones_in
from tokenflex.saving.replay import checked_times
from tokenflex.times import instant_in_data
from tokenflex.words import many

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from datetime import date, datetime, timedelta

    from tokenflex.reading.user_zones import Users

ROWS_SHOWN: Final = 8
MOST_SEED: Final = 2**32 - 1
PERCENT_PLACES: Final = 4
_LONGEST: Final = 100_000
_LEAST: Final = -100
_DIGITS: Final = 80

Percents: TypeAlias = Exact | Iterable[Exact] | None
"""One number, tried up and down; or several, each with its sign; None for none."""


@dataclass(frozen=True, eq=False, repr=False)
class Sensitivity:
    """What `sensitivity` found. Tokens and money are exact, and those of the time of the sessions, not of a year.

    Attributes:
        tokens: What `charge` charges for the sessions as they are, without charges that have no rate.
        cost: What these tokens cost.
        changes: What all would cost under each change alone, the widest swing first; see `tables.SENSITIVITY`.
        turning_points: Where another way to pay costs what tokens cost, see `tables.TURNING_POINTS`; no rows without a
            price list.
        cheapest: The cheapest way to pay as things are; None without a price list.
        first: The first date with a charge; None if there is no charge.
        last: The last one.
        charges_without_rate: Charges that no token is known of: all costs are without them.
        token_price: What a token costs in the base, rounded to four decimals where an offer says it.
        currency: Of all money; None where neither an offer nor a price list says it.
    """

    tokens: Decimal
    cost: Decimal
    changes: pl.DataFrame
    turning_points: pl.DataFrame
    cheapest: str | None
    first: date | None
    last: date | None
    charges_without_rate: int
    token_price: Decimal
    currency: str | None

    def __repr__(self) -> str:
        money = f" {self.currency}" if self.currency is not None else ""
        lines = [f"<Sensitivity of {self.cost:,.2f}{money}, {plain_decimal(self.tokens)} tokens"]
        computed = self.changes.filter(pl.col("tokens").is_not_null())
        for row in computed.head(ROWS_SHOWN).iter_rows(named=True):
            item = f" ({row['item']})" if row["item"] is not None else ""
            lines.append(f"  {row['change']}{item}, {row['value']}: {row['difference_cost']:+,.2f}")
        if computed.height > ROWS_SHOWN:
            lines.append(f"  and {many(computed.height - ROWS_SHOWN, 'change')} more")
        if computed.height < self.changes.height:
            lines.append(f"  not computed: {self.changes.height - computed.height:,}")
        return "\n".join(lines) + ">"


@refuses_clearly
def sensitivity(
    sessions: AnyTable,
    *,
    rule: Rule,
    rates: Rates,
    token_price: Exact | Offer,
    servers: Mapping[str, str] | None = None,
    users: Users | None = None,
    new_rates: Rates | None = None,
    rate_change: Percents = 10,
    price_change: Percents = 10,
    prices: Iterable[Exact] = (),
    head_count: Percents = 10,
    draws: int = DRAWS,
    seed: int = 0,
    harvest: Iterable[timedelta] | None = None,
    activity: AnyTable | None = None,
    idle: AnyTable | None = None,
    zones: Iterable[str] | None = None,
    price_list: PriceList | None = None,
    days: int | None = None,
    as_of: datetime | None = None,
    problems: Problems | None = None,
) -> Sensitivity:
    """Which change would move the cost most: rates, price, head count, harvest of idle licenses, zones of servers.

    Each change is made alone, and everything that it touches is charged again. What nothing is known of is a row that
    says why it was not computed.

    - `rate`: all rates by percent, rounded to four decimals; then those of each product alone.
    - `new_rates`: rates that were announced, as if they had held all the time, whatever their dates; of several of one
      product the last. A product that they do not name keeps its rate, and one without a family keeps its family.
    - `price`: the price of a token, by percent (rounded to four decimals) or as given.
    - `head_count`: more or fewer persons with a charge. Who comes is like somebody who is there, who goes is one of
      them. The mean is exact; `draws` by chance say how far it may lie off. Products metered by machine stay.
    - `harvest`: idle licenses taken back after so long, as `harvest_replay` charges it.
    - `server_zone`: each license server alone moved to each zone; the cheapest and the dearest are told.

    Args:
        sessions: As for `charge`. Users are as spelled: bring them to persons with `Identity.apply` before. `licenses`
            is read where a price list is given, `end_reason` and `is_open` where idle time is inferred.
        rule: As for `charge`.
        rates: As for `charge`; at least one.
        token_price: Money for a token, 0 or more, of at most four decimals. Or an `Offer` of Token Flex: the cost is
            that part of the tokens of its term which falls to these days, if use goes on as it was.
        servers: As for `charge`.
        users: As for `charge`; without activity, idle time is inferred by them.
        new_rates: Rates that the vendor announced.
        rate_change: By how many percent rates change: one number is tried up and down, several as they stand. None
            leaves it out.
        price_change: The same of the price of a token.
        prices: Other prices of a token.
        head_count: The same of persons; a part of a person is rounded, half a person up.
        draws: How often persons are drawn.
        seed: Another one draws other persons.
        harvest: After how long idle licenses are taken back. Unless given, nothing is said of it.
        activity: As for `charge` and `idle`.
        idle: What `idle` gave for these sessions, as for `harvest_replay`.
        zones: Where a server may stand: IANA names or offsets such as `"UTC-5"`; unless given `"UTC-12"` to `"UTC+14"`.
        price_list: Subscriptions and maintenance, as for `compare_models`: each row then says which way to pay is the
            cheapest, and whether that is another one than in the base.
        days: How many days the sessions are of, as for `compare_models`; an offer and a price list need to know it.
        as_of: As for `charge`.
        problems: As for `charge`, `idle` and `compare_models`; each once, those of the base.

    Returns:
        Costs of the time of the sessions as it was, not of a year: which change is the greatest is the same, and
        nothing hides how short the time was. Only `turning_points` are of a year, as prices of licenses are.

    Raises:
        ArgumentError: There are no rates, or no sessions that could be charged; a percentage lies below -100; an
            argument is out of range; the offer is one of packs.
        ArgumentTypeError: An argument is of a type that cannot be taken.
        FieldsError: A price or percentage is no number, or has over four decimals.
        ZoneError: As for `charge`, or there is no such zone.
        MissingColumnError, ColumnTypeError: As for `charge`.

    Example:
        >>> import tokenflex as tf, polars as pl
        >>> from datetime import datetime, timezone
        >>> def at(day, hour): return datetime(2026, 7, day, hour, tzinfo=timezone.utc)
        >>> sessions = pl.DataFrame({
        ...     "user": ["ana", "ana", "ben"], "product": ["ACD", "RVT", "RVT"], "server": ["nyc"] * 3,
        ...     "start": [at(13, 8), at(13, 9), at(14, 1)], "end": [at(13, 12), at(13, 17), at(14, 9)],
        ... })
        >>> tf.sensitivity(
        ...     sessions, rule=tf.TOKEN_FLEX, rates=tf.Rates({"ACD": 7, "RVT": 10}), token_price=3,
        ...     servers={"nyc": "America/New_York"}, head_count=50, zones=["Europe/Madrid"])
        <Sensitivity of 111.00, 37 tokens
          head_count, -50 % (1 person): -55.50
          head_count, +50 % (1 person): +55.50
          server_zone (nyc), Europe/Madrid: -30.00
          rate, -10 %: -11.10
          rate, +10 %: +11.10
          price, -10 %: -11.10
          price, +10 %: +11.10
          rate (RVT), -10 %: -9.00
          and 3 changes more>
    """
    _check(rule, rates, new_rates=new_rates, price_list=price_list, days=days, draws=draws, seed=seed)
    check_price(token_price)
    percents = {
        name: _percents(name, value)
        for name, value in (("rate_change", rate_change), ("price_change", price_change), ("head_count", head_count))
    }
    others = _prices(prices)
    times = None if harvest is None else checked_times(harvest, "harvest")
    places = places_of(zones)
    if as_of is not None:
        instant_in_data(as_of, "as_of")
    frame = frame_of(sessions)
    column_names(frame)
    terms = Terms(
        rule,
        rates,
        zones_in(servers, "servers"),
        zones_in(users, "users"),
        None if activity is None else frame_of(activity),
        as_of,
    )
    met = Problems()
    whole = _days(frame, terms, token_price, price_list, days)
    use = Changes.of(frame, terms, priced(token_price, whole), met)
    if use.charges.is_empty():
        raise ArgumentError("there are no sessions that could be charged, so nothing to change", location="sessions")
    found = [
        *use.rates_changed(percents["rate_change"]),
        *(use.new_rates(new_rates) if new_rates is not None else ()),
        *use.prices(percents["price_change"], others),
        *use.head_counts(percents["head_count"], seed, draws),
        *(use.harvests(times, None if idle is None else frame_of(idle)) if times is not None else ()),
        *use.server_zones(places),
    ]
    models = None if price_list is None else _Models(use, price_list, whole)
    answer = _result(use, found, models, token_price)
    report(met.frame, problems, "sensitivity")
    return answer


class _Models:
    """What the ways to pay cost in a year, as things are and under each change."""

    def __init__(self, use: Use, price_list: PriceList, days: int) -> None:
        self._use, self._price_list, self._days = use, price_list, days
        self._problems = Problems()
        self.base = self.compared(use.case(use.base.total))
        use.problems.add(self._problems.frame.filter(pl.col("code") == "short_period"))

    @property
    def currency(self) -> str:
        return self._price_list.currency

    def compared(self, case: Case) -> ModelComparison:
        terms = self._use.terms
        return compare_models(
            case.sessions,
            rule=terms.rule,
            rates=case.rates,
            token_price=case.price.of_one(case.units),
            price_list=self._price_list,
            servers=case.servers,
            users=case.users,
            days=self._days,
            as_of=terms.as_of,
            problems=self._problems,
        )

    def cheapest(self, case: Case | None) -> str | None:
        """The cheapest way to pay under a change; None where nobody can say."""
        if case is None:
            return None
        try:
            return self.compared(case).cheapest
        except ArgumentError as error:
            if error.location != "sessions":
                raise
            # Everybody has left: there is nothing to pay for.
            return None

    def turning_points(self) -> Iterator[tuple[Any, ...]]:
        """For each way to pay without tokens, the price at which tokens for the same products cost the same."""
        use, used = self._use, set(self.base.products["product"])
        lacking = {model: set(unpriced) for model, unpriced in self.base.models.select("model", "unpriced").rows()}
        now = use.price.of_one(use.base.total)
        for model in ("licenses_peak", "licenses_p95", "subscriptions"):
            common = used - lacking[model] - lacking["tokens"]
            if not common:
                continue
            compared = self.base if common == used else self._of_products(common)
            cost, tokens = self._row(compared, model)["cost"], self._row(compared, "tokens")["tokens"]
            if cost is None or not tokens:
                continue
            turns_at = Fraction(cost) / Fraction(tokens)
            percent = None if not now else rounded((turns_at / Fraction(now) - 1) * WHOLE * 10**4, PERCENT_PLACES)
            price = rounded(turns_at * 10**MONEY_PLACES, MONEY_PLACES)
            yield model, cost, tokens, price, percent, sorted(used - common)

    def _of_products(self, products: set[str]) -> ModelComparison:
        """The same of some products."""
        use = self._use
        sessions = use.sessions.filter(pl.col("product").cast(pl.String).is_in(sorted(products)))
        return self.compared(use.case(use.base.total, sessions=sessions))

    def _row(self, compared: ModelComparison, model: str) -> dict[str, Any]:
        return compared.models.row(by_predicate=pl.col("model") == model, named=True)


def _result(use: Use, found: list[Changed], models: _Models | None, token_price: Exact | Offer) -> Sensitivity:
    """Everything as tables."""
    total = use.base.total
    cost = use.price.cost(total)
    base_model = None if models is None else models.base.cheapest
    rows = [_row(use, change, cost, models, base_model) for change in found]
    points = [] if models is None else list(models.turning_points())
    period = use.charges.select(pl.col("usage_date").min(), last=pl.col("usage_date").max()).row(0)
    currency = token_price.currency if isinstance(token_price, Offer) else None if models is None else models.currency
    return Sensitivity(
        tokens=tables.decimal(total),
        cost=cost,
        changes=pl.DataFrame(_ordered(rows), schema=dict(tables.SENSITIVITY)),
        turning_points=pl.DataFrame(points, schema=dict(tables.TURNING_POINTS), orient="row"),
        cheapest=base_model,
        first=period[0],
        last=period[1],
        charges_without_rate=use.base.all_unrated,
        token_price=use.price.of_one(total),
        currency=currency,
    )


def _row(use: Use, change: Changed, base: Decimal, models: _Models | None, base_model: str | None) -> dict[str, Any]:
    row: dict[str, Any] = dict.fromkeys(tables.SENSITIVITY)
    row |= {"change": change.change, "item": change.item, "value": change.value, "how": change.how}
    row["reason"] = change.reason
    if change.units is None:
        return row
    price: TokenPrice = use.price if change.price is None else change.price
    cost = price.cost(change.units)
    with localcontext(prec=_DIGITS):
        more = cost - base
    row |= {
        "side": "low" if more < 0 else "high" if more > 0 else "same",
        "tokens": tables.decimal(change.units),
        "cost": cost,
        "difference_tokens": tables.decimal(change.units - use.base.total),
        "difference_cost": more,
        "charges_without_rate": change.unrated,
    }
    if change.reach is not None:
        low, high = change.reach
        row |= {"tokens_p10": tables.decimal(low), "tokens_p90": tables.decimal(high)}
        row |= {"cost_p10": price.cost(low), "cost_p90": price.cost(high)}
    if models is not None:
        row["cheapest"] = models.cheapest(change.case)
        row["turns"] = None if row["cheapest"] is None else row["cheapest"] != base_model
    return row


def _ordered(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows with the swing of each change and item, the widest first; at the end what was not computed."""
    reached: dict[tuple[str, str | None], list[Decimal]] = {}
    for row in rows:
        if row["difference_cost"] is not None:
            reached.setdefault((row["change"], row["item"]), [Decimal(0)]).append(row["difference_cost"])
    with localcontext(prec=_DIGITS):
        swings = {key: max(each) - min(each) for key, each in reached.items()}
    for row in rows:
        row["swing"] = swings.get((row["change"], row["item"]))
    place = {key: number for number, key in enumerate(dict.fromkeys((row["change"], row["item"]) for row in rows))}
    return sorted(
        rows,
        key=lambda row: (
            row["swing"] is None,
            -(row["swing"] or Decimal(0)),
            place[row["change"], row["item"]],
            row["difference_cost"] or Decimal(0),
        ),
    )


def _days(frame: pl.DataFrame, terms: Terms, token_price: object, price_list: object, days: int | None) -> int:
    """The days that the sessions are of, where something hangs on them."""
    if days is not None:
        return days
    if price_list is None and not isinstance(token_price, Offer):
        return 1
    charging = Charging(frame, ChargingTerms(terms.rule, terms.rates, terms.servers, terms.users, terms.as_of))
    used = charging.used()
    if used.is_empty():
        raise ArgumentError("there are no sessions that could be charged, so nothing to change", location="sessions")
    return days_of(used)


# What a caller gave.


def _check(
    rule: object, rates: object, *, new_rates: object, price_list: object, days: object, draws: object, seed: object
) -> None:
    if not isinstance(rule, Rule) or not isinstance(rates, Rates):
        # The common refusal of both.
        terms_of(rule, rates, servers=None, users=None, with_activity=False)  # type: ignore[arg-type]  # one is wrong
    for name, given in (("rates", rates), ("new_rates", new_rates)):
        if given is not None and not isinstance(given, Rates):
            raise ArgumentTypeError(f"{name} has to be a tokenflex.Rates, not {type(given).__name__}", location=name)
        if isinstance(given, Rates) and len(given) == 0:
            raise ArgumentError(f"{name} are empty: the rate of one product at least is needed", location=name)
    if price_list is not None and not isinstance(price_list, PriceList):
        raise ArgumentTypeError(
            f"price_list has to be a tokenflex.PriceList, not {type(price_list).__name__}", location="price_list"
        )
    for name, given, least, most in (
        ("days", days, 1, _LONGEST),
        ("draws", draws, 1, MOST_DRAWS),
        ("seed", seed, 0, MOST_SEED),
    ):
        if given is None and name == "days":
            continue
        if isinstance(given, bool) or not isinstance(given, int) or not least <= given <= most:
            raise ArgumentError(
                f"{name} is {given!r}, but has to be a whole number from {least} to {most:,}", location=name
            )


def _percents(name: str, given: object) -> list[Decimal]:
    """Percentages, each once, in order; one alone up and down."""
    if given is None:
        return []
    alone = isinstance(given, Decimal | int | str | float)
    if alone:
        listed: list[object] = [given]
    elif isinstance(given, Iterable) and not isinstance(given, bytes):
        listed = list(given)
    else:
        raise ArgumentTypeError(f"{name} has to be a percentage or a list of them", location=name)
    checks = Checks()
    values = [checks.exact(name, each) for each in listed]
    checks.refuse("percentages")
    known = [value for value in values if value is not None]
    if alone:
        known = [sign * value for value in known for sign in (-1, 1)]
    for value in known:
        if value < _LEAST:
            raise ArgumentError(
                f"{name} is {plain_decimal(value)} %, and nothing can fall by more than 100 %: give several, each with "
                "its sign, such as [-100, 150]",
                location=name,
            )
    return sorted({value for value in known if value})


def _prices(given: object) -> list[Decimal]:
    if isinstance(given, str | bytes) or not isinstance(given, Iterable):
        raise ArgumentTypeError('prices have to be a list of prices, such as ["2.85"]', location="prices")
    checks = Checks()
    found = [checks.price("prices", each) for each in given]
    checks.refuse("prices")
    return sorted({price for price in found if price is not None})
