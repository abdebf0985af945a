"""`scan_charges`: what memory cannot hold is charged like what it can, in order or not."""

from __future__ import annotations

import importlib
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

import tokenflex as tf
from reference import HOUR, Session
from strategies import charge, frame, whole_cases
from test_meter import AS_OF_BEFORE_A_KNOWN_END, SHORT_SO_FAR

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from strategies import Case

MODULE: Any = importlib.import_module("tokenflex.metering.in_parts")
RULE = tf.Rule(window="rolling")
RATES = tf.Rates({"ACD": 7, "RVT": 10})


def at(hour: int, minute: int = 0) -> datetime:
    return datetime(2026, 7, 13, tzinfo=UTC) + timedelta(hours=hour, minutes=minute)


@contextmanager
def small(part: int, stretch: int) -> Iterator[None]:
    """Parts and stretches of a few rows, so that few sessions make many of them."""
    before = MODULE.PART, MODULE.STRETCH
    MODULE.PART, MODULE.STRETCH = part, stretch
    try:
        yield
    finally:
        MODULE.PART, MODULE.STRETCH = before


def scanned(sessions: pl.LazyFrame, **options: Any) -> pl.DataFrame:
    return tf.scan_charges(sessions, **options).collect()


def told(problems: tf.Problems) -> tuple[list[Any], list[Any]]:
    """The rows of sessions in their order, and those of products without a rate in any."""
    rows = problems.frame
    by_rate = pl.col("source") == "rates"
    return rows.filter(~by_rate).rows(), sorted(rows.filter(by_rate)["message"])


def without_activity(case: Case) -> dict[str, Any]:
    options = case.for_verb()
    del options["activity"]
    return options


@given(whole_cases(reports=False), st.integers(1, 4), st.integers(1, 3), st.sampled_from([1, -1]))
@example(SHORT_SO_FAR, 1, 1, 1)
@example(AS_OF_BEFORE_A_KNOWN_END, 1, 1, -1)
@settings(max_examples=60)
def test_charges_are_those_of_charge(case: Case, part: int, stretch: int, step: int) -> None:
    sessions = frame(case.sessions[::step])
    scan, whole = without_activity(case), case.for_verb()
    with small(part, stretch):
        found = scanned(sessions.lazy(), **scan)
        at_once = tf.charge(sessions.lazy(), **without_activity(case))
    expected = tf.charge(sessions, **whole)
    assert at_once.rows() == expected.rows()
    assert found.rows() == expected.rows()
    assert found.schema == expected.schema
    assert told(scan["problems"]) == told(whole["problems"])


@given(whole_cases(reports=False), st.randoms())
@settings(max_examples=30)
def test_bad_rows_have_the_number_that_they_have_in_the_whole(case: Case, random: Any) -> None:
    rows = frame(case.sessions)
    holes = {
        name: pl.Series([None if random.random() < 0.2 else value for value in rows[name]], dtype=rows[name].dtype)
        for name in ("user", "product", "start", "host")
    }
    sessions = rows.with_columns(**holes)
    scan, whole = without_activity(case), case.for_verb()
    with small(2, 1):
        found = scanned(sessions.lazy(), **scan)
    assert found.rows() == tf.charge(sessions, **whole).rows()
    assert told(scan["problems"]) == told(whole["problems"])


def two_servers() -> list[pl.DataFrame]:
    """A file of each server, each in order."""
    days = [timedelta(days=day) for day in range(20)]
    return [
        frame([Session(user, "ACD", at(8) + day, at(17) + day, server, "pc1") for day in days for user in users])
        for server, users in (("mad-lic-01", ("ana", "bo")), ("chi-lic-01", ("bo", "cem")))
    ]


@pytest.mark.parametrize("part", [7, 1000])
def test_files_of_several_servers_one_after_another(tmp_path: Path, part: int) -> None:
    for place, sessions in enumerate(two_servers()):
        sessions.write_parquet(tmp_path / f"{place}.parquet")
    scan = pl.scan_parquet(tmp_path / "*.parquet")
    with small(part, 3):
        tf.scan_charges(scan, rule=RULE, rates=RATES, scratch=tmp_path).sink_parquet(tmp_path / "charges.out")
    assert pl.read_parquet(tmp_path / "charges.out").equals(tf.charge(pl.concat(two_servers()), rule=RULE, rates=RATES))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["0.parquet", "1.parquet", "charges.out"]


