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
    return chain_macs([module], tensor)[0]


def chain_macs(modules: Sequence[nn.Module], tensor: Tensor) -> list[int]:
    """Multiply-accumulates of every module of a chain that takes `tensor`."""
    macs = []
    with torch.no_grad():
        for module in modules:
            with flop_counter() as counter:
                tensor = module(tensor)
            macs.append(counter.get_total_flops() // 2)
    return macs


def flop_counter() -> FlopCounterMode:
    """torch's counter, without its table and without hooks on other modules."""
    counter = FlopCounterMode(display=False)
    counter.mod_tracker = _OneModule()  # type: ignore[assignment]
    return counter


def chain_params(modules: Sequence[nn.Module]) -> list[int]:
    """Parameters of every module of a chain; a parameter that several share counts in the first."""
    seen: set[int] = set()
    counts = []
    for module in modules:
        fresh = [p for p in module.parameters() if id(p) not in seen]
        seen.update(map(id, fresh))
        counts.append(sum(p.numel() for p in fresh))
    return counts


class _OneModule:
    """Takes the place of the counter's module tracker: that one hooks the modules of every thread,
    and stumbles over networks that pass tuples on."""

    parents = ("Global",)

    def __enter__(self) -> None: ...

    def __exit__(self, *error: object) -> None: ...
