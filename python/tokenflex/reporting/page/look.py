"""How charts look: one style for all, whose colours are the page's, so that they follow its dark and light."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import vl_convert

from tokenflex.reporting.page.plain import NAME, plain

if TYPE_CHECKING:
    import altair as alt

WIDTH: Final = 760
"""Of every chart, in pixels, with its axes. On a narrow screen it scrolls within its frame."""
FONT: Final = "Helvetica, Arial, sans-serif"
INK, SOFT, GRID = "var(--ink)", "var(--soft)", "var(--grid)"
ACCENT, WARN, REST = "var(--accent)", "var(--warn)", "var(--s0)"
SERIES: Final = tuple(f"var(--s{number})" for number in range(1, 7))
"""Colours of the series of one chart, in order; what is left over has `REST`."""

VALIDATED = False
"""Whether charts are held against the schema of Vega-Lite. The tests do; on each report it would only take time."""
LIGHT: Final = {
    "ground": "#ffffff",
    "panel": "#f6f7f9",
    "ink": "#1b1f24",
    "soft": "#59626e",
    "grid": "#e3e6ea",
    "edge": "#8b94a0",
    "accent": "#1f5fa8",
    "band": "#cfe0f2",
    "good": "#1d7044",
    "warn": "#a8480a",
    "bad": "#b3261e",
    "s0": "#a3abb5",
    "s1": "#1f5fa8",
    "s2": "#d98a2b",
    "s3": "#3f9c7a",
    "s4": "#b8577f",
    "s5": "#7a6bc0",
    "s6": "#74aacb",
}
DARK: Final = {
    "ground": "#14171b",
    "panel": "#1c2026",
    "ink": "#e8eaed",
    "soft": "#a2abb6",
    "grid": "#2b3138",
    "edge": "#6a7480",
    "accent": "#7db3ec",
    "band": "#2a4766",
    "good": "#7cc79b",
    "warn": "#f0a35e",
    "bad": "#f28b82",
    "s0": "#6d7681",
    "s1": "#6fa8e6",
    "s2": "#e0a050",
    "s3": "#62bd97",
    "s4": "#d483a6",
    "s5": "#a597e8",
    "s6": "#a9d3e8",
}
_AXIS: Final = {
    "labelColor": SOFT,
    "titleColor": SOFT,
    "titleFontWeight": "normal",
    "labelFontSize": 12,
    "titleFontSize": 12,
    "labelFont": FONT,
    "titleFont": FONT,
    "gridColor": GRID,
    "domain": False,
    "ticks": False,
    "labelPadding": 6,
    "titlePadding": 10,
}
_CONFIG: Final[dict[str, Any]] = {
    "aria": False,  # one text says what the whole chart shows; hundreds of marks would each be read
    "background": None,
    "font": FONT,
    "view": {"stroke": None},
    "axis": _AXIS,
    "axisX": {"grid": False},
    "legend": {
        "orient": "top",
        "direction": "horizontal",
        "title": None,
        "labelColor": INK,
        "labelFont": FONT,
        "labelFontSize": 12,
        "labelLimit": 150,
        "columns": 4,
        "symbolType": "square",
        "symbolSize": 110,
        "padding": 0,
        "offset": 14,
    },
    "text": {"font": FONT, "fontSize": 12, "color": INK},
}


@dataclass(frozen=True)
class Picture:
    """A chart as SVG, to stand within the page.

    Attributes:
        svg: what stands within the tag; all names in it are escaped
        box: its `viewBox`
        says: what it shows, in words, for those who do not see it
        marks: how many bars, points or cells it was given
        finding: what stands out, in words and numbers
    """

    svg: str
    box: str
    says: str
    marks: int
    finding: str


def drawn(chart: alt.Chart | alt.LayerChart, *, says: str, marks: int, height: int, finding: str = "") -> Picture:
    """Draws a chart, without any network."""
    sized = chart.properties(width=WIDTH, height=height, autosize={"type": "fit", "contains": "padding"})
    spec = _plain(sized.to_dict(validate=VALIDATED))
    spec["config"] = _CONFIG
    # Letters are measured without the reader's fonts, so names at the left get some room more.
    spec["padding"] = {"left": 22, "right": 8, "top": 6, "bottom": 4}
    svg = vl_convert.vegalite_to_svg(spec, allowed_base_urls=[])
    head, marked = svg.split(">", 1)
    box = re.search(r'viewBox="([\d. -]+)"', head)
    if box is None:  # pragma: no cover - vl-convert always writes one
        raise AssertionError(head)
    # Within tags only: a name is text between them, and there `<` and `>` are escaped.
    return Picture(re.sub(r"<[^>]+>", _lighter, marked), box[1], says, marks, finding)


def _plain(value: Any) -> Any:  # noqa: ANN401 - a tree of JSON
    """The same with every text as it is shown; see `plain`."""
    if isinstance(value, dict):
        return {key: _plain(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_plain(each) for each in value]
    return plain(value, NAME) if isinstance(value, str) else value


def _lighter(tag: re.Match[str]) -> str:
    """A tag without what a page does not need: empty shapes, hints for editors, the tenth of a pixel's tenth."""
    text = tag[0]
    if text.startswith(('<path class="background"', '<path class="foreground"')):
        return ""
    text = re.sub(r' (?:pointer-events|aria-hidden|role|aria-roledescription|stroke-miterlimit)="[^"]*"', "", text)
    text = text.replace(' opacity="1"', "")
    text = text.replace(f' font-family="{FONT}"', "")
    return re.sub(r"(\d\.\d\d)\d+", r"\1", text)
