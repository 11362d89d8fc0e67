from collections.abc import Callable

import pytest

from dery_core.errors import DeryError
from dery_core.reassembly import Budget, Candidates
from dery_core.search import LinearScore, Rules
from dery_core.search.finder import Finder

Make = Callable[..., Candidates]


@pytest.mark.parametrize(
    ("rules", "said"),
    [
        (Rules(min_models=4), "at least 4 networks is impossible with 5 networks cut into 3 blocks"),
        (Rules(min_models=0), "at least 1 network"),
        (Rules(min_models=3, max_models=2), "at least 3 and at most 2 networks contradict"),
        (Rules(forbidden_models=("m9",)), "no network 'm9' in this partition: did you mean 'm"),
        (Rules(required_blocks=(("m1", 3),)), "m1 has no stage 4: its stages are 1 to 3"),
        (Rules(forbidden_blocks=(("m1", -1),)), "m1 has no stage 0"),
        (Rules(forbidden_models=("m1",), required_models=("m1",)), "m1 is both required and forbidden"),
        (Rules(forbidden_models=("m1",), required_blocks=(("m1", 0),)), "m1 is both required and forbidden"),
        (
            Rules(forbidden_blocks=(("m1", 0),), required_blocks=(("m1", 0),)),
            "stage 1 of m1 is both required and forbidden",
        ),
        (Rules(required_blocks=(("m1", 0), ("m2", 0))), "stage 1 can't be both m2's and m1's|m1's and m2's"),
        (Rules(max_models=2, required_models=("m0", "m1", "m2")), "3 networks are required"),
        (
            Rules(forbidden_blocks=tuple((f"m{i}", 1) for i in range(5))),
            "every block of stage 2 is forbidden",
        ),
        (
            Rules(forbidden_models=tuple(f"m{i}" for i in range(5)), min_models=1),
            "every network is forbidden",
        ),
        (
            Rules(required_models=("m1",), forbidden_blocks=tuple(("m1", k) for k in range(3))),
            "m1 is required, but none of its blocks",
        ),
        (Rules(Budget(max_params=5, min_params=6)), "at least 6 and at most 5 params contradict"),
        (Rules(Budget(max_macs=5, min_macs=6)), "at least 6 and at most 5 MACs contradict"),
    ],
)
def test_rules_that_contradict_themselves_are_a_sentence(
    random_candidates: Make, random_linear: Callable[..., LinearScore], rules: Rules, said: str
) -> None:
    finder = Finder(random_candidates(0), random_linear(0))
    for ask in (finder.best, finder.front, finder.extremes, finder.nearest, finder.surprise):
        with pytest.raises(DeryError, match=said):
            ask(rules)


def test_a_budget_without_minima_is_saved_as_before() -> None:
    assert Budget(3, None).to_dict() == {"schema_version": 1, "max_params": 3, "max_macs": None}
    for budget in (Budget(3, None), Budget(3, 5, 1, 2), Budget(min_macs=4)):
        assert Budget.from_dict(budget.to_dict()) == budget


def test_rules_are_saved_and_read_back() -> None:
    rules = Rules(
        Budget(3, min_macs=2), 1, 3, ("a",), ("b",), (("a", 0),), (("b", 1), ("c", 2)), cnn_first=True
    )
    assert Rules.from_dict(rules.to_dict()) == rules
    assert Rules.from_dict({}) == Rules()
