"""The book: whatever happens from night to night, it says what one run over all its logs says."""

from __future__ import annotations

import os
import random
import resource
import signal
import subprocess
import sys
import textwrap
import threading
import time
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING

import deltalake
import duckdb
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tokenflex as tf
from book_nights import Nights, assert_is_one_run, plain
from tokenflex.book import store
from tokenflex.book.book import EXPORTED
from tokenflex.book.texts import Kept

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tokenflex.demo import DemoFirm

RULES = [
    tf.TOKEN_FLEX,
    tf.FLEX,
    tf.Rule(window="rolling", renew=False),
    tf.Rule(window="rolling", min_duration=timedelta(minutes=5), incremental=True),
    tf.Rule(window="day", zone="server", scope="server"),
    tf.Rule(window="day", zone="utc", incremental=True, day_start=timedelta(hours=4)),
    tf.Rule(window="rolling", machine_metered=frozenset({"RVT"})),
]
RATES = tf.Rates([tf.Rate("ACD", Decimal(7), None, "cad"), tf.Rate("RVT", Decimal(10), None, "cad")])
LOGS = Path(os.environ.get("TOKENFLEX_LOGS", Path(__file__).parents[2] / "shared" / "logs"))
DAY = """\
12:00:00 (lmgrd) TIMESTAMP 7/{day}/2026
12:00:05 (adskflex) OUT: "87545ACD_2022_0F" ana@pc1
17:00:00 (adskflex) IN: "87545ACD_2022_0F" ana@pc1
17:30:00 (lmgrd) TIMESTAMP 7/{day}/2026
"""


def new_book(folder: Path, rule: tf.Rule = tf.TOKEN_FLEX, **terms: object) -> tf.Book:
    given_terms = {"timezone": "Europe/Madrid", "patience": 20, **terms}
    return tf.Book(folder / "tokens.book", rule=rule, rates=RATES, **given_terms)  # type: ignore[arg-type] # of any kind


def live_through(seed: int, folder: Path, nights: int) -> None:
    """Some nights of some servers, each of which ends with the law."""
    chance = random.Random(seed)
    logs = folder / "logs"
    logs.mkdir()
    firm = Nights(chance, logs, servers=chance.choice([1, 1, 2, 3]))
    book = new_book(folder, chance.choice(RULES), server="lic" if chance.random() < 0.1 else None)
    for _ in range(nights):
        files = firm.night()
        if files:
            book.update(files)
            assert_is_one_run(book, firm.texts())


@settings(max_examples=3)
@given(st.integers(0, 10**6))
def test_a_book_is_one_run_after_each_night(tmp_path_factory: pytest.TempPathFactory, seed: int) -> None:
    live_through(seed, tmp_path_factory.mktemp("book"), 3)


@pytest.mark.heavy
@settings(max_examples=400)
@given(st.integers(0, 10**9))
def test_a_book_is_one_run_after_each_of_many_nights(tmp_path_factory: pytest.TempPathFactory, seed: int) -> None:
    live_through(seed, tmp_path_factory.mktemp("book"), 14)


