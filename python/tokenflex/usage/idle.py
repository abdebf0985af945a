"""`idle`: when sessions held a license that nobody used, by what was recorded or by the shape of use.

A span begins at the last sign of use, as the idle clock of a license server does, so that `harvest_replay` can ask
after how long a license should have been taken back.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, time, timedelta
from typing import TYPE_CHECKING, Final

import polars as pl

from tokenflex import tables
from tokenflex.arrow import AnyTable, frame_of, refuses_clearly
from tokenflex.errors import ArgumentError, ArgumentTypeError
from tokenflex.problems import Problems, report
from tokenflex.reading.periods import column_of, instants_of
from tokenflex.reading.user_zones import Users, zones_in
from tokenflex.times import EPOCH, TOO_LATE, checked_duration, instant_in_data
from tokenflex.usage.activity import Activity, spans_by_activity, text_of, without_faults
from tokenflex.usage.quiet import spans_of_quiet
from tokenflex.usage.rest import Rest

if TYPE_CHECKING:
    from collections.abc import Iterable

Timeout = timedelta | Mapping[str, timedelta]
"""After how long without use a server takes a license back: one time for all products, or one for each."""

NAMES: Final = ("user", "host", "product", "server")
NIGHT: Final = time(20), time(6)
FREE_DAYS: Final = (6, 7)
NOT_BY_HAND: Final = ("inactive", "shutdown", "stop", "crash", "restart", "open")
"""Ends of sessions that are no sign of the user."""

FAULTS: Final = {
    "missing_user": "no user: not looked at",
    "missing_start": "no start: not looked at",
    "time_out_of_range": "a time before 1970 or from 2200 on: not looked at",
    "end_before_start": "its end comes before its start: not looked at",
}


@refuses_clearly
def idle(
    sessions: AnyTable,
    *,
    activity: AnyTable | None = None,
    timeout: Timeout | None = None,
    users: Users | None = None,
    idle_after: timedelta = timedelta(minutes=15),
    quiet: timedelta = timedelta(hours=4),
    night: tuple[time, time] = NIGHT,
    free_days: Iterable[int] = FREE_DAYS,
    min_confidence: float = 0.5,
    recorded_until: datetime | None = None,
    as_of: datetime | None = None,
    problems: Problems | None = None,
) -> pl.DataFrame:
    """Finds the spans in which a session held a license without use.

    Three things tell of it, and the surest that a session has is taken. Recorded activity: idle from the last sign of
    use (the launch is one) to the next. A check-in that the server made (`end_reason` is `inactive`): idle for
    `timeout` before it. The shape of use, which is an inference: a session that stays open through its user's night, a
    free day or a whole working day without a launch or check-in of that user, in any product.

    Args:
        sessions: Any Arrow table with the columns `user`, `product` (text), `start` and `end` (instants); `host` and
            `server` (text), and `end_reason` and `is_open`, as `pair` gives them, where it has them. A null `end` is a
            session that is still open.
        activity: As for `charge`: `user` and `time` of instants, or `user`, `start` and `end` of idle stretches; `host`
            and `product` where they are known.
        timeout: After how long without use the server takes a license back, for all products or by product. Without
            it check-ins with the reason INACTIVE tell nothing.
        users: The IANA zone of each user. Without it nothing is inferred.
        idle_after: Shorter spans are not told.
        quiet: How long a night or free day has to pass with the session open and without a sign, to be told.
        night: When the night begins and ends by the clock on the user's wall.
        free_days: Days of the week, 1 (Monday) to 7, on which nobody is expected at work.
        min_confidence: What is less sure is not told. For a night or free day confidence is the share of the user's
            other nights or free days that were without a sign; for a working day that of the user's working days with
            more signs than a first launch and a last check-in. Both are over one more than those there are, so a user
            of whom little is known is never sure.
        recorded_until: Until when activity was recorded; its last instant unless given.
        as_of: When open sessions end; the last instant in the sessions unless given.
        problems: Collects rows that cannot be looked at, and users without a zone; without it, a `TokenflexWarning`
            tells of them.

    Returns:
        The spans, see `tables.IDLE`, in order of session, then of start.

    Raises:
        ArgumentError: None of `activity`, `timeout` and `users` is given; a duration is negative; night, free days or
            confidence make no sense; an instant lies outside of the years that data may have.
        ArgumentTypeError: An argument is of a type that cannot be taken.
        ZoneError: There is no such zone.
        MissingColumnError, ColumnTypeError: A table lacks a column, or has it in a type that cannot be taken.

    Example:
        >>> import tokenflex as tf, polars as pl
        >>> from datetime import datetime, timezone
        >>> def at(hour, minute=0): return datetime(2026, 7, 13, hour, minute, tzinfo=timezone.utc)
        >>> sessions = pl.DataFrame({"user": ["ana"], "product": ["ACD"], "start": [at(8)], "end": [at(17)]})
        >>> activity = pl.DataFrame({"user": ["ana"] * 3, "time": [at(8, 10), at(12), at(16, 55)]})
        >>> for span in tf.idle(sessions, activity=activity).iter_rows(named=True):
        ...     print(f"{span['start']:%H:%M}", span["duration"], span["source"], span["confidence"])
        08:10 3:50:00 activity 1.0
        12:00 4:55:00 activity 1.0
    """
    if activity is None and timeout is None and users is None:
        raise ArgumentError(
            "nothing tells of idle time: give activity= (what agents recorded), timeout= (the server's own), or users= "
            "(zones, to infer it from the shape of use)",
            location="activity",
        )
    for name, value in (("idle_after", idle_after), ("quiet", quiet)):
        checked_duration(value, name)
    rest, times_out = Rest.of(night, free_days), _timeouts(timeout)
    least = _share(min_confidence)
    for name, instant in (("recorded_until", recorded_until), ("as_of", as_of)):
        if instant is not None:
            instant_in_data(instant, name)
    rows, bad = session_rows(sessions, as_of)
    recorded = None if activity is None else Activity.of(activity, recorded_until)
    homes = zones_in(users, "users")
    spans, left = spans_of(rows, recorded, times_out, homes, Measures(rest, quiet, least, idle_after))
    found = [bad] if recorded is None else [bad, recorded.problems]
    if homes is not None:
        found.append(_without_zone(left.filter(pl.col("end") - pl.col("start") >= quiet), homes))
    report(pl.concat(found), problems, "idle")
    return _told(spans, rows, idle_after)


@dataclass(frozen=True)
class Measures:
    """What is long and sure enough: of rests, how long one has to pass and how sure it has to be; of spans at all."""

    rest: Rest = field(default_factory=lambda: Rest.of(NIGHT, FREE_DAYS))
    quiet: timedelta = timedelta(hours=4)
    least: float = 0.5
    idle_after: timedelta = timedelta(minutes=15)


def spans_of(
    rows: pl.DataFrame,
    activity: Activity | None,
    timeout: Mapping[str, timedelta] | timedelta | None,
    homes: Mapping[str, str] | None,
    by: Measures,
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The spans of sessions (`row`, `start`, `end`, `source`, `confidence`), and those of which no activity tells."""
    found, left = [], rows
    if activity is not None:
        spans, told = spans_by_activity(rows, activity, by.idle_after)
        found.append(spans.with_columns(source=pl.lit("activity"), confidence=1.0))
        left = rows.filter(~pl.col("row").is_in(told.implode()))
    taken = _taken_back(left, timeout)
    found.append(taken)
    if homes is not None:
        least = max(by.quiet, timedelta(microseconds=1))
        inferred = spans_of_quiet(rows, left, homes=homes, rest=by.rest, least=least)
        found.append(_before(inferred.filter(pl.col("confidence") >= by.least), taken))
    return pl.concat(found), left


