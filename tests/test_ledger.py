"""Settling a contract: each rule by hand, and the whole against the definition in plain integers."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Literal

import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tokenflex as tf
from ledger_reference import Booking, Charge, OutOfTokensError, Pool, Reference
from tokenflex import tables

if TYPE_CHECKING:
    from collections.abc import Callable

TICK = timedelta(microseconds=1)
DAY = timedelta(days=1)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
ZONES = ["UTC", "Europe/Madrid", "America/Sao_Paulo", "Asia/Beirut", "Pacific/Auckland"]


def at(day: str, hour: int = 0, minute: int = 0) -> datetime:
    return datetime.fromisoformat(day).replace(hour=hour, minute=minute, tzinfo=UTC)


def charges_of(*charges: tuple[datetime | None, Any]) -> pl.DataFrame:
    return pl.DataFrame(
        [(time, None if tokens is None else Decimal(tokens)) for time, tokens in charges],
        schema={"charged_at": tables.TIME, "tokens": tables.TOKENS},
        orient="row",
    )


def flex(*packs: tf.Pack, **terms: Any) -> tf.Contract:
    return tf.Contract(number="team 7", packs=packs, **terms)


def pack(name: str, tokens: Any, purchased: str = "2026-01-01", **more: Any) -> tf.Pack:
    return tf.Pack(id=name, tokens=tokens, purchased=purchased, **more)


def token_flex(*tokens: int, first: int = 2024, carry_over: bool = False, **terms: Any) -> tf.Contract:
    years = [
        tf.ContractYear(
            year=place,
            start=date(first + place - 1, 1, 1),
            end=date(first + place - 1, 12, 31),
            tokens=each,
            carry_over=carry_over and place < len(tokens),
        )
        for place, each in enumerate(tokens, 1)
    ]
    return tf.Contract(number="110001", years=years, **terms)


def told(ledger: tf.Ledger) -> list[tuple[str, str | None, int, int]]:
    """Kind, pool, change and balance after it, without decimals."""
    rows = ledger.entries.select("kind", "pool", "tokens", "balance_after").iter_rows()
    return [(kind, pool, int(tokens), int(after)) for kind, pool, tokens, after in rows]


def balance(ledger: tf.Ledger, *, at: datetime | None = None) -> dict[str | None, Decimal]:
    return dict(ledger.balances(at=at).select("pool", "balance").iter_rows())


def codes(problems: tf.Problems) -> list[tuple[str, int, str]]:
    return problems.frame.select("source", "location", "code").rows()


# Worked examples.


def test_tv13_the_arithmetic_of_the_vendors_contract() -> None:
    contract = token_flex(
        344000,
        344000,
        344000,
        contract_tokens=25000,
        bookings=[tf.Booking(day="2024-06-03", tokens=3217, kind="manual_consumption", pool="MY")],
    )
    charges = charges_of((at("2024-05-02"), 146226), (at("2025-05-02"), 149799), (at("2026-05-04"), 142073))
    ledger = contract.settle(charges, as_of=at("2027-01-01"))
    for year, left in ((2024, 197774), (2025, 194201), (2026, 201927)):
        last = datetime(year + 1, 1, 1, tzinfo=UTC) - TICK
        had = balance(ledger, at=last)
        assert had[f"annual {year - 2023}"] == left
        assert had["contract"] == 21783
        # What is left of a year is not carried.
        after = ledger.balances(at=last + TICK).row(by_predicate=pl.col("pool") == f"annual {year - 2023}", named=True)
        assert (after["balance"], after["expired"], after["carried"]) == (0, left, 0)
    whole = ledger.balances().row(by_predicate=pl.col("pool").is_null(), named=True)
    assert whole["provisioned"] == 3 * 344000 + 25000
    assert whole["consumed"] == 146226 + 149799 + 142073 + 3217
    assert whole["expired"] == 197774 + 194201 + 201927 + 21783


def test_tv14_the_earliest_end_is_drawn_first() -> None:
    late, early = pack("late", 50, "2026-02-01"), pack("early", 5000, "2025-09-01")
    ledger = flex(late, early).settle(charges_of((at("2026-03-02"), 7)))
    assert balance(ledger) == {"early": 4993, "late": 50, None: 5043}


def test_tv15_of_one_end_the_smallest_pack_is_drawn_first() -> None:
    ledger = flex(pack("large", 5000), pack("small", 500)).settle(
        charges_of((at("2026-03-02"), 400), (at("2026-03-03"), 400))
    )
    assert told(ledger)[2:] == [
        ("charge", "small", -400, 100),
        ("charge", "small", -100, 0),
        ("charge", "large", -300, 4700),
    ]


def test_tv16_a_launch_beyond_the_balance_is_refused_and_nothing_is_charged() -> None:
    contract = flex(pack("a", 4), pack("b", 2), on_empty="refuse")
    ledger = contract.settle(charges_of((at("2026-03-02"), 7), (at("2026-03-03"), 6), (at("2026-03-04"), 1)))
    assert told(ledger)[2:] == [
        ("refusal", None, 0, 6),
        ("charge", "b", -2, 0),
        ("charge", "a", -4, 0),
        ("refusal", None, 0, 0),
    ]
    assert ledger.entries["charge"].to_list() == [None, None, 0, 1, 1, 2]
    assert ledger.balances()["consumed"].to_list() == [2, 4, 6]


# Where a pool begins and ends.


def test_the_instant_of_the_change_belongs_to_the_new_year() -> None:
    midnight = at("2024-12-31", 23)  # 00:00 in Madrid
    contract = token_flex(10, 10, 10, zone="Europe/Madrid")
    opened, closed = at("2023-12-31", 23), at("2026-12-31", 23)
    problems = tf.Problems()
    ledger = contract.settle(
        charges_of(
            (opened - TICK, 1), (opened, 1), (midnight - TICK, 1), (midnight, 1), (closed - TICK, 1), (closed, 1)
        ),
        as_of=closed,
        problems=problems,
    )
    drawn = ledger.entries.filter(kind="charge").select("charge", pl.col("pool").cast(pl.String)).rows()
    assert drawn == [(1, "annual 1"), (2, "annual 1"), (3, "annual 2"), (4, "annual 3")]
    assert codes(problems) == [("charges", 0, "outside_term"), ("charges", 5, "outside_term")]


def test_at_one_instant_pools_close_then_open_then_bookings_come_then_charges() -> None:
    contract = token_flex(
        10, 20, carry_over=True, contract_tokens=5,
        bookings=[
            tf.Booking(day="2025-01-01", tokens=32, kind="manual_consumption"),
            tf.Booking(day="2025-01-01", tokens=2, kind="adjustment", pool="CY"),
        ],
    )  # fmt: skip
    ledger = contract.settle(charges_of((at("2025-01-01"), 6)))
    assert told(ledger) == [
        ("provision", "annual 1", 10, 10),
        ("provision", "contract", 5, 5),
        ("carry_over", "annual 1", -10, 0),
        ("carry_over", "annual 2", 10, 10),
        ("provision", "annual 2", 20, 30),
        ("adjustment", "annual 2", 2, 32),
        ("manual_consumption", "annual 2", -32, 0),
        ("charge", "contract", -5, 0),
        ("overage", None, -1, -1),
    ]


def test_what_is_carried_over_is_drawn_in_the_next_year_and_expires_with_the_last() -> None:
    ledger = token_flex(10, 10, 10, carry_over=True).settle(
        charges_of((at("2024-05-01"), 4), (at("2025-05-01"), 15)), as_of=at("2027-01-01")
    )
    rows = ledger.balances().select("pool", "carried", "consumed", "expired", "balance").rows()
    assert rows == [
        ("annual 1", -6, 4, 0, 0),
        ("annual 2", 5, 15, 0, 0),
        ("annual 3", 1, 0, 11, 0),
        (None, 0, 19, 11, 0),
    ]


def test_a_pool_without_tokens_left_leaves_no_entry_at_its_close() -> None:
    ledger = flex(pack("a", 7)).settle(charges_of((at("2026-03-02"), 7)), as_of=at("2027-06-01"))
    assert [kind for kind, *_ in told(ledger)] == ["provision", "charge"]


def test_between_two_packs_there_is_nothing_to_draw_from() -> None:
    contract = flex(pack("a", 7, "2024-01-01"), pack("b", 7, "2026-01-01"))
    assert told(contract.settle(charges_of((at("2025-06-02"), 3))))[2:] == [
        ("overage", None, -3, -3),
        ("provision", "b", 7, 7),
    ]
    # A price of nothing is owed to nobody.
    ledger = replace(contract, on_empty="refuse").settle(charges_of((at("2025-06-02"), 0)))
    assert ("overage", None, 0, 0) in told(ledger)


def test_a_charge_of_nothing_is_booked_on_the_pool_that_would_have_paid() -> None:
    ledger = flex(pack("a", 7)).settle(charges_of((at("2026-03-02"), 7), (at("2026-03-03"), 0)))
    assert told(ledger)[1:] == [("charge", "a", -7, 0), ("charge", "a", 0, 0)]
    ledger = flex(pack("a", 7), pack("b", 9)).settle(charges_of((at("2026-03-02"), 7), (at("2026-03-03"), 0)))
    assert told(ledger)[-1] == ("charge", "b", 0, 9)


def test_multi_year_tokens_first_if_the_contract_says_so() -> None:
    contract = token_flex(10, 10, contract_tokens=5, order="contract_first")
    assert [row[:3] for row in told(contract.settle(charges_of((at("2024-03-02"), 7))))[2:]] == [
        ("charge", "contract", -5),
        ("charge", "annual 1", -2),
    ]


# What is not drawn.


def test_bad_rows_are_problems_and_never_drawn() -> None:
    contract = flex(pack("a", 100), products={"ACD"})
    charges = charges_of(
        (at("2026-03-02"), 7), (None, 7), (at("2026-03-02"), None), (at("2026-03-02"), -1), (at("2025-12-31"), 7),
        (at("2026-03-02"), 7), (at("2026-03-02"), 7), (None, None),
    )  # fmt: skip
    charges = charges.with_columns(product=pl.Series(["ACD"] * 5 + ["RVT", None, "RVT"]))
    problems = tf.Problems()
    ledger = contract.settle(charges, problems=problems)
    assert ledger.entries["charge"].drop_nulls().to_list() == [0]
    assert codes(problems) == [
        ("charges", 1, "missing_time"),
        ("charges", 2, "no_tokens"),
        ("charges", 3, "negative_tokens"),
        ("charges", 4, "outside_term"),
        ("charges", 5, "not_covered"),
        ("charges", 6, "not_covered"),
        ("charges", 7, "missing_time"),
    ]
    with pytest.warns(tf.TokenflexWarning, match="settle: 7 problems"):
        contract.settle(charges)
    with pytest.raises(tf.MissingColumnError, match="product"):
        contract.settle(charges.drop("product"))
    # Where all products are covered nobody asks for them.
    assert flex(pack("a", 100)).settle(charges.head(1).drop("product")).entries.height == 2


def test_where_that_is_an_error_the_row_is_named() -> None:
    contract = flex(pack("a", 10), on_empty="error")
    charges = charges_of((at("2026-03-05"), "6.5"), (at("2026-03-02"), 4))
    with pytest.raises(tf.BalanceError, match=r"row 0 takes 6\.5 tokens, but .* 6:") as error:
        contract.settle(charges)
    assert (error.value.row, error.value.column) == (0, "tokens")
    booked = replace(contract, bookings=(tf.Booking(day="2026-02-01", tokens=11, kind="manual_consumption"),))
    with pytest.raises(tf.BalanceError, match="booking 0 takes 11 tokens"):
        booked.settle(charges)


@pytest.mark.parametrize("scale", [5, 6, 20, 38])
def test_more_than_four_decimals_are_an_error_that_names_the_row(scale: int) -> None:
    contract = flex(pack("a", 10))
    tokens = pl.Series([Decimal(0), Decimal("0.00001")], dtype=pl.Decimal(38, scale))
    charges = pl.DataFrame({"charged_at": [at("2026-03-05")] * 2, "tokens": tokens})
    with pytest.raises(tf.ColumnValueError, match="at most four decimals") as error:
        contract.settle(charges)
    assert (error.value.column, error.value.row) == ("tokens", 1)
    # Zeros behind the fourth decimal are none.
    exact = charges.with_columns(tokens=pl.Series([Decimal("0.25")] * 2, dtype=pl.Decimal(38, scale)))
    assert balance(contract.settle(exact))["a"] == Decimal("9.5")


def test_floats_and_text_are_no_tokens() -> None:
    for tokens in ([7.0], ["7"]):
        with pytest.raises(tf.ColumnTypeError, match="tokens"):
            flex(pack("a", 10)).settle(pl.DataFrame({"charged_at": [at("2026-03-05")], "tokens": tokens}))


def test_sums_that_do_not_fit_are_errors_and_never_wrong() -> None:
    contract = flex(pack("a", 10))
    most = Decimal(2**63 - 1).scaleb(-4)
    with pytest.raises(tf.CapacityError, match="sum of tokens"):
        contract.settle(charges_of(*[(at("2026-03-05"), most)] * 2))
    with pytest.raises(tf.ColumnValueError, match="922 million million"):
        contract.settle(charges_of((at("2026-03-05"), most + Decimal("0.0001"))))
    ledger = contract.settle(charges_of((at("2026-03-05"), most)))
    assert ledger.entries["balance_after"].to_list() == [10, 0, 10 - most]
    for tokens in (2**63 - 1, 2**40):
        charges = pl.DataFrame({"charged_at": [at("2026-03-05")], "tokens": [tokens]})
        if tokens == 2**40:
            assert balance(contract.settle(charges))["a"] == 0
        else:
            with pytest.raises(tf.ColumnValueError):
                contract.settle(charges)


def test_no_charges_and_no_rows() -> None:
    empty = charges_of()
    ledger = token_flex(10, 20, contract_tokens=5).settle(empty)
    assert told(ledger) == [("provision", "annual 1", 10, 10), ("provision", "contract", 5, 5)]
    assert ledger.as_of == at("2024-01-01")
    assert ledger.entries.schema["kind"] == tables.LEDGER["kind"]
    assert len(flex(pack("a", 1), pack("b", 1, "2026-06-01")).settle(empty)) == 2
    nothing = pl.DataFrame({"charged_at": [None], "tokens": [None]})
    problems = tf.Problems()
    assert len(flex(pack("a", 1)).settle(nothing, problems=problems)) == 1
    assert codes(problems) == [("charges", 0, "missing_time")]


# The end of the ledger.


def test_the_ledger_ends_with_the_last_charge_booking_or_purchase_or_where_it_is_told_to() -> None:
    contract = flex(pack("a", 10), pack("b", 10, "2026-04-01"))
    charges = charges_of((at("2026-03-05"), 1), (at("2026-05-05"), 1))
    assert contract.settle(charges).as_of == at("2026-05-05")
    assert contract.settle(charges.head(1)).as_of == at("2026-04-01")
    booked = replace(contract, bookings=(tf.Booking(day="2026-06-01", tokens=1, kind="adjustment"),))
    assert booked.settle(charges).as_of == at("2026-06-01")
    early = booked.settle(charges, as_of=at("2026-03-31"))
    assert told(early) == [("provision", "a", 10, 10), ("charge", "a", -1, 9)]
    late = booked.settle(charges, as_of=at("2027-04-01"))
    assert told(late)[-2:] == [("expiry", "a", -9, 0), ("expiry", "b", -10, 0)]
    with pytest.raises(tf.ArgumentError, match="settle with as_of="):
        early.balances(at=at("2026-04-01"))
    with pytest.raises(tf.ArgumentError, match="no time zone"):
        booked.settle(charges, as_of=datetime(2026, 3, 31))  # noqa: DTZ001 - that is what is refused
    assert balance(early, at=at("2025-06-01")) == {"a": 0, "b": 0, None: 0}


# Bookings.


def test_bookings_of_each_kind() -> None:
    contract = flex(
        pack("a", 10),
        pack("b", 10, "2026-02-01"),
        bookings=[
            tf.Booking(day="2026-03-02", tokens="-2.5", kind="adjustment", pool="b", reason="typed twice"),
            tf.Booking(day="2026-03-03", tokens=3, kind="adjustment"),
            tf.Booking(day="2026-03-04", tokens=15, kind="manual_consumption"),
            tf.Booking(day="2026-03-05", tokens=1, kind="move", pool="b", team="roads"),
        ],
    )
    problems = tf.Problems()
    ledger = contract.settle(charges_of(), problems=problems)
    rows = ledger.entries.select("kind", "pool", "tokens", "booking").rows()[2:]
    assert rows == [
        ("adjustment", "b", Decimal("-2.5"), 0),
        ("adjustment", "a", 3, 1),
        ("manual_consumption", "a", -13, 2),
        ("manual_consumption", "b", -2, 2),
        ("move", "b", -1, 3),
    ]
    assert ledger.bookings.select("kind", "pool", "tokens", "reason", "team").row(3) == ("move", "b", -1, "", "roads")
    assert ledger.bookings["reason"][0] == "typed twice"
    assert len(problems) == 0
    assert ledger.balances().select("adjusted", "consumed", "balance").row(2) == (Decimal("-0.5"), 15, Decimal("4.5"))


def test_what_is_not_there_cannot_be_given_away_but_used() -> None:
    bookings = [
        tf.Booking(day="2026-03-02", tokens=-11, kind="adjustment"),
        tf.Booking(day="2026-03-02", tokens=11, kind="move", pool="a", team="roads"),
        tf.Booking(day="2026-03-02", tokens=11, kind="manual_consumption", pool="a"),
    ]
    problems = tf.Problems()
    ledger = flex(pack("a", 10), bookings=bookings).settle(charges_of(), problems=problems)
    assert told(ledger)[1:] == [
        ("refusal", None, 0, 10),
        ("refusal", None, 0, 10),
        ("manual_consumption", "a", -10, 0),
        ("overage", None, -1, -1),
    ]
    assert codes(problems) == [("bookings", 0, "beyond_balance"), ("bookings", 1, "beyond_balance")]


STATEMENT = pl.DataFrame(
    [
        ("PRODUCT_CONSUMPTION", Decimal(7), None, date(2024, 3, 1), "CY", None),
        ("MANUAL_CONSUMPTION", Decimal(30), date(2024, 3, 4), date(2024, 3, 1), "CY", "off-network"),
        ("MANUAL_CONSUMPTION", Decimal(20), None, date(2024, 3, 1), "MY", None),
        ("MANUAL_ADJUSTMENT", Decimal(-5), date(2024, 3, 5), None, "CY", "credit"),
        ("MANUAL_ADJUSTMENT", Decimal(4), date(2024, 3, 6), None, None, None),
        ("MANUAL_ADJUSTMENT", None, date(2024, 3, 6), None, None, None),
        ("MANUAL_CONSUMPTION", Decimal(1), None, None, None, None),
        ("MANUAL_CONSUMPTION", Decimal(-1), date(2024, 3, 6), None, None, None),
        ("MANUAL_CONSUMPTION", Decimal(1), date(2023, 12, 31), None, None, None),
        ("MANUAL_CONSUMPTION", Decimal(1), date(2024, 3, 6), None, "XY", None),
        ("MANUAL_CONSUMPTION", Decimal(1), date(2024, 3, 6), None, "annual 2", None),
        ("MANUAL_ADJUSTMENT", Decimal(1000), date(2024, 3, 6), None, "MY", None),
    ],
    schema={
        "usage_category": tables.STATEMENT["usage_category"],
        "tokens": tables.TOKENS,
        "transaction_date": pl.Date,
        "usage_date": pl.Date,
        "token_pool": tables.NAME,
        "reason_comment": pl.String,
    },
    orient="row",
)


def test_manual_rows_of_a_statement_are_booked() -> None:
    contract = token_flex(100, 100, contract_tokens=50)
    problems = tf.Problems()
    ledger = contract.settle(charges_of(), statement=STATEMENT, problems=problems)
    rows = ledger.entries.select(pl.col("at").dt.date(), "kind", "pool", "tokens", "booking").rows()[2:]
    assert rows == [
        (date(2024, 3, 1), "manual_consumption", "contract", -20, 1),
        (date(2024, 3, 4), "manual_consumption", "annual 1", -30, 0),
        # The vendor counts what was consumed: a negative adjustment gives back.
        (date(2024, 3, 5), "adjustment", "annual 1", 5, 2),
        (date(2024, 3, 6), "adjustment", "annual 1", -4, 3),
        (date(2024, 3, 6), "refusal", None, 0, 4),
    ]
    assert codes(problems) == [
        ("statement", 5, "no_tokens"),
        ("statement", 6, "missing_time"),
        ("statement", 7, "negative_tokens"),
        ("statement", 8, "outside_term"),
        ("statement", 9, "unknown_pool"),
        ("statement", 10, "pool_not_open"),
        ("statement", 11, "beyond_balance"),
    ]
    assert ledger.bookings.select("location", "reason").rows()[:3] == [(1, "off-network"), (2, ""), (3, "credit")]


def test_problems_of_a_statement_name_its_file_and_line() -> None:
    export = (
        b"usageDate,usageCategory,tokenPool,tokensConsumed,transactionDate\n"
        b"2024-06-03,PRODUCT_CONSUMPTION,CY,7,\n"
        b"2023-06-03,MANUAL_CONSUMPTION,MY,3217,2023-06-03\n"
        b"2024-06-03,MANUAL_ADJUSTMENT,MY,51,2024-06-03\n"
    )
    statement = tf.read_statement(export, problems=tf.Problems())
    problems = tf.Problems()
    token_flex(100, 100, contract_tokens=50).settle(charges_of(), statement=statement, problems=problems)
    file = str(statement["file"][0])
    assert codes(problems) == [(file, 3, "outside_term"), (file, 4, "beyond_balance")]


def test_what_the_contract_has_booked_already_is_told() -> None:
    booking = tf.Booking(day="2024-03-04", tokens=30, kind="manual_consumption", pool="CY")
    contract = token_flex(100, 100, contract_tokens=50, bookings=[booking])
    problems = tf.Problems()
    ledger = contract.settle(charges_of(), statement=STATEMENT.slice(1, 1), problems=problems)
    assert codes(problems) == [("statement", 1 - 1, "booked_twice")]
    assert balance(ledger)["annual 1"] == 40


def test_an_export_of_the_vendor_is_booked_as_it_is_read() -> None:
    statement = tf.read_statement(
        b"usageDate,usageCategory,tokenPool,tokensConsumed,transactionDate,reasonType,reasonComment\n"
        b"2024-06-03,MANUAL_CONSUMPTION,MY,3217,2024-06-03,OFFLINE,on a ship\n"
        b"2024-06-03,MANUAL_ADJUSTMENT,CY,-12.5,2024-06-04,CREDIT,\n",
        problems=tf.Problems(),
    )
    ledger = token_flex(100, 100, contract_tokens=25000).settle(charges_of(), statement=statement)
    assert balance(ledger) == {"annual 1": Decimal("112.5"), "annual 2": 0, "contract": 21783, None: Decimal("21895.5")}
    assert ledger.bookings["reason"].to_list() == ["OFFLINE: on a ship", "CREDIT"]


@pytest.mark.parametrize("column", ["tokens", "usage_category", "transaction_date", "token_pool"])
def test_a_statement_of_wrong_columns_is_refused(column: str) -> None:
    contract = token_flex(100, 100, contract_tokens=50)
    with pytest.raises(tf.ColumnTypeError, match=column):
        contract.settle(charges_of(), statement=STATEMENT.with_columns(pl.lit(1.5).alias(column)))
    if column != "token_pool":
        dropped = STATEMENT.drop(column, *(["usage_date"] if column == "transaction_date" else []))
        with pytest.raises(tf.MissingColumnError, match=column):
            contract.settle(charges_of(), statement=dropped)
    if column == "tokens":
        fine = STATEMENT.slice(1, 1).with_columns(tokens=pl.Series([Decimal("0.00001")], dtype=pl.Decimal(38, 5)))
        with pytest.raises(tf.ColumnValueError, match="four decimals"):
            contract.settle(charges_of(), statement=fine)


# What is asked of a ledger.


def test_what_expires_soon() -> None:
    contract = flex(
        pack("a", 10, "2025-09-01", unit_price=3), pack("b", 20, "2025-10-01"), pack("c", 5, unit_price="2.5")
    )
    ledger = contract.settle(charges_of((at("2026-08-01"), 4)))
    closes = at("2026-09-01")
    soon = ledger.expiring(within=closes - at("2026-08-01"))
    assert soon.rows() == [("a", closes, date(2026, 8, 31), 6, 18)]
    assert soon.schema == tables.EXPIRING
    assert ledger.expiring(within=closes - at("2026-08-01") - TICK).height == 0
    assert ledger.expiring(within=365 * DAY)["value"].to_list() == [18, None, Decimal("12.5")]
    assert ledger.expiring(within=timedelta.max)["pool"].to_list() == ["a", "b", "c"]
    assert ledger.expiring(within=365 * DAY, at=at("2025-09-15"))["pool"].to_list() == ["a"]
    carried = token_flex(10, 10, carry_over=True).settle(charges_of(), as_of=at("2024-12-01"))
    assert carried.expiring(within=365 * DAY).height == 0
    with pytest.raises(tf.ArgumentError, match="within"):
        ledger.expiring(within=-DAY)


def test_the_rate_and_what_comes_of_it() -> None:
    contract = token_flex(100, 50, contract_tokens=20)
    # 28 tokens in the four weeks before 1 October, one a day; the one before them is out.
    charges = charges_of((at("2024-09-03"), 10), (at("2024-09-10"), 20), (at("2024-10-01"), 8))
    burn = contract.settle(charges).burn()
    assert (burn.since, burn.at) == (at("2024-09-03"), at("2024-10-01"))
    assert [burn.tokens, burn.tokens_per_day, burn.balance] == [28, 1, 82]
    # 62 from the first year until 1 January, so 30 of its days are the contract's, and then 50 and -10 of the next.
    assert burn.pools.schema == tables.BURN
    rows = burn.pools.select("pool", "tokens", "exhausted_at", "expected_expiry").rows()
    assert rows == [
        ("annual 1", 62, at("2024-12-02"), 0),
        ("annual 2", 50, at("2025-02-20"), 0),
        ("contract", 20, at("2024-12-22"), 0),
    ]
    assert burn.exhausted_at == at("2024-12-22")
    assert burn.expected_overage == 10 + (at("2026-01-01") - at("2025-02-20")).days
    assert burn.expected_expiry == 0


def test_nothing_used_lasts_for_ever_and_expires() -> None:
    ledger = token_flex(100, 50, carry_over=True).settle(charges_of((at("2024-03-01"), 7)), as_of=at("2024-06-01"))
    burn = ledger.burn()
    assert [burn.tokens, burn.tokens_per_day, burn.expected_overage] == [0, 0, 0]
    assert burn.exhausted_at is None
    assert burn.pools["expected_expiry"].to_list() == [0, 143]
    assert burn.expected_expiry == 143
    begin = ledger.burn(at=at("2024-01-01"))
    assert begin.tokens_per_day is None
    assert [begin.tokens, begin.balance] == [0, 100]
    assert ledger.burn(at=at("2024-03-01"), window=timedelta.max).tokens == 7
    with pytest.raises(tf.ArgumentError, match="window"):
        ledger.burn(window=timedelta(0))


def test_what_tokens_have_cost() -> None:
    contract = flex(
        pack("a", 10, unit_price=3), pack("b", 20, "2026-06-01", unit_price="2.5"), overage_price="4.5", currency="EUR"
    )
    charges = charges_of((at("2026-03-02"), 4), (at("2026-07-01"), 8), (at("2027-03-02"), "20.5"))
    cost = contract.settle(charges, as_of=at("2027-06-01")).cost()
    assert cost.schema == tables.COST
    a, b, whole = cost.iter_rows(named=True)
    assert (a["tokens_consumed"], a["value_consumed"], a["value_expired"]) == (10, 30, 0)
    assert (b["tokens_consumed"], b["tokens_expired"], b["value_expired"]) == (20, 0, 0)
    assert (whole["tokens_bought"], whole["value_bought"]) == (30, 80)
    assert (whole["overage"], whole["overage_cost"]) == (Decimal("2.5"), Decimal("11.25"))
    assert whole["unit_price"] == Decimal("2.66666667")
    assert whole["effective_price"] == Decimal("2.80769231")  # 91.25 / 32.5
    # Overage without a price: what is known stays known, what is not is null.
    unknown = replace(contract, overage_price=None).settle(charges).cost().row(2, named=True)
    assert (unknown["overage_cost"], unknown["effective_price"], unknown["value_consumed"]) == (None, None, 80)
    no_price = flex(pack("a", 10), pack("b", 10, "2026-06-01", unit_price=1)).settle(charges_of((at("2026-07-01"), 1)))
    assert no_price.cost()["value_bought"].to_list() == [None, 10, None]
    assert no_price.cost()["value_expired"].to_list() == [None, 0, 0]
    assert no_price.cost(at=at("2025-12-01"))["tokens_bought"].to_list() == [0, 0, 0]


def test_a_discount_by_quantity_is_that_of_the_whole_purchase() -> None:
    prices = [tf.PriceTier(from_tokens=0, unit_price=3), tf.PriceTier(from_tokens=25, unit_price="2.8")]
    ledger = token_flex(10, 10, contract_tokens=5, prices=prices).settle(charges_of((at("2024-03-02"), 1)))
    assert ledger.cost()["value_consumed"].to_list() == [Decimal("2.8"), 0, 0, Decimal("2.8")]


# The road from sessions to the ledger.


def test_charges_of_the_verb_are_settled_as_they_are() -> None:
    sessions = pl.DataFrame(
        {"user": ["ana", "ana", "bo"], "product": ["ACD", "RVT", "ACD"], "start": [at("2026-07-13", 8)] * 3}
    ).with_columns(end=pl.col("start") + timedelta(hours=30))
    charges = tf.charge(sessions, rule=tf.FLEX, rates=tf.Rates({"ACD": 7, "RVT": 10}))
    contract = flex(pack("a", 40), products={"ACD", "RVT"})
    ledger = contract.settle(charges)
    assert ledger.balances()["consumed"].to_list() == [40, 40]
    used = ledger.entries.filter(pl.col("charge").is_not_null())
    assert -used["tokens"].sum() == charges["tokens"].sum() == 48
    by_row = used.group_by("charge").agg(-pl.sum("tokens")).sort("charge")["tokens"]
    assert by_row.to_list() == charges["tokens"].to_list()


def test_any_arrow_table_will_do_and_none_is_changed() -> None:
    charges = charges_of((at("2026-03-05"), 1), (at("2026-03-02"), 2), (at("2026-03-04"), 3))
    whole = charges.with_columns(tokens=pl.col("tokens").cast(pl.Int32))
    before = charges.clone()
    contract = flex(pack("a", 4), pack("b", 4))
    expected = contract.settle(charges).entries
    pandas = pytest.importorskip("pandas")
    duckdb = pytest.importorskip("duckdb")
    table = charges.to_arrow()
    for same in (
        charges.lazy(),
        pl.concat([charges[:1], charges[1:2], charges[2:]], rechunk=False),
        whole,
        charges.with_columns(pl.col("charged_at").dt.convert_time_zone("Asia/Tokyo")),
        charges.with_columns(pl.col("charged_at").dt.cast_time_unit("ms")),
        charges.with_columns(pl.col("tokens").cast(pl.Decimal(20, 1))),
        table,
        pa.RecordBatchReader.from_batches(table.schema, table.to_batches(max_chunksize=1)),
        pandas.DataFrame(pa.table(whole.to_arrow()).to_pandas()),
        duckdb.from_arrow(table),
    ):
        assert contract.settle(same).entries.equals(expected), type(same)
    assert charges.equals(before)


# The whole against its definition.


@dataclass(frozen=True)
class Case:
    """A contract, its charges in some order, and until when."""

    contract: tf.Contract
    charges: pl.DataFrame
    as_of: datetime | None


UNITS = st.one_of(st.just(0), st.integers(0, 12).map(lambda number: number * 10_000), st.integers(0, 60_000))
SMALL = UNITS.map(lambda units: Decimal(units).scaleb(-4))


@st.composite
def contracts(draw: st.DrawFn) -> tf.Contract:
    zone = draw(st.sampled_from(ZONES))
    on_empty = draw(st.sampled_from(["overage", "overage", "refuse", "error"]))
    terms: dict[str, Any] = {"number": "1", "zone": zone, "on_empty": on_empty}
    if draw(st.booleans()):
        packs = draw(st.lists(st.tuples(st.integers(0, 700), SMALL, st.booleans()), min_size=1, max_size=5))
        terms["packs"] = [
            tf.Pack(
                id=f"p{place}",
                tokens=tokens or 1,
                purchased=date(2017, 3, 1) + timedelta(days=day // 100 * 100 if is_even else day),
            )
            for place, (day, tokens, is_even) in enumerate(packs)
        ]
    else:
        start = draw(st.sampled_from([date(2017, 11, 4), date(2024, 2, 1), date(2024, 2, 29)]))
        last = start + timedelta(days=draw(st.integers(760, 1_700)))
        cuts = draw(st.sets(st.integers(1, 759), max_size=3))
        starts = [start, *(start + timedelta(days=cut) for cut in sorted(cuts))]
        ends = [*(each - DAY for each in starts[1:]), last]
        count = len(starts)
        terms["years"] = [
            tf.ContractYear(year=place, start=first, end=end, tokens=draw(SMALL), carry_over=carries)
            for place, (first, end, carries) in enumerate(
                zip(
                    starts,
                    ends,
                    [*draw(st.lists(st.booleans(), min_size=count - 1, max_size=count - 1)), False],
                    strict=True,
                ),
                1,
            )
        ]
        terms["contract_tokens"] = draw(SMALL)
        terms["order"] = draw(st.sampled_from(["annual_first", "contract_first", "earliest_end"]))
    plain = tf.Contract(**terms)
    bookings = [draw(_booking(plain)) for _ in range(draw(st.integers(0, 4)))]
    return replace(plain, bookings=tuple(bookings))


@st.composite
def _booking(draw: st.DrawFn, contract: tf.Contract) -> tf.Booking:
    pool = draw(st.sampled_from(contract.pools))
    first = date.fromisoformat(str(_local_start(contract, pool)))
    day = draw(st.sampled_from([first, pool.end, first + (pool.end - first) // 2]))
    kinds: list[Literal["adjustment", "manual_consumption", "move"]] = ["adjustment", "manual_consumption"]
    kind = draw(st.sampled_from([*kinds, "move"] if contract.packs else kinds))
    # Often more than the pool has.
    tokens = draw(st.one_of(st.integers(1, 40_000), st.integers(60_000, 300_000)))
    if kind == "adjustment" and draw(st.booleans()):
        tokens = -tokens
    names = [pool.id, *([] if kind == "move" else [None])]
    names += ["CY"] if contract.years else []
    return tf.Booking(
        day=day,
        tokens=Decimal(tokens).scaleb(-4),
        kind=kind,
        pool=draw(st.sampled_from(names)),
        team="roads" if kind == "move" else None,
    )


def _local_start(contract: tf.Contract, pool: Any) -> date:
    starts = {f"annual {year.year}": year.start for year in contract.years} | {"contract": contract.start}
    return (starts | {pack.id: pack.start for pack in contract.packs})[pool.id]


@st.composite
def cases(draw: st.DrawFn) -> Case:
    contract = draw(contracts())
    edges = [instant for pool in contract.pools for instant in (pool.opens, pool.closes)]
    middle = min(edges) + (max(edges) - min(edges)) / 2
    near = st.sampled_from([timedelta(0), TICK, -TICK, DAY, timedelta(days=40)])
    instants = st.one_of(st.none(), st.builds(lambda edge, by: edge + by, st.sampled_from([*edges, middle]), near))
    tokens = st.one_of(SMALL, st.none() | st.just(Decimal(-1)))
    rows = draw(st.lists(st.tuples(instants, st.one_of(SMALL, SMALL, SMALL, tokens)), max_size=14))
    as_of = draw(st.one_of(st.none(), st.sampled_from([*edges, middle, edges[0] - TICK])))
    return Case(contract, charges_of(*rows), as_of)


def micros(instant: datetime) -> int:
    return (instant - EPOCH) // TICK


def reference_of(case: Case, until: datetime) -> Reference:
    contract = case.contract
    pools = [
        Pool(pool.id, tables.units(pool.tokens), micros(pool.opens), micros(pool.closes), pool.carries_to)
        for pool in contract.pools
    ]
    opens, closes = min(pool.opens for pool in pools), max(pool.closes for pool in pools)
    charges = [
        Charge(micros(time), tables.units(tokens), row)
        for row, (time, tokens) in enumerate(case.charges.iter_rows())
        if time is not None and tokens is not None and tokens >= 0 and opens <= micros(time) < closes
    ]
    bookings = []
    for place, booking in enumerate(contract.bookings):
        pool = None if booking.pool is None else contract.pool(booking.pool, day=booking.day)
        change = tables.units(booking.tokens) * (1 if booking.kind == "adjustment" else -1)
        name = None if pool is None else pool.id
        bookings.append(Booking(micros(contract.first_instant(booking.day)), booking.kind, change, name, place))
    reference = Reference(pools, contract.on_empty)
    reference.settle(charges, bookings, micros(until))
    return reference


def settled(case: Case) -> tuple[tf.Ledger, tf.Problems]:
    problems = tf.Problems()
    return case.contract.settle(case.charges, as_of=case.as_of, problems=problems), problems


def check_against_the_definition(case: Case) -> None:
    try:
        ledger, problems = settled(case)
    except tf.BalanceError:
        with pytest.raises(OutOfTokensError):
            reference_of(case, case.as_of or case.contract.closes)
        return
    reference = reference_of(case, ledger.as_of)
    names = ("at", "kind", "pool", "tokens", "balance_before", "balance_after", "charge", "booking")
    found = [
        (micros(time), kind, pool, *(tables.units(amount) for amount in amounts), charge, booking)
        for time, kind, pool, *amounts, charge, booking in ledger.entries.select(names).iter_rows()
    ]
    assert found == [tuple(entry) for entry in reference.entries]
    assert ledger.entries["entry"].to_list() == list(range(1, len(found) + 1))
    refused = [place for source, place, code in codes(problems) if (source, code) == ("bookings", "beyond_balance")]
    assert sorted(refused) == sorted(reference.refused)
    drawn = {row for row in ledger.entries["charge"] if row is not None}
    told_of = {row for source, row, _ in codes(problems) if source == "charges"}
    assert not drawn & told_of
    if case.as_of is None:
        assert drawn | told_of == set(range(case.charges.height))


@settings(max_examples=400)
@given(cases())
def test_the_ledger_equals_its_definition(case: Case) -> None:
    check_against_the_definition(case)


@pytest.mark.heavy
@given(cases())
def test_the_ledger_equals_its_definition_in_many_more_cases(case: Case) -> None:
    check_against_the_definition(case)


@given(cases(), st.data())
def test_balances_add_up_at_every_instant(case: Case, data: st.DataObject) -> None:
    case = replace(case, contract=replace(case.contract, on_empty=data.draw(st.sampled_from(["overage", "refuse"]))))
    ledger, _ = settled(case)
    instants = [time for time in ledger.entries["at"].unique().to_list() if time >= EPOCH]
    when = data.draw(st.sampled_from([None, ledger.as_of, *instants]))
    balances = ledger.balances(at=when)
    assert balances.schema == tables.BALANCES
    rows = balances.to_dicts()
    for row in rows:
        assert (
            row["provisioned"] + row["adjusted"] + row["carried"] == row["consumed"] + row["expired"] + row["balance"]
        )
        assert row["balance"] >= 0
    *pools, whole = rows
    assert [row["pool"] for row in pools] == [pool.id for pool in case.contract.pools]
    for name in ("provisioned", "adjusted", "carried", "consumed", "expired", "balance"):
        assert whole[name] == sum(row[name] for row in pools)
    assert whole["carried"] == 0
    # Money follows the tokens.
    cost = ledger.cost(at=when)
    assert cost["tokens_consumed"].to_list() == balances["consumed"].to_list()
    entries = ledger.entries.filter(pl.col("at") <= (when or ledger.as_of))
    of_charges = entries.filter(pl.col("charge").is_not_null())
    kinds = set(of_charges["kind"].to_list())
    assert kinds <= {"charge", "overage", "refusal"}
    refused = set(of_charges.filter(kind="refusal")["charge"])
    taken = of_charges.filter(pl.col("kind") != "refusal")
    by_row = dict(taken.group_by("charge").agg(-pl.sum("tokens")).iter_rows())
    assert not refused & set(by_row)
    # A charge is drawn whole or not at all.
    assert all(tokens == case.charges["tokens"][row] for row, tokens in by_row.items())


@given(cases())
def test_nothing_is_drawn_from_a_pool_that_is_not_open(case: Case) -> None:
    case = replace(case, contract=replace(case.contract, on_empty="overage"))
    ledger, _ = settled(case)
    life = {pool.id: (pool.opens, pool.closes) for pool in case.contract.pools}
    inside = ("charge", "manual_consumption", "adjustment", "move")
    for time, pool in ledger.entries.filter(pl.col("kind").is_in(inside)).select("at", "pool").iter_rows():
        assert life[pool][0] <= time < life[pool][1]
    overage = ledger.entries.filter(kind="overage")["balance_after"]
    assert (ledger.entries.filter(pl.col("pool").is_not_null())["balance_after"] >= 0).all()
    assert (overage <= 0).all()


@given(cases(), st.randoms(use_true_random=False))
def test_permuting_charges_of_one_instant_changes_no_balance(case: Case, chance: random.Random) -> None:
    case = replace(case, contract=replace(case.contract, on_empty="overage"))
    rows = list(range(case.charges.height))
    chance.shuffle(rows)
    ledger, _ = settled(case)
    other, _ = settled(replace(case, charges=case.charges[rows]))
    for instant in sorted({time for time in ledger.entries["at"] if time >= EPOCH}):
        assert ledger.balances(at=instant).equals(other.balances(at=instant))
    assert ledger.cost().equals(other.cost())


@given(cases())
def test_the_outlook_uses_up_or_lets_expire_every_token(case: Case) -> None:
    case = replace(case, contract=replace(case.contract, on_empty="overage", bookings=()))
    ledger, _ = settled(case)
    if ledger.as_of < case.contract.opens:
        return
    burn = ledger.burn()
    there = sum(burn.pools["tokens"].to_list(), Decimal(0))
    span = (max(case.contract.closes, burn.at) - burn.at) // TICK
    passed = (burn.at - burn.since) // TICK
    needed = Decimal(tables.units(burn.tokens) * span) / passed / 10_000 if passed else Decimal(0)
    used = needed - burn.expected_overage
    assert abs(there - used - burn.expected_expiry) <= Decimal("0.001")
    assert (burn.exhausted_at is None) == (burn.expected_overage == 0) or burn.expected_overage < Decimal("0.001")
    assert abs(sum(burn.pools["expected_expiry"].to_list(), Decimal(0)) - burn.expected_expiry) <= Decimal("0.001")


# Much.


def test_ten_thousand_packs_are_drawn_in_order() -> None:
    packs = [pack(f"{place:05}", 3, str(date(2020, 1, 1) + timedelta(days=place % 2_000))) for place in range(10_000)]
    contract = flex(*packs)
    times = pl.datetime_range(
        at("2020-01-01"), at("2026-01-01"), "2h", eager=True, time_unit="us"
    ).dt.replace_time_zone("UTC")
    charges = pl.DataFrame({"charged_at": times}).with_columns(tokens=pl.lit(1))
    ledger = contract.settle(charges, as_of=at("2027-01-01"))
    whole = ledger.balances().row(-1, named=True)
    assert whole["provisioned"] == 30_000
    assert whole["consumed"] + whole["expired"] == 30_000
    assert whole["balance"] == 0
    soon = ledger.expiring(within=365 * DAY, at=at("2022-01-01"))
    assert soon["tokens"].sum() == ledger.balances(at=at("2022-01-01")).row(-1, named=True)["balance"]
    burn = ledger.burn(at=at("2022-01-01"))
    assert burn.tokens_per_day == 12
    assert burn.pools.height == 10_000 - 5 * 367
    shuffled = contract.settle(charges.sample(fraction=1, shuffle=True, seed=1), as_of=at("2027-01-01"))
    columns = ["at", "kind", "pool", "tokens", "balance_after"]
    assert shuffled.entries.select(columns).equals(ledger.entries.select(columns))


def test_a_hundred_thousand_charges_in_any_order() -> None:
    chance = random.Random(3)
    seconds = [chance.randrange(3 * 365 * 86_400 * 10**6) for _ in range(100_000)]
    charges = pl.DataFrame({"us": seconds, "tokens": [chance.randrange(12) for _ in seconds]}).select(
        charged_at=(pl.lit(micros(at("2024-01-01"))) + pl.col("us")).cast(tables.TIME), tokens="tokens"
    )
    contract = token_flex(100_000, 100_000, 100_000, contract_tokens=50_000, carry_over=True)
    shuffled, ordered = contract.settle(charges), contract.settle(charges.sort("charged_at"))
    columns = [name for name in tables.LEDGER if name != "charge"]
    assert shuffled.entries.select(columns).equals(ordered.entries.select(columns))
    used = shuffled.entries.filter(pl.col("charge").is_not_null())
    assert used["at"].is_sorted()
    assert used.select(charged_at=charges["charged_at"].gather(used["charge"]))["charged_at"].equals(
        used["at"], check_names=False
    )


# Hostile tables and calls.


GOOD = charges_of(*[(at("2026-03-02", hour), 1) for hour in range(4)]).with_columns(product=pl.lit("ACD"))
SEVERAL: list[Any] = [
    [1, 2, 3, 4],
    [2**63 - 1, -(2**63), 0, 1],
    [1.5, None, float("nan"), float("inf")],
    [True, False, None, True],
    [b"a", b"\xff\xfe", b"", None],
    [["a"], [], None, ["b", "c"]],
    [{"a": 1}, None, {"a": 2}, {"a": 3}],
    [date(2026, 7, 13)] * 4,
    [timedelta(1)] * 4,
    ["", " ", "\0", "x" * 10_000],
    [None] * 4,
    [at("2026-03-02")] * 4,
]
EDGES = [-(2**63), -(2**63) + 1, -1, 0, 1, 2**62, 2**63 - 2, 2**63 - 1]
HOSTILE: dict[str, Any] = {
    "nothing": None,
    "a number": 7,
    "a name": "charges.parquet",
    "a list": [{"charged_at": None}],
    "no columns": pl.DataFrame(),
    "no rows": GOOD.clear(),
    "no batches": pa.Table.from_batches([], GOOD.to_arrow().schema),
    "a column twice": GOOD.to_arrow().append_column("tokens", GOOD.to_arrow()["tokens"]),
    **{f"no {name}": GOOD.drop(name) for name in GOOD.columns},
    **{
        f"{name} of {type(values[0]).__name__} {place}": GOOD.with_columns(pl.Series(name, values, strict=False))
        for name in GOOD.columns
        for place, values in enumerate(SEVERAL)
    },
    **{
        f"times at the edges in {unit}": pl.concat([GOOD, GOOD]).with_columns(
            charged_at=pl.Series(EDGES, dtype=pl.Int64).cast(pl.Datetime(unit, "UTC"))
        )
        for unit in ("ms", "us", "ns")
    },
    **{
        f"tokens of scale {scale}": pa.table(
            {"charged_at": GOOD.to_arrow()["charged_at"], "tokens": pa.array([0, 0, 0, 0], pa.decimal128(38, scale))}
        )
        for scale in (-127, -5, 0, 38, 127)
        if -38 <= scale <= 38
    },
    "the largest decimals": GOOD.with_columns(tokens=pl.Series([Decimal("9" * 34)] * 4, dtype=pl.Decimal(38, 4))),
    "decimals of 256 bits": pa.table(
        {"charged_at": GOOD.to_arrow()["charged_at"], "tokens": pa.array([1] * 4, pa.decimal256(76, 4))}
    ),
}


@pytest.mark.parametrize("name", list(HOSTILE))
def test_no_table_of_charges_shows_a_defect(name: str) -> None:
    contract = flex(pack("a", 2), products=["ACD"])
    calls: list[Callable[[Any], tf.Ledger]] = [
        lambda table: contract.settle(table, problems=tf.Problems()),
        lambda table: replace(contract, on_empty="refuse", products=None).settle(table, problems=tf.Problems()),
        lambda table: contract.settle(GOOD, statement=table, problems=tf.Problems()),
    ]
    for call in calls:
        # Pyarrow itself says which column stands twice.
        allowed = (tf.TokenflexError, KeyError) if name == "a column twice" else tf.TokenflexError
        try:
            ledger = call(HOSTILE[name])
        except tf.InternalError as error:
            pytest.fail(str(error))
        except allowed:
            continue
        ledger.balances()
        ledger.cost()
        ledger.burn()


STATEMENT_COLUMNS = ("usage_category", "tokens", "transaction_date", "token_pool", "reason_comment")


@pytest.mark.parametrize("column", STATEMENT_COLUMNS)
@pytest.mark.parametrize("place", range(len(SEVERAL)))
def test_no_statement_shows_a_defect(column: str, place: int) -> None:
    hostile = STATEMENT.slice(1, 4).with_columns(pl.Series(column, SEVERAL[place], strict=False))
    try:
        token_flex(100, 100).settle(charges_of(), statement=hostile, problems=tf.Problems())
    except tf.InternalError as error:
        pytest.fail(str(error))
    except tf.TokenflexError:
        pass


@pytest.mark.parametrize(
    "wrong",
    [
        {"pools": [("a", 0, 0, 1, None)]},
        {"pools": [("a", 0, 10, -1, None)]},
        {"pools": [("a", 0, 10, 1, 7)]},
        {"pools": [("a", -(2**63), 2**63 - 1, 2**63 - 1, 0)]},
        {"bookings": [(0, "gift", 1, None)]},
        {"bookings": [(0, "move", -(2**63), 9)]},
        {"bookings": [(10, "adjustment", -(2**63), None)]},
        {"bookings": [(-5, "adjustment", 1, None)]},
        {"on_empty": "shrug"},
        {"as_of": -(2**63)},
        {"at_least": 2**63 - 1},
        {"pools": []},
        {"pools": None},
    ],
    ids=repr,
)
def test_terms_that_no_contract_has_are_harmless(wrong: dict[str, Any]) -> None:
    """A contract refuses all of these; the compiled part checks what would break it, and takes the rest."""
    from tokenflex import _core  # noqa: PLC0415

    terms: Any = {
        "pools": [("a", 0, 10, 5, None), ("a", 5, 2**62, 5, None)],
        "bookings": [],
        "on_empty": "overage",
        "products": None,
        "as_of": None,
        "at_least": 0,
    }
    try:
        _core.settle(GOOD.to_arrow(), {}, terms=terms | wrong)
    except tf.InternalError:
        raise
    except (tf.TokenflexError, TypeError, OverflowError):
        pass
