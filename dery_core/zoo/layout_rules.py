"""Which `Layout` a recorded tensor has: by following its axes, by its shape where they are lost."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from dery_core.zoo.axes import Axes, Axis, Factor, follow_axes, is_grid, token_grid
from dery_core.zoo.layout import Layout
from dery_core.zoo.recorder import Trace


@dataclass(frozen=True)
class Found:
    """Layouts that a value can have, the likeliest first; `sure` when the operations settle it."""

    layouts: tuple[Layout, ...]
    sure: bool


def found_layouts(trace: Trace, prefix: int) -> dict[int, Found]:
    """What is known of every value that may be laid out over the image's positions.

    `prefix` is the number of class and register tokens that the network declares; it counts only
    where the operations don't tell.
    """
    image = trace.values[0].shape[2:]
    found = {}
    for value, axes in follow_axes(trace).items():
        recorded = trace.values[value]
        if not recorded.batched or len(recorded.shape) not in (3, 4):
            continue
        settled = _settled(axes, recorded.shape, (image[0], image[1]))
        if settled is not None:
            found[value] = Found((settled,), True)
        elif layouts := _possible(axes, recorded.shape, (image[0], image[1]), prefix):
            found[value] = Found(tuple(layouts), False)
    return found


def _settled(axes: Axes, shape: tuple[int, ...], image: tuple[int, int]) -> Layout | None:
    if len(axes) == 3:
        return token_layout(axes[1], shape[2], image) if _owns_no_position(axes[2]) else None
    if _are(axes[1:], "channels", "rows", "columns") and is_grid(shape[2], shape[3], image):
        return Layout("map", shape[1], shape[2], shape[3])
    if _are(axes[1:], "rows", "columns", "channels") and is_grid(shape[1], shape[2], image):
        return Layout("map_last", shape[3], shape[1], shape[2])
    windowed = token_layout(axes[1] + axes[2], shape[3], image) if _owns_no_position(axes[3]) else None
    return windowed and (None if windowed.prefix else replace(windowed, windows=shape[1]))


def token_layout(axis: Axis, channels: int, image: tuple[int, int]) -> Layout | None:
    """Layout of tokens along `axis`, None where they aren't a grid's."""
    prefix = 0
    if len(axis) == 1 and axis[0].kind == "tokens":
        if axis[0].suffix:
            return None
        prefix, axis = axis[0].prefix, axis[0].inner
    rows = [factor for factor in axis if factor.kind == "rows"]
    columns = [factor for factor in axis if factor.kind == "columns"]
    if len(rows) + len(columns) != len(axis) or not (_is_complete(rows) and _is_complete(columns)):
        return None
    height, width = (math.prod(factor.size for factor in factors) for factors in (rows, columns))
    if not is_grid(height, width, image):
        return None
    return Layout("tokens", channels, height, width, prefix, _order(axis, width))


def _order(axis: Axis, width: int) -> tuple[tuple[int, int], ...]:
    """`Layout.order` of tokens along `axis`."""
    order: list[tuple[int, int]] = []
    for factor in axis:
        step = factor.step * (width if factor.kind == "rows" else 1)
        if order and order[-1][1] == step * factor.size:
            order[-1] = (order[-1][0] * factor.size, step)
        else:
            order.append((factor.size, step))
    return tuple(order) if len(order) > 1 else ()


def _is_complete(factors: Sequence[Factor]) -> bool:
    """Whether they count through every row, or column, of what is now the grid."""
    by_step = sorted(factors, key=lambda factor: factor.step)
    return bool(by_step) and all(
        coarse.step == fine.step * fine.size for fine, coarse in zip(by_step, by_step[1:], strict=False)
    )


def _owns_no_position(axis: Axis) -> bool:
    return all(factor.kind in ("channels", "unknown") for factor in axis)


def _are(axes: Sequence[Axis], *kinds: str) -> bool:
    return all(
        _owns_no_position(axis) if kind == "channels" else [factor.kind for factor in axis] in ([], [kind])
        for axis, kind in zip(axes, kinds, strict=True)
    )


def _possible(axes: Axes, shape: tuple[int, ...], image: tuple[int, int], prefix: int) -> list[Layout]:
    """Layouts that the shape allows, where no axis is known to be something else."""
    if len(shape) == 4:
        found = []
        if _may_be(axes, "batch", "channels", "rows", "columns") and is_grid(shape[2], shape[3], image):
            found.append(Layout("map", shape[1], shape[2], shape[3]))
        if _may_be(axes, "batch", "rows", "columns", "channels") and is_grid(shape[1], shape[2], image):
            found.append(Layout("map_last", shape[3], shape[1], shape[2]))
        return found
    if _may_be(axes, "batch", "unknown", "channels"):
        for count in dict.fromkeys((prefix, 0, 1, 2)):
            grid = token_grid(shape[1] - count, image)
            if grid is not None:
                return [Layout("tokens", shape[2], *grid, prefix=count)]
    return []


def _may_be(axes: Axes, *kinds: str) -> bool:
    return all(
        factor.kind in (kind, "unknown") for axis, kind in zip(axes, kinds, strict=True) for factor in axis
    )
