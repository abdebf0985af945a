"""`Contract`: the values of a contract, the pools that they make, files, and errors that name every wrong field."""

from __future__ import annotations

import copy
import dataclasses
import decimal
import json
import pickle
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

import tokenflex as tf
from contracts import ONE_DAY, contracts
from test_statement import CONTRACT
from test_zones_local import SOME, changes
from tokenflex.contract.days import first_instants

if TYPE_CHECKING:
    from pathlib import Path


def year(number: int, start: str, end: str, tokens: Any = 1000, **more: Any) -> tf.ContractYear:
    return tf.ContractYear(year=number, start=start, end=end, tokens=tokens, **more)


def two_years(**terms: Any) -> tf.Contract:
    years = [year(1, "2024-02-01", "2025-01-31"), year(2, "2025-02-01", "2026-01-31")]
    return tf.Contract(**({"number": "110001", "years": years} | terms))


def pack(name: str, tokens: Any = 500, purchased: str = "2026-01-15", **more: Any) -> tf.Pack:
    return tf.Pack(id=name, tokens=tokens, purchased=purchased, **more)


def wrong(call: Any) -> dict[str, str]:
    """What an error says of each field."""
    with pytest.raises(tf.FieldsError) as caught:
        call()
    assert caught.value.location == next(iter(caught.value.fields))
    if len(caught.value.fields) <= 20:
        assert all(f"{field} {problem}" in str(caught.value) for field, problem in caught.value.fields.items())
    return caught.value.fields


def wrong_in(fields: dict[str, Any]) -> dict[str, str]:
    return wrong(lambda: tf.Contract.from_dict(fields))


TOKEN_FLEX: dict[str, Any] = {
    "number": "110001",
    "zone": "Europe/Madrid",
    "years": [
        {"year": 1, "start": "2024-02-01", "end": "2025-01-31", "tokens": 344000, "carry_over": True},
        {"year": 2, "start": "2025-02-01", "end": "2026-01-31", "tokens": "344000.5"},
    ],
    "contract_tokens": 25000,
    "bookings": [{"day": "2024-07-01", "tokens": 3217, "kind": "manual_consumption", "pool": "MY"}],
    "prices": [{"from_tokens": 0, "unit_price": 3}, {"from_tokens": 5000, "unit_price": "2.85"}],
    "overage_price": "3.1",
    "currency": "EUR",
    "order": "contract_first",
    "on_empty": "refuse",
    "products": ["ACD", "RVT"],
    "servers": {"mad-lic-01": "Europe/Madrid", "chi-lic-01": "America/Chicago"},
    "perpetual": [{"product": "ACD", "seats": 40, "version": "2016"}],
}
FLEX: dict[str, Any] = {
    "number": "team 7",
    "packs": [
        {"id": "a", "tokens": 500, "purchased": "2026-01-15", "end": "2027-01-14", "unit_price": "2.85"},
        {"id": "b", "tokens": "5000.5", "purchased": "2026-01-15", "end": "2026-12-31", "received": "2026-03-01"},
    ],
    "bookings": [{"day": "2026-04-01", "tokens": 100, "kind": "move", "pool": "a", "team": "roads"}],
}


# Worked examples.


def test_tv13_the_terms_of_the_vendors_example() -> None:
    contract = tf.Contract.from_snapshot(tf.read_contract(json.dumps(CONTRACT).encode()), zone="America/New_York")
    assert contract.number == "110001234567"
    assert (contract.start, contract.end) == (date(2015, 2, 1), date(2018, 1, 31))
    assert [(pool.id, pool.tokens, pool.end) for pool in contract.pools] == [
        ("annual 1", Decimal(344_000), date(2016, 1, 31)),
        ("annual 2", Decimal(344_000), date(2017, 1, 31)),
        ("annual 3", Decimal(344_000), date(2018, 1, 31)),
        ("contract", Decimal(25_000), date(2018, 1, 31)),
    ]
    assert contract.opens == contract.pools[3].opens == datetime(2015, 2, 1, 5, tzinfo=UTC)
    assert contract.closes == contract.pools[3].closes == datetime(2018, 2, 1, 5, tzinfo=UTC)
    assert {pool.carries_to for pool in contract.pools} == {None}


def test_tv14_the_pack_of_the_earliest_end_comes_first() -> None:
    contract = tf.Contract(number="t", packs=[pack("late", purchased="2026-03-01"), pack("early", 9000, "2026-02-28")])
    assert [pool.id for pool in contract.pools] == ["early", "late"]


def test_tv15_of_packs_of_one_end_the_smallest_comes_first() -> None:
    contract = tf.Contract(number="t", packs=[pack("of 5000", 5000), pack("of 500", 500)])
    assert [pool.id for pool in contract.pools] == ["of 500", "of 5000"]
    assert contract.order == "earliest_end"


def test_the_order_of_token_flex_is_a_policy() -> None:
    def order(**terms: Any) -> list[str]:
        return [pool.id for pool in two_years(contract_tokens=100, **terms).pools]

    assert order() == order(order="annual_first") == ["annual 1", "annual 2", "contract"]
    assert order(order="contract_first") == ["contract", "annual 1", "annual 2"]
    assert order(order="earliest_end") == ["annual 1", "contract", "annual 2"]


def test_without_contract_tokens_there_is_no_pool_for_them_until_a_booking_names_it() -> None:
    assert [pool.id for pool in two_years().pools] == ["annual 1", "annual 2"]
    added = tf.Booking(day="2024-07-01", tokens=50, kind="adjustment", pool="MY")
    assert [(pool.id, pool.tokens) for pool in two_years(bookings=[added]).pools][2] == ("contract", Decimal(0))


