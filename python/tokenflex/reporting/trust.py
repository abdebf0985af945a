"""The chapters of trust: how good the data are, and what the report rests on."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import polars as pl

from tokenflex import tables
from tokenflex._core import __version__, zone_database_version
from tokenflex.audit.pack import sources_of
from tokenflex.content import digest
from tokenflex.metering.rule_grid import described
from tokenflex.reporting.chapter import Chapter
from tokenflex.summary import problem_groups
from tokenflex.words import many, some

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tokenflex.reporting.shelf import Shelf
    from tokenflex.reporting.work import Work

NEED_COVERAGE = "coverage= (of the reader) shows which days and servers the logs tell of"


def trusted(work: Work, shelf: Shelf) -> Chapter:
    """Whether the data can be trusted."""
    said = []
    days = work.coverage_days
    if days is None or work.coverage is None:
        shelf.lack("coverage_days", "Days and servers that the logs tell of", NEED_COVERAGE)
    else:
        silent = days.filter(~pl.col("has_lines")).height
        said.append(f"{many(silent, 'day')} of servers without a line")
        shelf.put(
            "coverage_days",
            days,
            f"Coverage by day and server: {said[-1]}",
            "Use on a day without lines is not in the logs, so it is not charged.",
        )
        shelf.put("coverage", work.coverage, f"What the logs of {many(work.coverage.height, 'server')} cover")
    unrated = work.without_rate
    said.append(f"{many(unrated.height, 'product')} without a rate")
    shelf.put(
        "products_without_rate",
        unrated,
        f"{said[-1][0].upper()}{said[-1][1:]}",
        "Their charges have no tokens: they are in no sum.",
    )
    if work.files is None:
        shelf.lack(
            "files", "What became of each line of each file", "files= (of the reader) shows what became of every line"
        )
    else:
        shelf.put("files", work.files, f"What became of each line of {many(work.files.height, 'file')}")
    # Last, since other chapters meet problems too.
    found = work.problems.frame.unique(maintain_order=True)
    groups = problem_groups(found)
    said.append(f"{many(found.height, 'problem')} in the data")
    kinds = f"{many(groups.height, 'kind')} of problems in the data" if groups.height else "No problems in the data"
    shelf.put("problem_groups", groups, f"{kinds}: unpaired events, clock jumps, unknown names")
    shelf.put("problems", found, f"Each of {many(found.height, 'problem')}")
    return Chapter("quality", "Can the data be trusted?", f"{', '.join(said)}.", shelf.sections())


class _Piece(NamedTuple):
    """A row of `tables.REPORT_PROVENANCE`."""

    what: str
    name: str | None
    value: str
    rows: int | None = None
    sha256: str | None = None


def provenance_of(work: Work) -> pl.DataFrame:
    """What the report rests on, see `tables.REPORT_PROVENANCE`."""
    return pl.DataFrame(list(_pieces(work)), schema=dict(tables.REPORT_PROVENANCE), orient="row")


def _pieces(work: Work) -> Iterator[_Piece]:
    yield _Piece("tokenflex", None, __version__)
    yield _Piece("zone database", None, zone_database_version)
    yield _Piece("polars", None, pl.__version__)
    yield _Piece("period", None, "everything" if work.is_everything else f"{work.start} to {work.end}")
    yield _Piece("rule", work.rule.rule_id, described(work.rule), sha256=digest(work.rule.to_toml().encode()))
    rates = work.rates.frame
    yield _Piece("rates", None, f"of {many(rates['product'].n_unique(), 'product')}", rates.height, _hash(rates))
    for server, zone in sorted((work.servers or {}).items()):
        yield _Piece("server", server, zone)
    contract = None if work.ledger.value is None else work.ledger.value.contract
    for name, terms in (("contract", contract), ("offer", work.offer), ("price list", work.price_list)):
        if terms is not None:
            yield _Piece(name, getattr(terms, "number", None), "as TOML", sha256=digest(terms.to_toml().encode()))
    if work.groups is not None:
        yield _Piece("groups", None, "who belongs to whom", len(work.groups.frame), _hash(work.groups.frame))
    for name in ("sessions", "charges", "activity", "events", "denials", "statement"):
        table = getattr(work, name)
        if isinstance(table, pl.DataFrame):
            yield _Piece("table", name, some(table.columns), table.height)
    for file, kind, size, sha in sources_of(_files(work)).iter_rows():
        yield _Piece(kind, file, "could not be read again" if size is None else f"{size:,} bytes", sha256=sha)


def _hash(table: pl.DataFrame) -> str:
    return digest(table.write_csv().encode())


def _files(work: Work) -> dict[str, str]:
    """The files that data came from, each with its kind."""
    found: dict[str, str] = {}
    for kind, table in (
        ("log", work.files if work.files is not None else work.sessions),
        ("statement", work.statement),
    ):
        if isinstance(table, pl.DataFrame) and "file" in table.columns:
            names = table["file"].cast(pl.String).unique().drop_nulls()
            # A sheet of a workbook stands in brackets behind its name.
            found |= {name.rsplit(" [", 1)[0]: kind for name in names}
    return found


def founded(work: Work, shelf: Shelf) -> Chapter:
    """What the report rests on."""
    pieces = provenance_of(work)
    files = pieces.filter(pl.col("what").is_in(["log", "statement"])).height
    shelf.put("provenance", pieces, f"Rule, rates, versions, and {many(files, 'file')} with hashes")
    rates = work.rates.frame
    shelf.put("rates", rates, f"The rates: {many(rates.height, 'row')}")
    headline = (
        f"tokenflex {__version__}, zones {zone_database_version}, rule {work.rule.rule_id}, {many(files, 'file')}."
    )
    return Chapter("provenance", "What does this rest on?", headline, shelf.sections())
