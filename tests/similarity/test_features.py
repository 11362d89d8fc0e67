from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from dery_core.data import preprocess
from dery_core.similarity import cut_features
from dery_core.zoo import LineGraph, ZooModel


@pytest.fixture
def images() -> Tensor:
    return torch.randint(0, 256, (10, 3, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def test_every_cut_has_its_channels(
    tiny_graph: Callable[..., LineGraph], tiny_model: Callable[..., ZooModel], images: Tensor
) -> None:
    graph = tiny_graph(0)
    features = cut_features(graph, tiny_model("a"), images)
    assert [f.shape for f in features] == [(10, 192)] + [(10, 6)] * len(graph.nodes)


def test_grid_and_tokens_are_averaged(
    tiny_graph: Callable[..., LineGraph], tiny_model: Callable[..., ZooModel], images: Tensor
) -> None:
    graph, model = tiny_graph(0), tiny_model("a")
    *_, last_map, map_last, tokens = cut_features(graph, model, images)
    with torch.no_grad():
        outputs = [preprocess(images, model)]
        for node in graph.nodes:
            outputs.append(node.module.eval()(outputs[-1]))
    np.testing.assert_allclose(last_map, outputs[-3].mean((2, 3)), atol=1e-6)
    np.testing.assert_allclose(map_last, outputs[-2].mean((1, 2)), atol=1e-6)
    # 64 patches and a class token that is three times their mean: the mean over all 65
    np.testing.assert_allclose(tokens, map_last * (64 + 3) / 65, atol=1e-6)


def test_cut_0_is_the_pictures_whatever_the_model_normalises(
    tiny_graph: Callable[..., LineGraph], tiny_model: Callable[..., ZooModel], images: Tensor
) -> None:
    model = tiny_model("a", mean=[0.1, 0.2, 0.3])
    pixels = cut_features(tiny_graph(0), model, images)[0]
    np.testing.assert_allclose(pixels * 255, images.flatten(1), atol=1e-4)


@pytest.mark.parametrize("batch_size", [1, 3, 10, 64])
def test_batch_size_does_not_matter(
    tiny_graph: Callable[..., LineGraph],
    tiny_model: Callable[..., ZooModel],
    images: Tensor,
    batch_size: int,
) -> None:
    graph, model = tiny_graph(0), tiny_model("a")
    whole = cut_features(graph, model, images, batch_size=len(images))
    for one, other in zip(cut_features(graph, model, images, batch_size), whole, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)


def test_batch_statistics_are_neither_used_nor_changed(
    tiny_graph: Callable[..., LineGraph], tiny_model: Callable[..., ZooModel], images: Tensor
) -> None:
    graph = tiny_graph(0)
    for node in graph.nodes:
        node.module.train()
    before = [b.clone() for node in graph.nodes for b in node.module.buffers()]
    cut_features(graph, tiny_model("a"), images, batch_size=2)
    after = [b for node in graph.nodes for b in node.module.buffers()]
    assert before
    assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))
