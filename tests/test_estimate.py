"""`estimate`: by hand, and each of its numbers against charging everything anew."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from itertools import pairwise
from statistics import median
from typing import TYPE_CHECKING, Any, TypeAlias

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tokenflex as tf
from reference import end_of_date, local_date
from strategies import Case, cases, frame, rates_frame, rule_of, whole_cases

if TYPE_CHECKING:
    from collections.abc import Callable

FEW = 8
"""Examples of tests that charge dozens of times in each; the heavy run has many more."""
BY_DAY = tf.Rule(window="day", zone="utc")
ROLLING = tf.Rule(window="rolling")
RATES = tf.Rates({"ACD": 7, "RVT": 10})
ZERO = Decimal(0)


def at(day: int, hour: int, minute: int = 0) -> datetime:
    return datetime(2026, 7, day, hour, minute, tzinfo=UTC)


def table(*rows: tuple[Any, ...]) -> pl.DataFrame:
    """Sessions of user, product, start, end."""
    return pl.DataFrame(
        list(rows),
        schema={
            "user": pl.String,
            "product": pl.String,
            "start": pl.Datetime("us", "UTC"),
            "end": pl.Datetime("us", "UTC"),
        },
        orient="row",
    )


def exact(*values: Decimal | int | str) -> tuple[Decimal, ...]:
    return tuple(map(Decimal, values))


def row_of(found: tf.Estimate, source: str, item: str | None = None) -> dict[str, Any]:
    rows = found.contributions.filter(pl.col("source") == source, pl.col("item").eq_missing(pl.lit(item)))
    return rows.row(0, named=True)


def range_of(found: tf.Estimate, source: str, item: str | None = None) -> tuple[Decimal, ...]:
    row = row_of(found, source, item)
    assert row["base"] == found.base
    return row["low"], row["high"]


# By hand.


def test_nothing_uncertain_is_the_charge() -> None:
    sessions = table(("ana", "ACD", at(13, 8), at(13, 17)), ("ben", "RVT", at(13, 8), at(13, 17)))
    found = tf.estimate(sessions, rule=BY_DAY, rates=RATES, rules=[], token_price=Decimal("2.85"))
    assert (found.low, found.base, found.high) == exact(17, 17, 17)
    assert found.cost == (Decimal("48.45"), Decimal("48.45"), Decimal("48.45"))
    assert found.contributions.is_empty()
    assert found.products.rows() == [("ACD", 7, 7, 7), ("RVT", 10, 10, 10)]
    assert (found.first, found.last) == (date(2026, 7, 13), date(2026, 7, 13))


def test_another_rule_may_hold() -> None:
    sessions = table(("ana", "ACD", at(13, 20), at(14, 2)), ("ben", "ACD", at(13, 8), at(13, 8, 3)))
    rule = replace(BY_DAY, min_duration=timedelta(minutes=5))
    found = tf.estimate(sessions, rule=rule, rates=RATES)
    assert found.base == 14
    assert range_of(found, "rule", "rolling 24 h, renewed, from 5 min, whole contract") == exact(7, 14)
    assert range_of(found, "rule", "day of UTC, renewed, whole contract") == exact(14, 21)
    assert (found.low, found.high) == exact(7, 21)


def test_of_a_rule_of_windows_the_days_are_the_servers_if_there_are_any() -> None:
    sessions = table(("ana", "ACD", at(13, 20), at(14, 2))).with_columns(server=pl.lit("mad-lic-01"))
    found = tf.estimate(sessions, rule=ROLLING, rates=RATES, servers={"mad-lic-01": "Europe/Madrid"})
    assert range_of(found, "rule", "day of the server, renewed, whole contract") == exact(7, 14)
    found = tf.estimate(sessions, rule=ROLLING, rates=RATES)
    assert range_of(found, "rule", "day of UTC, renewed, whole contract") == exact(7, 14)


def test_two_names_may_be_one_person() -> None:
    sessions = table(
        ("aruiz", "ACD", at(13, 8), at(13, 9)),
        ("ana.ruiz", "ACD", at(13, 10), at(13, 12)),
        ("ben", "ACD", at(13, 8), at(13, 9)),
    ).with_columns(host=pl.Series(["pc1", "pc1", "pc2"]))
    found = tf.estimate(sessions, rule=BY_DAY, rates=RATES, rules=[], identity=tf.Identity())
    assert range_of(found, "identity", "ana.ruiz = aruiz") == exact(14, 21)
    assert (found.low, found.base, found.high) == exact(14, 21, 21)
    assert row_of(found, "identity", "ana.ruiz = aruiz")["count"] == 2
    pairs = pl.DataFrame({"spelling_a": ["ben", "ben", "zoe"], "spelling_b": ["aruiz", "ana.ruiz", "ben"]})
    problems = tf.Problems()
    found = tf.estimate(sessions, rule=BY_DAY, rates=RATES, rules=[], suggestions=pairs, problems=problems)
    # Pairs that share a name are one person together; who is not there is no pair.
    assert problems.frame["code"].to_list() == ["no_such_user"]
    assert found.contributions["item"].to_list() == ["aruiz = ben", "ana.ruiz = ben"]
    assert (found.low, found.base) == exact(7, 21)


def test_identity_brings_the_users_of_the_base_to_persons() -> None:
    sessions = table(("ANA", "ACD", at(13, 8), at(13, 9)), ("ana", "ACD", at(13, 10), at(13, 12)))
    sessions = sessions.with_columns(host=pl.lit("pc1"))
    assert tf.estimate(sessions, rule=BY_DAY, rates=RATES, rules=[]).base == 14
    assert tf.estimate(sessions, rule=BY_DAY, rates=RATES, rules=[], identity=tf.Identity()).base == 7


def test_families_can_make_one_person_dearer_than_two() -> None:
    rates = tf.Rates([tf.Rate("LT", Decimal(6), None, "draw"), tf.Rate("PRO", Decimal(8), None, "draw")])
    sessions = table(("ana", "LT", at(13, 8), at(13, 9)), ("ben", "PRO", at(14, 7), at(14, 9)))
    pairs = pl.DataFrame({"spelling_a": ["ana"], "spelling_b": ["ben"]})
    rule = replace(ROLLING, incremental=True)
    found = tf.estimate(sessions, rule=rule, rates=rates, rules=[], suggestions=pairs)
    # As one: 6 at 08:00, 2 more for PRO within that window, 8 at its end.
    assert (found.low, found.base, found.high) == exact(14, 14, 16)


def test_a_merged_name_moves_the_day_of_its_host() -> None:
    """The host pays for both, on the date of whoever sits there: 13 July in St. John's, 14 July in Singapore."""
    sessions = table(("Ana", "RVT", at(13, 8), at(13, 9)), ("ana", "RVT", at(13, 20), at(13, 21)))
    rule = tf.Rule(window="day", zone="user", machine_metered=frozenset({"RVT"}))
    found = tf.estimate(
        sessions.with_columns(host=pl.lit("pc1")),
        rule=rule,
        rates=RATES,
        rules=[],
        users={"Ana": "America/St_Johns", "ana": "Asia/Singapore"},
        suggestions=pl.DataFrame({"spelling_a": ["Ana"], "spelling_b": ["ana"]}),
    )
    assert range_of(found, "identity", "Ana = ana") == exact(10, 20)


