import itertools
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from dery_core.partition import Partition, build_problem, solve_arrays, solve_partition
from dery_core.partition.exact import nearest
from dery_core.partition.from_table import warm_start
from dery_core.similarity import SimilarityTable

CHANGES = [
    {"k": 2},
    {"k": 5},
    {"epsilon": 0.0},
    {"epsilon": 0.5},
    {"size": "macs"},
    {"models": ["m3", "m0"]},
    {"variant": "other"},
]


@pytest.mark.parametrize("variant", ["staged", "free"])
@pytest.mark.parametrize("change", CHANGES)
def test_answer_from_an_earlier_one_is_as_good_as_a_cold_one(
    table: SimilarityTable, variant: Any, change: dict[str, Any]
) -> None:
    other = "free" if variant == "staged" else "staged"
    change = {"variant": variant} | ({"variant": other} if "variant" in change else change)
    earlier = solve_partition(table, k=3, epsilon=0.3, variant=variant)
    cold = solve_partition(table, **{"k": 3, "epsilon": 0.3, **change})
    warm = solve_partition(table, **{"k": 3, "epsilon": 0.3, **change}, warm=earlier)
    assert cold.proved
    assert warm.proved
    assert warm.objective == pytest.approx(cold.objective, abs=1e-6)


def test_models_that_the_earlier_answer_lacks_are_solved_too(table: SimilarityTable) -> None:
    earlier = solve_partition(table, k=3, models=["m1", "m3"])
    warm, cold = solve_partition(table, k=3, warm=earlier), solve_partition(table, k=3)
    assert warm.objective == pytest.approx(cold.objective, abs=1e-6)


@pytest.mark.parametrize("variant", ["staged", "free"])
def test_without_time_the_earlier_answer_is_not_lost(arrays: Callable[..., Any], variant: Any) -> None:
    made = arrays((9, 11, 8, 10, 12, 9), 4)
    bare = (made.similarity, made.model, made.cut, made.size, made.names, 4, 0.5)
    earlier = solve_arrays(*bare, variant=variant)
    again = solve_arrays(*bare, variant=variant, warm=earlier, max_seconds=0.0)
    assert again.objective >= earlier.objective - 1e-9


def test_cuts_for_another_k_lie_evenly_in_between(arrays: Callable[..., Any]) -> None:
    made = arrays((8, 8), 0)
    earlier = solve_arrays(made.similarity, made.model, made.cut, made.size, made.names, 2, 1.0)
    problem = build_problem(made.similarity, made.model, made.cut, made.size, 4, 3.0, made.names)
    warm = warm_start(problem, made.names, earlier)
    middle = [row[0].end for row in earlier.blocks]
    assert warm.cuts[0].tolist() == [0, middle[0] / 2, middle[0], (middle[0] + 8) / 2, 8]
    near = problem.cuts(nearest(problem, warm.cuts))
    assert np.abs(near - warm.cuts).max() <= 1  # a cut needs a node of its own on either side


@pytest.mark.parametrize("variant", ["staged", "free"])
def test_trace_ends_at_the_answer_and_only_closes(arrays: Callable[..., Any], variant: Any) -> None:
    made = arrays((9, 11, 8, 10, 12, 9), 4)
    noise = np.random.default_rng(0).random(made.similarity.shape)
    similarity = (noise + noise.T) / 2
    np.fill_diagonal(similarity, 1)
    made = replace(made, similarity=similarity)
    found: Partition = solve_arrays(
        made.similarity, made.model, made.cut, made.size, made.names, 3, 0.3, variant=variant, max_seconds=3
    )
    assert 2 <= len(found.trace) <= 200
    assert found.trace[-1] == (found.objective, found.upper_bound)
    assert all(b >= a - 1e-9 for (a, _), (b, _) in itertools.pairwise(found.trace))
    assert all(b <= a + 1e-6 for (_, a), (_, b) in itertools.pairwise(found.trace))
    assert all(objective <= bound + 1e-9 for objective, bound in found.trace)
