"""Why a line of one side has no equal on the other: each cause is tried, and holds where the difference vanishes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Final

import polars as pl

from tokenflex import tables
from tokenflex.audit.evidence import TAKEN_BACK
from tokenflex.metering.charge import charge
from tokenflex.metering.rule_grid import differences, rule_grid
from tokenflex.metering.terms import zones_in
from tokenflex.problems import Problems
from tokenflex.reading.user_zones import UserZones

if TYPE_CHECKING:
    from decimal import Decimal

    from tokenflex.audit.lines import Basis, Terms
    from tokenflex.metering.rule import Rule
    from tokenflex.metering.terms import Users

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
    sessions: pl.DataFrame | None
    users: Users | None
    within: timedelta
    metered: list[str]
    logs: pl.DataFrame
    allowed: Decimal


def covered(lone: pl.DataFrame, kept: pl.DataFrame, evidence: Evidence) -> pl.DataFrame:
    """How each lone line differs from the one of the same side that had paid its window already, if there is one.

    Of several the one that differs in the least is taken: `again` differs in nothing.
    """
    terms, within = evidence.terms, evidence.within
    names = ("identity", "variant", "two_servers", "swapped_machine", "again")
    keys = ["payer", "line", *(["usage_date"] if terms.by_days else [])]
    attributes = ("user", "product", "server")
    left = lone.select("i", *keys, *attributes, at="charged_at")
    right = kept.select(*keys, "charged_at", *(pl.col(name).alias(f"{name}_paid") for name in attributes))
    both = left.join(right, on=keys)
    if not terms.by_days:
        both = both.filter((pl.col("at") >= pl.col("charged_at")) & (pl.col("at") < pl.col("charged_at") + within))
    other = {name: pl.col(name).ne_missing(pl.col(f"{name}_paid")) for name in attributes}
    is_metered = pl.col("line").is_in(evidence.metered)
    server = other["server"] & pl.col("server").is_not_null() & (not terms.per_server)
    flags = both.select(
        "i",
        identity=other["user"] & ~is_metered,
        variant=other["product"],
        two_servers=server,
        swapped_machine=other["user"] & is_metered,
    )
    count = pl.sum_horizontal("identity", "variant", "two_servers", "swapped_machine")
    flags = flags.with_columns(count=count).with_columns(again=pl.col("count") == 0)
    best = flags.sort("i", "count", *names).unique("i", keep="first", maintain_order=True)
    whole = lone.select("i").join(best.drop("count"), on="i", how="left", maintain_order="left")
    return whole.drop("i").fill_null(value=False)


def reconnected(lone: pl.DataFrame, sessions: pl.DataFrame | None) -> pl.Series:
    """Launches shortly after the server had taken the license of that payer and product back."""
    if sessions is None or "end_reason" not in sessions.columns or lone.is_empty():
        return pl.repeat(value=False, n=lone.height, dtype=pl.Boolean, eager=True)
    taken = sessions.filter(pl.col("end_reason").cast(pl.String).is_in(TAKEN_BACK))
    ends = taken.select("payer", "line", at="end", taken_at="end").drop_nulls().sort("at")
    launches = lone.select("i", "payer", "line", at="charged_at").drop_nulls().sort("at")
    joined = launches.join_asof(ends, on="at", by=["payer", "line"], tolerance=RECONNECT_WITHIN, check_sortedness=False)
    return lone["i"].is_in(joined.drop_nulls("taken_at")["i"].implode())


def without_use(lone: pl.DataFrame, uses: pl.DataFrame | None) -> pl.Series:
    """Lines whose session the other side's uses do not have: by payer, product and start, to the second."""
    at = pl.coalesce("start", pl.when(pl.col("trigger") == "launch").then("charged_at")).dt.truncate("1s").alias("at")
    if uses is None:
        return pl.repeat(value=False, n=lone.height, dtype=pl.Boolean, eager=True)
    keys = lone.select("i", "payer", "line", at).drop_nulls()
    known = uses.select("payer", "line", at=pl.col("start").dt.truncate("1s"))
    lacking = keys.join(known, on=["payer", "line", "at"], how="anti")["i"]
    return lone["i"].is_in(lacking.implode())


