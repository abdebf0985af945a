"""Which table is drawn how: from the report's tables to the rows of a shape. What has no drawing stays a table."""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import polars as pl

from tokenflex.reporting.page import shapes
from tokenflex.reporting.page.say import span
from tokenflex.reporting.page.shapes import REST_NAME, Mark, number, signed
from tokenflex.words import many

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tokenflex.reporting.page.look import Picture

BARS: Final = 12
SERIES: Final = 6
LINES_SHOWN: Final = 3
"""More lines that go up and down each day cannot be told apart."""
UNKNOWN: Final = "not known"
_DAYS_SHOWN: Final = 120
_FEWEST: Final = 3
"""Fewer points than this are no line."""
POINTS: Final = 400
"""More points than this are more than a line of 700 pixels shows."""


def top(table: pl.DataFrame, by: str, *, value: str = "tokens", unit: str = "tokens") -> Picture | None:
    """The greatest values by name, and the sum of all others."""
    sums = _sums(table, by, value)
    if not any(each for _, each in sums):
        return None
    shown, others = sums[:BARS], sums[BARS:]
    rest = (f"{many(len(others), 'other')}", sum((each for _, each in others), Decimal(0))) if others else None
    return shapes.bars(shown, unit=unit, rest=rest)


def by_month(table: pl.DataFrame) -> Picture | None:
    """Tokens by month, stacked by product: the six with most tokens, and all others."""
    order = [name for name, _ in _sums(table, "product", "tokens")]
    series = order[:SERIES] + ([REST_NAME] if len(order) > SERIES else [])
    rows = (
        table.select(
            pl.col("month"),
            pl.col("tokens").fill_null(0),
            name=_name("product"),
        )
        .with_columns(name=pl.when(pl.col("name").is_in(order[:SERIES])).then("name").otherwise(pl.lit(REST_NAME)))
        .group_by("month", "name")
        .agg(pl.col("tokens").sum())
        .sort("month")
    )
    if rows.is_empty():
        return None
    return shapes.columns(
        [
            (f"{month:%b %Y}", name, tokens)
            for month, name, tokens in rows.select("month", "name", "tokens").iter_rows()
        ],
        unit="tokens",
        series=series,
    )


def by_day(table: pl.DataFrame) -> Picture | None:
    """Tokens of each day, or of each whole week where there are many days."""
    days = table.select(date=pl.col("usage_date"), tokens=pl.col("tokens").fill_null(0)).sort("date")
    many_days = days.height > _DAYS_SHOWN
    if many_days:
        whole = days.upsample("date", every="1d").with_columns(pl.col("tokens").fill_null(0))
        days = _weeks(whole, "tokens").rename({"monday": "date"})
    if days.height < _FEWEST:
        return None
    unit = "tokens a week" if many_days else "tokens a day"
    return shapes.lines([(unit, day, tokens) for day, tokens in days.iter_rows()], unit=unit, series=[unit])


def by_version(table: pl.DataFrame) -> Picture | None:
    """Tokens by product and version."""
    named = pl.concat_str(_name("product"), pl.lit(" "), pl.col("version").cast(pl.String).fill_null("?"))
    return top(table.with_columns(release=named), "release")


def balance(ledger: pl.DataFrame, tables: Mapping[str, pl.DataFrame]) -> Picture | None:
    """What is left in all pools together, day by day, with the days on which tokens expire and run out."""
    entries = ledger.filter(pl.col("pool").is_not_null()).sort("entry")
    if entries.is_empty():
        return None
    # Counted back from what is left at the end: of the time before the report there is no entry here.
    whole = tables.get("balances")
    left = whole["balance"][-1] if whole is not None and whole.height else entries["tokens"].sum()
    later = pl.lit(entries["tokens"].sum()) - pl.col("tokens").cum_sum()
    daily = (
        entries.with_columns(day=pl.col("at").dt.date(), left=pl.lit(left) - later)
        .group_by("day", maintain_order=True)
        .agg(pl.col("left").last())
    )
    rows: list[tuple[str, date, Decimal]] = [(LEFT, day, tokens) for day, tokens in _thinned(daily).iter_rows()]
    expiries = entries.filter((pl.col("kind").cast(pl.String) == "expiry") & (pl.col("tokens") < 0))
    marks = [
        Mark(at.date(), f"{name} expires")
        for at, name in expiries.select("at", pl.col("pool").cast(pl.String)).head(4).iter_rows()
    ]
    dry = _runs_dry(tables.get("burn"), rows[-1][1])
    if dry is not None:
        rows += [(PACE, rows[-1][1], rows[-1][2]), (PACE, dry, Decimal(0))]
        marks.append(Mark(dry, f"used up {dry:%d %b %Y}"))
    series = [LEFT] if dry is None else [LEFT, PACE]
    return shapes.lines(rows, unit="tokens left", series=series, steps={LEFT}, days=marks)


