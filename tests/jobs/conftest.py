from collections.abc import Callable
from pathlib import Path

import pytest

from dery_core.jobs import TrainingRun, create_run
from dery_core.training import Recipe, RunSpec
from dery_core.workspace import Workspace
from dery_core.zoo import load_zoo

NewRun = Callable[..., TrainingRun]


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace.open(tmp_path / "workspace")


@pytest.fixture
def spec(toy_zoo_path: Path, toy_task: str) -> RunSpec:
    """Three epochs of full tuning of the tiny vision transformer, dropout and drop-path on."""
    return RunSpec(
        name="toy",
        zoo=str(toy_zoo_path),
        task=toy_task,
        member=load_zoo(toy_zoo_path).model("toy_vit"),
        protocol="full",
        recipe=Recipe(epochs=3, batch_size=32, learning_rate=0.01),
    )


@pytest.fixture
def run(workspace: Workspace, spec: RunSpec) -> TrainingRun:
    return create_run(workspace, spec)
