"""Groups and cost centres: by the row's own time, backwards too, with every row kept and every lack told."""

from __future__ import annotations

import itertools
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tokenflex as tf
from tokenflex import tables

if TYPE_CHECKING:
    from pathlib import Path

JULY = datetime(2026, 7, 1, tzinfo=UTC)
DAY = timedelta(days=1)


def memberships(*rows: tuple[Any, ...]) -> pl.DataFrame:
    names = ["person", "group", "cost_centre", "valid_from", "valid_to"]
    return pl.DataFrame(rows, schema=dict.fromkeys(names, pl.String), orient="row")


def charges(*rows: tuple[str | None, datetime | None]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema={"user": pl.Categorical, "charged_at": tables.TIME}, orient="row")


MOVED = memberships(
    ("ana", "bridges", "4100", None, "2026-07-01"),
    ("ana", "roads", "4200", "2026-07-01", None),
    ("bob", "roads", "4200", None, None),
)


def test_the_group_at_the_time_of_the_row_counts_and_periods_are_half_open() -> None:
    table = charges(("ana", JULY - timedelta(microseconds=1)), ("ana", JULY), ("bob", JULY - 999 * DAY))
    joined = tf.Groups(MOVED).join(table)
    assert joined.columns == ["user", "charged_at", "group", "cost_centre"]
    assert joined.select("group", "cost_centre").rows() == [("bridges", "4100"), ("roads", "4200"), ("roads", "4200")]
    assert joined.schema["group"] == tables.NAME


def test_a_correction_works_backwards() -> None:
    table = charges(("ana", JULY - 10 * DAY))
    corrected = memberships(
        ("ana", "bridges", "4100", None, "2026-06-15"), ("ana", "roads", "4200", "2026-06-15", None)
    )
    assert tf.Groups(MOVED).join(table)["group"].to_list() == ["bridges"]
    assert tf.Groups(corrected).join(table)["group"].to_list() == ["roads"]


def test_a_person_without_a_group_is_told_once_with_the_number_of_rows() -> None:
    problems = tf.Problems()
    table = charges(("eve", JULY), ("ana", JULY), ("eve", JULY + DAY), (None, JULY), ("fay", None))
    joined = tf.Groups(MOVED).join(table, problems=problems)
    assert joined["group"].to_list() == [None, "roads", None, None, None]
    assert problems.frame.select("location", "code").rows() == [(0, "no_group"), (4, "no_group")]
    assert "'eve' has no group in 2 rows" in problems.frame["message"][0]


def test_a_lack_that_nobody_collects_is_warned_of() -> None:
    with pytest.warns(tf.TokenflexWarning, match="no_group"):
        tf.Groups(MOVED).join(charges(("eve", JULY)))


def test_a_row_without_a_time_takes_only_a_membership_that_holds_always() -> None:
    problems = tf.Problems()
    joined = tf.Groups(MOVED).join(charges(("ana", None), ("bob", None)), problems=problems)
    assert joined["group"].to_list() == [None, "roads"]
    assert len(problems) == 1


def test_between_two_periods_there_is_no_group() -> None:
    gap = memberships(("ana", "bridges", None, None, "2026-06-01"), ("ana", "roads", None, "2026-07-01", "2026-08-01"))
    times = [JULY - 40 * DAY, JULY - 10 * DAY, JULY, JULY + 40 * DAY]
    joined = tf.Groups(gap).join(charges(*(("ana", time) for time in times)), problems=tf.Problems())
    assert joined["group"].to_list() == ["bridges", None, "roads", None]


def test_overlapping_memberships_are_refused_and_both_rows_named() -> None:
    overlap = memberships(
        ("bob", "x", None, None, None),
        ("ana", "bridges", None, None, "2026-07-02"),
        ("ana", "roads", None, "2026-07-01", None),
    )
    with pytest.raises(tf.ArgumentError, match=r"rows 1 and 2 .*'ana' is in 'bridges' and 'ana' is in 'roads'"):
        tf.Groups(overlap)


