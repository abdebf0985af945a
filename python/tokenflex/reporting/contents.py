"""The contents of a report as a table: each chapter and section, with its table, or what it takes to have it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from tokenflex import tables

if TYPE_CHECKING:
    from tokenflex.reporting.report import Report


def contents_of(report: Report) -> pl.DataFrame:
    """A row for each section, and for each chapter without one, see `tables.REPORT_CONTENTS`."""
    rows: list[tuple[object, ...]] = []
    for chapter in report.chapters:
        if chapter.missing is not None:
            rows.append(
                (chapter.key, chapter.question, chapter.headline, None, None, None, None, None, chapter.missing)
            )
        for section in chapter.sections:
            height = None if section.table is None else report.tables[section.table].height
            rows.append(
                (
                    chapter.key,
                    chapter.question,
                    chapter.headline,
                    section.key,
                    section.title,
                    section.table,
                    height,
                    section.note,
                    section.missing,
                )
            )
    return pl.DataFrame(rows, schema=dict(tables.REPORT_CONTENTS), orient="row")


def whole_of(report: Report) -> dict[str, pl.DataFrame]:
    """Every table of a report by the name that its file or sheet has, the first screen first."""
    return {
        "answers": report.answers,
        "actions": report.actions,
        "contents": contents_of(report),
        **report.tables,
        "cube": report.cube,
    }
