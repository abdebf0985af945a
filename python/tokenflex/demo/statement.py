"""What the vendor would state of the demo's use: an export session by session, with the vendor's mistakes in it."""

from __future__ import annotations

import csv
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Final, NamedTuple

import polars as pl

from tokenflex import tables
from tokenflex.demo.contract import year_of
from tokenflex.demo.firm import PRODUCTS, SERVERS, WITHOUT_RATE, Server
from tokenflex.demo.log import local_date
from tokenflex.metering.charge import categorize, charge
from tokenflex.metering.rates import Rates
from tokenflex.metering.rule import TOKEN_FLEX, Rule
from tokenflex.problems import Problems

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from tokenflex.demo.mistakes import Mistake

RULE: Final = Rule.from_dict({**TOKEN_FLEX.to_dict(), "min_duration_seconds": 300, "machine_metered": ["VRDPRO"]})
"""The rule of the firm's contract."""
_UNKNOWN_RATE: Final = Decimal(4)
"""What the vendor takes for the product whose rate the firm does not know."""
_SWAPPED: Final = "VRDPRO"
"""The product that is metered by machine: its rows have user and machine in each other's column."""
_AS_CHARGED: Final = ("identity", "manual_duplicate")
"""Mistakes that change nothing in the rows of the use itself."""
_COLUMNS: Final = (
    "usageMonth",
    "usageDate",
    "contractYear",
    "productName",
    "productLineCode",
    "productVersion",
    "productFeatureCode",
    "userName",
    "machineName",
    "sessionStartDate",
    "sessionEndDate",
    "licenseServerTimeZoneOffset",
    "chargedItemID",
    "chargeCategory",
    "licenseServerName",
    "usageType",
    "usageCategory",
    *(f"customField{number}" for number in range(1, 11)),
    "tokensConsumed",
    "usageMinutes",
    "usageHours",
    "transactionDate",
    "reasonType",
    "reasonComment",
    "tokenPool",
)


class Stated(NamedTuple):
    """A session that a reporting server told the vendor of. Times are seconds since 1970."""

    server: Server
    user: str
    host: str
    feature: str
    start: int
    end: int


def write_statement(path: Path, sessions: Sequence[Stated], mistakes: Iterable[Mistake], known: Rates) -> None:
    """Writes the vendor's export of these sessions: what the contract's rule charges, and the mistakes.

    The vendor knows a rate more than the firm does.
    """
    wrong = {
        Stated(again.server, again.user, again.host, again.feature, again.start, again.end): mistake
        for mistake in mistakes
        for again in mistake.uses[-1:]
    }
    more = pl.DataFrame({"product": [WITHOUT_RATE], "tokens": [_UNKNOWN_RATE]})
    rates = Rates(pl.concat([known.frame, more], how="diagonal_relaxed"))
    frame = _frame(sessions)
    servers = {server.name: server.zone.name for server in SERVERS}
    found = Problems()
    charges = charge(frame, rule=RULE, rates=rates, servers=servers, problems=found)
    tokens = dict(charges.group_by("session").agg(pl.col("tokens").sum()).iter_rows())
    categories = categorize(frame, rule=RULE, rates=rates, servers=servers, problems=found)["category"].to_list()
    with path.open("w", newline="", encoding="utf-8") as file:
        rows = csv.DictWriter(file, _COLUMNS, restval="", lineterminator="\n")
        rows.writeheader()
        for number, session in enumerate(sessions):
            row = _row(session, number, categories[number], tokens.get(number, Decimal(0)))
            mistake = wrong.get(session)
            rows.writerow(row if mistake is None else _mistaken(row, mistake.cause, _full_price(session, rates)))
            if mistake is not None and mistake.cause == "manual_duplicate":
                rows.writerow(_by_hand(row, tokens[number]))


