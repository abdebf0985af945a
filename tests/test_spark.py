"""`tokenflex.spark` on a cluster of two executors: the results are those of one machine, whatever happens meanwhile."""

from __future__ import annotations

import doctest
import importlib
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tokenflex as tf
from strategies import frame, whole_cases

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pyspark.sql import DataFrame, SparkSession

    from strategies import Case
    from tokenflex.demo import DemoFirm

fcntl: Any = pytest.importorskip("fcntl", reason="the cluster of the tests runs on Unix")
pa: Any = pytest.importorskip("pyarrow")
pytest.importorskip("pyspark", reason="tokenflex.spark needs pyspark: pip install '.[spark]'")
if shutil.which("java") is None and "JAVA_HOME" not in os.environ:
    pytest.skip("Spark needs Java, and there is none", allow_module_level=True)

tfs: Any = importlib.import_module("tokenflex.spark")
frames: Any = importlib.import_module("tokenflex.spark.frames")
tasks: Any = importlib.import_module("tokenflex.spark.tasks")

# pyspark 4 says of pandas 3 that parts of it may not work; none of these parts is used.
pytestmark = pytest.mark.filterwarnings("ignore:PySpark does not yet fully support pandas:FutureWarning")

ROOT: Final = Path(__file__).parents[1]
QUICK: Final = "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC"
HERE: Final = "America/St_Johns"
"""The zone of the session, far from any that the data are of."""
RATES: Final = tf.Rates(
    [
        tf.Rate("ACD", Decimal(7), family="draw"),
        tf.Rate("RVT", Decimal(10), family="draw"),
        tf.Rate("INV", Decimal(3)),
    ]
)
SERVERS: Final = {"mad": "Europe/Madrid", "chi": "America/Chicago"}
HOMES: Final = {"ana": "Asia/Singapore", "Ana": "Asia/Singapore", "bob": "Europe/Madrid", r"DOM\bob": "Europe/Madrid"}
RULES: Final = {
    "flex": tf.FLEX,
    "token flex": tf.TOKEN_FLEX,
    "by machine": tf.Rule(window="rolling", machine_metered=frozenset({"ACD", "XYZ"}), incremental=True),
    "by server": tf.Rule(window="day", scope="server", min_duration=timedelta(minutes=30)),
    "by user": tf.Rule(window="day", zone="user", renew=False),
}
LOGS: Final = Path(os.environ.get("TOKENFLEX_LOGS", ROOT.parent / "shared" / "logs"))


@pytest.fixture(scope="module")
def spark() -> Iterator[SparkSession]:
    """Two executors of one core each; one cluster at a time, however many processes pytest has."""
    from pyspark.sql import SparkSession  # noqa: PLC0415 - where it is missing all is skipped

    with (Path(tempfile.gettempdir()) / f"tokenflex-spark-{os.getuid()}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        options: dict[str, Any] = {
            "spark.ui.enabled": "false",
            "spark.sql.shuffle.partitions": "3",
            "spark.sql.session.timeZone": HERE,
            "spark.driver.host": "127.0.0.1",
            "spark.driver.bindAddress": "127.0.0.1",
            "spark.pyspark.python": sys.executable,
            "spark.executorEnv.PYTHONPATH": str(Path(tf.__file__).parents[1]),
            "spark.ui.showConsoleProgress": "false",
            # Jobs of a second each: a JVM that compiles less and collects plainly is up sooner.
            "spark.driver.extraJavaOptions": QUICK,
            "spark.executor.extraJavaOptions": QUICK,
        }
        builder = SparkSession.builder.master("local-cluster[2,1,1024]").appName("tokenflex")
        session = builder.config(map=options).getOrCreate()
        session.sparkContext.setLogLevel("OFF")
        session.dataSource.register(tfs.FlexLM)
        yield session
        session.stop()


