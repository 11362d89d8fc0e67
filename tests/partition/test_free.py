import itertools
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dery_core.errors import Cancelled
from dery_core.partition import Partition, Problem, build_problem, solve, solve_arrays, solve_free
from dery_core.partition.free import best_cuts, evaluate_free, settle_free
from dery_core.partition.windows import size_windows
from dery_core.progress import Progress
from dery_core.similarity import Comparison, similarity_matrix

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


def test_bound_is_never_below_the_optimum_however_short_the_search(arrays: Callable[..., Any]) -> None:
    made = noisy(arrays((5, 4, 5)), 1)
    problem = build_problem(made.similarity, made.model, made.cut, made.size, 3, 0.8, made.names)
    optimum = brute_force(made, 3, 0.8)
    for limit in ({"max_nodes": 1}, {"max_nodes": 3}, {"max_seconds": 0.0}):
        found = solve_free(problem, **limit)
        assert found.objective <= optimum + 1e-9
        assert found.upper_bound >= optimum - 1e-9
    assert solve_free(problem, max_seconds=0.0).upper_bound > optimum + 1e-3  # or this shows nothing


@pytest.mark.parametrize("seed", range(3))
def test_free_is_never_worse_than_staged(arrays: Callable[..., Any], seed: int) -> None:
    made = arrays((6, 8, 9, 7), seed)
    problem = build_problem(made.similarity, made.model, made.cut, made.size, 3, 0.5, made.names)
    assert solve_free(problem).objective >= solve(problem).objective - 1e-9


def check(found: Partition, made: Any) -> None:
    """What holds for every answer."""
    sim = made.similarity

    def rows(block: Any) -> tuple[int, int]:
        first = int(np.flatnonzero(made.model == made.names.index(block.model))[0])
        return first + block.start, first + block.end

    anchors = [rows(anchor) for anchor in found.anchors]
    assert found.objective == pytest.approx(sum(map(sum, found.similarity)), abs=1e-9)
    assert found.objective <= found.upper_bound
    assert {j for sets in found.sets for j in sets} == set(range(found.k))
    for i, (blocks, sets, likes) in enumerate(zip(found.blocks, found.sets, found.similarity, strict=True)):
        cumulative = made.cumulative(i)
        limit = size_windows(cumulative, found.k, found.epsilon).limit
        assert blocks[0].start == 0
        assert blocks[-1].end == len(cumulative) - 1
        assert all(a.end == b.start for a, b in itertools.pairwise(blocks))
        for block, j, like in zip(blocks, sets, likes, strict=True):
            assert cumulative[block.end] - cumulative[block.start] < limit
            a, b = rows(block)
            likeness = [sim[a, c] + sim[b, d] for c, d in anchors]
            assert like == pytest.approx(likeness[j]) == pytest.approx(max(likeness))
    for j, anchor in enumerate(found.anchors):
        owner = made.names.index(anchor.model)
        assert found.sets[owner][found.blocks[owner].index(anchor)] == j


@pytest.mark.parametrize(("k", "epsilon"), [(2, 0.0), (3, 0.2), (4, 1.0)])
def test_answer_is_a_partition_with_every_block_in_the_set_it_is_most_like(
    arrays: Callable[..., Any], k: int, epsilon: float
) -> None:
    made = arrays((6, 8, 5, 7), 1)
    check(solved(made, k, epsilon), made)


def test_copies_of_one_network_agree_everywhere_and_no_set_is_empty(arrays: Callable[..., Any]) -> None:
    one = arrays((6,))
    same = type(one)(
        np.tile(one.similarity, (3, 3)),
        np.repeat(np.arange(3), 7),
        np.tile(one.cut, 3),
        np.tile(one.size, 3),
        ("x", "y", "z"),
    )
    found = solved(same, 3, 0.5)
    assert found.objective == pytest.approx(2 * 3 * 3)
    check(found, same)


def test_same_input_gives_the_same_answer(arrays: Callable[..., Any]) -> None:
    assert solved(arrays((6, 8, 9)), 3, 0.4) == solved(arrays((6, 8, 9)), 3, 0.4)


@pytest.mark.parametrize("name", ["zoo8", "zoo30", "zoo30_macs", "zoo30_wide", "zoo100"])
def test_bench_tables_are_met_by_the_heuristic_at_most(arrays: Callable[..., Any], name: str) -> None:
    if not BENCH.is_dir():
        pytest.skip("../shared/bench/partition is not here")
    reference = json.loads((BENCH / "reference.json").read_text())[name]
    with np.load(BENCH / f"{name}.npz") as file:
        made = type(arrays((4, 4)))(
            *(file[key].astype(np.float64) for key in ("cka", "model", "cut", "cum_size")),
            tuple(map(str, file["names"])),
        )
    found = solved(made, reference["K"], reference["eps"], max_seconds=0.5)
    assert found.objective >= reference["heuristic_free"]
    check(found, made)


