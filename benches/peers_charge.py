"""What a user would write in place of `tokenflex.charge`: polars with numba, polars alone, DuckDB.

Each peer yields less than `charge` does: no tokens, no window ends, no row of the session that caused the charge.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numba
import numpy as np
import polars as pl

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import duckdb

NEVER: Final = np.iinfo(np.int64).min


# ---------------------------------------------------------------------------------------------------- rolling windows


def rolling_by_sort_and_scan(sessions: pl.DataFrame, length: int, min_duration: int) -> pl.DataFrame:
    """polars sorts by user, product and start, a compiled loop walks through.

    Strings become categories first: that and a sort by whole numbers is faster than a sort by strings.
    """
    in_order = _as_numbers(sessions).sort("user", "product", "start").collect()
    return _scanned(in_order, length, min_duration)


def rolling_by_stable_sort_and_scan(sessions: pl.DataFrame, length: int, min_duration: int) -> pl.DataFrame:
    """The same by somebody who knows that the rows are in order of time: a stable sort by one packed key is enough.

    On rows in another order the answer is wrong, and nothing says so.
    """
    key = pl.col("user").cast(pl.UInt64) * 2**32 + pl.col("product")
    in_order = _as_numbers(sessions).with_columns(key=key).sort("key", maintain_order=True).collect()
    return _scanned(in_order, length, min_duration)


def rolling_in_duckdb(
    connection: duckdb.DuckDBPyConnection, sessions: pl.DataFrame, length: int, min_duration: int
) -> pl.DataFrame:
    """One list of sessions for each user and product, folded from left to right.

    A window's end depends on the charge before it, so window functions cannot say it, and a recursive query makes one
    round for each charge of the busiest user. A fold over lists is the form that is exact and ends.
    """
    connection.register("sessions", sessions)
    return connection.sql(_FOLD, params={"length": length, "min_duration": min_duration}).pl()


_FOLD: Final = """
    with
    uses as (
        select "user", product, epoch_us(start) as start, epoch_us("end") as "end"
        from sessions
        where epoch_us("end") - epoch_us(start) >= $min_duration
    ),
    keys as (
        select "user", product, list({start: start, "end": "end", paid: []::bigint[]} order by start) as uses
        from uses group by all
    ),
    charged as (
        select "user", product, list_reduce(
            uses,
            -- `past.start` is the end of the last window, `past.paid` are the charges up to here.
            lambda past, next: case
                when greatest(next."end", next.start + 1) <= past.start then past
                else {
                    start: greatest(past.start, next.start) + $length * greatest(1, cast(ceil(
                        (next."end" - greatest(past.start, next.start)) / $length) as bigint)),
                    "end": 0::bigint,
                    paid: past.paid || range(
                        greatest(past.start, next.start),
                        greatest(next."end", greatest(past.start, next.start) + 1),
                        $length)
                }
            end,
            {start: 0::bigint, "end": 0::bigint, paid: []::bigint[]}
        ).paid as paid
        from keys
    )
    select "user"::varchar as "user", product::varchar as product, unnest(paid) as charged_at from charged
