"""What is maximised: a linear model of a score, or a score measured on every candidate."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from dery_core.reassembly.terms import Choices
from dery_core.search.linear import LinearScore


@dataclass(frozen=True, eq=False)
class MeasuredScore:
    """A score that is known exactly: `values` (S,) of `choices` (S, K), none of them twice.

    Candidates that aren't listed, and those of -inf, which can't be scored, are never chosen.
    """

    choices: Choices
    values: NDArray[np.float64]

    @cached_property
    def _known(self) -> dict[tuple[int, ...], float]:
        rows = map(tuple, self.choices.tolist())
        return dict(zip(rows, self.values.tolist(), strict=True))

    def of(self, choice: tuple[int, ...]) -> float:
        """The score of one candidate; -inf where it isn't listed."""
        return self._known.get(tuple(choice), -np.inf)


Objective = LinearScore | MeasuredScore
