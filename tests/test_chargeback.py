"""`chargeback` adds up to the ledger, and splits by minutes as a plain count splits."""

from __future__ import annotations

from collections import defaultdict
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tokenflex as tf
from tokenflex import tables

HOUR, MINUTE = timedelta(hours=1), timedelta(minutes=1)
SERVERS = {"mad": "Europe/Madrid", "chi": "America/Chicago"}
RATES = tf.Rates(
    [
        tf.Rate("ACD", Decimal(7), family="cad"),
        tf.Rate("LT", Decimal(3), family="cad"),
        tf.Rate("VRD", Decimal("12.5")),
        tf.Rate("NEW", Decimal("0.0007")),
    ]
)
SCHEMA: dict[str, Any] = {
    **dict.fromkeys(("user", "host", "product", "server", "project"), pl.String),
    "start": tables.TIME,
    "end": tables.TIME,
}
RULES = [
    tf.FLEX,
    tf.TOKEN_FLEX,
    tf.Rule(window="day", zone="server", scope="server"),
    tf.Rule(window="rolling", length=HOUR, machine_metered=frozenset({"VRD"})),
    tf.Rule(window="day", zone="utc", machine_metered=frozenset({"VRD"}), min_duration=5 * MINUTE),
]
CONTRACT = tf.Contract(
    number="1",
    zone="Europe/Madrid",
    overage_price="4.5",
    packs=[
        tf.Pack(id="a", tokens="31.5", purchased="2026-01-01", unit_price="2.99"),
        tf.Pack(id="b", tokens=20, purchased="2026-02-01"),
    ],
    prices=[tf.PriceTier(from_tokens=0, unit_price="3.1417")],
    bookings=[tf.Booking(day="2026-03-03", tokens="1.5", kind="manual_consumption")],
)
GROUPS = tf.Groups(
    pl.DataFrame(
        [
            ("ana", "bridges", "4100", None, None, "2026-03-03"),
            ("ana", "roads", "4200", None, "2026-03-03", None),
            ("bo", "roads", None, None, None, None),
            ("ana", "Madrid", None, "site", None, None),
        ],
        schema=["person", "group", "cost_centre", "dimension", "valid_from", "valid_to"],
        orient="row",
    )
)


def at(day: int, hour: int = 0, minute: int = 0) -> datetime:
    return datetime(2026, 3, day, hour, minute, tzinfo=UTC)


@st.composite
def lives(draw: st.DrawFn) -> pl.DataFrame:
    rows = []
    for _ in range(draw(st.integers(1, 12))):
        start = at(2) + timedelta(minutes=draw(st.integers(0, 3 * 1440)))
        length = draw(st.one_of(st.sampled_from([0, 60, 1440, 2880]), st.integers(0, 2000)))
        end = start + timedelta(minutes=length) if draw(st.integers(0, 9)) else None
        rows.append(
            (
                draw(st.sampled_from(["ana", "bo", "ci"])),
                draw(st.sampled_from(["pc1", "pc2"])),
                draw(st.sampled_from(["ACD", "LT", "VRD", "NEW"])),
                draw(st.sampled_from(["mad", "chi"])),
                draw(st.sampled_from(["bridge", "tunnel", None])),
                start,
                end,
            )
        )
    return pl.DataFrame(rows, schema=SCHEMA, orient="row")


def taken(ledger: tf.Ledger) -> tuple[Decimal, Decimal]:
    """Tokens and cost of what was used, entry by entry."""
    prices = {pool.id: pool.unit_price for pool in ledger.contract.pools} | {None: ledger.contract.overage_price}
    tokens, cost = Decimal(0), Decimal(0)
    kinds = ledger.entries.select(pl.col("kind", "pool").cast(pl.String), "tokens")
    for kind, pool, amount in kinds.iter_rows():
        if kind in ("charge", "overage", "manual_consumption"):
            tokens -= amount
            cost -= amount * (prices[pool] or 0)
    return tokens, cost


def settled(sessions: pl.DataFrame, rule: tf.Rule) -> tuple[pl.DataFrame, tf.Ledger]:
    charges = tf.charge(sessions, rule=rule, rates=RATES, servers=SERVERS, problems=tf.Problems())
    return charges, CONTRACT.settle(charges, problems=tf.Problems())


BYS = [
    ["user"],
    ["project"],
    ["group", "cost_centre"],
    ["site"],
    ["product", "month"],
    ["server", "pool"],
    ["user", "project", "group", "site_cost_centre"],
]


