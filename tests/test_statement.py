"""`read_statement`, `sessions_from` and `read_contract`: every kind of the vendor's exports, good and bad."""

from __future__ import annotations

import gzip
import io
import json
import os
import re
import sys
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from functools import partial
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tokenflex as tf
import vendor_exports as vendor
from reference import DAY
from strategies import SERVERS, TIMES, instants
from tokenflex import tables
from tokenflex.reading.statement import read as reading
from tokenflex.reading.statement import sheet

if TYPE_CHECKING:
    from pathlib import Path

SESSION = vendor.SESSION
HASH = "ff" * 16


def read(source: Any, **arguments: Any) -> tuple[pl.DataFrame, pl.DataFrame]:
    problems = tf.Problems()
    statement = tf.read_statement(source, problems=problems, **arguments)
    assert statement.schema == pl.Schema(tables.STATEMENT)
    return statement, problems.frame


def codes(problems: pl.DataFrame) -> list[str]:
    return problems["code"].to_list()


def clean(source: Any, **arguments: Any) -> pl.DataFrame:
    statement, problems = read(source, **arguments)
    assert problems.rows() == []
    return statement


at = partial(datetime, tzinfo=UTC)


# Each kind and generation


def test_a_session_export_of_token_flex() -> None:
    (row,) = clean(vendor.sessions_csv(SESSION)).to_dicts()
    assert row.pop("custom") == {"field_1": "Bridges"} | {f"field_{number}": None for number in range(2, 11)}
    assert {name: value for name, value in row.items() if value is not None} == {
        "kind": "token_flex_sessions",
        "usage_date": date(2018, 3, 1),
        "usage_month": date(2018, 3, 1),
        "contract_year": 1,
        "product": "ACD",
        "product_name": "AutoCAD",
        "version": "2018",
        "feature": "85730ACD_2018_0F",
        "user": "ana",
        "host": "PC-0007",
        "server": "lax-lic-01",
        "start": at(2018, 3, 2, 0, 24, 53),
        "end": at(2018, 3, 2, 1, 24, 53),
        "utc_offset": -480,
        "charged_item": "RX0000000001",
        "category": "CHARGED",
        "usage_type": "Normal",
        "usage_category": "DESKTOP_PRODUCT",
        "tokens": Decimal("7.0000"),
        "usage_minutes": Decimal("60.0000"),
        "is_masked": False,
        "is_swapped": False,
        "file": "<bytes>",
        "line": 2,
    }


def test_a_session_export_as_json_is_the_same_statement() -> None:
    as_csv = clean(vendor.sessions_csv(SESSION, SESSION))
    listed = clean(json.dumps([SESSION, SESSION]).encode())
    queried = clean(vendor.query_result(vendor.SESSION_COLUMNS, [SESSION, SESSION]))
    assert listed.drop("line").equals(as_csv.drop("line"))
    assert queried.drop("line").equals(as_csv.drop("line"))
    assert listed["line"].to_list() == [1, 2]


def test_a_daily_aggregate_with_a_comma_at_the_end_of_every_row() -> None:
    rows = [vendor.DAILY, {**vendor.DAILY, "tokensConsumed": "12.5", "usageCategory": "CLOUD_SERVICE"}]
    statement = clean(vendor.table(vendor.DAILY_COLUMNS, rows, trailing=True).encode())
    assert statement["kind"].to_list() == ["token_flex_daily"] * 2
    assert statement["usage_date"].to_list() == [date(2011, 1, 1)] * 2
    assert statement["usage_month"].to_list() == [date(2011, 1, 1)] * 2
    assert statement["tokens"].to_list() == [Decimal(0), Decimal("12.5")]
    assert statement["token_pool"].to_list() == ["CY", "CY"]


def test_a_comma_at_the_end_of_the_header_too() -> None:
    text = vendor.table([*vendor.DAILY_COLUMNS, ""], [vendor.DAILY])
    assert clean(text.encode()).height == 1


def test_a_query_that_is_not_done_is_an_error() -> None:
    with pytest.raises(tf.SourceError, match=r"not done.*'SUBMITTED'"):
        tf.read_statement(vendor.query_result(vendor.DAILY_COLUMNS, [vendor.DAILY], status="SUBMITTED"))


def test_a_query_with_fewer_rows_than_it_says_is_a_problem() -> None:
    statement, problems = read(vendor.query_result(vendor.DAILY_COLUMNS, [vendor.DAILY], total=3))
    assert statement.height == 1
    assert codes(problems) == ["incomplete_result"]


@pytest.mark.parametrize("form", ["csv", "xlsx"])
def test_a_flex_export_of_2022(form: str) -> None:
    row: dict[str, Any] = {**vendor.FLEX, "tokens_used": 7.5, "day_used": date(2022, 5, 4)}
    data = (
        vendor.table(vendor.FLEX_2022, [row]).encode()
        if form == "csv"
        else vendor.workbook({"Token usage": (vendor.FLEX_2022, [row])})
    )
    (found,) = clean(data).to_dicts()
    assert (found["kind"], found["usage_date"]) == ("flex_account", date(2022, 5, 4))
    assert (found["team"], found["user"], found["email"]) == ("Bridges", "ana@firm.example", "ana@firm.example")
    assert (found["product_name"], found["version"]) == ("AutoCAD", "2022")
    assert found["offering"] == "AutoCAD - including specialized toolsets"
    assert (found["access"], found["usage_type"]) == ("Desktop / Flex", None)
    assert (found["tokens"], found["hashed_id"]) == (Decimal("7.5"), vendor.FLEX["hashed_autodesk_id"])
    assert (found["product"], found["start"], found["is_masked"]) == (None, None, False)


@pytest.mark.parametrize("form", ["csv", "xlsx"])
def test_a_flex_export_of_2024(form: str) -> None:
    row = {
        "Day used": "2024-11-30",
        "Email": "bo@firm.example",
        "Feature": "Revit",
        "First name": "Bo",
        "Last name": "Okoye",
        "Product": "AEC Collection",
        "Team": "Bridges",
        "Tokens used": "10",
    }
    data = (
        vendor.table(vendor.FLEX_2024, [row]).encode()
        if form == "csv"
        else vendor.workbook({"Sheet1": (vendor.FLEX_2024, [row])})
    )
    (found,) = clean(data).to_dicts()
    assert (found["kind"], found["usage_date"], found["usage_month"]) == (
        "flex_account",
        date(2024, 11, 30),
        date(2024, 11, 1),
    )
    assert (found["user"], found["user_name"], found["team"]) == ("bo@firm.example", "Bo Okoye", "Bridges")
    assert (found["product_name"], found["offering"], found["tokens"]) == ("AEC Collection", "Revit", Decimal(10))


