"""The shapes of charts: bars, columns by month, lines, bands, heat maps and ranges, each of plain rows.

The columns of the rows have names of ours (`label`, `series`, `x`, `value`, …). Names out of the data are values only,
never names of fields or parts of an expression, so that nothing in them means anything to Vega.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

import altair as alt

from tokenflex.reporting.page.look import ACCENT, INK, REST, SERIES, SOFT, WARN, WIDTH, Picture, drawn
from tokenflex.reporting.page.plain import NAME, plain
from tokenflex.words import tokens as exact

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

Number: TypeAlias = Decimal | float
Moment: TypeAlias = date | datetime

REST_NAME: Final = "all others"
WEEKDAYS: Final = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_BAR, _STEP, _NAMES = 18, 30, 250
_LARGE = 1000
_LETTER = 7.5
"""Pixels of a letter, about."""
_SAID = 12
"""So many values are named in the words for those who do not see a chart; the table beside it has all."""


@dataclass(frozen=True)
class Mark:
    """A line across a chart that means something: a limit, an expiry, a date.

    Attributes:
        at: where it stands, a value or a day
        label: what it means
    """

    at: Number | Moment
    label: str


def bars(
    rows: Sequence[tuple[str, Number]],
    *,
    unit: str,
    texts: Sequence[str] | None = None,
    rest: tuple[str, Number] | None = None,
    worse: Literal["less", "more"] = "less",
) -> Picture:
    """A bar for each name, in the order given, with its value at its end. Those of negative values go to the left.

    `rest` is the sum of all that is not shown: words without a bar, since it is no thing like the others. Where values
    have either sign, those on the side that is `worse` have another colour.
    """
    words = list(texts) if texts is not None else [number(value) for _, value in rows]
    data: list[dict[str, Any]] = [
        {"label": name, "value": float(value), "text": text, "side": "left" if value < 0 else "right"}
        for (name, value), text in zip(rows, words, strict=True)
    ]
    pairs = [(row["label"], row["text"]) for row in data]
    if rest is not None:
        data.append({"label": rest[0], "value": 0.0, "text": f"{number(rest[1])} together", "side": "right"})
        pairs.append((data[-1]["label"], data[-1]["text"]))
    least, most = _domain([row["value"] for row in data])
    room = (most - least) * _room((text for _, text in pairs), (label for label, _ in pairs))
    scale = alt.Scale(domain=[least - (room if least < 0 else 0), most + room], nice=False, zero=False)
    # The values stand at the bars, so an axis would say them twice.
    axis = alt.Axis(labels=False, grid=False)
    bad = {"less": "left", "more": "right" if least < 0 else "none"}[worse]
    layers: list[alt.Chart] = []
    for side in ("right", "left"):
        half = [row for row in data if row["side"] == side]
        if half:
            base = alt.Chart(_data(half)).encode(
                y=_names("label", [row["label"] for row in data]),
                x=alt.X("value:Q", title=unit, scale=scale, axis=axis),
            )
            layers.append(base.mark_bar(height=_BAR, color=WARN if side == bad else ACCENT))
            toward = 5 if side == "right" else -5
            align: Literal["left", "right"] = "left" if side == "right" else "right"
            layers.append(base.mark_text(align=align, dx=toward).encode(text="text:N"))
    return drawn(
        _layered(*layers),
        says=f"Bars, {unit}: {_listed(pairs)}.",
        marks=len(rows),
        height=len(data) * _STEP + 26,
        finding=f"{pairs[0][0]}: {pairs[0][1]}.",
    )


def columns(rows: Sequence[tuple[str, str, Number]], *, unit: str, series: Sequence[str]) -> Picture:
    """A column for each time, of parts one above the other: rows of time, series and value, in order of time."""
    colours = _colours(series)
    place = {name: order for order, name in enumerate(series)}
    data = [{"label": at, "series": name, "value": float(value), "order": place[name]} for at, name, value in rows]
    times = list(dict.fromkeys(at for at, _, _ in rows))
    sums = {at: sum((Decimal(value) for when, _, value in rows if when == at), Decimal(0)) for at in times}
    chart = (
        alt.Chart(_data(data))
        .mark_bar(width=min(64, int(560 / max(1, len(times)))))
        .encode(
            x=alt.X("label:O", sort=times, title=None, axis=alt.Axis(labelAngle=0, labelOverlap=True)),
            y=alt.Y("value:Q", title=unit, axis=_axis()),
            color=_legend(series, colours),
            order=alt.Order("order:Q"),
        )
    )
    parts = _listed((at, number(value)) for at, value in sums.items())
    shown = ", ".join(plain(name, NAME) for name in series)
    return drawn(
        chart,
        says=f"Columns by month, {unit}: {parts}. Parts: {shown}.",
        marks=len(rows),
        height=320,
        finding=_ends(list(sums.items()), unit),
    )


def lines(
    rows: Sequence[tuple[str, Moment, Number]],
    *,
    unit: str,
    series: Sequence[str],
    steps: Collection[str] = (),
    levels: Sequence[Mark] = (),
    days: Sequence[Mark] = (),
) -> Picture:
    """A line for each series through its values: rows of series, time and value.

    Series in `steps` keep a value until the next one; `levels` and `days` lie across.
    """
    data = [{"series": name, "x": _instant(at), "value": float(value)} for name, at, value in rows]
    top = max([float(value) for _, _, value in rows] + [float(str(mark.at)) for mark in levels])
    colours = [ACCENT] if len(series) == 1 else _colours(series)
    height = alt.Y("value:Q", title=unit, axis=_axis(), scale=alt.Scale(domain=[0, top * 1.06 or 1]))
    colour = _legend(series, colours, symbol="stroke") if len(series) > 1 else alt.value(ACCENT)
    kinds: dict[bool, list[dict[str, Any]]] = {False: [], True: []}
    for row in data:
        kinds[row["series"] in steps].append(row)
    drawings = [
        alt.Chart(_data(part))
        .mark_line(interpolate="step-after" if stepped else "linear", strokeWidth=1.8)
        .encode(x=_time(), y=height, color=colour)
        for stepped, part in kinds.items()
        if part
    ]
    layers = [*drawings, *_levels(levels), *_days(days)]
    first, last = rows[0], rows[-1]
    said = "; ".join(f"{mark.label} at {_said(mark.at)}" for mark in (*levels, *days))
    names = ", ".join(plain(name, NAME) for name in series)
    return drawn(
        _layered(*layers),
        says=f"Lines over time, {unit}: {names}, from {_day(first[1])} to {_day(last[1])}."
        + (f" Marked: {said}." if said else ""),
        marks=len(rows),
        height=300,
        finding=_ends([(_day(at), value) for name, at, value in rows if name == series[0]], _of(series, unit)),
    )


def band(
    past: Sequence[tuple[Moment, Number]],
    ahead: Sequence[tuple[Moment, Number, Number, Number]],
    *,
    unit: str,
    names: tuple[str, str, str],
) -> Picture:
    """What was, and what is expected between a low and a high: rows of time and value, of time, low, middle, high.

    `names` are those of the past, the middle and the interval.
    """
    was, middle, interval = names
    data: list[dict[str, Any]] = [{"series": was, "x": _instant(at), "value": float(value)} for at, value in past]
    data += [{"series": middle, "x": _instant(at), "value": float(mean)} for at, _, mean, _ in ahead]
    between = [
        {"series": interval, "x": _instant(at), "low": float(low), "high": float(high)} for at, low, _, high in ahead
    ]
    order = [was, middle, interval]
    legend = _legend(order, [SOFT, ACCENT, "var(--band)"])
    area = (
        alt.Chart(_data(between))
        .mark_area(opacity=1)
        .encode(x=_time(), y=alt.Y("low:Q", title=unit, axis=_axis()), y2="high:Q", color=legend)
    )
    line = alt.Chart(_data(data)).mark_line(strokeWidth=1.8).encode(x=_time(), y="value:Q", color=legend)
    low, mean, high = (
        sum((Decimal(value) for value in values), Decimal(0))
        for values in zip(*((low, mean, high) for _, low, mean, high in ahead), strict=True)
    )
    return drawn(
        _layered(area, line),
        says=f"Lines over time, {unit}: {was} until {_day(past[-1][0]) if past else 'then'}, then {middle} until "
        f"{_day(ahead[-1][0])}, in all {number(mean)}, with the {interval} of each step, "
        f"lower ends {number(low)} and upper ends {number(high)} in all.",
        marks=len(data) + len(between),
        height=300,
    )


def curve(
    rows: Sequence[tuple[Number, Number, Number, Number]],
    *,
    along: str,
    unit: str,
    chosen: Mark | None,
) -> Picture:
    """A value against a quantity with a low and a high: rows of quantity, low, middle and high."""
    data = [{"x": float(x), "low": float(low), "value": float(mid), "high": float(high)} for x, low, mid, high in rows]
    x = alt.X("x:Q", title=along, axis=_axis(), scale=alt.Scale(zero=False, nice=False))
    area = (
        alt.Chart(_data(data))
        .mark_area(color="var(--band)")
        .encode(x=x, y=alt.Y("low:Q", title=unit, axis=_axis(), scale=alt.Scale(zero=False)), y2="high:Q")
    )
    line = alt.Chart(_data(data)).mark_line(color=ACCENT, strokeWidth=2).encode(x=x, y="value:Q")
    layers: list[alt.Chart] = [area, line]
    if chosen is not None:
        least = min(rows, key=lambda row: abs(float(row[0]) - float(str(chosen.at))))
        middle = (float(rows[0][0]) + float(rows[-1][0])) / 2
        side: Literal["left", "right"] = "right" if float(str(chosen.at)) > middle else "left"
        spot = _data([{"x": float(str(chosen.at)), "value": float(least[2]), "label": chosen.label}])
        layers.append(alt.Chart(spot).mark_point(filled=True, size=110, color=WARN, opacity=1).encode(x=x, y="value:Q"))
        layers.append(
            alt.Chart(spot)
            .mark_text(align=side, dx=-12 if side == "right" else 12, dy=-12, color=INK)
            .encode(x=x, y="value:Q", text="label:N")
        )
    said = f" Chosen: {chosen.label}." if chosen is not None else ""
    cheapest = min(rows, key=lambda row: row[2])
    return drawn(
        _layered(*layers),
        says=f"A line of {unit} against {along}, from {number(rows[0][0])} to {number(rows[-1][0])}; the least is "
        f"{number(cheapest[2])} at {number(cheapest[0])}.{said}",
        marks=len(data),
        height=300,
        finding=f"Least at {number(cheapest[0])} {along}: {cheapest[2]:,.0f}.",
    )


def heat(rows: Sequence[tuple[int, int, Number | None]], *, unit: str) -> Picture:
    """A cell for each hour of the week, darker the more: rows of weekday from 1, Monday, hour, and value."""
    most = max((float(value) for _, _, value in rows if value is not None), default=0.0)
    data = [{"label": WEEKDAYS[weekday - 1], "x": hour, "value": float(value or 0)} for weekday, hour, value in rows]
    chart = (
        alt.Chart(_data(data))
        .mark_rect(color=ACCENT, stroke="var(--ground)", strokeWidth=2)
        .encode(
            x=alt.X("x:O", title="hour of the day", axis=alt.Axis(labelAngle=0)),
            y=alt.Y("label:O", sort=list(WEEKDAYS), title=None),
            opacity=alt.Opacity(
                "value:Q",
                scale=alt.Scale(domain=[0, most or 1], range=[0.05, 1]),
                legend=None,
            ),
        )
    )
    known = [row for row in rows if row[2] is not None]
    peak = max(known, key=lambda row: float(row[2] or 0), default=None)
    most_said = (
        f" Most on {WEEKDAYS[peak[0] - 1]} at {peak[1]}:00, {float(peak[2] or 0):,.1f}." if peak is not None else ""
    )
    return drawn(
        chart,
        says=f"A map of the week, a row for each day and a cell for each hour, {unit}: the darker the more.{most_said}",
        marks=len(rows),
        height=7 * 30 + 50,
    )


def strips(rows: Sequence[tuple[str, date, date, str]], *, names: tuple[str, str], says: str) -> Picture:
    """A strip of days for each name: rows of name, first day, last day, and which of the two `names` they are."""
    data = [
        {"label": name, "x": _instant(first), "end": _instant(last + timedelta(days=1)), "series": kind}
        for name, first, last, kind in rows
    ]
    chart = (
        alt.Chart(_data(data))
        .mark_rect(height=_BAR)
        .encode(x=_time(), x2="end:T", y=_names("label"), color=_legend(names, (ACCENT, WARN)))
    )
    height = len({name for name, *_ in rows}) * _STEP + 74
    return drawn(chart, says=says, marks=len(rows), height=height)


def ranges(
    rows: Sequence[tuple[str, Number, Number]], *, unit: str, base: Mark, texts: Sequence[str] | None = None
) -> Picture:
    """A bar from a low to a high for each name, about one base: what each uncertain thing can make of the whole."""
    words = list(texts) if texts is not None else [f"{number(low)} to {number(high)}" for _, low, high in rows]
    data = [
        {"label": name, "low": float(low), "high": float(high), "text": text}
        for (name, low, high), text in zip(rows, words, strict=True)
    ]
    ends = [float(value) for _, low, high in rows for value in (low, high)] + [float(str(base.at))]
    least, most = min(ends), max(ends)
    wide = most - least or abs(most) or 1
    scale = alt.Scale(
        domain=[least - wide * 0.06, most + wide * _room(words, (name for name, _, _ in rows))], zero=False, nice=False
    )
    x = alt.X("low:Q", title=unit, scale=scale, axis=_axis())
    drawing = alt.Chart(_data(data)).mark_bar(height=_BAR, color=ACCENT).encode(x=x, x2="high:Q", y=_names("label"))
    said = (
        alt.Chart(_data(data))
        .mark_text(align="left", dx=5)
        .encode(x=alt.X("high:Q", scale=scale), y=_names("label"), text="text:N")
    )
    rule = (
        alt.Chart(_data([{"x": float(str(base.at))}]))
        .mark_rule(color=INK, strokeDash=[4, 3])
        .encode(x=alt.X("x:Q", scale=scale))
    )
    parts = _listed((name, text) for (name, _, _), text in zip(rows, words, strict=True))
    return drawn(
        _layered(drawing, said, rule),
        says=f"Bars from low to high, {unit}: {parts}. The line across: {base.label}.",
        marks=len(rows),
        height=len(rows) * _STEP + 44,
    )


def bridge(
    start: tuple[str, Number], steps: Sequence[tuple[str, Number]], end: tuple[str, Number], *, unit: str
) -> Picture:
    """From one sum to another, a step for each difference between them."""
    data: list[dict[str, Any]] = [
        {"label": start[0], "low": 0.0, "high": float(start[1]), "text": number(start[1]), "colour": REST}
    ]
    at = Decimal(start[1])
    edges = [float(start[1]), float(end[1])]
    for name, difference in steps:
        after = at + Decimal(difference)
        low, high = sorted((float(at), float(after)))
        edges += [low, high]
        colour = WARN if difference > 0 else ACCENT
        data.append({"label": name, "low": low, "high": high, "text": signed(difference), "colour": colour})
        at = after
    data.append({"label": end[0], "low": 0.0, "high": float(end[1]), "text": number(end[1]), "colour": REST})
    # The two sums are long and the steps short: the axis begins close to them, and both bars are cut there alike.
    spread = max(edges) - min(edges)
    least = max(0.0, min(edges) - max(spread * 0.6, max(edges) * 0.01))
    for row in data:
        row["low"] = max(row["low"], least)
    scale = alt.Scale(domain=[least, max(edges) + (max(edges) - least) * 0.16], zero=False, nice=False)
    x = alt.X("low:Q", title=unit, scale=scale, axis=_axis(grid=True))
    drawing = (
        alt.Chart(_data(data))
        .mark_bar(height=_BAR)
        .encode(x=x, x2="high:Q", y=_names("label"), color=alt.Color("colour:N", scale=None))
    )
    said = (
        alt.Chart(_data(data))
        .mark_text(align="left", dx=5)
        .encode(x=alt.X("high:Q", scale=scale), y=_names("label"), text="text:N")
    )
    parts = _listed((row["label"], row["text"]) for row in data)
    cut = f" The axis begins at {number(Decimal(round(least)))}." if least else ""
    return drawn(
        _layered(drawing, said),
        says=f"Steps from one sum to the other, {unit}: {parts}.{cut}",
        marks=len(data),
        height=len(data) * _STEP + 44,
    )


def _of(series: Sequence[str], unit: str) -> str:
    return unit if len(series) == 1 else f"{plain(series[0], NAME)}, {unit}"


def _ends(rows: Sequence[tuple[str, Number]], unit: str) -> str:
    """The most and the least, in words."""
    most = max(rows, key=lambda row: row[1])
    least = min(rows, key=lambda row: row[1])
    return f"{unit[0].upper()}{unit[1:]}: most {number(most[1])} ({most[0]}), least {number(least[1])} ({least[0]})."


def number(value: Number) -> str:
    """A number for the eye, with parted thousands; of fractions no more than one can read in passing."""
    if isinstance(value, int):
        return f"{value:,}"
    whole = value if isinstance(value, Decimal) else Decimal(str(value))
    return exact(round(whole, 1 if abs(whole) >= _LARGE else 2))


def signed(value: Number) -> str:
    """The same with its sign, also where it is above 0."""
    return f"+{number(value)}" if value > 0 else number(value)


def _data(rows: list[dict[str, Any]]) -> alt.InlineData:
    return alt.InlineData(values=rows)


def _room(texts: Iterable[str], names: Iterable[str]) -> float:
    """What words at the ends of bars need, as a part of the bars' room beside their names."""
    beside = WIDTH - min(_NAMES, _LETTER * max(len(name) for name in names)) - 40
    words = min(0.6 * beside, _LETTER * max(len(text) for text in texts))
    return words / (beside - words)


