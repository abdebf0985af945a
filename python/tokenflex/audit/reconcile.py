"""The verb `reconcile`: our charges against the vendor's statement, line by line, each difference with its cause."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import TYPE_CHECKING, Final, Literal, get_args

import polars as pl

from tokenflex import tables
from tokenflex.arrow import AnyTable, frame_of, refuses_clearly
from tokenflex.audit.causes import Evidence
from tokenflex.audit.comparable import check_columns, check_common, logs_of
from tokenflex.audit.inputs import Inputs
from tokenflex.audit.line_by_line import by_lines
from tokenflex.audit.lines import Basis, terms_of_charges
from tokenflex.audit.outcome import table_of
from tokenflex.audit.people import identity_of
from tokenflex.audit.sides import (
    Footing,
    aside_of,
    in_range,
    our_lines,
    repeated,
    vendor_lines,
    whole_statement,
)
from tokenflex.audit.stated import told_of
from tokenflex.audit.totals import by_contract_years, by_days, by_months
from tokenflex.audit.uses import Uses
from tokenflex.errors import ArgumentError, ArgumentTypeError
from tokenflex.metering.rates import Rates
from tokenflex.metering.rule import Rule
from tokenflex.notebook import Shown
from tokenflex.problems import Problems, report
from tokenflex.reading.contract import ContractSnapshot

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tokenflex.reading.identity import Identity
    from tokenflex.reading.user_zones import Users

Level = Literal["session", "day", "month"]

_ZERO: Final = Decimal(0)
FEWEST_TWICE: Final = 10
SHARE_TWICE: Final = 0.3
"""From this share of the vendor's lines on these are no single rows. Of a file given twice it is half of them."""


@dataclass(frozen=True)
class Reconciliation(Shown):
    """What `reconcile` returns.

    Attributes:
        rows: Every line of both sides, see `tables.RECONCILIATION`.
        level: How fine it was compared.
        inputs: What it was made of, for `dispute`; None where it was not made by `reconcile`.
    """

    rows: pl.DataFrame
    level: Level
    inputs: Inputs | None = field(default=None, repr=False, compare=False)

    @property
    def summary(self) -> pl.DataFrame:
        """Rows and tokens by outcome, status and cause, see `tables.RECONCILIATION_SUMMARY`."""
        outcome = (
            pl.when(pl.col("status") == "not_comparable")
            .then(pl.lit("not_comparable"))
            .when(pl.col("cause") == "unexplained")
            .then(pl.lit("unexplained"))
            .when(pl.col("cause").is_null())
            .then(pl.lit("agreed"))
            .otherwise(pl.lit("explained"))
            .cast(tables.RECONCILIATION_SUMMARY["outcome"])
        )
        amounts = [pl.col(name).sum() for name in ("ours", "vendors", "difference")]
        counted = self.rows.group_by(outcome.alias("outcome"), "status", "cause").agg(pl.len().alias("rows"), *amounts)
        return tables.finish(counted.sort("outcome", "status", "cause"), tables.RECONCILIATION_SUMMARY)

    def _tables_shown(self) -> dict[str, pl.DataFrame]:
        return {"summary": self.summary, "rows": self.rows}

    def __repr__(self) -> str:
        counts = self.summary.group_by("outcome", maintain_order=True).agg(pl.col("rows").sum())
        told = ", ".join(f"{outcome}: {rows:,}" for outcome, rows in counts.iter_rows())
        return f"<Reconciliation by {self.level}: {told or 'nothing'}>"


