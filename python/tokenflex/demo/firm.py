"""The invented firm of the demo: its license servers, its offices and people, its products and their rates."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import random

DAY = 86_400
HOUR = 3_600
SATURDAY = 5
FIRST_DAY = date(2025, 9, 1)
"""A Monday; the months after it hold the end of summer time in Madrid (26 October) and Chicago (2 November)."""


def instant(year: int, month: int, day: int, hour: int = 0, minute: int = 0, second: int = 0) -> int:  # noqa: PLR0917 - as of `datetime`
    """Seconds since 1970 of a UTC date and time."""
    return int(datetime(year, month, day, hour, minute, second, tzinfo=UTC).timestamp())


@dataclass(frozen=True)
class Zone:
    """A time zone over the years that the demo can cover.

    Kept here as a short table, because a plain installation on Windows has no zone database for Python.
    """

    name: str
    standard: tuple[int, str]
    """Offset in seconds, and what Windows calls it in the log."""
    summer: tuple[int, str] | None = None
    changes: tuple[int, ...] = ()
    """Instants at which summer time ends, begins, ends, … ; it is summer before the first one."""

    def offset(self, at: int) -> int:
        """Seconds east of UTC."""
        return self._at(at)[0]

    def label(self, at: int) -> str:
        """The zone name as the server's operating system spells it."""
        return self._at(at)[1]

    def utc(self, year: int, month: int, day: int, hour: int = 0, minute: int = 0, second: int = 0) -> int:  # noqa: PLR0917 - as of `datetime`
        """The instant of a local date and time (the earlier one where it occurs twice)."""
        local = instant(year, month, day, hour, minute, second)
        guess = local - max(self.standard[0], self.summer[0] if self.summer else self.standard[0])
        return local - self.offset(guess)

    def midnight(self, day: date) -> int:
        """The first instant of a local date."""
        return self.utc(day.year, day.month, day.day)

    def _at(self, at: int) -> tuple[int, str]:
        if self.summer is None or bisect_right(self.changes, at) % 2 == 1:
            return self.standard
        return self.summer


MADRID = Zone(
    "Europe/Madrid",
    standard=(1 * HOUR, "Hora estándar romance"),
    summer=(2 * HOUR, "Hora de verano romance"),
    changes=(instant(2025, 10, 26, 1), instant(2026, 3, 29, 1), instant(2026, 10, 25, 1)),
)
CHICAGO = Zone(
    "America/Chicago",
    standard=(-6 * HOUR, "Central Standard Time"),
    summer=(-5 * HOUR, "Central Daylight Time"),
    changes=(instant(2025, 11, 2, 7), instant(2026, 3, 8, 8), instant(2026, 11, 1, 7)),
)
SINGAPORE = Zone("Asia/Singapore", standard=(8 * HOUR, "Malay Peninsula Standard Time"))
SEOUL = Zone("Asia/Seoul", standard=(9 * HOUR, "Korea Standard Time"))


@dataclass(frozen=True)
class Product:
    """A product as the vendor daemon licenses it."""

    code: str
    name: str
    package: str | None
    """The package's feature code; a point product has none and writes one line where others write two."""
    features: tuple[str, ...]
    """Feature codes of its versions, newest first."""


PRODUCTS = {
    product.code: product
    for product in (
        Product("ACD", "AutoCAD", "64300ACD_F", ("87676ACD_2023_0F", "87545ACD_2022_0F", "87393ACD_2021_0F")),
        Product("RVT", "Revit", "85950RVT_F", ("87688RVT_2023_0F", "87561RVT_2022_0F", "87443RVT_2021_0F")),
        Product("NAVMAN", "Navisworks Manage", "67600NAVMAN_F", ("87696NAVMAN_2023_0F", "87566NAVMAN_2022_0F")),
        Product("CIV3D", "Civil 3D", "64900CIV3D_F", ("87556CIV3D_2022_0F",)),
        Product(
            "INVPROSA", "Inventor Professional", "64801INVPROSA_F", ("87674INVPROSA_2023_0F", "87537INVPROSA_2022_0F")
        ),
        Product("3DSMAX", "3ds Max", "662003DSMAX_F", ("876933DSMAX_2023_0F", "875683DSMAX_2022_0F")),
        Product("INHSMP", "Inventor HSM", None, ("87577INHSMP_2022_0F",)),
        Product("INVNTOR", "Inventor", "85578INVNTOR_F", ("87067INVNTOR_2019_0F",)),
        Product("ARCHDESK", "AutoCAD Architecture", "65300ARCHDESK_F", ("87087ARCHDESK_2019_0F",)),
        Product("VRDPRO", "VRED Professional", "86312VRDPRO_F", ("87182VRDPRO_2019_0F",)),
    )
}
EVERYDAY = ("ACD", "RVT", "NAVMAN", "CIV3D", "INVPROSA", "3DSMAX")
"""What people open beside their main product; of the rest every use is planted."""
UNLICENSED = "87663MAYA_2023_0F"
"""A feature that is asked for and that no license file holds."""
WITHOUT_RATE = "INHSMP"


_DEMO = "demo value, not a price of the vendor"


