"""Charges as tokens of each day, in cells of one group and one country: what a forecast is made of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

import polars as pl

from tokenflex import tables
from tokenflex.errors import ArgumentError, ArgumentTypeError, ColumnTypeError, ColumnValueError, MissingColumnError
from tokenflex.reading.groups import Groups
from tokenflex.reading.names import is_text

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from tokenflex.problems import Problems

BY: Final = ("product", "server", "site")
MOST_DAYS: Final = 156 * 7
"""Of a longer history the last three years are used."""
MOST_CELLS: Final = 2_000
DAY: Final = timedelta(days=1)
_FIRST_YEAR: Final = date(1970, 1, 1)
_LAST_YEAR: Final = date(2199, 12, 31)


@dataclass(frozen=True)
class Cell:
    """What is forecast by itself: the tokens of one group in one country."""

    group: str | None
    country: str | None


@dataclass(frozen=True, eq=False)
class History:
    """Tokens of each day.

    Attributes:
        first: The first day.
        days: How many.
        cells: Ordered by group and country.
        tokens: Cells by days.
        servers: Server and country of each row of `by_server`; one row without a name where charges have no server.
        by_server: Servers by days.
        charges: How many charges there are.
    """

    first: date
    days: int
    cells: list[Cell]
    tokens: NDArray[np.float64]
    servers: list[tuple[str | None, str | None]]
    by_server: NDArray[np.float64]
    charges: int
    exact: pl.DataFrame
    """The same exactly: `date`, `group`, `tokens`, without days of none."""

    @property
    def last(self) -> date:
        """The last day."""
        return self.first + (self.days - 1) * DAY

    def with_cells(self, cells: list[Cell], tokens: NDArray[np.float64]) -> History:
        """The history with other cells."""
        return replace(self, cells=cells, tokens=tokens)

    def until(self, day: date) -> History:
        """The history cut behind a day."""
        kept = (day - self.first).days + 1
        return replace(
            self,
            days=kept,
            tokens=self.tokens[:, :kept],
            by_server=self.by_server[:, :kept],
            exact=self.exact.filter(pl.col("date") <= day),
        )


def history_of(
    charges: pl.DataFrame,
    *,
    by: str | None,
    sites: Mapping[str, str] | Groups | None,
    countries: str | Mapping[str, str] | None,
    until: date | None,
    problems: Problems,
) -> History:
    """The history in charges, with what cannot be used told as problems."""
    rows = _rows(charges, by, sites, countries, problems)
    rows = _known(rows, problems)
    if until is not None:
        rows = rows.filter(pl.col("date") <= until)
    if rows.is_empty():
        raise ArgumentError(
            "there are no charges with tokens and a date" + (f" until {until}" if until else "") + ": nothing to go by",
            location="charges",
        )
    last: Any = until or rows["date"].max()
    first: Any = max(rows["date"].min(), last - (MOST_DAYS - 1) * DAY)
    rows = rows.filter(pl.col("date") >= first)
    if rows.is_empty():
        raise ArgumentError(
            f"there are no charges in the three years before {last}: nothing to go by", location="until"
        )
    days = (last - first).days + 1
    cells = rows.select("group", "country").unique().sort("group", "country", nulls_last=True).rows()
    if len(cells) > MOST_CELLS:
        raise ArgumentError(
            f"by={by!r} gives {len(cells):,} groups: at most {MOST_CELLS:,} are forecast", location="by"
        )
    servers = rows.group_by("server").agg(pl.col("country").drop_nulls().mode().sort().first()).sort("server").rows()
    return History(
        first,
        days,
        [Cell(*cell) for cell in cells],
        _matrix(rows, ["group", "country"], cells, first, days),
        servers,
        _matrix(rows, ["server"], [(server,) for server, _ in servers], first, days),
        rows.height,
        rows.group_by("date", "group").agg(pl.col("tokens").sum()).sort("date", "group", nulls_last=True),
    )


def _matrix(
    rows: pl.DataFrame, keys: list[str], names: list[tuple[str | None, ...]], first: date, days: int
) -> NDArray[np.float64]:
    """Tokens by key and day. They are added exactly, so the order of charges is nothing."""
    import numpy as np  # noqa: PLC0415 - an extra, see `extras`

    places = {name: place for place, name in enumerate(names)}
    matrix = np.zeros((len(names), days))
    sums = rows.group_by(*keys, "date").agg(pl.col("tokens").sum())
    cells = [places[key] for key in sums.select(keys).iter_rows()]
    offset = (sums["date"] - first).dt.total_days().to_numpy()
    matrix[cells, offset] = sums["tokens"].cast(pl.Float64).to_numpy()
    return matrix


def _rows(
    charges: pl.DataFrame,
    by: str | None,
    sites: Mapping[str, str] | Groups | None,
    countries: str | Mapping[str, str] | None,
    problems: Problems,
) -> pl.DataFrame:
    """`date`, `tokens`, `server`, `group`, `country` of each charge."""
    if by is not None and by not in BY:
        raise ArgumentError(f"by is {by!r}, but has to be one of {', '.join(BY)}", location="by")
    if by == "site" and sites is None:
        raise ArgumentError(
            'by="site" needs sites=: the site of each server, as {"mad-lic-01": "Madrid"}', location="by"
        )
    rows = pl.DataFrame([_dates(charges), _tokens(charges)])
    for name in ("server", "product"):
        if name in charges.columns:
            rows = rows.with_columns(_text(charges, name))
        elif by == name or (name == "server" and (by == "site" or isinstance(countries, Mapping))):
            raise MissingColumnError(f"the charges lack the column {name!r}", column=name)
        else:
            rows = rows.with_columns(pl.lit(None, pl.String).alias(name))
    rows = rows.with_columns(_sites(rows, sites, problems))
    group = pl.lit(None, pl.String) if by is None else pl.col(by)
    rows = rows.with_columns(_countries(rows, countries), group=group)
    if isinstance(countries, Mapping):
        _tell_without_country(rows, problems)
    return rows


def _dates(charges: pl.DataFrame) -> pl.Series:
    if "usage_date" in charges.columns:
        dates = charges["usage_date"]
        if dates.dtype == pl.Null:
            return dates.cast(pl.Date).alias("date")
        if dates.dtype in (pl.Datetime("ms"), pl.Datetime("us"), pl.Datetime("ns")):
            # Dates of pandas are such.
            dates = dates.dt.date()
        if dates.dtype != pl.Date:
            raise ColumnTypeError(
                f"column 'usage_date' is {dates.dtype}, but has to be dates: cast it to pl.Date", column="usage_date"
            )
        return dates.alias("date")
    if "charged_at" not in charges.columns:
        raise MissingColumnError(
            "the charges lack the column 'usage_date', and 'charged_at' as well: give what `charge` returns",
            column="usage_date",
        )
    instants = charges["charged_at"]
    if not isinstance(instants.dtype, pl.Datetime) or instants.dtype.time_zone is None:
        raise ColumnTypeError(
            f"column 'charged_at' is {instants.dtype}, but has to be instants with a zone", column="charged_at"
        )
    return instants.dt.convert_time_zone("UTC").dt.date().alias("date")


def _tokens(charges: pl.DataFrame) -> pl.Series:
    if "tokens" not in charges.columns:
        raise MissingColumnError("the charges lack the column 'tokens'", column="tokens")
    tokens = charges["tokens"]
    if not (tokens.dtype.is_decimal() or tokens.dtype.is_integer() or tokens.dtype == pl.Null):
        raise ColumnTypeError(
            f"column 'tokens' is {tokens.dtype}, but has to be decimals or whole numbers: money is exact",
            column="tokens",
        )
    return tokens.cast(tables.TOKENS)


def _text(charges: pl.DataFrame, name: str) -> pl.Series:
    column = charges[name]
    if not is_text(column.dtype):
        raise ColumnTypeError(f"column {name!r} is {column.dtype}, but has to be text", column=name)
    return column.cast(pl.String)


def _sites(rows: pl.DataFrame, sites: Mapping[str, str] | Groups | None, problems: Problems) -> pl.Series:
    """The site of each charge's server, at its day."""
    if sites is None:
        return pl.Series("site", [None], dtype=pl.String).new_from_index(0, rows.height)
    groups = sites if isinstance(sites, Groups) else Groups(_of_mapping(sites, "sites", "person", "group"))
    dimension = "site" if "site" in groups.dimensions else None
    joined = groups.join(
        rows.select("server", usage_date="date"), column="server", dimension=dimension, problems=problems
    )
    return joined[dimension or "group"].cast(pl.String).alias("site")


