"""`preprocess`: from stored pictures to what a network takes."""

from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor


class TakesImages(Protocol):
    """What must be known of a network's input; a ZooModel has it."""

    @property
    def input_size(self) -> tuple[int, int, int]: ...
    @property
    def mean(self) -> tuple[float, float, float]: ...
    @property
    def std(self) -> tuple[float, float, float]: ...


def preprocess(images: Tensor, model: TakesImages) -> Tensor:
    """uint8 (B, 3, H, W) to float (B, *model.input_size): resized if need be, then normalised.

    Mean and deviation are on the scale 0..1, one a channel.
    """
    pictures = images.float() / 255
    size = tuple(model.input_size[1:])
    if pictures.shape[2:] != size:
        pictures = F.interpolate(pictures, size=size, mode="bilinear", align_corners=False, antialias=True)
    mean, std = (torch.tensor(v, device=images.device).view(1, 3, 1, 1) for v in (model.mean, model.std))
    return (pictures - mean) / std
