from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from dery_core.jobs import ScoringSpec, TrainingRun, create_run
from dery_core.partition import Block, Partition
from dery_core.training import Recipe, RunSpec
from dery_core.workspace import Workspace
from dery_core.zoo import load_zoo, zoo_line_graph

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


@pytest.fixture
def scoring(toy_zoo_path: Path, toy_task: str) -> ScoringSpec:
    """NASWOT of the eight hybrids of the two toy networks in three blocks."""
    zoo = load_zoo(toy_zoo_path)
    blocks = []
    for name in zoo.names:
        cuts = np.linspace(0, len(zoo_line_graph(zoo, name).nodes), 4).round().astype(int).tolist()
        blocks.append(tuple(Block(name, a, b - 1) for a, b in zip(cuts, cuts[1:], strict=False)))
    partition = Partition(
        k=3,
        epsilon=0.2,
        size="nodes",
        models=zoo.names,
        blocks=tuple(blocks),
        sets=((0, 1, 2),) * 2,
        similarity=((1.0, 1.0, 1.0),) * 2,
        anchors=blocks[0],
        objective=6.0,
        upper_bound=6.0,
    )
    return ScoringSpec(str(toy_zoo_path), toy_task, partition, "naswot", images=16)
