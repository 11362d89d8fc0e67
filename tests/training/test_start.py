import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from dery_core.cli import main
from dery_core.data import load_task
from dery_core.errors import Cancelled, DeryError
from dery_core.jobs import TrainingRun
from dery_core.modules import received
from dery_core.progress import Progress, silent
from dery_core.reassembly.ridge_head import fit_ridge_head
from dery_core.training import Recipe, RunSpec, build_subject, loop, train_run
from dery_core.training.start import fit_start, used_start


def curve(folder: Path) -> list[dict[str, Any]]:
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [{key: value for key, value in row.items() if key != "seconds"} for row in rows]


def weights(folder: Path) -> dict[str, torch.Tensor]:
    (path,) = (folder / "weights").glob("*.safetensors")
    return load_file(path)


def closed(spec: RunSpec) -> RunSpec:
    return replace(spec, start="closed-form")


def test_a_closed_form_start_is_better_than_a_random_one_before_training(specs: Any, tmp_path: Path) -> None:
    spec = specs.hybrid(epochs=1)
    said: list[str] = []
    random = train_run(spec, tmp_path / "random", say=said.append)
    assert said == []
    fitted = train_run(closed(spec), tmp_path / "closed", say=said.append)
    assert fitted.top1_before > random.top1_before + 10
    assert len(said) == 1
    assert said[0].startswith("Closed-form start from 120 images")


@pytest.mark.parametrize("protocol", ["frozen", "full"])
def test_a_run_stopped_in_its_fit_or_after_goes_on_to_the_same_end(
    specs: Any, tmp_path: Path, protocol: Any
) -> None:
    spec = closed(specs.hybrid(protocol, epochs=2))
    whole = train_run(spec, tmp_path / "whole")
    folder = tmp_path / "stopped"

    def in_the_fit(progress: Progress) -> None:
        if progress.step == "Closed-form start" and progress.done > 150:
            raise Cancelled

    with pytest.raises(Cancelled):
        train_run(spec, folder, in_the_fit)
    assert not (folder / "metrics.jsonl").exists()

    def in_the_first_epoch(progress: Progress) -> None:
        if (folder / "metrics.jsonl").exists():
            raise Cancelled

    with pytest.raises(Cancelled):
        train_run(spec, folder, in_the_first_epoch)
    assert len(curve(folder)) == 1
    resumed = train_run(spec, folder)
    assert replace(resumed, seconds=0.0) == replace(whole, seconds=0.0)
    assert curve(folder) == curve(tmp_path / "whole")
    ours, theirs = weights(folder), weights(tmp_path / "whole")
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


