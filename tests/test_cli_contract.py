"""`tokenflex ledger`, `balance` and `chargeback`, on the demo's contract and on small ones."""

from __future__ import annotations

import dataclasses
import json
import re
from collections import defaultdict
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import polars as pl
import pytest
from polars.testing import assert_frame_equal
from typer.testing import CliRunner, Result

import tokenflex as tf
from tokenflex import cli, tables
from tokenflex.commands import options
from tokenflex.commands.ledger_lines import followed
from tokenflex.demo import DemoFirm, write_logs
from tokenflex.reading.charges import read_charges


def run(*arguments: object) -> Result:
    return CliRunner().invoke(cli.app, [str(argument) for argument in arguments], prog_name="tokenflex")


def text_of(*arguments: object) -> str:
    result = run(*arguments)
    assert result.exit_code == 0, result.stderr
    # What names a file is not wrapped, so that it can be copied.
    lines = [line for line in result.stdout.splitlines() if " written to " not in line]
    assert max((len(line) for line in lines), default=0) <= 100
    return result.stdout


def answer_of(*arguments: object) -> dict[str, Any]:
    result = run(*arguments, "--json")
    assert result.exit_code == 0, result.stderr
    answer: dict[str, Any] = json.loads(result.stdout)
    return answer


def fails(result: Result, *words: str) -> None:
    assert result.exit_code == options.BAD_INPUT, result
    assert result.stderr.startswith("tokenflex: ")
    assert "Traceback" not in result.stderr
    for word in words:
        assert word in result.stderr


@dataclass(frozen=True)
class Case:
    """Five months of the demo, charged into a file by the command line."""

    demo: DemoFirm
    charges: Path

    @property
    def of_logs(self) -> list[object]:
        zones = [f"--timezone={server}={zone}" for server, zone in self.demo.servers.items()]
        return [self.demo.folder / "logs", *zones, "--rates", self.demo.rates_path, "--rule", self.demo.rule_path]

    @property
    def contract(self) -> list[object]:
        return ["--contract", self.demo.contract_path]

    @property
    def statement(self) -> list[object]:
        return ["--statement", self.demo.statement_path]

    @property
    def groups(self) -> list[object]:
        return ["--groups", self.demo.groups_path]

    def ledger(self, *, with_statement: bool = True, as_of: datetime | None = None) -> tf.Ledger:
        """The same by the library, from the file of charges as anyone would read it."""
        charges = pl.read_csv(self.charges, infer_schema=False).with_columns(
            pl.col("tokens").cast(tables.TOKENS),
            pl.col("charged_at", "window_end").str.to_datetime(time_unit="us", time_zone="UTC"),
            pl.col("session").cast(pl.UInt64),
        )
        statement = tf.read_statement(self.demo.statement_path) if with_statement else None
        contract = tf.Contract.read(self.demo.contract_path)
        return contract.settle(charges, statement=statement, as_of=as_of, problems=tf.Problems())


@pytest.fixture(scope="module")
def case(tmp_path_factory: pytest.TempPathFactory) -> Case:
    folder = tmp_path_factory.mktemp("contract")
    made = Case(write_logs(folder / "demo"), folder / "charges.csv")
    assert run("charge", *made.of_logs, "--out", made.charges, "--quiet").exit_code == 0
    return made


def decimals(rows: list[dict[str, Any]], *names: str) -> list[tuple[object, ...]]:
    return [tuple(None if row[name] is None else Decimal(row[name]) for name in names) for row in rows]


# The ledger


def test_the_ledger_of_the_demo_can_be_followed_line_by_line(case: Case) -> None:
    shown = text_of("ledger", case.charges, *case.contract, *case.statement)
    for words in (
        "tokens left of 238,000 provided",
        "contract DEMO-1 on 2026-01-30",
        "Balance by pool",
        "provisioned + adjusted + carried - consumed - expired = balance",
        "By month",
        "2025-10",
        "adjustment: used before the",
        "closes: what is left expires",
        "manual consumption:",
        "part 1 of 2",
        "pool is empty now",
        "part 2 of 2",
        "no_tokens",
    ):
        assert words in shown
    assert "by hand" not in shown
    quiet = run("ledger", case.charges, *case.contract, "--quiet")
    assert (quiet.exit_code, quiet.stdout, quiet.stderr) == (0, "", "")