def test_what_is_left_is_carried_to_the_next_year_only_where_the_contract_says_so() -> None:
    years = [year(1, "2024-02-01", "2025-01-31", carry_over=True), year(2, "2025-02-01", "2026-01-31")]
    assert [pool.carries_to for pool in two_years(years=years).pools] == ["annual 2", None]


def test_pools_go_by_the_vendors_names_too() -> None:
    contract = two_years(contract_tokens=1)
    found = [contract.pool(name, day=date(2025, 1, 31)) for name in ("CY", "MY", "annual 2", "CX")]
    assert [pool and pool.id for pool in found] == ["annual 1", "contract", "annual 2", None]
    assert contract.pool("CY", day=date(2026, 2, 1)) is None
    flex = tf.Contract(number="t", packs=[pack("MY")])
    assert flex.pool("MY", day=date(2026, 2, 1)) == flex.pools[0]
    assert flex.pool("CY", day=date(2026, 2, 1)) is None


def test_the_price_of_token_flex_is_that_of_the_whole_purchase() -> None:
    prices = [tf.PriceTier(from_tokens=0, unit_price=3), tf.PriceTier(from_tokens="2000.5", unit_price="2.5")]
    for contract_tokens, price in ((0, "3"), ("0.4999", "3"), ("0.5", "2.5"), (10**9, "2.5")):
        pools = two_years(prices=prices, contract_tokens=contract_tokens).pools
        assert {pool.unit_price for pool in pools} == {Decimal(price)}
    assert {pool.unit_price for pool in two_years().pools} == {None}


def test_the_price_of_a_pack_is_its_own_or_that_of_its_quantity() -> None:
    prices = [tf.PriceTier(from_tokens=100, unit_price=3), tf.PriceTier(from_tokens=5000, unit_price="2.85")]
    packs = [pack("a", 4999), pack("b", 5000), pack("c", 5001, unit_price="2.2"), pack("d", 50, unit_price=0)]
    contract = tf.Contract(number="t", packs=packs, prices=prices)
    found = {pool.id: pool.unit_price for pool in contract.pools}
    assert found == {"a": Decimal(3), "b": Decimal("2.85"), "c": Decimal("2.2"), "d": Decimal(0)}


def test_sums_are_exact_whatever_the_decimal_context_of_the_caller() -> None:
    prices = [tf.PriceTier(from_tokens=0, unit_price=3), tf.PriceTier(from_tokens="6000000.0003", unit_price="2.5")]
    years = [year(1, "2024-01-01", "2024-12-31", "3000000.0001"), year(2, "2025-01-01", "2025-12-31", "3000000.0001")]
    with decimal.localcontext(prec=4):
        assert two_years(years=years, prices=prices).pools[0].unit_price == 3
        assert two_years(years=years, prices=prices).years[0].tokens.as_tuple().digits[-1] == 1
        more = two_years(years=years, prices=prices, contract_tokens="0.0001")
        assert more.pools[0].unit_price == Decimal("2.5")


# Days.


@pytest.mark.parametrize(
    ("purchased", "end"),
    [
        ("2024-02-29", "2025-02-28"),
        ("2023-03-01", "2024-02-29"),
        ("2023-02-28", "2024-02-27"),
        ("2024-02-28", "2025-02-27"),
        ("2026-01-01", "2026-12-31"),
        ("2025-12-31", "2026-12-30"),
    ],
)
def test_a_pack_ends_on_the_day_before_the_same_date_of_the_next_year(purchased: str, end: str) -> None:
    assert pack("a", purchased=purchased).end == date.fromisoformat(end)


@given(st.dates(date(1970, 1, 2), date(2198, 12, 30)))
def test_a_pack_lasts_for_365_days_or_366_over_a_leap_day(purchased: date) -> None:
    days = [purchased + place * ONE_DAY for place in range(366)]
    has_leap_day = any((day.month, day.day) == (2, 29) for day in days)
    bought_on_leap_day = (purchased.month, purchased.day) == (2, 29)
    length = (tf.Pack(id="a", tokens=1, purchased=purchased).end - purchased).days + 1
    assert length == (366 if has_leap_day else 365)
    assert not bought_on_leap_day or length == 366


def first_instant(day: date, zone: ZoneInfo) -> datetime:
    """The definition: the first instant at which the clock of the zone shows the day, or a later one."""
    low = datetime.combine(day, time(), UTC) - timedelta(days=2)
    high = low + timedelta(days=4)
    step = timedelta(minutes=30)
    while low.astimezone(zone).date() < day:
        low += step
    high, low = low, low - step
    while high - low > timedelta(microseconds=1):
        middle = low + (high - low) // 2
        low, high = (low, middle) if middle.astimezone(zone).date() >= day else (middle, high)
    return high


@pytest.mark.parametrize("name", sorted({*SOME, "America/Sao_Paulo", "Asia/Beirut", "America/St_Johns", "Asia/Amman"}))
def test_a_day_begins_at_its_first_instant_in_every_zone(name: str) -> None:
    zone = ZoneInfo(name)
    around = {(change.astimezone(zone).date() + offset * ONE_DAY) for change in changes(zone) for offset in (-1, 0, 1)}
    days = sorted(around | {date(2026, 2, 28), date(2024, 2, 29)})
    assert first_instants(days, name) == {day: first_instant(day, zone) for day in days}


