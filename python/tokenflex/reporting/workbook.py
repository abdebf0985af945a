"""A report as a workbook: a sheet for each table, with real dates and numbers, filters, and totals that are formulas.

Rows are streamed to the file, so a sheet of a million rows takes no more memory than one of ten. That rules out the
tables that polars would make: their rows have to be in memory, and their totals have no value until Excel computes it.
"""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from math import isfinite
from typing import TYPE_CHECKING, Any, Final

import polars as pl

from tokenflex import tables
from tokenflex.content import whole_file
from tokenflex.errors import SourceError
from tokenflex.planning.extras import needed
from tokenflex.reading.names import is_text
from tokenflex.reporting.contents import contents_of
from tokenflex.words import many

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from decimal import Decimal
    from pathlib import Path

    from tokenflex.reporting.chapter import Section
    from tokenflex.reporting.report import Report

MOST_ROWS: Final = 1_048_576
"""That a sheet of Excel has."""
LONGEST: Final = 32_767
"""Characters that a cell of Excel takes."""
_LONGEST_NAME: Final = 31
_MOST_DIGITS: Final = 10**15
"""Whole numbers from here on are not exact in Excel: they are text. Ids are such numbers."""
_FIRST_YEAR: Final = 1900
_NARROW: Final = 8
_WIDE: Final = 60
_SAMPLE: Final = 200
"""Rows that a column's width is measured on."""
FRONT: Final = "Answers"
CONTENTS: Final = "Contents"
CUBE: Final = "cube"
HEAD: Final = 4
"""Rows above the rows of a table: title, note, way back, and totals; then comes the header."""
_SUBTOTAL: Final = 109
"""Excel's function: the sum of what a filter leaves."""
_CONTROLS: Final = {code: 0x2400 + code for code in range(32)} | {0x7F: 0x2421, 0xFFFE: 0xFFFD, 0xFFFF: 0xFFFD}
"""Characters that XML does not take, and the pictures of them that it does; tabs and line ends too, so that rows stay
rows."""
_ODD: Final = r"[\x00-\x1f\x7f\x{FFFE}\x{FFFF}]"
"""Any of these."""


@dataclass
class _Sheet:
    """A sheet to be: what is in it, and what is said above it."""

    name: str
    of: str
    """Name of the table that it is a part of."""
    title: str
    note: str
    table: pl.DataFrame
    sums: tuple[str, ...] = ()


@dataclass
class _Book:
    """The workbook at work."""

    file: Any
    cut: list[str] = field(default_factory=list)
    """What had to be cut, in words."""

    def __post_init__(self) -> None:
        styles: dict[str, dict[str, object]] = {
            "title": {"bold": True, "font_size": 14},
            "note": {"italic": True, "font_color": "#555555"},
            "head": {"bold": True, "bg_color": "#DDE7F0", "bottom": 1, "text_wrap": True, "valign": "top"},
            "total": {"bold": True, "num_format": "#,##0.0###"},
            "tokens": {"num_format": "#,##0.0###"},
            "money": {"num_format": "#,##0.00######"},
            "count": {"num_format": "#,##0"},
            "share": {"num_format": "0.0%"},
            "number": {"num_format": "0.0###"},
            "date": {"num_format": "yyyy-mm-dd"},
            "time": {"num_format": "yyyy-mm-dd hh:mm:ss"},
            "link": {"font_color": "#0563C1", "underline": 1},
            "wrap": {"text_wrap": True, "valign": "top"},
            "text": {},
        }
        self.styles = {name: self.file.add_format(style) for name, style in styles.items()}

    def text(self, value: str, where: str) -> str:
        """Text as a cell can hold it."""
        shown = value.translate(_CONTROLS)
        # Excel counts in UTF-16.
        if len(shown.encode("utf-16-le")) // 2 <= LONGEST:
            return shown
        self.cut.append(f"{where}: a text of {len(value):,} characters was cut")
        return shown.encode("utf-16-le")[: 2 * (LONGEST - 1)].decode("utf-16-le", "ignore") + "…"


