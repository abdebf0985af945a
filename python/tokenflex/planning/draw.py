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


class Drawn(NamedTuple):
    """What became of each purchase in each scenario, K x n."""

    overage: Units
    expired: Units
    left: Units
    """What is in pools that outlast the steps."""
    first_short: Units
    """The first step that pools could not pay for, or T."""
    bought: Units
    """Tokens bought; K x 1 where that is the same in all scenarios."""
    orders: Units
    """How many purchases; likewise."""


def steps_of(paths: Units, bounds: Sequence[int]) -> Units:
    """What is used from each bound to the next, n x T. The bounds begin with 0 and end with the number of days."""
    return np.add.reduceat(paths, np.asarray(bounds[:-1]), axis=1)


def draw_pools(use: Units, pools: Sequence[PoolSteps], tokens: Units) -> Drawn:
    """Draws from pools in their order, as `Contract.settle` does.

    Args:
        use: n x T.
        pools: In the order in which they are drawn from.
        tokens: What each pool opens with, K x pools.
    """
    scenarios, steps = use.shape
    shape = (tokens.shape[0], scenarios)
    balance = np.zeros((len(pools), *shape), np.int64)
    overage, expired = np.zeros(shape, np.int64), np.zeros(shape, np.int64)
    first_short = np.full(shape, steps, np.int64)
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
        rest = np.broadcast_to(use[:, step], shape).copy()
        for place, pool in enumerate(pools):
            if pool.opens <= step < pool.closes:
                taken = np.minimum(rest, balance[place])
                balance[place] -= taken
                rest -= taken
        overage += rest
        first_short[(rest > 0) & (first_short == steps)] = step
    bought = tokens.sum(axis=1)[:, None]
    return Drawn(overage, expired, balance.sum(axis=0), first_short, bought, np.ones_like(bought))


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
    bought = supply[:, -1:]
    return Drawn(overage, expired, bought - head, first_short, bought, (orders > 0).sum(axis=1)[:, None])


def draw_reordered(use: Units, below: Units, order: Units, lapsed: Sequence[int]) -> tuple[Drawn, Units]:
    """Draws from packs that are bought whenever a day begins with a balance below a point.

    Args:
        use: n x T; steps are days.
        below: The point of each of K ways to buy.
        order: How many tokens are bought then, K.
        lapsed: As for `draw_packs`.

    Returns:
        What became of it, and what had been bought when each day had begun, (T + 1) x K x n, first 0.
    """
    scenarios, steps = use.shape
    shape = (below.shape[0], scenarios)
    supply = np.zeros((steps + 1, *shape), np.int64)
    head, overage, expired, orders = (np.zeros(shape, np.int64) for _ in range(4))
    first_short = np.full(shape, steps, np.int64)
    for step in range(steps + 1):
        if lapsed[step]:
            lost = np.maximum(supply[lapsed[step]] - head, 0)
            expired += lost
            head += lost
        if step == steps:
            break
        is_low = supply[step] - head < below[:, None]
        orders += is_low
        np.add(supply[step], is_low * order[:, None], out=supply[step + 1])
        taken = np.minimum(use[:, step], supply[step + 1] - head)
        short = use[:, step] - taken
        head += taken
        overage += short
        first_short[(short > 0) & (first_short == steps)] = step
    bought = supply[-1]
    return Drawn(overage, expired, bought - head, first_short, bought, orders), supply
