"""Pseudonyms: one for each name and key in every table, and nothing of the names left where they were replaced."""

from __future__ import annotations

import hashlib
import hmac
import io
import pickle
import subprocess
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tokenflex as tf
from strategies import Case, frame, reports_frame, rule_of, whole_cases
from tokenflex import tables

if TYPE_CHECKING:
    from collections.abc import Callable

KEY = "a secret of some length"
OTHER = "another secret of that length"


def hide(table: Any, **options: Any) -> pl.DataFrame:
    return tf.pseudonymize(table, key=KEY, **options)


def test_a_pseudonym_is_the_keyed_hash_of_kind_and_name() -> None:
    digest = hmac.new(KEY.encode(), b"user\0ana", hashlib.sha256).hexdigest()
    assert hide(pl.DataFrame({"user": ["ana"]}))["user"].to_list() == [f"user-{digest[:24]}"]
    assert tf.pseudonym("ana", key=KEY) == tf.pseudonym("ana", key=KEY.encode()) == f"user-{digest[:24]}"


def test_a_user_and_a_host_of_one_name_differ_and_another_key_changes_all() -> None:
    table = pl.DataFrame({"user": ["ana"], "host": ["ana"]})
    user, host = hide(table).row(0)
    assert user.removeprefix("user-") != host.removeprefix("host-")
    assert tf.pseudonymize(table, key=OTHER).row(0) not in [(user, host), (host, user)]
    assert tf.pseudonym("ana", key=OTHER) != user


def test_nulls_stay_null_and_the_callers_table_as_it_is() -> None:
    table = pl.DataFrame({"n": [1, 2, 3], "user": ["ana", None, ""], "product": ["ACD"] * 3})
    before = table.clone()
    hidden = hide(table)
    assert hidden.columns == ["n", "user", "product"]
    assert hidden["user"].is_null().to_list() == [False, True, False]
    assert hidden.drop("user").equals(table.drop("user"))
    assert table.equals(before)
    assert hidden.schema["user"] == tables.NAME


@given(st.lists(st.one_of(st.none(), st.text(max_size=4)), max_size=8))
def test_encoding_and_table_do_not_matter_and_names_stay_apart(names: list[str | None]) -> None:
    text = pl.DataFrame({"user": pl.Series(names, dtype=pl.String)})
    known = sorted({name for name in names if name is not None} | {"x"})
    expected = [None if name is None else tf.pseudonym(name, key=KEY) for name in names]
    for dtype in (pl.String, pl.Categorical, pl.Enum(known)):
        assert hide(text.cast({"user": dtype}))["user"].to_list() == expected
    assert len(set(expected)) == len(set(names))


@pytest.mark.parametrize("how", ["eager", "lazy", "arrow", "dictionary", "pandas"])
def test_every_library_is_taken(how: str) -> None:
    table = pl.DataFrame({"user": ["ana", None, "bob", "ana"]})
    dictionary = table.cast({"user": pl.Categorical}).to_arrow()
    given_table: Any = {
        "eager": table,
        "lazy": table.lazy(),
        "arrow": table.to_arrow(),
        "dictionary": dictionary,
        "pandas": table.to_pandas(),
    }[how]
    assert hide(given_table).equals(hide(table))


def test_pseudonyms_are_the_same_in_another_process() -> None:
    program = f"import tokenflex as tf; print(tf.pseudonym('ana', key={KEY!r}))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == tf.pseudonym("ana", key=KEY)


def test_files_of_the_result_do_not_hold_the_names() -> None:
    table = pl.DataFrame({"user": ["anaconda", "bobolink"], "host": ["pcxyzzy", None], "file": ["home-anaconda", "b"]})
    hidden = hide(table.cast(pl.Categorical), blank=["file"])
    written = [pickle.dumps(hidden)]
    for write in ("write_parquet", "write_ipc", "write_csv"):
        target = io.BytesIO()
        getattr(hidden, write)(target)
        written.append(target.getvalue())
    written.append(str([column.chunk(0) for column in hidden.to_arrow().columns]).encode())
    for data in written:
        assert not any(name in data for name in (b"anaconda", b"bobolink", b"pcxyzzy"))


