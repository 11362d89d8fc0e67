"""Which of many candidates no other beats, in three costs at once."""

from bisect import bisect_left, bisect_right

import numpy as np
from numpy.typing import NDArray

_BANDS = (12, 96)


def nondominated(costs: NDArray, group: NDArray[np.int64] | None = None) -> NDArray[np.int64]:
    """Indices, ascending, of the points no other point of their `group` (S,) beats.

    `costs` is (3, S), whole numbers or not, less is better. A point is beaten by one that costs as
    much at most in all three and less in one; of equal points the first stands.
    """
    size = costs.shape[1]
    groups = np.zeros(size, np.int64) if group is None else group
    order = np.argsort(costs[0], kind="stable")
    if group is not None:
        order = order[np.argsort(groups[order], kind="stable")]
    for bands in _BANDS:
        order = order[~_beaten_across_bands(costs[:, order], groups[order], bands)]
    # What is left is little, and only now must ties be in order.
    order = np.sort(order)
    order = order[np.lexsort((costs[2, order], costs[1, order], costs[0, order], groups[order]))]
    return np.sort(order[_swept(costs[:, order], groups[order])])


def _beaten_across_bands(costs: NDArray, group: NDArray, bands: int) -> NDArray[np.bool_]:
    """Points that are seen to be beaten by one of a cheaper band of the third cost.

    In order of group, then first cost: whoever comes before in the group costs no more in the first.
    """
    size = len(group)
    beaten = np.zeros(size, bool)
    if size < 4 * bands:
        return beaten
    # Later groups have smaller numbers, so that a running minimum doesn't leak from one to the next.
    number = np.cumsum(np.diff(group, prepend=group[0]) != 0)
    second = costs[1] - number * (np.ptp(costs[1]) + 1)
    nothing = second.max() + 1
    edges = np.unique(np.quantile(costs[2], np.linspace(0, 1, bands + 1)[1:-1], method="higher"))
    band = np.searchsorted(edges, costs[2], side="left")
    for level in range(len(edges)):
        cheapest = np.minimum.accumulate(np.where(band <= level, second, nothing))
        beaten |= (band > level) & (cheapest <= second)
    return beaten


def _swept(costs: NDArray, group: NDArray) -> list[int]:
    """Positions of the unbeaten among points in order of group, then all three costs."""
    kept: list[int] = []
    stairs: tuple[list[float], list[float]] = [], []
    current = None
    for i, (g, second, third) in enumerate(
        zip(group.tolist(), costs[1].tolist(), costs[2].tolist(), strict=True)
    ):
        if g != current:
            current, stairs = g, ([], [])
        seconds, thirds = stairs
        at = bisect_right(seconds, second)
        if at and thirds[at - 1] <= third:
            continue
        kept.append(i)
        # The stairs go down: what this point beats among those behind it is no step any more.
        first, last = bisect_left(seconds, second), at
        while last < len(thirds) and thirds[last] >= third:
            last += 1
        seconds[first:last], thirds[first:last] = [second], [third]
    return kept
