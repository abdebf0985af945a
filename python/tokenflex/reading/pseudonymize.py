"""The verb `pseudonymize`: users and hosts replaced by keyed hashes, so that tables can be given away."""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

import polars as pl

from tokenflex import tables
from tokenflex.arrow import AnyTable, frame_of, refuses_clearly
from tokenflex.errors import ArgumentError, ArgumentTypeError, MissingColumnError
from tokenflex.problems import Problems, report
from tokenflex.reading.identity import Identity
from tokenflex.reading.names import coded, decoded, is_text
from tokenflex.reading.periods import column_of

if TYPE_CHECKING:
    from collections.abc import Iterable

DEFAULT: Final = ("user", "host", "user_as_logged", "host_as_logged")

LEAST_KEY: Final = 16
"""Bytes of a key that cannot be guessed."""

DIGITS: Final = 24
"""Hexadecimal digits of a pseudonym, 96 bits: among a million names two share one with odds of 1 to 10^17."""

KINDS: Final[Mapping[str, str]] = {
    "user": "user",
    "user_as_logged": "user",
    "person": "user",
    "spelling": "user",
    "spelling_a": "user",
    "spelling_b": "user",
    "host": "host",
    "host_as_logged": "host",
}
"""Columns whose names are of one kind, so that a user has one pseudonym in all of them."""

SUSPECTS: Final = re.compile(
    r"user|host|name|mail|person|spelling|login|machine|workstation|computer|file|data|reason|comment|note|custom"
    r"|message|project",
    re.IGNORECASE,
)
"""Columns that may hold names, by what they are called."""

HARMLESS: Final = ("product_name", "productname", "feature_name")
"""Called so, but names of software."""


@refuses_clearly
def pseudonymize(
    table: AnyTable,
    *,
    key: str | bytes,
    columns: Iterable[str] | Mapping[str, str] = DEFAULT,
    blank: Iterable[str] = (),
    identity: Identity | None = None,
    problems: Problems | None = None,
) -> pl.DataFrame:
    """Replaces names by keyed hashes (HMAC-SHA256), the same for one name and key in every table and at every run.

    Only the named columns are replaced, by default users and hosts. Times, products and the pattern of use stay as
    they are, and may tell a colleague who somebody is; servers stay unless they are named; text in other columns stays
    unless it is blanked. Whoever has the key can test whether a pseudonym is a given name. `docs/pseudonymize.md` says
    more.

    Args:
        table: Any Arrow table: events, sessions, charges, problems or your own. It is not changed. A LazyFrame is
            collected.
        key: The secret, of at least 16 bytes, such as `secrets.token_hex(32)`. Keep it, and give it to nobody.
        columns: Which columns to replace, text in any encoding. Unless given `user`, `host` and what `Identity.apply`
            kept of them, as many as are there, but at least one. A mapping gives each column's kind: names of one kind
            have one pseudonym, names of two kinds differ. Without one `user`, `user_as_logged`, `person` and
            `spelling` are of kind `user`, `host` and `host_as_logged` of kind `host`, and any other column is a kind
            by itself.
        blank: Columns to empty; their types stay. For `file`, `data`, `reason` and other text that may hold names.
        identity: Applied first, so that all spellings of a person get one pseudonym. The spellings are left out.
        problems: Collects which columns may still hold names (`may_hold_names`); without it, a `TokenflexWarning`
            tells of them.

    Returns:
        All rows and columns in their order; a replaced column is Categorical, such as `user-` and 24 hexadecimal
        digits. Nulls stay null.

    Raises:
        ArgumentError: The key is too short, or a column is to be both replaced and blanked.
        ArgumentTypeError: The key is no text or bytes; `columns` or `blank` is no list; `identity` is none.
        MissingColumnError: A column is not there.
        ColumnTypeError: A column to be replaced is no text.

    Example:
        >>> import tokenflex as tf, polars as pl
        >>> sessions = pl.DataFrame({"user": ["ana", "bob", "ana"], "host": ["pc1", "pc1", None]})
        >>> hidden = tf.pseudonymize(sessions, key="a secret of some length")
        >>> hidden["user"].n_unique(), hidden["host"][2], hidden["user"][0][:5]
        (2, None, 'user-')
        >>> hidden["user"][0] == tf.pseudonym("ana", key="a secret of some length")
        True
    """
    secret = _secret(key)
    frame = frame_of(table)
    if identity is not None:
        if not isinstance(identity, Identity):
            raise ArgumentTypeError(
                f"identity has to be a tokenflex.Identity, not {type(identity).__name__}", location="identity"
            )
        given = frame.columns
        frame = identity.apply(frame, problems=problems).select(given)
    kinds = _kinds(columns, frame.columns)
    emptied = _names(blank, "blank")
    for name in emptied:
        column_of(frame, name)
        if name in kinds:
            raise ArgumentError(f"column {name!r} cannot be replaced and blanked: choose one", location="blank")
    changed, known = [], set()
    for name, kind in kinds.items():
        codes, names = coded(column_of(frame, name))
        known.update(names)
        changed.append(decoded(name, [_token(secret, kind, each) for each in names], codes))
    nothing = [pl.lit(None, dtype=frame.schema[name]).alias(name) for name in emptied]
    left = frame.drop([*kinds, *emptied])
    report(_suspicions(left, known), problems, "pseudonymize")
    return frame.with_columns(*changed, *nothing)


