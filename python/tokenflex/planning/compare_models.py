"""The verb `compare_models`: the same use paid by licenses, by subscriptions, by tokens, and by the cheapest mix."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal, localcontext
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Final

import polars as pl

from tokenflex import tables
from tokenflex.arrow import AnyTable, frame_of, refuses_clearly
from tokenflex.contract.fields import Checks, Exact, total
from tokenflex.errors import ArgumentError, ArgumentTypeError
from tokenflex.metering.terms import terms_of
from tokenflex.notebook import Shown
from tokenflex.planning.mix import Mix, Priced, Use, cheapest, cheapest_cover, reachable
from tokenflex.planning.price_list import PriceList, Subscription
from tokenflex.planning.rest import Charged, Charging, Part, Terms, column_names
from tokenflex.problems import Problems, report
from tokenflex.times import EPOCH, instant_in_data, microseconds
from tokenflex.usage.capacity import capacity
from tokenflex.words import some

if TYPE_CHECKING:
    from datetime import datetime

    from tokenflex.metering.rates import Rate, Rates
    from tokenflex.metering.rule import Rule
    from tokenflex.reading.user_zones import Users

YEAR: Final = 365
MONEY_PLACES: Final = 8
TOKEN_PLACES: Final = 4
UNITS: Final = 10**TOKEN_PLACES
DAY: Final = 86_400_000_000
SHORT: Final = 28
"""Days below which a year's cost stands on little, [I]."""
_LONGEST: Final = 100_000
_DIGITS: Final = 80
"""More than any sum has, so that nothing is rounded."""


@dataclass(frozen=True, eq=False, repr=False)
class ModelComparison(Shown):
    """What `compare_models` found. All costs are for a year of 365 days.

    Attributes:
        models: What each way to pay costs, see `tables.MODEL_COSTS`.
        products: Break-even days and concurrency of each product, see `tables.MODEL_PRODUCTS`.
        users: What each user should have, see `tables.MODEL_USERS`.
        break_even: How far each user and product is from its break-even, see `tables.BREAK_EVEN`.
        days: How many days the sessions are of; what they cost was multiplied by 365 and divided by these.
        currency: Of all money.
    """

    models: pl.DataFrame
    products: pl.DataFrame
    users: pl.DataFrame
    break_even: pl.DataFrame
    days: int
    currency: str

    @property
    def cheapest(self) -> str | None:
        """The cheapest model of those that leave out only what no model has a price for; `None` without any."""
        lacking = [set(products) for products in self.models["unpriced"]]
        common = set.intersection(*lacking)
        if common >= set(self.products["product"]):
            return None
        whole = self.models.filter(pl.Series([products == common for products in lacking])).sort("cost")
        return None if whole.is_empty() else str(whole["model"][0])

    def _tables_shown(self) -> dict[str, pl.DataFrame]:
        return {"models": self.models, "products": self.products, "users": self.users}

    def __repr__(self) -> str:
        lines = [f"<ModelComparison of {self.users.height:,} users, {self.days:,} days, costs of a year"]
        for model, cost, unpriced in self.models.select("model", "cost", "unpriced").iter_rows():
            lacks = f", without {some(unpriced)}" if unpriced else ""
            lines.append(f"  {model}: {'no price' if cost is None else f'{cost:,.2f} {self.currency}'}{lacks}")
        return "\n".join(lines) + ">"


