"""Outputs of lmstat: every form of every line, series into sessions by their definition, and hostile input."""

from __future__ import annotations

import gzip
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
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

MADRID = ZoneInfo("Europe/Madrid")
MINUTE = timedelta(minutes=1)
DOCS = Path(__file__).parents[1] / "docs"


@dataclass(frozen=True)
class Held:
    """A license that somebody has, from `start` until before `end`."""

    user: str
    host: str
    handle: int
    start: datetime
    end: datetime
    feature: str = "87545ACD_2022_0F"
    licenses: int = 1

    def line(self, zone: ZoneInfo) -> str:
        start = self.start.astimezone(zone)
        many = f", {self.licenses} licenses" if self.licenses > 1 else ""
        return (
            f"    {self.user} {self.host} {self.host} (v1.0) (lic01/27000 {self.handle}), "
            f"start {start:%a} {start.month}/{start.day} {start.hour}:{start:%M}{many}"
        )


def output(at: datetime, held: Sequence[Held], *, zone: ZoneInfo = MADRID, server: str = "lic01") -> str:
    """What `lmstat -a` prints at an instant."""
    local = at.astimezone(zone)
    lines = [
        "lmutil - Copyright (c) 1989-2022 Flexera. All Rights Reserved.",
        f"Flexible License Manager status on {local:%a} {local.month}/{local.day}/{local.year} {local:%H:%M}",
        "",
        f"License server status: 27000@{server}",
        f"    License file(s) on {server}: /opt/flexnet/adskflex.lic:",
        "",
        f"{server}: license server UP (MASTER) v11.18.0",
        "",
        f"Vendor daemon status (on {server}):",
        "",
        "  adskflex: UP v11.18.0",
        "Feature usage info:",
        "",
    ]
    for feature in sorted({each.feature for each in held}):
        out = [each for each in held if each.feature == feature and each.start <= at < each.end]
        count = sum(each.licenses for each in out)
        counted = f"{count} license" if count == 1 else f"{count} licenses"
        lines += [
            f"Users of {feature}:  (Total of 500 licenses issued;  Total of {counted} in use)",
            "",
        ]
        if out:
            lines += [f'  "{feature}" v1.000, vendor: adskflex, expiry: 1-jan-2027', "  floating license", ""]
            lines += [*(each.line(zone) for each in out), ""]
    return "\n".join(lines) + "\n"


def utc(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=UTC)  # type: ignore[misc, arg-type]


def read(text: str | bytes, **arguments: object) -> tf.LmstatSnapshots:
    data = text.encode() if isinstance(text, str) else text
    return tf.read_lmstat(data, **({"timezone": "Europe/Madrid"} | arguments))  # type: ignore[arg-type]


def codes(found: tf.LmstatSnapshots) -> list[str]:
    return found.problems["code"].to_list()


def adds_up(found: tf.LmstatSnapshots) -> bool:
    files = found.files
    parts = files["event_lines"] + files["other_lines"] + files["problem_lines"] + files["repeated_lines"]
    return (files["lines"] + files["glued"]).to_list() == parts.to_list()


ONE = """lmutil - Copyright (c) 1989-2022 Flexera. All Rights Reserved.
Flexible License Manager status on Fri 10/20/2017 17:02

[Detecting lmgrd processes...]
License server status: 27000@WSERVICES
    License file(s) on WSERVICES: C:\\Autodesk\\License.lic:

WSERVICES: license server UP (MASTER) v11.14.1

Vendor daemon status (on WSERVICES):

  adskflex: UP v11.14.1
Feature usage info:

Users of 87224ACD_2020_0F:  (Total of 30 licenses issued;  Total of 26 licenses in use)

  "87224ACD_2020_0F" v1.000, vendor: adskflex, expiry: permanent(no expiration date)
  vendor_string: commercial:permanent
  floating license

    pav2 PAV2LT PAV2LT (v1.0) (WSERVICES/27000 1403), start Fri 10/20 8:50
    Ana Maria Ruiz PC 7 PC7 (v1.0) (WSERVICES/27000 1404), start Thu 10/19 18:05, 16 licenses
    bo PC3 /dev/tty (v1.000) (WSERVICES/27000 1405), start Fri 10/20 9:00 (linger: 239100)
    cyd PC4 PC4 (v1.0) (WSERVICES/27000 1406), start Fri 10/20 9:01, PID: 18304
    dee PC5 PC5 (v1.0) (WSERVICES/27000 1407) queued for 1 license
      8 RESERVATIONs for GROUP design (WSERVICES/27000)

Users of tinder:  (Uncounted, node-locked)

Users of burn:  (Error: 2 licenses, unsupported by licensed server)

Users of old:  (Total of 5 licenses available)

"""


