"""`categorize`: what became of each session, against the definition in plain Python."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import example, given, settings

import reference
import tokenflex as tf
from reference import HOUR, Rate, Session, Terms
from strategies import MINUTE, Case, frame, rule_of, whole_cases, whole_terms, with_rule_id

ADDED = ["category", "charge", "window_start", "window_end", "rule_id"]


def at(clock: str, day: int = 13) -> datetime:
    return datetime.fromisoformat(f"2026-07-{day}T{clock}").replace(tzinfo=UTC)


def categorize(case: Case) -> pl.DataFrame:
    return tf.categorize(frame(case.sessions), **case.for_verb())


@given(whole_cases())
@settings(max_examples=600)
def test_categories_equal_the_definition(case: Case) -> None:
    expected = with_rule_id(reference.categorize(**case.for_reference()), case.terms)
    assert categorize(case).select(ADDED).to_dicts() == expected


# At 08:00 of the second day both start: RVT has no rate, so ACD opens the window, though its row is the later one.
A_DIFFERENCE_STANDS_BEFORE_ITS_WINDOWS_OPENING = Case(
    [
        Session("ana", "ACD", at("08:00"), at("09:00")),
        Session("ana", "RVT", at("08:00", 14), at("09:00", 14)),
        Session("ana", "ACD", at("08:00", 14), at("09:00", 14)),
    ],
    Terms("rolling", incremental=True),
    [Rate("ACD", Decimal(7), None, "drafting"), Rate("RVT", Decimal(8), at("00:00", 20), "drafting")],
    None,
)


@given(whole_cases(whole_terms(incremental=True)))
@example(A_DIFFERENCE_STANDS_BEFORE_ITS_WINDOWS_OPENING)
def test_categories_of_families_equal_the_definition(case: Case) -> None:
    expected = with_rule_id(reference.categorize(**case.for_reference()), case.terms)
    assert categorize(case).select(ADDED).to_dicts() == expected


@given(whole_cases())
@settings(max_examples=150)
def test_sessions_and_charges_tell_the_same(case: Case) -> None:
    """Tokens add up by the category of the sessions, and every charge belongs to a session that says so."""
    sessions, charges = categorize(case), tf.charge(frame(case.sessions), **case.for_verb())
    numbered = sessions.with_row_index("session").with_columns(pl.col("session").cast(pl.UInt64))
    joined = charges.join(numbered.select("session", pl.col("category").alias("outcome")), on="session", how="left")
    assert joined.height == charges.height
    by_outcome = dict(joined.group_by("outcome").agg(pl.col("tokens").sum()).iter_rows())
    assert set(by_outcome) <= {"CHARGED", "INCREMENTAL"}
    assert sum(by_outcome.values(), Decimal(0)) == charges["tokens"].sum()
    # A session that is INCREMENTAL paid differences only, and has a charge of its own.
    differences = joined.filter(pl.col("outcome") == "INCREMENTAL")["category"].unique().to_list()
    assert differences in ([], ["INCREMENTAL"])
    under = numbered.filter(pl.col("category") == "FREE")["session"]
    assert not set(under) & set(charges["session"])
    assert (
        sessions.filter(pl.col("category") == "CASUAL")["charge"].null_count()
        == (sessions["category"] == "CASUAL").sum()
    )
    assert sessions["charge"].drop_nulls().is_in(list(range(charges.height))).all()


@given(whole_cases())
@settings(max_examples=100)
def test_the_sessions_come_back_as_they_were(case: Case) -> None:
    sessions = frame(case.sessions).with_columns(
        note=pl.int_range(pl.len(), dtype=pl.UInt16), tags=pl.lit(["a"]), amount=pl.lit(Decimal("1.5"))
    )
    result = tf.categorize(sessions, **case.for_verb())
    assert result.columns == [*sessions.columns, *ADDED]
    assert result.select(sessions.columns).equals(sessions)
    assert result.select(sessions.columns).schema == sessions.schema


SESSIONS = [
    Session("ana", "ACD", at("07:00"), at("07:02")),
    Session("ana", "ACD", at("08:00"), at("09:00")),
    Session("ana", "ACD", at("09:30"), at("09:31")),
    Session("ana", "ACD", at("10:00"), at("11:00")),
    Session("ana", "LT", at("12:00"), at("13:00")),
    Session("ana", "MAX", at("14:00"), at("15:00")),
    Session("bo", "ACD", at("20:00"), at("21:00", 14)),
]
RATES = [Rate(name, Decimal(tokens), None, "drafting") for name, tokens in (("ACD", 7), ("LT", 5), ("MAX", 9))]
CASE = Case(SESSIONS, Terms("rolling", min_duration=5 * MINUTE, incremental=True), RATES, None)


def test_each_category_by_hand() -> None:
    result = categorize(CASE)
    assert result["category"].to_list() == ["CASUAL", "CHARGED", "FREE", "FREE", "FREE", "INCREMENTAL", "CHARGED"]
    # The first charge of each session, or the latest before its start in the window that it fell into.
    assert result["charge"].to_list() == [None, 0, 0, 0, 0, 1, 2]
    assert result["window_start"].to_list() == [None, *[at("08:00")] * 5, at("20:00")]
    assert result["window_end"].to_list() == [None, *[at("08:00", 14)] * 5, at("20:00", 14)]
    assert set(result["rule_id"]) == {rule_of(CASE.terms).rule_id}


def test_a_short_session_that_starts_with_the_window_is_free_and_one_at_its_end_is_casual() -> None:
    short = [Session("ana", "ACD", start, start + MINUTE) for start in (at("08:00"), at("08:00", 14))]
    case = replace(CASE, sessions=[*short, SESSIONS[1]])
    assert categorize(case)["category"].to_list() == ["FREE", "CASUAL", "CHARGED"]


def test_a_short_session_before_the_charge_of_its_date_is_casual() -> None:
    case = replace(CASE, terms=Terms("day", zone="utc", min_duration=5 * MINUTE))
    assert categorize(case)["category"].to_list()[:3] == ["CASUAL", "CHARGED", "FREE"]


def test_a_session_that_cannot_be_charged_has_no_category() -> None:
    sessions = frame([*SESSIONS[:2], Session("ana", "ACD", at("09:00"), at("08:00"))])
    problems = tf.Problems()
    result = tf.categorize(sessions, rule=tf.FLEX, rates=tf.Rates({"ACD": 7}), problems=problems)
    assert result["category"].to_list() == ["CASUAL", "CHARGED", None]
    assert result.row(2)[-5:-1] == (None, None, None, None)
    assert problems.frame.select("location", "code").rows() == [(2, "end_before_start")]
    with pytest.warns(tf.TokenflexWarning, match="end_before_start"):
        tf.categorize(sessions, rule=tf.FLEX, rates=tf.Rates({"ACD": 7}))


def test_the_schema_is_the_same_with_and_without_rows() -> None:
    full, empty = categorize(CASE), categorize(replace(CASE, sessions=[]))
    assert empty.height == 0
    assert full.schema == empty.schema
    assert full.schema["category"] == pl.Enum(["CHARGED", "INCREMENTAL", "FREE", "CASUAL"])
    assert full.schema["charge"] == pl.UInt64
    assert full.schema["window_start"] == full.schema["window_end"] == pl.Datetime("us", "UTC")
    assert isinstance(full.schema["rule_id"], pl.Enum)


def pandas_frame(table: pl.DataFrame) -> Any:
    times = {name: pd.to_datetime(table[name].to_list(), utc=True) for name in ("start", "end")}
    return pd.DataFrame({name: times.get(name, table[name].to_list()) for name in table.columns})


def reader(table: pl.DataFrame) -> Any:
    return table.to_arrow().to_reader(max_chunksize=2)


def pyarrow_table(table: pl.DataFrame) -> Any:
    return table.to_arrow()


def categorical(table: pl.DataFrame) -> Any:
    return table.with_columns(pl.col(pl.String).cast(pl.Categorical))


def lazy(table: pl.DataFrame) -> Any:
    return table.lazy().filter(pl.col("user").ne_missing("nobody"))


@pytest.mark.parametrize("form", [lazy, pyarrow_table, pandas_frame, categorical, reader, tf.prepare])
def test_every_form_of_a_table_has_the_same_categories(form: Any) -> None:
    table = frame(SESSIONS).with_columns(note=pl.int_range(pl.len()))
    result = tf.categorize(form(table), **CASE.for_verb())
    assert isinstance(result, pl.DataFrame)
    assert result.columns == [*table.columns, *ADDED]
    assert result.select(ADDED).rows() == categorize(CASE).select(ADDED).rows()
    assert result["note"].to_list() == list(range(table.height))
    assert [str(name) for name in result["user"]] == table["user"].to_list()


@pytest.mark.parametrize("name", ADDED)
def test_a_column_of_a_name_that_is_added_is_refused(name: str) -> None:
    with pytest.raises(tf.ArgumentError, match=name):
        tf.categorize(frame(SESSIONS).with_columns(pl.lit(1).alias(name)), **CASE.for_verb())


def test_the_frame_of_the_caller_is_not_changed() -> None:
    sessions = frame(SESSIONS)
    before = sessions.clone()
    tf.categorize(sessions, **CASE.for_verb())
    assert sessions.equals(before)
    assert sessions.columns == before.columns


def test_pyarrow_chunks_and_slices_are_kept_in_order() -> None:
    table = frame(SESSIONS).to_arrow()
    chunks = pa.concat_tables([table.slice(0, 3), table.slice(3)])
    assert tf.categorize(chunks, **CASE.for_verb()).rows() == categorize(CASE).rows()
    later = tf.categorize(table.slice(3), **CASE.for_verb())
    assert later["start"].to_list() == [session.start for session in SESSIONS[3:]]
    assert later["category"].to_list()[0] == "CHARGED"


def test_what_lies_under_the_first_charge_of_a_day_says_which_row_it_is() -> None:
    work = [Session("ana", "ACD", at("08:00") + place * HOUR, at("08:30") + place * HOUR) for place in range(4)]
    case = replace(CASE, sessions=work[::-1], terms=Terms("day", zone="utc"))
    result = categorize(case)
    assert result["category"].to_list() == ["FREE", "FREE", "FREE", "CHARGED"]
    assert result["charge"].to_list() == [0, 0, 0, 0]