@pytest.mark.parametrize(
    ("zone", "end", "closes"),
    [
        # The clock skips 00:00 of the next day, which begins at 01:00.
        ("America/Sao_Paulo", "2018-11-03", "2018-11-04T03:00:00+00:00"),
        ("Asia/Beirut", "2026-03-28", "2026-03-28T22:00:00+00:00"),
        # The clock changes in the course of the last day, and in that of the day after it.
        ("Europe/Madrid", "2026-03-29", "2026-03-29T22:00:00+00:00"),
        ("Europe/Madrid", "2026-03-28", "2026-03-28T23:00:00+00:00"),
        ("Europe/Madrid", "2026-10-25", "2026-10-25T23:00:00+00:00"),
        # 00:00 is shown twice: the first counts.
        ("America/Havana", "2026-10-31", "2026-11-01T04:00:00+00:00"),
        # 30 December was left out: a pack that ends with the 29th ends where the 31st begins.
        ("Pacific/Apia", "2011-12-29", "2011-12-30T10:00:00+00:00"),
        ("Pacific/Apia", "2011-12-30", "2011-12-30T10:00:00+00:00"),
        ("UTC", "2016-12-31", "2017-01-01T00:00:00+00:00"),
    ],
)
def test_a_pool_that_ends_at_a_change_of_the_clock(zone: str, end: str, closes: str) -> None:
    (pool,) = tf.Contract(number="t", zone=zone, packs=[pack("a", purchased="2010-01-01", end=end)]).pools
    assert pool.closes.isoformat() == closes
    after = tf.Contract(
        number="t", zone=zone, packs=[pack("a", purchased=str(date.fromisoformat(end) + ONE_DAY))]
    ).pools[0]
    assert after.opens == pool.closes


def test_a_pack_from_another_team_opens_on_the_day_on_which_it_came() -> None:
    contract = tf.Contract(number="t", packs=[pack("a", received="2026-03-01")])
    assert contract.start == date(2026, 3, 1)
    assert contract.pools[0].opens == contract.first_instant(date(2026, 3, 1)) == datetime(2026, 3, 1, tzinfo=UTC)
    assert contract.pools[0].end == date(2027, 1, 14)


@given(contracts())
def test_the_pools_of_any_contract(contract: tf.Contract) -> None:
    pools = {pool.id: pool for pool in contract.pools}
    assert len(pools) == len(contract.pools)
    zone = contract.zone
    for each in contract.years:
        pool = pools[f"annual {each.year}"]
        assert (pool.kind, pool.tokens, pool.end) == ("annual", each.tokens, each.end)
        assert pool.opens == first_instants([each.start], zone)[each.start]
        assert pool.carries_to == (f"annual {each.year + 1}" if each.carry_over else None)
    for before, after in zip(contract.years, contract.years[1:], strict=False):
        assert pools[f"annual {before.year}"].closes == pools[f"annual {after.year}"].opens
    for each_pack in contract.packs:
        pool = pools[each_pack.id]
        assert (pool.kind, pool.tokens, pool.end) == ("pack", each_pack.tokens, each_pack.end)
        assert pool.closes == contract.first_instant(each_pack.end + ONE_DAY)
    keys: list[tuple[Any, ...]]
    if contract.order == "earliest_end":
        keys = [(pool.closes, pool.tokens, pool.id) for pool in contract.pools]
    else:
        keys = [
            ((pool.kind == "contract") == (contract.order == "annual_first"), pool.closes) for pool in contract.pools
        ]
    assert keys == sorted(keys)
    assert sum(pool.tokens for pool in contract.pools) == sum(
        [*(each.tokens for each in contract.years), *(each.tokens for each in contract.packs)],
        contract.contract_tokens,
    )
    assert all(booking.pool is None or contract.pool(booking.pool, day=booking.day) for booking in contract.bookings)


@given(contracts().filter(lambda contract: len(contract.packs) > 1), st.randoms(use_true_random=False))
def test_packs_in_any_order_make_the_same_pools(contract: tf.Contract, random: Any) -> None:
    packs = list(contract.packs)
    random.shuffle(packs)
    assert dataclasses.replace(contract, packs=tuple(packs)).pools == contract.pools


@given(st.permutations("abcdef"), st.lists(st.sampled_from([500, 5000]), min_size=6, max_size=6))
def test_packs_that_are_alike_are_drawn_by_their_ids(ids: list[str], tokens: list[int]) -> None:
    packs = [pack(name, tokens[place]) for place, name in enumerate(ids)]
    pools = tf.Contract(number="t", packs=packs).pools
    assert [(pool.tokens, pool.id) for pool in pools] == sorted((each.tokens, each.id) for each in packs)


# Values.


def test_a_contract_is_a_value() -> None:
    contract = tf.Contract.from_dict(TOKEN_FLEX)
    again = tf.Contract.from_dict(TOKEN_FLEX)
    assert contract == again
    assert hash(contract) == hash(again)
    assert contract != dataclasses.replace(contract, number="2")
    assert contract != dataclasses.replace(contract, servers={})
    for each, name in (
        (contract, "number"),
        (contract.years[0], "tokens"),
        (contract.bookings[0], "tokens"),
        (contract.prices[0], "unit_price"),
        (contract.perpetual[0], "seats"),
        (contract.pools[0], "tokens"),
        (pack("a"), "tokens"),
    ):
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(each, name, 5)
    with pytest.raises(TypeError):
        contract.servers["x"] = "UTC"  # type: ignore[index]
    kinds: tuple[Any, ...] = (tf.Contract, tf.ContractYear, tf.Pack, tf.Booking, tf.PriceTier, tf.PerpetualLicense)
    for kind in (*kinds, tf.Pool):
        with pytest.raises(TypeError, match="positional"):
            kind("a", "b")


