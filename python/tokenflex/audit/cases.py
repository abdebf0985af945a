"""The cases of a dispute, and what stands behind each: sessions, rows of the statement, lines of the logs."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final

import polars as pl

from tokenflex import tables
from tokenflex.audit.lines import terms_of_charges
from tokenflex.audit.people import identity_of
from tokenflex.audit.sides import Footing, in_range, whole_statement
from tokenflex.problems import Problems
from tokenflex.reading.contract import ContractSnapshot
from tokenflex.reading.zones import local_times

if TYPE_CHECKING:
    from collections.abc import Collection

    from tokenflex.audit.inputs import Inputs

DISPUTED: Final = ("amount_differs", "missing_at_vendor", "extra_at_vendor")
"""Statuses of rows that are cases."""
NEAR: Final = timedelta(days=1)
"""What lies so near to a case's window is behind it, too: it may have paid the window."""


def cases_of(rows: pl.DataFrame, inputs: Inputs, causes: Collection[str] | None) -> pl.DataFrame:
    """The cases among the rows of a reconciliation, see `tables.DISPUTE_CASES`."""
    wanted = pl.col("status").cast(pl.String).is_in(DISPUTED)
    if causes is not None:
        wanted &= pl.col("cause").cast(pl.String).is_in(list(causes))
    cases = rows.filter(wanted).with_columns(case=pl.int_range(1, pl.len() + 1, dtype=pl.UInt32))
    zones = pl.Series([(inputs.servers or {}).get(name) for name in cases["server"].cast(pl.String)], dtype=pl.String)
    local = local_times(cases["charged_at"], zones).dt.replace_time_zone(None)
    places = _places(inputs.statement)
    cases = cases.with_columns(local_time=local).join(places, on="statement", how="left", maintain_order="left")
    return _finished(cases, tables.DISPUTE_CASES)


def _finished(frame: pl.DataFrame, schema: tables.Schema) -> pl.DataFrame:
    """With the columns of a table, as nulls where there are none."""
    lacking = [pl.lit(None, dtype).alias(name) for name, dtype in schema.items() if name not in frame.columns]
    return tables.finish(frame.with_columns(lacking), schema)


def _places(statement: pl.DataFrame | ContractSnapshot) -> pl.DataFrame:
    """File and line of each row of the statement, as far as it knows them."""
    schema = {"statement": pl.UInt64(), "file": pl.String(), "line": pl.UInt32()}
    if isinstance(statement, ContractSnapshot):
        return pl.DataFrame(schema=schema)
    return statement.select(
        pl.int_range(pl.len(), dtype=pl.UInt64).alias("statement"),
        *(
            pl.col(name).cast(schema[name]) if name in statement.columns else pl.lit(None, schema[name]).alias(name)
            for name in ("file", "line")
        ),
    )


def sessions_behind(cases: pl.DataFrame, inputs: Inputs) -> pl.DataFrame:
    """Sessions of the person and product of each case that touch its window or the day before, with their rows."""
    if inputs.sessions is None:
        return tables.empty(tables.DISPUTE_SESSIONS)
    sessions = in_range(inputs.sessions)
    names = [name for name in tables.DISPUTE_SESSIONS if name in sessions.columns]
    kept = sessions.select(names).with_columns(session=pl.int_range(pl.len(), dtype=pl.UInt64))
    keys = kept.select(
        "session",
        *(_name(kept, name) for name in ("user", "host", "server", "product")),
        pl.col("start").cast(tables.TIME).alias("charged_at"),
        since=pl.col("start").cast(tables.TIME),
        until=pl.col("end").cast(tables.TIME) if "end" in kept.columns else pl.lit(None, tables.TIME),
        usage_date=pl.col("start").dt.date(),
    )
    near = _near(cases, _put(keys, inputs, of_vendor=False), "session")
    found = near.join(kept, on="session", how="left", maintain_order="left")
    of_charge = _sessions_of_charges(cases, inputs)
    found = found.join(of_charge, on=["case", "session"], how="left", maintain_order="left")
    found = found.with_columns(pl.col("is_charged").fill_null(value=False))
    return _finished(found, tables.DISPUTE_SESSIONS)


def _sessions_of_charges(cases: pl.DataFrame, inputs: Inputs) -> pl.DataFrame:
    """The session of each case's charge."""
    if "session" not in inputs.charges.columns:
        return pl.DataFrame(schema={"case": pl.UInt32, "session": pl.UInt64, "is_charged": pl.Boolean})
    charged = cases.drop_nulls("charge")
    session = inputs.charges["session"].cast(pl.UInt64).gather(charged["charge"])
    return charged.select("case").with_columns(session, is_charged=pl.lit(value=True))


def rows_behind(cases: pl.DataFrame, inputs: Inputs) -> pl.DataFrame:
    """Rows of the statement, of the person and product of each case, likewise; and its own row in any case."""
    if isinstance(inputs.statement, ContractSnapshot):
        return tables.empty(tables.DISPUTE_ROWS)
    stated = whole_statement(in_range(inputs.statement))
    keys = stated.select(
        *("user", "host", "server", "product", "usage_date"),
        statement=pl.col("row").cast(pl.UInt64),
        charged_at="start",
        since=pl.coalesce("start", pl.col("usage_date").cast(tables.TIME)),
        until="end",
    )
    own = cases.drop_nulls("statement").select("case", "statement", is_disputed=pl.lit(value=True))
    near = _near(cases, _put(keys, inputs, of_vendor=True), "statement")
    found = pl.concat([near.join(own, on=["case", "statement"], how="anti").with_columns(is_disputed=False), own])
    names = [name for name in tables.DISPUTE_ROWS if name in inputs.statement.columns]
    found = found.with_columns(inputs.statement.select(pl.col(names).gather(found["statement"])).get_columns())
    return _finished(found.sort("case", "start", "statement", nulls_last=True), tables.DISPUTE_ROWS)


