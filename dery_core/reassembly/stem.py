"""`Stem`: what brings images to a first block that begins inside its network."""

import torch
from torch import Tensor, nn

from dery_core.reassembly.seam import resized
from dery_core.reassembly.style import SeamStyle
from dery_core.zoo import Layout, from_feature_map

_KERNEL = 7


class Stem(nn.Module):
    """The official code's stem in place of a block's own: 7×7 convolution of stride 2 → BatchNorm →
    ReLU → 3×3 maximum of stride 2, (B, 3, H, W) → (B, *target.shape).

    The style says whether a grid other than the target's is resized. Prefix tokens are learned.
    """

    def __init__(self, target: Layout, style: SeamStyle) -> None:
        super().__init__()
        self.target, self.style = target, style
        self.conv = nn.Conv2d(3, target.channels, _KERNEL, stride=2, padding=_KERNEL // 2, bias=False)
        self.norm = nn.BatchNorm2d(target.channels)
        self.activation = nn.ReLU()
        self.pool = nn.MaxPool2d(3, stride=2, padding=1)
        nn.init.kaiming_normal_(self.conv.weight, mode="fan_out", nonlinearity="relu")
        self.prefix: nn.Parameter | None = None
        if target.prefix:
            self.prefix = nn.Parameter(torch.empty(target.prefix, target.channels))
            nn.init.trunc_normal_(self.prefix, std=0.02)

    def forward(self, images: Tensor) -> Tensor:
        x = self.pool(self.activation(self.norm(self.conv(images))))
        if self.style.resize:
            x = resized(x, (self.target.height, self.target.width))
        tokens = None if self.prefix is None else self.prefix.expand(len(x), -1, -1)
        return from_feature_map(x, self.target, tokens)


def stem_grid(input_size: tuple[int, int, int]) -> tuple[int, int]:
    """Height and width of what the stem's convolution and pooling give."""
    _, height, width = input_size
    return _halved(_halved(height)), _halved(_halved(width))


def stem_cost(input_size: tuple[int, int, int], target: Layout) -> tuple[int, int]:
    """Parameters and MACs (for one image) of a `Stem` on `target`."""
    _, height, width = input_size
    weights = 3 * _KERNEL**2 * target.channels
    params = weights + (2 + target.prefix) * target.channels
    return params, weights * _halved(height) * _halved(width)


def _halved(size: int) -> int:
    return (size + 1) // 2
