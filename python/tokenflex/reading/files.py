"""Foreign tables as they stand: CSV, Excel, Parquet, SQL and frames into polars, with the place of each row."""

from __future__ import annotations

import codecs
import csv
import gzip
import io
import os
import zlib
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO, Final, TypeAlias

import polars as pl

from tokenflex import tables
from tokenflex.arrow import AnyTable, ArrowTable
from tokenflex.errors import ArgumentError, ArgumentTypeError, SourceError, SourceNotFoundError
from tokenflex.reading.sources import Folders, files_of

if TYPE_CHECKING:
    from pathlib import Path

TableSource: TypeAlias = str | os.PathLike[str] | bytes | BinaryIO | AnyTable
"""One place that a table comes from."""

FOLDERS: Final = Folders("tables", (), (".csv", ".tsv", ".tab", ".txt", ".parquet", ".pq", ".xlsx", ".xlsm", ".xls"))
SEPARATORS: Final = ",;\t|"
BLOCK: Final = 4_096
START: Final = 1 << 16
"""So many bytes of a file tell whether it can be read in place; a header is shorter."""
AT_ONCE: Final = 1 << 22
NO_PLAIN_TEXT: Final = (b"\x1f\x8b", b"PK\x03\x04", b"\xd0\xcf\x11\xe0", b"\xff\xfe", b"\xfe\xff")
"""gzip, workbooks, UTF-16: their bytes have to be changed before they are a table."""
FIRST_LINE: Final = 2
"""Where the rows of a file begin, below its header."""


@dataclass(frozen=True)
class Sheet:
    """A table as its source has it.

    Attributes:
        name: The file, or what else it is.
        frame: Its rows. All columns of a CSV are text.
        places: Line or row of each row; unless given, they follow one another from `first`.
        first: Place of the first row.
        problems: Rows that could not be read, as `tables.PROBLEMS`.
        is_excel: Whether numbers may be Excel's times.
    """

    name: str
    frame: pl.DataFrame
    places: pl.Series | None = None
    first: int = 0
    problems: pl.DataFrame | None = None
    is_excel: bool = False

    def place(self) -> pl.Series:
        """Line or row of each row."""
        if self.places is not None:
            return self.places
        return pl.int_range(self.first, self.first + self.frame.height, dtype=pl.UInt64, eager=True)


@dataclass(frozen=True)
class Reading:
    """How files are read: what the caller said of them."""

    separator: str | None
    encoding: str
    sheet: str | None

    def __post_init__(self) -> None:
        if self.separator is not None and (not isinstance(self.separator, str) or len(self.separator) != 1):
            raise ArgumentError(
                f"separator has to be one character, not {self.separator!r}: leave it out to have it found",
                location="separator",
            )
        try:
            "".encode(self.encoding)
        except (LookupError, TypeError) as error:
            raise ArgumentError(
                f"encoding={self.encoding!r} is none that Python knows, such as 'cp1252'", location="encoding"
            ) from error


def sheets_of(source: object, reading: Reading) -> list[Sheet]:
    """All tables of a source.

    Raises:
        SourceNotFoundError: There is no such file.
        SourceError: A file is no table, or changed while it was read.
        ArgumentTypeError: It is no source.
    """
    if isinstance(source, pl.LazyFrame | ArrowTable):
        return [Sheet("table", source.collect() if isinstance(source, pl.LazyFrame) else pl.DataFrame(source))]
    if isinstance(source, bytes | bytearray | memoryview):
        return [_sheet("<bytes>", bytes(source), reading)]
    if hasattr(source, "read"):
        data = source.read()
        name = getattr(source, "name", None)
        if isinstance(data, str):
            data = data.encode()
        return [_sheet(name if isinstance(name, str) else "<stream>", data, reading)]
    if isinstance(source, str | os.PathLike):
        text = os.fsdecode(source)
        if "://" in text:
            raise SourceNotFoundError(f"there is no file {text}; for a database give query= too", location=text)
        return [_file(path, reading) for path in files_of(text, FOLDERS)]
    if isinstance(source, Iterable):
        sheets = [sheet for each in source for sheet in sheets_of(each, reading)]
        if not sheets:
            raise SourceNotFoundError("no tables were given", location="source")
        return sheets
    raise ArgumentTypeError(
        "source has to be a file, bytes, a frame, several of these, or a database with query=, "
        f"not {type(source).__name__}",
        location="source",
    )


