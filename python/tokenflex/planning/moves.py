"""What all costs with one license server in another zone, all others where they are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import polars as pl

from tokenflex import tables
from tokenflex.contract.money import units
from tokenflex.metering.charge import prepare
from tokenflex.metering.whatif import zone_whatif
from tokenflex.planning.use import Sums, Use
from tokenflex.problems import Problems
from tokenflex.reading.names import coded
from tokenflex.reading.periods import column_of

if TYPE_CHECKING:
    from collections.abc import Mapping

HOUR: Final = 3_600
APART: Final = 54 * HOUR
"""Seconds after which no zone brings two uses to one day: clocks are 26 hours apart at most, and a day has 24 or 25."""
AGE: Final = 2**34
"""More seconds than lie between 1970 and 2200."""


class Moves:
    """What all costs with one server in another zone.

    The use of one payer and product (or family) falls into stretches so far apart that no zone brings two of them to
    one day. A stretch on one server only pays as `zone_whatif` says, for all zones in one pass. One on several servers
    shares days between them, so it is charged anew for each zone. No other stretch is touched.
    """

    def __init__(self, use: Use, places: Mapping[str, str]) -> None:
        self._use, self._places = use, places
        known = _stretches(use)
        self.servers: list[str] = known["server"].unique().sort().to_list()
        rule = use.terms.rule
        if use.terms.activity is not None and rule.idle_after is not None:
            # `zone_whatif` knows no activity.
            is_shared = pl.lit(value=True)
        elif rule.scope == "server":
            is_shared = pl.lit(value=False)
        else:
            counts = known.group_by("stretch").agg(is_shared=pl.col("server").n_unique() > 1)
            known = known.join(counts, on="stretch", how="left", maintain_order="left")
            is_shared = pl.col("is_shared")
        self._rows = known.with_columns(is_shared=is_shared).sort("row")
        self._shared = self._rows.filter("is_shared")
        self._charges = use.charges.select(
            row=pl.col("session").cast(pl.UInt32), units=units(pl.col("tokens")), lost=pl.col("tokens").is_null()
        ).join(self._rows, on="row", how="inner")

    def of(self, server: str) -> dict[str, tuple[int, int]]:
        """Tokens and charges without a rate of all, for each zone that the server may stand in."""
        alone = (pl.col("server") == server) & ~pl.col("is_shared")
        touching = self._shared.filter(pl.col("server") == server).select("stretch").unique()
        shared = self._shared.join(touching, on="stretch", how="semi", maintain_order="left")
        before = [
            self._charges.filter(alone),
            self._charges.filter("is_shared").join(touching, on="stretch", how="semi"),
        ]
        paid, lost = pl.concat(before).select(pl.col("units").sum(), pl.col("lost").sum()).row(0)
        base = self._use.base
        found = dict.fromkeys(self._places, (base.total - int(paid), base.all_unrated - int(lost)))
        own = self._rows.filter(alone)["row"]
        for part in (self._in_one_pass(own), self._one_by_one(server, shared["row"])):
            for zone, (more, unrated) in part.items():
                found[zone] = found[zone][0] + more, found[zone][1] + unrated
        return found

    def _in_one_pass(self, rows: pl.Series) -> dict[str, tuple[int, int]]:
        if rows.is_empty():
            return {}
        use = self._use
        found = zone_whatif(
            use.sessions[rows],
            rates=use.terms.rates,
            rule=use.terms.rule,
            zones=list(self._places),
            as_of=use.terms.as_of,
            problems=Problems(),
        )
        told = found.select("zone", "tokens", "charges_without_rate").iter_rows()
        return {zone: (tables.units(tokens), lost) for zone, tokens, lost in told}

    def _one_by_one(self, server: str, rows: pl.Series) -> dict[str, tuple[int, int]]:
        if rows.is_empty():
            return {}
        use = self._use
        held = prepare(use.sessions[rows], as_of=use.terms.as_of)
        found = {}
        for zone, name in self._places.items():
            sums = Sums.of(use.again(held, servers={**(use.terms.servers or {}), server: name}))
            found[zone] = sums.total, sums.all_unrated
        return found


def _stretches(use: Use) -> pl.DataFrame:
    """Sound sessions on known servers: `row`, `server`, and the number of the stretch of use that they lie in."""
    sessions, terms = use.sessions, use.terms
    open_until = pl.lit(terms.as_of, tables.TIME)
    rows = sessions.select(
        pl.col("server").cast(pl.String),
        key=_keys(use),
        start=pl.col("start").dt.epoch("s"),
        end=pl.max_horizontal("start", pl.col("end").fill_null(open_until)).dt.epoch("s"),
    ).with_row_index("row")
    rows = rows.filter(pl.col("server").is_in(list(terms.servers or {})))
    rows = rows.drop_nulls(["key", "start", "end"]).sort("key", "start")
    # One running maximum for all keys, each of which has an age of its own: by groups it would be dear.
    begin, end = (pl.col("key") * AGE + pl.col(name) for name in ("start", "end"))
    is_new = (begin - end.cum_max().shift(1) > APART).fill_null(value=True)
    return rows.select("row", "server", stretch=is_new.cum_sum())


def _keys(use: Use) -> pl.Series:
    """Who pays for each session and for which product or family, as a number. By machine it is the host."""
    sessions, rule = use.sessions, use.terms.rule
    users, names = coded(column_of(sessions, "user"))
    products, lines = coded(column_of(sessions, "product"))
    payers = users.cast(pl.Int64)
    if rule.machine_metered and "host" in sessions.columns:
        hosts, _ = coded(sessions["host"])
        is_metered = pl.Series([line in rule.machine_metered for line in lines], dtype=pl.Boolean).gather(products)
        of_host = hosts.cast(pl.Int64) + len(names)
        payers = pl.select(pl.when(is_metered).then(of_host).otherwise(payers)).to_series()
    families = dict(use.terms.rates.families()) if rule.incremental else {}
    # A family has its own number, behind those of the products.
    places = {family: len(lines) + place for place, family in enumerate(sorted(set(families.values())))}
    numbers = [places[families[line]] if line in families else place for place, line in enumerate(lines)]
    units_of = pl.Series(numbers, dtype=pl.Int64).gather(products)
    both = payers * (len(lines) + len(places) + 1) + units_of
    # Dense, so that keys times an age fit.
    return both.rank("dense").cast(pl.Int64).alias("key")
