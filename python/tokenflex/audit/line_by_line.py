"""Reconciliation line by line, where the vendor states times: lines of two sides, pairs, odd rows, what holds of them.

Most lines agree. Only those that do not become rows with the columns of both sides and are tried for causes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import polars as pl

from tokenflex import tables
from tokenflex.audit.causes import (
    began,
    covered,
    full_prices,
    rates_agreed_on,
    rates_of_other_dates,
    reconnected,
    without_use,
)
from tokenflex.audit.comparable import check_clock, without_log, without_statement
from tokenflex.audit.lines import among
from tokenflex.audit.match import matched
from tokenflex.audit.other_rules import group_of, other_rules
from tokenflex.audit.outcome import FEATURES
from tokenflex.audit.sides import repeated
from tokenflex.metering.rule import DAY

if TYPE_CHECKING:
    from tokenflex.audit.causes import Evidence

_CARRIED: Final = (
    "row", "user", "payer", "line", "product", "server", "usage_date", "charged_at", "window_end", "category",
    "trigger", "tokens", "start", "end", "is_manual", "is_borrowed", "aside",
)  # fmt: skip
_SHOWN: Final = ("payer", "line", "server", "usage_date", "charged_at", "window_end")


@dataclass(frozen=True)
class Sides:
    """The lines of both sides and which stand against each other: `o` and `v` are places in them."""

    ours: pl.DataFrame
    vendors: pl.DataFrame
    pairs: pl.DataFrame

    def places(self) -> pl.DataFrame:
        """The pairs, then the lines of ours that have no partner, then the vendor's."""
        lone = [
            pl.int_range(frame.height, dtype=pl.UInt32, eager=True)
            .filter(~among(self.pairs[name], frame.height))
            .alias(name)
            .to_frame()
            for name, frame in (("o", self.ours), ("v", self.vendors))
        ]
        return pl.concat([self.pairs.sort("o"), *lone], how="diagonal")

    def column(self, name: str, places: pl.DataFrame) -> pl.Series:
        """What rows show of it: ours, and the vendor's where we have nothing."""
        own = self.ours[name].gather(places["o"])
        return own if own.null_count() == 0 else own.fill_null(self.vendors[name].gather(places["v"]))

    def full_pairs(self, lines: pl.Series) -> pl.DataFrame:
        """Of these product lines the pairs that we charged in full: `line`, `charged_at` and the vendor's tokens."""
        is_full = pl.col("category").fill_null("CHARGED") == "CHARGED"
        own = self.ours.with_row_index("o").filter(pl.col("line").is_in(lines.implode()) & is_full)
        both = own.select("o", "line", "charged_at").join(self.pairs, on="o")
        return both.select("line", "charged_at", vendors=self.vendors["tokens"].gather(both["v"]))

    def paired(self, place: str, keys: pl.DataFrame) -> pl.DataFrame:
        """Those lines of one side that have a partner and are alike in the keys, with their places."""
        frame = self.ours if place == "o" else self.vendors
        alike = frame.with_row_index(place).join(keys.unique(), on=keys.columns, how="semi")
        return alike.join(self.pairs.select(place), on=place, how="semi")


