"""`double_charges` equals its definition, finds what was planted and nothing else, and refuses what makes no sense."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import planted_doubles as planted
import tokenflex as tf
import vendor_exports as vendor
from tokenflex import tables

if TYPE_CHECKING:
    from collections.abc import Iterator

NAMES = dict.fromkeys(("user", "product", "server"), pl.String)
SESSIONS: dict[str, Any] = {**NAMES, "start": tables.TIME, "end": tables.TIME}
HOUR = timedelta(hours=1)
RATES = tf.Rates(
    [tf.Rate("LT", Decimal(6), family="cad"), tf.Rate("PRO", Decimal(8), family="cad"), tf.Rate("RVT", Decimal(10))]
)
FAMILY = {"LT": "cad", "PRO": "cad"}
USERS = {"ana": "Europe/Madrid", "mei": "Asia/Singapore", "bo": "America/St_Johns"}
ROLLING = tf.Rule(window="rolling")
DAY = tf.Rule(window="day", zone="server")


def at(day: int, hour: int = 0, minute: int = 0, *, month: int = 7) -> datetime:
    return datetime(2026, month, day, hour, minute, tzinfo=UTC)


# ------------------------------------------------------------------------------------------------------- the definition


@dataclass(frozen=True)
class Line:
    """One charge, as the reference sees it."""

    user: str
    product: str
    server: str
    charged_at: datetime
    window_end: datetime
    usage_date: date
    category: str
    trigger: str
    tokens: Decimal | None
    start: datetime
    end: datetime
    end_reason: str

    @property
    def person(self) -> str:
        return self.user.rpartition("\\")[2].casefold()

    @property
    def line(self) -> str:
        return {"87545LT_2022_0F": "LT", "LITE": "LT"}.get(self.product, self.product)

    def working_date(self, day_start: timedelta) -> date:
        local = self.charged_at.astimezone(ZoneInfo(USERS[self.person])).replace(tzinfo=None)
        return (local - day_start).date()


def is_paid(first: Line, second: Line, rule: tf.Rule) -> bool:
    """Whether the first charge's window holds where the second falls."""
    if rule.scope == "server" and first.server != second.server:
        return False
    if rule.window == "day":
        return first.usage_date == second.usage_date
    return second.charged_at < first.window_end


def causes_of(first: Line, second: Line, rule: tf.Rule) -> set[str]:
    """Of two charges for one product."""
    causes = {"below_minimum"} if second.end - second.start < rule.min_duration else set()
    is_other_server = first.server != second.server
    if is_paid(first, second, rule):
        told = {
            "identity": first.user != second.user,
            "variant": first.product != second.product,
            "two_servers": is_other_server,
        }
        return causes | {name for name, applies in told.items() if applies}
    if is_other_server and (rule.window == "day" or rule.scope == "server"):
        if rule.window == "day" and second.trigger == "renewal" and not causes:
            wall = first.window_end.astimezone(ZoneInfo(USERS[first.person])).time()
            return {"two_servers", "own_midnight" if wall == time(0) else "server_midnight"}
        return causes | {"two_servers"}
    if rule.window == "rolling":
        return causes | {"window_drift"}
    wall = first.window_end.astimezone(ZoneInfo(USERS[first.person])).time()
    return causes | {"own_midnight" if wall == time(0) else "server_midnight"}


def is_reconnect(second: Line, lines: list[Line]) -> bool:
    """Whether a launch came within a quarter of an hour after the server took a license back."""
    return second.trigger == "launch" and any(
        (other.person, other.line) == (second.person, second.line)
        and other.end_reason in ("inactive", "crash")
        and timedelta(0) <= second.charged_at - other.end <= timedelta(minutes=15)
        for other in lines
    )


def increment_due(holding: list[Line], second: Line) -> Decimal | None:
    """What a product still had to pay beside others of its family; None where all of it was due."""
    level = Decimal(0)
    for line in holding:
        if line.tokens is not None:
            level = level + line.tokens if line.category == "INCREMENTAL" else max(level, line.tokens)
    if second.category != "CHARGED" or second.tokens is None or level <= 0:
        return None
    return max(second.tokens - level, Decimal(0))


