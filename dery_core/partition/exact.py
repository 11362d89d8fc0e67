"""The staged partition (set k is stage k), solved to a proof.

    maximise over anchors A_1..A_K  sum over models of max over their K-partitions of sum_k S(B_k, A_k)

where A_k must be the k-th block of its own model (the paper's eq. 2 to 5 with set = stage).
Given anchors, every model is an exact dynamic programme over its cuts. Better anchors come from
joint re-optimisation of one anchor and all cuts, started from several places. The proof is
Lagrangian: "block k ends where block k + 1 begins" is dualised, which leaves one independent
problem a stage; anchors that can't reach the incumbent are dropped and the rest is branched on.
"""

import itertools
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from dery_core.partition.branching import TOLERANCE, BranchAndBound
from dery_core.partition.problem import Problem
from dery_core.partition.solution import Solution, Warm
from dery_core.partition.windows import Floats, Ints
from dery_core.progress import ProgressFn, silent

_ROOT_STEPS, _NODE_STEPS = 150, 25
_FRESH = 0.6  # share of the newest subgradient in a step
_ENUMERATE = 32  # choices of anchors that are tried one by one rather than branched on


def solve(
    problem: Problem,
    max_nodes: int = 10_000,
    max_seconds: float = 120.0,
    report: ProgressFn = silent,
    warm: Warm | None = None,
) -> Solution:
    """The best partition found and an upper bound on any: equal to 1e-6 unless a limit ran out.

    `warm` is where it is thought to be. Deterministic, unless `max_seconds` is what stops it.
    """
    search = _Search(problem, max_seconds, report)
    if warm is not None:
        search.offer(settle(problem, medoids(problem, nearest(problem, warm.cuts))[0]))
    search.search(search.root(), 2.0 * problem.k * problem.models, max_nodes)
    assert search.best is not None
    return replace(search.best, upper_bound=search.upper_bound, nodes=search.nodes, trace=search.trace)


def evaluate(problem: Problem, anchors: tuple[int, ...]) -> Solution | None:
    """The optimum for given anchors; None when no partition has all of them as blocks.

    Its `upper_bound` is for these anchors only.
    """
    earned = [problem.earned_with_membership(k, anchor) for k, anchor in enumerate(anchors)]
    value = problem.at_start()
    for k in range(problem.k):
        value = problem.extend(k, value, earned[k])
    objective = float(value[problem.last].sum())
    if objective == -np.inf:
        return None
    return Solution(anchors, problem.paths(earned), objective, objective)


def settle(problem: Problem, anchors: tuple[int, ...]) -> Solution:
    """Alternate between cutting all models for given anchors and taking each stage's medoid as its
    anchor, until neither helps. The anchors given needn't fit together; those returned do."""
    best = -np.inf
    while True:
        segments = problem.paths([problem.earned(k, anchor) for k, anchor in enumerate(anchors)])
        anchors, objective = medoids(problem, segments)
        if objective <= best + 1e-9:
            return Solution(anchors, segments, objective, np.inf)
        best = objective


def nearest(problem: Problem, cuts: Floats) -> Ints:
    """Every model's admissible segments (N, K) whose cuts lie nearest to `cuts` (N, K + 1)."""
    return problem.paths(
        [
            -np.abs(stage.start - cuts[stage.model, k]) - np.abs(stage.end - cuts[stage.model, k + 1])
            for k, stage in enumerate(problem.stages)
        ]
    )


def medoids(problem: Problem, segments: Ints) -> tuple[tuple[int, ...], float]:
    """Each stage's segment with the largest summed similarity to the stage's others, and the sum of all."""
    anchors, objective = [], 0.0
    for stage, chosen in zip(problem.stages, segments.T, strict=True):
        start, end = stage.start[chosen], stage.end[chosen]
        total = (problem.similarity[np.ix_(start, start)] + problem.similarity[np.ix_(end, end)]).sum(axis=0)
        anchors.append(int(chosen[total.argmax()]))
        objective += float(total.max())
    return tuple(anchors), objective


