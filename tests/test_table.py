"""Any table in: columns under any names, dates, zones and durations, and every kind of bad input with its place."""

from __future__ import annotations

import csv
import gzip
import io
import os
import sqlite3
import tempfile
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import duckdb
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tokenflex as tf
from tokenflex.reading import files
from tokenflex.reading.mapping import ALIASES

if TYPE_CHECKING:
    from collections.abc import Callable

MADRID = ZoneInfo("Europe/Madrid")
START = datetime(2026, 7, 13, 7, tzinfo=UTC)
END = datetime(2026, 7, 13, 15, 30, tzinfo=UTC)
PLAIN = b"user,product,start,end\nana,ACD,2026-07-13 09:00:00,2026-07-13 17:30:00\n"
TYPED = pl.DataFrame({"Login": ["ana"], "Product": ["ACD"], "Start time": [START], "End time": [END], "Team": ["A"]})


def times(frame: pl.DataFrame) -> list[tuple[datetime, datetime]]:
    return frame.select("start", "end").rows()


def read(text: str | bytes, **options: Any) -> pl.DataFrame:
    data = text.encode() if isinstance(text, str) else text
    return tf.read_table(data, **{"timezone": "Europe/Madrid"} | options)


def period(start: str, end: str, **options: Any) -> tuple[datetime, datetime]:
    return times(read(f"user;product;start;end\nana;ACD;{start};{end}\n", **options))[0]


# What a table may be.


def test_a_csv_becomes_sessions_that_can_be_charged() -> None:
    sessions = read(PLAIN)
    assert list(sessions.schema.items()) == [
        ("user", pl.Categorical),
        ("product", pl.Categorical),
        ("start", pl.Datetime("us", "UTC")),
        ("end", pl.Datetime("us", "UTC")),
    ]
    assert times(sessions) == [(START, END)]
    charges = tf.charge(sessions, rule=tf.FLEX, rates=tf.Rates({"ACD": 7}))
    assert charges["tokens"].to_list() == [Decimal(7)]


def test_the_license_activity_of_openlm() -> None:
    text = (
        "Server,Vendor,Feature,Version,Product name,Username,Workstation,Start time,End time,License type,Idle time\n"
        "lic-01,adskflex,86063ACD_2014_0F,1.000,AutoCAD 2014,ana,pc1,13/07/2026 09:00:00,13/07/2026 17:30:00,"
        "Network,0\n"
    )
    sessions = read(text)
    assert sessions.columns[:8] == ["server", "user", "host", "feature", "product", "version", "start", "end"]
    assert sessions.columns[8:] == ["Vendor", "Product name", "License type", "Idle time"]
    assert sessions.row(0)[:6] == ("lic-01", "ana", "pc1", "86063ACD_2014_0F", "ACD", "1.000")
    assert times(sessions) == [(START, END)]


def test_a_table_of_daily_minutes_in_german() -> None:
    text = "Benutzer;Rechner;Produkt;Beginn;Dauer (min)\nBärbel;pc1;ACD;13.07.2026 09:00;510\n"
    sessions = read(text.encode("cp1252"))
    assert sessions["user"].to_list() == ["Bärbel"]
    assert times(sessions) == [(START, END)]


@pytest.mark.parametrize("kind", ["polars", "lazy", "pyarrow", "pandas", "duckdb", "parquet"])
def test_any_frame_and_parquet(kind: str, tmp_path: Path) -> None:
    made: dict[str, Any] = {
        "polars": lambda: TYPED,
        "lazy": TYPED.lazy,
        "pyarrow": TYPED.to_arrow,
        "pandas": TYPED.to_pandas,
        "duckdb": lambda: duckdb.sql("select * from TYPED"),
        "parquet": lambda: TYPED.write_parquet(tmp_path / "x.parquet") or tmp_path / "x.parquet",
    }
    sessions = tf.read_table(made[kind]())
    assert times(sessions) == [(START, END)]
    assert sessions["Team"].to_list() == ["A"]


def test_sessions_of_pair_come_back_as_they_are() -> None:
    log = tf.read_flexlm(
        b'12:00:00 (lmgrd) TIMESTAMP 7/13/2026\n12:00:05 (adskflex) OUT: "87545ACD_2022_0F" ana@pc1\n',
        timezone="UTC",
        server="lic-01",
    )
    sessions = tf.pair(log.events)
    again = tf.read_table(sessions)
    assert again.columns[:9] == ["server", "user", "host", "feature", "product", "version", "start", "end", "licenses"]
    assert again.select(sessions.columns).equals(sessions)


