"""The verb `compare_rules`: what several rules charge for the same sessions, and where they differ."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal

import polars as pl

from tokenflex import tables
from tokenflex.arrow import AnyTable, refuses_clearly
from tokenflex.errors import ArgumentError
from tokenflex.metering.at_once import Prepared
from tokenflex.metering.charge import charge, prepare
from tokenflex.metering.rule_grid import checked_rules, described, differences
from tokenflex.problems import Problems, report

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from tokenflex.metering.rates import Rates
    from tokenflex.metering.rule import Rule
    from tokenflex.reading.user_zones import Users

BY: Final = {"user": "user", "product": "product", "server": "server", "day": "usage_date"}
"""What the comparison can be split by, with the column."""


@refuses_clearly
def compare_rules(
    sessions: AnyTable | Prepared,
    *,
    rules: Iterable[Rule],
    rates: Rates,
    servers: Mapping[str, str] | None = None,
    users: Users | None = None,
    by: Literal["user", "product", "server", "day"] | None = None,
    problems: Problems | None = None,
) -> pl.DataFrame:
    """What each of several rules charges for the same sessions.

    Args:
        sessions: As for `charge`.
        rules: The rules. The first one is what the others are held against.
        rates: As for `charge`, for all rules.
        servers: As for `charge`.
        users: As for `charge`.
        by: Splits the comparison by user, product, server, or day (`usage_date` of the charges), and keeps only what
            some rule charges otherwise than the first.
        problems: Collects what could not be charged or priced, under each rule that met it, as for `charge`; each
            problem comes once. Without it, a `TokenflexWarning` tells of it.

    Returns:
        See `tables.RULE_COMPARISON`: a row for each rule in their order; with `by` a row for each rule and each value
        where some rule differs, in order of the value, then of the rules. Of the columns `user`, `product`, `server`
        and `usage_date` there is only that of `by`.

    Raises:
        ArgumentError: There are no rules, or `by` is none of these.
        ArgumentTypeError: A rule is no `Rule`.
        ZoneError, MissingColumnError, ColumnTypeError: As for `charge`.

    Example:
        >>> import tokenflex as tf, polars as pl
        >>> from datetime import datetime, timezone
        >>> def at(day, hour): return datetime(2026, 7, day, hour, tzinfo=timezone.utc)
        >>> sessions = pl.DataFrame({
        ...     "user": ["ana"], "product": ["ACD"], "start": [at(13, 20)], "end": [at(14, 2)],
        ... })
        >>> rules = [tf.Rule(window="rolling"), tf.Rule(window="day", zone="utc")]
        >>> compared = tf.compare_rules(sessions, rules=rules, rates=tf.Rates({"ACD": 7}))
        >>> compared.select("description", "charges", "difference").rows()[1]
        ('day of UTC, renewed, whole contract', 2, Decimal('7.0000'))
    """
    found = checked_rules(rules)
    if by is not None and by not in BY:
        raise ArgumentError(f"by is {by!r}, but has to be one of {', '.join(BY)}", location="by")
    prepared = sessions if isinstance(sessions, Prepared) else prepare(sessions)
    met = Problems()
    column = None if by is None else BY[by]
    parts = []
    for place, rule in enumerate(found):
        charges = charge(prepared, rule=rule, rates=rates, servers=servers, users=users, problems=met)
        parts.append(_summed(charges, column).with_columns(place=pl.lit(place, pl.UInt32)))
    # Many rules meet the same bad row.
    report(met.frame.unique(maintain_order=True), problems, "compare_rules")
    return _compared(pl.concat(parts), found, column)


def _summed(charges: pl.DataFrame, column: str | None) -> pl.DataFrame:
    sums = (
        pl.len().cast(pl.UInt64).alias("charges"),
        pl.col("tokens").sum().cast(tables.TOKENS),
        pl.col("tokens").null_count().cast(pl.UInt64).alias("charges_without_rate"),
    )
    if column is None:
        return charges.select(*sums)
    # Each rule's table has categories of its own, and they meet in one.
    named = charges.with_columns(pl.col(column).cast(pl.String)) if column != "usage_date" else charges
    return named.group_by(column).agg(*sums)


def _compared(sums: pl.DataFrame, rules: list[Rule], column: str | None) -> pl.DataFrame:
    said = pl.DataFrame(
        {
            "place": pl.Series(range(len(rules)), dtype=pl.UInt32),
            "rule_id": [rule.rule_id for rule in rules],
            "description": [described(rule) for rule in rules],
            "differs": [differences(rule, rules[0]) for rule in rules],
        }
    )
    none = {"charges": 0, "charges_without_rate": 0, "tokens": 0}
    fill = [pl.col(name).fill_null(pl.lit(value).cast(sums.schema[name])) for name, value in none.items()]
    if column is None:
        whole, keys = said.join(sums, on="place", how="left"), ["place"]
        whole = whole.with_columns(base=pl.col("tokens").first(), base_charges=pl.col("charges").first())
    else:
        keys = [column, "place"]
        values = sums.select(column).unique()
        whole = values.join(said, how="cross").join(sums, on=keys, how="left", nulls_equal=True)
        whole = whole.with_columns(*fill).sort(keys, nulls_last=True)
        first = whole.filter(pl.col("place") == 0).select(column, base="tokens", base_charges="charges")
        whole = whole.join(first, on=column, how="left", nulls_equal=True, maintain_order="left")
        differs = (pl.col("tokens") != pl.col("base")) | (pl.col("charges") != pl.col("base_charges"))
        whole = whole.filter(differs.any().over(column))
    wanted = [name for name in tables.RULE_COMPARISON if name not in BY.values() or name == column]
    return whole.with_columns(difference=(pl.col("tokens") - pl.col("base")).cast(tables.TOKENS)).select(
        pl.col(name).cast(tables.RULE_COMPARISON[name]) for name in wanted
    )
