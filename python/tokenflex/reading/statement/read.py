"""The verb `read_statement`: the vendor's usage exports, of any kind and generation, as one statement."""

from __future__ import annotations

import codecs
from collections import deque
from collections.abc import Collection, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Final

import polars as pl

from tokenflex import tables
from tokenflex.errors import ArgumentError, ArgumentTypeError, SourceError
from tokenflex.problems import Problems, report
from tokenflex.reading.statement.aliases import key_of
from tokenflex.reading.statement.rows import Batch, Terms, zones_in
from tokenflex.reading.statement.sheet import NotUtf8Error, Sheet, decoded, problem, sheets_of
from tokenflex.reading.statement.source import Place, StatementSource, places

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

MACHINE_METERED: Final = (
    "Arnold",
    "RenderNode",
    "VRED",
    "ADKVRD",
    "DCMVRD",
    "RCMVRD",
    "VRDDES",
    "VRDPRO",
    "VRDPRS",
    "VRDSRV",
    "VRNCBL",
)
"""What the vendor meters by machine since 2021-12-01: the names it says, and the product lines of VRED."""

BATCHES_UNDER_WAY: Final = 2
"""How many batches are typed at a time."""


def read_statement(
    source: StatementSource | Iterable[StatementSource],
    *,
    timezone: str | Mapping[str, str] | None = None,
    machine_metered: Collection[str] = MACHINE_METERED,
    date_format: str | None = None,
    encoding: str = "cp1252",
    problems: Problems | None = None,
) -> pl.DataFrame:
    """Reads the vendor's usage exports, of Token Flex and of Flex, into one table.

    What a file is, is told by its content: Token Flex by session or by day (CSV, or JSON of the usage API), exports
    of a Flex account of all generations (CSV, XLSX), JSON of the Flex reporting API. Columns are found by all names
    that the vendor has given them, without regard to case, separators and order. No row is left out because of what is
    in it.

    Args:
        source: A file, a folder of months (all .csv, .json and .xlsx in it, packed or not, subfolders too), a glob
            pattern, the bytes of an export, a binary file object, or several of these.
        timezone: IANA name of the license server's zone, or a mapping from server to zone. Needed only for local times
            in rows without `licenseServerTimeZoneOffset`; the row's offset, or one in the time itself, comes first.
        machine_metered: Products whose rows have user and machine in each other's column from 2021-12-01 on: product
            lines, or words of their names. Unless given, Arnold, RenderNode and VRED, as the vendor's change log says.
        date_format: How dates are written that are not ISO 8601, such as `"%m/%d/%Y"`; a time may follow.
        encoding: Code page of text that is neither UTF-8 nor UTF-16.
        problems: Collects what could not be taken as it is; without it, a `TokenflexWarning` tells of it.

    Returns:
        The statement, see `tables.STATEMENT`: one row for each row of the exports, in their order.

    Raises:
        SourceNotFoundError: A file is not there, a pattern matches nothing, a folder has no exports.
        SourceError: A file is no export, is damaged, or was written to while it was read.
        ZoneError: A local time without any offset, and no zone for it; or no zone of that name.
        ArgumentError: `encoding` does not exist, or a workbook is given and `fastexcel` is not installed.

    Example:
        >>> import tokenflex as tf
        >>> statement = tf.read_statement(
        ...     b'''usageDate,productLineCode,userName,sessionStartDate,licenseServerTimeZoneOffset,tokensConsumed
        ... 2018-03-01,ACD,ana,2018-03-01T16:24:53,-8:00,7
        ... ''')
        >>> statement["start"][0].isoformat(), statement["user"][0], statement["tokens"][0]
        ('2018-03-02T00:24:53+00:00', 'ana', Decimal('7.0000'))
    """
    terms = _terms(timezone, machine_metered, date_format, encoding)
    collected = Problems()
    parts: list[pl.DataFrame] = []
    for place in places(source):
        before = place.stamp()
        try:
            read = _place(place, terms, collected)
        except (OSError, pl.exceptions.PolarsError):
            _refuse_changed(place, before)
            raise
        _refuse_changed(place, before)
        parts.extend(read)
    statement = pl.concat([tables.empty(tables.STATEMENT), *parts], rechunk=False)
    collected.add(_repeated(statement, len(parts)))
    report(collected.frame, problems, "read_statement")
    return statement


