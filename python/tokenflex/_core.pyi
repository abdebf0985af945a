# The compiled part. Call it through the public verbs.

from collections.abc import Callable
from typing import Any, TypedDict, final

__version__: str
zone_database_version: str
is_optimized: bool

@final
class Table:
    def __arrow_c_stream__(self, requested_schema: object = None) -> object: ...

class Terms(TypedDict):
    length: int | None
    zone: str | None
    servers: dict[str, str]
    min_duration: int
    rates: list[tuple[str, int, int]]

class Source(TypedDict):
    name: str
    folder: str
    path: str | None
    bytes: bytes | None
    file: Any

class ReadOptions(TypedDict):
    sources: list[Source]
    timezone: str | None
    timezones: dict[str, str]
    server: str | None
    encoding: str
    first_date: int | None
    threads: int | None

def check_zone(name: str) -> str: ...
def dense_codes(table: object) -> tuple[Table, Table]: ...
def charge(
    sessions: object, coded: dict[str, tuple[object, object]], *, terms: Terms, as_of: int | None
) -> tuple[Table, Table, list[tuple[str, int]]]: ...
def pair(events: object, *, packages: object, as_of: int | None) -> tuple[Table, Table, int]: ...
def package_lines(events: object, *, packages: object) -> Table: ...
def read_flexlm(
    options: ReadOptions, *, progress: Callable[[int], object] | None
) -> tuple[Table, Table, Table, Table, Table]: ...
