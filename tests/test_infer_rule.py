"""Which rule reproduces a statement, and what several rules charge."""

from __future__ import annotations

import random
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tokenflex as tf
from strategies import SERVERS as ALL_SERVERS
from strategies import TIMES, instants
from tokenflex import tables
from tokenflex.audit.stated import comparable, stated_of
from tokenflex.metering.rule_grid import plainness

if TYPE_CHECKING:
    from tokenflex.audit.infer_rule import InferredRule

HOUR, MINUTE, DAY = timedelta(hours=1), timedelta(minutes=1), timedelta(days=1)
SERVERS = {"mad-lic-01": "Europe/Madrid", "chi-lic-01": "America/Chicago", "sin-lic-01": "Asia/Singapore"}
USERS = {f"user{number:02}": zone for number, zone in enumerate(["Asia/Tokyo", "America/Denver", "UTC"] * 4)}
RATES = tf.Rates(
    [
        tf.Rate("ACD", Decimal(7), family="drafting"),
        tf.Rate("ACDLT", Decimal(3), family="drafting"),
        tf.Rate("RVT", Decimal(10)),
    ]
)
PLAIN = tf.Rates({"ACD": 7, "ACDLT": 3, "RVT": 10})
LEVELS = ["session", "user_day", "day"]


def at(year: int, month: int, day: int, hour: int = 0) -> datetime:
    return datetime(year, month, day, hour, tzinfo=UTC)


def made_up(rows: int, seed: int) -> pl.DataFrame:
    """Sessions that tell rules apart: short ones, some over midnight, several servers and products of a family."""
    rng = random.Random(seed)
    made = []
    for _ in range(rows):
        start = at(2026, 3, 2) + timedelta(seconds=rng.randrange(28 * 86_400))
        minutes = rng.choice([0.4, 3, 7, 12, 22, 45, 240, 700, 1500])
        user = rng.choice(list(USERS))
        end = start + timedelta(minutes=minutes * rng.uniform(0.8, 1.2))
        made.append((user, rng.choice(["ACD", "ACDLT", "RVT"]), rng.choice(list(SERVERS)), start, end))
    names: dict[str, Any] = dict.fromkeys(("user", "product", "server"), pl.String)
    times = dict.fromkeys(("start", "end"), tables.TIME)
    return pl.DataFrame(made, schema=names | times, orient="row").sort("start", "user", "product", "server")


SESSIONS = made_up(1500, 1)


def statement_by(sessions: pl.DataFrame, rule: tf.Rule, level: str, **terms: Any) -> pl.DataFrame:
    """What the vendor would state: the tokens of all charges of each session, or of each date."""
    charges = tf.charge(sessions, rule=rule, **terms).with_columns(pl.col("user", "product").cast(pl.String))
    if level == "session":
        each = charges.group_by("session").agg(pl.col("tokens").sum())
        whole = sessions.with_row_index("session").cast({"session": pl.UInt64}).join(each, on="session", how="left")
        return whole.with_columns(pl.col("tokens").fill_null(Decimal(0))).drop("session")
    keys = ["user", "product", "usage_date"] if level == "user_day" else ["product", "usage_date"]
    return charges.group_by(keys, maintain_order=True).agg(pl.col("tokens").sum())


def reference(
    sessions: pl.DataFrame, statement: pl.DataFrame, rule: tf.Rule, level: str, **terms: Any
) -> tuple[int, int, int, int, Decimal]:
    """Matched, missing, extra, differing and token error: with dictionaries, from what `charge` and the vendor say."""

    def units(frame: pl.DataFrame) -> dict[Any, Decimal]:
        keys = {"session": ["user", "product", "server", "start"], "user_day": ["user", "product", "usage_date"]}
        columns = keys.get(level, ["product", "usage_date"])
        sums: dict[Any, Decimal] = {}
        for row in frame.iter_rows(named=True):
            key = tuple(row[name] for name in columns)
            sums[key] = sums.get(key, Decimal(0)) + row["tokens"]
        return {key: tokens for key, tokens in sums.items() if tokens}

    said, computed = units(statement), units(statement_by(sessions, rule, level, **terms))
    both = said.keys() & computed.keys()
    return (
        sum(said[key] == computed[key] for key in both),
        len(said.keys() - both),
        len(computed.keys() - both),
        sum(said[key] != computed[key] for key in both),
        sum(
            (abs(said.get(key, Decimal(0)) - computed.get(key, Decimal(0))) for key in said.keys() | computed.keys()),
            Decimal(0),
        ),
    )


