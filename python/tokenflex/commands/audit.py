"""`tokenflex audit`: our number against the vendor's, line by line, with the cause of each difference."""

from __future__ import annotations

import json
import shlex
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from pathlib import Path  # noqa: TC003 - typer reads the annotations when it runs
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, cast, get_args

import polars as pl
import typer
from rich.padding import Padding
from rich.text import Text

import tokenflex as tf
from tokenflex import screen, tables
from tokenflex.audit.causes import WORDS
from tokenflex.audit.reconcile import finest_level
from tokenflex.commands.contracts import local, money
from tokenflex.commands.logs import Metered, metered
from tokenflex.commands.options import (
    AliasesOption,
    AsOfOption,
    JsonOption,
    LogOptions,
    LogsArgument,
    VariantsOption,
    fail,
    instant_of,
    readable_errors,
    takes,
    users_of,
    variants_of,
    writer_of,
)
from tokenflex.inspection import kind_of_file
from tokenflex.summary import plain, problem_groups
from tokenflex.words import many

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import Console

SHOWN: Final = 3
"""Lines told of each cause unless asked for more."""
INDENT: Final = 2
Outcome = Literal["agreed", "explained", "unexplained", "not_comparable"]
_TITLES: Final[dict[str, str]] = {
    "agreed": "agreed",
    "explained": "explained",
    "unexplained": "unexplained",
    "not_comparable": "never comparable",
}

HELP = """Hold your logs against the vendor's statement, and say of every difference why.

\b
  tokenflex audit logs/ --statement statement.csv --timezone Europe/Madrid \\
    --rates rates.csv --rule rule.toml

\b
All lines in a file, and the differences as a pack that the vendor can check
with one command:
  … --out audit.csv --dispute dispute.zip

\b
Next month: what became of the differences (audit.parquet is what --out wrote
a month ago)
  … --since audit.parquet --changes changes.csv

Lines are compared session by session where the statement has times, else day by day, and a contract by its totals. A
cause is tried by the one change that it names: it holds where the difference is gone with it.
"""


@dataclass(frozen=True, kw_only=True)
class AuditOptions(LogOptions):
    """What an audit asks for besides logs."""

    statement: Annotated[
        Path | None, typer.Option(help="The vendor's usage export, or its contract as JSON for totals.")
    ] = None
    level: Annotated[
        str | None,
        typer.Option(metavar="session|day|month", help="How fine to compare. Default: as fine as the statement is."),
    ] = None
    tolerance: Annotated[str, typer.Option(metavar="TOKENS", help="Amounts that differ by no more are equal.")] = "0"
    users: Annotated[
        Path | None, typer.Option(help="By which zone each user lives, as CSV: user, zone; to try rules by it.")
    ] = None
    aliases: AliasesOption = None
    variants: VariantsOption = None
    since: Annotated[
        Path | None, typer.Option(help="What --out wrote a month ago, as .parquet: what became of it since?")
    ] = None
    price: Annotated[
        str | None,
        typer.Option(metavar="MONEY", help="What a token costs (1.85), to show money as well."),
    ] = None


@takes(AuditOptions)
def audit(
    logs: LogsArgument,
    *,
    asked: AuditOptions,
    show: Annotated[int, typer.Option(min=0, help="How many lines of each cause are told.")] = SHOWN,
    out: Annotated[Path | None, typer.Option(help="Write all lines here: .parquet or .csv.")] = None,
    changes: Annotated[
        Path | None, typer.Option(help="With --since: write what became of each line here: .parquet or .csv.")
    ] = None,
    dispute: Annotated[
        Path | None, typer.Option(help="Write an evidence pack here: a new folder, or a name that ends in .zip.")
    ] = None,
    cause: Annotated[
        list[str] | None, typer.Option(help="With --dispute: only differences of this cause. Repeat for several.")
    ] = None,
    as_of: AsOfOption = None,
    as_json: JsonOption = False,
) -> None:
    """Audits; see `HELP`."""
    with readable_errors():
        write, write_changes = writer_of(out), writer_of(changes, "--changes")
        if changes is not None and asked.since is None:
            fail("--changes goes with --since")
        _may_be_new(dispute, cause)
        price = _price_of(asked.price)
        earlier = _earlier(asked.since)
        run, found, problems = _reconciled(logs, asked, as_of)
        since = None if earlier is None else _followed(earlier, found, problems)
        answer = Audit(found, price, since, problems)
        pack = None
        if dispute is not None:
            pack = tf.dispute(found, causes=cause, events=run.log.events, problems=problems)
            pack.write(dispute)
        write(flat(found.rows) if out is not None and out.suffix == ".csv" else found.rows)
        if since is not None:
            write_changes(since.rows)
        if as_json:
            typer.echo(json.dumps(answer.to_dict() | _of_pack(pack, dispute), indent=2))
        elif not asked.quiet:
            to = screen.console()
            _show(answer, run, show, to)
            _show_files(answer, out, pack, dispute, to)


