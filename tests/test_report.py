"""The report: each of its numbers is that of the verb that computes it, and what is not given is said."""

from __future__ import annotations

import importlib
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

import tokenflex as tf
from reported import EVIL, MONDAY, demo_report, evil_report, inputs_of
from tokenflex import tables
from tokenflex.notebook import html_of
from tokenflex.reporting import consumption
from tokenflex.reporting.contents import contents_of
from tokenflex.reporting.given import period_of, rate_of
from tokenflex.reporting.report import CHAPTERS
from tokenflex.reporting.use_chapters import peaks_of

if TYPE_CHECKING:
    from pathlib import Path

    from tokenflex.demo import DemoFirm

RATES = tf.Rates({"ACD": 7, "RVT": 10})
UTC_DAYS = tf.Rule(window="day", zone="utc")


def at(day: int, hour: int) -> datetime:
    return datetime(2026, 7, day, hour, tzinfo=UTC)


def sessions(*rows: tuple[str, str, datetime, datetime]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=["user", "product", "start", "end"], orient="row")


FEW = sessions(
    ("ana", "ACD", at(13, 8), at(13, 17)), ("ana", "ACD", at(14, 9), at(14, 17)), ("ben", "RVT", at(13, 9), at(13, 10))
)


@pytest.fixture(scope="module")
def whole(demo_firm: DemoFirm) -> tf.Report:
    return demo_report(demo_firm.folder)


def charges_of(firm: DemoFirm) -> pl.DataFrame:
    inputs = inputs_of(firm.folder)
    return tf.charge(
        inputs["sessions"],
        **{name: inputs[name] for name in ("rule", "rates", "servers", "users", "activity")},
        problems=tf.Problems(),
    )


def answer(report: tf.Report, key: str) -> dict[str, Any]:
    return report.answers.filter(key=key).row(0, named=True)


# Nothing is lost, and nothing is computed a second time.


def test_the_charge_ledger_is_the_charges(whole: tf.Report, demo_firm: DemoFirm) -> None:
    charges = charges_of(demo_firm)
    ledger = whole.tables["charge_ledger"]
    for name in tables.CHARGES:
        assert ledger[name].cast(pl.String).to_list() == charges[name].cast(pl.String).to_list(), name
    assert answer(whole, "tokens")["value"] == charges["tokens"].sum()


@pytest.mark.parametrize("by", ["month", "day", "product", "user", "group", "cost_centre", "site", "server", "version"])
def test_each_way_to_lay_charges_adds_up_to_them(whole: tf.Report, by: str) -> None:
    ledger, laid = whole.tables["charge_ledger"], whole.tables[f"tokens_by_{by}"]
    assert laid["tokens"].sum() == ledger["tokens"].sum()
    assert laid["charges"].sum() == ledger.height


def test_the_cube_adds_up_and_filters_as_the_charges_do(whole: tf.Report) -> None:
    ledger, cube = whole.tables["charge_ledger"], whole.cube
    assert cube.schema == pl.Schema(tables.REPORT_CUBE)
    assert cube["tokens"].sum() == ledger["tokens"].sum()
    assert cube["charges_without_rate"].sum() == ledger["tokens"].null_count()
    picked = {"product": "RVT", "group": "bridges", "site": "Madrid"}
    own = ledger.filter(*(pl.col(name).cast(pl.String) == value for name, value in picked.items()))
    assert 0 < own.height < ledger.height
    assert cube.filter(**picked)["tokens"].sum() == own["tokens"].sum()
    assert cube.filter(month=date(2025, 10, 1))["tokens"].sum() == (
        ledger.filter(pl.col("usage_date").dt.month() == 10)["tokens"].sum()
    )