def definition(lines: list[Line], rule: tf.Rule, day_start: timedelta) -> Iterator[dict[str, Any]]:
    """Every second charge of a working day, straight from the words of SEMANTICS.md."""
    order = sorted(range(len(lines)), key=lambda row: lines[row].charged_at)
    for place, row in enumerate(order):
        second = lines[row]
        if second.person not in USERS:
            continue
        of_day = (second.person, second.working_date(day_start))
        earlier = [
            other
            for other in order[:place]
            if lines[other].person == of_day[0] and lines[other].working_date(day_start) == of_day[1]
        ]
        same = [other for other in earlier if lines[other].line == second.line]
        due = Decimal(0)
        if same:
            ranks = {
                other: (is_paid(lines[other], second, rule), lines[other].server == second.server, number)
                for number, other in enumerate(same)
            }
            chosen = max(same, key=lambda other: ranks[other])
            causes = causes_of(lines[chosen], second, rule)
            claimable = is_paid(lines[chosen], second, rule) or "below_minimum" in causes
        else:
            holding = [
                other
                for other in earlier
                if lines[other].line in FAMILY and second.line in FAMILY and is_paid(lines[other], second, rule)
            ]
            rest = increment_due([lines[other] for other in holding], second)
            if rest is None or not holding:
                continue
            chosen, due, causes, claimable = holding[-1], rest, {"missing_increment"}, True
        if is_reconnect(second, lines) and (claimable or "two_servers" in causes):
            causes.add("reconnect")
        ranked = [name for name in tables.DOUBLE_CHARGE_CAUSES if name in causes] or ["unexplained"]
        yield {
            "first_charge": chosen,
            "charge": row,
            "causes": ranked,
            "cause": ranked[0],
            "is_claimable": claimable,
            "tokens": None if second.tokens is None else second.tokens - due,
            "working_date": second.working_date(day_start),
            "gap": second.charged_at - lines[chosen].window_end,
        }


@st.composite
def cases(draw: st.DrawFn) -> tuple[list[Line], tf.Rule, timedelta]:
    around = draw(st.sampled_from([at(13), datetime(2010, 11, 7, tzinfo=UTC), datetime(2026, 3, 29, tzinfo=UTC)]))
    instants = st.integers(-30, 60).map(lambda half: around + half * HOUR / 2)
    lines = []
    for _ in range(draw(st.integers(0, 9))):
        charged_at = draw(instants)
        product = draw(st.sampled_from(["LT", "LT", "PRO", "RVT", "87545LT_2022_0F", "LITE"]))
        start = charged_at - draw(st.sampled_from([0, 0, 1, 5])) * HOUR
        lines.append(
            Line(
                user=draw(st.sampled_from(["ana", "ana", "ANA", r"FIRM\ana", "mei", "bo", "nobody"])),
                product=product,
                server=draw(st.sampled_from(["mad", "chi"])),
                charged_at=charged_at,
                window_end=charged_at + draw(st.sampled_from([1, 5, 24])) * HOUR,
                usage_date=charged_at.date() + timedelta(days=draw(st.sampled_from([0, 0, -1]))),
                category=draw(st.sampled_from(["CHARGED", "CHARGED", "INCREMENTAL"])),
                trigger=draw(st.sampled_from(["launch", "launch", "renewal"])),
                tokens=draw(st.sampled_from([None, Decimal(6), Decimal(8), Decimal("2.5")])),
                start=start,
                end=start + draw(st.sampled_from([0, 2, 8, 90, 600])) * timedelta(minutes=1),
                end_reason=draw(st.sampled_from(["checkin", "inactive", "crash", "open"])),
            )
        )
    rule = tf.Rule(
        window=draw(st.sampled_from(["day", "rolling"])),
        scope=draw(st.sampled_from(["contract", "contract", "server"])),
        min_duration=draw(st.sampled_from([timedelta(0), timedelta(minutes=5)])),
    )
    return lines, rule, draw(st.sampled_from([timedelta(0), timedelta(hours=4), timedelta(hours=9, minutes=30)]))


def table_of(lines: list[Line]) -> pl.DataFrame:
    schema = {name: tables.CHARGES[name] for name in tables.CHARGES if name != "rule_id"} | NAMES
    rows = [
        {**{name: getattr(line, name) for name in schema if name != "session"}, "session": row}
        for row, line in enumerate(lines)
    ]
    return pl.DataFrame(rows, schema=schema)


