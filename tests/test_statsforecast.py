"""Models of statsforecast: tried on the past, taken where they were better there, and never else.

statsforecast needs a pandas below 3, which the other tests do not have; so `.ci/run` runs this file by itself, in an
environment of its own.
"""

from __future__ import annotations

from decimal import Decimal

import numpy as np
import polars as pl
import pytest

import tokenflex as tf
from firms_to_forecast import PROCESSES, Process, firm
from tokenflex.planning import candidates, rolling

pytest.importorskip("statsforecast.models", reason="statsforecast is not installed: pip install '.[statsforecast]'")

WEEKS = 30


@pytest.fixture(scope="module")
def found() -> dict[str, tf.Forecast]:
    """Forecasts of firms that are steady, and of one whose use goes up in steps that the default follows late."""
    firms = {
        "steady": firm(PROCESSES["steady"], 1, weeks=WEEKS),
        "grows fast": firm(Process(trend=3.0, noise=0.02, wander=0.0), 1, weeks=WEEKS),
    }
    return {
        name: tf.forecast(each, horizon=28, by="product", countries="ES", problems=tf.Problems())
        for name, each in firms.items()
    }


def test_no_group_has_a_model_that_was_worse_than_the_default(found: dict[str, tf.Forecast]) -> None:
    for each in found.values():
        for (_, _), rows in each.backtest.group_by("is_total", "group", maintain_order=True):
            errors = dict(rows.select("model", "mae").iter_rows())
            assert rows["is_chosen"].sum() == 1
            (chosen,) = rows.filter("is_chosen")["mae"]
            assert chosen <= errors["weekday"]


def test_all_models_are_tried_for_large_groups_and_none_for_small_ones(found: dict[str, tf.Forecast]) -> None:
    backtest = found["steady"].backtest.filter(~pl.col("is_total"))
    tried = {name: set(rows["model"]) for (name,), rows in backtest.group_by("group")}
    every = {"weekday", "seasonal_naive", *candidates.NAMES}
    assert tried["RVT"] == tried["ACD"] == every
    assert tried["NAV"] in (every, {"weekday", "seasonal_naive"})


def test_a_model_that_follows_growth_is_taken_and_forecasts_it(found: dict[str, tf.Forecast]) -> None:
    growing = found["grows fast"]
    chosen = growing.backtest.filter("is_chosen", ~pl.col("is_total"))
    assert set(chosen["model"]) & set(candidates.NAMES)
    growth = Process(trend=3.0, noise=0.02, wander=0.0)
    past, later = (firm(growth, 1, weeks=weeks) for weeks in (WEEKS, WEEKS + 4))
    plain = tf.forecast(past, horizon=28, by="product", countries="ES", model="weekday")
    came = Decimal(int(later.filter(pl.col("usage_date") >= growing.start)["tokens"].sum()))
    errors = [abs(sum(each.days["mean"], Decimal(0)) - came) for each in (growing, plain)]
    assert errors[0] < errors[1]


def test_paths_of_chosen_models_add_up(found: dict[str, tf.Forecast]) -> None:
    for each in found.values():
        assert np.array_equal(sum(each.group_paths(20).values()), each.paths(20))


def test_a_holiday_is_a_holiday_to_every_model() -> None:
    generator = np.random.default_rng(0)
    tokens = generator.poisson(100, (1, 210)).astype(float)
    free = np.zeros((1, 224), dtype=bool)
    free[0, [20, 90, 215]] = True
    tokens[:, free[0, :210]] = 10
    rolled = rolling.roll(tokens, free[:, :210])
    for name in candidates.NAMES:
        said = candidates.forecast_cell(name, tokens[0], free[0], rolled.weekdays[-1], 0)
        assert said.shape == (14,)
        assert said[5] < 50
        assert np.delete(said, 5).min() > 80