@pytest.mark.parametrize("show", [0, 1, 4, 30, 100_000])
def test_shown_lines_go_on_from_each_other_and_add_up_to_the_entries(case: Case, show: int) -> None:
    answer = answer_of("ledger", case.charges, *case.contract, *case.statement, "--show", show)
    ledger = case.ledger()
    assert answer["entries"] == len(ledger)
    told = [line for line in answer["lines"] if line["entry"] is not None]
    assert len(told) <= show
    balance: defaultdict[str, Decimal] = defaultdict(Decimal)
    for line in answer["lines"]:
        assert Decimal(line["before"]) == balance[line["account"]]
        assert Decimal(line["before"]) + Decimal(line["tokens"]) == Decimal(line["after"])
        balance[line["account"]] = Decimal(line["after"])
    left = dict(ledger.balances().select("pool", "balance").head(-1).iter_rows())
    assert {pool: tokens for pool, tokens in left.items() if pool in balance} == dict(balance)
    known = {row["entry"]: row for row in ledger.entries.iter_rows(named=True)}
    for line in told:
        entry = known[line["entry"]]
        assert Decimal(line["after"]) == entry["balance_after"]
        assert datetime.fromisoformat(line["at"]) == entry["at"]
    happened = [row["entry"] for row in known.values() if row["kind"] != "charge"]
    if show == 100_000:
        assert set(happened) <= {line["entry"] for line in told}


def test_the_json_of_the_ledger_is_the_ledger(case: Case) -> None:
    answer = answer_of("ledger", case.charges, *case.contract, *case.statement)
    ledger = case.ledger()
    names = ("provisioned", "adjusted", "carried", "consumed", "expired", "balance")
    assert decimals(answer["balances"], *names) == ledger.balances().select(names).rows()
    assert answer["as_of"] == ledger.as_of.isoformat()
    assert [problem["code"] for problem in answer["problems"]] == ["no_tokens"]
    assert answer["by_month"] == months_of(ledger)


def months_of(ledger: tf.Ledger) -> list[dict[str, Any]]:
    """What happened by month, counted entry by entry."""
    zone = ZoneInfo(ledger.contract.zone)
    sums: defaultdict[str, defaultdict[str, Decimal]] = defaultdict(lambda: defaultdict(Decimal))
    charges: defaultdict[str, set[int]] = defaultdict(set)
    names = {
        "provision": "provided",
        "adjustment": "booked",
        "move": "booked",
        "carry_over": "carried",
        "charge": "used",
        "manual_consumption": "used",
        "expiry": "expired",
        "overage": "overage",
    }
    lost = ("used", "expired", "overage")
    left = Decimal(0)
    pools = [pool.id for pool in ledger.contract.pools]
    used_of = set()
    for row in ledger.entries.iter_rows(named=True):
        month = row["at"].astimezone(zone).date().replace(day=1).isoformat()
        name = names[row["kind"]]
        sums[month][name] += -row["tokens"] if name in lost else row["tokens"]
        if name == "used":
            used_of.add(row["pool"])
            sums[month][f"used of {row['pool']}"] -= row["tokens"]
        if row["pool"] is not None:
            left += row["tokens"]
        sums[month]["left"] = left
        if row["charge"] is not None:
            charges[month].add(row["charge"])
    columns = ["provided", "booked", "carried", "used", *(f"used of {pool}" for pool in pools if pool in used_of)]
    columns += ["expired", "left", "overage"]
    return [
        {
            "month": month,
            "charges": len(charges[month]),
            **{name: f"{sums[month][name]:.4f}" for name in columns},
            "refused": 0,
        }
        for month in sorted(sums)
    ]


def test_logs_and_the_charges_written_of_them_have_one_ledger(case: Case) -> None:
    of_file = answer_of("ledger", case.charges, *case.contract)
    of_logs = answer_of("ledger", *case.of_logs, *case.contract)
    codes = [problem["code"] for problem in of_logs.pop("problems")]
    assert {"no_tokens", "no_rate", "unreadable_line"} <= set(codes)
    assert [problem["code"] for problem in of_file.pop("problems")] == ["no_tokens"]
    assert of_file == of_logs


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_the_file_of_entries_reads_back(case: Case, tmp_path: Path, ending: str) -> None:
    out = tmp_path / f"ledger.{ending}"
    shown = text_of("ledger", case.charges, *case.contract, *case.statement, "--out", out)
    ledger = case.ledger()
    assert f"{len(ledger):,} entries written to" in " ".join(shown.split())
    if ending == "parquet":
        found = pl.read_parquet(out)
    else:
        text = pl.read_csv(out, infer_schema=False)
        found = text.with_columns(
            pl.col("entry", "charge").cast(pl.UInt64),
            pl.col("booking").cast(pl.UInt32),
            pl.col("tokens", "balance_before", "balance_after").cast(tables.TOKENS),
            pl.col("at").str.to_datetime(time_unit="us", time_zone="UTC"),
        )
    plain = ledger.entries.with_columns(pl.col("kind", "pool", "corrects").cast(pl.String))
    found = found.with_columns(pl.col("corrects").cast(pl.String))
    assert_frame_equal(found.select(plain.columns), plain)
    charges = ledger.charges
    for name in ("user", "product", "server"):
        wanted = [None if row is None else charges[name][row] for row in ledger.entries["charge"].head(3_000)]
        assert found[name].head(3_000).to_list() == wanted
    reasons = found.filter(pl.col("booking").is_not_null())["reason"].to_list()
    assert reasons == ledger.bookings["reason"].to_list()


