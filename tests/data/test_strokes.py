"""The strokes are real, and no stroke is on both sides of the split."""

import torch

from dery_core.data.strokes import SIDE, split_strokes


def test_split_uses_every_stroke_once() -> None:
    train, test = split_strokes()
    assert len(train.digits) + len(test.digits) == 1797
    rows = torch.cat([train.ink, test.ink]).flatten(1)
    # 1797 images of which scikit-learn's file has no two alike.
    assert len(torch.unique(rows, dim=0)) == 1797


def test_ink_has_unit_range_and_digits_match_rows() -> None:
    train, _ = split_strokes()
    assert train.ink.shape == (len(train.digits), 1, SIDE, SIDE)
    assert train.ink.min() == 0
    assert 0.9 < train.ink.max() <= 1


def test_draw_gives_strokes_of_the_digits_asked_for() -> None:
    train, _ = split_strokes()
    wanted = torch.tensor([3, 3, 0, 9, 5])
    rows = train.draw(wanted, torch.Generator().manual_seed(0))
    assert torch.equal(train.digits[rows], wanted)
