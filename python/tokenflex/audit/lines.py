"""What was charged, line by line, in one form: our own charges, or those that a statement of the vendor tells of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

import polars as pl

from tokenflex import tables
from tokenflex.audit.stated import SHARE, constant_factor, scaled, told_of
from tokenflex.errors import ArgumentError, ColumnTypeError, MissingColumnError
from tokenflex.metering.charge import charge
from tokenflex.metering.rule import Rule
from tokenflex.problems import Problems
from tokenflex.reading.names import is_text
from tokenflex.usage.vendor import product_of, sessions_from
from tokenflex.words import many

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tokenflex.metering.rates import Rates

CHARGED: Final = ("user", "product", "charged_at", "window_end", "tokens")
"""What every table of charges has."""
OPTIONAL: Final = ("server", "usage_date", "category", "trigger", "session")
SESSION: Final = ("start", "end", "host")
"""What is known of the session behind a charge."""

_ONE: Final = "tokenflex: one of many"


@dataclass(frozen=True)
class Basis:
    """What the contract says, as far as the caller knows it."""

    rule: Rule | None
    rates: Rates | None
    servers: Mapping[str, str] | None


class Contract(NamedTuple):
    """The same, where all of it has to be known."""

    rule: Rule
    rates: Rates
    servers: Mapping[str, str] | None


@dataclass(frozen=True)
class Terms:
    """By which rule the charges came about, as far as it is needed to say whether one was due."""

    rule: Rule | None
    by_days: bool
    per_server: bool

    @property
    def machine_metered(self) -> list[str]:
        """Products that the host pays for."""
        return sorted(self.rule.machine_metered) if self.rule is not None else []


def terms_of_charges(charges: pl.DataFrame, rule: Rule | None) -> Terms:
    """Of the rule given, or of what the charges' `rule_id` says."""
    if rule is not None:
        return Terms(rule, rule.window == "day", rule.scope == "server")
    ids = charges["rule_id"].unique().drop_nulls().cast(pl.String).to_list() if "rule_id" in charges.columns else []
    kinds = {rule_id.partition("-")[0] for rule_id in ids}
    if not ids and charges.is_empty():
        return Terms(None, by_days=False, per_server=False)
    if len(kinds) != 1 or not kinds <= {"day", "rolling"}:
        raise ArgumentError("pass rule=, the rule that the charges were made by: their rule_id does not say it")
    return Terms(None, kinds == {"day"}, per_server=False)


def lines_of_charges(charges: pl.DataFrame, sessions: pl.DataFrame | None) -> pl.DataFrame:
    """Charges as they are, with what is known of their sessions."""
    lacking = [name for name in CHARGED if name not in charges.columns]
    if lacking:
        raise MissingColumnError(
            f"column {lacking[0]!r} is missing; charges have {', '.join(CHARGED)}", column=lacking[0]
        )
    _check(charges)
    lines = charges.select(*CHARGED, *(name for name in OPTIONAL if name in charges.columns))
    lines = lines.with_columns(pl.col("tokens").cast(tables.TOKENS))
    if sessions is None or "session" not in lines.columns:
        return lines
    last = lines["session"].max()
    if isinstance(last, int) and last >= sessions.height:
        raise ArgumentError(
            f"a charge is of session {last}, but sessions has {sessions.height} rows: "
            "give the sessions that were charged",
            location="sessions",
        )
    known = sessions.select(name for name in SESSION if name in sessions.columns)
    return lines.hstack(known.select(pl.all().gather(lines["session"])))


def _check(charges: pl.DataFrame) -> None:
    for name in ("user", "product", "server"):
        if name in charges.columns and not is_text(charges.schema[name]):
            raise ColumnTypeError(f"column {name!r} is {charges.schema[name]}, but has to be text", column=name)
    for name in ("charged_at", "window_end"):
        dtype = charges.schema[name]
        if dtype != pl.Null and not (isinstance(dtype, pl.Datetime) and dtype.time_zone is not None):
            raise ColumnTypeError(f"column {name!r} is {dtype}, but has to be instants with a time zone", column=name)
    if not (charges.schema["tokens"].is_integer() or charges.schema["tokens"].is_decimal()):
        raise ColumnTypeError(
            f"column 'tokens' is {charges.schema['tokens']}, but has to be exact: cast it to pl.Decimal(38, 4)",
            column="tokens",
        )