def test_excel_with_typed_times_and_with_serial_numbers(tmp_path: Path) -> None:
    local = [datetime(2026, 7, 13, 9), datetime(2026, 7, 13, 17, 30)]  # noqa: DTZ001 - a sheet has no zones
    frame = pl.DataFrame({"User": ["ana"], "Product": ["ACD"], "Start": [local[0]], "End": [local[1]]})
    serials = frame.with_columns(Start=pl.lit(46216.375), End=pl.lit(46216.0 + 17.5 / 24))
    for name, table in (("typed.xlsx", frame), ("serial.xlsx", serials)):
        table.write_excel(tmp_path / name, "Usage")
        assert times(tf.read_table(tmp_path / name, timezone="Europe/Madrid")) == [(START, END)]
    assert times(tf.read_table(tmp_path / "typed.xlsx", timezone="Europe/Madrid", sheet="Usage")) == [(START, END)]
    with pytest.raises(tf.SourceError, match="Other"):
        tf.read_table(tmp_path / "typed.xlsx", timezone="Europe/Madrid", sheet="Other")


def test_sql_of_sqlite_and_duckdb() -> None:
    with sqlite3.connect(":memory:") as connection:
        connection.execute("create table usage (login text, product text, t0 text, t1 text)")
        connection.execute("insert into usage values ('ana', 'ACD', '2026-07-13 09:00:00', '2026-07-13 17:30:00')")
        columns = {"user": "login", "start": "t0", "end": "t1"}
        query = "select * from usage"
        found = tf.read_table(connection, query=query, columns=columns, timezone="Europe/Madrid")
        with pytest.raises(tf.SourceError, match="no such table"):
            tf.read_table(connection, query="select * from other")
    connection.close()
    assert times(found) == [(START, END)]
    with duckdb.connect() as duck:
        duck.execute("create table usage as select 'ana' as \"user\", 'ACD' as product")
        sql = "select *, timestamp '2026-07-13 09:00' as start, timestamp '2026-07-13 17:30' as \"end\" from usage"
        assert times(tf.read_table(duck, query=sql, timezone="Europe/Madrid")) == [(START, END)]
    with pytest.raises(tf.ArgumentTypeError, match="connection"):
        tf.read_table(object(), query="select 1")
    with pytest.raises(tf.ArgumentTypeError, match="SQL text"):
        tf.read_table(duck, query=5)  # type: ignore[arg-type]


def test_a_folder_a_pattern_and_several_files(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    (tmp_path / "a.csv").write_bytes(PLAIN)
    (tmp_path / "b" / "b.csv.gz").write_bytes(
        gzip.compress(b"end;start;product;user\n2026-07-13T17:30;2026-07-13T09:00;RVT;bo\n")
    )
    (tmp_path / "notes.md").write_bytes(b"no table")
    for source in (tmp_path, str(tmp_path / "**" / "*.csv*"), [tmp_path / "a.csv", tmp_path / "b" / "b.csv.gz"]):
        found = tf.read_table(source, timezone="Europe/Madrid")
        assert found["user"].to_list() == ["ana", "bo"]
        assert times(found) == [(START, END)] * 2
    (tmp_path / "c.csv").write_bytes(b"user,product,from,to\n")
    with pytest.raises(tf.ArgumentError, match="differ in 'end', 'from', 'start', 'to'"):
        tf.read_table(tmp_path, timezone="Europe/Madrid")


# Round trips.


SPELLINGS: list[Callable[[str], str]] = [str, str.upper, str.title, lambda text: text.replace("_", " ")]


@st.composite
def tables_of_tools(draw: st.DrawFn) -> tuple[bytes, dict[str, list[Any]]]:
    """A table as some tool would write it, and what is in it."""
    name = st.text("abcdeéñß ,;\"'|\t-_.", min_size=1, max_size=8).filter(lambda text: text.strip() == text)
    at = st.datetimes(datetime(1990, 1, 1), datetime(2100, 1, 1)).map(lambda time: time.replace(microsecond=0))  # noqa: DTZ001
    height = draw(st.integers(1, 5))
    fields = [
        "user",
        "product",
        "start",
        "end",
        *draw(st.lists(st.sampled_from(["server", "host", "version"]), unique=True)),
    ]
    data = {
        field: draw(st.lists(at if field in ("start", "end") else name, min_size=height, max_size=height))
        for field in fields
    }
    headers = {field: draw(st.sampled_from([field, *ALIASES[field]])) for field in fields}
    spelled = {field: draw(st.sampled_from(SPELLINGS))(header) for field, header in headers.items()}
    order = draw(st.permutations(fields))
    out = io.StringIO()
    writer = csv.writer(
        out, delimiter=draw(st.sampled_from(",;\t|")), lineterminator=draw(st.sampled_from(["\n", "\r\n"]))
    )
    writer.writerow([spelled[field] for field in order])
    between = draw(st.sampled_from(["T", " "]))
    for row in range(height):
        values = [data[field][row] for field in order]
        writer.writerow([value.isoformat(between) if isinstance(value, datetime) else value for value in values])
    encoding = draw(st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "cp1252"]))
    text = out.getvalue()
    return (text if draw(st.booleans()) else text.rstrip("\r\n")).encode(encoding), data


