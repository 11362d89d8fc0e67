import itertools
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dery_core.errors import Cancelled
from dery_core.partition import Partition, Problem, build_problem, solve, solve_arrays
from dery_core.partition.exact import evaluate, reoptimise, settle
from dery_core.partition.windows import size_windows
from dery_core.progress import Progress

BENCH = Path(__file__).resolve().parents[2].parent / "shared" / "bench" / "partition"


def solved(made: Any, k: int = 3, epsilon: float = 0.4) -> Partition:
    return solve_arrays(made.similarity, made.model, made.cut, made.size, made.names, k, epsilon)


def problem_of(made: Any, k: int, epsilon: float) -> Problem:
    return build_problem(made.similarity, made.model, made.cut, made.size, k, epsilon, made.names)


def noisy(made: Any, seed: int) -> Any:
    """The same networks with similarities that mean nothing."""
    noise = np.random.default_rng(seed).random(made.similarity.shape)
    similarity = (noise + noise.T) / 2
    np.fill_diagonal(similarity, 1)
    return replace(made, similarity=similarity)


def brute_force(made: Any, k: int, epsilon: float) -> float:
    """Optimum over all anchor tuples, each model's partitions enumerated one by one."""
    partitions = []
    for model in range(len(made.names)):
        cumulative = made.cumulative(model)
        limit = size_windows(cumulative, k, epsilon).limit
        first = int(np.flatnonzero(made.model == model)[0])
        last = len(cumulative) - 1
        candidates = [(0, *c, last) for c in itertools.combinations(range(1, last), k - 1)]
        admissible = [c for c in candidates if (np.diff(cumulative[list(c)]) < limit).all()]
        partitions.append([[(first + a, first + b) for a, b in itertools.pairwise(c)] for c in admissible])
    stages = [
        sorted({(m, p[stage]) for m, paths in enumerate(partitions) for p in paths}) for stage in range(k)
    ]
    sim, best = made.similarity, -np.inf
    for anchors in itertools.product(*stages):
        total = 0.0
        for model, paths in enumerate(partitions):
            own = [stage for stage in range(k) if anchors[stage][0] == model]
            values = [
                sum(sim[b[0], a[1][0]] + sim[b[1], a[1][1]] for b, a in zip(path, anchors, strict=True))
                for path in paths
                if all(path[stage] == anchors[stage][1] for stage in own)
            ]
            total += max(values, default=-np.inf)
        best = max(best, total)
    return best


@pytest.mark.parametrize(
    ("nodes", "k", "epsilon", "seed"),
    [
        ((5, 5, 6), 3, 0.3, 0),
        ((5, 6, 4), 3, 0.6, 1),
        ((4, 6, 5), 3, 0.1, 2),
        ((5, 5, 5), 3, 1.0, 3),
        ((7, 9, 8), 2, 0.5, 4),
        ((7, 5, 6), 2, 2.0, 5),
        ((5, 4), 4, 1.0, 6),
        ((6, 5), 3, 5.0, 7),
    ],
)
def test_optimum_equals_brute_force_over_all_anchors(
    arrays: Callable[..., Any], nodes: tuple[int, ...], k: int, epsilon: float, seed: int
) -> None:
    made = arrays(nodes, seed)
    found = solved(made, k, epsilon)
    assert found.objective == pytest.approx(brute_force(made, k, epsilon), abs=1e-9)
    assert found.upper_bound - found.objective <= 1e-6


@pytest.mark.parametrize("seed", range(6))
def test_optimum_of_noise_equals_brute_force(arrays: Callable[..., Any], seed: int) -> None:
    # No structure at all: the relaxation is loose here, so that branching has to close the gap.
    made = noisy(arrays((5, 5, 6)), seed)
    found = solved(made, 3, 0.8)
    assert found.objective == pytest.approx(brute_force(made, 3, 0.8), abs=1e-9)
    assert found.upper_bound - found.objective <= 1e-6


def check(found: Partition, made: Any) -> None:
    """What holds for every answer."""
    assert found.upper_bound >= found.objective
    assert found.objective == pytest.approx(sum(map(sum, found.similarity)), abs=1e-9)
    assert found.sets == (tuple(range(found.k)),) * len(made.names)
    for model, row in enumerate(found.blocks):
        cumulative = made.cumulative(model)
        windows = size_windows(cumulative, found.k, found.epsilon)
        assert (made.names[model] in found.widened) == windows.widened
        assert row[0].start == 0
        assert row[-1].end == len(cumulative) - 1
        assert all(a.end == b.start for a, b in itertools.pairwise(row))
        assert all(0 < cumulative[b.end] - cumulative[b.start] < windows.limit for b in row)
    for k, anchor in enumerate(found.anchors):
        owner = made.names.index(anchor.model)
        assert found.blocks[owner][k] == anchor
        assert found.similarity[owner][k] == 2
        first, own = (int(np.flatnonzero(made.model == m)[0]) for m in (0, owner))
        member = found.blocks[0][k]
        assert found.similarity[0][k] == pytest.approx(
            made.similarity[first + member.start, own + anchor.start]
            + made.similarity[first + member.end, own + anchor.end]
        )


