import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from dery_core.data import load_task
from dery_core.errors import Cancelled, DeryError
from dery_core.progress import Progress
from dery_core.reassembly import load_hybrid
from dery_core.training import EpochMetrics, Result, RunSpec, build_subject, evaluate, train_run
from dery_core.training.checkpoint import LAST
from dery_core.zoo import load_zoo


def curve(folder: Path) -> list[dict[str, Any]]:
    """metrics.jsonl without the clock's figures."""
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [{key: value for key, value in row.items() if key != "seconds"} for row in rows]


def weights(folder: Path) -> dict[str, torch.Tensor]:
    (path,) = (folder / "weights").glob("*.safetensors")
    return load_file(path)


def same(left: dict[str, torch.Tensor], right: dict[str, torch.Tensor]) -> bool:
    return left.keys() == right.keys() and all(torch.equal(left[name], right[name]) for name in left)


def make(specs: Any, what: str, protocol: str, **recipe: float) -> RunSpec:
    return specs.hybrid(protocol, **recipe) if what == "hybrid" else specs.member(what, protocol, **recipe)


def stop_after(epoch: int, folder: Path) -> Any:
    """A `stop` that asks for the end in the middle of the epoch after `epoch`."""
    calls = iter(range(10**9))
    path = folder / "metrics.jsonl"
    reached = []

    def stop() -> bool:
        if path.exists() and len(path.read_text().splitlines()) > epoch:
            reached.append(next(calls))
        return len(reached) > 2

    return stop


@pytest.mark.parametrize("what", ["toy_resnet", "toy_vit", "hybrid"])
def test_frozen_tuning_changes_no_bit_of_what_is_reused(specs: Any, tmp_path: Path, what: str) -> None:
    """Parameters and buffers (batch normalisation's statistics) alike."""
    spec = make(specs, what, "frozen")
    before = build_subject(spec)
    trained = {tensor.data_ptr() for tensor in before.tensors().values()}
    initial = before.module.state_dict()
    train_run(spec, tmp_path)
    after = weights(tmp_path)
    frozen = [name for name, tensor in initial.items() if tensor.data_ptr() not in trained]
    fresh = [name for name in initial if name not in frozen]
    assert len(frozen) > len(fresh) > 0
    assert all(torch.equal(after[name], initial[name]) for name in frozen)
    assert not any(torch.equal(after[name], initial[name]) for name in fresh if name.endswith("weight"))


def test_full_tuning_changes_weights_and_statistics(specs: Any, tmp_path: Path) -> None:
    spec = specs.member("toy_resnet", "full")
    initial = build_subject(spec).module.state_dict()
    train_run(spec, tmp_path)
    after = weights(tmp_path)
    assert not any(torch.equal(after[name], initial[name]) for name in initial)


@pytest.mark.parametrize("what", ["toy_resnet", "toy_vit", "hybrid"])
@pytest.mark.parametrize("protocol", ["frozen", "full"])
def test_keeping_inputs_changes_no_bit_of_the_outcome(
    specs: Any, tmp_path: Path, what: str, protocol: str
) -> None:
    """100 images in batches of 32 leave a smaller last batch; it must not matter either."""
    spec = make(specs, what, protocol)
    kept = train_run(spec, tmp_path / "kept")
    anew = train_run(spec, tmp_path / "anew", kept_bytes=0)
    assert replace(kept, seconds=0.0) == replace(anew, seconds=0.0)
    assert curve(tmp_path / "kept") == curve(tmp_path / "anew")
    assert same(weights(tmp_path / "kept"), weights(tmp_path / "anew"))


@pytest.mark.parametrize("protocol", ["frozen", "full"])
@pytest.mark.parametrize("epoch", [0, 1, 3])
def test_a_stopped_run_goes_on_to_the_same_end(specs: Any, tmp_path: Path, protocol: str, epoch: int) -> None:
    """Dropout and drop-path are on in the full protocol: their draws must continue too."""
    spec = make(specs, "hybrid", protocol, epochs=4)
    whole = train_run(spec, tmp_path / "whole")
    folder = tmp_path / "stopped"
    with pytest.raises(Cancelled):
        train_run(spec, folder, stop=stop_after(epoch, folder))
    assert len(curve(folder)) == epoch + 1
    resumed = train_run(spec, folder)
    assert replace(resumed, seconds=0.0) == replace(whole, seconds=0.0)
    assert curve(folder) == curve(tmp_path / "whole")
    assert same(weights(folder), weights(tmp_path / "whole"))


def test_a_run_killed_before_its_result_needs_no_further_epoch(specs: Any, tmp_path: Path) -> None:
    spec = specs.member("toy_resnet")
    result = train_run(spec, tmp_path)
    (tmp_path / "result.json").unlink()
    (tmp_path / "metrics.jsonl").unlink()
    epochs: list[EpochMetrics] = []
    assert train_run(spec, tmp_path, epoch_done=epochs.append) == result
    assert [metrics.epoch for metrics in epochs] == [3]
    assert [row["epoch"] for row in curve(tmp_path)] == [0, 1, 2, 3]


