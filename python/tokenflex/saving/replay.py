"""`harvest_replay`: what taking idle licenses back would have saved, by charging the sessions anew with the cuts.

A cut inside of a window that is paid saves nothing, and use that goes on after a cut is a launch that may be charged.
So nothing is estimated here: the sessions are cut, and charged.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Final

import polars as pl

from tokenflex import tables
from tokenflex.arrow import AnyTable, frame_of, refuses_clearly
from tokenflex.audit.windows import uses_of
from tokenflex.errors import ArgumentError, ArgumentTypeError
from tokenflex.metering.charge import charge
from tokenflex.problems import Problems, report
from tokenflex.progress import Progress, watched
from tokenflex.reading.periods import column_of, instants_of
from tokenflex.times import checked_duration
from tokenflex.usage.idle import idle as idle_spans
from tokenflex.usage.idle import session_rows

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from tokenflex.metering.rates import Rates
    from tokenflex.metering.rule import Rule
    from tokenflex.reading.user_zones import Users

AFTER: Final = tuple(timedelta(minutes=minutes) for minutes in (15, 30, 60, 120, 240, 480, 720, 1440, 2880, 4320))
"""Times after which a license is taken back, where the caller says none."""

NAMES: Final = ("user", "product", "server", "host")


@refuses_clearly
def harvest_replay(
    sessions: AnyTable,
    *,
    rule: Rule,
    rates: Rates,
    after: Iterable[timedelta] = AFTER,
    servers: Mapping[str, str] | None = None,
    users: Users | None = None,
    activity: AnyTable | None = None,
    idle: AnyTable | None = None,
    as_of: datetime | None = None,
    progress: Progress = None,
    problems: Problems | None = None,
) -> pl.DataFrame:
    """Says for each time what would have been saved, had licenses been taken back after being idle for so long.

    A session loses its license that long after an idle span began. Where use goes on after the span it is launched
    again, and that may be charged. All is metered anew, so what is told is what the rule charges.

    Args:
        sessions: As for `charge`, as a whole table.
        rule: As for `charge`.
        rates: As for `charge`.
        after: How long a license is idle when it is taken back.
        servers: As for `charge`.
        users: As for `charge`, and as for `idle`: without activity, idle time is inferred by them.
        activity: As for `charge` and `idle`.
        idle: What `idle` gave for these sessions, or some of its rows: `session`, `start` and `end`. Unless given,
            `idle` is run with `activity`, `users` and `as_of`.
        as_of: As for `charge`.
        progress: `True` shows a bar on the terminal; a function is called with the times done and the times in all.
        problems: As for `charge` and `idle`. Also collects spans that lie in no session (`idle_without_session`).

    Returns:
        A row for each time, shortest first, see `tables.HARVEST_REPLAY`.

    Raises:
        ZoneError, ArgumentError, MissingColumnError, ColumnTypeError: As for `charge` and `idle`.
        ArgumentError: A time of `after` is not positive, or there is none.
        ArgumentTypeError: A time of `after` is no timedelta.

    Example:
        >>> import tokenflex as tf, polars as pl
        >>> from datetime import datetime, timedelta, timezone
        >>> def at(day, hour): return datetime(2026, 7, day, hour, tzinfo=timezone.utc)
        >>> sessions = pl.DataFrame({
        ...     "user": ["ana"], "product": ["ACD"], "start": [at(17, 8)], "end": [at(20, 9)],
        ... })  # from Friday to Monday
        >>> idle = pl.DataFrame({"session": [0], "start": [at(17, 17)], "end": [at(20, 8)]})
        >>> found = tf.harvest_replay(
        ...     sessions, rule=tf.Rule(window="day", zone="utc"), rates=tf.Rates({"ACD": 7}), idle=idle,
        ...     after=[timedelta(hours=1), timedelta(hours=12), timedelta(days=2)],
        ... )
        >>> for row in found.iter_rows(named=True):
        ...     print(row["after"], row["tokens_before"], row["tokens_saved"], row["reopens"])
        1:00:00 28.0000 14.0000 1
        12:00:00 28.0000 7.0000 1
        2 days, 0:00:00 28.0000 0.0000 1
    """
    times = checked_times(after)
    frame = frame_of(sessions)
    mine = Problems()
    before = charge(
        frame, rule=rule, rates=rates, servers=servers, users=users, activity=activity, as_of=as_of, problems=mine
    )
    found = mine.frame
    rows = uses_of(frame, found, rule=rule, rates=rates, as_of=as_of).select("row", "key", *NAMES)
    spans = _spans(frame, idle, activity=activity, users=users, least=times[0], as_of=as_of, problems=mine)
    known, _ = session_rows(frame, as_of)
    cuts = _cuts(spans, known, mine)
    touched = _Touched.of(rows, known, cuts.filter(pl.col("until") - pl.col("since") > times[0]), before)
    told = []
    with watched(progress, "replaying times", len(times), counts_bytes=False) as tell:
        for place, time in enumerate(times):
            made = _at(cuts, time)
            pieces = touched.pieces(made)
            after_all = charge(
                pieces, rule=rule, rates=rates, servers=servers, users=users, activity=activity, problems=Problems()
            )
            after_all = after_all.with_columns(key=pieces["key"].gather(after_all["session"]))
            told.append({"after": time} | _counted(made) | touched.compared(made, after_all))
            if tell is not None:
                tell(place + 1)
    report(mine.frame, problems, "harvest_replay")
    return pl.DataFrame(told, schema=dict(tables.HARVEST_REPLAY))


def checked_times(after: object, argument: str = "after") -> list[timedelta]:
    """Times of idleness, each once, shortest first."""
    try:
        times = list(after)  # type: ignore[call-overload]  # what is not iterable is refused
    except TypeError as error:
        raise ArgumentTypeError(f"{argument} has to be a list of timedeltas", location=argument) from error
    for time in times:
        if checked_duration(time, argument) <= timedelta(0):
            raise ArgumentError(
                f"{argument} holds 0: a license that is taken back at once is not used", location=argument
            )
    if not times:
        raise ArgumentError(f"{argument} is empty: say after how long, such as [timedelta(hours=1)]", location=argument)
    return sorted(set(times))


def _spans(
    frame: pl.DataFrame,
    idle: AnyTable | None,
    *,
    activity: AnyTable | None,
    users: Users | None,
    least: timedelta,
    as_of: datetime | None,
    problems: Problems,
) -> pl.DataFrame:
    """The idle spans as `place` in their table, `row`, `since` and `until`."""
    if idle is None:
        again = Problems()
        found = idle_spans(frame, activity=activity, users=users, idle_after=least, as_of=as_of, problems=again)
        # Rows that cannot be charged cannot be looked at either, and have been told of.
        problems.add(again.frame.filter(pl.col("source") != "sessions"))
    else:
        found = frame_of(idle)
    row = column_of(found, "session").cast(pl.UInt64).alias("row")
    since, until = instants_of(found, "start").alias("since"), instants_of(found, "end").alias("until")
    return pl.DataFrame([row, since, until]).with_row_index("place")


def _cuts(spans: pl.DataFrame, rows: pl.DataFrame, problems: Problems) -> pl.DataFrame:
    """The spans within their sessions: `row`, `since`, `until`, and whether use `goes_on` after them.

    Those that overlap are one. Where two touch there was a sign of use, so they are two.
    """
    within = spans.join(rows.select("row", "start", "end"), on="row", how="left", maintain_order="left").with_columns(
        since=pl.max_horizontal("since", "start"), until=pl.min_horizontal("until", "end")
    )
    is_none = pl.any_horizontal(pl.col("start", "since", "until").is_null()) | (pl.col("since") >= pl.col("until"))
    problems.add(
        within.filter(is_none).select(
            source=pl.lit("idle"),
            location=pl.col("place").cast(pl.UInt64),
            code=pl.lit("idle_without_session"),
            message=pl.format("lies in no session that can be charged: session {}", pl.col("row").fill_null(0)),
        )
    )
    within = within.filter(~is_none).select("row", "since", "until", "end").sort("row", "since")
    overlaps = (pl.col("row") == pl.col("row").shift(1)) & (pl.col("since") < pl.col("until").shift(1))
    doubled = within.filter(overlaps.fill_null(value=False)).select("row").unique()
    if not doubled.is_empty():
        # A running maximum within each session is dear, and those that `idle` gives need none.
        once = within.join(doubled, on="row", how="anti")
        within = pl.concat([once, _joined(within.join(doubled, on="row", how="semi"))]).sort("row", "since")
    return within.with_columns(goes_on=pl.col("until") < pl.col("end")).drop("end")


def _joined(spans: pl.DataFrame) -> pl.DataFrame:
    """Spans that overlap, as one."""
    spans = spans.sort("row", "since")
    begins = (pl.col("since") >= pl.col("until").cum_max().shift(1).over("row")).fill_null(value=True)
    return (
        spans.with_columns(run=begins.cum_sum())
        .group_by("row", "run", maintain_order=True)
        .agg(pl.col("since").first(), pl.col("until").max(), pl.col("end").first())
        .drop("run")
    )


def _counted(cuts: pl.DataFrame) -> dict[str, object]:
    """What was cut."""
    freed: timedelta = cuts.select((pl.col("until") - pl.col("cut")).sum()).item() or timedelta(0)
    return {
        "sessions_cut": cuts["row"].n_unique(),
        "cuts": cuts.height,
        "reopens": int(cuts["goes_on"].sum()),
        "hours_freed": freed / timedelta(hours=1),
    }


def without_idle(
    sessions: pl.DataFrame, *, idle: AnyTable, after: timedelta, as_of: datetime | None = None
) -> pl.DataFrame:
    """The sessions as they would have been, had licenses been taken back after being idle for so long.

    All that can be looked at, with all columns; `start` and `end` are those of the pieces.
    """
    nobody = Problems()
    spans = _spans(sessions, idle, activity=None, users=None, least=after, as_of=as_of, problems=nobody)
    rows, _ = session_rows(sessions, as_of)
    made = _at(_cuts(spans, rows, nobody), after)
    whole = sessions.drop("start", "end").with_row_index("row").with_columns(pl.col("row").cast(pl.UInt64))
    known = rows.select(pl.col("row").cast(pl.UInt64), "start", "end")
    return _pieces(whole.join(known, on="row", how="inner", maintain_order="left"), made).drop("row")


def _at(cuts: pl.DataFrame, time: timedelta) -> pl.DataFrame:
    """The spans that are longer than a time, with the instant at which the license is taken back (`cut`)."""
    return cuts.filter(pl.col("until") - pl.col("since") > time).with_columns(cut=pl.col("since") + time)


def _pieces(sessions: pl.DataFrame, cuts: pl.DataFrame) -> pl.DataFrame:
    """Sessions (`row`, `start`, `end`) without what was cut out of them, in order of `row`."""
    columns = sessions.columns
    whole = sessions.join(cuts, on="row", how="anti")
    cuts = sessions.join(cuts, on="row", how="inner").sort("row", "since")
    is_first = pl.col("row").is_first_distinct()
    before = cuts.with_columns(start=pl.when(is_first).then("start").otherwise(pl.col("until").shift(1)), end="cut")
    last = cuts.filter(pl.col("row").is_last_distinct() & pl.col("goes_on")).with_columns(start="until")
    # Pieces of one session are in order already.
    parts = [whole.select(columns), before.select(columns), last.select(columns)]
    return pl.concat(parts).sort("row", maintain_order=True)


class _Touched:
    """Who pays for anything that is cut at all: their sessions and charges. All others pay what they paid."""

    def __init__(self, uses: pl.DataFrame, charges: pl.DataFrame, others: pl.DataFrame) -> None:
        self._uses = uses
        self._charges = charges
        self._others = others

    @classmethod
    def of(cls, uses: pl.DataFrame, rows: pl.DataFrame, cuts: pl.DataFrame, charges: pl.DataFrame) -> _Touched:
        keys = uses.join(cuts.select(pl.col("row").cast(pl.UInt32)), on="row", how="semi")["key"].unique().implode()
        own = charges.select("charged_at", "tokens", row=pl.col("session").cast(pl.UInt32))
        own = own.join(uses.select("row", "key"), on="row", how="left", maintain_order="left")
        is_touched = pl.col("key").is_in(keys)
        # As categories, so that charging again and again does not read the names again.
        uses = uses.filter(is_touched).with_columns(pl.col("row").cast(pl.UInt64), pl.col(NAMES).cast(tables.NAME))
        uses = uses.join(rows.select("row", "start", "end"), on="row", how="inner", maintain_order="left")
        return cls(uses, own.filter(is_touched), own.filter(~is_touched))

    def pieces(self, cuts: pl.DataFrame) -> pl.DataFrame:
        """The sessions without what was cut out of them, in the order of the sessions."""
        return _pieces(self._uses, cuts)

    def compared(self, cuts: pl.DataFrame, after: pl.DataFrame) -> dict[str, object]:
        """What all pay as it was and with the cuts, and how many of the cuts changed nothing for the better."""
        others, before = self._others, self._charges
        tokens = {
            "tokens_before": _sum(others) + _sum(before),
            "tokens_after": _sum(others) + _sum(after),
            "tokens_saved": _sum(before) - _sum(after),
        }
        return tokens | {
            "cuts_saving_nothing": self._without_saving(cuts, after),
            "charges_before": others.height + before.height,
            "charges_after": others.height + after.height,
            "charges_avoided": before.height - after.height,
            "charges_without_rate": others["tokens"].null_count() + after["tokens"].null_count(),
        }

    def _without_saving(self, cuts: pl.DataFrame, after: pl.DataFrame) -> int:
        """A cut changes nothing before it, so what differs between two cuts of one payer is the doing of the first."""
        of_keys = cuts.join(self._uses.select("row", "key"), on="row", how="inner").select("key", "cut")
        instants = of_keys.unique().sort("cut")
        signed = pl.concat(
            [
                self._charges.select("key", "charged_at", "tokens"),
                after.select("key", "charged_at", tokens=-pl.col("tokens")),
            ]
        )
        saved = (
            signed.sort("charged_at")
            .join_asof(
                instants,
                left_on="charged_at",
                right_on="cut",
                by="key",
                check_sortedness=False,
                coalesce=False,
            )
            .group_by("key", "cut")
            .agg(saved=pl.col("tokens").sum())
        )
        saving = of_keys.join(saved.filter(pl.col("saved") > 0), on=["key", "cut"], how="semi")
        return cuts.height - saving.height


def _sum(charges: pl.DataFrame) -> Decimal:
    return Decimal(charges["tokens"].sum() or 0)
