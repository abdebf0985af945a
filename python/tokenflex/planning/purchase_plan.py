"""`PurchasePlan`: what to buy and when, what it may cost, and the contract that it makes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from decimal import Decimal
from fractions import Fraction
from itertools import count
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import polars as pl

from tokenflex import tables
from tokenflex.contract.contract import Contract
from tokenflex.contract.days import first_instants, years_later
from tokenflex.contract.terms import ContractYear, Pack, PriceTier, TopUp
from tokenflex.errors import ArgumentError, ArgumentTypeError
from tokenflex.notebook import Shown
from tokenflex.problems import Problems
from tokenflex.times import MICROSECOND

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tokenflex.contract.ledger import Ledger
    from tokenflex.planning.held import Held
    from tokenflex.planning.offer import Offer
    from tokenflex.planning.situation import Plan
    from tokenflex.planning.ways import Way

_ONE_DAY: Final = timedelta(days=1)
_SCALE: Final = 10_000
_ZERO: Final = Decimal("0E-8")


@dataclass(frozen=True, kw_only=True, eq=False)
class PurchasePlan(Shown):
    """What to buy so that the expected cost is least. Made by `plan_purchase`.

    Attributes:
        offer: What was on offer.
        start: The first day of the plan.
        days: How many days it lasts.
        tried: What each way to buy came to, see `tables.PURCHASE_TRIED`.
        purchases: What is bought and when, see `tables.PLANNED_PURCHASES`.
        scenarios: What becomes of each scenario under the plan, see `tables.PLAN_SCENARIOS`.
        top_ups: When tokens run out, how many lack, and how many top-ups bring, see `tables.TOP_UPS`.
        newsvendor: The closed form as a cross-check, see `tables.NEWSVENDOR`.
        contract: The contract that it means, for `Contract.settle`: that which is held, and what is bought. Of a
            reorder point and of top-ups it has the purchases that at least half of the scenarios make, on their median
            days; `replay` makes those of one path.
        below: The balance below which packs are bought on a day that begins with it; None where the dates are fixed.
        top_up: How many tokens are bought each time that they run out; None where none are.
        held: What was there when the plan began, see `tables.HELD_TOKENS`.
    """

    offer: Offer
    start: date
    days: int
    tried: pl.DataFrame
    purchases: pl.DataFrame
    scenarios: pl.DataFrame
    top_ups: pl.DataFrame
    newsvendor: pl.DataFrame
    contract: Contract
    below: Decimal | None
    top_up: Decimal | None
    held: pl.DataFrame
    _plan: Plan = field(repr=False)
    """Without its scenarios."""
    _way: Way = field(repr=False)

    def _tables_shown(self) -> dict[str, pl.DataFrame]:
        return {"purchases": self.purchases, "what other quantities would cost": self.curve}

    def __repr__(self) -> str:
        return f"<PurchasePlan: {self._chosen('purchase')}, expected cost {self.expected_cost:,.2f}>"

    @property
    def end(self) -> date:
        """Its last day."""
        return self.start + (self.days - 1) * _ONE_DAY

    @property
    def tokens(self) -> Decimal:
        """How many tokens are bought, without top-ups; of a reorder point the mean over scenarios."""
        tokens: Decimal = self._chosen("tokens")
        return tokens

    @property
    def expected_cost(self) -> Decimal:
        """The mean cost over scenarios, in the offer's currency: what is bought, and the overage."""
        cost: Decimal = self._chosen("expected_cost")
        return cost

    @property
    def run_out_chance(self) -> float:
        """The part of the scenarios in which tokens run out and none are bought."""
        chance: float = self._chosen("run_out_chance")
        return chance

    @property
    def curve(self) -> pl.DataFrame:
        """The cost against the quantity: of each quantity that was tried the cheapest way, in order of the quantity.

        Returns:
            Rows of `tried`.
        """
        cheapest = self.tried.sort("expected_cost", maintain_order=True)
        # The choice is the first of its quantity also where another costs the same.
        first = cheapest.sort("is_chosen", descending=True, maintain_order=True)
        best = first.unique("tokens", keep="first", maintain_order=True)
        return best.sort("tokens")

    def charges(self, path: Iterable[float]) -> pl.DataFrame:
        """A path as charges, one at the first instant of each day on which something is used.

        Args:
            path: Tokens of each day of the plan, rounded to four decimals.

        Returns:
            `charged_at` and `tokens`, for `Contract.settle`.

        Raises:
            ArgumentError: It has not as many days as the plan, or a day with less than 0 or no number.
            ArgumentTypeError: It holds no numbers.

        Example:
            >>> import tokenflex as tf
            >>> from datetime import date
            >>> offer = tf.Offer(overage_price=4, packs=[tf.PackOffer(tokens=10, unit_price=3)])
            >>> plan = tf.plan_purchase([[7, 0, 9], [7, 0, 3]], offer=offer, start=date(2026, 7, 1))
            >>> plan.charges([7, 0, 9])["tokens"].to_list()
            [Decimal('7.0000'), Decimal('9.0000')]
        """
        used = _units_of(path, self.days)
        days = [self.start + place * _ONE_DAY for place, units in enumerate(used) if units]
        instants = first_instants(days, self.offer.zone)
        rows = {
            "charged_at": [instants[day] for day in days],
            "tokens": [tables.decimal(units) for units in used if units],
        }
        return pl.DataFrame(rows, schema={"charged_at": tables.TIME, "tokens": tables.TOKENS})

    def replay(self, path: Iterable[float]) -> Ledger:
        """The plan on a path of daily tokens, run through the ledger to the end of its last day.

        Args:
            path: Tokens of each day of the plan, such as those that came to be.

        Returns:
            The ledger, with what was held before. `cost_of` says what the plan costs in it: equal to the digit to what
            the plan says of the path, but for marginal prices, whose mean a contract holds to four decimals.

        Raises:
            ArgumentError: It has not as many days as the plan, or a day with less than 0 or no number.
            ArgumentTypeError: It holds no numbers.

        Example:
            >>> import tokenflex as tf
            >>> from datetime import date
            >>> offer = tf.Offer(overage_price=4, packs=[tf.PackOffer(tokens=10, unit_price=3)])
            >>> plan = tf.plan_purchase([[7, 0, 9], [7, 0, 3]], offer=offer, start=date(2026, 7, 1))
            >>> plan.cost_of(plan.replay([7, 0, 9])), plan.scenarios["cost"][0]
            (Decimal('54.00000000'), Decimal('54.00000000'))
        """
        used = _units_of(path, self.days)
        # It needs numpy, and so does the plan.
        from tokenflex.planning.best import contract_on  # noqa: PLC0415

        held = self._plan.held
        contract = contract_on(self._plan, self._way, used)
        day_after = self.end + _ONE_DAY
        after = first_instants([day_after], self.offer.zone)[day_after]
        charges = self.charges(units / _SCALE for units in used)
        if held is None:
            return contract.settle(charges, as_of=after, problems=Problems())
        # A path is of what the contract covers.
        whole = replace(contract, products=None)
        both = pl.concat([held.past, charges])
        return whole.settle(both, after=held.ledger, as_of=after, problems=Problems())

    def cost_of(self, ledger: Ledger) -> Decimal:
        """What the plan costs in a ledger: what was bought since it began, and the overage since.

        Args:
            ledger: That of `replay`, or of what came to be, settled by `contract` or by one with the purchases that
                were made.

        Returns:
            Money, exactly.

        Raises:
            ArgumentError: The ledger ends before the plan begins, or does not know a price.

        Example:
            >>> import tokenflex as tf
            >>> from datetime import date
            >>> offer = tf.Offer(overage_price=4, packs=[tf.PackOffer(tokens=10, unit_price=3)])
            >>> plan = tf.plan_purchase([[7, 0, 9], [7, 0, 3]], offer=offer, start=date(2026, 7, 1))
            >>> plan.cost_of(plan.replay([0, 0, 11]))
            Decimal('34.00000000')
        """
        held = self._plan.held
        own = set() if held is None else {pool.id for pool in held.contract.pools}
        costs = ledger.cost()
        bought = costs.filter(pl.col("pool").is_not_null() & ~pl.col("pool").is_in(list(own)))
        values = [*bought["value_bought"], costs["overage_cost"][-1]]
        if held is not None:
            before = first_instants([self.start], self.offer.zone)[self.start] - MICROSECOND
            owed = ledger.cost(at=before)["overage_cost"][-1]
            values.append(None if owed is None else -owed)
        if None in values:
            raise ArgumentError("the ledger does not know what all that was bought or owed costs", location="ledger")
        return sum(values, _ZERO)

    def _chosen(self, column: str) -> Any:  # noqa: ANN401 - of each column its own
        return self.tried.filter("is_chosen")[column][0]


