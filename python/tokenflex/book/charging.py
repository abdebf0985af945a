"""What changed among sessions, and the charges that change with it: only those, and each told where it was final."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import polars as pl

from tokenflex import tables
from tokenflex.metering.charge import charge
from tokenflex.problems import Problems

if TYPE_CHECKING:
    from datetime import datetime

    from tokenflex.book.reading import Found
    from tokenflex.book.store import Connection
    from tokenflex.book.terms import Terms

ORDER: Final = 'start, server, text, line, "user", host, feature, "end" NULLS LAST, licenses, checkouts'
"""The order of sessions, and so of charges at one instant."""

_SAME: Final = ("server", "user", "host", "feature", "start", "text", "line")
"""What a session is told by, whatever becomes of it later."""
_REST: Final = ("product", "version", "end", "licenses", "checkouts", "end_reason", "payer", "unit")
_CHARGE: Final = (
    "user",
    "product",
    "server",
    "charged_at",
    "window_end",
    "usage_date",
    "category",
    "trigger",
    "tokens",
    "rule_id",
    "payer",
    "unit",
    "session_id",
)
_TEXTS: Final = ("user", "product", "server", "category", "trigger", "rule_id", "payer", "unit")


class Changes(NamedTuple):
    """How many rows of sessions and of charges an update changed."""

    new: int
    changed: int
    removed: int


def keep_sessions(connection: Connection, terms: Terms, found: Found) -> tuple[Changes, pl.DataFrame]:
    """Puts the sessions that were found in the place of those that were there; gives the touched keys."""
    if not found.sessions:
        return Changes(0, 0, 0), _no_keys()
    now = with_keys(pl.concat([_plain(each) for each in found.sessions]), terms)
    where = "server IN (SELECT unnest(?)) OR (NOT is_settled AND server IN (SELECT unnest(?)))"
    arguments = [found.whole, found.servers]
    if found.full:
        where, arguments = "true", []
    before = connection.frame(f"SELECT * FROM kept_sessions WHERE {where}", arguments)  # noqa: S608 - our text
    now, before = (_numbered(frame) for frame in (now, before))
    on = [*_SAME, "n"]
    both = now.join(before, on=on, how="full", coalesce=True, nulls_equal=True, suffix="_was")
    is_new, is_gone = pl.col("id").is_null(), pl.col("is_settled").is_null()
    differs = pl.any_horizontal(pl.col(name).ne_missing(pl.col(f"{name}_was")) for name in _REST)
    new = both.filter(is_new)
    gone = both.filter(is_gone)
    kept = both.filter(~is_new & ~is_gone)
    changed = kept.filter(differs)
    settled = kept.filter(differs | (pl.col("is_settled") != pl.col("is_settled_was")))
    _write(
        connection,
        gone["id"],
        settled.select("id", *_SAME, *_REST, "is_settled"),
        new.select(*_SAME, *_REST, "is_settled"),
    )
    # What is open lasts longer with each update.
    is_open = kept.filter(pl.col("end").is_null() & ~differs)
    touched = pl.concat(
        [
            new.select("payer", "unit", "start"),
            changed.select("payer", "unit", "start"),
            is_open.select("payer", "unit", "start"),
            *(each.select(payer="payer_was", unit="unit_was", start="start") for each in (gone, changed)),
        ]
    )
    return Changes(new.height, changed.height, gone.height), touched


def still_open(connection: Connection) -> pl.DataFrame:
    """The keys of what is open at any server: the end of the book moves it."""
    return _keys(connection.frame('SELECT payer, unit, start FROM kept_sessions WHERE "end" IS NULL'))


def _no_keys() -> pl.DataFrame:
    return pl.DataFrame(schema={"payer": pl.String, "unit": pl.String, "start": tables.TIME})


def _keys(frame: pl.DataFrame) -> pl.DataFrame:
    return frame.cast({"payer": pl.String, "unit": pl.String}).with_columns(pl.col("start").cast(tables.TIME))


def _plain(sessions: pl.DataFrame) -> pl.DataFrame:
    texts = ("server", "user", "host", "feature", "product", "version", "end_reason")
    whole = ("licenses", "checkouts", "line", "text")
    return sessions.with_columns(pl.col(texts).cast(pl.String), pl.col(whole).cast(pl.Int64))


def _numbered(frame: pl.DataFrame) -> pl.DataFrame:
    """Which of several that are alike a row is."""
    frame = frame.sort(*_SAME, "end", "licenses", "checkouts", nulls_last=True)
    return frame.with_columns(n=pl.int_range(pl.len()).over(_SAME))


def with_keys(sessions: pl.DataFrame, terms: Terms) -> pl.DataFrame:
    """The sessions with who pays for what: what shares windows."""
    rule = terms.rule
    if rule is None:
        return sessions.with_columns(payer=pl.lit(None, pl.String), unit=pl.lit(None, pl.String))
    families = terms.units()
    by_host = pl.col("product").is_in(sorted(rule.machine_metered)).fill_null(value=False)
    payer = pl.when(by_host).then(pl.lit("host ") + pl.col("host")).otherwise(pl.lit("user ") + pl.col("user"))
    if rule.scope == "server":
        payer = pl.concat_str(payer, pl.lit(" at "), "server")
    family = pl.col("product").replace_strict(
        {product: f"family {family}" for product, family in families.items()},
        default=pl.lit("product ") + pl.col("product"),
        return_dtype=pl.String,
    )
    return sessions.with_columns(payer=payer, unit=family)


def _write(connection: Connection, gone: pl.Series, changed: pl.DataFrame, new: pl.DataFrame) -> None:
    stale = pl.concat([gone, changed["id"]]).to_frame("id")
    if stale.height:
        with connection.given(stale_ids=stale):
            connection.run("DELETE FROM kept_sessions WHERE id IN (SELECT id FROM stale_ids)")
    connection.add("kept_sessions", changed)
    if new.height:
        names = ", ".join(f'"{name}"' for name in new.columns)
        with connection.given(new_sessions=new):
            connection.run(
                f"INSERT INTO kept_sessions (id, {names}) SELECT nextval('session_ids'), {names} FROM new_sessions"  # noqa: S608 - our names
            )


class Recharged(NamedTuple):
    """What became of charges."""

    new: int
    removed: int
    corrections: int


def recharge(
    connection: Connection,
    terms: Terms,
    touched: pl.DataFrame | None,
    *,
    update: int,
    settled: dict[str, datetime],
    why: str,
) -> Recharged:
    """Charges the touched keys anew from where their charges can be others, all of them where none are given.

    Args:
        connection: The book.
        terms: How to charge.
        touched: `payer`, `unit` and `start` of sessions that changed.
        update: The number of the update.
        settled: Until when the charges of each server were final before this update.
        why: What made them change.
    """
    if terms.rule is None or terms.rates is None or (touched is not None and touched.is_empty()):
        return Recharged(0, 0, 0)
    keys = None
    if touched is not None:
        keys = _keys(touched).filter(pl.col("payer").is_not_null() & pl.col("unit").is_not_null())
        keys = keys.group_by("payer", "unit").agg(since=pl.col("start").min())
    before, sessions = _of_keys(connection, terms.rule.window, keys)
    after = _charged(connection, terms, sessions)
    if keys is not None:
        after = _from(connection, after, terms.rule.window)
    gone = before.join(after, on=_CHARGE, how="anti", nulls_equal=True)
    fresh = after.join(before, on=_CHARGE, how="anti", nulls_equal=True)
    if gone.height:
        with connection.given(stale_charges=gone.select("rowid")):
            connection.run("DELETE FROM kept_charges WHERE rowid IN (SELECT rowid FROM stale_charges)")
    connection.add("kept_charges", fresh.with_columns(is_final=pl.lit(False), since=pl.lit(update)))  # noqa: FBT003
    corrections = _corrections(gone, fresh, settled).with_columns(update=pl.lit(update), why=pl.lit(why))
    connection.add("corrections", corrections)
    return Recharged(fresh.height, gone.height, corrections.height)


def mark_final(connection: Connection) -> None:
    """Charges before the last instant that is certain at their server are final."""
    connection.run(
        "UPDATE kept_charges SET is_final = true FROM servers WHERE NOT is_final "
        "AND kept_charges.server = servers.server AND charged_at < certain_until"
    )


def _of_keys(connection: Connection, window: str, keys: pl.DataFrame | None) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The charges that may be others, and the sessions that they follow from."""
    if keys is None:
        charges = connection.frame("SELECT rowid, * FROM kept_charges")
        sessions = connection.frame(f"SELECT * FROM ({_SESSIONS}) ORDER BY {ORDER}")  # noqa: S608 - our text
        return charges, sessions
    with connection.given(touched_keys=keys):
        connection.run(f"CREATE OR REPLACE TEMP TABLE restarts AS {_RESTART[window]}")
        charges = connection.frame(
            "SELECT c.rowid, c.* FROM kept_charges c JOIN restarts USING (payer, unit) "  # noqa: S608 - our text
            f"WHERE {_LATER[window]}"
        )
        sessions = connection.frame(
            f"SELECT s.* FROM ({_SESSIONS}) s JOIN restarts USING (payer, unit) "  # noqa: S608 - our text
            f"WHERE {_NEEDED[window]} >= needed_from ORDER BY {ORDER}"
        )
    return charges, sessions


