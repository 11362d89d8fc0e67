"""The whole embedded zoo, cut, priced, scored and reassembled: the search against brute force."""

from pathlib import Path

import pytest

from dery_core.data import TARGET_TASK, Probe, load_task
from dery_core.partition import solve_partition
from dery_core.reassembly import Budget, Candidates, build_hybrid, candidates
from dery_core.scoring import Scores, score_candidates
from dery_core.search import Finder, Rules
from dery_core.search.brute import enumerate_best
from dery_core.similarity import similarity_table
from dery_core.workspace import Workspace
from dery_core.zoo import Zoo, embedded_zoo


@pytest.fixture(scope="module")
def embedded() -> Zoo:
    return embedded_zoo()


@pytest.fixture(scope="module")
def assembled(embedded: Zoo, tmp_path_factory: pytest.TempPathFactory) -> tuple[Candidates, Scores]:
    """K = 4 by the exact partition; a few scores are enough for a linear model with real terms."""
    workspace = Workspace.open(tmp_path_factory.mktemp("workspace"))
    table = similarity_table(embedded, embedded.names, Probe(TARGET_TASK, 64), workspace)
    partition = solve_partition(table, k=4)
    priced = candidates(embedded, partition, len(load_task(TARGET_TASK).classes))
    scores = score_candidates(
        embedded, partition, priced, Probe(TARGET_TASK, 32), workspace, "naswot", sample=64, exhaustive=0
    )
    return priced, scores


@pytest.mark.parametrize("share", [0.02, 0.1, 0.25, 0.5, 1.0])
def test_search_equals_brute_force_on_the_embedded_zoo(
    assembled: tuple[Candidates, Scores], share: float
) -> None:
    priced, scores = assembled
    finder = Finder(priced, scores.objective)
    ends = finder.extremes(Rules())
    budget = Budget(
        round(ends.min_params + share * (ends.max_params - ends.min_params)),
        round(ends.min_macs + share * (ends.max_macs - ends.min_macs)),
    )
    best = finder.best(Rules(budget), top=3)
    assert best == enumerate_best(priced, scores.objective, Rules(budget), top=3)
    for choice in best:
        assert budget.allows(choice.params, choice.macs)
        assert len(set(choice.choice)) >= 2


def test_the_best_hybrid_costs_what_it_measures(embedded: Zoo, assembled: tuple[Candidates, Scores]) -> None:
    priced, scores = assembled
    best = Finder(priced, scores.objective).best(Rules(Budget(max_macs=4_000_000)))[0]
    hybrid = build_hybrid(priced.spec(embedded, best.choice), embedded)
    assert sum(p.numel() for p in hybrid.parameters()) == best.params


def test_own_chains_are_scored_beside_the_hybrids(
    embedded: Zoo, assembled: tuple[Candidates, Scores]
) -> None:
    _, scores = assembled
    for i in range(len(embedded.names)):
        assert scores.score((i,) * 4) is not None


def test_free_partition_is_reassembled_with_one_block_a_set_and_a_stage(
    embedded: Zoo, tmp_path: Path
) -> None:
    workspace = Workspace.open(tmp_path)
    names = embedded.names[::3]
    table = similarity_table(embedded, names, Probe(TARGET_TASK, 32), workspace)
    partition = solve_partition(table, k=3, variant="free")
    assert any(sets != (0, 1, 2) for sets in partition.sets)
    assert partition.weights == tuple(map(embedded.weights_key, names))
    priced = candidates(embedded, partition, len(load_task(TARGET_TASK).classes))
    scores = score_candidates(
        embedded, partition, priced, Probe(TARGET_TASK, 32), workspace, "naswot", sample=8, exhaustive=0
    )
    finder = Finder(priced, scores.objective)
    ends = finder.extremes(Rules())
    rules = Rules(Budget((ends.min_params + ends.max_params) // 2))
    best = finder.best(rules, top=3)
    assert best == enumerate_best(priced, scores.objective, rules, top=3)
    for choice in best:
        assert sorted(partition.sets[i][k] for k, i in enumerate(choice.choice)) == [0, 1, 2]
