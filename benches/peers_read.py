"""What a user would write in place of `tokenflex.read_flexlm`: one regular expression, in three engines.

Each peer yields time of day, kind, feature, user and host as text. None of them works out dates, zones, midnights or
mended lines, which `read_flexlm` does in the time that is measured.
"""

from __future__ import annotations

import re
import subprocess
from typing import TYPE_CHECKING, Final

import polars as pl

if TYPE_CHECKING:
    from pathlib import Path

    import duckdb

COLUMNS: Final = ("time", "kind", "feature", "user", "host")
_BEGINNING: Final = r'^ ?([0-9:]+) \([^)]+\) (OUT|IN|DENIED|UNSUPPORTED): "([^"]+)" (?:\([0-9A-F ]+\) )?'
PATTERN: Final = _BEGINNING + r"(.+)@([^ ]+)"
"""The user runs to the last @; a fingerprint may stand before."""
NARROW_PATTERN: Final = _BEGINNING + r"([^@(]+)@([^ ]+)"
"""By somebody who knows that no user's name holds an @ or a parenthesis: twice as fast in the engine of polars."""


def events_in_polars(path: Path, pattern: str = PATTERN) -> pl.DataFrame:
    """Lines, then one regular expression over them, on all cores."""
    lines = pl.scan_lines(path, name="line")
    fields = pl.col("line").str.extract_groups(pattern).struct.rename_fields(COLUMNS)
    events = lines.select(fields).unnest("line").filter(pl.col("kind").is_not_null())
    return events.collect(engine="streaming")


def events_in_duckdb(connection: duckdb.DuckDBPyConnection, path: Path) -> pl.DataFrame:
    """Lines as a CSV of one column, then one regular expression over them."""
    return connection.sql(_QUERY, params={"path": str(path), "pattern": PATTERN}).pl()


_QUERY: Final = """
    select unnest(fields)
    from (
        select regexp_extract(line, $pattern, ['time', 'kind', 'feature', 'user', 'host']) as fields
        from read_csv($path, columns = {line: 'varchar'}, header = false, auto_detect = false,
                      delim = '\\x01', quote = '', escape = '', max_line_size = 1000000)
    )
    where fields.kind <> ''
"""


def events_in_python(path: Path) -> list[tuple[str, ...]]:
    """A loop over the lines, without a table at its end."""
    match = re.compile(PATTERN).match
    with path.open(encoding="utf-8") as lines:
        return [found.groups() for found in map(match, lines) if found]


def count_checkouts(path: Path) -> int:
    """The floor: to find the lines, and nothing else."""
    grep = subprocess.run(["grep", "-c", " OUT: ", str(path)], check=True, capture_output=True)
    return int(grep.stdout)
