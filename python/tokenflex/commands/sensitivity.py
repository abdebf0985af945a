"""`tokenflex sensitivity`: which change would move the cost of the use in the logs most."""

from __future__ import annotations

import json
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path  # noqa: TC003 - typer reads the annotations when it runs
from typing import TYPE_CHECKING, Annotated, Any, Final

import polars as pl
import typer
from rich.text import Text

import tokenflex as tf
from tokenflex import screen
from tokenflex.commands.activity import ActivityOption, activity_of, durations_of
from tokenflex.commands.compare import TITLES as MODELS
from tokenflex.commands.contracts import money
from tokenflex.commands.logs import paired
from tokenflex.commands.options import (
    AliasesOption,
    AsOfOption,
    JsonOption,
    LogOptions,
    LogsArgument,
    UsersOption,
    fail,
    instant_of,
    readable_errors,
    takes,
    users_of,
    writer_of,
)
from tokenflex.summary import plain, problem_groups
from tokenflex.words import many, some

if TYPE_CHECKING:
    from rich.console import Console

BARS_SHOWN: Final = 15
NARROWEST_BAR: Final = 4
LARGE: Final = 10_000
"""From here on cents say nothing."""

HELP = """Say which change would move the cost most: rates, price, head count, idle licenses, zones of servers.

\b
  tokenflex sensitivity logs/ --timezone Europe/Madrid --rates rates.csv \\
    --token-price 3
\b
With the rates announced for next year, and idle licenses taken back:
  tokenflex sensitivity logs/ --timezone Europe/Madrid --rates rates.csv \\
    --token-price 3 --new-rates rates-2027.csv --rate-change=-5%,20% \\
    --harvest 1h,4h --activity activity.csv

Each change is made alone, and the use is charged anew. A percentage is tried up and down; several as they stand. With
--price-list each change also says whether another way to pay would then be the cheapest.
"""


@dataclass(frozen=True, kw_only=True)
class SensitivityOptions(LogOptions):
    """The options of what is changed, besides those of logs."""

    token_price: Annotated[str | None, typer.Option(metavar="MONEY", help="What a token costs.")] = None
    offer: Annotated[
        Path | None,
        typer.Option(help="In place of --token-price: an offer of Token Flex, as TOML."),
    ] = None
    new_rates: Annotated[Path | None, typer.Option(help="Rates that the vendor announced, as --rates.")] = None
    rate_change: Annotated[str, typer.Option(metavar="PERCENT", help="How much rates may change; 0% for not.")] = "10%"
    price_change: Annotated[str, typer.Option(metavar="PERCENT", help="How much the price of a token may change.")] = (
        "10%"
    )
    head_count: Annotated[str, typer.Option(metavar="PERCENT", help="How many persons may come or go.")] = "10%"
    harvest: Annotated[
        str | None, typer.Option(metavar="1h,4h,…", help="After how long idle licenses might be taken back.")
    ] = None
    activity: ActivityOption = None
    users: UsersOption = None
    zone: Annotated[
        list[str] | None,
        typer.Option(metavar="ZONE", help="Where a server might stand, once for each. Default: UTC-12 to UTC+14."),
    ] = None
    price_list: Annotated[
        Path | None, typer.Option(help="What subscriptions and maintenance cost, as TOML: see tokenflex compare.")
    ] = None
    aliases: AliasesOption = None
    seed: Annotated[int, typer.Option(min=0, help="Draws other persons.")] = 0


@takes(SensitivityOptions)
def sensitivity(
    logs: LogsArgument,
    *,
    asked: SensitivityOptions,
    out: Annotated[Path | None, typer.Option(help="Write every change here: .parquet or .csv.")] = None,
    as_of: AsOfOption = None,
    as_json: JsonOption = False,
) -> None:
    """Tries what may change; see `HELP`."""
    with readable_errors():
        write = writer_of(out)
        terms = _terms(asked)
        identity = tf.Identity() if asked.aliases is None else tf.Identity.read(asked.aliases)
        problems = tf.Problems()
        known = activity_of(asked.activity, asked.zones, problems)
        run = paired(logs, asked, as_of=instant_of(as_of), identity=identity)
        found = tf.sensitivity(
            run.sessions,
            rule=asked.terms,
            rates=run.rates,
            servers=run.servers,
            activity=None if known is None else identity.apply(known, problems=problems),
            as_of=instant_of(as_of),
            problems=problems,
            **terms,
        )
        write(found.changes)
        groups = problem_groups(pl.concat([run.problems, problems.frame]))
        if as_json:
            typer.echo(json.dumps(_plain(found, groups), indent=2))
        elif not asked.quiet:
            to = screen.console()
            show_sensitivity(found, to)
            screen.show_problems(groups, to)
            if out is not None:
                to.print(f"{found.changes.height:,} rows written to {out}", soft_wrap=True)


