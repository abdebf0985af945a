"""What no input and no surroundings may do: leak, hang, crash, or show a defect as an error."""

from __future__ import annotations

import contextlib
import gc
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl
import pyarrow as pa
import pytest

import tokenflex as tf
from reference import DAY, HOUR

if TYPE_CHECKING:
    from collections.abc import Callable

MONDAY = datetime(2026, 7, 13, 8, tzinfo=UTC)
SERVERS = {"lic-01": "Europe/Madrid", "lic-02": "Asia/Singapore"}
RATES = tf.Rates([tf.Rate("ACD", 7, None, "drafting"), tf.Rate("LT", 5, None, "drafting")])  # type: ignore[arg-type]
RULES = {
    "rolling": tf.Rule(window="rolling"),
    "day": tf.Rule(window="day"),
    "flex": tf.FLEX,
    "token flex": tf.TOKEN_FLEX,
    "server scope": tf.Rule(window="rolling", scope="server"),
    "machine": tf.Rule(window="day", zone="user", machine_metered=frozenset({"ACD"}), incremental=True),
    "short": tf.Rule(window="rolling", length=timedelta(days=30), renew=False, idle_after=timedelta(minutes=1)),
}
LOG = b"""8:00:00 (adskflex) TIMESTAMP 7/13/2026
8:00:05 (adskflex) OUT: "87545ACD_2022_0F" ana@pc1
8:30:00 (adskflex) IN: "87545ACD_2022_0F" ana@pc1
"""
linux_only = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc, or forks")


def table(rows: int, users: int = 500) -> pl.DataFrame:
    """Sessions in order of start."""
    row = pl.int_range(rows, dtype=pl.Int64, eager=True)
    start = pl.Series([MONDAY]).dt.epoch("us")[0] + row * 60_000_000
    return pl.DataFrame(
        {
            "user": (row * 7 % users).cast(pl.String),
            "product": pl.Series(["ACD", "LT"]).gather(row % 2),
            "server": pl.Series(sorted(SERVERS)).gather(row % 2),
            "host": (row % 50).cast(pl.String),
            "start": start.cast(pl.Datetime("us")).dt.replace_time_zone("UTC"),
            "end": (start + row % 40 * 3_600_000_000).cast(pl.Datetime("us")).dt.replace_time_zone("UTC"),
        }
    )


def arguments(rule: tf.Rule, sessions: pl.DataFrame | None = None) -> dict[str, Any]:
    users = {} if sessions is None else dict.fromkeys(sessions["user"].cast(pl.String).unique(), "Asia/Tokyo")
    return {"rule": rule, "rates": RATES, "servers": SERVERS, "users": users}


# Memory.


def resident_bytes() -> int:
    gc.collect()
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGESIZE")


def metered(sessions: pl.DataFrame) -> None:
    meter = tf.Meter(**arguments(tf.TOKEN_FLEX))
    meter.push(sessions)
    meter = tf.Meter.resume(meter.state())
    meter.push(sessions.tail(1))
    meter.finish()


def refused(sessions: pl.DataFrame) -> None:
    with pytest.raises(tf.TokenflexError):
        tf.charge(sessions.drop("end"), **arguments(tf.FLEX))


IDLE = pl.DataFrame({"user": ["7", "14"], "time": [MONDAY, MONDAY + HOUR]})
CALLS: dict[str, Callable[[pl.DataFrame], object]] = {
    "charge": lambda sessions: tf.charge(sessions, **arguments(tf.TOKEN_FLEX)),
    "charge with activity": lambda sessions: tf.charge(sessions, **arguments(tf.FLEX), activity=IDLE),
    "charge a stream": lambda sessions: tf.charge(sessions.lazy(), **arguments(tf.FLEX)),
    "categorize": lambda sessions: tf.categorize(sessions, **arguments(tf.FLEX)),
    "prepare": lambda sessions: tf.replay(tf.prepare(sessions), rules=[tf.FLEX], rates=RATES),
    "meter": metered,
    "an error": refused,
    "read_flexlm": lambda _: tf.pair(tf.read_flexlm(LOG * 20, timezone="UTC", server="lic-01").events),
}


