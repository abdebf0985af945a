"""`tf.inspect` and `tokenflex inspect`: what any file is, what is in it, and what to run next."""

from __future__ import annotations

import gzip
import io
import json
import shlex
import sqlite3
import subprocess
import sys
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING

import polars as pl
import pytest
from typer.testing import CliRunner

import tokenflex as tf
from tokenflex.cli import app
from tokenflex.demo import write_logs

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

FLEXLM = b"""12:00:00 (lmgrd) TIMESTAMP 7/13/2026
12:00:05 (adskflex) OUT: "87545ACD_2022_0F" ana@pc1
12:30:00 (adskflex) IN: "87545ACD_2022_0F" ana@pc1
12:31:00 (adskflex) IN: "87545ACD_2022_0F" bo@pc2
"""
LMSTAT = b"""Flexible License Manager status on Mon 7/13/2026 10:30
License server status: 27000@mad-lic-01
Users of 87545ACD_2022_0F:  (Total of 16 licenses issued;  Total of 1 license in use)
    ana PC1 PC1 (v1.0) (mad-lic-01/27000 1403), start Mon 7/13 8:50
"""
RLM = b"""START lic1 09/04/2025 08:00:00
TIMEZONE 420 0
OUT cad 2.0 1 ana pc1 "" 1 1 0 1a2 1a2 4d1 "" "cad" "2.0" 09/04 08:15:30
IN 1 cad 2.0 ana pc1 "" 1 0 0 1a2 09/04 09:00:00
"""
STATEMENT = b"""usageDate,productLineCode,userName,sessionStartDate,sessionEndDate,tokensConsumed
2018-03-01,ACD,ana,2018-03-01T16:24:53-08:00,2018-03-01T17:00:00-08:00,7
"""
DAILY = b"""contractYear,tokenPool,usageCategory,usageDate,productLineCode,productName,tokensConsumed,
1,CY,DESKTOP_PRODUCT,2011-01-01 00:00:00,ACD,AutoCAD,0,
"""
ACCOUNT = b"""Day used,Email,Feature,First name,Last name,Product,Team,Tokens used
2024-03-01,ana@firm.example,AutoCAD,Ana,A,AutoCAD,Design,7
"""
API = b'[{"productName": "AutoCAD", "usageDate": "2024-03-01", "tokens": 7, "emailAddress": "ana@firm.example"}]'
CONTRACT = b"""{"contractNumber": "110001", "contractStartDate": "2024-02-01", "contractEndDate": "2027-01-31",
"years": [{"contractYear": 1, "provisionedTokens": 344000}]}"""

OWN = tf.Contract(number="team 7", packs=[tf.Pack(id="a", tokens=500, purchased="2026-01-15")])
OFFER = tf.Offer(years=2, overage_price=4, prices=[tf.PriceTier(from_tokens=0, unit_price=3)])
PACKS = tf.Offer(overage_price=4, packs=[tf.PackOffer(tokens=500, unit_price=3)])

RATES = b"product,tokens\nACD,7\nRVT,10\n"
RULE = tf.FLEX.to_toml().encode()
TABLE = b"Username,Product name,Start time,End time\nana,ACD,2026-07-13T08:00Z,2026-07-13T09:00Z\n"
RENAMED = b"who;what;t1;t2\nana;ACD;2026-07-13T08:00Z;2026-07-13T09:00Z\n"
OFFERS = tf.PriceList(subscriptions=[tf.Subscription(name="Revit", products=["RVT"], price=2985)])

EVERYTHING = {
    "flexlm": (FLEXLM, "debug log of a FlexNet license server (adskflex)"),
    "lmstat": (LMSTAT, "output of lmstat"),
    "rlm": (RLM, "report log of an RLM license server"),
    "sessions": (STATEMENT, "usage export of the vendor (Token Flex by session)"),
    "daily": (DAILY, "usage export of the vendor (Token Flex by day)"),
    "account": (ACCOUNT, "usage export of the vendor (Flex, Autodesk Account)"),
    "api": (API, "usage export of the vendor (Flex reporting API)"),
    "contract": (CONTRACT, "contract of the vendor"),
    "own contract": (OWN.to_toml().encode(), "contract (Flex)"),
    "offer": (OFFER.to_toml().encode(), "offer of tokens (Token Flex)"),
    "offer of packs": (PACKS.to_toml().encode(), "offer of tokens (Flex)"),
    "own contract as JSON": (OWN.to_json().encode(), "contract (Flex)"),
    "price_list": (OFFERS.to_toml().encode(), "price list of subscriptions and maintenance"),
    "rates": (RATES, "token rates"),
    "rule": (RULE, "charging rule"),
    "rule as JSON": (tf.TOKEN_FLEX.to_json().encode(), "charging rule"),
    "other JSON": (b'{"what": 1}', "JSON that tokenflex does not know"),
    "table": (TABLE, "table of use"),
    "renamed": (RENAMED, "table under names that tokenflex does not know"),
    "empty": (b"", "empty file"),
    "blank": (b" \n\r\n", "empty file"),
    "words": (b"hello world\n", "no file that tokenflex knows"),
    "bytes": (bytes(range(256)) * 9, "no file that tokenflex knows"),
}


