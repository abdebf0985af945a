"""`tokenflex balance`: what is left of a contract's tokens, how long it lasts, and what tokens have cost."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Any, Final

import polars as pl
import typer

from tokenflex import screen
from tokenflex.commands.contracts import ContractOptions, SourceArgument, local, money, settled, show_balances
from tokenflex.commands.options import JsonOption, instant_of, readable_errors, takes
from tokenflex.summary import plain, problem_groups
from tokenflex.words import many

if TYPE_CHECKING:
    from decimal import Decimal

    from rich.console import Console

    import tokenflex as tf
    from tokenflex.commands.contracts import Settled
    from tokenflex.contract.forecast import Burn

WITHIN: Final = 90
WINDOW: Final = 28
_LONGEST: Final = 36_500

HELP = """Say what is left of a contract's tokens, how long it will last, what will expire, and what tokens have cost.

\b
  tokenflex balance logs/ --timezone Europe/Madrid --rates rates.csv \\
    --contract contract.toml
  tokenflex balance charges.csv --contract contract.toml --at 2026-01-01

How long it lasts is arithmetic at one rate, that of the days of --window, and no forecast.
"""


@takes(ContractOptions)
def balance(
    source: SourceArgument,
    *,
    asked: ContractOptions,
    at: Annotated[
        str | None, typer.Option(metavar="TIME", help="At which time. Default: the last charge or booking.")
    ] = None,
    within: Annotated[
        int, typer.Option(metavar="DAYS", min=0, max=_LONGEST, help="What expires within so many days.")
    ] = WITHIN,
    window: Annotated[
        int, typer.Option(metavar="DAYS", min=1, max=_LONGEST, help="The rate is that of so many days before.")
    ] = WINDOW,
    as_json: JsonOption = False,
) -> None:
    """Shows the balance; see `HELP`."""
    with readable_errors():
        # Settled to that time and no further, so that a time after the last charge will do.
        run = settled(source, asked, as_of=instant_of(at, "--at"))
        burn = run.ledger.burn(window=timedelta(days=window))
        expiring = run.ledger.expiring(within=timedelta(days=within))
        if as_json:
            typer.echo(json.dumps(_plain(run, burn, expiring), indent=2))
        elif not asked.quiet:
            to = screen.console()
            _headline(run.ledger, burn, window, to)
            show_balances(run.ledger, to)
            _show_outlook(run.ledger, burn, to)
            _show_expiring(run.ledger, expiring, within, to)
            _show_cost(run.ledger, to)
            screen.show_problems(problem_groups(run.problems), to)


def _plain(run: Settled, burn: Burn, expiring: pl.DataFrame) -> dict[str, Any]:
    ledger = run.ledger
    return {
        "contract": ledger.contract.number,
        "currency": ledger.contract.currency,
        "at": burn.at.isoformat(),
        "left": str(burn.balance),
        "since": burn.since.isoformat(),
        "tokens": str(burn.tokens),
        "tokens_per_day": None if burn.tokens_per_day is None else str(burn.tokens_per_day),
        "exhausted_at": None if burn.exhausted_at is None else burn.exhausted_at.isoformat(),
        "expected_overage": str(burn.expected_overage),
        "expected_expiry": str(burn.expected_expiry),
        "balances": plain(ledger.balances()).to_dicts(),
        "outlook": plain(burn.pools).to_dicts(),
        "expiring": plain(expiring).to_dicts(),
        "cost": plain(ledger.cost()).to_dicts(),
        "problems": plain(problem_groups(run.problems)).to_dicts(),
    }


def _headline(ledger: tf.Ledger, burn: Burn, window: int, to: Console) -> None:
    contract = ledger.contract
    zone, left = contract.zone, screen.tokens(burn.balance)
    rate = f"the rate of {screen.tokens(burn.tokens_per_day)} tokens a day"
    to.print()
    if burn.at >= contract.closes:
        expired = screen.tokens(ledger.balances()["expired"][-1])
        answer = f"no tokens left: the contract ended on {contract.end}, and {expired} tokens had expired by then"
    elif not burn.tokens_per_day:
        days = many(window, "day")
        answer = f"{left} tokens left; none was used in the {days} before, so nothing says how long they last"
    elif burn.exhausted_at is None:
        answer = f"{left} tokens left, enough until the contract ends on {contract.end} at {rate}"
    elif burn.exhausted_at <= burn.at:
        answer = f"{left} tokens left, so what is used is owed, at {rate}"
    else:
        answer = f"{left} tokens left, enough until {local(burn.exhausted_at, zone)[:10]} at {rate}"
    to.print(answer, style="bold")
    to.print(f"contract {contract.number} on {local(burn.at, zone)} ({zone}), which ends on {contract.end}")
    coming = [pool for pool in contract.pools if pool.opens > burn.at]
    if coming:
        pool = min(coming, key=lambda each: each.opens)
        to.print(f"next to open: {pool.id} on {local(pool.opens, zone)[:10]}, with {screen.tokens(pool.tokens)} tokens")
    to.print()


def _show_outlook(ledger: tf.Ledger, burn: Burn, to: Console) -> None:
    if burn.tokens_per_day is None or burn.pools.is_empty():
        return
    zone = ledger.contract.zone
    last = {pool.id: pool.end for pool in ledger.contract.pools}
    table = screen.new_table("pool", "opens", "last day", ">tokens", "runs dry", ">will expire")
    for row in burn.pools.iter_rows(named=True):
        dry = row["exhausted_at"]
        table.add_row(
            row["pool"],
            local(row["opens"], zone)[:10],
            str(last[row["pool"]]),
            screen.tokens(row["tokens"]),
            "-" if dry is None else local(dry, zone)[:10],
            screen.tokens(row["expected_expiry"]),
        )
    table.add_section()
    table.add_row("all", "", "", "", "", screen.tokens(burn.expected_expiry), style="bold")
    note = (
        f"From {local(burn.since, zone)} on {screen.tokens(burn.tokens)} tokens were used. At that rate "
        f"{screen.tokens(burn.expected_overage)} will be missing by the end of the contract. This is arithmetic, no "
        "forecast: it knows of no holidays and no purchase to come."
    )
    screen.print_table(to, "If tokens go on being used at this rate", table, note)


def _show_expiring(ledger: tf.Ledger, expiring: pl.DataFrame, within: int, to: Console) -> None:
    days = many(within, "day")
    if expiring.is_empty():
        to.print(f"No pool that has tokens ends within {days}.\n")
        return
    table = screen.new_table("pool", "last day", ">tokens", f">value ({ledger.contract.currency})")
    for pool, end, tokens, value in expiring.select("pool", "end", "tokens", "value").iter_rows():
        table.add_row(pool, str(end), screen.tokens(tokens), money(value))
    screen.print_table(to, f"Expires within {days} if nobody uses it", table)


def _show_cost(ledger: tf.Ledger, to: Console) -> None:
    costs = ledger.cost()
    known = costs.filter(pl.col("tokens_bought") > 0) if costs.height > 1 else costs
    total = costs.row(-1, named=True)
    currency = ledger.contract.currency
    if costs["unit_price"].null_count() == costs.height:
        to.print("What tokens cost is not known: the contract has no prices.\n")
        return
    table = screen.new_table("pool", ">price", ">used", ">expired", ">worth used", ">worth expired", ">each used")
    for row in known.filter(pl.col("pool").is_not_null()).iter_rows(named=True):
        table.add_row(row["pool"], *_cost_cells(row))
    if total["overage"]:
        price = money(ledger.contract.overage_price, places=4)
        table.add_row("(owed)", price, screen.tokens(total["overage"]), "", money(total["overage_cost"]), "", "")
    table.add_section()
    owed: Decimal = total["overage"]
    together = total | {"tokens_consumed": total["tokens_consumed"] + owed, "value_consumed": _with_owed(total)}
    table.add_row("all", *_cost_cells(together), style="bold")
    note = "`each used`: what was used and what expired, for each token used."
    screen.print_table(to, f"What tokens have cost ({currency})", table, note)


def _cost_cells(row: dict[str, Any]) -> list[str]:
    return [
        money(row["unit_price"], places=4),
        screen.tokens(row["tokens_consumed"]),
        screen.tokens(row["tokens_expired"]),
        money(row["value_consumed"]),
        money(row["value_expired"]),
        money(row["effective_price"], places=4),
    ]


def _with_owed(total: dict[str, Any]) -> Decimal | None:
    used: Decimal | None = total["value_consumed"]
    owed: Decimal | None = total["overage_cost"]
    return None if used is None or owed is None else used + owed