@pytest.mark.parametrize(("taken", "base"), [("as_of", 28), ("day", 14), ("launch", 14)])
def test_open_sessions_last_a_moment_a_day_or_to_the_end(taken: Any, base: int) -> None:
    sessions = table(("ana", "ACD", at(13, 20), None), ("ben", "ACD", at(15, 8), at(15, 9)))
    found = tf.estimate(sessions, rule=BY_DAY, rates=RATES, rules=[], open_sessions=taken)
    assert found.base == base
    assert (found.low, found.high) == exact(14, 28)
    row = row_of(found, "open_sessions")
    assert (row["count"], row["of"]) == (1, "sessions")
    assert row["how"] == "in use as they stand: 28, to the end of the first day at most: 14, for a moment: 14"


def test_a_moment_is_too_short_for_a_least_duration_and_a_day_is_not() -> None:
    sessions = table(("ana", "ACD", at(13, 20), at(15, 2)), ("ben", "RVT", at(13, 8), at(13, 9))).with_columns(
        end_reason=pl.Series(["crash", "checkin"]),
        is_open=pl.lit(False),  # noqa: FBT003 - a literal column
    )
    rule = replace(BY_DAY, min_duration=timedelta(minutes=5))
    found = tf.estimate(sessions, rule=rule, rates=RATES, rules=[])
    assert range_of(found, "ended_by_server") == exact(10, 31)
    how = "in use as they stand: 31, to the end of the first day at most: 17, for a moment: 10"
    assert row_of(found, "ended_by_server")["how"] == how


