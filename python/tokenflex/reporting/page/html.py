"""The text of the page: one HTML file that needs nothing else, neither network nor another file nor scripts."""

from __future__ import annotations

import base64
import hashlib
from datetime import UTC, datetime
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any, Final

import jinja2
from markupsafe import Markup, escape

from tokenflex._core import __version__
from tokenflex.reporting.page import columns, look
from tokenflex.reporting.page import cube as cubes
from tokenflex.reporting.page.drawings import picture_of
from tokenflex.reporting.page.grid import grid
from tokenflex.reporting.page.plain import plain
from tokenflex.reporting.page.shapes import number
from tokenflex.words import many

if TYPE_CHECKING:
    import polars as pl

    from tokenflex.reporting.chapter import Chapter, Section
    from tokenflex.reporting.report import Report

TONES: Final = {"good": "in order", "watch": "watch", "act": "act"}
"""The tone of an answer in a word: colour alone says nothing to many."""


OPEN: Final = 8
"""A table without a chart is folded away if it has more rows than these."""


def page_of(report: Report) -> str:
    """The page as text."""
    css, js = _css(), _asset("page.js")
    content = cubes.of(report.cube) if report.cube.height else None
    dims = {f"tokens_by_{dim['key']}": dim["key"] for dim in content["dims"]} if content else {}
    return _template().render(
        title=report.title,
        period=_period(report),
        version=__version__,
        css=Markup(css),  # noqa: S704 - our own file
        js=Markup(js),  # noqa: S704 - our own file
        policy=_policy(css, js),
        cards=_cards(report),
        todo=_todo(report),
        chapters=[_chapter(chapter, report, dims) for chapter in report.chapters],
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


def _code(text: str) -> Markup:
    """Text in which names between backticks are set as code; everything is escaped."""
    parts = [escape(plain(part)) for part in text.split("`")]
    if len(parts) % 2 == 0:
        return escape(plain(text))
    return Markup("").join(
        Markup("<code>{}</code>").format(part) if place % 2 else part for place, part in enumerate(parts)
    )


@cache
def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, finalize=_finalize, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["code"] = _code
    return environment.from_string(_asset("page.html"))


def _period(report: Report) -> str:
    if report.start is None or report.end is None:
        return "Nothing was charged."
    return f"{report.start:%d %B %Y} to {report.end:%d %B %Y}"


def _cards(report: Report) -> list[dict[str, Any]]:
    """The answers of the first screen."""
    known = {chapter.key for chapter in report.chapters}
    return [
        {
            "label": row["label"],
            "answer": row["answer"],
            "detail": row["detail"] or "",
            "tone": row["tone"],
            "word": TONES.get(row["tone"], ""),
            "chapter": _id(row["chapter"]) if row["chapter"] in known else "",
        }
        for row in report.answers.iter_rows(named=True)
    ]


def _todo(report: Report) -> list[dict[str, Any]]:
    """What to do this week, what matters most first."""
    known = {chapter.key for chapter in report.chapters}
    return [
        {
            "action": row["action"],
            "why": row["why"] or "",
            "gain": f"{number(row['tokens'])} tokens" if row["tokens"] else "",
            "chapter": _id(row["chapter"]) if row["chapter"] in known else "",
        }
        for row in report.actions.iter_rows(named=True)
    ]


def _chapter(chapter: Chapter, report: Report, dims: dict[str, str]) -> dict[str, Any]:
    sections = [_section(section, report, dims) for section in chapter.sections]
    return {
        "id": _id(chapter.key),
        "question": chapter.question,
        "headline": chapter.headline,
        "missing": chapter.missing,
        "sections": sections,
        "filters": any(section["dim"] for section in sections),
        "empty": all(section["missing"] for section in sections),
    }


def _section(section: Section, report: Report, dims: dict[str, str]) -> dict[str, Any]:
    """A section for the template. `dims` are the keys of sections that the filters reach, and by what they lay out."""
    said: dict[str, Any] = {
        "id": f"s-{_id(section.key)}",
        "title": section.title,
        "note": section.note,
        "missing": section.missing,
        "dim": "",
        "picture": None,
        "finding": "",
        "drawing": "",
        "table": "",
        "summary": "",
        "open": False,
        "empty": False,
    }
    if section.table is None:
        return said
    table = report.tables[section.table]
    picture = picture_of(section.key, table, report.tables)
    view, left_out = columns.shown(section.table, table)
    note = f"{left_out}: the whole is the table {section.table} of the workbook and the folders." if left_out else ""
    return said | {
        "dim": dims.get(section.key, ""),
        "picture": picture,
        # A chart says what it shows in numbers; the title above it has not always one.
        "finding": picture.finding if picture and not any(map(str.isdigit, section.title)) else "",
        "drawing": Markup(picture.svg) if picture else "",  # noqa: S704 - vl-convert has escaped the names
        "table": _grid(section, view, note),
        "summary": f"Table: {left_out or many(view.height, 'row')}",
        "open": picture is None and view.height <= OPEN,
        "empty": table.is_empty(),
    }


def _grid(section: Section, table: pl.DataFrame, note: str) -> Markup:
    if table.is_empty():
        return Markup("")
    html = grid(table, name=_id(section.key), caption=section.title, note=note)
    return Markup(html)  # noqa: S704 - great-tables has escaped the cells, grid() the rest


def _filters(content: dict[str, Any]) -> list[dict[str, Any]]:
    """The fields of the form: the first and last month, then each dimension."""
    fields = []
    for dim in content["dims"]:
        choices = [{"place": place, "text": text} for place, text in enumerate(dim["values"])]
        if dim["key"] == content["time"]:
            fields.append({"name": "from", "label": "from", "all": "the first month", "choices": choices})
            fields.append({"name": "to", "label": "to", "all": "the last month", "choices": choices})
        else:
            fields.append(
                {"name": dim["key"], "label": dim["label"], "all": f"every {dim['label']}", "choices": choices}
            )
    return fields


def _id(key: str) -> str:
    return key.replace("_", "-")
