"""Tables of the page, by great-tables: headings, row heads and notes in their places, every cell escaped."""

from __future__ import annotations

from html import escape

import great_tables as gt
import polars as pl

from tokenflex.reporting.page import say
from tokenflex.reporting.page.plain import plain


def grid(table: pl.DataFrame, *, name: str, caption: str, note: str) -> str:
    """The table as HTML: the first column heads the rows, the caption names it, the note stands at its foot.

    Args:
        table: as it is shown, already cut
        name: of the table, unique on the page
        caption: what it shows
        note: what has to be said of it at its foot, or nothing
    """
    # Values are written here, not by great-tables: its formats go through binary floats, and tokens are exact.
    texts = pl.DataFrame(
        {f"c{place}": say.cells(column) for place, column in enumerate(table.iter_columns())},
        schema={f"c{place}": pl.String for place in range(table.width)},
    )
    numbers = [f"c{place}" for place, column in enumerate(table.iter_columns()) if say.is_number(column)]
    times = [f"c{place}" for place, column in enumerate(table.iter_columns()) if column.dtype.is_temporal()]
    others = [column for column in texts.columns if column not in numbers and column not in times]
    made = gt.GT(texts, id=f"t-{name}", rowname_col="c0", auto_align=False)
    # As HTML that is escaped here: in labels of text, great-tables takes `{{m^2}}` for a unit.
    heads = [gt.html(escape(say.heading(column))) for column in table.iter_columns()]
    made = made.tab_stubhead(heads[0])
    made = made.cols_label(None, **{f"c{place}": head for place, head in enumerate(heads)})
    if numbers:
        made = made.cols_align("right", columns=numbers)
    if times:
        # To the left as well: the style sheet knows by this class what not to break at its hyphens.
        made = made.cols_align("center", columns=[column for column in times if column not in numbers])
    if others:
        made = made.cols_align("left", columns=others)
    if note:
        made = made.tab_source_note(plain(note))
    html = made.as_raw_html()
    # Its own style sheet is left out: 20 kB for each table, and the page has one for all, as its policy wants.
    inside = html[html.index("<thead") : html.rindex("</table>")]
    return f'<table class="grid"><caption>{escape(plain(caption))}</caption>{inside}</table>'