def test_every_form_of_a_line() -> None:
    found = read(ONE)
    assert codes(found) == []
    assert adds_up(found)
    assert found.snapshots.select("server", "time", "status", "version", "daemons", "features", "checkouts").rows() == [
        ("WSERVICES", utc(2017, 10, 20, 15, 2), "UP", "11.14.1", ["adskflex: UP v11.14.1"], 4, 5)
    ]
    features = found.features.select("feature", "issued", "in_use", "is_uncounted", "is_complete", "vendor", "message")
    assert features.rows() == [
        ("87224ACD_2020_0F", 30, 26, False, True, "adskflex", None),
        ("tinder", None, None, True, True, None, None),
        ("burn", 2, None, False, False, None, "2 licenses, unsupported by licensed server"),
        ("old", 5, None, False, True, None, None),
    ]
    rows = found.checkouts.select("user", "host", "display", "handle", "licenses", "linger", "pid", "is_queued").rows()
    assert rows == [
        ("pav2", "PAV2LT", "PAV2LT", 1403, 1, None, None, False),
        ("Ana Maria Ruiz PC", "7", "PC7", 1404, 16, None, None, False),
        ("bo", "PC3", "/dev/tty", 1405, 1, 239100, None, False),
        ("cyd", "PC4", "PC4", 1406, 1, None, 18304, False),
        ("dee", "PC5", "PC5", 1407, 1, None, None, True),
    ]
    assert found.checkouts["start"].to_list()[:2] == [utc(2017, 10, 20, 6, 50), utc(2017, 10, 19, 16, 5)]
    assert found.checkouts["line"].to_list() == [
        number for number, line in enumerate(ONE.splitlines(), 1) if ", start " in line or "queued" in line
    ]
    reserved = found.reservations.select("feature", "licenses", "kind", "name", "server_host", "port").rows()
    assert reserved == [("87224ACD_2020_0F", 8, "GROUP", "design", "WSERVICES", 27000)]
    # Those who wait have no session.
    assert sorted(found.sessions["user"].cast(pl.String)) == ["Ana Maria Ruiz PC", "bo", "cyd", "pav2"]


def test_tables_have_their_schemas() -> None:
    found = read(ONE)
    for name in ("snapshots", "features", "checkouts", "reservations", "sessions", "coverage"):
        assert dict(getattr(found, name).schema) == dict(tables.TABLES[f"lmstat_{name}"]), name
    assert dict(found.problems.schema) == dict(tables.PROBLEMS)
    assert "1 snapshots of 1 servers" in repr(found)


ANA = Held("ana", "PC1", 1403, utc(2026, 7, 13, 6, 50), utc(2026, 7, 13, 7, 20))


def series(*minutes: int, held: Sequence[Held] = (ANA,)) -> str:
    return "".join(output(utc(2026, 7, 13, 7) + minute * MINUTE, held) for minute in minutes)


def test_the_end_lies_between_the_last_with_it_and_the_first_without() -> None:
    session = read(series(0, 10, 30, 45)).sessions.row(0, named=True)
    assert session["start"] == ANA.start
    assert (session["end"], session["end_latest"]) == (utc(2026, 7, 13, 7, 10), utc(2026, 7, 13, 7, 30))
    assert (session["seen"], session["is_open"], session["start_error"]) == (2, False, MINUTE)


