"""The verb `reconcile`: our charges against the vendor's statement, line by line, each difference with its cause."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Final, Literal, get_args

import polars as pl

from tokenflex import tables
from tokenflex.arrow import AnyTable, frame_of, refuses_clearly
from tokenflex.audit.causes import (
    WORDS,
    Evidence,
    covered,
    full_prices,
    other_rates,
    other_rules,
    reconnected,
    without_use,
)
from tokenflex.audit.comparable import check_common, logs_of, without_log, without_statement
from tokenflex.audit.inputs import Inputs
from tokenflex.audit.lines import Basis, terms_of_charges
from tokenflex.audit.match import matched
from tokenflex.audit.people import identity_of
from tokenflex.audit.sides import Footing, aside_of, in_range, our_lines, vendor_lines, whole_statement
from tokenflex.audit.totals import by_contract_years, by_days, by_months
from tokenflex.errors import ArgumentError, ArgumentTypeError
from tokenflex.metering.rates import Rates
from tokenflex.metering.rule import DAY, Rule
from tokenflex.problems import Problems, report
from tokenflex.reading.contract import ContractSnapshot

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tokenflex.metering.terms import Users
    from tokenflex.reading.identity import Identity

Level = Literal["session", "day", "month"]

_ZERO: Final = Decimal(0)
_FEATURES: Final = tuple(name for name in tables.RECONCILIATION_CAUSES if name != "unexplained")


@dataclass(frozen=True)
class Reconciliation:
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
        ArgumentError: There is no such level; level `session` without rule and rates; the two sides have no day or
            nobody in common; a contract at another level than `month`; the statement has everywhere a multiple of the
            tokens of the rates.
        ArgumentTypeError: rule, rates, identity or tolerance are of the wrong type.
        MissingColumnError, ColumnTypeError: A table is wrong; `column` says where.

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
    given = Basis(rule, rates, servers)
    within = _checked(level, given)
    allowed = _tolerance(tolerance)
    who = identity_of(identity)
    found = Problems()
    frame = in_range(frame_of(charges))
    evidence = None if sessions is None else in_range(frame_of(sessions))
    given_statement = statement if isinstance(statement, ContractSnapshot) else frame_of(statement)
    inputs = Inputs(
        charges=frame,
        statement=given_statement,
        level=level,
        tolerance=allowed,
        rule=rule,
        rates=rates,
        servers=servers,
        sessions=evidence,
        users=users,
        identity=identity,
        variants=variants,
        coverage=None if coverage is None else frame_of(coverage),
    )
    ours = our_lines(frame, evidence)
    if isinstance(given_statement, ContractSnapshot):
        if level != "month":
            raise ArgumentError("a contract has totals only: level='month'", location="level")
        return Reconciliation(_finished(by_contract_years(ours, given_statement), allowed), level, inputs)
    stated = whole_statement(in_range(given_statement))
    if level != "session":
        footing = Footing(who, variants, [])
        # Totals need nobody's name, and days do not where the statement has none at all.
        named = level == "day" and stated["user"].null_count() < stated.height
        stated = stated.with_columns(aside=aside_of(needs_user=named))
        ours, stated = footing.put(ours, stated, found=found)
        stated = _with_masks(stated, ours) if named else stated
        plain = stated.filter(pl.col("aside").is_null())
        check_common(*((ours, plain) if named else (ours.drop("payer"), plain.drop("payer"))))
        rows = (by_days if level == "day" else by_months)(ours, stated, logs_of(coverage, evidence, ours))
        report(found.frame, problems, "reconcile")
        return Reconciliation(_finished(rows, allowed), level, inputs)
    terms = terms_of_charges(frame, rule)
    has_hosts = evidence is not None and "host" in evidence.columns and "session" in frame.columns
    footing = Footing(who, variants, terms.machine_metered if has_hosts else [])
    theirs = vendor_lines(stated, given, found)
    ours, theirs, stated = footing.put(ours, theirs, stated, found=found)
    theirs, stated = (_with_masks(side, ours) for side in (theirs, stated.with_columns(aside=aside_of())))
    check_common(ours, theirs.filter(pl.col("aside").is_null() & ~pl.col("is_manual").fill_null(value=False)))
    if evidence is not None:
        evidence = _uses(evidence, footing, found)
    logs = logs_of(coverage, evidence, ours)
    tried = Evidence(given, terms, stated, evidence, users, within, footing.machine_metered, logs, allowed)
    rows = _by_sessions(ours, theirs, tried)
    report(found.frame, problems, "reconcile")
    return Reconciliation(_finished(rows, allowed), level, inputs)


def _checked(level: Level, basis: Basis) -> timedelta:
    if level not in get_args(Level):
        raise ArgumentError(f"level has to be session, day or month, not {level!r}", location="level")
    if basis.rule is not None and not isinstance(basis.rule, Rule):
        raise ArgumentTypeError(f"rule has to be a tokenflex.Rule, not {type(basis.rule).__name__}", location="rule")
    if basis.rates is not None and not isinstance(basis.rates, Rates):
        raise ArgumentTypeError(
            f"rates have to be a tokenflex.Rates, not {type(basis.rates).__name__}", location="rates"
        )
    return DAY


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
    hidden = pl.col("is_masked").fill_null(value=False) & ~known
    return theirs.with_columns(aside=pl.when(hidden).then(pl.coalesce("aside", pl.lit("masked"))).otherwise("aside"))


def _uses(sessions: pl.DataFrame, footing: Footing, found: Problems) -> pl.DataFrame:
    """The sessions that were charged, with `payer` and `line`."""
    names = [pl.col(name).cast(pl.String) for name in ("user", "product", "host", "server") if name in sessions.columns]
    more = [name for name in ("end_reason",) if name in sessions.columns]
    times = [pl.col("start", "end").cast(tables.TIME)]
    frame = sessions.select(*names, *times, *more).with_columns(
        usage_date=pl.col("start").dt.date(), charged_at="start"
    )
    (done,) = footing.put(frame, found=found)
    return done


_CARRIED: Final = (
    "row", "user", "payer", "line", "product", "server", "usage_date", "charged_at", "window_end", "category",
    "trigger", "tokens", "start", "end", "is_manual", "is_borrowed", "is_repeated", "aside",
)  # fmt: skip


def _by_sessions(ours: pl.DataFrame, theirs: pl.DataFrame, evidence: Evidence) -> pl.DataFrame:
    """All lines, matched, with a column for each cause that says whether it holds."""
    pairs = matched(ours, theirs, by_days=evidence.terms.by_days, within=evidence.within)
    lone = [
        pl.int_range(frame.height, dtype=pl.UInt32, eager=True).alias(name).to_frame().join(pairs, on=name, how="anti")
        for name, frame in (("o", ours), ("v", theirs))
    ]
    places = pl.concat([pairs, *lone], how="diagonal").with_row_index("i")
    sides = [
        frame.select(pl.col(name).gather(places[place]).alias(f"{place}_{name}") for name in _CARRIED)
        for place, frame in (("o", ours), ("v", theirs))
    ]
    rows = pl.concat([places, *sides], how="horizontal")
    shown = ("user", "payer", "line", "product", "server", "usage_date", "charged_at", "window_end")
    rows = rows.with_columns(pl.coalesce(f"o_{name}", f"v_{name}").alias(name) for name in shown)
    rows = rows.with_columns(
        ours=pl.when(pl.col("o").is_not_null()).then("o_tokens").otherwise(0).cast(tables.TOKENS),
        vendors=pl.col("v_tokens").fill_null(0),
        shift=pl.col("v_charged_at") - pl.col("o_charged_at"),
        full=full_prices(rows.select(line="line", at="charged_at"), evidence.basis),
    )
    return _with_causes(rows, evidence)


def _with_causes(rows: pl.DataFrame, evidence: Evidence) -> pl.DataFrame:
    differs = (pl.col("vendors") - pl.col("ours").fill_null(0)) != 0
    odd = rows.filter(differs | pl.col("ours").is_null())
    missing = _missing(odd.filter(pl.col("v").is_null()), rows, evidence)
    extra = _extra(odd.filter(pl.col("o").is_null()), rows, evidence)
    both = _both(odd.filter(pl.col("o").is_not_null() & pl.col("v").is_not_null()), rows, evidence)
    tested = pl.concat([missing, extra, both], how="diagonal_relaxed")
    tested = _with_rules(tested, evidence)
    rest = rows.join(tested.select("i"), on="i", how="anti", maintain_order="left")
    return pl.concat([rest, tested], how="diagonal_relaxed")


def _side(rows: pl.DataFrame, place: str) -> pl.DataFrame:
    """The lines of one side as they are, with the row's number."""
    return rows.select("i", *(pl.col(f"{place}_{name}").alias(name) for name in _CARRIED))