def write_workbook(report: Report, path: Path) -> None:
    """Writes the workbook, whole or not at all.

    Raises:
        ArgumentError: xlsxwriter is not installed.
        SourceError: It cannot be written.
    """
    xlsxwriter = needed("xlsxwriter", "a workbook", extra="report")
    options = {"constant_memory": True, "strings_to_formulas": False, "strings_to_urls": False}
    try:
        with whole_file(path) as out:
            file = xlsxwriter.Workbook(out, options)
            try:
                _fill(_Book(file), report)
            except BaseException:
                # Only closing lets go of the files in which it keeps rows.
                with suppress(Exception):
                    file.close()
                raise
            file.close()
    except OSError as error:
        raise SourceError(f"{path} cannot be written: {error}", location=str(path)) from error


def _fill(book: _Book, report: Report) -> None:
    sheets = list(_sheets_of(report))
    front, contents = book.file.add_worksheet(FRONT), book.file.add_worksheet(CONTENTS)
    for sheet in sheets:
        _write(book, sheet)
    _write_front(book, front, report)
    _write_contents(book, contents, report, sheets)


def _sheets_of(report: Report) -> Iterable[_Sheet]:
    """A sheet for each table; one with more rows than a sheet has goes on in further ones."""
    sections = {section.table: section for chapter in report.chapters for section in chapter.sections}
    room = MOST_ROWS - HEAD - 1
    for name, table in {**report.tables, CUBE: report.cube}.items():
        section: Section | None = sections.get(name)
        title = "Tokens by month, product, group, site and server" if section is None else section.title
        note = "" if section is None else section.note
        sums = ("charges", "tokens") if section is None else section.sums
        for part, first in enumerate(range(0, max(table.height, 1), room), 1):
            rows = table.slice(first, room)
            ending = "" if part == 1 else f" ({part})"
            told = note
            if table.height > room:
                told = f"{note} Rows {first + 1:,} to {first + rows.height:,} of {table.height:,}.".strip()
            yield _Sheet(f"{name[: _LONGEST_NAME - len(ending)]}{ending}", name, title, told, rows, sums)


def _write(book: _Book, sheet: _Sheet) -> None:
    """One table: title, note, the way back, totals, header, rows."""
    out = book.file.add_worksheet(sheet.name)
    styles, table = book.styles, sheet.table
    writers = [_writer_of(book, out, name, dtype, sheet.name) for name, dtype in table.schema.items()]
    heads = [head_of(name, dtype) for name, dtype in table.schema.items()]
    for place, (head, column) in enumerate(zip(heads, table.iter_columns(), strict=True)):
        out.set_column(place, place, _width(head, column))
    out.write_string(0, 0, book.text(sheet.title, sheet.name), styles["title"])
    out.write_string(1, 0, book.text(sheet.note, sheet.name), styles["note"])
    out.write_url(2, 0, f"internal:'{CONTENTS}'!A1", styles["link"], CONTENTS)
    _write_totals(out, table, sheet.sums, styles["total"])
    for place, head in enumerate(heads):
        out.write_string(HEAD, place, book.text(head, sheet.name), styles["head"])
    ready = pl.DataFrame([_ready(book, column, sheet.name) for column in table.iter_columns()])
    for row, values in enumerate(ready.iter_rows(), HEAD + 1):
        for place, value in enumerate(values):
            if value is not None:
                writers[place](row, place, value)
    out.freeze_panes(HEAD + 1, 1)
    if table.width:
        out.autofilter(HEAD, 0, HEAD + max(table.height, 1), table.width - 1)


