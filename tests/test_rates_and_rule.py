"""Rules and rates as values: what they accept, what they refuse, and which rate counts when."""

from __future__ import annotations

import copy
import dataclasses
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tokenflex as tf
from reference import DAY, HOUR, TICK

if TYPE_CHECKING:
    from pathlib import Path

MONDAY = datetime(2026, 7, 13, 8, tzinfo=UTC)
ROLLING = tf.Rule(window="rolling")


def tokens_at(rates: tf.Rates, *instants: datetime, product: str = "ACD") -> list[Decimal | None]:
    """The tokens of one launch at each instant, everyone by somebody else."""
    sessions = pl.DataFrame(
        {
            "user": [f"user{row}" for row in range(len(instants))],
            "product": [product] * len(instants),
            "start": list(instants),
            "end": list(instants),
        }
    )
    return tf.charge(sessions, rule=ROLLING, rates=rates, problems=tf.Problems()).sort("session")["tokens"].to_list()


# Rules.


def test_presets() -> None:
    flex = tf.Rule(
        window="rolling",
        length=timedelta(hours=24),
        renew=True,
        min_duration=timedelta(minutes=5),
        idle_after=timedelta(minutes=15),
        incremental=False,
        scope="contract",
        machine_metered=frozenset(),
    )
    token_flex = tf.Rule(
        window="day",
        zone="server",
        day_start=timedelta(0),
        renew=True,
        min_duration=timedelta(0),
        idle_after=None,
        incremental=True,
        scope="contract",
    )
    assert flex == tf.FLEX
    assert token_flex == tf.TOKEN_FLEX


def test_a_rule_is_a_value() -> None:
    rule = tf.Rule(window="rolling", length=7 * DAY)
    assert rule == tf.Rule(window="rolling", length=7 * DAY)
    assert hash(rule) == hash(tf.Rule(window="rolling", length=7 * DAY))
    assert copy.deepcopy(rule) == rule
    assert dataclasses.replace(rule, length=DAY) == tf.Rule(window="rolling", length=DAY)
    with pytest.raises(dataclasses.FrozenInstanceError):
        rule.length = DAY  # type: ignore[misc]
    with pytest.raises(TypeError):
        tf.Rule("rolling", DAY, "server", DAY)  # type: ignore[call-arg]


RULES = [
    tf.Rule(window="rolling"),
    tf.Rule(window="rolling", length=HOUR),
    tf.Rule(window="rolling", length=HOUR + TICK),
    tf.Rule(window="rolling", min_duration=timedelta(minutes=5)),
    tf.Rule(window="rolling", min_duration=timedelta(minutes=5) + TICK),
    tf.Rule(window="day", zone="server"),
    tf.Rule(window="day", zone="utc"),
    tf.Rule(window="day", zone="Europe/Madrid"),
    tf.Rule(window="day", zone="America/Chicago"),
    tf.Rule(window="day", zone="server", min_duration=HOUR),
    tf.Rule(window="day", zone="user"),
    tf.Rule(window="day", zone="utc", day_start=4 * HOUR),
    tf.Rule(window="rolling", renew=False),
    tf.Rule(window="day", renew=False),
    tf.Rule(window="rolling", idle_after=timedelta(minutes=15)),
    tf.Rule(window="rolling", idle_after=timedelta(minutes=15) + TICK),
    tf.Rule(window="rolling", incremental=True),
    tf.Rule(window="rolling", scope="server"),
    tf.Rule(window="rolling", machine_metered=frozenset({"ARNOLD"})),
    tf.Rule(window="rolling", machine_metered=frozenset({"ARNOLD", "VRED"})),
]


def test_every_rule_has_an_id_of_its_own() -> None:
    ids = [rule.rule_id for rule in RULES]
    assert len(set(ids)) == len(RULES)
    assert ids == [dataclasses.replace(rule).rule_id for rule in RULES]


