"""How good the best hybrid is that a search finds with so many scored candidates, and its exact rank.

`official_search` follows the published code: a trial shuffles all blocks and goes through them once, a
block takes a free stage or replaces what it clashes with, and what improves the score stays.
`random_search` is the paper's text: feasible candidates at random. Both are counted generously: only
distinct candidates that keep the limits count as scored, and there are as many trials as it takes.
`proposals` are the product's own way where not everything can be scored.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from dery_core.reassembly import Budget, Candidates
from dery_core.scoring.proposals import propose
from dery_core.search import Finder, LinearScore, MeasuredScore, Rules

Blocks = tuple[int, ...]
Measure = Callable[[Blocks], float]

_IDLE = 50
_DRAWN = 4096
_MIN_MODELS = 2
# Below any score in quanta: what a search found that found nothing.
_NOTHING = -(2.0**60)


@dataclass
class Scored:
    """The candidates that a search had scored, of those within `budget`, `most` of them."""

    candidates: Candidates
    budget: Budget
    measure: Measure
    most: int
    values: dict[Blocks, float] = field(default_factory=dict)

    @property
    def full(self) -> bool:
        return len(self.values) >= self.most

    def feasible(self, choices: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Which of `choices` (S, K) may be scored: (S,)."""
        kept = self.candidates.allowed(choices, _MIN_MODELS)
        return kept & _within(self.budget, *self.candidates.costs(choices))

    def __call__(self, choice: Blocks) -> float:
        if choice not in self.values:
            self.values[choice] = self.measure(choice)
        return self.values[choice]


Search = Callable[[Scored, np.random.Generator], None]


class Landscape(Protocol):
    """Candidates with a score whose every rank can be counted."""

    candidates: Candidates

    def measure(self, choice: Blocks) -> float: ...

    def best(self, budget: Budget, top: int) -> list[Blocks]: ...

    def better(self, budget: Budget, values: Sequence[float]) -> tuple[NDArray[np.int64], int]:
        """How many candidates within `budget` score more than each value, and how many there are."""
        ...


class Linear:
    """A linear score, in whole quanta."""

    def __init__(self, candidates: Candidates, linear: LinearScore) -> None:
        self.candidates, self.linear = candidates, linear
        self._finder = Finder(candidates, linear)

    def measure(self, choice: Blocks) -> float:
        return float(self.linear.terms.at(choice))

    def best(self, budget: Budget, top: int) -> list[Blocks]:
        return [found.choice for found in self._finder.best(Rules(budget), top)]

    def better(self, budget: Budget, values: Sequence[float]) -> tuple[NDArray[np.int64], int]:
        return better(self.candidates, self.linear, budget, np.maximum(values, _NOTHING).astype(np.int64))


class Listed:
    """A score known of every choice: `values` has an axis a stage, -inf where there is no score."""

    def __init__(self, candidates: Candidates, values: NDArray[np.float64]) -> None:
        self.candidates, self.values = candidates, values
        choices = candidates.every()
        self._finder = Finder(candidates, MeasuredScore(choices, values.ravel()))
        choices = choices[candidates.allowed(choices, _MIN_MODELS)]
        self._allowed = values[tuple(choices.T)]
        self._costs = candidates.costs(choices)

    def measure(self, choice: Blocks) -> float:
        return float(self.values[choice])

    def best(self, budget: Budget, top: int) -> list[Blocks]:
        return [found.choice for found in self._finder.best(Rules(budget), top)]

    def better(self, budget: Budget, values: Sequence[float]) -> tuple[NDArray[np.int64], int]:
        feasible = self._allowed[_within(budget, *self._costs)]
        return (feasible > np.array(values)[:, None]).sum(axis=1), len(feasible)


@dataclass(frozen=True)
class Quality:
    """Of one search with `scored` scored candidates, over its seeds: rank of the best that it found
    (1: the optimum), how many of the true top 20 it found, and how often the optimum."""

    scored: int
    feasible: int
    mean_rank: float
    median_rank: float
    top20: float
    optimum: float


def quality(
    landscape: Landscape, budget: Budget, search: Search, counts: Sequence[int], seeds: int
) -> list[Quality]:
    """One row for each of `counts`; a search of more begins as a search of fewer."""
    runs = []
    for seed in range(seeds):
        scored = Scored(landscape.candidates, budget, landscape.measure, max(counts))
        search(scored, np.random.default_rng(seed))
        runs.append(scored.values)
    return [ranked(landscape, budget, [dict(islice(run.items(), count)) for run in runs]) for count in counts]


def proposals(landscape: Landscape, budget: Budget, count: int, seeds: int) -> Quality:
    """Of the product's own proposals, for this budget alone. What they score outside of it counts, too."""

    def measure(choices: list[Blocks]) -> list[float]:
        return [landscape.measure(choice) for choice in choices]

    runs = [propose(landscape.candidates, measure, count, seed, [Rules(budget)]) for seed in range(seeds)]
    return ranked(landscape, budget, runs)