def _layered(*charts: alt.Chart) -> alt.LayerChart:
    """Charts one above the other."""
    return alt.LayerChart(layer=list(charts))


def _names(field: str, order: Sequence[str] | None = None) -> alt.Y:
    """Names down the side, in the order of the rows or the one that is given."""
    axis = alt.Axis(labelLimit=_NAMES, labelFontSize=13, labelColor=INK)
    return alt.Y(f"{field}:N", sort=list(order) if order is not None else None, title=None, axis=axis)


def _axis(*, grid: bool = True) -> alt.Axis:
    return alt.Axis(format=",~f", tickCount=5, grid=grid)


def _time() -> alt.X:
    return alt.X(
        "x:T",
        title=None,
        scale=alt.Scale(type="utc"),
        axis=alt.Axis(labelAngle=0, tickCount=6, labelOverlap=True, labelSeparation=24, format="%d %b %Y"),
    )


def _legend(series: Sequence[str], colours: Sequence[str], *, symbol: str = "square") -> alt.Color:
    legend = alt.Legend(symbolType=symbol)
    return alt.Color("series:N", sort=None, legend=legend, scale=alt.Scale(domain=list(series), range=list(colours)))


def _colours(series: Sequence[str]) -> list[str]:
    return [REST if name == REST_NAME else SERIES[place % len(SERIES)] for place, name in enumerate(series)]


