"""`avoidable_charges`: which charges another habit would have saved, and how.

The unit is the window: it is saved when all use in it is taken away, and then no other charge moves. That this is so is
proven on the spot, by charging anew what is left (`cuts`).
"""

from __future__ import annotations

from datetime import datetime, time, timedelta
from typing import TYPE_CHECKING, Final

import polars as pl

from tokenflex import tables
from tokenflex.arrow import AnyTable, frame_of, refuses_clearly
from tokenflex.audit.cuts import keys_that_differ, whole_cuts
from tokenflex.audit.signs import activity_of, with_signs
from tokenflex.audit.windows import touches_of, uses_of, windows_of
from tokenflex.errors import MissingColumnError
from tokenflex.metering.charge import charge
from tokenflex.problems import Problems, report
from tokenflex.reading.user_zones import zones_in
from tokenflex.reading.zones import local_times
from tokenflex.times import checked_duration
from tokenflex.usage.rest import Rest

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from tokenflex.metering.rates import Rates
    from tokenflex.metering.rule import Rule
    from tokenflex.reading.user_zones import Users

LEFT, IDLE, GRAZED, MISTAKE = tables.HABITS
HABIT: Final = pl.Enum(tables.HABITS)
NOBODY: Final = timedelta(0)


@refuses_clearly
def avoidable_charges(
    sessions: AnyTable,
    *,
    rule: Rule,
    rates: Rates,
    servers: Mapping[str, str] | None = None,
    users: Users | None = None,
    activity: AnyTable | None = None,
    as_of: datetime | None = None,
    graze: timedelta = timedelta(minutes=15),
    mistake: timedelta = timedelta(minutes=5),
    idle: timedelta = timedelta(minutes=15),
    night: tuple[time, time] = (time(20), time(6)),
    free_days: Iterable[int] = (6, 7),
    problems: Problems | None = None,
) -> pl.DataFrame:
    """Finds the charges that another habit would have saved, each with that habit.

    A charge is told only if all use in its window is of the kind that the habit spares. So cutting that use saves this
    charge and moves no other: charging what is left gives exactly the other charges. Closing a product inside a window
    that other use pays for anyway saves nothing and is not told. See `SEMANTICS.md`, and `docs/avoidable-charges.md`
    for worked examples.

    Args:
        sessions: As for `charge`, as a whole table.
        rule: As for `charge`.
        rates: As for `charge`.
        servers: As for `charge`.
        users: The IANA zone of each user: for `charge` where the rule's days are the user's, and always for the night,
            without which nobody is said to have left a product open overnight.
        activity: As for `charge`, and read under any rule. Where nothing is known of a session, being left open
            overnight is inferred from the shape of use, and `is_inferred` says so.
        as_of: As for `charge`.
        graze: Use that runs on into a new window for less than this grazed the boundary; what was left open overnight
            without activity data ran on for at least as long.
        mistake: A product launched and open for less than this in the whole window was opened by mistake.
        idle: Without activity for this long before the window's end and ever after, a product was idle there.
        night: When the night begins and ends by the clock on the user's wall.
        free_days: Days of the week, 1 (Monday) to 7, on which nobody is expected at work.
        problems: As for `charge`. Also collects the users who have no zone (`user_without_zone`).

    Returns:
        The avoidable charges, see `tables.AVOIDABLE_CHARGES`, one row for each: no token is counted twice.

    Raises:
        ZoneError, ArgumentError, MissingColumnError, ColumnTypeError: As for `charge`.
        ArgumentError: A duration is negative, or night or free days make no sense; `location` names the argument.
        ArgumentTypeError: A duration is no timedelta, or the night no pair of times.

    Example:
        >>> import tokenflex as tf, polars as pl
        >>> from datetime import datetime, timezone
        >>> def at(day, hour, minute=0): return datetime(2026, 7, day, hour, minute, tzinfo=timezone.utc)
        >>> sessions = pl.DataFrame({
        ...     "user": ["ana"], "product": ["ACD"], "start": [at(13, 15)], "end": [at(14, 0, 6)],
        ... })
        >>> found = tf.avoidable_charges(
        ...     sessions, rule=tf.Rule(window="day", zone="utc"), rates=tf.Rates({"ACD": 7}),
        ...     users={"ana": "Europe/Madrid"},
        ... )
        >>> found.select("habit", "tokens").rows()
        [('boundary_grazed', Decimal('7.0000'))]
        >>> found["advice"][0]
        'Close ACD before 2026-07-14 02:00 (Europe/Madrid): 6 minutes more were charged as a new window.'
    """
    limits = {
        name: checked_duration(value, name) for name, value in (("graze", graze), ("mistake", mistake), ("idle", idle))
    }
    rest = Rest.of(night, free_days)
    frame = frame_of(sessions)
    mine = Problems()
    charges = charge(
        frame, rule=rule, rates=rates, servers=servers, users=users, activity=activity, as_of=as_of, problems=mine
    )
    known, homes = activity_of(activity), zones_in(users, "users") or {}
    uses = uses_of(frame, mine.frame, rule=rule, rates=rates, as_of=as_of)
    charges, windows = windows_of(charges, uses, rule)
    likely = _candidates(windows, uses, mistake)
    used = uses.filter(pl.col("key").is_in(likely["key"].unique().implode()))
    touches = with_signs(touches_of(used, likely, rule=rule, servers=servers, users=homes), known, rule)
    judged = _judged(_measured(likely, touches, idle), uses, rest, homes, limits)
    mine.add(_without_zone(judged))
    found = judged.filter(pl.col("habits").list.len() > 0)
    touches = whole_cuts(touches.join(found.select("window"), on="window", how="semi"), rule.min_duration)
    if touches.height > 0:
        moved = keys_that_differ(
            touches, uses, charges, rule=rule, rates=rates, servers=servers, users=homes, activity=activity
        )
        touches = touches.filter(~pl.col("key").is_in(moved.implode()))
    found = found.join(touches.select("window").unique(), on="window", how="semi")
    report(mine.frame, problems, "avoidable_charges")
    return _told(charges, _with_cuts(found, uses))


