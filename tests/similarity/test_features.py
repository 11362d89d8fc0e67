from collections.abc import Callable, Iterator
from typing import Any, Literal

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from dery_core.data import preprocess
from dery_core.errors import DeryError
from dery_core.similarity import Comparison, cut_features, similarity_matrix
from dery_core.similarity import features as features_module
from dery_core.similarity.features import equivalent
from dery_core.zoo import LineGraph, ZooModel, line_graph


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


FLAT = Comparison(pooling="flatten")


def centred_gram(features: NDArray[np.float32]) -> NDArray[np.float64]:
    exact = features.astype(np.float64)
    exact -= exact.mean(axis=0)
    return np.asarray(exact @ exact.T)


def activations(graph: LineGraph, model: ZooModel, images: Tensor) -> list[NDArray[np.float32]]:
    """What every node gives, flattened."""
    x, outputs = preprocess(images, model), []
    with torch.no_grad():
        for node in graph.nodes:
            x = node.module.eval()(x)
            outputs.append(x.flatten(1).numpy())
    return outputs


def test_whole_activations_become_what_is_as_wide_as_there_are_images(
    tiny_graph: Callable[..., LineGraph], tiny_model: Callable[..., ZooModel], images: Tensor
) -> None:
    graph, model = tiny_graph(0), tiny_model("a")
    found = cut_features(graph, model, images, comparison=FLAT)[1:]
    for feature, whole in zip(found, activations(graph, model, images), strict=True):
        assert feature.shape == (10, 10)
        expected = centred_gram(whole)
        np.testing.assert_allclose(centred_gram(feature), expected, atol=1e-6 * np.abs(expected).max())


def test_activations_narrower_than_the_images_are_many_stay(
    tiny_graph: Callable[..., LineGraph], tiny_model: Callable[..., ZooModel], images: Tensor
) -> None:
    graph, model, many = tiny_graph(0), tiny_model("a"), images.repeat(40, 1, 1, 1)
    first, *_ = cut_features(graph, model, many, comparison=FLAT)[1:]
    np.testing.assert_allclose(first, activations(graph, model, many)[0], atol=1e-6)


def test_minibatches_of_whole_activations_stand_for_themselves(
    tiny_graph: Callable[..., LineGraph], tiny_model: Callable[..., ZooModel], images: Tensor
) -> None:
    graph, model = tiny_graph(0), tiny_model("a")
    many = torch.cat([images, images.flip(2)])
    streamed = Comparison(unbiased=True, pooling="flatten", batch=10)
    found = cut_features(graph, model, many, comparison=streamed)[1:]
    for feature, whole in zip(found, activations(graph, model, many), strict=True):
        assert feature.shape == (20, 10)
        for part in (slice(0, 10), slice(10, 20)):
            expected = centred_gram(whole[part])
            np.testing.assert_allclose(
                centred_gram(feature[part]), expected, atol=1e-6 * np.abs(expected).max()
            )


def test_a_network_runs_again_where_whole_activations_do_not_fit_together(
    tiny_graph: Callable[..., LineGraph], tiny_model: Callable[..., ZooModel], images: Tensor
) -> None:
    graph, model = tiny_graph(0), tiny_model("a")
    plenty = cut_features(graph, model, images, comparison=FLAT)
    runs: list[int] = []
    graph.nodes[0].module.register_forward_pre_hook(lambda module, given: runs.append(len(given[0])))
    seen: list[int] = []
    # one activation takes 10 · 384 · 4 B, and room for two of them is left
    memory = 8 * 10 * (3 * 10 + 2 * 1024) + 2 * 15_600
    little = cut_features(graph, model, images, 4, FLAT, memory, seen.append)[1:]
    assert runs == [4, 4, 2] * 3
    assert sum(seen) == 10
    for one, other in zip(little, plenty[1:], strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)


def test_an_activation_that_does_not_fit_is_named(
    tiny_graph: Callable[..., LineGraph], tiny_model: Callable[..., ZooModel], images: Tensor
) -> None:
    with pytest.raises(DeryError, match=r"tiny0 after n0: .* of 10 images take .*minibatches"):
        cut_features(tiny_graph(0), tiny_model("a"), images, comparison=FLAT, memory=10_000)


@pytest.mark.parametrize("exact", [True, False])
def test_activations_that_never_change_are_not_told_by_their_rounding(exact: bool) -> None:
    noise = 1e-8 * torch.randn(10, 5000, generator=torch.Generator().manual_seed(0))
    assert not equivalent((1 + noise).float(), 10, exact).any()
    assert np.isnan(equivalent(torch.full((10, 5000), torch.inf), 10, exact)).all()


@pytest.mark.parametrize(("exact", "tolerance"), [(True, 1e-8), (False, 1e-6)])
def test_whole_activations_keep_their_digits_beside_a_large_mean(exact: bool, tolerance: float) -> None:
    generator = torch.Generator().manual_seed(0)
    shared = torch.randn(50, 5, generator=generator) @ torch.randn(5, 30_000, generator=generator)
    first, second = (1e4 + shared + 2 * torch.randn(50, 30_000, generator=generator) for _ in range(2))
    whole = [first.numpy(), second.numpy()]
    factors = [equivalent(features, 50, exact) for features in (first, second)]
    for comparison in (Comparison(), Comparison(unbiased=True), Comparison("rbf-cka")):
        expected = similarity_matrix(whole, comparison)[0, 1]
        assert similarity_matrix(factors, comparison)[0, 1] == pytest.approx(expected, abs=tolerance)