def test_as_of_ends_the_ledger_and_shows_what_expires_until_then(case: Case) -> None:
    early = answer_of("ledger", case.charges, *case.contract, "--as-of", "2025-09-30T21:59:59Z")
    assert {line["what"] for line in early["lines"]} & {"closes: what is left expires"} == set()
    late = answer_of("ledger", case.charges, *case.contract, "--as-of", "2027-09-30T22:00Z")
    total = late["balances"][-1]
    assert Decimal(total["balance"]) == 0
    assert Decimal(total["expired"]) > 100_000
    assert late["lines"][-1]["what"] == "closes: what is left expires"


def test_before_the_contract_and_after_it(case: Case) -> None:
    before = text_of("ledger", case.charges, *case.contract, "--as-of", "2024-09-30")
    assert "0 tokens left of 0 provided" in before
    assert "Nothing has happened yet: the contract begins on 2024-10-01." in before
    assert answer_of("ledger", case.charges, *case.contract, "--as-of", "2024-09-30")["lines"] == []
    nobody = answer_of("chargeback", case.charges, *case.contract, "--by", "user", "--as-of", "2024-09-30")
    assert nobody["lines"] == []
    assert (nobody["tokens"], nobody["cost"]) == ("0.0000", "0.00000000")
    assert "0 tokens left; none was used" in text_of("balance", case.charges, *case.contract, "--at", "2024-09-30")
    after = text_of("balance", case.charges, *case.contract, "--at", "2027-09-30T22:00Z")
    assert after.strip().startswith("no tokens left: the contract ended on 2027-09-30, and ")
    second = text_of("balance", case.charges, *case.contract, "--at", "2027-09-30T21:59:59Z").strip()
    assert second.startswith("159,")
    none = case.charges.with_name("none.csv")
    none.write_text(case.charges.read_text(encoding="utf-8").partition("\n")[0] + "\n", encoding="utf-8")
    assert "122,500 tokens left of 169,000 provided" in text_of("ledger", none, *case.contract)


SMALL = """user,product,server,charged_at,window_end,trigger,tokens,session
ana,ACD,lic-a,2026-01-05T08:00:00Z,2026-01-06T08:00:00Z,launch,7,0
bob,RVT,,2026-01-05T09:00:00Z,2026-01-06T09:00:00Z,resume,10,1
ana,RVT,lic-a,2026-01-06T08:00:00Z,2026-01-07T08:00:00Z,renewal,10.5,2
"""


@pytest.fixture
def small(tmp_path: Path) -> Path:
    path = tmp_path / "small.csv"
    path.write_text(SMALL, encoding="utf-8")
    return path


def packs(path: Path, *tokens: int, **terms: Any) -> Path:
    made = [tf.Pack(id=f"order {size}", tokens=size, purchased="2026-01-01") for size in tokens]
    tf.Contract(number="team 7", packs=made, **terms).write(path)
    return path


def whats(*arguments: object) -> list[str]:
    return [line["what"] for line in answer_of("ledger", *arguments)["lines"]]


def test_a_launch_that_is_refused_is_told(small: Path, tmp_path: Path) -> None:
    contract = packs(tmp_path / "contract.toml", 19, on_empty="refuse")
    assert whats(small, "--contract", contract) == [
        "opens",
        "ana launched ACD on lic-a",
        "bob used again RVT",
        "ana went on using RVT on lic-a: refused, the open pools have too little",
    ]
    answer = answer_of("ledger", small, "--contract", contract)
    assert answer["by_month"][0]["refused"] == 1
    assert "refused" in text_of("ledger", small, "--contract", contract)
    late = answer_of("ledger", small, "--contract", contract, "--as-of", "2027-01-01", "--show", 0)["lines"]
    assert [line["what"] for line in late] == ["1 provision, 2 charges, 1 expiry", "1 refusal"]
    two = packs(tmp_path / "two.toml", 19, 20)
    late = answer_of("ledger", small, "--contract", two, "--as-of", "2027-01-01", "--show", 0)["lines"]
    assert [line["what"] for line in late] == ["1 provision, 3 charges", "1 provision, 1 charge, 1 expiry"]
    # A refusal between the lines told is no change of any pool.
    last = answer_of("ledger", small, "--contract", contract, "--show", 3)["lines"][-1]
    assert (last["entry"], last["what"], last["tokens"], last["before"]) == (None, "1 refusal", "0.0000", None)


