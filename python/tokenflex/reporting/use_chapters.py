"""The chapter of capacity: how many are in use at once, when, who was refused, and who does not use what they have."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from tokenflex import tables
from tokenflex.reporting.chapter import Chapter
from tokenflex.reporting.saving_chapters import unused
from tokenflex.reporting.work import Attempt, attempt
from tokenflex.usage.concurrency import concurrency
from tokenflex.usage.heat_map import heat_map
from tokenflex.usage.judge_denials import summarize_denials
from tokenflex.words import many

if TYPE_CHECKING:
    from tokenflex.reporting.shelf import Shelf
    from tokenflex.reporting.work import Work


def needed(work: Work, shelf: Shelf) -> Chapter:
    """How much is in use at once, and whether that is enough."""
    headline = ""
    found = work.needed.value
    if found is None:
        shelf.lack("capacity", "How many are in use at once", work.needed.missing)
    elif found["p95"].count():
        top = found.sort("peak", descending=True, nulls_last=True, maintain_order=True).row(0, named=True)
        said = f"{top['product']} peaks at {top['peak']:,}, {top['p95']:,} are enough for 95% of the time"
        shelf.put("capacity", found, f"How many of each product are in use at once: {said}", _hours(work))
        headline = f"{said}."
    else:
        shelf.put("capacity", found, "Nothing was in use")
    peaks = attempt(lambda: peaks_of(concurrency(work.sessions, as_of=work.as_of, problems=work.problems)))
    if peaks.value is None:
        shelf.lack("peaks", "The peak of each day", peaks.missing)
    else:
        shelf.put(
            "peaks", work.within(peaks.value, "date"), "The peak of each day and product", "Days are those of UTC."
        )
    _weeks(work, shelf)
    judged = work.judged.value
    if judged is None:
        shelf.lack("denials", "Who was refused a license", work.judged.missing)
    else:
        summary = summarize_denials(judged)
        real = int(summary["real"].sum())
        shelf.put(
            "denial_summary", summary, f"{many(judged.height, 'refusal')}, {real:,} of which kept somebody from working"
        )
        shelf.put("denials", judged, f"Each of {many(judged.height, 'refusal')}, and what became of it")
        headline = f"{headline} {many(real, 'refusal')} kept somebody from working.".strip()
    unused(work, shelf)
    return Chapter("capacity", "Is there enough, and who uses it?", headline, shelf.sections())


def _hours(work: Work) -> str:
    if work.business_hours is None:
        return "Over all hours; business_hours= looks at those alone."
    return f"From {work.business_hours.start:%H:%M} to {work.business_hours.end:%H:%M} by the servers' clocks."


def _weeks(work: Work, shelf: Shelf) -> None:
    """Weekday by hour, by the servers' clocks or UTC."""
    title = "When licenses are in use: weekday by hour"
    for key, by in (("heat_map", ()), ("heat_map_by_product", ("product",))):
        cells = _cells(work, by)
        if cells.value is None:
            shelf.lack(key, title, cells.missing)
            continue
        busiest = cells.value.sort("mean", descending=True, nulls_last=True, maintain_order=True).head(1)
        if busiest.height and busiest["mean"][0]:
            row = busiest.row(0, named=True)
            of = f"of {row['product']} " if by else ""
            said = f"{title}: most {of}on {_DAYS[row['weekday'] - 1]} at {row['hour']}:00, {row['mean']:.1f} at once"
        else:
            said = title
        shelf.put(key, cells.value, said, "By the clocks of the servers." if work.servers else "By the clock of UTC.")


def _cells(work: Work, by: tuple[str, ...]) -> Attempt[pl.DataFrame]:
    since, until = (None, None) if work.is_everything else work.bounds
    return attempt(
        lambda: heat_map(
            work.sessions,
            by=by,
            servers=work.servers,
            zone="UTC" if work.servers is None else None,
            since=since,
            until=until,
            as_of=work.as_of,
            problems=work.problems,
        )
    )


_DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")


def peaks_of(steps: pl.DataFrame) -> pl.DataFrame:
    """The most in use on each UTC date of what `concurrency` gives; what was in use at midnight counts for the day."""
    day = pl.col("time").dt.date()
    # Up to a change at midnight itself no time of the day passes.
    is_later = pl.col("time") > pl.col("time").dt.truncate("1d")
    days = steps.with_columns(date=day, before=pl.when(is_later).then(pl.col("in_use").shift(1).over("product")))
    days = days.group_by("product", "date", maintain_order=True).agg(
        before=pl.col("before").first(), most=pl.col("in_use").max(), last=pl.col("in_use").last()
    )
    days = days.with_columns(peak=pl.max_horizontal("most", "before"), until=pl.col("date").shift(-1).over("product"))
    # A day without a change has what the last change left.
    quiet = days.filter(pl.col("last") > 0, (pl.col("until") - pl.col("date")).dt.total_days() > 1)
    between = pl.date_ranges(pl.col("date").dt.offset_by("1d"), pl.col("until"), closed="left")
    filled = quiet.select("product", date=between, peak="last").explode("date")
    whole = pl.concat([days.select("product", "date", "peak"), filled])
    return tables.finish(
        whole.with_columns(pl.col("product").cast(pl.String)).sort("product", "date"), tables.DAILY_PEAKS
    )
