"""The published hybrids, built on the meta device: nothing is loaded or computed."""

from types import ModuleType

import pytest

from dery_core.errors import DeryError
from dery_core.reassembly import PUBLISHED, Published, block_named
from dery_core.reassembly.official import SOURCES
from dery_core.zoo import LineGraph

BENCHMARK = "official_hybrids"


@pytest.fixture(scope="module")
def graphs(benchmark: ModuleType) -> dict[str, LineGraph]:
    return benchmark.meta_graphs()


@pytest.mark.parametrize("published", PUBLISHED, ids=lambda published: published.name)
def test_published_hybrid_has_the_published_size(
    benchmark: ModuleType, graphs: dict[str, LineGraph], published: Published
) -> None:
    # `measured` also stops where the closed form differs from what the built module shows.
    figures = benchmark.measured(published, graphs)
    assert (figures.params, figures.trainable) == (published.params, published.trainable)
    assert abs(figures.gap(figures.macs_as_published)) < 1
    # The paper's counter leaves attention's products out and counts norms; ours does the opposite.
    assert abs(figures.gap(figures.macs)) < 2


def test_a_node_that_is_not_there_is_a_sentence(graphs: dict[str, LineGraph]) -> None:
    with pytest.raises(DeryError, match=r"resnet50 has no node 'layer1\.7': did you mean 'layer1\."):
        block_named(graphs["resnet50"], "layer1.0", "layer1.7")


def test_a_window_transformer_refuses_a_grid_it_was_not_built_for(graphs: dict[str, LineGraph]) -> None:
    blocks = (("resnet50", "layer1.0", "layer1.1"), ("swin_small", "layers.2.blocks.0", "layers.2.blocks.3"))
    unfit = Published("unfit", blocks, params=0, trainable=0, macs=1.0)
    with pytest.raises(DeryError, match="swin_small takes 14×14 × 384 and doesn't run on 56×56"):
        unfit.spec(graphs)


def test_every_source_is_a_pretrained_network_of_timm() -> None:
    import timm

    tags = set(timm.list_pretrained())
    named = {f"{source.architecture}.{source.weights.removeprefix('timm:')}" for source in SOURCES.values()}
    assert named <= tags
