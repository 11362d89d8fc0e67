"""What benchmarks/reassembly.py measures the searches by: who may be scored, and which rank it has."""

from collections.abc import Callable

import numpy as np
import pytest

from benchmarks.reassembly_quality import Scored, Search, better, official_search, random_search
from dery_core.reassembly import Budget, Candidates
from dery_core.search import LinearScore


@pytest.fixture(params=[False, True], ids=["staged", "any set"])
def candidates(request: pytest.FixtureRequest, random_candidates: Callable[..., Candidates]) -> Candidates:
    return random_candidates(1, n=6, k=4, shuffled=request.param)


def median_budget(candidates: Candidates) -> Budget:
    choices = candidates.every()
    choices = choices[candidates.allowed(choices)]
    return Budget(*(int(np.median(costs)) for costs in candidates.costs(choices)))


@pytest.mark.parametrize("search", [official_search, random_search])
def test_a_search_scores_hybrids_of_one_block_a_set_within_the_budget(
    search: Search, candidates: Candidates
) -> None:
    budget = median_budget(candidates)
    scored = Scored(candidates, budget, measure=sum, most=10)
    search(scored, np.random.default_rng(0))
    choices = np.array(list(scored.values))
    assert len(choices) == 10
    assert candidates.allowed(choices, min_models=2).all()
    assert all(budget.allows(*candidates.cost(choice)) for choice in choices.tolist())


def test_the_official_style_search_finds_the_best_of_a_score_of_single_blocks(
    random_candidates: Callable[..., Candidates],
) -> None:
    scored = Scored(random_candidates(1, n=6, k=4), Budget(), measure=_of_blocks, most=300)
    official_search(scored, np.random.default_rng(0))
    assert max(scored.values.values()) == _of_blocks((5, 5, 5, 4))


def _of_blocks(choice: tuple[int, ...]) -> float:
    return float(sum(choice))


@pytest.mark.parametrize("k", [2, 3, 4])
def test_the_counted_rank_is_the_rank_among_all(
    k: int, random_candidates: Callable[..., Candidates], random_linear: Callable[..., LinearScore]
) -> None:
    candidates, linear = random_candidates(2, n=5, k=k), random_linear(2, n=5, k=k, coarse=True)
    budget = median_budget(candidates)
    choices = candidates.every()
    fits = [budget.allows(*candidates.cost(choice)) for choice in choices.tolist()]
    quanta = linear.quanta(choices[candidates.allowed(choices, min_models=2) & np.array(fits)])
    levels = np.concatenate([np.random.default_rng(0).permutation(quanta), [quanta.min() - 1]])
    above, count = better(candidates, linear, budget, levels)
    assert count == len(quanta)
    assert above.tolist() == [(quanta > level).sum() for level in levels]