def sessions_of(count: int, seed: int) -> pl.DataFrame:
    """Use of few persons on few machines in three weeks, with all that can be wrong with it; `n` numbers the rows."""
    rng = random.Random(seed)
    begin = datetime(2026, 3, 1, tzinfo=UTC)
    rows = []
    for number in range(count):
        start = begin + timedelta(minutes=15 * rng.randrange(4 * 24 * 21))
        end = None if rng.random() < 0.03 else start + timedelta(minutes=rng.randrange(-20, 60 * 30))
        user = None if rng.random() < 0.02 else rng.choice(["ana", "Ana", "bob", r"DOM\bob", "cem"])
        server = "nowhere" if rng.random() < 0.02 else rng.choice(list(SERVERS))
        host = None if rng.random() < 0.02 else rng.choice(["pc1", "pc2", "pc3"])
        rows.append((number, user, rng.choice(["ACD", "RVT", "INV", "XYZ"]), server, host, start, end))
    schema: dict[str, Any] = {"n": pl.Int64} | dict.fromkeys(("user", "product", "server", "host"), pl.String)
    return pl.DataFrame(rows, schema | {"start": tf.tables.TIME, "end": tf.tables.TIME}, orient="row")


SESSIONS: Final = sessions_of(700, 11)


def on_spark(spark: SparkSession, table: pl.DataFrame) -> DataFrame:
    """The rows in their order, in several partitions."""
    arrow = table.with_columns(pl.col(pl.Categorical).cast(pl.String)).to_arrow()
    plain = pa.schema([f.with_type(pa.string()) if pa.types.is_large_string(f.type) else f for f in arrow.schema])
    return spark.createDataFrame(arrow.cast(plain))


def rows_of(table: DataFrame, *order: str) -> list[Any]:
    """What Spark computes, in an order of its own or as rows sort."""
    found = pl.DataFrame(table.toArrow())
    return found.sort(*order).rows() if order else sorted(found.rows(), key=repr)


def rows_here(table: pl.DataFrame, *order: str) -> list[Any]:
    """The same of a table of one machine. Enums sort as text there and by place here."""
    table = table.with_columns(pl.col(pl.Enum, pl.Categorical).cast(pl.String))
    return table.sort(*order).rows() if order else sorted(table.rows(), key=repr)


def told(table: DataFrame) -> list[Any]:
    return rows_of(table)


def options_of(rule: tf.Rule) -> dict[str, Any]:
    return {"rule": rule, "rates": RATES, "servers": SERVERS, "users": HOMES}


@pytest.mark.parametrize("name", RULES)
def test_charges_and_problems_are_those_of_one_machine(spark: SparkSession, name: str) -> None:
    here, there = tf.Problems(), tfs.Problems()
    expected = tf.charge(SESSIONS, **options_of(RULES[name]), problems=here)
    # Numbers of one's own, in another order than the rows, or places.
    row, table = ("n", SESSIONS.sample(fraction=1, shuffle=True, seed=1)) if "by" in name else (None, SESSIONS)
    charges = tfs.charge(on_spark(spark, table), **options_of(RULES[name]), row=row, problems=there)
    assert rows_of(charges, "charged_at", "session") == rows_here(expected, "charged_at", "session")
    assert [field.dataType.simpleString() for field in charges.schema if field.name in ("tokens", "charged_at")] == [
        "timestamp",
        "decimal(38,4)",
    ]
    if name in ("flex", "by server"):
        assert len(here) > 10
        assert told(there.frame) == rows_here(here.frame)


