"""Where readers read from: paths, folders, patterns, bytes and file objects, as the compiled part takes them."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Final, TypeAlias

from tokenflex.errors import ArgumentTypeError, SourceNotFoundError

if TYPE_CHECKING:
    from datetime import date

    from tokenflex._core import ReadOptions, Source

LogSource: TypeAlias = str | os.PathLike[str] | bytes | BinaryIO
"""One place that a log comes from."""

PACKED: Final = (".gz", ".zst")
"""Endings of packed files."""

UNIX_EPOCH: Final = 719_163
"""The ordinal of 1970-01-01."""


@dataclass(frozen=True)
class Folders:
    """Which files of a folder a reader takes, unless they are named one by one.

    Attributes:
        what: What the files are, in the plural.
        words: Texts of which a file's name holds one.
        endings: Or else endings of which it has one.
    """

    what: str
    words: tuple[str, ...]
    endings: tuple[str, ...]

    def takes(self, path: Path) -> bool:
        """Whether the reader takes this file of a folder."""
        name = path.name.lower()
        for ending in PACKED:
            name = name.removesuffix(ending)
        # `~$` is what a spreadsheet program writes beside a workbook that it has open.
        is_hidden = name.startswith((".", "~$"))
        return not is_hidden and (any(word in name for word in self.words) or name.endswith(self.endings))

    def looked_for(self) -> str:
        """The same in words."""
        named = " or ".join(f"`{word}`" for word in self.words)
        endings = f"{', '.join(self.endings[:-1])} and {self.endings[-1]}"
        return f"files with {named} in their names, {endings}" if named else endings


def read_options(
    source: LogSource | Iterable[LogSource],
    folders: Folders,
    *,
    timezone: str | Mapping[str, str] | None,
    server: str | None,
    encoding: str,
    first_date: date | None = None,
    threads: int | None = None,
) -> ReadOptions:
    """What the compiled readers take."""
    if timezone is not None and not isinstance(timezone, str | Mapping):
        raise ArgumentTypeError(
            f"timezone has to be an IANA name or a mapping from server to name, not {type(timezone).__name__}",
            location="timezone",
        )
    return {
        "sources": sources_of(source, folders),
        "timezone": timezone if isinstance(timezone, str) else None,
        "timezones": {str(name): zone for name, zone in timezone.items()} if isinstance(timezone, Mapping) else {},
        "server": server,
        "encoding": encoding,
        "first_date": None if first_date is None else first_date.toordinal() - UNIX_EPOCH,
        "threads": threads,
    }


def size_of(options: ReadOptions) -> int | None:
    """How many bytes there are to read, as far as that is known."""
    paths = [Path(part["path"]) for part in options["sources"] if part["path"] is not None]
    return sum(path.stat().st_size for path in paths) or None


def sources_of(source: object, folders: Folders) -> list[Source]:
    """Each file of what the caller gave."""
    if isinstance(source, bytes | bytearray | memoryview):
        return [_part("<bytes>", data=bytes(source))]
    if hasattr(source, "read"):
        name = getattr(source, "name", None)
        return [_part(name if isinstance(name, str) else "<stream>", file=source)]
    if isinstance(source, str | os.PathLike):
        return [_part(str(path), path=path) for path in files_of(os.fsdecode(source), folders)]
    if isinstance(source, Iterable):
        parts = [part for each in source for part in sources_of(each, folders)]
        if not parts:
            raise SourceNotFoundError(f"no {folders.what} were given", location="source")
        return parts
    raise ArgumentTypeError(
        f"source has to be a path, bytes, a binary file or several of these, not {type(source).__name__}",
        location="source",
    )


def _part(name: str, *, path: Path | None = None, data: bytes | None = None, file: Any = None) -> Source:  # noqa: ANN401
    folder = "" if path is None else str(path.parent)
    return {"name": name, "folder": folder, "path": None if path is None else str(path), "bytes": data, "file": file}


def files_of(text: str, folders: Folders) -> list[Path]:
    """The file of a path, the files of a folder that the reader takes, or those of a pattern.

    Raises:
        SourceNotFoundError: There is none.
    """
    path = Path(text)
    if path.is_dir():
        files = sorted(each for each in path.rglob("*") if each.is_file() and folders.takes(each))
        if not files:
            raise SourceNotFoundError(
                f"the folder {text} holds no {folders.what}: looked for {folders.looked_for()}; give the files "
                "themselves, or a pattern such as 'folder/*.dbg'",
                location=text,
            )
        return files
    if path.exists():
        return [path]
    if glob.has_magic(text):
        files = sorted(Path(match) for match in glob.iglob(text, recursive=True) if Path(match).is_file())  # noqa: PTH207 - Path.glob takes no absolute pattern
        if not files:
            raise SourceNotFoundError(f"no file matches the pattern {text}", location=text)
        return files
    raise SourceNotFoundError(f"there is no file or folder {text}", location=text)
