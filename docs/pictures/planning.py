"""The pictures of `estimate` and `compare_models`, of the demo's firm."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

import tokenflex as tf
from svg import GRID, HIGH, INK, LOW, SOFT, bar, line, picture, text, ticks

if TYPE_CHECKING:
    from tokenflex.demo import DemoFirm

PRICE = 3
WIDTH = 760
LEFT, RIGHT, TOP, ROW = 262, 40, 92, 34
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
    return {"estimate.svg": tornado(estimated), "break-even.svg": break_even(compared, "RVT", "Revit")}


def _label(row: dict[str, str]) -> str:
    if row["source"] == "rule":
        return "rule: 24 hours from the first use" if row["item"].startswith("rolling") else "rule: no least duration"
    return LABELS[row["source"]] + (f" ({row['item']})" if row["item"] is not None else "")


def tornado(found: tf.Estimate) -> str:
    """How far each thing that is uncertain moves the whole."""
    rows = found.contributions.to_dicts()
    least, most = float(found.low), float(found.high)
    marked = ticks(least, most, 2_000)
    scale = (WIDTH - LEFT - RIGHT) / (marked[-1] - marked[0])

    def x(tokens: object) -> float:
        return LEFT + (float(tokens) - marked[0]) * scale  # type: ignore[arg-type]  # a number

    bottom = TOP + ROW * (len(rows) + 1)
    title = f"{float(found.base):,.0f} tokens, between {least:,.0f} and {most:,.0f}: most hangs on the rule"
    marks = [
        text(20, 30, title, size=17, bold=True),
        text(20, 52, f"The demo's use of {found.first} to {found.last}, if one thing were otherwise", ink=SOFT),
    ]
    for tick in marked:
        marks.append(line(x(tick), TOP - 8, x(tick), bottom))
        marks.append(text(x(tick), bottom + 18, f"{tick:,}", size=12, anchor="middle"))
    marks.append(text((LEFT + WIDTH - RIGHT) / 2, bottom + 40, "tokens in all", size=13, anchor="middle"))
    for place, (label, low, high) in enumerate(
        [("everything at once", found.low, found.high), *((_label(row), row["low"], row["high"]) for row in rows)]
    ):
        y = TOP + ROW * place
        marks += [
            text(LEFT - 12, y + 16, label, anchor="end", bold=place == 0),
            bar(x(low), y, x(found.base) - x(low), ROW - 12, LOW),
            bar(x(found.base), y, x(high) - x(found.base), ROW - 12, HIGH),
        ]
    marks += [
        line(x(found.base), TOP - 12, x(found.base), bottom, ink=INK, width=2),
        text(x(found.base), TOP - 18, f"base {float(found.base):,.0f}", size=12, anchor="middle"),
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