def test_idle_time_needs_the_activity_of_all_of_a_users_sessions(spark: SparkSession) -> None:
    rng = random.Random(3)
    times = [SESSIONS["start"][rng.randrange(700)] + timedelta(minutes=rng.randrange(900)) for _ in range(900)]
    columns = {
        "user": ["ana", "Ana", "bob", "cem", None],
        "product": ["ACD", "RVT", None],
        "host": ["pc1", "pc2", None],
    }
    drawn = {name: [rng.choice(values) for _ in times] for name, values in columns.items()}
    activity = pl.DataFrame({**drawn, "time": times}).cast({"time": tf.tables.TIME})
    rule = replace(RULES["by machine"], idle_after=timedelta(minutes=15))
    expected = tf.charge(SESSIONS, **options_of(rule), activity=activity, problems=tf.Problems())
    assert expected.filter(pl.col("trigger") == "resume").height > 5
    given = {"activity": on_spark(spark, activity), "row": "n", "problems": tfs.Problems()}
    charges = tfs.charge(on_spark(spark, SESSIONS), **options_of(rule), **given)
    assert rows_of(charges, "charged_at", "session") == rows_here(expected, "charged_at", "session")


def test_outcomes_are_those_of_one_machine(spark: SparkSession) -> None:
    table = SESSIONS.with_columns(note=pl.concat_list("n", "n"))
    expected = tf.categorize(table, **options_of(tf.TOKEN_FLEX), problems=tf.Problems())
    outcomes = tfs.categorize(on_spark(spark, table), **options_of(tf.TOKEN_FLEX), problems=tfs.Problems())
    assert outcomes.columns == expected.columns
    assert rows_of(outcomes, "n") == rows_here(expected, "n")


@pytest.mark.parametrize(("by", "count"), [("product", "licenses"), ((), "users"), (("server", "host"), "hosts")])
def test_concurrency_is_that_of_one_machine(spark: SparkSession, by: Any, count: Any) -> None:
    table = SESSIONS.with_columns(licenses=pl.col("n") % 3 + 1)
    here, there = tf.Problems(), tfs.Problems()
    expected = tf.concurrency(table, by=by, count=count, problems=here)
    steps = tfs.concurrency(on_spark(spark, table), by=by, count=count, problems=there)
    assert rows_of(steps) == rows_here(expected)
    if count == "users":
        assert len(here) > 10
        assert told(there.frame) == rows_here(here.frame)


def test_double_charges_are_those_of_one_machine(spark: SparkSession) -> None:
    table = SESSIONS.with_columns(end_reason=pl.when(pl.col("n") % 4 > 0).then(pl.lit("inactive")).otherwise(None))
    options: dict[str, Any] = {"rule": tf.TOKEN_FLEX, "rates": RATES, "servers": SERVERS}
    people: dict[str, Any] = {"users": {"ana": "Asia/Singapore", "bob": "Europe/Madrid"}, **options}
    people["reconnect_within"] = timedelta(hours=10)
    here, there = tf.Problems(), tfs.Problems()
    charges = tf.charge(table, **options, problems=tf.Problems())
    expected = tf.double_charges(charges, **people, sessions=table, problems=here)
    assert expected.filter(pl.col("causes").list.contains("reconnect")).height > 0
    given = on_spark(spark, table)
    found = tfs.double_charges(
        tfs.charge(given, **options, row="n", problems=tfs.Problems()),
        **people,
        sessions=given,
        row="n",
        problems=there,
    )
    assert rows_of(found, "charge") == rows_here(expected, "charge")
    assert told(there.frame) == rows_here(here.frame)


def test_sessions_are_charged_before_they_are_judged(spark: SparkSession) -> None:
    options: dict[str, Any] = {"rule": tf.FLEX, "rates": RATES, "users": HOMES}
    expected = tf.double_charges(SESSIONS, **options, problems=tf.Problems())
    found = tfs.double_charges(on_spark(spark, SESSIONS), **options, row="n", problems=tfs.Problems())
    assert rows_of(found, "charge") == rows_here(expected, "charge")


def logs(spark: SparkSession, path: str | list[str], **options: str) -> DataFrame:
    return spark.read.format("flexlm").options(**options).load(path)


