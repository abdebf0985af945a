"""The exceptions of bad calls. Bad data raises nothing: it is returned as rows of a problems table.

Every exception is a `TokenflexError`, and the fitting built-in as well, so that both `except tf.TokenflexError` and
`except ValueError` do what they say.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


class TokenflexError(Exception):
    """Anything that tokenflex raises on purpose.

    Attributes:
        column: The column of a table that is wrong, if it is one.
        row: The row, from 0, if it is one.
        location: The file, argument, server or zone that is wrong, if it is one.
    """

    def __init__(
        self, message: str, *, column: str | None = None, row: int | None = None, location: str | None = None
    ) -> None:
        super().__init__(message)
        self.message = message
        self.column = column
        self.row = row
        self.location = location

    def __str__(self) -> str:
        # `KeyError` would show the message as a quoted literal.
        return self.message


class ArgumentError(TokenflexError, ValueError):
    """An argument has a value that makes no sense."""


class ArgumentTypeError(TokenflexError, TypeError):
    """An argument is of a type that cannot be taken."""


class FieldsError(ArgumentError):
    """Fields of a value are wrong. The message names all of them, not only the first.

    Attributes:
        fields: What is wrong, by field: `{"years[1].end": "is missing"}`.
    """

    def __init__(self, message: str, *, location: str | None = None, fields: Mapping[str, str] | None = None) -> None:
        super().__init__(message, location=location)
        self.fields = dict(fields or {})


class ZoneError(TokenflexError, ValueError):
    """A time zone is missing, or no zone of that name exists."""


class TableTypeError(TokenflexError, TypeError):
    """An object is no table."""


class MissingColumnError(TokenflexError, KeyError):
    """A table lacks a column that the verb needs."""


class ColumnTypeError(TokenflexError, TypeError):
    """A column is of a type that cannot be taken for what is needed."""


class ColumnValueError(TokenflexError, ValueError):
    """A column holds a value that makes the whole table meaningless."""


class BalanceError(TokenflexError, ValueError):
    """The pools of a contract cannot pay a charge, and that was to be an error."""


class SourceError(TokenflexError, OSError):
    """A file or stream cannot be read."""


class BusyError(SourceError):
    """A book is in use by another process, and was not let go of in time. Nothing was done."""


class SourceNotFoundError(SourceError, FileNotFoundError):
    """There is no such file, or a folder has no logs."""


class CapacityError(TokenflexError, MemoryError):
    """The result would be larger than its columns or the memory can hold."""


class InternalError(TokenflexError, RuntimeError):
    """A defect of tokenflex. Please report it with the message."""


class TokenflexWarning(UserWarning):
    """Something was left out of a result, and nobody asked to be told in another way."""
