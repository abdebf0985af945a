"""A firm whose use doubles nothing, and each cause of double charges planted into it a known number of times."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import polars as pl

import tokenflex as tf
import vendor_exports as vendor
from tokenflex import tables

SERVERS = {"mad": "Europe/Madrid", "chi": "America/Chicago", "sin": "Asia/Singapore"}
RULE = replace(tf.TOKEN_FLEX, min_duration=timedelta(minutes=5), machine_metered=frozenset({"VRDPRO"}))
RATES = tf.Rates(
    [
        tf.Rate("ACD", Decimal(7)),
        tf.Rate("ACDX", Decimal(7)),
        tf.Rate("LT", Decimal(6), family="cad"),
        tf.Rate("PRO", Decimal(8), family="cad"),
        tf.Rate("VRDPRO", Decimal(9)),
    ]
)
VARIANTS = {"ACDX": "ACD"}
MONDAYS = [date(2026, 3, 2) + timedelta(weeks=number) for number in range(4)]
"""The clock changes in Chicago on 8 March, in Madrid on 29 March."""


@dataclass(frozen=True)
class Use:
    """A session, and what the vendor charged for it beyond the contract's rule."""

    user: str
    host: str
    server: str
    product: str
    start: datetime
    end: datetime
    end_reason: str = "checkin"
    beyond: int = 0


@dataclass
class Planted:
    """Use, manual rows, and how often each cause was planted."""

    uses: list[Use] = field(default_factory=list)
    manual: list[dict[str, str]] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    tokens: Counter[str] = field(default_factory=Counter)
    users: dict[str, str] = field(default_factory=dict)

    def sessions(self) -> pl.DataFrame:
        """As a log tells of them, in order of time."""
        names = dict.fromkeys(("user", "host", "server", "product"), pl.String)
        schema: dict[str, Any] = {**names, "start": tables.TIME, "end": tables.TIME, "end_reason": pl.String}
        rows = [tuple(getattr(use, name) for name in schema) for use in self.uses]
        return pl.DataFrame(rows, schema=schema, orient="row")

    def statement(self) -> bytes:
        """As the vendor exports them."""
        terms: dict[str, Any] = {"rule": RULE, "rates": RATES, "servers": SERVERS}
        sessions = self.sessions()
        due = dict(tf.charge(sessions, **terms).group_by("session").agg(pl.col("tokens").sum()).iter_rows())
        categories = tf.categorize(sessions, **terms)["category"].to_list()
        rows: list[dict[str, str]] = []
        for number, use in enumerate(self.uses):
            start, offset, ahead = vendor.local(use.start, SERVERS[use.server])
            # What is metered by machine is exported with user and machine in each other's column.
            user, host = (use.host, use.user) if use.product == "VRDPRO" else (use.user, use.host)
            rows.append(
                {
                    "usageDate": start[:10],
                    "productLineCode": use.product,
                    "userName": user,
                    "machineName": host,
                    "sessionStartDate": start,
                    "sessionEndDate": f"{(use.end + ahead):%Y-%m-%dT%H:%M:%S}",
                    "licenseServerTimeZoneOffset": offset,
                    "licenseServerName": use.server,
                    "chargeCategory": "CHARGED" if use.beyond else categories[number],
                    "usageCategory": "DESKTOP_PRODUCT",
                    "tokensConsumed": str(due.get(number, 0) + use.beyond),
                }
            )
        return vendor.sessions_csv(*rows, *self.manual, columns=(*vendor.SESSION_COLUMNS, *vendor.MANUAL_COLUMNS))


def local(user: str, day: date, hour: int, minute: int = 0) -> datetime:
    """An instant by the clock of the user's site."""
    return datetime.combine(day, time(hour, minute), ZoneInfo(SERVERS[user[:3]])).astimezone(UTC)


def plant(seed: int, each: int) -> Planted:
    """Clean use of fifteen people over four weeks, and each cause planted `each` times, no two in one place."""
    rng = random.Random(seed)
    made = Planted()
    names = [f"{site}{number:02}" for site in SERVERS for number in range(5)]
    made.users = {name: SERVERS[name[:3]] for name in names}
    mondays = [(name, day) for name in names for day in MONDAYS]
    others = [(name, day + timedelta(days=rng.randint(1, 4))) for name, day in mondays]
    rng.shuffle(mondays)
    rng.shuffle(others)
    planted = set()

    def slot(slots: list[tuple[str, date]], *sites: str) -> tuple[str, date]:
        found = next(
            place for place, (name, day) in enumerate(slots) if name[:3] in sites and (name, day) not in planted
        )
        planted.add(slots[found])
        return slots.pop(found)

    for cause, planter in PLANTERS.items():
        for _ in range(each):
            slots, sites = (mondays, ("sin",)) if cause in ON_MONDAYS else (others, ("mad", "chi", "sin"))
            name, day = slot(slots, *sites)
            made.uses += planter(made, name, day)
            what = cause.removesuffix("_of_two_dates")
            made.counts[what] += 1
            made.tokens[what] += 6 if cause == "missing_increment" else 9 if cause == "swapped_machine" else 7
    for name in names:
        for day in (monday + timedelta(days=number) for monday in MONDAYS for number in range(5)):
            if (name, day) not in planted and rng.random() < 0.9:
                made.uses += [use for use in whole_day(name, day) if rng.random() < 0.8]
    made.uses.sort(key=lambda use: (use.start, use.user, use.product))
    return made


