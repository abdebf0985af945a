"""`Meter`: however a stream is cut, wherever it stops and goes on, the charges are those of the whole."""

from __future__ import annotations

import io
import os
import random
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl
import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import tokenflex as tf
from reference import DAY, HOUR, Rate, Report, Session, Terms
from strategies import (
    MINUTE,
    SERVERS,
    ZERO,
    Case,
    charge,
    frame,
    in_batches,
    reports_frame,
    rule_of,
    whole_cases,
    whole_terms,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

ONE_RATE = [Rate("ACD", Decimal(7))]
# This very library, from any folder.
ENVIRONMENT = os.environ | {"PYTHONPATH": str(Path(tf.__file__).parents[1])}
CUTS = st.lists(st.integers(0, 12), max_size=4)


def at(clock: str, day: int = 13) -> datetime:
    return datetime.fromisoformat(f"2026-07-{day}T{clock}").replace(tzinfo=UTC)


def as_parquet(state: pl.DataFrame) -> pl.DataFrame:
    file = io.BytesIO()
    state.write_parquet(file)
    return pl.read_parquet(io.BytesIO(file.getvalue()))


def meter_of(case: Case) -> tf.Meter:
    return tf.Meter(**case.for_meter(), with_activity=case.reports is not None)


def pushed(meter: tf.Meter, batch: Sequence[Session], case: Case) -> pl.DataFrame:
    activity = None if case.reports is None else reports_frame(case.reports)
    return meter.push(frame(batch), activity=activity, problems=tf.Problems())


def metered(
    case: Case, batches: Sequence[Sequence[Session]], between: Callable[[tf.Meter], tf.Meter] = lambda meter: meter
) -> pl.DataFrame:
    """The charges of a meter in the order of `charge`."""
    meter = meter_of(case)
    parts = []
    for batch in batches:
        parts.append(pushed(meter, batch, case))
        meter = between(meter)
    parts.append(meter.finish(case.as_of, problems=tf.Problems()))
    return pl.concat(parts).sort("charged_at", "session", maintain_order=True)


def assert_same(case: Case, batches: Sequence[Sequence[Session]], **arguments: Any) -> None:
    expected = charge(case)
    result = metered(case, batches, **arguments)
    assert result.schema == expected.schema
    assert result.rows() == expected.rows()


SHORT_SO_FAR = Case(
    [Session("ana", "ACD", at("08:00"), None)], Terms("rolling", min_duration=5 * MINUTE), ONE_RATE, at("08:01")
)
LATER_CHARGED_BEFORE_A_SHORT_ONE = Case(
    [
        Session("ana", "ACD", at("08:00"), None),
        Session("ana", "RVT", at("08:00"), at("08:05")),
        Session("ana", "ACD", at("08:01"), at("08:02")),
    ],
    Terms("rolling", min_duration=5 * MINUTE),
    ONE_RATE,
    at("18:00"),
)
AS_OF_BEFORE_A_KNOWN_END = Case(
    [Session("ana", "ACD", at("08:00"), None), Session("ana", "ACD", at("09:00"), at("12:00", 14))],
    Terms("rolling"),
    ONE_RATE,
    at("18:00"),
)
ACTIVE_BEYOND_AS_OF = Case(
    [Session("ana", "ACD", at("08:00"), None)],
    Terms("rolling", length=HOUR, idle_after=15 * MINUTE),
    ONE_RATE,
    at("08:30"),
    reports=[Report("ana", at("08:10")), Report("ana", at("09:00"))],
)


OPEN_UNTIL_THE_INSTANT_OF_ANOTHERS_LAUNCH = Case(
    [Session("ana", "ACD", at("00:00"), None), Session("ana", "ACD", at("00:00", 14), at("00:00", 14))],
    Terms("rolling"),
    ONE_RATE,
    None,
)


# Both are in use at the end of the window, as far as the stream tells; only the second one still is when it comes.
OPEN_BUT_NOT_UNTIL_THE_RENEWAL = Case(
    [Session("ana", "ACD", at("08:00"), None), Session("ana", "ACD", at("09:00"), at("12:00", 15))],
    Terms("rolling"),
    ONE_RATE,
    at("07:00", 14),
)


@given(whole_cases(), CUTS)
@example(OPEN_BUT_NOT_UNTIL_THE_RENEWAL, [1])
@example(replace(OPEN_BUT_NOT_UNTIL_THE_RENEWAL, as_of=at("09:00", 14)), [2])
@example(SHORT_SO_FAR, [])
@example(AS_OF_BEFORE_A_KNOWN_END, [])
@example(ACTIVE_BEYOND_AS_OF, [])
@example(OPEN_UNTIL_THE_INSTANT_OF_ANOTHERS_LAUNCH, [1])
@example(replace(OPEN_UNTIL_THE_INSTANT_OF_ANOTHERS_LAUNCH, terms=Terms("day", zone="utc")), [1])
@settings(max_examples=400)
def test_batches_give_the_charges_of_the_whole(case: Case, cuts: list[int]) -> None:
    assert_same(*in_batches(case, cuts))


@given(whole_cases(), CUTS)
@example(OPEN_BUT_NOT_UNTIL_THE_RENEWAL, [1])
@example(SHORT_SO_FAR, [])
@example(ACTIVE_BEYOND_AS_OF, [])
@settings(max_examples=250)
def test_a_meter_that_stops_at_every_batch_goes_on_as_if_nothing_had_been(case: Case, cuts: list[int]) -> None:
    assert_same(*in_batches(case, cuts), between=lambda meter: tf.Meter.resume(as_parquet(meter.state())))


@given(whole_cases(max_size=12), CUTS, st.randoms(use_true_random=False))
@settings(max_examples=80)
def test_the_order_within_a_batch_is_free(case: Case, cuts: list[int], chance: random.Random) -> None:
    _, batches = in_batches(case, cuts)
    for batch in batches:
        chance.shuffle(batch)
    assert_same(replace(case, sessions=[session for batch in batches for session in batch]), batches)


@given(whole_cases(open_sessions=False), CUTS)
@settings(max_examples=80)
def test_each_batch_may_be_saved_and_the_old_meter_goes_on_too(case: Case, cuts: list[int]) -> None:
    def looked_at(meter: tf.Meter) -> tf.Meter:
        assert meter.state().equals(tf.Meter.resume(meter.state()).state())
        return meter

    assert_same(*in_batches(case, cuts), between=looked_at)


@given(whole_cases(), CUTS)
@settings(max_examples=200)
def test_charges_come_out_as_soon_as_nothing_later_can_change_them(case: Case, cuts: list[int]) -> None:
    case, batches = in_batches(replace(case, terms=replace(case.terms, min_duration=ZERO)), cuts)
    whole = charge(case)
    meter, out, latest = meter_of(case), [], None
    # A session that cannot be charged is none: it says nothing of what is past.
    good = set(range(len(case.sessions))) - faulty_rows(case)
    row = 0
    for batch in batches:
        out.append(pushed(meter, batch, case))
        starts = [session.start for place, session in enumerate(batch, row) if place in good]
        row += len(batch)
        latest = max([*starts, *([latest] if latest else [])], default=None)
        if latest is not None:
            so_far = pl.concat(out).sort("charged_at", "session", maintain_order=True)
            assert (
                so_far.filter(pl.col("charged_at") < latest).rows()
                == whole.filter(pl.col("charged_at") < latest).rows()
            )


def faulty_rows(case: Case) -> set[int]:
    arguments = case.for_verb()
    tf.charge(frame(case.sessions), **arguments)
    return {row for row in arguments["problems"].frame["location"] if row is not None}


TERMS = [
    Terms("rolling"),
    Terms("rolling", scope="server"),
    Terms("day"),
    Terms("day", scope="server", min_duration=5 * MINUTE),
    Terms("day", zone="user", day_start=4 * HOUR),
    Terms("rolling", incremental=True, machine_metered=frozenset({"P0", "P7"})),
    Terms("day", incremental=True, scope="server"),
    Terms("rolling", idle_after=15 * MINUTE),
    Terms("rolling", renew=False),
]


@pytest.mark.parametrize("terms", TERMS, ids=lambda terms: rule_of(terms).rule_id)
def test_names_that_come_later_do_not_disturb_what_was_paid(terms: Terms) -> None:
    """Every batch brings new users, products, servers and hosts, in any number."""
    chance = random.Random("names")
    names = sorted(SERVERS)
    sessions = []
    for row in range(1_500):
        start = at("00:00") + row * 4 * MINUTE
        known = row // 40 + 2
        sessions.append(
            Session(
                f"user{chance.randrange(known)}",
                f"P{chance.randrange(known)}",
                start,
                None if row % 97 == 0 else start + chance.choice([ZERO, HOUR, 30 * HOUR]),
                names[chance.randrange(min(known, len(names)))],
                f"pc{chance.randrange(known)}",
            )
        )
    rates = [Rate(f"P{place}", Decimal(place), None, "abc"[place % 3]) for place in range(39)]
    reports = [Report(session.user, session.start + HOUR) for session in sessions[::3]]
    last = max(session.end or session.start for session in sessions)
    case = Case(
        sessions,
        terms,
        rates,
        last + DAY,
        users={f"user{place}": "Asia/Tokyo" for place in range(45)},
        reports=reports if terms.idle_after else None,
    )
    for size in (11, 100):
        batches = [sessions[row : row + size] for row in range(0, len(sessions), size)]
        assert_same(case, batches)
        assert_same(case, batches, between=lambda meter: tf.Meter.resume(meter.state()))


@pytest.mark.parametrize("users", range(1, 9))
@pytest.mark.parametrize("products", range(2, 7))
def test_a_new_product_leaves_the_windows_of_each_servers_users_as_they_are(users: int, products: int) -> None:
    terms = Terms("rolling", scope="server")
    first = [Session("u0", f"P{place}", at("08:00"), at("09:00"), "lic-01") for place in range(products)]
    first += [Session(f"u{user}", "P0", at("08:00"), at("09:00"), "lic-01") for user in range(1, users)]
    then = [replace(first[0], product="new", start=at("10:00"), end=at("11:00"))]
    then += [Session(f"u{user}", "P0", at("10:00"), at("11:00"), "lic-01") for user in range(users)]
    assert_same(Case([*first, *then], terms, ONE_RATE, None), [first, then])


def test_the_state_goes_on_in_another_process(tmp_path: Path) -> None:
    """Midnights of several zones are waiting, one session is open, and a family has paid a part."""
    sessions = [
        Session("ana", product, at("08:00") + place * 5 * HOUR, None if place == 3 else at("20:00", 15), server)
        for place, (product, server) in enumerate(
            [
                ("LT", "chi-lic-01"),
                ("ACD", "sin-lic-01"),
                ("LT", "ktm-lic-01"),
                ("ACD", "mad-lic-01"),
                ("ACD", "utc-lic-01"),
            ]
        )
    ]
    rates = [Rate("LT", Decimal(5), None, "drafting"), Rate("ACD", Decimal("7.5"), None, "drafting")]
    for terms in (Terms("day"), Terms("day", incremental=True), Terms("rolling"), Terms("rolling", incremental=True)):
        case = Case(sessions, terms, rates, at("12:00", 16))
        meter = meter_of(case)
        first = meter.push(frame(sessions[:3]))
        meter.state().write_parquet(tmp_path / "state.parquet")
        frame(sessions[3:]).write_parquet(tmp_path / "rest.parquet")
        program = (
            "import polars as pl, tokenflex as tf, datetime as dt\n"
            "meter = tf.Meter.resume(pl.read_parquet('state.parquet'))\n"
            "parts = [meter.push(pl.read_parquet('rest.parquet'))]\n"
            "parts.append(meter.finish(dt.datetime(2026, 7, 16, 12, tzinfo=dt.UTC)))\n"
            "pl.concat(parts).write_parquet('charges.parquet')\n"
        )
        subprocess.run([sys.executable, "-c", program], cwd=tmp_path, check=True, timeout=60, env=ENVIRONMENT)
        names = [pl.col("user", "product", "server").cast(pl.String), pl.col("rule_id").cast(pl.String)]
        whole = pl.concat(
            [first.with_columns(names), pl.read_parquet(tmp_path / "charges.parquet").with_columns(names)]
        )
        assert whole.sort("charged_at", "session").rows() == charge(case).rows()


@pytest.mark.parametrize(
    "terms",
    [Terms("rolling"), Terms("day"), Terms("rolling", incremental=True)],
    ids=lambda terms: rule_of(terms).rule_id,
)
def test_a_batch_that_reaches_back_is_refused_and_the_meter_goes_on_unharmed(terms: Terms) -> None:
    first = [Session("ana", "ACD", at(f"{8 + hour:02}:00"), at("12:00", 14), "mad-lic-01") for hour in range(3)]
    then = [Session("bo", "RVT", at(f"{11 + hour:02}:00"), None, "chi-lic-01") for hour in range(3)]
    case = Case([*first, *then], terms, ONE_RATE, at("10:00", 15))
    meter = meter_of(case)
    parts = [pushed(meter, first, case)]
    before = meter.state()
    # Among good rows, with names and a server that are new.
    late = Session("cy", "NEW", at("09:59"), at("11:00"), "sin-lic-01", "pc9")
    with pytest.raises(tf.ColumnValueError, match="start") as caught:
        meter.push(frame([*then, late, replace(late, start=at("09:58"))]), problems=tf.Problems())
    assert (caught.value.column, caught.value.row) == ("start", 4)
    numbers = [name for name in before.columns if name not in ("kind", "name")]
    after = meter.state()
    assert (
        after.filter(pl.col("kind") == "meter").select(numbers[:3]).rows()
        == before.filter(pl.col("kind") == "meter").select(numbers[:3]).rows()
    )
    parts += [pushed(meter, then, case), meter.finish(case.as_of, problems=tf.Problems())]
    assert pl.concat(parts).sort("charged_at", "session").rows() == charge(case).rows()


def test_a_batch_that_is_refused_for_its_columns_takes_nothing() -> None:
    case = Case([Session("ana", "ACD", at("08:00"), at("09:00"))], Terms("rolling"), ONE_RATE, None)
    meter = meter_of(case)
    for bad in (frame([]).drop("end"), frame(case.sessions).with_columns(start=pl.lit("then")), None, 7):
        with pytest.raises(tf.TokenflexError):
            meter.push(bad)  # type: ignore[arg-type]
    assert meter.push(frame(case.sessions)).rows() == charge(case).rows()


def test_problems_count_their_rows_over_all_batches() -> None:
    good = Session("ana", "ACD", at("08:00"), at("09:00"))
    bad = replace(good, end=at("07:00"))
    problems = tf.Problems()
    meter = tf.Meter(rule=tf.Rule(window="rolling"), rates=tf.Rates({"ACD": 7}))
    meter.push(frame([good, bad]), problems=problems)
    meter.push(frame([bad, good]), problems=problems)
    assert problems.frame.select("location", "code").rows() == [(1, "end_before_start"), (2, "end_before_start")]
    with pytest.warns(tf.TokenflexWarning, match=r"Meter\.push.*end_before_start"):
        meter.push(frame([bad]))


def test_a_meter_is_finished_once() -> None:
    meter = tf.Meter(rule=tf.Rule(window="rolling"), rates=tf.Rates({"ACD": 7}))
    first = meter.push(frame([Session("ana", "ACD", at("08:00"), None)]))
    with pytest.raises(tf.ArgumentError, match="as_of"):
        meter.finish(at("07:59"))
    assert first.height + meter.finish(at("09:00", 14)).height == 2
    for use in (
        meter.finish,
        meter.state,
        lambda: meter.push(frame([])),
    ):
        with pytest.raises(tf.ArgumentError, match="finished"):
            use()


def test_a_meter_that_took_nothing_has_no_charges() -> None:
    meter = tf.Meter(rule=tf.FLEX, rates=tf.Rates({}))
    assert meter.push(frame([])).is_empty()
    charges = tf.Meter.resume(meter.state()).finish()
    assert charges.is_empty()
    assert charges.schema == tf.charge(frame([]), rule=tf.FLEX, rates=tf.Rates({})).schema


def test_activity_is_taken_only_where_it_was_asked_for() -> None:
    activity = reports_frame([Report("ana", at("08:00"))])
    rates = tf.Rates({"ACD": 7})
    for meter in (
        tf.Meter(rule=tf.FLEX, rates=rates),
        tf.Meter(rule=tf.Rule(window="rolling"), rates=rates, with_activity=True),
    ):
        with pytest.raises(tf.ArgumentError, match="activity") as caught:
            meter.push(frame([]), activity=activity)
        assert caught.value.location == "activity"


def test_a_meter_checks_its_terms_at_once() -> None:
    with pytest.raises(tf.ZoneError, match="servers"):
        tf.Meter(rule=tf.TOKEN_FLEX, rates=tf.Rates({}))
    with pytest.raises(tf.ZoneError, match="Mars"):
        tf.Meter(rule=tf.TOKEN_FLEX, rates=tf.Rates({}), servers={"lic-01": "Mars/Olympus"})
    with pytest.raises(tf.ArgumentTypeError, match="rule"):
        tf.Meter(rule="FLEX", rates=tf.Rates({}))  # type: ignore[arg-type]
    assert tf.Meter(rule=tf.FLEX, rates=tf.Rates({})).rule == tf.FLEX


# Streams: `charge` over a LazyFrame, and over a reader of record batches.


@given(whole_cases())
@example(SHORT_SO_FAR)
@example(AS_OF_BEFORE_A_KNOWN_END)
@settings(max_examples=200)
def test_a_lazy_frame_in_any_order_is_charged_like_a_table(case: Case) -> None:
    assert tf.charge(frame(case.sessions).lazy(), **case.for_verb()).rows() == charge(case).rows()


@given(whole_cases(open_sessions=False))
@settings(max_examples=80)
def test_a_lazy_frame_has_the_problems_of_a_table(case: Case) -> None:
    streamed, whole = case.for_verb(), case.for_verb()
    tf.charge(frame(case.sessions).lazy(), **streamed)
    tf.charge(frame(case.sessions), **whole)
    assert streamed["problems"].frame.rows() == whole["problems"].frame.rows()


@given(whole_cases(reports=False), st.integers(1, 5))
@example(SHORT_SO_FAR, 1)
@example(LATER_CHARGED_BEFORE_A_SHORT_ONE, 1)
def test_a_reader_in_order_is_charged_like_a_table(case: Case, size: int) -> None:
    case, _ = in_batches(case, [])
    reader = frame(case.sessions).to_arrow().to_reader(max_chunksize=size)
    assert tf.charge(reader, **case.for_verb()).rows() == charge(case).rows()


def test_a_reader_out_of_order_is_refused_with_the_row() -> None:
    sessions = [Session("ana", "ACD", at(f"{hour:02}:00"), at("12:00")) for hour in (8, 9, 10, 7)]
    table = frame(sessions).to_arrow()
    reader = pa.RecordBatchReader.from_batches(table.schema, table.to_batches(max_chunksize=2))
    with pytest.raises(tf.ColumnValueError, match="start") as caught:
        tf.charge(reader, rule=tf.Rule(window="rolling"), rates=tf.Rates({"ACD": 7}))
    assert caught.value.column == "start"


@pytest.mark.parametrize("window", ["rolling", "day"])
def test_a_lazy_frame_of_several_batches_is_charged_like_a_table(window: Any) -> None:
    rows = (1 << 20) + 5_000
    start = pl.datetime(2026, 1, 1, time_zone="UTC") + pl.duration(seconds=pl.int_range(pl.len(), dtype=pl.Int64) * 20)
    table = (
        pl.select(row=pl.int_range(rows, dtype=pl.Int64))
        .lazy()
        .with_columns(start=start)
        .select(
            user=pl.concat_str(pl.lit("user"), (pl.col("row") * 7 % 3_001).cast(pl.String)),
            product=pl.concat_str(pl.lit("P"), (pl.col("row") % 7).cast(pl.String)),
            start="start",
            end=pl.col("start") + pl.duration(hours=pl.col("row") % 31),
        )
    )
    rule = tf.Rule(window=window) if window == "rolling" else tf.Rule(window="day", zone="utc")
    rates = tf.Rates({f"P{place}": place for place in range(7)})
    lazy, eager = (tf.charge(form, rule=rule, rates=rates) for form in (table, table.collect()))
    assert lazy.equals(eager)
    assert eager.height > 100_000


# States that something has happened to.


STATES = {
    "rolling": Case([], Terms("rolling"), ONE_RATE, None),
    "day": Case([], Terms("day"), ONE_RATE, None),
    "server": Case([], Terms("rolling", scope="server"), ONE_RATE, None),
    "families": Case([], Terms("rolling", incremental=True), [Rate("ACD", Decimal(7), None, "drafting")], None),
    "idle": Case([], Terms("day", idle_after=15 * MINUTE), ONE_RATE, None, reports=[Report("ana", at("08:20"))]),
}


def state_of(name: str) -> pl.DataFrame:
    sessions = [
        Session("ana", "ACD", at("08:00"), None, "mad-lic-01", "pc1"),
        Session("bo", "ACD", at("08:30"), at("20:00", 16), "sin-lic-01", "pc2"),
        Session("ana", "RVT", at("09:00"), at("20:00", 16), "chi-lic-01", "pc1"),
    ]
    meter = meter_of(STATES[name])
    pushed(meter, sessions, STATES[name])
    return meter.state()


@pytest.mark.parametrize(
    "table",
    [
        pl.DataFrame(),
        pl.DataFrame({"kind": [], "name": []}, schema={"kind": pl.String, "name": pl.String}),
        pl.DataFrame({"kind": ["terms"], "name": ["{}"]}),
        pl.DataFrame({"kind": ["terms"], "name": ["no json"]}),
        pl.DataFrame({"kind": ["terms"], "name": ["[]"]}),
        pl.DataFrame({"kind": ["terms"], "name": [None]}, schema={"kind": pl.String, "name": pl.String}),
        pl.DataFrame({"kind": [1], "name": [2]}),
        frame([Session("ana", "ACD", at("08:00"), None)]),
    ],
    ids=["nothing", "no row", "no terms", "no json", "a list", "null", "numbers", "sessions"],
)
def test_a_table_that_is_no_state_is_refused(table: pl.DataFrame) -> None:
    with pytest.raises(tf.TokenflexError) as caught:
        tf.Meter.resume(table)
    assert not isinstance(caught.value, tf.InternalError)


@pytest.mark.parametrize("state", [None, 7, "state.parquet", [], object()])
def test_what_is_no_table_is_no_state(state: Any) -> None:
    with pytest.raises(tf.TokenflexError) as caught:
        tf.Meter.resume(state)
    assert not isinstance(caught.value, tf.InternalError)


@pytest.mark.parametrize("name", STATES)
def test_a_state_comes_from_any_arrow_library(name: str) -> None:
    state = state_of(name)
    case = STATES[name]
    for form in (state.to_arrow(), state.to_pandas(), state.with_columns(pl.col(pl.String).cast(pl.Categorical))):
        assert tf.Meter.resume(form).state().rows() == state.rows()
    then = [Session("ana", "ACD", at("10:00", 14), None, "mad-lic-01", "pc1")]
    ends = [pushed(meter, then, case).rows() for meter in (tf.Meter.resume(state), tf.Meter.resume(as_parquet(state)))]
    assert ends[0] == ends[1]


@pytest.mark.parametrize("name", STATES)
def test_a_state_that_lost_a_row_or_a_column_is_refused_or_goes_on(name: str) -> None:
    state = state_of(name)
    for column in state.columns:
        with pytest.raises(tf.TokenflexError) as caught:
            tf.Meter.resume(state.drop(column))
        assert not isinstance(caught.value, tf.InternalError)
    for row in range(state.height):
        assert_no_defect(pl.concat([state[:row], state[row + 1 :]]), STATES[name])
    for row in range(1, state.height):
        assert_no_defect(pl.concat([state[:row], state[row:].reverse()]), STATES[name])


def assert_no_defect(state: pl.DataFrame, case: Case) -> None:
    """Whatever a state says, a meter of it works or is refused."""
    then = [Session("ana", "ACD", at("10:00", 14), at("11:00", 14), "mad-lic-01", "pc1")]
    try:
        meter = tf.Meter.resume(state)
        pushed(meter, then, case)
        meter.state()
        meter.finish(at("12:00", 17), problems=tf.Problems())
    except tf.InternalError:
        raise
    except tf.TokenflexError:
        pass


EDGES = [-(2**63), -1, 99, 2**40, 2**63 - 1]
TAMPERED = """
import resource, sys
resource.setrlimit(resource.RLIMIT_AS, (8 << 30, 8 << 30))
sys.path.insert(0, sys.argv[1])
from test_meter import EDGES, STATES, assert_no_defect, state_of
import polars as pl
state = state_of(sys.argv[2])
for row in range(1, state.height):
    if state["kind"][row] in ("user", "product", "server", "host"):
        continue
    for column in state.columns[2:]:
        for edge in EDGES:
            told = pl.when(pl.int_range(pl.len()) == row).then(edge).otherwise(column).alias(column)
            print(state["kind"][row], column, edge, flush=True)
            assert_no_defect(state.with_columns(told), STATES[sys.argv[2]])
"""


@pytest.mark.skipif(sys.platform == "win32", reason="limits the memory of a process")
@pytest.mark.parametrize("name", STATES)
def test_a_state_that_was_tampered_with_never_brings_the_process_down(name: str) -> None:
    folder = __file__.rpartition("/")[0]
    done = subprocess.run(
        [sys.executable, "-c", TAMPERED, folder, name],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env=ENVIRONMENT,
    )
    assert done.returncode == 0, f"{done.stdout[-60:]} {done.stderr[-400:]}"


def test_a_state_of_another_version_is_refused() -> None:
    state = state_of("rolling")
    for word, other in (('"version": "', '"version": "9'), ('"zone_database": "', '"zone_database": "1')):
        renamed = state.with_columns(pl.col("name").str.replace(word, other, literal=True))
        assert not renamed.equals(state)
        with pytest.raises(tf.ArgumentError, match="version"):
            tf.Meter.resume(renamed)


def test_a_day_of_the_meter_is_a_day_of_the_table() -> None:
    """Open sessions over many dates in several zones, settled one batch a day."""
    sessions = [
        Session(
            f"user{row % 5}",
            "ACD",
            at("00:00") + row * 6 * HOUR,
            None if row % 6 == 0 else at("00:00") + row * 8 * HOUR,
            name,
        )
        for row, name in enumerate(sorted(SERVERS) * 4)
    ]
    case = Case(sessions, Terms("day"), ONE_RATE, at("00:00") + timedelta(days=20))
    assert_same(case, [sessions[row : row + 4] for row in range(0, len(sessions), 4)])


@given(whole_cases(whole_terms(incremental=True), open_sessions=True), CUTS)
@settings(max_examples=80)
def test_families_in_batches_give_the_charges_of_the_whole(case: Case, cuts: list[int]) -> None:
    as_of = max(case.as_of or at("00:00"), case.last() or at("00:00"))
    if case.reports is None:
        assert_same(*in_batches(replace(case, as_of=as_of, terms=replace(case.terms, min_duration=ZERO)), cuts))