def test_logs_of_several_servers_are_read_side_by_side(spark: SparkSession, demo_firm: DemoFirm) -> None:
    folder = demo_firm.folder / "logs"
    log = tf.read_flexlm(folder, timezone=demo_firm.servers)
    zones = json.dumps(demo_firm.servers)
    problems = tf.Problems()
    problems.add(log.problems)
    until = datetime(2030, 1, 1, tzinfo=UTC)
    sessions = tf.pair(log.events, packages=log.packages, as_of=until, problems=problems)
    events = logs(spark, str(folder), timezone=zones)
    assert events.rdd.getNumPartitions() == len(demo_firm.servers)
    assert rows_of(events) == rows_here(log.events)
    assert told(logs(spark, str(folder), timezone=zones, table="problems")) == rows_here(problems.frame)
    found = logs(spark, [str(folder)], timezone=zones, table="sessions", as_of="2030-01-01")
    assert rows_of(found) == rows_here(sessions)
    coverage = logs(spark, str(folder), timezone=zones, table="coverage")
    assert rows_of(coverage) == rows_here(log.coverage)
    # Each server's sessions as the source has them, numbered by their place in the log.
    numbered = found.selectExpr("*", "xxhash64(file, line) as id")
    charges = tfs.charge(numbered, **options_of(tf.FLEX), row="id", problems=tfs.Problems())
    expected = tf.charge(sessions, **options_of(tf.FLEX), problems=tf.Problems()).drop("session")
    assert rows_of(charges.drop("session")) == rows_here(expected)


@pytest.mark.skipif(not (LOGS / "adskflex.log").is_file(), reason="the real logs are not here")
def test_a_real_log_is_charged_as_on_one_machine(spark: SparkSession) -> None:
    path, zone = str(LOGS / "adskflex.log"), "Europe/Madrid"
    log = tf.read_flexlm(path, timezone=zone)
    sessions = tf.pair(log.events, packages=log.packages, problems=tf.Problems())
    assert rows_of(logs(spark, path, timezone=zone, table="files")) == rows_here(log.files)
    found = logs(spark, path, timezone=zone, table="sessions")
    rates = tf.Rates(dict.fromkeys(sessions["product"].unique().cast(pl.String), 7))
    charges = tfs.charge(found, rule=tf.FLEX, rates=rates, problems=tfs.Problems())
    expected = tf.charge(sessions, rule=tf.FLEX, rates=rates, problems=tf.Problems())
    assert expected.height > 100
    assert rows_of(charges, "charged_at", "session") == rows_here(expected, "charged_at", "session")


def killer(marker: Path) -> Any:
    """A step that kills the executor it runs in, -9, after its first batch, if the marker is there; it is once."""

    def parent(pid: int) -> int:
        return int(Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[1])

    def step(batches: Any) -> Any:
        for batch in batches:
            yield batch
            try:
                marker.rename(marker.with_suffix(".done"))
            except FileNotFoundError:
                continue
            executor = parent(os.getppid())
            assert "CoarseGrainedExecutorBackend" in Path(f"/proc/{executor}/cmdline").read_text(encoding="utf-8")
            os.kill(executor, signal.SIGKILL)

    return step


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="finds the executor by /proc")
@pytest.mark.parametrize("what", ["charges", pytest.param("problems", marks=pytest.mark.heavy)])
def test_an_executor_killed_in_mid_job_changes_nothing(spark: SparkSession, tmp_path: Path, what: str) -> None:
    marker = tmp_path / "armed"
    here, there = tf.Problems(), tfs.Problems()
    expected = tf.charge(SESSIONS, **options_of(tf.FLEX), problems=here)
    charges = tfs.charge(on_spark(spark, SESSIONS), **options_of(tf.FLEX), problems=there)
    # The tasks that charge have begun, and the shuffle's files of the executor are gone with it.
    asked, wanted = (charges, expected) if what == "charges" else (there.frame, here.frame)
    struck = asked.mapInArrow(killer(marker), asked.schema)
    marker.touch()
    assert rows_of(struck) == rows_here(wanted)
    assert marker.with_suffix(".done").exists()
    assert told(there.frame) == rows_here(here.frame)


