"""The two sides of a reconciliation in one form: our charges, and the charges that a statement tells of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import polars as pl

from tokenflex import tables
from tokenflex.audit.doubles import lines_of_products
from tokenflex.audit.evidence import payers, put_right
from tokenflex.audit.lines import Basis, lines_of_charges, lines_of_statement
from tokenflex.audit.people import is_dated, persons_by_name
from tokenflex.errors import ColumnTypeError, MissingColumnError
from tokenflex.problems import Problems
from tokenflex.times import EPOCH, MICROSECOND, TOO_LATE
from tokenflex.usage.vendor import product_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tokenflex.reading.identity import Identity

LINES: Final[dict[str, pl.DataType]] = {
    "row": pl.UInt64(),
    "user": pl.String(),
    "host": pl.String(),
    "server": pl.String(),
    "product": pl.String(),
    "usage_date": pl.Date(),
    "charged_at": tables.TIME,
    "window_end": tables.TIME,
    "category": pl.String(),
    "trigger": pl.String(),
    "tokens": tables.TOKENS,
    "start": tables.TIME,
    "end": tables.TIME,
    "is_manual": pl.Boolean(),
    "is_swapped": pl.Boolean(),
    "is_borrowed": pl.Boolean(),
    "is_masked": pl.Boolean(),
    "is_repeated": pl.Boolean(),
    "aside": pl.String(),
}
"""A line of either side. `aside` is the cause for which a line of the vendor cannot be compared at all."""

OF_SERVERS: Final = ("DESKTOP_PRODUCT", "PRODUCT_CONSUMPTION", "MANUAL_CONSUMPTION")
_ORDER: Final = ("start", "user", "product", "feature", "server", "host", "end", "tokens", "usage_date", "category")


@dataclass(frozen=True)
class Footing:
    """Who is who and which product is which: the same for both sides."""

    identity: Identity
    variants: Mapping[str, str] | None
    machine_metered: list[str]

    def put(self, *frames: pl.DataFrame, found: Problems) -> list[pl.DataFrame]:
        """The frames with `payer` and `line`."""
        names = [name for frame in frames for name in frame["user"].unique().drop_nulls()]
        persons = persons_by_name(names, self.identity)
        products = [name for frame in frames for name in frame["product"].unique().drop_nulls()]
        lines = lines_of_products(list(dict.fromkeys(products)), self.variants)
        done = []
        for frame in frames:
            rows = self._with_hosts(put_right(frame, self.machine_metered))
            rows = payers(rows, self._persons(rows, persons, found), self.machine_metered)
            line = pl.col("product").replace_strict(lines, default=None, return_dtype=pl.String)
            done.append(rows.with_columns(payer="person", line=line).drop("person", "of_person"))
        return done

    def _with_hosts(self, rows: pl.DataFrame) -> pl.DataFrame:
        """The hosts in one spelling, where they pay."""
        if not self.machine_metered or "host" not in rows.columns:
            return rows
        hosts = rows["host"].unique().drop_nulls()
        named = pl.DataFrame({"user": hosts, "host": hosts}, schema={"user": pl.String, "host": pl.String})
        known = self.identity.apply(named, at=TOO_LATE - MICROSECOND, problems=Problems())
        spelled = dict(zip(hosts, known["host"].cast(pl.String), strict=True))
        return rows.with_columns(pl.col("host").replace_strict(spelled, default=None, return_dtype=pl.String))

    def _persons(self, rows: pl.DataFrame, persons: Mapping[str, str], found: Problems) -> pl.Series:
        if not is_dated(self.identity):
            return rows["user"].replace_strict(dict(persons), default=None, return_dtype=pl.String)
        midnight = pl.col("usage_date").cast(pl.Datetime("us")).dt.replace_time_zone("UTC")
        at = rows.select("user", at=pl.coalesce("charged_at", "start", midnight))
        return self.identity.apply(at, at="at", problems=found)["user"].cast(pl.String)


def in_range(frame: pl.DataFrame) -> pl.DataFrame:
    """The frame with times and dates that no data may have (before 1970, from 2200 on) as unknown."""
    kept = []
    for name, dtype in frame.schema.items():
        if isinstance(dtype, pl.Datetime) and dtype.time_zone is not None:
            low, high = (pl.lit(bound).cast(pl.Datetime(dtype.time_unit, "UTC")) for bound in (EPOCH, TOO_LATE))
            at = pl.col(name).dt.convert_time_zone("UTC")
            kept.append(pl.when((at >= low) & (at < high)).then(at).alias(name))
        elif dtype == pl.Date:
            is_fine = (pl.col(name) >= EPOCH.date()) & (pl.col(name) < TOO_LATE.date())
            kept.append(pl.when(is_fine).then(name).alias(name))
    return frame.with_columns(kept)


def in_form(frame: pl.DataFrame) -> pl.DataFrame:
    """The columns of `LINES`, those that are not there as nulls."""
    return frame.select(
        (pl.col(name).cast(dtype) if name in frame.columns else pl.lit(None, dtype).alias(name))
        for name, dtype in LINES.items()
    )


def our_lines(charges: pl.DataFrame, sessions: pl.DataFrame | None) -> pl.DataFrame:
    """Our charges, in an order that does not hang on that of the rows."""
    lines = lines_of_charges(charges, sessions)
    _check_exact(charges)
    repeated = pl.struct("user", "product", "server", "charged_at").is_duplicated()
    lines = in_form(lines.with_row_index("row")).sort(
        "charged_at", "user", "product", "server", "tokens", "start", "row", maintain_order=True
    )
    first = pl.struct("user", "product", "server", "charged_at").is_first_distinct()
    return lines.with_columns(is_repeated=repeated & ~first)


def _check_exact(frame: pl.DataFrame) -> None:
    dtype = frame.schema["tokens"]
    is_exact = dtype.is_integer() or dtype == pl.Null or (isinstance(dtype, pl.Decimal) and dtype.scale <= 4)  # noqa: PLR2004 - scale of `tables.TOKENS`
    if not is_exact:
        raise ColumnTypeError(
            f"column 'tokens' is {dtype}, but has to be exact: cast it to pl.Decimal(38, 4)", column="tokens"
        )


def whole_statement(statement: pl.DataFrame) -> pl.DataFrame:
    """All columns of a statement that an audit reads, with the rows' numbers, in an order that is the rows' own."""
    if "tokens" not in statement.columns:
        raise MissingColumnError("column 'tokens' is missing: a statement says how many were consumed", column="tokens")
    _check_exact(statement)
    for name in ("start", "end"):
        dtype = statement.schema.get(name, tables.TIME)
        if dtype != pl.Null and not (isinstance(dtype, pl.Datetime) and dtype.time_zone is not None):
            raise ColumnTypeError(f"column {name!r} is {dtype}, but has to be instants with a time zone", column=name)
    names = [name for name in tables.STATEMENT if name not in {"custom", "file", "line"}]
    columns = []
    for name in names:
        dtype = tables.STATEMENT[name]
        dtype = pl.String() if dtype == tables.NAME or isinstance(dtype, pl.Enum) else dtype
        known = name in statement.columns and statement.schema[name] != pl.Null
        columns.append(pl.col(name).cast(dtype) if known else pl.lit(None, dtype).alias(name))
    frame = statement.select(pl.int_range(pl.len(), dtype=pl.UInt64).alias("row"), *columns)
    frame = frame.with_columns(pl.col("tokens").fill_null(0), product=product_of(frame.columns))
    same = pl.struct(name for name in names if name not in {"usage_month", "contract_year"})
    ordered = frame.sort(*_ORDER, "charged_item", "usage_type", "row", maintain_order=True)
    return ordered.with_columns(is_repeated=~same.is_first_distinct() & pl.col("user").is_not_null())


def aside_of(*, needs_user: bool = True) -> pl.Expr:
    """For which cause a row cannot be compared at all."""
    category = pl.col("usage_category")
    hidden = (pl.col("user").is_null() | pl.col("user").str.starts_with("*")) & needs_user
    return (
        pl.when((category == "MANUAL_ADJUSTMENT") | (pl.col("tokens") < 0))
        .then(pl.lit("adjustment"))
        .when(~category.is_in(OF_SERVERS))
        .then(pl.lit("not_of_servers"))
        .when(hidden)
        .then(pl.lit("masked"))
    )


def vendor_lines(frame: pl.DataFrame, basis: Basis, found: Problems) -> pl.DataFrame:
    """The vendor's charges; every token of the statement is in exactly one of them.

    What cannot be laid to an instant is a line of its own that is set aside.
    """
    usable = frame.filter(aside_of().is_null())
    told = lines_of_statement(usable.drop("row", "is_repeated"), basis, found)
    known = usable.select(
        "row", "is_repeated", "is_masked", is_borrowed=(pl.col("usage_type") == "Borrowed").fill_null(value=False)
    )
    told = told.with_columns(known.select(pl.all().gather(told["row"])).get_columns())
    lines = in_form(told)
    laid = lines.group_by("row").agg(laid=pl.col("tokens").sum())
    rest = frame.join(laid, on="row", how="left", maintain_order="left").with_columns(
        pl.col("tokens") - pl.col("laid").fill_null(0), aside=pl.coalesce(aside_of(), pl.lit("not_charged"))
    )
    # The date is the day of the use as the vendor states it.
    rest = rest.filter(pl.col("tokens") != 0).with_columns(charged_at="start")
    return pl.concat([lines, in_form(rest)])