def test_a_flex_workbook_of_2026_with_several_sheets() -> None:
    snake = {"team_name": "Bridges", "usage_date": "2026-02-03", "product_name": "Revit", "tokens_used": 10}
    titles = {"Day used": date(2026, 2, 3), "Email": "bo@firm.example", "Product": "Revit", "Tokens used": 10}
    data = vendor.workbook(
        {
            "usage": (vendor.FLEX_2026, [snake]),
            "Token usage": (vendor.FLEX_2024, [titles]),
            "seats": (("team_name", "seats"), [{"team_name": "Bridges", "seats": 5}]),
            "nothing": ((), []),
        }
    )
    statement, problems = read(data)
    assert statement["file"].to_list() == ["<bytes>[usage]", "<bytes>[Token usage]"]
    assert statement["tokens"].to_list() == [Decimal(10)] * 2
    assert codes(problems) == ["unknown_sheet"]
    assert "'seats'" in problems["message"][0]


@pytest.mark.parametrize("form", ["list", "columns", "data"])
def test_the_flex_reporting_api(form: str) -> None:
    row = {
        "productName": "AutoCAD",
        "childProductName": "Plant 3D",
        "usageDate": "2026-07-13",
        "usageMonth": "2026-07-01",
        "version": "2027",
        "tokens": 0.1,
        "emailAddress": "ana@firm.example",
        "userName": "ana.l",
        "userId": "4E5E",
        "hashedUserId": HASH,
    }
    listed: Any = [row]
    if form == "columns":
        listed = {"columns": [{"name": name} for name in row], "rows": [list(row.values())]}
    elif form == "data":
        listed = {"data": [row], "total": 1}
    (found,) = clean(json.dumps(listed).encode()).to_dicts()
    assert (found["kind"], found["tokens"]) == ("flex_api", Decimal("0.1"))
    assert (found["user"], found["user_name"], found["user_id"]) == ("ana@firm.example", "ana.l", "4E5E")
    assert (found["offering"], found["hashed_id"], found["is_masked"]) == ("Plant 3D", HASH, False)


# What is kept and typed


def test_zero_manual_borrowed_and_cloud_rows_are_kept_and_typed() -> None:
    rows = [
        {**SESSION, "chargeCategory": "FREE", "tokensConsumed": "0"},
        {**SESSION, "usageType": "Borrowed"},
        {"usageDate": "2018-03-02", "usageCategory": "CLOUD_SERVICE", "userName": "ana", "tokensConsumed": "2.25"},
        {
            "usageDate": "2018-03-03",
            "usageCategory": "MANUAL_ADJUSTMENT",
            "tokensConsumed": "-100",
            "transactionDate": "2018-03-04",
            "reasonType": "Goodwill",
            "reasonComment": "a month's, given back",
            "tokenPool": "MY",
        },
    ]
    statement = clean(vendor.sessions_csv(*rows, columns=(*vendor.SESSION_COLUMNS, *vendor.MANUAL_COLUMNS)))
    assert statement["tokens"].to_list() == [Decimal(0), Decimal(7), Decimal("2.25"), Decimal(-100)]
    assert statement["category"].to_list() == ["FREE", "CHARGED", None, None]
    assert statement["usage_type"].to_list() == ["Normal", "Borrowed", None, None]
    assert statement["usage_category"].to_list()[2:] == ["CLOUD_SERVICE", "MANUAL_ADJUSTMENT"]
    manual = statement.row(3, named=True)
    assert (manual["transaction_date"], manual["token_pool"]) == (date(2018, 3, 4), "MY")
    assert (manual["reason_type"], manual["reason_comment"]) == ("Goodwill", "a month's, given back")


@pytest.mark.parametrize("word", tables.USAGE_CATEGORIES)
def test_usage_categories_in_every_spelling(word: str) -> None:
    spelled = [word, word.lower(), word.replace("_", " ").title(), word.replace("_", "-")]
    statement = clean(vendor.sessions_csv(*({**SESSION, "usageCategory": each} for each in spelled)))
    assert statement["usage_category"].to_list() == [word] * 4


def test_an_unknown_word_is_a_problem_and_its_row_is_kept() -> None:
    statement, problems = read(vendor.sessions_csv(SESSION, {**SESSION, "chargeCategory": "GIFT"}))
    assert statement["category"].to_list() == ["CHARGED", None]
    assert problems.select("location", "code").rows() == [(3, "unknown_word")]
    assert "'GIFT'" in problems["message"][0]


def test_unknown_columns_are_named_once_for_each_file() -> None:
    columns = (*vendor.SESSION_COLUMNS, "moonPhase", "usage_date")
    row = {**SESSION, "moonPhase": "full", "usage_date": "2018-03-09"}
    statement, problems = read(vendor.sessions_csv(row, row, columns=columns))
    assert codes(problems) == ["unknown_column", "doubled_column"]
    assert "'moonPhase'" in problems["message"][0]
    assert statement["usage_date"].to_list() == [date(2018, 3, 1)] * 2


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("7", "7"),
        ("7.0000", "7"),
        (" 8.5 ", "8.5"),
        ("0.00010", "0.0001"),
        ("-3.25", "-3.25"),
        (".5", "0.5"),
        ("1.23456", None),
        ("0.00005", None),
        ("1e3", None),
        ("1,5", None),
        ("seven", None),
        ("NaN", None),
        ("9" * 40, None),
    ],
)
def test_tokens_are_exact_or_null_and_never_rounded(text: str, tokens: str | None) -> None:
    statement, problems = read(vendor.sessions_csv({**SESSION, "tokensConsumed": text}))
    assert statement["tokens"].to_list() == [None if tokens is None else Decimal(tokens)]
    assert codes(problems) == ([] if tokens is not None else ["bad_number"])


