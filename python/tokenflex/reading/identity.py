"""`Identity`: which spellings of users' names are one person, by rules and by a table of aliases with dates."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

import polars as pl

from tokenflex import tables
from tokenflex.arrow import AnyTable, frame_of, refuses_clearly
from tokenflex.errors import ArgumentError, ArgumentTypeError
from tokenflex.problems import Problems, report
from tokenflex.reading.doubts import Rows, at_rows, two_domains
from tokenflex.reading.names import coded, decoded
from tokenflex.reading.periods import (
    Periods,
    column_of,
    dated_rows,
    instants_of,
    needed_times,
    read_rows,
    times_of,
    write_rows,
)
from tokenflex.reading.spelling import MASKED, Spelling, chosen, is_masked, is_opaque
from tokenflex.reading.suggest import suggestions

if TYPE_CHECKING:
    from collections.abc import Collection
    from datetime import datetime
    from pathlib import Path

WHAT: Final = "aliases"
AS_LOGGED: Final = "_as_logged"


class Identity:
    r"""Which spellings are one person.

    A spelling is looked up in the aliases as it stands, then the rules are applied and what they leave is looked up
    again; what is no alias is a person by itself. Nothing is merged but by these rules and these aliases. Blanks at
    the ends and the two ways to write an accent never make a difference. Names that are hashes are left as they are.

    Args:
        aliases: A table with the columns of `tables.ALIASES` (`spelling` and `person` are enough), or a mapping from
            spelling to person. `valid_from` and `valid_to` are dates (from 00:00 UTC on) or instants, half-open;
            null is always. A person is kept as written there.
        fold_case: `ANA` and `ana` are one person, and `PC1` and `pc1` one host; the small letters stay.
        domains: `FIRM\ana` is `ana`: for all domains (`True`), none (`False`) or those listed.
        email_domains: `ana@firm.example` is `ana`: for all domains (`True`), none (`False`) or those listed. Hosts
            can be listed too, for logins such as `ana@pc1`.
        host_suffixes: `pc1.firm.example` is `pc1`: for all suffixes (`True`), none (`False`) or those listed. IP
            addresses stay.

    Raises:
        ArgumentError: Two aliases of one spelling hold at one time; the person of one alias is the spelling of another
            at the same time; two persons are one under `fold_case`.
        ArgumentTypeError: A rule is neither a bool nor a list of names.
        MissingColumnError, ColumnTypeError, ColumnValueError: The aliases are wrong; `column` and `row` say where.

    Example:
        >>> import tokenflex as tf, polars as pl
        >>> identity = tf.Identity({"aruiz": "ana"}, email_domains=["firm.example"])
        >>> logged = pl.DataFrame({"user": ["ANA", r"FIRM\ana", "ana@firm.example", "ARuiz", "bob"]})
        >>> identity.apply(logged)["user"].to_list()
        ['ana', 'ana', 'ana', 'ana', 'bob']
    """

    @refuses_clearly
    def __init__(
        self,
        aliases: Mapping[str, str] | AnyTable | None = None,
        *,
        fold_case: bool = True,
        domains: bool | Collection[str] = True,
        email_domains: bool | Collection[str] = False,
        host_suffixes: bool | Collection[str] = False,
    ) -> None:
        if not isinstance(fold_case, bool):
            raise ArgumentTypeError(f"fold_case has to be True or False, not {fold_case!r}", location="fold_case")
        self._spelling = Spelling(
            fold_case=fold_case,
            domains=chosen(domains, "domains"),
            email_domains=chosen(email_domains, "email_domains"),
            host_suffixes=chosen(host_suffixes, "host_suffixes"),
        )
        self._rows = dated_rows(_table_of(aliases), tables.ALIASES, ("spelling", "person"), WHAT)
        self._spellings = [self._spelling.key(name) for name in self._rows["spelling"]]
        words = [f"{spelling!r} is {person!r}" for spelling, person, *_ in self._rows.iter_rows()]
        self._periods = Periods(self._spellings, self._rows, words=words, what=WHAT)
        self._pairs = set(zip(self._spellings, self._rows["person"], strict=True))
        self._persons = self._persons_by_key()
        self._refuse_chains(words)

    @classmethod
    def read(
        cls,
        path: str | Path,
        *,
        fold_case: bool = True,
        domains: bool | Collection[str] = True,
        email_domains: bool | Collection[str] = False,
        host_suffixes: bool | Collection[str] = False,
    ) -> Identity:
        """The identity of an alias table in a `.csv` or `.parquet` file.

        Args:
            path: A file with the columns `spelling` and `person`, and if there are any `valid_from` and `valid_to`
                (ISO 8601). CSV may have commas, semicolons or tabs, and be UTF-8, UTF-16 or Windows-1252.
            fold_case: As for `Identity`.
            domains: As for `Identity`.
            email_domains: As for `Identity`.
            host_suffixes: As for `Identity`.

        Raises:
            SourceNotFoundError: There is no such file.
            SourceError: The file cannot be read as a table.
        """
        return cls(
            read_rows(path, WHAT),
            fold_case=fold_case,
            domains=domains,
            email_domains=email_domains,
            host_suffixes=host_suffixes,
        )

    def write(self, path: str | Path) -> None:
        """Writes the aliases as CSV that `read` takes, a row each, fit for version control.

        Args:
            path: The file; it is replaced.

        Raises:
            SourceError: The file cannot be written.
        """
        write_rows(self._rows, path)

    @property
    def frame(self) -> pl.DataFrame:
        """The aliases as a table, see `tables.ALIASES`, in the order in which they were given."""
        return self._rows

    @property
    def options(self) -> dict[str, bool | list[str]]:
        """What else it was made with, as `Identity(frame, **options)` takes it."""
        fields = ("fold_case", "domains", "email_domains", "host_suffixes")
        chosen_by = {name: getattr(self._spelling, name) for name in fields}
        return {name: value if isinstance(value, bool) else sorted(value) for name, value in chosen_by.items()}

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Identity)
            and self._spelling == other._spelling
            and self._rows.rows() == other._rows.rows()
        )

    def __hash__(self) -> int:
        return hash((self._spelling, tuple(self._rows.rows())))

    def __repr__(self) -> str:
        return f"<Identity of {self._rows.height} aliases, {self._spelling}>"

    @refuses_clearly
    def apply(
        self,
        table: AnyTable,
        *,
        column: str = "user",
        at: str | datetime | None = None,
        host_column: str = "host",
        hash_column: str | None = None,
        problems: Problems | None = None,
    ) -> pl.DataFrame:
        """Replaces each spelling by its person, and keeps the spelling.

        Args:
            table: Any Arrow table: events, sessions, charges or your own. It is not changed. A LazyFrame is collected.
            column: Where the users are, text in any encoding.
            at: The column whose time chooses among aliases with dates (an instant, or a date which begins at 00:00
                UTC), or one instant for all rows. Unless given the first that a row has of `start`, `charged_at`,
                `time` and `usage_date`.
            host_column: Where the hosts are; a table without it is fine.
            hash_column: Where the vendor's hash of each user is. A masked name (it begins with `*` or holds `**`)
                becomes `masked:` and its hash; one without a hash becomes null, since two of them may be two persons.
            problems: Collects what is doubtful; without it, a `TokenflexWarning` tells of it: `masked_user` (a masked
                name without a hash), `two_domains` (the rules made one person of names in two domains), `missing_time`
                (a row without a time, whose spelling has aliases with dates; they were not used).

        Returns:
            All rows and columns in their order, `column` and `host_column` replaced (Categorical), and at the end
            `user_as_logged` and `host_as_logged` (called after the columns). Where these are there already they stay
            as they are, so that applying twice is applying once.

        Raises:
            MissingColumnError: There is no such column, or no time though an alias has dates.
            ColumnTypeError: Names are no text, or times no instants.

        Example:
            >>> import tokenflex as tf, polars as pl
            >>> sessions = pl.DataFrame({"user": ["ANA"], "host": ["PC1.firm.example"]})
            >>> tf.Identity(host_suffixes=True).apply(sessions).row(0)
            ('ana', 'pc1', 'ANA', 'PC1.firm.example')
        """
        frame = frame_of(table)
        user = column_of(frame, column)
        found = Problems()
        times = needed_times(frame, at, WHAT) if self._periods.is_dated else None
        changed = [self._persons_of(self._unmasked(frame, user, hash_column), times, found)]
        if host_column in frame.columns and host_column != column:
            codes, names = coded(frame[host_column])
            changed.append(decoded(host_column, [self._spelling.host(name) for name in names], codes))
        report(found.frame, problems, "identity")
        kept = [
            frame[series.name].alias(series.name + AS_LOGGED)
            for series in changed
            if series.name + AS_LOGGED not in frame.columns
        ]
        return frame.with_columns(*changed, *kept)

    @refuses_clearly
    def persons(
        self,
        table: AnyTable,
        *,
        column: str = "user",
        at: str | datetime | None = None,
        hash_column: str | None = None,
        problems: Problems | None = None,
    ) -> pl.DataFrame:
        r"""Who was found under which spellings, and why.

        Args:
            table: As for `apply`; what `apply` returned is taken as well.
            column: As for `apply`.
            at: As for `apply`; `first` and `last` are null where there are no times.
            hash_column: As for `apply`.
            problems: As for `apply`.

        Returns:
            A row for each spelling of each person, see `tables.PERSONS`, by person, the commonest spelling first. The
            rules are `blanks`, `domain`, `email`, `case`, `alias` and `masked`.

        Example:
            >>> import tokenflex as tf, polars as pl
            >>> logged = pl.DataFrame({"user": ["ana", r"FIRM\Ana", "ana"]})
            >>> tf.Identity().persons(logged).select("person", "spelling", "rows", "rules").rows()
            [('ana', 'ana', 2, []), ('ana', 'FIRM\\Ana', 1, ['domain', 'case'])]
        """
        frame = frame_of(table)
        applied = self.apply(frame, column=column, at=at, hash_column=hash_column, problems=problems)
        times = times_of(frame, at)
        seen = pl.DataFrame(
            [
                applied[column].alias("person"),
                applied[column + AS_LOGGED].cast(tables.NAME).alias("spelling"),
                pl.Series("time", [None], dtype=tables.TIME).new_from_index(0, frame.height)
                if times is None
                else times.alias("time"),
            ]
        ).drop_nulls("spelling")
        counted = seen.group_by("person", "spelling").agg(
            pl.len().cast(pl.UInt64).alias("rows"), first=pl.col("time").min(), last=pl.col("time").max()
        )
        rules = [self._why(spelling, person) for spelling, person in counted.select("spelling", "person").iter_rows()]
        told = counted.with_columns(pl.Series("rules", rules, dtype=pl.List(pl.String)))
        order = [pl.col("person").cast(pl.String), pl.col("rows"), pl.col("spelling").cast(pl.String)]
        told = told.sort(*order, descending=[False, True, False], nulls_last=True)
        return tables.finish(told, tables.PERSONS)

    @refuses_clearly
    def suggest(self, sessions: AnyTable, *, minimum: float = 0.4, problems: Problems | None = None) -> pl.DataFrame:
        """Names that may be one person, with the evidence. Nothing is merged: write into the aliases what is true.

        The names are those that `apply` leaves apart. Pairs are looked for among the users of each host of at most 30
        users, and among names alike. The score is

            (name_similarity + place_similarity) / 2 * (1 - contradiction)

        so that over 0.5 both names and places speak for it. A host that `n` users share counts for `1 / (n - 1)`: the
        kiosk in the hall makes no aliases. Names whose digits differ (`user01`, `user02`) are not similar.

        Args:
            sessions: Any Arrow table with `user`, `host`, `start` and `end` (null: still open), see `tables.SESSIONS`.
                Rows without user, host or start, or with their end before their start, are no evidence.
            minimum: The least score to be shown, above 0.
            problems: As for `apply`.

        Returns:
            A row for each pair, see `tables.SUGGESTIONS`, by score from the top.

        Raises:
            ArgumentError: `minimum` does not lie in 0 to 1.
            MissingColumnError, ColumnTypeError: As for `apply`.

        Example:
            >>> import tokenflex as tf, polars as pl
            >>> from datetime import datetime, timezone
            >>> def at(hour): return datetime(2026, 7, 13, hour, tzinfo=timezone.utc)
            >>> sessions = pl.DataFrame({
            ...     "user": ["ana.ruiz", "aruiz", "bob"], "host": ["pc1", "pc1", "pc2"],
            ...     "start": [at(8), at(12), at(9)], "end": [at(11), at(17), at(17)],
            ... })
            >>> tf.Identity().suggest(sessions).select("spelling_a", "spelling_b", "score").rows()
            [('ana.ruiz', 'aruiz', 0.9)]
        """
        if isinstance(minimum, bool) or not isinstance(minimum, int | float) or not 0 < minimum <= 1:
            raise ArgumentError(f"minimum={minimum!r} has to lie above 0, up to 1", location="minimum")
        frame = frame_of(sessions)
        names = [column_of(frame, name) for name in ("user", "host")]
        times = [instants_of(frame, name) for name in ("start", "end")]
        applied = self.apply(pl.DataFrame([*names, *times]), problems=problems)
        return tables.finish(suggestions(applied, minimum), tables.SUGGESTIONS)

    def _persons_by_key(self) -> dict[str, str]:
        """Persons of the aliases are themselves, in whichever case they are written."""
        persons: dict[str, str] = {}
        for row, person in enumerate(self._rows["person"]):
            other = persons.setdefault(self._spelling.key(person), person)
            if other != person:
                raise ArgumentError(
                    f"{WHAT}, row {row}: {person!r} and {other!r} are one person under fold_case: write one of them",
                    location=WHAT,
                )
        return persons

    def _refuse_chains(self, words: list[str]) -> None:
        for row, (_, person, since, until) in enumerate(self._rows.iter_rows()):
            for next_row in self._periods.holds_together(self._spelling.key(person), since, until):
                last = self._rows["person"][next_row]
                if last != person:
                    raise ArgumentError(
                        f"{WHAT}, rows {row} and {next_row} make a chain at one time: {words[row]} and "
                        f"{words[next_row]}; write into row {row} who it is in the end",
                        location=WHAT,
                    )

    def _unmasked(self, frame: pl.DataFrame, user: pl.Series, hash_column: str | None) -> pl.Series:
        """The users, with their hashes in place of masks."""
        if hash_column is None:
            return user
        hashes = column_of(frame, hash_column)
        codes, names = coded(user)
        masks = pl.Series([is_masked(name) for name in names], dtype=pl.Boolean)
        if not masks.any():
            return user
        hidden = pl.DataFrame(
            {"name": user.cast(pl.String), "hash": hashes.cast(pl.String), "hides": at_rows(masks, codes)}
        )
        known = pl.col("hides") & (pl.col("hash").str.strip_chars() != "")
        named = pl.when(known).then(MASKED + pl.col("hash").str.strip_chars()).otherwise("name")
        return hidden.select(named.alias(user.name)).to_series()

    def _persons_of(self, user: pl.Series, times: pl.Series | None, found: Problems) -> pl.Series:
        codes, names = coded(user)
        plain = [self._spelling.plain(name)[0] for name in names]
        keys = [self._spelling.key(name) for name in names]
        rows = self._periods.find(keys, codes, times)
        rows = rows.zip_with(rows.is_not_null(), self._periods.find(plain, codes, times))
        persons = self._rows["person"].to_list()
        otherwise = [self._by_rules(key, name) for key, name in zip(keys, plain, strict=True)]
        place = pl.Series(range(len(persons), len(persons) + len(names)), dtype=pl.UInt32).gather(codes)
        place = rows.zip_with(rows.is_not_null(), place)
        dated = [any(map(self._periods.is_dated_key, pair)) for pair in zip(keys, plain, strict=True)]
        rows_of = Rows(names, codes.set(rows.is_not_null(), None), times)
        found.add(rows_of.masked([person is None for person in otherwise]))
        found.add(rows_of.without_time(dated))
        settled = {*self._persons, *self._spellings}
        ruled = {name: left for name, key, left in zip(names, keys, plain, strict=True) if key not in settled}
        found.add(two_domains(ruled, self._spelling))
        return decoded(user.name, [*persons, *otherwise], place)

    def _by_rules(self, key: str, plain: str) -> str | None:
        """The person where no alias holds: one of the aliases' persons, what the rules leave, or nobody known."""
        person = self._persons.get(key) or self._persons.get(plain) or plain
        return None if person == "" or (is_masked(person) and not is_opaque(person)) else person

    def _why(self, spelling: str, person: str | None) -> list[str]:
        plain, rules = self._spelling.plain(spelling)
        if is_masked(spelling) and (person is None or person.startswith(MASKED)):
            return ["masked"]
        if person == self._by_rules(self._spelling.key(spelling), plain):
            return list(rules)
        is_exact = (self._spelling.key(spelling), person) in self._pairs
        return ["alias"] if is_exact else [*rules, "alias"]


def _table_of(aliases: Any) -> pl.DataFrame:  # noqa: ANN401 - whatever the caller takes for aliases
    if aliases is None:
        return tables.empty(tables.ALIASES)
    if isinstance(aliases, Mapping):
        for name in (*aliases.keys(), *aliases.values()):
            if not isinstance(name, str):
                raise ArgumentTypeError(f"aliases hold {name!r}, but have to be names: text", location=WHAT)
        return pl.DataFrame(
            {"spelling": list(aliases.keys()), "person": list(aliases.values())},
            schema={"spelling": pl.String, "person": pl.String},
        )
    return frame_of(aliases)
