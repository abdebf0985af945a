"""What a statement says of each unit that a rule can be held against: a session, or a product on a date.

The statement is compared at the finest level that its rows have. Rows that no session of a license server can explain,
such as cloud use and manual adjustments, are left out, and told of.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

import polars as pl

from tokenflex import tables
from tokenflex.arrow import AnyTable, columns_of, frame_of
from tokenflex.errors import ArgumentError, ColumnTypeError, MissingColumnError
from tokenflex.metering.rates import LARGEST, SCALE
from tokenflex.reading.catalog import product_line
from tokenflex.reading.names import is_text
from tokenflex.times import EPOCH, TOO_LATE
from tokenflex.words import many

if TYPE_CHECKING:
    from datetime import date

    from tokenflex import _core

Level = Literal["session", "user_day", "day"]

_UNITS: Final[dict[Level, tuple[str, ...]]] = {
    "session": ("user", "product", "start"),
    "user_day": ("user", "product", "usage_date"),
    "day": ("product", "usage_date"),
}
"""The columns that say which unit a row is about, by level from the finest on."""

_PRODUCT: Final = ("product", "feature", "product_name")
_KEYS: Final = ("user", "product", "second")
_TEXT: Final = ("user", "server", "usage_category", *_PRODUCT)
_READS: Final = (*_TEXT, "usage_date", "start", "tokens")
_TYPES: Final[dict[str, pl.DataType]] = {"usage_date": pl.Date(), "start": tables.TIME, "tokens": tables.TOKENS}
_RANGES: Final[dict[str, tuple[object, object]]] = {
    "usage_date": (EPOCH.date(), TOO_LATE.date()),
    "start": (EPOCH, TOO_LATE),
    "tokens": (-LARGEST, LARGEST),
}
"""The values that data may have: from the first on, below the second."""
_OF_SERVERS: Final = ("DESKTOP_PRODUCT", "PRODUCT_CONSUMPTION")
"""Usage that license servers log."""


SHARE: Final = 0.9
"""From this share of units on that all stand in one ratio it is the rates that are off."""
_FEWEST: Final = 3
"""So many units have to stand in one ratio before it is told of."""


@dataclass(frozen=True)
class Stated:
    """What is stated, ready to be compared.

    Attributes:
        level: What a unit is.
        first: The first date that is compared: by UTC for sessions, as stated for days.
        last: The last one.
        units: For sessions a row for each of them, with `tokens` (null where the statement has no row) and
            `is_compared`; otherwise a row for each unit, with `tokens`.
        others: Rows with tokens that are about no session there is: how many, and their tokens in 1/10,000.
        without_row: How many of the sessions in the compared days have no row.
    """

    level: Level
    first: date
    last: date
    units: pl.DataFrame
    others: tuple[int, int] = (0, 0)
    without_row: int = 0

    @property
    def terms(self) -> _core.Stated:
        """The same for the compiled part, besides the units."""
        since = EPOCH.date()
        dates = ((self.first - since).days, (self.last - since).days)
        return {"level": self.level, "dates": dates, "others": self.others}

    @property
    def compiled(self) -> pl.DataFrame:
        """The units for the compiled part: tokens in 1/10,000, dates in days since 1970-01-01."""
        tokens = scaled("tokens").fill_null(0).alias("tokens")
        if self.level == "session":
            return self.units.select(tokens, compared=pl.col("is_compared").cast(pl.Int64))
        users = [pl.col("user")] if self.level == "user_day" else []
        return self.units.select(*users, "product", tokens, date=pl.col("usage_date").cast(pl.Int32).cast(pl.Int64))

    @property
    def tokens(self) -> int:
        """All that is stated of what is compared, in 1/10,000."""
        compared = self.units.filter("is_compared") if self.level == "session" else self.units
        # Decimals have room for a sum that whole numbers of 64 bits have not.
        return int(compared.select(pl.col("tokens").sum().cast(tables.TOKENS)).item() * 10**SCALE) + self.others[1]


def constant_factor(both: pl.DataFrame) -> tuple[float, int] | None:
    """The one factor by which nearly all stated `tokens` differ from what was `computed`, and for how many rows."""
    both = both.filter((pl.col("tokens") > 0) & (pl.col("computed") > 0))
    ratio = (scaled("tokens") / scaled("computed")).round(6)
    for value, count in both.select(ratio=ratio).group_by("ratio").len().sort("len", "ratio").tail(1).iter_rows():
        if value != 1 and count >= max(_FEWEST, SHARE * both.height):
            return value, count
    return None


def scaled(column: str) -> pl.Expr:
    """Tokens as whole numbers of 1/10,000."""
    return (pl.col(column).cast(tables.TOKENS) * 10**SCALE).cast(pl.Int64)


@dataclass(frozen=True)
class Comparable:
    """The rows of a statement that a rule can be held against, at the finest level that they have."""

    rows: pl.DataFrame
    level: Level
    found: tuple[tuple[str, str], ...]
    """What was left out."""

    def unknown_servers(self, sessions: pl.DataFrame) -> list[str]:
        """The sessions' servers that a statement by session never names; none where it may call them otherwise."""
        if self.level != "session" or "server" not in sessions.columns or self.rows["server"].null_count():
            return []
        used = set(sessions["server"].cast(pl.String).drop_nulls().unique())
        unknown = used - set(self.rows["server"].unique())
        return sorted(unknown) if unknown != used else []