def infer(sessions: Any, statement: pl.DataFrame, **arguments: Any) -> InferredRule:
    """The answer, where no problem is looked for."""
    arguments.setdefault("problems", tf.Problems())
    return tf.infer_rule(sessions, statement, **arguments)


TERMS: dict[str, Any] = {"rates": RATES, "servers": SERVERS, "users": USERS}
GRID = tf.rule_grid(servers=SERVERS, users=USERS, rates=RATES)


def test_the_grid_has_every_rule_once_and_the_plainer_first() -> None:
    assert len({rule.rule_id for rule in GRID}) == len(GRID) == 7 * 2 * 2 * 2 * 6
    assert GRID[0] == tf.Rule(window="rolling")
    assert {rule.zone for rule in GRID if rule.window == "day"} == {"server", "user", "utc", *SERVERS.values()}
    assert {rule.min_duration // MINUTE for rule in GRID} == {0, 1, 5, 10, 15, 30}
    assert not any(rule.incremental for rule in tf.rule_grid(servers=SERVERS, rates=PLAIN))


@pytest.mark.parametrize(
    ("servers", "users", "zones"),
    [
        (None, None, ["utc"]),
        ({}, {}, ["utc"]),
        ({"a": "Europe/Madrid", "b": "Europe/Madrid"}, None, ["server", "utc"]),
        ({"a": "UTC"}, {"ana": "UTC"}, ["server"]),
        ({"a": "Europe/Madrid"}, {"ana": "Europe/Madrid"}, ["server", "utc"]),
        ({"a": "Europe/Madrid", "b": "UTC"}, None, ["server", "utc", "Europe/Madrid"]),
        ({"a": "Europe/Madrid"}, {"ana": "UTC", "bo": "Asia/Tokyo"}, ["server", "user", "utc"]),
    ],
)
def test_rules_that_cannot_differ_come_once(servers: Any, users: Any, zones: list[str]) -> None:
    rules = tf.rule_grid(servers=servers, users=users)
    assert list(dict.fromkeys(rule.zone for rule in rules if rule.window == "day")) == zones


# The fit of each rule equals its definition


@st.composite
def cases(draw: st.DrawFn) -> tuple[pl.DataFrame, tf.Rule, str, random.Random]:
    around = draw(st.sampled_from(list(TIMES)))
    starts = instants(around, DAY)
    servers = st.sampled_from([TIMES[around], *sorted(SERVERS)])
    seconds = st.one_of(st.sampled_from([0, 120, 300, 86_400, 172_800]), st.integers(0, 200_000))
    rows: dict[Any, Any] = {}
    for _ in range(draw(st.integers(1, 14))):
        start = draw(starts).replace(microsecond=0)
        user, product = draw(st.sampled_from(["user00", "user01"])), draw(st.sampled_from(["ACD", "ACDLT", "RVT"]))
        key = (user, product, draw(servers), start)
        rows[key] = (*key, start + timedelta(seconds=draw(seconds)))
    names: dict[str, Any] = dict.fromkeys(("user", "product", "server"), pl.String)
    times = dict.fromkeys(("start", "end"), tables.TIME)
    sessions = pl.DataFrame(list(rows.values()), schema=names | times, orient="row")
    level = draw(st.sampled_from(LEVELS))
    return sessions, draw(st.sampled_from(GRID)), level, draw(st.randoms(use_true_random=False))


@given(case=cases())
@settings(max_examples=150, deadline=None)
def test_the_fit_of_each_rule_is_its_definition(case: tuple[pl.DataFrame, tf.Rule, str, random.Random]) -> None:
    sessions, maker, level, rng = case
    terms = TERMS | {"servers": ALL_SERVERS}
    statement = statement_by(sessions, maker, level, **terms)
    changed = [row["tokens"] + rng.choice([0, 0, 0, 7]) for row in statement.iter_rows(named=True)]
    statement = statement.with_columns(tokens=pl.Series(changed, dtype=tables.TOKENS))
    rules = [maker, *rng.sample(GRID, 12)]
    if not statement.height:
        return
    found = infer(sessions, statement, rules=rules, **terms)
    # Only dates of the statement are compared; the reference has to leave out the others as well.
    best = None
    for row in found.fits.iter_rows(named=True):
        rule = found.rules[row["rank"]]
        expected = bounded_reference(sessions, statement, rule, level, found=found, terms=terms)
        assert tuple(row[name] for name in ("matched", "missing", "extra", "differing", "token_error")) == expected
        mine = said_by(sessions, rule, level, found, terms)
        best = mine if best is None else best
        assert row["is_same_as_best"] == (mine == best)
        assert row["tokens_computed"] == sum(mine.values(), Decimal(0))
    errors = found.fits["token_error"].to_list()
    assert errors == sorted(errors)


def within(frame: pl.DataFrame, level: str, found: InferredRule) -> pl.DataFrame:
    dates = pl.col("start").dt.date() if level == "session" else pl.col("usage_date")
    return frame.filter(dates.is_between(found.first, found.last))


def bounded_reference(
    sessions: pl.DataFrame, statement: pl.DataFrame, rule: tf.Rule, level: str, *, found: InferredRule, terms: Any
) -> tuple[int, int, int, int, Decimal]:
    computed = within(statement_by(sessions, rule, level, **terms), level, found)
    said = within(statement, level, found)
    keys = {"session": ["user", "product", "server", "start"], "user_day": ["user", "product", "usage_date"]}
    columns = keys.get(level, ["product", "usage_date"])
    whole = said.rename({"tokens": "said"}).select(*columns, "said")
    whole = whole.join(computed.select(*columns, "tokens"), on=columns, how="full", coalesce=True)
    rows = [(a or Decimal(0), b or Decimal(0)) for a, b in whole.select("said", "tokens").iter_rows()]
    return (
        sum(bool(a) and a == b for a, b in rows),
        sum(bool(a) and not b for a, b in rows),
        sum(bool(b) and not a for a, b in rows),
        sum(bool(a) and bool(b) and a != b for a, b in rows),
        sum((abs(a - b) for a, b in rows), Decimal(0)),
    )


def said_by(sessions: pl.DataFrame, rule: tf.Rule, level: str, found: InferredRule, terms: Any) -> dict[Any, Decimal]:
    computed = within(statement_by(sessions, rule, level, **terms), level, found)
    return {tuple(row[:-1]): row[-1] for row in computed.select(pl.exclude("tokens"), "tokens").iter_rows() if row[-1]}


def test_the_fit_counts_what_a_plain_count_counts() -> None:
    statement = statement_by(SESSIONS, tf.Rule(window="rolling"), "session", **TERMS)
    rules = [tf.Rule(window="rolling"), tf.Rule(window="day", zone="utc"), GRID[200]]
    found = infer(SESSIONS, statement, rules=rules, **TERMS)
    for row in found.fits.iter_rows(named=True):
        counts = tuple(row[name] for name in ("matched", "missing", "extra", "differing", "token_error"))
        assert counts == reference(SESSIONS, statement, found.rules[row["rank"]], "session", **TERMS)


# The rule that made the statement is found


def is_found(found: InferredRule, rule: tf.Rule) -> bool:
    return found.rule == rule or rule in found.equals


def rules_of(every: int) -> pytest.MarkDecorator:
    """A sample of the grid in each run of the suite, and all of it where there is time."""
    sample = pytest.param(GRID[::every], id="sample")
    return pytest.mark.parametrize("rules", [sample, pytest.param(GRID, id="every rule", marks=pytest.mark.heavy)])


def changed(statement: pl.DataFrame, change: str, seed: int) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Sessions and statement, of which one has lost or altered a hundredth of its rows."""
    if change == "sessions lost":
        # A log that is not whole. What is charged then moves to the next session of the window.
        return SESSIONS.sample(fraction=0.99, seed=seed), statement
    if change == "lost":
        return SESSIONS, statement.sample(fraction=0.99, seed=seed)
    rng = random.Random(seed)
    tokens = [Decimal(rng.randrange(30)) if rng.random() < 0.01 else given for given in statement["tokens"].to_list()]
    return SESSIONS, statement.with_columns(tokens=pl.Series(tokens, dtype=tables.TOKENS))


@rules_of(every=24)
@pytest.mark.parametrize("level", LEVELS)
def test_every_rule_of_the_grid_is_found_by_its_statement(level: str, rules: list[tf.Rule]) -> None:
    prepared = tf.prepare(SESSIONS)
    missed = []
    for rule in rules:
        found = infer(prepared, statement_by(SESSIONS, rule, level, **TERMS), **TERMS)
        assert found.level == level
        assert found.fits["token_error"][0] == 0
        if not is_found(found, rule):
            missed.append((rule, found))
    assert missed == []


@rules_of(every=48)
@pytest.mark.parametrize("change", ["lost", "altered", "sessions lost"])
@pytest.mark.parametrize("level", LEVELS)
def test_every_rule_is_found_with_a_hundredth_of_the_rows_lost_or_altered(
    level: str, change: str, rules: list[tf.Rule]
) -> None:
    missed = []
    for seed, rule in enumerate(rules):
        sessions, statement = changed(statement_by(SESSIONS, rule, level, **TERMS), change, seed)
        found = infer(sessions, statement, **TERMS)
        if not is_found(found, rule):
            missed.append((rule, found))
    assert missed == []


def test_the_statement_alone_is_enough() -> None:
    rule = tf.Rule(window="day", zone="server", min_duration=5 * MINUTE)
    statement = statement_by(SESSIONS, rule, "session", **TERMS)
    found = infer(None, statement, **TERMS)
    assert is_found(found, rule)
    assert found.sessions_without_row == 0


def test_rules_that_charge_the_same_are_equals_and_the_plainest_is_the_answer() -> None:
    sessions = pl.DataFrame(
        {"user": ["user00"], "product": ["RVT"], "server": ["mad-lic-01"], "start": [at(2026, 3, 2, 9)]}
    ).with_columns(end=pl.col("start") + HOUR)
    statement = statement_by(sessions, tf.TOKEN_FLEX, "session", **TERMS)
    found = infer(sessions, statement, **TERMS)
    assert found.rule == tf.Rule(window="rolling")
    assert len(found.equals) == len(found.rules)
    assert found.runner_up is None
    assert found.deciding.is_empty()
    assert found.deciding.schema == pl.Schema(tables.RULE_DECIDING)
    assert "other rules cannot be told apart" in repr(found)


def test_what_decides_between_the_best_and_the_runner_up() -> None:
    rule = tf.Rule(window="rolling")
    rules = [rule, tf.Rule(window="day", zone="utc"), tf.Rule(window="day", zone="server")]
    for level in LEVELS:
        statement = statement_by(SESSIONS, rule, level, **TERMS)
        found = infer(SESSIONS, statement, rules=rules, **TERMS)
        assert found.rule == rule
        assert found.deciding.schema == pl.Schema(tables.RULE_DECIDING)
        assert set(found.deciding["speaks_for"]) == {"best"}
        second = found.fits.row(1, named=True)
        gap = (found.deciding["stated"] - found.deciding["runner_up"]).abs().sum()
        assert gap == second["token_error"]
        assert found.deciding.height == second["missing"] + second["extra"] + second["differing"]
        assert "runner-up: day of" in repr(found)


def test_nothing_fits_a_statement_of_something_else() -> None:
    statement = statement_by(SESSIONS, tf.Rule(window="rolling", length=HOUR), "session", **TERMS)
    found = infer(SESSIONS, statement, **TERMS)
    assert found.rule is None
    assert found.fits["token_error"][0] > 0
    assert repr(found).startswith("<InferredRule none fits")
    assert infer(SESSIONS, statement, tolerance=1, **TERMS).rule == found.rules[1]


# Statements that do not belong to the sessions


def codes(problems: tf.Problems) -> list[str]:
    return problems.frame["code"].to_list()


@pytest.mark.parametrize("level", LEVELS)
def test_a_statement_of_other_days_is_an_error_that_names_both(level: str) -> None:
    later = SESSIONS.with_columns(pl.col("start", "end") + timedelta(days=365))
    statement = statement_by(later, tf.FLEX, level, **TERMS)
    with pytest.raises(tf.ArgumentError, match=r"covers 2027-03-0\d to .* the sessions 2026-03-02 to"):
        tf.infer_rule(SESSIONS, statement, **TERMS)


@pytest.mark.parametrize("level", LEVELS)
def test_only_the_days_that_both_cover_are_compared(level: str) -> None:
    rule = tf.Rule(window="day", zone="utc")
    longer = pl.concat([SESSIONS, SESSIONS.with_columns(pl.col("start", "end") + timedelta(days=20))])
    statement = statement_by(longer, rule, level, **TERMS)
    dates = pl.col("start").dt.date() if level == "session" else pl.col("usage_date")
    statement = statement.filter(dates >= date(2026, 3, 10))
    problems = tf.Problems()
    sessions = longer.filter(pl.col("end") < at(2026, 3, 25))
    found = tf.infer_rule(sessions, statement, problems=problems, **TERMS)
    assert (found.first, found.last) == (date(2026, 3, 10), date(2026, 3, 24))
    assert "partly_covered" in codes(problems)
    # Sessions that ran into the night of the last day are not in the log, which is a few tokens.
    assert is_found(found, rule)


def test_rates_of_another_currency_are_told_of() -> None:
    rule = tf.Rule(window="rolling")
    statement = statement_by(SESSIONS, rule, "session", **TERMS)
    statement = statement.with_columns(tokens=(pl.col("tokens") * Decimal("1.1")).cast(tables.TOKENS))
    problems = tf.Problems()
    tf.infer_rule(SESSIONS, statement, problems=problems, **TERMS)
    assert "constant_factor" in codes(problems)
    assert "1.1 times" in problems.frame.filter(pl.col("code") == "constant_factor")["message"][0]
    clean = tf.Problems()
    tf.infer_rule(SESSIONS, statement_by(SESSIONS, rule, "session", **TERMS), problems=clean, **TERMS)
    assert codes(clean) == []


def test_a_rate_that_the_statement_never_says_is_told_of() -> None:
    statement = statement_by(SESSIONS, tf.FLEX, "session", **TERMS)
    wrong = tf.Rates([*RATES.rows[:2], tf.Rate("RVT", Decimal(9))])
    problems = tf.Problems()
    tf.infer_rule(SESSIONS, statement, problems=problems, **(TERMS | {"rates": wrong}))
    assert codes(problems).count("rate_not_stated") == 1
    assert problems.frame.filter(pl.col("code") == "rate_not_stated")["message"][0].startswith("RVT: none of its")


@pytest.mark.parametrize("level", LEVELS)
def test_names_that_the_sessions_do_not_have_are_missing_and_told_of(level: str) -> None:
    statement = statement_by(SESSIONS, tf.FLEX, level, **TERMS)
    renamed = statement.with_columns(product=pl.col("product").replace("RVT", "Revit"))
    problems = tf.Problems()
    found = tf.infer_rule(SESSIONS, renamed, rules=[tf.FLEX], problems=problems, **TERMS)
    lost = statement.filter((pl.col("product") == "RVT") & (pl.col("tokens") > 0))
    assert found.fits["missing"][0] == found.fits["extra"][0] == lost.height
    assert found.fits["token_error"][0] == 2 * lost["tokens"].sum()
    assert found.fits["tokens_stated"][0] == statement["tokens"].sum()
    assert "no_session" in codes(problems)


def by_second(rows: list[tuple[Any, ...]]) -> dict[Any, list[int]]:
    """The places of rows of user, product, server and start that are one user's, product's and second's, in order."""
    places: dict[Any, list[int]] = {}
    for place in sorted(range(len(rows)), key=lambda place: (rows[place][2] or "", place)):
        user, product, _, start, *_ = rows[place]
        places.setdefault((user, product, start.replace(microsecond=0)), []).append(place)
    return places


few = st.tuples(
    st.sampled_from(["user00", "user01"]),
    st.sampled_from(["ACD", "RVT"]),
    st.sampled_from(["b", "a", None]),
    st.sampled_from([0, 1, 999_999, 1_000_000]).map(lambda us: at(2026, 3, 2, 9) + timedelta(microseconds=us)),
)


@given(sessions=st.lists(few, min_size=1, max_size=12), stated=st.lists(few, min_size=1, max_size=12))
def test_the_nth_row_of_a_second_is_about_its_nth_session(sessions: list[Any], stated: list[Any]) -> None:
    names: dict[str, Any] = dict.fromkeys(("user", "product", "server"), pl.String)
    frame = pl.DataFrame(sessions, schema=names | {"start": tables.TIME}, orient="row").with_columns(end="start")
    statement = pl.DataFrame(stated, schema=names | {"start": tables.TIME}, orient="row")
    statement = statement.with_columns(tokens=pl.int_range(1, pl.len() + 1))
    found, _ = stated_of(comparable(statement), frame)
    expected: list[Any] = [None] * len(sessions)
    rows = by_second(stated)
    for second, places in by_second(sessions).items():
        for session, row in zip(places, rows.get(second, []), strict=False):
            expected[session] = row + 1
    lone = set(range(1, len(stated) + 1)) - set(expected)
    assert found.units["tokens"].to_list() == expected
    assert found.others == (len(lone), 10_000 * sum(lone))
    assert found.without_row == expected.count(None)


def test_sessions_without_a_row_are_counted() -> None:
    statement = statement_by(SESSIONS, tf.FLEX, "session", **TERMS)
    found = infer(SESSIONS, statement.filter(pl.col("product") != "RVT"), rules=[tf.FLEX], **TERMS)
    assert found.sessions_without_row == SESSIONS.filter(pl.col("product") == "RVT").height


def test_use_that_no_server_logs_is_not_compared() -> None:
    statement = statement_by(SESSIONS, tf.FLEX, "session", **TERMS)
    more = statement.head(3).with_columns(
        usage_category=pl.Series(["CLOUD_SERVICE", "MANUAL_ADJUSTMENT", "MANUAL_ADJUSTMENT"])
    )
    problems = tf.Problems()
    whole = pl.concat([statement, more], how="diagonal")
    found = tf.infer_rule(SESSIONS, whole, rules=[tf.FLEX], problems=problems, **TERMS)
    assert found.fits["token_error"][0] == 0
    assert codes(problems) == ["not_of_servers", "not_of_servers"]


@pytest.mark.parametrize(
    ("column", "value", "code"),
    [
        ("start", datetime(1969, 12, 31, 23, 59, 59, tzinfo=UTC), "time_out_of_range"),
        ("start", datetime(2200, 1, 1, tzinfo=UTC), "time_out_of_range"),
        ("usage_date", date(1969, 12, 31), "time_out_of_range"),
        ("usage_date", date(9999, 12, 31), "time_out_of_range"),
        ("tokens", Decimal(10**12), "tokens_out_of_range"),
        ("tokens", Decimal(-(10**13)), "tokens_out_of_range"),
        ("tokens", Decimal("7.00001"), "tokens_out_of_range"),
    ],
)
def test_a_value_that_no_data_may_have_costs_its_row_and_not_the_statement(column: str, value: Any, code: str) -> None:
    statement = statement_by(SESSIONS, tf.FLEX, "day" if column == "usage_date" else "session", **TERMS)
    statement = statement.filter(pl.col("tokens") > 0)
    if value == Decimal("7.00001"):
        statement = statement.cast({"tokens": pl.Decimal(38, 5)})
    rows = statement.to_dicts()
    lost, rows[3][column] = rows[3]["tokens"], value
    problems = tf.Problems()
    changed = pl.DataFrame(rows, schema=statement.schema)
    found = tf.infer_rule(SESSIONS, changed, rules=[tf.FLEX], problems=problems, **TERMS)
    fit = found.fits.row(0, named=True)
    assert (fit["matched"], fit["missing"], fit["extra"], fit["differing"]) == (len(rows) - 1, 0, 1, 0)
    assert fit["token_error"] == lost
    assert {code, "not_compared"} <= set(codes(problems))
    with pytest.raises(tf.ArgumentError, match=f"held against.*; {column} of 1 row"):
        tf.infer_rule(SESSIONS, changed[3:4], rules=[tf.FLEX], **TERMS)


def test_a_finer_level_comes_first_and_the_rest_is_told_of() -> None:
    fine = statement_by(SESSIONS, tf.FLEX, "session", **TERMS)
    coarse = statement_by(SESSIONS, tf.FLEX, "day", **TERMS)
    problems = tf.Problems()
    found = tf.infer_rule(
        SESSIONS, pl.concat([fine, coarse], how="diagonal"), rules=[tf.FLEX], problems=problems, **TERMS
    )
    assert found.level == "session"
    assert found.fits["token_error"][0] == 0
    assert codes(problems) == ["not_compared"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"rates": {"ACD": 7}}, "rates have to be"),
        ({"rules": []}, "rules are empty"),
        ({"rules": [7]}, "rules have to be"),
        ({"rules": tf.FLEX}, "rules have to be several"),
        ({"tolerance": 0.1}, "tolerance has to be a Decimal"),
        ({"tolerance": "much"}, "no number"),
        ({"tolerance": 2}, "lie in 0 to 1"),
    ],
)
def test_bad_arguments_say_what_to_do(change: dict[str, Any], said: str) -> None:
    statement = statement_by(SESSIONS, tf.FLEX, "session", **TERMS)
    with pytest.raises(tf.TokenflexError, match=said):
        tf.infer_rule(SESSIONS, statement, **(TERMS | change))


