"""The verb `infer_rule`: which charging rule reproduces a statement of the vendor."""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, Final

import polars as pl

from tokenflex import _core, tables
from tokenflex.arrow import AnyTable, frame_of, refuses_clearly
from tokenflex.audit.stated import (
    Comparable,
    Level,
    Stated,
    comparable,
    constant_factor,
    scaled,
    sessions_of,
    stated_of,
    told_of,
)
from tokenflex.errors import ArgumentError, ArgumentTypeError
from tokenflex.metering.at_once import Prepared
from tokenflex.metering.charge import charge, prepare
from tokenflex.metering.rates import Rates
from tokenflex.metering.rule_grid import checked_rules, described, plainness, rule_grid
from tokenflex.metering.terms import terms_of
from tokenflex.notebook import Shown
from tokenflex.problems import Problems, report
from tokenflex.progress import Progress, watched
from tokenflex.usage.vendor import sessions_from
from tokenflex.words import many

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import date

    from tokenflex.metering.rule import Rule
    from tokenflex.reading.user_zones import Users

LEVELS: Final[dict[Level, str]] = {
    "session": "session by session",
    "user_day": "by user, product and date",
    "day": "by product and date",
}
"""What is compared, in words."""


@dataclass(frozen=True, eq=False, repr=False)
class InferredRule(Shown):
    """What `infer_rule` found.

    Attributes:
        rule: The rule that fits best, the plainest of equals; `None` where even the best misses by more than the
            tolerance.
        fits: How well each rule fits, the best first, see `tables.RULE_FITS`.
        rules: The rules by `rank`.
        deciding: Where the best rule and the runner-up say different things, what speaks for the best first, see
            `tables.RULE_DECIDING`. Empty where all rules say the same.
        level: What was compared: `"session"`, `"user_day"` (user, product and date) or `"day"` (product and date).
        first: The first date that was compared: as stated, for sessions the UTC date of their start.
        last: The last one.
        sessions_without_row: How many sessions of these days the statement does not know; 0 for statements by day.
    """

    rule: Rule | None
    fits: pl.DataFrame
    rules: Mapping[int, Rule] = field(repr=False)
    deciding: pl.DataFrame
    level: Level
    first: date
    last: date
    sessions_without_row: int

    @property
    def equals(self) -> list[Rule]:
        """The best rule, and the others that say the same in every unit: these data cannot tell them apart."""
        return [self.rules[rank] for rank in self.fits.filter("is_same_as_best")["rank"]]

    @property
    def runner_up(self) -> Rule | None:
        """The best rule that says something else than the best."""
        rank = _runner_up(self.fits)
        return None if rank is None else self.rules[rank]

    def _tables_shown(self) -> dict[str, pl.DataFrame]:
        return {"fits": self.fits, "deciding": self.deciding}

    def __repr__(self) -> str:
        best = self.fits.row(0, named=True)
        lines = [
            f"<InferredRule {best['description']}"
            if self.rule is not None
            else f"<InferredRule none fits; the best: {best['description']}",
            f"  compared {LEVELS[self.level]}, {self.first} to {self.last}, {many(self.fits.height, 'rule')}",
            f"  {_fit_in_words(best)}",
        ]
        if len(self.equals) > 1:
            lines.append(f"  {many(len(self.equals) - 1, 'other rule')} cannot be told apart from it on these data")
        rank = _runner_up(self.fits)
        if rank is not None:
            row = self.fits.row(rank - 1, named=True)
            lines += [f"  runner-up: {row['description']}", f"    {_fit_in_words(row)}", f"  {self._decided()}"]
        return "\n".join(lines) + ">"

    def _decided(self) -> str:
        said = dict(self.deciding.group_by("speaks_for").len().iter_rows())
        best, other = said.get("best", 0), said.get("runner_up", 0)
        verb = "decides" if self.deciding.height == 1 else "decide"
        units = many(self.deciding.height, "unit")
        return f"between the two {units} {verb}: {best:,} for the first, {other:,} for the runner-up"


def _fit_in_words(row: dict[str, object]) -> str:
    counts = ", ".join(f"{row[name]:,} {name}" for name in ("matched", "missing", "extra", "differing"))
    return f"{counts}; off by {row['token_error']:,} of {row['tokens_stated']:,} tokens"