def by_lines(ours: pl.DataFrame, vendors: pl.DataFrame, evidence: Evidence) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The rows that agree, as they are shown, and the odd ones, with a column for each cause that says if it holds."""
    sides = Sides(ours, vendors, matched(ours, vendors, by_days=evidence.terms.by_days, within=DAY))
    check_clock(ours, vendors, sides.pairs)
    places = sides.places()
    has_line = places["o"].is_not_null()
    amounts = places.select(
        # 0 where we have no line, unknown where ours has no rate.
        ours=pl.when(has_line).then(ours["tokens"].gather(places["o"])).otherwise(pl.lit(0, tables.TOKENS)),
        vendors=vendors["tokens"].gather(places["v"]).fill_null(0),
    )
    is_odd = amounts.select((pl.col("ours") != pl.col("vendors")).fill_null(value=True)).to_series()
    rows = places.hstack(amounts)
    return _agreed(rows.filter(~is_odd), sides), _tested(_wide(rows.filter(is_odd), sides), sides, evidence)


def _agreed(rows: pl.DataFrame, sides: Sides) -> pl.DataFrame:
    at = [frame["charged_at"].gather(rows[place]) for place, frame in (("o", sides.ours), ("v", sides.vendors))]
    return rows.select(
        *(sides.column(name, rows).alias(name) for name in _SHOWN),
        "ours",
        "vendors",
        shift=at[1] - at[0],
        o_row=sides.ours["row"].gather(rows["o"]),
        v_row=sides.vendors["row"].gather(rows["v"]),
    )


def _wide(rows: pl.DataFrame, sides: Sides) -> pl.DataFrame:
    """Rows with all that is known of both lines, numbered by `i`."""
    both = [
        frame[name].gather(rows[place]).alias(f"{place}_{name}")
        for place, frame in (("o", sides.ours), ("v", sides.vendors))
        for name in _CARRIED
    ]
    return (
        rows.with_row_index("i")
        .with_columns(*both)
        .with_columns(
            *(pl.coalesce(f"o_{name}", f"v_{name}").alias(name) for name in _SHOWN),
            shift=pl.col("v_charged_at") - pl.col("o_charged_at"),
        )
    )


def _tested(odd: pl.DataFrame, sides: Sides, evidence: Evidence) -> pl.DataFrame:
    """Odd rows with the causes that hold of each."""
    lone_o, lone_v = pl.col("v").is_null(), pl.col("o").is_null()
    parts = [
        _missing(odd.filter(lone_o), sides, evidence),
        _extra(odd.filter(lone_v), sides, evidence),
        _both(odd.filter(~lone_o & ~lone_v), sides, evidence),
    ]
    rows = pl.concat(parts, how="diagonal_relaxed")
    flags = [
        (pl.col(name).fill_null(value=False) if name in rows.columns else pl.lit(value=False)).alias(name)
        for name in FEATURES
    ]
    return _with_rules(rows.with_columns(flags), evidence)


def _side(rows: pl.DataFrame, place: str) -> pl.DataFrame:
    """The lines of one side as they are, with the row's number."""
    return rows.select("i", place, *(pl.col(f"{place}_{name}").alias(name) for name in _CARRIED))


def _paid_already(side: pl.DataFrame, place: str, sides: Sides, evidence: Evidence) -> pl.DataFrame:
    """For each lone line what sets it apart from a line of the same side that had paid its window and has a partner."""
    keys = ["payer", "line", *(["usage_date"] if evidence.terms.by_days else [])]
    return covered(side, sides.paired(place, side.select(keys)), evidence.terms, evidence.metered)


def _missing(lone: pl.DataFrame, sides: Sides, evidence: Evidence) -> pl.DataFrame:
    side = _side(lone, "o")
    masked = evidence.statement.filter(pl.col("aside") == "masked").select("line", "usage_date").unique()
    # A session counts for the next date, too.
    following = masked.with_columns(pl.col("usage_date").dt.offset_by("1d"))
    hidden = side.join(pl.concat([masked, following]).unique(), on=["line", "usage_date"], how="semi")["i"]
    return lone.with_columns(
        *without_statement(side, evidence.statement, evidence.logs).get_columns(),
        *_paid_already(side, "o", sides, evidence).drop("again").get_columns(),
        masked=pl.col("i").is_in(hidden.implode()),
        no_rate=pl.col("ours").is_null(),
        duplicate_row=_repeats(side, sides.ours),
        no_row=without_use(side, evidence.statement),
    )


