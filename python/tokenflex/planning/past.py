"""The past under one reading of what is uncertain: sessions put right, charged, priced and filled, by product."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import cached_property
from statistics import median
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

import polars as pl

from tokenflex import tables
from tokenflex.contract.money import units
from tokenflex.metering.charge import charge
from tokenflex.metering.rates import Rates
from tokenflex.metering.rule import Rule
from tokenflex.problems import Problems
from tokenflex.reading.names import coded, decoded, is_text
from tokenflex.reading.periods import column_of, instants_of
from tokenflex.reading.user_zones import zones_in
from tokenflex.times import EPOCH, TOO_LATE

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import date, datetime
    from decimal import Decimal

    from tokenflex.reading.user_zones import Users

Ends: TypeAlias = Literal["as_of", "day", "launch"]
"""Until when a session lasted whose end nobody logged: as it stands or `as_of`; the end of its first day; a moment."""

Pair: TypeAlias = tuple[str, str]
ENDED_BY_SERVER: Final = ("stop", "crash", "restart")
READS: Final = ("user", "product", "server", "host", "start", "end", "is_open", "end_reason")
_TENTH_OF_THOUSANDTH: Final = 4


@dataclass(frozen=True)
class Reading:
    """One reading of everything that is uncertain.

    Attributes:
        rule: The rule that holds.
        merged: The pairs of names that are one person.
        still_open: How sessions that have not ended are taken.
        by_server: How sessions are taken that the server's stop, crash or restart ended.
        filled: The servers whose days without lines are filled.
        prices: What a charge of each product without a rate costs, in units of 1/10,000 token.
    """

    rule: Rule
    merged: frozenset[Pair] = frozenset()
    still_open: Ends = "as_of"
    by_server: Ends = "as_of"
    filled: frozenset[str] = frozenset()
    prices: Mapping[str, int] = field(default_factory=dict)

    @property
    def charged(self) -> tuple[object, ...]:
        """What the charges hang on."""
        return self.rule, self.merged, self.still_open, self.by_server


@dataclass(frozen=True)
class Cost:
    """What one reading costs, in units of 1/10,000 token.

    Attributes:
        charged: What was charged, by product.
        missing: What the days without lines would have cost beyond that, by server and product.
    """

    charged: dict[str, int]
    missing: dict[tuple[str, str], int]

    def of(self, filled: frozenset[str]) -> dict[str, int]:
        """By product, with the days of these servers filled."""
        whole = dict(self.charged)
        for (server, product), more in self.missing.items():
            if server in filled:
                whole[product] += more
        return whole


class Past:
    """Sessions, and what they cost under any reading. What was charged once is not charged again."""

    def __init__(
        self,
        sessions: pl.DataFrame,
        *,
        rates: Rates,
        servers: Mapping[str, str] | None,
        users: Users | None,
        as_of: datetime | None,
        missing: dict[str, list[date]],
        day: Rule,
    ) -> None:
        """The day of `day`, a rule, is the one at whose end a session may have ended, whichever rule charges it."""
        self.sessions = sessions.select([name for name in READS if name in sessions.columns])
        self.met = Problems()
        self.missing = missing
        self.still_open, self.by_server = _unended(self.sessions)
        self._as_of = as_of
        self._rates, self._servers, self._day = rates, servers, day
        self._users = zones_in(users, "users")
        if self.still_open is not None or self.by_server is not None:
            times = {name: instants_of(self.sessions, name) for name in ("start", "end")}
            self.sessions = self.sessions.with_columns(**times)
            # Sessions that are cut short could take the last instant away from those that are open.
            self._as_of = as_of if as_of is not None else last_instant(times)
        self._charged: dict[object, pl.DataFrame] = {}
        self._costs: dict[object, Cost] = {}
        self._days: dict[tuple[str, int], int] = {}

    # What there is.

    def products(self) -> list[str]:
        """The products that were used."""
        return sorted(coded(column_of(self.sessions, "product"))[1])

    def count_of(self, names: Iterable[str]) -> int:
        """How many sessions these users have."""
        return sum(self._sessions_of_users.get(name, 0) for name in names)

    @cached_property
    def _sessions_of_users(self) -> dict[str, int]:
        codes, names = coded(column_of(self.sessions, "user"))
        counted = codes.drop_nulls().value_counts()
        return {names[code]: count for code, count in counted.iter_rows()}

    # What it costs.

    def cost(self, reading: Reading) -> dict[str, int]:
        """Units of 1/10,000 token by product, of one reading."""
        key = reading.charged, tuple(sorted(reading.prices.items()))
        if key not in self._costs:
            self._costs[key] = self._priced(self._of(reading), reading.prices)
        return self._costs[key].of(reading.filled)

    def unrated(self, reading: Reading) -> dict[str, int]:
        """How many charges of each product have no rate."""
        found = self._of(reading).group_by("product").agg(pl.col("unrated").sum()).filter(pl.col("unrated") > 0)
        return {str(product): int(count) for product, count in sorted(found.iter_rows())}

    def period(self, reading: Reading) -> tuple[date, date] | None:
        """The first and the last date of the charges."""
        found = self._of(reading).select(pl.col("first").min(), pl.col("last").max()).row(0)
        return None if found[0] is None else (found[0], found[1])

    def count_days(self, reading: Reading) -> pl.DataFrame:
        """Counts the days of each server that have lines, by weekday; returns problems of days without a like."""
        if not self.missing:
            return tables.empty(tables.PROBLEMS)
        ranges = self._of(reading).group_by("server").agg(pl.col("first").min(), pl.col("last").max())
        known = {server: (first, last) for server, first, last in ranges.iter_rows()}
        told = []
        for server, dates in self.missing.items():
            lost = set(dates)
            if server in known:
                first, last = known[server]
                for place in range((last - first).days + 1):
                    day = first + timedelta(days=place)
                    if day not in lost:
                        key = server, day.isoweekday()
                        self._days[key] = self._days.get(key, 0) + 1
            unlike = [day for day in dates if (server, day.isoweekday()) not in self._days]
            if unlike:
                message = (
                    f"{len(unlike)} days without lines, from {unlike[0]} on: the charges of {server} have no day with "
                    "lines of that weekday, so nothing says what they would have cost, and they are not filled"
                )
                told.append({"source": "coverage", "location": None, "code": "no_like_day", "message": message})
        return pl.DataFrame(told, schema=dict(tables.PROBLEMS))

    def merging(self, pairs: list[Pair], reading: Reading) -> list[dict[str, int]]:
        """The cost by product if one pair is merged and nothing else is, for each pair.

        Keys of other users cannot change, so only the two users of each pair are charged anew, all pairs in one call.
        """
        base = self._of(reading)
        if not pairs:
            return []
        if reading.rule.machine_metered and reading.rule.needs_zones_of == "user":
            # A host's day is then that of whoever uses it, so a merged name can move charges of others.
            return [self.cost(replace(reading, merged=frozenset({pair}))) for pair in pairs]
        apart, merged, zones = self._beside(pairs, reading)
        problems = Problems()
        changes = []
        for frame, sign in ((apart, -1), (merged, 1)):
            charges = charge(
                frame,
                rule=reading.rule,
                rates=self._rates,
                servers=self._servers,
                users=zones,
                as_of=self._as_of,
                problems=problems,
            )
            part = pl.col("user").cast(pl.String).str.extract(r"^(\d+) ", 1).cast(pl.UInt32).alias("pair")
            changes.append(self._summed(charges.with_columns(part), ("pair",), sign))
        found = pl.concat(changes).partition_by("pair", as_dict=True, include_key=False)
        none = changes[0].clear().drop("pair")
        return [
            self._priced(_together(base, found.get((place,), none)), reading.prices).of(reading.filled)
            for place in range(len(pairs))
        ]

    def _beside(self, pairs: list[Pair], reading: Reading) -> tuple[pl.DataFrame, pl.DataFrame, dict[str, str] | None]:
        """The sessions of each pair's users, apart and merged, under names of their own; and the zones of these."""
        frame = self._frame(reading)
        # Who uses a product that is metered by machine makes no difference here.
        metered = list(reading.rule.machine_metered)
        frame = frame.with_columns(pl.col("user").cast(pl.String)).filter(
            ~pl.col("product").cast(pl.String).is_in(metered)
        )
        members = pl.DataFrame(
            [(place, name) for place, pair in enumerate(pairs) for name in pair],
            schema={"pair": pl.UInt32, "user": pl.String},
            orient="row",
        )
        both = frame.join(members, on="user", how="inner", maintain_order="left")
        number = pl.col("pair").cast(pl.String)
        apart = both.with_columns(user=pl.concat_str(number, pl.lit(" "), "user")).drop("pair")
        merged = both.with_columns(user=pl.concat_str(number, pl.lit(" both"))).drop("pair")
        if self._users is None:
            return apart, merged, None
        zones: dict[str, str] = {}
        for place, pair in enumerate(pairs):
            person = self._person(pair)
            named = {f"{place} {name}": name for name in pair} | {f"{place} both": person}
            zones |= {key: self._users[name] for key, name in named.items() if name in self._users}
        return apart, merged, zones

    def _person(self, names: Iterable[str]) -> str:
        """Who several names are: the first that has a zone, if zones are known."""
        ordered = sorted(names)
        return next((name for name in ordered if self._users is None or name in self._users), ordered[0])

    # Charging.

    def _of(self, reading: Reading) -> pl.DataFrame:
        key = reading.charged
        if key not in self._charged:
            charges = charge(
                self._frame(reading),
                rule=reading.rule,
                rates=self._rates,
                servers=self._servers,
                users=self._users,
                as_of=self._as_of,
                problems=self.met,
            )
            self._charged[key] = self._summed(charges)
        return self._charged[key]

    def _frame(self, reading: Reading) -> pl.DataFrame:
        """The sessions as a reading takes them."""
        frame = self.sessions
        for ends, mask in ((reading.still_open, self.still_open), (reading.by_server, self.by_server)):
            if mask is not None and ends != "as_of":
                frame = self._ended(frame, mask, ends)
        if not reading.merged:
            return frame
        codes, names = coded(frame["user"])
        person = self._persons(reading.merged)
        return frame.with_columns(decoded("user", [person.get(name, name) for name in names], codes))

    def _persons(self, merged: Iterable[Pair]) -> dict[str, str]:
        """The person of each name, where pairs that share a name are one person together."""
        groups: dict[str, set[str]] = {}
        for pair in merged:
            together = set(pair).union(*(groups.get(name, ()) for name in pair))
            groups |= dict.fromkeys(together, together)
        return {name: self._person(group) for name, group in groups.items()}

    def _ended(self, frame: pl.DataFrame, mask: pl.Series, ends: Ends) -> pl.DataFrame:
        """The sessions with earlier ends, where nobody logged one."""
        if ends == "launch":
            return frame.with_columns(end=pl.when(mask).then("start").otherwise("end"))
        rows, rule = mask.arg_true(), self._day
        last = pl.Series([self._as_of], dtype=tables.TIME).first()
        of_day = frame[rows].with_columns(end="start", product=pl.int_range(pl.len()).cast(pl.String))
        zone = rule.zone if rule.window == "day" else "utc" if self._servers is None else "server"
        day = Rule(window="day", zone=zone, day_start=rule.day_start if rule.window == "day" else timedelta(0))
        unpriced = Problems()
        found = charge(
            of_day, rule=day, rates=Rates({}), servers=self._servers, users=self._users, problems=unpriced
        ).select(pl.col("session").cast(pl.UInt32), "window_end")
        cut = pl.DataFrame({"place": rows.gather(found["session"]), "day_end": found["window_end"]})
        whole = frame.with_row_index("place").join(cut, on="place", how="left", maintain_order="left").drop("place")
        logged = pl.max_horizontal(pl.col("end").fill_null(last), "start")
        shorter = pl.min_horizontal(logged, "day_end")
        return whole.with_columns(end=pl.when(pl.col("day_end").is_not_null()).then(shorter).otherwise("end")).drop(
            "day_end"
        )

    # Adding up.

    def _summed(self, charges: pl.DataFrame, by: tuple[str, ...] = (), sign: int = 1) -> pl.DataFrame:
        """Charges by product, and by server and date where days are missing: units, and charges without a rate."""
        dated = ("server", "usage_date") if self.missing else ()
        sums = charges.group_by(*by, "product", *dated).agg(
            (units(pl.col("tokens").sum()) * sign).alias("units"),
            (pl.col("tokens").null_count().cast(pl.Int64) * sign).alias("unrated"),
            pl.col("usage_date").min().alias("first"),
            pl.col("usage_date").max().alias("last"),
        )
        # Each table of charges has categories of its own.
        names = [pl.col("product").cast(pl.String)]
        if self.missing:
            names += [pl.col("server").cast(pl.String), pl.col("usage_date").alias("day")]
        return sums.select(*by, *names, "units", "unrated", "first", "last")

    def _priced(self, sums: pl.DataFrame, prices: Mapping[str, int]) -> Cost:
        priced = pl.DataFrame(
            {"product": list(prices), "price": list(prices.values())},
            schema={"product": pl.String, "price": pl.Int128},
        )
        whole = sums.join(priced, on="product", how="left").with_columns(
            units=pl.col("units") + pl.col("unrated").cast(pl.Int128) * pl.col("price").fill_null(0)
        )
        found = whole.group_by("product").agg(pl.col("units").sum())
        return Cost({str(product): int(cost) for product, cost in found.iter_rows()}, self._filled(whole))

    def _filled(self, dated: pl.DataFrame) -> dict[tuple[str, str], int]:
        """What the days without lines would have cost beyond what is charged on them, by server and product.

        A day costs the mean of the server's other days of its weekday, product by product, rounded to units.
        """
        if not self.missing:
            return {}
        lost = pl.DataFrame(
            [(server, day, day.isoweekday()) for server, days in self.missing.items() for day in days],
            schema={"server": pl.String, "day": pl.Date, "weekday": pl.Int8},
            orient="row",
        )
        days = pl.DataFrame(
            [(*key, count) for key, count in self._days.items()],
            schema={"server": pl.String, "weekday": pl.Int8, "days": pl.Int128},
            orient="row",
        )
        of_day = dated.select("server", "product", "day", "units")
        whole = of_day.join(lost, on=["server", "day"], how="anti").with_columns(weekday=pl.col("day").dt.weekday())
        # Half a unit goes up. Without a single day there is no mean, and the join leaves the day out.
        means = (
            whole.group_by("server", "product", "weekday")
            .agg(pl.col("units").sum())
            .join(days, on=["server", "weekday"])
            .with_columns(mean=(2 * pl.col("units") + pl.col("days")) // (2 * pl.col("days")))
        )
        due = (
            lost.join(means.select("server", "product", "weekday", "mean"), on=["server", "weekday"])
            .join(of_day, on=["server", "product", "day"], how="left")
            .with_columns(more=(pl.col("mean") - pl.col("units").fill_null(0)).clip(0))
            .group_by("server", "product")
            .agg(pl.col("more").sum())
        )
        return {(str(server), str(product)): int(more) for server, product, more in due.iter_rows()}


def _together(sums: pl.DataFrame, changes: pl.DataFrame) -> pl.DataFrame:
    """Sums with changes added: a row for each product, and server and day where these are kept."""
    keys = [name for name in ("product", "server", "day") if name in sums.columns]
    amounts = pl.col("units", "unrated").sum(), pl.col("first").min(), pl.col("last").max()
    return pl.concat([sums, changes]).group_by(keys).agg(*amounts)


def prices_without_rate(rates: Rates, products: Iterable[str]) -> dict[str, tuple[int, int]]:
    """For each product, in units: the likely price and the dearest.

    Likely is the product's own earliest rate if it has one at another time, else the median of the last rates of all.
    """
    last: dict[str, Decimal] = {}
    own: dict[str, Decimal] = {}
    for rate in sorted(rates.rows, key=lambda rate: rate.effective_from or EPOCH):
        last[rate.product] = rate.tokens
        own.setdefault(rate.product, rate.tokens)
    middle = round(median(last.values()), _TENTH_OF_THOUSANDTH)
    dearest = max(rate.tokens for rate in rates.rows)
    return {
        product: (tables.units(own.get(product, middle)), tables.units(max(dearest, own.get(product, middle))))
        for product in products
    }


def _unended(sessions: pl.DataFrame) -> tuple[pl.Series | None, pl.Series | None]:
    """Which sessions have not ended, and which were ended by the server; None where none were."""
    end, start = column_of(sessions, "end"), column_of(sessions, "start")
    is_open = end.is_null()
    by_server = is_open & False
    if "is_open" in sessions.columns and sessions["is_open"].dtype == pl.Boolean:
        is_open |= sessions["is_open"].fill_null(value=False)
    if "end_reason" in sessions.columns and is_text(sessions["end_reason"].dtype):
        reason = sessions["end_reason"].cast(pl.String)
        is_open |= (reason == "open").fill_null(value=False)
        by_server = reason.is_in(ENDED_BY_SERVER).fill_null(value=False) & ~is_open
    if not is_open.any() and not by_server.any():
        return None, None
    # What comes before its start is a fault, and has to stay one.
    sound = start.is_not_null() & (end.is_null() | (end >= start).fill_null(value=False))
    is_open, by_server = is_open & sound, by_server & sound
    return (is_open if is_open.any() else None), (by_server if by_server.any() else None)


def last_instant(times: Mapping[str, pl.Series]) -> datetime | None:
    """The last instant that data may have, which open sessions last until unless told otherwise."""
    both = pl.concat([series.rename("time") for series in times.values()]).drop_nulls()
    last: datetime | None = both.filter((both >= EPOCH) & (both < TOO_LATE)).max()  # type: ignore[assignment]  # of times
    return last