LEFT: Final = "balance"
PACE: Final = "if it goes on as lately"


def _runs_dry(burn: pl.DataFrame | None, at: date) -> date | None:
    """The day on which the last pool that is open at a day has run dry; None where one never does."""
    if burn is None:
        return None
    pools = burn.filter((pl.col("opens").dt.date() <= at) & (pl.col("tokens") > 0))
    last = pools["exhausted_at"].max()
    if pools["exhausted_at"].null_count() or not isinstance(last, datetime) or last.date() <= at:
        return None
    return last.date()


def bridge(summary: pl.DataFrame) -> Picture | None:
    """From our sum to the vendor's, a step for each cause of a difference."""
    if summary.is_empty():
        return None
    ours, vendors = _total(summary["ours"]), _total(summary["vendors"])
    causes = (
        summary.filter(pl.col("difference") != 0)
        .group_by(name=_name("cause").str.replace_all("_", " ", literal=True))
        .agg(pl.col("difference").sum())
        .filter(pl.col("difference") != 0)
        .sort(pl.col("difference").abs(), "name", descending=[True, False])
    )
    steps = list(causes.iter_rows())
    shown, others = steps[:BARS], steps[BARS:]
    if others:
        shown.append((f"{len(others)} other causes", sum((value for _, value in others), Decimal(0))))
    return shapes.bridge(("our account", ours), shown, ("the vendor's", vendors), unit="tokens")


def differences(table: pl.DataFrame) -> Picture | None:
    """The differences that can be compared, by cause: above 0 the vendor says more than we."""
    rows = (
        table.filter((pl.col("status").cast(pl.String) != "not_comparable") & (pl.col("difference") != 0))
        .group_by(name=_words(table, "cause"))
        .agg(pl.col("difference").sum(), lines=pl.len())
        .sort(pl.col("difference").abs(), "name", descending=[True, False])
        .head(BARS)
    )
    if rows.is_empty():
        return None
    words = [
        f"{signed(value)} in {many(lines, 'line')}" for value, lines in rows.select("difference", "lines").iter_rows()
    ]
    pairs = list(rows.select("name", "difference").iter_rows())
    return shapes.bars(pairs, unit="tokens by the vendor less ours, of what can be compared", texts=words, worse="more")


def whatif(table: pl.DataFrame) -> Picture | None:
    """What all sites together would save in each zone: everyone's own, and the ten with most."""
    known = table.filter(pl.col("saving").is_not_null() & (pl.col("zone") != "today"))
    sums = known.group_by(name=_name("zone")).agg(pl.col("tokens", "saving").sum(), sites=pl.len())
    # Only zones for which every site is known are sums of the same sessions.
    full = sums.filter(pl.col("sites") == sums.filter(pl.col("name") != OWN)["sites"].max())
    best = full.filter(pl.col("name") != OWN).sort("saving", "name", descending=[True, False]).head(BARS - 2)
    rows = pl.concat([sums.filter(pl.col("name") == OWN), best])
    if rows.is_empty():
        return None
    words = [
        f"{number(abs(saving))} {'less' if saving >= 0 else 'more'}" + ("" if zone == OWN else f", {number(tokens)}")
        for zone, saving, tokens in rows.select("name", "saving", "tokens").iter_rows()
    ]
    pairs = [
        ("each user's own, where known" if zone == OWN else zone, saving)
        for zone, saving in rows.select("name", "saving").iter_rows()
    ]
    unit = "tokens saved against today, all sites together, if days were those of the zone"
    return shapes.bars(pairs, unit=unit, texts=words)


OWN: Final = "user"
"""How a what-if writes each user's own zone."""


def rules(table: pl.DataFrame) -> Picture | None:
    """What each rule would charge more or less than the first one."""
    if table.height < 2:  # noqa: PLR2004 - one alone compares nothing
        return None
    rows = table.head(BARS)
    words = [
        f"{signed(difference)} to {number(tokens)}" if place else number(tokens)
        for place, (difference, tokens) in enumerate(rows.select("difference", "tokens").iter_rows())
    ]
    pairs = [
        (differs or "the rule of this report", difference)
        for differs, difference in rows.select("differs", "difference").iter_rows()
    ]
    unit = "tokens more or less than under the rule of this report, by what is otherwise"
    return shapes.bars(pairs, unit=unit, texts=words, worse="more")