def test_it_reads_what_is_asked_for_and_no_more(tmp_path: Path) -> None:
    whole = pl.concat(two_servers())
    lazy = tf.scan_charges(whole.lazy(), rule=RULE, rates=RATES, scratch=tmp_path)
    charges = tf.charge(whole, rule=RULE, rates=RATES)
    assert lazy.select("tokens").collect().equals(charges.select("tokens"))
    assert lazy.head(3).collect().equals(charges.head(3))
    assert (
        lazy.filter(pl.col("user") == "bo")
        .select("session")
        .collect()
        .equals(charges.filter(pl.col("user") == "bo").select("session"))
    )
    assert lazy.collect().equals(lazy.collect())
    assert list(tmp_path.iterdir()) == []


def test_a_product_without_a_rate_is_told_once(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (MODULE, importlib.import_module("tokenflex.arrow")):
        monkeypatch.setattr(module, "BATCH", 3)
    problems = tf.Problems()
    scanned(two_servers()[0].lazy(), rule=RULE, rates=tf.Rates({}), problems=problems)
    assert problems.frame.select("source", "code").rows() == [("rates", "no_rate")]
    assert "40 of its charges" in problems.frame["message"][0]


def test_without_a_collector_it_warns_when_it_is_read() -> None:
    lazy = tf.scan_charges(two_servers()[0].lazy(), rule=RULE, rates=tf.Rates({}))
    with pytest.warns(tf.TokenflexWarning, match="no_rate"):
        lazy.collect()


def test_an_empty_table() -> None:
    empty = frame([]).lazy()
    assert scanned(empty, rule=RULE, rates=RATES).equals(tf.charge(frame([]), rule=RULE, rates=RATES))


def test_bad_calls_are_refused_before_anything_is_read(tmp_path: Path) -> None:
    lazy = two_servers()[0].lazy()
    with pytest.raises(tf.ArgumentTypeError, match=r"pl\.scan_parquet"):
        tf.scan_charges(two_servers()[0], rule=RULE, rates=RATES)  # type: ignore[arg-type]
    with pytest.raises(tf.ZoneError, match="servers"):
        tf.scan_charges(lazy, rule=tf.TOKEN_FLEX, rates=RATES)
    with pytest.raises(tf.ArgumentError, match="no folder"):
        tf.scan_charges(lazy, rule=RULE, rates=RATES, scratch=tmp_path / "none")
    with pytest.raises(tf.ArgumentError, match="as_of"):
        tf.scan_charges(lazy, rule=RULE, rates=RATES, as_of=datetime(2026, 7, 13))  # noqa: DTZ001 - that is the fault


@pytest.mark.parametrize(
    ("change", "error"),
    [
        (pl.col("start").dt.replace_time_zone(None), tf.ColumnTypeError),
        (pl.col("start").cast(pl.String), tf.ColumnTypeError),
        (pl.lit(1).alias("user"), tf.ColumnTypeError),
    ],
)
def test_a_wrong_table_is_refused_when_it_is_read(change: pl.Expr, error: type[Exception]) -> None:
    for sessions in two_servers()[0], pl.concat(two_servers()):
        with pytest.raises(error):
            scanned(sessions.lazy().with_columns(change), rule=RULE, rates=RATES)


def test_a_missing_column_is_refused_when_it_is_read() -> None:
    for column in ("user", "product", "start", "end"):
        with pytest.raises(tf.MissingColumnError, match=column):
            scanned(pl.concat(two_servers()).lazy().drop(column), rule=RULE, rates=RATES)


def test_open_sessions_are_in_use_until_the_last_instant_of_the_whole() -> None:
    sessions = frame(
        [
            Session("ana", "ACD", at(8), None, "mad-lic-01", "pc1"),
            Session("bo", "RVT", at(8) + 40 * HOUR, at(9) + 40 * HOUR, "mad-lic-01", "pc1"),
            Session("cem", "RVT", at(7), at(8), "mad-lic-01", "pc1"),
        ]
    )
    for as_of in (None, at(12), at(100)):
        with small(1, 1):
            found = scanned(sessions.lazy(), rule=RULE, rates=RATES, as_of=as_of)
        assert found.equals(tf.charge(sessions, rule=RULE, rates=RATES, as_of=as_of))


@pytest.mark.heavy
@given(whole_cases(reports=False, max_size=40), st.integers(1, 9), st.integers(1, 5), st.randoms())
@settings(suppress_health_check=[HealthCheck.too_slow])
def test_many_sessions_in_any_order(case: Case, part: int, stretch: int, random: Any) -> None:
    sessions = list(case.sessions)
    random.shuffle(sessions)
    with small(part, stretch):
        found = scanned(frame(sessions).lazy(), **without_activity(case))
    assert found.rows() == charge(replace(case, sessions=sessions)).rows()
