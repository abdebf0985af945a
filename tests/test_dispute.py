"""`dispute`: an evidence pack holds what stands behind each case, and is made again from itself to the byte."""

from __future__ import annotations

import csv
import gzip
import io
import json
import subprocess
import sys
import zipfile
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import planted_audit as planted
import planted_doubles as firm
import tokenflex as tf
from tokenflex import tables
from tokenflex.audit.pack import files_of_inputs, inputs_of_files

if TYPE_CHECKING:
    from tokenflex.demo import DemoFirm

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
RULE = tf.Rule(window="day", zone="utc")


class Audited:
    """The demo's audit, made once."""

    def __init__(self, made: DemoFirm) -> None:
        self.log = tf.read_flexlm(made.folder / "logs", timezone=made.servers)
        paired = tf.pair(self.log.events, packages=self.log.packages, problems=tf.Problems())
        self.sessions = tf.Identity().apply(paired)
        terms: dict[str, Any] = {
            "rule": tf.Rule.read(made.rule_path), "rates": tf.Rates.read(made.rates_path), "servers": made.servers,
        }  # fmt: skip
        self.charges = tf.charge(self.sessions, **terms, problems=tf.Problems())
        self.statement = tf.read_statement(made.statement_path)
        more: dict[str, Any] = {"sessions": self.sessions, "coverage": self.log.coverage, "problems": tf.Problems()}
        self.found = tf.reconcile(self.charges, self.statement, **terms, **more)
        self.problems = tf.Problems()
        self.pack = tf.dispute(self.found, events=self.log.events, problems=self.problems)


@pytest.fixture(scope="module")
def audited(demo_firm: DemoFirm) -> Audited:
    return Audited(demo_firm)


def lines_in(file: str) -> list[str]:
    data = Path(file).read_bytes()
    return (gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data).decode("cp1252").split("\n")


def test_the_cases_are_the_differences_that_could_be_compared(audited: Audited) -> None:
    rows = audited.found.rows
    disputed = rows.filter(~pl.col("status").is_in(["matched", "not_comparable"]))
    cases = audited.pack.cases
    assert cases["case"].to_list() == list(range(1, disputed.height + 1))
    shared = [name for name in rows.columns if name in cases.columns]
    assert cases.select(shared).equals(disputed.select(shared))
    stated = cases.drop_nulls("statement")
    assert stated["line"].to_list() == audited.statement["line"].gather(stated["statement"]).to_list()
    madrid = cases.filter(pl.col("server") == "mad-lic-01").drop_nulls("charged_at").row(0, named=True)
    assert madrid["local_time"] - madrid["charged_at"].replace(tzinfo=None) in {HOUR, 2 * HOUR}


def test_each_session_has_its_lines_of_the_log_word_for_word(audited: Audited) -> None:
    lines, sessions = audited.pack.lines, audited.pack.sessions
    assert lines["text"].null_count() == 0
    texts = {name: lines_in(name) for name in lines["file"].cast(pl.String).unique()}
    assert any(name.endswith(".gz") for name in texts)
    for file, line, text in lines.select("file", "line", "text").iter_rows():
        assert texts[file][line - 1].removesuffix("\r") == text
    by_session = lines.group_by("session").agg("text")
    held = dict(by_session.iter_rows())
    closed = sessions.unique("session").filter(pl.col("end_reason") == "checkin")
    assert closed.height > 50
    for row in closed.iter_rows(named=True):
        own = [text for text in held[row["session"]] if row["feature"] in text and row["host"].lower() in text.lower()]
        assert "OUT:" in own[0]
        assert "IN:" in own[-1]
        assert len(own) == len(held[row["session"]])


def test_without_events_each_session_has_the_line_that_opened_it(audited: Audited) -> None:
    pack = tf.dispute(audited.found, problems=tf.Problems())
    opened = pack.sessions.unique("session").select("session", "file", "line").sort("session")
    assert pack.lines.select("session", "file", "line").equals(opened)
    assert pack.lines["text"].str.contains(" OUT: ").all()


