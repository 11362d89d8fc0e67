"""What the blocks of a hybrid take and give: as they were built, or as the grid flows through them."""

import copy
import math
from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor, nn

from dery_core.errors import DeryError
from dery_core.reassembly.candidates import BlockFacts, block_facts
from dery_core.reassembly.stem import stem_grid
from dery_core.reassembly.value import HybridSpec, adjoins
from dery_core.zoo import Layout, LineGraph, count_macs


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
    if adjoins(before.block, facts.block):
        return before.output
    stride = spec.seam_at(k - 1).stride
    return _entered(facts, (before.output.height // stride, before.output.width // stride), spec)


def _entered(facts: BlockFacts, grid: tuple[int, int], spec: HybridSpec) -> Layout:
    """The block's input layout on the grid that comes, without prefix tokens where the style has none."""
    built = facts.input
    height, width = (built.height, built.width) if spec.seam.resize else grid
    prefix = built.prefix if spec.seam.prefix else 0
    if (height, width, prefix) == (built.height, built.width, built.prefix):
        return built
    if built.parts or (built.order and (height, width) != (built.height, built.width)):
        raise _refusal(facts, f"{height}×{width}{'' if prefix else ' without prefix tokens'}")
    return replace(built, height=height, width=width, prefix=prefix)


def _flowed(facts: BlockFacts, taken: Layout, stage: nn.Module) -> BlockFacts:
    """The block as it is when it takes `taken`."""
    if taken == facts.input:
        return facts
    stage = _without_numbers(stage)
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


def _given(facts: BlockFacts, taken: Layout, shape: tuple[int, ...]) -> Layout | None:
    """The layout of a block's output of this shape (batch of 1 first), None when it can't be told."""
    built = facts.output
    prefix = max(0, built.prefix - facts.input.prefix + taken.prefix)
    for rounded in (math.ceil, math.floor):
        height = rounded(taken.height * built.height / facts.input.height)
        width = rounded(taken.width * built.width / facts.input.width)
        given = built
        if (height, width, prefix) != (built.height, built.width, built.prefix):
            given = replace(built, height=height, width=width, prefix=prefix, order=())
        if shape == (1, *given.shape) and not (built.parts or (built.order and given.order != built.order)):
            return given
    return None


def _refusal(facts: BlockFacts, given: str) -> DeryError:
    return DeryError(
        f"the block {facts.first_name} to {facts.last_name} of {facts.block.model} takes {facts.input} and "
        f"doesn't run on {given}: choose a seam style that resizes and keeps prefix tokens."
    )


def _without_numbers(module: nn.Module) -> nn.Module:
    """A copy on the meta device, made without copying a number."""
    memo: dict[int, object] = {}
    for part in module.modules():
        for held in (part._parameters, part._buffers, vars(part)):
            for tensor in held.values():
                if isinstance(tensor, nn.Parameter):
                    memo[id(tensor)] = nn.Parameter(tensor.detach().to("meta"), tensor.requires_grad)
                elif isinstance(tensor, Tensor):
                    memo[id(tensor)] = tensor.detach().to("meta")
    return copy.deepcopy(module, memo).eval()
