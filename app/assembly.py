"""`Assembly`: all hybrids of a partition with their costs and scores, ready for the sliders."""

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import pandas as pd

from app.components.score_text import written
from dery_core.errors import DeryError
from dery_core.reassembly import Budget, Candidates, Choice, HybridRow, HybridSpec, hybrid_table
from dery_core.scoring import SCORES, Score, Scores
from dery_core.search import Extremes, Finder, LinearScore, Nearest, Objective, Rules
from dery_core.search.rules import space
from dery_core.search.table import containing
from dery_core.units import quantity
from dery_core.zoo import Zoo

# More points than this can't be told apart in the plane, and every drag draws them again.
DRAWN = 700
# More points of a front are one line.
FRONT_DRAWN = 400
LISTED = 50_000
LIMITS = 200


@dataclass(frozen=True, eq=False)
class Assembly:
    """Made once a partition and score; `best` answers within a slider's drag.

    `cloud` has the columns macs, params, score and choice (as `written_choice` gives it), one line a hybrid
    of at least two networks, an even sample of all; `members` macs, params, score and name: whole networks
    with a new head, as far as the score is known of them.
    """

    zoo: Zoo
    candidates: Candidates
    scores: Scores
    finder: Finder
    extremes: Extremes
    cloud: pd.DataFrame
    members: pd.DataFrame

    @classmethod
    def build(cls, zoo: Zoo, candidates: Candidates, scores: Scores) -> "Assembly":
        finder = Finder(candidates, scores.objective)
        # The first question makes what all later ones look up.
        finder.front(Rules())
        extremes = finder.extremes(Rules())
        cloud = _cloud(candidates, scores.objective)
        return cls(zoo, candidates, scores, finder, extremes, cloud, _members(candidates, scores))

    @property
    def score(self) -> Score:
        """The score that the hybrids are ranked by."""
        return SCORES[self.scores.name]

    @property
    def known(self) -> bool:
        """Whether every hybrid's score is known, not predicted."""
        return self.scores.complete or self.scores.exact

    @property
    def title(self) -> str:
        """What its values are called: the score's name, and whether they are measured or predicted."""
        if self.scores.exact:
            return self.score.title
        return f"{self.score.title}, {'measured' if self.known else 'predicted'}"

    def best(self, rules: Rules) -> Choice:
        """The hybrid with the highest score under `rules`; DeryError when none keeps them."""
        return self._told(self.finder.best(rules)[0])

    def shown(self, rules: Rules, chosen: Sequence[int] | None) -> Choice:
        """The hybrid a visitor `chosen`, the best under `rules` where that is none."""
        return self.best(rules) if chosen is None else self.priced(chosen)

    def priced(self, choice: Sequence[int]) -> Choice:
        """A hybrid with its costs and its score; DeryError when it isn't one of the candidates."""
        one = np.array([choice])
        if not self.candidates.allowed(one)[0]:
            raise DeryError("this hybrid takes two blocks of one set: choose another.")
        score = float(scored(self.scores.objective, one)[0])
        return self._told(Choice(tuple(choice), *self.candidates.cost(choice), score))

    def keeps(self, hybrid: Choice, rules: Rules) -> bool:
        """Whether a hybrid keeps `rules`, their budget included."""
        within = rules.budget.allows(hybrid.params, hybrid.macs)
        return within and bool(space(self.candidates, rules).allowed(np.array([hybrid.choice]))[0])

    def rival(self, hybrid: Choice, budget: Budget) -> tuple[str, float] | None:
        """The whole network within `budget` that scores highest, and its score, where that is above the
        hybrid's; None for #params and #MACs, which say nothing about who is better."""
        if self.scores.exact:
            return None
        mine = hybrid.predicted if hybrid.measured is None else hybrid.measured
        rows = self.members[[budget.allows(p, m) for p, m in self.members[["params", "macs"]].to_numpy()]]
        rows = rows[rows["score"] > mine].sort_values("score")
        return None if rows.empty else (str(rows.iloc[-1]["name"]), float(rows.iloc[-1]["score"]))

    def _told(self, choice: Choice) -> Choice:
        return dataclasses.replace(choice, measured=self.scores.score(choice.choice))

    def nearest(self, rules: Rules) -> Nearest | None:
        """The nearest budget that can be kept; None where rules, not the budget, leave no hybrid."""
        try:
            return self.finder.nearest(rules)
        except DeryError:
            return None

    def front(self, rules: Rules) -> pd.DataFrame:
        """The front under `rules` without their budget, in order of MACs: macs, params, score; and choice and
        label of those that are drawn, of a long front an even part (an empty label for the others)."""
        return _front(self, rules.unlimited)

    def spec(self, hybrid: Choice) -> HybridSpec:
        return self.candidates.spec(self.zoo, hybrid.choice, score=hybrid.predicted)

    def sets(self, hybrid: Choice) -> tuple[int, ...]:
        """The equivalence set of each stage's block, from 0."""
        return tuple(self.candidates.sets[model][stage] for stage, model in enumerate(hybrid.choice))

    def rows(self, spec: HybridSpec) -> list[HybridRow]:
        """The hybrid stage by stage, with what each seam bridges."""
        return hybrid_table(spec, None, self.candidates)


