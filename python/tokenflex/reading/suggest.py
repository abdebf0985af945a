"""Evidence that two names are one person: where they worked, when, and how alike they are. See `Identity.suggest`."""

from __future__ import annotations

import itertools
import re
import unicodedata
from collections import defaultdict
from typing import TYPE_CHECKING, Final

import polars as pl

from tokenflex.reading.spelling import is_masked, is_opaque

if TYPE_CHECKING:
    from collections.abc import Iterator

CROWD: Final = 30
"""A host, or a block of names alike, of more than this makes no pairs by itself."""

NEIGHBOURS: Final = 10
"""With how many of the next names in order a name of a crowded block is compared."""

HANDOVER: Final = 30 * 60 * 1_000_000
"""Half an hour, in microseconds."""

HOUR: Final = 3_600 * 1_000_000
DAY: Final = 24 * HOUR
INITIALS: Final = 0.8
"""How alike a full name and the login made of its initials are."""


def suggestions(sessions: pl.DataFrame, minimum: float) -> pl.DataFrame:
    """The pairs of at least the minimum score, with their evidence."""
    times = pl.col("start", "end").dt.timestamp("us")
    seen = sessions.with_columns(times, pl.col("user", "host").cast(pl.String)).drop_nulls(["user", "host", "start"])
    seen = seen.with_columns(end=pl.col("end").fill_null(pl.max_horizontal(pl.col("start").max(), pl.col("end").max())))
    seen = seen.filter(pl.col("end") >= pl.col("start"))
    places = _places(seen)
    pairs = _name_pairs(sorted(seen["user"].unique().to_list()))
    both = _place_pairs(places).join(pairs, on=["a", "b"], how="full", coalesce=True)
    both = _with_places(both.select("a", "b", "name"), places)
    similar = pl.col("name").fill_null(pl.struct("a", "b").map_elements(_similarity_of, return_dtype=pl.Float64))
    both = both.with_columns(similar).with_columns(before=(pl.col("name") + pl.col("place")) / 2)
    return _scored(_with_times(both.filter(pl.col("before") >= minimum), seen), seen, minimum)


def _places(seen: pl.DataFrame) -> pl.DataFrame:
    """For each user and host the sessions, their part of the user's, and how many users the host has."""
    return (
        seen.group_by("user", "host")
        .agg(sessions=pl.len())
        .with_columns(share=pl.col("sessions") / pl.col("sessions").sum().over("user"), users=pl.len().over("host"))
    )


def _place_pairs(places: pl.DataFrame) -> pl.DataFrame:
    shared = places.filter(pl.col("users").is_between(2, CROWD)).select("host", "user")
    both = shared.rename({"user": "a"}).join(shared.rename({"user": "b"}), on="host")
    return both.filter(pl.col("a") < pl.col("b")).select("a", "b").unique()


def _with_places(pairs: pl.DataFrame, places: pl.DataFrame) -> pl.DataFrame:
    """The evidence of hosts."""
    of_a = pairs.select("a", "b").join(places.rename({"user": "a"}), on="a")
    of_both = of_a.join(places.drop("users").rename({"user": "b"}), on=["b", "host"], suffix="_b")
    weight = pl.min_horizontal("share", "share_b") / (pl.col("users") - 1)
    evidence = of_both.group_by("a", "b").agg(
        place=weight.sum(),
        shared_hosts=pl.len(),
        users_of_hosts=pl.col("users").min(),
        shared_sessions=(pl.col("sessions") + pl.col("sessions_b")).sum(),
    )
    joined = pairs.join(evidence, on=["a", "b"], how="left")
    return joined.with_columns(pl.col("place", "shared_hosts", "shared_sessions").fill_null(0))


def _with_times(pairs: pl.DataFrame, seen: pl.DataFrame) -> pl.DataFrame:
    """The evidence of hours: together on one host, together on two, one after the other on one."""
    pieces = _pieces(seen.filter(pl.col("user").is_in([*pairs["a"], *pairs["b"]])))
    of_a = pairs.select("a", "b").join(pieces.rename({"user": "a"}), on="a")
    both = of_a.join(pieces.rename({"user": "b"}), on=["b", "day"], suffix="_b")
    shared = pl.min_horizontal("end", "end_b") - pl.max_horizontal("start", "start_b")
    is_same = pl.col("host") == pl.col("host_b")
    hours = pl.col("shared").clip(0) / HOUR
    evidence = (
        both.with_columns(shared=shared)
        .group_by("a", "b")
        .agg(
            overlap_hours=hours.filter(is_same).sum(),
            conflict_hours=hours.filter(~is_same).sum(),
            handovers=(is_same & pl.col("shared").is_between(-HANDOVER, 0)).sum(),
        )
    )
    joined = pairs.join(evidence, on=["a", "b"], how="left")
    return joined.with_columns(pl.col("overlap_hours", "conflict_hours", "handovers").fill_null(0))


