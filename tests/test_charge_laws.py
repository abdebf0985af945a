"""Laws that charging obeys whatever the data: what must not change the result, and what may change it only one way."""

from __future__ import annotations

import itertools
from collections import Counter
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tokenflex as tf
from reference import DAY, TICK, Session, Terms
from strategies import LENGTHS, MIN_DURATIONS, SERVERS, ZERO, Case, all_terms, cases, frame
from test_charge_reference import charge

if TYPE_CHECKING:
    import random
    from collections.abc import Callable

WITHOUT_ORDER = ["user", "product", "charged_at", "usage_date", "category", "trigger", "tokens", "rule_id"]

# Under these a window is one stretch of time, and sessions of all servers share it.
ONE_ZONE = st.one_of(
    st.builds(Terms, st.just("rolling"), length=st.sampled_from(LENGTHS), min_duration=st.sampled_from(MIN_DURATIONS)),
    st.builds(
        Terms,
        st.just("day"),
        zone=st.sampled_from(["utc", "Asia/Kathmandu", "America/Chicago"]),
        min_duration=st.sampled_from(MIN_DURATIONS),
    ),
)


def rows(charges: pl.DataFrame) -> Counter[tuple[Any, ...]]:
    """Charges as a bag, without what depends on the order of the input."""
    return Counter(charges.select(WITHOUT_ORDER).rows())


def keys(charges: pl.DataFrame) -> Counter[tuple[str, str]]:
    """How often each key is charged."""
    return Counter(charges.select("user", "product").rows())


@given(cases(), st.randoms(use_true_random=False))
def test_order_of_rows_changes_nothing(case: Case, chance: random.Random) -> None:
    order = list(range(len(case.sessions)))
    chance.shuffle(order)
    # Sessions of one instant are taken in input order: these keep theirs.
    for start in {session.start for session in case.sessions}:
        places = [place for place, row in enumerate(order) if case.sessions[row].start == start]
        for place, row in zip(places, sorted(order[place] for place in places), strict=True):
            order[place] = row
    shuffled = charge(replace(case, sessions=[case.sessions[row] for row in order]))
    mapping = pl.Series(order, dtype=pl.UInt64)
    restored = shuffled.with_columns(session=mapping.gather(shuffled["session"].cast(pl.UInt32)))
    assert restored.sort("charged_at", "session").rows() == charge(case).rows()


@given(cases(), st.randoms(use_true_random=False))
def test_order_of_sessions_of_one_instant_changes_no_amount(case: Case, chance: random.Random) -> None:
    shuffled = list(case.sessions)
    chance.shuffle(shuffled)
    assert rows(charge(replace(case, sessions=shuffled))) == rows(charge(case))


def as_categorical(sessions: pl.DataFrame) -> pl.DataFrame:
    return sessions.with_columns(pl.col(pl.String).cast(pl.Categorical))


def as_enum(sessions: pl.DataFrame) -> pl.DataFrame:
    return sessions.with_columns(
        pl.col(name).cast(pl.Enum(sorted({*sessions[name].drop_nulls(), "nobody"})))
        for name in ("user", "product", "server")
    )


def as_dictionary(sessions: pl.DataFrame) -> pa.Table:
    table = sessions.to_arrow()
    for place, name in enumerate(("user", "product", "server")):
        table = table.set_column(place, name, table[name].cast(pa.string()).dictionary_encode())
    return table


def as_dictionary_of_repeated_values(sessions: pl.DataFrame) -> pa.Table:
    """A dictionary may hold one value twice; the two codes are one name."""
    table = sessions.to_arrow()
    for place, name in enumerate(("user", "product", "server")):
        values = table[name].cast(pa.string()).to_pylist()
        encoded = pa.DictionaryArray.from_arrays(
            pa.array(range(len(values)), pa.int32()), pa.array(values, pa.string())
        )
        table = table.set_column(place, name, encoded)
    return table


@pytest.mark.parametrize("encode", [as_categorical, as_enum, as_dictionary, as_dictionary_of_repeated_values])
@given(case=cases())
def test_encoding_of_names_changes_nothing(encode: Callable[[pl.DataFrame], Any], case: Case) -> None:
    assert charge(case, encode(frame(case.sessions))).rows() == charge(case).rows()