def use_of(name: str, day: date, hours: tuple[int, int], product: str = "ACD", **more: Any) -> Use:
    """Use at home."""
    start, end = (local(name, day, hour) for hour in hours)
    return replace(Use(name, f"pc-{name}", name[:3], product, start, end), **more)


def whole_day(name: str, day: date) -> list[Use]:
    """What nobody could find fault with: several products and instances, charged once each."""
    late = use_of(name, day, (19, 20))
    return [use_of(name, day, (9, 17)), use_of(name, day, (10, 12)), late, use_of(name, day, (9, 15), "LT")]


def server_midnight(_: Planted, name: str, day: date) -> list[Use]:
    """From Singapore on the server in Chicago, whose midnight comes at 13:00 or 14:00."""
    return [use_of(name, day, (9, 17), server="chi")]


def two_servers_of_two_dates(_: Planted, name: str, day: date) -> list[Use]:
    """At home on Monday, and for an hour in Chicago, where it is Sunday."""
    return [use_of(name, day, (9, 17)), use_of(name, day, (10, 11), server="chi")]


def two_servers(_: Planted, name: str, day: date) -> list[Use]:
    """Another server whose date is the same, charged again."""
    other = {"mad": "sin", "sin": "mad", "chi": "mad"}[name[:3]]
    return [use_of(name, day, (9, 18)), use_of(name, day, (16, 17), server=other, beyond=7)]


def identity(_: Planted, name: str, day: date) -> list[Use]:
    """The same person as `FIRM\\NAME`."""
    return [use_of(name, day, (9, 17)), use_of(name, day, (11, 12), user=f"FIRM\\{name.upper()}")]


def variant(_: Planted, name: str, day: date) -> list[Use]:
    """The same product under another code."""
    return [use_of(name, day, (9, 17)), use_of(name, day, (11, 12), "ACDX")]


def missing_increment(_: Planted, name: str, day: date) -> list[Use]:
    """Eight tokens where the difference of two was due."""
    return [use_of(name, day, (9, 17), "LT"), use_of(name, day, (11, 12), "PRO", beyond=6)]


def below_minimum(_: Planted, name: str, day: date) -> list[Use]:
    """Two minutes, charged."""
    short = use_of(name, day, (18, 19), beyond=7)
    return [use_of(name, day, (9, 17)), replace(short, end=short.start + timedelta(minutes=2))]


def reconnect(_: Planted, name: str, day: date) -> list[Use]:
    """The server took the license back; the next launch, minutes later, was charged."""
    again = use_of(name, day, (12, 17), beyond=7)
    back = replace(again, start=again.start + timedelta(minutes=4))
    return [use_of(name, day, (9, 12), end_reason="inactive"), back]


def swapped_machine(made: Planted, name: str, day: date) -> list[Use]:
    """Two people on one machine, which pays once; the vendor charged both."""
    other = f"{name[:3]}{(int(name[3:]) + 1) % 5:02}"
    del made
    return [use_of(name, day, (9, 10), "VRDPRO"), use_of(name, day, (11, 12), "VRDPRO", user=other, beyond=9)]


def manual_duplicate(made: Planted, name: str, day: date) -> list[Use]:
    """Entered by hand, though the server had told of it."""
    made.manual.append(
        {
            "usageDate": str(day),
            "transactionDate": str(day),
            "productLineCode": "ACD",
            "userName": name,
            "usageCategory": "MANUAL_CONSUMPTION",
            "tokensConsumed": "7",
            "reasonType": "OFFLINE",
            "reasonComment": "site without network",
            "tokenPool": "CY",
        }
    )
    return [use_of(name, day, (9, 17))]


PLANTERS = {
    function.__name__: function
    for function in (
        server_midnight,
        two_servers_of_two_dates,
        two_servers,
        identity,
        variant,
        missing_increment,
        below_minimum,
        reconnect,
        swapped_machine,
        manual_duplicate,
    )
}
ON_MONDAYS = ("server_midnight", "two_servers_of_two_dates")
"""Only after a day off is the date of Chicago's Sunday not paid already."""
