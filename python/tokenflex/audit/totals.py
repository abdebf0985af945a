"""Reconciliation by days and by totals, where the vendor states no times."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

import polars as pl

from tokenflex import tables
from tokenflex.audit.comparable import without_log
from tokenflex.audit.match import matched

if TYPE_CHECKING:
    from tokenflex.reading.contract import ContractSnapshot

KEYS: Final = ("payer", "line", "usage_date")
CAVEAT: Final = "the vendor says that such snapshots may not match totals from its usage endpoints"
_NOBODY: Final = ""
"""Stands for everyone where the statement names no users."""


def by_days(ours: pl.DataFrame, stated: pl.DataFrame, logs: pl.DataFrame) -> pl.DataFrame:
    """A row for each person, product and date; for each product and date where the statement has no users."""
    usable = stated.filter(_is_plain())
    named = usable["payer"].null_count() < usable.height or usable.is_empty()
    ours, stated = (
        frame if named else frame.with_columns(payer=pl.lit(_NOBODY, tables.NAME)) for frame in (ours, stated)
    )
    return _with_borders(_by_units(ours, stated, logs, within=timedelta(days=1)))


def by_months(ours: pl.DataFrame, stated: pl.DataFrame, logs: pl.DataFrame) -> pl.DataFrame:
    """A row for each product and month."""
    month = pl.col("usage_date").dt.truncate("1mo")
    ours = ours.with_columns(month, payer=pl.lit(_NOBODY, tables.NAME))
    stated = stated.with_columns(usage_date=pl.coalesce(month, "usage_month"), payer=pl.lit(_NOBODY, tables.NAME))
    logs = logs.with_columns(pl.col("first").dt.truncate("1mo"), days_without_lines=pl.lit([], pl.List(pl.Date)))
    return _by_units(ours, stated, logs, within=None)


def _is_plain() -> pl.Expr:
    """Rows that a product's use on a date can be held against; the others stand by themselves."""
    is_manual = (pl.col("usage_category") == "MANUAL_CONSUMPTION").fill_null(value=False)
    return pl.col("aside").is_null() & ~is_manual & pl.col("line").is_not_null() & pl.col("usage_date").is_not_null()


def _by_units(
    ours: pl.DataFrame, stated: pl.DataFrame, logs: pl.DataFrame, *, within: timedelta | None
) -> pl.DataFrame:
    silent = logs.filter(~pl.col("reporting"))["server"].drop_nulls().implode()
    is_silent = pl.col("server").is_in(silent).fill_null(value=False)
    mine = ours.group_by(*KEYS, no_rate=pl.col("tokens").is_null()).agg(
        pl.col("row").min(), pl.col("tokens").sum(), silent=pl.col("tokens").filter(is_silent).sum()
    )
    # Those that have a rate first, so that they are held against the vendor's.
    mine = mine.sort(*KEYS, "no_rate").with_row_index("o")
    plain = stated.filter(_is_plain())
    theirs = plain.group_by(KEYS).agg(
        pl.col("row").min(), pl.col("tokens").sum(), again=pl.col("tokens").filter("is_repeated").sum()
    )
    theirs = theirs.sort(KEYS).with_row_index("v")
    pairs = _of_one_date(mine, theirs)
    if within is not None:
        pairs = pl.concat([pairs, _shifted(mine, theirs, pairs, within)])
    rows = _laid(mine, theirs, pairs)
    dates = plain["usage_date"].unique().implode()
    hidden = stated.filter(pl.col("aside") == "masked").select("line", "usage_date").unique()
    is_hidden = rows.with_row_index("i").join(hidden, on=["line", "usage_date"], how="semi")["i"]
    lone_v, lone_o = pl.col("o").is_null(), pl.col("v").is_null()
    side = rows.select("usage_date", server=pl.lit(None, tables.NAME), charged_at=pl.lit(None, tables.TIME))
    gaps = logs.select(pl.col("days_without_lines").explode()).to_series().drop_nulls().unique().implode()
    rows = rows.with_columns(
        no_log=lone_v & (without_log(side, logs) | pl.col("usage_date").is_in(gaps)),
        no_statement=lone_o & ~pl.col("usage_date").is_in(dates),
        server_not_reporting=(pl.col("silent") > 0) & (pl.col("tokens") - pl.col("silent") == pl.col("vendors")),
        duplicate_row=(pl.col("again") > 0) & (pl.col("vendors") - pl.col("again") == pl.col("tokens").fill_null(0)),
        masked=lone_o & pl.int_range(pl.len()).is_in(is_hidden.implode()),
        ours=pl.when(~pl.col("no_rate").fill_null(value=False)).then(pl.col("tokens").fill_null(0)),
    )
    return pl.concat([rows, _alone(stated.filter(~_is_plain()))], how="diagonal_relaxed").with_columns(
        payer=pl.when(pl.col("payer") != _NOBODY).then("payer")
    )


