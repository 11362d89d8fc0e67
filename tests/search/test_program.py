from collections.abc import Callable
from functools import partial

import pytest

from dery_core.errors import DeryError
from dery_core.partition import Block
from dery_core.reassembly import BlockFacts, Budget, Candidates, Choice
from dery_core.search import LinearScore, Program
from dery_core.search.brute import enumerate_best
from dery_core.zoo import Layout

Make = Callable[..., Candidates]
MakeLinear = Callable[..., LinearScore]
SHARES = [0.05, 0.2, 0.5, 0.8, 1.0]


def budgets(program: Program) -> list[Budget]:
    ends = program.extremes()
    return [
        Budget(
            round(ends.min_params + share * (ends.max_params - ends.min_params)),
            round(ends.min_macs + share * (ends.max_macs - ends.min_macs)),
        )
        for share in SHARES
    ]


def answer(search: Callable[[Budget], list[Choice]], budget: Budget) -> list[Choice] | str:
    """What a search finds within a budget, or the sentence of its error."""
    try:
        return search(budget)
    except DeryError as error:
        return str(error)


@pytest.mark.parametrize("min_models", [1, 2, 3])
@pytest.mark.parametrize("shuffled", [False, True])
@pytest.mark.parametrize("seed", range(3))
def test_program_equals_brute_force(
    random_candidates: Make, random_linear: MakeLinear, seed: int, shuffled: bool, min_models: int
) -> None:
    candidates, linear = random_candidates(seed, shuffled=shuffled), random_linear(seed)
    program = Program(candidates, linear, min_models)
    oracle = partial(enumerate_best, candidates, linear, top=4, min_models=min_models)
    for budget in budgets(program):
        assert answer(partial(program.best, top=4), budget) == answer(oracle, budget)


@pytest.mark.parametrize("seed", range(6))
def test_ties_come_in_the_order_of_macs_params_choice(
    random_candidates: Make, random_linear: MakeLinear, seed: int
) -> None:
    candidates, linear = random_candidates(seed, n=4), random_linear(seed, n=4, coarse=True)
    best = Program(candidates, linear).best(Budget(), top=12)
    assert best == enumerate_best(candidates, linear, Budget(), top=12)
    # Otherwise nothing was tied and the test shows nothing.
    assert len({choice.predicted for choice in best}) < len(best)


def test_ties_of_twins_come_in_the_order_of_the_choice(random_candidates: Make) -> None:
    one = random_candidates(0, n=1)
    twins = Candidates(("a", "b"), one.blocks * 2, one.sets * 2, one.num_classes)
    linear = LinearScore(0.0, ((0.0, 0.0),) * 3)
    best = Program(twins, linear).best(Budget(), top=6)
    assert best == enumerate_best(twins, linear, Budget(), top=6)
    # Six hybrids: fewest MACs first, and each pair of twins by its choice.
    assert [choice.macs for choice in best] == sorted(choice.macs for choice in best)
    assert best[0].choice < best[1].choice


def test_a_budget_met_exactly_is_kept(random_candidates: Make, random_linear: MakeLinear) -> None:
    candidates, linear = random_candidates(1), random_linear(1)
    program = Program(candidates, linear)
    best = program.best(Budget())[0]
    assert program.best(Budget(best.params, best.macs))[0] == best
    assert best not in program.best(Budget(max_params=best.params - 1))
    assert best not in program.best(Budget(max_macs=best.macs - 1))


def test_fewer_candidates_than_asked_for_are_all_given(
    random_candidates: Make, random_linear: MakeLinear
) -> None:
    candidates, linear = random_candidates(2, n=2), random_linear(2, n=2)
    # 2³ choices less the two that take every block from one model.
    assert len(Program(candidates, linear).best(Budget(), top=50)) == 6


