"""`tokenflex.toml`: what it says is what is read, every wrong field is named, and each command takes its part."""

from __future__ import annotations

import json
import tomllib
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from typer.main import get_command
from typer.testing import CliRunner, Result

import tokenflex as tf
from tokenflex import cli
from tokenflex.commands.config import FILES, NAME, SAID, Config
from tokenflex.commands.options import BAD_INPUT, rule_of

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from tokenflex.demo import DemoFirm

TEXT = st.text(st.characters(codec="utf-8"), min_size=1, max_size=12)
ZONES = st.sampled_from(["Europe/Madrid", "America/Chicago", "Asia/Singapore", "UTC"])
RULES = st.builds(
    tf.Rule,
    window=st.just("day"),
    zone=st.sampled_from(["server", "user", "utc", "Europe/Madrid"]),
    min_duration=st.integers(0, 10**9).map(lambda us: timedelta(microseconds=us)),
    incremental=st.booleans(),
    machine_metered=st.frozensets(TEXT, max_size=2),
)
SERVERS = st.dictionaries(TEXT.filter(lambda name: "=" not in name), ZONES | st.just(""), min_size=1, max_size=3)
WHO_STANDS_WHERE: st.SearchStrategy[dict[str, Any]] = st.one_of(
    st.fixed_dictionaries({"servers": SERVERS}), st.fixed_dictionaries({"timezone": ZONES}), st.just({})
)
HOURS = st.fixed_dictionaries(
    {"hours": st.sampled_from(["08:00-18:00", "7:30-24:00"])},
    optional={
        "days": st.sampled_from(["1-5", "1,2,6"]),
        "holidays": st.lists(st.dates(date(2000, 1, 1), date(2100, 1, 1)), min_size=1, max_size=3),
    },
)
FIELDS: st.SearchStrategy[dict[str, Any]] = st.builds(
    lambda fields, where: fields | where,
    st.fixed_dictionaries(
        {},
        optional={
            **dict.fromkeys((*FILES, "server", "out"), TEXT),
            "logs": st.lists(TEXT, min_size=1, max_size=3),
            "rule": st.sampled_from(["token-flex", "flex", "own rule.toml"]) | RULES,
            "token_price": st.decimals(0, 10**6, places=4).map(str) | st.integers(0, 100),
            "country": st.just("ES") | st.dictionaries(TEXT, st.just("ES-MD"), min_size=1, max_size=2),
            "business_hours": HOURS,
        },
    ),
    WHO_STANDS_WHERE,
)


@given(fields=FIELDS, notes=st.dictionaries(st.sampled_from(sorted(SAID)), TEXT, max_size=3))
@example(fields={"servers": {"\x85": ""}}, notes={})
@settings(max_examples=60)
def test_what_is_written_is_read(fields: dict[str, Any], notes: dict[str, str]) -> None:
    config = Config(fields)
    text = config.to_toml(notes)
    assert Config.from_toml(text) == config
    # What says nothing stands as an example, so that nothing is looked up elsewhere.
    for name in SAID:
        assert name in text


@pytest.mark.heavy
@given(fields=FIELDS)
def test_what_is_written_is_read_at_length(fields: dict[str, Any]) -> None:
    assert Config.from_toml(Config(fields).to_toml()) == Config(fields)


def test_the_examples_of_the_file_are_right() -> None:
    text = Config({}).to_toml()
    examples = [line.removeprefix("# ") for line in text.splitlines() if " = " in line and "timezone" not in line]
    told = Config.from_toml("\n".join(line for line in examples if not line.startswith(("hours", "days"))))
    assert told.contract == "contract.toml"
    assert Config.from_toml("[business_hours]\n" + "\n".join(examples[-2:])).business_hours