@linux_only
@pytest.mark.parametrize("name", CALLS)
def test_thousands_of_calls_leave_no_memory_behind(name: str) -> None:
    """A leak of one column in each call would be 16 MB and more."""
    sessions = table(2_000)
    call = CALLS[name]
    count = 1_000 if name in ("prepare", "an error", "read_flexlm") else 300
    for _ in range(count // 4):
        call(sessions)
    before = resident_bytes()
    for _ in range(count):
        call(sessions)
    assert resident_bytes() - before < count * 8_000 + 6_000_000


# Processes.


def charge_in_child(rows: int) -> int:
    return tf.charge(table(rows, rows), **arguments(tf.TOKEN_FLEX)).height


FORKS = """
import multiprocessing, os, signal
import pyarrow as pa
import tokenflex as tf
from tokenflex import _core
from tokenflex.metering.terms import terms_of

ROLLING, RATES = tf.Rule(window="rolling"), tf.Rates({"ACD": 7})
# Made without polars, whose own threads would not live on in a child.
start = pa.array(range(250_000), pa.int64()).cast(pa.timestamp("s", "UTC"))
users = pa.array([f"user{row}" for row in range(250_000)])
plain = pa.table({"user": users, "product": pa.array(["ACD"] * 250_000), "start": start, "end": start})

def charge(_place=0):
    signal.alarm(20)
    return tf.charge(plain, rule=ROLLING, rates=RATES).height

def charge_compiled(_place=0):
    signal.alarm(20)
    terms = terms_of(ROLLING, RATES, servers=None, users=None, with_activity=False)
    table, _, _ = _core.charge(plain, {}, terms=terms, as_of=None, activity=None)
    return 0 if table is not None else 1

def forked(body):
    child = os.fork()
    if child == 0:
        os._exit(body())
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

# Polars' threads have not begun here, so children may use it.
assert [forked(lambda: 0 if charge() == 250_000 else 1) for _ in range(2)] == [0, 0]
with multiprocessing.get_context("fork").Pool(2) as pool:
    assert pool.map(charge, range(4)) == [250_000] * 4
# The library's own threads have, after this; a child takes new ones.
assert charge_compiled() == 0
assert charge() == 250_000
assert [forked(charge_compiled) for _ in range(3)] == [0, 0, 0]
signal.alarm(0)
print("forked")
"""


@linux_only
def test_a_forked_child_charges() -> None:
    """Enough rows that the library takes a second thread, in the parent before the fork and in the children after."""
    done = run_python(FORKS)
    assert done.stdout == "forked\n", done.stderr[-2_000:]


def run_python(program: str, *, timeout: float = 60) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PYTHONPATH": str(Path(tf.__file__).parents[1])}
    return subprocess.run(
        [sys.executable, "-c", program, str(Path(__file__).parent)],
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
        env=environment,
    )


def test_spawned_processes_charge_alike() -> None:
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        assert pool.map(charge_in_child, [20_000] * 3) == [charge_in_child(20_000)] * 3


INTERRUPTED = """
import sys
sys.path.insert(0, sys.argv[1])
import tokenflex as tf
from datetime import timedelta
from test_robustness import RATES, table
prepared = tf.prepare(table(200_000))
rules = [tf.Rule(window="rolling", length=timedelta(minutes=60 + place % 1_000)) for place in range(200_000)]
print("ready", flush=True)
try:
    tf.replay(prepared, rules=rules, rates=RATES)
except KeyboardInterrupt:
    print("interrupted", flush=True)
    sys.exit(7)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGINT for one process")
def test_ctrl_c_ends_a_long_replay() -> None:
    environment = os.environ | {"PYTHONPATH": str(Path(tf.__file__).parents[1])}
    program = [sys.executable, "-c", INTERRUPTED, str(Path(__file__).parent)]
    with subprocess.Popen(program, stdout=subprocess.PIPE, text=True, env=environment) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            time.sleep(2)
            assert process.poll() is None
            process.send_signal(signal.SIGINT)
            asked = time.monotonic()
            assert process.wait(timeout=20) == 7
            assert time.monotonic() - asked < 5
            assert process.stdout.read() == "interrupted\n"
        finally:
            process.kill()


# Threads.


@pytest.mark.parametrize("rule", RULES.values(), ids=list(RULES))
def test_eight_threads_charge_eight_tables_as_one_does(rule: tf.Rule) -> None:
    tables = [table(20_000 + 1_000 * place, 300 + place) for place in range(8)]
    expected = [tf.charge(one, **arguments(rule, one)) for one in tables]
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda one: tf.charge(one, **arguments(rule, one)), tables * 2))
    for charges, same in zip(found, expected * 2, strict=True):
        assert charges.equals(same)


def test_large_tables_in_threads_are_charged_as_by_one() -> None:
    """Above the size from which the library itself takes a second thread."""
    large = table(250_000, 250_000)
    expected = tf.charge(large, **arguments(tf.TOKEN_FLEX))
    assert expected.height > 250_000
    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(lambda _: tf.charge(large, **arguments(tf.TOKEN_FLEX)).equals(expected), range(4)))


def test_threads_share_prepared_sessions() -> None:
    sessions = table(20_000)
    copy = tf.prepare(sessions)
    expected = {name: tf.charge(sessions, **arguments(rule, sessions)).rows() for name, rule in RULES.items()}
    with ThreadPoolExecutor(4) as pool:
        found = pool.map(lambda name: tf.charge(copy, **arguments(RULES[name], sessions)).rows(), RULES)
    assert dict(zip(RULES, found, strict=True)) == expected


def test_two_threads_push_into_one_meter_in_turn() -> None:
    sessions = table(40_000)
    batches = list(sessions.iter_slices(1_000))
    meter = tf.Meter(**arguments(tf.TOKEN_FLEX))
    parts: list[pl.DataFrame] = []
    turn = threading.Condition()
    errors: list[BaseException] = []

    def work(parity: int) -> None:
        try:
            for place in range(parity, len(batches), 2):
                with turn:
                    assert turn.wait_for(lambda place=place: len(parts) == place or errors, timeout=30)  # type: ignore[misc]
                    parts.append(meter.push(batches[place]))
                    turn.notify_all()
        except BaseException as error:  # noqa: BLE001 - told by the test
            errors.append(error)

    threads = [threading.Thread(target=work, args=(parity,)) for parity in (0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not errors
    whole = pl.concat([*parts, meter.finish()]).sort("charged_at", "session")
    assert whole.rows() == tf.charge(sessions, **arguments(tf.TOKEN_FLEX)).rows()


def test_a_meter_pushed_from_many_threads_at_once_takes_each_batch_or_refuses_it() -> None:
    sessions = table(20_000)
    meter = tf.Meter(**arguments(tf.TOKEN_FLEX))
    batches = list(sessions.iter_slices(1_000))

    def push(batch: pl.DataFrame) -> int:
        try:
            meter.push(batch)
        except tf.ColumnValueError:
            return 0
        return batch.height

    with ThreadPoolExecutor(8) as pool:
        taken = sum(pool.map(push, batches))
    # The last batch reaches back before none.
    assert 1_000 <= taken <= sessions.height
    meter.finish()


# Hostile tables: nothing but an error of the library's own, and never one that says it has a defect.


def times(values: list[int], unit: Any) -> pl.Series:
    return pl.Series(values, dtype=pl.Int64).cast(pl.Datetime(unit, "UTC"))


GOOD = table(4)
SEVERAL: list[Any] = [
    [1, 2, 3, 4],
    [1.5, None, float("nan"), float("inf")],
    [True, False, None, True],
    [b"a", b"\xff\xfe", b"", None],
    [["a"], [], None, ["b", "c"]],
    [{"a": 1}, None, {"a": 2}, {"a": 3}],
    [date(2026, 7, 13)] * 4,
    [timedelta(1)] * 4,
    ["", " ", "\0", "x" * 10_000],
    [None] * 4,
    [MONDAY] * 4,
]
I64 = [-(2**63), -(2**63) + 1, -1, 0, 1, 2**62, 2**63 - 2, 2**63 - 1]
HOSTILE: dict[str, Any] = {
    "nothing": None,
    "a number": 7,
    "a name": "sessions.parquet",
    "a list": [{"user": "ana"}],
    "no columns": pl.DataFrame(),
    "no rows": GOOD.clear(),
    "no batches": pa.Table.from_batches([], GOOD.to_arrow().schema),
    "one name for all": pl.DataFrame({"user": ["ana"] * 10_000}).with_columns(
        **{name: pl.col("user") for name in ("product", "server", "host")},
        **{name: pl.lit(MONDAY) for name in ("start", "end", "time")},
    ),
    "end before start": GOOD.with_columns(end=pl.col("start") - pl.duration(microseconds=1)),
    "every end open": GOOD.with_columns(end=pl.lit(None, pl.Datetime("us", "UTC"))),
    "a column twice": GOOD.to_arrow().append_column("user", GOOD.to_arrow()["user"]),
    **{f"no {name}": GOOD.drop(name) for name in GOOD.columns},
    **{
        f"{name} of {type(values[0]).__name__} {place}": GOOD.with_columns(pl.Series(name, values, strict=False))
        for name in GOOD.columns
        for place, values in enumerate(SEVERAL)
    },
    **{
        f"{name} at the edges in {unit}": GOOD.clear()
        .vstack(pl.concat([GOOD, GOOD]))
        .with_columns(times(I64, unit).alias(name))
        for name in ("start", "end")
        for unit in ("ms", "us", "ns")
    },
    **{
        f"both at the edges in {unit}": pl.concat([GOOD, GOOD]).with_columns(
            times(I64, unit).alias("start"), times(I64[::-1], unit).alias("end"), times(I64, unit).alias("time")
        )
        for unit in ("ms", "us", "ns")
    },
    "the last instants of data": GOOD.with_columns(
        start=pl.lit(datetime(2199, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)),
        end=pl.lit(datetime(2199, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)),
    ),
    "the first instants of data": GOOD.with_columns(start=pl.lit(datetime(1970, 1, 1, tzinfo=UTC))),
}


def reconciled(sessions: Any, options: dict[str, Any]) -> object:
    """The table as charges, as it is and with instants and numbers where charges have them, by each level."""
    named = {"start": "charged_at", "end": "window_end"}
    for level in ("session", "day", "month"):
        if isinstance(sessions, pl.DataFrame):
            present = {old: new for old, new in named.items() if old in sessions.columns}
            charges = sessions.rename(present).with_columns(tokens=7)
            tf.reconcile(charges, STATED, level=level, **options, problems=tf.Problems())
    return tf.reconcile(sessions, STATED, **options, problems=tf.Problems())


def disputed(charges: Any, **more: Any) -> object:
    """An evidence pack of the table: as charges, by days."""
    named = {"start": "charged_at", "end": "window_end"}
    if isinstance(charges, pl.DataFrame):
        present = {old: new for old, new in named.items() if old in charges.columns}
        charges = charges.rename(present).with_columns(tokens=7)
    found = tf.reconcile(charges, STATED, level="day", problems=tf.Problems(), **more)
    return tf.dispute(found, problems=tf.Problems())


def as_reconciled(table: Any) -> Any:
    """The table with what a reconciliation has besides."""
    if not isinstance(table, pl.DataFrame) or not table.width:
        return table
    row = pl.int_range(pl.len(), dtype=pl.UInt64)
    others = {
        "status": pl.lit("matched"), "cause": pl.lit(None, pl.String), "usage_date": pl.lit(MONDAY.date()),
        "charged_at": pl.lit(MONDAY), "shift": pl.lit(timedelta(0)), "ours": pl.lit(7), "vendors": pl.lit(7),
        "charge": row, "statement": row,
    }  # fmt: skip
    named = table.rename({"start": "charged_at"} if "start" in table.columns else {})
    return named.with_columns(value.alias(name) for name, value in others.items() if name not in named.columns)


def followed(table: Any) -> object:
    """As a reconciliation after another one, and as it is."""
    tf.follow_up(as_reconciled(GOOD), as_reconciled(table), problems=tf.Problems())
    return tf.follow_up(table, table, problems=tf.Problems())


def verbs_of_contracts(rule: tf.Rule) -> dict[str, Callable[[Any], object]]:
    """Those that stand right of metering."""
    options = arguments(rule, GOOD)

    def settle(sessions: Any) -> object:
        """The table as it is, and one that has instants and numbers where charges have them."""
        named = {"start": "charged_at", "host": "tokens"}
        if isinstance(sessions, pl.DataFrame):
            present = {old: new for old, new in named.items() if old in sessions.columns}
            TEAM.settle(sessions.rename(present), problems=tf.Problems())
        return TEAM.settle(sessions, problems=tf.Problems())

    ledger = TEAM.settle(tf.charge(GOOD, **options), as_of=MONDAY + timedelta(days=30), problems=tf.Problems())
    closed = ledger.close(MONDAY.date())

    def charged_back(sessions: Any) -> object:
        for split in ("window_start", "minutes"):
            tf.chargeback(ledger, by=["user", "server"], sessions=sessions, split=split, problems=tf.Problems())
        return tf.chargeback(TEAM.settle(sessions, problems=tf.Problems()), by="user", problems=tf.Problems())

    def planned(sessions: Any) -> object:
        """The table as it is, and one that has scenarios, days and numbers where scenario paths have them."""
        if isinstance(sessions, pl.DataFrame):
            named = {"user": "scenario", "start": "day", "host": "tokens"}
            present = {old: new for old, new in named.items() if old in sessions.columns}
            renamed = sessions.rename(present)
            is_time = isinstance(sessions.schema.get("start"), pl.Datetime)
            dated = [pl.col("day").cast(pl.Date, strict=False)] if is_time else []
            number = [pl.lit(1).alias("tokens")] if "host" in present else []
            tf.plan_purchase(renamed.with_columns(*dated, *number), offer=OFFER)
        return tf.plan_purchase(sessions, offer=OFFER)

    return {
        "Contract.settle": settle,
        "Ledger.update": lambda charges: closed.update(charges, problems=tf.Problems()),
        "chargeback": charged_back,
        "plan_purchase": planned,
        "Contract.settle with a statement": lambda statement: TEAM.settle(
            tf.charge(GOOD, **options), statement=statement, problems=tf.Problems()
        ),
    }


def verbs_of_saving(rule: tf.Rule) -> dict[str, Callable[[Any], object]]:
    """Those that find idle licenses and take them back."""
    options = arguments(rule, GOOD)

    def spans_of(known: Any) -> object:
        """The table as activity, as it is and as instants."""
        if isinstance(known, pl.DataFrame) and "start" in known.columns and "time" not in known.columns:
            tf.idle(GOOD, activity=known.rename({"start": "time"}), problems=tf.Problems())
        return tf.idle(GOOD, activity=known, timeout=HOUR, problems=tf.Problems())

    def harvested(sessions: Any) -> object:
        """The table with features, and held against activity."""
        known = GOOD.select("user", time="start")
        now: dict[str, Any] = {"as_of": MONDAY + HOUR, "activity": known, "addresses": "27000@lic-01", "shell": "cmd"}
        if isinstance(sessions, pl.DataFrame) and "host" in sessions.columns:
            tf.harvest(sessions.with_columns(feature=pl.col("host")), **options, **now, problems=tf.Problems())
        return tf.harvest(sessions, **options, **now, problems=tf.Problems())

    def replayed(sessions: Any) -> object:
        known = GOOD.select("user", time="start")
        return tf.harvest_replay(sessions, **options, activity=known, after=AFTER, problems=tf.Problems())

    def cut_by(idle: Any) -> object:
        """The table as idle spans."""
        if isinstance(idle, pl.DataFrame) and "host" in idle.columns:
            idle = idle.rename({"host": "session"})
        return tf.harvest_replay(GOOD, **options, idle=idle, after=AFTER, problems=tf.Problems())

    return {
        "idle": lambda sessions: tf.idle(
            sessions, users=options["users"], timeout=HOUR, activity=IDLE, problems=tf.Problems()
        ),
        "idle by activity": spans_of,
        "harvest": harvested,
        "harvest by activity": lambda known: tf.harvest(
            GOOD, **options, as_of=MONDAY + HOUR, activity=known, problems=tf.Problems()
        ),
        "harvest with handles": lambda handles: tf.harvest(
            GOOD.with_columns(feature=pl.col("product")),
            **options,
            as_of=MONDAY + HOUR,
            handles=with_handles(handles),
            problems=tf.Problems(),
        ),
        "harvest_replay": replayed,
        "harvest_replay by spans": cut_by,
    }


def verbs_of_reporting(rule: tf.Rule) -> dict[str, Callable[[Any], object]]:
    """The report, with the chapters that read tables themselves; the others are verbs that stand here anyway."""
    options = arguments(rule, GOOD)
    chapters = ["consumption", "charges", "quality", "provenance"]
    named = {"start": "charged_at", "end": "window_end"}

    def charged(charges: Any) -> object:
        """The table as charges, as it is and with what charges have besides."""
        if isinstance(charges, pl.DataFrame) and charges.width:
            present = {old: new for old, new in named.items() if old in charges.columns}
            others = {
                "tokens": 7,
                "session": 0,
                "trigger": "launch",
                "category": "CHARGED",
                "usage_date": MONDAY.date(),
            }
            full = charges.rename(present).with_columns(pl.lit(value).alias(name) for name, value in others.items())
            tf.report(GOOD, **options, charges=full, chapters=chapters)
        return tf.report(GOOD, **options, charges=charges, chapters=chapters)

    def told(table: Any) -> object:
        """The table as what readers give."""
        for name in ("events", "denials", "files", "coverage", "statement"):
            with contextlib.suppress(tf.TokenflexError):
                tf.report(GOOD, **options, **{name: table}, chapters=chapters)
        return tf.report(GOOD, **options, denials=table, chapters=chapters)

    return {
        "report": lambda sessions: tf.report(sessions, **options, chapters=[*chapters, "capacity"]),
        "report of charges": charged,
        "report with tables of readers": told,
    }


def verbs_of_use() -> dict[str, Callable[[Any], object]]:
    """How many are in use, and who uses nothing."""
    denials = GOOD.select("user", "product", "server", time="start")
    hours = tf.BusinessHours()

    def judged(table: Any) -> object:
        """The table as refusals, also where it has instants as those have them."""
        if isinstance(table, pl.DataFrame) and "start" in table.columns:
            tf.judge_denials(table.drop("time", strict=False).rename({"start": "time"}), GOOD, problems=tf.Problems())
        return tf.judge_denials(table, GOOD, problems=tf.Problems())

    def counted(sessions: Any) -> object:
        tf.concurrency(sessions, by=("user", "product"), problems=tf.Problems())
        tf.concurrency(sessions, count="hosts", by=(), problems=tf.Problems())
        return tf.concurrency(sessions, count="users", problems=tf.Problems())

    return {
        "concurrency": counted,
        "capacity": lambda sessions: tf.capacity(sessions, limits={"ACD": 3, "": 1}, problems=tf.Problems()),
        "capacity in hours": lambda sessions: tf.capacity(
            sessions, by="user", hours=hours, servers=SERVERS, problems=tf.Problems()
        ),
        "heat_map": lambda sessions: tf.heat_map(sessions, zone="Asia/Kathmandu", problems=tf.Problems()),
        "heat_map by server": lambda sessions: tf.heat_map(sessions, servers=SERVERS, problems=tf.Problems()),
        "judge_denials": judged,
        "judge_denials with sessions": lambda sessions: tf.judge_denials(denials, sessions, problems=tf.Problems()),
        "summarize_denials": tf.summarize_denials,
        "inactive": lambda sessions: tf.inactive(sessions, users=["ana"], problems=tf.Problems()),
    }


DAYS = pl.date_range(date(2026, 1, 1), date(2026, 4, 30), eager=True).alias("usage_date")
COLLAPSED = pl.DataFrame({"usage_date": pl.concat([DAYS] * 10), "server": "lic-01"}).with_columns(
    tokens=pl.when(pl.col("usage_date") > date(2026, 4, 20)).then(0).otherwise(7)
)


def forecast_of(charges: Any) -> object:
    """The table as it is; and with its columns beside days enough, where charges have them."""
    if isinstance(charges, pl.DataFrame):
        named = {"start": "charged_at", "host": "tokens"}
        present = {old: new for old, new in named.items() if old in charges.columns}
        usual = GOOD.drop("host", "start").with_columns(tokens=7).join(DAYS.to_frame(), how="cross")
        for frame in (charges.rename(present), usual.drop(charges.columns, strict=False)):
            odd = charges.rename(present).head(1).drop("usage_date", strict=False)
            whole = frame.join(odd.drop(frame.columns, strict=False), how="cross")
            for by in ("product", "server"):
                try:
                    tf.forecast(whole, horizon=7, by=by, model="weekday", incomplete="keep", problems=tf.Problems())
                except tf.InternalError:
                    raise
                except tf.TokenflexError:
                    continue
    return tf.forecast(charges, horizon=7, problems=tf.Problems())


def verbs(rule: tf.Rule) -> dict[str, Callable[[Any], object]]:
    options = arguments(rule, GOOD)

    def meter(sessions: Any) -> object:
        meter = tf.Meter(**options)
        meter.push(sessions, problems=tf.Problems())
        meter.push(sessions, problems=tf.Problems())
        tf.Meter.resume(meter.state())
        return meter.finish(problems=tf.Problems())

    def activity(known: Any) -> object:
        idle = options | {"rule": tf.Rule(window="rolling", idle_after=HOUR)}
        return tf.charge(GOOD, **idle, activity=known, problems=tf.Problems())

    def stream(sessions: Any) -> object:
        lazy = sessions.lazy() if isinstance(sessions, pl.DataFrame) else sessions
        return tf.charge(lazy, **options, problems=tf.Problems())

    def avoidable(sessions: Any) -> object:
        known = GOOD.select("user", time="start")
        return tf.avoidable_charges(sessions, **options, activity=known, problems=tf.Problems())

    no_bars = {name: value for name, value in options.items() if name != "rule"}

    def replay(sessions: Any) -> object:
        return tf.replay(tf.prepare(sessions), rules=[rule, tf.FLEX], **no_bars)

    return {
        **verbs_of_contracts(rule),
        **verbs_of_saving(rule),
        "charge": lambda sessions: tf.charge(sessions, **options, problems=tf.Problems()),
        "charge as of the end": lambda sessions: tf.charge(
            sessions, **options, as_of=datetime(2199, 12, 31, tzinfo=UTC), problems=tf.Problems()
        ),
        "charge a stream": stream,
        "charge by activity": activity,
        "avoidable_charges": avoidable,
        "avoidable_charges by activity": lambda known: tf.avoidable_charges(
            GOOD, **options, activity=known, problems=tf.Problems()
        ),
        "summarize_avoidable": tf.summarize_avoidable,
        "categorize": lambda sessions: tf.categorize(sessions, **options, problems=tf.Problems()),
        "replay": replay,
        "compare_rules": lambda sessions: tf.compare_rules(
            sessions, **no_bars, rules=[rule, tf.FLEX], by="server", problems=tf.Problems()
        ),
        "infer_rule": lambda sessions: tf.infer_rule(
            sessions, STATED, **no_bars, rules=[rule, tf.FLEX], problems=tf.Problems()
        ),
        "infer_rule by the statement alone": lambda statement: tf.infer_rule(
            None, with_tokens(statement), **no_bars, rules=[rule, tf.FLEX], problems=tf.Problems()
        ),
        "estimate": lambda sessions: tf.estimate(sessions, **options, problems=tf.Problems()),
        "estimate with identity": lambda sessions: tf.estimate(
            sessions, **options, identity=tf.Identity(), problems=tf.Problems()
        ),
        "estimate with suggestions": lambda table: tf.estimate(
            GOOD,
            **options,
            suggestions=table.with_columns(spelling_a="user", spelling_b="host")
            if isinstance(table, pl.DataFrame) and {"user", "host"} <= set(table.columns)
            else table,
            problems=tf.Problems(),
        ),
        "estimate with coverage": lambda table: tf.estimate(
            GOOD,
            **options,
            coverage=table.rename({"user": "days_without_lines"})
            if isinstance(table, pl.DataFrame) and "user" in table.columns
            else table,
            problems=tf.Problems(),
        ),
        "compare_models": lambda sessions: tf.compare_models(
            sessions,
            **options,
            token_price=3,
            price_list=tf.PriceList(subscriptions=[tf.Subscription(name="lt", products=["LT"], price=100)]),
            problems=tf.Problems(),
        ),
        "zone_whatif": lambda sessions: tf.zone_whatif(
            sessions, rates=options["rates"], rule=tf.TOKEN_FLEX, users={"ana": "Europe/Madrid"}, problems=tf.Problems()
        ),
        "place_servers": lambda sessions: tf.place_servers(
            sessions, rates=options["rates"], rule=tf.TOKEN_FLEX, servers=1, problems=tf.Problems()
        ),
        "Meter": meter,
        "Meter.resume": tf.Meter.resume,
        "pair": lambda events: tf.pair(events, problems=tf.Problems()),
        "denials": tf.denials,
        "held": lambda events: tf.held(events, problems=tf.Problems()),
        **verbs_of_use(),
        **verbs_of_reporting(rule),
        "double_charges": lambda charges: tf.double_charges(
            charges, **(options | {"users": {"ana": "Europe/Madrid"}}), problems=tf.Problems()
        ),
        "double_charges with sessions": lambda sessions: tf.double_charges(
            tf.charge(GOOD, **options), users=options["users"], rule=rule, sessions=sessions, problems=tf.Problems()
        ),
        "reconcile": lambda charges: reconciled(charges, options),
        "reconcile with a statement": lambda statement: tf.reconcile(
            tf.charge(GOOD, **options), with_tokens(statement), **options, problems=tf.Problems()
        ),
        "reconcile with sessions": lambda sessions: tf.reconcile(
            tf.charge(GOOD, **options), STATED, level="day", sessions=sessions, problems=tf.Problems()
        ),
        "reconcile with coverage": lambda coverage: tf.reconcile(
            tf.charge(GOOD, **options), STATED, level="day", coverage=coverage, problems=tf.Problems()
        ),
        "dispute": disputed,
        "dispute with sessions": lambda sessions: disputed(tf.charge(GOOD, **options), sessions=sessions),
        "dispute with events": lambda events: tf.dispute(
            tf.reconcile(tf.charge(GOOD, **options), STATED, level="day", problems=tf.Problems()),
            events=events,
            problems=tf.Problems(),
        ),
        "follow_up": followed,
        "follow_up with a statement": lambda statement: tf.follow_up(
            as_reconciled(GOOD),
            as_reconciled(GOOD).with_columns(
                ours=0, charge=None, cause=pl.lit("adjustment"), status=pl.lit("not_comparable")
            ),
            statement=with_tokens(statement),
            problems=tf.Problems(),
        ),
        "explain_double_charges": tf.explain_double_charges,
        "forecast": forecast_of,
        "forecast with coverage": lambda coverage: tf.forecast(
            COLLAPSED, horizon=7, model="weekday", coverage=coverage, problems=tf.Problems()
        ),
        "Rates": tf.Rates,
        "sessions_from": lambda statement: tf.sessions_from(statement, problems=tf.Problems()),
        "read_table": lambda table: tf.read_table(table, timezone="Europe/Madrid", problems=tf.Problems()),
        "guess_columns": tf.guess_columns,
        "Catalog": tf.Catalog,
        "Identity": tf.Identity,
        "Identity.apply": lambda table: tf.Identity().apply(table, problems=tf.Problems()),
        "Identity.suggest": lambda sessions: tf.Identity().suggest(sessions),
        "Groups": tf.Groups,
        "Groups.join": lambda table: GROUPS.join(table, problems=tf.Problems()),
        "UserZones": tf.UserZones,
        "UserZones.from_hosts": lambda sessions: tf.UserZones.from_hosts(
            sessions, {"1*": "Europe/Madrid"}, problems=tf.Problems()
        ),
        "UserZones.from_inferred": lambda table: tf.UserZones.from_inferred(table, problems=tf.Problems()),
        "infer_zones": lambda sessions: tf.infer_zones(
            sessions, zones=["Europe/Madrid", "Asia/Riyadh"], problems=tf.Problems()
        ),
        "pseudonymize": lambda table: tf.pseudonymize(table, key=b"a key for tests only", problems=tf.Problems()),
    }


TEAM = tf.Contract(number="team 7", packs=[tf.Pack(id="a", tokens=10, purchased="2026-01-01")], products=["ACD", "LT"])
OFFER = tf.Offer(overage_price=4, packs=[tf.PackOffer(tokens=10, unit_price=3)])
GROUPS = tf.Groups(pl.DataFrame({"person": ["ana"], "group": ["bridges"], "valid_to": ["2026-01-01"]}))


AFTER = [timedelta(minutes=1), timedelta(hours=1)]


def with_handles(table: Any) -> Any:
    """A hostile table as one of handles."""
    named = {"product": "feature", "end": "time"}
    if not isinstance(table, pl.DataFrame):
        return table
    present = {old: new for old, new in named.items() if old in table.columns and new not in table.columns}
    return table.rename(present).with_columns(handle=7, kind=pl.lit("OUT"))


UNDER_EVERY_RULE = (
    "charge",
    "charge as of the end",
    "charge a stream",
    "avoidable_charges",
    "avoidable_charges by activity",
    "categorize",
    "replay",
    "compare_rules",
    "infer_rule",
    "infer_rule by the statement alone",
    "estimate",
    "Meter",
    "double_charges",
    "double_charges with sessions",
)
"""Verbs that do other things under another rule. For the others one rule will do."""
CASES = [
    pytest.param(verb, rule, id=f"{verb}-{name}")
    for verb in verbs(tf.FLEX)
    for name, rule in RULES.items()
    if verb in UNDER_EVERY_RULE or name == "flex"
]


@pytest.mark.parametrize(("verb", "rule"), CASES)
def test_no_table_shows_a_defect(verb: str, rule: tf.Rule) -> None:
    assert defects(verbs(rule)[verb], HOSTILE) == []


def test_the_verbs_under_every_rule_are_verbs() -> None:
    assert set(UNDER_EVERY_RULE) <= set(verbs(tf.FLEX))


def defects(call: Callable[[Any], object], hostile: dict[str, Any]) -> list[str]:
    """The tables on which a call ends with anything but an answer or an error of the library's own."""
    found = []
    for name, one in hostile.items():
        try:
            call(one)
        except tf.InternalError as error:
            found.append(f"{name}: {error}")
        except tf.TokenflexError:
            pass
        except Exception as error:  # noqa: BLE001 - what it may be is said below
            # Pyarrow itself says which column stands twice.
            if not (name == "a column twice" and "user" in str(error)):
                found.append(f"{name}: {error!r}")
        except BaseException as error:  # noqa: BLE001 - a panic is no Exception
            found.append(f"{name}: {error!r}")
    return found


# Hostile statements. `HOSTILE` has no tokens and no dates.


def with_tokens(table: Any) -> Any:
    """A hostile table as a statement, which has tokens."""
    return table.with_columns(tokens=7) if isinstance(table, pl.DataFrame) and table.width else table


STATED = with_tokens(GOOD).with_columns(
    usage_date=pl.col("start").dt.date(), usage_category=pl.lit("DESKTOP_PRODUCT"), tokens=pl.lit(7, tf.tables.TOKENS)
)
AMOUNTS: list[Any] = [
    pl.Series([2**63 - 1, -(2**63), 2**62, 0], dtype=pl.Int64),
    pl.Series([2**64 - 1] * 4, dtype=pl.UInt64),
    pl.Series([2**127 - 1, -(2**127) + 1, 1, 0], dtype=pl.Int128),
    pl.Series(["9" * 14 + ".9999", "-" + "9" * 14 + ".9999", "0.0001", None]).str.to_decimal(scale=4),
    pl.Series(["9" * 34 + ".9999"] * 4).str.to_decimal(scale=4),
    pl.Series(["0." + "0" * 37 + "1"] * 4).str.to_decimal(scale=38),
    pl.Series([-7, -7, -7, -7]),
    pl.Series([0, 0, 0, 0]),
]
DATES: list[Any] = [
    pl.Series([-(2**31), -1, 0, 2**31 - 1], dtype=pl.Int32).cast(pl.Date),
    pl.Series([date(1, 1, 1), date(9999, 12, 31), None, date(2026, 7, 13)]),
    pl.Series([date(2026, 7, 12), date(2026, 7, 13), date(2026, 7, 14), date(2026, 7, 15)]),
]
STATEMENTS: dict[str, Any] = {
    "nothing": None,
    "as it should be": STATED,
    "no rows": STATED.clear(),
    "no batches": pa.Table.from_batches([], STATED.to_arrow().schema),
    "each row twice": pl.concat([STATED, STATED]),
    "of other people": STATED.with_columns(user=pl.lit("nobody")),
    "of other products": STATED.with_columns(product=pl.lit("nothing")),
    "of features": STATED.rename({"product": "feature"}),
    "names of categories": STATED.with_columns(pl.col("user", "product", "server").cast(pl.Categorical())),
    **{f"no {name}": STATED.drop(name) for name in STATED.columns},
    **{
        f"{name} of {type(values[0]).__name__} {place}": STATED.with_columns(pl.Series(name, values, strict=False))
        for name in STATED.columns
        for place, values in enumerate(SEVERAL)
    },
    **{
        f"start at the edges in {unit}": pl.concat([STATED, STATED]).with_columns(times(I64, unit).alias("start"))
        for unit in ("ms", "us", "ns")
    },
    **{f"tokens {place}": STATED.with_columns(amounts.alias("tokens")) for place, amounts in enumerate(AMOUNTS)},
    **{f"dates {place}": STATED.with_columns(dates.alias("usage_date")) for place, dates in enumerate(DATES)},
}
RECONCILED = as_reconciled(GOOD)
SHIFTS = [pl.Series(I64[:4], dtype=pl.Int64).cast(pl.Duration(unit)) for unit in ("ms", "us", "ns")]
RECONCILIATIONS: dict[str, Any] = {
    f"{name} {place}": RECONCILED.with_columns(pl.Series(name, values, strict=False))
    for name in RECONCILED.columns
    for place, values in enumerate([*SEVERAL, *AMOUNTS, *DATES, *SHIFTS, ["adjustment"] * 4, [["manual_entry"]] * 4])
}


def test_no_reconciliation_shows_a_defect() -> None:
    names = list(RECONCILIATIONS)
    # Every other one before a good one, and the rest after it.
    then, now = ({name: RECONCILIATIONS[name] for name in names[place::2]} for place in (0, 1))
    assert defects(lambda table: tf.follow_up(table, RECONCILED, problems=tf.Problems()), then) == []
    assert defects(lambda table: tf.follow_up(RECONCILED, table, problems=tf.Problems()), now) == []


COARSER: dict[str, tuple[str, ...]] = {"session": (), "user_day": ("start",), "day": ("start", "user")}
"""The columns that a statement of this level lacks."""


@pytest.mark.parametrize("rule", RULES.values(), ids=list(RULES))
@pytest.mark.parametrize("level", COARSER)
def test_no_statement_shows_a_defect(level: str, rule: tf.Rule) -> None:
    options = {name: value for name, value in arguments(rule, GOOD).items() if name != "rule"}

    def infer(statement: Any) -> tf.InferredRule:
        if isinstance(statement, pl.DataFrame):
            statement = statement.drop(COARSER[level], strict=False)
        return tf.infer_rule(GOOD, statement, **options, rules=[rule, tf.FLEX], problems=tf.Problems())

    assert infer(STATED).level == level
    assert defects(infer, STATEMENTS) == []


@pytest.mark.parametrize(
    "terms",
    [
        {"length": 2**63 - 1},
        {"length": -1},
        {"length": 0},
        {"min_duration": 2**63 - 1},
        {"min_duration": -(2**63)},
        {"day_start": 2**63 - 1, "length": None, "zone": "UTC"},
        {"day_start": -(2**63), "length": None, "zone": "UTC"},
        {"zone": "Mars/Olympus", "length": None},
        {"idle_after": 2**63 - 1},
        {"rates": [("ACD", -(2**63), 2**100)]},
        {"families": [("ACD", "a"), ("ACD", "b")]},
        {"length": "long"},
        {"zone": None},
    ],
    ids=repr,
)
def test_terms_that_no_rule_has_are_harmless(terms: dict[str, Any]) -> None:
    """The public classes refuse all of these; the compiled part checks what would break it, and takes the rest."""
    from tokenflex import _core  # noqa: PLC0415
    from tokenflex.metering.terms import terms_of  # noqa: PLC0415

    whole: Any = terms_of(tf.FLEX, RATES, servers=None, users=None, with_activity=False) | terms
    one = table(1).to_arrow()
    if terms in ({"length": -1}, {"length": 0}):
        # No instant comes after such a window: `Rule` is where that is refused.
        for length in (timedelta(0), timedelta(microseconds=-1)):
            with pytest.raises(tf.ArgumentError, match="length"):
                tf.Rule(window="rolling", length=length)
        return
    try:
        _core.charge(one, {}, terms=whole, as_of=None, activity=None)
    except tf.InternalError:
        raise
    except (tf.TokenflexError, TypeError, OverflowError):
        pass


def test_a_year_of_windows_of_a_minute_is_no_trouble() -> None:
    sessions = GOOD.with_columns(end=pl.lit(MONDAY + 366 * DAY)).head(1)
    rule = tf.Rule(window="rolling", length=timedelta(minutes=1))
    assert tf.charge(sessions, rule=rule, rates=RATES).height == 366 * 24 * 60
