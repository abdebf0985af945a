"""The terms of a contract as values: years, packs, top-ups, bookings, prices, perpetual licenses, and their pools."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from tokenflex.contract.days import LAST_DAY, ONE_DAY, years_later
from tokenflex.contract.fields import Checks, Day, Exact, fill

if TYPE_CHECKING:
    from datetime import date, datetime
    from decimal import Decimal

BookingKind: TypeAlias = Literal["adjustment", "manual_consumption", "move"]
PoolKind: TypeAlias = Literal["annual", "contract", "pack"]

MULTI_YEAR: Final = "MY"
"""The vendor's word for the pool of the whole term."""
KINDS: Final = ("adjustment", "manual_consumption", "move")


@dataclass(frozen=True, kw_only=True, init=False)
class ContractYear:
    """One year of a Token Flex contract and the annual tokens that end with it.

    Attributes:
        year: Its number, from 1.
        start: Its first day.
        end: Its last day. A year may be longer or shorter than 365 days.
        tokens: Its annual tokens, of at most four decimals.
        carry_over: Whether what is left at its end goes to the next year's tokens instead of expiring.

    Raises:
        FieldsError: Fields are wrong; the message names each.

    Example:
        >>> import tokenflex as tf
        >>> tf.ContractYear(year=1, start="2024-02-01", end="2025-01-31", tokens=344000).tokens
        Decimal('344000.0000')
    """

    year: int
    start: date
    end: date
    tokens: Decimal
    carry_over: bool

    def __init__(self, *, year: int, start: Day, end: Day, tokens: Exact, carry_over: bool = False) -> None:
        checks = Checks()
        first, last = checks.day("start", start), checks.day("end", end)
        if first is not None and last is not None and last < first:
            checks.fault("end", f"is {last}, before the start {first}")
        fields = {
            "year": checks.count("year", year),
            "start": first,
            "end": last,
            "tokens": checks.tokens("tokens", tokens),
            "carry_over": checks.flag("carry_over", carry_over),
        }
        checks.refuse("contract year")
        fill(self, fields)


@dataclass(frozen=True, kw_only=True, init=False)
class Pack:
    """Tokens of Flex that were bought together and expire together.

    Attributes:
        id: Its name, such as the order's number; each pack has one of its own.
        tokens: How many, more than 0, of at most four decimals.
        purchased: The day on which it was bought.
        end: The last day on which it can be used. Unless given it ends one year after purchase: the last day is the one
            before the same date of the next year, 28 February for a pack bought on 29 February.
        unit_price: What one of its tokens cost, of at most four decimals; None if the contract's prices say so.
        received: The day on which it came from another team; before, this team could not use it. None if it was this
            team's from the first.

    Raises:
        FieldsError: Fields are wrong; the message names each.

    Example:
        >>> import tokenflex as tf
        >>> tf.Pack(id="order 7", tokens=500, purchased="2024-02-29", unit_price="2.85").end
        datetime.date(2025, 2, 28)
    """

    id: str
    tokens: Decimal
    purchased: date
    end: date
    unit_price: Decimal | None
    received: date | None

    def __init__(
        self,
        *,
        id: str,  # noqa: A002 - the name of the field
        tokens: Exact,
        purchased: Day,
        end: Day | None = None,
        unit_price: Exact | None = None,
        received: Day | None = None,
    ) -> None:
        checks = Checks()
        bought = checks.day("purchased", purchased)
        last = None if end is None else checks.day("end", end)
        if end is None and bought is not None:
            last = years_later(bought, 1) - ONE_DAY
            if last > LAST_DAY:
                checks.fault("purchased", f"is {bought}, and the pack would end after {LAST_DAY}")
        came = None if received is None else checks.day("received", received)
        if bought is not None and last is not None:
            if last < bought:
                checks.fault("end", f"is {last}, before the purchase on {bought}")
            elif came is not None and not bought <= came <= last:
                checks.fault("received", f"is {came}, but has to lie in {bought} to {last}, the life of the pack")
        fields = {
            "id": checks.text("id", id),
            "tokens": checks.tokens("tokens", tokens, or_none=False),
            "purchased": bought,
            "end": last,
            "unit_price": None if unit_price is None else checks.price("unit_price", unit_price),
            "received": came,
        }
        checks.refuse("pack")
        fill(self, fields)

    @property
    def start(self) -> date:
        """The first day on which this team can use it."""
        return self.received or self.purchased


@dataclass(frozen=True, kw_only=True, init=False)
class TopUp:
    """Tokens of Token Flex that were bought in mid-term. They end with the pool that they top up.

    Attributes:
        day: The day on which they were bought.
        tokens: How many, more than 0, of at most four decimals.
        pool: Which pool they top up: its id, `"annual 2"` or `"contract"`; or `"CY"`, the annual pool of the day's
            contract year, or `"MY"`, the contract's own, as the vendor spells them. They are a pool of their own, drawn
            from behind that one, usable from the day on, but not before that one opens.
        unit_price: What one of them cost, of at most four decimals; None if the contract's prices say so.

    Raises:
        FieldsError: Fields are wrong; the message names each.

    Example:
        >>> import tokenflex as tf
        >>> tf.TopUp(day="2024-07-01", tokens=20000, unit_price="3.1").pool
        'MY'
    """

    day: date
    tokens: Decimal
    pool: str
    unit_price: Decimal | None

    def __init__(self, *, day: Day, tokens: Exact, pool: str = MULTI_YEAR, unit_price: Exact | None = None) -> None:
        checks = Checks()
        fields = {
            "day": checks.day("day", day),
            "tokens": checks.tokens("tokens", tokens, or_none=False),
            "pool": checks.text("pool", pool),
            "unit_price": None if unit_price is None else checks.price("unit_price", unit_price),
        }
        checks.refuse("top-up")
        fill(self, fields)


