"""`reconcile`: every token of both sides is in one row, every cause is found where it was planted, and nothing else."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import cache
from itertools import combinations
from typing import Any

import polars as pl
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

import plain_match
import planted_audit as planted
import planted_days as days
import planted_doubles as firm
import tokenflex as tf
from tokenflex import tables
from tokenflex.audit import other_rules
from tokenflex.audit.causes import WORDS
from tokenflex.audit.match import matched

OPTIONS: dict[str, Any] = {"rule": firm.RULE, "rates": planted.OURS, "servers": planted.SERVERS}
TOTALS = ("ours", "vendors")


def audited(made: planted.Planted, **more: Any) -> tf.Reconciliation:
    sessions = made.logged()
    given_ = {
        **OPTIONS,
        "sessions": sessions,
        "coverage": made.coverage(),
        "variants": planted.VARIANTS,
        "tolerance": planted.TOLERANCE,
        "problems": tf.Problems(),
    }
    return tf.reconcile(made.charges(sessions), made.statement(), **(given_ | more))


@cache
def firm_of(seed: int) -> planted.Planted:
    return planted.plant(seed, 2)


def counted(rows: pl.DataFrame) -> Counter[str]:
    return Counter(dict(rows.drop_nulls("cause").group_by(pl.col("cause").cast(pl.String)).len().iter_rows()))


def sums(rows: pl.DataFrame) -> tuple[Decimal, ...]:
    return tuple(rows.select(TOTALS).sum().row(0))


@pytest.mark.parametrize(("seed", "each"), [(1, 2), (2, 2), (3, 2), (4, 0), (5, 1), (6, 5)])
def test_each_planted_cause_of_a_difference_is_found_and_nothing_else(seed: int, each: int) -> None:
    made = planted.plant(seed, each)
    found = audited(made)
    assert counted(found.rows) == made.counts
    clean = found.rows.filter(pl.col("cause").is_null())
    assert set(clean["status"].unique()) == {"matched"}
    assert sums(clean)[0] == sums(clean)[1] > 0
    assert found.rows.filter(pl.col("cause").is_not_null())["explained"].null_count() == 0


@pytest.mark.heavy
@pytest.mark.parametrize("seed", range(10, 40))
@pytest.mark.parametrize("each", [0, 1, 2, 5])
def test_each_planted_cause_is_found_many_times(seed: int, each: int) -> None:
    test_each_planted_cause_of_a_difference_is_found_and_nothing_else(seed, each)
    for level in ("day", "month"):
        test_each_cause_planted_by_days_is_found_and_nothing_else(seed, each, level)


@pytest.mark.parametrize(("seed", "each"), [(1, 0), (2, 1), (3, 2), (4, 5)])
@pytest.mark.parametrize("level", ["day", "month"])
def test_each_cause_planted_by_days_is_found_and_nothing_else(seed: int, each: int, level: Any) -> None:
    made = days.plant(seed, each, level)
    options: dict[str, Any] = {"coverage": made.coverage(), "tolerance": days.TOLERANCE, "problems": tf.Problems()}
    charges, statement = made.charges(), made.statement()
    rows = tf.reconcile(charges, statement, level=level, **options).rows
    assert counted(rows) == made.counts
    assert sums(rows) == (charges["tokens"].sum(), statement["tokens"].sum())
    assert set(rows.filter(pl.col("cause").is_null())["status"]) == {"matched"}


def test_what_is_said_names_the_zone_and_the_rate() -> None:
    rows = audited(firm_of(1)).rows

    def said(product: str) -> str:
        told = rows.filter((pl.col("product") == product) & pl.col("cause").is_not_null())
        assert told.height > 1
        return " ".join(told["explained"].unique())

    assert said("ZONE").startswith("under the rule with zone=Asia/Singapore all of this")
    assert said("DATED") == "by the rate of 5 tokens, which held until 2026-03-15, nothing differs"
    assert said("RTE") == "by a rate of 6 tokens, which the vendor takes at that time, nothing differs"


def test_the_words_and_the_causes_are_the_same() -> None:
    assert tuple(WORDS) == tables.RECONCILIATION_CAUSES
    planted_causes = {cause.partition(":")[0] for cause in (*planted.PLANTERS, *days.PLANTERS, *days.OF_DAYS)}
    assert planted_causes == set(tables.RECONCILIATION_CAUSES)


def test_each_cause_has_the_status_that_it_must_have() -> None:
    rows = audited(firm_of(1)).rows
    seen = {cause: status for status, cause in rows.select("status", "cause").unique().drop_nulls().rows()}
    for cause in tables.NOT_COMPARABLE_CAUSES:
        assert seen.get(cause, "not_comparable") == "not_comparable"
    assert seen["rounding"] == "matched"
    assert {seen[cause] for cause in ("family", "rate")} == {"amount_differs"}
    assert {seen[cause] for cause in ("no_row", "minimum_duration")} == {"missing_at_vendor"}
    assert {seen[cause] for cause in ("no_session", "two_servers", "identity", "unexplained")} == {"extra_at_vendor"}


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize("level", ["session", "day", "month"])
def test_the_rows_hold_every_token_of_both_sides(seed: int, level: Any) -> None:
    made = firm_of(seed)
    charges, statement = made.charges(made.logged()), made.statement()
    found = audited(made, level=level)
    assert sums(found.rows) == (charges["tokens"].sum(), statement["tokens"].sum())
    assert sums(found.summary) == sums(found.rows)
    assert found.summary["rows"].sum() == found.rows.height
    difference = pl.col("vendors") - pl.col("ours").fill_null(0)
    assert found.rows.filter(pl.col("difference") != difference).is_empty()


@pytest.mark.parametrize("level", ["session", "day", "month"])
def test_the_order_of_rows_changes_nothing_but_their_numbers(level: Any) -> None:
    made = firm_of(3)
    sessions = made.logged()
    charges, statement = made.charges(sessions), made.statement()
    more: dict[str, Any] = {"sessions": sessions, "coverage": made.coverage(), "variants": planted.VARIANTS}
    one = tf.reconcile(charges, statement, **OPTIONS, **more, level=level, problems=tf.Problems())
    shuffled = [frame.sample(fraction=1, shuffle=True, seed=9) for frame in (charges, statement)]
    other = tf.reconcile(shuffled[0], shuffled[1], **OPTIONS, **more, level=level, problems=tf.Problems())
    same = [name for name in one.rows.columns if name not in {"charge", "statement"}]
    texts = [pl.col(name).cast(pl.String) for name in ("user", "product", "server")]
    left, right = (each.rows.select(same).with_columns(texts) for each in (one, other))
    assert left.equals(right)


def test_a_statement_against_itself_is_all_matched() -> None:
    made = planted.Planted()
    days = [monday + timedelta(days=number) for monday in firm.MONDAYS for number in range(5)]
    made.uses = [planted.Use(**vars(use)) for day in days for use in firm.whole_day("chi01", day)]
    statement = made.statement()
    sessions = tf.sessions_from(statement)
    charges = tf.charge(sessions, **OPTIONS)
    for level in ("session", "day", "month"):
        found = tf.reconcile(charges, statement, **OPTIONS, sessions=sessions, level=level)
        assert found.summary.select("outcome", "status").rows() == [("agreed", "matched")]
    assert tf.reconcile(charges, statement, **OPTIONS).rows.height == charges.height


def best(first: list[int], second: list[int], reach: int) -> tuple[int, int]:
    """Pairs and distance of the best of all assignments, tried one by one."""

    def tried(left: tuple[int, ...], free: tuple[int, ...]) -> tuple[int, int]:
        if not left:
            return (0, 0)
        found = [tried(left[1:], free)]
        for place, b in enumerate(free):
            if abs(left[0] - b) <= reach:
                pairs, distance = tried(left[1:], free[:place] + free[place + 1 :])
                found.append((pairs - 1, distance + abs(left[0] - b)))
        return min(found)

    return tried(tuple(first), tuple(second))


@given(st.lists(st.integers(0, 40), max_size=5), st.lists(st.integers(0, 40), max_size=5), st.integers(0, 20))
def test_the_assignment_is_the_best_of_all(first: list[int], second: list[int], reach: int) -> None:
    first, second = sorted(first), sorted(second)
    pairs = plain_match.assigned(first, second, reach)
    assert all(len({pair[side] for pair in pairs}) == len(pairs) for side in (0, 1))
    assert all(a[0] < b[0] and a[1] < b[1] for a, b in combinations(pairs, 2))
    distances = [abs(first[i] - second[j]) for i, j in pairs]
    assert all(distance <= reach for distance in distances)
    assert (-len(pairs), sum(distances)) == best(first, second, reach)


lines = st.tuples(
    st.sampled_from(["ana", "ben", None]), st.sampled_from(["ACD", "LT"]), st.none() | st.integers(0, 90),
    st.none() | st.integers(0, 4), st.booleans(), st.booleans(),
)  # fmt: skip


def lines_of(drawn: list[Any]) -> pl.DataFrame:
    names = dict.fromkeys(("payer", "line"), tables.NAME)
    flags = dict.fromkeys(("is_manual", "is_aside"), pl.Boolean)
    frame = pl.DataFrame(drawn, schema={**names, "at": pl.Int64, "day": pl.Int32, **flags}, orient="row")
    # Times of a third of a second, so that several are of one, and in order, as lines are.
    at = pl.lit(START).cast(tables.TIME) + pl.duration(milliseconds=pl.col("at") * 333)
    return frame.sort("at", maintain_order=True).select(
        "payer", "line", "is_manual", charged_at=at, usage_date=pl.col("day").cast(pl.Date),
        aside=pl.when("is_aside").then(pl.lit("masked")).cast(tables.NAME),
    )  # fmt: skip


@given(
    st.lists(lines, max_size=12), st.lists(lines, max_size=12), st.sampled_from(["day", "rolling"]), st.integers(0, 9)
)
def test_lines_are_matched_as_the_plain_reference_does(
    ours: list[Any], vendors: list[Any], window: str, reach: int
) -> None:
    within, by_days = timedelta(seconds=reach), window == "day"
    sides = [lines_of(ours).drop("aside", "is_manual"), lines_of(vendors)]
    found = matched(sides[0], sides[1], by_days=by_days, within=within)
    plain = [frame.with_columns(pl.col(pl.Categorical).cast(pl.String)) for frame in sides]
    pairs = plain_match.matched(plain[0], plain[1], by_days=by_days, within=within)
    assert sorted(found.rows()) == sorted(pairs.rows())


START = datetime(2026, 3, 2, tzinfo=UTC)
uses = st.tuples(
    st.sampled_from(["ana", "ANA", "ben", "*****"]), st.sampled_from(["ACD", "LT", "PRO", "NEW"]),
    st.sampled_from(["mad", "chi", "osl", "none"]), st.integers(0, 96), st.integers(0, 30),
)  # fmt: skip
rows_of_vendor = st.tuples(
    uses, st.integers(-2, 30), st.sampled_from(["DESKTOP_PRODUCT", "CLOUD_PRODUCT", "MANUAL_CONSUMPTION", None])
)
RULES = {"day": firm.RULE, "rolling": tf.FLEX}


def sessions_of(drawn: list[Any]) -> pl.DataFrame:
    names = dict.fromkeys(("user", "product", "server"), pl.String)
    frame = pl.DataFrame(drawn, schema={**names, "at": pl.Int64, "hours": pl.Int64}, orient="row")
    start = pl.lit(START).cast(tables.TIME) + pl.duration(hours="at")
    return frame.select(*names, host=pl.lit("pc"), start=start, end=start + pl.duration(hours="hours"))


@settings(suppress_health_check=[HealthCheck.filter_too_much], deadline=None, max_examples=25)
@given(
    st.lists(uses, min_size=1, max_size=12),
    st.lists(rows_of_vendor, min_size=1, max_size=12),
    st.sampled_from(["day", "rolling"]),
    st.sampled_from(["session", "day", "month"]),
    st.sampled_from(["with sessions", "without"]),
)
def test_no_token_of_either_side_is_lost(
    drawn: list[Any], stated: list[Any], window: str, level: Any, evidence: str
) -> None:
    sessions = sessions_of(drawn)
    terms: dict[str, Any] = {"rule": RULES[window], "rates": planted.OURS, "servers": planted.SERVERS}
    charges = tf.charge(sessions, **terms, problems=tf.Problems())
    whole = sessions_of([use for use, *_ in stated])
    statement = whole.with_columns(
        tokens=pl.Series([tokens for _, tokens, _ in stated]).cast(tables.TOKENS) / 2,
        usage_category=pl.Series([category for *_, category in stated], dtype=pl.String),
        usage_date=pl.col("start").dt.date(),
    ).with_columns(pl.col("tokens").cast(tables.TOKENS))
    try:
        found = tf.reconcile(
            charges, statement, **terms, level=level, sessions=sessions if evidence == "with sessions" else None,
            coverage=None, problems=tf.Problems(),
        )  # fmt: skip
    except tf.ArgumentError as error:
        # Two sides of nothing in common are refused, and so are rates of another currency.
        refused = any(words in str(error) for words in ("in common", "in both", "another currency"))
        assume(not refused)
        raise
    assert sums(found.rows) == (charges["tokens"].sum(), statement["tokens"].sum())
    if level == "session":
        assert sorted(found.rows["charge"].drop_nulls()) == list(range(charges.height))
    rows = found.rows
    is_matched = rows["status"] == "matched"
    assert rows.filter(is_matched & (pl.col("difference") != 0)).is_empty()
    odd = rows.filter(~is_matched)
    assert odd["cause"].null_count() == odd["explained"].null_count() == 0
    assert odd.filter(pl.col("causes").list.first() != pl.col("cause")).is_empty()


def test_the_demo_shows_each_mistake_of_its_vendor(demo_firm: Any) -> None:
    made = demo_firm
    log = tf.read_flexlm(made.folder / "logs", timezone=made.servers)
    sessions = tf.Identity().apply(tf.pair(log.events, packages=log.packages, problems=tf.Problems()))
    terms: dict[str, Any] = {
        "rule": tf.Rule.read(made.rule_path), "rates": tf.Rates.read(made.rates_path), "servers": made.servers,
    }  # fmt: skip
    charges = tf.charge(sessions, **terms, problems=tf.Problems())
    statement = tf.read_statement(made.statement_path)
    more: dict[str, Any] = {"sessions": sessions, "coverage": log.coverage, "problems": tf.Problems()}
    found = tf.reconcile(charges, statement, **terms, **more)
    assert sums(found.rows) == (charges["tokens"].sum(), statement["tokens"].sum())
    names = {"missing_increment": "family", "below_minimum": "minimum_duration", "manual_duplicate": "manual_entry"}
    mistakes = {names.get(cause, cause): count for cause, count in made.facts.vendor_mistakes.items()}
    counts = counted(found.rows)
    # Whoever is logged in two spellings is charged twice by the vendor's own rule, too.
    assert counts.pop("identity") >= mistakes.pop("identity")
    identity = found.rows.filter(pl.col("cause") == "identity")
    spelled = statement["user"].cast(pl.String).gather(identity["statement"])
    assert (spelled.str.to_lowercase() == identity["user"].cast(pl.String)).all()
    unreported = found.rows.filter(pl.col("cause") == "server_not_reporting")
    assert unreported["server"].unique().to_list() == ["sin-lic-01"]
    assert counts.pop("server_not_reporting") == unreported.height > 100
    assert set(found.rows.filter(pl.col("cause") == "no_rate")["product"]) == {"INHSMP"}
    assert counts.pop("no_rate") > 0
    # What is still open when the logs end is not yet in the statement.
    late = found.rows.filter(pl.col("cause") == "no_row")["charge"]
    assert sessions["is_open"].gather(charges["session"].gather(late)).all()
    assert counts.pop("no_row") == late.len()
    assert dict(counts) == mistakes


def of_flex(day: int, hour: int, user: str = "ana@firm.example", tokens: int = 7) -> tuple[Any, ...]:
    at = datetime(2026, 3, day, hour, tzinfo=UTC)
    return (user, "ACD", at, at + timedelta(days=1), at.date(), Decimal(tokens))


FLEX: dict[str, Any] = {
    "user": pl.String, "product": pl.String, "charged_at": tables.TIME, "window_end": tables.TIME,
    "usage_date": pl.Date, "tokens": tables.TOKENS,
}  # fmt: skip


def by_days(ours: list[Any], theirs: list[Any], **more: Any) -> pl.DataFrame:
    charges, stated = (pl.DataFrame(rows, schema=FLEX, orient="row") for rows in (ours, theirs))
    statement = stated.select("user", "product", "usage_date", "tokens")
    return tf.reconcile(charges, statement, level="day", **more).rows


def told(rows: pl.DataFrame) -> list[tuple[Any, ...]]:
    return rows.select("status", "cause", pl.col("usage_date").dt.day(), pl.col("difference").cast(pl.Int64)).rows()


def test_days_are_matched_by_person_and_product_and_a_midnight_apart() -> None:
    ours = [of_flex(2, 9), of_flex(4, 23), of_flex(9, 9), of_flex(12, 9), of_flex(20, 9)]
    theirs = [of_flex(2, 1), of_flex(5, 0), of_flex(12, 1, tokens=8), of_flex(16, 1), of_flex(20, 1)]
    rows = by_days(ours, theirs)
    assert told(rows) == [
        ("matched", None, 2, 0),
        ("matched", "day_border", 4, 0),
        ("not_comparable", "no_statement", 9, -7),
        ("amount_differs", "unexplained", 12, 1),
        ("extra_at_vendor", "unexplained", 16, 7),
        ("matched", None, 20, 0),
    ]
    assert rows["shift"][1] == timedelta(days=1)


def test_opposite_differences_of_two_days_are_a_midnight() -> None:
    rows = by_days([of_flex(2, 9), of_flex(2, 23), of_flex(3, 9)], [of_flex(2, 1), of_flex(3, 1, tokens=14)])
    assert told(rows) == [("amount_differs", "day_border", 2, -7), ("amount_differs", "day_border", 3, 7)]


def test_a_statement_without_users_is_held_against_products_and_dates() -> None:
    charges = pl.DataFrame([of_flex(2, 9), of_flex(2, 9, "ben@firm.example")], schema=FLEX, orient="row")
    statement = pl.DataFrame(
        {"product": ["ACD"], "usage_date": [datetime(2026, 3, 2, tzinfo=UTC).date()], "tokens": [14]}
    )
    rows = tf.reconcile(charges, statement, level="day").rows
    assert rows.select("status", "user", "ours").rows() == [("matched", None, Decimal(14))]


def test_a_contract_is_held_against_totals_of_its_years() -> None:
    contract = tf.read_contract(
        b"""{"contractNumber": "1", "years": [
        {"contractYear": 1, "startDate": "2026-01-01", "endDate": "2026-03-03", "consumedTokens": 10,
         "multiyearConsumedTokens": 4},
        {"contractYear": 2, "startDate": "2026-03-04", "endDate": "2027-03-03", "consumedTokens": 9}]}"""
    )
    charges = pl.DataFrame([of_flex(2, 9), of_flex(3, 9), of_flex(4, 9)], schema=FLEX, orient="row")
    rows = tf.reconcile(charges, contract, level="month").rows
    assert rows.select("status", "ours", "vendors").rows() == [
        ("matched", Decimal(14), Decimal(14)), ("amount_differs", Decimal(7), Decimal(9)),
    ]  # fmt: skip
    assert rows["explained"].str.contains("may not match").all()
    with pytest.raises(tf.ArgumentError, match="totals only"):
        tf.reconcile(charges, contract)


def test_a_statement_of_other_months_or_of_nobody_known_is_refused() -> None:
    made = firm_of(1)
    later = made.statement().with_columns(
        pl.col("start", "end").dt.offset_by("1y"), pl.col("usage_date").dt.offset_by("1y")
    )
    charges = made.charges(made.logged())
    more: dict[str, Any] = {**OPTIONS, "problems": tf.Problems()}
    with pytest.raises(tf.ArgumentError, match="no day in common"):
        tf.reconcile(charges, later, **more)
    strangers = made.statement().with_columns(user=pl.format("{}-other", pl.col("user").cast(pl.String)))
    with pytest.raises(tf.ArgumentError, match="nobody is in both"):
        tf.reconcile(charges, strangers.filter(pl.col("product") == "ACD"), **more)
    with pytest.raises(tf.ArgumentError, match="level has to be"):
        tf.reconcile(charges, later, level="week", **more)  # type: ignore[arg-type]  # a wrong call
    with pytest.raises(tf.ArgumentTypeError, match="tolerance"):
        tf.reconcile(charges, later, tolerance=0.1, **more)  # type: ignore[arg-type]  # a wrong call
    with pytest.raises(tf.ArgumentError, match="pass rule= and rates="):
        tf.reconcile(charges, made.statement(), problems=tf.Problems())


def test_a_few_people_in_common_by_chance_are_refused() -> None:
    ours = [of_flex(2, 9, f"ours{number}") for number in range(60)]
    theirs = [of_flex(2, 9, f"theirs{number}") for number in range(59)]
    with pytest.raises(tf.ArgumentError, match="only 1 of 60 people are in both"):
        by_days(ours, [*theirs, of_flex(2, 9, "ours7")])
    assert by_days(ours, [*theirs, *ours[:3]]).height == 60 + 59
    assert by_days(ours[:3], [*theirs[:30], ours[0]]).height == 3 + 30


def test_a_statement_whose_times_were_read_in_another_zone_is_refused() -> None:
    made = firm_of(1)
    charges = made.charges(made.logged())
    for hours in (-7, 2, 5.5):
        shift = timedelta(hours=hours)
        elsewhere = made.statement().with_columns(pl.col("start", "end") + shift)
        with pytest.raises(tf.ArgumentError, match="off by whole hours") as told:
            tf.reconcile(charges, elsewhere, **OPTIONS, problems=tf.Problems())
        assert f"chi: {hours:+g} h, mad: {hours:+g} h, sin: {hours:+g} h" in str(told.value)
    odd = made.statement().with_columns(pl.col("start", "end") + timedelta(minutes=7))
    assert tf.reconcile(charges, odd, **OPTIONS, problems=tf.Problems()).rows.height > 0


@pytest.mark.parametrize("level", ["session", "day"])
def test_a_file_given_twice_is_told_of(level: Any) -> None:
    made = firm_of(1)
    sessions = made.logged()
    problems = tf.Problems()
    twice = pl.concat([made.statement(), made.statement()])
    options: dict[str, Any] = {**OPTIONS, "sessions": sessions, "variants": planted.VARIANTS}
    found = tf.reconcile(made.charges(sessions), twice, **options, level=level, problems=problems)
    assert problems.frame.filter(pl.col("code") == "given_twice").height == 1
    once = tf.reconcile(made.charges(sessions), made.statement(), **options, level=level, problems=tf.Problems())
    assert counted(found.rows)["duplicate_row"] > once.rows.height / 3
    assert counted(once.rows)["duplicate_row"] < 10


def test_a_statement_that_lacks_what_its_level_takes_is_refused_with_the_level_that_would_do() -> None:
    made = firm_of(1)
    charges, statement = made.charges(made.logged()), made.statement()

    def refused(stated: pl.DataFrame, level: Any) -> tuple[str | None, str]:
        with pytest.raises(tf.MissingColumnError) as told:
            tf.reconcile(charges, stated, **OPTIONS, level=level, problems=tf.Problems())
        return told.value.column, str(told.value)

    column, words = refused(statement.drop("start"), "session")
    assert column == "start"
    assert "level='day' or level='month' would do" in words
    dateless = statement.drop("usage_date").with_columns(usage_month=pl.lit(datetime(2026, 3, 1, tzinfo=UTC)).dt.date())
    column, words = refused(dateless, "day")
    assert column == "usage_date"
    assert "level='session' or level='month' would do" in words
    column, words = refused(statement.drop("product", "feature", "product_name"), "month")
    assert column == "product"
    assert "would do" not in words
    nobodys = statement.drop("user").with_columns(is_masked=pl.lit(value=False))
    column, words = refused(nobodys, "session")
    assert column == "user"
    assert "level='day' or level='month' would do" in words
    unknown = statement.with_columns(pl.lit(1).alias("column of next year"))
    assert tf.reconcile(charges, unknown, **OPTIONS, problems=tf.Problems()).rows.height > 0


def test_of_many_sessions_rules_are_tried_on_some_and_go_on_to_the_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    made = planted.Planted()
    days_of_use = [monday + timedelta(days=number) for monday in firm.MONDAYS for number in range(5)]
    for name in (f"mad{number:02}" for number in range(30)):
        made.uses += [use for day in firm.MONDAYS for use in planted.night_of_singapore(made, name, day)]
    # What is right, lest all of it looked like rates of another contract.
    made.uses += [planted.use_of(f"mad{number}", day, (9, 12)) for day in days_of_use for number in range(50, 60)]
    whole = audited(made).rows
    monkeypatch.setattr(other_rules, "MOST_SESSIONS", 50)
    assert whole.equals(audited(made).rows)
    assert counted(whole) == {"other_rule": 30 * len(firm.MONDAYS)}


def test_a_log_that_ends_early_makes_nothing_missing() -> None:
    made = firm_of(2)
    cut = datetime(2026, 3, 18, 12, tzinfo=UTC)
    sessions = made.logged().filter(pl.col("start") < cut).with_columns(pl.min_horizontal("end", pl.lit(cut)))
    options: dict[str, Any] = {**OPTIONS, "sessions": sessions, "variants": planted.VARIANTS, "problems": tf.Problems()}
    rows = tf.reconcile(made.charges(sessions), made.statement(), **options).rows
    later = rows.filter(
        (pl.col("charged_at") > cut) & ~pl.col("cause").is_in(["masked", "not_of_servers", "adjustment"])
    )
    assert later.height > 100
    assert set(later["cause"]) == {"no_log"}
    assert set(later["status"]) == {"not_comparable"}


def test_masked_users_are_never_missing() -> None:
    made = firm_of(1)
    masked = made.statement().with_columns(user=pl.lit(None, tables.NAME), is_masked=pl.lit(value=True))
    rows = tf.reconcile(made.charges(made.logged()), masked, **OPTIONS, problems=tf.Problems()).rows
    use = rows.filter(~pl.col("cause").is_in(["not_of_servers", "adjustment"]))
    assert set(use["status"]) == {"not_comparable"}
    assert use.filter(pl.col("statement").is_not_null())["cause"].unique().to_list() == ["masked"]


def test_use_of_a_server_without_a_zone_is_not_charged_and_kept() -> None:
    made = firm_of(1)
    servers = {name: zone for name, zone in planted.SERVERS.items() if name != "sin"}
    charges = made.charges(made.logged())
    options: dict[str, Any] = {**OPTIONS, "servers": servers, "problems": tf.Problems()}
    rows = tf.reconcile(charges, made.statement(), **options).rows
    aside = rows.filter(pl.col("cause") == "not_charged")
    assert aside["server"].unique().to_list() == ["sin"]
    assert sums(rows) == (charges["tokens"].sum(), made.statement()["tokens"].sum())


def test_a_table_that_lacks_tokens_is_refused() -> None:
    made = firm_of(1)
    charges = made.charges(made.logged())
    with pytest.raises(tf.MissingColumnError, match="tokens"):
        tf.reconcile(charges, made.statement().drop("tokens"), **OPTIONS)
    with pytest.raises(tf.ColumnTypeError, match="exact"):
        tf.reconcile(charges, made.statement().with_columns(pl.col("tokens").cast(pl.Float64)), **OPTIONS)
    with pytest.raises(tf.MissingColumnError, match="charged_at"):
        tf.reconcile(charges.drop("charged_at"), made.statement(), **OPTIONS)
