"""Sheets: the tables of text in a CSV, a workbook or a JSON document, each with a header that was understood."""

from __future__ import annotations

import csv
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import polars as pl

from tokenflex import tables
from tokenflex.errors import ArgumentError, SourceError
from tokenflex.reading.statement.aliases import Header, understood
from tokenflex.reading.statement.source import (
    HEAD,
    Place,
    is_packed,
    is_workbook,
    refuse_binary,
    text_of,
    unicode_of,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

SEPARATORS: Final = ",;\t|"
LINES_BEFORE: Final = 20
"""So many lines, such as a title, may stand before the header."""
MOST_JSON: Final = 1_000_000_000
"""Bytes of JSON that are taken: a document is read as a whole and takes eleven times its size in memory."""
ROWS: Final = 1 << 17
"""How many rows are taken at a time."""
EXTRA: Final = 2
"""So many places beyond the header are looked at: one is the vendor's trailing comma."""
LINE: Final = "line"
BLANK: Final = "is_blank"


class NotUtf8Error(Exception):
    """Text that was taken for UTF-8 is none; it is read again in its code page."""


@dataclass(frozen=True)
class Sheet:
    """A table of text.

    Attributes:
        name: The file, with its sheet in brackets.
        header: What its columns are.
        batches: Its rows: the columns of the header as text, `line`, whether the line `is_blank`, and under `extra_…`
            what stands where the header has no title.
        found: What there is to say about the whole.
    """

    name: str
    header: Header
    batches: Iterator[pl.DataFrame]
    found: list[tuple[int | None, str, str]] = field(default_factory=list)

    def problems(self) -> pl.DataFrame:
        """Rows of `tables.PROBLEMS` about the whole, those of its header among them."""
        return pl.DataFrame(
            [(self.name, *row) for row in [*_about(self.header), *self.found]],
            schema=dict(tables.PROBLEMS),
            orient="row",
        )


def _about(header: Header) -> Iterator[tuple[int | None, str, str]]:
    for title in header.unknown:
        yield problem(
            None, code="unknown_column", message=f"column {title!r} is none that is known: left out of the statement"
        )
    for title in header.doubled:
        yield problem(
            None, code="doubled_column", message=f"column {title!r} says the same as an earlier one: the first is read"
        )


def problem(location: int | None, *, code: str, message: str) -> tuple[int | None, str, str]:
    """A row of `tables.PROBLEMS` without its source."""
    return location, code, message


def sheets_of(place: Place, encoding: str) -> list[Sheet]:
    """The sheets of a file, told by its content.

    Raises:
        SourceError: It holds none of the vendor's exports.
    """
    head = place.head()
    if is_packed(head):
        place = Place(place.name, None, place.bytes())
        head = place.head()
    if is_workbook(head):
        return _workbook(place)
    refuse_binary(head, place.name)
    if _begins_json(head):
        return [_json(place, encoding)]
    if place.path is not None and unicode_of(head) in (None, "utf-8-sig"):
        try:
            return [_csv(place.name, place.path, head)]
        except UnicodeDecodeError:
            pass
    return [decoded(place, encoding)]


def decoded(place: Place, encoding: str) -> Sheet:
    """The sheet of a CSV that is no plain UTF-8, or is in memory already."""
    data = place.bytes()
    text, unread = text_of(data, place.name, encoding)
    data = text.encode()
    sheet = _csv(place.name, data, data)
    if unread:
        sheet.found.append(_unread(unread, encoding))
    return sheet


def _unread(count: int, encoding: str) -> tuple[int | None, str, str]:
    return problem(
        None,
        code="bad_encoding",
        message=f"{count} letters are neither UTF-8 nor {encoding}: they stand as \N{REPLACEMENT CHARACTER}",
    )


def _begins_json(head: bytes) -> bool:
    text = head.decode(unicode_of(head) or "utf-8", errors="replace").lstrip("\ufeff \t\r\n")
    return text.startswith(("{", "["))


def _csv(name: str, source: Any, head: bytes) -> Sheet:  # noqa: ANN401 - a path or bytes
    # A line that is cut by the end of what was looked at is no header.
    beginning = head if len(head) < HEAD else head[: head.rfind(b"\n", 0, HEAD) + 1]
    lines = beginning.removeprefix(b"\xef\xbb\xbf").decode()
    titles: list[str] = []
    for before, line in enumerate(lines.split("\n")[:LINES_BEFORE]):
        for separator in SEPARATORS:
            fields = _fields(line, separator)
            header = understood(fields)
            if header is not None:
                sheet = Sheet(name, header, _csv_batches(name, source, header, separator, before + 1))
                sheet.found.extend(_before(lines.split("\n")[:before]))
                sheet.found.extend(_last_line(source, header, separator))
                return sheet
            titles = fields if len(fields) > len(titles) else titles
    raise _not_understood(name, titles)


def _before(lines: Sequence[str]) -> Iterator[tuple[int | None, str, str]]:
    passed = [line for line in lines if line.strip() and not line.lower().startswith("sep=")]
    if passed:
        yield problem(
            1,
            code="lines_before_header",
            message=f"{len(passed)} lines stand before the header and are passed over; the first is {passed[0][:80]!r}",
        )


def _fields(line: str, separator: str) -> list[str]:
    try:
        row = next(csv.reader([line.rstrip("\r")], delimiter=separator), [])
    except csv.Error:
        return []
    return [title.strip() for title in row]


def _not_understood(name: str, titles: Sequence[str]) -> SourceError:
    shown = " | ".join(titles[:12])[:300]
    return SourceError(
        f"{name} is none of the vendor's usage exports: its columns are {shown!r}, but an export has a date, a product "
        "and tokens. tokenflex.read_flexlm reads debug logs of license servers; other tables of sessions are read by "
        "tokenflex.read_table with a mapping of their columns",
        location=name,
    )


def _csv_batches(name: str, source: Any, header: Header, separator: str, before: int) -> Iterator[pl.DataFrame]:  # noqa: ANN401
    places = [f"place_{number}" for number in range(header.width + EXTRA)]
    lazy = pl.scan_csv(
        source,
        has_header=False,
        skip_lines=before,
        separator=separator,
        schema=dict.fromkeys(places, pl.String),
        row_index_name=LINE,
        row_index_offset=before + 1,
        extra_columns="ignore",
        missing_columns="insert",
        raise_if_empty=False,
        glob=False,
    )
    batches = lazy.select(_named(header, places)).collect_batches(chunk_size=ROWS, maintain_order=True)
    try:
        yield from batches
    except (pl.exceptions.PolarsError, OSError) as error:
        if "utf-8" in str(error):
            raise NotUtf8Error from error
        raise SourceError(
            f"{name} breaks off inside of a quoted field, or a quote is followed by text: {error}", location=name
        ) from error


def _named(header: Header, places: Sequence[str]) -> list[pl.Expr]:
    named = [pl.col(places[place]).alias(column) for column, place in header.columns.items()]
    nameless = [*header.unnamed, *range(header.width, len(places))]
    extra = [pl.col(places[place]).alias(f"extra_{place}") for place in nameless]
    blank = pl.all_horizontal(pl.col(places).is_null()).alias(BLANK)
    return [pl.col(LINE).cast(pl.UInt32), blank, *named, *extra]


def _last_line(source: Any, header: Header, separator: str) -> Iterator[tuple[int | None, str, str]]:  # noqa: ANN401
    if isinstance(source, bytes):
        tail = source[-HEAD:]
    else:
        with source.open("rb") as file:
            file.seek(max(0, file.seek(0, 2) - HEAD))
            tail = file.read()
    if tail.endswith(b"\n"):
        return
    last = tail.rsplit(b"\n", 1)[-1].decode(errors="replace")
    fields = _fields(last, separator)
    if fields and len(fields) < header.width:
        yield problem(
            None,
            code="truncated_line",
            message=f"the last line breaks off in field {len(fields)} of {header.width}: the file is not whole",
        )


def _workbook(place: Place) -> list[Sheet]:
    try:
        import fastexcel  # noqa: PLC0415 - an extra: only workbooks need it
    except ImportError as error:
        raise ArgumentError(
            f"{place.name} is a workbook: to read it, pip install 'tokenflex[excel]'", location="source"
        ) from error
    try:
        book = fastexcel.read_excel(place.bytes())
        grids = {name: book.load_sheet(name, header_row=None, dtypes="string").to_polars() for name in book.sheet_names}
    except fastexcel.FastExcelError as error:
        raise SourceError(f"{place.name} cannot be read as a workbook: {error}", location=place.name) from error
    sheets, others = [], {}
    for name, grid in grids.items():
        sheet = _grid_sheet(f"{place.name}[{name}]", grid)
        if sheet is not None:
            sheets.append(sheet)
        elif grid.height > 0:
            others[name] = [value or "" for value in grid.row(0)]
    if not sheets:
        raise _not_understood(place.name, next(iter(others.values()), []))
    sheets[0].found.extend(
        problem(
            None,
            code="unknown_sheet",
            message=f"the sheet {name!r} is no usage export: left out; it begins with {' | '.join(titles)[:200]!r}",
        )
        for name, titles in others.items()
    )
    return sheets


def _grid_sheet(name: str, grid: pl.DataFrame) -> Sheet | None:
    for before, row in enumerate(grid.head(LINES_BEFORE).iter_rows()):
        header = understood([(value or "").strip() for value in row])
        if header is not None:
            body = grid[before + 1 :].with_row_index(LINE, offset=before + 2)
            blank = pl.when(pl.col(pl.String) != "").then(pl.col(pl.String))
            batch = body.with_columns(blank).select(_named(header, grid.columns))
            found = list(_before(["".join(value or "" for value in row) for row in grid.head(before).iter_rows()]))
            return Sheet(name, header, iter([batch]), found)
    return None


def _json(place: Place, encoding: str) -> Sheet:
    data = place.bytes()
    if len(data) > MOST_JSON:
        raise SourceError(
            f"{place.name} is JSON of {len(data) / 1e9:.1f} GB, which may not fit into memory: ask for the same as "
            "CSV, or month by month",
            location=place.name,
        )
    text, unread = text_of(data, place.name, encoding)
    try:
        document = json.loads(text.removeprefix("\ufeff"), parse_float=str, parse_int=str, parse_constant=str)
    except json.JSONDecodeError as error:
        raise SourceError(
            f"{place.name} begins like JSON, but breaks off or is damaged at line {error.lineno}: {error.msg}",
            location=place.name,
        ) from error
    found: list[tuple[int | None, str, str]] = [_unread(unread, encoding)] if unread else []
    titles, rows = _records(document, place.name, found)
    header = understood(titles)
    if header is None:
        raise _not_understood(place.name, titles)
    return Sheet(place.name, header, iter([_json_batch(header, rows, found)]), found)


def _records(
    document: Any,  # noqa: ANN401 - whatever the JSON holds
    name: str,
    found: list[tuple[int | None, str, str]],
) -> tuple[list[str], list[Any]]:
    """The titles and the rows of a document: a query's result, a list of objects, or either under `data`."""
    total = None
    while isinstance(document, dict):
        status = document.get("status")
        if isinstance(status, str) and status.upper() != "DONE":
            raise SourceError(
                f"{name} is the answer to a query that is not done (status {status!r}): ask for its result again",
                location=name,
            )
        total = document.get("total", total)
        inner = next((document[key] for key in ("result", "results", "data", "usage") if key in document), None)
        if isinstance(document.get("columns"), list) and isinstance(document.get("rows"), list):
            rows = document["rows"]
            titles = [
                str(each.get("name", "")) if isinstance(each, dict) else str(each) for each in document["columns"]
            ]
            found.extend(_incomplete(total, len(rows)))
            return titles, rows
        if inner is None:
            raise _not_understood(name, list(document))
        document = inner
    rows = document if isinstance(document, list) else []
    titles = list(dict.fromkeys(key for row in rows if isinstance(row, dict) for key in row))
    if not titles:
        raise SourceError(
            f"{name} is JSON without any record of usage: expected a list of objects, or 'columns' and 'rows'",
            location=name,
        )
    found.extend(_incomplete(total, len(rows)))
    return titles, rows


def _incomplete(total: object, rows: int) -> Iterator[tuple[int | None, str, str]]:
    if isinstance(total, str) and total != str(rows):
        yield problem(
            None,
            code="incomplete_result",
            message=f"the result says that it has {total} rows, but holds {rows}: ask for the other pages",
        )


def _json_batch(header: Header, rows: list[Any], found: list[tuple[int | None, str, str]]) -> pl.DataFrame:
    listed = []
    for number, row in enumerate(rows, 1):
        if isinstance(row, dict) and row:
            values = [row.get(header.titles[column]) for column in header.columns]
        elif isinstance(row, list) and row:
            values = [row[place] if place < len(row) else None for place in header.columns.values()]
            if len(row) != header.width:
                message = f"the record has {len(row)} values for {header.width} columns: read as far as they go"
                found.append(problem(number, code="bad_row", message=message))
        else:
            found.append(problem(number, code="bad_row", message="the record is empty, or no object: left out"))
            continue
        listed.append([number, False, *map(_text, values)])
    schema: dict[str, type[pl.DataType]] = {LINE: pl.UInt32, BLANK: pl.Boolean}
    return pl.DataFrame(listed, schema=schema | dict.fromkeys(header.columns, pl.String), orient="row")


def _text(value: object) -> str | None:
    if value is None or value == "":
        return None
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
