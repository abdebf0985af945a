"""The verb `follow_up`: a later reconciliation against an earlier one, and the vendor's late corrections."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import polars as pl

from tokenflex import tables
from tokenflex.arrow import AnyTable, frame_of, refuses_clearly
from tokenflex.audit.corrections import matched_corrections
from tokenflex.audit.known_again import SIDES, known_again
from tokenflex.audit.reconciled import CORRECTING, both_of
from tokenflex.audit.sides import in_range
from tokenflex.errors import ArgumentError, ColumnTypeError, MissingColumnError
from tokenflex.notebook import Shown
from tokenflex.problems import Problems, report
from tokenflex.words import many

if TYPE_CHECKING:
    from tokenflex.audit.reconcile import Reconciliation


@dataclass(frozen=True)
class FollowUp(Shown):
    """What `follow_up` returns.

    Attributes:
        rows: Every line of both reconciliations, see `tables.RECONCILIATION_CHANGES`.
        corrections: The vendor's corrections since then, and what each evens out, see `tables.VENDOR_CORRECTIONS`.
    """

    rows: pl.DataFrame
    corrections: pl.DataFrame

    @property
    def summary(self) -> pl.DataFrame:
        """Rows and tokens by change, see `tables.RECONCILIATION_CHANGES_SUMMARY`."""
        schema = tables.RECONCILIATION_CHANGES_SUMMARY
        amounts = [pl.col(name).sum() for name in schema if name not in {"change", "was_settled", "rows"}]
        counted = self.rows.group_by("change", "was_settled").agg(pl.len().alias("rows"), *amounts)
        return tables.finish(counted.sort("change", "was_settled"), schema)

    def _tables_shown(self) -> dict[str, pl.DataFrame]:
        return {"summary": self.summary, "corrections": self.corrections}

    def __repr__(self) -> str:
        counts = self.summary.group_by("change", maintain_order=True).agg(pl.col("rows").sum())
        told = ", ".join(f"{change}: {rows:,}" for change, rows in counts.iter_rows())
        unmatched = int((self.corrections["matched_by"] == "unmatched").sum())
        end = f"; {many(unmatched, 'correction')} unmatched" if unmatched else ""
        return f"<FollowUp {told or 'nothing'}{end}>"


@refuses_clearly
def follow_up(
    earlier: Reconciliation | AnyTable,
    later: Reconciliation | AnyTable,
    *,
    statement: AnyTable | None = None,
    problems: Problems | None = None,
) -> FollowUp:
    r"""Holds a later reconciliation against an earlier one: what was settled and changed since, what was corrected.

    A line of ours is known again by person, product and instant, else by its date, and so is a line of the vendor.
    Whether a side moved is said of its own lines, whatever they stand against now. Corrections of the vendor that the
    earlier reconciliation did not have are matched to differences that were open then and still are, to the last
    decimal; docs/follow-up.md says in which order.

    Args:
        earlier: What `reconcile` returned then, or its `rows`, such as a Parquet file of them, with enums or texts.
        later: The same of today, at the same level and by the same `identity=` and `variants=`. It covers the days
            from the first to the last of each side; what lies outside is `not_covered`, not withdrawn.
        statement: The statement of which the later one was made: dates of transactions, reasons and comments of its
            corrections are taken from it.
        problems: Collects what could not be followed (`days_not_covered`) or read (`time_out_of_range`); without it, a
            `TokenflexWarning` tells of it.

    Returns:
        The changes, in order of time. Every row of both tables is in exactly one row of `rows`, with all its tokens.

    Raises:
        ArgumentError: The two are of different levels or have nobody, or no product, in common; the statement is not
            the one of which the later reconciliation was made.
        MissingColumnError, ColumnTypeError, ColumnValueError: A table is wrong; `column` and `location` say where.

    Example:
        >>> import tokenflex as tf, polars as pl
        >>> from datetime import datetime, timedelta, timezone
        >>> start = [datetime(2018, 1, day, 8, tzinfo=timezone.utc) for day in (8, 9)]
        >>> sessions = pl.DataFrame({"user": "ana", "product": "ACD", "start": start}).with_columns(
        ...     end=pl.col("start") + timedelta(hours=9))
        >>> charges = tf.charge(sessions, rule=tf.FLEX, rates=tf.Rates({"ACD": 7}))
        >>> head = b"usageDate,productLineCode,userName,usageCategory,tokensConsumed"
        >>> january = [head, b"2018-01-08,ACD,ana,DESKTOP_PRODUCT,7", b"2018-01-09,ACD,ana,DESKTOP_PRODUCT,9"]
        >>> february = [*january, b"2018-02-05,ACD,ana,MANUAL_ADJUSTMENT,-2"]
        >>> def reconciled(rows): return tf.reconcile(charges, tf.read_statement(b"\n".join(rows)), level="day")
        >>> found = tf.follow_up(reconciled(january), reconciled(february))
        >>> for row in found.rows.select("change", "difference", "correction").iter_rows():
        ...     print(*row)
        settled 0.0000 None
        corrected_by_adjustment 2.0000 0
        correction -2.0000 0
    """
    found = Problems()
    then, now = both_of(earlier, later, found)
    known = known_again(then, now)
    links = known.rows(then, now)
    then, now = known.marked(then, now)
    then, now = _with_days(then, now)
    found.add(_not_covered(then))
    rows = _with_changes(_laid(links, then, now))
    rows, corrections = _with_corrections(rows, _corrections(rows, statement))
    report(found.frame, problems, "follow_up")
    return FollowUp(tables.finish(rows, tables.RECONCILIATION_CHANGES), corrections)


def _with_days(then: pl.DataFrame, now: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Both with `{side}_outside`: the line stands on a day that the other reconciliation does not cover on that side.

    Corrections have a date of their own, and tell of no days.
    """
    done = []
    for frame, other in ((then, now), (now, then)):
        columns = []
        for side in SIDES:
            use = other.filter(pl.col(f"has_{side}") & ~pl.col("is_correcting"))[f"{side}_date"]
            date = pl.col(f"{side}_date")
            inside = date.is_between(use.min(), use.max()) if use.count() else pl.lit(value=False)
            columns.append((~inside).fill_null(value=False).alias(f"{side}_outside"))
        done.append(frame.with_columns(columns))
    first, second = done
    return first, second