def test_tokens_of_json_and_of_cells_never_pass_through_a_rounding() -> None:
    numbers = [0.1, 2.3, 1234567.8901, 10, 0.30000000000000004]
    columns = ("productName", "usageDate", "tokens")
    rows = [{"productName": "AutoCAD", "usageDate": "2026-07-13", "tokens": number} for number in numbers]
    wanted = [Decimal("0.1"), Decimal("2.3"), Decimal("1234567.8901"), Decimal(10)]
    statement, problems = read(json.dumps(rows).encode())
    assert statement["tokens"].to_list() == [*wanted, None]
    assert codes(problems) == ["bad_number"]
    cells = clean(vendor.workbook({"one": (columns, rows[:4])}))
    assert cells["tokens"].to_list() == wanted


def test_hours_are_minutes_where_there_are_no_minutes() -> None:
    columns = [name for name in vendor.SESSION_COLUMNS if name != "usageMinutes"]
    assert clean(vendor.sessions_csv({**SESSION, "usageHours": "1.75"}, columns=columns))[
        "usage_minutes"
    ].to_list() == [Decimal(105)]


# Machines and masks


@pytest.mark.parametrize(
    ("fields", "is_swapped"),
    [
        ({"productName": "Autodesk VRED Professional", "productLineCode": "VRDPRO"}, True),
        ({"productName": "Arnold 7", "productLineCode": ""}, True),
        ({"productName": "Render Node", "productLineCode": ""}, True),
        ({"productName": "", "productLineCode": "vrddes"}, True),
        ({"productName": "AutoCAD", "productLineCode": "ACD"}, False),
        ({"productName": "Arnoldine", "productLineCode": "X"}, False),
        ({"productName": "Arnold 7", "usageDate": "2021-11-30"}, False),
    ],
)
def test_user_and_machine_of_what_is_metered_by_machine_are_put_right(fields: dict[str, str], is_swapped: bool) -> None:  # noqa: FBT001 - expected
    row = {**SESSION, "usageDate": "2021-12-01", "userName": "farm-01", "machineName": "ana", **fields}
    statement = clean(vendor.sessions_csv(row, {**SESSION, "usageDate": "2021-12-01"}))
    wanted = ("ana", "farm-01", True) if is_swapped else ("farm-01", "ana", False)
    assert statement.select("user", "host", "is_swapped").rows() == [wanted, ("ana", "PC-0007", False)]


def test_what_is_metered_by_machine_is_the_callers_to_say() -> None:
    row = {**SESSION, "usageDate": "2026-01-01"}
    assert clean(vendor.sessions_csv(row), machine_metered=["acd"])["is_swapped"].to_list() == [True]
    assert clean(vendor.sessions_csv({**row, "productName": "VRED"}), machine_metered=[])["is_swapped"].to_list() == [
        False
    ]


def test_masked_users_are_told_apart_by_their_hash() -> None:
    columns = ("Day used", "Email", "hashed_autodesk_id", "Product", "Tokens used")
    base = {"Day used": "2024-11-30", "Product": "Revit", "Tokens used": "10"}
    rows = [
        {**base, "Email": "*****", "hashed_autodesk_id": HASH},
        {**base, "Email": "*****@*****", "hashed_autodesk_id": "ee" * 16},
        {**base, "Email": "", "hashed_autodesk_id": "dd" * 16},
        {**base, "Email": "bo@firm.example", "hashed_autodesk_id": "cc" * 16},
    ]
    statement = clean(vendor.table(columns, rows).encode())
    assert statement["user"].to_list() == [HASH, "ee" * 16, "dd" * 16, "bo@firm.example"]
    assert statement["is_masked"].to_list() == [True, True, True, False]


def test_masked_users_without_a_hash_are_a_problem() -> None:
    rows = [SESSION, {**SESSION, "userName": "*****"}, {**SESSION, "userName": "*****"}]
    statement, problems = read(vendor.sessions_csv(*rows))
    assert statement["user"].to_list() == ["ana", None, None]
    assert statement["is_masked"].to_list() == [False, True, True]
    assert problems.select("location", "code").rows() == [(3, "masked_user")]
    assert problems["message"][0].startswith("2 rows")


def test_a_hash_in_place_of_the_name_is_a_mask() -> None:
    statement = clean(vendor.sessions_csv({**SESSION, "userName": HASH}))
    assert statement.select("user", "is_masked").rows() == [(HASH, True)]


# Times


@pytest.mark.parametrize(
    ("offset", "minutes"),
    [("-8:00", -480), ("-08:00", -480), ("+05:30", 330), ("5:45", 345), ("Z", 0), ("UTC-3", -180), ("-0:30", -30)],
)
def test_the_offset_of_the_row_makes_an_instant(offset: str, minutes: int) -> None:
    statement = clean(vendor.sessions_csv({**SESSION, "licenseServerTimeZoneOffset": offset}))
    assert statement["utc_offset"].to_list() == [minutes]
    assert statement["start"][0] == at(2018, 3, 1, 16, 24, 53) - timedelta(minutes=minutes)


@pytest.mark.parametrize(
    ("text", "instant"),
    [
        ("2018-03-01T16:24:53Z", at(2018, 3, 1, 16, 24, 53)),
        ("2018-03-01T16:24:53.250+02:00", at(2018, 3, 1, 14, 24, 53, 250_000)),
        ("2018-03-01 16:24:53", at(2018, 3, 2, 0, 24, 53)),
        ("2018-03-01 16:24", at(2018, 3, 2, 0, 24)),
        ("2018-03-01 4:24 PM", at(2018, 3, 2, 0, 24)),
    ],
)
def test_an_offset_of_its_own_comes_first(text: str, instant: datetime) -> None:
    assert clean(vendor.sessions_csv({**SESSION, "sessionStartDate": text}))["start"].to_list() == [instant]


def test_a_local_time_without_offset_needs_a_zone() -> None:
    data = vendor.sessions_csv({**SESSION, "licenseServerTimeZoneOffset": ""})
    with pytest.raises(tf.ZoneError, match=r"<bytes>, line 2: start is a local time.*timezone="):
        tf.read_statement(data)
    start = clean(data, timezone="America/Los_Angeles")["start"][0]
    assert start == at(2018, 3, 2, 0, 24, 53)
    assert clean(data, timezone={"lax-lic-01": "America/Los_Angeles"})["utc_offset"].to_list() == [-480]
    with pytest.raises(tf.ZoneError, match="lax-lic-01"):
        tf.read_statement(data, timezone={"mad-lic-01": "Europe/Madrid"})
    with pytest.raises(tf.ZoneError, match="Europe/Atlantis"):
        tf.read_statement(data, timezone="Europe/Atlantis")