@settings(max_examples=100)
@given(tables_of_tools())
def test_what_a_tool_writes_is_read_back(table: tuple[bytes, dict[str, list[Any]]]) -> None:
    written, data = table
    found = tf.read_table(written, timezone="UTC")
    for field, values in data.items():
        read_back = found[field].to_list()
        expected = [value.replace(tzinfo=UTC) if isinstance(value, datetime) else value for value in values]
        assert read_back == expected, field


# Columns.


def test_the_guess_is_shown_and_can_be_given_back() -> None:
    guess = tf.guess_columns(TYPED)
    assert dict(guess) == {"user": "Login", "product": "Product", "start": "Start time", "end": "End time"}
    assert guess.frame.rows()[0] == ("Login", "user", "is a name for user", "ana")
    assert guess.frame.rows()[4] == ("Team", None, "carried along as it is", "A")
    assert repr(guess).startswith("<ColumnGuess of 5 columns>\n  user     'Login'")
    assert times(tf.read_table(TYPED, columns=guess)) == [(START, END)]


def test_renamed_columns_are_mended_in_one_step() -> None:
    text = "wer,was,ab,an\nana,ACD,2026-07-13 09:00,2026-07-13 17:30\n"
    with pytest.raises(tf.MissingColumnError) as caught:
        read(text)
    message = str(caught.value)
    assert "'wer', 'was', 'ab', 'an'" in message
    written = message.partition("columns=")[2]
    for theirs in ("wer", "was", "ab", "an"):
        written = written.replace("…", theirs, 1)
    columns = {"user": "wer", "product": "was", "start": "ab", "end": "an"}
    assert written == repr(columns)
    assert times(read(text, columns=columns)) == [(START, END)]


def test_two_candidates_are_asked_for_with_what_to_write() -> None:
    text = "Login,Username,product,start,end\na,ana,ACD,2026-07-13 09:00,2026-07-13 17:30\n"
    assert "(which?)" in repr(tf.guess_columns(text.encode()))
    with pytest.raises(tf.ArgumentError, match="2 columns could be 'user': 'Login', 'Username'") as caught:
        read(text)
    assert "columns={'user': 'Login', 'product': 'product', 'start': 'start', 'end': 'end'}" in str(caught.value)
    with pytest.raises(tf.ArgumentError, match="2 columns"):
        read(text, columns=tf.guess_columns(text.encode()))
    found = read(text, columns={"user": "Username"})
    assert found["user"].to_list() == ["ana"]
    assert found["Login"].to_list() == ["a"]


def test_all_that_is_open_is_asked_for_at_once() -> None:
    text = "Login,Username,Start date,Start time,End time\na,b,c,d,e\n"
    with pytest.raises(tf.ArgumentError) as caught:
        read(text)
    assert str(caught.value) == (
        "2 columns could be 'user': 'Login', 'Username'; 2 columns could be 'start': 'Start date', 'Start time'. "
        "Say which, as in columns={'user': 'Login', 'product': '…', 'start': 'Start date', 'end': 'End time'}"
    )


def test_a_column_of_our_name_is_taken_before_others_and_none_takes_none() -> None:
    text = "user,username,product,server,start,end\nana,b,ACD,lic-01,2026-07-13 09:00,2026-07-13 17:30\n"
    assert read(text).columns == ["server", "user", "product", "start", "end", "username"]
    found = read(text, columns={"user": "username", "server": None})
    assert found.row(0)[0] == "b"
    assert found.columns == ["user", "product", "start", "end", "user_original", "server_original"]