def _not_covered(then: pl.DataFrame) -> pl.DataFrame:
    """Tells which lines of the earlier cannot be followed, since the later one does not cover their days."""
    told = []
    for side, name in zip(SIDES, ("our charges", "the vendor's rows"), strict=True):
        lost = then.filter(f"has_{side}", f"{side}_outside", ~pl.col(f"{side}_known"))
        if lost.height:
            first, last = lost.select(a=pl.col(f"{side}_date").min(), b=pl.col(f"{side}_date").max()).row(0)
            told.append(
                f"{many(lost.height, 'line')} of {first} to {last} cannot be followed: {name} of the later "
                "reconciliation do not cover these days"
            )
    return pl.DataFrame({"message": told}, schema={"message": pl.String}).select(
        source=pl.lit("later"), location=pl.lit(None, pl.UInt64), code=pl.lit("days_not_covered"), message="message"
    )


_CARRIED: Final = (
    "row", "i", "status", "cause", "user", "product", "server", "usage_date", "charged_at", *SIDES, "difference",
    "is_correcting", "statement", *(f"has_{side}" for side in SIDES),
    *(f"{side}_{name}" for side in SIDES for name in ("known", "moved", "outside")),
)  # fmt: skip


def _laid(links: pl.DataFrame, then: pl.DataFrame, now: pl.DataFrame) -> pl.DataFrame:
    """What each line was and is, side by side: columns of the earlier with `was_` before them."""
    sides = [
        frame.select(pl.col(name).gather(links[place]).alias(prefix + name) for name in _CARRIED)
        for frame, place, prefix in ((then, "e", "was_"), (now, "l", ""))
    ]
    rows = pl.concat(sides, how="horizontal")
    shown = ("user", "product", "server", "usage_date", "charged_at")
    rows = rows.with_columns(pl.coalesce(name, f"was_{name}").alias(name) for name in shown)
    return rows.sort("usage_date", "charged_at", "user", "product", "server", "i", "was_i", nulls_last=True)


