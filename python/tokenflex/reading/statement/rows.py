"""Rows of text to rows of `tables.STATEMENT`, and a problem for each piece of them that cannot be read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING, Final

import polars as pl

from tokenflex import tables
from tokenflex.errors import ZoneError
from tokenflex.reading.statement import values
from tokenflex.reading.statement.aliases import CUSTOM
from tokenflex.reading.statement.sheet import BLANK, LINE
from tokenflex.reading.zones import check_zones, instants

if TYPE_CHECKING:
    from collections.abc import Callable

    from tokenflex.reading.statement.aliases import Header

SWAPPED_FROM: Final = date(2021, 12, 1)
"""Since this day the vendor writes machine and user into each other's column for what is metered by machine."""

_MINUTE: Final = 60_000_000
_MASKED: Final = r"^[*@.\s]*\*[*@.\s]*$"
_HASH: Final = r"^[0-9a-fA-F]{32,128}$"
_SHORTEST_HASH: Final = 32


@dataclass(frozen=True)
class Terms:
    """How the caller wants the rows of all files to be read.

    Attributes:
        zones: The zone of all servers, or of each.
        machine_metered: Product lines, or words of products' names, in lower case and without separators.
        date_format: How dates are written that are not ISO 8601.
        encoding: Code page of text that is no Unicode.
    """

    zones: str | Mapping[str, str] | None
    machine_metered: frozenset[str]
    date_format: str | None
    encoding: str


