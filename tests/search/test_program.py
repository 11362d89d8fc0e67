"""The 0-1 program, the finder and brute force: three ways to the same hybrids."""

from collections.abc import Callable
from dataclasses import replace
from typing import Literal

import numpy as np
import pytest

from dery_core.errors import DeryError
from dery_core.reassembly import Budget, Candidates, Choice
from dery_core.search import Finder, LinearScore, Program, Rules
from dery_core.search.brute import enumerate_best
from tests.search.conftest import fitting, random_budget, rules_of_every_kind

Make = Callable[..., Candidates]
MakeLinear = Callable[..., LinearScore]


def found(finder: Finder, rules: Rules, top: int) -> list[Choice]:
    """The best, none when the finder says that there is none."""
    try:
        return finder.best(rules, top)
    except DeryError:
        return []


@pytest.mark.parametrize(("n", "k", "shuffled"), [(16, 3, False), (8, 4, False), (5, 5, True)])
def test_program_finder_and_brute_force_agree_at_ten_budgets_under_all_rules(
    random_candidates: Make, random_linear: MakeLinear, n: int, k: int, shuffled: bool
) -> None:
    candidates, linear = random_candidates(n, n=n, k=k, shuffled=shuffled), random_linear(n, n=n, k=k)
    program, finder, random = (
        Program(candidates, linear),
        Finder(candidates, linear),
        np.random.default_rng(n),
    )
    fitted = 0
    for turn, rules in enumerate(rules_of_every_kind(k)):
        every = enumerate_best(candidates, linear, rules)
        budget = random_budget(random, every, minima=turn % 3 == 2) if every else Budget()
        limited = replace(rules, budget=budget)
        wanted = fitting(every, budget)[:1]
        fitted += len(wanted)
        assert program.best(limited) == wanted
        assert found(finder, limited, 1) == wanted
    assert fitted >= 5


@pytest.mark.parametrize("backend", ["HIGHS", "CBC"])
@pytest.mark.parametrize("seed", range(2))
def test_both_solvers_put_ties_in_the_order_of_macs_params_choice(
    random_candidates: Make, random_linear: MakeLinear, seed: int, backend: Literal["HIGHS", "CBC"]
) -> None:
    candidates, linear = random_candidates(seed, n=4), random_linear(seed, n=4, coarse=True)
    best = Program(candidates, linear, backend).best(Rules(), top=6)
    assert best == enumerate_best(candidates, linear, Rules(), top=6)
    # Otherwise nothing was tied and the test shows nothing.
    assert len({choice.predicted for choice in best}) < len(best)


def test_cbc_finds_what_highs_finds_under_every_rule(
    random_candidates: Make, random_linear: MakeLinear
) -> None:
    candidates, linear = random_candidates(5, n=6), random_linear(5, n=6)
    random = np.random.default_rng(5)
    for rules in rules_of_every_kind(3):
        every = enumerate_best(candidates, linear, rules)
        limited = replace(rules, budget=random_budget(random, every, minima=True)) if every else rules
        answers = [Program(candidates, linear, backend).best(limited) for backend in ("HIGHS", "CBC")]
        assert answers[0] == answers[1] == fitting(every, limited.budget)[:1]


def test_a_stopped_solve_is_no_answer(random_candidates: Make, random_linear: MakeLinear) -> None:
    program = Program(random_candidates(1, n=30, k=4), random_linear(1, n=30, k=4), seconds=0.0)
    with pytest.raises(TimeoutError, match="HIGHS"):
        program.best(Rules(Budget(max_macs=6_000_000)))