def test_a_damaged_checkpoint_is_said_and_costs_one_epoch(specs: Any, tmp_path: Path) -> None:
    spec = specs.member("toy_vit", "full")
    train_run(spec, tmp_path)
    expected, tuned = curve(tmp_path), weights(tmp_path)
    path = tmp_path / LAST
    path.write_bytes(path.read_bytes()[:-100])
    said: list[str] = []
    epochs: list[EpochMetrics] = []
    train_run(spec, tmp_path, epoch_done=epochs.append, say=said.append)
    assert "is damaged" in said[0]
    assert [metrics.epoch for metrics in epochs] == [2, 3]
    assert curve(tmp_path) == expected
    assert same(weights(tmp_path), tuned)


def test_one_seed_gives_one_outcome_and_another_seed_another(specs: Any, tmp_path: Path) -> None:
    spec = specs.member("toy_vit", "full")
    torch.manual_seed(1)
    train_run(spec, tmp_path / "a")
    state = torch.random.get_rng_state()
    torch.manual_seed(2)
    train_run(spec, tmp_path / "b")
    train_run(replace(spec, seed=1), tmp_path / "c")
    assert curve(tmp_path / "a") == curve(tmp_path / "b") != curve(tmp_path / "c")
    torch.manual_seed(1)
    assert torch.equal(torch.random.get_rng_state(), state), "the global generator must be left alone"


def test_training_learns_the_task(specs: Any, tmp_path: Path) -> None:
    result = train_run(specs.member("toy_resnet", "full", epochs=12, learning_rate=0.01), tmp_path)
    losses = [row["loss"] for row in curve(tmp_path)]
    assert losses[0] is None
    assert losses[-1] < losses[1] - 0.2
    assert result.top1 > result.top1_before + 15


@pytest.mark.parametrize("protocol", ["frozen", "full"])
def test_the_result_says_what_was_trained(specs: Any, tmp_path: Path, protocol: str) -> None:
    result = train_run(make(specs, "toy_vit", protocol), tmp_path)
    assert Result.load(tmp_path / "result.json") == result
    params = sum(tensor.numel() for tensor in weights(tmp_path).values())
    assert (result.params, result.epochs, result.classes) == (params, 3, ("0", "1", "2"))
    assert result.trainable_params == (16 * 3 + 3 if protocol == "frozen" else params)
    assert (result.top1_before, result.top1) == (curve(tmp_path)[0]["top1"], curve(tmp_path)[3]["top1"])


def test_a_tuned_member_is_a_zoo_of_one_with_the_reported_accuracy(specs: Any, tmp_path: Path) -> None:
    spec = specs.member("toy_resnet", "full")
    result = train_run(spec, tmp_path)
    zoo = load_zoo(tmp_path / "weights" / "zoo.json")
    zoo.check()
    (record,) = zoo.models
    assert (record.top1, record.params, record.macs) == (result.top1, result.params, result.macs)
    assert evaluate(zoo.build(record.name), load_task(spec.task).test, record, 32) == result.top1


def test_a_tuned_hybrid_is_loaded_with_the_reported_accuracy(specs: Any, tmp_path: Path) -> None:
    spec = specs.hybrid()
    result = train_run(spec, tmp_path)
    hybrid, loaded = load_hybrid(tmp_path / "weights")
    assert loaded == spec.hybrid
    assert result.macs == spec.hybrid.macs
    assert evaluate(hybrid, load_task(spec.task).test, loaded.source, 32) == result.top1


def test_progress_counts_every_image_trained_and_tested(specs: Any, tmp_path: Path) -> None:
    reports: list[Progress] = []
    spec = specs.member("toy_resnet")
    task = load_task(spec.task)
    train_run(spec, tmp_path, reports.append)
    last = reports[-1]
    assert (last.step, last.unit) == ("Training", "images")
    assert last.done == last.total == 3 * len(task.train) + 4 * len(task.test)
    assert {report.step for report in reports} == {
        "Preparing training images",
        "Preparing test images",
        "Training",
    }


def test_a_rate_that_diverges_ends_the_run_with_a_sentence(specs: Any, tmp_path: Path) -> None:
    spec = specs.member("toy_resnet", "full", learning_rate=1e30)
    with pytest.raises(DeryError, match=r"became .* in epoch \d.*learning rate below 1e\+30"):
        train_run(spec, tmp_path)
    assert not (tmp_path / "result.json").exists()
    assert (tmp_path / LAST).exists()


def test_a_last_batch_of_one_image_is_left_out(specs: Any, tmp_path: Path) -> None:
    """Batch normalisation at a 1×1 grid, as the toy's last stage has, can't train on one image."""
    count = len(load_task(specs.task).train)
    batch_size = next(size for size in range(2, count) if count % size == 1)
    train_run(specs.member("toy_resnet", "full", epochs=1, batch_size=batch_size), tmp_path)
    assert len(curve(tmp_path)) == 2


def test_a_checkpoint_of_another_specification_is_refused(specs: Any, tmp_path: Path) -> None:
    spec = specs.member("toy_resnet")
    train_run(spec, tmp_path)
    with pytest.raises(DeryError, match="belongs to another run"):
        train_run(replace(spec, seed=1), tmp_path)


def test_the_number_of_threads_is_put_back(specs: Any, tmp_path: Path) -> None:
    before = torch.get_num_threads()
    train_run(replace(specs.member("toy_resnet"), threads=before + 1), tmp_path)
    assert torch.get_num_threads() == before