def _may_be_new(dispute: Path | None, causes: list[str] | None) -> None:
    if dispute is not None and dispute.exists():
        fail(f"--dispute {dispute}: it is there already, choose another name")
    if dispute is not None and not dispute.parent.is_dir():
        fail(f"--dispute {dispute}: there is no folder {dispute.parent}")
    if causes and dispute is None:
        fail("--cause goes with --dispute")
    for each in causes or ():
        if each not in tables.RECONCILIATION_CAUSES:
            fail(f"--cause {each}: there is none such", f"Causes are {', '.join(tables.RECONCILIATION_CAUSES)}.")


def _earlier(path: Path | None) -> pl.DataFrame | None:
    """The lines of an earlier audit."""
    if path is None:
        return None
    try:
        return pl.read_parquet(path)
    except FileNotFoundError:
        fail(f"--since {path}: there is no such file")
    except pl.exceptions.PolarsError as error:
        fail(f"--since {path}: give what --out wrote, as .parquet: {error}")


def _followed(earlier: pl.DataFrame, found: tf.Reconciliation, problems: tf.Problems) -> tf.FollowUp:
    inputs = found.inputs
    statement = None if inputs is None or isinstance(inputs.statement, tf.ContractSnapshot) else inputs.statement
    return tf.follow_up(earlier, found, statement=statement, problems=problems)


def _price_of(text: str | None) -> Decimal | None:
    try:
        price = None if text is None else Decimal(text)
    except InvalidOperation:
        price = Decimal("NaN")
    if price is not None and not (price.is_finite() and price >= 0):
        fail(f"--price {text}: give what one token costs, such as 1.85")
    return price


def _reconciled(
    logs: list[str], asked: AuditOptions, as_of: str | None
) -> tuple[Metered, tf.Reconciliation, tf.Problems]:
    """Logs read, people and products put right, charged, and held against the statement."""
    path, problems = asked.statement, tf.Problems()
    stated = asked.kept_statement if path is None else statement_of(path, asked.zones, problems)
    if stated is None:
        fail("--statement is missing: the vendor's usage export (CSV, JSON or XLSX), to hold your logs against")
    if asked.level not in (None, *tables.RECONCILIATION_LEVELS):
        fail(f"--level {asked.level}: it has to be session, day or month")
    identity = tf.Identity() if asked.aliases is None else tf.Identity.read(asked.aliases)
    same = None if asked.variants is None else variants_of(asked.variants)
    lives = None if asked.users is None else users_of(asked.users)
    run = metered(logs, asked, as_of=instant_of(as_of), identity=identity, variants=same)
    problems.add(run.problems)
    found = held_against(
        run,
        stated,
        level=asked.level,
        tolerance=asked.tolerance,
        rule=asked.terms,
        users=lives,
        identity=identity,
        variants=same,
        problems=problems,
    )
    return run, found, problems


def held_against(
    run: Metered,
    stated: pl.DataFrame | tf.ContractSnapshot,
    *,
    level: str | None = None,
    tolerance: str = "0",
    **known: Any,  # noqa: ANN401 - each as `reconcile` takes it
) -> tf.Reconciliation:
    """The run against a statement, as fine as that is unless a level is given; `known` goes to `reconcile`."""
    return tf.reconcile(
        run.charges,
        stated,
        level=cast("Any", level or finest_level(stated)),
        tolerance=tolerance,
        rates=run.rates,
        servers=run.servers,
        sessions=run.sessions,
        coverage=run.coverage,
        **known,
    )


def states_a_contract(path: Path) -> bool:
    """Whether a file is the vendor's JSON of a contract, with its totals, and no usage export."""
    return path.is_file() and kind_of_file(path) == "json" and tf.inspect(path).verb == "read_contract"


def statement_of(
    path: Path, zones: str | dict[str, str] | None, problems: tf.Problems
) -> pl.DataFrame | tf.ContractSnapshot:
    """The vendor's usage export, or contract with its totals."""
    if states_a_contract(path):
        return tf.read_contract(path)
    return tf.read_statement(path, timezone=zones, problems=problems)