def test_a_start_takes_nothing_from_the_test_set(specs: Any) -> None:
    spec = closed(specs.hybrid())
    task = load_task(spec.task)
    dark = replace(task, test=replace(task.test, images=task.test.images // 2))
    heads = []
    for each in (task, dark):
        subject: Any = build_subject(spec)
        fit_start(subject, spec, each, silent)
        heads.append(subject.module.head.classifier.weight)
    assert torch.equal(*heads)


def test_a_members_classifier_starts_from_the_same_ridge_regression(specs: Any) -> None:
    spec = closed(specs.member("toy_resnet"))
    task = load_task(spec.task)
    subject: Any = build_subject(spec)
    said = fit_start(subject, spec, task, silent)
    classifier = subject.module.get_classifier()
    x = (task.train.images.float() / 255 - 0.5) / 0.5
    with torch.no_grad():
        features = received(subject.module, classifier, x)
    expected = fit_ridge_head(features, task.train.labels, 3)
    assert np.allclose(classifier.weight.detach(), expected.weight, atol=1e-3)
    assert np.allclose(classifier.bias.detach(), expected.bias, atol=1e-3)
    assert "The classifier is right on" in said


def start_of(spec: RunSpec) -> tuple[str, list[torch.Tensor], list[torch.Tensor], Any]:
    """What a start says, the new classifier's weights before and after, and where it really started."""
    task = load_task(spec.task)
    subject: Any = build_subject(spec)
    before = [p.clone() for p in subject.fresh.parameters()]
    said = fit_start(subject, spec, task, silent)
    used = used_start(subject, spec, len(task.classes))
    return said, before, list(subject.fresh.parameters()), used


@pytest.mark.parametrize(
    ("architecture", "size", "settings"),
    [
        (
            "pit_ti_distilled_224",
            64,
            {"img_size": 64, "base_dims": (8, 8, 8), "depth": (1, 1, 1), "heads": (1, 1, 1)},
        ),
        ("repvit_m1", 64, {"embed_dim": (8, 8), "depth": (1, 1)}),
        (
            "dpn48b",
            32,
            {"num_init_features": 8, "k_r": 8, "groups": 2, "k_sec": (1, 1, 1, 1), "inc_sec": (8, 8, 8, 8)},
        ),
        ("efficientvim_m1", 64, {"embed_dim": (16, 16, 16), "depths": (1, 1, 1), "state_dim": (4, 4, 4)}),
    ],
)
def test_two_heads_one_behind_a_normalisation_a_convolution_and_a_list_are_fitted_too(
    small_member: Any, tmp_path: Path, architecture: str, size: int, settings: dict[str, Any]
) -> None:
    spec = replace(closed(small_member(architecture, size, settings)), recipe=Recipe(epochs=1, batch_size=32))
    said, before, after, used = start_of(spec)
    assert "right on" in said
    assert used == "closed-form"
    assert not any(torch.equal(a, b) for a, b in zip(before, after, strict=True) if 3 in a.shape)
    result = train_run(spec, tmp_path / "run")
    assert result.start == "closed-form"
    assert result.top1_before > 45


def test_a_classifier_of_several_layers_stays_random_and_the_result_says_so(
    specs: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def behind_another(spec: RunSpec, num_classes: int) -> Any:
        subject: Any = build_subject(spec, num_classes)
        model = subject.module
        model.fc = nn.Sequential(nn.Linear(model.fc.in_features, 5), nn.Linear(5, num_classes))
        return replace(subject, prefix=nn.Sequential(), tail=model, fresh=nn.ModuleList([model.fc]))

    monkeypatch.setattr(loop, "build_subject", behind_another)
    said: list[str] = []
    result = train_run(closed(specs.member("toy_resnet", epochs=1)), tmp_path / "run", say=said.append)
    assert result.start == "random"
    assert "starts from random weights" in said[0]


@pytest.mark.parametrize("what", ["hybrid", "member"])
def test_fewer_training_images_than_classes_are_refused(specs: Any, tmp_path: Path, what: str) -> None:
    images = np.random.default_rng(0).integers(0, 256, (5, 16, 16, 3), np.uint8)
    np.savez(tmp_path / "few.npz", x=images, y=np.arange(5))
    spec = specs.hybrid(classes=5) if what == "hybrid" else specs.member("toy_vit")
    spec = closed(replace(spec, task=f"npz:{tmp_path / 'few.npz'}"))
    with pytest.raises(DeryError, match="4 images are too few to fit a head for 5 classes.*random weights"):
        train_run(spec, tmp_path / "run")


@pytest.mark.parametrize(
    ("chosen", "start"),
    [
        ([], "closed-form"),
        (["--start", "random"], "random"),
        (["--protocol", "full"], "random"),
        (["--protocol", "full", "--start", "closed-form"], "closed-form"),
    ],
)
def test_the_command_starts_as_suits_the_protocol_unless_told_otherwise(
    specs: Any, tmp_path: Path, chosen: list[str], start: str
) -> None:
    words = ["--member", "toy_resnet", "--task", specs.task, "--epochs", "1", *chosen]
    assert main(["--workspace", str(tmp_path), "--zoo", str(specs.zoo.path), "tune", *words]) == 0
    (run,) = (tmp_path / "runs").iterdir()
    assert TrainingRun(run).spec.start == start
