"""The first answers to an administrator, as small tables computed from events, sessions, charges and problems.

Nothing here prints: the command line and reports show these frames, and anyone may take them further.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

import polars as pl

from tokenflex.usage.sessions import denials

if TYPE_CHECKING:
    from tokenflex.metering.rule import Rule
    from tokenflex.reading.flexlm import FlexlmLog

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
    return Summary(
        rule_id=rule.rule_id,
        totals=_totals(log, sessions, charges),
        by_month=tokens_by_month(charges),
        users=top_users(charges),
        twice=charged_twice(charges),
        spellings=second_spellings(charges),
        uncharged=uncharged(
            log.events,
            sessions,
            charges,
            denials(log.events, packages=log.packages),
            problems,
            min_duration=rule.min_duration,
        ),
        problems=problem_groups(problems),
        servers=log.coverage,
        files=log.files,
    )


def tokens_by_month(charges: pl.DataFrame) -> pl.DataFrame:
    """Charges and tokens by product and month, the dearest product first.

    Columns: product, month (its first day, by `usage_date`), charges, tokens. Tokens are null where no charge of the
    product in that month has a rate.
    """
    months = (
        charges.group_by(pl.col("product").cast(pl.String), month=pl.col("usage_date").dt.truncate("1mo"))
        .agg(charges=pl.len(), tokens=_total())
        .with_columns(of_product=pl.col("tokens").sum().over("product"))
    )
    return months.sort("of_product", "product", "month", descending=[True, False, False]).drop("of_product")


def top_users(charges: pl.DataFrame, count: int = 10) -> pl.DataFrame:
    """The users who drew most tokens: user, products (by tokens), charges, tokens."""
    named = charges.with_columns(pl.col("user", "product").cast(pl.String))
    products = (
        named.group_by("user", "product")
        .agg(tokens=_total())
        .sort("tokens", "product", descending=[True, False], nulls_last=True)
        .group_by("user", maintain_order=True)
        .agg(products=pl.col("product").str.join(" "))
    )
    users = named.group_by("user").agg(charges=pl.len(), tokens=_total()).join(products, on="user")
    users = users.sort("tokens", "charges", "user", descending=[True, True, False], nulls_last=True)
    return users.select("user", "products", "charges", "tokens").head(count)


def charged_twice(charges: pl.DataFrame, *, within: timedelta = TWICE_WITHIN) -> pl.DataFrame:
    """Charges that follow another one of the same user and product in less than `within`, in order of time.

    A first sight of double charges: causes are not told apart. Columns: user, product, server, first_at, charged_at,
    trigger, tokens (of the second charge).
    """
    ordered = charges.sort("charged_at", maintain_order=True).with_columns(
        first_at=pl.col("charged_at").shift(1).over("user", "product")
    )
    twice = ordered.filter(pl.col("charged_at") - pl.col("first_at") < within)
    columns = ("user", "product", "server")
    return twice.select(
        *(pl.col(column).cast(pl.String) for column in columns), "first_at", "charged_at", "trigger", "tokens"
    )


def doubles_by_cause(cases: pl.DataFrame) -> pl.DataFrame:
    """Of what `double_charges` gives cases, tokens and claimable tokens of each leading cause, the costliest first."""
    claimable = pl.col("tokens").filter(pl.col("is_claimable")).sum()
    counted = cases.group_by("cause").agg(pl.len().alias("cases"), pl.col("tokens").sum(), claimable=claimable)
    return counted.sort("tokens", "cause", descending=[True, False])


def second_spellings(charges: pl.DataFrame) -> pl.DataFrame:
    """Names that differ in upper and lower case only, and what the second spelling cost: the same product on one date.

    Columns: names (all spellings), charges (of all), extra_charges, extra_tokens, the dearest first.
    """
    people = charges.with_columns(
        pl.col("user").cast(pl.String), person=pl.col("user").cast(pl.String).str.to_lowercase()
    )
    people = people.filter(pl.col("user").n_unique().over("person") > 1)
    days = people.group_by("person", "product", "usage_date").agg(
        charges=pl.len(), extra_charges=pl.len() - 1, extra_tokens=(pl.col("tokens").sum() - pl.col("tokens").max())
    )
    names = people.group_by("person").agg(names=pl.col("user").unique().sort().str.join(" = "))
    extra = days.group_by("person").agg(
        pl.col("charges", "extra_charges").sum(), extra_tokens=pl.col("extra_tokens").sum().cast(_TOKENS)
    )
    found = names.join(extra, on="person").sort("extra_tokens", "names", descending=[True, False])
    return found.select("names", "charges", "extra_charges", "extra_tokens")


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
    codes = dict(problems.group_by("code").len().iter_rows())
    casual = (sessions["end"] - sessions["start"] < min_duration).sum()
    invalid = sum(codes.get(code, 0) for code in _INVALID)
    free = sessions.height - casual - invalid - charges["session"].n_unique()
    no_rate = charges.filter(pl.col("tokens").is_null())
    products = ", ".join(no_rate["product"].cast(pl.String).unique().sort())
    checkouts = (events["kind"].cast(pl.String) == "OUT").sum() - codes.get("missing_name", 0)
    package = max(0, checkouts - sessions["checkouts"].sum())
    refused = denials["kind"].cast(pl.String)
    minimum = f"shorter than {min_duration}, the rule's minimum" if min_duration else "the rule has no minimum duration"
    rows = [
        ("free", free, "sessions", "inside a day or window that was paid already"),
        ("casual", casual, "sessions", minimum),
        ("no_rate", no_rate.height, "charges", f"no rate for {products}" if products else "every product has a rate"),
        ("package", package, "checkouts", "package lines: the component beside each counts"),
        ("denied", (refused == "DENIED").sum(), "refusals", "no license left, or not for this user"),
        ("unsupported", (refused == "UNSUPPORTED").sum(), "refusals", "not in the license file"),
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


def _totals(log: FlexlmLog, sessions: pl.DataFrame, charges: pl.DataFrame) -> pl.DataFrame:
    return pl.select(
        tokens=pl.lit(charges.select(_total()).to_series()),
        charges=pl.lit(charges.height),
        charges_without_rate=pl.lit(charges["tokens"].null_count()),
        sessions=pl.lit(sessions.height),
        open_sessions=pl.lit(sessions["is_open"].sum()),
        users=pl.lit(sessions["user"].n_unique()),
        products=pl.lit(sessions["product"].n_unique()),
        servers=pl.lit(log.coverage["server"].n_unique()),
        first=log.coverage["first"].min(),
        last=log.coverage["last"].max(),
    )


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
