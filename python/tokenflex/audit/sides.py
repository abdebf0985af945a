"""The two sides of a reconciliation in one form: our charges, and the charges that a statement tells of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import polars as pl

from tokenflex import tables
from tokenflex.audit.doubles import lines_of_products
from tokenflex.audit.evidence import put_right
from tokenflex.audit.lines import Basis, among, lines_of_charges, lines_of_statement
from tokenflex.audit.people import is_dated, persons_by_name
from tokenflex.errors import ColumnTypeError, MissingColumnError
from tokenflex.problems import Problems
from tokenflex.times import EPOCH, MICROSECOND, TOO_LATE
from tokenflex.usage.vendor import product_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from tokenflex.reading.identity import Identity

LINES: Final[dict[str, pl.DataType]] = {
    "row": pl.UInt32(),
    "user": tables.NAME,
    "host": tables.NAME,
    "server": tables.NAME,
    "product": tables.NAME,
    "usage_date": pl.Date(),
    "charged_at": tables.TIME,
    "window_end": tables.TIME,
    "category": tables.NAME,
    "trigger": tables.NAME,
    "tokens": tables.TOKENS,
    "start": tables.TIME,
    "end": tables.TIME,
    "is_manual": pl.Boolean(),
    "is_swapped": pl.Boolean(),
    "is_borrowed": pl.Boolean(),
    "is_masked": pl.Boolean(),
    "aside": tables.NAME,
}
"""A line of either side. `aside` is the cause for which a line of the vendor cannot be compared at all.

