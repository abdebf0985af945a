"""`double_charges` beside the same answer written in polars."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import polars as pl
import pytest

import scoreboard
import tokenflex as tf
from make_sessions import PRODUCT_NAMES, SERVERS, ZONES, make_sessions
from peers_doubles import doubles_in_polars

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.bench

RATES: Final = tf.Rates(dict.fromkeys(PRODUCT_NAMES, 7))
SESSIONS_A_CHARGE: Final = 2.53


@pytest.fixture(scope="module")
def charges(scale: float) -> pl.DataFrame:
    """Ten million charges."""
    sessions = make_sessions(int(10_000_000 * SESSIONS_A_CHARGE * scale))
    return tf.charge(sessions, rule=tf.TOKEN_FLEX, rates=RATES, servers=SERVERS).head(int(10_000_000 * scale))


@pytest.fixture(scope="module")
def users(charges: pl.DataFrame) -> dict[str, str]:
    """Everyone somewhere, mostly not where the server stands."""
    names = charges["user"].cast(pl.String).unique().sort()
    return {name: ZONES[place % len(ZONES)] for place, name in enumerate(names)}


def test_doubles_tokenflex(measure: Callable[..., None], charges: pl.DataFrame, users: dict[str, str]) -> None:
    measure(scoreboard.DOUBLES, scoreboard.TOKENFLEX, lambda: tf.double_charges(charges, users=users), 5)


def test_doubles_polars(measure: Callable[..., None], charges: pl.DataFrame, users: dict[str, str]) -> None:
    answer = doubles_in_polars(charges, users)
    found = tf.double_charges(charges, users=users)
    key = ["charged_at", "user", "product"]
    same = found.rename({"working_date": "day"}).select(answer.columns)
    names = {"user": pl.String, "product": pl.String}
    assert same.cast(names).sort(key).equals(answer.cast(names).sort(key))
    measure(scoreboard.DOUBLES, scoreboard.POLARS_WINDOWS, lambda: doubles_in_polars(charges, users), 3)