@refuses_clearly
def summarize_avoidable(avoidable: AnyTable) -> pl.DataFrame:
    """Adds avoidable charges up by habit.

    Args:
        avoidable: What `avoidable_charges` gave, or some of its rows.

    Returns:
        A row for each habit in the order in which they lead, see `tables.AVOIDABLE_SUMMARY`; also for those that were
        not found. The sums over all rows are those of the charges.

    Raises:
        MissingColumnError: The table lacks `habit` or `tokens`.

    Example:
        >>> import tokenflex as tf
        >>> nothing = tf.tables.empty(tf.tables.AVOIDABLE_CHARGES)
        >>> tf.summarize_avoidable(nothing).select("habit", "charges").rows()[0]
        ('left_open_overnight', 0)
    """
    frame = frame_of(avoidable)
    for name in ("habit", "tokens"):
        if name not in frame.columns:
            raise MissingColumnError(f"the table lacks the column {name!r}", column=name)
    by_habit = (
        frame.select(pl.col("habit").cast(HABIT), pl.col("tokens").cast(tables.TOKENS))
        .group_by("habit")
        .agg(charges=pl.len(), tokens=pl.col("tokens").sum(), charges_without_rate=pl.col("tokens").null_count())
    )
    all_habits = pl.DataFrame({"habit": pl.Series(tables.HABITS, dtype=HABIT)})
    whole = all_habits.join(by_habit, on="habit", how="left", maintain_order="left")
    return tables.finish(whole.with_columns(pl.col(pl.Decimal, pl.UInt32).fill_null(0)), tables.AVOIDABLE_SUMMARY)


def _candidates(windows: pl.DataFrame, uses: pl.DataFrame, mistake: timedelta) -> pl.DataFrame:
    """The windows that can be avoidable at all: renewals, and launches that were closed soon."""
    session_end = uses["end"].gather(uses["row"].search_sorted(windows["session"]))
    is_short = session_end - windows["charged_at"] < mistake
    return windows.filter((pl.col("trigger") == "renewal") | ((pl.col("trigger") == "launch") & is_short))