def test_times_that_the_clock_skipped_or_showed_twice() -> None:
    base = {**SESSION, "licenseServerTimeZoneOffset": "", "sessionEndDate": ""}
    rows = [{**base, "sessionStartDate": text} for text in ("2026-03-29T02:30:00", "2026-10-25T02:30:00")]
    statement, problems = read(vendor.sessions_csv(*rows), timezone="Europe/Madrid")
    assert statement["start"].to_list() == [at(2026, 3, 29, 1, 30), at(2026, 10, 25, 0, 30)]
    assert problems.select("location", "code").rows() == [(2, "time_in_gap"), (3, "time_in_fold")]


def test_a_date_that_the_clock_skipped() -> None:
    row = {
        **SESSION,
        "licenseServerTimeZoneOffset": "",
        "sessionStartDate": "2011-12-30T12:00:00",
        "sessionEndDate": "",
    }
    statement, problems = read(vendor.sessions_csv(row), timezone="Pacific/Apia")
    assert statement["start"].to_list() == [at(2011, 12, 30, 22)]
    assert codes(problems) == ["time_in_gap"]


def test_a_row_without_server_has_no_zone_in_a_mapping() -> None:
    row = {**SESSION, "licenseServerTimeZoneOffset": "", "licenseServerName": "", "sessionEndDate": ""}
    statement, problems = read(vendor.sessions_csv(row), timezone={"lax-lic-01": "America/Los_Angeles"})
    assert statement["start"].to_list() == [None]
    assert codes(problems) == ["missing_server"]


def test_other_ways_to_write_dates_are_the_callers_to_say() -> None:
    row = {
        **SESSION,
        "usageDate": "3/1/2018",
        "usageMonth": "3/1/2018",
        "sessionStartDate": "3/1/2018 16:24",
        "sessionEndDate": "3/1/2018 5:24:53 PM",
    }
    _, problems = read(vendor.sessions_csv(row))
    assert sorted(codes(problems)) == ["bad_date"] * 2 + ["bad_time"] * 2
    (found,) = clean(vendor.sessions_csv(row), date_format="%m/%d/%Y").to_dicts()
    assert (found["usage_date"], found["start"]) == (date(2018, 3, 1), at(2018, 3, 2, 0, 24))
    assert found["end"] == at(2018, 3, 2, 1, 24, 53)


# Any order, alias, separator and encoding


def respelled(name: str, way: int) -> str:
    words = re.sub(r"(?<=[a-z])(?=[A-Z0-9])", " ", name).split()
    return [name, " ".join(words), "_".join(words).lower(), "-".join(words).upper(), f" {name} "][way]


ROWS = [
    SESSION,
    {**SESSION, "userName": "José Ñandú", "customField1": 'says "so", and\tmore; a|lot', "tokensConsumed": "0.5"},
    {**SESSION, "userName": "zoë", "chargeCategory": "FREE", "tokensConsumed": "0", "usageType": "Borrowed"},
]


@given(
    columns=st.permutations(vendor.SESSION_COLUMNS),
    ways=st.lists(st.integers(0, 4), min_size=len(vendor.SESSION_COLUMNS), max_size=len(vendor.SESSION_COLUMNS)),
    separator=st.sampled_from(",;\t|"),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "cp1252"]),
    line_end=st.sampled_from(["\n", "\r\n"]),
    last=st.booleans(),
    packed=st.booleans(),
)
@settings(max_examples=60)
def test_any_order_spelling_separator_and_encoding_is_the_same_statement(
    *,
    columns: list[str],
    ways: list[int],
    separator: str,
    encoding: str,
    line_end: str,
    last: bool,
    packed: bool,
) -> None:
    text = vendor.table(columns, ROWS, separator=separator)
    header, rest = text.split("\n", 1)
    titles = separator.join(respelled(name, way) for name, way in zip(header.split(separator), ways, strict=True))
    text = f"{titles}\n{rest}".replace("\n", line_end)
    data = (text if last else text.removesuffix(line_end)).encode(encoding)
    statement = clean(gzip.compress(data) if packed else data)
    assert statement.equals(clean(vendor.sessions_csv(*ROWS)))


OTHER_KINDS = {
    "daily": (vendor.DAILY_COLUMNS, vendor.DAILY),
    "2022": (vendor.FLEX_2022, vendor.FLEX),
    "2024": (
        vendor.FLEX_2024,
        {"Day used": "2024-11-30", "Email": "b@c.example", "Product": "Revit", "Tokens used": "1"},
    ),
    "2026": (
        vendor.FLEX_2026,
        {
            "team_name": "x",
            "usage_date": "2026-02-03",
            "product_name": "Revit",
            "tokens_used": "10",
            "email": "b@c.example",
        },
    ),
    "api": (
        vendor.FLEX_API,
        {"productName": "Revit", "usageDate": "2026-02-03", "tokens": "10", "hashedUserId": HASH, "userName": "*****"},
    ),
}


@pytest.mark.parametrize("kind", OTHER_KINDS)
@given(data=st.data())
@settings(max_examples=15)
def test_the_other_kinds_in_any_order_spelling_and_separator(kind: str, data: st.DataObject) -> None:
    columns, row = OTHER_KINDS[kind]
    order = data.draw(st.permutations(columns))
    separator = data.draw(st.sampled_from(",;\t|"))
    titles = separator.join(respelled(name, data.draw(st.integers(0, 4))) for name in order)
    rest = vendor.table(order, [row, row], separator=separator, trailing=kind == "daily").split("\n", 1)[1]
    assert clean(f"{titles}\n{rest}".encode()).equals(clean(vendor.table(columns, [row, row]).encode()))