@given(cases(), st.lists(st.integers(0, 12), max_size=4))
def test_chunks_of_the_frame_change_nothing(case: Case, cuts: list[int]) -> None:
    whole = frame(case.sessions)
    edges = [0, *sorted(min(cut, whole.height) for cut in cuts), whole.height]
    # An empty piece in front and empty pieces between: a chunk can have no rows.
    pieces = [whole.clear(), *(whole[low:high] for low, high in itertools.pairwise(edges))]
    chunked = pl.concat(pieces, rechunk=False)
    assert charge(case, chunked).rows() == charge(case).rows()
    # Dictionaries of their own for each chunk.
    table = pa.concat_tables([as_dictionary(piece) for piece in pieces])
    assert charge(case, table).rows() == charge(case).rows()


@given(cases())
def test_the_frame_of_the_caller_is_not_changed(case: Case) -> None:
    whole = frame(case.sessions)
    given_frame = pl.concat([whole[:3], whole[3:]], rechunk=False)
    chunks = given_frame.n_chunks("all")
    charge(case, given_frame)
    assert given_frame.equals(whole)
    assert given_frame.schema == whole.schema
    assert given_frame.n_chunks("all") == chunks


@given(cases(), st.permutations(["user", "product", "server", "start", "end", "note", "line"]))
def test_other_columns_and_their_order_change_nothing(case: Case, order: list[str]) -> None:
    sessions = frame(case.sessions).with_columns(note=pl.lit("x"), line=pl.lit(3, pl.UInt32)).select(order)
    assert charge(case, sessions).rows() == charge(case).rows()


def shifted(case: Case, by: timedelta) -> Case:
    sessions = [replace(s, start=s.start + by, end=s.end and s.end + by) for s in case.sessions]
    rates = [replace(r, effective_from=r.effective_from and r.effective_from + by) for r in case.rates]
    return replace(case, sessions=sessions, rates=rates, as_of=case.as_of and case.as_of + by)