def days_of_use() -> tuple[pl.DataFrame, pl.DataFrame]:
    """Three Mondays with two, none (no lines) and one charge of ACD, and a Tuesday without lines."""
    sessions = table(
        ("ana", "ACD", at(6, 8), at(6, 9)),
        ("ben", "ACD", at(6, 8), at(6, 9)),
        ("ana", "ACD", at(20, 8), at(20, 9)),
    ).with_columns(server=pl.lit("lic"))
    missing = [[date(2026, 7, 13), date(2026, 7, 14)]]
    return sessions, pl.DataFrame({"server": ["lic"], "days_without_lines": missing})


def test_a_day_without_lines_costs_the_mean_of_its_weekday_only_where_asked() -> None:
    sessions, coverage = days_of_use()
    found = tf.estimate(sessions, rule=BY_DAY, rates=RATES, rules=[], coverage=coverage)
    # The mean of 14 and 7. Another Tuesday, with lines and no use, is the 7th.
    assert (found.low, found.base, found.high) == exact(21, 21, Decimal("31.5"))
    assert found.missing_days == 2
    assert found.filled == 0
    assert range_of(found, "missing_days", "lic") == exact(21, Decimal("31.5"))
    scaled = tf.estimate(sessions, rule=BY_DAY, rates=RATES, rules=[], coverage=coverage, scale_missing_days=True)
    assert (scaled.low, scaled.base, scaled.high) == exact(21, Decimal("31.5"), Decimal("31.5"))
    assert scaled.filled == Decimal("10.5")
    assert "2 days of servers without lines, for which the base has 10.5 tokens" in repr(scaled)


def test_a_day_with_no_like_is_a_problem_and_is_not_filled() -> None:
    sessions, coverage = days_of_use()
    problems = tf.Problems()
    alone = tf.estimate(
        sessions.head(2),
        rule=BY_DAY,
        rates=RATES,
        rules=[],
        coverage=coverage,
        scale_missing_days=True,
        problems=problems,
    )
    assert problems.frame["code"].to_list() == ["no_like_day"]
    assert "1 days without lines, from 2026-07-14 on" in problems.frame["message"][0]
    assert alone.base == 28


def test_a_product_without_a_rate_costs_nothing_the_median_or_the_dearest() -> None:
    sessions = table(
        ("ana", "XYZ", at(13, 8), at(13, 9)), ("ben", "XYZ", at(13, 8), at(13, 9)), ("ben", "ACD", at(13, 8), at(13, 9))
    )
    problems = tf.Problems()
    rates = tf.Rates({"ACD": 7, "RVT": 10, "LT": 4})
    found = tf.estimate(sessions, rule=BY_DAY, rates=rates, rules=[], problems=problems)
    assert problems.frame["code"].to_list() == ["no_rate"]
    assert (found.low, found.base, found.high) == exact(7, 21, 27)
    row = row_of(found, "unknown_products", "XYZ")
    assert (row["count"], row["of"], row["how"]) == (2, "charges", "a charge costs 0, 7 (base) or 10")


