"""The verbs `pair`, `held` and `denials`: what the events of a log say of use, and of refused use."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import polars as pl

from tokenflex import _core, tables
from tokenflex.arrow import AnyTable, columns_of
from tokenflex.problems import Problems, report
from tokenflex.times import instant_in_data

if TYPE_CHECKING:
    from datetime import datetime

READS: Final = (
    "server",
    "time",
    "kind",
    "feature",
    "user",
    "host",
    "licenses",
    "reason",
    "daemon",
    "file",
    "line",
)

MANY_CHECKOUTS: Final = 10
"""From so many check-outs without one check-in on, the check-ins are taken to be not logged at all."""

_UNPAIRED: Final = {
    "checkin_without_checkout": "has no check-out before it: ignored",
    "checkin_of_too_many": "gives back more licenses than were out: taken as all of them",
    "upgrade_without_checkout": "has no check-out before it: taken as one",
    "missing_name": "lacks its feature, user or host: ignored",
}


def pair(
    events: AnyTable,
    *,
    as_of: datetime | None = None,
    packages: AnyTable | None = None,
    problems: Problems | None = None,
) -> pl.DataFrame:
    """Pairs check-outs with check-ins into sessions: the union of use per server, user, host and feature.

    A session lasts from the check-out that makes the first license busy to the check-in that frees the last. Instances
    that overlap are one session, licenses are counted, upgrades too. Lines of a package beside the line of the
    component in use are set aside. What a stop or crash of the server left open ends there; what is open at the end
    of the events lasts until `as_of` and is marked.

    Args:
        events: A table of `tables.EVENTS`, such as `read_flexlm(…).events`. Needed are `time`, `kind`, `feature`,
            `user` and `host`.
        as_of: When open sessions end, not before the last event; the last event's instant unless given.
        packages: A table of `tables.PACKAGES`, such as `read_flexlm(…).packages`. Without it, packages are told by the
            shape of the vendor's feature codes.
        problems: Collects what could not be paired; without it, a `TokenflexWarning` tells of it.

    Returns:
        The sessions, see `tables.SESSIONS`, in order of `start`.

    Raises:
        ArgumentError: `as_of` lies before the last event.
        MissingColumnError, ColumnTypeError, ColumnValueError: The table cannot be taken for events.

    Example:
        >>> import tokenflex as tf
        >>> log = tf.read_flexlm(
        ...     b'''12:00:00 (lmgrd) TIMESTAMP 7/13/2026
        ... 12:00:05 (adskflex) OUT: "87545ACD_2022_0F" ana@pc1
        ... 12:30:00 (adskflex) IN: "87545ACD_2022_0F" ana@pc1
        ... ''', timezone="Europe/Madrid", server="mad-lic-01")
        >>> session = tf.pair(log.events).row(0, named=True)
        >>> session["product"], session["end"] - session["start"], session["end_reason"]
        ('ACD', datetime.timedelta(seconds=1795), 'checkin')
    """
    until = None if as_of is None else instant_in_data(as_of, "as_of")
    read = columns_of(events, READS)
    table, unpaired, _ = _core.pair(read, packages=_packages(packages), as_of=until)
    found = pl.DataFrame(unpaired)
    found = unpaired_rows(found, pl.DataFrame(read)) if found.height > 0 else tables.empty(tables.PROBLEMS)
    sessions = tables.finish(table, tables.SESSIONS)
    report(pl.concat([found, no_checkins(sessions)]), problems, "pair")
    return sessions


def held(
    events: AnyTable,
    *,
    as_of: datetime | None = None,
    packages: AnyTable | None = None,
    problems: Problems | None = None,
) -> pl.DataFrame:
    """The sessions of `pair`, cut where the number of licenses changes: what `concurrency` counts licenses by.

    A session of `pair` unites all that one user holds of a feature on one host, and its `licenses` are the most at
    once. Here each row holds the same number all the time. The rows of one session follow each other without a gap.

    Args:
        events: As for `pair`.
        as_of: As for `pair`.
        packages: As for `pair`.
        problems: As for `pair`.

    Returns:
        The stretches, see `tables.HELD`, in order of their session, then of `start`.

    Raises:
        ArgumentError, MissingColumnError, ColumnTypeError, ColumnValueError: As for `pair`.

    Example:
        >>> import tokenflex as tf
        >>> log = tf.read_flexlm(
        ...     b'''12:00:00 (lmgrd) TIMESTAMP 7/13/2026
        ... 12:00:05 (adskflex) OUT: "87545ACD_2022_0F" ana@pc1
        ... 12:10:05 (adskflex) OUT: "87545ACD_2022_0F" ana@pc1
        ... 12:20:05 (adskflex) IN: "87545ACD_2022_0F" ana@pc1
        ... 12:30:05 (adskflex) IN: "87545ACD_2022_0F" ana@pc1
        ... ''', timezone="Europe/Madrid", server="mad-lic-01")
        >>> tf.held(log.events)["licenses"].to_list()
        [1, 2, 1]
        >>> tf.pair(log.events)["licenses"].to_list()
        [2]
    """
    until = None if as_of is None else instant_in_data(as_of, "as_of")
    read = columns_of(events, READS)
    table, numbers, unpaired = _core.held(read, packages=_packages(packages), as_of=until)
    found = pl.DataFrame(unpaired)
    found = unpaired_rows(found, pl.DataFrame(read)) if found.height > 0 else tables.empty(tables.PROBLEMS)
    stretches = tables.finish(table, tables.SESSIONS).with_columns(pl.DataFrame(numbers)["session"])
    report(pl.concat([found, no_checkins(stretches)]), problems, "held")
    return stretches


def denials(events: AnyTable, *, packages: AnyTable | None = None) -> pl.DataFrame:
    """The refusals among the events, each once.

    The vendor's daemon writes a refusal twice, for the package and for the component; the package's line is left out.

    Args:
        events: A table of `tables.EVENTS`.
        packages: As for `pair`.

    Returns:
        The refusals, see `tables.DENIALS`, in the order of the events.

    Raises:
        MissingColumnError, ColumnTypeError, ColumnValueError: The table cannot be taken for events.

    Example:
        >>> import tokenflex as tf
        >>> log = tf.read_flexlm(
        ...     b'''12:00:00 (lmgrd) TIMESTAMP 7/13/2026
        ... 12:00:05 (adskflex) DENIED: "64300ACD_F" ana@pc1  (Licensed number of users already reached. (-4,342))
        ... 12:00:05 (adskflex) DENIED: "87545ACD_2022_0F" ana@pc1  (Licensed number of users already reached. (-4,342))
        ... ''', timezone="Europe/Madrid", server="mad-lic-01")
        >>> tf.denials(log.events).select("feature", "user").rows()
        [('87545ACD_2022_0F', 'ana')]
    """
    read = columns_of(events, tuple(tables.EVENTS))
    beside = pl.DataFrame(_core.package_lines(read, packages=_packages(packages)))["is_package_line"]
    refused = pl.col("kind").cast(pl.String).is_in(["DENIED", "UNSUPPORTED"])
    found = pl.DataFrame(read).filter(refused & ~beside)
    columns = [
        pl.col(name).cast(dtype) if name in found.columns else pl.lit(None, dtype=dtype).alias(name)
        for name, dtype in tables.DENIALS.items()
    ]
    return found.select(columns)


def _packages(packages: AnyTable | None) -> object:
    return None if packages is None else columns_of(packages, ("package", "component"))


def unpaired_rows(found: pl.DataFrame, events: pl.DataFrame) -> pl.DataFrame:
    """The rows that could not be paired, told by their line where the events know it."""
    rows = events.select(pl.all().gather(found["location"]))
    has_line = "file" in rows.columns and "line" in rows.columns
    text = {name: pl.col(name).cast(pl.String).fill_null("?") for name in ("kind", "feature", "user", "host")}
    why = found["code"].cast(pl.String).replace_strict(_UNPAIRED, return_dtype=pl.String)
    return rows.select(
        source=pl.col("file").cast(pl.String) if has_line else pl.lit("events"),
        location=pl.col("line").cast(pl.UInt64) if has_line else found["location"],
        code=found["code"].cast(pl.String),
        message=pl.format("{} of {} by {}@{} ", *text.values()) + why,
    )


def no_checkins(sessions: pl.DataFrame) -> pl.DataFrame:
    """A problem for each server whose log holds check-outs only: its sessions never end."""
    servers = (
        sessions.group_by("server", maintain_order=True)
        .agg(pl.col("checkouts").sum(), never_ends=pl.col("is_open").all())
        .filter(pl.col("never_ends") & (pl.col("checkouts") >= MANY_CHECKOUTS))
    )
    return servers.select(
        source=pl.lit("events"),
        location=pl.lit(None, dtype=pl.UInt64),
        code=pl.lit("no_checkins"),
        message=pl.format(
            "{}: {} check-outs and not one check-in: the options file seems to say NOLOG IN. "
            "Its sessions last until as_of, so what is charged for them is an upper bound",
            pl.col("server").cast(pl.String).fill_null("?"),
            "checkouts",
        ),
    )