def _state(prefix: str) -> pl.Expr:
    """Agreed, open, or neither: not comparable."""
    status = pl.col(f"{prefix}status")
    return (
        pl.when(status == "matched")
        .then(pl.lit("agreed"))
        .when(status == "not_comparable")
        .then(pl.lit("aside"))
        .when(status.is_not_null())
        .then(pl.lit("open"))
    )


def _unknown(prefix: str, *, outside: bool = False) -> pl.Expr:
    """Whether any line of the row is not in the other reconciliation; or stands on a day that the other has not."""
    return pl.any_horizontal(
        pl.col(f"{prefix}has_{side}")
        & ~pl.col(f"{prefix}{side}_known")
        & (pl.col(f"{prefix}{side}_outside") if outside else pl.lit(value=True))
        for side in SIDES
    ).fill_null(value=False)


def _moved(side: str) -> pl.Expr:
    """Whether a line of this side came, went or has another amount."""
    return pl.any_horizontal(
        pl.col(f"{prefix}has_{side}") & (~pl.col(f"{prefix}{side}_known") | pl.col(f"{prefix}{side}_moved"))
        for prefix in ("was_", "")
    ).fill_null(value=False)


def _with_changes(rows: pl.DataFrame) -> pl.DataFrame:
    rows = rows.with_columns(
        was=_state("was_"),
        now=_state(""),
        us=_moved("ours"),
        vendor=_moved("vendors"),
        is_same=pl.col("was_difference").eq_missing(pl.col("difference")),
    )
    by = (
        pl.when(pl.col("us") & pl.col("vendor"))
        .then(pl.lit("both"))
        .when("us")
        .then(pl.lit("us"))
        .when("vendor")
        .then(pl.lit("vendor"))
    )
    was, now = pl.col("was"), pl.col("now")
    is_still = by.is_null() & pl.col("is_same") & (was == now)
    is_gone, is_lost = now.is_null() & _unknown("was_"), _unknown("was_", outside=True)
    is_correction = was.is_null() & pl.col("is_correcting") & ~pl.col("has_ours") & ~pl.col("vendors_known")
    # A line of one side that is taken back is a difference that is no more.
    is_corrected = (was == "open") & ((now == "agreed") | is_gone) | (was == "aside") & (now == "agreed")
    changes = {
        "correction": is_correction,
        "not_covered": is_lost,
        "new": _unknown("", outside=True),
        "late": was.is_null() & _unknown(""),
        "settled": is_still & (was == "agreed"),
        "still_open": is_still & (was == "open"),
        "not_comparable": is_still,
        "reassessed": by.is_null(),
        "corrected": is_corrected,
        "withdrawn": is_gone,
    }
    change = pl.coalesce(
        *(pl.when(holds.fill_null(value=False)).then(pl.lit(name)) for name, holds in changes.items()),
        pl.lit("changed"),
    )
    change = pl.when(change.is_in(["corrected", "changed"])).then(pl.format("{}_by_{}", change, by)).otherwise(change)
    filled = [
        pl.when(pl.col(f"{prefix}status").is_not_null())
        .then(pl.col(f"{prefix}{name}"))
        .otherwise(pl.lit(0, tables.TOKENS))
        .alias(f"{prefix}{name}")
        for prefix in ("was_", "")
        for name in (*SIDES, "difference")
    ]
    return rows.with_columns(
        *filled,
        change=change,
        was_settled=was.eq_missing("agreed"),
        earlier=pl.col("was_row").cast(pl.UInt64),
        later=pl.col("row").cast(pl.UInt64),
    )


_TOLD: Final = {"token_pool": pl.String(), "reason_type": pl.String(), "reason_comment": pl.String()}
"""What only the statement says of a correction."""