@refuses_clearly
def reconcile(
    charges: AnyTable,
    statement: AnyTable | ContractSnapshot,
    *,
    level: Level = "session",
    tolerance: Decimal | int | str = _ZERO,
    rule: Rule | None = None,
    rates: Rates | None = None,
    servers: Mapping[str, str] | None = None,
    sessions: AnyTable | None = None,
    users: Users | None = None,
    identity: Identity | None = None,
    variants: Mapping[str, str] | None = None,
    coverage: AnyTable | None = None,
    problems: Problems | None = None,
) -> Reconciliation:
    """Holds our charges against a statement of the vendor: what agrees, what differs, and why.

    Lines are matched one to one by person, product and window. Each cause of a difference is tried by the one change
    that it says, and holds only where the difference vanishes with it; otherwise it is `unexplained`. What was never
    comparable (no log, no rows of the vendor, masked users) is `not_comparable`, never missing.

    Args:
        charges: What `charge` gives: a table with `user`, `product`, `charged_at`, `window_end` and exact `tokens`;
            `server`, `usage_date`, `category` and `session` are read where they are there.
        statement: What `read_statement` gives, or for level `month` what `read_contract` gives.
        level: `session` for exports session by session; `day` for those by day (a person's product on a date, or a
            product on a date where there are no users); `month` for totals by product, or by contract year.
        tolerance: Tokens by which two amounts may differ and still count as matched, with the cause `rounding`.
        rule: The contract's rule. Level `session` needs it.
        rates: Tokens for each window of each product. Level `session` needs them.
        servers: The IANA zone of each license server, for a rule whose days are the server's.
        sessions: The sessions that were charged, row by row: hosts, durations and ends are known from them.
        users: The zone of each user, to try rules whose days are the users'.
        identity: Who is who. Case and domains are put right without it.
        variants: Products that are another one's variant, by their product line; feature codes are known.
        coverage: `coverage` of what `read_flexlm` returns: which servers and days were logged. Without it, the times
            of the sessions, or of the charges, say it.
        problems: Collects what could not be read; without it, a `TokenflexWarning` tells of it.

    Returns:
        The reconciliation. Its `rows` hold every token of both sides, see `tables.RECONCILIATION`, in order of time.

    Raises:
        ArgumentError: There is no such level; level `session` without rule and rates; a contract at another level than
            `month`; the two sides have no day, nobody or hardly anybody in common; the statement's times were read in
            another zone; it has everywhere a multiple of the tokens of the rates.
        ArgumentTypeError: rule, rates, identity or tolerance are of the wrong type.
        MissingColumnError, ColumnTypeError: A table is wrong; `column` says where, and of a statement that lacks what
            its level takes which level would do.

    Example:
        >>> import tokenflex as tf, polars as pl
        >>> statement = tf.read_statement(
        ...     b'''usageDate,productLineCode,userName,sessionStartDate,sessionEndDate,usageCategory,tokensConsumed
        ... 2018-03-01,ACD,ana,2018-03-01T08:00:00,2018-03-01T17:00:00,DESKTOP_PRODUCT,7
        ... 2018-03-02,ACD,ana,2018-03-02T08:30:00,2018-03-02T08:32:00,DESKTOP_PRODUCT,7
        ... ''', timezone="UTC")
        >>> rates = tf.Rates({"ACD": 7})
        >>> sessions = tf.sessions_from(statement)
        >>> charges = tf.charge(sessions, rule=tf.FLEX, rates=rates)
        >>> found = tf.reconcile(charges, statement, rule=tf.FLEX, rates=rates, sessions=sessions)
        >>> found.rows.select("status", "cause", "difference").rows()
        [('matched', None, Decimal('0.0000')), ('extra_at_vendor', 'minimum_duration', Decimal('7.0000'))]
    """
    basis = _basis(rule, rates, servers)
    if level not in get_args(Level):
        raise ArgumentError(f"level has to be session, day or month, not {level!r}", location="level")
    allowed = _tolerance(tolerance)
    who = identity_of(identity)
    found = Problems()
    inputs = Inputs(
        charges=in_range(frame_of(charges)),
        statement=statement if isinstance(statement, ContractSnapshot) else in_range(frame_of(statement)),
        level=level,
        tolerance=allowed,
        rule=rule,
        rates=rates,
        servers=servers,
        sessions=None if sessions is None else in_range(frame_of(sessions)),
        users=users,
        identity=identity,
        variants=variants,
        coverage=None if coverage is None else frame_of(coverage),
    )
    if isinstance(inputs.statement, ContractSnapshot):
        if level != "month":
            raise ArgumentError("a contract has totals only: level='month'", location="level")
        rows = by_contract_years(our_lines(inputs.charges, inputs.sessions), inputs.statement)
        return Reconciliation(table_of(rows, allowed), level, inputs)
    footing = Footing(who, variants, [])
    if level == "session":
        table = _by_session(inputs, inputs.statement, basis, footing, found)
    else:
        table = table_of(_by_date(inputs, inputs.statement, footing, found), allowed)
    found.add(_given_twice(table))
    report(found.frame, problems, "reconcile")
    return Reconciliation(table, level, inputs)