@pytest.mark.parametrize("rule", [*RULES, tf.FLEX, tf.TOKEN_FLEX], ids=lambda rule: rule.rule_id)
def test_every_charge_carries_the_id_of_its_rule(rule: tf.Rule) -> None:
    sessions = pl.DataFrame(
        {
            "user": ["ana"],
            "product": ["ACD"],
            "server": ["lic-01"],
            "host": ["pc1"],
            "start": [MONDAY],
            "end": [MONDAY + 9 * HOUR],
        }
    )
    rates, servers, users = tf.Rates({"ACD": 7}), {"lic-01": "UTC"}, {"ana": "Asia/Tokyo"}
    charges = tf.charge(sessions, rule=rule, rates=rates, servers=servers, users=users)
    assert set(charges["rule_id"]) == {rule.rule_id}
    assert isinstance(charges.schema["rule_id"], pl.Enum)


@pytest.mark.parametrize("window", ["Rolling", "week", "", None, 24, b"day"])
def test_an_unknown_window_is_refused(window: Any) -> None:
    with pytest.raises(tf.TokenflexError, match="window") as caught:
        tf.Rule(window=window)
    assert isinstance(caught.value, (ValueError, TypeError))


@pytest.mark.parametrize(
    "length",
    [
        timedelta(0),
        -DAY,
        timedelta(minutes=1) - TICK,
        timedelta(days=366) + TICK,
        timedelta.max,
        timedelta.min,
        24,
        24.0,
        "24h",
        None,
    ],
)
def test_a_length_that_is_none_is_refused(length: Any) -> None:
    with pytest.raises(tf.TokenflexError, match="length") as caught:
        tf.Rule(window="rolling", length=length)
    assert isinstance(caught.value, (ValueError, TypeError))


@pytest.mark.parametrize(
    "min_duration", [-TICK, -DAY, timedelta(days=366) + TICK, timedelta.min, timedelta.max, 5, 5.0, "5m", None]
)
def test_a_minimum_that_is_none_is_refused(min_duration: Any) -> None:
    with pytest.raises(tf.TokenflexError, match="min_duration") as caught:
        tf.Rule(window="rolling", min_duration=min_duration)
    assert isinstance(caught.value, (ValueError, TypeError))


@pytest.mark.parametrize("zone", [None, 2, b"UTC", "Mars/Olympus", ""])
def test_a_zone_that_is_none_is_refused(zone: Any) -> None:
    with pytest.raises(tf.TokenflexError, match="zone") as caught:
        tf.Rule(window="day", zone=zone)
    assert isinstance(caught.value, (ValueError, TypeError))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("day_start", -TICK),
        ("day_start", DAY),
        ("day_start", 4),
        ("day_start", None),
        ("idle_after", timedelta(0)),
        ("idle_after", timedelta(days=366) + TICK),
        ("idle_after", 15),
        ("renew", 1),
        ("renew", None),
        ("incremental", "yes"),
        ("scope", "team"),
        ("scope", None),
        ("machine_metered", "ARNOLD"),
        ("machine_metered", [""]),
        ("machine_metered", [7]),
        ("machine_metered", 7),
    ],
    ids=repr,
)
def test_a_field_with_a_value_that_makes_no_sense_is_named(field: str, value: Any) -> None:
    with pytest.raises(tf.TokenflexError, match=field) as caught:
        tf.Rule(window="day", **{field: value})
    assert isinstance(caught.value, (ValueError, TypeError))
    assert caught.value.location == field


@pytest.mark.parametrize(
    ("window", "field", "value"),
    [("day", "length", HOUR), ("rolling", "zone", "utc"), ("rolling", "day_start", HOUR)],
)
def test_a_field_without_a_meaning_for_the_window_is_refused(window: Any, field: str, value: Any) -> None:
    with pytest.raises(tf.ArgumentError, match=f"{field} has no meaning") as caught:
        tf.Rule(window=window, **{field: value})
    assert caught.value.location == field


