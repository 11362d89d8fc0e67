"""The free partition: the paper's eq. 2 to 5 as they stand, every block in the set whose anchor it is
most like.

    maximise over anchors A_1..A_K  sum over models of max over their K-partitions of
        sum_k max_j S(B_k, A_j)

Read strictly: an anchor is a block of the partition found (eq. 2 says which of the K N blocks it is),
so it belongs to its own set and no set is empty.

Good anchors come from alternating cuts and medoids. The bound dualises two things: that block k ends
where block k + 1 begins, as in the staged variant, and that every block takes part in one set. What is
left is to choose the K segments that pay most as anchors, each by itself.
"""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from dery_core.partition.branching import TOLERANCE, BranchAndBound
from dery_core.partition.exact import nearest, solve
from dery_core.partition.problem import Problem
from dery_core.partition.solution import Solution, Warm, free_sets, likeness, placed
from dery_core.partition.windows import Floats, Ints
from dery_core.progress import ProgressFn, silent

_STARTS = 8  # networks whose own blocks, as the staged variant has them, are tried as anchors
_ROOT_STEPS, _NODE_STEPS = 60, 30
_FRESH = 0.1  # share of the newest subgradient in the mean
_LONGER, _SHORTER, _PATIENCE = 1.5, 0.7, 6
_WORTH = 0.05  # share of the gap that so many steps must close
_ENUMERATE = 32  # choices of anchors that are tried one by one rather than branched on

Anchors = Ints
"""(K, 2): the start and end row of every set's anchor."""


def solve_free(
    problem: Problem,
    max_nodes: int = 10_000,
    max_seconds: float = 120.0,
    report: ProgressFn = silent,
    warm: Warm | None = None,
) -> Solution:
    """The best free partition found and an upper bound on any.

    `warm` is where it is thought to be. Deterministic, unless `max_seconds` is what stops it.
    """
    search = _Search(problem, max_seconds, report)
    stages = np.tile(np.arange(problem.k), (problem.models, 1))
    if warm is not None:
        cuts = problem.cuts(nearest(problem, warm.cuts))
        for sets in (warm.sets, stages):
            search.improve(_centres(problem, cuts, sets), cuts)
    staged = solve(
        problem, max_nodes=1, max_seconds=max_seconds / 4, report=lambda _: search.alive(), warm=warm
    )
    cuts = problem.cuts(staged.segments)
    search.improve(_centres(problem, cuts, stages), cuts)
    for model in np.unique(np.linspace(0, problem.models - 1, _STARTS).astype(int)):
        if search.out_of_time:
            break
        blocks = np.stack([cuts[model, :-1], cuts[model, 1:]], axis=1)
        search.improve(blocks, best_cuts(problem, blocks))
    search.search(search.root(), 2.0 * problem.k * problem.models, max_nodes)
    # Sets have no order of their own: that of their anchors' depth is easiest to look at.
    first, last = (of[problem.owner(search.anchors[:, 0])] for of in (problem.first, problem.last))
    depth = (search.anchors.sum(axis=1) - 2 * first) / (last - first)
    anchors = search.anchors[np.argsort(depth, kind="stable")]
    return replace(
        placed(problem, anchors, search.cuts, search.objective),
        upper_bound=search.upper_bound,
        nodes=search.nodes,
        trace=search.trace,
    )


def best_cuts(problem: Problem, anchors: Anchors, member: bool = True) -> Ints:
    """Every model's best cuts (N, K + 1) for the anchors; as a `member` an anchor must be a block of its
    own model, which the anchors must allow."""
    return problem.cuts(problem.paths([_earned(problem, k, anchors, member) for k in range(problem.k)]))


def evaluate_free(problem: Problem, anchors: Anchors) -> float:
    """The optimum for given anchors, -inf when no partition has all of them as blocks."""
    value = problem.at_start()
    for k in range(problem.k):
        value = problem.extend(k, value, _earned(problem, k, anchors, True))
    return float(value[problem.last].sum())


def settle_free(problem: Problem, anchors: Anchors, cuts: Ints) -> tuple[Anchors, Ints, float]:
    """Alternate between taking each set's medoid as its anchor and cutting all models for the anchors,
    until neither helps: anchors, cuts and objective. The anchors given needn't be blocks of `cuts`."""
    best, kept = -np.inf, (anchors, cuts)
    while True:
        anchors, objective = _medoids(problem, anchors, cuts)
        if objective <= best + 1e-9:
            return *kept, best
        best, kept = objective, (anchors, cuts)
        cuts = best_cuts(problem, anchors)