def queried(connection: Any, query: str) -> Sheet:  # noqa: ANN401 - a connection of any database
    """What a query to a database gives.

    Raises:
        SourceError: The database refuses it.
        ArgumentTypeError: It is no database.
    """
    if not isinstance(query, str):
        raise ArgumentTypeError(f"query has to be SQL text, not {type(query).__name__}", location="query")
    try:
        if isinstance(connection, str):
            return Sheet("query", pl.read_database_uri(query, connection))
        if hasattr(connection, "sql") and type(connection).__module__.partition(".")[0] in ("duckdb", "_duckdb"):
            return Sheet("query", pl.DataFrame(connection.sql(query)))
        return Sheet("query", pl.read_database(query, connection, infer_schema_length=None))
    except (TypeError, ModuleNotFoundError) as error:
        raise ArgumentTypeError(
            f"with query= the source has to be a connection of a database, or its URI: {error}", location="source"
        ) from error
    except Exception as error:
        # Each driver has exceptions of its own.
        raise SourceError(f"the database refuses the query: {error}", location="query") from error


def _file(path: Path, reading: Reading) -> Sheet:
    """A file's table, all of one moment."""
    try:
        before = path.stat()
    except OSError as error:
        raise _unreadable(path, error) from error
    try:
        sheet = _in_place(path, reading) or _sheet(str(path), path.read_bytes(), reading)
    except SourceError:
        # What is read while a file is written is often damaged: then that is not the cause.
        _refuse_changed(path, before)
        raise
    except OSError as error:
        _refuse_changed(path, before)
        raise _unreadable(path, error) from error
    _refuse_changed(path, before)
    return sheet


def _refuse_changed(path: Path, before: os.stat_result) -> None:
    try:
        after = path.stat()
    except OSError as error:
        raise _unreadable(path, error) from error
    if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
        raise SourceError(
            f"{path} changed while it was read: read it when its writer is done, or read a copy", location=str(path)
        )


def _unreadable(path: Path, error: OSError) -> SourceError:
    return SourceError(f"{path} cannot be read: {error.strerror or error}", location=str(path))


def _in_place(path: Path, reading: Reading) -> Sheet | None:
    """The table of a Parquet file or a plain CSV, without the file in memory beside it; of others nothing."""
    with path.open("rb") as file:
        start = file.read(START)
    if start.startswith(b"PAR1"):
        return Sheet(str(path), _parquet(str(path), path))
    data = start.removeprefix(b"\xef\xbb\xbf")
    is_text = b"\0" not in start and not start.startswith(NO_PLAIN_TEXT) and data.strip()
    if not is_text or data[:1] in (b"\n", b"\r") or data[:4].lower() == b"sep=" or b"\n" not in data:
        return None
    head = data[: data.find(b"\n")]
    try:
        text = head.decode()
    except UnicodeDecodeError:
        return None
    _refuse_other_text(str(path), data)
    separator, named = _header(str(path), text, reading.separator)
    if not separator.isascii():
        return None
    body = _Body.of_file(path, len(start) - len(data) + len(head) + 1, separator)
    frame = None if body is None else _plain(body, named, separator)
    return None if frame is None else Sheet(str(path), frame, first=FIRST_LINE)


def _parquet(name: str, source: Path | bytes) -> pl.DataFrame:
    try:
        return pl.read_parquet(source, glob=False, hive_partitioning=False)
    except Exception as error:
        # The reader of Parquet has exceptions of its own.
        raise SourceError(f"{name} cannot be read: {error}", location=name) from error


def _sheet(name: str, data: bytes, reading: Reading) -> Sheet:
    if data.startswith(b"\x1f\x8b"):
        try:
            data = gzip.decompress(data)
        except (OSError, EOFError, zlib.error) as error:
            raise SourceError(f"{name} is a damaged gzip file: {error}", location=name) from error
    if not data[:BLOCK].strip() and not data.strip():
        raise SourceError(f"{name} is empty", location=name)
    try:
        if data.startswith(b"PAR1"):
            return Sheet(name, _parquet(name, data))
        if data.startswith((b"PK\x03\x04", b"\xd0\xcf\x11\xe0")):
            return _excel(name, data, reading.sheet)
    except ModuleNotFoundError as error:
        raise SourceError(
            f"{name} is an Excel file, which needs one more package: pip install 'tokenflex[excel]'", location=name
        ) from error
    except (SourceError, ArgumentError):
        raise
    except Exception as error:
        # fastexcel has exceptions of its own.
        raise SourceError(f"{name} cannot be read: {error}", location=name) from error
    return _csv(name, _text(name, data, reading.encoding), reading.separator)