def test_what_the_last_snapshot_shows_is_open() -> None:
    session = read(series(0, 10)).sessions.row(0, named=True)
    assert (session["end"], session["end_latest"], session["is_open"]) == (utc(2026, 7, 13, 7, 10), None, True)


def test_a_handle_with_another_start_is_another_use() -> None:
    again = Held("ana", "PC1", 1403, utc(2026, 7, 13, 7, 25), utc(2026, 7, 13, 8))
    found = read(series(0, 10, 30, held=[ANA, again]))
    assert found.sessions["start"].to_list() == [ANA.start, again.start]


def test_a_snapshot_without_an_answer_ends_nothing() -> None:
    down = (
        "Flexible License Manager status on Mon 7/13/2026 9:05\n\nLicense server status: 27000@lic01\n"
        "lmgrd is not running: Server node is down or not responding (-96,7)\n"
    )
    refused = (
        "Flexible License Manager status on Mon 7/13/2026 9:06\n"
        'Error getting status: Cannot connect to license server (-15,570:111 "Connection refused")\n'
        "License path:  27000@lic01:\nFlexNet Licensing error:-15,570.  System Error: 111 \n"
    )
    daemon = output(utc(2026, 7, 13, 7, 7), []).replace(
        "adskflex: UP v11.18.0", "adskflex: The desired vendor daemon is down. (-97,121)"
    )
    found = read(series(0) + down + refused + daemon + series(10))
    assert found.coverage["server"].to_list() == ["lic01"]
    assert codes(found) == []
    assert found.snapshots["status"].to_list() == ["UP", "DOWN", "ERROR", "DOWN", "UP"]
    session = found.sessions.row(0, named=True)
    assert (session["seen"], session["end"], session["is_open"]) == (2, utc(2026, 7, 13, 7, 10), True)
    coverage = found.coverage.row(0, named=True)
    assert (coverage["snapshots"], coverage["failed"], coverage["max_gap"]) == (5, 3, 10 * MINUTE)


@pytest.mark.parametrize(
    "state",
    [
        "license server DOWN",
        "lmgrd is not running: License server machine is down or not responding. (-96,491)",
        "Cannot connect to license server system. (-15,570)",
    ],
)
def test_a_server_that_does_not_answer_is_down(state: str) -> None:
    text = output(utc(2026, 7, 13, 7), []).replace("license server UP (MASTER) v11.18.0", state)
    text = text[: text.index("Vendor daemon")]
    found = read(text)
    assert codes(found) == []
    assert found.snapshots.select("status", "message").rows() == [("DOWN", f"lic01: {state}")]


def test_a_use_without_a_readable_start_begins_with_the_snapshot_that_shows_it_first() -> None:
    later = Held("ana", "PC1", 1403, utc(2026, 7, 13, 7, 5), utc(2026, 7, 13, 7, 20))
    text = series(0, 10, 15, 30, 40, held=[later]).replace("start Mon 7/13 9:05", "start sometime")
    found = read(text)
    assert codes(found) == ["unreadable_end"] * 2
    session = found.sessions.row(0, named=True)
    assert (session["start"], session["start_error"]) == (utc(2026, 7, 13, 7, 10), 10 * MINUTE)
    assert (session["end"], session["end_latest"]) == (utc(2026, 7, 13, 7, 15), utc(2026, 7, 13, 7, 30))
    # Seen first in the first snapshot, it may have begun at any time before.
    assert read(text[text.index("lmutil", 5) :]).sessions["start_error"].to_list() == [None]


def test_licenses_are_the_most_at_once() -> None:
    first = series(0, held=[Held("ana", "PC1", 1403, ANA.start, ANA.end, licenses=3)])
    second = series(10, held=[Held("ana", "PC1", 1403, ANA.start, ANA.end, licenses=5)])
    found = read(first + second)
    assert found.checkouts["licenses"].to_list() == [3, 5]
    assert found.sessions.select("licenses", "seen").rows() == [(5, 2)]