def pseudonym(name: str, *, key: str | bytes, kind: str = "user") -> str:
    """The pseudonym of one name, to look somebody up or to give zones to pseudonymised servers and users.

    Args:
        name: The name, as it stands in the table.
        key: As for `pseudonymize`.
        kind: What is named: `user`, `host`, or the column.

    Returns:
        The kind, a hyphen, and 24 hexadecimal digits.

    Raises:
        ArgumentError: The key is too short.
        ArgumentTypeError: The name is no text, or the key no text or bytes.

    Example:
        >>> import tokenflex as tf
        >>> tf.pseudonym("mad-lic-01", key="a secret of some length", kind="server")
        'server-479a83267cbda46b554a5c4e'
    """
    if not isinstance(name, str):
        raise ArgumentTypeError(f"a name has to be text, not {type(name).__name__}", location="name")
    return _token(_secret(key), kind, name)


def _token(secret: bytes, kind: str, name: str) -> str:
    digest = hmac.digest(secret, f"{kind}\0{name}".encode("utf-8", "surrogatepass"), hashlib.sha256)
    return f"{kind}-{digest.hex()[:DIGITS]}"


def _secret(key: object) -> bytes:
    if not isinstance(key, str | bytes):
        raise ArgumentTypeError(f"key has to be text or bytes, not {type(key).__name__}", location="key")
    secret = key.encode() if isinstance(key, str) else key
    if len(secret) < LEAST_KEY or len(set(secret)) == 1:
        # The message must not show the key.
        raise ArgumentError(
            f"key has {len(secret)} bytes, or one byte again and again, and could be guessed: take {LEAST_KEY} bytes "
            "or more, such as secrets.token_hex(32), and keep them",
            location="key",
        )
    return secret


def _names(columns: object, argument: str) -> list[str]:
    if isinstance(columns, str | bytes) or not hasattr(columns, "__iter__"):
        raise ArgumentTypeError(f"{argument} has to be a list of columns, not {columns!r}", location=argument)
    return list(dict.fromkeys(columns))


def _kinds(columns: Iterable[str] | Mapping[str, str], present: list[str]) -> dict[str, str]:
    if isinstance(columns, Mapping):
        return {name: str(kind) for name, kind in columns.items()}
    names = _names(columns, "columns")
    if columns is DEFAULT:
        names = [name for name in names if name in present]
        if not names:
            raise MissingColumnError(
                f"the table has neither user nor host: say by columns=… which to replace of: {', '.join(present)}",
                column="user",
            )
    return {name: KINDS.get(name, name) for name in names}


def _suspicions(left: pl.DataFrame, known: set[str]) -> pl.DataFrame:
    """A problem for each column left that is called like names, holds known ones, or text that looks like names."""
    told = []
    for column in left.iter_columns():
        reason = _suspicion(column, known)
        if reason is not None:
            message = f"column {column.name!r} {reason}: name it in columns or blank, or drop it"
            told.append(("pseudonymize", None, "may_hold_names", message))
    return pl.DataFrame(told, schema=dict(tables.PROBLEMS), orient="row")


def _suspicion(column: pl.Series, known: set[str]) -> str | None:
    if column.null_count() == len(column):
        return None
    if column.dtype.is_nested() or column.dtype in (pl.Binary, pl.Object):
        return f"is {column.dtype}, which is not looked into"
    distinct = coded(column)[1] if is_text(column.dtype) else []
    if any(name in known for name in distinct):
        return "holds names that were replaced elsewhere"
    if any("\\" in text or "@" in text for text in distinct):
        return "holds text that looks like logins or addresses"
    is_called_so = SUSPECTS.search(column.name) is not None and column.name.lower() not in HARMLESS
    return "is called as if it held names" if is_called_so and distinct and column.dtype != pl.Enum else None
