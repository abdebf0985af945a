"""What subscriptions and maintenance cost in the demo. All prices are made up."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tokenflex.demo.contract import CONTRACT
from tokenflex.planning.price_list import Maintenance, PriceList, Subscription

if TYPE_CHECKING:
    from pathlib import Path

_MARK: Final = "# All prices here are demo values, and none is the vendor's.\n"
PRICES: Final = PriceList(
    subscriptions=[
        Subscription(name="AutoCAD", products=["ACD"], price=2000),
        Subscription(name="Revit", products=["RVT"], price=2985),
        Subscription(name="Civil 3D", products=["CIV3D"], price=2800),
        Subscription(name="3ds Max", products=["3DSMAX"], price=2000),
        Subscription(name="Inventor", products=["INVPROSA", "INVNTOR"], price=2500),
        Subscription(
            name="building collection", products=["ACD", "ARCHDESK", "RVT", "CIV3D", "NAVMAN", "3DSMAX"], price=3600
        ),
    ],
    maintenance=[Maintenance(product=each.product, price=650, owned=each.seats) for each in CONTRACT.perpetual],
)
"""Some of the firm are above a break-even and most are not."""


def write_price_list(path: Path) -> None:
    """Writes the price list as TOML that says that they are made up."""
    path.write_text(_MARK + PRICES.to_toml(), encoding="utf-8", newline="\n")