@pytest.mark.parametrize("first", [0, 1000])
def test_a_file_in_a_code_page_is_read_like_its_bytes(tmp_path: Path, first: int) -> None:
    path = tmp_path / "march.csv"
    path.write_bytes(vendor.table(vendor.SESSION_COLUMNS, [*[SESSION] * first, *ROWS * 2000]).encode("cp1252"))
    statement = clean(path)
    assert statement.height == first + 6000
    assert statement["user"].unique().sort().to_list() == ["José Ñandú", "ana", "zoë"]
    other, problems = read(path, encoding="ascii")
    assert other.height == first + 6000
    assert codes(problems) == ["bad_encoding"]


def test_titles_and_a_hint_of_the_separator_may_stand_before_the_header() -> None:
    data = vendor.sessions_csv(SESSION)
    assert clean(b"sep=,\n" + data)["line"].to_list() == [3]
    statement, problems = read(b"Usage of March\n\n" + data)
    assert statement["line"].to_list() == [4]
    assert codes(problems) == ["lines_before_header"]


# Sources


def test_a_folder_of_months_a_pattern_and_several(tmp_path: Path) -> None:
    months = [{**SESSION, "usageDate": f"2018-0{month}-01", "usageMonth": f"2018-0{month}-01"} for month in (1, 2, 3)]
    (tmp_path / "2018").mkdir()
    (tmp_path / "2018" / "01.csv").write_bytes(vendor.sessions_csv(months[0]))
    (tmp_path / "2018" / "02.json").write_bytes(json.dumps([months[1]]).encode())
    (tmp_path / "2018" / "03.csv.gz").write_bytes(gzip.compress(vendor.sessions_csv(months[2])))
    (tmp_path / "flex.xlsx").write_bytes(vendor.workbook({"one": (vendor.FLEX_2022, [vendor.FLEX])}))
    (tmp_path / ".hidden.csv").write_bytes(b"nothing")
    (tmp_path / "notes.txt").write_bytes(b"nothing")
    statement = clean(tmp_path)
    assert statement["usage_month"].dt.month().to_list() == [1, 2, 3, 5]
    assert statement["kind"].to_list() == ["token_flex_sessions"] * 3 + ["flex_account"]
    assert clean(str(tmp_path / "2018" / "0[12].*"))["file"].to_list() == [
        str(tmp_path / "2018" / "01.csv"),
        str(tmp_path / "2018" / "02.json"),
    ]
    with (tmp_path / "2018" / "01.csv").open("rb") as file:
        assert clean([file, tmp_path / "2018" / "02.json", io.BytesIO(vendor.sessions_csv(months[2]))]).height == 3


def test_rows_that_stand_in_two_files_are_told_of_and_kept(tmp_path: Path) -> None:
    other = {**SESSION, "userName": "bo"}
    (tmp_path / "a.csv").write_bytes(vendor.sessions_csv(SESSION, other))
    (tmp_path / "b.csv").write_bytes(vendor.sessions_csv({**SESSION, "userName": "zoë"}, other))
    statement, problems = read(tmp_path)
    assert statement.height == 4
    assert problems.select("source", "location", "code").rows() == [(str(tmp_path / "b.csv"), 3, "repeated_rows")]
    assert problems["message"][0].startswith("1 of 2 rows")


def test_equal_rows_of_one_file_are_no_overlap() -> None:
    assert clean(vendor.sessions_csv(SESSION, SESSION)).height == 2


# Bad input


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "is empty"),
        (b" \r\n ", "is empty"),
        (b'12:00:05 (adskflex) OUT: "87545ACD_2022_0F" ana@pc1\n', "read_flexlm"),
        (b"date,user,product,tokens\n2026-07-13,ana,ACD,7\n", "none of the vendor's"),
        (b"user,product,start,end\nana,ACD,1,2\n", r"columns are 'user \| product \| start \| end'.*read_table"),
        (b"{", "breaks off"),
        (b"[]", "without any record"),
        (b"[1, 2]", "without any record"),
        (b'{"message": "unauthorized"}', "columns are 'message'"),
        (b'[{"a": 1}]', "columns are 'a'"),
        (b"PAR1....", "Parquet"),
        (b"%PDF-1.7", "PDF"),
        (b"\xd0\xcf\x11\xe0...", "save it as .xlsx"),
        (b"PK\x03\x04....", "cannot be read as a workbook"),
        (b"\x1f\x8b....", "damaged gzip"),
        (gzip.compress(vendor.sessions_csv(SESSION) * 50)[:-9], "damaged gzip"),
        (bytes(range(256)) * 4, "no text and no workbook"),
        (vendor.sessions_csv(SESSION) + b'2018-03-01,"an open quote,1\n', "quote"),
    ],
)
def test_a_file_that_is_no_export_is_an_error_that_says_what_it_is(data: bytes, said: str) -> None:
    with pytest.raises(tf.SourceError, match=said):
        tf.read_statement(data)


def test_a_workbook_without_an_export_is_an_error() -> None:
    with pytest.raises(tf.SourceError, match=r"columns are 'seats \| team'"):
        tf.read_statement(vendor.workbook({"one": (("seats", "team"), [{"seats": 1}])}))


@pytest.mark.parametrize(
    "data",
    [
        vendor.sessions_csv(),
        vendor.sessions_csv().rstrip(b"\n"),
        vendor.sessions_csv() + b"\n\n",
        vendor.query_result(vendor.DAILY_COLUMNS, []),
        vendor.workbook({"one": (vendor.FLEX_2024, [])}),
    ],
)
def test_a_header_alone_is_an_empty_statement_and_a_problem(data: bytes) -> None:
    statement, problems = read(data)
    assert statement.height == 0
    assert codes(problems) == ["no_rows"]


def test_bad_rows_are_kept_with_a_problem_for_each_thing_that_is_bad() -> None:
    bad = {**SESSION, "usageDate": "soon", "tokensConsumed": "", "sessionStartDate": "x", "contractYear": "first"}
    statement, problems = read(vendor.sessions_csv(SESSION, bad, SESSION))
    assert statement.height == 3
    row = statement.row(1, named=True)
    assert [row[name] for name in ("usage_date", "tokens", "start", "contract_year")] == [None] * 4
    assert row["user"] == "ana"
    assert problems["location"].to_list() == [3] * 4
    assert sorted(codes(problems)) == ["bad_date", "bad_number", "bad_time", "missing_value"]


