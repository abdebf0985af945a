"""What a book knows of files: each text once, whatever its file is called today, and what of it is new.

A *text* is the content of a log as far as it was read. A file whose beginning is a known text prolongs it; one that is
the beginning of a known text, or the same, brings nothing.
"""

from __future__ import annotations

import gzip
import io
import os
import shutil
import zlib
from bisect import bisect_right
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from tempfile import SpooledTemporaryFile
from typing import IO, TYPE_CHECKING, Final, NamedTuple, TypeAlias

from tokenflex.content import digest
from tokenflex.errors import SourceError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tokenflex._core import Source
    from tokenflex.book.store import Connection
    from tokenflex.usage.tails import Part

BLOCK: Final = 1 << 22
"""Bytes of a text that are packed together, and hashed."""

HEAD: Final = 1 << 10
"""Bytes by which texts that may be the same are found."""

SHELF: Final = 1 << 22
"""Packed bytes of a table of content. A checkpoint writes the table again that something was added to, so that no table
may become large."""

HASHED_AT_ONCE: Final = min(os.cpu_count() or 1, 4)
"""How many blocks of a file are hashed at a time."""

IN_MEMORY: Final = 1 << 26
"""Bytes of an unpacked file that are held in memory; a longer one goes to the disk."""

_PACKED: Final = (b"\x1f\x8b", b"\x28\xb5\x2f\xfd")
_MARKED: Final = (b"\xff\xfe", b"\xfe\xff", b"\xef\xbb\xbf")


Content: TypeAlias = bytes
"""A text has a count of bytes of this name."""


class Text(NamedTuple):
    """What is kept of a text beside its blocks."""

    text: int
    name: str
    """Of its file today."""
    origin: str
    """Of its file when it came: where nothing else names its server, this does."""
    folder: str
    bytes: int
    head: Content
    """Its first bytes, `HEAD` at most."""
    is_plain: bool
    packed: int | None
    modified: int | None


_COLUMNS: Final = "text, name, origin, folder, bytes, head, is_plain, packed, modified"


@dataclass
class Taken:
    """What an update found in the files that it was given.

    Attributes:
        new: Texts that nobody knew.
        grown: How many bytes each known text that is longer now had before.
        files: What each file was, for the account: file, text, what, bytes that were new.
    """

    new: list[int] = field(default_factory=list)
    grown: dict[int, int] = field(default_factory=dict)
    files: list[tuple[str, int | None, str, int]] = field(default_factory=list)


@dataclass
class _Given:
    """A file, opened; `size` is what it had at opening, and all that is read of it."""

    name: str
    folder: str
    size: int
    packed: int | None
    modified: int | None
    read: Callable[[int, int], bytes]
    close: Callable[[], None] = lambda: None
    digests: dict[tuple[int, int], str] = field(default_factory=dict)

    def hashes(self, pieces: list[tuple[int, int]]) -> Iterator[str]:
        """The hashes of pieces, in order; while one is looked at, those that follow are made.

        Most of a night is to hash what a year's log begins with. Texts that may be that ask for the same pieces.
        """
        with ThreadPoolExecutor(HASHED_AT_ONCE) as pool:
            begun = iter(pieces)
            ahead = deque((piece, self._hash(pool, piece)) for piece in islice(begun, HASHED_AT_ONCE))
            while ahead:
                piece, found = ahead.popleft()
                ahead.extend((following, self._hash(pool, following)) for following in islice(begun, 1))
                self.digests[piece] = found()
                yield self.digests[piece]

    def _hash(self, pool: ThreadPoolExecutor, piece: tuple[int, int]) -> Callable[[], str]:
        known = self.digests.get(piece)
        return pool.submit(digest, self.read(*piece)).result if known is None else lambda: known


