"""`sensitivity`: by hand, and each of its rows against charging everything anew under the change."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import ROUND_HALF_EVEN, Decimal
from itertools import combinations, pairwise, product
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import tokenflex as tf
from strategies import MINUTE, Case, cases, frame, rates_frame, rule_of, whole_cases, whole_terms
from tokenflex.planning.changes import drawn_rows
from tokenflex.saving.replay import without_idle

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from reference import Terms

FEW = 8
"""Examples of tests that charge dozens of times in each; the heavy run has many more."""
BY_DAY = tf.Rule(window="day", zone="utc")
RATES = tf.Rates({"ACD": 7, "RVT": 10})
ZONES = ["UTC-8", "Asia/Kathmandu", "UTC+9"]
UNIT = Decimal("0.0001")
HOUR = timedelta(hours=1)


def at(day: int, hour: int, minute: int = 0) -> datetime:
    return datetime(2026, 7, day, hour, minute, tzinfo=UTC)


def table(*rows: tuple[Any, ...]) -> pl.DataFrame:
    """Sessions of user, product, start, end."""
    time = pl.Datetime("us", "UTC")
    schema: dict[str, Any] = {"user": pl.String, "product": pl.String, "start": time, "end": time}
    return pl.DataFrame(list(rows), schema=schema, orient="row")


SESSIONS = table(
    ("ana", "ACD", at(13, 8), at(13, 12)),
    ("ana", "RVT", at(13, 20), at(14, 2)),
    ("ben", "RVT", at(14, 9), at(14, 17)),
)


def found_of(sessions: pl.DataFrame = SESSIONS, **more: Any) -> tf.Sensitivity:
    given: dict[str, Any] = {"rule": BY_DAY, "rates": RATES, "token_price": 3, "draws": 20} | more
    return tf.sensitivity(sessions, **given)


def rows_of(found: tf.Sensitivity, change: str, item: str | None = None) -> list[dict[str, Any]]:
    return found.changes.filter(pl.col("change") == change, pl.col("item").eq_missing(pl.lit(item))).to_dicts()


def exact(*values: int | str) -> tuple[Decimal, ...]:
    return tuple(map(Decimal, values))


def tokens_of(found: tf.Sensitivity, change: str, item: str | None = None) -> dict[str, Decimal]:
    return {row["value"]: row["tokens"] for row in rows_of(found, change, item)}


# By hand.


def test_rates_change_by_percent_in_all_and_product_by_product() -> None:
    found = found_of(rate_change=10)
    assert (found.tokens, found.cost) == exact(37, 111)
    assert tokens_of(found, "rate") == {"-10 %": Decimal("33.3"), "+10 %": Decimal("40.7")}
    assert tokens_of(found, "rate", "RVT") == {"-10 %": 34, "+10 %": 40}
    assert tokens_of(found, "rate", "ACD") == {"-10 %": Decimal("36.3"), "+10 %": Decimal("37.7")}
    (low, high) = rows_of(found, "rate")
    assert (low["side"], low["difference_tokens"], low["difference_cost"]) == ("low", Decimal("-3.7"), Decimal("-11.1"))
    assert (high["side"], high["cost"], high["swing"]) == ("high", Decimal("122.1"), Decimal("22.2"))
    assert tokens_of(found_of(rate_change=[-100, "12.5"]), "rate") == {"-100 %": 0, "+12.5 %": Decimal("41.625")}


def test_new_rates_hold_all_the_time_and_leave_others_as_they_are() -> None:
    since = datetime(2027, 1, 1, tzinfo=UTC)
    announced = tf.Rates([tf.Rate("RVT", Decimal(11), since - HOUR), tf.Rate("RVT", Decimal(12), since)])
    found = found_of(new_rates=announced)
    assert tokens_of(found, "new_rates") == {"new rates": 43}
    assert tokens_of(found, "new_rates", "RVT") == {"12": 43}
    assert rows_of(found, "new_rates", "ACD") == []


def test_new_rates_price_what_had_no_rate() -> None:
    problems = tf.Problems()
    found = found_of(rates=tf.Rates({"ACD": 7}), new_rates=tf.Rates({"RVT": 12}), problems=problems)
    assert found.tokens == 7
    assert found.charges_without_rate == 3
    (row,) = rows_of(found, "new_rates", "RVT")
    assert (row["tokens"], row["charges_without_rate"]) == (43, 0)
    assert [row["code"] for row in problems] == ["no_rate"]


def test_a_dearer_member_of_a_family_changes_what_the_others_pay() -> None:
    rates = tf.Rates([tf.Rate("ACD", Decimal(7), None, "all"), tf.Rate("RVT", Decimal(10), None, "all")])
    sessions = table(("ana", "ACD", at(13, 8), at(13, 9)), ("ana", "RVT", at(13, 10), at(13, 11)))
    found = found_of(
        sessions, rule=replace(BY_DAY, incremental=True), rates=rates, new_rates=tf.Rates({"ACD": 11}), rate_change=None
    )
    assert found.tokens == 10
    # RVT is no dearer than what has been paid.
    assert tokens_of(found, "new_rates", "ACD") == {"11": 11}


def test_prices_change_by_percent_or_as_given() -> None:
    found = found_of(token_price="2.85", price_change=5, prices=["2.5", 3])  # noqa: S106 - money
    costs = {row["value"]: row["cost"] for row in rows_of(found, "price")}
    assert costs == {
        "-5 %": 37 * Decimal("2.7075"),
        "+5 %": 37 * Decimal("2.9925"),
        "2.5": Decimal("92.5"),
        "3": 111,
    }
    assert set(tokens_of(found, "price").values()) == {37}


def test_an_offer_prices_the_use_by_the_tier_that_its_term_reaches() -> None:
    """37 tokens of two days are 13,505 tokens in two years."""
    tiers = [tf.PriceTier(from_tokens=0, unit_price=3), tf.PriceTier(from_tokens=13_000, unit_price="2.5")]
    offer = tf.Offer(years=2, overage_price=4, prices=tiers, currency="EUR")
    found = found_of(token_price=offer, rate_change=5, days=2)
    assert (found.cost, found.token_price, found.currency) == (Decimal("92.5"), Decimal("2.5"), "EUR")
    # Five percent fewer are 12,829.75 and fall below the tier: fewer tokens, and a higher cost.
    low, high = sorted(rows_of(found, "rate"), key=lambda row: row["tokens"])
    assert (low["tokens"], low["cost"], low["side"]) == (Decimal("35.15"), Decimal("105.45"), "high")
    assert (high["cost"], high["side"]) == (Decimal("97.125"), "high")
    assert {row["cost"] for row in rows_of(found, "price")} == {Decimal("83.25"), Decimal("101.75")}
    marginal = tf.Offer(years=2, overage_price=4, prices=tiers, marginal=True)
    bought = 13_000 * 3 + 505 * Decimal("2.5")
    assert found_of(token_price=marginal, days=2).cost == (bought * 2 / 730).quantize(Decimal("0.00000001"))
    least = tf.Offer(years=2, overage_price=4, prices=tiers, minimum=20_000)
    assert found_of(token_price=least, days=2).cost == (20_000 * Decimal("2.5") * 2 / 730).quantize(
        Decimal("0.00000001")
    )


def test_what_is_not_known_is_not_computed_and_says_why() -> None:
    found = found_of(rule=tf.Rule(window="rolling"), harvest=[HOUR, 4 * HOUR], head_count=10)
    told = found.changes.filter(pl.col("tokens").is_null())
    assert told.select("change", "item").rows() == [
        ("head_count", None), ("head_count", None), ("harvest", "1 h"), ("harvest", "4 h"), ("server_zone", None),
    ]  # fmt: skip
    assert told["value"].to_list() == ["-10 %", "+10 %", "taken back after 1 h", "taken back after 4 h", None]
    assert told["reason"].str.contains("nobody|nothing tells when a license was idle|windows of 24 hours").all()
    nothing = ("side", "cost", "difference_tokens", "difference_cost", "swing", "charges_without_rate", "how")
    assert told.select(nothing).null_count().row(0) == (5,) * len(nothing)
    assert found.changes.head(-5)["reason"].null_count() == found.changes.height - 5
    assert "not computed: 5" in repr(found)
    assert "not those of the server" in rows_of(found_of(), "server_zone")[0]["reason"]


def test_the_last_persons_may_leave() -> None:
    found = found_of(head_count=[-100])
    (row,) = rows_of(found, "head_count")
    assert (row["tokens"], row["tokens_p10"], row["tokens_p90"], row["cost"]) == (0, 0, 0, 0)


def test_machines_stay_when_persons_go() -> None:
    rule = replace(BY_DAY, machine_metered=frozenset({"RVT"}))
    sessions = SESSIONS.with_columns(host=pl.lit("pc1"))
    found = found_of(sessions, rule=rule, head_count=[-100, 100])
    # 7 for ana's ACD, 2 days of one machine.
    assert found.tokens == 27
    assert [row["tokens"] for row in rows_of(found, "head_count")] == [20, 34]


def test_draws_hang_on_the_seed_alone() -> None:
    many = table(*((f"u{place}", "RVT", at(day, 8), at(day, 9)) for place in range(30) for day in range(1, 2 + place)))
    first, again, other = (found_of(each, seed=seed) for each, seed in ((many, 1), (many.reverse(), 1), (many, 2)))
    assert first.changes.equals(again.changes)
    reached = [found.changes.drop_nulls("tokens_p10").select("tokens_p10", "tokens_p90") for found in (first, other)]
    assert not reached[0].equals(reached[1])


def price_list() -> tf.PriceList:
    return tf.PriceList(
        currency="USD",
        subscriptions=[tf.Subscription(name="Revit", products=["RVT"], price=2985)],
        maintenance=[
            tf.Maintenance(product="ACD", price=500, owned=3),
            tf.Maintenance(product="RVT", price=5000, owned=3),
        ],
    )


def test_each_row_says_which_way_to_pay_is_the_cheapest_then() -> None:
    found = found_of(price_list=price_list(), days=7, price_change=10, problems=tf.Problems())
    assert found.currency == "USD"
    expected = {
        price: tf.compare_models(
            SESSIONS, rule=BY_DAY, rates=RATES, token_price=price, price_list=price_list(), days=7,
            problems=tf.Problems(),
        ).cheapest
        for price in ("2.7", "3", "3.3")
    }  # fmt: skip
    assert found.cheapest == expected["3"]
    rows = {row["value"]: (row["cheapest"], row["turns"]) for row in rows_of(found, "price")}
    assert rows == {
        "-10 %": (expected["2.7"], expected["2.7"] != expected["3"]),
        "+10 %": (expected["3.3"], expected["3.3"] != expected["3"]),
    }
    assert found.changes.filter(pl.col("tokens").is_not_null())["turns"].null_count() == 0


def test_a_decision_turns() -> None:
    """Ten days of Revit a month: 3,650 $ a year by tokens, 3,700 $ by a license."""
    sessions = table(*(("ana", "RVT", at(day, 8), at(day, 18)) for day in range(1, 11)))
    prices = tf.PriceList(maintenance=[tf.Maintenance(product="RVT", price=3700)])
    found = found_of(sessions, token_price=3, price_list=prices, days=30, problems=tf.Problems())
    assert found.cheapest == "tokens"
    rows = {row["value"]: (row["cheapest"], row["turns"]) for row in rows_of(found, "price")}
    assert rows == {"-10 %": ("tokens", False), "+10 %": ("licenses_peak", True)}
    rows = {row["value"]: (row["cheapest"], row["turns"]) for row in rows_of(found, "rate")}
    assert rows == {"-10 %": ("tokens", False), "+10 %": ("licenses_peak", True)}
    point = found.turning_points.row(0, named=True)
    tokens = Decimal("1216.6667")
    assert (point["model"], point["cost"], point["tokens"], point["unpriced"]) == ("licenses_peak", 3700, tokens, [])
    assert point["token_price"] == (3700 / tokens).quantize(Decimal("0.00000001"))
    assert point["rate_change"] == ((3700 / tokens / 3 - 1) * 100).quantize(UNIT)
    for cents, cheapest in ((-1, "tokens"), (1, "licenses_peak")):
        price = point["token_price"].quantize(UNIT) + cents * UNIT
        turned = found_of(sessions, token_price=price, price_list=prices, days=30, problems=tf.Problems())
        assert turned.cheapest == cheapest


def test_a_turning_point_is_of_the_products_that_both_have_a_price_for() -> None:
    prices = tf.PriceList(maintenance=[tf.Maintenance(product="ACD", price=500)])
    found = found_of(price_list=prices, days=365, problems=tf.Problems())
    point = found.turning_points.row(0, named=True)
    assert (point["cost"], point["tokens"], point["unpriced"]) == (500, 7, ["RVT"])
    assert point["token_price"] == (Decimal(500) / 7).quantize(Decimal("0.00000001"))


def test_nobody_can_say_what_is_cheapest_when_all_have_left() -> None:
    found = found_of(head_count=[-100], price_list=price_list(), problems=tf.Problems())
    (row,) = rows_of(found, "head_count")
    assert (row["cheapest"], row["turns"]) == (None, None)


def test_newcomers_have_names_and_zones_of_their_own() -> None:
    """Twice the persons are twice the tokens, and twice the licenses at the peak."""
    sessions = table(("ana", "ACD", at(13, 8), at(13, 12)), ("ana +0", "ACD", at(13, 8), at(13, 12)))
    prices = tf.PriceList(maintenance=[tf.Maintenance(product="ACD", price=Decimal(2500))])
    found = found_of(
        sessions,
        rule=tf.Rule(window="day", zone="user"),
        users={"ana": "Asia/Tokyo", "ana +0": "Asia/Tokyo"},
        head_count=[100],
        price_list=prices,
        days=1,
        problems=tf.Problems(),
    )
    (row,) = rows_of(found, "head_count")
    # 14 tokens a day are 15,330 $ a year, 4 licenses are 10,000 $.
    assert (row["tokens"], row["cheapest"]) == (28, "licenses_peak")


def test_what_makes_no_sense_is_refused() -> None:
    packs = tf.Offer(overage_price=4, packs=[tf.PackOffer(tokens=10, unit_price=3)])
    refused: list[tuple[dict[str, Any], type[Exception], str]] = [
        ({"rates": tf.Rates({})}, tf.ArgumentError, "rates are empty"),
        ({"new_rates": tf.Rates({})}, tf.ArgumentError, "new_rates are empty"),
        ({"new_rates": {"ACD": 7}}, tf.ArgumentTypeError, "new_rates has to be a tokenflex.Rates"),
        ({"rates": {"ACD": 7}}, tf.ArgumentTypeError, "tokenflex.Rates"),
        ({"rule": "flex"}, tf.ArgumentTypeError, "tokenflex.Rule"),
        ({"rate_change": 150}, tf.ArgumentError, "rate_change is -150 %, and nothing can fall by more than 100 %"),
        ({"price_change": [-101]}, tf.ArgumentError, "price_change is -101 %"),
        ({"head_count": ["-100.5"]}, tf.ArgumentError, "head_count is -100.5 %"),
        ({"head_count": 2.5}, tf.FieldsError, "floats are not exact"),
        ({"head_count": True}, tf.FieldsError, "has to be a number"),
        ({"head_count": object()}, tf.ArgumentTypeError, "a percentage or a list"),
        ({"rate_change": b"10"}, tf.ArgumentTypeError, "a percentage or a list"),
        ({"token_price": -1}, tf.FieldsError, "0 or more"),
        ({"token_price": packs}, tf.ArgumentError, "an offer of packs has a price for each pack"),
        ({"prices": "2.85"}, tf.ArgumentTypeError, "a list of prices"),
        ({"prices": [2.85]}, tf.FieldsError, "floats are not exact"),
        ({"harvest": HOUR}, tf.ArgumentTypeError, "harvest has to be a list of timedeltas"),
        ({"harvest": []}, tf.ArgumentError, "harvest is empty"),
        ({"harvest": [timedelta(0)]}, tf.ArgumentError, "harvest holds 0"),
        ({"zones": ["Europe/Atlantis"]}, tf.ZoneError, "Atlantis"),
        ({"zones": []}, tf.ArgumentError, "no zones"),
        ({"price_list": {}}, tf.ArgumentTypeError, "tokenflex.PriceList"),
        ({"days": 0}, tf.ArgumentError, "days is 0"),
        ({"draws": 0}, tf.ArgumentError, "draws is 0"),
        ({"seed": -1}, tf.ArgumentError, "seed is -1"),
        ({"rule": tf.TOKEN_FLEX}, tf.ZoneError, "servers"),
    ]
    for arguments, error, words in refused:
        with pytest.raises(error, match=words):
            found_of(**arguments)
    for prices in (None, price_list()):
        with pytest.raises(tf.ArgumentError, match="no sessions that could be charged"):
            found_of(SESSIONS.clear(), price_list=prices)


def test_problems_are_those_of_the_base_and_each_once() -> None:
    sessions = pl.concat([SESSIONS, table((None, "ACD", at(13, 8), at(13, 9)), ("zoe", "XYZ", at(13, 8), None))])
    problems, plain = tf.Problems(), tf.Problems()
    found_of(sessions, new_rates=tf.Rates({"ACD": 8}), problems=problems)
    tf.charge(sessions, rule=BY_DAY, rates=RATES, problems=plain)
    assert problems.frame.equals(plain.frame)
    assert len(problems) == 2


# Each row is what charging everything anew gives.


def drawn_cases(terms: st.SearchStrategy[Terms] | None = None) -> st.SearchStrategy[Case]:
    """Cases with a rate and a session at least."""
    both = st.one_of(cases(terms, min_size=1), whole_cases(terms))
    return both.filter(lambda case: bool(case.rates and case.sessions))


def drawn_for(law: Callable[[Case, st.DataObject], None]) -> st.SearchStrategy[Case]:
    """Cases that a law is about."""
    if law is not check_zones_are_charged_anew:
        return drawn_cases()
    return drawn_cases(whole_terms(window="day").map(lambda terms: replace(terms, zone="server")))


def charged(case: Case, **other: Any) -> pl.DataFrame:
    sessions = other.pop("sessions", None)
    given = case.for_verb() | {"as_of": case.as_of if case.as_of is not None else case.last()} | other
    return tf.charge(frame(case.sessions) if sessions is None else sessions, **given)


def total(charges: pl.DataFrame) -> Decimal:
    return Decimal(charges["tokens"].sum())


def sensed(case: Case, **more: Any) -> tf.Sensitivity:
    off: dict[str, Any] = {"rate_change": None, "price_change": None, "head_count": None, "zones": ZONES[:1]}
    return tf.sensitivity(frame(case.sessions), **(case.for_verb() | {"token_price": 3, "draws": 20} | off | more))


def with_percent(case: Case, percent: int, only: str | None = None) -> tf.Rates:
    """The rates, of one product or all, higher by so many percent, one at a time."""
    rates = [
        rate._replace(tokens=(rate.tokens * (100 + percent) / 100).quantize(UNIT, rounding=ROUND_HALF_EVEN))
        if only in (None, rate.product)
        else rate
        for rate in tf.Rates(rates_frame(case.rates)).rows
    ]
    return tf.Rates(rates)


def known(case: Case) -> pl.DataFrame:
    """The charges of the case, if there are any."""
    charges = charged(case)
    assume(not charges.is_empty())
    return charges


def check_base_is_what_charge_charges(case: Case, _data: st.DataObject) -> None:
    charges = known(case)
    found = sensed(case)
    assert (found.tokens, found.cost) == (total(charges), 3 * total(charges))
    assert found.charges_without_rate == charges["tokens"].null_count()
    assert (found.first, found.last) == (charges["usage_date"].min(), charges["usage_date"].max())


def check_rates_are_charged_anew(case: Case, data: st.DataObject) -> None:
    charges = known(case)
    percents = sorted(data.draw(st.sets(st.sampled_from([-100, -50, -7, 3, 40, 250]), min_size=1, max_size=2)))
    found = sensed(case, rate_change=percents)
    products = sorted({rate.product for rate in case.rates} & set(charges["product"].cast(pl.String)))
    if charges["product"].n_unique() == 1:
        products = []
    expected = {
        (only, f"{percent:+} %"): total(charged(case, rates=with_percent(case, percent, only)))
        for only, percent in product([None, *products], percents)
    }
    rows = found.changes.filter(pl.col("change") == "rate").select("item", "value", "tokens").rows()
    got = {(item, value): tokens for item, value, tokens in rows}
    # A product whose rates are all 0 does not change.
    assert got == {key: value for key, value in expected.items() if key in got}
    zero = {p for p in products if all(rate.tokens == 0 for rate in case.rates if rate.product == p)}
    missing = {only for only, _ in set(expected) - set(got)}
    assert missing <= zero | {p for p in products if with_percent(case, percents[0], p) == with_percent(case, 0)}


def check_new_rates_are_charged_anew(case: Case, data: st.DataObject) -> None:
    known(case)
    old = tf.Rates(rates_frame(case.rates))
    names = sorted({session.product for session in case.sessions if session.product})
    assume(names)
    chosen = data.draw(st.lists(st.sampled_from(names), min_size=1, unique=True))
    families = dict(old.families())
    announced = [
        tf.Rate(name, Decimal(data.draw(st.integers(0, 12))), None, data.draw(st.sampled_from(["drafting", None])))
        for name in chosen
    ]
    found = sensed(case, new_rates=tf.Rates(announced))
    named = [rate._replace(family=rate.family or families.get(rate.product)) for rate in announced]
    for only in (None, *chosen):
        new = [rate for rate in named if only in (None, rate.product)]
        replaced = {rate.product for rate in new}
        rates = tf.Rates([*(rate for rate in old.rows if rate.product not in replaced), *new])
        again = charged(case, rates=rates)
        for row in rows_of(found, "new_rates", only):
            assert row["tokens"] == total(again)
            assert row["charges_without_rate"] == again["tokens"].null_count()


def check_zones_are_charged_anew(case: Case, _data: st.DataObject) -> None:
    known(case)
    assert rule_of(case.terms).needs_zones_of == "server"
    found = sensed(case, zones=ZONES)
    names = {"UTC-8": "Etc/GMT+8", "UTC+9": "Etc/GMT-9"}
    of_servers = found.changes.filter(pl.col("change") == "server_zone")
    sessions = frame(case.sessions)
    used = sessions.filter(pl.col("user").is_not_null() | pl.col("host").is_not_null())
    assert set(of_servers["item"]) <= set(used["server"].drop_nulls())
    for server in of_servers["item"].unique():
        costs = {zone: total(charged(case, servers=case.servers | {server: names.get(zone, zone)})) for zone in ZONES}
        told = tokens_of(found, "server_zone", server)
        assert all(costs[zone] == tokens for zone, tokens in told.items())
        assert set(told.values()) == {min(costs.values()), max(costs.values())}
    moved = set(charged(case)["server"].cast(pl.String).drop_nulls()) & set(case.servers)
    assert moved <= set(of_servers["item"])


def check_idle_licenses_are_those_of_the_replay(case: Case, data: st.DataObject) -> None:
    known(case)
    rows = data.draw(st.lists(st.integers(0, len(case.sessions) - 1), max_size=5))
    lengths = st.sampled_from([16 * MINUTE, HOUR, 10 * HOUR, 40 * HOUR])
    starts = [case.sessions[row].start + data.draw(st.sampled_from([0, 1, 9])) * HOUR for row in rows]
    time = pl.Datetime("us", "UTC")
    idle = pl.DataFrame(
        [(row, start, start + data.draw(lengths)) for row, start in zip(rows, starts, strict=True)],
        schema={"session": pl.Int64, "start": time, "end": time},
        orient="row",
    )
    after = [15 * MINUTE, HOUR]
    problems = tf.Problems()
    found = sensed(case, harvest=after, idle=idle, problems=problems)
    saved = tf.harvest_replay(frame(case.sessions), idle=idle, after=after, **case.for_verb())
    assert tokens_of(found, "harvest", "15 min") | tokens_of(found, "harvest", "1 h") == {
        f"taken back after {'15 min' if row['after'] < HOUR else '1 h'}": row["tokens_after"]
        for row in saved.iter_rows(named=True)
    }
    assert sum(row["code"] == "idle_without_session" for row in problems) <= len(rows)
    as_of = case.as_of if case.as_of is not None else case.last()
    for row in saved.iter_rows(named=True):
        cut = without_idle(frame(case.sessions), idle=idle, after=row["after"], as_of=as_of)
        assert total(charged(case, sessions=cut)) == row["tokens_after"]


def check_head_counts_are_the_mean_of_all_choices(case: Case, data: st.DataObject) -> None:
    charges = known(case)
    metered = case.terms.machine_metered
    own = charges.filter(~pl.col("product").cast(pl.String).is_in(list(metered)))
    paid = dict(own.group_by(pl.col("user").cast(pl.String)).agg(pl.col("tokens").sum()).iter_rows())
    assume(paid)
    base, persons = total(charges), sorted(paid)
    count = data.draw(st.integers(1, len(persons)))
    percent = Decimal(100 * count) / len(persons)
    percent = percent.quantize(UNIT)
    found = sensed(case, head_count=[-percent, percent] if percent <= 100 else [100])
    choices = [sum((paid[name] for name in each), Decimal(0)) for each in combinations(persons, count)]
    mean = sum(choices, Decimal(0)) / len(choices)
    fewer, more = sorted(rows_of(found, "head_count"), key=lambda row: row["tokens"])
    assert abs(fewer["tokens"] - (base - mean)) <= UNIT / 2
    assert abs(more["tokens"] - (base + mean)) <= UNIT / 2
    assert base - max(choices) <= fewer["tokens_p10"] <= fewer["tokens_p90"] <= base - min(choices)
    # Who goes is drawn once, who comes can be like one person many times.
    once = [sum((paid[name] for name in each), Decimal(0)) for each in product(persons, repeat=count)]
    assert base + min(once) <= more["tokens_p10"] <= more["tokens_p90"] <= base + max(once)


def check_rows_are_in_order_of_swing(case: Case, _data: st.DataObject) -> None:
    known(case)
    found = sensed(case, rate_change=10, price_change=[-5, 20], head_count=50, zones=ZONES)
    computed = found.changes.filter(pl.col("tokens").is_not_null())
    assert found.changes.head(computed.height).equals(computed)
    assert all(wider >= narrower for wider, narrower in pairwise(computed["swing"]))
    for row in computed.iter_rows(named=True):
        assert row["difference_tokens"] == row["tokens"] - found.tokens
        assert row["difference_cost"] == row["cost"] - found.cost
        assert row["side"] == ("low" if row["cost"] < found.cost else "high" if row["cost"] > found.cost else "same")
        like = rows_of(found, row["change"], row["item"])
        costs = [found.cost, *(each["cost"] for each in like)]
        assert row["swing"] == max(costs) - min(costs)


def check_nothing_changed_is_no_difference(case: Case, _data: st.DataObject) -> None:
    charges = known(case)
    rates = tf.Rates(rates_frame(case.rates))
    undated = {rate.product for rate in rates.rows if rate.effective_from is not None}
    same = [rate for rate in rates.rows if rate.product not in undated]
    more = {"new_rates": tf.Rates(same)} if same else {}
    found = sensed(case, rate_change=["0"], price_change=0, prices=[3], **more)
    computed = found.changes.filter(pl.col("change") != "server_zone")
    assert set(computed["side"]) == {"same"}
    assert set(computed["tokens"]) == {total(charges)}


LAWS = [
    check_base_is_what_charge_charges,
    check_rates_are_charged_anew,
    check_new_rates_are_charged_anew,
    check_zones_are_charged_anew,
    check_idle_licenses_are_those_of_the_replay,
    check_head_counts_are_the_mean_of_all_choices,
    check_rows_are_in_order_of_swing,
    check_nothing_changed_is_no_difference,
]


@settings(max_examples=FEW)
@given(drawn_cases(), st.data())
def test_the_cost_of_the_base_is_what_charge_charges(case: Case, data: st.DataObject) -> None:
    check_base_is_what_charge_charges(case, data)


@settings(max_examples=2 * FEW)
@given(drawn_cases(), st.data())
def test_every_rate_row_is_a_recharge(case: Case, data: st.DataObject) -> None:
    check_rates_are_charged_anew(case, data)


@settings(max_examples=2 * FEW)
@given(drawn_cases(), st.data())
def test_every_row_of_new_rates_is_a_recharge(case: Case, data: st.DataObject) -> None:
    check_new_rates_are_charged_anew(case, data)


@settings(max_examples=2 * FEW)
@given(drawn_for(check_zones_are_charged_anew), st.data())
def test_every_zone_row_is_a_recharge_with_one_server_moved(case: Case, data: st.DataObject) -> None:
    check_zones_are_charged_anew(case, data)


@settings(max_examples=FEW // 2)
@given(drawn_cases(), st.data())
def test_every_harvest_row_is_that_of_the_replay(case: Case, data: st.DataObject) -> None:
    check_idle_licenses_are_those_of_the_replay(case, data)


@settings(max_examples=FEW)
@given(drawn_cases(), st.data())
def test_the_head_count_is_the_mean_of_all_choices(case: Case, data: st.DataObject) -> None:
    check_head_counts_are_the_mean_of_all_choices(case, data)


@settings(max_examples=FEW)
@given(drawn_cases(), st.data())
def test_changes_are_in_order_of_their_swing(case: Case, data: st.DataObject) -> None:
    check_rows_are_in_order_of_swing(case, data)


@settings(max_examples=FEW)
@given(drawn_cases(), st.data())
def test_what_is_not_changed_makes_no_difference(case: Case, data: st.DataObject) -> None:
    check_nothing_changed_is_no_difference(case, data)


@pytest.mark.heavy
@pytest.mark.parametrize("law", LAWS)
@settings(max_examples=1_000)
@given(st.data())
def test_the_laws_of_sensitivity_hold_in_many_more_cases(
    law: Callable[[Case, st.DataObject], None], data: st.DataObject
) -> None:
    law(data.draw(drawn_for(law)), data)


def test_a_zone_row_of_one_server_is_that_of_zone_whatif() -> None:
    sessions = SESSIONS.with_columns(server=pl.lit("nyc"))
    servers = {"nyc": "America/New_York"}
    found = found_of(sessions, rule=tf.TOKEN_FLEX, servers=servers)
    whole = tf.zone_whatif(sessions, rule=tf.TOKEN_FLEX, rates=RATES, servers=servers)
    tried = whole.filter(pl.col("zone") != "today")["tokens"]
    assert sorted(tokens_of(found, "server_zone", "nyc").values()) == [tried.min(), tried.max()]


def test_stretches_of_use_are_apart_only_where_no_zone_brings_them_together() -> None:
    """Persons who use one server, and another one some hours later: some share a day between both, some do not."""
    names = {"UTC-12": "Etc/GMT+12", "UTC+14": "Etc/GMT-14"}
    # Midnight of the easternmost clock.
    start = at(12, 10)
    for user, server in (("first", "a"), ("last", "b")):
        uses = [
            (f"{user} {hours}", "ACD", each, each + MINUTE)
            for hours in range(1, 70)
            for each in (start, start + hours * HOUR)
        ]
        order = ["a", "b"] if server == "a" else ["b", "a"]
        sessions = table(*uses).with_columns(server=pl.Series(order * 69))
        servers = {"a": "Etc/GMT-14", "b": "UTC"}
        found = found_of(
            sessions, rule=tf.TOKEN_FLEX, servers=servers, zones=list(names), head_count=None, rate_change=None
        )
        for moved in servers:
            costs = {
                zone: total(tf.charge(sessions, rule=tf.TOKEN_FLEX, rates=RATES, servers=servers | {moved: name}))
                for zone, name in names.items()
            }
            assert tokens_of(found, "server_zone", moved) == costs
            assert len(set(costs.values())) == len(names)


def drawn_totals(values: list[int], count: int) -> Iterator[int]:
    for place in range(4_000):
        yield sum(values[row] for row in drawn_rows(len(values), count, returns=False, seed=place))


def test_draws_are_as_likely_as_each_other() -> None:
    """Two of five: each of the ten pairs is a tenth of the draws."""
    found = list(drawn_totals([1, 2, 4, 8, 16], 2))
    counts = [found.count(a + b) for a, b in combinations([1, 2, 4, 8, 16], 2)]
    assert sum(counts) == 4_000
    assert all(300 < count < 500 for count in counts)


@settings(max_examples=FEW)
@given(drawn_cases(), st.sampled_from([-50, 100, 300]))
def test_whole_rates_scale(case: Case, percent: int) -> None:
    """Rates that stay whole ten-thousandths scale all tokens, families and all."""
    even = [rate._replace(tokens=rate.tokens * 2) for rate in tf.Rates(rates_frame(case.rates)).rows]
    charges = charged(case, rates=tf.Rates(even))
    assume(not charges.is_empty())
    found = sensed(case, rates=tf.Rates(even), rate_change=[percent])
    (row,) = rows_of(found, "rate")
    assert row["tokens"] == total(charges) * (100 + percent) / 100
