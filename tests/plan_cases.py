"""Offers, paths and checks that the tests of purchase plans share."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal
from fractions import Fraction
from math import ceil
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
from hypothesis import strategies as st

import tokenflex as tf
from tokenflex import tables

if TYPE_CHECKING:
    from collections.abc import Collection

    from numpy.typing import NDArray

    from plan_reference import Story

START = date(2026, 3, 1)
TIERS = [tf.PriceTier(from_tokens=0, unit_price=3), tf.PriceTier(from_tokens=60, unit_price="2.5")]
MONEY = 10**8


def days_of(years: int, start: date = START) -> int:
    return (start.replace(year=start.year + years) - start).days


def begins_of(years: int, start: date = START) -> list[date]:
    return [start.replace(year=start.year + year) for year in range(years + 1)]


def units(value: Decimal | int) -> int:
    return int(Decimal(value) * 10_000)


def money(value: Fraction | int) -> Decimal:
    return Decimal(round(value)).scaleb(-8)


def offers_of_term(**terms: Any) -> tf.Offer:
    given_terms: dict[str, Any] = {"years": 2, "overage_price": 4, "prices": TIERS} | terms
    return tf.Offer(**given_terms)


def offer_of_packs(*sizes: tuple[int, str | int | Decimal], **terms: Any) -> tf.Offer:
    packs = [tf.PackOffer(tokens=tokens, unit_price=price) for tokens, price in sizes]
    given_terms: dict[str, Any] = {"overage_price": 4, "packs": packs} | terms
    return tf.Offer(**given_terms)


@st.composite
def sparse_paths(draw: st.DrawFn, days: int, *, most: int = 40) -> NDArray[np.float64]:
    """A few scenarios that use something on a few days, at the borders of years too."""
    count = draw(st.integers(1, 4))
    paths = np.zeros((count, days))
    place = st.integers(0, days - 1) | st.sampled_from([day for day in (0, 364, 365, 366, 729, days - 1) if day < days])
    for scenario in range(count):
        for day in draw(st.lists(place, max_size=8)):
            paths[scenario, day] += draw(st.integers(0, most))
    return paths


def whole(path: NDArray[np.float64]) -> list[int]:
    return [round(float(tokens) * 10_000) for tokens in path]


def summed_up(stories: list[Story], overage_price: Decimal) -> dict[str, Any]:
    """What a row of `tables.PURCHASE_TRIED` says of stories."""
    count = len(stories)
    costs = sorted(story.spent + story.overage * units(overage_price) for story in stories)
    return {
        "expected_cost": money(Fraction(sum(costs), count)),
        "low_cost": money(costs[ceil(Fraction(count, 10)) - 1]),
        "high_cost": money(costs[ceil(Fraction(9 * count, 10)) - 1]),
        "run_out_chance": sum(story.overage > 0 for story in stories) / count,
        **{
            name: tables.decimal(round(Fraction(sum(getattr(story, part) for story in stories), count)))
            for name, part in {
                "expected_overage": "overage",
                "expected_expiry": "expired",
                "expected_left": "left",
            }.items()
        },
    }


def check_replay(
    plan: tf.PurchasePlan, path: NDArray[np.float64], scenario: int, *, held: Collection[str] = ()
) -> None:
    """The ledger of the plan on the path is what the plan says of it, to the digit."""
    ledger = plan.replay(path)
    cost, said = ledger.cost(), plan.scenarios.row(scenario, named=True)
    own = [pool.id for pool in ledger.contract.pools if pool.id not in held]
    bought, total = cost.filter(pl.col("pool").is_in(own)), cost.row(-1, named=True)
    start = ledger.contract.first_instant(plan.start)
    # What ends with the day before ends at the first instant.
    ended = ledger.entries.filter((pl.col("at") <= start) & (pl.col("kind").cast(pl.String) == "expiry"))[
        "tokens"
    ].sum()
    before = ledger.cost(at=start - timedelta(microseconds=1)).row(-1, named=True)
    assert bought["value_bought"].sum() == said["spent"]
    assert bought["tokens_bought"].sum() == said["bought"]
    assert plan.cost_of(ledger) == said["cost"]
    assert total["overage"] - before["overage"] == said["overage"]
    assert total["tokens_expired"] + Decimal(ended) == said["expired"]
    used = total["tokens_consumed"] + total["overage"] - before["tokens_consumed"] - before["overage"]
    assert used == said["used"]
    # What comes on the day behind the plan is in the ledger's last instant, and no part of the plan.
    there = [pool.id for pool in ledger.contract.pools if pool.opens < ledger.as_of]
    assert ledger.balances().filter(pl.col("pool").is_in(there))["balance"].sum() == said["left"]
    owed = ledger.entries.filter((pl.col("kind").cast(pl.String) == "overage") & (pl.col("at") >= start))["at"]
    first = None if owed.is_empty() else owed.dt.convert_time_zone(plan.offer.zone).dt.date()[0]
    assert first == said["run_out"]


ZONES = st.sampled_from(["UTC", "Europe/Madrid", "America/Sao_Paulo", "Pacific/Auckland"])