def sessions_of(lines: list[Line]) -> pl.DataFrame:
    names = ["user", "product", "start", "end", "end_reason"]
    schema: dict[str, Any] = {name: SESSIONS.get(name, pl.Enum(tables.END_REASONS)) for name in names}
    rows = [{name: getattr(line, name) for name in names} for line in lines]
    return pl.DataFrame(rows, schema=schema)


def found_in(lines: list[Line], rule: tf.Rule, day_start: timedelta, **more: Any) -> pl.DataFrame:
    return tf.double_charges(
        table_of(lines),
        users=USERS,
        day_start=day_start,
        sessions=sessions_of(lines),
        rule=rule,
        rates=RATES,
        variants={"LITE": "LT"},
        problems=more.pop("problems", tf.Problems()),
        **more,
    )


@given(case=cases())
@settings(max_examples=400)
def test_double_charges_equal_the_definition(case: tuple[list[Line], tf.Rule, timedelta]) -> None:
    lines, rule, day_start = case
    found = found_in(lines, rule, day_start)
    assert found.schema == pl.Schema(tables.DOUBLE_CHARGES)
    wanted = list(definition(lines, rule, day_start))
    assert found.select(wanted[0].keys()).to_dicts() == wanted if wanted else found.is_empty()
    for name, of in (("user", "person"), ("product", "line"), ("spelling", "user"), ("code", "product")):
        assert found[name].to_list() == [getattr(lines[row], of) for row in found["charge"]]
    for name in ("user", "product"):
        column = {"user": "first_spelling", "product": "first_code"}[name]
        assert found[column].to_list() == [getattr(lines[row], name) for row in found["first_charge"]]


@given(case=cases(), seed=st.integers(0, 9))
@settings(max_examples=60)
def test_order_encoding_and_library_change_nothing(case: tuple[list[Line], tf.Rule, timedelta], seed: int) -> None:
    lines, rule, day_start = case
    # At one instant the order of rows decides which of two is the second.
    lines = list({(line.person, line.charged_at): line for line in lines}.values())
    table = table_of(lines)
    terms: dict[str, Any] = {"users": USERS, "day_start": day_start, "rule": rule, "rates": RATES}
    what = [name for name in tables.DOUBLE_CHARGES if name not in ("charge", "first_charge")]

    def answer(of: Any) -> list[tuple[Any, ...]]:
        return tf.double_charges(of, **terms, problems=tf.Problems()).select(what).rows()

    once = answer(table)
    assert sorted(map(str, answer(table.sample(fraction=1, shuffle=True, seed=seed)))) == sorted(map(str, once))
    assert answer(table.cast(dict.fromkeys(NAMES, pl.Categorical()))) == once
    assert answer(table.lazy()) == once
    assert answer(table.to_arrow()) == once


@st.composite
def worked(draw: st.DrawFn) -> pl.DataFrame:
    rows = []
    for _ in range(draw(st.integers(1, 12))):
        start = at(1) + draw(st.integers(0, 24 * 8 * 4)) * timedelta(minutes=15)
        end = start + draw(st.integers(0, 200)) * timedelta(minutes=15)
        user, server = draw(st.sampled_from(["ana", "mei"])), draw(st.sampled_from(["mad", "chi"]))
        rows.append((user, draw(st.sampled_from(["LT", "RVT"])), server, start, end))
    return pl.DataFrame(rows, schema=SESSIONS, orient="row")


@given(sessions=worked())
@settings(max_examples=60)
def test_windows_of_24_hours_never_double_in_a_day_of_24_hours(sessions: pl.DataFrame) -> None:
    """No window begins within the one before, so no two begin within 24 hours: `window_drift` needs shorter ones."""
    assert tf.double_charges(sessions, users=USERS, rule=tf.Rule(window="rolling"), rates=RATES).is_empty()


@given(sessions=worked())
@settings(max_examples=60)
def test_by_the_day_of_the_user_that_begins_with_work_nothing_doubles(sessions: pl.DataFrame) -> None:
    rule = tf.Rule(window="day", zone="user", day_start=timedelta(hours=4))
    charges = tf.charge(sessions, rule=rule, rates=RATES, users=USERS)
    assert tf.double_charges(charges, users=USERS).is_empty()