@settings(max_examples=100)
@given(whole_cases())
def test_charging_pseudonyms_is_pseudonymizing_charges(case: Case) -> None:
    rule = rule_of(case.terms)
    reports = None if case.reports is None else reports_frame(case.reports)
    arguments: dict[str, Any] = {
        "rule": rule,
        "rates": tf.Rates({"ACD": 7, "RVT": 10}),
        "servers": case.servers,
        "as_of": case.as_of,
        "problems": tf.Problems(),
    }
    sessions = frame(case.sessions)
    users = {tf.pseudonym(name, key=KEY): zone for name, zone in case.users.items()}
    hidden = tf.charge(hide(sessions), **arguments, users=users, activity=None if reports is None else hide(reports))
    clear = tf.charge(sessions, **arguments, users=case.users, activity=reports)
    assert hidden.equals(hide(clear))


def test_pairing_pseudonyms_is_pseudonymizing_sessions() -> None:
    log = tf.read_flexlm(
        b"""12:00:00 (lmgrd) TIMESTAMP 7/13/2026
12:00:05 (adskflex) OUT: "87545ACD_2022_0F" ana@pc1
12:10:05 (adskflex) OUT: "87545ACD_2022_0F" bob@pc1
12:30:00 (adskflex) IN: "87545ACD_2022_0F" ana@pc1
12:40:00 (adskflex) DENIED: "87545ACD_2022_0F" ana@pc1  (Licensed number of users already reached. (-4,342))
""",
        timezone="Europe/Madrid",
        server="mad-lic-01",
    )
    blank = ["file", "data", "reason"]
    hidden = hide(log.events, blank=blank)
    assert tf.pair(hidden).drop("file").equals(hide(tf.pair(log.events), blank=["file"]).drop("file"))
    denied = hide(tf.denials(log.events), blank=["file", "reason"])
    assert tf.denials(hidden).drop("reason").equals(denied.drop("reason"))


def test_text_that_may_hold_names_is_told() -> None:
    table = pl.DataFrame(
        {
            "user": ["ana"],
            "file": ["c/ana.log"],
            "site": ["ana"],
            "mailbox": [None],
            "contact": ["ana@firm.example"],
            "product_name": ["AutoCAD"],
            "parts": [["ana"]],
            "server": ["mad-lic-01"],
            "first_name": ["x"],
        },
        schema_overrides={"mailbox": pl.String},
    )
    problems = tf.Problems()
    hidden = hide(table, problems=problems)
    assert problems.frame["code"].unique().to_list() == ["may_hold_names"]
    told = [message.split("'")[1] for message in problems.frame["message"]]
    assert told == ["file", "site", "contact", "parts", "first_name"]
    assert "ana" not in " ".join(problems.frame["message"].str.replace("'[a-z_]+'", ""))
    assert hidden.drop("user").equals(table.drop("user"))
    with pytest.warns(tf.TokenflexWarning, match="may_hold_names"):
        hide(table)
    assert hide(table, blank=told)[told[0]].to_list() == [None]


def test_no_encoding_hides_text_from_suspicion() -> None:
    for dtype in (pl.String(), pl.Categorical(), pl.Categorical(pl.Categories("own", "own"))):
        table = pl.DataFrame({"user": ["ana", "bob"], "file": ["a", "b"], "site": ["ana", "x"]}).cast(dtype)
        problems = tf.Problems()
        assert hide(table, problems=problems)["user"][0] == tf.pseudonym("ana", key=KEY)
        assert len(problems) == 2


def test_blanked_columns_keep_their_types() -> None:
    events = tables.empty(tables.EVENTS)
    hidden = hide(events, blank=["file", "data", "reason"])
    assert dict(hidden.schema) == dict(tables.EVENTS)


