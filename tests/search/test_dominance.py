import numpy as np
import pytest

from dery_core.search.dominance import nondominated


@pytest.mark.parametrize("most", [4, 30, 10**9])
@pytest.mark.parametrize("groups", [1, 3])
def test_unbeaten_are_those_that_no_other_of_their_group_beats(most: int, groups: int) -> None:
    for seed in range(12):
        random = np.random.default_rng(seed)
        # From a few points to enough for both bands.
        size = int(random.choice([0, 1, 7, 60, 900]))
        costs = random.integers(-most, most, (3, size))
        group = random.integers(0, groups, size)
        wanted = []
        for i in range(size):
            same = (group == group[i]) & (costs <= costs[:, [i]]).all(axis=0)
            equal = (costs == costs[:, [i]]).all(axis=0)
            if not (same & ~equal).any() and not (same & equal)[:i].any():
                wanted.append(i)
        assert nondominated(costs, group).tolist() == wanted