def take(connection: Connection, sources: list[Source], update: int) -> Taken:
    """Takes what is new in files, and keeps it."""
    known = {row[0]: Text(*row) for row in connection.rows(f"SELECT {_COLUMNS} FROM texts")}  # noqa: S608 - our names
    taken = Taken()
    unread: list[Source] = []
    shelf = _Shelf(connection, update, known, taken)
    stamps = {(each.name, each.packed, each.modified): each.text for each in known.values()}
    for source in sources:
        stamp = _stamp(source)
        text = None if stamp is None else stamps.get((source["name"], *stamp))
        if text is None:
            unread.append(source)
        else:
            shelf.seen.setdefault(text, []).append(source["name"])
            taken.files.append((source["name"], text, "known", 0))
    paths = {each.name for each in known.values()}
    # The longest first: what is the beginning of another is known then. New texts have their numbers by their order.
    for source in sorted(unread, key=_size, reverse=True):
        file = _open(source)
        try:
            shelf.take(file)
        finally:
            file.close()
    shelf.rename(paths)
    return taken


@dataclass
class _Shelf:
    """The texts of a book while an update takes files."""

    connection: Connection
    update: int
    known: dict[int, Text]
    taken: Taken
    seen: dict[int, list[str]] = field(default_factory=dict)
    """Under which names each text was found."""

    def take(self, file: _Given) -> None:
        """Takes one file."""
        if file.size == 0:
            self.taken.files.append((file.name, None, "empty", 0))
            return
        text, is_longer = self._find(file)
        if text is not None and not is_longer:
            self._knows(file, text)
            return
        before = 0 if text is None else self.known[text].bytes
        if text is None:
            text = max(self.known, default=0) + 1
            self.taken.new.append(text)
            names = (file.name, file.name, file.folder)
        else:
            self.taken.grown.setdefault(text, before)
            names = (self.known[text].name, self.known[text].origin, self.known[text].folder)
        _keep(self.connection, text, file, before)
        head = file.read(0, min(HEAD, file.size))
        is_plain = not head.startswith(_PACKED + _MARKED) and b"\0" not in head
        kept = Text(text, *names, file.size, head, is_plain, None, None)
        self._write(kept._replace(packed=file.packed, modified=file.modified) if names[0] == file.name else kept)
        self.seen.setdefault(text, []).append(file.name)
        self.taken.files.append((file.name, text, "grown" if before else "new", file.size - before))

    def _knows(self, file: _Given, text: int) -> None:
        """Notes a file that brings nothing."""
        known = self.known[text]
        what = "known" if known.bytes == file.size else "older copy"
        self.taken.files.append((file.name, text, what, 0))
        if what == "known":
            self.seen.setdefault(text, []).append(file.name)
        if what == "known" and known.name == file.name:
            self._write(known._replace(packed=file.packed, modified=file.modified))

    def _find(self, file: _Given) -> tuple[int | None, bool]:
        """The text that is the file's beginning, or that it is the beginning of; and whether the file is longer."""
        head = file.read(0, min(HEAD, file.size))
        for each in sorted(self.known.values(), key=lambda text: -text.bytes):
            both = min(len(head), len(each.head))
            if head[:both] == each.head[:both] and self._agree(file, each.text):
                return each.text, file.size > each.bytes
        return None, False

    def _agree(self, file: _Given, text: int) -> bool:
        """Whether the file is the beginning of a text or the text that of the file, to the last byte."""
        blocks = self.connection.rows(
            "SELECT start, bytes, digest FROM blocks WHERE text = ? AND start < ? ORDER BY start", [text, file.size]
        )
        whole = [(start, count) for start, count, _ in blocks if start + count <= file.size]
        for found, (_, _, kept) in zip(file.hashes(whole), blocks, strict=False):
            if found != kept:
                return False
        for start, _, _ in blocks[len(whole) :]:
            rest = file.size - start
            if Kept(self.connection, text).at(start, rest) != file.read(start, rest):
                return False
        return True

    def _write(self, text: Text) -> None:
        is_known = text.text in self.known
        self.known[text.text] = text
        if is_known:
            self.connection.run(
                "UPDATE texts SET name = ?, origin = ?, folder = ?, bytes = ?, head = ?, is_plain = ?, "
                "packed = ?, modified = ?, last_update = ? WHERE text = ?",
                [*text[1:], self.update, text.text],
            )
        else:
            self.connection.run(
                f"INSERT INTO texts ({_COLUMNS}, servers, hosts, first_update, last_update) "  # noqa: S608 - our names
                "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, [], [], ?, ?)",
                [*text, self.update, self.update],
            )

    def rename(self, names_before: set[str]) -> None:
        """A text found only under another name has been rotated, and a known name with another text was replaced."""
        for text, names in self.seen.items():
            if self.known[text].name not in names:
                names_before.discard(self.known[text].name)
                self._write(self.known[text]._replace(name=names[0], packed=None, modified=None))
                self._tell(names[0], text, {"known": "rotated", "grown": "rotated and grown"})
        for file, of, what, _ in list(self.taken.files):
            if what == "new" and of is not None and file in names_before:
                others = (each.bytes for each in self.known.values() if each.name == file and each.text != of)
                is_shorter = self.known[of].bytes < max(others, default=0)
                self._tell(file, of, {"new": "truncated" if is_shorter else "replaced"})

    def _tell(self, name: str, text: int, words: dict[str, str]) -> None:
        """Puts better words for what a file was."""
        for place, (file, of, what, fresh) in enumerate(self.taken.files):
            if file == name and of == text and what in words:
                self.taken.files[place] = (file, of, words[what], fresh)


