"""What the harder rules and the harder tables cost, beside the plain ones."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final

import polars as pl
import pytest

import scoreboard
import tokenflex as tf
from make_sessions import PRODUCT_NAMES, SERVERS, make_sessions, with_plain_strings

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.bench

RATES: Final = tf.Rates(dict.fromkeys(PRODUCT_NAMES, 7))
FAMILIES: Final = tf.Rates(
    [tf.Rate(product, 5 + place % 7, None, f"family {place // 3}") for place, product in enumerate(PRODUCT_NAMES)]
)
PLAIN: Final = tf.Rule(window="rolling")
INCREMENTAL: Final = tf.Rule(window="rolling", incremental=True)
IDLE: Final = tf.Rule(window="rolling", idle_after=timedelta(minutes=15))
ROUNDS: Final = 5
RULES: Final = 50


@pytest.fixture(scope="module")
def sessions(scale: float) -> pl.DataFrame:
    return make_sessions(int(10_000_000 * scale))


@pytest.fixture(scope="module")
def prepared(scale: float) -> tf.Prepared:
    return tf.prepare(make_sessions(int(1_000_000 * scale)))


def _plain(sessions: pl.DataFrame) -> pl.DataFrame:
    return tf.charge(sessions, rule=PLAIN, rates=RATES)


def test_shuffled(measure: Callable[..., None], sessions: pl.DataFrame) -> None:
    shuffled = sessions.sample(fraction=1.0, shuffle=True, seed=2)
    ordered = _plain(sessions)
    assert _plain(shuffled).select(pl.exclude("session")).height == ordered.height
    measure(scoreboard.SHUFFLED, scoreboard.TOKENFLEX, lambda: _plain(shuffled), ROUNDS)


def test_ordered(measure: Callable[..., None], sessions: pl.DataFrame) -> None:
    measure(scoreboard.SHUFFLED, scoreboard.ORDERED, lambda: _plain(sessions), ROUNDS)


def test_strings(measure: Callable[..., None], sessions: pl.DataFrame) -> None:
    strings = with_plain_strings(sessions)
    assert _plain(strings)["tokens"].sum() == _plain(sessions)["tokens"].sum()
    measure(scoreboard.STRINGS, scoreboard.TOKENFLEX, lambda: _plain(strings), ROUNDS)


def test_categories(measure: Callable[..., None], sessions: pl.DataFrame) -> None:
    measure(scoreboard.STRINGS, scoreboard.CATEGORIES, lambda: _plain(sessions), ROUNDS)


def test_families(measure: Callable[..., None], sessions: pl.DataFrame) -> None:
    charges = tf.charge(sessions, rule=INCREMENTAL, rates=FAMILIES)
    assert (charges["category"] == "INCREMENTAL").any()
    measure(
        scoreboard.FAMILIES,
        scoreboard.TOKENFLEX,
        lambda: tf.charge(sessions, rule=INCREMENTAL, rates=FAMILIES),
        ROUNDS,
    )


def test_families_beside_the_plain_rule(measure: Callable[..., None], sessions: pl.DataFrame) -> None:
    measure(scoreboard.FAMILIES, scoreboard.PLAIN, lambda: _plain(sessions), ROUNDS)


def _by_day(sessions: pl.DataFrame, rates: tf.Rates) -> pl.DataFrame:
    return tf.charge(sessions, rule=tf.TOKEN_FLEX, rates=rates, servers=SERVERS)


def test_families_by_day(measure: Callable[..., None], sessions: pl.DataFrame) -> None:
    measure(scoreboard.FAMILIES_BY_DAY, scoreboard.TOKENFLEX, lambda: _by_day(sessions, FAMILIES), ROUNDS)


def test_families_by_day_beside_the_plain_rule(measure: Callable[..., None], sessions: pl.DataFrame) -> None:
    measure(scoreboard.FAMILIES_BY_DAY, scoreboard.PLAIN, lambda: _by_day(sessions, RATES), ROUNDS)


def test_idle(measure: Callable[..., None], sessions: pl.DataFrame) -> None:
    count = sessions.height * 3 // 10
    activity = sessions.sample(count, seed=1).select("user", "product", time=pl.col("start") + pl.duration(minutes=7))
    charges = tf.charge(sessions, rule=IDLE, rates=RATES, activity=activity)
    assert charges.height < _plain(sessions).height
    measure(
        scoreboard.IDLE,
        scoreboard.TOKENFLEX,
        lambda: tf.charge(sessions, rule=IDLE, rates=RATES, activity=activity),
        ROUNDS,
    )


def test_idle_beside_the_plain_rule(measure: Callable[..., None], sessions: pl.DataFrame) -> None:
    measure(scoreboard.IDLE, scoreboard.PLAIN, lambda: _plain(sessions), ROUNDS)


@pytest.mark.parametrize("race", [scoreboard.REPLAY_ROLLING, scoreboard.REPLAY_DAYS], ids=["rolling", "days"])
def test_replay(benchmark: object, board: scoreboard.Scoreboard, prepared: tf.Prepared, race: str) -> None:
    """Fifty rules in one call, on one core; the time of one."""
    minutes = [timedelta(minutes=place) for place in range(RULES)]
    if race == scoreboard.REPLAY_ROLLING:
        rules = [tf.Rule(window="rolling", min_duration=least) for least in minutes]
    else:
        rules = [tf.Rule(window="day", zone="server", min_duration=least) for least in minutes]
    totals = tf.replay(prepared, rules=rules, rates=RATES, servers=SERVERS)
    assert totals["charges"][0] == tf.charge(prepared, rule=rules[0], rates=RATES, servers=SERVERS).height

    def replay() -> None:
        tf.replay(prepared, rules=rules, rates=RATES, servers=SERVERS)

    benchmark.pedantic(replay, rounds=ROUNDS, iterations=1)  # type: ignore[attr-defined]
    if benchmark.stats is not None:  # type: ignore[attr-defined]
        board.record(race, scoreboard.TOKENFLEX, benchmark.stats.stats.median / RULES)  # type: ignore[attr-defined]
        board.record(race, scoreboard.BUDGET, len(prepared) * 15e-9)
