"""The verb `estimate`: what the past would have cost in tokens, and how far that is uncertain."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import localcontext
from typing import TYPE_CHECKING, Any, Final, Literal, get_args

import polars as pl

from tokenflex import tables
from tokenflex.arrow import AnyTable, frame_of, refuses_clearly
from tokenflex.contract.fields import Checks, Exact
from tokenflex.errors import ArgumentError, ArgumentTypeError, ColumnTypeError
from tokenflex.metering.rates import Rates
from tokenflex.metering.rule import Rule
from tokenflex.metering.rule_grid import checked_rules, described
from tokenflex.metering.terms import terms_of
from tokenflex.notebook import Shown
from tokenflex.planning.past import Ends, Pair, Past, Reading, prices_without_rate
from tokenflex.problems import Problems, report
from tokenflex.reading.identity import Identity
from tokenflex.reading.names import is_text
from tokenflex.reading.periods import column_of
from tokenflex.times import EPOCH, TOO_LATE, instant_in_data
from tokenflex.words import many

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from datetime import datetime
    from decimal import Decimal

    from tokenflex.reading.user_zones import Users

Source = Literal["rule", "identity", "open_sessions", "ended_by_server", "missing_days", "unknown_products"]
ROWS_SHOWN: Final = 6
MOST_DIGITS: Final = 80
"""More than tokens times a price can have."""
_ENDS: Final[dict[Ends, str]] = {
    "as_of": "as they stand",
    "day": "to the end of the first day at most",
    "launch": "for a moment",
}


@dataclass(frozen=True, eq=False, repr=False)
class Estimate(Shown):
    """What `estimate` found. All tokens are exact.

    Attributes:
        low: Tokens in all where everything uncertain is read in the cheapest way, charged so.
        base: Tokens in all as the sessions and arguments stand.
        high: Tokens in all where everything uncertain is read in the dearest way, charged so.
        contributions: What is uncertain, and how much each alone would change, the widest first; see `tables.ESTIMATE`.
        products: The three by product, see `tables.ESTIMATE_PRODUCTS`.
        first: The first date with a charge; `None` if there is no charge.
        last: The last one.
        missing_days: How many days of servers have no lines in the logs, as `coverage` says.
        filled: Tokens in `base` that stand for these days; 0 unless `scale_missing_days` asked for it.
        token_price: What a token costs, if it was given.
    """

    low: Decimal
    base: Decimal
    high: Decimal
    contributions: pl.DataFrame
    products: pl.DataFrame
    first: date | None
    last: date | None
    missing_days: int
    filled: Decimal
    token_price: Decimal | None

    @property
    def cost(self) -> tuple[Decimal, Decimal, Decimal] | None:
        """Low, base and high in money, exactly; `None` without a price."""
        if self.token_price is None:
            return None
        with localcontext(prec=MOST_DIGITS):
            return self.low * self.token_price, self.base * self.token_price, self.high * self.token_price

    def _tables_shown(self) -> dict[str, pl.DataFrame]:
        return {"what makes it uncertain": self.contributions, "products": self.products}

    def __repr__(self) -> str:
        lines = [f"<Estimate {shown(self.base)} tokens, between {shown(self.low)} and {shown(self.high)}"]
        if self.first is not None:
            lines.append(f"  of {self.first} to {self.last}, {self._about_missing_days()}")
        for row in self.contributions.head(ROWS_SHOWN).iter_rows(named=True):
            item = f" ({row['item']})" if row["item"] is not None else ""
            lines.append(f"  {row['source']}{item}: {shown(row['low'])} to {shown(row['high'])}")
        return "\n".join(lines) + ">"

    def _about_missing_days(self) -> str:
        if self.missing_days == 0:
            return "no day without lines is known"
        days = many(self.missing_days, "day")
        return f"{days} of servers without lines, for which the base has {shown(self.filled)} tokens"


@refuses_clearly
def estimate(
    sessions: AnyTable,
    *,
    rule: Rule,
    rates: Rates,
    servers: Mapping[str, str] | None = None,
    users: Users | None = None,
    rules: Iterable[Rule] | None = None,
    identity: Identity | None = None,
    suggestions: AnyTable | None = None,
    open_sessions: Ends = "as_of",
    coverage: AnyTable | None = None,
    scale_missing_days: bool = False,
    token_price: Exact | None = None,
    as_of: datetime | None = None,
    problems: Problems | None = None,
) -> Estimate:
    """What the past would have cost in tokens: low, base and high, from all that is uncertain.

    The base is what `charge` charges. Each thing that is uncertain is then read otherwise, alone, and charged again;
    low and high are the whole charged under all the cheapest, and all the dearest, readings at once. Differences are
    never added up.

    - `rule`: another rule may hold.
    - `identity`: two names may be one person.
    - `open_sessions`: a session without an end may have lasted a moment, to the end of its first day, or to `as_of`.
    - `ended_by_server`: the same of a session that a stop, crash or restart of the server ended.
    - `missing_days`: a day of which no log tells may have cost nothing, or the mean of the server's other days of its
      weekday, product by product.
    - `unknown_products`: a charge of a product without a rate costs nothing; what the product costs at another time,
      else the median of all rates (the base); or the dearest of all rates.

    Args:
        sessions: As for `charge`, best those of `pair`: `is_open` and `end_reason` say whose end was not logged.
            Without these columns only a null `end` does. All of the table is read into memory.
        rule: The rule of the base.
        rates: As for `charge`; at least one.
        servers: As for `charge`.
        users: As for `charge`.
        rules: Other rules that may hold. Unless given: windows of 24 hours in place of days, or days in place of
            windows, and no least duration where the rule has one. An empty list for none.
        identity: Brings users to persons, in the base too; the zones of `users` then are those of persons. What it
            suggests of these sessions (`Identity.suggest`, which needs `host`) is merged or not, unless `suggestions`
            are given.
        suggestions: Names that may be one person: a table with `spelling_a` and `spelling_b`, spelled as the persons of
            `identity`, or as the users where that is not given.
        open_sessions: How the base takes sessions that have not ended: `"as_of"`, `"day"` or `"launch"`, see above.
        coverage: A table with `server` and `days_without_lines` (a list of dates), such as `read_flexlm(…).coverage`.
        scale_missing_days: Whether the base has the mean for days without lines. Else only `high` has.
        token_price: Money for a token, 0 or more, of at most four decimals.
        as_of: As for `charge`.
        problems: As for `charge`, with what met any of the rules; each once. Also days that nothing can be said of
            (`no_like_day`), and suggestions of names that are not there (`no_such_user`).

    Returns:
        The estimate: tokens, exact, for the time of the sessions, not for a year. `low <= base <= high`.

    Raises:
        ArgumentError: There are no rates; `open_sessions` is none of the three; `as_of` lies outside of the years that
            data may have.
        ArgumentTypeError: A rule is no `Rule`, identity no `Identity`.
        FieldsError: `token_price` is no price.
        ZoneError: As for `charge`, of any of the rules.
        MissingColumnError, ColumnTypeError: A table lacks a column, or has it in a type that cannot be taken.

    Example:
        >>> import tokenflex as tf, polars as pl
        >>> from datetime import datetime, timezone
        >>> def at(day, hour): return datetime(2026, 7, day, hour, tzinfo=timezone.utc)
        >>> sessions = pl.DataFrame({
        ...     "user": ["ana", "ana", "ben"], "product": ["ACD", "RVT", "XYZ"],
        ...     "start": [at(13, 20), at(13, 21), at(14, 9)], "end": [at(14, 2), None, at(14, 17)],
        ... })
        >>> tf.estimate(
        ...     sessions, rule=tf.Rule(window="day", zone="utc"), rates=tf.Rates({"ACD": 7, "RVT": 10}),
        ...     problems=tf.Problems())
        <Estimate 42.5 tokens, between 17 and 44
          of 2026-07-13 to 2026-07-14, no day without lines is known
          rule (rolling 24 h, renewed, whole contract): 25.5 to 42.5
          open_sessions: 32.5 to 42.5
          unknown_products (XYZ): 34 to 44>
    """
    _check(rule, rates, identity, open_sessions)
    others = _others(rule, servers) if rules is None else _given(rules, rule)
    price = price_of(token_price)
    if as_of is not None:
        instant_in_data(as_of, "as_of")
    met = Problems()
    frame = frame_of(sessions)
    if identity is not None:
        frame = identity.apply(frame, problems=met)
    pairs = _pairs(frame, identity, suggestions, met)
    missing = {} if coverage is None else _missing(frame_of(coverage))
    past = Past(frame, rates=rates, servers=servers, users=users, as_of=as_of, missing=missing, day=rule)
    scaled = frozenset(missing) if scale_missing_days else frozenset()
    found = _Uncertain(past, Reading(rule=rule, still_open=open_sessions), rates, scaled)
    for source in (found.rules(others), found.identities(pairs), found.ends(), found.days(), found.products()):
        for row in source:
            found.rows.append(row)
    found.whole()
    met.add(past.met.frame)
    met.add(found.problems)
    report(_once(met.frame), problems, "estimate")
    return found.estimate(price)


@dataclass(frozen=True)
class _Row:
    """What one thing that is uncertain may come to."""

    source: Source
    item: str | None
    how: str
    count: int
    of: Literal["sessions", "days", "charges"]
    costs: list[dict[str, int]]
    """The whole by product, under each reading; the base is among them."""

    @property
    def low(self) -> int:
        return min(sum(cost.values()) for cost in self.costs)

    @property
    def high(self) -> int:
        return max(sum(cost.values()) for cost in self.costs)


class _Uncertain:
    """Tries what is uncertain, one thing after the other, and notes the cheapest and the dearest reading of each."""

    def __init__(self, past: Past, base: Reading, rates: Rates, scaled: frozenset[str]) -> None:
        self.past = past
        self.unrated = past.unrated(base)
        self.prices = prices_without_rate(rates, past.products())
        self.base = dataclasses.replace(
            base, filled=scaled, prices={product: likely for product, (likely, _) in self.prices.items()}
        )
        self.problems = past.count_days(self.base)
        self.rows: list[_Row] = []
        self.low = self.high = self.base
        self.cost = past.cost(self.base)
        self.extremes: list[dict[str, int]] = [self.cost]

    def rules(self, others: list[Rule]) -> Iterator[_Row]:
        """Each other rule, and the cheapest and dearest of all for the whole."""
        tried = [dataclasses.replace(self.base, rule=rule) for rule in others]
        costs = [self.past.cost(each) for each in tried]
        self._settle([self.base, *tried], [self.cost, *costs], lambda reading: {"rule": reading.rule})
        for reading, cost in zip(tried, costs, strict=True):
            yield _Row(
                "rule",
                described(reading.rule),
                "charged by this rule in place of the base's",
                self.past.sessions.height,
                "sessions",
                [self.cost, cost],
            )

    def identities(self, pairs: list[Pair]) -> Iterator[_Row]:
        """Each pair of names as one person."""
        total = sum(self.cost.values())
        cheaper, dearer = set(), set()
        for pair, cost in zip(pairs, self.past.merging(pairs, self.base), strict=True):
            if sum(cost.values()) < total:
                cheaper.add(pair)
            elif sum(cost.values()) > total:
                dearer.add(pair)
            yield _Row(
                "identity",
                f"{pair[0]} = {pair[1]}",
                "the base has two persons; charged anew as one",
                self.past.count_of(pair),
                "sessions",
                [self.cost, cost],
            )
        self.low = dataclasses.replace(self.low, merged=frozenset(cheaper))
        self.high = dataclasses.replace(self.high, merged=frozenset(dearer))

    def ends(self) -> Iterator[_Row]:
        """Sessions whose end nobody logged, with each of the ends that they may have had."""
        for source, name, mask in (
            ("open_sessions", "still_open", self.past.still_open),
            ("ended_by_server", "by_server", self.past.by_server),
        ):
            if mask is None:
                continue
            tried = [self._with(name, ends) for ends in get_args(Ends)]
            costs = [self.past.cost(each) for each in tried]
            self._settle(tried, costs, lambda reading, name=name: {name: getattr(reading, name)})  # type: ignore[misc]  # of the loop
            told = "in use " + ", ".join(
                f"{_ENDS[ends]}: {shown(_tokens(cost))}" for ends, cost in zip(get_args(Ends), costs, strict=True)
            )
            yield _Row(source, None, told, int(mask.sum()), "sessions", costs)  # type: ignore[arg-type]  # one of the two

    def _with(self, name: str, ends: Ends) -> Reading:
        return dataclasses.replace(self.base, **{name: ends})  # type: ignore[arg-type]  # one of the two fields

    def days(self) -> Iterator[_Row]:
        """Days without lines, server by server, with nothing and with the mean of the weekday."""
        self.low = dataclasses.replace(self.low, filled=frozenset())
        self.high = dataclasses.replace(self.high, filled=frozenset(self.past.missing))
        for server, days in self.past.missing.items():
            if not days:
                continue
            without = dataclasses.replace(self.base, filled=self.base.filled - {server})
            with_mean = dataclasses.replace(self.base, filled=self.base.filled | {server})
            has = "the mean" if server in self.base.filled else "nothing"
            yield _Row(
                "missing_days",
                server,
                f"the base has {has} for them; nothing, or the mean of the server's other days of the weekday",
                len(days),
                "days",
                [self.past.cost(without), self.past.cost(with_mean)],
            )

    def products(self) -> Iterator[_Row]:
        """Products without a rate, at nothing and at the dearest."""
        self.low = dataclasses.replace(self.low, prices={})
        self.high = dataclasses.replace(
            self.high, prices={product: dearest for product, (_, dearest) in self.prices.items()}
        )
        for product, count in self.unrated.items():
            likely, dearest = self.prices[product]
            costs = [
                self.past.cost(dataclasses.replace(self.base, prices={**self.base.prices, product: price}))
                for price in (0, likely, dearest)
            ]
            yield _Row(
                "unknown_products",
                product,
                f"a charge costs 0, {shown(tables.decimal(likely))} (base) or {shown(tables.decimal(dearest))}",
                count,
                "charges",
                costs,
            )

    def _settle(
        self, tried: list[Reading], costs: list[dict[str, int]], changed: Callable[[Reading], dict[str, Any]]
    ) -> None:
        """Takes the cheapest and the dearest of these readings for the whole; of equals the first."""
        totals = [sum(cost.values()) for cost in costs]
        self.low = dataclasses.replace(self.low, **changed(tried[totals.index(min(totals))]))
        self.high = dataclasses.replace(self.high, **changed(tried[totals.index(max(totals))]))

    def whole(self) -> None:
        """Charges all the cheapest and all the dearest readings at once."""
        self.extremes += [cost for row in self.rows for cost in row.costs]
        self.extremes += [self.past.cost(self.low), self.past.cost(self.high)]

    def estimate(self, price: Decimal | None) -> Estimate:
        """The answer. Where readings work against each other, one alone can reach further than all together."""
        low = min(self.extremes, key=lambda cost: sum(cost.values()))
        high = max(self.extremes, key=lambda cost: sum(cost.values()))
        period = self.past.period(self.base)
        unfilled = self.past.cost(dataclasses.replace(self.base, filled=frozenset()))
        return Estimate(
            low=_tokens(low),
            base=_tokens(self.cost),
            high=_tokens(high),
            contributions=self._contributions(),
            products=_products(low, self.cost, high),
            first=None if period is None else period[0],
            last=None if period is None else period[1],
            missing_days=sum(len(days) for days in self.past.missing.values()),
            filled=tables.decimal(sum(self.cost.values()) - sum(unfilled.values())),
            token_price=price,
        )

    def _contributions(self) -> pl.DataFrame:
        base = tables.decimal(sum(self.cost.values()))
        ordered = sorted(self.rows, key=lambda row: row.low - row.high)
        rows = [
            (row.source, row.item, tables.decimal(row.low), base, tables.decimal(row.high), row.how, row.count, row.of)
            for row in ordered
        ]
        return pl.DataFrame(rows, schema=dict(tables.ESTIMATE), orient="row")


def shown(tokens: Decimal) -> str:
    """Exact tokens in words: thousands parted, no zeros at the end."""
    return f"{tokens:,.4f}".rstrip("0").rstrip(".")


def _once(problems: pl.DataFrame) -> pl.DataFrame:
    """Each problem once. Under another rule a product has another number of charges without a rate."""
    product = pl.col("message").str.extract(r"^(.*) has no rate")
    key = pl.coalesce(pl.when(pl.col("code") == "no_rate").then(product), "message").alias("key")
    return problems.with_columns(key).unique(["source", "location", "code", "key"], keep="first", maintain_order=True)


def _tokens(cost: dict[str, int]) -> Decimal:
    return tables.decimal(sum(cost.values()))


def _products(low: dict[str, int], base: dict[str, int], high: dict[str, int]) -> pl.DataFrame:
    rows = [
        (product, *(tables.decimal(cost.get(product, 0)) for cost in (low, base, high)))
        for product in sorted({*low, *base, *high})
    ]
    return pl.DataFrame(rows, schema=dict(tables.ESTIMATE_PRODUCTS), orient="row")


# What a caller gave.


def _check(rule: object, rates: object, identity: object, open_sessions: object) -> None:
    if not isinstance(rule, Rule) or not isinstance(rates, Rates):
        # The common refusal of both.
        terms_of(rule, rates, servers=None, users=None, with_activity=False)  # type: ignore[arg-type]  # one is wrong
    if isinstance(rates, Rates) and len(rates) == 0:
        raise ArgumentError("rates are empty: an estimate needs the rate of one product at least", location="rates")
    if identity is not None and not isinstance(identity, Identity):
        raise ArgumentTypeError(
            f"identity has to be a tokenflex.Identity, not {type(identity).__name__}", location="identity"
        )
    if open_sessions not in get_args(Ends):
        raise ArgumentError(
            f"open_sessions is {open_sessions!r}, but has to be one of {', '.join(get_args(Ends))}",
            location="open_sessions",
        )


def _given(rules: Iterable[Rule], rule: Rule) -> list[Rule]:
    """The other rules of a caller, each once."""
    if isinstance(rules, list | tuple) and not rules:
        return []
    return [other for other in dict.fromkeys(checked_rules(rules)) if other != rule]


def _others(rule: Rule, servers: Mapping[str, str] | None) -> list[Rule]:
    """What is in doubt about any rule: the kind of its windows, and whether short use is free."""
    plain = Rule(window="rolling")
    zone = plain.zone if rule.window == "day" else "utc" if servers is None else "server"
    window: Literal["rolling", "day"] = "rolling" if rule.window == "day" else "day"
    others = [dataclasses.replace(rule, window=window, length=plain.length, zone=zone, day_start=plain.day_start)]
    if rule.min_duration:
        others.append(dataclasses.replace(rule, min_duration=timedelta(0)))
    return others


def price_of(given: object, what: str = "estimate") -> Decimal | None:
    """A token price as it was given to an estimate or a report.

    Raises:
        FieldsError: It is no price.
    """
    if given is None:
        return None
    checks = Checks()
    price = checks.price("token_price", given)
    checks.refuse(what)
    return price


def _pairs(
    frame: pl.DataFrame, identity: Identity | None, suggestions: AnyTable | None, problems: Problems
) -> list[Pair]:
    """The names that may be one person and both occur, each pair once, the first name first."""
    if suggestions is not None:
        found = frame_of(suggestions)
    elif identity is not None:
        found = identity.suggest(frame, problems=problems)
    else:
        return []
    names = [column_of(found, name) for name in ("spelling_a", "spelling_b")]
    for column in names:
        if not is_text(column.dtype):
            raise ColumnTypeError(
                f"column {column.name!r} is {column.dtype}, but has to be text: cast it to pl.String",
                column=column.name,
            )
    users = set(column_of(frame, "user").cast(pl.String).unique())
    pairs = list(zip(*(column.cast(pl.String) for column in names), strict=True))
    both = [(min(a, b), max(a, b)) for a, b in pairs if {a, b} <= users - {None} and a != b]
    problems.add(_strangers(len(pairs) - len(both)))
    return list(dict.fromkeys(both))


def _strangers(count: int) -> pl.DataFrame:
    told = []
    if count:
        message = f"{many(count, 'suggested pair')} without two names of users of these sessions: not tried"
        told.append({"source": "suggestions", "location": None, "code": "no_such_user", "message": message})
    return pl.DataFrame(told, schema=dict(tables.PROBLEMS))


def _missing(coverage: pl.DataFrame) -> dict[str, list[date]]:
    """The days without lines of each server."""
    servers, days = column_of(coverage, "server"), column_of(coverage, "days_without_lines")
    if not is_text(servers.dtype):
        raise ColumnTypeError(f"column 'server' is {servers.dtype}, but has to be text", column="server")
    if days.dtype not in (pl.List(pl.Date), pl.Null):
        raise ColumnTypeError(
            f"column 'days_without_lines' is {days.dtype}, but has to be lists of dates", column="days_without_lines"
        )
    missing: dict[str, set[date]] = {}
    for server, dates in zip(servers.cast(pl.String), days, strict=True):
        if server is not None and dates is not None:
            missing.setdefault(server, set()).update(
                day for day in dates if day is not None and EPOCH.date() <= day < TOO_LATE.date()
            )
    return {server: sorted(dates) for server, dates in sorted(missing.items()) if dates}
