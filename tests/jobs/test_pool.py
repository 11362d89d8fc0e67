from dataclasses import replace

import pytest

from dery_core.errors import Cancelled, DeryError
from dery_core.jobs import TrainingRun, create_run, run_all
from dery_core.progress import Progress
from dery_core.training import Result, RunSpec
from dery_core.workspace import Workspace


def timeless(result: Result) -> Result:
    return replace(result, seconds=0.0)


def test_processes_side_by_side_change_nothing_in_the_results(workspace: Workspace, spec: RunSpec) -> None:
    specs = [replace(spec, seed=seed) for seed in range(3)]
    alone = [timeless(create_run(workspace, spec).run_here()) for spec in specs]
    runs = [create_run(workspace, spec) for spec in specs]
    reports: list[Progress] = []
    together = run_all(runs, workers=2, report=reports.append)
    assert [timeless(result) for result in together] == alone
    assert [run.result() for run in runs] == together
    assert len({str(run.metrics()[3]["loss"]) for run in runs}) == 3, "seeds that don't matter prove nothing"
    assert (reports[-1].done, reports[-1].total, reports[-1].unit) == (9, 9, "epochs")


def test_a_failed_run_is_named_after_the_others_have_ended(workspace: Workspace, spec: RunSpec) -> None:
    bad = create_run(workspace, replace(spec, task="npz:/nowhere.npz"))
    good = create_run(workspace, spec)
    with pytest.raises(DeryError, match=f"The run {bad.id} failed"):
        run_all([bad, good], workers=1)
    assert good.status().state == "finished"


def test_cancelling_stops_every_run_and_all_can_go_on(workspace: Workspace, spec: RunSpec) -> None:
    endless = replace(spec, recipe=replace(spec.recipe, epochs=100_000))
    runs = [create_run(workspace, endless) for _ in range(2)]

    def cancel(progress: Progress) -> None:
        if progress.done:
            raise Cancelled

    with pytest.raises(Cancelled):
        run_all(runs, workers=1, report=cancel)
    states = [run.status() for run in runs]
    assert (states[0].state, states[1].state) == ("cancelled", "queued")


def test_no_workers_are_refused(run: TrainingRun) -> None:
    with pytest.raises(DeryError, match="workers is 0"):
        run_all([run], workers=0)


def test_no_runs_give_no_results() -> None:
    assert run_all([]) == []
