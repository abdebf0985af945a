"""Rates: tokens per window and product, dated and exact."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import polars as pl

from tokenflex import tables
from tokenflex.errors import (
    ArgumentError,
    ArgumentTypeError,
    ColumnTypeError,
    ColumnValueError,
    MissingColumnError,
    SourceError,
    SourceNotFoundError,
    TableTypeError,
)
from tokenflex.times import instant_or_date, microseconds

if TYPE_CHECKING:
    from datetime import datetime

    from tokenflex.arrow import AnyTable

SCALE: Final = 4
LARGEST: Final = Decimal(10) ** 12
SINCE_EVER: Final = -(2**62)


class Rate(NamedTuple):
    """What one window of a product costs.

    Attributes:
        product: The product line, such as `ACD`.
        tokens: Tokens for each window, of at most four decimals.
        effective_from: The first instant at which the rate holds; `None` is since ever.
        family: The family of products that share a window, or `None`.
        source: Where the rate was found, or `None`.
    """

    product: str
    tokens: Decimal
    effective_from: datetime | None = None
    family: str | None = None
    source: str | None = None


class Rates:
    """The rates of all products. The rate in force at the instant of a charge counts.

    Args:
        rates: A mapping from product to tokens, a table with the columns of `tables.RATES` (`product` and `tokens` are
            enough), or `Rate` tuples. Tokens are `int`, `Decimal` or text such as `"10.5"`: a binary float cannot hold
            a tenth, so floats are refused. `effective_from` is a date (from 00:00 UTC on) or an aware datetime.

    Raises:
        ArgumentError: A rate is negative, has over four decimals, or stands twice for one product and instant; a
            product is of two families.
        ArgumentTypeError: A rate is a float or no number.
        MissingColumnError, ColumnTypeError, ColumnValueError: The table is wrong; `column` and `row` say where.

    Example:
        >>> import tokenflex as tf
        >>> rates = tf.Rates({"ACD": 7, "RVT": "10.5"})
        >>> rates.frame.select("product", "tokens").rows()
        [('ACD', Decimal('7.0000')), ('RVT', Decimal('10.5000'))]
    """

    def __init__(self, rates: Mapping[str, int | Decimal | str] | AnyTable | list[Rate] | tuple[Rate, ...]) -> None:
        if isinstance(rates, Mapping):
            rows = [Rate(product, _tokens(tokens, f"rates[{product!r}]")) for product, tokens in rates.items()]
        elif isinstance(rates, list | tuple):
            rows = [_checked(rate) for rate in rates]
        else:
            rows = _rows_of(rates)
        for rate in rows:
            if not isinstance(rate.product, str) or not rate.product:
                raise ArgumentError(f"a rate needs the name of its product, not {rate.product!r}", location="rates")
        self._rows = tuple(rows)
        _refuse_duplicates(self._rows)
        _refuse_two_families(self._rows)

    @classmethod
    def read(cls, path: str | Path) -> Rates:
        """The rates in a `.csv` or `.parquet` file.

        Args:
            path: A file with the columns `product` and `tokens`, and if there are any `effective_from` (ISO 8601),
                `family` and `source`. Numbers in CSV are read as text, so that they stay exact.

        Raises:
            SourceNotFoundError: There is no such file.
            SourceError: The file cannot be read as a table.
        """
        path = Path(path)
        try:
            if path.suffix.lower() == ".parquet":
                return cls(pl.read_parquet(path))
            return cls(pl.read_csv(path, infer_schema=False))
        except FileNotFoundError as error:
            raise SourceNotFoundError(f"there is no rates file {path}", location=str(path)) from error
        except pl.exceptions.PolarsError as error:
            raise SourceError(f"{path} is no table of rates: {error}", location=str(path)) from error

    @property
    def rows(self) -> tuple[Rate, ...]:
        """The rates as tuples, in the order in which they were given."""
        return self._rows

    @property
    def frame(self) -> pl.DataFrame:
        """The rates as a table, see `tables.RATES`."""
        return pl.DataFrame(self._rows, schema=dict(tables.RATES), orient="row")

    def __len__(self) -> int:
        return len(self._rows)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Rates) and self._rows == other._rows

    def __hash__(self) -> int:
        return hash(self._rows)

    def __repr__(self) -> str:
        return f"<Rates of {len({rate.product for rate in self._rows})} products>"

    def families(self) -> list[tuple[str, str]]:
        """Product and family of each product that has one."""
        return sorted({(rate.product, rate.family) for rate in self._rows if rate.family is not None})

    def terms(self) -> list[tuple[str, int, int]]:
        """Product, first microsecond in force, and tokens in units of 1/10,000, as the compiled part takes them."""
        return [
            (
                rate.product,
                SINCE_EVER if rate.effective_from is None else microseconds(rate.effective_from, "effective_from"),
                int(rate.tokens.scaleb(SCALE)),
            )
            for rate in self._rows
        ]


def _tokens(value: object, where: str) -> Decimal:
    if value is None or value == "":
        raise ArgumentError(f"{where} is empty: give a number, 0 for what is free", location=where)
    if isinstance(value, float):
        raise ArgumentTypeError(
            f"{where} is the binary float {value!r}, which may not be what you wrote: give '{value!r}' as text, "
            "a Decimal or an int",
            location=where,
        )
    if isinstance(value, bool) or not isinstance(value, int | str | Decimal):
        raise ArgumentTypeError(
            f"{where} has to be an int, a Decimal or text, not {type(value).__name__}", location=where
        )
    try:
        tokens = Decimal(value.strip() if isinstance(value, str) else value)
    except InvalidOperation as error:
        raise ArgumentError(f"{where} is {value!r}, which is no number of tokens", location=where) from error
    if not tokens.is_finite() or tokens < 0 or tokens >= LARGEST:
        raise ArgumentError(f"{where} is {value}, but has to lie in 0 to {LARGEST:,}", location=where)
    exact = round(tokens, SCALE)
    if exact != tokens:
        raise ArgumentError(f"{where} is {value}, but tokens have at most {SCALE} decimals", location=where)
    return exact


def _checked(rate: object) -> Rate:
    if not isinstance(rate, tuple) or not 2 <= len(rate) <= len(Rate._fields):  # noqa: PLR2004 - product and tokens
        raise ArgumentTypeError(f"a rate has to be a tokenflex.Rate(product, tokens, …), not {rate!r}")
    rate = Rate(*rate)
    return rate._replace(
        tokens=_tokens(rate.tokens, f"rate of {rate.product!r}"),
        effective_from=instant_or_date(rate.effective_from, f"effective_from of {rate.product!r}"),
    )


def _rows_of(table: Any) -> list[Rate]:  # noqa: ANN401 - whatever the caller takes for a table
    if isinstance(table, pl.LazyFrame):
        table = table.collect()
    if not isinstance(table, pl.DataFrame):
        if not hasattr(table, "__arrow_c_stream__"):
            raise TableTypeError(
                f"rates have to be a mapping, a table or a list of tokenflex.Rate, not {type(table).__name__}",
                location="rates",
            )
        table = pl.DataFrame(table)
    for column in ("product", "tokens"):
        if column not in table.columns:
            raise MissingColumnError(
                f"column {column!r} is missing; the rates have: {', '.join(table.columns)}", column=column
            )
    if table["tokens"].dtype.is_float():
        raise ColumnTypeError(
            "column 'tokens' is of binary floats, which cannot hold a tenth: read it as text, or cast it to pl.Decimal",
            column="tokens",
        )
    present = [name for name in Rate._fields if name in table.columns]
    rows = []
    for row, values in enumerate(table.select(present).iter_rows(named=True)):
        rows.append(_row(values, row))
    return rows


def _row(values: dict[str, Any], row: int) -> Rate:
    for column, read in (("tokens", _tokens), ("effective_from", instant_or_date)):
        if column in values:
            try:
                values[column] = read(values[column], column)
            except (ArgumentError, ArgumentTypeError) as error:
                of = f" ({values['product']})" if isinstance(values["product"], str) else ""
                raise ColumnValueError(f"rates, row {row}{of}: {error}", column=column, row=row) from error
    product = values["product"]
    if not isinstance(product, str) or not product.strip():
        raise ColumnValueError(
            f"rates, row {row}: product is {product!r}, but has to be its name", column="product", row=row
        )
    values["product"] = product.strip()
    return Rate._make((values.get(name) or None) if name != "tokens" else values[name] for name in Rate._fields)


def _refuse_duplicates(rows: tuple[Rate, ...]) -> None:
    seen = set()
    for rate in rows:
        key = (rate.product, rate.effective_from)
        if key in seen:
            since = "" if rate.effective_from is None else f" from {rate.effective_from:%Y-%m-%d %H:%M} UTC"
            raise ArgumentError(f"two rates for {rate.product}{since}: keep one", location="rates")
        seen.add(key)


def _refuse_two_families(rows: tuple[Rate, ...]) -> None:
    families: dict[str, str] = {}
    for rate in rows:
        if rate.family is not None and families.setdefault(rate.product, rate.family) != rate.family:
            raise ArgumentError(
                f"{rate.product} is of two families, {families[rate.product]} and {rate.family}: keep one",
                location="rates",
            )