def _earned(problem: Problem, k: int, anchors: Anchors, member: bool) -> Floats:
    """For every segment of stage k its similarity to the anchor that it is most like; -inf where it
    would cut into an anchor that is a member."""
    stage, sim = problem.stages[k], problem.similarity
    value = np.full(len(stage), -np.inf)
    for start, end in anchors:
        np.maximum(value, sim[stage.start, start] + sim[stage.end, end], out=value)
    for start, end in anchors if member else ():
        overlaps = (stage.start < end) & (stage.end > start)
        value[overlaps & ((stage.start != start) | (stage.end != end))] = -np.inf
    return value


def _medoids(problem: Problem, anchors: Anchors, cuts: Ints) -> tuple[Anchors, float]:
    """Each set's block with the largest summed similarity to the set's others, and what all blocks then
    earn, each with the anchor that it is most like: no less than with `anchors`, if these are blocks."""
    moved = _centres(problem, cuts, free_sets(problem, cuts, anchors))
    return moved, float(likeness(problem, cuts, moved).max(axis=2).sum())


def _centres(problem: Problem, cuts: Ints, sets: Ints) -> Anchors:
    """For each set its block with the largest summed similarity to the set's others; for an empty one,
    the block that is least like any of these."""
    sim, k = problem.similarity, problem.k
    start, end, sets = cuts[:, :-1].ravel(), cuts[:, 1:].ravel(), sets.ravel()
    centres: list[int] = []
    for j in sorted(range(k), key=lambda j: not (sets == j).any()):
        members = np.flatnonzero(sets == j)
        if len(members):
            a, b = start[members], end[members]
            centres.append(int(members[(sim[np.ix_(a, a)] + sim[np.ix_(b, b)]).sum(axis=0).argmax()]))
        else:
            like = (sim[np.ix_(start, start[centres])] + sim[np.ix_(end, end[centres])]).max(axis=1)
            like[centres] = np.inf
            centres.append(int(like.argmin()))
    return np.stack([start[centres], end[centres]], axis=1)


@dataclass(frozen=True, eq=False)
class _Node:
    """Segments that may be anchors (C,), those among them that are for certain, and the prices, laid one
    after the other: per stage of beginning at a cut (K + 1, M), nothing at both ends, and of every
    block (K, N)."""

    candidates: Ints
    certain: tuple[int, ...]
    prices: Floats


@dataclass(frozen=True, eq=False)
class _Relaxed:
    """The best of the relaxed problem: its value, what every candidate pays (C,), where among them the K
    chosen are, certain ones first, which stage each is of its own model, and which blocks take part
    in which (K, chosen, N)."""

    total: float
    pays: Floats
    chosen: Ints
    homes: Ints
    takes: NDArray[np.bool_]


class _OutOfTime(Exception):
    """Raised amid a step that takes long by itself."""


