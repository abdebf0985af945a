"""Bad calls raise errors that name what is wrong; bad data becomes problems; nothing else happens."""

from __future__ import annotations

import contextlib
import warnings
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tokenflex as tf
from reference import HOUR, TICK
from strategies import USERS

if TYPE_CHECKING:
    from collections.abc import Callable

RATES = tf.Rates({"ACD": 7})
ROLLING = tf.Rule(window="rolling")
SERVER_DAY = tf.Rule(window="day", zone="server")
MONDAY = datetime(2026, 7, 13, 8, tzinfo=UTC)
I64 = [-(2**63), -(2**63) + 1, -1, 2**63 - 2, 2**63 - 1]
MAX_TIME = datetime(2200, 1, 1, tzinfo=UTC)
MAX_TICKS = (MAX_TIME - datetime(1970, 1, 1, tzinfo=UTC)) // TICK


def table(**columns: Any) -> pl.DataFrame:
    """Three good sessions of three people, with some columns replaced."""
    good: dict[str, Any] = {
        "user": ["ana", "bo", "cyd"],
        "product": ["ACD", "ACD", "ACD"],
        "server": ["lic-01", "lic-01", "lic-01"],
        "start": [MONDAY, MONDAY + HOUR, MONDAY + 2 * HOUR],
        "end": [MONDAY + HOUR, MONDAY + 2 * HOUR, MONDAY + 3 * HOUR],
    }
    return pl.DataFrame(good | columns)


def charge(sessions: Any, rule: Any = ROLLING, **arguments: Any) -> pl.DataFrame:
    defaults: dict[str, Any] = {"rates": RATES, "servers": {"lic-01": "Europe/Madrid"}}
    return tf.charge(sessions, rule=rule, **(defaults | arguments))


def times(values: list[int | None], unit: Any = "us") -> pl.Series:
    return pl.Series(values, dtype=pl.Int64).cast(pl.Datetime(unit, "UTC"))


# Calls that cannot be meant.


@pytest.mark.parametrize("column", ["user", "product", "start", "end"])
@pytest.mark.parametrize("rule", [ROLLING, SERVER_DAY], ids=["rolling", "day"])
def test_a_missing_column_is_named(column: str, rule: tf.Rule) -> None:
    with pytest.raises(tf.TokenflexError, match=column) as caught:
        charge(table().drop(column), rule)
    assert isinstance(caught.value, KeyError)
    assert caught.value.column == column


def test_only_a_day_rule_of_the_servers_needs_their_names() -> None:
    without = table().drop("server")
    with pytest.raises(tf.TokenflexError, match="server") as caught:
        charge(without, SERVER_DAY)
    assert isinstance(caught.value, KeyError)
    assert caught.value.column == "server"
    for rule in (ROLLING, tf.Rule(window="day", zone="utc"), tf.Rule(window="day", zone="Asia/Tokyo")):
        assert charge(without, rule).height == 3


@pytest.mark.parametrize("column", ["user", "product", "server"])
@pytest.mark.parametrize(
    "values",
    [
        [1, 2, 3],
        [1.5, 2.5, None],
        [True, False, None],
        [b"ana", b"bo", b"cyd"],
        [["ana"], ["bo"], []],
        [{"name": "ana"}, None, None],
        [date(2026, 7, 13)] * 3,
    ],
    ids=lambda values: type(values[0]).__name__,
)
def test_a_column_of_names_that_holds_none_is_refused(column: str, values: list[Any]) -> None:
    with pytest.raises(tf.TokenflexError, match=column) as caught:
        charge(table(**{column: values}), SERVER_DAY)
    assert isinstance(caught.value, TypeError)
    assert caught.value.column == column


@pytest.mark.parametrize("column", ["start", "end"])
@pytest.mark.parametrize(
    "values",
    [
        ["2026-07-13T08:00:00Z"] * 3,
        [1_783_900_800_000_000] * 3,
        [1.7e15] * 3,
        [date(2026, 7, 13)] * 3,
        [timedelta(hours=1)] * 3,
        [[MONDAY]] * 3,
    ],
    ids=lambda values: type(values[0]).__name__,
)
def test_a_column_of_times_that_holds_none_is_refused(column: str, values: list[Any]) -> None:
    with pytest.raises(tf.TokenflexError, match=column) as caught:
        charge(table(**{column: values}))
    assert isinstance(caught.value, TypeError)
    assert caught.value.column == column


