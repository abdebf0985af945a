"""`plan_purchase` over three years of a thousand scenarios, beside one look at all days of all paths."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import TYPE_CHECKING, Final

import numpy as np
import pytest

import scoreboard
import tokenflex as tf

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

pytestmark = pytest.mark.bench

START: Final = date(2027, 2, 1)
DAYS: Final = 1096
SCENARIOS: Final = 1_000
ROUNDS: Final = 5
WEEK: Final = np.array([500, 560, 580, 550, 420, 40, 20])
TERM: Final = tf.Offer(
    years=3,
    step=1000,
    overage_price="3.5",
    prices=[tf.PriceTier(from_tokens=0, unit_price=3), tf.PriceTier(from_tokens=450_000, unit_price="2.7")],
)
PACKS: Final = tf.Offer(
    overage_price="3.5",
    packs=[tf.PackOffer(tokens=500, unit_price=3), tf.PackOffer(tokens=10_000, unit_price="2.85")],
)


@pytest.fixture(scope="module")
def paths(scale: float) -> NDArray[np.float64]:
    """A thousand scenarios of three years, whole tokens."""
    rng = np.random.default_rng(7)
    count = max(int(SCENARIOS * scale), 10)
    level = rng.normal(1, 0.18, (count, 1)).clip(0.3)
    found: NDArray[np.float64] = np.rint(np.tile(WEEK, 157)[:DAYS] * level * rng.uniform(0.8, 1.2, (count, DAYS)))
    return found


def check(plan: tf.PurchasePlan, paths: NDArray[np.float64]) -> None:
    """The plan's cost on a path is the ledger's."""
    for scenario in (0, len(paths) - 1):
        cost = plan.replay(paths[scenario]).cost().row(-1, named=True)
        assert cost["value_bought"] + cost["overage_cost"] == plan.scenarios["cost"][scenario]
    assert abs(plan.expected_cost - Decimal(plan.scenarios["cost"].sum()) / len(paths)) < Decimal("0.0000001")


def test_plan_of_a_term(measure: Callable[..., None], paths: NDArray[np.float64]) -> None:
    plan = tf.plan_purchase(paths, offer=TERM, start=START, quantities=50)
    check(plan, paths)
    assert plan.tried["tokens"].n_unique() > 40
    measure(
        scoreboard.PLAN,
        scoreboard.TOKENFLEX,
        lambda: tf.plan_purchase(paths, offer=TERM, start=START, quantities=50),
        ROUNDS,
    )


def test_sum_of_the_paths(measure: Callable[..., None], paths: NDArray[np.float64]) -> None:
    measure(scoreboard.PLAN, scoreboard.CUMULATED, lambda: np.cumsum(paths, axis=1), ROUNDS)


def test_plan_of_packs(measure: Callable[..., None], paths: NDArray[np.float64]) -> None:
    check(tf.plan_purchase(paths, offer=PACKS, start=START), paths)
    measure(
        scoreboard.PLAN_OF_PACKS,
        scoreboard.TOKENFLEX,
        lambda: tf.plan_purchase(paths, offer=PACKS, start=START),
        ROUNDS,
    )


def test_sum_of_the_paths_again(measure: Callable[..., None], paths: NDArray[np.float64]) -> None:
    measure(scoreboard.PLAN_OF_PACKS, scoreboard.CUMULATED, lambda: np.cumsum(paths, axis=1), ROUNDS)
