"""Which sessions were in use in which paid windows, and how long."""

from __future__ import annotations

from datetime import timedelta
from typing import Final, Literal

import polars as pl

from tokenflex import tables
from tokenflex.errors import ArgumentError, ColumnTypeError, MissingColumnError
from tokenflex.reading.names import is_text

_SESSIONS: Final = ("user", "product", "start", "end")
_TEXTS: Final = ("user", "product", "server", "host")
_TIMES: Final = ("charged_at", "window_end", "start", "end")
_CHARGES: Final = ("user", "product", "charged_at", "window_end", "session")


def uses_of(
    charges: pl.DataFrame, sessions: pl.DataFrame, *, machine_metered: frozenset[str], per_server: bool
) -> pl.DataFrame:
    """For each charge the sessions of its payer and product in its window.

    Returns:
        `charge` and `session` (rows of the tables), `since` (when the use in the window began), `used` (microseconds).
        A session without an end is in use until the last instant in the data.
    """
    _check(charges, sessions)
    windows = charges.select(pl.col(name) for name in (*_CHARGES, *(["server"] if "server" in charges.columns else [])))
    windows = windows.with_columns(_texts(windows)).with_row_index("charge")
    if machine_metered and "host" in sessions.columns:
        windows = windows.with_columns(sessions["host"].cast(pl.String).gather(windows["session"]))
    windows = windows.with_columns(_paid_by_host(windows, machine_metered))
    used = _spans(sessions, machine_metered, last=windows["charged_at"].max())
    keys = ["user", "product"]
    if per_server and "server" in windows.columns and "server" in used.columns:
        keys.append("server")
    windows = (
        windows.sort(*keys, "charged_at").with_row_index("place").with_columns(pl.col("place", "charge").cast(pl.Int64))
    )
    pairs = _touched(used, windows, keys)
    known = pairs.hstack(windows.select(pl.col("charge", "charged_at", "window_end").gather(pairs["place"])))
    since = pl.max_horizontal("start", "charged_at")
    until = pl.min_horizontal("end", "window_end")
    return known.select(
        pl.col("charge").cast(pl.UInt64),
        pl.col("row").cast(pl.UInt64).alias("session"),
        since.alias("since"),
        (until - since).dt.total_microseconds().alias("used"),
    ).filter(pl.col("used") >= 0)


def _check(charges: pl.DataFrame, sessions: pl.DataFrame) -> None:
    _check_columns(charges, "charges", _CHARGES)
    _check_columns(sessions, "sessions", _SESSIONS)


def check_rows(charges: pl.DataFrame, sessions: pl.DataFrame) -> None:
    """Raises unless the charges say of which rows of the sessions they are."""
    if "session" not in charges.columns:
        raise MissingColumnError(
            "column 'session' is missing from the charges: of which session is each?", column="session"
        )
    if not (charges.schema["session"].is_integer() or charges.schema["session"] == pl.Null):
        raise ColumnTypeError(f"column 'session' is {charges.schema['session']}, no rows", column="session")
    last = charges["session"].max()
    if isinstance(last, int) and last >= sessions.height:
        raise ArgumentError(
            f"a charge is of session {last}, but sessions has {sessions.height} rows: give those that were charged",
            location="sessions",
        )


def _check_columns(table: pl.DataFrame, what: str, needed: tuple[str, ...]) -> None:
    for name in needed:
        if name not in table.columns:
            raise MissingColumnError(f"column {name!r} is missing from the {what}", column=name)
    for name, dtype in table.schema.items():
        if name in _TEXTS and not is_text(dtype):
            raise ColumnTypeError(f"column {name!r} of the {what} is {dtype}, but has to be text", column=name)
        is_instant = isinstance(dtype, pl.Datetime) and dtype.time_zone is not None
        if name in _TIMES and name in needed and not is_instant and dtype != pl.Null:
            raise ColumnTypeError(
                f"column {name!r} of the {what} is {dtype}, but has to be instants with a time zone", column=name
            )


def _texts(table: pl.DataFrame) -> list[pl.Expr]:
    return [pl.col(name).cast(pl.String) for name in _TEXTS if name in table.columns]


def _paid_by_host(table: pl.DataFrame, machine_metered: frozenset[str]) -> pl.Expr:
    """Who pays: the host for what is metered by machine."""
    if "host" not in table.columns:
        return pl.col("user")
    return pl.when(pl.col("product").is_in(list(machine_metered))).then("host").otherwise("user").alias("user")


def _spans(sessions: pl.DataFrame, machine_metered: frozenset[str], *, last: object) -> pl.DataFrame:
    """What was in use from when to when, by who pays."""
    names = [name for name in ("server", "host") if name in sessions.columns]
    spans = sessions.select(*_SESSIONS, *names).with_row_index("row")
    spans = spans.with_columns(*_texts(spans), pl.col("start", "end").cast(tables.TIME))
    spans = spans.filter(pl.col("start").is_not_null()).with_columns(_paid_by_host(spans, machine_metered))
    latest = pl.max_horizontal(pl.col("end").max(), pl.col("start").max(), pl.lit(last, tables.TIME))
    return spans.with_columns(end=pl.col("end").fill_null(latest)).filter(pl.col("end") >= pl.col("start"))


def _touched(used: pl.DataFrame, windows: pl.DataFrame, keys: list[str]) -> pl.DataFrame:
    """A row for each session and each window (by `place`) that it touches.

    Windows of one key may overlap, as the days of servers in two zones do. But none is longer than the longest, so
    those that a session touches lie between the first that begins so long before it and the last that begins in it.
    """
    longest = windows.select((pl.col("window_end") - pl.col("charged_at")).max()).item() or timedelta(0)
    places = windows.select(*keys, "charged_at", "place").sort("charged_at")
    used = used.select("row", *keys, "start", "end").with_columns(
        since=pl.col("start") - longest + pl.duration(microseconds=1),
        # The last instant that is in use.
        until=pl.max_horizontal("start", pl.col("end") - pl.duration(microseconds=1)),
    )

    def found(on: str, strategy: Literal["backward", "forward"]) -> pl.Series:
        joined = used.sort(on).join_asof(
            places, left_on=on, right_on="charged_at", by=keys, strategy=strategy, check_sortedness=False
        )
        return joined.sort("row")["place"]

    whole = used.sort("row").with_columns(first=found("since", "forward"), last=found("until", "backward"))
    whole = whole.filter(pl.col("first") <= pl.col("last"))
    ranges = whole.select("row", "start", "end", place=pl.int_ranges("first", pl.col("last") + 1)).explode("place")
    ends = windows["window_end"].gather(ranges["place"])
    return ranges.filter(ends > ranges["start"])
