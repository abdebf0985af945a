"""What some stages need beyond the library itself: asked for where it is used, and missed in words."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Final

from tokenflex.errors import ArgumentError

if TYPE_CHECKING:
    from types import ModuleType

INSTALL: Final = "pip install 'tokenflex[{}]'"


def needed(module: str, what: str, *, extra: str = "planning") -> ModuleType:
    """A module of an extra; without it an error that says how to come by it."""
    try:
        return import_module(module)
    except ImportError as error:
        raise ArgumentError(f"{what} needs {module}: {INSTALL.format(extra)}", location=module) from error


def is_there(module: str) -> bool:
    """Whether a module can be imported, and all that it needs."""
    try:
        import_module(module)
    except ImportError:
        return False
    return True
