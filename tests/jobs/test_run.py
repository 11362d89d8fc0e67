import json
import os
import time
from dataclasses import replace
from pathlib import Path

import pytest

from dery_core.errors import Cancelled, DeryError
from dery_core.files import sha256
from dery_core.jobs import TrainingRun, create_run, find_run, list_runs
from dery_core.jobs.process import ProcessId
from dery_core.progress import Progress
from dery_core.training import Recipe, RunSpec
from dery_core.workspace import Workspace


def curve(run: TrainingRun) -> list[dict[str, object]]:
    """A run's metrics without the clock's."""
    return [{key: value for key, value in row.items() if key != "seconds"} for row in run.metrics()]


def outcome(run: TrainingRun) -> tuple[object, ...]:
    """All that must not depend on how often a run was interrupted."""
    result = run.result()
    assert result is not None
    return curve(run), replace(result, seconds=0.0), sha256(run.weights / "model.safetensors")


def wait_for(run: TrainingRun, epoch: int) -> None:
    """Wait until a run has finished an epoch."""
    deadline = time.monotonic() + 120
    while run.status().done < epoch or not run.metrics():
        assert run.status().active, run.status().message + run.log()
        assert time.monotonic() < deadline, run.log()
        time.sleep(0.01)


def wait_for_end(run: TrainingRun) -> None:
    deadline = time.monotonic() + 120
    while run.status().active:
        assert time.monotonic() < deadline, run.log()
        time.sleep(0.02)


def test_a_new_run_is_queued_and_its_id_says_what_it_is(run: TrainingRun) -> None:
    stamp, rest = run.id[:15], run.id[15:]
    assert time.strptime(stamp, "%Y%m%d-%H%M%S")
    assert rest.startswith("-toy-vit-full-")
    status = run.status()
    assert (status.state, status.done, status.total, status.process) == ("queued", 0, 3, None)
    assert (run.metrics(), run.progress(), run.result(), run.log()) == ([], None, None, "")