@given(sessions=worked())
@settings(max_examples=60)
def test_what_the_rule_makes_is_never_claimable_and_has_a_cause(sessions: pl.DataFrame) -> None:
    servers = {"mad": "Europe/Madrid", "chi": "America/Chicago"}
    found = tf.double_charges(sessions, users=USERS, rule=DAY, rates=RATES, servers=servers)
    assert not found["is_claimable"].any()
    assert set(found["cause"]) <= {"two_servers", "server_midnight", "own_midnight"}


# ------------------------------------------------------------------------------------------------------ worked examples


def session(user: str, start: datetime, end: datetime, product: str = "ACD", server: str = "srv") -> tuple[Any, ...]:
    return user, product, server, start, end


def doubles_of(*rows: tuple[Any, ...], rule: tf.Rule = tf.TOKEN_FLEX, zone: str, **more: Any) -> pl.DataFrame:
    sessions = pl.DataFrame(rows, schema=SESSIONS, orient="row")
    options: dict[str, Any] = {"rates": tf.Rates({"ACD": 7}), "servers": {"srv": zone}, **more}
    return tf.double_charges(sessions, rule=rule, **options)


def test_tv7_work_past_the_midnight_of_the_server_is_a_double_charge() -> None:
    # A server twelve hours ahead: 11:29 local is 23:29 there.
    found = doubles_of(
        session("mei", at(13, 15, 29), at(13, 20)), zone="Asia/Singapore", users={"mei": "America/New_York"}
    )
    assert found.select("cause", "tokens", "charged_at", "gap").rows() == [
        ("server_midnight", Decimal(7), at(13, 16), timedelta(0))
    ]


def test_tv8_one_working_day_in_singapore_doubles_in_new_york() -> None:
    found = doubles_of(session("mei", at(13, 1), at(13, 10)), zone="America/New_York", users={"mei": "Asia/Singapore"})
    assert found.select("cause", "first_charged_at", "charged_at", "working_date").rows() == [
        ("server_midnight", at(13, 1), at(13, 4), date(2026, 7, 13))
    ]


def test_tv9_each_day_of_a_week_doubles_though_only_one_charge_is_more() -> None:
    week = [session("mei", at(day, 1), at(day, 10)) for day in range(13, 18)]
    found = doubles_of(*week, zone="America/New_York", users={"mei": "Asia/Singapore"})
    # Monday has two charges. From Tuesday on the morning falls on the date that the day before has paid.
    assert found["working_date"].to_list() == [date(2026, 7, 13)]


def test_tv10_summer_time_moves_the_second_charge() -> None:
    for month, hour in ((1, 6), (7, 5)):
        found = doubles_of(
            session("jin", at(15, 0, month=month), at(15, 9, month=month)),
            zone="America/Chicago",
            users={"jin": "Asia/Seoul"},
        )
        assert found["charged_at"].to_list() == [at(15, hour, month=month)]


def test_a_window_shorter_than_the_day_drifts() -> None:
    found = doubles_of(
        session("ana", at(13, 7), at(13, 16)),
        zone="Europe/Madrid",
        users=USERS,
        rule=tf.Rule(window="rolling", length=timedelta(hours=8)),
    )
    assert found.select("cause", "is_claimable", "charged_at").rows() == [("window_drift", False, at(13, 15))]


def test_two_spellings_are_claimable_only_while_the_first_window_runs() -> None:
    rows = [session("ana", at(13, 7), at(13, 8)), session(r"FIRM\ANA", at(13, 9), at(13, 10))]
    found = doubles_of(*rows, zone="Europe/Madrid", users={"ana": "Europe/Madrid"})
    assert found.select("user", "cause", "is_claimable", "spelling", "first_spelling").rows() == [
        ("ana", "identity", True, r"FIRM\ANA", "ana")
    ]
    rows[1] = session(r"FIRM\ANA", at(13, 22, 30), at(13, 23))
    found = doubles_of(*rows, zone="Europe/Madrid", users={"ana": "Europe/Madrid"})
    assert found.select("cause", "is_claimable").rows() == [("own_midnight", False)]


def test_who_someone_is_can_depend_on_the_time() -> None:
    aliases = pl.DataFrame(
        {"spelling": ["temp", "temp"], "person": ["ana", "bo"], "valid_from": [None, "2026-07-14"],
         "valid_to": ["2026-07-14", None]}
    ).with_columns(pl.col("valid_from", "valid_to").str.to_date())  # fmt: skip
    rows = [
        session(user, at(day, hour), at(day, hour + 1)) for day in (13, 15) for user, hour in (("ana", 7), ("temp", 9))
    ]
    found = doubles_of(*rows, zone="Europe/Madrid", users=USERS, identity=tf.Identity(aliases))
    assert found.select("user", "cause", "working_date").rows() == [("ana", "identity", date(2026, 7, 13))]


