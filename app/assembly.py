"""`Assembly`: all hybrids of a partition with their costs and scores, ready for the sliders."""

import dataclasses
import math
from dataclasses import dataclass

import numpy as np
import pandas as pd

from dery_core.reassembly import Budget, Candidates, Choice, HybridRow, HybridSpec, hybrid_table
from dery_core.scoring import Scores
from dery_core.search import Extremes, Program, pareto_front
from dery_core.units import quantity
from dery_core.zoo import Zoo

# More points than this can't be told apart in the plane, and make it slow to draw.
DRAWN = 1500
LISTED = 50_000
LIMITS = 200


@dataclass(frozen=True, eq=False)
class Assembly:
    """Made once a partition; `best` answers within a slider's drag.

    `cloud` and `front` have the columns macs, params, score and label, one line a hybrid of at
    least two models; the front is the best predicted score for its MACs.
    """

    zoo: Zoo
    candidates: Candidates
    scores: Scores
    extremes: Extremes
    cloud: pd.DataFrame
    front: pd.DataFrame
    _program: Program

    @classmethod
    def build(cls, zoo: Zoo, candidates: Candidates, scores: Scores) -> "Assembly":
        program = Program(candidates, scores.linear)
        cloud = _cloud(candidates, scores)
        front = cloud.iloc[pareto_front(cloud["macs"], cloud["score"])]
        # Of the front every point is drawn, of the rest an even sample.
        shown = cloud.sample(min(DRAWN, len(cloud)), random_state=0)
        return cls(zoo, candidates, scores, program.extremes(), shown, front, program)

    def best(self, budget: Budget) -> Choice:
        """The hybrid with the highest predicted score within `budget`; DeryError when none fits."""
        found = self._program.best(budget)[0]
        return dataclasses.replace(found, measured=self.scores.score(found.choice))

    def spec(self, hybrid: Choice) -> HybridSpec:
        return self.candidates.spec(self.zoo, hybrid.choice, score=hybrid.predicted)

    def sets(self, hybrid: Choice) -> tuple[int, ...]:
        """The equivalence set of each stage's block, from 0."""
        return tuple(self.candidates.sets[model][stage] for stage, model in enumerate(hybrid.choice))

    def rows(self, spec: HybridSpec) -> list[HybridRow]:
        """The hybrid stage by stage, with what each seam bridges."""
        return hybrid_table(spec, None, self.candidates)


def budget_limits(low: int, high: int) -> list[int]:
    """Limits from `low` to at least `high`, in the three digits that are shown."""
    steps = (low + (high - low) * step / LIMITS for step in range(LIMITS + 1))
    return sorted({_three_digits_up(limit) for limit in steps})


def _three_digits_up(count: float) -> int:
    unit = 10 ** max(0, math.floor(math.log10(max(count, 1))) - 2)
    return math.ceil(count / unit) * unit


def _cloud(candidates: Candidates, scores: Scores) -> pd.DataFrame:
    choices = _listed(candidates)
    choices = choices[candidates.allowed(choices, min_models=2)]
    params, macs = candidates.costs(choices)
    linear = scores.linear
    score = linear.intercept + linear.quanta(choices) * linear.quantum
    names = np.array(candidates.models)
    labels = [
        f"{'<br>'.join(names[list(choice)])}<br>{quantity(p)} params · {quantity(m)} MACs · score {s:.1f}"
        for choice, p, m, s in zip(choices, params, macs, score, strict=True)
    ]
    return pd.DataFrame({"macs": macs, "params": params, "score": score, "label": labels})


def _listed(candidates: Candidates) -> np.ndarray:
    """All choices, or an even sample of them where they are too many to list."""
    n = len(candidates.models)
    if n**candidates.k <= LISTED:
        return candidates.every()
    drawn = np.random.default_rng(0).integers(n, size=(LISTED, candidates.k))
    return np.unique(drawn, axis=0)