@pytest.mark.parametrize("k", [2, 3, 5])
@pytest.mark.parametrize("epsilon", [0.0, 0.2, 1.0])
def test_answer_is_a_partition_within_its_limits(arrays: Callable[..., Any], k: int, epsilon: float) -> None:
    made = arrays((5, 6, 8, 10, 7))
    check(solved(made, k, epsilon), made)


def test_wider_limits_are_never_worse(arrays: Callable[..., Any]) -> None:
    made = arrays((6, 8, 9, 7), seed=2)
    objectives = [solved(made, 4, epsilon).objective for epsilon in (0.1, 0.3, 0.6, 1.2, 3.0)]
    assert objectives == sorted(objectives)
    assert objectives[0] < objectives[-1]


def test_order_of_the_models_does_not_matter(arrays: Callable[..., Any]) -> None:
    made = arrays((6, 8, 9, 7), seed=3)
    order = [2, 0, 3, 1]
    rows = np.concatenate([np.flatnonzero(made.model == m) for m in order])
    turned = type(made)(
        made.similarity[np.ix_(rows, rows)],
        np.repeat(np.arange(4), [(made.model == m).sum() for m in order]),
        made.cut[rows],
        made.size[rows],
        tuple(made.names[m] for m in order),
    )
    assert solved(turned).objective == pytest.approx(solved(made).objective, abs=1e-6)


def test_scale_of_the_sizes_does_not_matter(arrays: Callable[..., Any]) -> None:
    made = arrays((6, 8, 9))
    assert solved(made).blocks == solved(type(made)(**{**vars(made), "size": made.size * 4096})).blocks


def test_copies_of_one_network_agree_everywhere(arrays: Callable[..., Any]) -> None:
    made = arrays((8,))
    copies = 3
    same = type(made)(
        np.tile(made.similarity, (copies, copies)),
        np.repeat(np.arange(copies), 9),
        np.tile(made.cut, copies),
        np.tile(made.size, copies),
        ("x", "y", "z"),
    )
    found = solved(same, 4, 0.5)
    assert found.objective == pytest.approx(2 * 4 * copies)
    assert len({tuple((b.start, b.end) for b in row) for row in found.blocks}) == 1


def test_same_input_gives_the_same_answer(arrays: Callable[..., Any]) -> None:
    assert solved(arrays((6, 8, 9))) == solved(arrays((6, 8, 9)))


def test_reoptimising_never_loses(arrays: Callable[..., Any]) -> None:
    problem = problem_of(arrays((6, 8, 9, 7, 5), seed=5), 4, 0.5)
    for seed in range(5):
        rng = np.random.default_rng(seed)
        settled = settle(problem, tuple(int(rng.integers(len(stage))) for stage in problem.stages))
        better = reoptimise(problem, settled)
        assert better.objective >= settled.objective - 1e-9
        again = evaluate(problem, better.anchors)
        assert again is not None
        assert again.objective == pytest.approx(better.objective)


def test_anchors_that_exclude_each_other_have_no_value(arrays: Callable[..., Any]) -> None:
    problem = problem_of(arrays((6, 8)), 3, 1.0)
    first, second = problem.stages[:2]
    late = int(np.flatnonzero(first.model == 0)[-1])
    early = int(np.flatnonzero(second.model == 0)[0])
    assert first.end[late] != second.start[early]
    assert evaluate(problem, (late, early, 0)) is None


@pytest.mark.parametrize("limits", [{"max_nodes": 1}, {"max_seconds": 0.0}])
def test_a_search_cut_short_still_tells_the_truth(arrays: Callable[..., Any], limits: dict[str, Any]) -> None:
    problem = problem_of(noisy(arrays((12,) * 6), 0), 4, 1.0)
    short, whole = solve(problem, **limits), solve(problem)
    assert short.nodes == 1
    assert whole.upper_bound - whole.objective <= 1e-6
    assert short.objective <= whole.objective + 1e-9
    assert whole.objective <= short.upper_bound < 2 * 4 * 6
    assert short.upper_bound - short.objective > 1e-3  # else this test would show nothing


def test_progress_can_stop_the_search(arrays: Callable[..., Any]) -> None:
    def stop(progress: Progress) -> None:
        if progress.done:
            raise Cancelled

    with pytest.raises(Cancelled):
        solve(problem_of(arrays((6, 7, 8)), 3, 0.5), report=stop)


@pytest.mark.parametrize("name", ["zoo8", "zoo30", "zoo30_macs", "zoo30_wide", "zoo100"])
def test_certified_optimum_of_the_bench_is_met(arrays: Callable[..., Any], name: str) -> None:
    if not BENCH.is_dir():
        pytest.skip("../shared/bench/partition is not here")
    reference = json.loads((BENCH / "reference.json").read_text())[name]
    with np.load(BENCH / f"{name}.npz") as file:
        made = type(arrays((4, 4)))(
            *(file[key] for key in ("cka", "model", "cut", "cum_size")), tuple(map(str, file["names"]))
        )
    found = solved(made, reference["K"], reference["eps"])
    assert found.objective == pytest.approx(reference["stage_locked_lower"], abs=1e-4)
    assert found.upper_bound == pytest.approx(reference["stage_locked_upper"], abs=1e-4)
    assert len(found.widened) == reference["relaxed_models"]
    check(found, made)