@refuses_clearly
def infer_rule(
    sessions: AnyTable | Prepared | None,
    statement: AnyTable,
    *,
    rates: Rates,
    servers: Mapping[str, str] | None = None,
    users: Users | None = None,
    rules: Iterable[Rule] | None = None,
    tolerance: Decimal | str | int = Decimal("0.1"),
    problems: Problems | None = None,
    progress: Progress = None,
) -> InferredRule:
    """Searches for the charging rule that reproduces a statement of the vendor.

    Every rule is run over all sessions, and its charges are held against the statement at the finest level that the
    statement has: session by session; by user, product and date; or by product and date. Nothing is sampled. Dates are
    those that the charges of each rule are booked on (`usage_date`): local days of the rule, for rolling windows UTC.

    Args:
        sessions: As for `charge`; `None` for the sessions that the statement itself tells of.
        statement: A table of `tables.STATEMENT`, such as `read_statement` gives. Any Arrow table will do that has
            `tokens`, one of `product`, `feature` and `product_name`, and `usage_date` or `start` with `user`. Users
            and products have to be spelled as in the sessions. Rows of cloud use and manual rows are not compared, nor
            are sessions of a server that a statement by session never names.
        rates: As for `charge`, for all rules.
        servers: As for `charge`; rules of the servers' days are tried only with them.
        users: As for `charge`; rules of the users' days are tried only with them.
        rules: The rules to try; `rule_grid` for these servers, users and rates unless given.
        tolerance: By which part of the stated tokens the best rule may be off and still be the answer.
        problems: Collects what was not compared, and what looks wrong with names, days and rates; without it, a
            `TokenflexWarning` tells of it.
        progress: `True` shows a bar on the terminal; a function is called with the rules done and the rules in all.

    Returns:
        An `InferredRule`. Rules that charge the same on these data are said to be equal, the plainest of them first.

    Raises:
        ArgumentError: Statement and sessions have no day in common, or nothing can be compared; no rules; a tolerance
            outside of 0 to 1.
        ArgumentTypeError: Rates or rules are of a wrong type.
        ZoneError, MissingColumnError, ColumnTypeError: As for `charge`.

    Example:
        >>> import tokenflex as tf, polars as pl
        >>> statement = tf.read_statement(
        ...     b'''usageDate,productLineCode,userName,sessionStartDate,sessionEndDate,tokensConsumed
        ... 2018-03-01,ACD,ana,2018-03-01T16:00:00,2018-03-01T17:00:00,7
        ... 2018-03-02,ACD,ana,2018-03-02T09:00:00,2018-03-02T10:00:00,0
        ... ''', timezone="America/Los_Angeles")
        >>> rules = [tf.Rule(window="day", zone="America/Los_Angeles"), tf.Rule(window="rolling")]
        >>> found = tf.infer_rule(None, statement, rates=tf.Rates({"ACD": 7}), rules=rules)
        >>> found.rule.window, found.fits["token_error"].to_list()
        ('rolling', [Decimal('0.0000'), Decimal('7.0000')])
        >>> found.deciding.select("usage_date", "stated", "best", "runner_up").rows()
        [(datetime.date(2018, 3, 2), Decimal('0.0000'), Decimal('0.0000'), Decimal('7.0000'))]
    """
    if not isinstance(rates, Rates):
        raise ArgumentTypeError(f"rates have to be a tokenflex.Rates, not {type(rates).__name__}", location="rates")
    limit = _tolerance(tolerance)
    met = Problems()
    if sessions is None:
        sessions = sessions_from(statement, problems=Problems())
    compared = comparable(statement)
    sessions, rows = _of_stated_servers(sessions, compared, met)
    frame = sessions_of(sessions.table if isinstance(sessions, Prepared) else sessions)
    stated, found = stated_of(compared, frame)
    met.add(found)
    grid = _grid(frame, servers, users, rates) if rules is None else checked_rules(rules)
    prepared = sessions if isinstance(sessions, Prepared) else prepare(sessions)
    terms = [terms_of(rule, rates, servers=servers, users=users, with_activity=False) for rule in grid]
    with watched(progress, "trying rules", len(grid), counts_bytes=False) as told:
        fits = _core.fit_rules(prepared.inner, terms, stated.terms, stated.compiled, progress=told)
    ranked, by_rank = _ranked(grid, fits, stated)
    runner_up = _runner_up(ranked)
    run = _Run(prepared, frame, stated, rates, servers, users)
    best = run.units_of(by_rank[1], met)
    deciding = tables.empty(tables.RULE_DECIDING)
    if runner_up is not None:
        deciding = run.deciding(best, run.units_of(by_rank[runner_up], Problems()))
    if rows is not None:
        deciding = deciding.with_columns(rows.gather(deciding["session"]).alias("session"))
    met.add(_doubts_of_rates(run, best))
    report(met.frame, problems, "infer_rule")
    is_near = ranked["token_error"][0] <= ranked["tokens_stated"][0] * limit
    return InferredRule(
        rule=by_rank[1] if is_near else None,
        fits=ranked,
        rules=by_rank,
        deciding=deciding,
        level=stated.level,
        first=stated.first,
        last=stated.last,
        sessions_without_row=stated.without_row,
    )


