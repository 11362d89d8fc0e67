"""Top-1 accuracy."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from dery_core.data import ImageSet, preprocess
from dery_core.modules import evaluating
from dery_core.training.inputs import Inputs
from dery_core.zoo import ZooModel


def evaluate(
    module: nn.Module,
    data: ImageSet,
    model: ZooModel,
    batch_size: int = 64,
    device: torch.device | str = "cpu",
) -> float:
    """Top-1 of `module` on `data`, preprocessed as `model` asks, in percent. The module is in
    evaluation mode meanwhile; afterwards every part of it is in the mode it was in."""
    inputs = Inputs(data, lambda x: preprocess(x, model), batch_size, torch.device(device), kept_bytes=0)
    with evaluating(module):
        return top1(module, inputs)


def _nothing(images: int) -> None:
    """The default `seen` of `top1`."""


@torch.no_grad()
def top1(module: Callable[[Tensor], Tensor], inputs: Inputs, seen: Callable[[int], None] = _nothing) -> float:
    """Top-1 of a module on prepared inputs, in percent; `seen` is told of every batch's images."""
    correct = 0
    for index in torch.arange(len(inputs)).split(inputs.batch_size):
        values, labels = inputs[index]
        correct += int((module(values).argmax(1) == labels).sum())
        seen(len(index))
    return 100.0 * correct / len(inputs)