def tied(made: Any, kind: str, seed: int) -> Any:
    """The same networks with cuts that are as like each other as can be, or as unlike, in many ways."""
    rng = np.random.default_rng(seed)
    rows = len(made.similarity)
    if kind == "zero or one":
        similarity = (rng.random((rows, rows)) < 0.3).astype(np.float64)
    elif kind == "halves":
        similarity = rng.integers(0, 3, (rows, rows)) / 2
    elif kind == "one network twice":
        similarity = noisy(made, seed).similarity[np.ix_(made.cut, made.cut)]
    else:  # as many features as images span all that there is: such cuts are like any other
        few = [rng.normal(size=(6, rng.choice([1, 2, 3, 8, 12]))) for _ in range(rows)]
        similarity = similarity_matrix(few, Comparison(kind))  # type: ignore[arg-type]
    similarity = np.maximum(similarity, similarity.T)
    np.fill_diagonal(similarity, 1)
    return replace(made, similarity=similarity)


@pytest.mark.parametrize(
    ("kind", "seed", "nodes", "epsilon"),
    [
        ("halves", 27, (2, 4, 2), 1.0),  # the best anchors are found last, and lost by taking medoids
        ("halves", 74, (2, 4, 2), 1.0),
        ("svcca", 28, (4, 3, 4), 3.0),
        ("regression", 7, (2, 4, 2), 1.0),  # hardly any candidates are left after the root's first steps
        ("halves", 30, (2, 4, 2), 1.0),
        ("zero or one", 13, (3, 3), 3.0),
        *((kind, seed, (4, 4), 1.0) for kind in ("zero or one", "one network twice") for seed in range(4)),
    ],
)
def test_optimum_of_tied_blocks_equals_brute_force(
    arrays: Callable[..., Any], kind: str, seed: int, nodes: tuple[int, ...], epsilon: float
) -> None:
    # Where S = 2 between different blocks, one anchor is as like another set's anchor as itself.
    made = tied(arrays(nodes, seed), kind, seed)
    found = solved(made, 2, epsilon)
    assert found.objective == pytest.approx(brute_force(made, 2, epsilon), abs=1e-6)
    assert found.proved
    check(found, made)


@pytest.mark.parametrize("kind", ["zero or one", "one network twice"])
def test_medoids_lose_nothing_of_what_tied_anchors_earn(arrays: Callable[..., Any], kind: str) -> None:
    for seed in range(5):
        made = tied(arrays((4, 4, 4), seed), kind, seed)
        problem = build_problem(made.similarity, made.model, made.cut, made.size, 2, 3.0, made.names)
        blocks = [
            (start, end)
            for stage in problem.stages
            for start, end in zip(stage.start, stage.end, strict=True)
        ]
        for pair in itertools.combinations(sorted(set(blocks)), 2):
            anchors = np.array(pair)
            value = evaluate_free(problem, anchors)
            if value > -np.inf:
                settled = settle_free(problem, anchors, best_cuts(problem, anchors))
                assert settled[2] >= value - 1e-9


@pytest.mark.parametrize("solver", [solve, solve_free])
def test_cancelling_never_waits_for_more_than_a_few_steps(
    arrays: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, solver: Any
) -> None:
    made = arrays((16, 20, 18, 15), 0)
    problem = build_problem(made.similarity, made.model, made.cut, made.size, 3, 1.0, made.names)
    steps, reports = [0], [0]

    def counted(kernel: Callable[..., Any]) -> Callable[..., Any]:
        def call(*given: Any) -> Any:
            steps[0] += 1
            assert steps[0] <= 9  # three a stage, amid hundreds before the first bound is known
            return kernel(*given)

        return call

    for name in ("paths", "anchor_values", "best_by_model"):
        monkeypatch.setattr(Problem, name, counted(getattr(Problem, name)))

    def stop(progress: Progress) -> None:
        steps[0] = 0
        reports[0] += 1
        if reports[0] == last:
            raise Cancelled

    for last in (1, 2, 5, 10):
        steps[0], reports[0] = 0, 0
        with pytest.raises(Cancelled):
            solver(problem, report=stop)
        assert reports[0] == last
