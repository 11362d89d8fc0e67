"""Scorings as runs: the same life as a training's, and measurements that all share."""

import os
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from dery_core.errors import Cancelled, DeryError
from dery_core.jobs import (
    ScoringResult,
    ScoringRun,
    ScoringSpec,
    begin_scoring,
    create_run,
    list_runs,
    open_run,
    scores_of,
)
from dery_core.jobs import scored as scored_module
from dery_core.modules import cpu_threads
from dery_core.progress import Progress, silent
from dery_core.reassembly import Candidates
from dery_core.scoring import Scores, score_candidates
from dery_core.workspace import Workspace
from dery_core.zoo import Zoo, load_zoo

HYBRIDS = 8


@pytest.fixture
def zoo(toy_zoo_path: Path) -> Zoo:
    return load_zoo(toy_zoo_path)


@pytest.fixture
def priced(scoring: ScoringSpec, zoo: Zoo) -> Candidates:
    return scoring.priced(zoo, silent)


@pytest.fixture
def long(monkeypatch: pytest.MonkeyPatch) -> None:
    """No scoring is so quick that it needs no run."""
    monkeypatch.setattr(scored_module, "_QUICK_SECONDS", 0.0)


def after_three(progress: Progress) -> None:
    if progress.unit == "hybrids" and progress.done == 3:
        raise Cancelled


def test_a_scoring_run_measures_what_the_engine_measures_and_says_so(
    workspace: Workspace, scoring: ScoringSpec, zoo: Zoo, priced: Candidates, tmp_path: Path
) -> None:
    run = create_run(workspace, scoring)
    assert (run.status().state, run.status().total) == ("queued", 0)
    result = run.run_here()
    assert isinstance(result, ScoringResult)
    assert (result.score, result.measured, result.complete) == ("naswot", HYBRIDS, True)
    status = open_run(run.path).status()
    assert (status.state, status.done, status.total) == ("finished", HYBRIDS, HYBRIDS)
    assert "8 hybrids measured" in run.log()
    other = Workspace.open(tmp_path / "other")
    alone = score_candidates(zoo, scoring.partition, priced, scoring.probe, other, score="naswot")
    begun: list[Progress] = []
    assert scores_of(scoring, zoo, priced, workspace, begun.append) == alone
    assert not begun, "what the run measured was not found again"


def test_a_scoring_run_is_known_for_one_when_it_is_listed(
    workspace: Workspace, scoring: ScoringSpec, run: object
) -> None:
    made = create_run(workspace, scoring)
    listed = list_runs(workspace)
    assert [each.kind for each in listed] == ["scoring", "training"]
    assert listed[0] == made
    assert listed[0].spec == scoring
    assert made.title == "NASWOT, 2 networks in 3 blocks"
    assert "-naswot-scoring-" in made.id


def test_a_specification_without_a_kind_is_a_trainings(run: ScoringRun) -> None:
    path = run.path / "spec.json"
    path.write_text(path.read_text().replace('"kind": "training",', ""))
    assert "kind" not in path.read_text()
    assert open_run(run.path).kind == "training"
    assert open_run(run.path).status().state == "queued"


def test_an_earlier_versions_status_is_read(run: ScoringRun) -> None:
    (run.path / "status.json").write_text(
        '{"schema_version": 1, "state": "cancelled", "epochs": 3, "epoch": 2, "created": 1.0, "updated": 1.0}'
    )
    status = run.status()
    assert (status.state, status.done, status.total) == ("cancelled", 2, 3)


def test_a_cancelled_scoring_keeps_what_it_measured_and_goes_on_there(
    workspace: Workspace, scoring: ScoringSpec
) -> None:
    run = create_run(workspace, scoring)
    with pytest.raises(Cancelled):
        run.run_here(after_three)
    assert run.status().state == "cancelled"
    assert run.status().message.startswith("Cancelled after ")
    seen: list[Progress] = []
    run.run_here(seen.append)
    assert run.status().state == "finished"
    measuring = [progress for progress in seen if progress.unit == "hybrids"]
    assert 0 < measuring[-1].total < HYBRIDS


