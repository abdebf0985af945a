"""`estimate` beside one `charge` of each rule that it tries."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

import polars as pl
import pytest

import scoreboard
import tokenflex as tf
from make_sessions import FIRST_DAY, PRODUCT_NAMES, SERVERS, make_sessions

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.bench

RATES: Final = tf.Rates(dict.fromkeys(PRODUCT_NAMES, 7))
RULES: Final = (tf.TOKEN_FLEX, tf.Rule(window="rolling"), tf.Rule(window="day", zone="utc"))
ROUNDS: Final = 5
MISSING: Final = (20, 21, 22)
"""Days of the period that no server has lines of."""


@pytest.fixture(scope="module")
def sessions(scale: float) -> pl.DataFrame:
    return make_sessions(int(10_000_000 * scale))


@pytest.fixture(scope="module")
def coverage() -> pl.DataFrame:
    days = [FIRST_DAY + timedelta(days=day) for day in MISSING]
    return pl.DataFrame({"server": list(SERVERS), "days_without_lines": [days] * len(SERVERS)})


def _charges(sessions: pl.DataFrame) -> list[pl.DataFrame]:
    """By each rule, one after the other; only the sums are kept, as `estimate` does."""
    charged = (tf.charge(sessions, rule=rule, rates=RATES, servers=SERVERS) for rule in RULES)
    return [charges.select(pl.col("tokens").sum()) for charges in charged]


RACES: Final = pytest.mark.parametrize(
    "race", [scoreboard.ESTIMATE, scoreboard.ESTIMATE_FILLED], ids=["plain", "filled"]
)


@RACES
def test_estimate(measure: Callable[..., None], sessions: pl.DataFrame, coverage: pl.DataFrame, race: str) -> None:
    is_filled = race == scoreboard.ESTIMATE_FILLED
    more: dict[str, Any] = {"coverage": coverage, "scale_missing_days": True} if is_filled else {}

    def estimate() -> tf.Estimate:
        return tf.estimate(sessions, rule=RULES[0], rules=RULES[1:], rates=RATES, servers=SERVERS, **more)

    found = estimate()
    costs = [sums.item() for sums in _charges(sessions)]
    assert found.base == costs[0] + found.filled
    assert (found.filled > 0) == is_filled
    if not is_filled:
        assert (found.low, found.high) == (min(costs), max(costs))
    measure(race, scoreboard.TOKENFLEX, estimate, ROUNDS)


@RACES
def test_one_charge_of_each_rule(measure: Callable[..., None], sessions: pl.DataFrame, race: str) -> None:
    measure(race, scoreboard.ITS_CHARGES, lambda: _charges(sessions), ROUNDS)
