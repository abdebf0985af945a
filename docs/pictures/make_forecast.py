"""Draws `forecast.svg` of docs/forecast.md: an invented firm's weeks, what is forecast, and what came.

Run it from the root of the repository: `python docs/pictures/make_forecast.py`.
"""

from __future__ import annotations

import sys
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import polars as pl

import tokenflex as tf

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "tests"))
from firms_to_forecast import PROCESSES, firm, last_day  # noqa: E402 - found by the line above

PAST, AHEAD, SHOWN = 60, 13, 30
WIDTH, HEIGHT = 860, 440
LEFT, RIGHT, TOP, BOTTOM = 78, 22, 76, 62
BLUE, GREY, RED, BAND = "#1f5fa8", "#444444", "#b3261e", "#c9ddf2"


def drawn() -> str:
    """The picture."""
    whole = firm(PROCESSES["weeks hang together"], 5, weeks=PAST + AHEAD)
    found = tf.forecast(whole, horizon=AHEAD * 7, countries="ES", until=last_day(PAST), model="weekday")
    daily = whole.group_by("usage_date").agg(pl.col("tokens").sum()).sort("usage_date")
    weeks = daily["tokens"].to_numpy().reshape(-1, 7).sum(axis=1)
    paths = found.paths(2_000).reshape(2_000, AHEAD, 7).sum(axis=2)
    low, high = np.quantile(paths, [0.1, 0.9], axis=0)
    mean = found.days["mean"].cast(pl.Float64).to_numpy().reshape(-1, 7).sum(axis=1)
    came = weeks[PAST:]
    least, most = np.quantile(paths.sum(axis=1), [0.1, 0.9])
    inside = int(((came >= low) & (came <= high)).sum())
    between = f"between {least:,.0f} and {most:,.0f} in 8 of 10 cases"
    title = f"The {AHEAD} weeks to come take {mean.sum():,.0f} tokens, {between}"
    subtitle = f"{came.sum():,.0f} came, and {inside} of the {AHEAD} weeks lay in their interval. An invented firm."
    top = 1_000 * np.ceil(max(high.max(), weeks[PAST - SHOWN :].max()) / 1_000)
    axis = Axis(first=PAST - SHOWN, last=PAST + AHEAD - 1, top=float(top))
    ahead = range(PAST, PAST + AHEAD)
    band = [(week, value) for week, value in zip(ahead, high, strict=True)]
    band += [(week, value) for week, value in reversed(list(zip(ahead, low, strict=True)))]
    corners = " ".join(f"{axis.x(week):.1f},{axis.y(value):.1f}" for week, value in band)
    size = f'viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}"'
    font = 'font-family="Helvetica, Arial, sans-serif"'
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} {font} role="img">',
        f"<title>{title}</title>",
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
        text(LEFT, 28, title, size=16, weight="bold"),
        text(LEFT, 50, subtitle, size=13, colour=GREY),
        *axis.lines(),
        f'<polygon points="{corners}" fill="{BAND}"/>',
        line(axis, range(PAST - SHOWN, PAST), weeks[PAST - SHOWN : PAST], colour=GREY),
        line(axis, ahead, mean, colour=BLUE),
        *dots(axis, ahead, came, colour=RED),
        text(axis.x(PAST - SHOWN / 2), axis.y(weeks.max() * 0.62), "used", colour=GREY, anchor="middle"),
        text(axis.x(PAST + 1), axis.y(low.min()) + 30, "forecast", colour=BLUE),
        text(axis.x(PAST + 1), axis.y(low.min()) + 48, "interval of 80 % of the weeks", colour=BLUE),
        text(axis.x(PAST + 1), axis.y(low.min()) + 66, "● what came", colour=RED),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


class Axis:
    """Where a week and its tokens stand."""

    def __init__(self, *, first: int, last: int, top: float) -> None:
        self.first, self.last, self.top = first, last, top

    def x(self, week: float) -> float:
        """Of a week."""
        return LEFT + (week - self.first) / (self.last - self.first) * (WIDTH - LEFT - RIGHT)

    def y(self, tokens: float) -> float:
        """Of tokens."""
        return HEIGHT - BOTTOM - tokens / self.top * (HEIGHT - TOP - BOTTOM)

    def lines(self) -> list[str]:
        """The lines of both axes, with what stands at them."""
        found = []
        for tokens in range(0, int(self.top) + 1, 2_000):
            y = self.y(tokens)
            found.append(f'<line x1="{LEFT}" y1="{y:.1f}" x2="{WIDTH - RIGHT}" y2="{y:.1f}" stroke="#dddddd"/>')
            found.append(text(LEFT - 8, y + 4, f"{tokens:,}", anchor="end", colour=GREY))
        monday = last_day(0) + timedelta(days=1)
        days = [monday + timedelta(weeks=week) for week in range(self.first, self.last + 1)]
        months = sorted({day.replace(day=1) for day in days if day.replace(day=1) >= days[0]})
        for month in months:
            x = self.x((month - monday).days / 7)
            found.append(
                f'<line x1="{x:.1f}" y1="{self.y(0):.1f}" x2="{x:.1f}" y2="{self.y(0) + 5:.1f}" stroke="{GREY}"/>'
            )
            found.append(
                text(x, self.y(0) + 20, f"{month:%b %Y}" if is_first(month, months) else f"{month:%b}", colour=GREY)
            )
        found.append(text(LEFT - 62, TOP + (HEIGHT - TOP - BOTTOM) / 2, "tokens a week", colour=GREY, turned=True))
        found.append(text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 14, "week, by its Monday", colour=GREY, anchor="middle"))
        return found


def is_first(month: date, months: list[date]) -> bool:
    """Whether it is the first of its year that is shown."""
    return min(each for each in months if each.year == month.year) == month


def text(
    x: float, y: float, words: str, *, size: int = 13, colour: str = "black", weight: str = "normal",
    anchor: str = "start", turned: bool = False,
) -> str:  # fmt: skip
    """Words at a place."""
    turn = f' transform="rotate(-90 {x:.1f} {y:.1f})"' if turned else ""
    middle = "middle" if turned else anchor
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" fill="{colour}" font-weight="{weight}" '
        f'text-anchor="{middle}"{turn}>{words}</text>'
    )


def line(axis: Axis, weeks: range, tokens: np.ndarray, *, colour: str) -> str:
    """A line through weeks."""
    points = " ".join(f"{axis.x(week):.1f},{axis.y(value):.1f}" for week, value in zip(weeks, tokens, strict=True))
    return f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2"/>'


def dots(axis: Axis, weeks: range, tokens: np.ndarray, *, colour: str) -> list[str]:
    """A dot for each week."""
    return [
        f'<circle cx="{axis.x(week):.1f}" cy="{axis.y(value):.1f}" r="3.5" fill="{colour}"/>'
        for week, value in zip(weeks, tokens, strict=True)
    ]


if __name__ == "__main__":
    Path(__file__).with_name("forecast.svg").write_text(drawn(), encoding="utf-8")