def _countries(rows: pl.DataFrame, countries: str | Mapping[str, str] | None) -> pl.Series:
    if countries is None or isinstance(countries, str):
        return pl.Series("country", [countries], dtype=pl.String).new_from_index(0, rows.height)
    known = _of_mapping(countries, "countries", "name", "country")
    found = rows.select(
        pl.coalesce(
            pl.col(name).replace_strict(known["name"], known["country"], default=None, return_dtype=pl.String)
            for name in ("server", "site")
        ).alias("country")
    )
    return found["country"]


def _of_mapping(given: Mapping[str, str], argument: str, key: str, value: str) -> pl.DataFrame:
    if not isinstance(given, Mapping) or not all(
        isinstance(name, str) and isinstance(other, str) for name, other in given.items()
    ):
        raise ArgumentTypeError(f"{argument} has to map names to names, as text", location=argument)
    return pl.DataFrame({key: list(given), value: list(given.values())}, schema={key: pl.String, value: pl.String})


def _tell_without_country(rows: pl.DataFrame, problems: Problems) -> None:
    lost = rows.with_row_index("location").filter(pl.col("country").is_null())
    found = lost.group_by("server", maintain_order=True).agg(pl.col("location").first(), count=pl.len())
    problems.add(
        found.select(
            pl.lit("charges").alias("source"),
            pl.col("location").cast(pl.UInt64),
            code=pl.lit("no_country"),
            message=pl.format(
                "{} has no country, so none of its {} charges knows of holidays",
                pl.col("server").fill_null("what has no server"),
                "count",
            ),
        )
    )