def test_what_the_caller_gave_is_taken_over_and_not_held() -> None:
    servers, products = {"mad-lic-01": "europe/madrid"}, ["ACD"]
    contract = two_years(servers=servers, products=products, years=(each for each in two_years().years))
    servers["b"] = "UTC"
    products.append("RVT")
    assert contract.servers == {"mad-lic-01": "Europe/Madrid"}
    assert contract.products == frozenset({"ACD"})
    assert len(contract.years) == 2


def test_perpetual_licenses_are_frozen_during_the_term_and_back_after_it() -> None:
    seats = (tf.PerpetualLicense(product="ACD", seats=40),)
    contract = two_years(perpetual=seats, zone="America/New_York")
    for at, found in (
        (date(2024, 1, 31), seats),
        (date(2024, 2, 1), ()),
        (date(2026, 1, 31), ()),
        (date(2026, 2, 1), seats),
        (datetime(2024, 2, 1, 4, 59, tzinfo=UTC), seats),
        (datetime(2024, 2, 1, 5, tzinfo=UTC), ()),
        (datetime(2026, 2, 1, 4, 59, tzinfo=UTC), ()),
        (datetime(2026, 2, 1, 5, tzinfo=UTC), seats),
    ):
        assert contract.entitlements(at=at) == found, at
    flex = tf.Contract(number="t", packs=[pack("a")], perpetual=seats)
    assert flex.entitlements(at=date(2026, 6, 1)) == seats
    with pytest.raises(tf.ArgumentTypeError, match="at has to be a date or an instant"):
        contract.entitlements(at="2024-02-01")  # type: ignore[arg-type]
    with pytest.raises(tf.ArgumentError, match="no time zone"):
        contract.entitlements(at=datetime(2024, 2, 1))  # noqa: DTZ001 - what is refused


# Files.


@given(contracts())
def test_a_contract_comes_back_from_every_form(contract: tf.Contract) -> None:
    assert tf.Contract.from_dict(contract.to_dict()) == contract
    assert tf.Contract.from_toml(contract.to_toml()) == contract
    assert tf.Contract.from_json(contract.to_json()) == contract
    assert dataclasses.replace(contract) == contract
    assert copy.deepcopy(contract) == contract
    again = pickle.loads(pickle.dumps(contract))  # noqa: S301 - our own
    assert again == contract
    assert hash(again) == hash(contract)
    assert again.pools == contract.pools
    assert tf.Contract.from_toml(again.to_toml()).to_toml() == contract.to_toml()


@pytest.mark.parametrize("fields", [TOKEN_FLEX, FLEX], ids=["token_flex", "flex"])
@pytest.mark.parametrize("ending", [".toml", ".json", ".JSON"])
def test_a_file_is_written_and_read(fields: dict[str, Any], ending: str, tmp_path: Path) -> None:
    contract = tf.Contract.from_dict(fields)
    contract.write(tmp_path / f"contract{ending}")
    assert tf.Contract.read(str(tmp_path / f"contract{ending}")) == contract
    assert tf.Contract.read(tmp_path / f"contract{ending}", number=contract.number) == contract
    with pytest.raises(tf.ArgumentError, match="holds the contract"):
        tf.Contract.read(tmp_path / f"contract{ending}", number="another")


def test_the_fields_of_a_file_are_those_that_were_given() -> None:
    assert tf.Contract.from_dict(TOKEN_FLEX).to_dict() == TOKEN_FLEX
    assert tf.Contract.from_dict(FLEX).to_dict() == FLEX | {
        "zone": "UTC",
        "currency": "USD",
        "order": "earliest_end",
        "on_empty": "overage",
    }


def test_nothing_has_no_sign() -> None:
    contract = two_years(contract_tokens="-0", overage_price=Decimal("-0.0"))
    assert (str(contract.contract_tokens), str(contract.overage_price)) == ("0.0000", "0")


def test_a_price_of_nothing_is_not_the_same_as_none() -> None:
    contract = two_years(overage_price=0)
    assert tf.Contract.from_toml(contract.to_toml()).overage_price == 0
    assert tf.Contract.from_toml(two_years().to_toml()).overage_price is None


def test_numbers_in_files_are_read_as_they_are_written() -> None:
    text = tf.Contract.from_dict(TOKEN_FLEX).to_toml()
    assert 'unit_price = "2.85"' in text
    assert "start = 2024-02-01" in text
    bare = text.replace('"2.85"', "2.85").replace('"344000.5"', "344_000.5").replace("2024-02-01", '"2024-02-01"')
    assert bare != text
    assert tf.Contract.from_toml(bare) == tf.Contract.from_toml(text)
    document = tf.Contract.from_dict(TOKEN_FLEX).to_json().replace('"2.85"', "2.85")
    assert tf.Contract.from_json(document) == tf.Contract.from_dict(TOKEN_FLEX)


