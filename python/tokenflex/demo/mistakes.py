"""What the vendor gets wrong in the demo's statement: each mistake with the use that it is about.

All of it lies in October 2025, in the office in Madrid, on machines that are used for nothing else and mostly in a
product that nobody uses otherwise, so that whatever else happens on these days cannot hide or explain it.
"""

from __future__ import annotations

from datetime import date, timedelta
from typing import TYPE_CHECKING, Final, NamedTuple

from tokenflex.demo.firm import CHI, HOUR, MAD, PRODUCTS, SATURDAY, Server
from tokenflex.demo.use import MINUTE, Use

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

FIRST: Final = date(2025, 10, 6)


class Mistake(NamedTuple):
    """One of the vendor's mistakes, or one person's two spellings, which are nobody's mistake."""

    cause: str
    """As `double_charges` calls it."""
    uses: tuple[Use, ...]
    """What was used; the last one is what the vendor charged a second time."""


def mistakes() -> tuple[Mistake, ...]:
    """All of them, each on a day of its own."""
    days = _working_days()
    return tuple(
        Mistake(cause, make(number, next(days))) for cause, (times, make) in _MAKERS.items() for number in range(times)
    )


def _working_days() -> Iterator[date]:
    day = FIRST
    while True:
        if day.weekday() < SATURDAY:
            yield day
        day += timedelta(days=1)


def _use(
    user: str, day: date, begin: float, minutes: int, code: str = "ARCHDESK", *, server: Server = MAD, reason: str = ""
) -> Use:
    """Use from an hour of Madrid on."""
    start = MAD.zone.midnight(day) + round(begin * HOUR)
    product = PRODUCTS[code]
    host = "MAD-LAB-01" if code == "VRDPRO" else f"MAD-LAB-{len(user):02d}"
    return Use(server, user, host, product, product.features[0], start, start + minutes * MINUTE, reason)


def _two_servers(number: int, day: date) -> tuple[Use, ...]:
    """In the morning at home, in the afternoon on the server in Chicago, where it is the same date."""
    user = ("dipper.mad", "falcon.mad", "heron.mad")[number]
    return _use(user, day, 9.5, 80), _use(user, day, 16.2, 65, server=CHI)


def _reconnect(number: int, day: date) -> tuple[Use, ...]:
    """The server takes an idle license back; the user fetches it again after some minutes."""
    user = ("kestrel.mad", "linnet.mad", "osprey.mad")[number]
    return _use(user, day, 10.1, 95, reason="INACTIVE"), _use(user, day, 11.8, 120)


def _identity(number: int, day: date) -> tuple[Use, ...]:
    """The name in capitals on another machine: to the vendor another person."""
    user = ("egret.mad", "ouzel.mad")[number]
    return _use(user, day, 9.1, 70), _use(user.upper(), day, 12.4, 45)


def _variant(number: int, day: date) -> tuple[Use, ...]:
    """A row that names the product by its feature code."""
    user = ("magpie.mad", "petrel.mad")[number]
    return _use(user, day, 8.6, 50), _use(user, day, 15.0, 75)


def _missing_increment(number: int, day: date) -> tuple[Use, ...]:
    """The dearer product of a family, at its full price though the other one had been paid."""
    user = ("raven.mad", "siskin.mad")[number]
    return _use(user, day, 4.6, 20, "INVNTOR"), _use(user, day, 5.2, 35, "INVPROSA")


def _below_minimum(number: int, day: date) -> tuple[Use, ...]:
    """Opened once more for two minutes."""
    user = ("grebe.mad", "owl.mad", "snipe.mad")[number]
    return _use(user, day, 9.0, 130), _use(user, day, 17.1, 2)


def _swapped_machine(number: int, day: date) -> tuple[Use, ...]:
    """Two people on one machine, which pays once."""
    first, second = (("curlew.mad", "finch.mad"), ("finch.mad", "curlew.mad"))[number]
    return _use(first, day, 9.3, 60, "VRDPRO"), _use(second, day, 13.5, 90, "VRDPRO")


def _manual_duplicate(number: int, day: date) -> tuple[Use, ...]:
    """Entered by hand, though the server had told of it."""
    return (_use(("skua.mad", "redstart.mad")[number], day, 9.8, 200),)


_MAKERS: Final[dict[str, tuple[int, Callable[[int, date], tuple[Use, ...]]]]] = {
    "two_servers": (3, _two_servers),
    "reconnect": (3, _reconnect),
    "identity": (2, _identity),
    "variant": (2, _variant),
    "missing_increment": (2, _missing_increment),
    "below_minimum": (3, _below_minimum),
    "swapped_machine": (2, _swapped_machine),
    "manual_duplicate": (2, _manual_duplicate),
}
"""How often each is made. A window that drifts is not among them: one of 24 hours cannot end twice in a day."""