def test_a_run_keeps_its_files_when_the_working_directory_changes(
    workspace: Workspace, spec: RunSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    zoo = Path(spec.zoo)
    task = Path(spec.task.removeprefix("npz:"))
    monkeypatch.chdir(zoo.parent)
    relative = replace(spec, zoo=zoo.name, task=f"npz:{os.path.relpath(task)}")
    made = create_run(workspace, relative).spec
    assert made.zoo == str(zoo)
    assert Path(made.task.removeprefix("npz:")).is_absolute()
    assert create_run(workspace, replace(spec, task="digits")).spec.task == "digits"


def test_run_here_leaves_metrics_result_weights_and_log(run: TrainingRun) -> None:
    reports: list[Progress] = []
    result = run.run_here(reports.append)
    assert run.status().state == "finished"
    assert [row["epoch"] for row in run.metrics()] == [0, 1, 2, 3]
    assert run.result() == result
    assert result.top1_before == run.metrics()[0]["top1"]
    assert result.top1 == run.metrics()[3]["top1"]
    assert run.progress() == reports[-1]
    assert reports[-1].done == reports[-1].total
    assert "Epoch 3" in run.log()


def test_a_finished_run_is_not_started_resumed_or_cancelled(run: TrainingRun) -> None:
    run.run_here()
    for action in (run.start, run.resume, run.cancel, run.run_here):
        with pytest.raises(DeryError, match="it is finished"):
            action()


def test_a_killed_run_resumes_to_the_uninterrupted_outcome(workspace: Workspace, spec: RunSpec) -> None:
    """The issue's show: SIGKILL, resume, and nothing tells the difference, to the last bit."""
    spec = replace(spec, recipe=replace(spec.recipe, epochs=15))
    whole = create_run(workspace, spec)
    whole.run_here()

    killed = create_run(workspace, spec)
    killed.start()
    with pytest.raises(DeryError, match="it is running"):
        killed.start()
    with pytest.raises(DeryError, match="is running: cancel it"):
        killed.delete()
    wait_for(killed, 2)
    process = killed.status().process
    assert process is not None
    os.kill(process.pid, 9)
    while process.alive:
        time.sleep(0.01)
    assert killed.status().state == "interrupted"
    assert killed.result() is None

    killed.resume()
    wait_for_end(killed)
    assert killed.status().state == "finished", killed.log()
    assert outcome(killed) == outcome(whole)


def test_cancel_ends_the_process_and_keeps_the_checkpoint(workspace: Workspace, spec: RunSpec) -> None:
    run = create_run(workspace, replace(spec, recipe=replace(spec.recipe, epochs=100_000)))
    run.start()
    wait_for(run, 1)
    process = run.status().process
    assert process is not None
    assert process.leads_session
    run.cancel()
    assert not process.alive
    status = run.status()
    assert status.state == "cancelled"
    assert status.message == f"Cancelled after epoch {status.done}."
    assert [row["epoch"] for row in run.metrics()] == list(range(status.done + 1))
    with pytest.raises(DeryError, match="it is cancelled"):
        run.cancel()


def test_a_queued_run_is_cancelled_without_a_process(run: TrainingRun) -> None:
    run.cancel()
    assert run.status().state == "cancelled"


def test_a_run_stopped_by_its_callback_is_cancelled_and_goes_on_later(
    workspace: Workspace, run: TrainingRun, spec: RunSpec
) -> None:
    with pytest.raises(Cancelled):
        run.run_here(stop=lambda: run.status().done == 1)
    assert run.status().state == "cancelled"
    assert run.status().message == "Cancelled after epoch 1."
    run.run_here()
    whole = create_run(workspace, spec)
    whole.run_here()
    assert outcome(run) == outcome(whole)


def test_a_run_inside_another_program_is_not_killed_with_it(run: TrainingRun) -> None:
    run._write(replace(run.status(), state="running", process=ProcessId.of(os.getppid())))
    if ProcessId.of(os.getppid()).leads_session:
        pytest.skip("the test runner's parent leads its session, as only a worker does elsewhere")
    with pytest.raises(DeryError, match="part of another program"):
        run.cancel()


@pytest.mark.parametrize("birth", ["", "another boot/1"])
def test_a_running_state_without_its_process_is_interrupted(run: TrainingRun, birth: str) -> None:
    """The pid lives (it is ours) but was born at another time: the machine has restarted."""
    run._write(replace(run.status(), state="running", done=2, process=ProcessId(os.getpid(), birth)))
    status = run.status()
    assert status.state == "interrupted"
    assert status.message.endswith("resume it after epoch 2.")


def test_a_mistake_found_in_training_becomes_the_status(workspace: Workspace, spec: RunSpec) -> None:
    run = create_run(workspace, replace(spec, task="npz:/nowhere.npz"))
    with pytest.raises(DeryError) as caught:
        run.run_here()
    assert run.status().state == "failed"
    assert run.status().message == str(caught.value)


def test_an_unexpected_error_leaves_a_sentence_and_the_log_a_traceback(
    run: TrainingRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    def breaks(*_: object, **__: object) -> None:
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr("dery_core.jobs.training.train_run", breaks)
    with pytest.raises(ZeroDivisionError):
        run.run_here()
    assert run.status().state == "failed"
    assert "ZeroDivisionError: a bug" in run.status().message
    assert "Traceback" in run.log()


def test_a_full_disk_becomes_the_status(run: TrainingRun, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("dery_core.training.checkpoint.hash_and_write", full)
        with pytest.raises(DeryError):
            run.run_here()
    status = run.status()
    assert status.state == "failed"
    assert "checkpoint.pt can't be written (No space left on device): free some space" in status.message


def test_runs_are_listed_newest_first(workspace: Workspace, spec: RunSpec) -> None:
    runs = [create_run(workspace, spec) for _ in range(3)]
    assert list_runs(workspace) == runs[::-1]


def test_an_empty_workspace_has_no_runs(workspace: Workspace) -> None:
    assert list_runs(workspace) == []


@pytest.mark.parametrize("damage", ["{", '{"state": "running"}', None])
@pytest.mark.parametrize("file", ["spec.json", "status.json"])
def test_a_damaged_run_is_listed_as_such(
    workspace: Workspace, run: TrainingRun, spec: RunSpec, file: str, damage: str | None
) -> None:
    create_run(workspace, spec)
    if damage is None:
        (run.path / file).unlink()
    else:
        (run.path / file).write_text(damage)
    states = {listed.id: listed.status() for listed in list_runs(workspace)}
    assert len(states) == 2
    assert states[run.id].state == "damaged"
    assert file in states[run.id].message
    with pytest.raises(DeryError, match="it is damaged"):
        run.start()
    run.delete()
    assert run not in list_runs(workspace)


def test_a_finished_run_with_a_damaged_result_is_damaged(run: TrainingRun) -> None:
    run.run_here()
    (run.path / "result.json").write_text("{")
    assert run.status().state == "damaged"
    assert "result.json" in run.status().message


def test_damaged_metrics_are_refused_with_a_sentence(run: TrainingRun) -> None:
    (run.path / "metrics.jsonl").write_text('{"epoch": 0')
    with pytest.raises(DeryError, match="damaged"):
        run.metrics()


def test_a_run_is_found_by_the_beginning_of_its_id(workspace: Workspace, spec: RunSpec) -> None:
    first, second = (create_run(workspace, spec) for _ in range(2))
    assert find_run(workspace, first.id) == first
    assert find_run(workspace, second.id[:-1]) == second
    with pytest.raises(DeryError, match="Several runs begin with"):
        find_run(workspace, first.id[:8])
    with pytest.raises(DeryError, match="There is no run 'x'"):
        find_run(workspace, "x")


def test_a_deleted_run_is_gone(workspace: Workspace, run: TrainingRun) -> None:
    run.delete()
    assert not run.path.exists()
    assert list(workspace.runs.iterdir()) == []
    with pytest.raises(DeryError, match="doesn't exist any more"):
        run.start()


def test_a_device_this_machine_lacks_is_refused_when_the_run_is_made(
    workspace: Workspace, spec: RunSpec
) -> None:
    with pytest.raises(DeryError, match="cuda:99 can't be used"):
        create_run(workspace, replace(spec, device="cuda:99"))


def test_the_status_is_plain_json(run: TrainingRun) -> None:
    run.run_here()
    status = json.loads((run.path / "status.json").read_text())
    assert status["state"] == "finished"
    assert status["process"]["pid"] == os.getpid()


def test_recipe_and_spec_come_back_as_they_were(run: TrainingRun, spec: RunSpec) -> None:
    assert run.spec == spec
    assert run.spec.recipe == Recipe(epochs=3, batch_size=32, learning_rate=0.01)