def test_a_working_day_begins_when_one_says() -> None:
    late = session("ana", at(13, 21, 30), at(13, 23))
    assert doubles_of(late, zone="Europe/Madrid", users=USERS).height == 1
    assert doubles_of(late, zone="Europe/Madrid", users=USERS, day_start=timedelta(0)).is_empty()


def test_who_moves_has_the_working_day_of_where_she_is() -> None:
    lives = pl.DataFrame(
        {
            "user": ["mei", "mei"],
            "zone": ["Asia/Singapore", "America/New_York"],
            "valid_from": [None, date(2026, 7, 14)],
            "valid_to": [date(2026, 7, 14), None],
        }
    )
    # At home the server's midnight falls into her morning; in New York it is midnight.
    rows = [session("mei", at(13, 1), at(13, 10)), session("mei", at(15, 12), at(15, 21))]
    found = doubles_of(*rows, zone="America/New_York", users=tf.UserZones(lives))
    assert found.select("zone", "working_date").rows() == [("Asia/Singapore", date(2026, 7, 13))]


def test_the_host_pays_for_what_is_metered_by_machine() -> None:
    schema: dict[str, Any] = {**NAMES, "host": pl.String, "start": tables.TIME, "end": tables.TIME}
    rows = [
        ("ana", "VRED", "srv", "pc1", at(13, 7), at(13, 8)),
        ("bo", "VRED", "srv", "pc1", at(13, 21), at(13, 23)),
        ("ana", "ACD", "srv", "pc1", at(13, 7), at(13, 8)),
        ("bo", "ACD", "srv", "pc1", at(13, 7), at(13, 8)),
    ]
    rule = tf.Rule(window="day", machine_metered=frozenset({"VRED"}))
    found = tf.double_charges(
        pl.DataFrame(rows, schema=schema, orient="row"),
        users=dict.fromkeys(("ana", "bo"), "Europe/Madrid"),
        rule=rule,
        rates=tf.Rates({"VRED": 9, "ACD": 7}),
        servers={"srv": "Europe/Madrid"},
    )
    assert found.select("user", "product", "cause", "spelling").rows() == [("pc1", "VRED", "own_midnight", "bo")]


WORDS = {
    "server_midnight": (
        "mei, ACD, 2026-07-13 (Asia/Singapore): charged at 09:00 on srv, and again at 12:00: the midnight that "
        "divides the server's days fell into the working day. Due by the rule; 7 tokens more than one charge for "
        "the day."
    ),
    "identity": (
        "ana, ACD, 2026-07-13 (Europe/Madrid): charged at 09:00 as 'ana' and at 11:00 as 'ANA', who is the same "
        "person. The first window ran until 2026-07-14 00:00. By the contract's rule nothing was due: 7 tokens to "
        "be given back."
    ),
}


def test_a_double_charge_in_words() -> None:
    midnight = doubles_of(
        session("mei", at(13, 1), at(13, 10)), zone="America/New_York", users={"mei": "Asia/Singapore"}
    )
    rows = [session("ana", at(13, 7), at(13, 8)), session("ANA", at(13, 9), at(13, 10))]
    spelled = doubles_of(*rows, zone="Europe/Madrid", users={"ana": "Europe/Madrid"})
    for found in (midnight, spelled):
        told = tf.explain_double_charges(found)
        assert told["explanation"].to_list() == [WORDS[found["cause"][0]]]


