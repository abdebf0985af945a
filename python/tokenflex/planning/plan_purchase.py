"""The verb `plan_purchase`: how many tokens to buy, of which kind and when, so that the expected cost is least."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, TypeAlias

from tokenflex.arrow import AnyTable, refuses_clearly
from tokenflex.errors import ArgumentError, ArgumentTypeError
from tokenflex.planning.offer import Offer

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import date
    from decimal import Decimal

    import numpy as np
    from numpy.typing import NDArray

    from tokenflex.contract.contract import Contract
    from tokenflex.contract.ledger import Ledger
    from tokenflex.planning.purchase_plan import PurchasePlan


class Forecasted(Protocol):
    """Anything that makes scenario paths, such as a forecast."""

    def paths(self, n: int, /, *, seed: int) -> NDArray[np.float64]:
        """Tokens of each day, a row for each of `n` scenarios; the same for the same seed."""


Paths: TypeAlias = "NDArray[np.float64] | NDArray[np.int64] | Sequence[Sequence[float]] | AnyTable | Forecasted"
"""What `plan_purchase` takes for scenarios."""


@refuses_clearly
def plan_purchase(
    paths: Paths,
    *,
    offer: Offer,
    held: Contract | Ledger | None = None,
    start: date | None = None,
    quantities: int | Sequence[Decimal | int | str] = 50,
    dates: Iterable[date] | None = None,
    run_out_limit: float | None = None,
    n: int = 1000,
    seed: int = 0,
) -> PurchasePlan:
    """Finds the purchase with the least expected cost: how many tokens, of which kind, when.

    Every way to buy that is tried is run over every scenario path as the ledger would draw it: the pools in the order
    of the contract, each day's tokens at the beginning of the day, expiry or carry-over at the close of a pool. What no
    pool can give is paid at the overage price. The cost of a path is what was bought and what is owed; tokens that
    outlast the paths have been paid and count for nothing. All is exact in ten-thousandths of tokens; means are
    rounded to four decimals (tokens) and eight (money). Of equal costs the fewest tokens are chosen.

    **Token Flex** (`offer.years`): all is bought when the term begins. Each quantity is tried with the part of contract
    tokens from none to all in ten steps; and if the offer has top-ups, also with top-ups of one, two, five and ten
    times the least size, and of those where a price begins. One is bought on the day on which tokens would run out,
    and another where it does not suffice.

    **Flex** (`offer.packs`): equal purchases every 1, 2, 3, 4, 6 or 12 months, from the first day on; and packs on each
    day that begins with a balance below a reorder point (that of 1, 3, 7, 14, 30 or 60 days of mean use, or of the
    greatest day). With `dates` all combinations of packs on those days are tried instead. A pack ends one year after
    its purchase.

    Args:
        paths: Scenarios of daily tokens: an array or lists, a row for each scenario and a column for each day; a table
            with `scenario`, `day` and `tokens` (see `tables.SCENARIO_PATHS`); or anything with `paths(n, seed=…)`,
            such as a forecast. Days are those of the offer's zone. Values are rounded to four decimals.
        offer: What can be bought, at what price.
        held: The tokens that are there already: the ledger of a contract, or a contract of which nothing has been used.
            They have been paid, so they are no part of the plan's cost. Of Token Flex the plan lasts from `start` to
            the end of that contract, and what is bought adds to its pools: annual tokens to each year that is left.
            Of Flex packs that are held are drawn before those that are bought, and packs that will come are reckoned
            with.
        start: The first day of the plan. An array needs it; a forecast or a table is cut there, and begins on its own
            first day unless given.
        quantities: Of Token Flex how many quantities to try at least, from the least to the greatest use of any path,
            at a round distance, but not finer than the offer's step; those where a tier begins and those of the closed
            form are added. Or the quantities themselves: annual tokens of all years and contract tokens together. Of
            Flex how many sizes of an order, from one pack to all that any path uses.
        dates: Of Flex the only days on which packs may be bought.
        run_out_limit: The part of the scenarios, 0 to 1, in which tokens may run out at most; None for any.
        n: How many scenarios to ask a forecast for.
        seed: Makes a forecast give the same scenarios again.

    Returns:
        The plan.

    Raises:
        ArgumentError: Paths are empty, hold what is no number or less than 0, or are shorter or longer than the term of
            Token Flex; what is held has ended, goes on into the plan, or does not fit the offer; an argument makes no
            sense; no purchase keeps `run_out_limit`; or numpy is not installed.
        ArgumentTypeError: An argument is of a type that cannot be taken.
        MissingColumnError, ColumnTypeError, ColumnValueError: A table lacks a column, has it in another type, or lacks
            days.
        CapacityError: Tokens times price are too large for exact sums.

    Example:
        >>> import tokenflex as tf
        >>> from datetime import date
        >>> offer = tf.Offer(overage_price=4, packs=[tf.PackOffer(tokens=10, unit_price=3)])
        >>> plan = tf.plan_purchase([[7, 5, 9], [7, 0, 3]], offer=offer, start=date(2026, 7, 1))
        >>> plan.purchases.select("day", "tokens", "cost").rows()
        [(datetime.date(2026, 7, 1), Decimal('10.0000'), Decimal('30.00000000'))]
        >>> plan.expected_cost, plan.run_out_chance
        (Decimal('52.00000000'), 0.5)
    """
    _check(offer, quantities, dates, run_out_limit, n)
    try:
        import numpy as np  # noqa: F401, PLC0415 - an extra: only plans need it
    except ImportError as error:
        raise ArgumentError("plan_purchase needs numpy: pip install 'tokenflex[planning]'") from error
    from tokenflex.planning.best import best_purchase  # noqa: PLC0415 - it needs numpy

    return best_purchase(
        paths,
        offer=offer,
        held=held,
        start=start,
        quantities=quantities,
        dates=dates,
        run_out_limit=run_out_limit,
        n=n,
        seed=seed,
    )


def _check(
    offer: object,
    quantities: object,
    dates: object,
    run_out_limit: object,
    n: object,
) -> None:
    if not isinstance(offer, Offer):
        raise ArgumentTypeError(f"offer has to be a tokenflex.Offer, not {type(offer).__name__}", location="offer")
    for name, value, least in (("quantities", quantities, 2), ("n", n, 1)):
        if isinstance(value, bool | float) or (isinstance(value, int) and value < least):
            raise ArgumentError(f"{name} is {value}, but has to be a whole number from {least} on", location=name)
    if isinstance(quantities, str | bytes):
        raise ArgumentTypeError("quantities are text, but have to be a number or a list", location="quantities")
    if not isinstance(quantities, int) and not offer.years:
        raise ArgumentError(
            "quantities are a list, which goes with Token Flex: packs are bought in their sizes, on dates=",
            location="quantities",
        )
    if dates is not None and offer.years:
        raise ArgumentError("dates go with packs: Token Flex is bought when the term begins", location="dates")
    if run_out_limit is not None and not (isinstance(run_out_limit, int | float) and 0 <= run_out_limit <= 1):
        raise ArgumentError(f"run_out_limit is {run_out_limit!r}, but has to lie in 0 to 1", location="run_out_limit")