def test_a_product_with_a_later_rate_costs_that_before() -> None:
    sessions = table(("ana", "RVT", at(13, 8), at(13, 9)), ("ben", "ACD", at(13, 8), at(13, 9)))
    rates = tf.Rates([tf.Rate("ACD", Decimal(7)), tf.Rate("RVT", Decimal(3), datetime(2026, 8, 1, tzinfo=UTC))])
    found = tf.estimate(sessions, rule=BY_DAY, rates=rates, rules=[], problems=tf.Problems())
    assert (found.low, found.base, found.high) == exact(7, 10, 14)


def test_the_whole_is_charged_together_and_not_added_up() -> None:
    """The open session of one name ends before the next day under `launch`, and then merging saves less."""
    sessions = table(
        ("ana", "ACD", at(13, 8), None), ("aruiz", "ACD", at(14, 8), at(14, 9)), ("ben", "RVT", at(14, 9), at(14, 10))
    )
    pairs = pl.DataFrame({"spelling_a": ["ana"], "spelling_b": ["aruiz"]})
    found = tf.estimate(sessions, rule=BY_DAY, rates=RATES, rules=[], suggestions=pairs)
    assert found.base == 31
    assert range_of(found, "identity", "ana = aruiz")[0] == 24
    assert range_of(found, "open_sessions")[0] == 24
    # Added up they would save 14.
    assert found.low == 24


# Calls that make no sense.


def test_what_makes_no_sense_is_refused() -> None:
    sessions = table(("ana", "ACD", at(13, 8), at(13, 9)))
    for arguments, error, words in [
        ({"rates": tf.Rates({})}, tf.ArgumentError, "rates are empty"),
        ({"open_sessions": "never"}, tf.ArgumentError, "one of as_of, day, launch"),
        ({"token_price": 2.85}, tf.FieldsError, "floats are not exact"),
        ({"token_price": -1}, tf.FieldsError, "0 or more"),
        ({"identity": {"a": "b"}}, tf.ArgumentTypeError, "tokenflex.Identity"),
        ({"rule": "flex"}, tf.ArgumentTypeError, "tokenflex.Rule"),
        ({"rates": {"ACD": 7}}, tf.ArgumentTypeError, "tokenflex.Rates"),
        ({"rules": BY_DAY}, tf.ArgumentTypeError, "several"),
        ({"suggestions": pl.DataFrame({"spelling_a": ["ana"]})}, tf.MissingColumnError, "spelling_b"),
        ({"suggestions": pl.DataFrame({"spelling_a": [1], "spelling_b": [2]})}, tf.ColumnTypeError, "text"),
        ({"coverage": pl.DataFrame({"server": ["a"]})}, tf.MissingColumnError, "days_without_lines"),
        (
            {"coverage": pl.DataFrame({"server": ["a"], "days_without_lines": [3]})},
            tf.ColumnTypeError,
            "lists of dates",
        ),
        ({"rule": tf.TOKEN_FLEX}, tf.ZoneError, "servers"),
    ]:
        given: dict[str, Any] = {"rule": BY_DAY, "rates": RATES, **arguments}  # type: ignore[dict-item]  # of any type
        with pytest.raises(error, match=words):
            tf.estimate(sessions, **given)


# Each number is what charging everything anew gives.


def charged(case: Case, sessions: pl.DataFrame, rule: tf.Rule, as_of: datetime | None) -> pl.DataFrame:
    given = case.for_verb() | {"rule": rule, "as_of": as_of, "activity": None}
    return tf.charge(sessions, **given)


def likely(case: Case) -> dict[str, Decimal]:
    """What a charge of a product costs where it has no rate."""
    dated = sorted(case.rates, key=lambda rate: rate.effective_from or datetime(1970, 1, 1, tzinfo=UTC))
    last = {rate.product: rate.tokens for rate in dated}
    first = {rate.product: rate.tokens for rate in reversed(dated)}
    middle = median(last.values()).quantize(Decimal("0.0001"))
    return {product: first.get(product, middle) for product in {s.product for s in case.sessions if s.product}}