def _levels(marks: Sequence[Mark]) -> list[alt.Chart]:
    """Horizontal lines with their names above them, at the right."""
    if not marks:
        return []
    data = _data([{"value": float(str(mark.at)), "label": mark.label} for mark in marks])
    lines = alt.Chart(data).mark_rule(color=WARN, strokeDash=[5, 4]).encode(y="value:Q")
    names = alt.Chart(data).mark_text(align="right", baseline="bottom", dy=-3, color=WARN)
    return [lines, names.encode(y="value:Q", x=alt.value("width"), text="label:N")]


def _days(marks: Sequence[Mark]) -> list[alt.Chart]:
    """Vertical lines with their names beside them, each a line lower than the one before it."""
    if not marks:
        return []
    layers = []
    for place, mark in enumerate(marks):
        at = alt.Chart(_data([{"x": _instant(_moment(mark.at)), "label": mark.label}])).encode(x=_time())
        layers.append(at.mark_rule(color=SOFT, strokeDash=[2, 3]))
        height = alt.value(8 + 16 * (place % 5))
        layers.append(at.mark_text(align="right", dx=-5, color=SOFT).encode(y=height, text="label:N"))
    return layers


def _domain(values: Sequence[float]) -> tuple[float, float]:
    """From 0 or below to 0 or above; never empty."""
    least, most = min([0.0, *values]), max([0.0, *values])
    return (least, most) if most > least else (0.0, 1.0)


def _instant(at: Moment) -> int:
    """Milliseconds since 1970, UTC: what no zone of this machine can move."""
    moment = at if isinstance(at, datetime) else datetime(at.year, at.month, at.day, tzinfo=UTC)
    return round(moment.timestamp() * 1000)


def _moment(at: Number | Moment) -> Moment:
    if not isinstance(at, date):
        raise TypeError(at)
    return at


def _day(at: Moment) -> str:
    return f"{at:%Y-%m-%d}"


def _said(at: Number | Moment) -> str:
    return _day(at) if isinstance(at, date) else number(at)


def _listed(pairs: Iterable[tuple[str, str]]) -> str:
    """`ACD 1,234, RVT 200 and 5 more`."""
    every = [(plain(name, NAME), text) for name, text in pairs]
    shown = ", ".join(f"{name} {text}" for name, text in every[:_SAID])
    more = len(every) - _SAID
    return f"{shown} and {more:,} more" if more > 0 else shown