def test_an_offset_that_cannot_be_read_is_a_problem() -> None:
    statement, problems = read(vendor.sessions_csv({**SESSION, "licenseServerTimeZoneOffset": "-99:00"}))
    assert statement["start"].to_list() == [None]
    assert codes(problems) == ["bad_offset"]


def test_rows_of_another_width() -> None:
    header, row, _ = vendor.sessions_csv(SESSION).split(b"\n")
    short = row.rsplit(b",", 3)[0]
    statement, problems = read(b"\n".join([header, row + b",surplus", row, b"", short, short[:-9]]))
    assert statement["line"].to_list() == [2, 3, 5, 6]
    assert problems.select("location", "code").sort("location").rows() == [
        (None, "truncated_line"),
        (2, "field_without_column"),
        (5, "missing_value"),
        (6, "missing_value"),
    ]


def test_a_row_of_which_no_column_is_known_is_no_blank_line() -> None:
    columns = (*vendor.SESSION_COLUMNS, "remark")
    statement, problems = read(vendor.sessions_csv(SESSION, {"remark": "see below"}, columns=columns))
    assert statement["line"].to_list() == [2, 3]
    assert codes(problems) == ["unknown_column", "missing_value", "missing_value"]


def test_a_header_that_is_longer_than_what_is_looked_at_is_no_header(tmp_path: Path) -> None:
    path = tmp_path / "wide.csv"
    path.write_bytes(vendor.sessions_csv(SESSION, columns=(*vendor.SESSION_COLUMNS, "x" * 70_000)))
    with pytest.raises(tf.SourceError, match="none of the vendor's"):
        tf.read_statement(path)


def test_files_put_together_have_their_header_twice() -> None:
    statement, problems = read(vendor.sessions_csv(SESSION) * 2)
    assert statement["line"].to_list() == [2, 4]
    assert problems.select("location", "code").rows() == [(3, "repeated_header")]


def test_records_of_json_that_are_none() -> None:
    data = json.dumps([SESSION, {}, 5, {**SESSION, "userName": {"first": "ana"}}]).encode()
    statement, problems = read(data)
    assert statement["user"].to_list() == ["ana", '{"first": "ana"}']
    assert problems.select("location", "code").rows() == [(2, "bad_row"), (3, "bad_row")]
    data = vendor.query_result(vendor.DAILY_COLUMNS, [vendor.DAILY])
    shorter = data.replace(b', "AutoCAD", "0"]', b"]")
    statement, problems = read(shorter)
    assert statement.select("product", "tokens").rows() == [("ACD", None)]
    assert problems.select("location", "code").rows() == [(1, "bad_row"), (1, "missing_value")]


def test_a_file_that_is_written_to_while_it_is_read_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "march.csv"
    path.write_bytes(vendor.sessions_csv(SESSION))
    whole = reading._sheet

    def while_somebody_writes(*arguments: Any) -> Any:
        with path.open("ab") as file:
            file.write(b"2018-03-02,")
        return whole(*arguments)

    monkeypatch.setattr(reading, "_sheet", while_somebody_writes)
    with pytest.raises(tf.SourceError, match="written to while it was read"):
        tf.read_statement(path)


def test_sources_that_are_not_there(tmp_path: Path) -> None:
    with pytest.raises(tf.SourceNotFoundError, match="no file or folder"):
        tf.read_statement(tmp_path / "none.csv")
    with pytest.raises(tf.SourceNotFoundError, match="holds no exports"):
        tf.read_statement(tmp_path)
    with pytest.raises(tf.SourceNotFoundError, match="no file matches"):
        tf.read_statement(os.fspath(tmp_path / "*.csv"))
    with pytest.raises(tf.SourceNotFoundError, match="no exports were given"):
        tf.read_statement([])


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"source": 5}, tf.ArgumentTypeError),
        ({"source": io.StringIO("a")}, tf.ArgumentTypeError),
        ({"timezone": 5}, tf.ArgumentTypeError),
        ({"encoding": "cp9"}, tf.ArgumentError),
        ({"date_format": 5}, tf.ArgumentTypeError),
        ({"machine_metered": "VRED"}, tf.ArgumentTypeError),
        ({"problems": []}, tf.ArgumentTypeError),
    ],
)
def test_bad_arguments(arguments: dict[str, Any], error: type[Exception]) -> None:
    with pytest.raises(error):
        tf.read_statement(**{"source": vendor.sessions_csv(SESSION), **arguments})


def test_a_workbook_without_fastexcel_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "fastexcel", None)
    with pytest.raises(tf.ArgumentError, match=re.escape("pip install 'tokenflex[excel]'")):
        tf.read_statement(vendor.workbook({"one": (vendor.FLEX_2022, [vendor.FLEX])}))


@given(data=st.binary(max_size=300) | st.text(max_size=200).map(str.encode))
@settings(max_examples=80)
def test_any_bytes_are_a_statement_or_an_error_of_ours(data: bytes) -> None:
    for source in (data, vendor.sessions_csv(SESSION) + data):
        try:
            tf.read_statement(source, problems=tf.Problems(), timezone="Europe/Madrid")
        except tf.SourceError:
            continue


@given(
    rows=st.lists(
        st.fixed_dictionaries({name: st.text(max_size=12) for name in ("userName", "productName", "machineName")}),
        min_size=1,
        max_size=6,
    )
)
@settings(max_examples=60)
def test_names_of_any_letters_come_back_as_they_are(rows: list[dict[str, str]]) -> None:
    columns = ("usageDate", "userName", "machineName", "productName", "tokensConsumed")
    base = {"usageDate": "2018-03-01", "tokensConsumed": "1"}
    data = json.dumps([{name: {**base, **row}[name] for name in columns} for row in rows]).encode()
    statement, _ = read(data, machine_metered=[])
    names = statement.filter(~pl.col("is_masked")).select("product_name", "host").cast(pl.String)
    assert set(names.rows()) <= {(row["productName"] or None, row["machineName"] or None) for row in rows}
    assert statement.height == len(rows)


# From the statement back to its charges

RATES = tf.Rates(
    [
        tf.Rate("ACD", Decimal(7), family="drafting"),
        tf.Rate("ACDLT", Decimal("2.5"), family="drafting"),
        tf.Rate("RVT", Decimal("10.0001")),
    ]
)
RULES = [
    tf.FLEX,
    tf.TOKEN_FLEX,
    tf.Rule(window="day", zone="server", incremental=True, min_duration=timedelta(minutes=5)),
    tf.Rule(window="rolling", incremental=True, scope="server"),
]


