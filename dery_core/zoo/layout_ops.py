"""Between a tensor in some `Layout` and the canonical feature map (B, C, H, W)."""

import torch
from torch import Tensor

from dery_core.zoo.layout import Layout


def feature_map(tensor: Tensor, layout: Layout) -> Tensor:
    """(B, *layout.shape) -> (B, C, H, W), prefix tokens dropped."""
    _check(tensor, layout.shape)
    if layout.kind == "map":
        return tensor
    if layout.kind == "map_last":
        return tensor.permute(0, 3, 1, 2)
    spatial = tensor[:, layout.prefix :].transpose(1, 2)
    return spatial.reshape(len(tensor), layout.channels, layout.height, layout.width)


def from_feature_map(features: Tensor, layout: Layout, prefix_tokens: Tensor | None = None) -> Tensor:
    """(B, C, H, W) -> (B, *layout.shape).

    `prefix_tokens` (B or 1, layout.prefix, C) come first in a token layout; zeros without.
    """
    _check(features, (layout.channels, layout.height, layout.width))
    if layout.kind == "map":
        return features
    if layout.kind == "map_last":
        return features.permute(0, 2, 3, 1)
    tokens = features.flatten(2).transpose(1, 2)
    if not layout.prefix:
        return tokens
    if prefix_tokens is None:
        prefix_tokens = tokens.new_zeros(1, layout.prefix, layout.channels)
    return torch.cat([prefix_tokens.expand(len(tokens), -1, -1), tokens], dim=1)


def prefix_tokens(tensor: Tensor, layout: Layout) -> Tensor:
    """(B, *layout.shape) -> (B, layout.prefix, C): the class and register tokens of a token layout."""
    _check(tensor, layout.shape)
    if layout.kind != "tokens":
        return tensor.new_zeros(len(tensor), 0, layout.channels)
    return tensor[:, : layout.prefix]


def _check(tensor: Tensor, shape: tuple[int, ...]) -> None:
    if tuple(tensor.shape[1:]) != shape:
        raise ValueError(
            f"expected a tensor of shape (B, {', '.join(map(str, shape))}), got {tuple(tensor.shape)}"
        )
