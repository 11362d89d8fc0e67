from collections import Counter
from collections.abc import Callable

import numpy as np

from dery_core.reassembly import Budget, Candidates
from dery_core.scoring import propose, sampled
from dery_core.scoring.proposals import allowed_choices, allowed_count, budget_grid
from dery_core.search import LinearScore, Rules

Choice = tuple[int, ...]


class Landscape:
    """A score of every candidate: linear terms and noise. Counts who is asked for what."""

    def __init__(self, candidates: Candidates, linear: LinearScore, noise: float = 0.0) -> None:
        self.choices = allowed_choices(candidates)
        values = np.array([linear.predict(choice) for choice in self.choices])
        values = values + noise * np.random.default_rng(9).normal(size=len(values))
        self.values = dict(zip(self.choices, values.tolist(), strict=True))
        self.asked: list[list[Choice]] = []

    def __call__(self, choices: list[Choice]) -> list[float]:
        self.asked.append(choices)
        return [self.values[choice] for choice in choices]

    @property
    def best(self) -> Choice:
        """Of at least two models."""
        return max((c for c in self.choices if len(set(c)) > 1), key=self.values.__getitem__)


def test_as_many_are_measured_as_were_asked_for_each_once_and_in_sorted_rounds(
    random_candidates: Callable[..., Candidates], random_linear: Callable[..., LinearScore]
) -> None:
    candidates = random_candidates(0, n=6, k=4)
    landscape = Landscape(candidates, random_linear(0, n=6, k=4))
    found = propose(candidates, landscape, 100, seed=1)
    asked = [choice for choices in landscape.asked for choice in choices]
    assert len(found) == len(asked) == len(set(asked)) == 100
    assert len(landscape.asked) > 3
    assert all(choices == sorted(choices) for choices in landscape.asked)
    assert found == {choice: landscape.values[choice] for choice in asked}


def test_proposals_find_what_a_sample_does_not(
    random_candidates: Callable[..., Candidates], random_linear: Callable[..., LinearScore]
) -> None:
    candidates = random_candidates(1, n=7, k=4)
    landscape = Landscape(candidates, random_linear(1, n=7, k=4), noise=1.0)
    assert landscape.best in propose(candidates, landscape, 200, seed=0)
    assert landscape.best not in sampled(candidates, 200, seed=0)


def test_proposals_keep_to_the_rules_they_are_given(
    random_candidates: Callable[..., Candidates], random_linear: Callable[..., LinearScore]
) -> None:
    candidates = random_candidates(2, n=6, k=4)
    landscape = Landscape(candidates, random_linear(2, n=6, k=4))
    costs = candidates.costs(np.array(landscape.choices))
    budget = Budget(*np.quantile(costs, 0.2, axis=1).astype(int).tolist())
    propose(candidates, landscape, 100, seed=0, rules=[Rules(budget)])
    first, *rounds = [
        [budget.allows(*candidates.cost(choice)) for choice in choices] for choices in landscape.asked
    ]
    # A round has two at random among ten.
    assert np.mean(first) < 0.3
    assert all(sum(kept) >= 8 for kept in rounds[:2])


def test_the_same_seed_measures_the_same_and_another_does_not(
    random_candidates: Callable[..., Candidates], random_linear: Callable[..., LinearScore]
) -> None:
    candidates = random_candidates(3, n=5, k=4)
    landscape = Landscape(candidates, random_linear(3, n=5, k=4), noise=1.0)
    assert propose(candidates, landscape, 60, seed=0) == propose(candidates, landscape, 60, seed=0)
    assert propose(candidates, landscape, 60, seed=0) != propose(candidates, landscape, 60, seed=1)


def test_candidates_that_can_not_be_scored_do_not_stop_the_search(
    random_candidates: Callable[..., Candidates], random_linear: Callable[..., LinearScore]
) -> None:
    candidates = random_candidates(4, n=5, k=3)
    landscape = Landscape(candidates, random_linear(4))
    landscape.values |= {choice: float("-inf") for choice in landscape.choices if choice[0] == 0}
    assert len(propose(candidates, landscape, 60, seed=0)) == 60
    landscape.values = dict.fromkeys(landscape.choices, float("-inf"))
    assert len(propose(candidates, landscape, 60, seed=0)) == 60


def test_a_zoo_with_few_candidates_is_measured_whole(
    random_candidates: Callable[..., Candidates], random_linear: Callable[..., LinearScore]
) -> None:
    candidates = random_candidates(5, n=3, k=2)
    landscape = Landscape(candidates, random_linear(5, n=3, k=2))
    assert sorted(propose(candidates, landscape, 50)) == landscape.choices


def test_default_budgets_go_from_tight_to_none(random_candidates: Callable[..., Candidates]) -> None:
    candidates = random_candidates(6, n=6, k=4)
    params, macs = candidates.costs(np.array(allowed_choices(candidates)))
    shares = [
        np.mean((params <= (r.budget.max_params or np.inf)) & (macs <= (r.budget.max_macs or np.inf)))
        for r in budget_grid(candidates)
    ]
    assert min(shares) < 0.25
    assert max(shares) == 1


def test_allowed_choices_are_those_that_keep_to_the_sets(
    random_candidates: Callable[..., Candidates],
) -> None:
    for shuffled in (False, True):
        candidates = random_candidates(7, n=5, k=3, shuffled=shuffled)
        every = candidates.every()
        allowed = [tuple(choice) for choice in every[candidates.allowed(every)].tolist()]
        assert allowed_choices(candidates) == allowed
        assert allowed_count(candidates) == len(allowed)


def test_sample_holds_own_chains_and_each_block_about_equally_often(
    random_candidates: Callable[..., Candidates],
) -> None:
    candidates = random_candidates(0, n=8, k=4)
    choices = sampled(candidates, 200, seed=0)
    assert len(choices) == len(set(choices)) == 200
    assert {(i,) * 4 for i in range(8)} <= set(choices)
    for k in range(4):
        counts = Counter(choice[k] for choice in choices)
        assert max(counts[i] for i in range(8)) - min(counts[i] for i in range(8)) <= 2
    assert choices == sampled(candidates, 200, seed=0)
    assert choices != sampled(candidates, 200, seed=1)


def test_a_sample_smaller_than_the_zoo_holds_hybrids_too(
    random_candidates: Callable[..., Candidates],
) -> None:
    found = sampled(random_candidates(0, n=20, k=3), 10, seed=0)
    assert len(found) == 10
    assert sum(len(set(choice)) > 1 for choice in found) >= 5


def test_sample_of_shuffled_sets_keeps_to_them(random_candidates: Callable[..., Candidates]) -> None:
    candidates = random_candidates(1, n=6, k=3, shuffled=True)
    choices = np.array(sampled(candidates, 40, seed=0))
    assert candidates.allowed(choices).all()
