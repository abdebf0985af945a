"""The few marks that the pictures are made of, as SVG text."""

from __future__ import annotations

from html import escape

INK = "#222222"
SOFT = "#777777"
GRID = "#dddddd"
LOW = "#2a7f9e"
HIGH = "#c8642a"
_FONT = "Helvetica, Arial, sans-serif"


def text(
    x: float, y: float, words: str, *, size: int = 13, anchor: str = "start", bold: bool = False, ink: str = INK
) -> str:
    """Words whose baseline is at y."""
    weight = ' font-weight="bold"' if bold else ""
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" text-anchor="{anchor}"{weight} fill="{ink}">'
        f"{escape(words)}</text>"
    )


def line(x1: float, y1: float, x2: float, y2: float, *, ink: str = GRID, width: float = 1, dashes: str = "") -> str:
    """A straight line."""
    dashed = f' stroke-dasharray="{dashes}"' if dashes else ""
    return (
        f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{ink}" stroke-width="{width}"{dashed}/>'
    )


def bar(x: float, y: float, width: float, height: float, ink: str) -> str:
    """A filled rectangle; one of no width is left out."""
    if width <= 0 or height <= 0:
        return ""
    return f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" fill="{ink}"/>'


def picture(width: int, height: int, title: str, marks: list[str]) -> str:
    """The whole picture, on white, so that it can be read on a dark page and in print."""
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
        f'font-family="{_FONT}" role="img">'
    )
    body = [f"<title>{escape(title)}</title>", bar(0, 0, width, height, "#ffffff"), *filter(None, marks)]
    return "\n".join([head, *body, "</svg>", ""])


def ticks(least: float, most: float, step: int) -> list[int]:
    """Round numbers from at or below the least to at or above the most."""
    first = int(least // step) * step
    found = [first]
    while found[-1] < most:
        found.append(found[-1] + step)
    return found