def test_servers_can_be_listed_as_tables() -> None:
    listed = [{"name": name, "zone": zone} for name, zone in TOKEN_FLEX["servers"].items()]
    listed[0]["redundant"] = False
    assert tf.Contract.from_dict(TOKEN_FLEX | {"servers": listed}) == tf.Contract.from_dict(TOKEN_FLEX)


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("a.toml", "number = ", "a.toml: the contract is no TOML"),
        ("a.toml", "number = 1\nnumber = 2", "a.toml: the contract is no TOML"),
        ("a.toml", f"number = {'9' * 5000}", "a.toml: the contract is no TOML"),
        ("a.json", "{", "a.json: the contract is no JSON"),
        ("a.json", '{"number": "a", "number": "b"}', "'number' stands twice"),
        ("a.json", "[" * 100_000, "a.json: the contract is no JSON"),
        ("a.csv", "number,zone", "a.csv: the contract is no TOML"),
        ("a", "{", "a: the contract is no JSON"),
        ("a.toml", "\0\1", "a.toml: the contract is no TOML"),
        ("a.json", "[]", "holds no contract"),
    ],
)
def test_what_is_no_contract_is_a_source_error(name: str, text: str, said: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(tf.SourceError, match=said):
        tf.Contract.read(tmp_path / name)


def test_a_file_of_another_name_is_told_by_its_content(tmp_path: Path) -> None:
    contract = tf.Contract.from_dict(TOKEN_FLEX)
    for text in (contract.to_toml(), contract.to_json()):
        (tmp_path / "contract").write_text(text, encoding="utf-8")
        assert tf.Contract.read(tmp_path / "contract") == contract
    (tmp_path / "contract").write_bytes(contract.to_toml().encode("utf-16"))
    assert tf.Contract.read(tmp_path / "contract") == contract


def test_letters_that_are_lost_are_no_names(tmp_path: Path) -> None:
    (tmp_path / "contract.toml").write_bytes(two_years(number="Müller").to_toml().encode("cp1252"))
    assert tf.Contract.read(tmp_path / "contract.toml").number == "Müller"
    (tmp_path / "contract.toml").write_bytes(b'number = "M\x81"')
    with pytest.raises(tf.SourceError, match="1 letter that no reader knows"):
        tf.Contract.read(tmp_path / "contract.toml")


def test_files_that_are_not_there(tmp_path: Path) -> None:
    with pytest.raises(tf.SourceNotFoundError, match="there is no contract"):
        tf.Contract.read(tmp_path / "a.toml")
    (tmp_path / "b.toml").mkdir()
    for call in (tf.Contract.read, two_years().write):
        with pytest.raises(tf.SourceError, match=r"b\.toml cannot be"):
            call(tmp_path / "b.toml")
    with pytest.raises(tf.SourceError, match=r"has to end with \.toml or \.json"):
        two_years().write(tmp_path / "contract.csv")


# What the vendor states.


def read_vendors(tmp_path: Path, document: object, **arguments: Any) -> tf.Contract:
    (tmp_path / "vendor.json").write_text(json.dumps(document))
    return tf.Contract.read(tmp_path / "vendor.json", **arguments)


def test_the_vendors_json_is_read_as_a_contract(tmp_path: Path) -> None:
    contract = read_vendors(tmp_path, CONTRACT)
    assert contract == tf.Contract.from_snapshot(tf.read_contract(json.dumps(CONTRACT).encode()))
    assert contract.zone == "UTC"
    several = {"status": "DONE", "result": [CONTRACT, CONTRACT | {"contractNumber": "2"}]}
    assert read_vendors(tmp_path, several, number="2").number == "2"
    with pytest.raises(tf.ArgumentError, match="give the one by number="):
        read_vendors(tmp_path, several)


def without(names: set[str], **more: Any) -> dict[str, Any]:
    years = [{name: value for name, value in each.items() if name not in names} for each in CONTRACT["years"]]
    return {name: value for name, value in CONTRACT.items() if name not in names} | {"years": years} | more


@pytest.mark.parametrize(
    "left_out", [{"endDate"}, {"startDate"}, {"startDate", "endDate"}, {"contractStartDate", "contractEndDate"}]
)
def test_days_that_the_vendor_leaves_out_follow_from_those_that_it_states(left_out: set[str], tmp_path: Path) -> None:
    assert read_vendors(tmp_path, without(left_out)) == read_vendors(tmp_path, CONTRACT)


def test_a_multi_year_pool_that_is_stated_by_year_only(tmp_path: Path) -> None:
    assert read_vendors(tmp_path, without({"multiyearProvisionedTokens"})).contract_tokens == 25_000
    years_only = without({"multiyearProvisionedTokens", "multiyearTokensAtStart"})
    assert read_vendors(tmp_path, years_only).contract_tokens == 0
    assert read_vendors(tmp_path, without(set(), multiyearProvisionedTokens=0)).contract_tokens == 0


def test_what_a_snapshot_lacks_is_named(tmp_path: Path) -> None:
    days = {"startDate", "endDate", "contractEndDate"}
    found = wrong(lambda: read_vendors(tmp_path, without({*days, "provisionedTokens"})))
    assert set(found) == {f"years[{place}].tokens" for place in range(3)} | {
        "years[0].end",
        "years[1].start",
        "years[1].end",
        "years[2].start",
        "years[2].end",
    }
    found = wrong(lambda: read_vendors(tmp_path, CONTRACT | {"contractEndDate": "2018-02-28"}))
    assert found == {"years[2].end": "is 2018-01-31, but the end of the contract is 2018-02-28"}


def test_terms_beside_a_snapshot_go_before_it() -> None:
    stated = tf.read_contract(json.dumps(without({"startDate", "endDate", "contractEndDate"})).encode())
    years = two_years().years
    contract = tf.Contract.from_snapshot(stated, years=years, order="contract_first", number="7")
    assert (contract.years, contract.order, contract.number) == (years, "contract_first", "7")
    assert contract.contract_tokens == 25_000
    with pytest.raises(tf.ArgumentTypeError, match="ContractSnapshot"):
        tf.Contract.from_snapshot(contract)  # type: ignore[arg-type]
    assert "zones" in wrong(lambda: tf.Contract.from_snapshot(stated, years=years, zones="UTC"))


# What is wrong.


def place_of(fields: Any, path: str) -> tuple[Any, Any]:
    """The table or list that holds what a path names, and its key in there."""
    keys = [int(key) if key.isdecimal() else key for key in path.replace("[", ".").replace("]", "").split(".")]
    for key in keys[:-1]:
        fields = fields[key]
    return fields, keys[-1]


BREAKS: dict[str, list[tuple[str, object]]] = {
    "token_flex": [
        ("number", ""),
        ("number", 110001),
        ("zone", "Mars/Olympus"),
        ("zone", 2),
        ("years[0].year", 0),
        ("years[0].year", True),
        ("years[0].year", "1"),
        ("years[0].start", "2024-02-30"),
        ("years[0].start", datetime(2024, 2, 1, tzinfo=UTC)),
        ("years[0].start", 2024),
        ("years[0].end", "soon"),
        ("years[0].end", "2024-01-31"),
        ("years[0].end", "2200-01-31"),
        ("years[0].tokens", -1),
        ("years[0].tokens", "1.00001"),
        ("years[0].tokens", 0.5),
        ("years[0].tokens", "many"),
        ("years[0].tokens", None),
        ("years[0].tokens", "NaN"),
        ("years[0].tokens", "1e999999999"),
        ("years[0].tokens", "1e-999999999"),
        ("years[0].tokens", 10**5000),
        ("years[0].tokens", 10**10),
        ("years[0].tokens", True),
        ("years[0].carry_over", "yes"),
        ("years[1]", 7),
        ("contract_tokens", -5),
        ("contract_tokens", []),
        ("bookings[0].day", "x"),
        ("bookings[0].tokens", 0),
        ("bookings[0].tokens", "-0.0001"),
        ("bookings[0].kind", "gift"),
        ("bookings[0].pool", 5),
        ("bookings[0].reason", None),
        ("bookings[0].team", "roads"),
        ("prices[0].from_tokens", -1),
        ("prices[1].unit_price", "2.85001"),
        ("prices[1].unit_price", -3),
        ("overage_price", "free"),
        ("overage_price", -1),
        ("currency", "euro"),
        ("currency", "eur"),
        ("currency", 5),
        ("order", "random"),
        ("on_empty", "ask"),
        ("products", "ACD"),
        ("products", []),
        ("products[1]", ""),
        ("servers", "mad-lic-01"),
        ("perpetual[0].product", None),
        ("perpetual[0].seats", 0),
        ("perpetual[0].seats", 1.5),
        ("perpetual[0].version", 2016),
        ("perpetual", {"product": "ACD"}),
        ("currensy", "EUR"),
        ("years[0].token", 5),
    ],
    "flex": [
        ("number", "\ud800"),
        ("packs[0].id", ""),
        ("packs[0].id", "\udfff"),
        ("packs[0].tokens", 0),
        ("packs[0].tokens", "-500"),
        ("packs[0].tokens", 2.5),
        ("packs[0].purchased", "15/01/2026"),
        ("packs[0].purchased", None),
        ("packs[0].end", "2026-01-14"),
        ("packs[0].unit_price", "cheap"),
        ("packs[1].received", "2026-01-14"),
        ("packs[1].received", "2027-01-15"),
        ("packs[1].received", 3),
        ("packs[0].price", 3),
        ("bookings[0].tokens", -100),
        ("bookings[0].pool", None),
        ("bookings[0].team", None),
        ("bookings[0].team", ""),
    ],
}
GOOD = {"token_flex": TOKEN_FLEX, "flex": FLEX}


CASES = [(model, *each) for model, breaks in BREAKS.items() for each in breaks]


@pytest.mark.parametrize(
    ("model", "path", "value"), CASES, ids=[f"{place} {case[1]}" for place, case in enumerate(CASES)]
)
def test_a_wrong_field_is_named_and_nothing_else_is(model: str, path: str, value: object) -> None:
    fields = copy.deepcopy(GOOD[model])
    place, key = place_of(fields, path)
    place[key] = value
    assert set(wrong_in(fields)) == {path}


@given(st.data())
def test_all_wrong_fields_are_named_at_once(data: st.DataObject) -> None:
    # One for each part: whether an end comes before its start is not known where the start is wrong.
    model = data.draw(st.sampled_from(["token_flex", "flex"]))
    broken = st.sampled_from(BREAKS[model])
    chosen = data.draw(st.lists(broken, min_size=1, max_size=8, unique_by=lambda each: each[0].split(".")[0]))
    wholes = {path for path, _ in chosen}
    chosen = [each for each in chosen if not any(each[0].startswith(f"{path}[") for path in wholes)]
    fields = copy.deepcopy(GOOD[model])
    for path, value in chosen:
        place, key = place_of(fields, path)
        place[key] = value
    assert set(wrong_in(fields)) == {path for path, _ in chosen}


@pytest.mark.parametrize(
    "missing",
    [
        "number",
        "years",
        "years[0].year",
        "years[0].start",
        "years[0].end",
        "years[0].tokens",
        "bookings[0].day",
        "bookings[0].tokens",
        "bookings[0].kind",
        "prices[0].from_tokens",
        "prices[0].unit_price",
        "perpetual[0].product",
        "perpetual[0].seats",
    ],
)
def test_a_field_that_is_missing_is_named(missing: str) -> None:
    fields = copy.deepcopy(TOKEN_FLEX)
    place, key = place_of(fields, missing)
    del place[key]
    assert wrong_in(fields)[missing].startswith(("is missing", "are missing"))


TREES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.decimals() | st.floats() | st.text(max_size=4) | st.dates(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from([*TOKEN_FLEX, "name", "year", "tokens", "id", "purchased"]), inner, max_size=4
        )
    ),
    max_leaves=12,
)


