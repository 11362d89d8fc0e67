"""What a network says about images at each of its cuts."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dery_core.data import preprocess
from dery_core.zoo import LineGraph, ZooModel, channel_means

Features = NDArray[np.float32]


def cut_features(graph: LineGraph, model: ZooModel, images: Tensor, batch_size: int = 64) -> list[Features]:
    """Features (n, d) at every cut, L + 1 matrices, for uint8 `images` (n, 3, H, W).

    Cut 0 is the pictures themselves (`pixel_features`), the same for every model. At every other
    cut the mean over the grid, or over all tokens, class token included (where several tensors are
    alive: each one's, side by side): channels remain, as the paper compares them. Runs in eval mode
    without gradients; the batch size doesn't matter beyond float32 rounding.
    """
    parts: list[list[Tensor]] = [[] for _ in graph.nodes]
    for node in graph.nodes:
        node.module.eval()
    with torch.no_grad():
        for batch in images.split(batch_size):
            x = preprocess(batch, model)
            for part, node, layout in zip(parts, graph.nodes, graph.layouts[1:], strict=True):
                x = node.module(x)
                part.append(channel_means(x.float(), layout))
    return [pixel_features(images), *(torch.cat(part).numpy() for part in parts)]


def pixel_features(images: Tensor) -> Features:
    """uint8 (n, 3, H, W) as (n, 3·H·W) in [0, 1]."""
    return (images.flatten(1).float() / 255).numpy()