def test_a_copy_of_an_output_changes_no_session() -> None:
    held = [Held("ana", "PC1", 1403, ANA.start, ANA.end, licenses=3)]
    once = read(series(0, 10, 30, held=held))
    twice = tf.read_lmstat(
        [series(0, 10, 30, held=held).encode(), series(10, held=held).encode()], timezone="Europe/Madrid"
    )
    assert twice.sessions.equals(once.sessions)
    assert twice.coverage.drop("snapshots").equals(once.coverage.drop("snapshots"))


def test_missing_lines_of_users_end_nothing() -> None:
    cut = series(5)
    cut = cut[: cut.index("    ana")]
    found = read(series(0) + cut + series(10))
    assert codes(found) == ["users_missing"]
    session = found.sessions.row(0, named=True)
    assert (session["seen"], session["end_latest"], session["is_open"]) == (2, None, True)


def test_a_use_between_two_snapshots_is_never_seen_and_the_gap_says_so() -> None:
    short = Held("bo", "PC2", 7, utc(2026, 7, 13, 7, 11), utc(2026, 7, 13, 7, 19))
    found = read(series(0, 10, 20, held=[ANA, short]))
    assert found.sessions["user"].to_list() == ["ana"]
    assert found.coverage["max_gap"].to_list() == [10 * MINUTE]


def test_a_package_line_beside_its_component_is_set_aside_from_the_sessions() -> None:
    package = Held("ana", "PC1", 1404, ANA.start, ANA.end, feature="64300ACD_F")
    alone = Held("bo", "PC2", 1405, ANA.start, ANA.end, feature="64300ACD_F")
    found = read(series(0, 10, held=[ANA, package, alone]))
    assert found.checkouts.height == 6
    rows = found.sessions.select("user", "feature", "product").rows()
    assert sorted(rows) == [("ana", "87545ACD_2022_0F", "ACD"), ("bo", "64300ACD_F", "ACD")]


def test_a_start_in_december_in_a_snapshot_of_january_is_of_last_year() -> None:
    held = Held("ana", "PC1", 1, utc(2025, 12, 31, 7), utc(2026, 1, 9))
    found = read(output(utc(2026, 1, 2, 8), [held]))
    assert codes(found) == []
    assert found.sessions["start"].to_list() == [held.start]


def test_a_weekday_that_fits_no_year_is_a_problem() -> None:
    found = read(series(0).replace("start Mon 7/13", "start Tue 7/13"))
    assert codes(found) == ["weekday_mismatch"]
    assert found.sessions["start"].to_list() == [ANA.start]


def test_skipped_and_doubled_local_times() -> None:
    gap = (
        "Flexible License Manager status on Sun 3/29/2026 2:30\n"
        "Users of f:  (Total of 1 license issued;  Total of 0 licenses in use)\n"
    )
    found = read(gap)
    assert codes(found) == ["time_in_gap"]
    assert found.snapshots["time"].to_list() == [utc(2026, 3, 29, 1, 30)]
    # Every half an hour through the end of summer time: the order tells the two hours apart.
    times = [utc(2026, 10, 25, 0) + 30 * MINUTE * number for number in range(5)]
    found = read("".join(output(time, []) for time in times))
    assert found.snapshots["time"].to_list() == times
    assert codes(found) == ["time_in_fold"] * 4


def test_several_servers_in_one_output() -> None:
    text = output(utc(2026, 7, 13, 7), [ANA])
    other = text[text.index("License server status") :].replace("lic01", "lic02")
    found = read(text + "\n" + "-" * 76 + "\n" + other)
    assert codes(found) == []
    assert found.snapshots.select("server", "time").rows() == [
        (name, utc(2026, 7, 13, 7)) for name in ("lic01", "lic02")
    ]
    assert sorted(found.sessions["server"].cast(pl.String)) == ["lic01", "lic02"]
    zones = {"lic01": "Europe/Madrid", "lic02": "Asia/Tokyo"}
    found = read(text + other, timezone=zones)
    assert found.snapshots["time"].to_list() == [utc(2026, 7, 13, 7), utc(2026, 7, 13, 0)]
    with pytest.raises(tf.ZoneError, match="lic02"):
        read(text + other, timezone={"lic01": "Europe/Madrid"})


