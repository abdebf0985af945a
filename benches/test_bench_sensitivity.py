"""`sensitivity` beside one `charge` of the same sessions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import polars as pl
import pytest

import scoreboard
import tokenflex as tf
from make_sessions import PRODUCT_NAMES, SERVERS, make_sessions

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.bench

RATES: Final = tf.Rates(dict.fromkeys(PRODUCT_NAMES, 7))
RULES: Final = {scoreboard.SENSITIVITY: tf.Rule(window="rolling"), scoreboard.SENSITIVITY_ZONES: tf.TOKEN_FLEX}
ROUNDS: Final = 3
RACES: Final = pytest.mark.parametrize("race", list(RULES), ids=["rolling", "days"])


@pytest.fixture(scope="module")
def sessions(scale: float) -> pl.DataFrame:
    return make_sessions(int(10_000_000 * scale))


def _terms(race: str) -> dict[str, Any]:
    return {"rule": RULES[race], "rates": RATES, "servers": SERVERS}


@RACES
def test_sensitivity(measure: Callable[..., None], sessions: pl.DataFrame, race: str) -> None:
    def changes() -> tf.Sensitivity:
        return tf.sensitivity(sessions, token_price=3, **_terms(race))

    found = changes()
    base = tf.charge(sessions, **_terms(race))["tokens"].sum()
    assert found.tokens == base
    rows = found.changes.filter(pl.col("change") == "rate", pl.col("item").is_null())
    assert [tokens * 10 for tokens in rows["tokens"]] == [9 * base, 11 * base]
    measure(race, scoreboard.TOKENFLEX, changes, ROUNDS)


@RACES
def test_one_charge(measure: Callable[..., None], sessions: pl.DataFrame, race: str) -> None:
    measure(race, scoreboard.ONE_CHARGE, lambda: tf.charge(sessions, **_terms(race)), ROUNDS)
