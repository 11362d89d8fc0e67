"""The tiny zoo that these tests share with their neighbours, and rules of every kind."""

import numpy as np

from dery_core.reassembly import Budget, Candidates, Choice
from dery_core.search import Rules
from tests.tiny_zoo import (  # noqa: F401
    benchmark,
    cut_once,
    partition,
    priced,
    probe,
    random_candidates,
    random_linear,
    zoo,
)


def rules_of_every_kind(k: int) -> list[Rules]:
    """Ten sets of side constraints for networks m0, m1, ... in `k` stages."""
    return [
        Rules(),
        Rules(min_models=1),
        Rules(min_models=3),
        Rules(max_models=2),
        Rules(min_models=3, max_models=3, cnn_first=True),
        Rules(forbidden_models=("m1", "m3")),
        Rules(required_models=("m0", "m4")),
        Rules(forbidden_blocks=tuple((f"m{i}", i % k) for i in range(5))),
        Rules(required_blocks=(("m2", 1),), cnn_first=True),
        Rules(required_models=("m2",), forbidden_blocks=(("m0", 0),), required_blocks=(("m1", k - 1),)),
    ]


def random_budget(random: np.random.Generator, among: list[Choice], minima: bool) -> Budget:
    """Limits at quantiles of `among`; one side may have none, and `minima` may contradict nothing."""

    def limits(values: list[int]) -> tuple[int | None, int | None]:
        high = random.random() ** 1.5
        most = int(np.quantile(values, high)) if random.random() < 0.85 else None
        least = int(np.quantile(values, high * random.random() * 0.8)) if minima else None
        return most, least

    params, macs = limits([each.params for each in among]), limits([each.macs for each in among])
    return Budget(params[0], macs[0], params[1], macs[1])


def fitting(among: list[Choice], budget: Budget) -> list[Choice]:
    return [each for each in among if budget.allows(each.params, each.macs)]


def every_measured(candidates: Candidates, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Four fifths of all choices with rounded scores, so that many tie; some can't be scored."""
    random = np.random.default_rng(seed)
    choices = candidates.every()
    choices = choices[random.random(len(choices)) < 0.8]
    values = np.round(random.normal(size=len(choices)), 1)
    values[random.random(len(values)) < 0.05] = -np.inf
    return choices, values