def replay(table: pl.DataFrame) -> Picture | None:
    """What taking idle licenses back would have saved, by the time after which they are taken."""
    rows = [(f"after {span(after)}", saved) for after, saved in table.select("after", "tokens_saved").iter_rows()]
    return shapes.bars(rows, unit="tokens saved") if rows else None


def week(table: pl.DataFrame) -> Picture | None:
    """Licenses in use in each hour of the week: the mean, of all groups together."""
    rows = table.group_by("weekday", "hour").agg(pl.col("mean").sum()).sort("weekday", "hour")
    return shapes.heat(list(rows.iter_rows()), unit="licenses in use, mean") if rows.height else None


def week_of_one(table: pl.DataFrame) -> Picture | None:
    """The same of the one product that is used most."""
    most = table.group_by("product").agg(pl.col("mean").sum()).sort("mean", descending=True)["product"].cast(pl.String)
    if most.is_empty() or most[0] is None:
        return None
    of_one = table.filter(pl.col("product").cast(pl.String) == most[0])
    rows = of_one.group_by("weekday", "hour").agg(pl.col("mean").sum()).sort("weekday", "hour")
    return shapes.heat(list(rows.iter_rows()), unit=f"licenses of {most[0]} in use, mean")


def peaks(table: pl.DataFrame) -> Picture | None:
    """The peak of each day, of the products with the highest."""
    order = (
        table.group_by(name=_name("product")).agg(pl.col("peak").max()).sort("peak", "name", descending=[True, False])
    )
    shown = order["name"].head(LINES_SHOWN).to_list()
    rows = table.select("date", "peak", name=_name("product")).filter(pl.col("name").is_in(shown)).sort("date")
    if rows["date"].n_unique() < _FEWEST:
        return None
    points = [(name, day, float(peak)) for name, day, peak in rows.select("name", "date", "peak").iter_rows()]
    return shapes.lines(points, unit="licenses in use at once, the peak of each day", series=shown)


def in_use(table: pl.DataFrame) -> Picture | None:
    """Licenses of each product in use at once: the peak, what was enough for 95 % of the time, and what is owned."""
    name = _first_name(table)
    rows = table.filter(pl.col("peak").is_not_null()).sort("peak", descending=True).head(BARS)
    if rows.is_empty() or name is None:
        return None
    words = []
    for row in rows.iter_rows(named=True):
        owned = f", {row['limit']:,} owned" if row.get("limit") is not None else ""
        words.append(f"{row['peak']:,} · 95 %: {row['p95']:,}{owned}")
    pairs = [(str(label), peak) for label, peak in rows.select(_name(name), "peak").iter_rows()]
    return shapes.bars(
        pairs, unit="licenses in use at once: the peak, and what was enough for 95 % of the time", texts=words
    )


def uncertain(table: pl.DataFrame) -> Picture | None:
    """What each uncertain thing can make of the whole estimate, the widest first."""
    if table.is_empty():
        return None
    rows = table.with_columns(width=pl.col("high") - pl.col("low")).filter(pl.col("width") > 0)
    rows = rows.sort("width", descending=True).head(BARS)
    if rows.is_empty():
        return None
    base = table["base"][0]
    names = [
        source.replace("_", " ") + (f": {item}" if item else "")
        for source, item in rows.select(pl.col("source").cast(pl.String), pl.col("item").cast(pl.String)).iter_rows()
    ]
    pairs = [(name, low, high) for name, (low, high) in zip(names, rows.select("low", "high").iter_rows(), strict=True)]
    return shapes.ranges(pairs, unit="tokens", base=Mark(base, f"the base, {number(base)}"))


def ahead(days: pl.DataFrame, history: pl.DataFrame | None = None) -> Picture | None:
    """Tokens a week: what was used, and what is forecast with its interval."""
    if days.is_empty():
        return None
    weeks = _weeks(days, "mean", "low", "high")
    past: list[tuple[date, Decimal]] = []
    if history is not None and history.height:
        one = history.group_by("date").agg(pl.col("tokens").sum())
        past = [(monday, tokens) for monday, tokens in _weeks(one, "tokens").tail(26).iter_rows()]
    rows = [(monday, low, mean, high) for monday, mean, low, high in weeks.iter_rows()]
    if not rows:
        return None
    return shapes.band(past, rows, unit="tokens a week", names=("used", "expected", "interval, its ends added up"))


