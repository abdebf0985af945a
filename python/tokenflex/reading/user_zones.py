"""`UserZones`: which zone each user lives in: from a table, by the names of hosts, or inferred."""

from __future__ import annotations

import re
from collections.abc import Mapping
from fnmatch import translate
from typing import TYPE_CHECKING, Final, TypeAlias

import polars as pl

from tokenflex import _core, tables
from tokenflex.arrow import AnyTable, frame_of, refuses_clearly
from tokenflex.errors import ArgumentError, ArgumentTypeError, ColumnTypeError, ZoneError
from tokenflex.problems import Problems, report
from tokenflex.reading.names import coded
from tokenflex.reading.periods import Periods, column_of, dated_rows, read_rows, write_rows

if TYPE_CHECKING:
    from pathlib import Path

WHAT: Final = "user zones"

LEAST_SHARE: Final = 2 / 3
"""Part of a user's sessions that has to speak for one zone, [I]: a guest at another site is no doubt."""

WITHOUT: Final = "user_without_zone"
UNCERTAIN: Final = "user_zone_uncertain"


class UserZones:
    """The zone that each user lives in, for rules whose days are the user's, and for reports by local time.

    Users who are not in it have no zone: nothing guesses one. `a | b` takes of `b` the users that `a` does not have, so
    what is known goes before what is likely: `table | by_hosts | inferred`.

    Args:
        zones: A mapping from user to IANA zone, or a table with the columns of `tables.USER_ZONES`; `user` and `zone`
            are enough. `valid_from` and `valid_to` are dates (from 00:00 UTC on) or instants, half-open; null is
            always.

    Raises:
        ZoneError: There is no such zone; `row` says where.
        ArgumentError: Two zones of one user hold at one time; the message names both rows.
        MissingColumnError, ColumnTypeError, ColumnValueError: The table is wrong; `column` and `row` say where.

    Example:
        >>> import tokenflex as tf
        >>> known = tf.UserZones({"ana": "Europe/Madrid"})
        >>> likely = tf.UserZones({"ana": "Europe/Rome", "bob": "asia/singapore"})
        >>> (known | likely).zones
        {'ana': 'Europe/Madrid', 'bob': 'Asia/Singapore'}
    """

    @refuses_clearly
    def __init__(self, zones: Mapping[str, str] | AnyTable) -> None:
        frame = _frame_of_mapping(zones) if isinstance(zones, Mapping) else frame_of(zones)
        rows = dated_rows(frame, tables.USER_ZONES, ("user", "zone"), WHAT)
        rows = rows.with_columns(
            zone=pl.Series([_known(zone, row) for row, zone in enumerate(rows["zone"])], dtype=pl.String),
            source=pl.col("source").fill_null("table"),
        )
        said = ("user", "zone", "valid_from", "valid_to")
        numbered = rows.with_row_index("row").unique(said, keep="first", maintain_order=True)
        self._rows = numbered.drop("row")
        words = [f"{user!r} lives in {zone}" for user, zone, *_ in self._rows.iter_rows()]
        numbers = numbered["row"].to_list()
        self._periods = Periods(self._rows["user"].to_list(), self._rows, words=words, what=WHAT, numbers=numbers)

    @classmethod
    def read(cls, path: str | Path) -> UserZones:
        """The zones of a `.csv` or `.parquet` file.

        Args:
            path: A file with the columns `user` and `zone`, and `valid_from`, `valid_to` (ISO 8601) and
                `source` if there are any. CSV may have commas, semicolons or tabs, and be UTF-8, UTF-16 or
                Windows-1252.

        Raises:
            SourceNotFoundError: There is no such file.
            SourceError: The file cannot be read as a table.
        """
        return cls(read_rows(path, WHAT))

    def write(self, path: str | Path) -> None:
        """Writes the zones as CSV that `read` takes, a row each, fit for version control.

        Args:
            path: The file; it is replaced.

        Raises:
            SourceError: The file cannot be written.
        """
        write_rows(self._rows, path)

    @classmethod
    @refuses_clearly
    def from_hosts(
        cls,
        sessions: AnyTable,
        patterns: Mapping[str, str],
        *,
        column: str = "host",
        problems: Problems | None = None,
    ) -> UserZones:
        """The zone of each user by the names of the machines that they used.

        Args:
            sessions: Any Arrow table with the columns `user` and `column`, one row for each session.
            patterns: From a pattern to an IANA zone. `*` stands for any characters, `?` for one, `[ab]` for one of
                them; case does not matter; of several patterns that fit the first counts.
            column: Where the names are: hosts, or sites or servers.
            problems: Collects the users that are left out: `user_without_zone` where no pattern fits any of their
                sessions, `user_zone_uncertain` where fewer than two thirds of them speak for one zone. Without it, a
                `TokenflexWarning` tells of them.

        Returns:
            The zones; `source` is `hosts`, or the column's name where it is another.

        Raises:
            ZoneError: There is no zone of a name in `patterns`.
            ArgumentTypeError: `patterns` does not map text to text.
            MissingColumnError, ColumnTypeError: The table lacks a column, or has it in a type that cannot be taken.

        Example:
            >>> import tokenflex as tf, polars as pl
            >>> sessions = pl.DataFrame({"user": ["ana", "bob"], "host": ["mad-0417", "SGP-22"]})
            >>> tf.UserZones.from_hosts(sessions, {"MAD-*": "Europe/Madrid", "SGP-*": "Asia/Singapore"}).zones
            {'ana': 'Europe/Madrid', 'bob': 'Asia/Singapore'}
        """
        fitting = _compiled(patterns)
        frame = frame_of(sessions)
        users, names = coded(column_of(frame, "user"))
        hosts, spellings = coded(column_of(frame, column))
        zone_of_host = [_first_zone(host, fitting) for host in spellings]
        zones = pl.Series("zone", [*zone_of_host, None], dtype=pl.String).gather(hosts.fill_null(len(spellings)))
        counted = _counted(users, zones)
        found, left_out = [], []
        for code, rows, zone, most in counted.iter_rows():
            if zone is None:
                left_out.append((code, WITHOUT, f"no pattern fits the {column} of any of {rows} sessions"))
            elif most < LEAST_SHARE * rows:
                left_out.append((code, UNCERTAIN, f"only {most} of {rows} sessions are in {zone}, most of any zone"))
            else:
                found.append((names[code], zone))
        report(
            _problems("sessions", [(names[code], kind, why) for code, kind, why in left_out]), problems, "from_hosts"
        )
        return cls(_frame_of_pairs(found, "hosts" if column == "host" else column))

    @classmethod
    @refuses_clearly
    def from_inferred(cls, inferred: AnyTable, *, at_least: float = 0.8, problems: Problems | None = None) -> UserZones:
        """The zones that `infer_zones` found, where it was sure enough.

        Args:
            inferred: What `infer_zones` gave.
            at_least: The least confidence that is taken, 0 to 1.
            problems: Collects the users that are left out: `user_without_zone` where the zone is unknown,
                `user_zone_uncertain` where the confidence is less. Without it, a `TokenflexWarning` tells of them.

        Returns:
            The zones; `source` is `inferred`.

        Raises:
            ArgumentError: `at_least` lies outside of 0 to 1.
            MissingColumnError, ColumnTypeError: The table lacks a column, or has it in a type that cannot be taken.

        Example:
            >>> import tokenflex as tf, polars as pl
            >>> inferred = pl.DataFrame({
            ...     "user": ["ana"], "zone": ["Asia/Tokyo"], "confidence": [0.97], "why": ["halves are alike"],
            ... })
            >>> tf.UserZones.from_inferred(inferred).zones
            {'ana': 'Asia/Tokyo'}
        """
        if isinstance(at_least, bool) or not isinstance(at_least, int | float):
            raise ArgumentTypeError("at_least has to be a number", location="at_least")
        if not 0 <= at_least <= 1:
            raise ArgumentError(f"at_least is {at_least}, but has to lie in 0 to 1", location="at_least")
        frame = frame_of(inferred)
        columns = [column_of(frame, name) for name in ("user", "zone", "confidence", "why")]
        if not columns[2].dtype.is_numeric():
            raise ColumnTypeError(
                f"column 'confidence' is {columns[2].dtype}, but has to be a number", column="confidence"
            )
        texts = [column.cast(pl.String) for column in (columns[0], columns[1], columns[3])]
        found, left_out = [], []
        for user, zone, why, confidence in zip(*texts, columns[2], strict=True):
            if zone is None:
                left_out.append((user, WITHOUT, f"{why}"))
            elif confidence is None or not confidence >= at_least:
                left_out.append((user, UNCERTAIN, f"{zone} has a confidence of {confidence}, below {at_least}"))
            else:
                found.append((user, zone))
        report(_problems("inferred_zones", left_out), problems, "from_inferred")
        return cls(_frame_of_pairs(found, "inferred"))

    @property
    def frame(self) -> pl.DataFrame:
        """The zones as a table, see `tables.USER_ZONES`, in the order in which they were given, repeats dropped."""
        return self._rows

    @property
    def zones(self) -> dict[str, str]:
        """The zone of each user, as `charge` needs it.

        Raises:
            ArgumentError: A user has a zone for a time only; `location` is the user.
        """
        for user, zone, since, until, _ in self._rows.iter_rows():
            if since is not None or until is not None:
                raise ArgumentError(
                    f"{user!r} lives in {zone} for a time only, and a rule's days need one zone for each user: "
                    "charge the time before and after apart, each with the zones of its time",
                    location=user,
                )
        return dict(self._rows.select("user", "zone").iter_rows())

    def __or__(self, other: object) -> UserZones:
        """These zones, and of the other those of users who are not among these."""
        if not isinstance(other, UserZones):
            return NotImplemented
        return UserZones(pl.concat([self._rows, other._rows.join(self._rows, on="user", how="anti")]))

    def __len__(self) -> int:
        """How many users have a zone."""
        return self._rows["user"].n_unique()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, UserZones) and self._rows.rows() == other._rows.rows()

    def __hash__(self) -> int:
        return hash(tuple(self._rows.rows()))

    def __repr__(self) -> str:
        return f"<UserZones of {len(self)} users in {self._rows['zone'].n_unique()} zones>"