def _frame(sessions: Iterable[Stated]) -> pl.DataFrame:
    names: dict[str, pl.DataType] = dict.fromkeys(("user", "host", "server", "product"), pl.String())
    seconds: dict[str, pl.DataType] = dict.fromkeys(("start", "end"), pl.Int64())
    rows = [(each.user, each.host, each.server.name, _line_of(each), each.start, each.end) for each in sessions]
    frame = pl.DataFrame(rows, schema=names | seconds, orient="row")
    return frame.with_columns((pl.col("start", "end") * 1_000_000).cast(tables.TIME))


def _line_of(session: Stated) -> str:
    return _LINES[session.feature]


_LINES: Final = {feature: product.code for product in PRODUCTS.values() for feature in product.features}


def _full_price(session: Stated, rates: Rates) -> Decimal:
    alone = _frame([session]).with_columns(pl.col("start").alias("end"))
    plain = Rule(window="rolling")
    return Decimal(charge(alone, rule=plain, rates=rates, problems=Problems())["tokens"].sum())


def _row(session: Stated, number: int, category: str, tokens: Decimal) -> dict[str, object]:
    server = session.server
    day = local_date(server, session.start)
    line = _line_of(session)
    user, host = (session.host, session.user) if line == _SWAPPED else (session.user, session.host)
    minutes = Decimal(session.end - session.start) / 60
    return {
        "usageMonth": day.replace(day=1),
        "usageDate": day,
        "contractYear": year_of(day),
        "productName": PRODUCTS[line].name,
        "productLineCode": line,
        "productVersion": session.feature.split("_")[1],
        "productFeatureCode": session.feature,
        "userName": user,
        "machineName": host,
        "sessionStartDate": _local(server, session.start),
        "sessionEndDate": _local(server, session.end, by=session.start),
        "licenseServerTimeZoneOffset": _offset(server, session.start),
        "chargedItemID": f"DEMO{number:08d}",
        "chargeCategory": category,
        "licenseServerName": server.name,
        "usageType": "Normal",
        "usageCategory": "DESKTOP_PRODUCT",
        "tokensConsumed": _plain(tokens),
        "usageMinutes": _plain(minutes),
        "usageHours": _plain(minutes / 60),
    }


def _mistaken(row: dict[str, object], cause: str, price: Decimal) -> dict[str, object]:
    """The row with the mistake in it."""
    if cause in _AS_CHARGED:
        return row
    changed = {**row, "chargeCategory": "CHARGED", "tokensConsumed": _plain(price)}
    if cause == "variant":
        changed["productLineCode"] = row["productFeatureCode"]
    return changed


def _by_hand(row: dict[str, object], tokens: Decimal) -> dict[str, object]:
    """The same use as somebody entered it."""
    same = ("usageMonth", "usageDate", "contractYear", "productName", "productLineCode", "userName")
    return {
        **{name: row[name] for name in same},
        "usageCategory": "MANUAL_CONSUMPTION",
        "tokensConsumed": _plain(tokens),
        "transactionDate": row["usageDate"],
        "reasonType": "OFF_NETWORK_USE",
        "reasonComment": "demo: site without network",
        "tokenPool": "CY",
    }


def _local(server: Server, at: int, by: int | None = None) -> str:
    """Local time of the server. Both ends of a session are by the offset of its start, which is the one the row has."""
    local = at + server.zone.offset(at if by is None else by)
    clock = datetime.fromtimestamp(local, tz=UTC)
    return f"{clock:%Y-%m-%dT%H:%M:%S}"


def _offset(server: Server, at: int) -> str:
    """As the vendor spells it, `-8:00`."""
    minutes = server.zone.offset(at) // 60
    return f"{'-' if minutes < 0 else '+'}{abs(minutes) // 60}:{abs(minutes) % 60:02d}"


def _plain(number: Decimal) -> str:
    """At most four decimals, without empty ones."""
    return f"{round(number, 4):f}".rstrip("0").rstrip(".") if number else "0"