@lru_cache(maxsize=8)
def _front(assembly: Assembly, rules: Rules) -> pd.DataFrame:
    try:
        front = assembly.finder.front(rules)
    except DeryError:
        return pd.DataFrame(columns=["macs", "params", "score", "choice", "label"])
    points = pd.DataFrame({"macs": front.macs, "params": front.params, "score": front.score})
    points["choice"] = [written_choice(choice) for choice in front.choices]
    points["label"] = ""
    names = np.array(assembly.candidates.models)
    for i in np.unique(np.linspace(0, len(points) - 1, min(len(points), FRONT_DRAWN)).round().astype(int)):
        costs = f"{quantity(front.params[i])} params · {quantity(front.macs[i])} MACs"
        chain = "<br>".join(names[front.choices[i]])
        points.loc[i, "label"] = f"{chain}<br>{costs} · score {written(front.score[i])}"
    return points


def written_choice(choice: Sequence[int]) -> str:
    """A choice in a word, as addresses and figures hold it: "1-3-3-2", the network of every block by its
    place among the partition's, from 1."""
    return "-".join(str(model + 1) for model in choice)


def read_choice(word: str) -> tuple[int, ...]:
    """The choice of a word; ValueError when it is none."""
    choice = tuple(int(part) - 1 for part in word.split("-"))
    if min(choice) < 0:
        raise ValueError(word)
    return choice


def budget_limits(low: int, high: int) -> list[int]:
    """Limits from `low` to at least `high`, in the three digits that are shown."""
    steps = (low + (high - low) * step / LIMITS for step in range(LIMITS + 1))
    return sorted({_three_digits_up(limit) for limit in steps})


def rounded_up(budget: Budget) -> Budget:
    """`budget` with its limits in the three digits that sliders show; minima stay."""

    def up(limit: int | None) -> int | None:
        return None if limit is None else _three_digits_up(limit)

    return dataclasses.replace(budget, max_params=up(budget.max_params), max_macs=up(budget.max_macs))


def reaching(budget: Budget, hybrid: Choice) -> Budget:
    """`budget` with its limits moved just so far, in three digits, that the hybrid keeps them."""
    return rounded_up(containing(budget, hybrid.params, hybrid.macs))


def _three_digits_up(count: float) -> int:
    unit = 10 ** max(0, math.floor(math.log10(max(count, 1))) - 2)
    return math.ceil(count / unit) * unit


def scored(objective: Objective, choices: np.ndarray) -> np.ndarray:
    """Scores (S,) of `choices` (S, K); -inf where there is none."""
    if isinstance(objective, LinearScore):
        return objective.intercept + objective.quanta(choices) * objective.quantum
    known = dict(zip(map(tuple, objective.choices.tolist()), objective.values.tolist(), strict=True))
    return np.array([known.get(tuple(choice), -math.inf) for choice in choices.tolist()])


def _cloud(candidates: Candidates, objective: Objective) -> pd.DataFrame:
    choices = _listed(candidates)
    choices = choices[candidates.allowed(choices, min_models=2)]
    if len(choices) > DRAWN:
        choices = choices[np.sort(np.random.default_rng(0).choice(len(choices), DRAWN, replace=False))]
    score = scored(objective, choices)
    choices, score = choices[np.isfinite(score)], score[np.isfinite(score)]
    params, macs = candidates.costs(choices)
    words = [written_choice(choice) for choice in choices]
    return pd.DataFrame({"macs": macs, "params": params, "score": score, "choice": words})


def _members(candidates: Candidates, scores: Scores) -> pd.DataFrame:
    whole = np.repeat(np.arange(len(candidates.models))[:, None], candidates.k, axis=1)
    score = np.array([scores.score(choice) for choice in whole.tolist()], float)
    params, macs = candidates.costs(whole)
    lines = pd.DataFrame({"macs": macs, "params": params, "score": score, "name": candidates.models})
    return lines[np.isfinite(lines["score"])]


def _listed(candidates: Candidates) -> np.ndarray:
    """All choices, or an even sample of them where they are too many to list."""
    n = len(candidates.models)
    if n**candidates.k <= LISTED:
        return candidates.every()
    drawn = np.random.default_rng(0).integers(n, size=(LISTED, candidates.k))
    return np.unique(drawn, axis=0)
