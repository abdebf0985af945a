"""`tokenflex ledger`: what became of a contract's tokens, by pool, by month and line by line."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path  # noqa: TC003 - typer reads the annotations when it runs
from typing import TYPE_CHECKING, Annotated, Any, Final

import polars as pl
import typer
from rich.measure import Measurement

import tokenflex as tf
from tokenflex import screen
from tokenflex.commands.contracts import ContractOptions, SourceArgument, local, settled, show_balances
from tokenflex.commands.ledger_lines import BOOKED, described, followed
from tokenflex.commands.options import JsonOption, fail, instant_of, readable_errors, takes, writer_of
from tokenflex.summary import plain, problem_groups

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from tokenflex.commands.contracts import Settled

SHOWN: Final = 30
"""Lines told unless asked for more."""
_ANY_WIDTH: Final = 10_000
_USED: Final = ("charge", "manual_consumption")

HELP = """Draw charges from a contract's pools, and show every change of the balance.

\b
From logs:
  tokenflex ledger logs/ --timezone Europe/Madrid --rates rates.csv \\
    --contract contract.toml
\b
From charges that `tokenflex charge --out charges.csv` wrote, all entries into
a file:
  tokenflex ledger charges.csv --contract contract.toml --out ledger.csv

\b
Close March once it has been charged back; late data then become corrections
behind it, told as such:
  tokenflex ledger charges.csv --contract contract.toml --keep ledger/ \\
    --close 2026-03

The file of --out has every entry, with user, product and server of its charge.
"""


@takes(ContractOptions)
def ledger(
    source: SourceArgument,
    *,
    asked: ContractOptions,
    show: Annotated[
        int, typer.Option(min=0, help="How many lines are told by themselves; the others are added up.")
    ] = SHOWN,
    out: Annotated[Path | None, typer.Option(help="Write all entries here: .parquet or .csv.")] = None,
    as_of: Annotated[
        str | None,
        typer.Option(
            metavar="TIME", help="The ledger ends then (2026-09-30T22:00Z). Default: the last charge or booking."
        ),
    ] = None,
    keep: Annotated[
        Path | None, typer.Option(help="A folder for the ledger: what was closed in it stays as it was.")
    ] = None,
    close: Annotated[
        str | None, typer.Option(metavar="DAY", help="Close it until the end of a day (2026-03-31) or month (2026-03).")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Shows the ledger; see `HELP`."""
    with readable_errors():
        write = writer_of(out)
        until = None if close is None else _last_day(close)
        if until is not None and keep is None and not asked.is_of_book:
            fail("--close goes with --keep FOLDER: where is the ledger that stays closed?")
        if until is not None and keep is None and asked.book is not None:
            tf.Book(asked.book).close(until)
        run = settled(source, asked, as_of=instant_of(as_of), after=None if keep is None else _kept(keep))
        if until is not None and keep is not None:
            run = replace(run, ledger=_closed(run.ledger, until))
        if keep is not None:
            run.ledger.write(keep)
        if out is not None:
            write(described(run.ledger, run.ledger.entries))
        if as_json:
            typer.echo(json.dumps(_plain(run, show), indent=2))
        elif not asked.quiet:
            to = screen.console()
            show_ledger(run.ledger, to, show=show)
            screen.show_problems(problem_groups(run.problems), to)
            if out is not None:
                to.print(f"{len(run.ledger):,} entries written to {out}", soft_wrap=True)


def _last_day(text: str) -> date:
    """The day, or the last one of the month."""
    try:
        if len(text) == len("2026-03"):
            first = date.fromisoformat(f"{text}-01")
            return (first + timedelta(days=31)).replace(day=1) - timedelta(days=1)
        return date.fromisoformat(text)
    except ValueError:
        fail(f"--close {text}: write a day as 2026-03-31 or a month as 2026-03")


def _kept(folder: Path) -> tf.Ledger | None:
    try:
        return tf.read_ledger(folder)
    except tf.SourceNotFoundError:
        return None


