"""The paper's heuristic for the partition, kept to measure against: Kernighan-Lin moves of block
boundaries alternating with K-means over blocks, best of many random starts (section 3.2, step 1 and 2).

Fair: all restarts advance together in array operations and leave when they stall, the objective is the
exact solvers' own, and a move that would break a size limit is never taken.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from dery_core.partition.problem import Problem
from dery_core.partition.solution import Solution, placed
from dery_core.partition.value import Variant
from dery_core.partition.windows import Floats, Ints


def kl_kmeans(
    problem: Problem,
    restarts: int = 200,
    seed: int = 0,
    max_rounds: int = 200,
    variant: Variant = "staged",
) -> Solution:
    """Best of `restarts` random starts. `upper_bound` is infinite: the heuristic proves nothing."""
    rng = np.random.default_rng(seed)
    cuts = _random_cuts(problem, restarts, rng)
    anchors = _random_members(problem, cuts, rng)
    best = np.full(restarts, -np.inf)
    kept = cuts.copy(), anchors.copy()
    alive = np.arange(restarts)
    for _ in range(max_rounds):
        sets = _assigned(problem, cuts, anchors, variant)
        cuts = _move_boundaries(problem, cuts, anchors, sets)
        sets = _assigned(problem, cuts, anchors, variant)
        anchors = _medoids(problem, cuts, sets)
        value = _objective(problem, cuts, anchors, variant)
        better = value > best[alive] + 1e-9
        alive, cuts, anchors = alive[better], cuts[better], anchors[better]
        best[alive], kept[0][alive], kept[1][alive] = value[better], cuts, anchors
        if not len(alive):
            break
    at = int(best.argmax())
    return placed(problem, kept[1][at], kept[0][at], float(best[at]))


def _random_cuts(problem: Problem, restarts: int, rng: np.random.Generator) -> Ints:
    """Random admissible partitions (R, N, K + 1), as rows: each stage's end uniform among those allowed."""
    cuts = np.empty((restarts, problem.models, problem.k + 1), np.int64)
    cuts[:, :, 0] = problem.first
    for k, stage in enumerate(problem.stages):
        begin = np.searchsorted(stage.start, cuts[:, :, k], side="left")
        count = np.searchsorted(stage.start, cuts[:, :, k], side="right") - begin
        cuts[:, :, k + 1] = stage.end[begin + (rng.random(begin.shape) * count).astype(np.int64)]
    return cuts


def _random_members(problem: Problem, cuts: Ints, rng: np.random.Generator) -> Ints:
    """Per restart and stage, the (start, end) of some model's block (R, K, 2): K-means' first centres."""
    restart, stage = np.ogrid[: len(cuts), : problem.k]
    model = rng.integers(problem.models, size=(len(cuts), problem.k))
    return np.stack([cuts[restart, model, stage], cuts[restart, model, stage + 1]], axis=2)


def _likeness(problem: Problem, cuts: Ints, anchors: Ints) -> Floats:
    """S of every block with every anchor (R, N, K, K)."""
    sim = problem.similarity
    begin, end = anchors[:, None, None, :, 0], anchors[:, None, None, :, 1]
    return sim[cuts[:, :, :-1, None], begin] + sim[cuts[:, :, 1:, None], end]


def _assigned(problem: Problem, cuts: Ints, anchors: Ints, variant: Variant) -> Ints:
    """The set of every block (R, N, K)."""
    if variant == "staged":
        return np.broadcast_to(np.arange(problem.k), (*cuts.shape[:2], problem.k))
    return _likeness(problem, cuts, anchors).argmax(axis=3)


def _medoids(problem: Problem, cuts: Ints, sets: Ints) -> Ints:
    """Per restart and set, the (start, end) of the block with the largest summed similarity to the
    set's others (R, K, 2); an empty set j gets the first model's block j."""
    runs, rows = len(cuts), len(problem.similarity)
    run = np.broadcast_to(np.arange(runs)[:, None, None], sets.shape)
    medoids = np.stack([cuts[:, 0, :-1], cuts[:, 0, 1:]], axis=2)
    for j in range(problem.k):
        member = sets == j
        total = np.full(sets.shape, -np.inf)
        total[member] = 0
        for side in (cuts[:, :, :-1], cuts[:, :, 1:]):
            count = csr_array((np.ones(int(member.sum())), (run[member], side[member])), shape=(runs, rows))
            total[member] += (count @ problem.similarity)[run[member], side[member]]
        chosen = total.reshape(runs, -1).argmax(axis=1)
        some = member.any(axis=(1, 2))
        for end, side in enumerate((cuts[:, :, :-1], cuts[:, :, 1:])):
            medoids[some, j, end] = side.reshape(runs, -1)[some, chosen[some]]
    return medoids


def _objective(problem: Problem, cuts: Ints, anchors: Ints, variant: Variant) -> Floats:
    """J of every restart (R,)."""
    likeness = _likeness(problem, cuts, anchors)
    if variant == "free":
        return likeness.max(axis=3).sum(axis=(1, 2))
    return np.einsum("rnkk->r", likeness)


def _move_boundaries(problem: Problem, cuts: Ints, anchors: Ints, sets: Ints) -> Ints:
    """One Kernighan-Lin pass: every inner boundary, left to right, moves by one node either way for as
    long as that pays and both of its blocks stay admissible."""
    cuts, sim = cuts.copy(), problem.similarity
    restart = np.arange(len(cuts))[:, None]
    for k in range(1, problem.k):
        ends = anchors[restart, sets[:, :, k - 1], 1]  # (R, N): what the boundary is compared with
        begins = anchors[restart, sets[:, :, k], 0]
        for step in (-1, 1):
            while True:
                here = cuts[:, :, k]
                there = np.clip(here + step, problem.first, problem.last)
                better = sim[there, ends] + sim[there, begins] > sim[here, ends] + sim[here, begins] + 1e-12
                better &= _admissible(problem, k - 1, cuts[:, :, k - 1], there)
                better &= _admissible(problem, k, there, cuts[:, :, k + 1])
                if not better.any():
                    break
                cuts[:, :, k] = np.where(better, there, here)
    return cuts


def _admissible(problem: Problem, k: int, start: Ints, end: Ints) -> NDArray[np.bool_]:
    """Whether the segments (start, end) are among stage k's."""
    stage = problem.stages[k]
    at = np.minimum(problem.position(k, start, end), len(stage) - 1)
    return (stage.start[at] == start) & (stage.end[at] == end)
