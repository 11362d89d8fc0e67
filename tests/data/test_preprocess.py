"""Normalising and resizing by hand-worked numbers."""

import torch

from dery_core.data import preprocess
from dery_core.zoo import ZooModel


def model(size: int) -> ZooModel:
    return ZooModel("m", "resnet18", "w", "t", (3, size, size), (0.5, 0.0, 1.0), (0.5, 1.0, 0.25))


def test_channels_are_normalised_one_by_one() -> None:
    images = torch.tensor([255, 51, 0], dtype=torch.uint8).view(1, 3, 1, 1)
    out = preprocess(images, model(1))
    torch.testing.assert_close(out.flatten(), torch.tensor([1.0, 0.2, -4.0]))


def test_constant_image_stays_constant_when_resized() -> None:
    images = torch.full((2, 3, 32, 32), 51, dtype=torch.uint8)
    out = preprocess(images, model(20))
    assert out.shape == (2, 3, 20, 20)
    torch.testing.assert_close(out[:, 1], torch.full((2, 20, 20), 0.2))


def test_halving_averages_neighbours() -> None:
    images = torch.zeros(1, 3, 4, 4, dtype=torch.uint8)
    images[..., ::2] = 200
    # Antialiased shrinking of a pattern at the finest frequency leaves about its mean.
    out = preprocess(images, model(2))[0, 1]
    torch.testing.assert_close(out.mean(), torch.tensor(100 / 255), atol=1e-3, rtol=0)