def _stamp(source: Source) -> tuple[int, int] | None:
    """Size and time of change: what tells that a file was not touched."""
    if source["path"] is None:
        return None
    try:
        found = os.stat(source["path"])  # noqa: PTH116 - a path as text
    except OSError as error:
        raise _unreadable(source["name"], error) from error
    return found.st_size, found.st_mtime_ns


def _size(source: Source) -> int:
    """The size of the content as far as it is known; packed content is about ten times as long."""
    stamp = _stamp(source)
    if stamp is not None:
        return stamp[0] * (10 if source["name"].endswith(".gz") else 1)
    return 0 if source["bytes"] is None else len(source["bytes"])


def _open(source: Source) -> _Given:
    """Opens a file; what is packed with gzip is unpacked."""
    name, folder = source["name"], source["folder"]
    if source["path"] is None:
        data = source["bytes"] if source["bytes"] is not None else source["file"].read()
        content, size = _unpacked(io.BytesIO(bytes(data)), len(data))
        return _given(name, folder, content, size, None)
    try:
        file = Path(source["path"]).open("rb")  # noqa: SIM115 - closed by `close`
        found = os.fstat(file.fileno())
        content, size = _unpacked(file, found.st_size)
    except OSError as error:
        raise _unreadable(name, error) from error
    return _given(name, folder, content, size, (found.st_size, found.st_mtime_ns))


def _given(name: str, folder: str, file: IO[bytes], size: int, stamp: tuple[int, int] | None) -> _Given:
    def read(start: int, count: int) -> bytes:
        try:
            file.seek(start)
            data = file.read(count)
        except OSError as error:
            raise _unreadable(name, error) from error
        if len(data) < count:
            raise SourceError(f"{name} was cut off while it was read: update again", location=name)
        return data

    packed, modified = (None, None) if stamp is None else stamp
    return _Given(name, folder, size, packed, modified, read, file.close)


def _unpacked(file: IO[bytes], size: int) -> tuple[IO[bytes], int]:
    """What a gzip file holds and how much; the file where it is none, or is damaged, so that its reader says so."""
    is_packed = file.read(2) == b"\x1f\x8b"
    file.seek(0)
    if not is_packed:
        return file, size
    content = SpooledTemporaryFile(max_size=IN_MEMORY)  # noqa: SIM115 - closed by `close`
    try:
        with gzip.GzipFile(fileobj=file) as packed:
            shutil.copyfileobj(packed, content, BLOCK)
    except (gzip.BadGzipFile, EOFError, zlib.error):
        content.close()
        return file, size
    file.close()
    return content, content.tell()


def _unreadable(name: str, error: OSError) -> SourceError:
    return SourceError(f"{name} cannot be read: {error.strerror or error}", location=name)


def _keep(connection: Connection, text: int, file: _Given, start: int) -> None:
    """Keeps what a file has from a byte on."""
    while start < file.size:
        data = file.read(start, min(BLOCK, file.size - start))
        keep_block(connection, text, start, data)
        start += len(data)