@given(st.dictionaries(st.sampled_from([*TOKEN_FLEX, "packs", "x"]), TREES, max_size=6))
def test_whatever_a_file_holds_is_a_contract_or_an_error_of_ours(fields: dict[str, Any]) -> None:
    for hostile in (fields, TOKEN_FLEX | fields, FLEX | fields):
        named = None
        try:
            contract = tf.Contract.from_dict(hostile)
        except tf.FieldsError as error:
            named = error.fields
        if named is None:
            assert tf.Contract.from_toml(contract.to_toml()) == contract
        else:
            assert named


def test_values_of_python_are_refused_as_those_of_files_are() -> None:
    assert set(wrong(lambda: two_years(years=[1, year(1, "2024-01-01", "2025-12-31")], packs=[None], zone=5))) == {
        "years[0]",
        "packs[0]",
        "zone",
    }
    assert set(wrong(lambda: two_years(years=7, servers=[1], products=5, order=5))) == {
        "years",
        "servers",
        "products",
        "order",
    }
    assert set(wrong(lambda: year(1, "2024-02-01", "2024-01-01", 0.5))) == {"end", "tokens"}
    assert set(wrong(lambda: tf.Pack(id="", tokens=0, purchased="x"))) == {"id", "tokens", "purchased"}
    assert set(wrong(lambda: tf.PriceTier(from_tokens=-1, unit_price=0.5))) == {"from_tokens", "unit_price"}  # type: ignore[arg-type]
    with pytest.raises(tf.ArgumentError, match="table of fields"):
        tf.Contract.from_dict([])  # type: ignore[arg-type]
    assert wrong(lambda: pack("a", purchased="2199-06-01")).keys() == {"purchased"}


