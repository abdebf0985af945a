"""`PriceList`: what can be had in place of tokens, and what it costs: subscriptions, and licenses that one has.

No price of the vendor is shipped: a price list is the caller's.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from tokenflex.contract.fields import Checks, Exact, built, defaults_of, fill, no_field
from tokenflex.contract.files import parsed_toml, text_in, told_of_file, toml_of

if TYPE_CHECKING:
    from decimal import Decimal
    from typing import TypeAlias

    Fields: TypeAlias = Mapping[str, Any]

_CURRENCY: Final = 3


@dataclass(frozen=True, kw_only=True, init=False)
class Subscription:
    """A named-user subscription of one product, or a collection of several.

    Attributes:
        name: What it is called; no two of a price list have one name.
        products: The product lines that its user may use.
        price: Money for one user and one year, of at most four decimals.

    Raises:
        FieldsError: Fields are wrong; the message names each.

    Example:
        >>> import tokenflex as tf
        >>> tf.Subscription(name="Revit", products=["RVT"], price=2985).products
        ('RVT',)
    """

    name: str
    products: tuple[str, ...]
    price: Decimal

    def __init__(self, *, name: str, products: Iterable[str], price: Exact) -> None:
        checks = Checks()
        fields = {
            "name": checks.text("name", name),
            "products": _products(products, checks),
            "price": checks.price("price", price),
        }
        checks.refuse("subscription")
        fill(self, fields)


@dataclass(frozen=True, kw_only=True, init=False)
class Maintenance:
    """What perpetual or network licenses of a product cost as long as they are kept up.

    Attributes:
        product: The product line.
        price: Money for one license and one year, of at most four decimals.
        owned: How many licenses one has; `None` where that is not known. Token Flex freezes them during its term.

    Raises:
        FieldsError: Fields are wrong; the message names each.

    Example:
        >>> import tokenflex as tf
        >>> tf.Maintenance(product="ACD", price="612.50", owned=40).price
        Decimal('612.5')
    """

    product: str
    price: Decimal
    owned: int | None

    def __init__(self, *, product: str, price: Exact, owned: int | None = None) -> None:
        checks = Checks()
        fields = {
            "product": checks.text("product", product),
            "price": checks.price("price", price),
            "owned": None if owned is None else checks.count("owned", owned),
        }
        checks.refuse("maintenance")
        fill(self, fields)


@dataclass(frozen=True, kw_only=True, init=False)
class PriceList:
    """What can be had in place of tokens, by a price list of yours.

    Attributes:
        subscriptions: Named-user subscriptions and collections.
        maintenance: Perpetual or network licenses that can be kept.
        currency: In which all prices are, as three letters.

    Raises:
        FieldsError: Fields are wrong, two subscriptions have one name, or a product is maintained twice; the message
            names each.

    Example:
        >>> import tokenflex as tf
        >>> price_list = tf.PriceList(
        ...     subscriptions=[
        ...         tf.Subscription(name="Revit", products=["RVT"], price=2985),
        ...         tf.Subscription(name="building collection", products=["RVT", "ACD"], price="3400.50"),
        ...     ],
        ...     maintenance=[tf.Maintenance(product="ACD", price=600, owned=40)])
        >>> tf.PriceList.from_toml(price_list.to_toml()) == price_list
        True
    """

    subscriptions: tuple[Subscription, ...]
    maintenance: tuple[Maintenance, ...]
    currency: str

    def __init__(
        self,
        *,
        subscriptions: Iterable[Subscription] = (),
        maintenance: Iterable[Maintenance] = (),
        currency: str = "USD",
    ) -> None:
        checks = Checks()
        named = _values(subscriptions, Subscription, "subscriptions", checks)
        kept = _values(maintenance, Maintenance, "maintenance", checks)
        _refuse_twice([each.name for each in named], "subscriptions", "name", checks)
        _refuse_twice([each.product for each in kept], "maintenance", "product", checks)
        if checks.text("currency", currency) and not (len(currency) == _CURRENCY and currency.isupper()):
            checks.fault("currency", f"is {currency!r}, but has to be three capital letters such as USD")
        checks.refuse("price list")
        fill(self, {"subscriptions": tuple(named), "maintenance": tuple(kept), "currency": currency})

    def to_toml(self) -> str:
        """The price list as a TOML document; `PriceList.from_toml` reads it back."""
        fields = {
            "currency": self.currency,
            "subscriptions": [
                {"name": each.name, "products": list(each.products), "price": _number(each.price)}
                for each in self.subscriptions
            ],
            "maintenance": [
                {"product": each.product, "price": _number(each.price)}
                | ({} if each.owned is None else {"owned": each.owned})
                for each in self.maintenance
            ],
        }
        return toml_of({name: value for name, value in fields.items() if value})

    @classmethod
    def from_toml(cls, text: str) -> PriceList:
        """The price list of a TOML document: `[[subscriptions]]`, `[[maintenance]]`, `currency`.

        Raises:
            ArgumentError: It is no TOML.
            FieldsError: Fields are wrong; the message names each.
        """
        fields = parsed_toml(text, "the price list")
        checks = Checks()
        known = defaults_of(cls)
        for name in fields:
            if name not in known:
                checks.fault(name, no_field(name, known, "of a price list"))
        parts = {
            name: _parts(fields.get(name, []), kind, name, checks)
            for name, kind in (("subscriptions", Subscription), ("maintenance", Maintenance))
        }
        checks.refuse("price list")
        return cls(**parts, currency=fields.get("currency", known["currency"]))

    @classmethod
    def read(cls, path: str | Path) -> PriceList:
        """The price list in a TOML file.

        Args:
            path: The file.

        Raises:
            SourceNotFoundError: There is no such file.
            SourceError: It cannot be read, or is no TOML.
            FieldsError: Fields are wrong; the message names each.
        """
        text = text_in(Path(path), "price list")
        with told_of_file(path):
            return cls.from_toml(text)


def _number(price: Decimal) -> int | str:
    """A price as TOML has it exactly: a whole number, or text."""
    return int(price) if price == int(price) else str(price)


def _products(products: object, checks: Checks) -> tuple[str, ...]:
    if isinstance(products, str) or not isinstance(products, Iterable):
        checks.fault("products", f'is {products!r}, but has to be a list of product lines such as ["ACD"]')
        return ()
    found = list(products)
    for place, product in enumerate(found):
        checks.text(f"products[{place}]", product)
    if not found:
        checks.fault("products", "is empty, but has to name one product line at least")
    if not checks.fails("products"):
        _refuse_twice(found, "products", "", checks)
    return tuple(found)


def _values(given: object, kind: type[Any], name: str, checks: Checks) -> list[Any]:
    if not isinstance(given, Iterable) or isinstance(given, str):
        checks.fault(name, f"is {given!r}, but has to be a list of tokenflex.{kind.__name__}")
        return []
    found = list(given)
    for place, each in enumerate(found):
        if not isinstance(each, kind):
            checks.fault(f"{name}[{place}]", f"is {each!r}, but has to be a tokenflex.{kind.__name__}")
    return [each for each in found if isinstance(each, kind)]


def _refuse_twice(names: list[str], what: str, field: str, checks: Checks) -> None:
    seen = set()
    for place, name in enumerate(names):
        if name in seen:
            checks.fault(f"{what}[{place}]{'.' if field else ''}{field}", f"is {name!r}, which is there already")
        seen.add(name)


def _parts(given: object, kind: type[Any], name: str, checks: Checks) -> list[Any]:
    """The values of a table of a file."""
    if not isinstance(given, list):
        checks.fault(name, f"has to be tables of fields: write [[{name}]]")
        return []
    found = [built(kind, fields, f"{name}[{place}]", checks) for place, fields in enumerate(given)]
    return [each for each in found if each is not None]