def _of_stated_servers(
    sessions: AnyTable | Prepared, compared: Comparable, met: Problems
) -> tuple[AnyTable | Prepared, pl.Series | None]:
    """The sessions that the vendor can know of, with their rows; a server that does not report is in no row of it."""
    table = frame_of(sessions.table if isinstance(sessions, Prepared) else sessions)
    servers = compared.unknown_servers(table)
    if not servers:
        return sessions, None
    is_unknown = pl.col("server").cast(pl.String).is_in(servers)
    known = table.with_row_index("row").filter(~is_unknown.fill_null(value=False))
    told = f"{many(table.height - known.height, 'session')} of {', '.join(servers)}: the statement names no such server"
    if isinstance(sessions, Prepared):
        met.add(
            told_of("sessions", [("server_not_stated", f"{told}; their charges count as extra: prepare the others")])
        )
        return sessions, None
    met.add(told_of("sessions", [("server_not_stated", f"{told}: left out. Does it report to the vendor?")]))
    return known.drop("row"), known["row"].cast(pl.UInt64)


def _tolerance(given: object) -> Decimal:
    if isinstance(given, bool | float) or not isinstance(given, Decimal | str | int):
        raise ArgumentTypeError(
            f"tolerance has to be a Decimal, or text such as '0.1', not {given!r}", location="tolerance"
        )
    try:
        limit = Decimal(given)
    except ArithmeticError as error:
        raise ArgumentError(f"tolerance is {given!r}, which is no number", location="tolerance") from error
    if not limit.is_finite() or not 0 <= limit <= 1:
        raise ArgumentError(f"tolerance is {given}, but has to lie in 0 to 1", location="tolerance")
    return limit


def _grid(sessions: pl.DataFrame, servers: Mapping[str, str] | None, users: Users | None, rates: Rates) -> list[Rule]:
    """The grid for these sessions: with one server it makes no difference who charges."""
    has_several = "server" in sessions.columns and sessions["server"].drop_nulls().n_unique() > 1
    return rule_grid(
        servers=servers, users=users, rates=rates, scopes=("contract", "server") if has_several else ("contract",)
    )


def _ranked(rules: list[Rule], fits: list[_core.Fit], stated: Stated) -> tuple[pl.DataFrame, dict[int, Rule]]:
    def key(place: int) -> tuple[int, int, int, int]:
        _, missing, extra, differing, error, *_ = fits[place]
        return error, missing + extra + differing, plainness(rules[place]), place

    order = sorted(range(len(rules)), key=key)
    best = fits[order[0]][-1]
    total = tables.decimal(stated.tokens)
    rows = []
    for rank, place in enumerate(order, 1):
        matched, missing, extra, differing, error, tokens, print_ = fits[place]
        counts = (matched, missing, extra, differing)
        amounts = (tables.decimal(error), total, tables.decimal(tokens))
        rows.append((rank, rules[place].rule_id, described(rules[place]), *counts, *amounts, print_ == best))
    table = pl.DataFrame(rows, schema=dict(tables.RULE_FITS), orient="row")
    return table, {rank: rules[place] for rank, place in enumerate(order, 1)}


def _runner_up(fits: pl.DataFrame) -> int | None:
    ranks: list[int] = fits.filter(~pl.col("is_same_as_best"))["rank"].to_list()
    return ranks[0] if ranks else None


