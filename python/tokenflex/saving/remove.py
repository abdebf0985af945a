"""The lines by which an administrator takes licenses back: `lmutil lmremove`, quoted for a shell and never run.

Names come from logs, where a client writes what it likes. A name that could break out of a command, or deceive the one
who reads it, is refused rather than quoted: no user or machine needs one.
"""

from __future__ import annotations

import re
import shlex
import unicodedata
from collections.abc import Mapping
from typing import Final, Literal, TypeAlias, get_args

import polars as pl

from tokenflex import tables
from tokenflex.errors import ArgumentError, ArgumentTypeError

Shell: TypeAlias = Literal["posix", "cmd", "powershell"]
"""Who reads the command: `sh` and its kin, `cmd.exe`, or PowerShell."""

REFUSED: Final = frozenset("'\"`%^&|<>\u2018\u2019\u201a\u201b\u201c\u201d\u201e")
"""Characters that end a quotation or mean something inside of one, to one shell or another. PowerShell takes the last
seven for quotation marks."""

REFUSED_FOR_CMD: Final = frozenset("!")
"""Variables, where delayed expansion is switched on, in quotation marks too."""

ADDRESS: Final = re.compile(r"(\d{0,5})@([A-Za-z0-9_][A-Za-z0-9._-]*)")
PLAIN: Final = re.compile(r"[A-Za-z0-9_.][A-Za-z0-9_.-]*")


def checked_shell(shell: object) -> Shell:
    """The shell, or an error that says which there are."""
    for known in get_args(Shell):
        if shell == known:
            return known  # type: ignore[no-any-return]  # one of the three
    raise ArgumentError(f"shell is {shell!r}, but has to be posix, cmd or powershell", location="shell")


def checked_addresses(addresses: object) -> dict[str, str] | str | None:
    """Addresses of license servers, `PORT@HOST`; the port may be left out."""
    if addresses is None:
        return None
    if isinstance(addresses, Mapping):
        return {str(server): _address(address) for server, address in addresses.items()}
    return _address(addresses)


def _address(address: object) -> str:
    if not isinstance(address, str):
        raise ArgumentTypeError(
            "addresses has to be PORT@HOST, or a mapping from server to that, not " + type(address).__name__,
            location="addresses",
        )
    if ADDRESS.fullmatch(address) is None:
        raise ArgumentError(
            f"addresses: {address!r} is no address: write PORT@HOST, such as 27000@mad-lic-01", location="addresses"
        )
    return address


def why_refused(name: str, shell: Shell) -> str | None:
    """Why a name is not written into a command, or None if it may be."""
    invisible = next((each for each in name if _is_invisible(each)), None)
    meant = next((each for each in name if each in REFUSED or (shell == "cmd" and each in REFUSED_FOR_CMD)), None)
    reasons = {
        "it is empty": not name,
        "it begins with a dash, as options do": name.startswith("-"),
        f"it holds the invisible character U+{ord(invisible or ' '):04X}": invisible is not None,
        f"it holds {meant}": meant is not None,
        "it holds a substitution of a shell": "$(" in name or "${" in name,
        "it ends with a backslash, which would take away the quotation mark": shell != "posix" and name.endswith("\\"),
    }
    return next((reason for reason, holds in reasons.items() if holds), None)


def _is_invisible(character: str) -> bool:
    """Control, format, surrogate and unassigned characters, and the separators of lines."""
    category = unicodedata.category(character)
    return category.startswith("C") or category in ("Zl", "Zp")


def quoted(name: str, shell: Shell) -> str:
    """A name that is not refused, as the shell hands it on unchanged."""
    if shell == "posix":
        return shlex.quote(name)
    if shell == "powershell":
        return f"'{name}'"
    return name if PLAIN.fullmatch(name) else f'"{name}"'


def commands_of(
    rows: pl.DataFrame, addresses: dict[str, str] | str | None, shell: Shell
) -> tuple[pl.Series, pl.DataFrame]:
    """The command of each session, null where none can be written, and why not as problems.

    Args:
        rows: `session`, `server`, `feature`, `user`, `host`, and of its license, as far as they are known, `handle`,
            `display`, `server_host` and `port`.
        addresses: Of the license servers.
        shell: Who reads the command.
    """
    commands: list[str | None] = []
    found: list[tuple[str, int, str, str]] = []
    for row in rows.iter_rows(named=True):
        arguments, lacking = _arguments(row, addresses)
        wrong = [
            f"{what} {name!a}: {why}"
            for what, name in arguments
            if what and (why := why_refused(name, shell)) is not None
        ]
        if lacking:
            found.append(("sessions", row["session"], "no_command", f"{lacking} is not known: no command is written"))
        elif wrong:
            found.append(("sessions", row["session"], "unsafe_name", f"no command is written for {'; '.join(wrong)}"))
        is_good = not lacking and not wrong
        words = [quoted(name, shell) if what else name for what, name in arguments]
        commands.append(" ".join(["lmutil", "lmremove", *words]) if is_good else None)
    problems = pl.DataFrame(found, schema=dict(tables.PROBLEMS), orient="row")
    return pl.Series("command", commands, dtype=pl.String), problems


def _arguments(row: dict[str, object], addresses: dict[str, str] | str | None) -> tuple[list[tuple[str, str]], str]:
    """The arguments, each with what it is (nothing for those of our own), or what is lacking for them."""
    address = addresses if isinstance(addresses, str) else (addresses or {}).get(str(row["server"]))
    server_host, port = row["server_host"], row["port"]
    if address is None and server_host is not None:
        address = f"{port if port is not None else ''}@{server_host}"
    if address is None and row["server"] is not None:
        address = f"@{row['server']}"
    for name in ("feature", "user"):
        if row[name] is None:
            return [], f"the {name}"
    if address is None:
        return [], "the license server"
    server, feature = ("license server", address), ("feature", str(row["feature"]))
    of_address = ADDRESS.fullmatch(address)
    if of_address is not None and server_host is None:
        port, server_host = of_address[1] or None, of_address[2]
    if row["handle"] is not None and server_host is not None and port is not None:
        machine = ("license server", str(server_host))
        return [("", "-c"), server, ("", "-h"), feature, machine, ("", str(port)), ("", str(row["handle"]))], ""
    if row["host"] is None:
        return [], "the host"
    # On Windows a display is named as its machine is.
    display = row["display"] if row["display"] is not None else row["host"]
    names = [("user", str(row["user"])), ("host", str(row["host"])), ("display", str(display))]
    return [("", "-c"), server, feature, *names], ""