def test_what_is_owed_has_an_account_of_its_own(small: Path, tmp_path: Path) -> None:
    contract = packs(tmp_path / "contract.toml", 4, 20)
    shown = text_of("ledger", small, "--contract", contract)
    assert "3.5 that no pool could give are owed" in shown
    assert whats(small, "--contract", contract) == [
        "opens",
        "opens",
        "ana launched ACD on lic-a, part 1 of 2; the pool is empty now",
        "ana launched ACD on lic-a, part 2 of 2",
        "bob used again RVT",
        "ana went on using RVT on lic-a, part 1 of 2; the pool is empty now",
        "ana went on using RVT on lic-a, part 2 of 2; no pool has tokens, so these are owed",
    ]


@pytest.mark.parametrize(
    ("on_empty", "words"),
    [
        ("overage", ["someone used a product; no pool has tokens, so these are owed", "2 charges"]),
        ("refuse", ["someone used a product: refused, the open pools have too little", "2 refusals"]),
    ],
)
def test_the_first_that_is_owed_or_refused_is_told(tmp_path: Path, on_empty: str, words: list[str]) -> None:
    path = tmp_path / "charges.csv"
    path.write_text("charged_at,tokens\n" + "".join(f"2026-01-{day:02}T08:00:00Z,7\n" for day in range(5, 13)))
    told = answer_of("ledger", path, "--contract", packs(tmp_path / "contract.toml", 35, on_empty=on_empty))["lines"]
    used = "someone used a product"
    assert [line["what"] for line in told] == [
        "opens",
        *[used] * 3,
        "1 charge",
        f"{used}; the pool is empty now",
        *words,
    ]


def test_bookings_and_carry_over_are_told(small: Path, tmp_path: Path) -> None:
    contract = tf.Contract(
        number="1",
        years=[
            tf.ContractYear(year=1, start="2025-01-05", end="2026-01-04", tokens=100, carry_over=True),
            tf.ContractYear(year=2, start="2026-01-05", end="2027-01-04", tokens=100),
        ],
        bookings=[tf.Booking(day="2025-06-01", tokens=5, kind="adjustment", reason="goodwill")],
    )
    path = tmp_path / "contract.json"
    contract.write(path)
    assert whats(small, "--contract", path)[:5] == [
        "opens",
        "adjustment: goodwill",
        "closes: what is left is carried over",
        "gets what was carried over",
        "opens",
    ]
    moved = tf.Booking(day="2026-01-02", tokens=5, kind="move", pool="order 9", team="team 8", reason="merged")
    team = packs(tmp_path / "team.toml", 9, bookings=[moved])
    assert "move to team 8: merged" in whats(small, "--contract", team)
    carried = text_of("ledger", small, "--contract", path)
    assert "provided + booked - what each pool gave - expired = left" in carried


def test_more_than_is_shown_is_counted(case: Case) -> None:
    ledger = case.ledger()
    all_that_happens = sum(line["entry"] is not None for line in followed(ledger, 100_000).lines)
    assert followed(ledger, 100_000).more == 0
    assert followed(ledger, 5).more == all_that_happens - 5
    shown = " ".join(text_of("ledger", case.charges, *case.contract, *case.statement, "--show", 5).split())
    assert f"There are {all_that_happens - 5} more where something happens" in shown


def test_many_packs_fit_the_width(small: Path, tmp_path: Path) -> None:
    contract = packs(tmp_path / "contract.toml", *range(1, 60))
    shown = text_of("ledger", small, "--contract", contract)
    assert "35 other pools" in shown
    answer = answer_of("ledger", small, "--contract", contract)
    assert Decimal(answer["balances"][-1]["provisioned"]) == sum(range(1, 60))
    assert "used" in shown[shown.index("By month") :]


@pytest.mark.parametrize("width", [50, 80, 100])
@pytest.mark.parametrize("command", [["ledger"], ["balance"], ["chargeback", "--by", "user,product"]])
def test_no_number_is_cut_however_narrow_it_is(small: Path, tmp_path: Path, command: list[str], width: int) -> None:
    contract = packs(
        tmp_path / "contract.toml",
        1_234_567_891,
        20,
        prices=[tf.PriceTier(from_tokens=0, unit_price="1234.5678")],
        bookings=[tf.Booking(day="2026-01-02", tokens="-1234567000.9876", kind="adjustment")],
    )
    given = [*command, small, "--contract", contract]
    wide = CliRunner().invoke(cli.app, [str(each) for each in given], env={"COLUMNS": "400"}).stdout
    narrow = CliRunner().invoke(cli.app, [str(each) for each in given], env={"COLUMNS": str(width)}).stdout
    assert max(len(line) for line in narrow.splitlines()) <= width
    assert sorted(letters(wide)) == sorted(letters(narrow))