def _measured(windows: pl.DataFrame, touches: pl.DataFrame, idle: timedelta) -> pl.DataFrame:
    """What the use in each window is like."""
    before = pl.col("to").cum_max().shift(1).over("window")
    new_use = pl.col("to") - pl.max_horizontal("from", before)
    of_windows = (
        touches.sort("window", "from")
        .with_columns(used=pl.max_horizontal(new_use, pl.lit(NOBODY)))
        .group_by("window")
        .agg(
            pl.col("used").sum(),
            pl.col("is_known").all(),
            pl.col("is_open").any(),
            none_begins=~pl.col("begins").any(),
            all_begin=pl.col("begins").all(),
            runs_on=pl.col("runs_on").any(),
            all_quiet=pl.col("is_quiet").all(),
            none_active=(pl.col("is_quiet") | ~pl.col("is_known")).all(),
            were_idle=(pl.col("from") - pl.col("seen") >= idle).all(),
            seen=pl.col("seen").max(),
            use_end=pl.col("to").max(),
            latest_start=pl.col("start").max(),
        )
    )
    return windows.join(of_windows, on="window", how="inner").sort("window")


def _judged(
    windows: pl.DataFrame,
    uses: pl.DataFrame,
    rest: Rest,
    homes: Mapping[str, str],
    limits: Mapping[str, timedelta],
) -> pl.DataFrame:
    """The windows with the `habits` that apply, and whether only the user's zone is missing (`wants_zone`)."""
    windows = windows.with_columns(user=pl.col("user").cast(pl.String)).with_columns(
        zone=pl.col("user").replace_strict(homes, default=None, return_dtype=pl.String)
    )
    windows = windows.with_columns(
        local=_local(windows, "charged_at"),
        local_end=_local(windows, "use_end"),
        local_start=_local(windows, "latest_start"),
    ).with_columns(**rest.columns("local"))
    launches = uses.select("user", launched="start").sort("launched")
    windows = windows.sort("charged_at").join_asof(
        launches,
        left_on="charged_at",
        right_on="launched",
        by="user",
        strategy="forward",
        check_sortedness=False,
        coalesce=False,
    )
    carried = (pl.col("trigger") == "renewal") & pl.col("none_begins")
    quiet = carried & pl.col("all_quiet")
    nobody_came = pl.col("launched").is_null() | (pl.col("launched") >= pl.col("use_end"))
    unseen = carried & ~pl.col("is_known") & pl.col("none_active") & ~pl.col("is_machine") & nobody_came
    unseen &= pl.col("use_end") - pl.col("charged_at") >= limits["graze"]
    in_rest = pl.col("rests") & (pl.col("local_end") <= pl.col("rest_end"))
    inferred = unseen & in_rest & (pl.col("local_start") < pl.col("evening"))
    overnight = pl.col("rests") | (pl.col("local_end") > pl.col("next_night"))
    ends_within = ~pl.col("runs_on")
    applies = {
        LEFT: (quiet & overnight) | inferred,
        IDLE: quiet & pl.col("were_idle"),
        GRAZED: carried & ends_within & (pl.col("used") < limits["graze"]),
        MISTAKE: (pl.col("trigger") == "launch")
        & pl.col("all_begin")
        & ends_within
        & (pl.col("used") < limits["mistake"]),
    }
    named = [pl.when(applies[habit]).then(pl.lit(habit)).cast(HABIT) for habit in tables.HABITS]
    return windows.with_columns(
        habits=pl.concat_list(named).list.drop_nulls(),
        wants_zone=(quiet | unseen) & pl.col("zone").is_null(),
    )


def _without_zone(windows: pl.DataFrame) -> pl.DataFrame:
    """A problem for each user who could have left something open overnight, had she a zone."""
    lost = windows.filter("wants_zone").group_by("user").agg(count=pl.len()).sort("user")
    return lost.select(
        source=pl.lit("users"),
        location=pl.lit(None, pl.UInt64),
        code=pl.lit("user_without_zone"),
        message=pl.format("{} has no zone in users=: not judged for left_open_overnight, windows: {}", "user", "count"),
    )