def _ready(book: _Book, column: pl.Series, sheet: str) -> pl.Series:
    """A column whose text is as cells can hold it; what is harmless, nearly all, is not looked at cell by cell."""
    if isinstance(column.dtype, pl.List):
        column = column.cast(pl.List(pl.String)).list.join(", ")
    if not is_text(column.dtype):
        return column
    shown = column.cast(pl.String)
    odd = shown.str.contains(_ODD) | (shown.str.len_bytes() > LONGEST)
    if not odd.any():
        return shown
    where = f"{sheet}, {column.name}"
    kept = [value if value is None else book.text(value, where) for value in shown]
    return pl.Series(column.name, kept, dtype=pl.String)


def _write_totals(out: Any, table: pl.DataFrame, sums: tuple[str, ...], style: Any) -> None:  # noqa: ANN401 - of xlsxwriter
    """Sums of what a filter leaves; the value beside each formula is for programs that do not compute it."""
    for place, name in enumerate(table.columns):
        if name in sums and table.height:
            letter = _letter(place)
            formula = f"=SUBTOTAL({_SUBTOTAL},{letter}{HEAD + 2}:{letter}{HEAD + 1 + table.height})"
            out.write_formula(HEAD - 1, place, formula, style, float(table[name].sum()))
        elif place == 0 and set(sums) & set(table.columns):
            out.write_string(HEAD - 1, place, "Total of the rows shown", style)


def _letter(place: int) -> str:
    """The column's name in a formula: A, B, …, Z, AA, and so on."""
    before, last = divmod(place, 26)
    return (_letter(before - 1) if before else "") + chr(ord("A") + last)


def head_of(name: str, dtype: pl.DataType) -> str:
    """The name of a column with the unit that its cells are in."""
    if isinstance(dtype, pl.Datetime) and dtype.time_zone is not None:
        return f"{name} (UTC)"
    return f"{name} (hours)" if isinstance(dtype, pl.Duration) else name


def _width(head: str, column: pl.Series) -> int:
    shown = column.head(_SAMPLE)
    if shown.dtype in (pl.String, pl.Categorical, pl.Enum):
        longest = max(shown.cast(pl.String).str.len_chars().drop_nulls().to_list(), default=0)
    elif isinstance(shown.dtype, pl.List):
        longest = _WIDE // 2
    else:
        longest = 19 if isinstance(shown.dtype, pl.Datetime) else 12
    return max(_NARROW, min(_WIDE, max(len(head), longest) + 3))


def _writer_of(book: _Book, out: Any, name: str, dtype: pl.DataType, sheet: str) -> Callable[[int, int, Any], object]:  # noqa: ANN401 - of xlsxwriter
    """How the cells of a column are written, whose text is ready for cells."""
    style = book.styles[_style_of(name, dtype)]

    def text(row: int, place: int, value: object) -> None:
        out.write_string(row, place, value if isinstance(value, str) else book.text(_words(value), f"{sheet}, {name}"))

    def number(row: int, place: int, value: Decimal | float) -> None:
        if isfinite(value) and not (isinstance(value, int) and abs(value) >= _MOST_DIGITS):
            out.write_number(row, place, float(value), style)
        else:
            text(row, place, str(value))

    def instant(row: int, place: int, value: date) -> None:
        if value.year < _FIRST_YEAR:
            text(row, place, value.isoformat())
        else:
            out.write_datetime(row, place, value.replace(tzinfo=None) if isinstance(value, datetime) else value, style)

    def hours(row: int, place: int, value: timedelta) -> None:
        out.write_number(row, place, value / timedelta(hours=1), style)

    writers: dict[str, Callable[[int, int, Any], object]]
    writers = {"time": instant, "hours": hours, "truth": out.write_boolean, "text": text}
    return writers.get(_kind_of(dtype), number)


def _kind_of(dtype: pl.DataType) -> str:
    if isinstance(dtype, pl.Datetime | pl.Date):
        return "time"
    if isinstance(dtype, pl.Duration):
        return "hours"
    if isinstance(dtype, pl.Boolean):
        return "truth"
    return "number" if dtype.is_numeric() else "text"


