"""Double charges in words that can be sent to the vendor, and what helps against each cause."""

from __future__ import annotations

from typing import Final

import polars as pl

from tokenflex import tables
from tokenflex.arrow import AnyTable, frame_of, refuses_clearly
from tokenflex.errors import ArgumentError, MissingColumnError
from tokenflex.reading.zones import local_times

REMEDIES: Final = {
    "manual_duplicate": "ask for the manual entry to be taken back: the server had reported the use",
    "swapped_machine": "ask for it back: the product is metered by machine, and the machine had paid",
    "identity": "let everyone log on under one name everywhere; ask for what was charged twice",
    "variant": "ask for it back: both codes are one product",
    "missing_increment": "ask for all but the difference to the product that had been charged",
    "below_minimum": "ask for it back: shorter than the contract's minimum duration",
    "reconnect": "ask for it back where the window still ran; look at idle time-outs and restarts of the servers",
    "two_servers": "let each site draw from one server",
    "server_midnight": "a server whose midnight falls into no working day: see zone_whatif",
    "own_midnight": "close products in the evening: see avoidable_charges",
    "window_drift": "a window of 24 hours cannot end twice in a day: ask why it is shorter",
    "unexplained": "ask the vendor why: the window had been paid",
}
"""For each cause what an administrator can do about it."""

_AGAIN: Final = {
    "manual_duplicate": "charged at {first}. A manual entry for the same day charged it again.",
    "swapped_machine": (
        "charged at {first}. It is metered by machine, and the machine's window ran until {first_end}; at "
        "{at} it was charged again, user and machine being in each other's column."
    ),
    "identity": (
        "charged at {first} as '{first_spelling}' and at {at} as '{spelling}', who is the same person. The "
        "first window ran until {first_end}."
    ),
    "variant": (
        "charged at {first} as '{first_code}' and at {at} as '{code}', which is the same product. The first "
        "window ran until {first_end}."
    ),
    "missing_increment": (
        "charged in full at {at}, though '{first_code}' of the same family had been charged at {first}, whose"
        " window ran until {first_end}: only the difference was due."
    ),
    "below_minimum": "charged at {first}, and again at {at} for a session below the minimum duration.",
    "reconnect": (
        "charged at {first}, with a window until {first_end}. The server took the license back; the launch at"
        " {at}, shortly after, was charged again."
    ),
    "two_servers": "charged at {first} on {first_server} and at {at} on {server}.",
    "server_midnight": (
        "charged at {first} on {first_server}, and again at {at}: the midnight that divides the server's days"
        " fell into the working day."
    ),
    "own_midnight": "charged at {first}, and again at {at}: it was in use after midnight.",
    "window_drift": (
        "charged at {first}, and again at {at}: the first window had ended at {first_end}, within the working day."
    ),
    "unexplained": "charged at {first}, and again at {at}, though the first window ran until {first_end}.",
}
_DUE: Final = "Due by the rule; {tokens} tokens more than one charge for the day."
_NOT_DUE: Final = "By the contract's rule nothing was due: {tokens} tokens to be given back."
_PART: Final = "By the contract's rule {tokens} tokens of it were not due, and are to be given back."

_NEEDED: Final = (
    "user",
    "product",
    "cause",
    "tokens",
    "is_claimable",
    "working_date",
    "zone",
    "first_charged_at",
    "first_window_end",
    "charged_at",
    "first_spelling",
    "spelling",
    "first_code",
    "code",
    "first_server",
    "server",
)