def _with_cuts(found: pl.DataFrame, uses: pl.DataFrame) -> pl.DataFrame:
    """Adds `cut_at`, one for each run of windows that use passed through, and `last_sign_at`."""
    found = found.sort("window")
    follows = (
        (pl.col("window") == pl.col("window").shift(1) + 1)
        & (pl.col("key") == pl.col("key").shift(1))
        & pl.col("runs_on").shift(1)
        & (pl.col("trigger") == "renewal")
    ).fill_null(value=False)
    found = found.with_columns(run=(~follows).cum_sum()).with_columns(
        cut_at=pl.col("charged_at").first().over("run"), seen=pl.col("seen").first().over("run")
    )
    instants = pl.concat([uses.select("user", sign="start"), uses.select("user", sign="end")]).sort("sign")
    found = found.sort("cut_at").join_asof(
        instants,
        left_on="cut_at",
        right_on="sign",
        by="user",
        allow_exact_matches=False,
        check_sortedness=False,
        coalesce=False,
    )
    leads = pl.col("habits").list.first()
    return found.with_columns(
        habit=leads,
        last_sign_at=pl.when(leads == MISTAKE).then(None).when("is_known").then("seen").otherwise("sign"),
        is_inferred=(leads == LEFT) & ~pl.col("is_known"),
    )


def _told(charges: pl.DataFrame, found: pl.DataFrame) -> pl.DataFrame:
    """The charges of the windows found, in the words of the table."""
    columns = found.select(
        "window", "habit", "habits", "cut_at", "last_sign_at", "is_inferred", "used", "zone", "runs_on", "is_open"
    )
    told = charges.join(columns, on="window", how="inner").sort("charge")
    told = told.with_columns(_shown(told, "cut_at"), _shown(told, "charged_at"))
    product, minutes = pl.col("product").cast(pl.String), pl.col("used").dt.total_minutes(fractional=True)
    whole_minutes = minutes.ceil().cast(pl.Int64)
    how_long = pl.when(whole_minutes == 1).then(pl.lit("1 minute")).otherwise(pl.format("{} minutes", whole_minutes))
    advice = {
        LEFT: pl.format(
            "Close {} in the evening: left open by {}, it was charged again at {}.",
            product,
            "cut_at_shown",
            "charged_at_shown",
        ),
        IDLE: pl.format(
            "Close {} when the work is done: idle, it was charged again at {}.", product, "charged_at_shown"
        ),
        GRAZED: pl.format(
            "Close {} before {}: {} more were charged as a new window.", product, "cut_at_shown", how_long
        ),
        MISTAKE: pl.format(
            "Look before opening {}: {} from {} on were charged as a whole window.", product, how_long, "cut_at_shown"
        ),
    }
    words = pl.coalesce([pl.when(pl.col("habit") == habit).then(text) for habit, text in advice.items()])
    doubt = pl.when(pl.col("runs_on") | pl.col("is_open")).then(pl.lit("medium")).otherwise(pl.lit("low"))
    return tables.finish(
        told.with_columns(
            minutes_used=minutes,
            advice=words,
            confidence=pl.when("is_inferred").then(doubt).otherwise(pl.lit("high")),
        ),
        tables.AVOIDABLE_CHARGES,
    )


def _local(frame: pl.DataFrame, instant: str) -> pl.Series:
    """What the clock on the user's wall shows; null without a zone."""
    return local_times(frame[instant], frame["zone"]).dt.replace_time_zone(None)


def _shown(frame: pl.DataFrame, instant: str) -> pl.Series:
    """An instant by the user's clock with its zone, or by UTC where that is not known."""
    form = "%Y-%m-%d %H:%M"
    local = _local(frame, instant).dt.strftime(form)
    utc = pl.col(instant).dt.strftime(form)
    shown = (
        pl.when(pl.col("zone").is_not_null())
        .then(pl.format("{} ({})", local, pl.col("zone")))
        .otherwise(pl.format("{} (UTC, the user's zone is not known)", utc))
    )
    return frame.select(shown.alias(f"{instant}_shown")).to_series()
