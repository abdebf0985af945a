"""Writes the report as one HTML file that needs nothing else: no network, no other file, and no script to be read."""

from __future__ import annotations

import base64
import hashlib
from datetime import UTC, datetime
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import jinja2
import polars as pl
from markupsafe import Markup

from tokenflex._core import __version__
from tokenflex.reporting.page import cube as cubes
from tokenflex.reporting.page import look
from tokenflex.reporting.page.drawings import picture_of
from tokenflex.reporting.page.grid import ROWS_SHOWN, grid
from tokenflex.reporting.page.plain import plain
from tokenflex.words import many

if TYPE_CHECKING:
    from tokenflex.reporting.chapter import Chapter, Section
    from tokenflex.reporting.report import Report

TONES: Final = {"good": "in order", "watch": "watch", "act": "act"}
"""The tone of an answer in a word: colour alone says nothing to many."""


def write_page(report: Report, path: str | Path) -> None:
    """Writes the page of a report.

    Args:
        report: as `report` makes it
        path: of the file
    """
    Path(path).write_text(page_of(report), encoding="utf-8", newline="\n")


def page_of(report: Report) -> str:
    """The page as text."""
    css, js = _css(), _asset("page.js")
    content = cubes.of(report.cube) if report.cube.height else None
    return _template().render(
        title=report.title,
        period=_period(report),
        version=__version__,
        css=Markup(css),  # noqa: S704 - our own file
        js=Markup(js),  # noqa: S704 - our own file
        policy=_policy(css, js),
        cards=_cards(report),
        todo=_todo(report),
        chapters=[_chapter(chapter, report) for chapter in report.chapters],
        filters=_filters(content) if content else [],
        cube=Markup(cubes.embedded(content)) if content else "",  # noqa: S704 - embedded() has escaped it
        ends=f"Made by tokenflex {__version__} on {datetime.now(UTC):%Y-%m-%d %H:%M} UTC. This file loads nothing.",
    )


@cache
def _asset(name: str) -> str:
    return files("tokenflex.reporting.page").joinpath(name).read_text(encoding="utf-8")


@cache
def _css() -> str:
    """The style sheet, with the colours of light and dark before it; paper is light."""
    light, dark = (_variables(colours) for colours in (look.LIGHT, look.DARK))
    return (
        f":root{{color-scheme:light;{light}}}"
        f"@media screen{{:root[data-theme=dark]{{color-scheme:dark;{dark}}}}}"
        f"@media screen and (prefers-color-scheme:dark){{:root:not([data-theme=light]){{color-scheme:dark;{dark}}}}}\n"
        + _asset("page.css")
    )


def _variables(colours: dict[str, str]) -> str:
    return "".join(f"--{name}:{colour};" for name, colour in colours.items())


def _policy(css: str, js: str) -> str:
    """Nothing is loaded, sent or framed; this style sheet and this script run, and no other."""
    return f"default-src 'none'; style-src {_hash(css)}; script-src {_hash(js)}; base-uri 'none'; form-action 'none'"


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _finalize(value: object) -> object:
    """What is printed into the template: text is shown as it is, with its unseen signs."""
    return plain(value) if isinstance(value, str) and not isinstance(value, Markup) else value


@cache
def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, finalize=_finalize, trim_blocks=True, lstrip_blocks=True
    )
    return environment.from_string(_asset("page.html"))