def _style_of(name: str, dtype: pl.DataType) -> str:
    if isinstance(dtype, pl.Decimal):
        return "money" if dtype == tables.MONEY else "tokens"
    if dtype.is_float():
        is_part = name in ("share", "coverage", "chance", "run_out_chance") or name.startswith("share_")
        return "share" if is_part else "number"
    if dtype.is_integer():
        return "text" if name == "contract_year" else "count"
    if isinstance(dtype, pl.Date):
        return "date"
    return "time" if isinstance(dtype, pl.Datetime) else "number"


def _words(value: object) -> str:
    """A cell that is no plain value, as JSON."""
    return json.dumps(value, default=str, ensure_ascii=False) if isinstance(value, dict) else str(value)


def _write_front(book: _Book, out: Any, report: Report) -> None:  # noqa: ANN401 - of xlsxwriter
    """The answers, and what to do."""
    styles = book.styles
    for place, width in enumerate((24, 34, 16, 10, 70, 10)):
        out.set_column(place, place, width)
    out.write_string(0, 0, book.text(report.title, FRONT), styles["title"])
    period = "nothing was charged" if report.start is None else f"{report.start} to {report.end}"
    out.write_string(1, 0, period, styles["note"])
    out.write_url(2, 0, f"internal:'{CONTENTS}'!A1", styles["link"], CONTENTS)
    row = HEAD
    for title, table in (
        ("What was asked", report.answers.drop("key", "chapter")),
        ("What to do this week", report.actions.drop("chapter", "table")),
    ):
        out.write_string(row, 0, title, styles["title"])
        for place, name in enumerate(table.columns):
            out.write_string(row + 1, place, name, styles["head"])
        writers = [_writer_of(book, out, name, dtype, FRONT) for name, dtype in table.schema.items()]
        ready = pl.DataFrame([_ready(book, column, FRONT) for column in table.iter_columns()])
        for values in ready.iter_rows():
            for place, value in enumerate(values):
                if value is not None:
                    writers[place](row + 2, place, value)
            row += 1
        row += 4
    for told in book.cut[:_SAMPLE]:
        out.write_string(row, 0, told, styles["note"])
        row += 1
    if len(book.cut) > _SAMPLE:
        out.write_string(row, 0, f"and {many(len(book.cut) - _SAMPLE, 'text')} more", styles["note"])


def _write_contents(book: _Book, out: Any, report: Report, sheets: list[_Sheet]) -> None:  # noqa: ANN401 - of xlsxwriter
    """Every sheet with a link to it, and what is missing."""
    styles = book.styles
    for place, width in enumerate((34, 34, 80, 12, 60)):
        out.set_column(place, place, width)
    out.write_string(0, 0, CONTENTS, styles["title"])
    for place, name in enumerate(("question", "sheet", "what it shows", "rows", "note")):
        out.write_string(1, place, name, styles["head"])
    row = 2
    for part in contents_of(report).iter_rows(named=True):
        own = [sheet for sheet in sheets if sheet.of == part["table"]]
        for sheet in own:
            _write_line(book, out, row, part["question"], sheet)
            row += 1
        if not own:
            out.write_string(row, 0, part["question"])
            out.write_string(row, 2, book.text(part["title"] or part["headline"], CONTENTS))
            out.write_string(row, 4, book.text(part["missing"] or "", CONTENTS))
            row += 1
    for sheet in sheets:
        if sheet.of == CUBE:
            _write_line(book, out, row, "", sheet)
            row += 1
    out.freeze_panes(2, 0)


def _write_line(book: _Book, out: Any, row: int, question: str, sheet: _Sheet) -> None:  # noqa: ANN401 - of xlsxwriter
    out.write_string(row, 0, question)
    out.write_url(row, 1, f"internal:'{sheet.name}'!A1", book.styles["link"], sheet.name)
    out.write_string(row, 2, book.text(sheet.title, CONTENTS))
    out.write_number(row, 3, sheet.table.height, book.styles["count"])
    out.write_string(row, 4, book.text(sheet.note, CONTENTS))
