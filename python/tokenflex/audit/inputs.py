"""What a reconciliation was made of, so that its evidence can be looked up and it can be made again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from decimal import Decimal

    import polars as pl

    from tokenflex.metering.rates import Rates
    from tokenflex.metering.rule import Rule
    from tokenflex.reading.contract import ContractSnapshot
    from tokenflex.reading.identity import Identity
    from tokenflex.reading.user_zones import Users


@dataclass(frozen=True)
class Inputs:
    """The arguments of `reconcile`; tables as polars frames."""

    charges: pl.DataFrame
    statement: pl.DataFrame | ContractSnapshot
    level: str
    tolerance: Decimal
    rule: Rule | None
    rates: Rates | None
    servers: Mapping[str, str] | None
    sessions: pl.DataFrame | None
    users: Users | None
    identity: Identity | None
    variants: Mapping[str, str] | None
    coverage: pl.DataFrame | None
