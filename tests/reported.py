"""Reports for the tests: of three months of the demo with everything given, and of a log whose names are hostile."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import cache
from typing import TYPE_CHECKING, Any

import polars as pl

import tokenflex as tf
from tokenflex.commands.activity import activity_of

if TYPE_CHECKING:
    from pathlib import Path


MONDAY = datetime(2026, 7, 13, 8, tzinfo=UTC)
EVIL = (
    '=HYPERLINK("http://x.example","pay")',
    "+1+1",
    "-2+3",
    "@SUM(A1:A9)",
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "</script><script>alert(1)</script>",
    "javascript:alert(1)",
    "{{ 7 * 7 }}",
    "a\x00b\x07c\ttab\nline",
    "\t=1+1",
    "http://x.example/" + "y" * 3000,
    "mailto:x@x.example",
    "\uff41\uff4e\uff41\u202e\U0001f600",
    "z" * 40_000,
    "_x0041_",
    "'quoted",
)
"""Names that a log can hold, each an attack on a page, a workbook or a CSV, or too long for one."""


def evil_sessions() -> pl.DataFrame:
    """Each name once in each place that a log has names in."""
    rows = range(len(EVIL))
    starts = [MONDAY + timedelta(hours=25 * row) for row in rows]
    return pl.DataFrame(
        {
            "user": EVIL,
            "product": [EVIL[-1 - row] for row in rows],
            "server": [EVIL[(row + 3) % len(EVIL)] for row in rows],
            "host": [EVIL[(row + 5) % len(EVIL)] for row in rows],
            "version": [EVIL[(row + 7) % len(EVIL)] for row in rows],
            "start": starts,
            "end": [start + timedelta(hours=20) for start in starts],
        }
    )


def evil_report(**more: Any) -> tf.Report:
    """A report of these."""
    rates = tf.Rates(dict.fromkeys(EVIL[3:], 7))
    groups = tf.Groups(
        pl.DataFrame(
            {"person": EVIL * 2, "group": EVIL[::-1] * 2, "dimension": [None] * len(EVIL) + ["site"] * len(EVIL)}
        )
    )
    terms: dict[str, Any] = {
        "rule": tf.Rule(window="day", zone="utc"),
        "rates": rates,
        "users": dict.fromkeys(EVIL, "Asia/Tokyo"),
        "groups": groups,
        "title": EVIL[4],
    }
    return tf.report(evil_sessions(), **(terms | more))


@cache
def inputs_of(folder: Path) -> dict[str, Any]:
    """Everything that the demo's folder holds, as arguments of `report`."""
    problems = tf.Problems()
    servers = {"mad-lic-01": "Europe/Madrid", "chi-lic-01": "America/Chicago", "sin-lic-01": "Asia/Singapore"}
    log = tf.read_flexlm([str(folder / "logs")], timezone=servers)
    problems.add(log.problems)
    sessions = tf.pair(log.events, packages=log.packages, problems=problems)
    return {
        "sessions": sessions,
        "rule": tf.Rule.read(folder / "rule.toml"),
        "rates": tf.Rates.read(folder / "rates.csv"),
        "servers": servers,
        "users": tf.UserZones.read(folder / "users.csv"),
        "identity": tf.Identity(),
        "groups": tf.Groups.read(folder / "groups.csv"),
        "activity": activity_of(folder / "activity.csv", servers, problems),
        "limits": {"ACD": 25},
        "coverage": log.coverage,
        "events": log.events,
        "packages": log.packages,
        "files": log.files,
        "contract": tf.Contract.read(folder / "contract.toml"),
        "statement": tf.read_statement(folder / "statement.csv", timezone=servers, problems=problems),
        "token_price": 3,
        "price_list": tf.PriceList.read(folder / "price-list.toml"),
        "offer": tf.Offer.read(folder / "offer.toml"),
        "rules": (tf.TOKEN_FLEX, tf.FLEX),
        "new_rates": tf.Rates({"ACD": 8, "RVT": 10}),
        "problems": problems,
    }


@cache
def demo_report(folder: Path) -> tf.Report:
    """The report of everything."""
    return tf.report(**inputs_of(folder))