def test_a_statement_of_nothing_is_an_error() -> None:
    statement = statement_by(SESSIONS, tf.FLEX, "session", **TERMS)
    with pytest.raises(tf.ArgumentError, match="nothing that a rule can be held against"):
        tf.infer_rule(SESSIONS, statement.clear(), **TERMS)
    with pytest.raises(tf.ArgumentError, match="no sessions with a start"):
        tf.infer_rule(SESSIONS.clear(), statement, **TERMS)


# What is laid to what, and in which order


def small(*rows: tuple[str, str, str, datetime, float]) -> pl.DataFrame:
    """Sessions of user, product, server, start and hours."""
    names: dict[str, Any] = dict.fromkeys(("user", "product", "server"), pl.String)
    times = dict.fromkeys(("start", "end"), tables.TIME)
    ended = [(*who, start, start + hours * HOUR) for *who, start, hours in rows]
    return pl.DataFrame(ended, schema=names | times, orient="row")


def test_rows_are_laid_to_sessions_to_the_second_and_one_by_one() -> None:
    start = at(2026, 3, 2, 9)
    sessions = small(
        ("user00", "RVT", "sin-lic-01", start + timedelta(milliseconds=700), 1),
        ("user00", "RVT", "chi-lic-01", start + timedelta(milliseconds=200), 2),
    )
    # The vendor's clock has no parts of a second. Of two in one second the order of the servers' names decides.
    statement = sessions.with_columns(pl.col("start").dt.truncate("1s"), tokens=pl.Series([7, 10]))
    for rows in (statement, statement.reverse()):
        problems = tf.Problems()
        rules = [tf.Rule(window="rolling"), tf.Rule(window="rolling", scope="server")]
        found = tf.infer_rule(sessions, rows, rules=rules, tolerance=1, problems=problems, **TERMS)
        assert "no_session" not in codes(problems)
        assert "no_row" not in codes(problems)
        assert found.fits.select("rule_id", "matched", "differing", "missing").rows() == [
            (rules[1].rule_id, 1, 1, 0),
            (rules[0].rule_id, 1, 0, 1),
        ]