@pytest.mark.parametrize("order", ["sorted", "shuffled"])
@pytest.mark.parametrize("rule", [tf.FLEX, tf.TOKEN_FLEX], ids=lambda rule: rule.rule_id)
def test_many_charges_are_those_of_their_users(rule: tf.Rule, order: str) -> None:
    """Enough charges for several threads, against tables too small for them."""
    count, parts = 240_000, 6
    chance = np.random.default_rng(7)
    start = np.datetime64("2026-02-01", "us") + chance.integers(0, 60 * DAY // TICK, count)
    if order == "sorted":
        start.sort()
    names = np.array(sorted(SERVERS))
    sessions = pl.DataFrame(
        {
            "user": chance.integers(0, 5_000, count).astype("U5"),
            "product": np.array(["ACD", "RVT"])[chance.integers(0, 2, count)],
            "server": names[chance.integers(0, len(names), count)],
            "start": start,
            "end": start + chance.integers(0, 2 * DAY // TICK, count),
        }
    ).with_columns(pl.col("start", "end").dt.replace_time_zone("UTC"))
    rates = tf.Rates({"ACD": 7, "RVT": "10.5"})
    whole = tf.charge(sessions, rule=rule, rates=rates, servers=SERVERS)
    assert whole.height > 200_000
    row = pl.int_range(pl.len(), dtype=pl.UInt64).alias("row")
    of_parts = []
    for part in range(parts):
        mine = sessions.with_columns(row).filter(pl.col("user").cast(pl.Int32) % parts == part)
        charges = tf.charge(mine, rule=rule, rates=rates, servers=SERVERS)
        assert charges.height < 100_000
        of_parts.append(charges.with_columns(session=mine["row"].gather(charges["session"])))
    assert whole.equals(pl.concat(of_parts).sort("charged_at", "session"))


UTC_ONLY = st.one_of(
    st.builds(Terms, st.just("rolling"), length=st.sampled_from(LENGTHS)),
    st.builds(Terms, st.just("day"), zone=st.just("utc")),
)


@given(cases(UTC_ONLY), st.integers(0, 3))
def test_a_shift_of_all_times_by_whole_days_shifts_the_charges(case: Case, days: int) -> None:
    by = timedelta(days=days)
    moved = charge(case).with_columns(pl.col("charged_at", "window_end", "usage_date") + by)
    assert charge(shifted(case, by)).rows() == moved.rows()


@given(cases(UTC_ONLY.filter(lambda terms: terms.window == "rolling")), st.integers(0, 3 * DAY // TICK))
def test_a_shift_of_all_times_shifts_rolling_windows(case: Case, ticks: int) -> None:
    by = ticks * TICK
    moved = charge(case).with_columns(pl.col("charged_at", "window_end") + by).drop("usage_date")
    assert charge(shifted(case, by)).drop("usage_date").rows() == moved.rows()


@given(cases(ONE_ZONE, open_sessions=False, min_size=1), st.data())
def test_a_session_inside_a_paid_window_changes_nothing(case: Case, data: st.DataObject) -> None:
    charges = charge(case)
    if charges.is_empty():
        return
    window = charges.row(data.draw(st.integers(0, charges.height - 1)), named=True)
    inside = st.integers(0, (window["window_end"] - window["charged_at"]) // TICK)
    first, last = sorted([data.draw(inside), data.draw(inside)])
    start, end = window["charged_at"] + first * TICK, window["charged_at"] + last * TICK
    if start == window["window_end"]:
        return
    server = data.draw(st.sampled_from(sorted(SERVERS)))
    more = Session(window["user"], window["product"], start, end, server)
    assert charge(replace(case, sessions=[*case.sessions, more])).rows() == charges.rows()


@given(cases(), st.integers(0, 12))
def test_less_use_never_costs_more(case: Case, count: int) -> None:
    """The windows of a key cover its use with as few as can be, so fewer sessions need no more of them."""
    case = replace(case, as_of=case.as_of or max((s.end or s.start for s in case.sessions), default=None))
    less, more = keys(charge(replace(case, sessions=case.sessions[:count]))), keys(charge(case))
    assert less <= more


@given(cases(all_terms().map(lambda terms: replace(terms, min_duration=ZERO))), st.data())
def test_use_cut_in_two_costs_the_same(case: Case, data: st.DataObject) -> None:
    pieces = []
    for session in case.sessions:
        if session.end is None or session.end - session.start < 2 * TICK:
            pieces.append(session)
            continue
        at = session.start + data.draw(st.integers(1, (session.end - session.start) // TICK - 1)) * TICK
        pieces += [replace(session, end=at), replace(session, start=at)]
    amounts = [name for name in WITHOUT_ORDER if name != "trigger"]
    whole, cut = charge(case), charge(replace(case, sessions=pieces))
    assert Counter(cut.select(amounts).rows()) == Counter(whole.select(amounts).rows())


@given(cases())
def test_windows_of_a_key_do_not_overlap_and_begin_in_use(case: Case) -> None:
    charges = charge(case)
    assert charges["charged_at"].is_sorted()
    for _, windows in charges.group_by("user", "product", maintain_order=True):
        if case.terms.window == "rolling":
            assert (windows["charged_at"].diff().drop_nulls() >= case.terms.length).all()
            assert (windows["window_end"] - windows["charged_at"] == case.terms.length).all()
        else:
            assert windows["usage_date"].is_unique().all()
        assert (windows["window_end"] > windows["charged_at"]).all()
    for row in charges.to_dicts():
        session = case.sessions[row["session"]]
        assert (session.user, session.product, session.server) == (row["user"], row["product"], row["server"])
        assert session.start <= row["charged_at"]
        assert session.end is None or row["charged_at"] < session.end or row["charged_at"] == session.start
        assert (row["trigger"] == "launch") == (row["charged_at"] == session.start)


@given(cases(min_size=1))
def test_keys_do_not_touch_each_other(case: Case) -> None:
    whole = charge(case)
    for user, product in {(session.user, session.product) for session in case.sessions}:
        mine = [s for s in case.sessions if (s.user, s.product) == (user, product)]
        as_of = case.as_of or max(i for s in case.sessions for i in (s.start, s.end) if i is not None)
        alone = charge(replace(case, sessions=mine, as_of=as_of))
        assert rows(alone) == rows(whole.filter(user=user, product=product))


@given(cases(open_sessions=False, min_size=1), st.sampled_from(MIN_DURATIONS[1:]), st.data())
def test_sessions_below_the_minimum_count_for_nothing(case: Case, minimum: timedelta, data: st.DataObject) -> None:
    case = replace(case, terms=replace(case.terms, min_duration=minimum))
    like = data.draw(st.sampled_from(case.sessions))
    short = replace(like, end=like.start + minimum - TICK)
    assert charge(replace(case, sessions=[*case.sessions, short])).rows() == charge(case).rows()
