"""`harvest`: which open sessions to close now, ranked by when they cost tokens next, with the commands to do it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

import polars as pl

from tokenflex import tables
from tokenflex.arrow import AnyTable, frame_of, refuses_clearly
from tokenflex.audit.windows import uses_of
from tokenflex.metering.charge import charge
from tokenflex.metering.terms import terms_of
from tokenflex.problems import Problems, report
from tokenflex.reading.user_zones import zones_in
from tokenflex.saving.licenses import licenses_of
from tokenflex.saving.remove import Shell, checked_addresses, checked_shell, commands_of
from tokenflex.times import MICROSECOND, TOO_LATE, instant_in_data
from tokenflex.usage.activity import Activity, text_of
from tokenflex.usage.idle import Measures, session_rows, spans_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tokenflex.metering.rates import Rates
    from tokenflex.metering.rule import Rule
    from tokenflex.reading.user_zones import Users

NAMES: Final = ("user", "product", "server", "host")
IDLE_AFTER: Final = Measures().idle_after
"""Idle for less is in use; activity that ends so long before `as_of` still tells of it."""

AHEAD: Final = timedelta(days=3)
"""The next midnight is never further: where a date is missing it is two days off."""


@refuses_clearly
def harvest(
    sessions: AnyTable,
    *,
    rule: Rule,
    rates: Rates,
    as_of: datetime,
    servers: Mapping[str, str] | None = None,
    users: Users | None = None,
    activity: AnyTable | None = None,
    recorded_until: datetime | None = None,
    handles: AnyTable | None = None,
    addresses: Mapping[str, str] | str | None = None,
    shell: Shell = "posix",
    problems: Problems | None = None,
) -> pl.DataFrame:
    """Lists the sessions that are open at an instant, the one that will be charged next first.

    Closing a session inside of a window that is paid saves nothing until that window ends, and only if everything that
    the next charge is for is closed. So each session is told with its next charge, by the rule, and with how many
    others that charge is for. The commands are written out and never run.

    Args:
        sessions: As for `idle`, with `server` and `host` as for `charge`, and `feature` for the commands. What lies
            after `as_of` is not looked at: a session that ended later was open.
        rule: As for `charge`.
        rates: As for `charge`.
        as_of: The instant.
        servers: As for `charge`.
        users: As for `charge`, and as for `idle`: where no activity tells of a session, idle time is inferred by them.
        activity: As for `charge` and `idle`. It tells of now if it was recorded until 15 minutes before `as_of`.
        recorded_until: As for `idle`.
        handles: What tells handles: a table of `tables.LMSTAT_CHECKOUTS` (of the latest snapshot, with display, machine
            and port) or of `tables.EVENTS`.
        addresses: `PORT@HOST` of the license server, or a mapping from server to that. Unless given, what `handles`
            says, or `@SERVER` by the server's name.
        shell: For whom the commands are quoted: `posix`, `cmd` or `powershell`.
        problems: As for `charge` and `idle`. Also collects the sessions for which no command is written: `unsafe_name`
            where a name could break out of it, `no_command` where a part of it is not known; and `activity_outdated`.

    Returns:
        The open sessions, see `tables.HARVEST`, in order of `minutes_to_charge`, then of tokens, most first.

    Raises:
        ZoneError, ArgumentError, MissingColumnError, ColumnTypeError: As for `charge` and `idle`.
        ArgumentError: An address is none, or there is no such shell.

    Example:
        >>> import tokenflex as tf, polars as pl
        >>> from datetime import datetime, timezone
        >>> def at(hour): return datetime(2026, 7, 13, hour, tzinfo=timezone.utc)
        >>> sessions = pl.DataFrame({
        ...     "user": ["ana"], "host": ["pc 1"], "server": ["mad-lic-01"], "product": ["ACD"],
        ...     "feature": ["87545ACD_2022_0F"], "start": [at(8)], "end": [None],
        ... }, schema_overrides={"end": pl.Datetime("us", "UTC")})
        >>> open_now = tf.harvest(
        ...     sessions, rule=tf.TOKEN_FLEX, rates=tf.Rates({"ACD": 7}), servers={"mad-lic-01": "Europe/Madrid"},
        ...     as_of=at(21), addresses="27000@mad-lic-01",
        ... )
        >>> open_now.select("user", "minutes_to_charge", "tokens").rows()
        [('ana', 60.0, Decimal('7.0000'))]
        >>> print(open_now["command"][0])
        lmutil lmremove -c 27000@mad-lic-01 87545ACD_2022_0F ana 'pc 1' 'pc 1'
    """
    instant_in_data(as_of, "as_of")
    if recorded_until is not None:
        instant_in_data(recorded_until, "recorded_until")
    terms_of(rule, rates, servers=servers, users=users, with_activity=False)
    whom, where = checked_shell(shell), checked_addresses(addresses)
    frame = frame_of(sessions)
    mine = Problems()
    rows, bad = session_rows(frame, as_of)
    mine.add(bad)
    rows = _of_holders(_at(rows.with_columns(feature=text_of(frame, "feature").gather(rows["row"])), as_of))
    known = _idle_now(rows, _recorded(activity, recorded_until, as_of, mine), as_of, zones_in(users, "users"))
    open_now = rows.filter("is_open").join(known, on="row", how="left", maintain_order="left")
    terms = _Terms(rule, rates, servers, users, _until(activity, as_of))
    open_now = _with_next_charges(rows, open_now, as_of, terms, mine)
    licenses = licenses_of(open_now.select("row", "server", "user", "host", "feature", "start"), handles, as_of)
    open_now = _ranked(open_now.join(licenses, on="row", how="left", maintain_order="left"), as_of)
    commands, refused = commands_of(open_now.rename({"row": "session"}), where, whom)
    mine.add(refused)
    report(mine.frame, problems, "harvest")
    return tables.finish(open_now.with_columns(commands).rename({"row": "session"}), tables.HARVEST)


def _at(rows: pl.DataFrame, as_of: datetime) -> pl.DataFrame:
    """Sessions as they stood at an instant."""
    at = pl.lit(as_of, tables.TIME)
    rows = rows.filter(pl.col("start") <= at)
    is_open = pl.col("is_open") | (pl.col("end") > at)
    return rows.with_columns(
        is_open=is_open,
        is_by_hand=pl.col("is_by_hand") & ~is_open,
        reason=pl.when(~is_open).then("reason"),
        end=pl.when(is_open).then(at).otherwise("end"),
    )


def _of_holders(rows: pl.DataFrame) -> pl.DataFrame:
    """The sessions of whoever has anything open, or of the machines where it is: no others share a charge with it."""
    holders = rows.filter("is_open")
    user, host = (holders[name].drop_nulls().unique().implode() for name in ("user", "host"))
    return rows.filter(pl.col("user").is_in(user) | pl.col("host").is_in(host).fill_null(value=False))


def _until(activity: AnyTable | None, as_of: datetime) -> pl.DataFrame | None:
    """What was recorded until an instant. An idle stretch that reaches it goes on."""
    if activity is None:
        return None
    frame, at = frame_of(activity), pl.lit(as_of)
    if "time" in frame.columns:
        return frame.filter(pl.col("time") <= at)
    goes_on = pl.col("end") >= at
    far = pl.lit(min(as_of + 2 * AHEAD, TOO_LATE - MICROSECOND))
    return frame.filter(pl.col("start") <= at).with_columns(end=pl.when(goes_on).then(far).otherwise("end"))


def _recorded(
    activity: AnyTable | None, recorded_until: datetime | None, as_of: datetime, problems: Problems
) -> Activity | None:
    """The activity, if it tells of this instant."""
    if activity is None:
        return None
    found = Activity.of(activity, recorded_until)
    problems.add(found.problems)
    at = pl.lit(as_of, tables.TIME)
    rows = found.rows.filter(pl.col("start") <= at).with_columns(pl.min_horizontal("end", at).alias("end"))
    latest = rows["end"].max()
    if not isinstance(latest, datetime):
        return None
    last = min(as_of, max(latest, recorded_until or latest))
    if as_of - last > IDLE_AFTER:
        what = f"recorded until {last:%Y-%m-%d %H:%M}Z only: it does not tell who is idle at as_of"
        problems.add(
            tables.empty(tables.PROBLEMS)
            .clear(1)
            .with_columns(source=pl.lit("activity"), code=pl.lit("activity_outdated"), message=pl.lit(what))
        )
        return None
    if not found.are_instants:
        # A stretch that lasts until the end of the record goes on.
        is_last = pl.col("end") >= pl.lit(last, tables.TIME)
        rows = rows.with_columns(end=pl.when(is_last).then(at).otherwise("end"))
    return replace(found, rows=rows, last=as_of)


def _idle_now(
    rows: pl.DataFrame, activity: Activity | None, as_of: datetime, homes: Mapping[str, str] | None
) -> pl.DataFrame:
    """For each open session `is_idle`, null where nothing tells; and since when, whence and how surely it is idle."""
    spans, left = spans_of(rows, activity, None, homes, Measures())
    open_now = rows.filter("is_open").select("row")
    at = pl.lit(as_of, tables.TIME)
    goes_on = spans.filter((pl.col("end") == at) & (at - pl.col("start") >= IDLE_AFTER))
    told = open_now.join(goes_on, on="row", how="left")
    is_idle, is_known = pl.col("start").is_not_null(), ~pl.col("row").is_in(left["row"].implode())
    return told.select(
        "row",
        is_idle=pl.when(is_idle).then(pl.lit(value=True)).when(is_known).then(pl.lit(value=False)),
        idle_since="start",
        idle_source="source",
        idle_confidence="confidence",
    )


@dataclass(frozen=True)
class _Terms:
    """By what sessions are charged."""

    rule: Rule
    rates: Rates
    servers: Mapping[str, str] | None
    users: Users | None
    activity: pl.DataFrame | None

    def charge(self, rows: pl.DataFrame, problems: Problems) -> pl.DataFrame:
        return charge(
            rows,
            rule=self.rule,
            rates=self.rates,
            servers=self.servers,
            users=self.users,
            activity=self.activity,
            problems=problems,
        )

    def charges(self, rows: pl.DataFrame, stays: pl.Expr, far: datetime) -> pl.DataFrame:
        """The charges with their keys, if some sessions stay open and all others are closed."""
        ends = rows.with_columns(end=pl.when(stays).then(pl.lit(far, tables.TIME)).otherwise("end"))
        found = self.charge(ends, Problems())
        # One window of a key is its date, or begins at one instant.
        mark = "usage_date" if self.rule.window == "day" else "charged_at"
        own = rows.select("key", begin="start")[found["session"]]
        return found.select("charged_at", "product", "tokens", mark=mark).hstack(own)


def _with_next_charges(
    rows: pl.DataFrame, open_now: pl.DataFrame, as_of: datetime, terms: _Terms, problems: Problems
) -> pl.DataFrame:
    """Adds when each open session is charged next, what, with how many others, and whether closing saves any of it."""
    rule = terms.rule
    far = min(as_of + max(AHEAD, rule.length) + rule.min_duration + MICROSECOND, TOO_LATE - MICROSECOND)
    rows = _keyed(rows, far, terms, problems)
    open_rows = rows.filter("is_open").join(open_now.select("row", "is_idle"), on="row", how="left")
    rows = rows.join(open_rows.select("key").unique(), on="key", how="semi", maintain_order="left")
    is_idle = pl.col("row").is_in(open_rows.filter(pl.col("is_idle"))["row"].implode())
    paid = terms.charges(rows, pl.lit(value=False), far)
    kept = terms.charges(rows, pl.col("is_open"), far).join(paid, on=["key", "charged_at", "product"], how="anti")
    closed = terms.charges(rows, pl.col("is_open") & ~is_idle, far)
    closed = closed.join(paid, on=["key", "charged_at", "product"], how="anti")
    coming = _coming(kept, as_of, rule.min_duration)
    still = closed.group_by("key", "mark").agg(still=pl.col("tokens").sum())
    coming = coming.join(still, on=["key", "mark"], how="left", nulls_equal=True)
    together = open_rows.group_by("key").agg(open_with=pl.len(), is_doubtful=pl.col("is_idle").is_null().any())
    of_rows = open_rows.select("row", "key").join(together, on="key", how="left").join(coming, on="key", how="left")
    saved = pl.col("tokens") - pl.col("still").fill_null(0)
    saves = pl.when(pl.col("is_doubtful") & (saved <= 0)).then(None).otherwise(saved > 0)
    worth = pl.when(pl.col("next_charge_at").is_null() | ~pl.col("is_idle")).then(pl.lit(value=False)).when("is_idle")
    return open_now.join(of_rows, on="row", how="left", maintain_order="left").with_columns(
        is_worth_it=worth.then(saves)
    )


def _keyed(rows: pl.DataFrame, far: datetime, terms: _Terms, problems: Problems) -> pl.DataFrame:
    """The sessions that are charged if what is open stays open, with the number of who pays for what."""
    end = pl.when("is_open").then(pl.lit(far, tables.TIME)).otherwise("end")
    met = Problems()
    stay = rows.with_columns(end=end)
    terms.charge(stay, met)
    uses = uses_of(stay, met.frame, rule=terms.rule, rates=terms.rates, as_of=None)
    of_sessions = pl.col("source") == "sessions"
    places = rows.select(row="row").with_row_index("location").with_columns(pl.col("location").cast(pl.UInt64))
    faults = met.frame.join(places, on="location", how="left", maintain_order="left")
    faults = faults.with_columns(location=pl.when(of_sessions).then("row").otherwise("location")).drop("row")
    problems.add(faults)
    keys = uses.select("key", place="row")
    return rows.with_row_index("place").join(keys, on="place", how="inner", maintain_order="left").drop("place")


def _coming(charges: pl.DataFrame, as_of: datetime, least: timedelta) -> pl.DataFrame:
    """The next charge of each key: `next_charge_at`, `tokens`, and the window that it is for.

    Use that is shorter than the rule's minimum then falls due once it is not. What falls due up to this instant, a
    renewal at it too, has been charged.
    """
    due = pl.max_horizontal("charged_at", pl.col("begin") + least)
    first = charges.with_columns(next_charge_at=due).filter(due > pl.lit(as_of, tables.TIME))
    first = first.filter(pl.col("next_charge_at") == pl.col("next_charge_at").min().over("key"))
    tokens = pl.when(pl.col("tokens").null_count() == 0).then(pl.col("tokens").sum())
    return first.group_by("key").agg(pl.col("next_charge_at", "mark").first(), tokens=tokens)


def _ranked(open_now: pl.DataFrame, as_of: datetime) -> pl.DataFrame:
    at, minute = pl.lit(as_of, tables.TIME), 60_000_000
    told = open_now.with_columns(
        minutes_to_charge=(pl.col("next_charge_at") - at).dt.total_microseconds() / minute,
        idle_minutes=pl.when("is_idle")
        .then((at - pl.col("idle_since")).dt.total_microseconds() / minute)
        .when(~pl.col("is_idle"))
        .then(0.0),
    )
    return told.sort(
        "minutes_to_charge", "tokens", "row", descending=[False, True, False], nulls_last=True, maintain_order=True
    )