@pytest.mark.parametrize(
    ("columns", "error", "words"),
    [
        ({"user": "nobody"}, tf.MissingColumnError, "'user' is 'nobody', but the table has: 'user'"),
        ({"User": "user"}, tf.ArgumentError, "our names are user"),
        ({"user": None}, tf.MissingColumnError, r"columns=\{'user': '…', 'product'"),
        (["user"], tf.ArgumentTypeError, "a mapping from our names to yours"),
    ],
)
def test_a_wrong_mapping_says_how_to_write_it(columns: Any, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        read(PLAIN, columns=columns)


def test_the_product_comes_from_the_feature_by_the_catalog() -> None:
    problems = tf.Problems()
    text = (
        "user,feature,start,end\n"
        "ana,86063ACD_2014_0F,2026-07-13 09:00,2026-07-13 17:30\n"
        "bo,99999RVT_2031_0F,2026-07-13 09:00,2026-07-13 17:30\n"
    )
    found = read(text, problems=problems)
    assert found.select("feature", "product", "version").rows() == [
        ("86063ACD_2014_0F", "ACD", "2014"),
        ("99999RVT_2031_0F", "RVT", "2031"),
    ]
    assert problems.frame["code"].to_list() == ["unknown_feature"]
    own = tf.Catalog(pl.DataFrame({"feature": ["86063ACD_2014_0F", "99999RVT_2031_0F"], "product": ["A", "B"]}))
    assert read(text, catalog=own)["product"].to_list() == ["A", "B"]
    with pytest.raises(tf.ArgumentTypeError, match=r"tokenflex\.Catalog"):
        read(text, catalog="own.csv")


# Times.


@pytest.mark.parametrize(
    ("start", "end"),
    [
        ("2026-07-13 09:00:00", "2026-07-13 17:30:00"),
        ("2026-07-13T09:00", "2026-07-13T17:30"),
        ("2026-07-13T07:00:00Z", "2026-07-13T17:30:00+02:00"),
        ("2026-07-13 09:00:00.000", "2026-07-13 17:30:00.000000"),
        ("13/07/2026 09:00", "13/07/2026 17:30:00"),
        ("7/13/2026 9:00 AM", "7/13/2026 5:30 PM"),
        ("13.07.2026 09:00", "13.07.2026 17:30"),
        ("13.07.26 09:00", "13.07.26 17:30"),
        ("13-Jul-2026 09:00:00", "13-Jul-2026 17:30:00"),
        ("Jul 13, 2026 9:00 AM", "Jul 13, 2026 5:30 PM"),
        ("13/07/2026, 09:00", "13/07/2026, 17:30"),
        (" 2026-07-13 09:00:00", "2026-07-13 17:30:00 "),
    ],
)
def test_formats_that_say_what_they_mean_are_found(start: str, end: str) -> None:
    assert period(start, end) == (START, END)


def test_day_and_month_that_the_data_does_not_decide_are_asked_for() -> None:
    text = "user,product,start,end\nana,ACD,03/04/2026 09:00,03/04/2026 17:30\n"
    with pytest.raises(
        tf.ArgumentError, match="2026-04-03 with the day first and 2026-03-04 with the month first"
    ) as caught:
        read(text)
    assert "date_format='%d/%m/%Y %H:%M' or date_format='%m/%d/%Y %H:%M'" in str(caught.value)
    assert read(text, date_format="%d/%m/%Y %H:%M")["start"].to_list() == [datetime(2026, 4, 3, 7, tzinfo=UTC)]
    assert read(text, date_format="%m/%d/%Y %H:%M")["start"].to_list() == [datetime(2026, 3, 4, 8, tzinfo=UTC)]
    decided = text + "bo,ACD,03/04/2026 09:00,13/04/2026 17:30\n"
    assert read(decided)["start"].to_list() == [datetime(2026, 4, 3, 7, tzinfo=UTC)] * 2
    with pytest.raises(tf.ArgumentError, match="does not decide"):
        read(decided + "cyd,ACD,04/13/2026 09:00,04/13/2026 17:30\n")


def test_a_day_that_is_its_month_needs_no_question() -> None:
    assert period("07/07/2026 09:00", "07/07/2026 17:30")[0] == datetime(2026, 7, 7, 7, tzinfo=UTC)


def test_short_years_are_never_guessed() -> None:
    with pytest.raises(tf.ArgumentError, match="does not decide"):
        period("10/07/12 09:00", "10/07/12 17:30")


def test_epochs_and_serial_numbers_only_when_asked() -> None:
    seconds = int(START.timestamp()), int(END.timestamp())
    frame = pl.DataFrame({"user": ["ana"], "product": ["ACD"], "start": [seconds[0]], "end": [seconds[1]]})
    with pytest.raises(tf.ArgumentError, match="date_format='epoch_s', 'epoch_ms' or 'excel'"):
        tf.read_table(frame)
    assert times(tf.read_table(frame, date_format="epoch_s")) == [(START, END)]
    thousands = frame.with_columns(pl.col("start", "end") * 1000)
    assert times(tf.read_table(thousands, date_format="epoch_ms")) == [(START, END)]
    assert period(str(seconds[0]), str(seconds[1]), date_format="epoch_s") == (START, END)
    assert period("46216.375", "46216.7291666667", date_format="excel") == (START, END)


def test_an_unknown_format_is_asked_for() -> None:
    with pytest.raises(tf.ArgumentError, match="no format that is known, such as 'the 13th'"):
        period("the 13th", "the 14th")
    with pytest.raises(tf.ArgumentError, match="'%Q' reads none of the times, such as 'x' in column 'start'"):
        period("x", "y", date_format="%Q")
    with pytest.raises(tf.ArgumentError, match="'epoch_s' reads none"):
        period("2026-07-13", "2026-07-14", date_format="epoch_s")
    with pytest.raises(tf.ArgumentTypeError, match="date_format has to be text"):
        period("x", "y", date_format=5)


def test_local_times_need_a_zone() -> None:
    with pytest.raises(tf.ZoneError, match="'start' has local times, such as 2026-07-13 09:00:00, and no zone"):
        tf.read_table(PLAIN)
    with pytest.raises(tf.ZoneError, match="Mars"):
        tf.read_table(PLAIN, timezone="Mars")
    with pytest.raises(tf.ArgumentTypeError, match="IANA name"):
        tf.read_table(PLAIN, timezone=2)  # type: ignore[arg-type]
    dates = pl.DataFrame({"user": ["a"], "product": ["A"], "start": [date(2026, 7, 13)], "end": [date(2026, 7, 14)]})
    assert tf.read_table(dates, timezone="UTC")["start"].to_list() == [datetime(2026, 7, 13, tzinfo=UTC)]


def test_each_server_has_its_zone() -> None:
    text = (
        "server,user,product,start,end\n"
        "mad,ana,ACD,2026-07-13 09:00,2026-07-13 17:30\n"
        "nyc,bo,ACD,2026-07-13 03:00,2026-07-13 11:30\n"
        ",cyd,ACD,2026-07-13 09:00,2026-07-13 17:30\n"
    )
    zones = {"mad": "Europe/Madrid", "nyc": "America/New_York"}
    problems = tf.Problems()
    found = read(text, timezone=zones, problems=problems)
    assert times(found) == [(START, END)] * 2
    assert set(problems.frame.select("location", "code").rows()) == {(4, "missing_server")}
    with pytest.raises(tf.ZoneError, match="no zone for the servers 'nyc'"):
        read(text, timezone={"mad": "Europe/Madrid"}, problems=problems)
    with pytest.raises(tf.MissingColumnError, match=r"columns=\{'server': '…'\}"):
        read(PLAIN, timezone=zones)


def test_a_time_at_a_change_of_the_clock_is_taken_by_the_stated_rule_and_told() -> None:
    text = (
        "user,product,start,end\nana,ACD,2026-03-29 02:30,2026-03-29 09:00\nbo,ACD,2026-10-25 00:30,2026-10-25 02:30\n"
    )
    problems = tf.Problems()
    found = read(text, problems=problems)
    assert found["start"].to_list()[0] == datetime(2026, 3, 29, 1, 30, tzinfo=UTC)
    assert found["end"].to_list()[1] == datetime(2026, 10, 25, 0, 30, tzinfo=UTC)
    assert problems.frame.select("source", "location", "code").rows() == [
        ("<bytes>", 2, "time_in_gap"),
        ("<bytes>", 3, "time_in_fold"),
    ]


# Durations.


@pytest.mark.parametrize(
    ("header", "value", "unit", "seconds"),
    [
        ("Duration (min)", "90", None, 5400),
        ("Elapsed [s]", "90.5", None, 90.5),
        ("usage_hours", "0.000001", None, 0.0036),
        ("Usage minutes", "1.1", None, 66),
        ("duration", "1.5", "h", 5400),
        ("duration", "250", "ms", 0.25),
        ("duration", "1:02:03", None, 3723),
        ("duration", "1.02:03:04.5", None, 93784.5),
        ("duration", "1:30", "h:mm", 5400),
        ("duration", "1:30", "m:ss", 90),
    ],
)
def test_a_duration_is_exact(header: str, value: str, unit: str | None, seconds: float) -> None:
    found = read(f"user,product,start,{header}\nana,ACD,2026-07-13 09:00,{value}\n", duration_unit=unit)
    assert times(found) == [(START, START + timedelta(seconds=seconds))]


def test_a_duration_lasts_over_a_change_of_the_clock() -> None:
    found = read("user,product,start,Duration (h)\nana,ACD,2026-03-29 00:00,4\n")
    assert found["end"].to_list() == [datetime(2026, 3, 29, 5, tzinfo=MADRID).astimezone(UTC)]


def test_typed_durations_and_whole_numbers() -> None:
    frame = pl.DataFrame({"user": ["ana"], "product": ["ACD"], "start": [START]})
    for column in (
        pl.lit(END - START).alias("duration"),
        pl.lit(510).alias("duration (min)"),
        pl.lit(8.5).alias("duration (h)"),
    ):
        assert times(tf.read_table(frame.with_columns(column))) == [(START, END)]
    with pytest.raises(tf.ColumnTypeError, match="has to be durations"):
        tf.read_table(frame.with_columns(duration=pl.lit(value=True)))


def test_a_duration_without_unit_is_asked_for() -> None:
    text = "user,product,start,duration\nana,ACD,2026-07-13 09:00,{}\n"
    with pytest.raises(tf.ArgumentError, match="does not say their unit"):
        read(text.format("90"))
    with pytest.raises(tf.ArgumentError, match="'1:30', which may be hours or minutes"):
        read(text.format("1:30"))
    with pytest.raises(tf.ArgumentError, match="duration_unit is 'days'"):
        read(text.format("1:30"), duration_unit="days")


# Bad rows.


def test_bad_rows_are_problems_with_their_line_and_are_told_once() -> None:
    text = (
        "user,product,start,end,licenses\n"
        "ana,ACD,2026-07-13 09:00,2026-07-13 17:30,1\n"
        "bo,ACD,n/a,2026-07-13 17:30,1\n"
        '"c\nyd",ACD,2026-07-13 09:00,2026-07-13 17:30,1\n'
        "dan,ACD,2026-07-13 09:00,later,1\n"
        "\n"
        "eve,ACD,2026-07-13 09:00\n"
        "fay,ACD,2026-07-13 09:00,2026-07-13 17:30,1,5\n"
        "gil,ACD,2026-07-13 09:00,,many\n"
        ",ACD,2026-07-13 09:00,2026-07-13 17:30,\n"
        "hal,ACD,2026-07-1"
    )
    problems = tf.Problems()
    found = read(text, problems=problems)
    assert found["user"].to_list() == ["ana", "c\nyd", "gil", None]
    assert found["end"].to_list()[2] is None
    assert found["licenses"].to_list() == [1, 1, None, None]
    assert sorted(problems.frame.select("location", "code").rows()) == [
        (3, "unreadable_time"),
        (6, "unreadable_time"),
        (8, "unreadable_row"),
        (9, "unreadable_row"),
        (10, "unreadable_number"),
        (12, "unreadable_row"),
    ]
    charged = tf.Problems()
    tf.charge(found, rule=tf.FLEX, rates=tf.Rates({"ACD": 7}), problems=charged)
    assert charged.frame["code"].to_list() == ["missing_user"]
    with pytest.warns(tf.TokenflexWarning, match="unreadable_row"):
        read(text)


def test_a_bad_duration_is_left_out_and_told() -> None:
    text = "user,product,start,duration (min)\nana,ACD,2026-07-13 09:00,{}\nbo,ACD,2026-07-13 09:00,5\n"
    for bad in ("-5", "five", "1:99:00"):
        problems = tf.Problems()
        assert read(text.format(bad), problems=problems)["user"].to_list() == ["bo"]
        assert problems.frame.select("location", "code").rows() == [(2, "unreadable_duration")]


def test_rows_of_a_frame_are_counted_from_0_and_of_excel_as_the_sheet_does(tmp_path: Path) -> None:
    frame = pl.DataFrame(
        {
            "user": ["ana", None, "bo"],
            "product": ["ACD", None, "ACD"],
            "start": ["2026-07-13 09:00", None, "x"],
            "end": ["2026-07-13 17:30", None, "2026-07-13 17:30"],
        }
    )
    frame.write_excel(tmp_path / "x.xlsx")
    for source, place in ((frame, 2), (tmp_path / "x.xlsx", 4)):
        problems = tf.Problems()
        tf.read_table(source, timezone="Europe/Madrid", problems=problems)
        assert problems.frame.select("location", "code").rows() == [(place, "unreadable_time")]


def test_lines_before_the_header_are_counted() -> None:
    text = "\r\n\r\nsep=~\r\nuser~product~start~end\r\nana~ACD~2026-07-13 09:00~2026-07-13 17:30\r\nbo~ACD~?~\r\n"
    for last in ("", "cyd~ACD\r\n"):
        problems = tf.Problems()
        assert times(read(text + last, problems=problems)) == [(START, END)]
        assert (6, "unreadable_time") in problems.frame.select("location", "code").rows()


def test_numbers_beyond_all_times_are_told_and_never_run_over() -> None:
    frame = pl.DataFrame({"user": ["ana", "bo"], "product": ["ACD", "ACD"], "start": [2**62, 0], "end": [0, 0]})
    problems = tf.Problems()
    assert tf.read_table(frame, date_format="epoch_s", problems=problems)["user"].to_list() == ["bo"]
    assert problems.frame.select("location", "code").rows() == [(0, "unreadable_time")]
    serial = frame.with_columns(start=pl.Series([float("nan"), 25569.0]), end=pl.Series([1e300, 25569.0]))
    assert tf.read_table(serial, date_format="excel", timezone="UTC", problems=problems)["user"].to_list() == ["bo"]
    for lasting in (2**60, float("inf"), "9" * 26, Decimal("1e20")):
        long = pl.DataFrame({"user": ["ana"], "product": ["ACD"], "start": [START], "duration (h)": [lasting]})
        problems = tf.Problems()
        assert tf.read_table(long, problems=problems).height == 0
        assert problems.frame["code"].to_list() == ["unreadable_duration"]


def test_names_are_text_and_other_columns_keep_room() -> None:
    assert tf.read_table(TYPED.with_columns(Login=pl.lit(7)))["user"].to_list() == ["7"]
    with pytest.raises(tf.ColumnTypeError, match="has to be names for 'user'"):
        tf.read_table(TYPED.with_columns(Login=pl.concat_list("Login")))
    with pytest.raises(tf.ColumnTypeError, match="has to be times"):
        tf.read_table(TYPED.with_columns(pl.lit(value=True).alias("Start time")))
    twice = TYPED.with_columns(user=pl.lit("x"), user_original=pl.lit("y"))
    found = tf.read_table(twice, columns={"user": "Login"})
    assert found.select("user", "user_original_", "user_original").row(0) == ("ana", "x", "y")


def test_a_trailing_separator_is_no_problem() -> None:
    text = PLAIN.decode().replace("\n", ",\n")
    assert times(read(text)) == [(START, END)]
    assert times(read(text.replace("end,", "end"))) == [(START, END)]


FIELD = st.sampled_from(
    ["", "ana", "a b", '"x,y"', '"two\nlines"', "2026-07-13 09:00", "2026-07-13T17:30Z", "n/a", "é"]
)


@settings(max_examples=100)
@given(
    st.lists(st.one_of(st.lists(FIELD, max_size=6), st.tuples(st.just("ana"), FIELD, FIELD, FIELD)), max_size=8),
    st.sampled_from([b"", b"\n", b"\r\n", b"\n\n"]),
)
def test_no_line_is_lost(rows: list[list[str] | tuple[str, ...]], last: bytes) -> None:
    text = "\n".join(["user,product,start,end", *(",".join(row) for row in rows)])
    problems = tf.Problems()
    columns = {"user": "user", "product": "product", "start": "start", "end": "end"}
    options: dict[str, Any] = {"timezone": "UTC", "columns": columns, "date_format": "%Y-%m-%d %H:%M"}
    try:
        found = tf.read_table(text.encode() + last, problems=problems, **options)
    except tf.ArgumentError as error:
        assert "reads none of the times" in str(error)  # noqa: PT017 - or there is a table
        return
    is_blank = [not any(field.strip() for field in row) and len(row) < 4 for row in rows]
    assert found.height + problems.frame["location"].n_unique() == len(rows) - sum(is_blank)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "is empty"),
        (b" \n\n", "is empty"),
        (b"just some words\nand more\n", "no comma, semicolon, tab or bar"),
        (b"<html><table></table></html>", "HTML"),
        (b'{"a": 1}', "JSON"),
        (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0", "not text"),
        (b"PAR1 no parquet", "cannot be read"),
        (b"PK\x03\x04 no excel", "cannot be read"),
        (b"\x1f\x8b no gzip", "damaged gzip"),
        (b"user,user,product\n", "the name 'user' twice"),
        (b"user,,product\n", "a column without a name"),
    ],
)
def test_what_is_no_table_is_refused(data: bytes, words: str) -> None:
    with pytest.raises(tf.SourceError, match=words):
        read(data)


