"""A closed past: what late data changes in it becomes corrections, and nothing is lost by closing and opening again."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tokenflex as tf
from tokenflex import tables

MADRID = "Europe/Madrid"
CASES: list[tuple[Literal["overage", "refuse"], bool]] = [("overage", False), ("refuse", True)]
CONTRACTS = [
    tf.Contract(
        number="token flex",
        zone=MADRID,
        contract_tokens=15,
        on_empty=on_empty,
        years=[
            tf.ContractYear(year=1, start="2025-04-01", end="2026-03-31", tokens=40, carry_over=carry_over),
            tf.ContractYear(year=2, start="2026-04-01", end="2027-03-31", tokens=30),
        ],
        bookings=[tf.Booking(day="2026-03-10", tokens="2.5", kind="manual_consumption")],
    )
    for on_empty, carry_over in CASES
] + [
    tf.Contract(
        number="flex",
        zone="America/Chicago",
        packs=[
            tf.Pack(id="a", tokens=20, purchased="2026-03-02", end="2026-03-29"),
            tf.Pack(id="b", tokens=25, purchased="2026-03-02"),
            tf.Pack(id="c", tokens=60, purchased="2026-03-20", end="2026-04-20"),
        ],
    )
]
FIRST, LAST = date(2026, 3, 2), date(2026, 4, 28)
SCHEMA: dict[str, Any] = {
    **dict.fromkeys(("user", "product"), pl.String),
    "charged_at": tables.TIME,
    "tokens": tables.TOKENS,
    "session": pl.UInt64,
}
END = datetime(2026, 5, 1, tzinfo=UTC)


def at(day: date, minute: int = 0) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC) + timedelta(minutes=minute)


def charges_of(rows: list[Any]) -> pl.DataFrame:
    ordered = sorted(rows, key=lambda row: row[2])
    return pl.DataFrame([(*row, place) for place, row in enumerate(ordered)], schema=SCHEMA, orient="row")


days = st.integers(0, (LAST - FIRST).days).map(lambda number: FIRST + timedelta(days=number))
rows: st.SearchStrategy[list[tuple[Any, ...]]] = st.lists(
    st.tuples(
        st.sampled_from(["ana", "bo"]),
        st.sampled_from(["ACD", "RVT"]),
        st.builds(at, days, st.sampled_from([0, 600, 1380])),
        st.sampled_from([Decimal(0), Decimal(7), Decimal("9.5"), Decimal("0.0001")]),
    ),
    max_size=14,
)


@st.composite
def histories(draw: st.DrawFn) -> list[tuple[list[Any], date | None]]:
    """What was known, night by night, and until when it was then closed; later nights know more, and less."""
    known = draw(rows)
    nights = []
    closed = FIRST
    for _ in range(draw(st.integers(1, 4))):
        closed = max(closed, draw(days))
        nights.append((list(known), draw(st.sampled_from([None, closed]))))
        kept = [row for row in known if draw(st.integers(0, 5))]
        known = kept + draw(rows)
        if draw(st.booleans()) and known:
            user, product, when, _ = known[0]
            known[0] = (user, product, when, Decimal(3))
    nights.append((known, None))
    return nights


def run(contract: tf.Contract, nights: list[tuple[list[Any], date | None]]) -> list[tf.Ledger]:
    ledgers: list[tf.Ledger] = []
    for known, closed in nights:
        charges = charges_of(known)
        if ledgers:
            ledger = ledgers[-1].update(charges, problems=tf.Problems())
        else:
            ledger = contract.settle(charges, as_of=END, problems=tf.Problems())
        if closed is not None and (ledger.closed is None or closed >= ledger.closed):
            ledger = ledger.close(closed)
        ledgers.append(ledger)
    return ledgers


def plain(entries: pl.DataFrame) -> list[Any]:
    """Entries without what counts rows of other tables."""
    return entries.select(
        pl.col("at", "tokens", "balance_before", "balance_after"), pl.col("kind", "pool").cast(pl.String)
    ).rows()


def balances(ledger: tf.Ledger) -> list[Any]:
    return ledger.balances().rows()


@given(contract=st.sampled_from(CONTRACTS), nights=histories())
@settings(max_examples=200)
def test_closing_and_opening_again_loses_nothing(contract: tf.Contract, nights: Any) -> None:
    last = run(contract, nights)[-1]
    fresh = contract.settle(charges_of(nights[-1][0]), as_of=END, problems=tf.Problems())
    assert balances(last) == balances(fresh)
    assert last.cost().rows() == fresh.cost().rows()
    opened = last.reopen()
    assert plain(opened.entries) == plain(fresh.entries)
    assert opened.closed is None
    assert opened.withdrawn == 0
    assert opened.corrections.is_empty()


@given(contract=st.sampled_from(CONTRACTS), nights=histories())
@settings(max_examples=200)
def test_what_was_closed_stays(contract: tf.Contract, nights: Any) -> None:
    ledgers = run(contract, nights)
    for before, after in pairwise(ledgers):
        if before.closed is None:
            continue
        cut = contract.first_instant(before.closed + timedelta(days=1))
        is_end = (pl.col("at") == cut) & pl.col("kind").cast(pl.String).is_in(["expiry", "carry_over"])
        fixed = before.entries.filter((pl.col("at") < cut) | is_end)
        assert plain(after.entries.head(fixed.height)) == plain(fixed)
        names = ("user", "product", "charged_at", "tokens")
        was, now = (
            ledger.charges.select(pl.col(name).gather(ledger.entries["charge"].head(fixed.height)) for name in names)
            for ledger in (before, after)
        )
        # A charge whose price was changed is the same charge.
        assert was.drop("tokens").equals(now.drop("tokens"))
        rest = after.entries.slice(fixed.height)
        corrections = rest.filter(pl.col("kind") == "correction")
        assert rest.head(corrections.height).equals(corrections)
        assert corrections["at"].unique().to_list() in ([], [cut])


@given(contract=st.sampled_from(CONTRACTS), nights=histories())
@settings(max_examples=200)
def test_every_entry_follows_from_the_one_before(contract: tf.Contract, nights: Any) -> None:
    ledger = run(contract, nights)[-1]
    assert ledger.entries["entry"].to_list() == list(range(1, len(ledger) + 1))
    assert ledger.entries["at"].is_sorted()
    balance: dict[str | None, Decimal] = {}
    for kind, pool, tokens, before, after in ledger.entries.select(
        pl.col("kind", "pool").cast(pl.String), "tokens", "balance_before", "balance_after"
    ).iter_rows():
        if kind == "refusal":
            continue
        assert before == balance.get(pool, Decimal(0))
        assert after == before + tokens
        assert after >= 0 or pool is None
        balance[pool] = after
    total = ledger.balances().row(-1, named=True)
    gained = total["provisioned"] + total["adjusted"] + total["carried"]
    assert gained == total["consumed"] + total["expired"] + total["balance"]
    is_one = ledger.entries["kind"] == "correction"
    assert (ledger.entries["corrects"].is_not_null() == is_one).all()
    assert ledger.corrections.height == is_one.sum()


def small() -> tf.Contract:
    return tf.Contract(
        number="7",
        packs=[
            tf.Pack(id="old", tokens=20, purchased="2026-03-01", end="2026-03-31", unit_price=3),
            tf.Pack(id="new", tokens=100, purchased="2026-03-01", end="2026-06-30", unit_price=2),
        ],
    )


def march(*given: tuple[str, int, int]) -> pl.DataFrame:
    return charges_of([(user, "ACD", at(date(2026, 3, day)), Decimal(tokens)) for user, day, tokens in given])


def test_late_data_are_corrections_and_a_statement_says_what_changed() -> None:
    contract, end = small(), datetime(2026, 4, 15, tzinfo=UTC)
    ledger = contract.settle(march(("ana", 5, 7), ("bo", 9, 7)), as_of=end).close(date(2026, 3, 31))
    assert ledger.balances(at=datetime(2026, 4, 1, tzinfo=UTC)).select("pool", "expired").rows()[0] == (
        "old",
        Decimal(6),
    )
    changed = ledger.update(march(("ana", 5, 7), ("ci", 20, 10)))
    said = changed.corrections.select("corrects", "reason", "pool", "tokens", "user").rows()
    assert [tuple(None if value is None else str(value) for value in row) for row in said] == [
        ("charge", "withdrawn", "old", "7.0000", "bo"),
        ("expiry", "follows", "old", "3.0000", None),
        ("charge", "late", "old", "-10.0000", "ci"),
    ]
    assert changed.corrections["at"].unique().to_list() == [datetime(2026, 4, 1, tzinfo=UTC)]
    assert changed.balances().select("pool", "consumed", "expired", "balance").rows()[0] == (
        "old",
        Decimal(17),
        Decimal(3),
        Decimal(0),
    )
    # The bill of March is what it was; April's has the rest.
    lines = tf.chargeback(changed, by=["month", "user"])
    billed = {
        (month.month, user): tokens for month, user, tokens in lines.select("month", "user", "tokens").iter_rows()
    }
    assert billed == {(3, "ana"): 7, (3, "bo"): 7, (4, "bo"): -7, (4, "ci"): 10}
    assert sum(lines["cost"].to_list(), Decimal(0)) == 51
    # A further night with the same data changes nothing.
    again = changed.update(march(("ana", 5, 7), ("ci", 20, 10)))
    assert again.entries.drop("charge").equals(changed.entries.drop("charge"))


def test_a_price_that_changed_is_the_same_charge() -> None:
    ledger = small().settle(march(("ana", 5, 7)), as_of=datetime(2026, 4, 15, tzinfo=UTC)).close(date(2026, 3, 31))
    changed = ledger.update(march(("ana", 5, 9)))
    assert changed.withdrawn == 0
    said = changed.corrections.select(pl.col("corrects", "reason").cast(pl.String), "tokens").rows()
    assert said == [("expiry", "follows", Decimal(2)), ("charge", "changed", Decimal(-2))]


def test_a_further_closing_keeps_the_corrections() -> None:
    ledger = small().settle(march(("ana", 5, 7)), as_of=datetime(2026, 5, 15, tzinfo=UTC)).close(date(2026, 3, 31))
    once = ledger.update(march(("ana", 5, 7), ("bo", 6, 7))).close(date(2026, 4, 30))
    twice = once.update(march(("ana", 5, 7)))
    assert twice.entries.filter(pl.col("kind") == "correction")["at"].to_list() == [
        *[datetime(2026, 4, 1, tzinfo=UTC)] * 2,
        *[datetime(2026, 5, 1, tzinfo=UTC)] * 2,
    ]
    assert twice.balances().rows() == ledger.balances().rows()
    back = twice.reopen(date(2026, 3, 31))
    assert back.closed == date(2026, 3, 31)
    assert back.corrections.is_empty()


def test_bookings_of_a_statement_that_changed_are_corrected() -> None:
    def manual(tokens: int) -> pl.DataFrame:
        return pl.DataFrame(
            {"usage_category": ["MANUAL_CONSUMPTION"], "usage_date": [date(2026, 3, 9)], "tokens": [tokens]}
        )

    end = datetime(2026, 4, 15, tzinfo=UTC)
    ledger = small().settle(march(("ana", 5, 7)), statement=manual(3), as_of=end).close(date(2026, 3, 31))
    kept = ledger.update(march(("ana", 5, 7)))
    assert kept.corrections.is_empty()
    changed = ledger.update(march(("ana", 5, 7)), statement=manual(4))
    said = changed.corrections.select(pl.col("corrects", "reason").cast(pl.String), "tokens").rows()
    assert said == [
        ("manual_consumption", "booking", Decimal(3)),
        ("expiry", "follows", Decimal(1)),
        ("manual_consumption", "booking", Decimal(-4)),
    ]
    assert changed.bookings["is_current"].to_list() == [True, False]


@pytest.mark.parametrize(
    ("day", "words"),
    [
        (date(2026, 4, 15), "has not ended where the ledger ends"),
        (date(2025, 12, 31), "but the contract runs from 2026-03-01 to 2026-06-30"),
        (date(2026, 3, 30), "it is closed until 2026-03-31 already"),
        ("2026-04-01", "day has to be a date"),
        (datetime(2026, 4, 1, tzinfo=UTC), "day has to be a date"),
    ],
)
def test_what_cannot_be_closed_is_said(day: Any, words: str) -> None:
    ledger = small().settle(march(("ana", 5, 7)), as_of=datetime(2026, 4, 15, tzinfo=UTC)).close(date(2026, 3, 31))
    with pytest.raises((tf.ArgumentError, tf.ArgumentTypeError), match=words):
        ledger.close(day)


def test_what_cannot_be_opened_or_gone_on_with_is_said() -> None:
    ledger = small().settle(march(("ana", 5, 7)), as_of=datetime(2026, 4, 15, tzinfo=UTC)).close(date(2026, 3, 31))
    with pytest.raises(tf.ArgumentError, match="nothing to reopen"):
        ledger.reopen(date(2026, 4, 2))
    with pytest.raises(tf.ArgumentError, match="a ledger only goes on"):
        ledger.update(march(("ana", 5, 7)), as_of=datetime(2026, 4, 14, tzinfo=UTC))
    with pytest.raises(tf.ArgumentError, match="its days are others"):
        tf.Contract(number="7", zone=MADRID, packs=small().packs).settle(march(), after=ledger)
    with pytest.raises(tf.ArgumentTypeError, match=r"after has to be a tokenflex\.Ledger"):
        small().settle(march(), after=3)  # type: ignore[arg-type]  # no ledger


def test_a_ledger_comes_back_from_its_folder(tmp_path: Path) -> None:
    kept, end = tmp_path / "kept", datetime(2026, 4, 15, tzinfo=UTC)
    charges = tf.charge(
        pl.DataFrame(
            {"user": ["ana"], "product": ["ACD"], "start": [at(date(2026, 3, 5))], "end": [at(date(2026, 3, 5), 60)]}
        ),
        rule=tf.FLEX,
        rates=tf.Rates({"ACD": 7}),
    )
    ledger = small().settle(charges, as_of=end).close(date(2026, 3, 31))
    ledger.write(kept)
    back = tf.read_ledger(kept)
    for name in ("entries", "charges", "bookings"):
        assert getattr(back, name).equals(getattr(ledger, name)), name
        assert getattr(back, name).schema == getattr(ledger, name).schema
    assert (back.contract, back.as_of, back.closed, back.withdrawn) == (ledger.contract, end, date(2026, 3, 31), 0)
    changed = back.update(pl.concat([charges, charges.with_columns(pl.col("charged_at") + timedelta(days=2))]))
    changed.write(kept)
    assert tf.read_ledger(kept).corrections.equals(changed.corrections)
    assert changed.corrections.height == 2
    # What no index names any more is gone.
    assert sorted(path.name.partition("-")[0] for path in kept.iterdir()) == [
        "bookings",
        "charges",
        "contract",
        "entries",
        "ledger.json",
    ]


def test_a_run_that_dies_leaves_the_ledger_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    end = datetime(2026, 4, 15, tzinfo=UTC)
    before, after = (small().settle(march(("ana", 5, tokens)), as_of=end) for tokens in (7, 9))
    before.write(tmp_path)
    real = Path.replace
    for deaths in range(5):
        done: list[Path] = []

        def dying(path: Path, target: Path, *, left: int = deaths, done: list[Path] = done) -> Path:
            if len(done) == left:
                raise OSError("no space left on device")
            done.append(target)
            return real(path, target)

        monkeypatch.setattr(Path, "replace", dying)
        with pytest.raises(tf.SourceError, match="no space left"):
            after.write(tmp_path)
        monkeypatch.undo()
        assert tf.read_ledger(tmp_path).entries.equals(before.entries)
        assert not list(tmp_path.glob("*.part"))
    after.write(tmp_path)
    assert tf.read_ledger(tmp_path).entries.equals(after.entries)


def test_a_folder_that_holds_no_ledger_is_refused(tmp_path: Path) -> None:
    with pytest.raises(tf.SourceNotFoundError, match="there is no ledger in"):
        tf.read_ledger(tmp_path)
    small().settle(march(("ana", 5, 7))).write(tmp_path)
    entries = next(tmp_path.glob("entries-*"))
    whole = entries.read_bytes()
    entries.write_bytes(whole[:-1])
    with pytest.raises(tf.SourceError, match="was changed since the ledger was written"):
        tf.read_ledger(tmp_path)
    entries.unlink()
    with pytest.raises(tf.SourceError, match="cannot be read"):
        tf.read_ledger(tmp_path)
    index = tmp_path / "ledger.json"
    for text in ("{", "[]", '{"format": 99}', '{"format": 1}'):
        index.write_text(text)
        with pytest.raises(tf.SourceError):
            tf.read_ledger(tmp_path)


def test_teams_that_are_merged_lose_no_token() -> None:
    end = datetime(2026, 4, 15, tzinfo=UTC)
    team = small().settle(march(("ana", 5, 7)), as_of=end)
    other = tf.Contract(number="8", packs=[tf.Pack(id="new", tokens=50, purchased="2026-03-01")])
    merged, left = team.merged_into(other, day=date(2026, 4, 10))
    packs = [(pack.id, int(pack.tokens), pack.received, pack.unit_price) for pack in merged.packs]
    assert packs == [("new", 50, None, None), ("7 new", 100, date(2026, 4, 10), Decimal(2))]
    emptied = left.settle(march(("ana", 5, 7)), as_of=end).balances().row(-1, named=True)
    assert (emptied["balance"], emptied["adjusted"]) == (0, -100)
    whole = merged.settle(march(), as_of=end).balances().row(-1, named=True)
    assert whole["balance"] == 150
    with pytest.raises(tf.ArgumentError, match="only teams of Flex are merged"):
        team.merged_into(CONTRACTS[0], day=date(2026, 4, 10))
    with pytest.raises(tf.ArgumentError, match="packs would end otherwise"):
        team.merged_into(CONTRACTS[2], day=date(2026, 4, 10))
    with pytest.raises(tf.ArgumentError, match="lies after the end of the ledger"):
        team.merged_into(other, day=date(2026, 5, 10))


def test_charges_of_any_library_and_zone_are_the_same_charges() -> None:
    end = datetime(2026, 4, 15, tzinfo=UTC)
    known = march(("ana", 5, 7), ("bo", 6, 7))
    ledger = small().settle(known, as_of=end).close(date(2026, 3, 31))
    madrid = known.with_columns(pl.col("charged_at").dt.convert_time_zone(MADRID).dt.cast_time_unit("ns"))
    coded = known.with_columns(pl.col("user", "product").cast(pl.Categorical))
    for same in (madrid, coded, known.to_arrow(), known.to_pandas()):
        assert ledger.update(same).corrections.is_empty()
    nothing = pl.DataFrame({name: [] for name in known.columns})
    assert ledger.update(nothing, problems=tf.Problems()).withdrawn == 2
    # Rules may differ from night to night, and each table has the ids of its own.
    of_rule = [known.with_columns(rule_id=pl.lit(name).cast(pl.Enum([name]))) for name in ("a", "b")]
    first = small().settle(of_rule[0], as_of=end).close(date(2026, 3, 31))
    fewer = first.update(of_rule[1].head(1))
    assert fewer.charges["rule_id"].to_list() == ["b", "a"]
    assert fewer.withdrawn == 1


def test_a_pack_that_the_contract_lacked_is_a_correction_of_the_contract() -> None:
    end = datetime(2026, 4, 15, tzinfo=UTC)
    ledger = small().settle(march(("ana", 5, 7)), as_of=end).close(date(2026, 3, 31))
    found = tf.Pack(id="found", tokens=40, purchased="2026-03-02", end="2026-03-20")
    richer = replace(small(), packs=(found, *small().packs))
    changed = richer.settle(march(("ana", 5, 7)), after=ledger)
    said = changed.corrections.select(pl.col("corrects", "reason", "pool").cast(pl.String), "tokens").rows()
    assert said == [
        ("provision", "contract", "found", Decimal(40)),
        ("charge", "changed", "found", Decimal(-7)),
        ("expiry", "follows", "found", Decimal(-33)),
        ("charge", "changed", "old", Decimal(7)),
        ("expiry", "follows", "old", Decimal(-7)),
    ]
    assert changed.balances().row(-1, named=True)["balance"] == 100
