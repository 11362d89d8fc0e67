"""Known answers of the drawing pieces."""

import torch

from dery_core.data import render
from dery_core.data.strokes import SIDE, split_strokes


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def some_ink(count: int = 4) -> torch.Tensor:
    return split_strokes()[0].ink[:count]


def test_warp_without_motion_is_identity() -> None:
    ink = some_ink()
    still = render.warp(ink, generator(), scale=(1, 1), degrees=0, shear=0, shift=0)
    torch.testing.assert_close(still, ink, atol=1e-4, rtol=0)


def test_warp_mirrors_only_the_marked() -> None:
    ink = some_ink(2)
    flipped = render.warp(
        ink, generator(), scale=(1, 1), degrees=0, shear=0, shift=0, mirror=torch.tensor([True, False])
    )
    torch.testing.assert_close(flipped[0], ink[0].flip(-1), atol=1e-4, rtol=0)
    torch.testing.assert_close(flipped[1], ink[1], atol=1e-4, rtol=0)


def test_warp_moves_ink_to_its_centre() -> None:
    ink = torch.zeros(1, 1, SIDE, SIDE)
    ink[..., 15:17, 15:17] = 1
    moved = render.warp(ink, generator(), scale=(1, 1), degrees=0, shear=0, shift=0, centre=(0.5, 0))
    _, _, rows, columns = torch.nonzero(moved > 0.5, as_tuple=True)
    # Half of half a picture is 8 pixels to the right.
    assert sorted(set(columns.tolist())) == [23, 24]
    assert sorted(set(rows.tolist())) == [15, 16]


def test_outline_is_empty_where_ink_is_full_or_none() -> None:
    mask = render.outlined(torch.tensor([0.0, 0.4, 1.0]))
    assert mask[1] == 1
    assert mask[0] < 0.01
    assert mask[2] < 0.01


def test_polarity_orders_brightness() -> None:
    for polarity, sign in (("light", 1), ("dark", -1)):
        paper, ink = render.colour_pair(50, 0.3, polarity, generator())  # type: ignore[arg-type]
        gap = (ink.mean(1) - paper.mean(1)) * sign
        assert gap.min() > 0.3 - 1e-6
        assert gap.max() < 0.6 + 1e-6


def test_finish_clamps_and_rounds() -> None:
    picture = torch.tensor([-1.0, 0.5, 2.0]).view(1, 3, 1, 1)
    assert render.finish(picture, 0.0, generator()).flatten().tolist() == [0, 128, 255]