def test_the_sources_have_the_hashes_of_their_files(audited: Audited, demo_firm: DemoFirm) -> None:
    import hashlib  # noqa: PLC0415 - the definition, beside what it defines

    assert audited.problems.frame.is_empty()
    sources = audited.pack.sources
    assert set(sources["kind"].unique()) == {"log", "statement"}
    assert str(demo_firm.statement_path) in sources["file"].to_list()
    for file, size, sha in sources.select("file", "bytes", "sha256").iter_rows():
        data = Path(file).read_bytes()
        assert (size, sha) == (len(data), hashlib.sha256(data).hexdigest())


def test_the_checks_say_that_charges_follow_and_lines_agree(audited: Audited) -> None:
    checks = json.loads(audited.pack.files["manifest.json"])["checks"]
    count = audited.pack.sessions["session"].n_unique()
    assert list(checks.values()) == ["the same", f"{count:,} of {count:,}"]
    readme = audited.pack.files["README.md"].decode()
    for words in ("tokenflex rerun", "two_servers", tf.zone_database_version, RULE.rule_id.partition("-")[0]):
        assert words in readme


def test_charges_that_do_not_follow_are_told(audited: Audited) -> None:
    inputs = audited.found.inputs
    assert inputs is not None
    other = audited.charges.with_columns(pl.col("tokens") + 1)
    found = tf.reconcile(
        other, audited.statement, rule=inputs.rule, rates=inputs.rates, servers=inputs.servers,
        sessions=audited.sessions, problems=tf.Problems(),
    )  # fmt: skip
    checks = json.loads(tf.dispute(found, problems=tf.Problems()).files["manifest.json"])["checks"]
    assert next(iter(checks.values())).startswith("not the same")


@pytest.mark.parametrize("name", ["dispute", "dispute.zip"])
def test_a_pack_is_made_again_to_the_byte_in_another_process(audited: Audited, tmp_path: Path, name: str) -> None:
    path, again = tmp_path / name, tmp_path / f"again-{name}"
    audited.pack.write(path)
    assert tf.read_dispute(path) == audited.pack
    run = subprocess.run(
        [sys.executable, "-m", "tokenflex", "rerun", str(path), "--out", str(again)],
        capture_output=True, text=True, check=False, cwd=tmp_path,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    assert f"the same to the byte: {len(audited.pack.files)} files" in run.stdout
    assert audited.pack.fingerprint in run.stdout
    assert tf.read_dispute(again).files == audited.pack.files
    if name.endswith(".zip"):
        assert path.read_bytes() == again.read_bytes()


def changed(pack: tf.Dispute, name: str, old: bytes, new: bytes) -> dict[str, bytes]:
    assert old in pack.files[name]
    return {**pack.files, name: pack.files[name].replace(old, new)}


def written(files: dict[str, bytes], path: Path) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def test_an_answer_that_was_changed_is_named(audited: Audited, tmp_path: Path) -> None:
    files = changed(audited.pack, "cases.csv", b"two_servers", b"unexplained")
    path = written(files, tmp_path / "p.zip")
    given_ = tf.read_dispute(path)
    assert given_.changed_files(given_.rerun()) == ["cases.csv"]
    run = subprocess.run(
        [sys.executable, "-m", "tokenflex", "rerun", str(path), "--json"], capture_output=True, text=True, check=False
    )
    assert run.returncode == 1
    assert json.loads(run.stdout)["not_the_same"] == ["cases.csv"]


def test_inputs_that_were_changed_are_refused(audited: Audited, tmp_path: Path) -> None:
    files = changed(audited.pack, "inputs/rates.csv", b"7.5", b"9.5")
    with pytest.raises(tf.SourceError, match=r"inputs/rates.csv was changed"):
        tf.read_dispute(written(files, tmp_path / "p.zip"))
    del files["inputs/rates.csv"]
    with pytest.raises(tf.SourceError, match="is missing"):
        tf.read_dispute(written(files, tmp_path / "q.zip"))


def test_other_inputs_give_another_fingerprint_and_fail_the_checks(audited: Audited) -> None:
    """Who changes the manifest, too, cannot keep its fingerprint."""
    inputs = changed(audited.pack, "inputs/rates.csv", b"ARCHDESK,7.5", b"ARCHDESK,9.5")
    manifest = json.loads(inputs["manifest.json"])
    import hashlib  # noqa: PLC0415 - as above

    manifest["files"]["inputs/rates.csv"]["sha256"] = hashlib.sha256(inputs["inputs/rates.csv"]).hexdigest()
    inputs["manifest.json"] = json.dumps(manifest).encode()
    forged = tf.Dispute(inputs, {name: getattr(audited.pack, name) for name in PARTS})
    again = forged.rerun()
    assert forged.changed_files(again) == ["README.md", "manifest.json"]
    assert "not the same" in again.files["README.md"].decode()
    assert forged.fingerprint != audited.pack.fingerprint != again.fingerprint


PARTS = ("cases", "sessions", "rows", "lines", "sources")


@pytest.mark.parametrize(
    "files",
    [
        {},
        {"manifest.json": b"[1]"},
        {"manifest.json": b"[" * 100_000},
        {"manifest.json": b'{"format": 1, "files": {}}'},
        {"manifest.json": b'{"format": 2, "files": {}}'},
        {"manifest.json": b'{"format": 1, "files": {"a": 1}}'},
        {"manifest.json": b'{"format": 1, "files": {}}', "inputs/asked.json": b"{}"},
        {"manifest.json": b'{"format": 1, "files": {}}', "inputs/asked.json": b"{", "inputs/charges.parquet": b"PAR1"},
    ],
)
def test_what_is_no_pack_is_refused(files: dict[str, bytes], tmp_path: Path) -> None:
    with pytest.raises(tf.SourceError):
        tf.read_dispute(written(files, tmp_path / "p.zip"))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("causes", 5), ("causes", ["theft"]), ("causes", [[]]), ("servers", ["mad"]), ("servers", {"mad": 1}),
        ("users", "ana"), ("variants", {"a": None}), ("level", ["day"]), ("level", "year"), ("tolerance", "much"),
        ("identity", {"fold_case": 3}), ("identity", {"theft": True}), ("tolerance", {}),
    ],
)  # fmt: skip
def test_settings_that_nobody_could_have_asked_for_are_refused(name: str, value: Any, tmp_path: Path) -> None:
    pack = tf.dispute(small(identity=tf.Identity()), problems=tf.Problems())
    asked = json.loads(pack.files["inputs/asked.json"]) | {name: value}
    files = {**pack.files, "inputs/asked.json": json.dumps(asked).encode(), "manifest.json": b'{"format":1,"files":{}}'}
    with pytest.raises(tf.TokenflexError):
        tf.read_dispute(written(files, tmp_path / "p.zip"))


