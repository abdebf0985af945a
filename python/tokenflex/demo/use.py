"""What the demo's parts tell each other: a use of a product, and a time in which a server did not run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from tokenflex.demo.firm import Product, Server

MINUTE = 60


@dataclass(frozen=True)
class Outage:
    """A time in which a server's vendor daemon did not run."""

    server: Server
    down: int
    up: int
    how: Literal["crash", "heartbeat", "stop", "cut"]
    """A stop writes a check-in for each checkout; with `cut` the log ends before all are written. The others: none."""

    @property
    def is_crash(self) -> bool:
        """Whether the daemon went without a word about the open checkouts."""
        return self.how in ("crash", "heartbeat")


@dataclass(frozen=True)
class Use:
    """One checkout of a product and its check-in. `end_reason` is empty for an ordinary one."""

    server: Server
    user: str
    host: str
    product: Product
    feature: str
    start: int
    end: int
    end_reason: str = ""
    left: int | None = None
    """When the person went, if the product stayed open."""