def test_a_row_of_another_second_is_about_no_session() -> None:
    sessions = small(("user00", "RVT", "chi-lic-01", at(2026, 3, 2, 9), 1))
    moved = sessions.with_columns(pl.col("start") + timedelta(seconds=1), tokens=pl.Series([10]))
    problems = tf.Problems()
    found = tf.infer_rule(sessions, moved, rules=[tf.FLEX], problems=problems, **TERMS)
    assert found.fits.select("matched", "missing", "extra").rows() == [(0, 1, 1)]
    assert sorted(codes(problems)) == ["no_row", "no_session"]


def test_local_dates_reach_a_day_beyond_the_sessions() -> None:
    sessions = small(("user00", "RVT", "chi-lic-01", at(2026, 3, 2, 1), 1))
    rule = tf.Rule(window="day", zone="server")
    statement = statement_by(sessions, rule, "day", **TERMS)
    assert statement["usage_date"].to_list() == [date(2026, 3, 1)]
    problems = tf.Problems()
    found = tf.infer_rule(sessions, statement, rules=[tf.Rule(window="rolling"), rule], problems=problems, **TERMS)
    assert found.rule == rule
    assert codes(problems) == []


def test_the_tolerance_is_a_share_of_the_stated_tokens() -> None:
    starts = [at(2026, 3, day, 9) for day in range(2, 12)]
    sessions = small(*(("user00", "RVT", "chi-lic-01", start, 1) for start in starts))
    statement = sessions.with_columns(tokens=pl.Series([20, *[10] * 8, 0]))
    rules = [tf.Rule(window="rolling")]
    for tolerance, is_answer in (("0.2", True), ("0.1999", False)):
        found = infer(sessions, statement, rules=rules, tolerance=tolerance, **TERMS)
        assert found.fits.select("token_error", "tokens_stated").rows() == [(20, 100)]
        assert (found.rule is not None) == is_answer


