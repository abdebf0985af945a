"""`tokenflex demo`: an invented firm, to see it all work."""

from __future__ import annotations

import json
import shlex
import tempfile
from importlib.util import find_spec
from pathlib import Path  # noqa: TC003 - typer reads the annotations when it runs
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

import tokenflex as tf
from tokenflex import screen
from tokenflex.commands.compare import show_comparison
from tokenflex.commands.contracts import Charged
from tokenflex.commands.estimate import show_estimate
from tokenflex.commands.ledger import show_ledger
from tokenflex.commands.logs import Metered, metered
from tokenflex.commands.month import MonthOptions, month_of
from tokenflex.commands.options import JsonOption, LogOptions, may_be_written, readable_errors
from tokenflex.commands.plan import PlanOptions, forecasted, show_plan
from tokenflex.commands.report import FILES, plain_of, show_answers, write_report
from tokenflex.commands.sensitivity import show_sensitivity
from tokenflex.contract.days import ONE_DAY, months_later
from tokenflex.demo import FEWEST_MONTHS, MOST_MONTHS, DemoFirm, write_logs
from tokenflex.demo.firm import FIRST_DAY
from tokenflex.summary import summarize

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import date

    import polars as pl
    from rich.console import Console

HELP = """Write the logs of an invented firm, charge them, and show what an administrator wants to know first.

\b
  tokenflex demo
  tokenflex demo --report demo.html

Three license servers in Madrid, Chicago and Singapore, with everything real logs hold: crashes, lost check-ins, rotated
and repeated files, clock changes, damaged lines.
"""
TOKEN_PRICE: Final = 3
"""A demo value, as all prices of the demo."""