@dataclass(frozen=True)
class _Run:
    """What is needed to look at single rules unit by unit."""

    prepared: Prepared
    sessions: pl.DataFrame
    stated: Stated
    rates: Rates
    servers: Mapping[str, str] | None
    users: Users | None

    @property
    def keys(self) -> list[str]:
        """What tells units apart."""
        return {
            "session": ["session"],
            "user_day": ["user", "product", "usage_date"],
            "day": ["product", "usage_date"],
        }[self.stated.level]

    def units_of(self, rule: Rule, problems: Problems) -> pl.DataFrame:
        """The tokens of each unit by a rule."""
        charges = charge(
            self.prepared, rule=rule, rates=self.rates, servers=self.servers, users=self.users, problems=problems
        )
        units = charges.with_columns(pl.col("user", "product").cast(pl.String)).group_by(self.keys)
        sums = units.agg(pl.col("tokens").sum().cast(tables.TOKENS)).filter(pl.col("tokens") != 0)
        if self.stated.level == "session":
            compared = self.stated.units.with_row_index("session").filter("is_compared").select("session")
            return sums.join(compared.cast({"session": pl.UInt64}), on="session", how="semi")
        return sums.filter(pl.col("usage_date").is_between(self.stated.first, self.stated.last))

    def units_stated(self) -> pl.DataFrame:
        """The tokens of each unit by the statement."""
        if self.stated.level == "session":
            rows = self.stated.units.with_row_index("session").filter("is_compared")
            return rows.select(pl.col("session").cast(pl.UInt64), "tokens")
        return self.stated.units.select(*self.keys, "tokens")

    def deciding(self, best: pl.DataFrame, runner_up: pl.DataFrame) -> pl.DataFrame:
        """The units in which two rules say different things."""
        said = best.rename({"tokens": "best"}).join(
            runner_up.rename({"tokens": "runner_up"}), on=self.keys, how="full", coalesce=True
        )
        nothing = pl.lit(0).cast(tables.TOKENS)
        said = said.with_columns(pl.col("best", "runner_up").fill_null(nothing))
        said = said.filter(pl.col("best") != pl.col("runner_up"))
        said = said.join(self.units_stated().rename({"tokens": "stated"}), on=self.keys, how="left")
        if self.stated.level == "session":
            of = self.sessions.with_row_index("session").select(
                pl.col("session").cast(pl.UInt64),
                pl.col("user", "product").cast(pl.String),
                "start",
                usage_date=pl.col("start").dt.date(),
            )
            said = said.join(of, on="session", how="left")
        stated = pl.col("stated").fill_null(nothing)
        to_best, to_other = stated == pl.col("best"), stated == pl.col("runner_up")
        speaks = pl.when(to_best).then(pl.lit("best")).when(to_other).then(pl.lit("runner_up"))
        speaks_for = speaks.otherwise(pl.lit("neither")).cast(tables.RULE_DECIDING["speaks_for"])
        whole = said.with_columns(stated=stated, speaks_for=speaks_for)
        lacking = [pl.lit(None, dtype).alias(name) for name, dtype in tables.RULE_DECIDING.items() if name not in whole]
        whole = whole.with_columns(lacking).sort("speaks_for", "usage_date", *self.keys)
        return whole.select(pl.col(name).cast(dtype) for name, dtype in tables.RULE_DECIDING.items())


def _doubts_of_rates(run: _Run, best: pl.DataFrame) -> pl.DataFrame:
    """Rates that cannot be those of the statement: of another currency, or of another contract."""
    found = []
    both = best.rename({"tokens": "computed"}).join(run.units_stated(), on=run.keys)
    if factor := constant_factor(both):
        value, count = factor
        message = f"{many(count, 'unit')} of {both.height:,} have {value:g} times the tokens of the rates"
        found.append(("constant_factor", f"{message}: are these rates of another currency or contract?"))
    if run.stated.level != "day":
        found += [
            ("rate_not_stated", f"{product}: none of its {many(count, 'unit')} with tokens is a multiple of its rate")
            for product, count in _never_stated(run)
        ]
    return told_of("rates", found)


def _never_stated(run: _Run) -> list[tuple[str, int]]:
    """Products whose stated tokens are never a multiple of a rate. Of families a difference may be paid."""
    units = run.units_stated()
    if run.stated.level == "session":
        products = run.sessions.with_row_index("session").select(
            pl.col("session").cast(pl.UInt64), pl.col("product").cast(pl.String)
        )
        units = units.join(products, on="session")
    families = {product for product, _ in run.rates.families()}
    rates = run.rates.frame.select("product", rate="tokens").cast({"product": pl.String})
    rates = rates.filter((pl.col("rate") > 0) & ~pl.col("product").is_in(list(families)))
    stated = units.filter(pl.col("tokens") > 0).select("product", "tokens").with_row_index("unit")
    is_multiple = (scaled("tokens") % scaled("rate") == 0).any()
    counted = stated.join(rates, on="product").group_by("product").agg(is_multiple.alias("is_one"), pl.n_unique("unit"))
    never = counted.filter(~pl.col("is_one")).sort("product")
    return [(product, count) for product, count in never.select("product", "unit").iter_rows()]
