"""`follow_up`: each line is in one row, equals a plain reference, and finds what was planted and nothing else."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import planted_follow_up as planted
import tokenflex as tf
from follow_up_reference import Row, followed
from tokenflex import tables

START = datetime(2026, 1, 29, tzinfo=UTC)
USED = [
    "status", "cause", "causes", "user", "product", "server", "usage_date", "charged_at", "shift", "ours", "vendors",
    "charge", "statement",
]  # fmt: skip
KINDS = ["plain"] * 6 + ["aside", "adjustment", "manual", "no_rate"]
drawn_rows = st.tuples(
    st.sampled_from(KINDS), st.sampled_from(["ana", "ana", "ben", None]), st.sampled_from(["ACD", "LT"]),
    st.sampled_from(["mad", "chi"]), st.integers(0, 4), st.sampled_from([8, 20]), st.sampled_from([None, 7, 7, 9]),
    st.sampled_from([None, 7, 7, 9, 14, -7]), st.sampled_from([0, 0, 1, 12]), st.booleans(),
)  # fmt: skip


def row_of(drawn: tuple[Any, ...], number: int, level: str) -> Row:
    """A row that `reconcile` could write."""
    kind, user, product, server, day, hour, ours, vendors, shift, has_no_date = drawn
    if kind in ("adjustment", "manual"):
        ours, vendors = None, -(vendors or 14) if kind == "adjustment" else abs(vendors or 14)
        product = None if has_no_date else product
    elif ours is None and vendors is None:
        ours = 7
    vendors = vendors if kind in ("adjustment", "manual") or vendors is None else abs(vendors)
    cause = {"aside": "no_log", "adjustment": "adjustment", "manual": "manual_entry", "no_rate": "no_rate"}.get(kind)
    status = "extra_at_vendor" if kind == "manual" else "not_comparable"
    if kind == "plain":
        status = (
            "matched" if ours == vendors else "extra_at_vendor" if ours is None
            else "missing_at_vendor" if vendors is None else "amount_differs"
        )  # fmt: skip
        cause = None if status == "matched" else "rate" if ours == 9 else "unexplained"
    both = ours is not None and vendors is not None
    at = START + timedelta(days=day, hours=hour)
    is_dated = kind in ("adjustment", "manual") or level != "session"
    return {
        "status": status, "cause": cause, "causes": [] if cause is None else [cause], "user": user, "product": product,
        "server": None if level != "session" else server, "usage_date": at.date(),
        "charged_at": None if is_dated else at,
        "shift": (timedelta(hours=shift) if level == "session" else timedelta(days=shift)) if both else None,
        "ours": None if kind == "no_rate" and ours is not None else Decimal(ours or 0),
        "vendors": Decimal(vendors or 0), "charge": None if ours is None else number,
        "statement": None if vendors is None else number,
        "is_correcting": kind in ("adjustment", "manual"),
    }  # fmt: skip


def table_of(rows: list[Row]) -> pl.DataFrame:
    frame = pl.DataFrame(rows, schema={name: tables.RECONCILIATION[name] for name in USED}, orient="row", strict=False)
    return frame.with_columns(pl.col("ours", "vendors").cast(tables.TOKENS))


@st.composite
def histories(draw: Any) -> tuple[str, list[Row], list[Row]]:
    """Two reconciliations, of which the later repeats, changes, drops and adds rows."""
    level = draw(st.sampled_from(["session", "day"]))
    drawn = draw(st.lists(drawn_rows, min_size=1, max_size=9))
    fates = draw(st.lists(st.sampled_from(["same", "same", "gone", "other"]), min_size=len(drawn), max_size=len(drawn)))
    later = []
    for one, fate in zip(drawn, fates, strict=True):
        if fate == "same":
            later.append(one)
        elif fate == "other":
            place = draw(st.sampled_from([3, 5, 6, 7, 8]))
            later.append((*one[:place], draw(drawn_rows)[place], *one[place + 1 :]))
    later += draw(st.lists(drawn_rows, max_size=4))
    tables_ = [[row_of(one, number, level) for number, one in enumerate(rows)] for rows in (drawn, later)]
    return level, tables_[0], draw(st.permutations(tables_[1]))


def is_refused(earlier: list[Row], later: list[Row]) -> bool:
    """Nobody or no product in both, or only one of them with instants where both have charges."""
    for name in ("user", "product"):
        both = [{row[name] for row in rows} - {None} for rows in (earlier, later)]
        if all(both) and not both[0] & both[1]:
            return True
    timed = [any(row["charged_at"] for row in rows) for rows in (earlier, later)]
    charged = [any(row["charge"] is not None for row in rows) for rows in (earlier, later)]
    return timed[0] != timed[1] and charged[timed[0]]


def checked(earlier: list[Row], later: list[Row]) -> None:
    then, now = table_of(earlier), table_of(later)
    if is_refused(earlier, later):
        with pytest.raises(tf.ArgumentError, match=r"in both|at one level"):
            tf.follow_up(then, now, problems=tf.Problems())
        return
    found = tf.follow_up(then, now, problems=tf.Problems())
    rows, corrections = followed(earlier, later)
    columns = list(tables.RECONCILIATION_CHANGES)
    assert found.rows.rows() == [tuple(row[name] for name in columns) for row in rows]
    columns = [
        name for name in tables.VENDOR_CORRECTIONS if name not in {"token_pool", "reason_type", "reason_comment"}
    ]
    assert found.corrections.select(columns).rows() == [tuple(row[name] for name in columns) for row in corrections]
    assert_nothing_is_lost(then, now, found)


def assert_nothing_is_lost(then: pl.DataFrame, now: pl.DataFrame, found: tf.FollowUp) -> None:
    """Every row of both tables is in one row, with all its tokens; each correction evens out what it says."""
    for table, name, prefix in ((then, "earlier", "was_"), (now, "later", "")):
        assert sorted(found.rows[name].drop_nulls()) == list(range(table.height))
        assert [found.rows[prefix + side].sum() for side in ("ours", "vendors")] == [
            table[side].sum() for side in ("ours", "vendors")
        ]
        assert found.summary[prefix + "vendors"].sum() == table["vendors"].sum()
    assert found.summary["rows"].sum() == found.rows.height
    by_number = found.rows.drop_nulls("correction")
    evened = by_number.filter(pl.col("change") == "corrected_by_adjustment")
    assert by_number.height - evened.height == found.corrections.height
    sums = dict(evened.group_by("correction").agg(pl.col("was_difference").sum()).iter_rows())
    counts = dict(evened.group_by("correction").len().iter_rows())
    for number, how, differences, tokens in found.corrections.select(
        "correction", "matched_by", "differences", "tokens"
    ).iter_rows():
        assert counts.get(number, 0) == differences
        assert (how == "unmatched") == (differences == 0)
        assert how == "unmatched" or sums[number] == -tokens


@settings(max_examples=60)
@given(histories())
def test_what_is_found_is_what_the_plain_reference_finds(history: tuple[str, list[Row], list[Row]]) -> None:
    checked(*history[1:])


@pytest.mark.heavy
@settings(settings.get_profile("heavy"))
@given(histories())
def test_what_is_found_is_what_the_plain_reference_finds_at_length(history: tuple[str, list[Row], list[Row]]) -> None:
    checked(*history[1:])


def counted(rows: pl.DataFrame, column: str = "change") -> dict[str, int]:
    return dict(rows.group_by(pl.col(column).cast(pl.String)).len().iter_rows())


@pytest.mark.parametrize(("level", "seed"), [("session", 2), ("day", 1), ("day", 2), ("day", 3)])
def test_what_became_of_each_planted_difference_is_found_and_nothing_else(level: Any, seed: int) -> None:
    made = planted.plant(seed, 2)
    earlier, later = made.audits(level)
    found = tf.follow_up(earlier, later, statement=made.now.statement(), problems=(problems := tf.Problems()))
    assert len(problems) == 0
    was_matched = earlier.rows.filter(pl.col("status") == "matched").height
    gone = sum(made.changes[name] for name in ("changed_by_vendor", "changed_by_us", "withdrawn"))
    manual = pl.col("causes").list.contains("adjustment")
    news = later.rows.filter(pl.col("usage_date") >= planted.NEXT, ~manual).height
    assert counted(found.rows) == {**made.changes, "settled": was_matched - gone, "new": news}
    assert counted(found.corrections, "matched_by") == made.matched_by
    assert found.corrections.filter(pl.col("matched_by") == "difference")["choices"].to_list() == [2] * 2
    assert_nothing_is_lost(earlier.rows, later.rows, found)
    changed = found.rows.filter(pl.col("was_settled"), pl.col("change") != "settled")
    assert changed.height == gone