def reoptimise(
    problem: Problem,
    solution: Solution,
    candidates: Sequence[Ints] | None = None,
    deadline: float = math.inf,
    alive: Callable[[], object] = lambda: None,
) -> Solution:
    """Replace one anchor after the other by the best of `candidates` (per stage; all segments by
    default), every model's cuts moving with it, until no replacement helps or time is over. Calls
    `alive` before each."""
    if candidates is None:
        candidates = [np.arange(len(stage)) for stage in problem.stages]
    current, best = list(solution.anchors), solution.objective
    while True:
        suffixes = [problem.at_end()]
        for k in reversed(range(1, problem.k)):
            earned = problem.earned_with_membership(k, current[k])
            suffixes.insert(0, problem.extend_back(k, suffixes[0], earned))
        prefix, before = problem.at_start(), best
        for k, anchors in enumerate(candidates):
            alive()
            if time.monotonic() > deadline:
                break
            values = problem.anchor_values(k, anchors, prefix, suffixes[k])
            if values.max(initial=-np.inf) > best + 1e-9:
                current[k], best = int(anchors[values.argmax()]), float(values.max())
            prefix = problem.extend(k, prefix, problem.earned_with_membership(k, current[k]))
        if best <= before + 1e-9 or time.monotonic() > deadline:
            better = evaluate(problem, tuple(current))
            assert better is not None
            return better


@dataclass(frozen=True, eq=False)
class _Node:
    """The anchors still possible in every stage, and multipliers: what it is worth, per stage, to begin
    at a cut (K + 1 times (M,), nothing at both ends)."""

    candidates: list[Ints]
    multipliers: list[Floats]


