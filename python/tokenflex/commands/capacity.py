"""`tokenflex capacity`: how many licenses were in use, when, and who was refused."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import polars as pl
import typer
from rich.text import Text

import tokenflex as tf
from tokenflex import screen
from tokenflex.commands.hours import hours_in
from tokenflex.commands.logs import BookOfLogs, LogFiles, opened, servers_of, sessions_in
from tokenflex.commands.options import (
    AsOfOption,
    JsonOption,
    LogsArgument,
    ReadOptions,
    fail,
    instant_of,
    may_be_written,
    readable_errors,
    takes,
    writer_of,
)
from tokenflex.reading.periods import read_rows
from tokenflex.summary import plain, problem_groups
from tokenflex.usage.judge_denials import WITHIN
from tokenflex.words import many

if TYPE_CHECKING:
    from rich.console import Console

SHOWN: Final = 15
DAYS: Final = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_WIDE: Final = 90
"""Columns from which on there is place for times of the day."""
_MINUTE: Final = timedelta(minutes=1)
_MICROSECOND: Final = Decimal("0.000001")
_SHADES: Final = ("dim", "", "cyan", "green", "yellow", "bold red")
"""Of a cell of the heat map: of none, and then by its part of the greatest."""
_MOST_PERCENT: Final = 99
"""Two digits."""

HELP = """Say how many licenses are in use: peak, mean and percentiles, hours of the week, and who was refused.

\b
  tokenflex capacity logs/ --timezone Europe/Madrid
\b
In working hours only, beside what you own (limits.csv has the columns product
and licenses):
  tokenflex capacity logs/ --timezone Europe/Madrid --hours 08:00-18:00 \\
    --limits limits.csv
\b
How many people work with it, which is what tokens are charged for:
  tokenflex capacity logs/ --timezone Europe/Madrid --count users
\b
All tables, for a spreadsheet:
  … --out capacity.csv   writes capacity.csv, capacity.heat-map.csv,
    capacity.steps.csv and capacity.denials.csv