def letters(shown: str) -> str:
    """What stands there, without blanks and the lines of tables: folding changes only the order.

    Nor is the table of months in it, which has a column for each pool only where there is room.
    """
    return re.sub(r"By month.*?(?=Line by line)|[\s─]", "", shown, flags=re.DOTALL)


# The balance


def test_the_balance_of_the_demo(case: Case) -> None:
    shown = text_of("balance", case.charges, *case.contract, *case.statement)
    answer = answer_of("balance", case.charges, *case.contract, *case.statement)
    ledger = case.ledger()
    burn = ledger.burn()
    first = shown.strip().splitlines()[0]
    assert burn.exhausted_at is not None
    until = burn.exhausted_at.astimezone(ZoneInfo("Europe/Madrid")).date()
    left = f"{burn.balance.normalize():,f}"
    assert first.startswith(f"{left} tokens left, enough until {until} at the rate of ")
    for words in ("next to open: annual 3 on 2026-10-01", "runs dry", "What tokens have cost (USD)", "2.7000"):
        assert words in shown
    assert (Decimal(answer["left"]), Decimal(answer["tokens_per_day"])) == (burn.balance, burn.tokens_per_day)
    assert answer["exhausted_at"] == burn.exhausted_at.isoformat()
    assert Decimal(answer["expected_overage"]) == burn.expected_overage
    for name, table in (("outlook", burn.pools), ("cost", ledger.cost()), ("balances", ledger.balances())):
        numbers = [column for column, dtype in table.schema.items() if dtype.is_decimal()]
        assert decimals(answer[name], *numbers) == table.select(numbers).rows()
        assert [row["pool"] for row in answer[name]] == table["pool"].to_list()


def test_the_balance_at_a_time_and_what_expires_soon(case: Case) -> None:
    at = datetime(2025, 9, 20, tzinfo=UTC)
    answer = answer_of("balance", case.charges, *case.contract, "--at", "2025-09-20", "--within", 30, "--window", 7)
    ledger = case.ledger(with_statement=False, as_of=at)
    assert answer["at"] == at.isoformat()
    assert Decimal(answer["tokens"]) == ledger.burn(window=timedelta(days=7)).tokens
    soon = ledger.expiring(within=timedelta(days=30))
    assert [row["pool"] for row in answer["expiring"]] == soon["pool"].to_list() == ["annual 1"]
    assert decimals(answer["expiring"], "tokens", "value") == soon.select("tokens", "value").rows()
    shown = text_of("balance", case.charges, *case.contract, "--at", "2025-09-20", "--within", 30)
    assert "Expires within 30 days if nobody uses it" in shown
    shown = text_of("balance", case.charges, *case.contract, "--at", "2025-09-20", "--within", 5)
    assert "No pool that has tokens ends within 5 days." in shown


def test_a_time_after_the_last_charge_will_do(case: Case) -> None:
    shown = text_of("balance", case.charges, *case.contract, "--at", "2026-06-01T12:00+02:00")
    assert "none was used in the 28 days before" in shown.splitlines()[1]
    assert "contract DEMO-1 on 2026-06-01 12:00:00 (Europe/Madrid)" in shown


@pytest.mark.parametrize(
    ("tokens", "words"),
    [
        (17, "0 tokens left, so what is used is owed, at the rate of"),
        (27, "0 tokens left, so what is used is owed, at the rate of"),
        (30, "2.5 tokens left, enough until 2026-01-0"),
        (60_000, "59,972.5 tokens left, enough until the contract ends on 2026-12-31 at the rate of"),
    ],
)
def test_the_first_line_answers_how_long_it_lasts(small: Path, tmp_path: Path, tokens: int, words: str) -> None:
    shown = text_of("balance", small, "--contract", packs(tmp_path / "contract.toml", tokens))
    assert " ".join(shown.split()).startswith(words)
    assert "What tokens cost is not known: the contract has no prices." in shown