def _excel(name: str, data: bytes, sheet: str | None) -> Sheet:
    frame = pl.read_excel(
        io.BytesIO(data),
        sheet_name=sheet,
        infer_schema_length=None,
        drop_empty_rows=False,
        drop_empty_cols=True,
        raise_if_empty=False,
    )
    if not frame.columns:
        raise SourceError(f"{name}: the sheet is empty; give sheet= with the name of another", location=name)
    full = ~pl.all_horizontal(pl.all().is_null())
    rows = frame.with_row_index("_place", offset=FIRST_LINE).filter(full)
    places = rows["_place"].cast(pl.UInt64)
    return Sheet(name, rows.drop("_place"), places=places, is_excel=True)


def _text(name: str, data: bytes, encoding: str) -> bytes:
    """The text as UTF-8 without a byte order mark."""
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        codec = "utf-16"
    elif data[1:64:2].count(0) > len(data[1:64:2]) // 2:
        codec = "utf-16-le"
    elif data[0:64:2].count(0) > len(data[0:64:2]) // 2:
        codec = "utf-16-be"
    else:
        codec = ""
    try:
        if codec:
            data = data.decode(codec, errors="strict").encode()
        else:
            data = data.removeprefix(b"\xef\xbb\xbf")
            try:
                data.decode()
            except UnicodeDecodeError:
                data = data.decode(encoding, errors="strict" if encoding != "cp1252" else "replace").encode()
    except UnicodeError as error:
        raise SourceError(
            f"{name} is no text in {codec or encoding}: {error}; give encoding=, or repair the file", location=name
        ) from error
    _refuse_other_text(name, data)
    if b"\n" not in data and b"\r" in data:
        data = data.replace(b"\r", b"\n")
    return data


def _refuse_other_text(name: str, data: bytes) -> None:
    head = data[:BLOCK].lstrip()[:64].lower()
    if b"\0" in data[:BLOCK]:
        raise SourceError(f"{name} is no table: it is not text, Parquet or Excel", location=name)
    if head.startswith((b"<!doctype", b"<html", b"<?xml", b"{", b"[", b"%pdf")):
        raise SourceError(
            f"{name} is no table: it is HTML, XML, JSON or PDF. Export CSV or Excel, or read it into a frame yourself "
            "and give that",
            location=name,
        )


def _csv(name: str, data: bytes, separator: str | None) -> Sheet:
    """A CSV, fast where every line has as many fields as the header, else line by line."""
    # Copies of the whole are made only where lines are empty, or where Excel's own first line names the separator.
    first = FIRST_LINE
    if data.endswith((b"\n\n", b"\n\r\n")):
        data = data.rstrip(b"\r\n")
    if data.startswith((b"\n", b"\r")):
        first += data.count(b"\n", 0, len(data) - len(data.lstrip(b"\r\n")))
        data = data.lstrip(b"\r\n")
    if data[:4].lower() == b"sep=" and b"\n" in data:
        line, _, data = data.partition(b"\n")
        separator = separator or line[4:].decode().strip("\r") or None
        first += 1
    head = data[: data.find(b"\n")] if b"\n" in data else data
    separator, named = _header(name, head.decode(), separator)
    frame = _plain(_Body.of_bytes(data, len(head) + 1, separator), named, separator)
    if frame is not None:
        return Sheet(name, frame, first=first)
    return _slow(name, data[len(head) + 1 :].decode(), named, separator, first)


def _header(name: str, head: str, separator: str | None) -> tuple[str, list[str]]:
    """The separator and the names of the columns, by the first line."""
    separator = separator or _separator(name, head)
    header = next(csv.reader([head.strip("\r")], delimiter=separator), [])
    named = [each.strip() for each in header]
    while named and not named[-1]:
        named.pop()
    twice = [each for each, count in Counter(named).items() if count > 1]
    if not named or "" in named or twice:
        what = f"the name {twice[0]!r} twice" if twice else "a column without a name"
        raise SourceError(f"{name}: the header has {what}; every column needs a name of its own", location=name)
    return separator, named