@st.composite
def metered(draw: st.DrawFn) -> tuple[pl.DataFrame, tf.Rule]:
    around = draw(st.sampled_from(list(TIMES)))
    starts = instants(around, DAY)
    servers = st.sampled_from([TIMES[around], *sorted(SERVERS)[:3]])
    seconds = st.one_of(st.sampled_from([0, 120, 300, 86_400, 172_800]), st.integers(0, 200_000))
    rows = []
    for _ in range(draw(st.integers(1, 10))):
        start = draw(starts).replace(microsecond=0)
        user, product = draw(st.sampled_from(["ana", "bo"])), draw(st.sampled_from(["ACD", "ACDLT", "RVT"]))
        rows.append((user, product, draw(servers), "pc1", start, start + timedelta(seconds=draw(seconds))))
    names: dict[str, Any] = dict.fromkeys(("user", "product", "server", "host"), pl.String)
    times = dict.fromkeys(("start", "end"), tables.TIME)
    return pl.DataFrame(rows, schema=names | times, orient="row"), draw(st.sampled_from(RULES))


def statement_of(sessions: pl.DataFrame, rule: tf.Rule) -> bytes:
    """What the vendor would export of these sessions: what became of each, with times by its server's clock."""
    terms: dict[str, Any] = {"rule": rule, "rates": RATES, "servers": SERVERS}
    charges = tf.charge(sessions, **terms)
    tokens = dict(charges.group_by("session").agg(pl.col("tokens").sum()).iter_rows())
    rows = []
    for number, row in enumerate(tf.categorize(sessions, **terms).iter_rows(named=True)):
        zone = SERVERS[row["server"]]
        start, offset, ahead = vendor.local(row["start"], zone)
        rows.append(
            {
                "usageDate": start[:10],
                "productLineCode": row["product"],
                "userName": row["user"],
                "machineName": row["host"],
                "sessionStartDate": start,
                "sessionEndDate": f"{(row['end'] + ahead):%Y-%m-%dT%H:%M:%S}",
                "licenseServerTimeZoneOffset": offset,
                "licenseServerName": row["server"],
                "chargeCategory": row["category"],
                "chargedItemID": f"RX{number:010}",
                "usageCategory": "DESKTOP_PRODUCT",
                "tokensConsumed": str(tokens.get(number, 0)),
            }
        )
    return vendor.sessions_csv(*rows)


@given(case=metered())
@settings(max_examples=100)
def test_sessions_of_a_statement_are_charged_what_the_statement_says(case: tuple[pl.DataFrame, tf.Rule]) -> None:
    sessions, rule = case
    statement = clean(statement_of(sessions, rule))
    again = tf.sessions_from(statement)
    assert again.schema == pl.Schema(tables.STATEMENT_SESSIONS)
    assert again.select(sessions.columns).cast(sessions.schema).equals(sessions)
    terms: dict[str, Any] = {"rule": rule, "rates": RATES, "servers": SERVERS}
    charges = tf.charge(again, **terms)
    assert charges["tokens"].sum() == statement["tokens"].sum()
    each = charges.group_by("session").agg(pl.col("tokens").sum())
    stated = again.with_row_index("session").filter(pl.col("vendor_tokens") > 0)
    assert dict(each.filter(pl.col("tokens") > 0).iter_rows()) == dict(
        stated.select("session", "vendor_tokens").iter_rows()
    )
    assert tf.categorize(again, **terms)["category"].equals(again["vendor_category"])


def test_rows_without_times_are_no_sessions_and_are_told_of() -> None:
    manual = {"usageDate": "2018-03-03", "usageCategory": "MANUAL_CONSUMPTION", "tokensConsumed": "5"}
    cloud = {**manual, "usageCategory": "CLOUD_SERVICE"}
    statement = pl.concat(
        [
            clean(vendor.sessions_csv(SESSION, manual, cloud, cloud)),
            clean(vendor.table(vendor.FLEX_2022, [vendor.FLEX]).encode()),
        ]
    )
    problems = tf.Problems()
    sessions = tf.sessions_from(statement, problems=problems)
    assert sessions.select("user", "product", "vendor_category", "vendor_tokens").rows() == [
        ("ana", "ACD", "CHARGED", Decimal(7))
    ]
    assert set(codes(problems.frame)) == {"no_times"}
    assert problems.frame["message"].to_list() == [
        "1 rows of token_flex_sessions MANUAL_CONSUMPTION have no times and are no sessions",
        "2 rows of token_flex_sessions CLOUD_SERVICE have no times and are no sessions",
        "1 rows of flex_account have no times and are no sessions",
    ]


def test_sessions_that_end_before_they_start_or_never() -> None:
    rows = [SESSION, {**SESSION, "sessionEndDate": "2018-03-01T16:00:00"}, {**SESSION, "sessionEndDate": ""}]
    problems = tf.Problems()
    sessions = tf.sessions_from(clean(vendor.sessions_csv(*rows)), problems=problems)
    assert sessions["line"].to_list() == [2, 4]
    assert problems.frame.select("source", "location", "code").rows() == [
        ("<bytes>", 3, "end_before_start"),
        ("<bytes>", 4, "missing_end"),
    ]


@pytest.mark.parametrize(
    ("fields", "product"),
    [
        ({}, "ACD"),
        ({"productLineCode": ""}, "ACD"),
        ({"productLineCode": "", "productFeatureCode": "65500ACAD_E_T_F"}, "ACAD_E"),
        ({"productLineCode": "", "productFeatureCode": "866333DSMAX_2017_0F"}, "3DSMAX"),
        ({"productLineCode": "", "productFeatureCode": "hfsshpc"}, "AutoCAD"),
        ({"productLineCode": "", "productFeatureCode": ""}, "AutoCAD"),
    ],
)
def test_the_product_of_a_session_is_the_best_that_the_statement_has(fields: dict[str, str], product: str) -> None:
    statement = clean(vendor.sessions_csv({**SESSION, **fields}))
    assert tf.sessions_from(statement)["product"].to_list() == [product]