@pytest.mark.parametrize(
    ("rows", "error", "message"),
    [
        ([("ana", None, None, None, None)], tf.ColumnValueError, "row 0: group is empty"),
        ([(" ", "g", None, None, None)], tf.ColumnValueError, "row 0: person is empty"),
        ([("ana", "g", None, "2026-07-01", "2026-07-01")], tf.ColumnValueError, "does not lie after"),
        ([("ana", "g", None, "1.7.2026", None)], tf.ColumnValueError, "row 0: valid_from is '1.7.2026'"),
        ([("ana", "g", None, "2026-07-01T10:00", None)], tf.ColumnValueError, "has no time zone"),
    ],
)
def test_bad_rows_are_refused_where_they_stand(rows: list[Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        tf.Groups(memberships(*rows))


def test_missing_columns_and_wrong_types_are_named() -> None:
    with pytest.raises(tf.MissingColumnError, match="'group' is missing"):
        tf.Groups(pl.DataFrame({"person": ["ana"]}))
    with pytest.raises(tf.ColumnTypeError, match="'person' of the groups is Int64"):
        tf.Groups(pl.DataFrame({"person": [1], "group": ["g"]}))
    with pytest.raises(tf.TableTypeError):
        tf.Groups([("ana", "g")])  # type: ignore[arg-type]
    groups = tf.Groups(MOVED)
    with pytest.raises(tf.MissingColumnError, match="at="):
        groups.join(pl.DataFrame({"user": ["ana"]}))
    with pytest.raises(tf.MissingColumnError, match="'user' is missing"):
        groups.join(pl.DataFrame({"who": ["ana"]}))
    with pytest.raises(tf.ColumnTypeError, match="no time zone"):
        groups.join(pl.DataFrame({"user": ["ana"], "time": [datetime(2026, 7, 1)]}))  # noqa: DTZ001
    with pytest.raises(tf.ColumnTypeError, match="'time' is String"):
        groups.join(pl.DataFrame({"user": ["ana"], "time": ["2026-07-01"]}))
    with pytest.raises(tf.ArgumentError, match="group already"):
        groups.join(charges(("ana", JULY)).with_columns(group=pl.lit("g")))


def test_one_instant_or_a_date_column_can_be_the_time() -> None:
    groups = tf.Groups(MOVED)
    table = pl.DataFrame({"user": ["ana", "ana"], "usage_date": [date(2026, 6, 30), date(2026, 7, 1)]})
    assert groups.join(table, at="usage_date")["group"].to_list() == ["bridges", "roads"]
    assert groups.join(table, at=JULY)["group"].to_list() == ["roads", "roads"]


def test_dimensions_are_joined_one_after_the_other() -> None:
    table = MOVED.with_columns(dimension=pl.lit("team"))
    site = memberships(("ana", "north", "N", None, None), ("bob", "south", "S", None, None))
    groups = tf.Groups(pl.concat([table, site.with_columns(dimension=pl.lit("site"))]))
    assert groups.dimensions == ["team", "site"]
    joined = groups.join(groups.join(charges(("ana", JULY)), dimension="team"), dimension="site")
    assert joined.columns == ["user", "charged_at", "team", "team_cost_centre", "site", "site_cost_centre"]
    assert joined.row(0)[2:] == ("roads", "4200", "north", "N")
    with pytest.raises(tf.ArgumentError, match="dimension=None is none of the groups': 'team', 'site'"):
        groups.join(charges(("ana", JULY)))


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_files_of_spreadsheets_are_read(tmp_path: Path, encoding: str, separator: str, newline: str) -> None:
    lines = [
        ["person", "group", "valid_from", "valid_to"],
        ["josé", "puentes", "", "2026-07-01"],
        [" josé", "vías", "2026-07-01", ""],
    ]
    path = tmp_path / "groups.csv"
    path.write_bytes(newline.join(separator.join(line) for line in lines).encode(encoding))
    groups = tf.Groups.read(path)
    assert groups.frame["group"].to_list() == ["puentes", "vías"]
    assert groups.join(charges(("josé", JULY)))["group"].to_list() == ["vías"]


def test_what_is_written_reads_back_equal(tmp_path: Path) -> None:
    rows = memberships(
        ("ana, the first", "a;b", '4"1', None, "2026-07-01"),
        ("ana, the first", "b", None, "2026-07-01T00:00:00.000001+02:00", None),
    )
    groups = tf.Groups(rows.with_columns(dimension=pl.Series(["team", None])))
    groups.write(tmp_path / "groups.csv")
    assert tf.Groups.read(tmp_path / "groups.csv") == groups
    groups.frame.write_parquet(tmp_path / "groups.parquet")
    assert tf.Groups.read(tmp_path / "groups.parquet") == groups
    nobody = tf.Groups(memberships())
    nobody.write(tmp_path / "none.csv")
    assert tf.Groups.read(tmp_path / "none.csv") == nobody


def test_files_that_are_none_are_refused(tmp_path: Path) -> None:
    with pytest.raises(tf.SourceNotFoundError, match=r"no file .*none\.csv of groups"):
        tf.Groups.read(tmp_path / "none.csv")
    (tmp_path / "empty.csv").write_bytes(b"")
    with pytest.raises(tf.SourceError, match="no table of groups"):
        tf.Groups.read(tmp_path / "empty.csv")
    (tmp_path / "zip.csv").write_bytes(b"PK\x03\x04\x00\x00")
    with pytest.raises(tf.TokenflexError):
        tf.Groups.read(tmp_path / "zip.csv")
    with pytest.raises(tf.SourceError, match="cannot be read"):
        tf.Groups.read(tmp_path)
    with pytest.raises(tf.SourceError, match="cannot be written"):
        tf.Groups(MOVED).write(tmp_path)


PERSONS = st.sampled_from(["ana", "bob", "eve"])
TIMES = st.integers(-5, 5).map(lambda days: JULY + days * DAY)


@st.composite
def histories(draw: st.DrawFn) -> list[tuple[Any, ...]]:
    """For each person a chain of periods, some of them missing."""
    rows: list[tuple[Any, ...]] = []
    for person in ("ana", "bob"):
        cuts = [None, *sorted(draw(st.sets(TIMES, max_size=4))), None]
        for place, (since, until) in enumerate(itertools.pairwise(cuts)):
            if draw(st.booleans()):
                rows.append((person, f"g{place}", f"c{place}", since, until))
    return draw(st.permutations(rows))


@given(histories(), st.lists(st.tuples(PERSONS, TIMES), max_size=8), st.data())
def test_joining_equals_its_definition_whatever_the_order_and_encoding(
    history: list[tuple[Any, ...]], rows: list[tuple[str, datetime]], data: st.DataObject
) -> None:
    schema = {name: tables.GROUPS[name] for name in ("person", "group", "cost_centre", "valid_from", "valid_to")}
    groups = tf.Groups(pl.DataFrame(history, schema=schema, orient="row"))
    expected = [
        next(
            (
                group
                for who, group, _, since, until in history
                if who == person and (since is None or since <= time) and (until is None or time < until)
            ),
            None,
        )
        for person, time in rows
    ]
    dtypes: list[pl.DataType] = [pl.String(), pl.Categorical(), pl.Enum(["ana", "bob", "eve"])]
    table = charges(*rows).cast({"user": data.draw(st.sampled_from(dtypes))})
    joined = groups.join(table, problems=tf.Problems())
    assert joined["group"].to_list() == expected
    assert joined.drop("group", "cost_centre").equals(table)


def test_the_groups_add_up_to_all_tokens() -> None:
    sessions = pl.DataFrame(
        {
            "user": ["ana", "bob", "eve"],
            "product": ["ACD", "ACD", "RVT"],
            "start": [JULY - DAY, JULY, JULY],
            "end": [JULY, JULY + DAY, JULY],
        }
    )
    found = tf.charge(sessions, rule=tf.Rule(window="rolling"), rates=tf.Rates({"ACD": 7, "RVT": 10}))
    joined = tf.Groups(MOVED).join(found, problems=tf.Problems())
    by_group = joined.group_by("group").agg(pl.col("tokens").sum())
    assert dict(by_group.rows()) == {"bridges": Decimal(7), "roads": Decimal(7), None: Decimal(10)}
    assert by_group["tokens"].sum() == found["tokens"].sum()


def test_every_arrow_table_is_taken_and_none_is_changed() -> None:
    frame = charges(("ana", JULY))
    before = frame.clone()
    groups = tf.Groups(pa.table(MOVED.to_arrow()))
    for table in (frame, frame.lazy(), frame.to_arrow(), frame.to_pandas()):
        assert groups.join(table)["group"].to_list() == ["roads"]
    assert frame.equals(before)
    assert frame.columns == ["user", "charged_at"]


def test_a_table_without_rows_stays_one() -> None:
    joined = tf.Groups(MOVED).join(charges())
    assert joined.height == 0
    assert joined.columns == ["user", "charged_at", "group", "cost_centre"]
    assert tf.Groups(memberships()).join(charges(("ana", JULY)), problems=tf.Problems())["group"].to_list() == [None]


def test_a_misspelt_column_of_validity_is_refused_not_ignored() -> None:
    with pytest.raises(tf.ArgumentError, match=r"'valid_form' .* valid_from and valid_to"):
        tf.Groups(MOVED.rename({"valid_from": "valid_form"}))


def test_headers_as_people_write_them(tmp_path: Path) -> None:
    path = tmp_path / "groups.csv"
    path.write_text("Person;Group;Cost Center;Valid from;remarks\nana;roads;4200;2026-07-01;moved\n")
    assert tf.Groups.read(path).frame["cost_centre"].to_list() == ["4200"]
    assert tf.Groups.read(path).frame["valid_from"].to_list() == [JULY]