_SESSIONS: Final = """SELECT * REPLACE (
    coalesce("end", greatest(start, (SELECT max(last_event) FROM servers))) AS "end") FROM kept_sessions"""
_RESTART: Final = {
    # At a launch nothing is in use that was before: had it been, the window would have been renewed at its end.
    "rolling": """
        SELECT k.payer, k.unit, coalesce(max(c.charged_at), TIMESTAMPTZ '1900-01-01 00:00:00+00') AS restart,
            coalesce(max(c.charged_at), TIMESTAMPTZ '1900-01-01 00:00:00+00') AS needed_from
        FROM touched_keys k LEFT JOIN kept_charges c
            ON c.payer = k.payer AND c.unit = k.unit AND c.charged_at <= k.since
            AND c."trigger" = 'launch' AND c.category = 'CHARGED'
        GROUP BY ALL""",
    # What a date is charged for follows from the sessions that touch it alone.
    "day": """
        SELECT payer, unit, since::DATE - 2 AS restart, (since::DATE - 4)::TIMESTAMP AT TIME ZONE 'UTC' AS needed_from
        FROM touched_keys""",
}
_NEEDED: Final = {"rolling": "s.start", "day": 's."end"'}
_LATER: Final = {"rolling": "c.charged_at >= restart", "day": "c.usage_date >= restart"}