def test_the_order_is_error_then_units_then_plainness_then_as_given() -> None:
    statement = statement_by(SESSIONS, GRID[100], "session", **TERMS)
    shuffled = random.Random(5).sample(GRID, len(GRID))
    found = infer(SESSIONS, statement, rules=shuffled, **TERMS)
    keys = [
        (
            row["token_error"],
            row["missing"] + row["extra"] + row["differing"],
            plainness(found.rules[row["rank"]]),
            shuffled.index(found.rules[row["rank"]]),
        )
        for row in found.fits.iter_rows(named=True)
    ]
    assert keys == sorted(keys)


def test_of_one_error_the_fewer_units_come_first_then_the_plainer_rule() -> None:
    night = at(2026, 3, 2, 23)
    sessions = small(*((user, "RVT", "chi-lic-01", night, 2) for user in ("user00", "user01")))
    # By the rolling rules 10 each, by days of UTC 20 each: off by 20 in one unit, and by 10 in both.
    statement = sessions.with_columns(tokens=pl.Series([30, 10]))
    plain = tf.Rule(window="rolling")
    less = replace(plain, min_duration=MINUTE, renew=False)
    days = tf.Rule(window="day", zone="utc")
    assert plainness(plain) < plainness(days) < plainness(less)
    found = infer(sessions, statement, rules=[days, less, plain], **TERMS)
    assert set(found.fits["token_error"]) == {20}
    assert [found.rules[rank] for rank in (1, 2, 3)] == [plain, less, days]


