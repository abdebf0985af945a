"""The verb `double_charges`: every second charge of a working day, with its causes."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final

import polars as pl

from tokenflex import _core, tables
from tokenflex.arrow import AnyTable, coded_columns_of, frame_of, refuses_clearly
from tokenflex.audit.evidence import BELOW_MINIMUM, MANUAL, SWAPPED, check_period, payers, put_right, reconnects
from tokenflex.audit.lines import Basis, Terms, lines_of_charges, lines_of_statement, terms_of_charges
from tokenflex.audit.people import (
    Stay,
    given_stays,
    identity_of,
    is_dated,
    persons_by_name,
    stays_of_persons,
)
from tokenflex.errors import ArgumentError, ArgumentTypeError, MissingColumnError
from tokenflex.metering.charge import charge
from tokenflex.metering.rates import Rates
from tokenflex.metering.rule import DAY, Rule
from tokenflex.problems import Problems, report
from tokenflex.reading.catalog import product_line
from tokenflex.reading.zones import local_times
from tokenflex.times import EPOCH, MICROSECOND, checked_duration

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tokenflex.reading.identity import Identity
    from tokenflex.reading.user_zones import Users

MORNING: Final = timedelta(hours=4)
"""When a working day begins unless told otherwise: early enough for the first, late enough for the last."""
QUARTER: Final = timedelta(minutes=15)

_BIT: Final = {name: 1 << place for place, name in enumerate(tables.DOUBLE_CHARGE_CAUSES[:-1])}
"""The causes as the compiled part gives them; the last one stands for none."""
_FIRST: Final = {
    "first_charged_at": "charged_at",
    "first_window_end": "window_end",
    "first_spelling": "user",
    "first_code": "product",
    "first_server": "server",
    "first_charge": "row",
}
_SECOND: Final = {
    "charged_at": "charged_at",
    "window_end": "window_end",
    "spelling": "user",
    "code": "product",
    "server": "server",
    "charge": "row",
}
_MESSAGES: Final = {
    "missing_user": "no user, or a masked one: not judged",
    "missing_product": "no product: not judged",
    "missing_time": "no instant, or no date of a manual entry: not judged",
    "time_out_of_range": "a time before 1970 or from 2200 on: not judged",
}


@refuses_clearly
def double_charges(
    charges: AnyTable,
    *,
    users: Users,
    day_start: timedelta = MORNING,
    sessions: AnyTable | None = None,
    rule: Rule | None = None,
    rates: Rates | None = None,
    servers: Mapping[str, str] | None = None,
    identity: Identity | None = None,
    variants: Mapping[str, str] | None = None,
    reconnect_within: timedelta = QUARTER,
    problems: Problems | None = None,
) -> pl.DataFrame:
    r"""Every second charge to one person for one product within one working day of that person, with its causes.

    A cause counts only where the charge would not have been made without it: two spellings explain nothing where the
    first window had ended anyway. What each cause means, and what helps against it, is said in docs/double-charges.md.

    Args:
        charges: What was charged. Charges of `charge` (`tables.CHARGES`; needed are `user`, `product`, `charged_at`,
            `window_end` and `tokens`); or sessions, which are charged first, by `rule=`, `rates=` and `servers=`; or a
            statement of the vendor (`tables.STATEMENT`), whose sessions say what it charged and `rule=`, `rates=` and
            `servers=`, those of the contract, when it fell due.
        users: IANA zone of each user, spelled in any way that `identity` knows; or `UserZones`, with dates for those
            who move.
        day_start: How long after midnight, by the clock on the wall, a working day begins; below 24 hours.
        sessions: The sessions behind the charges, for causes that charges alone do not show: `below_minimum` (`start`
            and `end`), `swapped_machine` (`host`), `reconnect` (`end_reason`).
        rule: The rule of the contract; for charges that have a `rule_id` it is needed only for its `min_duration` and
            `machine_metered`.
        rates: Their families show `missing_increment`; needed for sessions and statements.
        servers: IANA zone of each server; needed as by `charge` for sessions and statements.
        identity: Which spellings are one person. Unless given, those that differ in case or by `DOMAIN\`.
        variants: Product line of products that are spelled otherwise; feature codes are known by their shape.
        reconnect_within: How soon after the server took a license back a new launch counts as `reconnect`.
        problems: Collects what cannot be judged, such as users without a zone (`user_without_zone`, a row each);
            without it, a `TokenflexWarning` tells of it.

    Returns:
        A row for each charge that is not the first of its working day, in order of time, manual entries last, see
        `tables.DOUBLE_CHARGES`. Of several earlier charges the one is named whose window still ran, then one of the
        same server, then the latest. Tokens are counted once: their sum is what is at stake in all.

    Raises:
        ZoneError: A zone does not exist, or `users` is empty; or as by `charge`.
        ArgumentError: One person has two zones; charges do not say by which rule they were made and no rule is given;
            a statement or sessions come without rule and rates; `sessions` are of other days than the charges; the
            statement has everywhere a multiple of the tokens of the rates.
        MissingColumnError, ColumnTypeError: The table is wrong; `column` says where.

    Example:
        >>> import tokenflex as tf, polars as pl
        >>> from datetime import datetime, timezone
        >>> def at(day, hour): return datetime(2026, 7, day, hour, tzinfo=timezone.utc)
        >>> sessions = pl.DataFrame({
        ...     "user": ["mei"], "product": ["ACD"], "server": ["nyc"], "start": [at(13, 1)], "end": [at(13, 10)],
        ... })
        >>> found = tf.double_charges(
        ...     sessions, users={"mei": "Asia/Singapore"},
        ...     rule=tf.TOKEN_FLEX, rates=tf.Rates({"ACD": 7}), servers={"nyc": "America/New_York"})
        >>> found.select("user", "cause", "tokens", "is_claimable", "gap").row(0)
        ('mei', 'server_midnight', Decimal('7.0000'), False, datetime.timedelta(0))
    """
    asked = Asked(
        users=users,
        day_start=checked_duration(day_start, "day_start", below=DAY),
        basis=Basis(rule, rates, servers),
        identity=identity_of(identity),
        variants=variants,
        within=checked_duration(reconnect_within, "reconnect_within"),
    )
    found = Problems()
    whole = second_charges(frame_of(charges), None if sessions is None else frame_of(sessions), asked, found)
    report(found.frame, problems, "double_charges")
    return whole


@dataclass(frozen=True)
class Asked:
    """What `double_charges` is asked, checked."""

    users: Users
    day_start: timedelta
    basis: Basis
    identity: Identity
    variants: Mapping[str, str] | None
    within: timedelta


def second_charges(
    frame: pl.DataFrame, evidence: pl.DataFrame | None, asked: Asked, found: Problems, *, is_whole: bool = True
) -> pl.DataFrame:
    """`double_charges` for other verbs, which tell of problems themselves.

    Args:
        frame: The charges.
        evidence: The sessions behind them.
        asked: All else.
        found: Takes the problems.
        is_whole: Whether these are all charges, so that they and the sessions have to be of the same days.
    """
    who, rates = asked.identity, asked.basis.rates
    given = given_stays(asked.users)
    lines, terms = _lines(frame, evidence, asked.basis, found)
    if evidence is not None and is_whole:
        check_period(lines, evidence, found)
    lines = put_right(lines, terms.machine_metered)
    persons = persons_by_name([*(user for user, *_ in given), *_names(lines, "user")], who)
    lines = payers(lines, _person_column(lines, who, persons, terms, found), terms.machine_metered)
    stays = _with_machines(stays_of_persons(given, persons), lines, terms.machine_metered)
    if evidence is None and "charged_at" not in frame.columns and "tokens" not in frame.columns:
        evidence = frame
    products = [*_names(lines, "product"), *([] if evidence is None else _names(evidence, "product"))]
    line_of = lines_of_products(list(dict.fromkeys(products)), asked.variants)
    pairs, faults = _core.double_charges(
        *coded_columns_of(_compiled(lines, rates, terms), _READS),
        terms={
            "persons": [] if "person" in lines.columns else list(persons.items()),
            "lines": list(line_of.items()),
            "families": [] if rates is None else rates.families(),
            "stays": stays,
            "day_start": asked.day_start // MICROSECOND,
            "by_days": terms.by_days,
            "per_server": terms.per_server,
        },
    )
    _tell(pl.DataFrame(faults), lines, "statement" if "usage_category" in frame.columns else "charges", found)
    whole = _both(pl.DataFrame(pairs), lines)
    if evidence is not None:
        # What the rule makes due on the same server would have been due without a new launch, too.
        could = (whole["is_claimable"] == 1) | (whole["causes"] & _BIT["two_servers"] != 0)
        again = could & reconnects(whole, evidence, who, line_of, asked.within)
        whole = whole.with_columns(causes=pl.col("causes") | again.cast(pl.UInt32) * _BIT["reconnect"])
    return _finished(whole, terms)


_READS: Final = (
    "user",
    "product",
    "person",
    "server",
    "charged_at",
    "window_end",
    "usage_date",
    "category",
    "units",
    "flags",
)


def _lines(
    frame: pl.DataFrame,
    sessions: pl.DataFrame | None,
    basis: Basis,
    found: Problems,
) -> tuple[pl.DataFrame, Terms]:
    """What was charged, from whichever of the three tables was given."""
    rule, rates = basis.rule, basis.rates
    if rule is not None and not isinstance(rule, Rule):
        raise ArgumentTypeError(f"rule has to be a tokenflex.Rule, not {type(rule).__name__}", location="rule")
    if rates is not None and not isinstance(rates, Rates):
        raise ArgumentTypeError(f"rates have to be a tokenflex.Rates, not {type(rates).__name__}", location="rates")
    if "charged_at" in frame.columns:
        return lines_of_charges(frame, sessions).with_row_index("row"), terms_of_charges(frame, rule)
    if {"usage_category", "tokens", "start"} <= set(frame.columns):
        lines = lines_of_statement(frame, basis, found)
        return lines, terms_of_charges(frame, rule)
    if "start" not in frame.columns:
        raise MissingColumnError(
            "column 'charged_at' is missing: give charges (charged_at, window_end, tokens), sessions (start, end) or a "
            "statement",
            column="charged_at",
        )
    if rule is None or rates is None:
        raise ArgumentError("sessions have to be charged first: pass rule= and rates=, or charges", location="rule")
    charges = charge(frame, rule=rule, rates=rates, servers=basis.servers, problems=found)
    return lines_of_charges(charges, frame).with_row_index("row"), terms_of_charges(charges, rule)


def _names(lines: pl.DataFrame, column: str) -> list[str]:
    return lines[column].unique().drop_nulls().cast(pl.String).to_list() if column in lines.columns else []


def _person_column(
    lines: pl.DataFrame, identity: Identity, persons: Mapping[str, str], terms: Terms, found: Problems
) -> pl.Series | None:
    """The person of each line; none where the spelling alone says who pays."""
    if not is_dated(identity):
        if not terms.machine_metered:
            return None
        return lines["user"].cast(pl.String).replace_strict(dict(persons), default=None, return_dtype=pl.String)
    times = lines["charged_at"]
    if "usage_date" in lines.columns:
        times = times.fill_null(lines["usage_date"].cast(pl.Datetime("us")).dt.replace_time_zone("UTC"))
    applied = identity.apply(pl.DataFrame([lines["user"], times.alias("at")]), at="at", problems=found)
    return applied["user"].alias("person")


def lines_of_products(products: list[str], variants: Mapping[str, str] | None) -> dict[str, str]:
    """The product line of each product: said by the caller, shown by the shape of a feature code, or itself."""
    given = dict(variants or {})
    if not all(isinstance(name, str) for pair in given.items() for name in pair):
        raise ArgumentTypeError("variants has to map products to product lines, text to text", location="variants")
    shapes = pl.DataFrame({"product": products}, schema={"product": pl.String})
    known = shapes.select(pl.coalesce(product_line("product"), "product")).to_series().to_list()
    return {product: given.get(product, given.get(line, line)) for product, line in zip(products, known, strict=True)}


def _with_machines(stays: list[Stay], lines: pl.DataFrame, machine_metered: list[str]) -> list[Stay]:
    """A machine that pays lives where the person does who used it most."""
    if not machine_metered or "person" not in lines.columns:
        return stays
    machines = lines.filter(pl.col("product").cast(pl.String).is_in(machine_metered)).select(
        pl.col("person").cast(pl.String), pl.col("of_person").cast(pl.String)
    )
    most = (
        machines.drop_nulls().group_by("person", "of_person").len().sort("len", "of_person", descending=[True, False])
    )
    owner = dict(most.unique("person", keep="first", maintain_order=True).select("person", "of_person").iter_rows())
    by_person: dict[str, list[Stay]] = {}
    for stay in stays:
        by_person.setdefault(stay[0], []).append(stay)
    known = set(by_person)
    return stays + [
        (machine, since, until, zone)
        for machine, person in owner.items()
        if machine not in known
        for _, since, until, zone in by_person.get(person, [])
    ]


def _compiled(lines: pl.DataFrame, rates: Rates | None, terms: Terms) -> pl.DataFrame:
    """The columns as the compiled part takes them."""
    date = pl.col("usage_date").to_physical() if "usage_date" in lines.columns else pl.lit(None, pl.Int32)
    columns = [
        pl.col(name)
        for name in ("user", "product", "person", "server", "charged_at", "window_end")
        if name in lines.columns
    ]
    compiled = lines.select(*columns, usage_date=date.cast(pl.UInt32, strict=False))
    if terms.machine_metered and {"person", "host"} <= set(lines.columns):
        # Two people on a machine that pays are not two spellings of it.
        by_host = pl.col("product").cast(pl.String).is_in(terms.machine_metered)
        compiled = compiled.with_columns(
            lines.select(
                user=pl.when(by_host).then(pl.col("host").cast(pl.String)).otherwise(pl.col("user").cast(pl.String))
            )
        )
    if rates is not None and rates.families() and "category" in lines.columns:
        category = lines["category"].cast(tables.CHARGES["category"]).to_physical().cast(pl.UInt32)
        units = (lines["tokens"] * 10_000).cast(pl.Int64).fill_null(-(2**63))
        compiled = compiled.with_columns(category=category, units=units)
    return compiled.with_columns(_flags(lines, terms))


def _flags(lines: pl.DataFrame, terms: Terms) -> list[pl.Series]:
    """What is special about lines, as bits; no column where nothing can be."""
    marks = []
    if "is_manual" in lines.columns:
        marks.append(pl.col("is_manual").fill_null(value=False).cast(pl.UInt32) * MANUAL)
    if "is_swapped" in lines.columns:
        marks.append(pl.col("is_swapped").fill_null(value=False).cast(pl.UInt32) * SWAPPED)
    shortest = terms.rule.min_duration if terms.rule is not None else timedelta(0)
    if shortest > timedelta(0) and {"start", "end"} <= set(lines.columns):
        is_short = ((pl.col("end") - pl.col("start")) < shortest).fill_null(value=False)
        marks.append(is_short.cast(pl.UInt32) * BELOW_MINIMUM)
    return [lines.select(pl.sum_horizontal(marks).cast(pl.UInt32).alias("flags")).to_series()] if marks else []


def _tell(faults: pl.DataFrame, lines: pl.DataFrame, source: str, found: Problems) -> None:
    """Lines that cannot be judged; of each user without a zone how many and what they cost."""
    code = pl.col("code").cast(pl.String)
    each = faults.filter(code != "user_without_zone")
    rows = lines["row"].gather(each["location"]).cast(pl.UInt64)
    found.add(
        each.select(
            source=pl.lit(source),
            location=rows,
            code=code,
            message=code.replace_strict(_MESSAGES, return_dtype=pl.String),
        )
    )
    without = lines.select("user", "tokens").select(
        pl.all().gather(faults.filter(code == "user_without_zone")["location"])
    )
    counted = without.group_by(pl.col("user").cast(pl.String), maintain_order=True).agg(
        pl.len().alias("charges"), pl.col("tokens").sum()
    )
    found.add(
        counted.select(
            source=pl.lit("users"),
            location=pl.lit(None, pl.UInt64),
            code=pl.lit("user_without_zone"),
            message=pl.format(
                "{} has no zone: {} charges of {} tokens are not judged",
                "user",
                "charges",
                pl.col("tokens").cast(pl.String).str.strip_chars_end("0").str.strip_chars_end("."),
            ),
        )
    )


def _both(pairs: pl.DataFrame, lines: pl.DataFrame) -> pl.DataFrame:
    """The pairs with what is known of both charges."""
    lines = lines.with_columns(
        pl.lit(None, dtype).alias(name)
        for name, dtype in (("server", pl.String), ("trigger", tables.CHARGES["trigger"]))
        if name not in lines.columns
    )
    first = lines.select(pl.col(name).gather(pairs["first"]).alias(to) for to, name in _FIRST.items())
    second = {**_SECOND, "trigger": "trigger", "tokens": "tokens"}
    return pairs.hstack(first).hstack(
        lines.select(pl.col(name).gather(pairs["second"]).alias(to) for to, name in second.items())
    )


def _finished(whole: pl.DataFrame, terms: Terms) -> pl.DataFrame:
    """The table of the verb."""
    if terms.by_days:
        # The date of a second server that came by its midnight.
        came = (pl.col("causes") & _BIT["two_servers"] != 0) & (pl.col("trigger").cast(pl.String) == "renewal")
        both = pl.when(came.fill_null(value=False) & (pl.col("is_claimable") == 0)).then(_BIT["server_midnight"])
        whole = whole.with_columns(causes=pl.col("causes") | both.otherwise(0).cast(pl.UInt32))
        whole = whole.with_columns(_own_midnights(whole, terms))
    whole = whole.with_columns(
        cause=_leading(whole["causes"]),
        causes=_all(whole["causes"]),
        is_claimable=pl.col("is_claimable").cast(pl.Boolean),
        gap=pl.col("charged_at") - pl.col("first_window_end"),
        tokens=pl.col("tokens") - pl.col("due"),
    )
    return tables.finish(whole, tables.DOUBLE_CHARGES)


def _own_midnights(whole: pl.DataFrame, terms: Terms) -> pl.Series:
    """The causes, where the midnight that the rule knows is the person's own midnight, too."""
    at = local_times(whole["first_window_end"], whole["zone"]).dt.time()
    begins = terms.rule.day_start if terms.rule is not None else timedelta(0)
    is_own = (at == (EPOCH + begins).time()).fill_null(value=False)
    known, other = _BIT["server_midnight"], _BIT["own_midnight"]
    moved = pl.when(is_own & (pl.col("causes") & known != 0)).then((pl.col("causes") ^ known) | other)
    return whole.select(moved.otherwise("causes").cast(pl.UInt32).alias("causes")).to_series()


def _names_of(bits: int) -> list[str]:
    return [name for name, bit in _BIT.items() if bits & bit] or [tables.DOUBLE_CHARGE_CAUSES[-1]]


def _leading(bits: pl.Series) -> pl.Series:
    known = {value: _names_of(value)[0] for value in bits.unique().to_list()}
    return bits.replace_strict(known, return_dtype=tables.DOUBLE_CHARGES["cause"])


def _all(bits: pl.Series) -> pl.Series:
    values = bits.unique()
    named = pl.DataFrame(
        {"bits": values, "causes": [_names_of(value) for value in values.to_list()]},
        schema={"bits": bits.dtype, "causes": tables.DOUBLE_CHARGES["causes"]},
    )
    return bits.to_frame("bits").join(named, on="bits", how="left", maintain_order="left")["causes"]