def tokens(charges: pl.DataFrame, unknown: dict[str, Decimal]) -> Decimal:
    pairs = charges.select(pl.col("product").cast(pl.String), "tokens").iter_rows()
    return sum((unknown[product] if paid is None else paid for product, paid in pairs), ZERO)


def as_one(case: Case, sessions: pl.DataFrame) -> pl.DataFrame:
    """The sessions with Ana and ana as one person: the first of them whose zone is known."""
    names = ("Ana", "ana")
    person = next((name for name in names if name in case.users), names[0])
    return sessions.with_columns(user=pl.col("user").replace(dict.fromkeys(names, person)))


Drawn: TypeAlias = tuple[Case, pl.DataFrame, datetime | None]
"""A case, its sessions with reasons of their ends, and until when open ones last."""


@st.composite
def uncertain(draw: st.DrawFn) -> Drawn:
    """Cases with at least one rate and session, and reasons of ends."""
    case = draw(st.one_of(cases(min_size=1), whole_cases(reports=False)).filter(lambda c: c.rates and c.sessions))
    reasons = st.sampled_from(["checkin", "checkin", "stop", "crash", "restart", "inactive"])
    drawn = draw(st.lists(reasons, min_size=len(case.sessions), max_size=len(case.sessions)))
    sessions = frame(case.sessions).with_columns(end_reason=pl.Series(drawn))
    return case, sessions, case.as_of if case.as_of is not None else case.last()


def given_of(case: Case) -> dict[str, Any]:
    return {
        "rates": tf.Rates(rates_frame(case.rates)),
        "servers": case.servers,
        "users": case.users,
        "as_of": case.as_of,
        "problems": tf.Problems(),
    }


def check_base_is_what_charge_charges(drawn: Drawn, _data: st.DataObject) -> None:
    case, sessions, as_of = drawn
    found = tf.estimate(sessions, rule=rule_of(case.terms), rules=[], **given_of(case))
    assert found.base == tokens(charged(case, sessions, rule_of(case.terms), as_of), likely(case))
    assert found.low <= found.base <= found.high
    assert found.products["base"].sum() == found.base
    assert found.products["low"].sum() == found.low
    assert found.products["high"].sum() == found.high


def check_every_row_is_what_charging_everything_anew_gives(drawn: Drawn, _data: st.DataObject) -> None:
    case, sessions, as_of = drawn
    rule, unknown = rule_of(case.terms), likely(case)
    other = replace(ROLLING, incremental=True)
    pairs = pl.DataFrame({"spelling_a": ["Ana"], "spelling_b": ["ana"]})
    found = tf.estimate(sessions, rule=rule, rules=[other], suggestions=pairs, **given_of(case))
    base = charged(case, sessions, rule, as_of)

    def reach(*readings: pl.DataFrame) -> tuple[Decimal, Decimal]:
        costs = [tokens(reading, unknown) for reading in (base, *readings)]
        return min(costs), max(costs)

    expected: dict[tuple[str, str | None], tuple[Decimal, Decimal]] = {}
    if other != rule:
        expected["rule", "rolling 24 h, renewed, families, whole contract"] = reach(
            charged(case, sessions, other, as_of)
        )
    if {"Ana", "ana"} <= set(sessions["user"]):
        expected["identity", "Ana = ana"] = reach(charged(case, as_one(case, sessions), rule, as_of))
    for source, mask in masks(sessions).items():
        if mask.any():
            shorter = [cut(case, sessions, mask, as_of, by_day=by_day) for by_day in (False, True)]
            expected[source, None] = reach(*(charged(case, each, rule, as_of) for each in shorter))
    dearest = max(rate.tokens for rate in case.rates)
    for product in base.filter(pl.col("tokens").is_null())["product"].cast(pl.String).unique():
        costs = [tokens(base, unknown | {product: price}) for price in (ZERO, max(dearest, unknown[product]))]
        expected["unknown_products", product] = costs[0], costs[1]
    rows = found.contributions.select("source", "item", "low", "high").rows()
    assert {(source, item): (low, high) for source, item, low, high in rows} == expected
    assert all(found.low <= low <= found.base <= high <= found.high for _, _, low, high in rows)
    widths = [high - low for _, _, low, high in rows]
    assert all(wider >= narrower for wider, narrower in pairwise(widths))