def comparable(statement: AnyTable) -> Comparable:
    """What of a statement can be compared."""
    found: list[tuple[str, str]] = []
    rows = _rows(statement, found)
    rows, level = _comparable(rows, found)
    dates = pl.col("start").dt.date() if level == "session" else pl.col("usage_date")
    return Comparable(rows.with_columns(usage_date=dates), level, tuple(found))


def stated_of(compared: Comparable, sessions: pl.DataFrame) -> tuple[Stated, pl.DataFrame]:
    """What a statement says of sessions (`user`, `product`, `start`, `end`), and the problems."""
    rows, level, found = compared.rows, compared.level, list(compared.found)
    first, last = _common_days(rows, sessions, level, found)
    rows = rows.filter(pl.col("usage_date").is_between(first, last))
    if level == "session":
        stated = _by_session(rows, sessions, first, last, found)
    else:
        units = rows.group_by(_UNITS[level], maintain_order=True).agg(pl.col("tokens").sum().cast(tables.TOKENS))
        stated = Stated(level=level, first=first, last=last, units=units)
        _tell_unknown(units, sessions, found)
    return stated, told_of("statement", found)


def _rows(statement: AnyTable, found: list[tuple[str, str]]) -> pl.DataFrame:
    """The rows with all columns that say something, in fixed types; `row` counts them."""
    table = columns_of(statement, _READS)
    frame = table if isinstance(table, pl.DataFrame) else pl.DataFrame(columns_of(table, None))
    if "tokens" not in frame.columns:
        raise MissingColumnError("column 'tokens' is missing: a statement says how many were consumed", column="tokens")
    if not any(name in frame.columns for name in _PRODUCT):
        raise MissingColumnError(f"one of the columns {', '.join(_PRODUCT)} is needed", column="product")
    columns = []
    for name in _READS:
        if name not in frame.columns or frame[name].null_count() == frame.height:
            columns.append(pl.Series(name, [None] * frame.height, _TYPES.get(name, pl.String())))
        else:
            _check(name, frame.schema[name])
            columns.append(_in_range(frame[name], found) if name in _TYPES else frame[name].cast(pl.String))
    whole = pl.DataFrame(columns)
    lines = [pl.col("product"), product_line("feature"), pl.col("product_name")]
    return whole.with_columns(product=pl.coalesce(lines)).with_row_index("row")


def _in_range(given: pl.Series, found: list[tuple[str, str]]) -> pl.Series:
    """Times and tokens in their fixed types; those that no data may have are null, and told of."""
    cast = given.cast(_TYPES[given.name], strict=False)
    low, high = _RANGES[given.name]
    is_fine = (cast >= low) & (cast < high)
    if isinstance(given.dtype, pl.Decimal) and given.dtype.scale > SCALE:
        is_fine &= cast.cast(given.dtype, strict=False) == given
    kept = pl.select(pl.when(is_fine).then(cast)).to_series().alias(given.name)
    lost = kept.null_count() - given.null_count()
    if lost and given.name == "tokens":
        message = f"tokens of {many(lost, 'row')} are {LARGEST:,} and more, or finer than 1/{10**SCALE:,}: not compared"
        found.append(("tokens_out_of_range", message))
    elif lost:
        message = f"{given.name} of {many(lost, 'row')} lies before 1970 or from 2200 on: taken as unknown"
        found.append(("time_out_of_range", message))
    return kept