def test_a_scoring_stops_when_its_process_is_asked_to(workspace: Workspace, scoring: ScoringSpec) -> None:
    run = create_run(workspace, scoring)
    with pytest.raises(Cancelled):
        run.run_here(stop=lambda: run.progress() is not None)
    assert run.status().state == "cancelled"


def test_few_hybrids_need_no_run(
    workspace: Workspace, scoring: ScoringSpec, zoo: Zoo, priced: Candidates
) -> None:
    assert scores_of(scoring, zoo, priced, workspace).complete
    assert list_runs(workspace) == []


@pytest.mark.usefixtures("long")
def test_a_score_known_from_the_prices_needs_no_run(
    workspace: Workspace, scoring: ScoringSpec, zoo: Zoo, priced: Candidates
) -> None:
    macs = scores_of(replace(scoring, score="macs"), zoo, priced, workspace)
    assert macs.score((0, 0, 0)) == priced.cost((0, 0, 0))[1]
    assert list_runs(workspace) == []


@pytest.mark.usefixtures("long")
def test_a_long_scoring_is_a_process_of_its_own_that_all_who_ask_follow(
    workspace: Workspace, scoring: ScoringSpec, zoo: Zoo, priced: Candidates
) -> None:
    run = begin_scoring(scoring, zoo, priced, workspace)
    assert run is not None
    process = run.status().process
    assert process is not None
    assert process.leads_session
    other = replace(scoring, partition=replace(scoring.partition, epsilon=0.3, objective=5.0))
    assert begin_scoring(other, zoo, priced, workspace) == run, "the same blocks are the same work"
    seen: list[Progress] = []
    scores = scores_of(scoring, zoo, priced, workspace, seen.append)
    assert scores.complete
    assert len(scores.measured) == HYBRIDS
    assert seen[0].step == "Starting a process"
    assert list_runs(workspace) == [run]
    assert run.status().state == "finished"
    assert begin_scoring(scoring, zoo, priced, workspace) is None, "all is measured"


@pytest.mark.usefixtures("long")
def test_whoever_stops_waiting_cancels_the_run_and_asking_again_resumes_it(
    workspace: Workspace, scoring: ScoringSpec, zoo: Zoo, priced: Candidates
) -> None:
    def stop(progress: Progress) -> None:
        raise Cancelled

    with pytest.raises(Cancelled):
        scores_of(scoring, zoo, priced, workspace, stop)
    [run] = list_runs(workspace)
    assert run.status().state == "cancelled"
    assert not run.status().process.alive  # type: ignore[union-attr]
    assert begin_scoring(scoring, zoo, priced, workspace) == run
    assert run.status().state == "running"
    run.cancel()
    with pytest.raises(Cancelled):
        run.follow()


@pytest.mark.usefixtures("long")
def test_without_a_process_apart_the_run_is_carried_out_here(
    workspace: Workspace, scoring: ScoringSpec, zoo: Zoo, priced: Candidates
) -> None:
    with pytest.raises(Cancelled):
        scores_of(scoring, zoo, priced, workspace, after_three, apart=False)
    assert scores_of(scoring, zoo, priced, workspace, apart=False).complete
    [run] = list_runs(workspace)
    assert run.status().state == "finished"


