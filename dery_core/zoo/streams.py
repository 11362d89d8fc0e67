"""Several tensors packed into one, and back: what carries a network on where more than one is alive."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from dery_core.zoo.recorder import RecordedTensor


class Pack(nn.Module):
    """Tensors with the images in their first axis -> (B, total), each image's numbers in a row.

    `sizes` are how many numbers each tensor has for one image.
    """

    def __init__(self, sizes: Sequence[int]) -> None:
        super().__init__()
        self.sizes = tuple(sizes)

    def forward(self, parts: Sequence[Tensor]) -> Tensor:
        rows = [part.reshape(-1, size) for part, size in zip(parts, self.sizes, strict=True)]
        return torch.cat(rows, dim=1)

    def extra_repr(self) -> str:
        return f"{list(self.sizes)}"


class Unpack(nn.Module):
    """The way back from `Pack`: copies, laid out in memory as the network had them.

    `shapes` are one image's, with the windows that it has in the first axis first; `orders` are the
    axes of every tensor from the largest stride to the smallest.
    """

    def __init__(self, shapes: Sequence[tuple[int, ...]], orders: Sequence[tuple[int, ...]]) -> None:
        super().__init__()
        self.shapes = tuple(shapes)
        self.orders = tuple(orders)

    def forward(self, packed: Tensor) -> list[Tensor]:
        parts = packed.split([math.prod(shape) for shape in self.shapes], dim=1)
        return [_laid_out(*part) for part in zip(parts, self.shapes, self.orders, strict=True)]

    def extra_repr(self) -> str:
        return f"{list(self.shapes)}"


def pack(values: Sequence[RecordedTensor]) -> Pack:
    return Pack([math.prod(_image_shape(value)) for value in values])


def unpack(values: Sequence[RecordedTensor]) -> Unpack:
    return Unpack([_image_shape(value) for value in values], [_order(value) for value in values])


def _image_shape(value: RecordedTensor) -> tuple[int, ...]:
    return (value.rows, *value.shape[1:])


def _order(value: RecordedTensor) -> tuple[int, ...]:
    axes = range(len(value.shape))
    return tuple(sorted(axes, key=lambda axis: (-value.strides[axis] * (value.shape[axis] > 1), axis)))


def _laid_out(part: Tensor, shape: tuple[int, ...], order: tuple[int, ...]) -> Tensor:
    tensor = part.reshape(-1, *shape[1:])
    inverse = [order.index(axis) for axis in range(len(order))]
    # a copy even where the memory order is the plain one: a row of the packed tensor goes on
    return tensor.permute(order).clone(memory_format=torch.contiguous_format).permute(inverse)
