"""`rule_grid`: the rules that a contract may well have, and rules in words."""

from __future__ import annotations

import dataclasses
from datetime import timedelta
from itertools import product
from typing import TYPE_CHECKING, Final, Literal

from tokenflex.errors import ArgumentError, ArgumentTypeError
from tokenflex.metering.rates import Rates
from tokenflex.metering.rule import Rule
from tokenflex.reading.user_zones import zones_in

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from tokenflex.reading.user_zones import Users

MINUTES: Final = (0, 1, 5, 10, 15, 30)
"""The least durations of a session that the grid tries."""
_SCOPES: Final[tuple[Literal["contract", "server"], ...]] = ("contract", "server")


def rule_grid(
    *,
    servers: Mapping[str, str] | None = None,
    users: Users | None = None,
    rates: Rates | None = None,
    scopes: Iterable[Literal["contract", "server"]] | None = None,
) -> list[Rule]:
    """The rules that are worth a try where nobody says which one holds.

    Windows of 24 hours and local days; the days of UTC, of each server, of each user, and of each zone that the
    servers have; renewed or not; from 0, 1, 5, 10, 15 and 30 minutes on; on the whole contract or each server by
    itself; each product by itself or with its family. Rules that cannot differ for these servers and users come once.

    Args:
        servers: The IANA zone of each license server. Without it there are no rules of the servers' days.
        users: The IANA zone of each user. Without it there are no rules of the users' days.
        rates: Where these have families, each rule comes also with `incremental`.
        scopes: Which scopes to try; both unless given, if there are several servers.

    Returns:
        The rules, the plainer first.

    Raises:
        ArgumentTypeError: Zones are no mapping of names, or rates no `Rates`.
        ArgumentError: There is no such scope.
        ZoneError: There is no zone of that name.

    Example:
        >>> import tokenflex as tf
        >>> rules = tf.rule_grid(servers={"mad-lic-01": "Europe/Madrid", "chi-lic-01": "America/Chicago"})
        >>> len(rules), rules[0].rule_id.partition("-")[0]
        (120, 'rolling')
    """
    if rates is not None and not isinstance(rates, Rates):
        raise ArgumentTypeError(f"rates have to be a tokenflex.Rates, not {type(rates).__name__}", location="rates")
    if scopes is None:
        scopes = _SCOPES if servers is not None and len(servers) > 1 else _SCOPES[:1]
    tried = tuple(scopes)
    families = (False, True) if rates is not None and rates.families() else (False,)
    choices = product(_windows(servers, users), tried, families, (True, False), MINUTES)
    return [
        dataclasses.replace(
            window, scope=scope, incremental=incremental, renew=renew, min_duration=timedelta(minutes=minutes)
        )
        for window, scope, incremental, renew, minutes in choices
    ]


def _windows(servers: Mapping[str, str] | None, users: Users | None) -> list[Rule]:
    """The windows that can differ: owners who all have one zone have the days of that zone."""
    windows = {"rolling": Rule(window="rolling")}
    of_servers = [Rule(window="day", zone=zone) for zone in (zones_in(servers, "servers") or {}).values()]
    of_users = [Rule(window="day", zone=zone) for zone in (zones_in(users, "users") or {}).values()]
    for owner, zones in (("server", of_servers), ("user", of_users)):
        names = {rule.zone for rule in zones}
        if names:
            windows.setdefault(names.pop() if len(names) == 1 else owner, Rule(window="day", zone=owner))
    windows.setdefault("UTC", Rule(window="day", zone="utc"))
    for rule in sorted(of_servers, key=lambda rule: rule.zone):
        windows.setdefault(rule.zone, rule)
    return list(windows.values())


def plainness(rule: Rule) -> int:
    """How many fields of a rule are off their defaults."""
    plain = Rule(window=rule.window).to_dict()
    return sum(value != plain.get(name) for name, value in rule.to_dict().items())


def described(rule: Rule) -> str:
    """A rule in words.

    Example:
        >>> from tokenflex import FLEX
        >>> described(FLEX)
        'rolling 24 h, renewed, from 5 min, in use 15 min after activity, whole contract'
    """
    words = [
        _window(rule),
        "renewed" if rule.renew else "launches only",
        f"from {_span(rule.min_duration)}" if rule.min_duration else "",
        f"in use {_span(rule.idle_after)} after activity" if rule.idle_after is not None else "",
        "families" if rule.incremental else "",
        "whole contract" if rule.scope == "contract" else "each server",
        f"by machine: {', '.join(sorted(rule.machine_metered))}" if rule.machine_metered else "",
    ]
    return ", ".join(word for word in words if word)


def differences(rule: Rule, base: Rule) -> str:
    """Which fields a rule has otherwise than another, with their values; empty for equals."""
    fields, others = rule.to_dict(), base.to_dict()
    names = [name for name in {**others, **fields} if fields.get(name) != others.get(name)]
    return ", ".join(f"{name}={fields.get(name)}" for name in names)


def checked_rules(rules: object) -> list[Rule]:
    """Rules as a list, or an error that says what is wrong with them."""
    if isinstance(rules, Rule | str) or not hasattr(rules, "__iter__"):
        raise ArgumentTypeError(f"rules have to be several tokenflex.Rule, not {rules!r}", location="rules")
    found = list(rules)
    for rule in found:
        if not isinstance(rule, Rule):
            raise ArgumentTypeError(f"rules have to be tokenflex.Rule, not {rule!r}", location="rules")
    if not found:
        raise ArgumentError("rules are empty: give at least one", location="rules")
    return found


def _window(rule: Rule) -> str:
    if rule.window == "rolling":
        return f"rolling {_span(rule.length)}"
    whose = {"server": "day of the server", "user": "day of the user", "utc": "day of UTC"}
    begin = f" from {_span(rule.day_start)} on" if rule.day_start else ""
    return whose.get(rule.zone, f"day of {rule.zone}") + begin


def _span(duration: timedelta) -> str:
    seconds = duration / timedelta(seconds=1)
    for unit, name in ((3600, "h"), (60, "min")):
        if seconds and seconds % unit == 0:
            return f"{seconds / unit:g} {name}"
    return f"{seconds:g} s"