@pytest.mark.parametrize("nights", [4, pytest.param(40, marks=pytest.mark.heavy)])
@pytest.mark.parametrize("name", ["adskflex.log", "ansyslmd.log"])
def test_real_logs_night_by_night_are_one_run(tmp_path: Path, name: str, nights: int) -> None:
    if not (LOGS / name).is_file():
        pytest.skip("real logs are not here")
    lines = (LOGS / name).read_bytes().splitlines(keepends=True)
    log = tmp_path / name
    book = new_book(tmp_path)
    full = 0
    for night in range(nights):
        with log.open("ab") as file:
            file.writelines(lines[night * len(lines) // nights : (night + 1) * len(lines) // nights])
        full += book.update(log).is_full
    assert_is_one_run(book, {b"".join(lines)})
    assert full == 1, "only the first night reads all"


def test_the_demo_month_by_month_is_one_run(tmp_path: Path, demo_firm: DemoFirm) -> None:
    logs = sorted(demo_firm.logs)
    rates = tf.Rates.read(demo_firm.rates_path)
    book = tf.Book(tmp_path / "tokens.book", rule=tf.TOKEN_FLEX, rates=rates, timezone=dict(demo_firm.servers))
    for part in (logs[::2], logs):
        book.update(part)
    assert_is_one_run(book)


def test_a_night_reads_only_what_is_new(tmp_path: Path) -> None:
    log = tmp_path / "debug.log"
    book = new_book(tmp_path, server="mad-lic-01")
    told = []
    for day in range(13, 19):
        with log.open("a") as file:
            file.write(DAY.format(day=day))
        update = book.update(log)
        told.append((update.files["what"][0], update.is_full, update.sessions.new, update.corrections))
    assert told == [("new", True, 1, 0)] + [("grown", False, 1, 0)] * 5
    assert book.charges()["tokens"].to_list() == [Decimal(7)] * 6
    again = book.update(log)
    assert (again.files["what"][0], again.sessions, again.charges) == ("known", (0, 0, 0), (0, 0))
    assert_is_one_run(book, {log.read_bytes()})


def test_two_logs_of_a_server_that_both_grow_are_read_from_where_they_stopped(tmp_path: Path) -> None:
    vendor, manager = tmp_path / "adskflex.log", tmp_path / "lmgrd.log"
    manager.write_text("6:00:00 (lmgrd) TIMESTAMP 7/12/2026\n")
    book = new_book(tmp_path, server="mad-lic-01")
    full = []
    for day in range(13, 20):
        with vendor.open("a") as file:
            file.write(DAY.format(day=day).replace("lmgrd", "adskflex"))
        with manager.open("a") as file:
            file.write(f"6:00:00 (lmgrd) TIMESTAMP 7/{day}/2026\n18:00:00 (lmgrd) TIMESTAMP 7/{day}/2026\n")
        full.append(book.update([vendor, manager]).is_full)
        assert_is_one_run(book, {vendor.read_bytes(), manager.read_bytes()})
    assert full == [True] + [False] * 6
    with book._store.reading() as connection:
        assert len(connection.rows("SELECT text FROM cuts")) == 2
        assert connection.row("SELECT cut_at FROM servers")[0] > datetime(2026, 7, 18, tzinfo=UTC)


def test_a_late_log_and_a_new_server_read_no_other_server(tmp_path: Path) -> None:
    def banner(host: str, day: int) -> str:
        return (
            f"11:59:00 (lmgrd) TIMESTAMP 7/{day}/2026\n11:59:00 (lmgrd) server started on {host} (license files: x)\n"
        )

    book = new_book(tmp_path)
    for number, host in enumerate(("mad", "par", "ber")):
        log = tmp_path / host / "debug.log"
        log.parent.mkdir()
        log.write_text(banner(host, 13) + DAY.format(day=13) + DAY.format(day=16))
        assert book.update(log).is_full is (number == 0), "a new server alone"
    late = tmp_path / "par" / "late.log"
    late.write_text(banner("par", 14) + DAY.format(day=14))
    update = book.update(late)
    assert (update.is_full, update.sessions.new, update.sessions.removed) == (False, 1, 0)
    assert_is_one_run(book)
    # A package is one for all servers.
    log = tmp_path / "ber" / "debug.log"
    with log.open("a") as file:
        file.write("18:00:00 (adskflex) Server started on ber for:\t64300ACD_F (consisting of: 87545ACD_2022_0F)\n")
        file.write("18:00:00 (adskflex) 87545ACD_2022_0F\n" + DAY.format(day=17))
    assert book.update(log).is_full
    assert_is_one_run(book)


def test_what_becomes_of_files_is_told(tmp_path: Path) -> None:
    log, old = tmp_path / "debug.log", tmp_path / "debug.log.1"
    book = new_book(tmp_path, server="mad-lic-01")
    log.write_text(DAY.format(day=13))
    book.update(log)
    log.rename(old)
    log.write_text(DAY.format(day=14))
    assert dict(book.update([log, old]).files.select("file", "what").rows()) == {str(log): "new", str(old): "rotated"}
    log.write_text(DAY.format(day=15).splitlines(keepends=True)[0])
    assert book.update(log).files["what"].to_list() == ["truncated"]
    log.write_text(DAY.format(day=13).splitlines(keepends=True)[0])
    assert book.update(log).files["what"].to_list() == ["older copy"]
    log.write_text("")
    assert book.update(log).files["what"].to_list() == ["empty"]
    assert book.sources()["file"].to_list() == [str(old), str(log), str(log)]


def test_a_byte_changed_anywhere_in_the_beginning_is_seen(tmp_path: Path) -> None:
    log = tmp_path / "debug.log"
    # Lines that no reader takes: what counts is where in 20 MB they stand.
    filler = b"".join(b"17:31:00 (adskflex) note %07d %s\n" % (number, b"." * 1000) for number in range(20_000))
    before = DAY.format(day=13).encode() + filler
    assert len(before) > 20_000_000
    log.write_bytes(before)
    book = new_book(tmp_path, server="mad-lic-01")
    book.update(log)
    changed = bytearray(before + DAY.format(day=14).encode())
    place = changed.index(b"note 0012345") + 6
    changed[place] ^= 1
    log.write_bytes(changed)
    assert book.update(log).files["what"].to_list() == ["replaced"]
    assert_is_one_run(book, {before, bytes(changed)})


def test_an_open_session_ends_with_its_checkin(tmp_path: Path) -> None:
    lines = DAY.format(day=13).splitlines(keepends=True)
    log = tmp_path / "debug.log"
    log.write_text("".join(lines[:2]))
    book = new_book(tmp_path, server="mad-lic-01")
    book.update(log)
    assert book.sessions()["is_open"].to_list() == [True]
    log.write_text("".join(lines))
    assert book.update(log).sessions == (0, 1, 0)
    assert book.sessions().select("is_open", "end_reason").rows() == [(False, "checkin")]


def test_late_logs_are_told_as_corrections_and_change_nothing_else(tmp_path: Path) -> None:
    log, late = tmp_path / "debug.log", tmp_path / "late.log"
    log.write_text("".join(DAY.format(day=day) for day in (13, 16, 17)))
    book = new_book(tmp_path, server="mad-lic-01")
    book.update(log)
    before = book.charges()
    late.write_text(DAY.format(day=14) + DAY.format(day=15).replace("ana", "bea"))
    update = book.update(late)
    assert update.corrections == 2
    assert update.charges == (2, 0)
    told = book.corrections().select("what", "user", "tokens_before", "tokens_after", "update", "why").rows()
    why = f"{late} (new)"
    assert told == [("late", "ana", None, Decimal(7), 2, why), ("late", "bea", None, Decimal(7), 2, why)]
    columns = ["user", "charged_at", "tokens"]
    assert before.select(columns).join(book.charges().select(columns), on=columns, how="anti").is_empty()
    assert_is_one_run(book)


def test_a_final_charge_that_is_no_more_is_told(tmp_path: Path) -> None:
    log, late = tmp_path / "debug.log", tmp_path / "late.log"
    log.write_text(DAY.format(day=13) + DAY.format(day=14))
    book = new_book(tmp_path, tf.FLEX, server="mad-lic-01")
    book.update(log)
    assert book.charges(final=True).height == 2
    # Earlier on the 13th: the window of the 14th moves with it.
    late.write_text(DAY.format(day=13).replace("12:", "8:").replace("17:", "9:"))
    book.update(late)
    assert sorted(book.corrections()["what"].to_list()) == ["late", "withdrawn"]
    assert_is_one_run(book)


def test_other_terms_charge_anew_and_say_so(tmp_path: Path) -> None:
    log = tmp_path / "debug.log"
    log.write_text("".join(DAY.format(day=day) for day in (13, 14)))
    new_book(tmp_path, server="mad-lic-01").update(log)
    book = tf.Book(tmp_path / "tokens.book", rates=tf.Rates({"ACD": 8}))
    update = book.update()
    assert update.charges == (2, 2)
    assert book.charges()["tokens"].to_list() == [Decimal(8)] * 2
    told = book.corrections().select("what", "why", "tokens_before", "tokens_after").unique().rows()
    assert told == [("changed", "other terms", Decimal(7), Decimal(8))]
    tf.Book(tmp_path / "tokens.book", timezone="Asia/Tokyo").update()
    assert_is_one_run(book)
    assert tf.Book(tmp_path / "tokens.book").terms.timezone == "Asia/Tokyo"


def test_a_book_without_a_rule_keeps_sessions(tmp_path: Path) -> None:
    book = tf.Book(tmp_path / "tokens.book", timezone="Europe/Madrid", server="mad-lic-01")
    book.update(DAY.format(day=13).encode())
    assert book.sessions().height == 1
    with pytest.raises(tf.ArgumentError, match="has no rule"):
        book.charges()
    with pytest.raises(tf.ArgumentError, match="go together"):
        tf.Book(tmp_path / "other.book", rule=tf.FLEX)


def test_a_book_keeps_logs_whose_files_are_gone(tmp_path: Path) -> None:
    log = tmp_path / "debug.log"
    log.write_text(DAY.format(day=13))
    book = new_book(tmp_path, server="mad-lic-01")
    book.update(log)
    expected = tf.read_flexlm(log, timezone="Europe/Madrid", server="mad-lic-01")
    log.unlink()
    assert plain(book.log().events).equals(plain(expected.events))


def test_what_is_exported_is_what_the_book_says(tmp_path: Path) -> None:
    book = new_book(tmp_path, server="mad-lic-01")
    book.update(DAY.format(day=13).encode())
    paths = {path.stem: path for path in book.export(tmp_path / "out")}
    assert plain(pl.read_parquet(paths["charges"])).equals(plain(book.charges()))
    assert plain(pl.read_parquet(paths["sessions"])).equals(plain(book.sessions()))
    with pytest.raises(tf.ArgumentError, match="parquet or delta"):
        book.export(tmp_path / "out", format="csv")  # type: ignore[arg-type] # a bad call


def test_what_is_exported_as_delta_is_what_the_book_says(tmp_path: Path) -> None:
    book = new_book(tmp_path, server="mad-lic-01", contract=CONTRACT)
    book.update(DAY.format(day=13).encode())
    book.add_statement(export({("ana", 13): 7}))
    book.export(tmp_path / "out", format="delta")
    book.update(DAY.format(day=14).encode())
    paths = {path.name: path for path in book.export(tmp_path / "out", format="delta")}
    assert set(paths) == set(EXPORTED)
    for name, table in (
        ("sessions", book.sessions()),
        ("charges", book.charges()),
        ("statement", book.statement()),
        ("ledger", book.ledger().entries),
        ("statements", book.statements()),
    ):
        found = pl.read_delta(str(paths[name]))
        assert found.columns == table.columns
        # Whole numbers without a sign and categories are others there, the values are the same.
        assert sorted(map(repr, found.rows())) == sorted(map(repr, table.rows()))
    assert len(deltalake.DeltaTable(paths["charges"]).history()) == 2


def test_the_views_are_open_to_sql(tmp_path: Path) -> None:
    book = new_book(tmp_path, server="mad-lic-01")
    book.update((DAY.format(day=13) + DAY.format(day=14)).encode())
    with duckdb.connect(str(book.path), read_only=True) as connection:
        found = connection.sql('SELECT "user", sum(tokens) FROM charges GROUP BY ALL').fetchall()
        assert found == [("ana", Decimal(14))]
        assert connection.sql("SELECT count(*) FROM sessions JOIN charges ON id = session").fetchall() == [(2,)]


# The ledger and the vendor's statements.

CONTRACT = tf.Contract(
    number="team 7",
    zone="Europe/Madrid",
    packs=[
        tf.Pack(id="small", tokens=40, purchased="2026-03-01"),
        tf.Pack(id="large", tokens=5_000, purchased="2026-03-01"),
    ],
)
ENTRY = ["at", "kind", "pool", "tokens", "balance_before", "balance_after", "corrects"]


def entries_of(ledger: tf.Ledger) -> pl.DataFrame:
    """The entries, with what they say of their charges and bookings."""
    charges = ledger.charges.select(pl.col("user", "product", "server", "charged_at").cast(pl.String))
    bookings = ledger.bookings.select(pl.col("day", "kind", "tokens", "reason").cast(pl.String).name.prefix("booking "))
    about = [
        table.select(pl.all().gather(ledger.entries[column]))
        for table, column in ((charges, "charge"), (bookings, "booking"))
    ]
    return plain(ledger.entries.select(ENTRY)).hstack(about[0]).hstack(about[1])


def assert_is_settled_at_once(book: tf.Book) -> None:
    """The law: a ledger of which nothing is closed is that of settling one run."""
    problems = tf.Problems()
    as_of = book.updates()["as_of"][-1]
    at_once = CONTRACT.settle(book.charges(), statement=book.statement(), as_of=as_of, problems=problems)
    ledger = book.ledger()
    assert plain(ledger.entries).equals(plain(at_once.entries))
    assert plain(ledger.charges).equals(plain(at_once.charges))
    assert ledger.bookings.equals(at_once.bookings)
    assert ledger.as_of == at_once.as_of


def assert_closed_stays(before: tf.Ledger, book: tf.Book) -> None:
    """The law: what was closed is as it was, and from there on each pool has what it has if nothing is closed."""
    ledger = book.ledger()
    assert ledger.closed == before.closed is not None
    cut = CONTRACT.first_instant(before.closed + timedelta(days=1))
    closed, was = (entries_of(each).filter(pl.col("at") < cut) for each in (ledger, before))
    assert closed.equals(was)
    at_once = CONTRACT.settle(
        book.charges(), statement=book.statement(), as_of=book.updates()["as_of"][-1], problems=tf.Problems()
    )
    assert ledger.entries["tokens"].sum() == at_once.entries["tokens"].sum()
    last = pl.col("balance_after").last()
    pools = [
        plain(each.entries).group_by("pool").agg(last).filter(pl.col("balance_after") != 0).sort("pool")
        for each in (ledger, at_once)
    ]
    assert pools[0].equals(pools[1])
    is_late = (pl.col("at") > cut) & (pl.col("kind") != "correction")
    assert entries_of(ledger).filter(is_late).equals(entries_of(at_once).filter(is_late))


def settle_night_after_night(seed: int, folder: Path, nights: int) -> None:
    """Nights with late logs and statements, after each of which the ledger is right; at times a month is closed."""
    chance = random.Random(seed)
    firm = Nights(chance, folder / "logs", servers=chance.choice([1, 2]))
    firm.folder.mkdir(exist_ok=True)
    book = new_book(folder, chance.choice(RULES), contract=CONTRACT)
    for night in range(nights):
        files = firm.night()
        if files:
            book.update(files)
        if not book.path.exists() or book.updates()["as_of"][-1] is None:
            continue
        before = book.ledger()
        if chance.random() < 0.3:
            book.add_statement(manual(chance, night))
        if before.closed is None:
            assert_is_settled_at_once(book)
        else:
            assert_closed_stays(before, book)
        day = (before.as_of - timedelta(days=2)).date()
        if chance.random() < 0.3 and day >= (before.closed or CONTRACT.start):
            closed = book.close(day)
            assert entries_of(closed).equals(entries_of(book.ledger()))
        elif chance.random() < 0.1 and before.closed is not None:
            book.reopen()
            assert_is_settled_at_once(book)


def manual(chance: random.Random, night: int) -> bytes:
    """An export with manual rows."""
    rows = "".join(
        f"2026-07-{chance.randrange(10, 20)},MANUAL_CONSUMPTION,{chance.randrange(1, 9)},network {night}\n"
        for _ in range(chance.randrange(1, 4))
    )
    return f"transactionDate,usageCategory,tokensConsumed,reasonComment\n{rows}".encode()


@settings(max_examples=3)
@given(st.integers(0, 10**6))
def test_the_ledger_is_that_of_one_run(tmp_path_factory: pytest.TempPathFactory, seed: int) -> None:
    settle_night_after_night(seed, tmp_path_factory.mktemp("book"), 4)


@pytest.mark.heavy
@settings(max_examples=150)
@given(st.integers(0, 10**9))
def test_the_ledger_is_that_of_one_run_after_each_of_many_nights(
    tmp_path_factory: pytest.TempPathFactory, seed: int
) -> None:
    settle_night_after_night(seed, tmp_path_factory.mktemp("book"), 14)


def test_a_closed_month_meets_late_logs_with_corrections(tmp_path: Path) -> None:
    log, late = tmp_path / "debug.log", tmp_path / "late.log"
    log.write_text("".join(DAY.format(day=day) for day in (13, 16, 17)))
    book = new_book(tmp_path, server="mad-lic-01", contract=CONTRACT)
    book.update(log)
    book.close(date(2026, 7, 15))
    before = book.ledger()
    late.write_text(DAY.format(day=14))
    book.update(late)
    assert_closed_stays(before, book)
    told = book.ledger().corrections.select("reason", "user", "tokens", pl.col("at").dt.date())
    # On the 16th at midnight in Madrid; the charge of the 16th is paid by what is left.
    assert told.rows() == [("late", "ana", Decimal(-7), date(2026, 7, 15))]
    with duckdb.connect(str(book.path), read_only=True) as connection:
        found = connection.sql(
            'SELECT kind, "user", sum(tokens) FROM ledger WHERE tokens < 0 GROUP BY ALL ORDER BY ALL'
        )
        assert found.fetchall() == [("charge", "ana", Decimal(-21)), ("correction", "ana", Decimal(-7))]
    with pytest.raises(tf.ArgumentError, match="has not ended"):
        book.close(date(2026, 7, 17))
    assert book.reopen().closed is None
    assert_is_settled_at_once(book)


def test_another_contract_settles_anew(tmp_path: Path) -> None:
    log = tmp_path / "debug.log"
    log.write_text("".join(DAY.format(day=day) for day in (13, 14)))
    book = new_book(tmp_path, server="mad-lic-01")
    book.update(log)
    with pytest.raises(tf.ArgumentError, match="no ledger: give contract="):
        book.ledger()
    tf.Book(book.path, contract=CONTRACT).update()
    assert_is_settled_at_once(book)
    with pytest.raises(tf.ArgumentTypeError, match=r"tokenflex\.Contract"):
        tf.Book(tmp_path / "other.book", contract="team 7")  # type: ignore[arg-type] # a bad call
    with pytest.raises(tf.ArgumentError, match="give rule and rates"):
        tf.Book(tmp_path / "other.book", contract=CONTRACT)


def export(tokens: dict[tuple[str, int], int]) -> bytes:
    rows = "".join(f"2026-07-{day:02},ACD,{user},{count}\n" for (user, day), count in tokens.items())
    return f"usageDate,productLineCode,userName,tokensConsumed\n{rows}".encode()


def test_a_later_statement_says_what_its_days_are(tmp_path: Path) -> None:
    book = new_book(tmp_path)
    first = export({("ana", 13): 7, ("ana", 14): 7, ("bea", 20): 7})
    assert book.add_statement(first)["rows"].to_list() == [3]
    assert book.add_statement(first).is_empty()
    # The 13th to the 15th: ana's 14th is no more.
    book.add_statement(export({("ana", 13): 8, ("bea", 15): 7}))
    found = book.statement().select("user", pl.col("usage_date").dt.day(), "tokens").rows()
    assert found == [("bea", 20, Decimal(7)), ("ana", 13, Decimal(8)), ("bea", 15, Decimal(7))]
    assert book.add_statement(first).is_empty(), "the older one does not come back"
    book.add_statement(export({("cai", 13): 7}), beside=True)
    assert book.statement()["tokens"].sum() == 29
    told = book.statements().select("statement", "rows", "rows_current", "tokens").rows()
    assert told == [(1, 3, 1, Decimal(7)), (2, 2, 2, Decimal(15)), (3, 1, 1, Decimal(7))]
    with duckdb.connect(str(book.path), read_only=True) as connection:
        assert connection.sql("SELECT sum(tokens) FROM statement").fetchall() == [(Decimal(29),)]


@settings(max_examples=6)
@given(
    st.lists(
        st.tuples(
            st.dictionaries(st.tuples(st.sampled_from("ab"), st.integers(1, 9)), st.integers(1, 9), min_size=1),
            st.booleans(),
        ),
        max_size=4,
    )
)
def test_each_day_is_that_of_the_last_statement_over_it(
    tmp_path_factory: pytest.TempPathFactory, given_statements: list[tuple[dict[tuple[str, int], int], bool]]
) -> None:
    book = new_book(tmp_path_factory.mktemp("book"))
    book.update()
    rows: list[tuple[str, int, int]] = []
    known = set()
    for tokens, beside in given_statements:
        book.add_statement(export(tokens), beside=beside, problems=tf.Problems())
        if export(tokens) in known:
            continue
        known.add(export(tokens))
        days = [day for _, day in tokens]
        if not beside:
            rows = [row for row in rows if not min(days) <= row[1] <= max(days)]
        rows += [(user, day, count) for (user, day), count in tokens.items()]
    found = book.statement().select("user", pl.col("usage_date").dt.day(), pl.col("tokens").cast(pl.Int64)).rows()
    assert found == rows


def test_what_is_odd_in_a_statement_is_told_and_kept(tmp_path: Path) -> None:
    book = new_book(tmp_path)
    problems = tf.Problems()
    book.add_statement(b"usageDate,tokensConsumed\n2026-07-40,7\n", problems=problems)
    assert problems.frame["code"].to_list() == ["bad_date"]
    assert book.problems().equals(problems.frame)
    path = tmp_path / "no.csv"
    path.write_bytes(b"a,b\n1,2\n")
    with pytest.raises(tf.SourceError):
        book.add_statement(path)
    assert book.statements().height == 1


# Crashes, full disks, and two at once.

NIGHTS = textwrap.dedent("""
    import sys, tokenflex as tf
    book = tf.Book(sys.argv[1], timezone="Europe/Madrid", server="mad-lic-01", rule=tf.TOKEN_FLEX,
                   rates=tf.Rates({"ACD": 7, "RVT": 10}), patience=float(sys.argv[3]))
    print("ready", flush=True)
    book.update(sys.argv[2])
    print("done", flush=True)
""")


def update_elsewhere(book: Path, log: Path, patience: float = 60) -> subprocess.Popen[str]:
    arguments = [sys.executable, "-c", NIGHTS, str(book), str(log), str(patience)]
    return subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def kill_night_after_night(folder: Path, kills: int, nights: int) -> None:
    """A month of updates, each killed at random moments before it comes to its end."""
    chance = random.Random(kills)
    log, path = folder / "debug.log", folder / "tokens.book"
    done = 0
    for night in range(nights):
        with log.open("a") as file:
            file.write(DAY.format(day=night + 1))
        for _ in range(kills // nights + (night < kills % nights)):
            process = update_elsewhere(path, log)
            assert process.stdout is not None
            process.stdout.readline()
            time.sleep(chance.random() * 0.35)
            process.send_signal(signal.SIGKILL)
            process.communicate()
            done += 1
        if night % 3 == 2:
            tf.Book(path, rule=tf.TOKEN_FLEX, rates=RATES, timezone="Europe/Madrid", server="mad-lic-01").update(log)
    assert done == kills
    book = tf.Book(path, rule=tf.TOKEN_FLEX, rates=RATES, timezone="Europe/Madrid", server="mad-lic-01")
    book.update(log)
    assert_is_one_run(book, {log.read_bytes()})
    assert book.charges().height == nights


def test_a_killed_update_leaves_the_book_as_it_was(tmp_path: Path) -> None:
    kill_night_after_night(tmp_path, kills=4, nights=2)


@pytest.mark.heavy
def test_two_hundred_killed_updates_leave_the_book_as_it_was(tmp_path: Path) -> None:
    kill_night_after_night(tmp_path, kills=220, nights=30)


@pytest.fixture
def full_disk() -> Iterator[None]:
    """No file may grow beyond a size that a book of a night fits in, and one of many does not."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.usefixtures("full_disk")
def test_a_full_disk_is_a_clear_error_and_changes_nothing(tmp_path: Path) -> None:
    log = tmp_path / "debug.log"
    log.write_text(DAY.format(day=13))
    book = new_book(tmp_path, server="mad-lic-01")
    book.update(log)
    before = (book.charges(), book.updates())
    # What cannot be packed has to be written.
    log.write_bytes(log.read_bytes() + random.Random(1).randbytes(6_000_000).replace(b"\n", b""))
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (book.path.stat().st_size + 500_000, limit[1]))
    with pytest.raises(tf.SourceError, match="it is as it was before"):
        book.update(log)
    resource.setrlimit(resource.RLIMIT_FSIZE, limit)
    assert plain(book.charges()).equals(plain(before[0]))
    assert book.updates().equals(before[1])
    log.write_text(DAY.format(day=13) + DAY.format(day=14))
    book.update(log)
    assert_is_one_run(book, {log.read_bytes()})


def test_a_log_that_grows_while_it_is_read_is_read_as_it_was(tmp_path: Path) -> None:
    log = tmp_path / "debug.log"
    log.write_text(DAY.format(day=1))
    book = new_book(tmp_path, server="mad-lic-01")
    stop = threading.Event()

    def write() -> None:
        lines = [line for day in range(2, 29) for line in DAY.format(day=day).splitlines(keepends=True)]
        for line in lines:
            with log.open("a") as file:
                file.write(line[:9])
                file.flush()
                file.write(line[9:])
            if stop.wait(0.01):
                return

    writer = threading.Thread(target=write)
    writer.start()
    while writer.is_alive():
        book.update(log)
    stop.set()
    writer.join()
    book.update(log)
    assert_is_one_run(book, {log.read_bytes()})
    assert book.charges().height == 28


def test_two_updates_at_once_wait_for_each_other(tmp_path: Path) -> None:
    logs = [tmp_path / f"{day}.log" for day in (13, 14, 15)]
    for log in logs:
        log.write_text(DAY.format(day=log.stem))
    processes = [update_elsewhere(tmp_path / "tokens.book", log) for log in logs]
    for process in processes:
        out, error = process.communicate(timeout=60)
        assert out == "ready\ndone\n", error
    book = tf.Book(tmp_path / "tokens.book")
    assert_is_one_run(book, {log.read_bytes() for log in logs})
    assert book.updates().height == 3


def test_a_book_in_use_is_told_with_who_uses_it(tmp_path: Path) -> None:
    book = new_book(tmp_path, server="mad-lic-01")
    book.update(DAY.format(day=13).encode())
    code = f"import duckdb, sys; c = duckdb.connect({str(book.path)!r}); print('open', flush=True); sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", code],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as other:
        assert other.stdout is not None
        other.stdout.readline()
        hasty = tf.Book(book.path, patience=0.2)
        with pytest.raises(tf.BusyError, match=rf"nothing was done: .*{other.pid}"):
            hasty.update(DAY.format(day=14).encode())
        assert other.stdin is not None
        other.stdin.close()
    assert book.updates().height == 1


def test_threads_wait_for_each_other(tmp_path: Path) -> None:
    book = new_book(tmp_path, server="mad-lic-01")
    logs = [DAY.format(day=day).encode() for day in range(11, 16)]
    threads = [threading.Thread(target=book.update, args=(log,)) for log in logs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert_is_one_run(book, set(logs))


# Versions.


def columns_of(connection: duckdb.DuckDBPyConnection) -> list[tuple[object, ...]]:
    """Every column of every table and view."""
    return connection.sql(
        "SELECT table_name, column_name, data_type FROM duckdb_columns() "
        "WHERE NOT internal AND table_name NOT LIKE 'packed_%' ORDER BY ALL"
    ).fetchall()


@pytest.mark.parametrize(("version", "nights"), [(1, 1), (2, 2)])
def test_a_book_of_an_earlier_version_opens_in_this_one(tmp_path: Path, version: int, nights: int) -> None:
    path = tmp_path / "tokens.book"
    with duckdb.connect() as connection:
        connection.execute(store.SCHEMA + store.VIEWS)
        fresh = columns_of(connection)
    with duckdb.connect(str(path)) as connection:
        connection.execute(Path(__file__).with_name(f"book_v{version}.sql").read_text())
    book = tf.Book(path)
    assert book.charges()["tokens"].to_list() == [Decimal(7)] * nights
    with duckdb.connect(str(path)) as connection:
        assert connection.sql("SELECT version FROM book").fetchall() == [(store.VERSION,)]
        assert connection.sql("SELECT sum(tokens) FROM charges").fetchall() == [(Decimal(7) * nights,)]
        assert columns_of(connection) == fresh
    log = tmp_path / "debug.log"
    log.write_text("".join(DAY.format(day=13 + night) for night in range(nights + 1)))
    assert book.update(log).files["what"].to_list() == ["rotated and grown"]
    assert_is_one_run(book, {log.read_bytes()})


def test_a_book_of_a_later_version_is_refused(tmp_path: Path) -> None:
    book = new_book(tmp_path, server="mad-lic-01")
    book.update(DAY.format(day=13).encode())
    with duckdb.connect(str(book.path)) as connection:
        connection.execute("UPDATE book SET version = 99")
    with pytest.raises(tf.SourceError, match="version 99"):
        book.charges()


def test_what_is_no_book_is_refused(tmp_path: Path) -> None:
    with pytest.raises(tf.SourceNotFoundError, match="there is no book"):
        tf.Book(tmp_path / "none.book", timezone="UTC").charges()
    text = tmp_path / "text.book"
    text.write_text("no database " * 2000)
    with pytest.raises(tf.SourceError, match="cannot be opened as a book"):
        tf.Book(text).charges()
    other = tmp_path / "other.book"
    with duckdb.connect(str(other)) as connection:
        connection.execute("CREATE TABLE a (b INTEGER)")
    with pytest.raises(tf.SourceError, match="no book"):
        tf.Book(other).update(b"")


def test_a_text_can_be_read_from_any_byte_and_line(tmp_path: Path) -> None:
    content = b"".join(b"%d\n" % number for number in range(2000))
    book = new_book(tmp_path, server="mad-lic-01")
    for size in (1000, 5000, len(content)):
        book.update(content[:size])
    with book._store.reading() as connection:
        kept = Kept(connection, 1)
        assert kept.at(990, 60) == content[990:1050]
        assert kept.line(1500) == content.index(b"1499\n")
        assert kept.line(1500, known=(content.index(b"1000\n"), 1000)) == content.index(b"1499\n")
        assert kept.line(2002) is None


@settings(max_examples=8)
@given(st.lists(st.binary(max_size=300), min_size=1, max_size=3))
def test_hostile_bytes_are_kept_or_refused_clearly(
    tmp_path_factory: pytest.TempPathFactory, contents: list[bytes]
) -> None:
    book = new_book(tmp_path_factory.mktemp("book"), server="mad-lic-01")
    for content in contents:
        try:
            book.update(content)
            book.add_statement(content, problems=tf.Problems())
        except tf.TokenflexError:
            continue
    for table in (book.sessions(), book.charges(), book.statement(), book.problems(), book.sources()):
        assert table.height >= 0
    assert_is_one_run(book)


def test_a_charge_is_final_once_its_time_is_certain(tmp_path: Path) -> None:
    book = new_book(tmp_path, server="mad-lic-01")
    lines = DAY.format(day=13).splitlines(keepends=True)
    book.update("".join(lines[:3]).encode())
    assert book.charges(final=True).is_empty()
    book.update("".join(lines).encode())
    assert book.charges(final=True)["charged_at"].to_list() == [datetime(2026, 7, 13, 10, 0, 5, tzinfo=UTC)]