def _closed(ledger: tf.Ledger, until: date) -> tf.Ledger:
    try:
        return ledger.close(until)
    except tf.ArgumentError as error:
        fail(f"--close {until}: {error}", "A ledger ends with its last charge or booking; --as-of ends it later.")


def by_month(ledger: tf.Ledger) -> pl.DataFrame:
    """What happened in each month of the contract's zone that has entries: a row for each.

    Columns are `month`, `charges`, `provided`, `booked`, `carried`, `used` (of all pools), `used of …` for each pool
    that was used, `expired`, `left` (in all pools, at the end of the month), `overage`, `refused` (launches).
    `provided + booked + carried - used - expired` is what `left` changed by. A correction of what was closed counts as
    what it corrects, in the month in which it is booked.
    """
    local_day = pl.col("at").dt.convert_time_zone(ledger.contract.zone).dt.date()
    entries = ledger.entries.select(
        "charge",
        "tokens",
        pl.coalesce("corrects", "kind").cast(pl.String).alias("kind"),
        pl.col("pool").cast(pl.String),
        month=local_day.dt.month_start(),
    )
    kind, tokens, pool = pl.col("kind"), pl.col("tokens"), pl.col("pool")
    is_used = kind.is_in(_USED)
    drawn = entries.filter(is_used)["pool"].unique().to_list()
    used = {f"used of {each.id}": each.id for each in ledger.contract.pools if each.id in drawn}
    months = entries.group_by("month").agg(
        charges=pl.col("charge").filter(kind != "refusal").drop_nulls().n_unique(),
        provided=tokens.filter(kind == "provision").sum(),
        booked=tokens.filter(kind.is_in(BOOKED)).sum(),
        carried=tokens.filter(kind == "carry_over").sum(),
        used=-tokens.filter(is_used).sum(),
        **{name: -tokens.filter(is_used, pool == each).sum() for name, each in used.items()},
        expired=-tokens.filter(kind == "expiry").sum(),
        left=tokens.filter(pool.is_not_null()).sum(),
        overage=-tokens.filter(kind == "overage").sum(),
        refused=(kind == "refusal").sum(),
    )
    return months.sort("month").with_columns(pl.col("left").cum_sum())


def _plain(run: Settled, show: int) -> dict[str, Any]:
    ledger = run.ledger
    lines = followed(ledger, show).lines
    for line in lines:
        line["at"] = line["at"].isoformat()
        line |= {name: None if line[name] is None else str(line[name]) for name in ("tokens", "before", "after")}
    return {
        "contract": ledger.contract.number,
        "zone": ledger.contract.zone,
        "as_of": ledger.as_of.isoformat(),
        "entries": len(ledger),
        "balances": plain(ledger.balances()).to_dicts(),
        "closed": None if ledger.closed is None else ledger.closed.isoformat(),
        "corrections": plain(
            ledger.corrections.with_columns(pl.col("charged_at", "at").dt.to_string("iso"))
        ).to_dicts(),
        "by_month": plain(by_month(ledger)).to_dicts(),
        "lines": lines,
        "problems": plain(problem_groups(run.problems)).to_dicts(),
    }


def show_ledger(ledger: tf.Ledger, to: Console, *, show: int = SHOWN) -> None:
    """Prints a ledger: the answer, the balances, the months, and as many lines as are to be told."""
    contract = ledger.contract
    months = by_month(ledger)
    total = ledger.balances().row(-1, named=True)
    left, provided = screen.tokens(total["balance"]), screen.tokens(total["provisioned"])
    to.print()
    to.print(f"{left} tokens left of {provided} provided", style="bold")
    overage = Decimal(months["overage"].sum())
    owed = f"; {screen.tokens(overage)} that no pool could give are owed" if overage else ""
    closed = "" if ledger.closed is None else f"; closed until {ledger.closed}"
    to.print(f"contract {contract.number} on {local(ledger.as_of, contract.zone)} ({contract.zone}){owed}{closed}")
    to.print()
    show_balances(ledger, to)
    if months.is_empty():
        to.print(f"Nothing has happened yet: the contract begins on {contract.start}.\n")
        return
    _show_months(months, to)
    _show_corrections(ledger.corrections, contract.zone, show, to)
    if show > 0:
        _show_lines(ledger, show, to)