def _of_one_date(mine: pl.DataFrame, theirs: pl.DataFrame) -> pl.DataFrame:
    timeless = [frame.with_columns(charged_at=pl.lit(None, tables.TIME)) for frame in (mine, theirs)]
    return matched(timeless[0], timeless[1], by_days=True, within=timedelta(0))


def _shifted(mine: pl.DataFrame, theirs: pl.DataFrame, pairs: pl.DataFrame, within: timedelta) -> pl.DataFrame:
    """Equal amounts of neighbouring days, of which neither has anything of the other side."""
    sides = []
    for place, frame in (("o", mine), ("v", theirs)):
        left = frame.join(pairs, on=place, how="anti", maintain_order="left").filter(pl.col("tokens") != 0)
        at = pl.col("usage_date").cast(pl.Datetime("us")).dt.replace_time_zone("UTC")
        line = pl.format("{} {}", "tokens", pl.col("line").cast(pl.String))
        sides.append(left.select(place, "payer", "usage_date", charged_at=at, line=line))
    found = matched(sides[0], sides[1], by_days=False, within=within)
    return found.select(side[place].gather(found[place]) for place, side in zip(("o", "v"), sides, strict=True))


def _laid(mine: pl.DataFrame, theirs: pl.DataFrame, pairs: pl.DataFrame) -> pl.DataFrame:
    """Both sides in one row each, and what has nothing on the other side."""
    lone = [frame.select(place).join(pairs, on=place, how="anti") for place, frame in (("o", mine), ("v", theirs))]
    rows = pl.concat([pairs, *lone], how="diagonal")
    left = mine.select("o", "no_rate", "silent", "tokens", o_row="row", o_date="usage_date", p="payer", n="line")
    right = theirs.select("v", "again", vendors="tokens", v_row="row", v_date="usage_date", vp="payer", vn="line")
    rows = rows.join(left, on="o", how="left").join(right, on="v", how="left")
    shift = (pl.col("v_date") - pl.col("o_date")).cast(pl.Duration("us"))
    return rows.select(
        "o", "v", "o_row", "v_row", "no_rate", "silent", "again", "tokens",
        vendors=pl.col("vendors").fill_null(0),
        payer=pl.coalesce("p", "vp"),
        line=pl.coalesce("n", "vn"),
        usage_date=pl.coalesce("o_date", "v_date"),
        shift=shift,
        day_border=(shift != timedelta(0)).fill_null(value=False),
        **_NONE,
    )  # fmt: skip


_NONE: Final[dict[str, Any]] = {
    "server": pl.lit(None, tables.NAME),
    "charged_at": pl.lit(None, tables.TIME),
    "window_end": pl.lit(None, tables.TIME),
}


def _alone(rows: pl.DataFrame) -> pl.DataFrame:
    """Rows of the vendor that no use on a date can be held against, each by itself."""
    is_manual = (pl.col("usage_category") == "MANUAL_CONSUMPTION").fill_null(value=False) & pl.col("aside").is_null()
    flags = {
        name: (pl.col("aside") == name).fill_null(value=False) for name in ("masked", "not_of_servers", "adjustment")
    }
    return rows.filter(pl.col("tokens") != 0).select(
        "payer",
        "line",
        usage_date=pl.coalesce("transaction_date", "usage_date"),
        v=pl.col("row").cast(pl.UInt32),
        v_row="row",
        ours=pl.lit(0, tables.TOKENS),
        vendors="tokens",
        manual_entry=is_manual,
        not_charged=pl.col("aside").is_null() & ~is_manual,
        shift=pl.lit(None, pl.Duration("us")),
        **flags,
        **_NONE,
    )