SHORTEST, LONGEST = timedelta(minutes=1), timedelta(days=366)


@pytest.mark.parametrize("length", [SHORTEST, LONGEST])
def test_the_longest_and_the_shortest_windows(length: timedelta) -> None:
    sessions = pl.DataFrame({"user": ["ana"], "product": ["ACD"], "start": [MONDAY], "end": [MONDAY + 9 * HOUR]})
    charges = tf.charge(sessions, rule=tf.Rule(window="rolling", length=length), rates=tf.Rates({"ACD": 1}))
    assert charges.height == (9 * 60 if length == SHORTEST else 1)
    assert charges["window_end"][0] == MONDAY + length


@given(
    st.builds(
        tf.Rule,
        window=st.just("rolling"),
        length=st.timedeltas(SHORTEST, LONGEST),
        min_duration=st.timedeltas(timedelta(0), LONGEST),
        idle_after=st.none() | st.timedeltas(TICK, LONGEST),
        renew=st.booleans(),
        incremental=st.booleans(),
        scope=st.sampled_from(["contract", "server"]),
        machine_metered=st.frozensets(st.text(min_size=1)),
    )
    | st.builds(
        tf.Rule,
        window=st.just("day"),
        zone=st.sampled_from(["server", "user", "utc", "Europe/Madrid"]),
        day_start=st.timedeltas(timedelta(0), DAY - TICK),
        min_duration=st.timedeltas(timedelta(0), LONGEST),
        idle_after=st.none() | st.timedeltas(TICK, LONGEST),
    )
)
def test_a_rule_comes_back_from_its_text(rule: tf.Rule) -> None:
    for back in (tf.Rule.from_toml(rule.to_toml()), tf.Rule.from_json(rule.to_json())):
        assert back == rule
        assert back.rule_id == rule.rule_id


def test_a_zone_in_another_spelling_is_the_same_rule() -> None:
    spelled = tf.Rule(window="day", zone="europe/MADRID")
    assert spelled == tf.Rule(window="day", zone="Europe/Madrid")
    assert spelled.rule_id == tf.Rule(window="day", zone="Europe/Madrid").rule_id


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{}",
        "[]",
        "null",
        '{"window": "day", "windows": 2}',
        '{"window": "day", "zone": 3}',
        '{"window": "rolling", "length_seconds": "24h"}',
        '{"window": "rolling", "length_seconds": 1e300}',
        '{"window": "rolling", "length_seconds": NaN}',
        '{"window": "rolling", "length_seconds": true}',
        '{"window": "rolling", "length_seconds": null}',
        '{"window": ["rolling"]}',
    ],
)
def test_a_text_that_is_no_rule_is_refused(text: str) -> None:
    with pytest.raises(tf.TokenflexError) as caught:
        tf.Rule.from_json(text)
    assert isinstance(caught.value, (ValueError, TypeError))
    with pytest.raises(tf.TokenflexError):
        tf.Rule.from_toml('window = "day"\nlength = 24')


# Rates: which one counts.


def test_forms_of_one_rate() -> None:
    for rate in (7, "7", "7.0", "7.0000", Decimal(7), Decimal("7.00"), Decimal("0.7E1")):
        assert tokens_at(tf.Rates({"ACD": rate}), MONDAY) == [Decimal(7)]
    assert tokens_at(tf.Rates({"ACD": "10.5"}), MONDAY) == [Decimal("10.5")]
    assert tokens_at(tf.Rates({"ACD": "0.0001"}), MONDAY) == [Decimal("0.0001")]


def test_a_rate_of_zero_is_a_rate() -> None:
    problems = tf.Problems()
    sessions = pl.DataFrame({"user": ["ana"], "product": ["ACD"], "start": [MONDAY], "end": [MONDAY]})
    charges = tf.charge(sessions, rule=ROLLING, rates=tf.Rates({"ACD": 0}), problems=problems)
    assert charges["tokens"].to_list() == [Decimal(0)]
    assert len(problems) == 0