def _known(rows: pl.DataFrame, problems: Problems) -> pl.DataFrame:
    """Rows with tokens and a date; the others are problems."""
    placed = rows.with_row_index("location")
    for column, code, what in (
        ("tokens", "no_rate", "no tokens: left out of the forecast"),
        ("date", "no_date", "no date: left out of the forecast"),
    ):
        lost = placed.filter(pl.col(column).is_null())
        if lost.height > 0:
            message = f"{lost.height} charges have {what}; the first is row {lost['location'][0]}"
            row = {"source": ["charges"], "location": [lost["location"][0]], "code": [code], "message": [message]}
            problems.add(pl.DataFrame(row, schema=dict(tables.PROBLEMS)))
    placed = placed.filter(pl.col("tokens").is_not_null(), pl.col("date").is_not_null())
    wrong = placed.filter((pl.col("date") < _FIRST_YEAR) | (pl.col("date") > _LAST_YEAR))
    if wrong.height > 0:
        raise ColumnValueError(
            f"row {wrong['location'][0]} is of {wrong['date'][0]}, outside of 1970 to 2199",
            column="usage_date",
            row=wrong["location"][0],
        )
    return placed.drop("location")


def checked_day(value: object, argument: str) -> date | None:
    """A date, as such or as ISO text, or None."""
    if value is None:
        return None
    if isinstance(value, str):
        try:
            return date.fromisoformat(value)
        except ValueError as error:
            raise ArgumentError(
                f"{argument} is {value!r}, but has to be a date such as 2026-01-31", location=argument
            ) from error
    if not isinstance(value, date) or isinstance(value, datetime):
        raise ArgumentTypeError(f"{argument} has to be a date, not {type(value).__name__}", location=argument)
    return value