def masks(sessions: pl.DataFrame) -> dict[str, pl.Series]:
    open_ones = sessions["end"].is_null()
    return {
        "open_sessions": open_ones,
        "ended_by_server": sessions["end_reason"].is_in(["stop", "crash", "restart"]) & ~open_ones,
    }


def cut(case: Case, sessions: pl.DataFrame, mask: pl.Series, as_of: datetime | None, *, by_day: bool) -> pl.DataFrame:
    """These sessions with their start as their end, or with the end of their first day if that is earlier."""
    ends = []
    for row, is_cut in zip(sessions.iter_rows(named=True), mask, strict=True):
        end = row["end"]
        if is_cut and not by_day:
            end = row["start"]
        elif is_cut and (zone := zone_of(case, row)) is not None:
            logged = end if end is not None else max(as_of or row["start"], row["start"])
            end = min(logged, day_end(zone, row["start"], case))
        ends.append(end)
    return sessions.with_columns(pl.Series("end", ends, dtype=pl.Datetime("us", "UTC")))


def zone_of(case: Case, row: dict[str, Any]) -> str | None:
    """Whose day it is; by the server's where the rule has windows."""
    zone = case.terms.zone if case.terms.window == "day" else "server"
    if zone == "server":
        return case.servers.get(row["server"])
    if zone == "user":
        return case.users.get(row["user"])
    return "UTC" if zone == "utc" else zone


def day_end(zone: str, start: datetime, case: Case) -> datetime:
    """The first instant after the local date, of all times that it comes back."""
    day_start = case.terms.day_start if case.terms.window == "day" else timedelta(0)
    return end_of_date(zone, local_date(zone, start, day_start), day_start)


def check_days_without_lines_are_what_a_plain_count_fills(drawn: Drawn, data: st.DataObject) -> None:
    case, sessions, as_of = drawn
    rule, unknown = rule_of(case.terms), likely(case)
    charges = charged(case, sessions, rule, as_of)
    days = charges["usage_date"].unique().sort().to_list()
    around = sorted({day + timedelta(days=more) for day in days for more in (-7, 0, 1, 7)})
    # Days before the first that data may have are none.
    around = [day for day in around if day >= date(1970, 1, 1)]
    lost = data.draw(st.lists(st.sampled_from(around), unique=True, max_size=4)) if around else []
    server = data.draw(st.sampled_from(sorted(case.servers)))
    coverage = pl.DataFrame(
        {"server": [server], "days_without_lines": [lost]}, schema_overrides={"days_without_lines": pl.List(pl.Date)}
    )
    found = tf.estimate(sessions, rule=rule, rules=[], coverage=coverage, scale_missing_days=True, **given_of(case))
    assert found.filled == filled(charges, server, set(lost), unknown)
    assert found.base == tokens(charges, unknown) + found.filled
    unscaled = tf.estimate(sessions, rule=rule, rules=[], coverage=coverage, **given_of(case))
    assert unscaled.base == tokens(charges, unknown)
    fewer = coverage.with_columns(days_without_lines=pl.lit(pl.Series([lost[:-1]], dtype=pl.List(pl.Date))))
    assert tf.estimate(sessions, rule=rule, rules=[], coverage=fewer, **given_of(case)).missing_days == max(
        0, len(lost) - 1
    )