# --------------------------------------------------------------------------------------------------- what was planted


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("each", [0, 1, 5])
def test_all_that_was_planted_is_found_and_nothing_else(seed: int, each: int) -> None:
    made = planted.plant(seed, each)
    problems = tf.Problems()
    statement = tf.read_statement(made.statement(), timezone=planted.SERVERS, problems=problems)
    found = tf.double_charges(
        statement,
        users=made.users,
        sessions=made.sessions(),
        rule=planted.RULE,
        rates=planted.RATES,
        servers=planted.SERVERS,
        variants=planted.VARIANTS,
        problems=problems,
    )
    assert len(problems) == 0, problems
    by_cause = found.group_by(pl.col("cause").cast(pl.String)).agg(pl.len(), pl.col("tokens").sum())
    assert {cause: count for cause, count, _ in by_cause.iter_rows()} == dict(made.counts)
    assert {cause: int(tokens) for cause, _, tokens in by_cause.iter_rows()} == dict(made.tokens)
    consequences = found.filter(~pl.col("is_claimable"))
    assert set(consequences["cause"]) <= {"server_midnight", "two_servers"}
    assert consequences.height == 2 * each
    told = tf.explain_double_charges(found)
    assert told["explanation"].null_count() == told["remedy"].null_count() == 0
    assert not told["explanation"].str.contains(r"not stated|unknown|\{").any()


# ------------------------------------------------------------------------------------------------------------ bad calls

CHARGE = table_of(
    [
        Line(
            user="ana",
            product="RVT",
            server="mad",
            charged_at=at(13),
            window_end=at(14),
            usage_date=date(2026, 7, 13),
            category="CHARGED",
            trigger="launch",
            tokens=Decimal(10),
            start=at(13),
            end=at(13, 5),
            end_reason="checkin",
        )
    ]
    * 2
)


def test_users_without_a_zone_are_named_with_what_they_cost_and_not_judged() -> None:
    problems = tf.Problems()
    charges = pl.concat([CHARGE, CHARGE.with_columns(user=pl.lit("zoe")), CHARGE.with_columns(user=pl.lit(None))])
    found = tf.double_charges(charges, users=USERS, rule=DAY, problems=problems)
    assert found["user"].to_list() == ["ana"]
    assert problems.frame.select("source", "location", "code", "message").rows() == [
        ("charges", 4, "missing_user", "no user, or a masked one: not judged"),
        ("charges", 5, "missing_user", "no user, or a masked one: not judged"),
        ("users", None, "user_without_zone", "zoe has no zone: 2 charges of 20 tokens are not judged"),
    ]


