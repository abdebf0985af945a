"""Drawing scenario paths from pools, all scenarios and all purchases at once: exact, in whole ten-thousandths.

Between two instants at which pools open or close nothing but the sum of what is used matters. So time is cut there, and
a step is such a piece; a day is a step where the day itself is asked for. Shapes: K purchases, n scenarios, T steps.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import TypeAlias

    from numpy.typing import NDArray

    Units: TypeAlias = NDArray[np.int64]


class PoolSteps(NamedTuple):
    """When a pool lives, in steps, and the place of the pool that gets what it leaves."""

    opens: int
    closes: int
    carries_to: int | None = None


class TopUps(NamedTuple):
    """Lots that are bought where pools run dry."""

    size: Units
    """Of the lots of each purchase, K; 0 for none."""
    pool: Sequence[int]
    """In each step the place of the pool that they go to."""


class Drawn(NamedTuple):
    """What became of each purchase in each scenario, K x n."""

    overage: Units
    expired: Units
    left: Units
    """What is in pools that outlast the steps."""
    first_short: Units
    """The first step that pools could not pay for, or T."""
    bought: Units
    """Tokens bought, without top-ups; K x 1 where that is the same in all scenarios."""
    orders: Units
    """How many purchases; likewise."""
    lots: Units
    """How many lots of top-ups."""


def steps_of(paths: Units, bounds: Sequence[int]) -> Units:
    """What is used from each bound to the next, n x T. The bounds begin with 0 and end with the number of days."""
    return np.add.reduceat(paths, np.asarray(bounds[:-1]), axis=1)


def draw_pools(
    use: Units, pools: Sequence[PoolSteps], tokens: Units, top_ups: TopUps, *, by_step: Units | None = None
) -> Drawn:
    """Draws from pools in their order, as `Contract.settle` does.

    Where all pools that are open run dry, lots of a top-up are bought, one after another. What is left of the last one
    stays in its pool: all others are empty then. So only the sum of what a step uses matters here, too.

    Args:
        use: n x T.
        pools: In the order in which they are drawn from.
        tokens: What each pool opens with, K x pools.
        top_ups: What is bought where nothing is left.
        by_step: Gets what the pools, and lots that were bought before, lack in each step, T x K x n, if given.
    """
    scenarios, steps = use.shape
    shape = (tokens.shape[0], scenarios)
    balance = np.zeros((len(pools), *shape), np.int64)
    overage, expired, brought = (np.zeros(shape, np.int64) for _ in range(3))
    first_short = np.full(shape, steps, np.int64)
    size, has_lots = top_ups.size[:, None], bool(top_ups.size.any())
    for step in range(steps + 1):
        for place, pool in enumerate(pools):
            if pool.closes == step:
                target = expired if pool.carries_to is None else balance[pool.carries_to]
                target += balance[place]
                balance[place] = 0
        if step == steps:
            break
        for place, pool in enumerate(pools):
            if pool.opens == step:
                balance[place] += tokens[:, place, None]
        is_open = [pool.opens <= step < pool.closes for pool in pools]
        rest = _taken(np.broadcast_to(use[:, step], shape).copy(), balance, is_open)
        if by_step is not None:
            by_step[step] = rest
        first_short[(rest > 0) & (first_short == steps)] = step
        if has_lots:
            number = np.where(size > 0, -(-rest // np.maximum(size, 1)), 0)
            brought += number
            balance[top_ups.pool[step]] += np.where(size > 0, number * size - rest, 0)
            rest = np.where(size > 0, 0, rest)
        overage += rest
    bought = tokens.sum(axis=1)[:, None]
    return Drawn(overage, expired, balance.sum(axis=0), first_short, bought, np.ones_like(bought), brought)


def _taken(rest: Units, balance: Units, is_open: Sequence[bool]) -> Units:
    """Takes what is used from the pools that are open, in their order, and gives what none of them could."""
    for place in np.flatnonzero(is_open):
        taken = np.minimum(rest, balance[place])
        balance[place] -= taken
        rest -= taken
    return rest


def draw_first(use: Units, pools: Sequence[tuple[int, int, int]]) -> tuple[Units, Units, Units, Units]:
    """Draws from pools that are drawn from before any other.

    Args:
        use: n x T; steps are days.
        pools: Of each the tokens, the day on which it opens, and that on which it closes, in the order of drawing.

    Returns:
        What they do not give, n x T; what is in them when each day has begun, n x T; and of each scenario what expires
        in them, and what is left.
    """
    scenarios, days = use.shape
    rest, before = use.copy(), np.zeros_like(use)
    left = np.zeros((len(pools), scenarios), np.int64)
    expired = np.zeros(scenarios, np.int64)
    for day in range(days + 1):
        for place, (tokens, opens, closes) in enumerate(pools):
            if closes == day:
                expired += left[place]
                left[place] = 0
            elif opens == day:
                left[place] = tokens
        if day == days:
            break
        before[:, day] = left.sum(axis=0)
        for place in range(len(pools)):
            taken = np.minimum(rest[:, day], left[place])
            left[place] -= taken
            rest[:, day] -= taken
    return rest, before, expired, left.sum(axis=0)


def draw_packs(use: Units, orders: Units, lapsed: Sequence[int]) -> Drawn:
    """Draws from packs that are bought at given steps and all live equally long.

    What ends first was bought first, so the packs are one line of tokens: a head moves along it as tokens are used, and
    is pushed on where a pack ends with tokens in it.

    Args:
        use: n x T.
        orders: Tokens bought at the beginning of each step, K x T.
        lapsed: For each step, and for the end, how many steps' orders have ended when it begins.
    """
    scenarios, steps = use.shape
    shape = (orders.shape[0], scenarios)
    supply = np.concatenate([np.zeros((shape[0], 1), np.int64), np.cumsum(orders, axis=1)], axis=1)
    head, overage, expired = (np.zeros(shape, np.int64) for _ in range(3))
    first_short = np.full(shape, steps, np.int64)
    for step in range(steps + 1):
        if lapsed[step]:
            lost = np.maximum(supply[:, lapsed[step], None] - head, 0)
            expired += lost
            head += lost
        if step == steps:
            break
        taken = np.minimum(use[:, step], supply[:, step + 1, None] - head)
        short = use[:, step] - taken
        head += taken
        overage += short
        first_short[(short > 0) & (first_short == steps)] = step
    bought, count = supply[:, -1:], (orders > 0).sum(axis=1)[:, None]
    return Drawn(overage, expired, bought - head, first_short, bought, count, np.zeros_like(count))


def draw_reordered(
    use: Units, below: Units, order: Units, lapsed: Sequence[int], *, held: Units | None, due: Units
) -> tuple[Drawn, Units]:
    """Draws from packs that are bought whenever a day begins with a balance below a point.

    Args:
        use: n x T; steps are days.
        below: The point of each of K ways to buy.
        order: How many tokens are bought then, K.
        lapsed: As for `draw_packs`.
        held: What is in other packs when each day has begun, n x T, if there are any.
        due: Tokens that are bought on each day in any case, T.

    Returns:
        What became of it, and what had been bought when each day had begun, (T + 1) x K x n, first 0.
    """
    scenarios, steps = use.shape
    shape = (below.shape[0], scenarios)
    supply = np.zeros((steps + 1, *shape), np.int64)
    head, expired, balance, bought = (np.zeros(shape, np.int64) for _ in range(4))
    first_short = np.full(shape, steps, np.int64)
    of_day, size, point = np.ascontiguousarray(use.T), order[:, None], below[:, None]
    for step in range(steps + 1):
        if lapsed[step]:
            np.subtract(supply[lapsed[step]], head, out=balance)
            np.maximum(balance, 0, out=balance)
            expired += balance
            head += balance
        if step == steps:
            break
        np.subtract(supply[step], head, out=balance)
        balance += due[step]
        low = balance < (point if held is None else point - held[:, step])
        np.multiply(low, size, out=bought)
        balance += bought
        bought += due[step]
        np.add(supply[step], bought, out=supply[step + 1])
        is_short = balance < of_day[step]
        if is_short.any():
            first_short[is_short & (first_short == steps)] = step
        np.minimum(balance, of_day[step], out=balance)
        head += balance
    # The head has moved by what was taken and by what was lost.
    overage = use.sum(axis=1) - (head - expired)
    count = (supply[-1] - int(due.sum())) // size
    drawn = Drawn(overage, expired, supply[-1] - head, first_short, count * size, count, np.zeros_like(count))
    return drawn, supply