def filled(charges: pl.DataFrame, server: str, lost: set[date], unknown: dict[str, Decimal]) -> Decimal:
    """What the lost days would have cost, by a loop over products and days."""
    own = charges.filter(pl.col("server").cast(pl.String) == server)
    if own.is_empty():
        return ZERO
    by_day: defaultdict[tuple[str, date], Decimal] = defaultdict(Decimal)
    for product, day, paid in own.select(pl.col("product").cast(pl.String), "usage_date", "tokens").iter_rows():
        by_day[product, day] += unknown[product] if paid is None else paid
    first, last = own["usage_date"].min(), own["usage_date"].max()
    assert isinstance(first, date)
    assert isinstance(last, date)
    known = {first + timedelta(days=place) for place in range((last - first).days + 1)} - lost
    total = ZERO
    for product in {product for product, _ in by_day}:
        for day in lost:
            like = [other for other in known if other.weekday() == day.weekday()]
            if like and any((product, other) in by_day for other in like):
                mean = sum((by_day.get((product, other), ZERO) for other in like), ZERO) / len(like)
                mean = mean.quantize(Decimal("0.0001"), rounding=ROUND_HALF_UP)
                total += max(ZERO, mean - by_day.get((product, day), ZERO))
    return total


def check_whole_is_charged_under_all_readings_at_once(drawn: Drawn, _data: st.DataObject) -> None:
    case, sessions, as_of = drawn
    rule = rule_of(case.terms)
    other = replace(ROLLING, incremental=True)
    pairs = pl.DataFrame({"spelling_a": ["Ana"], "spelling_b": ["ana"]})
    found = tf.estimate(sessions, rule=rule, rules=[other], suggestions=pairs, **given_of(case))
    rows = {(row["source"], row["item"]): row for row in found.contributions.iter_rows(named=True)}
    prices = likely(case)
    dearest = max([*prices.values(), *(rate.tokens for rate in case.rates)])
    for side, price in (("low", dict.fromkeys(prices, ZERO)), ("high", {p: max(dearest, prices[p]) for p in prices})):
        changed = {key: row for key, row in rows.items() if row[side] != row["base"]}
        chosen, whose = sessions, rule
        if any(source == "rule" for source, _ in changed):
            whose = other
        for source, mask in masks(sessions).items():
            if (source, None) in changed:
                shorter = [cut(case, sessions, mask, as_of, by_day=by_day) for by_day in (True, False)]
                best = [
                    s for s in shorter if tokens(charged(case, s, rule, as_of), prices) == changed[source, None][side]
                ]
                ends = best[0]["end"]
                chosen = chosen.with_columns(end=pl.when(mask).then(ends).otherwise("end"))
        if any(source == "identity" for source, _ in changed):
            chosen = as_one(case, chosen)
        together = tokens(charged(case, chosen, whose, as_of), price)
        alone = [row[side] for row in rows.values()]
        reach = (min if side == "low" else max)([found.base, together, *alone])
        assert getattr(found, side) == reach


def totals_of(sessions: pl.DataFrame, case: Case, **other: Any) -> tuple[Decimal, Decimal, Decimal]:
    pairs = pl.DataFrame({"spelling_a": ["Ana"], "spelling_b": ["ana"]})
    given = given_of(case) | {"suggestions": pairs, "problems": tf.Problems()} | other
    found = tf.estimate(sessions, rule=rule_of(case.terms), **given)
    return found.low, found.base, found.high


def check_a_dearer_product_makes_nothing_cheaper(drawn: Drawn, data: st.DataObject) -> None:
    case, sessions, _ = drawn
    raised = data.draw(st.sampled_from(sorted({rate.product for rate in case.rates})))
    more = Decimal(data.draw(st.sampled_from(["0.0001", "1", "3", "40"])))
    dearer = [
        rate._replace(tokens=rate.tokens + more) if rate.product == raised else rate
        for rate in tf.Rates(rates_frame(case.rates)).rows
    ]
    before, after = totals_of(sessions, case), totals_of(sessions, case, rates=tf.Rates(dearer))
    assert all(least <= most for least, most in zip(before, after, strict=True))


