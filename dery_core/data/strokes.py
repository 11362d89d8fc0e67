"""Handwritten digit strokes: the real input behind every embedded task."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

SOURCE = (
    "Optical Recognition of Handwritten Digits (E. Alpaydin, C. Kaynak, UCI Machine Learning Repository, "
    "1998, doi:10.24432/C50P49, CC BY 4.0): the 1797 8x8 images of its test part, through "
    "sklearn.datasets.load_digits"
)
"""Where the strokes come from, and under which licence."""

SIDE = 32
_SPLIT_SEED = 20220
_TEST_SHARE = 0.3


@dataclass(frozen=True, eq=False)
class Strokes:
    """Digits before rendering: `ink` float (N, 1, 32, 32) in 0..1, `digits` int64 (N)."""

    ink: Tensor
    digits: Tensor

    def of_digit(self, digit: int) -> Tensor:
        """Row numbers of one digit."""
        return torch.nonzero(self.digits == digit).flatten()

    def draw(self, digits: Tensor, generator: torch.Generator) -> Tensor:
        """Row numbers (N) of randomly drawn strokes of the given digits (N)."""
        rows = torch.empty_like(digits)
        for digit in digits.unique().tolist():
            pool, wanted = self.of_digit(digit), digits == digit
            chosen = torch.randint(len(pool), (int(wanted.sum()),), generator=generator)
            rows[wanted] = pool[chosen]
        return rows


@lru_cache(maxsize=1)
def split_strokes() -> tuple[Strokes, Strokes]:
    """Train and test strokes. The split comes before any rendering, so no task leaks."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    order = torch.from_numpy(np.random.default_rng(_SPLIT_SEED).permutation(len(digits.target)))
    labels = torch.from_numpy(digits.target.astype(np.int64))
    coarse = torch.from_numpy(digits.images.astype(np.float32)).unsqueeze(1) / 16
    # The margin keeps the border transparent when a stroke is moved or turned.
    margin = F.pad(coarse, (2, 2, 2, 2))
    ink = F.interpolate(margin, size=(SIDE, SIDE), mode="bicubic", align_corners=False).clamp(0, 1)
    test = order[: int(_TEST_SHARE * len(order))]
    train = order[len(test) :]
    return Strokes(ink[train], labels[train]), Strokes(ink[test], labels[test])