def test_one_user_with_half_of_the_events(spark: SparkSession) -> None:
    busy = sessions_of(3000, 5).with_columns(
        user=pl.when(pl.col("n") % 2 == 0).then(pl.lit("ana")).otherwise("user"),
        product=pl.when(pl.col("n") % 2 == 0).then(pl.lit("ACD")).otherwise("product"),
    )
    expected = tf.charge(busy, **options_of(tf.FLEX), problems=tf.Problems())
    spark.conf.set("spark.sql.execution.arrow.maxRecordsPerBatch", "100")
    try:
        charges = tfs.charge(on_spark(spark, busy), **options_of(tf.FLEX), row="n", problems=tfs.Problems())
        assert rows_of(charges, "charged_at", "session") == rows_here(expected, "charged_at", "session")
    finally:
        spark.conf.unset("spark.sql.execution.arrow.maxRecordsPerBatch")


@pytest.mark.parametrize("zone", ["Asia/Kathmandu", "GMT+05:00"])
def test_the_zone_of_the_session_means_nothing(spark: SparkSession, zone: str) -> None:
    expected = tf.charge(SESSIONS, **options_of(tf.TOKEN_FLEX), problems=tf.Problems())
    table = on_spark(spark, SESSIONS)
    spark.conf.set("spark.sql.session.timeZone", zone)
    try:
        charges = tfs.charge(table, **options_of(tf.TOKEN_FLEX), row="n", problems=tfs.Problems())
        plain = charges.selectExpr(
            "unix_micros(charged_at)", "unix_micros(window_end)", "string(usage_date)", "session"
        )
        found = [tuple(row) for row in plain.collect()]
    finally:
        spark.conf.set("spark.sql.session.timeZone", HERE)
    wanted = expected.select(
        pl.col("charged_at", "window_end").to_physical(), pl.col("usage_date").cast(str), "session"
    )
    assert sorted(found) == sorted(wanted.rows())


def test_empty_partitions_and_empty_tables(spark: SparkSession) -> None:
    few = SESSIONS.head(4).with_columns(end=pl.lit(None, tf.tables.TIME))
    expected = tf.charge(few, **options_of(tf.FLEX), problems=tf.Problems())
    charges = tfs.charge(on_spark(spark, few), **options_of(tf.FLEX), problems=tfs.Problems())
    assert rows_of(charges, "charged_at", "session") == rows_here(expected, "charged_at", "session")
    problems = tfs.Problems()
    nothing = on_spark(spark, SESSIONS).limit(0)
    options = options_of(tf.FLEX)
    empty = [
        tfs.charge(nothing, **options, row="n", problems=problems),
        tfs.categorize(nothing, **options, row="n", problems=problems),
        tfs.concurrency(nothing, row="n", problems=problems),
        problems.frame,
    ]
    assert [len(table.collect()) for table in empty] == [0] * 4


@given(whole_cases(reports=False), st.booleans())
@settings(max_examples=3)
def test_any_case_is_charged_as_on_one_machine(spark: SparkSession, case: Case, is_numbered: bool) -> None:  # noqa: FBT001
    assert_same(spark, case, is_numbered=is_numbered)


@pytest.mark.heavy
@given(whole_cases(max_size=40), st.booleans())
@settings(max_examples=200)
def test_many_cases_are_charged_as_on_one_machine(spark: SparkSession, case: Case, is_numbered: bool) -> None:  # noqa: FBT001
    assert_same(spark, case, is_numbered=is_numbered)


def assert_same(spark: SparkSession, case: Case, *, is_numbered: bool) -> None:
    options = case.for_verb()
    expected = tf.charge(frame(case.sessions), **options)
    table = frame(case.sessions).with_row_index("n").cast({"n": pl.Int64})
    there = tfs.Problems()
    activity = options["activity"]
    given_there = options | {
        "problems": there,
        "activity": None if activity is None else on_spark(spark, activity),
        "row": "n" if is_numbered else None,
    }
    if table.is_empty():
        return  # Spark has no schema for a table of pyarrow without rows; see the test of empty tables.
    charges = tfs.charge(on_spark(spark, table), **given_there)
    assert rows_of(charges, "charged_at", "session") == rows_here(expected, "charged_at", "session")
    assert told(there.frame) == rows_here(options["problems"].frame)


