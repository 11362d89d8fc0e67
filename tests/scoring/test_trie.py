from collections import Counter
from collections.abc import Sequence
from itertools import product

import pytest

from dery_core.data import Probe
from dery_core.reassembly import Candidates
from dery_core.scoring import FAMILIES, Trie, alone
from dery_core.scoring.trie import Values
from dery_core.zoo import Zoo


class Written:
    """A carrier whose state is the way it came; it counts the steps."""

    def __init__(self) -> None:
        self.steps: Counter[tuple[int, ...]] = Counter()

    def first(self, i: int) -> tuple[int, ...]:
        self.steps[(i,)] += 1
        return (i,)

    def then(self, state: tuple[int, ...], k: int, left: int, right: int) -> tuple[int, ...]:
        assert (len(state), state[-1]) == (k, left)
        self.steps[(*state, right)] += 1
        return (*state, right)

    def values(self, state: tuple[int, ...], choice: Sequence[int]) -> Values:
        assert state == tuple(choice)
        return {"way": float("".join(map(str, state)))}


def test_in_sorted_order_every_common_beginning_runs_once() -> None:
    carrier = Written()
    trie = Trie(carrier)
    choices = list(product(range(3), repeat=4))
    assert [trie.measure(choice)["way"] for choice in choices] == [
        float("".join(map(str, choice))) for choice in choices
    ]
    assert set(carrier.steps.values()) == {1}
    assert len(carrier.steps) == 3 + 9 + 27 + 81


def test_any_order_gives_the_same() -> None:
    trie = Trie(Written())
    choices = [(0, 1, 2), (2, 1, 2), (0, 1, 2), (0, 1, 0), (0, 2, 0), (0, 2, 0)]
    assert [trie.measure(choice) for choice in choices] == [alone(Written(), choice) for choice in choices]


@pytest.mark.parametrize("family", ["naswot", "transfer"])
def test_shared_beginnings_change_no_bit_of_any_score(
    family: str, zoo: Zoo, priced: Candidates, probe: Probe
) -> None:
    measurer = FAMILIES[family].measurer(zoo, priced, probe, 0)
    assert isinstance(measurer, Trie)
    # Some of them share two blocks with the one before, some one, some none.
    choices = [(i, j, k) for i, j in product(range(3), repeat=2) for k in (0, 1 + j % 2)][::2]
    shared = [measurer.measure(choice) for choice in choices]
    for choice, values in zip(choices, shared, strict=True):
        fresh = FAMILIES[family].measurer(zoo, priced, probe, 0)
        assert fresh.measure(choice) == values
    assert len({tuple(values.values()) for values in shared}) == len(shared)