def test_a_cube_that_would_be_too_large_has_servers_and_small_groups_as_one(
    whole: tf.Report, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger, sums = whole.tables["charge_ledger"], pl.col("charges", "tokens", "charges_without_rate").sum()
    for most in (whole.cube.height - 1, 110):
        monkeypatch.setattr(consumption, "MOST_CELLS", most)
        cube = consumption.cube_of(ledger)
        assert cube.height <= most
        assert cube["server"].unique().to_list() == [consumption.ALL_SERVERS]
        assert cube.select(sums).equals(whole.cube.select(sums))
        assert (consumption.OTHER_GROUPS in cube["group"].to_list()) == (most == 110)
        largest = whole.tables["tokens_by_group"]["group"][0]
        laid = [
            each.filter(group=largest).group_by("month", "product", "site").agg(sums) for each in (cube, whole.cube)
        ]
        assert_frame_equal(*laid, check_row_order=False)


def test_chapters_show_what_their_verbs_give(whole: tf.Report, demo_firm: DemoFirm) -> None:
    inputs = inputs_of(demo_firm.folder)
    charges, quiet = charges_of(demo_firm), tf.Problems()
    terms = {name: inputs[name] for name in ("rule", "rates", "servers", "users")}
    ledger = inputs["contract"].settle(charges, statement=inputs["statement"], problems=quiet)
    assert whole.tables["balances"].equals(ledger.balances())
    assert whole.tables["burn"].equals(ledger.burn().pools)
    assert whole.tables["chargeback_by_group"]["tokens"].sum() == whole.tables["chargeback_by_product"]["tokens"].sum()
    avoidable = tf.avoidable_charges(inputs["sessions"], **terms, activity=inputs["activity"], problems=quiet)
    assert whole.tables["avoidable_charges"].equals(avoidable)
    assert whole.tables["avoidable_summary"].equals(tf.summarize_avoidable(avoidable))
    found = tf.reconcile(
        charges,
        inputs["statement"],
        sessions=inputs["sessions"],
        identity=inputs["identity"],
        coverage=inputs["coverage"],
        **terms,
        problems=quiet,
    )
    assert whole.tables["reconciliation_summary"].equals(found.summary)
    assert whole.tables["capacity"].equals(tf.capacity(inputs["sessions"], limits={"ACD": 25}, problems=quiet))


def test_every_table_is_shown_and_every_section_has_its_table(whole: tf.Report) -> None:
    shown = [section.table for chapter in whole.chapters for section in chapter.sections]
    assert sorted(filter(None, shown)) == sorted(whole.tables)
    assert [chapter.key for chapter in whole.chapters] == list(CHAPTERS)
    for chapter in whole.chapters:
        assert chapter.question.endswith("?"), chapter.key
        assert chapter.missing is None or not chapter.sections
        for section in chapter.sections:
            assert (section.table is None) == (section.missing is not None), section.key
            assert set(section.sums) <= set(whole.tables[section.table].columns if section.table else section.sums)


def test_with_all_inputs_nothing_but_a_longer_history_is_missing(whole: tf.Report) -> None:
    # Three months of the demo are 90 days, of which the last charge ends one too few.
    missing = contents_of(whole).filter(pl.col("missing").is_not_null())
    assert set(missing["chapter"]) == {"forecast", "plan"}
    assert all("91 would be enough" in text for text in missing["missing"])


def test_forecast_and_plan_are_those_of_their_verbs() -> None:
    pytest.importorskip("numpy")
    first = datetime(2026, 1, 5, 9, tzinfo=UTC)
    days = [first + timedelta(days=day) for day in range(120) if day % 7 < 5]
    used = sessions(*(("ana", "ACD", day, day + timedelta(hours=1)) for day in days))
    offer = tf.Offer(overage_price=4, packs=[tf.PackOffer(tokens=100, unit_price=3)])
    report = tf.report(used, rule=UTC_DAYS, rates=RATES, offer=offer, horizon=30, chapters=["forecast", "plan"])
    charges = tf.charge(used, rule=UTC_DAYS, rates=RATES)
    expected = tf.forecast(charges, horizon=30, model="weekday")
    assert report.tables["forecast_days"].equals(expected.days)
    assert report.tables["forecast_backtest"].equals(expected.backtest)
    year = tf.forecast(charges, horizon=365, model="weekday")
    assert report.tables["planned_purchases"].equals(tf.plan_purchase(year, offer=offer).purchases)
    own = tf.report(used, rule=UTC_DAYS, rates=RATES, offer=offer, forecast=year, chapters=["forecast", "plan"])
    assert own.tables["forecast_days"].equals(year.days)
    assert own.tables["purchase_tried"].equals(report.tables["purchase_tried"])


def test_the_tables_of_the_report_have_their_schemas(whole: tf.Report) -> None:
    frames = {"answers": whole.answers, "actions": whole.actions, "provenance": whole.provenance}
    for name, frame in frames.items():
        assert frame.schema == pl.Schema(tables.TABLES[f"report_{name}"]), name
    for name in ("charge_ledger", "coverage_days", "products_without_rate", "rate_changes"):
        assert whole.tables[name].schema == pl.Schema(tables.TABLES[name]), name
    assert whole.tables["peaks"].schema == pl.Schema(tables.DAILY_PEAKS)


# Answers and actions.


def test_answers_say_what_the_tables_say(whole: tf.Report) -> None:
    assert whole.answers["key"].to_list() == [
        "tokens", "plan", "vendor", "doubled", "avoidable", "balance", "lasts", "to_do",
    ]  # fmt: skip
    assert answer(whole, "avoidable")["value"] == whole.tables["avoidable_charges"]["tokens"].sum()
    assert answer(whole, "doubled")["value"] == whole.tables["vendor_double_charges"]["tokens"].sum()
    summary = whole.tables["reconciliation_summary"].filter(pl.col("outcome") != "not_comparable")
    agreed = summary.filter(pl.col("outcome") == "agreed")["rows"].sum()
    assert float(answer(whole, "vendor")["value"]) == pytest.approx(int(agreed) / int(summary["rows"].sum()), abs=1e-7)
    assert set(whole.answers["chapter"]) <= set(CHAPTERS)


def test_actions_are_ranked_by_tokens_and_name_a_table_with_the_cases(whole: tf.Report) -> None:
    actions = whole.actions
    assert actions["rank"].to_list() == list(range(1, actions.height + 1))
    known = actions["tokens"].drop_nulls().to_list()
    assert known == sorted(known, reverse=True)
    assert actions["tokens"].head(len(known)).null_count() == 0
    assert all(whole.tables[name].height for name in actions["table"])
    priced = actions.filter(pl.col("tokens").is_not_null())
    assert (priced["money"] == priced["tokens"] * 3).all()
    assert answer(whole, "to_do")["answer"] == actions["action"][0]


def test_what_is_disputed_is_what_the_vendor_has_more(whole: tf.Report) -> None:
    rows = whole.tables["reconciliation"].filter(
        pl.col("difference") > 0, pl.col("status").is_in(["amount_differs", "extra_at_vendor"])
    )
    (action,) = whole.actions.filter(table="differences").iter_rows(named=True)
    assert action["tokens"] == rows["difference"].sum()


def test_an_even_pace_by_hand() -> None:
    contract = tf.Contract(number="7", packs=[tf.Pack(id="a", tokens=365, purchased="2026-07-01", end="2027-06-30")])
    ten_days = sessions(*(("ana", "ACD", at(day, 8), at(day, 9)) for day in range(1, 11)))
    report = tf.report(
        ten_days, rule=UTC_DAYS, rates=RATES, contract=contract, chapters=["contract"], period="2026-07-10"
    )
    # 70 of 365 tokens are gone by 8:00 of the tenth day, when 9 and a third would be at one token a day.
    assert answer(report, "plan")["value"] == (Decimal(70) / (Decimal(9) + Decimal(8) / 24)).quantize(Decimal("0.0001"))
    assert answer(report, "plan")["tone"] == "watch"
    assert answer(report, "balance")["answer"] == "295 tokens"


def test_tokens_that_run_out_soon_and_packs_that_expire_ask_for_action() -> None:
    used = sessions(*(("ana", "ACD", at(day, 8), at(day, 9)) for day in range(1, 11)))
    terms: dict[str, Any] = {"rule": UTC_DAYS, "rates": RATES, "chapters": ["contract"], "token_price": 3}
    scarce = tf.Contract(number="7", packs=[tf.Pack(id="a", tokens=100, purchased="2026-07-01")])
    report = tf.report(used, **terms, contract=scarce)
    assert answer(report, "lasts")["tone"] == "act"
    assert report.actions["action"].to_list() == ["Buy tokens, or agree on a price for overage"]
    plenty = tf.Contract(number="7", packs=[tf.Pack(id="a", tokens=5000, purchased="2025-08-01")])
    report = tf.report(used, **terms, contract=plenty)
    assert answer(report, "lasts")["tone"] == "good"
    assert report.actions["action"].to_list() == ["Use or move tokens of a"]
    assert report.actions["money"][0] == report.actions["tokens"][0] * 3


# What is not given.


def test_with_sessions_alone_everything_else_says_what_would_give_it() -> None:
    report = tf.report(FEW, rule=UTC_DAYS, rates=RATES)
    missing = contents_of(report).filter(pl.col("missing").is_not_null())
    assert {"contract", "vendor", "doubles", "models", "rates", "forecast", "plan"} <= set(missing["chapter"])
    for chapter, text in missing.select("chapter", "missing").iter_rows():
        assert "=" in text or "would be enough" in text, (chapter, text)
    assert answer(report, "balance")["answer"] == "not known"
    assert "contract=" in answer(report, "balance")["detail"]


def test_nothing_charged_is_a_report_as_well() -> None:
    report = tf.report(FEW.clear(), rule=UTC_DAYS, rates=RATES)
    assert report.start is report.end is None
    assert answer(report, "tokens")["value"] is None
    assert report.tables["charge_ledger"].is_empty()


def test_a_product_without_a_rate_is_in_no_sum_and_is_an_action() -> None:
    report = tf.report(FEW, rule=UTC_DAYS, rates=tf.Rates({"ACD": 7}), chapters=["consumption", "quality"])
    assert answer(report, "tokens")["value"] == 14
    assert report.tables["products_without_rate"].select("product", "charges").rows() == [("RVT", 1)]
    assert report.tables["tokens_by_product"].filter(product="RVT")["tokens"].to_list() == [None]
    assert report.actions.select("action", "tokens").rows() == [("Find the rates of RVT", None)]
    assert "no_rate" in report.tables["problem_groups"]["code"].to_list()


def test_only_the_chapters_asked_for_are_made_and_answered() -> None:
    report = tf.report(FEW, rule=UTC_DAYS, rates=RATES, chapters="consumption")
    assert [chapter.key for chapter in report.chapters] == ["consumption"]
    assert report.answers["key"].to_list() == ["tokens", "to_do"]
    assert set(report.tables) <= {f"tokens_by_{by}" for by in ("month", "day", "product", "user", "server", "version")}


# Periods.


def test_a_period_cuts_what_is_told_and_not_what_it_rests_on() -> None:
    # A window that opened the day before pays for the first hours of the 14th.
    over_night = sessions(("ana", "ACD", at(13, 20), at(14, 6)), ("ana", "ACD", at(14, 21), at(14, 23)))
    rule = tf.Rule(window="rolling")
    report = tf.report(over_night, rule=rule, rates=RATES, period="2026-07-14", chapters=["consumption", "charges"])
    assert report.tables["charge_ledger"].select("charged_at").rows() == [(at(14, 21),)]
    assert (report.start, report.end) == (date(2026, 7, 14), date(2026, 7, 14))


def test_months_add_up_to_the_whole(demo_firm: DemoFirm, whole: tf.Report) -> None:
    inputs = inputs_of(demo_firm.folder) | {"charges": charges_of(demo_firm)}
    chapters = ["consumption", "charges", "vendor", "avoidable"]
    months = [
        tf.report(**inputs, period=month, chapters=["consumption", "charges", "avoidable"])
        for month in ("2025-09", "2025-10", "2025-11")
    ]
    for name in ("charge_ledger", "avoidable_charges"):
        assert sum(month.tables[name].height for month in months) == whole.tables[name].height, chapters
    assert sum(answer(month, "tokens")["value"] for month in months) == answer(whole, "tokens")["value"]


@pytest.mark.parametrize(
    ("period", "first", "last"),
    [
        ("2026-02", date(2026, 2, 1), date(2026, 2, 28)),
        ("2024-02", date(2024, 2, 1), date(2024, 2, 29)),
        ("2026", date(2026, 1, 1), date(2026, 12, 31)),
        ("2026-02-03", date(2026, 2, 3), date(2026, 2, 3)),
        (("2026-02-03", date(2026, 3, 4)), date(2026, 2, 3), date(2026, 3, 4)),
        (None, date(2026, 7, 13), date(2026, 7, 14)),
    ],
)
def test_a_period_is_a_month_a_year_a_day_or_two_days(period: Any, first: date, last: date) -> None:
    charges = tf.charge(FEW, rule=UTC_DAYS, rates=RATES)
    assert period_of(period, charges) == (first, last)


@pytest.mark.parametrize(
    "period", ["2026-13", "June", "2026-02-30", ("2026-02-03", "2026-02-01"), (1, 2), 7, ("2026",)]
)
def test_what_is_no_period_is_refused(period: Any) -> None:
    with pytest.raises((tf.ArgumentError, tf.ArgumentTypeError), match="period"):
        tf.report(FEW, rule=UTC_DAYS, rates=RATES, period=period)


# Bad calls.


@pytest.mark.parametrize(
    ("more", "error"),
    [
        ({"chapters": ["usage"]}, tf.ArgumentError),
        ({"chapters": []}, tf.ArgumentError),
        ({"horizon": -1}, tf.ArgumentError),
        ({"horizon": 1.5}, tf.ArgumentError),
        ({"token_price": 0.1}, tf.FieldsError),
        ({"groups": {"ana": "bridges"}}, tf.ArgumentTypeError),
        ({"offer": "offer.toml"}, tf.ArgumentTypeError),
        ({"contract": "contract.toml", "chapters": "contract"}, tf.ArgumentTypeError),
        ({"charges": pl.DataFrame({"user": ["ana"]})}, tf.MissingColumnError),
        ({"coverage": pl.DataFrame({"server": ["a"]})}, tf.MissingColumnError),
        ({"statement": 7}, tf.TableTypeError),
        ({"path": "report.docx", "chapters": "consumption"}, tf.ArgumentError),
    ],
)
def test_a_bad_call_is_an_error(more: dict[str, Any], error: type[Exception]) -> None:
    with pytest.raises(error):
        tf.report(FEW, rule=UTC_DAYS, rates=RATES, **more)


def test_charges_of_other_sessions_are_refused() -> None:
    charges = tf.charge(FEW, rule=UTC_DAYS, rates=RATES)
    with pytest.raises(tf.ArgumentError, match="sessions"):
        tf.report(FEW.head(1), rule=UTC_DAYS, rates=RATES, charges=charges)


def test_charges_that_are_given_are_not_made_again(monkeypatch: pytest.MonkeyPatch) -> None:
    given_module = importlib.import_module("tokenflex.reporting.given")
    charges = tf.charge(FEW, rule=UTC_DAYS, rates=RATES)
    terms: dict[str, Any] = {"rule": UTC_DAYS, "rates": RATES, "chapters": ["consumption", "charges"]}
    own = tf.report(FEW, **terms)
    monkeypatch.setattr(given_module, "charge", None)
    again = tf.report(FEW, **terms, charges=charges)
    assert again.tables["charge_ledger"].equals(own.tables["charge_ledger"])


# Small pieces against plain ones.


@settings(max_examples=60)
@given(
    st.lists(
        st.tuples(st.sampled_from("AB"), st.integers(0, 20), st.integers(0, 9)), max_size=6, unique_by=lambda r: r[:2]
    ),
    st.lists(st.tuples(st.sampled_from("ABC"), st.integers(0, 20)), max_size=8),
)
def test_the_rate_of_a_charge_is_that_in_force(
    rated: list[tuple[str, int, int]], charged: list[tuple[str, int]]
) -> None:
    day = timedelta(days=1)
    rates = tf.Rates([tf.Rate(name, Decimal(value), MONDAY + start * day) for name, start, value in rated])
    charges = pl.DataFrame(
        {"product": [name for name, _ in charged], "charged_at": [MONDAY + place * day for _, place in charged]},
        schema={"product": pl.String, "charged_at": tables.TIME},
    )
    expected = []
    for name, place in charged:
        own = [(start, value) for product, start, value in rated if product == name and start <= place]
        expected.append(Decimal(max(own)[1]) if own else None)
    assert rate_of(charges, rates).to_list() == expected


@settings(max_examples=60)
@given(st.lists(st.tuples(st.integers(0, 96), st.integers(0, 60)), min_size=1, max_size=8))
def test_the_peak_of_a_day_is_that_of_a_plain_count(uses: list[tuple[int, int]]) -> None:
    hour = timedelta(hours=1)
    midnight = MONDAY.replace(hour=0)
    rows = [("ana", "ACD", midnight + start * hour, midnight + (start + length) * hour) for start, length in uses]
    found = peaks_of(tf.concurrency(sessions(*rows), problems=tf.Problems()))
    expected = {}
    for day in range(8):
        most = max(
            sum(start <= moment < start + length for start, length in uses) for moment in range(24 * day, 24 * day + 24)
        )
        if most:
            expected[(midnight + 24 * day * hour).date()] = most
    known = {day: peak for _, day, peak in found.iter_rows() if peak}
    assert known == expected


# Notebooks.


def test_no_name_is_markup_in_a_notebook() -> None:
    text = html_of(EVIL[4], {EVIL[4]: pl.DataFrame({EVIL[4]: EVIL, "n": range(len(EVIL))}).reverse()})
    text += html_of("", {"first": pl.DataFrame({"name": EVIL})})
    assert "<script" not in text
    assert "<img" not in text
    assert "&lt;script&gt;" in text


def test_results_have_tables_in_a_notebook(whole: tf.Report, demo_firm: DemoFirm) -> None:
    inputs = inputs_of(demo_firm.folder)
    ledger = inputs["contract"].settle(charges_of(demo_firm), problems=tf.Problems())
    plan = tf.plan_purchase(
        [[7, 5], [7, 0]],
        offer=tf.Offer(overage_price=4, packs=[tf.PackOffer(tokens=10, unit_price=3)]),
        start=date(2026, 7, 1),
    )
    burn = ledger.burn()
    assert repr(burn).startswith("<Burn of ")
    for shown in (whole, ledger, burn, plan, inputs["problems"]):
        text = shown._repr_html_()
        assert "<table>" in text
        assert "<tbody><tr>" in text


def test_a_report_of_hostile_names_shows_none_of_them_as_markup() -> None:
    report = evil_report()
    assert "<script" not in report._repr_html_()
    assert report.title == EVIL[4]


# Provenance.


def test_provenance_names_rule_rates_versions_and_hashes_of_files(whole: tf.Report, demo_firm: DemoFirm) -> None:
    known = whole.provenance
    inputs = inputs_of(demo_firm.folder)
    assert known.filter(what="rule")["name"].to_list() == [inputs["rule"].rule_id]
    assert known.filter(what="zone database")["value"].to_list() == [tf.zone_database_version]
    hashed = known.filter(what="log")
    assert hashed.height == len(demo_firm.logs)
    assert hashed["sha256"].null_count() == 0
    changed = tf.report(FEW, rule=UTC_DAYS, rates=RATES, chapters="provenance").provenance
    other = tf.report(
        FEW, rule=replace(UTC_DAYS, renew=False), rates=tf.Rates({"ACD": 8, "RVT": 10}), chapters="provenance"
    ).provenance
    for what in ("rule", "rates"):
        assert changed.filter(what=what)["sha256"][0] != other.filter(what=what)["sha256"][0]


def test_coverage_by_day_shows_the_days_without_lines(whole: tf.Report, demo_firm: DemoFirm) -> None:
    days = whole.tables["coverage_days"]
    inputs = inputs_of(demo_firm.folder)
    silent = days.filter(~pl.col("has_lines")).group_by("server").agg("date")
    known = {row["server"]: row["days_without_lines"] for row in inputs["coverage"].iter_rows(named=True)}
    assert {row["server"]: row["date"] for row in silent.iter_rows(named=True)} == {
        server: dates for server, dates in known.items() if dates
    }
    assert (
        days.group_by("server").len().sort("server")["len"].to_list()
        == inputs["coverage"].sort("server")["days"].to_list()
    )
    assert days["sessions"].sum() == inputs["sessions"].height


def test_progress_counts_the_chapters() -> None:
    told: list[tuple[int, int | None]] = []
    chapters = ["consumption", "charges"]
    tf.report(FEW, rule=UTC_DAYS, rates=RATES, chapters=chapters, progress=lambda done, of: told.append((done, of)))
    assert told == [(1, 2), (2, 2)]


def test_a_report_is_written_where_path_says(tmp_path: Path) -> None:
    to = tmp_path / "july"
    tf.report(FEW, rule=UTC_DAYS, rates=RATES, chapters="consumption", path=to)
    assert (to / "answers.parquet").is_file()
