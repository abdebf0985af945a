"""Which sessions were in use in which paid windows, and how long."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import polars as pl

from tokenflex import tables
from tokenflex.errors import ArgumentError, MissingColumnError

if TYPE_CHECKING:
    from collections.abc import Sequence

_SESSIONS: Final = ("user", "product", "start", "end")
_CHARGES: Final = ("user", "product", "charged_at", "window_end", "session")


def uses_of(charges: pl.DataFrame, sessions: pl.DataFrame) -> pl.DataFrame:
    """For each charge the sessions of its payer and product in its window.

    Windows of one payer and product do not overlap, except where each server charges by itself. So those that a session
    touches are neighbours: found by where its start and its end fall.

    Returns:
        `charge` and `session` (rows of the tables), `since` (when the use in the window began), `used` (microseconds).
        A session without an end is in use until the last instant in the data.
    """
    _check(charges, sessions)
    windows = charges.select(pl.col(name) for name in (*_CHARGES, *(["server"] if "server" in charges.columns else [])))
    windows = windows.with_row_index("charge").with_columns(_texts(windows))
    by_machine = _by_machine(windows, sessions)
    used = _spans(sessions, by_machine, last=windows["charged_at"].max())
    keys = ["user", "product"]
    windows = windows.sort(*keys, "charged_at")
    if "server" in windows.columns and "server" in used.columns and _overlap(windows, keys):
        keys.append("server")
        windows = windows.sort(*keys, "charged_at")
    windows = windows.with_row_index("place").with_columns(pl.col("place", "charge").cast(pl.Int64))
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
    for what, table, names in (("charges", charges, _CHARGES), ("sessions", sessions, _SESSIONS)):
        for name in names:
            if name not in table.columns:
                raise MissingColumnError(f"column {name!r} is missing from the {what}", column=name)
    last = charges["session"].max()
    if isinstance(last, int) and last >= sessions.height:
        raise ArgumentError(
            f"a charge is of session {last}, but sessions has {sessions.height} rows: give the sessions that were charged",
            location="sessions",
        )


def _texts(table: pl.DataFrame) -> list[pl.Expr]:
    return [pl.col(name).cast(pl.String) for name in ("user", "product", "server", "host") if name in table.columns]


def _by_machine(windows: pl.DataFrame, sessions: pl.DataFrame) -> list[str]:
    """Products whose payer is the host of the session and not its user."""
    if "host" not in sessions.columns:
        return []
    of = sessions.select(pl.col("user", "host").cast(pl.String).gather(windows["session"]))
    paid = windows.select("product", payer="user").hstack(of)
    is_host = (pl.col("payer") == pl.col("host")) & (pl.col("payer") != pl.col("user"))
    found: list[str] = paid.filter(is_host)["product"].unique().to_list()
    return found


def _spans(sessions: pl.DataFrame, by_machine: list[str], *, last: object) -> pl.DataFrame:
    """What was in use from when to when, by who pays."""
    names = [name for name in ("server", "host") if name in sessions.columns]
    spans = sessions.select(*_SESSIONS, *names).with_row_index("row")
    spans = spans.with_columns(*_texts(spans), pl.col("start", "end").cast(tables.TIME)).filter(
        pl.col("start").is_not_null()
    )
    if by_machine:
        spans = spans.with_columns(user=pl.when(pl.col("product").is_in(by_machine)).then("host").otherwise("user"))
    latest = pl.max_horizontal(pl.col("end").max(), pl.col("start").max(), pl.lit(last, tables.TIME))
    return spans.with_columns(end=pl.col("end").fill_null(latest)).filter(pl.col("end") >= pl.col("start"))


def _overlap(windows: pl.DataFrame, keys: Sequence[str]) -> bool:
    before = pl.col("window_end").shift(1).over(keys)
    return bool(windows.select((pl.col("charged_at") < before).any()).item())


def _touched(used: pl.DataFrame, windows: pl.DataFrame, keys: list[str]) -> pl.DataFrame:
    """A row for each session and each window (by `place`) that it touches."""
    places = windows.select(*keys, "charged_at", "window_end", "place")
    used = used.select("row", *keys, "start", "end").with_columns(
        # The last instant that is in use.
        until=pl.max_horizontal("start", pl.col("end") - pl.duration(microseconds=1))
    )

    def found(on: str, strategy: str, name: str) -> pl.Series:
        joined = used.sort(on).join_asof(
            places.sort("charged_at").rename({"place": name}),
            left_on=on,
            right_on="charged_at",
            by=keys,
            strategy=strategy,  # type: ignore[arg-type]  # one of two words
            check_sortedness=False,
        )
        return joined.sort("row").select("row", name, "window_end")

    running, ahead, last = (
        found("start", "backward", "a"),
        found("start", "forward", "b"),
        found("until", "backward", "c"),
    )
    used = used.sort("row")
    whole = used.select("row", "start", "end").hstack([running["a"], running["window_end"], ahead["b"], last["c"]])
    first = pl.when(pl.col("window_end") > pl.col("start")).then("a").otherwise("b")
    whole = whole.with_columns(first=first).filter(pl.col("first") <= pl.col("c"))
    ranges = whole.with_columns(place=pl.int_ranges("first", pl.col("c") + 1))
    return ranges.select("row", "start", "end", "place").explode("place")
