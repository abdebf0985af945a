"""The verbs `dispute` and `read_dispute`: an evidence pack of a reconciliation, which anybody can re-run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import polars as pl

from tokenflex import _core, tables
from tokenflex.arrow import AnyTable, frame_of, refuses_clearly
from tokenflex.audit import pack
from tokenflex.audit.cases import cases_of, lines_behind, rows_behind, sessions_behind
from tokenflex.audit.pack_words import readme_of
from tokenflex.audit.reconcile import Reconciliation, reconcile
from tokenflex.audit.stated import told_of
from tokenflex.content import csv_of, digest, parquet_of
from tokenflex.errors import ArgumentError, ArgumentTypeError, MissingColumnError, TokenflexError
from tokenflex.metering.charge import charge
from tokenflex.notebook import Shown
from tokenflex.problems import Problems, report
from tokenflex.reading.contract import ContractSnapshot

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from tokenflex.audit.inputs import Inputs

_LINES: Final = "evidence/lines.parquet"
_SOURCES: Final = "evidence/sources.parquet"
_EVENTS: Final = ("time", "kind", "user", "host", "feature", "file", "line")


class Dispute(Shown):
    """An evidence pack: the cases of a reconciliation, and all that a third party needs to find the same.

    Made by `dispute`, or read by `read_dispute`. Two are equal if their files are, byte by byte.

    Attributes:
        files: The bytes of each file of the pack, by its name in it.
        cases: The differences, see `tables.DISPUTE_CASES`.
        sessions: The sessions near each case, see `tables.DISPUTE_SESSIONS`.
        rows: The rows of the statement near each case, see `tables.DISPUTE_ROWS`.
        lines: The lines of the logs behind these sessions, see `tables.DISPUTE_LINES`.
        sources: The files that the data came from, see `tables.DISPUTE_SOURCES`.
    """

    def __init__(self, files: Mapping[str, bytes], parts: Mapping[str, pl.DataFrame]) -> None:
        self.files = dict(files)
        self.cases = parts["cases"]
        self.sessions = parts["sessions"]
        self.rows = parts["rows"]
        self.lines = parts["lines"]
        self.sources = parts["sources"]

    @property
    def fingerprint(self) -> str:
        """The SHA-256 of the manifest, which has those of all other files: one number that stands for the whole."""
        return digest(self.files[pack.MANIFEST])

    @property
    def version(self) -> str:
        """The version of tokenflex that made it."""
        return str(pack.manifest_in(self.files, "the pack")["tokenflex"])

    def write(self, path: str | Path) -> None:
        """Writes the pack into a new folder, or into a zip where the name ends with `.zip`.

        Args:
            path: The folder or zip; it must not be there yet.

        Raises:
            ArgumentError: It is there already.
            SourceError: It cannot be written.
        """
        pack.write_pack(self.files, Path(path))

    def rerun(self) -> Dispute:
        """Makes the pack again from its own inputs: charges, reconciles and writes everything anew.

        Returns:
            The new pack. It equals this one if nothing was changed and the same version made it; `changed_files` says
            what differs.

        Raises:
            SourceError: The inputs are not those of the manifest, or cannot be read.

        Example:
            >>> pack = tf.read_dispute("dispute.zip")  # doctest: +SKIP
            >>> pack.rerun() == pack  # doctest: +SKIP
            True
        """
        pack.check_given(self.files, "the pack")
        inputs, causes = pack.inputs_of_files(self.files)
        given = {name: content for name, content in self.files.items() if name.startswith(("inputs/", "evidence/"))}
        return _made(inputs, causes, given)

    def changed_files(self, other: Dispute) -> list[str]:
        """The names of the files that are not the same in another pack, or are in one of the two only."""
        names = sorted({*self.files, *other.files})
        return [name for name in names if self.files.get(name) != other.files.get(name)]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Dispute) and self.files == other.files

    def __hash__(self) -> int:
        return hash(self.fingerprint)

    def _tables_shown(self) -> dict[str, pl.DataFrame]:
        return {"cases": self.cases}

    def __repr__(self) -> str:
        return f"<Dispute of {self.cases.height:,} cases, {self.cases['difference'].sum()} tokens in all>"


@refuses_clearly
def dispute(
    reconciliation: Reconciliation,
    *,
    causes: Collection[str] | None = None,
    events: AnyTable | None = None,
    encoding: str = "cp1252",
    problems: Problems | None = None,
) -> Dispute:
    """Puts the differences of a reconciliation together with everything that stands behind them.

    A case is a row that differs and could be compared. Behind it are the sessions and the statement's rows of the same
    person and product that touch its window or the day before, and the lines of the logs behind these sessions. Files
    that the data names are read again for the texts of lines and for their hashes.

    Args:
        reconciliation: What `reconcile` returned, at level `session` or `day`.
        causes: Only cases with these leading causes; all unless given.
        events: The events that the sessions were paired of. With them each session has all its lines; without only
            the check-out that opened it.
        encoding: Code page of logs that are not UTF-8, as for `read_flexlm`.
        problems: Collects files that could not be read again and lines that are not what they were; without it, a
            `TokenflexWarning` tells of them.

    Returns:
        The pack; `write` puts it into a folder or a zip, `read_dispute` reads it, `rerun` makes it again.

    Raises:
        ArgumentTypeError: It is no reconciliation.
        ArgumentError: It is one of totals, or was not made by `reconcile`; there is no such cause.
        MissingColumnError: The events lack a column.

    Example:
        >>> import tokenflex as tf
        >>> statement = tf.read_statement(
        ...     b'''usageDate,productLineCode,userName,sessionStartDate,sessionEndDate,usageCategory,tokensConsumed
        ... 2018-03-01,ACD,ana,2018-03-01T08:00:00,2018-03-01T17:00:00,DESKTOP_PRODUCT,7
        ... 2018-03-02,ACD,ana,2018-03-02T08:30:00,2018-03-02T08:32:00,DESKTOP_PRODUCT,7
        ... ''', timezone="UTC")
        >>> rates = tf.Rates({"ACD": 7})
        >>> sessions = tf.sessions_from(statement)
        >>> charges = tf.charge(sessions, rule=tf.FLEX, rates=rates)
        >>> found = tf.reconcile(charges, statement, rule=tf.FLEX, rates=rates, sessions=sessions)
        >>> pack = tf.dispute(found, problems=tf.Problems())
        >>> pack
        <Dispute of 1 cases, 7.0000 tokens in all>
        >>> pack.rerun() == pack
        True
    """
    inputs = _checked(reconciliation, causes)
    found = Problems()
    asked = None if causes is None else sorted(set(causes))
    cases = cases_of(reconciliation.rows, inputs, asked)
    held = None if events is None else _events(events)
    lines = _with_texts(lines_behind(sessions_behind(cases, inputs), held), encoding, found)
    sources = pack.sources_of(_files_named(inputs))
    _tell_of_sources(sources, found)
    files = {
        **pack.files_of_inputs(inputs, asked),
        _LINES: parquet_of(lines),
        _SOURCES: parquet_of(sources),
    }
    report(found.frame, problems, "dispute")
    # By way of the files, as whoever re-runs it: what they do not hold cannot be in the result.
    read, _ = pack.inputs_of_files(files)
    return _made(read, asked, files)


@refuses_clearly
def read_dispute(path: str | Path) -> Dispute:
    """Reads an evidence pack that `Dispute.write` wrote.

    Args:
        path: The folder or zip.

    Returns:
        The pack, its files as they are: `pack.rerun() == pack` says whether they follow from its inputs. Its tables are
        computed from the inputs.

    Raises:
        SourceNotFoundError: There is none.
        SourceError: It is no pack of this version, or its inputs were changed since it was made.

    Example:
        >>> import tempfile, tokenflex as tf
        >>> tf.read_dispute(tempfile.gettempdir() + "/none.zip")  # doctest: +IGNORE_EXCEPTION_DETAIL
        Traceback (most recent call last):
        tokenflex.errors.SourceNotFoundError: there is no evidence pack none.zip
    """
    files = pack.read_pack(Path(path))
    pack.check_given(files, str(path))
    inputs, causes = pack.inputs_of_files(files)
    return Dispute(files, _parts(_reconciled(inputs), inputs, causes, files))


def _checked(reconciliation: object, causes: Collection[str] | None) -> Inputs:
    if not isinstance(reconciliation, Reconciliation):
        raise ArgumentTypeError(
            f"reconciliation has to be what tf.reconcile returned, not {type(reconciliation).__name__}",
            location="reconciliation",
        )
    inputs = reconciliation.inputs
    if inputs is None:
        raise ArgumentError(
            "this reconciliation does not know what it was made of: take what tf.reconcile returned",
            location="reconciliation",
        )
    if inputs.level == "month" or isinstance(inputs.statement, ContractSnapshot):
        raise ArgumentError(
            "totals have no cases: reconcile with level='session' or level='day'", location="reconciliation"
        )
    if isinstance(causes, str):
        raise ArgumentTypeError("causes has to be a list of causes, not one text", location="causes")
    for cause in causes or ():
        if cause not in tables.RECONCILIATION_CAUSES:
            raise ArgumentError(
                f"there is no cause {cause!r}: {', '.join(tables.RECONCILIATION_CAUSES)}", location="causes"
            )
    return inputs


def _reconciled(inputs: Inputs) -> Reconciliation:
    return reconcile(
        inputs.charges,
        inputs.statement,
        level=inputs.level,  # type: ignore[arg-type]  # `reconcile` says so if it is none
        tolerance=inputs.tolerance,
        rule=inputs.rule,
        rates=inputs.rates,
        servers=inputs.servers,
        sessions=inputs.sessions,
        users=inputs.users,
        identity=inputs.identity,
        variants=inputs.variants,
        coverage=inputs.coverage,
        problems=Problems(),
    )


def _parts(
    found: Reconciliation, inputs: Inputs, causes: Collection[str] | None, files: Mapping[str, bytes]
) -> dict[str, pl.DataFrame]:
    """The tables of a pack."""
    cases = cases_of(found.rows, inputs, causes)
    return {
        "cases": cases,
        "sessions": sessions_behind(cases, inputs),
        "rows": rows_behind(cases, inputs),
        "lines": pack.parquet_in(files[_LINES], tables.DISPUTE_LINES),
        "sources": pack.parquet_in(files[_SOURCES], tables.DISPUTE_SOURCES),
    }


def _made(inputs: Inputs, causes: list[str] | None, given: Mapping[str, bytes]) -> Dispute:
    """The pack of inputs, as files and as they are read from these, and of evidence: all other files follow."""
    found = _reconciled(inputs)
    parts = _parts(found, inputs, causes, given)
    checks = {**_charges_follow(inputs), **_openings_agree(parts["sessions"], parts["lines"])}
    about: dict[str, Any] = {
        "tokenflex": _core.__version__,
        "zone_database": _core.zone_database_version,
        "level": inputs.level,
        "cases": parts["cases"].height,
        "difference": str(parts["cases"]["difference"].sum()),
        "checks": checks,
    }
    answers = {
        "README.md": readme_of(found, inputs, parts["cases"], about, checks).encode(),
        "cases.csv": csv_of(parts["cases"], is_guarded=True),
        "sessions.csv": csv_of(parts["sessions"], is_guarded=True),
        "statement.csv": csv_of(parts["rows"], is_guarded=True),
        "lines.csv": csv_of(parts["lines"], is_guarded=True),
        "sources.csv": csv_of(parts["sources"], is_guarded=True),
        "summary.csv": csv_of(found.summary, is_guarded=True),
    }
    files = {**answers, **dict(sorted(given.items()))}
    return Dispute({**files, pack.MANIFEST: pack.manifest_of(files, about)}, parts)


def _charges_follow(inputs: Inputs) -> dict[str, str]:
    """Whether the charges are what rule and rates make of the sessions."""
    what = "our charges, computed anew from the sessions by rule and rates"
    if inputs.sessions is None or inputs.rule is None or inputs.rates is None:
        return {what: "not tried: the sessions, the rule or the rates are not given"}
    terms = {"rule": inputs.rule, "rates": inputs.rates, "servers": inputs.servers, "users": inputs.users}
    try:
        again = charge(inputs.sessions, **terms, problems=Problems())  # type: ignore[arg-type]  # each of its own type
    except TokenflexError as error:
        return {what: f"not tried: {error}"}
    names = ("charged_at", "user", "product", "tokens")
    both = [
        frame.select(
            pl.col("charged_at").cast(tables.TIME), pl.col("user", "product").cast(pl.String),
            pl.col("tokens").cast(tables.TOKENS),
        ).sort(names)
        for frame in (inputs.charges, again)
    ]  # fmt: skip
    if both[0].equals(both[1]):
        return {what: "the same"}
    return {what: f"not the same: {both[0].height:,} given, {both[1].height:,} computed"}


def _openings_agree(sessions: pl.DataFrame, lines: pl.DataFrame) -> dict[str, str]:
    """How many sessions of cases begin with a line of a log that says so."""
    known = sessions.unique("session").drop_nulls(["file", "line"])
    names = [pl.col(name).cast(pl.String) for name in ("feature", "host", "file")]
    opened = known.select("session", "line", *names).join(
        lines.select("session", "line", pl.col("file").cast(pl.String), "text").drop_nulls("text"),
        on=["session", "file", "line"],
    )
    # Names may have been put right since: their case, and a host's domain, which is taken away.
    said = pl.col("text").str.to_lowercase()
    says = pl.all_horizontal(
        said.str.contains(pl.col(name).str.to_lowercase(), literal=True).fill_null(value=True)
        for name in ("feature", "host")
    )
    count = opened.filter(says).height
    return {"check-outs in the logs that open the sessions of the cases": f"{count:,} of {known.height:,}"}


def _events(events: AnyTable) -> pl.DataFrame:
    frame = frame_of(events)
    for name in _EVENTS:
        if name not in frame.columns:
            raise MissingColumnError(f"column {name!r} is missing from the events: give those of a log", column=name)
    return frame


def _with_texts(lines: pl.DataFrame, encoding: str, found: Problems) -> pl.DataFrame:
    """The texts of the lines, from their files as they are now."""
    lines = lines.with_columns(pl.col("file").cast(pl.String))
    parts = [lines.head(0).with_columns(text=pl.lit(None, pl.String))]
    for (file,), part in lines.group_by("file", maintain_order=True):
        numbers = part["line"].unique().sort().to_list()
        texts: list[str | None] = [None] * len(numbers)
        if Path(str(file)).is_file():
            try:
                texts = _core.excerpt(str(file), encoding, numbers)
            except TokenflexError as error:
                found.add(told_of(str(file), [("source_not_read", f"{file} cannot be read again: {error}")]))
        known = pl.DataFrame({"line": numbers, "text": texts}, schema={"line": pl.UInt32, "text": pl.String})
        parts.append(part.join(known, on="line", how="left"))
    return tables.finish(pl.concat(parts).sort("session", "file", "line"), tables.DISPUTE_LINES)


def _files_named(inputs: Inputs) -> dict[str, str]:
    """The files that sessions and statement name, and their kind."""
    named: dict[str, str] = {}
    for kind, table in (("statement", inputs.statement), ("log", inputs.sessions)):
        if isinstance(table, pl.DataFrame) and "file" in table.columns:
            for name in table["file"].cast(pl.String).unique().drop_nulls():
                # The sheet of a workbook stands in brackets behind its name.
                path = name if Path(name).exists() or not name.endswith("]") else name.rpartition(" [")[0]
                named.setdefault(path, kind)
    return named


def _tell_of_sources(sources: pl.DataFrame, found: Problems) -> None:
    for file in sources.filter(pl.col("sha256").is_null())["file"].cast(pl.String):
        message = f"{file} is not there any more: no hash of it, and no texts of its lines"
        found.add(told_of(file, [("source_not_read", message)]))