class SecondFirst(nn.Module):
    """Runs `first`, then `second`, but registers `second` first."""

    def __init__(self) -> None:
        super().__init__()
        self.second = nn.Sequential(nn.Conv2d(6, 8, 3, padding=1), nn.ReLU())
        self.first = nn.Sequential(nn.Conv2d(3, 6, 3, padding=1), nn.ReLU())
        self.fc = nn.Linear(8, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.second(self.first(x)).mean((2, 3)))


def test_cuts_follow_the_order_of_running_not_of_registration(
    tiny_model: Callable[..., ZooModel], images: Tensor
) -> None:
    network = SecondFirst().eval()
    graph, model = line_graph(network, (3, 8, 8)), tiny_model("a")
    names = [node.name for node in graph.nodes]
    found = dict(zip(names, cut_features(graph, model, images)[1:], strict=True))
    first = next(name for name in names if name.startswith("first"))
    second = next(name for name in names if name.startswith("second"))
    assert names.index(first) < names.index(second)
    with torch.no_grad():
        after_first = network.first(preprocess(images, model))
        after_second = network.second(after_first)
    last_of_first = [name for name in names if name.startswith("first")][-1]
    last_of_second = [name for name in names if name.startswith("second")][-1]
    np.testing.assert_allclose(found[last_of_first], after_first.mean((2, 3)), atol=1e-6)
    np.testing.assert_allclose(found[last_of_second], after_second.mean((2, 3)), atol=1e-6)


def test_no_reduced_precision_while_features_run(
    tiny_graph: Callable[..., LineGraph], tiny_model: Callable[..., ZooModel], images: Tensor
) -> None:
    graph, seen = tiny_graph(0), []
    switches = torch.backends.cudnn, torch.backends.cuda.matmul
    graph.nodes[0].module.register_forward_pre_hook(
        lambda module, given: seen.append([switch.allow_tf32 for switch in switches])
    )
    before = torch.backends.cudnn.allow_tf32
    cut_features(graph, tiny_model("a"), images)
    assert seen == [[False, False]]
    assert torch.backends.cudnn.allow_tf32 == before


@pytest.fixture
def reduced() -> Iterator[Any]:
    """The switch of a GPU's products, on: something else has turned TF32 on."""
    products = torch.backends.cuda.matmul
    before = products.allow_tf32
    products.allow_tf32 = True
    yield products
    products.allow_tf32 = before


@pytest.mark.parametrize("exact", [True, False])
def test_no_reduced_precision_while_products_are_made(
    monkeypatch: pytest.MonkeyPatch, reduced: Any, exact: bool
) -> None:
    # of the pictures as well, which no network has run on
    name = "dsyrk" if exact else "ssyrk"
    seen, multiply = [], getattr(features_module, name)

    def spy(*given: object, **settings: object) -> object:
        seen.append(reduced.allow_tf32)
        return multiply(*given, **settings)

    monkeypatch.setattr(features_module, name, spy)
    equivalent(torch.randint(0, 256, (10, 192), dtype=torch.uint8), 10, exact)
    assert seen == [False]
    assert reduced.allow_tf32


def out_of_memory(*given: object, **settings: object) -> None:
    raise torch.OutOfMemoryError("CUDA out of memory.")


@pytest.mark.parametrize("pooling", ["mean", "flatten"])
def test_a_gpu_that_holds_few_images_is_given_few(
    tiny_graph: Callable[..., LineGraph],
    tiny_model: Callable[..., ZooModel],
    images: Tensor,
    pooling: Literal["mean", "flatten"],
) -> None:
    graph, model, comparison = tiny_graph(0), tiny_model("a"), Comparison(pooling=pooling)
    expected = cut_features(graph, model, images, comparison=comparison)[1:]
    runs: list[int] = []
    graph.nodes[0].module.register_forward_pre_hook(lambda module, given: runs.append(len(given[0])))
    # in the middle of the network, so that the cuts before it are given again
    graph.nodes[2].module.register_forward_pre_hook(
        lambda module, given: out_of_memory() if len(given[0]) > 3 else None
    )
    seen: list[int] = []
    found = cut_features(graph, model, images, comparison=comparison, tick=seen.append)[1:]
    assert runs == [10, 5, 2, 2, 2, 2, 2]
    assert sum(seen) == 10
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)


def test_a_gpu_that_holds_not_even_one_image_is_one_sentence(
    tiny_graph: Callable[..., LineGraph], tiny_model: Callable[..., ZooModel], images: Tensor
) -> None:
    graph = tiny_graph(0)
    graph.nodes[2].module.register_forward_pre_hook(out_of_memory)
    with pytest.raises(DeryError, match=r"tiny0 doesn't fit into the GPU's memory.*CUDA_VISIBLE_DEVICES=-1"):
        cut_features(graph, tiny_model("a"), images)


def test_products_too_large_for_the_gpu_are_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(features_module, "ssyrk", out_of_memory)
    with pytest.raises(DeryError, match=r"^Products of 10 images don't fit into the GPU's memory: end what"):
        equivalent(torch.ones(10, 50), 10, exact=False)
