"""The chapters of what is charged: the charge ledger, the contract's pools, the vendor's statement, double charges."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final

import polars as pl

from tokenflex.contract.chargeback import chargeback
from tokenflex.metering.rule_grid import described
from tokenflex.reporting.chapter import Chapter
from tokenflex.reporting.consumption import sum_of
from tokenflex.reporting.work import attempt
from tokenflex.summary import doubles_by_cause, uncharged
from tokenflex.words import many, share, tokens

if TYPE_CHECKING:
    from decimal import Decimal

    from tokenflex.audit.reconcile import Reconciliation
    from tokenflex.contract.ledger import Ledger
    from tokenflex.reporting.shelf import Shelf
from tokenflex.reporting.work import Work

SOON: Final = timedelta(days=366)
"""What expires in a year is shown, whenever that is an action."""


def charging(work: Work, shelf: Shelf) -> Chapter:
    """What was charged, when and why."""
    charged = work.charged
    renewals = charged.filter(pl.col("trigger") == "renewal").height
    shelf.put(
        "charge_ledger",
        charged,
        f"Each of {many(charged.height, 'charge')}: {renewals:,} because a window ended in the midst of use",
        "`session` is the row of the sessions that the report was made of; times are UTC.",
    )
    triggers = charged.group_by(pl.col("trigger").cast(pl.String), pl.col("category").cast(pl.String)).agg(
        charges=pl.len(), tokens=pl.col("tokens").sum(), charges_without_rate=pl.col("tokens").null_count()
    )
    shelf.put("charge_triggers", triggers.sort("charges", descending=True), "What made charges fall due")
    if work.events is None:
        shelf.lack("uncharged", "What was not charged", "events= (of the reader) shows what no tokens were charged for")
    else:
        rows = uncharged(
            work.within(work.events, "time"),
            work.touching,
            charged,
            work.within(work.refused if work.refused is not None else work.events.clear(), "time"),
            work.problems.frame,
            min_duration=work.rule.min_duration,
        )
        shelf.put("uncharged", rows, "What no tokens were charged for")
    headline = f"By {described(work.rule)}: {many(charged.height, 'charge')}, {renewals:,} of them without a launch."
    return Chapter("charges", "What was charged, when and why?", headline, shelf.sections())


def pools(work: Work, shelf: Shelf) -> Chapter:
    """What is left of the contract, and until when it lasts."""
    question = "What is left, and until when does it last?"
    ledger, at = work.ledger.value, work.balance_at
    if ledger is None:
        return Chapter("contract", question, "", missing=work.ledger.missing)
    balances = ledger.balances(at=at)
    left: Decimal = balances["balance"][-1]
    burn = work.burn.value
    until = None if burn is None else burn.exhausted_at
    open_now = left if burn is None else burn.balance
    lasts = "they last to the end" if until is None else f"at the pace of late they are used up on {until:%Y-%m-%d}"
    shelf.put("balances", balances, f"What each pool had, gave and has: {tokens(left)} tokens are left")
    if burn is not None:
        pace = "no pace yet" if burn.tokens_per_day is None else f"{tokens(round(burn.tokens_per_day, 1))} tokens a day"
        shelf.put(
            "burn",
            burn.pools,
            f"What becomes of each pool at {pace}: {lasts}",
            "Arithmetic at one pace: no holidays, no new users, no purchase.",
        )
    else:
        shelf.lack("burn", "What becomes of each pool", work.burn.missing)
    expiring = ledger.expiring(within=SOON, at=at)
    shelf.put("expiring", expiring, f"{tokens(sum_of(expiring, 'tokens'))} tokens are in pools that end within a year")
    cost = ledger.cost(at=at)
    shelf.put("cost", cost, "What tokens have cost", f"Money is in {ledger.contract.currency}.")
    entries = work.within(ledger.entries, "at")
    shelf.put(
        "ledger",
        entries,
        f"The ledger: {many(entries.height, 'change')} of balances",
        "`charge` is a row of the ledger's charges.",
    )
    _laid(work, shelf, ledger)
    headline = f"{tokens(open_now)} tokens are left in open pools on {at:%Y-%m-%d}; {lasts}."
    return Chapter("contract", question, headline, shelf.sections())


def _laid(work: Work, shelf: Shelf, ledger: Ledger) -> None:
    """Who pays: the whole ledger, as chargeback does, so that it adds up."""
    whole = "Who pays what of all that the ledger took"
    if work.groups is None or None not in work.groups.dimensions:
        shelf.lack("chargeback_by_group", whole, "groups= shows which group and cost centre pays")
    else:
        _lay(work, shelf, ledger, key="chargeback_by_group", by=["group", "cost_centre"], title=whole)
    by_product = "What the ledger took, by month and product"
    _lay(work, shelf, ledger, key="chargeback_by_product", by=["month", "product"], title=by_product)


def _lay(work: Work, shelf: Shelf, ledger: Ledger, *, key: str, by: list[str], title: str) -> None:
    found = attempt(lambda: chargeback(ledger, by=by, groups=work.groups, problems=work.problems))
    if found.value is None:
        shelf.lack(key, title, found.missing)
    else:
        total = tokens(sum_of(found.value, "tokens"))
        shelf.put(key, found.value, f"{title}: {total} tokens", "It adds up to the ledger exactly.")


def vendor(work: Work, shelf: Shelf) -> Chapter:
    """Whether the vendor's statement agrees."""
    question = "Does the vendor's number agree?"
    found = work.reconciled.value
    if found is None:
        return Chapter("vendor", question, "", missing=work.reconciled.missing)
    summary = found.summary
    compared = compared_of(found)
    sums = {name: sum_of(compared, name) for name in ("ours", "vendors")}
    agreed = int(compared.filter(pl.col("outcome") == "agreed")["rows"].sum())
    lines = int(compared["rows"].sum())
    shelf.put(
        "reconciliation_summary", summary,
        f"{agreed:,} of {lines:,} comparable lines agree; in them the vendor has {tokens(sums['vendors'])} tokens, "
        f"we {tokens(sums['ours'])}",
    )  # fmt: skip
    odd = found.rows.filter(pl.col("cause").is_not_null())
    shelf.put("differences", odd, f"{many(odd.height, 'line')} that differ or cannot be compared, each with its cause")
    shelf.put("reconciliation", found.rows, f"All {many(found.rows.height, 'line')} of both sides")
    part = share(agreed / lines) if lines else "none"
    headline = f"{part} of the lines that can be compared agree, by {found.level}; {_unexplained(found)}."
    return Chapter("vendor", question, headline, shelf.sections())


