"""Drawing strokes: the pieces that the embedded tasks are put together from.

Everything works on a whole batch and draws its randomness from the generator it is given.
Ink and masks are float (N, 1, 32, 32) in 0..1, pictures float (N, 3, 32, 32) in 0..1.
"""

import math
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from dery_core.data.strokes import SIDE


def uniform(count: int, low: float, high: float, generator: Generator) -> Tensor:
    """(count) numbers drawn uniformly from low..high."""
    return torch.rand(count, generator=generator) * (high - low) + low


def warp(
    ink: Tensor,
    generator: Generator,
    *,
    scale: tuple[float, float] = (0.9, 1.2),
    degrees: float = 25.0,
    shear: float = 0.25,
    shift: float = 0.15,
    centre: tuple[float, float] = (0.0, 0.0),
    mirror: Tensor | None = None,
) -> Tensor:
    """Ink under random affine maps. Lengths are in half pictures: `centre` (1, 0) is the right edge.

    `mirror` (N) bool flips the marked strokes left to right, before all else.
    """
    count = len(ink)
    angle = uniform(count, -math.radians(degrees), math.radians(degrees), generator)
    size = uniform(count, *scale, generator)
    slant = uniform(count, -shear, shear, generator)
    x = centre[0] + uniform(count, -shift, shift, generator)
    y = centre[1] + uniform(count, -shift, shift, generator)
    cos, sin = torch.cos(angle) / size, torch.sin(angle) / size
    # affine_grid wants the map from the output back to the input.
    linear = torch.stack([cos + slant * sin, sin, slant * cos - sin, cos], 1).view(-1, 2, 2)
    if mirror is not None:
        linear[mirror, 0] *= -1
    offset = -(linear @ torch.stack([x, y], 1).unsqueeze(2))
    grid = F.affine_grid(torch.cat([linear, offset], 2), [count, 1, SIDE, SIDE], align_corners=False)
    return F.grid_sample(ink, grid, align_corners=False)


def filled(ink: Tensor, threshold: float = 0.42, sharpness: float = 14.0) -> Tensor:
    """Mask of the stroke, with soft edges."""
    return torch.sigmoid((ink - threshold) * sharpness)


def outlined(ink: Tensor, threshold: float = 0.4, width: float = 0.16) -> Tensor:
    """Mask of the stroke's outline: the band where the ink crosses the threshold."""
    return torch.exp(-(((ink - threshold) / width) ** 2))


def fragments(ink: Tensor, generator: Generator, radius: tuple[float, float] = (0.25, 0.45)) -> Tensor:
    """Ink that remains within a random disc: a piece of a stroke, too little to read."""
    count = len(ink)
    ticks = torch.linspace(-1, 1, SIDE)
    x, y = ticks.view(1, 1, 1, -1), ticks.view(1, 1, -1, 1)
    middle = uniform(2 * count, -0.8, 0.8, generator).view(2, count, 1, 1, 1)
    reach = uniform(count, *radius, generator).view(count, 1, 1, 1)
    distance = ((x - middle[0]) ** 2 + (y - middle[1]) ** 2).sqrt()
    return ink * torch.sigmoid((reach - distance) * 20)


def clouds(count: int, cells: int, generator: Generator) -> Tensor:
    """Smooth coloured noise (count, 3, 32, 32), about normal, with `cells` bumps a side."""
    coarse = torch.randn(count, 3, cells, cells, generator=generator)
    return F.interpolate(coarse, size=(SIDE, SIDE), mode="bilinear", align_corners=False)


def stripes(count: int, generator: Generator, periods: tuple[float, float] = (2.0, 6.0)) -> Tensor:
    """Waves in random directions (count, 1, 32, 32) in -1..1."""
    ticks = torch.linspace(-1, 1, SIDE)
    angle = uniform(count, 0, math.pi, generator).view(-1, 1, 1, 1)
    frequency = uniform(count, *periods, generator).view(-1, 1, 1, 1) * math.pi
    phase = uniform(count, 0, 2 * math.pi, generator).view(-1, 1, 1, 1)
    along = torch.cos(angle) * ticks.view(1, 1, 1, -1) + torch.sin(angle) * ticks.view(1, 1, -1, 1)
    return torch.sin(frequency * along + phase)


Polarity = Literal["light", "dark", "either"]
"""Whether ink is lighter or darker than the paper."""


def colour_pair(
    count: int, contrast: float, polarity: Polarity, generator: Generator
) -> tuple[Tensor, Tensor]:
    """Paper and ink colours (count, 3, 1, 1), `contrast` to twice that apart in brightness."""
    gap = contrast * (1 + torch.rand(count, generator=generator))
    lighter = torch.rand(count, generator=generator) < {"light": 1.0, "dark": 0.0, "either": 0.5}[polarity]
    gap = torch.where(lighter, gap, -gap)
    middle = uniform(count, 0.4, 0.6, generator)
    paper, ink = (
        0.3 * _tint(count, generator) + (middle + half).unsqueeze(1) for half in (-gap / 2, gap / 2)
    )
    return paper[:, :, None, None], ink[:, :, None, None]


def _tint(count: int, generator: Generator) -> Tensor:
    """Colours (count, 3) in -1..1 without brightness."""
    colour = 2 * torch.rand(count, 3, generator=generator) - 1
    return colour - colour.mean(1, keepdim=True)


def paint(picture: Tensor, mask: Tensor, colour: Tensor) -> Tensor:
    """Colour laid over the picture where the mask is 1."""
    return picture + mask * (colour - picture)


def finish(picture: Tensor, noise: float, generator: Generator) -> Tensor:
    """Sensor noise added, then uint8 (N, 3, 32, 32)."""
    noisy = picture + noise * torch.randn(picture.shape, generator=generator)
    return (noisy.clamp(0, 1) * 255).round().to(torch.uint8)