def _terms(timezone: object, machine_metered: Collection[str], date_format: object, encoding: str) -> Terms:
    if timezone is not None and not isinstance(timezone, str | Mapping):
        raise ArgumentTypeError(
            f"timezone has to be an IANA name or a mapping from server to name, not {type(timezone).__name__}",
            location="timezone",
        )
    if date_format is not None and not isinstance(date_format, str):
        raise ArgumentTypeError("date_format has to be text such as '%m/%d/%Y'", location="date_format")
    if isinstance(machine_metered, str):
        raise ArgumentTypeError("machine_metered has to be several names, not one text", location="machine_metered")
    try:
        codecs.lookup(encoding)
    except LookupError as error:
        raise ArgumentError(f"there is no encoding {encoding!r}", location="encoding") from error
    return Terms(zones_in(timezone), frozenset(map(key_of, machine_metered)), date_format, encoding)


def _refuse_changed(place: Place, before: tuple[int, int] | None) -> None:
    if place.stamp() != before:
        raise SourceError(
            f"{place.name} was written to while it was read: read it again when its writer is done", location=place.name
        )


def _place(place: Place, terms: Terms, problems: Problems) -> list[pl.DataFrame]:
    """The statement of each sheet of a file; those in which nothing stands are problems."""
    parts = []
    for sheet in sheets_of(place, terms.encoding):
        told = sheet
        try:
            frame, found = _sheet(sheet, terms)
        except NotUtf8Error:
            told = decoded(place, terms.encoding)
            frame, found = _sheet(told, terms)
        told.found.extend(_whole(frame))
        for each in (told.problems(), *found):
            problems.add(each)
        if not frame.is_empty():
            parts.append(frame)
    return parts


def _whole(statement: pl.DataFrame) -> Iterator[tuple[int | None, str, str]]:
    """What there is to say about all rows of a sheet."""
    if statement.is_empty():
        yield problem(None, code="no_rows", message="there is a header and nothing below it")
    nameless = statement.filter(pl.col("is_masked") & pl.col("user").is_null())["line"]
    if len(nameless) > 0:
        yield problem(
            nameless[0],
            code="masked_user",
            message=f"{len(nameless)} rows, this one first, have a masked user and no hashed id: they cannot be told "
            "apart, and user is null",
        )


def _sheet(sheet: Sheet, terms: Terms) -> tuple[pl.DataFrame, list[pl.DataFrame]]:
    """The rows of a sheet, typed batch by batch while the next ones are read."""
    frames, found = [tables.empty(tables.STATEMENT)], []
    under_way: deque[Future[tuple[pl.DataFrame, list[pl.DataFrame]]]] = deque()

    def take() -> None:
        frame, problems = under_way.popleft().result()
        frames.append(frame)
        found.extend(problems)

    with ThreadPoolExecutor(BATCHES_UNDER_WAY) as pool:
        for text in sheet.batches:
            under_way.append(pool.submit(_batch, text, sheet, terms))
            if len(under_way) > BATCHES_UNDER_WAY:
                take()
        while under_way:
            take()
    return pl.concat(frames, rechunk=False), found


def _batch(text: pl.DataFrame, sheet: Sheet, terms: Terms) -> tuple[pl.DataFrame, list[pl.DataFrame]]:
    batch = Batch(text, sheet.name, sheet.header, terms)
    return batch.statement(), batch.found


def _repeated(statement: pl.DataFrame, parts: int) -> pl.DataFrame:
    """A problem for each file that has rows which stand in an earlier one too."""
    if parts < 2:  # noqa: PLR2004 - one file repeats none
        return tables.empty(tables.PROBLEMS)
    content = [name for name in tables.STATEMENT if name not in {"file", "line"}]
    hashed = statement.select("file", "line", alike=statement.select(content).hash_rows())
    first = hashed.group_by("alike").agg(files=pl.col("file").n_unique(), first_file=pl.col("file").first())
    several = first.filter(pl.col("files") > 1)
    if several.is_empty():
        return tables.empty(tables.PROBLEMS)
    later = hashed.join(several, on="alike").filter(pl.col("file") != pl.col("first_file"))
    counted = later.group_by("file", "first_file", maintain_order=True).agg(pl.len(), line=pl.col("line").first())
    sizes = statement.group_by("file").agg(size=pl.len())
    return counted.join(sizes, on="file", maintain_order="left").select(
        source=pl.col("file").cast(pl.String),
        location=pl.col("line").cast(pl.UInt64),
        code=pl.lit("repeated_rows"),
        message=pl.format(
            "{} of {} rows, this one first, stand in {} too and are counted twice",
            "len",
            "size",
            pl.col("first_file").cast(pl.String),
        ),
    )
