"""A firm whose vendor states what is due, and each cause of a difference planted into it a known number of times."""

from __future__ import annotations

import math
import random
from collections import Counter
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

import polars as pl

import planted_doubles as firm
import tokenflex as tf
import vendor_exports as vendor
from tokenflex import tables

SERVERS = {**firm.SERVERS, "osl": "Europe/Oslo", "late": "Europe/Madrid"}
"""The one in Oslo does not report to the vendor; the log of the last one ends before the month does."""
_NEW_RATE = datetime(2026, 3, 15, tzinfo=UTC)
_LOG_ENDS = datetime(2026, 3, 20, 12, tzinfo=UTC)
_CODES = ("RTE", "NIGHT", "SHORT", "CENT", "MSK", "OSL", "ZONE", "LATE", "DATED")
OURS = tf.Rates(
    [
        *firm.RATES.rows,
        *(tf.Rate(code, Decimal(5)) for code in _CODES),
        tf.Rate("DATED", Decimal(6), effective_from=_NEW_RATE),
    ]
)
VARIANTS = firm.VARIANTS
TOLERANCE = Decimal("0.001")
CENT = Decimal("0.0005")


@dataclass(frozen=True)
class Use(firm.Use):
    """A session: whose log has it, and what the vendor's row says otherwise."""

    at: str = "both"
    """`ours`, `vendor` or `both`."""
    more: Decimal = Decimal(0)
    """What the vendor charges beyond the rule."""
    row: tuple[tuple[str, str], ...] = ()
    """Fields of the vendor's row that are otherwise."""
    repeats: int = 0


@dataclass
class Planted:
    """Use, other rows of the vendor, days without logs, and how many lines of each cause were planted."""

    uses: list[Use] = field(default_factory=list)
    other: list[dict[str, str]] = field(default_factory=list)
    lost: dict[str, list[date]] = field(default_factory=lambda: {server: [] for server in SERVERS})
    counts: Counter[str] = field(default_factory=Counter)

    def logged(self) -> pl.DataFrame:
        """Our sessions: each person has one name, each product one code."""
        sessions = _frame([use for use in self.uses if use.at != "vendor"])
        return tf.Identity().apply(sessions).with_columns(pl.col("product").cast(pl.String).replace(VARIANTS))

    def charges(self, sessions: pl.DataFrame) -> pl.DataFrame:
        """Ours."""
        return tf.charge(sessions, rule=firm.RULE, rates=OURS, servers=SERVERS, problems=tf.Problems())

    def statement(self) -> pl.DataFrame:
        """The vendor's."""
        uses = [use for use in self.uses if use.at != "ours"]
        sessions = _frame(uses)
        charges = tf.charge(sessions, rule=firm.RULE, rates=OURS, servers=SERVERS, problems=tf.Problems())
        due = dict(charges.group_by("session").agg(pl.col("tokens").sum()).iter_rows())
        rows = []
        for number, use in enumerate(uses):
            row = _row(use, due.get(number, Decimal(0)) + use.more)
            rows += [row] * (1 + use.repeats)
        columns = (*vendor.SESSION_COLUMNS, *vendor.MANUAL_COLUMNS)
        return tf.read_statement(vendor.sessions_csv(*rows, *self.other, columns=columns), problems=tf.Problems())

    def coverage(self) -> pl.DataFrame:
        """What was logged: all but the days that were lost."""
        first, last = (datetime.combine(day, datetime.min.time()) for day in (date(2026, 3, 1), date(2026, 3, 31)))
        ends = {"late": _LOG_ENDS.replace(tzinfo=None)}
        frame = pl.DataFrame(
            [(server, first, ends.get(server, last), self.lost[server], None) for server in SERVERS],
            schema={"server": pl.String, "first": pl.Datetime("us"), "last": pl.Datetime("us"),
                    "days_without_lines": pl.List(pl.Date), "reporting": pl.Boolean},
            orient="row",
        )  # fmt: skip
        return frame.with_columns(pl.col("first", "last").dt.replace_time_zone("UTC"))


def _frame(uses: list[Use]) -> pl.DataFrame:
    names = dict.fromkeys(("user", "host", "server", "product"), pl.String)
    schema: dict[str, Any] = {**names, "start": tables.TIME, "end": tables.TIME, "end_reason": pl.String}
    return pl.DataFrame([tuple(getattr(use, name) for name in schema) for use in uses], schema=schema, orient="row")


