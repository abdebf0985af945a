"""The pictures of `estimate`, `sensitivity` and `compare_models`, of the demo's firm."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, NamedTuple

import polars as pl

import tokenflex as tf
from svg import GRID, HIGH, INK, LOW, SOFT, bar, line, picture, text, ticks
from tokenflex.commands.sensitivity import label

if TYPE_CHECKING:
    from decimal import Decimal

    from tokenflex.demo import DemoFirm

PRICE = 3
WIDTH = 760
LEFT, RIGHT, TOP, ROW = 262, 40, 92, 34
NEXT_YEAR = tf.Rates({"ACD": 8, "RVT": 11, "NAVMAN": 8})
"""Made up, as all rates of the demo that are not those of the vendor."""
MOST_BARS = 14
LABELS = {
    "open_sessions": "sessions that have not ended",
    "ended_by_server": "sessions that a crash or stop ended",
    "missing_days": "days without lines",
    "unknown_products": "product without a rate",
    "identity": "two names, one person?",
}


def of_demo(firm: DemoFirm) -> dict[str, str]:
    """Each picture by the name of its file."""
    log = tf.read_flexlm(firm.folder / "logs", timezone=firm.servers)
    problems = tf.Problems()
    sessions = tf.Identity().apply(tf.pair(log.events, packages=log.packages, problems=problems), problems=problems)
    rule = tf.Rule.read(firm.rule_path)
    rates = tf.Rates.read(firm.rates_path)
    estimated = tf.estimate(
        sessions,
        rule=rule,
        rates=rates,
        servers=firm.servers,
        identity=tf.Identity(),
        coverage=log.coverage,
        problems=problems,
    )
    compared = tf.compare_models(
        sessions,
        rule=rule,
        rates=rates,
        servers=firm.servers,
        token_price=PRICE,
        price_list=tf.PriceList.read(firm.price_list_path),
        problems=problems,
    )
    activity = tf.read_table(firm.activity_path, columns={"start": "idle_start", "end": "idle_end"}, problems=problems)
    sensed = tf.sensitivity(
        sessions,
        rule=rule,
        rates=rates,
        servers=firm.servers,
        token_price=PRICE,
        new_rates=NEXT_YEAR,
        harvest=[timedelta(hours=1), timedelta(hours=4)],
        activity=tf.Identity().apply(activity, problems=problems),
        problems=problems,
    )
    return {
        "estimate.svg": uncertain(estimated),
        "sensitivity.svg": changes(sensed),
        "break-even.svg": break_even(compared, "RVT", "Revit"),
    }


def _label(row: dict[str, str]) -> str:
    if row["source"] == "rule":
        return "rule: 24 hours from the first use" if row["item"].startswith("rolling") else "rule: no least duration"
    return LABELS[row["source"]] + (f" ({row['item']})" if row["item"] is not None else "")


class Bar(NamedTuple):
    """How far one thing reaches."""

    label: str
    low: Decimal
    high: Decimal


def uncertain(found: tf.Estimate) -> str:
    """How far each thing that is uncertain moves the whole."""
    rows = [Bar(_label(row), row["low"], row["high"]) for row in found.contributions.to_dicts()]
    title = (
        f"{float(found.base):,.0f} tokens, between {float(found.low):,.0f} and {float(found.high):,.0f}: "
        "most hangs on the rule"
    )
    words = f"The demo's use of {found.first} to {found.last}, if one thing were otherwise"
    bars = [Bar("everything at once", found.low, found.high), *rows]
    return tornado(bars, found.base, 2_000, title=title, words=words, axis="tokens in all", is_first_bold=True)


def changes(found: tf.Sensitivity) -> str:
    """How far each change moves the cost."""
    computed = found.changes.filter(pl.col("swing") > 0)
    groups = computed.partition_by("change", "item", maintain_order=True)
    alone = [rows["item"][0] is not None and rows["change"][0] == "rate" for rows in groups]
    # Of single products the first are enough.
    kept = sorted(sorted(range(len(groups)), key=lambda place: alone[place])[:MOST_BARS])
    bars = [
        Bar(
            label(rows),
            min(found.cost, *rows["cost"]),
            max(found.cost, *rows["cost"]),
        )
        for rows in (groups[place] for place in kept)
    ]
    title = f"{float(found.cost):,.0f} $ for {float(found.tokens):,.0f} tokens: what would change it most"
    words = f"The demo's use of {found.first} to {found.last}, charged anew under one change at a time"
    return tornado(bars, found.cost, 5_000, title=title, words=words, axis=f"cost at {PRICE} $ a token; demo values")


def tornado(
    bars: list[Bar], base: Decimal, step: int, *, title: str, words: str, axis: str, is_first_bold: bool = False
) -> str:
    """Bars to both sides of a base, the longest first."""
    marked = ticks(float(min(each.low for each in bars)), float(max(each.high for each in bars)), step)
    scale = (WIDTH - LEFT - RIGHT) / (marked[-1] - marked[0])

    def x(value: Decimal | int) -> float:
        return LEFT + (float(value) - marked[0]) * scale

    bottom = TOP + ROW * len(bars)
    marks = [text(20, 30, title, size=17, bold=True), text(20, 52, words, ink=SOFT)]
    for tick in marked:
        marks.append(line(x(tick), TOP - 8, x(tick), bottom))
        marks.append(text(x(tick), bottom + 18, f"{tick:,}", size=12, anchor="middle"))
    marks.append(text((LEFT + WIDTH - RIGHT) / 2, bottom + 40, axis, size=13, anchor="middle"))
    for place, each in enumerate(bars):
        y = TOP + ROW * place
        marks += [
            text(LEFT - 12, y + 16, each.label, anchor="end", bold=is_first_bold and place == 0),
            bar(x(each.low), y, x(base) - x(each.low), ROW - 12, LOW),
            bar(x(base), y, x(each.high) - x(base), ROW - 12, HIGH),
        ]
    marks += [
        line(x(base), TOP - 12, x(base), bottom, ink=INK, width=2),
        text(x(base), TOP - 18, f"base {float(base):,.0f}", size=12, anchor="middle"),
        bar(20, bottom + 30, 12, 12, LOW),
        text(38, bottom + 41, "less", size=12),
        bar(80, bottom + 30, 12, 12, HIGH),
        text(98, bottom + 41, "more", size=12),
    ]
    return picture(WIDTH, bottom + 56, title, marks)


def break_even(found: tf.ModelComparison, product: str, name: str) -> str:
    """Days a year of each user of one product, and the days from which on a subscription is cheaper."""
    row = found.products.row(by_predicate=pl.col("product") == product, named=True)
    even = float(row["break_even_days"])
    used = found.break_even.filter(pl.col("product") == product)["days_used"].cast(pl.Float64)
    days = used.sort(descending=True).to_list()
    left, right, top, height = 70, 30, 80, 300
    marked = ticks(0, max(days), 50)
    step = (WIDTH - left - right) / len(days)
    bottom = top + height

    def y(value: float) -> float:
        return bottom - value / marked[-1] * height

    price, rate = float(row["subscription_price"]), float(row["rate"])
    sum_up = f"{price:,.0f} {found.currency} a year / ({rate:g} tokens a day at {PRICE} {found.currency}); demo values"
    title = f"{row['users_above']} of {row['users']} {name} users are above the break-even of {even:g} days a year"
    marks = [
        text(20, 30, title, size=17, bold=True),
        text(20, 52, f"{even:g} = {sum_up}", ink=SOFT),
    ]
    for tick in marked:
        marks.append(line(left, y(tick), WIDTH - right, y(tick), ink=GRID))
        marks.append(text(left - 8, y(tick) + 4, f"{tick}", size=12, anchor="end"))
    for place, value in enumerate(days):
        ink = HIGH if value > even else LOW
        marks.append(bar(left + place * step + 1, y(value), step - 2, bottom - y(value), ink))
    marks += [
        line(left, y(even), WIDTH - right, y(even), ink=INK, width=1.5, dashes="6 4"),
        text(WIDTH - right, y(even) - 6, f"{even:g} days", size=12, anchor="end"),
        text((left + WIDTH - right) / 2, bottom + 22, f"each user of {name}, the most days first", anchor="middle"),
        f'<g transform="translate(24 {top + height / 2:.0f}) rotate(-90)">',
        text(0, 0, "charged days a year", anchor="middle"),
        "</g>",
        bar(left, bottom + 36, 12, 12, HIGH),
        text(left + 18, bottom + 47, "a subscription is cheaper", size=12),
        bar(left + 190, bottom + 36, 12, 12, LOW),
        text(left + 208, bottom + 47, "tokens are cheaper", size=12),
    ]
    return picture(WIDTH, bottom + 62, title, marks)
