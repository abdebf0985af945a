"""The verb `chargeback`: who pays how much of what the ledger took, to the last decimal."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Literal, cast

import polars as pl

from tokenflex.arrow import AnyTable, frame_of, refuses_clearly
from tokenflex.contract.closing import WHAT, instants_of
from tokenflex.contract.ledger import Ledger
from tokenflex.contract.money import apportioned, money, priced, tokens
from tokenflex.contract.uses import check_rows, uses_of
from tokenflex.errors import ArgumentError, ArgumentTypeError, MissingColumnError
from tokenflex.metering.rule import Rule
from tokenflex.problems import Problems, report
from tokenflex.reading.groups import Groups
from tokenflex.reading.names import is_text

Split = Literal["window_start", "minutes"]

TAKEN: Final = ("charge", "overage", "manual_consumption")
"""Entries that somebody used tokens for; what expired or was adjusted is nobody's use."""
_OWN: Final = ("user", "product", "server", "month", "pool")
"""What an entry can be laid to without a further table."""
_ALWAYS: Final = ("month", "pool")
"""Of these what is no column of the charges."""
_OF_ENTRY: Final = ("entry", "at", "kind", "pool", "charge", "amount", "cost")


@refuses_clearly
def chargeback(
    ledger: Ledger,
    *,
    by: str | Iterable[str],
    sessions: AnyTable | None = None,
    groups: Groups | None = None,
    rule: Rule | None = None,
    split: Split = "window_start",
    problems: Problems | None = None,
) -> pl.DataFrame:
    """Lays all tokens that a ledger took, and what they cost, to those who used them.

    The lines add up to the ledger exactly: where a charge is split, what cannot be divided goes to those with the
    largest remainders. Use that belongs to nobody known is a line too, with null.

    Args:
        ledger: What `Contract.settle` returned.
        by: One or several of `"user"`, `"product"`, `"server"`, `"month"` (of the charge, in the contract's zone),
            `"pool"`; `"group"` and `"cost_centre"` of `groups`; a dimension of theirs, such as `"site"`, or its cost
            centre, `"site_cost_centre"`; or a column of text of `sessions` (or else of the charges), such as
            `"project"`.
        sessions: The sessions that were charged; the charges count their rows in `session`. Needed for
            columns of theirs and for `split="minutes"`.
        groups: Who belongs to which group and cost centre, at the time of the charge (or of the use, if it is split).
        rule: By which the charges were made; needed only for its `machine_metered` and `scope`, where charges are
            split.
        split: `"window_start"`: all of a charge goes to the session that opened the window. `"minutes"`: it is split
            over all sessions of the same user (or machine) and product in the window, by how long each was in use in
            it.
        problems: Collects people without a group (`no_group`); without it, a `TokenflexWarning` tells of it.

    Returns:
        A row for each combination, the dearest first: the columns of `by`, in that order, then those of
        `tables.CHARGEBACK`.

    Raises:
        ArgumentError: A name of `by` is unknown, or stands there twice; `sessions` are missing for it, or are others
            than those that were charged.
        MissingColumnError, ColumnTypeError: The tables are wrong; `column` says where.

    Example:
        >>> import tokenflex as tf, polars as pl
        >>> from datetime import datetime, timezone
        >>> def at(hour): return datetime(2026, 7, 13, hour, tzinfo=timezone.utc)
        >>> sessions = pl.DataFrame({
        ...     "user": ["ana", "ana"], "product": ["RVT", "RVT"], "project": ["bridge", "tunnel"],
        ...     "start": [at(8), at(10)], "end": [at(10), at(11)]})
        >>> charges = tf.charge(sessions, rule=tf.FLEX, rates=tf.Rates({"RVT": 10}))
        >>> contract = tf.Contract(number="7", packs=[
        ...     tf.Pack(id="a", tokens=500, purchased="2026-01-15", unit_price=3)])
        >>> lines = tf.chargeback(
        ...     contract.settle(charges), by="project", sessions=sessions, split="minutes")
        >>> for line in lines.select("project", "minutes", "tokens", "cost").iter_rows():
        ...     print(*line)
        bridge 120 6.6667 20.00000000
        tunnel 60 3.3333 10.00000000
    """
    if not isinstance(ledger, Ledger):
        raise ArgumentTypeError(
            f"ledger has to be a tokenflex.Ledger, as Contract.settle gives, not {type(ledger).__name__}",
            location="ledger",
        )
    wanted = _wanted(by)
    if split not in ("window_start", "minutes"):
        raise ArgumentError(f'split is {split!r}, but has to be "window_start" or "minutes"', location="split")
    if groups is not None and not isinstance(groups, Groups):
        raise ArgumentTypeError(f"groups have to be a tokenflex.Groups, not {type(groups).__name__}", location="groups")
    if rule is not None and not isinstance(rule, Rule):
        raise ArgumentTypeError(f"rule has to be a tokenflex.Rule, not {type(rule).__name__}", location="rule")
    told = Problems()
    table = ledger.charges
    source = _Source(table, None if sessions is None else frame_of(sessions), groups)
    source.check(wanted)
    if source.sessions is not None:
        check_rows(table, source.sessions)
    entries = _entries(ledger)
    parts = _split(entries, table, source.sessions, rule) if split == "minutes" else _whole(entries, table)
    named = source.named(parts, wanted, zone=ledger.contract.zone, problems=told)
    report(told.frame.unique(maintain_order=True), problems, "chargeback")
    return _summed(named, parts, wanted)