def _row(use: Use, tokens: Decimal) -> dict[str, str]:
    start, offset, ahead = vendor.local(use.start, SERVERS[use.server])
    user, host = (use.host, use.user) if use.product == "VRDPRO" else (use.user, use.host)
    return {
        "usageDate": start[:10],
        "productLineCode": use.product,
        "userName": user,
        "machineName": host,
        "sessionStartDate": start,
        "sessionEndDate": f"{(use.end + ahead):%Y-%m-%dT%H:%M:%S}",
        "licenseServerTimeZoneOffset": offset,
        "licenseServerName": use.server,
        "chargeCategory": "CHARGED" if tokens else "FREE",
        "usageType": "Normal",
        "usageCategory": "DESKTOP_PRODUCT",
        "tokensConsumed": f"{tokens.normalize():f}",
        **dict(use.row),
    }


def plant(seed: int, each: int) -> Planted:
    """Clean use of fifteen people or more over four weeks; each cause planted `each` times, one a week and person."""
    rng = random.Random(seed)
    made = Planted()
    people = max(5, math.ceil(len(PLANTERS) * each / len(firm.SERVERS) / len(firm.MONDAYS)))
    names = [f"{site}{number:02}" for site in firm.SERVERS for number in range(people)]
    weeks = [(name, monday) for name in names for monday in firm.MONDAYS]
    rng.shuffle(weeks)
    planted: set[tuple[str, date]] = set()
    for cause, planter in PLANTERS.items():
        for _ in range(each):
            name, monday = weeks.pop()
            day = monday + timedelta(days=WEEKENDS.get(cause) or rng.randint(1, 3))
            planted.add((name, day))
            made.uses += [use if isinstance(use, Use) else Use(**vars(use)) for use in planter(made, name, day)]
            made.counts[cause.partition(":")[0]] += ROWS.get(cause, 1)
    for name in names:
        for day in (monday + timedelta(days=number) for monday in firm.MONDAYS for number in range(5)):
            if (name, day) not in planted and rng.random() < 0.9:
                made.uses += [Use(**vars(use)) for use in firm.whole_day(name, day) if rng.random() < 0.8]
    made.uses.sort(key=lambda use: (use.start, use.user, use.product))
    return made


def use_of(name: str, day: date, hours: tuple[int, int], product: str = "ACD", **more: Any) -> Use:
    """Use at home."""
    return replace(Use(**vars(firm.use_of(name, day, hours, product))), **more)


def doubled(planter: Any) -> Any:
    """What the vendor charges twice and we once."""

    def plant_it(made: Planted, name: str, day: date) -> list[Use]:
        return [replace(Use(**vars(use)), more=Decimal(use.beyond)) for use in planter(made, name, day)]

    return plant_it


def minutes(use: Use, length: int) -> Use:
    return replace(use, end=use.start + timedelta(minutes=length))


def other_row(name: str, day: date, **fields: str) -> dict[str, str]:
    return {"usageDate": str(day), "productLineCode": "ACD", "userName": name, **fields}


def manual_entry(made: Planted, name: str, day: date) -> list[Use]:
    made.other.append(
        other_row(
            name, day, transactionDate=str(day), usageCategory="MANUAL_CONSUMPTION", tokensConsumed="7", tokenPool="CY"
        )
    )
    return [use_of(name, day, (9, 17))]


def adjustment(made: Planted, name: str, day: date) -> list[Use]:
    fields = {"usageCategory": "MANUAL_ADJUSTMENT", "tokensConsumed": "-50"}
    made.other.append(other_row(name, day, transactionDate=str(day), **fields))
    return []


def not_of_servers(made: Planted, name: str, day: date) -> list[Use]:
    made.other.append(other_row(name, day, usageCategory="CLOUD_PRODUCT", tokensConsumed="3"))
    return []


def no_log(made: Planted, name: str, day: date) -> list[Use]:
    made.lost[name[:3]].append(day)
    return [use_of(name, day, (9, 12), at="vendor")]


