"""`report` of a year of a firm of 5,000 users beside the verbs that it calls, and what it takes of memory."""

from __future__ import annotations

import resource
from typing import TYPE_CHECKING, Any, Final

import polars as pl
import pytest

import scoreboard
import tokenflex as tf
from make_sessions import FIRST_DAY, PRODUCT_NAMES, SERVERS, SITES, ZONES, make_sessions

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = pytest.mark.bench

USERS: Final = 5_000
SESSIONS: Final = 5_000_000
RULE: Final = tf.TOKEN_FLEX
RATES: Final = tf.Rates(dict.fromkeys(PRODUCT_NAMES, 7))
OTHERS: Final = (tf.Rule(window="rolling"), tf.Rule(window="day", zone="utc"))
MOST_CELLS: Final = 100_000
"""Of the cube, so that a page can hold it."""
GROUPS: Final = 40


@pytest.fixture(scope="module")
def sessions(scale: float) -> pl.DataFrame:
    return make_sessions(int(SESSIONS * scale), users=USERS)


@pytest.fixture(scope="module")
def firm(sessions: pl.DataFrame) -> dict[str, Any]:
    """What else is known of it: zones, groups, a contract, prices."""
    names = sessions["user"].unique().cast(pl.String).sort().to_list()
    zones = dict(zip(SITES, ZONES, strict=True))
    site = {name: name[:3] for name in names}
    people = {"person": names, "group": [f"group {place % GROUPS}" for place in range(len(names))]}
    members = pl.concat(
        [
            pl.DataFrame(people).with_columns(dimension=pl.lit(None, pl.String)),
            pl.DataFrame({"person": names, "group": list(site.values()), "dimension": "site"}),
        ]
    )
    pack = tf.Pack(id="all", tokens=100_000_000, purchased=FIRST_DAY, unit_price=3)
    products = [tf.Subscription(name=name, products=[name], price=2_000) for name in PRODUCT_NAMES]
    return {
        "rule": RULE,
        "rates": RATES,
        "servers": SERVERS,
        "users": {name: zones[place] for name, place in site.items()},
        "groups": tf.Groups(members),
        "contract": tf.Contract(number="7", packs=[pack]),
        "price_list": tf.PriceList(subscriptions=products),
        "rules": OTHERS,
    }


def _verbs(sessions: pl.DataFrame, firm: dict[str, Any]) -> pl.DataFrame:
    """What the report computes, by hand. What the one finds out twice the other does as well."""
    quiet = tf.Problems()
    terms = {name: firm[name] for name in ("rule", "rates", "servers", "users")}
    no_rule = {name: firm[name] for name in ("rates", "servers", "users")}
    charges = tf.charge(sessions, **terms, problems=quiet)
    ledger = firm["contract"].settle(charges, problems=quiet)
    for by in (["group", "cost_centre"], ["month", "product"]):
        tf.chargeback(ledger, by=by, groups=firm["groups"], problems=quiet)
    tf.explain_double_charges(tf.double_charges(charges, sessions=sessions, **terms, problems=quiet))
    tf.avoidable_charges(sessions, **terms, problems=quiet)
    tf.harvest(sessions, **terms, as_of=sessions["end"].max(), problems=quiet)
    tf.harvest_replay(sessions, **terms, problems=quiet)
    placed = firm["groups"].join(sessions, at="start", dimension="site", problems=quiet)
    tf.zone_whatif(placed, rule=RULE, **no_rule, sites="site", problems=quiet)
    tf.place_servers(placed, rule=RULE, rates=RATES, servers=SERVERS, sites="site", problems=quiet)
    tf.compare_rules(sessions, rules=[RULE, *OTHERS], **no_rule, problems=quiet)
    tf.capacity(sessions, problems=quiet)
    tf.concurrency(sessions, problems=quiet)
    for by in ((), ("product",)):
        tf.heat_map(sessions, by=by, servers=SERVERS, problems=quiet)
    tf.inactive(sessions, problems=quiet)
    tf.compare_models(sessions, **terms, token_price=3, price_list=firm["price_list"], problems=quiet)
    tf.estimate(sessions, **terms, rules=OTHERS, token_price=3, problems=quiet)
    if charges["usage_date"].n_unique() > 91:
        tf.forecast(charges, horizon=91, model="weekday", incomplete="cut", problems=quiet)
    return charges


def test_report(measure: Callable[..., None], sessions: pl.DataFrame, firm: dict[str, Any], tmp_path: Path) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    report = tf.report(sessions, **firm, token_price=3)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    charges = _verbs(sessions, firm)
    assert report.tables["charge_ledger"]["tokens"].sum() == charges["tokens"].sum()
    assert report.cube["tokens"].sum() == charges["tokens"].sum()
    assert report.cube.height < MOST_CELLS
    report.write(tmp_path / "folder")
    print(
        f"{sessions.height:,} sessions, {charges.height:,} charges: the report took {(peak - before) / 2**20:.1f} GiB;"
    )
    print(f"the cube has {report.cube.height:,} rows, {report.cube.estimated_size('mb'):.1f} MB")
    measure(scoreboard.REPORT, scoreboard.TOKENFLEX, lambda: tf.report(sessions, **firm, token_price=3), 1)


def test_its_verbs(measure: Callable[..., None], sessions: pl.DataFrame, firm: dict[str, Any]) -> None:
    measure(scoreboard.REPORT, scoreboard.ITS_TABLES, lambda: _verbs(sessions, firm), 1)
