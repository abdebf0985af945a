"""Who is who: the rules one by one, aliases with dates, masks, the reasons told, and suggestions that merge nothing."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tokenflex as tf
from strategies import Case, cases, frame, rule_of
from tokenflex import tables
from tokenflex.reading.suggest import similarity

if TYPE_CHECKING:
    import random
    from collections.abc import Callable

JULY = datetime(2026, 7, 1, tzinfo=UTC)
DAY = timedelta(days=1)
HOUR = timedelta(hours=1)


def aliases(*rows: tuple[Any, ...]) -> pl.DataFrame:
    names = ["spelling", "person", "valid_from", "valid_to"]
    return pl.DataFrame(rows, schema=dict.fromkeys(names, pl.String), orient="row")


def persons(identity: tf.Identity, *users: str | None) -> list[str | None]:
    return identity.apply(pl.DataFrame({"user": users}, schema={"user": pl.String}))["user"].to_list()


def hosts(identity: tf.Identity, *names: str) -> list[str]:
    return identity.apply(pl.DataFrame({"user": ["ana"] * len(names), "host": names}))["host"].to_list()


def test_case_is_folded_unless_switched_off() -> None:
    assert persons(tf.Identity(), "ANA", "Ana", "ÁNA", "STRASSE", "Straße") == [
        "ana",
        "ana",
        "ána",
        "strasse",
        "strasse",
    ]
    assert persons(tf.Identity(fold_case=False), "ANA", "ana") == ["ANA", "ana"]


def test_blanks_and_the_way_an_accent_is_written_never_matter() -> None:
    identity = tf.Identity(fold_case=False)
    assert persons(identity, " José ", "Jose\u0301", "José") == ["José"] * 3
    assert persons(identity, "ana ruiz", "", "  ") == ["ana ruiz", None, None]


def test_domains_are_cut_off_all_none_or_those_listed() -> None:
    users = (r"FIRM\Ana", r"firm\ana", "ana")
    assert persons(tf.Identity(), *users) == ["ana"] * 3
    assert persons(tf.Identity(domains=["Firm"]), *users, r"GUEST\ana") == ["ana"] * 3 + [r"guest\ana"]
    assert persons(tf.Identity(domains=False), *users) == [r"firm\ana", r"firm\ana", "ana"]
    assert persons(tf.Identity(), "FIRM\\", "\\ana") == ["firm\\", "ana"]


def test_mail_domains_are_cut_off_where_listed() -> None:
    users = ("Ana@firm.example", "ana@other.example", "ana@pc1", "ana")
    assert persons(tf.Identity(), *users) == ["ana@firm.example", "ana@other.example", "ana@pc1", "ana"]
    identity = tf.Identity(email_domains=["@Firm.example", "pc1"])
    assert persons(identity, *users) == ["ana", "ana@other.example", "ana", "ana"]
    every = tf.Identity(email_domains=True)
    assert persons(every, r"FIRM\ana@firm.example", "bob@pc1", "@x", "x@") == ["ana", "bob", "@x", "x@"]


def test_host_suffixes_are_cut_off_and_addresses_stay() -> None:
    names = ("PC1.firm.example", "pc1.other.example", "pc1", "10.0.0.17", "fe80::1.2")
    assert hosts(tf.Identity(), *names) == ["pc1.firm.example", "pc1.other.example", "pc1", "10.0.0.17", "fe80::1.2"]
    assert hosts(tf.Identity(host_suffixes=True), *names) == ["pc1", "pc1", "pc1", "10.0.0.17", "fe80::1.2"]
    listed = tf.Identity(host_suffixes=[".firm.example"])
    assert hosts(listed, *names)[:2] == ["pc1", "pc1.other.example"]
    assert hosts(tf.Identity(fold_case=False), "PC1") == ["PC1"]


def test_the_original_is_kept_and_nothing_else_changes() -> None:
    table = pl.DataFrame({"user": ["ANA", None], "host": ["PC1", "pc2"], "n": [1, 2]})
    before = table.clone()
    applied = tf.Identity().apply(table)
    assert applied.columns == ["user", "host", "n", "user_as_logged", "host_as_logged"]
    assert applied.rows() == [("ana", "pc1", 1, "ANA", "PC1"), (None, "pc2", 2, None, "pc2")]
    assert applied.schema["user"] == tables.NAME
    assert table.equals(before)


def test_an_alias_is_found_as_logged_and_as_the_rules_leave_it() -> None:
    identity = tf.Identity({"aruiz": "ana", r"GUEST\bob": "bob the guest"}, email_domains=True)
    assert persons(identity, "ARuiz", r"FIRM\aruiz", "aruiz@firm.example") == ["ana"] * 3
    assert persons(identity, r"guest\BOB", "bob", r"FIRM\bob") == ["bob the guest", "bob", "bob"]


def test_a_person_is_kept_as_written_in_the_aliases() -> None:
    identity = tf.Identity({"aruiz": "Ana Ruiz"})
    assert persons(identity, "aruiz", "Ana Ruiz", "ANA RUIZ") == ["Ana Ruiz"] * 3
    with pytest.raises(tf.ArgumentError, match="one person under fold_case"):
        tf.Identity({"a": "Ana", "b": "ana"})
    assert persons(tf.Identity({"a": "Ana", "b": "ana"}, fold_case=False), "a", "b") == ["Ana", "ana"]


REUSED = aliases(("u17", "ana", None, "2026-07-01"), ("u17", "bob", "2026-07-01", None))


def test_the_alias_at_the_time_of_the_row_counts() -> None:
    table = pl.DataFrame({"user": ["U17"] * 3, "start": [JULY - DAY, JULY - timedelta(microseconds=1), JULY]})
    assert tf.Identity(REUSED).apply(table)["user"].to_list() == ["ana", "ana", "bob"]
    assert tf.Identity(REUSED).apply(table, at=JULY)["user"].to_list() == ["bob"] * 3
    dated = table.with_columns(usage_date=pl.Series([date(2026, 6, 30), date(2026, 7, 1), None]))
    problems = tf.Problems()
    applied = tf.Identity(REUSED).apply(dated, at="usage_date", problems=problems)
    assert applied["user"].to_list() == ["ana", "bob", "u17"]
    assert problems.frame.select("location", "code").rows() == [(2, "missing_time")]


def test_outside_of_its_dates_a_spelling_is_what_the_rules_say() -> None:
    identity = tf.Identity(
        aliases((r"firm\u17", "ana", "2026-07-01", "2026-07-02"), ("u17", "bob", None, "2026-07-01"))
    )
    table = pl.DataFrame({"user": [r"FIRM\U17"] * 3, "start": [JULY - DAY, JULY, JULY + DAY]})
    assert identity.apply(table)["user"].to_list() == ["bob", "ana", "u17"]


def test_aliases_with_dates_need_a_time() -> None:
    with pytest.raises(tf.MissingColumnError, match="at="):
        persons(tf.Identity(REUSED), "u17")
    with pytest.raises(tf.ColumnTypeError, match="no time zone"):
        tf.Identity(REUSED).apply(pl.DataFrame({"user": ["u17"], "start": [datetime(2026, 7, 1)]}))  # noqa: DTZ001


def test_a_time_beyond_all_instants_is_none() -> None:
    identity = tf.Identity(pl.DataFrame({"spelling": ["a"], "person": ["b"], "valid_from": ["2026-01-01"]}))
    far = pl.Series([2**62], dtype=pl.Int64).cast(pl.Datetime("ms", "UTC"))
    problems = tf.Problems()
    applied = identity.apply(pl.DataFrame({"user": ["a"], "start": far}), problems=problems)
    assert applied["start"].to_physical().to_list() == [2**62]
    assert problems.frame["code"].to_list() == ["missing_time"]


def test_overlapping_aliases_are_refused_and_both_rows_named() -> None:
    overlap = aliases(("x", "y", None, None), ("u17", "ana", None, "2026-07-02"), ("U17 ", "bob", "2026-07-01", None))
    with pytest.raises(tf.ArgumentError, match=r"rows 1 and 2 hold at one time: 'u17' is 'ana' and 'U17' is 'bob'"):
        tf.Identity(overlap)


def test_chains_and_cycles_at_one_time_are_refused() -> None:
    with pytest.raises(tf.ArgumentError, match=r"rows 0 and 1 make a chain .* write into row 0"):
        tf.Identity({"a": "b", "B": "c"})
    with pytest.raises(tf.ArgumentError, match="chain"):
        tf.Identity({"a": "b", "b": "a"})
    tf.Identity({"a": "b", "b": "b"})
    later = tf.Identity(aliases(("a", "b", None, "2026-07-01"), ("b", "c", "2026-07-01", None)))
    table = pl.DataFrame({"user": ["a", "b", "a", "b"], "start": [JULY - DAY] * 2 + [JULY] * 2})
    assert later.apply(table)["user"].to_list() == ["b", "b", "a", "c"]


def test_masked_names_are_told_apart_by_hash_and_never_merged() -> None:
    table = pl.DataFrame(
        {"user": ["*****", "*****", "a***@***", "*****", "ana"], "hash": ["aB1", "ab1", "aB1", None, "zz"]}
    )
    problems = tf.Problems()
    applied = tf.Identity().apply(table, hash_column="hash", problems=problems)
    assert applied["user"].to_list() == ["masked:aB1", "masked:ab1", "masked:aB1", None, "ana"]
    assert problems.frame.rows() == [
        ("identity", 3, "masked_user", "'*****' is masked and has no hash: 1 rows have no user")
    ]
    with pytest.warns(tf.TokenflexWarning, match="masked_user"):
        assert persons(tf.Identity(), "*****", r"FIRM\*", "ana") == [None, None, "ana"]


def test_a_mask_can_be_lifted_by_an_alias() -> None:
    table = pl.DataFrame({"user": ["*****"], "hash": ["aB1"]})
    assert tf.Identity({"masked:aB1": "ana"}).apply(table, hash_column="hash")["user"].to_list() == ["ana"]


def test_hashes_that_differ_in_case_are_two_persons_in_the_aliases_too() -> None:
    table = pl.DataFrame({"user": ["*****"] * 2, "hash": ["aB1", "ab1"]})
    identity = tf.Identity({"masked:aB1": "ana", "masked:ab1": "bob"})
    assert identity.apply(table, hash_column="hash")["user"].to_list() == ["ana", "bob"]


def test_hashes_are_left_as_they_are() -> None:
    names = ("0123456789abcdefABCDEF0123456789", "q2" + "aB" * 20 + "=", "masked:aB")
    assert persons(tf.Identity(), *names) == list(names)


def test_one_login_in_two_domains_is_told_unless_they_are_listed() -> None:
    table = pl.DataFrame({"user": [r"FIRM\ana", r"OTHER\ana", r"Firm\Ana", r"FIRM\bob", "bob"]})
    problems = tf.Problems()
    applied = tf.Identity().apply(table, problems=problems)
    assert applied["user"].to_list() == ["ana", "ana", "ana", "bob", "bob"]
    assert problems.frame["code"].to_list() == ["two_domains"]
    assert r"'FIRM\\ana' and 'OTHER\\ana'" in problems.frame["message"][0]
    tf.Identity(domains=["firm", "other"]).apply(table)
    tf.Identity({r"OTHER\ana": "ana of other"}).apply(table)


def test_persons_tells_spellings_counts_times_and_rules() -> None:
    table = pl.DataFrame(
        {
            "user": ["ana", r"FIRM\Ana", "ana", "aruiz", r"FIRM\aruiz", " bob", "*****", None],
            "start": [JULY + day * DAY for day in range(8)],
        }
    )
    identity = tf.Identity({"aruiz": "ana"})
    told = identity.persons(table, problems=tf.Problems())
    assert dict(told.schema) == dict(tables.PERSONS)
    assert told.drop("first", "last").rows() == [
        ("ana", "ana", 2, []),
        ("ana", r"FIRM\Ana", 1, ["domain", "case"]),
        ("ana", r"FIRM\aruiz", 1, ["domain", "alias"]),
        ("ana", "aruiz", 1, ["alias"]),
        ("bob", " bob", 1, ["blanks"]),
        (None, "*****", 1, ["masked"]),
    ]
    assert told.select("first", "last").row(0) == (JULY, JULY + 2 * DAY)
    applied = identity.apply(table, problems=tf.Problems())
    assert identity.persons(applied, problems=tf.Problems()).equals(told)
    assert told["rows"].sum() == table["user"].count()


def test_persons_without_times_have_none() -> None:
    told = tf.Identity().persons(pl.DataFrame({"user": ["ana"]}))
    assert told.row(0) == ("ana", "ana", 1, None, None, [])


def test_a_file_reads_back_equal(tmp_path: Path) -> None:
    identity = tf.Identity(REUSED, email_domains=["firm.example"])
    identity.write(tmp_path / "who.csv")
    assert (tmp_path / "who.csv").read_text().splitlines() == [
        "spelling,person,valid_from,valid_to",
        "u17,ana,,2026-07-01",
        "u17,bob,2026-07-01,",
    ]
    assert tf.Identity.read(tmp_path / "who.csv", email_domains=["firm.example"]) == identity
    assert tf.Identity.read(tmp_path / "who.csv") != identity
    with pytest.raises(tf.SourceNotFoundError):
        tf.Identity.read(tmp_path / "none.csv")
    (tmp_path / "bad.csv").write_text("spelling,person\nana\n")
    with pytest.raises(tf.TokenflexError):
        tf.Identity.read(tmp_path / "bad.csv")


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: tf.Identity(fold_case="no"), tf.ArgumentTypeError, "fold_case"),  # type: ignore[arg-type]
        (lambda: tf.Identity(domains="FIRM"), tf.ArgumentTypeError, "list of names"),
        (lambda: tf.Identity(email_domains=[1]), tf.ArgumentTypeError, "no name"),  # type: ignore[list-item]
        (lambda: tf.Identity(3), tf.TableTypeError, "expected a table"),  # type: ignore[arg-type]
        (lambda: tf.Identity({"a": 1}), tf.ArgumentTypeError, "aliases hold 1"),  # type: ignore[dict-item]
        (lambda: tf.Identity(REUSED).apply(pl.DataFrame({"user": ["a"]}), at=7), tf.ArgumentTypeError, "at has to be"),  # type: ignore[arg-type]
        (lambda: tf.Identity({"a": ""}), tf.ColumnValueError, "row 0: person is empty"),
        (lambda: tf.Identity(pl.DataFrame({"spelling": ["a"]})), tf.MissingColumnError, "'person' is missing"),
        (lambda: tf.Identity().apply(pl.DataFrame({"who": ["a"]})), tf.MissingColumnError, "'user' is missing"),
        (lambda: tf.Identity().apply(pl.DataFrame({"user": [1]})), tf.ColumnTypeError, "has to be text"),
        (lambda: tf.Identity().suggest(pl.DataFrame({"user": ["a"]})), tf.MissingColumnError, "'host' is missing"),
        (lambda: tf.Identity().suggest(tables.empty(tables.SESSIONS), minimum=0), tf.ArgumentError, "minimum=0"),
    ],
)
def test_bad_calls_say_what_to_do(call: Callable[[], object], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call()


@pytest.mark.parametrize(
    "dtype", [pl.String, pl.Categorical, pl.Enum(["ANA", "bob"]), pl.Categorical(pl.Categories("own", "own"))]
)
@pytest.mark.parametrize("how", ["eager", "lazy", "arrow", "pandas"])
def test_names_in_any_encoding_and_library(dtype: Any, how: str) -> None:
    table = pl.DataFrame({"user": pl.Series(["ANA", None, "bob", "ANA"], dtype=dtype)})
    given_table: Any = {"eager": table, "lazy": table.lazy(), "arrow": table.to_arrow(), "pandas": table.to_pandas()}[
        how
    ]
    assert tf.Identity().apply(given_table)["user"].to_list() == ["ana", None, "bob", "ana"]


def test_tables_without_rows_or_names() -> None:
    assert tf.Identity().apply(tables.empty(tables.SESSIONS)).height == 0
    assert persons(tf.Identity(REUSED.clear()), None, None) == [None, None]
    assert tf.Identity().apply(pl.DataFrame({"user": [None]}))["user"].to_list() == [None]
    assert tf.Identity().persons(tables.empty(tables.SESSIONS)).height == 0
    assert tf.Identity().suggest(tables.empty(tables.SESSIONS)).height == 0


NAMES = st.one_of(
    st.sampled_from(
        [
            "ana",
            "ANA",
            r"F\ana",
            "ana@f.x",
            r"G\Ana@f.x",
            "u17",
            "U17 ",
            "*****",
            "Ana R",
            "a",
            "b",
            "masked:x",
            "\u0345\u0391",
        ]
    ),
    st.text(alphabet=st.sampled_from("aAéÉßİ\u0301\u0345 @\\.*"), max_size=6),
    st.text(max_size=6),
)
BOOLS = st.booleans()
IDENTITIES = st.builds(
    lambda rows, fold, domains, mails, suffixes: tf.Identity(
        rows, fold_case=fold, domains=domains, email_domains=mails, host_suffixes=suffixes
    ),
    st.sampled_from(
        [None, REUSED, aliases(("u17", "Ana R", "2026-07-01", None)), aliases((r"f\ana", "ana@f.x", None, None))]
    ),
    BOOLS,
    st.one_of(BOOLS, st.just(["f"])),
    st.one_of(BOOLS, st.just(["f.x"])),
    st.one_of(BOOLS, st.just(["a"])),
)
ROWS = st.lists(st.tuples(NAMES, NAMES, st.sampled_from([JULY - DAY, JULY, None])), max_size=8)


def logged(rows: list[tuple[str, str, datetime | None]]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema={"user": pl.String, "host": pl.String, "start": tables.TIME}, orient="row")


@given(IDENTITIES, ROWS)
def test_applying_twice_is_applying_once(identity: tf.Identity, rows: list[Any]) -> None:
    once = identity.apply(logged(rows), problems=tf.Problems())
    assert identity.apply(once, problems=tf.Problems()).equals(once)


@given(IDENTITIES, ROWS, st.randoms(use_true_random=False))
def test_order_of_rows_changes_no_person(identity: tf.Identity, rows: list[Any], chance: random.Random) -> None:
    order = list(range(len(rows)))
    chance.shuffle(order)
    straight = identity.apply(logged(rows), problems=tf.Problems()).rows()
    shuffled = identity.apply(logged([rows[place] for place in order]), problems=tf.Problems()).rows()
    assert shuffled == [straight[place] for place in order]


@given(IDENTITIES, ROWS)
def test_persons_counts_every_row_that_has_a_name(identity: tf.Identity, rows: list[Any]) -> None:
    told = identity.persons(logged(rows), problems=tf.Problems())
    assert told["rows"].sum() == len(rows)
    assert told.select("person", "spelling").is_duplicated().sum() == 0


@settings(max_examples=80)
@given(cases())
def test_merging_two_spellings_never_charges_more(case: Case) -> None:
    sessions = frame(case.sessions)
    merged = tf.Identity().apply(sessions)
    arguments: dict[str, Any] = {
        "rule": rule_of(case.terms),
        "rates": tf.Rates({"ACD": 7, "RVT": 7, "INVPROSA": 7}),
        "servers": case.servers,
        "as_of": case.as_of,
        "problems": tf.Problems(),
    }
    users = {name.casefold(): zone for name, zone in case.users.items()}
    before = tf.charge(sessions, **arguments, users=users | case.users)
    after = tf.charge(merged, **arguments, users=users)
    assert after.height <= before.height
    assert after["tokens"].sum() <= before["tokens"].sum()


def sessions_of(*rows: tuple[str, str, float, float]) -> pl.DataFrame:
    """User, host, start and end in hours."""
    return pl.DataFrame(
        [(user, host, JULY + start * HOUR, JULY + end * HOUR) for user, host, start, end in rows],
        schema={"user": pl.String, "host": pl.String, "start": tables.TIME, "end": tables.TIME},
        orient="row",
    )


def pairs(table: pl.DataFrame) -> list[tuple[str, str]]:
    return table.select("spelling_a", "spelling_b").rows()


def test_a_login_and_a_name_on_one_host_are_suggested_with_evidence() -> None:
    table = sessions_of(
        ("ana.ruiz", "pc1", 8, 11), ("aruiz", "pc1", 11.25, 15), ("aruiz", "pc1", 10, 10.5), ("bob", "pc2", 8, 16)
    )
    suggested = tf.Identity().suggest(table)
    assert dict(suggested.schema) == dict(tables.SUGGESTIONS)
    (row,) = suggested.iter_rows(named=True)
    assert row == {
        "spelling_a": "ana.ruiz",
        "spelling_b": "aruiz",
        "score": 0.9,
        "name_similarity": 0.8,
        "place_similarity": 1.0,
        "contradiction": 0.0,
        "shared_hosts": 1,
        "users_of_hosts": 2,
        "sessions_a": 1,
        "sessions_b": 2,
        "shared_sessions": 3,
        "overlap_hours": 0.5,
        "conflict_hours": 0.0,
        "handovers": 1,
    }


def test_what_the_identity_merges_already_is_not_suggested() -> None:
    table = sessions_of(("ANA", "pc1", 8, 11), ("ana", "pc1", 12, 15), ("aruiz", "pc1", 16, 17))
    assert pairs(tf.Identity({"aruiz": "ana"}).suggest(table)) == []
    assert pairs(tf.Identity(fold_case=False).suggest(table))[0] == ("ANA", "ana")


def test_a_kiosk_makes_no_aliases() -> None:
    given_names = ["ana", "bo", "cy", "dov", "eli", "fay", "gus", "hal", "ivo", "jo"]
    family_names = ["ruiz", "stone", "wald", "moor", "beck"]
    users = [f"{given}.{family}" for given in given_names for family in family_names]
    rows = [(user, "kiosk", float(place), place + 0.5) for place, user in enumerate(users)]
    assert pairs(tf.Identity().suggest(sessions_of(*rows))) == []
    few = tf.Identity().suggest(sessions_of(*rows[:5]), minimum=0.1)
    assert few["place_similarity"].to_list() == [0.25] * few.height


def test_use_at_one_time_on_two_hosts_speaks_against() -> None:
    turns = sessions_of(("ana.ruiz", "pc1", 8, 12), ("aruiz", "pc1", 12, 16))
    assert tf.Identity().suggest(turns)["score"].to_list() == [0.9]
    partly = pl.concat([turns, sessions_of(("aruiz", "pc2", 8, 9))])
    (row,) = tf.Identity().suggest(partly).iter_rows(named=True)
    assert (row["contradiction"], row["conflict_hours"], row["score"]) == (0.25, 1.0, 0.4875)
    always = pl.concat([turns, sessions_of(("aruiz", "pc2", 8, 12))])
    assert tf.Identity().suggest(always, minimum=0.01).height == 0


@pytest.mark.parametrize(
    ("a", "b", "least", "most"),
    [
        ("ana.ruiz", "Ruiz Ana", 1, 1),
        (r"FIRM\ana", "ana@firm.example", 1, 1),
        ("josé.gil", "jose_gil", 1, 1),
        ("ana.ruiz", "aruiz", 0.8, 0.8),
        ("ruiza", "ana.ruiz", 0.8, 0.8),
        ("user01", "user02", 0, 0),
        ("ana", "bob", 0, 0),
        ("*****", "*****", 0, 0),
        ("masked:a1", "masked:a1", 0, 0),
        ("marta.lopez", "marta.lopes", 0.7, 0.95),
    ],
)
def test_how_alike_names_are(a: str, b: str, least: float, most: float) -> None:
    assert least <= similarity(a, b) <= most
    assert similarity(a, b) == similarity(b, a)


def test_open_and_long_sessions_are_cut_into_days() -> None:
    table = sessions_of(("ana.ruiz", "pc1", 0, 72), ("aruiz", "pc1", 10, 50), ("aruiz", "pc1", 20, 30))
    table = table.with_columns(end=pl.when(pl.col("user") == "ana.ruiz").then(None).otherwise("end"))
    (row,) = tf.Identity().suggest(table).iter_rows(named=True)
    assert (row["overlap_hours"], row["handovers"]) == (40.0, 0)


@settings(max_examples=40)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["ana.ruiz", "aruiz", "a1", "a2", "bob"]),
            st.sampled_from(["p", "q"]),
            st.integers(0, 60),
            st.integers(0, 30),
        ),
        max_size=10,
    )
)
def test_hours_of_evidence_equal_their_definition(rows: list[tuple[str, str, int, int]]) -> None:
    table = sessions_of(*((user, host, start, start + length) for user, host, start, length in rows))
    used = {(user, host, hour) for user, host, start, length in rows for hour in range(start, start + length)}
    for found in tf.Identity().suggest(table, minimum=0.05).iter_rows(named=True):
        a, b = found["spelling_a"], found["spelling_b"]
        both = [
            (first, second)
            for first in used
            for second in used
            if (first[0], second[0]) == (a, b) and first[2] == second[2]
        ]
        assert found["overlap_hours"] == sum(first[1] == second[1] for first, second in both)
        assert found["conflict_hours"] == sum(first[1] != second[1] for first, second in both)
        assert 0.05 <= found["score"] <= 1


@given(st.randoms(use_true_random=False))
@settings(max_examples=20)
def test_order_of_sessions_changes_no_suggestion(chance: random.Random) -> None:
    rows = [
        ("ana.ruiz", "pc1", 8, 12),
        ("aruiz", "pc1", 12, 16),
        ("bob", "pc1", 1, 2),
        ("rob", "pc2", 1, 3),
        ("bob", "pc2", 3, 4),
    ]
    straight = tf.Identity().suggest(sessions_of(*rows), minimum=0.1)
    chance.shuffle(rows)
    assert tf.Identity().suggest(sessions_of(*rows), minimum=0.1).equals(straight)


def test_sessions_that_are_all_open_can_be_looked_through() -> None:
    table = sessions_of(("ana.ruiz", "pc1", 0, 1), ("aruiz", "pc1", 10, 50)).with_columns(end=pl.lit(None))
    assert pairs(tf.Identity().suggest(table)) == [("ana.ruiz", "aruiz")]


def test_a_row_takes_the_first_time_that_it_has() -> None:
    table = pl.DataFrame(
        {
            "user": ["u17"] * 3,
            "start": [JULY, None, None],
            "usage_date": [date(2026, 6, 1), date(2026, 7, 1), date(2026, 6, 30)],
        }
    )
    assert tf.Identity(REUSED).apply(table)["user"].to_list() == ["bob", "bob", "ana"]


def test_many_names_alike_make_few_pairs() -> None:
    users = [f"desk{place:04d}x" for place in range(2_000)]
    rows = [
        (user, f"terminal{place % 3}", float(place % 24), float(place % 24) + 1) for place, user in enumerate(users)
    ]
    assert tf.Identity().suggest(sessions_of(*rows), minimum=0.01).height == 0


def test_every_code_of_a_problem_is_explained() -> None:
    root = Path(__file__).parents[1]
    pages = "".join((root / "docs" / name).read_text(encoding="utf-8") for name in ("identity.md", "pseudonymize.md"))
    explained = set(re.findall(r"^\| `(\w+)` \|", pages, flags=re.MULTILINE))
    folder = root / "python" / "tokenflex" / "reading"
    code = "".join((folder / f"{name}.py").read_text(encoding="utf-8") for name in ("doubts", "groups", "pseudonymize"))
    told = set(re.findall(r'(?:where|place|None), "([a-z_]+)"', code))
    assert len(told) == 5
    assert told == explained


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
@pytest.mark.parametrize("end", ["", "\n", "\r\n"])
def test_alias_files_in_any_encoding_and_end(tmp_path: Path, encoding: str, end: str) -> None:
    path = tmp_path / "who.csv"
    path.write_bytes(f"Person;Spelling\r\njosé;jgil{end}".encode(encoding))
    assert persons(tf.Identity.read(path), "JGIL") == ["josé"]


@given(st.lists(st.tuples(st.text(min_size=1, max_size=5), st.text(min_size=1, max_size=5)), max_size=4))
@settings(max_examples=60)
def test_aliases_of_any_text_read_back_equal_or_are_refused(
    tmp_path_factory: pytest.TempPathFactory, rows: list[Any]
) -> None:
    try:
        identity = tf.Identity(aliases(*((*row, None, "2026-07-01") for row in rows)))
    except tf.TokenflexError:
        return
    path = tmp_path_factory.mktemp("who") / "who.csv"
    identity.write(path)
    assert tf.Identity.read(path) == identity
