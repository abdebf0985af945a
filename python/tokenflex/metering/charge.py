"""The verb `charge`: from sessions to exact token charges."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import polars as pl

from tokenflex import _core, tables
from tokenflex.arrow import AnyTable, coded_columns_of
from tokenflex.errors import ArgumentTypeError, ZoneError
from tokenflex.metering.rates import Rates
from tokenflex.metering.rule import Rule
from tokenflex.problems import Problems, report
from tokenflex.times import MICROSECOND, instant_in_data

if TYPE_CHECKING:
    from datetime import datetime

    from tokenflex._core import Terms

READS = ("user", "product", "server", "start", "end")

_FAULTS = {
    "missing_user": "no user: not charged",
    "missing_product": "no product: not charged",
    "missing_start": "no start: not charged",
    "missing_server": "no server, and the rule's days are the server's: not charged",
    "unknown_server": "its server has no zone in servers=, and the rule's days are the server's: not charged",
    "end_before_start": "its end comes before its start: not charged",
    "time_out_of_range": "a time before 1970 or from 2200 on: not charged",
}


def charge(
    sessions: AnyTable,
    *,
    rule: Rule,
    rates: Rates,
    servers: Mapping[str, str] | None = None,
    as_of: datetime | None = None,
    problems: Problems | None = None,
) -> pl.DataFrame:
    """Charges sessions by a rule: one row for each window that is paid.

    A user pays a product once in each window, however many sessions, machines, versions and instances there are in it.
    A product in use at a window's end is charged again right there. See `SEMANTICS.md` for each rule with its source.

    Args:
        sessions: Any Arrow table with the columns `user`, `product` (text in any layout), `start`, `end` (instants in
            any unit and zone), and `server` where the rule's days are the server's. A null `end` is a session that is
            still open. Other columns are ignored; join them to the charges by `session`, the row's number. In any
            order; in order of `start` it is fastest.
        rule: What is charged and when: `tf.FLEX`, `tf.TOKEN_FLEX` or your own `tf.Rule`.
        rates: Tokens for each window of each product.
        servers: The IANA zone of each license server, for a rule whose days are the server's.
        as_of: Until when open sessions are in use; the last instant in the table unless given.
        problems: Collects what could not be charged or priced; without it, a `TokenflexWarning` tells of it.

    Returns:
        The charges, see `tables.CHARGES`, in order of `charged_at`, then `session`. `tokens` is null where the product
        has no rate at `charged_at`, and a problem says so.

    Raises:
        ZoneError: The rule needs `servers`, or a zone in it does not exist.
        ArgumentError: `as_of` lies outside of the years that data may have.
        MissingColumnError, ColumnTypeError: The table lacks a column, or has it in a type that cannot be taken.

    Example:
        >>> import tokenflex as tf, polars as pl
        >>> from datetime import datetime, timezone
        >>> def at(day, hour): return datetime(2026, 7, day, hour, tzinfo=timezone.utc)
        >>> sessions = pl.DataFrame({
        ...     "user": ["ana", "ana"], "product": ["ACD", "ACD"],
        ...     "start": [at(13, 8), at(14, 7)], "end": [at(13, 17), at(14, 17)],
        ... })
        >>> charges = tf.charge(sessions, rule=tf.FLEX, rates=tf.Rates({"ACD": 7}))
        >>> for row in charges.select("charged_at", "trigger", "tokens").iter_rows():
        ...     print(row[0].isoformat(), row[1], row[2])
        2026-07-13T08:00:00+00:00 launch 7.0000
        2026-07-14T08:00:00+00:00 renewal 7.0000
    """
    terms = _terms(rule, rates, servers)
    until = None if as_of is None else instant_in_data(as_of, "as_of")
    table, faults, without_rate = _core.charge(*coded_columns_of(sessions, READS), terms=terms, as_of=until)
    report(_problems(pl.DataFrame(faults), without_rate), problems, "charge")
    charges = pl.DataFrame(table)
    rule_id = pl.Enum([rule.rule_id])
    charges = charges.with_columns(
        category=pl.lit(0, dtype=pl.UInt8),
        rule_id=pl.lit(rule.rule_id, dtype=rule_id),
    )
    return tables.finish(charges, {**tables.CHARGES, "rule_id": rule_id})


def _terms(rule: Rule, rates: Rates, servers: Mapping[str, str] | None) -> Terms:
    if not isinstance(rule, Rule):
        raise ArgumentTypeError(
            f"rule has to be a tokenflex.Rule such as tf.TOKEN_FLEX, not {type(rule).__name__}", location="rule"
        )
    if not isinstance(rates, Rates):
        raise ArgumentTypeError(
            f"rates have to be a tokenflex.Rates, not {type(rates).__name__}: write tf.Rates(…)", location="rates"
        )
    if rule.needs_servers and servers is None:
        raise ZoneError(
            'the rule\'s days are the license server\'s: pass servers={"<server>": "<IANA zone>", …}, '
            'or take a rule of one zone, such as tf.Rule(window="day", zone="Europe/Madrid")',
            location="servers",
        )
    zone = None
    if rule.window == "day" and rule.zone != "server":
        zone = "UTC" if rule.zone == "utc" else rule.zone
    return {
        "length": rule.length // MICROSECOND if rule.window == "rolling" else None,
        "zone": zone,
        "servers": {} if servers is None else _servers(servers),
        "min_duration": rule.min_duration // MICROSECOND,
        "rates": rates.terms(),
    }


def _servers(servers: object) -> dict[str, str]:
    if not isinstance(servers, Mapping):
        raise ArgumentTypeError(
            f"servers has to map names to IANA zones, not to be {type(servers).__name__}", location="servers"
        )
    zones = dict(servers)
    for server, zone in zones.items():
        if not isinstance(server, str) or not isinstance(zone, str):
            raise ArgumentTypeError(
                f"servers has to map names to IANA zones, not {server!r} to {zone!r}", location="servers"
            )
        _core.check_zone(zone)
    return zones


def _problems(faults: pl.DataFrame, without_rate: list[tuple[str, int]]) -> pl.DataFrame:
    bad_rows = faults.select(
        source=pl.lit("sessions"),
        location="location",
        code=pl.col("code").cast(pl.String),
        message=pl.col("code").cast(pl.String).replace_strict(_FAULTS, return_dtype=pl.String),
    )
    no_rate = pl.DataFrame(
        {
            "source": ["rates"] * len(without_rate),
            "location": [None] * len(without_rate),
            "code": ["no_rate"] * len(without_rate),
            "message": [
                f"{product} has no rate at the time of {count} of its charges: their tokens are null"
                for product, count in without_rate
            ],
        },
        schema=dict(tables.PROBLEMS),
    )
    return pl.concat([bad_rows, no_rate])