@pytest.mark.parametrize(
    ("more", "error", "words"),
    [
        ({"users": {}}, tf.ZoneError, "users is empty"),
        ({"users": {"ana": "Mars/Base"}}, tf.ZoneError, "Mars/Base"),
        ({"users": {"ana": 1}}, tf.ArgumentTypeError, "names to IANA zones"),
        ({"users": ["ana"]}, tf.ArgumentTypeError, "users has to"),
        ({"users": {"ana": "UTC", "ANA": "Asia/Tokyo"}}, tf.ArgumentError, "one person"),
        ({"rule": None}, tf.ArgumentError, "pass rule="),
        ({"rule": "flex"}, tf.ArgumentTypeError, "tokenflex.Rule"),
        ({"rates": 7}, tf.ArgumentTypeError, "tokenflex.Rates"),
        ({"identity": {}}, tf.ArgumentTypeError, "tokenflex.Identity"),
        ({"variants": {"a": 1}}, tf.ArgumentTypeError, "variants"),
        ({"day_start": timedelta(hours=24)}, tf.ArgumentError, "day_start"),
        ({"day_start": 4}, tf.ArgumentTypeError, "day_start"),
        ({"reconnect_within": -timedelta(hours=1)}, tf.ArgumentError, "reconnect_within"),
        ({"sessions": sessions_of([])}, tf.ArgumentError, "sessions has 0 rows"),
    ],
)
def test_bad_calls_say_what_to_do(more: dict[str, Any], error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        tf.double_charges(CHARGE, **{"users": USERS, "rule": DAY, **more})


@pytest.mark.parametrize(
    ("table", "error", "words"),
    [
        (CHARGE.drop("tokens"), tf.MissingColumnError, "tokens"),
        (CHARGE.drop("charged_at"), tf.MissingColumnError, "charged_at"),
        (CHARGE.cast({"tokens": pl.Float64}), tf.ColumnTypeError, "exact"),
        (CHARGE.with_columns(user="usage_date"), tf.ColumnTypeError, "user"),
        (CHARGE.with_columns(pl.col("charged_at").dt.replace_time_zone(None)), tf.ColumnTypeError, "time zone"),
        (sessions_of([]), tf.ArgumentError, "rule= and rates="),
        (7, tf.TableTypeError, "table"),
    ],
)
def test_bad_tables_are_refused(table: Any, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        tf.double_charges(table, users=USERS, rule=DAY)


def test_a_statement_needs_the_terms_of_the_contract() -> None:
    statement = tf.read_statement(vendor.sessions_csv(vendor.SESSION))
    with pytest.raises(tf.ArgumentError, match="pass rule= and rates="):
        tf.double_charges(statement, users=USERS)


def test_rows_of_a_statement_without_times_are_told_of() -> None:
    statement = tf.read_statement(vendor.table(vendor.FLEX_2022, [vendor.FLEX]).encode())
    problems = tf.Problems()
    found = tf.double_charges(statement, users=USERS, rule=tf.FLEX, rates=RATES, problems=problems)
    assert found.is_empty()
    assert problems.frame["code"].to_list() == ["no_times"]


def stated(*rows: tuple[str, str, str, str]) -> pl.DataFrame:
    """A statement: for each session of ana's in Revit its first hour, its last one, the category and the tokens."""
    return tf.read_statement(
        vendor.sessions_csv(
            *(
                {
                    "usageDate": start[:10],
                    "productLineCode": "RVT",
                    "userName": "ana",
                    "sessionStartDate": start,
                    "sessionEndDate": end,
                    "licenseServerTimeZoneOffset": "+0:00",
                    "licenseServerName": "srv",
                    "chargeCategory": category,
                    "usageCategory": "DESKTOP_PRODUCT",
                    "tokensConsumed": tokens,
                }
                for start, end, category, tokens in rows
            )
        )
    )


def judged(statement: pl.DataFrame, problems: tf.Problems, **more: Any) -> list[tuple[str, Decimal]]:
    rates = more.pop("rates", RATES)
    found = tf.double_charges(
        statement,
        users={"ana": "UTC"},
        rule=tf.Rule(window="day", zone="utc"),
        rates=rates,
        problems=problems,
        **more,
    )
    return found.select(pl.col("cause").cast(pl.String), "tokens").rows()


def test_a_charge_that_is_dearer_than_the_rate_is_no_second_one() -> None:
    day = ("2026-07-13T08:00:00", "2026-07-13T09:00:00")
    for tokens, cases in (("10", []), ("12", []), ("7", []), ("20", [("unexplained", Decimal(10))])):
        assert judged(stated((*day, "CHARGED", tokens)), tf.Problems()) == cases
    again = ("2026-07-13T10:00:00", "2026-07-13T11:00:00", "CHARGED", "3")
    assert judged(stated((*day, "CHARGED", "10"), again), tf.Problems()) == [("unexplained", Decimal(3))]
    # Over midnight: the second of two charges, at half its price.
    night = stated(("2026-07-13T20:00:00", "2026-07-14T02:00:00", "CHARGED", "15"))
    assert judged(night, tf.Problems()) == [("own_midnight", Decimal(5))]


def test_a_statement_with_rates_of_another_contract_is_told_of_or_refused() -> None:
    days = [(f"2026-07-{day}T08:00:00", f"2026-07-{day}T09:00:00", "CHARGED", "10") for day in range(13, 18)]
    problems = tf.Problems()
    judged(stated(*days), problems, rates=tf.Rates({"RVT": 8}))
    assert problems.frame["code"].to_list() == ["constant_factor"]
    assert "1.25 times" in problems.frame["message"][0]
    with pytest.raises(tf.ArgumentError, match="have 2 times the tokens of the rates") as raised:
        judged(stated(*days), tf.Problems(), rates=tf.Rates({"RVT": 5}))
    assert raised.value.location == "rates"


def test_sessions_of_another_period_are_no_evidence() -> None:
    days = [(f"2026-07-{day}T08:00:00", f"2026-07-{day}T09:00:00", "CHARGED", "10") for day in range(13, 18)]
    rows = [("ana", "RVT", "srv", at(day, 8, month=7), at(day, 9, month=7)) for day in (13, 14)]
    evidence = pl.DataFrame(rows, schema=SESSIONS, orient="row")
    problems = tf.Problems()
    judged(stated(*days), problems, sessions=evidence)
    assert problems.frame["code"].to_list() == ["partly_covered"]
    later = evidence.with_columns(pl.col("start", "end") + timedelta(days=60))
    with pytest.raises(tf.ArgumentError, match="they have no day in common"):
        judged(stated(*days), tf.Problems(), sessions=later)