def lines_of_statement(statement: pl.DataFrame, basis: Basis, found: Problems) -> pl.DataFrame:
    """The charges that a statement tells of: a row of it has the tokens of all windows that were laid to its session.

    The rule says at which instants these fell. What the vendor charged beyond them is laid to the session's start where
    it is a charge of its own, and otherwise makes the first of them dearer.
    """
    if basis.rule is None or basis.rates is None:
        raise ArgumentError(
            "a statement says how many tokens a session cost, not when each fell due: pass rule= and rates=, those of "
            "the contract",
            location="rule",
        )
    contract = Contract(basis.rule, basis.rates, basis.servers)
    named = [
        name for name in ("user", "host", "server", "product", "feature", "product_name") if name in statement.columns
    ]
    frame = statement.with_columns(pl.col(named).cast(tables.NAME)).with_row_index("row")
    is_session = pl.col("start").is_not_null() & (pl.col("end") >= pl.col("start")).fill_null(value=True)
    category = pl.col("usage_category").cast(tables.NAME)
    is_manual = category.eq_missing("MANUAL_CONSUMPTION") & pl.col("start").is_null()
    rows = frame.filter(is_session)
    found.add(_without_times(frame.filter(~is_session & ~is_manual & (pl.col("tokens").fill_null(0) != 0))))
    sessions = sessions_from(rows.drop("row"), problems=found)
    due, settled = _due(sessions, contract, found)
    extra = _beyond(sessions, due, settled, contract)
    lines = _in_full(due, extra).sort("charged_at", "session", maintain_order=True)
    known = rows.select(pl.col("row").cast(pl.UInt64), "start", "end", "host", "is_swapped")
    lines = lines.hstack(known.select(pl.all().gather(lines["session"])))
    manual = frame.filter(is_manual & (pl.col("tokens") > 0)).select(
        pl.col("row").cast(pl.UInt64),
        "user",
        "server",
        "host",
        product_of(statement.columns).cast(tables.NAME).alias("product"),
        usage_date=pl.coalesce("transaction_date", "usage_date"),
        tokens="tokens",
        is_manual=pl.lit(value=True),
    )
    return pl.concat([lines.with_columns(is_manual=pl.lit(value=False)), manual], how="diagonal_relaxed")


def _without_times(rows: pl.DataFrame) -> pl.DataFrame:
    kinds = rows.group_by(pl.col("kind").cast(pl.String), maintain_order=True).len()
    return kinds.select(
        source=pl.lit("statement"),
        location=pl.lit(None, pl.UInt64),
        code=pl.lit("no_times"),
        message=pl.format(
            "{} rows of {} have tokens and no times: whether they are the second cannot be said", "len", "kind"
        ),
    )


def among(places: pl.Series, count: int) -> pl.Series:
    """For each of so many places whether it is one of these."""
    flag = True
    return pl.repeat(value=False, n=count, dtype=pl.Boolean, eager=True).scatter(places, flag)


def _due(sessions: pl.DataFrame, contract: Contract, found: Problems) -> tuple[pl.DataFrame, pl.Series]:
    """Those charges of the rule that the vendor charged as well: in order, as far as the session's tokens go.

    And for each session whether that is all there is to it: one charge, which costs what is stated.
    """
    charges = charge(
        _plain(sessions), rule=contract.rule, rates=contract.rates, servers=contract.servers, problems=found
    )
    charges = charges.with_columns(sessions["vendor_tokens"].fill_null(0).gather(charges["session"])).drop("rule_id")
    is_settled = charges.select(
        ~pl.col("session").is_duplicated()
        & (pl.col("tokens") == pl.col("vendor_tokens")).fill_null(value=False)
        & (pl.col("vendor_tokens") > 0)
    ).to_series()
    alone, others = charges.filter(is_settled), charges.filter(~is_settled)
    if alone.height <= (1 - SHARE) * charges.height:
        # Otherwise too many sessions cost what is stated for nearly all to stand in another ratio.
        _check_rates(sessions, charges, found)
    # In order of time, so that the running sum of a session's charges says which of them its tokens pay for.
    running = pl.col("tokens").cast(pl.Decimal(38, 4)).cum_sum().over("session")
    left = pl.col("vendor_tokens") - running + pl.col("tokens")
    kept = others.with_columns(left=left).filter((pl.col("left") > 0) | (pl.col("tokens") == 0))
    kept = kept.filter(pl.col("vendor_tokens") > 0).with_columns(pl.min_horizontal("tokens", "left").alias("tokens"))
    due = pl.concat([alone.drop("vendor_tokens"), kept.drop("vendor_tokens", "left")])
    return _names(due), among(alone["session"], sessions.height)


