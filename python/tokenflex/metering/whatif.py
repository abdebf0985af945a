"""The verb `zone_whatif`: what each site would pay if the days were those of another zone."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

import polars as pl

from tokenflex import _core, tables
from tokenflex.arrow import AnyTable, coded_columns_of, frame_of, refuses_clearly
from tokenflex.errors import ArgumentError, ArgumentTypeError
from tokenflex.metering.at_once import Prepared
from tokenflex.metering.meter import READS
from tokenflex.metering.rule import Rule
from tokenflex.metering.terms import bad_rows, terms_of
from tokenflex.problems import Problems, report
from tokenflex.reading.names import coded
from tokenflex.reading.periods import column_of
from tokenflex.times import instant_in_data

if TYPE_CHECKING:
    from datetime import datetime

    from tokenflex.metering.rates import Rates
    from tokenflex.reading.user_zones import Users

FIRST_OFFSET: Final = -12
LAST_OFFSET: Final = 14
OWN: Final = "user"
TODAY: Final = "today"
_OFFSET: Final = re.compile(r"UTC([+-]\d{1,2})?")


@dataclass(frozen=True)
class Sites:
    """The site of each session.

    Attributes:
        codes: One for each row, `UInt32`.
        names: The sites in order of name; `None`, no site known, is the last.
    """

    codes: pl.Series
    names: list[str | None]


@refuses_clearly
def zone_whatif(
    sessions: AnyTable | Prepared,
    *,
    rates: Rates,
    rule: Rule,
    zones: Iterable[str] | None = None,
    servers: Mapping[str, str] | None = None,
    users: Users | None = None,
    sites: str | Mapping[str, str] | None = None,
    as_of: datetime | None = None,
    problems: Problems | None = None,
) -> pl.DataFrame:
    """Says what each site would pay if all days were those of one zone, for many zones in one pass.

    Every zone is charged as if all license servers stood in it; the rest of the rule stays as it is. Families, and
    zones with a date that comes twice (St. John's until 2011), are charged zone by zone: as correct, and slower.

    Args:
        sessions: As for `charge`, or sessions that `prepare` encoded.
        rates: As for `charge`.
        rule: A rule of days, such as `tf.TOKEN_FLEX`. Its own `zone` does not matter, except for `"today"` below.
        zones: IANA names, or offsets such as `"UTC-5"`. Unless given, `"UTC-12"` to `"UTC+14"`.
        servers: The zone of each license server as it is: adds the row `"today"`, and `saving` against it. Where the
            rule's zone is not `"server"`, today is that rule as it stands.
        users: The zone of each user, as for `charge`: adds the row `"user"`, the days of each user's own zone.
        sites: A column of the sessions, or the site of each user. Unless given, the column `server`. A charge belongs
            to the site of the session that caused it, the one that `charge` names.
        as_of: As for `charge`.
        problems: Collects what could not be charged or priced, each once; without it, a `TokenflexWarning` tells of it.

    Returns:
        A row for each site and zone, see `tables.ZONE_WHATIF`: sites in order of name, and for each the zones as given,
        `"user"`, `"today"`. Sessions without a site are a site of their own, null. Where users of a site have no
        zone, a row of zone null says how many sessions they have; its charges are null, since nobody knows them.

    Raises:
        ArgumentError: The rule is not one of days; no zones.
        ZoneError: There is no such zone.
        MissingColumnError, ColumnTypeError: As for `charge`; or there is no such column of sites.

    Example:
        >>> import tokenflex as tf, polars as pl
        >>> from datetime import datetime, timezone
        >>> sessions = pl.DataFrame({
        ...     "user": ["mei"], "product": ["ACD"], "server": ["nyc-lic-01"],
        ...     "start": [datetime(2026, 7, 13, 1, tzinfo=timezone.utc)],
        ...     "end": [datetime(2026, 7, 13, 10, tzinfo=timezone.utc)],
        ... })
        >>> found = tf.zone_whatif(sessions, rates=tf.Rates({"ACD": 7}), rule=tf.TOKEN_FLEX,
        ...                        zones=["Asia/Singapore"], servers={"nyc-lic-01": "America/New_York"})
        >>> for row in found.select("site", "zone", "tokens", "saving").iter_rows():
        ...     print(*row)
        nyc-lic-01 Asia/Singapore 7.0000 7.0000
        nyc-lic-01 today 14.0000 0.0000
    """
    check_days(rule)
    places = places_of(zones)
    held = sessions if isinstance(sessions, Prepared) else frame_of(sessions)
    run = Run(held, sites_of(held, sites), rates, as_of)
    parts = [run.in_zones(rule, places)]
    if users is not None:
        parts += run.under(replace(rule, zone="user"), OWN, users=users)
    if servers is not None or rule.needs_zones_of is None:
        parts += run.under(rule, TODAY, servers=servers, users=users)[:1]
    elif rule.needs_zones_of == "user" and users is not None:
        parts += [parts[1].with_columns(zone=pl.lit(TODAY))]
    report(run.problems(), problems, "zone_whatif")
    return _finished(pl.concat(parts), run.sites)


class Run:
    """One call over some sessions: they are encoded once, and problems are gathered."""

    def __init__(self, sessions: pl.DataFrame | Prepared, sites: Sites, rates: Rates, as_of: datetime | None) -> None:
        self.sites = sites
        self._rates = rates
        self._as_of = None if as_of is None else instant_in_data(as_of, "as_of")
        self._encoded: tuple[Any, Any] = (
            (sessions.inner, {}) if isinstance(sessions, Prepared) else coded_columns_of(sessions, READS)
        )
        self._faults: list[pl.DataFrame] = []
        self._without_rate: dict[str, None] = {}

    def in_zones(self, rule: Rule, places: Mapping[str, str]) -> pl.DataFrame:
        """The totals of each site if all days were those of one zone, for each of the zones (name to IANA name)."""
        return self._totals(replace(rule, zone="utc"), list(places), list(places.values()))

    def under(
        self,
        rule: Rule,
        name: str,
        *,
        servers: Mapping[str, str] | None = None,
        users: Users | None = None,
    ) -> list[pl.DataFrame]:
        """The totals of each site under the rule as it is, and a row for what has no zone to be charged by."""
        before = self._faults[-1] if self._faults else None
        found = self._totals(rule, [name], None, servers=servers, users=users)
        return [found, self._unknown(before)]

    def problems(self) -> pl.DataFrame:
        """What could not be charged or priced, each once."""
        told = [
            ("rates", None, "no_rate", f"{product} has no rate at the time of some charges: counted, without tokens")
            for product in self._without_rate
        ]
        no_rate = pl.DataFrame(told, schema=dict(tables.PROBLEMS), orient="row")
        return pl.concat([*map(bad_rows, self._faults), no_rate]).unique(maintain_order=True)

    def _totals(
        self,
        rule: Rule,
        names: list[str],
        zones: list[str] | None,
        *,
        servers: Mapping[str, str] | None = None,
        users: Users | None = None,
    ) -> pl.DataFrame:
        terms = terms_of(rule, self._rates, servers=servers, users=users, with_activity=False)
        codes = self.sites.codes.alias("site").to_frame()
        found, faults, without_rate = _core.site_totals(
            *self._encoded, sites=(codes, len(self.sites.names)), terms=terms, zones=zones, as_of=self._as_of
        )
        self._faults.append(pl.DataFrame(faults).with_columns(pl.col("code").cast(pl.String)))
        self._without_rate |= dict.fromkeys(without_rate)
        return pl.DataFrame(found).with_columns(
            zone=pl.Series(names, dtype=pl.String).gather(pl.DataFrame(found)["zone"])
        )

    def _unknown(self, before: pl.DataFrame | None) -> pl.DataFrame:
        """How many sessions of each site lack a zone under the last rule and nothing else."""
        lost = self._faults[-1].filter(pl.col("code").is_in(["unknown_user", "missing_server", "unknown_server"]))
        if before is not None:
            lost = lost.join(before, on="location", how="anti")
        lost = lost.select(site=self.sites.codes.gather(lost["location"]))
        counted = lost.group_by("site").agg(sessions=pl.len().cast(pl.UInt64))
        return counted.select(
            zone=pl.lit(None, pl.String),
            site="site",
            sessions="sessions",
            charges=pl.lit(None, pl.UInt64),
            tokens=pl.lit(None, tables.TOKENS),
            charges_without_rate=pl.lit(None, pl.UInt64),
        )


def check_days(rule: Rule) -> None:
    """Refuses what is no rule of days."""
    if not isinstance(rule, Rule):
        raise ArgumentTypeError(
            f"rule has to be a tokenflex.Rule such as tf.TOKEN_FLEX, not {type(rule).__name__}", location="rule"
        )
    if rule.window != "day":
        raise ArgumentError(
            "rolling windows have no zone: where a server stands changes nothing. Take a rule of days, such as "
            "tf.TOKEN_FLEX",
            location="rule",
        )


def places_of(zones: Iterable[str] | None) -> dict[str, str]:
    """The zones by the names that the caller knows them by, with their IANA names."""
    if zones is None:
        return {offset_name(hours): _iana(hours) for hours in range(FIRST_OFFSET, LAST_OFFSET + 1)}
    if isinstance(zones, str) or not isinstance(zones, Iterable):
        raise ArgumentTypeError(
            'zones have to be a list of zones, such as ["Europe/Madrid", "UTC-5"]', location="zones"
        )
    places: dict[str, str] = {}
    for zone in zones:
        if not isinstance(zone, str):
            raise ArgumentTypeError(f"a zone has to be a name, not {zone!r}", location="zones")
        match = _OFFSET.fullmatch(zone)
        hours = int(match[1] or 0) if match else LAST_OFFSET + 1
        if FIRST_OFFSET <= hours <= LAST_OFFSET:
            places[offset_name(hours)] = _iana(hours)
        else:
            name = _core.check_zone(zone)
            places[name] = name
    if not places:
        raise ArgumentError("no zones: name one, or leave zones out for UTC-12 to UTC+14", location="zones")
    return places


def offset_name(hours: int) -> str:
    """How an offset of whole hours is called."""
    return f"UTC{hours:+}" if hours else "UTC"


def _iana(hours: int) -> str:
    # The database counts these offsets to the west.
    return f"Etc/GMT{-hours:+}" if hours else "UTC"


def sites_of(sessions: pl.DataFrame | Prepared, sites: str | Mapping[str, str] | None) -> Sites:
    """The site of each session, by a column or by the user."""
    frame = sessions if isinstance(sessions, pl.DataFrame) else frame_of(sessions.table)
    if sites is None and "server" not in frame.columns:
        return Sites(pl.zeros(frame.height, pl.UInt32, eager=True), [None] if frame.height else [])
    if isinstance(sites, Mapping):
        codes, names = coded(column_of(frame, "user"))
        of_names = [_site(sites.get(name)) for name in names]
    elif sites is None or isinstance(sites, str):
        codes, names = coded(column_of(frame, sites or "server"))
        of_names = list[str | None](names)
    else:
        raise ArgumentTypeError("sites have to be the name of a column, or to map users to sites", location="sites")
    return numbered(codes, of_names)


def numbered(codes: pl.Series, of_names: list[str | None]) -> Sites:
    """Sites by the codes of some names and the site of each name."""
    ordered: list[str | None] = [*sorted({site for site in of_names if site is not None})]
    if None in of_names or codes.null_count() > 0 or (not ordered and len(codes) > 0):
        ordered.append(None)
    place = {site: number for number, site in enumerate(ordered)}
    of_codes = pl.Series([place[site] for site in of_names], dtype=pl.UInt32)
    if not of_names:
        return Sites(pl.zeros(len(codes), pl.UInt32, eager=True), ordered)
    return Sites(of_codes.gather(codes).fill_null(len(ordered) - 1), ordered)


def _site(site: object) -> str | None:
    if site is not None and not isinstance(site, str):
        raise ArgumentTypeError(f"sites have to map users to names of sites, not to {site!r}", location="sites")
    return site


def _finished(found: pl.DataFrame, sites: Sites) -> pl.DataFrame:
    """The table with names, and the saving where both sides hold the same sessions."""
    today = found.filter(pl.col("zone") == TODAY).select("site", today="tokens", sessions_today="sessions")
    known = pl.when(pl.col("sessions") == pl.col("sessions_today"))
    table = found.join(today, on="site", how="left", maintain_order="left").sort("site", maintain_order=True)
    table = table.with_columns(
        site=pl.Series(sites.names, dtype=pl.String).gather(table["site"]),
        saving=known.then(pl.col("today") - pl.col("tokens")),
    )
    return tables.finish(table, tables.ZONE_WHATIF)