def inspected(folder: Path, data: bytes, name: str = "file", **arguments: str) -> tf.Inspection:
    file = folder / name
    file.write_bytes(data)
    return tf.inspect(file, **arguments)


@pytest.mark.parametrize(("data", "kind"), EVERYTHING.values(), ids=EVERYTHING)
def test_what_a_file_is_is_told_by_its_content(tmp_path: Path, data: bytes, kind: str) -> None:
    for name in ("debug.log", "export.csv", "data.json", "unknown"):
        assert inspected(tmp_path, data, name).kind == kind


TEXTS = {
    name: each for name, each in EVERYTHING.items() if name not in ("bytes", "empty", "rates") and "rule" not in name
}


@pytest.mark.parametrize(("data", "kind"), TEXTS.values(), ids=TEXTS)
def test_packed_files_and_other_encodings_are_told_as_well(tmp_path: Path, data: bytes, kind: str) -> None:
    assert inspected(tmp_path, gzip.compress(data)).kind == kind
    assert inspected(tmp_path, b"\xef\xbb\xbf" + data).kind == kind
    assert inspected(tmp_path, data.replace(b"\n", b"\r\n")).kind == kind


def test_what_is_in_a_log(tmp_path: Path) -> None:
    found = inspected(tmp_path, FLEXLM, timezone="Europe/Madrid")
    assert found.content == "3 events, 1 session"
    assert (found.first, found.last) == (
        datetime(2026, 7, 13, 10, tzinfo=UTC),
        datetime(2026, 7, 13, 10, 31, tzinfo=UTC),
    )
    assert (found.users, found.products) == (1, ("ACD",))
    assert found.problems["code"].to_list() == ["checkin_without_checkout"]
    assert "--timezone Europe/Madrid" in found.next
    assert not any("no zone" in note for note in found.notes)


def test_what_is_in_a_contract(tmp_path: Path) -> None:
    years = [tf.ContractYear(year=1, start="2024-02-01", end="2026-01-31", tokens=344_000)]
    contract = tf.Contract(number="110001", zone="Europe/Madrid", years=years, contract_tokens=25_000)
    for data in (contract.to_toml().encode(), contract.to_json().encode()):
        found = inspected(tmp_path, data, "what")
        assert (found.kind, found.content) == ("contract (Token Flex)", "contract 110001, 2 pools of tokens")
        assert (found.first, found.last) == (contract.opens, contract.closes)
        program = {"tf": tf}
        exec(found.next.removeprefix("import tokenflex as tf\n"), program)  # noqa: S102 - what we tell people to run
        assert program["contract"] == contract  # type: ignore[comparison-overlap]


def test_without_a_zone_times_are_shown_as_written(tmp_path: Path) -> None:
    found = inspected(tmp_path, FLEXLM)
    assert found.first == datetime(2026, 7, 13, 12, tzinfo=UTC)
    assert any("no zone was given" in note for note in found.notes)
    assert "--timezone ZONE" in found.next


def test_a_file_with_its_own_offsets_needs_no_zone(tmp_path: Path) -> None:
    for data in (RLM, STATEMENT, TABLE):
        found = inspected(tmp_path, data)
        assert not any("no zone" in note for note in found.notes)
        assert "timezone" not in found.next


def test_a_zone_that_does_not_exist_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(tf.ZoneError, match="Nowhere"):
        inspected(tmp_path, FLEXLM, timezone="Nowhere/City")


def test_what_is_in_a_statement(tmp_path: Path) -> None:
    found = inspected(tmp_path, STATEMENT)
    assert (found.first, found.last) == (date(2018, 3, 1), date(2018, 3, 1))
    assert found.content == "1 row, 1 with session times, 7.0000 tokens"
    assert found.products == ("ACD",)


PROGRAMS = {name: EVERYTHING[name][0] for name in ("lmstat", "rlm", "sessions", "table")}


