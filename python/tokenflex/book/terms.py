"""How the logs of a book are read and charged: kept with it, so that every update does the same."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from datetime import date
from typing import TYPE_CHECKING, Any

from tokenflex.contract.contract import Contract
from tokenflex.errors import ArgumentError, ArgumentTypeError
from tokenflex.metering.meter import rate_read, rate_written
from tokenflex.metering.rates import Rates
from tokenflex.metering.rule import Rule
from tokenflex.metering.terms import terms_of
from tokenflex.reading.user_zones import zones_in

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tokenflex.reading.user_zones import Users


@dataclass(frozen=True, kw_only=True)
class Terms:
    """The terms of a book.

    Attributes:
        rule: What is charged and when; None where the book keeps sessions only, as are `rates`.
        rates: Tokens for each window of each product.
        users: The zone of each user, for a rule whose days are the user's.
        timezone: The zone of the servers, or of each.
        server: The server's name, where the logs do not say it.
        encoding: The code page of names that are not UTF-8.
        first_date: The date of the first line of logs without any.
        contract: What the charges are drawn from; None where the book keeps no ledger.
    """

    rule: Rule | None = None
    rates: Rates | None = None
    users: dict[str, str] | None = None
    timezone: str | dict[str, str] | None = None
    server: str | None = None
    encoding: str = "cp1252"
    first_date: date | None = None
    contract: Contract | None = None

    def reads_as(self, other: Terms) -> bool:
        """Whether logs are read as by other terms."""
        mine, theirs = ((each.timezone, each.server, each.encoding, each.first_date) for each in (self, other))
        return mine == theirs

    def with_given(
        self,
        *,
        rule: Rule | None,
        rates: Rates | None,
        users: Users | None,
        timezone: str | Mapping[str, str] | None,
        server: str | None,
        encoding: str | None,
        first_date: date | None,
        contract: Contract | None,
    ) -> Terms:
        """These terms with those that a caller gives."""
        given: dict[str, Any] = {
            "rule": rule,
            "rates": rates,
            "users": zones_in(users, "users"),
            "timezone": timezone if timezone is None or isinstance(timezone, str) else zones_in(timezone, "timezone"),
            "server": server,
            "encoding": encoding,
            "first_date": first_date,
            "contract": contract,
        }
        if rule is not None and not isinstance(rule, Rule):
            raise ArgumentTypeError(f"rule has to be a tokenflex.Rule, not {type(rule).__name__}", location="rule")
        if rates is not None and not isinstance(rates, Rates):
            raise ArgumentTypeError(f"rates have to be a tokenflex.Rates, not {type(rates).__name__}", location="rates")
        if contract is not None and not isinstance(contract, Contract):
            raise ArgumentTypeError(
                f"contract has to be a tokenflex.Contract, not {type(contract).__name__}", location="contract"
            )
        terms = replace(self, **{name: value for name, value in given.items() if value is not None})
        if (terms.rule is None) != (terms.rates is None):
            raise ArgumentError(
                "rule and rates go together: give both, or none to keep sessions only", location="rates"
            )
        if terms.contract is not None and terms.rule is None:
            raise ArgumentError("a contract needs charges: give rule and rates too", location="contract")
        if terms.rule is not None and terms.rates is not None:
            # Says what is missing before anything is read.
            terms_of(terms.rule, terms.rates, servers=terms.servers([]), users=terms.users, with_activity=False)
        return terms

    def servers(self, names: list[str]) -> dict[str, str]:
        """The zone of each server."""
        return dict.fromkeys(names, self.timezone) if isinstance(self.timezone, str) else self.timezone or {}

    def units(self) -> dict[str, str]:
        """The family of each product that has one, where families share windows."""
        return dict(self.rates.families()) if self.rule and self.rates and self.rule.incremental else {}

    def to_json(self) -> str:
        """As text, for the book."""
        return json.dumps(
            {
                "rule": None if self.rule is None else self.rule.to_dict(),
                "rates": None if self.rates is None else [rate_written(rate) for rate in self.rates.rows],
                "users": self.users,
                "timezone": self.timezone,
                "server": self.server,
                "encoding": self.encoding,
                "first_date": None if self.first_date is None else self.first_date.isoformat(),
                "contract": None if self.contract is None else self.contract.to_dict(),
            }
        )

    @classmethod
    def from_json(cls, text: str) -> Terms:
        """What `to_json` wrote."""
        found = json.loads(text)
        return cls(
            rule=None if found["rule"] is None else Rule.from_dict(found["rule"]),
            rates=None if found["rates"] is None else Rates([rate_read(rate) for rate in found["rates"]]),
            users=found["users"],
            timezone=found["timezone"],
            server=found["server"],
            encoding=found["encoding"],
            first_date=None if found["first_date"] is None else date.fromisoformat(found["first_date"]),
            contract=Contract.from_dict(found["contract"]) if found.get("contract") else None,
        )
