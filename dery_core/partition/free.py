"""The free partition: the paper's eq. 2 to 5 as they stand, every block in the set whose anchor it is
most like.

    maximise over anchors A_1..A_K  sum over models of max over their K-partitions of
        sum_k max_j S(B_k, A_j)

Read strictly: an anchor is a block of the partition found (eq. 2 says which of the K N blocks it is),
and belongs to its own set, so that no set is empty.
"""

import numpy as np

from dery_core.partition.exact import solve
from dery_core.partition.problem import Problem
from dery_core.partition.solution import Solution
from dery_core.partition.windows import Floats, Ints
from dery_core.progress import ProgressFn, silent

Anchors = Ints
"""(K, 2): the start and end row of every set's anchor."""


def solve_free(
    problem: Problem,
    max_nodes: int = 10_000,
    max_seconds: float = 120.0,
    report: ProgressFn = silent,
    warm: Floats | None = None,
) -> Solution:
    """The best free partition found and an upper bound on any.

    Deterministic, unless `max_seconds` is what stops it.
    """
    staged = solve(problem, max_nodes=1, max_seconds=max_seconds, report=report, warm=warm)
    starts, ends = problem.rows(staged.segments)
    anchors = np.array(
        [(problem.stages[k].start[at], problem.stages[k].end[at]) for k, at in enumerate(staged.anchors)]
    )
    cuts = np.concatenate([starts, ends[:, -1:]], axis=1)
    return _placed(problem, *settle_free(problem, anchors, cuts), bound=2.0 * problem.k * problem.models)


def settle_free(problem: Problem, anchors: Anchors, cuts: Ints) -> tuple[Anchors, Ints, float]:
    """Alternate between cutting all models for given anchors and taking each set's medoid as its anchor,
    until neither helps. The anchors must be among the blocks that `cuts` (N, K + 1) make."""
    best = -np.inf
    while True:
        anchors, objective = _medoids(problem, anchors, cuts)
        if objective <= best + 1e-9:
            return anchors, cuts, best
        best = objective
        cuts = _cut(problem, anchors)


def _cut(problem: Problem, anchors: Anchors) -> Ints:
    """Every model's best cuts (N, K + 1) for the anchors, which their own models keep as blocks."""
    segments = problem.paths([_earned(problem, k, anchors) for k in range(problem.k)])
    starts, ends = problem.rows(segments)
    return np.concatenate([starts, ends[:, -1:]], axis=1)


def _earned(problem: Problem, k: int, anchors: Anchors) -> Floats:
    """For every segment of stage k its similarity to the anchor that it is most like; -inf where it
    would cut into an anchor."""
    stage, sim = problem.stages[k], problem.similarity
    value = np.full(len(stage), -np.inf)
    for start, end in anchors:
        np.maximum(value, sim[stage.start, start] + sim[stage.end, end], out=value)
    for start, end in anchors:
        overlaps = (stage.start < end) & (stage.end > start)
        value[overlaps & ~((stage.start == start) & (stage.end == end))] = -np.inf
    return value


def _medoids(problem: Problem, anchors: Anchors, cuts: Ints) -> tuple[Anchors, float]:
    """Each set's block with the largest summed similarity to the set's others, and what all blocks then
    earn, each with the anchor that it is most like."""
    sim = problem.similarity
    start, end = cuts[:, :-1].ravel(), cuts[:, 1:].ravel()
    sets = (sim[np.ix_(start, anchors[:, 0])] + sim[np.ix_(end, anchors[:, 1])]).argmax(axis=1)
    moved = anchors.copy()
    for j in range(problem.k):
        a, b = start[sets == j], end[sets == j]
        if len(a):
            medoid = (sim[np.ix_(a, a)] + sim[np.ix_(b, b)]).sum(axis=0).argmax()
            moved[j] = a[medoid], b[medoid]
    earned = (sim[np.ix_(start, moved[:, 0])] + sim[np.ix_(end, moved[:, 1])]).max(axis=1)
    return moved, float(earned.sum())


def _placed(problem: Problem, anchors: Anchors, cuts: Ints, objective: float, bound: float) -> Solution:
    """Rows as positions in the problem's stages, the sets in the order of their anchors' depth."""
    segments = np.stack([problem.position(k, cuts[:, k], cuts[:, k + 1]) for k in range(problem.k)], axis=1)
    places = []
    for start, end in anchors:
        model = int(np.searchsorted(problem.first, start, side="right")) - 1
        home = int(np.flatnonzero((cuts[model, :-1] == start) & (cuts[model, 1:] == end))[0])
        places.append((home, model, int(segments[model, home])))
    homes, _, positions = zip(*sorted(places), strict=True)
    return Solution(positions, segments, objective, bound, homes=homes)