def keep_block(connection: Connection, text: int, start: int, data: bytes) -> None:
    """Keeps a block of a text, packed."""
    packed = zlib.compress(data, 1)
    last = connection.row("SELECT shelf, sum(packed) FROM blocks GROUP BY shelf ORDER BY shelf DESC LIMIT 1")
    shelf, used = (0, SHELF) if last is None else last
    if used + len(packed) > SHELF:
        shelf += 1
        connection.run(
            f"CREATE TABLE packed_{shelf} (text BIGINT NOT NULL, start BIGINT NOT NULL, content BLOB NOT NULL)"
        )
    connection.run(f"INSERT INTO packed_{shelf} VALUES (?, ?, ?)", [text, start, packed])  # noqa: S608 - our names
    connection.run(
        "INSERT INTO blocks VALUES (?, ?, ?, ?, ?, ?)", [text, start, len(data), len(packed), digest(data), shelf]
    )


class Kept(io.RawIOBase):
    """A text as a file that can be read from any byte on."""

    def __init__(self, connection: Connection, text: int, start: int = 0) -> None:
        super().__init__()
        self._connection = connection
        self._text = text
        self._at = start
        rows = connection.rows("SELECT start, bytes, shelf FROM blocks WHERE text = ? ORDER BY start", [text])
        self._blocks: list[tuple[int, int, int]] = rows
        self._starts = [start for start, *_ in rows]
        self._open: tuple[int, bytes] = (-1, b"")

    def read(self, size: int = -1) -> bytes:
        """The next bytes."""
        parts = []
        while size:
            block = self._block_at(self._at)
            if not block:
                break
            part = block if size < 0 else block[:size]
            parts.append(part)
            self._at += len(part)
            size -= len(part) if size > 0 else 0
        return b"".join(parts)

    def at(self, start: int, count: int) -> bytes:
        """So many bytes from one on."""
        self._at = start
        return self.read(count)

    def line(self, number: int, *, known: tuple[int, int] = (0, 0)) -> int | None:
        """At which byte a line begins, counted from 1; `known` are a byte and the lines before it."""
        at, lines = known
        wanted = number - 1
        while lines < wanted:
            block = self._block_at(at)
            if not block:
                return None
            here = block.count(b"\n")
            if lines + here < wanted:
                at, lines = at + len(block), lines + here
                continue
            place = -1
            for _ in range(wanted - lines):
                place = block.index(b"\n", place + 1)
            return at + place + 1
        return at

    def _block_at(self, at: int) -> bytes:
        """The rest of the block that a byte lies in."""
        place = bisect_right(self._starts, at) - 1
        if place < 0:
            return b""
        start, count, shelf = self._blocks[place]
        if at >= start + count:
            return b""
        if self._open[0] != start:
            row = self._connection.row(
                f"SELECT content FROM packed_{shelf} WHERE text = ? AND start = ?",  # noqa: S608 - our names
                [self._text, start],
            )
            self._open = (start, zlib.decompress(row[0]))
        return self._open[1][at - start :]


class KeptTexts:
    """The texts of a book, as `usage.tails` reads them."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        rows = connection.rows("SELECT text, origin, folder, is_plain FROM texts")
        self._texts: dict[int, tuple[str, str, bool]] = {text: tuple(about) for text, *about in rows}
        self._open: tuple[int, Kept] | None = None

    def source(self, part: Part) -> Source:
        """A part under the name that its file had when it came."""
        name, folder, _ = self._texts[part.text]
        kept = Kept(self._connection, part.text, part.byte)
        return {"name": f"{part.text}/{name}", "folder": folder, "path": None, "bytes": None, "file": kept}

    def is_plain(self, text: int) -> bool:
        """What was seen of the text when it came."""
        return self._texts[text][2]

    def byte_of(self, line: int, *, text: int, known: tuple[int, int]) -> int | None:
        """At which byte a line begins."""
        return self._kept(text).line(line, known=known)

    def at(self, byte: int, count: int, *, text: int) -> bytes:
        """So many bytes from one on."""
        return self._kept(text).at(byte, count)

    def _kept(self, text: int) -> Kept:
        """A text, of which the last block that was unpacked is at hand."""
        if self._open is None or self._open[0] != text:
            self._open = (text, Kept(self._connection, text))
        return self._open[1]