def test_places_that_are_no_pack_are_refused(audited: Audited, tmp_path: Path) -> None:
    with pytest.raises(tf.SourceNotFoundError, match="no evidence pack"):
        tf.read_dispute(tmp_path / "none")
    broken = tmp_path / "broken.zip"
    broken.write_bytes(b"PK\x03\x04 and no more")
    with pytest.raises(tf.SourceError, match="cannot be read"):
        tf.read_dispute(broken)
    with pytest.raises(tf.ArgumentError, match="there already"):
        audited.pack.write(broken)
    with pytest.raises(tf.SourceError, match="cannot be written"):
        audited.pack.write(tmp_path / "no" / "folder" / "p.zip")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["broken.zip"]


def test_only_the_causes_that_are_asked_for(audited: Audited) -> None:
    asked = tf.dispute(audited.found, causes=["two_servers", "reconnect"], problems=tf.Problems())
    assert asked.cases["cause"].cast(pl.String).value_counts(sort=True).rows() == [("two_servers", 3), ("reconnect", 3)]
    assert asked.rerun() == asked


def test_what_can_be_no_pack_is_refused(audited: Audited) -> None:
    with pytest.raises(tf.ArgumentError, match="there is no cause 'theft'"):
        tf.dispute(audited.found, causes=["theft"])
    with pytest.raises(tf.ArgumentTypeError, match="a list of causes"):
        tf.dispute(audited.found, causes="rate")
    with pytest.raises(tf.ArgumentTypeError, match=r"tf\.reconcile"):
        tf.dispute(audited.found.rows)  # type: ignore[arg-type]
    with pytest.raises(tf.ArgumentError, match="does not know"):
        tf.dispute(tf.Reconciliation(audited.found.rows, "session"))
    with pytest.raises(tf.ArgumentError, match="totals have no cases"):
        tf.dispute(tf.reconcile(audited.charges, audited.statement, level="month", problems=tf.Problems()))
    with pytest.raises(tf.MissingColumnError, match="'line' is missing from the events"):
        tf.dispute(audited.found, events=audited.log.events.drop("line"))