def _corrections(rows: pl.DataFrame, statement: AnyTable | None) -> pl.DataFrame:
    """The vendor's corrections since the earlier reconciliation, in order of date."""
    is_adjustment = pl.col("cause") == CORRECTING[0]
    found = rows.filter(pl.col("change") == "correction").select(
        "user",
        "product",
        "statement",
        "later",
        cause=pl.when(is_adjustment).then("cause").otherwise(pl.lit(CORRECTING[1])),
        tokens="vendors",
        date="usage_date",
    )
    if statement is None:
        found = found.with_columns(pl.lit(None, dtype).alias(name) for name, dtype in _TOLD.items())
    else:
        stated = _statement(statement, found)
        found = found.with_columns(*stated.select(list(_TOLD)), date=pl.coalesce(stated["transaction_date"], "date"))
    order = ("date", "user", "product", "tokens", "cause", "token_pool", "reason_type", "reason_comment", "later")
    return found.sort(*order, nulls_last=True).with_row_index("correction")


def _statement(statement: AnyTable, corrections: pl.DataFrame) -> pl.DataFrame:
    """The rows of the statement that are these corrections."""
    frame = in_range(frame_of(statement))
    if "tokens" not in frame.columns:
        raise MissingColumnError(
            "column 'tokens' is missing from the statement: give the one of which the later reconciliation was made",
            column="tokens",
            location="statement",
        )
    dtype = frame.schema["tokens"]
    if not (dtype.is_integer() or dtype.is_decimal() or dtype == pl.Null):
        raise ColumnTypeError(
            f"column 'tokens' is {dtype}, but has to be exact: cast it to pl.Decimal(38, 4)", column="tokens"
        )
    place = corrections["statement"]
    is_inside = (place < frame.height).all()
    names: dict[str, pl.DataType] = {**_TOLD, "transaction_date": pl.Date(), "tokens": tables.TOKENS}
    wanted = frame.select(
        (pl.col(name).cast(dtype) if name in frame.columns else pl.lit(None, dtype).alias(name))
        for name, dtype in names.items()
    )
    rows = wanted.select(pl.all().gather(place)) if is_inside else wanted.clear()
    if not is_inside or not rows["tokens"].eq_missing(corrections["tokens"]).all():
        raise ArgumentError(
            "the statement is not the one of which the later reconciliation was made: its rows are others. Give that "
            "one, in its order, or none",
            location="statement",
        )
    return rows


def _with_corrections(rows: pl.DataFrame, corrections: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Each correction with what it evens out, and the differences with the number of their correction."""
    rows = rows.with_row_index("place")
    is_open = (pl.col("was") == "open") & pl.col("change").is_in(["still_open", "not_covered"])
    open_ = rows.filter(is_open).select(
        "place",
        "user",
        "product",
        "usage_date",
        cause="was_cause",
        tokens="was_difference",
        month=pl.col("usage_date").dt.truncate("1mo"),
        day=_day("usage_date"),
    )
    matches = matched_corrections(
        corrections.select("user", "product", "tokens", day=_day("date")),
        open_.select("user", "product", "tokens", "month", "day", "cause"),
    )
    evened = pl.DataFrame(
        [(number, place) for number, match in enumerate(matches) for place in match.rows],
        schema={"correction": pl.UInt32, "of_open": pl.UInt32},
        orient="row",
    )
    evened = evened.with_columns(open_.select(pl.col("place", "usage_date").gather(evened["of_open"])).get_columns())
    itself = corrections.select("later", number="correction")
    rows = rows.join(evened.select("place", "correction"), on="place", how="left", maintain_order="left")
    rows = rows.join(itself, on="later", how="left", maintain_order="left")
    by_adjustment = pl.col("correction").is_not_null()
    rows = rows.with_columns(
        change=pl.when(by_adjustment).then(pl.lit("corrected_by_adjustment")).otherwise("change"),
        correction=pl.coalesce("correction", "number"),
    )
    counted = evened.group_by("correction").agg(
        differences=pl.len(), first_date=pl.col("usage_date").min(), last_date=pl.col("usage_date").max()
    )
    done = corrections.with_columns(
        matched_by=pl.Series([match.matched_by for match in matches], dtype=pl.String),
        choices=pl.Series([match.choices for match in matches], dtype=pl.UInt32),
    ).join(counted, on="correction", how="left", maintain_order="left")
    return rows, tables.finish(done.with_columns(pl.col("differences").fill_null(0)), tables.VENDOR_CORRECTIONS)


def _day(name: str) -> pl.Expr:
    return pl.col(name).cast(pl.Int32)
