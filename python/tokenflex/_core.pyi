# The compiled part. Call it through the public verbs.

from collections.abc import Callable
from typing import Any, TypeAlias, TypedDict, final

__version__: str
"""The version of this package."""
zone_database_version: str
"""The release of the IANA time zone database that is bundled, such as `2026a`."""
is_optimized: bool

@final
class Table:
    def __arrow_c_stream__(self, requested_schema: object = None) -> object: ...

class Terms(TypedDict):
    length: int | None
    zone: str
    day_start: int
    renew: bool
    min_duration: int
    idle_after: int | None
    per_server: bool
    machine_metered: list[str]
    families: list[tuple[str, str]]
    zones: dict[str, str]
    rates: list[tuple[str, int, int]]

Coded: TypeAlias = dict[str, tuple[object, object]]
Charged: TypeAlias = tuple[Table, Table, list[tuple[str, int]]]

@final
class Prepared:
    def __new__(cls, sessions: object, coded: Coded, *, as_of: int | None) -> Prepared: ...
    def __len__(self) -> int: ...

@final
class Meter:
    def __new__(cls, terms: Terms) -> Meter: ...
    def push(self, sessions: object, coded: Coded, *, activity: object) -> Charged: ...
    def finish(self, as_of: int | None) -> Charged: ...
    def latest_start(self) -> int: ...
    def save(self) -> Table: ...
    @staticmethod
    def restore(terms: Terms, state: object) -> Meter: ...

class DoublesTerms(TypedDict):
    persons: list[tuple[str, str]]
    lines: list[tuple[str, str]]
    families: list[tuple[str, str]]
    stays: list[tuple[str, int, int, str]]
    day_start: int
    by_days: bool
    per_server: bool

def double_charges(charges: object, coded: Coded, *, terms: DoublesTerms) -> tuple[Table, Table]: ...

class LedgerTerms(TypedDict):
    pools: list[tuple[str, int, int, int, int | None]]
    bookings: list[tuple[int, str, int, int | None]]
    on_empty: str
    products: list[str] | None
    as_of: int | None
    at_least: int

def settle(charges: object, coded: Coded, *, terms: LedgerTerms) -> tuple[Table, Table, list[int], int]: ...

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
def dense_codes(table: object) -> list[tuple[Table, Table]]: ...
def charge(sessions: object, coded: Coded, *, terms: Terms, as_of: int | None, activity: object) -> Charged: ...
def categorize(
    sessions: object, coded: Coded, *, terms: Terms, as_of: int | None, activity: object
) -> tuple[Table, Charged]: ...
def site_totals(
    sessions: object,
    coded: Coded,
    *,
    sites: tuple[object, int],
    terms: Terms,
    zones: list[str] | None,
    as_of: int | None,
) -> tuple[Table, Table, list[str]]: ...
def replay(
    prepared: Prepared, terms: list[Terms], *, progress: Callable[[int], object] | None
) -> list[tuple[int, int, int]]: ...

class Stated(TypedDict):
    level: str
    dates: tuple[int, int]
    others: tuple[int, int]

Fit: TypeAlias = tuple[int, int, int, int, int, int, tuple[int, int]]

def fit_rules(
    prepared: Prepared,
    terms: list[Terms],
    stated: Stated,
    units: object,
    *,
    progress: Callable[[int], object] | None,
) -> list[Fit]: ...
def explained_by_rules(prepared: Prepared, terms: list[Terms], claims: object, groups: int) -> list[list[int]]: ...
def matched_lines(ours: object, vendors: object, *, by_days: bool, reach: int) -> Table: ...
def pair(events: object, *, packages: object, as_of: int | None) -> tuple[Table, Table, int]: ...
def held(events: object, *, packages: object, as_of: int | None) -> tuple[Table, Table, Table]: ...
def pair_on(
    events: object,
    *,
    packages: object,
    as_of: int | None,
    carried: object,
    last_seen: int | None,
    keep_at: int | None,
) -> tuple[Table, Table, Table, Table, int | None, bool]: ...
def instants(table: object, zone: str) -> Table: ...
def local_times(table: object, zone: str) -> Table: ...
def text_head(path: str, limit: int) -> str: ...
def excerpt(path: str, encoding: str, numbers: list[int]) -> list[str | None]: ...
def package_lines(events: object, *, packages: object) -> Table: ...
def read_flexlm(
    options: ReadOptions, *, progress: Callable[[int], object] | None
) -> tuple[Table, Table, Table, Table, Table]: ...
def read_flexlm_on(
    options: ReadOptions, lines_before: list[int], *, progress: Callable[[int], object] | None
) -> tuple[tuple[Table, Table, Table, Table, Table], Table, list[list[str]]]: ...

class Spooled:
    def __init__(
        self, options: ReadOptions, *, folder: str, chunk_rows: int, progress: Callable[[int], object] | None
    ) -> None: ...
    def tables(self) -> tuple[Table, Table, Table, Table]: ...
    def servers(self) -> list[str]: ...

class ServerSessions:
    def __init__(self, log: Spooled, server: int) -> None: ...
    def next(self, rows: int) -> tuple[Table, Table, Table, tuple[int, int], int | None] | None: ...

def read_lmstat(
    options: ReadOptions, *, progress: Callable[[int], object] | None
) -> tuple[Table, Table, Table, Table, Table, Table, Table]: ...
def read_rlm(
    options: ReadOptions, *, progress: Callable[[int], object] | None
) -> tuple[Table, Table, Table, Table, Table]: ...

class Asked(TypedDict):
    sessions: object
    keys: list[tuple[object, list[int]]]
    count: str
    as_of: int | None

class Window(TypedDict):
    since: int | None
    until: int | None
    clock_key: int | None
    zones: list[str]
    hours: tuple[list[bool], int, int, list[int]] | None

def concurrency(asked: Asked) -> tuple[list[tuple[Table, Table]], Table, Table]: ...
def capacity_levels(
    asked: Asked, window: Window
) -> tuple[tuple[Table, Table, tuple[int, int], list[int]], Table, Table]: ...
def heat_cells(asked: Asked, window: Window) -> tuple[Table, Table, Table]: ...
