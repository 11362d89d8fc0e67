"""Reassembly under a budget: the paper's section 3.3 in one call."""

import dataclasses

from dery_core.reassembly.candidates import Candidates
from dery_core.reassembly.value import Budget, Choice
from dery_core.scoring.scores import Scores
from dery_core.search.brute import enumerate_best
from dery_core.search.order import Extremes
from dery_core.search.program import Program


def reassemble(
    candidates: Candidates, scores: Scores, budget: Budget, top: int = 1, min_models: int = 2
) -> list[Choice]:
    """The `top` candidates of best predicted score within `budget`, by the 0-1 program (eq. 8 to 11).

    Blocks come from at least `min_models` models. Equal scores are ordered by fewer MACs, then fewer
    params, then model indices. DeryError that names the smallest hybrids when none fits.
    """
    found = Program(candidates, scores.linear, min_models).best(budget, top)
    return [_with_measured(choice, scores) for choice in found]


def brute_force(
    candidates: Candidates, scores: Scores, budget: Budget, top: int = 1, min_models: int = 2
) -> list[Choice]:
    """What `reassemble` answers, by trying every candidate: its test oracle."""
    found = enumerate_best(candidates, scores.linear, budget, top, min_models)
    return [_with_measured(choice, scores) for choice in found]


def extremes(candidates: Candidates, min_models: int = 2) -> Extremes:
    """Smallest and largest params and MACs of any hybrid: the ends of the budget sliders."""
    return Program(candidates, min_models=min_models).extremes()


def _with_measured(choice: Choice, scores: Scores) -> Choice:
    return dataclasses.replace(choice, measured=scores.score(choice.choice))
