from pathlib import Path

import pytest

from dery_core.partition import Block
from dery_core.reassembly import HybridSpec
from dery_core.training import Protocol, Recipe, RunSpec
from dery_core.zoo import load_zoo, zoo_line_graph


class Specs:
    """Makes specifications of tiny runs: 3 epochs of batches of 32 unless told otherwise."""

    def __init__(self, zoo: Path, task: str) -> None:
        self.zoo, self.task = load_zoo(zoo), task

    def member(self, name: str, protocol: Protocol = "frozen", **recipe: float) -> RunSpec:
        return RunSpec(
            name=name,
            zoo=str(self.zoo.path),
            task=self.task,
            member=self.zoo.model(name),
            protocol=protocol,
            recipe=self._recipe(recipe),
        )

    def hybrid(self, protocol: Protocol = "frozen", classes: int = 3, **recipe: float) -> RunSpec:
        """The CNN's first half, then the transformer's second half, then the CNN's last node: two
        seams, and frozen blocks with batch normalisation, drop-path and dropout on both sides."""
        cnn, vit = (len(zoo_line_graph(self.zoo, name).nodes) for name in ("toy_resnet", "toy_vit"))
        blocks = (
            Block("toy_resnet", 0, cnn // 2 - 1),
            Block("toy_vit", vit // 2, vit - 1),
            Block("toy_resnet", cnn - 1, cnn - 1),
        )
        spec = HybridSpec(blocks, self.zoo.models, classes, params=0, macs=12345)
        return RunSpec(
            name="hybrid",
            zoo=str(self.zoo.path),
            task=self.task,
            hybrid=spec,
            protocol=protocol,
            recipe=self._recipe(recipe),
        )

    @staticmethod
    def _recipe(values: dict[str, float]) -> Recipe:
        return Recipe.from_dict({"epochs": 3, "batch_size": 32, "learning_rate": 0.01, **values})


@pytest.fixture(scope="session")
def specs(toy_zoo_path: Path, toy_task: str) -> Specs:
    return Specs(toy_zoo_path, toy_task)
