"""The fields of a whole contract: each read, and held against the others."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import pairwise
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from tokenflex.contract.days import ONE_DAY, years_later
from tokenflex.contract.fields import MISSING, Checks, built_parts, no_field, parts, total
from tokenflex.contract.terms import Booking, ContractYear, Pack, PerpetualLicense, PriceTier

if TYPE_CHECKING:
    from datetime import date
    from decimal import Decimal

PARTS: Final[dict[str, type]] = {
    "years": ContractYear,
    "packs": Pack,
    "bookings": Booking,
    "prices": PriceTier,
    "perpetual": PerpetualLicense,
}
"""The fields that are lists, and of what."""

ORDERS: Final = ("annual_first", "contract_first", "earliest_end")
ON_EMPTY: Final = ("overage", "refuse", "error")
SHORTEST_TERM: Final = 2 * 365 * ONE_DAY
LONGEST_TERM: Final = 5
CURRENT_YEAR: Final = "CY"
MULTI_YEAR: Final = "MY"
CONTRACT_POOL: Final = "contract"
TRIAD: Final = (
    "is a redundant triad: distributed servers are supported for Token Flex, a redundant server model is not; "
    "name each distributed server by itself"
)


def annual_pool(year: ContractYear) -> str:
    """The id of the pool of a year's tokens."""
    return f"annual {year.year}"


def checked(given: Mapping[str, Any], checks: Checks) -> dict[str, Any]:
    """The fields as a contract keeps them. What is wrong goes to `checks`."""
    found: dict[str, Any] = {name: parts(name, kind, given[name], checks) for name, kind in PARTS.items()}
    currency = checks.text("currency", given["currency"])
    if currency is not None and not (len(currency) == len("USD") and currency.isascii() and currency.isupper()):
        checks.fault("currency", f"is {currency!r}, but has to be three letters such as EUR")
    overage = given["overage_price"]
    found |= {
        "number": checks.text("number", given["number"]),
        "zone": checks.zone("zone", given["zone"]),
        "contract_tokens": checks.tokens("contract_tokens", given["contract_tokens"]),
        "overage_price": None if overage is None else checks.price("overage_price", overage),
        "currency": currency,
        "order": _order(given["order"], found, checks),
        "on_empty": checks.choice("on_empty", given["on_empty"], ON_EMPTY),
        "products": _products(given["products"], checks),
        "servers": _servers(given["servers"], checks),
    }
    _check_model(found, checks)
    _check_years(found["years"], checks)
    _check_packs(found["packs"], checks)
    _check_prices(found, checks)
    _check_bookings(found, checks)
    return found


def read_parts(given: Mapping[str, Any], checks: Checks) -> dict[str, Any]:
    """The fields with their lists of tables made into lists of values. A part that is wrong is `MISSING` there."""
    found = built_parts(given, PARTS, checks)
    if isinstance(given.get("servers"), list | tuple):
        found["servers"] = _listed_servers(given["servers"], checks)
    return found


def _order(given: object, found: Mapping[str, Any], checks: Checks) -> str | None:
    if given is None:
        return "earliest_end" if found["packs"] else "annual_first"
    order = checks.choice("order", given, ORDERS)
    if found["packs"] and order in ("annual_first", "contract_first"):
        checks.fault("order", f'is "{order}", but packs are always drawn by "earliest_end": leave it out')
    return order


def _products(given: object, checks: Checks) -> frozenset[str] | None:
    if given is None:
        return None
    if isinstance(given, str) or not isinstance(given, Iterable):
        checks.fault("products", f"is {type(given).__name__}, but has to be a list of product lines")
        return None
    products = [checks.text(f"products[{place}]", product) for place, product in enumerate(given)]
    if not products:
        checks.fault("products", "is empty: leave it out if the contract covers all products")
    return frozenset(product for product in products if product is not None)


def _servers(given: object, checks: Checks) -> Mapping[str, str]:
    if not isinstance(given, Mapping):
        checks.fault("servers", f"is {type(given).__name__}, but has to map license servers to IANA zones")
        return MappingProxyType({})
    servers: dict[str, Any] = {}
    for server, zone in given.items():
        where = f'servers["{server}"]'
        if "," in (checks.text(where, server) or ""):
            checks.fault(where, TRIAD)
        servers[server] = checks.zone(where, zone)
    return MappingProxyType(servers)


def _listed_servers(given: Iterable[object], checks: Checks) -> dict[Any, Any]:
    """Servers that a file lists as tables with `name`, `zone` and, if anything, `redundant`."""
    servers: dict[Any, Any] = {}
    for place, each in enumerate(given):
        where = f"servers[{place}]"
        if not isinstance(each, Mapping):
            checks.fault(where, "has to be a table with name and zone")
            continue
        for unknown in each.keys() - {"name", "zone", "redundant"}:
            checks.fault(f"{where}.{unknown}", no_field(unknown, ("name", "redundant", "zone")))
        name = checks.text(f"{where}.name", each.get("name", MISSING))
        if checks.flag(f"{where}.redundant", each.get("redundant", False)):
            checks.fault(where, TRIAD)
        zone = checks.zone(f"{where}.zone", each.get("zone", MISSING))
        if name in servers:
            checks.fault(f"{where}.name", f"is {name!r}, which stands twice")
        if name is not None and zone is not None:
            servers[name] = zone
    return servers


