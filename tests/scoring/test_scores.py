import dataclasses
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from dery_core.data import Probe, preprocess, probe_images
from dery_core.errors import Cancelled, DeryError
from dery_core.partition import Partition
from dery_core.progress import Progress
from dery_core.reassembly import Budget, Candidates, build_hybrid
from dery_core.scoring import Scores, brute_force, measure, naswot, reassemble, sampled, score_candidates
from dery_core.workspace import Workspace
from dery_core.zoo import Zoo


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace.open(tmp_path)


@pytest.fixture(scope="module")
def scores(
    zoo: Zoo,
    partition: Partition,
    priced: Candidates,
    probe: Probe,
    tmp_path_factory: pytest.TempPathFactory,
) -> Scores:
    """All 27 candidates, measured."""
    workspace = Workspace.open(tmp_path_factory.mktemp("workspace"))
    return score_candidates(zoo, partition, priced, probe, workspace, sample=27, seed=3)


@pytest.mark.parametrize("choice", [(0, 0, 0), (0, 1, 2), (1, 2, 0), (2, 2, 1)], ids=str)
def test_shared_prefixes_score_bit_identically_to_the_built_hybrid(
    zoo: Zoo, priced: Candidates, probe: Probe, scores: Scores, choice: tuple[int, ...]
) -> None:
    spec = priced.spec(zoo, choice)
    batches = preprocess(probe_images(probe), spec.source).split(32)
    alone = naswot(build_hybrid(spec, zoo, seed=3), batches)
    assert np.isfinite(alone.score)
    assert scores.score(choice) == alone.score


def test_all_candidates_are_measured_when_they_are_few(scores: Scores, priced: Candidates) -> None:
    assert [each.choice for each in scores.measured] == [tuple(c) for c in priced.every().tolist()]
    assert scores.linear.samples == 27


def test_an_interrupted_scoring_goes_on_where_it_stopped(
    zoo: Zoo, partition: Partition, priced: Candidates, probe: Probe, workspace: Workspace, scores: Scores
) -> None:
    def cancel(progress: Progress) -> None:
        if progress.done == 10:
            raise Cancelled

    with pytest.raises(Cancelled):
        score_candidates(zoo, partition, priced, probe, workspace, sample=27, seed=3, report=cancel)
    seen: list[Progress] = []
    resumed = score_candidates(
        zoo, partition, priced, probe, workspace, sample=27, seed=3, report=seen.append
    )
    assert seen[0].total == 17
    assert resumed == scores


def test_a_finished_scoring_runs_nothing(
    zoo: Zoo, partition: Partition, priced: Candidates, probe: Probe, workspace: Workspace
) -> None:
    first = score_candidates(zoo, partition, priced, probe, workspace, sample=5)
    seen: list[Progress] = []
    again = score_candidates(zoo, partition, priced, probe, workspace, sample=5, report=seen.append)
    assert again == first
    assert not seen


def test_other_seams_are_other_scores(
    zoo: Zoo, partition: Partition, priced: Candidates, probe: Probe, workspace: Workspace, scores: Scores
) -> None:
    other = score_candidates(zoo, partition, priced, probe, workspace, sample=27, seed=4)
    assert other.key != scores.key
    assert other.score((0, 1, 2)) != scores.score((0, 1, 2))
    # A chain without seams has none to draw.
    assert other.score((1, 1, 1)) == scores.score((1, 1, 1))


def test_measuring_a_choice_fills_it_in_and_keeps_the_model(
    zoo: Zoo, partition: Partition, priced: Candidates, probe: Probe, workspace: Workspace, scores: Scores
) -> None:
    few = score_candidates(zoo, partition, priced, probe, workspace, sample=5, seed=3, exhaustive=0)
    choice = next(c for c in scores.known if few.score(c) is None)
    more = measure(zoo, priced, few, [choice], workspace)
    assert more.score(choice) == scores.score(choice)
    assert more.linear == few.linear
    again: list[Progress] = []
    assert measure(zoo, priced, few, [choice], workspace, again.append) == more
    assert not again


def test_saved_scores_are_the_same(scores: Scores, tmp_path: Path) -> None:
    scores.save(tmp_path / "scores.json")
    assert Scores.load(tmp_path / "scores.json") == scores


def test_an_image_given_twice_is_told_apart_by_nobody(
    zoo: Zoo, partition: Partition, priced: Candidates, workspace: Workspace, tmp_path: Path
) -> None:
    path = tmp_path / "twins.npz"
    np.savez(path, x=np.full((20, 16, 16, 3), 7, np.uint8), y=np.arange(20) % 2)
    with pytest.raises(DeryError, match="no candidate has a finite score"):
        score_candidates(zoo, partition, priced, Probe(f"npz:{path}", 8), workspace, sample=4)


def test_candidates_of_another_partition_are_refused(
    zoo: Zoo, partition: Partition, priced: Candidates, probe: Probe, workspace: Workspace
) -> None:
    other = dataclasses.replace(partition, models=partition.models[::-1], blocks=partition.blocks[::-1])
    with pytest.raises(DeryError, match="another partition"):
        score_candidates(zoo, other, priced, probe, workspace)


def test_sample_holds_own_chains_and_each_block_about_equally_often(
    random_candidates: Callable[..., Candidates],
) -> None:
    candidates = random_candidates(0, n=8, k=4)
    choices = sampled(candidates, 200, seed=0)
    assert len(choices) == len(set(choices)) == 200
    assert {(i,) * 4 for i in range(8)} <= set(choices)
    for k in range(4):
        counts = Counter(choice[k] for choice in choices)
        assert max(counts[i] for i in range(8)) - min(counts[i] for i in range(8)) <= 2
    assert choices == sampled(candidates, 200, seed=0)
    assert choices != sampled(candidates, 200, seed=1)


def test_sample_of_shuffled_sets_keeps_to_them(random_candidates: Callable[..., Candidates]) -> None:
    candidates = random_candidates(1, n=6, k=3, shuffled=True)
    choices = np.array(sampled(candidates, 40, seed=0))
    assert candidates.allowed(choices).all()


def test_reassembly_equals_brute_force_and_carries_the_measured_score(
    priced: Candidates, scores: Scores
) -> None:
    macs = sorted(priced.costs(priced.every())[1].tolist())
    for budget in (Budget(), Budget(max_macs=macs[14])):
        best = reassemble(priced, scores, budget, top=3)
        assert best == brute_force(priced, scores, budget, top=3)
        assert [choice.measured for choice in best] == [scores.score(choice.choice) for choice in best]