def test_a_header_alone_is_an_empty_table() -> None:
    for end in ("", "\n", "\r\n"):
        found = read("user,product,start,end" + end)
        assert found.height == 0
        assert found.schema["start"] == pl.Datetime("us", "UTC")


def test_a_file_that_is_not_there_and_one_that_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(tf.SourceNotFoundError, match="no file or folder"):
        tf.read_table(tmp_path / "none.csv")
    with pytest.raises(tf.SourceNotFoundError, match="holds no tables"):
        tf.read_table(tmp_path)
    with pytest.raises(tf.SourceNotFoundError, match="no file matches"):
        tf.read_table(str(tmp_path / "*.csv"))
    with pytest.raises(tf.SourceNotFoundError, match="give query="):
        tf.read_table("sqlite:///usage.db")
    with pytest.raises(tf.SourceNotFoundError, match="no tables were given"):
        tf.read_table([])
    with pytest.raises(tf.ArgumentTypeError, match="source has to be"):
        tf.read_table(5)
    path = tmp_path / "a.csv"
    path.write_bytes(PLAIN)
    counted = files._Body.of_file

    def written_meanwhile(*arguments: Any) -> object:
        body = counted(*arguments)
        with path.open("ab") as file:
            file.write(b"bo,ACD,")
        return body

    monkeypatch.setattr(files._Body, "of_file", written_meanwhile)
    with pytest.raises(tf.SourceError, match="changed while it was read"):
        tf.read_table(path)


