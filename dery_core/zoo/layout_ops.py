"""Between a tensor in some `Layout` and the canonical feature map (B, C, H, W)."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from dery_core.zoo.layout import Layout

_POSITIONS: dict[str, tuple[int, ...]] = {"map": (2, 3), "map_last": (1, 2), "tokens": (1,), "vector": ()}


def feature_map(tensor: Tensor, layout: Layout) -> Tensor:
    """(B, *layout.shape) -> (B, C, H, W) in raster order, prefix tokens dropped.

    Streams come one after the other along the channels, each brought to the finest one's grid by
    repeating its nearest position.
    """
    _check(tensor, layout.shape)
    if layout.kind == "map":
        return tensor
    if layout.kind == "map_last":
        return tensor.permute(0, 3, 1, 2)
    if layout.kind == "vector":
        return tensor[:, :, None, None]
    if layout.kind == "streams":
        maps = [
            feature_map(part, own) for part, own in zip(unpacked(tensor, layout), layout.parts, strict=True)
        ]
        return torch.cat([_spread(features, layout) for features in maps], dim=1)
    if layout.windows:
        tensor = tensor.flatten(1, 2)
    spatial = _to_raster(tensor[:, layout.prefix :], layout).transpose(1, 2)
    return spatial.reshape(len(tensor), layout.channels, layout.height, layout.width)


def from_feature_map(features: Tensor, layout: Layout, prefix_tokens: Tensor | None = None) -> Tensor:
    """(B, C, H, W) -> (B, *layout.shape).

    `prefix_tokens` (B or 1, layout.prefix, C) come first in a token layout; zeros without. Every
    stream takes its own channels, averaged over its own grid, and as many prefix tokens as it has.
    """
    _check(features, (layout.channels, layout.height, layout.width))
    if layout.kind == "map":
        return features
    if layout.kind == "map_last":
        return features.permute(0, 2, 3, 1)
    if layout.kind == "vector":
        return features[:, :, 0, 0]
    if prefix_tokens is None:
        prefix_tokens = features.new_zeros(1, layout.prefix, layout.channels)
    if layout.kind == "streams":
        return _packed(features, layout, prefix_tokens)
    tokens = _from_raster(features.flatten(2).transpose(1, 2), layout)
    if layout.windows:
        return tokens.unflatten(1, (layout.windows, -1))
    return torch.cat([prefix_tokens.expand(len(tokens), -1, -1), tokens], dim=1) if layout.prefix else tokens


def prefix_tokens(tensor: Tensor, layout: Layout) -> Tensor:
    """(B, *layout.shape) -> (B, layout.prefix, C): the class and register tokens.

    Every stream's stand in its own channels, zeros where it has fewer than another.
    """
    _check(tensor, layout.shape)
    if layout.prefix and layout.kind == "tokens":
        return tensor[:, : layout.prefix]
    if layout.kind != "streams":
        return tensor.new_zeros(len(tensor), 0, layout.channels)
    parts = zip(unpacked(tensor, layout), layout.parts, strict=True)
    own = [(prefix_tokens(part, part_layout), part_layout.prefix) for part, part_layout in parts]
    return torch.cat([F.pad(tokens, (0, 0, 0, layout.prefix - count)) for tokens, count in own], dim=2)


def channel_means(tensor: Tensor, layout: Layout) -> Tensor:
    """(B, *layout.shape) -> (B, C): the mean over the grid, or over all tokens, class token included.

    But for streams the grid may be another than the layout's, at another image size.
    """
    if layout.kind == "streams":
        parts = zip(unpacked(tensor, layout), layout.parts, strict=True)
        return torch.cat([channel_means(part, own) for part, own in parts], dim=1)
    positions = (1, 2) if layout.windows else _POSITIONS[layout.kind]
    return tensor.mean(positions) if positions else tensor


def unpacked(tensor: Tensor, layout: Layout) -> list[Tensor]:
    """(B, total) of layout kind streams -> every part, (B, *part.shape)."""
    _check(tensor, layout.shape)
    sizes = [math.prod(part.shape) for part in layout.parts]
    flat = tensor.split(sizes, dim=1)
    return [part.unflatten(1, own.shape) for part, own in zip(flat, layout.parts, strict=True)]


def _packed(features: Tensor, layout: Layout, prefix_tokens: Tensor) -> Tensor:
    channels = [part.channels for part in layout.parts]
    split = zip(
        features.split(channels, dim=1), prefix_tokens.split(channels, dim=2), layout.parts, strict=True
    )
    packed = []
    for own, prefix, part in split:
        pooled = F.adaptive_avg_pool2d(own, (part.height, part.width))
        packed.append(from_feature_map(pooled, part, prefix[:, : part.prefix]).flatten(1))
    return torch.cat(packed, dim=1)


def _spread(features: Tensor, layout: Layout) -> Tensor:
    grid = (layout.height, layout.width)
    return features if features.shape[-2:] == grid else F.interpolate(features, grid, mode="nearest-exact")


def _to_raster(tokens: Tensor, layout: Layout) -> Tensor:
    """(B, H·W, C) along `layout.order` -> (B, H·W, C) along rows."""
    if not layout.order:
        return tokens
    by_step = _by_step(layout)
    axes = [0, *(1 + axis for axis in by_step), 1 + len(by_step)]
    split = tokens.unflatten(1, [size for size, _ in layout.order])
    return split.permute(axes).flatten(1, len(by_step))


def _from_raster(tokens: Tensor, layout: Layout) -> Tensor:
    """(B, H·W, C) along rows -> (B, H·W, C) along `layout.order`."""
    if not layout.order:
        return tokens
    by_step = _by_step(layout)
    axes = [0, *(1 + by_step.index(axis) for axis in range(len(by_step))), 1 + len(by_step)]
    split = tokens.unflatten(1, [layout.order[axis][0] for axis in by_step])
    return split.permute(axes).flatten(1, len(by_step))


def _by_step(layout: Layout) -> list[int]:
    """The axes of `layout.order` from the largest step to the smallest: rows first."""
    return sorted(range(len(layout.order)), key=lambda axis: -layout.order[axis][1])


def _check(tensor: Tensor, shape: tuple[int, ...]) -> None:
    if tuple(tensor.shape[1:]) != shape:
        raise ValueError(
            f"expected a tensor of shape (B, {', '.join(map(str, shape))}), got {tuple(tensor.shape)}"
        )