@refuses_clearly
def explain_double_charges(double_charges: AnyTable) -> pl.DataFrame:
    """Says of each double charge in a few sentences what happened, in the person's local time.

    Args:
        double_charges: What `double_charges` returned, or some rows of it.

    Returns:
        The same table with two more columns of text: `explanation`, fit to be sent to the vendor, and `remedy`, what
        helps.

    Raises:
        MissingColumnError: The table lacks a column of `tables.DOUBLE_CHARGES`.
        ArgumentError: A cause is none of ours.

    Example:
        >>> import tokenflex as tf, polars as pl
        >>> from datetime import datetime, timezone
        >>> def at(day, hour): return datetime(2026, 7, day, hour, tzinfo=timezone.utc)
        >>> sessions = pl.DataFrame({
        ...     "user": ["mei"], "product": ["ACD"], "server": ["nyc"], "start": [at(13, 1)], "end": [at(13, 10)],
        ... })
        >>> found = tf.double_charges(
        ...     sessions, users={"mei": "Asia/Singapore"},
        ...     rule=tf.TOKEN_FLEX, rates=tf.Rates({"ACD": 7}), servers={"nyc": "America/New_York"})
        >>> print(tf.explain_double_charges(found)["explanation"][0][:72])
        mei, ACD, 2026-07-13 (Asia/Singapore): charged at 09:00 on nyc, and agai
    """
    frame = frame_of(double_charges)
    for name in _NEEDED:
        if name not in frame.columns:
            raise MissingColumnError(f"column {name!r} is missing: give what double_charges returned", column=name)
    causes = frame["cause"].cast(pl.String)
    if unknown := sorted(set(causes.unique().drop_nulls()) - set(REMEDIES)):
        raise ArgumentError(f"no cause is called {unknown[0]!r}", location="double_charges")
    words = _in_words(frame)
    text = pl.coalesce(pl.when(pl.col("cause") == cause).then(_filled(again)) for cause, again in _AGAIN.items())
    end = (
        pl.when(~pl.col("is_claimable"))
        .then(_filled(_DUE))
        .when(pl.col("cause") == "missing_increment")
        .then(_filled(_PART))
        .otherwise(_filled(_NOT_DUE))
    )
    head = pl.format("{}, {}, {} ({})", "user", "product", "working_date", "zone")
    told = words.select(pl.concat_str(head, pl.lit(": "), text, pl.lit(" "), end).alias("explanation")).to_series()
    remedy = causes.replace_strict(REMEDIES, default=None, return_dtype=pl.String).alias("remedy")
    return frame.with_columns(told, remedy)


def _filled(template: str) -> pl.Expr:
    """A template whose names in braces are columns."""
    parts: list[pl.Expr] = []
    for place, piece in enumerate(template.replace("}", "{").split("{")):
        parts.append(pl.col(piece) if place % 2 else pl.lit(piece))
    return pl.concat_str(parts)


def _in_words(frame: pl.DataFrame) -> pl.DataFrame:
    """Every value as text, instants as the person's clock shows them; a date is said where it is another one."""
    rows = frame.select(
        pl.col("user", "product", "cause", "zone", "first_spelling", "spelling", "first_code", "code").cast(pl.String),
        pl.col("first_server", "server").cast(pl.String).fill_null("its server"),
        pl.col("working_date").cast(pl.Date),
        "is_claimable",
        tokens=pl.col("tokens").cast(tables.TOKENS).cast(pl.String).str.strip_chars_end("0").str.strip_chars_end(".")
        .fill_null("an unknown number of"),
    )  # fmt: skip
    return rows.with_columns(
        _clock(frame["first_charged_at"], frame["zone"], rows["working_date"]).alias("first"),
        _clock(frame["first_window_end"], frame["zone"], rows["working_date"]).alias("first_end"),
        _clock(frame["charged_at"], frame["zone"], rows["working_date"]).alias("at"),
    )


def _clock(times: pl.Series, zones: pl.Series, dates: pl.Series) -> pl.Series:
    local = pl.DataFrame([local_times(times, zones).alias("local"), dates.alias("date")])
    day = pl.when(pl.col("local").dt.date() == pl.col("date")).then(pl.lit("%H:%M")).otherwise(pl.lit("%Y-%m-%d %H:%M"))
    texts = [
        pl.when(day == pattern).then(pl.col("local").dt.to_string(pattern)) for pattern in ("%H:%M", "%Y-%m-%d %H:%M")
    ]
    return local.select(pl.coalesce(*texts, pl.lit("a time that is not stated"))).to_series()
