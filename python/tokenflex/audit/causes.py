"""Why a line of one side has no equal on the other: each cause is tried, and holds where the difference vanishes."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final

import polars as pl

from tokenflex import tables
from tokenflex.times import MICROSECOND

if TYPE_CHECKING:
    from collections.abc import Callable
    from decimal import Decimal

    from tokenflex.audit.lines import Basis, Terms
    from tokenflex.audit.uses import Uses
    from tokenflex.reading.user_zones import Users

RECONNECT_WITHIN: Final = timedelta(minutes=15)
FEWEST: Final = 3
"""So many lines have to agree on another rate before it is taken for one."""

WORDS: Final = {
    "no_log": "there is no log of this server and day of ours: nothing to compare with",
    "no_statement": "the vendor has no row of this server and day: nothing to compare with",
    "server_not_reporting": "the statement has no row of this server, or its log says that it does not report",
    "masked": "users are masked: who it was cannot be said",
    "not_of_servers": "use of the cloud: no license server logs it",
    "adjustment": "an adjustment of the balance: no use",
    "not_charged": "no times, or its server has no zone by which the rule could charge it: no instant to compare",
    "no_rate": "our rates have none for the product at that time: with the vendor's tokens as rate nothing differs",
    "rounding": "the difference is within the tolerance",
    "day_border": "the next day has the opposite difference: with days that begin elsewhere both are gone",
    "duplicate_row": "the row repeats another one in all it says: without it nothing differs",
    "manual_entry": "entered by hand, beside what servers tell: without the entry nothing differs",
    "borrowed": "a borrowed license, charged beyond its check-out: without the row nothing differs",
    "swapped_machine": "the product is metered by machine, and this machine has paid: by host nothing more is due",
    "identity": "the person has paid under another spelling: under one name nothing more is due",
    "variant": "the product was paid under another code: under one code nothing more is due",
    "family": "the full price, where a product of the family had been paid: with the difference alone both are equal",
    "minimum_duration": "the session is below the minimum duration: under it nothing is due",
    "reconnect": "the server took the license back just before, and the window was paid: nothing more is due",
    "two_servers": "the window was paid on another server: as one contract nothing more is due",
    "rate": "the vendor takes another rate at that time: by it nothing differs",
    "other_rule": "under another rule all of this person's sessions of the product cost what is stated",
    "no_row": "the vendor has no row of the session behind it, though it has others of this server and day",
    "no_session": "our sessions have none behind it, though the server was logged on this day",
    "unexplained": "no cause that was tried makes the difference vanish",
}


@dataclass(frozen=True)
class Evidence:
    """What causes are tried with. Lines and uses have `payer` and `line`."""

    basis: Basis
    terms: Terms
    statement: pl.DataFrame
    stated: pl.DataFrame
    """The statement as it was given, row by row."""
    uses: Uses | None
    users: Users | None
    metered: list[str]
    logs: pl.DataFrame
    allowed: Decimal

    @property
    def shortest(self) -> timedelta:
        """The least duration of a session that is charged."""
        return self.basis.rule.min_duration if self.basis.rule is not None else timedelta(0)


def covered(lone: pl.DataFrame, kept: pl.DataFrame, terms: Terms, metered: list[str]) -> pl.DataFrame:
    """How each lone line differs from the one of the same side that had paid its window already, if there is one.

    Of several the one that differs in the least is taken: `again` differs in nothing.
    """
    both = _of_one_window(lone, kept, terms)
    other = {name: pl.col(name).ne_missing(pl.col(f"{name}_paid")) for name in _ATTRIBUTES}
    is_metered = pl.col("line").is_in(metered)
    flags = both.select(
        "i",
        identity=other["user"] & ~is_metered,
        variant=other["product"],
        two_servers=other["server"] & pl.col("server").is_not_null() & (not terms.per_server),
        swapped_machine=other["user"] & is_metered,
    )
    names = ("identity", "variant", "two_servers", "swapped_machine")
    flags = flags.with_columns(count=pl.sum_horizontal(names)).with_columns(again=pl.col("count") == 0)
    best = flags.sort("i", "count", *names, "again").unique("i", keep="first", maintain_order=True)
    whole = lone.select("i").join(best.drop("count"), on="i", how="left", maintain_order="left")
    return whole.drop("i").fill_null(value=False)


_ATTRIBUTES: Final = ("user", "product", "server")


def _of_one_window(lone: pl.DataFrame, kept: pl.DataFrame, terms: Terms) -> pl.DataFrame:
    """Each lone line with every line of the same payer and product whose window it falls into."""
    keys = ["payer", "line", "usage_date" if terms.by_days else "stretch"]
    left = lone.select("i", "payer", "line", "usage_date", *_ATTRIBUTES, at="charged_at")
    right = kept.select(
        "payer", "line", "usage_date", "charged_at", *(pl.col(name).alias(f"{name}_paid") for name in _ATTRIBUTES)
    )
    if terms.by_days or terms.rule is None:
        return left.join(right, on=keys)
    # A window reaches into the stretch of its own length in which it begins, and into the next one.
    length = terms.rule.length
    stretch = pl.col("charged_at").dt.timestamp("us") // (length // MICROSECOND)
    left = left.with_columns(stretch=pl.col("at").dt.timestamp("us") // (length // MICROSECOND))
    right = pl.concat([right.with_columns(stretch=stretch + more) for more in (0, 1)])
    both = left.join(right, on=keys)
    return both.filter((pl.col("at") >= pl.col("charged_at")) & (pl.col("at") < pl.col("charged_at") + length))


def reconnected(lone: pl.DataFrame, taken_back: pl.DataFrame) -> pl.Series:
    """Launches shortly after the server had taken the license of that payer and product back."""
    ends = taken_back.select("payer", "line", at="end", taken_at="end").drop_nulls().sort("at")
    launches = lone.select("i", "payer", "line", at="charged_at").drop_nulls().sort("at")
    if ends.is_empty() or launches.is_empty():
        return pl.repeat(value=False, n=lone.height, dtype=pl.Boolean, eager=True)
    joined = launches.join_asof(ends, on="at", by=["payer", "line"], tolerance=RECONNECT_WITHIN, check_sortedness=False)
    return lone["i"].is_in(joined.drop_nulls("taken_at")["i"].implode())


def began(lone: pl.DataFrame) -> pl.Series:
    """The second in which the session behind each line began, where that is known."""
    launch = pl.when(pl.col("trigger") == "launch").then("charged_at")
    return lone.select(at=pl.coalesce("start", launch).dt.truncate("1s")).to_series()


def without_use(lone: pl.DataFrame, uses: pl.DataFrame) -> pl.Series:
    """Lines whose session the other side's uses do not have: by payer, product and start, to the second."""
    keys = lone.select("i", "payer", "line", began(lone)).drop_nulls()
    second = pl.col("start").dt.truncate("1s")
    known = uses.filter(second.is_in(keys["at"].unique().implode())).select("payer", "line", at=second)
    lacking = keys.join(known, on=["payer", "line", "at"], how="anti")["i"]
    return lone["i"].is_in(lacking.implode())