"""


def _as_numbers(sessions: pl.DataFrame) -> pl.LazyFrame:
    return sessions.lazy().select(
        pl.col("user", "product").cast(pl.Categorical()).to_physical(),
        pl.col("start", "end").to_physical(),
    )


def _scanned(in_order: pl.DataFrame, length: int, min_duration: int) -> pl.DataFrame:
    columns = tuple(in_order[column].to_numpy() for column in ("user", "product", "start", "end"))
    user, product, charged_at = _scan(columns, length, min_duration)
    return pl.DataFrame({"user": user, "product": product, "charged_at": charged_at})


@numba.njit
def _scan(
    columns: tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray], length: int, min_duration: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    user, product, start, end = columns
    # Memory that is not written to costs nothing, so the most that there can be is set aside.
    most = start.size
    for row in range(start.size):
        if end[row] - start[row] > length:
            most += (end[row] - start[row]) // length
    charged_user = np.empty(most, np.uint32)
    charged_product = np.empty(most, np.uint32)
    charged_at = np.empty(most, np.int64)
    count = 0
    window_end = NEVER
    for row in range(start.size):
        if row == 0 or user[row] != user[row - 1] or product[row] != product[row - 1]:
            window_end = NEVER
        if end[row] - start[row] < min_duration:
            continue
        if start[row] >= window_end:
            charged_user[count] = user[row]
            charged_product[count] = product[row]
            charged_at[count] = start[row]
            count += 1
            window_end = start[row] + length
        while end[row] > window_end:
            charged_user[count] = user[row]
            charged_product[count] = product[row]
            charged_at[count] = window_end
            count += 1
            window_end += length
    return charged_user[:count], charged_product[:count], charged_at[:count]


# ------------------------------------------------------------------------------------------------- days of the servers


def days_by_explode(sessions: pl.DataFrame, servers: Mapping[str, str]) -> pl.DataFrame:
    """Distinct user, product and local date: all dates of each session, zone by zone, since polars converts columns."""
    frames = [
        dated.select("user", "product", date=pl.date_ranges("first_date", "last_date")).explode("date")
        for _, dated in _by_zone(sessions, servers)
    ]
    return pl.concat(frames).unique().collect()


def days_by_split(sessions: pl.DataFrame, servers: Mapping[str, str]) -> pl.DataFrame:
    """The same by somebody who knows that most sessions touch one date: only the others are exploded."""
    parts = [part.select("user", "product", "date") for part in _split(sessions, servers)]
    return pl.concat(parts).unique().collect()


def charged_days_by_split(sessions: pl.DataFrame, servers: Mapping[str, str]) -> pl.DataFrame:
    """The same with the instant at which each date was first touched. Right only where days begin at 00:00."""
    charged_at = pl.col("touched_at").min()
    keys = ("user", "product", "date")
    return pl.concat(_split(sessions, servers)).group_by(keys).agg(charged_at=charged_at).collect()


def _by_zone(sessions: pl.DataFrame, servers: Mapping[str, str]) -> Iterator[tuple[str, pl.LazyFrame]]:
    """The sessions of each zone with their first and last local date."""
    # A session ends before its `end`; one of no length touches the date of its start.
    last = pl.max_horizontal("start", pl.col("end") - pl.duration(microseconds=1))
    for zone in dict.fromkeys(servers.values()):
        of_zone = pl.col("server").is_in([server for server, place in servers.items() if place == zone])
        yield (
            zone,
            sessions.lazy()
            .filter(of_zone)
            .with_columns(
                first_date=pl.col("start").dt.convert_time_zone(zone).dt.date(),
                last_date=last.dt.convert_time_zone(zone).dt.date(),
            ),
        )


def _split(sessions: pl.DataFrame, servers: Mapping[str, str]) -> Iterator[pl.LazyFrame]:
    """User, product, local date and the instant at which it is touched: first dates, then the later ones."""
    for zone, dated in _by_zone(sessions, servers):
        yield dated.select("user", "product", date="first_date", touched_at="start")
        later = pl.date_ranges(pl.col("first_date") + pl.duration(days=1), "last_date")
        midnight = pl.col("date").cast(pl.Datetime("us")).dt.replace_time_zone(zone).dt.convert_time_zone("UTC")
        several = dated.filter(pl.col("last_date") > pl.col("first_date"))
        yield several.select("user", "product", date=later).explode("date").with_columns(touched_at=midnight)


def days_in_duckdb(
    connection: duckdb.DuckDBPyConnection, sessions: pl.DataFrame, servers: Mapping[str, str]
) -> pl.DataFrame:
    """Distinct user, product and local date. Only the few sessions that touch several dates are unnested."""
    connection.register("sessions", sessions)
    connection.register("servers", pl.DataFrame({"server": list(servers), "zone": list(servers.values())}))
    return connection.sql(_DAYS).pl()


_DAYS: Final = """
    with dated as (
        select
            "user", product,
            timezone(zone, start)::date as first_date,
            timezone(zone, greatest(start, "end" - interval 1 microsecond))::date as last_date
        from sessions join servers using (server)
    ),
    touched as (
        select "user", product, first_date as date from dated
        union all
        select "user", product, unnest(generate_series(first_date + 1, last_date, interval 1 day))::date as date
        from dated where last_date > first_date
    )
    select distinct "user", product, date from touched
"""
