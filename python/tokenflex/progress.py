"""Progress of long work: a bar on the terminal, or the caller's own function."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeAlias

from tokenflex.errors import ArgumentTypeError

if TYPE_CHECKING:
    from collections.abc import Iterator

Progress: TypeAlias = bool | Callable[[int, int | None], object] | None
"""`True` for a bar, a function of what is done and what there is in all (`None` if unknown), or nothing."""


@contextmanager
def watched(
    progress: Progress, title: str, total: int | None, *, counts_bytes: bool = True
) -> Iterator[Callable[[int], object] | None]:
    """What the compiled part calls with what is done so far: bytes, or else things."""
    if progress is None or progress is False:
        yield None
    elif progress is True:
        # Only a bar needs rich: importing it costs more than reading a small log.
        from rich.console import Console  # noqa: PLC0415
        from rich.progress import (  # noqa: PLC0415
            BarColumn,
            DownloadColumn,
            MofNCompleteColumn,
            TextColumn,
            TimeRemainingColumn,
        )
        from rich.progress import Progress as Bars  # noqa: PLC0415

        count = DownloadColumn() if counts_bytes else MofNCompleteColumn()
        columns = (TextColumn("{task.description}"), BarColumn(), count, TimeRemainingColumn())
        with Bars(*columns, console=Console(stderr=True), transient=True) as bars:
            task = bars.add_task(title, total=total)
            yield lambda done: bars.update(task, completed=done)
    elif callable(progress):
        yield lambda done: progress(done, total)
    else:
        raise ArgumentTypeError(
            f"progress has to be True or a function, not {type(progress).__name__}", location="progress"
        )