def _charged(connection: Connection, terms: Terms, sessions: pl.DataFrame) -> pl.DataFrame:
    """Charges of sessions, with their keys and the sessions' numbers."""
    assert terms.rule is not None  # noqa: S101 - see `recharge`
    assert terms.rates is not None  # noqa: S101 - see `recharge`
    servers = [row[0] for row in connection.rows("SELECT server FROM servers")]
    charges = charge(
        sessions.select("user", "product", "server", "host", "start", "end"),
        rule=terms.rule,
        rates=terms.rates,
        servers=terms.servers(servers),
        users=terms.users,
        problems=Problems(),
    )
    charges = charges.with_columns(pl.col(name).cast(pl.String) for name in _TEXTS if name in charges.columns)
    of = charges["session"]
    return charges.with_columns(
        sessions["id"].gather(of).alias("session_id"),
        sessions["payer"].gather(of),
        sessions["unit"].gather(of),
    ).select(_CHARGE)


def _from(connection: Connection, charges: pl.DataFrame, window: str) -> pl.DataFrame:
    """Those from where a key was charged anew."""
    restarts = connection.frame("SELECT payer, unit, restart FROM restarts")
    found = charges.join(restarts, on=("payer", "unit"), how="inner")
    at = "charged_at" if window == "rolling" else "usage_date"
    return found.filter(pl.col(at) >= pl.col("restart")).drop("restart")


def _corrections(gone: pl.DataFrame, fresh: pl.DataFrame, settled: dict[str, datetime]) -> pl.DataFrame:
    """What was final and is otherwise now, and what comes late."""
    on = ["user", "product", "server", "charged_at"]
    # A row whose session alone has another number says the same.
    said = ("tokens", "trigger", "category", "usage_date", "window_end", "rule_id")
    was, now = (
        frame.with_columns(n=pl.int_range(pl.len()).over(on)).select(*on, "n", *said, *extra)
        for frame, extra in ((gone, ("is_final",)), (fresh, ()))
    )
    both = was.join(now, on=[*on, "n"], how="full", coalesce=True, nulls_equal=True, suffix="_now")
    is_gone, is_fresh = pl.col("trigger").is_not_null(), pl.col("trigger_now").is_not_null()
    limits = pl.DataFrame(
        {"server": list(settled), "limit": list(settled.values())}, schema={"server": pl.String, "limit": tables.TIME}
    )
    both = both.join(limits, on="server", how="left")
    is_late = is_fresh & ~is_gone & (pl.col("charged_at") < pl.col("limit"))
    differs = pl.any_horizontal(pl.col(name).ne_missing(pl.col(f"{name}_now")) for name in said)
    told = both.filter((pl.col("is_final").fill_null(value=False) & differs) | is_late.fill_null(value=False))
    what = pl.when(is_gone & is_fresh).then(pl.lit("changed")).when(is_gone).then(pl.lit("withdrawn"))
    return told.select(
        *on,
        what=what.otherwise(pl.lit("late")),
        usage_date=pl.coalesce("usage_date", "usage_date_now"),
        tokens_before="tokens",
        tokens_after="tokens_now",
        trigger_before="trigger",
        trigger_after="trigger_now",
    )
