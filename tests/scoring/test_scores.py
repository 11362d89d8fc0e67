import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

from dery_core.data import Probe, loading, preprocess, probe_images
from dery_core.errors import Cancelled, DeryError
from dery_core.partition import Partition
from dery_core.progress import Progress
from dery_core.reassembly import Budget, Candidates, Seam, build_hybrid
from dery_core.reassembly.closed_form import Feed, calibrate
from dery_core.scoring import Scores, kept_scores, measure, naswot, score_candidates
from dery_core.search import Finder, Rules
from dery_core.search.brute import enumerate_best
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
    return score_candidates(zoo, partition, priced, probe, workspace, "naswot", sample=27, seed=3)


@pytest.mark.parametrize("choice", [(0, 0, 0), (0, 1, 2), (1, 2, 0), (2, 2, 1)], ids=str)
def test_shared_prefixes_score_bit_identically_to_the_built_hybrid(
    zoo: Zoo, priced: Candidates, probe: Probe, scores: Scores, choice: tuple[int, ...]
) -> None:
    spec = priced.spec(zoo, choice)
    hybrid = build_hybrid(spec, zoo, seed=3)
    batches = preprocess(probe_images(probe), spec.source).split(32)
    with torch.no_grad():
        feed = Feed(batches)
        feed.then(hybrid.stages[0])
        for seam, stage in zip(hybrid.seams, hybrid.stages[1:], strict=True):
            if isinstance(seam, Seam):
                calibrate(seam, feed)
            feed.then(seam, stage)
    found = naswot(hybrid, batches)
    assert np.isfinite(found.score)
    assert scores.score(choice) == found.score


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
        score_candidates(zoo, partition, priced, probe, workspace, "naswot", sample=27, seed=3, report=cancel)
    seen: list[Progress] = []
    resumed = score_candidates(
        zoo, partition, priced, probe, workspace, "naswot", sample=27, seed=3, report=seen.append
    )
    assert seen[0].total == 17
    assert resumed == scores


def test_a_finished_scoring_runs_nothing(
    zoo: Zoo, partition: Partition, priced: Candidates, probe: Probe, workspace: Workspace
) -> None:
    first = score_candidates(zoo, partition, priced, probe, workspace, "naswot", sample=5)
    seen: list[Progress] = []
    again = score_candidates(zoo, partition, priced, probe, workspace, "naswot", sample=5, report=seen.append)
    assert again == first
    assert not seen


def test_other_seams_are_other_scores(
    zoo: Zoo, partition: Partition, priced: Candidates, probe: Probe, workspace: Workspace, scores: Scores
) -> None:
    other = score_candidates(zoo, partition, priced, probe, workspace, "naswot", sample=27, seed=4)
    assert other.key != scores.key
    assert other.score((0, 1, 2)) != scores.score((0, 1, 2))
    # A chain without seams has none to draw.
    assert other.score((1, 1, 1)) == scores.score((1, 1, 1))


def test_measuring_a_choice_fills_it_in_and_keeps_the_model(
    zoo: Zoo, partition: Partition, priced: Candidates, probe: Probe, workspace: Workspace, scores: Scores
) -> None:
    few = score_candidates(zoo, partition, priced, probe, workspace, "naswot", sample=5, seed=3, exhaustive=0)
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
        score_candidates(zoo, partition, priced, Probe(f"npz:{path}", 8), workspace, "naswot", sample=4)


def test_candidates_of_another_partition_are_refused(
    zoo: Zoo, partition: Partition, priced: Candidates, probe: Probe, workspace: Workspace
) -> None:
    other = dataclasses.replace(partition, models=partition.models[::-1], blocks=partition.blocks[::-1])
    with pytest.raises(DeryError, match="another partition"):
        score_candidates(zoo, other, priced, probe, workspace)


def test_the_best_of_all_measured_is_the_best_there_is(priced: Candidates, scores: Scores) -> None:
    assert scores.complete
    macs = sorted(priced.costs(priced.every())[1].tolist())
    finder = Finder(priced, scores.objective)
    for budget in (Budget(), Budget(max_macs=macs[14])):
        best = finder.best(Rules(budget), top=3)
        assert best == enumerate_best(priced, scores.objective, Rules(budget), top=3)
        assert [choice.measured for choice in best] == [scores.score(choice.choice) for choice in best]


