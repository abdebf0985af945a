"""`compare_models`: break-even by hand, and the cheapest mix against every set of offers charged anew."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from itertools import chain, combinations
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tokenflex as tf

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

FEW = 10
"""Examples of tests that charge dozens of times in each; the heavy run has many more."""
MONDAY = datetime(2026, 7, 13, tzinfo=UTC)
BY_DAY = tf.Rule(window="day", zone="utc")
REVIT = tf.Subscription(name="Revit", products=["RVT"], price=2985)
AUTOCAD = tf.Subscription(name="AutoCAD", products=["ACD"], price=1400)
COLLECTION = tf.Subscription(name="building collection", products=["ACD", "RVT", "NAVMAN"], price=3500)
OFFERS = tf.PriceList(
    subscriptions=[REVIT, AUTOCAD, COLLECTION], maintenance=[tf.Maintenance(product="ACD", price=600, owned=1)]
)
RATES = tf.Rates({"ACD": 7, "RVT": 10, "NAVMAN": 9})


def use(user: str, product: str, days: int, *, first: int = 0, hours: int = 8, **more: Any) -> pl.DataFrame:
    """Eight hours a day, on so many days."""
    starts = [MONDAY + timedelta(days=first + day, hours=8) for day in range(days)]
    frame = pl.DataFrame(
        {"user": user, "product": product, "start": starts, "end": [start + timedelta(hours=hours) for start in starts]}
    )
    return frame.with_columns(**{name: pl.lit(value) for name, value in more.items()})


def compared(*uses: pl.DataFrame, **more: Any) -> tf.ModelComparison:
    given: dict[str, Any] = {"rule": BY_DAY, "rates": RATES, "token_price": 3, "price_list": OFFERS, "days": 365}
    return tf.compare_models(pl.concat(uses, how="diagonal"), **{**given, **more})


def user_of(found: tf.ModelComparison, user: str) -> dict[str, Any]:
    return found.users.row(by_predicate=pl.col("user") == user, named=True)


def model_of(found: tf.ModelComparison, model: str) -> dict[str, Any]:
    return found.models.row(by_predicate=pl.col("model") == model, named=True)


# By hand.


def test_the_break_even_of_revit_is_99_and_a_half_days() -> None:
    found = compared(use("ana", "RVT", 100), use("ben", "RVT", 99))
    revit = found.products.row(0, named=True)
    assert (revit["subscription"], revit["subscription_price"]) == ("Revit", 2985)
    assert revit["break_even_days"] == Decimal("99.5")
    assert (revit["users"], revit["users_above"]) == (2, 1)
    assert found.break_even.rows() == [
        ("ana", "RVT", 100, Decimal("99.5"), Decimal("0.5")),
        ("ben", "RVT", 99, Decimal("99.5"), Decimal("-0.5")),
    ]
    # 100 days cost 3,000 by tokens, 99 cost 2,970.
    alone = compared(use("ana", "RVT", 100), use("ben", "RVT", 99), hysteresis=0)
    assert user_of(alone, "ana")["best"] == ["Revit"]
    assert user_of(alone, "ben")["best"] == []


def test_days_are_scaled_to_a_year() -> None:
    found = compared(use("ana", "RVT", 25), days=73)
    assert found.days == 73
    assert found.break_even["days_used"].item() == 125
    assert user_of(found, "ana")["cost_tokens"] == 125 * 30
    assert model_of(found, "tokens")["tokens"] == 1250
    unsaid = compared(use("ana", "RVT", 25), days=None, problems=tf.Problems())
    # From 08:00 of the first to 16:00 of the last day.
    assert unsaid.days == 25


def test_a_short_time_is_told_of() -> None:
    problems = tf.Problems()
    compared(use("ana", "RVT", 3), days=None, problems=problems)
    assert problems.frame["code"].to_list() == ["short_period"]


def test_each_model_by_hand() -> None:
    uses = [use("ana", "RVT", 200), use("ana", "ACD", 100), use("ben", "ACD", 10), use("cem", "NAVMAN", 10, first=300)]
    found = compared(*uses)
    costs = dict(found.models.select("model", "cost").iter_rows())
    assert costs == {
        # ana and ben had ACD at once on ten days of over three hundred; the others have no maintenance.
        "licenses_peak": 2 * 600,
        "licenses_p95": 1 * 600,
        # ana the collection, ben AutoCAD, cem the collection, which alone has NAVMAN.
        "subscriptions": 3500 + 1400 + 3500,
        "tokens": 3 * (200 * 10 + 100 * 7 + 10 * 7 + 10 * 9),
        # ana the collection, the others tokens.
        "mix": 3500 + 3 * (10 * 7 + 10 * 9),
    }
    assert model_of(found, "licenses_peak")["licenses"] == 2
    assert model_of(found, "licenses_peak")["unpriced"] == ["NAVMAN", "RVT"]
    assert model_of(found, "subscriptions")["subscriptions"] == 3
    assert model_of(found, "mix")["subscriptions"] == 1
    assert model_of(found, "mix")["tokens"] == 160
    # The seat that is owned cannot be used while tokens are.
    assert found.models["frozen"].to_list() == [0, 0, 0, 1, 1]
    assert found.cheapest == "mix"
    assert repr(found).splitlines()[1] == "  licenses_peak: 1,200.00 USD, without NAVMAN, RVT"


def test_what_has_no_price_is_named_and_never_zero() -> None:
    found = compared(
        use("ana", "XYZ", 30),
        rates=RATES,
        price_list=tf.PriceList(subscriptions=[REVIT]),
        problems=(problems := tf.Problems()),
    )
    assert problems.frame["code"].to_list() == ["no_rate"]
    assert found.models["cost"].to_list() == [None, None, None, 0, 0]
    assert found.models["unpriced"].to_list() == [["XYZ"]] * 5
    assert found.cheapest is None
    covered = compared(
        use("ana", "XYZ", 30),
        price_list=tf.PriceList(subscriptions=[tf.Subscription(name="xyz", products=["XYZ"], price=1)]),
        current={"ana": ["xyz"]},
        problems=tf.Problems(),
    )
    assert covered.users["best"].to_list()[0] == []
    assert model_of(covered, "subscriptions")["cost"] == 1


def test_a_collection_can_be_worth_it_where_no_single_subscription_is() -> None:
    uses = [use("ana", "RVT", 90), use("ana", "ACD", 60), use("ana", "NAVMAN", 20)]
    row = user_of(compared(*uses), "ana")
    assert row["cost_tokens"] == 3 * (900 + 420 + 180)
    assert (row["cheapest"], row["cost_cheapest"]) == (["building collection"], 3500)


def test_of_a_family_the_rest_is_charged_anew() -> None:
    """LT beside PRO is free; with a subscription of PRO alone it is paid."""
    rates = tf.Rates([tf.Rate("LT", Decimal(6), None, "draw"), tf.Rate("PRO", Decimal(8), None, "draw")])
    prices = tf.PriceList(subscriptions=[tf.Subscription(name="pro", products=["PRO"], price=1000)])
    rule = replace(BY_DAY, incremental=True)
    uses = [use("ana", "LT", 100), use("ana", "PRO", 100)]
    found = compared(*uses, rates=rates, price_list=prices, rule=rule)
    row = user_of(found, "ana")
    assert row["cost_tokens"] == 3 * 800
    # 1,000 and 600 tokens of LT are dearer than 800 tokens of both.
    assert (row["cheapest"], row["cost_cheapest"]) == ([], 2400)
    apart = user_of(compared(*uses, rates=rates, price_list=prices, rule=BY_DAY), "ana")
    assert (apart["cheapest"], apart["cost_cheapest"]) == (["pro"], 1000 + 1800)


def test_what_is_metered_by_machine_stays_with_tokens() -> None:
    uses = [use("ana", "RVT", 200, host="pc1"), use("ana", "ACD", 300, host="pc1")]
    found = compared(*uses, rule=replace(BY_DAY, machine_metered=frozenset({"RVT"})))
    row = user_of(found, "ana")
    assert (row["products"], row["best"]) == (["ACD"], ["AutoCAD"])
    assert model_of(found, "mix")["cost"] == 1400 + 3 * 2000
    assert model_of(found, "mix")["tokens"] == 2000
    assert model_of(found, "tokens")["cost"] == 3 * (2000 + 2100)
    assert model_of(found, "subscriptions")["unpriced"] == ["RVT"]


def test_use_too_short_to_be_charged_needs_no_subscription() -> None:
    rule = replace(BY_DAY, min_duration=timedelta(hours=1))
    found = compared(use("ana", "RVT", 50), use("ana", "ACD", 1, hours=0), rule=rule)
    assert found.users["products"].to_list()[0] == ["RVT"]
    assert found.products["product"].to_list() == ["RVT"]


def test_the_last_rate_makes_the_break_even() -> None:
    rates = tf.Rates([tf.Rate("RVT", Decimal(9)), tf.Rate("RVT", Decimal(10), MONDAY + timedelta(days=5))])
    assert compared(use("ana", "RVT", 10), rates=rates).products["break_even_days"].item() == Decimal("99.5")
    assert compared(use("ana", "RVT", 5), rates=rates).products["rate"].item() == 9
    assert compared(use("ana", "RVT", 5), token_price=0).products["break_even_days"].item() is None


def test_who_has_a_subscription_and_uses_nothing_is_told_of() -> None:
    row = user_of(compared(use("ana", "RVT", 5), current={"zoe": ["Revit"]}), "zoe")
    assert (row["products"], row["cost_current"], row["best"], row["cost"]) == ([], 2985, [], 0)
    assert row["changes"]


# Concurrency.


def in_use(sessions: Sequence[tuple[str, int, int, int]]) -> dict[str, tuple[int, int]]:
    """Peak and 95th percentile of products whose times are seconds."""
    begin = datetime(2026, 3, 2, tzinfo=UTC)
    rows = [
        (product, begin + timedelta(seconds=start), begin + timedelta(seconds=end), count, "ana")
        for product, start, end, count in sessions
    ]
    frame = pl.DataFrame(rows, schema=["product", "start", "end", "licenses", "user"], orient="row")
    found = compared(frame, rates=tf.Rates({"A": 1, "B": 1}))
    return {product: (peak, p95) for product, peak, p95 in found.products.select("product", "peak", "p95").iter_rows()}


def test_a_license_is_held_until_before_the_end() -> None:
    assert in_use([("A", 0, 10, 1), ("A", 10, 20, 1), ("A", 5, 5, 7)]) == {"A": (1, 1)}


def staircase(sessions: Sequence[tuple[str, int, int, int]]) -> dict[str, tuple[int, int]]:
    """Peak and 95th percentile by looking at every second."""
    first, last = min(start for _, start, _, _ in sessions), max(end for _, _, end, _ in sessions)
    found = {}
    for product in {product for product, *_ in sessions}:
        levels = sorted(
            sum(count for name, start, end, count in sessions if name == product and start <= time < end)
            for time in range(first, last)
        )
        at_95 = next((level for place, level in enumerate(levels, 1) if place * 100 >= len(levels) * 95), 0)
        found[product] = levels[-1] if levels else 0, at_95
    return found


@settings(max_examples=40)
@given(
    st.lists(
        st.tuples(st.sampled_from("AB"), st.integers(0, 40), st.integers(0, 30), st.integers(0, 3)),
        min_size=1,
        max_size=12,
    )
)
def test_peak_and_percentile_are_those_of_a_plain_count(drawn: list[tuple[str, int, int, int]]) -> None:
    sessions = [(product, start, start + length, count) for product, start, length, count in drawn]
    assert in_use(sessions) == staircase(sessions)


# The cheapest mix, against all sets.


@st.composite
def firms(draw: st.DrawFn) -> dict[str, Any]:
    """Use of two people, offers, and rates with families."""
    products = ["A", "B", "C", "D"]
    starts = st.integers(0, 96).map(lambda hours: MONDAY + timedelta(hours=hours))
    session = st.tuples(st.sampled_from(["ana", "ben"]), st.sampled_from(products), starts, st.integers(1, 60))
    rows = draw(st.lists(session, min_size=1, max_size=8))
    sessions = pl.DataFrame(
        [(user, product, start, start + timedelta(hours=hours), "pc1") for user, product, start, hours in rows],
        schema={
            "user": pl.String,
            "product": pl.String,
            "start": tf.tables.TIME,
            "end": tf.tables.TIME,
            "host": pl.String,
        },
        orient="row",
    )
    rates = [
        tf.Rate(product, Decimal(draw(st.integers(0, 12))), None, draw(st.sampled_from(["f", "f", "g", None])))
        for product in products
    ]
    priced = st.tuples(st.sets(st.sampled_from(products), min_size=1), st.integers(0, 4000))
    offers = [
        tf.Subscription(name=f"s{place}", products=sorted(covered), price=price)
        for place, (covered, price) in enumerate(draw(st.lists(priced, max_size=4)))
    ]
    rule = replace(BY_DAY if draw(st.booleans()) else tf.Rule(window="rolling"), incremental=draw(st.booleans()))
    names = st.sets(st.sampled_from([offer.name for offer in offers])) if offers else st.just(set[str]())
    return {
        "sessions": sessions,
        "rule": replace(rule, machine_metered=frozenset(draw(st.sampled_from([[], [], [], ["A"]])))),
        "rates": tf.Rates(rates),
        "price_list": tf.PriceList(subscriptions=offers),
        "token_price": Decimal(draw(st.sampled_from(["0", "1", "2.85", "3"]))),
        "current": {user: sorted(draw(names)) for user in draw(st.sets(st.sampled_from(["ana", "ben", "zoe"])))},
        "hysteresis": Decimal(draw(st.sampled_from(["0", "0.1", "0.5"]))),
        "days": draw(st.sampled_from([7, 73, 365])),
    }


def sets(offers: Sequence[tf.Subscription]) -> Iterator[tuple[tf.Subscription, ...]]:
    return chain.from_iterable(combinations(offers, count) for count in range(len(offers) + 1))


def cost_of(firm: dict[str, Any], user: str, chosen: Sequence[tf.Subscription]) -> Fraction:
    """The offers of a year, and all else of the user charged by itself and scaled to a year."""
    covered = {product for offer in chosen for product in offer.products}
    own = firm["sessions"].filter(
        pl.col("user") == user, ~pl.col("product").is_in([*covered, *firm["rule"].machine_metered])
    )
    charges = tf.charge(own, rule=firm["rule"], rates=firm["rates"])
    tokens = sum(charges["tokens"].to_list(), Decimal(0))
    year = Fraction(tokens) * Fraction(firm["token_price"]) * 365 / firm["days"]
    return sum((Fraction(offer.price) for offer in chosen), year)


def money(cost: Fraction) -> Decimal:
    return Decimal(round(cost * 10**8)).scaleb(-8)


def check_cheapest_mix_is_the_cheapest_of_all_sets(firm: dict[str, Any]) -> None:
    found = tf.compare_models(**firm, problems=tf.Problems())
    offers = firm["price_list"].subscriptions
    named = {offer.name: offer for offer in offers}
    for row in found.users.iter_rows(named=True):
        user = row["user"]
        costs = {tuple(offer.name for offer in chosen): cost_of(firm, user, chosen) for chosen in sets(offers)}
        assert row["cost_tokens"] == money(costs[()])
        assert row["cost_cheapest"] == money(min(costs.values()))
        for names, cost in (("cheapest", "cost_cheapest"), ("current", "cost_current"), ("best", "cost")):
            assert row[cost] == money(cost_of(firm, user, [named[name] for name in row[names]]))
        assert row["current"] == firm["current"].get(user, [])
        # It changes exactly where the cheapest is cheaper by more than the hysteresis.
        current = cost_of(firm, user, [named[name] for name in row["current"]])
        is_cheaper = min(costs.values()) < current * (1 - Fraction(firm["hysteresis"]))
        assert row["best"] == (row["cheapest"] if is_cheaper else row["current"])
        assert row["changes"] == (set(row["best"]) != set(row["current"]))
    whole = tf.charge(firm["sessions"], rule=firm["rule"], rates=firm["rates"])
    tokens = Fraction(sum(whole["tokens"].to_list(), Decimal(0))) * 365 / firm["days"]
    assert model_of(found, "tokens")["tokens"] == Decimal(round(tokens * 10**4)).scaleb(-4)
    by_tokens = Fraction(model_of(found, "tokens")["cost"])
    assert abs(by_tokens - tokens * Fraction(firm["token_price"])) <= Fraction(3, 10**8)
    assert model_of(found, "mix")["cost"] - model_of(found, "tokens")["cost"] == sum(
        (row["cost"] - row["cost_tokens"] for row in found.users.iter_rows(named=True)), Decimal(0)
    )


def check_subscriptions_are_the_cheapest_cover(firm: dict[str, Any]) -> None:
    found = tf.compare_models(**firm, problems=tf.Problems())
    offers, metered = firm["price_list"].subscriptions, firm["rule"].machine_metered
    offered = {product for offer in offers for product in offer.products} - metered
    total = Decimal(0)
    for user in firm["sessions"]["user"].unique():
        used = set(firm["sessions"].filter(pl.col("user") == user)["product"]) & offered
        covers = [
            sum((offer.price for offer in chosen), Decimal(0))
            for chosen in sets(offers)
            if used <= {product for offer in chosen for product in offer.products}
        ]
        total += min(covers)
    row = model_of(found, "subscriptions")
    products = set(firm["sessions"]["product"])
    assert row["cost"] == (total if products & offered else None)
    assert row["unpriced"] == sorted(products - offered)


def check_hysteresis_keeps_users_from_changing_for_a_little(firm: dict[str, Any]) -> None:
    changed = []
    for hysteresis in ("0", "0.1", "0.5", "0.99"):
        found = tf.compare_models(**firm | {"hysteresis": hysteresis}, problems=tf.Problems())
        changed.append(set(found.users.filter("changes")["user"]))
        assert (found.users["cost"] <= found.users["cost_current"]).all()
        # Who has done what was advised is advised to keep it.
        then = dict(found.users.select("user", "best").iter_rows())
        again = tf.compare_models(**firm | {"hysteresis": hysteresis, "current": then}, problems=tf.Problems())
        assert not again.users["changes"].any()
        assert again.users["cost"].to_list() == found.users["cost"].to_list()
    assert changed[0] >= changed[1] >= changed[2] >= changed[3]
    without = tf.compare_models(**firm | {"hysteresis": 0}, problems=tf.Problems())
    assert without.users["cost"].to_list() == without.users["cost_cheapest"].to_list()


@settings(max_examples=FEW)
@given(firms())
def test_the_cheapest_mix_is_the_cheapest_of_all_sets(firm: dict[str, Any]) -> None:
    check_cheapest_mix_is_the_cheapest_of_all_sets(firm)


@settings(max_examples=FEW)
@given(firms())
def test_subscriptions_are_the_cheapest_cover(firm: dict[str, Any]) -> None:
    check_subscriptions_are_the_cheapest_cover(firm)


@settings(max_examples=FEW)
@given(firms())
def test_hysteresis_keeps_users_from_changing_for_a_little(firm: dict[str, Any]) -> None:
    check_hysteresis_keeps_users_from_changing_for_a_little(firm)


LAWS = [
    check_cheapest_mix_is_the_cheapest_of_all_sets,
    check_subscriptions_are_the_cheapest_cover,
    check_hysteresis_keeps_users_from_changing_for_a_little,
]


@pytest.mark.heavy
@pytest.mark.parametrize("law", LAWS)
@settings(max_examples=1_000)
@given(firms())
def test_the_laws_of_comparisons_hold_in_many_more_firms(
    law: Callable[[dict[str, Any]], None], firm: dict[str, Any]
) -> None:
    law(firm)


def test_nobody_flips_back_while_use_moves_by_less_than_the_hysteresis() -> None:
    """Between 95 and 105 days tokens and the subscription are within a tenth of one another."""
    has: dict[str, list[str]] = {}
    for days in (105, 95, 105, 95):
        found = compared(use("ana", "RVT", days), current=has)
        assert not found.users["changes"].item()
        has = {"ana": found.users["best"].to_list()[0]}
    assert user_of(compared(use("ana", "RVT", 120), current=has), "ana")["best"] == ["Revit"]


# Calls that make no sense, and offers as files.


def test_what_makes_no_sense_is_refused() -> None:
    wrong: list[tuple[dict[str, Any], type[Exception], str]] = [
        ({"token_price": 2.5}, tf.FieldsError, "floats are not exact"),
        ({"token_price": "-1"}, tf.FieldsError, "0 or more"),
        ({"price_list": [REVIT]}, tf.ArgumentTypeError, "tokenflex.PriceList"),
        ({"hysteresis": 1}, tf.ArgumentError, "from 0 to below 1"),
        ({"hysteresis": "a tenth"}, tf.FieldsError, "a number"),
        ({"days": 0}, tf.ArgumentError, "from 1 to"),
        ({"days": 1.5}, tf.ArgumentError, "from 1 to"),
        ({"current": ["ana"]}, tf.ArgumentTypeError, "map users"),
        ({"current": {"ana": "Revit"}}, tf.ArgumentTypeError, "lists of names"),
        ({"current": {"ana": ["Rhino"]}}, tf.ArgumentError, "'Rhino', which is no subscription"),
        ({"rule": tf.TOKEN_FLEX}, tf.ZoneError, "servers"),
    ]
    for arguments, error, words in wrong:
        with pytest.raises(error, match=words):
            compared(use("ana", "RVT", 30), **arguments)
    with pytest.raises(tf.ArgumentError, match="no sessions that could be charged"):
        compared(use("ana", "RVT", 30).clear())
    many = [tf.Subscription(name=f"s{n}", products=[f"P{n}", f"P{n + 1}"], price=10) for n in range(17)]
    uses = [use("ana", f"P{n}", 1) for n in range(18)]
    with pytest.raises(tf.ArgumentError, match="17 subscriptions meet in the use of one user"):
        compared(*uses, rates=tf.Rates({f"P{n}": 1 for n in range(18)}), price_list=tf.PriceList(subscriptions=many))


def test_offers_are_kept_in_files(tmp_path: Path) -> None:
    path = tmp_path / "price-list.toml"
    offers = replace_currency(OFFERS, "EUR")
    path.write_text(offers.to_toml(), encoding="utf-8")
    assert tf.PriceList.read(path) == offers
    assert tf.PriceList.from_toml(tf.PriceList().to_toml()) == tf.PriceList()
    exact = tf.PriceList.from_toml('[[maintenance]]\nproduct = "ACD"\nprice = 0.1\n').maintenance[0].price
    assert exact == Decimal("0.1")
    with pytest.raises(tf.SourceNotFoundError, match="no price list"):
        tf.PriceList.read(tmp_path / "none.toml")
    with pytest.raises(tf.SourceError, match="cannot be read"):
        tf.PriceList.read(tmp_path)
    path.write_bytes(b"\x81\x8d")
    with pytest.raises(tf.SourceError, match="2 letters that no reader knows"):
        tf.PriceList.read(path)
    path.write_text("[[subscriptions", encoding="utf-8")
    with pytest.raises(tf.SourceError, match="no TOML"):
        tf.PriceList.read(path)


def replace_currency(offers: tf.PriceList, currency: str) -> tf.PriceList:
    return tf.PriceList(subscriptions=offers.subscriptions, maintenance=offers.maintenance, currency=currency)


def test_every_wrong_field_of_offers_is_named() -> None:
    with pytest.raises(tf.FieldsError) as told:
        tf.PriceList.from_toml(
            'colour = "red"\n[[subscriptions]]\nname = ""\nproducts = []\nprice = -1\n'
            "[[maintenance]]\nproduct = 3\nowned = 0\n"
        )
    assert set(told.value.fields) == {
        "colour",
        "subscriptions[0].name",
        "subscriptions[0].products",
        "subscriptions[0].price",
        "maintenance[0].product",
        "maintenance[0].price",
        "maintenance[0].owned",
    }
    wrong: list[tuple[Callable[[], object], str]] = [
        (lambda: tf.PriceList(subscriptions=[REVIT, REVIT]), "subscriptions[1].name"),
        (lambda: tf.PriceList(maintenance=list(OFFERS.maintenance) * 2), "maintenance[1].product"),
        (lambda: tf.PriceList(subscriptions=["Revit"]), "subscriptions[0]"),  # type: ignore[list-item]  # on purpose
        (lambda: tf.PriceList(maintenance=7), "maintenance"),  # type: ignore[arg-type]  # on purpose
        (lambda: tf.PriceList(currency="dollar"), "currency"),
        (lambda: tf.Subscription(name="a", products="ACD", price=1), "products"),
        (lambda: tf.Subscription(name="a", products=["ACD", "ACD"], price=1), "products[1]"),
        (lambda: tf.Subscription(name="a", products=["ACD"], price=0.5), "price"),  # type: ignore[arg-type]  # on purpose
    ]
    for build, field in wrong:
        with pytest.raises(tf.FieldsError) as told:
            build()
        assert field in told.value.fields
