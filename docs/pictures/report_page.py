"""Draws `report.png`, the picture of the report's page: `python docs/pictures/report_page.py`. It needs chromium."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Final

from playwright.sync_api import sync_playwright

import tokenflex as tf
from tokenflex.demo import DemoFirm, write_logs

PLACE: Final = Path(__file__).with_name("report.png")
SIZE: Final = {"width": 1240, "height": 1830}


def report_of(firm: DemoFirm) -> tf.Report:
    """The report of the demo, with what an administrator has."""
    problems = tf.Problems()
    log = tf.read_flexlm(firm.folder / "logs", timezone=firm.servers)
    problems.add(log.problems)
    return tf.report(
        tf.pair(log.events, packages=log.packages, problems=problems),
        rule=tf.Rule.read(firm.rule_path),
        rates=tf.Rates.read(firm.rates_path),
        servers=firm.servers,
        users=tf.UserZones.read(firm.users_path),
        title="Token use of an invented firm",
        groups=tf.Groups.read(firm.groups_path),
        coverage=log.coverage,
        files=log.files,
        events=log.events,
        packages=log.packages,
        contract=tf.Contract.read(firm.contract_path),
        statement=tf.read_statement(firm.statement_path, problems=problems),
        token_price=3,
        problems=problems,
    )


def main() -> None:
    """Writes the picture beside this file."""
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as engine:
        path = Path(folder) / "report.html"
        report_of(write_logs(folder, months=5)).write(path)
        browser = engine.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page = browser.new_page(viewport=SIZE, device_scale_factor=0.8, color_scheme="light")
        page.goto(path.as_uri())
        page.screenshot(path=PLACE)
        browser.close()


if __name__ == "__main__":
    main()
