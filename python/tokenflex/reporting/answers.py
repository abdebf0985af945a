"""The first screen of a report: what an administrator asks first, and what to do this week, read from the tables."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Final, NamedTuple

import polars as pl

from tokenflex import tables
from tokenflex.reporting.billing import compared_of
from tokenflex.reporting.consumption import sum_of, total_of
from tokenflex.words import many, share, some, tokens

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tokenflex.contract.ledger import Ledger
    from tokenflex.reporting.work import Work

SHORT: Final = timedelta(days=30)
"""Tokens that last no longer ask for action."""
LONG: Final = timedelta(days=91)
"""Those that last longer than this are no matter of this week; nor is what expires later."""
_FAST: Final = Decimal("1.1")
_SLOW: Final = Decimal("0.7")
_NO_CLAIM: Final = ("rounding", "day_border")
"""Differences of these causes even out, and are nothing to ask back."""
_HABITS: Final = {
    "left_open_overnight": "close products in the evening",
    "idle_at_expiry": "close what is not used",
    "boundary_grazed": "close products before their window ends",
    "opened_by_mistake": "open only what is needed",
}
ZERO: Final = Decimal(0)


class Answer(NamedTuple):
    """A row of `tables.REPORT_ANSWERS`."""

    key: str
    label: str
    answer: str
    value: Decimal | None
    unit: str
    detail: str
    tone: str
    chapter: str


class Action(NamedTuple):
    """A row of `tables.REPORT_ACTIONS` before its rank."""

    action: str
    why: str
    tokens: Decimal | None
    chapter: str
    table: str
    money: Decimal | None = None


def answers_of(work: Work, actions: pl.DataFrame) -> pl.DataFrame:
    """The first screen."""
    rows = [answer for chapter, ask in ANSWERS if chapter in work.chapters for answer in ask(work)]
    rows.append(_to_do(actions))
    return pl.DataFrame(rows, schema=dict(tables.REPORT_ANSWERS), orient="row")


def _used(work: Work) -> Iterator[Answer]:
    charged = work.charged
    total = total_of(charged)
    detail = f"{many(charged.height, 'charge')} of {many(charged['person'].n_unique(), 'user')}"
    cost = work.worth(total)
    if cost is not None and work.price is not None:
        detail += f"; {work.money(cost)} at {work.price:,.2f} a token"
    yield Answer("tokens", "Tokens used", _shown(total), total, "tokens", detail, "none", "consumption")


def _shown(amount: Decimal | None) -> str:
    return "nothing that has a rate" if amount is None else f"{tokens(amount)} tokens"


def _unknown(key: str, label: str, missing: str, chapter: str) -> Answer:
    return Answer(key, label, "not known", None, "", missing, "none", chapter)


def _against_plan(work: Work) -> Iterator[Answer]:
    """What the open pools gave against an even pace."""
    label = "Against plan"
    ledger, at = work.ledger.value, work.balance_at
    if ledger is None or at is None:
        yield _unknown("plan", label, work.ledger.missing, "contract")
        return
    used, even = _pace(work, ledger)
    if even == 0:
        yield _unknown("plan", label, f"no pool is open on {at:%Y-%m-%d}", "contract")
        return
    part = (used / even).quantize(Decimal("0.0001"))
    detail = (
        f"{tokens(used)} tokens of the open pools are used, {tokens(Decimal(round(even)))} would be at an even pace "
        "until their ends"
    )
    tone = "watch" if part > _FAST or part < _SLOW else "good"
    yield Answer("plan", label, f"{part:.0%} of an even pace", part, "share", detail, tone, "contract")


def _pace(work: Work, ledger: Ledger) -> tuple[Decimal, Decimal]:
    """What is gone of the pools that are open, and what would be if each lost the same each day."""
    at = work.balance_at
    left = {row["pool"]: row["balance"] for row in ledger.balances(at=at).iter_rows(named=True)}
    used = even = ZERO
    for pool in ledger.contract.pools:
        if at is not None and pool.opens <= at < pool.closes:
            passed = Decimal((at - pool.opens) // timedelta(microseconds=1))
            whole = Decimal((pool.closes - pool.opens) // timedelta(microseconds=1))
            used += pool.tokens - left[pool.id]
            even += pool.tokens * passed / whole
    return used, even


def _agreement(work: Work) -> Iterator[Answer]:
    found = work.reconciled.value
    label = "Vendor agreement"
    if found is None:
        yield _unknown("vendor", label, work.reconciled.missing, "vendor")
        return
    compared = compared_of(found)
    lines = int(compared["rows"].sum())
    if lines == 0:
        yield _unknown("vendor", label, "no line of the statement can be compared", "vendor")
        return
    agreed = int(compared.filter(pl.col("outcome") == "agreed")["rows"].sum())
    odd = compared.filter(pl.col("outcome") == "unexplained")
    difference = sum_of(compared, "difference")
    part = Decimal(agreed) / lines
    side = "more" if difference >= 0 else "less"
    detail = f"{many(lines - agreed, 'line')} differ, the vendor has {tokens(abs(difference))} tokens {side}"
    unexplained = int(odd["rows"].sum())
    detail += f"; {many(unexplained, 'line')} without a cause" if unexplained else "; each with a cause"
    tone = "act" if unexplained else "watch" if agreed < lines else "good"
    yield Answer(
        "vendor", label, f"{share(float(part))} of {many(lines, 'line')}", part, "share", detail, tone, "vendor"
    )


def _doubled(work: Work) -> Iterator[Answer]:
    label = "Charged twice"
    total = total_of(work.charged)
    theirs, ours = work.vendors_doubles.value, work.doubles.value
    found, whose = (theirs, "by the statement") if theirs is not None else (ours, "by the rule")
    if found is None:
        yield _unknown("doubled", label, work.doubles.missing, "doubles")
        return
    amount = sum_of(found, "tokens")
    claimable = sum_of(found.filter("is_claimable"), "tokens")
    part = f", {share(float(amount / total))} of all" if total and whose == "by the rule" else ""
    detail = f"{many(found.height, 'case')} {whose}{part}; {tokens(claimable)} tokens were not due by the rule"
    tone = "act" if claimable else "watch" if amount else "good"
    yield Answer("doubled", label, f"{tokens(amount)} tokens", amount, "tokens", detail, tone, "doubles")


def _avoidable(work: Work) -> Iterator[Answer]:
    found, total = work.avoidable.value, total_of(work.charged)
    if found is None:
        yield _unknown("avoidable", "Avoidable", work.avoidable.missing, "avoidable")
        return
    amount = sum_of(found, "tokens")
    part = f"{share(float(amount / total))} of all, " if total else ""
    sure = sum_of(found.filter(~pl.col("is_inferred")), "tokens")
    detail = (
        f"{part}in {many(found.height, 'charge')}; {tokens(sure)} tokens of them seen, the others inferred from the "
        "shape of use"
    )
    tone = "watch" if amount else "good"
    yield Answer("avoidable", "Avoidable", f"{tokens(amount)} tokens", amount, "tokens", detail, tone, "avoidable")


def _balance(work: Work) -> Iterator[Answer]:
    burn, at = work.burn.value, work.balance_at
    if burn is None or at is None:
        yield _unknown("balance", "Balance", work.burn.missing, "contract")
        yield _unknown("lasts", "Lasts until", work.burn.missing, "contract")
        return
    worth = work.worth(burn.balance)
    detail = f"in open pools on {at:%Y-%m-%d}" + ("" if worth is None else f", worth {work.money(worth)}")
    tone = "act" if burn.balance <= 0 else "none"
    yield Answer(
        "balance", "Balance", f"{tokens(burn.balance)} tokens", burn.balance, "tokens", detail, tone, "contract"
    )
    pace = (
        "nothing was used of late"
        if not burn.tokens_per_day
        else f"at {tokens(round(burn.tokens_per_day, 1))} tokens a day"
    )
    until = burn.exhausted_at
    if until is None:
        detail = (
            f"{pace}; {tokens(Decimal(round(burn.expected_expiry)))} tokens will expire"
            if burn.expected_expiry
            else pace
        )
        yield Answer("lasts", "Lasts until", "the contract's end", None, "days", detail, "good", "contract")
        return
    left = until - at
    detail = f"{pace}; {tokens(Decimal(round(burn.expected_overage)))} tokens will be lacking until the last pool ends"
    tone = "act" if left <= SHORT else "watch" if left <= LONG or burn.expected_overage else "good"
    yield Answer("lasts", "Lasts until", f"{until:%Y-%m-%d}", Decimal(left.days), "days", detail, tone, "contract")


ANSWERS: Final[tuple[tuple[str, Callable[[Work], Iterator[Answer]]], ...]] = (
    ("consumption", _used),
    ("contract", _against_plan),
    ("vendor", _agreement),
    ("doubles", _doubled),
    ("avoidable", _avoidable),
    ("contract", _balance),
)
"""What is asked, each with the chapter that tells more."""


def _to_do(actions: pl.DataFrame) -> Answer:
    if actions.is_empty():
        return Answer("to_do", "This week", "nothing stands out", ZERO, "actions", "", "good", "avoidable")
    first = actions.row(0, named=True)
    return Answer(
        "to_do", "This week", first["action"], Decimal(actions.height), "actions", first["why"], "act", first["chapter"]
    )


def _take_back(work: Work) -> Action | None:
    found = work.open_now.value
    if found is None:
        return None
    idle = found.filter(pl.col("is_worth_it").fill_null(value=False))
    if idle.is_empty():
        return None
    # One charge may be for several sessions.
    charges = idle.unique(["user", "product", "next_charge_at"], maintain_order=True)
    first = charges["next_charge_at"].sort()[0]
    why = f"the first is charged at {first:%Y-%m-%d %H:%M}Z"
    return Action(
        f"Take {many(idle.height, 'idle license')} back", why, sum_of(charges, "tokens"), "avoidable", "harvest"
    )


def _habit(work: Work) -> Action | None:
    found = work.avoidable.value
    if found is None or found.is_empty():
        return None
    habits = found.group_by("habit").agg(pl.col("tokens").sum()).sort("tokens", "habit", descending=[True, False])
    habit = str(habits["habit"][0])
    own = found.filter(pl.col("habit") == habit)
    people = own.group_by(pl.col("user").cast(pl.String)).agg(pl.col("tokens").sum())
    people = people.sort("tokens", "user", descending=[True, False])
    counted = f"{many(own.height, 'charge')} of {many(people.height, 'user')}"
    why = f"{counted} in the time of the report: {habit.replace('_', ' ')}"
    return Action(
        f"Ask {some(people['user'].to_list())} to {_HABITS[habit]}",
        why,
        habits["tokens"][0],
        "avoidable",
        "avoidable_charges",
    )


def _ask_back(work: Work) -> Action | None:
    """What the vendor has more than we, of one line or another."""
    found = work.reconciled.value
    if found is not None:
        more = found.rows.filter(
            pl.col("status").is_in(["amount_differs", "extra_at_vendor"]),
            pl.col("difference") > 0,
            ~pl.col("cause").cast(pl.String).is_in(_NO_CLAIM),
        )
        if more.height:
            causes = more["cause"].value_counts(sort=True)["cause"].cast(pl.String).to_list()
            why = f"the vendor charged more than the rule says: {some([each.replace('_', ' ') for each in causes])}"
            return Action(
                f"Dispute {many(more.height, 'line')} of the statement",
                why,
                sum_of(more, "difference"),
                "vendor",
                "differences",
            )
        return None
    cases = work.vendors_doubles.value
    cases = None if cases is None else cases.filter("is_claimable")
    if cases is None or cases.is_empty():
        return None
    why = "charged twice, and by the rule not due"
    return Action(
        f"Ask {many(cases.height, 'charge')} back", why, sum_of(cases, "tokens"), "doubles", "vendor_double_charges"
    )


def _expiring(work: Work) -> Action | None:
    burn, at = work.burn.value, work.balance_at
    if burn is None or at is None:
        return None
    lost = burn.pools.filter(pl.col("closes") <= at + LONG, pl.col("expected_expiry") > 0)
    if lost.is_empty():
        return None
    first = lost.sort("closes").row(0, named=True)
    why = f"{first['pool']} ends on {first['closes']:%Y-%m-%d}; at the pace of late so many tokens are left in it"
    return Action(
        f"Use or move tokens of {some(lost['pool'].to_list())}",
        why,
        sum_of(lost, "expected_expiry"),
        "contract",
        "burn",
    )


def _running_out(work: Work) -> Action | None:
    burn = work.burn.value
    if burn is None or burn.exhausted_at is None or burn.exhausted_at - burn.at > LONG:
        return None
    why = f"at the pace of late the open pools are empty on {burn.exhausted_at:%Y-%m-%d}"
    return Action("Buy tokens, or agree on a price for overage", why, burn.expected_overage, "plan", "burn")


def _move(work: Work) -> Action | None:
    found = work.placement.value
    if found is None:
        return None
    moved = found.filter(pl.col("saving") > 0)
    if moved.is_empty():
        return None
    row = moved.sort("saving", descending=True).row(0, named=True)
    why = "the servers' midnights then fall into fewer working days"
    site = "those without a site" if row["site"] is None else row["site"]
    return Action(f"Let {site} draw from {row['server']}", why, sum_of(moved, "saving"), "places", "placement")


def _subscribe(work: Work) -> Action | None:
    found = work.models.value
    if found is None:
        return None
    changed = found.users.filter("changes")
    if changed.is_empty():
        return None
    saved = changed.select((pl.col("cost_current") - pl.col("cost")).sum()).item()
    why = f"{saved:,.0f} {found.currency} a year less than now"
    return Action(f"Change the plan of {many(changed.height, 'user')}", why, None, "models", "model_users", saved)


def _rate(work: Work) -> Action | None:
    found = work.without_rate
    if found.is_empty():
        return None
    why = f"{many(int(found['charges'].sum()), 'charge')} have no tokens, and are in no sum"
    return Action(
        f"Find the rates of {some(found['product'].to_list())}", why, None, "quality", "products_without_rate"
    )


def _silent_days(work: Work) -> Action | None:
    days = work.coverage_days
    silent = None if days is None else days.filter(~pl.col("has_lines"))
    if silent is None or silent.is_empty():
        return None
    servers = silent["server"].unique(maintain_order=True).to_list()
    why = "what was used on a day without lines is in no number here"
    return Action(
        f"Find the logs of {many(silent.height, 'day')} of {some(servers)}", why, None, "quality", "coverage_days"
    )


ACTIONS: Final[tuple[tuple[str, Callable[[Work], Action | None]], ...]] = (
    ("avoidable", _take_back),
    ("avoidable", _habit),
    ("vendor", _ask_back),
    ("contract", _expiring),
    ("contract", _running_out),
    ("places", _move),
    ("models", _subscribe),
    ("quality", _rate),
    ("quality", _silent_days),
)
"""What is looked for, each in its chapter."""


def actions_of(work: Work) -> pl.DataFrame:
    """What to do this week, what is worth most first; what has no number comes last, in the order of `ACTIONS`."""
    looked = [look(work) for chapter, look in ACTIONS if chapter in work.chapters]
    found = [each for each in looked if each is not None]
    found.sort(key=lambda each: (each.tokens is None and each.money is None, -(each.tokens or ZERO)))
    rows = [
        (
            rank,
            each.action,
            each.why,
            each.tokens,
            work.worth(each.tokens) if each.money is None else each.money,
            each.chapter,
            each.table,
        )
        for rank, each in enumerate(found, 1)
    ]
    return pl.DataFrame(rows, schema=dict(tables.REPORT_ACTIONS), orient="row")