Users: TypeAlias = Mapping[str, str] | UserZones
"""What says which zone each user lives in."""


def zones_in(zones: object, argument: str) -> dict[str, str] | None:
    """The zone of each name, of what a caller gave for it, in the spelling of the database."""
    if zones is None:
        return None
    if isinstance(zones, UserZones) and argument == "users":
        return zones.zones
    if not isinstance(zones, Mapping):
        raise ArgumentTypeError(
            f"{argument} has to map names to IANA zones, not to be {type(zones).__name__}", location=argument
        )
    for name, zone in zones.items():
        if not isinstance(name, str) or not isinstance(zone, str):
            raise ArgumentTypeError(
                f"{argument} has to map names to IANA zones, not {name!r} to {zone!r}", location=argument
            )
    spelled = {zone: _core.check_zone(zone) for zone in set(zones.values())}
    return {name: spelled[zone] for name, zone in zones.items()}


def _known(zone: str, row: int) -> str:
    """The zone in the database's spelling."""
    try:
        return _core.check_zone(zone)
    except ZoneError as error:
        raise ZoneError(f"{WHAT}, row {row}: {error}", column="zone", row=row, location=zone) from error


def _frame_of_mapping(zones: Mapping[str, str]) -> pl.DataFrame:
    for user, zone in zones.items():
        if not isinstance(user, str) or not isinstance(zone, str):
            raise ArgumentTypeError(
                f"zones have to map users to IANA zones, not {user!r} to {zone!r}", location="zones"
            )
    return pl.DataFrame(
        {"user": list(zones), "zone": list(zones.values())}, schema=dict.fromkeys(("user", "zone"), pl.String)
    )


