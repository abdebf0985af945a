"""Report logs of RLM: every format, zones, restarts, sessions by their definition, and hostile input."""

from __future__ import annotations

import gzip
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tokenflex as tf
from tokenflex import tables

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

SECOND = timedelta(seconds=1)


def utc(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=UTC)  # type: ignore[misc, arg-type]


def read(text: str | bytes, **arguments: object) -> tf.RlmLog:
    return tf.read_rlm(text.encode() if isinstance(text, str) else text, **arguments)  # type: ignore[arg-type]


def codes(found: tf.RlmLog) -> list[str]:
    return found.problems["code"].to_list()


def adds_up(found: tf.RlmLog) -> bool:
    files = found.files
    parts = files["event_lines"] + files["other_lines"] + files["problem_lines"] + files["repeated_lines"]
    return (files["lines"] + files["glued"]).to_list() == parts.to_list()


@dataclass(frozen=True)
class Held:
    """A license that somebody has, from `start` until before `end`."""

    user: str
    handle: int
    start: datetime
    end: datetime
    count: int = 1
    why: int = 1


def log(
    held: Sequence[Held], begin: datetime, end: datetime, *, zone: ZoneInfo, style: str, with_zone: bool = True
) -> str:
    """What the server writes, in one of the three formats."""
    kinds = {"std": 0, "small": 1, "detailed": 2}
    west = -int((begin.astimezone(zone).utcoffset() or timedelta()).total_seconds() // 60)
    local = begin.astimezone(zone)
    lines = [
        f"RLM Report Log Format {kinds[style]}, version 12.3, authenticated",
        "ISV: demo, RLM version 12.3 BL2",
        "Logfile format Copyright (C) of the vendor",
        f"START lic1 {local:%m/%d/%Y %H:%M:%S}",
        *([f"TIMEZONE {west} 0 # readable"] if with_zone else []),
        "LICENSE FILE demo.lic",
        'PRODUCT cad 2.0 1 10 0 10 "" "" "" "" "" "" 0 0 0 0 0 0 0 0 0',
    ]
    moments: list[tuple[datetime, int, str, Held | None]] = []
    for each in held:
        moments.append((each.start, 1, "OUT", each))
        if each.end <= end:
            moments.append((each.end, 2, "IN", each))
    tick = begin + timedelta(minutes=30)
    while tick < end:
        moments.append((tick, 0, "tick", None))
        tick += timedelta(minutes=30)
    moments.sort(key=lambda moment: moment[:3])
    lines += [line(kind, time.astimezone(zone), held_then, style) for time, _, kind, held_then in moments]
    return "\n".join(lines) + "\n"


def line(kind: str, at: datetime, held: Held | None, style: str) -> str:
    if held is None:
        return f"{at:%m/%d/%Y %H:%M}"
    when = {"std": f"{at:%m/%d %H:%M:%S}", "detailed": f"{at:%m/%d %H:%M:%S}.0", "small": f"{at:%H:%M}"}[style]
    user = held.user or '""'
    if style == "small":
        if kind == "OUT":
            return f'OUT cad 2.0 {user} pc1 "a b" {held.count} {held.handle:x} 0 {when}'
        return f"IN {held.why} {held.count} {held.handle:x} {when}"
    if kind == "IN":
        return f'IN {held.why} cad 2.0 {user} pc1 "a b" {held.count} 1 0 {held.handle:x} {when}'
    end = ' "x64_w4 10.0" "cad.exe" 0 0 10.0.0.9' if style == "detailed" else ""
    return f'OUT cad 2.0 1 {user} pc1 "a b" {held.count} 1 0 {held.handle:x} 0 4d1 "p 1" "cad" "2.0" {when}{end}'


HEAD = "START lic1 09/04/2025 08:00:04\nTIMEZONE 420 0\n"
OUT = 'OUT cad 2.0 1 ana pc1 "" 2 3 0 1a2 1a2 4d1 "" "cad" "2.0" 09/04 08:15:30\n'
IN = 'IN 1 cad 2.0 ana pc1 "" 2 1 0 1a2 09/04 09:00:00\n'


def test_a_use_by_its_handle() -> None:
    found = read(HEAD + OUT + IN)
    assert codes(found) == []
    assert adds_up(found)
    session = found.sessions.row(0, named=True)
    assert (session["server"], session["user"], session["host"], session["product"]) == ("lic1", "ana", "pc1", "cad")
    assert (session["start"], session["end"]) == (utc(2025, 9, 4, 15, 15, 30), utc(2025, 9, 4, 16))
    assert (session["licenses"], session["handle"], session["why"]) == (2, 0x1A2, 1)
    assert (session["end_reason"], session["is_open"], session["version"]) == ("checkin", False, "2.0")
    assert found.events["kind"].to_list() == ["START", "OUT", "IN"]
    assert "1 sessions" in repr(found)


def test_tables_have_their_schemas() -> None:
    found = read(HEAD + OUT + IN)
    assert dict(found.events.schema) == dict(tables.EVENTS)
    assert dict(found.sessions.schema) == dict(tables.RLM_SESSIONS)
    assert dict(found.denials.schema) == dict(tables.RLM_DENIALS)
    assert list(tables.RLM_SESSIONS)[: len(tables.SESSIONS)] == list(tables.SESSIONS)


def test_minutes_of_the_timezone_line_are_west_of_utc() -> None:
    west = read(HEAD + OUT).sessions["start"].to_list()
    east = read(HEAD.replace("420", "-420") + OUT).sessions["start"].to_list()
    assert west == [utc(2025, 9, 4, 15, 15, 30)]
    assert east == [utc(2025, 9, 4, 1, 15, 30)]


def test_the_callers_zone_goes_before_the_logs_offset() -> None:
    found = read(HEAD + OUT, timezone="Europe/Madrid")
    assert found.sessions["start"].to_list() == [utc(2025, 9, 4, 6, 15, 30)]
    by_server = read(HEAD + OUT, timezone={"lic1": "Europe/Madrid"})
    assert by_server.sessions.equals(found.sessions)
    with pytest.raises(tf.ZoneError, match="lic1"):
        read(HEAD + OUT, timezone={"lic2": "Europe/Madrid"})


def test_a_log_without_an_offset_needs_a_zone() -> None:
    with pytest.raises(tf.ZoneError, match="timezone="):
        read(HEAD.replace("TIMEZONE 420 0\n", "") + OUT)


def test_summer_time_that_the_log_does_not_date_is_told() -> None:
    assert codes(read(HEAD.replace("420 0", "420 1 # MST7MDT") + OUT)) == ["summer_time_unknown"]
    assert codes(read(HEAD.replace("420 0", "420 1") + OUT, timezone="America/Denver")) == []


@pytest.mark.parametrize(
    ("why", "end_reason", "reason"),
    [(1, "checkin", None), (2, "checkin", None), (3, "other", "REMOVED"), (4, "inactive", "INACTIVE"),
     (11, "other", "NO HEARTBEAT"), (77, "other", "why 77")],
)  # fmt: skip
def test_reasons_of_check_ins(why: int, end_reason: str, reason: str | None) -> None:
    found = read(HEAD + OUT + IN.replace("IN 1", f"IN {why}"))
    assert found.sessions.select("end_reason", "why").rows() == [(end_reason, why)]
    assert found.events["reason"].to_list()[-1] == reason


def test_a_shutdown_ends_what_is_open() -> None:
    found = read(HEAD + OUT + "SHUTDOWN root lic1 09/04 10:00:00\nSTART lic1 09/05/2025 08:00:00\n")
    assert found.sessions.select("end", "end_reason").rows() == [(utc(2025, 9, 4, 17), "stop")]


def test_a_start_without_a_shutdown_ends_use_at_the_last_line_before_it() -> None:
    deny = 'DENY cad 2.0 bo pc2 "" 1 -22 1 09/04 09:30\n'
    found = read(HEAD + OUT + deny + "START lic1 09/05/2025 08:00:00\nTIMEZONE 420 0\n")
    assert found.sessions.select("end", "end_reason").rows() == [(utc(2025, 9, 4, 16, 30), "restart")]


def test_a_log_that_ended_in_good_order_goes_on_in_the_next() -> None:
    inuse = 'INUSE cad 2.0 1 ana pc1 "" 2 1a2 4d1 09/05 00:00:00\n'
    first = HEAD + OUT + "END 09/05/2025 00:00\n"
    second = "START lic1 09/05/2025 00:00:01\nTIMEZONE 420 0\n" + inuse + IN.replace("09/04", "09/05")
    for parts in ([first, second], [second, first]):
        found = tf.read_rlm([part.encode() for part in parts])
        assert codes(found) == []
        assert found.sessions.select("start", "end", "end_reason").rows() == [
            (utc(2025, 9, 4, 15, 15, 30), utc(2025, 9, 5, 16), "checkin")
        ]
    # Alone the second begins with what it names.
    found = read(second)
    assert found.sessions["start"].to_list() == [utc(2025, 9, 5, 7)]


def test_what_is_out_at_the_end_is_open() -> None:
    found = read(HEAD + OUT + 'DENY cad 2.0 bo pc2 "" 1 -22 1 09/04 09:30\n')
    assert found.sessions.select("end", "end_reason", "is_open").rows() == [(utc(2025, 9, 4, 16, 30), "open", True)]


def test_denials_say_whether_the_program_went_on_asking() -> None:
    text = 'DENY cad 2.0 bo pc2 "" 1 -22 {} 09/04 09:3{}\n'
    found = read(HEAD + text.format(0, 0) + text.format(1, 1))
    assert found.denials.select("user", "why", "is_last_attempt", "reason").rows() == [
        ("bo", -22, False, "why -22"),
        ("bo", -22, True, "why -22"),
    ]


def test_a_handle_that_does_not_pair_is_a_problem() -> None:
    found = read(HEAD + IN + OUT + OUT.replace("08:15", "08:20"))
    assert found.problems.select("location", "code").rows() == [
        (3, "checkin_without_checkout"),
        (5, "handle_out_twice"),
    ]
    assert found.sessions["end_reason"].to_list() == ["other", "open"]


def test_a_copy_taken_while_the_log_grew_counts_once() -> None:
    whole = HEAD + OUT + IN
    found = tf.read_rlm([whole.encode(), (HEAD + OUT).encode()])
    assert codes(found) == []
    assert found.sessions.equals(read(whole).sessions)
    assert found.files["repeated_lines"].to_list() == [0, 1]
    assert adds_up(found)


def test_years_come_from_the_nearest_full_date() -> None:
    text = (
        "START lic1 12/31/2025 23:00:00\nTIMEZONE 0 0\n"
        'OUT cad 2.0 1 ana pc1 "" 1 1 0 1 1 4d1 "" "cad" "2.0" 12/31 23:50:00\n'
        'IN 1 cad 2.0 ana pc1 "" 1 0 0 1 01/01 00:10:00\n'
    )
    assert read(text).sessions.select("start", "end").rows() == [(utc(2025, 12, 31, 23, 50), utc(2026, 1, 1, 0, 10))]


def test_records_before_the_first_date_wait_for_it() -> None:
    found = read(OUT + "09/04/2025 08:30\n" + IN, timezone="UTC", server="lic9")
    assert codes(found) == []
    assert found.sessions.select("server", "start").rows() == [("lic9", utc(2025, 9, 4, 8, 15, 30))]


def test_records_without_any_date_are_left_out_and_told() -> None:
    found = read(OUT + IN, timezone="UTC")
    assert codes(found) == ["undated"]
    assert found.files.select("event_lines", "problem_lines").rows() == [(0, 2)]


def test_the_small_format_turns_midnight_on_its_own() -> None:
    text = 'START lic1 09/04/2025 23:00\nTIMEZONE 0 0\nOUT cad 2.0 ana pc1 "" 1 1a2 0 23:50\nIN 1 1 1a2 00:10\n'
    found = read(text)
    assert found.sessions.select("user", "start", "end").rows() == [
        ("ana", utc(2025, 9, 4, 23, 50), utc(2025, 9, 5, 0, 10))
    ]
    assert found.events["user"].to_list() == [None, "ana", "ana"]


def test_a_skipped_and_a_doubled_local_time_are_told() -> None:
    text = "START lic1 03/29/2026 01:00:00\n" + OUT.replace("09/04 08:15:30", "03/29 02:30:00")
    found = read(text, timezone="Europe/Madrid")
    assert codes(found) == ["time_in_gap"]
    assert found.sessions["start"].to_list() == [utc(2026, 3, 29, 1, 30)]
    text = "START lic1 10/25/2026 01:00:00\n" + OUT.replace("09/04 08:15:30", "10/25 02:30:00")
    found = read(text + IN.replace("09/04 09:00:00", "10/25 02:10:00"), timezone="Europe/Madrid")
    assert codes(found) == ["time_in_fold"] * 2
    assert found.sessions.select("start", "end").rows() == [(utc(2026, 10, 25, 0, 30), utc(2026, 10, 25, 1, 10))]


def test_records_that_say_nothing_of_use_are_counted() -> None:
    others = [
        "RLM Report Log Format 0, version 12.3",
        "REPROCESSED with rlmanon v12.3",
        "ISV: demo, RLM version 12.3 BL2",
        "For documentation see the manual",
        *HEAD.splitlines(),
        "LICENSE FILE demo.lic",
        "AUTH section=1 a b",
        "TIMEJUMP +20 09/04 09:00:00",
        "METER_DEC 1 1 5 09/04 09:00:00",
        "LOG 09/04 09:00:00 started",
        "NEWKIND x",
        "",
        "REREAD root lic1 09/04 09:00:00",
    ]
    found = read("\n".join(others))
    assert codes(found) == []
    assert found.files["event_lines"].to_list() == [1]
    assert found.events["kind"].to_list() == ["START", "REREAD"]
    assert adds_up(found)


def test_events_can_be_paired_as_unions_and_sessions_charged() -> None:
    more = OUT.replace("1a2 1a2", "1a3 1a3").replace("08:15:30", "08:30:00")
    found = read(HEAD + OUT + more + IN + IN.replace("1a2", "1a3").replace("09:00", "09:30"))
    assert found.sessions.height == 2
    union = tf.pair(found.events)
    assert union.select("start", "end", "checkouts").rows() == [
        (utc(2025, 9, 4, 15, 15, 30), utc(2025, 9, 4, 16, 30), 2)
    ]
    charges = tf.charge(found.sessions, rule=tf.FLEX, rates=tf.Rates({"cad": "2.5"}))
    assert charges["tokens"].to_list() == [Decimal("2.5")]


@pytest.mark.parametrize(
    "encode",
    [
        lambda text: text.encode("utf-8-sig"),
        lambda text: text.encode("utf-16"),
        lambda text: text.encode("cp1252"),
        lambda text: text.replace("\n", "\r\n").encode(),
        lambda text: text.rstrip("\n").encode(),
        lambda text: gzip.compress(text.encode()),
    ],
    ids=["bom", "utf16", "cp1252", "crlf", "no_last_newline", "gzip"],
)
def test_encodings(encode: object) -> None:
    found = read(encode((HEAD + OUT + IN).replace(" ana ", " josé ")))  # type: ignore[operator]
    assert codes(found) == []
    assert found.sessions.select("user", "end_reason").rows() == [("josé", "checkin")]


def test_a_folder_of_logs(tmp_path: Path) -> None:
    (tmp_path / "report-1.rl").write_text(HEAD + OUT)
    (tmp_path / "other.dat").write_text("x")
    found = tf.read_rlm(tmp_path)
    assert found.files.height == 1
    assert found.sessions["file"].to_list() == [str(tmp_path / "report-1.rl")]


# Hostile input.


@pytest.mark.parametrize(
    ("data", "looks"),
    [
        (b"", "is empty"),
        (b"user,product,start\nana,ACD,2026-07-13\n", "CSV"),
        (b"PK\x03\x04\x14\x00", "Excel"),
        (b"\x00\x01\x02\xff\xfe" * 50, "no text"),
        (b'12:00:00 (lmgrd) TIMESTAMP 7/13/2026\n12:00:05 (adskflex) OUT: "f" ana@pc1\n', "read_flexlm"),
        (b"Flexible License Manager status on Mon 7/13/2026 9:00\n", "read_lmstat"),
    ],
)
def test_another_kind_of_file_is_an_error_that_says_what_it_looks_like(data: bytes, looks: str) -> None:
    with pytest.raises(tf.SourceError, match=looks):
        read(data)


@pytest.mark.parametrize(
    ("bad", "code"),
    [
        ("OUT cad 2.0", "unreadable_line"),
        (OUT.strip().replace("1a2", "xyz"), "unreadable_line"),
        (OUT.strip().replace('"" 2', '"" 99999999999'), "unreadable_line"),
        (OUT.strip().replace("09/04", "02/30"), "unreadable_line"),
        (OUT.strip().replace('"2.0"', '"2.0'), "unreadable_line"),
        (IN.strip()[:-9], "unreadable_line"),
        ("09/31/2025 10:00", "unreadable_line"),
        ("TIMEZONE 99999 0", "unreadable_line"),
        ("what is this", "unknown_line"),
    ],
)
def test_a_bad_line_is_a_problem_at_its_place(bad: str, code: str) -> None:
    found = read(HEAD + bad + "\n" + OUT.replace("1a2", "1a9") + IN.replace("1a2", "1a9"))
    assert found.problems.select("source", "location", "code").rows() == [("<bytes>", 3, code)]
    assert found.sessions.height == 1
    assert adds_up(found)


@given(st.binary(max_size=400))
def test_random_bytes_raise_nothing_but_our_errors(data: bytes) -> None:
    assert adds_up(read(HEAD.encode() + data))


@given(st.data())
def test_damaged_logs_add_up(data: st.DataObject) -> None:
    text = (
        HEAD + OUT + IN + 'DENY cad 2.0 bo pc2 "" 1 -22 0 09/04 09:30\n09/04/2025 10:00\nSHUTDOWN a b 09/04 10:00:00\n'
    )
    damaged = bytearray(text.encode())
    for _ in range(data.draw(st.integers(1, 12))):
        at = data.draw(st.integers(0, len(damaged) - 1))
        if data.draw(st.booleans()):
            damaged[at] = data.draw(st.integers(0, 255))
        else:
            damaged[at : at + data.draw(st.integers(0, 20))] = b"9" * data.draw(st.integers(0, 30))
    # The first line is whole, so that the file is known for what it is.
    assert adds_up(read(b"RLM Report Log Format 0, version 12.3\n" + bytes(damaged), timezone="UTC"))


# Sessions by their definition.


@settings(max_examples=80)
@given(
    uses=st.lists(
        st.tuples(st.sampled_from(["ana", "bo", ""]), st.integers(0, 3000), st.integers(1, 1500), st.integers(1, 3)),
        max_size=8,
    ),
    style=st.sampled_from(["std", "small", "detailed"]),
    zone=st.sampled_from(["Asia/Kathmandu", "America/Phoenix", "Asia/Tokyo"]),
    day=st.sampled_from([(2025, 12, 30), (2024, 2, 28), (2026, 7, 13)]),
    with_zone=st.booleans(),
)
def test_sessions_equal_their_definition(
    *, uses: list[tuple[str, int, int, int]], style: str, zone: str, day: tuple[int, int, int], with_zone: bool
) -> None:
    begin = utc(*day, 6)
    end = begin + timedelta(minutes=4000)
    unit = timedelta(minutes=1) if style == "small" else timedelta(minutes=1, seconds=1)
    held = [
        Held(user, 16 + number, begin + start * unit, begin + (start + length) * unit, count)
        for number, (user, start, length, count) in enumerate(uses)
    ]
    text = log(held, begin, end, zone=ZoneInfo(zone), style=style, with_zone=with_zone)
    found = read(text, timezone=None if with_zone else zone)
    assert codes(found) == []
    assert adds_up(found)
    rows = found.sessions.select("user", "handle", "start", "licenses", "is_open").rows()
    expected = [(each.user or None, each.handle, each.start, each.count, each.end > end) for each in held]
    assert sorted(rows, key=lambda row: row[1]) == expected
    closed = found.sessions.filter(~pl.col("is_open")).sort("handle")
    assert closed["end"].to_list() == [each.end for each in held if each.end <= end]