class Bought(NamedTuple):
    """Tokens that a plan buys on a day."""

    day: date
    pool: str
    """Of Token Flex the pool that they go to; of Flex nothing."""
    tokens: Decimal
    cost: Decimal


def contract_of(plan: Plan, at_first: Sequence[Bought], later: Sequence[Bought]) -> Contract:
    """The contract of what is held and what is bought: when the plan begins, and later."""
    held = None if plan.held is None else replace_for_plan(plan.held, plan.offer)
    if plan.offer.packs:
        packs = [
            Pack(id=name, tokens=each.tokens, purchased=each.day, unit_price=mean_price(each))
            for each, name in zip([*at_first, *later], order_ids(plan.held), strict=False)
        ]
        if held is None:
            return Contract(**_terms(plan.offer), packs=packs)
        return replace(held, packs=(*held.packs, *packs))
    if held is None:
        held, at_first = _contract_of_term(plan, at_first), ()
    top_ups = [
        TopUp(day=each.day, tokens=each.tokens, pool=each.pool, unit_price=mean_price(each))
        for each in [*at_first, *later]
    ]
    return replace(held, top_ups=(*held.top_ups, *top_ups))


def replace_for_plan(held: Held, offer: Offer) -> Contract:
    """What is held, with the terms of the offer for what lacks."""
    return replace(held.contract, overage_price=offer.overage_price, on_empty="overage")


