"""The contract of the demo's firm, and which groups its people belong to. All numbers are made up."""

from __future__ import annotations

import csv
from datetime import date
from typing import TYPE_CHECKING, Final

from tokenflex.contract.contract import Contract
from tokenflex.contract.terms import Booking, ContractYear, PerpetualLicense, PriceTier
from tokenflex.demo.firm import ACCENTED, MADRID, SERVERS, Person
from tokenflex.planning.offer import Offer

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

_MARK: Final = "# All numbers here are demo values, and none is the vendor's.\n"

CONTRACT: Final = Contract(
    number="DEMO-1",
    zone=MADRID.name,
    # Of the second year's tokens the firm uses about 20,000 a month, so they run dry in January, in the midst of a
    # charge.
    years=[
        ContractYear(year=year, start=date(2023 + year, 10, 1), end=date(2024 + year, 9, 30), tokens=69_000)
        for year in (1, 2, 3)
    ],
    contract_tokens=100_000,
    bookings=[
        # Leaves somewhat more than September needs, so that some of the first year's tokens expire.
        Booking(
            day="2025-09-01",
            tokens=-46_500,
            kind="adjustment",
            pool="annual 1",
            reason="used before the logs begin (demo value)",
        ),
    ],
    prices=[
        PriceTier(from_tokens=0, unit_price=3),
        PriceTier(from_tokens=100_000, unit_price="2.85"),
        PriceTier(from_tokens=250_000, unit_price="2.7"),
    ],
    overage_price="3.5",
    servers={server.name: server.zone.name for server in SERVERS},
    perpetual=[PerpetualLicense(product="ACD", seats=25, version="2019")],
)
"""Token Flex over three years. In the default five months the annual tokens end in two ways: some expire, others run
dry and the contract's own are drawn; in a whole year those end too."""

OFFER: Final = Offer(
    years=3,
    zone=MADRID.name,
    number="DEMO-2",
    step=1000,
    prices=CONTRACT.prices,
    overage_price="3.5",
)
"""What the firm is offered for the years to come, at the prices of its contract."""

_TEAMS: Final = {"mad": ("bridges", "roads", "tunnels"), "chi": ("towers", "bridges"), "sin": ("harbours",)}
"""The groups of each office that has a server; the offices that draw from Chicago have groups of their own."""
_CENTRES: Final = {
    "bridges": "4100",
    "roads": "4200",
    "tunnels": "4300",
    "towers": "5100",
    "harbours": "6100",
    "design support": "7000",
}
_SITES: Final = {"mad": "Madrid", "chi": "Chicago", "sgp": "Singapore", "sel": "Seoul", "sin": "Singapore"}


def write_contract(path: Path) -> None:
    """Writes the contract as TOML that says that it is made up."""
    path.write_text(_MARK + CONTRACT.to_toml(), encoding="utf-8", newline="\n")


def write_offer(path: Path) -> None:
    """Writes the offer as TOML that says that it is made up."""
    path.write_text(_MARK + OFFER.to_toml(), encoding="utf-8", newline="\n")


def year_of(day: date) -> int:
    """The number of the contract year that a day lies in."""
    return next(year.year for year in CONTRACT.years if year.start <= day <= year.end)


def write_groups(path: Path, staff: Iterable[Person]) -> None:
    """Writes everyone's group, cost centre and site, but for the one who came last: nobody told the administrator."""
    with path.open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(["person", "group", "cost_centre", "dimension"])
        for number, person in enumerate(each for each in staff if each is not ACCENTED):
            rows.writerows(_memberships(number, person))


def _memberships(number: int, person: Person) -> Iterator[tuple[str, str, str, str]]:
    office = person.name.rpartition(".")[2]
    teams = _TEAMS.get(office, ("design support",))
    team = teams[number % len(teams)]
    yield person.name, team, _CENTRES[team], ""
    yield person.name, _SITES[office], "", "site"
