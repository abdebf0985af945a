"""`tokenflex update`, and `--book` in place of logs: the same answers, and what gives way to what."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import duckdb
import polars as pl
import pytest
from typer.testing import CliRunner, Result

import tokenflex as tf
from tokenflex import cli
from tokenflex.commands.config import NAME
from tokenflex.commands.logs import BookOfLogs, opened
from tokenflex.commands.options import BAD_INPUT, BUSY, LOOK_AT, ReadOptions

if TYPE_CHECKING:
    from tokenflex.demo import DemoFirm

MADRID: Final = "--timezone=mad-lic-01=Europe/Madrid"
CHICAGO: Final = "--timezone=chi-lic-01=America/Chicago"
TERMS: Final = (MADRID, CHICAGO, "--rates", "rates.csv", "--rule", "rule.toml")
BOOK: Final = ("--book", "tokens.book")
DAYS: Final = 100
FIRST: Final = date(2026, 1, 5)
"""A Monday."""


def run(*arguments: object) -> Result:
    return CliRunner().invoke(cli.app, [str(argument) for argument in arguments], prog_name="tokenflex")


def said(*arguments: object) -> Any:
    result = run(*arguments, "--json")
    assert result.exit_code in (0, LOOK_AT), (arguments, result.output, result.exception)
    assert result.stderr == ""
    return json.loads(result.stdout)


def fails(result: Result, *parts: str, code: int = BAD_INPUT) -> None:
    assert result.exit_code == code, result.output
    assert result.stdout == ""
    assert isinstance(result.exception, SystemExit)
    assert "Traceback" not in result.stderr
    for part in parts:
        assert part in result.stderr


def line(clock: str, kind: str, feature: str, user: str, why: str = "") -> str:
    return f'{clock} (adskflex) {kind}: "{feature}" {user}@{user}-pc  {why}\n'


def days_of_logs(server: str, people: list[str], first: date) -> list[str]:
    """The lines of each day: work from morning to evening, a refusal now and then, one product left open at the end."""
    banner = f"0:00:01 (lmgrd) FlexNet Licensing (v11.18.0.0) started on {server} (IBM PC) ({first:%m/%d/%Y})\n"
    days = []
    for number in range(DAYS):
        day = first + timedelta(days=number)
        text = (banner if number == 0 else "") + f"0:00:05 (lmgrd) TIMESTAMP {day:%m/%d/%Y}\n"
        for place, user in enumerate(people):
            if (number + place) % 3 and day.isoweekday() <= 5:
                feature = ("87545ACD_2022_0F", "87561RVT_2022_0F")[(number // 2 + place) % 2]
                text += line(f"{8 + place}:00:00", "OUT", feature, user)
                text += line(
                    f"{8 + place}:10:00", "DENIED", feature, "eve", "(Licensed number of users already reached)"
                )
                if number + 1 < DAYS:
                    text += line(f"{13 + (number + place) % 5}:30:00", "IN", feature, user)
        if number == 5:
            text += line("23:00:00", "IN", "87545ACD_2022_0F", "nobody")
        days.append(text + f"23:30:00 (lmgrd) TIMESTAMP {day:%m/%d/%Y}\n")
    return days


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A hundred days of two servers, whose book took them in four nights, and what else the commands take."""
    place = tmp_path_factory.mktemp("firm")
    (place / "logs").mkdir()
    logs = {
        "mad-lic-01": days_of_logs("mad-lic-01", ["ana", "bea", "Ana"], FIRST),
        "chi-lic-01": days_of_logs("chi-lic-01", ["cat", "dan"], FIRST),
    }
    (place / "rates.csv").write_text("product,tokens\nACD,7\nRVT,10\n")
    (place / "more.csv").write_text("product,tokens\nACD,8\nRVT,10\n")
    rule = tf.Rule(window="day", zone="server", min_duration=timedelta(minutes=5))
    (place / "rule.toml").write_text(rule.to_toml())
    (place / "users.csv").write_text(
        "user,zone\nana,Europe/Madrid\nAna,Europe/Madrid\nbea,Europe/Madrid\ncat,America/Chicago\ndan,Asia/Singapore\n"
    )
    (place / "price-list.toml").write_text('[[subscriptions]]\nname = "Revit"\nproducts = ["RVT"]\nprice = 2985\n')
    (place / "offer.toml").write_text('overage_price = "4"\nyears = 3\n[[prices]]\nfrom_tokens = 0\nunit_price = "3"\n')
    tf.Contract(number="7", packs=[tf.Pack(id="a", tokens=1500, purchased="2026-01-01")]).write(place / "contract.toml")
    for until in (30, 31, 70, DAYS):
        for server, days in logs.items():
            (place / "logs" / f"{server}.log").write_text("".join(days[:until]))
        terms = [*(TERMS[:2]), "--rates", place / "rates.csv", "--rule", place / "rule.toml"] if until == 30 else []
        said("update", "--book", place / "tokens.book", place / "logs", *terms)
    charges = tf.Book(place / "tokens.book").charges()
    rows = [
        f"{day},{product},{user},pc,mad-lic-01,DESKTOP_PRODUCT,{tokens}\n"
        for day, product, user, tokens in charges.filter(server="mad-lic-01")
        .select("usage_date", "product", "user", "tokens")
        .iter_rows()
    ]
    head = "usageDate,productLineCode,userName,machineName,licenseServerName,usageCategory,tokensConsumed\n"
    (place / "statement.csv").write_text(head + "".join(rows[:-3]))
    return place


