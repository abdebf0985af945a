"""`tokenflex whatif` on the demo's logs."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import polars as pl
import pytest
from typer.testing import CliRunner, Result

import tokenflex as tf
from tokenflex import cli
from tokenflex.commands import options
from tokenflex.demo import DemoFirm, firm, write_logs

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> DemoFirm:
    made = write_logs(tmp_path_factory.mktemp("demo"), months=3)
    people = {person.name: person.zone.name for person in firm.people(random.Random(7)) if person is not firm.ACCENTED}
    tf.UserZones(people).write(made.folder / "users.csv")
    return made


def run(made: DemoFirm, *more: object) -> Result:
    zones = [f"--timezone={server}={zone}" for server, zone in made.servers.items()]
    given = ["whatif", made.folder / "logs", *zones, "--rates", made.rates_path, *more]
    return CliRunner().invoke(cli.app, [str(argument) for argument in given], prog_name="tokenflex")


def test_where_people_live_and_where_two_servers_should_stand(made: DemoFirm, tmp_path: Path) -> None:
    out = tmp_path / "zones.csv"
    result = run(made, "--users", made.folder / "users.csv", "--servers", 2, "--out", out)
    assert result.exit_code == 0, result.stderr
    for words in ("Asia/Seoul", "(no site known)", "The best places of 2 servers", "all"):
        assert words in result.stdout
    assert max(len(line) for line in result.stdout.splitlines()) <= 100
    found = pl.read_csv(out)
    log = tf.read_flexlm(made.folder / "logs", timezone=made.servers)
    sessions = tf.pair(log.events, packages=log.packages, problems=tf.Problems())
    charges = tf.charge(
        sessions,
        rule=tf.TOKEN_FLEX,
        rates=tf.Rates.read(made.rates_path),
        servers=made.servers,
        problems=tf.Problems(),
    )
    today = found.filter(pl.col("zone") == "today")["tokens"].sum()
    assert today == pytest.approx(float(charges["tokens"].sum()))


def test_by_server(made: DemoFirm) -> None:
    result = run(made)
    assert result.exit_code == 0, result.stderr
    for server in made.servers:
        assert server in result.stdout


def test_rolling_windows_have_no_zone(made: DemoFirm) -> None:
    result = run(made, "--rule", "flex")
    assert result.exit_code == options.BAD_INPUT
    assert "rolling windows have no zone" in result.stderr