@dataclass(frozen=True)
class DemoRate:
    """A daily token rate of the demo and where it comes from."""

    product: str
    tokens: Decimal
    effective_from: date | None
    source: str
    family: str = ""
    """Products of one family are similar: a dearer one costs the difference."""

    @property
    def is_invented(self) -> bool:
        """Whether the value was made up for the demo."""
        return self.source == _DEMO


RATES = (
    DemoRate("ACD", Decimal(7), None, "vendor, Flex, 2021"),
    DemoRate("RVT", Decimal(10), None, "third party, Flex"),
    DemoRate("NAVMAN", Decimal(9), None, "third party, Flex, 2026"),
    DemoRate("CIV3D", Decimal(9), None, _DEMO),
    DemoRate("CIV3D", Decimal("9.5"), date(2025, 11, 1), _DEMO),
    DemoRate("INVPROSA", Decimal(8), None, _DEMO, family="Inventor"),
    DemoRate("INVNTOR", Decimal(6), None, _DEMO, family="Inventor"),
    DemoRate("3DSMAX", Decimal("6.5"), None, _DEMO),
    DemoRate("ARCHDESK", Decimal("7.5"), None, _DEMO),
    DemoRate("VRDPRO", Decimal(12), None, _DEMO),
)


@dataclass(frozen=True)
class Server:
    """A license server of the firm."""

    name: str
    zone: Zone
    reports: bool
    """Whether its plug-in tells the vendor about usage."""

    @property
    def first_instant(self) -> int:
        """When the license manager was started, at 06:00 of the first day."""
        return self.zone.midnight(FIRST_DAY) + 6 * HOUR


MAD = Server("mad-lic-01", MADRID, reports=True)
CHI = Server("chi-lic-01", CHICAGO, reports=True)
SIN = Server("sin-lic-01", SINGAPORE, reports=False)
SERVERS = (MAD, CHI, SIN)


@dataclass(frozen=True)
class Person:
    """Someone who draws tokens. The name ends in the office, so that a reader of the tables can place it."""

    name: str
    host: str
    second_host: str | None
    zone: Zone
    server: Server
    other_server: Server | None
    main: str
    others: tuple[str, ...]
    feature: int
    """0 or 1: whether this person runs the newest version of a product or the one before."""
    spelling: str | None
    """A second spelling of the name, under which some machine logs on."""


_BIRDS = (  # noqa: SIM905 - as a list it would take thirty lines
    "bunting curlew dipper dunlin egret falcon finch gannet godwit grebe heron kestrel kite lapwing linnet magpie "
    "nuthatch osprey ouzel owl petrel pipit plover puffin raven redstart shrike siskin skua snipe"
).split()

_OFFICES = (
    # office, zone, people, server, main products
    ("mad", MADRID, 30, MAD, ("ACD", "ACD", "RVT", "CIV3D", "INVPROSA")),
    ("chi", CHICAGO, 22, CHI, ("RVT", "RVT", "ACD", "NAVMAN")),
    ("sgp", SINGAPORE, 12, CHI, ("ACD", "RVT", "3DSMAX")),
    ("sel", SEOUL, 8, CHI, ("RVT", "ACD")),
    ("sin", SINGAPORE, 10, SIN, ("ACD", "CIV3D", "RVT")),
)


def people(rng: random.Random) -> list[Person]:
    """Everyone of the firm. The offices `sgp` and `sel` have no server of their own: they draw from Chicago."""
    staff = []
    for office, zone, count, server, mains in _OFFICES:
        for number, bird in enumerate(_BIRDS[:count], start=1):
            host = f"{office.upper()}-WS-{number:03d}"
            main = mains[number % len(mains)]
            others = tuple(rng.sample([code for code in EVERYDAY if code != main], 2))
            staff.append(
                Person(
                    name=f"{bird}.{office}",
                    host=host,
                    second_host=f"{office.upper()}-LT-{number:03d}" if number % 4 == 0 else None,
                    zone=zone,
                    server=server,
                    other_server=CHI if office == "sin" and number in (1, 2) else None,
                    main=main,
                    others=(*others, WITHOUT_RATE) if number % 9 == 0 else others,
                    feature=number % 2,
                    spelling=f"{bird}.{office}".upper() if number in (5, 19) else None,
                )
            )
    staff.append(ACCENTED)
    return staff


ACCENTED = Person(
    name="Tucán Prueba.mad",
    host="MAD-WS-099",
    second_host=None,
    zone=MADRID,
    server=MAD,
    other_server=None,
    main="ACD",
    others=("RVT", "NAVMAN"),
    feature=0,
    spelling=None,
)
"""A name with an accent and a blank, whose log is written in a Windows code page. Comes in November."""


def last_instant(months: int) -> int:
    """When the logs were collected: 16:00 UTC on the last weekday of the last month, in the midst of work."""
    year, month = divmod(FIRST_DAY.month - 1 + months, 12)
    day = date(FIRST_DAY.year + year, month + 1, 1) - timedelta(days=1)
    while day.weekday() >= SATURDAY:
        day -= timedelta(days=1)
    return instant(day.year, day.month, day.day, 16)
