"""How results look in a notebook: what `repr` says, and the tables that matter most, every name escaped."""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal
from html import escape
from types import NoneType
from typing import TYPE_CHECKING, Any, Final

from tokenflex.words import spoken, tokens

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import polars as pl

ROWS_SHOWN: Final = 8
COLUMNS_SHOWN: Final = 12
_LONGEST: Final = 120


class Shown:
    """What has a `_repr_html_`: a class names its tables in `_tables_shown`."""

    def _tables_shown(self) -> Mapping[str, pl.DataFrame]:
        """The tables to show, by their titles."""
        raise NotImplementedError(type(self).__name__)

    def _repr_html_(self) -> str:
        return html_of(repr(self), self._tables_shown())


def html_of(said: str, shown: Mapping[str, pl.DataFrame]) -> str:
    """What is said and some rows of each table, as HTML that holds no markup but its own.

    >>> import polars as pl
    >>> text = html_of("<Ledger of 7>", {"users": pl.DataFrame({"user": ["<script>"]})})
    >>> "&lt;Ledger of 7&gt;" in text, "<script>" in text, "&lt;script&gt;" in text
    (True, False, True)
    """
    parts = [f"<pre>{escape(said)}</pre>"]
    parts += [_table(title, table) for title, table in shown.items()]
    return f"<div>{''.join(parts)}</div>"


def _table(title: str, table: pl.DataFrame) -> str:
    names = table.columns[:COLUMNS_SHOWN]
    heads = "".join(f"<th>{escape(name)}</th>" for name in names)
    rows = "".join(
        f"<tr>{''.join(_cell(value) for value in row)}</tr>" for row in table.select(names).head(ROWS_SHOWN).iter_rows()
    )
    left, wide = table.height - ROWS_SHOWN, table.width - COLUMNS_SHOWN
    more = [f"{left:,} more rows"] if left > 0 else []
    more += [f"{wide:,} more columns"] if wide > 0 else []
    caption = f"{title} (and {', '.join(more)})" if more else title
    return (
        f'<table><caption style="text-align:left">{escape(caption)}</caption>'
        f"<thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table>"
    )


def _cell(value: object) -> str:
    is_number = isinstance(value, int | float | Decimal) and not isinstance(value, bool)
    return f'<td style="text-align:{"right" if is_number else "left"}">{escape(_words(value))}</td>'


def _words(value: object) -> str:
    """A value for the eye."""
    kind = next((kind for kind in _KINDS if isinstance(value, kind)), None)
    text = str(value) if kind is None else _KINDS[kind](value)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"


def _lasting(value: timedelta) -> str:
    return spoken(value) if value >= timedelta(0) else f"-{spoken(-value)}"


_KINDS: Final[dict[type, Callable[[Any], str]]] = {
    NoneType: lambda _: "",
    bool: lambda value: "yes" if value else "no",
    Decimal: tokens,
    int: lambda value: f"{value:,}",
    float: lambda value: f"{value:,.4g}",
    datetime: lambda value: f"{value:%Y-%m-%d %H:%M:%S}{'Z' if value.tzinfo else ''}",
    timedelta: _lasting,
    list: lambda value: ", ".join(map(str, value)),
}
"""By kind, the first that fits, how a value is shown; anything else as text."""
