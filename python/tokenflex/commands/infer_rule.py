"""`tokenflex infer-rule`: which charging rule reproduces a statement of the vendor, and how sure that is."""

from __future__ import annotations

import dataclasses
import json
import textwrap
from dataclasses import dataclass
from pathlib import Path  # noqa: TC003 - typer reads the annotations when it runs
from typing import TYPE_CHECKING, Annotated, Any, Final

import polars as pl
import typer

import tokenflex as tf
from tokenflex import screen
from tokenflex.audit.infer_rule import LEVELS
from tokenflex.commands.logs import rates_template, sessions_of_logs
from tokenflex.commands.options import (
    JsonOption,
    RatedOptions,
    UsersOption,
    counting_bar,
    fail,
    is_from_file,
    may_be_written,
    readable_errors,
    takes,
    users_of,
    writer_of,
)
from tokenflex.content import whole_file
from tokenflex.metering.rule_grid import described
from tokenflex.summary import problem_groups
from tokenflex.words import many

if TYPE_CHECKING:
    from rich.console import Console

    from tokenflex.audit.infer_rule import InferredRule

SHOWN = 5
"""Deciding units told for each side, unless asked for more."""
RULES_SHOWN: Final = 5
"""Runners-up, and rules that cannot be told apart."""
TOLD_SHOWN: Final = 8
NAMES_SHOWN: Final = 3
FIGURES: Final = ("matched", "missing", "extra", "differing", "token_error", "tokens_computed")

HELP = """Find the charging rule that reproduces a statement of the vendor, and say how sure that is.

\b
A statement that lists sessions is enough by itself:
  tokenflex infer-rule statement.csv --timezone Europe/Madrid \\
    --rates rates.csv --save-rule rule.toml
\b
A statement by day takes your logs; with users.csv the days of each user are
tried too:
  tokenflex infer-rule statement.csv --logs logs/ --timezone Europe/Madrid \\
    --rates rates.csv --users users.csv --out deciding.csv

All rules worth a try are charged over all sessions and held against the statement. The file of --save-rule goes with
--rule of the other commands; the file of --out has every unit that tells the best rule from the runner-up.
"""