@pytest.fixture
def firm(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The same, to be changed; the book knows its logs where they are now."""
    place = tmp_path / "firm"
    shutil.copytree(made, place)
    monkeypatch.chdir(place)
    return place


LOGS: Final = ("logs",)
SETTLED: Final = ("--contract", "contract.toml")
COMMANDS: Final[dict[str, tuple[tuple[object, ...], tuple[object, ...]]]] = {
    "audit": (("audit", *LOGS, *TERMS), ("--statement", "statement.csv")),
    "balance": (("balance", *LOGS, *TERMS), SETTLED),
    "capacity": (("capacity", *LOGS, MADRID, CHICAGO), ("--hours", "08:00-18:00")),
    "charge": (("charge", *LOGS, *TERMS), ()),
    "charge as of": (("charge", *LOGS, *TERMS), ("--as-of", "2026-06-01")),
    "chargeback": (("chargeback", *LOGS, *TERMS), (*SETTLED, "--by", "user", "--split", "minutes")),
    "compare": (("compare", *LOGS, *TERMS), ("--price-list", "price-list.toml", "--token-price", 3)),
    "doubles": (("doubles", *LOGS, *TERMS), ("--users", "users.csv")),
    "doubles stated": (("doubles", "statement.csv", "--logs", *LOGS, *TERMS), ("--users", "users.csv")),
    "estimate": (("estimate", *LOGS, *TERMS), ()),
    "forecast": (("forecast", *LOGS, *TERMS), ("--incomplete", "keep", "--number", 50)),
    "harvest": (("harvest", *LOGS, *TERMS), ("--users", "users.csv")),
    "idle": (("idle", *LOGS, MADRID, CHICAGO), ("--users", "users.csv")),
    "infer-rule": (("infer-rule", "statement.csv", "--logs", *LOGS, *TERMS[:4]), ("--tolerance", "0.5")),
    "ledger": (("ledger", *LOGS, *TERMS), SETTLED),
    "plan": (("plan", *LOGS, *TERMS), ("--offer", "offer.toml", "--incomplete", "keep", "--number", 20)),
    "report": (("report", *LOGS, *TERMS), ("--out", "out", "--period", "2026-02")),
    "run": (("run", *LOGS, *TERMS), ("--month", "2026-02")),
    "sessions": (("sessions", *LOGS, MADRID, CHICAGO), ("--out", "sessions.parquet")),
    "sensitivity": (("sensitivity", *LOGS, *TERMS), ("--token-price", 3)),
    "whatif": (("whatif", *LOGS, *TERMS), ("--servers", 1)),
}
"""Each command on logs, in two halves: logs and how they are charged, and what it takes besides."""


def of_book(arguments: tuple[object, ...]) -> list[object]:
    """The same command on the book: without logs and terms."""
    name, *rest = arguments
    stated = [each for each in rest if each == "statement.csv"]
    return [name, *stated, *BOOK]


OF_FILES: Final = ("file", "bytes")


def in_any_order(answer: Any) -> Any:
    """Without what is said of files: their order and packed size, and of each code of a problem which was the first."""
    if not isinstance(answer, dict):
        return answer
    answer = dict(answer)
    for name in ("servers", "files"):
        if isinstance(answer.get(name), list):
            rows = [{key: value for key, value in row.items() if key not in OF_FILES} for row in answer[name]]
            answer[name] = sorted(rows, key=json.dumps)
    if "problems" in answer:
        answer["problems"] = sorted((row["code"], row.get("rows", 1)) for row in answer["problems"])
    return answer


def test_every_command_that_takes_logs_takes_a_book() -> None:
    without_logs = {"init", "update", "demo", "inspect", "rerun", "completion"}
    assert {name.split()[0] for name in COMMANDS} == {name for name, *_ in cli._COMMANDS} - without_logs


@pytest.mark.parametrize("command", COMMANDS)
def test_a_book_says_what_its_logs_say(command: str, firm: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tf.Report, "write", lambda *_, **__: None)
    given, more = COMMANDS[command]
    of_logs = in_any_order(said(*given, *more))
    before = (firm / "tokens.book").read_bytes()
    assert in_any_order(said(*of_book(given), *more)) == of_logs
    assert (firm / "tokens.book").read_bytes() == before


@pytest.mark.heavy
@pytest.mark.parametrize("command", sorted(set(COMMANDS) - {"forecast", "plan"}))
def test_the_book_of_the_demo_says_what_its_logs_say(
    command: str, demo_firm: DemoFirm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three servers, rotated and packed logs, real spellings."""
    shutil.copytree(demo_firm.folder, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    zones = [f"--timezone={server}={zone}" for server, zone in demo_firm.servers.items()]
    terms = [*zones, "--rates", "rates.csv", "--rule", "rule.toml"]
    said("update", *BOOK, "logs/mad-lic-01", "logs/chi-lic-01", *terms)
    said("update", *BOOK, "logs")
    given, more = COMMANDS[command]
    more = tuple("2025-10" if each == "2026-02" else each for each in more)
    taken = [each for each in given if each not in TERMS]
    needs_rule = set(given) >= {"--rule"}
    of_logs = said(*taken, *(terms if needs_rule else terms[: 5 if "--rates" in given else 3]), *more)
    assert in_any_order(said(*of_book(given), *more)) == in_any_order(of_logs)


# What an update says.


def test_an_update_says_what_it_took(firm: Path) -> None:
    (firm / "logs" / "late.log").write_text(
        "8:00:00 (lmgrd) FlexNet Licensing (v11.18.0.0) started on lon-lic-01 (IBM PC) (1/4/2026)\n"
        + line("8:00:05", "OUT", "87561RVT_2022_0F", "zoe")
        + line("9:00:00", "IN", "87561RVT_2022_0F", "zoe")
        + "9:30:00 (lmgrd) TIMESTAMP 1/4/2026\n"
    )
    zones = ("--timezone=lon-lic-01=Europe/London", MADRID, CHICAGO)
    fails(run("update", *BOOK, "logs"), "lon-lic-01", "--timezone")
    assert {row["what"] for row in said("update", *BOOK, "logs/mad-lic-01.log", "logs/chi-lic-01.log")["files"]} == {
        "rotated"
    }
    answer = said("update", *BOOK, "logs", *zones)
    assert [row["what"] for row in answer["files"]].count("known") == 2
    assert {row["file"]: row["what"] for row in answer["files"]}["logs/late.log"] == "new"
    assert (answer["update"], answer["is_full"], answer["sessions"]["new"]) == (6, True, 1)
    assert answer["charges"] == {"written": 1, "removed": 0}
    again = run("update", *BOOK, "logs", *zones)
    assert again.exit_code == 0, again.output
    assert "3 known" in again.stdout
    assert "Nothing changed" in again.stdout
    assert max(len(each) for each in again.stdout.splitlines()) <= 80


LATE: Final = (
    "8:00:00 (lmgrd) FlexNet Licensing (v11.18.0.0) started on mad-lic-01 (IBM PC) (1/18/2026)\n"
    + line("8:00:05", "OUT", "87561RVT_2022_0F", "zoe")
    + line("9:00:00", "IN", "87561RVT_2022_0F", "zoe")
    + "9:30:00 (lmgrd) TIMESTAMP 1/18/2026\n"
)


@pytest.fixture
def late(firm: Path) -> Path:
    """A log of what was final already."""
    (firm / "late.log").write_text(LATE)
    return Path("late.log")


@pytest.mark.usefixtures("firm")
def test_corrections_are_told_and_fail_only_if_asked(late: Path) -> None:
    shutil.copy("tokens.book", "other.book")
    result = run("update", *BOOK, late)
    assert result.exit_code == 0, result.output
    assert re.search(r"late +zoe +RVT +2026-01-18 +- +10", result.stdout), result.stdout
    assert "1 correction, +10 tokens in all" in result.stdout
    assert max(len(each) for each in result.stdout.splitlines()) <= 100
    answer = run("update", "--book", "other.book", late, "--fail-on-corrections", "--json")
    assert answer.exit_code == LOOK_AT
    told = json.loads(answer.stdout)
    assert told["corrections"] == 1
    assert Decimal(told["difference"]) == 10
    assert tf.Book("other.book").corrections()["user"].to_list() == ["zoe"]
    assert run("update", "--book", "other.book", late, "--fail-on-corrections").exit_code == 0


@pytest.mark.usefixtures("firm")
def test_quiet_says_nothing() -> None:
    result = run("update", *BOOK, "logs", "--quiet")
    assert (result.exit_code, result.output) == (0, "")


@pytest.mark.usefixtures("firm")
def test_new_terms_alone_are_applied() -> None:
    before = tf.Book("tokens.book").charges()
    answer = said("update", *BOOK, "--rates", "more.csv")
    assert answer["files"] == []
    after = tf.Book("tokens.book").charges()
    assert Decimal(answer["difference"]) > 0
    assert set(after.filter(product="ACD")["tokens"]) == {Decimal(8)}
    assert set(before.filter(product="ACD")["tokens"]) == {Decimal(7)}
    assert said("update", *BOOK, "--rates", "more.csv")["charges"] == {"written": 0, "removed": 0}


@pytest.mark.usefixtures("firm")
def test_a_book_without_rates_has_sessions_and_takes_rates_later() -> None:
    result = run("update", "--book", "new.book", "logs", MADRID, CHICAGO)
    assert result.exit_code == 0, result.output
    assert "no rates yet" in result.stdout
    fails(run("update", "--book", "new.book", "--rule", "flex"), "--rule goes with --rates")
    result = run("charge", "--book", "new.book")
    assert (result.exit_code, result.stdout.splitlines()[0]) == (BAD_INPUT, "product,tokens,effective_from")
    assert said("update", "--book", "new.book", "--rates", "rates.csv")["charges"]["written"] > 100
    assert tf.Book("new.book").terms.rule == tf.TOKEN_FLEX


def test_users_go_with_a_rule_of_their_days(firm: Path) -> None:
    fails(run("update", *BOOK, "--users", "users.csv"), "--users goes with a rule")
    (firm / "own.toml").write_text(tf.Rule(window="day", zone="user").to_toml())
    terms = (MADRID, CHICAGO, "--rule", "own.toml", "--rates", "rates.csv", "--users", "users.csv")
    (firm / "users.csv").write_text((firm / "users.csv").read_text() + "eve,UTC\nnobody,UTC\n")
    assert said("update", "--book", "own.book", "logs", *terms)["charges"]["written"] > 0
    assert said("charge", "--book", "own.book")["totals"]["charges"] == tf.Book("own.book").charges().height


BEGUN: Final = ("--book", "begun.book")


@pytest.mark.usefixtures("firm")
def test_a_book_whose_first_update_was_killed_is_begun_again() -> None:
    """What is left of it is a file without tables."""
    duckdb.connect("begun.book").close()
    fails(run("charge", *BEGUN), "no update has come to its end", "tokenflex update --book begun.book LOGS")
    fails(run("update", *BEGUN), "there is no book begun.book yet")
    assert said("update", *BEGUN, "logs", *TERMS)["charges"]["written"] > 0


def test_what_is_given_wrongly_is_told(firm: Path) -> None:
    fails(run("update", "logs"), "--book is missing")
    fails(run("update", "--book", "new.book"), "no logs given, and there is no book new.book yet")
    fails(run("update", "--book", "new.book", "nowhere", MADRID), "nowhere")
    for other in ("rates.csv", "logs/mad-lic-01.log"):
        fails(run("update", "--book", other, "logs", MADRID, CHICAGO), f"{other} cannot be opened as a book")
        fails(run("charge", "--book", other), f"{other} cannot be opened as a book")
    fails(run("update", "--book", "logs", "logs", MADRID, CHICAGO), "logs cannot be opened as a book")
    fails(run("update", *BOOK, "logs", "--first-date", "soon"), "--first-date soon")
    fails(run("charge", "--book", "new.book"), "there is no book new.book", "tokenflex update --book new.book LOGS")
    fails(run("charge", "logs", *BOOK), "--book stands in place of logs")
    fails(run("infer-rule", "statement.csv", "--logs", "logs", *BOOK), "--book stands in place of logs")
    (firm / "charges.csv").write_text("charged_at,usage_date,tokens\n2026-01-05T08:00:00Z,2026-01-05,7\n")
    fails(run("ledger", "charges.csv", *BOOK, *SETTLED), "--book goes with logs")
    assert not (firm / "new.book").exists()


HOLD: Final = "import duckdb, sys; _ = duckdb.connect(sys.argv[1]); print('open', flush=True); sys.stdin.read()"


@pytest.mark.usefixtures("firm")
def test_a_book_that_is_open_elsewhere_ends_with_a_code_of_its_own() -> None:
    command = [sys.executable, "-c", HOLD, "tokens.book"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "open\n"
        fails(run("update", *BOOK, "logs", "--patience", "0.1"), "nothing was done", code=BUSY)
        other.communicate("")
    assert run("update", *BOOK, "logs", "--patience", "0.1").exit_code == 0


def test_an_update_in_the_middle_of_a_command_is_noticed(firm: Path) -> None:
    read = opened([], ReadOptions(book=firm / "tokens.book", quiet=True))
    assert isinstance(read, BookOfLogs)
    assert said("update", *BOOK, "--rates", "more.csv")["charges"]["written"] > 0
    with pytest.raises(tf.BusyError, match="updated while it was read"):
        read.sessions(None, tf.Problems())


def test_problems_of_a_book_are_told_by_where_they_come_from(firm: Path) -> None:
    (firm / "one.csv").write_text("product,tokens\nACD,7\n")
    said("update", *BOOK, "--rates", "one.csv")
    book = tf.Book("tokens.book")
    parts = [book.problems(of=part) for part in ("logs", "charges", "contract")]
    of_logs, of_charges, of_contract = parts
    assert set(of_logs["code"]) == {"checkin_without_checkout"}
    assert set(of_charges["code"]) == {"no_rate"}
    assert of_contract.is_empty()
    assert book.problems().equals(pl.concat(parts))
    with pytest.raises(tf.ArgumentError, match="has to be logs, charges, contract or None"):
        book.problems(of="log")  # type: ignore[arg-type]  # what is wrong here


# What is given beside a book.


def test_terms_that_differ_are_charged_anew_and_the_book_stays(firm: Path) -> None:
    before = (firm / "tokens.book").read_bytes()
    for more in (("--rates", "more.csv"), ("--rule", "flex"), ("--rule", "rule.toml", "--rates", "rates.csv")):
        base = dict(zip(TERMS[2::2], TERMS[3::2], strict=True)) | dict(zip(more[::2], more[1::2], strict=True))
        terms = [each for pair in base.items() for each in pair]
        assert in_any_order(said("charge", *BOOK, *more)) == in_any_order(
            said("charge", "logs", MADRID, CHICAGO, *terms)
        )
    assert (firm / "tokens.book").read_bytes() == before


@pytest.mark.usefixtures("firm")
def test_other_zones_read_the_logs_of_the_book_anew() -> None:
    zones = (MADRID.replace("Madrid", "London"), CHICAGO)
    of_book = said("charge", *BOOK, *zones)
    assert in_any_order(of_book) == in_any_order(said("charge", "logs", *zones, *TERMS[2:]))
    assert in_any_order(of_book) != in_any_order(said("charge", *BOOK))
    fails(run("charge", *BOOK, MADRID), "chi-lic-01", "--timezone")


@pytest.mark.usefixtures("firm")
def test_charges_of_the_book_are_taken_and_not_made_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tf, "charge", lambda *_, **__: pytest.fail("charged anew"))
    monkeypatch.setattr(tf.Book, "log", lambda *_, **__: pytest.fail("logs were read again"))
    result = run("charge", *BOOK, "--quiet", "--out", "charges.parquet")
    assert result.exit_code == 0, result.output
    assert run("ledger", *BOOK, *SETTLED).exit_code == 0


@pytest.mark.usefixtures("firm")
def test_charges_of_a_book_go_into_many_files() -> None:
    assert said("charge", *BOOK, "--out", "charges") == said("charge", *BOOK)
    assert pl.read_parquet("charges/*.parquet").rows() == tf.Book("tokens.book").charges().rows()
    fails(run("charge", "logs", *BOOK, "--out", "more"), "one of the two")


@pytest.mark.usefixtures("firm")
def test_contract_and_statements_of_a_book_are_those_of_its_answers() -> None:
    given = (*SETTLED, "--statement", "statement.csv")
    fails(run("ledger", *BOOK), "--contract is missing")
    fails(run("audit", *BOOK), "--statement is missing")
    assert [row["file"] for row in said("update", *BOOK, *given)["statements"]] == ["statement.csv"]
    assert said("update", *BOOK, *given)["statements"] == []
    for command in (("ledger",), ("balance",), ("chargeback", "--by", "user", "--split", "minutes")):
        assert said(*command, *BOOK) == said(*command, *BOOK, *given), command
    assert said("audit", *BOOK) == said("audit", *BOOK, *given[2:])


@pytest.mark.usefixtures("firm")
def test_what_is_closed_in_a_book_stays_in_its_answers() -> None:
    fails(run("ledger", *BOOK, *SETTLED, "--close", "2026-02"), "--keep")
    said("update", *BOOK, *SETTLED)
    closed = said("ledger", *BOOK, "--close", "2026-02")
    assert closed["closed"] == "2026-02-28"
    assert tf.Book("tokens.book").ledger().closed == date(2026, 2, 28)
    said("update", *BOOK, "--rates", "more.csv")
    now = said("ledger", *BOOK)
    assert now["closed"] == "2026-02-28"
    assert now["corrections"]
    assert now["balances"] == said("ledger", *BOOK, *SETTLED)["balances"]


@pytest.mark.usefixtures("firm")
def test_a_contract_needs_charges_to_draw_from_it() -> None:
    said("update", "--book", "new.book", "logs", MADRID, CHICAGO)
    fails(run("update", "--book", "new.book", *SETTLED), "--contract goes with --rates")


# What `tokenflex.toml` says.


@pytest.fixture
def configured(firm: Path) -> Path:
    """A configuration that names logs, the book and the terms."""
    (firm / NAME).write_text(
        'logs = ["logs/"]\nbook = "tokens.book"\nrates = "rates.csv"\nrule = "rule.toml"\nusers = "users.csv"\n'
        '[servers]\nmad-lic-01 = "Europe/Madrid"\nchi-lic-01 = "America/Chicago"\n'
    )
    return firm


def test_update_takes_book_and_logs_from_the_file(configured: Path) -> None:
    (configured / "tokens.book").unlink()
    result = run("update")
    assert result.exit_code == 0, result.output
    assert "from tokenflex.toml: logs, --timezone, --book, --rates, --rule" in result.stderr
    assert said("update")["sessions"] == {"new": 0, "changed": 0, "removed": 0}
    assert tf.Book("tokens.book").charges().height > 100


@pytest.mark.usefixtures("configured")
def test_the_book_of_the_file_goes_before_its_logs() -> None:
    shutil.rmtree("logs")
    result = run("charge")
    assert result.exit_code == 0, result.output
    last = tf.Book("tokens.book").updates().row(-1, named=True)
    first, second = result.stderr.splitlines()
    assert first == "from tokenflex.toml: --timezone, --book, --rates, --rule"
    assert second == f"from tokens.book: update 4, which ended {last['ended_at']:%Y-%m-%d %H:%M} UTC"
    assert run("charge", "--quiet").stderr == ""
    assert said("doubles", "statement.csv")["cases"] is not None
    assert said("doubles")["tokens_charged"] == str(tf.Book("tokens.book").charges()["tokens"].sum())


def test_logs_on_the_command_line_go_before_the_book_of_the_file(configured: Path) -> None:
    (configured / "one").mkdir()
    shutil.copy("logs/mad-lic-01.log", "one")
    result = run("charge", "one")
    assert "book" not in result.stderr
    answer = said("charge", "one")
    assert answer["totals"]["servers"] == 1
    assert said("charge", "one", "--no-config", *TERMS)["totals"] == answer["totals"]
    (configured / "charges.csv").write_text("charged_at,usage_date,tokens\n2026-01-05T08:00:00Z,2026-01-05,7\n")
    assert said("ledger", "charges.csv", *SETTLED)["entries"] > 0
    assert said("capacity", *BOOK)["sessions"] > answer["totals"]["sessions"]


def test_a_book_that_the_file_names_and_that_is_not_there_is_no_reason_to_take_logs(configured: Path) -> None:
    (configured / "tokens.book").unlink()
    fails(run("charge", "--quiet"), "there is no book tokens.book", "tokenflex update --book tokens.book")
    fails(run("ledger", *SETTLED), "there is no book tokens.book")
