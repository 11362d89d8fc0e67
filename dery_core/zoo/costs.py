"""Parameters and multiply-accumulates of modules."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode


def count_macs(module: nn.Module, tensor: Tensor) -> int:
    """Multiply-accumulates of `module(tensor)`: half of what torch's flop counter says.

    Counts convolutions, matrix products and attention, as papers do; norms, activations and
    poolings count nothing.
    """
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        module(tensor)
    return counter.get_total_flops() // 2


def chain_macs(modules: Sequence[nn.Module], images: Tensor) -> list[int]:
    """Multiply-accumulates of every module of a chain, for the images given."""
    macs = []
    with torch.no_grad():
        for module in modules:
            with FlopCounterMode(display=False) as counter:
                images = module(images)
            macs.append(counter.get_total_flops() // 2)
    return macs


def chain_params(modules: Sequence[nn.Module]) -> list[int]:
    """Parameters of every module of a chain; a parameter that several share counts in the first."""
    seen: set[int] = set()
    counts = []
    for module in modules:
        fresh = [p for p in module.parameters() if id(p) not in seen]
        seen.update(map(id, fresh))
        counts.append(sum(p.numel() for p in fresh))
    return counts
