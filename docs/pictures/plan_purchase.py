"""Draws `plan-purchase.svg`, the picture of docs/plan-purchase.md: `python docs/pictures/plan_purchase.py`."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Final

import numpy as np
import polars as pl

import tokenflex as tf

PLACE: Final = Path(__file__).with_name("plan-purchase.svg")
WIDTH: Final = 760
LEFT, RIGHT = 86, 734
BLUE, ORANGE, GREY, INK = "#1f5fa8", "#c2530a", "#9aa3ad", "#1b1f24"
FROM, UNTIL = 240_000, 600_000
"""The quantities that are shown."""


def plan() -> tf.PurchasePlan:
    """The plan of the page."""
    rng = np.random.default_rng(7)
    week = np.array([500, 560, 580, 550, 420, 40, 20])
    level = rng.normal(1, 0.18, (500, 1)).clip(0.3)
    paths = np.tile(week, 157)[:1096] * level * rng.uniform(0.8, 1.2, (500, 1096))
    offer = tf.Offer(
        years=3,
        step=1000,
        overage_price="3.5",
        currency="EUR",
        prices=[
            tf.PriceTier(from_tokens=0, unit_price=3),
            tf.PriceTier(from_tokens=450_000, unit_price="2.7"),
        ],
    )
    return tf.plan_purchase(paths, offer=offer, start=date(2027, 2, 1))


@dataclass(frozen=True)
class Panel:
    """One of the two diagrams: its height and the values at its bottom and top."""

    top: int
    bottom: int
    least: float
    most: float

    def x(self, tokens: float) -> float:
        """Where a quantity stands."""
        return LEFT + (tokens - FROM) / (UNTIL - FROM) * (RIGHT - LEFT)

    def y(self, value: float) -> float:
        """Where a value stands."""
        return self.bottom - (value - self.least) / (self.most - self.least) * (self.bottom - self.top)

    def points(self, tokens: list[float], values: list[float]) -> str:
        """A line's points."""
        pairs = zip(tokens, values, strict=True)
        return " ".join(f"{self.x(each):.1f},{self.y(value):.1f}" for each, value in pairs)

    def line(self, tokens: list[float], values: list[float], colour: str, *, dashed: bool = False) -> str:
        """A line through points."""
        dashes = ' stroke-dasharray="6 4"' if dashed else ""
        drawn = self.points(tokens, values)
        return f'<polyline points="{drawn}" fill="none" stroke="{colour}" stroke-width="2.2"{dashes}/>'

    def grid(self, ticks: list[float], words: list[str]) -> list[str]:
        """Horizontal lines with their values."""
        drawn = []
        for tick, word in zip(ticks, words, strict=True):
            y = self.y(tick)
            drawn.append(f'<line x1="{LEFT}" x2="{RIGHT}" y1="{y:.1f}" y2="{y:.1f}" stroke="#e3e6ea"/>')
            drawn.append(text(LEFT - 8, y + 4, word, anchor="end"))
        return drawn


def text(x: float, y: float, words: str, *, anchor: str = "start", colour: str = INK, more: str = "") -> str:
    """Words at a place."""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{colour}"{more}>{words}</text>'


def picture(found: tf.PurchasePlan) -> str:
    """The whole picture."""
    curve = found.curve.filter(pl.col("tokens").is_between(FROM, UNTIL)).with_columns(
        pl.col("tokens", "expected_cost", "low_cost", "high_cost", "expected_expiry").cast(pl.Float64)
    )
    chosen = curve.row(by_predicate=pl.col("is_chosen"), named=True)
    size = ' font-size="17" font-weight="bold"'
    title = (
        f"{chosen['tokens']:,.0f} tokens cost least: {chosen['expected_cost'] / 1e6:.2f} million EUR expected over "
        "three years"
    )
    below = (
        f"The next price begins there. In {chosen['run_out_chance']:.0%} of 500 scenarios they run out; "
        f"{chosen['expected_expiry']:,.0f} tokens expire on average."
    )
    lines = [text(16, 28, title, more=size), text(16, 50, below, colour="#4a525b")]
    lines += costs(Panel(84, 330, 0.8e6, 1.8e6), curve, chosen)
    lines += chances(Panel(384, 500, 0, 1), curve, chosen)
    axis = range(FROM, UNTIL + 1, 60_000)
    lines += [text(Panel(0, 1, 0, 1).x(each), 520, f"{each // 1000}", anchor="middle") for each in axis]
    lines.append(text((LEFT + RIGHT) / 2, 542, "tokens bought for the term, thousand", anchor="middle"))
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} 556" width="{WIDTH}" height="556"'
    style = 'font-family="Helvetica, Arial, sans-serif" font-size="13"'
    return "\n".join([f"{head} {style}>", f'<rect width="{WIDTH}" height="556" fill="white"/>', *lines, "</svg>", ""])


def costs(panel: Panel, curve: pl.DataFrame, chosen: dict[str, float]) -> list[str]:
    """Cost against quantity, with its range and the choice."""
    tokens = curve["tokens"].to_list()
    low, high, mean = (curve[name].to_list() for name in ("low_cost", "high_cost", "expected_cost"))
    band = f"{panel.points(tokens, high)} {panel.points(tokens[::-1], low[::-1])}"
    ticks = [each * 1e5 for each in range(8, 19, 2)]
    x, y = panel.x(chosen["tokens"]), panel.y(chosen["expected_cost"])
    return [
        *panel.grid(ticks, [f"{tick / 1e6:.1f}" for tick in ticks]),
        text(16, 72, "cost of the term, million EUR: what is bought and the overage at 3.50"),
        f'<polygon points="{band}" fill="{BLUE}" fill-opacity="0.15"/>',
        panel.line(tokens, mean, BLUE),
        text(panel.x(250_000), panel.y(mean[1]) - 12, "expected cost", colour=BLUE),
        text(panel.x(250_000), panel.y(high[1]) + 20, "eight scenarios of ten", colour="#5b7fa8"),
        f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{panel.top}" y2="500" stroke="{INK}" stroke-dasharray="2 3"/>',
        f'<circle cx="{x:.1f}" cy="{y:.1f}" r="5.5" fill="{ORANGE}"/>',
        text(x + 10, y + 22, f"{chosen['purchase']}", colour=ORANGE),
    ]


def chances(panel: Panel, curve: pl.DataFrame, chosen: dict[str, float]) -> list[str]:
    """The chance of running out, and the part that expires."""
    tokens = curve["tokens"].to_list()
    expiry = (curve["expected_expiry"] / curve["tokens"]).to_list()
    ticks = [0, 0.25, 0.5, 0.75, 1]
    x = panel.x(chosen["tokens"])
    return [
        *panel.grid(ticks, [f"{tick:.0%}" for tick in ticks]),
        text(16, 368, "of the scenarios, or of the tokens bought"),
        panel.line(tokens, curve["run_out_chance"].to_list(), BLUE),
        panel.line(tokens, expiry, GREY, dashed=True),
        text(panel.x(250_000), panel.y(0.62), "chance of running out", colour=BLUE),
        text(panel.x(545_000), panel.y(expiry[-1]) - 10, "tokens that expire", anchor="middle", colour="#6a727b"),
        f'<circle cx="{x:.1f}" cy="{panel.y(chosen["run_out_chance"]):.1f}" r="4" fill="{ORANGE}"/>',
    ]


if __name__ == "__main__":
    PLACE.write_text(picture(plan()), encoding="utf-8", newline="\n")