class _Search(BranchAndBound[_Node]):
    def __init__(self, problem: Problem, max_seconds: float, report: ProgressFn) -> None:
        super().__init__(max_seconds, report)
        self.problem = problem
        self.tried: set[tuple[int, ...]] = set()
        self.best: Solution | None = None

    def root(self) -> _Node:
        free = [np.zeros(len(self.problem.similarity)) for _ in range(self.problem.k + 1)]
        return _Node([np.arange(len(stage)) for stage in self.problem.stages], free)

    def explore(self, node: _Node, above: float) -> tuple[float, list[_Node]]:
        if not self.nodes:
            node = self.first(node)
            if not all(map(len, node.candidates)):
                return -np.inf, []  # nothing can beat the incumbent
        bound, node = self.tighten(node, above, _NODE_STEPS if self.nodes else _ROOT_STEPS)
        if self.closes(bound):
            return bound, []
        if math.prod(map(len, node.candidates)) <= _ENUMERATE:
            for anchors in itertools.product(*node.candidates):
                self.propose(tuple(map(int, anchors)))
            return self.objective, []
        return bound, self.split(node)

    def first(self, root: _Node) -> _Node:
        """Incumbents: from each stage's best anchor taken alone, from some models' own blocks in what
        that gives, and from both with anchors exchanged for the best of those that may still be in an
        optimum. Returns the root without those that may not."""
        problem, values = self.problem, self.values(root)
        settled = [settle(problem, _tops(root.candidates, values))]
        for model in np.unique(np.linspace(0, problem.models - 1, 4).astype(int)):
            self.alive()
            settled.append(settle(problem, tuple(settled[0].segments[model].tolist())))
        if self.best:
            settled.insert(0, self.best)
        for solution in settled:
            self.offer(solution)
        node = self.reachable(root, values)
        for solution in {solution.anchors: solution for solution in settled}.values():
            if self.out_of_time:
                break
            self.offer(reoptimise(problem, solution, node.candidates, self.deadline, self.alive))
        self.step(sum(float(value.max()) for value in values))
        return node

    def reachable(self, node: _Node, values: list[Floats]) -> _Node:
        """The node without the candidates that can't reach the incumbent, given their values."""
        tops = [float(value.max()) for value in values]
        candidates = []
        for anchors, value, top in zip(node.candidates, values, tops, strict=True):
            reach = sum(tops) - top + value
            keep = reach > self.objective + TOLERANCE
            self.closes(float(reach[~keep].max(initial=-np.inf)))
            candidates.append(anchors[keep])
        return replace(node, candidates=candidates)

    def offer(self, solution: Solution | None) -> None:
        if solution is not None and solution.objective > self.objective:
            self.best, self.objective = solution, solution.objective

    def tighten(self, node: _Node, above: float, steps: int) -> tuple[float, _Node]:
        """Lower a node's Lagrangian bound by Polyak's subgradient steps, dropping candidates that
        can't reach the incumbent. Returns the bound, and the node with the best multipliers."""
        bound, best, scale, stalled = above, node.multipliers, 1.0, 0
        direction = [np.zeros_like(m) for m in node.multipliers]
        for _ in range(steps):
            values = self.values(node)
            total = sum(float(value.max()) for value in values)
            relaxed = _tops(node.candidates, values)
            self.propose(relaxed)
            if total < bound - 1e-9:
                bound, best, stalled = total, node.multipliers, 0
            else:
                stalled += 1
                if stalled == 5:
                    scale, stalled = scale / 2, 0
            self.step(bound)
            if self.closes(bound) or self.out_of_time:
                break
            node = self.reachable(node, values)
            gradient = self.gradient(relaxed, node.multipliers)
            if not any(g.any() for g in gradient):
                break  # the stages agree: the relaxed solution is a partition, and was proposed
            # mixing in earlier directions damps the zigzag: a tenth of the nodes on hard tables
            direction = [_FRESH * g + (1 - _FRESH) * d for g, d in zip(gradient, direction, strict=True)]
            step = scale * (total - self.objective) / max(sum(float(d @ d) for d in direction), 1e-12)
            node = replace(
                node, multipliers=[m - step * d for m, d in zip(node.multipliers, direction, strict=True)]
            )
        return bound, replace(node, multipliers=best)

    def propose(self, anchors: tuple[int, ...]) -> None:
        if anchors not in self.tried:
            self.tried.add(anchors)
            self.offer(evaluate(self.problem, anchors))

    def gradient(self, anchors: tuple[int, ...], multipliers: list[Floats]) -> list[Floats]:
        """Where the stages' choices disagree: +1 at a cut some model's next block begins at, -1 at the
        cut its block before ends at."""
        problem = self.problem
        gradient = [np.zeros(len(problem.similarity)) for _ in multipliers]
        for k, stage in enumerate(problem.stages):
            earned = problem.earned_with_membership(k, anchors[k])
            chosen = problem.best_segments(k, earned, multipliers[k], -multipliers[k + 1])
            if k > 0:
                gradient[k][stage.start[chosen]] += 1
            if k < problem.k - 1:
                gradient[k + 1][stage.end[chosen]] -= 1
        return gradient

    def split(self, node: _Node) -> list[_Node]:
        """Two nodes: the better and the worse half of the candidates of one stage, the one whose choice
        disagrees most with its neighbours'."""
        candidates, values = node.candidates, self.values(node)
        gradient = self.gradient(_tops(candidates, values), node.multipliers)
        norms = [float(g @ g) for g in gradient]
        open_stages = [k for k, c in enumerate(candidates) if len(c) > 1]
        k = max(open_stages, key=lambda k: norms[k] + norms[k + 1])
        ranked = candidates[k][np.argsort(-values[k], kind="stable")]
        half = (len(ranked) + 1) // 2
        return [
            _Node([*candidates[:k], np.sort(part), *candidates[k + 1 :]], node.multipliers)
            for part in (ranked[:half], ranked[half:])
        ]

    def values(self, node: _Node) -> list[Floats]:
        """Each stage's problem by itself: the value of every candidate anchor."""
        values = []
        for k, anchors in enumerate(node.candidates):
            self.alive()
            prefix, suffix = node.multipliers[k], -node.multipliers[k + 1]
            values.append(self.problem.anchor_values(k, anchors, prefix, suffix))
        return values


def _tops(candidates: list[Ints], values: list[Floats]) -> tuple[int, ...]:
    """Each stage's best candidate."""
    return tuple(int(anchors[value.argmax()]) for anchors, value in zip(candidates, values, strict=True))
