"""Find a tensor's layout by experiment: disturb a quadrant of the image, see where it lands."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from dery_core.zoo.layout import Layout
from dery_core.zoo.layout_ops import feature_map

# shares of the disturbance's energy; chance is 1/4
_CLEAR = 0.5
_LOCAL = 0.6


def quadrant_inputs(size: tuple[int, int, int], device: torch.device, seed: int = 0) -> Tensor:
    """(5, C, H, W): noise, then the same with each quadrant in turn redrawn."""
    generator = torch.Generator().manual_seed(seed)
    base, other = torch.randn(2, *size, generator=generator)
    images = base.repeat(5, 1, 1, 1)
    for quadrant in range(4):
        rows, columns = _quadrant(quadrant, size[1], size[2])
        images[quadrant + 1, :, rows, columns] = other[:, rows, columns]
    return images.to(device)


def quadrant_features(modules: Sequence[nn.Module], images: Tensor) -> list[Tensor]:
    """What every module of a chain gives."""
    features = []
    with torch.no_grad():
        for module in modules:
            # a copy: the next module may overwrite its input
            images = module(images)
            features.append(images.clone())
    return features


def probe_layout(features: Tensor, candidates: Sequence[Layout]) -> Layout | None:
    """The candidate that the answer to `quadrant_inputs` fits; None when the positions clearly are
    in another order. Where the network mixes the whole image the probe can't tell: then the first."""
    shares = [_share(features, layout) for layout in candidates]
    best = max(range(len(candidates)), key=lambda i: shares[i])
    if shares[best] >= _CLEAR:
        return candidates[best]
    if any(_locality(features, layout) >= _LOCAL for layout in candidates):
        return None
    return candidates[0]


def _energy(features: Tensor, layout: Layout) -> Tensor:
    """(4, H, W): change at each position for each disturbed quadrant, a fraction of its total."""
    maps = feature_map(features.double(), layout)
    energy = (maps[1:] - maps[:1]).square().sum(1)
    return energy / energy.sum((1, 2), keepdim=True).clamp_min(1e-300)


def _share(features: Tensor, layout: Layout) -> float:
    """Mean share of a quadrant's energy that lands in the same quadrant of the grid."""
    energy = _energy(features, layout)
    height, width = energy.shape[1:]
    if height < 2 or width < 2:
        return 0.0
    landed = [energy[q][_quadrant(q, height, width)].sum() for q in range(4)]
    return float(torch.stack(landed).mean())


def _locality(features: Tensor, layout: Layout) -> float:
    """Share of the energy at positions that answer to one quadrant only, wherever they lie."""
    energy = _energy(features, layout)
    return float(energy.amax(0).sum() / energy.sum().clamp_min(1e-300))


def _quadrant(index: int, height: int, width: int) -> tuple[slice, slice]:
    row, column = divmod(index, 2)
    rows = slice(height // 2, None) if row else slice(0, height // 2)
    columns = slice(width // 2, None) if column else slice(0, width // 2)
    return rows, columns
