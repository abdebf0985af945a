"""Models of statsforecast: tried on the past, taken where they were better there, and never else.

statsforecast needs a pandas below 3, which the other tests do not have; so `.ci/run` runs this file by itself, in an
environment of its own.
"""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import polars as pl
import pytest

import tokenflex as tf
from firms_to_forecast import MONDAY, PROCESSES, Process, firm
from tokenflex.planning import candidates, rolling

pytest.importorskip("statsforecast.models", reason="statsforecast is not installed: pip install '.[statsforecast]'")

WEEKS = 30


def with_saturdays(weeks: int) -> pl.DataFrame:
    """A firm that works on Saturdays as on other days since its week 14, which a mean of weekdays sees late."""
    whole = firm(Process(noise=0.02, wander=0.0), 1, weeks=weeks)
    saturdays = (pl.col("usage_date").dt.weekday() == 6) & (pl.col("usage_date") >= MONDAY + timedelta(weeks=14))
    return whole.with_columns(tokens=pl.when(saturdays).then(pl.col("tokens") * 8).otherwise("tokens"))


@pytest.fixture(scope="module")
def found() -> dict[str, tf.Forecast]:
    """Forecasts of firms that are steady, and of one whose week has changed."""
    firms = {"steady": firm(PROCESSES["steady"], 1, weeks=WEEKS), "saturdays": with_saturdays(WEEKS)}
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


def test_a_model_that_sees_a_change_is_taken_and_forecasts_it(found: dict[str, tf.Forecast]) -> None:
    changed = found["saturdays"]
    chosen = changed.backtest.filter("is_chosen", ~pl.col("is_total"))
    assert set(chosen["model"]) & set(candidates.NAMES)
    plain = tf.forecast(with_saturdays(WEEKS), horizon=28, by="product", countries="ES", model="weekday")
    later = with_saturdays(WEEKS + 4).filter(pl.col("usage_date") >= changed.start)
    came = later.group_by("usage_date").agg(pl.col("tokens").sum()).sort("usage_date")["tokens"].cast(pl.Float64)
    errors = [(each.days["mean"].cast(pl.Float64) - came).abs().sum() for each in (changed, plain)]
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
