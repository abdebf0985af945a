"""What was measured, beside what was to be reached: the table of `benches/README.md`."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from typing import TYPE_CHECKING, Final

from tokenflex import _core

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

TOKENFLEX: Final = "tokenflex"
GREP: Final = "floor: `grep -c ' OUT: '`"
COPY: Final = "floor: copy of the columns"
ORDERED: Final = "the same, in order of time"
CATEGORIES: Final = "the same, names as categories"
PLAIN: Final = "the same, under the plain rule"
BUDGET: Final = "15 ns a session"
ONE_CHARGE: Final = "one `charge` of the same"
ITS_CHARGES: Final = "one `charge` of each rule"
ITS_TABLES: Final = "its verbs, called one after the other"
ONE_REPLAY: Final = "replay of one of the rules"
TEN_SECONDS: Final = "10 s"
REBUILD: Final = "the book of the year made anew"
CUMULATED: Final = "numpy cumulates the paths once"
READ_CSV: Final = "floor: `polars.read_csv`"
SORT: Final = "floor: polars sorts the charges by `charged_at`"
JOIN: Final = "floor: one polars join of both by user, product and second"
FLOORS: Final = (
    JOIN,
    GREP,
    READ_CSV,
    SORT,
    COPY,
    ORDERED,
    CATEGORIES,
    PLAIN,
    BUDGET,
    ONE_CHARGE,
    ITS_CHARGES,
    ITS_TABLES,
    ONE_REPLAY,
    TEN_SECONDS,
    CUMULATED,
    REBUILD,
)
"""What tokenflex is held against, and not what it should be faster than."""
NUMBA: Final = "polars sort + numba scan"
STABLE_NUMBA: Final = "polars stable sort + numba scan, for rows in order of time"
POLARS_DAYS: Final = "polars distinct days"
POLARS_SPLIT_DAYS: Final = "polars distinct days, only long sessions exploded"
POLARS_CHARGED_DAYS: Final = "the same with instants"
POLARS_WINDOWS: Final = "polars windows"
POLARS_REGEX: Final = "polars regex"
POLARS_NARROW_REGEX: Final = "polars regex, users without @"
POLARS_SUMS: Final = "polars sums of events"
POLARS_BY_GROUP: Final = "polars, one product after another"
STAIRCASE: Final = "staircase"
DUCKDB: Final = "DuckDB"
PYTHON: Final = "Python `re`"

READING: Final = "reading a log"
STATEMENT: Final = "reading a session-level export"
ROLLING: Final = "rolling rule, {} M sessions"
ROLLING_STRINGS: Final = "rolling rule, {} M sessions, plain strings"
DAY: Final = "day rule, {} M sessions"

SHUFFLED: Final = "rolling rule, 10 M sessions, shuffled"
STRINGS: Final = "rolling rule, 10 M sessions, strings beside categories"
FAMILIES: Final = "families, rolling, 10 M sessions"
FAMILIES_BY_DAY: Final = "families, days, 10 M sessions"
IDLE: Final = "idle time, rolling, 10 M sessions, 3 M activities"
REPLAY_ROLLING: Final = "replay of a rolling rule, 1 M prepared sessions"
REPLAY_DAYS: Final = "replay of a day rule, 1 M prepared sessions"
DOUBLES: Final = "double charges, 10 M charges"
LEDGER: Final = "settling with 60 packs, 10 M charges, shuffled"
LEDGER_IN_ORDER: Final = "settling with 60 packs, 10 M charges, in order of time"
RECONCILE: Final = "`reconcile`, 5 M charges, 2 % odd"
RECONCILE_AT_ODDS: Final = "`reconcile`, 1 M charges, 30 % odd"
RECONCILE_OTHER_DAYS: Final = "`reconcile`, 1 M rows, the vendor's days are others"
ZONES: Final = "27 zones of `zone_whatif`, 10 M sessions"
INFER: Final = "`infer_rule`, 200 rules, 1 M prepared sessions"
CONCURRENCY: Final = "concurrency by product, 10 M sessions"
INFER_FAMILIES: Final = "`infer_rule`, 50 rules with families, 1 M prepared sessions"
PLAN: Final = "`plan_purchase` of a term of 3 years, 1,000 scenarios, 50 quantities with 11 splits each"
PLAN_OF_PACKS: Final = "`plan_purchase` of packs over 3 years, 1,000 scenarios, on dates and by reorder points"
ESTIMATE: Final = "`estimate`, 3 rules, 10 M sessions"
ESTIMATE_FILLED: Final = "the same, with days without lines filled"
SENSITIVITY: Final = "`sensitivity` of rates, price and heads under the rolling rule, 10 M sessions"
SENSITIVITY_ZONES: Final = "the same under the day rule, with 12 servers in 27 zones"
REPORT: Final = "`report` of a year of 5,000 users, 5 M sessions"
NIGHT: Final = "one night of a year in a `Book`, one log that grows"
NIGHT_OF_FILES: Final = "one night of a year in a `Book`, a file a day of each of 3 servers"

SIZES: Final = (1, 10, 30)
ORDER: Final = (
    READING,
    STATEMENT,
    *(race.format(size) for race in (ROLLING, ROLLING_STRINGS, DAY) for size in SIZES),
    SHUFFLED,
    STRINGS,
    FAMILIES,
    FAMILIES_BY_DAY,
    IDLE,
    REPLAY_ROLLING,
    REPLAY_DAYS,
    DOUBLES,
    LEDGER,
    LEDGER_IN_ORDER,
    RECONCILE,
    RECONCILE_AT_ODDS,
    RECONCILE_OTHER_DAYS,
    ZONES,
    INFER,
    INFER_FAMILIES,
    CONCURRENCY,
    PLAN,
    PLAN_OF_PACKS,
    ESTIMATE,
    ESTIMATE_FILLED,
    SENSITIVITY,
    SENSITIVITY_ZONES,
    REPORT,
    NIGHT,
    NIGHT_OF_FILES,
)

BEGIN: Final = "<!-- table: begin -->"
END: Final = "<!-- table: end -->"
COMMAND: Final = "python -m pytest benches -m bench --write-readme"


@dataclass(frozen=True)
class Target:
    """A ratio to reach: at least so many times as fast as a peer, or at most so many times as long as a floor."""

    race: str
    runner: str
    ratio: float


TARGETS: Final = (
    Target(READING, POLARS_REGEX, 15),
    Target(READING, GREP, 2.5),
    Target(STATEMENT, READ_CSV, 2),
    Target(ROLLING.format(10), NUMBA, 12),
    Target(ROLLING.format(10), COPY, 6),
    Target(DAY.format(10), COPY, 6),
    Target(ROLLING_STRINGS.format(10), NUMBA, 4),
    Target(DAY.format(10), POLARS_DAYS, 10),
    Target(SHUFFLED, ORDERED, 4),
    Target(STRINGS, CATEGORIES, 4),
    Target(FAMILIES, PLAIN, 2.5),
    Target(FAMILIES_BY_DAY, PLAIN, 2.5),
    Target(IDLE, PLAIN, 2.5),
    Target(REPLAY_ROLLING, BUDGET, 1),
    Target(REPLAY_DAYS, BUDGET, 1),
    Target(DOUBLES, POLARS_WINDOWS, 10),
    Target(LEDGER, SORT, 3),
    Target(LEDGER_IN_ORDER, SORT, 3),
    Target(RECONCILE, JOIN, 10),
    Target(ZONES, ONE_CHARGE, 4),
    Target(INFER, TEN_SECONDS, 1),
    Target(CONCURRENCY, STAIRCASE, 10),
    Target(CONCURRENCY, POLARS_SUMS, 5),
    Target(CONCURRENCY, DUCKDB, 5),
    Target(ESTIMATE, ITS_CHARGES, 2),
    Target(ESTIMATE_FILLED, ITS_CHARGES, 2),
    Target(NIGHT, REBUILD, 0.03),
    Target(NIGHT_OF_FILES, REBUILD, 0.03),
)
SMALL: Final = 0.1
"""Below it a ratio is written with three places."""
MOST_GROWTH: Final = 3.3
"""Thirty million sessions may take this many times as long as ten."""
MOST_OF_STATEMENT: Final = 4
"""Reading an export may take this many times the file in memory."""
MOST_OF_CHARGES: Final = 2
"""Settling may take this many times the charges in memory, beyond them."""
MOST_OF_SIDES: Final = 4
"""Reconciling may take this many times all that is given in memory, beyond it."""
GROWING: Final = (ROLLING, DAY)


@dataclass
class Scoreboard:
    """Seconds by race and runner."""

    scale: float
    seconds: dict[str, dict[str, float]] = field(default_factory=dict)
    sizes: dict[str, str] = field(default_factory=dict)
    memory: tuple[int, int, int] | None = None
    """Bytes: the peak while reading, the log, the events."""
    statement_memory: tuple[int, int] | None = None
    """Bytes: the peak while reading, the export."""
    ledger_memory: list[tuple[str, int, int]] = field(default_factory=list)
    """Order of the charges, and bytes: the peak while settling, beyond the charges; the charges."""

    reconcile_memory: tuple[int, int] | None = None
    """Bytes: the peak while reconciling, beyond what was given; what was given."""

    def record(self, race: str, runner: str, seconds: float) -> None:
        self.seconds.setdefault(race, {})[runner] = seconds

    def rows(self) -> Iterator[tuple[str, str, str, str, str, str]]:
        """Race, runner, time, ratio, target, whether it was met."""
        for race, runners in sorted(self.seconds.items(), key=lambda item: ORDER.index(item[0])):
            title = f"{race} {self.sizes.get(race, '')}".strip()
            ordered = sorted(runners.items(), key=lambda item: (item[0] in FLOORS, item[0] != TOKENFLEX))
            for runner, seconds in ordered:
                yield title, runner, _time(seconds), *self._compared(race, runner)
                title = ""
        yield from self._growth()
        yield from self._memory()
        yield from self._statement_memory()
        yield from self._ledger_memory()
        yield from self._reconcile_memory()

    def _compared(self, race: str, runner: str) -> tuple[str, str, str]:
        own = self.seconds[race].get(TOKENFLEX)
        if own is None or runner == TOKENFLEX:
            return "", "", ""
        is_floor = runner in FLOORS
        ratio = own / self.seconds[race][runner] if is_floor else self.seconds[race][runner] / own
        places = 1 if ratio >= SMALL else 3
        wording = f"tokenflex takes {ratio:.{places}f}x" if is_floor else f"tokenflex is {ratio:.1f}x as fast"
        target = next((t.ratio for t in TARGETS if (t.race, t.runner) == (race, runner)), None)
        if target is None:
            return wording, "", ""
        if is_floor:
            return wording, f"at most {target:g}x", _verdict(ratio, at_most=target)
        return wording, f"at least {target:g}x", _verdict(ratio, at_least=target)

    def _growth(self) -> Iterator[tuple[str, str, str, str, str, str]]:
        for race in GROWING:
            ten, thirty = (self.seconds.get(race.format(millions), {}).get(TOKENFLEX) for millions in (10, 30))
            if ten and thirty:
                ratio = thirty / ten
                verdict = _verdict(ratio, at_most=MOST_GROWTH)
                title = race.format("10 → 30")
                yield title, TOKENFLEX, "", f"{ratio:.2f}x the time", f"at most {MOST_GROWTH:g}x", verdict

    def _memory(self) -> Iterator[tuple[str, str, str, str, str, str]]:
        if self.memory is None:
            return
        peak, log, events = self.memory
        most = log + 1.5 * events
        target = f"at most log + 1.5 x events = {most / 1e6:,.0f} MB"
        wording = f"log {log / 1e6:,.0f} MB, events {events / 1e6:,.0f} MB: log + {(peak - log) / events:.2f} x events"
        verdict = "met" if peak <= most else f"**missed** by {(peak - most) / 1e6:,.0f} MB"
        yield "reading a log, peak memory", TOKENFLEX, f"{peak / 1e6:,.0f} MB", wording, target, verdict

    def _statement_memory(self) -> Iterator[tuple[str, str, str, str, str, str]]:
        if self.statement_memory is None:
            return
        peak, export = self.statement_memory
        ratio = peak / export
        verdict = _verdict(ratio, at_most=MOST_OF_STATEMENT)
        title = f"{STATEMENT}, peak memory"
        yield (
            title,
            TOKENFLEX,
            f"{peak / 1e6:,.0f} MB",
            f"{ratio:.2f}x the file",
            f"at most {MOST_OF_STATEMENT}x",
            verdict,
        )

    def _ledger_memory(self) -> Iterator[tuple[str, str, str, str, str, str]]:
        for order, peak, charges in self.ledger_memory:
            ratio = peak / charges
            title = f"settling, {order}, peak memory beyond the charges"
            wording = f"{ratio:.2f}x the charges, {charges / 1e6:,.0f} MB"
            verdict = _verdict(ratio, at_most=MOST_OF_CHARGES)
            yield title, TOKENFLEX, f"{peak / 1e6:,.0f} MB", wording, f"at most {MOST_OF_CHARGES}x", verdict

    def _reconcile_memory(self) -> Iterator[tuple[str, str, str, str, str, str]]:
        if self.reconcile_memory is None:
            return
        peak, given = self.reconcile_memory
        ratio = peak / given
        title = "reconciling, peak memory beyond what is given"
        wording = f"{ratio:.2f}x the three tables, {given / 1e6:,.0f} MB"
        verdict = _verdict(ratio, at_most=MOST_OF_SIDES)
        yield title, TOKENFLEX, f"{peak / 1e6:,.0f} MB", wording, f"at most {MOST_OF_SIDES}x", verdict

    def markdown(self) -> list[str]:
        lines = ["| what | who | median time | ratio | target | |", "|---|---|--:|---|---|---|"]
        lines += [f"| {' | '.join(row)} |" for row in self.rows()]
        return lines

    def plain(self) -> list[str]:
        rows = [tuple(cell.replace("*", "").replace("`", "") for cell in row) for row in self.rows()]
        if not rows:
            return []
        widths = [max(len(row[place]) for row in rows) for place in range(6)]
        return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]

    def write(self, readme: Path) -> None:
        """Puts the table between the markers of the page."""
        before, rest = readme.read_text(encoding="utf-8").split(BEGIN)
        _, after = rest.split(END)
        table = "\n".join(self.markdown())
        page = f"{before}{BEGIN}\nMade by `{COMMAND}` on {_machine()}\n\n{table}\n{END}{after}"
        readme.write_text(page, encoding="utf-8")


def _verdict(ratio: float, *, at_least: float | None = None, at_most: float | None = None) -> str:
    if (at_least is None or ratio >= at_least) and (at_most is None or ratio <= at_most):
        return "met"
    return f"**missed**: {ratio:.2f}x of {at_least or at_most:g}x"


def _time(seconds: float) -> str:
    return f"{seconds * 1000:,.0f} ms" if seconds < 1 else f"{seconds:.2f} s"


def _machine() -> str:
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    peers = ", ".join(f"{name} {version(name)}" for name in ("polars", "duckdb", "numba", "numpy", "staircase"))
    return (
        f"{datetime.now(tz=UTC).date()}: {len(os.sched_getaffinity(0))} cores ({platform.machine()}), {memory:.0f} GB "
        f"of memory, {platform.system()}, Python {platform.python_version()}, tokenflex {_core.__version__}, {peers}."
    )
