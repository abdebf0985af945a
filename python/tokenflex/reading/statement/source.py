"""From what the caller gave to tables of text: files found, unpacked, told by their content, and cut into columns."""

from __future__ import annotations

import codecs
import gzip
import io
import os
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO, Final, TypeAlias

from tokenflex.errors import ArgumentTypeError, SourceError, SourceNotFoundError
from tokenflex.reading.sources import Folders, files_of

if TYPE_CHECKING:
    from pathlib import Path
    from typing import Any

StatementSource: TypeAlias = str | os.PathLike[str] | bytes | BinaryIO
"""One place that an export comes from."""

FOLDERS: Final = Folders("exports", (), (".csv", ".json", ".xlsx"))

_GZIP: Final = b"\x1f\x8b"
_NOT_TEXT: Final[tuple[tuple[bytes, str], ...]] = (
    (b"PAR1", "a Parquet file: read it with polars and give it to tokenflex.sessions_from"),
    (b"%PDF", "a PDF: export the report as CSV, JSON or XLSX"),
    (b"\xd0\xcf\x11\xe0", "a workbook of the old form .xls: save it as .xlsx"),
    (b"\x28\xb5\x2f\xfd", "packed with zstd: unpack it first"),
)
HEAD: Final = 1 << 16
"""So many bytes are looked at to tell what a file is; a header is shorter."""


@dataclass(frozen=True)
class Place:
    """A file, or bytes, before anything of it is read.

    Attributes:
        name: As the caller knows it.
        path: Where it is, if it is a file.
        data: What it holds, if it is none.
    """

    name: str
    path: Path | None
    data: bytes = b""

    def head(self) -> bytes:
        """The first bytes."""
        if self.path is None:
            return self.data[:HEAD]
        with _opened(self.path) as file:
            return file.read(HEAD)

    def bytes(self) -> bytes:
        """All of it, unpacked."""
        if self.path is None:
            data = self.data
        else:
            with _opened(self.path) as file:
                data = file.read()
        if not data.startswith(_GZIP):
            return data
        try:
            return gzip.decompress(data)
        except (OSError, EOFError, zlib.error) as error:
            raise SourceError(f"{self.name} is a damaged gzip file: {error}", location=self.name) from error

    def opened(self) -> BinaryIO:
        """What it holds as a file of its name, for what is none."""
        file = io.BytesIO(self.data)
        file.name = self.name
        return file

    def stamp(self) -> tuple[int, int] | None:
        """What changes when the file is written to."""
        if self.path is None:
            return None
        try:
            status = self.path.stat()
        except OSError as error:
            raise SourceError(f"{self.name} cannot be read: {error}", location=self.name) from error
        return status.st_size, status.st_mtime_ns


def _opened(path: Path) -> BinaryIO:
    try:
        return path.open("rb")
    except OSError as error:
        raise SourceError(f"{path} cannot be read: {error}", location=str(path)) from error


def places(source: object) -> list[Place]:
    """All files and byte strings that a source stands for, in order."""
    if isinstance(source, bytes | bytearray | memoryview):
        return [Place("<bytes>", None, bytes(source))]
    if hasattr(source, "read"):
        return [_stream(source)]
    if isinstance(source, str | os.PathLike):
        return [Place(str(path), path) for path in files_of(os.fsdecode(source), FOLDERS)]
    if isinstance(source, Iterable):
        found = [place for each in source for place in places(each)]
        if not found:
            raise SourceNotFoundError("no exports were given", location="source")
        return found
    raise ArgumentTypeError(
        f"source has to be a path, bytes, a binary file or several of these, not {type(source).__name__}",
        location="source",
    )


def _stream(file: Any) -> Place:  # noqa: ANN401 - anything with `read`
    name = getattr(file, "name", None)
    name = name if isinstance(name, str) else "<stream>"
    data = file.read()
    if not isinstance(data, bytes):
        raise ArgumentTypeError(f"{name} is open as text: open it with mode 'rb'", location="source")
    return Place(name, None, data)


def is_packed(head: bytes) -> bool:
    """Whether the bytes are gzip's."""
    return head.startswith(_GZIP)


def is_workbook(head: bytes) -> bool:
    """Whether the bytes are those of a zip archive, which a workbook is."""
    return head.startswith(b"PK\x03\x04")


def unicode_of(head: bytes) -> str | None:
    """The encoding of text that is UTF-16 or has a byte order mark; None for all other text."""
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    if head.startswith(codecs.BOM_UTF8):
        return "utf-8-sig"
    if head[1::2].count(0) > len(head) // 4:
        return "utf-16-le"
    if head[0::2].count(0) > len(head) // 4:
        return "utf-16-be"
    return None


def text_of(data: bytes, name: str, encoding: str) -> tuple[str, int]:
    """Bytes as text, and how many of its letters could not be read.

    UTF-8 where it is that, UTF-16 where it looks like it, and the code page otherwise.
    """
    head = data[:HEAD]
    for known in (unicode_of(head), "utf-8"):
        if known is not None:
            try:
                return data.decode(known), 0
            except UnicodeDecodeError:
                continue
    refuse_binary(head, name)
    text = data.decode(encoding, errors="replace")
    return text, text.count("\N{REPLACEMENT CHARACTER}")


def refuse_binary(head: bytes, name: str) -> None:
    """Says what a file is that cannot be an export."""
    if not head.strip():
        raise SourceError(f"{name} is empty: export it again", location=name)
    for magic, what in _NOT_TEXT:
        if head.startswith(magic):
            raise SourceError(f"{name} is {what}", location=name)
    if b"\0" in head and unicode_of(head) is None:
        raise SourceError(f"{name} is no text and no workbook: give the vendor's CSV, JSON or XLSX", location=name)
