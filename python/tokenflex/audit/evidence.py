"""What sessions show of the charges that were laid to them: who really paid, and what came just before."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import polars as pl

from tokenflex import tables
from tokenflex.audit.people import is_dated, persons_by_name
from tokenflex.audit.stated import told_of
from tokenflex.errors import ArgumentError
from tokenflex.problems import Problems

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import timedelta

    from tokenflex.reading.identity import Identity

MANUAL: Final = 1
SWAPPED: Final = 2
BELOW_MINIMUM: Final = 4

TAKEN_BACK: Final = ("inactive", "shutdown", "stop", "crash", "restart")
"""Ends of sessions that the user did not choose."""


def put_right(lines: pl.DataFrame, machine_metered: list[str]) -> pl.DataFrame:
    """Users and machines of machine-metered products in their own columns; `is_swapped` says where they were not."""
    if not machine_metered or "host" not in lines.columns:
        return lines
    lines = lines.with_columns(pl.col("user", "host").cast(tables.NAME))
    is_swapped = swapped(lines, machine_metered)
    known = lines["is_swapped"].fill_null(value=False) if "is_swapped" in lines.columns else is_swapped
    return lines.with_columns(
        is_swapped=is_swapped | known,
        user=pl.when(is_swapped).then("host").otherwise("user"),
        host=pl.when(is_swapped).then("user").otherwise("host"),
    )


def check_period(lines: pl.DataFrame, sessions: pl.DataFrame, found: Problems) -> None:
    """Sessions of other days than the charges are no evidence of them.

    Raises:
        ArgumentError: They have no day in common.
    """
    charged = lines.select(a=pl.col("charged_at").min().dt.date(), b=pl.col("charged_at").max().dt.date()).row(0)
    if "start" not in sessions.columns or None in charged or not isinstance(sessions.schema["start"], pl.Datetime):
        return
    used = sessions.select(a=pl.col("start").min().dt.date(), b=pl.col("start").max().dt.date()).row(0)
    if None in used:
        return
    told = f"the charges lie in {charged[0]} to {charged[1]}, the sessions in {used[0]} to {used[1]}"
    if used[0] > charged[1] or used[1] < charged[0]:
        raise ArgumentError(f"{told}: they have no day in common", location="sessions")
    if (used[0] - charged[0]).days > 1 or (charged[1] - used[1]).days > 1:
        found.add(told_of("sessions", [("partly_covered", f"{told}: what they show is shown of the common days only")]))


def payers(lines: pl.DataFrame, persons: pl.Series | None, machine_metered: list[str]) -> pl.DataFrame:
    """The lines with who pays as `person`, where that takes more than the spelling of the user to know.

    For products that are metered by machine the host pays; `of_person` is then who used it.
    """
    if persons is None:
        return lines
    is_metered = pl.col("product").cast(pl.String).is_in(machine_metered) & ("host" in lines.columns)
    host = pl.col("host") if "host" in lines.columns else pl.lit(None, pl.String)
    lines = lines.with_columns(of_person=persons.cast(pl.String))
    return lines.with_columns(person=pl.when(is_metered).then(host).otherwise("of_person"))


def swapped(lines: pl.DataFrame, machine_metered: list[str]) -> pl.Series:
    """Lines of machine-metered products whose user is a machine and whose machine is a user, in all other lines."""
    is_metered = lines["product"].cast(pl.String).is_in(machine_metered)
    pairs = lines.select("user", "host").filter(is_metered)
    uses = lines.select("user", "host")
    as_user = uses.group_by("user").len("as_user").rename({"user": "name"})
    as_host = uses.group_by("host").len("as_host").rename({"host": "name"})
    counts = as_user.join(as_host, on="name", how="full", coalesce=True).with_columns(
        pl.col("as_user", "as_host").fill_null(0)
    )
    machines = counts.filter(pl.col("as_host") > pl.col("as_user"))["name"].drop_nulls().implode()
    people = counts.filter(pl.col("as_user") > pl.col("as_host"))["name"].drop_nulls().implode()
    if pairs.is_empty():
        return pl.repeat(value=False, n=lines.height, dtype=pl.Boolean, eager=True)
    is_reversed = pl.col("user").is_in(machines) & pl.col("host").is_in(people)
    return lines.select((is_reversed & is_metered).fill_null(value=False)).to_series()


def reconnects(
    pairs: pl.DataFrame,
    sessions: pl.DataFrame,
    identity: Identity,
    line_of: Mapping[str, str],
    within: timedelta,
) -> pl.Series:
    """Which launches came shortly after the server had taken the person's license of that product back."""
    needed = {"user", "product", "end", "end_reason"}
    if not needed <= set(sessions.columns) or pairs.is_empty():
        return pl.repeat(value=False, n=pairs.height, dtype=pl.Boolean, eager=True)
    taken = sessions.select(needed).filter(pl.col("end_reason").cast(pl.String).is_in(TAKEN_BACK))
    taken = taken.with_columns(
        user=_persons(taken, identity),
        product=pl.col("product").cast(pl.String).replace_strict(dict(line_of), default=None, return_dtype=pl.String),
    )
    ends = taken.select("user", "product", at=pl.col("end").dt.cast_time_unit("us"), taken_at="end").drop_nulls()
    launches = pairs.select(
        pl.col("user").cast(pl.String),
        pl.col("product").cast(pl.String),
        at=pl.when(pl.col("trigger").cast(pl.String).fill_null("launch") == "launch").then("charged_at"),
    ).with_row_index("pair")
    joined = (
        launches.drop_nulls()
        .sort("at")
        .join_asof(ends.sort("at"), on="at", by=["user", "product"], tolerance=within, check_sortedness=False)
        .filter(pl.col("taken_at").is_not_null())
    )
    return launches["pair"].is_in(joined["pair"].implode())


def _persons(sessions: pl.DataFrame, identity: Identity) -> pl.Series:
    if is_dated(identity):
        return identity.apply(sessions, at="end", problems=Problems())["user"].cast(pl.String)
    user = sessions["user"].cast(pl.String)
    return user.replace_strict(
        persons_by_name(user.drop_nulls().unique(), identity), default=None, return_dtype=pl.String
    )