@pytest.mark.parametrize("level", LEVELS)
def test_products_without_a_rate_have_no_tokens_by_any_rule(level: str) -> None:
    statement = statement_by(SESSIONS, tf.FLEX, level, **TERMS)
    problems = tf.Problems()
    without = TERMS | {"rates": tf.Rates(RATES.rows[:2])}
    found = tf.infer_rule(SESSIONS, statement, rules=[tf.FLEX], problems=problems, **without)
    lost = statement.filter((pl.col("product") == "RVT") & (pl.col("tokens") > 0))
    assert found.fits.select("missing", "token_error").rows() == [(lost.height, lost["tokens"].sum())]
    assert "no_rate" in codes(problems)


# What several rules charge


@pytest.mark.parametrize(("by", "column"), [("user", "user"), ("product", "product"), ("day", "usage_date")])
def test_rules_are_compared_by_what_they_charge(by: Any, column: str) -> None:
    rules = [tf.FLEX, tf.TOKEN_FLEX, replace(tf.FLEX, scope="server")]
    whole = tf.compare_rules(SESSIONS, rules=rules, **TERMS)
    split = tf.compare_rules(tf.prepare(SESSIONS), rules=rules, by=by, **TERMS)
    assert whole["differs"][0] == ""
    assert "scope=server" in whole["differs"][2]
    for rule, row in zip(rules, whole.iter_rows(named=True), strict=True):
        charges = tf.charge(SESSIONS, rule=rule, **TERMS)
        assert (row["charges"], row["tokens"]) == (charges.height, charges["tokens"].sum())
        assert row["difference"] == row["tokens"] - whole["tokens"][0]
        of_rule = split.filter(pl.col("rule_id") == rule.rule_id)
        assert of_rule["difference"].sum() == row["difference"]
        named = charges.with_columns(pl.col(column).cast(pl.String)).group_by(column).len()
        counts = dict(named.iter_rows())
        values = of_rule.select(pl.col(column).cast(pl.String), "charges")
        assert all(counts.get(value, 0) == count for value, count in values.iter_rows())
    same = tf.compare_rules(SESSIONS, rules=[tf.FLEX, tf.FLEX], by=by, **TERMS)
    assert same.is_empty()