def session_rows(sessions: AnyTable, as_of: datetime | None) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Sessions that can be looked at, and those that cannot as problems.

    Returns:
        `row`, names as text, `start`, `end`, `reason`, `is_open`, and `is_by_hand`: whether the end is a sign of the
        user.
    """
    frame = frame_of(sessions)
    for name in ("user", "product"):
        column_of(frame, name)
    start, end = instants_of(frame, "start"), instants_of(frame, "end")
    rows = pl.DataFrame([*(text_of(frame, name) for name in NAMES), start, end])
    reason = text_of(frame, "end_reason").alias("reason")
    is_open = frame["is_open"].cast(pl.Boolean) if "is_open" in frame.columns else pl.Series("is_open", [False])
    is_open = is_open.alias("is_open") if len(is_open) == frame.height else is_open.new_from_index(0, frame.height)
    rows = rows.hstack([reason, is_open])
    instants = pl.concat([start, end.alias("start")])
    last = as_of or instants.filter((instants >= EPOCH) & (instants < TOO_LATE)).max()
    rows = rows.with_columns(is_open=pl.col("end").is_null() | pl.col("is_open").fill_null(value=False))
    by_reason = ~pl.col("reason").is_in(NOT_BY_HAND).fill_null(value=False)
    rows = rows.with_columns(
        is_by_hand=~pl.col("is_open") & by_reason,
        end=pl.coalesce("end", pl.max_horizontal("start", pl.lit(last, tables.TIME))),
    )
    return without_faults(rows, "sessions", FAULTS)


def _timeouts(timeout: object) -> dict[str, timedelta] | timedelta | None:
    if timeout is None or isinstance(timeout, timedelta):
        return None if timeout is None else checked_duration(timeout, "timeout")
    if not isinstance(timeout, Mapping):
        raise ArgumentTypeError(
            f"timeout has to be a timedelta, or a mapping from product to one, not {type(timeout).__name__}",
            location="timeout",
        )
    return {str(product): checked_duration(value, "timeout") for product, value in timeout.items()}


def _share(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ArgumentTypeError(f"min_confidence has to be a number, not {value!r}", location="min_confidence")
    if not 0 <= value <= 1:
        raise ArgumentError(f"min_confidence is {value}, but has to lie in 0 to 1", location="min_confidence")
    return value


def _taken_back(rows: pl.DataFrame, timeout: Mapping[str, timedelta] | timedelta | None) -> pl.DataFrame:
    """The idle time before the server took a license back."""
    length = pl.Duration("us")
    if timeout is None or isinstance(timeout, timedelta):
        lasting = pl.lit(timeout, length)
    else:
        lasting = pl.col("product").replace_strict(dict(timeout), default=None, return_dtype=length)
    taken = rows.filter(pl.col("reason") == "inactive").with_columns(lasting=lasting).drop_nulls("lasting")
    return taken.select(
        "row",
        # A session that is shorter than the timeout was idle from its launch on.
        start=pl.max_horizontal("start", pl.col("end") - pl.min_horizontal("lasting", pl.col("end") - pl.col("start"))),
        end="end",
        source=pl.lit("timeout"),
        confidence=1.0,
    )


def _before(inferred: pl.DataFrame, taken: pl.DataFrame) -> pl.DataFrame:
    """What was inferred, up to where the server's own idle time begins."""
    begins = taken.select("row", taken="start")
    cut = inferred.join(begins, on="row", how="left").with_columns(end=pl.min_horizontal("end", "taken"))
    return cut.drop("taken").filter(pl.col("start") < pl.col("end"))


def _without_zone(rows: pl.DataFrame, homes: Mapping[str, str]) -> pl.DataFrame:
    """A problem for each user of long sessions of whom nothing can be inferred."""
    lost = rows.filter(~pl.col("user").is_in(list(homes))).group_by("user").agg(count=pl.len()).sort("user")
    return lost.select(
        source=pl.lit("users"),
        location=pl.lit(None, pl.UInt64),
        code=pl.lit("user_without_zone"),
        message=pl.format("{} has no zone in users=: no idle time is inferred, sessions: {}", "user", "count"),
    )


def _told(spans: pl.DataFrame, rows: pl.DataFrame, idle_after: timedelta) -> pl.DataFrame:
    spans = spans.with_columns(duration=pl.col("end") - pl.col("start"))
    # A span of no length is none, also where all are asked for.
    spans = spans.filter(pl.col("duration") >= max(idle_after, timedelta(microseconds=1)))
    names = rows.select("row", *NAMES)
    told = spans.join(names, on="row", how="inner").sort("row", "start").rename({"row": "session"})
    return tables.finish(told, tables.IDLE)