def full_prices(rows: pl.DataFrame, basis: Basis) -> pl.Series:
    """Of each row of `line` and `at` the rate at that time, whatever had been paid."""
    if basis.rates is None:
        return pl.repeat(None, rows.height, dtype=tables.TOKENS, eager=True)
    rates = basis.rates.frame.select(
        line="product", at=pl.col("effective_from").fill_null(pl.lit(0).cast(tables.TIME)), price="tokens"
    )
    each = rows.select("line", "at").with_row_index("place")
    priced = each.drop_nulls().sort("at").join_asof(rates.sort("at"), on="at", by="line", check_sortedness=False)
    return each.select("place").join(priced, on="place", how="left", maintain_order="left")["price"]


def other_rates(rows: pl.DataFrame, whole: pl.DataFrame, basis: Basis) -> pl.DataFrame:
    """Pairs that a rate of another date makes equal, or another rate that all pairs of the product then agree on."""
    lines = rows.select("i", "line", at="charged_at", vendors="vendors", ours="ours", full="full")
    known = pl.DataFrame(schema={"line": pl.String(), "vendors": tables.TOKENS})
    if basis.rates is not None:
        known = basis.rates.frame.select(line="product", vendors="tokens").unique()
    dated = lines.join(known, on=["line", "vendors"], how="semi").select("i", rate="vendors")
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
    agreeing = (
        whole.filter(pl.col("is_full"))
        .join(spans, on="line")
        .filter(pl.col("charged_at").is_between("first", "last") & (pl.col("vendors") != pl.col("rate")))
    )
    spans = spans.join(agreeing.select("line").unique(), on="line", how="anti")
    constant = differing.join(spans.select("line", "rate"), on="line").select("i", "rate")
    return pl.concat([dated, constant]).unique("i", keep="first", maintain_order=True)


def other_rules(rows: pl.DataFrame, evidence: Evidence, families: dict[str, str]) -> dict[tuple[str, str], str]:
    """The payers and products whose whole statement another rule reproduces, session by session, and that rule."""
    basis = evidence.basis
    if rows.is_empty() or basis.rule is None or basis.rates is None:
        return {}
    group = pl.col("line").replace(families)
    asked = rows.select("payer", group=group).drop_nulls().unique()
    uses = evidence.statement.filter(pl.col("start").is_not_null(), pl.col("end") >= pl.col("start"))
    uses = uses.with_columns(group=group).join(asked, on=["payer", "group"], how="semi")
    if uses.is_empty():
        return {}
    uses = uses.sort("start", "row")
    sessions = uses.select("host", "server", "start", "end", user="payer", product="line")
    homes = (
        None if evidence.users is None or isinstance(evidence.users, UserZones) else zones_in(evidence.users, "users")
    )
    tried: list[tuple[int, int, str, set[tuple[str, str]]]] = []
    for rule in _candidates(basis, homes):
        charges = charge(
            sessions, rule=rule, rates=basis.rates, servers=basis.servers, users=homes, problems=Problems()
        )
        due = charges.group_by("session").agg(due=pl.col("tokens").sum())
        held = (
            uses.select("payer", "group", "tokens")
            .with_row_index("session")
            .with_columns(pl.col("session").cast(pl.UInt64))
        )
        held = held.join(due, on="session", how="left").with_columns(pl.col("due").fill_null(0))
        equal = held.group_by("payer", "group").agg(is_equal=(pl.col("due") == pl.col("tokens")).all())
        keys = set(equal.filter("is_equal").select("payer", "group").iter_rows())
        tried.append((_apart(rule, basis.rule), -len(keys), differences(rule, basis.rule), keys))
    # The least that has to be otherwise comes first; then the rule that explains most, so that one is named for many.
    tried.sort(key=lambda one: one[:2])
    return {key: name for *_, name, keys in reversed(tried) for key in keys}


def _apart(rule: Rule, base: Rule) -> int:
    """How many fields differ."""
    fields, others = rule.to_dict(), base.to_dict()
    return sum(fields.get(name) != others.get(name) for name in {**fields, **others})


def _candidates(basis: Basis, homes: dict[str, str] | None) -> list[Rule]:
    base = basis.rule
    if base is None:
        return []
    shorter = [replace(base, min_duration=timedelta(minutes=minutes)) for minutes in (0, 1, 2, 5, 10, 15, 30)]
    grid = rule_grid(servers=basis.servers, users=homes, rates=basis.rates)
    others = [replace(rule, machine_metered=base.machine_metered) for rule in grid]
    return [rule for rule in (*shorter, *others) if rule != base]
