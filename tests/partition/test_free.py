import itertools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dery_core.partition import Partition, build_problem, solve, solve_arrays, solve_free
from dery_core.partition.windows import size_windows

BENCH = Path(__file__).resolve().parents[2].parent / "shared" / "bench" / "partition"


def solved(made: Any, k: int, epsilon: float, **settings: Any) -> Partition:
    return solve_arrays(
        made.similarity, made.model, made.cut, made.size, made.names, k, epsilon, variant="free", **settings
    )


def noisy(made: Any, seed: int) -> Any:
    """The same networks with similarities that mean nothing."""
    noise = np.random.default_rng(seed).random(made.similarity.shape)
    similarity = (noise + noise.T) / 2
    np.fill_diagonal(similarity, 1)
    return type(made)(**{**vars(made), "similarity": similarity})


def brute_force(made: Any, k: int, epsilon: float) -> float:
    """Optimum over every choice of K segments as anchors, each model's partitions enumerated; a model
    that owns anchors may only be cut so that they are among its blocks."""
    partitions = []
    for model in range(len(made.names)):
        cumulative = made.cumulative(model)
        limit = size_windows(cumulative, k, epsilon).limit
        first, last = int(np.flatnonzero(made.model == model)[0]), len(cumulative) - 1
        cuts = [(0, *c, last) for c in itertools.combinations(range(1, last), k - 1)]
        cuts = [c for c in cuts if (np.diff(cumulative[list(c)]) < limit).all()]
        partitions.append([[(first + a, first + b) for a, b in itertools.pairwise(c)] for c in cuts])
    segments = sorted({(m, block) for m, paths in enumerate(partitions) for path in paths for block in path})
    sim, best = made.similarity, -np.inf
    likeness = {(b, a): sim[b[0], a[0]] + sim[b[1], a[1]] for _, b in segments for _, a in segments}
    for anchors in itertools.combinations(segments, k):
        total = 0.0
        for model, paths in enumerate(partitions):
            own = {block for owner, block in anchors if owner == model}
            total += max(
                (
                    sum(max(likeness[block, anchor] for _, anchor in anchors) for block in path)
                    for path in paths
                    if own <= set(path)
                ),
                default=-np.inf,
            )
        best = max(best, total)
    return best


INSTANCES = [
    ((5, 5, 6), 3, 0.3, 0),
    ((4, 6, 5), 3, 0.1, 2),
    ((5, 4, 5), 3, 1.0, 3),
    ((7, 9, 8), 2, 0.5, 4),
    ((7, 5, 6), 2, 2.0, 5),
    ((6, 5), 3, 5.0, 7),
]


@pytest.mark.parametrize(("nodes", "k", "epsilon", "seed"), INSTANCES)
def test_optimum_equals_brute_force_over_all_anchors(
    arrays: Callable[..., Any], nodes: tuple[int, ...], k: int, epsilon: float, seed: int
) -> None:
    made = arrays(nodes, seed)
    found = solved(made, k, epsilon)
    assert found.objective == pytest.approx(brute_force(made, k, epsilon), abs=1e-9)
    assert found.proved


@pytest.mark.parametrize("seed", range(4))
def test_optimum_of_noise_equals_brute_force(arrays: Callable[..., Any], seed: int) -> None:
    # No structure at all: the relaxation is loose here, so that branching has to close the gap.
    made = noisy(arrays((5, 4, 5)), seed)
    found = solved(made, 3, 0.8)
    assert found.objective == pytest.approx(brute_force(made, 3, 0.8), abs=1e-9)
    assert found.proved