def ranked(landscape: Landscape, budget: Budget, runs: Sequence[Mapping[Blocks, float]]) -> Quality:
    """What the candidates that each of `runs` scored are worth."""
    top = set(landscape.best(budget, 20))
    best, found = [], []
    for run in runs:
        scored = Scored(landscape.candidates, budget, landscape.measure, len(run))
        kept = scored.feasible(np.array(list(run), np.int64))
        best.append(
            max((value for value, fits in zip(run.values(), kept, strict=True) if fits), default=-np.inf)
        )
        found.append(len(top & run.keys()))
    before, feasible = landscape.better(budget, best)
    return Quality(
        scored=round(float(np.mean([len(run) for run in runs]))),
        feasible=feasible,
        mean_rank=float((before + 1).mean()),
        median_rank=float(np.median(before + 1)),
        top20=float(np.mean(found)),
        optimum=float(np.mean(before == 0)),
    )


def official_search(scored: Scored, rng: np.random.Generator) -> None:
    """Trials until `scored` is full, or no candidate is new in many trials."""
    k, n = scored.candidates.k, len(scored.candidates.models)
    blocks = [(stage, model) for stage in range(k) for model in range(n)]
    idle = 0
    while not scored.full and idle < _IDLE:
        known = len(scored.values)
        _trial(scored, [blocks[i] for i in rng.permutation(len(blocks))])
        idle = idle + 1 if len(scored.values) == known else 0


def _trial(scored: Scored, blocks: Iterable[tuple[int, int]]) -> None:
    set_of = scored.candidates.set_of
    chosen: dict[int, int] = {}
    best = -np.inf
    for stage, model in blocks:
        clash = {at for at, other in chosen.items() if set_of[at, other] == set_of[stage, model]} | {stage}
        tried = {at: other for at, other in chosen.items() if at not in clash} | {stage: model}
        grows = len(tried) > len(chosen)
        if len(tried) == scored.candidates.k:
            choice = tuple(tried[at] for at in range(len(tried)))
            if scored.feasible(np.array([choice], np.int64))[0]:
                value = scored(choice)
                if value > best:
                    chosen, best = tried, value
                if scored.full:
                    return
        if grows:
            chosen = tried


def random_search(scored: Scored, rng: np.random.Generator) -> None:
    """Distinct feasible candidates, each as likely, until `scored` is full or chance gives no new ones."""
    k, n = scored.candidates.k, len(scored.candidates.models)
    idle = 0
    while not scored.full and idle < _IDLE:
        known = len(scored.values)
        drawn = rng.integers(0, n, (_DRAWN, k))
        for choice in drawn[scored.feasible(drawn)].tolist():
            scored(tuple(choice))
            if scored.full:
                return
        idle = idle + 1 if len(scored.values) == known else 0


def better(
    candidates: Candidates, linear: LinearScore, budget: Budget, quanta: NDArray[np.int64]
) -> tuple[NDArray[np.int64], int]:
    """How many feasible candidates score more than each of `quanta` (S,), and how many there are.

    All are counted, none by a bound: first halves of a hybrid beside second halves. Stage k must be set k.
    """
    measures = [linear.terms, candidates.params, candidates.macs]
    order = np.argsort(quanta, kind="stable")
    levels, counts, total = quanta[order], np.zeros(len(quanta), np.int64), 0
    k, n = candidates.k, len(candidates.models)
    first = _halves(measures, 0, k // 2, n)
    second = _halves(measures, k // 2, k, n)
    for i in range(n):
        for j in range(n):
            score, params, macs = (
                left[..., i].reshape(-1, 1) + terms.pair[k // 2 - 1, i, j] + right[j].reshape(1, -1)
                for left, right, terms in zip(first, second, measures, strict=True)
            )
            score = score[_within(budget, params, macs)]
            total += len(score)
            counts += _above(score, levels)
    alone = np.tile(np.arange(n)[:, None], k)
    score = linear.quanta(alone)[_within(budget, *candidates.costs(alone))]
    counts -= _above(score, levels)
    result = np.empty_like(counts)
    result[order] = counts
    return result, total - len(score)


def _within(budget: Budget, params: NDArray[np.int64], macs: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which costs `budget`, which has no minima, allows."""
    most = np.iinfo(np.int64).max
    kept = params <= (most if budget.max_params is None else budget.max_params)
    return kept & (macs <= (most if budget.max_macs is None else budget.max_macs))


def _above(score: NDArray[np.int64], levels: NDArray[np.int64]) -> NDArray[np.int64]:
    """How many of `score` exceed each of `levels`, which ascend."""
    passed = np.bincount(np.searchsorted(levels, score), minlength=len(levels) + 1)
    return passed[::-1].cumsum()[::-1][1:]


def _halves(measures: list, start: int, end: int, n: int) -> list[NDArray[np.int64]]:
    """Each measure of every choice of stages `start` to `end`: an axis a stage."""
    halves = []
    for terms in measures:
        total = np.zeros((n,) * (end - start), np.int64)
        for stage in range(start, end):
            shape = np.ones(end - start, int)
            shape[stage - start] = n
            total = total + terms.block[stage].reshape(shape)
            if stage + 1 < end:
                shape[stage - start + 1] = n
                total = total + terms.pair[stage].reshape(shape)
        halves.append(total)
    return halves