def test_every_hybrid_has_enough_sources(random_candidates: Make, random_linear: MakeLinear) -> None:
    candidates, linear = random_candidates(3), random_linear(3)
    for least in (1, 2, 3):
        for choice in Program(candidates, linear, least).best(Budget(), top=5):
            assert len(set(choice.choice)) >= least


def test_the_same_question_has_the_same_answer(random_candidates: Make, random_linear: MakeLinear) -> None:
    candidates, linear = random_candidates(4), random_linear(4)
    program = Program(candidates, linear)
    first = [answer(program.best, budget) for budget in budgets(program)]
    again = [answer(program.best, budget) for budget in reversed(budgets(program))]
    assert first == again[::-1]


def test_extremes_are_those_of_all_candidates(random_candidates: Make) -> None:
    candidates = random_candidates(5)
    choices = candidates.every()
    params, macs = candidates.costs(choices[candidates.allowed(choices, 2)])
    ends = Program(candidates).extremes()
    found = (ends.min_params, ends.max_params, ends.min_macs, ends.max_macs)
    assert found == (params.min(), params.max(), macs.min(), macs.max())


def test_a_budget_below_the_smallest_names_the_smallest(
    random_candidates: Make, random_linear: MakeLinear
) -> None:
    candidates, linear = random_candidates(6), random_linear(6)
    program = Program(candidates, linear)
    smallest = program.smallest("params", Budget())
    assert smallest is not None
    with pytest.raises(DeryError, match=f"the smallest has {smallest.params:,} params and {smallest.macs:,}"):
        program.best(Budget(max_params=smallest.params - 1))
    # One more parameter would have been enough.
    assert program.best(Budget(max_params=smallest.params))[0].params == smallest.params


def test_limits_that_fit_alone_but_not_together_say_so(
    random_candidates: Make, random_linear: MakeLinear
) -> None:
    candidates, linear = random_candidates(7), random_linear(7)
    program = Program(candidates, linear)
    ends = program.extremes()
    budget = Budget(ends.min_params, ends.min_macs)
    least = program.smallest("macs", Budget(max_params=ends.min_params))
    assert least is not None
    with pytest.raises(DeryError, match=f"together.*the smallest needs {least.macs:,} MACs"):
        program.best(budget)


def test_more_sources_than_stages_is_a_sentence(random_candidates: Make) -> None:
    with pytest.raises(DeryError, match="at least 4 networks is impossible"):
        Program(random_candidates(0), min_models=4)


def test_sets_that_no_choice_covers_are_a_sentence(
    random_candidates: Make, random_linear: MakeLinear
) -> None:
    plain = random_candidates(0, n=2)
    # Both networks keep stages 0 and 1 in set 0, so set 1 is always empty.
    broken = Candidates(plain.models, plain.blocks, ((0, 0, 2), (0, 0, 2)), plain.num_classes)
    for search in (
        lambda: Program(broken, random_linear(0, n=2)).best(Budget()),
        lambda: enumerate_best(broken, random_linear(0, n=2), Budget()),
    ):
        with pytest.raises(DeryError, match="every equivalence set"):
            search()


def test_big_networks_keep_the_budget_to_the_last_unit() -> None:
    layout = Layout("map", 8, 1, 1)
    blocks = tuple(
        tuple(
            BlockFacts(Block(name, k, k), "n", "n", 10, 2_000_000_000 + extra, layout, layout)
            for k in range(2)
        )
        for name, extra in (("light", 0), ("heavy", 1))
    )
    candidates = Candidates(("light", "heavy"), blocks, ((0, 1), (0, 1)), num_classes=2)
    program = Program(candidates, LinearScore(0.0, ((0.0, 2.0), (0.0, 1.0))))
    best = program.best(Budget())[0]
    # Both hybrids have the same MACs, one more than two light blocks with the same seam.
    assert best.choice == (1, 0)
    assert program.best(Budget(max_macs=best.macs))[0] == best
    with pytest.raises(DeryError, match=f"the smallest has .* and {best.macs:,} MACs"):
        program.best(Budget(max_macs=best.macs - 1))