def test_redundant_servers_are_one() -> None:
    text = output(utc(2026, 7, 13, 7), [ANA]).replace("27000@lic01", "27000@lic01,27000@lic02,27000@lic03")
    text = text.replace(
        "lic01: license server UP (MASTER) v11.18.0",
        "lic01: license server UP (MASTER) v11.18.0\nlic02: license server DOWN\nlic03: license server UP v11.18.0",
    )
    found = read(text)
    assert codes(found) == []
    assert found.snapshots.select("server", "status").rows() == [("lic01", "UP")]


def test_sessions_can_be_charged_as_they_are() -> None:
    held = [ANA, Held("ana", "PC9", 9, utc(2026, 7, 13, 7, 5), utc(2026, 7, 13, 9))]
    found = read(series(0, 10, 30, held=held))
    charges = tf.charge(
        found.sessions, rule=tf.TOKEN_FLEX, rates=tf.Rates({"ACD": 7}), servers={"lic01": "Europe/Madrid"}
    )
    assert charges["tokens"].to_list() == [Decimal(7)]


# Files.


@pytest.mark.parametrize(
    "encode",
    [
        lambda text: text.encode("utf-8-sig"),
        lambda text: text.encode("utf-16"),
        lambda text: text.encode("utf-16-be"),
        lambda text: text.encode("cp1252"),
        lambda text: text.replace("\n", "\r\n").encode(),
        lambda text: text.rstrip("\n").encode(),
        lambda text: gzip.compress(text.encode()),
    ],
    ids=["bom", "utf16", "utf16be", "cp1252", "crlf", "no_last_newline", "gzip"],
)
def test_encodings(encode: object) -> None:
    held = Held("José Núñez", "PC1", 1, ANA.start, ANA.end)
    found = read(encode(series(0, 10, held=[held])))  # type: ignore[operator]
    assert codes(found) == []
    assert adds_up(found)
    assert found.sessions.select("user", "seen").rows() == [("José Núñez", 2)]


def test_files_in_any_order_a_folder_and_glued_outputs(tmp_path: Path) -> None:
    for number, minute in enumerate((30, 0, 10)):
        (tmp_path / f"lmstat-{number}.out").write_text(series(minute))
    (tmp_path / "unrelated.csv").write_text("a,b\n")
    folder = tf.read_lmstat(tmp_path, timezone="Europe/Madrid")
    pattern = tf.read_lmstat(str(tmp_path / "*.out"), timezone="Europe/Madrid")
    assert folder.files.height == 3
    columns = ["user", "start", "end", "end_latest", "seen"]
    glued = series(0).rstrip("\n") + series(10).rstrip("\n") + series(30)
    whole = read(glued)
    assert whole.files["glued"].to_list() == [2]
    for found in (folder, pattern, whole):
        assert found.sessions.select(columns).rows() == [
            ("ana", ANA.start, utc(2026, 7, 13, 7, 10), utc(2026, 7, 13, 7, 30), 2)
        ]


def test_outputs_glued_without_a_line_end_are_parted() -> None:
    text = series(0).rstrip("\n")
    found = read(text + series(10))
    assert found.files["glued"].to_list() == [1]
    assert adds_up(found)
    assert found.sessions["seen"].to_list() == [2]


def test_progress_is_told() -> None:
    told: list[int] = []
    read(series(0), progress=lambda done, _: told.append(done))
    assert told[-1] == len(series(0).encode())


# Hostile input.