def check_more_use_makes_nothing_cheaper(drawn: Drawn, data: st.DataObject) -> None:
    """Of rates without dates or families: else a session can bring the next charge to a day of a lower rate."""
    case, sessions, as_of = drawn
    last = {rate.product: rate.tokens for rate in case.rates}
    case = replace(case, terms=replace(case.terms, incremental=False))
    known = data.draw(st.lists(st.booleans(), min_size=sessions.height, max_size=sessions.height))
    fewer = sessions.filter(pl.Series(known, dtype=pl.Boolean))
    terms: dict[str, Any] = {"rates": tf.Rates(last), "as_of": as_of}
    before, after = totals_of(fewer, case, **terms), totals_of(sessions, case, **terms)
    assert before[1] <= after[1]
    assert before[2] <= after[2]


@settings(max_examples=2 * FEW)
@given(uncertain(), st.data())
def test_the_base_is_what_charge_charges(drawn: Drawn, data: st.DataObject) -> None:
    check_base_is_what_charge_charges(drawn, data)


@settings(max_examples=FEW)
@given(uncertain(), st.data())
def test_every_row_is_what_charging_everything_anew_gives(drawn: Drawn, data: st.DataObject) -> None:
    check_every_row_is_what_charging_everything_anew_gives(drawn, data)


@settings(max_examples=FEW)
@given(uncertain(), st.data())
def test_days_without_lines_are_what_a_plain_count_fills(drawn: Drawn, data: st.DataObject) -> None:
    check_days_without_lines_are_what_a_plain_count_fills(drawn, data)


@settings(max_examples=FEW)
@given(uncertain(), st.data())
def test_the_whole_is_charged_under_all_readings_at_once(drawn: Drawn, data: st.DataObject) -> None:
    check_whole_is_charged_under_all_readings_at_once(drawn, data)


@settings(max_examples=FEW)
@given(uncertain(), st.data())
def test_a_dearer_product_makes_nothing_cheaper(drawn: Drawn, data: st.DataObject) -> None:
    check_a_dearer_product_makes_nothing_cheaper(drawn, data)


@settings(max_examples=FEW)
@given(uncertain(), st.data())
def test_more_use_makes_nothing_cheaper(drawn: Drawn, data: st.DataObject) -> None:
    check_more_use_makes_nothing_cheaper(drawn, data)


LAWS = [
    check_base_is_what_charge_charges,
    check_every_row_is_what_charging_everything_anew_gives,
    check_days_without_lines_are_what_a_plain_count_fills,
    check_whole_is_charged_under_all_readings_at_once,
    check_a_dearer_product_makes_nothing_cheaper,
    check_more_use_makes_nothing_cheaper,
]


@pytest.mark.heavy
@pytest.mark.parametrize("law", LAWS)
@settings(max_examples=1_000)
@given(uncertain(), st.data())
def test_the_laws_of_estimates_hold_in_many_more_cases(
    law: Callable[[Drawn, st.DataObject], None], drawn: Drawn, data: st.DataObject
) -> None:
    law(drawn, data)


def test_twice_the_rates_are_twice_the_tokens() -> None:
    sessions, coverage = days_of_use()
    more = table(("ana", "XYZ", at(7, 8), None), ("ben", "RVT", at(7, 23), at(8, 3))).with_columns(server=pl.lit("lic"))
    sessions = pl.concat([sessions, more])
    single, double = (
        tf.estimate(
            sessions,
            rule=BY_DAY,
            rates=tf.Rates({"ACD": 7 * factor, "RVT": 10 * factor}),
            coverage=coverage,
            scale_missing_days=True,
            problems=tf.Problems(),
        )
        for factor in (1, 2)
    )
    assert (2 * single.low, 2 * single.base, 2 * single.high) == (double.low, double.base, double.high)


def test_the_order_of_rows_changes_nothing() -> None:
    sessions, coverage = days_of_use()
    found = [
        tf.estimate(each, rule=BY_DAY, rates=RATES, coverage=coverage).contributions
        for each in (sessions, sessions.reverse())
    ]
    assert found[0].equals(found[1])