How to read it: `p95` is the number of licenses that was enough for 95 % of the time, nights and weekends included
unless --hours is given. `asked p95` leaves out the time in which nobody asks: of 100 who started the product, 95 found
no more than so many in use. A refusal is real if the user did not get the product, in any version, within --within.
"""

Column = Annotated[
    list[str] | None,
    typer.Option("--by", metavar="COLUMN", help="product (default), feature, version, server, host or user; repeat."),
]
Hours = Annotated[
    str | None, typer.Option(metavar="08:00-18:00", help="Count these hours only, by the clock of each server.")
]
Weekdays = Annotated[
    str | None, typer.Option("--days", metavar="1-5", help="With --hours: weekdays, 1 is Monday. Default: 1-5.")
]
Holidays = Annotated[
    list[str] | None, typer.Option("--holiday", metavar="DATE", help="With --hours: a date to leave out; repeat.")
]
Zone = Annotated[
    str | None, typer.Option(help="The clock of --hours and of the hours of the week, in place of each server's own.")
]
Limits = Annotated[Path | None, typer.Option(help="Licenses you own as CSV: product (or the first --by), licenses.")]
Count = Annotated[str, typer.Option(metavar="licenses|users|hosts", help="What is counted.")]
Since = Annotated[str | None, typer.Option(metavar="TIME", help="Look at the time from then on.")]
Until = Annotated[str | None, typer.Option(metavar="TIME", help="Look at the time before that.")]
Within = Annotated[
    int, typer.Option(metavar="MINUTES", min=0, max=10_000, help="A user who gets the product so soon was not refused.")
]
Out = Annotated[Path | None, typer.Option(help="Write all tables here: .parquet or .csv; see above.")]


@dataclass(frozen=True)
class Answer:
    """What is shown and written."""

    by: list[str]
    count: str
    sessions: int
    capacity: pl.DataFrame
    heat: pl.DataFrame
    steps: pl.DataFrame
    denials: pl.DataFrame
    problems: pl.DataFrame

    @property
    def refusals(self) -> pl.DataFrame:
        """The refusals added up."""
        return tf.summarize_denials(self.denials)

    def to_dict(self) -> dict[str, object]:
        """Plain values: durations in seconds, instants in ISO 8601."""
        tables = {"capacity": self.capacity, "heat_map": self.heat, "denials": self.refusals, "problems": self.problems}
        rows = {name: plain(in_seconds(table)).to_dicts() for name, table in tables.items()}
        return {"count": self.count, "sessions": self.sessions, **rows}


@takes(ReadOptions)
def capacity(
    logs: LogsArgument,
    *,
    asked: ReadOptions,
    by: Column = None,
    count: Count = "licenses",
    limits: Limits = None,
    hours: Hours = None,
    days: Weekdays = None,
    holiday: Holidays = None,
    zone: Zone = None,
    since: Since = None,
    until: Until = None,
    within: Within = WITHIN // _MINUTE,
    out: Out = None,
    as_of: AsOfOption = None,
    as_json: JsonOption = False,
) -> None:
    """Shows how many licenses are in use; see `HELP`."""
    with readable_errors():
        if out is not None:
            may_be_written(out, "--out", (".parquet", ".csv"))
        working = hours_of(hours, days, holiday)
        columns = by or ["product"]
        owned = None if limits is None else limits_of(limits, columns[0])
        period: dict[str, Any] = {
            "since": instant_of(since, "--since"),
            "until": instant_of(until, "--until"),
            "as_of": instant_of(as_of),
        }
        read = opened(logs, asked)
        what = _Asked(columns, count, owned, working, period, timedelta(minutes=within))
        found = _answer(read, _clock(read, asked.zones, zone), what)
        if out is not None:
            _write(found, out)
        if as_json:
            typer.echo(json.dumps(found.to_dict(), indent=2))
        elif not asked.quiet:
            to = screen.console()
            _show(found, working, owned, to)
            if out is not None:
                names = ", ".join(path.name for path in _paths(out).values())
                to.print(f"written to {out.parent}: {names}", soft_wrap=True)


@dataclass(frozen=True)
class _Asked:
    """What the options say."""

    by: list[str]
    count: Any
    owned: dict[str, int] | None
    working: tf.BusinessHours | None
    period: dict[str, Any]
    within: timedelta


def _answer(read: LogFiles | BookOfLogs, clock: dict[str, Any], asked: _Asked) -> Answer:
    by, count, period = asked.by, asked.count, asked.period
    problems, again = tf.Problems(), tf.Problems()
    as_of = period["as_of"]
    sessions = sessions_in(read, as_of, problems)
    log = read.log
    # Of a session of `pair` only the most that it ever held is known.
    held = tf.held(log.events, as_of=as_of, packages=log.packages, problems=again)
    of_hours: dict[str, Any] = {} if asked.working is None else {"hours": asked.working, **clock}
    # What one of the verbs tells of the sessions, the others tell again.
    levels = tf.capacity(held, by=by, count=count, limits=asked.owned, **of_hours, **period, problems=problems)
    heat = tf.heat_map(held, by=(), count=count, **clock, **period, problems=again)
    steps = tf.concurrency(held, by=by, count=count, as_of=as_of, problems=again)
    refused = tf.denials(log.events, packages=log.packages)
    limits = asked.owned if by[0] == "product" else None
    judged = tf.judge_denials(refused, held, within=asked.within, limits=limits, problems=problems)
    return Answer(by, count, sessions.height, levels, heat, steps, judged, problems.frame)


def _clock(read: LogFiles | BookOfLogs, zones: str | dict[str, str] | None, zone: str | None) -> dict[str, Any]:
    """By which clock hours are."""
    if zone is not None:
        return {"zone": zone}
    if isinstance(zones, str):
        return {"zone": zones}
    return {"servers": servers_of(read, zones)} if zones else {"zone": "UTC"}


def hours_of(hours: str | None, days: str | None, holidays: list[str] | None) -> tf.BusinessHours | None:
    """What `--hours`, `--days` and `--holiday` say."""
    if hours is None:
        if days is not None or holidays:
            fail("--days and --holiday go with --hours, such as --hours 08:00-18:00")
        return None
    try:
        return hours_in(hours, days=days, holidays=holidays or ())
    except tf.ArgumentError as error:
        fail(f"--{error.location} {error}")


def limits_of(path: Path, name: str) -> dict[str, int]:
    """How many licenses are owned of each, by a file."""
    frame = read_rows(path, "limits")
    for column in (name, "licenses"):
        if column not in frame.columns:
            fail(f"--limits {path}: column {column!r} is missing: it has to have {name} and licenses")
    owned: dict[str, int] = {}
    for key, licenses in frame.select(pl.col(name, "licenses").cast(pl.String).str.strip_chars()).iter_rows():
        if key is None or licenses is None or not licenses.isdecimal():
            fail(f"--limits {path}: {key or '?'} has {licenses!r} licenses: give a whole number")
        if key in owned:
            fail(f"--limits {path}: {key} is there twice")
        owned[key] = int(licenses)
    return owned


def in_seconds(table: pl.DataFrame) -> pl.DataFrame:
    """The table with each duration as exact seconds, under its name with `_seconds`: CSV and JSON have no durations."""
    parts = [
        (column.dt.total_microseconds().cast(pl.Decimal(38, 6)) * _MICROSECOND).alias(f"{column.name}_seconds")
        if isinstance(column.dtype, pl.Duration)
        else column
        for column in table
    ]
    return pl.DataFrame(parts)


def _paths(out: Path) -> dict[str, Path]:
    others = {name: out.with_suffix(f".{name}{out.suffix}") for name in ("heat-map", "steps", "denials")}
    return {"capacity": out, **others}


def _write(found: Answer, out: Path) -> None:
    tables = dict(zip(_paths(out).values(), (found.capacity, found.heat, found.steps, found.denials), strict=True))
    for path, table in tables.items():
        writer_of(path)(in_seconds(table) if path.suffix == ".csv" else table)


def _show(found: Answer, working: tf.BusinessHours | None, owned: dict[str, int] | None, to: Console) -> None:
    _headline(found, working, to)
    _show_capacity(found, working, owned, to)
    for _, heat in found.heat.group_by("zone", maintain_order=True):
        _show_heat(heat, found.count, to)
    _show_refusals(found, to)
    screen.show_problems(problem_groups(found.problems), to)


def _headline(found: Answer, working: tf.BusinessHours | None, to: Console) -> None:
    table = found.capacity
    to.print()
    if table.is_empty():
        to.print(f"{many(found.sessions, 'session')}, and none that can be counted")
        return
    row = table.row(0, named=True)
    hours = "all hours"
    if working is not None:
        days = ", ".join(DAYS[day - 1] for day in working.days)
        hours = f"{working.start:%H:%M} to {working.end:%H:%M} on {days}"
        hours += f", {many(len(working.holidays), 'holiday')} left out" if working.holidays else ""
    to.print(f"{many(found.sessions, 'session')}, {_utc(row['since'])} to {_utc(row['until'])}; {hours}", style="bold")
    to.print()


def _show_capacity(found: Answer, working: tf.BusinessHours | None, owned: dict[str, int] | None, to: Console) -> None:
    by_zone = working is not None and found.capacity["zone"].n_unique() > 1
    names = [*found.by, *(["zone"] if by_zone else [])]
    own = [">owned", ">full", ">over"] if owned is not None else []
    table = screen.new_table(*names, ">peak", ">reached first", ">mean", ">p95", ">p99", ">asked p95", *own)
    is_wide = to.width >= _WIDE
    ordered = found.capacity.sort("peak", "used", descending=True, nulls_last=True, maintain_order=True)
    for row in ordered.head(SHOWN).iter_rows(named=True):
        own = []
        if owned is not None:
            own = [_number(row["limit"]), _share(row["share_at_limit"]), _share(row["share_above_limit"])]
        table.add_row(
            *(row[name] or "(none)" for name in names),
            _number(row["peak"]),
            _utc(row["peak_at"])[: None if is_wide else len("2026-01-31")],
            "-" if row["mean"] is None else f"{row['mean']:,.2f}",
            *(_number(row[name]) for name in ("p95", "p99", "asked_p95")),
            *own,
        )
    notes = ["`p95`: enough for 95 % of the time. `asked p95`: 95 % of those who started it found no more in use."]
    if owned is not None:
        notes.append("`full`: part of the time in which all that are owned were in use, `over`: even more.")
    if ordered.height > SHOWN:
        notes.append(f"And {ordered.height - SHOWN:,} more, with lower peaks.")
    title = f"{found.count.capitalize()} in use by {', '.join(found.by)}"
    screen.print_table(to, title, table, " ".join(notes))


def _show_heat(heat: pl.DataFrame, count: str, to: Console) -> None:
    """The mean of every hour of the week, the greater the brighter."""
    greatest = heat["mean"].max()
    top = greatest if isinstance(greatest, float) and greatest > 0 else 1.0
    means = [rows.sort("hour")["mean"].to_list() for _, rows in heat.group_by("weekday", maintain_order=True)]
    title = f"Mean number of {count} in use, all together, by the clock of {heat['zone'][0]}"
    columns = [str(hour) for hour in range(24)]
    rows = _grid(means, top, 1)
    if screen.grid_width(columns, rows) > to.width:
        rows = _grid(means, top, 0)
    if screen.grid_width(columns, rows) > to.width:
        rows = _grid([[mean and mean / top * _MOST_PERCENT for mean in row] for row in means], _MOST_PERCENT, 0)
        title += f", in % of the greatest, {top:,.1f}"
    peak = heat.sort("peak", descending=True, maintain_order=True).row(0, named=True)
    note = (
        f"`.` is no use. Most at once: {_number(peak['peak'])}, {DAYS[peak['weekday'] - 1]} from {peak['hour']}:00. "
        f"All hours together: {_hours_used(heat['used'].sum())} hours of use."
    )
    screen.print_grid(to, title, columns, rows, note)


def _grid(means: list[list[float | None]], top: float, digits: int) -> screen.Grid:
    """A row for each day, the greater the brighter."""

    def cell(mean: float | None) -> Text:
        if not mean:
            return Text(".", style=_SHADES[0])
        return Text(f"{mean:.{digits}f}", style=_SHADES[1 + int(mean / top * (len(_SHADES) - 2))])

    return [(day, [cell(mean) for mean in row]) for day, row in zip(DAYS, means, strict=True)]


def _show_refusals(found: Answer, to: Console) -> None:
    refusals = found.refusals
    if refusals.is_empty():
        to.print("Nobody was refused a license.\n")
        return
    table = screen.new_table("product", ">refusals", ">cases", ">real", ">users", ">longest wait", "reason")
    for row in refusals.head(SHOWN).iter_rows(named=True):
        wait = "-" if row["longest_wait"] is None else str(row["longest_wait"])
        counts = (f"{row[name]:,}" for name in ("denials", "cases", "real", "users_refused"))
        table.add_row(row["product"], *counts, wait, row["reason"] or "-")
    note = (
        "`cases`: repetitions left out. `real`: the user did not get the product soon. `users`: who have a real case."
    )
    screen.print_table(to, "Refused", table, note)


def _number(value: int | None) -> str:
    return "-" if value is None else f"{value:,}"


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.2%}"


def _hours_used(used: Any) -> str:  # noqa: ANN401 - the sum of a column
    return f"{used / timedelta(hours=1):,.1f}" if isinstance(used, timedelta) else "0"


def _utc(at: datetime | None) -> str:
    return "-" if at is None else f"{at:%Y-%m-%d %H:%M}Z"