def _missing(lone: pl.DataFrame, rows: pl.DataFrame, evidence: Evidence) -> pl.DataFrame:
    side = _side(lone, "o")
    kept = _side(rows.filter(pl.col("v").is_not_null() & pl.col("o").is_not_null()), "o")
    again = covered(side, kept, evidence)
    masked = evidence.statement.filter(pl.col("aside") == "masked").select("line", "usage_date").unique()
    # A session counts for the next date, too.
    following = masked.with_columns(pl.col("usage_date").dt.offset_by("1d"))
    masked = pl.concat([masked, following]).unique()
    hidden = side.join(masked, on=["line", "usage_date"], how="semi")["i"]
    return lone.with_columns(
        *without_statement(side, evidence.statement, evidence.logs).get_columns(),
        *again.drop("again").get_columns(),
        masked=pl.col("i").is_in(hidden.implode()),
        no_rate=pl.col("ours").is_null(),
        duplicate_row=pl.col("o_is_repeated").fill_null(value=False),
        no_row=without_use(side, evidence.statement),
    )


def _extra(lone: pl.DataFrame, rows: pl.DataFrame, evidence: Evidence) -> pl.DataFrame:
    side = _side(lone, "v")
    kept = _side(rows.filter(pl.col("v").is_not_null() & pl.col("o").is_not_null()), "v")
    again = covered(side, kept, evidence)
    rule = evidence.basis.rule
    shortest = rule.min_duration if rule is not None else timedelta(0)
    unpriced = rows.filter(pl.col("o").is_not_null() & pl.col("ours").is_null())["line"].unique().implode()
    is_manual = pl.col("v_is_manual").fill_null(value=False)
    is_aside = pl.col("v_aside").is_not_null()
    return lone.with_columns(
        *again.drop("again").get_columns(),
        *((pl.col("v_aside") == name).fill_null(value=False).alias(name) for name in tables.NOT_COMPARABLE_CAUSES[3:7]),
        no_log=without_log(side, evidence.logs) & ~is_manual & ~is_aside,
        no_rate=pl.col("line").is_in(unpriced) & ~is_aside,
        duplicate_row=pl.col("v_is_repeated").fill_null(value=False),
        manual_entry=is_manual,
        borrowed=pl.col("v_is_borrowed").fill_null(value=False),
        minimum_duration=((pl.col("v_end") - pl.col("v_start")) < shortest).fill_null(value=False),
        reconnect=again["again"] & reconnected(side, evidence.sessions),
        no_session=without_use(side, evidence.sessions) & ~is_manual,
    )


