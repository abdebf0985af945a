"""`pair` and `denials`: sessions as the union of use, package lines, and what the life of a server does to them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

import pairing_reference as reference
import tokenflex as tf
from tokenflex import tables

NOON = datetime(2026, 7, 13, 12, tzinfo=UTC)


def at(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


def event(seconds: float, kind: str, feature: str | None = "87545ACD_2022_0F", **fields: Any) -> dict[str, Any]:
    is_server = kind in ("START", "STOP", "CRASH", "REREAD")
    return {
        "server": "mad-lic-01",
        "time": at(seconds),
        "kind": kind,
        "feature": None if is_server else feature,
        "user": None if is_server else "ana",
        "host": None if is_server else "pc1",
        "licenses": 1,
        "reason": None,
        "daemon": "adskflex",
        "file": "debug.log",
        "line": None,
    } | fields


def events(*rows: dict[str, Any]) -> pl.DataFrame:
    numbered = [row | {"line": row["line"] or number} for number, row in enumerate(rows, 1)]
    schema = {name: dtype for name, dtype in tables.EVENTS.items() if name in numbered[0]}
    return pl.DataFrame(numbered, schema=schema)


def spans(sessions: pl.DataFrame) -> list[tuple[float, float, str]]:
    """Start and end in seconds after noon, and why it ended."""
    second = timedelta(seconds=1)
    return [
        ((start - NOON) / second, (end - NOON) / second, reason)
        for start, end, reason in sessions.select("start", "end", "end_reason").iter_rows()
    ]


def test_a_checkout_and_its_checkin_make_a_session() -> None:
    sessions = tf.pair(events(event(0, "OUT"), event(90, "IN")))
    assert dict(sessions.schema) == dict(tables.SESSIONS)
    assert sessions.row(0, named=True) == {
        "server": "mad-lic-01",
        "user": "ana",
        "host": "pc1",
        "feature": "87545ACD_2022_0F",
        "product": "ACD",
        "version": "2022",
        "start": at(0),
        "end": at(90),
        "licenses": 1,
        "checkouts": 1,
        "end_reason": "checkin",
        "is_open": False,
        "file": "debug.log",
        "line": 1,
    }


def test_instances_that_overlap_are_one_session() -> None:
    rows = [event(0, "OUT"), event(10, "OUT"), event(20, "IN"), event(30, "OUT"), event(40, "IN"), event(50, "IN")]
    sessions = tf.pair(events(*rows))
    assert spans(sessions) == [(0, 50, "checkin")]
    assert sessions.select("licenses", "checkouts").row(0) == (2, 3)


def test_licenses_are_counted() -> None:
    rows = [event(0, "OUT", "hpc", licenses=8), event(10, "IN", "hpc", licenses=6), event(20, "IN", "hpc", licenses=2)]
    sessions = tf.pair(events(*rows))
    assert spans(sessions) == [(0, 20, "checkin")]
    assert sessions.select("licenses", "product", "version").row(0) == (8, "hpc", None)


def test_an_upgrade_changes_the_count() -> None:
    rows = [
        event(0, "OUT", "flow", licenses=5),
        event(10, "UPGRADE", "flow", licenses=6, reason="5->6"),
        event(20, "IN", "flow", licenses=5),
        event(30, "IN", "flow"),
    ]
    sessions = tf.pair(events(*rows))
    assert spans(sessions) == [(0, 30, "checkin")]
    assert sessions["licenses"].item() == 6


def test_an_upgrade_of_nothing_is_a_checkout_and_a_problem() -> None:
    problems = tf.Problems()
    rows = [event(0, "UPGRADE", "flow", licenses=6, reason="5->6"), event(20, "IN", "flow", licenses=6)]
    assert spans(tf.pair(events(*rows), problems=problems)) == [(0, 20, "checkin")]
    assert problems.frame["code"].to_list() == ["upgrade_without_checkout"]


@pytest.mark.parametrize(
    ("reason", "expected"),
    [(None, "checkin"), ("INACTIVE", "inactive"), ("SHUTDOWN", "shutdown"), ("UNKNOWN", "other")],
)
def test_the_reason_of_a_checkin_is_kept(reason: str | None, expected: str) -> None:
    sessions = tf.pair(events(event(0, "OUT"), event(90, "IN", reason=reason)))
    assert sessions["end_reason"].item() == expected


def test_a_package_line_beside_its_component_is_not_counted() -> None:
    rows = [
        event(0, "OUT", "64300ACD_F"),
        event(1, "OUT"),
        event(60, "IN"),
        event(60, "IN", "64300ACD_F"),
        event(70, "OUT", "87577INHSMP_2022_0F"),
        event(80, "IN", "87577INHSMP_2022_0F"),
    ]
    sessions = tf.pair(events(*rows))
    assert sessions["feature"].to_list() == ["87545ACD_2022_0F", "87577INHSMP_2022_0F"]
    assert spans(sessions) == [(1, 60, "checkin"), (70, 80, "checkin")]


def test_a_package_line_alone_is_counted() -> None:
    sessions = tf.pair(events(event(0, "OUT", "64300ACD_F"), event(60, "IN", "64300ACD_F")))
    assert sessions.select("product", "feature").row(0) == ("ACD", "64300ACD_F")
    assert spans(sessions) == [(0, 60, "checkin")]


def test_a_suite_takes_the_component_that_is_left() -> None:
    rows = [
        event(0, "OUT", "65900DSPRM_F"),
        event(0, "OUT"),
        event(60, "IN", "65900DSPRM_F"),
        event(61, "IN"),
    ]
    sessions = tf.pair(events(*rows))
    assert sessions["product"].to_list() == ["ACD"]


def test_packages_of_other_vendors_are_told_by_the_table() -> None:
    rows = [event(0, "OUT", "suite"), event(0, "OUT", "part"), event(60, "IN", "part"), event(60, "IN", "suite")]
    assert tf.pair(events(*rows))["product"].to_list() == ["suite", "part"]
    packages = pl.DataFrame({"package": ["suite"], "component": ["part"]})
    assert tf.pair(events(*rows), packages=packages)["product"].to_list() == ["part"]


def test_two_products_started_at_once_lose_both_package_lines() -> None:
    rows = [
        event(0, "OUT", "64300ACD_F"),
        event(0, "OUT", "85950RVT_F"),
        event(0, "OUT", "87561RVT_2022_0F"),
        event(0, "OUT"),
    ]
    assert sorted(tf.pair(events(*rows))["product"].to_list()) == ["ACD", "RVT"]


def test_a_stop_closes_what_its_log_left_open() -> None:
    rows = [
        event(0, "OUT"),
        event(1, "OUT", user="bob"),
        event(100, "STOP"),
        event(101, "IN", user="bob", reason="SHUTDOWN"),
        event(400, "START"),
        event(500, "OUT"),
        event(600, "IN"),
    ]
    assert spans(tf.pair(events(*rows))) == [(0, 100, "stop"), (1, 101, "shutdown"), (500, 600, "checkin")]


def test_a_stop_at_the_end_of_the_log_closes_too() -> None:
    assert spans(tf.pair(events(event(0, "OUT"), event(100, "STOP")))) == [(0, 100, "stop")]


def test_a_crash_closes_all_of_its_daemon_and_no_other() -> None:
    rows = [
        event(0, "OUT"),
        event(1, "OUT", "other", daemon="saltd"),
        event(100, "CRASH"),
        event(101, "START", reason="REStarted"),
        event(130, "OUT"),
        event(200, "IN"),
        event(210, "IN", "other", daemon="saltd"),
    ]
    assert spans(tf.pair(events(*rows))) == [(0, 100, "crash"), (1, 210, "checkin"), (130, 200, "checkin")]


def test_the_license_manager_speaks_for_all_daemons() -> None:
    rows = [event(0, "OUT"), event(1, "OUT", "other", daemon="saltd"), event(100, "STOP", daemon="lmgrd")]
    assert spans(tf.pair(events(*rows))) == [(0, 100, "stop"), (1, 100, "stop")]


def test_a_start_without_a_stop_ends_use_at_the_last_line_before_it() -> None:
    rows = [
        event(0, "OUT"),
        event(50, "DENIED", user="bob"),
        event(9000, "START"),
        event(9001, "OUT"),
        event(9002, "IN"),
    ]
    assert spans(tf.pair(events(*rows))) == [(0, 50, "restart"), (9001, 9002, "checkin")]


def test_a_reread_is_no_restart() -> None:
    assert spans(tf.pair(events(event(0, "OUT"), event(50, "REREAD"), event(90, "IN")))) == [(0, 90, "checkin")]


def test_what_is_open_lasts_until_as_of() -> None:
    rows = events(event(0, "OUT"), event(50, "OUT", user="bob"))
    assert spans(tf.pair(rows)) == [(0, 50, "open"), (50, 50, "open")]
    sessions = tf.pair(rows, as_of=at(70))
    assert spans(sessions) == [(0, 70, "open"), (50, 70, "open")]
    assert sessions["is_open"].to_list() == [True, True]


def test_as_of_before_the_last_event_is_refused() -> None:
    with pytest.raises(tf.ArgumentError, match="as_of lies before the last event"):
        tf.pair(events(event(0, "OUT"), event(50, "IN")), as_of=at(49))
    with pytest.raises(ValueError, match="no time zone"):
        tf.pair(events(event(0, "OUT")), as_of=datetime(2026, 7, 13))  # noqa: DTZ001 - that is the point


def test_a_checkin_of_nothing_is_a_problem_at_its_line() -> None:
    problems = tf.Problems()
    sessions = tf.pair(events(event(0, "IN"), event(10, "OUT"), event(20, "IN", licenses=2)), problems=problems)
    assert spans(sessions) == [(10, 20, "checkin")]
    assert problems.frame.rows() == [
        (
            "debug.log",
            1,
            "checkin_without_checkout",
            "IN of 87545ACD_2022_0F by ana@pc1 has no check-out before it: ignored",
        ),
        (
            "debug.log",
            3,
            "checkin_of_too_many",
            "IN of 87545ACD_2022_0F by ana@pc1 gives back more licenses than were out: taken as all of them",
        ),
    ]


def test_problems_without_a_collector_warn() -> None:
    with pytest.warns(tf.TokenflexWarning, match=r"pair: 1 problems in the data: checkin_without_checkout \(1\)"):
        tf.pair(events(event(0, "IN")))


def test_checkouts_without_any_checkin_are_told() -> None:
    problems = tf.Problems()
    tf.pair(events(*(event(i, "OUT", user=f"user {i}") for i in range(10))), problems=problems)
    assert problems.frame["code"].to_list() == ["no_checkins"]
    assert "NOLOG IN" in problems.frame["message"].item()


def test_a_small_step_back_keeps_the_order_of_the_lines() -> None:
    assert spans(tf.pair(events(event(0, "OUT"), event(-16, "IN")))) == [(0, 0, "checkin")]


def test_lines_out_of_all_order_are_sorted_by_time() -> None:
    rows = [event(90_000, "OUT"), event(90_060, "IN"), event(0, "OUT"), event(60, "IN")]
    assert spans(tf.pair(events(*rows))) == [(0, 60, "checkin"), (90_000, 90_060, "checkin")]


def test_no_events_make_no_sessions() -> None:
    sessions = tf.pair(tables.empty(tables.EVENTS))
    assert sessions.height == 0
    assert dict(sessions.schema) == dict(tables.SESSIONS)


def test_refusals_are_told_once() -> None:
    text = "Licensed number of users already reached. (-4,342)"
    rows = [
        event(0, "DENIED", "64300ACD_F", reason=text),
        event(0, "DENIED", reason=text),
        event(5, "UNSUPPORTED", "87537INVPROSA_2022_0F", reason="No such feature exists. (-5,346)"),
        event(9, "OUT"),
    ]
    denials = tf.denials(events(*rows))
    assert dict(denials.schema) == dict(tables.DENIALS)
    assert denials.select("kind", "feature", "reason").rows() == [
        ("DENIED", "87545ACD_2022_0F", text),
        ("UNSUPPORTED", "87537INVPROSA_2022_0F", "No such feature exists. (-5,346)"),
    ]


@pytest.mark.parametrize(
    ("column", "values", "error"),
    [
        ("kind", ["BORROWED"], tf.ColumnValueError),
        ("time", [None], tf.ColumnValueError),
        ("feature", [7], tf.ColumnTypeError),
        ("licenses", [-1], tf.ColumnValueError),
        ("licenses", ["one"], tf.ColumnTypeError),
    ],
)
def test_events_that_are_none_are_refused_by_column(column: str, values: list[Any], error: type[Exception]) -> None:
    rows = events(event(0, "OUT")).with_columns(pl.Series(column, values, strict=False))
    if column == "time":
        rows = rows.with_columns(pl.lit(None, dtype=tables.TIME).alias("time"))
    with pytest.raises(error) as caught:
        tf.pair(rows)
    assert isinstance(caught.value, tf.TokenflexError)
    assert caught.value.column == column


def test_a_missing_column_is_named() -> None:
    with pytest.raises(tf.MissingColumnError, match='column "host" is missing'):
        tf.pair(events(event(0, "OUT")).drop("host"))


lines = st.lists(
    st.builds(
        reference.Line,
        time=st.integers(0, 400).map(at),
        kind=st.sampled_from(["OUT", "OUT", "IN"]),
        server=st.sampled_from(["s1", "s2"]),
        user=st.sampled_from(["ana", "Ana", "bob"]),
        host=st.sampled_from(["pc1", "pc2"]),
        feature=st.sampled_from(["87545ACD_2022_0F", "87676ACD_2023_0F", "hpc"]),
        licenses=st.integers(1, 5),
    ),
    max_size=60,
).map(lambda rows: sorted(rows, key=lambda line: line.time))


@given(lines, st.integers(0, 100))
def test_pairing_equals_its_definition(rows: list[reference.Line], more: int) -> None:
    as_of = max((line.time for line in rows), default=NOON) + timedelta(seconds=more)
    table = pl.DataFrame(
        rows,
        schema=["time", "kind", "server", "user", "host", "feature", "licenses"],
        schema_overrides={"time": tables.TIME, "licenses": pl.UInt32},
        orient="row",
    ).with_columns(pl.col("kind", "server", "user", "host", "feature").cast(pl.String))
    problems = tf.Problems()
    sessions = tf.pair(table, as_of=as_of, problems=problems)
    expected, unpaired = reference.pair(rows, as_of)
    found = [
        reference.Session((row["server"], row["user"], row["host"], row["feature"]), *rest)
        for row, rest in zip(
            sessions.iter_rows(named=True),
            sessions.select("start", "end", "licenses", "checkouts", "is_open").iter_rows(),
            strict=True,
        )
    ]
    assert sorted(found) == sorted(expected)
    assert [session.start for session in found] == sorted(session.start for session in found)
    assert (problems.frame["code"] == "checkin_without_checkout").sum() == unpaired


@given(lines, st.permutations(range(4)))
def test_keys_do_not_touch_one_another(rows: list[reference.Line], order: list[int]) -> None:
    """Renaming users changes nothing but the names: merge is per key, and conserves its used time."""
    names = dict(zip(["ana", "Ana", "bob"], (f"user {place}" for place in order), strict=False))
    renamed = [line._replace(user=names[line.user]) for line in rows]
    as_of = max((line.time for line in rows), default=NOON)
    before, _ = reference.pair(rows, as_of)
    after = tf.pair(
        pl.DataFrame(
            renamed,
            schema=["time", "kind", "server", "user", "host", "feature", "licenses"],
            schema_overrides={"time": tables.TIME},
            orient="row",
        ),
        as_of=as_of,
        problems=tf.Problems(),
    )
    used = sum(((session.end - session.start) for session in before), timedelta())
    assert (after["end"] - after["start"]).sum() == used or (not before and after.height == 0)
