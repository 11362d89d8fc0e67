"""What several rooms do with torch and its modules."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import torch
from torch import Tensor, nn


@contextmanager
def cpu_threads(count: int) -> Iterator[None]:
    """Compute on so many threads of the CPU inside the block: sums depend on them in the last bit.

    Blocks may overlap in a program's threads: after the last of them it is as before the first.
    """
    global _outside
    with _lock:
        if not _inside:
            _outside = torch.get_num_threads()
        _inside.append(count)
        torch.set_num_threads(count)
    try:
        yield
    finally:
        with _lock:
            _inside.remove(count)
            torch.set_num_threads(_inside[-1] if _inside else _outside)


_lock = threading.Lock()
_inside: list[int] = []
_outside = 1


@contextmanager
def evaluating(module: nn.Module) -> Iterator[None]:
    """Evaluation mode inside the block; afterwards every part is in the mode it was in."""
    modes = [(part, part.training) for part in module.modules()]
    module.eval()
    try:
        yield
    finally:
        for part, training in modes:
            part.training = training


class _Received(Exception):
    """Ends a forward pass that has gone far enough."""


def received(module: nn.Module, inner: nn.Module, x: Tensor) -> Tensor:
    """What `inner`, a part of `module`, receives when `module` runs on x; what comes behind isn't run."""
    found: list[Tensor] = []

    def stop(_: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        found.append(inputs[0])
        raise _Received

    with inner.register_forward_pre_hook(stop), suppress(_Received):
        module(x)
    return found[0]
