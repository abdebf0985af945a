"""`follow_up`: each line is in one row, equals a plain reference, and finds what was planted and nothing else."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from functools import cache
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import planted_follow_up as planted
import tokenflex as tf
from follow_up_reference import Row, followed
from planted_audit import other_row
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


@settings(max_examples=50)
@given(histories())
def test_what_is_found_is_what_the_plain_reference_finds(history: tuple[str, list[Row], list[Row]]) -> None:
    checked(*history[1:])


@pytest.mark.heavy
@settings(settings.get_profile("heavy"))
@given(histories())
def test_what_is_found_is_what_the_plain_reference_finds_at_length(history: tuple[str, list[Row], list[Row]]) -> None:
    checked(*history[1:])


@cache
def months(seed: int, level: Any) -> tuple[planted.Months, tf.Reconciliation, tf.Reconciliation]:
    made = planted.plant(seed, 2)
    return made, *made.audits(level)


def counted(rows: pl.DataFrame, column: str = "change") -> dict[str, int]:
    return dict(rows.group_by(pl.col(column).cast(pl.String)).len().iter_rows())


@pytest.mark.parametrize(("level", "seed"), [("session", 2), ("day", 1), ("day", 2), ("day", 3)])
def test_what_became_of_each_planted_difference_is_found_and_nothing_else(level: Any, seed: int) -> None:
    made, earlier, later = months(seed, level)
    found = tf.follow_up(earlier, later, statement=made.now.statement(), problems=(problems := tf.Problems()))
    assert len(problems) == 0
    was_matched = earlier.rows.filter(pl.col("status") == "matched").height
    gone = sum(made.changes[name] for name in ("changed_by_vendor", "changed_by_us", "withdrawn"))
    manual = pl.col("causes").list.contains("adjustment")
    news = later.rows.filter(pl.col("usage_date") >= planted.NEXT, ~manual).height
    assert counted(found.rows) == {**made.changes, "settled": was_matched - gone, "new": news}
    assert counted(found.corrections, "matched_by") == made.matched_by
    assert (found.corrections.filter(pl.col("matched_by") == "difference")["choices"] >= 2).all()
    assert found.corrections["reason_comment"].str.starts_with("as agreed").all()
    assert found.corrections["date"].unique().to_list() == [planted.NEXT + timedelta(days=3)]
    assert_nothing_is_lost(earlier.rows, later.rows, found)
    changed = found.rows.filter(pl.col("was_settled"), pl.col("change") != "settled")
    assert changed.height == gone


@pytest.mark.parametrize("level", ["session", "day", "month"])
def test_a_reconciliation_against_itself_is_settled_or_open_as_it_was(level: Any) -> None:
    _, _, later = months(2, level)
    found = tf.follow_up(later, later)
    assert found.corrections.is_empty()
    assert set(found.rows["change"]) <= {"settled", "still_open", "not_comparable"}
    pairs = found.rows.select("earlier", "later", "was_status", "status").rows()
    assert all(earlier == later_ and was == is_ for earlier, later_, was, is_ in pairs)
    assert found.rows["later"].to_list() == list(range(later.rows.height))


def test_the_order_of_rows_changes_nothing_but_their_numbers() -> None:
    _, earlier, later = months(3, "day")
    one = tf.follow_up(earlier, later)
    other = tf.follow_up(*(each.rows.sample(fraction=1, shuffle=True, seed=5) for each in (earlier, later)))
    assert one.rows.drop("earlier", "later").equals(other.rows.drop("earlier", "later"))
    assert one.corrections.drop("later").equals(other.corrections.drop("later"))
    assert one.summary.equals(other.summary)


def test_a_table_may_come_from_a_file_and_of_any_library(tmp_path: Any) -> None:
    _, earlier, later = months(2, "session")
    expected = tf.follow_up(earlier, later)
    earlier.rows.write_parquet(tmp_path / "earlier.parquet")
    texts = earlier.rows.with_columns(
        pl.col(name).cast(pl.String) for name in ("status", "cause", "user", "product", "server")
    ).drop("causes", "explained", "difference", "window_end")
    tables_ = {
        "a file": pl.read_parquet(tmp_path / "earlier.parquet"),
        "a file, lazily": pl.scan_parquet(tmp_path / "earlier.parquet"),
        "texts": texts,
        "pyarrow": earlier.rows.to_arrow(),
        "pandas": texts.to_pandas(),
    }
    for name, table in tables_.items():
        found = tf.follow_up(table, later)
        assert found.rows.equals(expected.rows), name
        assert found.corrections.equals(expected.corrections), name


def used(day: int, hour: int, ours: int | None, vendors: int | None, *, month: int = 2, **more: Any) -> Row:
    """A row of one use, unless told otherwise in February."""
    at = datetime(2026, month, day, hour, tzinfo=UTC)
    both = ours is not None and vendors is not None
    status = "matched" if ours == vendors else "amount_differs" if both else "extra_at_vendor" if ours is None else None
    row: Row = {
        "status": status or "missing_at_vendor", "cause": None if ours == vendors else "unexplained", "causes": [],
        "user": "ana", "product": "ACD", "server": None, "usage_date": at.date(), "charged_at": at,
        "shift": timedelta(0) if both else None, "ours": Decimal(ours or 0), "vendors": Decimal(vendors or 0),
        "charge": None if ours is None else day, "statement": None if vendors is None else day,
    }  # fmt: skip
    return row | more


def given_back(tokens: int, **more: Any) -> Row:
    aside: Row = {"status": "not_comparable", "cause": "adjustment", "charged_at": None, "user": None, "product": None}
    return used(25, 0, None, -tokens) | aside | more


def changes(then: list[Row], now: list[Row]) -> list[tuple[Any, ...]]:
    found = tf.follow_up(table_of(then), table_of(now), problems=tf.Problems())
    assert_nothing_is_lost(table_of(then), table_of(now), found)
    return found.rows.select("change", pl.col("was_difference", "difference").cast(pl.Int64)).rows()


ENDS = [used(1, 8, 7, 7), used(28, 8, 7, 7)]
"""So that a month is covered."""


@pytest.mark.parametrize(
    ("then", "now", "expected"),
    [
        ([used(3, 8, 7, None)], [used(3, 8, 7, 7)], [("corrected_by_vendor", -7, 0)]),
        ([used(3, 8, None, 7)], [used(3, 8, 7, 7)], [("corrected_by_us", 7, 0)]),
        ([used(3, 8, None, 7)], [], [("corrected_by_vendor", 7, 0)]),
        ([used(3, 8, 7, None)], [], [("corrected_by_us", -7, 0)]),
        ([used(3, 8, 7, 9)], [used(3, 8, 8, 8)], [("corrected_by_both", 2, 0)]),
        ([used(3, 8, 7, 7)], [used(3, 8, 7, 9)], [("changed_by_vendor", 0, 2)]),
        ([used(3, 8, 7, 7)], [used(3, 8, 7, None)], [("changed_by_vendor", 0, -7)]),
        ([used(3, 8, 7, 9)], [used(3, 8, 8, 9)], [("changed_by_us", 2, 1)]),
        ([used(3, 8, 7, 7)], [used(3, 8, 9, 9)], [("changed_by_both", 0, 0)]),
        ([used(3, 8, 7, 7)], [], [("withdrawn", 0, 0)]),
        ([], [used(3, 8, 7, 7)], [("late", 0, 0)]),
    ],
)
def test_each_change_has_its_name(then: list[Row], now: list[Row], expected: list[tuple[Any, ...]]) -> None:
    found = changes([*ENDS, *then], [*ENDS, *now])
    assert found == [("settled", 0, 0), *expected, ("settled", 0, 0)]


def test_a_line_that_shifted_or_has_another_partner_is_the_same_line() -> None:
    hour = timedelta(hours=1)
    # The vendor's of 9 o'clock against ours of 8, and the vendor's of 8 against nothing; and the other way round.
    swapped = [used(3, 8, 7, 7, shift=hour), used(3, 8, None, 7)], [used(3, 8, 7, 7), used(3, 9, None, 7)]
    same = ("settled", 0, 0)
    assert changes([*ENDS, *swapped[0]], [*ENDS, *swapped[1]]) == [same, same, ("still_open", 7, 7), same]
    # Two that stand alone, and stand together now: nobody moved.
    apart = [used(3, 8, 7, None), used(3, 9, None, 7)]
    together = [used(3, 8, 7, 7, shift=hour)]
    found = changes([*ENDS, *apart], [*ENDS, *together])
    assert found == [same, ("reassessed", -7, 0), ("reassessed", 7, 0), same]
    assert changes([*ENDS, *together], [*ENDS, *apart])[1:3] == [("reassessed", 0, -7), ("reassessed", 0, 7)]
    # A log that came late lets our charge fall an hour earlier, and the vendor's stays where it is.
    earlier_by_an_hour = [used(3, 7, 7, 7, shift=2 * hour)]
    assert changes([*ENDS, *together], [*ENDS, *earlier_by_an_hour]) == [same] * 3
    # The same over a midnight, where the date is another one, too.
    around = [used(4, 0, 7, 7)], [used(3, 23, 7, 7, shift=hour)]
    assert changes([*ENDS, *around[0]], [*ENDS, *around[1]]) == [same] * 3
    # What shifted within its date, on one side only.
    assert changes([*ENDS, used(3, 8, None, 7)], [*ENDS, used(3, 10, None, 7)])[1] == ("still_open", 7, 7)


def test_lines_that_changed_partners_are_judged_otherwise_and_nobody_moved() -> None:
    hour, same = timedelta(hours=1), ("settled", 0, 0)
    # Open with one partner and open with the other.
    then = [used(3, 8, 7, 9, shift=hour), used(3, 8, None, 10)]
    now = [used(3, 8, 7, 10), used(3, 9, None, 9)]
    assert changes([*ENDS, *then], [*ENDS, *now]) == [same, ("reassessed", 2, 3), ("reassessed", 10, 9), same]
    # The vendor's of 10 o'clock stood against ours and stands alone now, and the one of 6 is gone.
    then = [used(3, 6, None, 7), used(3, 8, 7, 7, shift=2 * hour)]
    now = [used(3, 8, 7, None), used(3, 10, None, 7)]
    expected = [("corrected_by_vendor", 7, 0), ("reassessed", 0, -7), ("reassessed", 0, 7)]
    assert changes([*ENDS, *then], [*ENDS, *now]) == [same, *expected, same]
    # A manual entry stood against ours, where a row of the server does now: it is no new correction.
    now = [used(3, 8, 7, 7), used(3, 8, None, 7, charged_at=None, cause="manual_entry")]
    found = tf.follow_up(table_of([*ENDS, used(3, 8, 7, 7, shift=None)]), table_of([*ENDS, *now]))
    assert counted(found.rows) == {"settled": 2, "changed_by_vendor": 1, "reassessed": 1}
    assert found.corrections.is_empty()


def test_days_that_one_of_the_two_does_not_cover_are_told_and_not_withdrawn() -> None:
    january, february = (
        [used(3, 8, 7, 7), used(4, 8, 7, None), used(10, 8, 7, 7)],
        [used(10, 8, 7, 7), used(20, 8, 7, 7)],
    )
    problems = tf.Problems()
    found = tf.follow_up(table_of(january), table_of(february), problems=problems)
    assert found.rows["change"].to_list() == ["not_covered", "not_covered", "settled", "new"]
    assert [(row["code"], row["source"]) for row in problems] == [("days_not_covered", "later")] * 2
    assert "2 lines of 2026-02-03 to 2026-02-04" in problems.frame["message"][0]
    with pytest.warns(tf.TokenflexWarning, match="days_not_covered"):
        tf.follow_up(table_of(january), table_of(february))
    # The vendor's rows alone may begin later: a line of ours that stands alone now is no change of the vendor's.
    half = [used(3, 8, 7, None, status="not_comparable", cause="no_statement"), used(10, 8, 7, 7), used(20, 8, 7, 7)]
    assert changes(january, half)[0] == ("not_covered", 0, -7)
    assert changes(half, [*january, used(20, 8, 7, 7)])[0] == ("new", -7, 0)


OPEN = {
    "A": used(20, 8, None, 7, month=1),
    "B": used(3, 8, None, 7),
    "C": used(12, 8, None, 5, user="ben", cause="rate"),
    "D": used(14, 8, None, 3, product="LT", cause="rate"),
    "E": used(16, 8, 4, None, user="ben", product="LT", cause="no_row"),
}
ADDED: Row = {"cause": "manual_entry", "status": "extra_at_vendor"}


@pytest.mark.parametrize(
    ("correction", "how", "evened"),
    [
        (given_back(7, user="ana", product="ACD"), "difference", "B"),
        (given_back(7, user="ana", product="ACD", usage_date=date(2026, 2, 2)), "difference", "A"),
        (given_back(7, user="ana", product="ACD", usage_date=date(2026, 1, 2)), "difference", "A"),
        (given_back(-4, user="ben", product="LT", **ADDED), "difference", "E"),
        (given_back(14, user="ana", product="ACD"), "user_and_product", "AB"),
        (given_back(14), "user_and_product", "AB"),
        (given_back(5), "user_and_product", "C"),
        (given_back(19, product="ACD"), "product", "ABC"),
        (given_back(19), "product", "ABC"),
        (given_back(-1, product="LT"), "product", "DE"),
        (given_back(10, user="ana"), "month", "BD"),
        (given_back(11), "month", "BCDE"),
        (given_back(8), "cause", "CD"),
        (given_back(18), "everything", "ABCDE"),
        (given_back(17, user="ana"), "everything", "ABD"),
        (given_back(6), "unmatched", ""),
        (given_back(8, product="LT"), "unmatched", ""),
        (given_back(5, user="cem", product="ACD"), "unmatched", ""),
        (given_back(7, user="ben", product="ACD"), "unmatched", ""),
    ],
)
def test_a_correction_is_matched_by_one_difference_or_a_whole(correction: Row, how: str, evened: str) -> None:
    then, now = table_of([*OPEN.values(), *ENDS]), table_of([*OPEN.values(), *ENDS, correction])
    found = tf.follow_up(then, now)
    assert found.corrections["matched_by"].to_list() == [how]
    corrected = found.rows.filter(pl.col("change") == "corrected_by_adjustment")
    assert "".join(sorted("ABCDE"[row] for row in corrected["earlier"])) == evened
    assert_nothing_is_lost(then, now, found)


def test_a_difference_is_evened_out_once_and_only_where_it_is_still_open() -> None:
    twice = [given_back(7, user="ana", product="ACD", statement=row) for row in (40, 41, 42)]
    then = [*OPEN.values(), *ENDS]
    found = tf.follow_up(table_of(then), table_of([*then, *twice]))
    assert found.corrections["matched_by"].to_list() == ["difference", "difference", "unmatched"]
    assert found.corrections["choices"].to_list() == [2, 1, 0]
    # The vendor put the row right, and gives the tokens back as well: that is for a person to see.
    right = [*OPEN.values(), *ENDS][1:]
    found = tf.follow_up(table_of(then), table_of([*right, used(20, 8, 7, 7, month=1), *twice[:2]]))
    assert found.corrections["matched_by"].to_list() == ["difference", "unmatched"]
    # What the earlier one had is no correction any more.
    found = tf.follow_up(table_of([*then, twice[0]]), table_of([*then, twice[0]]))
    assert found.corrections.is_empty()
    # A month later the vendor's export need not have the day of the difference.
    found = tf.follow_up(table_of(then), table_of([*ENDS, *twice[:1]]), problems=tf.Problems())
    assert found.corrections["matched_by"].to_list() == ["difference"]
    assert found.rows.filter(pl.col("change") == "corrected_by_adjustment")["status"].to_list() == [None]


def test_a_correction_is_no_row_that_was_there() -> None:
    row = used(3, 8, None, 7, charged_at=None)
    back = given_back(7, user="ana", product="ACD", usage_date=row["usage_date"])
    found = tf.follow_up(table_of([row, *ENDS]), table_of([*ENDS, back]))
    assert counted(found.rows) == {"settled": 2, "corrected_by_vendor": 1, "correction": 1}
    assert found.corrections["matched_by"].to_list() == ["unmatched"]


def test_a_manual_entry_that_repeats_another_is_a_correction_too() -> None:
    row = given_back(-7, user="ana", product="LT", cause="duplicate_row", status="extra_at_vendor")
    row["causes"] = ["duplicate_row", "manual_entry"]
    missing = used(3, 8, 7, None, product="LT")
    found = tf.follow_up(table_of([missing, *ENDS]), table_of([missing, *ENDS, row]))
    assert found.corrections.select("cause", "matched_by").rows() == [("manual_entry", "difference")]


@pytest.mark.parametrize(
    ("level", "expected"),
    [("session", {"corrected_by_vendor": 1}), ("day", {"corrected_by_adjustment": 1, "correction": 1})],
)
def test_a_manual_entry_for_what_was_missing_corrects_it(level: Any, expected: dict[str, int]) -> None:
    made = planted.plant(1, 0)
    day = planted.NEXT - timedelta(days=5)
    made.both(planted.nine_to_twelve("mad03", day, "RTE", at="ours"))
    fields = {"usageCategory": "MANUAL_CONSUMPTION", "tokensConsumed": "5", "transactionDate": str(day)}
    made.now.other.append(other_row("mad03", day, productLineCode="RTE", **fields))
    found = tf.follow_up(*made.audits(level))
    changed = {name: rows for name, rows in counted(found.rows).items() if name not in ("settled", "new")}
    assert changed == expected


def test_the_date_of_a_correction_covers_no_days() -> None:
    then, now = [*ENDS, used(3, 8, 7, 7, month=3)], [*ENDS, given_back(7, usage_date=date(2026, 3, 31))]
    assert changes(then, now) == [("settled", 0, 0), ("settled", 0, 0), ("not_covered", 0, 0), ("correction", 0, -7)]


def test_totals_of_contract_years_are_followed() -> None:
    year: Row = {"user": None, "product": None, "charged_at": None, "shift": None}
    then = [used(1, 0, 14, 14) | year, used(1, 0, 7, 9, month=3) | year]
    now = [used(1, 0, 14, 15) | year, used(1, 0, 9, 9, month=3) | year]
    assert changes(then, now) == [("changed_by_vendor", 0, 1), ("corrected_by_us", 2, 0)]


def test_of_several_wholes_the_one_that_ended_last_is_taken_and_the_choice_is_told() -> None:
    wholes = [("ana", 2), ("ana", 20), ("ben", 10), ("ben", 12)]
    then = [*ENDS, *(used(day, 8, None, 7, user=user) for user, day in wholes)]
    found = tf.follow_up(table_of(then), table_of([*then, given_back(14)]))
    assert found.corrections.select("matched_by", "choices", "first_date", "last_date").rows() == [
        ("user_and_product", 2, date(2026, 2, 2), date(2026, 2, 20))
    ]


def test_a_correction_that_names_more_chooses_first() -> None:
    then = [*ENDS, OPEN["C"]]
    named = given_back(5, product="ACD", usage_date=date(2026, 2, 26), statement=50)
    found = tf.follow_up(table_of(then), table_of([*then, given_back(5), named]))
    assert found.corrections.select("product", "matched_by").rows() == [
        (None, "unmatched"),
        ("ACD", "user_and_product"),
    ]


def test_a_zero_correction_evens_out_nothing() -> None:
    then = [used(3, 8, None, 7), used(4, 8, 7, None), *ENDS]
    found = tf.follow_up(table_of(then), table_of([*then, given_back(0)]))
    assert found.corrections["matched_by"].to_list() == ["unmatched"]


def test_reasons_come_from_the_statement_and_another_statement_is_refused() -> None:
    then, now = [*OPEN.values(), *ENDS], [*OPEN.values(), *ENDS, given_back(18, statement=1)]
    statement = pl.DataFrame(
        {"tokens": [7, -18], "reason_comment": [None, "all of it"], "transaction_date": [None, date(2026, 3, 4)]}
    )
    found = tf.follow_up(table_of(then), table_of(now), statement=statement)
    shown = ("reason_comment", "reason_type", "date", "matched_by")
    assert found.corrections.select(shown).rows() == [("all of it", None, date(2026, 3, 4), "everything")]
    for other in (statement.reverse(), statement.head(1)):
        with pytest.raises(tf.ArgumentError, match="not the one"):
            tf.follow_up(table_of(then), table_of(now), statement=other)
    with pytest.raises(tf.MissingColumnError, match="tokens"):
        tf.follow_up(table_of(then), table_of(now), statement=statement.drop("tokens"))
    with pytest.raises(tf.ColumnTypeError, match="exact"):
        tf.follow_up(table_of(then), table_of(now), statement=statement.cast({"tokens": pl.Float64}))


def test_what_is_no_reconciliation_or_of_another_level_is_refused() -> None:
    then = table_of([*OPEN.values(), *ENDS])
    with pytest.raises(tf.MissingColumnError, match="'shift' is missing from the later table"):
        tf.follow_up(then, then.drop("shift"))
    with pytest.raises(tf.ColumnTypeError, match="exact"):
        tf.follow_up(then.cast({"ours": pl.Float64}), then)
    with pytest.raises(tf.ColumnTypeError, match="instants with a time zone"):
        tf.follow_up(then, then.with_columns(pl.col("charged_at").dt.replace_time_zone(None)))
    with pytest.raises(tf.ColumnValueError, match="'status' of the later table holds 'fine'"):
        tf.follow_up(then, then.with_columns(status=pl.lit("fine")))
    with pytest.raises(tf.ColumnValueError, match="'vendors' of the earlier table is null in row 1"):
        tf.follow_up(then.with_columns(vendors=pl.when(pl.int_range(pl.len()) != 1).then("vendors")), then)
    by_days = then.with_columns(charged_at=None)
    with pytest.raises(tf.ArgumentError, match="earlier reconciliation is by session, the later by day"):
        tf.follow_up(then, by_days)
    totals = by_days.with_columns(user=None, usage_date=pl.col("usage_date").dt.truncate("1mo"))
    with pytest.raises(tf.ArgumentError, match="is by day, the later by month"):
        tf.follow_up(tf.Reconciliation(by_days, "day"), tf.Reconciliation(totals, "month"))
    with pytest.raises(tf.ArgumentError, match="nobody is in both"):
        tf.follow_up(then, then.with_columns(user=pl.lit("eve")))
    with pytest.raises(tf.ArgumentError, match="no product is in both"):
        tf.follow_up(totals, totals.with_columns(product=pl.lit("RVT")))
    with pytest.raises(tf.ArgumentTypeError, match="problems"):
        tf.follow_up(then, then, problems=[])  # type: ignore[arg-type]  # what a caller may do


def test_times_that_no_data_has_are_told_of_and_taken_as_unknown() -> None:
    odd = table_of([used(3, 8, 7, 7) | {"charged_at": datetime(1960, 1, 1, tzinfo=UTC)}, *ENDS])
    found = tf.follow_up(odd, odd, problems=(problems := tf.Problems()))
    assert counted(found.rows) == {"settled": 3}
    assert [(row["source"], row["location"], row["code"]) for row in problems] == [
        (name, 0, "time_out_of_range") for name in ("earlier", "later")
    ]


def test_a_first_month_has_nothing_before_it() -> None:
    now = table_of(ENDS)
    assert counted(tf.follow_up(now.clear(), now).rows) == {"new": 2}
    assert counted(tf.follow_up(now, now.clear(), problems=tf.Problems()).rows) == {"not_covered": 2}
    found = tf.follow_up(now.clear(), now.clear())
    assert found.rows.is_empty()
    assert str(found) == "<FollowUp nothing>"