def test_what_is_owed_has_its_price(small: Path, tmp_path: Path) -> None:
    contract = packs(
        tmp_path / "contract.toml", 10, prices=[tf.PriceTier(from_tokens=0, unit_price=2)], overage_price="3.5"
    )
    shown = text_of("balance", small, "--contract", contract)
    (row,) = [line.split() for line in shown.splitlines() if line.startswith("(owed)")]
    assert row == ["(owed)", "3.5000", "17.5", "61.25"]
    (row,) = [line.split() for line in shown.splitlines() if line.startswith("all") and "81.25" in line]
    assert row[-1] == f"{(Decimal(20) + Decimal('61.25')) / Decimal('27.5'):.4f}"
    free = packs(tmp_path / "free.toml", 10, prices=[tf.PriceTier(from_tokens=0, unit_price=2)])
    (row,) = [line.split() for line in text_of("balance", small, "--contract", free).splitlines() if "(owed)" in line]
    assert row == ["(owed)", "-", "17.5", "-"]


# Chargeback


def test_the_chargeback_of_the_demo_adds_up_to_its_ledger(case: Case) -> None:
    given = [case.charges, *case.contract, *case.statement, "--by", "group,product", *case.groups]
    shown = text_of("chargeback", *given)
    answer = answer_of("chargeback", *given)
    ledger = case.ledger()
    taken = ledger.balances()["consumed"][-1] + ledger.cost()["overage"][-1]
    assert sum(Decimal(line["tokens"]) for line in answer["lines"]) == taken == Decimal(answer["tokens"])
    assert sum(Decimal(line["cost"]) for line in answer["lines"]) == ledger.cost()["value_consumed"][-1]
    assert Decimal(answer["ledger"]["from_pools"]) + Decimal(answer["ledger"]["overage"]) == taken
    for words in (
        "tokens by group, product",
        "The ledger of contract DEMO-1 took as many",
        "design support",
        "(unassigned)",
        "15 tokens of it were booked by hand",
        "People without a group (1)",
        "cost (USD)",
    ):
        assert words in " ".join(shown.split())
    groups = tf.Groups.read(case.demo.groups_path)
    plain = dataclasses.replace(ledger, charges=tf.Identity().apply(ledger.charges, problems=tf.Problems()))
    wanted = tf.chargeback(plain, by=["group", "product"], groups=groups, problems=tf.Problems())
    assert [(line["group"], line["product"]) for line in answer["lines"]] == wanted.select("group", "product").rows()
    assert decimals(answer["lines"], "tokens", "cost") == wanted.select("tokens", "cost").rows()
    by_pool = text_of("chargeback", *given[:-4], "--by", "pool,month")
    assert "(unassigned)" not in by_pool
    assert "booked by hand" not in by_pool
    repeated = answer_of("chargeback", *given[:-4], "--by", "group", "--by", "product,group", *case.groups)
    assert repeated == answer


def test_spellings_of_a_name_are_one_person_and_aliases_say_more(case: Case, tmp_path: Path) -> None:
    users = [line["user"] for line in answer_of("chargeback", case.charges, *case.contract, "--by", "user")["lines"]]
    assert "EGRET.SIN" in case.ledger().charges["user"]
    assert "egret.sin" in users
    assert "EGRET.SIN" not in users
    aliases = tmp_path / "aliases.csv"
    aliases.write_text("spelling,person\negret.sin,Eva\ndunlin.sin,Eva\n", encoding="utf-8")
    lines = answer_of("chargeback", case.charges, *case.contract, "--by", "user", "--aliases", aliases)["lines"]
    assert len(lines) == len(users) - 1
    assert "Eva" in [line["user"] for line in lines]


def test_minutes_of_the_logs(case: Case, tmp_path: Path) -> None:
    out = tmp_path / "lines.csv"
    given = [*case.of_logs, *case.contract, "--by", "site", *case.groups, "--split", "minutes"]
    answer = answer_of("chargeback", *given)
    whole = answer_of("chargeback", case.charges, *case.contract, "--by", "site", *case.groups)
    assert answer["tokens"] == whole["tokens"]
    assert answer["cost"] == whole["cost"]
    assert all(line["minutes"] > 0 for line in answer["lines"])
    assert all(line["minutes"] is None for line in whole["lines"])
    shown = text_of("chargeback", *given, "--out", out, "--show", 2)
    assert "minutes" in shown
    assert f"{len(answer['lines']) - 2} more" in shown
    written = pl.read_csv(out, infer_schema=False)
    assert sum(Decimal(tokens) for tokens in written["tokens"]) == Decimal(answer["tokens"])
    assert written["site"].to_list() == [line["site"] for line in answer["lines"]]


def test_tokens_without_a_price_are_told(small: Path, tmp_path: Path) -> None:
    contract = packs(tmp_path / "contract.toml", 100)
    answer = answer_of("chargeback", small, "--contract", contract, "--by", "user")
    assert answer["cost"] is None
    assert answer["tokens_without_price"] == "27.5000"
    shown = text_of("chargeback", small, "--contract", contract, "--by", "month")
    assert "without a price" in shown
    assert "2026-01" in shown


