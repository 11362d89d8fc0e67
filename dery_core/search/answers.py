"""What a `Finder` answers, beside choices."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dery_core.reassembly.terms import Choices
from dery_core.reassembly.value import Budget, Choice


@dataclass(frozen=True)
class Extremes:
    """Smallest and largest params and MACs of any hybrid: the ends of the budget sliders."""

    min_params: int
    max_params: int
    min_macs: int
    max_macs: int


@dataclass(frozen=True, eq=False)
class Front:
    """The Pareto front: no other candidate has as much score for as few params and MACs.

    `choices` (F, K), `params`, `macs` and `score` (F,), in order of MACs. Of equal candidates the
    lexicographically smallest stands. `complete` is False where the front is too large to be found
    whole: then these are points of it, each the best within some budget.
    """

    choices: Choices
    params: NDArray[np.int64]
    macs: NDArray[np.int64]
    score: NDArray[np.float64]
    complete: bool = True

    def __len__(self) -> int:
        return len(self.score)


@dataclass(frozen=True)
class Nearest:
    """The feasible budget that is nearest to one that isn't.

    `excess` is the smallest share by which limits must give way (0.1: ten percent), `choice` the best
    hybrid when all give way by it, `budget` the limits given way just as far as that hybrid needs.
    """

    excess: float
    budget: Budget
    choice: Choice


@dataclass(frozen=True)
class Gain:
    """What moving one limit would buy.

    `limit` is a field of `Budget` and `now` its value; `to` the smallest change that allows a better
    hybrid, `choice` the best one then, both None when none is near. `price` is what one param or MAC
    more (of a minimum: less) is worth in score: the linear relaxation's dual.
    """

    limit: str
    now: int
    to: int | None
    choice: Choice | None
    price: float