@given(
    sessions=lives(),
    rule=st.sampled_from(RULES),
    by=st.sampled_from(BYS),
    split=st.sampled_from(["window_start", "minutes"]),
)
@settings(max_examples=200)
def test_the_lines_add_up_to_the_ledger(sessions: pl.DataFrame, rule: tf.Rule, by: list[str], split: Any) -> None:
    _, ledger = settled(sessions, rule)
    lines = tf.chargeback(ledger, by=by, sessions=sessions, groups=GROUPS, split=split, problems=tf.Problems())
    assert lines.columns[: len(by)] == by
    assert lines.select(by).n_unique() == lines.height
    tokens, cost = taken(ledger)
    assert (exact(lines["tokens"]), exact(lines["cost"])) == (tokens, cost)
    assert exact(lines["tokens_without_price"]) == 0


def exact(values: pl.Series) -> Decimal:
    return sum(values.to_list(), Decimal(0))


def share(amount: int, weights: list[int]) -> list[int]:
    """By largest remainder, of equals the first."""
    total = sum(weights)
    if total == 0:
        weights, total = [1] * len(weights), len(weights)
    parts = [amount * weight // total for weight in weights]
    order = sorted(range(len(weights)), key=lambda place: (-(amount * weights[place] % total), place))
    for place in order[: amount - sum(parts)]:
        parts[place] += 1
    return parts


def pays(user: str, host: str, product: str, rule: tf.Rule) -> str:
    return host if product in rule.machine_metered else user


@given(sessions=lives(), rule=st.sampled_from(RULES))
@settings(max_examples=200)
def test_minutes_are_split_as_a_plain_count_splits_them(sessions: pl.DataFrame, rule: tf.Rule) -> None:
    charges, ledger = settled(sessions, rule)
    lines = tf.chargeback(ledger, by=["user", "project"], sessions=sessions, rule=rule, split="minutes")
    last = max([*sessions["start"], *sessions["end"].drop_nulls(), *charges["charged_at"]])
    names = [sessions.row(row)[:3] for row in charges["session"]]
    payers = [pays(user, host, product, rule) for user, host, product in names]
    windows = charges.select(pl.col("product", "server").cast(pl.String), "charged_at", "window_end").rows()
    expected: defaultdict[Any, int] = defaultdict(int)
    for kind, tokens, row in ledger.entries.select(pl.col("kind").cast(pl.String), "tokens", "charge").iter_rows():
        amount = int(-tokens * 10_000)
        if kind not in ("charge", "overage", "manual_consumption"):
            continue
        if row is None:
            expected[None, None] += amount
            continue
        payer, (product, server, begin, end) = payers[row], windows[row]
        used = []
        for user, host, of, where, project, start, ended in sessions.iter_rows():
            if (pays(user, host, of, rule), of) != (payer, product) or (rule.scope == "server" and where != server):
                continue
            since, until = max(start, begin), min(ended or last, end)
            if since < until or (start == (ended or last) and begin <= start < end):
                used.append(((user, project), (until - since) // timedelta(microseconds=1)))
        for (who, _), part in zip(used, share(amount, [weight for _, weight in used]), strict=True):
            expected[who] += part
    found = {
        (user, project): int(tokens * 10_000)
        for user, project, tokens in lines.select("user", "project", "tokens").iter_rows()
    }
    assert {who: amount for who, amount in found.items() if amount} == {
        who: amount for who, amount in expected.items() if amount
    }


def test_minutes_count_once_where_two_pools_paid() -> None:
    sessions = pl.DataFrame([("ana", "pc1", "VRD", "mad", "x", at(2, 8), at(2, 9))], schema=SCHEMA, orient="row")
    packs = [tf.Pack(id=str(tokens), tokens=tokens, purchased="2026-01-01", unit_price=3) for tokens in (5, 50)]
    charges = tf.charge(sessions, rule=tf.FLEX, rates=RATES)
    ledger = tf.Contract(number="1", packs=packs).settle(charges)
    assert ledger.entries.filter(pl.col("charge") == 0).height == 2
    lines = tf.chargeback(ledger, by="user", sessions=sessions, split="minutes")
    assert lines.rows() == [("ana", 1, 60, Decimal("12.5"), Decimal("37.5"), Decimal(0))]


def test_what_has_no_price_is_counted_and_not_in_the_cost() -> None:
    sessions = pl.DataFrame([("ana", "pc1", "ACD", "mad", "x", at(2, 8), at(2, 9))], schema=SCHEMA, orient="row")
    charges = tf.charge(sessions, rule=tf.FLEX, rates=RATES)
    contract = tf.Contract(number="1", packs=[tf.Pack(id="a", tokens=5, purchased="2026-01-01", unit_price=3)])
    lines = tf.chargeback(contract.settle(charges), by="user")
    assert lines.select("tokens", "cost", "tokens_without_price").rows() == [(Decimal(7), Decimal(15), Decimal(2))]


@pytest.mark.parametrize(
    ("more", "error", "words"),
    [
        ({"by": []}, tf.ArgumentError, "one or several names, each once"),
        ({"by": ["user", "user"]}, tf.ArgumentError, "one or several names, each once"),
        ({"by": 3}, tf.ArgumentError, "one or several names"),
        ({"by": "cost_centre"}, tf.ArgumentError, "nothing is called 'cost_centre'; there are user, .* groups= gives"),
        ({"by": "project"}, tf.ArgumentError, "sessions= gives columns of theirs"),
        ({"by": "user", "split": "hours"}, tf.ArgumentError, "split is 'hours'"),
        ({"by": "user", "split": "minutes"}, tf.ArgumentError, "needs sessions="),
        ({"by": "user", "groups": {"ana": "roads"}}, tf.ArgumentTypeError, "groups have to be a tokenflex.Groups"),
        ({"by": "user", "rule": "flex"}, tf.ArgumentTypeError, "rule has to be a tokenflex.Rule"),
        (
            {"by": "user", "split": "minutes", "sessions": pl.DataFrame(schema=SCHEMA)},
            tf.ArgumentError,
            "a charge is of session 0, but sessions has 0 rows",
        ),
        (
            {"by": "user", "split": "minutes", "sessions": pl.DataFrame({"user": ["ana"]})},
            tf.MissingColumnError,
            "product",
        ),
    ],
)
def test_bad_calls_say_what_to_do(more: dict[str, Any], error: type[Exception], words: str) -> None:
    sessions = pl.DataFrame([("ana", "pc1", "ACD", "mad", "x", at(2, 8), at(2, 9))], schema=SCHEMA, orient="row")
    _, ledger = settled(sessions, tf.FLEX)
    with pytest.raises(error, match=words):
        tf.chargeback(ledger, **more)
    with pytest.raises(tf.ArgumentTypeError, match=r"ledger has to be a tokenflex\.Ledger"):
        tf.chargeback(ledger.entries, by="user")  # type: ignore[arg-type]  # no ledger


def test_charges_that_do_not_say_their_session_are_refused_with_sessions() -> None:
    sessions = pl.DataFrame([("ana", "pc1", "ACD", "mad", "x", at(2, 8), at(2, 9))], schema=SCHEMA, orient="row")
    charges, _ = settled(sessions, tf.FLEX)
    ledger = CONTRACT.settle(charges.drop("session"), problems=tf.Problems())
    with pytest.raises(tf.MissingColumnError, match="of which session is each"):
        tf.chargeback(ledger, by="user", sessions=sessions)
    assert tf.chargeback(ledger, by="user")["user"].to_list() == ["ana", None]


def test_a_correction_is_of_the_group_of_its_charge_and_of_the_month_of_its_booking() -> None:
    """Ana changes her group on 3 March; her charge of the 2nd comes to light in April."""
    early, late = (
        pl.DataFrame([("ana", "pc1", "ACD", "mad", "x", at(*start), at(*end))], schema=SCHEMA, orient="row")
        for start, end in (((4, 8), (4, 9)), ((2, 8), (2, 9)))
    )
    end = datetime(2026, 4, 15, tzinfo=UTC)
    first, whole = (tf.charge(each, rule=tf.FLEX, rates=RATES) for each in (early, pl.concat([late, early])))
    ledger = CONTRACT.settle(first, as_of=end).close(date(2026, 3, 31)).update(whole)
    lines = tf.chargeback(ledger, by=["month", "group"], groups=GROUPS, problems=tf.Problems())
    billed = {
        (month.month, group): tokens for month, group, tokens in lines.select("month", "group", "tokens").iter_rows()
    }
    assert billed == {(3, "roads"): 7, (3, None): Decimal("1.5"), (4, "bridges"): 7}


def test_who_has_no_group_is_told_of_and_a_line() -> None:
    sessions = pl.DataFrame([("zoe", "pc1", "ACD", "mad", "x", at(2, 8), at(2, 9))], schema=SCHEMA, orient="row")
    _, ledger = settled(sessions, tf.FLEX)
    problems = tf.Problems()
    lines = tf.chargeback(ledger, by="group", groups=GROUPS, problems=problems)
    assert lines["group"].to_list() == [None]
    assert lines["tokens"].to_list() == [Decimal("8.5")]
    assert problems.frame["code"].to_list() == ["no_group"]
