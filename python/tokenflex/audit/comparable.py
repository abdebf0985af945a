"""What could be compared at all: where there are logs, and where the vendor has rows."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final

import polars as pl

from tokenflex import tables
from tokenflex.audit.sides import OF_SERVERS, in_range
from tokenflex.errors import ArgumentError, MissingColumnError

if TYPE_CHECKING:
    from tokenflex.arrow import AnyTable

from tokenflex.arrow import frame_of

FEWEST_IN_COMMON: Final = 0.05
"""Of the smaller side so many people are in both, or it is not the same firm; of few people one will do."""
MANY_PEOPLE: Final = 40
SAME_SECOND: Final = 0.1
"""Where so many lines are of one second, the clocks agree."""
MANY_LINES: Final = 20
"""Fewer lines of a server say nothing of its clock."""
MOST_LINES: Final = 50_000
WIDEST: Final = timedelta(hours=26)
"""Between the clocks of two zones."""

_LOGS: Final[dict[str, pl.DataType]] = {
    "server": tables.NAME,
    "first": tables.TIME,
    "last": tables.TIME,
    "days_without_lines": pl.List(pl.Date()),
    "reporting": pl.Boolean(),
}


def logs_of(coverage: AnyTable | None, sessions: pl.DataFrame | None, ours: pl.DataFrame) -> pl.DataFrame:
    """From when to when each server was logged: as the logs say, else from its first session to its last.

    Of charges alone only the time of all of them is known: one row without a server.
    """
    if coverage is not None:
        frame = in_range(frame_of(coverage))
        for name in _LOGS:
            if name not in frame.columns:
                raise MissingColumnError(
                    f"column {name!r} is missing from the coverage: give `coverage` of what read_flexlm returns",
                    column=name,
                )
        return frame.select(pl.col(name).cast(dtype) for name, dtype in _LOGS.items())
    if sessions is not None and {"start", "end"} <= set(sessions.columns):
        server = pl.col("server").cast(tables.NAME) if "server" in sessions.columns else pl.lit(None, tables.NAME)
        used = sessions.select(server.alias("server"), pl.col("start", "end").cast(tables.TIME)).group_by("server")
        logs = used.agg(first=pl.col("start").min(), last=pl.max_horizontal(pl.col("start").max(), pl.col("end").max()))
    else:
        # The end of the last window is the last that charges tell of.
        logs = ours.select(
            server=pl.lit(None, tables.NAME), first=pl.col("charged_at").min(), last=pl.col("window_end").max()
        ).head(1)
    return logs.select(
        *("server", "first", "last"),
        days_without_lines=pl.lit([], pl.List(pl.Date())),
        reporting=pl.lit(None, pl.Boolean),
    )


def without_log(lone: pl.DataFrame, logs: pl.DataFrame) -> pl.Series:
    """Lines of the vendor from servers and days of which we have no log."""
    named = logs.drop_nulls("server")
    # Where nothing was logged at all there is nothing to compare with.
    whole = logs.select(first=pl.col("first").min(), last=pl.col("last").max()).row(0)
    if None in whole:
        return pl.repeat(value=True, n=lone.height, dtype=pl.Boolean, eager=True)
    known = lone.select("server", "charged_at", "usage_date").join(
        named, on="server", how="left", maintain_order="left"
    )
    at, day = pl.col("charged_at"), pl.col("usage_date")
    first, last = (pl.col(name).fill_null(value) for name, value in zip(("first", "last"), whole, strict=True))
    outside = (
        pl.when(at.is_not_null())
        .then((at < first) | (at > last))
        .otherwise((day < first.dt.date()) | (day > last.dt.date()))
    )
    lacking = pl.col("days_without_lines").list.contains(day)
    unknown = pl.col("server").is_not_null() & pl.col("first").is_null() if named.height else pl.lit(value=False)
    flags = unknown | outside.fill_null(value=False) | lacking.fill_null(value=False)
    return known.select(flags.fill_null(value=False).alias("no_log")).to_series()


def dates_of(frame: pl.DataFrame) -> pl.DataFrame:
    """The servers and dates that rows of a statement are about; a session counts for each of its dates."""
    day = pl.coalesce("usage_date", pl.col("start").dt.date())
    more = (pl.col("end").dt.date() - pl.col("start").dt.date()).dt.total_days().fill_null(0).clip(0, 400)
    category = pl.col("usage_category").fill_null(OF_SERVERS[0])
    rows = frame.filter(category.is_in(OF_SERVERS[:2]) & pl.col("transaction_date").is_null())
    spans = rows.select("server", day=day, more=more).drop_nulls("day").unique()
    dates = pl.date_ranges("day", pl.col("day") + pl.duration(days=pl.col("more")))
    return spans.select("server", usage_date=dates).explode("usage_date").unique()


def without_statement(lone: pl.DataFrame, frame: pl.DataFrame, logs: pl.DataFrame) -> pl.DataFrame:
    """Lines of ours from servers that the vendor does not know, and from days for which it has no rows."""
    dates = dates_of(frame)
    servers = dates["server"].unique().drop_nulls().implode()
    silent = logs.filter(~pl.col("reporting"))["server"].drop_nulls().implode()
    by_server = dates.height > 0 and dates["server"].null_count() == 0
    keys = ["server", "usage_date"] if by_server else ["usage_date"]
    known = lone.select("server", "usage_date").with_row_index("i")
    present = known.join(dates.select(keys).unique(), on=keys, how="semi")["i"].implode()
    unnamed = (~pl.col("server").is_in(servers) if by_server else pl.lit(value=False)) | pl.col("server").is_in(silent)
    absent = ~pl.col("i").is_in(present) & pl.col("usage_date").is_not_null()
    return known.select(
        server_not_reporting=unnamed.fill_null(value=False),
        no_statement=(absent & ~unnamed.fill_null(value=False)).fill_null(value=False),
    )


def check_common(ours: pl.DataFrame, vendors: pl.DataFrame) -> None:
    """Two sides that have nothing to do with each other are no reconciliation.

    Raises:
        ArgumentError: They have no day, or nobody, in common.
    """
    days = [
        frame.select(a=pl.col("usage_date").min(), b=pl.col("usage_date").max()).row(0) for frame in (ours, vendors)
    ]
    if None in {*days[0], *days[1]}:
        return
    if days[0][0] > days[1][1] or days[1][0] > days[0][1]:
        raise ArgumentError(
            f"the charges cover {days[0][0]} to {days[0][1]}, the statement {days[1][0]} to {days[1][1]}: they have no "
            "day in common",
            location="statement",
        )
    if "payer" not in ours.columns or "payer" not in vendors.columns:
        return
    _check_people(*(frame["payer"].drop_nulls().unique().cast(pl.String) for frame in (ours, vendors)))


def _check_people(ours: pl.Series, vendors: pl.Series) -> None:
    fewer = min(ours.len(), vendors.len())
    common = vendors.is_in(ours.implode()).sum()
    if fewer == 0 or common >= FEWEST_IN_COMMON * fewer or (common > 0 and fewer < MANY_PEOPLE):
        return
    told = "nobody is" if common == 0 else f"only {common:,} of {fewer:,} people are"
    raise ArgumentError(
        f"{told} in both: ours are {ours.sort()[0]!r}, …, the statement's {vendors.sort()[0]!r}, …. Is it the "
        "statement of another contract, or are names spelled otherwise? Then give identity=",
        location="statement",
    )


def check_columns(statement: pl.DataFrame, level: str) -> None:
    """A statement has to say what its level takes; what its rows are masked for is not asked for.

    Raises:
        MissingColumnError: It does not; the message names the level that would do.
    """
    use = statement.filter(pl.col("usage_category").is_in(OF_SERVERS[:2]).fill_null(value=True))
    if use.is_empty():
        return
    known = {name for name in ("product", "user", "start", "usage_date", "usage_month") if _is_told(use, name)}
    is_masked = use["is_masked"].any() is True
    lacking = {
        "session": [name for name in ("product", "start") if name not in known],
        "day": [name for name in ("product", "usage_date") if name not in known],
        "month": ["product"] if "product" not in known else [],
    }
    if not known & {"usage_date", "usage_month"}:
        lacking["month"].append("usage_date")
    if "user" not in known and not is_masked:
        lacking["session"].append("user")
    if not lacking[level]:
        return
    fits = [f"level={name!r}" for name, columns in lacking.items() if not columns]
    raise MissingColumnError(
        f"the statement says nothing in column {lacking[level][0]!r}, which level={level!r} needs"
        + (f": {' or '.join(fits)} would do" if fits else ""),
        column=lacking[level][0],
    )


def _is_told(frame: pl.DataFrame, name: str) -> bool:
    return frame[name].null_count() < frame.height


def check_clock(ours: pl.DataFrame, vendors: pl.DataFrame, pairs: pl.DataFrame) -> None:
    """Times of a server that are all off by the same hours are no differences: they were read in another zone.

    Asked only where hardly anything is of one second. That a line lies whole quarters of an hour beside another one is
    chance once in nine hundred.

    Raises:
        ArgumentError: Half of some server's lines are off by one number of quarters of an hour.
    """
    at = [frame["charged_at"].gather(pairs[place]) for place, frame in (("o", ours), ("v", vendors))]
    fewer = min(ours.height, vendors.height)
    if (at[0].dt.truncate("1s") == at[1].dt.truncate("1s")).sum() > SAME_SECOND * fewer:
        return
    columns = ("payer", "line", "server", "charged_at")
    every = max(1, vendors.height // MOST_LINES)
    theirs = vendors.select(columns).drop_nulls(["payer", "line", "charged_at"]).gather_every(every)
    around = pl.concat([_by_day(ours.select("payer", "line", at="charged_at"), "at", days) for days in (-1, 0, 1)])
    both = _by_day(theirs.with_row_index("n"), "charged_at", 0).join(around, on=["payer", "line", "day"])
    both = both.select("n", "server", shift=pl.col("charged_at").dt.truncate("1s") - pl.col("at").dt.truncate("1s"))
    shift = pl.col("shift")
    both = both.filter(shift.dt.total_seconds() % 900 == 0, shift.abs() <= WIDEST, shift != timedelta(0))
    counts = both.unique(["n", "shift"]).group_by("server", "shift").len()
    most = counts.sort("len", "shift", descending=[True, False]).unique("server", keep="first", maintain_order=True)
    shifted = most.join(theirs.group_by("server").len("lines"), on="server", nulls_equal=True).filter(
        (pl.col("lines") >= MANY_LINES) & (2 * pl.col("len") >= pl.col("lines"))
    )
    if shifted.is_empty():
        return
    clocks = shifted.select("server", "shift").sort("server").iter_rows()
    told = [f"{server or 'all servers'}: {_hours(shift)}" for server, shift in clocks]
    raise ArgumentError(
        f"the statement's times are off by whole hours ({', '.join(told)}): were they read in another zone? Give "
        "read_statement the zone of each server, or its column of offsets",
        location="statement",
    )


def _by_day(lines: pl.DataFrame, at: str, more: int) -> pl.DataFrame:
    """The lines with the day of UTC, so many days on."""
    return lines.with_columns(day=pl.col(at).dt.date().dt.offset_by(f"{more}d"))


def _hours(shift: timedelta) -> str:
    return f"{shift / timedelta(hours=1):+g} h"
