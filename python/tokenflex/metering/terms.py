"""What a caller says of rule, rates and zones, checked, as the compiled part takes it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import polars as pl

from tokenflex import tables
from tokenflex.errors import ArgumentTypeError, ZoneError
from tokenflex.metering.rates import Rates
from tokenflex.metering.rule import Rule
from tokenflex.reading.user_zones import zones_in
from tokenflex.times import MICROSECOND

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Mapping

    from tokenflex._core import Charged, Terms
    from tokenflex.reading.user_zones import Users

FAULTS = {
    "missing_user": "no user: not charged",
    "missing_product": "no product: not charged",
    "missing_start": "no start: not charged",
    "missing_server": "no server, and the rule needs it: not charged",
    "missing_host": "no host, and the product is metered by machine: not charged",
    "unknown_server": "its server has no zone in servers=, and the rule's days are the server's: not charged",
    "unknown_user": "its user has no zone in users=, and the rule's days are the user's: not charged",
    "end_before_start": "its end comes before its start: not charged",
    "time_out_of_range": "a time before 1970 or from 2200 on: not charged",
}


def terms_of(
    rule: Rule,
    rates: Rates,
    *,
    servers: Mapping[str, str] | None,
    users: Users | None,
    with_activity: bool,
) -> Terms:
    """The terms, or an error that says what is wrong with them."""
    if not isinstance(rule, Rule):
        raise ArgumentTypeError(
            f"rule has to be a tokenflex.Rule such as tf.TOKEN_FLEX, not {type(rule).__name__}", location="rule"
        )
    if not isinstance(rates, Rates):
        raise ArgumentTypeError(
            f"rates have to be a tokenflex.Rates, not {type(rates).__name__}: write tf.Rates(…)", location="rates"
        )
    zones = {"server": zones_in(servers, "servers"), "user": zones_in(users, "users")}
    needed = rule.needs_zones_of
    if needed is not None and zones[needed] is None:
        raise ZoneError(
            f'the rule\'s days are the {needed}\'s: pass {needed}s={{"<{needed}>": "<IANA zone>", …}}, '
            'or take a rule of one zone, such as tf.Rule(window="day", zone="Europe/Madrid")',
            location=f"{needed}s",
        )
    return {
        "length": rule.length // MICROSECOND if rule.window == "rolling" else None,
        "zone": "UTC" if rule.zone == "utc" else rule.zone,
        "day_start": rule.day_start // MICROSECOND,
        "renew": rule.renew,
        "min_duration": rule.min_duration // MICROSECOND,
        "idle_after": rule.idle_after // MICROSECOND if with_activity and rule.idle_after is not None else None,
        "per_server": rule.scope == "server",
        "machine_metered": sorted(rule.machine_metered),
        "families": rates.families() if rule.incremental else [],
        "zones": zones[needed] or {} if needed is not None else {},
        "rates": rates.terms(),
    }


class Together(NamedTuple):
    """By what sessions that can share a charge are known to lie together: who pays, and for what."""

    by_host: list[str]
    """Products that the host pays for, and for all others the user; none where hosts are not known."""
    families: dict[str, str]
    """Products that share their windows with others: those of one family are one."""


def together(rule: Rule, rates: Rates, columns: Container[str]) -> Together:
    """By what sessions with these columns can be charged apart."""
    by_host = sorted(rule.machine_metered) if "host" in columns else []
    return Together(by_host, dict(rates.families()) if rule.incremental else {})


class Found(NamedTuple):
    """What the compiled part gives: charges, rows that could not be charged, and products without a rate."""

    charges: pl.DataFrame
    faults: pl.DataFrame
    """Rows of `tables.PROBLEMS`."""
    without_rate: list[tuple[str, int]]
    """The product, and how many of its charges have no tokens."""

    @property
    def problems(self) -> pl.DataFrame:
        """All that was wrong, as rows of `tables.PROBLEMS`."""
        return pl.concat([self.faults, without_rate(self.without_rate)])


def found_of(charged: Charged, rule: Rule) -> Found:
    """What the compiled part gives, as tables of ours."""
    table, faults, missing = charged
    rule_id = pl.Enum([rule.rule_id])
    charges = pl.DataFrame(table).with_columns(rule_id=pl.lit(rule.rule_id, dtype=rule_id))
    return Found(tables.finish(charges, schema_of(rule)), bad_rows(pl.DataFrame(faults)), missing)


def schema_of(rule: Rule) -> tables.Schema:
    """The columns of charges by this rule."""
    return {**tables.CHARGES, "rule_id": pl.Enum([rule.rule_id])}


def bad_rows(faults: pl.DataFrame) -> pl.DataFrame:
    """The problems of sessions that could not be charged."""
    return faults.select(
        source=pl.lit("sessions"),
        location="location",
        code=pl.col("code").cast(pl.String),
        message=pl.col("code").cast(pl.String).replace_strict(FAULTS, return_dtype=pl.String),
    )


def without_rate(missing: Iterable[tuple[str, int]]) -> pl.DataFrame:
    """The problems of products without a rate, and of how many charges."""
    missing = list(missing)
    return pl.DataFrame(
        {
            "source": ["rates"] * len(missing),
            "location": [None] * len(missing),
            "code": ["no_rate"] * len(missing),
            "message": [
                f"{product} has no rate at the time of {count} of its charges: their tokens are null"
                for product, count in missing
            ],
        },
        schema=dict(tables.PROBLEMS),
    )
