"""Names as they are: signs that would hide, turn or end a text are shown by their number."""

from __future__ import annotations

import re
from typing import Final

_UNSEEN: Final = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]"
)
"""Controls, directions of writing, and signs without width. Tabs and line ends are left: they are only spaces here."""


LONGEST: Final = 1_000
"""Characters of a text that are shown; what is longer is no sentence of ours."""
NAME: Final = 200
"""Of a name in a cell or a field."""


def plain(text: str, longest: int = LONGEST) -> str:
    """The text, with each such sign in the form `[U+202E]`, and cut where it is very long, which it says.

    >>> plain("ana\u202egpj.exe")
    'ana[U+202E]gpj.exe'
    >>> plain("z" * 40_000, 3)
    'zzz… [40,000 characters]'
    """
    cut = text if len(text) <= longest else f"{text[:longest]}… [{len(text):,} characters]"
    return _UNSEEN.sub(lambda sign: f"[U+{ord(sign[0]):04X}]", cut)
