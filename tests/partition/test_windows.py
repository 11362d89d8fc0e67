import itertools

import numpy as np
import pytest

from dery_core.partition.windows import size_windows, smallest_largest_block, stage_segments


def partitions(cuts: int, k: int) -> list[tuple[int, ...]]:
    """Every choice of K + 1 cuts of a network with `cuts` cuts."""
    return [(0, *inner, cuts - 1) for inner in itertools.combinations(range(1, cuts - 1), k - 1)]


def sizes_of(cumulative: np.ndarray, partition: tuple[int, ...]) -> np.ndarray:
    return np.diff(cumulative[list(partition)])


def random_network(seed: int, nodes: int = 9) -> np.ndarray:
    return np.cumsum([0, *np.random.default_rng(seed).integers(0, 20, nodes)]).astype(float)


@pytest.mark.parametrize("k", [2, 3, 4, 9])
@pytest.mark.parametrize("seed", range(4))
def test_smallest_largest_block_equals_enumeration(seed: int, k: int) -> None:
    cumulative = random_network(seed)
    expected = min(sizes_of(cumulative, p).max() for p in partitions(len(cumulative), k))
    assert smallest_largest_block(cumulative, k) == expected


@pytest.mark.parametrize("k", [2, 3, 4])
@pytest.mark.parametrize("factor", [0.9, 1.2, 1.6, 5.0])
@pytest.mark.parametrize("seed", range(4))
def test_segments_are_those_of_the_admissible_partitions(seed: int, factor: float, k: int) -> None:
    cumulative = random_network(seed)
    limit = factor * cumulative[-1] / k
    expected: list[set[tuple[int, int]]] = [set() for _ in range(k)]
    for partition in partitions(len(cumulative), k):
        if (sizes_of(cumulative, partition) < limit).all():
            for stage, pair in enumerate(itertools.pairwise(partition)):
                expected[stage].add(pair)
    found = stage_segments(cumulative, k, limit)
    assert [list(zip(*map(np.ndarray.tolist, pair), strict=True)) for pair in found] == [
        sorted(segments) for segments in expected
    ]


def test_limit_is_that_of_the_paper_where_it_can_be_kept() -> None:
    windows = size_windows(np.arange(9.0), k=4, epsilon=0.2)
    assert windows.limit == pytest.approx(1.2 * 8 / 4)
    assert not windows.widened


def test_limit_is_strict() -> None:
    # four equal blocks of two nodes are exactly total / K: with ε = 0 that is not below the limit
    windows = size_windows(np.arange(9.0), k=4, epsilon=0.0)
    assert windows.widened
    assert windows.limit == pytest.approx(2 * (1 + 1e-9), abs=1e-12)
    assert [len(starts) for starts, _ in windows.segments] == [1, 1, 1, 1]


def test_one_heavy_node_widens_the_limit_to_its_size() -> None:
    cumulative = np.cumsum([0, 1, 1, 1, 100, 1, 1, 1.0])
    windows = size_windows(cumulative, k=4, epsilon=0.2)
    assert windows.widened
    assert 100 < windows.limit < 100.001
    assert all(len(starts) for starts, _ in windows.segments)


def test_nodes_without_size_can_still_be_cut() -> None:
    windows = size_windows(np.zeros(5), k=3, epsilon=0.2)
    assert windows.widened
    assert all(len(starts) for starts, _ in windows.segments)


def test_as_many_blocks_as_nodes_leaves_one_choice() -> None:
    windows = size_windows(np.cumsum([0, 5, 1, 1.0]), k=3, epsilon=0.2)
    assert [(starts.tolist(), ends.tolist()) for starts, ends in windows.segments] == [
        ([0], [1]), ([1], [2]), ([2], [3]),
    ]  # fmt: skip
