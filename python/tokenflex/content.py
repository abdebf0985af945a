"""Tables as bytes, and the hash of bytes: what is kept in folders and packs."""

from __future__ import annotations

import hashlib
import io
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import polars as pl


def digest(content: bytes) -> str:
    """The SHA-256 of bytes, in hexadecimal digits."""
    return hashlib.sha256(content).hexdigest()


def parquet_of(table: pl.DataFrame) -> bytes:
    """A table as Parquet."""
    out = io.BytesIO()
    table.write_parquet(out)
    return out.getvalue()
