"""The entries of a ledger as lines that a reader can follow: in words, and what is left out added up."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

import polars as pl

from tokenflex.words import many

if TYPE_CHECKING:
    import tokenflex as tf

FIRST: Final = 3
"""Charges told at the beginning, so that one sees what a line is."""
USES: Final = ("charge", "overage", "refusal")
"""Kinds of entries of which there is one or more for each charge."""
BOOKED: Final = ("adjustment", "move")
_OF_CHARGE: Final = ("user", "product", "server", "trigger")
_DID: Final = {"launch": "launched", "renewal": "went on using", "resume": "used again"}
_NOUNS: Final = {"overage": "charge"}


def described(ledger: tf.Ledger, entries: pl.DataFrame) -> pl.DataFrame:
    """Entries of a ledger, with who used what in each charge, and with the reason of each booking."""
    entries = entries.with_columns(pl.col("kind", "pool").cast(pl.String))
    charges, bookings = ledger.charges, ledger.bookings
    known = [charges[name].gather(entries["charge"]).cast(pl.String) for name in _OF_CHARGE if name in charges.columns]
    lacking = [pl.lit(None, pl.String).alias(name) for name in _OF_CHARGE if name not in charges.columns]
    booked = [bookings[name].gather(entries["booking"]) for name in ("reason", "team")]
    return entries.with_columns(*known, *lacking, *booked)


class Followed(NamedTuple):
    """Lines that a reader can follow."""

    lines: list[dict[str, Any]]
    """In order. Each has `entry` (None where several are added up), `at`, `account` (a pool, or `(owed)`), `what` (in
    words), `tokens`, `before`, `after`."""
    more: int
    """How many lines where something happens are only added up."""


def followed(ledger: tf.Ledger, most: int) -> Followed:
    """The first lines and those where something happens, `most` of them, and what the lines between come to."""
    marked = _marked(ledger.entries)
    telling = marked.filter("tells")
    chosen = telling.head(most)
    others = marked.filter(~pl.col("entry").is_in(chosen["entry"].implode()))
    # What follows a chosen line, up to the next one, is added up.
    others = others.with_columns(gap=chosen["entry"].search_sorted(others["entry"]))
    between = _between(others)
    lines = between.pop(0, [])
    parts = _parts(telling)
    for place, row in enumerate(described(ledger, chosen).iter_rows(named=True), start=1):
        row["part"], row["parts"] = parts.get(row["entry"], (1, 1))
        lines += [_line(row, row["entry"], _told(row)), *between.pop(place, [])]
    return Followed(lines, telling.height - chosen.height)


def _marked(entries: pl.DataFrame) -> pl.DataFrame:
    """With the account that each line is of, and whether it tells something."""
    kind, charge = pl.col("kind").cast(pl.String), pl.col("charge")
    is_use = kind.is_in(USES)
    before = pl.when(is_use).then(kind).forward_fill().shift(1, fill_value="charge").fill_null("charge")
    used = pl.when(is_use).then(charge)
    is_part = used.is_not_null() & used.is_duplicated()
    runs_dry = (kind == "charge") & (pl.col("balance_after") == 0)
    is_first = is_use & (is_use.cum_sum() <= FIRST)
    is_owed = pl.coalesce("corrects", "kind").cast(pl.String) == "overage"
    account = pl.when(is_owed).then(pl.lit("(owed)")).otherwise(pl.col("pool").cast(pl.String))
    return entries.with_columns(
        account=account.fill_null(""),
        is_part=is_part,
        tells=~is_use | is_first | runs_dry | is_part | (is_use & (kind != before)),
    )


def _parts(telling: pl.DataFrame) -> dict[int, tuple[int, int]]:
    """Of each entry of a divided charge: which part it is, and of how many. All parts of a charge tell."""
    parts = telling.filter("is_part").select(
        "entry", part=pl.col("entry").rank("ordinal").over("charge"), parts=pl.len().over("charge")
    )
    return {entry: (part, of) for entry, part, of in parts.iter_rows()}


def _between(others: pl.DataFrame) -> dict[int, list[dict[str, Any]]]:
    """The lines of each gap, one for each account."""
    keys = ("gap", "account")
    summed = others.group_by(keys, maintain_order=True).agg(
        pl.col("at").last(), pl.col("tokens").sum(), pl.col("balance_before").first(), pl.col("balance_after").last()
    )
    counts: dict[tuple[int, str], dict[str, int]] = {}
    for gap, account, kind, count in others.group_by(*keys, "kind", maintain_order=True).len().iter_rows():
        counts.setdefault((gap, account), {})[kind] = count
    between: dict[int, list[dict[str, Any]]] = {}
    for row in summed.iter_rows(named=True):
        words = _counted(counts[row["gap"], row["account"]])
        between.setdefault(row["gap"], []).append(_line(row, None, words))
    return between


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


def _counted(kinds: dict[str, int]) -> str:
    # A pool expires once, so nothing here has a plural of its own.
    return ", ".join(many(count, _NOUNS.get(kind, kind.replace("_", " "))) for kind, count in kinds.items())


def _told(row: dict[str, Any]) -> str:
    kind = row["kind"]
    if kind in USES:
        return _use(row)
    if kind == "provision":
        return "opens"
    if kind == "correction":
        what = row["corrects"].replace("_", " ")
        of = f" of {row['user']}, {row['product']}" if row["charge"] is not None else ""
        return f"correction of what was closed: {what}{of}"
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
