"""`PurchasePlan`: what to buy and when, what it may cost, and the contract that it makes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Final

import polars as pl

from tokenflex import tables
from tokenflex.contract.contract import Contract
from tokenflex.contract.days import first_instants, years_later
from tokenflex.contract.terms import ContractYear, Pack, PriceTier
from tokenflex.errors import ArgumentError, ArgumentTypeError
from tokenflex.notebook import Shown
from tokenflex.problems import Problems

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tokenflex.contract.ledger import Ledger
    from tokenflex.planning.offer import Offer

_ONE_DAY: Final = timedelta(days=1)
_SCALE: Final = 10_000


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
        top_ups: When tokens run out and how many lack, see `tables.TOP_UPS`.
        newsvendor: The closed form as a cross-check, see `tables.NEWSVENDOR`.
        contract: The contract that it means, for `Contract.settle`. Of a reorder point it has the purchases that at
            least half of the scenarios make, on their median days; `replay` makes those of one path.
        below: The balance below which packs are bought on a day that begins with it; None where the dates are fixed.
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
        """How many tokens are bought; of a reorder point the mean over scenarios."""
        tokens: Decimal = self._chosen("tokens")
        return tokens

    @property
    def expected_cost(self) -> Decimal:
        """The mean cost over scenarios, in the offer's currency: what is bought, and the overage."""
        cost: Decimal = self._chosen("expected_cost")
        return cost

    @property
    def run_out_chance(self) -> float:
        """The part of the scenarios in which tokens run out."""
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
            The ledger. In the last row of `Ledger.cost` `value_bought + overage_cost` is what the plan says the path
            costs: equal to the digit, but for marginal prices, whose mean a contract holds to four decimals.

        Raises:
            ArgumentError: It has not as many days as the plan, or a day with less than 0 or no number.
            ArgumentTypeError: It holds no numbers.

        Example:
            >>> import tokenflex as tf
            >>> from datetime import date
            >>> offer = tf.Offer(overage_price=4, packs=[tf.PackOffer(tokens=10, unit_price=3)])
            >>> plan = tf.plan_purchase([[7, 0, 9], [7, 0, 3]], offer=offer, start=date(2026, 7, 1))
            >>> cost = plan.replay([7, 0, 9]).cost().row(-1, named=True)
            >>> cost["value_bought"] + cost["overage_cost"], plan.scenarios["cost"][0]
            (Decimal('54.00000000'), Decimal('54.00000000'))
        """
        used = _units_of(path, self.days)
        contract = self.contract
        if self.below is not None:
            bought = _reordered(used, self.start, below=self.below, tokens=self.purchases["tokens"][0])
            price = mean_price(self.purchases["cost"][0], self.purchases["tokens"][0])
            contract = contract_of_packs(self.offer, [(day, tokens, price) for day, tokens in bought])
        day_after = self.end + _ONE_DAY
        after = first_instants([day_after], self.offer.zone)[day_after]
        charges = self.charges(units / _SCALE for units in used)
        return contract.settle(charges, as_of=after, problems=Problems())

    def _chosen(self, column: str) -> Any:  # noqa: ANN401 - of each column its own
        return self.tried.filter("is_chosen")[column][0]


def contract_of_term(offer: Offer, start: date, *, annual: Decimal, contract: Decimal) -> Contract:
    """The contract of a purchase of Token Flex."""
    total = annual * offer.years + contract
    prices: Sequence[PriceTier] = offer.prices
    if offer.marginal:
        prices = [PriceTier(from_tokens=0, unit_price=mean_price(offer.cost(total), total))]
    begins = [years_later(start, year) for year in range(offer.years + 1)]
    years = [
        ContractYear(
            year=year + 1,
            start=begins[year],
            end=begins[year + 1] - _ONE_DAY,
            tokens=annual,
            carry_over=offer.carry_over and year + 1 < offer.years,
        )
        for year in range(offer.years)
    ]
    return Contract(
        number=offer.number,
        zone=offer.zone,
        years=years,
        contract_tokens=contract,
        prices=prices,
        overage_price=offer.overage_price,
        currency=offer.currency,
        order=offer.order,
    )


def contract_of_packs(offer: Offer, bought: Iterable[tuple[date, Decimal, Decimal]]) -> Contract:
    """The contract of purchases of packs: on which day, how many tokens, at which unit price."""
    packs = [
        Pack(id=order_id(number), tokens=tokens, purchased=day, unit_price=price)
        for number, (day, tokens, price) in enumerate(bought, 1)
    ]
    return Contract(
        number=offer.number, zone=offer.zone, packs=packs, overage_price=offer.overage_price, currency=offer.currency
    )


def order_id(number: int) -> str:
    """The id of the pack of a purchase."""
    return f"order {number}"


def mean_price(cost: Decimal, tokens: Decimal) -> Decimal:
    """The mean unit price to four decimals, half to even; 0 where nothing is bought."""
    return Decimal(round(Fraction(cost) / Fraction(tokens) * _SCALE)).scaleb(-4) if tokens else Decimal(0)


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


def _reordered(used: list[int], start: date, *, below: Decimal, tokens: Decimal) -> list[tuple[date, Decimal]]:
    """The purchases that a reorder point makes on one path; packs end one year later, in the order of purchase."""
    point, size = tables.units(below), tables.units(tokens)
    bought: list[date] = []
    packs: list[list[int]] = []
    for place, units in enumerate(used):
        day = start + place * _ONE_DAY
        packs = [pack for pack in packs if pack[0] > place and pack[1]]
        if sum(left for _, left in packs) < point:
            bought.append(day)
            packs.append([(years_later(day, 1) - start) // _ONE_DAY, size])
        rest = units
        for pack in packs:
            taken = min(rest, pack[1])
            pack[1] -= taken
            rest -= taken
    return [(day, tokens) for day in bought]