def _check_model(found: Mapping[str, Any], checks: Checks) -> None:
    """Years or packs, and nothing that belongs to the other."""
    if found["years"] and found["packs"]:
        checks.fault("packs", "stand beside years: Token Flex has years, Flex has packs, no contract has both")
    if not found["years"] and not found["packs"] and not checks.fails("years", "packs"):
        checks.fault("years", "are missing, and so are packs: Token Flex has years, Flex has packs")
    if found["packs"] and not found["years"]:
        if found["contract_tokens"]:
            checks.fault("contract_tokens", "belong to Token Flex: leave them out of a contract with packs")
        if found["servers"]:
            checks.fault("servers", "belong to Token Flex: Flex has no license servers")


def _check_years(years: tuple[ContractYear, ...], checks: Checks) -> None:
    if not years:
        return
    for place, year in enumerate(years):
        if year.year != place + 1:
            checks.fault(f"years[{place}].year", f"is {year.year}, but has to be {place + 1}: years stand in order")
    for place, (before, year) in enumerate(pairwise(years), 1):
        due = before.end + ONE_DAY
        if year.start != due:
            what = "they overlap" if year.start < due else "there is a gap"
            said = f"is {year.start}, but years[{place - 1}] ends on {before.end}: {what}, it has to be {due}"
            checks.fault(f"years[{place}].start", said)
    if years[-1].carry_over:
        checks.fault(f"years[{len(years) - 1}].carry_over", "is true, but there is no later year to carry to")
    if not checks.fails("years["):
        _check_term(years[0].start, years[-1].end, checks)


def _check_term(start: date, end: date, checks: Checks) -> None:
    """Two years of 365 days at least, the fifth anniversary at most."""
    if end + ONE_DAY - start < SHORTEST_TERM or end >= years_later(start, LONGEST_TERM):
        said = f"make a term of {start} to {end}, but the term of a Token Flex contract is two to five years"
        checks.fault("years", said)


def _check_packs(packs: tuple[Pack, ...], checks: Checks) -> None:
    seen: dict[str, int] = {}
    for place, pack in enumerate(packs):
        first = seen.setdefault(pack.id, place)
        if first != place:
            checks.fault(f"packs[{place}].id", f"is {pack.id!r}, which packs[{first}] has already")


def check_tiers(prices: tuple[PriceTier, ...], checks: Checks) -> None:
    """Each tier of prices begins above the one before."""
    for place, (before, tier) in enumerate(pairwise(prices), 1):
        if tier.from_tokens <= before.from_tokens:
            said = f"is {tier.from_tokens}, but has to exceed {before.from_tokens} of the tier before"
            checks.fault(f"prices[{place}].from_tokens", said)


def _check_prices(found: Mapping[str, Any], checks: Checks) -> None:
    prices: tuple[PriceTier, ...] = found["prices"]
    check_tiers(prices, checks)
    if not prices:
        return
    for what, tokens in _purchases(found):
        if tokens < prices[0].from_tokens:
            said = f"is {prices[0].from_tokens}, but {what} of {tokens}: no tier says what they cost"
            checks.fault("prices[0].from_tokens", said)


def _purchases(found: Mapping[str, Any]) -> Iterable[tuple[str, Decimal]]:
    """What was bought under the prices, in words and in tokens."""
    for place, pack in enumerate(found["packs"]):
        if pack.unit_price is None:
            yield f"packs[{place}] is a purchase", pack.tokens
    if found["years"] and found["contract_tokens"] is not None:
        yield "the contract is a purchase", total([found["contract_tokens"], *(year.tokens for year in found["years"])])


def _check_bookings(found: Mapping[str, Any], checks: Checks) -> None:
    lives = _lives(found)
    if not lives:
        return
    for place, booking in enumerate(found["bookings"]):
        day, where = booking.day, f"bookings[{place}]"
        if booking.kind == "move" and found["years"]:
            checks.fault(f"{where}.kind", 'is "move", but teams belong to Flex: a Token Flex contract has none')
        elif booking.pool is None or (booking.pool == CURRENT_YEAR and found["years"]):
            if not any(start <= day <= end for start, end in lives.values()):
                checks.fault(f"{where}.day", f"is {day}, but no pool of the contract is open then")
        else:
            name = CONTRACT_POOL if booking.pool == MULTI_YEAR and found["years"] else booking.pool
            if name not in lives:
                known = ", ".join(repr(each) for each in lives)
                checks.fault(f"{where}.pool", f"is {booking.pool!r}, but there is no such pool; there are {known}")
            elif not lives[name][0] <= day <= lives[name][1]:
                said = f"is {day}, but the pool {name!r} lasts from {lives[name][0]} to {lives[name][1]}"
                checks.fault(f"{where}.day", said)


def _lives(found: Mapping[str, Any]) -> dict[str, tuple[date, date]]:
    """The first and the last day of each pool."""
    lives = {annual_pool(year): (year.start, year.end) for year in found["years"]}
    if lives:
        lives[CONTRACT_POOL] = (found["years"][0].start, found["years"][-1].end)
    return lives | {pack.id: (pack.start, pack.end) for pack in found["packs"]}
