"""Docstrings with one example under `Example:`, shown as code with its output, as griffe does for `Examples:`."""

from __future__ import annotations

import re

import griffe

HEADING = re.compile(r"^Example:$", re.MULTILINE)


class OneExample(griffe.Extension):
    """Reads the section `Example:` of our docstrings as the section of examples that it is."""

    def on_object(self, *, obj: griffe.Object, **_: object) -> None:
        """Is called for each object that was loaded, before its docstring is parsed."""
        if obj.docstring is not None:
            obj.docstring.value = HEADING.sub("Examples:", obj.docstring.value)