def _check_rates(sessions: pl.DataFrame, charges: pl.DataFrame, found: Problems) -> None:
    """Rates of another currency or contract: told of, or refused where they would make every charge a second one."""
    computed = charges.group_by("session").agg(computed=pl.col("tokens").sum(), unknown=pl.col("tokens").null_count())
    computed = computed.filter(pl.col("unknown") == 0)
    both = computed.with_columns(tokens=sessions["vendor_tokens"].fill_null(0).gather(computed["session"]))
    factor = constant_factor(both)
    if factor is None:
        return
    value, count = factor
    message = (
        f"{many(count, 'session')} of {both.height:,} have {value:g} times the tokens of the rates: are these rates of "
        "another currency or contract?"
    )
    if value > 1 and value == round(value):
        raise ArgumentError(message, location="rates")
    found.add(told_of("rates", [("constant_factor", message)]))


def _beyond(sessions: pl.DataFrame, due: pl.DataFrame, settled: pl.Series, contract: Contract) -> pl.DataFrame:
    """What the vendor charged beyond the rule, each as a launch whose window is the one that it would have opened.

    `is_second` says whether it is a charge of its own: the session was due none, or it is a multiple of the rate.
    """
    rule, rates, servers = contract
    left = sessions.with_row_index("session").filter(~settled).with_columns(pl.col("session").cast(pl.UInt64))
    due = due.filter(~settled.gather(due["session"]))
    paid = due.group_by("session").agg(pl.col("tokens").sum().alias("paid"))
    left = left.join(paid, on="session", how="left", maintain_order="left")
    left = left.with_columns(beyond=pl.col("vendor_tokens") - pl.col("paid").fill_null(0)).filter(pl.col("beyond") > 0)
    # Each as the only use of a payer of its own, so that nothing else decides about its window.
    alone = left.select(
        pl.format(_ONE + " {}", "session").alias("user"), "product", "server", "start", pl.col("start").alias("end")
    )
    fields = {
        **rule.to_dict(),
        "min_duration_seconds": 0,
        "scope": "contract",
        "machine_metered": [],
        "incremental": False,
    }
    opened = charge(alone, rule=Rule.from_dict(fields), rates=rates, servers=servers, problems=Problems())
    price = opened.select(price=scaled("tokens")).to_series()
    windows = opened.select("session", "charged_at", "window_end", "usage_date")
    rows = left.select("session", "user", "product", "server", "beyond", "vendor_category", "paid").select(
        pl.all().gather(windows["session"])
    )
    is_multiple = ((price > 0) & (rows.select(scaled("beyond")).to_series() % price == 0)).fill_null(value=False)
    return _names(
        rows.select(
            "user",
            "product",
            "server",
            windows["charged_at"],
            windows["window_end"],
            windows["usage_date"],
            category=pl.when(pl.col("vendor_category") == "INCREMENTAL")
            .then(pl.lit("INCREMENTAL"))
            .otherwise(pl.lit("CHARGED"))
            .cast(tables.CHARGES["category"]),
            trigger=pl.lit("launch").cast(tables.CHARGES["trigger"]),
            tokens="beyond",
            session="session",
            is_second=pl.col("paid").is_null() | is_multiple,
        )
    )


def _in_full(due: pl.DataFrame, extra: pl.DataFrame) -> pl.DataFrame:
    """Both as one table. A charge that was due, and that the vendor made dearer, is one charge and not two.

    So is one at a launch where a difference was due and the vendor charged more.
    """
    touched = due["session"].is_in(extra["session"].unique().implode())
    due, others = due.filter(touched), due.filter(~touched)
    first = due.unique("session", keep="first", maintain_order=True)
    targets = first.select("session", at="charged_at", is_difference=pl.col("category") == "INCREMENTAL")
    more = extra.join(targets, on="session").filter(
        ~pl.col("is_second") | (pl.col("is_difference") & (pl.col("at") == pl.col("charged_at")))
    )
    whole = due.join(
        more.select("session", charged_at="at", more="tokens", stated="category"),
        on=["session", "charged_at"],
        how="left",
        maintain_order="left",
    ).with_columns(
        tokens=pl.col("tokens") + pl.col("more").fill_null(0),
        category=pl.coalesce("stated", "category"),
    )
    rest = extra.join(more, on="session", how="anti", maintain_order="left")
    return pl.concat([others, whole.drop("more", "stated"), rest.drop("is_second")], how="diagonal")


def _plain(sessions: pl.DataFrame) -> pl.DataFrame:
    return sessions.select("user", "host", "server", "product", "start", "end")


def _names(lines: pl.DataFrame) -> pl.DataFrame:
    return lines.with_columns(pl.col("user", "product", "server").cast(tables.NAME))
