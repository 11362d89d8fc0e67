"""What can be ruled out before the program is solved, so that a solve fits in a slider's drag.

A candidate is a path through K layers of N blocks. Relaxing limits into prices (Lagrange) leaves a
shortest path, and forward and backward values bound the best candidate through every transition
from below. A transition whose bound exceeds a candidate already known, or that alone breaks a
limit, is in no optimum: the program is then solved on what is left, to the same answer.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dery_core.reassembly.candidates import Candidates
from dery_core.reassembly.terms import Choices, Terms

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]
_ROUNDS = 40


@dataclass(frozen=True, eq=False)
class Limit:
    """value(choice) ≤ most."""

    terms: Terms
    most: int


@dataclass(frozen=True, eq=False)
class Search:
    """Minimise `objective` over choices that keep every limit, take at least `min_models` models,
    are not `banned`, and use only `blocks` (K, N)."""

    candidates: Candidates
    min_models: int
    objective: Terms
    limits: tuple[Limit, ...]
    banned: tuple[tuple[int, ...], ...]
    blocks: Mask

    def feasible(self, choices: Choices) -> Mask:
        """Which of `choices` (S, K) may be the answer: (S,)."""
        kept = self.candidates.allowed(choices, self.min_models)
        kept &= self.blocks[np.arange(choices.shape[1]), choices].all(axis=1)
        for limit in self.limits:
            kept &= limit.terms.of(choices) <= limit.most
        for choice in self.banned:
            kept &= (choices != choice).any(axis=1)
        return kept


def surviving(search: Search) -> tuple[Mask, Mask]:
    """Blocks (K, N) and transitions (K-1, N, N) that an optimum may use; none left when it's infeasible."""
    pairs = np.ones(search.objective.pair.shape, bool)
    blocks, pairs = _connected(search.blocks, pairs)
    for limit in search.limits:
        through = _through(limit.terms.block, limit.terms.pair, blocks, pairs)
        blocks, pairs = _connected(blocks & (through[0] <= limit.most), pairs & (through[1] <= limit.most))
    if not blocks.any():
        return blocks, pairs
    at_block, at_pair, known = _lagrange(search, blocks, pairs)
    # Values are whole numbers: half a unit separates a worse candidate from rounding.
    return _connected(blocks & (at_block <= known + 0.5), pairs & (at_pair <= known + 0.5))


def _connected(blocks: Mask, pairs: Mask) -> tuple[Mask, Mask]:
    """Only what lies on a path from the first stage to the last."""
    blocks = blocks.copy()
    for k in range(len(pairs)):
        blocks[k + 1] &= (pairs[k] & blocks[k][:, None]).any(axis=0)
    for k in reversed(range(len(pairs))):
        blocks[k] &= (pairs[k] & blocks[k + 1]).any(axis=1)
    return blocks, pairs & blocks[:-1, :, None] & blocks[1:, None, :]


def _through(block: NDArray, pair: NDArray, blocks: Mask, pairs: Mask) -> tuple[Floats, Floats]:
    """Smallest sum of any path through each block (K, N) and each transition (K-1, N, N)."""
    stages = len(block)
    node = np.where(blocks, block, np.inf)
    step = np.where(pairs, pair, np.inf)
    ahead, behind = node.copy(), np.zeros(node.shape)
    for k in range(1, stages):
        ahead[k] += (ahead[k - 1][:, None] + step[k - 1]).min(axis=0)
    for k in reversed(range(stages - 1)):
        behind[k] = (step[k] + node[k + 1] + behind[k + 1]).min(axis=1)
    return ahead + behind, ahead[:-1, :, None] + step + (node[1:] + behind[1:])[:, None, :]


def _lagrange(search: Search, blocks: Mask, pairs: Mask) -> tuple[Floats, Floats, float]:
    """Best lower bounds through blocks and transitions, and the best candidate's value (inf: none found).

    Subgradient ascent with Polyak's step on the prices of the limits.
    """
    objective = search.objective
    limits = [limit for limit in search.limits if limit.terms is not objective]
    # A limit on the objective itself is as good as a known candidate.
    known = min((float(limit.most) for limit in search.limits if limit.terms is objective), default=np.inf)
    prices = np.zeros(len(limits))
    bounds = np.full(blocks.shape, -np.inf), np.full(pairs.shape, -np.inf)
    highest, patience = -np.inf, 1.0
    tried: set[tuple[int, ...]] = set()
    for _ in range(_ROUNDS):
        priced = list(zip(prices, limits, strict=True))
        block = objective.block + sum(price * limit.terms.block for price, limit in priced)
        pair = objective.pair + sum(price * limit.terms.pair for price, limit in priced)
        paid = sum(price * limit.most for price, limit in priced)
        at_block, at_pair = _through(block, pair, blocks, pairs)
        bounds = np.maximum(bounds[0], at_block - paid), np.maximum(bounds[1], at_pair - paid)
        bound = float(at_block[0].min() - paid)
        patience = patience if bound > highest else patience * 0.8
        highest = max(highest, bound)
        path = _path(at_block, at_pair)
        if path not in tried:
            tried.add(path)
            known = min(known, _polished(search, path))
        if highest >= known - 0.5 or not limits:
            break
        excess = np.array([limit.terms.at(path) - limit.most for limit in limits], float)
        target = known if np.isfinite(known) else highest + abs(highest) + 1.0
        slope = np.square(excess[(prices > 0) | (excess > 0)]).sum()
        if not slope:
            break
        prices = np.maximum(0.0, prices + patience * (target - bound) / slope * excess)
    return *bounds, known


def _path(at_block: Floats, at_pair: Floats) -> tuple[int, ...]:
    """The shortest path, read off its bounds."""
    path = [int(at_block[0].argmin())]
    for step in at_pair:
        path.append(int(step[path[-1]].argmin()))
    return tuple(path)


def _polished(search: Search, path: Sequence[int]) -> float:
    """Value of the feasible candidate that swapping single blocks leads to from `path`; inf without one."""
    k, n = search.blocks.shape
    value = np.inf
    while True:
        # Every swap of one block; the path itself is among them.
        swaps = np.tile(np.array(path, np.int64), (k * n, 1))
        swaps[np.arange(k * n), np.repeat(np.arange(k), n)] = np.tile(np.arange(n), k)
        swaps = swaps[search.feasible(swaps)]
        values = search.objective.of(swaps)
        if not len(values) or values.min() >= value:
            return value
        value, path = float(values.min()), swaps[values.argmin()].tolist()