@dataclass(frozen=True)
class Audit:
    """What is shown."""

    found: tf.Reconciliation
    price: Decimal | None
    since: tf.FollowUp | None
    problems: tf.Problems

    def cost(self, tokens: Decimal) -> Decimal | None:
        """What tokens are worth, where a price was given."""
        return None if self.price is None else tokens * self.price

    def of(self, outcome: Outcome) -> pl.DataFrame:
        """The lines of the summary of an outcome."""
        return self.found.summary.filter(pl.col("outcome") == outcome)

    def to_dict(self) -> dict[str, object]:
        """The same as plain values."""
        rows = plain(self.found.summary).to_dicts()
        differences = self.found.summary["difference"]
        for row, difference in zip(rows, differences, strict=True):
            cost = self.cost(difference)
            row["cost"] = None if cost is None else str(cost)
        return {
            "level": self.found.level,
            "price": None if self.price is None else str(self.price),
            "outcomes": {outcome: self._totals(outcome) for outcome in get_args(Outcome)},
            "causes": rows,
            "since": None if self.since is None else plain(self.since.summary).to_dicts(),
            "problems": plain(problem_groups(self.problems.frame)).to_dicts(),
        }

    def _totals(self, outcome: Outcome) -> dict[str, str | int | None]:
        part = self.of(outcome)
        difference = Decimal(part["difference"].sum())
        cost = self.cost(difference)
        return {
            "lines": int(part["rows"].sum()),
            "ours": str(part["ours"].sum()),
            "vendors": str(part["vendors"].sum()),
            "difference": str(difference),
            "cost": None if cost is None else str(cost),
        }


def _of_pack(pack: tf.Dispute | None, path: Path | None) -> dict[str, object]:
    if pack is None:
        return {}
    return {"dispute": {"path": str(path), "cases": pack.cases.height, "fingerprint": pack.fingerprint}}


def flat(rows: pl.DataFrame) -> pl.DataFrame:
    """Without lists and durations, which CSV does not know."""
    return rows.with_columns(
        pl.col("causes").cast(pl.List(pl.String)).list.join(" "), shift=pl.col("shift").dt.total_minutes()
    ).rename({"shift": "shift_minutes"})


def _show(answer: Audit, run: Metered, shown: int, to: Console) -> None:
    _headline(answer, to)
    _show_causes(answer, to)
    _show_lines(answer, run, shown, to)
    _show_gaps(answer, to)
    _show_since(answer, to)
    screen.show_problems(problem_groups(answer.problems.frame), to)


def _headline(answer: Audit, to: Console) -> None:
    rows = answer.found.rows
    agreed = Decimal(answer.of("agreed")["vendors"].sum())
    comparable = Decimal(rows.filter(pl.col("status") != "not_comparable")["vendors"].sum())
    share = f"{100 * agreed / comparable:.1f} % of " if comparable else ""
    to.print()
    to.print(
        f"{share}{screen.tokens(comparable)} tokens that could be compared agree; "
        f"{screen.tokens(_moved(answer.of('explained')))} differ with a known cause, "
        f"{screen.tokens(_moved(answer.of('unexplained')))} without one",
        style="bold",
        soft_wrap=True,
    )
    first, last = (str(rows["usage_date"].min()), str(rows["usage_date"].max()))
    period = f", {first} to {last}" if rows["usage_date"].count() else ""
    stated, due = (screen.tokens(Decimal(rows[name].sum())) for name in ("vendors", "ours"))
    told = f"by {answer.found.level}{period}: the vendor states {stated} tokens, by your logs {due} are due"
    to.print(told, soft_wrap=True)
    to.print()


def _moved(part: pl.DataFrame) -> Decimal:
    """Tokens that stand differently on the two sides, whichever has more."""
    return Decimal(part["difference"].abs().sum())


def _show_causes(answer: Audit, to: Console) -> None:
    columns = [">lines", ">due", ">stated", ">difference", *([">money"] if answer.price is not None else [])]
    table = screen.new_table("what", *columns)
    for outcome in get_args(Outcome):
        part = answer.of(outcome)
        sums = part.select(pl.col("rows", *_AMOUNTS).sum()).row(0, named=True)
        table.add_row(_TITLES[outcome], *_cells(answer, sums), style="bold")
        for row in _by_cause(part).iter_rows(named=True):
            table.add_row(f"  {row['cause']}", *_cells(answer, row))
    note = "due: by your logs, rule and rates. stated: by the vendor. Each cause is told below."
    screen.print_table(to, "The lines of both sides", table, note)


