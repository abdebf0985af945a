"""Under which other rule all that a person used of a product costs what the vendor states."""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

import polars as pl

from tokenflex import _core, tables
from tokenflex.metering.charge import prepare
from tokenflex.metering.rates import SCALE
from tokenflex.metering.rule_grid import MINUTES, differences, rule_grid
from tokenflex.metering.terms import terms_of
from tokenflex.reading.user_zones import UserZones, zones_in

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tokenflex.audit.causes import Evidence
    from tokenflex.metering.rates import Rates
    from tokenflex.metering.rule import Rule

MOST_SESSIONS: Final = 200_000
"""On so many sessions every rule is tried; where there are more, the rules that are named for any of these go on."""

_KEYS: Final = ("payer", "group")


def other_rules(asked: pl.DataFrame, evidence: Evidence) -> pl.DataFrame:
    """For each `payer` and `group` (product line or family) asked for, the rule that explains all of it, as `rule`.

    Of several rules the one with the fewest fields changed is named, then the one that explains most. Those of whom
    nothing can be explained are not in the table.
    """
    none = pl.DataFrame(schema={**dict.fromkeys(_KEYS, tables.NAME), "rule": pl.String()})
    base, rates = evidence.basis.rule, evidence.basis.rates
    if asked.is_empty() or base is None or rates is None:
        return none
    uses = _possible(_uses_of(asked, evidence.statement, rates), rates)
    if uses.is_empty():
        return none
    homes = _homes(evidence)
    trial = _Trial(base, rates, evidence.basis.servers, homes)
    rules = trial.candidates()
    if uses.height > MOST_SESSIONS:
        named = set(trial.explained(_sample(uses), rules)["rule"])
        rules = [rule for rule in rules if differences(rule, base) in named]
    return trial.explained(uses, rules) if rules else none


def group_of(rates: Rates) -> pl.Expr:
    """The family of a product line, or the line itself."""
    families = dict(rates.families())
    return pl.col("line").cast(pl.String).replace(families).cast(tables.NAME)


def _uses_of(asked: pl.DataFrame, statement: pl.DataFrame, rates: Rates) -> pl.DataFrame:
    """All sessions that the vendor states of those asked for, in order of time."""
    uses = statement.filter(pl.col("start").is_not_null(), pl.col("end") >= pl.col("start"))
    uses = uses.join(asked.select("payer").unique(), on="payer", how="semi", maintain_order="left")
    uses = uses.with_columns(group=group_of(rates)).join(asked, on=_KEYS, how="semi", maintain_order="left")
    stated = (pl.col("tokens").cast(tables.TOKENS) * 10**SCALE).cast(pl.Int64, strict=False)
    return uses.select(*_KEYS, "host", "server", "start", "end", user="payer", product="line", stated=stated)


def _possible(uses: pl.DataFrame, rates: Rates) -> pl.DataFrame:
    """Without those of whom a session costs what no rule could make of these rates.

    Rates are added up and differences are taken between those of a family, so that every amount is a multiple of what
    divides all of them.
    """
    steps: dict[str, int] = defaultdict(int)
    families = dict(rates.families())
    for rate in rates.rows:
        group = families.get(rate.product, rate.product)
        steps[group] = math.gcd(steps[group], int(rate.tokens * 10**SCALE))
    known = pl.DataFrame(
        {"group": list(steps), "step": list(steps.values())}, schema={"group": tables.NAME, "step": pl.Int64()}
    )
    step = uses.select("group").join(known, on="group", how="left", maintain_order="left")["step"].fill_null(0)
    is_multiple = pl.when(step > 0).then(pl.col("stated") % step == 0).otherwise(pl.col("stated") == 0)
    against = uses.filter(~is_multiple.fill_null(value=False)).select(_KEYS).unique()
    return uses.join(against, on=_KEYS, how="anti", maintain_order="left")


def _sample(uses: pl.DataFrame) -> pl.DataFrame:
    """All sessions of some payers and groups, spread evenly over their names."""
    counts = uses.group_by(_KEYS).len("sessions").sort(_KEYS)
    every = math.ceil(uses.height / MOST_SESSIONS)
    return uses.join(counts.gather_every(every), on=_KEYS, how="semi", maintain_order="left")


@dataclass(frozen=True)
class _Trial:
    """What rules are tried with."""

    base: Rule
    rates: Rates
    servers: Mapping[str, str] | None
    homes: dict[str, str] | None

    def candidates(self) -> list[Rule]:
        """The grid of rules, and the rule at hand with other least durations."""
        shorter = [replace(self.base, min_duration=timedelta(minutes=minutes)) for minutes in (*MINUTES, 2)]
        grid = rule_grid(servers=self.servers, users=self.homes, rates=self.rates)
        # What cannot differ here is not said to differ.
        same: dict[str, Any] = {"machine_metered": self.base.machine_metered, "idle_after": self.base.idle_after}
        if not self.rates.families():
            same["incremental"] = self.base.incremental
        others = [replace(rule, **same) for rule in grid]
        return [rule for rule in (*shorter, *others) if rule != self.base]

    def explained(self, uses: pl.DataFrame, rules: list[Rule]) -> pl.DataFrame:
        """Of each payer and group that a rule explains the rule that is named for it."""
        terms = [
            terms_of(rule, self.rates, servers=self.servers, users=self.homes, with_activity=False) for rule in rules
        ]
        groups = uses.select(_KEYS).unique(maintain_order=True).with_row_index("number")
        number = uses.select(_KEYS).join(groups, on=_KEYS, how="left", maintain_order="left")["number"]
        claims = uses.select("stated").with_columns(number.alias("group"))
        held = _core.explained_by_rules(prepare(uses).inner, terms, claims, groups.height)
        # The least that has to be otherwise comes first, then the rule that explains most: so one is named for many.
        order = sorted(range(len(rules)), key=lambda place: (self._apart(rules[place]), -len(held[place])))
        names: dict[int, str] = {}
        for place in order:
            said = differences(rules[place], self.base)
            names.update({group: said for group in held[place] if group not in names})
        named = pl.DataFrame([list(names), list(names.values())], schema={"number": pl.UInt32(), "rule": pl.String()})
        return groups.join(named, on="number", maintain_order="left").drop("number")

    def _apart(self, rule: Rule) -> int:
        """How many fields differ."""
        fields, others = rule.to_dict(), self.base.to_dict()
        return sum(fields.get(name) != others.get(name) for name in {**fields, **others})


def _homes(evidence: Evidence) -> dict[str, str] | None:
    """The users' zones, where each has one for all time."""
    if evidence.users is None or isinstance(evidence.users, UserZones):
        return None
    return zones_in(evidence.users, "users")