def _show_months(months: pl.DataFrame, to: Console) -> None:
    by_pool = [name for name in months.columns if name.startswith("used of ")]
    table, used = _months_table(months, by_pool), "what each pool gave"
    if Measurement.get(to, to.options.update(width=_ANY_WIDTH), table).maximum > to.width:
        table, used = _months_table(months, ["used"]), "used"
    given = "provided" + "".join(f" + {name}" for name in ("booked", "carried") if (months[name] != 0).any())
    screen.print_table(to, "By month", table, f"{given} - {used} - expired = left, added up from month to month")


def _months_table(months: pl.DataFrame, used: list[str]) -> Table:
    wanted = ["provided", "booked", "carried", *used, "expired", "left", "overage", "refused"]
    names = [name for name in wanted if name in ("provided", "expired", "left") or (months[name] != 0).any()]
    headings = [name.removeprefix("used of ") for name in names]
    table = screen.new_table(">month", ">charges", *(f">{heading}" for heading in headings))
    for row in months.iter_rows(named=True):
        cells = (_cell(name, row[name]) for name in names)
        table.add_row(f"{row['month']:%Y-%m}", f"{row['charges']:,}" if row["charges"] else "", *cells)
    table.add_section()
    sums = (_cell(name, months[name][-1] if name == "left" else months[name].sum()) for name in names)
    table.add_row("all", f"{months['charges'].sum():,}", *sums, style="bold")
    return table


def _cell(name: str, value: Any) -> str:  # noqa: ANN401 - tokens, or a count of launches
    if name == "refused":
        return f"{value:,}" if value else ""
    return screen.tokens(value) if value or name == "left" else ""


def _show_corrections(corrections: pl.DataFrame, zone: str, show: int, to: Console) -> None:
    """What late data changed in the closed time."""
    if corrections.is_empty():
        return
    table = screen.new_table(">line", "booked", "what", "pool", "of", ">tokens")
    for row in corrections.head(show).iter_rows(named=True):
        of = f"{row['user'] or 'someone'}, {row['product'] or 'a product'}, {local(row['charged_at'], zone)}"
        table.add_row(
            f"{row['entry']:,}",
            local(row["at"], zone)[:10],
            f"{row['reason']}: {row['corrects']}".replace("_", " "),
            row["pool"] or "(owed)",
            of if row["charged_at"] is not None else "",
            f"{'+' if row['tokens'] > 0 else ''}{screen.tokens(row['tokens'])}",
        )
    total = screen.tokens(Decimal(corrections["tokens"].sum()))
    more = corrections.height - show
    note = f"They come to {total} tokens." + (
        f" {more:,} more are not shown: see --show and --out." if more > 0 else ""
    )
    screen.print_table(to, f"Corrections of what was closed ({corrections.height:,})", table, note)


def _show_lines(ledger: tf.Ledger, show: int, to: Console) -> None:
    zone = ledger.contract.zone
    lines, more = followed(ledger, show)
    table = screen.new_table(">line", "when", "pool", "what happened", ">tokens", ">before", ">after")
    for line in lines:
        is_one = line["entry"] is not None
        table.add_row(
            f"{line['entry']:,}" if is_one else "…",
            local(line["at"], zone) if is_one else "",
            line["account"],
            line["what"],
            f"{'+' if line['tokens'] > 0 else ''}{screen.tokens(line['tokens'])}",
            _balance(line["before"]),
            _balance(line["after"]),
            style="" if is_one else "dim",
        )
    note = "Lines marked … add up what lies between, so each `before` is the `after` above it of the same pool."
    if more > 0:
        note += f" There {'is' if more == 1 else 'are'} {more:,} more where something happens: see --show and --out."
    title = f"Line by line: the first ones, and where something happens, of {len(ledger):,} (times of {zone})"
    screen.print_table(to, title, table, note)


def _balance(value: Decimal | None) -> str:
    return "" if value is None else screen.tokens(value)