WRONG: Mapping[str, tuple[str, str]] = {
    "unknown": ('ratse = "rates.csv"', "did you mean rates?"),
    "logs": ("logs = 7", "a list of files"),
    "logs[1]": ('logs = ["a.log", ""]', "text that is not empty"),
    "server": ("server = 5", "text"),
    "timezone": ('timezone = "Europe/Madird"', "Europe/Madird"),
    "servers": ('servers = "Europe/Madrid"', "[servers]"),
    'servers["mad-lic-01"]': ('[servers]\nmad-lic-01 = "Madrid"', "Madrid"),
    "rule": ('rule = "tokenflex"', '"token-flex", "flex"'),
    "rule.window": ('[rule]\nwindow = "week"', "window"),
    "token_price": ('token_price = "-3"', "0 or more"),
    "country": ("country = 34", "text"),
    "business_hours.hours": ('[business_hours]\nhours = "8-18"', "08:00-18:00"),
    "business_hours.days": ('[business_hours]\nhours = "08:00-18:00"\ndays = "mon"', "1 is Monday"),
    "business_hours.hour": ('[business_hours]\nhours = "8:00-9:00"\nhour = "x"', "did you mean hours?"),
    "business_hours.holidays[0]": ('[business_hours]\nhours = "08:00-18:00"\nholidays = ["Christmas"]', "a date"),
    "out": ("out = false", "text"),
    **{name: (f"{name} = 1", "text that is not empty") for name in FILES},
}


@pytest.mark.parametrize("field", WRONG)
def test_each_wrong_field_is_named(field: str) -> None:
    text, said = WRONG[field]
    with pytest.raises(tf.FieldsError) as raised:
        Config.from_toml(text)
    assert list(raised.value.fields) == ["ratse" if field == "unknown" else field]
    assert said in str(raised.value)


def test_all_wrong_fields_are_named_at_once(tmp_path: Path) -> None:
    path = tmp_path / NAME
    path.write_text('rates = 7\ntimezone = "Nowhere"\nlogss = "x"\n')
    with pytest.raises(tf.FieldsError) as raised:
        Config.read(path)
    assert set(raised.value.fields) == {"rates", "timezone", "logss"}
    assert str(path) in str(raised.value)


def test_one_zone_for_all_and_each_exclude_each_other() -> None:
    with pytest.raises(tf.FieldsError, match="one of the two"):
        Config({"timezone": "UTC", "servers": {"a": "UTC"}})


