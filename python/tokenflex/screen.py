"""How the command line shows a summary: rich tables that fit the terminal, and plain text where there is none."""

from __future__ import annotations

import os
from datetime import datetime
from decimal import Decimal
from pathlib import PurePath
from typing import TYPE_CHECKING, Literal, TypeAlias

import polars as pl
from rich import box
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from tokenflex.words import many
from tokenflex.words import tokens as tokens  # noqa: PLC0414 - the commands know it by `screen.tokens`

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import date

    from tokenflex.inspection import Inspection
    from tokenflex.summary import Summary

_WIDTH_WITHOUT_TERMINAL = 100
_MONTH_WIDTH = 10
_ROWS_SHOWN = 8
_MESSAGE_SHOWN = 200
_NAMES_SHOWN = 12
_NARROWEST = 8
"""Names and words have at least as many columns."""


def console(*, stderr: bool = False) -> Console:
    """A console for plain text. Output to a file or a pipe is not squeezed into 80 columns."""
    plain = Console(stderr=stderr, highlight=False, markup=False, emoji=False)
    if not plain.is_terminal and "COLUMNS" not in os.environ:
        plain.width = _WIDTH_WITHOUT_TERMINAL
    return plain


def show(summary: Summary, to: Console, *, zones: Mapping[str, str]) -> None:
    """Prints the whole summary: what was charged, then what deserves a look, then what was read."""
    _headline(summary, to)
    _by_month(summary, to)
    _users(summary, to)
    _twice(summary, to, zones)
    _spellings(summary, to)
    _uncharged(summary, to)
    show_problems(summary.problems, to)
    if not summary.files.is_empty():
        # Sessions that were given as such come from no logs.
        _servers(summary, to, zones)
        _files(summary, to)


def show_inspection(found: Inspection, to: Console) -> None:
    """Prints what a file is, and what to do with it."""
    to.print(found.name, style="bold", soft_wrap=True)
    period = f"{_day(found.first)} to {_day(found.last)}" if found.first is not None else ""
    problems = ", ".join(f"{code} ({count:,})" for code, count in found.problems["code"].value_counts(sort=True).rows())
    facts = {
        "what": found.kind,
        "content": found.content,
        "period": period,
        "servers": _some(found.servers),
        "users": f"{found.users:,}" if found.users else "",
        "products": _some(found.products),
        "problems": problems or ("none" if found.content else ""),
        "note": "\n".join(found.notes),
    }
    table = Table(box=None, show_header=False, padding=(0, 1, 0, 2))
    table.add_column(style="cyan")
    table.add_column(overflow="fold")
    for name, value in facts.items():
        if value:
            table.add_row(name, Text(value))
    to.print(table)
    _show_next(found.next.splitlines(), to)
    to.print()


def show_together(lines: list[str], to: Console) -> None:
    """Prints what reads several of the files at once."""
    if lines:
        to.print("Files of one kind in one folder are read at once:", style="bold")
        _show_next(lines, to)
        to.print()


def show_problems(groups: pl.DataFrame, to: Console) -> None:
    """Prints what `problem_groups` gives: each code once, with its first case."""
    if groups.is_empty():
        to.print("No problems in the data.\n")
        return
    table = new_table("code", ">rows", "the first one")
    for row in groups.iter_rows(named=True):
        place = _place(row["source"], row["location"])
        message = " ".join(row["message"].split())
        table.add_row(row["code"], f"{row['rows']:,}", Text.assemble((place, "dim"), f"\n{message[:_MESSAGE_SHOWN]}"))
    print_table(to, "Problems in the data", table)


def _show_next(lines: list[str], to: Console) -> None:
    """Prints lines to run. They are not wrapped, so that they can be copied."""
    for number, line in enumerate(lines):
        to.print(
            Text("  next     " if number == 0 else " " * 11, style="cyan") + Text(line, style="bold green"),
            soft_wrap=True,
        )


def _some(names: tuple[str, ...]) -> str:
    more = len(names) - _NAMES_SHOWN
    return ", ".join(names[:_NAMES_SHOWN]) + (f" and {more:,} more" if more > 0 else "")


def _day(at: datetime | date | None) -> str:
    return "-" if at is None else f"{at:%Y-%m-%d %H:%M}" if isinstance(at, datetime) else f"{at:%Y-%m-%d}"