def _wanted(by: object) -> list[str]:
    names = [by] if isinstance(by, str) else list(by) if isinstance(by, Iterable) else []
    if not names or not all(isinstance(name, str) for name in names) or len(set(names)) < len(names):
        raise ArgumentError(f"by is {by!r}, but has to be one or several names, each once", location="by")
    return names


def _entries(ledger: Ledger) -> pl.DataFrame:
    """What was taken, as whole numbers: tokens in 1/10,000, cost in 1/100,000,000."""
    taken = ledger.entries.filter(WHAT.is_in(TAKEN))
    return priced(taken.with_columns(pl.col("pool").cast(pl.String)), ledger.contract).select(_OF_ENTRY)


@dataclass(frozen=True)
class _Source:
    """Where the names come from that tokens are laid to."""

    charges: pl.DataFrame
    sessions: pl.DataFrame | None
    groups: Groups | None

    @property
    def of_groups(self) -> dict[str, str | None]:
        """The columns that the groups give, each with the dimension that it is of."""
        dimensions = [] if self.groups is None else self.groups.dimensions
        found: dict[str, str | None] = {}
        for dimension in dimensions:
            found |= dict.fromkeys(_columns_of(dimension), dimension)
        return found

    def table_with(self, name: str) -> pl.DataFrame | None:
        """The table that has a column of text of that name: the sessions, or else the charges."""
        for table in (self.sessions, self.charges):
            if table is not None and name in table.columns and is_text(table.schema[name]):
                return table
        return None

    def check(self, wanted: list[str]) -> None:
        """Raises for a name that nothing gives."""
        for name in wanted:
            if name in _ALWAYS or name in self.of_groups or self.table_with(name) is not None:
                continue
            if name in _OWN:
                raise MissingColumnError(f"column {name!r} is missing from the charges of the ledger", column=name)
            known = ", ".join([*_OWN, *self.of_groups])
            more = "" if self.groups is not None else "; groups= gives group, cost_centre and dimensions"
            more += "" if self.sessions is not None else "; sessions= gives columns of theirs"
            raise ArgumentError(f"by: nothing is called {name!r}; there are {known}{more}", location="by")

    def named(self, parts: pl.DataFrame, wanted: list[str], *, zone: str, problems: Problems) -> pl.DataFrame:
        """A column for each name, a row for each part."""
        people = pl.DataFrame([self._text(parts, "user"), parts["at"]])
        grouped: dict[str, pl.Series] = {}
        for dimension in dict.fromkeys(self.of_groups[name] for name in wanted if name in self.of_groups):
            joined = cast("Groups", self.groups).join(
                people, column="user", at="at", dimension=dimension, problems=problems
            )
            grouped |= {name: joined[name].cast(pl.String) for name in _columns_of(dimension)}
        columns = []
        for name in wanted:
            if name in grouped:
                columns.append(grouped[name])
            elif name in ("user", "pool"):
                columns.append((people if name == "user" else parts)[name])
            elif name == "month":
                local = parts["booked_at"].dt.convert_time_zone(zone)
                columns.append(local.dt.date().dt.month_start().alias(name))
            else:
                columns.append(self._text(parts, name))
        return pl.DataFrame(columns)

    def _text(self, parts: pl.DataFrame, name: str) -> pl.Series:
        table = self.charges if name == "product" else self.table_with(name)
        if table is None:
            return pl.Series(name, [None] * parts.height, dtype=pl.String)
        if table is not self.sessions:
            return table[name].cast(pl.String).gather(parts["charge"]).alias(name)
        of_session = table[name].cast(pl.String).gather(parts["session"])
        if name not in self.charges.columns or not is_text(self.charges.schema[name]):
            return of_session.alias(name)
        # Of a charge that is no more the session is no more either.
        of_charge = self.charges[name].cast(pl.String).gather(parts["charge"])
        return of_session.zip_with(of_session.is_not_null() | parts["session"].is_not_null(), of_charge).alias(name)