def test_a_sample_is_searched_by_its_linear_model(
    zoo: Zoo, partition: Partition, priced: Candidates, probe: Probe, workspace: Workspace
) -> None:
    few = score_candidates(zoo, partition, priced, probe, workspace, "naswot", sample=20, exhaustive=0)
    assert not few.complete
    assert few.objective == few.linear
    assert few.samples == few.linear.samples == 20


@pytest.mark.parametrize("name", ["params", "macs"])
def test_costs_as_scores_are_exact_and_measure_nothing(
    zoo: Zoo, partition: Partition, priced: Candidates, probe: Probe, workspace: Workspace, name: str
) -> None:
    seen: list[Progress] = []
    scores = score_candidates(zoo, partition, priced, probe, workspace, name, report=seen.append)
    every = [tuple(choice) for choice in priced.every().tolist()]
    row = 0 if name == "params" else 1
    assert [scores.score(choice) for choice in every] == [priced.cost(choice)[row] for choice in every]
    best = Finder(priced, scores.objective).best(Rules())[0]
    assert best.predicted == max(priced.cost(choice)[row] for choice in every if len(set(choice)) > 1)
    assert not seen
    assert not any(workspace.root.rglob("*.json"))


def test_kept_scores_are_there_once_all_is_measured(
    zoo: Zoo, partition: Partition, priced: Candidates, probe: Probe, workspace: Workspace
) -> None:
    asked = (zoo, partition, priced, probe, workspace)

    def cancel(progress: Progress) -> None:
        if progress.done == 15:
            raise Cancelled

    assert kept_scores(*asked, "naswot", sample=20, exhaustive=0) is None
    with pytest.raises(Cancelled):
        score_candidates(*asked, "naswot", sample=20, exhaustive=0, report=cancel)
    assert kept_scores(*asked, "naswot", sample=20, exhaustive=0) is None
    seen: list[Progress] = []
    measured = score_candidates(*asked, "naswot", sample=20, exhaustive=0, report=seen.append)
    # Five were left, though they were proposed in rounds.
    assert (seen[-1].done, seen[-1].total) == (5, 5)
    assert kept_scores(*asked, "naswot", sample=20, exhaustive=0) == measured
    # The family's other score was measured along with it; the official one was not.
    assert kept_scores(*asked, "naswot-normalised", sample=3, exhaustive=0) is not None
    assert kept_scores(*asked, "naswot-official", sample=3, exhaustive=0) is None


def test_an_unknown_score_is_named_with_what_it_may_have_meant(
    zoo: Zoo, partition: Partition, priced: Candidates, probe: Probe, workspace: Workspace
) -> None:
    with pytest.raises(DeryError, match="no score 'nasbot': did you mean 'naswot'"):
        score_candidates(zoo, partition, priced, probe, workspace, "nasbot")
    with pytest.raises(DeryError, match="no score 'qqq': choose one of naswot, .*ridge-probe"):
        score_candidates(zoo, partition, priced, probe, workspace, "qqq")


def test_other_pictures_under_the_same_name_are_measured_anew(
    zoo: Zoo, partition: Partition, priced: Candidates, workspace: Workspace, tmp_path: Path
) -> None:
    path, random = tmp_path / "task.npz", np.random.default_rng(1)
    asked = (zoo, partition, priced, Probe(f"npz:{path}", 8), workspace, "naswot")
    found = []
    for _ in range(2):
        np.savez(path, x=random.integers(0, 256, (20, 16, 16, 3), np.uint8), y=np.arange(20) % 2)
        loading._load.cache_clear()  # as in another process
        assert kept_scores(*asked, sample=3, exhaustive=0) is None
        found.append(score_candidates(*asked, sample=3, exhaustive=0))
    assert [each.score for each in found[0].measured] != [each.score for each in found[1].measured]
