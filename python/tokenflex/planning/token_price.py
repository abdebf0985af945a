"""What a token costs: one price for all, or by the tiers of an offer."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal, localcontext
from fractions import Fraction
from typing import TYPE_CHECKING, Final

from tokenflex import tables
from tokenflex.contract.fields import Checks
from tokenflex.contract.money import rounded
from tokenflex.errors import ArgumentError
from tokenflex.planning.offer import Offer

if TYPE_CHECKING:
    from tokenflex.contract.fields import Exact

YEAR: Final = 365
PRICE_PLACES: Final = 4
MONEY_PLACES: Final = 8
WHOLE: Final = 100
_DIGITS: Final = 80
"""More than any price times a part has."""


@dataclass(frozen=True)
class TokenPrice:
    """What tokens cost, exactly.

    Attributes:
        unit: Money for a token, where all cost the same.
        offer: The offer whose tiers say it otherwise.
        days: How many days the tokens are of that are priced by an offer.
    """

    unit: Decimal | None
    offer: Offer | None = None
    days: int = 1

    def cost(self, units: int) -> Decimal:
        """What so many units of 1/10,000 token cost.

        By an offer it is their part of what the tokens of the whole term cost, if they go on as in these days.
        """
        if self.unit is not None:
            return rounded(Fraction(units * tables.units(self.unit)), MONEY_PLACES)
        offer, bought = self._offer(), self._quantity(units)
        if bought > self._needed(units):
            part = Fraction(self.days, YEAR * offer.years)
            return rounded(Fraction(offer.cost(bought)) * part * 10**MONEY_PLACES, MONEY_PLACES)
        each = Fraction(offer.cost(bought)) / Fraction(bought) if bought else Fraction(0)
        return rounded(units * each * 10 ** (MONEY_PLACES - PRICE_PLACES), MONEY_PLACES)

    def of_one(self, units: int) -> Decimal:
        """What one of so many costs, rounded to four decimals."""
        if self.unit is not None:
            return self.unit
        offer = self._offer()
        bought = self._quantity(units)
        if not bought:
            return offer.prices[0].unit_price
        return rounded(Fraction(offer.cost(bought)) / Fraction(bought) * 10**PRICE_PLACES, PRICE_PLACES)

    def changed(self, percent: Decimal) -> TokenPrice:
        """All prices higher by so many percent, rounded to the four decimals that a price has."""
        if self.unit is not None:
            return TokenPrice(changed(self.unit, percent))
        offer = self._offer()
        tiers = [
            {"from_tokens": tier.from_tokens, "unit_price": changed(tier.unit_price, percent)} for tier in offer.prices
        ]
        return TokenPrice(None, Offer.from_dict(offer.to_dict() | {"prices": tiers}), self.days)

    def _offer(self) -> Offer:
        assert self.offer is not None  # noqa: S101 - `priced` sees to it that there is one of the two
        return self.offer

    def _needed(self, units: int) -> Decimal:
        """How many tokens the term takes, if use goes on as in these days."""
        return rounded(Fraction(units * YEAR * self._offer().years, self.days), PRICE_PLACES)

    def _quantity(self, units: int) -> Decimal:
        """How many have to be bought for the term."""
        return max(self._needed(units), self._offer().least)


def changed(value: Decimal, percent: Decimal) -> Decimal:
    """A rate or price that is higher by so many percent, rounded to four decimals; half of the last goes to even."""
    with localcontext(prec=_DIGITS):
        return rounded(Fraction(value) * Fraction(WHOLE + percent) / WHOLE * 10**PRICE_PLACES, PRICE_PLACES)


def check_price(token_price: Exact | Offer) -> None:
    """Refuses what is no price, and an offer whose price does not hang on the quantity."""
    if isinstance(token_price, Offer):
        if not token_price.years:
            raise ArgumentError(
                "an offer of packs has a price for each pack, not for a quantity: give the price of a token",
                location="token_price",
            )
        return
    checks = Checks()
    checks.price("token_price", token_price)
    checks.refuse("prices")


def priced(token_price: Exact | Offer, days: int) -> TokenPrice:
    """What was given for the price."""
    if isinstance(token_price, Offer):
        return TokenPrice(None, token_price, days)
    return TokenPrice(Checks().price("token_price", token_price))