def _terms(asked: SensitivityOptions) -> dict[str, Any]:
    """What is changed, as the verb takes it."""
    if (asked.token_price is None) == (asked.offer is None):
        fail("give --token-price or --offer, one of the two: what does a token cost?")
    harvest = None if asked.harvest is None else durations_of(asked.harvest, "--harvest")
    return {
        "token_price": asked.token_price if asked.offer is None else tf.Offer.read(asked.offer),
        "users": None if asked.users is None else users_of(asked.users),
        "new_rates": None if asked.new_rates is None else _rates_in(asked.new_rates),
        "rate_change": percents_of(asked.rate_change, "--rate-change"),
        "price_change": percents_of(asked.price_change, "--price-change"),
        "head_count": percents_of(asked.head_count, "--head-count"),
        "seed": asked.seed,
        "harvest": harvest,
        "zones": asked.zone or None,
        "price_list": None if asked.price_list is None else tf.PriceList.read(asked.price_list),
    }


def _rates_in(path: Path) -> tf.Rates:
    try:
        return tf.Rates.read(path)
    except tf.SourceError:
        raise
    except tf.TokenflexError as error:
        fail(f"--new-rates {path}: {error}")


def percents_of(text: str, option: str) -> str | list[str]:
    """Percentages as one writes them: `10%` is tried up and down, `-5%,20%` as they stand."""
    parts = [part.strip() for part in text.split(",")]
    if not all(part.endswith("%") for part in parts):
        fail(f"{option} {text}: give percent, such as 10% (up and down), or {option}=-5%,20%")
    numbers = [part.removesuffix("%").strip() for part in parts]
    return numbers[0] if len(numbers) == 1 else numbers


def show_sensitivity(found: tf.Sensitivity, to: Console, *, brief: bool = False) -> None:
    """Prints the base, and a bar for each change, the widest first; `brief` leaves out what is of one product alone."""
    to.print()
    currency = f" {found.currency}" if found.currency is not None else ""
    each = screen.tokens(found.token_price)
    to.print(f"{money(found.cost)}{currency} for {screen.tokens(found.tokens)} tokens at {each} each", style="bold")
    if found.first is not None:
        without = many(found.charges_without_rate, "charge")
        lacks = f", without {without} of no known rate" if found.charges_without_rate else ""
        to.print(f"of {found.first} to {found.last}{lacks}")
    to.print()
    _show_bars(found, to, brief=brief)
    _show_reasons(found, to)
    if found.cheapest is not None and not brief:
        _show_ways(found, to)