@pytest.mark.usefixtures("long")
def test_a_place_told_from_here_is_the_same_work_as_told_from_anywhere(
    workspace: Workspace,
    scoring: ScoringSpec,
    zoo: Zoo,
    priced: Candidates,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    task = Path(scoring.task.removeprefix("npz:"))
    monkeypatch.chdir(task.parent)
    relative = replace(scoring, task=f"npz:{task.name}", zoo=os.path.relpath(scoring.zoo))
    assert scores_of(relative, zoo, priced, workspace, apart=False) == scores_of(
        scoring, zoo, priced, workspace, apart=False
    )
    assert begin_scoring(relative, zoo, priced, workspace) is None
    assert len(list(workspace.scores.glob("*.json"))) == 1


@pytest.mark.usefixtures("long")
def test_a_run_that_somebody_else_just_began_is_followed(
    workspace: Workspace, scoring: ScoringSpec, zoo: Zoo, priced: Candidates, monkeypatch: pytest.MonkeyPatch
) -> None:
    carried_out = ScoringRun.run_here

    def begun_meanwhile(run: ScoringRun, *given: object) -> ScoringResult:
        run.start()
        return carried_out(run, *given)  # type: ignore[arg-type]

    monkeypatch.setattr(ScoringRun, "run_here", begun_meanwhile)
    seen: list[Progress] = []
    assert scores_of(scoring, zoo, priced, workspace, seen.append, apart=False).complete
    assert seen[0].step == "Starting a process"
    [run] = list_runs(workspace)
    assert run.status().state == "finished"


def test_whoever_asks_measures_on_one_thread(
    workspace: Workspace, scoring: ScoringSpec, zoo: Zoo, priced: Candidates
) -> None:
    found = set()

    def note(progress: Progress) -> None:
        if progress.done:
            found.add(torch.get_num_threads())

    with cpu_threads(2):
        score_candidates(
            zoo,
            scoring.partition,
            priced,
            scoring.probe,
            workspace,
            "grad-norm",
            report=note,
        )
        assert torch.get_num_threads() == 2
    assert found == {1}


def test_how_many_the_model_rests_on_is_told_whatever_else_was_measured(
    workspace: Workspace, scoring: ScoringSpec, zoo: Zoo, priced: Candidates
) -> None:
    def few() -> Scores:
        return score_candidates(
            zoo, scoring.partition, priced, scoring.probe, workspace, "naswot", 4, exhaustive=0
        )

    before = few()
    assert scores_of(scoring, zoo, priced, workspace).samples == HYBRIDS
    after = few()
    assert (before.samples, after.samples) == (4, 4)
    assert after.linear == before.linear
    assert len(after.measured) == HYBRIDS


@pytest.mark.usefixtures("long")
def test_another_score_is_another_run_of_the_same_measurements(
    workspace: Workspace, scoring: ScoringSpec, zoo: Zoo, priced: Candidates
) -> None:
    scores_of(scoring, zoo, priced, workspace, apart=False)
    normalised = replace(scoring, score="naswot-normalised")
    assert not normalised.same_work(scoring)
    assert scores_of(normalised, zoo, priced, workspace).name == "naswot-normalised"
    assert len(list_runs(workspace)) == 1, "its family was measured already"


@pytest.mark.usefixtures("long")
def test_a_scoring_that_fails_says_why_and_is_tried_again(
    workspace: Workspace, scoring: ScoringSpec, zoo: Zoo, priced: Candidates, monkeypatch: pytest.MonkeyPatch
) -> None:
    def breaks(*_: object, **__: object) -> None:
        raise DeryError("the disk is full.")

    with monkeypatch.context() as patch:
        patch.setattr("dery_core.jobs.scoring.score_candidates", breaks)
        with pytest.raises(DeryError, match="the disk is full"):
            scores_of(scoring, zoo, priced, workspace, apart=False)
    [run] = list_runs(workspace)
    assert run.status().message == "the disk is full."
    with pytest.raises(DeryError, match="is failed. the disk is full"):
        run.follow()
    assert scores_of(scoring, zoo, priced, workspace, apart=False).complete
    assert list_runs(workspace) == [run]


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("score", "naswott", "no score 'naswott'"),
        ("sample", 0, "sample is 0; it must be 1 or more"),
        ("images", 1, "images is 1; it must be 2 or more"),
        ("seed", -1, "seed is -1; it must be 0 or more"),
    ],
)
def test_what_makes_no_sense_is_refused(scoring: ScoringSpec, field: str, value: object, said: str) -> None:
    with pytest.raises(DeryError, match=said):
        replace(scoring, **{field: value})  # type: ignore[arg-type]