@pytest.mark.parametrize(
    ("data", "looks"),
    [
        (b"", "is empty"),
        (b"\n \n", "is empty"),
        (b"user,product,start\nana,ACD,2026-07-13\n", "CSV"),
        (b"PK\x03\x04\x14\x00", "Excel"),
        (b'{"a": 1}', "JSON"),
        (b"\x00\x01\x02\xff\xfe" * 50, "no text"),
        (b'12:00:00 (lmgrd) TIMESTAMP 7/13/2026\n12:00:05 (adskflex) OUT: "f" ana@pc1\n', "read_flexlm"),
        (b"RLM Report Log Format 0, version 12.3\n", "read_rlm"),
    ],
)
def test_another_kind_of_file_is_an_error_that_says_what_it_looks_like(data: bytes, looks: str) -> None:
    with pytest.raises(tf.SourceError, match=looks):
        read(data)


def test_a_stranger_among_several_files_is_a_problem() -> None:
    found = tf.read_lmstat([series(0).encode(), b"a,b,c\n1,2,3\n"], timezone="Europe/Madrid")
    assert codes(found) == ["wrong_kind"]
    assert found.files["problem_lines"].to_list() == [0, 2]
    assert adds_up(found)


def test_a_zone_is_needed() -> None:
    with pytest.raises(tf.ZoneError, match="timezone="):
        tf.read_lmstat(series(0).encode())
    with pytest.raises(tf.ZoneError, match="Atlantis"):
        read(series(0), timezone="Europe/Atlantis")
    with pytest.raises(tf.ArgumentTypeError, match="timezone"):
        read(series(0), timezone=3)


def test_a_missing_file_and_an_empty_folder_are_errors(tmp_path: Path) -> None:
    with pytest.raises(tf.SourceNotFoundError):
        tf.read_lmstat(tmp_path / "none.txt", timezone="UTC")
    with pytest.raises(tf.SourceNotFoundError, match="lmstat"):
        tf.read_lmstat(tmp_path, timezone="UTC")


def test_an_archive_that_breaks_off_gives_what_is_whole() -> None:
    packed = gzip.compress(series(*range(60)).encode())
    found = read(packed[:-30])
    assert "unreadable_archive" in codes(found)
    assert found.snapshots.height > 0


@pytest.mark.parametrize(
    ("old", "new", "code"),
    [
        ("7/13/2026 09:00", "13/45/2026 09:00", "unreadable_header"),
        ("Mon 7/13/2026", "Tue 7/13/2026", "weekday_mismatch"),
        ("(lic01/27000 1403), start Mon 7/13 8:50", "(lic01/27000 1403), start Mon 2/30 8:50", "unreadable_end"),
        ("(lic01/27000 1403), start", "(lic01/27000 99999999999999999999999), start", "unknown_line"),
        ("start Mon 7/13 8:50", "start Mon 7/13 8:50, 7 unheard-of things", "unreadable_end"),
        ("start Mon 7/13 8:50", "start Mon 7/13 9:02", "start_after_snapshot"),
        ("Total of 500 licenses issued", "Total of 99999999999999 licenses issued", "unreadable_feature"),
        ("  floating license", "  something never seen", "unknown_line"),
    ],
)
def test_a_bad_line_is_a_problem_at_its_place(old: str, new: str, code: str) -> None:
    text = series(0)
    assert old in text
    found = read(text.replace(old, new))
    assert code in codes(found)
    row = found.problems.filter(pl.col("code") == code).row(0, named=True)
    place = text.splitlines().index(next(line for line in text.splitlines() if old in line)) + 1
    assert (row["source"], row["location"]) == ("<bytes>", place)
    assert adds_up(found)


def test_users_without_a_header_are_kept_without_time() -> None:
    text = series(0)
    found = read(text[text.index("Users of") :])
    assert codes(found) == ["no_header"]
    assert found.checkouts.select("user", "time", "start").rows() == [("ana", None, None)]
    assert found.sessions.height == 0