def test_bad_calls_are_refused_before_a_job_runs(spark: SparkSession) -> None:
    table = on_spark(spark, SESSIONS)
    options = options_of(tf.FLEX)
    given_there = {**options, "problems": tfs.Problems()}
    with pytest.raises(tf.ArgumentTypeError, match=r"Pass a tokenflex\.spark\.Problems"):
        tfs.charge(table, **options)
    with pytest.raises(tf.ArgumentTypeError, match=r"tokenflex\.spark\.Problems"):
        tfs.concurrency(table, problems=tf.Problems())
    with pytest.raises(tf.ArgumentTypeError, match="DataFrame of Spark"):
        tfs.charge(SESSIONS, **given_there)
    with pytest.raises(tf.MissingColumnError, match="product"):
        tfs.charge(table.drop("product"), **given_there)
    with pytest.raises(tf.ColumnTypeError, match="start"):
        tfs.charge(table.selectExpr("* except (start)", "cast(start as timestamp_ntz) start"), **given_there)
    with pytest.raises(tf.ColumnTypeError, match="user"):
        tfs.charge(table.selectExpr("* except (user)", "1 as user"), **given_there)
    with pytest.raises(tf.ZoneError, match="servers"):
        tfs.charge(table, rule=tf.TOKEN_FLEX, rates=RATES, problems=tfs.Problems())
    with pytest.raises(tf.ArgumentError, match="shuffle"):
        tfs.charge(table.repartition(2), **given_there)
    with pytest.raises(tf.ColumnTypeError, match="whole numbers"):
        tfs.charge(table, **given_there, row="user")
    with pytest.raises(tf.MissingColumnError, match="row= names"):
        tfs.charge(table, **given_there, row="none")
    with pytest.raises(tf.ArgumentError, match="rename them"):
        tfs.categorize(table.withColumnRenamed("host", "category"), **given_there)
    with pytest.raises(tf.ArgumentError, match="stream"):
        tfs.charge(spark.readStream.format("rate").load(), **given_there)
    with pytest.raises(tf.ArgumentError, match="by names"):
        tfs.concurrency(table, by="time", problems=tfs.Problems())
    with pytest.raises(tf.ArgumentError, match="no verb"):
        _ = tfs.Problems().frame


def test_what_is_for_one_machine_only_is_said(spark: SparkSession) -> None:
    table = on_spark(spark, SESSIONS)
    people: dict[str, Any] = {"users": HOMES, "problems": tfs.Problems(), "rates": RATES}
    with pytest.raises(tf.ArgumentError, match="metered by machine"):
        tfs.double_charges(table, **people, rule=RULES["by machine"])
    with pytest.raises(tf.ArgumentError, match="pass rule="):
        tfs.double_charges(table, **people)
    with pytest.raises(tf.ArgumentError, match="statements"):
        tfs.double_charges(table.selectExpr("*", "1 usage_category", "1 tokens"), **people, rule=tf.FLEX)
    aliases = pl.DataFrame({"spelling": ["aa"], "person": ["ana"], "valid_from": [datetime(2026, 1, 1, tzinfo=UTC)]})
    with pytest.raises(tf.ArgumentError, match="identity with dates"):
        tfs.double_charges(table, **people, rule=tf.FLEX, identity=tf.Identity(aliases))


def test_rows_that_moved_since_they_were_counted_are_no_others(spark: SparkSession) -> None:
    table = on_spark(spark, SESSIONS)
    looked = frames.look(table, row=None, as_of=None)
    assert sum(looked.counts) == SESSIONS.height
    numbers = table.select(frames.number_of(table, None, looked).alias("number"), "n").collect()
    assert all(row.number == row.n for row in numbers)
    moved = replace(looked, counts=[looked.counts[0] - 1, *looked.counts[1:]])
    with pytest.raises(Exception, match="name the column by row="):
        table.select(frames.number_of(table, None, moved)).collect()


