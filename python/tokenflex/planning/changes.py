"""What `sensitivity` changes, one thing after the other, and what all costs then, charged anew."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from fractions import Fraction
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

import polars as pl

from tokenflex import tables
from tokenflex.contract.money import units
from tokenflex.metering.rates import Rate, Rates
from tokenflex.planning.moves import Moves
from tokenflex.planning.token_price import WHOLE, TokenPrice, changed
from tokenflex.planning.use import Case, Sums, Use
from tokenflex.problems import Problems
from tokenflex.saving.replay import harvest_replay, without_idle
from tokenflex.times import EPOCH
from tokenflex.usage.idle import idle as idle_spans
from tokenflex.words import many, spoken

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from datetime import timedelta

    from tokenflex.arrow import AnyTable

Change: TypeAlias = Literal["rate", "new_rates", "price", "head_count", "harvest", "server_zone"]

DRAWS: Final = 1_000
MOST_DRAWS: Final = 100_000
TENTH: Final = 10


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


class Changes(Use):
    """Each change to the use, alone."""

    # Rates.

    def rates_changed(self, percents: Sequence[Decimal]) -> Iterator[Changed]:
        """All rates by percent, and those of each product alone."""
        for percent in percents:
            rates = Rates([rate._replace(tokens=changed(rate.tokens, percent)) for rate in self.terms.rates.rows])
            yield from self._with_rates("rate", rates, told(percent), f"charged with every rate {told(percent)}")

    def new_rates(self, announced: Rates) -> Iterator[Changed]:
        """The rates that were announced, as if they had held all the time, and those of each product alone."""
        rates = with_announced(self.terms.rates, announced)
        used = [product for product in self.base.units if self._rows(announced, product)]
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
        moves = Moves(self, places)
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


def with_announced(rates: Rates, announced: Rates) -> Rates:
    """Rates as if those that were announced had held all the time: of several of one product the last.

    A product that they do not name keeps its rates, and one without a family in them its family.
    """
    known = dict(rates.families())
    last: dict[str, Rate] = {}
    for rate in sorted(announced.rows, key=lambda rate: rate.effective_from or EPOCH):
        family = rate.family if rate.family is not None else known.get(rate.product)
        last[rate.product] = rate._replace(effective_from=None, family=family)
    return Rates([*(rate for rate in rates.rows if rate.product not in last), *last.values()])


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
