"""`prepare` and `replay`: an encoded copy gives what the table gives, and many rules in one call."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import polars as pl
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import tokenflex as tf
from reference import HOUR, Rate, Session, Terms
from strategies import SERVERS, Case, charge, frame, rule_of, whole_cases, whole_terms


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def prepared(case: Case) -> tf.Prepared:
    return tf.prepare(frame(case.sessions), as_of=case.as_of)


@given(whole_cases())
@settings(max_examples=250)
def test_charges_of_prepared_sessions_are_those_of_the_table(case: Case) -> None:
    arguments, told = case.for_verb(), case.for_verb()
    charges = tf.charge(prepared(case), **arguments)
    expected = tf.charge(frame(case.sessions), **told)
    assert charges.schema == expected.schema
    assert charges.rows() == expected.rows()
    assert arguments["problems"].frame.rows() == told["problems"].frame.rows()


@given(whole_cases())
@settings(max_examples=150)
def test_categories_of_prepared_sessions_are_those_of_the_table(case: Case) -> None:
    expected = tf.categorize(frame(case.sessions), **case.for_verb())
    result = tf.categorize(prepared(case), **case.for_verb())
    assert result.schema == expected.schema
    assert result.rows() == expected.rows()


# St. John's set its clock back at 00:01: these touch 7 November first, then the second stretch of the 6th.
DATES_OUT_OF_ORDER = Case(
    [
        Session("ana", "ACD", at("2010-11-07 02:30:30"), at("2010-11-07 02:30:40"), "yyt-lic-01"),
        Session("ana", "ACD", at("2010-11-07 03:00"), at("2010-11-07 03:10"), "yyt-lic-01"),
    ],
    Terms("day", zone="America/St_Johns"),
    [Rate("ACD", Decimal(7))],
    None,
)


@given(whole_cases(reports=False), st.lists(whole_terms(), max_size=4))
@example(DATES_OUT_OF_ORDER, [])
@settings(max_examples=300)
def test_a_replay_totals_what_each_rule_charges(case: Case, others: list[Terms]) -> None:
    cases = [Case(case.sessions, terms, case.rates, case.as_of, users=case.users) for terms in [case.terms, *others]]
    totals = tf.replay(
        prepared(case),
        rules=[rule_of(one.terms) for one in cases],
        rates=case.for_meter()["rates"],
        servers=case.servers,
        users=case.users,
    )
    expected = []
    for one in cases:
        charges = charge(one)
        tokens = charges["tokens"].drop_nulls().sum() if charges["tokens"].drop_nulls().len() else Decimal(0)
        expected.append((rule_of(one.terms).rule_id, charges.height, tokens, charges["tokens"].null_count()))
    assert totals.rows() == expected


def test_the_columns_of_a_replay() -> None:
    for case, height in ((DATES_OUT_OF_ORDER, 1), (Case([], Terms("rolling"), [], None), 0)):
        rules = [rule_of(case.terms)] * height
        totals = tf.replay(prepared(case), rules=rules, rates=tf.Rates({}))
        assert totals.height == height
        assert totals.schema == {
            "rule_id": pl.String,
            "charges": pl.UInt64,
            "tokens": pl.Decimal(38, 4),
            "charges_without_rate": pl.UInt64,
        }


def test_one_copy_serves_many_verbs_and_rules() -> None:
    sessions = [
        Session(f"user{row % 4}", ["ACD", "RVT"][row % 2], at("2026-07-13 00:00") + row * 3 * HOUR, None, name, "pc1")
        for row, name in enumerate(sorted(SERVERS) * 3)
    ]
    copy = tf.prepare(frame(sessions))
    assert len(copy) == len(sessions)
    assert "27" in repr(copy)
    rates = tf.Rates({"ACD": 7, "RVT": 10})
    for rule in (
        tf.TOKEN_FLEX,
        tf.FLEX,
        tf.Rule(window="day", zone="utc", scope="server"),
        tf.Rule(window="rolling", machine_metered=frozenset({"ACD"})),
    ):
        arguments: dict[str, Any] = {"rule": rule, "rates": rates, "servers": SERVERS}
        assert tf.charge(copy, **arguments).rows() == tf.charge(frame(sessions), **arguments).rows()


def test_what_a_rule_needs_and_the_copy_lacks_is_named() -> None:
    bare = tf.prepare(frame(DATES_OUT_OF_ORDER.sessions).drop("server", "host"))
    arguments: dict[str, Any] = {"rates": tf.Rates({"ACD": 7}), "servers": SERVERS}
    assert tf.charge(bare, rule=tf.FLEX, **arguments).height == 1
    for rule, column in (
        (tf.TOKEN_FLEX, "server"),
        (tf.Rule(window="rolling", scope="server"), "server"),
        (tf.Rule(window="rolling", machine_metered=frozenset({"ACD"})), "host"),
    ):
        problems = tf.Problems()
        assert tf.charge(bare, rule=rule, **arguments, problems=problems).is_empty()
        assert set(problems.frame["code"]) == {f"missing_{column}"}


def test_progress_tells_of_each_rule() -> None:
    told: list[tuple[int, int | None]] = []
    rules = [tf.Rule(window="rolling", length=timedelta(hours=hours)) for hours in range(1, 6)]
    tf.replay(
        prepared(DATES_OUT_OF_ORDER),
        rules=iter(rules),
        rates=tf.Rates({"ACD": 7}),
        progress=lambda done, total: told.append((done, total)),
    )
    assert told == [(done, 5) for done in range(1, 6)]


def test_progress_shows_a_bar(capfd: pytest.CaptureFixture[str]) -> None:
    copy = prepared(DATES_OUT_OF_ORDER)
    tf.replay(copy, rules=[tf.Rule(window="rolling")], rates=tf.Rates({"ACD": 7}), progress=True)
    assert capfd.readouterr().out == ""
    with pytest.raises(tf.ArgumentTypeError, match="progress"):
        tf.replay(copy, rules=[], rates=tf.Rates({}), progress="yes")  # type: ignore[arg-type]


def test_an_error_of_the_progress_function_ends_the_replay() -> None:
    def progress(done: int, _total: int | None) -> None:
        raise LookupError(f"after {done}")

    with pytest.raises(LookupError, match="after 1"):
        tf.replay(
            prepared(DATES_OUT_OF_ORDER),
            rules=[tf.Rule(window="rolling")] * 3,
            rates=tf.Rates({"ACD": 7}),
            progress=progress,
        )


def test_calls_that_cannot_be_meant() -> None:
    copy, rates = prepared(DATES_OUT_OF_ORDER), tf.Rates({"ACD": 7})
    with pytest.raises(tf.ArgumentTypeError, match="prepare"):
        tf.replay(frame([]), rules=[], rates=rates)  # type: ignore[arg-type]
    with pytest.raises(tf.ArgumentTypeError, match="rule"):
        tf.replay(copy, rules=["FLEX"], rates=rates)  # type: ignore[list-item]
    with pytest.raises(tf.ArgumentTypeError, match="rates"):
        tf.replay(copy, rules=[tf.FLEX], rates={"ACD": 7})  # type: ignore[arg-type]
    with pytest.raises(tf.ZoneError, match="servers"):
        tf.replay(copy, rules=[tf.TOKEN_FLEX], rates=rates)
    with pytest.raises(tf.TokenflexError, match="as_of"):
        tf.prepare(frame([]), as_of=datetime(2300, 1, 1, tzinfo=UTC))
    with pytest.raises(tf.MissingColumnError, match="end"):
        tf.prepare(frame([]).drop("end"))


def test_the_open_sessions_of_a_copy_end_at_its_own_as_of() -> None:
    start = at("2026-07-13 08:00")
    table = frame([Session("ana", "ACD", start, None)])
    copy = tf.prepare(table, as_of=start + 49 * HOUR)
    arguments: dict[str, Any] = {"rule": tf.Rule(window="rolling"), "rates": tf.Rates({"ACD": 7})}
    assert tf.charge(copy, **arguments).height == 3
    assert tf.replay(copy, rules=[arguments["rule"]], rates=arguments["rates"])["charges"].to_list() == [3]
