"""The verb `scan_charges`: charges of more sessions than memory holds, computed when they are read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import polars as pl

from tokenflex.errors import ArgumentTypeError
from tokenflex.metering.batches import Tally
from tokenflex.metering.in_parts import charges_in_parts
from tokenflex.metering.terms import schema_of, terms_of
from tokenflex.problems import report
from tokenflex.streams import folder_of, lazy
from tokenflex.times import instant_in_data

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from datetime import datetime
    from pathlib import Path

    from tokenflex.metering.rates import Rates
    from tokenflex.metering.rule import Rule
    from tokenflex.problems import Problems
    from tokenflex.reading.user_zones import Users


def scan_charges(
    sessions: pl.LazyFrame,
    *,
    rule: Rule,
    rates: Rates,
    servers: Mapping[str, str] | None = None,
    users: Users | None = None,
    as_of: datetime | None = None,
    scratch: str | Path | None = None,
    problems: Problems | None = None,
) -> pl.LazyFrame:
    """The charges of `charge`, row for row, for more sessions than memory holds; computed when they are read.

    Sessions in order of `start` are charged as they come, in the memory of a few batches. Others, such as files of
    several servers one after another, are first scattered to files on disk, so that all sessions that can share a
    charge lie together; then a part at a time is charged, and the parts are merged. The sessions are read twice either
    way, once for their order.

    Args:
        sessions: As for `charge`, as a LazyFrame: `pl.scan_parquet("sessions/*.parquet")`.
        rule: As for `charge`.
        rates: As for `charge`.
        servers: As for `charge`.
        users: As for `charge`.
        as_of: As for `charge`.
        scratch: The folder for sessions that are not in order; the system's for temporary files unless given. It takes
            about what the sessions take as Parquet, and is left empty.
        problems: As for `charge`, filled when the charges have been read to their end.

    Returns:
        A LazyFrame of `tables.CHARGES`: write it with `sink_parquet`, count it, collect it. `session` is the row of the
        session in all that was scanned. Each time it is read it is computed anew.

    Raises:
        ArgumentTypeError: `sessions` are no LazyFrame.
        ZoneError, ArgumentError: As for `charge`. What is wrong with the table itself is raised when it is read.

    Example:
        >>> import tokenflex as tf, polars as pl
        >>> from datetime import datetime, timezone
        >>> def at(day, hour): return datetime(2026, 7, day, hour, tzinfo=timezone.utc)
        >>> sessions = pl.LazyFrame({
        ...     "user": ["ana", "ben"], "product": ["ACD", "ACD"],
        ...     "start": [at(14, 8), at(13, 9)], "end": [at(14, 17), at(13, 17)],
        ... })
        >>> charges = tf.scan_charges(sessions, rule=tf.FLEX, rates=tf.Rates({"ACD": 7}))
        >>> charges.group_by("user").agg(pl.col("tokens").sum()).sort("user").collect().rows()
        [('ana', Decimal('7.0000')), ('ben', Decimal('7.0000'))]
    """
    if not isinstance(sessions, pl.LazyFrame):
        raise ArgumentTypeError(
            f"scan_charges takes a polars LazyFrame, such as pl.scan_parquet gives, not {type(sessions).__name__}: "
            "for a table use charge",
            location="sessions",
        )
    terms_of(rule, rates, servers=servers, users=users, with_activity=False)
    if as_of is not None:
        instant_in_data(as_of, "as_of")
    terms: dict[str, Any] = {"rule": rule, "rates": rates, "servers": servers, "users": users}
    where = folder_of(scratch)

    def charges() -> Iterator[pl.DataFrame]:
        tally = Tally()
        yield from charges_in_parts(sessions, terms, as_of, where, tally)
        report(tally.frame, problems, "scan_charges")

    return lazy(charges, schema_of(rule), "scan_charges")