def new_table(*columns: str) -> Table:
    """A table whose columns are named as given; a leading `>` puts a column to the right."""
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, padding=(0, 1, 0, 0), header_style="bold cyan")
    for column in columns:
        right = column.startswith(">")
        justify: Literal["left", "right"] = "right" if right else "left"
        # Folded, since a name or path that is cut cannot be looked up.
        table.add_column(column.removeprefix(">"), justify=justify, no_wrap=right, overflow="fold")
    return table


Grid: TypeAlias = list[tuple[str, list[Text]]]
"""Rows of short cells, each with its name."""


def print_grid(to: Console, title: str, columns: list[str], rows: Grid, note: str) -> None:
    """Prints rows of cells as close as they can stand. They are never folded."""
    widths = _widths(columns, rows)
    names = max(cell_len(name) for name, _ in rows)
    to.print(title, style="bold")
    heads = [Text(column) for column in columns]
    for name, cells, style in [("", heads, "bold cyan"), *((name, cells, "") for name, cells in rows)]:
        line = Text(name.ljust(names))
        for cell, width in zip(cells, widths, strict=True):
            line.append(" " * (1 + width - cell.cell_len)).append(cell)
        to.print(line, style=style, soft_wrap=True)
    to.print(note, style="dim")
    to.print()


def grid_width(columns: list[str], rows: Grid) -> int:
    """How wide that is."""
    return max(len(name) for name, _ in rows) + sum(1 + width for width in _widths(columns, rows))


def _widths(columns: list[str], rows: Grid) -> list[int]:
    cells = zip(*([cell.cell_len for cell in cells] for _, cells in rows), strict=True)
    return [max(len(column), *lengths) for column, lengths in zip(columns, cells, strict=True)]


def print_table(to: Console, title: str, table: Table, note: str = "") -> None:
    """Prints a table under its title, with a note below."""
    _fold_numbers_that_do_not_fit(table, to)
    to.print(title, style="bold")
    to.print(table)
    if note:
        to.print(note, style="dim")
    to.print()


def _fold_numbers_that_do_not_fit(table: Table, to: Console) -> None:
    """Lets numbers go on in the next line where they do not fit side by side: one that is cut is another number."""
    needed = 0
    for column in table.columns:
        cells = [column.header, *column.cells]
        widest = max(cell_len(line) for cell in cells for line in str(cell).splitlines() or [""])
        needed += 1 + (widest if column.no_wrap else min(widest, _NARROWEST))
    if needed > to.width:
        for column in table.columns:
            column.no_wrap = False


def _headline(summary: Summary, to: Console) -> None:
    total = summary.totals.row(0, named=True)
    to.print()
    to.print(
        Text.assemble((f"{tokens(total['tokens'])} tokens", "bold green"), f" in {many(total['charges'], 'charge')}")
    )
    to.print(
        f"{many(total['sessions'], 'session')} ({total['open_sessions']:,} still open) of "
        f"{many(total['users'], 'user name')} and {many(total['products'], 'product')} on "
        f"{many(total['servers'], 'server')}"
    )
    what = "sessions" if summary.files.is_empty() else "logs"
    to.print(f"{what} from {_utc(total['first'])} to {_utc(total['last'])}; rule {summary.rule_id}")
    to.print()


