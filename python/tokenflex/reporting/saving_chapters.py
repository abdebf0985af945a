"""The chapters of what could be otherwise: habits and idle licenses, places of servers, rules, and rates."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

import polars as pl

from tokenflex import tables
from tokenflex.audit.avoidable import summarize_avoidable
from tokenflex.metering.charge import charge
from tokenflex.metering.compare_rules import compare_rules
from tokenflex.metering.rule import FLEX, TOKEN_FLEX, Rule
from tokenflex.metering.rule_grid import described
from tokenflex.metering.whatif import zone_whatif
from tokenflex.planning.changes import with_announced
from tokenflex.reporting.chapter import Chapter
from tokenflex.reporting.consumption import sum_of
from tokenflex.reporting.work import attempt
from tokenflex.usage.inactive import inactive
from tokenflex.words import many, spoken, tokens

if TYPE_CHECKING:
    from tokenflex.reporting.shelf import Shelf
from tokenflex.reporting.work import Work

LONG_AGO: Final = 30
"""Days without use after which somebody is called inactive here; the table says the days of all."""


def avoided(work: Work, shelf: Shelf) -> Chapter:
    """What another habit would have saved."""
    said = []
    found = work.avoidable.value
    if found is None:
        shelf.lack("avoidable_charges", "Charges that another habit would have saved", work.avoidable.missing)
    else:
        total = tokens(sum_of(found, "tokens"))
        habits = summarize_avoidable(found)
        shelf.put(
            "avoidable_summary", habits, f"{total} tokens in {many(found.height, 'charge')} could have been saved"
        )
        shelf.put("avoidable_charges", found, f"Each of {many(found.height, 'charge')}, with what would have saved it")
        said.append(f"{total} tokens could have been saved by other habits")
    _open_now(work, shelf, said)
    replayed = work.replayed.value
    if replayed is None:
        shelf.lack("harvest_replay", "What taking idle licenses back would have saved", work.replayed.missing)
    else:
        best = replayed.sort("tokens_saved", descending=True, maintain_order=True).row(0, named=True)
        saved = tokens(best["tokens_saved"])
        title = f"Taking licenses back that were idle for {spoken(best['after'])} would have saved {saved} tokens"
        shelf.put("harvest_replay", replayed, title, "Licenses that were opened again count against it.")
    return Chapter("avoidable", "What could have been saved?", f"{'; '.join(said)}." if said else "", shelf.sections())


def _open_now(work: Work, shelf: Shelf, said: list[str]) -> None:
    found = work.open_now.value
    if found is None:
        shelf.lack("harvest", "What is open and idle now", work.open_now.missing)
        return
    worth = found.filter(pl.col("is_worth_it").fill_null(value=False))
    title = (
        f"{many(found.height, 'session')} open at {work.last:%Y-%m-%d %H:%M}Z, {worth.height:,} of them idle and soon "
        "to be charged"
    )
    note = "`command` takes a license back; all `open_with` have to be closed."
    if work.users is None and work.activity is None:
        note += " Nobody knows what is idle: activity= or users= would say it."
    shelf.put("harvest", found, title, note)
    said.append(f"{many(worth.height, 'idle license')} can be taken back now")


def placed(work: Work, shelf: Shelf) -> Chapter:
    """Whether the servers stand where they should."""
    question = "Are the servers in the right place?"
    frame, sites = work.placed
    whatif = attempt(
        lambda: zone_whatif(
            frame,
            rates=work.rates,
            rule=work.rule,
            servers=work.servers,
            users=work.users,
            sites=sites,
            as_of=work.as_of,
            problems=work.problems,
        )
    )
    found = whatif.value
    if found is None:
        return Chapter("places", question, "", missing=whatif.missing)
    whole = found.group_by("zone", maintain_order=True).agg(pl.col("tokens", "saving").sum(), pl.col("charges").sum())
    whole = whole.filter(pl.col("zone").is_not_null(), pl.col("charges") > 0)
    # By the saving and not by the tokens: where some users' days are not known, fewer tokens save nothing.
    best = whole.filter(pl.col("zone") != "today").sort("saving", descending=True, maintain_order=True).head(1)
    title = "What each site would pay under the days of each zone"
    if best.height:
        saving = best["saving"][0]
        by = _zone(best["zone"][0])
        title += f": at best {tokens(saving)} less, by {by}" if saving > 0 else ": nowhere less than today"
    shelf.put("zone_whatif", found, title)
    moved = work.placement
    if moved.value is None:
        shelf.lack("placement", "Which server each site should draw from", moved.missing)
        headline = f"{title}."
    else:
        saved = sum_of(moved.value, "saving")
        headline = f"With each site on the server that fits its days {tokens(saved)} tokens would be saved."
        shelf.put("placement", moved.value, f"From which server each site should draw: {tokens(saved)} tokens less")
    return Chapter("places", question, headline, shelf.sections())


def _zone(name: str) -> str:
    return "everyone's own days" if name == "user" else f"the days of {name}"


def ruled(work: Work, shelf: Shelf) -> Chapter:
    """What other rules would charge, and by which the vendor did."""
    others = other_rules(work) if work.rules is None else [work.rule, *work.rules]
    compared = attempt(
        lambda: compare_rules(
            work.sessions,
            rules=others,
            rates=work.rates,
            servers=work.servers,
            users=work.users,
            problems=work.problems,
        )
    )
    headline = f"The report goes by {described(work.rule)}."
    if compared.value is None:
        shelf.lack("rule_comparison", "What other rules would charge", compared.missing)
    else:
        rows = compared.value
        amounts = rows["tokens"].sort()
        spread = tokens(amounts[0]) + ("" if amounts[0] == amounts[-1] else f" to {tokens(amounts[-1])}")
        shelf.put("rule_comparison", rows, f"All sessions under {many(rows.height, 'rule')}: {spread} tokens")
        headline = f"{headline} Other rules would charge {spread} tokens for all sessions."
    inferred = work.inferred.value
    if inferred is None:
        shelf.lack("rule_fits", "By which rule the vendor charged", work.inferred.missing)
    else:
        best = inferred.fits.row(0, named=True)
        off, stated = tokens(best["token_error"]), tokens(best["tokens_stated"])
        fits = f"{best['description']} fits best, {off} of {stated} tokens off"
        shelf.put("rule_fits", inferred.fits, f"By which rule the vendor charged: {fits}")
        shelf.put(
            "rule_deciding",
            inferred.deciding,
            f"{many(inferred.deciding.height, 'case')} in which the best two rules differ",
        )
        headline = f"{headline} Of the rules tried on the statement {fits}."
    return Chapter("rules", "By which rule is it charged?", headline, shelf.sections())


def other_rules(work: Work) -> list[Rule]:
    """The rule, and beside it the presets and the days of UTC and of the users: those that are told of."""
    own = work.rule
    told = [own, TOKEN_FLEX, FLEX, replace(TOKEN_FLEX, zone="utc")]
    if own.window == "day":
        told += [replace(own, zone=zone) for zone in ("utc", "server", "user")]
    if own.min_duration:
        told.append(replace(own, min_duration=TOKEN_FLEX.min_duration))
    lacking = {"server"} if work.servers is None else set()
    lacking |= {"user"} if work.users is None else set()
    return list(dict.fromkeys(rule for rule in told if rule.needs_zones_of not in lacking))


def repriced(work: Work, shelf: Shelf) -> Chapter:
    """What other rates would mean."""
    question = "What would other rates mean?"
    if work.new_rates is None:
        return Chapter(
            "rates",
            question,
            "",
            missing="new_rates= (the tokens of a day that are to come) shows what they would mean",
        )
    rates = with_announced(work.rates, work.new_rates)
    then = attempt(
        lambda: charge(
            work.sessions, rule=work.rule, rates=rates, servers=work.servers, users=work.users,
            activity=work.activity, as_of=work.as_of, problems=work.problems,
        )
    )  # fmt: skip
    if then.value is None:
        return Chapter("rates", question, "", missing=then.missing)
    # Of charges without any rate the tokens are not known, which is not none.
    known_sum = pl.when(pl.col("tokens").is_not_null().any()).then(pl.col("tokens").sum())
    sides = [
        work.within(charges, "usage_date")
        .group_by(pl.col("product").cast(pl.String))
        .agg(pl.len().alias(f"{name}charges"), known_sum.alias(f"{name}tokens"))
        for name, charges in (("", work.charges), ("new_", then.value))
    ]
    joined = sides[0].join(sides[1], on="product", how="full", coalesce=True)
    joined = joined.with_columns(
        pl.when(pl.col(f"{name}charges").is_null()).then(0).otherwise(f"{name}{what}").alias(f"{name}{what}")
        for name in ("", "new_")
        for what in ("tokens", "charges")
    )
    table = tables.finish(
        joined.with_columns(difference=pl.col("new_tokens") - pl.col("tokens")).sort(
            "difference", "product", descending=[True, False]
        ),
        tables.RATE_CHANGES,
    )
    difference = sum_of(table, "difference")
    said = f"{tokens(abs(difference))} tokens {'more' if difference >= 0 else 'less'} for the same use"
    shelf.put("rate_changes", table, f"What each product would cost by the new rates: {said}")
    return Chapter("rates", question, f"By the new rates {said}.", shelf.sections())


def unused(work: Work, shelf: Shelf) -> None:
    """Who has not used what for long."""
    found = attempt(lambda: inactive(work.sessions, as_of=work.as_of, problems=work.problems))
    if found.value is None:
        shelf.lack("inactive", "Who has not used what for long", found.missing)
        return
    old = found.value.filter(pl.col("days_since") > LONG_AGO).height
    shelf.put(
        "inactive",
        found.value,
        f"{many(old, 'pair')} of user and product without use for {LONG_AGO} days",
    )
