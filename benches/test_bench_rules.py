"""`zone_whatif` beside one `charge`, and `infer_rule` beside one replay of a rule."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

import polars as pl
import pytest

import scoreboard
import tokenflex as tf
from make_sessions import PRODUCT_NAMES, SERVERS, make_sessions

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.bench

RATES: Final = tf.Rates(dict.fromkeys(PRODUCT_NAMES, 7))
FAMILIES: Final = tf.Rates(
    [tf.Rate(product, 5 + place % 7, None, f"family {place // 3}") for place, product in enumerate(PRODUCT_NAMES)]
)
RULES: Final = 200
RULES_WITH_FAMILIES: Final = 50
MAKER: Final = 30
"""The place of the rule that made the statement."""
SECONDS: Final = 10
ROUNDS: Final = 5
FEWER_ROUNDS: Final = 3


# ------------------------------------------------------------------------------------------------------------- zones


@pytest.fixture(scope="module")
def sessions(scale: float) -> pl.DataFrame:
    return make_sessions(int(10_000_000 * scale))


def _in_all_zones(sessions: pl.DataFrame) -> pl.DataFrame:
    return tf.zone_whatif(sessions, rates=RATES, rule=tf.TOKEN_FLEX)


def _in_one_zone(sessions: pl.DataFrame, zone: str) -> pl.DataFrame:
    """Charges and tokens of each server, by `charge`."""
    charges = tf.charge(sessions, rule=replace(tf.TOKEN_FLEX, zone=zone), rates=RATES)
    sums = charges.group_by(pl.col("server").cast(pl.String)).agg(pl.len().cast(pl.UInt64), pl.col("tokens").sum())
    return sums.sort("server")


def test_zones_in_one_pass(measure: Callable[..., None], sessions: pl.DataFrame) -> None:
    found = _in_all_zones(sessions)
    assert found["zone"].n_unique() == 27
    for name, zone in {"UTC-12": "Etc/GMT+12", "UTC": "UTC", "UTC+8": "Etc/GMT-8", "UTC+14": "Etc/GMT-14"}.items():
        of_zone = found.filter(pl.col("zone") == name).select("site", "charges", "tokens").sort("site")
        assert of_zone.rows() == _in_one_zone(sessions, zone).rows()
    measure(scoreboard.ZONES, scoreboard.TOKENFLEX, lambda: _in_all_zones(sessions), ROUNDS)


def test_zones_beside_one_charge(measure: Callable[..., None], sessions: pl.DataFrame) -> None:
    def charge() -> pl.DataFrame:
        return tf.charge(sessions, rule=tf.TOKEN_FLEX, rates=RATES, servers=SERVERS)

    measure(scoreboard.ZONES, scoreboard.ONE_CHARGE, charge, ROUNDS)


# ------------------------------------------------------------------------------------------------------------- rules


@pytest.fixture(scope="module")
def million(scale: float) -> pl.DataFrame:
    return make_sessions(int(1_000_000 * scale))


@pytest.fixture(scope="module")
def prepared(million: pl.DataFrame) -> tf.Prepared:
    return tf.prepare(million)


def _rules(rates: tf.Rates) -> list[tf.Rule]:
    """Of rates with families the rules with families only."""
    grid = tf.rule_grid(servers=SERVERS, rates=rates)
    if rates.families():
        return [rule for rule in grid if rule.incremental][:RULES_WITH_FAMILIES]
    return grid[:RULES]


def _statement(sessions: pl.DataFrame, rule: tf.Rule, rates: tf.Rates) -> pl.DataFrame:
    """What the vendor would state session by session."""
    charges = tf.charge(sessions, rule=rule, rates=rates, servers=SERVERS)
    whole = sessions.with_columns(session=pl.int_range(pl.len(), dtype=pl.UInt64))
    whole = whole.join(charges.group_by("session").agg(pl.col("tokens").sum()), on="session", how="left")
    return whole.with_columns(pl.col("tokens").fill_null(pl.lit(0).cast(tf.tables.TOKENS))).drop("session")


_RACES: Final = pytest.mark.parametrize(
    ("race", "rates"),
    [(scoreboard.INFER, RATES), (scoreboard.INFER_FAMILIES, FAMILIES)],
    ids=["plain", "families"],
)


@_RACES
def test_infer_rule(
    *,
    measure: Callable[..., None],
    board: scoreboard.Scoreboard,
    million: pl.DataFrame,
    prepared: tf.Prepared,
    race: str,
    rates: tf.Rates,
) -> None:
    rules = _rules(rates)
    statement = _statement(million, rules[MAKER], rates)

    def infer() -> tf.InferredRule:
        return tf.infer_rule(prepared, statement, rates=rates, servers=SERVERS, rules=rules, problems=tf.Problems())

    found = infer()
    assert rules[MAKER] in found.equals
    assert found.fits["token_error"][0] == 0
    assert found.runner_up is not None
    measure(race, scoreboard.TOKENFLEX, infer, FEWER_ROUNDS)
    if race == scoreboard.INFER:
        assert len(rules) == RULES
        board.record(race, scoreboard.TEN_SECONDS, SECONDS)


@_RACES
def test_replay_of_one_of_the_rules(
    *, benchmark: object, board: scoreboard.Scoreboard, prepared: tf.Prepared, race: str, rates: tf.Rates
) -> None:
    """All of them in one call, on one core; the time of one."""
    rules = _rules(rates)

    def replay() -> None:
        tf.replay(prepared, rules=rules, rates=rates, servers=SERVERS)

    benchmark.pedantic(replay, rounds=FEWER_ROUNDS, iterations=1)  # type: ignore[attr-defined]
    if benchmark.stats is not None:  # type: ignore[attr-defined]
        board.record(race, scoreboard.ONE_REPLAY, benchmark.stats.stats.median / len(rules))  # type: ignore[attr-defined]