def _frame_of_pairs(pairs: list[tuple[str, str]], source: str) -> pl.DataFrame:
    frame = pl.DataFrame(pairs, schema=dict.fromkeys(("user", "zone"), pl.String), orient="row")
    return frame.with_columns(source=pl.lit(source))


def _compiled(patterns: object) -> list[tuple[re.Pattern[str], str]]:
    if not isinstance(patterns, Mapping):
        raise ArgumentTypeError(
            f'patterns has to map patterns to zones, such as {{"MAD-*": "Europe/Madrid"}}, not to be '
            f"{type(patterns).__name__}",
            location="patterns",
        )
    for pattern, zone in patterns.items():
        if not isinstance(pattern, str) or not isinstance(zone, str):
            raise ArgumentTypeError(
                f"patterns has to map text to IANA zones, not {pattern!r} to {zone!r}", location="patterns"
            )
    return [
        (re.compile(translate(pattern.strip().casefold())), _core.check_zone(zone))
        for pattern, zone in patterns.items()
    ]


def _first_zone(host: str, fitting: list[tuple[re.Pattern[str], str]]) -> str | None:
    plain = host.strip().casefold()
    return next((zone for pattern, zone in fitting if pattern.match(plain)), None)


def _counted(users: pl.Series, zones: pl.Series) -> pl.DataFrame:
    """For each user, in order of first row: sessions, the zone with most of them, and how many those are."""
    rows = pl.DataFrame({"user": users, "zone": zones}).drop_nulls("user")
    by_zone = rows.drop_nulls().group_by("user", "zone").agg(most=pl.len())
    # Of equals the name decides, so that the message does not depend on the order of rows; a tie is left out anyway.
    best = by_zone.sort("most", "zone", descending=[True, False]).unique("user", keep="first", maintain_order=True)
    counted = rows.group_by("user", maintain_order=True).agg(rows=pl.len())
    return counted.join(best, on="user", how="left", maintain_order="left").select("user", "rows", "zone", "most")


def _problems(source: str, left_out: list[tuple[str, str, str]]) -> pl.DataFrame:
    told = [(source, None, kind, f"{user!r} has no zone: {why}") for user, kind, why in left_out]
    return pl.DataFrame(told, schema=dict(tables.PROBLEMS), orient="row")