INSTANT = pl.Datetime("us", "UTC")


def dated(*rows: tuple[Any, Any], dtype: Any = INSTANT) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "product": ["ACD"] * len(rows),
            "tokens": [Decimal(tokens) for tokens, _ in rows],
            "effective_from": pl.Series([since for _, since in rows], dtype=dtype),
        }
    )


def test_the_rate_in_force_at_the_charge_counts() -> None:
    rates = tf.Rates(dated((8, MONDAY), (6, None), (9, MONDAY + DAY)))
    instants = [MONDAY - TICK, MONDAY, MONDAY + DAY - TICK, MONDAY + DAY, MONDAY + 900 * DAY]
    assert tokens_at(rates, *instants) == [6, 8, 8, 9, 9]


def test_before_its_first_rate_a_product_has_none() -> None:
    rates = tf.Rates(dated((8, MONDAY)))
    assert tokens_at(rates, MONDAY - TICK, MONDAY) == [None, 8]


def test_a_date_means_midnight_utc() -> None:
    rates = tf.Rates(dated((6, None), (8, date(2026, 7, 14)), dtype=pl.Date))
    midnight = datetime(2026, 7, 14, tzinfo=UTC)
    assert tokens_at(rates, midnight - TICK, midnight) == [6, 8]


def test_a_change_of_rate_inside_a_window_counts_at_its_end() -> None:
    sessions = pl.DataFrame({"user": ["ana"], "product": ["ACD"], "start": [MONDAY], "end": [MONDAY + 25 * HOUR]})
    charges = tf.charge(sessions, rule=ROLLING, rates=tf.Rates(dated((6, None), (8, MONDAY + HOUR))))
    assert charges["tokens"].to_list() == [6, 8]


@given(st.lists(st.decimals(0, 10**6, places=4), min_size=1, max_size=20))
def test_tokens_add_up_without_rounding(amounts: list[Decimal]) -> None:
    sessions = pl.DataFrame(
        {
            "user": ["ana"] * len(amounts),
            "product": [f"P{row}" for row in range(len(amounts))],
            "start": [MONDAY] * len(amounts),
            "end": [MONDAY] * len(amounts),
        }
    )
    rates = tf.Rates({f"P{row}": amount for row, amount in enumerate(amounts)})
    charges = tf.charge(sessions, rule=ROLLING, rates=rates)
    assert charges["tokens"].to_list() == amounts
    assert charges["tokens"].sum() == sum(amounts)


def test_a_large_rate_is_exact() -> None:
    large = Decimal("999999999999.9999")
    assert tokens_at(tf.Rates({"ACD": large}), MONDAY) == [large]


# Rates: what they are made of.


def test_the_frame_of_rates_has_all_columns() -> None:
    for rates in (tf.Rates({"ACD": 7}), tf.Rates(dated((7, None))), tf.Rates({})):
        assert {"product", "tokens", "effective_from", "family", "source"} <= set(rates.frame.columns)
        assert rates.frame.schema["tokens"] == pl.Decimal(38, 4)
        assert rates.frame.schema["effective_from"] == pl.Datetime("us", "UTC")


def test_family_and_source_are_kept() -> None:
    frame = dated((7, None)).with_columns(family=pl.lit("drafting"), source=pl.lit("price list"))
    row = tf.Rates(frame).frame.to_dicts()[0]
    assert (str(row["family"]), str(row["source"])) == ("drafting", "price list")


def test_rates_from_any_table() -> None:
    frame = pl.DataFrame({"product": ["ACD", "RVT"], "tokens": ["7", "10.5"]})
    integers = pa.table({"product": ["ACD", "RVT"], "tokens": [7, 10]})
    for rates in (tf.Rates(frame), tf.Rates(frame.lazy()), tf.Rates(frame.to_arrow())):
        assert tokens_at(rates, MONDAY, product="RVT") == [Decimal("10.5")]
    for rates in (tf.Rates(integers), tf.Rates(pd.DataFrame({"product": ["ACD", "RVT"], "tokens": [7, 10]}))):
        assert tokens_at(rates, MONDAY, product="RVT") == [Decimal(10)]


