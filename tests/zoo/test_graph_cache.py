"""Line graphs kept in memory."""

import dataclasses
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from dery_core.errors import DeryError
from dery_core.zoo import Layout, LineGraph, Zoo, building, load_zoo, zoo_line_graph
from dery_core.zoo.architecture import build_architecture
from dery_core.zoo.graph_cache import GraphCache
from dery_core.zoo.line_graph import Node
from dery_core.zoo.model import ZooModel


def _graph(size: int) -> LineGraph:
    """Of size · size float32 numbers."""
    node = Node("node", nn.Linear(size, size, bias=False), size * size, 0)
    layouts = (Layout("map", 3, 8, 8), Layout("map", size, 1, 1))
    return LineGraph("net", (3, 8, 8), (node,), Node("head", nn.Identity(), 0, 0), layouts)


def test_what_is_done_to_one_graph_does_not_reach_the_next() -> None:
    cache = GraphCache(1000)
    first = cache.get("a", lambda: _graph(4))
    expected = first.nodes[0].module(torch.ones(1, 4)).clone()
    for _ in range(2):
        graph = cache.get("a", lambda: pytest.fail("built twice"))
        assert torch.equal(graph.nodes[0].module(torch.ones(1, 4)), expected)
        with torch.no_grad():
            graph.nodes[0].module.get_parameter("weight").zero_()


def test_the_longest_unused_goes_when_memory_runs_out() -> None:
    cache = GraphCache(2 * 4 * 16)
    built = []

    def get(key: str, size: int = 4) -> None:
        cache.get(key, lambda: built.append(key) or _graph(size))  # type: ignore[func-returns-value]

    for key in ("a", "b", "a", "c", "a", "b"):
        get(key)
    assert built == ["a", "b", "c", "b"]
    get("large", 8)
    get("b")
    assert built[4:] == ["large"]


def test_a_weight_file_that_is_gone_is_told_though_its_graph_was_kept(
    toy_zoo_path: Path, tmp_path: Path
) -> None:
    folder = shutil.copytree(toy_zoo_path.parent, tmp_path / "zoo")
    zoo: Zoo = load_zoo(folder / toy_zoo_path.name)
    path = zoo.weights_path("toy_vit")
    assert path is not None
    images = torch.randn(2, 3, 16, 16)
    before = zoo_line_graph(zoo, "toy_vit")(images)
    assert torch.equal(zoo_line_graph(zoo, "toy_vit")(images), before)
    path.unlink()
    with pytest.raises(DeryError, match="toy_vit"):
        zoo_line_graph(zoo, "toy_vit")


def test_a_replaced_weight_file_gives_a_new_graph_and_the_same_file_none(
    toy_zoo_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = shutil.copytree(toy_zoo_path.parent, tmp_path / "zoo")
    zoo = load_zoo(folder / toy_zoo_path.name)
    zoo = dataclasses.replace(zoo, models=tuple(dataclasses.replace(m, sha256="") for m in zoo.models))
    path = zoo.weights_path("toy_vit")
    assert path is not None
    built = _count_builds(monkeypatch)
    images = torch.randn(2, 3, 16, 16)
    before = zoo_line_graph(zoo, "toy_vit")(images)
    zoo_line_graph(zoo, "toy_vit")
    assert built == ["toy_vit"]
    save_file({name: 2 * tensor for name, tensor in load_file(path).items()}, path)
    assert not torch.equal(zoo_line_graph(zoo, "toy_vit")(images), before)
    assert built == ["toy_vit", "toy_vit"]


def test_a_replaced_file_of_timms_weights_gives_a_new_graph(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = ZooModel(
        "toy", "resnet10t", "timm:c3_in1k", "imagenet", (3, 32, 32), (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)
    )
    zoo = Zoo(tmp_path / "zoo.json", (model,))
    path = tmp_path / "weights"
    path.write_bytes(b"first")
    monkeypatch.setattr(building, "cached_weights", lambda name: path)
    monkeypatch.setattr(Zoo, "build", lambda zoo, name: build_architecture(model).eval())
    built = _count_builds(monkeypatch)
    for _ in range(2):
        zoo_line_graph(zoo, "toy")
    assert built == ["toy"]
    path.write_bytes(b"the second")
    zoo_line_graph(zoo, "toy")
    assert built == ["toy", "toy"]


def _count_builds(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    built, build = [], Zoo.build

    def counted(zoo: Zoo, name: str) -> nn.Module:
        built.append(name)
        return build(zoo, name)

    monkeypatch.setattr(Zoo, "build", counted)
    return built