@pytest.mark.parametrize("content", [b"", b"\xef\xbb\xbfrates = 'r.csv'", "rates = 'r.csv'".encode("utf-16")])
def test_a_file_of_any_editor_is_read(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / NAME
    path.write_bytes(content)
    assert Config.read(path).rates in (None, "r.csv")


@pytest.mark.parametrize("content", ["rates = ", "rates = 'a'\nrates = 'b'", "[" * 5000, "\0"])
def test_what_is_no_toml_is_told_with_its_file(tmp_path: Path, content: str) -> None:
    path = tmp_path / NAME
    path.write_text(content)
    with pytest.raises(tf.SourceError, match="no TOML") as raised:
        Config.read(path)
    assert str(path) in str(raised.value)


def test_a_path_with_backslashes_says_how_it_is_written(tmp_path: Path) -> None:
    path = tmp_path / NAME
    path.write_text('logs = ["C:\\logs\\mad"]\n')
    with pytest.raises(tf.SourceError, match=r"write C:/logs, or 'C:\\logs' in single quotes"):
        Config.read(path)
    path.write_text("logs = ['C:\\logs\\mad']\nrates = '\\\\share\\rates.csv'\n")
    config = Config.read(path)
    assert config.options("charge")["logs"] == ["C:\\logs\\mad"]
    assert config.options("charge")["rates"] == "\\\\share\\rates.csv"


def test_paths_are_relative_to_the_file(tmp_path: Path) -> None:
    path = tmp_path / "some where" / NAME
    path.parent.mkdir()
    whole = tmp_path / "whole.log"
    path.write_text(f'logs = ["my logs/", "{whole.as_posix()}"]\nrates = "../rates.csv"\nrule = "r.toml"\n')
    said = Config.read(path).options("charge")
    assert said["logs"] == [str(tmp_path / "some where" / "my logs"), str(whole)]
    assert said["rates"] == str(tmp_path / "some where" / ".." / "rates.csv")
    assert said["rule"] == str(tmp_path / "some where" / "r.toml")
    assert Config.from_toml('rule = "flex"').options("charge")["rule"] == "flex"


def test_a_rule_stands_in_the_file(tmp_path: Path) -> None:
    path = tmp_path / NAME
    rule = tf.Rule(window="day", zone="utc", min_duration=timedelta(seconds=0.5))
    path.write_text(Config({"rule": rule}).to_toml())
    assert rule_of(Config.read(path).options("charge")["rule"]) == rule


def test_each_name_of_an_option_is_one_of_the_commands() -> None:
    """A field that no command takes would be lost in silence."""
    config = Config(
        dict.fromkeys((*FILES, "server", "out"), "x")
        | {"logs": ["x"], "timezone": "UTC", "rule": "flex", "token_price": 1, "country": "ES"}
        | {"business_hours": {"hours": "08:00-18:00", "days": "1-5", "holidays": ["2026-01-01"]}}
    )
    group: Any = get_command(cli.app)
    taken = set()
    for name, _, _, _, _, is_configured in cli._COMMANDS:
        names = {param.name for param in group.commands[name].params}
        if is_configured:
            assert {"config", "no_config"} <= names
            taken |= names & set(config.options(name))
    everywhere = {name for command, *_ in cli._COMMANDS for name in config.options(command)}
    assert everywhere - taken == set()


LOG = (
    "12:00:00 (lmgrd) FlexNet Licensing (v11.18.0.0) started on mad-lic-01 (IBM PC) (7/13/2026)\n"
    '12:00:05 (adskflex) OUT: "87545ACD_2022_0F" ana@pc1  \n'
    '12:30:00 (adskflex) OUT: "87561RVT_2022_0F" bob@pc2  \n'
    '12:31:00 (adskflex) IN: "87545ACD_2022_0F" ana@pc1  \n'
    "18:00:00 (lmgrd) TIMESTAMP 7/13/2026\n"
    ' 0:30:00 (adskflex) IN: "87561RVT_2022_0F" bob@pc2  \n'
    " 6:00:00 (lmgrd) TIMESTAMP 7/14/2026\n"
)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a log, rates and a configuration, in which commands run."""
    folder = tmp_path / "a folder"
    (folder / "the logs").mkdir(parents=True)
    (folder / "the logs" / "debug.log").write_text(LOG)
    (folder / "rates.csv").write_text("product,tokens\nACD,7\nRVT,10\n")
    (folder / NAME).write_text(
        'logs = ["the logs/"]\nrates = "rates.csv"\nrule = "token-flex"\n[servers]\nmad-lic-01 = "Europe/Madrid"\n'
    )
    monkeypatch.chdir(folder)
    return folder


def run(*arguments: object, **environment: str) -> Result:
    words = [str(argument) for argument in arguments]
    return CliRunner().invoke(cli.app, words, prog_name="tokenflex", env=environment or None)


def fails(result: Result, *parts: str) -> None:
    assert result.exit_code == BAD_INPUT, result
    for part in parts:
        assert part in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.usefixtures("home")
def test_the_file_in_the_folder_is_found_and_told() -> None:
    result = run("charge")
    assert result.exit_code == 0, result.stderr
    assert "27 tokens in 3 charges" in result.stdout
    assert result.stderr == "from tokenflex.toml: logs, --timezone, --rates, --rule\n"
    for silent in ("--json", "--quiet"):
        assert run("charge", silent).stderr == ""


@pytest.mark.usefixtures("home")
def test_the_command_line_goes_before_the_file() -> None:
    result = run("charge", "--rule", "flex", "the logs/debug.log")
    assert "17 tokens in 2 charges" in result.stdout
    assert result.stderr == "from tokenflex.toml: --timezone, --rates\n"


def test_a_file_elsewhere_is_given_by_option_or_environment(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    where = home / NAME
    assert "27 tokens" in run("charge", "--config", where).stdout
    assert "27 tokens" in run("charge", TOKENFLEX_CONFIG=str(where)).stdout
    fails(run("charge"), "no logs given, neither here nor in tokenflex.toml", "tokenflex init")
    fails(run("charge", "--no-config", TOKENFLEX_CONFIG=str(where)), "no logs given")
    fails(run("infer-rule"), "no statement given")
    fails(run("charge", "--config", "nowhere.toml"), "there is no configuration nowhere.toml")


@pytest.mark.usefixtures("home")
def test_no_config_takes_nothing() -> None:
    fails(run("charge", "--no-config"), "no logs given")
    fails(run("charge", "the logs", "--no-config", "--timezone", "UTC"), "--rates is missing")
    for both in (("--no-config", "--config", NAME), ("--config", NAME, "--no-config")):
        fails(run("charge", *both), "exclude each other")


def test_a_wrong_file_is_told_before_anything_is_done(home: Path) -> None:
    (home / NAME).write_text('ratse = "rates.csv"\n')
    fails(run("charge", "--out", "charges.csv"), "tokenflex.toml: ratse is no field", "did you mean rates?")
    assert not (home / "charges.csv").exists()


def test_zones_that_are_blank_are_asked_for(home: Path) -> None:
    text = (home / NAME).read_text()
    (home / NAME).write_text(text.replace('"Europe/Madrid"', '""'))
    fails(run("charge"), "the time zone of mad-lic-01 is not filled in", "[servers]")
    assert "27 tokens" in run("charge", "--timezone", "Europe/Madrid").stdout


def test_what_does_not_go_with_the_command_line_gives_way(home: Path, demo_firm: DemoFirm) -> None:
    """Options of logs beside a file of charges, logs beside scenarios, logs beside logs."""
    assert run("charge", "--out", "charges.csv", "--quiet").exit_code == 0
    contract = tf.Contract(number="team 7", packs=[tf.Pack(id="a", tokens=100, purchased="2026-07-01")])
    contract.write(home / "contract.toml")
    ours = f'contract = "contract.toml"\noffer = "{demo_firm.offer_path.as_posix()}"\nusers = "users.csv"\n'
    (home / NAME).write_text(ours + (home / NAME).read_text())
    (home / "users.csv").write_text("user,zone\nana,Europe/Madrid\nbob,Europe/Madrid\n")
    for source in ((), ("charges.csv",)):
        result = run("ledger", *source, "--json")
        assert result.exit_code == 0, result.stderr
        assert json.loads(result.stdout)["balances"][-1]["balance"] == "73.0000"
    fails(run("ledger", "charges.csv", "--rates", "rates.csv"), "--rates goes with logs")
    days = [f"0,{date(2026, 1, 1) + timedelta(days=day)},1" for day in range(3 * 365 + 1)]
    (home / "paths.csv").write_text("scenario,day,tokens\n" + "\n".join(days) + "\n")
    result = run("plan", "--paths", "paths.csv", "--json")
    assert result.exit_code == 0, result.stderr
    for source in ((), ("the logs",)):
        result = run("doubles", *source, "--json")
        assert result.exit_code == 0, result.stderr
    fails(run("doubles", "the logs", "--logs", "the logs"), "--logs goes with a statement")


def test_hours_of_the_file_are_those_of_capacity(home: Path) -> None:
    with (home / NAME).open("a") as file:
        file.write('[business_hours]\nhours = "12:00-13:00"\ndays = "1"\nholidays = [2026-07-20]\n')
    whole = json.loads(run("capacity", "--no-config", "the logs", "--timezone=Europe/Madrid", "--json").stdout)
    hours = json.loads(run("capacity", "--json").stdout)
    given = ("--hours", "12:00-13:00", "--days", "1", "--holiday", "2026-07-20")
    same = run("capacity", "--no-config", "the logs", "--timezone=mad-lic-01=Europe/Madrid", "--json", *given)
    assert hours["capacity"] == json.loads(same.stdout)["capacity"] != whole["capacity"]


def test_the_file_is_plain_toml(home: Path) -> None:
    assert tomllib.loads((home / NAME).read_text())["servers"] == {"mad-lic-01": "Europe/Madrid"}
