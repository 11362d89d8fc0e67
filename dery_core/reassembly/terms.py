"""`Terms`: a whole-number quantity of a candidate that is a sum over its blocks and transitions."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Choices = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Terms:
    """value(choice) = Σ_k block[k, i_k] + Σ_k pair[k, i_k, i_{k+1}]; (K, N) and (K-1, N, N)."""

    block: NDArray[np.int64]
    pair: NDArray[np.int64]

    def of(self, choices: Choices) -> NDArray[np.int64]:
        """Values of `choices` (S, K): (S,)."""
        total = np.zeros(len(choices), np.int64)
        for k, block in enumerate(self.block):
            total += block[choices[:, k]]
        for k, pair in enumerate(self.pair):
            total += pair[choices[:, k], choices[:, k + 1]]
        return total

    def at(self, choice: Sequence[int]) -> int:
        """Value of one choice."""
        return int(self.of(np.array([choice], np.int64))[0])

    def __neg__(self) -> "Terms":
        return Terms(-self.block, -self.pair)