class Batch:
    """Some rows of a sheet on their way into the statement."""

    def __init__(self, text: pl.DataFrame, file: str, header: Header, terms: Terms) -> None:
        self.file = file
        self.header = header
        self.terms = terms
        self.is_token_flex = header.kind.startswith("token_flex")
        self.found: list[pl.DataFrame] = []
        self.text = self._rows_with_data(text)
        self._done: dict[str, pl.Series] = {}

    def statement(self) -> pl.DataFrame:
        """The rows as `tables.STATEMENT`."""
        if self.text.is_empty():
            return tables.empty(tables.STATEMENT)
        self._dates_and_numbers()
        self._times()
        self._people()
        same = {"kind": self.header.kind, "file": self.file}
        columns = {
            name: self._done.get(name, self._given(name)) for name in (*tables.STATEMENT, *CUSTOM) if name not in same
        }
        nulls = {name for name, column in columns.items() if column.null_count() == len(column)}

        def typed(name: str, dtype: pl.DataType) -> pl.Expr:
            # A column of one value is made once and not row by row.
            if name in nulls or name in same:
                return pl.lit(same.get(name), dtype)
            return pl.col(name).cast(dtype)

        fields = [typed(name, tables.NAME).alias(f"field_{number}") for number, name in enumerate(CUSTOM, 1)]
        plain = [typed(name, dtype).alias(name) for name, dtype in tables.STATEMENT.items() if name != "custom"]
        # One after another: batches are typed side by side already, and names of all wait for one lock.
        frame = pl.DataFrame(columns).select_seq(*plain, custom=pl.struct(fields))
        return frame.select(list(tables.STATEMENT))

    def _given(self, name: str) -> pl.Series:
        if name in self.text.columns:
            return self.text[name]
        return pl.repeat(None, self.text.height, dtype=pl.String, eager=True)

    def _rows_with_data(self, text: pl.DataFrame) -> pl.DataFrame:
        """Without blank lines and headers in mid-file, as files that were put together have them."""
        extra = [name for name in text.columns if name.startswith("extra_")]
        for name in extra:
            self._tell(
                text[LINE],
                text[name],
                text[name].is_not_null(),
                code="field_without_column",
                message="'{}' stands where the header has no column: left out",
            )
        text = text.filter(~pl.col(BLANK)).drop(BLANK, *extra)
        repeats = text["tokens"] == self.header.titles["tokens"]
        if repeats.any():
            self._tell(
                text[LINE],
                text["tokens"],
                repeats,
                code="repeated_header",
                message="the header stands here once more ('{}'): left out",
            )
            text = text.filter(~repeats.fill_null(value=False))
        return text

    def _tell(self, lines: pl.Series, given: pl.Series, where: pl.Series, *, code: str, message: str) -> None:
        """A problem for each row where something holds."""
        rows = where.arg_true()
        if len(rows) > 0:
            self.found.append(
                pl.DataFrame({"location": lines.gather(rows), "given": given.gather(rows).cast(pl.String)}).select(
                    source=pl.lit(self.file),
                    location=pl.col("location").cast(pl.UInt64),
                    code=pl.lit(code, dtype=pl.String),
                    message=pl.format(message, pl.col("given").fill_null("")) if "{}" in message else pl.lit(message),
                )
            )

    def _read(self, name: str, read: Callable[[pl.Series], pl.Series], *, code: str, message: str) -> pl.Series:
        """A column, with a problem for each text that cannot be read as what it should be."""
        text = self._given(name)
        if text.null_count() == len(text):
            return read(text.clear()).extend_constant(None, len(text))
        column = read(text)
        if column.null_count() > text.null_count():
            self._tell(self.text[LINE], text, text.is_not_null() & column.is_null(), code=code, message=message)
        return column

    def _dates_and_numbers(self) -> None:
        done = self._done
        for name in ("usage_date", "usage_month", "transaction_date"):
            done[name] = self._read(
                name,
                partial(values.dates, date_format=self.terms.date_format),
                code="bad_date",
                message=f"{name} is '{{}}', which is no date such as 2026-01-31: null (is date_format needed?)",
            )
        month = done["usage_month"]
        if month.null_count() > 0:
            done["usage_month"] = month.zip_with(month.is_not_null(), done["usage_date"].dt.month_start())
        numbers = ("tokens", "usage_minutes" if "usage_minutes" in self.text.columns else "usage_hours")
        for name in numbers:
            done[name] = self._read(
                name,
                values.decimals,
                code="bad_number",
                message=f"{name} is '{{}}', which is no number of at most four decimals: null",
            )
        if "usage_hours" in done:
            done["usage_minutes"] = (done.pop("usage_hours") * 60).cast(tables.TOKENS)
        for name in ("usage_date", "tokens"):
            if name in self.text.columns and self.text[name].null_count() > 0:
                self._tell(
                    self.text[LINE],
                    self.text[name],
                    self.text[name].is_null(),
                    code="missing_value",
                    message=f"{name} is empty: null",
                )
        done["contract_year"] = self._read(
            "contract_year",
            values.whole_numbers,
            code="bad_number",
            message="contract_year is '{}', which is no whole number: null",
        )
        words = {"category": tables.CATEGORIES, "usage_category": tables.USAGE_CATEGORIES}
        if self.is_token_flex:
            words["usage_type"] = tables.USAGE_TYPES
        for name, known in words.items():
            done[name] = self._read(
                name,
                partial(values.words, known=known),
                code="unknown_word",
                message=f"{name} is '{{}}', which is none of the words known: null",
            )

    def _times(self) -> None:
        server_offset = self._read(
            "utc_offset", values.offsets, code="bad_offset", message="the zone offset '{}' cannot be read: null"
        )
        self._done["utc_offset"] = server_offset
        for name in ("start", "end"):
            if name not in self.text.columns:
                continue
            local, own = values.local_times(self.text[name], self.terms.date_format)
            self._tell(
                self.text[LINE],
                self.text[name],
                self.text[name].is_not_null() & local.is_null(),
                code="bad_time",
                message=f"{name} is '{{}}', which is no time such as 2026-01-31T08:30: null (is date_format needed?)",
            )
            ahead = own.zip_with(own.is_not_null(), server_offset)
            times = (local - (ahead.cast(pl.Int64) * _MINUTE).cast(pl.Duration("us"))).dt.replace_time_zone("UTC")
            needs_zone = local.is_not_null() & ahead.is_null()
            if needs_zone.any():
                times = self._in_zones(name, local, times, needs_zone)
                between = (local.dt.replace_time_zone("UTC") - times).dt.total_minutes().cast(pl.Int16)
                ahead = ahead.zip_with(ahead.is_not_null(), between)
            self._done[name] = times
            if name == "start":
                self._done["utc_offset"] = ahead.zip_with(local.is_not_null(), server_offset)

    def _in_zones(self, name: str, local: pl.Series, times: pl.Series, where: pl.Series) -> pl.Series:
        """The times that have no offset, by the zones that the caller gave."""
        zones = self.terms.zones
        servers = self._given("server")
        if zones is None:
            # An offset that cannot be read has been told of; only where there is none the call is at fault.
            where = where & self._given("utc_offset").is_null()
            if not where.any():
                return times
            line = self.text[LINE].filter(where)[0]
            raise ZoneError(
                f"{self.file}, line {line}: {name} is a local time without an offset: give timezone=, the IANA "
                "name of the license server's zone, or a mapping from server to name",
                location=self.file,
            )
        groups = [(zones, where)] if isinstance(zones, str) else self._groups(zones, servers, where)
        for zone, here in groups:
            rows = here.arg_true()
            read = instants(local.gather(rows), zone)
            times = times.scatter(rows, read.times)
            lines, given = self.text[LINE].gather(rows), self.text[name].gather(rows)
            for marked, code, message in read.doubts(f"{name} '{{}}'", zone):
                self._tell(lines, given, marked, code=code, message=message)
        return times

    def _groups(self, zones: Mapping[str, str], servers: pl.Series, where: pl.Series) -> list[tuple[str, pl.Series]]:
        names = servers.filter(where).drop_nulls().unique().sort().to_list()
        unknown = [name for name in names if name not in zones]
        if unknown:
            raise ZoneError(
                f"timezone has no zone for the servers {', '.join(unknown)} of {self.file}", location=unknown[0]
            )
        self._tell(
            self.text[LINE],
            servers,
            where & servers.is_null(),
            code="missing_server",
            message="a local time without offset and without server, so without a zone: null",
        )
        return [(zones[name], where & (servers == name).fill_null(value=False)) for name in names]

    def _people(self) -> None:
        done, height = self._done, self.text.height
        user, host, swapped = self._unswapped()
        if not self.is_token_flex:
            done["user_name"] = self._display_name()
            done["access"] = self._access()
            done["usage_type"] = pl.repeat(None, height, dtype=pl.String, eager=True)
            names = (self._given("email"), self._given("user_name"), done["user_name"])
            user = pl.DataFrame(list(map(pl.Series.alias, names, "abc"))).select(pl.coalesce("a", "b", "c")).to_series()
        hashed = self._given("hashed_id")
        ids = hashed.zip_with(hashed.is_not_null(), self._given("user_id"))
        masked = _is_masked(user)
        told_apart = ids.is_not_null() & (masked | user.is_null())
        nameless = masked & ids.is_null()
        user = user.set(nameless, None)
        done["user"] = ids.zip_with(told_apart, user)
        done["is_masked"] = masked | told_apart | _is_hash(user)
        done["host"] = host
        done["is_swapped"] = swapped

    def _unswapped(self) -> tuple[pl.Series, pl.Series, pl.Series]:
        """User, host, and whether they stood in each other's column."""
        user, host = self._given("user"), self._given("host")
        if self.header.kind != "token_flex_sessions":
            return user, host, pl.repeat(value=False, n=len(user), dtype=pl.Boolean, eager=True)
        metered = self._is_metered("product", exactly=True) | self._is_metered("product_name", exactly=False)
        swapped = metered & (self._done["usage_date"] >= SWAPPED_FROM).fill_null(value=False)
        if not swapped.any():
            return user, host, swapped
        return host.zip_with(swapped, user), user.zip_with(swapped, host), swapped

    def _is_metered(self, column: str, *, exactly: bool) -> pl.Series:
        text = self._given(column)
        wanted = self.terms.machine_metered
        names = []
        for name in text.unique().drop_nulls():
            words = "".join(letter if letter.isalnum() else " " for letter in name.casefold()).split()
            joined = {*words, *map("".join, pairwise(words))}
            if name.casefold() in wanted if exactly else joined & wanted:
                names.append(name)
        if not names:
            return pl.repeat(value=False, n=len(text), dtype=pl.Boolean, eager=True)
        return text.is_in(names).fill_null(value=False)

    def _display_name(self) -> pl.Series:
        parts = {name: self._given(name) for name in ("full_name", "first_name", "last_name", "user_name")}
        both = pl.concat_str("first_name", "last_name", separator=" ", ignore_nulls=True)
        return pl.DataFrame(parts).select(
            pl.coalesce(pl.col("full_name"), pl.when(both != "").then(both), pl.col("user_name")).alias("user_name")
        )["user_name"]

    def _access(self) -> pl.Series:
        parts = {name: self._given(name) for name in ("usage_type", "access_option")}
        both = pl.concat_str("usage_type", "access_option", separator=" / ", ignore_nulls=True)
        return pl.DataFrame(parts).select(pl.when(both != "").then(both).alias("access"))["access"]


def _is_masked(user: pl.Series) -> pl.Series:
    starred = user.str.contains("*", literal=True).fill_null(value=False)
    return user.str.contains(_MASKED).fill_null(value=False) if starred.any() else starred


def _is_hash(user: pl.Series) -> pl.Series:
    long = (user.str.len_bytes() >= _SHORTEST_HASH).fill_null(value=False)
    return user.str.contains(_HASH).fill_null(value=False) if long.any() else long


def zones_in(zones: str | Mapping[str, str] | None) -> str | dict[str, str] | None:
    """The caller's zones, each of which exists.

    Raises:
        ZoneError: One does not.
    """
    if zones is None:
        return None
    check_zones(zones)
    return {str(server): zone for server, zone in zones.items()} if isinstance(zones, Mapping) else zones