def test_options_of_logs_that_make_no_sense_are_refused(demo_firm: DemoFirm) -> None:
    for options, message in (
        ({"tabel": "events"}, "did you mean table"),
        ({"table": "charges"}, "one of events"),
        ({"timezone": "{"}, "JSON object"),
        ({"first_date": "1 May"}, "first_date"),
        ({"as_of": "yesterday"}, "as_of"),
        ({"paths": "[]"}, "where the logs are"),
    ):
        with pytest.raises(tf.ArgumentError, match=message):
            tfs.FlexLM({"path": "logs"} | options if "paths" not in options else options)
    source = tfs.FlexLM({"path": str(demo_firm.folder / "logs"), "table": "sessions"})
    with pytest.raises(tf.ArgumentError, match="option as_of"):
        source.reader(None).partitions()
    with pytest.raises(tf.SourceNotFoundError, match="no file or folder"):
        tfs.FlexLM({"path": str(demo_firm.folder / "none")}).reader(None).partitions()


def test_files_are_together_that_can_be_of_one_server(tmp_path: Path) -> None:
    flexlm: Any = importlib.import_module("tokenflex.spark.flexlm")
    banner = "8:00:00 (lmgrd) FlexNet Licensing (v11.18.0.0 build 1 x64_n6) started on {} (IBM PC) (5/5/2022)\n"
    files = {
        "a/one.log": banner.format("mad"),
        "a/two.log": "",
        "b/debug.log": banner.format("mad").encode("utf-16").decode("latin-1"),
        "c/debug.log": "",
        "d/debug.log": "",
        "e/x.log": banner.format("chi"),
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text, encoding="latin-1")
    groups = flexlm.by_server([tmp_path / name for name in files])
    together = {tuple(sorted(str(file.relative_to(tmp_path)) for file in group)) for group, _ in groups}
    assert together == {
        ("a/one.log", "a/two.log", "b/debug.log"),
        ("c/debug.log", "d/debug.log"),
        ("e/x.log",),
    }


def batches_in_parts(lengths: list[int], sizes: list[int]) -> list[Any]:
    """Rows in parts of these lengths, cut into batches of these sizes."""
    parts = [part for part, length in enumerate(lengths) for _ in range(length)]
    whole = pa.record_batch({tasks.PART: pa.array(parts, pa.int32()), "row": pa.array(range(len(parts)), pa.int64())})
    cuts = [0]
    while cuts[-1] < len(parts):
        cuts.append(cuts[-1] + sizes[len(cuts) % len(sizes)])
    return [whole.slice(cut, after - cut) for cut, after in pairwise(cuts)]


@given(st.lists(st.integers(1, 9), max_size=9), st.lists(st.integers(1, 7), min_size=1, max_size=4), st.integers(1, 9))
@settings(max_examples=100)
def test_pieces_have_each_part_whole_and_little_more(lengths: list[int], sizes: list[int], batch: int) -> None:
    before, tasks.BATCH = tasks.BATCH, batch
    try:
        pieces = [pl.DataFrame(piece) for piece in tasks.pieces(iter(batches_in_parts(lengths, sizes)))]
    finally:
        tasks.BATCH = before
    assert [row for piece in pieces for row in piece["row"]] == list(range(sum(lengths)))
    parts = [set(piece[tasks.PART]) for piece in pieces]
    assert sum(len(each) for each in parts) == len(lengths)
    for piece in pieces:
        longest = max(piece.group_by(tasks.PART).len()["len"])
        assert piece.height - longest < batch + 2 * max(sizes)