def test_sessions_come_from_any_table_that_has_their_columns() -> None:
    table = pl.DataFrame({"user": ["ana"], "product": ["ACD"], "start": [at(2026, 7, 13)], "end": [at(2026, 7, 14)]})
    for form in (table, table.lazy(), table.to_arrow(), table.to_pandas()):
        sessions = tf.sessions_from(form)
        assert sessions.select("user", "product", "start").rows() == [("ana", "ACD", at(2026, 7, 13))]
    with pytest.raises(tf.MissingColumnError, match="'end' is missing"):
        tf.sessions_from(table.drop("end"))
    with pytest.raises(tf.MissingColumnError, match="product"):
        tf.sessions_from(table.drop("product"))
    with pytest.raises(tf.ColumnTypeError, match="instants"):
        tf.sessions_from(table.with_columns(pl.col("start").dt.replace_time_zone(None)))
    with pytest.raises(tf.TableTypeError):
        tf.sessions_from(5)  # type: ignore[arg-type]


# The contract

# The figures of the vendor's example: years of 344,000 tokens, and a pool of 25,000 for all of them.
YEARS = [(1, 146_226, 197_774, 25_000, 3_217), (2, 149_799, 194_201, 21_783, 0), (3, 142_073, 201_927, 21_783, 0)]
CONTRACT: dict[str, Any] = {
    "contractNumber": "110001234567",
    "contractStartDate": "2015-02-01",
    "contractEndDate": "2018-01-31T00:00:00Z",
    "multiyearProvisionedTokens": 25000,
    "years": [
        {
            "contractYear": year,
            "startDate": f"{2014 + year}-02-01",
            "endDate": f"{2015 + year}-01-31",
            "provisionedTokens": 344000,
            "consumedTokens": consumed,
            "remainingTokens": remaining,
            "multiyearTokensAtStart": at_start,
            "multiyearConsumedTokens": taken,
        }
        for year, consumed, remaining, at_start, taken in YEARS
    ],
}


def contract_of(document: object, **arguments: Any) -> tf.ContractSnapshot:
    return tf.read_contract(json.dumps(document).encode(), **arguments)


def test_the_contract_of_the_vendors_example() -> None:
    contract = contract_of(CONTRACT)
    assert (contract.number, contract.start, contract.end) == ("110001234567", date(2015, 2, 1), date(2018, 1, 31))
    assert contract.multiyear_provisioned == Decimal(25000)
    assert [
        (year.year, year.consumed, year.remaining, year.multiyear_at_start, year.multiyear_consumed)
        for year in contract.years
    ] == [(year, *map(Decimal, tokens)) for year, *tokens in YEARS]
    first = contract.years[0]
    assert (first.start, first.end, first.provisioned) == (date(2015, 2, 1), date(2016, 1, 31), Decimal(344000))
    assert str(first.provisioned) == "344000.0000"


def test_a_contract_under_other_names_and_wrappings() -> None:
    other = {
        "Contract Number": 110001234567,
        "start_date": "2015-02-01",
        "contract_years": [{"contract_year": "2", "tokens_provisioned": "5.25"}, {"year": 1, "consumed_tokens": 0.1}],
    }
    contract = contract_of({"status": "DONE", "result": [other]})
    assert (contract.number, contract.start, contract.end) == ("110001234567", date(2015, 2, 1), None)
    assert [(year.year, year.provisioned, year.consumed) for year in contract.years] == [
        (1, None, Decimal("0.1")),
        (2, Decimal("5.25"), None),
    ]


def test_one_of_several_contracts_is_chosen_by_its_number() -> None:
    several = [CONTRACT, {**CONTRACT, "contractNumber": "2"}]
    assert contract_of(several, number="2").number == "2"
    with pytest.raises(tf.ArgumentError, match="110001234567, 2: give the one by number="):
        contract_of(several)
    with pytest.raises(tf.ArgumentError, match="number="):
        contract_of(several, number="3")


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"contractNumber": None}, "contractNumber of the contract is missing"),
        ({"contractNumber": True}, "contractNumber of the contract is True"),
        ({"contractStartDate": "soon"}, "contractStartDate of the contract is 'soon', but has to be a date"),
        ({"contractStartDate": 2015}, "contractStartDate"),
        ({"contractEndDate": "2015-01-31"}, "contractEndDate of the contract is 2015-01-31, before the start"),
        ({"multiyearProvisionedTokens": "many"}, "multiyearProvisionedTokens of the contract is 'many'"),
        ({"multiyearProvisionedTokens": 1.00001}, "at most four decimals"),
        ({"multiyearProvisionedTokens": "NaN"}, "at most four decimals"),
        ({"years": []}, r"years of the contract are \[\]"),
        ({"years": 5}, "years of the contract is 5, but has to be a list of objects"),
        ({"years": [{"contractYear": 0}]}, "contractYear of the year 1 of contract 110001234567 is '0'"),
        ({"years": [{"contractYear": 1}, {"contractYear": 1}]}, r"are \[1, 1\], but have to be"),
        ({"years": [{"contractYear": 1, "consumedTokens": []}]}, "consumedTokens of the year 1 of contract"),
    ],
)
def test_a_contract_that_is_wrong_names_its_field(fields: dict[str, Any], said: str) -> None:
    with pytest.raises(tf.SourceError, match=said):
        contract_of({**CONTRACT, **fields})


def test_what_is_no_contract() -> None:
    for data in (b"", b"{", b"contract,year", b"[]", b"[1]", b"5"):
        with pytest.raises(tf.SourceError, match=r"contract|JSON"):
            tf.read_contract(data)
    with pytest.raises(tf.ArgumentError, match="one file"):
        tf.read_contract([b"{}", b"{}"])  # type: ignore[arg-type]


def test_json_too_large_for_memory_is_refused_with_a_way_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sheet, "MOST_JSON", 100)
    with pytest.raises(tf.SourceError, match="ask for the same as CSV"):
        tf.read_statement(vendor.query_result(vendor.SESSION_COLUMNS, [vendor.SESSION]))


@pytest.mark.parametrize("data", [b"[" * 100_000, b'{"contractNumber": ' + b"1" * 5_000 + b"}"])
def test_json_that_python_cannot_hold_is_no_contract(data: bytes) -> None:
    with pytest.raises(tf.SourceError, match="no JSON of a contract"):
        tf.read_contract(data)
