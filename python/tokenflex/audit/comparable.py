"""What could be compared at all: where there are logs, and where the vendor has rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import polars as pl

from tokenflex import tables
from tokenflex.audit.sides import OF_SERVERS, in_range
from tokenflex.errors import ArgumentError, MissingColumnError

if TYPE_CHECKING:
    from tokenflex.arrow import AnyTable

from tokenflex.arrow import frame_of

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
    people = [frame["payer"].drop_nulls().unique() for frame in (ours, vendors)]
    if len(people[0]) and len(people[1]) and not people[1].is_in(people[0].implode()).any():
        raise ArgumentError(
            f"nobody is in both: ours are {people[0].sort()[0]!r}, …, the statement's {people[1].sort()[0]!r}, …. Is "
            "it the statement of another contract, or are names spelled otherwise? Then give identity=",
            location="statement",
        )
