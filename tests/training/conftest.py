import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from safetensors.torch import save_file

from dery_core.files import sha256
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


Small = Callable[[str, int, dict[str, Any]], RunSpec]


@pytest.fixture
def small_member(specs: Specs, tmp_path: Path) -> Small:
    """Specifications of runs of one of timm's architectures, made small, with random weights."""

    def made(architecture: str, size: int, settings: dict[str, Any]) -> RunSpec:
        weights = tmp_path / "small.safetensors"
        with torch.random.fork_rng():
            torch.manual_seed(0)
            save_file(timm.create_model(architecture, num_classes=4, **settings).state_dict(), weights)
        record = replace(
            specs.zoo.model("toy_vit"),
            name="small",
            architecture=architecture,
            weights=weights.name,
            sha256=sha256(weights),
            input_size=(3, size, size),
            model_kwargs={**settings, "num_classes": 4},
        )
        (tmp_path / "zoo.json").write_text(json.dumps([record.to_dict()]))
        return replace(specs.member("toy_vit"), zoo=str(tmp_path / "zoo.json"), member=record)

    return made
