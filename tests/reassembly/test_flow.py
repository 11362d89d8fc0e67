"""Hybrids with a new stem, and hybrids whose seams don't resize: the grid flows on."""

import dataclasses
from collections.abc import Mapping

import pytest
import torch

from dery_core.errors import DeryError
from dery_core.partition import Block, Partition
from dery_core.reassembly import (
    SEAM_STYLES,
    Candidates,
    HybridSpec,
    SeamStyle,
    assemble,
    candidates,
    fit_report,
    hybrid_table,
    priced,
)
from dery_core.zoo import LineGraph, Zoo, count_macs, zoo_line_graph

OFFICIAL = SEAM_STYLES["official"]


@pytest.fixture(scope="module")
def graphs(zoo: Zoo) -> dict[str, LineGraph]:
    return {name: zoo_line_graph(zoo, name) for name in zoo.names}


def hybrid(zoo: Zoo, graphs: Mapping[str, LineGraph], *blocks: Block, style: SeamStyle) -> HybridSpec:
    models = tuple(zoo.model(name) for name in dict.fromkeys(block.model for block in blocks))
    return priced(HybridSpec(blocks, models, 5, 0, 0, style), graphs)


def named(graphs: Mapping[str, LineGraph], model: str, first: int, last: int | None = None) -> Block:
    return Block(model, first, len(graphs[model].nodes) - 1 if last is None else last)


def check_built(spec: HybridSpec, graphs: Mapping[str, LineGraph]) -> None:
    """Runs both ways, with the params and MACs that the spec says."""
    built = assemble(spec, graphs)
    image = torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    assert sum(p.numel() for p in built.parameters()) == spec.params
    assert count_macs(built, image[:1]) == spec.macs
    logits = built.train()(image)
    assert logits.shape == (2, 5)
    logits.logsumexp(1).sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in built.new_parameters())


@pytest.mark.parametrize(
    ("style", "first"),
    [("default", "map"), ("plain", "map"), ("official", "map"), ("default", "map_last"), ("plain", "tokens")],
)
def test_a_first_block_from_inside_its_network_gets_a_stem(
    zoo: Zoo, graphs: dict[str, LineGraph], style: str, first: str
) -> None:
    blocks = named(graphs, first, 1, 1), named(graphs, "map", 3)
    spec = hybrid(zoo, graphs, *blocks, style=SEAM_STYLES[style])
    check_built(spec, graphs)
    stem = hybrid_table(spec, zoo)[0]
    assert (stem.stage, stem.model) == (-1, "")
    assert "a new, untrained stem stands there" in fit_report(spec, graphs)[0].remarks[0]


def test_a_stem_before_a_transformer_learns_its_class_token(zoo: Zoo, graphs: dict[str, LineGraph]) -> None:
    spec = hybrid(
        zoo, graphs, named(graphs, "tokens", 1, 2), named(graphs, "map", 3), style=SEAM_STYLES["default"]
    )
    check_built(spec, graphs)
    assert fit_report(spec, graphs)[0].learned == 1


def test_stem_and_new_layers_are_what_frozen_tuning_trains(zoo: Zoo, graphs: dict[str, LineGraph]) -> None:
    blocks = named(graphs, "map", 1, 2), named(graphs, "tokens", 2)
    built = assemble(hybrid(zoo, graphs, *blocks, style=OFFICIAL), graphs)
    assert built.fresh_modules() == [built.stem, *built.seams, built.head]
    new = {id(p) for p in built.new_parameters()}
    assert new == {id(p) for p in built.parameters()} - {id(p) for p in built.stages.parameters()}


def test_the_grid_flows_through_official_seams(zoo: Zoo, graphs: dict[str, LineGraph]) -> None:
    # The convolutional network gives its last block's input 2×2; the transformer's 4×4 flows on instead.
    blocks = named(graphs, "tokens", 1, 2), named(graphs, "map", 3)
    spec = hybrid(zoo, graphs, *blocks, style=OFFICIAL)
    check_built(spec, graphs)
    (_, seam) = fit_report(spec, graphs)
    built = graphs["map"].layouts[3]
    assert (seam.source.height, seam.target.height) == (4, 4)
    assert (
        seam.remarks[-1] == f"map's block was built for {built.height}×{built.width} positions and gets 4×4"
    )
    restyled = priced(dataclasses.replace(spec, seam=SEAM_STYLES["default"]), graphs)
    assert restyled.macs != spec.macs


def test_a_transformer_runs_without_its_class_token_in_official_hybrids(
    zoo: Zoo, graphs: dict[str, LineGraph]
) -> None:
    blocks = named(graphs, "map", 1, 1), named(graphs, "tokens", 1)
    spec = hybrid(zoo, graphs, *blocks, style=OFFICIAL)
    check_built(spec, graphs)
    seam = fit_report(spec, graphs)[1]
    assert (seam.target.prefix, seam.learned) == (0, 0)
    assert "tokens's block was built with a class token and gets none" in seam.remarks


def test_a_stride_shrinks_the_grid_that_flows(zoo: Zoo, graphs: dict[str, LineGraph]) -> None:
    blocks = named(graphs, "tokens", 1, 1), named(graphs, "map", 2)
    spec = hybrid(zoo, graphs, *blocks, style=OFFICIAL)
    strided = priced(dataclasses.replace(spec, strides=(2,)), graphs)
    check_built(strided, graphs)
    assert fit_report(strided, graphs)[1].summary == "4×4 → 2×2 (÷2)"


def test_official_seams_stand_between_adjoining_blocks_too(zoo: Zoo, graphs: dict[str, LineGraph]) -> None:
    spec = hybrid(zoo, graphs, named(graphs, "map", 1, 1), named(graphs, "map", 2), style=OFFICIAL)
    check_built(spec, graphs)
    assert [found.stage for found in fit_report(spec, graphs)] == [-1, 0]


def test_windows_made_for_another_grid_are_refused_in_a_sentence(
    zoo: Zoo, graphs: dict[str, LineGraph]
) -> None:
    # The stem gives 4×4; these windows were made for 8×8.
    with pytest.raises(DeryError, match=r"map_last takes 8×8 × 8 and doesn't run on 4×4 × 8: choose"):
        hybrid(zoo, graphs, named(graphs, "map_last", 1), style=OFFICIAL)


def test_styles_that_do_not_resize_cannot_be_searched(zoo: Zoo, partition: Partition) -> None:
    with pytest.raises(DeryError, match="hybrids can't be searched with official seams"):
        candidates(zoo, partition, 5, OFFICIAL)


def test_seams_between_adjoining_blocks_are_priced_where_the_style_has_them(
    zoo: Zoo, partition: Partition, graphs: dict[str, LineGraph]
) -> None:
    known: Candidates = candidates(zoo, partition, 5, SeamStyle(always=True))
    check_built(known.spec(zoo, (0, 0, 1)), graphs)