def test_streams_separators_and_encodings(tmp_path: Path) -> None:
    text = "user~product~start~end\nŁukasz~ACD~2026-07-13 09:00~2026-07-13 17:30\n"
    found = read(text.encode("cp1250"), separator="~", encoding="cp1250")
    assert found["user"].to_list() == ["Łukasz"]
    assert read(text.encode("utf-16-le"), separator="~")["user"].to_list() == ["Łukasz"]
    (tmp_path / "a.csv").write_bytes(PLAIN)
    with (tmp_path / "a.csv").open("rb") as file:
        assert times(tf.read_table(file, timezone="Europe/Madrid")) == [(START, END)]
    assert times(tf.read_table(io.BytesIO(PLAIN), timezone="Europe/Madrid")) == [(START, END)]
    with pytest.raises(tf.ArgumentError, match="one character"):
        read(PLAIN, separator=";;")
    with pytest.raises(tf.ArgumentError, match="none that Python knows"):
        read(PLAIN, encoding="latin-99")
    with pytest.raises(tf.SourceError, match="no text in ascii"):
        read("Ä,b\n".encode("cp1252"), encoding="ascii")


def test_the_callers_frame_is_not_changed_and_its_other_columns_keep_their_types() -> None:
    frame = TYPED.with_columns(
        cost=pl.lit(Decimal("1.5")), tags=pl.lit([["a"]]).list.explode().cast(pl.List(pl.String))
    )
    before = frame.clone()
    found = tf.read_table(frame)
    assert frame.equals(before)
    assert found.schema["cost"] == frame.schema["cost"]
    assert found.schema["tags"] == frame.schema["tags"]


