"""`Offer`: what the vendor would sell, at what price: the terms among which a purchase is chosen."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

from tokenflex.contract.fields import (
    MISSING,
    Checks,
    Exact,
    built_parts,
    defaults_of,
    fill,
    no_field,
    parts,
    plain,
    plain_value,
)
from tokenflex.contract.files import parsed_toml, told_of_file, toml_of
from tokenflex.contract.terms import PriceTier
from tokenflex.contract.whole import LONGEST_TERM, ORDERS, check_tiers
from tokenflex.errors import ArgumentError, SourceError, SourceNotFoundError

if TYPE_CHECKING:
    from tokenflex.contract.contract import Order

OfferedPool: TypeAlias = Literal["annual", "contract"]

POOLS: Final = ("annual", "contract")
SHORTEST_TERM: Final = 2
_ONE: Final = Decimal("1.0000")
_ZERO: Final = Decimal("0.0000")
_TOKEN_FLEX_ONLY: Final = ("years", "pools", "minimum", "step", "order", "carry_over")


@dataclass(frozen=True, kw_only=True, init=False)
class PackOffer:
    """A pack of Flex tokens that can be bought, on any day and any number of times.

    Attributes:
        tokens: How many, more than 0, of at most four decimals.
        unit_price: What one of its tokens costs, of at most four decimals; None if the offer's prices say so.

    Raises:
        FieldsError: Fields are wrong; the message names each.

    Example:
        >>> import tokenflex as tf
        >>> tf.PackOffer(tokens=500, unit_price=3).tokens
        Decimal('500.0000')
    """

    tokens: Decimal
    unit_price: Decimal | None

    def __init__(self, *, tokens: Exact, unit_price: Exact | None = None) -> None:
        checks = Checks()
        fields = {
            "tokens": checks.tokens("tokens", tokens, or_none=False),
            "unit_price": None if unit_price is None else checks.price("unit_price", unit_price),
        }
        checks.refuse("pack offer")
        fill(self, fields)


_PARTS: Final[dict[str, type]] = {"prices": PriceTier, "packs": PackOffer}


@dataclass(frozen=True, kw_only=True, init=False)
class Offer:
    """What can be bought: Token Flex if it has years, Flex if it has packs.

    Attributes:
        overage_price: What a token costs that was not bought: overage, or the top-up that has to be bought instead.
            Without it nothing says what running out costs.
        years: The term of Token Flex, two to five years.
        pools: Which tokens of Token Flex are on offer: `"annual"`, the same in each year, `"contract"`, for the whole
            term, or both.
        prices: Unit prices by the quantity of a purchase, from the least on. The purchase of Token Flex is all annual
            and contract tokens together; of Flex it is the pack.
        marginal: False: the price of the last tier that is reached holds for the whole purchase, as in `PriceTier`.
            True: each tier's price holds for the tokens from it up to the next.
        packs: The packs of Flex that are on offer.
        minimum: The least that can be bought of Token Flex in all. The first tier of `prices` is a minimum, too.
        step: Annual tokens and contract tokens are multiples of it.
        order: Which pool is drawn from first, see `Contract`.
        carry_over: Whether annual tokens that are left go to the next year instead of expiring.
        zone: The IANA zone in whose days the contract would count.
        currency: In which the prices are, as three letters.
        number: The number of the contract that a plan makes, as text.

    Raises:
        FieldsError: Fields are wrong. The message names each, not only the first.

    Example:
        >>> import tokenflex as tf
        >>> offer = tf.Offer(years=3, overage_price="3.5", prices=[
        ...     tf.PriceTier(from_tokens=0, unit_price=3), tf.PriceTier(from_tokens=100_000, unit_price="2.85")])
        >>> offer.cost(100_000)
        Decimal('285000.00000000')
    """

    overage_price: Decimal
    years: int
    pools: tuple[OfferedPool, ...]
    prices: tuple[PriceTier, ...]
    marginal: bool
    packs: tuple[PackOffer, ...]
    minimum: Decimal
    step: Decimal
    order: Order
    carry_over: bool
    zone: str
    currency: str
    number: str

    def __init__(
        self,
        *,
        overage_price: Exact,
        years: int = 0,
        pools: Iterable[OfferedPool] = ("annual", "contract"),
        prices: Iterable[PriceTier] = (),
        marginal: bool = False,
        packs: Iterable[PackOffer] = (),
        minimum: Exact = 0,
        step: Exact = 1,
        order: Order | None = None,
        carry_over: bool = False,
        zone: str = "UTC",
        currency: str = "USD",
        number: str = "plan",
    ) -> None:
        given = {
            "overage_price": overage_price,
            "years": years,
            "pools": pools,
            "prices": prices,
            "marginal": marginal,
            "packs": packs,
            "minimum": minimum,
            "step": step,
            "order": order,
            "carry_over": carry_over,
            "zone": zone,
            "currency": currency,
            "number": number,
        }
        checks = Checks()
        fields = _checked(given, checks)
        checks.refuse("offer")
        fill(self, fields)

    @property
    def model(self) -> Literal["token_flex", "flex"]:
        """`"token_flex"` or `"flex"`."""
        return "token_flex" if self.years else "flex"

    @property
    def least(self) -> Decimal:
        """The least that can be bought of Token Flex."""
        return max(self.minimum, self.prices[0].from_tokens) if self.prices else self.minimum

    def cost(self, tokens: Exact) -> Decimal:
        """What one purchase of so many tokens costs, by the tiers, exactly; a pack's own price is not looked at.

        Args:
            tokens: How many, of at most four decimals. None at all cost nothing.

        Returns:
            Money, of eight decimals.

        Raises:
            FieldsError: It is no number of tokens.
            ArgumentError: No tier begins at or below it.

        Example:
            >>> import tokenflex as tf
            >>> tiers = [tf.PriceTier(from_tokens=0, unit_price=3), tf.PriceTier(from_tokens=5000, unit_price=2)]
            >>> tf.Offer(years=2, overage_price=4, prices=tiers).cost(6000)
            Decimal('12000.00000000')
            >>> tf.Offer(years=2, overage_price=4, prices=tiers, marginal=True).cost(6000)
            Decimal('17000.00000000')
        """
        checks = Checks()
        exact = checks.tokens("tokens", tokens)
        checks.refuse("purchase")
        if not exact:
            return _money(0)
        units = _units(exact)
        reached = [tier for tier in self.prices if tier.from_tokens <= exact]
        if not reached:
            raise ArgumentError(f"no tier of the offer says what {exact} tokens cost", location="tokens")
        if not self.marginal:
            return _money(units * _units(reached[-1].unit_price))
        bounds = [_units(tier.from_tokens) for tier in reached[1:]]
        parts = zip([0, *bounds], [*bounds, units], reached, strict=True)
        return _money(sum((until - since) * _units(tier.unit_price) for since, until, tier in parts))

    def cost_of_pack(self, pack: PackOffer) -> Decimal:
        """What a pack costs: at its own price, or at that of the tiers."""
        if pack.unit_price is None:
            return self.cost(pack.tokens)
        return _money(_units(pack.tokens) * _units(pack.unit_price))

    def to_dict(self) -> dict[str, Any]:
        """The offer as plain values, without fields that say nothing."""
        said = {name: getattr(self, name) for name in defaults_of(Offer)}
        found: dict[str, Any] = {}
        for name, value in said.items():
            if name in _PARTS:
                found |= {name: [plain(part) for part in value]} if value else {}
            elif name == "pools":
                found[name] = list(value)
            else:
                found[name] = plain_value(value) if isinstance(value, Decimal) else value
        return found if self.years else {name: found[name] for name in found if name not in _TOKEN_FLEX_ONLY}

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> Offer:
        """The offer of `to_dict`. What is wrong is named in one `FieldsError`."""
        if not isinstance(fields, Mapping):
            raise ArgumentError(f"an offer has to be a table of fields, not {type(fields).__name__}")
        checks = Checks()
        known = defaults_of(cls)
        for name in fields:
            if name not in known:
                checks.fault(str(name), no_field(name, known, "of an offer"))
        given = known | {name: value for name, value in fields.items() if name in known}
        given = built_parts(given, _PARTS, checks)
        whole = _checked(given, checks)
        checks.refuse("offer")
        offer = object.__new__(cls)
        fill(offer, whole)
        return offer

    def to_toml(self) -> str:
        """The offer as a TOML document; `Offer.from_toml` reads it back."""
        return toml_of(self.to_dict())

    @classmethod
    def from_toml(cls, text: str) -> Offer:
        """The offer of a TOML document. Numbers are read digit by digit."""
        return cls.from_dict(parsed_toml(text, "the offer"))

    @classmethod
    def read(cls, path: str | Path) -> Offer:
        """The offer in a TOML file.

        Raises:
            SourceNotFoundError: There is no such file.
            SourceError: It cannot be read as text, or is no TOML.
            FieldsError: Fields are wrong; the message names each.
        """
        try:
            text = Path(path).read_text(encoding="utf-8-sig")
        except FileNotFoundError as error:
            raise SourceNotFoundError(f"there is no offer {path}", location=str(path)) from error
        except (OSError, UnicodeDecodeError) as error:
            raise SourceError(f"{path} cannot be read: {error}", location=str(path)) from error
        with told_of_file(path):
            return cls.from_toml(text)


def _checked(given: Mapping[str, Any], checks: Checks) -> dict[str, Any]:
    """The fields as an offer keeps them. What is wrong goes to `checks`."""
    found: dict[str, Any] = {name: parts(name, kind, given[name], checks) for name, kind in _PARTS.items()}
    currency = checks.text("currency", given["currency"])
    if currency is not None and not (len(currency) == len("USD") and currency.isascii() and currency.isupper()):
        checks.fault("currency", f"is {currency!r}, but has to be three letters such as EUR")
    order = given["order"]
    found |= {
        "overage_price": _overage_price(given["overage_price"], checks),
        "years": _years(given["years"], checks),
        "pools": _pools(given["pools"], checks),
        "marginal": checks.flag("marginal", given["marginal"]),
        "minimum": checks.tokens("minimum", given["minimum"]),
        "step": checks.tokens("step", given["step"], or_none=False),
        "carry_over": checks.flag("carry_over", given["carry_over"]),
        "zone": checks.zone("zone", given["zone"]),
        "currency": currency,
        "number": checks.text("number", given["number"]),
    }
    default = "annual_first" if found["years"] else "earliest_end"
    found["order"] = default if order is None else checks.choice("order", order, ORDERS)
    check_tiers(found["prices"], checks)
    _check_model(found, order, checks)
    return found


def _overage_price(given: object, checks: Checks) -> Decimal | None:
    if given is MISSING or given is None:
        checks.fault("overage_price", "is missing: what does a token cost that was not bought?")
        return None
    return checks.price("overage_price", given)


def _years(given: object, checks: Checks) -> int:
    if (
        isinstance(given, int)
        and not isinstance(given, bool)
        and (given == 0 or SHORTEST_TERM <= given <= LONGEST_TERM)
    ):
        return given
    checks.fault("years", f"is {given!r}, but the term of Token Flex is {SHORTEST_TERM} to {LONGEST_TERM} years")
    return 0


def _pools(given: object, checks: Checks) -> tuple[str, ...]:
    pools = tuple(given) if isinstance(given, Iterable) and not isinstance(given, str | Mapping) else ()
    if not pools or any(pool not in POOLS for pool in pools) or len(set(pools)) < len(pools):
        checks.fault("pools", f"is {given!r}, but has to name one or both of {', '.join(POOLS)}, in a list")
    return pools


def _check_model(found: Mapping[str, Any], order: object, checks: Checks) -> None:
    years, packs, prices = found["years"], found["packs"], found["prices"]
    if checks.fails("years", "packs", "prices"):
        return
    if years and packs:
        checks.fault("packs", "stand beside years: Token Flex has years, Flex has packs, no offer has both")
    elif years and not prices:
        checks.fault("prices", "are missing: what does a token cost, from which quantity on?")
    elif not years and not packs:
        checks.fault("years", "are missing, and so are packs: Token Flex has years, Flex has packs")
    elif packs:
        _check_flex(found, order, checks)


def _check_flex(found: Mapping[str, Any], order: object, checks: Checks) -> None:
    for place, pack in enumerate(found["packs"]):
        if pack.unit_price is None and not any(tier.from_tokens <= pack.tokens for tier in found["prices"]):
            checks.fault(
                f"packs[{place}].unit_price", "is missing, and no tier of prices begins at or below its tokens"
            )
    given = {"minimum": found["minimum"] not in (None, _ZERO), "step": found["step"] not in (None, _ONE)}
    given |= {"order": order not in (None, "earliest_end"), "carry_over": bool(found["carry_over"])}
    for name, is_given in given.items():
        if is_given:
            checks.fault(name, "belongs to Token Flex: leave it out of an offer of packs")


def _units(value: Decimal) -> int:
    return int(value.scaleb(4))


def _money(units: int) -> Decimal:
    """From units of 1/100,000,000."""
    return Decimal(units).scaleb(-8)
