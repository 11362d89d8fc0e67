"""The paper's heuristic for the partition, kept to measure against: Kernighan-Lin moves of block
boundaries alternating with K-means over blocks, best of many random starts (section 3.2, step 1 and 2).

Fair: all restarts advance together in array operations, the objective is the exact solver's own
(set k is stage k), and a move that would break a size limit is never taken.
"""

import numpy as np
from numpy.typing import NDArray

from dery_core.partition.exact import Solution
from dery_core.partition.problem import Problem
from dery_core.partition.windows import Floats, Ints


def kl_kmeans(problem: Problem, restarts: int = 200, seed: int = 0, max_rounds: int = 200) -> Solution:
    """Best of `restarts` random starts. `upper_bound` is infinite: the heuristic proves nothing."""
    rng = np.random.default_rng(seed)
    cuts = _random_cuts(problem, restarts, rng)
    anchors = _random_members(problem, cuts, rng)
    value = np.full(restarts, -np.inf)
    for _ in range(max_rounds):
        cuts = _move_boundaries(problem, cuts, anchors)
        anchors = _medoids(problem, cuts)
        moved = _objective(problem, cuts, anchors)
        stalled = bool((moved <= value + 1e-9).all())
        value = moved
        if stalled:
            break
    best = int(value.argmax())
    chosen = cuts[best]
    segments = [_position(problem, k, chosen[:, k], chosen[:, k + 1]) for k in range(problem.k)]
    medoids = [_position(problem, k, *anchors[best, k]) for k in range(problem.k)]
    return Solution(tuple(map(int, medoids)), np.stack(segments, axis=1), float(value[best]), np.inf)


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


def _medoids(problem: Problem, cuts: Ints) -> Ints:
    """Per restart and stage, the (start, end) of the block with the largest summed similarity (R, K, 2)."""
    sim = problem.similarity
    within = np.stack(
        [sim[at[:, :, None], at[:, None, :]].sum(axis=1) for at in np.moveaxis(cuts, 2, 0)], axis=2
    )
    medoid = (within[:, :, :-1] + within[:, :, 1:]).argmax(axis=1)[:, None, :]
    ends = [np.take_along_axis(side, medoid, axis=1)[:, 0] for side in (cuts[:, :, :-1], cuts[:, :, 1:])]
    return np.stack(ends, axis=2)


def _objective(problem: Problem, cuts: Ints, anchors: Ints) -> Floats:
    """J of every restart (R,)."""
    sim = problem.similarity
    starts = sim[cuts[:, :, :-1], anchors[:, None, :, 0]]
    ends = sim[cuts[:, :, 1:], anchors[:, None, :, 1]]
    return (starts + ends).sum(axis=(1, 2))


def _move_boundaries(problem: Problem, cuts: Ints, anchors: Ints) -> Ints:
    """One Kernighan-Lin pass: every inner boundary, left to right, moves by one node either way for as
    long as that pays and both of its blocks stay admissible."""
    cuts = cuts.copy()
    sim = problem.similarity
    for k in range(1, problem.k):
        gain_of = sim[:, anchors[:, k - 1, 1]] + sim[:, anchors[:, k, 0]]  # (M, R): boundary k at each row
        restart = np.arange(len(cuts))[:, None]
        for step in (-1, 1):
            while True:
                here = cuts[:, :, k]
                there = np.clip(here + step, problem.first, problem.last)
                better = gain_of[there, restart] > gain_of[here, restart] + 1e-12
                better &= _admissible(problem, k - 1, cuts[:, :, k - 1], there)
                better &= _admissible(problem, k, there, cuts[:, :, k + 1])
                if not better.any():
                    break
                cuts[:, :, k] = np.where(better, there, here)
    return cuts


def _key(problem: Problem, start: Ints, end: Ints) -> Ints:
    return start * len(problem.similarity) + end


def _position(problem: Problem, k: int, start: Ints, end: Ints) -> Ints:
    """Where the segments (start, end) lie in stage k."""
    stage = problem.stages[k]
    return np.searchsorted(_key(problem, stage.start, stage.end), _key(problem, start, end))


def _admissible(problem: Problem, k: int, start: Ints, end: Ints) -> NDArray[np.bool_]:
    """Whether the segments (start, end) are among stage k's."""
    stage = problem.stages[k]
    at = np.minimum(_position(problem, k, start, end), len(stage) - 1)
    return (stage.start[at] == start) & (stage.end[at] == end)
