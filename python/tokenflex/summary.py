"""The first answers to an administrator, as small tables computed from events, sessions, charges and problems.

Nothing here prints: the command line and reports show these frames, and anyone may take them further. Sessions and
charges may be LazyFrames of more rows than memory holds: then they are read a part at a time.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final, TypeAlias

import polars as pl

from tokenflex.usage.sessions import denials

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tokenflex.metering.rule import Rule
    from tokenflex.reading.flexlm import FlexlmLog

Rows: TypeAlias = pl.DataFrame | pl.LazyFrame
"""Sessions or charges, in memory or not."""

PART: Final = 2 << 20
"""About how many rows of a LazyFrame are in memory at a time."""

TWICE_WITHIN = timedelta(hours=12)
"""Two charges closer than this fall into one working day of a person, wherever that person is."""

_INVALID = (
    "end_before_start",
    "time_out_of_range",
    "missing_user",
    "missing_product",
    "missing_start",
    "missing_server",
    "unknown_server",
)
_UNPAIRED = ("checkin_without_checkout", "checkin_of_too_many")
_TOKENS = pl.Decimal(38, 4)


@dataclass(frozen=True)
class Summary:
    """All first answers of one run.

    Attributes:
        totals: one row: tokens, charges, charges_without_rate, sessions, open_sessions, users, products, servers,
            first and last (of the log lines)
        by_month: see `tokens_by_month`
        users: see `top_users`
        twice: see `charged_twice`
        spellings: see `second_spellings`
        uncharged: see `uncharged`
        problems: see `problem_groups`
        servers: the reader's coverage of every server: period, days without lines, whether it reports to the vendor
        files: the reader's account of every file; lines + glued = event + other + problem + repeated lines
    """

    rule_id: str
    totals: pl.DataFrame
    by_month: pl.DataFrame
    users: pl.DataFrame
    twice: pl.DataFrame
    spellings: pl.DataFrame
    uncharged: pl.DataFrame
    problems: pl.DataFrame
    servers: pl.DataFrame
    files: pl.DataFrame

    def to_dict(self) -> dict[str, object]:
        """Plain values for JSON: tokens as exact decimal text, instants in ISO 8601."""
        tables = {name: value for name, value in vars(self).items() if isinstance(value, pl.DataFrame)}
        rows: dict[str, object] = {name: plain(table).to_dicts() for name, table in tables.items()}
        return {"rule_id": self.rule_id, **rows, "totals": plain(self.totals).row(0, named=True)}


def summarize(
    log: FlexlmLog, sessions: pl.DataFrame, charges: pl.DataFrame, problems: pl.DataFrame, *, rule: Rule
) -> Summary:
    """Everything an administrator asks first about a run over logs. `problems` are those of all steps together."""
    use = Use(
        log.coverage, log.files, *lines_of(log.events, denials(log.events, packages=log.packages)), sessions, charges
    )  # fmt: skip
    return summary_of(use, problems, rule=rule)


@dataclass(frozen=True)
class Use:
    """A run over logs, as far as a summary needs it.

    Attributes:
        coverage: See `tables.COVERAGE`; empty where there were no logs.
        files: See `tables.FILES`; empty where there were no logs.
        checkouts: How many lines of check-outs there are.
        refused: How many refusals there are of each kind, `DENIED` and `UNSUPPORTED`.
        sessions: See `tables.SESSIONS`.
        charges: See `tables.CHARGES`.
    """

    coverage: pl.DataFrame
    files: pl.DataFrame
    checkouts: int
    refused: dict[str, int]
    sessions: Rows
    charges: Rows


def lines_of(events: pl.DataFrame, denials: pl.DataFrame) -> tuple[int, dict[str, int]]:
    """How many check-outs the events have, and how many refusals of each kind there are."""
    refused = denials["kind"].cast(pl.String)
    kinds = {kind: int((refused == kind).sum()) for kind in ("DENIED", "UNSUPPORTED")}
    return int((events["kind"].cast(pl.String) == "OUT").sum()), kinds


def summary_of(use: Use, problems: pl.DataFrame, *, rule: Rule) -> Summary:
    """The summary of a run whose sessions and charges may be anywhere."""
    return Summary(
        rule_id=rule.rule_id,
        totals=_totals(use),
        by_month=tokens_by_month(use.charges),
        users=top_users(use.charges),
        twice=charged_twice(use.charges),
        spellings=second_spellings(use.charges),
        uncharged=_uncharged(use, problems, min_duration=rule.min_duration),
        problems=problem_groups(problems),
        servers=use.coverage,
        files=use.files,
    )


def _collected(rows: pl.LazyFrame) -> pl.DataFrame:
    return rows.collect(engine="streaming")


def _value(rows: Rows, value: pl.Expr) -> int:
    found: int | None = _collected(rows.lazy().select(value)).item()
    return found or 0


def _parts(rows: Rows, by: pl.Expr) -> Iterator[pl.DataFrame]:
    """All rows, in parts that memory holds; those with the same value of `by` are in one part."""
    if isinstance(rows, pl.DataFrame):
        yield rows
        return
    parts = max(1, -(-_value(rows, pl.len()) // PART))
    for part in range(parts):
        yield _collected(rows.filter(by.hash() % parts == part))


def tokens_by_month(charges: Rows) -> pl.DataFrame:
    """Charges and tokens by product and month, the dearest product first.

    Columns: product, month (its first day, by `usage_date`), charges, tokens. Tokens are null where no charge of the
    product in that month has a rate.
    """
    months = _collected(
        charges.lazy()
        .group_by(pl.col("product").cast(pl.String), month=pl.col("usage_date").dt.truncate("1mo"))
        .agg(charges=pl.len(), tokens=_total())
    ).with_columns(of_product=pl.col("tokens").sum().over("product"))
    return months.sort("of_product", "product", "month", descending=[True, False, False]).drop("of_product")


def top_users(charges: Rows, count: int = 10) -> pl.DataFrame:
    """The users who drew most tokens: user, products (by tokens), charges, tokens."""
    of_products = _collected(
        charges.lazy().group_by(pl.col("user", "product").cast(pl.String)).agg(charges=pl.len(), tokens=_total())
    )
    products = (
        of_products.sort("tokens", "product", descending=[True, False], nulls_last=True)
        .group_by("user", maintain_order=True)
        .agg(products=pl.col("product").str.join(" "))
    )
    users = of_products.group_by("user").agg(pl.col("charges").sum(), tokens=_total()).join(products, on="user")
    users = users.sort("tokens", "charges", "user", descending=[True, True, False], nulls_last=True)
    return users.select("user", "products", "charges", "tokens").head(count)


def charged_twice(charges: Rows, *, within: timedelta = TWICE_WITHIN) -> pl.DataFrame:
    """Charges that follow another one of the same user and product in less than `within`, in order of time.

    A first sight of double charges: causes are not told apart. Columns: user, product, server, first_at, charged_at,
    trigger, tokens (of the second charge).
    """
    found = []
    for part in _parts(charges.with_row_index("row"), pl.col("user").cast(pl.String)):
        ordered = part.sort("charged_at", "row").with_columns(
            first_at=pl.col("charged_at").shift(1).over("user", "product")
        )
        found.append(ordered.filter(pl.col("charged_at") - pl.col("first_at") < within))
    twice = pl.concat(found).sort("charged_at", "row")
    columns = ("user", "product", "server")
    return twice.select(
        *(pl.col(column).cast(pl.String) for column in columns), "first_at", "charged_at", "trigger", "tokens"
    )


def doubles_by_cause(cases: pl.DataFrame) -> pl.DataFrame:
    """Of what `double_charges` gives cases, tokens and claimable tokens of each leading cause, the costliest first."""
    claimable = pl.col("tokens").filter(pl.col("is_claimable")).sum()
    counted = cases.group_by("cause").agg(pl.len().alias("cases"), pl.col("tokens").sum(), claimable=claimable)
    return counted.sort("tokens", "cause", descending=[True, False])


def second_spellings(charges: Rows) -> pl.DataFrame:
    """Names that differ in upper and lower case only, and what the second spelling cost: the same product on one date.

    Columns: names (all spellings), charges (of all), extra_charges, extra_tokens, the dearest first.
    """
    person = pl.col("user").cast(pl.String).str.to_lowercase()
    found = pl.concat([_spellings_of(part.with_columns(person=person)) for part in _parts(charges, person)])
    return found.sort("extra_tokens", "names", descending=[True, False])


def _spellings_of(people: pl.DataFrame) -> pl.DataFrame:
    people = people.with_columns(pl.col("user").cast(pl.String))
    people = people.filter(pl.col("user").n_unique().over("person") > 1)
    days = people.group_by("person", "product", "usage_date").agg(
        charges=pl.len(), extra_charges=pl.len() - 1, extra_tokens=(pl.col("tokens").sum() - pl.col("tokens").max())
    )
    names = people.group_by("person").agg(names=pl.col("user").unique().sort().str.join(" = "))
    extra = days.group_by("person").agg(
        pl.col("charges", "extra_charges").sum(), extra_tokens=pl.col("extra_tokens").sum().cast(_TOKENS)
    )
    return names.join(extra, on="person").select("names", "charges", "extra_charges", "extra_tokens")


def uncharged(
    events: pl.DataFrame,
    sessions: pl.DataFrame,
    charges: pl.DataFrame,
    denials: pl.DataFrame,
    problems: pl.DataFrame,
    *,
    min_duration: timedelta = timedelta(0),
) -> pl.DataFrame:
    """What the data hold and no tokens were charged for: reason, rows, of (what the rows are), detail.

    Every reason is listed, also with 0 rows, so that nobody has to ask whether it was looked at.
    """
    nothing = pl.DataFrame()
    use = Use(nothing, nothing, *lines_of(events, denials), sessions, charges)
    return _uncharged(use, problems, min_duration=min_duration)


def _uncharged(use: Use, problems: pl.DataFrame, *, min_duration: timedelta) -> pl.DataFrame:
    sessions, charges = use.sessions, use.charges
    codes = dict(problems.group_by("code").len().iter_rows())
    casual = _value(sessions, (pl.col("end") - pl.col("start") < min_duration).sum())
    invalid = sum(codes.get(code, 0) for code in _INVALID)
    charged = sum(part["session"].n_unique() for part in _parts(charges.select("session"), pl.col("session")))
    free = _value(sessions, pl.len()) - casual - invalid - charged
    no_rate = _collected(
        charges.lazy().filter(pl.col("tokens").is_null()).group_by(pl.col("product").cast(pl.String)).len()
    )
    products = ", ".join(no_rate["product"].drop_nulls().sort())
    checkouts = use.checkouts - codes.get("missing_name", 0)
    package = max(0, checkouts - _value(sessions, pl.col("checkouts").cast(pl.UInt64).sum()))
    minimum = f"shorter than {min_duration}, the rule's minimum" if min_duration else "the rule has no minimum duration"
    lacking = f"no rate for {products}" if products else "every product has a rate"
    rows = [
        ("free", free, "sessions", "inside a day or window that was paid already"),
        ("casual", casual, "sessions", minimum),
        ("no_rate", no_rate["len"].sum(), "charges", lacking),
        ("package", package, "checkouts", "package lines: the component beside each counts"),
        ("denied", use.refused["DENIED"], "refusals", "no license left, or not for this user"),
        ("unsupported", use.refused["UNSUPPORTED"], "refusals", "not in the license file"),
        ("unpaired", sum(codes.get(code, 0) for code in _UNPAIRED), "check-ins", "no checkout before them"),
        ("invalid", invalid, "sessions", "see the problems"),
    ]
    schema = {"reason": pl.String, "rows": pl.Int64, "of": pl.String, "detail": pl.String}
    return pl.DataFrame(rows, schema=schema, orient="row")


def problem_groups(problems: pl.DataFrame) -> pl.DataFrame:
    """The problems by code, the most frequent first: code, rows, source, location, message (of the first one)."""
    groups = problems.group_by("code", maintain_order=True).agg(
        rows=pl.len(),
        source=pl.col("source").first(),
        location=pl.col("location").first(),
        message=pl.col("message").first(),
    )
    return groups.sort("rows", descending=True, maintain_order=True)


def _total() -> pl.Expr:
    """The sum of tokens, but null where none is known: a sum of nothing is not 0."""
    return pl.when(pl.col("tokens").is_not_null().any()).then(pl.col("tokens").sum().cast(_TOKENS))


def _totals(use: Use) -> pl.DataFrame:
    sessions, charges, coverage = use.sessions, use.charges, use.coverage
    span = coverage
    if coverage.is_empty():
        span = _collected(sessions.lazy().select(first=pl.col("start").min(), last=pl.col("end").max()))
    servers = coverage["server"].n_unique() if coverage.height else _distinct(sessions, "server")
    return pl.select(
        tokens=pl.lit(_collected(charges.lazy().select(_total())).to_series()),
        charges=pl.lit(_value(charges, pl.len())),
        charges_without_rate=pl.lit(_value(charges, pl.col("tokens").null_count())),
        sessions=pl.lit(_value(sessions, pl.len())),
        open_sessions=pl.lit(_value(sessions, pl.col("is_open").sum())),
        users=pl.lit(_distinct(sessions, "user")),
        products=pl.lit(_distinct(sessions, "product")),
        servers=pl.lit(servers),
        first=span["first"].min(),
        last=span["last"].max(),
    )


def _distinct(rows: Rows, column: str) -> int:
    return _value(rows, pl.col(column).cast(pl.String).n_unique())


def plain(table: pl.DataFrame) -> pl.DataFrame:
    """Values that JSON has: decimals, instants and days as text."""
    return table.with_columns(
        pl.selectors.decimal().cast(pl.String),
        pl.selectors.datetime().dt.to_string("iso:strict"),
        pl.selectors.date().dt.to_string("iso"),
        pl.selectors.categorical().cast(pl.String),
        pl.selectors.enum().cast(pl.String),
        pl.selectors.list(pl.selectors.date()).list.eval(pl.element().dt.to_string("iso")),
    )