def test_a_path_may_be_any_path(tmp_path: Path) -> None:
    path = tmp_path / "a [1].csv"
    path.write_bytes(PLAIN)
    assert times(tf.read_table(os.fspath(path), timezone="Europe/Madrid")) == [(START, END)]


# A file is read in place where it is plain; the result is that of its bytes.


FIELD = st.text(st.sampled_from(list('ab é€"\n\r,;§\t\x00')), max_size=6)


@given(
    rows=st.lists(st.lists(FIELD, min_size=2, max_size=3), max_size=5),
    separator=st.sampled_from([",", ";", "§"]),
    last=st.sampled_from(["", "\n", "\n\n"]),
    block=st.sampled_from([1, 2, 3, 7, 64]),
    data=st.data(),
)
def test_a_file_is_the_table_that_its_bytes_are(
    rows: list[list[str]], separator: str, last: str, block: int, data: st.DataObject
) -> None:
    end = data.draw(st.sampled_from(["\n", "\r\n"]))
    codec = data.draw(st.sampled_from(["utf-8", "utf-8-sig", "cp1252", "utf-16"]))
    if data.draw(st.booleans()):
        rows = [['"' + field.replace('"', '""') + '"' for field in row] for row in rows]
    text = end.join(separator.join(row) for row in [["user", "product"], *rows]) + last
    content = text.encode(codec, errors="replace")
    reading = files.Reading(None if separator != "§" else separator, "cp1252", None)

    def outcome(source: object) -> object:
        try:
            (sheet,) = files.sheets_of(source, reading)
        except tf.TokenflexError as error:
            return type(error), str(error).replace(error.location or "", "")
        told = [] if sheet.problems is None else sheet.problems.drop("source").rows()
        return sheet.frame.rows(), sheet.frame.columns, sheet.place().to_list(), told

    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        path = Path(folder) / "a.csv"
        path.write_bytes(content)
        patch.setattr(files, "AT_ONCE", block)
        assert outcome(path) == outcome(content)
