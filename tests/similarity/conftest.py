"""A zoo of tiny hand-made networks, cut by hand: no weights, no timm."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from dery_core.workspace import Workspace
from dery_core.zoo import Layout, LineGraph, Node, Zoo, ZooModel


class MapLast(nn.Module):
    """(B, C, H, W) to (B, H, W, C)."""

    def forward(self, x: Tensor) -> Tensor:
        return x.tanh().permute(0, 2, 3, 1)


class Tokens(nn.Module):
    """(B, H, W, C) to (B, 1 + H·W, C), a class token first that knows the grid's mean."""

    def forward(self, x: Tensor) -> Tensor:
        tokens = x.flatten(1, 2)
        return torch.cat([3 * tokens.mean(1, keepdim=True), tokens], dim=1)


def make_graph(seed: int, depth: int = 3, width: int = 6) -> LineGraph:
    """A convolution, `depth` blocks on maps, then one cut channels-last and one of tokens."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        blocks = [
            nn.Sequential(nn.BatchNorm2d(width), nn.ReLU(), nn.Conv2d(width, width, 3, padding=1))
            for _ in range(depth)
        ]
        modules = [nn.Conv2d(3, width, 3, padding=1), *blocks, MapLast(), Tokens()]
    layouts = [Layout("map", 3, 8, 8), *(Layout("map", width, 8, 8) for _ in range(depth + 1))]
    layouts += [Layout("map_last", width, 8, 8), Layout("tokens", width, 8, 8, prefix=1)]
    nodes = tuple(
        Node(f"n{i}", module, sum(p.numel() for p in module.parameters()), 100 * (i + 1))
        for i, module in enumerate(modules)
    )
    return LineGraph(f"tiny{seed}", (3, 8, 8), nodes, Node("head", nn.Identity(), 0, 0), tuple(layouts))


def make_model(name: str, **changes: object) -> ZooModel:
    fields: dict[str, object] = {
        "name": name,
        "architecture": "resnet18",
        "weights": f"timm:{name}",
        "source_task": "none",
        "input_size": [3, 8, 8],
        "mean": [0.5, 0.5, 0.5],
        "std": [0.25, 0.25, 0.25],
    }
    return ZooModel.from_dict({**fields, **changes})


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace.open(tmp_path / "workspace")


@pytest.fixture
def zoo(tmp_path: Path) -> Zoo:
    return Zoo(tmp_path / "zoo.json", tuple(make_model(name) for name in ("a", "b", "c")))


@pytest.fixture
def built(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the networks built so far, by `graph_of`."""
    names: list[str] = []

    def build(zoo: Zoo, name: str) -> LineGraph:
        names.append(name)
        return _graph_of(name)

    monkeypatch.setattr("dery_core.similarity.cache.zoo_line_graph", build)
    return names


def _graph_of(name: str) -> LineGraph:
    return make_graph(ord(name), depth=2 + ord(name) % 3)


@pytest.fixture
def graph_of() -> Callable[[str], LineGraph]:
    return _graph_of


@pytest.fixture
def tiny_graph() -> Callable[..., LineGraph]:
    return make_graph


@pytest.fixture
def tiny_model() -> Callable[..., ZooModel]:
    return make_model
