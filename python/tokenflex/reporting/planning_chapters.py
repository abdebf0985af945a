"""The chapters of money and of what is to come: other models, the estimate, the forecast, and the purchase plan."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

import polars as pl

from tokenflex.reporting.chapter import Chapter
from tokenflex.words import many, share, tokens

if TYPE_CHECKING:
    from tokenflex.reporting.shelf import Shelf
    from tokenflex.reporting.work import Work

NOTHING = ""


def compared(work: Work, shelf: Shelf) -> Chapter:
    """Tokens against licenses and subscriptions, user by user."""
    question = "Tokens or subscriptions?"
    found = work.models.value
    if found is None:
        return Chapter("models", question, NOTHING, missing=work.models.missing)
    changes = found.users.filter("changes").height
    money = f"Money of a year, in {found.currency}."
    priced = found.models.filter(pl.col("cost").is_not_null())
    costs = {row["model"]: row["cost"] for row in priced.iter_rows(named=True)}
    cheapest = found.cheapest
    said = "no model has a price for all that was used" if cheapest is None else f"{_MODELS[cheapest]} cost least"
    if cheapest is not None:
        said += f": {costs[cheapest]:,.0f} {found.currency} a year"
    shelf.put("model_costs", found.models, f"What each way to pay costs: {said}", money)
    shelf.put(
        "model_products", found.products, "From how many days a year a subscription is cheaper, by product", money
    )
    shelf.put(
        "model_users",
        found.users,
        f"What each user should have: {many(changes, 'user')} something else than now",
        money,
    )
    shelf.put("break_even", found.break_even, "How far each user and product is from its break-even")
    return Chapter("models", question, f"{said[0].upper()}{said[1:]}.", shelf.sections())


_MODELS = {
    "licenses_peak": "licenses for the peak",
    "licenses_p95": "licenses for 95% of the time",
    "subscriptions": "subscriptions for all",
    "tokens": "tokens for all",
    "mix": "for each user the cheaper of tokens and subscriptions would",
}


def estimated(work: Work, shelf: Shelf) -> Chapter:
    """What the time would have cost without knowing the contract."""
    question = "What would it cost before there is a contract?"
    found = work.estimated.value
    if found is None:
        return Chapter("estimate", question, NOTHING, missing=work.estimated.missing)
    said = f"{tokens(found.base)} tokens, between {tokens(found.low)} and {tokens(found.high)}"
    shelf.put(
        "estimate", found.contributions, f"What makes it uncertain: {said}", "Of all sessions, whatever the period."
    )
    shelf.put("estimate_products", found.products, "The same by product")
    return Chapter("estimate", question, f"All sessions together come to {said}.", shelf.sections())


def forecasted(work: Work, shelf: Shelf) -> Chapter:
    """What will be used."""
    question = "What will be used?"
    found = work.forecasted.value
    if found is None:
        return Chapter("forecast", question, NOTHING, missing=work.forecasted.missing)
    mean = found.days["mean"].sum()
    said = f"{tokens(Decimal(round(mean)))} tokens in {many(found.horizon, 'day')} from {found.start}"
    tried = found.coverage
    held = (
        "the past is too short to test it"
        if tried is None
        else f"in the past {share(tried)} of the days lay between low and high"
    )
    shelf.put(
        "forecast_days", found.days, f"What is expected: {said}", f"Low and high hold {share(found.level)} of the days."
    )
    shelf.put("forecast_history", found.history, "What it rests on: tokens of each day")
    shelf.put("forecast_backtest", found.backtest, f"How it would have done: {held}")
    return Chapter("forecast", question, f"{said}; {held}.", shelf.sections())


def planned(work: Work, shelf: Shelf) -> Chapter:
    """What to buy."""
    question = "How many tokens to buy?"
    found = work.planned.value
    if found is None:
        return Chapter("plan", question, NOTHING, missing=work.planned.missing)
    currency = found.offer.currency
    chosen = found.tried.filter("is_chosen")["purchase"][0]
    said = (
        f"{chosen}: {found.expected_cost:,.0f} {currency} are to be expected, tokens run out in "
        f"{share(found.run_out_chance)} of the scenarios"
    )
    money = f"Money is in {currency}."
    shelf.put("planned_purchases", found.purchases, f"What to buy and when: {tokens(found.tokens)} tokens", money)
    shelf.put("purchase_curve", found.curve, "What each quantity would cost, bought in the cheapest way", money)
    shelf.put("purchase_tried", found.tried, f"All {found.tried.height:,} ways to buy that were tried", money)
    shelf.put("top_ups", found.top_ups, "When tokens run out, and how many lack")
    shelf.put(
        "plan_scenarios", found.scenarios, f"What becomes of each of {many(found.scenarios.height, 'scenario')}", money
    )
    shelf.put("newsvendor", found.newsvendor, "The closed form as a cross-check")
    return Chapter("plan", question, f"{said}.", shelf.sections())