def small(**more: Any) -> tf.Reconciliation:
    """Two days of one person, the second one not stated, and one of another, with anything that `reconcile` takes."""
    names = more.pop("names", ("ana", "ACD"))
    starts = [NOON, NOON + 24 * HOUR, NOON + 24 * HOUR]
    sessions = pl.DataFrame(
        {
            "user": [names[0], names[0], "bob"], "product": names[1], "server": "mad", "host": "pc1", "start": starts,
            "end": [at + HOUR for at in starts], "file": "<bytes>", "line": [3, 7, 9],
        }
    )  # fmt: skip
    rates = tf.Rates([tf.Rate(names[1], Decimal("7.5")), tf.Rate(names[1], Decimal(8), NOON + 12 * HOUR)])
    charges = tf.charge(sessions, rule=RULE, rates=rates)
    stated = sessions[[0, 2]].select("user", "product", "server", "host", "start", "end")
    statement = stated.with_columns(
        tokens=pl.Series([Decimal("7.5"), Decimal(8)]), usage_date=pl.col("start").dt.date()
    )  # fmt: skip
    options: dict[str, Any] = {"rule": RULE, "rates": rates, "sessions": sessions, "problems": tf.Problems()}
    return tf.reconcile(charges, statement, **(options | more))


@pytest.mark.parametrize(
    "more",
    [
        {"users": {"ana": "Europe/Madrid"}, "servers": {"mad": "Europe/Madrid"}},
        {"users": tf.UserZones({"ana": "Asia/Seoul", "=bob": "UTC"})},
        {"identity": tf.Identity({"aruiz": "ana"}, email_domains=["firm.example"], fold_case=False)},
        {"identity": tf.Identity(), "variants": {"ACDLT": "ACD"}, "tolerance": "0.25"},
        {"level": "day"},
        {"sessions": None},
    ],
)
def test_all_arguments_are_in_the_pack(more: dict[str, Any]) -> None:
    found = small(**more)
    inputs = found.inputs
    assert inputs is not None
    files = files_of_inputs(inputs, ["rate"])
    again, causes = inputs_of_files(files)
    assert causes == ["rate"]
    for name in ("level", "tolerance", "rule", "rates", "servers", "users", "identity", "variants"):
        assert getattr(again, name) == getattr(inputs, name)
    assert files_of_inputs(again, causes) == files
    pack = tf.dispute(found, problems=tf.Problems())
    assert pack.cases.height == 1
    assert pack.rerun() == pack


def test_files_that_are_gone_are_told(tmp_path: Path) -> None:
    problems = tf.Problems()
    pack = tf.dispute(small(), problems=problems)
    assert problems.frame["code"].to_list() == ["source_not_read"]
    assert pack.lines.rows() == [(0, "<bytes>", 3, None), (1, "<bytes>", 7, None)]
    pack.write(tmp_path / "p.zip")
    assert tf.read_dispute(tmp_path / "p.zip").rerun() == pack


@pytest.mark.parametrize("name", ['a"b', "a|b\r\nc", "=HYPERLINK(1)", "a,b;c", "\u202enna", "名前", "a\tb", " "])
def test_hostile_names_come_out_as_they_are(name: str) -> None:
    pack = tf.dispute(small(names=(name, "A|B")), problems=tf.Problems())
    assert pack.rerun() == pack
    told = list(csv.DictReader(io.StringIO(pack.files["cases.csv"].decode(), newline="")))
    assert len(told) == pack.cases.height > 0
    # People open it in a spreadsheet, which would run a formula.
    shown = [f"'{user}" if user and user.startswith("=") else user for user in pack.cases["user"].cast(pl.String)]
    assert [row["user"] or None for row in told] == shown
    assert all("\n" not in line or line.count("|") != 1 for line in pack.files["README.md"].decode().split("\n\n"))


