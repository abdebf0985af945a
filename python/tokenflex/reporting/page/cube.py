"""The figures that filters are computed from, as JSON that may stand in a page."""

from __future__ import annotations

import json
from typing import Any, Final

import polars as pl

from tokenflex.reporting.page.plain import NAME, plain

UNIT: Final = 10_000
"""Tokens are counted in ten-thousandths: whole numbers, which JavaScript adds without rounding up to 2**53."""
TIME: Final = "month"
DIMENSIONS: Final = (TIME, "product", "group", "site", "server")
"""What can be chosen; one of which nothing is known is left out."""
_UNKNOWN: Final = "not known"


def of(cube: pl.DataFrame) -> dict[str, Any]:
    """The cube by columns, each name once: `dims` with their names, `rows` with places in them, tokens, charges."""
    dims, rows = [], {}
    for key in DIMENSIONS:
        if cube[key].null_count() == cube.height:
            continue
        texts = _texts(cube[key])
        names = texts.unique().sort()
        places = pl.DataFrame({"name": names}).with_row_index("place")
        rows[key] = pl.DataFrame({"name": texts}).join(places, on="name", how="left", maintain_order="left")["place"]
        dims.append({"key": key, "label": key, "values": [plain(name, NAME) for name in names]})
    tokens = (cube["tokens"].fill_null(0) * UNIT).cast(pl.Int64)
    return {
        "unit": UNIT,
        "time": TIME,
        "dims": dims,
        "rows": {key: places.to_list() for key, places in rows.items()},
        "tokens": tokens.to_list(),
        "charges": cube["charges"].cast(pl.Int64).to_list(),
        "unrated": cube["charges_without_rate"].cast(pl.Int64).to_list(),
    }


def embedded(content: object) -> str:
    """JSON that nothing in a page takes for markup, whatever names are in it."""
    text = json.dumps(content, ensure_ascii=False, separators=(",", ":"))
    for sign in "<>&\u2028\u2029":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return text


def _texts(values: pl.Series) -> pl.Series:
    if values.dtype == pl.Date:
        return values.dt.to_string("%Y-%m")
    return values.cast(pl.String).fill_null(_UNKNOWN)