@pytest.mark.parametrize("data", PROGRAMS.values(), ids=PROGRAMS)
def test_the_lines_to_run_next_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, data: bytes) -> None:
    """Word for word, beside a file of rates; only the zone is the user's to fill in."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "rates.csv").write_text("product,tokens\nACD,7\ncad,2\n")
    found = inspected(tmp_path, data)
    names: dict[str, pl.DataFrame] = {}
    exec(found.next.replace("'ZONE'", "'Europe/Madrid'"), names)  # noqa: S102 - what a user would paste
    assert names["charges"].height == 1


def test_the_renamed_columns_are_mended_in_one_step(tmp_path: Path) -> None:
    found = inspected(tmp_path, RENAMED)
    (note,) = found.notes
    for title in ("who", "what", "t1", "t2"):
        assert repr(title) in note
    columns = {"user": "who", "product": "what", "start": "t1", "end": "t2"}
    sessions = tf.read_table(tmp_path / "file", columns=columns)
    assert tf.charge(sessions, rule=tf.FLEX, rates=tf.Rates({"ACD": 7})).height == 1


@pytest.mark.parametrize("write", [pl.DataFrame.write_parquet, pl.DataFrame.write_excel], ids=["parquet", "xlsx"])
def test_workbooks_and_parquet(tmp_path: Path, write: Callable[[pl.DataFrame, io.BytesIO], object]) -> None:
    frame = pl.DataFrame(
        {"user": ["ana"], "product": ["ACD"], "start": ["2026-07-13T08:00Z"], "end": ["2026-07-13T09:00Z"]}
    )
    file = io.BytesIO()
    write(frame, file)
    found = inspected(tmp_path, file.getvalue())
    assert (found.kind, found.content) == ("table of use", "1 session")


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    for path in (tmp_path / "none.log", tmp_path):
        with pytest.raises(tf.SourceNotFoundError, match="there is no file"):
            tf.inspect(path)


def test_the_command_shows_all_files_of_a_folder(tmp_path: Path) -> None:
    for name, (data, _) in EVERYTHING.items():
        (tmp_path / name).write_bytes(data)
    result = CliRunner().invoke(app, ["inspect", str(tmp_path)], env={"COLUMNS": "300"})
    assert result.exit_code == 0, result.output
    for name, (_, kind) in EVERYTHING.items():
        assert str(tmp_path / name) in result.output
        assert kind in result.output


def test_the_command_gives_json(tmp_path: Path) -> None:
    (tmp_path / "debug.log").write_bytes(FLEXLM)
    result = CliRunner().invoke(app, ["inspect", str(tmp_path / "debug.log"), "--json", "--timezone", "Asia/Tokyo"])
    (found,) = json.loads(result.output)
    assert found["first"] == "2026-07-13T03:00:00+00:00"
    assert found["problems"] == {"checkin_without_checkout": 1}


def test_the_command_on_what_is_not_there_or_empty(tmp_path: Path) -> None:
    for given in (tmp_path, tmp_path / "none"):
        result = CliRunner().invoke(app, ["inspect", str(given)])
        assert result.exit_code == 2
        assert "tokenflex: " in result.output


def test_the_logs_of_the_demo(tmp_path: Path) -> None:
    firm = write_logs(tmp_path, months=3)
    found = [tf.inspect(file) for file in sorted((firm.folder / "logs").rglob("*")) if file.is_file()]
    assert found
    assert all(each.kind.startswith("debug log of a FlexNet") for each in found)


ALIASES = b"spelling,person,valid_from,valid_to\nu17,ana,,2026-07-14\n"
GROUPS = b"person,group,cost_centre,valid_from,valid_to\nana,bridges,4100,,\n"
CODES = b"feature,name\n87545ACD_2022_0F,AutoCAD\n"


@pytest.mark.parametrize(
    ("data", "kind", "verb"),
    [
        (ALIASES, "aliases of users", "Identity.read"),
        (GROUPS, "groups of persons", "Groups.read"),
        (CODES, "feature codes and their products", "Catalog.read"),
    ],
)
def test_tables_of_our_own_are_no_tables_of_use(tmp_path: Path, data: bytes, kind: str, verb: str) -> None:
    path = tmp_path / "table.csv"
    path.write_bytes(data)
    found = tf.inspect(path)
    assert (found.kind, found.verb) == (kind, verb)
    exec(found.next, {})  # noqa: S102 - the lines are the thing under test


LISTS = {
    "users": ("user,zone\nana,Europe/Madrid\n", "time zones of users"),
    "limits": ("product,licenses\nACD,40\n", "licenses that are owned"),
    "sites": ("server,site\nmad-lic-01,Madrid\n", "sites of license servers"),
    "variants": ("product,line\nACDLT,ACD\n", "products and their lines"),
}


@pytest.mark.parametrize("option", LISTS)
def test_a_list_for_an_option_is_told_with_a_command_that_has_it(tmp_path: Path, option: str) -> None:
    text, kind = LISTS[option]
    path = tmp_path / "a list.csv"
    path.write_text(text)
    found = tf.inspect(path)
    assert (found.kind, bool(found.verb)) == (kind, True)
    program, command, *words = shlex.split(found.next)
    assert (program, words[-2:]) == ("tokenflex", [f"--{option}", str(path)])
    taken = CliRunner().invoke(app, [command, "--help"]).stdout
    assert f"--{option} " in taken


def test_the_record_of_an_agent_is_no_table_of_use(tmp_path: Path) -> None:
    path = write_logs(tmp_path, months=3).activity_path
    pl.read_csv(path).write_parquet(tmp_path / "activity.parquet")
    for file in (path, tmp_path / "activity.parquet"):
        found = tf.inspect(file)
        assert (found.kind, found.verb) == ("idle stretches that an agent recorded", "idle")
        assert found.next == f"tokenflex idle LOGS --timezone ZONE --activity {file}"


def test_a_parquet_file_under_other_names_has_the_lines_to_fill_in(tmp_path: Path) -> None:
    path = tmp_path / "list.parquet"
    pl.read_csv(RENAMED, separator=";").write_parquet(path)
    found = tf.inspect(path)
    assert found.kind == "table under names that tokenflex does not know"
    assert "'who', 'what', 't1', 't2'" in found.notes[0]


def test_databases_are_told_with_the_lines_to_query_them(tmp_path: Path) -> None:
    duckdb = pytest.importorskip("duckdb")
    sqlite = sqlite3.connect(tmp_path / "a.db")
    for connection in (sqlite, duckdb.connect(str(tmp_path / "b.db"))):
        connection.execute("create table usage as select 'ana' as login, 'ACD' as line")
        connection.commit()
        connection.close()
    for name, kind in (("a.db", "SQLite database"), ("b.db", "DuckDB database")):
        found = tf.inspect(tmp_path / name)
        assert found.kind == kind
        query = "select login as user, line as product, timestamp '2026-07-13 09:00' as start, start as end from usage"
        if name == "a.db":
            query = "select login user, line product, '2026-07-13 09:00' start, '2026-07-13 09:00' 'end' from usage"
        lines = found.next.splitlines()[:-1]
        scope: dict[str, pl.DataFrame] = {}
        exec("\n".join(lines).replace("select … from …", query).replace("ZONE", "Europe/Madrid"), scope)  # noqa: S102
        assert scope["sessions"].height == 1


def test_a_token_flex_export_is_charged_by_its_own_rule(tmp_path: Path) -> None:
    path = tmp_path / "export.csv"
    path.write_bytes(
        STATEMENT.replace(b"tokensConsumed", b"licenseServerName,tokensConsumed").replace(b",7\n", b",lic-1,7\n")
    )
    assert "rule=tf.TOKEN_FLEX" in tf.inspect(path).next
    assert "servers={'lic-1': 'ZONE'}" in tf.inspect(path).next


def test_a_file_that_cannot_be_read_hides_no_other(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(RATES)
    (tmp_path / "b.xlsx").write_bytes(b"PK\x03\x04 and no workbook")
    (tmp_path / "c.log").write_bytes(FLEXLM)
    run = CliRunner().invoke(app, ["inspect", str(tmp_path)])
    assert run.exit_code == 0
    assert "token rates" in run.stdout
    assert "debug log" in run.stdout


def test_what_reads_a_folder_at_once_is_told(tmp_path: Path) -> None:
    (tmp_path / "series").mkdir()
    for number in range(2):
        (tmp_path / "series" / f"{number}.txt").write_bytes(LMSTAT)
    (tmp_path / "mixed").mkdir()
    (tmp_path / "mixed" / "a.txt").write_bytes(LMSTAT)
    (tmp_path / "mixed" / "b.csv").write_bytes(RATES)
    run = CliRunner().invoke(app, ["inspect", str(tmp_path)])
    assert run.exit_code == 0
    together = run.stdout.partition("Files of one kind in one folder are read at once:")[2].split()
    assert together[:3] == ["next", "sessions", "="]
    scope: dict[str, pl.DataFrame] = {}
    line = " ".join(together[1:]).replace("ZONE", "Europe/Madrid")
    exec(f"import tokenflex as tf\n{line}", scope)  # noqa: S102 - the line is the thing under test
    assert scope["sessions"].height == 1


def test_the_module_is_the_command() -> None:
    run = subprocess.run([sys.executable, "-m", "tokenflex", "--version"], check=True, capture_output=True, text=True)
    assert run.stdout.startswith("tokenflex ")