@refuses_clearly
def compare_models(
    sessions: AnyTable,
    *,
    rule: Rule,
    rates: Rates,
    token_price: Exact,
    price_list: PriceList,
    servers: Mapping[str, str] | None = None,
    users: Users | None = None,
    current: Mapping[str, Iterable[str]] | None = None,
    hysteresis: Exact = "0.1",
    days: int | None = None,
    as_of: datetime | None = None,
    problems: Problems | None = None,
) -> ModelComparison:
    """What the same use costs in a year under licenses, subscriptions, tokens, and the cheapest mix of each user.

    - Licenses: as many as were in use at the peak, or enough for 95 % of the time, times their maintenance.
    - Subscriptions: for each user the cheapest subscriptions that cover all products used.
    - Tokens: what `charge` charges, times the price.
    - Mix: for each user any subscriptions, with tokens for the rest of the use. All sets of subscriptions are tried; where products of
      a family pay differences, each rest is charged anew.

    Subscriptions are for a person: products that the rule meters by machine stay with tokens. A user keeps what is
    `current` unless the cheapest mix is cheaper by more than the hysteresis, so that nobody changes each month for a
    little. While tokens of an enterprise agreement are bought, perpetual licenses are frozen; after it they are back.

    Args:
        sessions: As for `charge`, of a time that stands for a year. `licenses` says how many licenses a session holds; one
            where it is null or not there. Users are as spelled: bring them to persons with `Identity.apply` before.
        rule: As for `charge`.
        rates: As for `charge`.
        token_price: Money for a token, 0 or more, of at most four decimals.
        price_list: Subscriptions and maintenance, with prices of yours.
        servers: As for `charge`.
        users: As for `charge`.
        current: The names of the subscriptions that each user has; who is not in it has tokens only. Who has some and
            used nothing is a row of the users, too.
        hysteresis: By which part of the current cost the cheapest has to be below it; from 0 to below 1.
        days: How many days the sessions are of; unless given those from the first start to the last end, rounded up.
        as_of: As for `charge`.
        problems: As for `charge`; also that the time is short (`short_period`).

    Returns:
        Costs of a year of 365 days, as decimals rounded to eight places; the total of a model is the sum of its rows.

    Raises:
        ArgumentError: There are no sessions that could be charged; `hysteresis` or `days` is out of range; `current`
            names no subscription; too many subscriptions meet in one user's use.
        ArgumentTypeError: `price_list` is no `PriceList`, `current` is no mapping.
        FieldsError: `token_price` is no price.
        ZoneError, MissingColumnError, ColumnTypeError: As for `charge`.

    Example:
        >>> import tokenflex as tf, polars as pl
        >>> from datetime import datetime, timezone
        >>> def at(day, hour): return datetime(2026, 7, day, hour, tzinfo=timezone.utc)
        >>> sessions = pl.DataFrame({
        ...     "user": ["ana"] * 20 + ["ben"], "product": ["RVT"] * 21,
        ...     "start": [at(day, 8) for day in range(1, 21)] + [at(5, 9)],
        ...     "end": [at(day, 16) for day in range(1, 21)] + [at(5, 10)],
        ... })
        >>> found = tf.compare_models(
        ...     sessions, rule=tf.Rule(window="day", zone="utc"), rates=tf.Rates({"RVT": 10}), token_price=3, days=30,
        ...     price_list=tf.PriceList(subscriptions=[tf.Subscription(name="Revit", products=["RVT"], price=2985)]))
        >>> found.products["break_even_days"].item()
        Decimal('99.5000')
        >>> found.users.select("user", "cost_tokens", "best", "cost").rows()
        [('ana', Decimal('7300.00000000'), ['Revit'], Decimal('2985.00000000')), ('ben', Decimal('365.00000000'), [], Decimal('365.00000000'))]
    """  # noqa: E501 - the last line is one that Python prints
    if not isinstance(price_list, PriceList):
        raise ArgumentTypeError(
            f"price_list has to be a tokenflex.PriceList, not {type(price_list).__name__}", location="price_list"
        )
    terms_of(rule, rates, servers=servers, users=users, with_activity=False)
    price, threshold = _price(token_price), _hysteresis(hysteresis)
    if as_of is not None:
        instant_in_data(as_of, "as_of")
    if days is not None and (isinstance(days, bool) or not isinstance(days, int) or not 1 <= days <= _LONGEST):
        raise ArgumentError(f"days is {days!r}, but has to be a whole number from 1 to {_LONGEST:,}", location="days")
    has = _current(current, price_list)
    met = Problems()
    frame = frame_of(sessions)
    column_names(frame)
    charging = Charging(frame, Terms(rule, rates, servers, users, as_of))
    charged = charging.whole(met)
    if charged.used.is_empty():
        raise ArgumentError("there are no sessions that could be charged, so nothing to compare", location="sessions")
    whole = _days(charged.used) if days is None else days
    met.add(_short(whole))
    report(met.frame, problems, "compare_models")
    compared = _Compared(charging, charged, rule, rates, price, price_list, whole)
    people = compared.users(has, threshold)
    return compared.result(people)


@dataclass(frozen=True)
class _Person:
    """What one user uses, has, and should have."""

    name: str
    use: Use
    current: Mix
    cheapest: Mix
    best: Mix
    units: int
    """Tokens of the rest."""
    cover: Mix


