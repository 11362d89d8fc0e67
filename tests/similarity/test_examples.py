"""Pictures of what happens at a cut: right shapes, right places, right channels."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from dery_core.data import preprocess
from dery_core.errors import DeryError
from dery_core.similarity.examples import CutExamples, cut_examples, module_classes
from dery_core.zoo import Layout, LineGraph, Node, Zoo


class Split(nn.Module):
    """(B, 3, 8, 8) to two streams side by side: the picture in a coarse grid, and three numbers."""

    def forward(self, x: Tensor) -> Tensor:
        coarse = nn.functional.avg_pool2d(x, 2)
        return torch.cat([coarse.flatten(1), 5 * x.mean((2, 3))], dim=1)


STREAMS = LineGraph(
    "streams",
    (3, 8, 8),
    (Node("split", Split(), 0, 0),),
    Node("head", nn.Identity(), 0, 0),
    (Layout("map", 3, 8, 8), Layout.of_parts([Layout("map", 3, 4, 4), Layout.vector(3)])),
)


@pytest.fixture
def images() -> Tensor:
    return torch.randint(0, 256, (3, 3, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def examples_of(
    zoo: Zoo, images: Tensor, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., tuple[CutExamples, ...]]:
    def examples(graph: LineGraph, channels: int = 8) -> tuple[CutExamples, ...]:
        monkeypatch.setattr("dery_core.similarity.examples.zoo_line_graph", lambda zoo, name: graph)
        return cut_examples(zoo, "a", images, channels)

    return examples


def test_every_cut_has_its_layer_its_shapes_and_its_channels(
    examples_of: Callable[..., tuple[CutExamples, ...]], tiny_graph: Callable[..., LineGraph]
) -> None:
    graph = tiny_graph(0)
    examples = examples_of(graph, channels=4)
    assert [each.cut for each in examples] == list(range(len(graph.nodes) + 1))
    assert [each.node for each in examples] == ["input", *(node.name for node in graph.nodes)]
    assert [each.before for each in examples[1:]] == [str(layout) for layout in graph.layouts[:-1]]
    assert [each.after for each in examples] == [str(layout) for layout in graph.layouts]
    assert [each.maps.shape for each in examples[1:]] == [(4, 3, 8, 8)] * len(graph.nodes)
    assert examples[2].modules == ("BatchNorm2d", "ReLU", "Conv2d")


def test_every_channel_reaches_from_0_to_1_over_all_images(
    examples_of: Callable[..., tuple[CutExamples, ...]], tiny_graph: Callable[..., LineGraph]
) -> None:
    for each in examples_of(tiny_graph(0))[1:]:
        assert each.maps.min(axis=(1, 2, 3)) == pytest.approx(0)
        assert each.maps.max(axis=(1, 2, 3)) == pytest.approx(1)


def test_cut_0_is_the_image_itself(
    examples_of: Callable[..., tuple[CutExamples, ...]], tiny_graph: Callable[..., LineGraph], images: Tensor
) -> None:
    first = examples_of(tiny_graph(0))[0]
    assert first.channels == ("red", "green", "blue")
    np.testing.assert_allclose(first.maps.transpose(1, 0, 2, 3) * 255, images, atol=1e-4)


def test_the_channel_that_varies_most_comes_first(
    examples_of: Callable[..., tuple[CutExamples, ...]],
    tiny_graph: Callable[..., LineGraph],
    tiny_model: Callable[..., object],
    images: Tensor,
) -> None:
    graph = tiny_graph(0)
    first = examples_of(graph)[1]
    with torch.no_grad():
        given = graph.nodes[0].module(preprocess(images, tiny_model("a")))  # type: ignore[arg-type]
    order = given.var(dim=(0, 2, 3)).argsort(descending=True).tolist()
    assert first.channels == tuple(f"channel {number}" for number in order)
    strongest = given[:, order[0]]
    expected = (strongest - strongest.min()) / (strongest.max() - strongest.min())
    np.testing.assert_allclose(first.maps[0], expected, atol=1e-6)


def test_tokens_stand_where_they_belong_and_the_class_token_is_left_out(
    examples_of: Callable[..., tuple[CutExamples, ...]], tiny_graph: Callable[..., LineGraph]
) -> None:
    *_, maps, tokens = examples_of(tiny_graph(0))
    assert (maps.prefix, tokens.prefix) == (0, 1)
    assert tokens.after == "1+8×8 tokens × 6"
    # the node only lays the same numbers out in another way, and adds a token
    assert tokens.channels == maps.channels
    np.testing.assert_allclose(tokens.maps, maps.maps, atol=1e-6)


def test_streams_are_shown_side_by_side_on_the_finest_grid(
    examples_of: Callable[..., tuple[CutExamples, ...]],
) -> None:
    after = examples_of(STREAMS)[1]
    assert after.maps.shape == (6, 3, 4, 4)
    flat = [i for i, name in enumerate(after.channels) if name in ("channel 3", "channel 4", "channel 5")]
    assert np.ptp(after.maps[flat], axis=(2, 3)) == pytest.approx(0), "a number has no place in the image"


def test_a_channel_that_never_varies_is_zero_and_finite(
    examples_of: Callable[..., tuple[CutExamples, ...]],
) -> None:
    still = nn.Conv2d(3, 2, 1)
    nn.init.zeros_(still.weight)
    graph = LineGraph(
        "still",
        (3, 8, 8),
        (Node("still", still, 0, 0),),
        Node("head", nn.Identity(), 0, 0),
        (Layout("map", 3, 8, 8), Layout("map", 2, 8, 8)),
    )
    assert np.array_equal(examples_of(graph)[1].maps, np.zeros((2, 3, 8, 8)))


def test_a_model_the_zoo_lacks_is_one_sentence(zoo: Zoo, images: Tensor) -> None:
    with pytest.raises(DeryError, match="has no model 'zz'"):
        cut_examples(zoo, "zz", images)


def test_a_long_chain_of_modules_is_cut_short() -> None:
    chain = nn.Sequential(nn.Conv2d(3, 3, 1), nn.Dropout(), *(nn.ReLU() for _ in range(5)))
    assert module_classes(chain) == ("Conv2d", "ReLU", "ReLU", "…")
    assert module_classes(nn.Linear(1, 1)) == ("Linear",)
