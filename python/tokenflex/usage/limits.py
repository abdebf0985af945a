"""How many licenses are owned, as callers give it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from tokenflex.errors import ArgumentError, ArgumentTypeError

_MOST: Final = 2**32 - 1


def owned_of(limits: object) -> dict[str, int]:
    """The licenses by name; none where nothing is given.

    Raises:
        ArgumentTypeError: It is no mapping from names to whole numbers.
        ArgumentError: A number is negative, or too large for any table.
    """
    if limits is None:
        return {}
    if not isinstance(limits, Mapping):
        raise ArgumentTypeError(
            f"limits has to be a mapping from name to licenses, not {type(limits).__name__}", location="limits"
        )
    for name, owned in limits.items():
        if not isinstance(name, str) or not isinstance(owned, int) or isinstance(owned, bool):
            raise ArgumentTypeError(f"limits: {name!r}: {owned!r} is no name with a whole number", location="limits")
        if not 0 <= owned <= _MOST:
            raise ArgumentError(f"limits: {name!r} has {owned} licenses, which cannot be", location="limits")
    return dict(limits)