def compared_of(found: Reconciliation) -> pl.DataFrame:
    """The summary of what can be compared."""
    return found.summary.filter(pl.col("outcome") != "not_comparable")


def _unexplained(found: Reconciliation) -> str:
    rows = found.summary.filter(pl.col("outcome") == "unexplained")
    if rows.is_empty():
        return "every difference has a cause"
    return f"{many(int(rows['rows'].sum()), 'line')} of {tokens(sum_of(rows, 'difference'))} tokens have none"


def doubled(work: Work, shelf: Shelf) -> Chapter:
    """What was charged twice, and why."""
    question = "What was charged twice, and why?"
    ours, theirs = work.doubles, work.vendors_doubles
    if ours.value is None and theirs.value is None:
        return Chapter("doubles", question, "", missing=ours.missing)
    said = []
    for name, whose, found in (
        ("vendor_double_charges", "by the statement", theirs),
        ("double_charges", "by the rule", ours),
    ):
        cases = found.value
        if cases is None:
            shelf.lack(name, f"Charged twice {whose}", found.missing)
            continue
        claimable = sum_of(cases.filter("is_claimable"), "tokens")
        total = tokens(sum_of(cases, "tokens"))
        causes = doubles_by_cause(cases)
        shelf.put(
            f"{name}_by_cause",
            causes,
            f"Why: {total} tokens were charged twice {whose}, {tokens(claimable)} of them were not due",
        )
        shelf.put(name, cases, f"Each of {many(cases.height, 'case')}, in words")
        said.append(f"{total} tokens twice {whose}, {tokens(claimable)} not due")
    return Chapter("doubles", question, f"{'; '.join(said)}.", shelf.sections())