# Errors


@pytest.mark.parametrize("command", [["ledger"], ["balance"], ["chargeback", "--by", "user"]])
def test_what_is_missing_or_wrong_is_said(case: Case, tmp_path: Path, command: list[str]) -> None:
    fails(run(*command, case.charges), "--contract is missing", "[[years]]", "[[packs]]")
    fails(run(*command, case.charges, "--contract", tmp_path / "no.toml"), "there is no contract", "no.toml")
    wrong = tmp_path / "wrong.toml"
    wrong.write_text(case.demo.contract_path.read_text().replace("end = 2025-09-30", 'end = "soon"'))
    fails(run(*command, case.charges, "--contract", wrong), "wrong.toml", "years[0].end")
    fails(run(*command, case.demo.rates_path, *case.contract), "column 'charged_at' is missing", "charge --out")
    fails(run(*command, case.demo.statement_path, *case.contract), "column 'charged_at' is missing", "--statement")
    fails(run(*command, case.charges, case.demo.folder / "logs", *case.contract), "is a table and no log")
    fails(run(*command, tmp_path / "nowhere", *case.contract), "nowhere")
    for option, value in (("--rates", case.demo.rates_path), ("--server", "x"), ("--rule", "flex")):
        fails(run(*command, case.charges, *case.contract, option, value), f"{option} goes with logs")
    fails(run(*command, case.charges, *case.contract, "--timezone", "UTC"), "--timezone goes with logs")
    # A statement's local times have a zone.
    told = run(*command, case.charges, *case.contract, *case.statement, "--timezone", "UTC", "--quiet")
    assert told.exit_code == 0, told.stderr


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (["chargeback"], ["--by is missing"]),
        (["chargeback", "--by", "team"], ["nothing is called 'team'", "user, product, server, month, pool"]),
        (["chargeback", "--by", "group"], ["nothing is called 'group'", "--groups gives group"]),
        (["chargeback", "--by", "user,"], ["a name is empty"]),
        (["chargeback", "--by", "user", "--split", "minutes"], ["--split minutes takes logs"]),
        (["chargeback", "--by", "user", "--split", "hours"], ["window-start or minutes"]),
        (["chargeback", "--by", "user", "--out", "x.txt"], ["--out x.txt"]),
        (["ledger", "--as-of", "soon"], ["--as-of soon"]),
        (["ledger", "--out", "x.txt"], ["--out x.txt"]),
        (["balance", "--at", "soon"], ["--at soon"]),
    ],
)
def test_wrong_options_are_named(case: Case, given: list[str], words: list[str]) -> None:
    fails(run(*given, case.charges, *case.contract), *words)


def test_a_contract_that_stops_says_at_which_charge(small: Path, tmp_path: Path) -> None:
    contract = packs(tmp_path / "contract.toml", 10, on_empty="error")
    fails(run("ledger", small, "--contract", contract), "row 1 takes 10 tokens", "have 3")


# Charges from a file


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ("7,0\n", None),
        ("7.00001,0\n", ["row 0", "tokens is '7.00001'", "four decimals"]),
        ('"7,5",0\n', ["row 0", "tokens is '7,5'"]),
        ("1e3,0\n", ["row 0", "tokens is '1e3'"]),
        ("7,first\n", ["row 0", "session is 'first'"]),
    ],
)
def test_tokens_are_read_digit_by_digit(tmp_path: Path, wrong: str, words: list[str] | None) -> None:
    path = tmp_path / "charges.csv"
    path.write_text(SMALL.replace("7,0\n", wrong, 1), encoding="utf-8")
    contract = packs(tmp_path / "contract.toml", 100)
    result = run("ledger", path, "--contract", contract, "--quiet")
    if words is None:
        assert result.exit_code == 0, result.stderr
    else:
        fails(result, "charges.csv", *words)


@pytest.mark.parametrize("time", ["2026-01-05T08:00:00", "2026-01-05", "soon"])
def test_a_time_without_a_zone_is_no_instant(tmp_path: Path, time: str) -> None:
    path = tmp_path / "charges.csv"
    path.write_text(SMALL.replace("2026-01-05T08:00:00Z", time, 1), encoding="utf-8")
    fails(run("ledger", path, "--contract", packs(tmp_path / "contract.toml", 9)), "row 0: charged_at", time)


def test_a_date_that_is_none_is_no_date_of_use(tmp_path: Path) -> None:
    path = tmp_path / "charges.csv"
    path.write_text("charged_at,tokens,usage_date\n2026-01-05T08:00:00Z,7,5.1.2026\n", encoding="utf-8")
    fails(run("ledger", path, "--contract", packs(tmp_path / "contract.toml", 9)), "row 0: usage_date", "2026-01-31")