def _cells(answer: Audit, row: dict[str, Any]) -> list[str]:
    cells = [f"{row['rows']:,}", *(screen.tokens(Decimal(row[name])) for name in _AMOUNTS)]
    return cells if answer.price is None else [*cells, money(answer.cost(Decimal(row["difference"])))]


_AMOUNTS: Final = ("ours", "vendors", "difference")


def _by_cause(part: pl.DataFrame) -> pl.DataFrame:
    sums = [pl.col(name).sum() for name in ("rows", *_AMOUNTS)]
    return part.drop_nulls("cause").group_by("cause").agg(sums).sort("cause")


def _show_gaps(answer: Audit, to: Console) -> None:
    """What only one side could have: no dispute."""
    rows = answer.found.rows.filter(pl.col("status") == "not_comparable")
    if rows.is_empty():
        return
    counted = rows.group_by("cause", pl.col("server").cast(pl.String)).agg(
        pl.len().alias("lines"),
        first=pl.col("usage_date").min(),
        last=pl.col("usage_date").max(),
        days=pl.col("usage_date").n_unique(),
        tokens=pl.col("difference").abs().sum(),
    )
    table = screen.new_table("cause", "server", ">days", "from", "to", ">lines", ">tokens")
    for row in counted.sort("cause", "server", nulls_last=True).iter_rows(named=True):
        ends = (str(row["first"] or "-"), str(row["last"] or "-"))
        amounts = (f"{row['lines']:,}", screen.tokens(row["tokens"]))
        table.add_row(row["cause"], row["server"] or "-", f"{row['days']:,}", *ends, *amounts)
    screen.print_table(to, "Never comparable: no dispute, but gaps to close", table)
    for cause in counted["cause"].unique().sort():
        to.print(f"{cause}: {WORDS[cause]}", style="dim")
    to.print()


def _show_since(answer: Audit, to: Console) -> None:
    """What became of the lines of an earlier audit."""
    if answer.since is None:
        return
    table = screen.new_table("change", "was settled", ">lines", ">difference then", ">difference now")
    for row in answer.since.summary.iter_rows(named=True):
        amounts = (screen.tokens(row["was_difference"]), screen.tokens(row["difference"]))
        table.add_row(row["change"], "yes" if row["was_settled"] else "", f"{row['rows']:,}", *amounts)
    corrections = answer.since.corrections
    matched = corrections.filter(pl.col("matched_by") != "unmatched").height
    note = f"{many(corrections.height, 'correction')} of the vendor since then, {matched:,} of which match a difference"
    screen.print_table(to, "Since the earlier audit", table, note)


def _show_lines(answer: Audit, run: Metered, shown: int, to: Console) -> None:
    rows = answer.found.rows.filter(pl.col("cause").is_not_null() & (pl.col("status") != "not_comparable"))
    for (cause,), part in rows.sort("cause", maintain_order=True).group_by("cause", maintain_order=True):
        to.print(Text.assemble((f"{cause} ({many(part.height, 'line')})", "bold cyan"), f": {WORDS[str(cause)]}"))
        for text in _told(part.head(shown), run):
            to.print(Padding(text, (0, 0, 0, INDENT)))
        to.print()


def _told(rows: pl.DataFrame, run: Metered) -> Iterator[str]:
    """Each line as a sentence, its time by the clock of its server."""
    for row in rows.iter_rows(named=True):
        server, at = row["server"], row["charged_at"]
        zone = run.servers.get(server, "UTC")
        when = f"{local(at, zone)[:16]} ({zone})" if at is not None else str(row["usage_date"] or "no date")
        what = f"{row['user'] or 'all users'}, {row['product'] or 'all products'}{f' on {server}' if server else ''}"
        amounts = f"{screen.tokens(row['ours'])} due, {screen.tokens(row['vendors'])} stated"
        more = "" if row["explained"] == WORDS[row["cause"]] else f"; {row['explained']}"
        yield f"{when}: {what}: {amounts}{more}"


def _show_files(answer: Audit, out: Path | None, pack: tf.Dispute | None, path: Path | None, to: Console) -> None:
    if out is not None:
        to.print(f"{many(answer.found.rows.height, 'line')} written to {out}", soft_wrap=True)
    if pack is not None:
        to.print(f"{many(pack.cases.height, 'case')} with evidence written to {path}", soft_wrap=True)
        to.print(f"anybody can check it: tokenflex rerun {shlex.quote(str(path))}", soft_wrap=True)
        to.print(f"its fingerprint is {pack.fingerprint}", soft_wrap=True)