@dataclass
class _Compared:
    """The sums of a comparison. Costs are whole numbers: 1/100,000,000 in a year, times `days`."""

    charging: Charging
    charged: Charged
    rule: Rule
    rates: Rates
    price: int
    """Of a token, in 1/10,000."""
    price_list: PriceList
    days: int
    _rests: dict[Part, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.metered = self.rule.machine_metered
        self.family_of = dict(self.rates.families()) if self.rule.incremental else {}
        self.named = {
            each.name: Priced(
                each.name, frozenset(each.products) - self.metered, _units(each.price) * UNITS * self.days
            )
            for each in self.price_list.subscriptions
        }
        self._all = list(self.named.values())
        self.by_product: defaultdict[str, list[int]] = defaultdict(list)
        for place, subscription in enumerate(self._all):
            for product in subscription.products:
                self.by_product[product].append(place)
        found = self.charged.used.select("user", "product").unique().sort("user", "product")
        self.used: defaultdict[str, set[str]] = defaultdict(set)
        for user, product in found.iter_rows():
            self.used[user].add(product)

    # Users.

    def users(self, has: Mapping[str, tuple[str, ...]], threshold: Fraction) -> list[_Person]:
        """Each user's mix, in order of name; also of those who have subscriptions and use nothing."""
        for user in has:
            self.used.setdefault(user, set())
        subscriptions = list(self.named.values())
        families = {user: self._families(user) for user in self.used}
        asked = [
            (user, family, rest)
            for user, of_user in families.items()
            for family, products in of_user.items()
            for rest in reachable(
                products, [subscription for subscription in subscriptions if subscription.products & products]
            )
        ]
        self._rests = self.charging.parts(sorted(asked, key=lambda part: (part[0], part[1], sorted(part[2]))))
        return [self._person(user, families[user], has.get(user, ()), threshold) for user in sorted(self.used)]

    def _families(self, user: str) -> dict[str, frozenset[str]]:
        """The families of which the user uses two products or more."""
        groups: defaultdict[str, set[str]] = defaultdict(set)
        for product in self.used[user] - self.metered:
            if product in self.family_of:
                groups[self.family_of[product]].add(product)
        return {family: frozenset(products) for family, products in groups.items() if len(products) > 1}

    def _use(self, user: str, families: dict[str, frozenset[str]]) -> Use:
        together = frozenset[str]().union(*families.values())
        alone = {
            product: self._cost(self.charged.units.get((user, product), 0))
            for product in sorted(self.used[user] - together - self.metered)
        }
        return Use(alone, families, lambda family, rest: self._cost(self._rests[user, family, rest]))

    def _cost(self, units: int) -> int:
        return units * self.price * YEAR

    def _person(
        self, user: str, families: dict[str, frozenset[str]], has: tuple[str, ...], threshold: Fraction
    ) -> _Person:
        use = self._use(user, families)
        # In order of the price list, each once.
        touching = sorted({place for product in use.products for place in self.by_product.get(product, ())})
        subscriptions = [self._all[place] for place in touching]
        owned = [self.named[name] for name in has]
        current = Mix(has, use.cost(owned))
        best = cheapest(use, subscriptions)
        chosen = best if best.cost < current.cost * (1 - threshold) else current
        covered = frozenset[str]().union(*(self.named[name].products for name in chosen.names))
        rest = sum(self.charged.units.get((user, product), 0) for product in use.alone if product not in covered) + sum(
            self._rests[user, family, products - covered] for family, products in families.items() if products - covered
        )
        return _Person(user, use, current, best, chosen, rest, cheapest_cover(use.products, subscriptions))

    # Results.

    def result(self, people: list[_Person]) -> ModelComparison:
        """All tables."""
        products = self._products()
        users = self._users(people)
        return ModelComparison(
            models=self._models(people, products, users),
            products=products,
            users=users,
            break_even=self._break_even(products),
            days=self.days,
            currency=self.price_list.currency,
        )

    def _money(self, cost: int) -> Decimal:
        return _decimal(Fraction(cost, self.days), MONEY_PLACES)

    def _year(self, units: int) -> Decimal:
        return _decimal(Fraction(units * YEAR, self.days), TOKEN_PLACES)

    def _users(self, people: list[_Person]) -> pl.DataFrame:
        rows = [
            (
                each.name,
                sorted(each.use.products),
                self._money(each.use.tokens(frozenset())),
                list(each.current.names),
                self._money(each.current.cost),
                list(each.cheapest.names),
                self._money(each.cheapest.cost),
                list(each.best.names),
                self._money(each.best.cost),
                self._year(each.units),
                set(each.best.names) != set(each.current.names),
            )
            for each in people
        ]
        return pl.DataFrame(rows, schema=dict(tables.MODEL_USERS), orient="row")

    def _products(self) -> pl.DataFrame:
        times = [pl.col(name).cast(tables.TIME) for name in ("start", "end")]
        needed = capacity(self.charged.used.select("product", "licenses", *times), problems=Problems())
        # Launches of one instant, and nothing else, needed no license for any time.
        held = needed.select("product", pl.col("peak", "p95").fill_null(0))
        licenses = {product: (peak, p95) for product, peak, p95 in held.iter_rows()}
        kept = {each.product: each for each in self.price_list.maintenance}
        rates = _last_rates(self.rates, int(self.charged.used["end"].max()))  # type: ignore[arg-type]  # of whole numbers
        names = sorted(set().union(*self.used.values()))
        return pl.DataFrame(
            [self._product(name, licenses[name], kept.get(name), rates.get(name)) for name in names],
            schema=dict(tables.MODEL_PRODUCTS),
            orient="row",
        )

    def _product(self, name: str, need: tuple[int, int], kept: Any, rate: Rate | None) -> tuple[Any, ...]:  # noqa: ANN401 - Maintenance or None
        of_users = [user for user, products in self.used.items() if name in products]
        days = [self.charged.days.get((user, name), 0) for user in of_users]
        subscription = None if name in self.metered else self._alone(name)
        even = _break_even(subscription, rate, self.price)
        price = None if kept is None else _wide(kept.price)
        return (
            name,
            len(of_users),
            self._year(sum(days) * UNITS),
            self._year(sum(self.charged.units.get((user, name), 0) for user in of_users)),
            None if rate is None else rate.tokens,
            None if subscription is None else subscription.name,
            None if subscription is None else _wide(subscription.price),
            None if even is None else _decimal(even * UNITS, TOKEN_PLACES),
            None if even is None else sum(Fraction(used * YEAR, self.days) > even for used in days),
            *need,
            None if kept is None else kept.owned,
            price,
            *(None if price is None else count * price for count in need),
        )

    def _alone(self, product: str) -> Subscription | None:
        """The cheapest subscription of this product and no other."""
        found = [each for each in self.price_list.subscriptions if each.products == (product,)]
        return min(found, key=lambda each: (each.price, each.name), default=None)

    def _break_even(self, products: pl.DataFrame) -> pl.DataFrame:
        even = dict(products.select("product", "break_even_days").iter_rows())
        rows = []
        for user, used in self.used.items():
            for product in sorted(used):
                days = self._year(self.charged.days.get((user, product), 0) * UNITS)
                rows.append(
                    (user, product, days, even[product], None if even[product] is None else days - even[product])
                )
        return pl.DataFrame(rows, schema=dict(tables.BREAK_EVEN), orient="row")

    def _models(self, people: list[_Person], products: pl.DataFrame, users: pl.DataFrame) -> pl.DataFrame:
        metered = sum(units for (_, product), units in self.charged.units.items() if product in self.metered)
        owned = sum(each.owned or 0 for each in self.price_list.maintenance)
        by_machine = self._money(self._cost(metered))
        rest = metered + sum(each.units for each in people)
        rows = [
            self._licenses("peak", products),
            self._licenses("p95", products),
            self._subscriptions(people, products),
            {
                "model": "tokens",
                "cost": total([*users["cost_tokens"], by_machine]),
                "tokens": self._year(sum(self.charged.units.values())),
                "frozen": owned,
                "unpriced": self.charged.unrated,
            },
            {
                "model": "mix",
                "cost": total([*users["cost"], by_machine]),
                "subscriptions": sum(len(each.best.names) for each in people),
                "tokens": self._year(rest),
                "frozen": owned,
                "unpriced": self._without_price(people),
            },
        ]
        return pl.DataFrame(rows, schema=dict(tables.MODEL_COSTS))

    def _licenses(self, need: str, products: pl.DataFrame) -> dict[str, Any]:
        priced = products.drop_nulls("maintenance_price")
        return {
            "model": f"licenses_{need}",
            "cost": total(priced[f"cost_{need}"]) if priced.height else None,
            "licenses": int(priced[need].sum()),
            "frozen": 0,
            "unpriced": products.filter(pl.col("maintenance_price").is_null())["product"].to_list(),
        }

    def _subscriptions(self, people: list[_Person], products: pl.DataFrame) -> dict[str, Any]:
        offered = frozenset[str]().union(*(subscription.products for subscription in self.named.values()))
        unpriced = [product for product in products["product"] if product not in offered]
        is_priced = len(unpriced) < products.height
        return {
            "model": "subscriptions",
            "cost": total(self._money(each.cover.cost) for each in people) if is_priced else None,
            "subscriptions": sum(len(each.cover.names) for each in people),
            "frozen": 0,
            "unpriced": unpriced,
        }

    def _without_price(self, people: list[_Person]) -> list[str]:
        """The products without a rate, but for those that every user of them has by a subscription."""
        left = set()
        for each in people:
            covered = frozenset[str]().union(*(self.named[name].products for name in each.best.names))
            left |= self.used[each.name] - covered
        return [product for product in self.charged.unrated if product in left]


def _decimal(value: Fraction, places: int) -> Decimal:
    """A number of units of the last place, as an exact decimal of so many places; half a unit goes to the even one."""
    with localcontext(prec=_DIGITS):
        return Decimal(round(value)).scaleb(-places)


def _wide(price: Decimal) -> Decimal:
    return price.quantize(Decimal("0.00000001"))


def _units(price: Decimal) -> int:
    """A price in units of 1/10,000."""
    return int(price.scaleb(TOKEN_PLACES))


def _break_even(subscription: Subscription | None, rate: Rate | None, price: int) -> Fraction | None:
    """Days a year from which on a subscription is cheaper: its price, divided by what a day costs."""
    if subscription is None or rate is None:
        return None
    day = tables.units(rate.tokens) * price
    return Fraction(_units(subscription.price) * UNITS, day) if day else None


def _last_rates(rates: Rates, last: int) -> dict[str, Rate]:
    """The rate of each product in force at an instant, in microseconds."""
    found: dict[str, Rate] = {}
    for rate in sorted(rates.rows, key=lambda rate: rate.effective_from or EPOCH):
        if rate.effective_from is None or microseconds(rate.effective_from, "effective_from") <= last:
            found[rate.product] = rate
    return found


def _days(used: pl.DataFrame) -> int:
    span: int = used.select(pl.col("end").max() - pl.col("start").min()).item()
    return max(1, -(-span // DAY))


def _short(days: int) -> pl.DataFrame:
    told = []
    if days < SHORT:
        message = f"the sessions are of {days} days, and a year's costs are made of them: take months if you can"
        told.append({"source": "sessions", "location": None, "code": "short_period", "message": message})
    return pl.DataFrame(told, schema=dict(tables.PROBLEMS))


# What a caller gave.


def _price(given: object) -> int:
    checks = Checks()
    price = checks.price("token_price", given)
    checks.refuse("comparison")
    return 0 if price is None else _units(price)


def _hysteresis(given: object) -> Fraction:
    checks = Checks()
    share = checks.exact("hysteresis", given)
    checks.refuse("comparison")
    if share is None or not 0 <= share < 1:
        raise ArgumentError(f"hysteresis is {given}, but has to lie from 0 to below 1", location="hysteresis")
    return Fraction(share)


def _current(given: object, price_list: PriceList) -> dict[str, tuple[str, ...]]:
    if given is None:
        return {}
    if not isinstance(given, Mapping):
        raise ArgumentTypeError(
            f"current has to map users to names of subscriptions, not to be {type(given).__name__}", location="current"
        )
    known = {each.name for each in price_list.subscriptions}
    found = {}
    for user, names in given.items():
        if not isinstance(user, str) or isinstance(names, str) or not isinstance(names, Iterable):
            raise ArgumentTypeError(
                f"current has to map users to lists of names, not {user!r} to {names!r}", location="current"
            )
        found[user] = tuple(sorted(set(names)))
        unknown = [name for name in found[user] if name not in known]
        if unknown:
            raise ArgumentError(
                f"current: {user} has {unknown[0]!r}, which is no subscription of the price list", location="current"
            )
    return found