def _both(pairs: pl.DataFrame, rows: pl.DataFrame, evidence: Evidence) -> pl.DataFrame:
    difference = (pl.col("vendors") - pl.col("ours")).abs()
    owed = (pl.col("o_category") == "INCREMENTAL") & (pl.col("vendors") == pl.col("full"))
    owing = (pl.col("v_category") == "INCREMENTAL") & (pl.col("ours") == pl.col("full"))
    whole = rows.filter(pl.col("o").is_not_null() & pl.col("v").is_not_null())
    whole = whole.with_columns(is_full=(pl.col("o_category").fill_null("CHARGED") == "CHARGED"))
    family = (owed | owing).fill_null(value=False)
    done = pairs.with_columns(
        no_rate=pl.col("ours").is_null(),
        rounding=(difference <= evidence.allowed).fill_null(value=False),
        family=family,
    )
    asked = done.filter(~pl.col("no_rate") & ~pl.col("rounding") & ~pl.col("family"))
    rates = other_rates(asked, whole, evidence.basis)
    done = done.join(rates, on="i", how="left", maintain_order="left")
    said = pl.format("by a rate of {} tokens, which the vendor takes at that time, nothing differs", "rate")
    return done.with_columns(rate=pl.col("rate").is_not_null(), said=said)


def _with_rules(rows: pl.DataFrame, evidence: Evidence) -> pl.DataFrame:
    """What nothing else explains, under the other rules that a contract may well have."""
    flags = [pl.col(name) if name in rows.columns else pl.lit(value=False) for name in _FEATURES]
    rows = rows.with_columns(
        flag.fill_null(value=False).alias(name) for flag, name in zip(flags, _FEATURES, strict=True)
    )
    open_ = rows.filter(~pl.any_horizontal(_FEATURES))
    families = dict(evidence.basis.rates.families()) if evidence.basis.rates is not None else {}
    rules = other_rules(open_, evidence, families)
    frame = pl.DataFrame(
        [(*key, name) for key, name in rules.items()],
        schema={"payer": pl.String, "group": pl.String, "rule": pl.String},
        orient="row",
    )
    found = open_.select("i", "payer", group=pl.col("line").replace(families)).join(frame, on=["payer", "group"])
    rows = rows.join(found.select("i", "rule"), on="i", how="left", maintain_order="left")
    only = pl.col("rule").str.contains(r"^min_duration_seconds=\d+$").fill_null(value=False)
    told = pl.format("under the rule with {} all of this person's sessions of the product cost what is stated", "rule")
    said = pl.col("said") if "said" in rows.columns else pl.lit(None, pl.String)
    return rows.with_columns(
        minimum_duration=pl.col("minimum_duration") | only,
        other_rule=pl.col("rule").is_not_null() & ~only,
        said=pl.coalesce(told, said),
    )