def _check(name: str, dtype: pl.DataType) -> None:
    if name in _TEXT and not is_text(dtype):
        raise ColumnTypeError(f"column {name!r} is {dtype}, but has to be text", column=name)
    if name == "start":
        _check_instants(name, dtype)
    if name == "usage_date" and dtype != pl.Date:
        raise ColumnTypeError(f"column 'usage_date' is {dtype}, but has to be dates", column=name)
    if name == "tokens" and not (dtype.is_integer() or dtype.is_decimal()):
        raise ColumnTypeError(f"column 'tokens' is {dtype}, but has to be decimals or whole numbers", column=name)


def _check_instants(name: str, dtype: pl.DataType) -> None:
    if not (isinstance(dtype, pl.Datetime) and dtype.time_zone is not None):
        raise ColumnTypeError(
            f"column {name!r} is {dtype}, but has to be instants: say which zone its times are in, in polars by "
            '.dt.replace_time_zone("…")',
            column=name,
        )


def _comparable(rows: pl.DataFrame, found: list[tuple[str, str]]) -> tuple[pl.DataFrame, Level]:
    """The rows of use that servers log, at the finest level that there is."""
    others = rows.filter(~pl.col("usage_category").is_in(_OF_SERVERS))
    for category, count in others.group_by("usage_category", maintain_order=True).len().iter_rows():
        found.append(("not_of_servers", f"{many(count, 'row')} of {category}: not compared, no server logs such use"))
    kept = rows.filter(pl.col("usage_category").is_in(_OF_SERVERS).fill_null(value=True))
    for level, columns in _UNITS.items():
        has_all = pl.all_horizontal(pl.col(name).is_not_null() for name in (*columns, "tokens"))
        fine = kept.filter(has_all)
        if fine.height:
            if fine.height < kept.height:
                lacking = ", ".join((*columns, "tokens"))
                without = many(kept.height - fine.height, "row")
                found.append(("not_compared", f"{without} without one of {lacking}: not compared"))
            return fine, level
    lost = "".join(f"; {message}" for _, message in found)
    raise ArgumentError(
        "the statement says nothing that a rule can be held against: it needs rows with product, usage_date and tokens"
        f"{lost}",
        location="statement",
    )


def _common_days(
    rows: pl.DataFrame, sessions: pl.DataFrame, level: Level, found: list[tuple[str, str]]
) -> tuple[date, date]:
    """The days that both cover. Local dates reach a day beyond the sessions' UTC dates."""
    first, last = rows.select(a=pl.col("usage_date").min(), b=pl.col("usage_date").max()).row(0)
    ends = (
        pl.col("start").max() if level == "session" else pl.max_horizontal(pl.col("start").max(), pl.col("end").max())
    )
    used = sessions.select(a=pl.col("start").min().dt.date(), b=ends.dt.date()).row(0)
    if used[0] is None:
        raise ArgumentError("there are no sessions with a start to hold the statement against", location="sessions")
    day = pl.Series([first, last]) - pl.Series(used)
    ahead, behind = (int(gap) for gap in day.dt.total_days())
    common = (used[0] if ahead < -1 else first, used[1] if behind > 1 else last)
    if common[0] > common[1]:
        raise ArgumentError(
            f"the statement covers {first} to {last}, and the sessions {used[0]} to {used[1]}: they have no day in "
            "common",
            location="statement",
        )
    if common != (first, last) or ahead > 1 or behind < -1:
        message = (
            f"the statement covers {first} to {last}, the sessions {used[0]} to {used[1]}: only {common[0]} to "
            f"{common[1]} is compared"
        )
        found.append(("partly_covered", message))
    return common