def _show_bars(found: tf.Sensitivity, to: Console, *, brief: bool) -> None:
    """The tornado: to the left what costs less, to the right what costs more."""
    computed = found.changes.filter(pl.col("tokens").is_not_null())
    groups = [rows for rows in computed.partition_by("change", "item", maintain_order=True) if rows["swing"][0]]
    if brief:
        groups = [rows for rows in groups if not _is_of_product(rows)]
    if not groups:
        to.print("Nothing that was changed makes a difference.\n")
        return
    # What is of one product alone gives way to the rest.
    chosen = sorted(range(len(groups)), key=lambda place: _is_of_product(groups[place]))[:BARS_SHOWN]
    shown = [groups[place] for place in sorted(chosen)]
    ends = [(min(_ends(rows)), max(_ends(rows))) for rows in shown]
    labels = [label(rows) for rows in shown]
    places = 0 if found.cost >= LARGE else 2
    low = [Text(_change(least, places)) for least, _ in ends]
    high = [Text(_change(most, places)) for _, most in ends]
    columns = ["less", "", "", "more"]
    taken = max(map(len, labels)) + sum(max(len(head), *(cell.cell_len for cell in cells)) for head, cells in
                                        (("less", low), ("more", high)))  # fmt: skip
    width = max(NARROWEST_BAR, (to.width - taken - len(columns)) // 2)
    widest = max(max(-least, most) for least, most in ends)
    block = "█" if to.encoding.lower().startswith("utf") else "#"

    def bar(amount: Decimal) -> str:
        return block * (max(1, round(amount / widest * width)) if amount else 0)

    rows = [
        (name, [less, Text(bar(-least), style="cyan"), Text(bar(most).ljust(width), style="yellow"), more])
        for name, less, more, (least, most) in zip(labels, low, high, ends, strict=True)
    ]
    note = "Each alone, charged anew, against the cost above: that of the time of the logs, not of a year."
    if len(groups) > len(shown):
        note += f" {many(len(groups) - len(shown), 'change')} more: see --out."
    screen.print_grid(to, "What changes the cost, the most first", columns, rows, _with_range(computed, note))


def _is_of_product(rows: pl.DataFrame) -> bool:
    return rows["change"][0] in ("rate", "new_rates") and rows["item"][0] is not None


def _ends(rows: pl.DataFrame) -> list[Decimal]:
    return [Decimal(0), *rows["difference_cost"].to_list()]


def _change(value: Decimal, places: int) -> str:
    return f"{value:+,.{places}f}" if value else ""


def _with_range(computed: pl.DataFrame, note: str) -> str:
    """The note, with how far a head count may lie off."""
    told = [
        f"{value}: {money(low, places=0)} to {money(high, places=0)}"
        for value, low, high in computed.drop_nulls("cost_p10").select("value", "cost_p10", "cost_p90").iter_rows()
    ]
    return note + (f"\nWho comes or goes is drawn; 80 % of the draws cost: {'; '.join(told)}." if told else "")


def label(rows: pl.DataFrame) -> str:
    """What is changed, in a few words."""
    change, item, values = rows["change"][0], rows["item"][0], rows.sort("tokens")["value"].to_list()
    shortened = [value.partition(" (")[0] for value in values]
    apart = {value.lstrip("+-") for value in shortened}
    percent = f"±{apart.pop()}" if len(shortened) > 1 and len(apart) == 1 else ", ".join(shortened)
    return {
        "rate": f"rate of {item} {percent}" if item is not None else f"all rates {percent}",
        "new_rates": f"new rate of {item}: {values[0]}" if item is not None else "new rates",
        "price": f"price {percent}",
        "head_count": f"persons {percent}",
        "harvest": f"idle licenses back after {item}",
        "server_zone": f"{item} in {' or '.join(values)}",
    }[change]


def _show_reasons(found: tf.Sensitivity, to: Console) -> None:
    """What was not computed, and why; each reason once."""
    left_out = found.changes.filter(pl.col("tokens").is_null())
    if left_out.is_empty():
        return
    reasons: dict[str, list[str]] = {}
    for change, value, reason in left_out.select("change", "value", "reason").iter_rows():
        reasons.setdefault(reason, []).append(value or change.replace("_", " "))
    for reason, what in reasons.items():
        to.print(f"Not computed: {', '.join(what)}: {reason}.")
    to.print()


def _show_ways(found: tf.Sensitivity, to: Console) -> None:
    """Whether the decision turns, and where it would."""
    best = MODELS[found.cheapest or ""]
    turned = found.changes.filter(pl.col("turns"))
    if turned.is_empty():
        to.print(f"{best} costs least, under each of these changes.")
    else:
        to.print(f"{best} costs least, but for:")
        for row in turned.iter_rows(named=True):
            of = found.changes.filter(pl.col("change") == row["change"], pl.col("value") == row["value"])
            to.print(f"  {label(of.filter(pl.col('item').eq_missing(row['item'])))}: {MODELS[row['cheapest']]}")
    to.print()
    if found.turning_points.is_empty():
        return
    table = screen.new_table("model", f">{found.currency} a year", ">at a token price of", ">that is", "not in it")
    for row in found.turning_points.iter_rows(named=True):
        change = "-" if row["rate_change"] is None else f"{row['rate_change']:+,.1f} %"
        table.add_row(
            MODELS[row["model"]], money(row["cost"]), money(row["token_price"], places=4), change, some(row["unpriced"])
        )
    note = "Above that price, or with all rates changed so, tokens for the same products are dearer."
    screen.print_table(to, "Where tokens cost the same", table, note)


def _plain(found: tf.Sensitivity, problems: pl.DataFrame) -> dict[str, Any]:
    return {
        "tokens": str(found.tokens),
        "cost": str(found.cost),
        "token_price": str(found.token_price),
        "currency": found.currency,
        "first": None if found.first is None else found.first.isoformat(),
        "last": None if found.last is None else found.last.isoformat(),
        "charges_without_rate": found.charges_without_rate,
        "cheapest": found.cheapest,
        "changes": plain(found.changes).to_dicts(),
        "turning_points": plain(found.turning_points).to_dicts(),
        "problems": plain(problems).to_dicts(),
    }
