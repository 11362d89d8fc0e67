import math
from pathlib import Path
from typing import Any

import pytest

from dery_core.errors import DeryError
from dery_core.training import Recipe, RunSpec
from dery_core.zoo import ZooModel

MEMBER = ZooModel("a", "resnet18", "a.safetensors", "task", (3, 8, 8), (0.5,) * 3, (0.5,) * 3)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("epochs", 0),
        ("batch_size", 1),
        ("learning_rate", 0.0),
        ("learning_rate", -1e-3),
        ("learning_rate", math.nan),
        ("learning_rate", math.inf),
        ("weight_decay", -0.1),
        ("weight_decay", math.nan),
        ("warmup_epochs", -1.0),
        ("warmup_epochs", 9.0),
        ("min_lr_ratio", 1.5),
        ("label_smoothing", 1.0),
        ("label_smoothing", -0.1),
    ],
)
def test_an_impossible_recipe_is_refused_by_the_field(field: str, value: float) -> None:
    with pytest.raises(DeryError, match=f"{field} is {value}; it must be"):
        Recipe(**{field: value})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("device", "tpu"),
        ("device", "cuda:x"),
        ("protocol", "thawed"),
        ("seed", -1),
        ("threads", 0),
        ("start", "warm"),
    ],
)
def test_an_impossible_run_is_refused_by_the_field(field: str, value: Any) -> None:
    with pytest.raises(DeryError, match=f"{field} is {value}; it must be"):
        RunSpec("run", "zoo.json", "task", member=MEMBER, **{field: value})


def test_a_run_needs_something_to_train() -> None:
    with pytest.raises(DeryError, match="exactly one of them"):
        RunSpec("run", "zoo.json", "task")


def test_a_run_spec_comes_back_from_its_file(tmp_path: Path) -> None:
    spec = RunSpec(
        "run",
        "zoo.json",
        "task",
        member=MEMBER,
        recipe=Recipe(epochs=2),
        device="cuda:1",
        start="closed-form",
    )
    spec.save(tmp_path / "spec.json")
    assert RunSpec.load(tmp_path / "spec.json") == spec


def test_the_file_is_named_when_a_value_in_it_is_impossible(tmp_path: Path) -> None:
    path = tmp_path / "spec.json"
    RunSpec("run", "zoo.json", "task", member=MEMBER).save(path)
    path.write_text(path.read_text().replace('"epochs": 8', '"epochs": 0'))
    with pytest.raises(DeryError, match=r"spec\.json: field 'recipe': epochs is 0"):
        RunSpec.load(path)


def test_a_file_from_before_starts_could_be_chosen_means_a_random_one(tmp_path: Path) -> None:
    """Written again it stays the same: its digest is what its checkpoints are tied to."""
    spec = RunSpec("run", "zoo.json", "task", member=MEMBER)
    spec.save(tmp_path / "spec.json")
    assert "start" not in (tmp_path / "spec.json").read_text()
    assert RunSpec.load(tmp_path / "spec.json").start == "random"