@pytest.mark.parametrize(
    "sessions",
    [None, 7, "sessions.parquet", [{"user": "ana"}], {"user": ["ana"]}, object(), pl.Series([1]), pl.col("x")],
)
def test_what_is_no_table_is_refused(sessions: Any) -> None:
    with pytest.raises(tf.TokenflexError) as caught:
        charge(sessions)
    assert isinstance(caught.value, (TypeError, KeyError))


class BrokenStream:
    """Claims to be a table."""

    def __init__(self, answer: Any) -> None:
        self.answer = answer

    def __arrow_c_stream__(self, requested_schema: object = None) -> Any:
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


@pytest.mark.parametrize("answer", [None, 7, b"stream", pa.schema([]).__arrow_c_schema__()])
def test_a_stream_that_is_none_is_refused(answer: Any) -> None:
    with pytest.raises((TypeError, ValueError)):
        charge(BrokenStream(answer))


def test_an_exception_of_the_table_is_passed_on() -> None:
    with pytest.raises(ZeroDivisionError):
        charge(BrokenStream(ZeroDivisionError("my own")))


def test_a_stream_that_was_used_up_is_no_crash() -> None:
    reader = table().to_arrow().to_reader()
    capsule = reader.__arrow_c_stream__()
    assert charge(BrokenStream(capsule)).height == 3
    with pytest.raises((TypeError, ValueError, OSError)):
        charge(BrokenStream(capsule))


@pytest.mark.parametrize("rule", [None, "FLEX", "rolling", 24, timedelta(hours=24), tf.Rule, {"window": "rolling"}])
def test_what_is_no_rule_is_refused(rule: Any) -> None:
    with pytest.raises(tf.TokenflexError, match="rule") as caught:
        charge(table(), rule)
    assert isinstance(caught.value, TypeError)


@pytest.mark.parametrize("rates", [None, 7, "rates.csv", tf.Rates, [("ACD", 7)]])
def test_what_are_no_rates_is_refused(rates: Any) -> None:
    with pytest.raises(tf.TokenflexError, match="rates") as caught:
        charge(table(), rates=rates)
    assert isinstance(caught.value, TypeError)


@pytest.mark.parametrize("as_of", ["2026-07-13", 1_783_900_800, date(2026, 7, 13), MONDAY.replace(tzinfo=None)])
def test_as_of_has_to_be_an_instant(as_of: Any) -> None:
    with pytest.raises(tf.TokenflexError, match="as_of") as caught:
        charge(table(), as_of=as_of)
    assert isinstance(caught.value, (TypeError, ValueError))


@pytest.mark.parametrize("servers", [7, "Europe/Madrid", ["lic-01"], {"lic-01": 1}, {"lic-01": None}, {1: "UTC"}])
def test_what_are_no_servers_is_refused(servers: Any) -> None:
    with pytest.raises(tf.TokenflexError, match="server") as caught:
        charge(table(), SERVER_DAY, servers=servers)
    assert isinstance(caught.value, TypeError)


@pytest.mark.parametrize(
    "zone", ["Europe/Atlantis", "", "CEST", "+02:00", "Europe", "../etc/passwd", "Europe/Madrid\0", "Z" * 10_000, "ÑÑ"]
)
def test_an_unknown_zone_is_named(zone: str) -> None:
    with pytest.raises(tf.TokenflexError, match="zone") as caught:
        charge(table(), SERVER_DAY, servers={"lic-01": zone})
    assert isinstance(caught.value, ValueError)
    with pytest.raises(tf.TokenflexError, match="zone") as caught:
        charge(table(), tf.Rule(window="day", zone=zone))
    assert isinstance(caught.value, ValueError)


def test_arguments_after_the_first_are_named() -> None:
    with pytest.raises(TypeError):
        tf.charge(table(), ROLLING, RATES)  # type: ignore[call-arg]


# Data that cannot be right.


def problems_of(sessions: Any, rule: tf.Rule = ROLLING, **arguments: Any) -> list[tuple[str, int | None]]:
    """The problems of a table whose other rows are charged."""
    problems = tf.Problems()
    charge(sessions, rule, problems=problems, **arguments)
    assert problems.frame.columns == ["source", "location", "code", "message"]
    assert problems.frame.schema["location"] == pl.UInt64
    assert len(problems) == problems.frame.height
    assert all(problems.frame["message"].str.len_chars() > 0)
    return [(code, location) for code, location in problems.frame.select("code", "location").rows()]


