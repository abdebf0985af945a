"""The rules by which one spelling of a name becomes another: blanks, case, domains, host suffixes, masks."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection
from dataclasses import dataclass
from typing import Final, TypeAlias

from tokenflex.errors import ArgumentTypeError

Chosen: TypeAlias = bool | frozenset[str]
"""All, none, or those named."""

MASKED: Final = "masked:"
"""What the name of a masked person begins with, before the hash."""

MASK: Final = re.compile(r"^\*|\*\*")
"""A name that the vendor hides begins with an asterisk, or holds two in a row."""

HASH: Final = re.compile(r"[0-9a-fA-F]{32,}|(?=[^=]*\d)[A-Za-z0-9+/]{40,}={0,2}")
"""Hexadecimal digits of 128 bits or more, or base64 of as many as an ordinary hash has."""

ADDRESS: Final = re.compile(r"[\d.]+|.*:.*")
"""An IP address in place of a host's name."""


def chosen(value: object, argument: str) -> Chosen:
    """All (`True`), none (`False`), or the names given, without regard to case."""
    if isinstance(value, bool):
        return value
    if isinstance(value, str) or not isinstance(value, Collection):
        raise ArgumentTypeError(
            f"{argument} has to be True (all), False (none) or a list of names, not {value!r}", location=argument
        )
    for name in value:
        if not isinstance(name, str):
            raise ArgumentTypeError(f"{argument} holds {name!r}, which is no name", location=argument)
    return frozenset(folded(cleaned(name).strip("@.\\")) for name in value)


def cleaned(name: str) -> str:
    """Without outer blanks, and with accents written in one way only."""
    return unicodedata.normalize("NFC", name).strip()


def folded(name: str) -> str:
    """Without case: repeated, since composing an accent can bring up a letter that has a small form."""
    while (smaller := unicodedata.normalize("NFC", name.casefold())) != name:
        name = smaller
    return name


def is_opaque(name: str) -> bool:
    """Whether a name is a hash, which no rule may touch: two that differ in case only are two persons."""
    return name.startswith(MASKED) or HASH.fullmatch(name) is not None


def is_masked(name: str) -> bool:
    """Whether a name hides whose it is."""
    return MASK.search(name.strip()) is not None


def is_among(name: str, those: Chosen) -> bool:
    """Whether a name is chosen."""
    return those if isinstance(those, bool) else folded(cleaned(name)) in those


@dataclass(frozen=True)
class Spelling:
    """The rules that `Identity` was given."""

    fold_case: bool
    domains: Chosen
    email_domains: Chosen
    host_suffixes: Chosen

    def key(self, name: str) -> str:
        """What two spellings have in common that the rules of case and blanks take for one."""
        name = cleaned(name)
        return folded(name) if self.fold_case and not is_opaque(name) else name

    def plain(self, name: str) -> tuple[str, tuple[str, ...]]:
        """What the rules make of a user's name, and which of them it took."""
        rules = []
        plain = cleaned(name)
        if plain != name:
            rules.append("blanks")
        if is_opaque(plain):
            return plain, tuple(rules)
        for rule, _, left in self.parts(plain):
            plain = left
            rules.append(rule)
        if (key := self.key(plain)) != plain:
            rules.append("case")
        return key, tuple(dict.fromkeys(rules))

    def parts(self, name: str) -> list[tuple[str, str, str]]:
        r"""Step by step by which rule `DOMAIN\user` and `user@domain` lose which domain, and what is left."""
        steps: list[tuple[str, str, str]] = []
        while True:
            domain, _, user = name.partition("\\")
            local, _, host = name.rpartition("@")
            if user.strip() and is_among(domain, self.domains):
                name = user.strip()
                steps.append(("domain", domain, name))
            elif local.strip() and host.strip() and is_among(host, self.email_domains):
                name = local.strip()
                steps.append(("email", host, name))
            else:
                return steps

    def unasked(self, name: str) -> list[tuple[str, str]]:
        """The domains that a name loses without their having been listed, and the rules by which."""
        name = cleaned(name)
        wholesale = {"domain": self.domains is True, "email": self.email_domains is True}
        steps = [] if is_opaque(name) else self.parts(name)
        return [(rule, folded(cleaned(domain))) for rule, domain, _ in steps if wholesale[rule]]

    def host(self, name: str) -> str:
        """What the rules make of a host's name."""
        host = self.key(name)
        if is_opaque(host) or ADDRESS.fullmatch(host) or self.host_suffixes is False:
            return host
        if self.host_suffixes is True:
            return host.partition(".")[0].strip() or host
        for suffix in sorted(self.host_suffixes, key=len, reverse=True):
            if len(host) > len(suffix) + 1 and folded(host).endswith(f".{suffix}"):
                return self.host(host[: -len(suffix) - 1])
        return host