def _with_borders(rows: pl.DataFrame) -> pl.DataFrame:
    """Differences of two neighbouring days that are opposite: the same use, on the other side of a midnight."""
    rows = rows.with_row_index("i")
    is_set = pl.any_horizontal("no_log", "no_statement", "masked", "server_not_reporting").fill_null(value=False)
    odd = rows.filter(pl.col("v").is_not_null() | pl.col("o").is_not_null(), ~is_set).with_columns(
        difference=pl.col("vendors") - pl.col("ours")
    )
    if "manual_entry" in odd.columns:
        odd = odd.filter(pl.col("no_rate").is_not_null() | pl.col("day_border").is_not_null())
    odd = odd.filter(pl.col("difference") != 0).drop_nulls("usage_date").sort("payer", "line", "usage_date")
    found: list[int] = []
    last: tuple[Any, ...] | None = None
    for row in odd.select("payer", "line", "usage_date", "difference", "i").iter_rows():
        is_opposite = (
            last is not None and last[:2] == row[:2] and row[2] - last[2] == timedelta(days=1) and row[3] + last[3] == 0
        )
        if last is not None and is_opposite:
            found += [last[4], row[4]]
        last = None if is_opposite else row
    return rows.with_columns(day_border=pl.col("day_border").fill_null(value=False) | pl.col("i").is_in(found)).drop(
        "i"
    )


def by_contract_years(ours: pl.DataFrame, contract: ContractSnapshot) -> pl.DataFrame:
    """A row for each year of a contract; charges without a rate, and those outside of its years, by themselves."""
    rows: list[dict[str, Any]] = []
    left = ours.with_columns(day=pl.coalesce("usage_date", pl.col("charged_at").dt.date()))
    unpriced = left.filter(pl.col("tokens").is_null())
    left = left.filter(pl.col("tokens").is_not_null())
    for number, year in enumerate(contract.years):
        inside = (pl.col("day") >= (year.start or date.min)) & (pl.col("day") <= (year.end or date.max))
        is_known = year.start is not None and year.end is not None and year.consumed is not None
        inside = inside.fill_null(value=False) if is_known else pl.lit(value=False)
        used = left.filter(inside)
        left = left.filter(~inside)
        stated = (year.consumed or Decimal(0)) + (year.multiyear_consumed or Decimal(0))
        rows.append(_total(used, year.start, vendors=stated, year=number, no_log=used.is_empty(), caveat=CAVEAT))
    if left.height:
        rows.append(_total(left, left["day"].min(), no_statement=True))
    rows += [
        _total(part, part["day"].min(), line=part["product"][0], no_rate=True)
        for part in unpriced.partition_by("product", maintain_order=True)
    ]
    return pl.DataFrame(rows, schema=_YEARS).with_columns(**_NONE, shift=pl.lit(None, pl.Duration("us")))


_YEARS: Final[dict[str, Any]] = {
    "payer": tables.NAME, "line": tables.NAME, "usage_date": pl.Date, "o": pl.UInt32, "v": pl.UInt32,
    "o_row": pl.UInt64, "v_row": pl.UInt64, "ours": tables.TOKENS, "vendors": tables.TOKENS, "no_log": pl.Boolean,
    "no_statement": pl.Boolean, "no_rate": pl.Boolean, "caveat": pl.String,
}  # fmt: skip


def _total(
    used: pl.DataFrame, day: object, *, vendors: Decimal = Decimal(0), year: int | None = None, **more: object
) -> dict[str, Any]:
    first = used["row"].min()
    ours = None if more.get("no_rate") else used["tokens"].sum()
    total = {"usage_date": day, "o": None if used.is_empty() else 0, "o_row": first, "ours": ours, "vendors": vendors}
    return {**dict.fromkeys(_YEARS), **total, "v": year, "v_row": year, **more}
