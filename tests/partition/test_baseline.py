from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from dery_core.partition import build_problem, kl_kmeans, solve, solve_free
from dery_core.partition.exact import evaluate
from dery_core.partition.from_table import as_partition


@pytest.mark.parametrize("epsilon", [0.0, 0.2, 1.0])
@pytest.mark.parametrize("seed", range(3))
def test_heuristic_is_admissible_and_never_above_the_bound(
    arrays: Callable[..., Any], seed: int, epsilon: float
) -> None:
    made = arrays((6, 8, 9, 7, 5), seed)
    problem = build_problem(made.similarity, made.model, made.cut, made.size, 4, epsilon, made.names)
    found = kl_kmeans(problem, restarts=20)
    for k, stage in enumerate(problem.stages):
        chosen = found.segments[:, k]
        np.testing.assert_array_equal(stage.model[chosen], np.arange(5))
        assert found.anchors[k] in chosen
        following = problem.stages[k + 1].start[found.segments[:, k + 1]] if k < 3 else problem.last
        np.testing.assert_array_equal(stage.end[chosen], following)
    earned = sum(problem.earned(k, a)[found.segments[:, k]].sum() for k, a in enumerate(found.anchors))
    assert found.objective == pytest.approx(earned)
    assert found.objective <= solve(problem).upper_bound + 1e-9
    best = evaluate(problem, found.anchors)
    assert best is not None
    assert found.objective <= best.objective + 1e-9


def test_more_restarts_are_never_worse_and_a_seed_repeats(arrays: Callable[..., Any]) -> None:
    made = arrays((9, 10, 12, 8, 11), 1)
    problem = build_problem(made.similarity, made.model, made.cut, made.size, 4, 1.0, made.names)
    few, many = kl_kmeans(problem, restarts=1), kl_kmeans(problem, restarts=50)
    assert many.objective > few.objective
    assert kl_kmeans(problem, restarts=50).objective == many.objective


@pytest.mark.parametrize("seed", range(3))
def test_free_heuristic_is_a_free_partition_and_never_above_the_bound(
    arrays: Callable[..., Any], seed: int
) -> None:
    made = arrays((6, 8, 5, 7), seed)
    problem = build_problem(made.similarity, made.model, made.cut, made.size, 3, 0.5, made.names)
    found = kl_kmeans(problem, restarts=20, variant="free")
    kept = as_partition(problem, made.names, found, variant="free", epsilon=0.5, size="params")
    assert kept.objective == pytest.approx(found.objective)
    assert kept.objective <= solve_free(problem).upper_bound + 1e-9
    assert {j for sets in kept.sets for j in sets} == {0, 1, 2}
    assert all(anchor in kept.blocks[made.names.index(anchor.model)] for anchor in kept.anchors)