def test_a_task_has_one_thread() -> None:
    """What travels imports nothing of ours before polars has been told."""
    cloudpickle: Any = importlib.import_module("pyspark.cloudpickle")
    task = cloudpickle.dumps(tasks.on_one_thread(tasks.uncharged, {"rule": tf.FLEX, "rates": RATES}))
    code = (
        "import sys\nfrom pyspark import cloudpickle\n"
        f"task = cloudpickle.loads({task!r})\nassert 'polars' not in sys.modules\n"
        "assert list(task(iter([]))) == []\nimport polars\nprint(polars.thread_pool_size())"
    )
    environment = {name: value for name, value in os.environ.items() if name != "POLARS_MAX_THREADS"}
    environment["PYTHONPATH"] = str(Path(tf.__file__).parents[1])
    ran = subprocess.run([sys.executable, "-c", code], env=environment, check=True, capture_output=True, text=True)
    assert ran.stdout.split() == ["1"]


def test_the_job_of_the_pipeline_runs_and_runs_again(spark: SparkSession, demo_firm: DemoFirm, tmp_path: Path) -> None:
    data = tmp_path / "data"
    shutil.copytree(demo_firm.folder, data)
    log = tf.read_flexlm(data / "logs", timezone=demo_firm.servers)
    sessions = tf.pair(log.events, packages=log.packages, problems=tf.Problems())
    sessions = sessions.with_columns(pl.col(pl.Categorical, pl.Enum).cast(pl.String))
    sessions.with_row_index("id").with_columns(pl.col(pl.UInt32).cast(pl.Int64)).write_parquet(data / "sessions")
    page = (ROOT / "docs" / "pipeline.md").read_text(encoding="utf-8")
    (job,) = re.findall(r"^```python\n(import sys\n.*?)^```$", page, re.MULTILINE | re.DOTALL)
    for _ in range(2):
        with pytest.raises(SystemExit) as ended:
            exec(job.replace('"/data/', f'"{data}/'), {})  # noqa: S102 - the page's own text
        assert ended.value.code == 1, "the demo has products without rates"
    charges = tf.charge(
        sessions,
        rule=tf.Rule.read(data / "rule.toml"),
        rates=tf.Rates.read(data / "rates.csv"),
        servers=demo_firm.servers,
        problems=tf.Problems(),
    )
    found = spark.read.parquet(str(data / "charges")).orderBy("charged_at", "session")
    assert found.count() == charges.height
    assert [row.tokens for row in found.select("tokens").collect()] == charges["tokens"].to_list()


def test_nothing_of_spark_is_imported_unless_it_is_asked_for() -> None:
    code = (
        "import sys, tokenflex\nassert 'pyspark' not in sys.modules and 'tokenflex.spark' not in sys.modules\n"
        "sys.modules['pyspark'] = None\n"
        "try:\n    import tokenflex.spark\nexcept ImportError as error:\n    print(error)"
    )
    environment = os.environ | {"PYTHONPATH": str(Path(tf.__file__).parents[1])}
    ran = subprocess.run([sys.executable, "-c", code], env=environment, check=True, capture_output=True, text=True)
    assert "pip install 'tokenflex[spark]'" in ran.stdout


def test_the_page_and_the_docstrings_show_what_happens(
    spark: SparkSession, demo_firm: DemoFirm, tmp_path: Path
) -> None:
    """Their examples run here, on the cluster of these tests: each of them would start a Spark of its own elsewhere."""
    shutil.copytree(demo_firm.folder, tmp_path / "data")
    page = (ROOT / "docs" / "spark.md").read_text(encoding="utf-8").replace('"/data/', f'"{tmp_path}/data/')
    examples = [doctest.DocTestParser().get_doctest(page, {"spark": spark}, "spark.md", "spark.md", 0)]
    for name in tfs.__all__:
        found = doctest.DocTestFinder(recurse=False).find(getattr(tfs, name), name, globs={"spark": spark})
        examples.extend(each for each in found if each.examples)
    assert len(examples) > len(tfs.__all__) - 2
    assert len(examples[0].examples) > 5
    output: list[str] = []
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS)
    for example in examples:
        runner.run(example, out=output.append)
    assert not runner.summarize(verbose=False).failed, "".join(output)
