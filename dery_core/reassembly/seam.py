"""`Seam`: the stitching layer that turns one block's output into the next block's input."""

import torch
import torch.nn.functional as F
from timm.layers import LayerNorm2d
from torch import Tensor, nn

from dery_core.errors import DeryError
from dery_core.reassembly.style import LEAK, SEAM_STYLES, Norm, SeamStyle
from dery_core.zoo import Layout, feature_map, from_feature_map, prefix_tokens


class Seam(nn.Module):
    """Stitching layer between any two layouts (the paper's section 3.3).

    (B, *source.shape) → feature map → resize to the target's grid → norm → 1×1 convolution →
    activation → (B, *target.shape), as `style` says. Where the target has prefix tokens they are
    learned; where the source has some too, they are carried over by a linear map and added, first
    to first. DeryError when the style doesn't resize and the target's grid isn't what comes.
    """

    def __init__(self, source: Layout, target: Layout, style: SeamStyle = SEAM_STYLES["default"]) -> None:
        super().__init__()
        self.source, self.target, self.style = source, target, style
        _check_grid(source, target, style)
        norm = style.norm_between(source, target)
        self.norm = _norm(norm, source.channels)
        self.conv = nn.Conv2d(
            source.channels, target.channels, kernel_size=style.stride, stride=style.stride, bias=style.bias
        )
        self.activation = style.make_activation()
        _initialise(self.conv, style)
        self.prefix: nn.Parameter | None = None
        self.carry: nn.Sequential | None = None
        if target.prefix:
            self.prefix = nn.Parameter(torch.empty(target.prefix, target.channels))
            nn.init.trunc_normal_(self.prefix, std=0.02)
            if source.prefix:
                self.carry = nn.Sequential(
                    nn.LayerNorm(source.channels) if norm != "none" else nn.Identity(),
                    nn.Linear(source.channels, target.channels, bias=False),
                )

    def forward(self, x: Tensor) -> Tensor:
        image = feature_map(x, self.source)
        if self.style.resize:
            image = resized(image, _taken_grid(self.target, self.style))
        image = self.activation(self.conv(self.norm(image)))
        return from_feature_map(image, self.target, self._prefix_tokens(x))

    def _prefix_tokens(self, x: Tensor) -> Tensor | None:
        """(B, target.prefix, C') or None."""
        if self.prefix is None:
            return None
        tokens = self.prefix.expand(len(x), -1, -1)
        if self.carry is None:
            return tokens
        carried = min(self.source.prefix, self.target.prefix)
        sent = self.carry(prefix_tokens(x, self.source)[:, :carried])
        return tokens + F.pad(sent, (0, 0, 0, self.target.prefix - carried))

    def extra_repr(self) -> str:
        return f"{self.source} → {self.target}"


def resized(image: Tensor, grid: tuple[int, int]) -> Tensor:
    """(B, C, H, W) → (B, C, *grid), bilinear and antialiased; as it is when the grid is the same."""
    if image.shape[-2:] == grid:
        return image
    return F.interpolate(image, grid, mode="bilinear", antialias=True)


def seam_cost(source: Layout, target: Layout, style: SeamStyle = SEAM_STYLES["default"]) -> tuple[int, int]:
    """Parameters and MACs (for one image) of `Seam(source, target, style)`.

    Resizing, normalising and activations count no MACs, as in `torch.utils.flop_counter`.
    """
    norm = 0 if style.norm_between(source, target) == "none" else 2 * source.channels
    pairs = source.channels * target.channels
    weights = pairs * style.stride**2
    params = weights + norm + (target.channels if style.bias else 0)
    macs = weights * target.height * target.width
    if target.prefix:
        params += target.prefix * target.channels
        if source.prefix:
            params += pairs + norm
            macs += pairs * min(source.prefix, target.prefix)
    return params, macs


def _taken_grid(target: Layout, style: SeamStyle) -> tuple[int, int]:
    """The grid that the convolution turns into the target's."""
    return style.stride * target.height, style.stride * target.width


def _check_grid(source: Layout, target: Layout, style: SeamStyle) -> None:
    given = source.height // style.stride, source.width // style.stride
    if not style.resize and given != (target.height, target.width):
        raise DeryError(
            f"a seam of stride {style.stride} that doesn't resize turns {source} into a grid of "
            f"{given[0]}×{given[1]}, not into {target}: choose a seam style that resizes."
        )


def _norm(norm: Norm, channels: int) -> nn.Module:
    if norm == "layer":
        # over the channels at each position: with the 1×1 convolution, LayerNorm and linear on tokens
        return LayerNorm2d(channels, eps=1e-5)
    return nn.BatchNorm2d(channels) if norm == "batch" else nn.Identity()


def _initialise(conv: nn.Conv2d, style: SeamStyle) -> None:
    if style.activation == "none":
        nn.init.kaiming_normal_(conv.weight, nonlinearity="linear")
    else:
        slope = LEAK if style.activation == "leaky_relu" else 0.0
        nn.init.kaiming_normal_(conv.weight, a=slope, nonlinearity="leaky_relu")
    if conv.bias is not None:
        nn.init.zeros_(conv.bias)
