"""`tokenflex completion`: the script by which a shell completes commands and options."""

from __future__ import annotations

from typing import Annotated, Final

import typer
from typer import completion as typers

from tokenflex.commands.options import fail

PROGRAM: Final = "tokenflex"
VARIABLE: Final = "_TOKENFLEX_COMPLETE"
"""By which a shell asks the program how a line goes on."""
SHELLS: Final = ("bash", "zsh", "fish", "powershell", "pwsh")

HELP = """Print the script by which a shell completes commands and options.

\b
bash:        tokenflex completion bash >> ~/.bashrc
zsh:         tokenflex completion zsh > ~/.zfunc/_tokenflex
             (with fpath+=~/.zfunc before compinit in ~/.zshrc)
fish:        tokenflex completion fish \\
             > ~/.config/fish/completions/tokenflex.fish
PowerShell:  tokenflex completion pwsh >> $PROFILE

It takes effect in a new shell.
"""


def completion(
    shell: Annotated[str, typer.Argument(help="For which shell.", metavar="|".join(SHELLS))],
) -> None:
    """Prints the script; see `HELP`."""
    if shell not in SHELLS:
        fail(f"completion {shell}: it has to be {', '.join(SHELLS[:-1])} or {SHELLS[-1]}")
    # typer has it there, and does not list it as its own.
    script = typers.get_completion_script(  # type: ignore[attr-defined]
        prog_name=PROGRAM, complete_var=VARIABLE, shell=shell
    )
    typer.echo(script)


def prepare() -> None:
    """Makes the program able to answer a shell."""
    typers.completion_init()  # type: ignore[attr-defined]  # as above