def _by_month(summary: Summary, to: Console) -> None:
    months = summary.by_month["month"].unique().sort().to_list()
    shown = months[-max(1, (to.width - 32) // _MONTH_WIDTH) :]
    earlier = len(shown) < len(months)
    table = new_table(
        "product",
        *([">before"] if earlier else []),
        *(f">{month:%Y-%m}" for month in shown),
        ">total",
    )
    by_product = summary.by_month.partition_by("product", maintain_order=True)
    for rows in by_product:
        table.add_row(rows["product"][0], *_month_cells(rows, shown, earlier=earlier))
    if len(by_product) > 1:
        table.add_section()
        table.add_row("all", *_month_cells(summary.by_month, shown, earlier=earlier), style="bold")
    print_table(to, "Tokens by product and month", table)


def _month_cells(rows: pl.DataFrame, months: list[date], *, earlier: bool) -> list[str]:
    cells = [rows.filter(pl.col("month") == month) for month in months]
    if earlier:
        cells.insert(0, rows.filter(pl.col("month") < months[0]))
    cells.append(rows)
    return ["" if cell.is_empty() else tokens(_sum(cell["tokens"])) for cell in cells]


def _users(summary: Summary, to: Console) -> None:
    table = new_table("user", ">charges", ">tokens", "products, most tokens first")
    for user, products, charges, drawn in summary.users.iter_rows():
        table.add_row(user, f"{charges:,}", tokens(drawn), products)
    print_table(to, "Who drew most", table)


def _twice(summary: Summary, to: Console, zones: Mapping[str, str]) -> None:
    twice = summary.twice
    if twice.is_empty():
        to.print("No one was charged twice for one product within 12 hours.\n")
        return
    table = new_table("server", ">second charges", ">tokens", ">at 00:00", "an example")
    for rows in twice.partition_by("server", maintain_order=True):
        midnight = rows.filter(pl.col("trigger").cast(pl.String) == "renewal")
        example = (rows if midnight.is_empty() else midnight).row(0, named=True)
        times = f"{_utc(example['first_at'])} and {example['charged_at']:%H:%M}Z"
        table.add_row(
            Text(f"{example['server']}\n").append(zones.get(example["server"], ""), style="dim"),
            f"{rows.height:,}",
            tokens(_sum(rows["tokens"])),
            f"{midnight.height:,}",
            f"{example['user']}, {example['product']}\n{times}",
        )
    note = "A first sight of double charges. `at 00:00`: the server's midnight came in the midst of use."
    spent, total = _sum(twice["tokens"]), summary.totals["tokens"][0]
    if spent and total:
        note = f"Together {tokens(spent)} tokens, {spent / total:.1%} of all. {note}"
    print_table(to, "Charged twice for one product within 12 hours", table, note)


def _spellings(summary: Summary, to: Console) -> None:
    if summary.spellings.is_empty():
        return
    table = new_table("names", ">charges", ">extra charges", ">extra tokens")
    for names, charges, extra, spent in summary.spellings.head(_ROWS_SHOWN).iter_rows():
        table.add_row(names, f"{charges:,}", f"{extra:,}", tokens(spent))
    _more(table, summary.spellings)
    note = "`extra`: for a product that the other spelling had paid for on the same date."
    print_table(to, "One person, two spellings?", table, note)


def _uncharged(summary: Summary, to: Console) -> None:
    table = new_table("reason", ">rows", "of", "what it means")
    for reason, rows, of, detail in summary.uncharged.iter_rows():
        table.add_row(reason, f"{rows:,}", of, detail, style="" if rows else "dim")
    print_table(to, "Not charged, and why", table)


def _servers(summary: Summary, to: Console, zones: Mapping[str, str]) -> None:
    table = new_table("server", "zone", "first line", "last line", ">days", ">no lines", "reports")
    reports = {True: "yes", False: "no", None: "not said"}
    for row in summary.servers.iter_rows(named=True):
        table.add_row(
            row["server"],
            zones.get(row["server"], ""),
            _utc(row["first"])[:10],
            _utc(row["last"])[:10],
            f"{row['days']:,}",
            f"{len(row['days_without_lines']):,}",
            reports[row["reporting"]] + ("" if row["checkins_logged"] else "; logs no check-ins"),
        )
    note = "`reports`: to the vendor. Use on a day without lines is not in the logs, so it is not charged here."
    print_table(to, "Servers", table, note)


def _files(summary: Summary, to: Console) -> None:
    table = new_table("server", "file", ">lines", ">glued", ">events", ">other", ">problems", ">repeated")
    counts = ("lines", "glued", "event_lines", "other_lines", "problem_lines", "repeated_lines")
    files = summary.files if summary.files.height <= 2 * _ROWS_SHOWN else summary.files.head(_ROWS_SHOWN)
    for row in files.iter_rows(named=True):
        table.add_row(row["server"] or "", PurePath(row["file"]).name, *(f"{row[count]:,}" for count in counts))
    if files.height < summary.files.height:
        table.add_row("", f"and {summary.files.height - files.height:,} more")
    if summary.files.height > 1:
        table.add_section()
        table.add_row("all", "", *(f"{summary.files[count].sum():,}" for count in counts), style="bold")
    print_table(to, "Files read", table, "lines + glued = events + other + problems + repeated")


def _more(table: Table, rows: pl.DataFrame) -> None:
    if rows.height > _ROWS_SHOWN:
        table.add_row(f"and {rows.height - _ROWS_SHOWN:,} more")


def _place(source: str, location: int | None) -> str:
    return source if location is None else f"{source}:{location}"


def _sum(values: pl.Series) -> Decimal | None:
    """The exact sum, null where nothing is known."""
    known = [value for value in values.to_list() if value is not None]
    return sum(known, Decimal(0)) if known else None


def _utc(at: datetime | None) -> str:
    return "-" if at is None else f"{at:%Y-%m-%d %H:%M}Z"