def quantities(tried: pl.DataFrame, tables: Mapping[str, pl.DataFrame]) -> Picture | None:
    """What each quantity would cost over the term, with its range, and the one chosen."""
    if any(
        table is not tried and table.columns == tried.columns and table.height < tried.height
        for table in tables.values()
    ):
        return None  # the smaller one is the curve
    chosen = tried.filter(pl.col("is_chosen"))
    if chosen.is_empty():
        return None
    same = tried.filter(pl.col("policy").cast(pl.String) == str(chosen["policy"][0]))
    rows = same.sort("tokens", "expected_cost").unique("tokens", keep="first", maintain_order=True)
    if rows.height < _FEWEST:
        return None
    best = chosen.row(0, named=True)
    dear = Decimal(best["expected_cost"]) * 2
    rows = rows.filter((pl.col("expected_cost") <= dear) | pl.col("is_chosen"))
    values = rows.select("tokens", "low_cost", "expected_cost", "high_cost")
    mark = Mark(best["tokens"], f"{number(best['tokens'])} tokens: {best['expected_cost']:,.0f} expected")
    return shapes.curve(
        list(values.iter_rows()), along="tokens bought", unit="cost, with the range of eight in ten", chosen=mark
    )


def models(table: pl.DataFrame) -> Picture | None:
    """What a year costs by each way to pay."""
    rows = table.filter(pl.col("cost").is_not_null())
    pairs = [(str(model).replace("_", " "), cost) for model, cost in rows.select("model", "cost").iter_rows()]
    words = [f"{cost:,.0f}" for _, cost in pairs]
    return shapes.bars(pairs, unit="money a year", texts=words) if pairs else None


def above(table: pl.DataFrame) -> Picture | None:
    """How many users of each product use it on more days than a subscription takes to pay."""
    rows = table.filter(pl.col("break_even_days").is_not_null() & (pl.col("users") > 0))
    rows = rows.sort("users_above", "users", "product", descending=[True, True, False]).head(BARS)
    if rows.is_empty():
        return None
    words = [
        f"{over:,} of {users:,} users, from {number(days)} days a year on"
        for over, users, days in rows.select("users_above", "users", "break_even_days").iter_rows()
    ]
    pairs = list(rows.select(_name("product"), "users_above").iter_rows())
    return shapes.bars(pairs, unit="users for whom a subscription is cheaper", texts=words)


def refused(table: pl.DataFrame) -> Picture | None:
    """Refusals by product, each case once, and how many of them kept somebody from working."""
    rows = table.group_by(name=_name("product")).agg(pl.col("cases", "real").sum())
    rows = rows.sort("cases", "name", descending=[True, False]).head(BARS)
    words = [f"{cases:,}, {real:,} of them real" for cases, real in rows.select("cases", "real").iter_rows()]
    return shapes.bars(list(rows.select("name", "cases").iter_rows()), unit="refusals, repeats once", texts=words)


def covered(table: pl.DataFrame) -> Picture | None:
    """The days of each server of which there are lines, and those of which there are none."""
    servers = table["server"].unique(maintain_order=True).head(BARS * 2)
    rows: list[tuple[str, date, date, str]] = []
    for server in servers:
        days = table.filter(pl.col("server") == server).sort("date")
        runs = days.group_by(run=pl.col("has_lines").rle_id(), maintain_order=True).agg(
            first=pl.col("date").min(), last=pl.col("date").max(), has_lines=pl.col("has_lines").first()
        )
        rows += [
            (str(server), first, last, LINES if has_lines else NO_LINES)
            for first, last, has_lines in runs.select("first", "last", "has_lines").iter_rows()
        ]
    missing = table.filter(~pl.col("has_lines")).height
    says = f"A strip of days for each of {many(len(servers), 'server')}; {many(missing, 'day')} of them without a line."
    return shapes.strips(rows, names=(LINES, NO_LINES), says=says)


LINES: Final = "lines in the log"
NO_LINES: Final = "no line"


def _sums(table: pl.DataFrame, by: str, value: str) -> list[tuple[str, Any]]:
    """Sums by name, the greatest first."""
    sums = table.group_by(name=_words(table, by)).agg(pl.col(value).fill_null(0).sum())
    return list(sums.sort(value, "name", descending=[True, False]).iter_rows())


def _name(column: str) -> pl.Expr:
    return pl.col(column).cast(pl.String).fill_null(UNKNOWN)


