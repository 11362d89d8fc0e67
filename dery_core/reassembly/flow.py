"""What the blocks of a hybrid take and give: as they were built, or as the grid flows through them."""

import math
from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import nn

from dery_core.errors import DeryError
from dery_core.reassembly.candidates import BlockFacts, block_facts
from dery_core.reassembly.stem import stem_grid
from dery_core.reassembly.value import HybridSpec
from dery_core.zoo import Layout, LineGraph, count_macs
from dery_core.zoo.sketching import sketch

_GRID_NAMES = ("input_resolution", "feat_size", "resolution")
"""What timm's modules call the grid that they were made for."""


def placed_blocks(spec: HybridSpec, graphs: Mapping[str, LineGraph]) -> list[BlockFacts]:
    """The blocks of a hybrid with the layouts and MACs that they have in it.

    With seams that resize, those of their own networks. With others every block that gets another
    grid, or fewer tokens, than it was built for is run there without numbers, on the meta device;
    DeryError when it can't.
    """
    built = [block_facts(graphs[block.model], block) for block in spec.blocks]
    if not spec.seam.flows:
        return built
    placed: list[BlockFacts] = []
    for k, facts in enumerate(built):
        taken = _entrance(spec, k, facts, placed)
        nodes = graphs[facts.block.model].nodes[facts.block.start : facts.block.end]
        placed.append(_flowed(facts, taken, nn.Sequential(*(node.module for node in nodes))))
    return placed


def _entrance(spec: HybridSpec, k: int, facts: BlockFacts, placed: list[BlockFacts]) -> Layout:
    """The layout in which stage k is reached."""
    if k == 0:
        return _entered(facts, stem_grid(spec.source.input_size), spec) if spec.stem else facts.input
    before = placed[-1]
    if spec.seamless(k - 1):
        return before.output
    stride = spec.seam_at(k - 1).stride
    return _entered(facts, (before.output.height // stride, before.output.width // stride), spec)


def _entered(facts: BlockFacts, grid: tuple[int, int], spec: HybridSpec) -> Layout:
    """The block's input layout on the grid that comes, without prefix tokens where the style has none."""
    built = facts.input
    height, width = (built.height, built.width) if spec.seam.resize else grid
    prefix = built.prefix if spec.seam.prefix else 0
    if (height, width, prefix) == (*_grid(built), built.prefix):
        return built
    if not height * width or (_bound(built) and (built.parts or (height, width) != _grid(built))):
        raise _refusal(facts, f"{height}×{width}{'' if prefix else ' without prefix tokens'}")
    return replace(built, height=height, width=width, prefix=prefix)


def _flowed(facts: BlockFacts, taken: Layout, stage: nn.Module) -> BlockFacts:
    """The block as it is when it takes `taken`."""
    if taken == facts.input:
        return facts
    if _grid(taken) != _grid(facts.input) and _keeps_grid(stage):
        raise _refusal(facts, str(taken))
    stage = sketch(stage)[0].eval()
    x = torch.empty(1, *taken.shape, device="meta")
    try:
        macs = count_macs(stage, x)
        with torch.no_grad():
            shape = tuple(stage(x).shape)
    except Exception as error:  # whatever a network raises
        raise _refusal(facts, str(taken)) from error
    given = _given(facts, taken, shape)
    if given is None:
        raise _refusal(facts, str(taken))
    return replace(facts, macs=macs, input=taken, output=given)


def _keeps_grid(stage: nn.Module) -> bool:
    """Whether a module says that it was made for one grid. Shifted windows have masks for it which
    another number of windows may fit without an error, and wrongly."""
    return any(hasattr(part, name) for part in stage.modules() for name in _GRID_NAMES)


def _bound(layout: Layout) -> bool:
    """Whether positions lie as only this grid has them."""
    return bool(layout.parts or layout.order or layout.windows)


def _grid(layout: Layout) -> tuple[int, int]:
    return layout.height, layout.width


def _given(facts: BlockFacts, taken: Layout, shape: tuple[int, ...]) -> Layout | None:
    """The layout of a block's output of this shape (batch of 1 first), None when it can't be told."""
    before, built = facts.input, facts.output
    prefix = max(0, built.prefix - before.prefix + taken.prefix)
    if _grid(taken) == _grid(before):
        grids = [_grid(built)]
    elif built.kind in ("map", "map_last") and len(shape) == 4:
        first = 2 if built.kind == "map" else 1
        grids = [(shape[first], shape[first + 1])]
    else:
        # tokens don't tell their grid, but it shrinks as it did where the block comes from
        shrunk = (taken.height * built.height / before.height, taken.width * built.width / before.width)
        grids = [(rounded(shrunk[0]), rounded(shrunk[1])) for rounded in (math.ceil, math.floor)]
    for height, width in grids:
        given = built
        if (height, width, prefix) != (*_grid(built), built.prefix):
            if _bound(built):
                return None
            given = replace(built, height=height, width=width, prefix=prefix)
        if shape == (1, *given.shape):
            return given
    return None


def _refusal(facts: BlockFacts, given: str) -> DeryError:
    return DeryError(
        f"the block {facts.first_name} to {facts.last_name} of {facts.block.model} takes {facts.input} and "
        f"doesn't run on {given}: choose a seam style that resizes and keeps prefix tokens."
    )
