"""Line graphs kept in memory."""

import shutil
from pathlib import Path

import pytest
import torch
from torch import nn

from dery_core.errors import DeryError
from dery_core.zoo import Layout, LineGraph, Zoo, load_zoo, zoo_line_graph
from dery_core.zoo.graph_cache import GraphCache
from dery_core.zoo.line_graph import Node


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
            graph.nodes[0].module.weight.zero_()


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