BAD_ROWS: dict[str, dict[str, Any]] = {
    "missing_user": {"user": ["ana", None, "cyd"]},
    "missing_product": {"product": ["ACD", None, "ACD"]},
    "missing_start": {"start": [MONDAY, None, MONDAY]},
    "end_before_start": {"end": [MONDAY + HOUR, MONDAY + HOUR - TICK, MONDAY + 3 * HOUR]},
    "time_out_of_range": {"start": [MONDAY, datetime(1969, 12, 31, 23, 59, 59, 999_999, UTC), MONDAY]},
    "missing_server": {"server": ["lic-01", None, "lic-01"]},
    "unknown_server": {"server": ["lic-01", "lic-99", "lic-01"]},
}


@pytest.mark.parametrize("code", BAD_ROWS)
@pytest.mark.parametrize("encode", [pl.String, pl.Categorical], ids=["string", "categorical"])
def test_a_bad_row_is_a_problem_and_the_others_are_charged(code: str, encode: Any) -> None:
    sessions = table(**BAD_ROWS[code]).with_columns(pl.col(pl.String).cast(encode))
    problems = tf.Problems()
    charges = charge(sessions, SERVER_DAY, problems=problems)
    assert problems.frame.select("location", "code").rows() == [(1, code)]
    assert sorted(charges["session"].to_list()) == [0, 2]


@pytest.mark.parametrize("code", ["missing_server", "unknown_server"])
def test_no_server_is_missed_where_no_rule_asks_for_one(code: str) -> None:
    charges = charge(table(**BAD_ROWS[code]))
    assert charges.height == 3
    assert charges["server"].to_list() == BAD_ROWS[code]["server"]


def test_the_bounds_of_time() -> None:
    first = datetime(1970, 1, 1, tzinfo=UTC)
    edges = [first, MAX_TIME - TICK, first - TICK, MAX_TIME]
    sessions = pl.DataFrame({"user": USERS[:1] * 4, "product": ["ACD"] * 4, "start": edges, "end": edges})
    assert problems_of(sessions) == [("time_out_of_range", 2), ("time_out_of_range", 3)]
    too_late = table(end=[MONDAY, MAX_TIME, MONDAY + 3 * HOUR])
    assert problems_of(too_late) == [("time_out_of_range", 1)]