def naive_sessions(found: tf.Reconciliation, sessions: pl.DataFrame) -> set[tuple[int, int]]:
    """Case and session, by looking at each pair."""
    day = timedelta(days=1)
    cases = found.rows.filter(pl.col("status").is_in(["amount_differs", "missing_at_vendor", "extra_at_vendor"]))
    near = set()
    for number, case in enumerate(cases.iter_rows(named=True), 1):
        at = case["charged_at"] or datetime.combine(case["usage_date"], datetime.min.time(), UTC)
        until = case["window_end"] or (at + day if case["charged_at"] else at + 2 * day)
        for row, session in enumerate(sessions.iter_rows(named=True)):
            same = (session["user"], session["product"]) == (case["user"], case["product"])
            last = max(session["end"] or session["start"], session["start"])
            if same and session["start"] < until and last >= at - day:
                near.add((number, row))
    return near


quarters = st.integers(0, 6 * 96).map(lambda quarter: NOON + timedelta(minutes=15 * quarter))
uses = st.tuples(st.sampled_from("ab"), st.sampled_from(["X", "Y"]), quarters, st.integers(0, 130))


@settings(max_examples=12)
@given(st.lists(uses, min_size=1, max_size=12), st.lists(st.integers(0, 11), max_size=6))
def test_sessions_behind_a_case_are_those_near_its_window(made: list[Any], unstated: list[int]) -> None:
    sessions = pl.DataFrame(
        [(user, product, at, at + timedelta(minutes=15 * length)) for user, product, at, length in made],
        schema={"user": pl.String, "product": pl.String, "start": tables.TIME, "end": tables.TIME},
        orient="row",
    )
    rates = tf.Rates({"X": 3, "Y": 5})
    charges = tf.charge(sessions, rule=RULE, rates=rates)
    due = charges.group_by("session").agg(pl.col("tokens").sum())
    statement = (
        sessions.with_row_index("session").with_columns(pl.col("session").cast(pl.UInt64))
        .join(due, on="session", how="left").with_columns(pl.col("tokens").fill_null(0))
        .filter(~pl.col("session").is_in(unstated) | (pl.col("session") == 0)).drop("session")
    )  # fmt: skip
    found = tf.reconcile(
        charges, statement, rule=RULE, rates=rates, sessions=sessions, problems=tf.Problems(),
    )  # fmt: skip
    pack = tf.dispute(found, problems=tf.Problems())
    assert set(pack.sessions.select("case", "session").iter_rows()) == naive_sessions(found, sessions)
    charged = pack.sessions.filter("is_charged").select("case", "session")
    ours = pack.cases.drop_nulls("charge")
    own = zip(ours["case"], charges["session"].gather(ours["charge"]), strict=True)
    assert set(charged.iter_rows()) == set(own)
    assert pack.rerun() == pack


def test_every_planted_cause_goes_into_a_pack_that_runs_again() -> None:
    made = planted.plant(7, 2)
    sessions = made.logged()
    found = tf.reconcile(
        made.charges(sessions), made.statement(), rule=firm.RULE, rates=planted.OURS, servers=planted.SERVERS,
        sessions=sessions, coverage=made.coverage(), variants=planted.VARIANTS, tolerance=planted.TOLERANCE,
        problems=tf.Problems(),
    )  # fmt: skip
    pack = tf.dispute(found, problems=tf.Problems())
    counts = dict(pack.cases.group_by(pl.col("cause").cast(pl.String)).len().iter_rows())
    aside = {*tables.NOT_COMPARABLE_CAUSES, "rounding"}
    assert counts == {cause: count for cause, count in made.counts.items() if cause not in aside}
    assert pack.cases.drop_nulls("user").join(pack.sessions, on="case", how="anti").filter(
        ~pl.col("cause").is_in(["no_session"])
    ).is_empty()  # fmt: skip
    disputed = pack.rows.filter("is_disputed")
    assert disputed.select("case", "statement").equals(pack.cases.drop_nulls("statement").select("case", "statement"))
    assert pack.rerun() == pack