def test_other_columns_and_kinds_can_be_named() -> None:
    table = pl.DataFrame({"Workstation": ["pc1"], "server": ["mad-lic-01"], "Login": ["ana"]})
    hidden = hide(table, columns={"Workstation": "host", "Login": "user", "server": "server"})
    assert hidden.row(0) == (
        tf.pseudonym("pc1", key=KEY, kind="host"),
        tf.pseudonym("mad-lic-01", key=KEY, kind="server"),
        tf.pseudonym("ana", key=KEY),
    )
    assert hide(table, columns=["server"], problems=tf.Problems())["server"][0] == hidden["server"][0]


def test_spellings_kept_by_an_identity_are_hidden_with_the_users() -> None:
    identity = tf.Identity({"aruiz": "ana"})
    table = pl.DataFrame({"user": ["aruiz", "ANA"], "host": ["PC1", "pc1"]})
    direct = hide(table, identity=identity)
    assert direct.columns == ["user", "host"]
    assert direct["user"].to_list() == [tf.pseudonym("ana", key=KEY)] * 2
    assert direct["host"].n_unique() == 1
    applied = hide(identity.apply(table))
    assert applied.select("user", "host").equals(direct)
    assert applied["user_as_logged"].to_list() == [tf.pseudonym("aruiz", key=KEY), tf.pseudonym("ANA", key=KEY)]


@pytest.mark.parametrize("key", ["", "short", b"fifteen bytes..", "a" * 40])
def test_a_key_that_can_be_guessed_is_refused_and_not_shown(key: Any) -> None:
    with pytest.raises(tf.ArgumentError, match=r"secrets\.token_hex") as caught:
        tf.pseudonymize(pl.DataFrame({"user": ["x"]}), key=key)
    assert not key or str(key) not in str(caught.value)
    with pytest.raises(tf.ArgumentError):
        tf.pseudonym("ana", key=key)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: tf.pseudonymize(pl.DataFrame({"user": ["x"]}), key=17), tf.ArgumentTypeError, "text or bytes"),  # type: ignore[arg-type]
        (lambda: tf.pseudonym(None, key=KEY), tf.ArgumentTypeError, "a name has to be text"),  # type: ignore[arg-type]
        (lambda: hide(pl.DataFrame({"user": ["x"]}), identity={"x": "y"}), tf.ArgumentTypeError, "identity has to be"),
        (lambda: hide(3), tf.TableTypeError, "expected a table"),
        (lambda: hide(pl.DataFrame({"who": ["x"]})), tf.MissingColumnError, "neither user nor host"),
        (
            lambda: hide(pl.DataFrame({"user": ["x"]}), columns=["user", "host"]),
            tf.MissingColumnError,
            "'host' is missing",
        ),
        (lambda: hide(pl.DataFrame({"user": ["x"]}), blank=["file"]), tf.MissingColumnError, "'file' is missing"),
        (lambda: hide(pl.DataFrame({"user": ["x"]}), blank=["user"]), tf.ArgumentError, "choose one"),
        (lambda: hide(pl.DataFrame({"user": ["x"]}), columns="user"), tf.ArgumentTypeError, "list of columns"),
        (lambda: hide(pl.DataFrame({"user": [1]})), tf.ColumnTypeError, "has to be text"),
    ],
)
def test_bad_calls_say_what_to_do(call: Callable[[], object], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call()


def test_groups_join_pseudonyms_as_they_join_names() -> None:
    table = pl.DataFrame({"user": ["ana", "bob"], "time": [datetime(2026, 7, 1, tzinfo=UTC)] * 2})
    members = pl.DataFrame({"person": ["ana", "bob"], "group": ["roads", "bridges"]})
    hidden = tf.Groups(hide(members, columns=["person"])).join(hide(table))
    assert hidden.equals(hide(tf.Groups(members).join(table)))
