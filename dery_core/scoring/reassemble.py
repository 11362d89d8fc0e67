"""Reassembly under a budget: the paper's section 3.3 in one call."""

import dataclasses

from dery_core.reassembly.candidates import Candidates
from dery_core.reassembly.value import Budget, Choice
from dery_core.scoring.scores import Scores
from dery_core.search.finder import Finder
from dery_core.search.rules import Rules


def reassemble(
    candidates: Candidates, scores: Scores, budget: Budget, top: int = 1, min_models: int = 2
) -> list[Choice]:
    """The `top` candidates of best predicted score within `budget`.

    Blocks come from at least `min_models` models. Equal scores are ordered by fewer MACs, then fewer
    params, then model indices. DeryError that names the smallest hybrids when none fits.
    """
    found = Finder(candidates, scores.linear).best(Rules(budget, min_models), top)
    return [dataclasses.replace(choice, measured=scores.score(choice.choice)) for choice in found]