def test_the_frame_of_the_caller_is_not_changed() -> None:
    frame = dated((8, MONDAY), (6, None))
    before = frame.clone()
    assert tokens_at(tf.Rates(frame), MONDAY) == [8]
    assert frame.equals(before)


CSV = """product,tokens,effective_from,family,source
ACD,7,,drafting,price list 2021
ACD,7.5,2026-07-14,drafting,price list 2026
RVT,10.1,,,
00123,0.0001,,,
"""


def test_rates_of_a_file(tmp_path: Path) -> None:
    path = tmp_path / "rates.csv"
    path.write_text(CSV, encoding="utf-8")
    for source in (path, str(path)):
        rates = tf.Rates.read(source)
        assert rates.frame.height == 4
        tuesday = datetime(2026, 7, 14, tzinfo=UTC)
        assert tokens_at(rates, tuesday - TICK, tuesday) == [7, Decimal("7.5")]
        # Read as text, never through a binary fraction or a number.
        assert tokens_at(rates, MONDAY, product="RVT") == [Decimal("10.1")]
        assert tokens_at(rates, MONDAY, product="00123") == [Decimal("0.0001")]


def test_rates_of_a_file_as_spreadsheets_write_it(tmp_path: Path) -> None:
    path = tmp_path / "rates.csv"
    path.write_bytes(b"\xef\xbb\xbf" + b"product,tokens\r\nACD,7\r\nRVT,10.5\r\n")
    assert tokens_at(tf.Rates.read(path), MONDAY, product="RVT") == [Decimal("10.5")]


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(tf.TokenflexError, match=r"nowhere\.csv") as caught:
        tf.Rates.read(tmp_path / "nowhere.csv")
    assert isinstance(caught.value, FileNotFoundError)


@pytest.mark.parametrize(
    "content",
    ["product;tokens\nACD;7\n", "product\nACD\n", "tokens\n7\n"],
    ids=["semicolon", "no tokens", "no product"],
)
def test_a_file_without_the_columns_is_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "rates.csv"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(tf.TokenflexError, match=r"product|tokens"):
        tf.Rates.read(path)


def test_an_empty_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "rates.csv"
    path.touch()
    with pytest.raises(tf.TokenflexError, match=r"rates\.csv"):
        tf.Rates.read(path)


def test_rates_as_tuples() -> None:
    rates = tf.Rates([tf.Rate("ACD", Decimal(6)), tf.Rate("ACD", Decimal(8), MONDAY)])
    assert tokens_at(rates, MONDAY - TICK, MONDAY) == [6, 8]
    assert rates == tf.Rates(rates.frame)
    assert hash(rates) == hash(tf.Rates(rates.frame))


BAD_RATES = [
    7.0,
    10.5,
    float("nan"),
    float("inf"),
    "7,5",
    "seven",
    "",
    " ",
    "nan",
    "inf",
    "-7",
    -7,
    Decimal(-1),
    Decimal("NaN"),
    Decimal("Infinity"),
    "0.00001",
    Decimal("7.00005"),
    "1e-5",
    True,
    None,
    Fraction(1, 3),
    [7],
    b"7",
    Decimal("1E40"),
    10**40,
    "1e999999999",
    10**12,
]


@pytest.mark.parametrize("rate", BAD_RATES, ids=repr)
def test_a_rate_that_is_none_is_refused(rate: Any) -> None:
    with pytest.raises(tf.TokenflexError, match=r"ACD|tokens") as caught:
        tf.Rates({"ACD": rate})
    assert isinstance(caught.value, (ValueError, TypeError))