def borrowed(_: Planted, name: str, day: date) -> list[Use]:
    late = use_of(name, day, (18, 19), more=Decimal(7), row=(("usageType", "Borrowed"),))
    return [use_of(name, day, (9, 17)), late]


def rate(_: Planted, name: str, day: date) -> list[Use]:
    """On three days, for fewer prove no rate."""
    days = [day + timedelta(days=more) for more in (-1, 0, 1)]
    return [use_of(name, each, (9, 12), "RTE", more=Decimal(1)) for each in days]


def night(_: Planted, name: str, day: date) -> list[Use]:
    """Over a midnight that the vendor does not count."""
    late = use_of(name, day, (21, 22), "NIGHT", more=Decimal(-5))
    return [replace(late, end=late.start + timedelta(hours=5))]


def night_of_singapore(_: Planted, name: str, day: date) -> list[Use]:
    """An afternoon on the server in Madrid, over the midnight of Singapore, by whose days the vendor charges it."""
    start = datetime.combine(day, time(14), UTC)
    use = Use(f"zone-{name}", f"pc-{name}", "mad", "ZONE", start, start + timedelta(hours=4), more=Decimal(5))
    return [use]


def old_rate(_: Planted, name: str, day: date) -> list[Use]:
    """The vendor goes on with the rate of before."""
    since = day + timedelta(weeks=2 if day < _NEW_RATE.date() else 0)
    start = datetime.combine(since, time(10), UTC)
    user = f"rate-{name}-{day:%d}"
    return [Use(user, f"pc-{name}", "mad", "DATED", start, start + timedelta(hours=2), more=Decimal(-1))]


def late_log(_: Planted, name: str, day: date) -> list[Use]:
    """What the vendor knows already, and our log does not yet; before, both know it."""
    late = date(2026, 3, 23 + day.weekday())
    user = f"late-{name}-{day:%d}"
    starts = [datetime.combine(at, time(10), UTC) for at in (late - timedelta(weeks=1), late)]
    return [
        Use(user, f"pc-{name}", "late", "LATE", start, start + timedelta(hours=1), at=at)
        for start, at in zip(starts, ("both", "vendor"), strict=True)
        if at == "vendor" or start < _LOG_ENDS
    ]


PLANTERS: dict[str, Any] = {
    "no_log": no_log,
    "no_log: late": late_log,
    "no_statement": lambda _, name, day: [use_of(name, day, (9, 12), at="ours")],
    "server_not_reporting": lambda _, name, day: [use_of(name, day, (9, 12), "OSL", server="osl", at="ours")],
    "masked": lambda _, name, day: [use_of(name, day, (9, 12), "MSK", row=(("userName", "*****"),))],
    "not_of_servers": not_of_servers,
    "adjustment": adjustment,
    "no_rate": lambda _, name, day: [use_of(name, day, (9, 12), "NEW", more=Decimal(4))],
    "rounding": lambda _, name, day: [use_of(name, day, (9, 12), "CENT", more=CENT)],
    "duplicate_row": lambda _, name, day: [use_of(name, day, (9, 12), repeats=1)],
    "manual_entry": manual_entry,
    "borrowed": borrowed,
    "swapped_machine": doubled(firm.swapped_machine),
    "identity": doubled(firm.identity),
    "variant": doubled(firm.variant),
    "family": doubled(firm.missing_increment),
    "minimum_duration": lambda _, name, day: [minutes(use_of(name, day, (9, 10), "SHORT", more=Decimal(-5)), 7)],
    "reconnect": doubled(firm.reconnect),
    "two_servers": doubled(firm.two_servers),
    "rate": rate,
    "rate: of before": old_rate,
    "other_rule": night,
    "other_rule: zone": night_of_singapore,
    "no_row": lambda _, name, day: [use_of(name, day, (9, 12), at="ours")],
    "no_session": lambda _, name, day: [use_of(name, day, (9, 12), at="vendor")],
    "unexplained": lambda _, name, day: [
        use_of(name, day, (9, 12)),
        use_of(name, day, (13, 14), more=Decimal(7)),
    ],
}
"""By cause, what is planted; after a colon, how."""
ROWS = {"masked": 2, "rate": 3}
WEEKENDS = {"no_log": 6, "no_statement": 5}
"""When nobody else of the server works."""