def _by_date(inputs: Inputs, statement: pl.DataFrame, footing: Footing, found: Problems) -> pl.DataFrame:
    """Rows by days or months, with what holds of them."""
    level = inputs.level
    ours, stated = our_lines(inputs.charges, inputs.sessions), whole_statement(statement)
    check_columns(stated, level)
    # Totals need nobody's name, and days do not where the statement has none at all.
    named = level == "day" and stated["user"].null_count() < stated.height
    stated = stated.with_columns(
        aside=aside_of(needs_user=named), is_repeated=repeated(stated["row"], statement, needs_user=named)
    )
    ours, stated = footing.put(ours, stated, found=found)
    stated = _with_masks(stated, ours) if named else stated
    plain = stated.filter(pl.col("aside").is_null())
    check_common(*((ours, plain) if named else (ours.drop("payer"), plain.drop("payer"))))
    logs = logs_of(inputs.coverage, inputs.sessions, ours)
    return (by_days if level == "day" else by_months)(ours, stated, logs)


def _by_session(inputs: Inputs, given: pl.DataFrame, basis: Basis, footing: Footing, found: Problems) -> pl.DataFrame:
    """The table of lines with instants."""
    sessions = inputs.sessions
    terms = terms_of_charges(inputs.charges, basis.rule)
    if sessions is not None and "host" in sessions.columns and "session" in inputs.charges.columns:
        footing = replace(footing, machine_metered=terms.machine_metered)
    statement = whole_statement(given)
    check_columns(statement, "session")
    lines = [our_lines(inputs.charges, sessions), vendor_lines(statement, basis, found)]
    ours, theirs, statement = footing.put(*lines, statement.with_columns(aside=aside_of()), found=found)
    theirs, statement = (_with_masks(side, ours) for side in (theirs, statement))
    check_common(ours, theirs.filter(pl.col("aside").is_null() & ~pl.col("is_manual").fill_null(value=False)))
    evidence = Evidence(
        basis,
        terms,
        statement,
        given,
        None if sessions is None else Uses(sessions, footing, found),
        inputs.users,
        footing.machine_metered,
        logs_of(inputs.coverage, sessions, ours),
        inputs.tolerance,
    )
    agreed, odd = by_lines(ours, theirs, evidence)
    return table_of(odd, inputs.tolerance, agreed=agreed)


def _given_twice(table: pl.DataFrame) -> pl.DataFrame:
    """A problem where so many rows of the vendor repeat others that a file was given twice."""
    stated = table.filter(pl.col("statement").is_not_null())
    again = stated.filter(pl.col("cause") == "duplicate_row").height
    if again < FEWEST_TWICE or again < SHARE_TWICE * stated.height:
        return told_of("statement", [])
    message = f"{again:,} of {stated.height:,} lines repeat another one in all that they say: was a file given twice?"
    return told_of("statement", [("given_twice", message)])


def _basis(rule: object, rates: object, servers: Mapping[str, str] | None) -> Basis:
    if rule is not None and not isinstance(rule, Rule):
        raise ArgumentTypeError(f"rule has to be a tokenflex.Rule, not {type(rule).__name__}", location="rule")
    if rates is not None and not isinstance(rates, Rates):
        raise ArgumentTypeError(f"rates have to be a tokenflex.Rates, not {type(rates).__name__}", location="rates")
    return Basis(rule, rates, servers)


def _tolerance(tolerance: object) -> Decimal:
    if isinstance(tolerance, bool) or not isinstance(tolerance, Decimal | int | str):
        raise ArgumentTypeError(
            f"tolerance has to be exact, a Decimal, whole number or text, not {type(tolerance).__name__}",
            location="tolerance",
        )
    try:
        value = Decimal(tolerance)
    except ArithmeticError:
        value = Decimal("NaN")
    if not value.is_finite() or value < 0 or value >= 10**9:
        raise ArgumentError(
            f"tolerance has to be a number of tokens from 0 on, not {tolerance!r}", location="tolerance"
        )
    return value


def _with_masks(theirs: pl.DataFrame, ours: pl.DataFrame) -> pl.DataFrame:
    """Masked users whom `identity` makes nobody of ours are set aside."""
    known = pl.col("payer").is_in(ours["payer"].unique().drop_nulls().implode()).fill_null(value=False)
    hidden = pl.col("is_masked").fill_null(value=False) & ~known & pl.col("aside").is_null()
    return theirs.with_columns(aside=pl.when(hidden).then(pl.lit("masked", tables.NAME)).otherwise("aside"))


def finest_level(statement: pl.DataFrame | ContractSnapshot) -> Level:
    """As fine as a statement is: sessions where it has times, days where it has dates, else months."""
    if isinstance(statement, ContractSnapshot) or statement["usage_date"].count() == 0:
        return "month"
    return "session" if statement["start"].count() > 0 else "day"
