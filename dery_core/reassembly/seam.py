"""`Seam`: the stitching layer that turns one block's output into the next block's input."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dery_core.zoo import Layout, feature_map, from_feature_map


class Seam(nn.Module):
    """Stitching layer between any two layouts (the paper's section 3.3).

    (B, *source.shape) → feature map → resize to the target's grid → BatchNorm → 1×1 convolution
    → (B, *target.shape). Where the target has prefix tokens they are learned; where the source
    has some too, they are carried over by a linear map and added, first to first.
    """

    def __init__(self, source: Layout, target: Layout, norm: bool = True) -> None:
        super().__init__()
        self.source, self.target = source, target
        self.norm = nn.BatchNorm2d(source.channels) if norm else nn.Identity()
        self.conv = nn.Conv2d(source.channels, target.channels, kernel_size=1)
        nn.init.kaiming_normal_(self.conv.weight, nonlinearity="linear")
        nn.init.zeros_(self.conv.bias)  # type: ignore[arg-type]
        self.prefix: nn.Parameter | None = None
        self.carry: nn.Sequential | None = None
        if target.prefix:
            self.prefix = nn.Parameter(torch.empty(target.prefix, target.channels))
            nn.init.trunc_normal_(self.prefix, std=0.02)
            if source.prefix:
                self.carry = nn.Sequential(
                    nn.LayerNorm(source.channels) if norm else nn.Identity(),
                    nn.Linear(source.channels, target.channels, bias=False),
                )

    def forward(self, x: Tensor) -> Tensor:
        grid = (self.target.height, self.target.width)
        image = feature_map(x, self.source)
        if image.shape[-2:] != grid:
            image = F.interpolate(image, grid, mode="bilinear", antialias=True)
        image = self.conv(self.norm(image))
        return from_feature_map(image, self.target, self._prefix_tokens(x))

    def _prefix_tokens(self, x: Tensor) -> Tensor | None:
        """(B, target.prefix, C') or None."""
        if self.prefix is None:
            return None
        tokens = self.prefix.expand(len(x), -1, -1)
        if self.carry is None:
            return tokens
        carried = min(self.source.prefix, self.target.prefix)
        sent = self.carry(x[:, :carried])
        return tokens + F.pad(sent, (0, 0, 0, self.target.prefix - carried))

    def extra_repr(self) -> str:
        return f"{self.source} → {self.target}"


def seam_cost(source: Layout, target: Layout, norm: bool = True) -> tuple[int, int]:
    """Parameters and MACs (for one image) of `Seam(source, target, norm)`.

    Resizing and normalising count no MACs, as in `torch.utils.flop_counter`.
    """
    weights = source.channels * target.channels
    params = weights + target.channels + (2 * source.channels if norm else 0)
    macs = weights * target.height * target.width
    if target.prefix:
        params += target.prefix * target.channels
        if source.prefix:
            params += weights + (2 * source.channels if norm else 0)
            macs += weights * min(source.prefix, target.prefix)
    return params, macs