def _terms(offer: Offer) -> dict[str, Any]:
    return {
        "number": offer.number,
        "zone": offer.zone,
        "overage_price": offer.overage_price,
        "currency": offer.currency,
        "order": offer.order,
    }


def _contract_of_term(plan: Plan, bought: Sequence[Bought]) -> Contract:
    offer = plan.offer
    tokens = {each.pool: each.tokens for each in bought}
    prices: Sequence[PriceTier] = offer.prices
    if offer.marginal and bought:
        prices = [PriceTier(from_tokens=0, unit_price=mean_price(bought[0]))]
    begins = [years_later(plan.start, year) for year in range(offer.years + 1)]
    years = [
        ContractYear(
            year=year + 1,
            start=begins[year],
            end=begins[year + 1] - _ONE_DAY,
            tokens=tokens.get(f"annual {year + 1}", 0),
            carry_over=offer.carry_over and year + 1 < offer.years,
        )
        for year in range(offer.years)
    ]
    return Contract(**_terms(offer), years=years, contract_tokens=tokens.get("contract", 0), prices=prices)


def order_ids(held: Held | None) -> Iterator[str]:
    """The ids of the packs that are bought, none of them one that is held."""
    taken = set() if held is None else {pack.id for pack in held.contract.packs}
    return (name for name in map("order {}".format, count(1)) if name not in taken)


def mean_price(bought: Bought) -> Decimal:
    """The mean unit price to four decimals, half to even."""
    return Decimal(round(Fraction(bought.cost) / Fraction(bought.tokens) * _SCALE)).scaleb(-4)


def _units_of(path: Iterable[float], days: int) -> list[int]:
    if isinstance(path, str | bytes) or not isinstance(path, Iterable):
        raise ArgumentTypeError(f"path has to be the tokens of each day, not {type(path).__name__}", location="path")
    try:
        units = [round(float(tokens) * _SCALE) for tokens in path]
    except (TypeError, ValueError, OverflowError) as error:
        raise ArgumentTypeError(f"path has to hold numbers: {error}", location="path") from error
    if len(units) != days:
        raise ArgumentError(f"path has {len(units):,} days, but the plan has {days:,}", location="path")
    if min(units) < 0:
        raise ArgumentError(
            f"path[{units.index(min(units))}] is negative: tokens of a day are 0 or more", location="path"
        )
    return units
