"""`tokenflex whatif` on the demo's logs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl
import pytest
from typer.testing import CliRunner, Result

import tokenflex as tf
from tokenflex import cli
from tokenflex.commands import options

if TYPE_CHECKING:
    from pathlib import Path

    from tokenflex.demo import DemoFirm


def run(demo_firm: DemoFirm, *more: object) -> Result:
    zones = [f"--timezone={server}={zone}" for server, zone in demo_firm.servers.items()]
    given = ["whatif", demo_firm.folder / "logs", *zones, "--rates", demo_firm.rates_path, *more]
    return CliRunner().invoke(cli.app, [str(argument) for argument in given], prog_name="tokenflex")


def test_where_people_live_and_where_two_servers_should_stand(demo_firm: DemoFirm, tmp_path: Path) -> None:
    out = tmp_path / "zones.csv"
    result = run(demo_firm, "--users", demo_firm.users_path, "--servers", 2, "--out", out)
    assert result.exit_code == 0, result.stderr
    for words in ("Asia/Seoul", "(no site known)", "The best places of 2 servers", "all"):
        assert words in result.stdout
    assert max(len(line) for line in result.stdout.splitlines() if str(out) not in line) <= 100
    found = pl.read_csv(out)
    log = tf.read_flexlm(demo_firm.folder / "logs", timezone=demo_firm.servers)
    sessions = tf.pair(log.events, packages=log.packages, problems=tf.Problems())
    charges = tf.charge(
        sessions,
        rule=tf.TOKEN_FLEX,
        rates=tf.Rates.read(demo_firm.rates_path),
        servers=demo_firm.servers,
        problems=tf.Problems(),
    )
    today = found.filter(pl.col("zone") == "today")["tokens"].sum()
    assert today == pytest.approx(float(charges["tokens"].sum()))


def test_by_server(demo_firm: DemoFirm) -> None:
    result = run(demo_firm)
    assert result.exit_code == 0, result.stderr
    for server in demo_firm.servers:
        assert server in result.stdout


def test_rolling_windows_have_no_zone(demo_firm: DemoFirm) -> None:
    result = run(demo_firm, "--rule", "flex")
    assert result.exit_code == options.BAD_INPUT
    assert "rolling windows have no zone" in result.stderr