@takes(RatedOptions)
def infer_rule(
    statement: Annotated[str, typer.Argument(help="A usage export of the vendor.", metavar="STATEMENT")],
    *,
    logs: Annotated[
        list[str] | None,
        typer.Option(help="Your logs; without them the statement's own sessions are used. Repeat for several."),
    ] = None,
    asked: RatedOptions,
    users: UsersOption = None,
    tolerance: Annotated[
        str, typer.Option(metavar="PART", help="By which part of the stated tokens the best rule may be off.")
    ] = "0.1",
    show: Annotated[int, typer.Option(min=0, help="How many deciding units are shown for each side.")] = SHOWN,
    out: Annotated[Path | None, typer.Option(help="Write all deciding units here: .parquet or .csv.")] = None,
    save_rule: Annotated[Path | None, typer.Option(help="Write the rule here, as .toml.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Infers the rule; see `HELP`."""
    with readable_errors():
        write = writer_of(out)
        if save_rule is not None:
            may_be_written(save_rule, "--save-rule", (".toml",))
        has_logs = bool(logs) or asked.book is not None
        if asked.server is not None and not has_logs and not is_from_file("server"):
            fail("--server goes with --logs: it names the server of logs that do not say it")
        zones, prices = asked.zones, asked.prices
        lives = _lives(users)
        problems = tf.Problems()
        stated = tf.read_statement(statement, timezone=zones, problems=problems)
        if has_logs:
            sessions = sessions_of_logs(logs or [], asked, problems)
        else:
            sessions = tf.sessions_from(stated, problems=problems)
        if sessions.is_empty():
            _no_sessions(statement, has_logs=has_logs)
        if prices is None:
            rates_template(sessions)
        tried = _tried(sessions, zones, lives, prices)
        told = tf.Problems()
        with counting_bar("trying rules", quiet=asked.quiet) as progress:
            found = tf.infer_rule(
                sessions,
                stated,
                rates=prices,
                servers=tried.servers,
                users=lives,
                rules=tried.rules,
                tolerance=tolerance,
                problems=told,
                progress=progress,
            )
        answer = Answer(found, tolerance, tried.notes, told.frame, problems.frame)
        write(found.deciding)
        if save_rule is not None and found.rule is not None:
            with whole_file(save_rule) as file:
                file.write(found.rule.to_toml().encode())
        if as_json:
            typer.echo(json.dumps(answer.to_dict(), indent=2))
        elif not asked.quiet:
            _show(answer, show, screen.console())
            _tell_files(answer, out, save_rule)
        if save_rule is not None and found.rule is None:
            fail(f"--save-rule {save_rule}: not written, since no rule fits within --tolerance {tolerance}")


def _lives(path: Path | None) -> dict[str, str] | None:
    """The zone of each user; a rule is tried with one zone for each."""
    if path is None:
        return None
    zones = users_of(path)
    try:
        return zones.zones
    except tf.ArgumentError as error:
        fail(
            f"--users {path}: {error.location!r} has a zone for a time only, and a rule is tried with one zone a user",
            "Give a file without valid_from and valid_to, and statement and logs of the time before and after apart.",
        )


def _no_sessions(statement: str, *, has_logs: bool) -> None:
    if has_logs:
        fail("no checkouts in the files of --logs or --book: are these debug logs of a FlexNet license server?")
    fail(
        f"{statement}: its rows are tokens by day without any times, and a rule charges sessions",
        "Give the logs of your license servers too: --logs logs/ --timezone ZONE",
    )


@dataclass(frozen=True)
class _Tried:
    """What the rules are tried with, and which of them are not, or not for everyone."""

    servers: dict[str, str] | None
    rules: list[tf.Rule] | None
    notes: list[str]


def _tried(
    sessions: pl.DataFrame,
    zones: str | dict[str, str] | None,
    lives: dict[str, str] | None,
    rates: tf.Rates,
) -> _Tried:
    names = _names(sessions, "server")
    people = _names(sessions, "user")
    notes = []
    if zones is None:
        notes.append("Rules of the servers' days were not tried: --timezone says where the servers stand.")
    if lives is None:
        notes.append("Rules of the users' days were not tried: --users says by which zone each user lives.")
    else:
        notes += _without_zone("user", people, lives, "--users")
    if isinstance(zones, str) and not names:
        # Nobody says which server charged, but all of them have one zone.
        grid = tf.rule_grid(servers={"": zones}, users=lives, rates=rates)
        rules = [dataclasses.replace(rule, zone=zones) if rule.needs_zones_of == "server" else rule for rule in grid]
        return _Tried(None, rules, notes)
    servers = dict.fromkeys(names, zones) if isinstance(zones, str) else zones
    if servers is not None:
        notes += _without_zone("server", names, servers, "--timezone")
    return _Tried(servers, None, notes)


def _names(sessions: pl.DataFrame, column: str) -> list[str]:
    return sessions[column].cast(pl.String).drop_nulls().unique().sort().to_list()


def _without_zone(what: str, names: list[str], zones: dict[str, str], option: str) -> list[str]:
    lacking = [name for name in names if name not in zones]
    if not lacking:
        return []
    some = ", ".join(lacking[:NAMES_SHOWN]) + (", …" if len(lacking) > NAMES_SHOWN else "")
    who = f"{len(lacking):,} of {many(len(names), what)} have no zone by {option} ({some})"
    return [f"{who}: rules of the {what}s' days charge them nothing."]


@dataclass(frozen=True)
class Answer:
    """What is shown: the answer, what was not tried, what the search met, and what the data have wrong."""

    found: InferredRule
    tolerance: str
    notes: list[str]
    told: pl.DataFrame
    problems: pl.DataFrame

    @property
    def best(self) -> dict[str, Any]:
        """The figures of the best rule, whether it fits or not."""
        return self.found.fits.row(0, named=True)

    @property
    def runners_up(self) -> pl.DataFrame:
        """Rules that do not say the same as the best, the best first; those with the same figures come once."""
        others = self.found.fits.filter(~pl.col("is_same_as_best"))
        return others.group_by(FIGURES, maintain_order=True).agg(
            pl.col("rule_id", "description").first(), alike=pl.len() - 1
        )

    @property
    def speaks(self) -> dict[str, int]:
        """How many deciding units speak for the best, for the runner-up, and for neither."""
        said = dict(
            self.found.deciding.select(pl.col("speaks_for").cast(pl.String).value_counts()).unnest("speaks_for").rows()
        )
        return {side: said.get(side, 0) for side in ("best", "runner_up", "neither")}

    def to_dict(self) -> dict[str, object]:
        """The same as plain values, tokens as exact decimal text."""
        found = self.found
        return {
            "fits": found.rule is not None,
            "rule": found.rules[1].to_dict(),
            **_texts(found.fits.head(1).drop("rank", "is_same_as_best"))[0],
            "level": found.level,
            "first": str(found.first),
            "last": str(found.last),
            "sessions_without_row": found.sessions_without_row,
            "not_told_apart": [{"rule_id": rule.rule_id, "rule": rule.to_dict()} for rule in found.equals[1:]],
            "runners_up": _texts(self.runners_up.head(RULES_SHOWN)),
            "speaks_for": self.speaks,
            "deciding": _texts(found.deciding),
            "not_tried": self.notes,
            "problems": _texts(pl.concat([self.told, self.problems])),
        }


def _texts(table: pl.DataFrame) -> list[dict[str, object]]:
    """Rows as plain values: counts and truths as they are, all else as text."""
    plain = pl.selectors.integer() | pl.selectors.boolean()
    return table.with_columns((~plain).cast(pl.String)).to_dicts()


def _show(answer: Answer, shown: int, to: Console) -> None:
    found, best = answer.found, answer.best
    to.print()
    if found.rule is not None:
        to.print(f"The rule that fits best: {best['description']}", style="bold green")
    else:
        to.print(f"No rule fits. The best: {best['description']}", style="bold red")
    counts = ", ".join(f"{best[name]:,} {name}" for name in FIGURES[:4])
    _indented(f"{_off(best)}; {counts}", to)
    _indented(f"compared {LEVELS[found.level]}, {found.first} to {found.last}, {many(found.fits.height, 'rule')}", to)
    for note in answer.notes:
        _indented(note, to, style="dim")
    to.print()
    if found.rule is None:
        _no_rule(answer, to)
    else:
        to.print("As a file for --rule:", style="bold")
        for line in found.rule.to_toml().strip("\n").split("\n"):
            to.print(f"  {line}", soft_wrap=True)
        to.print()
    _show_equals(found, to)
    _show_runners_up(answer, to)
    _show_deciding(answer, shown, to)
    _show_told(answer.told, to)
    screen.show_problems(problem_groups(answer.problems), to)


def _indented(text: str, to: Console, *, mark: str = "", style: str = "") -> None:
    """Wraps below the first word, which the console does not."""
    wrapped = textwrap.wrap(
        text,
        to.width,
        initial_indent=f"  {mark}",
        subsequent_indent="  " + " " * len(mark),
        break_long_words=False,
        break_on_hyphens=False,
    )
    for line in wrapped:
        to.print(line, style=style, soft_wrap=True)


def _off(row: dict[str, Any]) -> str:
    error, stated = row["token_error"], row["tokens_stated"]
    share = f" ({error / stated:.1%})" if stated else ""
    return f"off by {screen.tokens(error)} of {screen.tokens(stated)} tokens stated{share}"


def _no_rule(answer: Answer, to: Console) -> None:
    to.print(f"Even the best is off by more than --tolerance {answer.tolerance} of the stated tokens. What to do:")
    for advice in (
        "see below what the search met: rates of another contract, names spelled otherwise, days not in the logs",
        "see that --timezone and --users are right: without them some rules are not tried",
        "take the best all the same: a greater --tolerance, such as 0.3",
    ):
        _indented(advice, to, mark="- ")
    to.print()


def _show_equals(found: InferredRule, to: Console) -> None:
    others = found.equals[1:]
    if not others:
        to.print("Every other rule that was tried says something else.\n")
        return
    if found.runner_up is None:
        to.print("All rules that were tried say the same: these data decide nothing.", style="bold")
    to.print(f"{many(len(others), 'other rule')} cannot be told apart from it on these data:", style="bold")
    for rule in others[:RULES_SHOWN]:
        _indented(described(rule), to)
    if len(others) > RULES_SHOWN:
        to.print(f"  and {len(others) - RULES_SHOWN:,} more")
    to.print()


def _show_runners_up(answer: Answer, to: Console) -> None:
    runners_up = answer.runners_up
    if runners_up.is_empty():
        return
    table = screen.new_table("rule", *(f">{name}" for name in FIGURES[:4]), ">off by tokens")
    for row in runners_up.head(RULES_SHOWN).iter_rows(named=True):
        alike = f" (and {row['alike']:,} more with these figures)" if row["alike"] else ""
        counts = (f"{row[name]:,}" for name in FIGURES[:4])
        table.add_row(row["description"] + alike, *counts, screen.tokens(row["token_error"]))
    more = runners_up.height - RULES_SHOWN
    screen.print_table(to, "Runners-up", table, f"and {more:,} worse" if more > 0 else "")


def _show_deciding(answer: Answer, shown: int, to: Console) -> None:
    found = answer.found
    if found.deciding.is_empty():
        return
    speaks = answer.speaks
    to.print(f"What decides between it and the first runner-up: {many(found.deciding.height, 'unit')}", style="bold")
    to.print(
        f"  {speaks['best']:,} speak for the best, {speaks['runner_up']:,} for the runner-up, "
        f"{speaks['neither']:,} for neither"
    )
    to.print()
    if shown == 0:
        return
    by_user = found.level != "day"
    when = "start (UTC)" if found.level == "session" else "date"
    users = ("user",) if by_user else ()
    table = screen.new_table(when, *users, "product", ">stated", ">best", ">runner-up", "speaks for")
    some = found.deciding.filter(pl.int_range(pl.len()).over("speaks_for") < shown)
    for row in some.iter_rows(named=True):
        date = f"{row['start']:%Y-%m-%d %H:%M:%S}" if row["start"] is not None else str(row["usage_date"])
        said = (screen.tokens(row[name]) for name in ("stated", "best", "runner_up"))
        names = (row["user"],) if by_user else ()
        table.add_row(date, *names, row["product"], *said, row["speaks_for"].replace("_", "-"))
    more = found.deciding.height - some.height
    note = f"and {more:,} more: --show shows more of each side, --out writes all" if more else ""
    screen.print_table(to, "Deciding units", table, note)


def _show_told(told: pl.DataFrame, to: Console) -> None:
    """What is about the statement as a whole comes first, then single rows."""
    if told.is_empty():
        return
    to.print("What the search met:", style="bold")
    rows = told.sort(pl.col("location").is_not_null(), maintain_order=True)
    for source, code, message in rows.select("source", "code", "message").head(TOLD_SHOWN).iter_rows():
        _indented(f"{code} ({source}): {message}", to)
    if rows.height > TOLD_SHOWN:
        to.print(f"  and {rows.height - TOLD_SHOWN:,} more")
    to.print()


def _tell_files(answer: Answer, out: Path | None, save_rule: Path | None) -> None:
    to = screen.console()
    if out is not None:
        to.print(f"{many(answer.found.deciding.height, 'deciding unit')} written to {out}", soft_wrap=True)
    if save_rule is not None and answer.found.rule is not None:
        to.print(f"rule written to {save_rule}", soft_wrap=True)