def _columns_of(dimension: str | None) -> tuple[str, str]:
    return ("group", "cost_centre") if dimension is None else (dimension, f"{dimension}_cost_centre")


def _whole(entries: pl.DataFrame, charges: pl.DataFrame) -> pl.DataFrame:
    """All of an entry to the session that opened the window. A correction is booked later than its charge."""
    row = entries["charge"]
    none = pl.lit(None, pl.UInt64).alias("session")
    session = charges["session"].cast(pl.UInt64).gather(row) if "session" in charges.columns else none
    charged = instants_of(charges["charged_at"]).gather(row).alias("charged_at")
    whole = entries.with_columns(session, charged, booked_at="at", used=pl.lit(None, pl.Int64))
    return whole.with_columns(at=pl.coalesce("charged_at", "at")).drop("charged_at")


def _split(
    entries: pl.DataFrame, charges: pl.DataFrame, sessions: pl.DataFrame | None, rule: Rule | None
) -> pl.DataFrame:
    """An entry to all sessions in the window, by how long each was in use in it."""
    if sessions is None:
        raise ArgumentError("split='minutes' needs sessions=: what was in use, and how long", location="sessions")
    by_machine = frozenset[str]() if rule is None else rule.machine_metered
    per_server = rule is not None and rule.scope == "server"
    uses = uses_of(charges, sessions, machine_metered=by_machine, per_server=per_server)
    whole = _whole(entries, charges)
    parts = whole.drop("session", "used").join(uses, on="charge", how="inner", maintain_order="left")
    left = whole.join(uses, on="charge", how="anti", maintain_order="left")
    parts = parts.with_columns(at="since").drop("since")
    weight = pl.col("used").clip(0)
    # Where nothing lasted any time, all count alike.
    parts = parts.with_columns(weight=pl.when(weight.sum().over("entry") > 0).then(weight).otherwise(1))
    parts = parts.with_columns(apportioned(name, "weight", "entry") for name in ("amount", "cost"))
    # Of a charge that two pools paid, its first entry has the minutes.
    is_first = pl.col("entry") == pl.col("entry").min().over("charge")
    parts = parts.with_columns(used=pl.when(is_first).then("used"))
    return pl.concat([parts.drop("weight"), left.select(parts.drop("weight").columns)])


def _summed(named: pl.DataFrame, parts: pl.DataFrame, wanted: list[str]) -> pl.DataFrame:
    whole = named.hstack(parts.select("charge", "used", "amount", "cost"))
    sums = whole.group_by(wanted).agg(
        charges=pl.col("charge").drop_nulls().n_unique().cast(pl.UInt64),
        minutes=pl.when(pl.col("used").count() > 0).then(pl.col("used").sum() // 60_000_000).cast(pl.UInt64),
        tokens=pl.col("amount").sum(),
        cost=pl.when(pl.col("cost").count() > 0).then(pl.col("cost").sum()),
        unpriced=pl.col("amount").filter(pl.col("cost").is_null()).sum(),
    )
    ordered = sums.sort("cost", "tokens", *wanted, descending=[True, True, *[False] * len(wanted)], nulls_last=True)
    return ordered.select(
        *wanted,
        "charges",
        "minutes",
        tokens=tokens("tokens"),
        cost=money("cost"),
        tokens_without_price=tokens("unpriced"),
    )