@pytest.mark.parametrize("column", ["start", "end"])
@pytest.mark.parametrize("unit", ["us", "ms", "ns"])
@pytest.mark.parametrize("rule", [ROLLING, SERVER_DAY], ids=["rolling", "day"])
@pytest.mark.parametrize("nulls", [0, 1])
def test_times_at_the_edges_of_the_integers(column: str, unit: Any, rule: tf.Rule, nulls: int) -> None:
    # In nanoseconds some of these are years that can be.
    edges = [edge for edge in I64 if unit != "ns" or edge < 0]
    good = int(MONDAY.timestamp()) * {"us": 10**6, "ms": 10**3, "ns": 10**9}[unit]
    count = len(edges) + 1 + nulls
    columns = {"start": times([good] * count, unit), "end": times([good] * count, unit)}
    columns[column] = times([*edges, good, *[None] * nulls], unit)
    names = [f"user{row}" for row in range(count)]
    sessions = pl.DataFrame({"user": names, "product": ["ACD"] * count, "server": ["lic-01"] * count, **columns})
    found = problems_of(sessions, rule)
    if column == "start":
        expected = [("time_out_of_range", row) for row in range(len(edges))]
        assert found == expected + [("missing_start", count - 1)] * nulls
    else:
        # An end outside the bounds that is before the start, too, may be called either.
        assert [row for _, row in found] == list(range(len(edges)))
        assert {code for code, _ in found} <= {"time_out_of_range", "end_before_start"}


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_seconds_beyond_microseconds_do_not_wrap_around(unit: str) -> None:
    # 2^64 / 1,000,000 seconds are no time at all once they have wrapped around.
    values = pa.array([2**64 // 10**6 + 1_783_900_800, 2**63 - 1], pa.int64()).cast(pa.timestamp(unit, "UTC"))
    sessions = pa.table({"user": ["ana", "bo"], "product": ["ACD", "ACD"], "start": values, "end": values})
    rows = [0, 1] if unit in ("s", "ms") else [1]
    assert problems_of(sessions) == [("time_out_of_range", row) for row in rows]


def test_a_row_with_several_faults_is_one_problem() -> None:
    problems = problems_of(table(user=[None] * 3, start=times([None, -1, 2**63 - 1]), end=times([None, 5, -5])))
    assert sorted(row for _, row in problems if row is not None) == [0, 1, 2]


def test_a_table_of_nothing_but_bad_rows_has_no_charges() -> None:
    charges = charge(table(user=pl.Series([None] * 3, dtype=pl.String)), problems=tf.Problems())
    assert charges.is_empty()
    assert charges.columns == charge(table()).columns


def test_problems_that_nobody_collects_are_a_warning() -> None:
    with pytest.warns(tf.TokenflexWarning, match="end_before_start") as caught:
        charge(table(**BAD_ROWS["end_before_start"]))
    assert len(caught) == 1
    # It points to the line of the caller, not into the library.
    assert caught[0].filename == __file__


def test_good_data_warns_of_nothing() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        charge(table())


def test_problems_of_several_calls_add_up() -> None:
    problems = tf.Problems()
    for _ in range(2):
        charge(table(**BAD_ROWS["missing_user"]), problems=problems)
    assert problems.frame["code"].to_list() == ["missing_user"] * 2
    assert len(list(problems)) == 2


def test_a_product_without_a_rate_is_a_problem_and_a_charge_without_tokens() -> None:
    problems = tf.Problems()
    charges = charge(table(product=["ACD", "RVT", "RVT"]), problems=problems)
    assert charges["tokens"].to_list() == [Decimal(7), None, None]
    assert set(problems.frame["code"]) == {"no_rate"}
    assert all("RVT" in message for message in problems.frame["message"])
    with pytest.warns(tf.TokenflexWarning, match="no_rate"):
        charge(table(product=["ACD", "RVT", "RVT"]))


# Data that is right, however strange.


@pytest.mark.parametrize("rule", [ROLLING, SERVER_DAY, tf.FLEX, tf.TOKEN_FLEX], ids=lambda rule: rule.rule_id)
@pytest.mark.parametrize("make", [table().clear, lambda: table().clear().to_arrow(), lambda: table().lazy().limit(0)])
def test_no_rows(make: Callable[[], Any], rule: tf.Rule) -> None:
    charges = charge(make(), rule)
    assert charges.is_empty()
    assert charges.schema == charge(table(), rule).schema


def test_a_table_of_no_batches() -> None:
    schema = table().to_arrow().schema
    assert charge(pa.Table.from_batches([], schema)).is_empty()
    assert charge(pa.RecordBatchReader.from_batches(schema, [])).is_empty()


def test_an_all_null_column_has_no_type_and_no_session_can_be_charged() -> None:
    sessions = table(user=pl.Series([None] * 3), server=pl.Series([None] * 3))
    assert problems_of(sessions) == [("missing_user", row) for row in range(3)]
    every_end_open = table(end=pl.Series([None] * 3))
    assert charge(every_end_open).height == 3


def test_ten_thousand_names_that_differ_at_their_last_letter() -> None:
    count = 10_000
    names = [f"{'x' * 200}{row:05}" for row in range(count)]
    sessions = pl.DataFrame(
        {
            "user": names + names[::-1],
            "product": ["ACD"] * 2 * count,
            "start": [MONDAY] * 2 * count,
            "end": [MONDAY + HOUR] * 2 * count,
        }
    )
    charges = charge(sessions)
    assert charges["user"].cast(pl.String).to_list() == names
    assert charges["session"].to_list() == list(range(count))


def test_as_many_products_as_users() -> None:
    """A dense table of all keys would be 400 million places."""
    count = 20_000
    names = [f"n{row}" for row in range(count)]
    sessions = pl.DataFrame(
        {"user": names, "product": names, "start": [MONDAY] * count, "end": [MONDAY + HOUR] * count}
    )
    problems = tf.Problems()
    assert charge(sessions, problems=problems).height == count
    assert set(problems.frame["code"]) == {"no_rate"}


STRANGE_NAMES = [
    " ",
    "ana ",
    "ANA",
    "ana",
    "ana\0",
    "José",
    "Jose\u0301",
    "\u202eana",
    "👩\u200d🔧",
    "用户",
    "ana\nbo",
    'quote"s',
    "\ufeffana",
    "x" * 1_000_000,
]


@pytest.mark.parametrize("dtype", [pl.String, pl.Categorical, pl.Enum(STRANGE_NAMES)], ids=["string", "cat", "enum"])
def test_names_are_kept_as_they_are(dtype: Any) -> None:
    sessions = pl.DataFrame(
        {
            "user": pl.Series(STRANGE_NAMES, dtype=dtype),
            "product": pl.Series(STRANGE_NAMES, dtype=dtype),
            "server": pl.Series(STRANGE_NAMES, dtype=dtype),
            "start": [MONDAY] * len(STRANGE_NAMES),
            "end": [MONDAY] * len(STRANGE_NAMES),
        }
    )
    rates = tf.Rates(dict.fromkeys(STRANGE_NAMES, 3))
    charges = charge(sessions, SERVER_DAY, rates=rates, servers=dict.fromkeys(STRANGE_NAMES, "UTC"))
    for name in ("user", "product", "server"):
        assert charges[name].cast(pl.String).to_list() == STRANGE_NAMES
    assert charges["tokens"].sum() == 3 * len(STRANGE_NAMES)


def test_codes_without_a_name_are_no_crash() -> None:
    """Such a dictionary is not valid Arrow, and some program writes it all the same."""
    for index in (pa.uint32(), pa.int8()):
        users = pa.DictionaryArray.from_arrays(pa.array([0, 99, 0], index), pa.array(["ana"]), safe=False)
        sessions = table().to_arrow()
        sessions = sessions.set_column(sessions.schema.get_field_index("user"), "user", users)
        with contextlib.suppress(tf.ColumnValueError, tf.SourceError):
            assert problems_of(sessions) == [("missing_user", 1)]


def test_a_column_named_twice_is_refused() -> None:
    arrow = table().to_arrow()
    doubled = arrow.append_column("user", arrow["product"].cast(pa.string()))
    with pytest.raises((tf.TokenflexError, KeyError), match="user"):
        charge(doubled)


def test_an_open_session_that_starts_after_as_of_was_launched_all_the_same() -> None:
    sessions = table(end=pl.Series([None] * 3, dtype=pl.Datetime("us", "UTC")))
    charges = charge(sessions, as_of=MONDAY + HOUR)
    assert charges["session"].to_list() == [0, 1, 2]


@pytest.mark.parametrize("rule", [ROLLING, SERVER_DAY], ids=["rolling", "day"])
def test_as_of_beyond_the_bounds_of_time_is_refused(rule: tf.Rule) -> None:
    sessions = table(end=pl.Series([None] * 3, dtype=pl.Datetime("us", "UTC")))
    for as_of in (MAX_TIME, datetime.max.replace(tzinfo=UTC), datetime(1, 1, 1, tzinfo=UTC)):
        with pytest.raises(tf.TokenflexError, match="as_of"):
            charge(sessions, rule, as_of=as_of)


@given(
    st.lists(
        st.tuples(
            st.sampled_from([*USERS, None]),
            st.sampled_from(["ACD", "RVT", None]),
            st.sampled_from(["lic-01", "lic-99", None]),
            st.one_of(st.none(), st.integers(-(2**63), 2**63 - 1), st.integers(0, MAX_TICKS)),
            st.one_of(st.none(), st.integers(-(2**63), 2**63 - 1), st.integers(0, MAX_TICKS)),
        ),
        max_size=8,
    ),
    st.sampled_from([tf.Rule(window="rolling", length=timedelta(days=365)), SERVER_DAY]),
)
def test_any_row_is_charged_or_a_problem_or_free(rows: list[tuple[Any, ...]], rule: tf.Rule) -> None:
    users, products, servers, starts, ends = zip(*rows, strict=True) if rows else ((), (), (), (), ())
    sessions = pl.DataFrame(
        {
            "user": pl.Series(users, dtype=pl.String),
            "product": pl.Series(products, dtype=pl.String),
            "server": pl.Series(servers, dtype=pl.String),
            "start": times(list(starts)),
            "end": times(list(ends)),
        }
    )
    problems = tf.Problems()
    charges = charge(sessions, rule, problems=problems)
    bad = {row for row in problems.frame["location"] if row is not None}
    assert not bad & set(charges["session"].unique())
    for row, (user, product, server, start, end) in enumerate(rows):
        good = user is not None and product is not None and start is not None and 0 <= start < MAX_TICKS
        good = good and (end is None or start <= end < MAX_TICKS)
        good = good and (rule.window == "rolling" or server == "lic-01")
        assert good == (row not in bad)
