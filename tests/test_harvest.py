"""`harvest`: the next charge of what is open equals its definition, and commands that no name can break out of."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import harvest_reference
import tokenflex as tf
from reference import DAY, HOUR, TICK, Session
from strategies import MINUTE, ZERO, Case, frame, whole_cases, whole_terms
from tokenflex.saving.remove import Shell, quoted, why_refused

SERVERS = {"mad-lic-01": "Europe/Madrid"}
RATES = tf.Rates({"ACD": 7, "RVT": 10})
DAY_UTC = tf.Rule(window="day", zone="utc")
HOSTILE = [
    "ana",
    "José Ángel Ruiz",
    "  two blanks ",
    "$HOME",
    "PC01$",
    "a;rm -rf /",
    "a b",
    "*",
    "~",
    "#comment",
    "a\\b",
    "(x)",
    "{a,b}",
    "[ab]",
    "!!",
    "a=b",
    "?",
    "岡田",
    "a,b",
    "@host",
    "ª",
]
WINDOWS: tuple[Shell, Shell] = "cmd", "powershell"
REFUSED = [
    "",
    "-h",
    "--help",
    "a\nb",
    "a\rb",
    "a\tb",
    "a\0b",
    "a\x1b[31m",
    "a\u202eb",
    "a\u2028b",
    "it's",
    'say "a"',
    "`id`",
    "$(id)",
    "${IFS}",
    "%PATH%",
    "a^b",
    "a&b",
    "a|b",
    "a<b",
    "a>b",
    "a\u2019b",
    "a\ud800b",
]


def at(day: int, hour: int = 0, minute: int = 0) -> datetime:
    return datetime(2026, 7, day, hour, minute, tzinfo=UTC)


def with_features(sessions: list[Session]) -> pl.DataFrame:
    return frame(sessions).with_columns(feature=pl.format("87545{}_2022_0F", "product"))


def harvest(sessions: list[Session], as_of: datetime, **more: Any) -> pl.DataFrame:
    given: dict[str, Any] = {"rule": DAY_UTC, "rates": RATES, "problems": tf.Problems()} | more
    return tf.harvest(with_features(sessions), as_of=as_of, **given)


def opened(user: str = "ana", product: str = "ACD", start: datetime | None = None, host: str = "pc1") -> Session:
    return Session(user, product, start or at(13, 8), None, "mad-lic-01", host)


# The next charge.

NO_MINIMUM = whole_terms(idle=False).map(lambda terms: replace(terms, min_duration=ZERO))


@given(whole_cases(NO_MINIMUM), st.sampled_from([ZERO, MINUTE, HOUR, 9 * HOUR, DAY]))
@settings(max_examples=40)
def test_the_next_charge_is_that_of_the_definition(case: Case, later: timedelta) -> None:
    check(case, later)


@pytest.mark.heavy
@given(whole_cases(NO_MINIMUM), st.sampled_from([ZERO, MINUTE, HOUR, 9 * HOUR, DAY]))
def test_the_next_charge_is_that_of_the_definition_at_length(case: Case, later: timedelta) -> None:
    check(case, later)


def check(case: Case, later: timedelta) -> None:
    if not case.sessions:
        return
    as_of = case.sessions[-1].start + later
    arguments = case.for_verb() | {"as_of": as_of}
    del arguments["activity"]
    found = tf.harvest(frame(case.sessions), **arguments)
    expected = harvest_reference.next_charges(case, as_of)
    told = {row["session"]: row for row in found.iter_rows(named=True)}
    assert set(told) == set(expected)
    for row, due in expected.items():
        assert told[row]["next_charge_at"] == (due and due[0])
        assert told[row]["tokens"] == (due and due[1])
        if due is not None:
            assert told[row]["minutes_to_charge"] == pytest.approx((due[0] - as_of) / MINUTE)
    assert found["minutes_to_charge"].drop_nulls().is_sorted()


@given(whole_cases(whole_terms(idle=False), faults=False), st.sampled_from([ZERO, MINUTE, HOUR, 9 * HOUR]))
@settings(max_examples=20)
def test_closing_everything_just_before_the_next_charge_costs_no_more_and_just_after_it_does(
    case: Case, later: timedelta
) -> None:
    check_around(case, later)


@pytest.mark.heavy
@given(whole_cases(whole_terms(idle=False), faults=False), st.sampled_from([ZERO, MINUTE, HOUR, 9 * HOUR]))
def test_closing_everything_around_the_next_charge_at_length(case: Case, later: timedelta) -> None:
    check_around(case, later)


def check_around(case: Case, later: timedelta) -> None:
    """Also where a minimum duration lets a launch go free at first."""
    if not case.sessions:
        return
    as_of = case.sessions[-1].start + later
    arguments = case.for_verb() | {"as_of": as_of}
    del arguments["activity"]
    due = tf.harvest(frame(case.sessions), **arguments)["next_charge_at"].drop_nulls().to_list()

    def charges_until(instant: datetime) -> int:
        known = [session for session in case.sessions if session.start <= as_of]
        closed = [
            replace(session, end=instant) if session.end is None or session.end > as_of else session
            for session in known
        ]
        return tf.charge(frame(closed), **case.for_verb() | {"activity": None}).height

    if due and due[0] > as_of + 2 * TICK:
        assert charges_until(due[0] - TICK) == charges_until(as_of + TICK)
        assert charges_until(due[0] + TICK) > charges_until(as_of + TICK)
    if not due:
        assert charges_until(as_of + 2 * DAY) == charges_until(as_of + TICK)


def test_the_next_to_be_charged_comes_first_then_the_dearer() -> None:
    sessions = [
        opened("ana", "ACD", at(13, 8)),
        opened("ben", "RVT", at(13, 8)),
        opened("eva", "ACD", at(13, 7)),
        Session("ana", "RVT", at(12, 8), at(12, 9), "mad-lic-01", "pc1"),
    ]
    found = harvest(sessions, at(13, 20), rule=tf.Rule(window="rolling"))
    assert found.select("user", "minutes_to_charge", "tokens").rows() == [
        ("eva", 660.0, Decimal(7)),
        ("ben", 720.0, Decimal(10)),
        ("ana", 720.0, Decimal(7)),
    ]


def test_what_ended_later_was_open_and_what_began_later_was_not() -> None:
    sessions = [Session("ana", "ACD", at(13, 8), at(15)), Session("eva", "ACD", at(14, 8), at(15))]
    assert harvest(sessions, at(13, 20))["user"].to_list() == ["ana"]
    flagged = with_features([Session("ana", "ACD", at(13, 8), at(13, 9))]).with_columns(is_open=True)
    assert tf.harvest(flagged, rule=DAY_UTC, rates=RATES, as_of=at(13, 20), problems=tf.Problems()).height == 1


def test_where_nothing_is_open_the_list_is_empty() -> None:
    closed = [Session("ana", "ACD", at(13, 8), at(13, 9))]
    found = harvest(closed, at(13, 20), users={"ana": "UTC"}, activity=active(("ana", at(13, 19, 59))))
    assert found.is_empty()
    assert dict(found.schema) == dict(tf.tables.HARVEST)


def test_a_launch_that_is_not_paid_yet_is_charged_when_it_is_long_enough() -> None:
    found = harvest([opened(start=at(13, 8))], at(13, 8, 2), rule=tf.FLEX)
    assert found.select("minutes_to_charge", "tokens").row(0) == (3.0, Decimal(7))


def test_what_is_renewed_at_this_very_instant_is_charged_already() -> None:
    found = harvest([opened(start=at(13, 8))], at(14, 8), rule=tf.Rule(window="rolling"))
    assert found["next_charge_at"][0] == at(15, 8)


def test_without_renewal_nothing_is_charged_again() -> None:
    rule = tf.Rule(window="day", zone="utc", renew=False)
    found = harvest([opened()], at(13, 20), rule=rule)
    assert found.select("next_charge_at", "tokens", "is_worth_it").row(0) == (None, None, False)


def test_a_product_without_a_rate_has_no_tokens_and_is_told() -> None:
    problems = tf.Problems()
    found = harvest([opened(product="XYZ")], at(13, 20), problems=problems)
    assert found["tokens"][0] is None
    assert found["next_charge_at"][0] == at(14)
    assert "no_rate" in problems.frame["code"]


# Whether it is worth it.


def active(*seen: tuple[str, datetime], **more: list[str]) -> pl.DataFrame:
    return pl.DataFrame({"user": [user for user, _ in seen], "time": [time for _, time in seen], **more})


def test_idle_and_about_to_be_charged_is_worth_it_and_in_use_is_not() -> None:
    sessions = [opened("ana"), opened("eva"), opened("ben")]
    activity = active(("ana", at(13, 9)), ("ana", at(13, 16)), ("eva", at(13, 19, 55)))
    found = harvest(sessions, at(13, 20), activity=activity)
    columns = ("idle_since", "idle_minutes", "idle_source", "is_worth_it")
    told = {row["user"]: tuple(row[name] for name in columns) for row in found.iter_rows(named=True)}
    assert told == {
        "ana": (at(13, 16), 240.0, "activity", True),
        "eva": (None, 0.0, None, False),
        "ben": (None, None, None, None),
    }


def test_all_that_is_open_of_a_charge_has_to_be_idle() -> None:
    """A second machine in use pays the next day anyway; of one of which nothing is known nobody can say."""
    sessions = [opened(host="pc1"), opened(host="pc2")]

    def worth(*seen: tuple[str, datetime]) -> list[bool | None]:
        times = [("pc9", at(13, 20)), *seen]
        known = active(*[("ana", time) for _, time in times], host=[host for host, _ in times])
        return harvest(sessions, at(13, 20), activity=known).sort("host")["is_worth_it"].to_list()

    left, working = at(13, 10), at(13, 19, 58)
    assert worth(("pc1", left), ("pc2", left)) == [True, True]
    assert worth(("pc1", left), ("pc2", working)) == [False, False]
    assert worth(("pc1", left)) == [None, None]
    assert worth(("pc1", working)) == [False, None]
    assert harvest(sessions, at(13, 20))["open_with"].to_list() == [2, 2]


def test_a_dearer_product_of_the_family_that_is_in_use_pays_anyway() -> None:
    rates = tf.Rates([tf.Rate("LT", 6, None, "drafting"), tf.Rate("PRO", 8, None, "drafting")])  # type: ignore[arg-type]
    sessions = [opened(product="LT"), opened(product="PRO")]
    terms = {"rule": tf.Rule(window="day", zone="utc", incremental=True), "rates": rates}
    seen = active(*[("ana", at(13, 10))] * 2, ("ana", at(13, 19, 58)), product=["LT", "PRO", "PRO"])
    found = harvest(sessions, at(13, 20), activity=seen, **terms).sort("product")
    assert found["is_worth_it"].to_list() == [False, False]
    seen = active(*[("ana", at(13, 10))] * 2, ("ana", at(13, 19, 58)), product=["LT", "PRO", "LT"])
    found = harvest(sessions, at(13, 20), activity=seen, **terms).sort("product")
    # Without the dearer one the next day costs 6, not 8.
    assert found["is_worth_it"].to_list() == [False, True]


def test_idle_through_the_night_is_inferred() -> None:
    days = [Session("ana", "ACD", at(day, 8), at(day, 17)) for day in (6, 7, 8, 9, 10)]
    found = harvest([*days, opened(start=at(13, 16))], at(14, 3), users={"ana": "UTC"})
    assert found.select("idle_since", "idle_source", "is_worth_it").row(0) == (at(13, 20), "rest", True)
    assert found["idle_confidence"][0] == pytest.approx(7 / 8)
    # What comes later is not known yet: she shows up at four.
    later = Session("ana", "RVT", at(14, 4), at(14, 5))
    again = harvest([*days, opened(start=at(13, 16)), later], at(14, 3), users={"ana": "UTC"})
    assert again.drop("session").equals(found.drop("session"))


def test_an_idle_product_whose_next_charge_waits_costs_nothing() -> None:
    """Under Flex the next charge waits for use, so nothing is at risk while nobody comes."""
    activity = active(("ana", at(13, 9)), ("ana", at(13, 12)), ("eva", at(13, 20)))
    found = harvest([opened()], at(13, 20), rule=tf.FLEX, activity=activity)
    assert found.select("next_charge_at", "is_worth_it").row(0) == (None, False)


def test_activity_of_yesterday_tells_nothing_of_now() -> None:
    problems = tf.Problems()
    activity = active(("ana", at(13, 9)), ("ana", at(13, 16)))
    found = harvest([opened()], at(14, 20), activity=activity, problems=problems)
    assert found["is_worth_it"][0] is None
    assert "activity_outdated" in problems.frame["code"]
    found = harvest([opened()], at(14, 20), activity=activity, recorded_until=at(14, 19, 50))
    assert found["idle_since"][0] == at(13, 16)


def test_an_idle_stretch_that_lasts_until_the_end_of_the_record_goes_on() -> None:
    stretches = pl.DataFrame({
        "user": ["ana", "eva"], "start": [at(13, 12), at(13, 9)], "end": [at(13, 19, 55), at(13, 18)],
    })  # fmt: skip
    found = harvest([opened("ana"), opened("eva")], at(13, 20), activity=stretches).sort("user")
    assert found["idle_minutes"].to_list() == [480.0, 0.0]
    assert found["is_worth_it"].to_list() == [True, False]


# Commands.


def test_a_command_by_user_host_and_display() -> None:
    found = harvest([opened()], at(13, 20), addresses={"mad-lic-01": "27000@lic.example"})
    assert found["command"][0] == "lmutil lmremove -c 27000@lic.example 87545ACD_2022_0F ana pc1 pc1"
    assert harvest([opened()], at(13, 20))["command"][0].startswith("lmutil lmremove -c @mad-lic-01 8")


CHECKOUT = {
    "server": "mad-lic-01", "user": "ana", "host": "pc1", "feature": "87545ACD_2022_0F", "time": at(13, 19),
    "start": at(13, 8), "handle": 1403, "display": "PC1:0", "server_host": "licences", "port": 27001,
    "is_queued": False,
}  # fmt: skip


def test_a_command_by_handle_of_a_snapshot() -> None:
    rows = [CHECKOUT, CHECKOUT | {"time": at(13, 18), "handle": 9}, CHECKOUT | {"handle": 8, "is_queued": True}]
    found = harvest([opened()], at(13, 20), handles=pl.DataFrame(rows))
    assert found.select("handle", "command").row(0) == (
        1403,
        "lmutil lmremove -c 27001@licences -h 87545ACD_2022_0F licences 27001 1403",
    )


def test_several_handles_are_freed_by_user_host_and_display() -> None:
    rows = [CHECKOUT, CHECKOUT | {"handle": 1404}]
    found = harvest([opened()], at(13, 20), handles=pl.DataFrame(rows))
    assert found.select("handle", "command").row(0) == (
        None,
        "lmutil lmremove -c 27001@licences 87545ACD_2022_0F ana pc1 PC1:0",
    )


def test_a_handle_of_a_log_counts_while_it_is_out() -> None:
    out = {name: CHECKOUT[name] for name in ("server", "user", "host", "feature", "handle")}
    events = [
        out | {"time": at(13, 8), "kind": "OUT"},
        out | {"time": at(13, 9), "kind": "OUT", "handle": 77},
        out | {"time": at(13, 10), "kind": "IN", "handle": 77},
        out | {"time": at(13, 21), "kind": "IN"},
    ]
    found = harvest([opened()], at(13, 20), handles=pl.DataFrame(events), addresses="27000@lic")
    assert found.select("handle", "command").row(0) == (
        1403,
        "lmutil lmremove -c 27000@lic -h 87545ACD_2022_0F lic 27000 1403",
    )
    assert harvest([opened()], at(13, 22), handles=pl.DataFrame(events), addresses="27000@lic")["handle"][0] is None


def test_a_part_that_is_not_known_is_told() -> None:
    problems = tf.Problems()
    sessions = frame([opened()]).drop("host").with_columns(feature=pl.lit("f"))
    found = tf.harvest(sessions, rule=DAY_UTC, rates=RATES, as_of=at(13, 20), problems=problems)
    assert found["command"][0] is None
    assert problems.frame.select("code", "location").rows() == [("no_command", 0)]
    assert "the host" in problems.frame["message"][0]


@pytest.mark.parametrize("name", HOSTILE)
def test_a_posix_shell_hands_hostile_names_on_unchanged(name: str) -> None:
    assert why_refused(name, "posix") is None
    found = harvest([opened(user=name, host=name)], at(13, 20), addresses="27000@lic")
    command = found["command"][0]
    assert arguments_of(command) == ["-c", "27000@lic", "87545ACD_2022_0F", name, name, name]


def arguments_of(command: str) -> list[str]:
    """What `lmutil lmremove` would get, by a shell of this machine; `printf` stands in for it."""
    line = command.removeprefix("lmutil lmremove ")
    assert line != command
    done = subprocess.run(
        ["/bin/sh", "-c", f"printf '%s\\n' {line}"], capture_output=True, text=True, check=True, encoding="utf-8"
    )
    assert done.stderr == ""
    return done.stdout.splitlines()


@given(st.text(st.characters(exclude_characters="\n"), min_size=1, max_size=12))
@settings(max_examples=40)
def test_any_name_is_refused_or_handed_on_unchanged(name: str) -> None:
    if why_refused(name, "posix") is None:
        assert arguments_of(f"lmutil lmremove {quoted(name, 'posix')}") == [name]
    for shell in WINDOWS:
        if why_refused(name, shell) is None:
            assert read_by_windows(quoted(name, shell), shell) == name


def read_by_windows(text: str, shell: str) -> str:
    """What a program gets of one argument: first what the shell leaves of it, then what the C runtime makes of it."""
    if shell == "powershell":
        assert text[0] == text[-1] == "'"
        inside = text[1:-1]
        assert not set(inside) & set("'\u2018\u2019\u201a\u201b")
        # PowerShell puts quotation marks around what has blanks.
        text = f'"{inside}"' if set(inside) & set(" \t") else inside
    else:
        is_quoted = text[0] == text[-1] == '"'
        assert is_quoted or not set(text) & set(' \t,;=()&|<>^%!"')
        assert not set(text[1:-1]) & set('%!"')
    assert text.count('"') in (0, 2)
    if text[0] == '"':
        assert text[-1] == '"'
        assert not text[:-1].endswith("\\")
        return text[1:-1]
    return text


@pytest.mark.parametrize("name", REFUSED)
@pytest.mark.parametrize("shell", ["posix", "cmd", "powershell"])
def test_names_that_could_break_out_are_refused(name: str, shell: Any) -> None:
    assert why_refused(name, shell) is not None


@pytest.mark.parametrize("place", ["user", "host", "feature", "server"])
@pytest.mark.parametrize("shell", ["posix", "cmd", "powershell"])
def test_a_refused_name_anywhere_leaves_no_command_and_is_told(place: str, shell: Any) -> None:
    problems = tf.Problems()
    table = with_features([opened()]).with_columns(pl.lit("x'; rm -rf / #\u202e").alias(place))
    found = tf.harvest(table, rule=DAY_UTC, rates=RATES, as_of=at(13, 20), shell=shell, problems=problems)
    assert found["command"].to_list() == [None]
    row = problems.frame.row(-1, named=True)
    assert (row["code"], row["location"]) == ("unsafe_name", 0)
    assert "\\u202e" in row["message"]
    assert row["message"].isascii()


@pytest.mark.parametrize("shell", ["cmd", "powershell"])
def test_what_only_windows_shells_cannot_take(shell: Any) -> None:
    assert why_refused("ends\\", shell)
    assert why_refused("ends\\", "posix") is None
    assert (why_refused("wow!", shell) is not None) == (shell == "cmd")


@pytest.mark.parametrize(
    ("shell", "arguments"),
    [
        ("cmd", '"27000@lic" 87545ACD_2022_0F "ana b" "pc 1" "pc 1"'),
        ("powershell", "'27000@lic' '87545ACD_2022_0F' 'ana b' 'pc 1' 'pc 1'"),
    ],
)
def test_commands_for_windows(shell: Shell, arguments: str) -> None:
    found = harvest([opened("ana b", host="pc 1")], at(13, 20), addresses="27000@lic", shell=shell)
    assert found["command"][0] == f"lmutil lmremove -c {arguments}"


@pytest.mark.parametrize(
    ("more", "error", "says"),
    [
        ({"shell": "fish"}, tf.ArgumentError, "posix, cmd or powershell"),
        ({"addresses": "27000@lic; id"}, tf.ArgumentError, "PORT@HOST"),
        ({"addresses": {"mad-lic-01": "lic"}}, tf.ArgumentError, "PORT@HOST"),
        ({"addresses": 27000}, tf.ArgumentTypeError, "PORT@HOST"),
        ({"as_of": datetime(2026, 7, 13)}, tf.ArgumentError, "no time zone"),  # noqa: DTZ001 - what is refused
        ({"rule": "flex"}, tf.ArgumentTypeError, "rule has to be"),
        ({"rule": tf.TOKEN_FLEX}, tf.ZoneError, "servers="),
        ({"handles": pl.DataFrame({"user": ["ana"]})}, tf.MissingColumnError, "'host'"),
    ],
)
def test_arguments_that_make_no_sense(more: dict[str, Any], error: type[Exception], says: str) -> None:
    terms: dict[str, Any] = {"rule": DAY_UTC, "rates": RATES, "as_of": at(13, 20)} | more
    with pytest.raises(error, match=says):
        tf.harvest(with_features([opened()]), **terms)