def _pieces(seen: pl.DataFrame) -> pl.DataFrame:
    """The use of each user on each host without overlaps, cut at the days of UTC so that pairs meet day by day."""
    ordered = seen.sort("user", "host", "start")
    so_far = pl.col("end").cum_max().shift(1).over("user", "host")
    is_new = (pl.col("start") > so_far).fill_null(value=True)
    spans = (
        ordered.with_columns(span=is_new.cum_sum())
        .group_by("user", "host", "span")
        .agg(pl.col("start").min(), pl.col("end").max())
    )
    first, last = pl.col("start") // DAY, pl.col("end") // DAY
    days = spans.with_columns(day=pl.int_ranges(first, last + 1)).explode("day")
    cut = days.with_columns(
        start=pl.max_horizontal("start", pl.col("day") * DAY), end=pl.min_horizontal("end", (pl.col("day") + 1) * DAY)
    )
    return cut.select("user", "host", "day", "start", "end")


def _scored(pairs: pl.DataFrame, seen: pl.DataFrame, minimum: float) -> pl.DataFrame:
    used = seen.group_by("user").agg(sessions=pl.len(), hours=(pl.col("end") - pl.col("start")).sum() / HOUR)
    pairs = pairs.join(used.rename({"user": "a"}), on="a").join(used.rename({"user": "b"}), on="b", suffix="_b")
    lesser = pl.min_horizontal("hours", "hours_b")
    against = pl.when(lesser > 0).then((pl.col("conflict_hours") / lesser).clip(0, 1)).otherwise(0.0)
    return (
        pairs.with_columns(contradiction=against)
        .with_columns(score=(pl.col("before") * (1 - pl.col("contradiction"))).round(6))
        .filter(pl.col("score") >= minimum)
        .rename(
            {
                "a": "spelling_a",
                "b": "spelling_b",
                "name": "name_similarity",
                "place": "place_similarity",
                "sessions": "sessions_a",
                "sessions_b": "sessions_b",
            }
        )
        .sort("score", "spelling_a", "spelling_b", descending=[True, False, False])
    )


def _similarity_of(pair: dict[str, str]) -> float:
    return similarity(pair["a"], pair["b"])


def _name_pairs(names: list[str]) -> pl.DataFrame:
    """Names that share a beginning, their words, or a login made of initials, with their similarity."""
    pairs = {}
    for block in _blocks(names):
        width = len(block) if len(block) <= CROWD else NEIGHBOURS
        for place, a in enumerate(block):
            for b in block[place + 1 : place + 1 + width]:
                if (a, b) not in pairs:
                    pairs[a, b] = similarity(a, b)
    alike = [(a, b, value) for (a, b), value in pairs.items() if value > 0]
    return pl.DataFrame(alike, schema={"a": pl.String, "b": pl.String, "name": pl.Float64}, orient="row")


def _blocks(names: list[str]) -> Iterator[list[str]]:
    blocks: defaultdict[str, list[str]] = defaultdict(list)
    for name in names:
        if is_opaque(name) or is_masked(name):
            continue
        words = words_of(name)
        for key in {"".join(words)[:4], "".join(sorted(words)), *_logins(words)}:
            blocks[key].append(name)
    return (block for block in blocks.values() if len(block) > 1)


def words_of(name: str) -> list[str]:
    r"""The words of a name: without `DOMAIN\`, `@domain`, accents, case and signs."""
    local = name.rpartition("\\")[2]
    local = local.partition("@")[0] or local
    plain = "".join(each for each in unicodedata.normalize("NFKD", local) if not unicodedata.combining(each))
    return re.findall(r"\w+", plain.casefold().replace("_", " ")) or [plain.casefold()]


def _logins(words: list[str]) -> set[str]:
    """Usual logins of a name of several words: `aruiz`, `ruiza`; of one word it is the word."""
    if len(words) == 1:
        return {words[0]}
    logins = set()
    for order in (words, words[::-1]):
        initials = "".join(word[0] for word in order[:-1])
        logins |= {initials + order[-1], order[-1] + initials}
    return logins


def similarity(a: str, b: str) -> float:
    """How alike two names are, 0 to 1: 1 for the same words, 0.8 for a login of initials, else by pairs of letters."""
    if is_opaque(a) or is_opaque(b) or is_masked(a) or is_masked(b):
        return 0.0
    words_a, words_b = words_of(a), words_of(b)
    whole_a, whole_b = "".join(words_a), "".join(words_b)
    if whole_a == whole_b or sorted(words_a) == sorted(words_b):
        return 1.0
    digits_a, digits_b = (re.sub(r"\D", "", whole) for whole in (whole_a, whole_b))
    if digits_a != digits_b and digits_a and digits_b:
        return 0.0
    if (len(words_a) == 1) != (len(words_b) == 1) and _logins(words_a) & _logins(words_b):
        return INITIALS
    pairs_a, pairs_b = set(itertools.pairwise(whole_a)), set(itertools.pairwise(whole_b))
    return 2 * len(pairs_a & pairs_b) / max(1, len(pairs_a) + len(pairs_b))