def test_a_comparison_says_once_what_many_rules_meet() -> None:
    problems = tf.Problems()
    broken = SESSIONS.with_columns(user=pl.when(pl.int_range(pl.len()) > 0).then(pl.col("user")))
    tf.compare_rules(broken, rules=[tf.FLEX, tf.TOKEN_FLEX], problems=problems, **TERMS)
    assert codes(problems) == ["missing_user"]
    with pytest.raises(tf.ArgumentError, match="by is 'month'"):
        tf.compare_rules(SESSIONS, rules=[tf.FLEX], by="month", **TERMS)  # type: ignore[arg-type]  # a wrong word


def test_a_server_that_does_not_report_is_left_out_and_told_of() -> None:
    rule = tf.Rule(window="day", zone="server", min_duration=5 * MINUTE)
    reporting = SESSIONS.filter(pl.col("server") != "sin-lic-01")
    statement = statement_by(reporting, rule, "session", **TERMS)
    rules = [rule, tf.Rule(window="rolling")]
    problems = tf.Problems()
    found = infer(SESSIONS, statement, rules=rules, problems=problems, **TERMS)
    assert found.rule == rule
    assert found.fits["token_error"][0] == 0
    assert codes(problems) == ["server_not_stated"]
    assert "of sin-lic-01: the statement names no such server: left out" in problems.frame["message"][0]
    named = SESSIONS.select("user", "start").with_row_index("session").cast({"session": pl.UInt64})
    joined = found.deciding.select("session", pl.col("user").cast(pl.String), "start").join(named, on="session")
    assert joined.height == found.deciding.height > 0
    assert (joined["user"] == joined["user_right"]).all()
    assert (joined["start"] == joined["start_right"]).all()
    prepared = tf.Problems()
    less = infer(tf.prepare(SESSIONS), statement, rules=rules, problems=prepared, **TERMS)
    assert less.fits["extra"][0] > 0
    assert "server_not_stated" in codes(prepared)
