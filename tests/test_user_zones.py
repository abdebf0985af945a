"""Zones of users: from a table or by hosts, never guessed, and taken by every verb that charges."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tokenflex as tf
from tokenflex import tables

if TYPE_CHECKING:
    from pathlib import Path

MADRID, SINGAPORE = "Europe/Madrid", "Asia/Singapore"
JULY = datetime(2026, 7, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)


def rows(*each: tuple[Any, ...]) -> pl.DataFrame:
    names = ["user", "zone", "valid_from", "valid_to"]
    return pl.DataFrame(each, schema=dict.fromkeys(names, pl.String), orient="row")


def seen(*each: tuple[str | None, str | None]) -> pl.DataFrame:
    return pl.DataFrame(each, schema={"user": pl.Categorical, "host": pl.Categorical}, orient="row")


MOVED = rows(("ana", MADRID, None, "2026-07-01"), ("ana", SINGAPORE, "2026-07-01", None), ("bob", MADRID, None, None))


def test_a_mapping_and_a_table_are_the_same_zones() -> None:
    known = {"ana": MADRID, "bob": SINGAPORE}
    table = pl.DataFrame({"user": list(known), "zone": list(known.values())})
    assert tf.UserZones(known) == tf.UserZones(table) == tf.UserZones(table.to_arrow())
    assert hash(tf.UserZones(known)) == hash(tf.UserZones(table.to_pandas()))
    assert tf.UserZones(known) != tf.UserZones({"ana": MADRID})
    assert tf.UserZones(known).zones == known
    assert tf.UserZones(known).frame.schema == tables.USER_ZONES
    assert repr(tf.UserZones(known)) == "<UserZones of 2 users in 2 zones>"
    assert len(tf.UserZones(MOVED)) == 2
    assert tf.UserZones({}).zones == {}


def test_zones_read_back_as_they_were_written(tmp_path: Path) -> None:
    zones = tf.UserZones(MOVED)
    zones.write(tmp_path / "users.csv")
    assert tf.UserZones.read(tmp_path / "users.csv") == zones
    (tmp_path / "excel.csv").write_bytes("User;Zone\njosé;Europe/Madrid\n".encode("cp1252"))
    assert tf.UserZones.read(tmp_path / "excel.csv").zones == {"josé": MADRID}
    with pytest.raises(tf.SourceNotFoundError, match="user zones"):
        tf.UserZones.read(tmp_path / "nothing.csv")


def test_a_zone_is_spelled_as_in_the_database_and_an_unknown_one_is_refused_with_its_row() -> None:
    assert tf.UserZones({"ana": " europe/madrid "}).zones == {"ana": MADRID}
    with pytest.raises(tf.ZoneError, match=r"row 1: .*Mars/Olympus") as caught:
        tf.UserZones({"ana": MADRID, "bob": "Mars/Olympus"})
    assert (caught.value.row, caught.value.column, caught.value.location) == (1, "zone", "Mars/Olympus")


def test_overlapping_zones_of_a_user_are_refused_and_both_rows_named() -> None:
    table = rows(
        ("bob", MADRID, None, None),
        ("bob", MADRID, None, None),
        ("ana", MADRID, None, "2026-07-02"),
        ("ana", SINGAPORE, "2026-07-01", None),
    )
    with pytest.raises(tf.ArgumentError, match=r"rows 2 and 3 .*'ana' lives in Europe/Madrid and 'ana' lives in Asia"):
        tf.UserZones(table)
    assert len(tf.UserZones(MOVED)) == 2, "one ends where the other begins"


def test_repeats_are_dropped_and_empty_names_refused() -> None:
    twice = rows(("ana", MADRID, None, None), ("ana", "europe/madrid", None, None))
    assert tf.UserZones(twice).frame.height == 1
    for column, table in (("user", rows((" ", MADRID, None, None))), ("zone", rows(("ana", None, None, None)))):
        with pytest.raises(tf.ColumnValueError, match=f"row 0: {column} is empty") as caught:
            tf.UserZones(table)
        assert caught.value.column == column
    with pytest.raises(tf.MissingColumnError, match="'zone' is missing"):
        tf.UserZones(pl.DataFrame({"user": ["ana"]}))
    with pytest.raises(tf.ArgumentTypeError, match="7"):
        tf.UserZones({"ana": 7})  # type: ignore[dict-item] # hostile


def test_a_user_with_several_zones_has_none_for_a_charge() -> None:
    with pytest.raises(tf.ArgumentError, match=r"'ana' lives in Europe/Madrid for a time only") as caught:
        _ = tf.UserZones(MOVED).zones
    assert caught.value.location == "ana"


def test_of_two_the_first_goes_before_the_second_user_by_user() -> None:
    other = tf.UserZones({"ana": "Asia/Tokyo", "eve": SINGAPORE})
    both = tf.UserZones(MOVED) | other
    assert both.frame.select("user", "zone").rows() == [
        ("ana", MADRID), ("ana", SINGAPORE), ("bob", MADRID), ("eve", SINGAPORE)
    ]  # fmt: skip
    assert (other | tf.UserZones({})) == other == (tf.UserZones({}) | other) == (other | other)
    with pytest.raises(TypeError):
        _ = other | {"ana": MADRID}


# By hosts.

PATTERNS = {"MAD-K*": "Africa/Ceuta", "MAD-*": MADRID, "SGP-??": SINGAPORE}


def test_the_first_pattern_that_fits_counts_and_case_does_not() -> None:
    table = seen(("ana", "mad-kiosk"), ("bob", "Mad-7"), ("eve", "SGP-01"))
    zones = tf.UserZones.from_hosts(table, PATTERNS)
    assert zones.zones == {"ana": "Africa/Ceuta", "bob": MADRID, "eve": SINGAPORE}
    assert zones.frame["source"].to_list() == ["hosts"] * 3
    for library in (table.to_arrow(), table.to_pandas(), table.lazy(), pa.Table.from_pandas(table.to_pandas())):
        assert tf.UserZones.from_hosts(library, PATTERNS) == zones
    sites = tf.UserZones.from_hosts(table.rename({"host": "site"}), PATTERNS, column="site")
    assert sites.frame["source"].to_list() == ["site"] * 3


def test_users_whom_the_hosts_do_not_tell_are_left_out_and_named() -> None:
    table = seen(
        *[("guest", "MAD-1")] * 2, ("guest", "SGP-01"),
        *[("tie", "MAD-1"), ("tie", "SGP-01")] * 5,
        *[("laptop", "MAD-1")] * 2, *[("laptop", "LAPTOP-9")] * 2,
        ("none", "SGP-123"), ("none", None), (None, "MAD-1"),
    )  # fmt: skip
    problems = tf.Problems()
    assert tf.UserZones.from_hosts(table, PATTERNS, problems=problems).zones == {"guest": MADRID}
    assert problems.frame.select("code", "message").rows() == [
        (
            "user_zone_uncertain",
            "'tie' has no zone: only 5 of 10 sessions are in Asia/Singapore, most of any zone",
        ),
        (
            "user_zone_uncertain",
            "'laptop' has no zone: only 2 of 4 sessions are in Europe/Madrid, most of any zone",
        ),
        ("user_without_zone", "'none' has no zone: no pattern fits the host of any of 2 sessions"),
    ]
    with pytest.warns(tf.TokenflexWarning, match=r"user_zone_uncertain \(2\)"):
        tf.UserZones.from_hosts(table, PATTERNS)


@given(
    st.lists(
        st.tuples(st.sampled_from("abc"), st.sampled_from(["MAD-1", "mad-k", "SGP-01", "sgp-1", "x", None])),
        max_size=30,
    ),
    st.randoms(use_true_random=False),
)
def test_zones_by_hosts_equal_their_definition_whatever_the_order(
    each: list[tuple[str, str | None]], random: Any
) -> None:
    def zone_of(host: str | None) -> str | None:
        fits = [zone for pattern, zone in PATTERNS.items() if fnmatchcase((host or "").upper(), pattern)]
        return fits[0] if fits and host is not None else None

    expected = {}
    for user in "abc":
        found = [zone_of(host) for name, host in each if name == user]
        for zone, count in Counter(found).items():
            if zone is not None and 3 * count >= 2 * len(found):
                expected[user] = zone
    problems = tf.Problems()
    assert tf.UserZones.from_hosts(seen(*each), PATTERNS, problems=problems).zones == expected
    assert len(problems) == len({user for user, _ in each}) - len(expected)
    random.shuffle(each)
    assert tf.UserZones.from_hosts(seen(*each), PATTERNS, problems=tf.Problems()).zones == expected


def test_wrong_patterns_are_refused() -> None:
    table = seen(("ana", "MAD-1"))
    with pytest.raises(tf.ZoneError, match="Mars"):
        tf.UserZones.from_hosts(table, {"MAD-*": "Mars/Olympus"})
    for wrong in (["MAD-*"], {"MAD-*": None}, {7: MADRID}, None):
        with pytest.raises(tf.ArgumentTypeError, match="patterns"):
            tf.UserZones.from_hosts(table, wrong)  # type: ignore[arg-type] # hostile
    with pytest.raises(tf.MissingColumnError, match="'site' is missing"):
        tf.UserZones.from_hosts(table, PATTERNS, column="site")


# Inferred ones.


def test_of_inferred_zones_those_are_taken_that_are_sure_enough() -> None:
    inferred = pl.DataFrame(
        {
            "user": ["ana", "bob", "eve"],
            "zone": [MADRID, SINGAPORE, None],
            "confidence": [0.8, 0.79, 0.3],
            "why": ["halves", "halves", "too few days: 3"],
        }
    )
    problems = tf.Problems()
    zones = tf.UserZones.from_inferred(inferred, problems=problems)
    assert zones.zones == {"ana": MADRID}
    assert zones.frame["source"].to_list() == ["inferred"]
    assert problems.frame.select("code", "message").rows() == [
        ("user_zone_uncertain", "'bob' has no zone: Asia/Singapore has a confidence of 0.79, below 0.8"),
        ("user_without_zone", "'eve' has no zone: too few days: 3"),
    ]
    assert len(tf.UserZones.from_inferred(inferred, at_least=0.5, problems=problems)) == 2
    for wrong in (1.1, -0.1, float("nan")):
        with pytest.raises(tf.ArgumentError, match="at_least"):
            tf.UserZones.from_inferred(inferred, at_least=wrong)
    with pytest.raises(tf.ArgumentTypeError, match="at_least"):
        tf.UserZones.from_inferred(inferred, at_least="much")  # type: ignore[arg-type] # hostile
    with pytest.raises(tf.ColumnTypeError, match="confidence"):
        tf.UserZones.from_inferred(inferred.with_columns(confidence=pl.lit("high")))


# In charges.

RULE, RATES = tf.Rule(window="day", zone="user"), tf.Rates({"ACD": 7})
OWL = pl.DataFrame(
    {
        "user": ["ana", "ana", "bob", "bob"],
        "product": ["ACD"] * 4,
        "start": [JULY + 14 * HOUR, JULY + 17 * HOUR] * 2,
        "end": [JULY + 15 * HOUR, JULY + 18 * HOUR] * 2,
    }
)
"""For Madrid one day, for Singapore two."""


def test_every_verb_that_charges_takes_user_zones() -> None:
    mapping = {"ana": MADRID, "bob": SINGAPORE}
    zones = tf.UserZones(mapping)
    terms: dict[str, Any] = {"rule": RULE, "rates": RATES}
    charges = tf.charge(OWL, **terms, users=zones)
    assert charges["user"].to_list() == ["ana", "bob", "bob"]
    assert charges.equals(tf.charge(OWL, **terms, users=mapping))
    ordered = OWL.sort("start")
    assert tf.charge(ordered.lazy(), **terms, users=zones).equals(tf.charge(ordered, **terms, users=mapping))
    assert tf.categorize(OWL, **terms, users=zones).equals(tf.categorize(OWL, **terms, users=mapping))
    prepared = tf.prepare(OWL)
    assert tf.replay(prepared, rules=[RULE], rates=RATES, users=zones)["charges"].to_list() == [3]
    meter = tf.Meter(**terms, users=zones)
    first = meter.push(OWL)
    assert pl.concat([first, tf.Meter.resume(meter.state()).finish()]).height == 3


def test_a_user_without_a_zone_is_not_charged_by_a_guess() -> None:
    problems = tf.Problems()
    charges = tf.charge(OWL, rule=RULE, rates=RATES, users=tf.UserZones({"ana": MADRID}), problems=problems)
    assert charges["user"].to_list() == ["ana"]
    assert problems.frame["code"].to_list() == ["unknown_user", "unknown_user"]
    with pytest.raises(tf.ArgumentError, match="for a time only"):
        tf.charge(OWL, rule=RULE, rates=RATES, users=tf.UserZones(MOVED))
    with pytest.raises(tf.ArgumentTypeError, match="servers"):
        tf.charge(OWL, rule=tf.TOKEN_FLEX, rates=RATES, servers=tf.UserZones({"ana": MADRID}))  # type: ignore[arg-type] # hostile
