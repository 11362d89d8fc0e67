"""Which segments of a network may be a block: the size limit of the paper's eq. 3.

A network is given by its size up to every cut, `cumulative` (L + 1,), non-decreasing.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


class Windows(NamedTuple):
    """The admissible segments of one network.

    Every block is smaller than `limit`, which is `multiple`·total / K; `widened` if that is more
    than (1 + ε)·total / K.
    `segments[k]` are the cuts (starts, ends) of what may be stage k, ordered by start, then end.
    """

    limit: float
    multiple: float
    widened: bool
    segments: list[tuple[Ints, Ints]]


def size_windows(cumulative: Floats, k: int, epsilon: float) -> Windows:
    """Admissible segments under the limit (1 + ε)·total / K, compared strictly.

    Where no K-partition keeps it, the limit is the smallest achievable largest block, enlarged
    by 1e-9 because the comparison is strict. Needs K <= L: every block has a node.
    """
    mean = float(cumulative[-1] - cumulative[0]) / k
    limit = (1 + epsilon) * mean
    segments = stage_segments(cumulative, k, limit)
    if len(segments[0][0]):
        return Windows(limit, 1 + epsilon, False, segments)
    limit = smallest_largest_block(cumulative, k) * (1 + 1e-9) or 1e-9
    multiple = limit / mean if mean else 1 + epsilon  # nothing to share out: any cuts do
    return Windows(limit, multiple, True, stage_segments(cumulative, k, limit))


def smallest_largest_block(cumulative: Floats, k: int) -> float:
    """Size of the largest block in the K-partition that keeps it smallest (linear partitioning).

    Exact dynamic programme over cuts, O(K L²).
    """
    size = _sizes(cumulative)
    size[np.tril_indices(len(cumulative))] = np.inf  # a block ends after it begins
    best = size[0]
    for _ in range(k - 1):
        best = np.maximum(best[:, None], size).min(axis=0)
    return float(best[-1])


def stage_segments(cumulative: Floats, k: int, limit: float) -> list[tuple[Ints, Ints]]:
    """Per stage, the cuts (starts, ends) of every segment below `limit` that lies on a K-partition.

    Forward and backward reachability: a segment counts for stage k if k blocks can precede it
    and K - 1 - k can follow it.
    """
    allowed = np.triu(_sizes(cumulative) < limit, 1)
    # forward[j]: cuts that j blocks can end at; backward[j]: cuts that j blocks can lead from to the end
    forward = np.zeros((k + 1, len(cumulative)), bool)
    backward = np.zeros_like(forward)
    forward[0, 0] = backward[0, -1] = True
    for j in range(k):
        forward[j + 1] = allowed[forward[j]].any(axis=0)
        backward[j + 1] = allowed[:, backward[j]].any(axis=1)
    at = forward & backward[::-1]
    segments = []
    for stage in range(k):
        starts, ends = np.nonzero(allowed & at[stage][:, None] & at[stage + 1])
        segments.append((starts.astype(np.int64), ends.astype(np.int64)))
    return segments


def _sizes(cumulative: Floats) -> Floats:
    """Size of every segment: entry [a, b] lies between cuts a and b."""
    return cumulative[None, :] - cumulative[:, None]