def test_charges_of_csv_are_those_that_were_written(tmp_path: Path) -> None:
    path = tmp_path / "charges.csv"
    frame = pl.DataFrame(
        {
            "charged_at": [datetime(2026, 1, 5, 8, 0, 0, 123456, UTC), None, datetime(1970, 1, 1, tzinfo=UTC)],
            "tokens": [Decimal("123456789012345.6789"), Decimal("0.0001"), None],
            "session": pl.Series([2**63, None, 0], dtype=pl.UInt64),
            "usage_date": [date(2026, 1, 5), None, date(1970, 1, 1)],
            "project": ["bridge", None, "tunnel"],
        },
        schema_overrides={"charged_at": tables.TIME, "tokens": tables.TOKENS},
    )
    frame.write_csv(path)
    assert_frame_equal(read_charges(path), frame)
    for separator, encoding in ((";", "utf-16"), ("\t", "utf-8-sig")):
        path.write_text(frame.write_csv(separator=separator), encoding=encoding)
        assert_frame_equal(read_charges(path), frame)
    parquet = tmp_path / "charges"
    frame.write_parquet(parquet)
    assert_frame_equal(read_charges(parquet), frame)
    path.write_text("charged_at,tokens\n2026-01-05 10:00:00+02:00,7.\n2026-01-05 08:00:00.5Z,-7.00000\n")
    times = [datetime(2026, 1, 5, 8, tzinfo=UTC), datetime(2026, 1, 5, 8, 0, 0, 500_000, UTC)]
    assert read_charges(path).rows() == [(times[0], Decimal(7)), (times[1], Decimal(-7))]


def test_columns_of_parquet_are_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "charges.parquet"
    pl.DataFrame({"charged_at": [datetime(2026, 1, 5, tzinfo=UTC)], "tokens": [7.5]}).write_parquet(path)
    fails(run("ledger", path, "--contract", packs(tmp_path / "contract.toml", 9)), "tokens", "Float64", "exact")


def test_columns_of_the_charges_will_do_to_charge_back(tmp_path: Path) -> None:
    path = tmp_path / "charges.csv"
    path.write_text("charged_at,tokens,project\n2026-01-05T08:00Z,7,bridge\n".replace("08:00Z", "08:00:00Z"))
    contract = packs(tmp_path / "contract.toml", 100)
    (line,) = answer_of("chargeback", path, "--contract", contract, "--by", "project")["lines"]
    assert (line["project"], line["tokens"]) == ("bridge", "7.0000")
    lacking = run("chargeback", path, "--contract", contract, "--by", "user")
    fails(lacking, "column 'user' is missing from the charges")
    assert whats(path, "--contract", contract) == ["opens", "someone used a product"]


def test_charges_are_told_from_the_vendors_exports(case: Case, tmp_path: Path) -> None:
    parquet = tmp_path / "charges"
    read_charges(case.charges).write_parquet(parquet)
    for path in (case.charges, parquet):
        found = tf.inspect(path)
        assert (found.kind, found.next.split()[:2]) == ("charges of tokenflex", ["tokenflex", "ledger"])
        charges = case.ledger().charges
        assert found.content == f"{charges.height:,} charges, {charges['tokens'].sum()} tokens"
        assert (found.first, found.last) == (charges["charged_at"].min(), charges["charged_at"].max())
        assert found.servers == tuple(sorted(case.demo.servers))


def test_a_broken_file_of_charges_is_said(tmp_path: Path) -> None:
    contract = packs(tmp_path / "contract.toml", 9)
    path = tmp_path / "charges"
    path.write_bytes(b"PAR1 and nothing else")
    fails(run("ledger", path, "--contract", contract), "charges cannot be read")
    with pytest.raises(tf.SourceNotFoundError, match="there is no file"):
        read_charges(tmp_path / "nowhere.csv")


def test_the_page_shows_what_the_commands_print(case: Case) -> None:
    page = (Path(__file__).parents[1] / "docs" / "ledger.md").read_text(encoding="utf-8")
    section = page[page.index("## On the command line") :]
    blocks = re.findall(r"```text\n(.*?)```", section, flags=re.DOTALL)
    assert len(blocks) == 3
    given = [case.charges, *case.contract, *case.statement]
    printed = [
        text_of("ledger", *given),
        text_of("balance", *given),
        text_of("chargeback", *given, "--by", "group", *case.groups),
    ]
    for block, shown in zip(blocks, printed, strict=True):
        lines = [line.rstrip() for line in shown.splitlines()]
        for line in block.splitlines():
            assert line.rstrip() in lines, line