def test_the_error_of_a_file_names_the_file(tmp_path: Path) -> None:
    (tmp_path / "firm.toml").write_text('number = ""\nyears = []\n')
    with pytest.raises(tf.FieldsError, match=r"firm\.toml: 2 fields of the contract are wrong") as caught:
        tf.Contract.read(tmp_path / "firm.toml")
    assert set(caught.value.fields) == {"number", "years"}


def test_a_great_many_wrong_fields_are_all_there_and_the_message_is_short() -> None:
    fields = FLEX | {"packs": [{"id": str(place), "tokens": -1, "purchased": "2026-01-01"} for place in range(1000)]}
    with pytest.raises(tf.FieldsError, match="1,000 fields of the contract are wrong") as caught:
        tf.Contract.from_dict(fields)
    assert len(caught.value.fields) == 1000
    assert "and 980 more" in str(caught.value)
    assert len(str(caught.value)) < 2000
    again = pickle.loads(pickle.dumps(caught.value))  # noqa: S301 - our own
    assert again.fields == caught.value.fields


@pytest.mark.parametrize(
    ("years", "field", "said"),
    [
        ([("2024-02-01", "2025-01-31"), ("2025-01-31", "2026-01-31")], "years[1].start", "they overlap"),
        ([("2024-02-01", "2025-01-31"), ("2025-02-02", "2026-01-31")], "years[1].start", "there is a gap"),
        ([("2024-02-01", "2025-01-31"), ("2024-02-01", "2026-01-31")], "years[1].start", "they overlap"),
        ([("2024-02-01", "2025-01-31"), ("2023-02-01", "2024-01-31")], "years[1].start", "they overlap"),
        ([("2024-02-01", "2025-01-31")], "years", "two to five years"),
        ([("2024-03-01", "2026-02-27")], "years", "two to five years"),
        ([("2024-02-01", "2029-02-01")], "years", "two to five years"),
        ([("2024-02-01", "2030-01-31")], "years", "two to five years"),
    ],
)
def test_years_that_overlap_leave_gaps_or_make_no_term_are_refused(
    years: list[tuple[str, str]], field: str, said: str
) -> None:
    listed = [year(place, *days) for place, days in enumerate(years, 1)]
    found = wrong(lambda: two_years(years=listed))
    assert set(found) == {field}
    assert said in found[field]


@pytest.mark.parametrize(
    ("start", "end"),
    [
        ("2023-02-01", "2025-01-31"),
        # Twice 365 days over a leap day.
        ("2024-02-01", "2026-01-30"),
        ("2024-02-01", "2029-01-31"),
        ("2024-02-29", "2029-02-28"),
    ],
)
def test_terms_of_two_to_five_years(start: str, end: str) -> None:
    assert two_years(years=[year(1, start, end)]).end == date.fromisoformat(end)


def test_years_are_numbered_in_order() -> None:
    second, first = year(2, "2025-02-01", "2026-01-31"), year(1, "2024-02-01", "2025-01-31")
    assert "years[0].year" in wrong(lambda: two_years(years=[second, first]))
    again = year(1, "2025-02-01", "2026-01-31")
    assert wrong(lambda: two_years(years=[first, again])) == {
        "years[1].year": "is 1, but has to be 2: years stand in order"
    }


def test_the_last_year_has_none_to_carry_to() -> None:
    years = [year(1, "2024-02-01", "2025-01-31"), year(2, "2025-02-01", "2026-01-31", carry_over=True)]
    assert set(wrong(lambda: two_years(years=years))) == {"years[1].carry_over"}