def _finished(rows: pl.DataFrame, allowed: Decimal) -> pl.DataFrame:
    """The table of the verb."""
    schema = tables.RECONCILIATION
    names = [name for name in _FEATURES if name in rows.columns]
    rows = rows.with_columns(pl.col(name).fill_null(value=False) for name in names)
    difference = pl.col("vendors") - pl.col("ours").fill_null(0)
    causes = pl.concat_list([pl.when(name).then(pl.lit(name)) for name in names] or [pl.lit(None, pl.String)])
    rows = rows.with_columns(difference=difference.cast(tables.TOKENS), causes=causes.list.drop_nulls())
    is_odd = (pl.col("difference") != 0) | pl.col("ours").is_null()
    unexplained = pl.lit(["unexplained"], pl.List(pl.String))
    none = pl.lit([], pl.List(pl.String))
    found = pl.when(pl.col("causes").list.len() > 0).then("causes").otherwise(unexplained)
    rows = rows.with_columns(
        causes=pl.when(is_odd | pl.lit("day_border" in names) & (pl.col("causes").list.len() > 0))
        .then(found)
        .otherwise(none)
    )
    rows = rows.with_columns(cause=pl.col("causes").list.first())
    small = (pl.col("difference").abs() <= allowed) & pl.col("ours").is_not_null()
    status = (
        pl.when(pl.col("cause").is_in(tables.NOT_COMPARABLE_CAUSES).fill_null(value=False))
        .then(pl.lit("not_comparable"))
        .when(small)
        .then(pl.lit("matched"))
        .when(pl.col("o").is_not_null() & pl.col("v").is_not_null())
        .then(pl.lit("amount_differs"))
        .when(pl.col("o").is_not_null())
        .then(pl.lit("missing_at_vendor"))
        .otherwise(pl.lit("extra_at_vendor"))
    )
    words = pl.col("cause").replace_strict(WORDS, default=None, return_dtype=pl.String)
    special = pl.col("cause").is_in(["rate", "other_rule", "minimum_duration"]) if "said" in rows.columns else None
    if special is not None:
        words = pl.when(special).then(pl.coalesce("said", words)).otherwise(words)
    if "caveat" in rows.columns:
        words = pl.concat_str(words, "caveat", separator="; ", ignore_nulls=True)
    rows = rows.with_columns(
        status=status.cast(schema["status"]),
        explained=words,
        user=pl.col("payer"),
        product=pl.col("line"),
        charge=pl.col("o_row"),
        statement=pl.col("v_row"),
    )
    rows = rows.with_columns(pl.col("cause").cast(schema["cause"]), pl.col("causes").cast(schema["causes"]))
    ordered = rows.sort(
        "usage_date", "charged_at", "user", "product", "server", "status", "ours", "vendors", "charge", "statement",
        nulls_last=True,
    )  # fmt: skip
    return tables.finish(ordered, schema)
