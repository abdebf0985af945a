"""What `sensitivity` changes, one thing after the other, and what all costs then, charged anew."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from decimal import ROUND_HALF_UP, Decimal
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

import polars as pl

from tokenflex import tables
from tokenflex.contract.money import units
from tokenflex.metering.charge import charge, prepare
from tokenflex.metering.rates import Rate, Rates
from tokenflex.metering.whatif import zone_whatif
from tokenflex.planning.past import last_instant
from tokenflex.planning.token_price import WHOLE, TokenPrice, changed
from tokenflex.problems import Problems
from tokenflex.reading.names import coded
from tokenflex.reading.periods import column_of, instants_of
from tokenflex.saving.replay import harvest_replay, without_idle
from tokenflex.times import EPOCH
from tokenflex.usage.idle import idle as idle_spans
from tokenflex.words import many, spoken

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from datetime import datetime, timedelta

    from tokenflex.arrow import AnyTable
    from tokenflex.metering.charge import Prepared
    from tokenflex.metering.rule import Rule

Change: TypeAlias = Literal["rate", "new_rates", "price", "head_count", "harvest", "server_zone"]

READS: Final = ("user", "product", "server", "host", "start", "end", "licenses", "end_reason", "is_open")
"""The columns of sessions that charging, idle time and comparing read."""

HOUR: Final = 3_600
APART: Final = 54 * HOUR
"""Seconds after which no zone brings two uses to one day: clocks are 26 hours apart at most, and a day has 24 or 25."""
AGE: Final = 2**34
"""More seconds than lie between 1970 and 2200."""

DRAWS: Final = 1_000
MOST_DRAWS: Final = 100_000
TENTH: Final = 10


@dataclass(frozen=True)
class Terms:
    """What does not change but where it says so."""

    rule: Rule
    rates: Rates
    servers: Mapping[str, str] | None
    users: Mapping[str, str] | None
    activity: AnyTable | None
    as_of: datetime | None


@dataclass(frozen=True)
class Case:
    """The same use under other terms, as `compare_models` takes it."""

    sessions: pl.DataFrame
    rates: Rates
    servers: Mapping[str, str] | None
    users: Mapping[str, str] | None
    price: TokenPrice
    units: int
    """What all costs, which an offer's price hangs on."""


@dataclass(frozen=True)
class Changed:
    """What all would cost under one change, or the reason why nobody can say."""

    change: Change
    item: str | None
    value: str | None = None
    how: str | None = None
    units: int | None = None
    price: TokenPrice | None = None
    reach: tuple[int, int] | None = None
    """Of draws, the least but for a tenth, and the most but for a tenth."""
    unrated: int | None = None
    case: Case | None = None
    reason: str | None = None


@dataclass(frozen=True)
class Sums:
    """Tokens by product, in units of 1/10,000, and how many charges of each have no rate."""

    units: Mapping[str, int]
    unrated: Mapping[str, int]

    @property
    def total(self) -> int:
        """Of all products."""
        return sum(self.units.values())

    @property
    def all_unrated(self) -> int:
        """Charges of all products."""
        return sum(self.unrated.values())

    def with_product(self, product: str, other: Sums) -> tuple[int, int]:
        """Tokens and charges without a rate of all, if one product's were those of another run."""
        return (
            self.total - self.units.get(product, 0) + other.units.get(product, 0),
            self.all_unrated - self.unrated.get(product, 0) + other.unrated.get(product, 0),
        )

    @classmethod
    def of(cls, charges: pl.DataFrame) -> Sums:
        """The sums of charges."""
        found = charges.group_by("product").agg(
            units=units(pl.col("tokens").sum()), unrated=pl.col("tokens").null_count()
        )
        rows = found.with_columns(pl.col("product").cast(pl.String)).sort("product").rows()
        return cls({product: paid for product, paid, _ in rows}, {product: lost for product, _, lost in rows})