There may be millions of lines, so names are codes: as strings they would take most of the memory and of the time.
"""
STATED: Final[dict[str, pl.DataType]] = {
    "row": pl.UInt32(),
    **dict.fromkeys(("user", "host", "server", "product", "category", "usage_type"), tables.NAME),
    **dict.fromkeys(("usage_category", "kind"), tables.NAME),
    **{name: tables.STATEMENT[name] for name in ("usage_date", "usage_month", "start", "end", "tokens")},
    **{name: tables.STATEMENT[name] for name in ("transaction_date", "is_masked", "is_swapped")},
}
"""What an audit reads of a statement."""

OF_SERVERS: Final = ("DESKTOP_PRODUCT", "PRODUCT_CONSUMPTION", "MANUAL_CONSUMPTION")
_OF_PRODUCT: Final = dict.fromkeys(("product", "feature", "product_name"), tables.NAME)
_NOT_SAID: Final = ("custom", "file", "line", "usage_month", "contract_year")
"""Columns in which a row that repeats another may be otherwise."""
_ORDER: Final = ("start", "user", "product", "feature", "server", "host", "end", "tokens", "usage_date", "category")


@dataclass(frozen=True)
class Footing:
    """Who is who and which product is which: the same for both sides."""

    identity: Identity
    variants: Mapping[str, str] | None
    machine_metered: list[str]

    def put(self, *frames: pl.DataFrame, found: Problems, may_be_swapped: bool = True) -> list[pl.DataFrame]:
        """The frames with `payer` and `line`; user and machine are put right where they may stand for each other."""
        persons = persons_by_name(_names_in(frames, "user"), self.identity)
        lines = lines_of_products(_names_in(frames, "product"), self.variants)
        right = [put_right(frame, self.machine_metered) if may_be_swapped else frame for frame in frames]
        return [self._put(frame, persons, lines, found) for frame in right]

    def _put(
        self, frame: pl.DataFrame, persons: Mapping[str, str], lines: Mapping[str, str], found: Problems
    ) -> pl.DataFrame:
        rows = self._with_hosts(frame)
        payer = self._persons(rows, persons, found)
        rows = rows.with_columns(payer.alias("payer"), mapped(rows["product"], lines).alias("line"))
        if not self.machine_metered or "host" not in rows.columns:
            return rows
        pays_host = pl.col("product").is_in(self.machine_metered)
        return rows.with_columns(payer=pl.when(pays_host).then("host").otherwise("payer"))

    def _with_hosts(self, rows: pl.DataFrame) -> pl.DataFrame:
        """The hosts in one spelling, where they pay."""
        if not self.machine_metered or "host" not in rows.columns:
            return rows
        hosts = rows["host"].unique().drop_nulls()
        named = pl.DataFrame({"user": hosts, "host": hosts}, schema={"user": pl.String, "host": pl.String})
        known = self.identity.apply(named, at=TOO_LATE - MICROSECOND, problems=Problems())
        spelled = dict(zip(hosts, known["host"].cast(pl.String), strict=True))
        return rows.with_columns(mapped(rows["host"], spelled).alias("host"))

    def _persons(self, rows: pl.DataFrame, persons: Mapping[str, str], found: Problems) -> pl.Series:
        if not is_dated(self.identity):
            return mapped(rows["user"], persons)
        midnight = pl.col("usage_date").cast(pl.Datetime("us")).dt.replace_time_zone("UTC")
        at = rows.select("user", at=pl.coalesce("charged_at", "start", midnight))
        return self.identity.apply(at, at="at", problems=found)["user"].cast(tables.NAME)


def _names_in(frames: Iterable[pl.DataFrame], column: str) -> list[str]:
    names = [name for frame in frames for name in frame[column].unique().drop_nulls().cast(pl.String)]
    return list(dict.fromkeys(names))


def mapped(names: pl.Series, to: Mapping[str, str | None]) -> pl.Series:
    """What each name stands for; null where it stands for nothing. The names are looked up once, not row by row."""
    known = names.unique().drop_nulls()
    targets = [to.get(name) for name in known.cast(pl.String)]
    pairs = pl.DataFrame([known.to_physical().alias("code"), pl.Series("to", targets, tables.NAME)])
    return names.to_physical().alias("code").to_frame().join(pairs, on="code", how="left", maintain_order="left")["to"]


def in_range(frame: pl.DataFrame) -> pl.DataFrame:
    """The frame with times and dates that no data may have (before 1970, from 2200 on) as unknown."""
    kept = []
    for name, dtype in frame.schema.items():
        if isinstance(dtype, pl.Datetime) and dtype.time_zone is not None:
            low, high = (pl.lit(bound).cast(pl.Datetime(dtype.time_unit, "UTC")) for bound in (EPOCH, TOO_LATE))
            value = pl.col(name).dt.convert_time_zone("UTC")
        elif dtype == pl.Date:
            low, high = pl.lit(EPOCH.date()), pl.lit(TOO_LATE.date())
            value = pl.col(name)
        else:
            continue
        is_fine = (value >= low) & (value < high)
        # Most tables are fine as they are, and need no copy.
        if not frame.select(is_fine.all()).item():
            value = pl.when(is_fine).then(value)
        kept.append(value.alias(name))
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
    return in_form(lines.with_row_index("row")).sort(
        "charged_at", "user", "product", "server", "tokens", "start", "row", maintain_order=True
    )


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
    frame = statement.select(
        (pl.col(name).cast(dtype) if _has(statement, name) else pl.lit(None, dtype).alias(name))
        for name, dtype in {**_OF_PRODUCT, **STATED, "charged_item": pl.String()}.items()
        if name != "row"
    )
    product = pl.col("product") if frame["product"].null_count() == 0 else product_of(frame.columns).cast(tables.NAME)
    frame = frame.with_row_index("row").with_columns(pl.col("tokens").fill_null(0), product=product)
    ordered = frame.sort(*_ORDER, "charged_item", "usage_type", "row", maintain_order=True)
    return ordered.select(STATED.keys())


def _has(statement: pl.DataFrame, name: str) -> bool:
    return name in statement.columns and statement.schema[name] != pl.Null


def repeated(rows: pl.Series, statement: pl.DataFrame, *, needs_user: bool = True) -> pl.Series:
    """Which rows of a statement repeat an earlier one in all that they say, of those whose numbers are given.

    Rows of nobody may be those of several people, unless the whole statement names nobody.
    """
    names = [name for name in tables.STATEMENT if name in statement.columns and name not in _NOT_SAID]
    if needs_user and "user" not in names:
        return pl.repeat(value=False, n=rows.len(), dtype=pl.Boolean, eager=True)
    keys = [name for name in ("user", "start", "usage_date", "tokens") if name in names]
    numbered = statement.select(names).with_row_index("row")
    asked = statement.select(pl.col(keys).gather(rows.unique().drop_nulls())).unique()
    alike = numbered.join(asked, on=keys, how="semi", nulls_equal=True, maintain_order="left")
    named = pl.col("user").is_not_null() if needs_user else pl.lit(value=True)
    again = alike.filter(~pl.struct(names).is_first_distinct() & named)["row"]
    return rows.is_in(again.implode())


def aside_of(*, needs_user: bool = True) -> pl.Expr:
    """For which cause a row cannot be compared at all."""
    category = pl.col("usage_category")
    hidden = (pl.col("user").is_null() | pl.col("user").cat.starts_with("*")) & needs_user
    return (
        pl.when((category == "MANUAL_ADJUSTMENT") | (pl.col("tokens") < 0))
        .then(pl.lit("adjustment"))
        .when(~category.is_in(OF_SERVERS))
        .then(pl.lit("not_of_servers"))
        .when(hidden)
        .then(pl.lit("masked"))
        .cast(tables.NAME)
    )


def vendor_lines(frame: pl.DataFrame, basis: Basis, found: Problems) -> pl.DataFrame:
    """The vendor's charges; every token of the statement is in exactly one of them.

    What cannot be laid to an instant is a line of its own that is set aside.
    """
    is_usable = frame.select(aside_of().is_null()).to_series()
    usable = frame.filter(is_usable)
    told = lines_of_statement(usable.drop("row"), basis, found)
    rest = pl.concat([frame.filter(~is_usable), _not_laid(usable, told)])
    # The date is the day of the use as the vendor states it.
    rest = rest.filter(pl.col("tokens") != 0).with_columns(
        charged_at="start", aside=pl.coalesce(aside_of(), pl.lit("not_charged", tables.NAME))
    )
    known = usable.select("row", "is_masked", is_borrowed=(pl.col("usage_type") == "Borrowed").fill_null(value=False))
    lines = in_form(told.with_columns(known.select(pl.all().gather(told["row"])).get_columns()))
    return pl.concat([lines, in_form(rest)])


def _not_laid(usable: pl.DataFrame, told: pl.DataFrame) -> pl.DataFrame:
    """The rows with those of their tokens that no line has; `row` of the lines is the place in the table."""
    is_all = ~told["row"].is_duplicated() & (told["tokens"] == usable["tokens"].gather(told["row"]))
    is_laid = among(told["row"].filter(is_all.fill_null(value=False)), usable.height)
    laid = told.filter(~is_laid.gather(told["row"])).group_by("row").agg(laid=pl.col("tokens").sum())
    left = usable.with_row_index("place").filter(~is_laid)
    left = left.join(laid.select(pl.col("row").cast(pl.UInt32).alias("place"), "laid"), on="place", how="left")
    return left.with_columns(pl.col("tokens") - pl.col("laid").fill_null(0)).drop("place", "laid")
