"""The entries of a ledger as lines that a reader can follow: in words, and what is left out added up."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import polars as pl

from tokenflex.words import many

if TYPE_CHECKING:
    import tokenflex as tf

FIRST: Final = 3
"""Charges told at the beginning, so that one sees what a line is."""
USES: Final = ("charge", "overage", "refusal")
"""Kinds of entries of which there is one or more for each charge."""
BOOKED: Final = ("adjustment", "move", "correction")
_OF_CHARGE: Final = ("user", "product", "server", "trigger")
_DID: Final = {"launch": "launched", "renewal": "went on using", "resume": "used again"}
_NOUNS: Final = {"charge": "charge", "overage": "charge", "refusal": "refused launch"}


def entries_of(ledger: tf.Ledger) -> pl.DataFrame:
    """All entries, with who used what in each charge, and with the reason of each booking."""
    entries = ledger.entries.with_columns(pl.col("kind", "pool").cast(pl.String))
    charges, bookings = ledger.charges, ledger.bookings
    known = [charges[name].cast(pl.String).gather(entries["charge"]) for name in _OF_CHARGE if name in charges.columns]
    lacking = [pl.lit(None, pl.String).alias(name) for name in _OF_CHARGE if name not in charges.columns]
    booked = [bookings[name].gather(entries["booking"]) for name in ("reason", "team")]
    return entries.with_columns(*known, *lacking, *booked)


def followed(entries: pl.DataFrame, most: int) -> list[dict[str, Any]]:
    """The first lines and those where something happens, and between them what the others come to.

    Args:
        entries: Of `entries_of`.
        most: How many lines are told by themselves.

    Returns:
        Lines in order. Each has `entry` (None where several are added up), `at`, `account` (a pool, or `(owed)`),
        `what` (in words), `tokens`, `before`, `after`.
    """
    marked = _marked(entries)
    chosen = marked.filter("tells").head(most)
    others = marked.join(chosen.select("entry"), on="entry", how="anti", maintain_order="left")
    # What follows a chosen line, up to the next one, is added up.
    gaps = others.with_columns(gap=chosen["entry"].search_sorted(others["entry"]).cast(pl.UInt32))
    summed = gaps.group_by("gap", "account", maintain_order=True).agg(
        pl.col("at").last(),
        pl.col("tokens").sum(),
        pl.col("balance_before").first(),
        pl.col("balance_after").last(),
        pl.col("kind"),
    )
    by_gap: dict[int, list[dict[str, Any]]] = {}
    for row in summed.iter_rows(named=True):
        by_gap.setdefault(row["gap"], []).append(_line(row, None, _counted(row["kind"])))
    lines = by_gap.pop(0, [])
    for place, row in enumerate(chosen.iter_rows(named=True), start=1):
        lines += [_line(row, row["entry"], _told(row)), *by_gap.pop(place, [])]
    return lines


def happenings(entries: pl.DataFrame) -> int:
    """How many lines there are that `followed` tells if it may."""
    return int(_marked(entries)["tells"].sum())


def _marked(entries: pl.DataFrame) -> pl.DataFrame:
    """With the account that each line is of, the parts of a charge, and whether a line tells something."""
    kind, charge = pl.col("kind"), pl.col("charge")
    account = pl.when(kind == "overage").then(pl.lit("(owed)")).otherwise(pl.col("pool")).fill_null("")
    is_part = charge.is_not_null()
    marked = entries.with_columns(
        account=account,
        parts=pl.when(is_part).then(pl.len().over("charge")).otherwise(1),
        part=pl.when(is_part).then(pl.col("entry").rank("ordinal").over("charge")).otherwise(1),
    )
    uses = marked.filter(kind.is_in(USES)).select("entry", turns=kind != kind.shift(1, fill_value="charge"))
    marked = marked.join(uses, on="entry", how="left", maintain_order="left")
    is_first = kind.is_in(USES) & (kind.is_in(USES).cum_sum() <= FIRST)
    runs_dry = (kind == "charge") & (pl.col("balance_after") == 0)
    tells = ~kind.is_in(USES) | is_first | runs_dry | (pl.col("parts") > 1) | pl.col("turns").fill_null(value=False)
    return marked.with_columns(tells=tells)


def _line(row: dict[str, Any], entry: int | None, what: str) -> dict[str, Any]:
    # What all pools had when a launch was refused is no account that goes on.
    is_account = row["account"] != ""
    return {
        "entry": entry,
        "at": row["at"],
        "account": row["account"],
        "what": what,
        "tokens": row["tokens"],
        "before": row["balance_before"] if is_account or entry else None,
        "after": row["balance_after"] if is_account or entry else None,
    }


def _counted(kinds: list[str]) -> str:
    nouns: dict[str, int] = {}
    for kind in kinds:
        noun = _NOUNS.get(kind, kind.replace("_", " "))
        nouns[noun] = nouns.get(noun, 0) + 1
    return ", ".join(many(count, noun) for noun, count in nouns.items())


def _told(row: dict[str, Any]) -> str:
    kind = row["kind"]
    if kind in USES:
        return _use(row)
    if kind == "provision":
        return "opens"
    if kind == "expiry":
        return "closes: what is left expires"
    if kind == "carry_over":
        return "closes: what is left is carried over" if row["tokens"] < 0 else "gets what was carried over"
    words = kind.replace("_", " ") + (f" to {row['team']}" if row["team"] else "")
    return f"{words}: {row['reason']}" if row["reason"] else words


def _use(row: dict[str, Any]) -> str:
    who, product = row["user"] or "someone", row["product"] or "a product"
    where = f" on {row['server']}" if row["server"] else ""
    words = f"{who} {_DID.get(row['trigger'], 'used')} {product}{where}"
    if row["kind"] == "refusal":
        return f"{words}: refused, the open pools have too little"
    if row["parts"] > 1:
        words += f", part {row['part']} of {row['parts']}"
    if row["kind"] == "overage":
        return f"{words}; no pool has tokens, so these are owed"
    return f"{words}; the pool is empty now" if row["balance_after"] == 0 else words