def _put(keys: pl.DataFrame, inputs: Inputs, *, of_vendor: bool) -> pl.DataFrame:
    """With `payer` and `line`, by which the reconciliation was made."""
    has_hosts = inputs.sessions is not None and "host" in inputs.sessions.columns
    by_host = inputs.level == "session" and has_hosts and "session" in inputs.charges.columns
    metered = terms_of_charges(inputs.charges, inputs.rule).machine_metered if by_host else []
    footing = Footing(identity_of(inputs.identity), inputs.variants, metered)
    (done,) = footing.put(keys, found=Problems(), may_be_swapped=of_vendor)
    return done


def _near(cases: pl.DataFrame, keys: pl.DataFrame, row: str) -> pl.DataFrame:
    """Case and row where payer and product are the same, and the row's time touches the case's, in order.

    Where nobody is named, everybody's rows are. Both sides are laid to the days that they touch, so that a person's
    whole year is never held against each case.
    """
    day = pl.col("usage_date").cast(tables.TIME)
    since = (pl.coalesce("charged_at", day) - NEAR).alias("since")
    until = pl.coalesce("window_end", pl.col("charged_at") + NEAR, day + 2 * NEAR).alias("until")
    who = [pl.col("user").cast(tables.NAME).alias("payer"), pl.col("product").cast(tables.NAME).alias("line")]
    asked = _by_days(cases.select("case", *who, since, until).drop_nulls(["since", "until", "line"]))
    known = keys.select(row, "payer", "line", "since", until=pl.max_horizontal("since", "until")).drop_nulls("since")
    known = _by_days(known.join(asked.select("line").unique(), on="line", how="semi"))
    of_one = asked.join(known, on=["payer", "line", "day"], suffix="_of_row")
    of_all = asked.filter(pl.col("payer").is_null()).join(known, on=["line", "day"], suffix="_of_row")
    both = pl.concat([of_one, of_all.select(of_one.columns)])
    touching = (pl.col("since_of_row") < pl.col("until")) & (pl.col("until_of_row") >= pl.col("since"))
    return both.filter(touching).sort("case", "since_of_row", row).select("case", row).unique(maintain_order=True)


def _by_days(spans: pl.DataFrame) -> pl.DataFrame:
    days = pl.date_ranges(pl.col("since").dt.date(), pl.col("until").dt.date())
    return spans.with_columns(day=days).explode("day")


def _name(frame: pl.DataFrame, name: str) -> pl.Expr:
    return pl.col(name).cast(tables.NAME) if name in frame.columns else pl.lit(None, tables.NAME).alias(name)


def _text(frame: pl.DataFrame, name: str) -> pl.Expr:
    return pl.col(name).cast(pl.String) if name in frame.columns else pl.lit(None, pl.String).alias(name)


_WHO: Final = ["server", "user", "host", "feature"]


def _as_text(events: pl.DataFrame) -> pl.DataFrame:
    names = (_text(events, name) for name in (*_WHO, "file", "kind"))
    return events.select(*names, pl.col("line").cast(pl.UInt32), "time")


def lines_behind(sessions: pl.DataFrame, events: pl.DataFrame | None) -> pl.DataFrame:
    """File and line of what the logs say of each session, without the texts.

    Of events all of the session's own lines and what the server did at its end; without events only the check-out that
    opened it. A session is known again by that check-out: its names may have been put right since.
    """
    opening = sessions.select("session", "file", "line", "start", "end").drop_nulls(["file", "line"]).unique("session")
    if events is None or opening.is_empty():
        return opening.select("session", "file", "line").sort("session")
    opening = opening.with_columns(pl.col("file").cast(pl.String))
    at_opening = _as_text(events.filter(pl.col("line").is_in(opening["line"].unique().implode())))
    known = opening.join(at_opening.select("file", "line", *_WHO), on=["file", "line"])
    # Years of events are narrowed down before their names become text.
    users = known["user"].unique().implode()
    held = _as_text(events.filter(pl.col("user").cast(pl.String).is_in(users) | pl.col("user").is_null()))
    inside = held.join(known, on=_WHO, suffix="_first", nulls_equal=True)
    is_next = (pl.col("time") == pl.col("end")) & (pl.col("start") < pl.col("end")) & (pl.col("kind") == "OUT")
    is_last = (pl.col("time") == pl.col("start")) & (pl.col("start") < pl.col("end")) & (pl.col("kind") == "IN")
    inside = inside.filter(pl.col("time").is_between("start", "end") & ~is_next & ~is_last)
    ends = held.filter(pl.col("user").is_null()).join(
        known.select("session", "server", time="end"), on=["server", "time"], nulls_equal=True
    )
    unclosed = inside.filter((pl.col("kind") == "IN") & (pl.col("time") == pl.col("end")))["session"]
    ends = ends.filter(~pl.col("session").is_in(unclosed.implode()))
    found = pl.concat([part.select("session", "file", "line") for part in (opening, inside, ends)])
    return found.unique().sort("session", "file", "line")