class _Search(BranchAndBound[_Node]):
    """A candidate is a position in `start`, `end` and `model` (C,); `home[k]` says whether it can be
    stage k of its model."""

    def __init__(self, problem: Problem, max_seconds: float, report: ProgressFn) -> None:
        super().__init__(max_seconds, report)
        self.problem = problem
        self.tried: set[tuple[int, ...]] = set()
        rows = len(problem.similarity)
        stages = [stage.start * rows + stage.end for stage in problem.stages]
        keys = np.unique(np.concatenate(stages))
        self.start, self.end = keys // rows, keys % rows
        self.model = problem.owner(self.start)
        self.home = np.stack([np.isin(keys, stage) for stage in stages])

    def improve(self, anchors: Anchors, cuts: Ints) -> None:
        self.alive()
        self.offer(*settle_free(self.problem, anchors, cuts))

    def offer(self, anchors: Anchors, cuts: Ints, objective: float) -> None:
        if objective > self.objective:
            self.anchors, self.cuts, self.objective = anchors, cuts, objective

    def propose(self, candidates: Ints) -> None:
        """Start from these anchors, which needn't fit together."""
        key = tuple(sorted(candidates.tolist()))
        if key not in self.tried:
            self.tried.add(key)
            anchors = self.rows(candidates)
            self.improve(anchors, best_cuts(self.problem, anchors, member=False))

    def rows(self, candidates: Sequence[int] | Ints) -> Anchors:
        at = np.asarray(candidates, np.int64)
        return np.stack([self.start[at], self.end[at]], axis=1)

    def root(self) -> _Node:
        """Everything may be an anchor. Prices from the incumbent: a cut's is half of what leads to it less
        half of what follows, a block's lies between what its anchor and the next best would pay."""
        problem, k = self.problem, self.problem.k
        earned = [_earned(problem, stage, self.anchors, member=False) for stage in range(k)]
        prefixes, suffixes = [problem.at_start()], [problem.at_end()]
        for stage in range(k):
            prefixes.append(problem.extend(stage, prefixes[-1], earned[stage]))
            back = k - 1 - stage
            suffixes.insert(0, problem.extend_back(back, suffixes[0], earned[back]))
        prices = np.zeros((k + 1) * len(problem.similarity) + k * problem.models)
        cut_prices, block_prices = self.priced(prices)
        for stage in range(1, k):
            at = np.isfinite(prefixes[stage])
            cut_prices[stage, at] = (prefixes[stage][at] - suffixes[stage][at]) / 2
        anchors = [
            int(np.flatnonzero((self.start == start) & (self.end == end))[0]) for start, end in self.anchors
        ]
        paid = np.sort(self.gains(_Node(np.array(anchors), (), prices), patient=True), axis=1)
        block_prices[:] = paid[:, -2:].mean(axis=1)
        return _Node(np.arange(len(self.start)), (), prices)

    def explore(self, node: _Node, above: float) -> tuple[float, list[_Node]]:
        if len(node.candidates) < self.problem.k:
            return -np.inf, []
        try:
            if not self.nodes:
                node = self.tighten(node, above, _ROOT_STEPS, still=True)[1]
                if len(node.candidates) < self.problem.k:
                    return -np.inf, []  # nothing can beat the incumbent
            bound, node, often = self.tighten(node, above, _NODE_STEPS if self.nodes else _ROOT_STEPS)
        except _OutOfTime:
            return above, [node]
        if self.closes(bound):
            return bound, []
        left = np.setdiff1d(node.candidates, node.certain)
        missing = self.problem.k - len(node.certain)
        if math.comb(len(left), missing) <= _ENUMERATE:
            for chosen in itertools.combinations(left.tolist(), missing):
                anchors = self.rows([*node.certain, *chosen])
                value = evaluate_free(self.problem, anchors)
                if value > self.objective:
                    cuts = best_cuts(self.problem, anchors)
                    self.offer(anchors, cuts, value)  # as it is: on its value the node is closed
                    self.improve(anchors, cuts)
            return self.objective, []
        at = int(left[np.minimum(often[left], 1 - often[left]).argmax()])
        without = replace(node, candidates=node.candidates[node.candidates != at])
        return bound, [self.with_certain(node, (at,)), without]

    def tighten(
        self, node: _Node, above: float, steps: int, still: bool = False
    ) -> tuple[float, _Node, Floats]:
        """Lower a node's bound by the volume algorithm (Barahona and Anbil 2000): steps from the best
        prices along a running mean of subgradients. Candidates that can't reach the incumbent are dropped
        and those that it can't be reached without become certain. While `still`, the prices of cuts stay,
        which makes steps cheap. Returns the bound, the node at its best prices, and how often each
        candidate was chosen of late. Ends when the last `steps` steps were hardly worth it."""
        bound, scale, stalled, totals = above, 0.5, 0, [np.inf]
        often = np.zeros(len(self.start))
        gains = self.gains(node)
        relaxed = self.relax(node, gains)
        best, total, way = node, relaxed.total, np.zeros_like(node.prices)
        for step in itertools.count():
            anchors = node.candidates[relaxed.chosen]
            share = _FRESH if step else 1.0
            often *= 1 - share
            often[anchors] += share
            fresh = self.gradient(node, relaxed, still)
            way = share * fresh + (1 - share) * way
            if relaxed.total < total - 1e-9:
                best, total, stalled = node, relaxed.total, 0
                if fresh @ way > 0:  # a longer step would have done better
                    scale = min(_LONGER * scale, 2.0)
            else:
                stalled += 1
                if stalled == _PATIENCE:
                    scale, stalled = _SHORTER * scale, 0
            bound = min(bound, total)
            if still:
                self.alive()
            else:
                self.propose(anchors)
                self.step(bound)
            slow = step >= steps and totals[-steps] - total < _WORTH * (total - self.objective)
            totals.append(total)
            if self.closes(bound) or slow or self.out_of_time:
                break
            keep, certain = self.reduced(node, relaxed)
            size = scale * (total - self.objective) / max(float(way @ way), 1e-12)
            node = _Node(node.candidates[keep], certain, best.prices - size * way)
            if len(node.candidates) <= self.problem.k:
                break
            try:
                gains = gains[:, keep] if still else self.gains(node)
            except _OutOfTime:
                break
            relaxed = self.relax(node, gains)
        return bound, replace(node, prices=best.prices), often

    def priced(self, prices: Floats) -> tuple[Floats, Floats]:
        """The prices of cuts (K + 1, M) and of blocks (K, N)."""
        k, rows = self.problem.k, len(self.problem.similarity)
        return prices[: (k + 1) * rows].reshape(k + 1, rows), prices[(k + 1) * rows :].reshape(k, -1)

    def gains(self, node: _Node, patient: bool = False) -> Floats:
        """(K, C, N): the most that stage k of model i can get, given the prices of cuts, with each
        candidate as its anchor. Raises _OutOfTime unless `patient`."""
        cut_prices, _ = self.priced(node.prices)
        start, end = self.start[node.candidates], self.end[node.candidates]
        gains = np.empty((self.problem.k, len(start), self.problem.models))
        for k in range(self.problem.k):
            if self.out_of_time and not patient:
                raise _OutOfTime
            for part, best in self.problem.best_by_model(k, start, end, cut_prices[k], -cut_prices[k + 1]):
                self.alive()
                gains[k, part] = best
        return gains

    def relax(self, node: _Node, gains: Floats) -> _Relaxed:
        """Every block may take part in any of the chosen anchors, or none, at its price; a chosen anchor
        itself takes part."""
        k = self.problem.k
        cut_prices, prices = self.priced(node.prices)
        excess = np.maximum(gains - prices[:, None, :], 0)
        start, end, model = (of[node.candidates] for of in (self.start, self.end, self.model))
        extra = np.full((k, len(start)), -np.inf)
        for stage, home in enumerate(self.home[:, node.candidates]):
            itself = cut_prices[stage, start] + 2 - cut_prices[stage + 1, end] - prices[stage, model]
            extra[stage, home] = (itself - excess[stage, np.arange(len(start)), model])[home]
        pays = excess.sum(axis=(0, 2)) + extra.max(axis=0)
        order = np.where(np.isin(node.candidates, node.certain), np.inf, pays)
        chosen = np.argsort(-order, kind="stable")[:k]
        takes = excess[:, chosen] > 0
        homes = extra[:, chosen].argmax(axis=0)
        takes[homes, np.arange(k), model[chosen]] = True
        return _Relaxed(float(prices.sum() + pays[chosen].sum()), pays, chosen, homes, takes)

    def gradient(self, node: _Node, relaxed: _Relaxed, still: bool) -> Floats:
        """By how much a price is paid too often: blocks that take part in no set (1) or in several, cuts
        where more blocks begin than end."""
        problem, sim = self.problem, self.problem.similarity
        gradient = np.zeros_like(node.prices)
        cuts, blocks = self.priced(gradient)
        blocks[:] = 1 - relaxed.takes.sum(axis=1)
        if still:
            return gradient
        prices, _ = self.priced(node.prices)
        chosen = node.candidates[relaxed.chosen]
        for k, stage in enumerate(problem.stages):
            for at, home, taken in zip(chosen, relaxed.homes, relaxed.takes[k], strict=True):
                start, end = self.start[at], self.end[at]
                earned = sim[stage.start, start] + sim[stage.end, end]
                segments = problem.best_segments(k, earned, prices[k], -prices[k + 1])
                if k == home:
                    segments[self.model[at]] = problem.position(k, start, end)
                cuts[k, stage.start[segments[taken]]] += 1
                cuts[k + 1, stage.end[segments[taken]]] -= 1
        cuts[[0, -1]] = 0
        return gradient

    def reduced(self, node: _Node, relaxed: _Relaxed) -> tuple[Ints, tuple[int, ...]]:
        """Which candidates are kept (positions), and the certain ones."""
        pays, chosen = relaxed.pays, relaxed.chosen
        spared = np.ones(len(pays), bool)
        spared[chosen] = False
        loose = chosen[len(node.certain) :]
        weakest = pays[loose].min(initial=np.inf)
        reach = np.where(spared, relaxed.total - weakest + pays, np.inf)
        keep = reach > self.objective + TOLERANCE
        self.closes(float(reach[~keep].max(initial=-np.inf)))
        without = relaxed.total - pays[loose] + pays[keep & spared].max(initial=-np.inf)
        needed = without <= self.objective + TOLERANCE
        self.closes(float(without[needed].max(initial=-np.inf)))
        certain = (*node.certain, *node.candidates[loose[needed]].tolist())
        return np.flatnonzero(keep & self.allowed(node.candidates, certain)), certain

    def allowed(self, candidates: Ints, certain: Sequence[int]) -> NDArray[np.bool_]:
        """Which candidates don't cut into a certain anchor."""
        allowed = np.ones(len(candidates), bool)
        start, end = self.start[candidates], self.end[candidates]
        for at in certain:
            overlaps = (start < self.end[at]) & (end > self.start[at])
            allowed &= ~overlaps | (candidates == at)
        return allowed

    def with_certain(self, node: _Node, more: tuple[int, ...]) -> _Node:
        certain = (*node.certain, *more)
        keep = self.allowed(node.candidates, certain)
        return replace(node, candidates=node.candidates[keep], certain=certain)
