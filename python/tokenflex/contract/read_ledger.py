"""The verb `read_ledger`: the ledger that `Ledger.write` put into a folder."""

from __future__ import annotations

from pathlib import Path

from tokenflex.contract.contract import Contract
from tokenflex.contract.ledger import Ledger
from tokenflex.contract.store import stored_in
from tokenflex.errors import FieldsError, SourceError


def read_ledger(folder: str | Path) -> Ledger:
    """Reads the ledger that `Ledger.write` put into a folder, so that what was closed stays closed.

    Args:
        folder: The folder.

    Returns:
        The ledger, as it was written.

    Raises:
        SourceNotFoundError: There is no ledger in it.
        SourceError: It cannot be read, or its files are not those that were written.

    Example:
        >>> import tempfile, tokenflex as tf, polars as pl
        >>> from datetime import datetime, timezone
        >>> contract = tf.Contract(number="team 7", packs=[tf.Pack(id="a", tokens=100, purchased="2026-07-01")])
        >>> charges = pl.DataFrame({"charged_at": [datetime(2026, 7, 13, tzinfo=timezone.utc)], "tokens": [30]})
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     contract.settle(charges).write(folder)
        ...     ledger = tf.read_ledger(folder)
        >>> ledger.balances()["balance"][0]
        Decimal('70.0000')
    """
    folder = Path(folder)
    found = stored_in(folder)
    try:
        contract = Contract.from_toml(found.contract)
    except FieldsError as error:
        raise SourceError(f"{folder} holds no ledger of this version: {error}", location=str(folder)) from error
    return Ledger(contract=contract, as_of=found.as_of, closed=found.closed, withdrawn=found.withdrawn, **found.tables)
