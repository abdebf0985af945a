"""What a report is made of: chapters, which each answer a question, and their sections, which each show one table."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Section:
    """One table of a report, with what it shows.

    Attributes:
        key: Its name, fixed: by it a page knows which chart goes with it.
        title: What the table shows, in words and numbers.
        table: Its name in `Report.tables`; `None` where it could not be made.
        note: What one has to know to read it.
        missing: What has to be given for it, where it could not be made; else `None`.
        sums: The columns whose rows add up to a total.
    """

    key: str
    title: str
    table: str | None
    note: str = ""
    missing: str | None = None
    sums: tuple[str, ...] = ()


@dataclass(frozen=True)
class Chapter:
    """The answer to one question, with the tables that it rests on.

    Attributes:
        key: Its name, fixed.
        question: What it answers: "What was used, and of what?"
        headline: The answer, in words and numbers.
        sections: Its tables, the one that matters most first.
        missing: What has to be given for it, where nothing of it could be made; else `None`.
    """

    key: str
    question: str
    headline: str
    sections: tuple[Section, ...] = ()
    missing: str | None = None