def demo(
    folder: Annotated[
        Path | None, typer.Option(help="Where to write the demo's files. A new temporary folder if not given.")
    ] = None,
    months: Annotated[
        int, typer.Option(min=FEWEST_MONTHS, max=MOST_MONTHS, help="How many months of logs, from September 2025.")
    ] = 5,
    report: Annotated[
        Path | None, typer.Option(help="Write the report of the firm here and show its answers: .html or .xlsx.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Shows the demo; see `HELP`."""
    with readable_errors():
        if report is not None:
            may_be_written(report, "--report", FILES)
        firm = write_logs(folder or tempfile.mkdtemp(prefix="tokenflex-demo-"), months=months)
        # Logs that this program writes are whole to their last day, which need not have a charge.
        until = months_later(FIRST_DAY, months) - ONE_DAY
        asked = PlanOptions(
            timezone=[f"{server}={zone}" for server, zone in firm.servers.items()],
            rule=str(firm.rule_path),
            rates=firm.rates_path,
            until=until.isoformat(),
            incomplete="keep",
        )
        if report is not None:
            _report(firm, asked, report, as_json=as_json)
            return
        run = metered([str(firm.folder / "logs")], asked)
        if as_json:
            summary = summarize(run.log, run.sessions, run.charges, run.problems, rule=asked.terms)
            typer.echo(json.dumps({"folder": str(firm.folder), **summary.to_dict()}, indent=2))
            return
        to = screen.console()
        to.print("An invented firm: its servers, people and use are made up by this program.", style="dim")
        summary = summarize(run.log, run.sessions, run.charges, run.problems, rule=asked.terms)
        screen.show(summary, to, zones=firm.servers)
        _show_contract(firm, run.charges, to)
        _show_plan(firm, run, asked, to)
        _show_plans(firm, run, asked.terms, to)
        for line in _about_demo(firm, until):
            to.print(line, soft_wrap=True)


def _report(firm: DemoFirm, terms: LogOptions, out: Path, *, as_json: bool) -> None:
    """Writes the report with everything that the firm has."""
    asked = MonthOptions(
        timezone=terms.timezone,
        rule=terms.rule,
        rates=terms.rates,
        quiet=as_json,
        statement=firm.statement_path,
        contract=firm.contract_path,
        users=firm.users_path,
        groups=firm.groups_path,
        activity=firm.activity_path,
        price_list=firm.price_list_path,
        offer=firm.offer_path,
        token_price=str(TOKEN_PRICE),
        hours="08:00-18:00",
    )
    month = month_of([str(firm.folder / "logs")], asked, lambda _: None)
    write_report(month.report, out)
    if as_json:
        answer = {"folder": str(firm.folder), **plain_of(month), "files": {"report": str(out)}}
        typer.echo(json.dumps(answer, indent=2))
        return
    to = screen.console()
    to.print("An invented firm: its servers, people, use and prices are made up by this program.", style="dim")
    show_answers(month, to)
    to.print(f"The report was written to {out}", style="bold green", soft_wrap=True)
    to.print(f"The firm's files are in {firm.folder}. The same with your own: tokenflex init --help", soft_wrap=True)


def _show_contract(firm: DemoFirm, charges: pl.DataFrame, to: Console) -> None:
    """Prints what became of the contract's tokens. Charges without a rate have been told of."""
    problems = tf.Problems()
    statement = tf.read_statement(firm.statement_path, problems=problems)
    settled = tf.Contract.read(firm.contract_path).settle(charges, statement=statement, problems=problems)
    to.print("What became of the tokens of the contract, which is made up as well:", style="dim")
    show_ledger(settled, to)


def _show_plan(firm: DemoFirm, run: Metered, asked: PlanOptions, to: Console) -> None:
    """Prints how many tokens the firm should buy for the years after the logs. Problems have been told."""
    to.print("How many tokens to buy for the three years to come, at prices that are made up as well:", style="dim")
    offer = tf.Offer.read(firm.offer_path)
    if find_spec("numpy") is None:
        to.print("Plans need numpy: pip install 'tokenflex[planning]'.\n")
        return
    given = forecasted(Charged(run.charges, run), offer=offer, asked=asked, problems=tf.Problems())
    found = tf.plan_purchase(given.paths, offer=offer, start=given.start, n=asked.number, seed=asked.seed)
    show_plan(found, given.said, to, brief=True)


def _show_plans(firm: DemoFirm, run: Metered, rule: tf.Rule, to: Console) -> None:
    """Prints what tokens would have cost a firm that has none yet, and what else would. Problems have been told."""
    sessions = tf.Identity().apply(run.sessions, problems=tf.Problems())
    terms: dict[str, Any] = {"rule": rule, "rates": run.rates, "servers": run.servers, "token_price": TOKEN_PRICE}
    to.print("What the firm would have had to reckon with before it had a contract, at made-up prices:", style="dim")
    estimated = tf.estimate(sessions, **terms, identity=tf.Identity(), coverage=run.coverage, problems=tf.Problems())
    show_estimate(estimated, to)
    to.print("Which change would move that most:", style="dim")
    show_sensitivity(tf.sensitivity(sessions, **terms, problems=tf.Problems()), to, brief=True)
    compared = tf.compare_models(
        sessions, **terms, price_list=tf.PriceList.read(firm.price_list_path), problems=tf.Problems()
    )
    show_comparison(compared, to)


def _about_demo(firm: DemoFirm, until: date) -> Iterator[str]:
    public = [rate for rate in firm.rates if not rate.is_invented]
    rates = ", ".join(f"{rate.product} {rate.tokens} ({rate.source})" for rate in public)
    yield f"Rates: {rates}; all others are demo values, not prices of the vendor, and so is the contract."
    yield f"The logs are in {firm.folder / 'logs'}"
    folder = shlex.quote(str(firm.folder))
    terms = [*(f"--timezone {server}={zone}" for server, zone in firm.servers.items())]
    terms.append(f"--rates {folder}/{firm.rates_path.name} --rule {folder}/{firm.rule_path.name}")
    people = f"--users {folder}/{firm.users_path.name}"
    logs, statement = f"{folder}/logs", f"{folder}/{firm.statement_path.name}"
    yield "\nNext, the same by hand, with the charges in a file:\n"
    yield _command(f"tokenflex charge {logs}", *terms, "--out charges.csv")
    yield "\nOur number against the vendor's, why they differ, and the evidence, which anybody can check:\n"
    yield _command(f"tokenflex audit {logs} --statement {statement}", *terms, "--dispute dispute.zip")
    yield _command("tokenflex rerun dispute.zip")
    yield "\nWhat the vendor charged twice, and why, by its statement, with the logs as evidence:\n"
    yield _command(f"tokenflex doubles {statement} --logs {logs}", *terms, people)
    yield "\nBy which rule the vendor charged, by its statement:\n"
    yield _command(f"tokenflex infer-rule {statement}", *terms[:-1], f"--rates {folder}/{firm.rates_path.name}")
    contract = f"--contract {folder}/{firm.contract_path.name}"
    settled = (contract, f"--statement {statement}")
    yield "\nThe ledger of the contract, with all its lines in a file; how long the tokens last; who pays:\n"
    yield _command("tokenflex ledger charges.csv", *settled, "--out ledger.csv")
    yield _command("tokenflex balance charges.csv", *settled)
    groups = f"--groups {folder}/{firm.groups_path.name}"
    yield _command("tokenflex chargeback charges.csv", *settled, f"--by group,product {groups}")
    yield _command(f"tokenflex chargeback {logs}", *terms, contract, f"--by site {groups} --split minutes")
    record = f"--activity {folder}/{firm.activity_path.name}"
    yield "\nWhich licenses nobody used, which to take back before they are charged again, and what that would save:\n"
    yield _command(f"tokenflex idle {logs}", *terms[:-1], record)
    yield _command(f"tokenflex harvest {logs}", *terms, record)
    yield _command(f"tokenflex harvest {logs}", *terms, record, "--replay 15m,1h,4h,8h,1d,3d")
    yield "\nHow many tokens to buy next, and what other quantities would cost:\n"
    offer, whole = f"--offer {folder}/{firm.offer_path.name}", f"--until {until} --incomplete keep"
    yield _command("tokenflex plan charges.csv", f"{offer} --growth 5%", whole)
    yield "\nWhat the same use would have cost before the contract, and by subscriptions:\n"
    price = f"--token-price {TOKEN_PRICE}"
    yield _command(f"tokenflex estimate {logs}", *terms, price, "--scale-missing-days")
    yield _command(f"tokenflex compare {logs}", *terms, f"{price} --price-list {folder}/{firm.price_list_path.name}")
    yield "\nWhich change would move that most:\n"
    yield _command(f"tokenflex sensitivity {logs}", *terms, f"{price} --harvest 1h,4h", record)
    yield "\nWhat the rule itself charges twice, and where a server should stand:\n"
    yield _command(f"tokenflex doubles {logs}", *terms, people)
    yield _command(f"tokenflex whatif {logs}", *terms, people)


def _command(*parts: str) -> str:
    return " \\\n    ".join([f"  {parts[0]}", *parts[1:]])
