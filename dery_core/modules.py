"""What several rooms do with a torch module."""

from collections.abc import Iterator
from contextlib import contextmanager

from torch import Tensor, nn


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


def received(module: nn.Module, inner: nn.Module, x: Tensor) -> Tensor:
    """What `inner`, a part of `module`, receives when `module` runs on x."""
    found: list[Tensor] = []
    with inner.register_forward_pre_hook(lambda _, inputs: found.append(inputs[0])):
        module(x)
    return found[0]