def _words(table: pl.DataFrame, column: str) -> pl.Expr:
    """Names, and our own words without underscores."""
    name = _name(column)
    return name.str.replace_all("_", " ", literal=True) if isinstance(table.schema[column], pl.Enum) else name


def _first_name(table: pl.DataFrame) -> str | None:
    """The first column of names that tells rows apart."""
    for column in table.columns:
        dtype = table.schema[column]
        if column != "zone" and (dtype == pl.String or isinstance(dtype, (pl.Categorical, pl.Enum))):
            return column
    return None


def _total(values: pl.Series) -> Decimal:
    return sum((value for value in values.to_list() if value is not None), Decimal(0))


def _weeks(table: pl.DataFrame, *values: str) -> pl.DataFrame:
    """Sums by week, which its Monday names; weeks that are not whole are left out."""
    weeks = table.group_by(monday=pl.col("date").dt.truncate("1w")).agg(
        *(pl.col(value).sum() for value in values), days=pl.col("date").n_unique()
    )
    return weeks.filter(pl.col("days") == 7).sort("monday").drop("days")  # noqa: PLR2004 - days of a week


def _thinned(rows: pl.DataFrame) -> pl.DataFrame:
    """At most so many rows as a line shows, the last one among them."""
    every = -(-rows.height // POINTS)
    return rows.gather_every(every).vstack(rows.tail(1)).unique(maintain_order=True) if every > 1 else rows


def picture_of(key: str, table: pl.DataFrame, tables: Mapping[str, pl.DataFrame]) -> Picture | None:
    """The chart of a section, or none where its table says more as it is."""
    if table.is_empty():
        return None
    if key in _BY_KEY:
        return _BY_KEY[key](table)
    for columns, draw in _BY_COLUMNS:
        if columns <= set(table.columns):
            return draw(table, tables)
    return None


def _top(by: str) -> Callable[[pl.DataFrame], Picture | None]:
    return lambda table: top(table, by)


def _alone(draw: Callable[[pl.DataFrame], Picture | None]) -> _Draw:
    return lambda table, _: draw(table)


_Draw: TypeAlias = "Callable[[pl.DataFrame, Mapping[str, pl.DataFrame]], Picture | None]"

_BY_KEY: Final[dict[str, Callable[[pl.DataFrame], Picture | None]]] = {
    "tokens_by_month": by_month,
    "tokens_by_day": by_day,
    "tokens_by_product": _top("product"),
    "tokens_by_user": _top("user"),
    "tokens_by_group": _top("group"),
    "tokens_by_cost_centre": _top("cost_centre"),
    "tokens_by_site": _top("site"),
    "tokens_by_server": _top("server"),
    "tokens_by_version": by_version,
    "differences": differences,
}
"""Tables of one kind that are told apart by what they are laid by, or by what of them is shown."""

_BY_COLUMNS: Final[tuple[tuple[frozenset[str], _Draw], ...]] = (
    (frozenset({"entry", "at", "pool", "balance_after", "kind"}), balance),
    (frozenset({"outcome", "cause", "ours", "vendors", "difference"}), _alone(bridge)),
    (frozenset({"zone", "site", "tokens", "saving", "sessions"}), _alone(whatif)),
    (frozenset({"rule_id", "differs", "tokens", "difference"}), _alone(rules)),
    (frozenset({"cause", "cases", "tokens", "claimable"}), _alone(_top("cause"))),
    (frozenset({"habit", "charges", "tokens"}), _alone(_top("habit"))),
    (frozenset({"after", "tokens_saved"}), _alone(replay)),
    (frozenset({"product", "weekday", "hour", "mean"}), _alone(week_of_one)),
    (frozenset({"weekday", "hour", "mean"}), _alone(week)),
    (frozenset({"product", "date", "peak"}), _alone(peaks)),
    (frozenset({"peak", "p95", "mean", "requests"}), _alone(in_use)),
    (frozenset({"product", "denials", "cases", "real"}), _alone(refused)),
    (frozenset({"source", "item", "low", "base", "high"}), _alone(uncertain)),
    (frozenset({"date", "mean", "low", "high"}), lambda table, all_: ahead(table, all_.get("forecast_history"))),
    (frozenset({"policy", "tokens", "expected_cost", "is_chosen"}), quantities),
    (frozenset({"model", "cost", "subscriptions"}), _alone(models)),
    (frozenset({"users_above", "break_even_days", "product"}), _alone(above)),
    (frozenset({"server", "date", "has_lines"}), _alone(covered)),
)
"""Tables that a verb makes, each known by its columns, so that their names are the report's business."""