@dataclass
class Use:
    """Sessions, charged once as they are; every change is charged against them."""

    sessions: pl.DataFrame
    terms: Terms
    price: TokenPrice
    charges: pl.DataFrame
    held: Prepared
    base: Sums
    problems: Problems = field(default_factory=Problems)

    @classmethod
    def of(cls, table: pl.DataFrame, terms: Terms, price: TokenPrice, problems: Problems) -> Use:
        """Charges the sessions; `problems` collects what could not be charged or priced."""
        times = {name: instants_of(table, name) for name in ("start", "end")}
        frame = table.select(name for name in READS if name in table.columns).with_columns(**times)
        as_of = terms.as_of if terms.as_of is not None else last_instant(times)
        terms = replace(terms, as_of=as_of)
        held = prepare(frame, as_of=as_of)
        charges = charge(
            held,
            rule=terms.rule,
            rates=terms.rates,
            servers=terms.servers,
            users=terms.users,
            activity=terms.activity,
            problems=problems,
        )
        return cls(frame, terms, price, charges, held, Sums.of(charges), problems)

    def again(
        self,
        sessions: pl.DataFrame | Prepared | None = None,
        *,
        rates: Rates | None = None,
        servers: Mapping[str, str] | None = None,
    ) -> pl.DataFrame:
        """Charges under other terms; what cannot be charged has been told of."""
        terms = self.terms
        return charge(
            self.held if sessions is None else sessions,
            rule=terms.rule,
            rates=terms.rates if rates is None else rates,
            servers=terms.servers if servers is None else servers,
            users=terms.users,
            activity=terms.activity,
            as_of=terms.as_of,
            problems=Problems(),
        )

    def case(self, units: int, **other: Any) -> Case:  # noqa: ANN401 - fields of `Case`
        """The use as it is, but for what is given."""
        whole = Case(self.sessions, self.terms.rates, self.terms.servers, self.terms.users, self.price, units)
        return replace(whole, **other)

    # Rates.

    def rates_changed(self, percents: Sequence[Decimal]) -> Iterator[Changed]:
        """All rates by percent, and those of each product alone."""
        for percent in percents:
            rates = Rates([rate._replace(tokens=changed(rate.tokens, percent)) for rate in self.terms.rates.rows])
            yield from self._with_rates("rate", rates, told(percent), f"charged with every rate {told(percent)}")

    def new_rates(self, announced: Rates) -> Iterator[Changed]:
        """The rates that were announced, as if they had held all the time, and those of each product alone."""
        known = dict(self.terms.rates.families())
        last: dict[str, Rate] = {}
        for rate in sorted(announced.rows, key=lambda rate: rate.effective_from or EPOCH):
            last[rate.product] = rate._replace(
                effective_from=None, family=rate.family if rate.family is not None else known.get(rate.product)
            )
        kept = [rate for rate in self.terms.rates.rows if rate.product not in last]
        rates = Rates([*kept, *last.values()])
        used = [product for product in last if product in self.base.units]
        how = f"charged with the new rates of {many(len(used), 'product')} that was or were used"
        yield from self._with_rates("new_rates", rates, "new rates", how)

    def _with_rates(self, change: Change, rates: Rates, value: str, how: str) -> Iterator[Changed]:
        """All at other rates; then one product at a time, where there are several."""
        whole = Sums.of(self.again(rates=rates))
        yield Changed(
            change,
            None,
            value=value,
            how=how,
            units=whole.total,
            unrated=whole.all_unrated,
            case=self.case(whole.total, rates=rates),
        )
        differing = [product for product in self.base.units if self._rows(rates, product) != self._rows(None, product)]
        if len(self.base.units) == 1:
            return
        for product in differing:
            alone = self._only(rates, product)
            paid, lost = self._of_product(product, alone, rates, whole)
            yield Changed(
                change,
                product,
                value=value if change == "rate" else self._new_rate(rates, product),
                how=f"{how}, of {product} alone",
                units=paid,
                unrated=lost,
                case=self.case(paid, rates=alone),
            )

    def _rows(self, rates: Rates | None, product: str) -> list[Rate]:
        return [rate for rate in (self.terms.rates if rates is None else rates).rows if rate.product == product]

    def _new_rate(self, rates: Rates, product: str) -> str:
        (rate,) = self._rows(rates, product)
        return plain_decimal(rate.tokens)

    def _only(self, rates: Rates, product: str) -> Rates:
        """The rates as they are, but for those of one product."""
        kept = [rate for rate in self.terms.rates.rows if rate.product != product]
        return Rates([*kept, *self._rows(rates, product)])

    def _of_product(self, product: str, alone: Rates, rates: Rates, whole: Sums) -> tuple[int, int]:
        """What all costs if one product's rates change; `whole` is what is charged if all do.

        Without families no other product's charges hang on them. With families those of its family do, so the sessions
        of the family are charged anew.
        """
        together = self._family(product, alone) | self._family(product, self.terms.rates)
        if len(together | self._family(product, rates)) == 1:
            return self.base.with_product(product, whole)
        of_family = self.sessions.filter(pl.col("product").cast(pl.String).is_in(sorted(together)))
        found = Sums.of(self.again(of_family, rates=alone))
        others = [other for other in self.base.units if other not in together]
        return (
            sum(self.base.units[other] for other in others) + found.total,
            sum(self.base.unrated[other] for other in others) + found.all_unrated,
        )

    def _family(self, product: str, rates: Rates) -> set[str]:
        """The used products that share windows with one, itself among them."""
        families = dict(rates.families()) if self.terms.rule.incremental else {}
        if product not in families:
            return {product}
        return {product} | {other for other in self.base.units if families.get(other) == families[product]}

    # The price.

    def prices(self, percents: Sequence[Decimal], others: Sequence[Decimal]) -> Iterator[Changed]:
        """The price of a token by percent, and other prices."""
        total = self.base.total
        tried = [(told(percent), self.price.changed(percent)) for percent in percents]
        tried += [(plain_decimal(price), TokenPrice(price)) for price in others]
        for value, price in tried:
            yield Changed(
                "price",
                None,
                value=value,
                how=f"the tokens of the base at a price of {plain_decimal(price.of_one(total))}",
                units=total,
                price=price,
                unrated=self.base.all_unrated,
                case=self.case(total, price=price),
            )

    # Heads.

    def head_counts(self, percents: Sequence[Decimal], seed: int, draws: int) -> Iterator[Changed]:
        """More or fewer persons, drawn from those that there are."""
        persons = self._persons()
        for percent in percents:
            count = (abs(percent) * persons.height / WHOLE).to_integral_value(rounding=ROUND_HALF_UP)
            yield self._heads(persons, percent, int(count), seed, draws)

    def _persons(self) -> pl.DataFrame:
        """Tokens of each person, in order of name. What is metered by machine belongs to nobody."""
        metered = sorted(self.terms.rule.machine_metered)
        own = self.charges.filter(~pl.col("product").cast(pl.String).is_in(metered))
        sums = own.group_by("user").agg(units=units(pl.col("tokens").sum()))
        return sums.with_columns(pl.col("user").cast(pl.String)).sort("user")

    def _heads(self, persons: pl.DataFrame, percent: Decimal, count: int, seed: int, draws: int) -> Changed:
        if count == 0:
            reason = f"{plain_decimal(abs(percent))} % of {many(persons.height, 'person')} is nobody"
            return Changed("head_count", None, value=told(percent), reason=reason)
        sign = 1 if percent > 0 else -1
        # Draws of one seed are none of another's.
        first = seed * MOST_DRAWS
        drawn = drawn_sums(persons["units"], count, returns=sign > 0, draws=draws, seed=first)
        totals = sorted(self.base.total + sign * each for each in drawn)
        mean = self.base.total + sign * round(Fraction(int(persons["units"].sum()) * count, persons.height))
        low, high = totals[(draws + TENTH - 1) // TENTH - 1], totals[draws - 1 - draws // TENTH]
        middle = drawn.index(sorted(drawn)[(draws - 1) // 2])
        chosen = drawn_rows(persons.height, count, returns=sign > 0, seed=first + middle)
        who = "like persons that there are" if sign > 0 else "of the persons that there are"
        return Changed(
            "head_count",
            None,
            value=f"{told(percent)} ({many(count, 'person')})",
            how=f"the mean of {many(count, 'person')} {'more' if sign > 0 else 'fewer'}, {who}; the range is that of "
            f"{draws:,} draws, the way to pay that of the draw in the middle",
            units=mean,
            reach=(low, high),
            case=self._with_heads(persons["user"].gather(chosen).to_list(), mean, more=sign > 0),
        )

    def _with_heads(self, names: list[str], total: int, *, more: bool) -> Case:
        """The use without these persons, or with others like them. Machines stay as they are."""
        sessions = self.sessions.with_columns(pl.col("user").cast(pl.String))
        metered = (
            pl.col("product").cast(pl.String).is_in(sorted(self.terms.rule.machine_metered)).fill_null(value=False)
        )
        if not more:
            gone = pl.col("user").is_in(names).fill_null(value=False) & ~metered
            return self.case(total, sessions=sessions.filter(~gone))
        taken = set(sessions["user"].unique())
        copies = []
        for number, name in enumerate(names):
            like = f"{name} +{number}"
            while like in taken:
                like += "+"
            taken.add(like)
            copies.append((name, like))
        newcomers = pl.DataFrame(copies, schema={"user": pl.String, "like": pl.String}, orient="row")
        theirs = sessions.filter(~metered).join(newcomers, on="user", how="inner")
        theirs = theirs.with_columns(user="like").select(sessions.columns)
        zones = self.terms.users
        if zones is not None:
            zones = {**zones, **{like: zones[name] for name, like in copies if name in zones}}
        return self.case(total, sessions=pl.concat([sessions, theirs]), users=zones)

    # Idle licenses.

    def harvests(self, times: Sequence[timedelta], idle: AnyTable | None) -> Iterator[Changed]:
        """Idle licenses taken back after some time."""
        terms = self.terms
        if idle is None:
            if terms.activity is None and terms.users is None:
                reason = "nothing tells when a license was idle: give activity, idle spans, or the zones of users"
                for time in times:
                    yield Changed("harvest", spoken(time), value=f"taken back after {spoken(time)}", reason=reason)
                return
            found = Problems()
            idle = idle_spans(
                self.sessions,
                activity=terms.activity,
                users=terms.users,
                idle_after=min(times),
                as_of=terms.as_of,
                problems=found,
            )
            # Sessions that cannot be looked at cannot be charged either, and have been told of.
            self.problems.add(found.frame.filter(pl.col("source") != "sessions"))
        again = Problems()
        saved = harvest_replay(
            self.sessions,
            rule=terms.rule,
            rates=terms.rates,
            after=times,
            servers=terms.servers,
            users=terms.users,
            activity=terms.activity,
            idle=idle,
            as_of=terms.as_of,
            problems=again,
        )
        self.problems.add(again.frame.filter(pl.col("source") == "idle"))
        for row in saved.iter_rows(named=True):
            total = tables.units(row["tokens_after"])
            cut = without_idle(self.sessions, idle=idle, after=row["after"], as_of=terms.as_of)
            yield Changed(
                "harvest",
                spoken(row["after"]),
                value=f"taken back after {spoken(row['after'])}",
                how=f"charged with {many(row['cuts'], 'license')} taken back, {row['reopens']:,} launched again",
                units=total,
                unrated=row["charges_without_rate"],
                case=self.case(total, sessions=cut),
            )

    # Zones of servers.

    def server_zones(self, places: Mapping[str, str]) -> Iterator[Changed]:
        """Each server in the zone that costs least, and in the one that costs most; all others stay."""
        servers = self.terms.servers
        if self.terms.rule.needs_zones_of != "server" or servers is None:
            window = self.terms.rule.window
            days = "windows of 24 hours have no zone" if window == "rolling" else "days are not those of the server"
            yield Changed("server_zone", None, reason=f"{days}: where a server stands changes nothing")
            return
        moves = _Moves(self, places)
        for server in moves.servers:
            costs = moves.of(server)
            names = list(costs)
            least, most = min(names, key=lambda zone: costs[zone]), max(names, key=lambda zone: costs[zone])
            for zone in dict.fromkeys((least, most)):
                paid, lost = costs[zone]
                moved = {**servers, server: places[zone]}
                yield Changed(
                    "server_zone",
                    server,
                    value=zone,
                    how=f"charged with {server} in {zone}, the {'cheapest' if zone == least else 'dearest'} of "
                    f"{many(len(places), 'zone')}; all other servers stay",
                    units=paid,
                    unrated=lost,
                    case=self.case(paid, servers=moved),
                )


class _Moves:
    """What all costs with one server in another zone.

    The use of one payer and product (or family) falls into stretches so far apart that no zone brings two of them to
    one day. A stretch on one server only pays as `zone_whatif` says, for all zones in one pass. One on several servers
    shares days between them, so it is charged anew for each zone. No other stretch is touched.
    """

    def __init__(self, use: Use, places: Mapping[str, str]) -> None:
        self._use, self._places = use, places
        known = _stretches(use)
        self.servers: list[str] = known["server"].unique().sort().to_list()
        rule = use.terms.rule
        if use.terms.activity is not None and rule.idle_after is not None:
            # `zone_whatif` knows no activity.
            is_shared = pl.lit(value=True)
        elif rule.scope == "server":
            is_shared = pl.lit(value=False)
        else:
            counts = known.group_by("stretch").agg(is_shared=pl.col("server").n_unique() > 1)
            known = known.join(counts, on="stretch", how="left", maintain_order="left")
            is_shared = pl.col("is_shared")
        self._rows = known.with_columns(is_shared=is_shared).sort("row")
        self._shared = self._rows.filter("is_shared")
        self._charges = use.charges.select(
            row=pl.col("session").cast(pl.UInt32), units=units(pl.col("tokens")), lost=pl.col("tokens").is_null()
        ).join(self._rows, on="row", how="inner")

    def of(self, server: str) -> dict[str, tuple[int, int]]:
        """Tokens and charges without a rate of all, for each zone that the server may stand in."""
        alone = (pl.col("server") == server) & ~pl.col("is_shared")
        touching = self._shared.filter(pl.col("server") == server).select("stretch").unique()
        shared = self._shared.join(touching, on="stretch", how="semi", maintain_order="left")
        before = [
            self._charges.filter(alone),
            self._charges.filter("is_shared").join(touching, on="stretch", how="semi"),
        ]
        paid, lost = pl.concat(before).select(pl.col("units").sum(), pl.col("lost").sum()).row(0)
        base = self._use.base
        found = dict.fromkeys(self._places, (base.total - int(paid), base.all_unrated - int(lost)))
        own = self._rows.filter(alone)["row"]
        for part in (self._in_one_pass(own), self._one_by_one(server, shared["row"])):
            for zone, (more, unrated) in part.items():
                found[zone] = found[zone][0] + more, found[zone][1] + unrated
        return found

    def _in_one_pass(self, rows: pl.Series) -> dict[str, tuple[int, int]]:
        if rows.is_empty():
            return {}
        use = self._use
        found = zone_whatif(
            use.sessions[rows],
            rates=use.terms.rates,
            rule=use.terms.rule,
            zones=list(self._places),
            as_of=use.terms.as_of,
            problems=Problems(),
        )
        told = found.select("zone", "tokens", "charges_without_rate").iter_rows()
        return {zone: (tables.units(tokens), lost) for zone, tokens, lost in told}

    def _one_by_one(self, server: str, rows: pl.Series) -> dict[str, tuple[int, int]]:
        if rows.is_empty():
            return {}
        use = self._use
        held = prepare(use.sessions[rows], as_of=use.terms.as_of)
        found = {}
        for zone, name in self._places.items():
            sums = Sums.of(use.again(held, servers={**(use.terms.servers or {}), server: name}))
            found[zone] = sums.total, sums.all_unrated
        return found


def _stretches(use: Use) -> pl.DataFrame:
    """Sound sessions on known servers: `row`, `server`, and the number of the stretch of use that they lie in."""
    sessions, terms = use.sessions, use.terms
    open_until = pl.lit(terms.as_of, tables.TIME)
    rows = sessions.select(
        pl.col("server").cast(pl.String),
        key=_keys(use),
        start=pl.col("start").dt.epoch("s"),
        end=pl.max_horizontal("start", pl.col("end").fill_null(open_until)).dt.epoch("s"),
    ).with_row_index("row")
    rows = rows.filter(pl.col("server").is_in(list(terms.servers or {})))
    rows = rows.drop_nulls(["key", "start", "end"]).sort("key", "start")
    # One running maximum for all keys, each of which has an age of its own: by groups it would be dear.
    begin, end = (pl.col("key") * AGE + pl.col(name) for name in ("start", "end"))
    is_new = (begin - end.cum_max().shift(1) > APART).fill_null(value=True)
    return rows.select("row", "server", stretch=is_new.cum_sum())


def _keys(use: Use) -> pl.Series:
    """Who pays for each session and for which product or family, as a number. By machine it is the host."""
    sessions, rule = use.sessions, use.terms.rule
    users, names = coded(column_of(sessions, "user"))
    products, lines = coded(column_of(sessions, "product"))
    payers = users.cast(pl.Int64)
    if rule.machine_metered and "host" in sessions.columns:
        hosts, _ = coded(sessions["host"])
        is_metered = pl.Series([line in rule.machine_metered for line in lines], dtype=pl.Boolean).gather(products)
        of_host = hosts.cast(pl.Int64) + len(names)
        payers = pl.select(pl.when(is_metered).then(of_host).otherwise(payers)).to_series()
    families = dict(use.terms.rates.families()) if rule.incremental else {}
    # A family has its own number, behind those of the products.
    places = {family: len(lines) + place for place, family in enumerate(sorted(set(families.values())))}
    numbers = [places[families[line]] if line in families else place for place, line in enumerate(lines)]
    units_of = pl.Series(numbers, dtype=pl.Int64).gather(products)
    both = payers * (len(lines) + len(places) + 1) + units_of
    # Dense, so that keys times an age fit.
    return both.rank("dense").cast(pl.Int64).alias("key")


def drawn_rows(of: int, count: int, *, returns: bool, seed: int) -> pl.Series:
    """So many of so many rows, drawn by chance; one that `returns` can be drawn again."""
    return pl.int_range(of, eager=True).sample(count, with_replacement=returns, seed=seed)


def drawn_sums(values: pl.Series, count: int, *, returns: bool, draws: int, seed: int) -> list[int]:
    """What so many of the values add up to, for each draw."""
    return [
        int(values.gather(drawn_rows(len(values), count, returns=returns, seed=seed + place)).sum())
        for place in range(draws)
    ]


def told(percent: Decimal) -> str:
    """A change in percent as one writes it: `+10 %`."""
    return f"{'+' if percent > 0 else ''}{plain_decimal(percent)} %"


def plain_decimal(value: Decimal) -> str:
    """A number without zeros at its end."""
    text = f"{value:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