@dataclass(frozen=True, kw_only=True, init=False)
class Booking:
    """What was booked on the balance besides charges.

    Attributes:
        day: The day of it; it is booked at the day's first instant in the contract's zone.
        tokens: An adjustment adds to the balance, or takes from it if negative. Manual consumption and moves take, and
            are more than 0. Of at most four decimals.
        kind: `"adjustment"`: the vendor's correction of the balance. `"manual_consumption"`: use outside of the
            network. `"move"`: tokens of a pack that went to another team.
        pool: Which pool: its id; or `"CY"`, the annual pool of the day's contract year, or `"MY"`, the contract's own,
            as the vendor spells them. None: in the order of the contract.
        reason: Why, in words.
        team: Of a move the team that got the tokens.

    Raises:
        FieldsError: Fields are wrong; the message names each.

    Example:
        >>> import tokenflex as tf
        >>> tf.Booking(day="2024-07-01", tokens=3217, kind="manual_consumption", pool="MY").tokens
        Decimal('3217.0000')
    """

    day: date
    tokens: Decimal
    kind: BookingKind
    pool: str | None
    reason: str
    team: str | None

    def __init__(
        self,
        *,
        day: Day,
        tokens: Exact,
        kind: BookingKind,
        pool: str | None = None,
        reason: str = "",
        team: str | None = None,
    ) -> None:
        checks = Checks()
        what = checks.choice("kind", kind, KINDS)
        # Of an unknown kind no sign is wrong.
        is_signed = what in ("adjustment", None)
        booked = checks.exact("tokens", tokens) if is_signed else checks.tokens("tokens", tokens, or_none=False)
        if is_signed and booked == 0:
            checks.fault("tokens", "is 0, which changes nothing")
        if what == "move" and pool is None:
            checks.fault("pool", "is missing: a move takes from one pack, name it")
        if what == "move" and team is None:
            checks.fault("team", "is missing: name the team that got the tokens")
        if what not in ("move", None) and team is not None:
            checks.fault("team", f"has no meaning for {what}: leave it out")
        fields = {
            "day": checks.day("day", day),
            "tokens": booked,
            "kind": what,
            "pool": None if pool is None else checks.text("pool", pool),
            "reason": checks.text("reason", reason, or_empty=True),
            "team": None if team is None else checks.text("team", team),
        }
        checks.refuse("booking")
        fill(self, fields)


@dataclass(frozen=True, kw_only=True, init=False)
class PriceTier:
    """The unit price of a purchase from some quantity on. It holds for all tokens of the purchase.

    Attributes:
        from_tokens: The least quantity for which it holds.
        unit_price: What one token costs, of at most four decimals.

    Raises:
        FieldsError: Fields are wrong; the message names each.

    Example:
        >>> import tokenflex as tf
        >>> tf.PriceTier(from_tokens=5000, unit_price="2.85").unit_price
        Decimal('2.85')
    """

    from_tokens: Decimal
    unit_price: Decimal

    def __init__(self, *, from_tokens: Exact, unit_price: Exact) -> None:
        checks = Checks()
        fields = {
            "from_tokens": checks.tokens("from_tokens", from_tokens),
            "unit_price": checks.price("unit_price", unit_price),
        }
        checks.refuse("price tier")
        fill(self, fields)


@dataclass(frozen=True, kw_only=True, init=False)
class PerpetualLicense:
    """Seats that were bought for good. While a Token Flex contract runs they are frozen.

    Attributes:
        product: The product line.
        seats: How many, from 1.
        version: The release that they are for, or None.

    Raises:
        FieldsError: Fields are wrong; the message names each.

    Example:
        >>> import tokenflex as tf
        >>> tf.PerpetualLicense(product="ACD", seats=40, version="2016").seats
        40
    """

    product: str
    seats: int
    version: str | None

    def __init__(self, *, product: str, seats: int, version: str | None = None) -> None:
        checks = Checks()
        fields = {
            "product": checks.text("product", product),
            "seats": checks.count("seats", seats),
            "version": None if version is None else checks.text("version", version),
        }
        checks.refuse("perpetual license")
        fill(self, fields)


@dataclass(frozen=True, kw_only=True)
class Pool:
    """Tokens that open, are drawn from and expire together, as a contract makes them.

    Attributes:
        id: `"annual 1"` for the first year's tokens, `"contract"` for those of the whole term, `"top-up 1"` for the
            first top-up, a pack's id.
        kind: `"annual"`, `"contract"` or `"pack"`.
        tokens: How many it opens with.
        opens: The first instant at which it can be drawn from, in UTC.
        closes: The first instant at which it cannot any more, in UTC.
        end: Its last day in the contract's zone.
        unit_price: What one of its tokens cost, or None where no price is known.
        carries_to: The id of the pool that gets what is left at its close; None where that expires.
    """

    id: str
    kind: PoolKind
    tokens: Decimal
    opens: datetime
    closes: datetime
    end: date
    unit_price: Decimal | None
    carries_to: str | None
