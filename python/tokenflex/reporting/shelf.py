"""The shelf of a report: its tables by name, and the sections that show them, laid down by chapters as they go."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tokenflex.reporting.chapter import Section

if TYPE_CHECKING:
    import polars as pl


class Shelf:
    """Collects tables and the sections of the chapter at work.

    >>> import polars as pl
    >>> shelf = Shelf()
    >>> shelf.put("users", pl.DataFrame({"user": ["ana"]}), "One user")
    >>> shelf.lack("groups", "By group", "groups= shows who pays")
    >>> [section.table for section in shelf.sections()], shelf.sections()
    (['users', None], ())
    """

    def __init__(self) -> None:
        self.tables: dict[str, pl.DataFrame] = {}
        self._sections: list[Section] = []

    def put(self, key: str, table: pl.DataFrame, title: str, note: str = "") -> None:
        """A table and the section that shows it."""
        self.tables[key] = table
        self._sections.append(Section(key, title, key, note))

    def lack(self, key: str, title: str, missing: str) -> None:
        """A section that could not be made, and what it takes."""
        self._sections.append(Section(key, title, None, "", missing))

    def sections(self) -> tuple[Section, ...]:
        """The sections since this was asked last."""
        sections, self._sections = tuple(self._sections), []
        return sections