def full_prices(rows: pl.DataFrame, basis: Basis) -> pl.Series:
    """Of each row of `line` and `at` the rate at that time, whatever had been paid."""
    if basis.rates is None:
        return pl.repeat(None, rows.height, dtype=tables.TOKENS, eager=True)
    rates = basis.rates.frame.select(
        line=pl.col("product").cast(tables.NAME),
        at=pl.col("effective_from").fill_null(pl.lit(0).cast(tables.TIME)),
        price="tokens",
    )
    each = rows.select("line", "at").with_row_index("place")
    priced = each.drop_nulls().sort("at").join_asof(rates.sort("at"), on="at", by="line", check_sortedness=False)
    return each.select("place").join(priced, on="place", how="left", maintain_order="left")["price"]


def rates_of_other_dates(rows: pl.DataFrame, basis: Basis) -> pl.DataFrame:
    """Pairs that a rate of another date makes equal: `i`, and in `said` which one; of several the nearest in time."""
    if basis.rates is None:
        return pl.DataFrame(schema={"i": pl.UInt32(), "said": pl.String()})
    rates = basis.rates.frame.sort("product", "effective_from", nulls_last=False)
    known = rates.select(
        line=pl.col("product").cast(tables.NAME),
        vendors="tokens",
        since="effective_from",
        until=pl.col("effective_from").shift(-1).over("product"),
    )
    both = rows.select("i", "line", "vendors", at="charged_at").join(known, on=["line", "vendors"])
    told = pl.format(
        "by the rate of {} tokens", pl.col("vendors").cast(pl.String).str.strip_chars_end("0").str.strip_chars_end(".")
    )
    earlier = pl.concat_str(told, pl.format(", which held until {}, nothing differs", pl.col("until").dt.date()))
    later = pl.concat_str(told, pl.format(", which holds from {} on, nothing differs", pl.col("since").dt.date()))
    is_over = (pl.col("until") <= pl.col("at")).fill_null(value=False)
    is_ahead = (pl.col("since") > pl.col("at")).fill_null(value=False)
    away = pl.when(is_over).then(pl.col("at") - pl.col("until")).when(is_ahead).then(pl.col("since") - pl.col("at"))
    found = both.with_columns(away=away, said=pl.when(is_over).then(earlier).when(is_ahead).then(later))
    return (
        found.sort("i", "away", "said", nulls_last=True)
        .unique("i", keep="first", maintain_order=True)
        .select("i", "said")
    )


def rates_agreed_on(rows: pl.DataFrame, pairs_of: Callable[[pl.Series], pl.DataFrame]) -> pl.DataFrame:
    """Pairs of another rate on which all differing lines of the product agree, while no other pair speaks against it.

    `pairs_of` gives all pairs of product lines that were charged in full.
    """
    lines = rows.select("i", "line", "vendors", "ours", "full", at="charged_at")
    differing = lines.filter((pl.col("ours") == pl.col("full")).fill_null(value=True) & (pl.col("vendors") > 0))
    spans = (
        differing.group_by("line")
        .agg(
            first=pl.col("at").min(),
            last=pl.col("at").max(),
            rate=pl.col("vendors").first(),
            rates=pl.col("vendors").n_unique(),
            count=pl.len(),
        )
        .filter((pl.col("rates") == 1) & (pl.col("count") >= FEWEST))
    )
    against = (
        pairs_of(spans["line"])
        .join(spans, on="line")
        .filter(pl.col("charged_at").is_between("first", "last") & (pl.col("vendors") != pl.col("rate")))
    )
    spans = spans.join(against.select("line").unique(), on="line", how="anti")
    constant = differing.join(spans.select("line", "rate"), on="line")
    told = pl.col("rate").cast(pl.String).str.strip_chars_end("0").str.strip_chars_end(".")
    said = pl.format("by a rate of {} tokens, which the vendor takes at that time, nothing differs", told)
    return constant.select("i", said=said)