def _by_session(
    rows: pl.DataFrame, sessions: pl.DataFrame, first: date, last: date, found: list[tuple[str, str]]
) -> Stated:
    """Lays rows to sessions by user, product and start, to the second; the n-th of several to the n-th."""
    each, rows = (_numbered(frame) for frame in _coded(sessions.with_row_index("row"), rows))
    joined = each.join(rows.select(*_KEYS, "n", "tokens", "row"), on=[*_KEYS, "n"], how="left").sort("row")
    lone = rows.join(joined.select(row="row_right"), on="row", how="anti")
    compared = pl.col("start").dt.date().is_between(first, last).fill_null(value=False)
    units = joined.select("tokens", is_compared=compared)
    with_tokens = lone.filter(pl.col("tokens") != 0).select(scaled("tokens")).to_series().abs()
    without_row = units.filter(pl.col("is_compared") & pl.col("tokens").is_null()).height
    if lone.height:
        message = (
            f"{many(lone.height, 'row')} of the statement's {rows.height:,} are about no session there is (user, "
            "product and start): those with tokens count as missing. Are users and products spelled alike?"
        )
        found.append(("no_session", message))
    if without_row:
        found.append(("no_row", f"{many(without_row, 'session')} in the statement's days have no row in it"))
    return Stated(
        level="session",
        first=first,
        last=last,
        units=units,
        others=(with_tokens.len(), sum(with_tokens.to_list())),
        without_row=without_row,
    )


def _coded(*frames: pl.DataFrame) -> list[pl.DataFrame]:
    """The frames with names as places in the order of all their names, which are sorted and joined much faster."""
    frames = tuple(frame if "server" in frame.columns else frame.with_columns(server=None) for frame in frames)
    text = [frame.with_columns(pl.col("user", "product", "server").cast(pl.String)) for frame in frames]
    for name in ("user", "product", "server"):
        names = pl.concat([frame[name].unique() for frame in text]).unique().drop_nulls().sort()
        text = [frame.with_columns(pl.col(name).cast(pl.Enum(names)).to_physical()) for frame in text]
    return text


def _numbered(frame: pl.DataFrame) -> pl.DataFrame:
    """The rows in order of user, product and second, with `n`: the how manieth of these it is."""
    frame = frame.with_columns(second=pl.col("start").dt.truncate("1s")).sort(*_KEYS, "server", "row")
    place = pl.int_range(pl.len())
    is_first = pl.any_horizontal(pl.col(key).ne_missing(pl.col(key).shift()) for key in _KEYS)
    return frame.with_columns(n=place - pl.when(is_first).then(place).forward_fill().fill_null(0))


def _tell_unknown(units: pl.DataFrame, sessions: pl.DataFrame, found: list[tuple[str, str]]) -> None:
    for name in ("user", "product"):
        if name in units.columns:
            known = sessions[name].cast(pl.String).unique().implode()
            count = units.filter(~pl.col(name).is_in(known)).height
            if count:
                message = f"{name}s of {many(count, 'unit')} of the statement have no session: they count as missing"
                found.append(("no_session", message))


def told_of(source: str, found: list[tuple[str, str]]) -> pl.DataFrame:
    """Codes and messages as rows of `tables.PROBLEMS`."""
    codes, messages = ([problem[place] for problem in found] for place in (0, 1))
    return pl.DataFrame(
        {
            "source": [source] * len(found),
            "location": [None] * len(found),
            "code": codes,
            "message": messages,
        },
        schema=dict(tables.PROBLEMS),
    )


def sessions_of(sessions: AnyTable) -> pl.DataFrame:
    """The columns of sessions that statements are laid to, checked as metering checks them."""
    table = frame_of(columns_of(sessions, ("user", "product", "server", "start", "end")))
    for name in ("user", "product", "start", "end"):
        if name not in table.columns:
            raise MissingColumnError(f"column {name!r} is missing from the sessions", column=name)
    for name in ("start", "end"):
        if table[name].null_count() == table.height:
            table = table.with_columns(pl.lit(None, tables.TIME).alias(name))
        else:
            _check_instants(name, table.schema[name])
    return table.with_columns(pl.col("start", "end").cast(tables.TIME))