@pytest.mark.parametrize(
    "tokens", [[7.0], [-7], ["-7"], ["7,5"], ["0.00001"], [None], ["seven"], [True], [[7]]], ids=repr
)
def test_a_rate_of_a_table_that_is_none_is_refused(tokens: list[Any]) -> None:
    with pytest.raises(tf.TokenflexError, match="tokens") as caught:
        tf.Rates(pl.DataFrame({"product": ["ACD"], "tokens": tokens}))
    assert isinstance(caught.value, (ValueError, TypeError))
    assert caught.value.column == "tokens"


def test_a_bad_rate_of_a_file_is_named_with_its_row(tmp_path: Path) -> None:
    path = tmp_path / "rates.csv"
    path.write_text("product,tokens\nACD,7\nRVT,ten\n", encoding="utf-8")
    with pytest.raises(tf.TokenflexError, match="ten") as caught:
        tf.Rates.read(path)
    assert isinstance(caught.value, ValueError)
    assert caught.value.column == "tokens"
    assert caught.value.row == 1


def test_two_rates_of_one_product_and_date_are_refused() -> None:
    for since in (None, MONDAY):
        with pytest.raises(tf.TokenflexError, match="ACD") as caught:
            tf.Rates(dated((7, since), (8, since)))
        assert isinstance(caught.value, ValueError)


def test_a_date_and_its_midnight_are_one() -> None:
    midnight = datetime(2026, 7, 14, tzinfo=UTC)
    frame = dated((7, midnight), (8, midnight))
    with pytest.raises(tf.TokenflexError, match="ACD"):
        tf.Rates(frame)


@pytest.mark.parametrize("product", [None, 7])
def test_a_product_that_is_none_is_refused(product: Any) -> None:
    with pytest.raises(tf.TokenflexError, match="product"):
        tf.Rates(pl.DataFrame({"product": [product], "tokens": [7]}))
    with pytest.raises(tf.TokenflexError, match="product"):
        tf.Rates({product: 7})


@pytest.mark.parametrize(
    "since",
    [["soon"], [20260714], [1.5], [MONDAY.replace(tzinfo=None)], [True]],
    ids=lambda since: type(since[0]).__name__,
)
def test_a_date_that_is_none_is_refused(since: list[Any]) -> None:
    with pytest.raises(tf.TokenflexError, match="effective_from") as caught:
        tf.Rates(pl.DataFrame({"product": ["ACD"], "tokens": [7], "effective_from": since}))
    assert isinstance(caught.value, (ValueError, TypeError))
    assert caught.value.column == "effective_from"


@pytest.mark.parametrize("column", ["product", "tokens"])
def test_a_missing_column_of_rates_is_named(column: str) -> None:
    with pytest.raises(tf.TokenflexError, match=column) as caught:
        tf.Rates(dated((7, None)).drop(column))
    assert isinstance(caught.value, KeyError)
    assert caught.value.column == column


@pytest.mark.parametrize("source", [None, 7, "ACD", ["ACD"], [("ACD",)], [7], object()])
def test_what_are_no_rates_is_refused(source: Any) -> None:
    with pytest.raises(tf.TokenflexError) as caught:
        tf.Rates(source)
    assert isinstance(caught.value, TypeError)


def test_a_rule_that_cannot_be_read_is_said(tmp_path: Path) -> None:
    with pytest.raises(tf.SourceNotFoundError, match="there is no rule"):
        tf.Rule.read(tmp_path / "none.toml")
    broken = tmp_path / "rule.toml"
    broken.write_bytes(b"window = '\xff'")
    with pytest.raises(tf.SourceError, match="cannot be read"):
        tf.Rule.read(broken)
    for text in ("[" * 100_000, "1" * 5_000):
        with pytest.raises(tf.ArgumentError, match="JSON"):
            tf.Rule.from_json(text)
        with pytest.raises(tf.ArgumentError, match="TOML"):
            tf.Rule.from_toml("x = " + text)