def test_a_contract_has_years_or_packs_and_nothing_of_the_other() -> None:
    assert set(wrong(lambda: two_years(packs=[pack("a")]))) == {"packs"}
    assert set(wrong(lambda: tf.Contract(number="t"))) == {"years"}
    of_token_flex: dict[str, Any] = {"contract_tokens": 5, "servers": {"a": "UTC"}, "order": "annual_first"}
    assert set(wrong(lambda: tf.Contract(number="t", packs=[pack("a")], **of_token_flex))) == set(of_token_flex)
    assert tf.Contract(number="t", packs=[pack("a")], order="earliest_end").order == "earliest_end"


def test_two_packs_of_one_id_are_refused() -> None:
    found = wrong(lambda: tf.Contract(number="t", packs=[pack("a"), pack("b"), pack("a", 7)]))
    assert found == {"packs[2].id": "is 'a', which packs[0] has already"}


def test_tiers_stand_in_order_of_quantity_and_reach_down_to_what_was_bought() -> None:
    def tiers(*quantities: int) -> list[tf.PriceTier]:
        return [tf.PriceTier(from_tokens=each, unit_price=3) for each in quantities]

    assert set(wrong(lambda: two_years(prices=tiers(0, 500, 500)))) == {"prices[2].from_tokens"}
    assert set(wrong(lambda: two_years(prices=tiers(500, 0)))) == {"prices[1].from_tokens"}
    assert two_years(prices=tiers(2000)).pools[0].unit_price == 3
    assert "the contract is a purchase of 2000" in wrong(lambda: two_years(prices=tiers(2001)))["prices[0].from_tokens"]
    packs = [pack("own price", 5, unit_price=4), pack("no price", 499)]
    found = wrong(lambda: tf.Contract(number="t", packs=packs, prices=tiers(500)))
    assert "packs[1] is a purchase of 499" in found["prices[0].from_tokens"]


@pytest.mark.parametrize(
    ("day", "pool", "field"),
    [
        ("2025-02-01", "annual 1", "day"),
        ("2025-01-31", "annual 2", "day"),
        ("2025-01-31", "annual 3", "pool"),
        ("2025-01-31", "cy", "pool"),
        ("2024-01-31", "CY", "day"),
        ("2026-02-01", "CY", "day"),
        ("2026-02-01", "MY", "day"),
        ("2026-02-01", "contract", "day"),
        ("2026-02-01", None, "day"),
        ("2024-01-31", None, "day"),
    ],
)
def test_bookings_into_unknown_pools_or_outside_of_their_life_are_refused(
    day: str, pool: str | None, field: str
) -> None:
    booking = tf.Booking(day=day, tokens=5, kind="adjustment", pool=pool)
    assert set(wrong(lambda: two_years(contract_tokens=5, bookings=[booking]))) == {f"bookings[0].{field}"}


def test_bookings_on_packs() -> None:
    packs = [pack("a", received="2026-03-01"), pack("b", purchased="2028-01-01")]

    def booked(day: str, name: str | None, kind: Any = "manual_consumption", **more: Any) -> tf.Contract:
        booking = tf.Booking(day=day, tokens=5, kind=kind, pool=name, **more)
        return tf.Contract(number="t", packs=packs, bookings=[booking])

    assert booked("2026-03-01", "a", "move", team="roads").bookings[0].team == "roads"
    assert booked("2028-12-31", None).bookings[0].pool is None
    assert set(wrong(lambda: booked("2026-02-28", "a"))) == {"bookings[0].day"}
    assert set(wrong(lambda: booked("2027-06-01", None))) == {"bookings[0].day"}
    assert set(wrong(lambda: booked("2026-03-01", "CY"))) == {"bookings[0].pool"}
    moved = tf.Booking(day="2024-07-01", tokens=5, kind="move", pool="contract", team="roads")
    assert "belong to Flex" in wrong(lambda: two_years(contract_tokens=5, bookings=[moved]))["bookings[0].kind"]


@pytest.mark.parametrize(
    "servers",
    [
        {"a": "UTC", "b1,b2,b3": "UTC"},
        [{"name": "a", "zone": "UTC"}, {"name": "b1", "zone": "UTC", "redundant": True}],
    ],
    ids=["one name", "a table"],
)
def test_distributed_servers_are_accepted_and_a_redundant_triad_is_refused(servers: Any) -> None:
    assert two_years(servers={"a": "UTC", "b": "Asia/Seoul", "c": "UTC"}).servers["b"] == "Asia/Seoul"
    found = wrong_in(TOKEN_FLEX | {"servers": servers})
    assert len(found) == 1
    assert "redundant server model is not" in next(iter(found.values()))


@pytest.mark.parametrize(
    ("servers", "fields"),
    [
        ({"a": "Mars/X", "b": 5, "": "UTC"}, {'servers["a"]', 'servers["b"]', 'servers[""]'}),
        ([{"name": "a", "zone": "UTC"}, {"name": "a", "zone": "UTC"}], {"servers[1].name"}),
        ([{"name": "", "zone": "x"}, 5], {"servers[0].name", "servers[0].zone", "servers[1]"}),
        ([{}], {"servers[0].name", "servers[0].zone"}),
        ([{"name": "a", "zone": "UTC", "redundant": 1, "port": 27000}], {"servers[0].redundant", "servers[0].port"}),
        ([{"name": "a,b,c", "zone": "UTC"}], {'servers["a,b,c"]'}),
    ],
)
def test_wrong_servers_are_named(servers: Any, fields: set[str]) -> None:
    assert set(wrong_in(TOKEN_FLEX | {"servers": servers})) == fields
