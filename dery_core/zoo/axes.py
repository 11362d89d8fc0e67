"""Layout of every recorded tensor, followed from the image through the operations.

The image is (B, C, H, W). Every operation says where the channels went: a convolution leaves them on
axis 1, a permutation moves them, a linear layer works on the last axis whatever it holds.
"""

import math
from dataclasses import dataclass
from typing import Any

from torch.fx.node import map_aggregate

from dery_core.zoo.layout import Layout
from dery_core.zoo.recorder import Op, Trace

_MAP_OPS = ("conv", "batch_norm", "group_norm", "instance_norm", "pool", "interpolate", "pixel_", "pad")
_MOVES = ("permute", "transpose", "swapaxes", "movedim", "moveaxis")
_RESHAPES = ("view", "reshape", "flatten", "unflatten", "squeeze", "unsqueeze")


@dataclass(frozen=True)
class Axis:
    """Where a tensor's channels are (None: not known), and whether its positions are surely in
    raster order."""

    channel: int | None
    raster: bool = True


def channel_axes(trace: Trace) -> dict[int, Axis]:
    """Channel axis of every value that depends on the input."""
    axes = {0: Axis(1)}
    for op in trace.ops:
        sources = [v for v in op.inputs if v in axes]
        if not sources:
            continue
        for result in op.results:
            if not trace.depends(result):
                continue
            shape = trace.values[result].shape
            source = next((v for v in sources if trace.values[v].shape == shape), sources[0])
            axes[result] = _after(op, axes[source], trace.values[source].shape, shape)
    return axes


def _after(op: Op, axis: Axis, before: tuple[int, ...], shape: tuple[int, ...]) -> Axis:
    last = len(shape) - 1
    if len(shape) >= 3 and op.name.strip("_").startswith(_MOVES):
        return _moved(op, axis, len(before))
    if len(shape) in (3, 4) and any(part in op.name for part in _MAP_OPS):
        return Axis(1, axis.raster or op.name.startswith("conv"))
    if op.name in ("layer_norm", "rms_norm", "linear") and axis.channel is None:
        return Axis(last, axis.raster)
    if shape == before:
        return axis
    if op.name.startswith(_RESHAPES):
        return _reshaped(axis, before, shape)
    if len(shape) == len(before):
        return axis
    return Axis(None, False)


def _moved(op: Op, axis: Axis, rank: int) -> Axis:
    if axis.channel is None:
        return Axis(None, False)
    integers: list[int] = []

    def collect(leaf: Any) -> Any:
        if type(leaf) is int:
            integers.append(leaf % rank)
        return leaf

    map_aggregate((op.args, op.kwargs), collect)
    # a permutation of split axes may leave raster order (window partition, space to depth)
    raster = axis.raster and rank <= 4
    if op.name == "permute" and len(integers) == rank:
        return Axis(integers.index(axis.channel), raster)
    if op.name in ("transpose", "transpose_", "swapaxes") and len(integers) == 2:
        swap = {integers[0]: integers[1], integers[1]: integers[0]}
        return Axis(swap.get(axis.channel, axis.channel), raster)
    return Axis(None, False)


def _reshaped(axis: Axis, before: tuple[int, ...], shape: tuple[int, ...]) -> Axis:
    if axis.channel == 1 and len(shape) > 2 and shape[1] == before[1]:
        return Axis(1, axis.raster)
    if axis.channel == len(before) - 1 and len(shape) > 2 and shape[-1] == before[-1]:
        return Axis(len(shape) - 1, axis.raster)
    return Axis(None, False)


def possible_layouts(shape: tuple[int, ...], axis: Axis, image: tuple[int, int], prefix: int) -> list[Layout]:
    """Layouts that a tensor of this shape (batch first) can have, the likeliest first.

    `image` is the input's (H, W): a feature grid has the same aspect ratio. `prefix` is the number of
    class and register tokens that the network declares.
    """
    found = []
    if len(shape) == 4:
        if axis.channel in (1, None) and _is_grid(shape[2], shape[3], image):
            found.append(Layout("map", *shape[1:]))
        if axis.channel in (3, None) and _is_grid(shape[1], shape[2], image):
            found.append(Layout("map_last", shape[3], shape[1], shape[2]))
    if len(shape) == 3 and axis.channel in (2, None):
        for count in dict.fromkeys((prefix, 0, 1, 2)):
            grid = _grid(shape[1] - count, image)
            if grid is not None:
                found.append(Layout("tokens", shape[2], *grid, prefix=count))
                break
    return found


def _is_grid(height: int, width: int, image: tuple[int, int]) -> bool:
    return abs(height * image[1] - width * image[0]) <= max(image)


def _grid(tokens: int, image: tuple[int, int]) -> tuple[int, int] | None:
    if tokens < 2:
        return None
    height = round(math.sqrt(tokens * image[0] / image[1]))
    for rows in (height, height + 1, height - 1):
        if rows > 0 and tokens % rows == 0 and _is_grid(rows, tokens // rows, image):
            return rows, tokens // rows
    return None