def _repeats(side: pl.DataFrame, ours: pl.DataFrame) -> pl.Series:
    """Lines of ours that repeat another one: the same charge twice in the table."""
    keys = ["user", "product", "server", "charged_at"]
    asked = side.select(keys).unique()
    alike = ours.with_row_index("o").join(asked, on=keys, how="semi", nulls_equal=True, maintain_order="left")
    again = alike.filter(~pl.struct(keys).is_first_distinct())["o"]
    return side["o"].is_in(again.implode())


def _extra(lone: pl.DataFrame, sides: Sides, evidence: Evidence) -> pl.DataFrame:
    side = _side(lone, "v")
    again = _paid_already(side, "v", sides, evidence)
    unpriced = sides.ours.filter(pl.col("tokens").is_null())["line"].unique().implode()
    is_manual = pl.col("v_is_manual").fill_null(value=False)
    is_aside = pl.col("v_aside").is_not_null()
    never = pl.lit(value=False)
    reconnect, no_session = never, never
    if evidence.uses is not None:
        reconnect = pl.lit(again["again"] & reconnected(side, evidence.uses.taken_back()))
        no_session = pl.lit(without_use(side, evidence.uses.at(began(side))))
    return lone.with_columns(
        *again.drop("again").get_columns(),
        *((pl.col("v_aside") == name).fill_null(value=False).alias(name) for name in tables.NOT_COMPARABLE_CAUSES[3:7]),
        no_log=without_log(side, evidence.logs) & ~is_manual & ~is_aside,
        no_rate=pl.col("line").is_in(unpriced) & ~is_aside,
        duplicate_row=repeated(lone["v_row"], evidence.stated),
        manual_entry=is_manual,
        borrowed=pl.col("v_is_borrowed").fill_null(value=False),
        minimum_duration=((pl.col("v_end") - pl.col("v_start")) < evidence.shortest).fill_null(value=False),
        reconnect=reconnect,
        no_session=no_session & ~is_manual,
    )


def _both(pairs: pl.DataFrame, sides: Sides, evidence: Evidence) -> pl.DataFrame:
    pairs = pairs.with_columns(full=full_prices(pairs.select("line", at="charged_at"), evidence.basis))
    difference = (pl.col("vendors") - pl.col("ours")).abs()
    owed = (pl.col("o_category") == "INCREMENTAL") & (pl.col("vendors") == pl.col("full"))
    owing = (pl.col("v_category") == "INCREMENTAL") & (pl.col("ours") == pl.col("full"))
    done = pairs.with_columns(
        no_rate=pl.col("ours").is_null(),
        rounding=(difference <= evidence.allowed).fill_null(value=False),
        family=(owed | owing).fill_null(value=False),
    )
    asked = done.filter(~pl.col("no_rate") & ~pl.col("rounding") & ~pl.col("family"))
    rates = pl.concat([rates_of_other_dates(asked, evidence.basis), rates_agreed_on(asked, sides.full_pairs)])
    done = done.join(rates.unique("i", keep="first", maintain_order=True), on="i", how="left", maintain_order="left")
    return done.with_columns(rate=pl.col("said").is_not_null())


def _with_rules(rows: pl.DataFrame, evidence: Evidence) -> pl.DataFrame:
    """What nothing else explains, under the other rules that a contract may well have."""
    rates = evidence.basis.rates
    if rates is None:
        return rows
    asked = rows.filter(~pl.any_horizontal(FEATURES)).select("i", "payer", group=group_of(rates))
    rules = other_rules(asked.select("payer", "group").drop_nulls().unique(), evidence)
    found = asked.join(rules, on=["payer", "group"])
    rows = rows.join(found.select("i", "rule"), on="i", how="left", maintain_order="left")
    only = pl.col("rule").str.contains(r"^min_duration_seconds=\d+$").fill_null(value=False)
    told = pl.format("under the rule with {} all of this person's sessions of the product cost what is stated", "rule")
    return rows.with_columns(
        minimum_duration=pl.col("minimum_duration") | only,
        other_rule=pl.col("rule").is_not_null() & ~only,
        said=pl.coalesce(told, "said"),
    )