def test_a_header_alone_is_a_problem() -> None:
    found = read("Flexible License Manager status on Mon 7/13/2026 9:00\n")
    assert codes(found) == ["empty_snapshot"]
    assert found.snapshots.height == 1


@given(st.binary(max_size=400))
def test_random_bytes_raise_nothing_but_our_errors(data: bytes) -> None:
    try:
        found = read(b"License server status: 1@a\n" + data)
    except tf.ZoneError:
        return
    assert adds_up(found)


@given(st.data())
def test_damaged_outputs_add_up(data: st.DataObject) -> None:
    text = (ONE + series(0, 10)).encode()
    damaged = bytearray(text)
    for _ in range(data.draw(st.integers(1, 12))):
        at = data.draw(st.integers(0, len(damaged) - 1))
        kind = data.draw(st.sampled_from(["set", "cut", "digits"]))
        if kind == "set":
            damaged[at] = data.draw(st.integers(0, 255))
        elif kind == "cut":
            del damaged[at : at + data.draw(st.integers(1, 40))]
        else:
            damaged[at:at] = b"9" * data.draw(st.integers(1, 30))
    assert adds_up(read(bytes(damaged)))


# Sessions by their definition.

MOMENTS = st.integers(0, 240)


@settings(max_examples=80)
@given(
    uses=st.lists(
        st.tuples(st.sampled_from(["ana", "bo b", "cyd"]), st.integers(1, 4), MOMENTS, st.integers(1, 120)), max_size=8
    ),
    taken=st.sets(MOMENTS, min_size=1, max_size=12),
    zone=st.sampled_from(["Europe/Madrid", "America/St_Johns", "Asia/Kathmandu"]),
    day=st.sampled_from([(2026, 7, 13), (2025, 12, 31), (2024, 2, 29)]),
    shuffled=st.randoms(use_true_random=False),
)
def test_sessions_equal_their_definition(
    uses: list[tuple[str, int, int, int]],
    taken: set[int],
    zone: str,
    day: tuple[int, int, int],
    shuffled: object,
) -> None:
    begin = utc(*day, 20)
    held = [
        Held(user, f"PC{host}", number, begin + start * MINUTE, begin + (start + length) * MINUTE)
        for number, (user, host, start, length) in enumerate(uses)
    ]
    times = sorted(begin + minute * MINUTE for minute in taken)
    outputs = [output(time, held, zone=ZoneInfo(zone)) for time in times]
    shuffled.shuffle(outputs)  # type: ignore[attr-defined]
    found = tf.read_lmstat([text.encode() for text in outputs], timezone=zone, server="lic01")
    assert found.problems.height == 0
    expected = []
    for each in held:
        shown = [time for time in times if each.start <= time < each.end]
        if shown:
            after = [time for time in times if time > shown[-1]]
            row = (each.handle, each.user, each.start, shown[-1], after[0] if after else None, len(shown), not after)
            expected.append(row)
    rows = found.sessions.select("handle", "user", "start", "end", "end_latest", "seen", "is_open").rows()
    assert sorted(rows) == sorted(expected)


@pytest.mark.parametrize("reader", ["lmstat", "rlm"])
def test_every_problem_code_is_explained(reader: str) -> None:
    core = DOCS.parent / "rust" / "core" / "src"
    files = [*sorted((core / reader).glob("*.rs")), core / "lines.rs", core / "time" / "zone.rs"]
    source = "\n".join(path.read_text(encoding="utf-8") for path in files)
    # The codes stand before or after other arguments; whatever looks like one and is no name of a field counts.
    used = set(re.findall(r'(?:odd|unreadable|problem|Some)\((?:[^"();]|\([^"()]*\))*"([a-z]+_[a-z_]+)"', source))
    used |= set(re.findall(r'code: "(\w+)"', source))
    page = (DOCS / f"{reader}.md").read_text(encoding="utf-8")
    explained = set(re.findall(r"^\| `(\w+)` \|", page, flags=re.MULTILINE))
    assert used - explained == set()
    assert [code for code in explained if f'"{code}"' not in source] == []