@dataclass(frozen=True)
class _Body:
    """What stands below the header of a CSV in UTF-8, counted to know whether polars has read all of it.

    Attributes:
        source: The whole, its header too.
        lines: How many lines there are.
        separators: How many separators.
        has_quotes: Whether there is a quotation mark.
    """

    source: Path | bytes
    lines: int
    separators: int
    has_quotes: bool

    @classmethod
    def of_bytes(cls, data: bytes, start: int, separator: str) -> _Body:
        """Counts what follows the first line, which is in UTF-8."""
        is_open = len(data) > start and not data.endswith(b"\n")
        lines = data.count(b"\n", start) + is_open
        return cls(data, lines, data.count(separator.encode(), start), data.find(b'"', start) >= 0)

    @classmethod
    def of_file(cls, path: Path, start: int, separator: str) -> _Body | None:
        """Counts the same in a file; nothing if it is not in UTF-8, or if empty lines end it."""
        mark = separator.encode()
        decoder = codecs.getincrementaldecoder("utf-8")()
        lines = separators = 0
        has_quotes = False
        tail = b"\n"
        with path.open("rb") as file:
            file.seek(start)
            while block := file.read(AT_ONCE):
                try:
                    decoder.decode(block)
                except UnicodeDecodeError:
                    return None
                lines += block.count(b"\n")
                separators += block.count(mark)
                has_quotes = has_quotes or b'"' in block
                tail = (tail + block)[-3:]
        if decoder.getstate()[0] or tail.endswith((b"\n\n", b"\n\r\n")):
            return None
        return cls(path, lines + (not tail.endswith(b"\n")), separators, has_quotes)


def _plain(body: _Body, named: list[str], separator: str) -> pl.DataFrame | None:
    """The rows, if each line is a row and has all fields, or one empty field more; else nothing."""
    for extra in ([], ["\0"]):
        frame = _fast(body, [*named, *extra], separator)
        if frame is not None and (not extra or (frame["\0"] == "").all()):
            return frame.select(named)
    return None


def _fast(body: _Body, columns: list[str], separator: str) -> pl.DataFrame | None:
    """The rows, if each line is a row and has all fields; else nothing."""
    if body.lines == 0:
        return pl.DataFrame(schema=dict.fromkeys(columns, pl.String))
    if not separator.isascii():
        # polars takes no other.
        return None
    if not body.has_quotes and body.separators != body.lines * (len(columns) - 1):
        return None
    try:
        frame = pl.scan_csv(
            body.source,
            has_header=False,
            skip_lines=1,
            schema=dict.fromkeys(columns, pl.String),
            separator=separator,
            infer_schema=False,
            empty_string_is_null=False,
            glob=False,
        ).collect(engine="streaming")
    except pl.exceptions.PolarsError:
        return None
    inside = 0
    if body.has_quotes:
        marks = [pl.col(column).str.count_matches(separator, literal=True).sum() for column in columns]
        inside = int(frame.select(pl.sum_horizontal(marks)).item() or 0)
    fields = body.separators - inside
    return frame if frame.height == body.lines and fields == frame.height * (len(columns) - 1) else None


def _slow(name: str, text: str, columns: list[str], separator: str, first: int) -> Sheet:
    width = len(columns)
    rows: list[list[str]] = []
    places: list[int] = []
    bad: list[tuple[int, str]] = []
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=False)
    line = first
    while True:
        try:
            row = next(reader, None)
        except csv.Error as error:
            bad.append((line, f"the line cannot be read: {error}"))
            row = []
        if row is None:
            break
        if len(row) >= width and not any(row[width:]):
            rows.append(row[:width])
            places.append(line)
        elif any(field.strip() for field in row):
            bad.append((line, f"{len(row)} fields instead of {width}: left out"))
        line = first + reader.line_num
    frame = pl.DataFrame(rows, schema=dict.fromkeys(columns, pl.String), orient="row")
    problems = pl.DataFrame(
        [(name, place, "unreadable_row", message) for place, message in bad],
        schema=dict(tables.PROBLEMS),
        orient="row",
    )
    return Sheet(name, frame, places=pl.Series(places, dtype=pl.UInt64), problems=problems)


def _separator(name: str, header: str) -> str:
    bare = "".join(header.split('"')[::2])
    counts = {separator: bare.count(separator) for separator in SEPARATORS}
    best = max(SEPARATORS, key=lambda separator: counts[separator])
    if counts[best] == 0:
        raise SourceError(
            f"{name} is no table: its first line, {header[:80]!r}, has no comma, semicolon, tab or bar; give "
            "separator= if it has another",
            location=name,
        )
    return best
